//! Samples in a new order each epoch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::range::check_range;
use crate::data::source::{Order, Source, Stretch};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// A source in another order; see [`Source::shuffle`] and [`Source::shuffle_blocks`].
///
/// The order of an epoch is made once and kept, one number for each block; in larger blocks than one, so are the last four.
#[derive(Debug)]
pub struct Shuffle<S, T = f32> {
    source: S,
    seed: u64,
    block: usize,
    /// An epoch and the order of its blocks.
    order: Mutex<Option<(usize, Arc<Vec<usize>>)>>,
    /// The blocks that were read last.
    blocks: Mutex<VecDeque<Arc<Block<T>>>>,
}

/// Consecutive samples of the source, and the order in which they are handed out.
#[derive(Debug)]
struct Block<T> {
    epoch: usize,
    number: usize,
    x: Vec<T>,
    y: Vec<T>,
    order: Vec<usize>,
}

/// Blocks that are kept: two neighbours for each of a few readers.
const KEPT: usize = 4;

/// The numbers below `n` in the order of a key.
fn permutation(key: Key, n: usize) -> Result<Vec<usize>> {
    let mut order = Vec::new();
    memory::reserve("shuffle", format_args!("the order of {n} samples"), &mut order, n)?;
    key.permutation(n, &mut order);
    Ok(order)
}

impl<T: Float, S: Source<T>> Shuffle<S, T> {
    pub(crate) fn new(source: S, seed: u64, block: usize) -> Self {
        Shuffle { source, seed, block, order: Mutex::new(None), blocks: Mutex::default() }
    }

    /// The samples of the source, and whether it can be shuffled as asked.
    fn len(&self) -> Result<usize> {
        let Some(len) = self.source.samples() else {
            let hint = "take(n) samples first, or shuffle before repeat()";
            return Err(Error::argument("shuffle", "source", "one that ends", "an endless one", hint));
        };
        if self.block == 0 {
            return Err(Error::argument("shuffle_blocks", "block", "at least 1", 0, "a few thousand is usual"));
        }
        let (x, y) = self.source.shapes();
        if let (true, Some(shape)) = (self.block > 1, [x, y].iter().find(|shape| shape.is_free())) {
            return Err(Error::shape("shuffle_blocks", "samples of one size", *shape, "use shuffle(seed)"));
        }
        Ok(len)
    }

    /// The order of `n` blocks.
    fn blocks_in_order(&self, epoch: usize, n: usize) -> Result<Arc<Vec<usize>>> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, order)) if *of == epoch => Ok(Arc::clone(order)),
            _ => {
                let order = Arc::new(permutation(self.key(epoch), n)?);
                *kept = Some((epoch, Arc::clone(&order)));
                Ok(order)
            }
        }
    }

    /// A block of `n` samples, read as a whole unless it is at hand.
    fn block(&self, epoch: usize, number: usize, n: usize) -> Result<Arc<Block<T>>> {
        let kept = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = kept().iter().find(|b| b.epoch == epoch && b.number == number) {
            return Ok(Arc::clone(block));
        }
        let (width, target) = (self.source.shapes().0.len(), self.source.shapes().1.len());
        let room = |width: usize| {
            memory::filled("shuffle", format_args!("a block of {n} samples"), n.saturating_mul(width), T::zero())
        };
        let order = permutation(self.key(epoch).with(number as u64), n)?;
        let mut block = Block { epoch, number, x: room(width)?, y: room(target)?, order };
        self.source.read(epoch, number * self.block, &mut block.x, &mut block.y)?;
        let block = Arc::new(block);
        let mut kept = kept();
        kept.truncate(KEPT - 1);
        kept.push_front(Arc::clone(&block));
        Ok(block)
    }

    fn key(&self, epoch: usize) -> Key {
        Key::new(self.seed, Purpose::Shuffle).with(epoch as u64)
    }
}

impl<T: Float, S: Source<T>> Source<T> for Shuffle<S, T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        let len = self.len()?;
        check_range("shuffle", position, 1, Some(len))?;
        let order = self.blocks_in_order(epoch, len)?;
        self.source.shapes_at(epoch, order[position], shapes)
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let (stretch, len) = (Stretch::new(self.shapes(), x.len(), y.len()), self.len()?);
        check_range("shuffle", first, stretch.n, Some(len))?;
        let order = self.blocks_in_order(epoch, len.div_ceil(self.block))?;
        if self.block == 1 {
            return stretch.each(x, y).try_for_each(|(i, x, y)| self.source.read(epoch, order[first + i], x, y));
        }
        // The last block of the source may be shorter; it stands where the order puts it, and those behind move up.
        let short = order.iter().position(|&b| b == order.len() - 1).unwrap_or(order.len());
        let missing = order.len() * self.block - len;
        let mut current: Option<Arc<Block<T>>> = None;
        stretch.each(x, y).try_for_each(|(i, x, y)| {
            let mut at = first + i;
            if at >= (short + 1) * self.block - missing {
                at += missing;
            }
            let place = at / self.block;
            let block = match &current {
                Some(block) if block.number == order[place] => block,
                _ => {
                    let n = if place == short { self.block - missing } else { self.block };
                    current.insert(self.block(epoch, order[place], n)?)
                }
            };
            let from = block.order[at % self.block];
            x.copy_from_slice(&block.x[from * stretch.width..][..stretch.width]);
            y.copy_from_slice(&block.y[from * stretch.target..][..stretch.target]);
            Ok(())
        })
    }

    fn order(&self) -> Order {
        Order::Shuffled
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.len().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::FromFn;

    fn positions(n: usize, block: usize, epoch: usize) -> Vec<usize> {
        let source = FromFn::new([1], [1], Some(n), |_, i, x: &mut [f64], _: &mut [f64]| {
            x[0] = i as f64;
            Ok(())
        });
        let shuffled = Shuffle::new(source.unwrap(), 3, block);
        let (mut x, mut y) = (vec![0.0; n], vec![0.0; n]);
        shuffled.read(epoch, 0, &mut x, &mut y).unwrap();
        // The same one by one.
        for (i, &value) in x.iter().enumerate() {
            let mut one = [0.0];
            shuffled.read(epoch, i, &mut one, &mut [0.0]).unwrap();
            assert_eq!(one[0], value);
        }
        x.into_iter().map(|v| v as usize).collect()
    }

    #[test]
    fn every_sample_once() {
        for n in [1, 2, 7, 64, 100] {
            for block in [1, 2, 7, 100, 1000] {
                let mut order = positions(n, block, 0);
                assert!(n < 10 || order != positions(n, block, 1));
                order.sort_unstable();
                assert_eq!(order, (0..n).collect::<Vec<_>>(), "{n} in blocks of {block}");
            }
        }
        // Blocks stay together.
        let order = positions(100, 10, 0);
        assert!(order.chunks(10).all(|c| c.iter().all(|p| p / 10 == c[0] / 10)));
    }

    #[test]
    fn impossible_settings() {
        let endless = || FromFn::new([1], [1], None, |_, _, _: &mut [f32], _: &mut [f32]| Ok(())).unwrap();
        assert!(endless().shuffle(0).read(0, 0, &mut [0.0], &mut [0.0]).is_err());
        assert!(endless().take(3).shuffle_blocks(0, 0).read(0, 0, &mut [0.0], &mut [0.0]).is_err());
        assert!(endless().take(3).shuffle(0).read(0, 2, &mut [0.0], &mut [0.0]).is_ok());
        assert!(endless().take(3).shuffle(0).read(0, 3, &mut [0.0], &mut [0.0]).is_err());
    }
}
