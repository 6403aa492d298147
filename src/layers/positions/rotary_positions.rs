//! Heads that turn with the position.

use super::{Rotary, check_inputs, clear_positions, given, sizes, table_space};
use crate::error::{Error, Result};
use crate::kernels::frequencies::Frequencies;
use crate::kernels::rotary::Turn;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::table;
use crate::tensor::{Float, Shape, Tensor};

/// y = x with the pairs of every head turned by angles that grow with the position, so that products of queries and keys depend on how far
/// apart they are: (a, b) → (a·cos φ − b·sin φ, b·cos φ + a·sin φ).
///
/// - Inputs: x `[steps, heads·head_dim]`, any number of steps; positions `[steps]` if steps have some of their own. Output: the shape of x.
///   No parameters. Which values are a pair and how fast it turns: [`Rotary`].
/// - Gradient: dx = dy turned by −φ.
///
/// Angles are taken in double precision. Keras-Hub `RotaryEmbedding`, Hugging Face `apply_rotary_pos_emb`. Su et al.: "RoFormer: Enhanced
/// Transformer with Rotary Position Embedding", 2021.
///
/// ```
/// use gradus::prelude::*;
/// // Two heads of two values, one pair each.
/// let model = Sequential::new([FREE, 4]).add(RotaryPositions::new(2, Rotary::new())).build(0)?;
/// let y = model.predict(&Tensor::new([1, 2, 4], vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0])?)?;
/// let (cos, sin) = (1f32.cos(), 1f32.sin());
/// assert_eq!(y.as_slice(), [1.0, 0.0, 0.0, 1.0, cos, sin, -sin, cos]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RotaryPositions {
    head_dim: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    rotary: Rotary,
    /// The shapes of one sample of each input, and how fast pairs turn; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    inputs: Vec<Shape>,
    #[cfg_attr(feature = "serde", serde(skip))]
    frequencies: Option<Frequencies>,
}

impl RotaryPositions {
    /// For heads of so many values.
    pub fn new(head_dim: usize, rotary: Rotary) -> Self {
        RotaryPositions { head_dim, rotary, inputs: Vec::new(), frequencies: None }
    }

    /// `to` = `from` with its heads turned, or turned back.
    fn turn<T: Float>(&self, pass: &mut Pass<'_, T>, x: Inputs<'_, T>, from: &[T], to: &mut [T], back: bool) {
        let Some(frequencies) = self.frequencies else { return to.fill(T::nan()) };
        let [steps, width] = sizes(&x[0]);
        let angles = pass.angles(frequencies, steps, given(x));
        Turn { angles, pairs: self.rotary.pairs(), head_dim: self.head_dim, back }.rows(from, to, width);
    }
}

impl<T: Float> Op<T> for RotaryPositions {
    fn class(&self) -> &'static str {
        "RotaryPositions"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        let [_, features] = check_inputs("RotaryPositions", x)?;
        self.frequencies = Some(self.rotary.of_head(self.head_dim)?);
        if !features.is_multiple_of(self.head_dim) {
            let expected = format!("a divisor of the {features} features");
            let hint = "features are those of all heads, one after the other";
            return Err(Error::argument("RotaryPositions", "head_dim", expected, self.head_dim, hint));
        }
        self.inputs = x.to_vec();
        Ok(vec![x[0]])
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        check_inputs("RotaryPositions", x)?;
        y[0] = x[0];
        Ok(())
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        self.turn(pass, x, x[0].as_slice(), y[0].as_mut_slice(), false);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        if let Some(dx) = &mut dx[0] {
            self.turn(pass, x, dy[0].as_slice(), dx.as_mut_slice(), true);
        }
        clear_positions(dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        let x: Vec<_> = self.inputs.iter().map(|x| x.with_batch(samples)).collect();
        Op::<T>::space_for(self, &x, backward)
    }

