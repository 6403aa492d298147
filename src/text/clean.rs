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

/// What is done to raw text before it is cut into words or tokens, in this order: markup, control characters, form, accents, case,
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
    /// entities become what they stand for. What opens no tag (`a < b`) stays, as does what stands in `<![CDATA[…]]>`.
    pub fn markup(mut self, strip: bool) -> Self {
        self.markup = strip;
        self
    }

    /// The normalisation form; as it comes by default.
    pub fn form(mut self, form: impl Into<Option<Form>>) -> Self {
        self.form = form.into();
        self
    }

    /// Whether control characters go, but for tab and line ends, and with them the byte order mark, marks of direction, soft hyphens and spaces
    /// without width. Joiners (U+200C, U+200D) stay, as Persian, Hindi and emoji are written with them.
    pub fn control(mut self, strip: bool) -> Self {
        self.control = strip;
        self
    }

    /// Whether accents and all other combining marks go: é is e, й is и. Where vowels are marks (Hindi, Thai), and in Japanese (が is か),
    /// words become others.
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

    /// The text as these settings have it. Cleaning it again changes nothing more, unless what is left reads as markup (`&lt;b&gt;`, `＜b＞`
    /// under [`Form::Nfkc`]).
    pub fn clean(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        if self.markup {
            text = without_markup(&text).into();
        }
        if self.control {
            text = text.chars().filter(|c| !is_control(*c)).collect::<String>().into();
        }
        // After them, as letters and accents may meet where one went.
        if let Some(form) = self.form {
            text = form.apply(&text).into();
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
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
        || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
        // Of direction.
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The commonest entities, and numbers.
fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let (digits, base) = number.strip_prefix(['x', 'X']).map_or((number, 10), |hex| (hex, 16));
        // Without a sign, which Rust's numbers may have.
        let digits = Some(digits).filter(|digits| digits.bytes().all(|c| c.is_ascii_alphanumeric()))?;
        return char::from_u32(u32::from_str_radix(digits, base).ok()?).filter(|c| *c != '\0');
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "aacute" => 'á',
        "agrave" => 'à',
        "acirc" => 'â',
        "auml" => 'ä',
        "eacute" => 'é',
        "egrave" => 'è',
        "ecirc" => 'ê',
        "iacute" => 'í',
        "oacute" => 'ó',
        "ocirc" => 'ô',
        "ouml" => 'ö',
        "uacute" => 'ú',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Eacute" => 'É',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "ccedil" => 'ç',
        "ntilde" => 'ñ',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "bull" => '•',
        "middot" => '·',
        "times" => '×',
        "deg" => '°',
        "euro" => '€',
        "pound" => '£',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        _ => return None,
    })
}

/// The text between tags. Takes time of its length: nothing is looked for twice.
fn without_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Behind the last `>` no tag ends.
    let closed = text.rfind('>').map_or(0, |at| at + 1);
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix("<![CDATA[") {
            // Text as it stands, where it is not closed all of the rest.
            let (content, after) = inside.split_once("]]>").unwrap_or((inside, ""));
            out.push_str(content);
            rest = after;
            continue;
        }
        if let Some(tag) = Tag::at(rest, (closed + rest.len()).saturating_sub(text.len())) {
            out.push(' ');
            rest = &rest[tag.len..];
            if let Some(name) = tag.raw {
                // What stands in it is no text; where it is not closed, all of the rest.
                let end = rest.match_indices("</").find(|(at, _)| starts_with(&rest[at + 2..], name));
                rest = end.map_or("", |(at, _)| &rest[at..]);
            }
            continue;
        }
        let name = rest.strip_prefix('&').and_then(|after| {
            let end = after.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'#'))?;
            after[end..].starts_with(';').then_some(&after[..end])
        });
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
    /// The one at the beginning of a text in which the last `>` ends at `closed`.
    fn at(text: &str, closed: usize) -> Option<Tag> {
        let inside = text.strip_prefix('<')?;
        if inside.starts_with("!--") {
            // `<!-->` is one, too.
            let len = text[2..].find("-->").map_or(text.len(), |end| end + 5);
            return Some(Tag { len, raw: None });
        }
        let first = inside.chars().next()?;
        if !(first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')) {
            return None;
        }
        let len = 1 + end_of_tag(text[..closed].strip_prefix('<')?)?;
        let raw = ["script", "style"].into_iter().find(|name| {
            let after = inside.as_bytes().get(name.len());
            starts_with(inside, name) && after.is_some_and(|c| matches!(c, b'>' | b' ' | b'\t' | b'\n' | b'\r'))
        });
        Some(Tag { len, raw })
    }
}

