//! Texts as ids or as features, by a vocabulary.

use std::collections::HashMap;
use std::sync::Arc;

use super::analysis::{Analysis, Standardize, TextSplit};
use super::encoded::{Encoded, MAX_WIDTH, Row, Scratch, Width, check_ids, encode, fill, in_parts, sum_up};
use super::hashing::Seeded;
use super::stop_words::StopWords;
use super::table::Table;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::tensor::{Float, Tensor};

const OP: &str = "TextVectorization";

/// What the vocabulary does not have.
const UNKNOWN: &str = "[UNK]";

/// The most tokens that are joined.
const MAX_NGRAM: usize = 64;

/// What a [`TextVectorization`] makes of the tokens of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum OutputMode {
    /// The id of each token, in their order: 0 is padding, 1 what the vocabulary does not have.
    #[default]
    Int,
    /// For each entry of the vocabulary 1 if the text has it, else 0; the first stands for all that the vocabulary does not have.
    MultiHot,
    /// How often the text has each entry.
    Count,
    /// That, times the entry's weight, which is the larger the fewer texts have it.
    TfIdf,
}

/// Which n-grams of tokens are entries: made by `into` from a number `n`, for all of 1 to n tokens, or from a list of lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ngrams(Vec<usize>);

impl From<usize> for Ngrams {
    fn from(n: usize) -> Self {
        // None at all and one too many are found to be.
        Ngrams((n.min(1)..=n.min(MAX_NGRAM + 1)).collect())
    }
}

impl<const N: usize> From<[usize; N]> for Ngrams {
    fn from(lengths: [usize; N]) -> Self {
        Ngrams(lengths.into())
    }
}

impl From<Vec<usize>> for Ngrams {
    fn from(lengths: Vec<usize>) -> Self {
        Ngrams(lengths)
    }
}

/// Turns texts into what a model takes: ids of tokens for an [`Embedding`](crate::layers::Embedding), or a feature for each entry of a
/// vocabulary for a [`Dense`](crate::layers::Dense).
///
/// A text is [standardised](Standardize), [cut](TextSplit) into tokens, [stop words](StopWords) go, [n-grams](Self::ngrams) are made of what is
/// left; the vocabulary, learned by [`adapt`](Self::adapt) or [given](Self::vocabulary), turns them into numbers, as the
/// [mode](OutputMode) says:
///
/// | mode | output | vocabulary |
/// |---|---|---|
/// | `Int` | `[texts, steps]`: ids, filled up with 0 | `""`, `[UNK]`, then from id 2 on the tokens |
/// | `MultiHot`, `Count`, `TfIdf` | `[texts, entries]` | `[UNK]`, then from place 1 on the tokens |
///
/// - Steps are [`output_sequence_length`](Self::output_sequence_length), longer texts are cut; without it those of the longest text of the
///   call, at least one.
/// - The weight of an entry that df of N texts have is ln(1 + N/(1 + df)), that of `[UNK]` the mean of all.
/// - A learned vocabulary is sorted by how often tokens came, of as many the one that sorts last by code points first.
/// - Texts are gone through by all threads; nothing depends on how many.
///
/// Defaults: all tokens of the texts that were learned from, `LowerAndStripPunctuation`, `Whitespace`, no stop words, no n-grams, `Int`,
/// free length.
///
/// Ids, vocabularies, counts and weights are those of Keras's layer of the same name (`split="whitespace"` and so on), for one text a
/// row; weights are computed in f64.
///
/// A vocabulary of many thousand entries makes features mostly zeros, and `Dense` multiplies with all of them: a batch of 256 texts over
/// 20,000 entries is 20 MB, 100,000 such texts are 8 GB. Bound it with [`max_tokens`](Self::max_tokens) (a few thousand), or let
/// [`TextSource`](super::TextSource) write out a batch at a time, or take ids: `Embedding` and `GlobalAveragePooling1d` compute the mean of a vector for each
/// token, which is what a `Dense` over counts computes but for the length of the text, at the cost of the tokens that are there.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{OutputMode, TextVectorization};
/// let texts = ["the cat sat", "The dog sat!", "the end"];
/// let ids = TextVectorization::new().output_sequence_length(4).adapt(&texts)?;
/// assert_eq!(ids.get_vocabulary(), ["", "[UNK]", "the", "sat", "end", "dog", "cat"]);
/// let x: Tensor = ids.transform(&["a cat sat", "the end of the dog"])?;
/// assert_eq!(x, Tensor::from([[1.0, 6.0, 3.0, 0.0], [2.0, 4.0, 1.0, 2.0]]));
/// let counts = TextVectorization::new().output_mode(OutputMode::Count).max_tokens(3).adapt(&texts)?;
/// let x: Tensor = counts.transform(&["the cat sat on the mat"])?;
/// assert_eq!(x, Tensor::from([[3.0, 2.0, 1.0]])); // [UNK], the, sat
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TextVectorization {
    analysis: Analysis,
    max_tokens: Option<usize>,
    /// The lengths of n-grams; none where tokens stay as they are.
    ngrams: Vec<usize>,
    output_mode: OutputMode,
    output_sequence_length: Option<usize>,
    pad_to_max_tokens: bool,
    /// What was learned; in a model's file arrays beside the settings.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Learned::is_none", with = "written"))]
    learned: Arc<Learned>,
}

