//! A folder opened and saved: what all kinds of models have in common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::families;
use super::family::{Family, Source, Task, Wired};
use super::table::{Row, Table};
use super::weights::Weights;
use super::writer;
use crate::error::{Error, Result};
use crate::io::{atomic, open_file};
use crate::kernels::packed::WeightStorage;
use crate::layer::Builder;
use crate::model::Model;
use crate::tensor::Float;
#[cfg(feature = "text")]
use crate::text::tokenizer::{Encoding, Padding, Tokenizer, Truncation};

/// Files of a folder that are copied as they are when a model is saved.
const COPIED: [&str; 16] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// How a folder is opened.
///
/// ```no_run
/// use gradus::models::hf::{CausalLm, OpenOptions};
/// let options = OpenOptions::default().ignore_key("my_own_note");
/// let lm: CausalLm = CausalLm::open("models/gpt2", &options)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    ignored: Vec<String>,
    labels: Option<Vec<String>>,
    seed: u64,
    storage: Option<WeightStorage>,
    /// Whether weights are drawn, and none are read.
    drawn: bool,
}

impl OpenOptions {
    /// The same for a model of `config.json` alone.
    pub(super) fn drawn(&self) -> Self {
        OpenOptions { drawn: true, ..self.clone() }
    }

    /// A key of `config.json`, or of a GGUF file's metadata, that changes no number, though this crate does not know it.
    pub fn ignore_key(mut self, key: impl Into<String>) -> Self {
        self.ignored.push(key.into());
        self
    }

    /// The names of the classes of a new head, for a classifier: its weights are drawn (a standard deviation of 0.02, biases 0), whatever the folder has for
    /// a head, so that any model of the family can be trained on classes of one's own. Python: `num_labels`, `id2label`.
    ///
    /// ```no_run
    /// use gradus::models::hf::{OpenOptions, SequenceClassifier};
    /// let options = OpenOptions::default().labels(["spam", "mail"]).seed(1);
    /// let classifier = SequenceClassifier::<f32>::open("models/distilbert-base-uncased", &options)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// How the large matrices are kept; as numbers of the model's type unless said. See [`WeightStorage`] and
    /// [`Model::store_weights`](crate::Model::store_weights): such a model takes the memory of its file, writes as fast as that is read, and is trained by
    /// [adapters](crate::Model::add_lora) alone. What a file stores the same way is taken over bit for bit.
    ///
    /// ```no_run
    /// use gradus::WeightStorage;
    /// use gradus::models::hf::{CausalLm, OpenOptions};
    /// let options = OpenOptions::default().weight_storage(WeightStorage::Bf16);
    /// let lm = CausalLm::<f32>::open("models/qwen3-0.6b", &options)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn weight_storage(mut self, storage: impl Into<Option<WeightStorage>>) -> Self {
        self.storage = storage.into();
        self
    }

    /// Where a new head's weights, or all of them in `from_config`, the order of samples and all noise in training come from; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// An error for names of classes, where there is no new head.
    pub(super) fn no_labels(&self) -> Result<()> {
        match &self.labels {
            None => Ok(()),
            Some(labels) => {
                let got = format!("{} for a language model", labels.len());
                Err(Error::argument("open", "labels", "names of classes, for a classifier", got, "leave them out"))
            }
        }
    }

    /// The keys that change no number.
    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

/// How a folder is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    max_shard_size: u64,
}

impl Default for SaveOptions {
    /// Files of at most 5 GB, as transformers 4 has it.
    fn default() -> Self {
        SaveOptions { max_shard_size: 5_000_000_000 }
    }
}

impl SaveOptions {
    /// The most bytes of weights in one file; 5·10⁹ by default. A larger model is written as several, with an index; a larger tensor has a file of its own.
    pub fn max_shard_size(mut self, bytes: u64) -> Self {
        self.max_shard_size = bytes;
        self
    }
}

/// A model of a folder as transformers has it, with its tokenizer and settings: what [`CausalLm`](super::CausalLm), [`MaskedLm`](super::MaskedLm) and the others
/// have in common.
///
/// The [`Model`] inside is as any other: it predicts, is compiled and fitted, and writes with a decoder. Its inputs have the names that Python's have
/// (`input_ids`, `attention_mask`, and `token_type_ids` where there are kinds of sentences; `pixel_values`, with channels last, of models of pictures).
#[derive(Debug)]
pub struct Pretrained<T: Float = f32> {
    model: Model<T>,
    #[cfg(feature = "text")]
    tokenizer: Option<Tokenizer>,
    config: Config,
    table: Table,
    /// The class in Python.
    class: &'static str,
    vocabulary: usize,
    positions: usize,
    folder: PathBuf,
    /// Whether the tokenizer is not that of the folder.
    #[cfg(feature = "text")]
    has_own_tokenizer: bool,
    /// Of a GGUF file.
    chat_template: Option<String>,
}

