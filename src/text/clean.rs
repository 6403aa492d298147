//! Cleaning of raw text.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::error::{Error, Result};

/// Unicode's normalisation forms (Unicode Standard Annex 15): one way to write what can be written in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Form {
    /// Letters with their accents in one character where there is one.
    Nfc,
    /// Letters and accents apart.
    Nfd,
    /// As [`Nfc`](Self::Nfc), and full-width letters, ligatures, raised digits and the like as plain ones.
    Nfkc,
    /// As [`Nfd`](Self::Nfd), with the plain forms of [`Nfkc`](Self::Nfkc).
    Nfkd,
}

impl Form {
    /// The text in this form.
    ///
    /// ```
    /// use gradus::text::Form;
    /// assert_eq!(Form::Nfkc.apply("ﬁne １２ｋｇ"), "fine 12kg");
    /// ```
    pub fn apply(self, text: &str) -> String {
        match self {
            Form::Nfc => text.nfc().collect(),
            Form::Nfd => text.nfd().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Nfkd => text.nfkd().collect(),
        }
    }
}

/// What is done to raw text before it is cut into words or tokens, in this order: markup, form, control characters, accents, case,
/// white space. Nothing by default.
///
/// ```
/// use gradus::text::{Cleaner, Form};
/// let cleaner = Cleaner::new().markup(true).form(Form::Nfkc).control(true).accents(true).lowercase(true).white_space(true);
/// assert_eq!(cleaner.clean("<p>Caf&eacute;  &amp; <b>ＢＡＲ</b>\u{7}</p>\n"), "cafe & bar");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Cleaner {
    markup: bool,
    form: Option<Form>,
    control: bool,
    accents: bool,
    lowercase: bool,
    white_space: bool,
}

impl Cleaner {
    /// Does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether tags and comments of HTML and XML go, each of them a space, with what stands in `script` and `style`, and the commonest
    /// entities become what they stand for. What opens no tag (`a < b`) stays.
    pub fn markup(mut self, strip: bool) -> Self {
        self.markup = strip;
        self
    }

    /// The normalisation form; as it comes by default.
    pub fn form(mut self, form: impl Into<Option<Form>>) -> Self {
        self.form = form.into();
        self
    }

    /// Whether control characters go, but for tab and line ends, and with them the byte order mark and characters without width.
    pub fn control(mut self, strip: bool) -> Self {
        self.control = strip;
        self
    }

    /// Whether accents and other combining marks go: é is e, й is и.
    pub fn accents(mut self, strip: bool) -> Self {
        self.accents = strip;
        self
    }

    /// Whether letters become small ones, by Unicode's rules whatever the language.
    pub fn lowercase(mut self, lower: bool) -> Self {
        self.lowercase = lower;
        self
    }

    /// Whether white space, line ends among it, becomes single spaces, and goes at both ends.
    pub fn white_space(mut self, squeeze: bool) -> Self {
        self.white_space = squeeze;
        self
    }

    /// The text as these settings have it. Cleaning it again changes nothing more, unless there was markup in the markup (`&amp;lt;`).
    pub fn clean(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        if self.markup {
            text = without_markup(&text).into();
        }
        if let Some(form) = self.form {
            text = form.apply(&text).into();
        }
        if self.control {
            text = text.chars().filter(|c| !is_control(*c)).collect::<String>().into();
        }
        if self.accents {
            let plain = text.nfd().filter(|c| !is_combining_mark(*c));
            // Composed again, as Hangul would stay apart.
            text = match self.form {
                Some(Form::Nfd | Form::Nfkd) => plain.collect::<String>(),
                _ => plain.nfc().collect(),
            }
            .into();
        }
        if self.lowercase {
            text = text.to_lowercase().into();
            if let Some(form) = self.form {
                // A small letter may be written in two ways again.
                text = form.apply(&text).into();
            }
        }
        if self.white_space {
            let mut words = text.split_whitespace();
            let mut out = words.next().unwrap_or_default().to_owned();
            for word in words {
                out.push(' ');
                out.push_str(word);
            }
            return out;
        }
        text.into_owned()
    }

    /// [`clean`](Self::clean) of bytes.
    ///
    /// # Errors
    /// [`Error::Config`] with the place of the first byte that is not UTF-8.
    pub fn clean_bytes(&self, bytes: &[u8]) -> Result<String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(self.clean(text)),
            Err(error) => {
                let at = error.valid_up_to();
                let problem = format!("byte {at} (0x{:02x}) is not UTF-8", bytes.get(at).copied().unwrap_or(0));
                let hint = "convert the text to UTF-8 first, or take String::from_utf8_lossy(bytes)".into();
                Err(Error::Config { op: "Cleaner", problem, hint })
            }
        }
    }
}

