//! Training by shards, on one rank and on several: the same bits.

use std::path::{Path, PathBuf};

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use gradus::distributed::{Received, Sent, Threads, World};
use gradus::model::{LearningRateFinder, RunStart};
use gradus::prelude::*;
use gradus::schedules::CosineDecay;

/// Samples that no number of shards divides.
const N: usize = 103;

fn data() -> (Tensor, Tensor) {
    let x = Tensor::from_fn([N, 6], |i| ((i * 7919 + i / 6) % 101) as f32 / 50.0 - 1.0);
    let y = Tensor::from_labels(&(0..N).map(|i| (i * i + i / 3) % 3).collect::<Vec<_>>());
    (x, y)
}

/// With all that looks at more than a row: dropout, batch statistics, penalties, metrics with sums of several kinds.
fn model(seed: u64, accumulate: u64) -> Model {
    let mut model = Sequential::new([6])
        // Wide enough that each of several ranks has moments of its own.
        .add(Dense::new(160).kernel_regularizer(Regularizer::L2(1e-3)))
        .add(BatchNorm::default())
        .add(Activation::Relu)
        .add(Dropout::new(0.3))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(seed)
        .unwrap();
    let adam = Adam::default()
        .learning_rate(CosineDecay::new(0.01, 40))
        .global_clipnorm(0.5)
        .weight_decay(0.01)
        .gradient_accumulation_steps(accumulate);
    model.compile(adam, SparseCategoricalCrossentropy::default(), (Accuracy::default(), F1Score::default())).unwrap();
    model
}

/// What a run ends with.
#[derive(Debug, PartialEq)]
struct End {
    weights: Vec<u32>,
    history: History,
    stopped: usize,
}

fn end(model: &Model, history: History) -> End {
    let weights = model.params().values().iter().map(|v| v.to_bits()).collect();
    let stopped = history.epochs.len();
    End { weights, history, stopped }
}

fn run(how: Fit<'_>, seed: u64, accumulate: u64) -> End {
    let (x, y) = data();
    let mut model = model(seed, accumulate);
    let mut stopping = EarlyStopping::default().monitor("val_loss").patience(1).restore_best_weights(true);
    let how = how.epochs(6).batch_size(20).validation_split(0.2).verbose(Verbose::Silent);
    let history = model.fit_with(&x, &y, &how, &mut [&mut stopping]).unwrap();
    end(&model, history)
}

#[test]
fn any_number_of_ranks_ends_with_the_bits_of_one_process() {
    for accumulate in [1, 3] {
        let alone = run(Fit::default().shards(12), 7, accumulate);
        for ranks in [1, 2, 3, 4, 5, 6, 12] {
            // Weights and order come from rank 0, whatever seed others have; the moments may be divided.
            let divided = ranks % 2 == 1;
            let all = Threads::run(ranks, |world| {
                let how = Fit::default().shards(12).distributed(world).shard_optimizer(divided);
                run(how, 7 + world.rank() as u64, accumulate)
            });
            for (rank, own) in all.iter().enumerate() {
                assert_eq!(own.history, alone.history, "rank {rank} of {ranks}, {accumulate} batches an update");
                assert!(*own == alone, "rank {rank} of {ranks}: weights differ");
            }
        }
    }
}

#[test]
fn one_shard_is_the_batch() {
    let (plain, one) = (run(Fit::default(), 3, 1), run(Fit::default().shards(1), 3, 1));
    assert_eq!(plain.history, one.history);
    assert!(plain == one, "weights differ");
}

#[test]
fn shards_of_a_batch_come_to_its_gradients() {
    let (x, y) = data();
    let train = |shards: Option<usize>| {
        let mut model = Sequential::new([6])
            .add(Dense::new(16).activation(Activation::Tanh))
            .add(Dropout::new(0.3))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build_as::<f64>(5)
            .unwrap();
        model
            .compile(Sgd::default().learning_rate(0.1), SparseCategoricalCrossentropy::default(), [Accuracy::default()])
            .unwrap();
        let how = Fit::default().epochs(3).batch_size(20).verbose(Verbose::Silent);
        let how = shards.iter().fold(how, |how, &shards| how.shards(shards));
        let convert = |t: &Tensor| Tensor::<f64>::from_fn(t.shape(), |i| f64::from(t.as_slice()[i]));
        let history = model.fit(&convert(&x), &convert(&y), &how).unwrap();
        (model.params().values().to_vec(), history)
    };
    let (plain, history) = train(None);
    for shards in [2, 3, 7, 20, 33] {
        let (weights, other) = train(Some(shards));
        weights.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} and {b}, {shards} shards"));
        assert_eq!(other.get("accuracy"), history.get("accuracy"));
    }
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gradus_distributed_{name}_{}.safetensors", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// The batches of rows as a dataset, shuffled and loaded ahead.
fn batches() -> Prefetch {
    let (x, y) = data();
    Samples::new(x, y).unwrap().shuffle(3).batch(20).prefetch(1).unwrap()
}

fn run_to(path: &Path, world: Option<&dyn World>, epochs: usize) -> End {
    let mut model = model(7, 1);
    let checkpoint = Checkpoint::new(path).every_steps(2);
    let how = Fit::default().epochs(epochs).shards(4).checkpoint(&checkpoint).verbose(Verbose::Silent);
    // Divided moments on an odd number of ranks: files are the same.
    let divided = world.is_some_and(|world| world.size() % 2 == 1);
    let how = world.into_iter().fold(how, Fit::distributed).shard_optimizer(divided);
    let before = path.exists();
    let history = model.fit_dataset(&batches(), &how, &mut []).unwrap();
    assert_eq!(before, matches!(history.start(), RunStart::Resumed { .. }), "{:?}", history.start());
    end(&model, history)
}

