//! Older forms of files: vocabularies with merges, BERT's word lists, tiktoken's ranks.

use std::{collections::HashMap, path::Path};

#[cfg(feature = "files")]
use super::sentencepiece::file::{Algorithm, ModelFile};
use super::{
    AddedToken, Behavior, Decoder, Normalizer, Pattern, Splitter, Template, Tokenizer, base64, byte_level, disk,
    engine::Parts,
    model::{
        Model,
        bpe::{Bpe, BpeSettings},
        sentence_piece::SentencePiece,
        word_piece::WordPiece,
    },
    vocab::Vocab,
    written_vocab::WrittenVocab,
};
use crate::error::{Error, Result};

/// How the tokenizers of tiktoken split, which their files of ranks do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TiktokenPattern {
    /// `gpt2`, `r50k_base`, `p50k_base`.
    Gpt2,
    /// `cl100k_base`, and Llama 3.
    Cl100k,
    /// `o200k_base`.
    O200k,
    /// Qwen: as `cl100k_base`, digits one by one.
    Qwen,
}

impl TiktokenPattern {
    fn pattern(self) -> Pattern {
        let (contractions, rest) = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"\s*[\r\n]+|\s+(?!\S)|\s+");
        let words = |numbers: &str| {
            format!(r"{contractions}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{rest}")
        };
        let source = match self {
            TiktokenPattern::Gpt2 => return Pattern::gpt2(),
            TiktokenPattern::Cl100k => words(r"\p{N}{1,3}"),
            TiktokenPattern::Qwen => words(r"\p{N}"),
            TiktokenPattern::O200k => {
                let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
                let first = r"[^\r\n\p{L}\p{N}]?";
                format!(
                    r"{first}{upper}*{lower}+{contractions}?|{first}{upper}+{lower}*{contractions}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{rest}"
                )
            }
        };
        Pattern::regex(&source).expect("a pattern of the list")
    }
}

/// What a SentencePiece model of byte-pair encoding says, for another form of it.
#[cfg(feature = "files")]
pub(crate) struct SentencePieceBpe {
    /// Text, score and type of each, as SentencePiece numbers types (1 to 6).
    pub pieces: Vec<(String, f32, u8)>,
    /// A space before the text.
    pub add_dummy_prefix: bool,
    /// No spaces at the ends, one where several stand.
    pub remove_extra_whitespaces: bool,
}

/// The longest line of a file of ranks, in bytes: every cut of a token is tried.
const MAX_LINE: usize = 2048;

fn byte_level_parts(model: Model, splitter: Splitter, added: Vec<AddedToken>) -> Parts {
    Parts {
        normalizer: None,
        splitter: Some(splitter),
        model,
        template: None,
        decoder: Some(Decoder::ByteLevel { add_prefix_space: true, trim_offsets: true, use_regex: true }),
        added,
        truncation: None,
        padding: None,
    }
}

/// The special tokens that a vocabulary has, of those that are usual.
fn special_of(vocab: &Vocab, usual: &[&str]) -> Vec<AddedToken> {
    usual.iter().filter_map(|token| vocab.id(token).map(|id| AddedToken::special(id, *token))).collect()
}

