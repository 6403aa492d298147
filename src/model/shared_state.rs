//! The optimizer's moments divided among ranks: each keeps those of a stretch of the weights, updates that, and hands it to the others.
//!
//! Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models* (2020), stage 1.

use std::ops::Range;

#[cfg(feature = "files")]
use super::saver::{Now, Saver};
use super::train::{Outcome, Training};
use crate::data::Shard;
#[cfg(feature = "files")]
use crate::distributed::gather;
use crate::distributed::{World, all_gather, all_gather_numbers, any, times_size};
use crate::error::{Error, Result};
use crate::optimizers::{OptimizerState, PART};
use crate::params::Params;
#[cfg(feature = "files")]
use crate::state::State;
use crate::tensor::Float;

/// The weights that a rank updates: as many parts as others, or one more.
fn stretch(n: usize, rank: usize, ranks: usize) -> Range<usize> {
    let parts = Shard { number: rank, of: ranks }.rows(n.div_ceil(PART));
    (parts.start * PART).min(n)..(parts.end * PART).min(n)
}

/// Where in a buffer of values of so many bytes each those of every rank's weights lie.
fn stretches(world: &dyn World, n: usize, size: usize) -> impl Fn(usize) -> Range<usize> {
    let ranks = world.size();
    move |rank| times_size(stretch(n, rank, ranks), size)
}

impl<T: Float> Training<T> {
    /// Keeps the moments of this rank's weights alone.
    ///
    /// # Errors
    /// [`Error::Argument`] for rules of which that cannot be had.
    pub fn share_state(&mut self, world: &dyn World, n: usize) -> Result<()> {
        let refused = |why: &str| {
            let hint = "leave shard_optimizer out, or take another optimizer, such as AdamW";
            Err(Error::argument(
                "fit",
                "shard_optimizer",
                format!("false for {} {why}", self.optimizer.name()),
                true,
                hint,
            ))
        };
        if self.optimizer.whole_parameters() {
            return refused("as the rule goes through whole parameters");
        }
        if self.optimizer.options().ema_momentum.is_some() {
            return refused("with a moving average of the weights");
        }
        self.state.keep_own(stretch(n, world.rank(), world.size()));
        Ok(())
    }

    /// After a step in which each rank has updated its weights: all weights on all ranks, in their bounds; an update that failed on one failed on all.
    pub fn share_weights(
        &mut self,
        world: &dyn World,
        params: &mut Params<T>,
        outcome: Outcome,
        before: u64,
    ) -> Result<Outcome> {
        if self.state.own().is_none() || self.state.step == before && outcome != Outcome::Update {
            return Ok(outcome);
        }
        let failed = any(world, "whether the update is finite", outcome == Outcome::Update)?;
        let of_rank = stretches(world, params.len(), 1);
        all_gather_numbers(world, "updated weights", params.values_mut(), of_rank)?;
        self.constrain(params, before);
        Ok(if failed { Outcome::Update } else { outcome })
    }

    /// The moments of all weights on rank 0, to be written; [`share_state`](Self::share_state) undoes it.
    #[cfg(feature = "files")]
    fn gather_state(&mut self, world: &dyn World, n: usize) -> Result<()> {
        if world.rank() == 0 {
            self.state.keep_all(&*self.optimizer, n)?;
        }
        let mut all = self.state.moments_as_bytes();
        all.try_for_each(|(moments, size)| gather(world, "moments", moments, stretches(world, n, size)))
    }

    /// Writes a checkpoint if one is due, `run` what of it is not training's; where ranks have divided the moments, those are brought together for that.
    #[cfg(feature = "files")]
    pub fn save(
        &mut self,
        (saver, now): (&mut Option<Saver<T>>, Now),
        world: &dyn World,
        params: &Params<T>,
        run: impl FnOnce(&Self, &mut State),
    ) -> Result<()> {
        let Some(saver) = saver else { return Ok(()) };
        let gathers = saver.is_due(now) && self.state.own().is_some();
        if gathers {
            self.gather_state(world, params.len())?;
        }
        let saved = saver.save(now, params, self, |state| run(self, state));
        if gathers && world.rank() == 0 {
            self.state.keep_own(stretch(params.len(), 0, world.size()));
        }
        saved
    }

    /// The moments of all weights on all ranks, at the end.
    pub fn gather_state_everywhere(&mut self, world: &dyn World, n: usize) -> Result<()> {
        if self.state.own().is_none() {
            return Ok(());
        }
        self.state.keep_all(&*self.optimizer, n)?;
        let mut all = self.state.moments_as_bytes();
        all.try_for_each(|(moments, size)| all_gather(world, "moments", moments, stretches(world, n, size)))
    }

    /// After an error: all moments where all ranks have it; else, as others do not go on, the optimizer begins anew.
    pub fn end_shared_state(&mut self, world: &dyn World, params: &Params<T>, all_have_it: bool) {
        let divided = self.state.own().is_some();
        if divided && !(all_have_it && self.gather_state_everywhere(world, params.len()).is_ok()) {
            self.state = OptimizerState::new(&*self.optimizer, params);
        }
    }
}
