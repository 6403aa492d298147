//! Models and checkpoints in files: round trips, weights by name, runs that go on, files of other kinds and versions.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gradus::io::Archive;
use gradus::prelude::*;

use crate::child;

/// One test at a time, so that memory is counted for one.
static ALONE: Mutex<()> = Mutex::new(());

pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A folder of its own, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gradus_files_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn model<T: gradus::Float>(seed: u64) -> Model<T> {
    Sequential::new([4])
        .add(Dense::new(5).activation(Activation::LeakyRelu(0.1)))
        .add(Dropout::new(0.3))
        .add_named("again", Residual::new().add(Dense::new(5).activation(Activation::Gelu)))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build_as::<T>(seed)
        .unwrap()
}

pub fn compiled(seed: u64) -> Model {
    let mut model = model(seed);
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    model
}

pub fn silent<'a>() -> Fit<'a> {
    Fit::default().verbose(Verbose::Silent)
}

#[test]
fn models_come_back_whole() {
    let _alone = alone();
    let folder = Folder::new("round_trip");
    let x = Tensor::from([[0.5f32, -1.0, 2.0, 0.25], [1.5, 0.0, -0.5, 1.0]]);
    let first = model::<f32>(11);
    first.save(folder.path("m.safetensors")).unwrap();
    let bytes = std::fs::read(folder.path("m.safetensors")).unwrap();
    for again in [Model::load(folder.path("m.safetensors")), Model::load_bytes(&bytes)] {
        let again = again.unwrap();
        assert_eq!(again.params(), first.params());
        assert_eq!(again.predict(&x).unwrap(), first.predict(&x).unwrap());
        assert_eq!(again.summary().to_string(), first.summary().to_string());
        // The same file again, to the byte: the seed too is what it was.
        again.save(folder.path("again.safetensors")).unwrap();
        assert_eq!(std::fs::read(folder.path("again.safetensors")).unwrap(), bytes);
    }
    // In the other precision, there and back.
    let wide = Model::<f64>::of_archive(&mut Archive::from_bytes(&bytes).unwrap()).unwrap();
    wide.save(folder.path("wide.safetensors")).unwrap();
    assert_eq!(Model::load(folder.path("wide.safetensors")).unwrap().params().values(), first.params().values());
    // What Python's package reads: the reference implementation of the format.
    let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(view.tensor("again/dense/kernel").unwrap().shape(), [5, 5]);
    assert_eq!(view.len(), first.params().specs().len());
}

#[test]
fn weights_by_name() {
    let _alone = alone();
    let folder = Folder::new("by_name");
    let (path, donor) = (folder.path("donor.safetensors"), model::<f32>(1));
    donor.save(&path).unwrap();
    let mut same = model::<f32>(2);
    same.load_weights(&path).unwrap();
    assert_eq!(same.params(), donor.params());

    let other = || {
        Sequential::new([4])
            .add_named("body", Dense::new(5))
            .add_named("dense_1", Dense::new(2))
            .add(Dense::new(2).use_bias(false))
            .build(3)
            .unwrap()
    };
    let mut strict = other();
    let error = strict.load_weights(&path).unwrap_err().to_string();
    let expected = "donor.safetensors: the weights do not fit the model: missing: body/kernel, body/bias; unexpected: \
        dense/bias, again/dense/kernel, again/dense/bias; of another shape: dense/kernel [4, 5] instead of [2, 2], \
        dense_1/kernel [5, 3] instead of [5, 2], dense_1/bias [3] instead of [2]; build the model that was saved, or load a \
        part with LoadWeights::partial";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(strict.params(), other().params());

    let mut partial = other();
    let how = LoadWeights::default().partial(true).rename("dense/", "body/");
    let left = partial.load_weights_with(&path, &how).unwrap();
    assert_eq!(partial.weight("body/kernel").unwrap(), donor.weight("dense/kernel").unwrap());
    assert_eq!(partial.weight("dense_1/kernel").unwrap(), other().weight("dense_1/kernel").unwrap());
    assert_eq!(left.missing, ["dense/kernel"]);
    assert_eq!(left.unexpected, ["again/dense/kernel", "again/dense/bias"]);
    assert_eq!(left.shapes.len(), 2);
    // Nothing at all that fits is an error in any mode, and so are two arrays for one weight.
    let mut none = Sequential::new([9]).add_named("x", Dense::new(1)).build(0).unwrap();
    assert!(none.load_weights_with(&path, &how).is_err());
    let twice = LoadWeights::default().partial(true).rename("dense_1/", "dense/").rename("again/dense/", "dense/");
    assert!(model::<f32>(0).load_weights_with(&path, &twice).is_err());
}

