//! Numbers as the bytes that they are in memory.

use super::float::Float;
use crate::bf16::Bf16;

/// Numbers whose memory is nothing but their bits, any of which are one.
///
/// # Safety
/// A type has no padding, and any bytes are values of it.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: `Float` is sealed: f32 and f64.
unsafe impl<T: Float> Plain for T {}

// SAFETY: its only field is a `u16`, as which it is laid out.
unsafe impl Plain for Bf16 {}

/// The bytes of numbers, in this machine's order.
pub(crate) fn of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: there is no padding; the slice covers the same memory, and a byte needs no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of numbers, to be written over.
pub(crate) fn of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as for `of`; and any bytes are values of the type.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let x = [1.5f32, -0.0, f32::INFINITY];
        let mut y = [0.0f32; 3];
        of_mut(&mut y).copy_from_slice(of(&x));
        assert_eq!(x.map(f32::to_bits), y.map(f32::to_bits));
        let one = 1.0f64;
        assert_eq!(of(&[one]), one.to_ne_bytes());
        assert!(of::<f32>(&[]).is_empty());
    }
}