/// Control characters and what has no width and no meaning by itself; tab and line ends are white space.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// The commonest entities, and numbers.
fn entity(name: &str) -> Option<char> {
    let named = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", '\u{a0}'),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("agrave", 'à'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("ccedil", 'ç'),
        ("ntilde", 'ñ'),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("euro", '€'),
        ("copy", '©'),
    ];
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| *c != '\0');
    }
    named.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}

/// The text between tags.
fn without_markup(text: &str) -> String {
    const LONGEST_ENTITY: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tag) = Tag::at(rest) {
            out.push(' ');
            rest = &rest[tag.len..];
            if let Some(name) = tag.raw {
                // What stands in it is no text; where it is not closed, all of the rest.
                let end = rest.match_indices("</").find(|(at, _)| starts_with(&rest[at + 2..], name));
                rest = end.map_or("", |(at, _)| &rest[at..]);
            }
            continue;
        }
        let name = rest.strip_prefix('&').and_then(|after| after.split_once(';')).map(|(name, _)| name);
        let name = name.filter(|name| name.len() <= LONGEST_ENTITY);
        match name.and_then(|name| Some((name, entity(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = &rest[name.len() + 2..];
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn starts_with(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// A tag or a comment at the beginning of a text.
struct Tag {
    len: usize,
    /// The name of one whose content is no text.
    raw: Option<&'static str>,
}

impl Tag {
    fn at(text: &str) -> Option<Tag> {
        let inside = text.strip_prefix('<')?;
        if inside.starts_with("!--") {
            let len = text[4..].find("-->").map_or(text.len(), |end| end + 7);
            return Some(Tag { len, raw: None });
        }
        let first = inside.chars().next()?;
        if !(first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')) {
            return None;
        }
        let len = inside.find('>')? + 2;
        let raw = ["script", "style"].into_iter().find(|name| {
            let after = inside.as_bytes().get(name.len());
            starts_with(inside, name) && after.is_some_and(|c| matches!(c, b'>' | b' ' | b'\t' | b'\n' | b'\r'))
        });
        Some(Tag { len, raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_text_stays() {
        let clean = |text: &str| Cleaner::new().markup(true).white_space(true).clean(text);
        assert_eq!(clean("<h1>A</h1><p class='x'>b &lt; c</p>"), "A b < c");
        assert_eq!(clean("a < b && c > d"), "a < b && c > d");
        assert_eq!(clean("x<script>if (a < b) { alert('</p>') }</script>y"), "x y");
        assert_eq!(clean("x<STYLE type=a>p {}</StYlE>y<!-- <b> -->z"), "x y z");
        assert_eq!(clean("&#65;&#x42;&unknown;&;&#0;&#xD800;"), "AB&unknown;&;&#0;&#xD800;");
        // Never closed.
        assert_eq!(clean("a <b"), "a <b");
        assert_eq!(clean("a <!-- b"), "a");
        assert_eq!(clean("a <script>b"), "a");
        assert_eq!(clean("<"), "<");
    }

    #[test]
    fn forms_accents_and_case() {
        let text = "Ｅ\u{301}ﬁ ½ 한국 Ñandú İ";
        assert_eq!(Form::Nfc.apply("e\u{301}"), "é");
        assert_eq!(Form::Nfd.apply("é"), "e\u{301}");
        assert_eq!(Form::Nfkc.apply(text), "Éfi 1⁄2 한국 Ñandú İ");
        assert_eq!(Cleaner::new().accents(true).clean(text), "Ｅﬁ ½ 한국 Nandu I");
        assert_eq!(Cleaner::new().form(Form::Nfkc).accents(true).lowercase(true).clean(text), "efi 1⁄2 한국 nandu i");
        assert_eq!(Cleaner::new().clean(text), text);
    }

    #[test]
    fn control_characters_and_white_space() {
        let text = "\u{feff}a\u{0}\u{200b}b\t\u{85}c\r\n\u{3000}d ";
        assert_eq!(Cleaner::new().control(true).clean(text), "ab\tc\r\n\u{3000}d ");
        assert_eq!(Cleaner::new().control(true).white_space(true).clean(text), "ab c d");
        assert_eq!(Cleaner::new().white_space(true).clean(" \n "), "");
        let error = Cleaner::new().clean_bytes(b"ab\xff").unwrap_err().to_string();
        assert!(error.contains("byte 2 (0xff) is not UTF-8"), "{error}");
    }
}
