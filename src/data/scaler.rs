//! Either scaler, as a model carries one.

use super::{MinMaxScaler, StandardScaler};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// A scaler of either kind: what a [`Model`](crate::Model) carries for those who predict with it, see
/// [`Model::set_scaler`](crate::Model::set_scaler).
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from([[1.0f32], [3.0]]);
/// let scaler: Scaler = StandardScaler::fit(&x)?.into();
/// assert_eq!(scaler.transform(&x)?, Tensor::from([[-1.0], [1.0]]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "class", content = "config"))]
#[non_exhaustive]
pub enum Scaler {
    /// To mean 0 and variance 1.
    StandardScaler(StandardScaler),
    /// To a range.
    MinMaxScaler(MinMaxScaler),
}

impl From<StandardScaler> for Scaler {
    fn from(scaler: StandardScaler) -> Self {
        Scaler::StandardScaler(scaler)
    }
}

impl From<MinMaxScaler> for Scaler {
    fn from(scaler: MinMaxScaler) -> Self {
        Scaler::MinMaxScaler(scaler)
    }
}

impl Scaler {
    /// What the scaler makes of data.
    ///
    /// # Errors
    /// Those of the scaler.
    pub fn transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        match self {
            Scaler::StandardScaler(scaler) => scaler.transform(x),
            Scaler::MinMaxScaler(scaler) => scaler.transform(x),
        }
    }

    /// Takes [`transform`](Self::transform) back.
    ///
    /// # Errors
    /// Those of the scaler.
    pub fn inverse_transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        match self {
            Scaler::StandardScaler(scaler) => scaler.inverse_transform(x),
            Scaler::MinMaxScaler(scaler) => scaler.inverse_transform(x),
        }
    }

    /// The numbers of each feature, and those that hold for all.
    fn numbers(&self) -> [&[f64]; 2] {
        match self {
            Scaler::StandardScaler(scaler) => [scaler.mean(), scaler.scale()],
            Scaler::MinMaxScaler(scaler) => [scaler.min(), scaler.max()],
        }
    }

    /// How many features it scales.
    pub fn features(&self) -> usize {
        self.numbers()[0].len()
    }

    /// Checks what came from a file, and that it has at most that many features.
    pub(crate) fn check(&self, most: usize) -> Result<()> {
        let [a, b] = self.numbers();
        if a.is_empty() || a.len() > most || a.len() != b.len() {
            let got = format!("{} and {}", a.len(), b.len());
            let expected = format!("two for each of 1 to {most} features");
            return Err(Error::argument("Scaler", "numbers", expected, got, "fit it on the model's inputs"));
        }
        let sound = match self {
            Scaler::StandardScaler(_) => b.iter().all(|scale| *scale > 0.0),
            Scaler::MinMaxScaler(scaler) => a.iter().zip(b).all(|(min, max)| min <= max) && scaler.has_range(),
        };
        if sound && a.iter().chain(b).all(|v| v.is_finite()) {
            return Ok(());
        }
        Err(Error::argument("Scaler", "numbers", "those of a scaler that was fitted", "others", "fit it again"))
    }
}
