//! Accumulation, freezing, learning-rate factors, penalties and bounds: against Keras, by hand, and to the bit.

use gradus::gradcheck::check_model;
use gradus::prelude::*;

/// A case that tests/interop/training_options.py wrote.
struct Case {
    rows: usize,
    x: Tensor<f64>,
    y: Tensor<f64>,
    initial: Vec<f64>,
    losses: Vec<f64>,
    final_weights: Vec<f64>,
    evaluate: f64,
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

impl Case {
    fn read(name: &str) -> Self {
        let path = format!("{}/fixtures/options/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let case: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let tensor = |key: &str| {
            let values = numbers(&case[key]);
            let n = case[key].as_array().unwrap().len();
            Tensor::new([n, values.len() / n], values).unwrap()
        };
        Case {
            rows: case["rows"].as_u64().unwrap() as usize,
            x: tensor("x"),
            y: tensor("y"),
            initial: numbers(&case["initial"]),
            losses: numbers(&case["losses"]),
            final_weights: numbers(&case["final"]),
            evaluate: case["evaluate"].as_f64().unwrap(),
        }
    }

    /// Trains a built and compiled model as Keras was trained.
    fn check(&self, mut model: Model<f64>) {
        let close = |got: f64, expected: f64, what: &str| {
            assert!((got - expected).abs() < 1e-9, "{what}: {got}, expected {expected}");
        };
        model.values_mut().copy_from_slice(&self.initial);
        for (i, expected) in self.losses.iter().enumerate() {
            let rows = i * self.rows..(i + 1) * self.rows;
            let (x, y) = (self.x.rows(rows.clone()).unwrap(), self.y.rows(rows).unwrap());
            close(model.train_on_batch(&x, &y).unwrap(), *expected, &format!("loss of batch {i}"));
        }
        for (i, (w, expected)) in model.params().values().iter().zip(&self.final_weights).enumerate() {
            close(*w, *expected, &format!("weight {i}"));
        }
        close(model.evaluate(&self.x, &self.y).unwrap().loss, self.evaluate, "evaluate");
    }
}

/// The model of `bounded`, with as many batches an update.
fn bounded(batches: u64) -> Model<f64> {
    let hidden = Dense::new(5)
        .activation(Activation::Tanh)
        .kernel_regularizer(Regularizer::L1L2 { l1: 0.015625, l2: 0.03125 })
        .bias_regularizer(Regularizer::L1(0.015625))
        .kernel_constraint(Constraint::max_norm(1.1))
        .bias_constraint(Constraint::NonNeg);
    let slopes =
        PRelu::new().alpha_regularizer(Regularizer::L2(0.0625)).alpha_constraint(Constraint::min_max_norm(0.2, 0.9));
    let head = Dense::new(3)
        .activation(Activation::Softmax)
        .kernel_regularizer(Regularizer::OrthogonalColumns(0.1))
        .kernel_constraint(Constraint::unit_norm().axis([1]));
    let mut model = Sequential::new([4]).add(hidden).add(slopes).add(head).build_as(0).unwrap();
    let optimizer = Sgd::default().learning_rate(0.1).momentum(0.875).gradient_accumulation_steps(batches);
    model.compile(optimizer, CategoricalCrossentropy::default(), ()).unwrap();
    model
}

#[test]
fn keras_bounded() {
    Case::read("bounded").check(bounded(3));
}

#[test]
fn keras_partly_bounded() {
    let hidden = Dense::new(3)
        .kernel_regularizer(Regularizer::OrthogonalRows(0.2))
        .kernel_constraint(Constraint::min_max_norm(0.1, 0.6).rate(0.3));
    let mut model = Sequential::new([4]).add(hidden).add(Dense::new(2)).build_as(0).unwrap();
    let optimizer = Adam::default().learning_rate(0.02).global_clipnorm(0.5);
    model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
    Case::read("partly_bounded").check(model);
}

#[test]
fn keras_activity() {
    let head = Dense::new(3).activation(Activation::Softmax);
    let mut model = Sequential::new([4])
        .add(Dense::new(5).activation(Activation::Sigmoid).activity_regularizer(Regularizer::L2(0.125)))
        .add(ActivityRegularization::new().l1(0.0625).l2(0.015625))
        .add(head.activity_regularizer(Regularizer::L1L2 { l1: 0.03125, l2: 0.25 }))
        .build_as(0)
        .unwrap();
    model.compile(Sgd::default().learning_rate(0.3), CategoricalCrossentropy::default(), ()).unwrap();
    let case = Case::read("activity");
    let (x, y) = (case.x.rows(0..5).unwrap(), case.y.rows(0..5).unwrap());
    check_model(&mut model, &x, &y).unwrap();
    case.check(model);
}

#[test]
fn keras_frozen() {
    let middle = Dense::new(4)
        .activation(Activation::Tanh)
        .kernel_regularizer(Regularizer::L2(0.5))
        .kernel_constraint(Constraint::NonNeg);
    let mut model = Sequential::new([4])
        .add(Dense::new(5).activation(Activation::Tanh))
        .add(middle)
        .trainable(false)
        .add(Dense::new(2).kernel_regularizer(Regularizer::L2(0.015625)))
        .build_as(0)
        .unwrap();
    let optimizer = Sgd::default().learning_rate(0.05).momentum(0.5).weight_decay(0.1);
    model.compile(optimizer.ema(0.8).ema_overwrite_frequency(2), MeanSquaredError::default(), ()).unwrap();
    assert_eq!((model.summary().parameters, model.summary().trainable), (59, 35));
    Case::read("frozen").check(model);
}

#[test]
fn penalised_gradients_by_differences() {
    let case = Case::read("bounded");
    let mut model = bounded(1);
    model.values_mut().copy_from_slice(&case.initial);
    check_model(&mut model, &case.x.rows(0..7).unwrap(), &case.y.rows(0..7).unwrap()).unwrap();
}

fn wave(shape: [usize; 2], phase: f64) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (i as f64 * 0.83 + phase).sin())
}

