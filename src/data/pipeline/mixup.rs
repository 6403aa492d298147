//! Samples mixed with one another.

use std::fmt;

use rand_distr::{Beta, Distribution};

use crate::data::source::{Order, Source, Stretch};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// x = λ·x + (1 − λ)·x′ and y = λ·y + (1 − λ)·y′, x′ any sample of the same epoch and λ drawn from Beta(α, α).
///
/// Made by [`Source::mixup`]; α is above 0, 0.2 is usual. Targets must be values that can be mixed, such as one-hot codes (see
/// [`one_hot`](crate::data::one_hot)), not class numbers. What is drawn follows from seed, epoch and position.
///
/// Zhang et al.: "mixup: Beyond Empirical Risk Minimization", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let digits = digits();
/// let source = Samples::new(digits.x, one_hot(&digits.y, 10)?)?.mixup(0.2, 1);
/// let mut batch = Batch::<f32>::default();
/// source.batch(4).load(0, 0, &mut batch)?;
/// assert!((batch.y.row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Mixup<S> {
    source: S,
    alpha: f64,
    seed: u64,
}

impl<S> Mixup<S> {
    pub(crate) fn new(source: S, alpha: f64, seed: u64) -> Self {
        Mixup { source, alpha, seed }
    }

    /// The distribution of λ and the number of samples.
    fn settings<T: Float>(&self) -> Result<(Beta<f64>, usize)>
    where
        S: Source<T>,
    {
        let hint = "0.2 is usual; larger mixes more";
        let beta =
            (self.alpha.is_finite() && self.alpha > 0.0).then(|| Beta::new(self.alpha, self.alpha).ok()).flatten();
        let beta = beta.ok_or_else(|| Error::argument("Mixup", "alpha", "above 0 and finite", self.alpha, hint))?;
        let (inputs, targets) = self.source.all_shapes();
        if let Some(target) = targets.iter().find(|target| target.is_empty() || target.rank() == 0) {
            let hint = "turn class numbers into one-hot codes first, with one_hot(&y, classes)";
            return Err(Error::shape("Mixup", "targets that can be mixed", *target, hint));
        }
        if let Some(shape) = inputs.iter().chain(&targets).find(|shape| shape.is_free()) {
            let hint = "bring the samples to one size first, with map_to";
            return Err(Error::shape("Mixup", "samples of one size", *shape, hint));
        }
        let Some(n) = self.source.samples() else {
            let hint = "mix before repeat(), or take(n) of the stream";
            return Err(Error::shape("Mixup", "a source of known length", "an endless one", hint));
        };
        Ok((beta, n))
    }
}

impl<S: fmt::Debug> fmt::Debug for Mixup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.mixup({}, {})", self.source, self.alpha, self.seed)
    }
}

/// own = part·own + (1 − part)·other
#[inline(never)]
pub(crate) fn mix<T: Float>(own: &mut [T], other: &[T], part: T) {
    own.iter_mut().zip(other).for_each(|(a, &b)| *a = part * *a + (T::one() - part) * b);
}

/// Sets the draws apart from those of other steps with the same seed.
const STREAM: u64 = 0x006D_6978_7570;

impl<T: Float, S: Source<T>> Source<T> for Mixup<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let (beta, n) = self.settings()?;
        let stretch = Stretch::new(self.shapes(), x.len(), y.len());
        self.source.read(epoch, first, x, y)?;
        let room = |len| memory::filled("mixup", "a sample of the source", len, T::zero());
        let (mut other_x, mut other_y) = (room(stretch.width)?, room(stretch.target)?);
        let key = Key::new(self.seed, Purpose::Augment).with(STREAM).with(epoch as u64);
        stretch.each(x, y).try_for_each(|(i, x, y)| {
            let key = key.with((first + i) as u64);
            let part = T::of(beta.sample(&mut key.with(1).rng()));
            self.source.read(epoch, key.below(0, n), &mut other_x, &mut other_y)?;
            mix(x, &other_x, part);
            mix(y, &other_y, part);
            Ok(())
        })
    }

    fn order(&self) -> Order {
        Order::Mixed
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.settings().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Samples;
    use crate::tensor::Tensor;

    fn source() -> Samples<f64> {
        let x = Tensor::from_fn([50, 3], |i| (i / 3) as f64);
        Samples::new(x, Tensor::from_fn([50, 1], |i| i as f64)).unwrap()
    }

    #[test]
    fn inputs_and_targets_are_mixed_alike_and_by_position_alone() {
        let mixed = source().mixup(1.0, 3);
        let read = |epoch, first, n| {
            let (mut x, mut y) = (vec![0.0; 3 * n], vec![0.0; n]);
            mixed.read(epoch, first, &mut x, &mut y).unwrap();
            (x, y)
        };
        let (x, y) = read(0, 0, 50);
        assert!(x.chunks(3).zip(&y).all(|(x, y)| x.iter().all(|x| (x - y).abs() < 1e-12)));
        assert!(y.iter().enumerate().filter(|(i, y)| (**y - *i as f64).abs() > 0.1).count() > 30);
        assert_eq!(read(0, 17, 2).1, y[17..19]);
        assert_ne!(read(1, 0, 50).1, y);
    }

    #[test]
    fn impossible_mixtures() {
        let error = |source: &dyn Source<f64>| {
            let (x, y) = source.shapes();
            source.read(0, 0, &mut vec![0.0; x.len()], &mut vec![0.0; y.len()]).unwrap_err().to_string()
        };
        assert!(error(&source().mixup(0.0, 1)).contains("alpha must be above 0"));
        assert!(error(&source().repeat().mixup(0.2, 1)).contains("a source of known length"));
        let labels = Samples::new(Tensor::zeros([4, 2]), Tensor::zeros([4])).unwrap();
        assert!(error(&labels.mixup(0.2, 1)).contains("one_hot(&y, classes)"));
    }
}
