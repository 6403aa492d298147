//! `fit` and `train_on_batch`.

use super::built::Model;
use super::checks::{cause, check_classes_apart};
use super::data_adapter::{DataAdapter, FromDataset, InMemory, all_batches};
#[cfg(feature = "files")]
use super::digest::digest;
use super::evaluate::{Rows, ValidationData};
use super::fit_options::{Fit, Verbose};
use super::history::{History, RunStart};
#[cfg(feature = "files")]
use super::join::compare;
use super::progress::Progress;
use super::run_state::{DataOfRun, RunState};
use super::sample_weights::sample_weights;
#[cfg(feature = "files")]
use super::saver::{Now, Saver};
#[cfg(feature = "files")]
use super::settings::{Depth, FIRST_BATCH, LAST_BATCH, Settings};
use super::shards::{BatchOfRun, Shards};
use super::tensors::Tensors;
use super::train::{Outcome, Training};
use crate::callbacks::{Callback, Described, Logs, Run, RunPlan};
use crate::data::{Batch, Dataset};
use crate::distributed::any;
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Model<T> {
    /// Trains on samples `x` `[n, …input]` and their targets `y`; returns loss and metrics of every epoch, as they were during its steps: means
    /// over all rows (samples, or steps of them) that count, see [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// [`Error::NotCompiled`] before `compile`; [`Error::Empty`], [`Error::Shape`], [`Error::Label`] or
    /// [`Error::Argument`] for data or settings that do not fit, among them a `validation_split` of rows that are sorted by class;
    /// [`Error::NonFinite`] in what is validated on, and in x and y if asked to look for it; [`Error::Diverged`] when the loss
    /// becomes NaN or infinite, with the last finite weights kept and the row and column of the data that caused it, if they did.
    /// Of a [distributed](Fit::distributed) run [`Error::Ranks`] where ranks differ, [`Error::Rank`] where another one failed.
    pub fn fit<'a>(
        &mut self,
        x: impl Into<Tensors<'a, T>>,
        y: impl Into<Tensors<'a, T>>,
        how: &Fit<'_, T>,
    ) -> Result<History> {
        self.fit_tensors(x.into(), y.into(), how, &mut [])
    }

    /// [`fit`](Self::fit) with [callbacks](crate::callbacks), called in the order of the list.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and those of the callbacks.
    pub fn fit_with<'a>(
        &mut self,
        x: impl Into<Tensors<'a, T>>,
        y: impl Into<Tensors<'a, T>>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        self.fit_tensors(x.into(), y.into(), how, callbacks)
    }

    #[inline(never)]
    pub(crate) fn fit_tensors(
        &mut self,
        x: Tensors<'_, T>,
        y: Tensors<'_, T>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        let fitted = self.fit_checked(x, y, how, callbacks);
        self.end_together(how, fitted)
    }

    fn fit_checked(
        &mut self,
        x: Tensors<'_, T>,
        y: Tensors<'_, T>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        let (x, y, weights) = self.check_data("fit", x, y, how.sample_weight.as_ref())?;
        if how.batch_size == 0 {
            return Err(Error::argument("fit", "batch_size", "at least 1", 0, "32 is usual"));
        }
        if how.class_weight.is_some() && y.len() > 1 {
            let hint = "pass Fit::sample_weight for the outputs by their names";
            return Err(Error::argument("fit", "class_weight", "left out with several targets", "weights", hint));
        }
        if how.steps_per_epoch.is_some() {
            let hint = "leave it out, or pass a dataset to fit_dataset";
            return Err(Error::argument("fit", "steps_per_epoch", "left out with tensors", "a number", hint));
        }
        let all = x[0].samples();
        let n = how.kept(all)?;
        let held_out = match self.validation(how)? {
            None if n < all => {
                if self.tells_classes() {
                    check_classes_apart(y[0], n, how.validation_split)?;
                }
                self.check_held_out(&x, &y, n..all)?;
                let (x, y, weights) = (x.clone(), y.clone(), weights.clone());
                Some(ValidationData::Rows(Rows { x, y, rows: n..all, weights, masks: Vec::new() }))
            }
            other => other,
        };
        if how.check_finite {
            self.check_all_finite("fit", &x, &y, 0..all)?;
        }
        let own = y.iter().enumerate().zip(self.head_outputs());
        let own =
            own.map(|((i, y), output)| sample_weights(y, output, weights.get(i).copied().flatten(), how.class_weight));
        let weights = own.collect::<Result<Vec<_>>>()?;
        let shuffle = how.shuffle.then_some(self.seed);
        let mut data = InMemory { x, y, weights, n, batch_size: how.batch_size, shuffle, order: Vec::new() };
        self.run(&mut data, held_out, how, callbacks)
    }

    /// The shapes of the outputs that take targets.
    fn head_outputs(&self) -> Vec<Shape> {
        let heads = self.training.iter().flat_map(|training| &training.heads);
        heads.map(|head| self.net.output_shape(head.output)).collect()
    }

    /// Trains on the batches of a [`Dataset`], which need not fit in memory. Batch size and order are the dataset's own;
    /// `how.batch_size` and `how.shuffle` are not used.
    ///
    /// # Errors
    /// As [`fit_with`](Self::fit_with), and those of the dataset.
    #[inline(never)]
    pub fn fit_dataset(
        &mut self,
        data: &dyn Dataset<T>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        let fitted = self.fit_batches(data, how, callbacks);
        self.end_together(how, fitted)
    }

    fn fit_batches(
        &mut self,
        data: &dyn Dataset<T>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        self.check_dataset("fit", data)?;
        let held_out = self.validation(how)?;
        how.check_for_dataset()?;
        if how.class_weight.is_some() && self.head_outputs().len() > 1 {
            let hint = "let the dataset fill Batch::weights and Batch::more_weights";
            return Err(Error::argument("fit", "class_weight", "left out with several targets", "weights", hint));
        }
        let mut data = FromDataset::new(data, how.steps_per_epoch, how.class_weight, self.head_outputs()[0])?;
        self.run(&mut data, held_out, how, callbacks)
    }

    /// The data that was passed for validation, checked.
    fn validation<'a>(&self, how: &Fit<'a, T>) -> Result<Option<ValidationData<'a, T>>> {
        let wrapped = |error| Error::ValidationData(Box::new(error));
        if let Some(data) = how.validation_dataset {
            self.check_dataset("fit", data).and(all_batches(data, "fit")).map_err(wrapped)?;
            return Ok(Some(ValidationData::Batches(data)));
        }
        let Some((x, y)) = &how.validation_data else { return Ok(None) };
        let weights = how.validation_weight.as_ref();
        let (x, y, weights) = self.check_data("fit", x.clone(), y.clone(), weights).map_err(wrapped)?;
        let n = x[0].samples();
        self.check_held_out(&x, &y, 0..n)?;
        Ok(Some(ValidationData::Rows(Rows { x, y, rows: 0..n, weights, masks: Vec::new() })))
    }

    /// What is measured after an epoch is finite, or an error before the first one.
    fn check_held_out(&self, x: &[&Tensor<T>], y: &[&Tensor<T>], rows: std::ops::Range<usize>) -> Result<()> {
        self.check_all_finite("fit", x, y, rows).map_err(|error| Error::ValidationData(Box::new(error)))
    }

    /// All epochs.
    fn run(
        &mut self,
        data: &mut dyn DataAdapter<T>,
        held_out: Option<ValidationData<'_, T>>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        if let Some(training) = &mut self.training {
            training.failed_together = false;
            training.mend_all(&self.params);
        }
        let mut begun = self.begin(data, held_out.as_ref(), how, callbacks)?;
        // It may be that of rank 0.
        data.set_seed(self.seed);
        let history = self.epochs(data, held_out, how, callbacks, &mut begun);
        if let (Some(error), Some(training)) = (history.as_ref().err(), &mut self.training) {
            let all_have_it = training.failed_together || matches!(error, Error::Ranks { .. });
            training.end_shared_state(how.ranks(), &self.params, all_have_it);
        }
        let refused = history.is_err() && !begun.trained;
        if let (true, Some((state, _)), Some(training)) = (refused, begun.before, &mut self.training) {
            // Set right, the next fit goes on there.
            (training.last, training.resumes) = (Some(state), true);
            training.state.learning_rate = begun.rate;
        }
        history
    }

    /// All epochs of a run, from where it stands.
    fn epochs(
        &mut self,
        data: &mut dyn DataAdapter<T>,
        held_out: Option<ValidationData<'_, T>>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
        begun: &mut Begun,
    ) -> Result<History> {
        let mut at = self.place(begun, held_out.is_some(), how, callbacks)?;
        let Begun { data: data_of_run, before, trained, .. } = begun;
        #[cfg(not(feature = "files"))]
        let _ = &data_of_run;
        let (first, ranks) = (how.is_first(), how.ranks());
        let divided = how.shard_optimizer && ranks.size() > 1;
        #[cfg(feature = "files")]
        let saver = how.checkpoint.map(|checkpoint| Saver::new(checkpoint, divided, first, self));
        #[cfg(feature = "files")]
        let mut saver = saver.transpose()?;
        if let (Some(training), true) = (&mut self.training, divided) {
            training.share_state(ranks, self.params.len())?;
        }
        let mut shards = match (&mut self.training, how.shard_count()?) {
            (Some(training), Some(count)) => {
                Some(Shards::new(how.ranks(), count, training, (&self.net, &self.params))?)
            }
            _ => None,
        };
        let trains = at.epoch < how.epochs;
        let start = match before {
            None => RunStart::Fresh,
            Some(_) if !trains || at.stop => RunStart::Finished,
            Some(_) => RunStart::Resumed { epoch: at.epoch, batch: at.batch },
        };
        at.history.set_start(start);
        let verbose = if first { how.verbose } else { Verbose::Silent };
        let mut progress = Progress::new(verbose, how.epochs, data.batches());
        if let Some(line) = beginning(how, &at, data.batches()) {
            progress.note(&line);
        }
        self.call(callbacks, how, before.is_some(), &mut at, |callback, run| callback.on_train_begin(run))?;
        if let Some((state, accepts)) = before {
            Training::restore_callbacks(state, callbacks, *accepts, |callback| how.calls(callback))?;
        }
        // One of them may have asked to end, on one rank alone.
        #[cfg(feature = "files")]
        self.meet(ranks, &mut at)?;
        'epochs: while at.epoch < how.epochs && !at.stop {
            data.begin(at.epoch);
            progress.begin(at.epoch);
            if at.batch == 0 {
                let epoch = at.epoch;
                self.call(callbacks, how, false, &mut at, |callback, run| callback.on_epoch_begin(epoch, run))?;
                (at.sum, at.seen) = (0.0, 0);
                let sums = self.training.iter_mut().flat_map(|training| &mut training.sums);
                sums.for_each(|sums| sums.fill(0.0));
            }
            let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
            while at.batch < data.batches() {
                let (epoch, index) = (at.epoch, at.batch);
                let outcome = match &mut shards {
                    None => {
                        let load = |batch: &mut _| data.load(epoch, index, batch);
                        training.step(data.samples(index), load, &self.net, &mut self.params, self.seed)
                    }
                    Some(shards) => {
                        let batch = BatchOfRun { data: &*data, epoch, index, net: &self.net, seed: self.seed };
                        training.step_in_shards(shards, batch, &mut self.params)
                    }
                };
                let outcome = outcome.map_err(|error| data.about(index, error))?;
                *trained |= !matches!(outcome, Outcome::Loss(_));
                let cause = || match &mut shards {
                    None => cause(training.loaded(), |row| data.sample(index, row)),
                    Some(shards) => shards.cause(),
                };
                let loss = match outcome.loss("fit", epoch, index, cause) {
                    Ok(loss) => loss,
                    Err(error) => {
                        let described = Described { graph: &self.graph, seed: self.seed, beside: &self.beside };
                        let mut run = training.run(described, &mut self.params, false, &mut at.stop, &mut at.notes);
                        let mut quietly = false;
                        for callback in callbacks.iter_mut().filter(|callback| how.calls(&***callback)) {
                            quietly |= callback.on_diverged(&error, &mut run)?;
                        }
                        let quietly = any(ranks, "what callbacks make of a diverged step", quietly)?;
                        training.failed_together = true;
                        if quietly {
                            break 'epochs;
                        }
                        return Err(error);
                    }
                };
                #[cfg(feature = "files")]
                if let (true, 0, Some(name)) = (data_of_run.notes_batches, epoch, end_of(index, data.batches())) {
                    let mut settings = Settings::default();
                    settings.put_batch(name, training.loaded());
                    data_of_run.settings += &settings.text();
                }
                at.batch += 1;
                at.sum += loss * training.rows() as f64;
                at.seen += training.rows();
                if !callbacks.is_empty() {
                    let described = Described { graph: &self.graph, seed: self.seed, beside: &self.beside };
                    let mut run = training.run(described, &mut self.params, false, &mut at.stop, &mut at.notes);
                    let called = callbacks.iter_mut().filter(|callback| how.calls(&***callback));
                    called.into_iter().try_for_each(|c| c.on_batch_end(index, loss, &mut run))?;
                }
                progress.step(at.batch, at.loss(), || training.figures(&training.sums));
                #[cfg(feature = "files")]
                training.save((&mut saver, Now::Step), ranks, &self.params, |training, state| {
                    training.save_run(&at, data_of_run, callbacks, state);
                })?;
                // All ranks know of it by the same step.
                if shards.as_ref().is_some_and(|shards| shards.stop)
                    && !(at.batch == data.batches() && at.epoch + 1 == how.epochs)
                {
                    at.history.interrupt();
                    at.notes.push(format!(
                        "asked to end after {} of {} batches of epoch {}",
                        at.batch,
                        data.batches(),
                        at.epoch + 1
                    ));
                    break 'epochs;
                }
            }
            let mut figures = vec![("loss".to_owned(), at.loss())];
            figures.extend(training.figures(&training.sums));
            if let Some(held_out) = &held_out {
                let scores = match &shards {
                    None => self.measure(held_out)?,
                    Some(_) => self.measure_together(held_out, ranks)?,
                };
                figures.push(("val_loss".to_owned(), scores.loss));
                figures.extend(scores.metrics.into_iter().map(|(name, value)| (format!("val_{name}"), value)));
            }
            progress.end(at.epoch, &figures);
            at.history.push(at.epoch, &figures);
            let epoch = at.epoch;
            (at.epoch, at.batch) = (epoch + 1, 0);
            let logs = Logs(&figures);
            self.call(callbacks, how, false, &mut at, |callback, run| callback.on_epoch_end(epoch, &logs, run))?;
            #[cfg(feature = "files")]
            self.meet(how.ranks(), &mut at)?;
            at.notes.drain(..).for_each(|note| progress.note(&note));
            #[cfg(feature = "files")]
            if let Some(training) = &mut self.training {
                training.save((&mut saver, Now::Epoch), ranks, &self.params, |training, state| {
                    training.save_run(&at, data_of_run, callbacks, state);
                })?;
            }
        }
        progress.finish();
        // Before what follows, which a run with more epochs would not have done yet.
        if let Some(training) = &mut self.training {
            #[cfg(feature = "files")]
            training.save((&mut saver, Now::End), ranks, &self.params, |training, state| {
                training.save_run(&at, data_of_run, callbacks, state);
            })?;
            training.gather_state_everywhere(ranks, self.params.len())?;
        }
        // As in Keras, after the last validation.
        if let (Some(training), true) = (&self.training, trains || before.is_some()) {
            training.state.use_average(&mut self.params);
        }
        self.call(callbacks, how, false, &mut at, |callback, run| callback.on_train_end(run))?;
        // Rank 0 has written all files by now.
        #[cfg(feature = "files")]
        self.meet(how.ranks(), &mut at)?;
        at.notes.drain(..).for_each(|note| progress.note(&note));
        #[cfg(feature = "files")]
        self.remember(&at, data_of_run, callbacks);
        Ok(at.history)
    }

    /// What `fit` returns on this rank; where it is an error that others do not have, they are told, as they would wait for this rank.
    fn end_together(&self, how: &Fit<'_, T>, fitted: Result<History>) -> Result<History> {
        let together = self.training.as_ref().is_some_and(|training| training.failed_together);
        let alone = |error: &&Error| !together && !matches!(error, Error::Ranks { .. });
        if let Some(error) = fitted.as_ref().err().filter(|error| how.ranks().size() > 1 && alone(error)) {
            how.ranks().abort(&error.to_string());
        }
        fitted
    }

    /// What the run goes over, and the state that it goes on from.
    fn begin(
        &mut self,
        data: &dyn DataAdapter<T>,
        held_out: Option<&ValidationData<'_, T>>,
        how: &Fit<'_, T>,
        callbacks: &[&mut dyn Callback<T>],
    ) -> Result<Begun> {
        let fingerprint = data.fingerprint();
        #[cfg(feature = "files")]
        let ranks = how.ranks();
        #[cfg(feature = "files")]
        if ranks.size() > 1 {
            compare(ranks, &self.settings_of_ranks(data, held_out, how, callbacks)?)?;
            if ranks.rank() > 0 {
                let before = self.join(ranks, None)?;
                let rate = self.training.as_ref().and_then(|training| training.state.learning_rate);
                let settings = self.settings_of_run(data, held_out, how, callbacks, Depth::Glance)?.text();
                return Ok(Begun {
                    data: DataOfRun { fingerprint, settings, notes_batches: false },
                    before,
                    rate,
                    trained: false,
                });
            }
        }
        #[cfg(feature = "files")]
        let depth = match (how.checkpoint, self.training.as_ref().is_some_and(|t| t.resumes)) {
            (Some(_), _) => Depth::Whole,
            (None, true) => Depth::Sample,
            (None, false) => Depth::Glance,
        };
        #[cfg(feature = "files")]
        let settings = {
            if let Some(training) = self.training.as_mut().filter(|_| depth > Depth::Glance) {
                training.started.get_or_insert_with(|| digest(self.params.values()));
            }
            let settings = self.settings_of_run(data, held_out, how, callbacks, depth)?;
            if let Some(checkpoint) = how.checkpoint.filter(|c| c.found()) {
                self.resume_found(checkpoint, &settings)?;
            }
            settings
        };
        #[cfg(not(feature = "files"))]
        let _ = (held_out, how, callbacks);
        let training = self.training.as_mut().ok_or(Error::NotCompiled { op: "fit" })?;
        #[cfg(feature = "files")]
        let accepts = training.accepts_changes;
        #[cfg(not(feature = "files"))]
        let accepts = false;
        #[cfg(feature = "files")]
        if let Some(state) = training.last.as_ref().filter(|_| training.resumes && !accepts) {
            Self::check_settings(state, &settings)?;
        }
        let before = if std::mem::take(&mut training.resumes) { training.last.take() } else { None };
        training.last = None;
        #[cfg(feature = "files")]
        let data = {
            let notes_batches = depth == Depth::Glance && data.is_dataset() && how.shard_count()?.is_none();
            DataOfRun { fingerprint, settings: settings.text(), notes_batches }
        };
        #[cfg(not(feature = "files"))]
        let data = DataOfRun { fingerprint, ..DataOfRun::default() };
        let rate = training.state.learning_rate;
        let before = before.map(|state| (state, accepts));
        #[cfg(feature = "files")]
        let before = if ranks.size() > 1 { self.join(ranks, before)? } else { before };
        Ok(Begun { data, before, rate, trained: false })
    }

    /// Where the run begins, if callbacks find nothing wrong with it.
    fn place(
        &mut self,
        Begun { data, before, .. }: &Begun,
        validated: bool,
        how: &Fit<'_, T>,
        callbacks: &[&mut dyn Callback<T>],
    ) -> Result<RunState> {
        let training = self.training.as_mut().ok_or(Error::NotCompiled { op: "fit" })?;
        let at = match before {
            Some((state, accepts)) => training.restore_run(state, data.fingerprint, *accepts)?,
            None => RunState { epoch: how.initial_epoch, ..RunState::default() },
        };
        let figures = training.figure_names(validated);
        let plan = RunPlan { figures: &figures, epochs: how.epochs, resumed: before.is_some() };
        let called = callbacks.iter().filter(|callback| how.calls(&***callback));
        called.into_iter().try_for_each(|callback| callback.check(&plan))?;
        Ok(at)
    }

    /// Hands the state of training to every callback.
    fn call(
        &mut self,
        callbacks: &mut [&mut dyn Callback<T>],
        how: &Fit<'_, T>,
        resumed: bool,
        at: &mut RunState,
        f: impl Fn(&mut dyn Callback<T>, &mut Run<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
        let described = Described { graph: &self.graph, seed: self.seed, beside: &self.beside };
        let mut run = training.run(described, &mut self.params, resumed, &mut at.stop, &mut at.notes);
        let called = callbacks.iter_mut().filter(|callback| how.calls(&***callback));
        called.into_iter().try_for_each(|callback| f(*callback, &mut run))
    }

    /// One step on one batch; returns its loss before the update.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn train_on_batch<'a>(&mut self, x: impl Into<Tensors<'a, T>>, y: impl Into<Tensors<'a, T>>) -> Result<f64> {
        self.train_on_tensors(x.into(), y.into())
    }

    #[inline(never)]
    pub(crate) fn train_on_tensors(&mut self, x: Tensors<'_, T>, y: Tensors<'_, T>) -> Result<f64> {
        const OP: &str = "train_on_batch";
        let (x, y, _) = self.check_data(OP, x, y, None)?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: OP }) };
        training.take(OP, &x, &y)?;
        let load = |_: &mut Batch<T>| Ok(false);
        let step = training.state.step as usize;
        let outcome = training.step(x[0].samples(), load, &self.net, &mut self.params, self.seed)?;
        outcome.loss(OP, 0, step, || cause(training.loaded(), Some))
    }

    /// The loss of a batch and the gradient of every weight, laid out as [`params`](Self::params); changes nothing that
    /// training sees. For a loss that is not finite the gradients are zero.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn gradients<'a>(
        &mut self,
        x: impl Into<Tensors<'a, T>>,
        y: impl Into<Tensors<'a, T>>,
    ) -> Result<(f64, Vec<T>)> {
        self.gradients_of(x.into(), y.into())
    }

    #[inline(never)]
    pub(crate) fn gradients_of(&mut self, x: Tensors<'_, T>, y: Tensors<'_, T>) -> Result<(f64, Vec<T>)> {
        let (x, y, _) = self.check_data("gradients", x, y, None)?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "gradients" }) };
        training.take("gradients", &x, &y)?;
        training.gradients(&self.net, &self.params, self.seed)
    }
}

