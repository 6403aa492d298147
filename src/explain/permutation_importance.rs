//! Permutation importance.

use std::fmt;

use crate::callbacks::Mode;
use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};
use crate::model::Model;
use crate::tensor::{Float, Tensor};

/// What a score loses when the values of a feature are dealt out anew among the samples: how much the model needs the feature.
///
/// - Works with any score of a table, and on data the model was not trained on says more than on those it was.
/// - Features that tell the same are each worth little; columns that belong together, such as those of a one-hot code, are
///   moved together as a [group](Self::groups).
/// - Defaults: 5 repeats, seed 0, each feature on its own. The same seed gives the same figures.
///
/// Breiman: "Random Forests", 2001. scikit-learn `permutation_importance`.
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from_fn([50, 2], |i| (i * 7 % 50) as f32);
/// // A score that looks at the first feature only: how often it stands where it stood.
/// let score = |moved: &Tensor| Ok((0..50).filter(|&i| moved.row(i)[0] == x.row(i)[0]).count() as f64 / 50.0);
/// let found = PermutationImportance::default().seed(1).names(["first", "second"]).of_score(&x, score)?;
/// assert!(found.mean(0) > 0.8 && found.mean(1) == 0.0);
/// println!("{found}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PermutationImportance {
    repeats: usize,
    seed: u64,
    mode: Mode,
    groups: Vec<Vec<usize>>,
    names: Vec<String>,
}

impl Default for PermutationImportance {
    fn default() -> Self {
        PermutationImportance { repeats: 5, seed: 0, mode: Mode::Auto, groups: Vec::new(), names: Vec::new() }
    }
}

impl PermutationImportance {
    /// How often each feature is dealt out; 5 by default.
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Decides how values are dealt out; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Which direction of the score is better; by default larger for a closure, and for a model's figure as its name tells.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The columns that are moved together, each list a feature; columns in none of them stay. By default each column (position
    /// within a sample) is a feature.
    pub fn groups(mut self, groups: impl IntoIterator<Item = impl Into<Vec<usize>>>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// The names of the features, or of the groups where there are any; numbers by default.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The importances for a score computed from the samples `x` `[n, …]`, of which larger is better by default.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples; [`Error::Argument`] for no repeats, a group that is empty or has a column that x has not
    /// or that another group has too, or a score that is not finite; [`Error::Shape`] if names and features differ in number; what
    /// the score returns.
    pub fn of_score<T: Float>(
        &self,
        x: &Tensor<T>,
        mut score: impl FnMut(&Tensor<T>) -> Result<f64>,
    ) -> Result<Importances> {
        let mut checked = |x: &Tensor<T>| {
            let value = score(x)?;
            match value.is_finite() {
                true => Ok(value),
                false => Err(Error::argument(OP, "score", "finite", value, "check the score and the model's weights")),
            }
        };
        let width = x.shape().sample().len();
        let groups = self.features(x, width)?;
        let sign = if self.mode == Mode::Min { -1.0 } else { 1.0 };
        let baseline = checked(x)?;
        let (mut moved, mut order) = (x.clone(), Vec::new());
        let mut drops = Vec::with_capacity(groups.len());
        for (feature, group) in groups.iter().enumerate() {
            let key = Key::new(self.seed, Purpose::Permutation).with(feature as u64);
            let mut own = Vec::new();
            for repeat in 0..self.repeats {
                key.with(repeat as u64).permutation(x.samples(), &mut order);
                for (i, &from) in order.iter().enumerate() {
                    let to = moved.row_mut(i);
                    group.iter().for_each(|&column| to[column] = x.row(from)[column]);
                }
                own.push(sign * (baseline - checked(&moved)?));
            }
            for i in 0..x.samples() {
                let to = moved.row_mut(i);
                group.iter().for_each(|&column| to[column] = x.row(i)[column]);
            }
            drops.push(own);
        }
        Ok(Importances { names: self.labels(&groups), baseline, drops })
    }

    /// The importances for a compiled model's loss or one of its metrics, by name, on samples `x` and targets `y`.
    ///
    /// # Errors
    /// Those of [`Model::evaluate`] and [`of_score`](Self::of_score); [`Error::Argument`] if the model has no such figure.
    pub fn of_model<T: Float>(
        &self,
        model: &Model<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        figure: &str,
    ) -> Result<Importances> {
        let mode = if self.mode.is_max(figure) { Mode::Max } else { Mode::Min };
        PermutationImportance { mode, ..self.clone() }.of_score(x, |x| {
            let scores = model.evaluate(x, y)?;
            scores.get(figure).ok_or_else(|| {
                let names = scores.metrics().iter().map(|(name, _)| name.as_str());
                let names: Vec<_> = std::iter::once("loss").chain(names).collect();
                let hint = "compile the model with that metric";
                Error::argument(OP, "figure", format!("one of {}", names.join(", ")), figure, hint)
            })
        })
    }

    /// The checked groups of columns.
    fn features<T: Float>(&self, x: &Tensor<T>, width: usize) -> Result<Vec<Vec<usize>>> {
        if x.is_empty() || x.shape().rank() == 0 {
            return Err(Error::Empty { op: OP, what: "x" });
        }
        if self.repeats == 0 {
            return Err(Error::argument(OP, "repeats", "at least 1", 0, "5 is usual"));
        }
        let groups: Vec<Vec<usize>> = match self.groups.is_empty() {
            true => (0..width).map(|column| vec![column]).collect(),
            false => self.groups.clone(),
        };
        let mut taken = vec![false; width];
        for (i, group) in groups.iter().enumerate() {
            if group.is_empty() {
                let got = format!("none in group {i}");
                return Err(Error::argument(OP, "groups", "of at least one column each", got, "leave the group out"));
            }
            for &column in group {
                match taken.get_mut(column) {
                    Some(taken) if !*taken => *taken = true,
                    taken => {
                        let twice = if taken.is_some() { " a second time" } else { "" };
                        let expected = format!("of columns below {width}, each once");
                        let got = format!("{column}{twice} in group {i}");
                        return Err(Error::argument(OP, "groups", expected, got, "columns count from 0"));
                    }
                }
            }
        }
        if !self.names.is_empty() && self.names.len() != groups.len() {
            let expected = format!("{} names, one for each feature or group", groups.len());
            return Err(Error::shape(OP, expected, self.names.len(), "pass a name for each, or none"));
        }
        Ok(groups)
    }

    fn labels(&self, groups: &[Vec<usize>]) -> Vec<String> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        groups.iter().map(|group| group.iter().map(usize::to_string).collect::<Vec<_>>().join("+")).collect()
    }
}

