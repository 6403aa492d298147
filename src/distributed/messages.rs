//! What ranks do together, made of exchanges.

use std::ops::Range;

use super::tree::{add_pieces, roots, shards_of};
use super::world::{Received, Sent, World};
use crate::error::Result;
use crate::kernels::bytes::{self, Plain};
use crate::kernels::float::Float;
use crate::kernels::parallel;

/// Values that go through an exchange together: large enough that a message's own time is nothing beside its bytes, small enough that what
/// a rank receives takes little room.
const BUCKET: usize = 1 << 20;

/// The values of a bucket that each of many ranks adds up, at least.
const PIECE: usize = 1 << 14;

/// Hands the bytes of rank 0 to all, along a binomial tree; all know the length.
#[cfg(feature = "files")]
pub(crate) fn broadcast(world: &dyn World, what: &'static str, bytes: &mut [u8]) -> Result<()> {
    let (rank, size) = (world.rank(), world.size());
    // In round k, the 2ᵏ ranks that have them hand them to as many more.
    let mut have = 1;
    while have < size {
        if rank < have && rank + have < size {
            world.exchange(what, &[(rank + have, bytes)], &mut [])?;
        } else if rank >= have && rank < 2 * have {
            world.exchange(what, &[], &mut [(rank - have, &mut *bytes)])?;
        }
        have *= 2;
    }
    Ok(())
}

/// Hands the numbers of rank 0 to all; all know how many.
#[cfg(feature = "files")]
pub(crate) fn broadcast_numbers<T: Plain>(world: &dyn World, what: &'static str, numbers: &mut [T]) -> Result<()> {
    broadcast(world, what, bytes::of_mut(numbers))
}

/// Hands bytes of a length that rank 0 alone knows to all.
#[cfg(feature = "files")]
pub(crate) fn broadcast_any(world: &dyn World, what: &'static str, own: Option<Vec<u8>>) -> Result<Vec<u8>> {
    let mut len = own.as_ref().map_or(0, |own| own.len() as u64).to_le_bytes();
    broadcast(world, what, &mut len)?;
    let mut bytes = match own.filter(|_| world.rank() == 0) {
        Some(own) => own,
        None => vec![0; usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX)],
    };
    broadcast(world, what, &mut bytes)?;
    Ok(bytes)
}

/// Cuts bytes into the stretches of all ranks, which ascend.
fn cut(bytes: &mut [u8], ranks: usize, stretch: impl Fn(usize) -> Range<usize>) -> impl Iterator<Item = Received<'_>> {
    let (mut rest, mut from) = (bytes, 0);
    (0..ranks).map(move |rank| {
        let Range { start, end } = stretch(rank);
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(end - from);
        let own = &mut head[start - from..];
        (rest, from) = (tail, end);
        (rank, own)
    })
}

/// Fills `all`, a stretch of bytes for each rank, from the stretch that each has filled.
pub(crate) fn all_gather(
    world: &dyn World,
    what: &'static str,
    all: &mut [u8],
    stretch: impl Fn(usize) -> Range<usize>,
) -> Result<()> {
    let (rank, ranks) = (world.rank(), world.size());
    if ranks == 1 {
        return Ok(());
    }
    let mut receives: Vec<Received<'_>> = cut(all, ranks, stretch).collect();
    let (_, own) = receives.remove(rank);
    let own = &*own;
    let sends: Vec<Sent<'_>> = receives.iter().map(|(other, _)| (*other, own)).collect();
    world.exchange(what, &sends, &mut receives)
}

/// [`all_gather`] of numbers.
pub(crate) fn all_gather_numbers<T: Plain>(
    world: &dyn World,
    what: &'static str,
    all: &mut [T],
    stretch: impl Fn(usize) -> Range<usize>,
) -> Result<()> {
    all_gather(world, what, bytes::of_mut(all), |rank| times_size(stretch(rank), size_of::<T>()))
}

/// Where values of so many bytes each lie, in bytes.
pub(crate) fn times_size(Range { start, end }: Range<usize>, size: usize) -> Range<usize> {
    start * size..end * size
}

/// Whether any rank says yes.
pub(crate) fn any(world: &dyn World, what: &'static str, own: bool) -> Result<bool> {
    let mut all = vec![0; world.size()];
    all[world.rank()] = u8::from(own);
    all_gather(world, what, &mut all, |rank| rank..rank + 1)?;
    Ok(all.iter().any(|yes| *yes != 0))
}

