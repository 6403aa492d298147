//! Texts in scripts without spaces, cut into characters.

use unicode_normalization::char::is_combining_mark;

/// The tokens of a text in which Chinese or Japanese stands beside other scripts: Han characters, kana and bopomofo one by one, with the
/// marks that follow them; words and numbers of other scripts whole (`can't`, `3.14`). White space, punctuation and signs only part them.
///
/// ```
/// let tokens: Vec<_> = gradus::text::cjk_characters("我有3.5个GPU，ゲーム!").collect();
/// assert_eq!(tokens, ["我", "有", "3.5", "个", "GPU", "ゲ", "ー", "ム"]);
/// ```
pub fn cjk_characters(text: &str) -> impl Iterator<Item = &str> {
    units(text).filter(|unit| unit.kind != Kind::Other).map(|unit| unit.text)
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One character of a script without spaces.
    Character,
    /// A word or a number of another script.
    Word,
    /// One character of another kind: white space, punctuation, a sign.
    Other,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    pub text: &'a str,
    /// Where it begins.
    pub start: usize,
    pub kind: Kind,
}

/// A text in pieces, of which none is empty.
pub(super) fn units(text: &str) -> impl Iterator<Item = Unit<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        let first = rest.chars().next()?;
        let (kind, len) = match first {
            c if is_cjk(c) => (Kind::Character, c.len_utf8() + marks(&rest[c.len_utf8()..])),
            c if c.is_alphanumeric() || c == '_' => (Kind::Word, word(rest)),
            c => (Kind::Other, c.len_utf8()),
        };
        let unit = Unit { text: &rest[..len], start, kind };
        start += len;
        Some(unit)
    })
}

/// The bytes of the marks at the beginning of a text: voicing, accents, choices of a variant.
fn marks(text: &str) -> usize {
    text.find(|c| !is_combining_mark(c)).unwrap_or(text.len())
}

/// The bytes of the word at the beginning of a text.
fn word(text: &str) -> usize {
    let part = |c: char| (c.is_alphanumeric() || c == '_' || is_combining_mark(c)) && !is_cjk(c);
    let mut before = '\0';
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, next)| *next);
        // Inside a word, and inside a number.
        let joins = match c {
            '\'' | '’' => before.is_alphabetic() && next.is_alphabetic(),
            '.' | ',' => before.is_ascii_digit() && next.is_ascii_digit(),
            _ => false,
        } && !is_cjk(next);
        if !part(c) && !joins {
            return at;
        }
        before = c;
    }
    text.len()
}

/// Whether a character is of a script that is written without spaces: Han with all its extensions, kana, bopomofo.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' // 々〆〇
        | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303c}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' // hiragana
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' // katakana
        | '\u{3105}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' // bopomofo
        | '\u{31f0}'..='\u{31ff}' // small katakana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{ff66}'..='\u{ff9f}' // narrow katakana
        | '\u{1aff0}'..='\u{1b16f}' // further kana
        | '\u{20000}'..='\u{323af}') // Han in the further planes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_side_by_side() {
        let cut = |text: &'static str| cjk_characters(text).collect::<Vec<_>>();
        assert_eq!(
            cut("今天天气好。Don't panic, v2_0 ok?"),
            ["今", "天", "天", "气", "好", "Don't", "panic", "v2_0", "ok"]
        );
        assert_eq!(cut("价格1,234.50元, 3.和.5"), ["价", "格", "1,234.50", "元", "3", "和", "5"]);
        // Marks belong to what stands before them; Hangul and Thai are words of their own.
        assert_eq!(cut("か\u{3099}ﾊﾟcafe\u{301} 한국어"), ["か\u{3099}", "ﾊ", "ﾟ", "cafe\u{301}", "한국어"]);
        assert_eq!(cut("𠮷野家 々 ' .  "), ["𠮷", "野", "家", "々"]);
        assert_eq!(cut("it'中s 'tis 1.中"), ["it", "中", "s", "tis", "1", "中"]);
        assert_eq!(cut(""), [""; 0]);
        // Nothing is lost between the pieces.
        let text = "a\u{301}，中\u{fe00} 1.5’s\u{200b}";
        assert_eq!(units(text).map(|unit| unit.text).collect::<String>(), text);
    }
}
