//! Texts that end a sequence.

use std::collections::BTreeMap;

use super::history::History;
use super::output::Sequence;
use super::stop::{Finish, StopCondition};
use crate::error::Result;
use crate::text::{Tokenizer, tokenizer::DecodeStream};

/// The text behind a prompt, token by token.
#[derive(Clone)]
pub(super) struct Written<'t> {
    stream: DecodeStream<'t>,
    /// What is complete.
    pub text: String,
}

impl<'t> Written<'t> {
    /// Nothing yet. The prompt is decoded first, as it decides on spaces and may end within a character.
    pub fn behind(tokenizer: &'t Tokenizer, prompt: &[u32]) -> Result<Self> {
        let mut stream = tokenizer.decode_stream(true);
        for &token in prompt {
            stream.push(token)?;
        }
        Ok(Written { stream, text: String::new() })
    }

    pub fn push(&mut self, token: u32) -> Result<()> {
        self.text.push_str(self.stream.push(token)?);
        Ok(())
    }

    /// All text, also of a character that did not come to its end.
    pub fn finish(self) -> Result<String> {
        Ok(self.text + &self.stream.finish()?)
    }
}

/// Where the first of the strings begins that lies in the text and ends behind `from`.
pub(super) fn find(strings: &[String], text: &str, from: usize) -> Option<usize> {
    let first = |string: &String| {
        let mut start = from.saturating_sub(string.len() - 1);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        text[start..].find(string.as_str()).map(|at| start + at)
    };
    strings.iter().filter_map(first).min()
}

/// How much of the text cannot be the beginning of one of the strings.
pub(super) fn settled(strings: &[String], text: &str) -> usize {
    let longest = strings.iter().map(String::len).max().unwrap_or(0);
    let open = |at: &usize| strings.iter().any(|string| string.starts_with(&text[*at..]));
    let from = text.len().saturating_sub(longest);
    (from..text.len()).filter(|&at| text.is_char_boundary(at)).find(open).unwrap_or(text.len())
}

/// The text of a sequence without its end token, up to the first stop string.
pub(super) fn text_of(
    tokenizer: &Tokenizer,
    prompt: &[u32],
    sequence: &Sequence,
    strings: &[String],
) -> Result<String> {
    let mut written = Written::behind(tokenizer, prompt)?;
    let end = sequence.tokens.len() - usize::from(sequence.finish == Finish::EndToken);
    for &token in &sequence.tokens[..end] {
        written.push(token)?;
    }
    let mut text = written.finish()?;
    if let Some(at) = find(strings, &text, 0) {
        text.truncate(at);
    }
    Ok(text)
}

/// Ends sequences whose text has one of the strings.
pub(super) struct StopStrings<'t> {
    tokenizer: &'t Tokenizer,
    strings: Vec<String>,
    /// By row: the prompt, and the text behind it, as yet nothing.
    prompts: BTreeMap<usize, (Vec<u32>, Written<'t>)>,
    /// By row and sequence: the new tokens that were seen, and their text.
    seen: BTreeMap<(usize, usize), (Vec<u32>, Written<'t>)>,
}

impl<'t> StopStrings<'t> {
    pub fn new(tokenizer: &'t Tokenizer, strings: Vec<String>) -> Self {
        StopStrings { tokenizer, strings, prompts: BTreeMap::new(), seen: BTreeMap::new() }
    }
}

impl StopCondition for StopStrings<'_> {
    fn stops(&mut self, at: &History<'_>) -> Result<bool> {
        let (prompt, new) = at.tokens.split_at(at.prompt);
        if self.prompts.get(&at.row).is_none_or(|(known, _)| known != prompt) {
            self.prompts.insert(at.row, (prompt.to_vec(), Written::behind(self.tokenizer, prompt)?));
            self.seen.retain(|(row, _), _| *row != at.row);
        }
        let begin = || (Vec::new(), self.prompts[&at.row].1.clone());
        let (tokens, written) = self.seen.entry((at.row, at.sequence)).or_insert_with(begin);
        // Another sequence than the last time, as in a beam search, or in a new call.
        if !new.starts_with(tokens) || new.len() == tokens.len() {
            (*tokens, *written) = begin();
        }
        let from = written.text.len();
        for &token in &new[tokens.len()..] {
            written.push(token)?;
            tokens.push(token);
        }
        // What was read anew may have been whole before; it did not end the sequence, so nothing in it does.
        Ok(find(&self.strings, &written.text, from).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_holds_back() {
        let strings = ["end".to_owned(), "ßo".to_owned(), "\n\n".to_owned()];
        assert_eq!(find(&strings, "the end", 0), Some(4));
        assert_eq!(find(&strings, "the end", 6), Some(4));
        assert_eq!(find(&strings, "the end of", 7), None, "it ended before");
        assert_eq!(find(&strings, "aßo", 3), Some(1));
        assert_eq!(find(&strings, "\n\nend", 0), Some(0));
        for (text, settled_text) in
            [("the en", "the "), ("the end", "the "), ("e", ""), ("aß", "a"), ("a\n", "a"), ("abc", "abc"), ("", "")]
        {
            assert_eq!(&text[..settled(&strings, text)], settled_text, "{text:?}");
        }
        assert_eq!((find(&[], "a", 0), settled(&[], "a")), (None, 1));
    }
}
