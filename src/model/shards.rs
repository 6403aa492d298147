//! A step on a batch that is cut into logical shards, on one rank or several.

use std::ops::Range;

use super::checks::{cause, cause_in_data};
use super::data_adapter::{DataAdapter, Loaded};
use super::lanes::{Ended, Lanes, Place, unit, weight};
use super::train::{Accumulated, Ahead, Outcome, Purpose, Training};
use super::trained_head::add_loss;
use crate::data::Shard;
use crate::distributed::{Sums, World, add, add_up, add_up_before_last, all_gather_numbers, buffers, shards_of, times};
use crate::error::{Error, Result};
use crate::graph::{Net, Stage};
use crate::kernels::beside::Beside;
use crate::kernels::parallel;
use crate::layer::Pass;
use crate::memory;
use crate::params::Params;
use crate::tensor::Float;
use crate::written::Written;

/// What a run by shards has beside that of training.
#[derive(Debug)]
pub(crate) struct Shards<'a, T: Float> {
    pub(super) world: &'a dyn World,
    /// How many there are, and those of this rank.
    pub(super) count: usize,
    own: Range<usize>,
    /// Sums on their way, the first ones of this rank's roots.
    pub(super) sums: Vec<Sum<T>>,
    /// What of the gradients of a shard is written.
    pub(super) written: Written,
    pub(super) ranks: Sums<T>,
    /// The way back in stages, after each of which some gradients are complete, and the thread on which those travel, if they do.
    pub(super) stages: Vec<Stage>,
    pub(super) beside: Option<Beside>,
    /// What all ranks know of every shard of the batch: a line of numbers each.
    pub(super) lines: Vec<f64>,
    pub(super) width: usize,
    /// The sums of metrics before the batch.
    before: Vec<Vec<f64>>,
    /// Whether any rank has been asked to end.
    pub stop: bool,
    /// Why the loss of a shard of this rank is not finite, and whether it is in the data.
    pub(super) cause: Option<(bool, String)>,
    /// The shards of this rank, where layers take statistics over all shards.
    lanes: Option<Lanes<T>>,
}

/// A batch of a run, and what a step by shards takes it through.
#[derive(Clone, Copy)]
pub(crate) struct BatchOfRun<'a, T: Float> {
    pub data: &'a dyn DataAdapter<T>,
    pub epoch: usize,
    pub index: usize,
    pub net: &'a Net<T>,
    pub seed: u64,
}

/// Gradients and statistics of a node.
#[derive(Debug, Default)]
pub(super) struct Sum<T> {
    pub gradients: Vec<T>,
    pub statistics: Vec<T>,
}

/// A shard that has gone ahead, and is to go back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub shard: Shard,
    place: Place,
    /// None of an empty shard.
    pub ahead: Option<Ahead>,
}

impl Gone {
    /// What it has come to, of so many rows that count.
    pub fn ended<'a, T: Float>(&self, statistics: &'a mut [T], rows: usize) -> Ended<'a, T> {
        let value = self.ahead.map_or(0.0, |ahead| ahead.value);
        Ended { place: self.place, value, weight: self.weight(rows), statistics }
    }

    /// What the gradient weighs among those of other shards, given its rows that count.
    pub fn weight<T: Float>(&self, rows: usize) -> T {
        weight(self.shard.of, self.place.samples, rows)
    }
}

/// The gradients that one stage of the way back completes, at least, and that go to other ranks without being copied together with others: what
/// takes as long on its way as a message's own time many times over.
const STAGE: usize = 1 << 17;

/// The same of many ranks, for each of them.
const PIECE: usize = 1 << 14;

/// The numbers of a line before those of heads.
const FIRST: usize = 5;

/// Where they stand: what layers add to the loss, rows of the shard that count, samples of the batch, whether to stop, and whether its data are the
/// cause of a loss that is not finite.
const PENALTY: usize = 0;
const ROWS: usize = 1;
const WHOLE: usize = 2;
const STOP: usize = 3;
const DATA: usize = 4;

