//! From tokens to text.

use super::{
    Tokenizer,
    decoder::{State, take_text},
    model::Model,
    sentencepiece,
};
use crate::error::{Error, Result};

/// What is kept between one token and the next.
#[derive(Clone, Debug)]
enum Decoding {
    Steps(Vec<State>),
    /// The beginning of a character.
    Bytes(Vec<u8>),
    SentencePiece(sentencepiece::Decoding),
}

impl Tokenizer {
    /// The text of ids; special tokens are left out if asked for.
    ///
    /// Bytes that are no text become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is no token, with its position.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        if let Some(bytes) = &self.bytes {
            let skips = skip_special_tokens && ids.iter().any(|&id| self.is_special(id));
            let kept: Vec<u32>;
            let ids = if skips {
                kept = ids.iter().copied().filter(|&id| !self.is_special(id)).collect();
                &kept
            } else {
                ids
            };
            if let Some(bytes) = bytes.concat(ids) {
                return Ok(
                    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
                );
            }
        }
        let mut text = String::with_capacity(ids.len() * 4);
        let mut state = self.begin_decoding();
        for (position, &id) in ids.iter().enumerate() {
            self.decode_next(&mut state, id, position, skip_special_tokens, &mut text)?;
        }
        self.end_decoding(&mut state, &mut text)?;
        Ok(text)
    }

    fn begin_decoding(&self) -> Decoding {
        match &self.model {
            Model::SentencePiece(model) => Decoding::SentencePiece(model.engine.decoding(true)),
            _ if self.bytes.is_some() => Decoding::Bytes(Vec::new()),
            _ => Decoding::Steps(self.steps.begin()),
        }
    }

    /// Appends what is complete with the next id.
    fn decode_next(
        &self,
        state: &mut Decoding,
        id: u32,
        position: usize,
        skip_special: bool,
        out: &mut String,
    ) -> Result<()> {
        let token = self.decoded(id).ok_or_else(|| self.no_token(id, position))?;
        if skip_special && self.is_special(id) {
            return Ok(());
        }
        match (state, &self.model, &self.bytes) {
            (Decoding::SentencePiece(state), Model::SentencePiece(model), _) if self.added_token(id).is_none() => {
                model.engine.decode_next(state, id, out).ok_or_else(|| self.no_token(id, position))?;
            }
            (Decoding::SentencePiece(state), Model::SentencePiece(model), _) => {
                model.engine.decode_end(state, out)?;
                *state = model.engine.decoding(false);
                out.push_str(token);
            }
            (Decoding::Bytes(held), _, Some(bytes)) => {
                held.extend_from_slice(bytes.get(id).unwrap_or_default());
                take_text(held, out);
            }
            (Decoding::Steps(states), ..) => self.steps.push(states, token, out),
            _ => unreachable!("the state is that of the decoder"),
        }
        Ok(())
    }

    /// Appends what was held back.
    fn end_decoding(&self, state: &mut Decoding, out: &mut String) -> Result<()> {
        match (state, &self.model) {
            (Decoding::SentencePiece(state), Model::SentencePiece(model)) => {
                return model.engine.decode_end(state, out);
            }
            (Decoding::Bytes(held), _) => out.push_str(&String::from_utf8_lossy(held)),
            (Decoding::Steps(states), _) => self.steps.finish(states, out),
            _ => unreachable!("the state is that of the decoder"),
        }
        Ok(())
    }

    /// The texts of rows of ids.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), with the number of the row.
    pub fn decode_batch<I: AsRef<[u32]>>(&self, rows: &[I], skip_special_tokens: bool) -> Result<Vec<String>> {
        let text = |(i, ids): (usize, &I)| {
            let wrap = |source| Error::Input { name: format!("row {i}"), source: Box::new(source) };
            self.decode(ids.as_ref(), skip_special_tokens).map_err(wrap)
        };
        rows.iter().enumerate().map(text).collect()
    }

    /// The text of ids as they come, one by one.
    ///
    /// ```
    /// # use gradus::text::Tokenizer;
    /// # fn show(tokenizer: &Tokenizer, ids: &[u32]) -> gradus::Result<()> {
    /// let mut stream = tokenizer.decode_stream(true);
    /// for &id in ids {
    ///     print!("{}", stream.push(id)?);
    /// }
    /// println!("{}", stream.finish()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream<'_> {
        DecodeStream {
            tokenizer: self,
            skip_special_tokens,
            state: self.begin_decoding(),
            position: 0,
            text: String::new(),
        }
    }

    fn no_token(&self, id: u32, position: usize) -> Error {
        let expected =
            format!("ids of the vocabulary, which has {} tokens with ids below {}", self.vocab_size(), self.id_bound());
        let hint = "decode with the tokenizer that encoded";
        Error::argument("Tokenizer::decode", "ids", expected, format!("{id} at position {position}"), hint)
    }
}

/// Text from ids that come one by one: all that is pushed and the end together are what [`Tokenizer::decode`] gives, and none of them
/// holds part of a character.
#[derive(Clone, Debug)]
pub struct DecodeStream<'t> {
    tokenizer: &'t Tokenizer,
    skip_special_tokens: bool,
    state: Decoding,
    position: usize,
    text: String,
}

impl DecodeStream<'_> {
    /// The text that is complete with this id; empty while a character is not.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is no token, with its position; the stream is as before.
    pub fn push(&mut self, id: u32) -> Result<&str> {
        self.text.clear();
        self.tokenizer.decode_next(&mut self.state, id, self.position, self.skip_special_tokens, &mut self.text)?;
        self.position += 1;
        Ok(&self.text)
    }

    /// What is still held back: U+FFFD for a character that did not come to its end.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text of 1 GiB and more, where a SentencePiece model normalises what is decoded.
    pub fn finish(mut self) -> Result<String> {
        self.text.clear();
        self.tokenizer.end_decoding(&mut self.state, &mut self.text)?;
        Ok(self.text)
    }
}
