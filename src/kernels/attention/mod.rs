//! Scaled dot-product attention, tile after tile of keys, so that no matrix of queries times keys is kept.
//!
//! Of each query only the largest score so far, the sum of exponentials and the sum of values are kept; a tile that brings a larger score scales
//! both sums down (Milakov, Gimelshein: "Online normalizer calculation for softmax", 2018; Rabe, Staats: "Self-attention does not need
//! O(n²) memory", 2021; Dao and others: "FlashAttention", 2022). Backward computes the scores of a tile again from the logarithm of the sum.
//!
//! Tiles are counted from the first key of a problem, and what a query may not see adds exact zeros, so a query's bits depend on the keys that it
//! sees and on nothing else: not on queries beside it, padding behind it, other documents in the row, or the number of threads.

mod backward;
mod buffers;
mod forward;
mod probabilities;
mod rules;
mod scores;
#[cfg(test)]
mod tests;

pub use backward::{Gradients, backward, each_bias};
pub use forward::forward;
pub use probabilities::probabilities;
pub use rules::{Biases, Numbers, Rules, Sizes};

use super::parallel;

/// How many values of working space [`forward`] and [`backward`] need.
pub fn space(sizes: Sizes, problems: &[Numbers], is_backward: bool) -> usize {
    if is_backward {
        backward::parts(sizes, problems) * backward::SPACE
    } else {
        forward::parts(sizes, problems) * forward::SPACE
    }
}

/// How many values of working space a call needs at most, whatever the problems.
pub fn most_space(is_backward: bool) -> usize {
    parallel::threads().saturating_mul(if is_backward { backward::SPACE.max(forward::SPACE) } else { forward::SPACE })
}
