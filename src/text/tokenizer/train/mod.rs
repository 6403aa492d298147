//! Training of tokenizers.

mod bpe;
mod words;

use std::io::{IsTerminal, Write};

use self::bpe::{BpeRules, learn};
use super::{
    AddedToken, Decoder, Metaspace, Normalizer, PrependScheme, Splitter, Template, Tokenizer, byte_level,
    engine::Parts,
    model::{
        Model,
        bpe::{Bpe, BpeSettings},
        unigram::Unigram,
        word_piece::WordPiece,
    },
    unigram::train::UnigramTrainer,
    vocab::Vocab,
};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ByteLevelBpe,
    WordPiece,
    Unigram,
}

/// Learns a tokenizer from texts.
///
/// The result depends on the texts and the settings alone, whatever the number of threads and the order of the texts. Of the corpus only its different words
/// are held, with how often they come.
///
/// ```
/// use gradus::text::tokenizer::Trainer;
/// let texts = ["low lower lowest", "new newer newest", "wide wider widest"];
/// let tokenizer = Trainer::byte_level_bpe(280).special_tokens(["<|endoftext|>"]).train(texts)?;
/// let ids = tokenizer.encode_ordinary("the newest and lowest")?;
/// assert_eq!(tokenizer.decode(&ids, false)?, "the newest and lowest");
/// assert_eq!(tokenizer.token(ids[3]), Some("Ġnewest"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer {
    kind: Kind,
    vocab_size: usize,
    min_frequency: u64,
    special_tokens: Vec<String>,
    limit_alphabet: Option<usize>,
    initial_alphabet: Vec<char>,
    max_token_length: Option<usize>,
    normalizer: Option<Normalizer>,
    splitter: Option<Splitter>,
    decoder: Option<Decoder>,
    progress: bool,
}

impl Trainer {
    fn new(
        kind: Kind,
        vocab_size: usize,
        normalizer: Option<Normalizer>,
        splitter: Splitter,
        decoder: Decoder,
    ) -> Self {
        Self {
            kind,
            vocab_size,
            min_frequency: 0,
            special_tokens: Vec::new(),
            limit_alphabet: None,
            initial_alphabet: Vec::new(),
            max_token_length: None,
            normalizer,
            splitter: Some(splitter),
            decoder: Some(decoder),
            progress: false,
        }
    }

    /// Byte-pair encoding over bytes, as GPT-2 has it: every text can be encoded and comes back. `vocab_size` counts the 256 bytes and the
    /// special tokens; texts are cut into GPT-2's words unless another [`splitter`](Self::splitter) is set.
    pub fn byte_level_bpe(vocab_size: usize) -> Self {
        let (add_prefix_space, trim_offsets, use_regex) = (false, true, true);
        let splitter = Splitter::ByteLevel { add_prefix_space, trim_offsets, use_regex };
        Self::new(
            Kind::ByteLevelBpe,
            vocab_size,
            None,
            splitter,
            Decoder::ByteLevel { add_prefix_space, trim_offsets, use_regex },
        )
    }

    /// WordPiece, as BERT has it: small letters without accents, punctuation apart, `[PAD] [UNK] [CLS] [SEP] [MASK]` first. Pieces are learned as
    /// merges are, by how often they come.
    pub fn word_piece(vocab_size: usize) -> Self {
        let normalizer = Normalizer::BertNormalizer {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: None,
            lowercase: true,
        };
        let decoder = Decoder::WordPiece { prefix: "##".into(), cleanup: true };
        let trainer = Self::new(Kind::WordPiece, vocab_size, Some(normalizer), Splitter::BertPreTokenizer, decoder);
        trainer.special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    }

    /// Unigram (T. Kudo, "Subword regularization", 2018), as SentencePiece has it: NFKC, spaces as `▁`, `<pad> <unk>` first.
    pub fn unigram(vocab_size: usize) -> Self {
        let metaspace = Metaspace::new(PrependScheme::Always, true);
        let (splitter, decoder) = (Splitter::Metaspace(metaspace), Decoder::Metaspace(metaspace));
        let trainer = Self::new(Kind::Unigram, vocab_size, Some(Normalizer::Nfkc), splitter, decoder);
        trainer.special_tokens(["<pad>", "<unk>"])
    }

