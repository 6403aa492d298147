//! Normalisers: what is changed in a text before it is split.

use serde::{Deserialize, Serialize};
use unicode_normalization::{
    IsNormalized,
    char::{canonical_combining_class, compose, decompose_canonical, decompose_compatible, is_combining_mark},
    is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::{
    aligned_text::{AlignedText, Rewriter},
    classes::{Classes, LETTER, MARK, NUMBER, PUNCTUATION},
    pattern::Pattern,
    precompiled::Precompiled,
};
use crate::error::Result;

/// What is done to a text before it is split, in the words of `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
#[non_exhaustive]
pub enum Normalizer {
    /// One after the other.
    Sequence {
        /// The normalisers, in order.
        normalizers: Vec<Normalizer>,
    },
    /// Unicode's form C.
    #[serde(rename = "NFC")]
    Nfc,
    /// Unicode's form D.
    #[serde(rename = "NFD")]
    Nfd,
    /// Unicode's form KC.
    #[serde(rename = "NFKC")]
    Nfkc,
    /// Unicode's form KD.
    #[serde(rename = "NFKD")]
    Nfkd,
    /// Small letters.
    Lowercase,
    /// Combining marks go; what has its accent inside (é) keeps it, unless a form D comes before.
    StripAccents,
    /// White space at the ends goes.
    Strip {
        /// On the left.
        strip_left: bool,
        /// On the right.
        strip_right: bool,
    },
    /// A text in front of every text that is not empty.
    Prepend {
        /// The text.
        prepend: String,
    },
    /// A text in the place of another.
    Replace {
        /// What is looked for.
        pattern: Pattern,
        /// What takes its place.
        content: String,
    },
    /// SentencePiece's table of replacements.
    Precompiled {
        /// The table.
        precompiled_charsmap: Precompiled,
    },
    /// Control characters go, and kinds of space become spaces, as in SentencePiece's `nmt` rules.
    Nmt,
    /// What BERT does.
    BertNormalizer {
        /// Whether control characters go and white space becomes spaces.
        clean_text: bool,
        /// Whether spaces are put around Chinese characters.
        handle_chinese_chars: bool,
        /// Whether accents go; as `lowercase` by default.
        strip_accents: Option<bool>,
        /// Whether letters become small ones.
        lowercase: bool,
    },
}

impl Normalizer {
    pub(super) fn apply(&self, text: &mut AlignedText<'_>) -> Result<()> {
        match self {
            Normalizer::Sequence { normalizers } => {
                for normalizer in normalizers {
                    normalizer.apply(text)?;
                }
                Ok(())
            }
            Normalizer::Nfc => normal_form(text, false, true),
            Normalizer::Nfd => normal_form(text, false, false),
            Normalizer::Nfkc => normal_form(text, true, true),
            Normalizer::Nfkd => normal_form(text, true, false),
            Normalizer::Lowercase => lowercase(text),
            Normalizer::StripAccents => retain(text, |c| c.is_ascii() || !is_combining_mark(c)),
            Normalizer::Strip { strip_left, strip_right } => strip(text, *strip_left, *strip_right),
            Normalizer::Prepend { prepend } => prepend_text(text, prepend),
            Normalizer::Replace { pattern, content } => replace(text, pattern, content),
            Normalizer::Precompiled { precompiled_charsmap } => precompiled_charsmap.apply(text),
            Normalizer::Nmt => map_or_drop(text, |c| match c {
                '\u{1}'..='\u{8}' | '\u{B}' | '\u{E}'..='\u{1F}' | '\u{7F}' | '\u{8F}' | '\u{9F}' => None,
                '\t' | '\n' | '\u{C}' | '\r' | '\u{1680}' | '\u{200B}'..='\u{200F}' => Some(' '),
                '\u{2028}' | '\u{2029}' | '\u{2581}' | '\u{FEFF}' | '\u{FFFD}' => Some(' '),
                c => Some(c),
            }),
            Normalizer::BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase: lower } => {
                let classes = Classes::get();
                if *clean_text {
                    map_or_drop(text, |c| bert_clean(classes, c))?;
                }
                if *handle_chinese_chars {
                    spaces_around_chinese(text)?;
                }
                if strip_accents.unwrap_or(*lower) {
                    Normalizer::Nfd.apply(text)?;
                    retain(text, |c| {
                        classes.of(c) & MARK == 0 || c.general_category() != GeneralCategory::NonspacingMark
                    })?;
                }
                if *lower { lowercase(text) } else { Ok(()) }
            }
        }
    }
}