fn plain(optimizer: impl Optimizer<f64> + 'static) -> Model<f64> {
    let hidden = Dense::new(7).activation(Activation::Tanh).kernel_regularizer(Regularizer::L2(0.01));
    let mut model = Sequential::new([5]).add(hidden).add(Dense::new(2)).build_as(3).unwrap();
    model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
    model
}

fn silent<'a>(epochs: usize, rows: usize) -> Fit<'a, f64> {
    Fit::default().epochs(epochs).batch_size(rows).shuffle(false).verbose(Verbose::Silent)
}

/// Four batches of 6 are one batch of 24; the count goes on over the ends of epochs of 3 batches.
#[test]
fn batches_accumulate_to_one() {
    fn check<O: Optimizer<f64> + OptimizerOptions + Clone + 'static>(optimizer: O) {
        let (x, y) = (wave([72, 5], 0.0), wave([72, 2], 1.0));
        let mut large = plain(optimizer.clone());
        large.fit(&x, &y, &silent(1, 24)).unwrap();
        let mut small = plain(optimizer.gradient_accumulation_steps(4));
        for epoch in 0..4 {
            let rows = epoch * 18..(epoch + 1) * 18;
            small.fit(&x.rows(rows.clone()).unwrap(), &y.rows(rows).unwrap(), &silent(1, 6)).unwrap();
        }
        for (a, b) in large.params().values().iter().zip(small.params().values()) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
    }
    check(Sgd::default().learning_rate(0.1));
    check(Adam::default().learning_rate(0.01).clipnorm(0.3));
    check(Adafactor::default().learning_rate(0.05));
}

