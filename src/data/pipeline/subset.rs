//! Samples at chosen positions, and the two parts of a split.

use std::sync::Arc;

use crate::data::Split;
use crate::data::range::check_range;
use crate::data::source::{Order, Source, Stretch, widths_at};
use crate::data::split::positions;
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

/// The samples of a source at some positions, the same in every epoch; see [`Source::split`].
#[derive(Debug)]
pub struct Subset<S> {
    source: Arc<S>,
    positions: Arc<[usize]>,
}

// Not derived, as the source itself need not be `Clone`.
impl<S> Clone for Subset<S> {
    fn clone(&self) -> Self {
        Subset { source: Arc::clone(&self.source), positions: Arc::clone(&self.positions) }
    }
}

impl<S> Subset<S> {
    /// The source that the samples are taken from: its class names, its files.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The samples' positions in the source, ascending after a split.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Stretches of neighbours, so that files are read in few pieces.
    fn read_each<T: Float>(
        &self,
        Stretch { n, width, target }: Stretch,
        first: usize,
        mut x: &mut [T],
        mut y: &mut [T],
        mut read: impl FnMut(usize, &mut [T], &mut [T]) -> Result<()>,
    ) -> Result<()> {
        check_range("Subset", first, n, Some(self.positions.len()))?;
        for run in self.positions[first..first + n].chunk_by(|a, b| a + 1 == *b) {
            let own = x.split_off_mut(..run.len() * width).unwrap_or_default();
            let targets = y.split_off_mut(..run.len() * target).unwrap_or_default();
            read(run[0], own, targets)?;
        }
        Ok(())
    }
}

impl<T: Float, S: Source<T>> Source<T> for Subset<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        check_range("Subset", position, 1, Some(self.positions.len()))?;
        self.source.shapes_at(epoch, self.positions[position], shapes)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.positions.len())
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let read = |at, x: &mut [T], y: &mut [T]| self.source.read(epoch, at, x, y);
        self.read_each(Stretch::new(self.shapes(), x.len(), y.len()), first, x, y, read)
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let stretch = Stretch::new((Shape::from([0]), self.shapes().1), 0, y.len());
        self.read_each(stretch, first, &mut [], y, |at, _, y| self.source.read_targets(at, y))
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()
    }
}

/// The part to train on and the part that is held out, both in the order of the source.
pub(crate) fn split<T: Float, S: Source<T>>(
    op: &'static str,
    source: S,
    how: &Split,
) -> Result<(Subset<S>, Subset<S>)> {
    source.check()?;
    let [train, test] = parts(op, &source, how)?;
    let source = Arc::new(source);
    Ok((Subset { source: Arc::clone(&source), positions: train.into() }, Subset { source, positions: test.into() }))
}

