//! Hand-written gradients against finite differences: every layer of the crate's list with every activation and every loss in whole
//! models, every layer × every activation alone, every loss alone; sizes drawn by proptest, batches of one included.
//!
//! Differences say nothing at a kink, so the points are chosen away from them: a twin of each model, with the same weights and
//! a probe in front of whatever has kinks, shows the values there; weights are drawn again until all keep their distance.
//! Targets are then laid around the predictions.

use std::sync::{Arc, Mutex};

use gradus::gradcheck::{check_layer, check_loss, check_model, check_part};
use gradus::graph::{DynPart, F64};
use gradus::layers::LayerConfig;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::{Builder, Pass, Result, Shape, Slot};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Where activations and losses of this crate bend.
const KINKS: [f64; 6] = [-3.0, -1.0, 0.0, 1.0, 3.0, 6.0];

/// Whether a value is far from all kinks, and not so large that what follows is too steep for differences.
fn is_clear(v: f64, most: f64) -> bool {
    v.abs() < most && KINKS.iter().all(|k| (v - k).abs() > 1e-3)
}

/// Whether a row's length is 0.2 at least.
fn is_long(row: &[f64]) -> bool {
    row.iter().map(|v| v * v).sum::<f64>() > 0.04
}

/// What a probe looks at.
#[derive(Clone, Copy, Debug)]
enum Watch {
    /// Whether all values are clear of kinks.
    Kinks,
    /// In front of a norm, whether no row is short.
    Norm,
    /// In front of a maximum, whether the values of a channel are apart.
    Maximum,
}

/// The identity, which notes whether what it watches for was so.
#[derive(Clone, Debug)]
struct Probe {
    watch: Watch,
    most: f64,
    clear: Arc<Mutex<bool>>,
}

impl Layer<f64> for Probe {
    fn class(&self) -> &'static str {
        "Probe"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<f64>) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, f64>, _: &mut Slot<f64>, x: &Tensor<f64>, y: &mut Tensor<f64>) {
        y.copy_from(x);
        let width = x.shape().last();
        let clear = match self.watch {
            Watch::Kinks => x.iter().all(|&v| is_clear(v, self.most)),
            Watch::Norm => x.as_slice().chunks(width).all(is_long),
            Watch::Maximum => (0..width).all(|c| {
                let channel: Vec<f64> = x.as_slice().iter().skip(c).step_by(width).copied().collect();
                channel.iter().enumerate().all(|(i, a)| channel[..i].iter().all(|b| (a - b).abs() > 1e-3))
            }),
        };
        *self.clear.lock().unwrap() &= clear;
    }

    fn backward(
        &self,
        _: &mut Pass<'_, f64>,
        _: &mut Slot<f64>,
        _: &Tensor<f64>,
        _: &Tensor<f64>,
        dy: &mut Tensor<f64>,
        dx: Option<&mut Tensor<f64>>,
    ) {
        if let Some(dx) = dx {
            dx.copy_from(dy);
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Custom { class: "Probe".into(), settings: String::new() }
    }
}

/// A loss that notes the predictions.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<f64>>>);

impl Loss<f64> for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn value(&self, _: &[f64], y_pred: &[f64]) -> f64 {
        self.0.lock().unwrap().extend_from_slice(y_pred);
        0.0
    }

    fn gradient(&self, _: &[f64], _: &[f64], _: f64, dy: &mut [f64]) {
        dy.fill(0.0);
    }
}

/// What the targets of a loss are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Targets {
    /// Any numbers.
    Numbers,
    /// Numbers from 0, for predictions that may be negative.
    Counts,
    /// Numbers from 0, for predictions above 0.
    Rates,
    /// 0 or 1 for each prediction.
    Bits,
    /// −1 or 1 for each prediction.
    Signs,
    /// A one-hot row, or a class number.
    Classes,
    /// A class number.
    Numbered,
    /// A row of probabilities.
    Probabilities,
}

/// A loss, its targets, and a last activation that fits it, for models whose activation under test does not.
type LossCase = (Box<dyn Loss<f64>>, Targets, Activation);

