//! What the classes in files mean: this crate's, and those of one's own.

use std::any::type_name;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{article, foreign};
use crate::error::{Error, Result};
use crate::graph::{Step, described, op_step};
use crate::layer::{Layer, Op};
use crate::layers::{LayerConfig, OpConfig};
use crate::losses::{Loss, LossConfig};
use crate::metrics::{LossMetric, Metric, MetricConfig};
use crate::optimizers::{Optimizer, OptimizerConfig};
use crate::schedules::{Schedule, ScheduleConfig};
use crate::tensor::Float;

/// The classes that files may name: all of this crate's, and those of your own, so that a model of them loads in another program as it
/// was saved. Keras `custom_objects`.
///
/// A class of your own says under which name it is written, with its settings, in `config`; what implements serde's `Serialize` and
/// `Deserialize` is read again. Without settings the provided `config` is enough: a layer or an operation is called by its `class`, a loss, metric or
/// optimizer by its `name`, a schedule by the name of its type.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("gradus_doc_registry_{}.safetensors", std::process::id()));
/// use gradus::model::Registry;
/// use gradus::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// /// |ŷ − y|^power
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct Power {
///     power: i32,
/// }
///
/// impl<T: Float> Loss<T> for Power {
///     fn name(&self) -> &'static str {
///         "power"
///     }
///     fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
///         y_true.iter().zip(y_pred).map(|(&t, &p)| (p - t).abs().powi(self.power)).sum()
///     }
///     fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
///         for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
///             *d = scale * T::of(f64::from(self.power)) * (p - t).abs().powi(self.power - 1) * (p - t).signum();
///         }
///     }
///     fn config(&self) -> LossConfig {
///         LossConfig::own("Power", self)
///     }
/// }
///
/// let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
/// model.compile(Sgd::default(), Power { power: 4 }, ())?;
/// model.save(&path)?;
///
/// // Another program:
/// let registry = Registry::builtin().with_loss::<Power>("Power");
/// let mut model = Model::load_with(&path, &registry)?;
/// let (x, y) = (Tensor::from([[0.1f32, 0.2]]), Tensor::from([[0.3]]));
/// model.fit(&x, &y, &Fit::default().verbose(Verbose::Silent))?;
///
/// // Without it the file cannot be taken at its word:
/// assert!(Model::load(&path).unwrap_err().to_string().contains("with_loss::<Power>(\"Power\")"));
/// assert!(Model::load_uncompiled(&path).is_ok());
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Registry<T: Float = f32> {
    layers: Classes<Step>,
    ops: Classes<(Step, usize)>,
    losses: Classes<Box<dyn Loss<T>>>,
    metrics: Classes<Box<dyn Metric<T>>>,
    optimizers: Classes<Box<dyn Optimizer<T>>>,
    schedules: Classes<Arc<dyn Schedule>>,
    compile: bool,
    /// The first name that cannot be given.
    problem: Option<String>,
}

/// The classes of one kind that are not this crate's.
#[derive(Debug)]
struct Classes<V> {
    kind: &'static str,
    builtin: &'static [&'static str],
    own: BTreeMap<String, Reader<V>>,
}

/// What makes a value from its settings.
type Reader<V> = fn(&str) -> std::result::Result<V, String>;

impl<V> Classes<V> {
    fn new(kind: &'static str, builtin: &'static [&'static str]) -> Self {
        Classes { kind, builtin, own: BTreeMap::new() }
    }

    /// Takes a class in; the problem with its name, if there is one.
    fn add(&mut self, class: &str, read: Reader<V>) -> Option<String> {
        let kind = self.kind;
        if self.builtin.contains(&class) || class == "Custom" {
            return Some(format!("{class} is the name of {} {kind} of this crate", article(kind)));
        }
        let twice = self.own.insert(class.to_owned(), read).is_some();
        twice.then(|| format!("there are two {kind}s of the name {class}"))
    }

    fn make(&self, class: &str, settings: &str) -> Result<V> {
        let kind = self.kind;
        let failed = |problem: String, hint: String| Error::Config { op: "load", problem, hint };
        let Some(read) = self.own.get(class) else {
            if self.own.is_empty() {
                return Err(foreign(kind, class));
            }
            let known = self.own.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let problem = format!(
                "{class} is {} {kind} of your own that the registry does not know, which has {known}",
                article(kind)
            );
            return Err(failed(problem, format!("add .with_{kind}::<…>({class:?}) to it")));
        };
        read(settings).map_err(|e| {
            let problem = format!("the settings of the {kind} {class} ({settings:.200}) cannot be read: {e}");
            failed(
                problem,
                "let config() write what Deserialize reads, or read the file with the program that wrote it".into(),
            )
        })
    }
}

/// A value from its settings; one without any has none written.
fn read<V: DeserializeOwned>(settings: &str) -> std::result::Result<V, String> {
    if !settings.is_empty() {
        return serde_json::from_str(settings).map_err(|e| e.to_string());
    }
    if size_of::<V>() != 0 {
        let name = type_name::<V>();
        let name = name.rsplit("::").next().unwrap_or(name);
        return Err(format!(
            "{name} has fields and the file has no settings of it: let its config() be …Config::own(…, self)"
        ));
    }
    serde_json::from_str("null").or_else(|_| serde_json::from_str("{}")).map_err(|e| e.to_string())
}

impl<T: Float> Registry<T> {
    /// This crate's classes.
    pub fn builtin() -> Self {
        Registry {
            layers: Classes::new("layer", LayerConfig::CLASSES),
            ops: Classes::new("op", OpConfig::CLASSES),
            losses: Classes::new("loss", LossConfig::CLASSES),
            metrics: Classes::new("metric", MetricConfig::CLASSES),
            optimizers: Classes::new("optimizer", OptimizerConfig::CLASSES),
            schedules: Classes::new("schedule", ScheduleConfig::CLASSES),
            compile: true,
            problem: None,
        }
    }

