//! From text to tokens.

use super::{
    Tokenizer,
    aligned_text::{AlignedText, Span},
    encoding::{Encoding, Truncation},
    model::{
        Model, Scratch,
        bpe::{self, Bpe},
        tokens::Piece,
    },
    pattern::{Each, PieceSink},
    pool::Work,
    template,
};
use crate::{
    error::{Error, Result},
    kernels::parallel,
};

/// Work of encoding a byte, in the units by which work is shared out among threads.
const WORK_PER_BYTE: usize = 20;

impl Tokenizer {
    /// A text as tokens, with the template's special ones, cut and filled up as set.
    ///
    /// # Errors
    /// [`Error::Argument`] for characters that the vocabulary does not have while it has no unknown token, and for texts of 4 GiB and
    /// more.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        self.encode_texts(text, None, true)
    }

    /// Two texts as one row of tokens: a question and an answer, two sentences that are compared.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and [`Error::Argument`] where truncation of one of the two alone cannot reach its length.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<Encoding> {
        self.encode_texts(first, Some(second), true)
    }

    /// A text as tokens without the template's. Added tokens are found in it all the same.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_without_template(&self, text: &str) -> Result<Encoding> {
        self.encode_texts(text, None, false)
    }

    /// Only the ids of a text, without the template's, neither cut nor filled up; text that looks like an added token is text. The
    /// fastest way; what language models are trained on.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_ordinary(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.encode_ordinary_into(text, &mut ids)?;
        Ok(ids)
    }

    /// As [`encode_ordinary`](Self::encode_ordinary), behind what is in `ids`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); `ids` is then as before.
    pub fn encode_ordinary_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        check_length(text)?;
        let before = ids.len();
        self.pool.with(|work| {
            work.tokens.begin(std::mem::take(ids), false);
            let result = self.stretch(text, 0, false, work);
            *ids = work.tokens.take();
            result.inspect_err(|_| ids.truncate(before))
        })
    }

    /// The ids of a text with the template's, cut and filled up as set: [`encode`](Self::encode) without offsets and masks.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_ids(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text)?;
        let mut ids = self.pool.with(|work| {
            work.tokens.clear(false);
            self.text(text, work)?;
            let found = work.tokens.ids();
            let kept = match &self.truncation {
                Some(truncation) => truncation.ranges(found.len(), None, self.layout.added(false))?[0].clone(),
                None => 0..found.len(),
            };
            Ok::<_, Error>(self.layout.ids_around(&found[kept]))
        })?;
        if let Some(padding) = &self.padding {
            let length = padding.length(ids.len());
            padding.fill_ids(&mut ids, length);
        }
        Ok(ids)
    }

    /// The ids of texts with the template's, cut as set, on all cores, filled up where padding is to a fixed length.
    pub(in super::super) fn encode_ids_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        each(texts, |text| text.len(), &|text: &&str| self.encode_ids(text))
    }

    /// Texts on all cores, filled up to one length if [`Padding`](super::Padding) says so.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), with the number of the text.
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Encoding>> {
        self.encode_batch_cut(texts, self.truncation.as_ref())
    }

    /// [`encode_batch`](Self::encode_batch) with another truncation than the tokenizer's: a copy of it would have a vocabulary and caches of its own.
    pub(in super::super::super) fn encode_batch_cut<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        truncation: Option<&Truncation>,
    ) -> Result<Vec<Encoding>> {
        let work = |text: &S| text.as_ref().len();
        self.batch(texts, work, &|text: &S| self.encode_unfilled(text.as_ref(), None, true, truncation))
    }

    /// Pairs of texts on all cores, filled up to one length if [`Padding`](super::Padding) says so.
    ///
    /// # Errors
    /// As [`encode_pair`](Self::encode_pair), with the number of the pair.
    pub fn encode_pairs<A: AsRef<str> + Sync, B: AsRef<str> + Sync>(&self, pairs: &[(A, B)]) -> Result<Vec<Encoding>> {
        let work = |pair: &(A, B)| pair.0.as_ref().len() + pair.1.as_ref().len();
        self.batch(pairs, work, &|pair: &(A, B)| {
            self.encode_unfilled(pair.0.as_ref(), Some(pair.1.as_ref()), true, self.truncation.as_ref())
        })
    }

    /// The ids of texts on all cores, as [`encode_ordinary`](Self::encode_ordinary) gives them.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), with the number of the text.
    pub fn encode_ordinary_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>> {
        each(texts, |text: &S| text.as_ref().len(), &|text: &S| self.encode_ordinary(text.as_ref()))
    }

    fn batch<S: Sync>(
        &self,
        texts: &[S],
        work: impl Fn(&S) -> usize,
        encode: &(dyn Fn(&S) -> Result<Encoding> + Sync),
    ) -> Result<Vec<Encoding>> {
        let mut encodings = each(texts, work, encode)?;
        if let Some(padding) = &self.padding {
            let length = padding.length(encodings.iter().map(Encoding::len).max().unwrap_or(0));
            encodings.iter_mut().for_each(|encoding| padding.fill(encoding, length));
        }
        Ok(encodings)
    }

    fn encode_texts(&self, first: &str, second: Option<&str>, special: bool) -> Result<Encoding> {
        let mut encoding = self.encode_unfilled(first, second, special, self.truncation.as_ref())?;
        if let Some(padding) = &self.padding {
            let length = padding.length(encoding.len());
            padding.fill(&mut encoding, length);
        }
        Ok(encoding)
    }

    fn encode_unfilled(
        &self,
        first: &str,
        second: Option<&str>,
        special: bool,
        truncation: Option<&Truncation>,
    ) -> Result<Encoding> {
        check_length(first)?;
        second.map_or(Ok(()), check_length)?;
        let texts = (first, second.unwrap_or(""));
        self.pool.with(|work| {
            work.tokens.clear(true);
            self.text(first, work)?;
            let middle = work.tokens.len();
            if let Some(second) = second {
                self.text(second, work)?;
            }
            let (ids, spans) = work.tokens.ids_and_spans_mut();
            let (a, b) = ids.split_at(middle);
            let (a_spans, b_spans) = spans.split_at_mut(middle);
            let added = if special { self.layout.added(second.is_some()) } else { 0 };
            let lengths = (a.len(), second.map(|_| b.len()));
            let [first, other] = match truncation {
                Some(truncation) => truncation.ranges(lengths.0, lengths.1, added)?,
                None => [0..a.len(), 0..b.len()],
            };
            let (a, b) = (&a[first.clone()], &b[other.clone()]);
            let (a_spans, b_spans) = (&mut a_spans[first], &mut b_spans[other]);
            if let Some(prefix_space) = self.layout.trim {
                self.trim(a, a_spans, texts.0, prefix_space);
                self.trim(b, b_spans, texts.1, prefix_space);
            }
            let mut encoding = Encoding::with_capacity(a.len() + b.len() + added);
            self.layout.fill([(a, a_spans), (b, b_spans)], second.is_some(), special, &mut encoding);
            Ok(encoding)
        })
    }

    fn trim(&self, ids: &[u32], spans: &mut [Span], text: &str, prefix_space: bool) {
        for (i, (&id, span)) in ids.iter().zip(spans).enumerate() {
            // An added token is what stands in the text, with the spaces that belong to it.
            let token = match self.added_token(id) {
                Some(_) => &text[span.0 as usize..span.1 as usize],
                None => self.token(id).unwrap_or(""),
            };
            *span = template::trim(token, *span, text, i == 0, prefix_space);
        }
    }

    /// A text in which added tokens are found.
    fn text(&self, text: &str, work: &mut Work) -> Result<()> {
        self.raw.split(text, &self.added, false, |token, start, end| match token {
            Some(token) => {
                work.tokens.push(self.added[token].id, start as u32, end as u32);
                Ok(())
            }
            None => self.stretch(&text[start..end], start, true, work),
        })
    }

    /// A stretch between added tokens; those that are looked for in normalised text are still to be found, unless it is plain text.
    fn stretch(&self, text: &str, base: usize, added: bool, work: &mut Work) -> Result<()> {
        if self.normalizer.is_none() && (!added || self.normalized.is_empty()) && self.direct.is_some() {
            return self.direct(text, base, work);
        }
        let mut aligned = AlignedText::new(text, base, work.tokens.wants_spans() || self.needs_origins);
        if let Some(normalizer) = &self.normalizer {
            normalizer.apply(&mut aligned)?;
        }
        if !added || self.normalized.is_empty() {
            return self.normalized_stretch(&mut aligned, work);
        }
        let aligned = &aligned;
        self.normalized.split(aligned.as_str(), &self.added, false, |token, start, end| match token {
            Some(token) => {
                let (from, to) = aligned.origin(start, end);
                work.tokens.push(self.added[token].id, from, to);
                Ok(())
            }
            None => self.normalized_stretch(&mut aligned.slice(start, end), work),
        })
    }

    fn normalized_stretch(&self, text: &mut AlignedText<'_>, work: &mut Work) -> Result<()> {
        let Work { tokens, pieces, scratch } = work;
        let before = tokens.spans_mut().len();
        if let Some(pattern) = &self.direct {
            let all = text.as_str();
            pattern.each_piece(
                all,
                &mut Each(|start, end| self.model.encode(Piece { text: all, start, end }, scratch, tokens)),
            )?;
        } else {
            pieces.clear();
            pieces.push((0, text.as_str().len() as u32));
            if let Some(splitter) = &self.splitter {
                splitter.apply(text, pieces)?;
            }
            for &(start, end) in pieces.iter() {
                let piece = Piece { text: text.as_str(), start: start as usize, end: end as usize };
                self.model.encode(piece, scratch, tokens)?;
            }
        }
        for span in &mut tokens.spans_mut()[before..] {
            *span = text.origin(span.0 as usize, span.1 as usize);
        }
        Ok(())
    }

    /// The short way: nothing is changed, and every text is one piece after the other.
    fn direct(&self, text: &str, base: usize, work: &mut Work) -> Result<()> {
        let Work { tokens, scratch, .. } = work;
        let before = tokens.spans_mut().len();
        match (&self.direct, &self.model) {
            (Some(pattern), Model::Bpe(bpe)) => {
                let Scratch { bpe: scratch, cache, .. } = scratch;
                let caller = bpe::Caller { scratch, cache, out: &mut *tokens };
                pattern.each_piece(text, &mut Words { bpe, text, caller })?;
            }
            (Some(pattern), model) => {
                pattern.each_piece(
                    text,
                    &mut Each(|start, end| model.encode(Piece { text, start, end }, scratch, tokens)),
                )?;
            }
            (None, _) => {}
        }
        if tokens.wants_spans() {
            let text = AlignedText::new(text, base, true);
            for span in &mut tokens.spans_mut()[before..] {
                *span = text.origin(span.0 as usize, span.1 as usize);
            }
        }
        Ok(())
    }
}

