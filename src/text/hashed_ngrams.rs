//! Texts as features without a vocabulary.

use super::analysis::{Analysis, Standardize, TextSplit};
use super::encoded::{Encoded, MAX_WIDTH, Row, Scratch, Width, check_ids, encode, fill, sum_up};
use super::hashing::murmur3;
use super::stop_words::StopWords;
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

const OP: &str = "HashedNgrams";

/// The longest n-gram, in tokens or characters.
const MAX_NGRAM: usize = 64;

/// What [`HashedNgrams`] takes n-grams of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum NgramUnit {
    /// Tokens, with a space between them.
    #[default]
    Tokens,
    /// Characters of the tokens with a space between them.
    Characters,
    /// Characters of each token with a space before and behind it; a token that is shorter than the n-gram is one itself.
    CharactersOfTokens,
}

/// Turns texts into features by the hash of each n-gram, without a vocabulary: nothing to learn, nothing to store, and no n-gram is unknown.
///
/// A text is [standardised](Standardize), [cut](TextSplit) into tokens, [stop words](StopWords) go. The place of an n-gram among the features is
/// its hash modulo their number; n-grams that share one disturb each other, for which a bit of the hash decides whether one
/// counts +1 or −1, so that on average they cancel (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"). The row of
/// a text is divided by its length √Σv².
///
/// With [`ids`](Self::ids) the output is the place of each n-gram instead, from 1 on, for an [`Embedding`](crate::layers::Embedding): with
/// `GlobalAveragePooling1d` behind it the cost is that of the n-grams that are there, whatever the number of features, so that there may be
/// millions (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification"). Features for a `Dense` are mostly zeros that
/// are multiplied all the same: take a few thousand.
///
/// Defaults: single tokens, `LowerAndStripPunctuation`, `Whitespace`, no stop words, signed, divided by the length.
///
/// Features are those of scikit-learn's `HashingVectorizer` where texts are cut the same way (its analyzers `word`, `char`, `char_wb` in the
/// order of [`NgramUnit`]): MurmurHash3 of the UTF-8 bytes with seed 0.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{HashedNgrams, NgramUnit};
/// let front = HashedNgrams::new(4096).ngrams(1, 2);
/// let x: Tensor = front.transform(&["The cat sat.", "the cat SAT"])?;
/// assert_eq!((x.dims(), x.row(0)), (&[2, 4096][..], x.row(1)));
/// assert_eq!(x.row(0).iter().filter(|v| **v != 0.0).count(), 5);
/// let ids = HashedNgrams::new(1 << 20).ngrams(3, 5).unit(NgramUnit::CharactersOfTokens).ids(16);
/// assert_eq!(ids.transform::<f32>(&["misspellt"])?.dims(), [1, 16]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct HashedNgrams {
    features: usize,
    analysis: Analysis,
    unit: NgramUnit,
    ngrams: [usize; 2],
    signed: bool,
    normalized: bool,
    /// Steps, where ids come out.
    ids: Option<usize>,
}

