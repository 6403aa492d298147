//! Shapes: up to six axes, inline and `Copy`.

use std::fmt;

use crate::error::{Error, Result};

/// The most axes a tensor can have, the batch axis included.
pub const MAX_RANK: usize = 6;

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

    /// The number of elements, the product of the sizes; saturates instead of overflowing.
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
    /// [`Error::Shape`] if the product of the sizes times eight exceeds `isize::MAX`.
    pub fn checked_len(&self, op: &'static str) -> Result<usize> {
        let len = self.dims().iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match len {
            Some(n) if n <= isize::MAX as usize / 8 => Ok(n),
            _ => Err(Error::too_large(op, *self)),
        }
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

    /// `[n, 28, 28]` for samples of `[28, 28]`.
    pub(crate) fn of_samples(&self) -> String {
        let sizes: Vec<_> = std::iter::once("n".to_owned()).chain(self.dims().iter().map(usize::to_string)).collect();
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

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
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
        serde::Serialize::serialize(self.dims(), serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dims = <Vec<usize> as serde::Deserialize>::deserialize(deserializer)?;
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
}
