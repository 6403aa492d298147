//! Splitting data into a part to train on and a part to test on.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};
use crate::memory;
use crate::tensor::{Float, Tensor};

/// How [`train_test_split`] splits: a quarter for the test, samples drawn at random (seed 0), not stratified.
///
/// ```
/// use gradus::prelude::*;
/// let how = Split::default().test_size(0.2).seed(1).stratify(true);
/// # let _ = how;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    test_size: f64,
    seed: u64,
    shuffle: bool,
    stratify: bool,
}

impl Default for Split {
    fn default() -> Self {
        Split { test_size: 0.25, seed: 0, shuffle: true, stratify: false }
    }
}

impl Split {
    /// The part of the samples, above 0 and below 1, that is kept for the test, rounded up to whole samples; 0.25 by
    /// default.
    pub fn test_size(mut self, part: f64) -> Self {
        self.test_size = part;
        self
    }

    /// Decides which samples go where, and their order; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether samples are drawn at random; else the last ones are the test part. Yes by default. In rows sorted by class, the last
    /// ones are of classes that the training part lacks, and nothing tells so: leave the order only to rows whose order means
    /// something, such as time.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Whether each class has the same share of both parts, to within one sample; no by default.
    pub fn stratify(mut self, stratify: bool) -> Self {
        self.stratify = stratify;
        self
    }
}

/// What [`train_test_split`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts<T = f32> {
    /// Inputs to train on.
    pub x_train: Tensor<T>,
    /// Inputs to test on.
    pub x_test: Tensor<T>,
    /// Targets to train on.
    pub y_train: Tensor<T>,
    /// Targets to test on.
    pub y_test: Tensor<T>,
}

/// Splits samples and their targets into a training and a test part; the same seed gives the same parts.
///
/// The test part has ⌈n·test_size⌉ samples. With `stratify`, equal targets (class numbers or one-hot rows) are a class, and
/// the test part's places are given to classes in proportion, the largest remainders first. scikit-learn
/// `train_test_split`, whose sizes this has.
///
/// ```
/// use gradus::prelude::*;
/// let iris = iris();
/// let parts = train_test_split(&iris.x, &iris.y, &Split::default().test_size(0.2).stratify(true))?;
/// assert_eq!(parts.x_train.dims(), &[120, 4]);
/// assert_eq!(parts.y_test.iter().filter(|&&y| y == 2.0).count(), 10);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without samples; [`Error::Shape`] if `x` has no values or `x` and `y` differ in samples; [`Error::Argument`] if the test part would
/// be empty, the training part of less than two samples or, with `stratify`, smaller than the number of classes, if a class has one sample only, or if `stratify` comes
/// with `shuffle(false)`.
#[inline(never)]
pub fn train_test_split<T: Float>(x: &Tensor<T>, y: &Tensor<T>, how: &Split) -> Result<Parts<T>> {
    let op = "train_test_split";
    let n = x.samples();
    if n == 0 || x.shape().rank() == 0 {
        return Err(Error::Empty { op, what: "x" });
    }
    if x.is_empty() {
        return Err(Error::shape(op, "samples with values", x.shape(), "pass at least one value a sample"));
    }
    if y.samples() != n || y.shape().rank() == 0 {
        let expected = format!("{n} targets, one for each sample of x");
        return Err(Error::shape(op, expected, y.samples(), "make the first axes of x and y agree"));
    }
    let [train, test] = positions(op, n, how, || Ok(y))?;
    Ok(Parts {
        x_train: x.select(&train)?,
        x_test: x.select(&test)?,
        y_train: y.select(&train)?,
        y_test: y.select(&test)?,
    })
}

