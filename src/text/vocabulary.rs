//! Tokens and their numbers.

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};

/// Padding.
const PAD: &str = "<pad>";
/// What the vocabulary does not have.
const UNKNOWN: &str = "<unk>";
/// Beginning and end of a text.
const BEGIN: &str = "<bos>";
const END: &str = "<eos>";

/// Tokens by number, the most frequent first, with how often they came.
///
/// Numbers 0 to 3 are `<pad>`, `<unk>`, `<bos>` and `<eos>`; 0 is what [`Embedding::mask_zero`](crate::layers::Embedding::mask_zero) masks. Of
/// tokens that came as often the one that sorts first (by code points) has the smaller number, so that the order of texts changes
/// nothing.
///
/// ```
/// use gradus::text::{Vocabulary, words};
/// let texts = ["the cat sat", "the dog sat", "the end"];
/// let vocabulary = Vocabulary::count(texts.iter().flat_map(|text| words(text)), 2, None)?;
/// assert_eq!(vocabulary.len(), 6);
/// assert_eq!(vocabulary.encode(words("the cat sat")), [4, 1, 5]);
/// assert_eq!(vocabulary.token(4)?, "the");
/// assert_eq!(vocabulary.frequency(4)?, 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    frequencies: Vec<u64>,
    ids: HashMap<String, usize>,
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocabulary({} tokens)", self.len())
    }
}

impl Vocabulary {
    /// The number of `<pad>`.
    pub const PAD: usize = 0;
    /// The number of `<unk>`, of what the vocabulary does not have.
    pub const UNKNOWN: usize = 1;
    /// The number of `<bos>`, the beginning of a text.
    pub const BEGIN: usize = 2;
    /// The number of `<eos>`, the end of a text.
    pub const END: usize = 3;

    /// Counts tokens: those that come at least `min_frequency` times, and of them the `max_size` most frequent, the four special ones
    /// included, or all. A special token in the text counts as any other and keeps its number. Where no token comes that often, the special ones
    /// are all there is.
    ///
    /// # Errors
    /// [`Error::Empty`] for no tokens; [`Error::Argument`] for a `max_size` below 5.
    pub fn count<S: AsRef<str>>(
        tokens: impl IntoIterator<Item = S>,
        min_frequency: u64,
        max_size: Option<usize>,
    ) -> Result<Self> {
        let mut counts = HashMap::<String, u64>::new();
        for token in tokens {
            let token = token.as_ref();
            match counts.get_mut(token) {
                Some(count) => *count += 1,
                None => drop(counts.insert(token.to_owned(), 1)),
            }
        }
        Self::of(counts, min_frequency, max_size)
    }

