//! Vectors of sentences, as sentence-transformers makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::config::{read_json, read_object, write_json};
use super::face::{TOGETHER, dereferenced};
use super::family::{Task, Wired};
use super::pretrained::{OpenOptions, Pretrained, SaveOptions};
use crate::error::{Error, Result};
use crate::layers::{GlobalAveragePooling1d, Slice, UnitNormalization};
use crate::tensor::{Float, Tensor};
use crate::text::tokenizer::{Encoding, Truncation};

/// The longest file of settings that is read.
const MAX_LEN: u64 = 1 << 20;

/// How the steps of a sentence become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first, `[CLS]`.
    Cls,
    /// The last.
    LastToken,
    /// The largest value of each feature.
    Max,
}

impl Pooling {
    const ALL: [(Pooling, &str, &str); 4] = [
        (Pooling::Mean, "pooling_mode_mean_tokens", "mean"),
        (Pooling::Cls, "pooling_mode_cls_token", "cls"),
        (Pooling::LastToken, "pooling_mode_lasttoken", "lasttoken"),
        (Pooling::Max, "pooling_mode_max_tokens", "max"),
    ];

    /// Whether it is part of the model.
    fn is_inside(self) -> bool {
        matches!(self, Pooling::Mean | Pooling::Cls)
    }
}

/// How sentences are encoded.
///
/// ```
/// use gradus::models::hf::Encode;
/// let options = Encode::default().prompt("query").truncate_dim(128).normalize(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encode {
    prompt: Option<String>,
    truncate_dim: Option<usize>,
    normalize: bool,
    batch_size: Option<usize>,
}

impl Encode {
    /// The name of the prompt that stands before each sentence, of those that the folder has; its default by default, if there is one.
    pub fn prompt(mut self, name: impl Into<String>) -> Self {
        self.prompt = Some(name.into());
        self
    }

    /// How many of the first numbers of a vector stay (Matryoshka embeddings); all by default.
    pub fn truncate_dim(mut self, dim: impl Into<Option<usize>>) -> Self {
        self.truncate_dim = dim.into();
        self
    }

    /// Whether vectors are brought to length 1 at the end, behind what the folder says; no by default.
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// How many sentences go through the model together; 32 by default. No bit of a vector depends on it.
    pub fn batch_size(mut self, sentences: usize) -> Self {
        self.batch_size = Some(sentences);
        self
    }
}

/// Sentences as vectors, whose products say how alike they are.
///
/// - A folder of sentence-transformers: `modules.json` with an encoder, a pooling of its steps, and perhaps a norm; texts are cut to `max_seq_length`
///   tokens, silently as there. Of a folder of an encoder alone: [`from_encoder`](Self::from_encoder).
/// - Token ids and their mask become a vector `[features]`. Means and first tokens are taken inside of the [`Model`](crate::Model), so that it
///   is trained with them ([`InfoNce`](crate::layers::merging::InfoNce) …); last tokens and largest values outside, of the steps that it gives.
/// - Sentences of like lengths go together; no bit of a vector depends on the others.
///
/// Reimers, Gurevych: "Sentence-BERT", 2019. Python's `SentenceTransformer`.
///
/// ```no_run
/// use gradus::models::hf::SentenceEncoder;
/// let encoder = SentenceEncoder::from_pretrained("models/all-MiniLM-L6-v2")?;
/// let vectors = encoder.encode(&["A cat on a mat.", "A kitten on a rug.", "Quarterly figures."])?;
/// let likeness = |i: usize, j: usize| -> f32 { vectors.row(i).iter().zip(vectors.row(j)).map(|(a, b)| a * b).sum() };
/// assert!(likeness(0, 1) > likeness(0, 2));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct SentenceEncoder<T: Float = f32>(Pretrained<T>, Settings);

dereferenced!(SentenceEncoder);

#[derive(Clone, Debug)]
struct Settings {
    pooling: Pooling,
    normalize: bool,
    max_seq_length: usize,
    lowercases: bool,
    prompts: BTreeMap<String, String>,
    /// `config_sentence_transformers.json`.
    about: Map<String, Value>,
}

impl SentenceEncoder {
    /// Opens a folder of sentence-transformers, with numbers of single precision.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] for what cannot be read, is damaged or not built, with the file and what in it; see [the module](super).
    pub fn from_pretrained(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open(folder, &OpenOptions::default())
    }
}

