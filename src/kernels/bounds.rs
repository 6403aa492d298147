//! Whether values lie within bounds.

use super::float::Float;
use super::simd;

/// Whether all values lie within ±limit; NaN does not.
pub fn within<T: Float>(values: &[T], limit: T) -> bool {
    simd::vectorised(|| values.iter().fold(true, |all, v| all & (v.abs() <= limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts() {
        for at in [0, 1, 15, 16, 40] {
            let mut values = [1.0f32; 41];
            assert!(within(&values, 1.0) && within(&values[..at], f32::MAX));
            for bad in [-1.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                values[at] = bad;
                assert!(!within(&values, 1.0), "{bad} at {at}");
            }
        }
    }
}
