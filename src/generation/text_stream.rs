//! Text as it comes.

use super::stop::Finish;
use super::stop_strings::{Written, find, settled};
use super::stream::Stream;
use crate::error::Result;
use crate::tensor::Float;
use crate::text::Tokenizer;

/// Text as it comes: an iterator over pieces, made by [`Generator::stream_text`](super::Generator::stream_text).
///
/// All pieces together are what [`Generator::generate_text`](super::Generator::generate_text) gives. What may be the beginning of a
/// stop string is held back until it is known. After an error it is at its end.
pub struct TextStream<'s, 'a, T: Float> {
    stream: Stream<'s, 'a, T>,
    strings: Vec<String>,
    /// What was not handed out yet; none at the end.
    written: Option<Written<'a>>,
    finish: Option<Finish>,
}

impl<'s, 'a, T: Float> TextStream<'s, 'a, T> {
    pub(super) fn new(
        stream: Stream<'s, 'a, T>,
        tokenizer: &'a Tokenizer,
        strings: Vec<String>,
        prompt: &[u32],
    ) -> Result<Self> {
        Ok(TextStream { stream, strings, written: Some(Written::behind(tokenizer, prompt)?), finish: None })
    }

    /// The tokens so far, prompt and new ones.
    pub fn tokens(&self) -> &[u32] {
        self.stream.tokens(0, 0)
    }

    /// Why the text ended; none while it goes on.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The next piece that is not empty.
    fn next_piece(&mut self) -> Result<Option<String>> {
        while let Some(written) = &mut self.written {
            let (token, from) = (self.stream.next().transpose()?, written.text.len());
            self.finish = token.map_or(self.finish, |token| token.finish);
            if let Some(token) = token.filter(|token| token.finish != Some(Finish::EndToken)) {
                written.push(token.id)?;
            }
            if let Some(at) = find(&self.strings, &written.text, from) {
                let mut text = std::mem::take(&mut written.text);
                text.truncate(at);
                (self.written, self.finish) = (None, Some(Finish::Stopped));
                return Ok(Some(text).filter(|text| !text.is_empty()));
            }
            if token.is_none_or(|token| token.finish.is_some()) {
                let mut text = self.written.take().map_or(Ok(String::new()), Written::finish)?;
                if let Some(at) = find(&self.strings, &text, 0) {
                    text.truncate(at);
                }
                return Ok(Some(text).filter(|text| !text.is_empty()));
            }
            let settled = settled(&self.strings, &written.text);
            if settled > 0 {
                let rest = written.text.split_off(settled);
                return Ok(Some(std::mem::replace(&mut written.text, rest)));
            }
        }
        Ok(None)
    }
}

impl<T: Float> Iterator for TextStream<'_, '_, T> {
    type Item = Result<String>;

    #[inline(never)]
    fn next(&mut self) -> Option<Result<String>> {
        let piece = self.next_piece().transpose();
        if !matches!(piece, Some(Ok(_))) {
            self.written = None;
        }
        piece
    }
}

impl<T: Float> std::iter::FusedIterator for TextStream<'_, '_, T> {}
