//! `config.json`: what a folder's model is.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::io::{atomic, open_file};
use crate::models::{Gpt2, GptNeoX, Llama};

/// The longest file that is read.
const MAX_LEN: u64 = 1 << 20;

/// The most classes whose names are made.
const MAX_LABELS: usize = 1 << 16;

/// Whole numbers are below this: products of two or three sizes are told from mistakes before they are multiplied.
const MAX_WHOLE: u64 = 1 << 40;

/// Keys that change no number that is computed here: how a file was made, how texts are generated, how Python runs the model, and the sizes of parts
/// that other classes have.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "directionality",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "language",
    "length_penalty",
    "max_length",
    "min_length",
    "model_max_length",
    "model_type",
    "n_ctx",
    "n_special",
    "name",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "qa_dropout",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "vocab_type",
];

/// The settings of a folder, from its `config.json`, in the words of transformers 4 or 5.
///
/// Every key is either read by the model's family, or known to change no number; any other is an error when a folder is opened, as it might.
#[derive(Clone, Debug)]
pub struct Config {
    file: PathBuf,
    values: Map<String, Value>,
    used: BTreeSet<String>,
    /// What a family of language models has made of them.
    pub(super) recipe: Option<Recipe>,
}

/// A model's own settings, of the families that can be written as GGUF.
#[derive(Clone, Debug)]
pub(super) enum Recipe {
    Gpt2(Gpt2),
    GptNeoX(GptNeoX),
    Llama(Box<Llama>),
}

