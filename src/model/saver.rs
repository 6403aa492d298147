//! Files from which a run goes on as if it had never been stopped.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use super::built::Model;
use super::checkpoint::Checkpoint;
use super::run_state::{DataOfRun, FIT, RunState};
use super::settings::{OPTIMIZER, START, Settings, difference, layer_differences, list};
use super::train::Training;
use crate::callbacks::{Callback, prepare_file};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::io::model::{CHECKPOINT_PREFIX, about, further, parse, weights};
use crate::io::{Archive, Array, TEXT_PREFIX, to_bytes, write};
use crate::memory;
use crate::optimizers::room;
use crate::params::{ParamSpec, Params};
use crate::state::{State, Value};
use crate::tensor::Float;
use crate::{io, model};

/// A copy of all that goes into a file.
#[derive(Debug, Default)]
struct Snapshot<T> {
    weights: Vec<T>,
    state: State,
}

/// What does not change during a run.
#[derive(Clone, Debug)]
struct CheckpointFile {
    path: PathBuf,
    about: String,
    specs: Vec<ParamSpec>,
    /// Arrays of what goes with the model.
    beside: Vec<(String, Value)>,
}

impl CheckpointFile {
    fn write<T: Float>(&self, values: &[T], state: &State) -> Result<()> {
        write(&self.path, &self.about, self.arrays(values, state))
    }

    fn arrays<'s, T: Float>(&'s self, values: &'s [T], state: &'s State) -> Vec<Array<'s>> {
        let mut arrays = weights(&self.specs, values);
        arrays.extend(further(&self.beside));
        let mut state: Vec<_> = state.entries().collect();
        // The same state, the same bytes, in whatever order it came together.
        state.sort_by_key(|(name, _)| *name);
        arrays.extend(state.into_iter().map(|(name, value)| {
            let values = value.values();
            Array { name: format!("{CHECKPOINT_PREFIX}{name}"), shape: vec![values.len()], values }
        }));
        arrays
    }
}

/// Writes checkpoints of a run. All ranks of a distributed run have one, as all have to know when a checkpoint is due; one of them has the file.
pub(crate) struct Saver<T: Float> {
    pace: Pace,
    file: Option<Snapshots<T>>,
}

/// At what a run has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Now {
    /// The end of a batch.
    Step,
    /// The end of an epoch.
    Epoch,
    /// Its own end, where what has not been written is.
    End,
}

/// When a checkpoint is due.
struct Pace {
    every_steps: Option<usize>,
    every_epochs: usize,
    steps: usize,
    epochs: usize,
    due: bool,
    /// Whether a checkpoint is written when it is due, and not later where the one before is still being written.
    exact: bool,
}

/// The file, and the copies that go into it.
struct Snapshots<T> {
    target: CheckpointFile,
    /// The copy that is not being written.
    spare: Option<Snapshot<T>>,
    writer: Option<Writer<T>>,
}

