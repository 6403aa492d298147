//! Samples in memory, and samples from a function.

use std::fmt;

use super::range::check_range;
use super::source::{Source, each, widths};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// The samples of two tensors.
///
/// ```
/// use gradus::prelude::*;
/// let digits = digits();
/// let source = Samples::new(digits.x, digits.y)?;
/// assert_eq!(Source::<f32>::samples(&source), Some(1797));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Samples<T = f32> {
    x: Tensor<T>,
    y: Tensor<T>,
}

impl<T: Float> Samples<T> {
    /// Inputs `x` `[n, …]` and their targets.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one target for each sample, [`Error::Empty`] if there are none.
    pub fn new(x: Tensor<T>, y: Tensor<T>) -> Result<Self> {
        if x.is_empty() || x.shape().rank() == 0 {
            return Err(Error::Empty { op: "Samples", what: "x" });
        }
        if y.shape().rank() == 0 || x.samples() != y.samples() {
            let expected = format!("{} targets, one for each sample of x", x.samples());
            return Err(Error::shape("Samples", expected, y.shape(), "make the first axes of x and y agree"));
        }
        Ok(Samples { x, y })
    }
}

impl<T: Float> Source<T> for Samples<T> {
    fn shapes(&self) -> (Shape, Shape) {
        (self.x.shape().sample(), self.y.shape().sample())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.x.samples())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let (width, target) = widths(self.shapes());
        let n = x.len() / width;
        check_range("Samples", first, n, Some(self.x.samples()))?;
        x.copy_from_slice(&self.x.as_slice()[first * width..][..x.len()]);
        y.copy_from_slice(&self.y.as_slice()[first * target..][..y.len()]);
        Ok(())
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let target = widths(self.shapes()).1;
        check_range("Samples", first, y.len().div_ceil(target.max(1)), Some(self.x.samples()))?;
        y.copy_from_slice(&self.y.as_slice()[first * target..][..y.len()]);
        Ok(())
    }
}

/// Samples from a function of epoch and position, for data that are computed or read in a way of your own.
///
/// ```
/// use gradus::prelude::*;
/// // Endless pairs of a number and its sine.
/// let sines = FromFn::new([1], [1], None, |_epoch, i, x: &mut [f32], y: &mut [f32]| {
///     x[0] = i as f32 * 0.1;
///     y[0] = x[0].sin();
///     Ok(())
/// })?;
/// assert_eq!(sines.batch(16).batches(), None);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct FromFn<F> {
    shapes: (Shape, Shape),
    samples: Option<usize>,
    f: F,
}

impl<F> FromFn<F> {
    /// Samples of these shapes, so many or without end, from `f(epoch, position, x, y)`.
    ///
    /// # Errors
    /// [`Error::Shape`] for an input without values; [`Error::Empty`] for no samples.
    pub fn new(x: impl Into<Shape>, y: impl Into<Shape>, samples: Option<usize>, f: F) -> Result<Self> {
        let shapes: (Shape, Shape) = (x.into(), y.into());
        shapes.0.checked_len("FromFn")?;
        shapes.1.checked_len("FromFn")?;
        if shapes.0.is_empty() {
            return Err(Error::shape("FromFn", "an input with values", shapes.0, "give every size at least 1"));
        }
        if samples == Some(0) {
            return Err(Error::Empty { op: "FromFn", what: "the source" });
        }
        Ok(FromFn { shapes, samples, f })
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromFn({} → {})", self.shapes.0, self.shapes.1)
    }
}

impl<T: Float, F> Source<T> for FromFn<F>
where
    F: Fn(usize, usize, &mut [T], &mut [T]) -> Result<()> + Send + Sync,
{
    fn shapes(&self) -> (Shape, Shape) {
        self.shapes
    }

    fn samples(&self) -> Option<usize> {
        self.samples
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let width = widths(self.shapes);
        check_range("FromFn", first, x.len() / width.0, self.samples)?;
        each(width, x, y).try_for_each(|(i, x, y)| (self.f)(epoch, first + i, x, y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_checked() {
        let samples = Samples::new(Tensor::from([[1.0f32], [2.0]]), Tensor::from_labels(&[0, 1])).unwrap();
        let (mut x, mut y) = ([0.0; 2], [0.0; 2]);
        samples.read(0, 0, &mut x, &mut y).unwrap();
        assert_eq!((x, y), ([1.0, 2.0], [0.0, 1.0]));
        assert!(samples.read(0, 1, &mut x, &mut y).is_err());
        assert!(samples.read(0, usize::MAX, &mut x, &mut y).is_err());
        assert!(Samples::new(Tensor::<f32>::zeros([0, 2]), Tensor::zeros([0])).is_err());
        assert!(Samples::new(Tensor::<f32>::zeros([3, 2]), Tensor::zeros([2])).is_err());
        assert!(FromFn::new([0], [1], None, ()).is_err() && FromFn::new([1], [1], Some(0), ()).is_err());
    }
}
