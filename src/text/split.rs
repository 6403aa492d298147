//! Words and sentences.

use unicode_segmentation::UnicodeSegmentation;

/// The words of a text by Unicode's rules (Unicode Standard Annex 29), without white space and punctuation; `can't` and `3.14` are one
/// each. Scripts without spaces between words, such as Chinese, come character by character.
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
    text.unicode_sentences().map(str::trim).filter(|sentence| !sentence.is_empty())
}