/// A world that is asked to end after so many messages.
#[derive(Debug)]
struct Asked<'a>(&'a Threads, AtomicUsize);

impl World for Asked<'_> {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn exchange(&self, what: &'static str, sends: &[Sent<'_>], receives: &mut [Received<'_>]) -> Result<(), Error> {
        self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok();
        self.0.exchange(what, sends, receives)
    }

    fn abort(&self, message: &str) {
        self.0.abort(message);
    }

    fn asked_to_stop(&self) -> bool {
        self.rank() == 1 && self.1.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn a_run_that_is_asked_to_end_goes_on_within_an_epoch() {
    let (whole, parts) = (file("unasked"), file("asked"));
    let expected = run_to(&whole, None, 3);
    for messages in [30, 41] {
        let ends = Threads::run(2, |world| run_to(&parts, Some(&Asked(world, AtomicUsize::new(messages))), 3));
        ends.iter().for_each(|end| assert!(end.history.interrupted() && end.stopped < 3, "{:?}", end.history));
        let archive = gradus::io::Archive::open(&parts).unwrap();
        assert!(archive.arrays().iter().any(|array| array.name == "@fit/position"));
    }
    let all = Threads::run(3, |world| run_to(&parts, Some(world), 3));
    all.iter().for_each(|own| assert!(*own == expected, "{:?} and {:?}", own.history, expected.history));
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&parts).unwrap());
    [whole, parts].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let (whole, parts) = (file("whole"), file("parts"));
    let expected = run_to(&whole, None, 5);
    let _ = Threads::run(2, |world| run_to(&parts, Some(world), 2));
    let _ = Threads::run(4, |world| run_to(&parts, Some(world), 3));
    let all = Threads::run(3, |world| run_to(&parts, Some(world), 5));
    all.iter().for_each(|own| assert!(*own == expected, "{:?} and {:?}", own.history, expected.history));
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&parts).unwrap());
    // Other shards would give other bits.
    let mut other = model(7, 1);
    let checkpoint = Checkpoint::new(&parts);
    let how = Fit::default().epochs(6).shards(5).checkpoint(&checkpoint).verbose(Verbose::Silent);
    let error = other.fit_dataset(&batches(), &how, &mut []).unwrap_err().to_string();
    assert!(error.contains("shards: 4 then, 5 now"), "{error}");
    [whole, parts].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn ranks_that_differ_are_named() {
    let (x, y) = data();
    let errors = Threads::run(3, |world| {
        let rank = world.rank();
        let mut model = Sequential::new([6]).add(Dense::new(if rank == 2 { 4 } else { 3 })).build(0).unwrap();
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default().from_logits(true), ()).unwrap();
        let (x, y) = match rank {
            1 => (x.rows(0..50).unwrap(), y.rows(0..50).unwrap()),
            _ => (x.clone(), y.clone()),
        };
        let how = Fit::default().verbose(Verbose::Silent).distributed(world);
        model.fit(&x, &y, &how).unwrap_err().to_string()
    });
    for error in &errors {
        assert_eq!(error, &errors[0]);
        assert!(
            error.contains("rank 1: ") && error.contains("samples to train on: 50 there, 103 on rank 0"),
            "{error}"
        );
        assert!(error.contains("layer.config.units: 4 there, 3 on rank 0"), "{error}");
    }
}

#[test]
fn an_error_of_one_rank_ends_all() {
    let (x, y) = data();
    let errors = Threads::run(3, |world| {
        let mut model = model(1, 1);
        let rank = world.rank();
        let mut failing = LambdaCallback::default().on_epoch_end(move |epoch, _, _| match (rank, epoch) {
            (1, 1) => Err(Error::custom("the disk is full")),
            _ => Ok(()),
        });
        let how = Fit::default().epochs(4).verbose(Verbose::Silent).distributed(world);
        model.fit_with(&x, &y, &how, &mut [&mut failing]).unwrap_err().to_string()
    });
    assert_eq!(errors[1], "the disk is full");
    assert!(errors[0].starts_with("rank 1: the disk is full"), "{}", errors[0]);
    assert!(errors[2].starts_with("rank 1: the disk is full"), "{}", errors[2]);
}