impl<T: Float> Fit<'_, T> {
    /// Refuses what a dataset brings itself.
    fn check_for_dataset(&self) -> Result<()> {
        if self.sample_weight.is_some() {
            let hint = "let the dataset fill Batch::weights";
            return Err(Error::argument("fit", "sample_weight", "left out with a dataset", "weights", hint));
        }
        if self.validation_split != 0.0 {
            let hint = "pass Fit::validation_dataset or Fit::validation_data";
            return Err(Error::argument("fit", "validation_split", "0 with a dataset", self.validation_split, hint));
        }
        Ok(())
    }

    /// How many of n samples are trained on.
    fn kept(&self, n: usize) -> Result<usize> {
        let part = self.validation_split;
        let bad = |expected: &str, hint| Err(Error::argument("fit", "validation_split", expected, part, hint));
        if !(0.0..1.0).contains(&part) {
            return bad("at least 0 and below 1", "0.2 keeps the last fifth");
        }
        if part == 0.0 || self.validation_data.is_some() || self.validation_dataset.is_some() {
            return Ok(n);
        }
        // As Keras: the first ⌊n(1 − part)⌋ samples are trained on.
        match (n as f64 * (1.0 - part)) as usize {
            // One sample says nothing of how others differ.
            0 | 1 => bad(&format!("small enough to leave two samples of {n} to train on"), "make it smaller"),
            kept if kept == n => {
                bad(&format!("large enough to keep one sample of {n} for validation"), "make it larger")
            }
            kept => Ok(kept),
        }
    }
}

