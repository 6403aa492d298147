//! `tokenizer.json`, the form of Hugging Face's `tokenizers`.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Tokenizer,
    added::AddedToken,
    base64,
    decoder::Decoder,
    disk,
    encoding::{Padding, Truncation},
    engine::Parts,
    model::{
        Model,
        bpe::{Bpe, BpeSettings},
        sentence_piece::SentencePiece,
        unigram::Unigram,
        word_level::WordLevel,
        word_piece::WordPiece,
    },
    normalizer::Normalizer,
    sentencepiece_parts,
    splitter::Splitter,
    template::Template,
    vocab::Vocab,
    written_vocab::WrittenVocab,
};
use crate::error::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    truncation: Option<Truncation>,
    #[serde(default)]
    padding: Option<Padding>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Option<Normalizer>,
    #[serde(default)]
    pre_tokenizer: Option<Splitter>,
    #[serde(default)]
    post_processor: Option<Template>,
    #[serde(default)]
    decoder: Option<Decoder>,
    model: ModelFile,
}

/// Any of the models; older files do not say which.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ModelFile {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuing_subword_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_word_suffix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuse_unk: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte_fallback: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_merges: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_chars_per_word: Option<usize>,
    vocab: WrittenVocab,
    #[serde(skip_serializing_if = "Option::is_none")]
    merges: Option<Vec<Merge>>,
    /// A SentencePiece file in base64; only in the files of this crate's models.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentencepiece: Option<String>,
}

/// `["a", "b"]`, in older files `"a b"`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

impl Merge {
    fn pair(self, rank: usize) -> Result<(String, String), String> {
        match self {
            Merge::Pair(left, right) => Ok((left, right)),
            Merge::Line(line) => match line.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
                _ => {
                    Err(format!("expected merges of two tokens with a space between them, got {line:?} (merge {rank})"))
                }
            },
        }
    }
}

impl ModelFile {
    /// Which model the file means.
    fn kind(&self) -> &str {
        match &self.kind {
            Some(kind) => kind,
            None if self.merges.is_some() => "BPE",
            None if matches!(self.vocab, WrittenVocab::Scores(_)) => "Unigram",
            None if self.max_input_chars_per_word.is_some() || self.continuing_subword_prefix.is_some() => "WordPiece",
            None => "WordLevel",
        }
    }

    /// Refuses settings that the model does not have, as they would be lost.
    fn only(&self, kind: &str, allowed: &[&str]) -> Result<(), String> {
        let set = [
            ("dropout", self.dropout.is_some()),
            ("unk_token", self.unk_token.is_some()),
            ("unk_id", self.unk_id.is_some()),
            ("continuing_subword_prefix", self.continuing_subword_prefix.is_some()),
            ("end_of_word_suffix", self.end_of_word_suffix.is_some()),
            ("fuse_unk", self.fuse_unk.is_some()),
            ("byte_fallback", self.byte_fallback.is_some()),
            ("ignore_merges", self.ignore_merges.is_some()),
            ("max_input_chars_per_word", self.max_input_chars_per_word.is_some()),
            ("merges", self.merges.is_some()),
            ("sentencepiece", self.sentencepiece.is_some()),
        ];
        match set.iter().find(|(name, set)| *set && !allowed.contains(name)) {
            Some((name, _)) => Err(format!("expected settings of {kind} ({}), got {name}", allowed.join(", "))),
            None => Ok(()),
        }
    }

