//! A tokenizer from what lies in a folder or a file.

use std::path::Path;

use serde::Deserialize;

use super::Tokenizer;
use crate::error::{Error, Result};

/// Names that SentencePiece models have in folders.
const MODELS: [&str; 5] =
    ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model"];

/// What matters here of `tokenizer_config.json`.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    do_lower_case: Option<bool>,
}

impl Tokenizer {
    /// From a folder as Hugging Face's models have it, or from a file of it.
    ///
    /// Of a folder the first of these that is there: `tokenizer.json`; a SentencePiece model (`tokenizer.model`, `spiece.model`,
    /// `sentencepiece.bpe.model`, `sentencepiece.model`, `spm.model`); `vocab.json` with `merges.txt`; `vocab.txt`, of which letters become small ones unless
    /// `tokenizer_config.json` says `"do_lower_case": false`. A file is read by its name: `*.json` as `tokenizer.json` (`vocab.json` with the
    /// `merges.txt` beside it), `*.model` as SentencePiece, `*.txt` as `vocab.txt` (`merges.txt` with the `vocab.json` beside it). Templates, padding
    /// and truncation come from `tokenizer.json` alone.
    ///
    /// # Errors
    /// [`Error::File`] for a place without any of these, with the names that were looked for; else as [`from_json_file`](Self::from_json_file),
    /// [`from_sentencepiece`](Self::from_sentencepiece), [`from_vocab_and_merges`](Self::from_vocab_and_merges) and
    /// [`from_vocab_txt`](Self::from_vocab_txt). Files of ranks (`*.tiktoken`) do not say how texts are split:
    /// [`from_tiktoken`](Self::from_tiktoken) is told.
    ///
    /// ```no_run
    /// # use gradus::text::Tokenizer;
    /// let tokenizer = Tokenizer::open("models/bert-base-uncased")?;
    /// println!("{:?}", tokenizer.encode("How are you?")?.ids);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn open(place: impl AsRef<Path>) -> Result<Self> {
        let place = place.as_ref();
        if place.is_dir() { Self::open_folder(place) } else { Self::open_file(place) }
    }

    /// Whether a folder has what [`open`](Self::open) would read.
    #[cfg_attr(not(feature = "files"), allow(dead_code))]
    pub(crate) fn is_in(folder: &Path) -> bool {
        let there = |name: &str| folder.join(name).is_file();
        there("tokenizer.json")
            || MODELS.iter().any(|name| there(name))
            || (there("vocab.json") && there("merges.txt"))
            || there("vocab.txt")
    }

    fn open_folder(folder: &Path) -> Result<Self> {
        let there = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        if let Some(file) = there("tokenizer.json") {
            return Self::from_json_file(file);
        }
        if let Some(file) = MODELS.iter().find_map(|name| there(name)) {
            return Self::from_sentencepiece(file);
        }
        if let (Some(vocab), Some(merges)) = (there("vocab.json"), there("merges.txt")) {
            return Self::from_vocab_and_merges(vocab, merges);
        }
        if let Some(file) = there("vocab.txt") {
            return Self::from_vocab_txt(&file, lowercases(folder)?);
        }
        let problem = format!(
            "there is no tokenizer.json, {}, vocab.json with merges.txt, or vocab.txt in it",
            MODELS.join(", ")
        );
        Err(Error::file(
            folder,
            problem,
            "pass the folder of a model, or a tokenizer's file; a *.tiktoken file goes to Tokenizer::from_tiktoken",
        ))
    }

    fn open_file(file: &Path) -> Result<Self> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") if matches!(&*name, "vocab.json" | "encoder.json") => {
                let merges = if name == "vocab.json" { "merges.txt" } else { "vocab.bpe" };
                Self::from_vocab_and_merges(file, folder.join(merges))
            }
            Some("json") => Self::from_json_file(file),
            Some("model") => Self::from_sentencepiece(file),
            Some("txt") if name == "merges.txt" => Self::from_vocab_and_merges(folder.join("vocab.json"), file),
            Some("txt") => Self::from_vocab_txt(file, lowercases(folder)?),
            Some("tiktoken") => {
                let problem = "a file of ranks does not say how texts are split";
                Err(Error::file(file, problem, "pass it to Tokenizer::from_tiktoken with its pattern"))
            }
            _ if !file.exists() => Err(Error::file(
                file,
                "there is nothing of this name",
                "pass the folder of a model, or a tokenizer's file",
            )),
            _ => Err(Error::file(
                file,
                "its name does not say which form it has",
                "pass a *.json, *.model or *.txt file, or a folder with one",
            )),
        }
    }
}

/// Whether letters become small ones, as BERT's tokenizer has it by default.
fn lowercases(folder: &Path) -> Result<bool> {
    let file = folder.join("tokenizer_config.json");
    if !file.is_file() {
        return Ok(true);
    }
    let config: Config = serde_json::from_str(&super::disk::read_text(&file)?)
        .map_err(|e| Error::file(&file, e, "correct it, or take it away if it belongs to something else"))?;
    Ok(config.do_lower_case.unwrap_or(true))
}