/// What a model is opened from.
pub(super) struct Parts {
    pub config: Config,
    pub weights: Weights,
    pub family: &'static Family,
    /// The class in Python.
    pub class: &'static str,
    pub task: Task,
}

impl<T: Float> Pretrained<T> {
    /// Opens a folder for a task; `end` may go on from what the family describes.
    pub(super) fn open(
        folder: &Path,
        task: Task,
        options: &OpenOptions,
        end: impl FnOnce(&mut Wired) -> Result<()>,
    ) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::file(folder, "no folder", "pass the folder of a model, with config.json and weights"));
        }
        let mut config = Config::read(folder)?;
        let is_new = options.drawn || options.labels.is_some();
        let (family, class): (&Family, _) = families::find(&config, task, is_new)?;
        let mut weights = match options.drawn {
            true => Weights::drawn(folder),
            false => Weights::open(folder, &family.naming)?,
        };
        if let Some(labels) = &options.labels {
            let classifies =
                matches!(task, Task::SequenceClassification | Task::TokenClassification | Task::ImageClassification);
            if !classifies || labels.is_empty() {
                let got = format!("{} for {task:?}", labels.len());
                return Err(Error::argument(
                    "open",
                    "labels",
                    "names of classes, for a classifier",
                    got,
                    "leave them out",
                ));
            }
            config.set_labels(labels);
            weights.remove_classifier();
        }
        #[allow(unused_mut)] // Without the feature `text`.
        let mut opened = Self::assemble(folder, Parts { config, weights, family, class, task }, options, end)?;
        #[cfg(feature = "text")]
        if Tokenizer::is_in(folder) {
            opened.tokenizer = Some(ready(Tokenizer::open(folder)?, opened.vocabulary, folder)?);
        }
        Ok(opened)
    }

    /// Builds the model of some settings and reads its weights; `place` is what they come from.
    pub(super) fn assemble(
        place: &Path,
        parts: Parts,
        options: &OpenOptions,
        end: impl FnOnce(&mut Wired) -> Result<()>,
    ) -> Result<Self> {
        let Parts { mut config, mut weights, family, class, task } = parts;
        let mut wired = (family.wire)(&mut Source { config: &mut config, weights: &mut weights }, task)?;
        config.finish(&options.ignored)?;
        end(&mut wired)?;
        let Wired { mut graph, outputs, table, vocabulary, positions } = wired;
        graph.finish(&outputs)?;
        // More than the folder has is a mistake that names tensors better than sizes, and bounds what a damaged file takes.
        let room = weights.values().saturating_mul(2).saturating_add(1 << 20);
        let builder = match options.drawn {
            true => Builder::new(options.seed),
            false => Builder::for_weights(room).storing(options.storage, drawn_kernels(&table, &weights)),
        };
        let mut model = Model::assemble(graph, builder, options.seed)?;
        if let (true, Some(storage)) = (options.drawn, options.storage) {
            model.store_weights(storage)?;
        }
        let new_head = options.labels.as_ref().map(|_| options.seed);
        weights.load(&table, &family.naming, &mut model.params, new_head)?;
        Ok(Pretrained {
            model,
            #[cfg(feature = "text")]
            tokenizer: None,
            config,
            table,
            class,
            vocabulary,
            positions,
            folder: place.to_owned(),
            #[cfg(feature = "text")]
            has_own_tokenizer: false,
            chat_template: None,
        })
    }

    /// Takes what a file of one piece says of chats.
    pub(super) fn set_chat_template(&mut self, template: Option<&str>) {
        self.chat_template = template.map(str::to_owned);
    }

    /// How messages become a prompt, in the language of Jinja, where a GGUF file says so (`tokenizer.chat_template`); none for a folder.
    pub fn gguf_chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// The tensors by their names in a folder.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The model.
    pub fn model(&self) -> &Model<T> {
        &self.model
    }

    /// The model, to be compiled and fitted.
    pub fn model_mut(&mut self) -> &mut Model<T> {
        &mut self.model
    }

    /// The model alone.
    pub fn into_model(self) -> Model<T> {
        self.model
    }

    /// The settings of the folder.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tokens that the model knows; 0 of a model of pictures.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary
    }

    /// The most steps of a sequence that the model was made for.
    pub fn max_positions(&self) -> usize {
        self.positions
    }

    /// The tensors of a folder of this model: each by its name there, and the name of the parameter of the [`Model`]. A tied head is no tensor of its own.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.table.rows().iter().map(|row| (&*row.file, &*row.param))
    }

    /// Values of a parameter (its weights, or gradients of them) as they lie in a folder under the name of a tensor there, with the shape that they have in it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is not one of [`tensors`](Self::tensors), or values of another number.
    pub fn in_folder(&self, tensor: &str, values: &[T]) -> Result<(Vec<usize>, Vec<T>)> {
        self.model.check_numbers("in_folder")?;
        let params = self.model.params();
        let row = self.table.rows().iter().find(|row| row.file == tensor);
        let Some((row, spec)) = row.and_then(|row| Some((row, params.spec(params.find(&row.param)?)?))) else {
            let hint = "Pretrained::tensors names them";
            return Err(Error::argument("in_folder", "tensor", "the name of a tensor of the folder", tensor, hint));
        };
        if values.len() != spec.range.len() {
            let expected = format!("{} values of {}", spec.range.len(), row.param);
            return Err(Error::argument("in_folder", "values", expected, values.len(), "pass those of that parameter"));
        }
        let mut all = Vec::with_capacity(values.len());
        let gathered = writer::in_file(row.layout, spec, values, |part| {
            all.extend_from_slice(part);
            Ok(())
        });
        gathered.map_err(|source| Error::Io { file: self.folder.clone(), source })?;
        Ok((row.layout.in_file(spec), all))
    }

    /// The folder, or the GGUF file, that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tokenizer of the folder, if it has one. It neither cuts nor fills up, whatever its file says, as in Python unless asked to.
    #[cfg(feature = "text")]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Takes another tokenizer.
    ///
    /// # Errors
    /// [`Error::File`] for one with ids that the model does not know.
    #[cfg(feature = "text")]
    pub fn set_tokenizer(&mut self, tokenizer: Tokenizer) -> Result<()> {
        self.tokenizer = Some(ready(tokenizer, self.vocabulary, &self.folder)?);
        self.has_own_tokenizer = true;
        Ok(())
    }

    /// Writes a folder that this crate and Python's transformers open: `config.json`, weights of the model's own type, and the files of the tokenizer.
    ///
    /// Tensors have the names that Python's class has, whatever they were in the folder that was opened. Heads of that folder which were not asked for are not
    /// written. What is written is there whole or not at all, file by file.
    ///
    /// # Errors
    /// [`Error::Write`] where the folder cannot be written; [`Error::Io`] if the tokenizer's files are no longer where they were; [`Error::Config`]
    /// for a model that was changed since, whose weights have no names in Python.
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_pretrained_with(folder, &SaveOptions::default())
    }

    /// [`save_pretrained`](Self::save_pretrained) with settings.
    ///
    /// # Errors
    /// As there.
    pub fn save_pretrained_with(&self, folder: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        self.save(folder.as_ref(), options)
    }

    #[inline(never)]
    fn save(&self, folder: &Path, options: &SaveOptions) -> Result<()> {
        self.model.check_numbers("save_pretrained")?;
        self.model.check_merged("save_pretrained")?;
        std::fs::create_dir_all(folder).map_err(|source| Error::Write { file: folder.to_owned(), source })?;
        let mut config = self.config.clone();
        config.set("architectures", vec![self.class]);
        config.set_dtype(if T::NAME == "f32" { "float32" } else { "float64" });
        writer::write(folder, &self.table, self.model.params(), options.max_shard_size)?;
        config.write(folder)?;
        self.copy_files(folder)
    }

    fn copy_files(&self, folder: &Path) -> Result<()> {
        let same = |a: &Path, b: &Path| {
            std::fs::canonicalize(a).ok().is_some_and(|a| Some(a) == std::fs::canonicalize(b).ok())
        };
        if !same(&self.folder, folder) {
            #[cfg(feature = "text")]
            if self.tokenizer.is_some() && !self.has_own_tokenizer && !Tokenizer::is_in(&self.folder) {
                let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the tokenizer's files are gone");
                return Err(Error::Io { file: self.folder.clone(), source });
            }
            for name in COPIED {
                let (from, to) = (self.folder.join(name), folder.join(name));
                if from.exists() {
                    let (mut from, _) = open_file(&from)?;
                    atomic::replace(&to, |to| std::io::copy(&mut from, to).map(drop))?;
                } else if to.exists() {
                    // Of another model, whose tokenizer would be opened with these weights.
                    std::fs::remove_file(&to).map_err(|source| Error::Write { file: to.clone(), source })?;
                }
            }
        }
        #[cfg(feature = "text")]
        if let Some(tokenizer) = self.tokenizer.as_ref().filter(|_| self.has_own_tokenizer) {
            tokenizer.save(folder.join("tokenizer.json"))?;
        }
        Ok(())
    }
}

