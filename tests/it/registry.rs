//! How a model was compiled goes into its file and comes back, with classes from outside the crate, and what a model carries.

use std::sync::atomic::{AtomicUsize, Ordering};

use gradus::io::Archive;
use gradus::layers::{LayerConfig, OpConfig};
use gradus::model::Registry;
use gradus::optimizers::{Coefficients, Moments};
use gradus::prelude::*;
use gradus::{Inputs, Op, Result};
use serde::{Deserialize, Serialize};

use crate::files::{Folder, silent};

fn classes(last: Activation) -> Model {
    let model = Sequential::new([4]).add(Dense::new(6).activation(Activation::Tanh)).add(Dropout::new(0.2));
    model.add(Dense::new(3).activation(last)).build(3).unwrap()
}

fn x() -> Tensor {
    Tensor::from_fn([12, 4], |i| ((i * i) as f32 * 0.37).sin())
}

/// A one-hot row a sample, or class numbers.
fn labels(numbers: bool) -> Tensor {
    let classes: Vec<usize> = (0..12).map(|i| i * i % 3).collect();
    let numbered = Tensor::from_labels(&classes);
    if numbers { numbered } else { one_hot(&numbered, 3).unwrap() }
}

fn bits(model: &Model) -> Vec<u32> {
    model.params().values().iter().map(|w| w.to_bits()).collect()
}

/// Saves a model and trains both it and what is loaded: nothing tells them apart.
fn goes_on(mut model: Model, registry: &Registry, y: &Tensor, what: &str) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new(&format!("registry_{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let path = folder.path("m");
    model.save(&path).unwrap();
    let mut again = Model::load_with(&path, registry).unwrap_or_else(|e| panic!("{what}: {e}"));
    let how = silent().epochs(2).batch_size(5);
    let histories = [&mut model, &mut again].map(|model| {
        let history = model.fit(&x(), y, &how).unwrap_or_else(|e| panic!("{what}: {e}"));
        let names: Vec<String> = history.names().map(str::to_owned).collect();
        names.into_iter().map(|name| (history.last(&name).map(f64::to_bits), name)).collect::<Vec<_>>()
    });
    assert_eq!(histories[0], histories[1], "{what}");
    assert_eq!(bits(&model), bits(&again), "{what}");
    // What is written again is the same.
    again.save(folder.path("again")).unwrap();
    let about = |name: &str| Archive::open(folder.path(name)).unwrap().about().unwrap().to_owned();
    assert_eq!(about("m"), about("again"), "{what}");
}

fn every_optimizer() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Adadelta::default().rho(0.9).epsilon(1e-5).clipvalue(0.5)),
        Box::new(Adafactor::default().beta_2_decay(-0.7).epsilon_1(1e-20).epsilon_2(1e-2).clip_threshold(0.5)),
        Box::new(Adagrad::default().initial_accumulator_value(0.2).epsilon(1e-5).clipnorm(0.7)),
        Box::new(Adam::default().beta_1(0.8).amsgrad(true).ema(0.9).ema_overwrite_frequency(2)),
        Box::new(AdamW::default().weight_decay(0.1).decay_all(true).amsgrad(true)),
        Box::new(Adamax::default().beta_2(0.9).learning_rate(0.02)),
        Box::new(Ftrl::default().beta(0.1).l1_regularization_strength(0.01).learning_rate_power(-0.4)),
        Box::new(Lion::default().beta_1(0.8).beta_2(0.95)),
        Box::new(Muon::default().momentum(0.8).rms_rate(None).exclude_layers(["dense_1"]).ns_steps(3)),
        Box::new(Nadam::default().beta_1(0.7).gradient_accumulation_steps(2)),
        Box::new(RmsProp::default().rho(0.8).momentum(0.1).centered(true)),
        Box::new(Sgd::default().momentum(0.9).nesterov(true).global_clipnorm(0.3)),
    ]
}

