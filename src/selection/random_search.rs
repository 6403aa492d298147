//! Settings drawn at random.

use std::ops::RangeInclusive;

use super::trial::{Search, Trial, Value, check_names};
use crate::callbacks::Mode;
use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};

/// Tries settings drawn at random, each from its own distribution.
///
/// - With as many trials it tries more values of the settings that matter than a grid does, as it never repeats a value of one
///   only to change another.
/// - Defaults: larger scores are better, seed 0. The same seed draws the same settings; a trial's do not depend on how many
///   trials there are.
/// - A trial that returns an error is recorded with it, and the search goes on.
///
/// Bergstra, Bengio: "Random Search for Hyper-Parameter Optimization", 2012. scikit-learn `RandomizedSearchCV`, Keras Tuner
/// `RandomSearch`.
///
/// ```
/// use gradus::prelude::*;
/// let search = RandomSearch::new(20)
///     .log_uniform("rate", 1e-4, 1e-1)
///     .uniform("dropout", 0.0, 0.5)
///     .integer("units", 8..=64)
///     .choice("activation", ["relu", "tanh"])
///     .seed(7);
/// // Here a model would be trained and measured.
/// let found = search.search(|trial| Ok(-(trial.get::<f64>("rate")?.log10() + 2.0).abs()))?;
/// let rate: f64 = found.best().get("rate")?;
/// assert!((5e-3..2e-2).contains(&rate));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RandomSearch {
    trials: usize,
    settings: Vec<(String, Distribution)>,
    mode: Mode,
    seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    Uniform(f64, f64),
    LogUniform(f64, f64),
    Integer(i64, i64),
    Choice(Vec<Value>),
}

impl RandomSearch {
    /// This many trials.
    pub fn new(trials: usize) -> Self {
        RandomSearch { trials, settings: Vec::new(), mode: Mode::Auto, seed: 0 }
    }

    fn with(mut self, name: &str, distribution: Distribution) -> Self {
        self.settings.push((name.to_owned(), distribution));
        self
    }

    /// A number from `low` to `high`, all equally likely.
    pub fn uniform(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, Distribution::Uniform(low, high))
    }

    /// A number from `low`, above 0, to `high`, all orders of magnitude equally likely: for learning rates and decays.
    pub fn log_uniform(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, Distribution::LogUniform(low, high))
    }

    /// A whole number of the range, its ends included.
    pub fn integer(self, name: &str, range: RangeInclusive<i64>) -> Self {
        self.with(name, Distribution::Integer(*range.start(), *range.end()))
    }

    /// One of the values: numbers, names or flags.
    pub fn choice(self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.with(name, Distribution::Choice(values.into_iter().map(Into::into).collect()))
    }

    /// Which direction of the score is better; larger by default.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What is drawn, and the trials' own seeds; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Calls `score` for every trial.
    ///
    /// # Errors
    /// [`Error::Config`] without settings, or if all trials fail; [`Error::Argument`] for no trials, a name given twice, or bounds
    /// that are no range.
    pub fn search(&self, score: impl FnMut(&Trial) -> Result<f64>) -> Result<Search> {
        if self.trials == 0 {
            return Err(Error::argument(OP, "trials", "at least 1", 0, "10 to 60 are usual"));
        }
        check_names(OP, self.settings.iter().map(|(name, _)| name))?;
        self.settings.iter().try_for_each(|(name, distribution)| distribution.check(name))?;
        let trials = (0..self.trials).map(|number| {
            let key = Key::new(self.seed, Purpose::Search).with(number as u64);
            let draw = |(i, (name, d)): (usize, &(String, Distribution))| (name.clone(), d.draw(key.with(i as u64)));
            Trial::new(self.seed, number, self.settings.iter().enumerate().map(draw).collect())
        });
        Search::run(OP, self.mode, trials, score)
    }
}

const OP: &str = "RandomSearch";

impl Distribution {
    fn check(&self, name: &str) -> Result<()> {
        let expected = match self {
            Distribution::Uniform(low, high) if !(low.is_finite() && high.is_finite() && low <= high) => {
                "finite and in order"
            }
            Distribution::LogUniform(low, high) if !(*low > 0.0 && high.is_finite() && low <= high) => {
                "finite, above 0 and in order"
            }
            Distribution::Integer(low, high) if low > high => "in order",
            Distribution::Choice(values) if values.is_empty() => "at least one value",
            _ => return Ok(()),
        };
        let got = match self {
            Distribution::Uniform(low, high) | Distribution::LogUniform(low, high) => format!("{low} to {high}"),
            Distribution::Integer(low, high) => format!("{low} to {high}"),
            Distribution::Choice(_) => "none".to_owned(),
        };
        Err(Error::argument(OP, "bounds", expected, format!("{got} for {name}"), "correct the setting"))
    }