/// Where a tag ends, behind its `>`. One inside of a value (`alt="a > b"`) does not end it, if the value's quotes close soon.
fn end_of_tag(inside: &str) -> Option<usize> {
    /// So far is looked behind the first `>`, as what stands there may be looked at again.
    const SOON: usize = 512;
    let bytes = inside.as_bytes();
    let first = bytes.iter().position(|byte| *byte == b'>')? + 1;
    let bytes = &bytes[..bytes.len().min(first + SOON)];
    let (mut at, mut value) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'>' => return Some(at),
            b'"' | b'\'' if value => match bytes[at..].iter().position(|other| *other == byte) {
                Some(len) => at += len + 1,
                None => break,
            },
            _ => {}
        }
        value = byte == b'=' || value && byte.is_ascii_whitespace();
    }
    Some(first)
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
        assert_eq!(clean("a<!-->b<!--->c<!---->d<!-- > -->e"), "a b c d e");
        assert_eq!(clean("<rss><![CDATA[a < b && <c>]]>d<![CDATA[e"), "a < b && <c>de");
        // Values between quotes.
        assert_eq!(clean("a<img alt=\"1 > 0\" title = '\">'>b"), "a b");
        assert_eq!(clean("a<b it's>c<b x=it's>d<b x=\"y>e<b x='>f"), "a c d e f");
        assert_eq!(clean(&format!("<a x=\"{}>b\">c", "-".repeat(3000))), "c");
        assert_eq!(clean(&format!("<a x=\">{}\">c", "-".repeat(513))), format!("{}\">c", "-".repeat(513)));
        assert_eq!(clean("it&rsquo;s&#+65;&#x+41;&#65"), "it’s&#+65;&#x+41;&#65");
        assert_eq!(clean("&abcdefghij;&#x10FFFFF;&#x0010FFFF;"), "&abcdefghij;&#x10FFFFF;\u{10ffff}");
    }

    /// A megabyte that looks like markup without end takes no longer than one of text.
    #[test]
    fn no_markup_is_slow() {
        let cleaner = Cleaner::new().markup(true);
        for piece in [
            "&",
            "<",
            "<a",
            "</",
            "<!",
            "<a =\"",
            "<a ='>'",
            "<a =\"><b \" ",
            "<script",
            "<script></script",
            "<!-- ",
            "&#1",
        ] {
            let text = piece.repeat((1 << 20) / piece.len());
            let start = std::time::Instant::now();
            for text in [format!("{text}>"), text] {
                assert!(cleaner.clean(&text).len() <= text.len());
            }
            // Looked for again from every place it would be minutes.
            assert!(start.elapsed().as_secs() < 10, "{piece}: {:?}", start.elapsed());
        }
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
        assert_eq!(Cleaner::new().control(true).clean("\u{202b}ש\u{200f}\u{202c} 👨\u{200d}👩"), "ש 👨\u{200d}👩");
        // Where a character went, its neighbours are in their form, too.
        let both = Cleaner::new().control(true).form(Form::Nfc);
        assert_eq!(both.clean("e\u{200b}\u{301} ᄒ\u{feff}ᅡ\u{0}ᆫ"), "é 한");
        assert_eq!(Cleaner::new().control(true).white_space(true).clean(text), "ab c d");
        assert_eq!(Cleaner::new().white_space(true).clean(" \n "), "");
        let error = Cleaner::new().clean_bytes(b"ab\xff").unwrap_err().to_string();
        assert!(error.contains("byte 2 (0xff) is not UTF-8"), "{error}");
    }
}