impl<'a, T: Float> Shards<'a, T> {
    pub fn new(
        world: &'a dyn World,
        count: usize,
        training: &mut Training<T>,
        (net, params): (&Net<T>, &Params<T>),
    ) -> Result<Self> {
        let lanes = Lanes::new(world, count, training, net, params)?;
        let ranks = Sums::new(world.size(), count);
        let roots = ranks.roots(world.rank());
        // Lanes are added up in their own place.
        let height = |root| if lanes.is_some() { 1 } else { buffers(root) };
        let needed = roots.iter().enumerate().map(|(i, root)| i + height(root)).max().unwrap_or(1);
        let statistics = training.statistics.parts_mut().0.len();
        let values = (params.len() + statistics).saturating_mul(needed);
        memory::check_room::<T>("fit", format_args!("the gradients of {needed} shards"), values)?;
        let numbers = training.sums.iter().map(Vec::len).sum::<usize>();
        let width = FIRST + 2 * training.heads.len() + params.specs().len() + numbers;
        let all = width.saturating_mul(count);
        memory::check_room::<f64>("fit", format_args!("loss and metrics of {count} shards"), all)?;
        let sum = || Sum { gradients: Vec::new(), statistics: vec![T::zero(); statistics] };
        let mut sums: Vec<Sum<T>> = (0..needed).map(|_| sum()).collect();
        // The first sum takes the place of training's gradients, unless those are needed to add batches up in.
        let apart = usize::from(!adds_batches(training));
        sums.iter_mut().skip(apart).for_each(|sum| sum.gradients.resize(params.len(), T::zero()));
        let own = shards_of(world.rank(), world.size(), count);
        let (lines, written) = (vec![0.0; all], Written::new(params));
        let before = training.sums.clone();
        // Where gradients do not travel early, or shards go side by side, they go together.
        let early = world.size() > 1 && world.overlaps() && lanes.is_none();
        let long = STAGE.max(world.size().saturating_mul(PIECE));
        let stages = net.stages(params, if early { long } else { usize::MAX }, long);
        let beside = (stages.len() > 1).then(|| Beside::new(format!("gradus rank {}", world.rank())));
        let (stop, cause) = (false, None);
        Ok(Shards { world, count, own, sums, written, ranks, stages, beside, lines, width, before, stop, cause, lanes })
    }

    /// Whether gradients travel while the way back of this rank's last shard is under way.
    fn travel_early(&self) -> bool {
        self.beside.is_some()
    }

    /// Why a loss is not finite, as far as this rank knows.
    pub fn cause(&mut self) -> String {
        let any = |is: fn(&[f64]) -> bool| (0..self.count).any(|shard| is(self.line(shard)));
        let elsewhere = any(|line| line[FIRST..].iter().any(|known| !known.is_finite()));
        // Where statistics are those of all shards, all losses follow from the data of one.
        let in_other_data = any(|line| line[DATA] != 0.0);
        let other = match elsewhere {
            true => "It became so in rows of another rank, which says more.",
            false => "The losses of all shards are finite: the penalties of weights, the sum, or a gradient are not.",
        };
        let own = self.cause.take().filter(|(in_data, _)| *in_data || !in_other_data);
        own.map_or_else(|| other.to_owned(), |(_, cause)| cause)
    }

    fn line(&self, shard: usize) -> &[f64] {
        &self.lines[shard * self.width..][..self.width]
    }

    /// What a number of all shards comes to.
    fn total(&self, at: usize) -> f64 {
        (0..self.count).map(|shard| self.line(shard)[at]).sum()
    }

    /// The mean over shards of a number, which weigh by another one.
    fn mean(&self, at: usize, by: usize) -> f64 {
        let all = self.total(by);
        let part = |line: &[f64]| if line[by] == 0.0 { 0.0 } else { line[at] * (line[by] / all) };
        (0..self.count).map(|shard| part(self.line(shard))).sum()
    }

