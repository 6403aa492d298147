//! Predictions into memory that is kept.

use super::sequential::Sequential;
use crate::error::Result;
use crate::layer::Slot;
use crate::tensor::{Float, Tensor};

/// The buffers of a prediction.
#[derive(Debug, Default)]
pub(crate) struct Workspace<T> {
    pub slot: Slot<T>,
    pub batch: Tensor<T>,
    pub y: Tensor<T>,
}

/// A model and the buffers to predict with it again and again: after the first call of a size nothing is allocated, and
/// small inputs stay on the calling thread.
///
/// Made by [`Sequential::predictor`]. One model can have many, one for each thread that serves it.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(Dense::new(2)).build(0)?;
/// let mut predictor = model.predictor()?;
/// let (x, mut y) = (Tensor::from([[0.1, 0.2, 0.3]]), Tensor::default());
/// predictor.predict_into(&x, &mut y)?;
/// assert_eq!(y, model.predict(&x)?);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor<'a, T: Float = f32> {
    model: &'a Sequential<T>,
    work: Workspace<T>,
}

impl<'a, T: Float> Predictor<'a, T> {
    pub(crate) fn new(model: &'a Sequential<T>) -> Self {
        Predictor { model, work: Workspace::default() }
    }

    /// The outputs for samples `x` `[n, …input]` into `y`, which gets the shape `[n, …output]`; the same bits as
    /// [`Sequential::predict`].
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if `x` does not have the model's input shape; `y` is unchanged then.
    #[inline(never)]
    pub fn predict_into(&mut self, x: &Tensor<T>, y: &mut Tensor<T>) -> Result<()> {
        self.model.check_input("predict_into", x)?;
        self.model.predict_with(&mut self.work, x, y);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn the_same_bits_in_any_company() {
        let layers = Sequential::new([5]).add(Dense::new(7).activation(Activation::Gelu));
        let model = layers.add(Dense::new(3).activation(Activation::Softmax)).build(3).unwrap();
        let x = Tensor::from_fn([600, 5], |i| ((i * 37 % 101) as f32) * 0.02 - 1.0);
        let all = model.predict(&x).unwrap();
        let (mut predictor, mut y) = (model.predictor().unwrap(), Tensor::default());
        for n in [600, 1, 256, 257, 0, 17] {
            predictor.predict_into(&x.rows(0..n).unwrap(), &mut y).unwrap();
            assert_eq!(y, all.rows(0..n).unwrap());
        }
        for i in 0..600 {
            predictor.predict_into(&x.rows(i..i + 1).unwrap(), &mut y).unwrap();
            assert_eq!(y.as_slice(), all.row(i));
        }
    }

    #[test]
    fn memory_is_kept() {
        let model = Sequential::new([5]).add(Dense::new(7)).build(3).unwrap();
        let (mut predictor, x, mut y) = (model.predictor().unwrap(), Tensor::zeros([4, 5]), Tensor::default());
        predictor.predict_into(&x, &mut y).unwrap();
        let at = y.as_slice().as_ptr();
        predictor.predict_into(&x, &mut y).unwrap();
        assert_eq!(y.as_slice().as_ptr(), at);
    }

    #[test]
    fn wrong_shapes_and_unbuilt_models() {
        let model = Sequential::new([5]).add(Dense::new(7));
        assert!(model.predictor().unwrap_err().to_string().contains("not built"));
        let model = model.build(0).unwrap();
        let mut y = Tensor::default();
        assert!(model.predictor().unwrap().predict_into(&Tensor::zeros([1, 4]), &mut y).unwrap_err().is_shape());
    }
}
