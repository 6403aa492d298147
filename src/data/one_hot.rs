//! One-hot coding of class numbers.

use crate::error::{Error, Result};
use crate::losses::check_class_numbers;
use crate::tensor::{Float, Shape, Tensor};

/// Class numbers as rows of zeros with a one: `[n]` or `[n, 1]` becomes `[n, classes]`. Back: [`Tensor::argmax`].
///
/// Losses and metrics take class numbers as they are; this is for what needs rows. Keras `to_categorical`, PyTorch
/// `one_hot`.
///
/// ```
/// use gradus::prelude::*;
/// let y: Tensor = Tensor::from_labels(&[2, 0]);
/// let rows = one_hot(&y, 3)?;
/// assert_eq!(rows, Tensor::from([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]));
/// assert_eq!(rows.argmax(), [2, 0]);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Label`](crate::Error::Label) for a label that is not a whole number from 0 to `classes` − 1;
/// [`Error::Shape`](crate::Error::Shape) where the result does not fit in memory.
#[inline(never)]
pub fn one_hot<T: Float>(labels: &Tensor<T>, classes: usize) -> Result<Tensor<T>> {
    check_class_numbers("one_hot", labels.as_slice(), classes, None)?;
    // Class numbers are exact in every element type up to here; more is a slip, and more than memory holds.
    if classes > 1 << 24 {
        return Err(Error::shape("one_hot", "at most 16777216 classes", classes, "pass the number of classes"));
    }
    let shape = Shape::from([labels.len(), classes]);
    let len = shape.checked_len("one_hot")?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| Error::too_large("one_hot", shape))?;
    values.resize(len, T::zero());
    let mut rows = Tensor::new(shape, values)?;
    for (i, label) in labels.iter().enumerate() {
        rows.row_mut(i)[label.as_f64() as usize] = T::one();
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_as_vectors() {
        let rows = one_hot(&Tensor::from([[1.0f64], [0.0], [1.0]]), 2).unwrap();
        assert_eq!(rows, Tensor::from([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]));
        assert_eq!(one_hot(&Tensor::<f32>::from_labels(&[]), 4).unwrap().dims(), &[0, 4]);
    }

    #[test]
    fn labels_out_of_range_are_errors() {
        let error = |y: [f32; 2], classes| one_hot(&Tensor::from(y), classes).unwrap_err().to_string();
        assert_eq!(
            error([0.0, 3.0], 3),
            "one_hot: target in row 1 is 3, expected a whole number from 0 to 2; map class names to numbers from 0, and \
             give the last layer one unit a class"
        );
        assert!(error([-1.0, 0.0], 3).contains("row 0 is -1"));
        assert!(error([0.0, 0.5], 3).contains("row 1 is 0.5"));
        assert!(error([f32::NAN, 0.0], 3).contains("row 0 is NaN"));
        assert!(error([0.0, 0.0], 0).contains("row 0 is 0"));
        assert!(error([0.0, 0.0], usize::MAX).contains("at most 16777216 classes"));
        // The address range holds it, the memory does not.
        assert!(error([0.0, 0.0], 1 << 50).contains("at most 16777216 classes"));
    }
}
