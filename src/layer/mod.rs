//! The `Layer` trait and what a layer is handed: [`Builder`] at build, [`Pass`] and [`Slot`] in a pass.

mod builder;
pub(crate) mod cache;
pub(crate) mod checks;
mod continuation;
mod mask;
mod op;
mod pass;
mod shares;
mod slot;
mod total;

use std::fmt::Debug;

pub use builder::Builder;
pub(crate) use builder::hash;
pub use cache::Cache;
pub use continuation::{AttentionSteps, Continuation};
pub use mask::MaskRule;
pub(crate) use mask::Masks;
pub use op::{Inputs, Op};
pub(crate) use pass::{Common, Thin};
pub use pass::{Pass, Statistics};
pub(crate) use shares::Shares;
pub use slot::Slot;
pub(crate) use total::Total;

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// A step of computation with a gradient written by hand.
///
/// A layer is configuration plus the ids of its parameters; it is changed by `build` only, so one model can serve many
/// threads. Weights live in [`Params`](crate::Params), what a pass must remember in a [`Slot`].
///
/// To write a layer of your own see `examples/custom_layer.rs`; check it with
/// [`gradcheck::check_custom_layer`](crate::gradcheck::check_custom_layer). Write `impl<T: Float> Layer<T>`, as checks run in f64
/// and models in f32.
pub trait Layer<T: Float = f32>: Send + Sync + Debug {
    /// The type's name, such as `"Dense"`; parameters and summary are named after it.
    fn class(&self) -> &'static str;

    /// Fixes the shapes: takes the shape of one sample, registers parameters, returns the shape of one output sample.
    ///
    /// # Errors
    /// Every shape or setting that cannot work is found here, and where sizes are free every weight that would depend on one.
    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape>;

    /// The shape of one output sample from that of one input sample, which `build` has seen or is among those that it left open with
    /// [`FREE`](crate::FREE) sizes; [`FREE`](crate::FREE) where it follows from one. Called where sizes are free alone: at build, and when
    /// a batch of other sizes comes, in steady state without taking memory. A layer that has it looks at the shapes of x and y in
    /// `forward` and `backward` instead of keeping sizes from `build`.
    ///
    /// ```
    /// # use gradus::prelude::*;
    /// # #[derive(Debug)] struct Shift;
    /// # impl Shift {
    /// fn output_shape(&self, x: Shape) -> gradus::Result<Shape> {
    ///     Ok(x)
    /// }
    /// # }
    /// # assert!(Shift.output_shape([FREE, 3].into())?.is_free());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes that cannot work. By default [`Error::Config`](crate::Error::Config), whatever the shape: the layer takes fixed sizes.
    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Err(fixed_sizes(self.class(), "Layer::output_shape", &x))
    }

    /// y = f(x). `y` arrives with its shape set to what `build` returned, or `output_shape` where that left sizes free, its contents
    /// unspecified; every element must be written.
    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>);

    /// From dy = ∂L/∂y: adds to the gradients of its own parameters ([`Pass::gradient`]) and overwrites dx = ∂L/∂x where someone needs it.
    ///
    /// `x` and `y` are those of `forward`; `dx` arrives shaped like `x`, its contents unspecified; `dy` may be used as
    /// scratch, its contents are not read afterwards.
    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    );

    /// The configuration from which the layer can be made again; for a layer of your own by default its class alone. Where it
    /// has settings, `LayerConfig::own("Mine", self)` carries them, and `Registry::with_layer` reads them.
    fn config(&self) -> LayerConfig {
        LayerConfig::Custom { class: self.class().to_owned(), settings: String::new() }
    }

    /// Values that a pass over so many samples keeps beyond its input and output (the tensors and indices of its [`Slot`]), with what
    /// backward needs or without: looked at before the pass, which cannot return an error where there is no memory for them. 0 by
    /// default. The container counts what a layer with weights keeps of its last activation's input, where
    /// [`output_activation`](Self::output_activation) [needs it](Activation::needs_input).
    fn space(&self, _samples: usize, _backward: bool) -> usize {
        0
    }

    /// [`space`](Self::space) for a batch of this shape, where `build` left sizes free. By default what `space` says of as many samples.
    fn space_for(&self, x: Shape, backward: bool) -> usize {
        self.space(x.first(), backward)
    }

    /// The activation that this layer applies last. `Some(Linear)` says that there is none, `None` that nothing is known.
    ///
    /// In the passes of [`output_reach`](Self::output_reach), `forward` leaves it out and `backward` takes it as the identity
    /// when [`Pass::logits`] is set.
    fn output_activation(&self) -> Option<Activation> {
        None
    }

    /// The passes in which [`output_activation`](Self::output_activation) can be left to the loss; by default all.
    fn output_reach(&self) -> Reach {
        Reach::Training
    }

    /// The passes in which an activation of this layer's input may as well be taken after the layer, because it copies values:
    /// whole rows along the last axis where the activation [is row-wise](Activation::is_row_wise). By default none.
    fn reach(&self, activation: Activation) -> Reach {
        let _ = activation;
        Reach::Nowhere
    }

    /// Whether it takes each row along the last axis by itself and adds the gradients of its parameters up row after row, as a product does: then
    /// a loss behind it may have a multiple of 256 rows pass through it at a time, whatever the axes of x. By default no.
    fn by_rows(&self) -> bool {
        false
    }

    /// What becomes of its input's mask; asked once it is built. By default the output has none. In the passes, a layer that goes by the
    /// mask of its input finds it in [`Pass::mask`].
    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    /// Writes the mask of the output, of a layer that [opens](MaskRule::Opens) one, from the input: true for each step that counts. By
    /// default all do.
    fn open_mask(&self, x: &Tensor<T>, mask: &mut [bool]) {
        let _ = x;
        mask.fill(true);
    }

    /// How many token ids there are, where the input is token ids: whole numbers from 0 on, below this one. By default any number goes.
    /// Models check their inputs by it, so that such a layer stands behind an input, or behind layers that only hand its values on.
    fn token_ids(&self) -> Option<usize> {
        None
    }

    /// What a step of the output follows from; by default from steps that nothing keeps. A layer that looks at each step by itself says
    /// [`Continuation::Steps`], and models with it can write token by token.
    fn continuation(&self) -> Continuation {
        Continuation::Whole
    }

    /// How it takes statistics over all shards of a batch, where it does.
    #[doc(hidden)]
    fn shares(&self) -> Option<&dyn Shares<T>> {
        None
    }

    /// The layer in a box. Called where the crate itself makes one, so that its code is compiled with the crate and not again in every
    /// program (see docs/design.md, "Compiled once").
    #[doc(hidden)]
    #[inline(never)]
    fn boxed(self) -> Box<dyn Layer<T>>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

/// The error of what takes fixed sizes.
fn fixed_sizes(class: &str, method: &str, x: &dyn std::fmt::Display) -> Error {
    let problem = format!("{class} takes fixed sizes, and what it is given, {x}, has free ones");
    Error::Config { op: "build", problem, hint: format!("name every size, or implement {method} for it") }
}

/// In which passes an activation may be left to the loss, although layers follow; each kind includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// In none: the output's values are others.
    Nowhere,
    /// In none, but the output's values are activated ones, which the loss has to fit.
    Values,
    /// In inference; in training there is noise.
    Inference,
    /// In training too.
    Training,
}
