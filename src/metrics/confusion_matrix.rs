//! Which classes are taken for which.

use std::fmt;
use std::ops::Index;

use crate::error::{Error, Result};
use crate::memory;

/// Counts of samples by true class (row) and predicted class (column), as scikit-learn lays them out.
///
/// ```
/// use gradus::prelude::*;
/// let matrix = ConfusionMatrix::new(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?.class_names(&["cat", "dog"])?;
/// assert_eq!(matrix[[0, 1]], 1);
/// assert_eq!(matrix.accuracy(), 0.75);
/// assert_eq!(matrix.to_string(), "true \\ predicted  cat  dog\n             cat    1    1\n             dog    0    2\n");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    counts: Vec<usize>,
    names: Vec<String>,
}

const CORNER: &str = r"true \ predicted";

impl ConfusionMatrix {
    /// Counts samples from their true and predicted classes, numbers below `n_classes`, such as
    /// [`predict_classes`](crate::Model::predict_classes) gives.
    ///
    /// # Errors
    /// [`Error::Argument`] for no classes, [`Error::Empty`] for no samples, [`Error::Shape`] if the lengths differ,
    /// [`Error::Label`] for a class that is not below `n_classes`.
    pub fn new(true_classes: &[usize], predicted_classes: &[usize], n_classes: usize) -> Result<Self> {
        let op = "ConfusionMatrix";
        let Some(cells) = n_classes.checked_mul(n_classes).filter(|n| (1..=1 << 28).contains(n)) else {
            return Err(Error::argument(op, "n_classes", "from 1 to 16384", n_classes, "pass the number of classes"));
        };
        if true_classes.is_empty() {
            return Err(Error::Empty { op, what: "true_classes" });
        }
        if true_classes.len() != predicted_classes.len() {
            let expected = format!("{} predicted classes, one for each true class", true_classes.len());
            return Err(Error::shape(op, expected, predicted_classes.len(), "pass both for the same samples"));
        }
        let mut counts = memory::filled(op, format_args!("the counts of {n_classes} classes"), cells, 0)?;
        for (row, (&t, &p)) in true_classes.iter().zip(predicted_classes).enumerate() {
            if let Some(bad) = [t, p].into_iter().find(|c| *c >= n_classes) {
                return Err(Error::Label {
                    op,
                    row,
                    expected: format!("a class below {n_classes}"),
                    got: bad.to_string(),
                    hint: "pass the right number of classes; they are counted from 0".into(),
                });
            }
            counts[t * n_classes + p] += 1;
        }
        Ok(ConfusionMatrix { counts, names: (0..n_classes).map(|c| c.to_string()).collect() })
    }

    /// Names to print instead of class numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one name a class.
    pub fn class_names<S: AsRef<str>>(mut self, names: &[S]) -> Result<Self> {
        if names.len() != self.classes() {
            let expected = format!("{} names, one a class", self.classes());
            return Err(Error::shape("ConfusionMatrix::class_names", expected, names.len(), "name every class"));
        }
        self.names = names.iter().map(|n| n.as_ref().to_owned()).collect();
        Ok(self)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The names of the classes; their numbers unless given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many samples of one class were taken for another, or `None` past the last class.
    pub fn get(&self, true_class: usize, predicted_class: usize) -> Option<usize> {
        let n = self.classes();
        (true_class < n && predicted_class < n).then(|| self.counts[true_class * n + predicted_class])
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The part of samples on the diagonal.
    pub fn accuracy(&self) -> f64 {
        (0..self.classes()).map(|c| self[[c, c]]).sum::<usize>() as f64 / self.samples() as f64
    }

    /// How many samples are of a class, and how many were taken for it.
    pub(crate) fn totals(&self, class: usize) -> (usize, usize) {
        let n = self.classes();
        ((0..n).map(|p| self[[class, p]]).sum(), (0..n).map(|t| self[[t, class]]).sum())
    }
}

impl Index<[usize; 2]> for ConfusionMatrix {
    type Output = usize;

    /// The count at `[true class, predicted class]`.
    ///
    /// # Panics
    /// Past the last class, as a slice index would; [`get`](ConfusionMatrix::get) does not.
    fn index(&self, [true_class, predicted_class]: [usize; 2]) -> &usize {
        let n = self.classes();
        assert!(true_class < n && predicted_class < n, "class {true_class} or {predicted_class} of {n}");
        &self.counts[true_class * n + predicted_class]
    }
}

impl fmt::Display for ConfusionMatrix {
    /// An aligned table: true classes down, predicted classes across.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.classes();
        let first = self.names.iter().map(|s| s.chars().count()).fold(CORNER.len(), usize::max);
        let widths: Vec<usize> = (0..n)
            .map(|p| {
                let digits = (0..n).map(|t| self[[t, p]].to_string().len()).fold(1, usize::max);
                digits.max(self.names[p].chars().count()) + 2
            })
            .collect();
        write!(f, "{CORNER:>first$}")?;
        for (name, width) in self.names.iter().zip(&widths) {
            write!(f, "{name:>width$}")?;
        }
        writeln!(f)?;
        for (t, name) in self.names.iter().enumerate() {
            write!(f, "{name:>first$}")?;
            for (p, width) in widths.iter().enumerate() {
                write!(f, "{:>width$}", self[[t, p]])?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_table() {
        let m = ConfusionMatrix::new(&[0, 2, 2, 2], &[0, 1, 2, 2], 3).unwrap();
        assert_eq!((m[[2, 1]], m[[2, 2]], m.get(0, 0), m.get(3, 0)), (1, 2, Some(1), None));
        assert_eq!((m.samples(), m.accuracy()), (4, 0.75));
        assert_eq!(m.totals(2), (3, 2));
        let table = "true \\ predicted  0  1  2
               0  1  0  0
               1  0  0  0
               2  0  1  2\n";
        assert_eq!(m.to_string(), table);
    }

    #[test]
    fn what_cannot_be_counted() {
        let error = |t: &[usize], p: &[usize], n| ConfusionMatrix::new(t, p, n).unwrap_err().to_string();
        assert!(error(&[0, 3], &[0, 1], 3).contains("row 1 is 3"));
        assert!(error(&[0, 1], &[0, 9], 3).contains("row 1 is 9"));
        assert!(error(&[0], &[0, 1], 3).contains("got 2"));
        assert!(error(&[], &[], 3).contains("no samples"));
        assert!(error(&[0], &[0], 0).contains("n_classes"));
        assert!(error(&[0], &[0], usize::MAX).contains("n_classes"));
        let m = ConfusionMatrix::new(&[0], &[0], 2).unwrap();
        assert!(m.class_names(&["one"]).unwrap_err().is_shape());
    }
}
