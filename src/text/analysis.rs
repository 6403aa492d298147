//! From a raw text to its tokens: standardised, cut, without stop words.

use std::fmt;

use unicode_segmentation::UnicodeSegmentation;

use super::cjk::{Kind, units};
use super::clean::Cleaner;
use super::stop_words::StopWords;
use super::word_list::{Cuts, WordList};
use crate::error::{Error, Result};

/// What is done to a text before it is cut into tokens. The names and what they do are Keras's, which knows capital letters and
/// punctuation of ASCII alone; for other scripts take a [`Cleaner`].
///
/// ```
/// use gradus::text::{Cleaner, Form, Standardize};
/// assert_eq!(Standardize::LowerAndStripPunctuation.apply("Don't PANIC, Ärger!"), "dont panic Ärger");
/// let cleaner: Standardize = Cleaner::new().form(Form::Nfkc).lowercase(true).into();
/// assert_eq!(cleaner.apply("ＰＡＮＩＣ Ärger"), "panic ärger");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Standardize {
    /// ASCII's capital letters become small ones, ASCII's punctuation goes.
    #[default]
    LowerAndStripPunctuation,
    /// ASCII's capital letters become small ones.
    Lower,
    /// ASCII's punctuation goes.
    StripPunctuation,
    /// Nothing.
    None,
    /// What a cleaner does.
    Cleaner(Cleaner),
}

impl From<Cleaner> for Standardize {
    fn from(cleaner: Cleaner) -> Self {
        Standardize::Cleaner(cleaner)
    }
}

impl Standardize {
    /// The text as it is cut afterwards.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::new();
        self.write(text, &mut out);
        out
    }

    /// [`apply`](Self::apply) into a text that is kept.
    fn write(&self, text: &str, out: &mut String) {
        out.clear();
        match self {
            Standardize::LowerAndStripPunctuation | Standardize::StripPunctuation => {
                let mut start = 0;
                for (at, byte) in text.bytes().enumerate() {
                    if byte.is_ascii_punctuation() {
                        out.push_str(&text[start..at]);
                        start = at + 1;
                    }
                }
                out.push_str(&text[start..]);
            }
            Standardize::Lower | Standardize::None => out.push_str(text),
            Standardize::Cleaner(cleaner) => *out = cleaner.clean(text),
        }
        if matches!(self, Standardize::LowerAndStripPunctuation | Standardize::Lower) {
            out.make_ascii_lowercase();
        }
    }
}

/// How a text is cut into tokens. The first three are Keras's.
///
/// ```
/// use gradus::text::{TextSplit, WordList};
/// let tokens = |split: TextSplit| split.tokens("我爱 Rust").into_iter().map(String::from).collect::<Vec<_>>();
/// assert_eq!(tokens(TextSplit::Whitespace), ["我爱", "Rust"]);
/// assert_eq!(tokens(TextSplit::Cjk), ["我", "爱", "Rust"]);
/// assert_eq!(tokens(WordList::from_words(["我爱"])?.into()), ["我爱", "Rust"]);
/// assert_eq!(tokens(TextSplit::Character).len(), 7);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum TextSplit {
    /// At white space of ASCII.
    #[default]
    Whitespace,
    /// Each character is a token, white space too.
    Character,
    /// The whole text is one token. Keras `split=None`.
    Whole,
    /// Words by Unicode's rules, see [`words`](super::words()).
    Words,
    /// Characters of Chinese and Japanese, words of other scripts, see [`cjk_characters`](super::cjk_characters()).
    Cjk,
    /// Words of Chinese and Japanese by a list.
    WordList(WordList),
}

impl From<WordList> for TextSplit {
    fn from(list: WordList) -> Self {
        TextSplit::WordList(list)
    }
}