fn losses() -> Vec<LossCase> {
    use Activation::{Exponential, Linear, Sigmoid, Softmax};
    use Targets::*;
    fn case(loss: impl Loss<f64> + 'static, targets: Targets, end: Activation) -> LossCase {
        (Box::new(loss), targets, end)
    }
    vec![
        case(MeanSquaredError::default(), Numbers, Linear),
        case(HalfSquaredError::default(), Numbers, Linear),
        case(MeanAbsoluteError::default(), Numbers, Linear),
        case(MeanAbsolutePercentageError::default(), Numbers, Linear),
        case(Huber::default(), Numbers, Linear),
        case(LogCosh::default(), Numbers, Linear),
        case(CosineSimilarity::default(), Numbers, Linear),
        case(MeanSquaredLogarithmicError::default(), Counts, Linear),
        case(Poisson::default(), Rates, Exponential),
        case(Hinge::default(), Signs, Linear),
        case(SquaredHinge::default(), Signs, Linear),
        case(CategoricalHinge::default(), Classes, Linear),
        case(BinaryCrossentropy::default().label_smoothing(0.1), Bits, Sigmoid),
        case(BinaryCrossentropy::default().from_logits(true), Bits, Linear),
        case(BinaryFocalCrossentropy::default().alpha(0.3), Bits, Sigmoid),
        case(BinaryFocalCrossentropy::default().from_logits(true), Bits, Linear),
        case(CategoricalCrossentropy::default(), Classes, Softmax),
        case(CategoricalCrossentropy::default().from_logits(true).label_smoothing(0.1), Classes, Linear),
        case(SparseCategoricalCrossentropy::default(), Numbered, Softmax),
        case(SparseCategoricalCrossentropy::default().from_logits(true), Numbered, Linear),
        case(CategoricalFocalCrossentropy::default(), Classes, Softmax),
        case(CategoricalFocalCrossentropy::default().from_logits(true), Classes, Linear),
        case(KlDivergence::default(), Probabilities, Softmax),
    ]
}

impl Targets {
    /// Whether a loss with these targets is smooth at these predictions, rows of `width`, and not too steep for differences.
    fn suits(self, y: &[f64], width: usize, loss: &str, from_probabilities: bool) -> bool {
        // Equal values stay so: they come from units that are off.
        let apart = |a: f64, b: f64| a == b || (a - b).abs() > 1e-3;
        let inside = |v: &f64| *v > 0.05 && *v < 0.95;
        y.iter().all(|v| v.abs() < 8.0)
            && match self {
                // The direction of a short row turns too fast.
                Targets::Numbers if loss == "cosine_similarity" => y.chunks(width).all(is_long),
                // Targets lie around the predictions.
                Targets::Numbers => true,
                Targets::Counts => y.iter().all(|&v| apart(v, 0.0)),
                Targets::Rates => y.iter().all(|&v| v > 0.05),
                Targets::Signs => y.iter().all(|&v| apart(v, 1.0) && apart(v, -1.0)),
                // The largest of a row must be one, and no margin 1.
                Targets::Classes if loss == "categorical_hinge" => y.chunks(width).all(|row| {
                    let mut pairs = row.iter().flat_map(|a| row.iter().map(move |b| (*a, *b)));
                    pairs.all(|(a, b)| apart(a, b) && apart(a, b + 1.0) && apart(a, -1.0))
                }),
                Targets::Probabilities => y.iter().all(inside),
                Targets::Bits | Targets::Classes | Targets::Numbered => !from_probabilities || y.iter().all(inside),
            }
    }

    /// Targets for predictions of this shape.
    fn draw(self, y: &Tensor<f64>, key: Key) -> Tensor<f64> {
        let width = y.shape().last();
        let class = |row: usize| key.with(1).below(row as u64, width);
        let each = |f: &dyn Fn(usize) -> f64| Tensor::from_fn(y.shape(), f);
        match self {
            Targets::Numbers => each(&|i| {
                // At a distance of 0.1 to 0.9, not close to 0 either.
                let (y, d) = (y.as_slice()[i], 0.1 + 0.8 * key.unit(i as u64));
                if (y + d).abs() > 0.05 { y + d } else { y - d }
            }),
            Targets::Counts | Targets::Rates => each(&|i| 0.1 + 3.0 * key.unit(i as u64)),
            Targets::Bits => each(&|i| key.below(i as u64, 2) as f64),
            Targets::Signs => each(&|i| 2.0 * key.below(i as u64, 2) as f64 - 1.0),
            Targets::Classes if key.below(0, 2) == 0 => each(&|i| f64::from(i % width == class(i / width))),
            Targets::Classes | Targets::Numbered => {
                let leading = &y.dims()[..y.dims().len() - 1];
                Tensor::from_fn(Shape::try_from(leading).unwrap(), |row| class(row) as f64)
            }
            Targets::Probabilities => {
                let raw = each(&|i| 0.1 + key.unit(i as u64));
                let sum = |i: usize| raw.as_slice()[i / width * width..][..width].iter().sum::<f64>();
                each(&|i| raw.as_slice()[i] / sum(i))
            }
        }
    }
}