    fn read(self, byte_level: bool) -> Result<Model, String> {
        let kind = self.kind().to_owned();
        let ids = |tokens: &WrittenVocab| match tokens {
            WrittenVocab::Ids(tokens) => Vocab::new(tokens.iter().map(|(token, id)| (token.as_str(), *id))),
            WrittenVocab::Scores(_) => Err(format!("expected a vocabulary with ids for {kind}, got scores")),
        };
        let unknown = |token: &Option<String>| token.clone().unwrap_or_else(|| "[UNK]".to_owned());
        match kind.as_str() {
            "BPE" => {
                let allowed = [
                    "dropout",
                    "unk_token",
                    "continuing_subword_prefix",
                    "end_of_word_suffix",
                    "fuse_unk",
                    "byte_fallback",
                    "ignore_merges",
                    "merges",
                ];
                self.only(&kind, &allowed)?;
                if self.dropout.is_some_and(|p| p != 0.0) {
                    return Err(
                        "expected BPE without dropout, which draws merges at random and is not built; got dropout"
                            .into(),
                    );
                }
                let vocab = ids(&self.vocab)?;
                let settings = BpeSettings {
                    unknown: self.unk_token.filter(|token| !token.is_empty()),
                    fuse_unknown: self.fuse_unk.unwrap_or(false),
                    byte_fallback: self.byte_fallback.unwrap_or(false),
                    ignore_merges: self.ignore_merges.unwrap_or(false),
                    continuing_prefix: self.continuing_subword_prefix.unwrap_or_default(),
                    end_suffix: self.end_of_word_suffix.unwrap_or_default(),
                };
                let merges: Result<Vec<_>, _> = self
                    .merges
                    .unwrap_or_default()
                    .into_iter()
                    .enumerate()
                    .map(|(rank, merge)| merge.pair(rank))
                    .collect();
                Ok(Model::Bpe(Bpe::new(vocab, merges?.into_iter(), settings, byte_level)?))
            }
            "WordPiece" => {
                self.only(&kind, &["unk_token", "continuing_subword_prefix", "max_input_chars_per_word"])?;
                let prefix = self.continuing_subword_prefix.clone().unwrap_or_else(|| "##".to_owned());
                let max_chars = self.max_input_chars_per_word.unwrap_or(100);
                Ok(Model::WordPiece(WordPiece::new(ids(&self.vocab)?, unknown(&self.unk_token), prefix, max_chars)?))
            }
            "WordLevel" => {
                self.only(&kind, &["unk_token"])?;
                Ok(Model::WordLevel(WordLevel::new(ids(&self.vocab)?, unknown(&self.unk_token))))
            }
            "Unigram" => {
                self.only(&kind, &["unk_id", "byte_fallback"])?;
                let WrittenVocab::Scores(pieces) = self.vocab else {
                    return Err("expected a list of pieces with scores for Unigram, got ids".into());
                };
                Ok(Model::Unigram(Unigram::new(pieces, self.unk_id, self.byte_fallback.unwrap_or(false))?))
            }
            "SentencePiece" => {
                self.only(&kind, &["sentencepiece"])?;
                let bytes = self.sentencepiece.as_deref().and_then(base64::decode);
                let bytes = bytes.ok_or("expected the SentencePiece file in base64, got none")?;
                Ok(Model::SentencePiece(Box::new(SentencePiece::new(&bytes, Path::new("the model"))?)))
            }
            other => Err(format!("expected the model BPE, WordPiece, WordLevel or Unigram, got {other:?}")),
        }
    }

    fn write(model: &Model) -> Self {
        let ids = |vocab: &Vocab| WrittenVocab::Ids(vocab.iter().map(|(id, token)| (token.to_owned(), id)).collect());
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        match model {
            Model::Bpe(bpe) => {
                let token = |id: u32| bpe.vocab.token(id).unwrap_or("").to_owned();
                Self {
                    kind: Some("BPE".into()),
                    unk_token: bpe.settings.unknown.clone(),
                    continuing_subword_prefix: filled(&bpe.settings.continuing_prefix),
                    end_of_word_suffix: filled(&bpe.settings.end_suffix),
                    fuse_unk: Some(bpe.settings.fuse_unknown),
                    byte_fallback: Some(bpe.settings.byte_fallback),
                    ignore_merges: Some(bpe.settings.ignore_merges),
                    vocab: ids(&bpe.vocab),
                    merges: Some(
                        bpe.merges.iter().map(|&(left, right)| Merge::Pair(token(left), token(right))).collect(),
                    ),
                    ..Self::default()
                }
            }
            Model::WordPiece(model) => Self {
                kind: Some("WordPiece".into()),
                unk_token: Some(model.unknown.clone()),
                continuing_subword_prefix: Some(model.continuing_prefix.clone()),
                max_input_chars_per_word: Some(model.max_chars),
                vocab: ids(&model.vocab),
                ..Self::default()
            },
            Model::WordLevel(model) => Self {
                kind: Some("WordLevel".into()),
                unk_token: Some(model.unknown.clone()),
                vocab: ids(&model.vocab),
                ..Self::default()
            },
            Model::SentencePiece(model) => Self {
                kind: Some("SentencePiece".into()),
                sentencepiece: Some(base64::encode(&model.bytes)),
                ..Self::default()
            },
            Model::Unigram(model) => Self {
                kind: Some("Unigram".into()),
                unk_id: model.unknown(),
                byte_fallback: Some(model.byte_fallback()),
                vocab: WrittenVocab::Scores(model.pieces()),
                ..Self::default()
            },
        }
    }
}

