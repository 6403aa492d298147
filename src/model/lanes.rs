//! The shards of a rank side by side, where layers take statistics over all shards of a batch.

use std::ops::Range;

use super::train::{Buffers, Training};
use crate::distributed::{World, add, add_pieces, all_gather_numbers, shards_of};
use crate::error::Result;
use crate::graph::Net;
use crate::kernels::parallel;
use crate::layer::{Statistics, Total};
use crate::memory;
use crate::params::Params;
use crate::tensor::Float;
use crate::written::Written;

/// The shards of this rank, and the nodes before which they wait for each other and for those of other ranks: each stretch of nodes between two of these
/// runs on all shards before the next one does.
#[derive(Debug)]
pub(super) struct Lanes<T: Float> {
    /// The number of each shard, and what belongs to it.
    lanes: Vec<(Range<usize>, Lane<T>)>,
    /// What all shards come to, in the order of nodes.
    totals: Vec<Total>,
    /// What shards have to say at a node, a line each.
    lines: Vec<f64>,
    count: usize,
    own: Range<usize>,
}

/// What belongs to a shard from the beginning of a step to its end, and takes the place of training's meanwhile.
#[derive(Debug)]
struct Lane<T: Float> {
    gradients: Vec<T>,
    written: Written,
    sums: Vec<Vec<f64>>,
    statistics: Statistics<T>,
    buffers: Buffers<T>,
    room: usize,
    penalty: f64,
    /// The loss of each head, and its rows that count.
    heads: Vec<(f64, usize)>,
    /// Statistics times what they weigh, to be added up.
    weighed: Vec<T>,
    place: Place,
    value: f64,
    /// What its gradients are multiplied by.
    weight: T,
}

/// The rows of a shard in its batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub first_row: usize,
    pub rows: usize,
    /// Samples of the whole batch.
    pub samples: usize,
}

/// What a shard has come to.
pub(super) struct Ended<'a, T> {
    pub place: Place,
    /// Its loss.
    pub value: f64,
    /// What its gradients are to be multiplied by.
    pub weight: T,
    /// Where its statistics go, times what they weigh.
    pub statistics: &'a mut [T],
}

/// What gradients and statistics of a shard are to be multiplied by before they are added up, given its rows that count. A single shard is the whole
/// batch, whose bits stay.
pub(super) fn weight<T: Float>(count: usize, samples: usize, rows: usize) -> T {
    if count == 1 { T::one() } else { T::of(rows as f64 / unit(count, samples as f64)) }
}

/// The samples that most shards have, so that of usual outputs most weigh 1.
pub(super) fn unit(count: usize, samples: f64) -> f64 {
    (samples / count as f64).ceil().max(1.0)
}

impl<T: Float> Lane<T> {
    /// Exchanges what is the shard's with what training has.
    fn swap(&mut self, training: &mut Training<T>) {
        use std::mem::swap;
        swap(&mut self.gradients, &mut training.gradients);
        swap(&mut self.written, &mut training.written);
        swap(&mut self.sums, &mut training.sums);
        swap(&mut self.statistics, &mut training.statistics);
        swap(&mut self.buffers, &mut training.buffers);
        swap(&mut self.room, &mut training.room);
        swap(&mut self.penalty, &mut training.layer_penalty);
        for ((loss, rows), head) in self.heads.iter_mut().zip(&mut training.heads) {
            swap(loss, &mut head.last_loss);
            swap(rows, &mut head.last_rows);
        }
    }
}

impl<T: Float> Lanes<T> {
    /// The lanes of a rank's own of so many shards; none where no node needs them.
    pub fn new(
        world: &dyn World,
        count: usize,
        training: &mut Training<T>,
        net: &Net<T>,
        params: &Params<T>,
    ) -> Result<Option<Self>> {
        let total =
            |(node, numbers)| Total { node, forward: vec![0.0; numbers], back: vec![0.0; numbers], came_back: false };
        let nodes = net.sharing(params).map(|(node, shares)| (node, shares.numbers()));
        let totals: Vec<Total> = if count > 1 { nodes.map(total).collect() } else { Vec::new() };
        let Some(widest) = totals.iter().map(|total| total.forward.len()).max() else { return Ok(None) };
        let own = shards_of(world.rank(), world.size(), count);
        let statistics = training.statistics.parts_mut().0.len();
        let values = params.len().saturating_add(2 * statistics).saturating_mul(own.len());
        memory::check_room::<T>("fit", format_args!("the gradients of {} shards", own.len()), values)?;
        let all = widest.saturating_mul(count);
        memory::check_room::<f64>("fit", format_args!("statistics of {count} shards"), all)?;
        let lane = |_| Lane {
            gradients: vec![T::zero(); params.len()],
            written: Written::new(params),
            sums: training.sums.clone(),
            statistics: Statistics::new(params),
            buffers: training.buffers.of_the_kind(),
            room: 0,
            penalty: 0.0,
            heads: vec![(0.0, 0); training.heads.len()],
            weighed: vec![T::zero(); statistics],
            place: Place::default(),
            value: 0.0,
            weight: T::one(),
        };
        let lanes = own.clone().map(|shard| (shard..shard + 1, lane(shard))).collect();
        Ok(Some(Lanes { lanes, totals, lines: vec![0.0; all], count, own }))
    }