/// Weights move at every fourth batch only, and neither `gradients` nor a batch without a finite loss disturbs the sum.
#[test]
fn what_has_been_added_up_is_kept() {
    let (x, y) = (wave([6, 5], 0.0), wave([6, 2], 1.0));
    let mut model = plain(Sgd::default().gradient_accumulation_steps(4));
    let mut disturbed = plain(Sgd::default().gradient_accumulation_steps(4));
    let start = model.params().values().to_vec();
    let infinite = Tensor::full([6, 5], f64::MAX);
    for batch in 1..=8 {
        model.train_on_batch(&x, &y).unwrap();
        assert_eq!(model.params().values() == start, batch < 4, "batch {batch}");
        disturbed.gradients(&wave([3, 5], 2.0), &wave([3, 2], 0.0)).unwrap();
        let bad = disturbed.train_on_batch(&infinite, &Tensor::full([6, 2], -f64::MAX));
        assert!(matches!(bad, Err(Error::Diverged { .. })), "{bad:?}");
        disturbed.train_on_batch(&x, &y).unwrap();
    }
    assert_eq!(model.params().values(), disturbed.params().values());
}

/// Each batch between two updates has noise of its own, and the same noise however many threads there are.
#[test]
fn noise_differs_between_batches_and_threads_change_nothing() {
    let train = |threads: usize, batches: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let hidden = Dense::new(300).activation(Activation::Relu).kernel_regularizer(Regularizer::L1(1e-4));
            let hidden = hidden.kernel_constraint(Constraint::max_norm(0.5));
            let mut model =
                Sequential::new([40]).add(hidden).add(Dropout::new(0.4)).add(Dense::new(200)).build_as(1).unwrap();
            let optimizer = Adam::default().learning_rate(0.01).gradient_accumulation_steps(batches);
            model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
            let (x, y) = (wave([130, 40], 0.0), wave([130, 200], 1.0));
            let losses: Vec<f64> = (0..6).map(|_| model.train_on_batch(&x, &y).unwrap()).collect();
            (losses, model.params().values().to_vec())
        })
    };
    let (losses, weights) = train(1, 3);
    assert!(losses[0] != losses[1] && losses[1] != losses[2], "{losses:?}");
    for threads in [2, 3] {
        assert_eq!(train(threads, 3), (losses.clone(), weights.clone()));
    }
    assert_eq!(train(1, 1).0[0], losses[0]);
}

/// Frozen weights keep their bits and their moments; thawed ones go on with these.
#[test]
fn freezing_takes_effect_at_once() {
    fn check<O: Optimizer<f64> + OptimizerOptions + Clone + 'static>(optimizer: O) {
        let (x, y) = (wave([12, 5], 0.0), wave([12, 2], 1.0));
        let mut model = plain(optimizer.clone().weight_decay(0.1).ema(0.9));
        let step = |model: &mut Model<f64>| {
            model.train_on_batch(&x, &y).unwrap();
            model.params().values().to_vec()
        };
        let before = step(&mut model);
        model.set_trainable("dense", false).unwrap();
        model.set_trainable("dense_1/bias", false).unwrap();
        let after = step(&mut model);
        assert_eq!(before[..42], after[..42]);
        assert!(before[42..56].iter().zip(&after[42..56]).all(|(a, b)| a != b));
        assert_eq!(before[56..], after[56..]);
        let (_, gradients) = model.gradients(&x, &y).unwrap();
        assert!(gradients[..42].iter().chain(&gradients[56..]).all(|g| *g == 0.0));
        model.set_trainable("dense", true).unwrap();
        let thawed = step(&mut model);
        assert!(after[..42].iter().zip(&thawed[..42]).all(|(a, b)| a != b));
        assert_eq!(after[56..], thawed[56..]);
    }
    check(Sgd::default().momentum(0.9));
    check(Adam::default());
    check(Adafactor::default());
    check(Nadam::default().clipnorm(1.0));
}