fn every_schedule() -> Vec<Box<dyn Schedule>> {
    vec![
        Box::new(0.1 + 0.2),
        Box::new(CosineDecay::new(0.1, 7).alpha(0.1).warmup(0.2, 3)),
        Box::new(CosineDecayRestarts::new(0.1, 2).t_mul(1.5).m_mul(0.5).alpha(0.1)),
        Box::new(ExponentialDecay::new(0.1, 2, 0.5).staircase(true)),
        Box::new(InverseTimeDecay::new(0.1, 2, 0.5).staircase(true)),
        Box::new(OneCycle::new(0.1, 6).pct_start(0.4).linear(true).three_phase(true)),
        Box::new(PiecewiseConstantDecay::new([1, 4], [0.1, 0.05, 0.01])),
        Box::new(PolynomialDecay::new(0.1, 2).end(0.01).power(2.0).cycle(true)),
        Box::new(Sequence::new(0.01).after(2, CosineDecay::new(0.1, 3)).after(1, 0.001)),
        Box::new(WarmupStableDecay::new(0.1, 2, 1, 2).alpha(0.1).shape(DecayShape::OneMinusSqrt)),
    ]
}

/// Losses, the activation before them, and whether targets are class numbers.
fn every_loss() -> Vec<(Box<dyn Loss>, Activation, bool)> {
    use Activation::{Exponential, Linear, Sigmoid, Softmax};
    vec![
        (Box::new(BinaryCrossentropy::default().label_smoothing(0.1)), Sigmoid, false),
        (Box::new(BinaryFocalCrossentropy::default().gamma(1.5).alpha(0.3).from_logits(true)), Linear, false),
        (Box::new(CategoricalCrossentropy::default().label_smoothing(0.1).from_logits(true)), Linear, false),
        (Box::new(CategoricalFocalCrossentropy::default().alpha(0.5).gamma(1.0)), Softmax, true),
        (Box::new(CategoricalHinge::default()), Linear, false),
        (Box::new(CosineSimilarity::default()), Linear, false),
        (Box::new(HalfSquaredError::default()), Linear, false),
        (Box::new(Hinge::default()), Linear, false),
        (Box::new(Huber::default().delta(0.3)), Linear, false),
        (Box::new(KlDivergence::default()), Softmax, false),
        (Box::new(LogCosh::default()), Linear, false),
        (Box::new(MeanAbsoluteError::default()), Linear, false),
        (Box::new(MeanAbsolutePercentageError::default()), Linear, false),
        (Box::new(MeanSquaredError::default()), Linear, false),
        (Box::new(MeanSquaredLogarithmicError::default()), Linear, false),
        (Box::new(Poisson::default()), Exponential, false),
        (Box::new(SparseCategoricalCrossentropy::default()), Softmax, true),
        (Box::new(SquaredHinge::default()), Linear, false),
    ]
}

fn every_metric() -> Vec<Box<dyn Metric>> {
    vec![
        Box::new(Accuracy::default()),
        Box::new(Auc::default().curve(Curve::PrecisionRecall).num_thresholds(50).from_logits(false)),
        Box::new(BinaryAccuracy::default().threshold(0.3)),
        Box::new(CategoricalAccuracy::default()),
        Box::new(CosineScore::default()),
        Box::new(F1Score::default().average(Average::Weighted).threshold(0.4)),
        Box::new(Precision::default().class_id(1)),
        Box::new(R2Score::default()),
        Box::new(Recall::default().threshold(0.2)),
        Box::new(RootMeanSquaredError::default()),
        Box::new(SparseCategoricalAccuracy::default()),
        Box::new(TopKAccuracy::default().k(2)),
        Box::new(LossMetric::new(Huber::default().delta(0.5))),
    ]
}

/// The class that is written, with a debug form of its settings.
fn tag(debug: &str) -> &str {
    debug.split(['(', ' ', '{']).next().unwrap()
}

#[test]
fn every_class_comes_back() {
    let registry = Registry::builtin();
    let mut seen = Vec::new();
    for optimizer in every_optimizer() {
        let what = format!("{:?}", optimizer.config());
        seen.push(tag(&what).to_owned());
        let mut model = classes(Activation::Softmax);
        model.compile(optimizer, CategoricalCrossentropy::default(), ()).unwrap();
        goes_on(model, &registry, &labels(false), &what);
    }
    assert_eq!(seen, OptimizerConfig::CLASSES);
    seen.clear();
    for schedule in every_schedule() {
        let what = format!("{:?}", schedule.config());
        seen.push(tag(&what).to_owned());
        let mut optimizer = Sgd::default();
        optimizer.options_mut().learning_rate = schedule.config().into_schedule().unwrap();
        let mut model = classes(Activation::Softmax);
        model.compile(optimizer, CategoricalCrossentropy::default(), ()).unwrap();
        goes_on(model, &registry, &labels(false), &what);
    }
    assert_eq!(seen, ScheduleConfig::CLASSES);
    seen.clear();
    for (loss, last, numbers) in every_loss() {
        let what = format!("{:?}", loss.config());
        seen.push(tag(&what).to_owned());
        let mut model = classes(last);
        model.compile(Sgd::default(), loss, ()).unwrap();
        goes_on(model, &registry, &labels(numbers), &what);
    }
    assert_eq!(seen, LossConfig::CLASSES);
    seen.clear();
    for metric in every_metric() {
        let what = format!("{:?}", metric.config());
        seen.push(tag(&what).to_owned());
        let numbers = what.starts_with("Sparse");
        let mut model = classes(Activation::Softmax);
        model.compile(Sgd::default(), CategoricalCrossentropy::default(), vec![metric]).unwrap();
        goes_on(model, &registry, &labels(numbers), &what);
    }
    assert_eq!(seen, MetricConfig::CLASSES);
}

