//! Models drawn at random: all layers, settings, shapes, optimizers, numbers of threads. Of each: the same bits for any number of
//! threads, a lone row equal to that row in a batch, the same outputs after saving and loading, and a run that is resumed equal to one that
//! never stopped.
//!
//! `GRADUS_RANDOM_MODELS=20000 cargo test --release -p gradus-tests --test it random_models` draws more than the usual five hundred.

use std::collections::BTreeSet;

use gradus::graph::DynPart;
use gradus::layers::LayerConfig;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::{Result, Shape};

/// Numbers drawn one after the other.
struct Draw {
    key: Key,
    count: u64,
}

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.count += 1;
        self.key.below(self.count, n)
    }

    fn up_to(&mut self, most: usize) -> usize {
        1 + self.below(most)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn unit(&mut self) -> f64 {
        self.count += 1;
        self.key.unit(self.count)
    }

    fn pick<V: Clone>(&mut self, from: &[V]) -> V {
        from[self.below(from.len())].clone()
    }

    fn activation(&mut self) -> Activation {
        if self.one_in(3) { Activation::Linear } else { self.pick(&Activation::ALL) }
    }

    fn padding(&mut self) -> Padding {
        self.pick(&[Padding::Valid, Padding::Same])
    }

    fn regularizer(&mut self) -> Regularizer {
        let (a, b) = (0.1 * self.unit(), 0.1 * self.unit());
        self.pick(&[Regularizer::L1(a), Regularizer::L2(b), Regularizer::L1L2 { l1: a, l2: b }])
    }
}

/// All layers, and the recipes of several.
fn classes() -> Vec<&'static str> {
    let mut all = [LayerConfig::CLASSES, &["Add", "Block", "Concatenate", "Multiply", "Residual"]].concat();
    all.sort_unstable();
    // It stands beside the layer whose weights it uses.
    all.retain(|class| *class != "TiedDense");
    all
}

