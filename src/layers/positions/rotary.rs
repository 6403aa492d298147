//! How fast the pairs of a head turn.

use crate::error::{Error, Result};
use crate::kernels::frequencies::Frequencies;
pub use crate::kernels::frequencies::RotaryScaling;
use crate::kernels::rotary::Pairs;
use crate::memory;

/// The settings of rotary positions: pair i of a head turns by the angle position·θ^(−2i/n), where n values of the head turn.
///
/// Defaults: θ = 10000, whole heads, pairs by halves (value i of the first half with value i of the second, as Llama's and most of Hugging
/// Face's weights are), frequencies as they are.
///
/// ```
/// use gradus::layers::{Rotary, RotaryScaling};
/// let rotary = Rotary::new().theta(100.0).scaling(RotaryScaling::Linear { factor: 2.0 });
/// assert_eq!(rotary.frequencies(4)?, [0.5, 0.05]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rotary {
    theta: f64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    turned: Option<usize>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    interleaved: bool,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "RotaryScaling::is_none"))]
    scaling: RotaryScaling,
}

impl Default for Rotary {
    fn default() -> Self {
        Rotary { theta: 1e4, turned: None, interleaved: false, scaling: RotaryScaling::None }
    }
}

impl Rotary {
    /// Those of the paper, by halves.
    pub fn new() -> Self {
        Self::default()
    }

    /// θ, at least 1; 10000 by default. Hugging Face's `rope_theta`.
    pub fn theta(mut self, theta: f64) -> Self {
        self.theta = theta;
        self
    }

    /// How many values of each head turn, the first ones, an even number; the others stay. All by default. (Hugging Face's
    /// `partial_rotary_factor` is their share of the head.)
    pub fn turned(mut self, values: usize) -> Self {
        self.turned = Some(values);
        self
    }

    /// Whether neighbours turn together, values 2i and 2i + 1, as in the paper and in GPT-J; no by default.
    pub fn interleaved(mut self, interleaved: bool) -> Self {
        self.interleaved = interleaved;
        self
    }

    /// What frequencies become for longer contexts; nothing else by default.
    pub fn scaling(mut self, scaling: RotaryScaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// The frequency of each pair of a head of so many values.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings that cannot work: an odd number of values that turn, or more than the head has; [`Error::Memory`]
    /// for heads that no memory holds.
    pub fn frequencies(&self, head_dim: usize) -> Result<Vec<f64>> {
        let (each, mut all) = (self.of_head(head_dim)?.each(), Vec::new());
        memory::reserve("Rotary", format_args!("the frequencies of {head_dim} values"), &mut all, each.len())?;
        all.extend(each);
        Ok(all)
    }

    /// The same without memory.
    pub(crate) fn of_head(&self, head_dim: usize) -> Result<Frequencies> {
        if !(self.theta.is_finite() && self.theta >= 1.0) {
            return Err(Error::argument("Rotary", "theta", "finite and at least 1", self.theta, "10000 is usual"));
        }
        self.scaling.check()?;
        let n = self.turned.unwrap_or(head_dim);
        if n == 0 || !n.is_multiple_of(2) || n > head_dim {
            let (name, expected) = match self.turned {
                Some(_) => ("turned", format!("an even number from 2 to {head_dim}, the values of a head")),
                None => ("head_dim", "an even number from 2 on".to_owned()),
            };
            let hint = "values turn in pairs; let turned leave some where they are";
            return Err(Error::argument("Rotary", name, expected, n, hint));
        }
        Ok(Frequencies { base: self.theta, values: n, scaling: self.scaling })
    }

    /// Which values turn together.
    pub(crate) fn pairs(&self) -> Pairs {
        if self.interleaved { Pairs::Neighbours } else { Pairs::Halves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 / θ^(2i/n), as it is written in the papers.
    #[test]
    fn frequencies_by_the_formula() {
        let f = Rotary::new().frequencies(64).unwrap();
        assert_eq!(f.len(), 32);
        assert!(f.iter().enumerate().all(|(i, f)| (f * 1e4f64.powf(i as f64 / 32.0) - 1.0).abs() < 1e-14));
        let part = Rotary::new().turned(6).theta(500.0).frequencies(11).unwrap();
        assert!(part.len() == 3 && (part[1] * 500f64.powf(1.0 / 3.0) - 1.0).abs() < 1e-14);
    }

    /// Llama 3.1's numbers: fast pairs stay, slow ones become 8 times as slow, a few lie between.
    #[test]
    fn frequencies_of_llama_3() {
        let (factor, low, high, length) = (8.0, 1.0, 4.0, 8192);
        let scaling = RotaryScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: length,
        };
        let plain = Rotary::new().theta(5e5).frequencies(128).unwrap();
        let scaled = Rotary::new().theta(5e5).scaling(scaling).frequencies(128).unwrap();
        let (mut kept, mut slowed) = (0, 0);
        for (f, scaled) in plain.iter().zip(&scaled) {
            let wave = std::f64::consts::TAU / f;
            if wave < length as f64 / high {
                kept += 1;
                assert_eq!(scaled, f);
            } else if wave > length as f64 / low {
                slowed += 1;
                assert_eq!(*scaled, f / factor);
            } else {
                // From the whole frequency at one end to an eighth of it at the other, linear in the number of waves.
                let share = (length as f64 / wave - low) / (high - low);
                assert!((scaled / f - (1.0 / factor + share * (1.0 - 1.0 / factor))).abs() < 1e-14);
                assert!(*scaled < *f && *scaled > f / factor);
            }
        }
        assert_eq!((kept, slowed), (29, 29));
        assert!(scaled.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn impossible_settings() {
        let error = |rotary: Rotary, head_dim| rotary.frequencies(head_dim).unwrap_err().to_string();
        assert_eq!(
            error(Rotary::new(), 7),
            "Rotary: head_dim must be an even number from 2 on, got 7; values turn in pairs; let turned leave some where they are"
        );
        assert!(error(Rotary::new(), 0).contains("head_dim must be an even number"));
        assert!(matches!(Rotary::new().frequencies(usize::MAX - 1), Err(Error::Memory { .. })));
        for turned in [0, 3, 10] {
            assert!(error(Rotary::new().turned(turned), 8).contains("turned must be an even number from 2 to 8"));
        }
        for bad in [0.0, 0.99, -1.0, f64::NAN, f64::INFINITY] {
            assert!(error(Rotary::new().theta(bad), 8).contains("theta must be finite and at least 1"));
            assert!(error(Rotary::new().scaling(RotaryScaling::Linear { factor: bad }), 8).contains("factor must be"));
        }
        let llama = |low_freq_factor, high_freq_factor, length| {
            error(
                Rotary::new().scaling(RotaryScaling::Llama3 {
                    factor: 8.0,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: length,
                }),
                8,
            )
        };
        assert!(llama(4.0, 1.0, 8192).contains("above 0 and below high_freq_factor, got 4 and 1"));
        assert!(llama(0.0, 1.0, 8192).contains("below high_freq_factor"));
        assert!(llama(1.0, f64::NAN, 8192).contains("below high_freq_factor"));
        assert!(llama(1.0, 4.0, 0).contains("original_max_position_embeddings must be at least 1"));
    }
}