const OP: &str = "PermutationImportance";

/// What [`PermutationImportance`] found; prints as a table with bars, the most important feature first.
#[derive(Clone, Debug, PartialEq)]
pub struct Importances {
    /// The name of each feature.
    pub names: Vec<String>,
    /// The score of the data as they are.
    pub baseline: f64,
    /// What the score lost, for each feature and repeat; negative where it became better.
    pub drops: Vec<Vec<f64>>,
}

impl Importances {
    /// The mean loss of a feature by its number; NaN past the last.
    pub fn mean(&self, feature: usize) -> f64 {
        self.drops.get(feature).map_or(f64::NAN, |drops| drops.iter().sum::<f64>() / drops.len() as f64)
    }

    /// The standard deviation of the losses of a feature over its repeats, as scikit-learn has it (divided by their number);
    /// NaN past the last.
    pub fn std(&self, feature: usize) -> f64 {
        let mean = self.mean(feature);
        let drops = self.drops.get(feature).map_or(&[][..], Vec::as_slice);
        (drops.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / drops.len() as f64).sqrt()
    }

    /// The features' numbers, the most important first; equal ones in their order.
    pub fn ranking(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.drops.len()).collect();
        order.sort_by(|&a, &b| self.mean(b).total_cmp(&self.mean(a)));
        order
    }
}