#[test]
fn ranks_that_go_apart_are_told() {
    let (x, y) = data();
    let errors = |f: &(dyn Fn(&Threads, &mut Model) -> Result<History, Error> + Sync)| {
        Threads::run(2, |world| f(world, &mut model(1, 1)).map_err(|error| error.to_string()))
    };
    // Settings by which ranks exchange.
    let path = file("apart");
    let all = errors(&|world, model| {
        let checkpoint = Checkpoint::new(&path).every_steps(1 + world.rank());
        let how = Fit::default().verbose(Verbose::Silent).distributed(world);
        model.fit(&x, &y, &how.shard_optimizer(world.rank() == 0).checkpoint(&checkpoint))
    });
    for error in all {
        let error = error.unwrap_err();
        assert!(
            error.contains("shard_optimizer: false there, true on rank 0") && error.contains("every so many"),
            "{error}"
        );
    }
    // Whether gradients travel early.
    let all = errors(&|world, model| {
        let world = Counting::new(world, world.rank() == 0);
        model.fit(&x, &y, &Fit::default().verbose(Verbose::Silent).distributed(&world))
    });
    for error in all {
        let error = error.unwrap_err();
        assert!(error.contains("rank 1: gradients travel early: false there, true on rank 0"), "{error}");
    }
    // A dataset in another order.
    let all = errors(&|world, model| {
        let data = Samples::new(x.clone(), y.clone())?.shuffle(world.rank() as u64).batch(20);
        model.fit_dataset(&data, &Fit::default().verbose(Verbose::Silent).distributed(world), &mut [])
    });
    all.into_iter()
        .for_each(|error| assert!(error.unwrap_err().contains("rank 1: first batch: "), "an order of one's own"));
    // One asks to end before the first step, one after an epoch: all end.
    #[derive(Debug)]
    struct Ends(bool);
    impl Callback for Ends {
        fn on_train_begin(&mut self, run: &mut gradus::callbacks::Run<'_>) -> Result<(), Error> {
            if self.0 {
                run.stop();
            }
            Ok(())
        }
    }
    let all = errors(&|world, model| {
        let how = Fit::default().epochs(3).verbose(Verbose::Silent).distributed(world);
        model.fit_with(&x, &y, &how, &mut [&mut Ends(world.rank() == 0)])
    });
    all.into_iter().for_each(|history| assert!(history.unwrap().epochs.is_empty()));
    // One takes a diverged step quietly: so do all.
    let mut nan = x.clone();
    nan.as_mut_slice()[0] = f32::NAN;
    #[derive(Debug)]
    struct Quietly(bool);
    impl Callback for Quietly {
        fn on_diverged(&mut self, _: &Error, _: &mut gradus::callbacks::Run<'_>) -> Result<bool, Error> {
            Ok(self.0)
        }
    }
    let all = errors(&|world, model| {
        let how = Fit::default().epochs(3).verbose(Verbose::Silent).distributed(world);
        model.fit_with(&nan, &y, &how, &mut [&mut Quietly(world.rank() == 1)])
    });
    all.into_iter().for_each(|history| assert!(history.unwrap().epochs.is_empty()));
}

/// Writes down what it is called for; on rank 0 alone, or on all ranks.
#[derive(Debug, Default)]
struct Notes {
    alone: bool,
    calls: Vec<&'static str>,
}

impl Callback for Notes {
    fn rank_0_only(&self) -> bool {
        self.alone
    }

    fn on_train_begin(&mut self, _: &mut gradus::callbacks::Run<'_>) -> Result<(), Error> {
        self.calls.push("train begins");
        Ok(())
    }

    fn on_epoch_begin(&mut self, _: usize, _: &mut gradus::callbacks::Run<'_>) -> Result<(), Error> {
        self.calls.push("epoch begins");
        Ok(())
    }

    fn on_batch_end(&mut self, _: usize, _: f64, _: &mut gradus::callbacks::Run<'_>) -> Result<(), Error> {
        self.calls.push("batch ends");
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        _: usize,
        _: &gradus::callbacks::Logs<'_>,
        _: &mut gradus::callbacks::Run<'_>,
    ) -> Result<(), Error> {
        self.calls.push("epoch ends");
        Ok(())
    }

    fn on_train_end(&mut self, _: &mut gradus::callbacks::Run<'_>) -> Result<(), Error> {
        self.calls.push("train ends");
        Ok(())
    }

    fn on_diverged(&mut self, _: &Error, _: &mut gradus::callbacks::Run<'_>) -> Result<bool, Error> {
        self.calls.push("diverged");
        Ok(true)
    }
}

#[test]
fn what_only_watches_is_called_on_rank_0() {
    let (x, y) = data();
    let mut nan = x.clone();
    nan.as_mut_slice()[0] = f32::NAN;
    for (x, expected) in [
        (&x, &["train begins", "epoch begins", "batch ends", "epoch ends", "train ends"][..]),
        (&nan, &["train begins", "epoch begins", "diverged", "train ends"]),
    ] {
        let all = Threads::run(2, |world| {
            let (mut watches, mut changes) = (Notes { alone: true, ..Notes::default() }, Notes::default());
            let how = Fit::default().epochs(1).batch_size(N).verbose(Verbose::Silent).distributed(world);
            model(1, 1).fit_with(x, &y, &how, &mut [&mut watches, &mut changes]).unwrap();
            [watches.calls, changes.calls]
        });
        assert_eq!(all, [[expected.to_vec(), expected.to_vec()], [vec![], expected.to_vec()]]);
    }
}

#[test]
fn what_one_rank_alone_changes_is_found() {
    let (x, y) = data();
    let errors = Threads::run(2, |world| {
        let mut model = model(1, 1);
        let rank = world.rank();
        let mut secretly = LambdaCallback::default().on_epoch_end(move |_, _, run| {
            if rank == 1 {
                run.values_mut()[0] += 1.0;
            }
            Ok(())
        });
        let how = Fit::default().epochs(2).verbose(Verbose::Silent).distributed(world);
        model.fit_with(&x, &y, &how, &mut [&mut secretly]).unwrap_err().to_string()
    });
    errors.iter().for_each(|e| assert!(e.contains("rank 1: its weights after epoch 1 are others"), "{e}"));
}

#[test]
fn a_loss_that_is_not_finite_is_one_on_all_ranks() {
    let (mut x, y) = data();
    x.as_mut_slice()[6 * 17 + 2] = f32::NAN;
    let errors = Threads::run(2, |world| {
        let mut model = model(1, 1);
        let how = Fit::default().batch_size(N).shuffle(false).verbose(Verbose::Silent).distributed(world);
        model.fit(&x, &y, &how).unwrap_err().to_string()
    });
    assert!(
        errors[0].contains("the loss became NaN in epoch 1, step 1") && errors[0].contains("row 17, column 2"),
        "{}",
        errors[0]
    );
    assert!(
        errors[1].contains("the loss became NaN in epoch 1, step 1") && errors[1].contains("another rank"),
        "{}",
        errors[1]
    );
}

