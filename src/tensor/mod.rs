//! Owned, contiguous, row-major arrays of `f32` or `f64`.

mod convert;
mod shape;

use std::fmt;
use std::ops::Range;

pub use crate::kernels::float::Float;
pub(crate) use crate::kernels::float::whole_numbers;
pub(crate) use shape::unless_free;
pub use shape::{FREE, MAX_RANK, Shape};

use crate::aligned::Aligned;
use crate::error::{Error, Result};
use crate::memory;

/// An array of numbers with a shape: owned, contiguous, row-major; the first axis counts samples.
///
/// Made from a shape and values ([`Tensor::new`]), from arrays and vectors (`Tensor::from`), from rows
/// ([`Tensor::from_rows`]) or filled ([`Tensor::zeros`], [`Tensor::full`], [`Tensor::from_fn`]).
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
/// assert_eq!(x.dims(), &[2, 3]);
/// assert_eq!(x.row(1), &[4.0, 5.0, 6.0]);
/// assert_eq!(x.reshape([3, 2])?.row(0), &[1.0, 2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor<T = f32> {
    shape: Shape,
    data: Aligned<T>,
}

impl<T: Float> Tensor<T> {
    /// A tensor of this shape over these values, in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not the product of the sizes.
    pub fn new(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        let len = shape.checked_len("Tensor::new")?;
        if len != data.len() {
            let expected = format!("{len} values for shape {shape}");
            return Err(Error::shape(
                "Tensor::new",
                expected,
                data.len(),
                "pass as many values as the shape's product",
            ));
        }
        Ok(Tensor { shape, data: data.into() })
    }

