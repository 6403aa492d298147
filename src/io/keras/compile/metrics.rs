//! Keras's metrics.

use serde_json::Value;

use super::class::Class;
use super::config::Given;
use super::losses::known_loss;
use crate::io::keras::json::Problem;
use crate::metrics::*;

/// All metrics of an output.
pub(super) fn metrics(given: &Given) -> Result<Vec<MetricConfig>, Problem> {
    match given {
        Given::None => Ok(Vec::new()),
        Given::List(list) => list.iter().map(metric).collect(),
        one => Ok(vec![metric(one)?]),
    }
}

fn metric(given: &Given) -> Result<MetricConfig, Problem> {
    let mut s = Class::of(given)?;
    let named = matches!(given, Given::Named(_));
    let unknown = |s: &Class| format!("the metric {:.80} is not known here", s.name);
    let made = match s.plain().as_str() {
        // The function stands for what fits the output, the class for equal numbers.
        "accuracy" | "acc" if named => MetricConfig::Accuracy(Accuracy::default()),
        "binaryaccuracy" => {
            let threshold = s.number("threshold", 0.5)?;
            let metric = BinaryAccuracy::default();
            MetricConfig::BinaryAccuracy(if threshold == 0.5 { metric } else { metric.threshold(threshold) })
        }
        "categoricalaccuracy" => MetricConfig::CategoricalAccuracy(CategoricalAccuracy::default()),
        "sparsecategoricalaccuracy" => MetricConfig::SparseCategoricalAccuracy(SparseCategoricalAccuracy::default()),
        "topkcategoricalaccuracy" | "sparsetopkcategoricalaccuracy" => {
            s.only("from_sorted_ids", &[false.into()])?;
            MetricConfig::TopKAccuracy(TopKAccuracy::default().k(s.count_or("k", 5)? as usize))
        }
        "precision" => MetricConfig::Precision(precision_recall(&mut s, Precision::default())?),
        "recall" => MetricConfig::Recall(precision_recall(&mut s, Recall::default())?),
        "auc" => {
            s.only("summation_method", &["interpolation".into()])?;
            s.only("multi_label", &[false.into()])?;
            s.only("thresholds", &[Value::Null])?;
            let metric = Auc::default().num_thresholds(s.count_or("num_thresholds", 200)? as usize);
            let metric = if s.flag("from_logits")? { metric.from_logits(true) } else { metric };
            MetricConfig::Auc(match s.text("curve")?.as_deref() {
                None | Some("ROC") => metric,
                Some("PR") => metric.curve(Curve::PrecisionRecall),
                Some(other) => return Err(s.wrong("curve", &other.into())),
            })
        }
        "f1score" => {
            let average = match s.text("average")?.as_deref() {
                Some("macro") => Average::Macro,
                Some("micro") => Average::Micro,
                Some("weighted") => Average::Weighted,
                _ => return Err("an F1Score without an average, which is one number for each class".to_owned()),
            };
            let metric = F1Score::default().average(average);
            MetricConfig::F1Score(match s.maybe("threshold")? {
                Some(threshold) => metric.threshold(threshold),
                None => metric,
            })
        }
        "r2score" => {
            s.only("class_aggregation", &["uniform_average".into()])?;
            s.only("num_regressors", &[0.into()])?;
            MetricConfig::R2Score(R2Score::default())
        }
        "rootmeansquarederror" => MetricConfig::RootMeanSquaredError(RootMeanSquaredError::default()),
        "cosinesimilarity" => {
            s.only("axis", &[(-1).into()])?;
            MetricConfig::CosineScore(CosineScore::default())
        }
        _ => match known_loss(&mut s)? {
            Some(loss) => MetricConfig::LossMetric(Box::new(loss)),
            None => return Err(unknown(&s)),
        },
    };
    s.end(made)
}

fn precision_recall<const RECALL: bool>(
    s: &mut Class,
    metric: PrecisionRecall<RECALL>,
) -> Result<PrecisionRecall<RECALL>, Problem> {
    s.only("top_k", &[Value::Null])?;
    let metric = match s.take("thresholds") {
        None => metric,
        Some(Value::Array(list)) if list.len() == 1 && list[0].is_number() => {
            metric.threshold(list[0].as_f64().unwrap_or(f64::NAN))
        }
        Some(value) => match value.as_f64() {
            Some(threshold) => metric.threshold(threshold),
            None => return Err(s.wrong("thresholds", &value)),
        },
    };
    Ok(match s.count("class_id")? {
        Some(class) => metric.class_id(class as usize),
        None => metric,
    })
}