impl fmt::Display for Importances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BAR: f64 = 30.0;
        let width = self.names.iter().map(|n| n.chars().count()).fold("feature".len(), usize::max);
        let ranking = self.ranking();
        let most = ranking.first().map_or(0.0, |&i| self.mean(i));
        write!(f, "{:width$}  {:>10}  {:>8}  (score {:.4})", "feature", "importance", "± std", self.baseline)?;
        for i in ranking {
            let name = self.names.get(i).map_or("", String::as_str);
            let length = if most > 0.0 { (self.mean(i) / most * BAR).max(0.0).round() as usize } else { 0 };
            let line = format!("{name:width$}  {:>10.4}  {:>8.4}  {}", self.mean(i), self.std(i), "█".repeat(length));
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x() -> Tensor<f64> {
        Tensor::from_fn([40, 4], |i| ((i * 31) % 160) as f64)
    }

    /// 3·a + b + 0·(c, d): the loss of a linear score against itself.
    fn error(moved: &Tensor<f64>) -> Result<f64> {
        let f = |row: &[f64]| 3.0 * row[0] + row[1];
        let all = x();
        Ok((0..40).map(|i| (f(moved.row(i)) - f(all.row(i))).abs()).sum::<f64>() / 40.0)
    }

    #[test]
    fn features_that_count_are_found() {
        let how = PermutationImportance::default().mode(Mode::Min).seed(3);
        let found = how.of_score(&x(), error).unwrap();
        assert_eq!(found.baseline, 0.0);
        assert_eq!(found.ranking(), [0, 1, 2, 3]);
        // The mean distance of two of 40 values spread evenly over 0..160 is 53.
        assert!((found.mean(1) - 53.0).abs() < 15.0 && (found.mean(0) - 160.0).abs() < 45.0);
        assert!(found.std(0) > 0.0 && found.mean(2) == 0.0 && found.std(3) == 0.0);
        assert_eq!(found, how.of_score(&x(), error).unwrap());
        assert_ne!(found, how.clone().seed(4).of_score(&x(), error).unwrap());
        let upside_down = PermutationImportance::default().seed(3).of_score(&x(), error).unwrap();
        assert_eq!(upside_down.mean(0), -found.mean(0));
    }

    #[test]
    fn groups_move_together() {
        let together = |moved: &Tensor<f64>| {
            let all = x();
            let pairs = (0..40).map(|i| (moved.row(i)[1], moved.row(i)[2]));
            Ok(pairs.filter(|p| (0..40).any(|i| *p == (all.row(i)[1], all.row(i)[2]))).count() as f64)
        };
        let how = PermutationImportance::default().groups([vec![1, 2], vec![3]]).names(["pair", "rest"]);
        let found = how.of_score(&x(), together).unwrap();
        assert_eq!((found.mean(0), found.mean(1)), (0.0, 0.0));
        assert!(PermutationImportance::default().of_score(&x(), together).unwrap().mean(1) > 30.0);
        let unnamed = PermutationImportance::default().groups([[1, 2]]).of_score(&x(), together).unwrap();
        assert_eq!(unnamed.names, ["1+2"]);
    }

    #[test]
    fn table() {
        let found = Importances {
            names: vec!["a".into(), "length".into()],
            baseline: 0.9,
            drops: vec![vec![0.0, -0.25], vec![0.25, 0.75]],
        };
        let expected = "\
feature  importance     ± std  (score 0.9000)
length       0.5000    0.2500  ██████████████████████████████
a           -0.1250    0.1250";
        assert_eq!(found.to_string(), expected);
        assert!(found.mean(2).is_nan() && found.std(2).is_nan());
    }

    #[test]
    fn impossible_settings() {
        let message = |how: PermutationImportance| how.of_score(&x(), error).unwrap_err().to_string();
        let how = PermutationImportance::default;
        assert!(message(how().repeats(0)).contains("repeats must be at least 1, got 0"));
        assert!(message(how().groups([vec![0], vec![]])).contains("got none in group 1"));
        assert!(message(how().groups([[4]])).contains("of columns below 4, each once, got 4 in group 0"));
        assert!(message(how().groups([[1], [1]])).contains("got 1 a second time in group 1"));
        assert!(message(how().names(["a"])).contains("4 names"));
        assert!(how().of_score(&x(), |_| Ok(f64::NAN)).unwrap_err().to_string().contains("score must be finite"));
        assert!(how().of_score(&Tensor::<f64>::zeros([0, 4]), error).is_err());
    }
}
