//! Shapes: up to six axes, inline and `Copy`.

use std::fmt;

use crate::error::{Error, Result};

/// The most axes a tensor can have, the batch axis included.
pub const MAX_RANK: usize = 6;

/// The size of an axis that is left open: `[FREE, 3]` are sequences of any length with three features a step, `[FREE, FREE, 3]` images
/// of any size. For the inputs of a [`Graph`](crate::graph::Graph); a tensor's sizes are known.
///
/// It is no size that any memory holds, and no sum or product of sizes saturates at it. Keras's `None`.
///
/// ```
/// use gradus::{FREE, Shape};
/// let shape = Shape::from([FREE, 3]);
/// assert!(shape.is_free());
/// assert_eq!(shape.to_string(), "[free, 3]");
/// ```
pub const FREE: usize = 1 << (usize::BITS - 1);

/// The sizes of a tensor's axes, outermost first.
///
/// Made from an array (`Shape::from([2, 3])`, more than [`MAX_RANK`] axes do not compile), from one size, or from a slice
/// with [`Shape::try_from`].
///
/// ```
/// use gradus::Shape;
/// let shape = Shape::from([2, 3, 4]);
/// assert_eq!((shape.rank(), shape.len(), shape.last()), (3, 24, 4));
/// assert_eq!(shape.to_string(), "[2, 3, 4]");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape of a single value: no axes, one element.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    fn from_dims(dims: &[usize]) -> Self {
        let mut shape = Shape { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The sizes, outermost first.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Whether any axis is [`FREE`].
    #[inline]
    pub fn is_free(&self) -> bool {
        self.dims().contains(&FREE)
    }

    /// The number of elements, the product of the sizes; saturates instead of overflowing. Where an axis is [`FREE`] and none is 0 it
    /// is a number of which no memory holds as many.
    #[inline]
    pub fn len(&self) -> usize {
        self.dims().iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of elements, or an error where `f64`s of that number could not be addressed.
    ///
    /// # Errors
    /// [`Error::Shape`] if the product of the sizes times eight exceeds `isize::MAX`, or an axis is [`FREE`].
    pub fn checked_len(&self, op: &'static str) -> Result<usize> {
        if self.is_free() {
            return Err(Error::shape(op, "a shape without free sizes", self, "name every size"));
        }
        let len = self.dims().iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match len {
            Some(n) if n <= isize::MAX as usize / 8 => Ok(n),
            _ => Err(Error::too_large(op, *self)),
        }
    }

    /// [`checked_len`](Self::checked_len), or [`FREE`] where an axis is and the sizes that are known do not exceed it either.
    ///
    /// # Errors
    /// [`Error::Shape`] if the product of the sizes that are not free, times eight, exceeds `isize::MAX`.
    pub fn open_len(&self, op: &'static str) -> Result<usize> {
        if !self.is_free() {
            return self.checked_len(op);
        }
        match self.counting_free(1).checked_len(op) {
            Ok(len) => Ok(if len == 0 { 0 } else { FREE }),
            Err(_) => Err(Error::too_large(op, *self)),
        }
    }

    /// The same shape with another size in the place of [`FREE`].
    pub(crate) fn counting_free(mut self, size: usize) -> Shape {
        self.dims[..usize::from(self.rank)].iter_mut().filter(|d| **d == FREE).for_each(|d| *d = size);
        self
    }

    /// Whether samples of `shape` are among those that this one stands for: as many axes, each as long or [`FREE`] here.
    #[inline]
    pub fn admits(&self, shape: &Shape) -> bool {
        let (open, own) = (self.dims(), shape.dims());
        open.len() == own.len() && (0..open.len()).all(|i| open[i] == own[i] || open[i] == FREE && own[i] != 0)
    }

    /// The size of the last axis, 1 for a scalar.
    #[inline]
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The size of the first axis, 1 for a scalar.
    pub fn first(&self) -> usize {
        self.dims().first().copied().unwrap_or(1)
    }

    /// The number of rows when the last axis is a row: the product of all sizes but the last; saturates like
    /// [`len`](Self::len).
    #[inline]
    pub fn rows(&self) -> usize {
        self.dims().iter().rev().skip(1).fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The same shape with another last axis; a scalar becomes `[last]`.
    pub fn with_last(mut self, last: usize) -> Self {
        if self.rank == 0 {
            self.rank = 1;
        }
        self.dims[usize::from(self.rank) - 1] = last;
        self
    }

    /// The same shape with another first axis; a scalar becomes `[first]`.
    #[inline]
    pub fn with_first(mut self, first: usize) -> Self {
        if self.rank == 0 {
            self.rank = 1;
        }
        self.dims[0] = first;
        self
    }

    /// The shape of one sample: all axes but the first.
    #[inline]
    pub fn sample(&self) -> Shape {
        Shape::from_dims(self.dims().get(1..).unwrap_or(&[]))
    }

    /// An error where a sample is a single number and `op` works along its last axis.
    pub(crate) fn need_axis(&self, op: &'static str) -> Result<()> {
        if self.rank() == 0 {
            return Err(Error::shape(op, "at least one axis a sample", *self, "add a Reshape([1]) before it"));
        }
        Ok(())
    }

    /// An error where a sample is a single number, or the size of the last axis is free and `op` has weights for each position along it.
    pub(crate) fn need_features(&self, op: &'static str) -> Result<()> {
        self.need_axis(op)?;
        if self.last() == FREE {
            let expected = "a last axis of fixed size, for which there are weights";
            let hint = "fix that size, or bring the free axes to one size before: GlobalAveragePooling1d in the place of a Flatten";
            return Err(Error::shape(op, expected, self, hint));
        }
        Ok(())
    }

    /// `[n, 28, 28]` for samples of `[28, 28]`.
    pub(crate) fn of_samples(&self) -> String {
        let sizes: Vec<_> = std::iter::once("n".to_owned()).chain(self.dims().iter().map(size_name)).collect();
        format!("[{}]", sizes.join(", "))
    }

    /// The shape of `batch` samples of this shape: one more axis in front.
    ///
    /// # Errors
    /// [`Error::Shape`] if that would be more than [`MAX_RANK`] axes.
    pub fn batched(&self, batch: usize) -> Result<Shape> {
        if self.rank() == MAX_RANK {
            let most = MAX_RANK - 1;
            return Err(Error::shape(
                "Shape::batched",
                format!("at most {most} axes a sample"),
                self,
                "flatten some axes",
            ));
        }
        Ok(self.with_batch(batch))
    }

    /// [`batched`](Self::batched) for shapes that the container has checked at build.
    #[inline]
    pub(crate) fn with_batch(self, batch: usize) -> Shape {
        let mut dims = [0; MAX_RANK];
        let rank = self.rank().min(MAX_RANK - 1);
        dims[0] = batch;
        dims[1..=rank].copy_from_slice(&self.dims[..rank]);
        Shape { dims, rank: rank as u8 + 1 }
    }
}

impl Default for Shape {
    /// `[0]`, the shape of no data.
    fn default() -> Self {
        Shape::from([0])
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK, "a shape has at most six axes") };
        Shape::from_dims(&dims)
    }
}