impl Outcome {
    /// The loss of a step; an error where it could not be made, with epoch and step from 0.
    pub(super) fn loss(
        self,
        op: &'static str,
        epoch: usize,
        step: usize,
        cause: impl FnOnce() -> String,
    ) -> Result<f64> {
        let diverged =
            |what, value| Err(Error::Diverged { op, what, epoch: epoch + 1, step: step + 1, value, cause: cause() });
        match self {
            Outcome::Done(loss) => Ok(loss),
            Outcome::Loss(value) => diverged("the loss", value),
            Outcome::Update => diverged("a gradient or a new weight", f64::NAN),
        }
    }
}

/// A run before its first step.
struct Begun {
    data: DataOfRun,
    /// The state that it goes on from, and whether its settings may differ.
    before: Option<(State, bool)>,
    /// The learning rate that took the place of the schedule's.
    rate: Option<f64>,
    /// Whether anything has been trained.
    trained: bool,
}

/// The name of a batch that an epoch of n begins or ends with.
#[cfg(feature = "files")]
fn end_of(index: usize, n: usize) -> Option<&'static str> {
    match index {
        0 => Some(FIRST_BATCH),
        _ if index + 1 == n => Some(LAST_BATCH),
        _ => None,
    }
}

/// What is said of where a run begins; of a plain one nothing.
fn beginning<T: Float>(how: &Fit<'_, T>, at: &RunState, batches: usize) -> Option<String> {
    #[cfg(feature = "files")]
    let file = how.checkpoint.map(|checkpoint| checkpoint.path().display().to_string());
    #[cfg(not(feature = "files"))]
    let file: Option<String> = None;
    let done = at.epoch;
    match at.history.start() {
        RunStart::Fresh => file.map(|file| format!("new run, with checkpoints in {file}")),
        RunStart::Resumed { epoch, batch } => {
            let from = file.map(|file| format!(" from {file}")).unwrap_or_default();
            let place = if batch > 0 { format!(" after {batch} of {batches} batches") } else { String::new() };
            Some(format!("resumed{from}: goes on in epoch {}/{}{place}", epoch + 1, how.epochs))
        }
        RunStart::Finished => {
            let (changed, anew) = match &file {
                Some(_) => (
                    "pass Checkpoint::accept_changes(true)",
                    "to begin anew remove the file or pass Checkpoint::resume(false)",
                ),
                None => ("resume it with Model::resume_changed", "to begin anew leave resume out"),
            };
            let of = file.map(|file| format!(" of {file}")).unwrap_or_default();
            Some(match at.stop {
                true => format!(
                    "the run{of} was ended by a callback after epoch {done}: nothing is trained; to go on all the same {changed}, \
                     {anew}"
                ),
                false => format!(
                    "the run{of} is finished, with {done} epochs done of the {} asked for: nothing is trained; to go on pass more \
                     epochs, {anew}",
                    how.epochs
                ),
            })
        }
    }
}
