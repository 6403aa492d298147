//! What a run is set up with, as texts by name: how a checkpoint tells that it is of another run.

use std::fmt::{Debug, Display};

use super::digest::{digest, joined, sampled};
use crate::data::Batch;
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::{Float, Tensor};

/// Names and texts, such as `optimizer.learning_rate` and `0.001`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(Vec<(String, String)>);

/// How many of the values of data go into their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// [`GLANCED`], and batches as they are trained on: of a run that is compared with nothing, in case it is saved.
    Glance,
    /// [`SAMPLED`], and batches that are loaded for it: of a run that was resumed by hand.
    Sample,
    /// All, and batches that are loaded for it: of a run with checkpoints.
    Whole,
}

/// The most values of a tensor that cost a run nothing.
const GLANCED: usize = 1 << 16;

/// The most values of a tensor that cost a run little.
const SAMPLED: usize = 1 << 22;

/// The names of the digests of batches.
pub(crate) const FIRST_BATCH: &str = "first batch";
pub(crate) const LAST_BATCH: &str = "last batch";

/// The name of the digest of the weights that a run began with.
pub(crate) const START: &str = "weights at the start";

/// The name of the setting that every model's own settings have.
pub(crate) const OPTIMIZER: &str = "optimizer name";

/// The longest text that a message shows whole.
const SHOWN: usize = 60;

/// The most differences that a message lists.
const LISTED: usize = 12;

impl Settings {
    pub fn put(&mut self, name: impl Into<String>, text: impl Display) {
        // One line each, its name ending at the first tab.
        let text = text.to_string().replace(['\n', '\r', '\t'], " ");
        self.0.push((name.into().replace(['\n', '\r', '\t'], " "), text));
    }

    /// Puts those of another behind these.
    pub fn append(&mut self, mut other: Settings) {
        self.0.append(&mut other.0);
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
    }

    /// A value's derived `Debug` as one text for each of its fields.
    pub fn put_fields(&mut self, name: &str, value: &dyn Debug) {
        let text = format!("{value:#?}");
        let mut path = vec![(name.to_owned(), 0usize)];
        for line in text.lines() {
            let line = line.trim();
            if matches!(line.trim_end_matches(','), "}" | ")" | "]") {
                if let Some((of, n)) = path.pop().filter(|_| line.starts_with(']')) {
                    self.put(of, format!("{n} values"));
                }
                continue;
            }
            let named = line
                .split_once(": ")
                .filter(|(field, _)| field.chars().all(|c| c.is_alphanumeric() || c == '_') && !field.is_empty());
            let first = path.len() == 1 && path[0].1 == 0;
            let Some((parent, n)) = path.last_mut() else { return };
            let (own, rest) = match named {
                _ if first => (parent.clone(), line),
                // What every optimizer has beside its rule is not named after the struct that holds it.
                Some(("options", rest)) => (parent.clone(), rest),
                Some((field, rest)) => (format!("{parent}.{field}"), rest),
                None => (format!("{parent}.{n}"), line),
            };
            *n += 1;
            if let Some(kind) = rest.strip_suffix(['{', '(', '[']) {
                let kind = kind.trim();
                // Options bring their fields to what holds them, and no kind of their own.
                let options = matches!(named, Some(("options", _)));
                if !kind.is_empty() && (first || !options) {
                    self.put(own.clone(), kind);
                }
                path.push((own, 0));
            } else {
                self.put(own, rest.trim_end_matches(','));
            }
        }
    }