impl Config {
    /// Reads the file of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        Self::of_file(folder.join("config.json"))
    }

    /// Reads another file of the same form.
    pub(super) fn of_file(file: PathBuf) -> Result<Self> {
        Ok(Config { values: read_object(&file, MAX_LEN)?, file, used: BTreeSet::new(), recipe: None })
    }

    /// Settings that come from another file than a folder's.
    pub(super) fn of(file: &Path, values: Map<String, Value>) -> Self {
        Config { file: file.to_owned(), values, used: BTreeSet::new(), recipe: None }
    }

    /// The family of the model, `model_type`: `"bert"`, `"llama"` …; empty where the file does not say.
    pub fn model_type(&self) -> &str {
        self.values.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The class of the model in Python, the first of `architectures`: `"BertForMaskedLM"` …
    pub fn architecture(&self) -> Option<&str> {
        self.values.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// The names of a classifier's classes, in their order: `id2label`, else `LABEL_0` and so on for `num_labels`, 2 by default.
    ///
    /// # Errors
    /// [`Error::File`] for names that do not count from 0 on.
    pub fn labels(&self) -> Result<Vec<String>> {
        let names = match self.values.get("id2label") {
            Some(Value::Object(names)) => names,
            None | Some(Value::Null) => {
                let count = match self.values.get("num_labels") {
                    None | Some(Value::Null) => 2,
                    Some(count) => whole(count)
                        .filter(|count| (1..=MAX_LABELS).contains(count))
                        .ok_or_else(|| self.unfit("num_labels", &format!("a whole number from 1 to {MAX_LABELS}")))?,
                };
                return Ok((0..count).map(|i| format!("LABEL_{i}")).collect());
            }
            Some(_) => return Err(self.unfit("id2label", "an object of names by numbers")),
        };
        let label = |i: usize| match names.get(&i.to_string()) {
            Some(Value::String(label)) => Ok(label.clone()),
            other => {
                let got = other.map_or("none".to_owned(), Value::to_string);
                let problem = format!("id2label has {} names, and for {i} {got}", names.len());
                Err(self.wrong(problem, "give each class from 0 on a name"))
            }
        };
        (0..names.len()).map(label).collect()
    }

    /// The tokens of a key such as `"eos_token_id"`, which holds one or a list; none where there is no such key.
    ///
    /// # Errors
    /// [`Error::File`] for what is no token.
    pub fn tokens(&self, key: &str) -> Result<Vec<u32>> {
        tokens(self.values.get(key)).ok_or_else(|| self.unfit(key, "a token id, or a list of those"))
    }

    /// The token of padding; none where the file says nothing, null or −1, as files of Llama do.
    pub(super) fn padding(&self) -> Result<Option<u32>> {
        match self.values.get("pad_token_id") {
            None | Some(Value::Null) => Ok(None),
            Some(value) if value.as_i64() == Some(-1) => Ok(None),
            Some(_) => match self.tokens("pad_token_id")?[..] {
                [padding] => Ok(Some(padding)),
                _ => Err(self.unfit("pad_token_id", "one token")),
            },
        }
    }

    /// The file's contents as they were read, as JSON.
    pub fn to_json(&self) -> String {
        // Names are strings, and numbers are finite.
        serde_json::to_string_pretty(&self.values).unwrap_or_default()
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Changes what will be written.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Takes a key away for a while.
    pub(super) fn hide(&mut self, key: &str) -> Option<(String, Value)> {
        self.values.remove_entry(key)
    }

    /// Takes the names of classes.
    pub(super) fn set_labels(&mut self, labels: &[String]) {
        let numbered = || labels.iter().enumerate();
        let ids: Map<String, Value> = numbered().map(|(i, label)| (label.clone(), i.into())).collect();
        let names: Map<String, Value> = numbered().map(|(i, label)| (i.to_string(), label.as_str().into())).collect();
        self.values.remove("num_labels");
        self.set("id2label", names);
        self.set("label2id", ids);
    }

    /// Takes the name of the type of numbers, in the dialect that the file has.
    pub(super) fn set_dtype(&mut self, dtype: &str) {
        let old = self.values.contains_key("torch_dtype");
        if old {
            self.set("torch_dtype", dtype);
        }
        if !old || self.values.contains_key("dtype") {
            self.set("dtype", dtype);
        }
    }

    /// Writes the file into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join("config.json"), &Value::Object(self.values.clone()))
    }

    /// An error of the file.
    pub(super) fn wrong(&self, problem: impl Display, hint: impl Display) -> Error {
        Error::file(&self.file, problem, hint)
    }

    fn unfit(&self, key: &str, expected: &str) -> Error {
        let got = self.values.get(key).map_or("nothing".to_owned(), Value::to_string);
        self.wrong(format!("{key} is {got}, expected {expected}"), "correct the file, or fetch it again")
    }

    /// An error for a setting that changes numbers and is not built.
    pub(super) fn refuse(&self, key: &str, known: impl Display) -> Error {
        let got = self.values.get(key).map_or("nothing".to_owned(), Value::to_string);
        self.wrong(
            format!("{key} is {got}, which changes what the model computes and is not built"),
            format!("known: {known}"),
        )
    }

    /// A value, which has been asked for from now on.
    pub(super) fn value(&mut self, key: &str) -> Option<&Value> {
        self.used.insert(key.to_owned());
        self.values.get(key)
    }

    fn take<V>(&mut self, key: &str, kind: &str, read: impl Fn(&Value) -> Option<V>) -> Result<Option<V>> {
        match self.value(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.unfit(key, kind)),
            },
        }
    }

    /// A whole number, if it is there and not null.
    pub(super) fn size(&mut self, key: &str) -> Result<Option<usize>> {
        self.take(key, "a whole number", whole)
    }

    /// A whole number, or what the class has where the file says nothing.
    pub(super) fn size_or(&mut self, key: &str, default: usize) -> Result<usize> {
        Ok(self.size(key)?.unwrap_or(default))
    }

    /// A number.
    pub(super) fn number_or(&mut self, key: &str, default: f64) -> Result<f64> {
        Ok(self.take(key, "a number", Value::as_f64)?.unwrap_or(default))
    }

    /// A number; none where the file says null, and the default where it says nothing.
    pub(super) fn number_unless_null(&mut self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.number_or(key, 0.0).map(Some),
        }
    }

    /// The part that is dropped in training.
    pub(super) fn dropout_or(&mut self, key: &str, default: f64) -> Result<f64> {
        let rate = self.number_or(key, default)?;
        if (0.0..1.0).contains(&rate) { Ok(rate) } else { Err(self.unfit(key, "a part from 0 on and below 1")) }
    }

    /// True or false.
    pub(super) fn flag_or(&mut self, key: &str, default: bool) -> Result<bool> {
        Ok(self.take(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A setting that is built with one value alone, which is the class's too.
    pub(super) fn only(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let only = value.into();
        match self.value(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if *value == only => Ok(()),
            Some(_) => Err(self.refuse(key, only)),
        }
    }

    /// An activation by transformers' name.
    pub(super) fn activation_or(&mut self, key: &str, default: &str) -> Result<Activation> {
        let name = self.take(key, "the name of an activation", |v| v.as_str().map(str::to_owned))?;
        activation(name.as_deref().unwrap_or(default))
            .ok_or_else(|| self.refuse(key, "gelu, gelu_new, relu, relu6, silu, mish, tanh, sigmoid, linear"))
    }

    /// A word.
    pub(super) fn word_or(&mut self, key: &str, default: &str) -> Result<String> {
        let word = self.take(key, "a word", |v| v.as_str().map(str::to_owned))?;
        Ok(word.unwrap_or_else(|| default.to_owned()))
    }

    /// A value, whether or not it counts for the model.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// One or two whole numbers: a square's side, or height and width.
    pub(super) fn sides_or(&mut self, key: &str, default: usize) -> Result<[usize; 2]> {
        let sides = |value: &Value| match value {
            Value::Array(both) => match &both[..] {
                [height, width] => Some([whole(height)?, whole(width)?]),
                _ => None,
            },
            side => whole(side).map(|side| [side; 2]),
        };
        Ok(self.take(key, "a whole number, or two", sides)?.unwrap_or([default; 2]))
    }

    /// An error for keys that nobody has asked for, unless they change no number or are said to.
    pub(super) fn finish(&self, ignored: &[String]) -> Result<()> {
        let left = self.unknown(ignored);
        if left.is_empty() {
            return Ok(());
        }
        let problem = format!("it is not known whether these change what the model computes: {}", left.join(", "));
        Err(self.wrong(problem, "if they do not, name them to OpenOptions::ignore_key"))
    }

    /// Those keys, with their values.
    pub(super) fn unknown(&self, ignored: &[String]) -> Vec<String> {
        let known = |key: &String| {
            key == "architectures"
                || self.used.contains(key)
                || HARMLESS.contains(&key.as_str())
                || ignored.contains(key)
        };
        let left = self.values.iter().filter(|(key, value)| !known(key) && !value.is_null());
        left.map(|(k, v)| format!("{k}: {v}")).collect()
    }
}

/// An activation by transformers' name.
pub(super) fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "silu" | "swish" => Activation::Silu,
        "mish" => Activation::Mish,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "linear" => Activation::Linear,
        _ => return None,
    })
}

