//! Greedy search and sampling: tokens as they come.

use super::decoder::Decoder;
use super::history::History;
use super::pick::{draw, most_likely, sequence_key};
use super::search::Search;
use super::stop::{Finish, finish};
use crate::error::Result;
use crate::random::Key;
use crate::tensor::Float;

/// A token that was just picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// The prompt's position in the batch, from 0.
    pub row: usize,
    /// Which of the prompt's sequences, from 0.
    pub sequence: usize,
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability as the model had it.
    pub log_probability: f64,
    /// Why the sequence ends with it; none while it goes on.
    pub finish: Option<Finish>,
}

/// A sequence that is being written.
struct Writing {
    tokens: Vec<u32>,
    prompt: usize,
    key: Key,
}

/// A sequence that goes on.
#[derive(Clone, Copy)]
struct Live {
    /// Its number among all.
    number: usize,
    /// Its row of logits.
    row: usize,
}

/// Tokens as they come: an iterator, made by [`Generator::stream`](super::Generator::stream).
///
/// Step by step one token of every sequence that goes on, in the order of the prompts. The decoder is called when the next step's
/// first token is asked for; from the second step on no memory is taken, but for sequences of more than 1,024 new tokens. After an
/// error it is at its end.
pub struct Stream<'s, 'a, T: Float> {
    search: &'s mut Search<'a, T>,
    decoder: &'s mut dyn Decoder<T>,
    writing: Vec<Writing>,
    /// Sequences of one prompt.
    each: usize,
    live: Vec<Live>,
    /// How many of the living have their token of this step; and those that go on, and their tokens.
    at: usize,
    going_on: Vec<Live>,
    next: Vec<u32>,
    parents: Vec<usize>,
    /// Rows that the decoder holds.
    rows: usize,
}

impl<'s, 'a, T: Float> Stream<'s, 'a, T> {
    pub(super) fn begin(
        search: &'s mut Search<'a, T>,
        decoder: &'s mut dyn Decoder<T>,
        prompts: &[&[u32]],
    ) -> Result<Self> {
        let each = search.pipeline.settings.num_return_sequences;
        search.begin(decoder, prompts, each)?;
        let (count, room) = (prompts.len() * each, search.pipeline.settings.max_new_tokens.min(1024));
        let writing = |number: usize| {
            let prompt = prompts[number / each];
            let mut tokens = Vec::with_capacity(prompt.len() + room);
            tokens.extend_from_slice(prompt);
            let row = search.row_number(number / each);
            Writing {
                tokens,
                prompt: prompt.len(),
                key: sequence_key(search.pipeline.settings.seed, row, number % each),
            }
        };
        Ok(Stream {
            writing: (0..count).map(writing).collect(),
            each,
            live: (0..count).map(|number| Live { number, row: number / each }).collect(),
            at: 0,
            going_on: Vec::with_capacity(count),
            next: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            rows: prompts.len(),
            search,
            decoder,
        })
    }

    /// Prompt and new tokens so far of a prompt's sequence; empty for one that does not exist.
    pub fn tokens(&self, row: usize, sequence: usize) -> &[u32] {
        let number = row.checked_mul(self.each).and_then(|first| first.checked_add(sequence));
        let writing = number.filter(|_| sequence < self.each).and_then(|number| self.writing.get(number));
        writing.map_or(&[], |writing| &writing.tokens)
    }

    /// The next token of a sequence that goes on.
    fn pick(&mut self, live: Live) -> Result<Token> {
        let (row, sequence) = (live.number / self.each, live.number % self.each);
        let (search, Writing { tokens, prompt, key }) = (&mut *self.search, &mut self.writing[live.number]);
        let (prompt, max_new_tokens) = (*prompt, search.pipeline.settings.max_new_tokens);
        let at = History { row, sequence, tokens, prompt, max_new_tokens };
        let norm = search.row(live.row, &at)?;
        search.pipeline.process(&at, &mut search.scores)?;
        let id = if search.pipeline.settings.do_sample {
            draw(&search.scores, key.unit(tokens.len() as u64), &mut search.pipeline.space)
        } else {
            most_likely(&search.scores)
        };
        let id = id.ok_or_else(|| search.no_token(&at))?;
        tokens.push(id);
        let at = History { row, sequence, tokens, prompt, max_new_tokens };
        let finish = finish(&at, &search.pipeline.settings.end_tokens, &mut search.stops)?;
        Ok(Token { row, sequence, id, log_probability: search.log_probability(live.row, id, norm), finish })
    }

    /// The logits of the next step; false where no sequence goes on.
    fn advance(&mut self) -> Result<bool> {
        std::mem::swap(&mut self.live, &mut self.going_on);
        self.going_on.clear();
        self.at = 0;
        if self.live.is_empty() {
            return Ok(false);
        }
        self.parents.clear();
        self.parents.extend(self.live.iter().map(|live| live.row));
        self.search.step(self.decoder, self.rows, &self.parents, &self.next)?;
        self.rows = self.live.len();
        self.next.clear();
        self.live.iter_mut().enumerate().for_each(|(row, live)| live.row = row);
        Ok(true)
    }

    fn next_token(&mut self) -> Result<Option<Token>> {
        if self.at == self.live.len() && !self.advance()? {
            return Ok(None);
        }
        let live = self.live[self.at];
        let token = self.pick(live)?;
        self.at += 1;
        if token.finish.is_none() {
            self.going_on.push(live);
            self.next.push(token.id);
        }
        Ok(Some(token))
    }
}

impl<T: Float> Iterator for Stream<'_, '_, T> {
    type Item = Result<Token>;

    #[inline(never)]
    fn next(&mut self) -> Option<Result<Token>> {
        let token = self.next_token().transpose();
        if !matches!(token, Some(Ok(_))) {
            self.live.clear();
            self.going_on.clear();
            self.at = 0;
        }
        token
    }
}

impl<T: Float> std::iter::FusedIterator for Stream<'_, '_, T> {}