#[test]
fn a_run_goes_on_from_a_checkpoint() {
    let _alone = alone();
    let folder = Folder::new("resume");
    let table = iris();
    let fit = |model: &mut Model, epochs| model.fit(&table.x, &table.y, &silent().epochs(epochs)).unwrap();
    let mut whole = compiled(5);
    let history = fit(&mut whole, 6);
    let mut half = compiled(5);
    fit(&mut half, 2);
    half.save_checkpoint(folder.path("c")).unwrap();
    // Into a model of another seed: the file's seed counts.
    let mut rest = compiled(99);
    rest.resume(folder.path("c")).unwrap();
    rest.save_checkpoint(folder.path("again")).unwrap();
    assert_eq!(std::fs::read(folder.path("c")).unwrap(), std::fs::read(folder.path("again")).unwrap());
    assert_eq!(fit(&mut rest, 6), history);
    assert_eq!(rest.params(), whole.params());
    // A fit after that begins at its own beginning.
    assert_eq!(fit(&mut rest, 1).epochs, [0]);
    // A checkpoint is a model too.
    assert_eq!(Model::load(folder.path("c")).unwrap().params(), half.params());

    let errors = |model: &mut Model, file: &str| model.resume(folder.path(file)).unwrap_err().to_string();
    half.save(folder.path("m")).unwrap();
    assert!(errors(&mut compiled(5), "m").contains("a model, but no checkpoint; read it with Model::load"));
    assert!(errors(&mut model(5), "c").contains("the model is not compiled"));
    assert!(errors(&mut compiled(5), "nothing").contains("nothing: "));
    let mut other = model(5);
    other.compile(Sgd::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let error = errors(&mut other, "c");
    assert!(
        error.contains("optimizer name: adam then, sgd now") && error.contains("metrics: 1 then, 0 now"),
        "{error}"
    );
    let mut amsgrad = model(5);
    amsgrad.compile(Adam::default().amsgrad(true), SparseCategoricalCrossentropy::default(), ()).unwrap();
    assert!(errors(&mut amsgrad, "c").contains("optimizer.amsgrad: false then, true now"));
    assert!(amsgrad.resume_changed(folder.path("c")).unwrap_err().to_string().contains("moment_2"));
    let mut wide = model::<f64>(5);
    wide.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    assert!(wide.resume(folder.path("c")).unwrap_err().to_string().contains("element type: f32 then, f64 now"));
    assert!(wide.resume_changed(folder.path("c")).unwrap_err().to_string().contains("the same element type"));
    let mut small = Sequential::new([4]).add(Dense::new(3)).build(0).unwrap();
    small.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    assert!(errors(&mut small, "c").contains("the weights do not fit the model"));
    // Within an epoch, the data must be the same.
    let path = folder.path("mid");
    let mut stopped = compiled(5);
    let checkpoint = Checkpoint::new(&path).every_steps(1).background(false);
    let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| match batch {
        2 => Err(Error::custom("stop")),
        _ => Ok(()),
    });
    let how = silent().checkpoint(&checkpoint);
    assert!(stopped.fit_with(&table.x, &table.y, &how, &mut [&mut stop]).is_err());
    let error = compiled(5).fit(&table.x, &table.y, &how.clone().batch_size(7)).unwrap_err().to_string();
    assert!(error.contains("batch_size: 32 then, 7 now"), "{error}");
    let mut more = model(5);
    more.compile(Adam::default(), SparseCategoricalCrossentropy::default(), (Accuracy::default(), Accuracy::default()))
        .unwrap();
    let error = more.fit(&table.x, &table.y, &how).unwrap_err().to_string();
    assert!(error.contains("metrics: 1 then, 2 now"), "{error}");
    assert!(compiled(5).fit(&table.x, &table.y, &how).is_ok());
    let zero = Checkpoint::new(&path).every_steps(0);
    assert!(compiled(5).fit(&table.x, &table.y, &silent().checkpoint(&zero)).is_err());
}