/// Layers with an activation inside, which is that under test; the others take turns in models.
const ACTIVATED: [&str; 13] = [
    "Activation",
    "Add",
    "BatchNorm",
    "Block",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "Conv2dTranspose",
    "Dense",
    "DepthwiseConv2d",
    "Residual",
    "SeparableConv1d",
    "TiedDense",
];

/// All layers, and the recipes of several.
fn classes() -> Vec<&'static str> {
    let mut all = [LayerConfig::CLASSES, &["Add", "Block", "Concatenate", "Multiply", "Residual"]].concat();
    all.sort_unstable();
    all
}

/// How large a model is.
#[derive(Clone, Debug)]
struct Sizes {
    batch: usize,
    time: Option<usize>,
    inputs: usize,
    units: [usize; 3],
    seed: u64,
}

fn sizes(most: usize) -> impl Strategy<Value = Sizes> {
    let time = prop_oneof![Just(None), (1..=2usize).prop_map(Some)];
    (1..=3usize, time, 1..=most, [1..=most, 1..=most, 2..=most], any::<u32>())
        .prop_map(|(batch, time, inputs, units, seed)| Sizes { batch, time, inputs, units, seed: seed.into() })
}

/// A dense layer with an activation, with a probe between the two where there is one.
fn dense(units: usize, f: Activation, probe: Option<&Probe>) -> DynPart {
    let bias = Init::Uniform { min: -1.5, max: 1.5 };
    let kernel = Init::Uniform { min: -0.7, max: 0.7 };
    let dense = Dense::new(units).kernel_initializer(kernel).bias_initializer(bias);
    match probe {
        None => DynPart::new(dense.activation(f)),
        Some(probe) => DynPart::new(Block::new().add(dense).add(F64(probe.clone())).add(f)),
    }
}