/// Parameters that the files do not have: kernels of a new head, which has to be trained and so stays as numbers.
fn drawn_kernels(table: &Table, weights: &Weights) -> BTreeSet<String> {
    let missing = |row: &&Row| !weights.has(&row.file) && !row.alias.as_deref().is_some_and(|alias| weights.has(alias));
    table.rows().iter().filter(missing).map(|row| row.param.clone()).collect()
}

/// A tokenizer whose ids the model knows, which neither cuts nor fills up.
#[cfg(feature = "text")]
fn ready(tokenizer: Tokenizer, vocabulary: usize, folder: &Path) -> Result<Tokenizer> {
    // Added tokens behind the vocabulary (Gemma 3's of images) are refused where a text has them.
    if tokenizer.model_id_bound() > vocabulary {
        let problem = format!(
            "the tokenizer has ids up to {}, and the model a vocabulary of {vocabulary}",
            tokenizer.model_id_bound().saturating_sub(1)
        );
        return Err(Error::file(folder, problem, "take the tokenizer that belongs to the model"));
    }
    tokenizer.with_truncation(None::<Truncation>).with_padding(None::<Padding>)
}

#[cfg(feature = "text")]
impl<T: Float> Pretrained<T> {
    /// The tokenizer, which has to be there.
    pub(crate) fn need_tokenizer(&self) -> Result<&Tokenizer> {
        let hint = "put tokenizer.json into the folder, or call set_tokenizer";
        self.tokenizer.as_ref().ok_or_else(|| Error::file(&self.folder, "the folder has no tokenizer", hint))
    }

