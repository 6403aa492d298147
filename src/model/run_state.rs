//! Where a run stands, as named values and back.

use super::history::History;
#[cfg(feature = "files")]
use super::train::Accumulated;
use super::train::Training;
use super::trained_head::mean;
use crate::callbacks::Callback;
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RunState {
    /// The epoch that comes next or goes on, from 0.
    pub epoch: usize,
    /// Its batches that are done.
    pub batch: usize,
    /// Σ loss · rows that count over them, and Σ rows.
    pub sum: f64,
    pub seen: usize,
    /// Whether a callback asked to end.
    pub stop: bool,
    pub history: History,
    /// What callbacks have to say and is not printed yet.
    pub notes: Vec<String>,
}

/// The part of a state that says where the run stands.
pub(crate) const FIT: &str = "fit";

/// What a run goes over, by which another run is told from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataOfRun {
    /// Samples, batch size, batches and order: what a place within an epoch depends on.
    pub fingerprint: [u64; 4],
    /// All settings; see [`super::settings`].
    pub settings: String,
    /// Whether they still lack the first and the last batch, which are noted when they are trained on.
    #[cfg(feature = "files")]
    pub notes_batches: bool,
}

impl RunState {
    /// The mean of the loss over them.
    pub fn loss(&self) -> f64 {
        mean(self.sum, self.seen as f64)
    }

    fn save(&self, data: &DataOfRun, state: &mut State) {
        let counts = [self.epoch, self.batch, self.seen].map(|n| n as u64);
        state.put("position", &[counts[0], counts[1], counts[2], u64::from(self.stop)]);
        state.put("loss", &[self.sum]);
        state.put("data", &data.fingerprint);
        state.put_text("settings", &data.settings);
        self.history.save(state);
    }

    fn restore(state: &State) -> Result<Self> {
        let [epoch, batch, seen, stop] = state.counts("position")?;
        let history = History::restore(state)?;
        Ok(RunState { epoch, batch, sum: state.one("loss")?, seen, stop: stop != 0, history, notes: Vec::new() })
    }
}

impl<T: Float> Training<T> {
    /// Writes the position, the metrics of the epoch and the callbacks.
    pub fn save_run(&self, at: &RunState, data: &DataOfRun, callbacks: &[&mut dyn Callback<T>], state: &mut State) {
        state.within(FIT, |state| at.save(data, state));
        for (i, sums) in self.sums.iter().enumerate() {
            state.put(&format!("metric_{i}"), sums);
        }
        for (i, callback) in callbacks.iter().enumerate() {
            state.put_text(&format!("callback_name_{i}"), callback.name());
            state.within(&format!("callback_{i}"), |state| callback.save(state));
        }
    }

    /// Takes position and metrics back; `fingerprint` is that of the data that the run goes on with. Where changes are accepted, an
    /// epoch over other data or with other metrics begins again, and a run that a callback ended goes on.
    pub fn restore_run(&mut self, state: &State, fingerprint: [u64; 4], accepts_changes: bool) -> Result<RunState> {
        let failed = |problem: String, hint: &str| Err(Error::Config { op: "resume", problem, hint: hint.into() });
        let fit = state.part(FIT);
        let mut at = RunState::restore(&fit)?;
        at.stop &= !accepts_changes;
        let changed = at.batch > 0 && fit.get::<u64>("data")? != fingerprint;
        if changed && !accepts_changes {
            let problem = format!(
                "the checkpoint is from within an epoch over other data: samples, batch size, batches and shuffling were {:?}, \
                 now {fingerprint:?}",
                fit.get::<u64>("data")?
            );
            return failed(problem, "pass the same data and options as the run began with");
        }
        if !changed && at.batch as u64 > fingerprint[2] {
            return failed(
                format!("{} batches of {} are done", at.batch, fingerprint[2]),
                "write the checkpoint again",
            );
        }
        let mut begins_again = changed;
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        for (i, (name, sums)) in names.iter().zip(&mut self.sums).enumerate() {
            let saved: &[f64] = match state.get(&format!("metric_{i}")) {
                Ok(saved) => saved,
                Err(error) if !accepts_changes => return Err(error),
                Err(_) => &[],
            };
            // At the beginning of an epoch there may be none.
            let fits = saved.len() == sums.len() || (saved.is_empty() && at.batch == 0);
            if !fits && !accepts_changes {
                return failed(
                    format!("the checkpoint has {} sums of {name}, the metric {}", saved.len(), sums.len()),
                    "compile with the same metrics",
                );
            }
            if saved.len() == sums.len() {
                sums.copy_from_slice(saved);
            }
            begins_again |= !fits;
        }
        if begins_again {
            (at.batch, at.sum, at.seen) = (0, 0.0, 0);
        }
        Ok(at)
    }

