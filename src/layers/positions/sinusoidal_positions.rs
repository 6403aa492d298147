//! Sines and cosines of the position.

use super::{check_inputs, clear_positions, given, sizes, table_space};
use crate::error::{Error, Result};
use crate::kernels::frequencies::{Frequencies, RotaryScaling};
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::table;
use crate::tensor::{Float, Shape, Tensor};

/// y = x + sines and cosines of the position of each step: with the angle aᵢ = position·base^(−2i/n) of n features, sin aᵢ is added to feature
/// 2i and cos aᵢ to feature 2i + 1.
///
/// - Inputs: x `[steps, features]`, any number of both; positions `[steps]` if steps have some of their own. Output: the shape of x. No
///   parameters.
/// - Defaults: base 10000, sines and cosines in turn; with [`halves`](Self::halves) all sines come first, then all cosines, as Marian has them.
/// - Gradient: dx = dy.
///
/// Angles are taken in double precision. Keras-Hub `SinePositionEncoding` gives them alone, without x. Vaswani et al.: "Attention Is All
/// You Need", 2017, where x are embeddings times √n ([`Rescaling`](crate::layers::Rescaling)).
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([FREE, 4]).add(SinusoidalPositions::new()).build(0)?;
/// let y = model.predict(&Tensor::zeros([1, 2, 4]))?;
/// assert_eq!(y.as_slice()[..4], [0.0, 1.0, 0.0, 1.0]);
/// assert!((y.as_slice()[4] - 1f32.sin()).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SinusoidalPositions {
    base: f64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    halves: bool,
    /// The shapes of one sample of each input; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    inputs: Vec<Shape>,
}

impl Default for SinusoidalPositions {
    fn default() -> Self {
        SinusoidalPositions { base: 1e4, halves: false, inputs: Vec::new() }
    }
}

impl SinusoidalPositions {
    /// Those of the paper.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether all sines come first, then all cosines; no by default. Of an odd number of features one sine more.
    pub fn halves(mut self, halves: bool) -> Self {
        self.halves = halves;
        self
    }

    /// How many times as long the longest wave is as the shortest, of 2π positions; at least 1, 10000 by default. Keras-Hub's
    /// `max_wavelength`.
    pub fn base(mut self, base: f64) -> Self {
        self.base = base;
        self
    }

    fn frequencies(&self, features: usize) -> Frequencies {
        Frequencies { base: self.base, values: features, scaling: RotaryScaling::None }
    }
}

impl<T: Float> Op<T> for SinusoidalPositions {
    fn class(&self) -> &'static str {
        "SinusoidalPositions"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        check_inputs("SinusoidalPositions", x)?;
        if !(self.base.is_finite() && self.base >= 1.0) {
            let hint = "10000 is usual";
            return Err(Error::argument("SinusoidalPositions", "base", "finite and at least 1", self.base, hint));
        }
        self.inputs = x.to_vec();
        Ok(vec![x[0]])
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        check_inputs("SinusoidalPositions", x)?;
        y[0] = x[0];
        Ok(())
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let [steps, width] = sizes(&x[0]);
        let angles = pass.angles(self.frequencies(width), steps, given(x));
        let x = x[0].as_slice();
        parallel::rows(y[0].as_mut_slice(), width, 2 * width, |first, y| {
            let x = x[first * width..].chunks_exact(width);
            for (i, (y, x)) in y.chunks_exact_mut(width).zip(x).enumerate() {
                let [cos, sin] = angles.of(first + i);
                if self.halves {
                    let waves = sin.iter().chain(cos);
                    y.iter_mut().zip(x).zip(waves).for_each(|((y, x), wave)| *y = *x + *wave);
                } else {
                    let pairs = y.chunks_exact_mut(2).zip(x.chunks_exact(2));
                    for ((y, x), (sin, cos)) in pairs.zip(sin.iter().zip(cos)) {
                        (y[0], y[1]) = (x[0] + *sin, x[1] + *cos);
                    }
                    // Of an odd number of features the last is a sine.
                    if let ([x], Some(y), Some(sin)) = (x.chunks_exact(2).remainder(), y.last_mut(), sin.last()) {
                        *y = *x + *sin;
                    }
                }
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        if let Some(dx) = &mut dx[0] {
            dx.as_mut_slice().copy_from_slice(dy[0].as_slice());
        }
        clear_positions(dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        let x: Vec<_> = self.inputs.iter().map(|x| x.with_batch(samples)).collect();
        Op::<T>::space_for(self, &x, backward)
    }

    fn space_for(&self, x: &[Shape], _: bool) -> usize {
        table_space(x, self.frequencies(x.first().map_or(0, Shape::last)))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn position_ids(&self, input: usize) -> Option<usize> {
        (input == 1).then_some(table::exact::<T>() as usize)
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::SinusoidalPositions(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{forward, refused_inputs, rows_follow_from_positions};
    use super::*;
    use crate::gradcheck::check_op;
    use crate::params::Params;

    #[test]
    fn gradients() {
        for op in [SinusoidalPositions::new(), SinusoidalPositions::new().halves(true).base(100.0)] {
            check_op(op.clone(), &[[5, 4].into()]).unwrap();
            check_op(op.clone(), &[[3, 7].into()]).unwrap();
            check_op(op.clone(), &[[1, 1].into()]).unwrap();
            check_op(op, &[[4, 6].into(), [4].into()]).unwrap();
        }
    }

    #[test]
    fn rows_of_positions() {
        rows_follow_from_positions::<f32>(SinusoidalPositions::new(), 6);
        rows_follow_from_positions::<f64>(SinusoidalPositions::new().halves(true), 7);
    }

    /// angle(p, j) = p / base^(2⌊j/2⌋/n), sin for even j and cos for odd; by halves the even ones before the odd ones.
    #[test]
    fn values_by_the_formula() {
        for (n, base) in [(8, 1e4), (7, 1e4), (1, 1e4), (2, 50.0)] {
            for halves in [false, true] {
                let mut op = SinusoidalPositions::new().halves(halves).base(base);
                Op::<f64>::build(&mut op, &[[11, n].into()], &mut Builder::new(0)).unwrap();
                let y = forward::<f64>(&op, &Params::new(), 1000, &[Tensor::zeros([1, 11, n])]);
                for (i, y) in y.iter().enumerate() {
                    let (step, at) = (i / n, i % n);
                    let evens = n.div_ceil(2);
                    let j = match halves {
                        false => at,
                        true if at < evens => 2 * at,
                        true => 2 * (at - evens) + 1,
                    };
                    let angle = (1000 + step) as f64 / base.powf((2 * (j / 2)) as f64 / n as f64);
                    let expected = if j % 2 == 0 { angle.sin() } else { angle.cos() };
                    assert!((y - expected).abs() < 1e-12, "{n} features, step {step}, {at}: {y}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn impossible_settings() {
        refused_inputs(SinusoidalPositions::new());
        for base in [0.0, 0.5, -1.0, f64::NAN, f64::INFINITY] {
            let mut op = SinusoidalPositions::new().base(base);
            let error = Op::<f32>::build(&mut op, &[[3, 4].into()], &mut Builder::new(0)).unwrap_err().to_string();
            assert!(error.contains("base must be finite and at least 1"), "{error}");
        }
    }
}