    /// Tokens that no text becomes, with ids from 0 in this order. WordPiece needs `[UNK]` among them, Unigram `<unk>`.
    pub fn special_tokens<S: Into<String>>(mut self, tokens: impl IntoIterator<Item = S>) -> Self {
        self.special_tokens = tokens.into_iter().map(Into::into).collect();
        self
    }

    /// How often a pair has to come to be merged; 0, the default, is once. Not for Unigram.
    pub fn min_frequency(mut self, times: u64) -> Self {
        self.min_frequency = times;
        self
    }

    /// The most characters that are tokens, those that come most often; all by default. Bytes all are tokens anyway, and Unigram takes all.
    pub fn limit_alphabet(mut self, characters: impl Into<Option<usize>>) -> Self {
        self.limit_alphabet = characters.into();
        self
    }

    /// Characters that are tokens whether they come or not.
    pub fn initial_alphabet(mut self, characters: impl IntoIterator<Item = char>) -> Self {
        self.initial_alphabet = characters.into_iter().collect();
        self
    }

    /// The most characters (bytes, for tokens of bytes) of a token; any by default, 16 for Unigram.
    pub fn max_token_length(mut self, length: impl Into<Option<usize>>) -> Self {
        self.max_token_length = length.into();
        self
    }

    /// What is done to texts before they are split.
    pub fn normalizer(mut self, normalizer: impl Into<Option<Normalizer>>) -> Self {
        self.normalizer = normalizer.into();
        self
    }

    /// How texts are cut into words, over whose ends no token goes. For bytes it has to end with [`Splitter::ByteLevel`].
    pub fn splitter(mut self, splitter: impl Into<Option<Splitter>>) -> Self {
        self.splitter = splitter.into();
        self
    }

    /// How tokens become text again.
    pub fn decoder(mut self, decoder: impl Into<Option<Decoder>>) -> Self {
        self.decoder = decoder.into();
        self
    }

    /// Whether a line on standard error says how far it is, where that is a terminal.
    pub fn progress(mut self, show: bool) -> Self {
        self.progress = show;
        self
    }

    /// Learns from texts.
    ///
    /// # Errors
    /// [`Error::Empty`] for no words; [`Error::Argument`] for a vocabulary smaller than the alphabet and the special tokens, a special token
    /// that is empty, there twice or missing, and a splitter that does not go with the model.
    pub fn train<S: AsRef<str> + Send + Sync>(&self, texts: impl IntoIterator<Item = S>) -> Result<Tokenizer> {
        self.try_train(texts.into_iter().map(Ok))
    }

    /// Learns from texts that may fail to be read.
    ///
    /// # Errors
    /// As [`train`](Self::train), and the first error of the texts.
    pub fn try_train<S: AsRef<str> + Send + Sync>(
        &self,
        texts: impl IntoIterator<Item = Result<S>>,
    ) -> Result<Tokenizer> {
        let tokens = &self.special_tokens;
        for (i, token) in tokens.iter().enumerate() {
            if token.is_empty() || tokens[..i].contains(token) {
                let hint = "give each one once";
                return Err(Error::argument(
                    "Trainer",
                    "special_tokens",
                    "different ones that are not empty",
                    format!("{token:?}"),
                    hint,
                ));
            }
        }
        let byte_level = self.splitter.as_ref().is_some_and(Splitter::is_byte_level);
        if byte_level != (self.kind == Kind::ByteLevelBpe) {
            let expected = if byte_level {
                "one without ByteLevel for pieces of characters"
            } else {
                "one that ends with ByteLevel"
            };
            return Err(Error::argument(
                "Trainer",
                "splitter",
                expected,
                "another",
                "take the trainer's own, or one of its kind",
            ));
        }
        let mut line = Line::new(self.progress);
        let words = words::count(texts.into_iter(), self.normalizer.as_ref(), self.splitter.as_ref(), &mut |bytes| {
            line.show("words counted", bytes >> 20, None, "MiB");
        })?;
        let model = self.model(words, &mut line)?;
        line.end();
        let added = (0..).zip(tokens).map(|(id, token)| AddedToken::special(id, token.clone())).collect();
        Tokenizer::from_parts(Parts {
            normalizer: self.normalizer.clone(),
            splitter: self.splitter.clone(),
            template: self.template(),
            decoder: self.decoder.clone(),
            added,
            model,
            truncation: None,
            padding: None,
        })
        .map_err(refused)
    }

