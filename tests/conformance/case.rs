//! One file of reference values, its settings, and comparison with what this crate computes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use gradus::{Float, Shape, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// `None` for a case that passed, the class for one that is not built yet, else what is wrong.
pub type Outcome = Result<Option<&'static str>, String>;

/// A case: what its file holds.
pub struct Case {
    /// The file's name without extension.
    pub name: String,
    /// The settings not yet read.
    pub config: Config,
    tensors: BTreeMap<String, Tensor<f64>>,
}

impl Case {
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get("config")).ok_or("no config in the metadata")?;
        let config = serde_json::from_str(text).map_err(|e| format!("config: {e}"))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let words = view.data().chunks_exact(8).map(|b| <[u8; 8]>::try_from(b).unwrap_or_default());
            let values: Vec<f64> = match view.dtype() {
                Dtype::F64 => words.map(f64::from_le_bytes).collect(),
                Dtype::I64 => words.map(|b| i64::from_le_bytes(b) as f64).collect(),
                other => return Err(format!("{name} is {other:?}, expected F64 or I64")),
            };
            let shape = Shape::try_from(view.shape()).map_err(|e| e.to_string())?;
            tensors.insert(name, Tensor::new(shape, values).map_err(|e| e.to_string())?);
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Case { name, config: Config(config), tensors })
    }

    /// The longest of some class names with which the case's name begins.
    pub fn class(&self, classes: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
        let begins = |class: &&str| self.name.strip_prefix(*class).is_some_and(|r| r.is_empty() || r.starts_with('_'));
        classes.into_iter().filter(begins).max_by_key(|class| class.len())
    }

    /// A tensor that must be there.
    pub fn tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>, String> {
        self.find(name).ok_or_else(|| format!("no tensor {name}"))
    }

    /// A tensor that may be there.
    pub fn find<T: Float>(&self, name: &str) -> Option<Tensor<T>> {
        self.tensors.get(name).map(Tensor::cast)
    }

    /// The rest of the names that begin with `prefix`, in alphabetical order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.tensors.keys().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// The outcome, unless a setting was not understood.
    pub fn finish(&self, outcome: Option<&'static str>) -> Outcome {
        if outcome.is_none() {
            self.config.finish()?;
        }
        Ok(outcome)
    }
}

/// Settings by name, each taken once.
#[derive(Clone, Default)]
pub struct Config(Map<String, Value>);

impl Config {
    /// These settings.
    #[cfg(feature = "keras")]
    pub fn new(settings: Map<String, Value>) -> Self {
        Config(settings)
    }

    /// Takes a setting; `null` counts as left out.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    fn take<V>(&mut self, name: &str, kind: &str, read: impl Fn(&Value) -> Option<V>) -> Result<Option<V>, String> {
        let wrong = |v: &Value| format!("{name} is {v}, expected {kind}");
        self.value(name).map(|v| read(&v).ok_or_else(|| wrong(&v))).transpose()
    }

    pub fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        self.take(name, "a number", Value::as_f64)
    }

    /// A number that Keras on TensorFlow holds in single precision even where all tensors are float64.
    pub fn single(&mut self, name: &str) -> Result<Option<f64>, String> {
        Ok(self.number(name)?.map(|v| f64::from(v as f32)))
    }

    pub fn size(&mut self, name: &str) -> Result<Option<u64>, String> {
        // Keras writes some counts as 10.0.
        let whole =
            |v: &Value| v.as_u64().or_else(|| v.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64));
        self.take(name, "a whole number", whole)
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        self.take(name, "true or false", Value::as_bool)
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take(name, "a text", |v| v.as_str().map(str::to_owned))
    }

    pub fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, String> {
        self.take(name, "a list of numbers", |v| v.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A setting that has one value only here.
    pub fn only(&mut self, name: &str, value: Value) -> Result<(), String> {
        match self.value(name) {
            Some(v) if v != value => Err(format!("{name} {v} is not supported, only {value}")),
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(format!("settings not understood: {}", self.0.keys().cloned().collect::<Vec<_>>().join(", ")))
    }
}

/// `?` on what may be left out: the builder's method is called where the setting is there.
pub fn set<B, V>(builder: B, value: Option<V>, method: impl Fn(B, V) -> B) -> B {
    match value {
        Some(v) => method(builder, v),
        None => builder,
    }
}

/// The largest errors of a kind of case, in f64 and f32.
#[derive(Default)]
pub struct Errors([Option<f64>; 2]);

impl Errors {
    /// Compares values with those expected, relative to the largest expected one.
    pub fn check<T: Float>(
        &mut self,
        what: impl fmt::Display,
        got: &[T],
        expected: &[f64],
        f64_tolerance: f64,
    ) -> Result<(), String> {
        let single = T::NAME == "f32";
        let tolerance = if single { 2e-4 } else { f64_tolerance };
        if got.len() != expected.len() {
            return Err(format!("{what} has {} values, expected {} ({})", got.len(), expected.len(), T::NAME));
        }
        let largest = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let mut worst = 0f64;
        for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
            let error = (got.as_f64() - expected).abs() / scale;
            if error > tolerance || error.is_nan() {
                let got = got.as_f64();
                return Err(format!(
                    "{what}[{i}] is {got:e}, expected {expected:e}: error {error:.1e}, allowed {tolerance:e} ({})",
                    T::NAME
                ));
            }
            worst = worst.max(error);
        }
        let all = &mut self.0[usize::from(single)];
        *all = Some(all.unwrap_or(0.0).max(worst));
        Ok(())
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [None, None] => Ok(()),
            [Some(a), None] => write!(f, " (largest error {a:.1e})"),
            [a, b] => write!(f, " (largest error {:.1e} in f64, {:.1e} in f32)", a.unwrap_or(0.0), b.unwrap_or(0.0)),
        }
    }
}
