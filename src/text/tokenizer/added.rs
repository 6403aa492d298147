//! Added tokens: contents that are cut out of a text before it is split.

use serde::{Deserialize, Serialize};

use super::classes::{Classes, SPACE, WORD};

/// A token that stands beside the model: special ones (`[CLS]`), and words that were added later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// What is looked for in the text.
    pub content: String,
    /// Whether it counts only where no letter, digit, mark or `_` stands beside it.
    #[serde(default)]
    pub single_word: bool,
    /// Whether white space before it belongs to it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether white space behind it belongs to it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it is looked for in the normalised text, its content normalised too, and not in the raw one.
    #[serde(default)]
    pub normalized: bool,
    /// Whether decoding leaves it out where special tokens are skipped.
    #[serde(default)]
    pub special: bool,
}

impl AddedToken {
    /// A special token, looked for in the raw text.
    pub fn special(id: u32, content: impl Into<String>) -> Self {
        let content = content.into();
        Self { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    }

    /// A word, looked for in the normalised text.
    pub fn word(id: u32, content: impl Into<String>) -> Self {
        Self { normalized: true, special: false, ..Self::special(id, content) }
    }
}

/// Looks for many contents at once, leftmost first, and of those that begin there the longest.
#[derive(Clone, Debug, Default)]
pub(super) struct Matcher {
    /// Contents in order, each with the position of its token.
    contents: Vec<(Box<[u8]>, usize)>,
    /// Where in `contents` those begin that start with a byte, and where they end.
    by_first: Vec<(u32, u32)>,
}

impl Matcher {
    /// Contents with the positions of their tokens; of the same content the first counts.
    pub(super) fn new(contents: impl Iterator<Item = (String, usize)>) -> Self {
        let mut contents: Vec<_> = contents
            .filter(|(content, _)| !content.is_empty())
            .map(|(content, token)| (content.into_bytes().into_boxed_slice(), token))
            .collect();
        contents.sort();
        contents.dedup_by(|b, a| a.0 == b.0);
        let mut by_first = vec![(0, 0); 256];
        for (i, (content, _)) in contents.iter().enumerate() {
            let range: &mut (u32, u32) = &mut by_first[content[0] as usize];
            if range.1 == 0 {
                range.0 = i as u32;
            }
            range.1 = i as u32 + 1;
        }
        Self { contents, by_first }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// The longest content that begins at a byte: its token and its length.
    pub(super) fn longest(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let (from, to) = self.by_first[bytes[0] as usize];
        let (mut among, mut best) = (&self.contents[from as usize..to as usize], None);
        let mut depth = 1;
        while let Some((content, token)) = among.first() {
            if content.len() == depth {
                best = Some((*token, depth));
                among = &among[1..];
            }
            let Some(&byte) = bytes.get(depth) else { break };
            let from = among.partition_point(|(content, _)| content[depth] < byte);
            let to = among.partition_point(|(content, _)| content[depth] <= byte);
            (among, depth) = (&among[from..to], depth + 1);
        }
        best
    }

    /// The first match at or behind a byte: its token, beginning and end.
    fn find(&self, bytes: &[u8], mut from: usize) -> Option<(usize, usize, usize)> {
        loop {
            from += bytes[from..].iter().position(|&byte| self.by_first[byte as usize].1 != 0)?;
            if let Some((token, length)) = self.longest(&bytes[from..]) {
                return Some((token, from, from + length));
            }
            from += 1;
        }
    }

    /// Cuts a text into tokens (with their positions) and what lies between (`None`).
    pub(super) fn split<E>(
        &self,
        text: &str,
        tokens: &[AddedToken],
        skip_special: bool,
        mut part: impl FnMut(Option<usize>, usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut done, mut from) = (0, 0);
        let classes = Classes::get();
        while !self.is_empty()
            && let Some((position, mut start, mut end)) = self.find(text.as_bytes(), from)
        {
            from = end;
            let token = &tokens[position];
            let word = |c: Option<char>| c.is_some_and(|c| classes.of(c) & WORD != 0);
            let beside = || word(text[..start].chars().next_back()) || word(text[end..].chars().next());
            if (skip_special && token.special) || (token.single_word && beside()) {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end_matches(|c| classes.of(c) & SPACE != 0).len().max(done);
            }
            if token.rstrip {
                end = classes.run(text, end, SPACE);
            }
            if end <= done {
                // White space that the token before it has taken.
                continue;
            }
            if done < start {
                part(None, done, start)?;
            }
            part(Some(position), start.max(done), end)?;
            done = end;
        }
        if done < text.len() { part(None, done, text.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(contents: &[AddedToken], text: &str) -> Vec<(Option<usize>, String)> {
        let matcher = Matcher::new(contents.iter().enumerate().map(|(i, token)| (token.content.clone(), i)));
        let mut parts = Vec::new();
        let part = |token, start, end| {
            parts.push((token, text[start..end].to_owned()));
            Ok::<(), ()>(())
        };
        matcher.split(text, contents, false, part).unwrap();
        parts
    }

    #[test]
    fn the_longest_counts_and_strips_eat_white_space() {
        let mut tokens =
            vec![AddedToken::special(0, "<a>"), AddedToken::special(1, "<a><b>"), AddedToken::word(2, "net")];
        (tokens[0].lstrip, tokens[0].rstrip, tokens[2].single_word) = (true, true, true);
        let part = |token, text: &str| (token, text.to_owned());
        assert_eq!(
            split(&tokens, "x <a> \u{3000}<a><b <a><b>."),
            [
                part(None, "x"),
                part(Some(0), " <a> \u{3000}"),
                part(Some(0), "<a>"),
                part(None, "<b "),
                part(Some(1), "<a><b>"),
                part(None, ".")
            ]
        );
        assert_eq!(split(&tokens, "net_net net"), [part(None, "net_net "), part(Some(2), "net")]);
        assert_eq!(split(&tokens, ""), []);
        assert_eq!(split(&tokens, "é"), [part(None, "é")]);
    }
}