    fn model(&self, words: Vec<(String, u64)>, line: &mut Line) -> Result<Model> {
        let missing = |token: &str| {
            let hint = format!("give {token} among them");
            Error::argument(
                "Trainer",
                "special_tokens",
                format!("{token} among them"),
                format!("{:?}", self.special_tokens),
                hint,
            )
        };
        let unknown =
            |token: &str| self.special_tokens.iter().any(|special| special == token).then(|| token.to_owned());
        if self.kind == Kind::Unigram {
            let trainer = UnigramTrainer {
                vocab_size: self.vocab_size,
                max_piece_length: self.max_token_length.unwrap_or(16),
                special_tokens: self.special_tokens.clone(),
                unknown: Some(unknown("<unk>").ok_or_else(|| missing("<unk>"))?),
                initial_alphabet: self.initial_alphabet.clone(),
                ..UnigramTrainer::default()
            };
            let trained = trainer.train(words, &mut |stage, done, total| line.show(stage, done, Some(total), ""))?;
            return Unigram::new(trained.pieces, trained.unknown, false).map(Model::Unigram).map_err(refused);
        }
        let bytes = self.kind == Kind::ByteLevelBpe;
        let words: Vec<_> = match bytes {
            true => words.into_iter().map(|(word, count)| (byte_level::text_of(word.as_bytes()), count)).collect(),
            false => words,
        };
        let rules = BpeRules {
            vocab_size: self.vocab_size,
            min_frequency: self.min_frequency,
            special_tokens: &self.special_tokens,
            initial_alphabet: match bytes {
                true => (0..=255).map(byte_level::char_of).collect(),
                false => self.initial_alphabet.clone(),
            },
            limit_alphabet: self.limit_alphabet.filter(|_| !bytes),
            max_token_length: self.max_token_length.unwrap_or(usize::MAX),
            continuing_prefix: if bytes { "" } else { "##" },
        };
        let wordpiece_unknown = if bytes { None } else { Some(unknown("[UNK]").ok_or_else(|| missing("[UNK]"))?) };
        let learned = learn(&words, &rules, &mut |tokens| line.show("tokens", tokens, Some(self.vocab_size), ""))?;
        let vocab = Vocab::new(learned.tokens.iter().map(String::as_str).zip(0..)).map_err(refused)?;
        match wordpiece_unknown {
            Some(unknown) => WordPiece::new(vocab, unknown, "##".into(), 100).map(Model::WordPiece).map_err(refused),
            None => {
                let settings = BpeSettings::default();
                Bpe::learned(vocab, learned.merges, learned.results, settings).map(Model::Bpe).map_err(refused)
            }
        }
    }

    /// `[CLS]` and `[SEP]` around texts, where both are among the special tokens.
    fn template(&self) -> Option<Template> {
        let special = |token: &str| {
            Some((token.to_owned(), self.special_tokens.iter().position(|special| special == token)? as u32))
        };
        let (sep, cls) = (special("[SEP]")?, special("[CLS]")?);
        (self.kind == Kind::WordPiece).then_some(Template::BertProcessing { sep, cls })
    }
}

fn refused(got: String) -> Error {
    Error::argument("Trainer", "settings", "those of one tokenizer", got, "look at what is named")
}

/// A line on standard error that is written over again and again.
struct Line {
    shown: bool,
    last: Option<(String, usize)>,
}

impl Line {
    fn new(wanted: bool) -> Self {
        Self { shown: wanted && std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, what: &str, done: usize, total: Option<usize>, unit: &str) {
        if !self.shown {
            return;
        }
        // Hundreds of steps at most, or all of them where there is no end in sight.
        let step = total.map_or(done, |total| done * 200 / total.max(1));
        if self.last.as_ref().is_some_and(|(last, at)| last == what && *at == step) {
            return;
        }
        let of = total.map_or(String::new(), |total| format!(" of {total}"));
        // Nobody is harmed if the line cannot be written.
        let _ = write!(std::io::stderr(), "\r\x1b[K{what}: {done}{of} {unit}");
        self.last = Some((what.to_owned(), step));
    }

    fn end(&self) {
        if self.last.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
