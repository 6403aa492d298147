//! Axes in another order.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// The axes of a sample in another order: axis i of the output is axis `dims[i]` of the input.
///
/// - Axes are counted from 1, as axis 0 is the batch; `Permute::new([2, 1])` turns `[time, features]` into
///   `[features, time]`. No parameters.
/// - Gradient: dx = dy with the axes put back.
///
/// Keras `Permute`, PyTorch `permute`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2, 3]).add(Permute::new([2, 1])).build(0)?;
/// let y = model.predict(&Tensor::from([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]))?;
/// assert_eq!(y, Tensor::from([[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Permute {
    dims: Vec<usize>,
}

impl Permute {
    /// The input's axes in the order of the output's, counted from 1.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { dims: dims.into() }
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        input.open_len("Permute")?;
        let rank = input.rank();
        let once = (1..=rank).all(|axis| self.dims.contains(&axis));
        if self.dims.len() != rank || !once {
            let expected = format!("each axis from 1 to {rank} once, for samples of shape {input}");
            let hint = "axis 0 is the batch and stays in front";
            return Err(Error::argument("Permute", "dims", expected, format!("{:?}", self.dims), hint));
        }
        let mut sizes = [0; MAX_RANK];
        sizes.iter_mut().zip(&self.dims).for_each(|(s, &axis)| *s = input.dims()[axis - 1]);
        Shape::try_from(&sizes[..rank])
    }
}

/// For samples of shape `to`: element (i₀, i₁ …) from position Σ iₐ·strides[a] of a sample in `from`.
fn gather<T: Float>(from: &[T], strides: &[usize], to: &mut [T], sample: Shape) {
    let (len, width) = (sample.len().max(1), sample.last().max(1));
    let Some((&step, outer)) = strides.split_last() else { return to.copy_from_slice(from) };
    parallel::rows(to, len, len * 2, |first, to| {
        for (to, from) in to.chunks_exact_mut(len).zip(from[first * len..].chunks_exact(len)) {
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                let (mut rest, mut at) = (row, 0);
                for (&size, &stride) in sample.dims()[..outer.len()].iter().zip(outer).rev() {
                    at += rest % size * stride;
                    rest /= size;
                }
                to.iter_mut().zip(from[at..].iter().step_by(step)).for_each(|(to, from)| *to = *from);
            }
        }
    });
}

/// The distances between neighbours along each axis, row-major.
fn strides(shape: Shape) -> [usize; MAX_RANK] {
    let mut strides = [1; MAX_RANK];
    for axis in (1..shape.rank()).rev() {
        strides[axis - 1] = strides[axis] * shape.dims()[axis];
    }
    strides
}

impl<T: Float> Layer<T> for Permute {
    fn class(&self) -> &'static str {
        "Permute"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        self.output(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        self.output(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (sample, from, mut to) = (y.shape().sample(), strides(x.shape().sample()), [1; MAX_RANK]);
        to.iter_mut().zip(&self.dims).for_each(|(s, &axis)| *s = from[axis - 1]);
        gather(x.as_slice(), &to[..self.dims.len()], y.as_mut_slice(), sample);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        // Axis dims[i] of dx is axis i of dy.
        let (from, mut to) = (strides(y.shape().sample()), [1; MAX_RANK]);
        self.dims.iter().zip(from).for_each(|(&axis, s)| to[axis - 1] = s);
        gather(dy.as_slice(), &to[..self.dims.len()], dx.as_mut_slice(), x.shape().sample());
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Permute(self.clone())
    }

    fn reach(&self, activation: Activation) -> Reach {
        let whole_rows = self.dims.last() == Some(&self.dims.len());
        if whole_rows || !activation.is_row_wise() { Reach::Training } else { Reach::Values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn every_order_of_three_axes() {
        let x = Tensor::from_fn([2, 2, 3, 5], |i| i as f64);
        for dims in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            gradcheck::check_layer(&Permute::new(dims), [2, 3, 5]).unwrap();
            let model = Sequential::new([2, 3, 5]).add(Permute::new(dims)).build_as(0).unwrap();
            let y = model.predict(&x).unwrap();
            let [_, a, b, c] = *y.dims() else { panic!("four axes") };
            for (at, y) in y.iter().enumerate() {
                let out = [at / c / b % a, at / c % b, at % c];
                let mut i = [0; 3];
                dims.iter().zip(out).for_each(|(d, o)| i[d - 1] = o);
                let expected = ((at / 30 * 2 + i[0]) * 3 + i[1]) * 5 + i[2];
                assert_eq!(*y, expected as f64, "{dims:?} at {out:?}");
            }
        }
        gradcheck::check_layer(&Permute::new([1]), [4]).unwrap();
        gradcheck::check_layer(&Permute::new([]), Shape::SCALAR).unwrap();
    }

    #[test]
    fn impossible_orders() {
        for dims in [vec![1], vec![1, 1], vec![0, 1], vec![2, 3], vec![1, 2, 3]] {
            let error = Sequential::new([2, 3]).add(Permute::new(dims)).build(0).unwrap_err().to_string();
            assert!(error.contains("each axis from 1 to 2 once, for samples of shape [2, 3]"), "{error}");
        }
    }
}