impl<T: Float> SentenceEncoder<T> {
    /// [`from_pretrained`](Self::from_pretrained) with settings, for any type of numbers.
    ///
    /// # Errors
    /// As there.
    pub fn open(folder: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::open_at(folder.as_ref(), options)
    }

    #[inline(never)]
    fn open_at(folder: &Path, options: &OpenOptions) -> Result<Self> {
        let modules = Modules::read(folder)?;
        Self::with(folder, &modules.encoder, modules.pooling, modules.normalize, options)
    }

    /// Of a folder of an encoder without `modules.json`, with what its steps are to go through.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    pub fn from_encoder(
        folder: impl AsRef<Path>,
        pooling: Pooling,
        normalize: bool,
        options: &OpenOptions,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        Self::with(folder, folder, pooling, normalize, options)
    }

    #[inline(never)]
    fn with(folder: &Path, encoder: &Path, pooling: Pooling, normalize: bool, options: &OpenOptions) -> Result<Self> {
        let inner = Pretrained::open(encoder, Task::Base, options, |wired: &mut Wired| {
            let steps = wired.outputs[0];
            let g = &mut wired.graph;
            let pooled = match pooling {
                Pooling::Mean => g.add_named("pooling", GlobalAveragePooling1d::new(), steps),
                Pooling::Cls => g.add_named("pooling", Slice::new().at(0), steps),
                Pooling::LastToken | Pooling::Max => steps,
            };
            let inside = normalize && pooling.is_inside();
            wired.outputs =
                vec![if inside { g.add_named("normalize", UnitNormalization::new(), pooled) } else { pooled }];
            Ok(())
        })?;
        let bert = optional(&encoder.join("sentence_bert_config.json"))?;
        let tokenizer = optional(&encoder.join("tokenizer_config.json"))?;
        let about = optional(&folder.join("config_sentence_transformers.json"))?;
        let length = |values: &Map<String, Value>, file: &str, key: &str| match values.get(key) {
            None | Some(Value::Null) => Ok(None),
            // Numbers far above all sizes stand for none in tokenizers' files.
            Some(value) => match value.as_f64().filter(|length| *length >= 1.0 && length.fract() == 0.0) {
                Some(length) => Ok(Some(length as usize)),
                None => {
                    let problem = format!("{key} is {value}, expected a whole number from 1 on");
                    Err(Error::file(&encoder.join(file), problem, "correct the file, or leave the key out"))
                }
            },
        };
        let cut = match length(&bert, "sentence_bert_config.json", "max_seq_length")? {
            Some(length) => Some(length),
            None => length(&tokenizer, "tokenizer_config.json", "model_max_length")?,
        };
        let positions = inner.max_positions();
        let max_seq_length = cut.map_or(positions, |cut| cut.min(positions));
        let lowercases = bert.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let prompts = match about.get("prompts") {
            Some(Value::Object(prompts)) => prompts.iter().filter_map(|(k, v)| Some((k.clone(), text(v)?))).collect(),
            _ => BTreeMap::new(),
        };
        let settings = Settings { pooling, normalize, max_seq_length, lowercases, prompts, about };
        Ok(SentenceEncoder(inner, settings))
    }

    /// How steps become one vector.
    pub fn pooling(&self) -> Pooling {
        self.1.pooling
    }

    /// The most tokens of a sentence, special ones counted; what is beyond is cut off.
    pub fn max_seq_length(&self) -> usize {
        self.1.max_seq_length
    }

    /// The numbers of a vector.
    pub fn dim(&self) -> usize {
        self.model().output_shape().last()
    }

    /// The names of the prompts that the folder has, with their texts.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        &self.1.prompts
    }

    /// The vectors of sentences, `[sentences, dim]`.
    ///
    /// # Errors
    /// As [`encode_with`](Self::encode_with).
    pub fn encode<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Tensor<T>> {
        self.encode_with(sentences, &Encode::default())
    }

    /// [`encode`](Self::encode) with settings.
    ///
    /// # Errors
    /// [`Error::File`] without a tokenizer; [`Error::Argument`] for a prompt that the folder does not have, or more numbers than a vector has; those of the tokenizer.
    pub fn encode_with<S: AsRef<str> + Sync>(&self, sentences: &[S], options: &Encode) -> Result<Tensor<T>> {
        let tokenizer = self.need_tokenizer()?;
        let truncation = Truncation::to(self.1.max_seq_length);
        let prompt = self.prompt(options)?;
        let sentences: Vec<String> = sentences
            .iter()
            .map(|sentence| {
                let text = format!("{prompt}{}", sentence.as_ref());
                if self.1.lowercases { text.to_lowercase() } else { text }
            })
            .collect();
        self.encode_tokens(&tokenizer.encode_batch_cut(&sentences, Some(&truncation))?, options)
    }

    /// The vectors of sentences that a tokenizer has encoded.
    ///
    /// # Errors
    /// [`Error::Argument`] for more numbers than a vector has; those of [`Model::predict`](crate::Model::predict).
    #[inline(never)]
    pub fn encode_tokens(&self, sentences: &[Encoding], options: &Encode) -> Result<Tensor<T>> {
        let features = self.dim();
        let dim = options.truncate_dim.unwrap_or(features);
        if dim == 0 || dim > features {
            let expected = format!("from 1 to {features}, the numbers of a vector");
            return Err(Error::argument("encode", "truncate_dim", expected, dim, "leave it out for all"));
        }
        let mut all = Tensor::zeros([sentences.len(), dim]);
        let mut vector = vec![T::zero(); features];
        self.each(sentences, options.batch_size.unwrap_or(TOGETHER), |i, y| {
            let steps = y.chunks_exact(features.max(1));
            match self.1.pooling.is_inside() {
                true => pool(self.1.pooling, steps.take(1), &mut vector),
                false => {
                    let counts = steps.zip(&sentences[i].attention_mask).filter(|(_, counts)| **counts == 1);
                    pool(self.1.pooling, counts.map(|(step, _)| step), &mut vector);
                }
            }
            if self.1.normalize && !self.1.pooling.is_inside() {
                normalize(&mut vector);
            }
            let out = &mut all.as_mut_slice()[i * dim..][..dim];
            out.copy_from_slice(&vector[..dim]);
            if options.normalize {
                normalize(out);
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn prompt(&self, options: &Encode) -> Result<&str> {
        let default = self.1.about.get("default_prompt_name").and_then(Value::as_str);
        let Some(name) = options.prompt.as_deref().or(default) else { return Ok("") };
        self.1.prompts.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<&str> = self.1.prompts.keys().map(String::as_str).collect();
            let expected = if names.is_empty() {
                "left out, as the folder has none".into()
            } else {
                format!("one of {}", names.join(", "))
            };
            Error::argument(
                "encode",
                "prompt",
                expected,
                format!("{name:?}"),
                "put other texts before sentences yourself",
            )
        })
    }

    /// Writes a folder that this crate and Python's sentence-transformers open.
    ///
    /// # Errors
    /// As [`Pretrained::save_pretrained`].
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_pretrained_with(folder, &SaveOptions::default())
    }

    /// [`save_pretrained`](Self::save_pretrained) with settings.
    ///
    /// # Errors
    /// As there.
    pub fn save_pretrained_with(&self, folder: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        let (folder, settings) = (folder.as_ref(), &self.1);
        self.0.save_pretrained_with(folder, options)?;
        let module = |idx: usize, path: &str, class: &str| json!({ "idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{class}") });
        let mut modules = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
        if settings.normalize {
            modules.push(module(2, "2_Normalize", "Normalize"));
            make(&folder.join("2_Normalize"))?;
        }
        let mut pooling = Map::new();
        pooling.insert("word_embedding_dimension".into(), self.dim().into());
        for (kind, key, _) in Pooling::ALL {
            pooling.insert(key.into(), (kind == settings.pooling).into());
        }
        pooling.insert("pooling_mode_mean_sqrt_len_tokens".into(), false.into());
        pooling.insert("pooling_mode_weightedmean_tokens".into(), false.into());
        pooling.insert("include_prompt".into(), true.into());
        make(&folder.join("1_Pooling"))?;
        write_json(&folder.join("1_Pooling/config.json"), &Value::Object(pooling))?;
        let bert = json!({ "max_seq_length": settings.max_seq_length, "do_lower_case": settings.lowercases });
        write_json(&folder.join("sentence_bert_config.json"), &bert)?;
        write_json(&folder.join("config_sentence_transformers.json"), &Value::Object(settings.about.clone()))?;
        write_json(&folder.join("modules.json"), &Value::Array(modules))
    }
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { file: folder.to_owned(), source })
}