/// A layer under test on `units` features: every class of the list that the crate has.
fn layer(class: &str, f: Activation, units: usize, probe: Option<&Probe>) -> DynPart {
    fn probed(layer: impl Layer + Clone + 'static, probe: Option<Probe>) -> DynPart {
        match probe {
            None => DynPart::new(layer),
            Some(probe) => DynPart::new(Block::new().add(F64(probe)).add(layer)),
        }
    }
    let before = || probe.cloned();
    let watch = |watch| before().map(|p| Probe { watch, ..p });
    // A layer that applies `f` last, and the same without.
    macro_rules! activated {
        ($layer:expr) => {
            match probe {
                None => DynPart::new($layer.activation(f)),
                Some(probe) => DynPart::new(Block::new().add($layer).add(F64(probe.clone())).add(f)),
            }
        };
    }
    let bias = || Init::Uniform { min: -1.5, max: 1.5 };
    match class {
        "Absolute" => probed(Absolute::new(), before()),
        "Activation" => probed(f, before()),
        "ActivityRegularization" => probed(ActivityRegularization::new().l1(0.3).l2(0.2), before()),
        "Add" => activated!(Add::new().branch(Dense::new(units).bias_initializer(bias())).branch(Identity::new())),
        "AlphaDropout" => DynPart::new(AlphaDropout::new(0.3)),
        "Arithmetic" => DynPart::new(Arithmetic::new(Operation::Power, 1.3).number_first(true)),
        "AveragePooling1d" => DynPart::new(AveragePooling1d::new(2).strides(1)),
        "AveragePooling2d" => DynPart::new(AveragePooling2d::new([1, 2]).padding(Padding::Same)),
        "BatchNorm" => activated!(BatchNorm::new().epsilon(0.5).beta_initializer(Init::Constant(0.4))),
        "Block" => DynPart::new(Block::new().add(dense(3, f, probe)).add(dense(2, f, probe))),
        "ClassToken" => DynPart::new(ClassToken::new().token_initializer(bias())),
        "Concatenate" => DynPart::new(Concatenate::new().branch(dense(2, f, probe)).branch(Identity::new())),
        "Conv1d" => activated!(Conv1d::new(2, 2).padding(Padding::Causal).bias_initializer(bias())),
        "Conv1dTranspose" => DynPart::new(Conv1dTranspose::new(2, 3).strides(2).bias_initializer(bias())),
        "Conv2d" => activated!(Conv2d::new(2, [1, 2]).padding(Padding::Same).bias_initializer(bias())),
        "Conv2dTranspose" => activated!(Conv2dTranspose::new(2, [2, 1]).bias_initializer(bias())),
        "Cropping1d" => DynPart::new(Cropping1d::new([[1, 0]])),
        "Cropping2d" => DynPart::new(Cropping2d::new([[0, 1], [0, 0]])),
        "Dense" => dense(3, f, probe),
        "DepthwiseConv1d" => DynPart::new(DepthwiseConv1d::new(2).depth_multiplier(2).bias_initializer(bias())),
        "DepthwiseConv2d" => activated!(DepthwiseConv2d::new([2, 1]).bias_initializer(bias())),
        "Dropout" => DynPart::new(Dropout::new(0.4)),
        "Elu" => probed(Elu::new().alpha(0.7), before()),
        "Embedding" => DynPart::new(Embedding::new(IDS, units).embeddings_initializer(bias())),
        "Flatten" => DynPart::new(Flatten::new()),
        "GatedDense" => DynPart::new(GatedDense::swiglu(units).use_bias(true).bias_initializer(bias())),
        "GaussianDropout" => DynPart::new(GaussianDropout::new(0.3)),
        "MultiHeadAttention" => DynPart::new(MultiHeadAttention::new(2, 2).causal(true).rotary(Rotary::new())),
        "GaussianNoise" => DynPart::new(GaussianNoise::new(0.2)),
        "GlobalAveragePooling1d" => DynPart::new(GlobalAveragePooling1d::new()),
        "GlobalAveragePooling2d" => DynPart::new(GlobalAveragePooling2d::new().keepdims(true)),
        "GlobalMaxPooling1d" => probed(GlobalMaxPooling1d::new().keepdims(true), watch(Watch::Maximum)),
        "GlobalMaxPooling2d" => probed(GlobalMaxPooling2d::new(), watch(Watch::Maximum)),
        "GroupNorm" => DynPart::new(GroupNorm::new(1).epsilon(0.5).beta_initializer(Init::Constant(0.4))),
        "Identity" => DynPart::new(Identity::new()),
        "LayerNorm" => DynPart::new(LayerNorm::new().epsilon(0.5).beta_initializer(Init::Constant(0.4))),
        "LeakyRelu" => probed(LeakyRelu::new(), before()),
        "Masking" => DynPart::new(Masking::new(0.0)),
        "MaxPooling1d" => probed(MaxPooling1d::new(2).padding(Padding::Same), watch(Watch::Maximum)),
        "MaxPooling2d" => probed(MaxPooling2d::new([2, 1]).strides(1), watch(Watch::Maximum)),
        "Multiply" => {
            DynPart::new(Multiply::new().branch(Identity::new()).branch(Dense::new(1).bias_initializer(bias())))
        }
        "Negative" => DynPart::new(Negative::new()),
        "Normalization" => DynPart::new(Normalization::from_stats(vec![0.3; units], vec![2.0; units])),
        "PRelu" => probed(PRelu::new().alpha_initializer(Init::Constant(0.25)), before()),
        "Permute" => DynPart::new(Permute::new([2, 1])),
        "RepeatVector" => DynPart::new(RepeatVector::new(2)),
        "Rescaling" => DynPart::new(Rescaling::new(0.5).offset(-0.2)),
        "Reshape" => DynPart::new(Reshape::new([-1, 1])),
        "Residual" => DynPart::new(Residual::new().add(dense(units, f, probe))),
        "RmsNorm" => DynPart::new(RmsNorm::new().epsilon(0.5)),
        "SeparableConv1d" => activated!(SeparableConv1d::new(2, 2).padding(Padding::Same).bias_initializer(bias())),
        "SeparableConv2d" => DynPart::new(SeparableConv2d::new(2, [1, 2]).depth_multiplier(2).bias_initializer(bias())),
        "Slice" => DynPart::new(Slice::new().every(2, ..)),
        "Softmax" => DynPart::new(Softmax::new()),
        "SpatialDropout1d" => DynPart::new(SpatialDropout1d::new(0.3)),
        "SpatialDropout2d" => DynPart::new(SpatialDropout2d::new(0.4)),
        // The kernel of the Dense before it.
        "TiedDense" => activated!(TiedDense::new("dense/kernel").use_bias(true).bias_initializer(bias())),
        "TimeDistributed" => DynPart::new(TimeDistributed::new(Dense::new(2).bias_initializer(bias()))),
        "UnitNormalization" => probed(UnitNormalization::new(), watch(Watch::Norm)),
        "UpSampling1d" => DynPart::new(UpSampling1d::new(2)),
        "UpSampling2d" => DynPart::new(UpSampling2d::new([1, 2]).interpolation(Interpolation::Bilinear)),
        "ZeroPadding1d" => DynPart::new(ZeroPadding1d::new([[1, 0]])),
        "ZeroPadding2d" => DynPart::new(ZeroPadding2d::new([[0, 1], [1, 0]])),
        other => panic!("the class {other} is not checked: add it to this list"),
    }
}