    fn space_for(&self, x: &[Shape], _: bool) -> usize {
        self.frequencies.map_or(0, |frequencies| table_space(x, frequencies))
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
        OpConfig::RotaryPositions(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::RotaryScaling;
    use super::super::tests::{forward, refused_inputs, rows_follow_from_positions, values};
    use super::*;
    use crate::gradcheck::check_op;
    use crate::kernels::rotary::Pairs;
    use crate::params::Params;

    const LLAMA: RotaryScaling = RotaryScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };

    fn settings() -> [Rotary; 4] {
        [
            Rotary::new(),
            Rotary::new().interleaved(true).theta(100.0).scaling(RotaryScaling::Linear { factor: 2.5 }),
            Rotary::new().turned(2).theta(5e5).scaling(LLAMA),
            Rotary::new().turned(4).interleaved(true),
        ]
    }

    #[test]
    fn gradients() {
        for rotary in settings() {
            check_op(RotaryPositions::new(6, rotary.clone()), &[[5, 6].into()]).unwrap();
            check_op(RotaryPositions::new(4, rotary.clone()), &[[3, 12].into()]).unwrap();
            check_op(RotaryPositions::new(5, rotary.turned(2)), &[[7, 10].into(), [7].into()]).unwrap();
        }
        check_op(RotaryPositions::new(2, Rotary::new()), &[[1, 2].into()]).unwrap();
    }

    #[test]
    fn rows_of_positions() {
        for rotary in settings() {
            rows_follow_from_positions::<f32>(RotaryPositions::new(4, rotary.clone()), 12);
            rows_follow_from_positions::<f64>(RotaryPositions::new(70, rotary), 70);
        }
    }

    /// Pairs as complex numbers times e^(iφ), and turned back.
    #[test]
    fn values_by_the_formula() {
        let (steps, heads, head_dim, first) = (3, 2, 10, 777);
        for rotary in settings() {
            let f = rotary.frequencies(head_dim).unwrap();
            let mut op = RotaryPositions::new(head_dim, rotary.clone());
            let shape = Shape::from([steps, heads * head_dim]);
            Op::<f64>::build(&mut op, &[shape], &mut Builder::new(0)).unwrap();
            let x = [values::<f64>(shape.with_batch(2))];
            let y = forward::<f64>(&op, &Params::new(), first, &x);
            let mut expected = x[0].clone();
            for (at, head) in expected.as_mut_slice().chunks_exact_mut(head_dim).enumerate() {
                let (half, position) = (f.len(), (first + at / heads % steps) as f64);
                for (i, f) in f.iter().enumerate() {
                    let (re, im) = match rotary.pairs() {
                        Pairs::Neighbours => (2 * i, 2 * i + 1),
                        Pairs::Halves => (i, i + half),
                    };
                    let (sin, cos) = (position * f).sin_cos();
                    (head[re], head[im]) = (head[re] * cos - head[im] * sin, head[re] * sin + head[im] * cos);
                }
            }
            assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-12), "{rotary:?}");
            let params = Params::new();
            let mut pass = Pass::inference(&params).with_position(first);
            let mut back = Tensor::zeros(y.shape());
            op.turn(&mut pass, Inputs::new(&x, &[0]), y.as_slice(), back.as_mut_slice(), true);
            assert!(back.iter().zip(&x[0]).all(|(b, x)| (b - x).abs() < 1e-14), "{rotary:?}");
        }
    }

    #[test]
    fn impossible_settings() {
        refused_inputs(RotaryPositions::new(2, Rotary::new()));
        let error = |op: RotaryPositions, x: Shape| {
            Op::<f32>::build(&mut { op }, &[x], &mut Builder::new(0)).unwrap_err().to_string()
        };
        assert_eq!(
            error(RotaryPositions::new(4, Rotary::new()), [3, 6].into()),
            "RotaryPositions: head_dim must be a divisor of the 6 features, got 4; features are those of all heads, one after the other"
        );
        assert!(
            error(RotaryPositions::new(0, Rotary::new()), [3, 6].into()).contains("head_dim must be an even number")
        );
        assert!(
            error(RotaryPositions::new(3, Rotary::new()), [3, 6].into()).contains("head_dim must be an even number")
        );
    }
}
