//! Positions that a source is asked for.

use crate::error::{Error, Result};

/// An error unless samples `first` to `first + n` are there.
pub(crate) fn check_range(op: &'static str, first: usize, n: usize, samples: Option<usize>) -> Result<()> {
    match (first.checked_add(n), samples) {
        (Some(_), None) => Ok(()),
        (Some(end), Some(samples)) if end <= samples => Ok(()),
        _ => {
            let expected = format!("positions below {}", samples.unwrap_or(usize::MAX));
            Err(Error::shape(op, expected, format!("{n} samples from {first} on"), "ask for samples that there are"))
        }
    }
}
