//! The configuration of any metric, as a value that serde writes and reads.

use super::{
    Accuracy, Auc, BinaryAccuracy, CategoricalAccuracy, CosineScore, F1Score, LossMetric, Metric, Precision, R2Score,
    Recall, RootMeanSquaredError, SparseCategoricalAccuracy, TopKAccuracy,
};
use crate::config::config_enum;
use crate::losses::LossConfig;

config_enum! {
    /// What a metric is made from; [`into_metric`](Self::into_metric) makes it again.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let config = Metric::<f32>::config(&TopKAccuracy::default().k(3));
    /// assert_eq!(config.into_metric::<f64>()?.name(), "top_3_accuracy");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    MetricConfig: "metric" {
        Accuracy Auc BinaryAccuracy CategoricalAccuracy CosineScore F1Score Precision R2Score Recall
        RootMeanSquaredError SparseCategoricalAccuracy TopKAccuracy;
        LossMetric(Box<LossConfig>) |loss| Metric::boxed(LossMetric::new(loss.into_loss::<T>()?))
    }
    /// Makes the metric; it is not prepared for a model's outputs yet.
    pub fn into_metric<T>() -> Box<dyn Metric<T>> { |metric| Metric::boxed(metric) }
}