/// Hands the stretches of all ranks to rank 0, which has room for all of them and its own in its place; others have their own alone.
#[cfg(feature = "files")]
pub(crate) fn gather(
    world: &dyn World,
    what: &'static str,
    bytes: &mut [u8],
    stretch: impl Fn(usize) -> Range<usize>,
) -> Result<()> {
    if world.rank() > 0 {
        return world.exchange(what, &[(0, bytes)], &mut []);
    }
    let mut receives: Vec<Received<'_>> = cut(bytes, world.size(), stretch).skip(1).collect();
    world.exchange(what, &[], &mut receives)
}

/// The room in which sums over ranks are taken.
#[derive(Debug, Default)]
pub(crate) struct Sums<T> {
    /// What came from other ranks, one piece for each of their roots.
    received: Vec<T>,
    /// What of several ranges goes through an exchange together, of one buffer after the other.
    packed: Vec<T>,
    /// The roots of every rank.
    roots: Vec<Vec<Range<usize>>>,
    shards: usize,
}

impl<T: Float> Sums<T> {
    pub fn new(ranks: usize, shards: usize) -> Self {
        let roots = (0..ranks).map(|rank| roots(&shards_of(rank, ranks, shards), shards)).collect();
        Sums { received: Vec::new(), packed: Vec::new(), roots, shards }
    }

    /// The roots of a rank.
    pub fn roots(&self, rank: usize) -> &[Range<usize>] {
        &self.roots[rank]
    }

    /// Adds up what all ranks have at their roots in some ranges of buffers of one length, in the order of the tree, and leaves the sum in the first
    /// of them on every rank. Several ranges are copied together and go as one; no sum depends on it.
    pub fn all_reduce(&mut self, world: &dyn World, buffers: &mut [&mut [T]], ranges: &[Range<usize>]) -> Result<()> {
        if let [stretch] = ranges {
            return self.reduce_stretch(world, buffers, stretch.clone());
        }
        let len = ranges.iter().map(Range::len).sum::<usize>();
        if len == 0 {
            return Ok(());
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        for buffer in &*buffers {
            ranges.iter().for_each(|range| packed.extend_from_slice(&buffer[range.clone()]));
        }
        let mut all: Vec<&mut [T]> = packed.chunks_exact_mut(len).collect();
        let reduced = self.reduce_stretch(world, &mut all, 0..len);
        if let Some(first) = buffers.first_mut() {
            let mut sums = &packed[..];
            for range in ranges {
                let (own, rest) = sums.split_at(range.len());
                first[range.clone()].copy_from_slice(own);
                sums = rest;
            }
        }
        self.packed = packed;
        reduced
    }

    /// [`all_reduce`](Self::all_reduce) of one range. All to all, and all to all again: each rank adds up a part and hands the sum to the others.
    fn reduce_stretch(&mut self, world: &dyn World, buffers: &mut [&mut [T]], stretch: Range<usize>) -> Result<()> {
        let (rank, ranks) = (world.rank(), world.size());
        if ranks == 1 && buffers.len() == 1 {
            return Ok(());
        }
        let most = BUCKET.max(ranks.saturating_mul(PIECE));
        for start in stretch.clone().step_by(most) {
            let bucket = start..(start + most).min(stretch.end);
            let piece = |rank: usize| {
                let own = shards_of(rank, ranks, bucket.len());
                bucket.start + own.start..bucket.start + own.end
            };
            let own = piece(rank);
            if ranks > 1 {
                let others = (0..ranks).filter(|&other| other != rank);
                let from_others: usize = others.clone().map(|other| self.roots[other].len()).sum();
                if self.received.len() < from_others * own.len() {
                    self.received.resize(from_others * own.len(), T::zero());
                }
                let sends = others.clone().flat_map(|other| {
                    let piece = piece(other);
                    buffers.iter().map(move |buffer| (other, bytes::of(&buffer[piece.clone()])))
                });
                let sends: Vec<Sent<'_>> = sends.collect();
                let mut places = self.received.chunks_exact_mut(own.len().max(1));
                let receives = others.flat_map(|other| self.roots[other].iter().map(move |_| other));
                let mut receives: Vec<Received<'_>> = match own.is_empty() {
                    true => receives.map(|other| (other, &mut [][..])).collect(),
                    false => receives.zip(&mut places).map(|(other, place)| (other, bytes::of_mut(place))).collect(),
                };
                world.exchange("gradients", &sends, &mut receives)?;
            }
            if !own.is_empty() {
                self.add_up(rank, buffers, own);
            }
            if let (true, Some(first)) = (ranks > 1, buffers.first_mut()) {
                all_gather_numbers(world, "sums of gradients", first, piece)?;
            }
        }
        Ok(())
    }

