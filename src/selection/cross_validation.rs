//! Figures over folds.

use std::fmt;

use super::Fold;
use crate::data::Parts;
use crate::error::{Error, Result};
use crate::model::Scores;
use crate::tensor::{Float, Tensor};

/// What was measured on a fold: figures by name, made from the [`Scores`] of `evaluate`, from one number (named `"score"`), or
/// from names and numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures(Vec<(String, f64)>);

impl From<f64> for Figures {
    fn from(score: f64) -> Self {
        Figures(vec![("score".to_owned(), score)])
    }
}

impl From<Scores> for Figures {
    fn from(scores: Scores) -> Self {
        let metrics = scores.metrics().iter().cloned();
        Figures(std::iter::once(("loss".to_owned(), scores.loss)).chain(metrics).collect())
    }
}

impl<const N: usize> From<[(&str, f64); N]> for Figures {
    fn from(figures: [(&str, f64); N]) -> Self {
        Figures(figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }
}

/// Calls `run(parts, number)` for every fold, which trains a model on the one part and measures it on the other, and gathers
/// what it returns.
///
/// Whatever is learnt from data, such as the means of a scaler, has to be learnt inside, from `parts.x_train`. scikit-learn
/// `cross_validate`.
///
/// ```
/// use gradus::prelude::*;
/// let iris = iris();
/// let folds = KFold::new(3).stratify(true).split(&iris.y)?;
/// // A rule instead of a model: long petals are of class 2.
/// let result = cross_validate(&folds, &iris.x, &iris.y, |parts, _| {
///     let right = (0..50).filter(|&i| (parts.x_test.row(i)[2] > 4.8) == (parts.y_test.as_slice()[i] == 2.0));
///     Ok(right.count() as f64 / 50.0)
/// })?;
/// assert!(result.mean("score") > 0.9);
/// println!("{result}");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without folds; [`Error::Shape`] if x or y has fewer samples than the folds were made for, or if the figures of
/// two folds have other names; what `run` returns.
pub fn cross_validate<T: Float, R: Into<Figures>>(
    folds: &[Fold],
    x: &Tensor<T>,
    y: &Tensor<T>,
    mut run: impl FnMut(&Parts<T>, usize) -> Result<R>,
) -> Result<CrossValidation> {
    const OP: &str = "cross_validate";
    if folds.is_empty() {
        return Err(Error::Empty { op: OP, what: "the list of folds" });
    }
    if x.samples() != y.samples() {
        let expected = format!("{} targets, one for each sample of x", x.samples());
        return Err(Error::shape(OP, expected, y.samples(), "make the first axes of x and y agree"));
    }
    let mut out = CrossValidation { columns: Vec::new() };
    for (number, fold) in folds.iter().enumerate() {
        let Figures(figures) = run(&fold.parts(x, y)?, number)?.into();
        if number == 0 {
            out.columns = figures.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        }
        if !out.columns.iter().map(|(name, _)| name).eq(figures.iter().map(|(name, _)| name)) {
            let names = |all: &mut dyn Iterator<Item = &String>| all.cloned().collect::<Vec<_>>().join(", ");
            let expected = format!("the figures of the first fold ({})", names(&mut out.columns.iter().map(|c| &c.0)));
            let got = format!("{} from fold {number}", names(&mut figures.iter().map(|c| &c.0)));
            return Err(Error::shape(OP, expected, got, "return the same figures for every fold"));
        }
        out.columns.iter_mut().zip(figures).for_each(|((_, values), (_, value))| values.push(value));
    }
    Ok(out)
}

/// The figures of every fold; prints as a table with means and standard deviations.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidation {
    columns: Vec<(String, Vec<f64>)>,
}

impl CrossValidation {
    /// The names of the figures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// A figure on every fold.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, values)| values.as_slice())
    }

    /// The mean of a figure over the folds; NaN where there is none of that name.
    pub fn mean(&self, name: &str) -> f64 {
        mean(self.get(name).unwrap_or(&[]))
    }

    /// The standard deviation of a figure over the folds (divided by their number); NaN where there is none of that name.
    pub fn std(&self, name: &str) -> f64 {
        std(self.get(name).unwrap_or(&[]))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn std(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

impl fmt::Display for CrossValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |name: &str| name.chars().count().max(8);
        let row = |f: &mut fmt::Formatter<'_>, label: &str, figure: &dyn Fn(&[f64]) -> f64| {
            write!(f, "\n{label:<4}")?;
            self.columns.iter().try_for_each(|(name, values)| write!(f, "  {:>1$.4}", figure(values), width(name)))
        };
        write!(f, "fold")?;
        self.columns.iter().try_for_each(|(name, _)| write!(f, "  {name:>0$}", width(name)))?;
        for number in 0..self.columns.first().map_or(0, |(_, values)| values.len()) {
            row(f, &(number + 1).to_string(), &|values| values.get(number).copied().unwrap_or(f64::NAN))?;
        }
        row(f, "mean", &mean)?;
        row(f, "std", &std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::KFold;

    #[test]
    fn figures_and_table() {
        let x = Tensor::from_fn([4, 1], |i| i as f32);
        let folds = KFold::new(2).shuffle(false).split(&x).unwrap();
        let result = cross_validate(&folds, &x, &x, |parts, number| {
            assert_eq!(parts.x_test, parts.y_test);
            let first = f64::from(parts.x_test.as_slice()[0]);
            Ok([("first", first), ("number_of_the_fold", number as f64)])
        })
        .unwrap();
        assert_eq!(result.get("first"), Some([0.0, 2.0].as_slice()));
        assert_eq!((result.mean("first"), result.std("first")), (1.0, 1.0));
        assert!(result.mean("none").is_nan() && result.get("none").is_none());
        let expected = "\
fold     first  number_of_the_fold
1       0.0000              0.0000
2       2.0000              1.0000
mean    1.0000              0.5000
std     1.0000              0.5000";
        assert_eq!(result.to_string(), expected);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let x = Tensor::from_fn([4, 1], |i| i as f32);
        let folds = KFold::new(2).split(&x).unwrap();
        let error = |folds: &[Fold], x: &Tensor, y: &Tensor| cross_validate(folds, x, y, |_, _| Ok(1.0)).unwrap_err();
        assert!(error(&[], &x, &x).to_string().contains("the list of folds has no samples"));
        assert!(error(&folds, &x, &Tensor::zeros([3])).is_shape());
        assert!(error(&folds, &Tensor::zeros([3]), &Tensor::zeros([3])).is_shape());
        let other = cross_validate(&folds, &x, &x, |_, number| Ok([(["a", "b"][number], 1.0)])).unwrap_err();
        assert!(other.to_string().contains("the figures of the first fold (a), got b from fold 1"), "{other}");
        let own = cross_validate(&folds, &x, &x, |parts, _| parts.x_test.rows(0..9).map(|_| 1.0)).unwrap_err();
        assert!(own.to_string().starts_with("Tensor::rows"));
    }
}
