//! What follows a product: bias, activation and a penalty on the output; and the settings of the kernel before it. Dense, the
//! convolutions, and layers that only apply an activation (Add, Residual, BatchNorm) share it.

use std::ops::Range;

use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Pass, Reach};
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape, Tensor};

/// The settings of a kernel.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct KernelOptions {
    #[cfg_attr(feature = "serde", serde(rename = "kernel_initializer"))]
    pub initializer: Init,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "kernel_regularizer", default, skip_serializing_if = "Option::is_none")
    )]
    pub regularizer: Option<Regularizer>,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "kernel_constraint", default, skip_serializing_if = "Option::is_none")
    )]
    pub constraint: Option<Constraint>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        KernelOptions { initializer: Init::GlorotUniform, regularizer: None, constraint: None }
    }
}

impl KernelOptions {
    /// Registers the kernel of [a product](Builder::product).
    pub fn product<T: Float>(&self, name: &str, shape: Shape, b: &mut Builder<T>) -> Result<ParamId> {
        let id = b.product(name, shape, &self.initializer)?;
        self.bind(id, b)
    }

    /// Registers the kernel under a name.
    pub fn build<T: Float>(&self, name: &str, shape: Shape, b: &mut Builder<T>) -> Result<ParamId> {
        let id = b.weight(name, shape, &self.initializer)?;
        self.bind(id, b)
    }

    /// Says what penalty and bounds it has.
    fn bind<T: Float>(&self, id: ParamId, b: &mut Builder<T>) -> Result<ParamId> {
        b.regularize(id, self.regularizer)?;
        b.constrain(id, self.constraint.clone())?;
        Ok(id)
    }
}

/// Checks the settings of a parameter that is not there: they are saved all the same.
pub(crate) fn check_unused(
    shape: Shape,
    initializer: &Init,
    regularizer: Option<Regularizer>,
    constraint: Option<&Constraint>,
) -> Result<()> {
    initializer.check()?;
    regularizer.map_or(Ok(()), |r| r.check(shape))?;
    constraint.map_or(Ok(()), |c| c.check(shape))
}

/// The settings of what follows a product: y = f(z + b), and a penalty on y.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Epilogue {
    pub activation: Activation,
    pub use_bias: bool,
    pub bias_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub bias_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub activity_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub bias_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub bias: ParamId,
}

impl Default for Epilogue {
    fn default() -> Self {
        Epilogue {
            activation: Activation::Linear,
            use_bias: true,
            bias_initializer: Init::Zeros,
            bias_regularizer: None,
            activity_regularizer: None,
            bias_constraint: None,
            bias: ParamId::default(),
        }
    }
}

/// Values that get what follows in one go, so that it finds them in the first-level cache.
const CACHE_BLOCK: usize = 2048;

/// [`CACHE_BLOCK`] in whole rows, one at least.
pub(crate) fn cache_block(width: usize) -> usize {
    width * (CACHE_BLOCK / width.max(1)).max(1)
}

impl Epilogue {
    /// Checks the settings that need no parameter; to be called before any is registered.
    pub fn check(&self) -> Result<()> {
        self.activation.check()?;
        self.activity_regularizer.map_or(Ok(()), |r| r.check_activity())
    }

    /// Registers the bias.
    pub fn build<T: Float>(&mut self, units: usize, b: &mut Builder<T>) -> Result<()> {
        if !self.use_bias {
            let shape = Shape::from([units]);
            return check_unused(shape, &self.bias_initializer, self.bias_regularizer, self.bias_constraint.as_ref());
        }
        self.bias = b.bias("bias", [units], &self.bias_initializer)?;
        b.regularize(self.bias, self.bias_regularizer)?;
        b.constrain(self.bias, self.bias_constraint.clone())
    }

    /// See [`Layer::output_reach`](crate::Layer::output_reach).
    pub fn output_reach(&self) -> Reach {
        // A penalty on outputs needs them activated.
        if self.activity_regularizer.is_none() { Reach::Training } else { Reach::Values }
    }

    /// See [`Layer::by_rows`](crate::Layer::by_rows).
    pub fn by_rows(&self) -> bool {
        // A penalty on outputs is a mean over the batch.
        self.activity_regularizer.is_none()
    }

