//! A source without end.

use crate::data::source::{Order, Source, Stretch};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// A source that begins again when it ends; see [`Source::repeat`].
#[derive(Clone, Debug)]
pub struct Repeat<S> {
    source: S,
}

impl<S> Repeat<S> {
    pub(crate) fn new(source: S) -> Self {
        Repeat { source }
    }
}

impl<T: Float, S: Source<T>> Source<T> for Repeat<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        match self.source.samples().filter(|&n| n > 0) {
            Some(len) => self.source.shapes_at(epoch.wrapping_add(position / len), position % len, shapes),
            None => self.source.shapes_at(epoch, position, shapes),
        }
    }

    fn samples(&self) -> Option<usize> {
        // Without samples there is nothing to repeat.
        self.source.samples().filter(|&n| n == 0)
    }

    fn read(&self, epoch: usize, mut first: usize, mut x: &mut [T], mut y: &mut [T]) -> Result<()> {
        let Some(len) = self.source.samples().filter(|&n| n > 0) else {
            return self.source.read(epoch, first, x, y);
        };
        let Stretch { n: mut left, width, target } = Stretch::new(self.shapes(), x.len(), y.len());
        while left > 0 {
            let (round, at) = (first / len, first % len);
            let n = (len - at).min(left);
            let head = x.split_off_mut(..n * width).unwrap_or_default();
            let target_head = y.split_off_mut(..n * target).unwrap_or_default();
            self.source.read(epoch.wrapping_add(round), at, head, target_head)?;
            (first, left) = (first.saturating_add(n), left - n);
        }
        Ok(())
    }

    fn order(&self) -> Order {
        match (self.source.order(), self.source.samples()) {
            // What has no end is not repeated.
            (Order::Fixed, Some(_)) => Order::Repeated,
            (order, _) => order,
        }
    }

    fn check(&self) -> Result<()> {
        self.source.check()
    }
}