fn optional(file: &Path) -> Result<Map<String, Value>> {
    if file.exists() { read_object(file, MAX_LEN) } else { Ok(Map::new()) }
}

/// One vector of the steps of a sentence, or what the model has made of them.
fn pool<'a, T: Float>(pooling: Pooling, mut steps: impl Iterator<Item = &'a [T]>, vector: &mut [T]) {
    let one = match pooling {
        Pooling::Mean | Pooling::Cls => steps.next(),
        Pooling::LastToken => steps.last(),
        Pooling::Max => {
            vector.fill(T::neg_infinity());
            steps.for_each(|step| {
                vector.iter_mut().zip(step).for_each(|(top, v)| *top = if *v > *top { *v } else { *top });
            });
            return;
        }
    };
    vector.copy_from_slice(one.unwrap_or_default());
}

/// Brings a vector to length 1; zeros stay.
fn normalize<T: Float>(vector: &mut [T]) {
    let length = vector.iter().map(|v| v.as_f64() * v.as_f64()).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v = T::of(v.as_f64() / length));
    }
}

/// What `modules.json` puts one after the other.
struct Modules {
    encoder: PathBuf,
    pooling: Pooling,
    normalize: bool,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("modules.json");
        let wrong = |problem: String| {
            let hint = "known: Transformer, then Pooling, then perhaps Normalize";
            Error::file(&file, problem, hint)
        };
        if !file.exists() {
            let hint = "pass a folder of sentence-transformers, or call SentenceEncoder::from_encoder";
            return Err(Error::file(folder, "there is no modules.json in it", hint));
        }
        let Value::Array(modules) = read_json(&file, MAX_LEN)? else {
            return Err(wrong("it is no list of modules".into()));
        };
        let mut parts = Vec::new();
        for module in &modules {
            let text = |key: &str| module.get(key).and_then(Value::as_str);
            let (Some(class), Some(path)) = (text("type"), text("path")) else {
                return Err(wrong(format!("a module is {module}, without type or path")));
            };
            if path.contains(['/', '\\', ':']) || path == ".." {
                return Err(wrong(format!("a module is in {path:?}, not a folder beside the file")));
            }
            // "sentence_transformers.models.Pooling", whatever stands between.
            parts.push((class.rsplit('.').next().unwrap_or(class), folder.join(path)));
        }
        let classes: Vec<&str> = parts.iter().map(|(class, _)| *class).collect();
        let normalize = match classes[..] {
            ["Transformer", "Pooling"] => false,
            ["Transformer", "Pooling", "Normalize"] => true,
            _ => return Err(wrong(format!("the modules are {}", classes.join(", ")))),
        };
        let pooling = read_pooling(&parts[1].1.join("config.json"))?;
        Ok(Modules { encoder: parts.swap_remove(0).1, pooling, normalize })
    }
}