impl TextSplit {
    /// The tokens of a text.
    pub fn tokens<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut spans = Vec::new();
        self.cut(text, &mut Cuts::default(), &mut spans);
        spans.into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    /// Appends where the tokens of a text begin and end.
    fn cut(&self, text: &str, cuts: &mut Cuts, spans: &mut Vec<(usize, usize)>) {
        match self {
            TextSplit::Whitespace => {
                // Those that C's `isspace` knows.
                let space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
                let mut start = None;
                for (at, byte) in text.bytes().enumerate() {
                    match (space(byte), start) {
                        (true, Some(from)) => {
                            spans.push((from, at));
                            start = None;
                        }
                        (false, None) => start = Some(at),
                        _ => {}
                    }
                }
                spans.extend(start.map(|from| (from, text.len())));
            }
            TextSplit::Character => spans.extend(text.char_indices().map(|(at, c)| (at, at + c.len_utf8()))),
            TextSplit::Whole => spans.push((0, text.len())),
            TextSplit::Words => spans.extend(text.unicode_word_indices().map(|(at, word)| (at, at + word.len()))),
            TextSplit::Cjk => {
                let tokens = units(text).filter(|unit| unit.kind != Kind::Other);
                spans.extend(tokens.map(|unit| (unit.start, unit.start + unit.text.len())));
            }
            TextSplit::WordList(list) => list.cut(text, cuts, spans),
        }
    }
}

/// From a raw text to its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct Analysis {
    pub standardize: Standardize,
    pub split: TextSplit,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "StopWords::is_empty"))]
    pub stop_words: StopWords,
}

impl Analysis {
    /// That it can cut texts.
    pub fn check(&self, op: &'static str) -> Result<()> {
        match &self.split {
            TextSplit::WordList(list) if list.is_empty() => {
                let hint = "make it with WordList::from_words or from_file; TextSplit::Cjk cuts into characters";
                Err(Error::argument(op, "split", "a list with words", "one without", hint))
            }
            _ => Ok(()),
        }
    }

    /// The tokens of a text, into what is kept.
    pub fn read<'t>(&self, text: &str, tokens: &'t mut Tokens) -> &'t Tokens {
        self.standardize.write(text, &mut tokens.text);
        tokens.spans.clear();
        self.split.cut(&tokens.text, &mut tokens.cuts, &mut tokens.spans);
        if !self.stop_words.is_empty() {
            let text = &tokens.text;
            tokens.spans.retain(|&(start, end)| !self.stop_words.contains(&text[start..end]));
        }
        tokens
    }
}

/// The tokens of a text, in memory that is kept from text to text.
#[derive(Default)]
pub(super) struct Tokens {
    /// The text that was cut.
    text: String,
    spans: Vec<(usize, usize)>,
    cuts: Cuts,
}

impl Tokens {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.spans.iter().map(|&(start, end)| &self.text[start..end])
    }

    /// The tokens with a space between them, into `joined`, where they then stand as `spans` says.
    pub fn join(&self, joined: &mut String, spans: &mut Vec<(usize, usize)>) {
        joined.clear();
        spans.clear();
        for token in self.iter() {
            if !spans.is_empty() {
                joined.push(' ');
            }
            let start = joined.len();
            joined.push_str(token);
            spans.push((start, joined.len()));
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_and_cut() {
        let all: String = (0..128u8).map(char::from).collect();
        assert_eq!(Standardize::StripPunctuation.apply(&all).len(), 128 - 32);
        assert_eq!(Standardize::Lower.apply("ÀB!"), "Àb!");
        assert_eq!(Standardize::None.apply("ÀB!"), "ÀB!");
        let text = " a\u{b}b\u{1c}c \u{3000}d\n";
        assert_eq!(TextSplit::Whitespace.tokens(text), ["a", "b\u{1c}c", "\u{3000}d"]);
        assert_eq!(TextSplit::Whitespace.tokens(" "), [""; 0]);
        assert_eq!(TextSplit::Whole.tokens(""), [""]);
        assert_eq!(TextSplit::Words.tokens("can't, 東京"), ["can't", "東", "京"]);
    }

    #[test]
    fn stop_words_go_after_the_text_was_standardised() {
        let analysis = Analysis { stop_words: StopWords::english(), ..Analysis::default() };
        let mut tokens = Tokens::default();
        analysis.read("The end.", &mut tokens);
        assert_eq!(format!("{:?}", analysis.read("The cat, AND the dog", &mut tokens)), "[\"cat\", \"dog\"]");
        let (mut joined, mut spans) = (String::new(), Vec::new());
        tokens.join(&mut joined, &mut spans);
        assert_eq!((joined.as_str(), &spans[..]), ("cat dog", &[(0, 3), (4, 7)][..]));
        assert_eq!(tokens.iter().count(), 2);
    }
}