/// The positions of the samples of both parts, in the order in which they were drawn; targets are asked for to stratify by.
pub(crate) fn positions<T: Float, Y: Borrow<Tensor<T>>>(
    op: &'static str,
    n: usize,
    how: &Split,
    targets: impl FnOnce() -> Result<Y>,
) -> Result<[Vec<usize>; 2]> {
    let name = if op == "train_test_split" { "test_size" } else { "part" };
    if !(how.test_size > 0.0 && how.test_size < 1.0) {
        let hint = "0.2 holds a fifth of the samples back";
        return Err(Error::argument(op, name, "above 0 and below 1", how.test_size, hint));
    }
    let tests = (n as f64 * how.test_size).ceil() as usize;
    // One sample says nothing of how others differ.
    if n.saturating_sub(tests) < 2 {
        let expected = format!("small enough to leave two samples of {n} to train on");
        return Err(Error::argument(op, name, expected, how.test_size, "make it smaller or bring more samples"));
    }
    // What a source says of its length is not held by anything yet.
    let room = |positions: &mut Vec<usize>, len| {
        memory::reserve(op, format_args!("the positions of {len} samples"), positions, len)
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    room(&mut train, n - tests)?;
    room(&mut test, tests)?;
    match (how.stratify, how.shuffle) {
        (true, false) => {
            let hint = "leave one of the two out";
            return Err(Error::argument(op, "stratify", "false with shuffle(false)", true, hint));
        }
        (false, false) => {
            train.extend(0..n - tests);
            test.extend(n - tests..n);
        }
        (stratify, true) => {
            // One permutation; in its order, samples go to the test while their class has places left there.
            let mut order = Vec::new();
            room(&mut order, n)?;
            Key::new(how.seed, Purpose::Split).permutation(n, &mut order);
            // Without strata all are of class 0.
            let (class, mut places) =
                if stratify { classes(op, targets()?.borrow(), tests)? } else { (Vec::new(), vec![tests]) };
            for i in order {
                let left = &mut places[class.get(i).copied().unwrap_or(0)];
                if *left > 0 {
                    *left -= 1;
                    test.push(i);
                } else {
                    train.push(i);
                }
            }
        }
    }
    Ok([train, test])
}

/// The class of each sample, the number of samples of each class and the first of them; equal targets are a class, numbered in
/// the order of appearance.
pub(crate) fn number_classes<T: Float>(y: &Tensor<T>) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let n = y.samples();
    let mut numbers = BTreeMap::new();
    let (mut class, mut counts, mut first) = (Vec::with_capacity(n), Vec::new(), Vec::new());
    for i in 0..n {
        // + 0.0 makes -0 the same class as 0.
        let key: Vec<u64> = y.row(i).iter().map(|v| (v.as_f64() + 0.0).to_bits()).collect();
        let number = *numbers.entry(key).or_insert(counts.len());
        if number == counts.len() {
            counts.push(0);
            first.push(i);
        }
        counts[number] += 1;
        class.push(number);
    }
    (class, counts, first)
}