/// A layer of this class for samples of this shape; none where it takes no such samples.
fn layer(class: &str, d: &mut Draw, shape: Shape, depth: usize) -> Option<DynPart> {
    let last = shape.last();
    let units = if d.one_in(4) { 8 * d.up_to(8) } else { d.up_to(9) };
    let (kernel, stride, bias) = (d.up_to(3), d.up_to(2), !d.one_in(4));
    let rank = match class {
        "RepeatVector" => Some(1),
        name if name.ends_with("1d") || name.ends_with("1dTranspose") => Some(2),
        name if name.ends_with("2d") || name.ends_with("2dTranspose") => Some(3),
        _ => None,
    };
    if rank.is_some_and(|rank| rank != shape.rank()) {
        return None;
    }
    let dense = |d: &mut Draw, units: usize| {
        let layer = Dense::new(units).activation(d.activation()).use_bias(bias);
        let layer = if d.one_in(4) { layer.kernel_regularizer(d.regularizer()) } else { layer };
        let layer = if d.one_in(6) { layer.kernel_constraint(Constraint::max_norm(2.0)) } else { layer };
        if d.one_in(8) { layer.activity_regularizer(d.regularizer()) } else { layer }
    };
    Some(match class {
        "Absolute" => DynPart::new(Absolute::new()),
        "Activation" => DynPart::new(d.pick(&Activation::ALL)),
        "ActivityRegularization" => DynPart::new(ActivityRegularization::new().l1(0.1 * d.unit()).l2(0.1 * d.unit())),
        "Add" => {
            let add = Add::new().branch(dense(d, last)).branch(Identity::new()).activation(d.activation());
            DynPart::new(if d.one_in(2) { add.branch(dense(d, last)) } else { add })
        }
        "AlphaDropout" => DynPart::new(AlphaDropout::new(0.9 * d.unit())),
        "Arithmetic" => {
            use Operation::{Add, Divide, Multiply, Power, Subtract};
            let operation = d.pick(&[Add, Subtract, Multiply, Divide, Power]);
            // Squares, as other powers of negative values are NaN; nothing is divided by values, which may be near 0.
            let number = if operation == Power { 2.0 } else { 0.5 + d.unit() };
            let first = matches!(operation, Add | Subtract | Multiply) && d.one_in(2);
            DynPart::new(Arithmetic::new(operation, number).number_first(first))
        }
        "AveragePooling1d" => DynPart::new(AveragePooling1d::new(kernel).strides(stride).padding(d.padding())),
        "AveragePooling2d" => DynPart::new(AveragePooling2d::new([kernel, stride]).padding(d.padding())),
        "BatchNorm" => {
            let norm = BatchNorm::new().momentum(d.unit()).epsilon(0.01 + d.unit()).scale(bias);
            DynPart::new(norm.activation(d.activation()))
        }
        "Block" => {
            let block = Block::new().add(dense(d, units));
            let inner = d.pick(&classes());
            DynPart::new(match layer(inner, d, shape.with_last(units), depth + 1).filter(|_| depth < 3) {
                Some(inner) => block.add(inner),
                None => block,
            })
        }
        "ClassToken" if shape.rank() == 2 => DynPart::new(ClassToken::new()),
        "ClassToken" => return None,
        "Concatenate" => {
            let one = dense(d, units);
            DynPart::new(Concatenate::new().branch(one).branch(Identity::new()).branch(dense(d, kernel)))
        }
        "Conv1d" => {
            let padding = d.pick(&[Padding::Valid, Padding::Same, Padding::Causal]);
            let layer = Conv1d::new(units, kernel).padding(padding).activation(d.activation()).use_bias(bias);
            DynPart::new(if d.one_in(2) { layer.strides(stride) } else { layer.dilation_rate(stride) })
        }
        "Conv1dTranspose" => DynPart::new(Conv1dTranspose::new(units, kernel).strides(stride).padding(d.padding())),
        "Conv2d" => {
            let layer = Conv2d::new(units, [kernel, d.up_to(3)]).padding(d.padding()).activation(d.activation());
            let layer = if d.one_in(2) { layer.strides(stride) } else { layer.dilation_rate(stride) };
            let groups = if last.is_multiple_of(2) && units.is_multiple_of(2) && d.one_in(3) { 2 } else { 1 };
            DynPart::new(layer.groups(groups).use_bias(bias))
        }
        "Conv2dTranspose" => DynPart::new(
            Conv2dTranspose::new(units, kernel).strides(stride).padding(d.padding()).activation(d.activation()),
        ),
        "Cropping1d" => DynPart::new(Cropping1d::new([[d.below(2), d.below(2)]])),
        "Cropping2d" => DynPart::new(Cropping2d::new([d.below(2), d.below(2)])),
        "Dense" => DynPart::new(dense(d, units)),
        "DepthwiseConv1d" => {
            let layer = DepthwiseConv1d::new(kernel).depth_multiplier(stride).padding(d.padding()).use_bias(bias);
            DynPart::new(layer.activation(d.activation()))
        }
        "DepthwiseConv2d" => {
            let layer = DepthwiseConv2d::new(kernel).depth_multiplier(stride).padding(d.padding()).use_bias(bias);
            DynPart::new(layer.activation(d.activation()))
        }
        "Dropout" => DynPart::new(Dropout::new(0.9 * d.unit())),
        "Elu" => DynPart::new(Elu::new().alpha(d.unit())),
        // Token ids come from the input.
        "Embedding" if depth == 0 && shape.rank() < 3 => DynPart::new(Embedding::new(IDS, units).mask_zero(bias)),
        "Embedding" => return None,
        "Flatten" => DynPart::new(Flatten::new()),
        "GatedDense" => {
            let activation = match d.activation() {
                f if f.is_row_wise() => Activation::Silu,
                f => f,
            };
            DynPart::new(GatedDense::new(units, activation).use_bias(bias).fused(d.one_in(2)))
        }
        "MultiHeadAttention" if shape.rank() == 2 => {
            let heads = d.up_to(3);
            let layer =
                MultiHeadAttention::new(heads, 2 * kernel).use_bias(bias).fused(d.one_in(2)).dropout(0.5 * d.unit());
            let layer = if d.one_in(2) { layer.rotary(Rotary::new()) } else { layer };
            let layer = layer.causal(d.one_in(2)).window(d.one_in(3).then_some(stride));
            DynPart::new(if d.one_in(3) { layer.key_heads(1) } else { layer })
        }
        "MultiHeadAttention" => return None,
        "GaussianDropout" => DynPart::new(GaussianDropout::new(0.9 * d.unit())),
        "GaussianNoise" => DynPart::new(GaussianNoise::new(d.unit())),
        "GlobalAveragePooling1d" => DynPart::new(GlobalAveragePooling1d::new().keepdims(bias)),
        "GlobalAveragePooling2d" => DynPart::new(GlobalAveragePooling2d::new().keepdims(bias)),
        "GlobalMaxPooling1d" => DynPart::new(GlobalMaxPooling1d::new().keepdims(bias)),
        "GlobalMaxPooling2d" => DynPart::new(GlobalMaxPooling2d::new().keepdims(bias)),
        "GroupNorm" => DynPart::new(GroupNorm::new(if last.is_multiple_of(2) { 2 } else { 1 }).center(bias)),
        "Identity" => DynPart::new(Identity::new()),
        "LayerNorm" => DynPart::new(LayerNorm::new().epsilon(0.01 + d.unit()).scale(bias)),
        "LeakyRelu" => DynPart::new(LeakyRelu::new().negative_slope(d.unit())),
        "Masking" => DynPart::new(Masking::new(d.pick(&[0.0, 0.5]))),
        "MaxPooling1d" => DynPart::new(MaxPooling1d::new(kernel).strides(stride).padding(d.padding())),
        "MaxPooling2d" => DynPart::new(MaxPooling2d::new([stride, kernel]).padding(d.padding())),
        "Multiply" => DynPart::new(Multiply::new().branch(Identity::new()).branch(dense(d, d_last(last, bias)))),
        "Negative" => DynPart::new(Negative::new()),
        "Normalization" => {
            let (mean, variance): (Vec<_>, Vec<_>) = (0..last).map(|_| (d.unit() - 0.5, 0.1 + d.unit())).unzip();
            DynPart::new(Normalization::from_stats(mean, variance))
        }
        "PRelu" => DynPart::new(PRelu::new().alpha_initializer(Init::Constant(0.5 * d.unit()))),
        "Permute" => match shape.rank() {
            2 => DynPart::new(Permute::new([2, 1])),
            3 => DynPart::new(Permute::new(d.pick(&[[2, 1, 3], [3, 1, 2], [1, 3, 2]]))),
            _ => return None,
        },
        "RepeatVector" => DynPart::new(RepeatVector::new(kernel)),
        "Rescaling" => DynPart::new(Rescaling::new(d.unit()).offset(d.unit() - 0.5)),
        "Reshape" => DynPart::new(Reshape::new([-1, last as isize])),
        "Residual" => DynPart::new(Residual::new().add(dense(d, units)).add(dense(d, last)).activation(d.activation())),
        "RmsNorm" => {
            let norm = RmsNorm::new().epsilon(0.01 + d.unit()).unit_offset(bias);
            DynPart::new(if last.is_multiple_of(2) { norm.last(last / 2) } else { norm })
        }
        "SeparableConv1d" => DynPart::new(SeparableConv1d::new(units, kernel).padding(d.padding()).strides(stride)),
        "SeparableConv2d" => DynPart::new(
            SeparableConv2d::new(units, kernel).padding(d.padding()).depth_multiplier(stride).use_bias(bias),
        ),
        "Slice" => {
            let slice = if d.one_in(3) { Slice::new().range(..-1) } else { Slice::new().every(stride, ..) };
            DynPart::new(if d.one_in(2) { slice.at(-1) } else { slice })
        }
        "Softmax" => DynPart::new(Softmax::new()),
        "SpatialDropout1d" => DynPart::new(SpatialDropout1d::new(0.9 * d.unit())),
        "SpatialDropout2d" => DynPart::new(SpatialDropout2d::new(0.9 * d.unit())),
        "TimeDistributed" if shape.rank() > 1 => DynPart::new(TimeDistributed::new(dense(d, units))),
        "TimeDistributed" => return None,
        "UnitNormalization" => DynPart::new(UnitNormalization::new()),
        "UpSampling1d" => DynPart::new(UpSampling1d::new(stride)),
        "UpSampling2d" => {
            let way = d.pick(&[Interpolation::Nearest, Interpolation::Bilinear]);
            DynPart::new(UpSampling2d::new([stride, d.up_to(2)]).interpolation(way))
        }
        "ZeroPadding1d" => DynPart::new(ZeroPadding1d::new([[d.below(3), d.below(2)]])),
        "ZeroPadding2d" => DynPart::new(ZeroPadding2d::new([d.below(3), d.below(2)])),
        other => panic!("the class {other} is not drawn: add it to this list"),
    })
}