#[test]
fn more_ranks_than_shards_are_refused() {
    let (x, y) = data();
    let errors = Threads::run(3, |world| {
        let how = Fit::default().shards(2).distributed(world);
        model(1, 1).fit(&x, &y, &how).unwrap_err().to_string()
    });
    assert!(errors.iter().any(|e| e.contains("shards must be from 3, one for each rank")), "{errors:?}");
}

#[test]
fn masked_steps_weigh_as_they_count() {
    let ids = |i: usize| if i % 8 < 2 + (i / 8) % 6 { 1.0 + (i % 5) as f64 } else { 0.0 };
    let x = Tensor::<f64>::from_fn([30, 8], ids);
    let y = Tensor::<f64>::from_fn([30, 8], |i| ((i * 5) % 4) as f64);
    let train = |shards: Option<usize>| {
        let mut model = Sequential::new([8])
            .add(Embedding::new(6, 5).mask_zero(true))
            .add(Dense::new(4).activation(Activation::Softmax))
            .build_as::<f64>(5)
            .unwrap();
        model
            .compile(Sgd::default().learning_rate(0.5), SparseCategoricalCrossentropy::default(), [Accuracy::default()])
            .unwrap();
        let how = Fit::default().epochs(3).batch_size(10).verbose(Verbose::Silent);
        let how = shards.iter().fold(how, |how, &shards| how.shards(shards));
        let history = model.fit(&x, &y, &how).unwrap();
        (model.params().values().to_vec(), history)
    };
    let (plain, history) = train(None);
    for shards in [2, 3, 10] {
        let (weights, other) = train(Some(shards));
        weights.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} and {b}, {shards} shards"));
        let losses = other.get("loss").unwrap().iter().zip(history.get("loss").unwrap());
        losses.for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        assert_eq!(other.get("accuracy"), history.get("accuracy"));
    }
}

#[test]
fn divided_moments_of_every_kind() {
    let (x, y) = data();
    fn train<O: Optimizer + OptimizerOptions + 'static>(
        optimizer: O,
        how: Fit<'_>,
        (x, y): (&Tensor, &Tensor),
    ) -> Result<Vec<u32>, Error> {
        let mut model =
            Sequential::new([6]).add(Dense::new(150).activation(Activation::Tanh)).add(Dense::new(3)).build(1)?;
        model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ())?;
        // A second run goes on with the moments of the first, which all ranks have again.
        let how = how.batch_size(20).verbose(Verbose::Silent).shards(5);
        model.fit(x, y, &how.clone().epochs(2))?;
        model.fit(x, y, &how.initial_epoch(2).epochs(3))?;
        Ok(model.params().values().iter().map(|v| v.to_bits()).collect())
    }
    fn check<O: Optimizer + OptimizerOptions + Clone + Sync + 'static>(optimizer: O, of: (&Tensor, &Tensor)) {
        let alone = train(optimizer.clone(), Fit::default(), of).unwrap();
        for ranks in [2, 3, 5] {
            let all = Threads::run(ranks, |world| {
                train(optimizer.clone(), Fit::default().distributed(world).shard_optimizer(true), of).unwrap()
            });
            assert!(all.iter().all(|own| *own == alone), "{ranks} ranks, {optimizer:?}");
        }
    }
    let of = (&x, &y);
    check(Adam::default(), of);
    check(AdamW::default().moment_storage(MomentStorage::Bf16).global_clipnorm(0.1), of);
    check(Adam::default().amsgrad(true).clipnorm(0.1), of);
    check(Sgd::default().momentum(0.9).clipvalue(0.01), of);
    check(RmsProp::default().centered(true), of);
    for (error, why) in [
        (
            Threads::run(2, |w| {
                train(Muon::default(), Fit::default().distributed(w).shard_optimizer(true), of).unwrap_err().to_string()
            }),
            "whole parameters",
        ),
        (
            Threads::run(2, |w| {
                train(Adam::default().ema(0.9), Fit::default().distributed(w).shard_optimizer(true), of)
                    .unwrap_err()
                    .to_string()
            }),
            "moving average",
        ),
    ] {
        assert!(error.iter().any(|e| e.contains("shard_optimizer must be false") && e.contains(why)), "{error:?}");
    }
}

