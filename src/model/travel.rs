//! Gradients that travel between ranks while the way back is still under way.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::shards::{BatchOfRun, Gone, Shards};
use super::train::{Ahead, Training};
use crate::distributed::{Adders, Sums, World, times};
use crate::error::Result;
use crate::graph::{Parcel, Stage};
use crate::kernels::parallel;
use crate::params::Params;
use crate::tensor::Float;

/// One stretch of all buffers that a rank adds up, in which gradients are complete: its roots', and behind them those that are still to be
/// added to the last root, each to the one before it.
type Stretch<'a, T> = Vec<&'a mut [T]>;

impl<T: Float> Training<T> {
    /// The way back of a rank's last shard, into buffer number `at`, with `work` to do. After each stage the gradients that are complete go to another thread, which adds them to those of
    /// the shards before and exchanges them with other ranks. Then the first buffer holds the sum over all shards of what is trained.
    pub(super) fn back_and_travel(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &Params<T>,
        (gone, at, work): (&Gone, usize, usize),
    ) -> Result<()> {
        let Shards { world, sums, ranks, stages, .. } = shards;
        let (world, stages) = (*world, &stages[..]);
        let rests: Stretch<'_, T> = sums[..=at].iter_mut().map(|sum| &mut sum.gradients[..]).collect();
        let (rank, size, of) = (world.rank(), world.size(), gone.shard.of);
        let mut own = std::mem::take(ranks);
        // Ranks may be threads that share a pool: who waits for another rank is outside of it.
        let (back, travelled) = thread::scope(|scope| {
            let (sender, receiver) = channel();
            let go_back = |sender| {
                parallel::enter_awake(work, || self.back_in_stages((batch, params), gone, stages, rests, sender));
            };
            let beside = move || {
                let travelled = travel(world, &mut own, stages, receiver, Adders::One);
                (own, travelled)
            };
            match thread::Builder::new().name(format!("gradus rank {rank}")).spawn_scoped(scope, beside) {
                Ok(beside) => {
                    go_back(sender);
                    beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                // The system gives no thread.
                Err(_) => {
                    let (sender, receiver) = channel();
                    go_back(sender);
                    let mut own = Sums::new(size, of);
                    let travelled = travel(world, &mut own, stages, receiver, Adders::All);
                    (own, travelled)
                }
            }
        });
        *ranks = back;
        travelled
    }

    /// The way back of a shard into the last of the buffers, and all buffers stretch by stretch to who takes them from there.
    fn back_in_stages<'a>(
        &mut self,
        (batch, params): (BatchOfRun<'_, T>, &Params<T>),
        gone: &Gone,
        stages: &[Stage],
        mut rests: Stretch<'a, T>,
        sender: Sender<Stretch<'a, T>>,
    ) {
        let weight = gone.weight(self.rows());
        for stage in stages {
            if let (Some(Ahead { back: true, key, .. }), Some(gradients)) = (gone.ahead, rests.last_mut()) {
                self.go_back(batch.net, params, key, gradients, stage.nodes.clone());
            }
            let complete = |rest: &mut &'a mut [T]| {
                let (before, complete) = std::mem::take(rest).split_at_mut(stage.values.start);
                *rest = before;
                complete
            };
            let mut stretch: Stretch<'a, T> = rests.iter_mut().map(complete).collect();
            if let Some(gradients) = stretch.last_mut() {
                self.written.end_from(stage.values.start, params, gradients);
                times(gradients, weight);
            }
            // Nobody takes it where an exchange has failed, which the other thread tells.
            let _ = sender.send(stretch);
        }
    }
}

/// Adds up each stretch over the shards of this rank, and of all ranks.
fn travel<T: Float>(
    world: &dyn World,
    ranks: &mut Sums<T>,
    stages: &[Stage],
    stretches: Receiver<Stretch<'_, T>>,
    adders: Adders,
) -> Result<()> {
    ranks.adders = adders;
    let roots = ranks.roots(world.rank()).len();
    let mut within = Parcel::new();
    let done = stages.iter().zip(stretches).try_for_each(|(stage, mut stretch)| {
        let from = stage.values.start;
        stage.parcels.iter().try_for_each(|parcel| {
            within.clear();
            within.extend(parcel.iter().map(|range| range.start - from..range.end - from));
            for i in (roots..stretch.len()).rev() {
                if let [.., before, last] = &mut stretch[..=i] {
                    within.iter().for_each(|range| adders.add(&mut before[range.clone()], &last[range.clone()]));
                }
            }
            ranks.all_reduce(world, &mut stretch[..roots], &within)
        })
    });
    ranks.adders = Adders::All;
    done
}
