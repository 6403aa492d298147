//! The scale γ and the offset β of normalised values.

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::layer::{Builder, Pass};
use crate::layers::epilogue::check_unused;
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape};

/// The settings of γ and β, `[channels]` each, and whether they are there.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct GammaBeta {
    pub scale: bool,
    pub center: bool,
    pub gamma_initializer: Init,
    pub beta_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub gamma_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub beta_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub gamma_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub beta_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub gamma: ParamId,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub beta: ParamId,
}

impl Default for GammaBeta {
    fn default() -> Self {
        GammaBeta {
            scale: true,
            center: true,
            gamma_initializer: Init::Ones,
            beta_initializer: Init::Zeros,
            gamma_regularizer: None,
            beta_regularizer: None,
            gamma_constraint: None,
            beta_constraint: None,
            gamma: ParamId::default(),
            beta: ParamId::default(),
        }
    }
}

impl GammaBeta {
    /// Registers γ and β.
    pub fn build<T: Float>(&mut self, channels: usize, b: &mut Builder<T>) -> Result<()> {
        let shape = Shape::from([channels]);
        if self.scale {
            self.gamma = b.weight("gamma", shape, &self.gamma_initializer)?;
            b.no_decay(self.gamma)?;
            b.regularize(self.gamma, self.gamma_regularizer)?;
            b.constrain(self.gamma, self.gamma_constraint.clone())?;
        } else {
            check_unused(shape, &self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint.as_ref())?;
        }
        if self.center {
            self.beta = b.weight("beta", shape, &self.beta_initializer)?;
            b.no_decay(self.beta)?;
            b.regularize(self.beta, self.beta_regularizer)?;
            b.constrain(self.beta, self.beta_constraint.clone())
        } else {
            check_unused(shape, &self.beta_initializer, self.beta_regularizer, self.beta_constraint.as_ref())
        }
    }

    /// γ[c], or 1.
    pub fn gamma<'a, T: Float>(&self, pass: &Pass<'a, T>) -> impl Fn(usize) -> T + use<'a, T> {
        let gamma = if self.scale { pass.weight(self.gamma) } else { &[] };
        move |c| gamma.get(c).copied().unwrap_or(T::one())
    }

    /// β[c], or 0.
    pub fn beta<'a, T: Float>(&self, pass: &Pass<'a, T>) -> impl Fn(usize) -> T + use<'a, T> {
        let beta = if self.center { pass.weight(self.beta) } else { &[] };
        move |c| beta.get(c).copied().unwrap_or(T::zero())
    }

    /// Whether the gradient of γ or β is wanted.
    pub fn wants<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        (self.scale && pass.wants(self.gamma)) || (self.center && pass.wants(self.beta))
    }

    /// Where the gradient of γ is added to; empty where none is wanted.
    pub fn gamma_gradient<'p, T: Float>(&self, pass: &'p mut Pass<'_, T>) -> &'p mut [T] {
        if self.scale { pass.gradient(self.gamma) } else { &mut [] }
    }

    /// Where the gradient of β is added to; empty where none is wanted.
    pub fn beta_gradient<'p, T: Float>(&self, pass: &'p mut Pass<'_, T>) -> &'p mut [T] {
        if self.center { pass.gradient(self.beta) } else { &mut [] }
    }
}

/// Checks an ε: finite and above 0, as an element too.
pub(super) fn check_epsilon<T: Float>(op: &'static str, epsilon: f64) -> Result<()> {
    if T::of(epsilon).is_finite() && T::of(epsilon) > T::zero() {
        return Ok(());
    }
    let expected = format!("above 0 and finite as {}", T::NAME);
    Err(Error::argument(op, "epsilon", expected, epsilon, "0.001 is Keras's default"))
}

/// The methods that set γ and β.
macro_rules! gamma_beta_builders {
    () => {
        /// Whether values are multiplied by γ; yes by default.
        pub fn scale(mut self, scale: bool) -> Self {
            self.affine.scale = scale;
            self
        }

        /// Whether β is added; yes by default.
        pub fn center(mut self, center: bool) -> Self {
            self.affine.center = center;
            self
        }

        /// How γ is filled; ones by default.
        pub fn gamma_initializer(mut self, init: impl Into<$crate::initializers::Init>) -> Self {
            self.affine.gamma_initializer = init.into();
            self
        }

        /// How β is filled; zeros by default.
        pub fn beta_initializer(mut self, init: impl Into<$crate::initializers::Init>) -> Self {
            self.affine.beta_initializer = init.into();
            self
        }

        /// A penalty on γ, added to the loss; none by default.
        pub fn gamma_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.affine.gamma_regularizer = Some(regularizer);
            self
        }

        /// A penalty on β, added to the loss; none by default.
        pub fn beta_regularizer(mut self, regularizer: $crate::regularizers::Regularizer) -> Self {
            self.affine.beta_regularizer = Some(regularizer);
            self
        }

        /// Bounds that γ is brought into after each update; none by default.
        pub fn gamma_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.affine.gamma_constraint = Some(constraint);
            self
        }

        /// Bounds that β is brought into after each update; none by default.
        pub fn beta_constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
            self.affine.beta_constraint = Some(constraint);
            self
        }

        /// What is added to variances so that no division is by zero; above 0.
        pub fn epsilon(mut self, epsilon: f64) -> Self {
            self.epsilon = epsilon;
            self
        }
    };
}

pub(super) use gamma_beta_builders;