/// All features of the other branch, or one for all.
fn d_last(last: usize, whole: bool) -> usize {
    if whole { last } else { 1 }
}

/// The token ids that embeddings know.
const IDS: usize = 6;

/// What a seed draws: a model, how it is trained, and the data.
struct Case<T: Float> {
    model: Model<T>,
    x: Tensor<T>,
    y: Tensor<T>,
    batch: usize,
}

fn case<T: Float>(seed: u64, seen: &mut BTreeSet<&'static str>) -> Case<T> {
    let mut d = Draw { key: Key::new(seed, Purpose::Data).with(77), count: 0 };
    let channels = d.pick(&[1, 2, 3, 16, 17]);
    let side = |d: &mut Draw| if d.one_in(5) { 12 } else { d.up_to(6) };
    let input = match d.below(3) {
        0 => Shape::from([d.up_to(40)]),
        1 => Shape::from([side(&mut d), channels]),
        _ => Shape::from([side(&mut d), side(&mut d), channels]),
    };
    let (mut model, mut shape, mut layers) = (Sequential::new(input), input, 0);
    let (wanted, mut ids) = (d.up_to(6), false);
    for _ in 0..40 {
        if layers == wanted {
            break;
        }
        let class = d.pick(&classes());
        if class == "Embedding" && layers > 0 {
            continue;
        }
        // Drawn twice from the same numbers: once to see what comes out.
        let before = d.count;
        let Some(trial) = layer(class, &mut d, shape, 0) else { continue };
        let Ok(built) = Sequential::new(shape).add(trial).build_as::<T>(0) else { continue };
        if built.output_shape().len() > 4096 || built.params().len() > 100_000 {
            continue;
        }
        d.count = before;
        if let Some(again) = layer(class, &mut d, shape, 0) {
            ids |= class == "Embedding";
            (model, shape, layers) = (model.add(again), built.output_shape(), layers + 1);
            if d.one_in(8) {
                model = model.trainable(false);
            }
            if d.one_in(8) {
                model = model.learning_rate_factor(0.5);
            }
            seen.insert(class);
        }
    }
    let classes = d.up_to(5) + 1;
    let (end, kind) = d.pick(&[(Activation::Softmax, 0), (Activation::Sigmoid, 1), (Activation::Linear, 2)]);
    let model = model.add(Flatten::new()).add(Dense::new(classes).activation(end)).build_as::<T>(seed).unwrap();
    let mut case = Case { model, x: Tensor::default(), y: Tensor::default(), batch: d.pick(&[1, 3, 8, 32]) };
    let n = case.batch * 2 + d.below(case.batch);
    case.x = Tensor::from_fn(input.batched(n).unwrap(), |i| {
        let v = d.key.with(1).unit(i as u64);
        T::of(if ids { (v * IDS as f64).floor() } else { 2.0 * v - 1.0 })
    });
    let label = |i: usize| d.key.with(2).below(i as u64, classes);
    case.y = match kind {
        0 => Tensor::from_fn([n], |i| T::of(label(i) as f64)),
        1 => Tensor::from_fn([n, classes], |i| T::of((label(i) % 2) as f64)),
        _ => Tensor::from_fn([n, classes], |i| T::of(d.key.with(3).unit(i as u64))),
    };
    let model = &mut case.model;
    let optimizer = d.below(5);
    macro_rules! compile {
        ($loss:expr) => {
            match optimizer {
                0 => model.compile(Sgd::default().momentum(0.9).nesterov(true), $loss, ()),
                1 => model.compile(Adam::default().amsgrad(true).clipnorm(0.5), $loss, ()),
                2 => model.compile(RmsProp::default().global_clipnorm(1.0), $loss, ()),
                3 => model.compile(AdamW::default().gradient_accumulation_steps(2).ema(0.9), $loss, ()),
                _ => model.compile(Lion::default().weight_decay(0.01), $loss, ()),
            }
        };
    }
    match kind {
        0 => compile!(CategoricalCrossentropy::default()),
        1 => compile!(BinaryCrossentropy::default()),
        _ => compile!(MeanSquaredError::default()),
    }
    .unwrap();
    case
}

