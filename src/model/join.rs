//! How the ranks of a run begin together.

use super::built::Model;
use super::digest::digest;
use super::run_state::RunState;
use super::settings::{Settings, list};
use super::train::Accumulated;
use crate::distributed::{World, all_gather, broadcast_any, broadcast_numbers};
use crate::error::{Error, Result};
use crate::optimizers::OptimizerState;
use crate::state::State;
use crate::tensor::Float;

/// The most bytes of what a rank says of differences.
const MAX_TEXT: usize = 2048;

/// What a run goes on from, and whether its settings may differ.
pub(super) type Before = Option<(State, bool)>;

/// Compares settings with those of rank 0.
///
/// # Errors
/// [`Error::Ranks`] on all ranks alike, with the ranks that differ, and where.
pub(super) fn compare(world: &dyn World, own: &Settings) -> Result<()> {
    let first = broadcast_any(world, "settings", (world.rank() == 0).then(|| own.text().into_bytes()))?;
    let first = Settings::parse(&String::from_utf8_lossy(&first));
    let mut own = list(&first.differences_of_ranks(own)).into_bytes();
    own.resize(MAX_TEXT, 0);
    let place = |rank: usize| rank * MAX_TEXT..(rank + 1) * MAX_TEXT;
    let mut all = vec![0; MAX_TEXT * world.size()];
    all[place(world.rank())].copy_from_slice(&own);
    all_gather(world, "settings", &mut all, place)?;
    let texts = all.chunks(MAX_TEXT).map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    let differ =
        texts.enumerate().filter(|(_, text)| !text.is_empty()).map(|(rank, text)| format!("rank {rank}: {text}"));
    let differ: Vec<String> = differ.collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Error::Ranks { op: "fit", differ: differ.join(". ") })
}

impl<T: Float> Model<T> {
    /// Hands weights, optimizer, seed, learning rate, and what the run goes on from, from rank 0 to all.
    pub(super) fn join(&mut self, world: &dyn World, before: Before) -> Result<Before> {
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
        let first = world.rank() == 0;
        let accepts = before.as_ref().is_some_and(|(_, accepts)| *accepts);
        // Moments that are as at the beginning need not travel.
        let state = &training.state;
        let untouched = state.step == 0 && state.learning_rate.is_none();
        let fresh = before.is_none() && untouched && training.accumulated == Accumulated::default();
        let known = first.then(|| [self.seed, u64::from(accepts), u64::from(fresh)].map(u64::to_le_bytes).concat());
        let known = broadcast_any(world, "the seed", known)?;
        let word = |i: usize| known.as_chunks::<8>().0.get(i).copied().map_or(0, u64::from_le_bytes);
        let (accepts, fresh) = (word(1) != 0, word(2) != 0);
        if fresh {
            self.seed = word(0);
            broadcast_numbers(world, "the weights at the start", self.params.values_mut())?;
            if !first {
                training.state = OptimizerState::new(&*training.optimizer, &self.params);
                training.accumulated = Accumulated::default();
                (training.last, training.resumes) = (None, false);
            }
            return Ok(before);
        }
        let bytes = first.then(|| self.hand_over(before.as_ref().map(|(state, _)| state))).transpose()?;
        let bytes = broadcast_any(world, "the weights at the start", bytes)?;
        if first {
            return Ok(before);
        }
        let state = self.take_over(&bytes)?;
        self.seed = word(0);
        Ok(state.map(|state| (state, accepts)))
    }
}

impl<T: Float> Model<T> {
    /// Where all ranks wait for each other: whether any callback asked to end holds for all, and weights are to be the same.
    ///
    /// # Errors
    /// [`Error::Ranks`] on all ranks alike where weights or learning rates differ.
    pub(super) fn meet(&mut self, world: &dyn World, at: &mut RunState) -> Result<()> {
        if world.size() == 1 {
            return Ok(());
        }
        const WORDS: usize = 3;
        let rate = self.training.as_ref().and_then(|training| training.state.learning_rate);
        let own = [u64::from(at.stop), digest(self.params.values()), rate.map_or(0, f64::to_bits)];
        let mut all = vec![0; 8 * WORDS * world.size()];
        let place = |rank: usize| 8 * WORDS * rank..8 * WORDS * (rank + 1);
        all[place(world.rank())].copy_from_slice(&own.map(u64::to_le_bytes).concat());
        all_gather(world, "the end of an epoch", &mut all, place)?;
        let words = |rank: usize| {
            let (words, _) = all[place(rank)].as_chunks::<8>();
            [0, 1, 2].map(|i| u64::from_le_bytes(words[i]))
        };
        let [_, weights, rate] = words(0);
        let other = |rank: usize| {
            let [_, own_weights, own_rate] = words(rank);
            let what = match (own_weights == weights, own_rate == rate) {
                (true, true) => return None,
                (false, _) => "weights",
                (true, false) => "learning rate",
            };
            Some(format!("rank {rank}: its {what} after epoch {} are others than those of rank 0", at.epoch))
        };
        let differ: Vec<String> = (1..world.size()).filter_map(other).collect();
        at.stop |= (0..world.size()).any(|rank| words(rank)[0] != 0);
        if differ.is_empty() { Ok(()) } else { Err(Error::Ranks { op: "fit", differ: differ.join(". ") }) }
    }
}
