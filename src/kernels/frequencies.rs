//! How fast angles grow with the position.

use crate::error::{Error, Result};

/// Frequencies of n values, one for every two of them: base^(−2i/n), scaled. A few numbers, from which a table makes them when it needs them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frequencies {
    pub base: f64,
    /// n.
    pub values: usize,
    pub scaling: RotaryScaling,
}

impl Frequencies {
    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        self.values.div_ceil(2)
    }

    /// One after the other.
    pub fn each(self) -> impl ExactSizeIterator<Item = f64> {
        let exponent = move |i: usize| -((2 * i) as f64) / self.values as f64;
        (0..self.len()).map(move |i| self.scaling.of(libm::pow(self.base, exponent(i))))
    }
}

/// What frequencies become, so that a model trained on short contexts can have longer ones. The words are those of Hugging Face's
/// `rope_parameters`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RotaryScaling {
    /// As they are.
    #[default]
    None,
    /// Divided by a factor: positions lie closer together. Chen et al.: "Extending Context Window of Large Language Models via Positional
    /// Interpolation", 2023.
    Linear {
        /// How many times as long contexts become, at least 1.
        factor: f64,
    },
    /// By the wavelength w = 2π/f, with L positions in training: f where w < L/high, f/factor where w > L/low, and between
    /// f·((1 − s)/factor + s) with s = (L/w − low)/(high − low). Llama 3.1 (2024): 8, 1, 4, 8192.
    Llama3 {
        /// What the slowest frequencies are divided by, at least 1.
        factor: f64,
        /// low: waves longer than L/low are slowed down wholly.
        low_freq_factor: f64,
        /// high: waves shorter than L/high stay.
        high_freq_factor: f64,
        /// L.
        original_max_position_embeddings: usize,
    },
}

impl RotaryScaling {
    #[cfg(feature = "serde")]
    pub(crate) fn is_none(&self) -> bool {
        *self == RotaryScaling::None
    }

    pub(crate) fn check(self) -> Result<()> {
        let refuse = |name, expected: &str, got: &dyn std::fmt::Display, hint| {
            Err(Error::argument("Rotary", name, expected, got, hint))
        };
        match self {
            RotaryScaling::Linear { factor } | RotaryScaling::Llama3 { factor, .. }
                if !(factor.is_finite() && factor >= 1.0) =>
            {
                refuse("factor", "finite and at least 1", &factor, "1 leaves frequencies as they are")
            }
            RotaryScaling::Llama3 { low_freq_factor: low, high_freq_factor: high, .. }
                if !(low > 0.0 && low < high && high.is_finite()) =>
            {
                let hint = "pass a lower factor above 0 and a higher one above that, 1 and 4 as a rule";
                refuse("low_freq_factor", "above 0 and below high_freq_factor", &format!("{low} and {high}"), hint)
            }
            RotaryScaling::Llama3 { original_max_position_embeddings: 0, .. } => refuse(
                "original_max_position_embeddings",
                "at least 1",
                &0,
                "pass the context that the model was trained on",
            ),
            _ => Ok(()),
        }
    }

    fn of(self, f: f64) -> f64 {
        match self {
            RotaryScaling::None => f,
            RotaryScaling::Linear { factor } => f / factor,
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings,
            } => {
                let (length, wave) = (original_max_position_embeddings as f64, std::f64::consts::TAU / f);
                if wave < length / high {
                    f
                } else if wave > length / low {
                    f / factor
                } else {
                    let s = (length / wave - low) / (high - low);
                    f * ((1.0 - s) / factor + s)
                }
            }
        }
    }
}
