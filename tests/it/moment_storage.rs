//! Moments stored in bf16: beside those in f32, resumed anywhere, in files, refused by name.

use gradus::optimizers::OptimizerConfig;
use gradus::prelude::*;

fn silent<'a>() -> Fit<'a> {
    Fit::default().verbose(Verbose::Silent)
}

fn stored() -> AdamW {
    AdamW::default().learning_rate(0.003).moment_storage(MomentStorage::Bf16)
}

/// Digits with noise between the layers, so that a resumed run also needs its place in the draws.
fn model(seed: u64, optimizer: impl Optimizer<f32> + 'static) -> Model {
    let layers = Sequential::new([64]).add(Dense::new(24).activation(Activation::Relu)).add(Dropout::new(0.1));
    let mut model = layers.add(Dense::new(10)).build(seed).unwrap();
    let loss = SparseCategoricalCrossentropy::default().from_logits(true);
    model.compile(optimizer, loss, [Accuracy::default()]).unwrap();
    model
}

/// 600 of the digits.
fn digits() -> [Tensor; 2] {
    let data = gradus::data::digits();
    [data.x.map(|v| v / 16.0).rows(0..600).unwrap(), data.y.rows(0..600).unwrap()]
}

/// A network learns a function of two variables as well as with moments in f32: to losses that are the same to a tenth, a thousandth of the
/// first and less. Plain rounding, with which the second moment stands still, ends a fifth above them.
#[test]
fn a_model_learns_as_with_moments_in_f32() {
    let x = Tensor::from_fn([512, 2], |i| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0);
    let y = Tensor::from_fn([512, 1], |i| {
        let [a, b] = [x.as_slice()[2 * i], x.as_slice()[2 * i + 1]];
        (3.0 * a).sin() * b + 0.5 * a * a
    });
    let train = |storage: MomentStorage, seed: u64| {
        let layers = Sequential::new([2]).add(Dense::new(32).activation(Activation::Tanh));
        let mut model = layers.add(Dense::new(32).activation(Activation::Tanh)).add(Dense::new(1)).build(seed).unwrap();
        let adam = Adam::default().learning_rate(CosineDecay::new(0.01, 1600)).moment_storage(storage);
        model.compile(adam, MeanSquaredError::default(), ()).unwrap();
        let before = model.evaluate(&x, &y).unwrap().loss;
        model.fit(&x, &y, &silent().epochs(100).batch_size(32)).unwrap();
        let after = model.evaluate(&x, &y).unwrap().loss;
        assert!(after < 0.01 * before, "seed {seed}, {storage:?}: {before} to {after}");
        after.ln()
    };
    for seed in 1..=4 {
        let [single, bf16] = [MomentStorage::AsWeights, MomentStorage::Bf16].map(|storage| train(storage, seed));
        let apart = (bf16 - single).abs();
        assert!(apart < 0.1, "seed {seed}: losses {:e} with moments in f32, {:e} in bf16", single.exp(), bf16.exp());
    }
}

/// A loop of one's own makes the same steps: both draw by the model's seed.
#[test]
fn a_training_loop_rounds_alike() {
    let (x, y) = (Tensor::from_fn([8, 4], |i| (i as f32).sin()), Tensor::from_fn([8, 3], |i| (i as f32).cos()));
    let build = |seed: u64| {
        let mut model = Sequential::new([4]).add(Dense::new(3)).build(1).unwrap();
        if seed != 1 {
            let weights = model.params().values().to_vec();
            model = Sequential::new([4]).add(Dense::new(3)).build(seed).unwrap();
            model.values_mut().copy_from_slice(&weights);
        }
        model.compile(stored(), MeanSquaredError::default(), ()).unwrap();
        model
    };
    let by_batches = |seed: u64| {
        let mut model = build(seed);
        (0..5).for_each(|_| assert!(model.train_on_batch(&x, &y).is_ok()));
        model.params().values().to_vec()
    };
    let mut own = build(1);
    let mut steps = own.training_loop();
    for _ in 0..5 {
        steps.forward(&own, &[&x]).unwrap();
        let out = steps.output(&own, 0).unwrap().clone();
        let dy = steps.output_gradient(&own, 0).unwrap();
        let rows = y.as_slice().chunks(3).zip(out.as_slice().chunks(3)).zip(dy.as_mut_slice().chunks_mut(3));
        rows.for_each(|((t, y), dy)| MeanSquaredError::default().gradient(t, y, 0.125, dy));
        steps.backward(&own, &[&x]).unwrap();
        steps.apply(&mut own).unwrap();
    }
    assert_eq!(own.params().values(), by_batches(1));
    assert_ne!(by_batches(2), by_batches(1));
}

