//! Moments in checkpoints.

use super::OptimizerState;
use super::stored::is_single;
use crate::bf16::Bf16;
use crate::kernels::rounding;
use crate::state::State;
use crate::tensor::Float;

impl<T: Float> OptimizerState<T> {
    /// Writes the moments as they are stored.
    pub(crate) fn save_moments(&self, state: &mut State) {
        for (i, moment) in self.moments.iter().enumerate() {
            state.put(&format!("moment_{i}"), moment);
        }
        for (i, moment) in self.bf16_moments.iter().enumerate() {
            state.put(&format!("moment_{i}"), moment);
        }
    }

    /// Takes them back; those of another storage are an error unless they may be converted. The error is the name of what does not fit; some
    /// moments may then have been taken.
    pub(crate) fn restore_moments(&mut self, state: &State, converts: bool) -> std::result::Result<(), String> {
        let key = self.rounding();
        for (i, moment) in self.moments.iter_mut().enumerate() {
            let name = format!("moment_{i}");
            if let Ok(stored) = state.get::<T>(&name) {
                copy(stored, moment, name)?;
                continue;
            }
            match state.get::<Bf16>(&name) {
                Ok(stored) if converts && is_single::<T>() && stored.len() == moment.len() => {
                    rounding::widen(stored, moment);
                }
                _ => return Err(name),
            }
        }
        for (i, moment) in self.bf16_moments.iter_mut().enumerate() {
            let name = format!("moment_{i}");
            if let Ok(stored) = state.get::<Bf16>(&name) {
                copy(stored, moment, name)?;
                continue;
            }
            match state.get::<T>(&name) {
                Ok(stored) if converts && stored.len() == moment.len() => {
                    rounding::round([stored, &[]], [moment, &mut []], key.with(i as u64), 0);
                }
                _ => return Err(name),
            }
        }
        Ok(())
    }
}

/// Values into a buffer of their number, or the name.
fn copy<E: Copy>(from: &[E], to: &mut [E], name: String) -> std::result::Result<(), String> {
    if from.len() != to.len() {
        return Err(name);
    }
    to.copy_from_slice(from);
    Ok(())
}
