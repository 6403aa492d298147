//! Splitters: a text is cut into pieces, which the model encodes one by one.

use serde::{Deserialize, Serialize};

use super::{
    aligned_text::{AlignedText, Span},
    classes::{Classes, NUMBER, PUNCTUATION, SPACE},
    metaspace::{Metaspace, PrependScheme},
    pattern::Pattern,
};
use crate::error::{Error, Result};

/// What becomes of what a splitter finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Behavior {
    /// It goes.
    Removed,
    /// It is a piece.
    #[default]
    Isolated,
    /// It belongs to the piece before it.
    MergedWithPrevious,
    /// It belongs to the piece behind it.
    MergedWithNext,
    /// Finds beside each other are one piece.
    Contiguous,
}

fn yes() -> bool {
    true
}

/// How a text is cut into pieces, in the words of `tokenizer.json` (`pre_tokenizer`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
#[non_exhaustive]
pub enum Splitter {
    /// One after the other, each on the pieces of the one before.
    Sequence {
        /// The splitters, in order.
        pretokenizers: Vec<Splitter>,
    },
    /// The model's tokens are bytes, and its file writes each byte as a visible character; GPT-2's words, if asked for.
    ByteLevel {
        /// Whether a space is put in front of texts without one.
        add_prefix_space: bool,
        /// Whether the offsets of a token leave out its spaces (a matter of the template of the same name).
        #[serde(default = "yes")]
        trim_offsets: bool,
        /// Whether the text is cut into GPT-2's words.
        #[serde(default = "yes")]
        use_regex: bool,
    },
    /// By a pattern.
    Split {
        /// What is looked for.
        pattern: Pattern,
        /// What becomes of it.
        behavior: Behavior,
        /// Whether what lies between is meant.
        #[serde(default)]
        invert: bool,
    },
    /// Spaces as a visible character.
    Metaspace(Metaspace),
    /// Words and runs of marks, without white space.
    Whitespace,
    /// What lies between white space.
    WhitespaceSplit,
    /// White space goes, each punctuation mark is a piece.
    BertPreTokenizer,
    /// Punctuation.
    Punctuation {
        /// What becomes of it.
        #[serde(default)]
        behavior: Behavior,
    },
    /// Digits and other numbers.
    Digits {
        /// Whether each is a piece.
        #[serde(default)]
        individual_digits: bool,
    },
    /// A character between the pieces.
    CharDelimiterSplit {
        /// The character.
        delimiter: char,
    },
}

/// Ranges of bytes of an [`AlignedText`].
pub(super) type Pieces = Vec<Span>;

impl Splitter {
    /// Whether tokens are bytes: `ByteLevel` stands at the end.
    pub(super) fn is_byte_level(&self) -> bool {
        match self {
            Splitter::ByteLevel { .. } => true,
            Splitter::Sequence { pretokenizers } => pretokenizers.last().is_some_and(Splitter::is_byte_level),
            _ => false,
        }
    }