impl Tokenizer {
    /// From the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is no such file, or means something that is not built here, by name.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::read_json(json).map_err(|problem| {
            Error::argument(
                "Tokenizer",
                "tokenizer.json",
                "a tokenizer's file",
                problem,
                "look at the place that is named",
            )
        })
    }

    fn read_json(json: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())?;
        if let Some(version) = file.version.filter(|version| version != "1.0") {
            return Err(format!("expected version 1.0, got {version:?}"));
        }
        let byte_level = file.pre_tokenizer.as_ref().is_some_and(Splitter::is_byte_level);
        Self::from_parts(Parts {
            model: file.model.read(byte_level)?,
            normalizer: file.normalizer,
            splitter: file.pre_tokenizer,
            template: file.post_processor,
            decoder: file.decoder,
            added: file.added_tokens,
            truncation: file.truncation,
            padding: file.padding,
        })
    }

    /// From a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read, is no such file, or means something that is not built here, by name.
    pub fn from_json_file(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let json = disk::read_text(file)?;
        Self::read_json(&json)
            .map_err(|problem| Error::file(file, problem, "pass a tokenizer.json of Hugging Face's form"))
    }

    /// The text of a `tokenizer.json` that Python's `tokenizers` opens, too. A SentencePiece model is written in the parts that come nearest
    /// to it: a few texts become other ids there, as in every such file made from a SentencePiece model.
    ///
    /// # Errors
    /// [`Error::Argument`] for a SentencePiece model of words or characters, which the form does not have.
    pub fn to_json(&self) -> Result<String> {
        let refused = |problem| {
            let hint = "keep the .model file";
            Error::argument("Tokenizer::to_json", "model", "one that tokenizer.json has", problem, hint)
        };
        let file = match &self.model {
            Model::SentencePiece(model) => {
                let (normalizer, splitter, decoder, model) = sentencepiece_parts::as_parts(model).map_err(refused)?;
                File { normalizer, pre_tokenizer: splitter, decoder: Some(decoder), ..self.file(&model) }
            }
            model => self.file(model),
        };
        serde_json::to_string_pretty(&file).map_err(|e| refused(e.to_string()))
    }

    /// As [`to_json`](Self::to_json), but that a SentencePiece model stays one.
    pub(in super::super) fn to_state(&self) -> String {
        serde_json::to_string(&self.file(&self.model)).expect("names are strings, and numbers are finite")
    }

    fn file(&self, model: &Model) -> File {
        File {
            version: Some("1.0".into()),
            truncation: self.truncation,
            padding: self.padding.clone(),
            added_tokens: self.added.clone(),
            normalizer: self.normalizer.clone(),
            pre_tokenizer: self.splitter.clone(),
            post_processor: self.template.clone(),
            decoder: self.decoder.clone(),
            model: ModelFile::write(model),
        }
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json), and [`Error::File`] if it cannot be written.
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        disk::write_text(file.as_ref(), &self.to_json()?)
    }
}

impl PartialEq for Tokenizer {
    /// Whether both are written alike.
    fn eq(&self, other: &Self) -> bool {
        self.to_state() == other.to_state()
    }
}

impl Serialize for Tokenizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_state())
    }
}

impl<'de> Deserialize<'de> for Tokenizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::read_json(&json).map_err(serde::de::Error::custom)
    }
}