/// One of Unicode's forms: characters taken apart, their marks in order, and put together again for `composed`. Each character that
/// comes out is counted against those that went in, so that spans stay right.
fn normal_form(text: &mut AlignedText<'_>, compatible: bool, composed: bool) -> Result<()> {
    let chars = text.as_str().chars();
    let quick = || match (compatible, composed) {
        (false, true) => is_nfc_quick(chars),
        (false, false) => is_nfd_quick(chars),
        (true, true) => is_nfkc_quick(chars),
        (true, false) => is_nfkd_quick(chars),
    };
    let settled = |c: char| is_settled(c) && (c.is_ascii() || is_ideograph(c) || !compatible);
    if text.as_str().chars().all(settled) || quick() == IsNormalized::Yes {
        return Ok(());
    }
    text.rewrite(|rewriter| {
        // A character, its combining class, how many characters of the old text it stands for more or less than one.
        let mut waiting: Vec<(char, u8, isize)> = Vec::new();
        for c in rewriter.rest().chars() {
            let mut change = 0;
            let mut take = |part: char| {
                let class = canonical_combining_class(part);
                if class == 0 && !(composed && may_compose(part)) {
                    flush(rewriter, &mut waiting, composed);
                }
                waiting.push((part, class, change));
                change = 1;
            };
            if compatible { decompose_compatible(c, &mut take) } else { decompose_canonical(c, &mut take) }
        }
        flush(rewriter, &mut waiting, composed);
        Ok(())
    })
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}')
}

/// Frequent characters that no canonical form changes wherever they stand, and that have no case beyond ASCII.
fn is_settled(c: char) -> bool {
    c.is_ascii() || is_ideograph(c) || matches!(c, '\u{3001}'..='\u{3020}' | '\u{FF01}'..='\u{FF20}')
}

/// Whether a character may be put together with one before it (marks, the later parts of Hangul, a few letters).
fn may_compose(c: char) -> bool {
    is_nfc_quick(std::iter::once(c)) != IsNormalized::Yes
}

fn flush(rewriter: &mut Rewriter<'_, '_>, waiting: &mut Vec<(char, u8, isize)>, composed: bool) {
    let mut run = 0;
    while run < waiting.len() {
        let end = waiting[run..].iter().position(|(_, class, _)| *class == 0).map_or(waiting.len(), |i| run + i);
        waiting[run..end].sort_by_key(|(_, class, _)| *class);
        run = end.max(run) + 1;
    }
    if composed {
        recompose(waiting);
    }
    for (c, _, change) in waiting.drain(..) {
        if change > 0 {
            rewriter.insert(c);
        } else {
            rewriter.replace(c);
            rewriter.skip(change.unsigned_abs());
        }
    }
}

/// Unicode's canonical composition (Unicode Standard, section 3.11, D117).
fn recompose(waiting: &mut Vec<(char, u8, isize)>) {
    let (mut kept, mut starter, mut last_class) = (0, None::<usize>, None::<u8>);
    for i in 0..waiting.len() {
        let (c, class, change) = waiting[i];
        let blocked = last_class.is_some_and(|last| last >= class);
        if let Some(s) = starter.filter(|_| !blocked)
            && let Some(whole) = compose(waiting[s].0, c)
        {
            waiting[s] = (whole, 0, waiting[s].2 + change - 1);
            continue;
        }
        waiting[kept] = (c, class, change);
        (starter, last_class) = if class == 0 { (Some(kept), None) } else { (starter, Some(class)) };
        kept += 1;
    }
    waiting.truncate(kept);
}

fn lowercase(text: &mut AlignedText<'_>) -> Result<()> {
    let changes = |c: char| if is_settled(c) { c.is_ascii_uppercase() } else { c.to_lowercase().ne([c]) };
    if !text.as_str().chars().any(changes) {
        return Ok(());
    }
    text.rewrite(|rewriter| {
        while let Some(c) = rewriter.next_char() {
            for (i, lower) in c.to_lowercase().enumerate() {
                if i == 0 { rewriter.replace(lower) } else { rewriter.insert(lower) }
            }
        }
        Ok(())
    })
}

