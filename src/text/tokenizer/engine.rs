//! A tokenizer: its parts, and what is read out of them once.

use std::{collections::HashMap, fmt};

use super::{
    AddedToken, Decoder, Normalizer, Padding, Pattern, Splitter, Template, Truncation, added::Matcher, aligned_text,
    byte_level, decoder::Steps, model::Model, pool::Pool, template::Layout, token_bytes::TokenBytes,
};
use crate::error::{Error, Result};

/// Text to tokens and back, as a file says it.
///
/// `&Tokenizer` can be shared among threads; each call takes buffers of its own. No result depends on what was encoded before.
///
/// ```
/// use gradus::text::{Tokenizer, tokenizer::Trainer};
/// let trained = Trainer::word_piece(60).train(["a fine film", "a finer film", "the finest film"])?;
/// let tokenizer = Tokenizer::from_json(&trained.to_json()?)?;
/// let encoding = tokenizer.encode("A fine FILM!")?;
/// let tokens: Vec<_> = encoding.ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
/// assert_eq!(tokens, ["[CLS]", "a", "fine", "film", "[UNK]", "[SEP]"]);
/// assert_eq!(encoding.offsets[2], (2, 6));
/// assert_eq!(tokenizer.decode(&encoding.ids, true)?, "a fine film");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    pub(super) normalizer: Option<Normalizer>,
    pub(super) splitter: Option<Splitter>,
    pub(super) model: Model,
    pub(super) template: Option<Template>,
    pub(super) decoder: Option<Decoder>,
    pub(super) added: Vec<AddedToken>,
    pub(super) truncation: Option<Truncation>,
    pub(super) padding: Option<Padding>,
    /// Added tokens by content, and those that are looked for in normalised text.
    pub(super) raw: Matcher,
    pub(super) normalized: Matcher,
    /// What decoding makes of each added token.
    pub(super) decoded: Vec<String>,
    /// Position in `added` by id, in order of ids.
    pub(super) added_by_id: Vec<(u32, usize)>,
    pub(super) layout: Layout,
    pub(super) steps: Steps,
    /// The pattern, where cutting by it is all that the splitter does.
    pub(super) direct: Option<Pattern>,
    pub(super) needs_origins: bool,
    /// Bytes of tokens, where decoding is to put them together.
    pub(super) bytes: Option<TokenBytes>,
    pub(super) pool: Pool,
}

impl fmt::Debug for Tokenizer {
    /// In a few lines: parts, and of the vocabulary its size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("added_tokens", &self.added.len())
            .field("normalizer", &self.normalizer)
            .field("splitter", &self.splitter)
            .field("template", &self.template)
            .field("decoder", &self.decoder)
            .field("truncation", &self.truncation)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}

/// What a tokenizer is made of.
pub(super) struct Parts {
    pub(super) normalizer: Option<Normalizer>,
    pub(super) splitter: Option<Splitter>,
    pub(super) model: Model,
    pub(super) template: Option<Template>,
    pub(super) decoder: Option<Decoder>,
    pub(super) added: Vec<AddedToken>,
    pub(super) truncation: Option<Truncation>,
    pub(super) padding: Option<Padding>,
}

impl Tokenizer {
    pub(super) fn from_parts(parts: Parts) -> Result<Self, String> {
        let Parts { normalizer, splitter, model, template, decoder, added, truncation, padding } = parts;
        if let Some(splitter) = &splitter {
            splitter.check()?;
        }
        if let Some(padding) = &padding {
            padding.check()?;
        }
        let direct = match &splitter {
            Some(splitter) => splitter.direct(),
            None => None,
        };
        let needs_origins = splitter.as_ref().is_some_and(Splitter::needs_origins);
        let (layout, steps) = (Layout::new(template.as_ref())?, Steps::new(decoder.as_ref())?);
        let mut tokenizer = Self {
            normalizer,
            splitter,
            model,
            template,
            decoder,
            added: Vec::new(),
            truncation,
            padding,
            raw: Matcher::default(),
            normalized: Matcher::default(),
            decoded: Vec::new(),
            added_by_id: Vec::new(),
            layout,
            steps,
            direct,
            needs_origins,
            bytes: None,
            pool: Pool::default(),
        };
        tokenizer.set_added(added)?;
        let ids = tokenizer.layout.ids().chain(tokenizer.padding.iter().map(|padding| padding.pad_id));
        for id in ids {
            if tokenizer.token(id).is_none() {
                return Err(format!("expected ids of tokens in the template and in padding, got {id}"));
            }
        }
        Ok(tokenizer)
    }