impl From<usize> for Shape {
    fn from(size: usize) -> Self {
        Shape::from([size])
    }
}

impl TryFrom<&[usize]> for Shape {
    type Error = Error;

    fn try_from(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            let got = format!("{} axes", dims.len());
            return Err(Error::shape("Shape::try_from", format!("at most {MAX_RANK} axes"), got, "flatten some axes"));
        }
        Ok(Shape::from_dims(dims))
    }
}

/// A size as it is shown.
fn size_name(size: &usize) -> String {
    if *size == FREE { "free".to_owned() } else { size.to_string() }
}

/// `f` of a size, [`FREE`] of one that is free.
pub(crate) fn unless_free<E>(size: usize, f: impl FnOnce(usize) -> Result<usize, E>) -> Result<usize, E> {
    if size == FREE { Ok(FREE) } else { f(size) }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> = self.dims().iter().map(size_name).collect();
        write!(f, "[{}]", sizes.join(", "))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A free size is null, as in Keras's files.
        serializer.collect_seq(self.dims().iter().map(|&size| (size != FREE).then_some(size)))
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sizes = <Vec<Option<usize>> as serde::Deserialize>::deserialize(deserializer)?;
        let dims: Vec<usize> = sizes.into_iter().map(|size| size.unwrap_or(FREE)).collect();
        Shape::try_from(dims.as_slice()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes() {
        let s = Shape::from([5, 3, 2]);
        assert_eq!(s.rows(), 15);
        assert_eq!(s.sample(), Shape::from([3, 2]));
        assert_eq!(s.sample().batched(7).unwrap(), Shape::from([7, 3, 2]));
        assert_eq!(s.with_last(4), Shape::from([5, 3, 4]));
        assert_eq!(Shape::SCALAR.len(), 1);
        assert_eq!(Shape::SCALAR.batched(3).unwrap(), Shape::from([3]));
        assert_eq!(Shape::from([4]).rows(), 1);
    }

    #[test]
    fn too_many_axes_or_elements_are_errors() {
        assert!(Shape::try_from([1; 7].as_slice()).is_err());
        assert!(Shape::from([1; 6]).batched(1).is_err());
        assert!(Shape::from([usize::MAX, 2]).checked_len("test").is_err());
        assert_eq!(Shape::from([usize::MAX, 2]).len(), usize::MAX);
        assert_eq!(Shape::from([usize::MAX, 2, 3]).rows(), usize::MAX);
    }

    #[test]
    fn free_sizes() {
        let (open, text) = (Shape::from([FREE, 3]), "[free, 3]");
        assert!(open.is_free() && !open.sample().is_free() && !Shape::SCALAR.is_free());
        assert_eq!(
            (open.to_string(), format!("{open:?}"), open.of_samples()),
            (text.into(), text.into(), "[n, free, 3]".into())
        );
        assert_eq!(open.open_len("test").unwrap(), FREE);
        assert_eq!(Shape::from([2, 3]).open_len("test").unwrap(), 6);
        assert_eq!(Shape::from([FREE, 0]).open_len("test").unwrap(), 0);
        assert!(Shape::from([FREE, 1 << 40, 1 << 40]).open_len("test").is_err());
        assert_eq!(
            open.checked_len("test").unwrap_err().to_string(),
            "test: expected a shape without free sizes, got [free, 3]; name every size"
        );
        assert!(open.len() > isize::MAX as usize / 8 && Shape::from([FREE; 6]).len() == usize::MAX);
        let admitted = |sizes: &[usize]| open.admits(&Shape::try_from(sizes).unwrap());
        assert!(admitted(&[7, 3]) && admitted(&[1, 3]) && admitted(&[FREE, 3]));
        assert!(!admitted(&[7, 4]) && !admitted(&[0, 3]) && !admitted(&[3]) && !admitted(&[7, 3, 1]));
    }
}