#[test]
fn heads_come_back() {
    let folder = Folder::new("registry_heads");
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let h = g.add(Dense::new(5).activation(Activation::Relu), x);
    let a = g.add_named("a", Dense::new(1), h);
    let b = g.add_named("b", Dense::new(3).activation(Activation::Softmax), h);
    let c = g.add_named("c", Dense::new(1), h);
    let mut model = g.build([a, b, c], 1).unwrap();
    let heads = [
        Head::new("b")
            .loss(CategoricalCrossentropy::default())
            .loss_weight(0.3)
            .weighted_metrics([Accuracy::default()]),
        Head::new("a").loss(Huber::default()).metrics([LossMetric::new(MeanAbsoluteError::default())]),
    ];
    model.compile_heads(Adam::default(), heads).unwrap();
    model.save(folder.path("m")).unwrap();
    let mut again = Model::load(folder.path("m")).unwrap();
    let y = Tensor::from_fn([12, 1], |i| i as f32 * 0.1);
    let weights: Vec<f32> = (0..12).map(|i| i as f32 * 0.1).collect();
    for model in [&mut model, &mut again] {
        let how = silent().sample_weight(&weights);
        let history = model.fit(&self::x(), [("a", &y), ("b", &labels(false))], &how).unwrap();
        let names: Vec<&str> = history.names().collect();
        assert_eq!(names, ["loss", "a_loss", "a_mean_absolute_error", "b_loss", "b_accuracy"]);
    }
    assert_eq!(bits(&model), bits(&again));
}

#[test]
fn a_checkpoint_goes_on_without_the_code_of_compile() {
    let folder = Folder::new("registry_checkpoint");
    let path = folder.path("c");
    let build = || {
        let mut model = classes(Activation::Softmax);
        model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        model
    };
    let (x, y) = (x(), labels(false));
    let mut whole = build();
    whole.fit(&x, &y, &silent().epochs(4)).unwrap();
    let mut half = build();
    half.fit(&x, &y, &silent().epochs(2)).unwrap();
    half.save_checkpoint(&path).unwrap();
    let mut rest = Model::load(&path).unwrap();
    rest.resume(&path).unwrap();
    rest.fit(&x, &y, &silent().epochs(4)).unwrap();
    assert_eq!(bits(&rest), bits(&whole));
    // Models that a callback writes are compiled too.
    let mut best = ModelCheckpoint::new(folder.path("best"));
    build().fit_with(&x, &y, &silent(), &mut [&mut best]).unwrap();
    assert!(Model::load(folder.path("best")).unwrap().evaluate(&x, &y).is_ok());
    // Without what compile was given nothing trains, and nothing of it is written on.
    let mut plain = Model::load_uncompiled(&path).unwrap();
    assert!(plain.fit(&x, &y, &silent()).unwrap_err().to_string().contains("not compiled"));
    plain.save(folder.path("plain")).unwrap();
    assert!(!Archive::open(folder.path("plain")).unwrap().about().unwrap().contains("optimizer"));
}

/// y = factor · w · x, with one weight.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scale {
    factor: f64,
    #[serde(skip)]
    w: ParamId,
}