    pub(super) fn set_added(&mut self, added: Vec<AddedToken>) -> Result<(), String> {
        let vocab = self.model.vocab();
        let mut by_id: Vec<(u32, usize)> = Vec::with_capacity(added.len());
        for (i, token) in added.iter().enumerate() {
            if token.content.is_empty() {
                return Err(format!("expected added tokens with a content, got none for id {}", token.id));
            }
            let other = vocab.id(&token.content).filter(|id| *id != token.id).map(|id| id.to_string());
            let taken = vocab.token(token.id).filter(|other| *other != token.content).map(|other| format!("{other:?}"));
            if let Some(other) = other.or(taken) {
                return Err(format!(
                    "expected the added token {:?} to have the id that the vocabulary gives it, got {} and {other}",
                    token.content, token.id
                ));
            }
            by_id.push((token.id, i));
        }
        by_id.sort_unstable();
        if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("expected added tokens with ids of their own, got {} twice", pair[0].0));
        }
        let end = vocab.end().max(by_id.last().map_or(0, |(id, _)| *id as usize + 1));
        if end > vocab.end() + added.len() + (1 << 20) {
            return Err(format!("expected ids of added tokens beside those of the vocabulary, got {}", end - 1));
        }
        let decoded = |token: &AddedToken| match token.normalized {
            true => self.normalize(&token.content),
            false => Ok(token.content.clone()),
        };
        self.decoded = added.iter().map(decoded).collect::<Result<_>>().map_err(|e| e.to_string())?;
        let contents = |normalized: bool| {
            let all = self.decoded.iter().zip(&added).enumerate();
            all.filter(move |(_, (_, token))| token.normalized == normalized).map(|(i, (text, _))| (text.clone(), i))
        };
        (self.raw, self.normalized) = (Matcher::new(contents(false)), Matcher::new(contents(true)));
        (self.added, self.added_by_id) = (added, by_id);
        self.bytes = self.steps.is_byte_level().then(|| {
            TokenBytes::new((0..self.id_bound() as u32).map(|id| Some(byte_level::bytes_of(self.decoded(id)?))))
        });
        self.pool.clear();
        Ok(())
    }

    /// The text as the normaliser leaves it.
    ///
    /// # Errors
    /// [`Error::Argument`] for texts of 4 GiB and more.
    pub fn normalize(&self, text: &str) -> Result<String> {
        if let Model::SentencePiece(model) = &self.model {
            return model.engine.normalize(text);
        }
        let mut aligned = aligned_text::AlignedText::new(text, 0, false);
        if let Some(normalizer) = &self.normalizer {
            normalizer.apply(&mut aligned)?;
        }
        Ok(aligned.as_str().to_owned())
    }

    /// The token of an id, as the vocabulary writes it; `None` for an id that is none.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.model.vocab().token(id).or_else(|| Some(&*self.added[self.added_token(id)?].content))
    }

    /// The position of an added token.
    pub(super) fn added_token(&self, id: u32) -> Option<usize> {
        let at = self.added_by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.added_by_id[at].1)
    }

    /// What decoding makes of an id: of an added token that is looked for in normalised text the normalised content.
    pub(super) fn decoded(&self, id: u32) -> Option<&str> {
        match self.added_token(id) {
            Some(at) => Some(&self.decoded[at]),
            None => self.token(id),
        }
    }

    /// The id of a token, as the vocabulary writes it.
    pub fn id(&self, token: &str) -> Option<u32> {
        let added = || self.added.iter().find(|added| added.content == token).map(|added| added.id);
        self.model.vocab().id(token).or_else(added)
    }

    /// How many tokens there are, added ones among them.
    pub fn vocab_size(&self) -> usize {
        let vocab = self.model.vocab();
        vocab.len() + self.added.iter().filter(|token| vocab.token(token.id).is_none()).count()
    }

    /// The id behind the largest: how many rows an embedding needs.
    pub fn id_bound(&self) -> usize {
        self.model.vocab().end().max(self.added_by_id.last().map_or(0, |(id, _)| *id as usize + 1))
    }

    /// The same without added tokens.
    #[cfg(feature = "files")]
    pub(crate) fn model_id_bound(&self) -> usize {
        self.model.vocab().end()
    }

    /// The id of what the vocabulary does not have, if there is a token for it.
    pub(crate) fn unknown_id(&self) -> Option<u32> {
        self.model.unknown()
    }

    /// The added tokens.
    pub fn added_tokens(&self) -> &[AddedToken] {
        &self.added
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.added_token(id).is_some_and(|at| self.added[at].special)
    }

    /// With more added tokens. What is in the vocabulary keeps its id, others get the next ones: the ids of what is passed do not count.
    ///
    /// # Errors
    /// [`Error::Argument`] for one without a content.
    pub fn with_added_tokens(mut self, tokens: impl IntoIterator<Item = AddedToken>) -> Result<Self> {
        let mut added = std::mem::take(&mut self.added);
        let mut places: HashMap<String, usize> =
            added.iter().enumerate().map(|(i, token)| (token.content.clone(), i)).collect();
        let mut next = self.id_bound();
        for mut token in tokens {
            match places.get(&token.content) {
                Some(&place) => {
                    token.id = added[place].id;
                    added[place] = token;
                }
                None => {
                    token.id = self.model.vocab().id(&token.content).unwrap_or(next as u32);
                    next = next.max(token.id as usize + 1);
                    places.insert(token.content.clone(), added.len());
                    added.push(token);
                }
            }
        }
        let hint = "give each a content";
        self.set_added(added)
            .map_err(|got| Error::argument("Tokenizer", "added tokens", "tokens of their own", got, hint))?;
        Ok(self)
    }

    /// Encodings are cut to a length, or (`None`) not.
    pub fn with_truncation(mut self, truncation: impl Into<Option<Truncation>>) -> Self {
        self.truncation = truncation.into();
        self
    }

    /// Encodings are filled up, or (`None`) not.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is no token, and lengths above 2²⁰.
    pub fn with_padding(mut self, padding: impl Into<Option<Padding>>) -> Result<Self> {
        let padding: Option<Padding> = padding.into();
        if let Some(Err(got)) = padding.as_ref().map(Padding::check) {
            return Err(Error::argument(
                "Tokenizer",
                "padding",
                "a length that a model has",
                got,
                "pass a smaller one",
            ));
        }
        if let Some(id) = padding.as_ref().map(|padding| padding.pad_id).filter(|id| self.token(*id).is_none()) {
            let hint = "add the token first";
            return Err(Error::argument("Tokenizer", "pad_id", "the id of a token", id, hint));
        }
        self.padding = padding;
        Ok(self)
    }

    /// With other tokens around texts, or (`None`) none.
    ///
    /// # Errors
    /// [`Error::Argument`] for ids that are no tokens, and templates without the texts.
    pub fn with_template(mut self, template: impl Into<Option<Template>>) -> Result<Self> {
        let template = template.into();
        let refuse = |got| {
            Error::argument("Tokenizer", "template", "one of this vocabulary", got, "take ids from Tokenizer::id")
        };
        let layout = Layout::new(template.as_ref()).map_err(refuse)?;
        if let Some(id) = layout.ids().find(|id| self.token(*id).is_none()) {
            return Err(refuse(format!("the id {id}, which is no token")));
        }
        (self.template, self.layout) = (template, layout);
        Ok(self)
    }

    /// How encodings are cut.
    pub fn truncation(&self) -> Option<&Truncation> {
        self.truncation.as_ref()
    }

    /// How encodings are filled up.
    pub fn padding(&self) -> Option<&Padding> {
        self.padding.as_ref()
    }

    /// With another normaliser, or (`None`) none.
    ///
    /// # Errors
    /// [`Error::Argument`] for a SentencePiece model, which has its own.
    pub fn with_normalizer(self, normalizer: impl Into<Option<Normalizer>>) -> Result<Self> {
        let normalizer = normalizer.into();
        self.with(|parts| parts.normalizer = normalizer)
    }

    /// With another splitter, or (`None`) none.
    ///
    /// # Errors
    /// [`Error::Argument`] for one that does not go with the model: tokens of bytes need [`Splitter::ByteLevel`] at the end, others must not have it; for
    /// a SentencePiece model, which has its own.
    pub fn with_splitter(self, splitter: impl Into<Option<Splitter>>) -> Result<Self> {
        let splitter: Option<Splitter> = splitter.into();
        let bytes = splitter.as_ref().is_some_and(Splitter::is_byte_level);
        if let Model::Bpe(bpe) = &self.model
            && bpe.is_byte_level() != bytes
        {
            let expected = if bytes {
                "one without ByteLevel, as tokens are characters"
            } else {
                "one with ByteLevel at its end, as tokens are bytes"
            };
            return Err(Error::argument(
                "Tokenizer",
                "splitter",
                expected,
                "another",
                "take one of the kind that the tokenizer has",
            ));
        }
        self.with(|parts| parts.splitter = splitter)
    }

    /// With another decoder, or (`None`) none: tokens with a space between them.
    ///
    /// # Errors
    /// [`Error::Argument`] for decoders that make text thousands of times as long; for a SentencePiece model, which has its own.
    pub fn with_decoder(self, decoder: impl Into<Option<Decoder>>) -> Result<Self> {
        let decoder = decoder.into();
        self.with(|parts| parts.decoder = decoder)
    }

    fn with(self, change: impl FnOnce(&mut Parts)) -> Result<Self> {
        if matches!(self.model, Model::SentencePiece(_)) {
            let hint = "save it by to_json and read that, where every part is by itself";
            return Err(Error::argument(
                "Tokenizer",
                "model",
                "one without parts of its own",
                "a SentencePiece model",
                hint,
            ));
        }
        let Self { normalizer, splitter, model, template, decoder, added, truncation, padding, .. } = self;
        let mut parts = Parts { normalizer, splitter, model, template, decoder, added, truncation, padding };
        change(&mut parts);
        Self::from_parts(parts).map_err(|got| {
            Error::argument("Tokenizer", "part", "one that goes with the others", got, "look at what is named")
        })
    }

    /// The normaliser.
    pub fn normalizer(&self) -> Option<&Normalizer> {
        self.normalizer.as_ref()
    }

    /// The splitter.
    pub fn splitter(&self) -> Option<&Splitter> {
        self.splitter.as_ref()
    }

    /// The template.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The decoder.
    pub fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_ref()
    }
}