/// The vocabulary without its special entries, and the weights of all entries, with that of `[UNK]`.
#[derive(Debug, Default, PartialEq)]
struct Learned {
    table: Table,
    idf: Vec<f64>,
}

#[cfg(feature = "serde")]
impl Learned {
    fn is_none(this: &Arc<Learned>) -> bool {
        this.table.len() == 0 && this.idf.is_empty()
    }
}

/// What was learned as serde has it: the tokens in their order, and the weights.
#[cfg(feature = "serde")]
mod written {
    use std::sync::Arc;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Learned, Table};

    pub fn serialize<S: Serializer>(learned: &Arc<Learned>, serializer: S) -> Result<S::Ok, S::Error> {
        let tokens: Vec<&str> = learned.table.tokens().collect();
        (tokens, &learned.idf).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Learned>, D::Error> {
        let (tokens, idf) = <(Vec<String>, Vec<f64>)>::deserialize(deserializer)?;
        let table = Table::new(tokens.into_iter().map(Arc::from).collect());
        let table = table.map_err(|twice| D::Error::custom(format!("{twice:?} stands twice in the vocabulary")))?;
        Ok(Arc::new(Learned { table, idf }))
    }
}

impl Default for TextVectorization {
    fn default() -> Self {
        Self::new()
    }
}

impl TextVectorization {
    /// With the defaults, and without a vocabulary.
    pub fn new() -> Self {
        TextVectorization {
            analysis: Analysis::default(),
            max_tokens: None,
            ngrams: Vec::new(),
            output_mode: OutputMode::default(),
            output_sequence_length: None,
            pad_to_max_tokens: false,
            learned: Arc::default(),
        }
    }

    /// The most entries of the vocabulary, the special ones (two for `Int`, one else) included; all by default.
    pub fn max_tokens(mut self, max: usize) -> Self {
        self.max_tokens = Some(max);
        self
    }

    /// What is done to a text before it is cut; ASCII's capitals lowered and its punctuation stripped by default.
    pub fn standardize(mut self, standardize: impl Into<Standardize>) -> Self {
        self.analysis.standardize = standardize.into();
        self
    }

    /// How a text is cut; at white space by default.
    pub fn split(mut self, split: impl Into<TextSplit>) -> Self {
        self.analysis.split = split.into();
        self
    }

    /// Tokens that are left out; none by default.
    pub fn stop_words(mut self, words: StopWords) -> Self {
        self.analysis.stop_words = words;
        self
    }

    /// N-grams of tokens with a space between them in the place of single tokens: `2` for single tokens and then pairs, `[2]` for pairs
    /// alone. None by default.
    pub fn ngrams(mut self, ngrams: impl Into<Ngrams>) -> Self {
        self.ngrams = ngrams.into().0;
        self
    }

