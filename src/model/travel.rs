//! Gradients that travel between ranks while the way back is still under way.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::shards::{BatchOfRun, Gone, Shards, Sum, note};
use super::train::{Ahead, Training};
use crate::distributed::{Sums, World, add, times};
use crate::error::Result;
use crate::graph::{Parcel, Stage};
use crate::kernels::parallel;
use crate::params::Params;
use crate::tensor::Float;

impl<T: Float> Training<T> {
    /// The way back of a rank's last shard, into buffer number `at`, with `work` to do, and what the shard has come to. After each stage the gradients that are complete go to
    /// another thread, which adds them to those of the shards before and exchanges them with other ranks. Then the first buffer holds the sum over all shards of what
    /// is trained.
    pub(super) fn last_shard(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &Params<T>,
        (gone, at, work): (Gone, usize, usize),
    ) -> Result<()> {
        let Shards { world, count, sums, written, ranks, stages, beside: Some(beside), lines, width, cause, .. } =
            shards
        else {
            return Ok(());
        };
        let (world, stages, roots) = (*world, &stages[..], ranks.roots(world.rank()).len());
        let line = &mut lines[gone.shard.number * *width..][..*width];
        let Some((Sum { gradients, statistics }, before)) = sums[..=at].split_last_mut() else { return Ok(()) };
        let rests =
            before.iter_mut().map(|sum| &mut sum.gradients).chain([gradients]).map(|all| &mut all[..]).collect();
        let mut travelled = Ok(());
        let (sender, receiver) = channel();
        std::mem::swap(&mut self.written, written);
        // Ranks may be threads that share a pool: who waits for another rank is outside of it.
        beside.run(
            || travelled = travel(world, ranks, stages, (at + 1, receiver)),
            || {
                parallel::enter_awake(work, || {
                    self.back_in_stages((batch, params), &gone, stages, rests, sender);
                    note(cause, self.end_shard(*count, gone.ended(statistics, self.rows()), line, batch));
                });
            },
        );
        std::mem::swap(&mut self.written, written);
        for i in (roots..=at).rev() {
            if let [.., before, last] = &mut sums[..=i] {
                add(&mut before.statistics, &last.statistics);
            }
        }
        travelled
    }

    /// The way back of a shard into the last of the buffers; after each stage the stretch of all buffers that is complete goes to who takes it from there, one buffer's
    /// after the other.
    fn back_in_stages<'a>(
        &mut self,
        (batch, params): (BatchOfRun<'_, T>, &Params<T>),
        gone: &Gone,
        stages: &[Stage],
        mut rests: Vec<&'a mut [T]>,
        sender: Sender<&'a mut [T]>,
    ) {
        let (weight, last) = (gone.weight(self.rows()), rests.len() - 1);
        for stage in stages {
            if let (Some(Ahead { back: true, key, .. }), Some(gradients)) = (gone.ahead, rests.last_mut()) {
                self.go_back(batch.net, params, key, gradients, stage.nodes.clone());
            }
            for (i, rest) in rests.iter_mut().enumerate() {
                let (before, complete) = std::mem::take(rest).split_at_mut(stage.values.start);
                *rest = before;
                if i == last {
                    self.written.end_from(stage.values.start, params, complete);
                    times(complete, weight);
                }
                // Nobody takes it where an exchange has failed, which the other thread tells.
                let _ = sender.send(complete);
            }
        }
    }
}

/// Adds up each stretch of so many buffers over the shards of this rank, and of all ranks: its roots' come first, and behind them what is still to be added to the last
/// root, each to the one before it.
fn travel<T: Float>(
    world: &dyn World,
    ranks: &mut Sums<T>,
    stages: &[Stage],
    (buffers, complete): (usize, Receiver<&mut [T]>),
) -> Result<()> {
    let roots = ranks.roots(world.rank()).len();
    let (mut stretch, mut within) = (Vec::with_capacity(buffers), Parcel::new());
    for stage in stages {
        stretch.clear();
        stretch.extend(complete.iter().take(buffers));
        // A layer has panicked.
        if stretch.len() < buffers {
            break;
        }
        let from = stage.values.start;
        for parcel in &stage.parcels {
            within.clear();
            within.extend(parcel.iter().map(|range| range.start - from..range.end - from));
            for i in (roots..buffers).rev() {
                if let [.., before, last] = &mut stretch[..=i] {
                    within.iter().for_each(|range| add(&mut before[range.clone()], &last[range.clone()]));
                }
            }
            ranks.all_reduce(world, &mut stretch[..roots], &within)?;
        }
    }
    Ok(())
}