/// A model large enough that gradients travel in several stretches, with what makes these differ: a layer in two places, a frozen one, a table
/// of which a step reads a few rows.
fn large(accumulate: u64) -> Model {
    let mut g = Graph::new();
    let (x, id) = (g.input("x", [6]), g.input("id", [2]));
    let table = g.add(Embedding::new(3000, 64), id);
    let table = g.add(Flatten::new(), table);
    let h = g.add(Dense::new(256).activation(Activation::Tanh), x);
    let twice = g.shared("twice", Dense::new(256).activation(Activation::Tanh));
    let h = g.apply(&twice, h);
    let h = g.add_named("frozen", Dense::new(512), h);
    let h = g.add(Dense::new(256), h);
    let h = g.apply(&twice, h);
    let h = g.op(Concatenate::new(), &[h, table]);
    let h = g.add(Dense::new(512).kernel_regularizer(Regularizer::L2(1e-3)), h);
    let h = g.add(BatchNorm::default(), h);
    let h = g.add(Dropout::new(0.2), h);
    let y = g.add(Dense::new(3).activation(Activation::Softmax), h);
    let mut model = g.build([y], 5).unwrap();
    model.set_trainable("frozen", false).unwrap();
    let adam = Adam::default().global_clipnorm(0.5).gradient_accumulation_steps(accumulate);
    model.compile(adam, SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    model
}

#[test]
fn gradients_that_travel_early_end_with_the_bits_of_one_process() {
    let (x, y) = data();
    let id = Tensor::from_fn([N, 2], |i| (i * 37 % 3000) as f32);
    for (accumulate, shards) in [(1, 6), (1, 12), (2, 5)] {
        let run = |how: Fit<'_>| {
            let mut model = large(accumulate);
            // The last batch has fewer rows than there are shards.
            let how = how.epochs(1).batch_size(25).verbose(Verbose::Silent);
            let history = model.fit([&x, &id], &y, &how).unwrap();
            end(&model, history)
        };
        let alone = run(Fit::default().shards(shards));
        for ranks in [2, 3, 5] {
            let all = Threads::run(ranks, |world| {
                run(Fit::default().shards(shards).distributed(world).shard_optimizer(ranks == 3))
            });
            for (rank, own) in all.iter().enumerate() {
                assert_eq!(own.history, alone.history, "rank {rank} of {ranks}, {shards} shards");
                assert!(*own == alone, "rank {rank} of {ranks}, {shards} shards: weights differ");
            }
        }
    }
}

/// A world that says whether gradients travel early, and counts how often ranks exchange them.
#[derive(Debug)]
struct Counting<'a> {
    world: &'a Threads,
    early: bool,
    gradients: AtomicUsize,
    bytes: AtomicUsize,
    /// The threads that exchange gradients.
    threads: Mutex<HashSet<ThreadId>>,
}

impl<'a> Counting<'a> {
    fn new(world: &'a Threads, early: bool) -> Self {
        let none = || AtomicUsize::new(0);
        Counting { world, early, gradients: none(), bytes: none(), threads: Mutex::default() }
    }
}

impl World for Counting<'_> {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn size(&self) -> usize {
        self.world.size()
    }

    fn exchange(&self, what: &'static str, sends: &[Sent<'_>], receives: &mut [Received<'_>]) -> Result<(), Error> {
        if what == "gradients" {
            self.gradients.fetch_add(1, Ordering::Relaxed);
            self.threads.lock().unwrap().insert(std::thread::current().id());
            self.bytes.fetch_add(sends.iter().map(|(_, bytes)| bytes.len()).sum(), Ordering::Relaxed);
        }
        self.world.exchange(what, sends, receives)
    }

    fn abort(&self, message: &str) {
        self.world.abort(message);
    }

    fn overlaps(&self) -> bool {
        self.early
    }
}

#[test]
fn biases_alone_take_few_exchanges() {
    const LAYERS: usize = 40;
    const WIDTH: usize = 70;
    let (x, y) = data();
    let run = |how: Fit<'_>| {
        let mut model = Sequential::new([6]);
        for _ in 0..LAYERS {
            model = model.add(Dense::new(WIDTH).activation(Activation::Tanh));
        }
        let mut model = model.add(Dense::new(3).activation(Activation::Softmax)).build(5).unwrap();
        for layer in 0..=LAYERS {
            let name = if layer == 0 { "dense".to_owned() } else { format!("dense_{layer}") };
            model.set_trainable(&format!("{name}/kernel"), false).unwrap();
        }
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
        // Two steps.
        let how = how.epochs(1).batch_size(60).verbose(Verbose::Silent).shards(5);
        let history = model.fit(&x, &y, &how).unwrap();
        end(&model, history)
    };
    let alone = run(Fit::default());
    for early in [false, true] {
        let all = Threads::run(2, |world| {
            let world = Counting::new(world, early);
            let own = run(Fit::default().distributed(&world));
            (own, world.gradients.into_inner(), world.bytes.into_inner())
        });
        for (own, exchanges, bytes) in all {
            assert!(own == alone, "weights differ");
            assert_eq!(exchanges, 2, "of two steps");
            // No kernel travels. A rank has two roots of five shards at most, and sends half of each.
            assert!(bytes <= 2 * 2 * (LAYERS * WIDTH + 4) / 2 * size_of::<f32>(), "{bytes} bytes");
        }
    }
}

#[test]
fn faults_while_gradients_travel_reach_all_ranks() {
    let (x, y) = data();
    let id = Tensor::zeros([N, 2]);
    let how = Fit::default().verbose(Verbose::Silent);
    let rows = |of: &Tensor, value: f32| {
        let mut of = of.clone();
        of.row_mut(90).fill(value);
        of
    };
    // A loss that is not finite in rows of the last rank.
    let (nan, bad) = (rows(&x, f32::NAN), rows(&y, 7.0));
    let errors = Threads::run(3, |world| {
        let how = how.clone().batch_size(N).shuffle(false).distributed(world);
        large(1).fit([&nan, &id], &y, &how).unwrap_err().to_string()
    });
    errors.iter().for_each(|e| assert!(e.contains("the loss became NaN in epoch 1, step 1"), "{e}"));
    assert!(errors[2].contains("row 90") && errors[0].contains("another rank"), "{errors:?}");
    // A target that is none, which the rank alone sees that loads it.
    let data = Samples::several([x, id], [bad]).unwrap().batch(N);
    let errors = Threads::run(3, |world| {
        large(1).fit_dataset(&data, &how.clone().distributed(world), &mut []).unwrap_err().to_string()
    });
    assert!(errors[2].contains("90"), "{}", errors[2]);
    errors[..2].iter().for_each(|e| assert!(e.starts_with("rank 2: ") && e.contains("90"), "{e}"));
}