/// With moments untouched, a frozen and thawed model that sees nothing in between goes on as if nothing had happened.
#[test]
fn thawed_weights_find_their_moments() {
    fn check<O: Optimizer<f64> + OptimizerOptions + Clone + 'static>(optimizer: O) {
        let (x, y) = (wave([12, 5], 0.0), wave([12, 2], 1.0));
        let mut models = [plain(optimizer.clone()), plain(optimizer)];
        models.iter_mut().for_each(|m| assert!(m.train_on_batch(&x, &y).is_ok()));
        models[1].set_trainable("dense", false).unwrap();
        models[1].set_learning_rate_factor("dense_1", 0.5).unwrap();
        models[1].set_trainable("dense", true).unwrap();
        models[1].set_learning_rate_factor("dense_1", 1.0).unwrap();
        models.iter_mut().for_each(|m| assert!(m.train_on_batch(&x, &y).is_ok()));
        assert_eq!(models[0].params().values(), models[1].params().values());
    }
    check(Adam::default());
    check(Adafactor::default());
}

/// A factor of f for all layers is the learning rate times f, to the bit, for rules with and without numbers of their own;
/// one layer's factor leaves the others alone.
#[test]
fn factors_multiply_the_learning_rate() {
    fn check<O: Optimizer<f64> + OptimizerOptions + Clone + 'static>(optimizer: O) {
        let (x, y) = (wave([12, 5], 0.0), wave([12, 2], 1.0));
        let train = |rate: f64, factors: [f64; 2]| {
            let mut model = plain(optimizer.clone().learning_rate(rate).weight_decay(0.1));
            model.set_learning_rate_factor("dense", factors[0]).unwrap();
            model.set_learning_rate_factor("dense_1", factors[1]).unwrap();
            (0..3).for_each(|_| assert!(model.train_on_batch(&x, &y).is_ok()));
            model.params().values().to_vec()
        };
        assert_eq!(train(0.02, [0.5, 0.5]), train(0.01, [1.0, 1.0]));
        let once = |factors: [f64; 2]| {
            let mut model = plain(optimizer.clone().learning_rate(0.02));
            model.set_learning_rate_factor("dense", factors[0]).unwrap();
            model.set_learning_rate_factor("dense_1", factors[1]).unwrap();
            model.train_on_batch(&x, &y).unwrap();
            model.params().values().to_vec()
        };
        let (mixed, half, whole) = (once([0.5, 1.0]), once([0.5, 0.5]), once([1.0, 1.0]));
        assert_eq!(mixed[..42], half[..42]);
        assert_eq!(mixed[42..], whole[42..]);
        assert_ne!(half[..42], whole[..42]);
    }
    check(Sgd::default().momentum(0.9));
    check(Adam::default());
    check(Nadam::default());
    check(RmsProp::default());
    check(Ftrl::default());
    check(Lion::default());
    check(Adafactor::default());
}

#[test]
fn a_factor_of_zero_stands_still() {
    let (x, y) = (wave([12, 5], 0.0), wave([12, 2], 1.0));
    let mut model = plain(Sgd::default().weight_decay(0.1));
    model.set_learning_rate_factor("dense", 0.0).unwrap();
    let before = model.params().values().to_vec();
    model.train_on_batch(&x, &y).unwrap();
    assert_eq!(before[..42], model.params().values()[..42]);
    assert_ne!(before[42..], model.params().values()[42..]);
}

#[test]
fn containers_pass_settings_on() {
    let inner = Block::new().add(Dense::new(3)).trainable(false).add(Dense::new(3)).learning_rate_factor(0.5);
    let model = Sequential::new([3])
        .add(inner)
        .learning_rate_factor(0.5)
        .add(Residual::new().add(Dense::new(3)))
        .trainable(false)
        .build_as::<f64>(0)
        .unwrap();
    let specs = model.params().specs();
    assert_eq!(specs.iter().map(|s| s.frozen && !s.state).collect::<Vec<_>>(), [true, true, false, false, true, true]);
    let factors: Vec<_> = specs.iter().map(|s| s.learning_rate_factor).collect();
    assert_eq!(factors, [0.5, 0.5, 0.25, 0.25, 1.0, 1.0]);
    // Built again, all is as before.
    let specs = specs.to_vec();
    assert_eq!(model.discard_weights(0).unwrap().params().specs(), specs);
}