    /// All zeros.
    ///
    /// # Panics
    /// As [`full`](Self::full).
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::zero())
    }

    /// One value everywhere.
    ///
    /// # Panics
    /// As `vec!` does, if the shape has more elements than can be addressed; [`try_full`](Self::try_full) is for sizes that come
    /// from outside.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        let shape = shape.into();
        Tensor { shape, data: vec![value; countable(shape)].into() }
    }

    /// [`full`](Self::full) with an error where there is no memory for it.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// assert_eq!(Tensor::try_full([2, 2], 1.0f32)?, Tensor::full([2, 2], 1.0));
    /// assert!(Tensor::try_full([1 << 20, 1 << 20, 1 << 20], 1.0f32).is_err());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape has more elements than can be addressed; [`Error::Memory`] if there is no memory for them.
    pub fn try_full(shape: impl Into<Shape>, value: T) -> Result<Self> {
        let shape = shape.into();
        let len = shape.checked_len("Tensor::try_full")?;
        let data = memory::filled("Tensor::try_full", format_args!("a tensor of shape {shape}"), len, value)?;
        Ok(Tensor { shape, data: data.into() })
    }

    /// Values computed from their row-major position.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let x = Tensor::from_fn([2, 2], |i| i as f32 * 0.5);
    /// assert_eq!(x.as_slice(), &[0.0, 0.5, 1.0, 1.5]);
    /// ```
    ///
    /// # Panics
    /// As [`full`](Self::full); [`try_from_fn`](Self::try_from_fn) is for sizes that come from outside.
    pub fn from_fn(shape: impl Into<Shape>, value: impl FnMut(usize) -> T) -> Self {
        let shape = shape.into();
        Tensor { shape, data: (0..countable(shape)).map(value).collect() }
    }

    /// [`from_fn`](Self::from_fn) with an error where there is no memory for the values.
    ///
    /// # Errors
    /// As [`try_full`](Self::try_full).
    pub fn try_from_fn(shape: impl Into<Shape>, value: impl FnMut(usize) -> T) -> Result<Self> {
        let shape = shape.into();
        let (len, mut data) = (shape.checked_len("Tensor::try_from_fn")?, Vec::new());
        memory::reserve("Tensor::try_from_fn", format_args!("a tensor of shape {shape}"), &mut data, len)?;
        data.extend((0..len).map(value));
        Ok(Tensor { shape, data: data.into() })
    }

    /// A `[rows, columns]` tensor from rows of equal length.
    ///
    /// # Errors
    /// [`Error::Shape`] if a row has another length than the first.
    pub fn from_rows<R: AsRef<[T]>>(rows: &[R]) -> Result<Self> {
        let width = rows.first().map_or(0, |r| r.as_ref().len());
        let mut data = Vec::new();
        let what = format_args!("{} rows of {width} values", rows.len());
        memory::reserve("Tensor::from_rows", what, &mut data, rows.len().saturating_mul(width))?;
        for (i, row) in rows.iter().map(AsRef::as_ref).enumerate() {
            if row.len() != width {
                let got = format!("{} in row {i}", row.len());
                return Err(Error::shape(
                    "Tensor::from_rows",
                    format!("{width} values a row"),
                    got,
                    "pad or cut the rows",
                ));
            }
            data.extend_from_slice(row);
        }
        Ok(Tensor { shape: Shape::from([rows.len(), width]), data: data.into() })
    }

    /// Class numbers as a `[n]` tensor, the form of integer labels.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let y: Tensor = Tensor::from_labels(&[2, 0, 1]);
    /// assert_eq!(y.as_slice(), &[2.0, 0.0, 1.0]);
    /// ```
    pub fn from_labels(labels: &[usize]) -> Self {
        Tensor { shape: Shape::from([labels.len()]), data: labels.iter().map(|&c| T::of(c as f64)).collect() }
    }

    /// The values as class numbers, back from [`from_labels`](Self::from_labels); fractions are cut off, and what is below 0
    /// or not a number counts as 0.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// assert_eq!(Tensor::from([2.0f32, 0.0, 1.0]).to_labels(), [2, 0, 1]);
    /// ```
    pub fn to_labels(&self) -> Vec<usize> {
        self.data.iter().map(|v| v.as_f64() as usize).collect()
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sizes of the axes, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The number of samples: the size of the first axis.
    pub fn samples(&self) -> usize {
        self.shape.first()
    }

    /// The elements in row-major order.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// The elements in row-major order, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements as a vector, in the memory that holds them.
    pub fn into_vec(self) -> Vec<T> {
        self.data.into_vec()
    }

    /// The elements one after the other, in row-major order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.data.iter()
    }

    fn stride(&self) -> usize {
        self.shape.sample().len()
    }

    /// The elements of sample `i` (along the first axis).
    ///
    /// # Panics
    /// If `i` is not below [`samples`](Self::samples), as a slice index would; [`get_row`](Self::get_row) does not.
    pub fn row(&self, i: usize) -> &[T] {
        let range = self.row_range(i);
        &self.data[range]
    }

    /// The elements of sample `i`, to be changed in place; panics like [`row`](Self::row).
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        let range = self.row_range(i);
        &mut self.data[range]
    }

    fn row_range(&self, i: usize) -> Range<usize> {
        assert!(i < self.samples(), "row {i} of a tensor with {} samples", self.samples());
        let n = self.stride();
        i * n..(i + 1) * n
    }

    /// The elements of sample `i`, or `None` past the end.
    pub fn get_row(&self, i: usize) -> Option<&[T]> {
        let n = self.stride();
        self.data.get(i.checked_mul(n)?..i.checked_add(1)?.checked_mul(n)?).filter(|_| i < self.samples())
    }

    /// A copy of the samples in `range`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the range ends past the last sample or begins after its end.
    pub fn rows(&self, range: Range<usize>) -> Result<Self> {
        if range.end > self.samples() || range.start > range.end || self.shape.rank() == 0 {
            let expected = format!("a range within 0..{}", self.samples());
            return Err(Error::shape("Tensor::rows", expected, format!("{range:?}"), "shorten the range"));
        }
        let n = self.stride();
        let data = self.data[range.start * n..range.end * n].to_vec();
        Ok(Tensor { shape: self.shape.with_first(range.len()), data: data.into() })
    }

    /// A copy of the samples with these positions, in this order.
    ///
    /// # Errors
    /// [`Error::Shape`] if a position is past the last sample.
    #[inline(never)]
    pub fn select(&self, positions: &[usize]) -> Result<Self> {
        let mut data = Vec::new();
        let what = format_args!("{} samples of {}", positions.len(), self.shape);
        memory::reserve("Tensor::select", what, &mut data, positions.len().saturating_mul(self.stride()))?;
        for &i in positions {
            let Some(row) = self.get_row(i).filter(|_| self.shape.rank() > 0) else {
                let expected = format!("positions below {}", self.samples());
                return Err(Error::shape("Tensor::select", expected, i, "check the positions"));
            };
            data.extend_from_slice(row);
        }
        Ok(Tensor { shape: self.shape.with_first(positions.len()), data: data.into() })
    }

    /// The same values with another shape, without copying.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len("Tensor::reshape")? != self.data.len() {
            let expected = format!("a shape of {} elements", self.data.len());
            return Err(Error::shape("Tensor::reshape", expected, shape, "keep the number of elements"));
        }
        Ok(Tensor { shape, data: self.data })
    }

    /// Each value through a function.
    pub fn map(mut self, mut f: impl FnMut(T) -> T) -> Self {
        self.data.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    /// The same numbers as another element type, rounded to nearest.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let x: Tensor<f64> = Tensor::from([0.5f32]).cast();
    /// assert_eq!(x.as_slice(), &[0.5f64]);
    /// ```
    pub fn cast<U: Float>(&self) -> Tensor<U> {
        Tensor { shape: self.shape, data: self.data.iter().map(|v| U::of(v.as_f64())).collect() }
    }

    /// The position of the largest value of each row (last axis); the first of equals.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// assert_eq!(Tensor::from([[0.1f32, 0.9], [0.7, 0.3]]).argmax(), vec![1, 0]);
    /// ```
    pub fn argmax(&self) -> Vec<usize> {
        let width = self.shape.last().max(1);
        self.data.chunks_exact(width).map(argmax).collect()
    }

    /// Gives the tensor another shape and keeps its memory: contents are unspecified, and no memory is taken while the
    /// new size fits what was held before.
    ///
    /// # Panics
    /// As [`full`](Self::full).
    pub fn resize(&mut self, shape: impl Into<Shape>) {
        let shape = shape.into();
        self.data.resize(countable(shape), T::zero());
        self.shape = shape;
    }

    /// Whether this is a batch of samples of this shape.
    #[inline]
    pub(crate) fn holds(&self, sample: &Shape) -> bool {
        let (own, sample) = (self.shape.dims(), sample.dims());
        // Element by element, as the few sizes do not pay for a call that compares memory.
        own.len() == sample.len() + 1 && (0..sample.len()).all(|i| own[i + 1] == sample[i])
    }

    /// Whether this is a batch of samples that `sample` stands for.
    #[inline]
    pub(crate) fn fits(&self, sample: &Shape) -> bool {
        self.holds(sample) || self.shape.rank() > 0 && sample.admits(&self.shape.sample())
    }

    /// [`resize`](Self::resize) to `batch` samples of this shape; nothing where it has that already.
    #[inline]
    pub(crate) fn resize_batch(&mut self, sample: &Shape, batch: usize) {
        /// Apart, so that what is frequent is short.
        #[inline(never)]
        fn resize<T: Float>(tensor: &mut Tensor<T>, sample: &Shape, batch: usize) {
            tensor.resize(sample.with_batch(batch));
        }
        if self.samples() != batch || !self.holds(sample) {
            resize(self, sample, batch);
        }
    }

    /// The first `len` values of a tensor that grows where it is shorter and never shrinks: scratch space.
    pub(crate) fn scratch(&mut self, len: usize) -> &mut [T] {
        if self.data.len() < len {
            self.resize([len]);
        }
        &mut self.data[..len]
    }

    /// Copies some rows into a tensor whose memory is kept.
    pub(crate) fn copy_rows(&self, rows: Range<usize>, to: &mut Tensor<T>) {
        let width = self.stride();
        to.resize(self.shape.with_first(rows.len()));
        to.data.copy_from_slice(&self.data[rows.start * width..rows.end * width]);
    }

    /// Drops all but some rows; the memory is kept.
    pub(crate) fn keep_rows(&mut self, rows: Range<usize>) {
        let width = self.stride();
        self.data.copy_within(rows.start * width..rows.end * width, 0);
        self.resize(self.shape.with_first(rows.len()));
    }

    /// Copies shape and values of another tensor, keeping this one's memory.
    pub fn copy_from(&mut self, other: &Tensor<T>) {
        self.resize(other.shape);
        self.data.copy_from_slice(&other.data);
    }

    /// Position (row, column within the sample) and value of the first NaN or infinity, if any.
    pub fn first_non_finite(&self) -> Option<(usize, usize, T)> {
        let at = self.data.iter().position(|v| !v.is_finite())?;
        let n = self.stride().max(1);
        Some((at / n, at % n, self.data[at]))
    }
}

