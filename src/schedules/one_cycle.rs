//! Up to a high rate and down again, once.

use std::f64::consts::PI;

use super::{Schedule, ScheduleConfig};
use crate::check::{check_not_negative, check_steps};
use crate::error::{Error, Result};

/// From max/div_factor up to max in the first part of `steps` steps, then down to max/(div_factor · final_div_factor).
///
/// The rise ends at step pct_start · steps − 1 and the fall at step `steps` − 1, where the rate stays. Each goes from a to b
/// as b + (a − b)·(1 + cos(π·part))/2, or as b + (a − b)·(1 − part) with `linear`. With `three_phase` the rate first falls
/// to max/div_factor in as many steps as it rose, and in the rest of the steps to the end.
///
/// Defaults: pct_start 0.3, div_factor 25, final_div_factor 10000, half cosines, two phases. PyTorch `OneCycleLR`, of which
/// it leaves out the momentum. Smith, Topin: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
/// Rates", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let rate = OneCycle::new(0.1, 100).div_factor(10.0);
/// assert_eq!((rate.at(0), rate.at(29)), (0.01, 0.1));
/// assert!((rate.at(99) - 1e-6).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct OneCycle {
    max: f64,
    steps: u64,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
    linear: bool,
    three_phase: bool,
}

impl OneCycle {
    /// A learning rate that rises to `max` and falls again, in `steps` steps together.
    pub fn new(max: f64, steps: u64) -> Self {
        OneCycle {
            max,
            steps,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            linear: false,
            three_phase: false,
        }
    }

    /// The part of the steps in which the rate rises, in [0, 1]; 0.3 by default.
    pub fn pct_start(mut self, part: f64) -> Self {
        self.pct_start = part;
        self
    }

    /// The highest rate measured by the first, above 0; 25 by default.
    pub fn div_factor(mut self, factor: f64) -> Self {
        self.div_factor = factor;
        self
    }

    /// The first rate measured by the last, above 0; 10000 by default.
    pub fn final_div_factor(mut self, factor: f64) -> Self {
        self.final_div_factor = factor;
        self
    }

    /// Whether the rate changes in lines instead of half cosines; no by default.
    pub fn linear(mut self, linear: bool) -> Self {
        self.linear = linear;
        self
    }

    /// Whether the fall passes the first rate after as many steps as the rise took; no by default.
    pub fn three_phase(mut self, three_phase: bool) -> Self {
        self.three_phase = three_phase;
        self
    }

    /// From `a` at 0 to `b` at 1.
    fn between(&self, a: f64, b: f64, part: f64) -> f64 {
        let rest = if self.linear { 1.0 - part } else { 0.5 * (1.0 + (PI * part).cos()) };
        a * rest + b * (1.0 - rest)
    }
}

impl Schedule for OneCycle {
    fn at(&self, step: u64) -> f64 {
        let (first, steps) = (self.max / self.div_factor, self.steps as f64);
        let (last, end) = (first / self.final_div_factor, steps - 1.0);
        let top = self.pct_start * steps - 1.0;
        let low = 2.0 * self.pct_start * steps - 2.0;
        let phases = match self.three_phase {
            true => [(top, first, self.max), (low, self.max, first), (end, first, last)],
            false => [(top, first, self.max), (end, self.max, last), (end, last, last)],
        };
        let (step, mut begin) = (step as f64, 0.0f64);
        for (stop, a, b) in phases {
            if step <= stop {
                // A rise of no length is at its end.
                let part = if stop > begin { (step - begin) / (stop - begin) } else { 1.0 };
                return self.between(a, b, part);
            }
            begin = stop;
        }
        last
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::OneCycle(self.clone())
    }

