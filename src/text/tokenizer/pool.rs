//! Buffers for encoding, kept from call to call.

use std::sync::{Mutex, PoisonError};

use super::{
    model::{Scratch, tokens::Tokens},
    splitter::Pieces,
};

/// Buffers of one caller, with what it has seen; no result depends on it.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) tokens: Tokens,
    pub(super) pieces: Pieces,
    pub(super) scratch: Scratch,
}

/// Buffers that wait for a caller.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Work>>);

impl Clone for Pool {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Pool {
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Work) -> R) -> R {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = f(&mut work);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(work);
        result
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