impl Tokenizer {
    /// From GPT-2's form of files: `vocab.json` (or `encoder.json`) with the ids of tokens and `merges.txt` (or `vocab.bpe`) with merges. Tokens are
    /// bytes, the text is cut into GPT-2's words, and nothing is put around it. `<|endoftext|>`, `<s>`, `</s>`, `<pad>`, `<unk>` and `<mask>` are special where the
    /// vocabulary has them.
    ///
    /// # Errors
    /// [`Error::File`] for files that cannot be read or are none of this form.
    pub fn from_vocab_and_merges(vocab: impl AsRef<Path>, merges: impl AsRef<Path>) -> Result<Self> {
        let (vocab_file, merges_file) = (vocab.as_ref(), merges.as_ref());
        let wrong = |file: &Path, problem: String| {
            Error::file(file, problem, "pass a vocab.json and the merges.txt that belongs to it")
        };
        let json = disk::read_text(vocab_file)?;
        let WrittenVocab::Ids(tokens) = serde_json::from_str(&json).map_err(|e| wrong(vocab_file, e.to_string()))?
        else {
            return Err(wrong(vocab_file, "expected tokens with their ids, got a list".into()));
        };
        let vocab =
            Vocab::new(tokens.iter().map(|(token, id)| (token.as_str(), *id))).map_err(|e| wrong(vocab_file, e))?;
        let text = disk::read_text(merges_file)?;
        let mut merges = Vec::new();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.trim_end().is_empty())
        {
            match line.trim_end_matches(['\r', '\n']).split_once(' ') {
                Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
                    merges.push((left.to_owned(), right.to_owned()))
                }
                _ => {
                    return Err(wrong(
                        merges_file,
                        format!("line {}: expected two tokens with a space between them, got {line:?}", number + 1),
                    ));
                }
            }
        }
        let added = special_of(&vocab, &["<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"]);
        let bpe =
            Bpe::new(vocab, merges.into_iter(), BpeSettings::default(), true).map_err(|e| wrong(merges_file, e))?;
        let splitter = Splitter::ByteLevel { add_prefix_space: false, trim_offsets: true, use_regex: true };
        Self::from_parts(byte_level_parts(Model::Bpe(bpe), splitter, added)).map_err(|e| wrong(vocab_file, e))
    }

    /// From BERT's `vocab.txt`, a token a line, ids from 0: WordPiece, with `[CLS]` and `[SEP]` around texts. `lowercase` is whether letters become small ones and
    /// lose their accents (`uncased` models).
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, or without `[UNK]`, `[CLS]` and `[SEP]`.
    pub fn from_vocab_txt(file: impl AsRef<Path>, lowercase: bool) -> Result<Self> {
        let file = file.as_ref();
        let text = disk::read_text(file)?;
        Self::read_vocab_txt(&text, lowercase)
            .map_err(|problem| Error::file(file, problem, "pass the vocab.txt of a BERT model, a token a line"))
    }

    fn read_vocab_txt(text: &str, lowercase: bool) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.trim_end_matches(['\r', '\n']));
        let vocab = Vocab::new(lines.clone().zip(0..)).map_err(|problem| match repeated(lines.clone()) {
            Some((first, again)) => format!("{problem}, in lines {first} and {again}"),
            None => problem,
        })?;
        let special = |token: &str| {
            Ok::<_, String>((
                token.to_owned(),
                vocab.id(token).ok_or_else(|| format!("expected {token} among the tokens"))?,
            ))
        };
        let (sep, cls) = (special("[SEP]")?, special("[CLS]")?);
        let added = special_of(&vocab, &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
        let model = WordPiece::new(vocab, "[UNK]".into(), "##".into(), 100)?;
        Self::from_parts(Parts {
            normalizer: Some(Normalizer::BertNormalizer {
                clean_text: true,
                handle_chinese_chars: true,
                strip_accents: None,
                lowercase,
            }),
            splitter: Some(Splitter::BertPreTokenizer),
            model: Model::WordPiece(model),
            template: Some(Template::BertProcessing { sep, cls }),
            decoder: Some(Decoder::WordPiece { prefix: "##".into(), cleanup: true }),
            added,
            truncation: None,
            padding: None,
        })
    }

    /// From a file of ranks as tiktoken has them: a token in base64 and its rank a line. What is special, with its id, stands in no file.
    ///
    /// Merges are those pairs of tokens that give a token, in order of its rank, and a piece that is a token is one.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read or is none of this form, and for special tokens whose id a rank has.
    pub fn from_tiktoken(file: impl AsRef<Path>, pattern: TiktokenPattern, special: &[(&str, u32)]) -> Result<Self> {
        let file = file.as_ref();
        let text = disk::read_text(file)?;
        Self::read_tiktoken(&text, pattern, special)
            .map_err(|problem| Error::file(file, problem, "pass a *.tiktoken file of ranks"))
    }

    fn read_tiktoken(text: &str, pattern: TiktokenPattern, special: &[(&str, u32)]) -> Result<Self, String> {
        let mut tokens: Vec<(Vec<u8>, u32)> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let entry = line
                .trim()
                .split_once(' ')
                .and_then(|(token, rank)| Some((base64::decode(token)?, rank.trim().parse().ok()?)));
            if line.len() > MAX_LINE {
                return Err(format!(
                    "line {}: expected a token in base64 and its rank, got {} bytes",
                    number + 1,
                    line.len()
                ));
            }
            tokens.push(entry.ok_or_else(|| {
                format!("line {}: expected a token in base64, a space and its rank, got {line:?}", number + 1)
            })?);
        }
        tokens.sort_by_key(|(_, rank)| *rank);
        let written: Vec<String> = tokens.iter().map(|(token, _)| byte_level::text_of(token)).collect();
        let vocab = Vocab::new(written.iter().zip(&tokens).map(|(text, (_, rank))| (text.as_str(), *rank)))?;
        let ranks: HashMap<&[u8], u32> = tokens.iter().map(|(token, rank)| (token.as_slice(), *rank)).collect();
        let (mut pairs, mut results) = (Vec::new(), Vec::new());
        for (token, rank) in &tokens {
            let first = pairs.len();
            for cut in 1..token.len() {
                if let (Some(&left), Some(&right)) = (ranks.get(&token[..cut]), ranks.get(&token[cut..])) {
                    pairs.push((left, right));
                }
            }
            pairs[first..].sort_unstable();
            results.resize(pairs.len(), *rank);
        }
        let settings = BpeSettings { ignore_merges: true, ..BpeSettings::default() };
        let bpe = Bpe::with_equal_ranks(vocab, pairs, results, settings)?;
        let added = special.iter().map(|(token, id)| AddedToken::special(*id, *token)).collect();
        let splitter = match pattern {
            TiktokenPattern::Gpt2 => {
                Splitter::ByteLevel { add_prefix_space: false, trim_offsets: true, use_regex: true }
            }
            _ => Splitter::Sequence {
                pretokenizers: vec![
                    Splitter::Split { pattern: pattern.pattern(), behavior: Behavior::Isolated, invert: false },
                    Splitter::ByteLevel { add_prefix_space: false, trim_offsets: true, use_regex: false },
                ],
            },
        };
        Self::from_parts(byte_level_parts(Model::Bpe(bpe), splitter, added))
    }

    /// From a SentencePiece `.model` file. Ids and texts are those of SentencePiece itself, whose normalisation is not quite that of a `tokenizer.json` made
    /// from the same file. Control pieces (`<s>`, `</s>`) are special tokens; nothing is put around texts, as the file
    /// does not say what: [`with_template`](Self::with_template) does.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read or is no such model.
    pub fn from_sentencepiece(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let hint = "pass a *.model of SentencePiece, as it was written";
        let bytes = std::fs::read(file).map_err(|e| Error::file(file, e, hint))?;
        Self::read_sentencepiece(&bytes, file).map_err(|problem| Error::file(file, problem, hint))
    }

    /// From the bytes of a SentencePiece model, that of a GGUF file.
    #[cfg(feature = "files")]
    pub(crate) fn from_sentencepiece_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::read_sentencepiece(bytes, Path::new("the tokenizer"))
    }

    /// What a SentencePiece model of byte-pair encoding says; none for other models, and an error for what changes texts more than spaces.
    #[cfg(feature = "files")]
    pub(crate) fn sentencepiece_bpe(&self) -> Option<Result<SentencePieceBpe, String>> {
        let Model::SentencePiece(model) = &self.model else { return None };
        let read = ModelFile::read(&model.bytes, Path::new("the tokenizer")).map_err(|e| e.to_string());
        Some(read.and_then(|file| {
            let rules = &file.normalizer;
            if file.algorithm != Algorithm::Bpe {
                return Err(format!("a SentencePiece model of the kind {:?}", file.algorithm));
            }
            if !rules.charsmap.is_empty() || file.treat_whitespace_as_suffix || !rules.escape_whitespaces {
                return Err(format!("it normalises texts by {:?}", rules.name));
            }
            let pieces = file.pieces.into_iter().map(|piece| (piece.text, piece.score, piece.kind as u8 + 1)).collect();
            Ok(SentencePieceBpe {
                pieces,
                add_dummy_prefix: rules.add_dummy_prefix,
                remove_extra_whitespaces: rules.remove_extra_whitespaces,
            })
        }))
    }

    fn read_sentencepiece(bytes: &[u8], file: &Path) -> Result<Self, String> {
        let model = SentencePiece::new(bytes, file)?;
        let added = model.reserved().map(|(id, piece)| AddedToken::special(id, piece)).collect();
        let model = Model::SentencePiece(Box::new(model));
        let (normalizer, splitter, template, decoder, truncation, padding) = (None, None, None, None, None, None);
        Self::from_parts(Parts { normalizer, splitter, model, template, decoder, added, truncation, padding })
    }
}