/// A model in f64 with synchronised statistics in several places: two in a row, one in a residual block, one that two places share.
fn synchronised(masked: bool) -> Model<f64> {
    let norm = || BatchNorm::new().momentum(0.8).synchronized(true);
    let mut g = Graph::new();
    let mut h = g.input("x", [8]);
    if masked {
        h = g.add(Embedding::new(6, 5).mask_zero(true), h);
        h = g.add(norm(), h);
        h = g.add(TimeDistributed::new(norm()), h);
    } else {
        h = g.add(Reshape::new([4, 2]), h);
        h = g.add(Conv1d::new(5, 2).padding(Padding::Same), h);
    }
    h = g.add(norm().activation(Activation::Tanh), h);
    h = g.add(norm().scale(false), h);
    h = g.add(Residual::new().add(Dense::new(5)).add(norm()).add(Activation::Gelu), h);
    let y = g.add(Dense::new(4).activation(Activation::Softmax), h);
    let mut model = g.build_as::<f64>([y], 5).unwrap();
    model
        .compile(Sgd::default().learning_rate(0.2), SparseCategoricalCrossentropy::default(), [Accuracy::default()])
        .unwrap();
    model
}

#[test]
fn synchronised_statistics_are_those_of_the_batch() {
    for masked in [false, true] {
        let steps = if masked { 8 } else { 4 };
        let ids = |i: usize| if i % 8 < 2 + (i / 8) % 6 { 1.0 + (i % 5) as f64 } else { 0.0 };
        let x = Tensor::<f64>::from_fn([33, 8], ids);
        let y = Tensor::<f64>::from_fn([33, steps], |i| ((i * 5) % 4) as f64);
        // Some of the rows weigh nothing, so that a shard of which none counts is among them.
        let weights: Vec<f64> = (0..33).map(|i| if i % 11 < 3 { 0.0 } else { 0.5 + (i % 3) as f64 }).collect();
        let train = |shards: Option<usize>, weighted: bool| {
            let mut model = synchronised(masked);
            let how = Fit::default().epochs(3).batch_size(10).shuffle(false).verbose(Verbose::Silent);
            let how = if weighted { how.sample_weight(&weights) } else { how };
            let how = shards.iter().fold(how, |how, &shards| how.shards(shards));
            let history = model.fit(&x, &y, &how).unwrap();
            (model.params().values().to_vec(), history)
        };
        for weighted in [false, true] {
            let (plain, history) = train(None, weighted);
            // The last batch has 3 rows, so that shards are empty.
            for shards in [1, 2, 3, 5] {
                let (values, other) = train(Some(shards), weighted);
                for (i, (a, b)) in values.iter().zip(&plain).enumerate() {
                    let near = (a - b).abs() <= 1e-10 * b.abs().max(1e-2);
                    assert!(near, "{a} and {b}, value {i}, {shards} shards, masked {masked}, weighted {weighted}");
                    assert!(shards > 1 || a == b);
                }
                let losses = other.get("loss").unwrap().iter().zip(history.get("loss").unwrap());
                losses.for_each(|(a, b)| assert!((a - b).abs() < 1e-10, "{a} and {b}"));
            }
        }
    }
}

/// A model with all that has to do with synchronised statistics, on a world or alone.
fn run_synchronised(how: Fit<'_>, recompute: bool) -> End {
    let (x, y) = data();
    let norm = || BatchNorm::new().synchronized(true);
    let block = || Residual::new().add(Dense::new(24)).add(norm()).add(Activation::Relu).add(Dropout::new(0.3));
    let mut model = Sequential::new([6])
        .add(Dense::new(24).kernel_regularizer(Regularizer::L2(1e-3)))
        .add(norm())
        .add(block())
        .add(block())
        .add(BatchNorm::new())
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(7)
        .unwrap();
    model.recompute_activations(recompute);
    let adam = Adam::default().learning_rate(0.01).global_clipnorm(0.5).gradient_accumulation_steps(2);
    model.compile(adam, SparseCategoricalCrossentropy::default(), (Accuracy::default(), F1Score::default())).unwrap();
    let how = how.epochs(3).batch_size(20).validation_split(0.2).verbose(Verbose::Silent);
    let history = model.fit(&x, &y, &how).unwrap();
    end(&model, history)
}

#[test]
fn synchronised_statistics_have_the_same_bits_on_any_number_of_ranks() {
    let alone = run_synchronised(Fit::default().shards(12), false);
    assert!(run_synchronised(Fit::default().shards(12), true) == alone, "computed again");
    for ranks in [1, 2, 3, 4, 6] {
        let all = Threads::run(ranks, |world| {
            let how = Fit::default().shards(12).distributed(world).shard_optimizer(ranks % 2 == 0);
            run_synchronised(how, ranks == 3)
        });
        all.iter().for_each(|own| assert!(*own == alone, "{ranks} ranks"));
    }
}

#[test]
fn one_bad_row_ends_a_synchronised_run_on_all_ranks() {
    let (mut x, y) = data();
    x.as_mut_slice()[6 * 17 + 2] = f32::NAN;
    let errors = Threads::run(3, |world| {
        let mut model = Sequential::new([6])
            .add(BatchNorm::new().synchronized(true))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build(1)
            .unwrap();
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
        let how = Fit::default().batch_size(N).shuffle(false).verbose(Verbose::Silent).distributed(world);
        model.fit(&x, &y, &how).unwrap_err().to_string()
    });
    assert!(errors[0].contains("row 17, column 2"), "{}", errors[0]);
    for error in &errors {
        assert!(error.contains("the loss became NaN in epoch 1, step 1"), "{error}");
    }
    errors[1..].iter().for_each(|error| assert!(error.contains("another rank"), "{error}"));
}

