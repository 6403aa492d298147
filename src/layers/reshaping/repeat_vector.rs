//! A vector as a sequence.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// A vector n times: the same at every step of a sequence.
///
/// - Input `[features]`, output `[n, features]`. No parameters.
/// - Gradient: dx = Σ dy over the n steps.
///
/// Keras `RepeatVector`, PyTorch `expand`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(RepeatVector::new(3)).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[1.0, 2.0]]))?.as_slice(), &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// The number of times.
    pub fn new(n: usize) -> Self {
        RepeatVector { n }
    }
}

impl<T: Float> Layer<T> for RepeatVector {
    fn class(&self) -> &'static str {
        "RepeatVector"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        if self.n == 0 || self.n == FREE {
            let got = if self.n == 0 { "0" } else { "a free size" };
            return Err(Error::argument("RepeatVector", "n", "at least 1", got, "pass the number of steps"));
        }
        if x.rank() != 1 {
            return Err(Error::shape("RepeatVector", "samples of one axis", x, "add a Flatten before it"));
        }
        let output = Shape::from([self.n, x.last()]);
        output.open_len("RepeatVector")?;
        Ok(output)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let width = x.shape().last().max(1);
        for (y, x) in y.as_mut_slice().chunks_exact_mut(self.n * width).zip(x.as_slice().chunks_exact(width)) {
            y.chunks_exact_mut(width).for_each(|y| y.copy_from_slice(x));
        }
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let width = x.shape().last().max(1);
        // dx = Σ dy over the steps, in their order
        let each = dx.as_mut_slice().chunks_exact_mut(width).zip(dy.as_slice().chunks_exact(self.n * width));
        for (dx, dy) in each {
            dx.fill(T::zero());
            for dy in dy.chunks_exact(width) {
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += *dy);
            }
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::RepeatVector(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        Reach::Training
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn values_and_gradients() {
        let model = Sequential::new([2]).add(RepeatVector::new(2)).build_as(0).unwrap();
        let y = model.predict(&Tensor::from([[1.0, 2.0], [3.0, 4.0]])).unwrap();
        assert_eq!(y, Tensor::from([[[1.0, 2.0], [1.0, 2.0]], [[3.0, 4.0], [3.0, 4.0]]]));
        for n in [1, 3] {
            gradcheck::check_layer(&RepeatVector::new(n), [5]).unwrap();
        }
    }

    #[test]
    fn impossible_settings() {
        let error =
            |n, shape: Shape| Sequential::new(shape).add(RepeatVector::new(n)).build(0).unwrap_err().root().to_string();
        assert!(error(0, Shape::from([3])).contains("n must be at least 1"));
        assert!(error(2, Shape::from([3, 4])).contains("add a Flatten"));
        assert!(error(usize::MAX, Shape::from([3])).contains("fits in memory"));
    }
}
