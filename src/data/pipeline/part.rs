//! Some of the samples.

use crate::data::samples::check_range;
use crate::data::source::{Source, widths};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// A stretch of a source; see [`Source::take`] and [`Source::skip`].
#[derive(Clone, Debug)]
pub struct Part<S> {
    source: S,
    first: usize,
    most: Option<usize>,
}

impl<S> Part<S> {
    pub(crate) fn new(source: S, first: usize, most: Option<usize>) -> Self {
        Part { source, first, most }
    }
}

impl<T: Float, S: Source<T>> Source<T> for Part<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn samples(&self) -> Option<usize> {
        let left = self.source.samples().map(|n| n.saturating_sub(self.first));
        match (left, self.most) {
            (Some(left), Some(most)) => Some(left.min(most)),
            (left, most) => left.or(most),
        }
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let n = x.len() / widths(self.shapes()).0.max(1);
        check_range("Part", first, n, self.samples())?;
        self.source.read(epoch, self.first.saturating_add(first), x, y)
    }
}
