//! Tokens as models write them.

use super::super::aligned_text::Span;

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

    /// The first of four ids, without spans.
    #[inline(always)]
    pub(super) fn push_some(&mut self, ids: [u32; AT_ONCE], count: usize) {
        if self.used + AT_ONCE > self.ids.len() {
            self.grow();
        }
        self.ids[self.used..self.used + AT_ONCE].copy_from_slice(&ids);
        self.used += count;
    }

    #[inline(never)]
    fn grow(&mut self) {
        self.ids.resize(self.used + self.used / 2 + 256, 0);
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
