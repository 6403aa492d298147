//! k folds of the samples.

use crate::data::{Parts, number_classes};
use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};
use crate::tensor::{Float, Tensor};

/// Deals samples out into k folds; each fold is the test part once, the others the training part.
///
/// - The sizes of folds differ by one sample at most, and with [`stratify`](Self::stratify) so do each class's samples in them.
/// - Defaults: shuffled, seed 0, not stratified. The same seed gives the same folds.
///
/// scikit-learn `KFold` and `StratifiedKFold` (which do not shuffle by default).
///
/// ```
/// use gradus::prelude::*;
/// let iris = iris();
/// let folds = KFold::new(5).stratify(true).seed(1).split(&iris.y)?;
/// assert_eq!((folds.len(), folds[0].train.len(), folds[0].test.len()), (5, 120, 30));
/// let parts = folds[0].parts(&iris.x, &iris.y)?;
/// assert_eq!(parts.y_test.iter().filter(|&&y| y == 2.0).count(), 10);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KFold {
    folds: usize,
    shuffle: bool,
    seed: u64,
    stratify: bool,
}

/// The positions of the samples of one fold, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// Samples to train on.
    pub train: Vec<usize>,
    /// Samples to test on.
    pub test: Vec<usize>,
}

impl KFold {
    /// This many folds; 5 and 10 are usual.
    pub fn new(folds: usize) -> Self {
        KFold { folds, shuffle: true, seed: 0, stratify: false }
    }

    /// Whether samples are dealt out at random; else in their order. Yes by default, as tables are often sorted: in the order of rows
    /// sorted by class, folds test classes that they were not trained on, and nothing tells so.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Decides which samples go where; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether each class has the same share of all folds; equal targets (class numbers or one-hot rows) are a class. No by
    /// default.
    pub fn stratify(mut self, stratify: bool) -> Self {
        self.stratify = stratify;
        self
    }

    /// The folds of samples with these targets `[n]` or `[n, …]`.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples; [`Error::Shape`] for targets without values; [`Error::Argument`] for less than two folds,
    /// for more than samples or so few samples that a fold would be trained on one, and with `stratify` for a class with fewer
    /// samples than folds.
    pub fn split<T: Float>(&self, y: &Tensor<T>) -> Result<Vec<Fold>> {
        const OP: &str = "KFold";
        let (n, k) = (y.samples(), self.folds);
        if n == 0 || y.shape().rank() == 0 {
            return Err(Error::Empty { op: OP, what: "y" });
        }
        if y.is_empty() {
            return Err(Error::shape(OP, "targets with values", y.shape(), "pass one target or one row a sample"));
        }
        if k < 2 || k > n {
            let expected = format!("from 2 to {n}, the number of samples");
            return Err(Error::argument(OP, "folds", expected, k, "5 and 10 are usual"));
        }
        // One sample says nothing of how others differ.
        if n - n.div_ceil(k) < 2 {
            let hint = "bring more samples: every fold is trained on two at least";
            return Err(Error::argument(OP, "samples", format!("at least 4 for {k} folds"), n, hint));
        }
        let mut order: Vec<usize> = (0..n).collect();
        if self.shuffle {
            Key::new(self.seed, Purpose::Split).with(k as u64).permutation(n, &mut order);
        }
        // The number of the fold in which each sample is tested.
        let mut fold = vec![0; n];
        if self.stratify {
            let (class, counts, firsts) = number_classes(y);
            if let Some(rare) = counts.iter().position(|&count| count < k) {
                let got = format!("{} of target {:?}", counts[rare], y.row(firsts[rare]));
                let hint = "take fewer folds, or leave stratify out (numbers to regress on are no classes)";
                return Err(Error::argument(OP, "samples a class", format!("at least {k}, one a fold"), got, hint));
            }
            // Dealt out like cards, class after class.
            order.sort_by_key(|&i| class[i]);
            order.iter().enumerate().for_each(|(place, &i)| fold[i] = place % k);
        } else {
            // Folds one after the other, the first n mod k with one sample more.
            let (size, longer) = (n / k, n % k);
            let bound = longer * (size + 1);
            let number = |place| if place < bound { place / (size + 1) } else { longer + (place - bound) / size };
            order.iter().enumerate().for_each(|(place, &i)| fold[i] = number(place));
        }
        let of = |number: usize| {
            let (test, train) = (0..n).partition(|&i| fold[i] == number);
            Fold { train, test }
        };
        Ok((0..k).map(of).collect())
    }
}