    fn check(&self) -> Result<()> {
        let op = "OneCycle";
        check_not_negative(op, "max", self.max)?;
        check_steps(op, "total_steps", self.steps)?;
        if !(0.0..=1.0).contains(&self.pct_start) {
            return Err(Error::argument(op, "pct_start", "from 0 to 1", self.pct_start, "0.3 is usual"));
        }
        if self.three_phase && self.pct_start > 0.5 {
            let hint = "the fall takes as long as the rise; 0.3 is usual";
            return Err(Error::argument(op, "pct_start", "at most 0.5 with three_phase", self.pct_start, hint));
        }
        for (name, value, hint) in [
            ("div_factor", self.div_factor, "25 is usual"),
            ("final_div_factor", self.final_div_factor, "10000 is usual"),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::argument(op, name, "finite and above 0", value, hint));
            }
        }
        if !(self.max / self.div_factor / self.final_div_factor).is_finite()
            || !(self.max / self.div_factor).is_finite()
        {
            let hint = "25 is usual; what max is divided by must leave finite rates";
            return Err(Error::argument(op, "div_factor", "large enough for finite rates", self.div_factor, hint));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-14, "{a} is not {b}");
    }

    #[test]
    fn pytorch() {
        // OneCycleLR of PyTorch 2.15 with max_lr 0.1 and total_steps 17, at these steps.
        let steps = [0, 4, 5, 8, 9, 12, 16];
        let check = |rate: &OneCycle, expected: [f64; 7]| {
            steps.iter().zip(expected).for_each(|(&step, value)| close(rate.at(step), value));
        };
        let rate = OneCycle::new(0.1, 17);
        let falls = [0.09859529531534861, 0.0757582863145874, 0.06368329477100614, 0.025382311829729463, 4e-7];
        let [a, b, c, d, e] = falls;
        check(&rate, [0.004, 0.09985915845681954, a, b, c, d, e]);
        let falls = [0.08903148063145326, 0.004562539658543266, 0.003897083176605901, 0.0020807238270308076, 4e-7];
        let [a, b, c, d, e] = falls;
        check(&rate.clone().three_phase(true), [0.004, 0.09985915845681954, a, b, c, d, e]);
        let rate = rate.pct_start(0.25).div_factor(10.0).final_div_factor(100.0).three_phase(true).linear(true);
        let falls = [0.05153846153846154, 0.008436842105263158, 0.007394736842105263, 0.0042684210526315785, 1e-4];
        let [a, b, c, d, e] = falls;
        check(&rate, [0.01, 0.07923076923076923, a, b, c, d, e]);
    }

    #[test]
    fn joints_of_two_phases() {
        // Up to step 0.5 · 42 − 1 = 20, down to step 41.
        let rate = OneCycle::new(1.0, 42).pct_start(0.5).div_factor(4.0).final_div_factor(2.0);
        for (step, value) in [(0, 0.25), (10, 0.625), (20, 1.0), (41, 0.125), (42, 0.125), (u64::MAX, 0.125)] {
            close(rate.at(step), value);
        }
        // A quarter of the way of a half cosine is (1 − √½)/2 of it.
        close(rate.at(5), 0.25 + 0.75 * (1.0 - 0.5f64.sqrt()) / 2.0);
        let linear = rate.linear(true);
        close(linear.at(5), 0.4375);
        close(linear.at(27), 1.0 - 0.875 / 3.0);
    }

    #[test]
    fn joints_of_three_phases() {
        // Up to step 9, down to the first rate at 18, to the end at 49.
        let rate =
            OneCycle::new(1.0, 50).pct_start(0.2).div_factor(4.0).final_div_factor(5.0).linear(true).three_phase(true);
        for (step, value) in [(0, 0.25), (3, 0.5), (9, 1.0), (12, 0.75), (18, 0.25), (49, 0.05), (50, 0.05)] {
            close(rate.at(step), value);
        }
    }

    #[test]
    fn rises_then_falls() {
        for rate in [OneCycle::new(0.1, 100), OneCycle::new(0.1, 100).three_phase(true).linear(true)] {
            let rates: Vec<f64> = (0..130).map(|s| rate.at(s)).collect();
            assert!(rates[..30].windows(2).all(|r| r[0] < r[1]));
            assert!(rates[29..100].windows(2).all(|r| r[0] > r[1]));
            assert!(rates[99..].iter().all(|&r| (r - 4e-7).abs() < 1e-15));
        }
    }

    #[test]
    fn parts_without_steps() {
        // The fall alone begins a step early, as in PyTorch.
        let falls = OneCycle::new(0.1, 10).pct_start(0.0).linear(true);
        close(falls.at(0), 0.09 + 4e-8);
        close(falls.at(9), 4e-7);
        let rises = OneCycle::new(0.1, 10).pct_start(1.0);
        close(rises.at(9), 0.1);
        close(rises.at(10), 4e-7);
        assert!(OneCycle::new(0.1, 2).pct_start(0.5).at(0) == 0.1);
        assert!((0..9).all(|s| OneCycle::new(0.1, 4).pct_start(0.1).three_phase(true).at(s).is_finite()));
    }

    #[test]
    fn bad_settings() {
        let rate = OneCycle::new(0.1, 10);
        assert!(rate.check().is_ok());
        assert_eq!(
            rate.clone().div_factor(0.0).check().unwrap_err().to_string(),
            "OneCycle: div_factor must be finite and above 0, got 0; 25 is usual"
        );
        assert!(OneCycle::new(-0.1, 10).check().is_err());
        assert!(OneCycle::new(f64::NAN, 10).check().is_err());
        assert!(OneCycle::new(0.1, 0).check().is_err());
        assert!(rate.clone().pct_start(1.5).check().is_err());
        assert!(rate.clone().pct_start(f64::NAN).check().is_err());
        assert!(rate.clone().pct_start(0.6).three_phase(true).check().is_err());
        assert!(rate.clone().final_div_factor(f64::INFINITY).check().is_err());
        assert!(rate.final_div_factor(-1.0).check().is_err());
    }

    #[test]
    fn what_max_is_divided_by_leaves_finite_rates() {
        let rate = OneCycle::new(1e300, 10).div_factor(1e-100);
        assert!(rate.check().unwrap_err().to_string().contains("div_factor must be large enough"));
        assert!(OneCycle::new(0.1, 10).div_factor(1e-3).final_div_factor(1e300).check().is_ok());
    }
}