#[test]
fn synchronised_statistics_of_rows_that_do_not_count_and_of_frozen_layers() {
    let x = Tensor::<f64>::from_fn([12, 3], |i| ((i * 7) % 11) as f64 * 0.3 - 1.0);
    // Rows 4 to 7, one of three shards, have targets that do not count, and are in the statistics all the same.
    let y = Tensor::<f64>::from_fn([12, 1], |i| if (4..8).contains(&i) { 3.0 } else { (i % 3) as f64 });
    let train = |shards: Option<usize>, frozen: bool| {
        let norm = BatchNorm::new().momentum(0.5).synchronized(true);
        let mut model = Sequential::new([3])
            .add(Dense::new(4).activation(Activation::Tanh))
            .add(Block::new().add(norm))
            .add(Dense::new(4).activation(Activation::Softmax))
            .build_as::<f64>(2)
            .unwrap();
        model.set_trainable("block", !frozen).unwrap();
        let loss = SparseCategoricalCrossentropy::default().ignore_class(3);
        model.compile(Sgd::default().learning_rate(0.5), loss, ()).unwrap();
        let how = Fit::default().epochs(4).batch_size(12).shuffle(false).verbose(Verbose::Silent);
        let how = shards.iter().fold(how, |how, &shards| how.shards(shards));
        model.fit(&x, &y, &how).unwrap();
        model.params().values().to_vec()
    };
    for frozen in [false, true] {
        let plain = train(None, frozen);
        for shards in [2, 3, 7] {
            for (a, b) in train(Some(shards), frozen).iter().zip(&plain) {
                assert!((a - b).abs() <= 1e-10 * b.abs().max(1e-2), "{a} and {b}, {shards} shards, frozen {frozen}");
            }
        }
    }
}

#[test]
fn synchronised_statistics_are_a_setting_of_the_model() {
    let (x, y) = data();
    let fit = |model: &mut Model| {
        let how = Fit::default().epochs(1).batch_size(20).shards(4).verbose(Verbose::Silent);
        model.fit(&x, &y, &how).unwrap();
        model.params().values().to_vec()
    };
    let build = |synchronized: bool| {
        let norm = BatchNorm::new().synchronized(synchronized);
        let head = Dense::new(3).activation(Activation::Softmax);
        let mut model = Sequential::new([6]).add(Dense::new(5)).add(norm).add(head).build(1).unwrap();
        model.compile(Sgd::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
        model
    };
    let path = file("synchronised");
    build(true).save(&path).unwrap();
    let mut loaded = Model::load(&path).unwrap();
    let expected = fit(&mut build(true));
    assert_eq!(fit(&mut loaded), expected);
    assert!(fit(&mut build(false)) != expected);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn gradients_travel_on_one_thread_a_run() {
    let (x, y) = data();
    let all = Threads::run(2, |world| {
        let world = Counting::new(world, true);
        let mut model =
            Sequential::new([6]).add(Dense::new(400)).add(Dense::new(400)).add(Dense::new(3)).build(1).unwrap();
        model.compile(Sgd::default(), SparseCategoricalCrossentropy::default().from_logits(true), ()).unwrap();
        let how = Fit::default().epochs(2).batch_size(60).verbose(Verbose::Silent);
        model.fit(&x, &y, &how.distributed(&world)).unwrap();
        (world.gradients.into_inner(), world.threads.into_inner().unwrap())
    });
    for (exchanges, threads) in all {
        // Four steps of two stages.
        assert_eq!((exchanges, threads.len()), (8, 1));
        assert!(!threads.contains(&std::thread::current().id()));
    }
}

/// A layer that copies its input, and panics on one of its ways back.
#[derive(Clone, Debug)]
struct Panics(Arc<AtomicUsize>);

impl Layer for Panics {
    fn class(&self) -> &'static str {
        "Panics"
    }

    fn build(&mut self, input: Shape, _: &mut Builder) -> Result<Shape, Error> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_>, _: &mut Slot, x: &Tensor, y: &mut Tensor) {
        y.copy_from(x);
    }

    fn backward(
        &self,
        _: &mut Pass<'_>,
        _: &mut Slot,
        _: &Tensor,
        _: &Tensor,
        dy: &mut Tensor,
        dx: Option<&mut Tensor>,
    ) {
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) == Ok(1) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if let Some(dx) = dx {
            dx.copy_from(dy);
        }
    }
}