impl Fold {
    /// The fold's samples and targets.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` or `y` has fewer samples than the fold was made for.
    pub fn parts<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Parts<T>> {
        Ok(Parts {
            x_train: x.select(&self.train)?,
            x_test: x.select(&self.test)?,
            y_train: y.select(&self.train)?,
            y_test: y.select(&self.test)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::one_hot;

    #[test]
    fn every_sample_is_tested_once() {
        for (n, k) in [(10, 2), (10, 3), (11, 4), (7, 7), (100, 9)] {
            for shuffle in [false, true] {
                let folds = KFold::new(k).shuffle(shuffle).split(&Tensor::<f32>::zeros([n])).unwrap();
                assert_eq!(folds.len(), k);
                let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
                tested.sort_unstable();
                assert_eq!(tested, (0..n).collect::<Vec<_>>());
                for fold in &folds {
                    assert!(fold.test.len() == n / k || fold.test.len() == n / k + 1);
                    let mut all = [fold.train.clone(), fold.test.clone()].concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                    assert!(fold.train.is_sorted() && fold.test.is_sorted());
                }
            }
        }
        // As scikit-learn deals out 10 samples without shuffling.
        let tests = |fold: &Fold| fold.test.clone();
        let folds = KFold::new(3).shuffle(false).split(&Tensor::<f32>::zeros([10])).unwrap();
        assert_eq!(folds.iter().map(tests).collect::<Vec<_>>(), [vec![0, 1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]]);
    }

    #[test]
    fn seeds_decide() {
        let split = |seed| KFold::new(5).seed(seed).split(&Tensor::<f32>::zeros([50])).unwrap();
        assert_eq!(split(3), split(3));
        assert_ne!(split(3), split(4));
    }

    #[test]
    fn strata_keep_their_share() {
        let labels: Vec<usize> =
            (0..97).map(|i| usize::from(i * 7 % 97 >= 53) + usize::from(i * 7 % 97 >= 82)).collect();
        let y = Tensor::<f32>::from_labels(&labels);
        for seed in 0..5 {
            let how = KFold::new(4).stratify(true).seed(seed);
            let folds = how.split(&y).unwrap();
            for fold in &folds {
                assert!((24..=25).contains(&fold.test.len()));
                for (class, count) in [(0, 53), (1, 29), (2, 15)] {
                    let here = fold.test.iter().filter(|&&i| labels[i] == class).count();
                    assert!(here == count / 4 || here == count / 4 + 1, "{here} of {count}");
                }
            }
            assert_eq!(how.split(&one_hot(&y, 3).unwrap()).unwrap(), folds);
        }
    }

    #[test]
    fn impossible_settings() {
        let y = Tensor::from([0.0f32, 0.0, 0.0, 1.0]);
        let message = |how: KFold| how.split(&y).unwrap_err().to_string();
        assert_eq!(
            message(KFold::new(5)),
            "KFold: folds must be from 2 to 4, the number of samples, got 5; 5 and 10 are usual"
        );
        assert!(message(KFold::new(1)).contains("got 1"));
        assert!(message(KFold::new(0)).contains("got 0"));
        assert!(message(KFold::new(2).stratify(true)).contains("at least 2, one a fold, got 1 of target [1.0]"));
        assert!(KFold::new(2).split(&Tensor::<f32>::zeros([0])).is_err());
        // Each fold would be trained on one sample, or on two and one.
        for n in [2, 3] {
            assert_eq!(
                KFold::new(2).split(&Tensor::<f32>::zeros([n])).unwrap_err().to_string(),
                format!(
                    "KFold: samples must be at least 4 for 2 folds, got {n}; bring more samples: every fold is trained on two at \
                     least"
                )
            );
        }
        assert!(KFold::new(3).split(&Tensor::<f32>::zeros([3])).is_ok());
        // As an IDX file of twelve bytes has it.
        let error = KFold::new(2).split(&Tensor::<f32>::zeros([u32::MAX as usize, 0])).unwrap_err();
        assert!(error.is_shape(), "{error}");
        let fold = &KFold::new(2).split(&y).unwrap()[0];
        assert!(fold.parts(&y, &Tensor::zeros([1])).unwrap_err().is_shape());
    }
}