/// The numbers of two lines that are the same, from 1.
fn repeated<'t>(lines: impl Iterator<Item = &'t str>) -> Option<(usize, usize)> {
    let mut seen = HashMap::new();
    (1..).zip(lines).find_map(|(number, line)| seen.insert(line, number).map(|before| (before, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_lists_are_read_line_by_line() {
        let tokenizer = Tokenizer::read_vocab_txt("[UNK]\r\n[CLS]\r\n[SEP]\r\nab\r\n##c\r\n", true).unwrap();
        assert_eq!(tokenizer.encode("ABC x").unwrap().ids, [1, 3, 4, 0, 2]);
        let error = |text: &str| Tokenizer::read_vocab_txt(text, true).unwrap_err();
        assert!(error("").contains("an empty one"));
        assert_eq!(
            error("[UNK]\na\n[CLS]\n[SEP]\na\n"),
            "expected every token once, got \"a\" twice, in lines 2 and 5"
        );
        assert!(error("[UNK]\n[CLS]\na\n").contains("[SEP]"));
        assert!(error("[CLS]\n[SEP]\n").contains("[UNK]"));
    }

    #[test]
    fn ranks_are_merges_of_every_cut() {
        // a, b, c, ab, abc: "bc" is none, so "abc" comes from "ab" and "c".
        let text = "YQ== 0\nYg== 1\nYw== 2\n\nYWI= 3\nYWJj 4\n";
        let read =
            |text: &str, special: &[(&str, u32)]| Tokenizer::read_tiktoken(text, TiktokenPattern::Cl100k, special);
        let tokenizer = read(text, &[("<x>", 9)]).unwrap();
        assert_eq!(tokenizer.encode_without_template("abcab<x>").unwrap().ids, [4, 3, 9]);
        assert_eq!((tokenizer.vocab_size(), tokenizer.id_bound()), (6, 10));
        assert!(read("YQ== 0\nYg==1\n", &[]).unwrap_err().contains("line 2"));
        assert!(read("YQ== 0\nY*== 1\n", &[]).unwrap_err().contains("line 2"));
        assert!(read("YQ== 0\nYg== 0\n", &[]).unwrap_err().contains("got 0 for \"a\" and for \"b\""));
        assert!(read(text, &[("<x>", 3)]).unwrap_err().contains("\"<x>\""));
        assert!(read(&format!("{} 0\n", "YWFh".repeat(600)), &[]).unwrap_err().contains("got 2402 bytes"));
    }
}