#[test]
fn compile_refuses_what_has_no_such_moments() {
    let mut single = Sequential::new([2]).add(Dense::new(1)).build(0).unwrap();
    let mut double = Sequential::new([2]).add(Dense::new(1)).build_as::<f64>(0).unwrap();
    let adagrad = Adagrad::default().moment_storage(MomentStorage::Bf16);
    let error = single.compile(adagrad, MeanSquaredError::default(), ()).unwrap_err().to_string();
    assert!(error.starts_with("adagrad: moment_storage must be AsWeights here, as a sum that only grows"), "{error}");
    let error = double.compile(stored(), MeanSquaredError::default(), ()).unwrap_err().to_string();
    assert!(error.starts_with("adamw: moment_storage must be AsWeights for weights in f64"), "{error}");

    /// A rule from outside that says nothing of its moments.
    #[derive(Debug)]
    struct Momentum(gradus::optimizers::Options);
    impl Optimizer<f32> for Momentum {
        fn name(&self) -> &'static str {
            "momentum"
        }
        fn options(&self) -> &gradus::optimizers::Options {
            &self.0
        }
        fn moments(&self) -> Vec<f64> {
            vec![0.0]
        }
        fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> gradus::optimizers::Coefficients {
            [lr, 0.0, 0.0, 0.0, 0.0, 0.0]
        }
        fn update(
            &self,
            _: &gradus::optimizers::Coefficients,
            _: Shape,
            _: &mut [f32],
            _: &[f32],
            _: gradus::optimizers::Moments<'_, f32>,
        ) {
        }
    }
    let options = gradus::optimizers::Options { moment_storage: MomentStorage::Bf16, ..Default::default() };
    let error = single.compile(Momentum(options), MeanSquaredError::default(), ()).unwrap_err().to_string();
    assert!(error.starts_with("momentum: moment_storage must be") && error.contains("check_bf16_moments"), "{error}");
}

#[cfg(feature = "files")]
mod files {
    use gradus::io::Archive;

    use super::*;
    use crate::files::Folder;

    /// Kind and values of a moment in a checkpoint.
    fn moment(path: &std::path::Path, number: usize) -> (String, Vec<f32>) {
        let mut archive = Archive::open(path).unwrap();
        let name = format!("@optimizer/moment_{number}");
        let found = archive.arrays().iter().find(|stored| stored.name == name).unwrap().clone();
        let mut values = vec![0.0; found.len()];
        archive.read(&found, &mut values).unwrap();
        (found.kind(), values)
    }