/// The number of elements; panics as `vec!` does where there are too many to address.
fn countable(shape: Shape) -> usize {
    let len = shape.len();
    assert!(len <= isize::MAX as usize / 8, "a tensor of shape {shape} cannot be addressed");
    len
}

/// The position of the largest value, the first of equals; 0 for an empty row.
pub(crate) fn argmax<T: Float>(row: &[T]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}

impl<T> Default for Tensor<T> {
    fn default() -> Self {
        Tensor { shape: Shape::default(), data: Vec::new().into() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Tensor<T> {
    /// Shape and the first values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor{} ", self.shape)?;
        let mut list = f.debug_list();
        list.entries(self.data.iter().take(SHOWN));
        if self.data.len() > SHOWN {
            list.entry(&format_args!("… {} more", self.data.len() - SHOWN));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_select() {
        let x = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        assert_eq!(x.rows(1..3).unwrap(), Tensor::from([[3.0, 4.0], [5.0, 6.0]]));
        assert_eq!(x.select(&[2, 0]).unwrap(), Tensor::from([[5.0, 6.0], [1.0, 2.0]]));
        assert!(x.rows(2..4).is_err());
        assert!(x.select(&[3]).is_err());
        assert!(x.get_row(3).is_none());
        assert_eq!(format!("{x:?}"), "Tensor[3, 2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]");
    }

    #[test]
    fn shapes_that_cannot_be_addressed_are_errors() {
        for shape in [Shape::from([usize::MAX, 2]), Shape::from([1 << 21; 3]), Shape::from([1 << 61])] {
            assert!(Tensor::try_full(shape, 0.0f32).unwrap_err().is_shape());
            assert!(Tensor::try_from_fn(shape, |_| 0.0f32).unwrap_err().is_shape());
        }
        assert_eq!(Tensor::try_from_fn([2, 2], |i| i as f32).unwrap(), Tensor::from([[0.0, 1.0], [2.0, 3.0]]));
        // Past the memory of any machine, although it can be addressed.
        assert!(matches!(Tensor::try_full([1 << 58], 0.0f32), Err(Error::Memory { .. })));
        // A row past the end is no other row, whatever wraps.
        let x = Tensor::<f32>::zeros([4, 2]);
        for row in [4, usize::MAX, usize::MAX / 2 + 1] {
            assert!(std::panic::catch_unwind(|| x.row(row).len()).is_err() && x.get_row(row).is_none());
        }
    }

    #[test]
    fn resize_keeps_memory() {
        let mut x = Tensor::<f32>::zeros([4, 8]);
        let at = x.as_slice().as_ptr();
        x.resize([3, 5]);
        x.resize([4, 8]);
        assert_eq!(x.as_slice().as_ptr(), at);
    }

    #[test]
    fn non_finite_is_found_by_row_and_column() {
        let mut x = Tensor::<f32>::zeros([3, 4]);
        assert!(x.first_non_finite().is_none());
        x.row_mut(2)[1] = f32::NAN;
        let (row, column, value) = x.first_non_finite().unwrap();
        assert_eq!((row, column), (2, 1));
        assert!(value.is_nan());
    }
}
