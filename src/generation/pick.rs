//! Which token comes next.

use super::space::Space;
use crate::kernels::rows::largest;
use crate::kernels::simd;
use crate::random::{Key, Purpose};
use crate::tensor::Float;

/// The most likely token: that of the largest logit, the lowest of equals; none where no logit is above −∞, or one is NaN.
///
/// ```
/// assert_eq!(gradus::generation::most_likely(&[0.5f32, 2.0, 2.0]), Some(1));
/// ```
pub fn most_likely<T: Float>(logits: &[T]) -> Option<u32> {
    let (top, nan) = simd::vectorised(|| (largest(logits), logits.iter().fold(false, |nan, v| nan | v.is_nan())));
    if nan || top == T::neg_infinity() {
        return None;
    }
    logits.iter().position(|v| *v == top).map(|i| i as u32)
}

/// The token at `u`, in [0, 1), of the distribution that the logits stand for: tokens lie side by side in the order of their ids,
/// each as wide as it is likely. None where no logit is above −∞, or one is NaN or ∞.
///
/// ```
/// use gradus::generation::{Space, draw};
/// let (half, mut space) = ([0.0f64, f64::NEG_INFINITY, 0.0], Space::default());
/// assert_eq!(draw(&half, 0.49, &mut space), Some(0));
/// assert_eq!(draw(&half, 0.51, &mut space), Some(2));
/// ```
pub fn draw<T: Float>(logits: &[T], u: f64, space: &mut Space<T>) -> Option<u32> {
    let goal = u * space.exponentials(logits)?;
    let (mut sum, mut last) = (0.0, None);
    for (i, e) in space.exps.iter().enumerate() {
        sum += e.as_f64();
        if *e > T::zero() {
            last = Some(i as u32);
            if sum > goal {
                break;
            }
        }
    }
    // Where rounding lets the goal be the whole sum, it is the last one.
    last
}

/// Where a sequence's draws come from: the key of a row and of one of its sequences; the draw for the token at position p of the
/// row, prompt counted, is `key.unit(p)`.
pub(super) fn sequence_key(seed: u64, row: u64, sequence: usize) -> Key {
    Key::new(seed, Purpose::Generation).with(row).with(sequence as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        let mut space = Space::default();
        for logits in [&[f32::NEG_INFINITY; 20][..], &[], &[0.0, f32::NAN]] {
            assert_eq!((most_likely(logits), draw(logits, 0.5, &mut space)), (None, None), "{logits:?}");
        }
        assert_eq!(draw(&[0.0, f32::INFINITY], 0.5, &mut space), None);
        assert_eq!(draw(&[0.0f32, 0.0, f32::NEG_INFINITY], 1.0, &mut space), Some(1));
        assert_eq!(draw(&[f32::NEG_INFINITY, 0.0], 0.0, &mut space), Some(1));
    }

    #[test]
    fn draws_are_as_frequent_as_likely() {
        let (mut space, mut counts) = (Space::default(), [0usize; 3]);
        let logits = [0.2f64.ln(), 0.5f64.ln(), 0.3f64.ln()];
        for p in 0..10_000 {
            counts[draw(&logits, sequence_key(3, 1, 0).unit(p), &mut space).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([2000.0, 5000.0, 3000.0]) {
            assert!((*count as f64 - expected).abs() < 150.0, "{counts:?}");
        }
    }
}
