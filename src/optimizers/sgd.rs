//! Stochastic gradient descent.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::check::check_fraction;
use crate::tensor::{Float, Shape};

/// w −= lr·g; with momentum μ: v = μ·v − lr·g, w += v; with Nesterov: w += μ·v − lr·g.
///
/// Defaults: learning rate 0.01, no momentum. Keras and PyTorch `SGD` (PyTorch scales v by the current learning rate
/// instead). Sutskever et al.: "On the importance of initialization and momentum in deep learning", 2013.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Sgd::default().learning_rate(0.1).momentum(0.9).nesterov(true);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Sgd {
    options: Options,
    momentum: f64,
    nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { options: Options::with_learning_rate(0.01), momentum: 0.0, nesterov: false }
    }
}

impl Sgd {
    /// Part of the last change that is kept, in [0, 1); 0 by default.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Whether the gradient is applied as if after the momentum's move; no by default.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }
}

impl OptimizerOptions for Sgd {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Sgd(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; usize::from(self.momentum != 0.0)]
    }

    fn check(&self) -> crate::Result<()> {
        check_fraction("Sgd", "momentum", self.momentum)
    }

    fn leaves_zeros(&self) -> bool {
        self.momentum == 0.0
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        if self.momentum == 0.0 { Err("without momentum it keeps no moments") } else { Ok(()) }
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        [lr, self.momentum, 0.0, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [v, ..]: Moments<'_, T>) {
        let [lr, momentum] = [T::of(c[0]), T::of(c[1])];
        if self.momentum == 0.0 {
            for (w, &g) in w.iter_mut().zip(g) {
                *w -= lr * g;
            }
            return;
        }
        for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
            let next_v = momentum * *v - lr * g;
            let change = if self.nesterov { momentum * next_v - lr * g } else { next_v };
            (*v, *w) = (next_v, *w + change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let w = first_step(&Sgd::default(), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 0.995);
        close(w[1], -1.999);
        // v = −lr·g, w += μ·v − lr·g
        close(first_step(&Sgd::default().momentum(0.9).nesterov(true), &[1.0], &[0.5])[0], 1.0 - 1.9 * 0.005);
        check_rule(&Sgd::default().learning_rate(0.1));
        check_rule(&Sgd::default().learning_rate(0.02).momentum(0.9));
        check_rule(&Sgd::default().learning_rate(0.02).momentum(0.9).nesterov(true));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Sgd::default().momentum(1.0)).is_err());
    }
}