    /// What sums over all shards are to be multiplied by, given the rows of all that count.
    fn scale(count: usize, samples: f64, rows: usize) -> T {
        match (count, rows) {
            (1, _) => T::one(),
            (_, 0) => T::zero(),
            (_, rows) => T::of(unit(count, samples) / rows as f64),
        }
    }
}

/// Keeps the first cause that is found, one in the data before others.
pub(super) fn note(cause: &mut Option<(bool, String)>, found: Option<(bool, String)>) {
    if found.as_ref().is_some_and(|(in_data, _)| cause.is_none() || (*in_data && !cause.as_ref().is_some_and(|c| c.0)))
    {
        *cause = found;
    }
}

/// Whether the gradients of several batches are added up for an update.
fn adds_batches<T: Float>(training: &Training<T>) -> bool {
    training.optimizer.options().gradient_accumulation_steps > 1
}

impl<T: Float> Training<T> {
    /// One step on a batch. What it comes to is the same on every rank.
    pub fn step_in_shards(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &mut Params<T>,
    ) -> Result<Outcome> {
        // Shards' gradients take the place of training's in turn, so that a layer that panics takes those with it.
        self.begin_step(params);
        let outcome = self.step_of_all(shards, batch, params);
        self.under_way = false;
        outcome
    }

    fn step_of_all(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &mut Params<T>,
    ) -> Result<Outcome> {
        if self.accumulated.batches == 0 {
            self.accumulated = Accumulated::default();
            self.written.begin(&mut self.gradients);
        }
        let adds = adds_batches(self);
        if !adds {
            std::mem::swap(&mut self.gradients, &mut shards.sums[0].gradients);
        }
        let reduced = self.reduce_batch(shards, batch, params);
        if !adds {
            std::mem::swap(&mut self.gradients, &mut shards.sums[0].gradients);
            self.written.all_written();
        }
        let value = reduced?;
        if !value.is_finite() {
            self.statistics.clear();
            return Ok(Outcome::Loss(value));
        }
        let before = self.state.step;
        let outcome = parallel::enter(params.len(), || {
            self.add_batch(shards, params);
            self.count_and_update(params, batch.seed, value)
        });
        self.share_weights(shards.world, params, outcome, before)
    }

    /// The loss of a batch; if it is finite its gradients in the first of the sums, metrics added, statistics in their place.
    fn reduce_batch(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &Params<T>,
    ) -> Result<f64> {
        shards.cause = None;
        shards.before.iter_mut().zip(&self.sums).for_each(|(before, sums)| before.copy_from_slice(sums));
        let samples = batch.data.samples(batch.index) / shards.count;
        let work = params.len().saturating_mul(samples.max(1));
        let early = shards.travel_early();
        let own = match &shards.lanes {
            Some(_) => self.own_lanes(shards, batch, params, work),
            None => self.own_shards(shards, batch, params, (early, work)),
        };
        let own = own.and_then(|last| match last {
            Some((gone, at)) => self.last_shard(shards, batch, params, (gone, at, work)),
            None => Ok(()),
        });
        self.sums.iter_mut().zip(&shards.before).for_each(|(sums, before)| sums.copy_from_slice(before));
        own?;
        self.tell(shards)?;
        // From here on all ranks do the same. A step on other data than rank 0's would be one of no batch at all.
        let whole = shards.line(0)[WHOLE];
        if let Some(shard) = (0..shards.count).find(|&shard| shards.line(shard)[WHOLE] != whole) {
            let samples = shards.line(shard)[WHOLE];
            let differ = format!("the rank of shard {shard} has a batch of {samples} samples, rank 0 one of {whole}");
            return Err(Error::Ranks { op: "fit", differ });
        }
        let penalties = [shards.mean(PENALTY, ROWS), if self.penalised { params.penalty() } else { 0.0 }];
        for (i, head) in self.heads.iter_mut().enumerate() {
            let [loss, rows] = [0, 1].map(|j| FIRST + 2 * i + j);
            head.last_loss = shards.mean(loss, rows);
            head.last_rows = shards.total(rows) as usize;
        }
        let value = self.loss(|_| true, penalties);
        if value.is_finite() {
            self.add_metrics(shards);
            self.reduce(shards, early)?;
            let scale = Shards::<T>::scale(shards.count, whole, self.rows());
            times(&mut shards.sums[0].gradients, scale);
            times(&mut shards.sums[0].statistics, scale);
            self.statistics.parts_mut().0.copy_from_slice(&shards.sums[0].statistics);
            if let Some(lanes) = &shards.lanes {
                self.settle(batch.net, params, lanes.totals());
            }
        }
        Ok(value)
    }

