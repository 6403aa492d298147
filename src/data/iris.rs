//! Iris flowers.

use super::Table;
use crate::tensor::{Shape, Tensor};

/// 150 iris flowers: length and width of sepal and petal in centimetres, `x` `[150, 4]`, and the species 0 to 2, `y` `[150]`.
///
/// R. A. Fisher: "The use of multiple measurements in taxonomic problems", 1936; UCI Machine Learning Repository,
/// <https://doi.org/10.24432/C56C76>; CC BY 4.0. scikit-learn `load_iris`.
///
/// ```
/// use gradus::prelude::*;
/// let iris = iris();
/// assert_eq!(iris.x.row(0), &[5.1, 3.5, 1.4, 0.2]);
/// assert_eq!(iris.class_names, ["setosa", "versicolor", "virginica"]);
/// ```
pub fn iris() -> Table {
    let mut lines = include_str!("iris.csv").lines();
    let names = lines.next().unwrap_or_default().split(',');
    let (mut x, mut y, mut class_names) = (Vec::with_capacity(600), Vec::with_capacity(150), Vec::<String>::new());
    for line in lines {
        let (numbers, species) = line.rsplit_once(',').unwrap_or_default();
        x.extend(numbers.split(',').map(|v| v.parse().unwrap_or(f32::NAN)));
        // The species follow one another in the file.
        if class_names.last().is_none_or(|last| last != species) {
            class_names.push(species.to_owned());
        }
        y.push(class_names.len() as f32 - 1.0);
    }
    let shape = Shape::from([y.len(), 4]);
    Table {
        x: Tensor::from(x).reshape(shape).unwrap_or_default(),
        y: Tensor::from(y),
        feature_names: names.take(4).map(str::to_owned).collect(),
        class_names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sums_and_a_row() {
        let table = iris();
        assert_eq!((table.x.dims(), table.y.dims()), ([150, 4].as_slice(), [150].as_slice()));
        assert_eq!(table.feature_names, ["sepal_length", "sepal_width", "petal_length", "petal_width"]);
        for (column, expected) in [876.5, 458.6, 563.7, 179.9].into_iter().enumerate() {
            let sum: f64 = (0..150).map(|row| f64::from(table.x.row(row)[column])).sum();
            assert!((sum - expected).abs() < 1e-4, "{column}: {sum}");
        }
        assert!((0..150).all(|row| table.y.as_slice()[row] == (row / 50) as f32));
        assert_eq!(table.x.row(149), &[5.9, 3.0, 5.1, 1.8]);
    }
}