fn read_pooling(file: &Path) -> Result<Pooling> {
    let values = read_object(file, MAX_LEN)?;
    let refuse = |key: &str, known: &str| {
        let got = values.get(key).map_or("nothing".to_owned(), Value::to_string);
        Error::file(file, format!("{key} is {got}, which is not built"), format!("known: {known}"))
    };
    if values.get("include_prompt") == Some(&Value::Bool(false)) {
        return Err(refuse("include_prompt", "true"));
    }
    if let Some(name) = values.get("pooling_mode").filter(|name| !name.is_null()) {
        let found = Pooling::ALL.iter().find(|(_, _, own)| name.as_str() == Some(own));
        return found.map(|(pooling, ..)| *pooling).ok_or_else(|| refuse("pooling_mode", "mean, cls, lasttoken, max"));
    }
    let on = values.iter().filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true));
    let on: Vec<&str> = on.map(|(key, _)| key.as_str()).collect();
    let known =
        "one of pooling_mode_mean_tokens, pooling_mode_cls_token, pooling_mode_lasttoken, pooling_mode_max_tokens";
    match on[..] {
        [key] => match Pooling::ALL.iter().find(|(_, own, _)| *own == key) {
            Some((pooling, ..)) => Ok(*pooling),
            None => Err(refuse(key, known)),
        },
        _ => Err(Error::file(file, format!("it asks for {} poolings ({})", on.len(), on.join(", ")), known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poolings_of_steps() {
        let steps = [1.0f64, 5.0, 3.0, 2.0];
        let of = |pooling| {
            let mut vector = [0.0; 2];
            pool(pooling, steps.chunks(2), &mut vector);
            vector
        };
        assert_eq!(of(Pooling::LastToken), [3.0, 2.0]);
        assert_eq!(of(Pooling::Max), [3.0, 5.0]);
        let mut vector = [3.0f64, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        normalize::<f64>(&mut []);
    }
}