    /// Refuses what would mean something else here than where the file comes from.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Splitter::Sequence { pretokenizers } = self {
            for (i, splitter) in pretokenizers.iter().enumerate() {
                splitter.check()?;
                if splitter.is_byte_level() && i + 1 < pretokenizers.len() {
                    return Err(
                        "expected ByteLevel at the end of the sequence of splitters, got others behind it".into()
                    );
                }
            }
        }
        Ok(())
    }

    /// The pattern, if cutting by it is all there is to do and every text is one piece after the other.
    pub(super) fn direct(&self) -> Option<Pattern> {
        match self {
            Splitter::ByteLevel { add_prefix_space: false, use_regex: true, .. } => Some(Pattern::gpt2()),
            Splitter::Split { pattern, behavior: Behavior::Isolated, invert: false } => {
                pattern.is_total().then(|| pattern.clone())
            }
            Splitter::Sequence { pretokenizers } => match &pretokenizers[..] {
                [only] => only.direct(),
                [first, Splitter::ByteLevel { add_prefix_space: false, use_regex: false, .. }] => first.direct(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it has to be known where a piece begins in the original text.
    pub(super) fn needs_origins(&self) -> bool {
        match self {
            Splitter::Sequence { pretokenizers } => pretokenizers.iter().any(Splitter::needs_origins),
            Splitter::Metaspace(metaspace) => metaspace.prepend_scheme == PrependScheme::First,
            _ => false,
        }
    }

    /// Cuts each piece.
    pub(super) fn apply(&self, text: &mut AlignedText<'_>, pieces: &mut Pieces) -> Result<()> {
        let classes = Classes::get();
        match self {
            Splitter::Sequence { pretokenizers } => {
                for splitter in pretokenizers {
                    splitter.apply(text, pieces)?;
                }
            }
            Splitter::ByteLevel { add_prefix_space, use_regex, .. } => {
                if *add_prefix_space {
                    prefix_each(text, pieces, ' ', |_| true)?;
                }
                if *use_regex {
                    cut(text.as_str(), pieces, &Pattern::gpt2(), Behavior::Isolated, false);
                }
            }
            Splitter::Split { pattern, behavior, invert } => cut(text.as_str(), pieces, pattern, *behavior, *invert),
            Splitter::Metaspace(metaspace) => {
                let replacement = metaspace.replacement;
                if text.as_str().contains(' ') {
                    respace(text, pieces, replacement)?;
                }
                match metaspace.prepend_scheme {
                    PrependScheme::Always => prefix_each(text, pieces, replacement, |_| true)?,
                    PrependScheme::First => prefix_each(text, pieces, replacement, |span| span.0 == 0)?,
                    PrependScheme::Never => {}
                }
                if metaspace.split {
                    let pattern = Pattern::literal(replacement.encode_utf8(&mut [0; 4]));
                    cut(text.as_str(), pieces, &pattern, Behavior::MergedWithNext, false);
                }
            }
            Splitter::Whitespace => cut(text.as_str(), pieces, &Pattern::words_or_marks(), Behavior::Removed, true),
            Splitter::WhitespaceSplit => {
                by_char(text.as_str(), pieces, Behavior::Removed, |c| classes.of(c) & SPACE != 0)
            }
            Splitter::BertPreTokenizer => {
                by_char(text.as_str(), pieces, Behavior::Removed, |c| classes.of(c) & SPACE != 0);
                by_char(text.as_str(), pieces, Behavior::Isolated, |c| is_punctuation(classes, c));
            }
            Splitter::Punctuation { behavior } => {
                by_char(text.as_str(), pieces, *behavior, |c| is_punctuation(classes, c));
            }
            Splitter::Digits { individual_digits } => {
                let behavior = if *individual_digits { Behavior::Isolated } else { Behavior::Contiguous };
                by_char(text.as_str(), pieces, behavior, |c| classes.of(c) & NUMBER != 0);
            }
            Splitter::CharDelimiterSplit { delimiter } => {
                by_char(text.as_str(), pieces, Behavior::Removed, |c| c == *delimiter);
            }
        }
        Ok(())
    }
}

fn is_punctuation(classes: Classes, c: char) -> bool {
    c.is_ascii_punctuation() || classes.of(c) & PUNCTUATION != 0
}

/// A character in front of each piece that does not begin with it, where asked for.
fn prefix_each(
    text: &mut AlignedText<'_>,
    pieces: &mut Pieces,
    prefix: char,
    wanted: impl Fn(Span) -> bool,
) -> Result<()> {
    let all = text.as_str();
    let lacks: Vec<bool> = pieces
        .iter()
        .map(|&(start, end)| {
            let piece = &all[start as usize..end as usize];
            wanted(text.origin(start as usize, end as usize)) && !piece.is_empty() && !piece.starts_with(prefix)
        })
        .collect();
    if !lacks.contains(&true) {
        return Ok(());
    }
    let (mut at, mut more) = (0, 0);
    text.rewrite(|rewriter| {
        for ((start, end), lacks) in pieces.iter_mut().zip(lacks) {
            rewriter.keep(*start as usize - at);
            let begin = *start as usize + more;
            if lacks {
                rewriter.insert_before(prefix.encode_utf8(&mut [0; 4]));
                more += prefix.len_utf8();
            }
            rewriter.keep((*end - *start) as usize);
            at = *end as usize;
            (*start, *end) = (fit(begin)?, fit(*end as usize + more)?);
        }
        Ok(())
    })
}

fn fit(at: usize) -> Result<u32> {
    let hint = "cut it into documents first";
    u32::try_from(at).map_err(|_| Error::argument("Tokenizer", "the text", "shorter than 4 GiB", "a longer one", hint))
}

/// Every space becomes the visible character.
fn respace(text: &mut AlignedText<'_>, pieces: &mut Pieces, replacement: char) -> Result<()> {
    let longer = replacement.len_utf8() as u32 - 1;
    let mut spaces = 0u32;
    let mut bounds = pieces.iter_mut().flat_map(|(start, end)| [start, end]).peekable();
    text.rewrite(|rewriter| {
        let all = rewriter.rest();
        let mut at = 0;
        loop {
            let space = all[at..].find(' ').map_or(all.len(), |found| at + found);
            while let Some(bound) = bounds.next_if(|bound| **bound as usize <= space) {
                *bound = fit(*bound as usize + (spaces * longer) as usize)?;
            }
            if space == all.len() {
                return Ok(());
            }
            rewriter.keep(space - at);
            rewriter.replace(replacement);
            (at, spaces) = (space + 1, spaces + 1);
        }
    })
}

/// Cuts pieces by a pattern.
fn cut(text: &str, pieces: &mut Pieces, pattern: &Pattern, behavior: Behavior, invert: bool) {
    sort_pieces(text, pieces, behavior, invert, |piece, from| pattern.find(piece, from));
}

/// Cuts pieces by characters, each a find of its own.
fn by_char(text: &str, pieces: &mut Pieces, behavior: Behavior, is: impl Fn(char) -> bool) {
    sort_pieces(text, pieces, behavior, false, |piece, from| {
        piece[from..].char_indices().find(|(_, c)| is(*c)).map(|(at, c)| (from + at, from + at + c.len_utf8()))
    });
}

/// Goes through what is found and what lies between, and puts pieces together as the behaviour says.
fn sort_pieces(
    text: &str,
    pieces: &mut Pieces,
    behavior: Behavior,
    invert: bool,
    find: impl Fn(&str, usize) -> Option<(usize, usize)>,
) {
    let mut found: Pieces = Vec::with_capacity(pieces.len() * 4);
    for &(begin, end) in pieces.iter() {
        let piece = &text[begin as usize..end as usize];
        let first = found.len();
        // Whether the last part was a find, and the one that stands in `found` last.
        let mut last_match = None;
        let mut push = |found: &mut Pieces, from: usize, to: usize, is_match: bool| {
            if from == to {
                return;
            }
            let is_match = is_match != invert;
            let span = (begin + from as u32, begin + to as u32);
            let joins = found.len() > first
                && match behavior {
                    Behavior::Removed | Behavior::Isolated => false,
                    Behavior::MergedWithPrevious => is_match && last_match == Some(false),
                    Behavior::MergedWithNext => last_match == Some(true) && !is_match,
                    Behavior::Contiguous => last_match == Some(is_match),
                };
            if joins {
                found.last_mut().expect("one is there").1 = span.1;
            } else if !(is_match && behavior == Behavior::Removed) {
                found.push(span);
            }
            last_match = Some(is_match);
        };
        let mut at = 0;
        while let Some((from, to)) = find(piece, at) {
            push(&mut found, at, from, false);
            push(&mut found, from, to, true);
            at = to;
        }
        push(&mut found, at, piece.len(), false);
    }
    *pieces = found;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(json: &str, text: &str) -> Vec<String> {
        let splitter: Splitter = serde_json::from_str(json).unwrap();
        let mut aligned = AlignedText::new(text, 0, true);
        let mut pieces = vec![(0, text.len() as u32)];
        splitter.apply(&mut aligned, &mut pieces).unwrap();
        pieces.iter().map(|&(start, end)| aligned.as_str()[start as usize..end as usize].to_owned()).collect()
    }

    #[test]
    fn every_behaviour_with_and_without_inversion() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("Removed", &["a", "b"], &["-", "-", "-"]),
            ("Isolated", &["a", "-", "-", "b", "-"], &["a", "-", "-", "b", "-"]),
            ("MergedWithPrevious", &["a-", "-", "b-"], &["a", "-", "-b", "-"]),
            ("MergedWithNext", &["a", "-", "-b", "-"], &["a-", "-", "b-"]),
            ("Contiguous", &["a", "--", "b", "-"], &["a", "--", "b", "-"]),
        ];
        for (behavior, plain, inverted) in cases {
            let json = |invert| {
                format!(r#"{{"type":"Split","pattern":{{"String":"-"}},"behavior":"{behavior}","invert":{invert}}}"#)
            };
            assert_eq!(
                (split(&json(false), "a--b-"), split(&json(true), "a--b-")),
                (plain.iter().map(|s| s.to_string()).collect(), inverted.iter().map(|s| s.to_string()).collect()),
                "{behavior}"
            );
        }
    }

    #[test]
    fn each_splitter_does_what_its_name_says() {
        assert_eq!(split(r#"{"type":"Digits","individual_digits":false}"#, "a12٣½b"), ["a", "12٣½", "b"]);
        assert_eq!(split(r#"{"type":"Digits","individual_digits":true}"#, "a12b"), ["a", "1", "2", "b"]);
        assert_eq!(split(r#"{"type":"Punctuation"}"#, "a,b。$"), ["a", ",", "b", "。", "$"]);
        assert_eq!(split(r#"{"type":"Whitespace"}"#, " a_1 +-\u{85}é\u{200D}b"), ["a_1", "+-", "é\u{200D}b"]);
        assert_eq!(split(r#"{"type":"WhitespaceSplit"}"#, "\u{3000}a, b\n"), ["a,", "b"]);
        assert_eq!(split(r#"{"type":"CharDelimiterSplit","delimiter":"é"}"#, "aéébé"), ["a", "b"]);
        assert_eq!(split(r#"{"type":"BertPreTokenizer"}"#, "don't $x"), ["don", "'", "t", "$", "x"]);
        assert_eq!(
            split(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}"#, "a  b"),
            ["▁a", "▁", "▁b"]
        );
        assert_eq!(
            split(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}"#, " b"),
            ["▁b"]
        );
        let first = r#"{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}"#;
        assert_eq!(split(first, "a b"), ["▁a", "b"]);
        assert_eq!(
            split(r#"{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}"#, "a  b's"),
            [" a", " ", " b", "'s"]
        );
    }

    #[test]
    fn bytes_stand_at_the_end() {
        let json = r#"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"WhitespaceSplit"}]}"#;
        let splitter: Splitter = serde_json::from_str(json).unwrap();
        assert!(splitter.check().unwrap_err().contains("ByteLevel at the end"));
        assert!(
            serde_json::from_str::<Splitter>(
                r#"{"type":"Split","pattern":{"Regex":"a+"},"behavior":"Isolated","invert":false}"#
            )
            .unwrap_err()
            .to_string()
            .contains("a split pattern that is known")
        );
    }
}
