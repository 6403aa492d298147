//! The way back through a net, cut where the gradients of more weights are complete.

use std::ops::Range;

use super::net::Net;
use crate::params::Params;
use crate::tensor::Float;

/// Nodes that go back together, and the gradients that are complete after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub nodes: Range<usize>,
    /// A stretch of the flat buffer; that of the first stage ends with it, each further one before the last.
    pub values: Range<usize>,
    /// What of the stretch is trained, by what goes to other ranks together.
    pub parcels: Vec<Parcel>,
}

/// Ranges of the flat buffer that go together, in their order: a long one, or several short ones.
pub(crate) type Parcel = Vec<Range<usize>>;

impl<T: Float> Net<T> {
    /// The stages of the way back, from the last nodes to the first, each with `least` trained values, but for the last one. Ranges of less than
    /// `long` values share parcels of so many at most, so that there are about as many parcels as the trained values need, wherever they lie.
    pub(crate) fn stages(&self, params: &Params<T>, least: usize, long: usize) -> Vec<Stage> {
        let trained: Vec<Range<usize>> = trained(params);
        // A weight is complete after the first node that has it.
        let mut first = vec![0; params.specs().len()];
        for (i, node) in self.nodes.iter().enumerate().rev() {
            for id in &node.params {
                first.get_mut(id.0 as usize).into_iter().for_each(|first| *first = i);
            }
        }
        let mut ends = vec![0; self.nodes.len().max(1)];
        for (spec, first) in params.specs().iter().zip(first).filter(|(spec, _)| spec.trainable) {
            ends[first] = ends[first].max(spec.range.end);
        }
        let mut stages: Vec<Stage> = Vec::new();
        let (mut last, mut end) = (self.nodes.len(), params.len());
        for i in (0..self.nodes.len().max(1)).rev() {
            let from = ends[..i].iter().copied().max().unwrap_or(0);
            let within = cut(&trained, from..end);
            if i == 0 || within.iter().map(Range::len).sum::<usize>() >= least {
                stages.push(Stage { nodes: i..last, values: from..end, parcels: parcels(within, long) });
                (last, end) = (i, from);
            }
        }
        stages
    }
}

/// Where the trained weights stand.
fn trained<T: Float>(params: &Params<T>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for spec in params.specs().iter().filter(|spec| spec.trainable && !spec.range.is_empty()) {
        match all.last_mut() {
            Some(last) if spec.range.start == last.end => last.end = spec.range.end,
            _ => all.push(spec.range.clone()),
        }
    }
    all
}

/// What of some ranges lies within one.
fn cut(ranges: &[Range<usize>], within: Range<usize>) -> Vec<Range<usize>> {
    let cut = |range: &Range<usize>| range.start.max(within.start)..range.end.min(within.end);
    ranges.iter().map(cut).filter(|range| !range.is_empty()).collect()
}

/// Ranges by what goes together.
fn parcels(ranges: Vec<Range<usize>>, long: usize) -> Vec<Parcel> {
    let mut all: Vec<Parcel> = Vec::new();
    // The parcel to which short ranges are still added, and its values.
    let (mut open, mut held) = (None, 0);
    for range in ranges {
        let len = range.len();
        match open.and_then(|at: usize| all.get_mut(at)) {
            Some(parcel) if len < long && held + len <= long => {
                parcel.push(range);
                held += len;
            }
            _ => {
                if len < long {
                    (open, held) = (Some(all.len()), len);
                }
                all.push(vec![range]);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn stages(trainable: [bool; 3], tied: bool, least: usize) -> Vec<Stage> {
        let mut g = Graph::new();
        let x = g.input("x", [100]);
        let shared = g.shared("twice", Dense::new(100));
        let a = match tied {
            true => g.apply(&shared, x),
            false => g.add(Dense::new(100), x),
        };
        let h = g.add(Dense::new(100), a);
        let h = match tied {
            true => g.apply(&shared, h),
            false => g.add(Dense::new(100), h),
        };
        let y = g.add(Dense::new(1), h);
        let (net, mut params) = g.build_net::<f32>(&[y], 0).unwrap();
        for (spec, trainable) in params.specs_mut().chunks_mut(2).zip(trainable) {
            spec.iter_mut().for_each(|spec| spec.trainable = trainable);
        }
        net.stages(&params, least, 5000)
    }

    #[test]
    fn stretches_are_complete_after_their_nodes() {
        let layer = 10_100;
        let of =
            |nodes: Range<usize>, values: Range<usize>| Stage { parcels: vec![vec![values.clone()]], nodes, values };
        let end = 3 * layer + 101;
        let expected = [of(2..4, 2 * layer..end), of(1..2, layer..2 * layer), of(0..1, 0..layer)];
        assert_eq!(stages([true; 3], false, 102), expected);
        assert_eq!(stages([true; 3], false, 1)[0], of(3..4, 3 * layer..end));
        assert_eq!(stages([true; 3], false, 1 << 20), [of(0..4, 0..end)]);
        // Frozen weights do not travel.
        let some = stages([false, true, false], false, 1 << 20);
        assert_eq!(some[0].parcels.concat(), [layer..2 * layer, 3 * layer..end]);
        assert_eq!(some[0].parcels.len(), 2);
        // A shared weight, which stands first, is complete at the end.
        let tied = stages([true; 3], true, 102);
        assert_eq!(tied, [of(1..4, layer..2 * layer + 101), of(0..1, 0..layer)]);
    }

    #[test]
    fn short_ranges_share_parcels() {
        let (short, long) = (0..10, 20..130);
        let others = [140..190, 200..250, 300..301];
        let all: Vec<Range<usize>> = [short.clone(), long.clone()].into_iter().chain(others.clone()).collect();
        // A long one between short ones goes by itself; a parcel takes 100 values.
        let [a, b, c] = others;
        assert_eq!(parcels(all.clone(), 100), [vec![short, a], vec![long], vec![b, c]]);
        assert_eq!(parcels(all.clone(), 1 << 17), std::slice::from_ref(&all));
        assert!(parcels(Vec::new(), 100).is_empty());
        // Two parcels of short ranges that follow each other have more values than one takes.
        let many: Vec<Range<usize>> = (0..1000).map(|i| 100 * i..100 * i + 1 + i * 7 % 90).collect();
        let values: usize = many.iter().map(Range::len).sum();
        for long in [50, 100, 1000, 1 << 17] {
            let parcels = parcels(many.clone(), long);
            assert!(parcels.len() <= 2 * values / long + 1, "{} parcels of {long}", parcels.len());
            let mut again: Vec<Range<usize>> = parcels.concat();
            again.sort_by_key(|range| range.start);
            assert_eq!(again, many);
        }
    }
}
