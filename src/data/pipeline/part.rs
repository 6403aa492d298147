//! Some of the samples.

use crate::data::range::check_range;
use crate::data::source::{Order, Source, Stretch};
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

    /// An error where the samples left out would come up in an epoch's part, or the other way round.
    fn keeps_apart<T: Float>(&self) -> Result<()>
    where
        S: Source<T>,
    {
        let (n, order) = (self.source.samples(), self.source.order());
        let all = self.first == 0 && self.most.is_none_or(|most| n.is_some_and(|n| most >= n));
        // The beginning of a repetition is some rounds of it.
        if all || (order == Order::Repeated && self.first == 0 && n.is_none()) {
            return Ok(());
        }
        order.keeps_apart(if self.most.is_some() { "take" } else { "skip" })
    }
}

impl<T: Float, S: Source<T>> Source<T> for Part<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        self.keeps_apart::<T>()?;
        check_range("Part", position, 1, self.samples())?;
        self.source.shapes_at(epoch, self.first.saturating_add(position), shapes)
    }

    fn samples(&self) -> Option<usize> {
        let left = self.source.samples().map(|n| n.saturating_sub(self.first));
        match (left, self.most) {
            (Some(left), Some(most)) => Some(left.min(most)),
            (left, most) => left.or(most),
        }
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.keeps_apart::<T>()?;
        let n = Stretch::new(self.shapes(), x.len(), y.len()).n;
        check_range("Part", first, n, self.samples())?;
        self.source.read(epoch, self.first.saturating_add(first), x, y)
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        self.keeps_apart::<T>()?;
        check_range("Part", first, y.len().div_ceil(self.shapes().1.len().max(1)), self.samples())?;
        self.source.read_targets(self.first.saturating_add(first), y)
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.keeps_apart::<T>()
    }
}
