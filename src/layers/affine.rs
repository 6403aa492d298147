//! What Dense and the convolutional layers have in common: a kernel before, and bias, activation and penalty after their
//! products.

use std::ops::Range;

use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::{parallel, rows};
use crate::layer::{Builder, Pass};
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape, Tensor};

/// The settings of a kernel.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Kernel {
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

impl Default for Kernel {
    fn default() -> Self {
        Kernel { initializer: Init::GlorotUniform, regularizer: None, constraint: None }
    }
}

impl Kernel {
    /// Registers the kernel under a name.
    pub fn build<T: Float>(&self, name: &str, shape: Shape, b: &mut Builder<T>) -> Result<ParamId> {
        let id = b.weight(name, shape, &self.initializer)?;
        b.regularize(id, self.regularizer)?;
        b.constrain(id, self.constraint.clone())?;
        Ok(id)
    }
}

/// The settings of what follows a product: y = f(z + b), and a penalty on y.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Finish {
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

impl Default for Finish {
    fn default() -> Self {
        Finish {
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

/// Values of whole rows that get what follows in one go, so that it finds them in the first-level cache.
pub(crate) fn near(width: usize) -> usize {
    width * (2048 / width.max(1)).max(1)
}

impl Finish {
    /// Checks the settings that need no parameter; to be called before any is registered.
    pub fn check(&self) -> Result<()> {
        self.activation.check()?;
        self.activity_regularizer.map_or(Ok(()), |r| r.check_activity())
    }

    /// Registers the bias.
    pub fn build<T: Float>(&mut self, units: usize, b: &mut Builder<T>) -> Result<()> {
        if self.use_bias {
            self.bias = b.bias("bias", [units], &self.bias_initializer)?;
            b.regularize(self.bias, self.bias_regularizer)?;
            b.constrain(self.bias, self.bias_constraint.clone())?;
        }
        Ok(())
    }

    /// See [`Layer::output_activation`](crate::Layer::output_activation).
    pub fn output_activation(&self) -> Option<Activation> {
        // A penalty on outputs needs them activated.
        self.activity_regularizer.is_none().then_some(self.activation)
    }

    /// What this pass does, for rows of `units` values.
    pub fn of<'a, T: Float>(&self, pass: &Pass<'a, T>, units: usize) -> Finisher<'a, T> {
        let activation = if pass.logits { Activation::Linear } else { self.activation };
        Finisher { activation, bias: if self.use_bias { pass.weight(self.bias) } else { &[] }, units }
    }

    /// Whether backward needs the activation's input in this pass.
    pub fn keeps_z<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        pass.needs_backward() && !pass.logits && self.activation.needs_input()
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

    /// dz = dy·f'(z) in place of dy, on all rows.
    pub fn dz<T: Float>(&self, pass: &Pass<'_, T>, z: &[T], y: &Tensor<T>, dy: &mut Tensor<T>) {
        let units = y.shape().last();
        let finish = self.of(pass, units);
        parallel::rows(dy.as_mut_slice(), units, units * finish.activation.work(), |first, dz| {
            finish.dz(z, y.as_slice(), dz, first * units..first * units + dz.len());
        });
    }
}

/// Bias and activation of one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finisher<'a, T> {
    pub activation: Activation,
    bias: &'a [T],
    units: usize,
}

impl<T: Float> Finisher<'_, T> {
    /// An activation alone.
    pub fn activation(pass: &Pass<'_, T>, activation: Activation, units: usize) -> Self {
        Finisher { activation: if pass.logits { Activation::Linear } else { activation }, bias: &[], units }
    }

    /// Gives `z` the shape of y where backward needs the activation's input after this pass, else none.
    pub fn keep_z(&self, pass: &Pass<'_, T>, y: Shape, z: &mut Tensor<T>) {
        z.resize(if pass.needs_backward() && self.activation.needs_input() { y } else { Shape::from([0]) });
    }

    /// y = f(y + b) on some rows, the activation's input into `z` unless that is empty.
    pub fn finish(&self, y: &mut [T], z: &mut [T]) {
        let together = near(self.units);
        let mut z = z.chunks_mut(together);
        for y in y.chunks_mut(together) {
            rows::add_bias(y, self.bias);
            if let Some(z) = z.next() {
                z.copy_from_slice(y);
            }
            self.activation.forward(y, self.units);
        }
    }

    /// The work of a row.
    pub fn work(&self) -> usize {
        self.units * (1 + self.activation.work())
    }

    /// dz = dy·f'(z) in place of dy, the values in `range` of all.
    pub fn dz(&self, z: &[T], y: &[T], dy: &mut [T], range: Range<usize>) {
        self.activation.backward(z.get(range.clone()).unwrap_or(&[]), &y[range], dy, self.units);
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

        /// Bounds that the kernel is brought into after each update; none by default.
        pub fn kernel_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.kernel.constraint = Some(constraint);
            self
        }
    };
}

/// The methods that set what follows a product.
macro_rules! finish_builders {
    () => {
        /// The function applied after the bias; none by default.
        pub fn activation(mut self, activation: $crate::activations::Activation) -> Self {
            self.finish.activation = activation;
            self
        }

        /// Whether a bias is added; yes by default.
        pub fn use_bias(mut self, use_bias: bool) -> Self {
            self.finish.use_bias = use_bias;
            self
        }

        /// How the bias is filled; zeros by default.
        pub fn bias_initializer(mut self, init: impl Into<$crate::initializers::Init>) -> Self {
            self.finish.bias_initializer = init.into();
            self
        }

        /// A penalty on the bias, added to the loss; none by default.
        pub fn bias_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.finish.bias_regularizer = Some(regularizer);
            self
        }

        /// A penalty on y (L1, L2 or both), divided by the number of samples and added to the loss; none by default.
        pub fn activity_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.finish.activity_regularizer = Some(regularizer);
            self
        }

        /// Bounds that the bias is brought into after each update; none by default.
        pub fn bias_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.finish.bias_constraint = Some(constraint);
            self
        }
    };
}

pub(crate) use {finish_builders, kernel_builders};