    fn draw(&self, key: Key) -> Value {
        match self {
            // A mean of both ends, which cannot overflow.
            Distribution::Uniform(low, high) => {
                let u = key.unit(0);
                Value::Number((low * (1.0 - u) + high * u).clamp(*low, *high))
            }
            Distribution::LogUniform(low, high) => {
                let u = key.unit(0);
                Value::Number((low.ln() * (1.0 - u) + high.ln() * u).exp().clamp(*low, *high))
            }
            Distribution::Integer(low, high) => {
                let span = high.abs_diff(*low);
                let step = match span.checked_add(1) {
                    Some(n) => ((u128::from(key.bits(0)) * u128::from(n)) >> 64) as u64,
                    None => key.bits(0),
                };
                Value::Integer(low.wrapping_add_unsigned(step))
            }
            Distribution::Choice(values) => values[key.below(0, values.len())].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws<V: super::super::FromValue>(search: RandomSearch) -> Vec<V> {
        let mut all = Vec::new();
        search
            .search(|trial| {
                all.push(trial.get("v")?);
                Ok(0.0)
            })
            .unwrap();
        all
    }

    #[test]
    fn distributions() {
        let within = |values: &[f64], low: f64, high: f64, middle: f64| {
            assert!(values.iter().all(|v| (low..=high).contains(v)));
            let below = values.iter().filter(|&&v| v < middle).count();
            // 1000 draws, half of them below the middle; five deviations.
            assert!((420..580).contains(&below), "{below}");
        };
        within(&draws(RandomSearch::new(1000).uniform("v", -1.0, 3.0)), -1.0, 3.0, 1.0);
        within(&draws(RandomSearch::new(1000).log_uniform("v", 1e-4, 1.0)), 1e-4, 1.0, 1e-2);
        within(&draws(RandomSearch::new(1000).uniform("v", -f64::MAX, f64::MAX)), -f64::MAX, f64::MAX, 0.0);
        let integers: Vec<i64> = draws(RandomSearch::new(1000).integer("v", -2..=1));
        (-2..=1).for_each(|v| assert!((180..320).contains(&integers.iter().filter(|&&i| i == v).count())));
        assert!(draws::<i64>(RandomSearch::new(1000).integer("v", i64::MIN..=i64::MAX)).iter().any(|&v| v < 0));
        assert_eq!(draws::<i64>(RandomSearch::new(1).integer("v", 5..=5)), [5]);
        let names: Vec<String> = draws(RandomSearch::new(100).choice("v", ["a", "b"]));
        assert!(names.contains(&"a".to_owned()) && names.contains(&"b".to_owned()));
    }

    #[test]
    fn seeds_decide_and_trials_stand_alone() {
        let search = |n, seed| draws::<f64>(RandomSearch::new(n).uniform("v", 0.0, 1.0).seed(seed));
        assert_eq!(search(10, 1), search(10, 1));
        assert_ne!(search(10, 1), search(10, 2));
        assert_eq!(search(10, 1)[..4], search(4, 1));
        let more = RandomSearch::new(10).uniform("v", 0.0, 1.0).integer("n", 1..=9).seed(1);
        assert_eq!(draws::<f64>(more), search(10, 1));
    }

    #[test]
    fn impossible_settings() {
        let error = |search: RandomSearch| search.search(|_| Ok(1.0)).unwrap_err().to_string();
        let new = || RandomSearch::new(3);
        assert!(error(RandomSearch::new(0).uniform("v", 0.0, 1.0)).contains("trials must be at least 1"));
        assert!(error(new()).contains("there are no settings"));
        assert!(error(new().uniform("v", 1.0, 0.0)).contains("finite and in order, got 1 to 0 for v"));
        assert!(error(new().uniform("v", f64::NAN, 0.0)).contains("NaN to 0"));
        assert!(error(new().log_uniform("v", 0.0, 1.0)).contains("above 0"));
        assert!(error(new().log_uniform("v", 1.0, f64::INFINITY)).contains("finite"));
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = 3..=2;
        assert!(error(new().integer("v", reversed)).contains("3 to 2"));
        assert!(error(new().choice("v", Vec::<i32>::new())).contains("at least one value, got none"));
        assert!(error(new().uniform("v", 0.0, 1.0).choice("v", [1])).contains("v twice"));
    }
}
