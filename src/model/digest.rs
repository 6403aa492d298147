//! A number that tells one set of values from another.

use crate::state::Values;
use crate::tensor::Float;

/// Values that are hashed side by side.
const LANES: usize = 8;

/// An odd multiplier without pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A 64-bit hash of the bits of all values, their order and number.
pub(crate) fn digest<T: Float>(values: &[T]) -> u64 {
    match T::values(values) {
        Values::F32(v) => hash(v, |v| u64::from(v.to_bits())),
        Values::F64(v) => hash(v, f64::to_bits),
        Values::Bf16(v) => hash(v, |v| u64::from(v.to_bits())),
        Values::U64(v) => hash(v, |v| v),
        Values::U8(v) => hash(v, u64::from),
    }
}

fn hash<E: Copy>(values: &[E], bits: impl Fn(E) -> u64) -> u64 {
    // The rotation brings high bits down, where a product would leave them at the top.
    let mix = |lane: u64, word: u64| (lane.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let mut lanes: [u64; LANES] = std::array::from_fn(|i| i as u64);
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane = mix(*lane, bits(v)));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &v)| *lane = mix(*lane, bits(v)));
    let all = lanes.iter().fold(values.len() as u64, |sum, &lane| mix(sum, lane));
    (all ^ (all >> 32)).wrapping_mul(FACTOR)
}

/// The hash of at most `most` values, in blocks spread evenly over all.
#[cfg(feature = "files")]
pub(crate) fn sampled<T: Float>(values: &[T], most: usize) -> u64 {
    const BLOCK: usize = 64;
    if values.len() <= most {
        return digest(values);
    }
    let apart = values.len().div_ceil((most / BLOCK).max(1)).max(BLOCK);
    let blocks = values.chunks(apart).map(|part| digest(&part[..BLOCK.min(part.len())]));
    blocks.fold(values.len() as u64, |sum, block| (sum.rotate_left(23) ^ block).wrapping_mul(FACTOR))
}

/// One hash of several runs of values, as [`sampled`] makes them.
#[cfg(feature = "files")]
pub(crate) fn joined<T: Float>(parts: [&[T]; 3], most: usize) -> u64 {
    parts.iter().fold(0, |sum: u64, part| (sum.rotate_left(23) ^ sampled(part, most)).wrapping_mul(FACTOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_tells() {
        let values: Vec<f64> = (0..37).map(|i| f64::from(i) * 0.1).collect();
        let of = |change: &dyn Fn(&mut Vec<f64>)| {
            let mut values = values.clone();
            change(&mut values);
            digest(&values)
        };
        let mut seen = vec![digest(&values)];
        // One value, two values of one lane by their signs, the order, the number.
        seen.extend((0..37).map(|i| of(&|v| v[i] += 1e-9)));
        seen.push(of(&|v| [1, 9].iter().for_each(|&i| v[i] = -v[i])));
        seen.push(of(&|v| v.swap(3, 11)));
        seen.push(of(&|v| v.push(0.0)));
        seen.push(of(&|v| v.truncate(36)));
        let n = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), n);
        assert_eq!(digest(&values), digest(&values.clone()));
        assert_ne!(digest::<f32>(&[]), digest(&[0.0f32]));
    }

    #[cfg(feature = "files")]
    #[test]
    fn a_sample_of_many() {
        let mut values = vec![0.5f32; 5000];
        for most in [10, 64, 1024, 4999] {
            let before = sampled(&values, most);
            values.iter_mut().for_each(|v| *v *= 2.0);
            assert_ne!(sampled(&values, most), before);
            assert_eq!(sampled(&values[..most], most), digest(&values[..most]));
        }
        let (a, b) = values.split_at(7);
        assert_ne!(joined([a, b, &[]], 64), joined([b, a, &[]], 64));
        assert_ne!(joined([a, b, &[]], 64), joined([a, &[], b], 64));
    }
}
