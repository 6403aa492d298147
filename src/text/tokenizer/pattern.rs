//! The patterns by which real tokenizers split, as machines written by hand.
//!
//! Each is what a regular expression says that published files contain; the expressions are compared as text, so one that is not known
//! is an error that shows it, and never something similar.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::classes::{Classes, LETTER, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, UPPER, WORD};
use super::window::{self, Words};
use crate::error::Error;

/// A text that is looked for, or one of the regular expressions of published tokenizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: Kind,
    /// As it was written.
    source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Literal,
    /// GPT-2's words.
    Gpt2,
    /// Words of cl100k: how many digits go together (0: all).
    Words {
        digits: u8,
        whole_end: bool,
    },
    /// Words of o200k, which end where capitals begin.
    Cased {
        digits: u8,
        contractions: bool,
    },
    /// Up to so many numbers (0: all).
    Numbers(u8),
    /// Three digits of ASCII.
    ThreeDigits,
    /// Three decimal digits of any script.
    ThreeDecimals,
    /// So many spaces or more.
    Spaces(u8),
    /// White space.
    WhiteSpace,
    /// A line end each.
    LineEnd,
    /// `\w+|[^\w\s]+` as Unicode has it, for the splitter `Whitespace`.
    WordsOrMarks,
    /// The same as an expression of a file, where Oniguruma's `\w` counts.
    OnigurumaWordsOrMarks,
    /// A run of kana and Chinese characters, as DeepSeek has it.
    KanaAndChinese,
    /// DeepSeek's words.
    DeepSeek,
    /// A run of punctuation and some signs, as llama.cpp splits where a file does not say how.
    Marks,
}

const LETTERS: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";
const CONTRACTIONS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const UPPER_SET: &str = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
const LOWER_SET: &str = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";