/// A thread that writes what it is sent and gives the copy back.
struct Writer<T> {
    file: PathBuf,
    sender: Option<SyncSender<Snapshot<T>>>,
    written: Receiver<(Snapshot<T>, Result<()>)>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl<T: Float> Writer<T> {
    fn new(target: CheckpointFile) -> Result<Self> {
        let (sender, snapshots) = sync_channel::<Snapshot<T>>(1);
        let (done, written) = sync_channel(1);
        let file = target.path.clone();
        let work = move || {
            while let Ok(snapshot) = snapshots.recv() {
                let result = target.write(&snapshot.weights, &snapshot.state);
                if done.send((snapshot, result)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("gradus checkpoint".into()).spawn(work);
        let thread = thread.map_err(|source| Error::Write { file: file.clone(), source })?;
        Ok(Writer { file, sender: Some(sender), written, thread: Some(thread), busy: false })
    }

    /// The copy that was being written, when that is done; waits for it if asked to.
    fn collect(&mut self, wait: bool) -> Result<Option<Snapshot<T>>> {
        if !self.busy {
            return Ok(None);
        }
        let got = match wait {
            true => self.written.recv().map_err(|_| self.ended())?,
            false => match self.written.try_recv() {
                Ok(got) => got,
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(self.ended()),
            },
        };
        self.busy = false;
        let (snapshot, result) = got;
        result.map(|()| Some(snapshot))
    }

    /// The error of a thread that is no more.
    fn ended(&self) -> Error {
        Error::Write { file: self.file.clone(), source: std::io::Error::other("the thread that writes it has ended") }
    }
}

impl<T> Drop for Writer<T> {
    /// Lets the file that is being written be finished.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<T: Float> Saver<T> {
    /// One that has the file if it is this process that writes; `exact` if others have to know when.
    pub fn new(settings: &Checkpoint, exact: bool, writes: bool, model: &Model<T>) -> Result<Self> {
        settings.check()?;
        let Checkpoint { every_steps, every_epochs, .. } = *settings;
        let pace = Pace { every_steps, every_epochs, steps: 0, epochs: 0, due: false, exact };
        let file = writes.then(|| Snapshots::new(settings, model)).transpose()?;
        Ok(Saver { pace, file })
    }

    /// Counts a step or an epoch; whether a checkpoint is due.
    pub fn is_due(&mut self, now: Now) -> bool {
        let pace = &mut self.pace;
        match now {
            Now::Step => {
                pace.steps += 1;
                pace.due |= pace.every_steps.is_some_and(|n| pace.steps >= n);
            }
            Now::Epoch => {
                pace.epochs += 1;
                pace.due |= pace.epochs >= pace.every_epochs;
            }
            Now::End => pace.due |= pace.steps > 0 || pace.epochs > 0,
        }
        pace.due
    }

    /// Takes a copy to be written if one is due, as [`is_due`](Self::is_due) has found; at the end waits until all is written.
    pub fn save(
        &mut self,
        now: Now,
        params: &Params<T>,
        training: &Training<T>,
        run: impl FnOnce(&mut State),
    ) -> Result<()> {
        let Pace { due, exact, .. } = self.pace;
        let Some(file) = &mut self.file else {
            if due {
                self.pace.written();
            }
            return Ok(());
        };
        if file.collect(now == Now::End || (exact && due))? && due {
            self.pace.written();
            file.write(params, training, run)?;
        }
        if now == Now::End
            && let Some(writer) = &mut file.writer
        {
            writer.collect(true)?;
        }
        Ok(())
    }
}

impl Pace {
    /// What follows counts towards the next one.
    fn written(&mut self) {
        (self.steps, self.epochs, self.due) = (0, 0, false);
    }
}

impl<T: Float> Snapshots<T> {
    fn new(settings: &Checkpoint, model: &Model<T>) -> Result<Self> {
        model.check_numbers("checkpoint")?;
        prepare_file(&settings.path).map_err(|source| Error::Write { file: settings.path.clone(), source })?;
        let target = model.checkpoint_file(&settings.path)?;
        // A copy of weights and optimizer, which a thread writes while they change.
        let training = model.training.as_ref();
        let weights = model.params.len();
        let values = training.map_or(weights, |t| room(&*t.optimizer, weights));
        memory::check_room::<T>(
            "fit",
            format_args!("the copy for checkpoints of {} weights", model.params.len()),
            values,
        )?;
        let writer = settings.background.then(|| Writer::new(target.clone())).transpose()?;
        Ok(Snapshots { target, spare: Some(Snapshot::default()), writer })
    }

    /// Takes back the copy that was being written, if it is done or is to be waited for; whether there is one that may be filled.
    fn collect(&mut self, wait: bool) -> Result<bool> {
        if let Some(snapshot) = self.writer.as_mut().and_then(|w| w.collect(wait).transpose()).transpose()? {
            self.spare = Some(snapshot);
        }
        Ok(self.spare.is_some())
    }

    fn write(&mut self, params: &Params<T>, training: &Training<T>, run: impl FnOnce(&mut State)) -> Result<()> {
        let Some(mut snapshot) = self.spare.take() else { return Ok(()) };
        snapshot.take(params, training, run);
        let Some(writer) = &mut self.writer else {
            let result = self.target.write(&snapshot.weights, &snapshot.state);
            self.spare = Some(snapshot);
            return result;
        };
        let sent = writer.sender.as_ref().map(|sender| sender.send(snapshot));
        writer.busy = matches!(sent, Some(Ok(())));
        if writer.busy { Ok(()) } else { Err(writer.ended()) }
    }
}

impl<T: Float> Snapshot<T> {
    fn take(&mut self, params: &Params<T>, training: &Training<T>, run: impl FnOnce(&mut State)) {
        self.weights.clear();
        self.weights.extend_from_slice(params.values());
        self.state.within("optimizer", |state| training.save_optimizer(state));
        run(&mut self.state);
    }
}

impl<T: Float> Model<T> {
    /// Writes all that training needs to go on: the model with its weights, the optimizer's moments and step, and where the last
    /// `fit` ended, with its history and callbacks.
    ///
    /// During a run, [`Fit::checkpoint`](super::Fit::checkpoint) writes the same again and again. Which data the run went over it tells
    /// more surely: by all values of tensors, while here at most 2¹⁶ of each count, spread evenly (of datasets the first and the last
    /// batch of epoch 0, if the run had it, and nothing of a validation dataset but its shapes).
    ///
    /// # Errors
    /// [`Error::NotCompiled`] for a model that cannot train; as [`save`](Self::save).
    #[inline(never)]
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "save_checkpoint" }) };
        self.check_numbers("save_checkpoint")?;
        if training.state.own().is_some() {
            let problem =
                "the optimizer's moments are divided among ranks, as a panic ended a run over them".to_owned();
            let hint = "go on from the last checkpoint of that run".into();
            return Err(Error::Config { op: "save_checkpoint", problem, hint });
        }
        let mut state = State::default();
        state.within("optimizer", |state| training.save_optimizer(state));
        let last = training.last.iter().flat_map(State::entries);
        last.for_each(|(name, value)| state.push(name, value.clone()));
        // A run that was compared with nothing has written out what it was given, but not what the model is set up with.
        if let Some(run) = settings_of(&state).filter(|settings| settings.get(OPTIMIZER).is_none()) {
            let settings = self.settings().text() + &run.text();
            state.within(FIT, |state| state.put_text("settings", &settings));
        }
        self.checkpoint_file(path.as_ref())?.write(self.params.values(), &state)
    }