/// The positions of the two parts, ascending.
pub(crate) fn parts<T: Float>(
    op: &'static str,
    source: &(impl Source<T> + ?Sized),
    how: &Split,
) -> Result<[Vec<usize>; 2]> {
    source.order().keeps_apart(op)?;
    let Some(n) = source.samples() else {
        let hint = "take(n) samples of it first";
        return Err(Error::argument(op, "source", "one that ends", "an endless one", hint));
    };
    let targets = || {
        let shape = source.shapes().1.batched(n)?;
        let what = format_args!("the targets of {n} samples");
        let mut y = Tensor::new(shape, memory::filled(op, what, shape.checked_len(op)?, T::zero())?)?;
        source.read_targets(0, y.as_mut_slice())?;
        Ok(y)
    };
    let mut parts = positions(op, n, how, targets)?;
    parts.iter_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// Targets alone, by way of whole samples, some of them at a time.
pub(crate) fn targets_with_inputs<T: Float>(
    source: &(impl Source<T> + ?Sized),
    first: usize,
    y: &mut [T],
) -> Result<()> {
    /// Values of inputs that are held at a time.
    const MAX_VALUES: usize = 1 << 16;
    let (x, target) = source.shapes();
    let (width, target) = (x.len(), target.checked_len("read_targets")?);
    if target == 0 {
        return Ok(());
    }
    if x.is_free() {
        let (mut x, mut shapes) = (Vec::new(), Vec::new());
        return y.chunks_exact_mut(target).enumerate().try_for_each(|(i, y)| {
            let (width, _) = widths_at(source, 0, first + i, &mut shapes)?;
            memory::resize("read_targets", format_args!("inputs of {width} values"), &mut x, width, T::zero())?;
            source.read(0, first + i, &mut x, y)
        });
    }
    let n = (MAX_VALUES / width.max(1)).min(y.len() / target).max(1);
    let what = format_args!("inputs of {width} values, {n} at a time");
    let mut x = memory::filled("read_targets", what, n.saturating_mul(width), T::zero())?;
    for (i, y) in y.chunks_mut(n * target).enumerate() {
        source.read(0, first + i * n, &mut x[..y.len() / target * width], y)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, Dataset, FromFn, Samples, one_hot, train_test_split};

    fn numbers(n: usize) -> Samples<f64> {
        let x = Tensor::from_fn([n, 2], |i| (i / 2) as f64);
        Samples::new(x, Tensor::from_fn([n], |i| (i * 7 % n * 3 / n) as f64)).unwrap()
    }

    /// The numbers of the samples of an epoch, as batches give them.
    fn seen(source: impl Source<f64>, epoch: usize) -> Vec<usize> {
        let data = source.batch(7);
        let mut batch = Batch::default();
        let mut all = Vec::new();
        for index in 0..data.batches().unwrap() {
            data.load(epoch, index, &mut batch).unwrap();
            all.extend((0..batch.x.samples()).map(|i| batch.x.row(i)[0] as usize));
        }
        all
    }

    fn sorted(mut all: Vec<usize>) -> Vec<usize> {
        all.sort_unstable();
        all
    }

    #[test]
    fn parts_stay_apart_through_all_epochs() {
        let (train, test) = numbers(50).split(0.2, 3).unwrap();
        assert_eq!((Source::<f64>::samples(&train), Source::<f64>::samples(&test)), (Some(40), Some(10)));
        assert_eq!(sorted([train.positions(), test.positions()].concat()), (0..50).collect::<Vec<_>>());
        // The same samples as for tensors, in the order of the source.
        let data = numbers(50);
        let (mut x, mut y) = (Tensor::zeros([50, 2]), Tensor::zeros([50]));
        data.read(0, 0, x.as_mut_slice(), y.as_mut_slice()).unwrap();
        let tensors = train_test_split(&x, &y, &Split::default().test_size(0.2).seed(3)).unwrap();
        assert_eq!(sorted(tensors.x_test.iter().step_by(2).map(|v| *v as usize).collect()), test.positions());
        let (train, test) = (train.map(|x, _| x[1] = 0.0).shuffle(1), test.repeat().take(10));
        let held_out = seen(&test, 0);
        let orders: Vec<_> = (0..4).map(|epoch| seen(&train, epoch)).collect();
        for (epoch, order) in orders.iter().enumerate() {
            assert_eq!(seen(&test, epoch), held_out);
            assert!(order.iter().all(|i| !held_out.contains(i)));
            assert_eq!(sorted(order.clone()), sorted(orders[0].clone()));
        }
        assert_ne!(orders[0], orders[1]);
        assert_ne!(numbers(50).split(0.2, 4).unwrap().1.positions(), numbers(50).split(0.2, 3).unwrap().1.positions());
    }

    #[test]
    fn strata_keep_their_share() {
        let (_, test) = numbers(90).split_stratified(0.2, 1).unwrap();
        let mut y = vec![0.0; 18];
        test.read_targets(0, &mut y).unwrap();
        assert_eq!([0.0, 1.0, 2.0].map(|c| y.iter().filter(|v| **v == c).count()), [6, 6, 6]);
        test.read_targets(18, &mut []).unwrap();
        assert!(test.read_targets(18, &mut [0.0]).is_err());
        // Through functions, and with one-hot rows.
        let rows = numbers(90).map_to([1], [3], |_, y, new, row| {
            new[0] = y[0];
            row.fill(0.0);
            row[y[0] as usize] = 1.0;
        });
        let (_, again) = rows.split_stratified(0.2, 1).unwrap();
        assert_eq!(again.positions(), test.positions());
        again.read_targets(0, &mut []).unwrap();
        let mut hot = vec![0.0; 54];
        again.read_targets(0, &mut hot).unwrap();
        assert_eq!(hot, one_hot(&Tensor::from(y), 3).unwrap().into_vec());
        let lonely = Samples::new(Tensor::<f64>::zeros([5, 1]), Tensor::from([0.0, 0.0, 1.0, 0.0, 0.0])).unwrap();
        let error = lonely.split_stratified(0.4, 0).unwrap_err().to_string();
        assert!(error.contains("at least 2 with stratify, got 1 of target [1.0] (row 2)"), "{error}");
    }

    #[test]
    fn parts_that_would_share_samples_are_refused() {
        let message = |source: &dyn Source<f64>| {
            let early = source.check().unwrap_err().to_string();
            let (x, y) = (source.shapes().0.len(), source.shapes().1.len());
            let late = source.read(0, 0, &mut vec![0.0; x], &mut vec![0.0; y]).unwrap_err().to_string();
            assert_eq!(early, late);
            early
        };
        assert_eq!(
            message(&numbers(50).shuffle(1).take(40)),
            "take: source must be in an order that stays, got one that is shuffled anew each epoch, so that samples would \
             change between its parts; split first and shuffle the part to train on: let (train, validation) = \
             source.split(0.2, seed)?; train.shuffle(seed); or, for a part of an epoch, Fit::steps_per_epoch"
        );
        for source in [
            Box::new(numbers(50).shuffle(1).skip(40)) as Box<dyn Source<f64>>,
            Box::new(numbers(50).shuffle_blocks(1, 5).skip(40)),
            Box::new(numbers(50).shuffle(1).map(|_, _| ()).take(40)),
            Box::new(numbers(50).shuffle(1).map_keyed(1, |_, _, _| ()).take(40).map(|_, _| ())),
            Box::new(numbers(50).shuffle(1).repeat().take(40).shuffle(2)),
            Box::new(Box::new(numbers(50).shuffle(1)).take(40).repeat()),
            Box::new(numbers(50).take(45).shuffle(1).skip(2)),
        ] {
            assert!(message(&*source).contains("shuffled anew each epoch"), "{source:?}");
        }
        let column = || numbers(50).map_to([1], [1], |x, y, a, b| (a[0], b[0]) = (x[0], y[0]));
        assert!(message(&column().mixup(0.2, 1).take(4)).contains("mixed with others"));
        assert!(message(&numbers(50).repeat().skip(4)).contains("repeated"));
        assert!(message(&numbers(50).repeat().take(100).skip(4)).contains("repeated"));
        let split = |source: &dyn Source<f64>| source.split(0.2, 1).unwrap_err().to_string();
        assert!(split(&numbers(9).shuffle(1)).starts_with("split: source must be in an order that stays"));
        assert!(split(&numbers(9).repeat().take(18)).contains("repeated"));
        let endless = FromFn::new([1], [1], None, |_, _, _: &mut [f64], _: &mut [f64]| Ok(())).unwrap();
        assert!(split(&endless).contains("one that ends"));
        assert!(split(&numbers(2)).contains("leave two samples of 2 to train on"));
        assert!(numbers(9).split(1.0, 1).unwrap_err().to_string().contains("part must be above 0 and below 1, got 1"));
        // What takes everything parts nothing.
        assert_eq!(sorted(seen(numbers(9).shuffle(1).take(9).skip(0), 5)), (0..9).collect::<Vec<_>>());
        assert_eq!(seen(numbers(3).repeat().take(7), 0), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(seen(numbers(9).take(6).skip(1).take(2), 3), [1, 2]);
        assert!(numbers(9).split(0.2, 1).unwrap().0.read(0, 7, &mut [0.0; 2], &mut [0.0]).is_err());
    }
}