    /// Adds up gradients and statistics of this rank's shards, and notes what is known of each. Where gradients travel `early`, the last shard goes ahead
    /// and no further; it comes with the number of the buffer that its gradient goes to. `work` is that of a shard.
    fn own_shards(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &Params<T>,
        (early, work): (bool, usize),
    ) -> Result<Option<(Gone, usize)>> {
        let Shards { world, count, sums, written, ranks, lines, width, cause, .. } = shards;
        let shard = &mut |number: usize, sum: &mut Sum<T>, back: bool| {
            std::mem::swap(&mut self.gradients, &mut sum.gradients);
            std::mem::swap(&mut self.written, written);
            let shard = Shard { number, of: *count };
            let done = self.begin_shard(shard, batch).map(|place| {
                parallel::enter_awake(work, || {
                    let gone = self.shard_ahead((shard, place), batch, params);
                    if back {
                        self.shard_back(&gone, batch.net, params);
                        let line = &mut lines[number * *width..][..*width];
                        note(cause, self.end_shard(*count, gone.ended(&mut sum.statistics, self.rows()), line, batch));
                    }
                    gone
                })
            });
            std::mem::swap(&mut self.gradients, &mut sum.gradients);
            std::mem::swap(&mut self.written, written);
            done
        };
        let more = &mut |a: &mut Sum<T>, b: &Sum<T>| {
            add(&mut a.gradients, &b.gradients);
            add(&mut a.statistics, &b.statistics);
        };
        let roots = ranks.roots(world.rank());
        for (i, root) in roots.iter().enumerate() {
            let leaf = &mut |number: usize, sum: &mut Sum<T>| shard(number, sum, true).map(|_| ());
            if early && i + 1 == roots.len() {
                let at = i + add_up_before_last(root, &mut sums[i..], leaf, more)?;
                return Ok(Some((shard(root.end - 1, &mut sums[at], false)?, at)));
            }
            add_up(root, &mut sums[i..], leaf, more)?;
        }
        Ok(None)
    }