    /// Adds a layer of your own under the name that its `config` or `class` says. A name that is taken is an error of what the registry
    /// is handed to.
    pub fn with_layer<L: Layer<T> + Clone + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.layers.add(class, |settings| Ok(described::<T, L>(read(settings)?)));
        self.noting(problem)
    }

    /// Adds a loss of your own under the name that its `config` or `name` says.
    pub fn with_loss<L: Loss<T> + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.losses.add(class, |settings| Ok(read::<L>(settings)?.boxed()));
        self.noting(problem)
    }

    /// Adds a metric of your own under the name that its `config` or `name` says.
    pub fn with_metric<M: Metric<T> + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.metrics.add(class, |settings| Ok(read::<M>(settings)?.boxed()));
        self.noting(problem)
    }

    /// Adds an optimizer of your own under the name that its `config` or `name` says.
    pub fn with_optimizer<O: Optimizer<T> + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.optimizers.add(class, |settings| Ok(read::<O>(settings)?.boxed()));
        self.noting(problem)
    }

    /// Adds a schedule of your own under the name that its `config` says; by default that of its type.
    pub fn with_schedule<S: Schedule + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.schedules.add(class, |settings| Ok(Arc::new(read::<S>(settings)?)));
        self.noting(problem)
    }

    /// Whether a model is compiled as its file says; yes by default.
    pub fn compile(mut self, compile: bool) -> Self {
        self.compile = compile;
        self
    }

    fn noting(mut self, problem: Option<String>) -> Self {
        self.problem = self.problem.or(problem);
        self
    }

    /// The error of a name that could not be given.
    pub(super) fn check(&self) -> Result<()> {
        self.problem.as_ref().map_or(Ok(()), |problem| {
            let (problem, hint) = (problem.clone(), "give each class of your own a name of its own".into());
            Err(Error::Config { op: "Registry", problem, hint })
        })
    }

    pub(super) fn compiles(&self) -> bool {
        self.compile
    }

    /// The step of a node that a file alone cannot make, and how many values it gives; none for one that is left to fail by itself.
    pub(super) fn step(&self, step: &Step) -> Option<Result<(Step, usize)>> {
        match step {
            Step::Layer(config) => match &**config {
                LayerConfig::Custom { class, settings } if !self.layers.own.is_empty() => {
                    Some(self.layers.make(class, settings).map(|step| (step, 1)))
                }
                _ => None,
            },
            Step::Op(config) => match &**config {
                OpConfig::Custom { class, settings } if !self.ops.own.is_empty() => {
                    Some(self.ops.make(class, settings))
                }
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn loss(&self, config: LossConfig) -> Result<Box<dyn Loss<T>>> {
        match config {
            LossConfig::Custom { class, settings } => self.losses.make(&class, &settings),
            config => config.into_loss(),
        }
    }

    pub(super) fn metric(&self, config: MetricConfig) -> Result<Box<dyn Metric<T>>> {
        match config {
            MetricConfig::Custom { class, settings } => self.metrics.make(&class, &settings),
            MetricConfig::LossMetric(loss) => Ok(LossMetric::new(self.loss(*loss)?).boxed()),
            config => config.into_metric(),
        }
    }

    pub(super) fn optimizer(&self, config: OptimizerConfig) -> Result<Box<dyn Optimizer<T>>> {
        match config {
            OptimizerConfig::Custom { class, settings } => self.optimizers.make(&class, &settings),
            config => config.into_optimizer_with(&|schedule| self.schedule(schedule)),
        }
    }

    fn schedule(&self, schedule: Arc<dyn Schedule>) -> Result<Arc<dyn Schedule>> {
        match schedule.config() {
            ScheduleConfig::Custom { class, settings } => self.schedules.make(&class, &settings),
            ScheduleConfig::Sequence(sequence) => Ok(Arc::new(sequence.try_map(&|schedule| self.schedule(schedule))?)),
            _ => Ok(schedule),
        }
    }
}

impl Registry<f32> {
    /// Adds an operation of your own under the name that its `config` or `class` says.
    pub fn with_op<O: Op<f32> + Clone + DeserializeOwned + 'static>(mut self, class: &str) -> Self {
        let problem = self.ops.add(class, |settings| Ok(op_step::<O>(read(settings)?)));
        self.noting(problem)
    }
}
