//! A constant learning rate for each stretch of steps.

use super::{Schedule, ScheduleConfig};
use crate::check::check_not_negative;
use crate::error::{Error, Result};

/// The first value up to and with the step of the first boundary, the second up to and with that of the second, and so on.
///
/// Keras `PiecewiseConstantDecay`.
///
/// ```
/// use gradus::prelude::*;
/// let rate = PiecewiseConstantDecay::new([1000, 2000], [0.1, 0.05, 0.01]);
/// assert_eq!((rate.at(1000), rate.at(1001), rate.at(9000)), (0.1, 0.05, 0.01));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<u64>,
    values: Vec<f64>,
}

impl PiecewiseConstantDecay {
    /// Ascending boundaries, and one value more than those.
    pub fn new(boundaries: impl Into<Vec<u64>>, values: impl Into<Vec<f64>>) -> Self {
        PiecewiseConstantDecay { boundaries: boundaries.into(), values: values.into() }
    }
}

impl Schedule for PiecewiseConstantDecay {
    fn at(&self, step: u64) -> f64 {
        let piece = self.boundaries.iter().take_while(|b| step > **b).count();
        self.values.get(piece).copied().unwrap_or(f64::NAN)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::PiecewiseConstantDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        let (op, n) = ("PiecewiseConstantDecay", self.boundaries.len());
        if self.values.len() != n + 1 {
            let hint = "pass one value more than boundaries";
            return Err(Error::argument(op, "values", format!("{} numbers", n + 1), self.values.len(), hint));
        }
        if !self.boundaries.windows(2).all(|pair| pair[0] < pair[1]) {
            let got = format!("{:?}", self.boundaries);
            return Err(Error::argument(op, "boundaries", "ascending", got, "sort them and leave no two equal"));
        }
        self.values.iter().try_for_each(|&v| check_not_negative(op, "values", v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        assert_eq!(PiecewiseConstantDecay::new([], [0.1]).at(7), 0.1);
        let check = |b: &[u64], v: &[f64]| PiecewiseConstantDecay::new(b, v).check();
        assert!(check(&[10, 40], &[0.1, 0.05, 0.01]).is_ok());
        assert!(check(&[10, 40], &[0.1, 0.05]).is_err());
        assert!(check(&[40, 10], &[0.1, 0.05, 0.01]).is_err());
        assert!(check(&[10], &[0.1, f64::NAN]).is_err());
        assert!(check(&[], &[]).is_err());
    }
}