/// Encodes the pieces of a text by merges.
struct Words<'t, 's> {
    bpe: &'t Bpe,
    text: &'t str,
    caller: bpe::Caller<'s>,
}

impl PieceSink for Words<'_, '_> {
    #[inline(always)]
    fn piece(&mut self, start: usize, end: usize) -> Result<()> {
        self.bpe.encode(Piece { text: self.text, start, end }, &mut self.caller)
    }

    #[inline(always)]
    fn pieces(&mut self, start: usize, beginnings: u64) -> Result<usize> {
        self.bpe.encode_window(self.text, start, beginnings, &mut self.caller)
    }
}

/// Encodes each text, on all cores. The first error by position counts.
fn each<S: Sync, R: Send>(
    texts: &[S],
    bytes: impl Fn(&S) -> usize,
    encode: &(dyn Fn(&S) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    let work = texts.iter().map(bytes).sum::<usize>().saturating_mul(WORK_PER_BYTE);
    let mut results: Vec<Option<Result<R>>> = texts.iter().map(|_| None).collect();
    parallel::rows(&mut results, 1, work, |first, part| {
        for (slot, text) in part.iter_mut().zip(&texts[first..]) {
            *slot = Some(encode(text));
        }
    });
    let name = |i: usize| format!("text {i}");
    results
        .into_iter()
        .enumerate()
        .map(|(i, result)| match result {
            Some(Ok(result)) => Ok(result),
            Some(Err(source)) => Err(Error::Input { name: name(i), source: Box::new(source) }),
            None => unreachable!("every row is visited"),
        })
        .collect()
}

fn check_length(text: &str) -> Result<()> {
    if u32::try_from(text.len()).is_ok() {
        return Ok(());
    }
    let hint = "cut it into documents first";
    Err(Error::argument("Tokenizer", "the text", "shorter than 4 GiB", format!("{} bytes", text.len()), hint))
}