/// Sample shape that a layer under test takes in a model of this size.
fn sample(class: &str, size: &Sizes) -> Vec<usize> {
    match (class, size.time) {
        ("RepeatVector", _) => vec![size.inputs],
        ("ClassToken" | "MultiHeadAttention" | "Permute" | "TimeDistributed", time) => {
            vec![time.unwrap_or(2), size.inputs]
        }
        // Two positions along each axis, sometimes three.
        (name, time) if name.ends_with("1d") || name.ends_with("1dTranspose") => {
            vec![2 + time.unwrap_or(0) % 2, size.inputs]
        }
        (name, time) if name.ends_with("2d") || name.ends_with("2dTranspose") => {
            vec![2, 2 + time.unwrap_or(0) % 2, size.inputs]
        }
        (_, Some(time)) => vec![time, size.inputs],
        (_, None) => vec![size.inputs],
    }
}

/// Whether a layer takes token ids, which come from the input.
fn takes_ids(class: &str) -> bool {
    class == "Embedding"
}

/// The token ids that embeddings know.
const IDS: usize = 5;

/// Dense, the layer under test, Dense with the activation under test, Dense with the last activation.
fn model(class: &str, size: &Sizes, f: Activation, end: Activation, seed: u64, probe: Option<&Probe>) -> Model<f64> {
    let [first, hidden, last] = size.units;
    Sequential::new(Shape::try_from(sample(class, size).as_slice()).unwrap())
        .add(if takes_ids(class) { DynPart::new(Identity::new()) } else { dense(first, Activation::Linear, None) })
        .add(layer(class, f, first, probe))
        .add(dense(hidden, f, probe))
        .add(dense(last, end, probe))
        .build_as::<f64>(seed)
        .unwrap()
}

/// The activation under test where the loss takes it, else the one that fits.
fn last(f: Activation, (loss, targets, fit): &LossCase, width: usize) -> Activation {
    let positive = matches!(
        f,
        Activation::Exponential
            | Activation::Softplus
            | Activation::Squareplus
            | Activation::Sigmoid
            | Activation::Softmax
    );
    let defined = *targets != Targets::Rates || positive;
    if defined && loss.check_activation(f, width).is_ok() { f } else { *fit }
}

/// Whether a loss takes the logarithm of predictions.
fn takes_probabilities(loss: &dyn Loss<f64>) -> bool {
    let accepts = |f| loss.check_activation(f, 2).is_ok();
    accepts(Activation::Sigmoid) && !accepts(Activation::Linear)
}

fn check(class: &str, size: &Sizes, f: Activation, case: usize) {
    let loss_case = losses().swap_remove(case);
    let end = last(f, &loss_case, size.units[2]);
    let (loss, targets, _) = loss_case;
    let (width, name) = (size.units[2], loss.name());
    let from_probabilities = takes_probabilities(&*loss) && loss.with_logits(end).is_none();
    let what = format!("{class}, {f}, {}, {size:?}", loss.name());
    let most = if f == Activation::Exponential || end == Activation::Exponential { 2.0 } else { 8.0 };
    for seed in size.seed..size.seed + 50_000 {
        let key = Key::new(seed, Purpose::Data);
        let probe = Probe { watch: Watch::Kinks, most, clear: Arc::new(Mutex::new(true)) };
        let mut model = model(class, size, f, end, seed, None);
        let mut twin = self::model(class, size, f, end, seed, Some(&probe));
        twin.values_mut().copy_from_slice(model.params().values());

        let input = model.input_shape().batched(size.batch).unwrap();
        let x = Tensor::from_fn(input, |i| match key.with(2).unit(i as u64) {
            v if takes_ids(class) => (v * IDS as f64).floor(),
            v => 2.0 * v - 1.0,
        });
        let output = model.output_shape().batched(size.batch).unwrap();
        let recorder = Recorder::default();
        twin.compile(Sgd::default(), recorder.clone(), ()).unwrap();
        twin.gradients(&x, &Tensor::zeros(output)).unwrap();
        let y = Tensor::new(output, std::mem::take(&mut *recorder.0.lock().unwrap())).unwrap();
        if !*probe.clear.lock().unwrap() || !targets.suits(y.as_slice(), width, name, from_probabilities) {
            continue;
        }
        let t = targets.draw(&y, key);
        model.compile(Sgd::default(), loss, ()).unwrap_or_else(|e| panic!("{what}: {e}"));
        check_model(&mut model, &x, &t).unwrap_or_else(|e| panic!("{what}, seed {seed}: {e}"));
        return;
    }
    panic!("{what}: no point away from kinks");
}