    /// Hands each callback that this rank `calls` what it saved. Where changes are accepted, one without anything saved begins anew, and so does one in
    /// the place of another.
    pub fn restore_callbacks(
        state: &State,
        callbacks: &mut [&mut dyn Callback<T>],
        accepts_changes: bool,
        calls: impl Fn(&dyn Callback<T>) -> bool,
    ) -> Result<()> {
        let called = callbacks.iter_mut().enumerate().filter(|(_, callback)| calls(&***callback));
        called.into_iter().try_for_each(|(i, callback)| {
            let part = state.part(&format!("callback_{i}"));
            // Files of before have no names.
            let other = state.text(&format!("callback_name_{i}")).is_ok_and(|name| name != callback.name());
            let anew = accepts_changes && (other || part.entries().next().is_none());
            if anew { Ok(()) } else { callback.restore(&part) }
        })
    }

    /// Writes what the optimizer remembers.
    #[cfg(feature = "files")]
    pub fn save_optimizer(&self, state: &mut State) {
        let s = &self.state;
        state.put_text("name", self.optimizer.name());
        state.put("step", &[s.step]);
        state.put("learning_rate", s.learning_rate.as_slice());
        s.save_moments(state);
        state.put("scalars", &s.scalars);
        state.put("average", &s.average);
        // What a panic has left half added up is nothing to go on from.
        let Accumulated { batches, rows, last } = if self.under_way { <_>::default() } else { self.accumulated };
        state.put("accumulated", &[batches]);
        state.put("accumulated_rows", &[rows, last]);
        // Between two updates nothing of the gradients is needed.
        let open = batches > 0;
        state.put("gradients", if open { &self.gradients[..] } else { &[] });
        let written = self.written.flags();
        state.put("written", if open { &written[..] } else { &[] });
    }

    /// Takes it back, moments of another storage too where changes are accepted; nothing is changed in case of an error.
    #[cfg(feature = "files")]
    pub fn restore_optimizer(&mut self, state: &State, accepts_changes: bool) -> Result<()> {
        let misfit = |what: &str| {
            let problem =
                format!("the checkpoint's {what} is not that of this model's optimizer, {}", self.optimizer.name());
            let hint = "compile with the optimizer and settings that the run began with, and the same element type";
            Error::Config { op: "resume", problem, hint: hint.into() }
        };
        if state.text("name")? != self.optimizer.name() {
            return Err(misfit(&format!("optimizer {}", state.text("name")?)));
        }
        let mut new = self.state.clone();
        let [step] = state.counts("step")?;
        new.step = step as u64;
        new.learning_rate = state.get::<f64>("learning_rate")?.first().copied();
        if new.learning_rate.is_some_and(|rate| !rate.is_finite() || rate < 0.0) {
            return Err(misfit("learning_rate"));
        }
        new.restore_moments(state, accepts_changes).map_err(|name| misfit(&name))?;
        copy(state, "scalars", &mut new.scalars).map_err(misfit)?;
        copy(state, "average", &mut new.average).map_err(misfit)?;
        let [accumulated] = state.counts("accumulated")?;
        if accumulated as u64 >= self.optimizer.options().gradient_accumulation_steps.max(1) {
            return Err(misfit("number of batches since the last update"));
        }
        let accumulated = accumulated as u64;
        // In files of before it is not known what they weigh.
        let old = state.entries().all(|(name, _)| name != "accumulated_rows");
        let [rows, last] = if old { [accumulated, 0] } else { state.counts("accumulated_rows")?.map(|n| n as u64) };
        if !old && (last > rows || (last == 0) != (rows == 0)) {
            return Err(misfit("number of rows since the last update"));
        }
        let mut open = None;
        if accumulated > 0 {
            let (mut gradients, mut written) = (self.gradients.clone(), self.written.flags());
            copy(state, "gradients", &mut gradients).map_err(misfit)?;
            copy(state, "written", &mut written).map_err(misfit)?;
            open = Some((gradients, written));
        }
        // From here on nothing fails.
        self.written.begin(&mut self.gradients);
        if let Some((gradients, written)) = open {
            self.gradients = gradients;
            self.written.restore(&written, &mut self.gradients);
        }
        self.accumulated = Accumulated { batches: accumulated, rows, last };
        self.state = new;
        Ok(())
    }
}

/// The values under a name into `out`, or the name where they are missing, of another kind or number.
#[cfg(feature = "files")]
fn copy<'n, E: crate::state::Element>(state: &State, name: &'n str, out: &mut [E]) -> Result<(), &'n str> {
    match state.get(name) {
        Ok(values) if values.len() == out.len() => out.copy_from_slice(values),
        _ => return Err(name),
    }
    Ok(())
}

#[cfg(all(test, feature = "files"))]
mod tests {
    use super::*;
    use crate::layers::{Dense, Embedding, GlobalAveragePooling1d};
    use crate::losses::MeanSquaredError;
    use crate::model::{Model, Sequential};
    use crate::optimizers::{OptimizerOptions, Sgd};
    use crate::state::Value;
    use crate::tensor::Tensor;