fn bits<T: Float>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.as_f64().to_bits()).collect()
}

fn train<T: Float>(case: &mut Case<T>, how: &Fit<'_, T>) -> Result<Vec<u64>> {
    let how = how.clone().batch_size(case.batch).verbose(Verbose::Silent);
    case.model.fit(&case.x, &case.y, &how)?;
    Ok(bits(case.model.params().values()))
}

/// All that must hold of the model of a seed.
fn check<T: Float>(seed: u64, seen: &mut BTreeSet<&'static str>) {
    let mut first = case::<T>(seed, seen);
    let what = format!("seed {seed}, {}\n{}", T::NAME, first.model.summary());
    let outcome = train(&mut first, &Fit::default().epochs(3)).map_err(|e| e.to_string());

    #[cfg(feature = "parallel")]
    {
        let threads = 1 + seed as usize % 5;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut other = case::<T>(seed, seen);
        let again = pool.install(|| train(&mut other, &Fit::default().epochs(3))).map_err(|e| e.to_string());
        assert!(again == outcome, "{threads} threads: {what}");
    }
    // A step that leaves the finite numbers ends the run for any number of threads; there is no more to compare.
    if outcome.is_err() {
        return;
    }

    let y = first.model.predict(&first.x).unwrap();
    for i in [0, first.x.samples() / 2, first.x.samples() - 1] {
        let alone = first.model.predict(&first.x.rows(i..i + 1).unwrap()).unwrap();
        assert!(bits(alone.as_slice()) == bits(y.row(i)), "row {i} alone: {what}");
    }

    #[cfg(feature = "files")]
    {
        let path = std::env::temp_dir().join(format!("gradus_random_{}_{seed}.safetensors", std::process::id()));
        first.model.save(&path).unwrap_or_else(|e| panic!("{e}: {what}"));
        let mut archive = gradus::io::Archive::open(&path).unwrap();
        let loaded = Model::<T>::of_archive(&mut archive).unwrap_or_else(|e| panic!("{e}: {what}"));
        assert!(bits(loaded.predict(&first.x).unwrap().as_slice()) == bits(y.as_slice()), "loaded: {what}");
        drop(archive);
        std::fs::remove_file(&path).unwrap();

        let checkpoint = Checkpoint::new(&path);
        for epochs in [1, 3] {
            let mut run = case::<T>(seed, seen);
            let how = Fit::default().epochs(epochs).checkpoint(&checkpoint);
            let resumed = train(&mut run, &how).unwrap_or_else(|e| panic!("{e}: {what}"));
            assert!(epochs < 3 || Ok(resumed) == outcome, "resumed: {what}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn random_models() {
    let count = std::env::var("GRADUS_RANDOM_MODELS").map_or(500, |n| n.parse().expect("a number of models"));
    let mut seen = BTreeSet::new();
    for seed in 0..count {
        if seed % 4 == 3 { check::<f64>(seed, &mut seen) } else { check::<f32>(seed, &mut seen) }
    }
    let missing: Vec<_> = classes().into_iter().filter(|class| !seen.contains(class)).collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
}