    /// Adds up one stretch of all buffers, those of others from what was received.
    fn add_up(&mut self, rank: usize, buffers: &mut [&mut [T]], own: Range<usize>) {
        let mut places = self.received.chunks_exact_mut(own.len());
        let mut mine = buffers.iter_mut().map(|buffer| &mut buffer[own.clone()]);
        let mut pieces: Vec<(Range<usize>, &mut [T])> = Vec::with_capacity(self.roots.iter().map(Vec::len).sum());
        for (other, roots) in self.roots.iter().enumerate() {
            for root in roots {
                let piece = if other == rank { mine.next() } else { places.next() };
                pieces.extend(piece.map(|piece| (root.clone(), piece)));
            }
        }
        add_pieces(&(0..self.shards), &mut pieces, &mut |a, b| add(a, b));
        // The first buffer of this rank is where the sum is to be; that of rank 0 is where it is.
        let before: usize = self.roots[..rank].iter().map(Vec::len).sum();
        if let Some(((_, sum), others)) = pieces.split_first_mut()
            && let Some((_, place)) = before.checked_sub(1).and_then(|at| others.get_mut(at))
        {
            place.copy_from_slice(sum);
        }
    }
}

/// Multiplies a buffer by a number.
pub(crate) fn times<T: Float>(values: &mut [T], by: T) {
    if by != T::one() {
        parallel::rows(values, 1, 1, |_, values| values.iter_mut().for_each(|v| *v *= by));
    }
}

/// Adds a second buffer to a first.
pub(crate) fn add<T: Float>(to: &mut [T], from: &[T]) {
    parallel::rows(to, 1, 1, |first, to| {
        let from = &from[first..first + to.len()];
        to.iter_mut().zip(from).for_each(|(a, b)| *a += *b);
    });
}

#[cfg(test)]
mod tests {
    use super::super::Threads;
    use super::*;

    #[test]
    #[cfg(feature = "files")]
    fn everyone_has_what_rank_0_had() {
        for size in 1..8 {
            let all = Threads::run(size, |world| {
                let own = (world.rank() == 0).then(|| b"gradus".to_vec());
                broadcast_any(world, "a word", own).unwrap()
            });
            assert!(all.iter().all(|word| word == b"gradus"), "{size}");
        }
    }

    #[test]
    fn sums_have_the_bits_of_one_rank() {
        let value = |shard: usize, i: usize| ((shard * 31 + i * 17) % 101) as f32 / 7.0;
        for shards in [1, 2, 5, 12] {
            let all = |ranks: usize, together: bool| {
                Threads::run(ranks, |world| {
                    let mut sums = Sums::<f32>::new(ranks, shards);
                    let of_node = |root: &Range<usize>| {
                        let mut buffers = vec![vec![0.0f32; 37]; super::super::tree::buffers(root)];
                        let leaf = &mut |shard: usize, out: &mut Vec<f32>| -> Result<()> {
                            out.iter_mut().enumerate().for_each(|(i, v)| *v = value(shard, i));
                            Ok(())
                        };
                        super::super::tree::add_up(root, &mut buffers, leaf, &mut |a, b| add(a, b)).unwrap();
                        buffers.swap_remove(0)
                    };
                    let mut own: Vec<Vec<f32>> = sums.roots(world.rank()).to_vec().iter().map(of_node).collect();
                    // A rank without shards has room for the sum.
                    own.resize_with(own.len().max(1), || vec![0.0; 37]);
                    let mut slices: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
                    match together {
                        true => sums.all_reduce(world, &mut slices, std::slice::from_ref(&(0..37))).unwrap(),
                        false => {
                            // Some of the values, in two turns.
                            sums.all_reduce(world, &mut slices, &[0..2, 3..4, 20..37]).unwrap();
                            sums.all_reduce(world, &mut slices, &[2..3, 4..20]).unwrap();
                        }
                    }
                    times(slices[0], 0.5);
                    own.swap_remove(0)
                })
            };
            let one = all(1, true).swap_remove(0);
            assert_eq!(one[3], (0..shards).map(|shard| value(shard, 3)).sum::<f32>() * 0.5);
            for ranks in 1..=shards {
                for together in [true, false] {
                    let sums = all(ranks, together);
                    sums.iter().for_each(|sum| assert_eq!(sum, &one, "{shards} shards on {ranks}, {together}"));
                }
            }
        }
    }
}