fn retain(text: &mut AlignedText<'_>, keep: impl Fn(char) -> bool) -> Result<()> {
    map_or_drop(text, |c| keep(c).then_some(c))
}

fn map_or_drop(text: &mut AlignedText<'_>, f: impl Fn(char) -> Option<char>) -> Result<()> {
    let Some(first) = text.as_str().char_indices().find(|(_, c)| f(*c) != Some(*c)).map(|(at, _)| at) else {
        return Ok(());
    };
    text.rewrite(|rewriter| {
        let all = rewriter.rest();
        let mut kept = 0;
        for (at, c) in all[first..].char_indices().map(|(at, c)| (first + at, c)) {
            let with = f(c);
            if with == Some(c) {
                continue;
            }
            rewriter.keep(at - kept);
            kept = at + c.len_utf8();
            match with {
                Some(with) => rewriter.replace(with),
                None => rewriter.skip_bytes(c.len_utf8()),
            }
        }
        Ok(())
    })
}

fn strip(text: &mut AlignedText<'_>, left: bool, right: bool) -> Result<()> {
    let all = text.as_str();
    let start = if left { all.len() - all.trim_start().len() } else { 0 };
    let end = if right { all.trim_end().len().max(start) } else { all.len() };
    if (start, end) == (0, all.len()) {
        return Ok(());
    }
    text.rewrite(|rewriter| {
        rewriter.skip_bytes(start);
        rewriter.keep(end - start);
        rewriter.skip_bytes(rewriter.rest().len());
        Ok(())
    })
}

pub(super) fn prepend_text(text: &mut AlignedText<'_>, prepend: &str) -> Result<()> {
    if text.as_str().is_empty() {
        return Ok(());
    }
    text.rewrite(|rewriter| {
        rewriter.insert_before(prepend);
        Ok(())
    })
}

pub(super) fn replace(text: &mut AlignedText<'_>, pattern: &Pattern, content: &str) -> Result<()> {
    let Some(first) = pattern.find(text.as_str(), 0) else {
        return Ok(());
    };
    text.rewrite(|rewriter| {
        let all = rewriter.rest();
        let (mut found, mut at) = (Some(first), 0);
        while let Some((start, end)) = found {
            rewriter.keep(start - at);
            rewriter.skip_bytes(end - start);
            content.chars().for_each(|c| rewriter.insert(c));
            at = end;
            found = pattern.find(all, at);
        }
        Ok(())
    })
}

/// BERT's cleaning: what is no text goes, white space becomes spaces.
fn bert_clean(classes: Classes, c: char) -> Option<char> {
    use GeneralCategory::{Control, Format, PrivateUse, Surrogate};
    match c {
        ' '..='~' => Some(c),
        '\t' | '\n' | '\r' => Some(' '),
        '\0' | '\u{FFFD}' => None,
        c if classes.of(c) & (LETTER | NUMBER | MARK | PUNCTUATION) != 0 => Some(c),
        c if matches!(c.general_category(), Control | Format | PrivateUse | Surrogate) => None,
        c if c.is_whitespace() => Some(' '),
        c => Some(c),
    }
}

/// The blocks that BERT takes for Chinese: CJK ideographs, without kana and Hangul, and without U+2B820 to U+2B91F.
pub(super) fn is_bert_chinese(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}' | '\u{2A700}'..='\u{2B73F}'
        | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}' | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

