//! A text that is being rewritten, and where each of its bytes comes from.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Bytes from and to in the original text.
pub(super) type Span = (u32, u32);

/// A stretch of a text on its way through normalisers: as it stands, and where each byte comes from, if that is asked for.
///
/// While nothing has changed it borrows the original. Afterwards every byte carries the span of the character of the original that it
/// comes from; what was inserted carries that of the character before it.
#[derive(Debug)]
pub(super) struct AlignedText<'a> {
    text: Cow<'a, str>,
    /// Where the original begins in the whole text, while nothing has changed.
    base: u32,
    /// One span a byte, once something has changed; nothing where offsets are not asked for.
    spans: Vec<Span>,
    wants_spans: bool,
    changed: bool,
    /// How long it may become, in bytes.
    most: usize,
}

/// How many times as long a text may become, beside a little that short ones may: no real table comes near, and a damaged one fills no memory.
const TIMES: usize = 256;
const BESIDE: usize = 1 << 16;

impl<'a> AlignedText<'a> {
    pub(super) fn new(original: &'a str, base: usize, wants_spans: bool) -> Self {
        let (base, spans) = (base as u32, Vec::new());
        let most = original.len().saturating_mul(TIMES).saturating_add(BESIDE).min(u32::MAX as usize);
        Self { text: Cow::Borrowed(original), base, spans, wants_spans, changed: false, most }
    }

    /// A range of bytes as a text of its own.
    pub(super) fn slice(&self, start: usize, end: usize) -> AlignedText<'_> {
        let spans = if self.spans.is_empty() { Vec::new() } else { self.spans[start..end].to_vec() };
        let base = if self.changed { self.base } else { self.base + start as u32 };
        let (wants_spans, changed) = (self.wants_spans, self.changed);
        AlignedText { text: Cow::Borrowed(&self.text[start..end]), base, spans, wants_spans, changed, most: self.most }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where a range of bytes comes from; whole characters of the original.
    pub(super) fn origin(&self, start: usize, end: usize) -> Span {
        if self.changed {
            return match (self.spans.get(start), end.checked_sub(1).and_then(|last| self.spans.get(last))) {
                (Some(first), Some(last)) if start < end => (first.0, last.1),
                (Some(first), _) => (first.0, first.0),
                (None, _) => self.spans.last().map_or((self.base, self.base), |last| (last.1, last.1)),
            };
        }
        (self.base + floor(&self.text, start) as u32, self.base + ceil(&self.text, end) as u32)
    }

    fn span_of_byte(&self, at: usize) -> Span {
        match self.changed {
            true => self.spans.get(at).copied().unwrap_or((self.base, self.base)),
            false => self.origin(at, at + 1),
        }
    }

    /// Writes the text anew. `edit` walks over all of it; what it leaves at the end is kept.
    pub(super) fn rewrite(&mut self, edit: impl FnOnce(&mut Rewriter<'_, 'a>) -> Result<()>) -> Result<()> {
        let capacity = self.text.len() + self.text.len() / 8 + 16;
        let spans = Vec::with_capacity(if self.wants_spans { capacity } else { 0 });
        let mut rewriter = Rewriter { old: self, at: 0, text: String::with_capacity(capacity), spans, full: false };
        edit(&mut rewriter)?;
        let rest = rewriter.old.text.len() - rewriter.at;
        rewriter.keep(rest);
        let Rewriter { text, spans, full, .. } = rewriter;
        if full || text.len() > self.most {
            let expected = format!("one that is normalised to {} bytes at most", self.most);
            let hint =
                format!("cut it into documents first, or look for a normaliser that makes text {TIMES} times as long");
            return Err(Error::argument("Tokenizer", "the text", expected, "one that becomes longer", hint));
        }
        (self.text, self.spans, self.changed) = (Cow::Owned(text), spans, true);
        Ok(())
    }
}

/// The beginning of the character that a byte belongs to.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The end of the character that ends at or contains the byte before `at`.
fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Writes a text anew, character by character of the old one.
pub(super) struct Rewriter<'t, 'a> {
    old: &'t AlignedText<'a>,
    /// The first byte of the old text that is not yet written or dropped.
    at: usize,
    text: String,
    spans: Vec<Span>,
    /// Nothing more is put in: it became too long.
    full: bool,
}

impl<'t> Rewriter<'t, '_> {
    /// What of the old text is still to come.
    pub(super) fn rest(&self) -> &'t str {
        &self.old.text[self.at..]
    }

    pub(super) fn next_char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Where a byte comes from, if that is asked for.
    fn span_at(&self, at: usize) -> Span {
        if self.old.wants_spans { self.old.span_of_byte(at) } else { (0, 0) }
    }

    fn push(&mut self, c: char, span: Span) {
        if self.text.len() >= self.old.most {
            self.full = true;
            return;
        }
        self.text.push(c);
        if self.old.wants_spans {
            self.spans.resize(self.spans.len() + c.len_utf8(), span);
        }
    }

    /// So many bytes as they are.
    pub(super) fn keep(&mut self, bytes: usize) {
        let (from, to) = (self.at, self.at + bytes);
        self.text.push_str(&self.old.text[from..to]);
        if self.old.wants_spans {
            if self.old.changed {
                self.spans.extend_from_slice(&self.old.spans[from..to]);
            } else {
                let base = self.old.base;
                for (i, c) in self.old.text[from..to].char_indices() {
                    let start = base + (from + i) as u32;
                    let length = c.len_utf8();
                    self.spans.resize(self.spans.len() + length, (start, start + length as u32));
                }
            }
        }
        self.at = to;
    }

    /// A character in the place of the next one.
    pub(super) fn replace(&mut self, with: char) {
        if self.at < self.old.text.len() {
            let span = self.span_at(self.at);
            self.push(with, span);
            self.skip(1);
        }
    }

    /// A character more, which comes from where the last one did.
    pub(super) fn insert(&mut self, c: char) {
        let span = match self.at.checked_sub(1) {
            Some(before) => self.span_at(before),
            None => (self.old.base, self.old.base),
        };
        self.push(c, span);
    }

    /// A text in front of the next character, which comes from there.
    pub(super) fn insert_before(&mut self, text: &str) {
        if self.at < self.old.text.len() {
            let span = self.span_at(self.at);
            text.chars().for_each(|c| self.push(c, span));
        }
    }

    /// Leaves out the next characters.
    pub(super) fn skip(&mut self, chars: usize) {
        let rest = self.rest();
        self.at += rest.char_indices().nth(chars).map_or(rest.len(), |(end, _)| end);
    }

    /// Leaves out so many bytes.
    pub(super) fn skip_bytes(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_what_is_rewritten_twice() {
        let mut text = AlignedText::new("aé b", 10, true);
        assert_eq!(text.origin(2, 3), (11, 13));
        text.rewrite(|rewriter| {
            rewriter.insert_before("▁");
            rewriter.keep(1);
            rewriter.replace('e');
            rewriter.insert('\u{301}');
            rewriter.skip(1);
            Ok(())
        })
        .unwrap();
        assert_eq!(text.as_str(), "▁ae\u{301}b");
        assert_eq!(text.origin(0, 4), (10, 11));
        assert_eq!(text.origin(4, 7), (11, 13));
        assert_eq!(text.origin(7, 8), (14, 15));
        text.rewrite(|rewriter| {
            rewriter.skip(1);
            Ok(())
        })
        .unwrap();
        assert_eq!((text.as_str(), text.origin(0, 1), text.origin(5, 5)), ("ae\u{301}b", (10, 11), (15, 15)));
    }
}
