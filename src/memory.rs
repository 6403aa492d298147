//! Large buffers: asked for with an error where there is no memory for them, in the place of an abort.

use std::fmt::Display;

use crate::error::{Error, Result};

/// Values that are asked for without looking whether there is room, as a program has that much for its own.
const SMALL: usize = 1 << 22;

/// So many equal values.
pub(crate) fn filled<T: Clone>(op: &'static str, what: impl Display, len: usize, value: T) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve(op, what, &mut values, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Makes room for so many more values.
pub(crate) fn reserve<T>(op: &'static str, what: impl Display, values: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = values.len().saturating_add(more).saturating_mul(size_of::<T>());
    values.try_reserve_exact(more).map_err(|_| Error::Memory { op, what: what.to_string(), bytes })
}

/// Looks whether there is room for so many values of `T`, and takes none: for what is allocated where no error can be returned.
pub(crate) fn check_room<T>(op: &'static str, what: impl Display, len: usize) -> Result<()> {
    if len <= SMALL { Ok(()) } else { reserve(op, what, &mut Vec::<T>::new(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error() {
        assert_eq!(filled("test", "it", 3, 1.5).unwrap(), [1.5; 3]);
        check_room::<f64>("test", "it", SMALL + 1).unwrap();
        let error = check_room::<f32>("fit", "a batch", 1 << 61).unwrap_err();
        let expected = "fit: a batch would take 9223372036854775808 bytes, more memory than there is; use smaller layers or \
                        batches, or a machine with more";
        assert_eq!(error.to_string(), expected);
        assert!(matches!(filled("test", "it", usize::MAX, 0.0), Err(Error::Memory { bytes: usize::MAX, .. })));
    }
}
