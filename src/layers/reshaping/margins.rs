//! Rows and columns around images: added by `ZeroPadding`, taken away by `Cropping`.

use std::fmt;

use crate::kernels::parallel;
use crate::tensor::{Float, Shape, Tensor};

/// How much in front of and behind each axis that a layer works along. Made from one number for all sides, from one for each
/// axis (both its sides), or from a pair `[before, after]` for each axis.
///
/// ```
/// use gradus::layers::Margins;
/// assert_eq!(Margins::<2>::from([1, 2]), Margins::from([[1, 1], [2, 2]]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Margins<const D: usize>(pub(super) [[usize; 2]; D]);

impl<const D: usize> From<usize> for Margins<D> {
    fn from(size: usize) -> Self {
        Margins([[size; 2]; D])
    }
}

impl<const D: usize> From<[usize; D]> for Margins<D> {
    fn from(sizes: [usize; D]) -> Self {
        Margins(sizes.map(|size| [size; 2]))
    }
}

impl<const D: usize> From<[[usize; 2]; D]> for Margins<D> {
    fn from(sizes: [[usize; 2]; D]) -> Self {
        Margins(sizes)
    }
}

impl<const D: usize> Margins<D> {
    /// Of height and width; a sequence has none of height.
    pub(super) fn plane(self) -> [[usize; 2]; 2] {
        match self.0[..] {
            [height, width] => [height, width],
            [length] => [[0, 0], length],
            _ => [[0, 0]; 2],
        }
    }

    /// Samples of a shape within others that have these margins around.
    pub(super) fn frame(self, inner: Shape, outer: Shape) -> Frame {
        let [down, across] = self.plane();
        let sizes = |shape: Shape| match *shape.dims() {
            [height, width, channels] => [height, width * channels],
            _ => [1, shape.len()],
        };
        Frame { before: [down[0], across[0] * outer.last()], inner: sizes(inner), outer: sizes(outer) }
    }
}

impl<const D: usize> fmt::Debug for Margins<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(feature = "serde")]
impl<const D: usize> serde::Serialize for Margins<D> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&self.0[..], serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, const D: usize> serde::Deserialize<'de> for Margins<D> {
    fn deserialize<E: serde::Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
        let sizes = <Vec<[usize; 2]> as serde::Deserialize>::deserialize(deserializer)?;
        let n = sizes.len();
        let wrong = |_| serde::de::Error::custom(format!("{n} pairs where {D} are expected"));
        sizes.try_into().map(Margins).map_err(wrong)
    }
}

/// An image inside a larger one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Frame {
    /// Rows above, and values before those of each row.
    pub before: [usize; 2],
    /// Rows, and values of a row, of the inner image.
    pub inner: [usize; 2],
    /// The same of the outer image.
    pub outer: [usize; 2],
}

impl Frame {
    /// The outer images with the inner ones in them and zeros around.
    pub fn put<T: Float>(&self, inner: &Tensor<T>, outer: &mut Tensor<T>) {
        let [from, to] = [self.inner, self.outer].map(|[rows, row]| rows * row);
        parallel::rows(outer.as_mut_slice(), to, to, |first, outer| {
            for (outer, inner) in outer.chunks_exact_mut(to).zip(inner.as_slice()[first * from..].chunks_exact(from)) {
                outer.fill(T::zero());
                let rows = outer.chunks_exact_mut(self.outer[1]).skip(self.before[0]);
                for (to, from) in rows.zip(inner.chunks_exact(self.inner[1])) {
                    to[self.before[1]..][..self.inner[1]].copy_from_slice(from);
                }
            }
        });
    }

    /// The inner images out of the outer ones.
    pub fn take<T: Float>(&self, outer: &Tensor<T>, inner: &mut Tensor<T>) {
        let [to, from] = [self.inner, self.outer].map(|[rows, row]| rows * row);
        parallel::rows(inner.as_mut_slice(), to, to, |first, inner| {
            for (inner, outer) in inner.chunks_exact_mut(to).zip(outer.as_slice()[first * from..].chunks_exact(from)) {
                let rows = outer.chunks_exact(self.outer[1]).skip(self.before[0]);
                for (to, from) in inner.chunks_exact_mut(self.inner[1]).zip(rows) {
                    to.copy_from_slice(&from[self.before[1]..][..self.inner[1]]);
                }
            }
        });
    }
}
