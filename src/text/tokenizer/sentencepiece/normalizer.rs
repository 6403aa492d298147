//! What SentencePiece does to a text before it is cut.

use super::super::charsmap::Charsmap;
use super::super::trie::Trie;
use super::file::Normalization;
use crate::error::{Error, Result};

/// What SentencePiece writes for a space.
pub(super) const SPACE: &str = "\u{2581}";

/// Replacements by the longest match, and the rules about spaces.
#[derive(Clone)]
pub(super) struct Normalizer {
    charsmap: Option<Charsmap>,
    /// What is not replaced: the texts of user-defined pieces, and which bytes they begin with.
    fixed: Trie,
    begins_fixed: Box<[bool; 256]>,
    prefix: bool,
    suffix: bool,
    collapse: bool,
    space: &'static str,
}

/// A text on its way, with where each byte of it comes from.
struct Out<'a> {
    text: &'a mut String,
    /// For each byte the place in the text before, and one for the end.
    origins: &'a mut Vec<u32>,
    space: &'static str,
    collapse: bool,
    after_space: bool,
}

impl Out<'_> {
    fn push(&mut self, part: &str, origin: usize) {
        self.text.push_str(part);
        self.origins.resize(self.text.len(), origin as u32);
    }

    /// Appends what stands in the text as it is.
    fn keep(&mut self, mut part: &str, mut origin: usize) {
        while let Some(length) = part.bytes().position(|byte| byte == b' ') {
            self.word(&part[..length], origin);
            if !self.after_space {
                self.push(self.space, origin + length);
                self.after_space = self.collapse;
            }
            part = &part[length + 1..];
            origin += length + 1;
        }
        self.word(part, origin);
    }

    fn word(&mut self, word: &str, origin: usize) {
        if !word.is_empty() {
            self.text.push_str(word);
            self.origins.extend((origin..origin + word.len()).map(|origin| origin as u32));
            self.after_space = false;
        }
    }

    /// Appends what a part of the text that begins at `origin` became.
    fn replace(&mut self, part: &str, origin: usize) {
        let part = if self.after_space { part.trim_start_matches(' ') } else { part };
        for (i, word) in part.split(' ').enumerate() {
            if i > 0 {
                self.push(self.space, origin);
            }
            self.push(word, origin);
        }
        if !part.is_empty() {
            self.after_space = self.collapse && part.ends_with(' ');
        }
    }
}

impl Normalizer {
    /// `fixed` are the texts of user-defined pieces; `suffix` says that the space that is added stands behind the text.
    pub(super) fn new<'a>(spec: &Normalization, fixed: impl Iterator<Item = &'a str>, suffix: bool) -> Result<Self> {
        let mut begins_fixed = Box::new([false; 256]);
        let fixed: Vec<_> = fixed.map(|text| (text.as_bytes(), 0)).collect();
        fixed.iter().for_each(|(text, _)| begins_fixed[usize::from(text[0])] = true);
        Ok(Normalizer {
            charsmap: if spec.charsmap.is_empty() { None } else { Some(Charsmap::new(&spec.charsmap)?) },
            fixed: Trie::new(fixed)?,
            begins_fixed,
            prefix: spec.add_dummy_prefix && !suffix,
            suffix: spec.add_dummy_prefix && suffix,
            collapse: spec.remove_extra_whitespaces,
            space: if spec.escape_whitespaces { SPACE } else { " " },
        })
    }

    /// What `text` begins with: how many bytes, and what they become.
    fn first<'a>(&'a self, text: &'a str) -> Option<(usize, &'a str)> {
        if let Some((length, _)) = self.fixed.longest_prefix(text.as_bytes()) {
            return Some((length, &text[..length]));
        }
        if let Some(found) = self.charsmap.as_ref().and_then(|charsmap| charsmap.longest(text)) {
            return Some(found);
        }
        let length = text.chars().next()?.len_utf8();
        Some((length, &text[..length]))
    }

    /// From where on a character may not stay, at or behind `at`: that of a user-defined piece, or `stays`, up to which the table leaves all.
    fn unchanged(&self, text: &str, at: usize, stays: usize) -> usize {
        let bytes = text.as_bytes();
        let fixed = |&from: &usize| {
            self.begins_fixed[usize::from(bytes[from])] && self.fixed.longest_prefix(&bytes[from..]).is_some()
        };
        (at..stays).find(fixed).unwrap_or(stays)
    }

    /// Writes what `text` becomes to `out`, and to `origins` for each of its bytes (and its end) the place in `text`.
    ///
    /// # Errors
    /// [`Error::Argument`] if that is 4 GiB or more.
    pub(super) fn normalize(&self, text: &str, out: &mut String, origins: &mut Vec<u32>) -> Result<()> {
        out.clear();
        origins.clear();
        let mut at = 0;
        while self.collapse
            && let Some((length, " ")) = self.first(&text[at..])
        {
            at += length;
        }
        if at < text.len() {
            let mut out =
                Out { text: out, origins, space: self.space, collapse: self.collapse, after_space: self.collapse };
            if self.prefix {
                out.push(self.space, at);
            }
            let mut stays = at;
            while at < text.len() {
                if stays <= at {
                    stays = self.charsmap.as_ref().map_or(text.len(), |charsmap| at + charsmap.unchanged(text, at));
                }
                let end = self.unchanged(text, at, stays);
                out.keep(&text[at..end], at);
                at = end;
                if out.text.len() >= u32::MAX as usize - 1024 {
                    let got = format!("more from {} bytes", text.len());
                    let hint = "cut it into documents";
                    return Err(Error::argument("SentencePiece", "a normalised text", "shorter than 4 GiB", got, hint));
                }
                if let Some((length, part)) = self.first(&text[at..]) {
                    out.replace(part, at);
                    at += length;
                }
            }
            if self.collapse {
                let length = out.text.trim_end_matches(self.space).len();
                at = out.origins.get(length).map_or(at, |&origin| origin as usize);
                out.text.truncate(length);
                out.origins.truncate(length);
            }
            if self.suffix {
                out.push(self.space, at);
            }
        }
        origins.push(at as u32);
        Ok(())
    }
}