/// Calls `f` with sizes drawn by proptest, the same in every run, and makes those that fail as small as it can.
fn with_sizes(number: usize, most: usize, cases: u32, f: impl Fn(&Sizes)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let run = TestRunner::new_with_rng(config, rng).run(&sizes(most), |size| {
        f(&size);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn every_layer_activation_and_loss_in_models() {
    let n = losses().len();
    let work: Vec<(usize, Activation)> = (0..n).flat_map(|case| Activation::ALL.map(|f| (case, f))).collect();
    std::thread::scope(|scope| {
        let (left, right) = work.split_at(work.len() / 2);
        for (part, work) in [left, right].into_iter().enumerate() {
            scope.spawn(move || {
                for (i, &(case, f)) in work.iter().enumerate() {
                    // Layers without an activation of their own take turns: each meets every activation and every loss, but
                    // not every pair of them.
                    let here = |(at, class): &(usize, &&str)| ACTIVATED.contains(*class) || (at + i) % 5 == 0;
                    with_sizes(part * 10_000 + i, 5, 3, |size| {
                        let all = classes();
                        let classes = all.iter().enumerate().filter(here);
                        classes.for_each(|(_, class)| check(class, size, f, case));
                    });
                }
            });
        }
    });
}

/// `check_layer` uses values of its own, at which no activation has a kink.
#[test]
fn every_layer_and_activation_alone() {
    for (i, f) in Activation::ALL.into_iter().enumerate() {
        with_sizes(i, 7, 2, |size| {
            for class in &classes() {
                // Layers without an activation inside are checked once; this one needs another's weights.
                if i > 0 && !ACTIVATED.contains(class) || *class == "TiedDense" {
                    continue;
                }
                let shape = Shape::try_from(sample(class, size).as_slice()).unwrap();
                let layer = layer(class, f, size.inputs, None);
                check_part(layer, shape).unwrap_or_else(|e| panic!("{class}, {f}, {shape}: {e}"));
            }
        });
    }
}

#[test]
fn every_loss_alone() {
    for case in 0..losses().len() {
        with_sizes(case, 11, 20, |size| {
            let (loss, targets, end) = losses().swap_remove(case);
            let (width, from_probabilities) = (size.units[2].min(5), takes_probabilities(&*loss));
            let shape = Shape::from([size.batch * size.time.unwrap_or(1), width]);
            let y = (size.seed..).find_map(|seed| {
                let key = Key::new(seed, Purpose::Data).with(3);
                let mut y = Tensor::from_fn(shape, |i| 4.0 * key.unit(i as u64) - 2.0);
                if end == Activation::Softmax {
                    // So that no probability is very small.
                    y = y.map(|v| 0.5 * v);
                }
                end.forward(y.as_mut_slice(), width);
                targets.suits(y.as_slice(), width, loss.name(), from_probabilities).then_some(y)
            });
            let y = y.expect("endless seeds");
            let t = targets.draw(&y, Key::new(size.seed, Purpose::Data));
            check_loss(&*loss, &t, &y).unwrap_or_else(|e| panic!("{}, {size:?}: {e}", loss.name()));
        });
    }
}

/// Large enough for Winograd's filtering.
#[test]
fn convolutions_of_many_channels() {
    let layer = Conv2d::new(17, 3).activation(Activation::Tanh);
    check_layer(&layer.clone().padding(Padding::Same), [4, 4, 16]).unwrap();
    check_layer(&layer.use_bias(false), [6, 9, 16]).unwrap();
}