impl HashedNgrams {
    /// So many features, or ids.
    pub fn new(features: usize) -> Self {
        HashedNgrams {
            features,
            analysis: Analysis::default(),
            unit: NgramUnit::default(),
            ngrams: [1, 1],
            signed: true,
            normalized: true,
            ids: None,
        }
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

    /// What n-grams are made of; tokens by default.
    pub fn unit(mut self, unit: NgramUnit) -> Self {
        self.unit = unit;
        self
    }

    /// The shortest and the longest n-grams; 1 and 1 by default.
    pub fn ngrams(mut self, shortest: usize, longest: usize) -> Self {
        self.ngrams = [shortest, longest];
        self
    }

    /// Whether a bit of the hash decides if an n-gram counts +1 or −1; yes by default. scikit-learn `alternate_sign`.
    pub fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Whether the row of a text is divided by its length; yes by default. scikit-learn `norm`.
    pub fn normalized(mut self, normalized: bool) -> Self {
        self.normalized = normalized;
        self
    }

    /// Ids of the n-grams in their order, the shortest first (token by token for [`NgramUnit::CharactersOfTokens`]), in the place of features: so
    /// many, filled up with 0; of a text without any that of the empty text. Their number is that of the features, which is what [`Embedding::new`](crate::layers::Embedding::new) takes.
    pub fn ids(mut self, steps: usize) -> Self {
        self.ids = Some(steps);
        self
    }

    /// The texts as a model takes them, `[texts, features]` or `[texts, steps]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings that cannot work; [`Error::Memory`] where there is no room.
    pub fn transform<T: Float>(&self, texts: &[impl AsRef<str>]) -> Result<Tensor<T>> {
        self.transform_texts(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    #[inline(never)]
    pub(crate) fn transform_texts<T: Float>(&self, texts: &[&str]) -> Result<Tensor<T>> {
        self.check()?;
        check_ids::<T>(OP, self.id_count())?;
        fill(OP, &self.encode(texts), self.width(), |row, out| self.write(row, out))
    }

    pub(super) fn check(&self) -> Result<()> {
        self.analysis.check(OP)?;
        let bad = |name, expected: String, got: String, hint| Err(Error::argument(OP, name, expected, got, hint));
        let least = 1 + usize::from(self.ids.is_some());
        // Places are 32 bits with a sign, so that more features would have none.
        if !(least..=MAX_WIDTH).contains(&self.features) {
            let expected = format!("from {least} to {MAX_WIDTH}");
            return bad("features", expected, self.features.to_string(), "a power of 2 is usual");
        }
        let [shortest, longest] = self.ngrams;
        if shortest == 0 || shortest > longest || longest > MAX_NGRAM {
            let got = format!("{shortest} to {longest}");
            return bad("ngrams", format!("ascending, from 1 to {MAX_NGRAM}"), got, "ngrams(1, 2) is usual for tokens");
        }
        if let Some(steps) = self.ids.filter(|steps| !(1..=MAX_WIDTH).contains(steps)) {
            return bad("ids", format!("from 1 to {MAX_WIDTH}"), steps.to_string(), "take about the longest text's");
        }
        Ok(())
    }

    /// The size of a text's row.
    pub(super) fn width(&self) -> Width {
        Width::Fixed(self.ids.unwrap_or(self.features))
    }

    pub(super) fn id_count(&self) -> Option<usize> {
        self.ids.map(|_| self.features)
    }

    /// Calls `each` for the n-grams of a text, the shortest first, as long as it says so.
    fn each_ngram(&self, text: &str, scratch: &mut Scratch, mut each: impl FnMut(&str) -> bool) {
        let Scratch { tokens, joined, spans, .. } = scratch;
        let [shortest, longest] = self.ngrams;
        let tokens = self.analysis.read(text, tokens);
        match self.unit {
            NgramUnit::Tokens => tokens.join(joined, spans),
            NgramUnit::Characters => {
                tokens.join(joined, spans);
                characters(joined, spans);
            }
            NgramUnit::CharactersOfTokens => {
                for token in tokens.iter() {
                    joined.clear();
                    [" ", token, " "].iter().for_each(|part| joined.push_str(part));
                    characters(joined, spans);
                    for n in shortest..=longest {
                        // One that is too short is an n-gram by itself, once.
                        let short = spans.len() <= n;
                        if short && !each(joined) {
                            return;
                        }
                        if short {
                            break;
                        }
                        if !windows(joined, spans, n, &mut each) {
                            return;
                        }
                    }
                }
                return;
            }
        }
        let _ = (shortest..=longest).all(|n| windows(joined, spans, n, &mut each));
    }

    #[inline(never)]
    pub(super) fn encode(&self, texts: &[&str]) -> Encoded {
        let place = |hash: u32, places: usize| ((hash as i32).unsigned_abs() as usize % places) as u32;
        if let Some(most) = self.ids {
            return encode(texts, |text, scratch, ids, _| {
                let before = ids.len();
                self.each_ngram(text, scratch, |ngram| {
                    ids.push(1 + place(murmur3(ngram.as_bytes()), self.features - 1));
                    ids.len() - before < most
                });
                if ids.len() == before {
                    ids.push(1 + place(murmur3(b""), self.features - 1));
                }
            });
        }
        encode(texts, |text, scratch, ids, counts| {
            let mut features = std::mem::take(&mut scratch.features);
            features.clear();
            self.each_ngram(text, scratch, |ngram| {
                let hash = murmur3(ngram.as_bytes());
                features.push((place(hash, self.features), if self.signed && (hash as i32) < 0 { -1 } else { 1 }));
                true
            });
            sum_up(&mut features, ids, counts);
            scratch.features = features;
        })
    }

    /// A text's row as the model takes it; `out` has its width.
    pub(super) fn write<T: Float>(&self, row: Row<'_>, out: &mut [T]) {
        out.fill(T::zero());
        if self.ids.is_some() {
            out.iter_mut().zip(row.ids).for_each(|(v, id)| *v = T::of(f64::from(*id)));
            return;
        }
        let squares: f64 = row.counts.iter().map(|count| f64::from(*count).powi(2)).sum();
        let length = if self.normalized && squares > 0.0 { squares.sqrt() } else { 1.0 };
        for (place, count) in row.ids.iter().zip(row.counts) {
            if let Some(v) = out.get_mut(*place as usize) {
                *v = T::of(f64::from(*count) / length);
            }
        }
    }

    /// The split, whose words a file holds beside the settings.
    #[cfg(feature = "files")]
    pub(super) fn split_mut(&mut self) -> &mut TextSplit {
        &mut self.analysis.split
    }

    #[cfg(feature = "files")]
    pub(super) fn the_split(&self) -> &TextSplit {
        &self.analysis.split
    }
}

/// Where the characters of a text stand.
fn characters(text: &str, spans: &mut Vec<(usize, usize)>) {
    spans.clear();
    spans.extend(text.char_indices().map(|(at, c)| (at, at + c.len_utf8())));
}

/// Calls `each` for all neighbours, `n` of them, as long as it says so; gives whether it always did.
fn windows(text: &str, spans: &[(usize, usize)], n: usize, each: &mut impl FnMut(&str) -> bool) -> bool {
    spans.windows(n).all(|window| each(&text[window[0].0..window[n - 1].1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ngrams(front: &HashedNgrams, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        front.each_ngram(text, &mut Scratch::default(), |ngram| {
            out.push(ngram.to_owned());
            true
        });
        out
    }

    #[test]
    fn ngrams_of_three_kinds() {
        let front = HashedNgrams::new(8).ngrams(1, 2);
        assert_eq!(ngrams(&front, "A b, c"), ["a", "b", "c", "a b", "b c"]);
        let front = front.unit(NgramUnit::Characters).ngrams(2, 3);
        assert_eq!(ngrams(&front, "né  o"), ["né", "é ", " o", "né ", "é o"]);
        let front = front.unit(NgramUnit::CharactersOfTokens).ngrams(3, 4);
        assert_eq!(ngrams(&front, "é abc"), [" é ", " ab", "abc", "bc ", " abc", "abc "]);
        assert_eq!(ngrams(&front, ""), [""; 0]);
    }

    #[test]
    fn rows() {
        let front = HashedNgrams::new(16).signed(false).normalized(false);
        let x: Tensor<f64> = front.transform(&["a a b", ""]).unwrap();
        assert_eq!((x.row(0).iter().sum::<f64>(), x.row(1).iter().sum::<f64>()), (3.0, 0.0));
        let x: Tensor<f64> = front.clone().normalized(true).transform(&["a a b c d"]).unwrap();
        assert!((x.row(0).iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        let ids: Tensor = front.ids(3).transform(&["a b a b", "a"]).unwrap();
        assert_eq!(ids.row(0)[0], ids.row(0)[2]);
        assert_eq!(ids.row(1), [ids.row(0)[0], 0.0, 0.0]);
        assert!(ids.iter().all(|id| (0.0..16.0).contains(id)));
    }

    #[test]
    fn settings_that_cannot_work() {
        let error = |front: HashedNgrams| front.transform::<f32>(&["a"]).unwrap_err().to_string();
        assert_eq!(
            error(HashedNgrams::new(0)),
            "HashedNgrams: features must be from 1 to 2147483648, got 0; a power of 2 is usual"
        );
        assert!(error(HashedNgrams::new(1).ids(2)).contains("from 2 to"));
        for steps in [0, crate::FREE, usize::MAX] {
            assert!(error(HashedNgrams::new(9).ids(steps)).contains("ids must be from 1 to 2147483648"));
        }
        // Single precision does not tell more ids apart.
        let many = HashedNgrams::new((1 << 24) + 1).ids(4);
        assert!(many.transform::<f64>(&["a"]).is_ok());
        assert_eq!(
            error(many),
            "HashedNgrams: the number of ids must be at most 16777216, which f32 tells apart, got 16777217; take fewer, or f64"
        );
        assert!(HashedNgrams::new(1 << 24).ids(4).transform::<f32>(&["a"]).is_ok());
        for (shortest, longest) in [(0, 1), (2, 1), (1, 65)] {
            assert!(error(HashedNgrams::new(9).ngrams(shortest, longest)).contains("ascending, from 1 to 64"));
        }
        // A feature more than there are addresses for is an error too.
        assert!(HashedNgrams::new(1 << 31).transform::<f64>(&vec!["a"; 1 << 16]).is_err());
    }
}