    /// [`own_shards`](Self::own_shards) where layers take statistics over all shards, which go side by side.
    fn own_lanes(
        &mut self,
        shards: &mut Shards<'_, T>,
        batch: BatchOfRun<'_, T>,
        params: &Params<T>,
        work: usize,
    ) -> Result<Option<(Gone, usize)>> {
        let Shards { world, count, sums, ranks, lines, width, cause, lanes: Some(lanes), .. } = shards else {
            return Ok(None);
        };
        let (count, width) = (*count, *width);
        let begin = &mut |training: &mut Self, number: usize| training.begin_shard(Shard { number, of: count }, batch);
        let end = &mut |training: &mut Self, number: usize, ended: Ended<'_, T>| {
            let line = &mut lines[number * width..][..width];
            training.weigh(ended.weight, params);
            note(cause, training.end_shard(count, ended, line, batch));
        };
        self.run_lanes(lanes, (*world, batch.net, params), (batch.seed, work), begin, end)?;
        parallel::enter(work, || {
            for (root, sum) in ranks.roots(world.rank()).iter().zip(sums) {
                lanes.add_up(root, &mut sum.gradients, &mut sum.statistics);
            }
        });
        Ok(None)
    }

    /// Takes a shard that has been loaded as far as its loss.
    fn shard_ahead(&mut self, (shard, place): (Shard, Place), batch: BatchOfRun<'_, T>, params: &Params<T>) -> Gone {
        let purpose = Purpose::Shard(place.first_row as u64);
        let ahead = (place.rows > 0).then(|| self.go_ahead(batch.net, params, batch.seed, purpose));
        Gone { shard, place, ahead }
    }

    /// The gradient of a shard that has gone ahead, times what it weighs.
    fn shard_back(&mut self, gone: &Gone, net: &Net<T>, params: &Params<T>) {
        if let Some(Ahead { back: true, key, .. }) = gone.ahead {
            let mut gradients = std::mem::take(&mut self.gradients);
            self.go_back(net, params, key, &mut gradients, 0..net.node_count());
            self.gradients = gradients;
        }
        self.weigh(gone.weight(self.rows()), params);
    }

    /// The gradients of a shard, times what they weigh.
    fn weigh(&mut self, weight: T, params: &Params<T>) {
        self.written.end(params, &mut self.gradients);
        if weight != T::one() {
            self.written.scale(&mut self.gradients, weight);
        }
    }

    /// Loads a shard, which may have no rows, and forgets what was found of the one before.
    fn begin_shard(&mut self, shard: Shard, batch: BatchOfRun<'_, T>) -> Result<Place> {
        let BatchOfRun { data, epoch, index, net, .. } = batch;
        self.written.all_written();
        self.written.begin(&mut self.gradients);
        self.sums.iter_mut().for_each(|sums| sums.fill(0.0));
        let Loaded { samples, unchecked } = data.load_shard(epoch, index, shard, &mut self.buffers.batch)?;
        let rows = shard.rows(samples);
        let place = Place { first_row: rows.start, rows: rows.len(), samples };
        if rows.is_empty() {
            return Ok(place);
        }
        if unchecked {
            self.check_batch("fit", net).map_err(|error| data.about(index, error.in_rows_from(rows.start)))?;
        }
        self.prepare("fit", net)?;
        Ok(place)
    }

    /// Takes what a shard, one of so many, has come to, but its gradients: weighs statistics, and fills its line; why its loss is not finite, if it is not,
    /// and whether that is in the data.
    pub(super) fn end_shard(
        &mut self,
        of: usize,
        ended: Ended<'_, T>,
        line: &mut [f64],
        BatchOfRun { data, index, net, .. }: BatchOfRun<'_, T>,
    ) -> Option<(bool, String)> {
        let Ended { place: Place { first_row, rows, samples }, value, statistics, .. } = ended;
        line.fill(0.0);
        line[WHOLE] = samples as f64;
        if rows == 0 {
            statistics.fill(T::zero());
            return None;
        }
        let sample = |row| data.sample(index, first_row + row);
        let found = match value.is_finite() {
            true => None,
            false => Some(match cause_in_data(self.loaded(), sample) {
                Some(found) => (true, found),
                None => (false, cause(self.loaded(), sample)),
            }),
        };
        if found.is_none() {
            self.measure(net);
        }
        line[PENALTY] = self.layer_penalty;
        line[ROWS] = self.rows() as f64;
        line[DATA] = f64::from(u8::from(found.as_ref().is_some_and(|(in_data, _)| *in_data)));
        for (head, numbers) in self.heads.iter().zip(line[FIRST..].chunks_exact_mut(2)) {
            let loss = if head.loss.is_some() { head.last_loss } else { 0.0 };
            numbers.copy_from_slice(&[loss, head.last_rows as f64]);
        }
        let weight = weight::<T>(of, samples, self.rows());
        let (values, written) = self.statistics.parts_mut();
        statistics.iter_mut().zip(values).for_each(|(to, from)| *to = *from * weight);
        // Statistics of a shard in which no row counts weigh nothing.
        let counts = line[ROWS] > 0.0 || of == 1;
        let (_, rest) = line[FIRST..].split_at_mut(2 * self.heads.len());
        let flags = written.iter().map(|written| f64::from(u8::from(*written && counts)));
        let known = flags.chain(self.sums.iter().flatten().copied());
        rest.iter_mut().zip(known).for_each(|(to, from)| *to = from);
        found
    }

    /// Tells all ranks what is known of every shard.
    fn tell(&mut self, shards: &mut Shards<'_, T>) -> Result<()> {
        let Shards { world, count, own, lines, width, stop, .. } = shards;
        let (ranks, count, width) = (world.size(), *count, *width);
        lines[own.start * width + STOP] = f64::from(u8::from(world.asked_to_stop()));
        let stretch = |rank: usize| {
            let own = shards_of(rank, ranks, count);
            own.start * width..own.end * width
        };
        all_gather_numbers(*world, "loss and metrics of a step", lines, stretch)?;
        *stop = lines.chunks_exact(width).any(|line| line[STOP] != 0.0);
        Ok(())
    }

    /// Adds what metrics have of every shard, in their order.
    fn add_metrics(&mut self, shards: &Shards<'_, T>) {
        let (_, written) = self.statistics.parts_mut();
        let mut at = FIRST + 2 * self.heads.len();
        for written in written.iter_mut() {
            *written = shards.total(at) > 0.0;
            at += 1;
        }
        for (figure, sums) in self.figures.iter().zip(&mut self.sums) {
            let len = sums.len();
            if figure.metric.is_none() {
                let head = &self.heads[figure.head];
                add_loss(sums, head.last_loss, head.last_rows);
            } else {
                for shard in 0..shards.count {
                    let of_shard = &shards.line(shard)[at..][..len];
                    sums.iter_mut().zip(of_shard).for_each(|(sum, more)| *sum += more);
                }
            }
            at += len;
        }
    }

    /// The sums over all shards in the first of this rank's: of statistics, and of the gradients that have not travelled `early`.
    fn reduce(&mut self, shards: &mut Shards<'_, T>, early: bool) -> Result<()> {
        let Shards { world, sums, ranks, stages, .. } = shards;
        if world.size() == 1 {
            // Its root is that of all shards.
            return Ok(());
        }
        let roots = ranks.roots(world.rank()).len();
        let (mut of_gradients, mut of_statistics): (Vec<_>, Vec<_>) =
            sums[..roots].iter_mut().map(|sum| (&mut sum.gradients[..], &mut sum.statistics[..])).unzip();
        let mut parcels = stages.iter().flat_map(|stage| &stage.parcels).filter(|_| !early);
        parcels.try_for_each(|parcel| ranks.all_reduce(*world, &mut of_gradients, parcel))?;
        let all = 0..of_statistics.first().map_or(0, |statistics| statistics.len());
        ranks.all_reduce(*world, &mut of_statistics, &[all])
    }

    /// Adds the gradients of a batch, and those of penalties, to those of batches before.
    fn add_batch(&mut self, shards: &mut Shards<'_, T>, params: &Params<T>) {
        let rows = self.rows() as u64;
        if adds_batches(self) {
            // A batch of many, in which no row counts, has no part in the update.
            if rows == 0 {
                return;
            }
            self.weigh_as(rows);
            let of_batch = &shards.sums[0].gradients;
            match self.accumulated.rows {
                0 => self.gradients.copy_from_slice(of_batch),
                _ => add(&mut self.gradients, of_batch),
            }
            self.written.all_written();
        }
        if self.penalised {
            Pass::training(params, &mut self.gradients, 0, 0, 0).regularize();
        }
    }
}