fn spaces_around_chinese(text: &mut AlignedText<'_>) -> Result<()> {
    if text.as_str().is_ascii() || !text.as_str().chars().any(is_bert_chinese) {
        return Ok(());
    }
    text.rewrite(|rewriter| {
        let mut kept = 0;
        for (at, c) in rewriter.rest().char_indices().filter(|(_, c)| is_bert_chinese(*c)) {
            rewriter.keep(at - kept);
            kept = at + c.len_utf8();
            rewriter.replace(' ');
            rewriter.insert(c);
            rewriter.insert(' ');
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    #[test]
    fn settled_characters_stay_as_they_are() {
        let forms: [fn(&str) -> String; 4] = [
            |text| text.nfc().collect(),
            |text| text.nfd().collect(),
            |text| text.nfkc().collect(),
            |text| text.nfkd().collect(),
        ];
        for c in (0..=char::MAX as u32).filter_map(char::from_u32).filter(|c| is_settled(*c)) {
            let text = c.to_string();
            let canonical = if c.is_ascii() || is_ideograph(c) { 4 } else { 2 };
            assert!(forms[..canonical].iter().all(|form| form(&text) == text), "{c:?}");
            assert!(c.is_ascii_uppercase() || c.to_lowercase().eq([c]), "{c:?}");
            assert!(!may_compose(c) && canonical_combining_class(c) == 0, "{c:?}");
        }
    }

    /// The text, and for each of its characters the bytes that it comes from.
    fn apply(json: &str, text: &str) -> (String, Vec<(u32, u32)>) {
        let normalizer: Normalizer = serde_json::from_str(json).unwrap();
        let mut aligned = AlignedText::new(text, 0, true);
        normalizer.apply(&mut aligned).unwrap();
        // Spans wanted or not, the text is the same.
        let mut without = AlignedText::new(text, 0, false);
        normalizer.apply(&mut without).unwrap();
        assert_eq!(without.as_str(), aligned.as_str());
        let spans = aligned.as_str().char_indices().map(|(at, c)| aligned.origin(at, at + c.len_utf8())).collect();
        (aligned.as_str().to_owned(), spans)
    }

    #[test]
    fn characters_know_where_they_come_from() {
        let spans = |spans: &[(u32, u32)]| spans.to_vec();
        assert_eq!(apply(r#"{"type":"NFC"}"#, "ae\u{301}b"), ("aéb".into(), spans(&[(0, 1), (1, 2), (4, 5)])));
        assert_eq!(apply(r#"{"type":"NFD"}"#, "éb"), ("e\u{301}b".into(), spans(&[(0, 2), (0, 2), (2, 3)])));
        assert_eq!(
            apply(r#"{"type":"NFKC"}"#, "ﬁ½"),
            ("fi1⁄2".into(), spans(&[(0, 3), (0, 3), (3, 5), (3, 5), (3, 5)]))
        );
        assert_eq!(apply(r#"{"type":"NFKD"}"#, "Å\u{323}").0, "A\u{323}\u{30A}");
        assert_eq!(apply(r#"{"type":"Lowercase"}"#, "İΣ"), ("i\u{307}σ".into(), spans(&[(0, 2), (0, 2), (2, 4)])));
        assert_eq!(apply(r#"{"type":"StripAccents"}"#, "e\u{301}é"), ("eé".into(), spans(&[(0, 1), (3, 5)])));
        let strip = r#"{"type":"Strip","strip_left":true,"strip_right":true}"#;
        assert_eq!(apply(strip, "\u{3000}a \u{85}"), ("a".into(), spans(&[(3, 4)])));
        assert_eq!(apply(strip, " \n"), (String::new(), vec![]));
        assert_eq!(
            apply(r#"{"type":"Prepend","prepend":"▁▁"}"#, "é"),
            ("▁▁é".into(), spans(&[(0, 2), (0, 2), (0, 2)]))
        );
        assert_eq!(apply(r#"{"type":"Prepend","prepend":"▁"}"#, "").0, "");
        let replace = r#"{"type":"Replace","pattern":{"String":"aa"},"content":"xyz"}"#;
        assert_eq!(apply(replace, "aaa").0, "xyza");
        assert_eq!(apply(r#"{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}"#, "a   b c").0, "a b c");
        assert_eq!(apply(r#"{"type":"Nmt"}"#, "a\u{1}\u{200B}\tb").0, "a  b");
        let bert = r#"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"#;
        assert_eq!(
            apply(bert, "\u{85}É中\0\tX"),
            ("e 中  x".into(), spans(&[(2, 4), (4, 7), (4, 7), (4, 7), (8, 9), (9, 10)]))
        );
    }

    #[test]
    fn a_text_that_grows_without_end_is_an_error() {
        let double = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#;
        let all = vec![double; 40].join(",");
        let normalizer: Normalizer =
            serde_json::from_str(&format!(r#"{{"type":"Sequence","normalizers":[{all}]}}"#)).unwrap();
        let error = normalizer.apply(&mut AlignedText::new("a", 0, true)).unwrap_err().to_string();
        assert!(error.contains("normalised to 65792 bytes at most"), "{error}");
    }
}
