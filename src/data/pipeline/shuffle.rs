//! Samples in a new order each epoch.

use std::sync::{Arc, Mutex, PoisonError};

use crate::data::samples::check_range;
use crate::data::source::{Source, each, widths};
use crate::error::{Error, Result};
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// A source in another order; see [`Source::shuffle`] and [`Source::shuffle_blocks`].
///
/// The order of an epoch is made once and kept, one number for each block.
#[derive(Debug)]
pub struct Shuffle<S> {
    source: S,
    seed: u64,
    block: usize,
    /// An epoch and the order of its blocks.
    order: Mutex<Option<(usize, Arc<Vec<usize>>)>>,
}

impl<S> Shuffle<S> {
    pub(crate) fn new(source: S, seed: u64, block: usize) -> Self {
        Shuffle { source, seed, block, order: Mutex::new(None) }
    }

    /// The order of `n` blocks.
    fn order(&self, epoch: usize, n: usize) -> Arc<Vec<usize>> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, order)) if *of == epoch => Arc::clone(order),
            _ => {
                let mut order = Vec::new();
                self.key(epoch).permutation(n, &mut order);
                let order = Arc::new(order);
                *kept = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }

    fn key(&self, epoch: usize) -> Key {
        Key::new(self.seed, Purpose::Shuffle).with(epoch as u64)
    }
}

impl<T: Float, S: Source<T>> Source<T> for Shuffle<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let width = widths(self.shapes());
        let Some(len) = self.source.samples() else {
            let hint = "take(n) samples first, or shuffle before repeat()";
            return Err(Error::argument("shuffle", "source", "one that ends", "an endless one", hint));
        };
        if self.block == 0 {
            return Err(Error::argument("shuffle_blocks", "block", "at least 1", 0, "a few thousand is usual"));
        }
        check_range("shuffle", first, x.len() / width.0, Some(len))?;
        let order = self.order(epoch, len.div_ceil(self.block));
        if self.block == 1 {
            return each(width, x, y).try_for_each(|(i, x, y)| self.source.read(epoch, order[first + i], x, y));
        }
        // The last block of the source may be shorter; it stands where the order puts it, and those behind move up.
        let short = order.iter().position(|&b| b == order.len() - 1).unwrap_or(order.len());
        let missing = order.len() * self.block - len;
        let (mut within, mut current) = (Vec::new(), usize::MAX);
        each(width, x, y).try_for_each(|(i, x, y)| {
            let mut at = first + i;
            if at >= (short + 1) * self.block - missing {
                at += missing;
            }
            let place = at / self.block;
            let block = order[place];
            if block != current {
                let n = if place == short { self.block - missing } else { self.block };
                self.key(epoch).with(block as u64).permutation(n, &mut within);
                current = block;
            }
            self.source.read(epoch, block * self.block + within[at % self.block], x, y)
        })
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
