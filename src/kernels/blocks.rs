//! Sums over many items (images, rows) that no number of threads changes: the items are cut into blocks whose number depends on
//! sizes only, a block is summed in order by one thread, and the blocks' sums are added in order.
//!
//! Several processes that share a batch can go by the same rule.

use std::ops::Range;

use super::float::Float;
use super::parallel::{self, ChunksMut, PerThread};

/// How items are cut: `count` blocks of `each` items, the last one perhaps of fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    items: usize,
    /// Items a block.
    pub each: usize,
    /// The number of blocks.
    pub count: usize,
}

impl Blocks {
    /// At most `limit` blocks, of a multiple of `step` items each.
    pub fn of(items: usize, limit: usize, step: usize) -> Self {
        let each = items.div_ceil(limit.max(1)).max(1).next_multiple_of(step);
        Blocks { items, each, count: items.div_ceil(each) }
    }

    /// The items of block `i`.
    pub fn items(&self, i: usize) -> Range<usize> {
        i * self.each..((i + 1) * self.each).min(self.items)
    }
}

/// What belongs to a block: its items' values of dy, of dx (to be overwritten; may be empty), its sums, and its thread's space.
pub struct Block<'a, T> {
    /// The first item.
    pub first: usize,
    pub dy: &'a mut [T],
    pub dx: &'a mut [T],
    pub sums: &'a mut [T],
    pub space: &'a mut [T],
}

/// Calls `f` for every block, blocks in `parts` parts at the same time. `dy` and `dx` come with their values an item, `sums` with
/// those a block, `space` with those a part; `dx` may be empty.
pub fn each_block<T: Float>(
    blocks: Blocks,
    parts: usize,
    (dy, dy_item): (&mut [T], usize),
    (dx, dx_item): (&mut [T], usize),
    (sums, sum): (&mut [T], usize),
    (space, part): (&mut [T], usize),
    f: impl Fn(Block<'_, T>) + Sync,
) {
    let (dy_block, dx_block) = (blocks.each * dy_item, if dx.is_empty() { 0 } else { blocks.each * dx_item });
    let cut = (
        ChunksMut(dy, dy_block),
        ChunksMut(&mut sums[..blocks.count * sum], sum),
        ChunksMut(dx, dx_block),
        PerThread(space, part),
    );
    parallel::par_chunks(0..blocks.count, parts, cut, &|range, (dy, sums, dx, space)| {
        let mut rest = dx.0;
        for ((i, dy), sums) in range.zip(dy.0.chunks_mut(dy_block)).zip(sums.0.chunks_exact_mut(sum)) {
            // The last block may have fewer items.
            let dx = rest.split_off_mut(..dx_block.min(rest.len())).unwrap_or_default();
            f(Block { first: i * blocks.each, dy, dx, sums, space: &mut *space.0 });
        }
    });
}

/// Adds blocks' sums, of `sum` values each, in order: the weights' stand first, and the first of them overwrites unless `add`; the
/// bias's stand last. Either may be empty, where it is not wanted.
pub fn add_in_order<T: Float>(sums: &[T], sum: usize, weights: &mut [T], add: bool, bias: &mut [T]) {
    parallel::rows(weights, 1, sums.len() / sum.max(1), |first, dw| {
        let n = dw.len();
        for (i, sums) in sums.chunks_exact(sum).enumerate() {
            let sums = &sums[first..first + n];
            if i == 0 && !add {
                dw.copy_from_slice(sums);
            } else {
                dw.iter_mut().zip(sums).for_each(|(w, s)| *w += *s);
            }
        }
    });
    let before = sum - bias.len();
    for sums in sums.chunks_exact(sum) {
        bias.iter_mut().zip(&sums[before..]).for_each(|(b, s)| *b += *s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_in_one_block() {
        for (items, limit, step) in [(0, 16, 1), (1, 16, 1), (33, 16, 1), (64, 8, 1), (1000, 16, 64), (7, 16, 64)] {
            let blocks = Blocks::of(items, limit, step);
            assert!(blocks.count <= limit && blocks.each.is_multiple_of(step));
            let all: Vec<usize> = (0..blocks.count).flat_map(|i| blocks.items(i)).collect();
            assert_eq!(all, (0..items).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_block_has_what_belongs_to_it() {
        // Seven images of two values in blocks of two, with one value of dx an image.
        let blocks = Blocks::of(7, 4, 1);
        for parts in 1..=4 {
            let mut dy: Vec<f64> = (0..14).map(f64::from).collect();
            let (mut dx, mut sums, mut space) = (vec![9.0; 7], vec![9.0; 4], vec![0.0; 4]);
            each_block(blocks, parts, (&mut dy, 2), (&mut dx, 1), (&mut sums, 1), (&mut space, 1), |block| {
                assert_eq!(block.dy[0], 2.0 * block.first as f64);
                assert_eq!(block.dx, vec![9.0; block.dy.len() / 2]);
                block.sums[0] = block.dy.iter().sum();
                block.dx.fill(block.sums[0]);
            });
            assert_eq!(sums, [6.0, 22.0, 38.0, 25.0]);
            assert_eq!(dx, [6.0, 6.0, 22.0, 22.0, 38.0, 38.0, 25.0]);
        }
    }
}