#[test]
fn statistics_stay_statistics() {
    let normalization = Normalization::from_stats([0.0, 1.0], [1.0, 4.0]);
    let mut model = Sequential::new([2]).add(normalization).add(Dense::new(1)).build_as::<f64>(0).unwrap();
    let states = |model: &Model<f64>| model.params().specs().iter().filter(|s| s.state && !s.trainable).count();
    assert_eq!(states(&model), 2);
    model.set_trainable("normalization", true).unwrap();
    assert_eq!(states(&model), 2);
    let name = model.params().specs()[0].name.clone();
    assert!(model.set_trainable(&name, true).unwrap_err().to_string().contains("not statistics"));
}

#[test]
fn impossible_settings() {
    let model = || Sequential::new([2]).add(Block::new().add(Dense::new(2))).add(Dense::new(1));
    let mut built = model().build(0).unwrap();
    for wrong in ["dens", "", "dense/kernel/", "block/dense_1", "kernel"] {
        let error = built.set_trainable(wrong, false).unwrap_err().to_string();
        assert!(error.contains("the path of a layer (block, dense, block/dense)"), "{error}");
        assert!(built.set_learning_rate_factor(wrong, 0.5).is_err());
    }
    built.set_trainable("block/dense", false).unwrap();
    for factor in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(built.set_learning_rate_factor("dense", factor).is_err());
        let error = model().learning_rate_factor(factor).build(0).unwrap_err().to_string();
        assert!(error.starts_with("layer 1 (dense): build: learning_rate_factor must be finite"), "{error}");
    }
    let early = Sequential::new([2]).trainable(false).add(Dense::new(1)).build(0).unwrap_err().to_string();
    assert!(early.contains("trainable(...) stands before the first layer"), "{early}");
    let none = Sgd::default().gradient_accumulation_steps(0);
    let error = built.compile(none, MeanSquaredError::default(), ()).unwrap_err().to_string();
    assert!(error.contains("gradient_accumulation_steps must be at least 1, got 0"), "{error}");
}

/// A layer of one's own registers both with a line each.
#[test]
fn a_layer_of_ones_own() {
    #[derive(Clone, Debug, Default)]
    struct Scale {
        gain: ParamId,
    }
    impl<T: Float> Layer<T> for Scale {
        fn class(&self) -> &'static str {
            "Scale"
        }
        fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape, Error> {
            self.gain = b.weight("gain", [1], &Init::Constant(2.0))?;
            b.regularize(self.gain, Regularizer::L2(0.25))?;
            b.constrain(self.gain, Constraint::max_norm(0.5))?;
            Ok(input)
        }
        fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
            let gain = pass.weight(self.gain)[0];
            y.as_mut_slice().iter_mut().zip(x).for_each(|(y, x)| *y = gain * *x);
        }
        fn backward(
            &self,
            pass: &mut Pass<'_, T>,
            _: &mut Slot<T>,
            x: &Tensor<T>,
            _: &Tensor<T>,
            dy: &mut Tensor<T>,
            dx: Option<&mut Tensor<T>>,
        ) {
            let gain = pass.weight(self.gain)[0];
            for gradient in pass.gradient(self.gain) {
                *gradient += x.iter().zip(&*dy).map(|(x, dy)| *x * *dy).sum();
            }
            if let Some(dx) = dx {
                dx.as_mut_slice().iter_mut().zip(&*dy).for_each(|(dx, dy)| *dx = gain * *dy);
            }
        }
    }
    gradus::gradcheck::check_custom_layer(Scale::default(), [3]).unwrap();
    let mut model = Sequential::new([1]).add(gradus::graph::F64(Scale::default())).build_as::<f64>(0).unwrap();
    model.compile(Sgd::default().learning_rate(0.0), MeanSquaredError::default(), ()).unwrap();
    let x = Tensor::from([[1.0]]);
    // (2·1 − 2)² + 0.25·2², and then no longer than 0.5.
    assert_eq!(model.train_on_batch(&x, &Tensor::from([[2.0]])).unwrap(), 1.0);
    assert!((model.weight("scale/gain").unwrap()[0] - 0.5).abs() < 1e-6);
}
