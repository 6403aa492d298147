//! Handwritten digits.

use super::Table;
use crate::tensor::{Shape, Tensor};

/// 1,797 handwritten digits of 8×8 pixels from 0 (white) to 16 (black), with labels 0 to 9: `x` `[1797, 64]`, `y` `[1797]`.
///
/// E. Alpaydin, C. Kaynak: "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, test part,
/// <https://doi.org/10.24432/C50P49>; CC BY 4.0. scikit-learn `load_digits`.
///
/// ```
/// use gradus::prelude::*;
/// let digits = digits();
/// assert_eq!(digits.x.dims(), &[1797, 64]);
/// assert_eq!(digits.x.row(0)[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
/// assert_eq!(digits.y.as_slice()[..4], [0.0, 1.0, 2.0, 3.0]);
/// ```
pub fn digits() -> Table {
    // A line is 64 base-17 digits, a space and the label.
    let value = |c: u8| f32::from(if c.is_ascii_digit() { c - b'0' } else { c - b'a' + 10 });
    let (mut pixels, mut labels) = (Vec::with_capacity(1797 * 64), Vec::with_capacity(1797));
    for (image, label) in include_str!("digits.txt").lines().filter_map(|line| line.split_once(' ')) {
        pixels.extend(image.bytes().map(value));
        labels.extend(label.bytes().map(value));
    }
    let x = Tensor::from(pixels);
    let shape = Shape::from([labels.len(), 64]);
    Table {
        x: x.reshape(shape).unwrap_or_default(),
        y: Tensor::from(labels),
        feature_names: (0..64).map(|i| format!("pixel_{}_{}", i / 8, i % 8)).collect(),
        class_names: (0..10).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sums_and_a_row() {
        let table = digits();
        assert_eq!((table.x.dims(), table.y.dims()), ([1797, 64].as_slice(), [1797].as_slice()));
        assert_eq!((table.feature_names.len(), table.class_names.len()), (64, 10));
        assert!(table.x.iter().all(|&p| (0.0..=16.0).contains(&p)));
        assert_eq!(table.x.iter().map(|&p| f64::from(p)).sum::<f64>(), 561_718.0);
        let count = |class: f32| table.y.iter().filter(|&&y| y == class).count();
        let counts: Vec<_> = (0u8..10).map(|c| count(f32::from(c))).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(table.x.row(1)[10..14], [0.0, 11.0, 16.0, 9.0]);
    }
}