impl<T: Float> Layer<T> for Scale {
    fn class(&self) -> &'static str {
        "Scale"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.w = b.weight("w", Shape::from([1]), &Init::Ones)?;
        Ok(input)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let w = T::of(self.factor) * pass.weight(self.w)[0];
        y.as_mut_slice().iter_mut().zip(x).for_each(|(y, x)| *y = w * *x);
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
        let factor = T::of(self.factor);
        let sum: T = dy.iter().zip(x).map(|(dy, x)| factor * *dy * *x).sum();
        let w = factor * pass.weight(self.w)[0];
        pass.gradient(self.w)[0] += sum;
        if let Some(dx) = dx {
            dx.as_mut_slice().iter_mut().zip(&*dy).for_each(|(dx, dy)| *dx = w * *dy);
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::own("Scale", self)
    }
}

/// y = a·b, element by element.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Product;

impl<T: Float> Op<T> for Product {
    fn class(&self) -> &'static str {
        "Product"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        Ok(vec![x[0]])
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        for ((y, a), b) in y[0].as_mut_slice().iter_mut().zip(&x[0]).zip(&x[1]) {
            *y = *a * *b;
        }
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        for (i, dx) in dx.iter_mut().enumerate() {
            let Some(dx) = dx else { continue };
            for ((dx, dy), other) in dx.as_mut_slice().iter_mut().zip(&dy[0]).zip(&x[1 - i]) {
                *dx = *dy * *other;
            }
        }
    }
}

/// |ŷ − y|^power
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    power: i32,
}

impl<T: Float> Loss<T> for Power {
    fn name(&self) -> &'static str {
        "power"
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        y_true.iter().zip(y_pred).map(|(&t, &p)| (p - t).abs().powi(self.power)).sum()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
            *d = scale * T::of(f64::from(self.power)) * (p - t).abs().powi(self.power - 1) * (p - t).signum();
        }
    }

    fn config(&self) -> LossConfig {
        LossConfig::own("Power", self)
    }
}

/// The largest error; without settings.
#[derive(Clone, Debug, Deserialize)]
struct Largest {}

impl<T: Float> Metric<T> for Largest {
    fn name(&self) -> String {
        "largest".into()
    }

    fn sums(&self, _: Shape) -> usize {
        1
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, _: Option<&[T]>) {
        for (t, p) in y_true.iter().zip(y_pred) {
            sums[0] = sums[0].max((*t - *p).abs().as_f64());
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        sums[0]
    }
}

/// w −= lr · sign(g)
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Signs {
    rate: f64,
    #[serde(skip)]
    options: gradus::optimizers::Options,
}

impl<T: Float> Optimizer<T> for Signs {
    fn name(&self) -> &'static str {
        "signs"
    }

    fn options(&self) -> &gradus::optimizers::Options {
        &self.options
    }

