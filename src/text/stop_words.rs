//! Words that say little.

use std::collections::HashSet;
use std::fmt;

use super::hashing::Seeded;

/// Words that are left out before tokens are counted or numbered: articles, pronouns, particles. None by default, wherever they can be set.
///
/// A word is left out where it is written as in the list, after the text has been standardised; so the English list, which is in small
/// letters and without apostrophes, belongs behind a standardisation that lowers. Words that deny (`not`, `no`, 不, 没) are in neither list, as much
/// hangs on them.
///
/// ```
/// use gradus::text::StopWords;
/// let words = StopWords::english().and(&StopWords::chinese()).and(&StopWords::from_words(["film"]));
/// assert!(words.contains("the") && words.contains("的") && words.contains("film"));
/// assert!(!words.contains("not") && !words.contains("不"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<String>", into = "Vec<String>"))]
pub struct StopWords {
    words: HashSet<Box<str>, Seeded>,
}

impl StopWords {
    /// Those of English, about 120, as they stand in `src/text/stop_words/english.txt`.
    pub fn english() -> Self {
        Self::from_words(include_str!("stop_words/english.txt").lines())
    }

    /// Those of Chinese (simplified), about 100, as they stand in `src/text/stop_words/chinese.txt`.
    pub fn chinese() -> Self {
        Self::from_words(include_str!("stop_words/chinese.txt").lines())
    }

    /// A list of one's own.
    pub fn from_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        StopWords { words: words.into_iter().map(|word| word.as_ref().into()).collect() }
    }

    /// These and others.
    pub fn and(mut self, others: &StopWords) -> Self {
        self.words.extend(others.words.iter().cloned());
        self
    }

    /// Whether a word is one of them.
    pub fn contains(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words, sorted.
    pub fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.words.iter().map(|word| &**word).collect();
        words.sort_unstable();
        words
    }
}

impl fmt::Debug for StopWords {
    /// The words, sorted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StopWords").field(&self.words()).finish()
    }
}

impl From<Vec<String>> for StopWords {
    fn from(words: Vec<String>) -> Self {
        Self::from_words(words)
    }
}

impl From<StopWords> for Vec<String> {
    fn from(words: StopWords) -> Self {
        words.words().into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_clean() {
        let lists = [include_str!("stop_words/english.txt"), include_str!("stop_words/chinese.txt")];
        for (list, words) in lists.into_iter().zip([StopWords::english(), StopWords::chinese()]) {
            assert_eq!(words.len(), list.lines().count(), "a word stands twice");
            assert!(list.lines().all(|word| !word.is_empty() && word == word.trim().to_lowercase()));
        }
        assert!(StopWords::default().is_empty());
        assert_eq!(StopWords::from_words(["b", "a", "b"]).words(), ["a", "b"]);
    }
}