    /// What follows in this pass, on rows of `units` values.
    pub fn of<'a, T: Float>(&self, pass: &Pass<'a, T>, units: usize) -> EpiloguePass<'a, T> {
        let bias = if self.use_bias { pass.weight(self.bias) } else { &[] };
        EpiloguePass { bias, ..EpiloguePass::activation(pass, self.activation, units) }
    }

    /// y = f(y + b) on all rows, the activation's input into `z` where backward needs it, and the penalty on y.
    pub fn forward<T: Float>(&self, pass: &mut Pass<'_, T>, y: &mut Tensor<T>, z: &mut Tensor<T>) {
        let units = y.shape().last();
        let epilogue = self.of(pass, units);
        let (rows, z) = (y.shape().rows(), epilogue.keep_z(y.shape(), z));
        match parallel::parts(rows, epilogue.work()) {
            1 => epilogue.forward(y.as_mut_slice(), z),
            parts => {
                let cut = (ChunksMut(y.as_mut_slice(), units), ChunksMut(z, units));
                parallel::par_chunks(0..rows, parts, cut, &|_, (y, z)| epilogue.forward(y.0, z.0));
            }
        }
        self.penalise(pass, y);
    }

    /// dz = dy·f'(z) in place of dy on all rows, with the gradient of the penalty, and db += Σ rows of dz.
    pub fn backward<T: Float>(&self, pass: &mut Pass<'_, T>, z: &Tensor<T>, y: &Tensor<T>, dy: &mut Tensor<T>) {
        self.penalise_backward(pass, y, dy);
        let units = y.shape().last();
        let epilogue = self.of(pass, units);
        parallel::rows(dy.as_mut_slice(), units, units * epilogue.activation.work(), |first, dz| {
            epilogue.backward(z, y, dz, first * units..first * units + dz.len());
        });
        if self.wants_bias(pass) {
            rows::sum_rows(dy.as_slice(), pass.gradient(self.bias));
        }
    }

    /// Whether the gradient of the bias is wanted.
    pub fn wants_bias<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        self.use_bias && pass.wants(self.bias)
    }

    /// Adds the penalty on outputs.
    pub fn penalise<T: Float>(&self, pass: &mut Pass<'_, T>, y: &Tensor<T>) {
        if let Some(regularizer) = &self.activity_regularizer {
            pass.add_penalty(regularizer.activity(y));
        }
    }

    /// Adds the gradient of the penalty to dy; the first thing in backward.
    pub fn penalise_backward<T: Float>(&self, pass: &Pass<'_, T>, y: &Tensor<T>, dy: &mut Tensor<T>) {
        if let Some(regularizer) = self.activity_regularizer.filter(|_| pass.training) {
            regularizer.add_activity_gradient(y, dy);
        }
    }
}

/// Bias and activation of one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpiloguePass<'a, T> {
    pub activation: Activation,
    bias: &'a [T],
    units: usize,
    /// Whether backward follows and needs the activation's input.
    keeps_z: bool,
}

impl<'a, T: Float> EpiloguePass<'a, T> {
    /// An activation alone.
    pub fn activation(pass: &Pass<'a, T>, activation: Activation, units: usize) -> Self {
        let activation = if pass.logits { Activation::Linear } else { activation };
        EpiloguePass { activation, bias: &[], units, keeps_z: pass.needs_backward() && activation.needs_input() }
    }

    /// `z` with the shape of y where backward needs the activation's input after this pass, else empty.
    pub fn keep_z<'z>(&self, y: Shape, z: &'z mut Tensor<T>) -> &'z mut [T] {
        if !self.keeps_z {
            return &mut [];
        }
        z.resize(y);
        z.as_mut_slice()
    }

    /// y = f(y + b) on some rows, the activation's input into `z` unless that is empty.
    pub fn forward(&self, y: &mut [T], z: &mut [T]) {
        let together = |y: &mut [T], z: &mut [T]| {
            rows::add_bias(y, self.bias);
            if !z.is_empty() {
                z.copy_from_slice(y);
            }
            self.activation.forward(y, self.units);
        };
        if y.len() <= CACHE_BLOCK {
            return together(y, z);
        }
        let block = cache_block(self.units);
        let mut z = z.chunks_mut(block);
        y.chunks_mut(block).for_each(|y| together(y, z.next().unwrap_or_default()));
    }

    /// The work of a row.
    pub fn work(&self) -> usize {
        self.units * (1 + self.activation.work())
    }

    /// dz = dy·f'(z) in place of dy, the values in `range` of all.
    pub fn backward(&self, z: &Tensor<T>, y: &Tensor<T>, dy: &mut [T], range: Range<usize>) {
        let z = if self.keeps_z { &z.as_slice()[range.clone()] } else { &[] };
        self.activation.backward(z, &y.as_slice()[range], dy, self.units);
    }
}

/// The methods that set a kernel's settings.
macro_rules! kernel_builders {
    () => {
        /// How the kernel is filled; Glorot uniform by default.
        pub fn kernel_initializer(mut self, init: impl Into<$crate::initializers::Init>) -> Self {
            self.kernel.initializer = init.into();
            self
        }

        /// A penalty on the kernel, added to the loss; none by default.
        pub fn kernel_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.kernel.regularizer = Some(regularizer);
            self
        }

        /// Constraint applied to the kernel after each update; none by default.
        pub fn kernel_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.kernel.constraint = Some(constraint);
            self
        }
    };
}

/// The methods that set what follows a product.
macro_rules! epilogue_builders {
    () => {
        /// The function applied after the bias; none by default.
        pub fn activation(mut self, activation: $crate::activations::Activation) -> Self {
            self.epilogue.activation = activation;
            self
        }

        /// Whether a bias is added; the defaults above say whether it is unless this is called.
        pub fn use_bias(mut self, use_bias: bool) -> Self {
            self.epilogue.use_bias = use_bias;
            self
        }

        /// How the bias is filled; zeros by default.
        pub fn bias_initializer(mut self, init: impl Into<$crate::initializers::Init>) -> Self {
            self.epilogue.bias_initializer = init.into();
            self
        }

        /// A penalty on the bias, added to the loss; none by default.
        pub fn bias_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.epilogue.bias_regularizer = Some(regularizer);
            self
        }

        /// A penalty on y (L1, L2 or both), divided by the number of samples and added to the loss; none by default.
        pub fn activity_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.epilogue.activity_regularizer = Some(regularizer);
            self
        }

        /// Constraint applied to the bias after each update; none by default.
        pub fn bias_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.epilogue.bias_constraint = Some(constraint);
            self
        }
    };
}

pub(crate) use {epilogue_builders, kernel_builders};