    fn coefficients(&self, _: u64, _: f64, _: &mut [f64]) -> Coefficients {
        [self.rate, 0.0, 0.0, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], _: Moments<'_, T>) {
        w.iter_mut().zip(g).for_each(|(w, g)| *w -= T::of(c[0]) * g.signum());
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::own("Signs", self)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Halving {
    first: f64,
}

impl Schedule for Halving {
    fn at(&self, step: u64) -> f64 {
        self.first * 0.5f64.powi(step.min(1000) as i32)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::own("Halving", self)
    }
}

fn own_registry() -> Registry {
    Registry::builtin()
        .with_layer::<Scale>("Scale")
        .with_op::<Product>("Product")
        .with_loss::<Power>("Power")
        .with_metric::<Largest>("largest")
        .with_optimizer::<Signs>("Signs")
        .with_schedule::<Halving>("Halving")
}

fn own_model() -> Model {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let a = g.scope("inside", |g| g.add(Scale { factor: 0.7, w: ParamId::default() }, x));
    let h = g.op(Product, &[a, x]);
    let y = g.add(Dense::new(3), h);
    g.build([y], 5).unwrap()
}

#[test]
fn own_classes_go_on_in_another_program() {
    let metrics = || (Largest {}, LossMetric::new(Power { power: 3 }));
    let mut model = own_model();
    let signs = Signs { rate: 0.01, options: gradus::optimizers::Options::default() };
    model.compile(signs, Power { power: 4 }, metrics()).unwrap();
    goes_on(model, &own_registry(), &labels(false), "own classes");
    // A schedule of one's own, within another of an optimizer of the crate's.
    let mut model = own_model();
    let rate = Sequence::new(Halving { first: 0.1 }).after(2, Halving { first: 0.05 });
    model.compile(Adam::default().learning_rate(rate), Power { power: 2 }, metrics()).unwrap();
    goes_on(model, &own_registry(), &labels(false), "an own schedule");
    // A checkpoint of one run goes on in another program to the bits of a run that never stopped.
    let folder = Folder::new("registry_own");
    let path = folder.path("c");
    let (x, y) = (x(), labels(false));
    let compiled = || {
        let mut model = own_model();
        model.compile(Adam::default().learning_rate(Halving { first: 0.1 }), Power { power: 2 }, metrics()).unwrap();
        model
    };
    let mut whole = compiled();
    whole.fit(&x, &y, &silent().epochs(3)).unwrap();
    let mut half = compiled();
    half.fit(&x, &y, &silent().epochs(1)).unwrap();
    half.save_checkpoint(&path).unwrap();
    let mut rest = Model::load_with(&path, &own_registry()).unwrap();
    rest.resume(&path).unwrap();
    rest.fit(&x, &y, &silent().epochs(3)).unwrap();
    assert_eq!(bits(&rest), bits(&whole));
    // As another type of numbers: layers as well, operations are of f32.
    let mut model = Sequential::new([4]).add(Scale { factor: 2.0, w: ParamId::default() }).build(0).unwrap();
    model.compile(Sgd::default(), Power { power: 2 }, ()).unwrap();
    model.save(&path).unwrap();
    let registry = Registry::<f64>::builtin().with_layer::<Scale>("Scale").with_loss::<Power>("Power");
    let wide = Model::<f64>::of_archive_with(&mut Archive::open(&path).unwrap(), &registry).unwrap();
    assert_eq!(wide.weight("scale/w").unwrap(), [1.0]);
}

#[test]
fn names_and_settings_that_do_not_fit() {
    let folder = Folder::new("registry_errors");
    let path = folder.path("m");
    let mut model = own_model();
    let signs = Signs { rate: 0.01, options: gradus::optimizers::Options::default() };
    model.compile(signs, Power { power: 4 }, (Largest {}, LossMetric::new(Power { power: 3 }))).unwrap();
    model.save(&path).unwrap();
    let error = |registry: &Registry| Model::load_with(&path, registry).unwrap_err().to_string();
    let says = |registry: Registry, parts: &[&str]| {
        let error = error(&registry);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let graph = || Registry::builtin().with_layer::<Scale>("Scale").with_op::<Product>("Product");
    let error_of_load = Model::load(&path).unwrap_err().to_string();
    assert!(error_of_load.contains("with_layer::<Scale>(\"Scale\")"), "{error_of_load}");
    says(Registry::builtin().with_layer::<Scale>("Scala"), &["Scale is a layer of your own", "which has Scala"]);
    says(Registry::builtin().with_layer::<Scale>("Scale"), &["Product is an operation of your own", "with_op"]);
    says(graph(), &["Signs is an optimizer of your own", "with_optimizer::<Signs>(\"Signs\")", "load_uncompiled"]);
    let optimized = || graph().with_optimizer::<Signs>("Signs");
    says(optimized(), &["Power is a loss of your own", "with_loss::<Power>(\"Power\")"]);
    says(optimized().with_loss::<Power>("Other"), &["Power is a loss of your own", "which has Other", "with_loss"]);
    let losses = || optimized().with_loss::<Power>("Power");
    says(losses(), &["largest is a metric of your own", "with_metric::<Mine>(\"largest\")"]);
    // Settings of another class, and a class with settings that says none.
    says(optimized().with_loss::<Signs2>("Power"), &["the settings of the loss Power", "power", "cannot be read"]);
    says(losses().with_metric::<Counted>("largest"), &["Counted has fields", "no settings"]);
    // Names that are taken.
    says(graph().with_loss::<Power>("Hinge"), &["Hinge is the name of a loss of this crate"]);
    says(graph().with_layer::<Scale>("Scale"), &["there are two layers of the name Scale"]);
    // Whatever optimizer and losses are, the model predicts.
    assert!(Model::load_with(&path, &graph().compile(false)).unwrap().predict(&x()).is_ok());
    assert!(Model::load_with(&path, &losses().with_metric::<Largest>("largest")).is_ok());
    // Settings that serde cannot write.
    let error = own_model().compile(Sgd::default(), Unwritten, ()).unwrap_err().to_string();
    assert!(error.contains("the settings of Unwritten are no JSON"), "{error}");
}

/// With another setting than the file has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signs2 {
    #[allow(dead_code)]
    degree: u8,
}

impl<T: Float> Loss<T> for Signs2 {
    fn name(&self) -> &'static str {
        "signs2"
    }

    fn value(&self, _: &[T], _: &[T]) -> T {
        T::zero()
    }

    fn gradient(&self, _: &[T], _: &[T], _: T, dy: &mut [T]) {
        dy.fill(T::zero());
    }
}

/// With settings, of which it says none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Counted {
    #[allow(dead_code)]
    k: usize,
}