#[test]
fn a_step_after_a_panic_in_a_layer_is_one_like_any_other() {
    let (x, y) = data();
    // After so many ways back, of a model with synchronised statistics or without.
    let compiled = |after: usize, synchronised: bool, accumulate: u64| {
        let left = Arc::new(AtomicUsize::new(after));
        let mut g = Graph::new();
        let x = g.input("x", [6]);
        // A panic within a sum, whose operands are in its hands meanwhile.
        let a = g.add(Dense::new(400).activation(Activation::Tanh), x);
        let a = match synchronised {
            true => g.add(BatchNorm::new().synchronized(true), a),
            false => a,
        };
        let b = g.add(Panics(left.clone()), a);
        let h = g.op(Add::new(), &[a, b]);
        let h = g.add(Dense::new(400).activation(Activation::Tanh), h);
        let y = g.add(Dense::new(3).activation(Activation::Softmax), h);
        let mut model = g.build([y], 3).unwrap();
        let adam = Adam::default().gradient_accumulation_steps(accumulate);
        model.compile(adam, SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        (model, left)
    };
    let fit = |model: &mut Model, how: &Fit<'_>| {
        let history = model.fit(&x, &y, how).unwrap();
        end(model, history)
    };
    let caught = |model: &mut Model, how: &Fit<'_>| {
        let run = std::panic::AssertUnwindSafe(|| model.fit(&x, &y, how).is_ok());
        assert!(std::panic::catch_unwind(run).is_err());
    };
    let how = Fit::default().epochs(1).batch_size(52).verbose(Verbose::Silent);
    for (how, after, synchronised, accumulate) in [
        // One after a batch that has been added to the next update.
        (how.clone(), 2, false, 2),
        (how.clone().shards(3), 2, false, 1),
        (how.clone().shards(3), 4, false, 2),
        (how.clone().shards(3), 2, true, 1),
    ] {
        let expected = fit(&mut compiled(0, synchronised, accumulate).0, &how);
        let (mut model, left) = compiled(after, synchronised, accumulate);
        caught(&mut model, &how);
        assert!(fit(&mut model, &how) == expected, "{accumulate} batches an update, {synchronised}");
        // One batch by itself, which has the gradients of a model that nothing happened to.
        let mut other = compiled(0, synchronised, accumulate).0;
        left.store(after, Ordering::Relaxed);
        caught(&mut model, &how);
        other.copy_weights(&model, &LoadWeights::default()).unwrap();
        assert_eq!(model.gradients(&x, &y).unwrap(), other.gradients(&x, &y).unwrap());
    }
    // What begins with neither `fit` nor `gradients`: files, the search of a rate.
    let file = file("panic");
    let (mut model, left) = compiled(0, false, 2);
    fit(&mut model, &how);
    model.train_on_batch(&x, &y).unwrap();
    model.save_checkpoint(&file).unwrap();
    // The second batch of an update.
    let batch = |model: &mut Model| (model.train_on_batch(&x, &y).unwrap(), model.params().values().to_vec());
    let expected = batch(&mut model);
    left.store(1, Ordering::Relaxed);
    caught(&mut model, &how);
    // Nothing of what was half added up is written.
    let broken = file.with_extension("broken");
    model.save_checkpoint(&broken).unwrap();
    compiled(0, false, 2).0.resume(&broken).unwrap();
    std::fs::remove_file(broken).unwrap();
    model.resume(&file).unwrap();
    assert!(batch(&mut model) == expected, "resumed");
    let (mut model, left) = compiled(1, false, 2);
    model.resume(&file).unwrap();
    let run = std::panic::AssertUnwindSafe(|| model.find_learning_rate(&x, &y, &LearningRateFinder::default()).is_ok());
    assert!(std::panic::catch_unwind(run).is_err() && left.load(Ordering::Relaxed) == 0);
    assert!(batch(&mut model) == expected, "after a search");
    // While gradients travel, with moments divided among ranks.
    let expected = fit(&mut compiled(0, false, 1).0, &how);
    let all = Threads::run(2, |world| {
        let (mut model, _) = compiled(1, false, 1);
        caught(&mut model, &how.clone().shards(2).distributed(world).shard_optimizer(true));
        fit(&mut model, &how)
    });
    all.iter().for_each(|own| assert!(*own == expected, "on two ranks"));
    // In a callback, beside no step: the moments stay divided.
    let all = Threads::run(2, |world| {
        let (mut model, _) = compiled(0, false, 1);
        let mut end = LambdaCallback::default().on_epoch_end(|_, _, _| panic!("on purpose"));
        let how = how.clone().shards(2).distributed(world).shard_optimizer(true);
        let run = std::panic::AssertUnwindSafe(|| model.fit_with(&x, &y, &how, &mut [&mut end]).is_ok());
        assert!(std::panic::catch_unwind(run).is_err());
        let error = model.save_checkpoint(&file).unwrap_err().to_string();
        assert!(error.contains("moments are divided among ranks"), "{error}");
        let mut other = compiled(0, false, 1).0;
        other.copy_weights(&model, &LoadWeights::default()).unwrap();
        [&mut model, &mut other].map(|model| (model.train_on_batch(&x, &y).unwrap(), model.params().values().to_vec()))
    });
    all.iter().for_each(|[own, other]| assert!(own == other, "after a callback"));
    std::fs::remove_file(file).unwrap();
}

/// As many runs as the pool has threads, whose loaders need one of these themselves.
#[test]
fn runs_that_wait_for_batches_leave_the_pool_to_who_loads_them() {
    let fits = gradus::kernels::parallel::threads();
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..fits {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let source = Samples::new(Tensor::<f32>::zeros([64, 64]), Tensor::zeros([64, 512])).unwrap();
            let source = source.map(|_, _| {
                let mut values = vec![0.0f32; 1 << 10];
                let slow = |_, rows: &mut [f32]| {
                    std::thread::sleep(std::time::Duration::from_micros(200));
                    rows.fill(1.0);
                };
                gradus::kernels::parallel::rows(&mut values, 512, 1 << 20, slow);
            });
            let data = Prefetch::new(source.batch(8), 1).unwrap();
            for shards in [None, Some(2)] {
                let mut model = Sequential::new([64]).add(Dense::new(512)).build(0).unwrap();
                model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
                let how = Fit::default().epochs(2).verbose(Verbose::Silent);
                let how = shards.into_iter().fold(how, Fit::shards);
                model.fit_dataset(&data, &how, &mut []).unwrap();
            }
            sender.send(()).unwrap();
        });
    }
    for _ in 0..fits {
        receiver.recv_timeout(std::time::Duration::from_secs(120)).expect("runs wait for each other");
    }
}
