//! Tokens as models write them.

use super::super::aligned_text::Span;

/// A part of a text, from byte to byte.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Piece<'t> {
    pub text: &'t str,
    pub start: usize,
    pub end: usize,
}

impl<'t> Piece<'t> {
    pub(in super::super) fn as_str(self) -> &'t str {
        &self.text[self.start..self.end]
    }

    #[inline(always)]
    pub(in super::super) fn as_bytes(self) -> &'t [u8] {
        &self.text.as_bytes()[self.start..self.end]
    }
}

/// Tokens as models write them: ids, and where asked for the bytes of the text that each stands for.
#[derive(Debug, Default)]
pub(in super::super) struct Tokens {
    /// Ids up to `used`; what is behind is room, so that a few can be written without a look at each.
    pub(super) ids: Vec<u32>,
    pub(super) used: usize,
    pub(super) spans: Vec<Span>,
    pub(super) wants_spans: bool,
}

/// How many ids are written at once, at most.
const AT_ONCE: usize = 4;
/// For how many ids there is room at once.
pub(super) const ROOM: usize = 128;

impl Tokens {
    /// Begins anew, behind what is in `ids`.
    pub(in super::super) fn begin(&mut self, ids: Vec<u32>, wants_spans: bool) {
        self.used = ids.len();
        (self.ids, self.wants_spans) = (ids, wants_spans);
        self.spans.clear();
    }

    /// Begins anew.
    pub(in super::super) fn clear(&mut self, wants_spans: bool) {
        self.used = 0;
        self.wants_spans = wants_spans;
        self.spans.clear();
    }

    /// The ids, with what `begin` was given.
    pub(in super::super) fn take(&mut self) -> Vec<u32> {
        self.ids.truncate(self.used);
        self.used = 0;
        std::mem::take(&mut self.ids)
    }

    pub(in super::super) fn len(&self) -> usize {
        self.used
    }

    pub(in super::super) fn wants_spans(&self) -> bool {
        self.wants_spans
    }

    pub(in super::super) fn ids(&self) -> &[u32] {
        &self.ids[..self.used]
    }

    pub(in super::super) fn spans_mut(&mut self) -> &mut [Span] {
        &mut self.spans
    }

    pub(in super::super) fn ids_and_spans_mut(&mut self) -> (&[u32], &mut [Span]) {
        (&self.ids[..self.used], &mut self.spans)
    }

    #[inline(always)]
    pub(in super::super) fn push(&mut self, id: u32, start: u32, end: u32) {
        self.push_some([id, 0, 0, 0], 1);
        if self.wants_spans {
            self.spans.push((start, end));
        }
    }

    /// Tokens with where they begin and end in a piece that begins at `start`.
    pub(super) fn push_found(&mut self, found: &[(u32, u32, u32)], start: usize) {
        for &(id, from, to) in found {
            self.push(id, start as u32 + from, start as u32 + to);
        }
    }

    /// The first of four ids, without spans.
    #[inline(always)]
    pub(super) fn push_some(&mut self, ids: [u32; AT_ONCE], count: usize) {
        if self.used + AT_ONCE > self.ids.len() {
            self.grow();
        }
        self.ids[self.used..self.used + AT_ONCE].copy_from_slice(&ids);
        self.used += count;
    }

    /// Room for ids of which [`take_up`](Self::take_up) then says how many came.
    #[inline(always)]
    pub(super) fn room(&mut self) -> &mut [u32; ROOM] {
        if self.used + ROOM > self.ids.len() {
            self.grow();
        }
        self.ids[self.used..].first_chunk_mut().expect("there is room")
    }

    /// So many, which begin at a byte of the text and stand for as many bytes each as `lengths` says.
    #[inline(always)]
    pub(super) fn take_up(&mut self, count: usize, start: usize, lengths: &[u32]) {
        let new = &self.ids[self.used..self.used + count];
        self.used += count;
        if self.wants_spans {
            let mut at = start as u32;
            self.spans.extend(new.iter().map(|&id| {
                let begins = at;
                at += lengths[id as usize];
                (begins, at)
            }));
        }
    }

    #[inline(never)]
    fn grow(&mut self) {
        self.ids.resize(self.used + self.used / 2 + 2 * ROOM, 0);
    }

    /// Takes back all but so many.
    pub(super) fn truncate(&mut self, tokens: usize) {
        let gone = self.used - tokens;
        self.used = tokens;
        self.spans.truncate(self.spans.len().saturating_sub(gone));
    }

    /// Makes one of the last so many and the one before them.
    pub(super) fn join(&mut self, at: usize) {
        self.ids.copy_within(at + 1..self.used, at);
        self.used -= 1;
        if self.wants_spans {
            // One an id, since the beginning of the text.
            let span = self.spans.remove(at);
            self.spans[at - 1].1 = span.1;
        }
    }
}