/// The expressions that are known, with what they mean.
fn known() -> Vec<(String, Kind)> {
    let mut all = vec![
        (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+".to_owned(), Kind::Gpt2),
        (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+".to_owned(), Kind::Gpt2),
        (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s".to_owned(), Kind::Gpt2),
    ];
    for (numbers, digits) in [(r"\p{N}{1,3}", 3), (r"\p{N}", 1), (r"\p{N}+", 0), (r"\p{N}{1,2}", 2)] {
        let rest = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let kind = Kind::Words { digits, whole_end: false };
        for contractions in [CONTRACTIONS, r"(?i:[sdmt]|ll|ve|re)", r"(?i)'s|'t|'re|'ve|'m|'ll|'d"] {
            let quote = if contractions.contains('\'') { "" } else { "'" };
            all.push((format!("{quote}{contractions}|{LETTERS}|{numbers}|{rest}"), kind));
        }
        let cased = |contractions: &str| {
            let prefix = r"[^\r\n\p{L}\p{N}]?";
            format!(
                r"{prefix}{UPPER_SET}*{LOWER_SET}+{contractions}|{prefix}{UPPER_SET}+{LOWER_SET}*{contractions}|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
        };
        all.push((cased(&format!("{CONTRACTIONS}?")), Kind::Cased { digits, contractions: true }));
        all.push((cased(""), Kind::Cased { digits, contractions: false }));
        all.push((numbers.to_owned(), Kind::Numbers(digits)));
    }
    let possessive = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
    let older = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
    // For Oniguruma, by which files mean their expressions, `{1,3}+` is no possessive form: any number of digits.
    all.push((possessive.to_owned(), Kind::Words { digits: 0, whole_end: true }));
    all.push((older.to_owned(), Kind::Words { digits: 3, whole_end: false }));
    for (source, kind) in [
        ("[0-9][0-9][0-9]", Kind::ThreeDigits),
        (r"\d{3}", Kind::ThreeDecimals),
        (r"\s+", Kind::WhiteSpace),
        (r"\s", Kind::Spaces(0)),
        (" +", Kind::Spaces(1)),
        (" {2,}", Kind::Spaces(2)),
        (r"[\r\n]", Kind::LineEnd),
        (r"\w+|[^\w\s]+", Kind::OnigurumaWordsOrMarks),
        ("[一-龥\u{3040}-ゟ゠-ヿ]+", Kind::KanaAndChinese),
        (r"[\p{P}\$\+<=>\^~\|]+", Kind::Marks),
        (
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
            Kind::DeepSeek,
        ),
    ] {
        all.push((source.to_owned(), kind));
    }
    all
}

impl Pattern {
    /// A text that is looked for.
    pub fn literal(text: &str) -> Self {
        Self { kind: Kind::Literal, source: text.to_owned() }
    }

    /// A regular expression of a published tokenizer.
    pub fn regex(source: &str) -> Result<Self, String> {
        match known().into_iter().find(|(known, _)| known == source) {
            Some((_, kind)) => Ok(Self { kind, source: source.to_owned() }),
            None => Err(format!(
                "a split pattern that is known (those of GPT-2, cl100k, Llama 3, Qwen, o200k, DeepSeek and the like), got {source:?}"
            )),
        }
    }

    pub(super) fn gpt2() -> Self {
        let source = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        Self { kind: Kind::Gpt2, source: source.to_owned() }
    }

    pub(super) fn words_or_marks() -> Self {
        Self { kind: Kind::WordsOrMarks, source: r"\w+|[^\w\s]+".to_owned() }
    }

    /// How many bytes a match has at least.
    pub(super) fn least(&self) -> usize {
        match self.kind {
            Kind::Literal => self.source.len().max(1),
            _ => 1,
        }
    }

    /// The first match that begins at or behind a byte: its beginning and end. Never an empty one.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        if from >= text.len() {
            return None;
        }
        let classes = Classes::get();
        match self.kind {
            Kind::Literal if self.source.is_empty() => None,
            Kind::Literal => text[from..].find(&self.source).map(|at| (from + at, from + at + self.source.len())),
            Kind::Gpt2 => Some((from, gpt2(classes, text, from))),
            Kind::Words { digits, whole_end } => Some((from, words(classes, text, from, digits, whole_end))),
            Kind::Cased { digits, contractions } => Some((from, cased(classes, text, from, digits, contractions))),
            Kind::Numbers(most) => {
                let start = classes.run_without(text, from, NUMBER);
                (start < text.len()).then(|| (start, numbers(classes, text, start, most)))
            }
            Kind::ThreeDigits => three_digits(text.as_bytes(), from),
            Kind::ThreeDecimals => three_decimals(text, from),
            Kind::Spaces(0) => {
                let start = classes.run_without(text, from, SPACE);
                (start < text.len()).then(|| (start, start + classes.at(text, start).1))
            }
            Kind::Spaces(least) => {
                let (bytes, mut at) = (text.as_bytes(), from);
                loop {
                    let start = at + bytes[at..].iter().position(|&byte| byte == b' ')?;
                    let end = bytes[start..].iter().position(|&byte| byte != b' ').map_or(bytes.len(), |n| start + n);
                    if end - start >= least as usize {
                        return Some((start, end));
                    }
                    at = end;
                }
            }
            Kind::WhiteSpace => {
                let start = classes.run_without(text, from, SPACE);
                (start < text.len()).then(|| (start, classes.run(text, start, SPACE)))
            }
            Kind::LineEnd => text[from..].find(['\r', '\n']).map(|at| (from + at, from + at + 1)),
            Kind::WordsOrMarks | Kind::OnigurumaWordsOrMarks => {
                let start = classes.run(text, from, SPACE);
                let is_word = |c: char| match c {
                    // No joiners, and the numbers of Latin-1.
                    '\u{200C}' | '\u{200D}' => self.kind == Kind::WordsOrMarks,
                    '²' | '³' | '¹' | '¼' | '½' | '¾' => self.kind == Kind::OnigurumaWordsOrMarks,
                    c => classes.of(c) & WORD != 0,
                };
                let word = is_word(text[start..].chars().next()?);
                let ends = |c: char| is_word(c) != word || classes.of(c) & SPACE != 0;
                Some((start, text[start..].find(ends).map_or(text.len(), |at| start + at)))
            }
            Kind::KanaAndChinese => {
                let inside = |c: char| matches!(c, '一'..='龥' | '\u{3040}'..='ヿ');
                let start = from + text[from..].find(inside)?;
                let end = text[start..].find(|c| !inside(c)).map_or(text.len(), |at| start + at);
                Some((start, end))
            }
            Kind::Marks => {
                let inside =
                    |c: char| matches!(c, '$' | '+' | '<'..='>' | '^' | '~' | '|') || classes.of(c) & PUNCTUATION != 0;
                let start = from + text[from..].find(inside)?;
                let end = text[start..].find(|c| !inside(c)).map_or(text.len(), |at| start + at);
                Some((start, end))
            }
            Kind::DeepSeek => {
                let mut at = from;
                while at < text.len() {
                    match deep_seek(classes, text, at) {
                        0 => at += classes.at(text, at).1,
                        end => return Some((at, end)),
                    }
                }
                None
            }
        }
    }

    /// Whether every text is one match after the other, so that [`each_piece`](Self::each_piece) cuts it.
    pub(super) fn is_total(&self) -> bool {
        matches!(self.kind, Kind::Gpt2 | Kind::Words { .. } | Kind::Cased { .. })
    }

    /// Hands on one match after the other of a pattern that [is total](Self::is_total), without a search between them.
    #[inline(always)]
    pub(super) fn each_piece(&self, text: &str, pieces: &mut impl PieceSink) -> Result<(), Error> {
        let classes = Classes::get();
        match self.kind {
            Kind::Gpt2 => each(
                text,
                pieces,
                |at| window::beginnings(text.as_bytes(), at, Words::Gpt2),
                |at| gpt2(classes, text, at),
            ),
            Kind::Words { digits, whole_end } => {
                let beginnings = |at| window::beginnings(text.as_bytes(), at, Words::Cl100k { digits });
                each(text, pieces, beginnings, |at| words(classes, text, at, digits, whole_end))
            }
            Kind::Cased { digits, contractions } => {
                each(text, pieces, |_| 0, |at| cased(classes, text, at, digits, contractions))
            }
            _ => Ok(()),
        }
    }
}

/// What takes pieces one after the other.
pub(super) trait PieceSink {
    /// The piece that lies in the text from byte to byte.
    fn piece(&mut self, start: usize, end: usize) -> Result<(), Error>;

    /// The pieces from a byte on up to the last of the bytes behind it that a bit is set for; each of them begins a piece. Where that is.
    #[inline(always)]
    fn pieces(&mut self, start: usize, mut beginnings: u64) -> Result<usize, Error> {
        let mut at = start;
        while beginnings != 0 {
            let to = start + beginnings.trailing_zeros() as usize;
            beginnings &= beginnings - 1;
            self.piece(at, to)?;
            at = to;
        }
        Ok(at)
    }
}

/// A function that takes pieces.
pub(super) struct Each<F>(pub F);

impl<F: FnMut(usize, usize) -> Result<(), Error>> PieceSink for Each<F> {
    fn piece(&mut self, start: usize, end: usize) -> Result<(), Error> {
        self.0(start, end)
    }
}

/// Piece after piece: as many as `beginnings` sees behind a place, or one up to its `end`.
#[inline(always)]
fn each(
    text: &str,
    pieces: &mut impl PieceSink,
    beginnings: impl Fn(usize) -> u64,
    end: impl Fn(usize) -> usize,
) -> Result<(), Error> {
    let mut at = 0;
    while at < text.len() {
        let found = beginnings(at);
        if found == 0 {
            let to = end(at);
            pieces.piece(at, to)?;
            at = to;
            continue;
        }
        at = pieces.pieces(at, found)?;
    }
    Ok(())
}

/// `\s+(?!\S)|\s+`: white space from `at` on, without its last character if a word follows.
#[inline(always)]
fn white_space(classes: Classes, text: &str, at: usize) -> usize {
    let end = classes.run(text, at, SPACE);
    debug_assert!(end > at);
    if end == text.len() {
        return end;
    }
    let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
    if end - last > at { end - last } else { end }
}

#[inline(always)]
fn numbers(classes: Classes, text: &str, at: usize, most: u8) -> usize {
    if most == 0 {
        return classes.run(text, at, NUMBER);
    }
    let mut end = at;
    for _ in 0..most {
        let (class, length) = classes.at(text, end);
        if class & NUMBER == 0 {
            break;
        }
        end += length;
    }
    end
}

/// The end of `'s`, `'t`, `'m`, `'d`, `'re`, `'ve`, `'ll` at `at`, or `at`.
#[inline(always)]
fn contraction(text: &str, at: usize, ignore_case: bool) -> usize {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'\'') {
        return at;
    }
    let letter = |i: usize| bytes.get(at + i).map_or(0, |&b| if ignore_case { b.to_ascii_lowercase() } else { b });
    match (letter(1), letter(2)) {
        // The long s is an s in small letters.
        (0xC5, 0xBF) if ignore_case => at + 3,
        (first, second) => match window::contraction(first, second) {
            0 => at,
            letters => at + 1 + letters,
        },
    }
}

#[inline(never)]
fn gpt2(classes: Classes, text: &str, at: usize) -> usize {
    let end = contraction(text, at, false);
    if end > at {
        return end;
    }
    let start = at + usize::from(text.as_bytes()[at] == b' ');
    let (class, length) = classes.at(text, start);
    if class & LETTER != 0 {
        classes.run(text, start, LETTER)
    } else if class & NUMBER != 0 {
        classes.run(text, start, NUMBER)
    } else if class & SPACE == 0 && length > 0 {
        classes.run_without(text, start, SPACE | LETTER | NUMBER)
    } else {
        white_space(classes, text, at)
    }
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, with slashes among the line ends if asked for.
#[inline(always)]
fn marks_and_space(classes: Classes, text: &str, at: usize, slash: bool, whole_end: bool) -> usize {
    let bytes = text.as_bytes();
    let start = at + usize::from(bytes[at] == b' ');
    let (class, length) = classes.at(text, start);
    if length > 0 && class & (SPACE | LETTER | NUMBER) == 0 {
        return line_ends(bytes, classes.run_without(text, start, SPACE | LETTER | NUMBER), slash);
    }
    lines_or_space(classes, text, at, whole_end)
}

/// `[\r\n]*` or `[\r\n/]*`.
#[inline(always)]
fn line_ends(bytes: &[u8], mut end: usize, slash: bool) -> usize {
    while matches!(bytes.get(end), Some(b'\r' | b'\n')) || (slash && bytes.get(end) == Some(&b'/')) {
        end += 1;
    }
    end
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`; with `\s++$` in front for `whole_end`.
#[inline(always)]
fn lines_or_space(classes: Classes, text: &str, at: usize, whole_end: bool) -> usize {
    let end = classes.run(text, at, SPACE);
    if whole_end && end == text.len() {
        return end;
    }
    match text.as_bytes()[at..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(line) => at + line + 1,
        None => white_space(classes, text, at),
    }
}

#[inline(never)]
fn words(classes: Classes, text: &str, at: usize, digits: u8, whole_end: bool) -> usize {
    let (class, length) = classes.at(text, at);
    if class & LETTER != 0 {
        return classes.run(text, at + length, LETTER);
    }
    if class & NUMBER != 0 {
        return numbers(classes, text, at, digits);
    }
    let byte = text.as_bytes()[at];
    if byte == b'\'' {
        let end = contraction(text, at, true);
        if end > at {
            return end;
        }
    }
    if !matches!(byte, b'\r' | b'\n') {
        let (next, more) = classes.at(text, at + length);
        if next & LETTER != 0 {
            return classes.run(text, at + length + more, LETTER);
        }
    }
    marks_and_space(classes, text, at, false, whole_end)
}

#[inline]
fn cased(classes: Classes, text: &str, at: usize, digits: u8, contractions: bool) -> usize {
    let (class, length) = classes.at(text, at);
    let prefix = class & (LETTER | NUMBER) == 0 && !matches!(text.as_bytes()[at], b'\r' | b'\n');
    let word = |start: usize| cased_word(classes, text, start);
    // `[^\r\n\p{L}\p{N}]?` takes what it can; without it only a mark can begin a word, which then ends by the first alternative.
    let end = match prefix {
        true => match word(at + length) {
            Word::Lower(end) => Some(end),
            found if class & MARK != 0 => match word(at) {
                Word::Lower(end) => Some(end),
                _ => found.end(),
            },
            found => found.end(),
        },
        false if class & LETTER != 0 => word(at).end(),
        false => None,
    };
    match end {
        Some(end) => {
            if contractions {
                contraction(text, end, true)
            } else {
                end
            }
        }
        None if class & NUMBER != 0 => numbers(classes, text, at, digits),
        None => marks_and_space(classes, text, at, true, false),
    }
}

enum Word {
    None,
    /// Ends in a small letter or what counts as one.
    Lower(usize),
    Upper(usize),
}

impl Word {
    fn end(self) -> Option<usize> {
        match self {
            Word::None => None,
            Word::Lower(end) | Word::Upper(end) => Some(end),
        }
    }
}

/// `U*L+` at `start`, and if that is nothing, `U+`, where letters without case and marks are in both sets.
#[inline(always)]
fn cased_word(classes: Classes, text: &str, start: usize) -> Word {
    let (mut at, mut last_lower) = (start, None);
    loop {
        let (class, length) = classes.at(text, at);
        if class & UPPER == 0 {
            if class & LOWER != 0 {
                return Word::Lower(classes.run(text, at + length, LOWER));
            }
            break;
        }
        at += length;
        if class & LOWER != 0 {
            last_lower = Some(at);
        }
    }
    match last_lower {
        Some(end) => Word::Lower(end),
        None if at > start => Word::Upper(at),
        None => Word::None,
    }
}

fn three_digits(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let found = bytes[from..].windows(3).position(|three| three.iter().all(u8::is_ascii_digit))?;
    Some((from + found, from + found + 3))
}

fn three_decimals(text: &str, from: usize) -> Option<(usize, usize)> {
    use unicode_properties::{GeneralCategory::DecimalNumber, UnicodeGeneralCategory};
    let (mut start, mut count) = (from, 0);
    for (at, c) in text[from..].char_indices() {
        let end = from + at + c.len_utf8();
        count = if c.general_category() == DecimalNumber { count + 1 } else { 0 };
        match count {
            0 => start = end,
            3 => return Some((start, end)),
            _ => {}
        }
    }
    None
}

/// The end of a match of DeepSeek's pattern at `at`; 0 for none.
fn deep_seek(classes: Classes, text: &str, at: usize) -> usize {
    use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
    let bytes = text.as_bytes();
    let marks = |at: usize| {
        let Some(c) = text[at..].chars().next() else { return 0 };
        let symbol = classes.of(c) & PUNCTUATION != 0 || c.general_category_group() == GeneralCategoryGroup::Symbol;
        if symbol { c.len_utf8() } else { 0 }
    };
    if bytes[at].is_ascii_punctuation() && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic) {
        let letters = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        return at + 1 + letters;
    }
    let (class, length) = classes.at(text, at);
    let prefix = class & LETTER == 0 && !matches!(bytes[at], b'\r' | b'\n') && marks(at) == 0;
    if prefix && classes.at(text, at + length).0 & (LETTER | MARK) != 0 {
        return classes.run(text, at + length, LETTER | MARK);
    }
    if class & (LETTER | MARK) != 0 {
        return classes.run(text, at, LETTER | MARK);
    }
    let start = at + usize::from(bytes[at] == b' ');
    let mut end = start;
    while end < text.len() && marks(end) > 0 {
        end += marks(end);
    }
    if end > start {
        return line_ends(bytes, end, false);
    }
    if class & SPACE != 0 { lines_or_space(classes, text, at, false) } else { 0 }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Written {
    String(String),
    Regex(String),
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.source.clone();
        match self.kind {
            Kind::Literal => Written::String(source),
            _ => Written::Regex(source),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::String(text) => Ok(Self::literal(&text)),
            Written::Regex(source) => {
                Self::regex(&source).map_err(|expected| D::Error::custom(format!("expected {expected}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(pattern: &Pattern, text: &'t str) -> Vec<&'t str> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some((start, end)) = pattern.find(text, at) {
            assert!(at <= start && start < end, "{text:?}");
            found.push(&text[start..end]);
            at = end;
        }
        found
    }

    fn of(kind: Kind) -> Pattern {
        let (source, kind) = known().into_iter().find(|(_, other)| *other == kind).unwrap();
        Pattern { kind, source }
    }

    #[test]
    fn words_of_the_great_tokenizers() {
        let gpt2 = Pattern::gpt2();
        assert_eq!(
            pieces(&gpt2, "I'll  pay 100€, don'T\n\n x"),
            ["I", "'ll", " ", " pay", " 100", "€,", " don", "'", "T", "\n\n", " x"]
        );
        let cl100k = of(Kind::Words { digits: 3, whole_end: false });
        assert_eq!(
            pieces(&cl100k, "DON'T 12345 'ſ 'ſs\r\n \n  x!\n\n"),
            ["DON", "'T", " ", "123", "45", " '", "ſ", " '", "ſs", "\r\n \n", " ", " x", "!\n\n"]
        );
        assert_eq!(pieces(&cl100k, "a'ſb"), ["a", "'ſ", "b"]);
        assert_eq!(pieces(&of(Kind::Words { digits: 1, whole_end: false }), "12"), ["1", "2"]);
        let o200k = of(Kind::Cased { digits: 3, contractions: true });
        assert_eq!(
            pieces(&o200k, "camelCaseHTTPServer's 中文A\u{301}b !//\n"),
            ["camel", "Case", "HTTPServer's", " 中文A\u{301}b", " !//\n"]
        );
        assert_eq!(pieces(&of(Kind::DeepSeek), "(ab1 é\u{301} +"), ["(ab", " é\u{301}", " +"]);
    }

    #[test]
    fn runs_of_characters() {
        assert_eq!(pieces(&of(Kind::ThreeDigits), "12345678٣٤٥"), ["123", "456"]);
        assert_eq!(pieces(&of(Kind::ThreeDecimals), "12٣45½678"), ["12٣", "678"]);
        assert_eq!(pieces(&of(Kind::Spaces(2)), "a b  c   "), ["  ", "   "]);
        assert_eq!(pieces(&of(Kind::WhiteSpace), "a \u{3000}b\n"), [" \u{3000}", "\n"]);
        assert_eq!(pieces(&of(Kind::KanaAndChinese), "aあ中ー1龦"), ["あ中ー"]);
        assert_eq!(pieces(&of(Kind::Marks), "a«b+!¢ `<=>|~\u{3000}。1"), ["«", "+!", "<=>|~", "。"]);
        assert_eq!(pieces(&Pattern::words_or_marks(), "a\u{200D}b ²+"), ["a\u{200D}b", "²+"]);
        assert_eq!(pieces(&of(Kind::OnigurumaWordsOrMarks), "a\u{200D}b ²+"), ["a", "\u{200D}", "b", "²", "+"]);
        assert_eq!(pieces(&Pattern::literal(""), "ab"), Vec::<&str>::new());
    }

    #[test]
    fn known_ones_take_all_of_every_text() {
        // Of all kinds, and of ASCII as it stands in prose and in code, where windows of many pieces are cut at once.
        let alphabets = [
            "aZéſ中1٣½'st\r\n \u{3000}\u{301}!/\u{200D}😀ǅ",
            "stmdrevlxSTE''' 12  \t\n\r\n.,(_",
            "abc   \n\n12,'é",
            "lexs1 '\n",
        ];
        let mut number = 1u64;
        let mut below = |n: usize| {
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (number >> 33) as usize % n
        };
        let patterns: Vec<Pattern> = known().iter().map(|(source, _)| Pattern::regex(source).unwrap()).collect();
        for round in 0..4000 {
            let alphabet: Vec<char> = alphabets[round % 4].chars().collect();
            let length = if round % 8 < 4 { below(17) } else { below(300) };
            let text: String = (0..length).map(|_| alphabet[below(alphabet.len())]).collect();
            for pattern in patterns.iter().filter(|pattern| pattern.is_total()) {
                let mut direct = Vec::new();
                let mut push = Each(|start: usize, end: usize| {
                    direct.push(&text[start..end]);
                    Ok(())
                });
                pattern.each_piece(&text, &mut push).unwrap();
                assert_eq!(direct.concat(), text);
                assert_eq!(pieces(pattern, &text), direct, "{:?}", pattern.kind);
            }
        }
    }
}