impl<T: Float> Metric<T> for Counted {
    fn name(&self) -> String {
        "largest".into()
    }

    fn sums(&self, _: Shape) -> usize {
        1
    }

    fn update(&self, _: &mut [f64], _: &Tensor<T>, _: &Tensor<T>, _: Option<&[T]>) {}

    fn result(&self, _: &[f64]) -> f64 {
        0.0
    }
}

#[derive(Clone, Debug)]
struct Unwritten;

impl<T: Float> Loss<T> for Unwritten {
    fn name(&self) -> &'static str {
        "unwritten"
    }

    fn value(&self, _: &[T], _: &[T]) -> T {
        T::zero()
    }

    fn gradient(&self, _: &[T], _: &[T], _: T, dy: &mut [T]) {
        dy.fill(T::zero());
    }

    fn config(&self) -> LossConfig {
        // A key that JSON does not have.
        LossConfig::own("Unwritten", &std::collections::BTreeMap::from([(vec![1], 2)]))
    }
}

#[test]
fn notes_come_back() {
    let folder = Folder::new("registry_notes");
    let path = folder.path("m");
    let mut model = classes(Activation::Softmax);
    let scaler = StandardScaler::fit(&x()).unwrap();
    model.set_class_names(["a", "b", "c"]).unwrap();
    model.set_scaler(scaler.clone()).unwrap();
    model.set_preprocessing("in cm").unwrap();
    let wrong = |model: &mut Model, names: &[&str]| {
        let error = model.set_class_names(names.iter().copied()).unwrap_err().to_string();
        assert_eq!(model.class_names(), ["a", "b", "c"]);
        error
    };
    assert!(wrong(&mut model, &["a", "b", "a"]).contains("\"a\" twice"));
    assert!(wrong(&mut model, &["a", "b"]).contains("as many as there are classes, 3"));
    assert!(wrong(&mut model, &["a", "b", ""]).contains("not empty"));
    assert!(wrong(&mut model, &["x".repeat(200_000).as_str(), "b", "c"]).contains("at most 131072 bytes"));
    assert!(model.set_preprocessing("x".repeat(70_000)).is_err());
    assert!(model.set_scaler(StandardScaler::fit(&Tensor::<f32>::zeros([2, 5000])).unwrap()).is_err());
    model.save(&path).unwrap();
    for again in [Model::load(&path).unwrap(), Model::load_uncompiled(&path).unwrap()] {
        assert_eq!(again.class_names(), ["a", "b", "c"]);
        assert_eq!(again.scaler(), Some(&Scaler::from(scaler.clone())));
        assert_eq!(again.preprocessing(), "in cm");
        assert_eq!(again.discard_weights(1).unwrap().preprocessing(), "in cm");
    }
    // One output tells two classes.
    let mut binary = Sequential::new([4]).add(Dense::new(1).activation(Activation::Sigmoid)).build(0).unwrap();
    binary.set_class_names(["no", "yes"]).unwrap();
    binary.set_scaler(MinMaxScaler::fit(&x()).unwrap().range(-1.0, 1.0).unwrap()).unwrap();
    binary.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().scaler(), binary.scaler());
    binary.set_class_names([""; 0]).unwrap();
    assert!(binary.class_names().is_empty());
}

