//! Features and labels with their names.

use crate::tensor::Tensor;

/// Features and labels of a data set, with their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table<T = f32> {
    /// The features, `[samples, features]`.
    pub x: Tensor<T>,
    /// The labels: class numbers or values `[samples]`, or `[samples, labels]` for several label columns.
    pub y: Tensor<T>,
    /// The name of each feature; empty where the source has no names.
    pub feature_names: Vec<String>,
    /// The name of each class, in the order of their numbers; empty where labels are numbers.
    pub class_names: Vec<String>,
}
