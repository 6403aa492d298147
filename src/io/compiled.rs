//! How a model was compiled, as a value that serde writes and reads.

use serde::{Deserialize, Serialize};

use crate::losses::LossConfig;
use crate::metrics::MetricConfig;
use crate::optimizers::OptimizerConfig;

/// What `compile` was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compiled {
    pub optimizer: OptimizerConfig,
    pub heads: Vec<CompiledHead>,
}

/// How one output is trained and measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompiledHead {
    pub output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossConfig>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub loss_weight: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricConfig>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weighted_metrics: Vec<MetricConfig>,
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

#[cfg(feature = "files")]
impl Compiled {
    /// As JSON; an error for what would come back from it as something else.
    pub fn text(&self) -> crate::Result<String> {
        let problem = match self.text_and_again() {
            Ok((text, again)) if text == again => match self.settings().find(|(_, s)| !s.is_empty() && !is_json(s)) {
                None => return Ok(text),
                Some((class, settings)) => format!("the settings of {class} are no JSON ({settings:.80})"),
            },
            Ok(_) => "a setting of optimizer, loss or metrics would come back from a file as another".to_owned(),
            Err(e) => format!("optimizer, loss or metrics could not be read back from a file ({e})"),
        };
        let hint = "numbers that are not finite cannot be written: correct the setting, or what `config` says of it";
        Err(crate::Error::Config { op: "compile", problem, hint: hint.into() })
    }

    fn text_and_again(&self) -> serde_json::Result<(String, String)> {
        let text = serde_json::to_string(self)?;
        let again = serde_json::to_string(&serde_json::from_str::<Compiled>(&text)?)?;
        Ok((text, again))
    }

    /// Class and settings of what is from outside this crate.
    fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let optimizer = match &self.optimizer {
            OptimizerConfig::Custom { class, settings } => Some((&**class, &**settings)),
            _ => None,
        };
        let losses = self.heads.iter().filter_map(|head| match &head.loss {
            Some(LossConfig::Custom { class, settings }) => Some((&**class, &**settings)),
            _ => None,
        });
        let metrics = self.heads.iter().flat_map(|head| head.metrics.iter().chain(&head.weighted_metrics));
        let metrics = metrics.filter_map(|metric| match metric {
            MetricConfig::Custom { class, settings } => Some((&**class, &**settings)),
            _ => None,
        });
        optimizer.into_iter().chain(losses).chain(metrics)
    }
}

#[cfg(feature = "files")]
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