#[cfg(all(test, feature = "parallel"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::data::{Samples, Source};
    use crate::distributed::Threads;
    use crate::kernels::parallel;
    use crate::layer::{Builder, Layer, Pass, Slot};
    use crate::losses::MeanSquaredError;
    use crate::metrics::Metric;
    use crate::model::{Fit, Sequential, Verbose};
    use crate::optimizers::Sgd;
    use crate::tensor::{Float, Shape, Tensor};

    /// A layer that counts passes within work that other threads look out for.
    #[derive(Clone, Debug)]
    struct Counts(Arc<AtomicUsize>);

    impl<T: Float> Layer<T> for Counts {
        fn class(&self) -> &'static str {
            "Counts"
        }

        fn build(&mut self, input: Shape, _: &mut Builder<T>) -> crate::Result<Shape> {
            Ok(input)
        }

        fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
            self.0.fetch_add(usize::from(parallel::is_awake()), Ordering::Relaxed);
            y.copy_from(x);
        }

        fn backward(
            &self,
            _: &mut Pass<'_, T>,
            _: &mut Slot<T>,
            _: &Tensor<T>,
            _: &Tensor<T>,
            dy: &mut Tensor<T>,
            dx: Option<&mut Tensor<T>>,
        ) {
            self.0.fetch_add(usize::from(parallel::is_awake()), Ordering::Relaxed);
            if let Some(dx) = dx {
                dx.copy_from(dy);
            }
        }
    }

    /// Whoever looks out gives up while a batch is read.
    #[test]
    fn threads_look_out_once_a_batch_is_there() {
        if parallel::threads() == 1 {
            return;
        }
        let samples = Samples::new(Tensor::<f32>::zeros([64, 64]), Tensor::zeros([64, 512])).unwrap();
        for shards in [None, Some(2)] {
            let (passes, loads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let counted = loads.clone();
            let data = samples.clone().map(move |_, _| {
                counted.fetch_add(usize::from(parallel::is_awake()), Ordering::Relaxed);
            });
            let layers = Sequential::new([64]).add(crate::layers::Dense::new(512)).add(Counts(passes.clone()));
            let mut model = layers.build(0).unwrap();
            model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
            let how = Fit::default().epochs(1).verbose(Verbose::Silent);
            let how = shards.into_iter().fold(how, Fit::shards);
            model.fit_dataset(&data.batch(32), &how, &mut []).unwrap();
            assert_eq!(loads.load(Ordering::Relaxed), 0, "{shards:?}");
            assert_eq!(passes.load(Ordering::Relaxed), 2 * 2 * shards.unwrap_or(1), "{shards:?}");
        }
    }

    /// A figure that counts where it is taken.
    #[derive(Clone, Debug)]
    struct Taken(Arc<[AtomicUsize; 2]>);

    impl<T: Float> Metric<T> for Taken {
        fn name(&self) -> String {
            "taken".to_owned()
        }

        fn sums(&self, _: Shape) -> usize {
            1
        }

        fn update(&self, _: &mut [f64], _: &Tensor<T>, _: &Tensor<T>, _: Option<&[T]>) {
            self.0[usize::from(parallel::is_awake())].fetch_add(1, Ordering::Relaxed);
        }

        fn result(&self, _: &[f64]) -> f64 {
            0.0
        }
    }

    #[test]
    fn metrics_are_taken_where_others_look_out() {
        if parallel::threads() == 1 {
            return;
        }
        let taken = Arc::new([0, 0].map(AtomicUsize::new));
        let (x, y) = (Tensor::<f32>::zeros([16, 2]), Tensor::zeros([16, 8192]));
        Threads::run(2, |world| {
            // Gradients travel in two stages.
            let layers = Sequential::new([2]).add(crate::layers::Dense::new(16));
            let mut model = layers.add(crate::layers::Dense::new(8192)).build(0).unwrap();
            model.compile(Sgd::default(), MeanSquaredError::default(), [Taken(taken.clone())]).unwrap();
            let how = Fit::default().epochs(2).batch_size(16).shards(4).verbose(Verbose::Silent);
            model.fit(&x, &y, &how.distributed(world)).unwrap();
        });
        assert_eq!([0, 1].map(|awake| taken[awake].load(Ordering::Relaxed)), [0, 2 * 4]);
    }
}
