//! What is added to scores by how far apart query and key are.

use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::layer::Builder;
use crate::params::ParamId;
use crate::tensor::Float;

/// What attention adds to a score by the distance of key and query.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PositionBias {
    /// Nothing.
    #[default]
    None,
    /// −m·|distance| with a slope for each head: m = 2^(−8·h / heads) for h = 1 … heads, where heads is a power of two; otherwise those of the power
    /// of two below, and then every other one of twice as many heads.
    ///
    /// Press, Smith, Lewis: "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", 2022.
    Alibi,
    /// A trained number for each head and bucket of distances: near distances have a bucket each, far ones share buckets that grow with the
    /// logarithm, up to a distance from which all are in the last. With `bidirectional`, half of the buckets are for keys behind the query.
    ///
    /// Raffel and others: "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (T5), 2020.
    Relative {
        /// How many buckets, both directions together; T5 has 32.
        buckets: usize,
        /// From here on all are in the last bucket; T5 has 128.
        max_distance: usize,
        /// Whether keys behind the query have buckets of their own (encoders); without, they count as distance 0 (decoders).
        bidirectional: bool,
        /// The path of the table of another layer, "…/relative_bias", whose numbers are used; `None` for a table of this layer's own
        /// `[buckets, heads]`.
        shared: Option<String>,
    },
}

impl PositionBias {
    /// T5's: 32 buckets up to a distance of 128, with a table of its own.
    pub fn relative(bidirectional: bool) -> Self {
        PositionBias::Relative { buckets: 32, max_distance: 128, bidirectional, shared: None }
    }

    /// T5's, with the table of another layer, by its path.
    pub fn shared(bidirectional: bool, path: impl Into<String>) -> Self {
        PositionBias::Relative { buckets: 32, max_distance: 128, bidirectional, shared: Some(path.into()) }
    }

    /// The table, if there is one.
    pub(super) fn build<T: Float>(&self, heads: usize, b: &mut Builder<T>) -> Result<Option<ParamId>> {
        let PositionBias::Relative { buckets, max_distance, bidirectional, shared } = self else { return Ok(None) };
        let exact = buckets / if *bidirectional { 4 } else { 2 };
        if exact == 0 || *max_distance <= exact {
            let least = if *bidirectional { 4 } else { 2 };
            let expected =
                format!("at least {least} buckets, and a max_distance above the {exact} that have a bucket each");
            let got = format!("{buckets} buckets and a max_distance of {max_distance}");
            return Err(Error::argument("DotProductAttention", "bias", expected, got, "T5 has 32 and 128"));
        }
        let Some(path) = shared else {
            let id = b.weight("relative_bias", [*buckets, heads], &Init::Normal { mean: 0.0, std: 0.02 })?;
            b.no_decay(id)?;
            return Ok(Some(id));
        };
        let id = b.reuse(path)?;
        match b.params().spec(id) {
            Some(spec) if spec.shape == [*buckets, heads].into() => Ok(Some(id)),
            spec => {
                let got = spec.map_or_else(|| "none".to_owned(), |spec| spec.shape.to_string());
                let expected = format!("{path} of shape [{buckets}, {heads}]");
                Err(Error::shape("DotProductAttention", expected, got, "share a table of as many buckets and heads"))
            }
        }
    }

    /// The bias of every head for `distances` from `first` on, into `[heads, distances]`.
    pub(super) fn write<T: Float>(&self, heads: usize, table: &[T], first: isize, out: &mut [T]) {
        let distances = (out.len() / heads.max(1)).max(1);
        for (head, out) in out.chunks_exact_mut(distances).enumerate() {
            match self {
                PositionBias::None => out.fill(T::zero()),
                PositionBias::Alibi => {
                    let slope = slope(head, heads);
                    let each = out.iter_mut().zip(first..);
                    each.for_each(|(b, distance)| *b = T::of(-slope * distance.unsigned_abs() as f64));
                }
                PositionBias::Relative { .. } => {
                    let each = out.iter_mut().zip(first..);
                    each.for_each(|(b, distance)| *b = table[self.bucket(distance) * heads + head]);
                }
            }
        }
    }

    /// Adds the gradients of the biases `[…, heads, distances]` to that of the table.
    pub(super) fn add_gradient<T: Float>(
        &self,
        heads: usize,
        distances: usize,
        first: isize,
        g: &[T],
        table: &mut [T],
    ) {
        for (i, g) in g.chunks_exact(distances.max(1)).enumerate() {
            for (g, distance) in g.iter().zip(first..) {
                table[self.bucket(distance) * heads + i % heads] += *g;
            }
        }
    }

    /// The bucket of a distance, key minus query.
    fn bucket(&self, distance: isize) -> usize {
        let PositionBias::Relative { buckets, max_distance, bidirectional, .. } = self else { return 0 };
        let (mut buckets, mut first) = (*buckets, 0);
        let far = if *bidirectional {
            buckets /= 2;
            first = if distance > 0 { buckets } else { 0 };
            distance.unsigned_abs()
        } else {
            (-distance).max(0).unsigned_abs()
        };
        let exact = buckets / 2;
        if far < exact {
            return first + far;
        }
        let part = (far as f64 / exact as f64).ln() / (*max_distance as f64 / exact as f64).ln();
        let far = exact + (part * (buckets - exact) as f64) as usize;
        first + far.min(buckets - 1)
    }
}

/// The slope of a head.
fn slope(head: usize, heads: usize) -> f64 {
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    match head.checked_sub(power) {
        None => (-8.0 * (head + 1) as f64 / power as f64).exp2(),
        Some(more) => (-8.0 * (2 * more + 1) as f64 / (2 * power) as f64).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_as_published() {
        let of = |heads: usize| (0..heads).map(|head| slope(head, heads)).collect::<Vec<_>>();
        assert_eq!(of(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        assert_eq!(of(3)[..2], [0.0625, 0.00390625]);
        assert_eq!(of(3)[2], 0.25);
    }

    #[test]
    fn buckets_as_t5_has_them() {
        let both = PositionBias::relative(true);
        let of = |bias: &PositionBias, all: &[isize]| all.iter().map(|d| bias.bucket(*d)).collect::<Vec<_>>();
        // Eight distances have a bucket each, sixteen is 8 + ⌊ln 2 / ln 16 · 8⌋.
        assert_eq!(of(&both, &[0, -1, -7, -8, -16, -127, -128, -5000]), [0, 1, 7, 8, 10, 15, 15, 15]);
        assert_eq!(of(&both, &[1, 7, 8, 16, 128]), [17, 23, 24, 26, 31]);
        let back = PositionBias::relative(false);
        assert_eq!(of(&back, &[5, 0, -15, -16, -32, -127, -400]), [0, 0, 15, 16, 21, 31, 31]);
    }
}
