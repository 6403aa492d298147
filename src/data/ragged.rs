//! Samples of different sizes in memory.

use std::fmt;

use super::range::check_range;
use super::source::{Source, Stretch};
use crate::error::{Error, Result};
use crate::tensor::{FREE, Float, Shape, Tensor};

/// Samples whose sizes differ, each a tensor of its own: sentences of any length, images of any size.
///
/// Sizes that differ between samples are [`FREE`]; the model's input has to leave them free too. [`batch`](Source::batch) fills smaller
/// samples up, [`bucket`](Source::bucket) puts those of about the same size together. Targets are one tensor, or a tensor for each
/// sample too, as for a class for every word.
///
/// TensorFlow: `RaggedTensor`.
///
/// ```
/// use gradus::prelude::*;
/// let words = vec![Tensor::from([3.0f32, 1.0]), Tensor::from([2.0, 5.0, 4.0])];
/// let data = Ragged::new(words, Tensor::from_labels(&[0, 1]))?.batch(2);
/// let mut batch = Batch::default();
/// data.load(0, 0, &mut batch)?;
/// assert_eq!(batch.x, Tensor::from([[3.0, 1.0, 0.0], [2.0, 5.0, 4.0]]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Ragged<T = f32> {
    x: SampleTensors<T>,
    y: SampleTensors<T>,
    shapes: (Shape, Shape),
}

/// One side of samples: a tensor for all, `[n, …]`, or one for each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SampleTensors<T = f32> {
    /// All of the same size.
    Same(Tensor<T>),
    /// Of sizes that may differ.
    Each(Vec<Tensor<T>>),
}

impl<T> From<Tensor<T>> for SampleTensors<T> {
    fn from(all: Tensor<T>) -> Self {
        SampleTensors::Same(all)
    }
}

impl<T> From<Vec<Tensor<T>>> for SampleTensors<T> {
    fn from(each: Vec<Tensor<T>>) -> Self {
        SampleTensors::Each(each)
    }
}

impl<T: Float> SampleTensors<T> {
    fn len(&self) -> usize {
        match self {
            SampleTensors::Same(all) if all.shape().rank() > 0 => all.samples(),
            SampleTensors::Same(_) => 0,
            SampleTensors::Each(each) => each.len(),
        }
    }

    /// The values of a sample.
    fn row(&self, i: usize) -> (&[T], Shape) {
        match self {
            SampleTensors::Same(all) => (all.row(i), all.shape().sample()),
            SampleTensors::Each(each) => (each[i].as_slice(), each[i].shape()),
        }
    }

    /// The shape of all samples, sizes that differ free.
    fn shape(&self, what: &'static str) -> Result<Shape> {
        let Some(shape) = (self.len() > 0).then(|| self.row(0).1) else {
            return Err(Error::Empty { op: "Ragged", what });
        };
        let mut sizes = [0; crate::MAX_RANK];
        let sizes = &mut sizes[..shape.rank()];
        sizes.copy_from_slice(shape.dims());
        for i in 1..self.len() {
            let own = self.row(i).1;
            if own.rank() != sizes.len() {
                let expected = format!("{} axes in {what} of every sample, as in the first", sizes.len());
                let hint = "only sizes may differ between samples";
                return Err(Error::shape("Ragged", expected, format!("{own} in sample {i}"), hint));
            }
            for (size, own) in sizes.iter_mut().zip(own.dims()) {
                if size != own {
                    *size = FREE;
                }
            }
        }
        Shape::try_from(&*sizes)
    }
}

impl<T: Float> Ragged<T> {
    /// Inputs and their targets: tensors `[n, …]`, or lists of one for each sample.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one target for each sample, or samples have different numbers of axes; [`Error::Empty`] if there
    /// are none.
    pub fn new(x: impl Into<SampleTensors<T>>, y: impl Into<SampleTensors<T>>) -> Result<Self> {
        let (x, y) = (x.into(), y.into());
        let shape = x.shape("x")?;
        if x.len() != y.len() {
            let expected = format!("{} targets, one for each sample of x", x.len());
            return Err(Error::shape("Ragged", expected, y.len(), "pass one target for each sample"));
        }
        let shapes = (shape, y.shape("y")?);
        Ok(Ragged { x, y, shapes })
    }

    fn range(&self, first: usize, n: usize) -> Result<()> {
        check_range("Ragged", first, n, Some(self.x.len()))
    }
}

impl<T> fmt::Debug for Ragged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ragged({} → {})", self.shapes.0, self.shapes.1)
    }
}

impl<T: Float> Source<T> for Ragged<T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.shapes
    }

    fn shapes_at(&self, _: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        self.range(position, 1)?;
        shapes.extend([self.x.row(position).1, self.y.row(position).1]);
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.x.len())
    }

    #[inline(never)]
    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let n = Stretch::new(self.shapes, x.len(), y.len()).n;
        self.range(first, n)?;
        let (mut left_x, mut left_y) = (x, y);
        for i in first..first + n {
            for (left, row) in [(&mut left_x, self.x.row(i).0), (&mut left_y, self.y.row(i).0)] {
                let got = left.len();
                let Some(to) = left.split_off_mut(..row.len()) else {
                    let expected = format!("room for {} values of sample {i}", row.len());
                    return Err(Error::shape("Ragged", expected, got, "ask Source::shapes_at for the sizes"));
                };
                to.copy_from_slice(row);
            }
        }
        Ok(())
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let width = self.shapes.1.checked_len("Ragged")?;
        self.range(first, y.len().div_ceil(width.max(1)))?;
        y.chunks_exact_mut(width.max(1)).enumerate().for_each(|(i, y)| y.copy_from_slice(self.y.row(first + i).0));
        Ok(())
    }
}