    /// What a checkpoint of this model holds that does not change in a run.
    fn checkpoint_file(&self, path: &Path) -> Result<CheckpointFile> {
        Ok(CheckpointFile {
            path: path.to_owned(),
            about: about(&self.graph, self.seed, &self.beside)?,
            specs: self.params.specs().to_vec(),
            beside: self.beside.arrays(),
        })
    }

    /// Weights, optimizer and what a run goes on from as the bytes of a checkpoint, for [`take_over`](Self::take_over).
    pub(super) fn hand_over(&self, before: Option<&State>) -> Result<Vec<u8>> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "fit" }) };
        self.check_numbers("fit")?;
        let mut state = State::default();
        state.within("optimizer", |state| training.save_optimizer(state));
        before.into_iter().flat_map(State::entries).for_each(|(name, value)| state.push(name, value.clone()));
        let file = self.checkpoint_file(Path::new("a model in memory"))?;
        to_bytes(&file.about, file.arrays(self.params.values(), &state))
    }

    /// Takes weights, optimizer and what the run goes on from, if anything, from another rank of it.
    pub(super) fn take_over(&mut self, bytes: &[u8]) -> Result<Option<State>> {
        self.take_up(&mut Archive::from_bytes(bytes)?, None)?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
        Ok(if std::mem::take(&mut training.resumes) { training.last.take() } else { None })
    }

    /// Takes weights, optimizer, seed and place from a checkpoint; the next `fit` goes on there, whatever its
    /// [`initial_epoch`](super::Fit::initial_epoch), and its history begins with that of the run before.
    ///
    /// Build and compile the model as for that run, and pass `fit` the same data, options and callbacks: then it ends with the
    /// same bits as if it had never been stopped.
    ///
    /// # Errors
    /// [`Error::NotCompiled`] for a model that cannot train; [`Error::Io`] if the file cannot be read;
    /// [`Error::File`] if it is damaged or no checkpoint; [`Error::Weights`] and [`Error::Config`] if it is of another model,
    /// optimizer, loss or other settings. The model is unchanged then.
    #[inline(never)]
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.resume_archive(&mut Archive::open(path)?)
    }

    /// [`resume`](Self::resume) from a run with other settings or data, to go on with those of this model, its seed among them, and
    /// of the next `fit`. A run that a callback ended goes on too.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), but for settings that differ.
    #[inline(never)]
    pub fn resume_changed(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.take_up(&mut Archive::open(path)?, None)?;
        self.training.iter_mut().for_each(|training| training.accepts_changes = true);
        Ok(())
    }

    /// [`resume`](Self::resume) from a file that is open already.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn resume_archive(&mut self, archive: &mut Archive<'_>) -> Result<()> {
        let hint = "compile with the settings that the run began with, or go on with the new ones through Model::resume_changed";
        self.take_up(archive, Some(Expected { settings: &self.settings(), seed: None, hint }))
    }

    /// What `fit` does with a checkpoint that it finds: goes on there if these are the settings of its run.
    pub(super) fn resume_found(&mut self, checkpoint: &Checkpoint, now: &Settings) -> Result<()> {
        let hint = "go back to what the run began with, begin anew by removing the file or with Checkpoint::resume(false), or go on \
            with the changes through Checkpoint::accept_changes(true)";
        let expected = Expected { settings: now, seed: Some(self.seed), hint };
        let archive = &mut Archive::open(checkpoint.path())?;
        self.take_up(archive, (!checkpoint.accept_changes).then_some(expected))?;
        self.training.iter_mut().for_each(|training| training.accepts_changes = checkpoint.accept_changes);
        Ok(())
    }

    /// Takes a checkpoint in, if its settings are the expected ones.
    fn take_up(&mut self, archive: &mut Archive<'_>, expected: Option<Expected<'_>>) -> Result<()> {
        if self.training.is_none() {
            return Err(Error::NotCompiled { op: "resume" });
        }
        self.training.iter_mut().for_each(|training| training.mend_all(&self.params));
        let written = parse(archive)?;
        let mut state = State::default();
        let of_run = |name: &str| name.starts_with(CHECKPOINT_PREFIX) && !name.starts_with(TEXT_PREFIX);
        let apart = archive.arrays().iter().filter(|s| of_run(&s.name)).cloned();
        for stored in apart.collect::<Vec<io::Stored>>() {
            state.push(&stored.name[CHECKPOINT_PREFIX.len_utf8()..], archive.value(&stored)?);
        }
        if state.entries().next().is_none() {
            let hint = "read it with Model::load or load_weights, or pass a file that save_checkpoint wrote";
            return Err(Error::file(archive.path(), "a model, but no checkpoint", hint));
        }
        let mut params = self.params.clone();
        model::LoadWeights::default().read(archive, &mut params)?;
        let settings = settings_of(&state);
        if let Some(Expected { settings: now, seed, hint }) = expected {
            let mut differences = self.layers_changed(&written.graph);
            if let Some(own) = seed.filter(|own| *own != written.seed) {
                differences.push(difference("seed", &written.seed.to_string(), &own.to_string()));
            }
            differences.extend(settings.iter().flat_map(|then| then.differences(now)));
            if !differences.is_empty() {
                return Err(changed(archive.path(), &differences, hint));
            }
        }
        let optimizer = state.part("optimizer");
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "resume" }) };
        training.restore_optimizer(&optimizer, expected.is_none())?;
        self.params = params;
        state.remove("optimizer");
        // A run that may have changed goes on with the seed that the model was built with.
        if expected.is_some() {
            self.seed = written.seed;
            let start = settings.as_ref().and_then(|s| s.get(START)?.strip_prefix("digest "));
            if let Some(start) = start.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                training.started = Some(start);
            }
        }
        training.accepts_changes = false;
        training.resumes = state.entries().next().is_some();
        training.last = training.resumes.then_some(state);
        Ok(())
    }

    /// Where this model's graph is not that of a file.
    fn layers_changed(&self, written: &Graph) -> Vec<String> {
        layer_differences(written, &self.graph)
    }

    /// Refuses to go on from a state that a run with other settings left behind.
    pub(super) fn check_settings(state: &State, now: &Settings) -> Result<()> {
        let Some(then) = settings_of(state) else { return Ok(()) };
        let differences = then.differences(now);
        if differences.is_empty() {
            return Ok(());
        }
        let problem = format!("the run that was resumed had other settings or data: {}", list(&differences));
        let hint = "pass what it began with, or resume with Model::resume_changed";
        Err(Error::Config { op: "fit", problem, hint: hint.into() })
    }

    /// What the callback of a run writes of it.
    pub(super) fn remember(&mut self, at: &RunState, data: &DataOfRun, callbacks: &[&mut dyn Callback<T>]) {
        if let Some(training) = &mut self.training {
            let mut state = State::default();
            training.save_run(at, data, callbacks, &mut state);
            training.last = Some(state);
        }
    }
}

/// What the settings of a checkpoint must be, and what to do where they are not.
#[derive(Clone, Copy)]
struct Expected<'a> {
    settings: &'a Settings,
    /// None where that of the file counts.
    seed: Option<u64>,
    hint: &'a str,
}

/// The settings that a checkpoint was written with; older ones have none.
fn settings_of(state: &State) -> Option<Settings> {
    state.part(FIT).text("settings").ok().map(Settings::parse)
}

fn changed(path: &Path, differences: &[String], hint: &str) -> Error {
    let problem = format!("the checkpoint is of a run with other settings or data: {}", list(differences));
    Error::file(path, problem, hint)
}