    /// What fills up rows: `pad_token_id`, or 0 where the model has none, as it is not seen.
    fn pad(&self) -> u32 {
        let tokens = self.config.tokens("pad_token_id").unwrap_or_default();
        tokens.first().copied().filter(|pad| (*pad as usize) < self.vocabulary).unwrap_or(0)
    }

    /// The inputs of the model for some texts, in its order: rows filled up on the right to the longest.
    ///
    /// # Errors
    /// [`Error::Config`] for a model with an input that no tokenizer gives.
    pub fn inputs(&self, texts: &[&Encoding]) -> Result<Vec<crate::Tensor<T>>> {
        let steps = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let tensor = |of: &dyn Fn(&Encoding) -> Vec<u32>, pad: u32| {
            let mut values = Vec::with_capacity(texts.len() * steps);
            for (row, text) in texts.iter().enumerate() {
                values.extend(of(text).into_iter().map(|v| T::of(f64::from(v))));
                values.resize((row + 1) * steps, T::of(f64::from(pad)));
            }
            crate::Tensor::new([texts.len(), steps], values)
        };
        let input = |name: &&str| match *name {
            "input_ids" => tensor(&|text| text.ids.clone(), self.pad()),
            "token_type_ids" => tensor(&|text| text.type_ids.clone(), 0),
            "attention_mask" => tensor(&|text| text.attention_mask.iter().map(|m| u32::from(*m)).collect(), 0),
            other => {
                let problem = format!("the model has an input {other}, which no tokenizer gives");
                Err(Error::Config { op: "inputs", problem, hint: "call predict of the model itself".into() })
            }
        };
        self.model.input_names().iter().map(input).collect()
    }

    /// Predicts texts, those of like lengths together, and hands each text's number and output over; no bit depends on which go together.
    pub(super) fn each(
        &self,
        texts: &[Encoding],
        together: usize,
        mut each: impl FnMut(usize, &[T]) -> Result<()>,
    ) -> Result<()> {
        if let Some(i) = texts.iter().position(|text| !text.attention_mask.contains(&1)) {
            let (expected, hint) = ("texts of one token or more", "leave out texts that are empty");
            return Err(Error::argument("encode", "texts", expected, format!("none in text {i}"), hint));
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| (std::cmp::Reverse(texts[*i].len()), *i));
        for rows in order.chunks(together.max(1)) {
            let batch: Vec<&Encoding> = rows.iter().map(|i| &texts[*i]).collect();
            let y = self.model.predict_all(&self.inputs(&batch)?)?;
            let Some(y) = y.first() else { continue };
            rows.iter().enumerate().try_for_each(|(row, &i)| each(i, y.row(row)))?;
        }
        Ok(())
    }
}