    /// Each number and text of a value of JSON, by its path.
    pub fn put_json(&mut self, name: &str, value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| self.put_json(&format!("{name}.{field}"), value));
            }
            serde_json::Value::Array(values) if values.iter().any(|v| v.is_object() || v.is_array()) => {
                values.iter().enumerate().for_each(|(i, value)| self.put_json(&format!("{name}.{i}"), value));
            }
            value => self.put(name, value),
        }
    }

    /// A tensor's shape and hashes of its values. Those of more values have names of their own, and those of less are there as
    /// well, so that runs that were looked at to different depths can be compared.
    pub fn put_tensor<T: Float>(&mut self, name: &str, x: &Tensor<T>, depth: Depth) {
        if x.len() > GLANCED {
            let few = sampled(x.as_slice(), GLANCED);
            self.put(format!("a few values of {name}"), format!("{} with digest {few:016x}", x.shape()));
        }
        if x.len() <= GLANCED || depth >= Depth::Sample {
            self.put(name, format!("{} with digest {:016x}", x.shape(), sampled(x.as_slice(), SAMPLED)));
        }
        if x.len() > SAMPLED && depth == Depth::Whole {
            self.put(format!("all of {name}"), format!("digest {:016x}", digest(x.as_slice())));
        }
    }

    /// A batch's shapes and a hash of its values and weights.
    pub fn put_batch<T: Float>(&mut self, name: &str, batch: &Batch<T>) {
        let Batch { x, y, weights, more_x, more_y, more_weights, masks } = batch;
        let digest = joined([x.as_slice(), y.as_slice(), weights], SAMPLED);
        self.put(name, format!("{} and {} with digest {digest:016x}", x.shape(), y.shape()));
        // In one line, so that what comes or goes is seen.
        let more = more_x.iter().chain(more_y).map(Tensor::as_slice).chain(more_weights.iter().map(Vec::as_slice));
        let all = more.map(|values| (values.len(), sampled(values, SAMPLED)));
        let places =
            |mask: &Vec<bool>| -> Vec<T> { mask.iter().map(|&on| if on { T::one() } else { T::zero() }).collect() };
        let masks = masks.iter().enumerate().filter(|(_, mask)| !mask.is_empty());
        let masks = masks.map(|(i, mask)| (i, sampled(&places(mask), SAMPLED)));
        let mut digest = 0u64;
        for (number, part) in all.chain(masks) {
            digest = (digest ^ part).rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number as u64;
        }
        self.put(format!("{name}, what is more"), format!("digest {digest:016x}"));
    }

    /// The first and the last of `n` batches.
    pub fn put_batches<T: Float>(
        &mut self,
        prefix: &str,
        n: usize,
        load: impl Fn(usize, &mut Batch<T>) -> Result<()>,
    ) -> Result<()> {
        let mut batch = Batch::default();
        let last = n.checked_sub(1).filter(|&last| last > 0);
        for (name, index) in [(FIRST_BATCH, Some(0)), (LAST_BATCH, last)] {
            let Some(index) = index else { continue };
            batch.clear_weights();
            load(index, &mut batch)?;
            self.put_batch(&format!("{prefix}{name}"), &batch);
        }
        Ok(())
    }

    pub fn put_weights<T: Float>(&mut self, name: impl Into<String>, weights: Option<&[T]>) {
        match weights {
            None | Some([]) => self.put(name, "none"),
            Some(weights) => self.put(name, format!("{} with digest {:016x}", weights.len(), digest(weights))),
        }
    }

    /// All of them as one text.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, text)| format!("{name}\t{text}\n")).collect()
    }

    pub fn parse(text: &str) -> Self {
        let split = text.lines().filter_map(|line| line.split_once('\t'));
        Settings(split.map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    /// What both have under a name and is not the same; a setting that only one of them knows is of another version.
    pub fn differences(&self, now: &Settings) -> Vec<String> {
        let differs = |(name, old): &(String, String)| {
            let new = now.get(name).filter(|new| new != old)?;
            Some(difference(name, old, new))
        };
        self.0.iter().filter_map(differs).collect()
    }

    /// Where another rank's settings differ from these, what only one of both has included.
    pub fn differences_of_ranks(&self, other: &Settings) -> Vec<String> {
        const NONE: &str = "nothing";
        let differs = |(name, own): &(String, String)| {
            let there = other.get(name).unwrap_or(NONE);
            (there != own).then(|| between_ranks(name, there, own))
        };
        let more = other.0.iter().filter(|(name, _)| self.get(name).is_none());
        let more = more.map(|(name, there)| between_ranks(name, there, NONE));
        self.0.iter().filter_map(differs).chain(more).collect()
    }
}

/// `x`, `x 1`, `x 2` …
pub(crate) fn numbered(name: &str, i: usize) -> String {
    if i == 0 { name.to_owned() } else { format!("{name} {i}") }
}

pub(crate) fn difference(name: &str, old: &str, new: &str) -> String {
    format!("{name}: {} then, {} now", short(old), short(new))
}

fn between_ranks(name: &str, there: &str, first: &str) -> String {
    format!("{name}: {} there, {} on rank 0", short(there), short(first))
}

/// The beginning of a long text.
fn short(text: &str) -> String {
    match text.chars().count() {
        0..=SHOWN => text.to_owned(),
        _ => text.chars().take(SHOWN).chain(['…']).collect(),
    }
}

/// The first of many differences, on one line.
pub(crate) fn list(differences: &[String]) -> String {
    let more = differences.len().saturating_sub(LISTED);
    let listed = differences[..differences.len() - more].join("; ");
    if more > 0 { format!("{listed}; and {more} more") } else { listed }
}

/// Where two architectures differ.
pub(crate) fn layer_differences(old: &Graph, new: &Graph) -> Vec<String> {
    // By way of the text that models are saved as, so that no second way is compiled for all layers.
    let value = |graph: &Graph| serde_json::from_str(&serde_json::to_string(&graph.written())?);
    let both: [std::result::Result<serde_json::Value, serde_json::Error>; 2] = [value(old), value(new)];
    let [Ok(old), Ok(new)] = both else { return Vec::new() };
    let mut out = Vec::new();
    compare_inputs(&old["inputs"], &new["inputs"], &mut out);
    compare_nodes("", &old["nodes"], &new["nodes"], &mut out);
    if old["adapters"] != new["adapters"] {
        out.push(difference("adapters", &old["adapters"].to_string(), &new["adapters"].to_string()));
    }
    if old["outputs"] != new["outputs"] {
        out.push(difference("outputs", &old["outputs"].to_string(), &new["outputs"].to_string()));
    }
    out
}

fn compare_inputs(old: &serde_json::Value, new: &serde_json::Value, out: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old.as_array().map(Vec::as_slice), new.as_array().map(Vec::as_slice)) {
        (Some([old]), Some([new])) if old["name"] == new["name"] => {
            out.push(difference("input", &old["shape"].to_string(), &new["shape"].to_string()));
        }
        _ => out.push(difference("inputs", &old.to_string(), &new.to_string())),
    }
}

