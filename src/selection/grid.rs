//! Every combination of given values.

use super::trial::{Search, Trial, Value, check_names};
use crate::callbacks::Mode;
use crate::error::{Error, Result};

/// Tries every combination of the given values; the last setting changes fastest.
///
/// - Defaults: larger scores are better, seed 0 (for [`Trial::seed`] only).
/// - A trial that returns an error is recorded with it, and the search goes on.
///
/// scikit-learn `GridSearchCV` (whose folds are [`cross_validate`](super::cross_validate) inside the closure), Keras Tuner
/// `GridSearch`.
///
/// ```
/// use gradus::prelude::*;
/// let grid = Grid::new().add("units", [8, 16]).add("activation", ["relu", "tanh"]);
/// let found = grid.search(|trial| {
///     let (units, activation) = (trial.get::<usize>("units")?, trial.get::<String>("activation")?);
///     // Here a model would be trained and measured.
///     Ok(units as f64 + if activation == "tanh" { 0.5 } else { 0.0 })
/// })?;
/// assert_eq!(found.best().to_string(), "units: 16, activation: tanh");
/// println!("{found}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    settings: Vec<(String, Vec<Value>)>,
    mode: Mode,
    seed: u64,
}

impl Grid {
    /// A grid without settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a setting with the values to try: numbers, names or flags.
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.settings.push((name.to_owned(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// Which direction of the score is better; larger by default.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What the trials' own seeds follow from; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of combinations.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn combinations(&self) -> Result<usize> {
        const OP: &str = "Grid";
        check_names(OP, self.settings.iter().map(|(name, _)| name))?;
        if let Some((name, _)) = self.settings.iter().find(|(_, values)| values.is_empty()) {
            return Err(Error::argument(OP, "values", "at least one", format!("none for {name}"), "add one"));
        }
        let product = self.settings.iter().try_fold(1usize, |n, (_, values)| n.checked_mul(values.len()));
        let hint = "try fewer values, or use RandomSearch";
        product.ok_or_else(|| Error::argument(OP, "combinations", "countable", "more than 2⁶⁴", hint))
    }

    /// Calls `score` for every combination.
    ///
    /// # Errors
    /// [`Error::Config`] without settings, or if all trials fail; [`Error::Argument`] for a name given twice or a setting without
    /// values.
    pub fn search(&self, score: impl FnMut(&Trial) -> Result<f64>) -> Result<Search> {
        let trials = (0..self.combinations()?).map(|number| {
            // The digits of the number, each in the base of its setting.
            let mut rest = number;
            let mut settings: Vec<_> = self
                .settings
                .iter()
                .rev()
                .map(|(name, values)| {
                    let value = values[rest % values.len()].clone();
                    rest /= values.len();
                    (name.clone(), value)
                })
                .collect();
            settings.reverse();
            Trial::new(self.seed, number, settings)
        });
        Search::run("Grid", self.mode, trials, score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_once() {
        let grid = Grid::new().add("a", [1, 2, 3]).add("b", [0.1, 0.2]).add("c", [true]).mode(Mode::Min);
        let found = grid.search(|t| Ok(t.get::<f64>("a")? - t.get::<f64>("b")?)).unwrap();
        assert_eq!(grid.combinations().unwrap(), 6);
        let mut numbers: Vec<_> = found.tried().iter().map(|t| t.trial.to_string()).collect();
        assert_eq!(numbers[0], "a: 1, b: 0.2, c: true");
        assert_eq!((found.best().number, found.best_score()), (1, 0.8));
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 6);
        let scores: Vec<f64> = found.tried().iter().map(|t| *t.score.as_ref().unwrap()).collect();
        assert!(scores.is_sorted());
        // Seeds of their own.
        let mut seeds: Vec<u64> = found.tried().iter().map(|t| t.trial.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 6);
    }

    #[test]
    fn failures_are_recorded() {
        let fail = |t: &Trial| match t.get::<i64>("n")? {
            2 => Err(Error::Empty { op: "test", what: "x" }),
            3 => Ok(f64::NAN),
            n => Ok(n as f64),
        };
        let found = Grid::new().add("n", [1, 2, 3, 4]).search(fail).unwrap();
        let expected = "\
trial   score  n
    3  4.0000  4
    0  1.0000  1
    1  failed  2
    2  failed  3
trial 1 failed: test: x has no samples; pass at least one row
trial 2 failed: Grid: score must be a number, got NaN; check that the model did not diverge";
        assert_eq!(found.to_string(), expected);
        let error = Grid::new().add("n", [2, 3]).search(fail).unwrap_err().to_string();
        assert!(error.contains("all 2 trials failed, the first with: test: x has no samples"), "{error}");
    }

    #[test]
    fn impossible_grids() {
        let error = |grid: Grid| grid.search(|_| Ok(1.0)).unwrap_err().to_string();
        assert!(error(Grid::new()).contains("there are no settings"));
        assert!(error(Grid::new().add("a", [1]).add("a", [2])).contains("got a twice"));
        assert!(error(Grid::new().add("a", Vec::<i32>::new())).contains("got none for a"));
        let many = (0..64).fold(Grid::new(), |grid, i| grid.add(&i.to_string(), [1, 2]));
        assert!(error(many).contains("combinations must be countable"));
    }
}