/// A whole number, also where it is written as 12.0.
fn whole(value: &Value) -> Option<usize> {
    let float = |v: &Value| v.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n)).map(|n| n as u64);
    value.as_u64().or_else(|| float(value)).filter(|n| *n < MAX_WHOLE).and_then(|n| usize::try_from(n).ok())
}

/// A token or a list of tokens.
pub(super) fn tokens(value: Option<&Value>) -> Option<Vec<u32>> {
    let token = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(token).collect(),
        Some(one) => token(one).map(|token| vec![token]),
    }
}

/// An object of JSON from a file of at most so many bytes.
pub(super) fn read_object(file: &Path, most: u64) -> Result<Map<String, Value>> {
    read_json(file, most).and_then(|value| match value {
        Value::Object(values) => Ok(values),
        _ => Err(Error::file(file, "expected an object of JSON", "fetch the file again")),
    })
}

/// A value of JSON from a file of at most so many bytes.
pub(super) fn read_json(file: &Path, most: u64) -> Result<Value> {
    let failed = |source| Error::Io { file: file.to_owned(), source };
    let (opened, len) = open_file(file)?;
    if len > most {
        return Err(Error::file(file, format!("{len} bytes, at most {most} are read"), "fetch the file again"));
    }
    let mut text = Vec::new();
    opened.take(most).read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|e| Error::file(file, e, "it is to be JSON: fetch the file again"))
}

/// Writes JSON, whole or not at all.
pub(super) fn write_json(file: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    atomic::replace(file, |out| std::io::Write::write_all(out, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(values: Value) -> Config {
        let Value::Object(values) = values else { panic!("an object") };
        Config::of(Path::new("config.json"), values)
    }

    #[test]
    fn keys_are_asked_for_harmless_or_refused() {
        let mut c = config(json!({"hidden_size": 8.0, "use_cache": true, "strange": 3, "nothing": null}));
        assert_eq!(c.size("hidden_size").unwrap(), Some(8));
        let error = c.finish(&[]).unwrap_err().to_string();
        assert!(
            error.contains("config.json: it is not known whether these change what the model computes: strange: 3"),
            "{error}"
        );
        assert!(c.finish(&["strange".to_owned()]).is_ok());
    }

    #[test]
    fn what_is_not_built_names_key_and_value() {
        let mut c = config(
            json!({"hidden_act": "quick_gelu", "position_embedding_type": "relative_key", "eps": "x", "rate": 1.0}),
        );
        let error = c.activation_or("hidden_act", "gelu").unwrap_err().to_string();
        assert!(error.contains("hidden_act is \"quick_gelu\", which changes what the model computes"), "{error}");
        let error = c.only("position_embedding_type", "absolute").unwrap_err().to_string();
        assert!(error.contains("position_embedding_type is \"relative_key\"") && error.contains("absolute"), "{error}");
        assert!(c.number_or("eps", 1.0).unwrap_err().to_string().contains("eps is \"x\", expected a number"));
        assert!(c.dropout_or("rate", 0.0).is_err());
        assert_eq!(c.activation_or("missing", "gelu_new").unwrap(), Activation::GeluTanh);
    }

    #[test]
    fn labels_and_tokens() {
        assert_eq!(config(json!({"id2label": {"1": "b", "0": "a"}})).labels().unwrap(), ["a", "b"]);
        assert_eq!(config(json!({"num_labels": 3})).labels().unwrap().len(), 3);
        assert!(config(json!({"id2label": {"1": "b"}})).labels().is_err());
        let c = config(json!({"eos_token_id": [2, 5], "pad_token_id": 1, "bos_token_id": -1}));
        assert_eq!(c.tokens("eos_token_id").unwrap(), [2, 5]);
        assert_eq!(c.tokens("pad_token_id").unwrap(), [1]);
        assert!(c.tokens("none").unwrap().is_empty() && c.tokens("bos_token_id").is_err());
    }
}
