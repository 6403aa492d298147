//! The optimizer's moments divided among ranks: each keeps those of a stretch of the weights, updates that, and hands it to the others.
//!
//! Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models* (2020), stage 1.

use std::ops::Range;

#[cfg(feature = "files")]
use super::saver::Pace;
use super::train::{Outcome, Training};
use crate::data::Shard;
#[cfg(feature = "files")]
use crate::distributed::gather_numbers;
use crate::distributed::{World, all_gather_numbers};
use crate::error::{Error, Result};
use crate::optimizers::{OptimizerState, PART};
use crate::params::Params;
use crate::tensor::Float;

/// The weights that a rank updates: as many parts as others, or one more.
fn stretch(n: usize, rank: usize, ranks: usize) -> Range<usize> {
    let parts = Shard { number: rank, of: ranks }.rows(n.div_ceil(PART));
    (parts.start * PART).min(n)..(parts.end * PART).min(n)
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
        let (n, ranks) = (params.len(), world.size());
        let mut failed = vec![0f32; ranks];
        failed[world.rank()] = f32::from(u8::from(outcome == Outcome::Update));
        all_gather_numbers(world, "whether the update is finite", &mut failed, |rank| rank..rank + 1)?;
        all_gather_numbers(world, "updated weights", params.values_mut(), |rank| stretch(n, rank, ranks))?;
        self.constrain(params, before);
        Ok(if failed.iter().any(|failed| *failed != 0.0) { Outcome::Update } else { outcome })
    }

    /// The moments of all weights on rank 0, to be written; [`share_state`](Self::share_state) undoes it.
    #[cfg(feature = "files")]
    fn gather_state(&mut self, world: &dyn World, n: usize) -> Result<()> {
        let ranks = world.size();
        let of_rank = |rank: usize| stretch(n, rank, ranks);
        if world.rank() == 0 {
            self.state.keep_all(&*self.optimizer, n)?;
        }
        for moments in &mut self.state.moments {
            let (own, all) = sides(world, moments);
            gather_numbers(world, "moments", own, all, of_rank)?;
        }
        for moments in &mut self.state.bf16_moments {
            let (own, all) = sides(world, moments);
            gather_numbers(world, "moments", own, all, of_rank)?;
        }
        Ok(())
    }

    /// Calls what writes a checkpoint if one is due; where ranks have divided the moments, those are brought together for that.
    #[cfg(feature = "files")]
    pub fn write_together(
        &mut self,
        world: &dyn World,
        n: usize,
        pace: &mut Option<Pace>,
        due: bool,
        write: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let Some(pace) = pace else { return Ok(()) };
        if self.state.own().is_none() {
            return write(self);
        }
        if due {
            self.gather_state(world, n)?;
        }
        let written = write(self);
        if due {
            pace.written();
            if world.rank() == 0 {
                self.state.keep_own(stretch(n, 0, world.size()));
            }
        }
        written
    }

    /// The moments of all weights on all ranks, at the end.
    pub fn gather_state_everywhere(&mut self, world: &dyn World, n: usize) -> Result<()> {
        if self.state.own().is_none() {
            return Ok(());
        }
        let ranks = world.size();
        self.state.keep_all(&*self.optimizer, n)?;
        for moments in &mut self.state.moments {
            all_gather_numbers(world, "moments", moments, |rank| stretch(n, rank, ranks))?;
        }
        for moments in &mut self.state.bf16_moments {
            all_gather_numbers(world, "moments", moments, |rank| stretch(n, rank, ranks))?;
        }
        Ok(())
    }

    /// After an error: all moments where all ranks have it; else, as others do not go on, the optimizer begins anew.
    pub fn end_shared_state(&mut self, world: &dyn World, params: &Params<T>, all_have_it: bool) {
        let divided = self.state.own().is_some();
        if divided && !(all_have_it && self.gather_state_everywhere(world, params.len()).is_ok()) {
            self.state = OptimizerState::new(&*self.optimizer, params);
        }
    }
}

/// What a rank sends, and where rank 0 receives.
#[cfg(feature = "files")]
fn sides<'m, E>(world: &dyn World, moments: &'m mut [E]) -> (&'m [E], &'m mut [E]) {
    match world.rank() {
        0 => (&[], moments),
        _ => (moments, &mut []),
    }
}
