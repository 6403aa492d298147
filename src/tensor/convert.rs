//! Conversions from and to vectors, arrays and slices.

use super::{Float, Shape, Tensor};
use crate::error::{Error, Result};

impl<T: Float> From<Vec<T>> for Tensor<T> {
    /// One axis.
    fn from(data: Vec<T>) -> Self {
        Tensor { shape: Shape::from([data.len()]), data: data.into() }
    }
}

impl<T: Float> From<&[T]> for Tensor<T> {
    /// One axis.
    fn from(data: &[T]) -> Self {
        Tensor::from(data.to_vec())
    }
}

impl<T: Float, const N: usize> From<[T; N]> for Tensor<T> {
    /// One axis.
    fn from(data: [T; N]) -> Self {
        Tensor::from(data.to_vec())
    }
}

impl<T: Float, const R: usize, const C: usize> From<[[T; C]; R]> for Tensor<T> {
    /// `[rows, columns]`.
    fn from(rows: [[T; C]; R]) -> Self {
        Tensor { shape: Shape::from([R, C]), data: rows.into_iter().flatten().collect() }
    }
}

impl<T: Float, const A: usize, const R: usize, const C: usize> From<[[[T; C]; R]; A]> for Tensor<T> {
    /// Three axes.
    fn from(blocks: [[[T; C]; R]; A]) -> Self {
        Tensor { shape: Shape::from([A, R, C]), data: blocks.into_iter().flatten().flatten().collect() }
    }
}

impl<T: Float> TryFrom<Vec<Vec<T>>> for Tensor<T> {
    type Error = Error;

    /// `[rows, columns]` from rows of equal length.
    fn try_from(rows: Vec<Vec<T>>) -> Result<Self> {
        Tensor::from_rows(&rows)
    }
}

impl<T: Float> From<Tensor<T>> for Vec<T> {
    fn from(tensor: Tensor<T>) -> Self {
        tensor.into_vec()
    }
}

impl<T> AsRef<[T]> for Tensor<T> {
    fn as_ref(&self) -> &[T] {
        &self.data
    }
}

impl<'a, T> IntoIterator for &'a Tensor<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.data.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_vectors_and_back() {
        assert_eq!(Tensor::from([1.0f32, 2.0]).dims(), &[2]);
        assert_eq!(Tensor::from([[[1.0f32], [2.0]]]).dims(), &[1, 2, 1]);
        let rows = Tensor::try_from(vec![vec![1.0f32, 2.0], vec![3.0, 4.0]]).unwrap();
        assert_eq!(Vec::from(rows), vec![1.0, 2.0, 3.0, 4.0]);
        let error = Tensor::try_from(vec![vec![1.0f32, 2.0], vec![3.0]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Tensor::from_rows: expected 2 values a row, got 1 in row 1; pad or cut the rows"
        );
    }
}