    /// What all shards have come to.
    pub fn totals(&self) -> &[Total] {
        &self.totals
    }

    /// Adds up a node of the tree over shards, and exchanges gradients and statistics for its sums.
    pub fn add_up(&mut self, node: &Range<usize>, gradients: &mut Vec<T>, statistics: &mut Vec<T>) {
        let within = node.start - self.own.start..node.end - self.own.start;
        let lanes = &mut self.lanes[within];
        add_pieces(node, lanes, &mut |a: &mut Lane<T>, b: &Lane<T>| {
            add(&mut a.gradients, &b.gradients);
            add(&mut a.weighed, &b.weighed);
        });
        if let Some((_, sum)) = lanes.first_mut() {
            std::mem::swap(&mut sum.gradients, gradients);
            std::mem::swap(&mut sum.weighed, statistics);
        }
    }
}

impl<T: Float> Training<T> {
    /// Forward and backward of all shards of this rank, with `work` to do. `begin` loads the shard of a number, `end` takes what it has come to.
    /// Ranks exchange as often whatever is in their shards.
    pub(super) fn run_lanes(
        &mut self,
        lanes: &mut Lanes<T>,
        (world, net, params): (&dyn World, &Net<T>, &Params<T>),
        (seed, work): (u64, usize),
        begin: &mut (dyn FnMut(&mut Self, usize) -> Result<Place> + Send),
        end: &mut (dyn FnMut(&mut Self, usize, Ended<'_, T>) + Send),
    ) -> Result<()> {
        let Lanes { lanes, totals, lines, count, own } = lanes;
        let count = *count;
        let stretch = |width: usize| {
            move |rank: usize| {
                let own = shards_of(rank, world.size(), count);
                own.start * width..own.end * width
            }
        };
        totals.iter_mut().for_each(|total| total.came_back = false);
        for (shard, lane) in &mut *lanes {
            lane.swap(self);
            let begun = begin(self, shard.start);
            lane.swap(self);
            lane.place = begun?;
        }
        let mut from = 0;
        for at in 0..=totals.len() {
            let (known, next) = totals.split_at_mut(at);
            let next = next.first_mut();
            let (to, width) = next.as_ref().map_or((net.node_count(), 0), |next| (next.node, next.forward.len()));
            lines[own.start * width..own.end * width].fill(0.0);
            parallel::enter(work, || {
                for (shard, lane) in &mut *lanes {
                    let place = lane.place;
                    if place.rows > 0 {
                        lane.swap(self);
                        let key = self.key(seed, place.first_row as u64);
                        let line = (width > 0).then(|| &mut lines[shard.start * width..][..width]);
                        let ends = line.is_none();
                        self.forward(net, params, key, (from..to, line), known);
                        if ends {
                            lane.value = self.losses_of_shard(net, params, key);
                            // Rows of a shard of which none counts have a part in the gradients of others.
                            lane.weight = weight(count, place.samples, self.rows().max(1));
                        }
                        lane.swap(self);
                    }
                }
            });
            if let Some(next) = next {
                let lines = &mut lines[..count * width];
                all_gather_numbers(world, "statistics of a batch", lines, stretch(width))?;
                net.shares(next.node).into_iter().for_each(|shares| shares.combine(lines, &mut next.forward));
            }
            from = to;
        }
        let mut to = net.node_count();
        for at in (0..=totals.len()).rev() {
            let node = at.checked_sub(1).map(|before| totals[before].node);
            // A node that hands nothing on computes with those before it.
            if node.is_some_and(|node| !self.plan.goes_through(node)) {
                continue;
            }
            let (from, width) = (node.unwrap_or(0), node.map_or(0, |_| totals[at - 1].back.len()));
            lines[own.start * width..own.end * width].fill(0.0);
            parallel::enter(work, || {
                for (shard, lane) in &mut *lanes {
                    let place = lane.place;
                    if place.rows == 0 {
                        continue;
                    }
                    lane.swap(self);
                    let (key, weight) = (self.key(seed, place.first_row as u64), lane.weight.as_f64());
                    let mut line = (width > 0).then(|| &mut lines[shard.start * width..][..width]);
                    let part = (from..to, line.as_deref_mut());
                    self.backward_of_shard(net, params, key, part, (totals, weight));
                    line.into_iter().flatten().for_each(|number| *number *= weight);
                    lane.swap(self);
                }
            });
            if node.is_some() {
                let total = &mut totals[at - 1];
                let lines = &mut lines[..count * width];
                all_gather_numbers(world, "gradients of statistics", lines, stretch(width))?;
                total.back.fill(0.0);
                for line in lines.chunks_exact(width) {
                    total.back.iter_mut().zip(line).for_each(|(sum, more)| *sum += more);
                }
                total.came_back = true;
                to = from + 1;
            }
        }
        parallel::enter(work, || {
            for (shard, lane) in &mut *lanes {
                let mut statistics = std::mem::take(&mut lane.weighed);
                let (place, value, weight) = (lane.place, lane.value, lane.weight);
                lane.swap(self);
                end(self, shard.start, Ended { place, value, weight, statistics: &mut statistics });
                lane.swap(self);
                lane.weighed = statistics;
            }
        });
        Ok(())
    }
}