/// A file of the model with other parts beside its graph.
fn forged(folder: &Folder, beside: &str) -> Result<Model> {
    let model = Sequential::new([2]).add(Dense::new(1)).build(0).unwrap();
    let path = folder.path("m");
    model.save(&path)?;
    let about = Archive::open(&path).unwrap().about().unwrap().to_owned();
    let about = format!("{},{beside}}}", about.strip_suffix('}').unwrap());
    let entry = |name: &str, shape: &str, from: usize, to: usize| {
        format!(",\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    let arrays = entry("dense/kernel", "[2,1]", 0, 8) + &entry("dense/bias", "[1]", 8, 12);
    Model::load_bytes(&crate::hostile::signed(&about, &arrays, 12))
}

#[test]
fn hostile_descriptions() {
    let folder = Folder::new("registry_hostile");
    let options = r#""options":{"learning_rate":{"class":"Constant","config":0.01},"weight_decay":0.0}"#;
    let sgd = format!(r#"{{"class":"Sgd","config":{{{options},"momentum":0.0,"nesterov":false}}}}"#);
    let mse = r#"{"class":"MeanSquaredError","config":{}}"#;
    let compile = |optimizer: &str, loss: &str, more: &str| {
        format!(r#""compile":{{"optimizer":{optimizer},"heads":[{{"output":"dense","loss":{loss}{more}}}]}}"#)
    };
    assert!(forged(&folder, &compile(&sgd, mse, "")).is_ok());
    assert!(forged(&folder, "\"notes\":{\"preprocessing\":\"cm\"}").is_ok());
    let swap = |from: &str, to: &str| {
        assert!(sgd.contains(from), "{from}");
        compile(&sgd.replace(from, to), mse, "")
    };
    let deep = (0..100).fold("{\"class\":\"Constant\",\"config\":1}".to_owned(), |inner, _| {
        format!(r#"{{"class":"Sequence","config":{{"earlier":[],"last":{inner}}}}}"#)
    });
    let constant = r#"{"class":"Constant","config":0.01}"#;
    let metrics = |metric: &str| compile(&sgd, mse, &format!(",\"metrics\":[{metric}]"));
    let nested = (0..200).fold(mse.to_owned(), |inner, _| format!(r#"{{"class":"LossMetric","config":{inner}}}"#));
    let scaler = |mean: &str, scale: &str| {
        format!(r#""notes":{{"scaler":{{"class":"StandardScaler","config":{{"mean":{mean},"scale":{scale}}}}}}}"#)
    };
    for beside in [
        "\"compile\":1".to_owned(),
        "\"compile\":{}".to_owned(),
        "\"compile\":[[]]".to_owned(),
        format!("\"compile\":{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        compile(&sgd, mse, ",\"more\":1"),
        compile(&sgd, mse, ",\"loss_weight\":-1"),
        compile(&sgd, mse, ",\"loss_weight\":1e999"),
        compile(&sgd, mse, ",\"loss_weight\":null"),
        compile(&sgd, "null", ""),
        compile(&sgd, r#"{"class":"MeanSquaredError","config":{"power":2}}"#, ""),
        compile(&sgd, r#"{"class":"MeanSquaredError"}"#, ""),
        compile(&sgd, r#"{"class":"Mean","config":{}}"#, ""),
        compile(&sgd, r#"{"class":"Huber","config":{"delta":0}}"#, ""),
        compile(&sgd, r#"{"class":"Huber","config":{"delta":"1"}}"#, ""),
        compile(
            &sgd,
            r#"{"class":"CategoricalCrossentropy","config":{"from_logits":false,"label_smoothing":0.0}}"#,
            "",
        ),
        compile(&sgd, r#"{"class":"Custom","config":{"class":"","settings":"{"}}"#, ""),
        compile(r#"{"class":"Custom","config":{"class":"Adam","settings":""}}"#, mse, ""),
        compile(&sgd, mse, "").replace("\"dense\"", "\"dens\""),
        compile(&sgd, mse, "").replace("\"heads\":[", "\"heads\":[{\"output\":\"dense\"},"),
        swap("\"momentum\":0.0", "\"momentum\":1.5"),
        swap("\"momentum\":0.0", "\"momentum\":null"),
        swap("\"momentum\":0.0,", ""),
        swap("\"nesterov\":false", "\"nesterov\":false,\"damping\":0.1"),
        swap("\"weight_decay\":0.0", "\"weight_decay\":-1"),
        swap("\"weight_decay\":0.0", "\"weight_decay\":0.0,\"clip\":{\"norm\":-1}"),
        swap("\"weight_decay\":0.0", "\"weight_decay\":0.0,\"clip\":{\"length\":1}"),
        swap("\"weight_decay\":0.0", "\"weight_decay\":0.0,\"gradient_accumulation_steps\":0"),
        swap(constant, "0.01"),
        swap(constant, "{\"class\":\"Constant\",\"config\":-1}"),
        swap(constant, "{\"class\":\"Constant\",\"config\":1e300}"),
        swap(constant, &deep),
        swap(constant, r#"{"class":"CosineDecay","config":{"initial":0.1,"steps":0,"alpha":0.0}}"#),
        swap(constant, r#"{"class":"PiecewiseConstantDecay","config":{"boundaries":[1,2],"values":[]}}"#),
        swap(
            constant,
            r#"{"class":"Sequence","config":{"earlier":[[{"class":"Constant","config":-1},3]],"last":{"class":"Constant","config":1}}}"#,
        ),
        swap(constant, r#"{"class":"Custom","config":{"class":"Halving","settings":"{}"}}"#),
        metrics(r#"{"class":"Auc","config":{"curve":"roc","num_thresholds":18446744073709551615}}"#),
        metrics(r#"{"class":"Auc","config":{"curve":"line","num_thresholds":200}}"#),
        metrics(r#"{"class":"TopKAccuracy","config":{"k":0}}"#),
        metrics(r#"{"class":"Precision","config":{"class_id":18446744073709551615}}"#),
        metrics(r#"{"class":"BinaryAccuracy","config":{"threshold":"high"}}"#),
        metrics(&nested),
        "\"notes\":{\"class_names\":[\"a\",\"a\"]}".to_owned(),
        "\"notes\":{\"class_names\":[\"a\",\"b\",\"c\"]}".to_owned(),
        "\"notes\":{\"class_names\":\"a\"}".to_owned(),
        "\"notes\":{\"author\":\"me\"}".to_owned(),
        scaler("[0.0,1.0]", "[1.0]"),
        scaler("[]", "[]"),
        scaler("[0.0]", "[0.0]"),
        scaler("[null]", "[1.0]"),
        scaler("[1e400]", "[1.0]"),
        r#""notes":{"scaler":{"class":"MinMaxScaler","config":{"min":[1.0],"max":[0.0],"low":0.0,"high":1.0}}}"#
            .to_owned(),
        r#""notes":{"scaler":{"class":"MinMaxScaler","config":{"min":[0.0],"max":[1.0],"low":1.0,"high":0.0}}}"#
            .to_owned(),
    ] {
        assert!(forged(&folder, &beside).is_err(), "{:.300}", beside);
    }
    // Numbers that are large and mean something.
    for beside in [
        swap("\"weight_decay\":0.0", "\"weight_decay\":0.0,\"gradient_accumulation_steps\":18446744073709551615"),
        swap(
            constant,
            r#"{"class":"OneCycle","config":{"max":0.1,"steps":18446744073709551615,"pct_start":0.3,"div_factor":25.0,"final_div_factor":10000.0,"linear":false,"three_phase":false}}"#,
        ),
    ] {
        let mut model = forged(&folder, &beside).unwrap();
        model.fit(&Tensor::zeros([3, 2]), &Tensor::zeros([3, 1]), &silent()).unwrap();
    }
    // Sums of 16 MB each, 88 GB together: refused where there is no such memory.
    let auc = r#"{"class":"Auc","config":{"curve":"roc","num_thresholds":1000000,"from_logits":true}}"#;
    let _ = forged(&folder, &metrics(&vec![auc; 5500].join(",")));
    // Cut or changed anywhere, it is refused or loads.
    let good = compile(&sgd, mse, "");
    for i in 0..good.len() {
        for with in ["", "9", "\"", "}", "[", "null"] {
            let _ = forged(&folder, &format!("{}{with}{}", &good[..i], &good[i + 1..]));
        }
    }
}

/// Configurations serve by themselves, such as from a settings file.
#[test]
fn configurations_by_hand() {
    let text = r#"{"class":"Huber","config":{"delta":2.0}}"#;
    let config: LossConfig = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    assert_eq!(config.into_loss::<f32>().unwrap().value(&[0.0], &[3.0]), 4.0);
    let own = LossConfig::own("Power", &Power { power: 3 });
    assert!(own.into_loss::<f32>().unwrap_err().to_string().contains("Power is a loss of your own"));
    assert_eq!(
        serde_json::to_string(&Optimizer::<f32>::config(&Sgd::default())).unwrap(),
        r#"{"class":"Sgd","config":{"options":{"learning_rate":{"class":"Constant","config":0.01},"weight_decay":0.0},"momentum":0.0,"nesterov":false}}"#
    );
    let op = OpConfig::own("Product", &Product);
    assert!(op.into_op::<f32>().unwrap_err().to_string().contains("with_op::<Product>(\"Product\")"));
}
