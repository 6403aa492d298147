//! Words and sentences.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

/// The words of a text by Unicode's rules (Unicode Standard Annex 29), without white space and punctuation; `can't` and `3.14` are one
/// each. Scripts without spaces between words, such as Chinese, come character by character, katakana as it stands together.
///
/// ```
/// let words: Vec<_> = gradus::text::words("Can't stop: 3.14, 東京!").collect();
/// assert_eq!(words, ["Can't", "stop", "3.14", "東", "京"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.unicode_words()
}

/// The sentences of a text by Unicode's rules (Unicode Standard Annex 29), without white space around them. They go by marks and capital
/// letters alone: an abbreviation before a capital letter ends a sentence, too.
///
/// ```
/// let sentences: Vec<_> = gradus::text::sentences("It rains. Does it? 下雨了。是吗？").collect();
/// assert_eq!(sentences, ["It rains.", "Does it?", "下雨了。", "是吗？"]);
/// ```
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    // What is cut has no long runs; what they are shorter by is added again.
    let runs = long_runs(text);
    let cuts = match runs.is_empty() {
        true => None,
        false => Some(cuts_without(text, &runs).into_iter()),
    };
    let whole = if cuts.is_none() { text } else { "" };
    let mut start = 0;
    let pieces = cuts.into_iter().flatten().map(move |end| &text[std::mem::replace(&mut start, end)..end]);
    let sentences = whole.split_sentence_bounds().chain(pieces).filter(|piece| piece.contains(char::is_alphanumeric));
    sentences.map(str::trim).filter(|sentence| !sentence.is_empty())
}

/// So many spaces, or brackets and quotes, beside each other are left in a text: behind a full stop the rules read on from each of them.
const KEPT: usize = 16;

/// Longer runs of which the rules see no more than that there are several: where what is too much of them begins and ends.
fn long_runs(text: &str) -> Vec<(usize, usize)> {
    let (mut runs, mut class, mut n) = (Vec::<(usize, usize)>::new(), Class::Other, 0);
    for (at, c) in text.char_indices() {
        match class_of(c) {
            Class::Mark => {}
            own if own == class => n += 1,
            own => (class, n) = (own, 1),
        }
        if class != Class::Other && n > KEPT {
            let end = at + c.len_utf8();
            match runs.last_mut() {
                Some(run) if run.1 == at => run.1 = end,
                _ => runs.push((at, end)),
            }
        }
    }
    runs
}

/// What a character is to the rules of sentences (Annex 29, table 4).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    /// `Sp`.
    Space,
    /// `Close`.
    Close,
    /// `Extend` and `Format`, as if they were not there.
    Mark,
    Other,
}

fn class_of(c: char) -> Class {
    use GeneralCategory::*;
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Other,
        '"' | '\'' | '❛'..='❠' | '⸀' | '⸁' | '⸆'..='⸈' | '⸋' | '🙶'..='🙸' => Class::Close,
        // Marks that are letters, and numbers that are of the category of marks.
        '\u{ff9e}' | '\u{ff9f}' => Class::Mark,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}' => {
            Class::Other
        }
        _ if c.is_whitespace() => Class::Space,
        _ => match c.general_category() {
            OpenPunctuation | ClosePunctuation | InitialPunctuation | FinalPunctuation => Class::Close,
            NonspacingMark | SpacingMark | EnclosingMark | Format => Class::Mark,
            _ => Class::Other,
        },
    }
}

/// Where the sentences of a text end, found without its long runs.
fn cuts_without(text: &str, runs: &[(usize, usize)]) -> Vec<usize> {
    let (mut short, mut start) = (String::with_capacity(text.len()), 0);
    for &(from, to) in runs {
        short.push_str(&text[start..from]);
        start = to;
    }
    short.push_str(&text[start..]);
    let (mut runs, mut left_out) = (runs.iter().peekable(), 0);
    let cuts = short.split_sentence_bound_indices().map(|(at, piece)| {
        let end = at + piece.len();
        while let Some(run) = runs.next_if(|run| run.0 <= end + left_out) {
            left_out += run.1 - run.0;
        }
        end + left_out
    });
    cuts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By what they do behind an exclamation mark, and whether they end a sentence themselves.
    #[test]
    fn classes_are_those_of_the_rules() {
        let first = |text: &str| text.split_sentence_bounds().next().map_or(0, str::len);
        let mut other = Vec::new();
        for c in ('\0'..=char::MAX).filter(|c| !matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')) {
            let after_space = first(&format!("a! {c}B")) > 3;
            let before_close = first(&format!("a!{c})B")) > 2 + c.len_utf8();
            let goes_on = first(&format!("a!{c}B")) > 2 + c.len_utf8() || first(&format!("1{c}B")) < 2 + c.len_utf8();
            let expected = match (after_space, before_close) {
                _ if goes_on => Class::Other,
                (true, false) => Class::Space,
                (false, true) => Class::Close,
                (true, true) => Class::Mark,
                _ => Class::Other,
            };
            if class_of(c) != expected {
                other.push((c, class_of(c), expected));
            }
        }
        // Those of a later Unicode than the one that the rules are compiled for.
        let later =
            other.iter().filter(|(c, _, expected)| *c > '\u{5c7}' && *expected == Class::Other && !c.is_alphabetic());
        assert_eq!(later.count(), other.len(), "{other:?}");
        assert!(other.len() < 100, "{} {other:?}", other.len());
    }

    /// As the rules have it, whatever stands in long runs.
    #[test]
    fn long_runs_change_nothing() {
        let parts = [" ", ")", "\u{3000}", "\u{301}", ".", "a", "B", "1", "\n", "!", "”", "。", ","];
        let mut state = 5u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..draw(12) {
                // Of one kind, or of some that stand together.
                let (kind, n) = (draw(parts.len()), [1, 2, 40][draw(3)]);
                (0..n).for_each(|_| text.push_str(parts[if draw(4) == 0 { kind / 2 } else { kind }]));
            }
            let expected: Vec<&str> = text.unicode_sentences().map(str::trim).filter(|s| !s.is_empty()).collect();
            assert_eq!(sentences(&text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn no_text_is_slow() {
        for piece in [
            " ", ")", ") ", ")\u{301}", "\u{3000}", "\u{301}", "1", "1 ", ".", "a", "'", "”)", ". ", "a.) ", "🇩",
            "\u{200d}",
        ] {
            let text = format!("a.{}", piece.repeat((1 << 20) / piece.len()));
            let start = std::time::Instant::now();
            assert!(sentences(&text).map(str::len).sum::<usize>() <= text.len());
            assert!(words(&text).map(str::len).sum::<usize>() <= text.len());
            assert!(start.elapsed().as_secs() < 10, "{piece:?}: {:?}", start.elapsed());
        }
    }
}