/// Nodes one by one, as far as both have them.
fn compare_nodes(prefix: &str, old: &serde_json::Value, new: &serde_json::Value, out: &mut Vec<String>) {
    let empty = Vec::new();
    let [old, new] = [old, new].map(|nodes| nodes.as_array().unwrap_or(&empty));
    if old.len() != new.len() {
        out.push(difference(&format!("{prefix}layers"), &old.len().to_string(), &new.len().to_string()));
    }
    for (i, (old, new)) in old.iter().zip(new).enumerate() {
        compare(&format!("{prefix}layer {i}"), old, new, out);
    }
}

fn compare(path: &str, old: &serde_json::Value, new: &serde_json::Value, out: &mut Vec<String>) {
    use serde_json::Value::{Array, Null, Object};
    match (old, new) {
        (Object(a), Object(b)) => {
            let nodes = [a, b].map(|node| node.get("nodes").unwrap_or(&Null));
            compare_nodes(&format!("{path} "), nodes[0], nodes[1], out);
            for (key, a) in a.iter().filter(|(key, _)| *key != "nodes") {
                let below = if ["layer", "op", "config"].contains(&key.as_str()) {
                    path.into()
                } else {
                    format!("{path}.{key}")
                };
                compare(&below, a, b.get(key).unwrap_or(&Null), out);
            }
            let added = b.iter().filter(|(key, _)| *key != "nodes" && !a.contains_key(*key));
            out.extend(added.map(|(key, b)| difference(&format!("{path}.{key}"), "null", &b.to_string())));
        }
        (Array(a), Array(b)) if a.len() == b.len() && a.iter().any(|v| v.is_object()) => {
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| compare(&format!("{path}.{i}"), a, b, out));
        }
        (a, b) if a != b => out.push(difference(path, &a.to_string(), &b.to_string())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn fields_of_a_value() {
        let adam = Adam::default().learning_rate(CosineDecay::new(0.1, 10)).ema(0.9).beta_1(0.8);
        let mut settings = Settings::default();
        settings.put_fields("optimizer", &adam);
        assert_eq!(settings.get("optimizer"), Some("Adam"));
        assert_eq!(settings.get("optimizer.learning_rate"), Some("CosineDecay"));
        assert_eq!(settings.get("optimizer.ema_momentum.0"), Some("0.9"));
        assert_eq!(settings.get("optimizer.betas.beta_1"), Some("0.8"));
        assert_eq!(Settings::parse(&settings.text()), settings);
        let mut other = Settings::default();
        other.put_fields("optimizer", &Adam::default().learning_rate(0.1).beta_1(0.8));
        let differences = settings.differences(&other);
        assert_eq!(
            differences,
            ["optimizer.learning_rate: CosineDecay then, 0.1 now", "optimizer.ema_momentum: Some then, None now"]
        );
        let mut lists = Settings::default();
        lists.put_fields("rule", &("a: {", vec![1.5, 2.5], Vec::<u8>::new()));
        assert_eq!(lists.get("rule.0"), Some("\"a: {\""));
        assert_eq!((lists.get("rule.1"), lists.get("rule.1.1")), (Some("2 values"), Some("2.5")));
        assert_eq!(lists.get("rule.2"), Some("[]"));
    }

    /// Whatever depths two runs were looked at to, there is something to compare.
    #[test]
    fn data_at_every_depth() {
        let depths = [Depth::Glance, Depth::Sample, Depth::Whole];
        let of = |x: &Tensor, depth| {
            let mut settings = Settings::default();
            settings.put_tensor("x", x, depth);
            settings
        };
        for n in [10, GLANCED, GLANCED + 1, SAMPLED + 1] {
            let [x, other] = [0.5, 0.25].map(|v| depths.map(|depth| of(&Tensor::full([n], v), depth)));
            for (a, b) in (0..9).map(|i| (i / 3, i % 3)) {
                assert_eq!(x[a].differences(&x[b]), [""; 0], "{n} {a} {b}");
                assert_ne!(x[a].differences(&other[b]), [""; 0], "{n} {a} {b}");
            }
        }
        // One value of many is found by those who look at all.
        let mut x = Tensor::full([SAMPLED + 1000], 0.5f32);
        let before = of(&x, Depth::Whole);
        x.as_mut_slice()[SAMPLED / 2 + 100] = 0.25;
        let after = of(&x, Depth::Whole);
        assert!(before.differences(&after).iter().any(|d| d.starts_with("all of x: digest ")));
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<String> = (0..15).map(|i| format!("{i}")).collect();
        assert!(list(&many).ends_with("11; and 3 more"));
        assert!(difference("x", &"y".repeat(99), "z").len() < 90);
    }
}