    /// Stopped after any batch and gone on with, on other numbers of threads: the same bits as in one go.
    #[test]
    fn a_run_stopped_anywhere_ends_with_the_same_bits() {
        let folder = Folder::new("bf16_resume");
        let [x, y] = digits();
        let fit = |model: &mut Model, checkpoint: Option<&Checkpoint>, stop: usize| {
            let mut batches = 0;
            let mut stopping = LambdaCallback::default().on_batch_end(|_, _, _| {
                batches += 1;
                if batches == stop { Err(Error::custom("stop")) } else { Ok(()) }
            });
            let mut how = silent().epochs(3);
            if let Some(checkpoint) = checkpoint {
                how = how.checkpoint(checkpoint);
            }
            model.fit_with(&x, &y, &how, &mut [&mut stopping]).map(|history| history.epochs)
        };
        let mut whole = model(5, stored());
        fit(&mut whole, None, usize::MAX).unwrap();
        // In the first epoch, at the end of one, in the middle of the last.
        for (i, stop) in [3, 19, 45].into_iter().enumerate() {
            let path = folder.path(&format!("run_{i}"));
            let checkpoint = Checkpoint::new(&path).every_steps(1).background(i == 0);
            assert!(fit(&mut model(5, stored()), Some(&checkpoint), stop).is_err());
            assert_eq!(moment(&path, 1).0, "BF16");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1 + i).build().unwrap();
            let mut rest = model(5, stored());
            assert_eq!(pool.install(|| fit(&mut rest, Some(&checkpoint), usize::MAX)).unwrap(), [0, 1, 2]);
            assert!(rest.params() == whole.params(), "stopped after {stop} batches");
        }
        // Another seed draws otherwise.
        let mut other = model(6, stored());
        other.values_mut().copy_from_slice(model(5, stored()).params().values());
        fit(&mut other, None, usize::MAX).unwrap();
        assert!(other.params() != whole.params());
        // The checkpoint is smaller by half of the moments.
        let size = |optimizer: AdamW, name: &str| {
            let model = model(5, optimizer);
            model.save_checkpoint(folder.path(name)).unwrap();
            (std::fs::metadata(folder.path(name)).unwrap().len(), model.params().len() as u64)
        };
        let ((wide, n), (narrow, _)) =
            (size(stored().moment_storage(MomentStorage::AsWeights), "wide"), size(stored(), "narrow"));
        assert!((wide - narrow).abs_diff(4 * n) < 100, "{wide} and {narrow} bytes of {n} weights");
    }

    /// Another storage is another setting: refused, or converted where changes are accepted.
    #[test]
    fn moments_of_another_storage() {
        let folder = Folder::new("bf16_changed");
        let [x, y] = digits();
        let wide = || stored().moment_storage(MomentStorage::AsWeights);
        let checkpoint = |optimizer: AdamW, name: &str| {
            let mut model = model(5, optimizer);
            model.fit(&x, &y, &silent().epochs(1)).unwrap();
            model.save_checkpoint(folder.path(name)).unwrap();
        };
        checkpoint(wide(), "wide");
        checkpoint(stored(), "narrow");
        let [from_wide, from_narrow] = ["wide", "narrow"].map(|name| folder.path(name));
        let refusal = |optimizer: AdamW, path: &std::path::Path| {
            let mut model = model(5, optimizer);
            let before = model.params().values().to_vec();
            let error = model.resume(path).unwrap_err().to_string();
            assert_eq!(model.params().values(), before);
            error
        };
        let error = refusal(stored(), &from_wide);
        assert!(error.contains("moment_storage: AsWeights then, Bf16 now; "), "{error}");
        let error = refusal(wide(), &from_narrow);
        assert!(error.contains("moment_storage: Bf16 then, AsWeights now; "), "{error}");

        let converted = |optimizer: AdamW, path: &std::path::Path| {
            let mut model = model(5, optimizer);
            model.resume_changed(path).unwrap();
            model.save_checkpoint(folder.path("again")).unwrap();
            let moments = [0, 1].map(|i| moment(&folder.path("again"), i));
            let history = model.fit(&x, &y, &silent().epochs(2)).unwrap();
            assert!(history.get("loss").unwrap()[1] < history.get("loss").unwrap()[0]);
            moments
        };
        // All bf16 numbers are numbers in f32.
        for (i, (kind, values)) in converted(wide(), &from_narrow).into_iter().enumerate() {
            assert_eq!((kind.as_str(), values), ("F32", moment(&from_narrow, i).1));
        }
        for (i, (kind, values)) in converted(stored(), &from_wide).into_iter().enumerate() {
            assert_eq!(kind, "BF16");
            let exact = moment(&from_wide, i).1;
            assert!(values.iter().zip(&exact).all(|(v, e)| (v - e).abs() <= e.abs() / 128.0));
            assert!(values != exact);
        }
        // What is of no number that fits is an error either way.
        let mut lion = model(5, Lion::default().moment_storage(MomentStorage::Bf16));
        assert!(lion.resume_changed(&from_narrow).unwrap_err().to_string().contains("optimizer adamw is not that of"));
    }

    /// In the file of a model as in the optimizer's configuration.
    #[test]
    fn the_configuration_comes_back() {
        let folder = Folder::new("bf16_config");
        let text = |optimizer: AdamW| serde_json::to_string(&Optimizer::<f32>::config(&optimizer)).unwrap();
        assert!(text(stored()).contains("\"moment_storage\":\"bf16\""), "{}", text(stored()));
        assert!(!text(AdamW::default()).contains("moment_storage"));
        let again: OptimizerConfig = serde_json::from_str(&text(stored())).unwrap();
        let again = again.into_optimizer::<f32>().unwrap();
        assert_eq!(format!("{again:?}"), format!("{:?}", stored()));

        let [x, y] = digits();
        let mut first = model(5, stored());
        first.save(folder.path("m")).unwrap();
        let mut second = Model::load(folder.path("m")).unwrap();
        for model in [&mut first, &mut second] {
            model.fit(&x, &y, &silent().epochs(1)).unwrap();
        }
        assert_eq!(first.params(), second.params());
        let mut plain = model(5, stored().moment_storage(MomentStorage::AsWeights));
        plain.fit(&x, &y, &silent().epochs(1)).unwrap();
        assert_ne!(first.params(), plain.params());
    }
}