    /// What is made of the tokens; ids by default.
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.output_mode = mode;
        self
    }

    /// The number of ids of each text, for `Int`: shorter texts are filled up with 0, longer ones cut. That of the longest text by default.
    pub fn output_sequence_length(mut self, steps: usize) -> Self {
        self.output_sequence_length = Some(steps);
        self
    }

    /// Whether there are `max_tokens` features even where the vocabulary is smaller; no by default.
    pub fn pad_to_max_tokens(mut self, pad: bool) -> Self {
        self.pad_to_max_tokens = pad;
        self
    }

    /// A vocabulary that is known, in its order, with the special entries or without them.
    ///
    /// # Errors
    /// [`Error::Argument`] for an entry twice, an empty one among the tokens, none, more than `max_tokens`, and for `TfIdf`, which takes
    /// [`vocabulary_with_idf`](Self::vocabulary_with_idf).
    pub fn vocabulary<S: AsRef<str>>(self, entries: impl IntoIterator<Item = S>) -> Result<Self> {
        if self.output_mode == OutputMode::TfIdf {
            let hint = "give the weights with vocabulary_with_idf, or learn both with adapt";
            return Err(Error::argument(OP, "idf_weights", "one for each entry", "none", hint));
        }
        let (tokens, _) = self.known(entries)?;
        self.learned(tokens, Vec::new())
    }

    /// A vocabulary that is known, with a weight for each entry of it. Without `[UNK]` at its beginning, that has the mean of the weights.
    ///
    /// # Errors
    /// As [`vocabulary`](Self::vocabulary); [`Error::Shape`] for another number of weights, [`Error::Argument`] for one that is not finite,
    /// or where the mode is not `TfIdf`.
    pub fn vocabulary_with_idf<S: AsRef<str>>(
        self,
        entries: impl IntoIterator<Item = S>,
        idf_weights: &[f64],
    ) -> Result<Self> {
        if self.output_mode != OutputMode::TfIdf {
            let hint = "set output_mode(OutputMode::TfIdf) before";
            return Err(Error::argument(OP, "idf_weights", "given for TfIdf alone", "some", hint));
        }
        let (tokens, special) = self.known(entries)?;
        if tokens.len() + usize::from(special) != idf_weights.len() {
            let expected = format!("{} weights, one for each entry", tokens.len() + usize::from(special));
            return Err(Error::shape(OP, expected, idf_weights.len(), "pass both in the same order"));
        }
        let mean = (!special).then(|| mean(idf_weights));
        let idf = mean.into_iter().chain(idf_weights.iter().copied()).collect();
        self.learned(tokens, idf)
    }

    /// The tokens of a vocabulary that is known, and whether it began with the special entries.
    fn known<S: AsRef<str>>(&self, entries: impl IntoIterator<Item = S>) -> Result<(Vec<Arc<str>>, bool)> {
        let mut tokens: Vec<Arc<str>> = entries.into_iter().map(|entry| Arc::from(entry.as_ref())).collect();
        let special = self.special();
        let found = tokens.len() >= special.len() && special.iter().zip(&tokens).all(|(a, b)| *a == &**b);
        if found {
            tokens.drain(..special.len());
        }
        Ok((tokens, found))
    }

    /// Learns the vocabulary, and for `TfIdf` the weights, from texts; in the place of what was learned before.
    ///
    /// # Errors
    /// [`Error::Empty`] where there are no texts, or no tokens in them; [`Error::Argument`] for settings that cannot work.
    pub fn adapt<S: AsRef<str>>(self, texts: &[S]) -> Result<Self> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.adapt_texts(&texts)
    }

    #[inline(never)]
    fn adapt_texts(self, texts: &[&str]) -> Result<Self> {
        self.check_settings()?;
        if texts.is_empty() {
            return Err(Error::Empty { op: OP, what: "the list of texts" });
        }
        // A part for each thread, as each has a table of its own; sums are the same however many there are.
        let mut parts = in_parts(texts, parallel::threads(), |range, counts: &mut Counts| {
            let mut scratch = Scratch::default();
            for (text, document) in texts[range].iter().zip(1..) {
                self.each_entry(text, &mut scratch, |entry| {
                    counts.count(entry, document);
                    true
                });
            }
        })
        .into_iter();
        let mut all = parts.next().unwrap_or_default();
        parts.for_each(|part| all.add(part));
        all.counts.retain(|entry, _| !["", UNKNOWN].contains(&&**entry));
        let mut found: Vec<(Box<str>, Count)> = all.counts.into_iter().collect();
        if found.is_empty() {
            return Err(Error::Empty { op: OP, what: "the text, cut into tokens," });
        }
        found.sort_unstable_by(|a, b| (b.1.tokens, &b.0).cmp(&(a.1.tokens, &a.0)));
        found.truncate(self.max_tokens.map_or(usize::MAX, |max| max - self.special().len()));
        let mut idf = Vec::new();
        if self.output_mode == OutputMode::TfIdf {
            // ln(1 + N / (1 + df))
            let weight = |count: &Count| (1.0 + texts.len() as f64 / (1.0 + count.documents as f64)).ln();
            idf.extend(found.iter().map(|(_, count)| weight(count)));
            idf.insert(0, mean(&idf));
        }
        self.learned(found.into_iter().map(|(token, _)| Arc::from(token)).collect(), idf)
    }

    /// This with a vocabulary, if it is sound.
    fn learned(mut self, tokens: Vec<Arc<str>>, idf: Vec<f64>) -> Result<Self> {
        self.check_settings()?;
        let bad = |expected: &str, got: String, hint: &str| Err(Error::argument(OP, "vocabulary", expected, got, hint));
        let (most, special) = (self.max_tokens.unwrap_or(usize::MAX), self.special());
        let size = tokens.len() + special.len();
        if size > most.min(u32::MAX as usize) {
            let got = format!("{size} with the special ones");
            return bad(&format!("of at most {most} entries"), got, "pass fewer, or raise max_tokens");
        }
        // `max_tokens` may leave room for the special entries alone.
        if tokens.is_empty() && size < most {
            return bad("not empty", "none".into(), "pass the tokens, the most frequent first");
        }
        if tokens.iter().any(|token| token.is_empty()) {
            let hint = format!("leave it out, or begin with {special:?} in that order");
            return bad("without the empty token, which is padding", "it".into(), &hint);
        }
        if let Some(weight) = idf.iter().find(|weight| !weight.is_finite()) {
            return Err(Error::argument(OP, "idf_weights", "finite", weight, "correct them"));
        }
        match Table::new(tokens) {
            Ok(table) => {
                self.learned = Arc::new(Learned { table, idf });
                Ok(self)
            }
            Err(twice) => bad("of different entries", format!("{twice:?} twice"), "leave one out"),
        }
    }

    fn check_settings(&self) -> Result<()> {
        self.analysis.check(OP)?;
        let bad = |name, expected: &str, got: String, hint| Err(Error::argument(OP, name, expected, got, hint));
        if let Some(max) = self.max_tokens.filter(|max| *max < 2) {
            return bad("max_tokens", "at least 2", max.to_string(), "leave room for tokens beside the special ones");
        }
        if let Some(n) = self.ngrams.iter().find(|n| !(1..=MAX_NGRAM).contains(n)) {
            return bad("ngrams", "lengths from 1 to 64", n.to_string(), "2 is usual: single tokens and pairs");
        }
        if self.ngrams.len() > MAX_NGRAM {
            return bad("ngrams", "at most 64 lengths", self.ngrams.len().to_string(), "name each length once");
        }
        if self.pad_to_max_tokens
            && self.output_mode != OutputMode::Int
            && self.max_tokens.is_some_and(|n| n > MAX_WIDTH)
        {
            let got = self.max_tokens.unwrap_or(0).to_string();
            return bad("max_tokens", "at most 2147483648 with pad_to_max_tokens", got, "take a few thousand");
        }
        match self.output_sequence_length {
            Some(steps) if steps == 0 || steps > MAX_WIDTH => {
                let hint = "take about the longest text's, or leave it out for any number";
                return bad("output_sequence_length", "from 1 to 2147483648", steps.to_string(), hint);
            }
            Some(steps) if self.output_mode != OutputMode::Int => {
                let hint = "leave it out: the output has a feature for each entry of the vocabulary";
                return bad("output_sequence_length", "set for Int alone", steps.to_string(), hint);
            }
            _ => {}
        }
        if self.pad_to_max_tokens && self.max_tokens.is_none() {
            return bad("max_tokens", "set with pad_to_max_tokens", "none".into(), "call max_tokens(n)");
        }
        Ok(())
    }

    /// The entries in front of the tokens.
    fn special(&self) -> &'static [&'static str] {
        if self.output_mode == OutputMode::Int { &["", UNKNOWN] } else { &[UNKNOWN] }
    }

    /// The vocabulary in the order of ids or features, with its special entries.
    pub fn get_vocabulary(&self) -> Vec<&str> {
        self.special().iter().copied().chain(self.learned.table.tokens()).collect()
    }

    /// The number of entries of the vocabulary, the special ones included: for `Int` the number of ids, which is what
    /// [`Embedding::new`](crate::layers::Embedding::new) takes.
    pub fn vocabulary_size(&self) -> usize {
        self.special().len() + self.learned.table.len()
    }

    /// The weight of each entry for `TfIdf`; none for other modes.
    pub fn idf_weights(&self) -> &[f64] {
        &self.learned.idf
    }

    /// The texts as a model takes them.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no vocabulary; [`Error::Argument`] for settings that were changed after it and do not go with it;
    /// [`Error::Memory`] where there is no room.
    pub fn transform<T: Float>(&self, texts: &[impl AsRef<str>]) -> Result<Tensor<T>> {
        self.transform_texts(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    #[inline(never)]
    pub(crate) fn transform_texts<T: Float>(&self, texts: &[&str]) -> Result<Tensor<T>> {
        self.check()?;
        check_ids::<T>(OP, self.ids())?;
        fill(OP, &self.encode(texts, false), self.width(), |row, out| self.write(row, out))
    }

    /// That there is a vocabulary that goes with the settings.
    pub(super) fn check(&self) -> Result<()> {
        self.check_settings()?;
        let problem = |problem: String, hint: &str| Err(Error::Config { op: OP, problem, hint: hint.into() });
        if self.learned.table.len() == 0 && self.max_tokens != Some(self.special().len()) {
            return problem("there is no vocabulary".into(), "call adapt(&texts) or vocabulary(entries) first");
        }
        if self.max_tokens.is_some_and(|max| self.vocabulary_size() > max) {
            let size = self.vocabulary_size();
            return problem(
                format!("the vocabulary of {size} entries is larger than max_tokens"),
                "set max_tokens before adapt",
            );
        }
        let weights = if self.output_mode == OutputMode::TfIdf { self.vocabulary_size() } else { 0 };
        if self.learned.idf.len() != weights {
            return problem(
                "the mode was changed after the vocabulary was made".into(),
                "set output_mode before adapt",
            );
        }
        Ok(())
    }

    /// The size of a text's row.
    pub(super) fn width(&self) -> Width {
        match (self.output_mode, self.output_sequence_length) {
            (OutputMode::Int, None) => Width::Free,
            (OutputMode::Int, Some(steps)) => Width::Fixed(steps),
            _ => Width::Fixed(match self.max_tokens {
                Some(max) if self.pad_to_max_tokens => max,
                _ => self.vocabulary_size(),
            }),
        }
    }

    /// How many ids there are; none where features come out.
    pub(super) fn ids(&self) -> Option<usize> {
        (self.output_mode == OutputMode::Int).then(|| self.vocabulary_size())
    }

    /// Calls `each` for the entries of a text in their order, as long as it says so.
    fn each_entry(&self, text: &str, scratch: &mut Scratch, mut each: impl FnMut(&str) -> bool) {
        let tokens = self.analysis.read(text, &mut scratch.tokens);
        if matches!(self.ngrams[..], [] | [1]) {
            let _ = tokens.iter().all(each);
            return;
        }
        tokens.join(&mut scratch.joined, &mut scratch.spans);
        for &n in &self.ngrams {
            for window in scratch.spans.windows(n) {
                if !each(&scratch.joined[window[0].0..window[n - 1].1]) {
                    return;
                }
            }
        }
    }

    /// The rows of texts; with `[UNK]` in that of ids of a text that has no tokens, if asked for.
    #[inline(never)]
    pub(super) fn encode(&self, texts: &[&str], never_empty: bool) -> Encoded {
        let table = &self.learned.table;
        let special = self.special().len() as u32;
        // The id of what is not there is that before the first token.
        let id = |entry: &str| table.id(entry).map_or(special - 1, |id| id + special);
        if self.output_mode == OutputMode::Int {
            let most = self.output_sequence_length.unwrap_or(usize::MAX);
            return encode(texts, |text, scratch, ids, _| {
                let before = ids.len();
                self.each_entry(text, scratch, |entry| {
                    ids.push(if entry.is_empty() { 0 } else { id(entry) });
                    ids.len() - before < most
                });
                if never_empty && ids[before..].iter().all(|id| *id == 0) {
                    ids.truncate(before);
                    ids.push(1);
                }
            });
        }
        encode(texts, |text, scratch, ids, counts| {
            let mut features = std::mem::take(&mut scratch.features);
            features.clear();
            self.each_entry(text, scratch, |entry| {
                if !entry.is_empty() {
                    features.push((id(entry), 1));
                }
                true
            });
            sum_up(&mut features, ids, counts);
            scratch.features = features;
        })
    }

    /// A text's row as the model takes it; `out` has its width.
    pub(super) fn write<T: Float>(&self, row: Row<'_>, out: &mut [T]) {
        out.fill(T::zero());
        if self.output_mode == OutputMode::Int {
            out.iter_mut().zip(row.ids).for_each(|(v, id)| *v = T::of(f64::from(*id)));
            return;
        }
        for (id, count) in row.ids.iter().zip(row.counts) {
            let Some(v) = out.get_mut(*id as usize) else { continue };
            *v = match self.output_mode {
                OutputMode::MultiHot => T::one(),
                OutputMode::TfIdf => T::of(f64::from(*count) * self.learned.idf[*id as usize]),
                _ => T::of(f64::from(*count)),
            };
        }
    }

    /// The split, whose words a file holds beside the settings.
    #[cfg(feature = "files")]
    pub(super) fn split_mut(&mut self) -> &mut TextSplit {
        &mut self.analysis.split
    }

    /// The settings alone.
    #[cfg(feature = "files")]
    pub(super) fn forget(&mut self) {
        self.learned = Arc::default();
    }

    #[cfg(feature = "files")]
    pub(super) fn the_split(&self) -> &TextSplit {
        &self.analysis.split
    }

    /// The vocabulary without its special entries.
    #[cfg(feature = "files")]
    pub(super) fn tokens(&self) -> Vec<&str> {
        self.learned.table.tokens().collect()
    }

    /// This with what a file holds beside the settings.
    #[cfg(feature = "files")]
    pub(super) fn with_learned(self, tokens: &[&str], idf: Vec<f64>) -> Result<Self> {
        let own = self.learned(tokens.iter().map(|token| Arc::from(*token)).collect(), idf)?;
        own.check()?;
        Ok(own)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// How often an entry came.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    tokens: u64,
    documents: u64,
    /// The text of this part in which it came last, from 1.
    last: u64,
}

#[derive(Debug, Default)]
struct Counts {
    counts: HashMap<Box<str>, Count, Seeded>,
}

impl Counts {
    fn count(&mut self, entry: &str, document: u64) {
        let count = match self.counts.get_mut(entry) {
            Some(count) => count,
            None => self.counts.entry(entry.into()).or_default(),
        };
        count.tokens += 1;
        count.documents += u64::from(count.last != document);
        count.last = document;
    }

    fn add(&mut self, other: Counts) {
        for (entry, more) in other.counts {
            let count = self.counts.entry(entry).or_default();
            count.tokens += more.tokens;
            count.documents += more.documents;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::WordList;

    #[test]
    fn settings_that_cannot_work() {
        let error = |own: TextVectorization| own.adapt(&["a b"]).unwrap_err().to_string();
        let new = TextVectorization::new;
        assert_eq!(
            error(new().max_tokens(1)),
            "TextVectorization: max_tokens must be at least 2, got 1; leave room for tokens beside the special ones"
        );
        assert!(error(new().ngrams(0)).contains("lengths from 1 to 64, got 0"));
        assert!(error(new().ngrams(65)).contains("lengths from 1 to 64, got 65"));
        assert!(error(new().ngrams([0])).contains("got 0"));
        for steps in [0, crate::FREE, usize::MAX] {
            assert!(error(new().output_sequence_length(steps)).contains("from 1 to 2147483648"));
        }
        let padded = new().output_mode(OutputMode::Count).max_tokens(crate::FREE).pad_to_max_tokens(true);
        assert!(error(padded).contains("at most 2147483648 with pad_to_max_tokens"));
        assert!(error(new().split(WordList::default())).contains("split must be a list with words"));
        assert!(error(new().output_sequence_length(3).output_mode(OutputMode::Count)).contains("for Int alone"));
        assert!(error(new().pad_to_max_tokens(true)).contains("max_tokens must be set"));
        assert!(new().adapt(&[""; 0]).unwrap_err().to_string().contains("the list of texts"));
        assert!(new().adapt(&[" ", "?"]).unwrap_err().to_string().contains("cut into tokens"));
        let none = new().transform::<f32>(&["a"]).unwrap_err().to_string();
        assert_eq!(none, "TextVectorization: there is no vocabulary; call adapt(&texts) or vocabulary(entries) first");
        let changed = new().adapt(&["a b c"]).unwrap().max_tokens(3);
        assert!(changed.transform::<f32>(&["a"]).unwrap_err().to_string().contains("larger than max_tokens"));
        let changed = new().output_mode(OutputMode::TfIdf).adapt(&["a b c"]).unwrap().output_mode(OutputMode::Count);
        assert!(changed.transform::<f32>(&["a"]).unwrap_err().to_string().contains("the mode was changed"));
    }

    #[test]
    fn vocabularies_that_are_known() {
        let new = TextVectorization::new;
        let error = |entries: &[&str]| new().vocabulary(entries).unwrap_err().to_string();
        assert!(error(&["a", "a"]).contains("\"a\" twice"));
        assert!(error(&["a", ""]).contains("without the empty token"));
        assert!(error(&[]).contains("not empty") && error(&["", "[UNK]"]).contains("not empty"));
        let own = new().vocabulary(["", "[UNK]", "b", "a"]).unwrap();
        assert_eq!(own, new().vocabulary(["b", "a"]).unwrap());
        assert_eq!((own.vocabulary_size(), own.get_vocabulary()[2]), (4, "b"));
        assert!(
            new().max_tokens(3).vocabulary(["b", "a"]).unwrap_err().to_string().contains("at most 3 entries, got 4")
        );
        let idf = || new().output_mode(OutputMode::TfIdf);
        assert!(idf().vocabulary(["a"]).unwrap_err().to_string().contains("idf_weights must be one for each entry"));
        assert!(idf().vocabulary_with_idf(["a"], &[1.0, 2.0]).unwrap_err().is_shape());
        assert!(idf().vocabulary_with_idf(["a"], &[f64::NAN]).is_err());
        assert!(new().vocabulary_with_idf(["a"], &[1.0]).is_err());
        assert_eq!(idf().vocabulary_with_idf(["a", "b"], &[1.0, 2.0]).unwrap().idf_weights(), [1.5, 1.0, 2.0]);
        let with = idf().vocabulary_with_idf(["[UNK]", "a"], &[7.0, 2.0]).unwrap();
        assert_eq!(with.idf_weights(), [7.0, 2.0]);
    }

    /// More texts than parts, and the order of texts changes nothing.
    #[test]
    fn the_same_in_any_order_and_company() {
        let texts: Vec<String> = (0..1000).map(|i| format!("w{} w{} x", i % 37, i % 11)).collect();
        let mut turned = texts.clone();
        turned.reverse();
        let new = || TextVectorization::new().output_mode(OutputMode::TfIdf).ngrams(2);
        let (own, other) = (new().adapt(&texts).unwrap(), new().adapt(&turned).unwrap());
        assert_eq!(own, other);
        let all: Tensor = own.transform(&texts).unwrap();
        for i in [0, 1, 500, 999] {
            let one: Tensor = own.transform(&texts[i..=i]).unwrap();
            assert_eq!(one.row(0), all.row(i));
        }
        let none: Tensor = own.transform(&[""; 0]).unwrap();
        assert_eq!(none.dims(), [0, own.vocabulary_size()]);
    }
}