    /// [`count`](Self::count) of what was counted already: tokens with how often they came, one that stands there twice with both together.
    /// What [`iter`](Self::iter) gives makes the same vocabulary again, so that it can be kept in a file:
    ///
    /// ```
    /// use gradus::text::Vocabulary;
    /// let vocabulary = Vocabulary::from_frequencies([("the", 3), ("cat", 1), ("sat", 2)], 1, None)?;
    /// let kept: Vec<(String, u64)> = vocabulary.iter().map(|(token, n)| (token.to_owned(), n)).collect();
    /// assert_eq!(kept[4..], [("the".to_owned(), 3), ("sat".to_owned(), 2), ("cat".to_owned(), 1)]);
    /// assert_eq!(Vocabulary::from_frequencies(kept, 0, None)?, vocabulary);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn from_frequencies<S: Into<String>>(
        tokens: impl IntoIterator<Item = (S, u64)>,
        min_frequency: u64,
        max_size: Option<usize>,
    ) -> Result<Self> {
        let mut counts = HashMap::<String, u64>::new();
        for (token, count) in tokens {
            let sum = counts.entry(token.into()).or_default();
            *sum = sum.saturating_add(count);
        }
        Self::of(counts, min_frequency, max_size)
    }

    fn of(mut counts: HashMap<String, u64>, min_frequency: u64, max_size: Option<usize>) -> Result<Self> {
        let special = [PAD, UNKNOWN, BEGIN, END];
        if let Some(size) = max_size.filter(|&size| size <= special.len()) {
            let hint = "leave room for tokens beside <pad>, <unk>, <bos> and <eos>";
            return Err(Error::argument("Vocabulary", "max_size", "at least 5", size, hint));
        }
        if counts.is_empty() {
            return Err(Error::Empty { op: "Vocabulary", what: "the text" });
        }
        let mut found: Vec<(String, u64)> =
            special.map(|token| (token.to_owned(), counts.remove(token).unwrap_or(0))).into();
        let mut rest: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= min_frequency).collect();
        rest.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.append(&mut rest);
        found.truncate(max_size.unwrap_or(usize::MAX));
        let (tokens, frequencies): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let ids = tokens.iter().cloned().zip(0..).collect();
        Ok(Vocabulary { tokens, frequencies, ids })
    }

    /// The tokens by number, each with how often it came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.tokens.iter().map(String::as_str).zip(self.frequencies.iter().copied())
    }

    /// How many tokens there are, the special ones included.
    #[allow(clippy::len_without_is_empty)] // The special ones are always there.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The number of a token; that of `<unk>` for what is not there.
    pub fn id(&self, token: &str) -> usize {
        self.ids.get(token).copied().unwrap_or(Self::UNKNOWN)
    }

    /// The numbers of several tokens.
    pub fn encode<S: AsRef<str>>(&self, tokens: impl IntoIterator<Item = S>) -> Vec<usize> {
        tokens.into_iter().map(|token| self.id(token.as_ref())).collect()
    }

    /// The token of a number.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that no token has.
    pub fn token(&self, id: usize) -> Result<&str> {
        self.tokens.get(id).map(String::as_str).ok_or_else(|| self.no_token(id, ""))
    }

    /// How often the token of a number came.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub fn frequency(&self, id: usize) -> Result<u64> {
        self.frequencies.get(id).copied().ok_or_else(|| self.no_token(id, ""))
    }

    /// The tokens of several numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that no token has, with its place.
    pub fn decode(&self, ids: &[usize]) -> Result<Vec<&str>> {
        let token = |(place, &id): (usize, &usize)| {
            self.tokens.get(id).map(String::as_str).ok_or_else(|| self.no_token(id, &format!(" at position {place}")))
        };
        ids.iter().enumerate().map(token).collect()
    }

    fn no_token(&self, id: usize, place: &str) -> Error {
        let expected = format!("below {}, the size of the vocabulary", self.len());
        Error::argument("Vocabulary", "id", expected, format!("{id}{place}"), "take the vocabulary that made the ids")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequency_and_then_the_alphabet_give_the_numbers() {
        let texts = ["b a c b", "<unk> c é"];
        let all = |texts: &[&str]| {
            let tokens: Vec<_> = texts.iter().flat_map(|text| text.split(' ').map(str::to_owned)).collect();
            Vocabulary::count(tokens, 0, None).unwrap()
        };
        let own = all(&texts);
        assert_eq!(own, all(&[texts[1], texts[0]]));
        assert_eq!(
            own.decode(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap(),
            ["<pad>", "<unk>", "<bos>", "<eos>", "b", "c", "a", "é"]
        );
        assert_eq!((own.frequency(1).unwrap(), own.frequency(4).unwrap(), own.frequency(0).unwrap()), (1, 2, 0));
        assert_eq!(own.encode(["c", "z", "<eos>"]), [5, 1, 3]);
        assert_eq!(Vocabulary::from_frequencies(own.iter(), 0, None).unwrap(), own);
        let twice = Vocabulary::from_frequencies([("a", u64::MAX), ("b", 7), ("a", 1), ("c", 0)], 1, None).unwrap();
        assert_eq!(twice.iter().skip(4).collect::<Vec<_>>(), [("a", u64::MAX), ("b", 7)]);
        let few = Vocabulary::count(["b", "a", "c", "b"], 1, Some(5)).unwrap();
        assert_eq!((few.len(), few.id("b"), few.id("a")), (5, 4, Vocabulary::UNKNOWN));
    }

    #[test]
    fn what_there_is_no_vocabulary_of() {
        assert!(
            Vocabulary::count([""; 0], 1, None).is_err()
                && Vocabulary::from_frequencies([("", 0); 0], 1, None).is_err()
        );
        assert!(Vocabulary::count(["a"], 1, Some(4)).unwrap_err().to_string().contains("at least 5"));
        let one = Vocabulary::count(["a"], 2, None).unwrap();
        assert_eq!(one.len(), 4);
        let error = one.decode(&[1, 4]).unwrap_err().to_string();
        assert_eq!(
            error,
            "Vocabulary: id must be below 4, the size of the vocabulary, got 4 at position 1; take the vocabulary that made the ids"
        );
    }
}