/// What an optimizer's `Debug` says is compared: with that of a step's scratch memory no run of Muon could be resumed.
#[test]
fn every_optimizer_is_resumed() {
    let _alone = alone();
    let folder = Folder::new("optimizers");
    let table = iris();
    type Rule = Box<dyn Optimizer<f32>>;
    let all: [fn() -> Rule; 12] = [
        || Box::new(Adadelta::default()),
        || Box::new(Adafactor::default()),
        || Box::new(Adagrad::default()),
        || Box::new(Adam::default()),
        || Box::new(Adamax::default()),
        || Box::new(AdamW::default()),
        || Box::new(Ftrl::default()),
        || Box::new(Lion::default()),
        || Box::new(Muon::default()),
        || Box::new(Nadam::default()),
        || Box::new(RmsProp::default()),
        || Box::new(Sgd::default().momentum(0.9).learning_rate(CosineDecay::new(0.1, 20))),
    ];
    for optimizer in all {
        let fresh = || {
            let mut model = model::<f32>(5);
            model.compile(optimizer(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
            model
        };
        let fit = |model: &mut Model, how: &Fit<'_>| model.fit(&table.x, &table.y, how).unwrap();
        let (name, mut whole) = (optimizer().name(), fresh());
        let history = fit(&mut whole, &silent().epochs(4));
        // By hand, into a new model.
        let (path, mut half, mut rest) = (folder.path(name), fresh(), fresh());
        fit(&mut half, &silent().epochs(2));
        half.save_checkpoint(&path).unwrap();
        rest.resume(&path).unwrap();
        assert_eq!((fit(&mut rest, &silent().epochs(4)), rest.params()), (history.clone(), whole.params()), "{name}");
        // Twice with the same model.
        let checkpoint = Checkpoint::new(folder.path("run")).resume(false);
        let mut same = fresh();
        fit(&mut same, &silent().epochs(2).checkpoint(&checkpoint));
        let checkpoint = checkpoint.resume(true);
        assert_eq!(fit(&mut same, &silent().epochs(4).checkpoint(&checkpoint)), history, "{name}");
        assert_eq!(same.params(), whole.params(), "{name}");
    }
}

/// Layers behind those of a file: a new model, and the weights of the file.
#[test]
fn weights_of_a_file_in_a_longer_model() {
    let _alone = alone();
    let folder = Folder::new("longer");
    let path = folder.path("m.safetensors");
    model::<f32>(7).save(&path).unwrap();
    let fresh = Model::load(&path).unwrap().discard_weights(9).unwrap();
    assert_eq!(fresh.params(), model::<f32>(9).params());
    let mut longer = Sequential::new([4])
        .add(Dense::new(5).activation(Activation::LeakyRelu(0.1)))
        .add(Dropout::new(0.3))
        .add_named("again", Residual::new().add(Dense::new(5).activation(Activation::Gelu)))
        .add(Dense::new(3).activation(Activation::Softmax))
        .add(Dense::new(3))
        .build(5)
        .unwrap();
    let left = longer.load_weights_with(&path, &LoadWeights::default().partial(true)).unwrap();
    assert_eq!(left.missing, ["dense_2/kernel", "dense_2/bias"]);
    assert_eq!(longer.weight("dense/kernel").unwrap(), model::<f32>(7).weight("dense/kernel").unwrap());
}

/// Of an initialiser of one's own a file keeps the name, from which nothing can be drawn.
#[test]
fn what_a_file_names_only_is_not_drawn() {
    let _alone = alone();
    #[derive(Debug)]
    struct Ramp;
    impl gradus::initializers::Initializer for Ramp {
        fn fill(&self, _: Shape, _: &mut gradus::random::KeyedRng, values: &mut [f64]) {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64);
        }
    }
    let folder = Folder::new("named");
    let path = folder.path("m.safetensors");
    for (used, drawn) in [(true, false), (false, true)] {
        let dense = Dense::new(2).bias_initializer(Ramp).use_bias(used);
        let model = Sequential::new([3]).add(dense).build(1).unwrap();
        model.save(&path).unwrap();
        let loaded = Model::load(&path).unwrap();
        assert_eq!(loaded.params(), model.params());
        let again = loaded.discard_weights(1).map(|model| model.params().clone()).map_err(|e| e.to_string());
        if drawn {
            assert_eq!(again.as_ref(), Ok(model.params()));
        } else {
            assert_eq!(
                again.unwrap_err(),
                "layer 0 (dense): build: the initialiser Ramp is known by its name only, so that no weights can be drawn; add \
                 the layers anew with the initialiser itself, or keep the weights of the file"
            );
        }
    }
}

/// An experiment that can be changed in one place.
struct Experiment {
    seed: u64,
    units: usize,
    rate: f64,
    adam: Adam,
    smoothing: f64,
    batch: usize,
    shuffle: bool,
    weights: Option<Vec<f32>>,
    classes: Option<Vec<f64>>,
    x: Tensor,
    y: Tensor,
    validation: Option<(Tensor, Tensor)>,
    split: f64,
    frozen: bool,
    bias: Option<f32>,
    more_metrics: bool,
}

impl Experiment {
    fn new() -> Self {
        // The flowers in an order in which the kinds take turns.
        let (table, order) = (iris(), (0..150).map(|i| i * 49 % 150).collect::<Vec<_>>());
        Experiment {
            seed: 3,
            units: 5,
            rate: 0.25,
            adam: Adam::default(),
            smoothing: 0.0,
            batch: 32,
            shuffle: true,
            weights: None,
            classes: None,
            x: table.x.select(&order).unwrap(),
            y: table.y.select(&order).unwrap(),
            validation: None,
            split: 0.0,
            frozen: false,
            bias: None,
            more_metrics: false,
        }
    }

    fn run(&self, epochs: usize, checkpoint: &Checkpoint) -> Result<(Model, History), Error> {
        let mut model = Sequential::new([4])
            .add(Dense::new(self.units).activation(Activation::Relu))
            .trainable(!self.frozen)
            .add(Dropout::new(self.rate))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build(self.seed)?;
        if let Some(bias) = self.bias {
            model.set_weight("dense_1/bias", &[bias; 3])?;
        }
        let loss = CategoricalCrossentropy::default().label_smoothing(self.smoothing);
        match self.more_metrics {
            false => model.compile(self.adam.clone(), loss, [Accuracy::default()])?,
            true => model.compile(self.adam.clone(), loss, (Accuracy::default(), F1Score::default()))?,
        }
        let mut how = silent().epochs(epochs).batch_size(self.batch).shuffle(self.shuffle).checkpoint(checkpoint);
        how = how.validation_split(self.split);
        if let Some(weights) = &self.weights {
            how = how.sample_weight(weights);
        }
        if let Some(classes) = &self.classes {
            how = how.class_weight(classes);
        }
        if let Some((x, y)) = &self.validation {
            how = how.validation_data(x, y);
        }
        let history = model.fit(&self.x, &self.y, &how)?;
        Ok((model, history))
    }
}

/// A checkpoint once swallowed every change: `fit` returned the old history without a step.
#[test]
fn a_changed_experiment_is_not_swallowed() {
    use gradus::model::RunStart;
    let _alone = alone();
    let folder = Folder::new("changed");
    let path = folder.path("run");
    let checkpoint = Checkpoint::new(&path);
    let (_, first) = Experiment::new().run(2, &checkpoint).unwrap();
    assert_eq!(first.start(), RunStart::Fresh);
    let bytes = std::fs::read(&path).unwrap();
    let refused = |experiment: &Experiment, expected: &[&str]| {
        for epochs in [2, 4] {
            let error = experiment.run(epochs, &checkpoint).unwrap_err().to_string();
            let whole = "run: the checkpoint is of a run with other settings or data: ";
            let ways = ["removing the file", "Checkpoint::resume(false)", "Checkpoint::accept_changes(true)"];
            assert!(error.contains(whole) && ways.iter().all(|way| error.contains(way)), "{error}");
            assert!(expected.iter().all(|e| error.contains(e)), "{error} without {expected:?}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    };
    let e = Experiment::new;
    let adam = Adam::default;
    refused(&Experiment { seed: 4, ..e() }, &["seed: 3 then, 4 now"]);
    refused(&Experiment { rate: 0.5, ..e() }, &["layer 1.rate: 0.25 then, 0.5 now"]);
    refused(
        &Experiment { adam: adam().learning_rate(0.01), ..e() },
        &["data: optimizer.learning_rate: 0.001 then, 0.01 now; go back"],
    );
    let decay = CosineDecay::new(0.01, 30);
    refused(
        &Experiment { adam: adam().learning_rate(decay), ..e() },
        &["optimizer.learning_rate: 0.001 then, CosineDecay now"],
    );
    refused(&Experiment { adam: adam().beta_1(0.8), ..e() }, &["optimizer.betas.beta_1: 0.9 then, 0.8 now"]);
    refused(&Experiment { adam: adam().clipnorm(1.0), ..e() }, &["optimizer.clip: None then, Norm now"]);
    refused(
        &Experiment { adam: adam().gradient_accumulation_steps(2), ..e() },
        &["optimizer.gradient_accumulation_steps: 1 then, 2 now"],
    );
    refused(&Experiment { smoothing: 0.1, ..e() }, &["loss.", "label_smoothing: 0.0 then, 0.1 now"]);
    refused(&Experiment { more_metrics: true, ..e() }, &["metrics: 1 then, 2 now"]);
    refused(&Experiment { batch: 16, ..e() }, &["batch_size: 32 then, 16 now"]);
    refused(&Experiment { shuffle: false, ..e() }, &["shuffle: true then, false now"]);
    refused(&Experiment { weights: Some(vec![1.0; 150]), ..e() }, &["sample_weight: none then, 150 with digest "]);
    refused(&Experiment { classes: Some(vec![1.0, 2.0, 1.0]), ..e() }, &["class_weight: none then, 3 with digest "]);
    refused(&Experiment { split: 0.2, ..e() }, &["samples to train on: 150 then, 120 now", "validation: none then"]);
    let other = Some((e().x.rows(0..9).unwrap(), e().y.rows(0..9).unwrap()));
    refused(&Experiment { validation: other, ..e() }, &["validation: none then, samples of their own now"]);
    refused(&Experiment { frozen: true, ..e() }, &["frozen weights: none then, dense/kernel, dense/bias now"]);
    refused(&Experiment { bias: Some(0.5), ..e() }, &["weights at the start: digest "]);
    let mut one_value = e();
    one_value.x.as_mut_slice()[77] += 1e-6;
    refused(&one_value, &["x: [150, 4] with digest "]);
    let mut one_label = e();
    one_label.y.as_mut_slice()[0] = 2.0;
    refused(&one_label, &["y: [150] with digest "]);
    // Weights of other shapes.
    let error = Experiment { units: 6, ..e() }.run(4, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("the weights do not fit the model"), "{error}");

    // With nothing changed: done, and with more epochs gone on with.
    let (_, done) = e().run(2, &checkpoint).unwrap();
    assert_eq!((done.start(), &done), (RunStart::Finished, &first));
    let (model, more) = e().run(4, &checkpoint).unwrap();
    assert_eq!(more.start(), RunStart::Resumed { epoch: 2, batch: 0 });
    let elsewhere = Checkpoint::new(folder.path("whole"));
    let (whole, history) = e().run(4, &elsewhere).unwrap();
    assert_eq!((model.params(), &more), (whole.params(), &history));

    // Changes on purpose: the file is then of the changed run.
    std::fs::write(&path, &bytes).unwrap();
    let accepting = Checkpoint::new(&path).accept_changes(true);
    let changed =
        Experiment { adam: adam().learning_rate(0.01), rate: 0.0, batch: 50, more_metrics: true, seed: 4, ..e() };
    let (_, history) = changed.run(4, &accepting).unwrap();
    assert_eq!((history.epochs.len(), history.start()), (4, RunStart::Resumed { epoch: 2, batch: 0 }));
    assert_eq!(history.get("loss").unwrap()[..2], first.get("loss").unwrap()[..]);
    let f1 = history.get("f1_score").unwrap();
    assert!(f1.len() == 4 && f1[0].is_nan() && !f1[3].is_nan());
    // Which is no other one when it is started again.
    assert_eq!(changed.run(5, &checkpoint).unwrap().1.start(), RunStart::Resumed { epoch: 4, batch: 0 });
    let again =
        Experiment { adam: adam().learning_rate(0.01), rate: 0.0, batch: 50, more_metrics: true, seed: 3, ..e() };
    let error = again.run(6, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("data: seed: 4 then, 3 now; weights at the start: digest "), "{error}");
    assert!(!error.contains("learning_rate"), "{error}");
    // Or from the start.
    let (_, anew) = Experiment { batch: 16, ..e() }.run(1, &Checkpoint::new(&path).resume(false)).unwrap();
    assert_eq!((anew.start(), anew.epochs.len()), (RunStart::Fresh, 1));
}

/// The same of a run that is resumed by hand, of one within an epoch, and of datasets.
#[test]
fn other_ways_to_a_changed_experiment() {
    use gradus::model::RunStart;
    let _alone = alone();
    let folder = Folder::new("changed_otherwise");
    let table = iris();
    let mut half = compiled(5);
    half.fit(&table.x, &table.y, &silent().epochs(2)).unwrap();
    half.save_checkpoint(folder.path("c")).unwrap();
    let mut rest = compiled(5);
    rest.resume(folder.path("c")).unwrap();
    let error = rest.fit(&table.x, &table.y, &silent().epochs(3).batch_size(10)).unwrap_err().to_string();
    assert!(
        error.starts_with("fit: the run that was resumed had other settings or data: batch_size: 32 then, 10 now; ")
    );
    assert!(error.ends_with("Model::resume_changed"), "{error}");
    // It is still resumed, and goes on when that is set right.
    let history = rest.fit(&table.x, &table.y, &silent().epochs(3)).unwrap();
    assert_eq!((history.epochs.len(), history.start()), (3, RunStart::Resumed { epoch: 2, batch: 0 }));
    let mut changed = compiled(5);
    changed.resume_changed(folder.path("c")).unwrap();
    let history = changed.fit(&table.x, &table.y, &silent().epochs(3).batch_size(10)).unwrap();
    assert_eq!(history.epochs.len(), 3);

    // Within an epoch, with other batches: that epoch begins again.
    let path = folder.path("mid");
    let write = Checkpoint::new(&path).every_steps(1).background(false);
    let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| match batch {
        2 => Err(Error::custom("stop")),
        _ => Ok(()),
    });
    let how = silent().epochs(2).checkpoint(&write);
    assert!(compiled(5).fit_with(&table.x, &table.y, &how, &mut [&mut stop]).is_err());
    let accepting = Checkpoint::new(&path).accept_changes(true);
    let how = silent().epochs(2).batch_size(100).checkpoint(&accepting);
    let history = compiled(5).fit(&table.x, &table.y, &how).unwrap();
    assert_eq!((history.start(), history.epochs), (RunStart::Resumed { epoch: 0, batch: 0 }, vec![0, 1]));

    // Other data of the same number, behind a run that was not compared with anything.
    let mut rest = compiled(5);
    rest.resume(folder.path("c")).unwrap();
    let error = rest.fit(&iris().x.map(|v| -v), &table.y, &silent().epochs(3)).unwrap_err().to_string();
    assert!(error.contains("other settings or data: x: [150, 4] with digest "), "{error}");
    let others = Tensor::full([150], 1.0f32);
    let error = rest.fit(&table.x, &others, &silent().epochs(3)).unwrap_err().to_string();
    assert!(error.contains("other settings or data: y: [150] with digest "), "{error}");
    assert_eq!(rest.fit(&table.x, &table.y, &silent().epochs(3)).unwrap().epochs, [0, 1, 2]);
}

/// A dataset is known by its shapes, its batches, and what is in the first and the last of them.
#[test]
fn another_dataset_is_not_swallowed() {
    use gradus::model::RunStart;
    let _alone = alone();
    let folder = Folder::new("datasets");
    struct Data {
        x: Tensor,
        y: Tensor,
        seed: Option<u64>,
        noise: u64,
        batch: usize,
        validation: Tensor,
    }
    let data = || {
        let table = iris();
        Data { validation: table.x.clone(), x: table.x, y: table.y, seed: Some(1), noise: 1, batch: 32 }
    };
    let run = |data: &Data, epochs: usize, model: &mut Model, checkpoint: Option<&Checkpoint>| {
        let noise = |key: gradus::random::Key, x: &mut [f32], _: &mut [f32]| x[0] += key.unit(0) as f32;
        let source = Samples::new(data.x.clone(), data.y.clone()).unwrap().map_keyed(data.noise, noise);
        let held_out = Samples::new(data.validation.clone(), iris().y).unwrap().batch(100);
        let mut how = silent().epochs(epochs).validation_dataset(&held_out);
        if let Some(checkpoint) = checkpoint {
            how = how.checkpoint(checkpoint);
        }
        match data.seed {
            Some(seed) => model.fit_dataset(&source.shuffle(seed).batch(data.batch).prefetch(2)?, &how, &mut []),
            None => model.fit_dataset(&source.batch(data.batch), &how, &mut []),
        }
    };
    let negative = || iris().x.map(|v| -v);
    // One value of the last sample, which is in the last batch of an order that stays.
    let mut last = Data { seed: None, ..data() };
    *last.x.as_mut_slice().last_mut().unwrap() += 1.0;
    let cases = [
        (data(), Data { x: negative(), ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { y: Tensor::full([150], 1.0), ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { seed: Some(2), ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { seed: None, ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { noise: 2, ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { batch: 33, ..data() }, "first batch: [32, 4] and [32] with digest "),
        (data(), Data { batch: 25, ..data() }, "batches an epoch: 5 then, 6 now"),
        (Data { seed: None, ..data() }, last, "last batch: [22, 4] and [22] with digest "),
    ];
    for (i, (then, now, expected)) in cases.iter().enumerate() {
        let checkpoint = Checkpoint::new(folder.path(&format!("run_{i}")));
        run(then, 1, &mut compiled(5), Some(&checkpoint)).unwrap();
        for epochs in [1, 2] {
            let error = run(now, epochs, &mut compiled(5), Some(&checkpoint)).unwrap_err().to_string();
            assert!(error.contains("other settings or data: ") && error.contains(expected), "{i}: {error}");
        }
        let history = run(then, 2, &mut compiled(5), Some(&checkpoint)).unwrap();
        assert_eq!(history.start(), RunStart::Resumed { epoch: 1, batch: 0 }, "{i}");
        let accepting = checkpoint.accept_changes(true);
        assert_eq!(run(now, 3, &mut compiled(5), Some(&accepting)).unwrap().epochs, [0, 1, 2], "{i}");
        // The same of a run without checkpoints that is saved.
        let (mut half, mut rest, path) = (compiled(5), compiled(5), folder.path("saved"));
        run(then, 1, &mut half, None).unwrap();
        half.save_checkpoint(&path).unwrap();
        rest.resume(&path).unwrap();
        let error = run(now, 2, &mut rest, None).unwrap_err().to_string();
        assert!(error.contains("other settings or data: ") && error.contains(expected), "{i}: {error}");
        assert_eq!(run(then, 2, &mut rest, None).unwrap().epochs, [0, 1], "{i}");
    }
    let checkpoint = Checkpoint::new(folder.path("validation"));
    run(&data(), 1, &mut compiled(5), Some(&checkpoint)).unwrap();
    let other = Data { validation: negative(), ..data() };
    let error = run(&other, 1, &mut compiled(5), Some(&checkpoint)).unwrap_err().to_string();
    assert!(error.contains("validation's first batch: [100, 4] and [100] with digest "), "{error}");
    assert!(error.contains("validation's last batch: [50, 4] and [50] with digest "), "{error}");
    assert!(!error.contains("data: first batch"), "{error}");
}

/// With other settings of a callback, or after a callback has ended the run.
#[test]
fn changes_are_accepted_after_a_callback_ended_the_run() {
    use gradus::model::RunStart;
    let _alone = alone();
    let folder = Folder::new("ended");
    let (table, path) = (iris(), folder.path("run"));
    // Never better, so that patience runs out.
    let stopping = |patience| EarlyStopping::default().monitor("loss").min_delta(1e9).patience(patience);
    let fit = |rate: f64, epochs: usize, checkpoint: &Checkpoint, callbacks: &mut [&mut dyn Callback]| {
        let mut model = model::<f32>(5);
        model.compile(Sgd::default().learning_rate(rate), SparseCategoricalCrossentropy::default(), ()).unwrap();
        model.fit_with(&table.x, &table.y, &silent().epochs(epochs).checkpoint(checkpoint), callbacks)
    };
    let plain = Checkpoint::new(&path);
    let accepting = Checkpoint::new(&path).accept_changes(true);
    assert_eq!(fit(0.1, 9, &plain, &mut [&mut stopping(2)]).unwrap().epochs, [0, 1, 2]);
    let bytes = std::fs::read(&path).unwrap();
    let first = |rate, epochs, checkpoint: &Checkpoint, callbacks: &mut [&mut dyn Callback]| {
        std::fs::write(&path, &bytes).unwrap();
        fit(rate, epochs, checkpoint, callbacks)
    };
    // Ended is ended, with more epochs too.
    assert_eq!(first(0.1, 20, &plain, &mut [&mut stopping(2)]).unwrap().start(), RunStart::Finished);
    // What callbacks are set up with is compared, where it takes part in training.
    let refused = |callbacks: &mut [&mut dyn Callback], expected: &str| {
        let error = first(0.1, 9, &plain, callbacks).unwrap_err().to_string();
        assert!(error.contains(&format!("other settings or data: {expected}")), "{error}");
    };
    refused(&mut [&mut stopping(4)], "EarlyStopping.patience: 2 then, 4 now; go back");
    refused(
        &mut [&mut stopping(2).monitor("val_loss").mode(Mode::Min).restore_best_weights(true)],
        "EarlyStopping.monitor: loss then, val_loss now; EarlyStopping.mode: Auto then, Min now; \
         EarlyStopping.restore_best_weights: false then, true now; ",
    );
    refused(&mut [], "callbacks: EarlyStopping then, none now");
    refused(&mut [&mut ReduceLrOnPlateau::default()], "callbacks: EarlyStopping then, ReduceLrOnPlateau now");
    refused(
        &mut [&mut stopping(2), &mut LearningRateScheduler::new(|_, rate| rate), &mut stopping(3)],
        "callbacks: EarlyStopping then, EarlyStopping, LearningRateScheduler, EarlyStopping_1 now",
    );
    let mut watch = LambdaCallback::default();
    assert!(first(0.1, 9, &plain, &mut [&mut stopping(2), &mut watch]).is_ok());

    // Two of four epochs without improvement were over.
    let resumed = RunStart::Resumed { epoch: 3, batch: 0 };
    let mut patient = stopping(4);
    let history = first(0.1, 9, &accepting, &mut [&mut patient]).unwrap();
    assert_eq!((history.start(), history.epochs.len(), patient.stopped_epoch()), (resumed, 5, Some(4)));
    // The file is that of the changed run.
    assert_eq!(fit(0.1, 9, &plain, &mut [&mut stopping(4)]).unwrap().start(), RunStart::Finished);
    let mut patient = stopping(40);
    let history = first(0.2, 6, &accepting, &mut [&mut patient]).unwrap();
    assert_eq!((history.start(), history.epochs.len(), patient.stopped_epoch()), (resumed, 6, None));
    // One more epoch shows a callback of the same patience that there is no end to it.
    let history = first(0.2, 9, &accepting, &mut [&mut stopping(2)]).unwrap();
    assert_eq!((history.start(), history.epochs.len()), (resumed, 4));
    // No callback, and others in its place.
    assert_eq!(first(0.1, 7, &accepting, &mut []).unwrap().epochs.len(), 7);
    let mut logger = CsvLogger::new(folder.path("log.csv"));
    let mut slower = ReduceLrOnPlateau::default().monitor("loss").min_delta(1e9).patience(2).factor(0.5);
    assert_eq!(first(0.1, 7, &accepting, &mut [&mut logger, &mut slower]).unwrap().epochs.len(), 7);
    let mut slower = ReduceLrOnPlateau::default().monitor("loss").patience(9);
    assert_eq!(first(0.1, 7, &accepting, &mut [&mut slower]).unwrap().epochs.len(), 7);
    assert!(slower.best().is_some_and(f64::is_finite));

    // By hand.
    std::fs::write(&path, &bytes).unwrap();
    let mut model = model::<f32>(5);
    model.compile(Sgd::default().learning_rate(0.1), SparseCategoricalCrossentropy::default(), ()).unwrap();
    model.resume(&path).unwrap();
    let history = model.fit_with(&table.x, &table.y, &silent().epochs(9), &mut [&mut stopping(2)]).unwrap();
    assert_eq!(history.start(), RunStart::Finished);
    model.resume_changed(&path).unwrap();
    let history = model.fit_with(&table.x, &table.y, &silent().epochs(9), &mut [&mut stopping(4)]).unwrap();
    assert_eq!((history.start(), history.epochs.len()), (resumed, 5));
}

/// Whatever refuses a `fit` before its first step, the next one goes on where the resumed run stood.
#[test]
fn a_refused_fit_stays_resumed() {
    #[derive(Debug)]
    struct Broken<D>(D);
    impl<D: Dataset> Dataset for Broken<D> {
        fn shapes(&self) -> (Shape, Shape) {
            self.0.shapes()
        }
        fn batches(&self) -> Option<usize> {
            self.0.batches()
        }
        fn load(&self, epoch: usize, index: usize, batch: &mut Batch) -> Result<(), Error> {
            if epoch == 2 { Err(Error::custom("no third epoch")) } else { self.0.load(epoch, index, batch) }
        }
    }
    use gradus::model::RunStart;
    let _alone = alone();
    let folder = Folder::new("refused");
    let table = iris();
    std::fs::write(folder.path("file"), "").unwrap();
    let below_a_file = folder.path("file").join("x");
    let data = || Samples::new(table.x.clone(), table.y.clone()).unwrap().batch(50);
    let how = silent().epochs(4);
    let (mut whole, mut half) = (compiled(5), compiled(5));
    let history = whole.fit_dataset(&data(), &how, &mut []).unwrap();
    half.fit_dataset(&data(), &how.clone().epochs(2), &mut []).unwrap();
    half.save_checkpoint(folder.path("c")).unwrap();
    let mut rest = compiled(5);
    rest.resume(folder.path("c")).unwrap();
    let mut refused = |data: &dyn Dataset, how: &Fit<'_>, callbacks: &mut [&mut dyn Callback], expected: &str| {
        let error = rest.fit_dataset(data, how, callbacks).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let (often, nowhere) = (Checkpoint::new(folder.path("new")).every_steps(0), Checkpoint::new(&below_a_file));
    refused(&data(), &how.clone().checkpoint(&often), &mut [], "every_steps must be at least 1");
    refused(&data(), &how.clone().checkpoint(&nowhere), &mut [], "x: cannot write: ");
    refused(&data(), &how, &mut [&mut CsvLogger::new(&below_a_file)], "x: ");
    refused(&data(), &how, &mut [&mut ModelCheckpoint::new(&below_a_file)], "x: ");
    // The checkpoint has nothing of a logger, which begins all the same.
    refused(&data(), &how, &mut [&mut CsvLogger::new(folder.path("log"))], "no usable value \"bytes\"");
    let mut fails = LambdaCallback::default().on_epoch_begin(|_, run| {
        run.set_learning_rate(9.0)?;
        Err(Error::custom("not today"))
    });
    refused(&data(), &how, &mut [&mut fails], "not today");
    let mut faster = LambdaCallback::default().on_epoch_begin(|_, run| run.set_learning_rate(9.0));
    refused(&Broken(data()), &how, &mut [&mut faster], "no third epoch");
    let rest_of_it = rest.fit_dataset(&data(), &how, &mut []).unwrap();
    assert_eq!(rest_of_it.start(), RunStart::Resumed { epoch: 2, batch: 0 });
    assert_eq!((rest_of_it, rest.params()), (history, whole.params()));
    // Once something is trained, a fit that fails is over.
    let mut rest = compiled(5);
    rest.resume(folder.path("c")).unwrap();
    let mut fails = LambdaCallback::default().on_batch_end(|_, _, _| Err(Error::custom("after a step")));
    assert!(rest.fit_dataset(&data(), &how, &mut [&mut fails]).is_err());
    assert_eq!(rest.fit_dataset(&data(), &how, &mut []).unwrap().start(), RunStart::Fresh);
}

/// What is printed: which of the three a run is. The lines are those of this test, run once more as a program.
#[test]
fn fresh_resumed_and_finished_runs_are_told_apart() {
    if let Some(folder) = child::task() {
        let (path, table) = (Path::new(&folder).join("run"), iris());
        let checkpoint = Checkpoint::new(path);
        for (epochs, verbose) in [(1, Verbose::Auto), (3, Verbose::Lines), (3, Verbose::Bar), (4, Verbose::Silent)] {
            let how = silent().epochs(epochs).checkpoint(&checkpoint).verbose(verbose);
            compiled(1).fit(&table.x, &table.y, &how).unwrap();
        }
        let checkpoint = Checkpoint::new(Path::new(&folder).join("ended"));
        let stopping = || EarlyStopping::default().monitor("loss").min_delta(1e9).patience(1);
        for verbose in [Verbose::Silent, Verbose::Lines] {
            let how = silent().epochs(9).checkpoint(&checkpoint).verbose(verbose);
            compiled(1).fit_with(&table.x, &table.y, &how, &mut [&mut stopping()]).unwrap();
        }
        return;
    }
    let folder = Folder::new("lines");
    let task = folder.0.display().to_string();
    let text = child::ran(child::again(fresh_resumed_and_finished_runs_are_told_apart, &task).spawn().unwrap());
    let run = folder.path("run");
    let run = run.display();
    // The harness begins the first line.
    let starts = ["new run", "resumed", "the run", "epoch "];
    let of_runs = text.lines().filter_map(|line| starts.iter().find_map(|s| line.find(s)).map(|at| &line[at..]));
    let lines: Vec<_> =
        of_runs.map(|l| if l.starts_with("epoch ") { l[..9].to_owned() } else { l.to_owned() }).collect();
    let expected = [
        format!("new run, with checkpoints in {run}"),
        "epoch 1/1".into(),
        format!("resumed from {run}: goes on in epoch 2/3"),
        "epoch 2/3".into(),
        "epoch 3/3".into(),
        format!(
            "the run of {run} is finished, with 3 epochs done of the 3 asked for: nothing is trained; to go on pass more epochs, to \
             begin anew remove the file or pass Checkpoint::resume(false)"
        ),
        format!(
            "the run of {} was ended by a callback after epoch 2: nothing is trained; to go on all the same pass \
             Checkpoint::accept_changes(true), to begin anew remove the file or pass Checkpoint::resume(false)",
            folder.path("ended").display()
        ),
    ];
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn files_of_another_kind() {
    let _alone = alone();
    let folder = Folder::new("kinds");
    let path = folder.path("model");
    let mut keras = b"PK\x03\x04".to_vec();
    keras.resize(26, 0);
    keras.extend([13, 0, 0, 0]);
    keras.extend(b"metadata.json");
    for (bytes, what) in [
        (
            b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(),
            "an HDF5 file (.h5), not a safetensors file; a model: in Python, keras.models.load_model",
        ),
        (keras, "a Keras model (.keras), not a safetensors file; load it with Model::load_keras"),
        (b"\x93NUMPY\x01\0v\0{'descr'".to_vec(), "a NumPy array (.npy), not a safetensors file"),
        (b"\x80\x02\x8a\x0al\xfc".to_vec(), "a Python pickle, not a safetensors file"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Model::load(&path).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    std::fs::create_dir(folder.path("saved")).unwrap();
    std::fs::write(folder.path("saved/saved_model.pb"), b"x").unwrap();
    let error = Model::load(folder.path("saved")).unwrap_err().to_string();
    assert!(
        error.contains("a folder with a TensorFlow SavedModel, no regular file; build the model in Keras 3"),
        "{error}"
    );
}

/// Files of every version that was released, and of this one, stay loadable.
#[test]
fn files_of_older_versions() {
    let _alone = alone();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/files");
    let folder = Folder::new("golden");
    for version in ["v1"] {
        let golden = |name: &str| fixtures.join(version).join(name);
        let model = Model::load(golden("model.safetensors")).unwrap();
        let y = model.predict(&golden_input()).unwrap();
        for (y, expected) in y.iter().zip(GOLDEN_OUTPUT) {
            assert!((y - expected).abs() < 1e-6, "{version}: {y} instead of {expected}");
        }
        // From the middle of an epoch to the end of the run that went on.
        std::fs::copy(golden("checkpoint.safetensors"), folder.path("run")).unwrap();
        let checkpoint = Checkpoint::new(folder.path("run"));
        let (rest, history) = golden_run(&silent().epochs(3).checkpoint(&checkpoint), None).unwrap();
        assert_eq!(history.epochs, [0, 1, 2]);
        // What that version came to; since then batches of one update weigh as many rows as they have, and the last of an epoch has fewer.
        assert_eq!(Model::<f32>::load(golden("end.safetensors")).unwrap().params().specs(), rest.params().specs());
        let end = Model::load(golden("end_by_rows.safetensors")).unwrap();
        for (a, b) in rest.params().values().iter().zip(end.params().values()) {
            assert!((a - b).abs() < 1e-5, "{version}: {a} instead of {b}");
        }
    }
}

/// The run whose files are kept; `stop_at` ends it after that batch of epoch 1.
fn golden_run(how: &Fit<'_>, stop_at: Option<usize>) -> Result<(Model, History), Error> {
    let table = iris();
    let mut model = model::<f32>(21);
    let optimizer = Adam::default().learning_rate(CosineDecay::new(0.01, 30)).ema(0.9).gradient_accumulation_steps(2);
    let metrics = (Accuracy::default(), F1Score::default(), Auc::default());
    model.compile(optimizer, CategoricalCrossentropy::default(), metrics)?;
    let y = one_hot(&table.y, 3)?;
    let mut stopping = EarlyStopping::default().monitor("loss").patience(3).restore_best_weights(true);
    let mut slower = ReduceLrOnPlateau::default().monitor("loss");
    let mut epoch = 0;
    let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| {
        epoch += usize::from(batch == 0);
        if epoch == 2 && Some(batch) == stop_at { Err(Error::custom("stop")) } else { Ok(()) }
    });
    let history = model.fit_with(&table.x, &y, how, &mut [&mut stopping, &mut slower, &mut stop])?;
    drop(stop);
    Ok((model, history))
}

fn golden_input() -> Tensor {
    Tensor::from([[0.5, 0.25, 0.125, 0.0], [0.5, -0.25, 0.5, 0.25]])
}

/// What the kept model makes of it.
const GOLDEN_OUTPUT: [f32; 6] = [0.2339811, 0.5073025, 0.2587164, 0.16966043, 0.65634245, 0.1739971];

#[test]
fn nested_as_deep_as_can_be() {
    let deep = (0..30).fold(Block::new().add(Dense::new(2)), |inner, _| Block::new().add(inner));
    let model = Sequential::new([2]).add(deep).build(4).unwrap();
    let folder = Folder::new("deep");
    let path = folder.path(&"é".repeat(20));
    model.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().params(), model.params());
    // Names with any other letters come back; an architecture that no file holds is refused at build.
    let named = Sequential::new([2]).add_named("naïve \"layer\" \\ 層.1", Dense::new(2)).build(1).unwrap();
    named.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().params(), named.params());
    let name = |i: usize| format!("{i}{}", "n".repeat(1000));
    let many = (0..600).fold(Sequential::new([2]), |model, i| model.add_named(&name(i), Dense::new(2)));
    let error = many.build(0).unwrap_err().to_string();
    assert!(error.contains("architecture"), "{error}");
    let long = Sequential::new([2]).add_named(&"n".repeat(1 << 20), Dense::new(2)).build(0);
    assert!(long.is_err());
}