    fn step(model: &mut Model, ids: [f32; 2]) {
        model.train_on_batch(&Tensor::from([ids]), &Tensor::from([[1.0, -1.0]])).unwrap();
    }

    /// Between two updates, with the gradients of some rows of a table.
    fn begun() -> Model {
        let layers =
            Sequential::new([2]).add(Embedding::new(9, 3)).add(GlobalAveragePooling1d::new()).add(Dense::new(2));
        let mut model = layers.build(1).unwrap();
        let optimizer = Sgd::default().learning_rate(0.5).gradient_accumulation_steps(2);
        model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
        step(&mut model, [3.0, 4.0]);
        model
    }

    #[test]
    fn a_state_that_does_not_fit_changes_nothing() {
        for name in ["gradients", "written", "accumulated", "accumulated_rows", "scalars"] {
            let (mut plain, mut disturbed) = (begun(), begun());
            let training = disturbed.training.as_mut().unwrap();
            let mut state = State::default();
            training.save_optimizer(&mut state);
            state.put(name, &[7u64; 3]);
            assert!(training.restore_optimizer(&state, false).is_err(), "{name}");
            for model in [&mut plain, &mut disturbed] {
                [[1.0, 2.0], [5.0, 6.0], [7.0, 8.0]].into_iter().for_each(|ids| step(model, ids));
            }
            assert_eq!(plain.params().values(), disturbed.params().values(), "{name}");
        }
    }

    /// A file of before, which does not say how moments are stored: they are in f32, and become bf16 only where changes are accepted.
    #[test]
    fn moments_of_a_file_without_their_storage() {
        use crate::optimizers::{Adam, MomentStorage};
        let compiled = |storage| {
            let mut model = Sequential::new([2]).add(Dense::new(2)).build(1).unwrap();
            model.compile(Adam::default().moment_storage(storage), MeanSquaredError::default(), ()).unwrap();
            model
        };
        let (mut old, mut new) = (compiled(MomentStorage::AsWeights), compiled(MomentStorage::Bf16));
        step(&mut old, [0.5, -2.0]);
        let mut state = State::default();
        old.training.as_ref().unwrap().save_optimizer(&mut state);
        let training = new.training.as_mut().unwrap();
        let error = training.restore_optimizer(&state, false).unwrap_err().to_string();
        let expected = "resume: the checkpoint's moment_0 is not that of this model's optimizer, adam; compile with";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(training.state.step, 0);
        training.restore_optimizer(&state, true).unwrap();
        let wide = &old.training.as_ref().unwrap().state.moments;
        for (stored, wide) in training.state.bf16_moments.iter().zip(wide) {
            assert!(stored.iter().zip(wide).all(|(s, w)| (s.to_f32() - w).abs() <= w.abs() / 128.0));
        }
        assert_eq!(training.state.step, 1);
        // Of another length, or of another type.
        for moment in [Value::F32(vec![0.5; 5]), Value::U64(vec![1; 6])] {
            let mut other = State::default();
            for (name, value) in state.entries() {
                other.push(name, if name == "moment_1" { moment.clone() } else { value.clone() });
            }
            let error = training.restore_optimizer(&other, true).unwrap_err().to_string();
            assert!(error.contains("moment_1"), "{error}");
        }
    }

    /// Batches of other sizes follow, which weigh as many rows as they have.
    #[test]
    fn what_batches_weigh_is_kept() {
        let (mut plain, mut state) = (begun(), State::default());
        plain.training.as_ref().unwrap().save_optimizer(&mut state);
        let mut resumed = begun();
        step(&mut resumed, [1.0, 2.0]);
        resumed.params = plain.params.clone();
        resumed.training.as_mut().unwrap().restore_optimizer(&state, false).unwrap();
        let (x, y) = (Tensor::from([[1.0, 2.0], [5.0, 6.0], [7.0, 8.0]]), Tensor::from([[1.0, -1.0]; 3]));
        for model in [&mut plain, &mut resumed] {
            model.train_on_batch(&x, &y).unwrap();
        }
        assert_eq!(plain.params().values(), resumed.params().values());
        // A file of before, from between two batches of the same size.
        let mut old = State::default();
        let entries = state.entries().filter(|(name, _)| *name != "accumulated_rows");
        entries.for_each(|(name, value)| old.push(name, value.clone()));
        let training = resumed.training.as_mut().unwrap();
        training.restore_optimizer(&old, false).unwrap();
        assert_eq!(training.accumulated, Accumulated { batches: 1, rows: 1, last: 0 });
        let mut alike = begun();
        for model in [&mut alike, &mut resumed] {
            model.params = plain.params.clone();
            step(model, [1.0, 2.0]);
        }
        assert_eq!(alike.params().values(), resumed.params().values());
    }
}
