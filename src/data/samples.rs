//! Samples in memory, and samples from a function.

use std::fmt;

use super::range::check_range;
use super::source::{Source, Stretch, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// The samples of two tensors; or of several inputs and several targets.
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
    x: Vec<Tensor<T>>,
    y: Vec<Tensor<T>>,
    rows: (Shape, Shape),
}

impl<T: Float> Samples<T> {
    /// Inputs `x` `[n, …]` and their targets.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one target for each sample, [`Error::Empty`] if there are none.
    pub fn new(x: Tensor<T>, y: Tensor<T>) -> Result<Self> {
        Self::several([x], [y])
    }

    /// Several inputs and several targets, in the order of the model's.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let (photo, price) = (Tensor::<f32>::zeros([50, 8, 8, 1]), Tensor::zeros([50, 3]));
    /// let data = Samples::several([photo, price], [Tensor::zeros([50, 1])])?.shuffle(7).batch(10);
    /// let mut batch = Batch::default();
    /// data.load(0, 0, &mut batch)?;
    /// assert_eq!((batch.x.dims(), batch.more_x[0].dims()), ([10, 8, 8, 1].as_slice(), [10, 3].as_slice()));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the tensors do not all have as many samples, [`Error::Empty`] if there are no inputs or an input is empty.
    pub fn several(x: impl IntoIterator<Item = Tensor<T>>, y: impl IntoIterator<Item = Tensor<T>>) -> Result<Self> {
        let (x, y): (Vec<_>, Vec<_>) = (x.into_iter().collect(), y.into_iter().collect());
        if x.is_empty() || x.iter().any(|x| x.is_empty() || x.shape().rank() == 0) {
            return Err(Error::Empty { op: "Samples", what: "x" });
        }
        let n = x[0].samples();
        if let Some(x) = x.iter().find(|x| x.samples() != n) {
            let expected = format!("{n} samples in every input, as in the first");
            return Err(Error::shape("Samples", expected, x.shape(), "make the first axes of all inputs agree"));
        }
        if let Some(y) = y.iter().find(|y| y.shape().rank() == 0 || y.samples() != n) {
            let expected = format!("{n} targets, one for each sample of x");
            return Err(Error::shape("Samples", expected, y.shape(), "make the first axes of x and y agree"));
        }
        let row = |all: &[Tensor<T>]| row_shape(&all.iter().map(|part| part.shape().sample()).collect::<Vec<_>>());
        let rows = (row(&x), row(&y));
        Ok(Samples { x, y, rows })
    }
}

/// Copies samples, part after part.
fn copy<T: Float>(parts: &[Tensor<T>], first: usize, to: &mut [T]) {
    if let [part] = parts {
        let width = part.shape().sample().len();
        return to.copy_from_slice(&part.as_slice()[first * width..][..to.len()]);
    }
    let mut left = to;
    for i in first.. {
        for part in parts {
            let Some(to) = left.split_off_mut(..part.row(i).len()) else { return };
            to.copy_from_slice(part.row(i));
        }
        if left.is_empty() {
            return;
        }
    }
}

impl<T: Float> Source<T> for Samples<T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.rows
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let shapes = |parts: &[Tensor<T>]| parts.iter().map(|part| part.shape().sample()).collect();
        (shapes(&self.x), shapes(&self.y))
    }

    fn shapes_at(&self, _: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        check_range("Samples", position, 1, self.samples())?;
        shapes.extend(self.x.iter().chain(&self.y).map(|part| part.shape().sample()));
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.x[0].samples())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let Stretch { n, width, target } = Stretch::new(self.rows, x.len(), y.len());
        check_range("Samples", first, n, self.samples())?;
        if x.len() != n * width || y.len() != n * target {
            let expected = format!("room for {n} samples of {width} values and {target} of targets");
            let got = format!("{} and {}", x.len(), y.len());
            return Err(Error::shape("Samples", expected, got, "ask for whole samples"));
        }
        copy(&self.x, first, x);
        copy(&self.y, first, y);
        Ok(())
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let target = self.rows.1.len();
        check_range("Samples", first, y.len().div_ceil(target.max(1)), self.samples())?;
        copy(&self.y, first, y);
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
        let stretch = Stretch::new(self.shapes, x.len(), y.len());
        check_range("FromFn", first, stretch.n, self.samples)?;
        stretch.each(x, y).try_for_each(|(i, x, y)| (self.f)(epoch, first + i, x, y))
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
