//! Files and memory of readers that are done, to be used again.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// What several threads may take and give back. A copy begins with none.
pub(crate) struct Idle<R>(Mutex<Vec<R>>);

impl<R> Idle<R> {
    /// For the next one that asks.
    pub fn put(&self, own: R) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(own);
    }

    /// `f` with what was given back, or with a new one.
    pub fn with<O>(&self, new: impl FnOnce() -> Result<R>, f: impl FnOnce(&mut R) -> Result<O>) -> Result<O> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut own = kept.map_or_else(new, Ok)?;
        let out = f(&mut own);
        self.put(own);
        out
    }
}

impl<R> Default for Idle<R> {
    fn default() -> Self {
        Idle(Mutex::default())
    }
}

impl<R> Clone for Idle<R> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<R> fmt::Debug for Idle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Idle")
    }
}