/// The class of each sample, and each class's places in the test part.
fn classes<T: Float>(op: &'static str, y: &Tensor<T>, tests: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    let n = y.samples();
    let (class, counts, first) = number_classes(y);
    if let Some(lonely) = counts.iter().position(|&count| count < 2) {
        let got = format!("1 of target {:?} (row {})", y.row(first[lonely]), first[lonely]);
        let hint = "remove that class, or leave stratify out (numbers to regress on are no classes)";
        return Err(Error::argument(op, "samples a class", "at least 2 with stratify", got, hint));
    }
    let smaller = tests.min(n - tests);
    if smaller < counts.len() {
        let expected = format!("large enough for a sample of each of {} classes in both parts", counts.len());
        let hint = "change its size, or leave stratify out";
        return Err(Error::argument(op, "the smaller part", expected, smaller, hint));
    }
    // ⌊count·tests/n⌋ each, then one each for the largest remainders; equal ones by the order of appearance.
    let share = |count: usize| count as u128 * tests as u128;
    let mut places: Vec<usize> = counts.iter().map(|&count| (share(count) / n as u128) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&c| std::cmp::Reverse(share(counts[c]) % n as u128));
    let left = tests - places.iter().sum::<usize>();
    by_remainder[..left].iter().for_each(|&c| places[c] += 1);
    Ok((class, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Tensor {
        Tensor::from_fn([n, 1], |i| i as f32)
    }

    fn message(x: &Tensor, y: &Tensor, how: &Split) -> String {
        train_test_split(x, y, how).unwrap_err().to_string()
    }

    #[test]
    fn every_sample_once_with_its_target() {
        for (n, size, tests) in [(10, 0.25, 3), (7, 0.2, 2), (100, 0.333, 34), (3, 0.3, 1)] {
            let x = numbered(n);
            let parts = train_test_split(&x, &x, &Split::default().test_size(size).seed(4)).unwrap();
            assert_eq!((parts.x_train.samples(), parts.x_test.samples()), (n - tests, tests));
            assert_eq!((&parts.x_train, &parts.x_test), (&parts.y_train, &parts.y_test));
            let mut all: Vec<_> = parts.x_train.iter().chain(&parts.x_test).map(|&v| v as usize).collect();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn seeds_decide() {
        let x = numbered(50);
        let split = |seed| train_test_split(&x, &x, &Split::default().seed(seed)).unwrap().x_test;
        assert_eq!(split(3), split(3));
        assert_ne!(split(3), split(4));
        let last = train_test_split(&x, &x, &Split::default().shuffle(false).test_size(0.04)).unwrap();
        assert_eq!(last.x_test.as_slice(), &[48.0, 49.0]);
        assert_eq!(last.x_train.row(0), &[0.0]);
    }

    #[test]
    fn strata_keep_their_share() {
        // 53 of class 0, 29 of class 1, 11 of class 2, mixed
        let y = Tensor::from_labels(
            &(0..93).map(|i| [0, 1, 2][(i * 7 % 93 >= 53) as usize + (i * 7 % 93 >= 82) as usize]).collect::<Vec<_>>(),
        );
        for seed in 0..5 {
            let how = Split::default().test_size(0.3).seed(seed).stratify(true);
            let parts = train_test_split(&numbered(93), &y, &how).unwrap();
            assert_eq!(parts.y_test.samples(), 28);
            for (class, count) in [(0.0, 53.0), (1.0, 29.0), (2.0, 11.0)] {
                let tests = parts.y_test.iter().filter(|&&v| v == class).count() as f64;
                assert!((tests - count * 28.0 / 93.0).abs() < 1.0, "class {class}: {tests}");
            }
            let rows = crate::data::one_hot(&y, 3).unwrap();
            assert_eq!(train_test_split(&numbered(93), &rows, &how).unwrap().x_test, parts.x_test);
        }
    }

    #[test]
    fn impossible_splits_are_errors() {
        let (x, y) = (numbered(4), Tensor::from_labels(&[0, 0, 1, 1]));
        let how = Split::default();
        assert_eq!(
            message(&numbered(0), &numbered(0), &how),
            "train_test_split: x has no samples; pass at least one row"
        );
        assert_eq!(
            message(&x, &numbered(3), &how),
            "train_test_split: expected 4 targets, one for each sample of x, got 3; make the first axes of x and y agree"
        );
        for size in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
            assert!(message(&x, &y, &how.test_size(size)).contains("test_size must be above 0 and below 1"));
        }
        assert_eq!(
            message(&x, &y, &how.test_size(0.9)),
            "train_test_split: test_size must be small enough to leave two samples of 4 to train on, got 0.9; make it \
             smaller or bring more samples"
        );
        assert!(
            message(&numbered(2), &numbered(2), &how.test_size(0.5)).contains("leave two samples of 2 to train on")
        );
        assert_eq!(
            message(&x, &Tensor::from([0.0, 0.0, 0.0, 1.0]), &how.stratify(true)),
            "train_test_split: samples a class must be at least 2 with stratify, got 1 of target [1.0] (row 3); remove \
             that class, or leave stratify out (numbers to regress on are no classes)"
        );
        assert_eq!(
            message(&x, &y, &how.stratify(true)),
            "train_test_split: the smaller part must be large enough for a sample of each of 2 classes in both parts, \
             got 1; change its size, or leave stratify out"
        );
        assert!(message(&x, &y, &how.stratify(true).shuffle(false)).contains("false with shuffle(false)"));
    }
}
