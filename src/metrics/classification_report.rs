//! Precision, recall and F₁ of every class as a table.

use std::fmt;

use super::ConfusionMatrix;
use super::counts::ratio;

/// Precision, recall, F₁ and support of one class, or averages of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassScores {
    /// The part of the samples taken for the class that are of it.
    pub precision: f64,
    /// The part of the samples of the class that were found.
    pub recall: f64,
    /// 2tp / (2tp + fp + fn), the harmonic mean of both.
    pub f1: f64,
    /// The number of samples of the class.
    pub support: usize,
}

/// Figures for every class, their plain mean and their mean weighted by support; prints like scikit-learn's
/// `classification_report`.
///
/// A figure without a divisor (a class that is never predicted, or never true) is 0.
///
/// ```
/// use gradus::prelude::*;
/// let report = ClassificationReport::new(&ConfusionMatrix::new(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?);
/// assert_eq!(report.class(0).map(|c| (c.precision, c.recall)), Some((1.0, 0.5)));
/// assert_eq!(report.accuracy(), 0.75);
/// assert!(report.to_string().contains("    accuracy                           0.75         4\n"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationReport {
    names: Vec<String>,
    classes: Vec<ClassScores>,
    accuracy: f64,
    digits: usize,
}

impl ClassificationReport {
    /// The report on a confusion matrix, under its class names.
    pub fn new(matrix: &ConfusionMatrix) -> Self {
        let classes = (0..matrix.classes()).map(|class| {
            let tp = matrix[[class, class]] as f64;
            let (support, predicted) = matrix.totals(class);
            ClassScores {
                precision: ratio(tp, predicted as f64),
                recall: ratio(tp, support as f64),
                f1: ratio(2.0 * tp, (support + predicted) as f64),
                support,
            }
        });
        ClassificationReport {
            names: matrix.names().to_vec(),
            classes: classes.collect(),
            accuracy: matrix.accuracy(),
            digits: 2,
        }
    }

    /// Digits after the point in print; 2 by default.
    pub fn digits(mut self, digits: usize) -> Self {
        self.digits = digits.min(17);
        self
    }

    /// The figures of one class, or `None` past the last.
    pub fn class(&self, class: usize) -> Option<ClassScores> {
        self.classes.get(class).copied()
    }

    /// The part of samples classified rightly.
    pub fn accuracy(&self) -> f64 {
        self.accuracy
    }

    /// The mean over classes, each counting the same.
    pub fn macro_average(&self) -> ClassScores {
        self.average(|_| 1.0)
    }

    /// The mean over classes, each counting by its support.
    pub fn weighted_average(&self) -> ClassScores {
        self.average(|c| c.support as f64)
    }

    fn average(&self, weight: impl Fn(&ClassScores) -> f64) -> ClassScores {
        let mean = |figure: fn(&ClassScores) -> f64| {
            let sum = self.classes.iter().map(|c| weight(c) * figure(c)).sum();
            ratio(sum, self.classes.iter().map(&weight).sum())
        };
        let support = self.classes.iter().map(|c| c.support).sum();
        ClassScores { precision: mean(|c| c.precision), recall: mean(|c| c.recall), f1: mean(|c| c.f1), support }
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits;
        let longest = self.names.iter().map(|n| n.chars().count()).fold("weighted avg".len(), usize::max);
        let width = longest.max(digits);
        let row = |f: &mut fmt::Formatter<'_>, name: &str, c: ClassScores| {
            write!(f, "{name:>width$} ")?;
            for figure in [c.precision, c.recall, c.f1] {
                write!(f, " {figure:>9.digits$}")?;
            }
            writeln!(f, " {:>9}", c.support)
        };
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for (name, class) in self.names.iter().zip(&self.classes) {
            row(f, name, *class)?;
        }
        let all = self.macro_average();
        writeln!(f)?;
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9.digits$} {:>9}", "accuracy", "", "", self.accuracy, all.support)?;
        row(f, "macro avg", all)?;
        row(f, "weighted avg", self.weighted_average())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(t: &[usize], p: &[usize]) -> ClassificationReport {
        ClassificationReport::new(&ConfusionMatrix::new(t, p, 3).unwrap())
    }

    // The expected texts are what scikit-learn 1.9.1 prints.
    #[test]
    fn as_scikit_learn_prints() {
        let expected = "              precision    recall  f1-score   support

           0       0.50      0.67      0.57         3
           1       0.60      0.75      0.67         4
           2       1.00      0.60      0.75         5

    accuracy                           0.67        12
   macro avg       0.70      0.67      0.66        12
weighted avg       0.74      0.67      0.68        12
";
        let t = [0, 0, 1, 1, 1, 2, 2, 0, 1, 2, 2, 2];
        let p = [0, 1, 1, 1, 0, 2, 0, 0, 1, 2, 2, 1];
        assert_eq!(report(&t, &p).to_string(), expected);
    }

    #[test]
    fn names_and_digits() {
        let expected = "                        precision    recall  f1-score   support

                setosa     0.5000    1.0000    0.6667         1
            versicolor     0.5000    0.5000    0.5000         2
a very long class name     0.0000    0.0000    0.0000         1

              accuracy                         0.5000         4
             macro avg     0.3333    0.5000    0.3889         4
          weighted avg     0.3750    0.5000    0.4167         4
";
        let names = ["setosa", "versicolor", "a very long class name"];
        let matrix = ConfusionMatrix::new(&[0, 1, 1, 2], &[0, 0, 1, 1], 3).unwrap().class_names(&names).unwrap();
        assert_eq!(ClassificationReport::new(&matrix).digits(4).to_string(), expected);
    }

    #[test]
    fn a_class_that_does_not_occur() {
        let expected = "              precision    recall  f1-score   support

           0       0.17      0.50      0.25         2
           1       0.50      0.17      0.25         6
           2       0.00      0.00      0.00         0

    accuracy                           0.25         8
   macro avg       0.22      0.22      0.17         8
weighted avg       0.42      0.25      0.25         8
";
        let report = report(&[0, 0, 1, 1, 1, 1, 1, 1], &[0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.class(2), Some(ClassScores::default()));
        assert_eq!(report.class(3), None);
    }
}
