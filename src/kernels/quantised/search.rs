//! What the encoders of blocks of 256 share: all groups of a block side by side, a group a lane, so that sums go through a group's values in their order
//! whatever the width of registers.

use super::super::half::{narrow, widen};

/// A number for each of G groups.
pub type Lanes<const G: usize> = [f32; G];

/// The values of a block, in place i those of all groups, and what their errors count.
pub struct Groups<const G: usize, const N: usize> {
    pub values: [Lanes<G>; N],
    pub weights: [Lanes<G>; N],
}

impl<const G: usize, const N: usize> Groups<G, N> {
    /// The groups of a block, one after the other there. An error counts by the size of its value and the root of the mean square of its group, as large weights
    /// move products more.
    #[inline(always)]
    pub fn new(block: &[f32]) -> Self {
        let mut values = [[0f32; G]; N];
        for (g, group) in block.as_chunks::<N>().0.iter().take(G).enumerate() {
            for (values, v) in values.iter_mut().zip(group) {
                values[g] = *v;
            }
        }
        let mut squares = [0f32; G];
        for values in &values {
            for (sum, v) in squares.iter_mut().zip(values) {
                *sum += v * v;
            }
        }
        let mean = squares.map(|sum| (sum / N as f32).sqrt());
        let weights = values.map(|values| std::array::from_fn(|g| mean[g] + values[g].abs()));
        Groups { values, weights }
    }

    /// Sums over each group's values: `terms` makes the summands of all groups of their values in one place and the weights of those.
    #[inline(always)]
    pub fn sums<const S: usize>(&self, terms: impl Fn(&Lanes<G>, &Lanes<G>) -> [Lanes<G>; S]) -> [Lanes<G>; S] {
        let mut sums = [[0f32; G]; S];
        for (values, weights) in self.values.iter().zip(&self.weights) {
            for (sums, terms) in sums.iter_mut().zip(terms(values, weights)) {
                for (sum, term) in sums.iter_mut().zip(terms) {
                    *sum += term;
                }
            }
        }
        sums
    }
}

/// A lane each of what `f` makes of its number.
#[inline(always)]
pub fn lanes<const G: usize>(f: impl Fn(usize) -> f32) -> Lanes<G> {
    std::array::from_fn(f)
}

/// The nearest whole number, the even one of two as near, for numbers of a size below 2²².
#[inline(always)]
pub fn nearest(v: f32) -> f32 {
    // Numbers of this size have no digits behind the point.
    const LARGE: f32 = 12_582_912.0;
    (v + LARGE) - LARGE
}

/// A factor of whole numbers in half precision, as the decoder reads it, and its bits: the nearest, but the next larger one where that has lost so many digits that
/// it would be too small for the largest of the numbers. Never infinite.
#[inline(always)]
pub fn factor(v: f32) -> (f32, u16) {
    let bits = narrow(v.clamp(-65504.0, 65504.0));
    let lacks = widen(bits).abs() < v.abs().min(65504.0) * (1.0 - 1.0 / 1024.0);
    // One above the largest below zero, too: the sign is a bit of its own.
    let bits = if lacks { bits + 1 } else { bits };
    (widen(bits), bits)
}
