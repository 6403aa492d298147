//! The `Op` trait: several values in, several out.

use std::fmt::Debug;
use std::ops::Index;

use super::{Builder, Continuation, MaskRule, Pass, Slot, fixed_sizes};
use crate::activations::Activation;
use crate::error::Result;
use crate::layers::OpConfig;
use crate::tensor::{Float, Shape, Tensor};

/// A step of computation that joins values or splits them, with a gradient written by hand; a [`Layer`](super::Layer) is the common case of one
/// in and one out.
///
/// It is configuration plus the ids of its parameters, changed by `build` only. It touches memory only through what it is handed, so
/// that the same description can be run elsewhere.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::{Builder, Inputs, Op, Pass, Result, Slot};
///
/// /// y = a·b, element by element.
/// #[derive(Clone, Debug)]
/// struct Product;
///
/// impl<T: Float> Op<T> for Product {
///     fn class(&self) -> &'static str {
///         "Product"
///     }
///     fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
///         Ok(vec![x[0]])
///     }
///     fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
///         for ((y, a), b) in y[0].as_mut_slice().iter_mut().zip(&x[0]).zip(&x[1]) {
///             *y = *a * *b;
///         }
///     }
///     fn backward(
///         &self,
///         _: &mut Pass<'_, T>,
///         _: &mut Slot<T>,
///         x: Inputs<'_, T>,
///         _: &[Tensor<T>],
///         dy: &mut [Tensor<T>],
///         dx: &mut [Option<Tensor<T>>],
///     ) {
///         for (i, dx) in dx.iter_mut().enumerate() {
///             let Some(dx) = dx else { continue };
///             for ((dx, dy), other) in dx.as_mut_slice().iter_mut().zip(&dy[0]).zip(&x[1 - i]) {
///                 *dx = *dy * *other;
///             }
///         }
///     }
/// }
/// ```
pub trait Op<T: Float = f32>: Send + Sync + Debug {
    /// The type's name, such as `"Add"`; the node and its parameters are named after it.
    fn class(&self) -> &'static str;

    /// How many values it gives; 1 by default.
    fn outputs(&self) -> usize {
        1
    }

    /// Fixes the shapes: takes the shapes of one sample of each input, at least one, registers parameters, returns those of the outputs.
    ///
    /// # Errors
    /// Every number of inputs, shape or setting that cannot work is found here, and where sizes are free every weight that would depend
    /// on one.
    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>>;

    /// The shapes of one sample of each output, into `y`, from those of the inputs; see [`Layer::output_shape`](super::Layer::output_shape).
    ///
    /// # Errors
    /// Sizes that cannot work. By default [`Error::Config`](crate::Error::Config), whatever the shapes: the operation takes fixed sizes.
    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let _ = y;
        let shapes: Vec<_> = x.iter().map(Shape::to_string).collect();
        Err(fixed_sizes(self.class(), "Op::output_shapes", &shapes.join(" and ")))
    }

    /// y = f(x). Every output arrives with its shape set to what `build` returned, or `output_shapes` where that left sizes free, its
    /// contents unspecified; every element must be written.
    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]);

    /// From dy = ∂L/∂y of every output: adds to the gradients of the parameters and overwrites dx = ∂L/∂x of every input for which there
    /// is a place.
    ///
    /// `x` and `y` are those of `forward`; each `dx` arrives shaped like its `x`, its contents unspecified; `dy` may be used as scratch,
    /// its contents are not read afterwards.
    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        y: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    );

    /// Values that a pass over so many samples keeps in its [`Slot`], with what backward needs or without; see
    /// [`Layer::space`](super::Layer::space).
    fn space(&self, _samples: usize, _backward: bool) -> usize {
        0
    }

    /// [`space`](Self::space) for batches of these shapes, where `build` left sizes free.
    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        self.space(x.first().map_or(0, Shape::first), backward)
    }

    /// The activation applied last to a single output, as [`Layer::output_activation`](super::Layer::output_activation) says it of a layer:
    /// `forward` leaves it out and `backward` takes it as the identity when [`Pass::logits`] is set.
    fn output_activation(&self) -> Option<Activation> {
        None
    }

    /// What becomes of its inputs' masks, see [`Layer::mask_rule`](super::Layer::mask_rule); by default the outputs have none. In the passes
    /// they are found in [`Pass::mask_of`].
    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    /// How many of the outputs, from the first on, have the mask that [`mask_rule`](Self::mask_rule) speaks of; the others have none. By default all.
    fn masked_outputs(&self) -> usize {
        self.outputs()
    }

    /// Writes the mask of the outputs, of an operation that [opens](MaskRule::Opens) one, from the inputs. By default all steps count.
    fn open_mask(&self, x: Inputs<'_, T>, mask: &mut [bool]) {
        let _ = x;
        mask.fill(true);
    }

    /// How many positions there are, where an input (by its number) is positions: whole numbers from 0 on, below this one. By default any
    /// number goes. Models check their inputs by it, so that such an operation takes them from an input, or from layers that only hand its
    /// values on.
    fn position_ids(&self, input: usize) -> Option<usize> {
        let _ = input;
        None
    }

    /// How many positions there are, where the first axis of the first input is steps that stand at those from
    /// [`Pass::position`] on; by default any number. [`Net::forward`](crate::graph::Net::forward) checks passes by it.
    fn max_positions(&self) -> Option<usize> {
        None
    }

    /// What a step of the outputs follows from; see [`Layer::continuation`](super::Layer::continuation).
    fn continuation(&self) -> Continuation {
        Continuation::Whole
    }

    /// The configuration from which the operation can be made again; for one of your own by default its class alone. Where it has
    /// settings, `OpConfig::own("Mine", self)` carries them, and `Registry::with_op` reads them.
    fn config(&self) -> OpConfig {
        OpConfig::Custom { class: self.class().to_owned(), settings: String::new() }
    }
}

/// The inputs of an [`Op`]: `x[0]`, `x[1]` … are tensors.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T = f32> {
    values: &'a [Tensor<T>],
    /// Where each input stands among the values.
    at: &'a [u32],
}

impl<'a, T: Float> Inputs<'a, T> {
    /// The values at these places.
    pub fn new(values: &'a [Tensor<T>], at: &'a [u32]) -> Self {
        Inputs { values, at }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Input number `i`, for as long as the values live.
    ///
    /// # Panics
    /// As a slice does where `i` is not below [`len`](Self::len).
    #[inline]
    pub fn get(&self, i: usize) -> &'a Tensor<T> {
        &self.values[self.at[i] as usize]
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a Tensor<T>> + Clone + use<'a, T> {
        let values = self.values;
        self.at.iter().map(move |&at| &values[at as usize])
    }
}

impl<T: Float> Index<usize> for Inputs<'_, T> {
    type Output = Tensor<T>;

    #[inline]
    fn index(&self, i: usize) -> &Tensor<T> {
        self.get(i)
    }
}
