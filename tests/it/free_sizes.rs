//! Sizes that a graph's inputs leave open: the same bits as with sizes fixed at build, whatever came before, without rebuilding and
//! without memory in steady state.

use gradus::graph::{Graph, Net, Part, Plan, Value, Work};
use gradus::layers::merging;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::{Inputs, Op, Params, Result};
use support::counting::{allocations, count_this_thread};

fn draw<T: Float>(shape: impl Into<Shape>, part: u64) -> Tensor<T> {
    let key = Key::new(11, Purpose::Data).with(part);
    Tensor::from_fn(shape, |i| T::of(key.unit(i as u64) * 2.0 - 1.0))
}

/// Outputs, gradients of the weights and of the inputs.
type Passed<T> = (Vec<Tensor<T>>, Vec<T>, Vec<Tensor<T>>);

/// A training step over samples of these sizes.
fn pass<T: Float>(net: &Net<T>, params: &Params<T>, work: &mut Work<T>, plan: &Plan, sizes: &[Shape]) -> Passed<T> {
    let x: Vec<_> = (1..).zip(sizes).map(|(i, size)| draw(size.batched(3).unwrap(), i)).collect();
    let x: Vec<_> = x.iter().collect();
    let mut gradients = vec![T::zero(); params.len()];
    let mut pass = Pass::training(params, &mut gradients, 5, 1, 0);
    net.forward(&mut pass, work, &x).unwrap();
    let outputs = net.output_shapes().len();
    let y: Vec<_> = (0..outputs).map(|i| net.output(work, i).clone()).collect();
    for (i, y) in y.iter().enumerate() {
        net.output_gradient(work, plan, i).copy_from(&draw(y.shape(), 50 + i as u64));
    }
    net.backward(&mut pass, work, plan, &x).unwrap();
    let dx = (0..x.len()).map(|i| net.input_gradient(work, plan, i).unwrap().clone()).collect();
    (y, gradients, dx)
}

/// What inference gives.
fn infer<T: Float>(net: &Net<T>, params: &Params<T>, work: &mut Work<T>, sizes: &[Shape]) -> Vec<Tensor<T>> {
    let x: Vec<_> = (1..).zip(sizes).map(|(i, size)| draw(size.batched(3).unwrap(), i)).collect();
    net.forward(&mut Pass::inference(params), work, &x.iter().collect::<Vec<_>>()).unwrap();
    (0..net.output_shapes().len()).map(|i| net.output(work, i).clone()).collect()
}

/// A net from inputs of these shapes, with the plan of a whole way back.
fn net<T: Float>(shapes: &[Shape], wire: &dyn Fn(&mut Graph, &[Value]) -> Value) -> Result<(Net<T>, Params<T>, Plan)> {
    let mut g = Graph::new();
    let x: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| g.input(&format!("x{i}"), *shape)).collect();
    let y = wire(&mut g, &x);
    let (net, params) = g.build_net::<T>(&[y], 3)?;
    let plan = net.plan(&params, &vec![true; shapes.len()], &[true]);
    Ok((net, params, plan))
}

fn with(open: Shape, size: &[usize]) -> Shape {
    let mut sizes = size.iter();
    let dims: Vec<_> = open.dims().iter().map(|&n| if n == FREE { *sizes.next().unwrap() } else { n }).collect();
    Shape::try_from(dims.as_slice()).unwrap()
}

/// Lengths in turn, twice, against nets with that very size.
fn check<T: Float>(name: &str, open: &[Shape], turns: &[&[usize]], wire: &dyn Fn(&mut Graph, &[Value]) -> Value) {
    let (free, params, plan) = net::<T>(open, wire).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut trained, mut inferred) = (Work::default(), Work::default());
    let fixed: Vec<_> = turns
        .iter()
        .map(|size| {
            let sizes: Vec<_> = open.iter().map(|open| with(*open, size)).collect();
            let (net, same, plan) = net::<T>(&sizes, wire).unwrap();
            assert_eq!(params.values(), same.values(), "{name}: weights depend on sizes");
            assert!(free.output_shapes()[0].admits(&net.output_shapes()[0]), "{name}");
            let passed = pass(&net, &params, &mut Work::default(), &plan, &sizes);
            let batches: Vec<_> = sizes.iter().map(|size| size.batched(3).unwrap()).collect();
            let space = [Some(&plan), None].map(|plan| net.space_for(&mut Work::default(), plan, &batches).unwrap());
            assert!(space.iter().all(|space| *space > 0), "{name}");
            (passed, infer(&net, &params, &mut Work::default(), &sizes), space, batches, sizes)
        })
        .collect();
    for turn in 0..3 {
        let forwards: Vec<_> = (0..fixed.len()).collect();
        let order: Vec<_> = if turn == 1 { forwards.into_iter().rev().collect() } else { forwards };
        for i in order {
            let (passed, predicted, space, batches, sizes) = &fixed[i];
            assert!(pass(&free, &params, &mut trained, &plan, sizes) == *passed, "{name}: {sizes:?} in training");
            assert!(infer(&free, &params, &mut inferred, sizes) == *predicted, "{name}: {sizes:?} in inference");
            // One work for both.
            assert!(infer(&free, &params, &mut trained, sizes) == *predicted, "{name}: {sizes:?} after training");
            // Registers are shared by what the sizes at build look like, and gradients too; what nodes keep is the same.
            let told = free.space_for(&mut trained, Some(&plan), batches).unwrap();
            assert!(told >= space[0] / 2 && told <= 2 * space[0], "{name}: {told} and {}", space[0]);
            let told = free.space_for(&mut trained, None, batches).unwrap();
            assert!(told >= space[1] / 2 && told <= 2 * space[1], "{name}: {told} and {}", space[1]);
        }
    }
}

/// A layer over open sequences or images, between others that have weights.
fn layer(name: &str, open: impl Into<Shape>, turns: &[&[usize]], layer: impl Part + Clone + 'static) {
    let open = open.into();
    let alone = |g: &mut Graph, x: &[Value]| g.add(layer.clone(), x[0]);
    check::<f32>(name, &[open], turns, &alone);
    check::<f64>(name, &[open], turns, &alone);
    let between = |g: &mut Graph, x: &[Value]| {
        let h = g.add(Activation::Tanh, x[0]);
        let h = g.add(layer.clone(), h);
        g.add(Activation::Gelu, h)
    };
    check::<f32>(name, &[open], turns, &between);
}

const LENGTHS: [&[usize]; 4] = [&[7], &[4], &[12], &[5]];
const SIZES: [&[usize]; 4] = [&[6, 7], &[9, 5], &[5, 5], &[12, 8]];

#[test]
fn layers_over_sequences() {
    let one = |name: &str, l: LayerConfig| layer(name, [FREE, 4], &LENGTHS, l);
    one("Dense", Dense::new(3).activation(Activation::Silu).config_of());
    one("GatedDense", GatedDense::swiglu(3).use_bias(true).config_of());
    one("GatedDense fused", GatedDense::geglu(3).fused(true).config_of());
    one("MultiHeadAttention", MultiHeadAttention::new(2, 3).causal(true).config_of());
    one("MultiHeadAttention rotary", MultiHeadAttention::new(2, 4).fused(true).rotary(Rotary::new()).config_of());
    let normed = MultiHeadAttention::new(4, 2).key_heads(2).rotary(Rotary::new()).qk_norm(RmsNorm::new());
    one("MultiHeadAttention with norms", normed.causal(true).config_of());
    one("MultiHeadAttention ALiBi", MultiHeadAttention::new(3, 2).bias(PositionBias::Alibi).window(3).config_of());
    one("Conv1d", Conv1d::new(3, 3).config_of());
    one("Conv1d same", Conv1d::new(3, 3).strides(2).padding(Padding::Same).config_of());
    one("Conv1d causal", Conv1d::new(3, 2).padding(Padding::Causal).dilation_rate(3).config_of());
    one("Conv1d wide", Conv1d::new(20, 1).activation(Activation::Gelu).config_of());
    one("Conv1dTranspose", Conv1dTranspose::new(3, 3).strides(2).padding(Padding::Same).config_of());
    one("Conv1dTranspose valid", Conv1dTranspose::new(3, 3).strides(2).output_padding(1).config_of());
    one("DepthwiseConv1d", DepthwiseConv1d::new(3).depth_multiplier(2).config_of());
    one("SeparableConv1d", SeparableConv1d::new(3, 2).config_of());
    one("MaxPooling1d", MaxPooling1d::new(2).config_of());
    one("AveragePooling1d", AveragePooling1d::new(3).strides(2).padding(Padding::Same).config_of());
    one("GlobalAveragePooling1d", GlobalAveragePooling1d::new().config_of());
    one("GlobalMaxPooling1d", GlobalMaxPooling1d::new().keepdims(true).config_of());
    one("ZeroPadding1d", ZeroPadding1d::new([[1, 2]]).config_of());
    one("Cropping1d", Cropping1d::new([[1, 2]]).config_of());
    one("UpSampling1d", UpSampling1d::new(3).config_of());
    one("Permute", Permute::new([2, 1]).config_of());
    one("Flatten", Flatten::new().config_of());
    one("Reshape", Reshape::new([-1, 2, 2]).config_of());
    one("BatchNorm", BatchNorm::new().activation(Activation::Elu(1.0)).config_of());
    one("LayerNorm", LayerNorm::new().config_of());
    one("RmsNorm", RmsNorm::new().config_of());
    one("RmsNorm of heads", RmsNorm::new().last(2).unit_offset(true).config_of());
    one("ClassToken", ClassToken::new().config_of());
    layer("PositionEmbedding", [FREE, 4], &LENGTHS, PositionEmbedding::new(12));
    layer("SinusoidalPositions", [FREE, 4], &LENGTHS, SinusoidalPositions::new());
    layer("RotaryPositions", [FREE, 4], &LENGTHS, RotaryPositions::new(2, Rotary::new()));
    one("GroupNorm", GroupNorm::new(2).config_of());
    one("UnitNormalization", UnitNormalization::new().config_of());
    one("PRelu", PRelu::new().shared_axes([1]).alpha_initializer(Init::Constant(0.3)).config_of());
    one("Elu", Elu::new().config_of());
    one("LeakyRelu", LeakyRelu::new().config_of());
    one("Softmax", Softmax::new().config_of());
    one("Activation", Activation::Mish.config_of());
    one("Identity", Identity::new().config_of());
    one("Masking", Masking::new(0.0).config_of());
    one("TimeDistributed", TimeDistributed::new(Dense::new(3).activation(Activation::Gelu)).config_of());
    one("Dropout", Dropout::new(0.4).config_of());
    one("AlphaDropout", AlphaDropout::new(0.4).config_of());
    one("GaussianDropout", GaussianDropout::new(0.4).config_of());
    one("GaussianNoise", GaussianNoise::new(0.4).config_of());
    one("SpatialDropout1d", SpatialDropout1d::new(0.4).config_of());
    one("ActivityRegularization", ActivityRegularization::new().l2(0.1).config_of());
    one("Rescaling", Rescaling::new(0.5).offset(1.0).config_of());
    one("Normalization", Normalization::from_stats([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]).config_of());
    one("Slice at", Slice::new().at(-1).config_of());
    one("Slice of features", Slice::new().range(..).range(1..3).config_of());
    one("Slice of the first", Slice::new().range(..3).config_of());
    one("Slice of the last", Slice::new().every(2, -4..).range(..-1).config_of());
    one("Slice within", Slice::new().between(1, -1).config_of());
    one("Slice of every other", Slice::new().every(2, 1..).at(0).config_of());
    // Vectors of any length, without weights.
    layer("RepeatVector", [FREE], &LENGTHS, RepeatVector::new(3));
    layer("UnitNormalization of all", [FREE], &LENGTHS, UnitNormalization::new());
    layer("Softmax of all", [FREE], &LENGTHS, Softmax::new());
    layer("MaxPooling1d of any channels", [6, FREE], &LENGTHS, MaxPooling1d::new(2));
    // Containers are recipes.
    layer("Residual", [FREE, 4], &LENGTHS, Residual::new().add(Conv1d::new(4, 3).padding(Padding::Same)));
}

#[test]
fn layers_over_images() {
    let one = |name: &str, l: LayerConfig| layer(name, [FREE, FREE, 3], &SIZES, l);
    one("Conv2d", Conv2d::new(4, 3).config_of());
    one("Conv2d same", Conv2d::new(4, [2, 3]).strides([2, 1]).padding(Padding::Same).config_of());
    one("Conv2dTranspose", Conv2dTranspose::new(2, 3).strides(2).config_of());
    one("DepthwiseConv2d", DepthwiseConv2d::new(3).strides(2).padding(Padding::Same).config_of());
    one("SeparableConv2d", SeparableConv2d::new(4, 3).depth_multiplier(2).config_of());
    one("MaxPooling2d", MaxPooling2d::new(2).config_of());
    one("AveragePooling2d", AveragePooling2d::new(3).strides(1).config_of());
    one("GlobalAveragePooling2d", GlobalAveragePooling2d::new().keepdims(true).config_of());
    one("GlobalMaxPooling2d", GlobalMaxPooling2d::new().config_of());
    one("ZeroPadding2d", ZeroPadding2d::new([1, 2]).config_of());
    one("Cropping2d", Cropping2d::new([[1, 0], [0, 2]]).config_of());
    one("UpSampling2d", UpSampling2d::new(2).interpolation(Interpolation::Bilinear).config_of());
    one("SpatialDropout2d", SpatialDropout2d::new(0.3).config_of());
    one("GroupNorm", GroupNorm::new(3).config_of());
    one("Permute", Permute::new([2, 3, 1]).config_of());
    one("PRelu", PRelu::new().shared_axes([1, 2]).config_of());
    one("Slice", Slice::new().every(2, ..-1).between(1, -1).range(1..).config_of());
    one("Slice of a row", Slice::new().at(-2).range(-3..-1).config_of());
    // One axis open.
    layer("Conv2d of one open axis", [5, FREE, 3], &LENGTHS, Conv2d::new(4, 3));
    // Winograd's filtering, and products where an image is small.
    layer(
        "Conv2d by Winograd",
        [FREE, FREE, 16],
        &[&[9, 12], &[3, 3], &[14, 5]],
        Conv2d::new(16, 3).padding(Padding::Same),
    );
}

/// A layer by its configuration, so that one list holds all.
trait ConfigOf {
    fn config_of(self) -> LayerConfig;
}

impl<L: Layer<f32>> ConfigOf for L {
    fn config_of(self) -> LayerConfig {
        self.config()
    }
}

#[test]
fn merged_values() {
    let all = |name: &str, op: &dyn Fn(&mut Graph, &[Value]) -> Value| {
        let same = [Shape::from([FREE, 3]); 3];
        check::<f64>(name, &same[..2], &LENGTHS, op);
        // A vector for every step, and a gate for every step.
        check::<f32>(name, &[[FREE, 3].into(), [3].into()], &LENGTHS, op);
        check::<f32>(name, &[[FREE, 1].into(), [FREE, 3].into()], &LENGTHS, op);
        // What is open turns out as what is known, or 1.
        check::<f64>(name, &[[FREE, 3].into(), [6, 3].into()], &[&[6], &[1], &[6]], op);
    };
    all("Add", &|g, x| g.op(merging::Add::new().activation(Activation::Silu), x));
    all("Average", &|g, x| g.op(merging::Average::new(), x));
    all("Maximum", &|g, x| g.op(merging::Maximum::new(), x));
    all("Minimum", &|g, x| g.op(merging::Minimum::new(), x));
    all("Multiply", &|g, x| g.op(merging::Multiply::new(), x));
    all("Subtract", &|g, x| g.op(merging::Subtract::new(), x));
    check::<f64>("three", &[[FREE, 3].into(), [1, 3].into(), [FREE, 1].into()], &LENGTHS, &|g, x| {
        g.op(merging::Multiply::new(), x)
    });
    let (a, b) = (Shape::from([FREE, 3]), Shape::from([FREE, 2]));
    check::<f64>("Concatenate", &[a, b, a], &LENGTHS, &|g, x| g.op(merging::Concatenate::new(), x));
    check::<f64>("Concatenate in time", &[a, [2, 3].into(), a], &LENGTHS, &|g, x| {
        g.op(merging::Concatenate::new().axis(1), x)
    });
    for normalize in [false, true] {
        let dot = |axes| merging::Dot::new(axes).normalize(normalize);
        check::<f64>("Dot of every two", &[a, a], &LENGTHS, &|g, x| g.op(dot([-1, -1]), x));
        check::<f64>("Dot over time", &[a, b], &LENGTHS, &|g, x| g.op(dot([1, 1]), x));
    }
    check::<f64>("Attention", &[a, a], &LENGTHS, &|g, x| g.op(Attention::new().use_scale(true).causal(true), x));
    check::<f64>("Attention by tangents", &[a, b, a], &LENGTHS, &|g, x| {
        g.op(Attention::new().concat(true).dropout(0.2), x)
    });
    check::<f64>("AdditiveAttention", &[[4, 3].into(), b, a], &LENGTHS, &|g, x| g.op(AdditiveAttention::new(), x));
    check::<f64>("MultiHeadAttention", &[a, [4, 2].into(), [4, 5].into()], &LENGTHS, &|g, x| {
        g.op(MultiHeadAttention::new(2, 3), x)
    });
    check::<f64>("WithMaskOf", &[a, b], &LENGTHS, &|g, x| g.masked_as(x[0], x[1]));
    check::<f64>("InfoNce of pooled sequences", &[a, a, a], &LENGTHS, &|g, x| {
        let pooled: Vec<_> = x.iter().map(|x| g.add(GlobalAveragePooling1d::new(), *x)).collect();
        g.op(merging::InfoNce::new().symmetric(true), &pooled)
    });
    // Two values in one net, which share one slot in inference.
    check::<f32>("several", &[a, [FREE, 1].into(), [3].into()], &LENGTHS, &|g, x| {
        let gated = g.op(merging::Multiply::new(), &x[..2]);
        let sum = g.op(merging::Add::new(), &[gated, x[2]]);
        let both = g.op(merging::Concatenate::new(), &[sum, x[1], gated]);
        g.op(merging::Maximum::new(), &[both, x[1]])
    });
}

/// A detector of what a text or an image holds, of any length.
fn whole(g: &mut Graph, x: &[Value]) -> Value {
    let h = g.add(Conv1d::new(8, 3).padding(Padding::Same).activation(Activation::Gelu), x[0]);
    let h = g.add(BatchNorm::new(), h);
    let f = g.add(SeparableConv1d::new(8, 3).padding(Padding::Causal), h);
    let h = g.op(merging::Add::new().activation(Activation::Silu), &[h, f]);
    let h = g.add(MaxPooling1d::new(2), h);
    let h = g.add(SpatialDropout1d::new(0.2), h);
    let gate = g.add(GlobalAveragePooling1d::new().keepdims(true), h);
    let gate = g.add(Dense::new(8).activation(Activation::Sigmoid), gate);
    let h = g.op(merging::Multiply::new(), &[h, gate]);
    let h = g.add(Conv1dTranspose::new(6, 2).strides(2), h);
    let h = g.add(GroupNorm::new(2), h);
    let h = g.add(Slice::new().range(1..), h);
    let most = g.add(GlobalMaxPooling1d::new(), h);
    let mean = g.add(GlobalAveragePooling1d::new(), h);
    let both = g.op(merging::Concatenate::new(), &[most, mean]);
    g.add(Dense::new(2).activation(Activation::Softmax), both)
}

#[test]
fn a_whole_net() {
    check::<f32>("whole", &[[FREE, 3].into()], &[&[10], &[3], &[31], &[2], &[10]], &whole);
    check::<f64>("whole", &[[FREE, 3].into()], &[&[10], &[3], &[31], &[2], &[10]], &whole);
}

/// Central differences through one net over two lengths.
#[test]
fn differences() {
    let smooth = |g: &mut Graph, x: &[Value]| {
        let h = g.add(Conv1d::new(3, 3).padding(Padding::Same).activation(Activation::Tanh), x[0]);
        let h = g.add(LayerNorm::new(), h);
        let scale = g.add(GlobalAveragePooling1d::new().keepdims(true), h);
        let h = g.op(merging::Multiply::new(), &[h, scale]);
        let h = g.add(UpSampling1d::new(2), h);
        let last = g.add(Slice::new().every(2, -3..), h);
        let last = g.add(Flatten::new(), last);
        let h = g.add(Slice::new().between(1, -1), h);
        let h = g.add(GlobalAveragePooling1d::new(), h);
        let h = g.op(merging::Concatenate::new(), &[h, last]);
        g.add(Dense::new(2), h)
    };
    let (net, mut params, plan) = net::<f64>(&[[FREE, 2].into()], &smooth).unwrap();
    let mut work = Work::default();
    for length in [5, 2, 7] {
        let sizes = [Shape::from([length, 2])];
        let (y, gradients, dx) = pass(&net, &params, &mut work, &plan, &sizes);
        let g = draw::<f64>(y[0].shape(), 50);
        let mut x = draw::<f64>(sizes[0].batched(3).unwrap(), 1);
        let mut loss = |params: &Params<f64>, x: &Tensor<f64>| {
            net.forward(&mut Pass::inference(params), &mut work, &[x]).unwrap();
            net.output(&work, 0).iter().zip(&g).map(|(y, g)| y * g).sum::<f64>()
        };
        let step = 1e-5;
        for (i, gradient) in gradients.into_iter().enumerate() {
            let mut at = |change: f64| {
                let mut moved = params.clone();
                moved.values_mut()[i] += change;
                loss(&moved, &x)
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            assert!((gradient - difference).abs() < 1e-8, "weight {i}: {gradient} and {difference} by differences");
        }
        for i in 0..x.len() {
            let mut at = |change: f64| {
                x.as_mut_slice()[i] += change;
                let loss = loss(&params, &x);
                x.as_mut_slice()[i] -= change;
                loss
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            assert!((dx[0].as_slice()[i] - difference).abs() < 1e-8, "x[{i}] of length {length}");
        }
        // Another length sees other weights.
        params.values_mut().iter_mut().for_each(|w| *w *= 1.01);
    }
}

/// From the second pass over a size on nothing is allocated, in training and in inference, whichever sizes take turns.
#[test]
fn no_memory_in_steady_state() {
    fn counted<T: Float>() {
        let (net, params, plan) = net::<T>(&[[FREE, 3].into()], &whole).unwrap();
        let x: Vec<Tensor<T>> = [9, 4, 17, 2].map(|length| draw([2, length, 3], length as u64)).into();
        let (mut trained, mut inferred) = (Work::default(), Work::default());
        let mut gradients = vec![T::zero(); params.len()];
        let mut step = |x: &Tensor<T>| {
            net.space_for(&mut trained, Some(&plan), &[x.shape()]).unwrap();
            let mut pass = Pass::training(&params, &mut gradients, 5, 1, 0);
            net.forward(&mut pass, &mut trained, &[x]).unwrap();
            net.output_gradient(&mut trained, &plan, 0).as_mut_slice().fill(T::one());
            net.backward(&mut pass, &mut trained, &plan, &[x]).unwrap();
            net.forward(&mut Pass::inference(&params), &mut inferred, &[x]).unwrap();
        };
        let first = allocations(|| x.iter().for_each(&mut step));
        assert!(first.0 > 0, "the counter does not count");
        for x in x.iter().rev().chain(&x).chain(&x) {
            assert_eq!(allocations(|| step(x)).0, 0, "{}", x.shape());
        }
    }
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        count_this_thread(true);
        counted::<f32>();
        counted::<f64>();
        count_this_thread(false);
    });
}

#[test]
fn weights_that_would_depend_on_a_free_size() {
    let error = |shape: &[usize], wire: &dyn Fn(&mut Graph, Value) -> Value| {
        net::<f32>(&[Shape::try_from(shape).unwrap()], &|g, x| wire(g, x[0])).unwrap_err().to_string()
    };
    let sequences = [FREE, 3];
    assert_eq!(
        error(&sequences, &|g, x| {
            let h = g.add(Flatten::new(), x);
            g.add(Dense::new(2), h)
        }),
        "layer 1 (dense): Dense: expected a last axis of fixed size, for which there are weights, got [free]; fix that size, or \
         bring the free axes to one size before: GlobalAveragePooling1d in the place of a Flatten"
    );
    let refused = |class: &str, shape: &[usize], wire: &dyn Fn(&mut Graph, Value) -> Value| {
        let error = error(shape, wire);
        let expected = format!("{class}: expected a last axis of fixed size, for which there are weights, got ");
        assert!(error.contains(&expected), "{error}");
    };
    refused("LayerNorm", &[3, FREE], &|g, x| g.add(LayerNorm::new(), x));
    refused("RmsNorm", &[3, FREE], &|g, x| g.add(RmsNorm::new(), x));
    refused("ClassToken", &[3, FREE], &|g, x| g.add(ClassToken::new(), x));
    refused("GatedDense", &[3, FREE], &|g, x| g.add(GatedDense::swiglu(1), x));
    refused("PositionEmbedding", &[3, FREE], &|g, x| g.add(PositionEmbedding::new(3), x));
    refused("GroupNorm", &[3, FREE], &|g, x| g.add(GroupNorm::new(1), x));
    refused("BatchNorm", &[FREE], &|g, x| g.add(BatchNorm::new(), x));
    refused("Conv1d", &[3, FREE], &|g, x| g.add(Conv1d::new(1, 1), x));
    refused("Conv2d", &[3, 3, FREE], &|g, x| g.add(Conv2d::new(1, 1), x));
    refused("Conv2dTranspose", &[3, 3, FREE], &|g, x| g.add(Conv2dTranspose::new(1, 1), x));
    refused("DepthwiseConv1d", &[3, FREE], &|g, x| g.add(DepthwiseConv1d::new(1), x));
    refused("SeparableConv2d", &[3, 3, FREE], &|g, x| g.add(SeparableConv2d::new(1, 1), x));
    refused("Normalization", &[FREE], &|g, x| g.add(Normalization::from_stats([1.0], [1.0]), x));
    assert_eq!(
        error(&[FREE, FREE, 3], &|g, x| g.add(PRelu::new().shared_axes([1]), x)),
        "layer 0 (prelu): PRelu: shared_axes must be axis 2 of [free, free, 3] among them, as no slope can depend on a free \
         size, got [1]; share one slope along each free axis"
    );
    assert_eq!(
        error(&sequences, &|g, x| g.add(Reshape::new([5, 3]), x)),
        "layer 0 (reshape): Reshape: expected a target with a -1, as the number of values of [free, 3] is free, got [5, 3]; put \
         -1 in the place of the size that follows from the free ones"
    );
    assert_eq!(
        error(&[FREE, 3], &|g, x| {
            let h = g.add(Dense::new(2), x);
            g.op(merging::Add::new(), &[x, h])
        }),
        "layer 1 (add): Add: expected operands that agree with [free, 3], axes counted from the last, or have size 1, got [free, 2] \
         as operand 1, whose 2 meets 3; bring them to one shape, or an axis to size 1 (a Reshape puts axes of 1 behind others)"
    );
    assert!(
        error(&sequences, &|g, x| g.add(Conv1dTranspose::new(1, 3).output_padding(1), x)).contains("output_padding")
    );
    assert!(error(&[FREE, 0], &|g, x| g.add(Identity::new(), x)).contains("at least one value in the input x0"));
    assert!(error(&[FREE, 1 << 60], &|g, x| g.add(Identity::new(), x)).contains("fits in memory"));
    assert!(error(&[FREE, 1 << 29], &|g, x| g.add(Identity::new(), x)).contains("fits in memory"));
}

/// What does not fit names what was open, and a size that cannot work its node; what stood in the work stays.
#[test]
fn batches_that_cannot_work() {
    let wire = |g: &mut Graph, x: &[Value]| {
        let h = g.scope("front", |g| g.add(Conv1d::new(4, 3), x[0]));
        let h = g.add(MaxPooling1d::new(2), h);
        let h = g.add(Reshape::new([-1, 8]), h);
        g.op(merging::Multiply::new(), &[h, x[1]])
    };
    let (net, params, plan) = net::<f64>(&[[FREE, 2].into(), [FREE, 8].into()], &wire).unwrap();
    assert_eq!(net.input_shapes(), [[FREE, 2].into(), [FREE, 8].into()]);
    assert_eq!(net.output_shapes(), [[FREE, 8].into()]);
    assert_eq!(net.output_shapes()[0].to_string(), "[free, 8]");
    let mut work = Work::default();
    let good = [Shape::from([10, 2]), [2, 8].into()];
    let before = pass(&net, &params, &mut work, &plan, &good);
    let error = |work: &mut Work<f64>, a: &[usize], b: &[usize]| {
        let x = [a, b].map(|dims| Tensor::zeros(Shape::try_from(dims).unwrap()));
        net.forward(&mut Pass::inference(&params), work, &[&x[0], &x[1]]).unwrap_err().to_string()
    };
    assert_eq!(
        error(&mut work, &[3, 10, 3], &[3, 2, 8]),
        "forward: expected the input x0 of shape [n, free, 2], n samples, got [3, 10, 3]; the inputs are, in order: x0, x1"
    );
    assert!(error(&mut work, &[3, 0, 2], &[3, 2, 8]).contains("x0 of shape [n, free, 2], n samples, got [3, 0, 2]"));
    assert!(error(&mut work, &[3, 10], &[3, 2, 8]).contains("x0 of shape [n, free, 2]"));
    assert!(error(&mut work, &[3, 10, 2], &[4, 2, 8]).contains("3 samples in the input x1, as in x0"));
    assert_eq!(
        error(&mut work, &[3, 2, 2], &[3, 1, 8]),
        "layer 0 (front/conv1d): Conv1d: expected a length of at least 3, which the window spans (kernel size 3, dilation 1), got \
         2; pad with Padding::Same, take a smaller kernel, or reduce the size less before"
    );
    assert!(
        error(&mut work, &[3, 3, 2], &[3, 1, 8])
            .contains("layer 1 (max_pooling1d): MaxPooling1d: expected a length of at least 2")
    );
    assert_eq!(
        error(&mut work, &[3, 8, 2], &[3, 1, 8]),
        "layer 2 (reshape): Reshape: expected a target of the 12 values of [3, 4], got [-1, 8]; keep the number of values"
    );
    assert!(
        error(&mut work, &[3, 10, 2], &[3, 3, 8])
            .contains("layer 3 (multiply): Multiply: expected operands that agree with [2, 8]")
    );
    // Nothing of that shows.
    assert_eq!(net.output(&work, 0).dims(), &[3, 2, 8]);
    assert!(pass(&net, &params, &mut work, &plan, &good) == before);
    // Backward goes over the inputs of the forward pass.
    let other = [draw([3, 14, 2], 1), draw([3, 3, 8], 2)];
    let mut gradients = vec![0.0; params.len()];
    let mut training = Pass::training(&params, &mut gradients, 5, 1, 0);
    let refused = net.backward(&mut training, &mut work, &plan, &[&other[0], &other[1]]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "backward: expected the input x0 of shape [n, 10, 2], as in the forward pass, got [3, 14, 2]; pass the inputs of the \
         forward pass"
    );
    // Looking at the room that another size takes changes nothing either.
    let room = |work: &mut Work<f64>, length: usize, steps: usize| {
        net.space_for(work, Some(&plan), &[[3, length, 2].into(), [3, steps, 8].into()])
    };
    assert!(room(&mut work, 14, 3).unwrap() > room(&mut work, 10, 2).unwrap());
    assert!(
        room(&mut work, 2, 1).unwrap_err().to_string().starts_with("layer 0 (front/conv1d): Conv1d: expected a length")
    );
    assert!(
        net.space_for(&mut work, None, &[[3, 10, 2].into()])
            .unwrap_err()
            .to_string()
            .contains("[n, free, 2] and [n, free, 8]")
    );
    assert!(pass(&net, &params, &mut work, &plan, &good) == before);
    let open = net.space_for(&mut work, None, &[[3, FREE, 2].into(), [3, 2, 8].into()]).unwrap_err().to_string();
    assert!(open.contains("a shape without free sizes, got [3, free, 2]"), "{open}");
    // No samples, of any size.
    net.forward(&mut Pass::inference(&params), &mut work, &[&Tensor::zeros([0, 22, 2]), &Tensor::zeros([0, 5, 8])])
        .unwrap();
    assert_eq!(net.output(&work, 0).dims(), &[0, 5, 8]);
}

/// A range that counts from one side takes as many steps of every sample, for which there may be weights; what is too short names its node.
#[test]
fn slices_of_samples_that_are_too_short() {
    let (net, params, _) = net::<f64>(&[[FREE, 2].into()], &|g, x| {
        let h = g.scope("tail", |g| g.add(Slice::new().range(-3..), x[0]));
        let h = g.add(Flatten::new(), h);
        g.add(Dense::new(1), h)
    })
    .unwrap();
    assert_eq!((net.output_shapes()[0], params.len()), ([1].into(), 7));
    let open = self::net::<f64>(&[[FREE, FREE].into()], &|g, x| {
        let h = g.add(Slice::new().range(1..).at(4), x[0]);
        g.add(Slice::new().range(..-1), h)
    });
    let (open, no_params, _) = open.unwrap();
    assert_eq!(infer(&net, &params, &mut Work::default(), &[[3, 2].into()])[0].dims(), &[3, 1]);
    let error = |net: &Net<f64>, params: &Params<f64>, sizes: [usize; 2]| {
        let x = Tensor::zeros(Shape::from(sizes).batched(1).unwrap());
        net.forward(&mut Pass::inference(params), &mut Work::default(), &[&x]).unwrap_err().to_string()
    };
    assert_eq!(
        error(&net, &params, [2, 2]),
        "layer 0 (tail/slice): Slice: expected at least 3 positions for the range -3.. of axis 1 of samples [2, 2], counted from 1 as \
         the batch is axis 0, got 2; pad the samples, or let one end count from the other side, so that the number of positions is \
         free too"
    );
    assert!(error(&open, &no_params, [1, 5]).starts_with(
        "layer 0 (slice): Slice: range must be a range that leaves at least one position of axis 1 of samples [1, 5]"
    ));
    assert!(
        error(&open, &no_params, [3, 4])
            .starts_with("layer 0 (slice): Slice: at must be from -4 to 3 for the position of axis 2")
    );
    assert!(
        error(&open, &no_params, [2, 5]).starts_with("layer 1 (slice_1): Slice: range must be a range that leaves")
    );
    assert_eq!(infer(&open, &no_params, &mut Work::default(), &[[3, 5].into()])[0].dims(), &[3, 1]);
}

/// Two nets may take turns with one work, of free sizes and of fixed ones.
#[test]
fn one_work_for_several_nets() {
    let (a, b) = (Shape::from([FREE, 3]), Shape::from([6, 3]));
    let pool = |g: &mut Graph, x: &[Value]| g.add(MaxPooling1d::new(2), x[0]);
    let flat = |g: &mut Graph, x: &[Value]| {
        let h = g.add(Conv1d::new(2, 2), x[0]);
        g.add(Flatten::new(), h)
    };
    let nets = [net::<f32>(&[a], &pool).unwrap(), net(&[b], &pool).unwrap(), net(&[a], &flat).unwrap()];
    let mut work = Work::default();
    for length in [6, 9, 6] {
        for (net, params, plan) in &nets {
            let sizes = [if net.input_shapes()[0].is_free() { Shape::from([length, 3]) } else { b }];
            let alone = pass(net, params, &mut Work::default(), plan, &sizes);
            assert!(pass(net, params, &mut work, plan, &sizes) == alone);
        }
    }
}

/// y = 2x, by someone who thought of fixed sizes alone, or of free ones too, or wrongly.
#[derive(Clone, Debug)]
struct Twice(Option<usize>);

impl<T: Float> Layer<T> for Twice {
    fn class(&self) -> &'static str {
        if self.0.is_some() { "Twice" } else { "FixedTwice" }
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        match self.0 {
            Some(0) => Ok(x),
            Some(last) => Ok(x.with_last(last)),
            None => Layer::<T>::output_shape(&Unsaid, x),
        }
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        y.as_mut_slice().iter_mut().zip(x).for_each(|(y, x)| *y = *x + *x);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        dx.as_mut_slice().iter_mut().zip(&*dy).for_each(|(dx, dy)| *dx = *dy + *dy);
    }
}

/// A layer and an operation that say nothing of free sizes.
#[derive(Clone, Debug)]
struct Unsaid;

impl<T: Float> Layer<T> for Unsaid {
    fn class(&self) -> &'static str {
        "Unsaid"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        y.copy_from(x);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        _: &mut Tensor<T>,
        _: Option<&mut Tensor<T>>,
    ) {
    }
}

#[derive(Clone, Debug)]
struct UnsaidOp;

impl<T: Float> Op<T> for UnsaidOp {
    fn class(&self) -> &'static str {
        "UnsaidOp"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        Ok(vec![x[0]])
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        y[0].copy_from(&x[0]);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: Inputs<'_, T>,
        _: &[Tensor<T>],
        _: &mut [Tensor<T>],
        _: &mut [Option<Tensor<T>>],
    ) {
    }
}

#[test]
fn layers_of_your_own() {
    let open = [Shape::from([FREE, 3])];
    check::<f32>("Twice", &open, &LENGTHS, &|g, x| g.add(Twice(Some(0)), x[0]));
    let error = |wire: &dyn Fn(&mut Graph, &[Value]) -> Value| net::<f32>(&open, wire).unwrap_err().to_string();
    assert_eq!(
        error(&|g, x| g.add(Unsaid, x[0])),
        "layer 0 (unsaid): build: Unsaid takes fixed sizes, and what it is given, [free, 3], has free ones; name every size, or \
         implement Layer::output_shape for it"
    );
    assert_eq!(
        error(&|g, x| g.op(UnsaidOp, &[x[0], x[0]])),
        "layer 0 (unsaid_op): build: UnsaidOp takes fixed sizes, and what it is given, [free, 3] and [free, 3], has free ones; \
         name every size, or implement Op::output_shapes for it"
    );
    assert_eq!(
        error(&|g, x| g.add(Twice(Some(4)), x[0])),
        "layer 0 (twice): build: build of Twice returned [[free, 3]], and its output_shape returns [[free, 4]]; let build end \
         with that function"
    );
    // With fixed sizes nobody asks, behind free ones either.
    let (net, params, _) = net::<f32>(&open, &|g, x| {
        let h = g.add(GlobalAveragePooling1d::new(), x[0]);
        g.add(Unsaid, h)
    })
    .unwrap();
    for length in [4, 7] {
        assert_eq!(infer(&net, &params, &mut Work::default(), &[[length, 3].into()])[0].dims(), &[3, 3]);
    }
    self::net::<f32>(&[[5, 3].into()], &|g, x| g.add(Unsaid, x[0])).unwrap();
    let wrong = gradus::gradcheck::check_custom_layer(Twice(Some(4)), [5, 3]).unwrap_err().to_string();
    assert!(wrong.contains("build of Twice returned [5, 3], and its output_shape returns [5, 4]"), "{wrong}");
}

/// Sizes stand in files as null.
#[cfg(feature = "serde")]
#[test]
fn free_sizes_in_files() {
    let shape = Shape::from([FREE, 3]);
    let text = serde_json::to_string(&shape).unwrap();
    assert_eq!(text, "[null,3]");
    assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), shape);
    assert_eq!(serde_json::from_str::<Shape>("[2,3]").unwrap(), Shape::from([2, 3]));
}

#[test]
fn a_softmax_over_a_free_width_that_is_folded_is_not_the_losss_own() {
    let model = |size: usize| {
        let model = Sequential::new([size, 2]).add(Dense::new(2)).add(Permute::new([2, 1])).add(Softmax::new());
        let mut model = model.add(Flatten::new()).build_as::<f64>(1).unwrap();
        model.compile(Sgd::default().learning_rate(0.5), CategoricalCrossentropy::default(), ()).unwrap();
        let x = Tensor::from_fn([4, 3, 2], |i| (i as f64 * 0.7).sin());
        let t = Tensor::from_fn([4, 6], |i| if i % 6 == i / 6 { 1.0 } else { 0.0 });
        let history = model.fit(&x, &t, &Fit::default().epochs(3).verbose(Verbose::Silent)).unwrap();
        (history.get("loss").unwrap().to_vec(), model.params().values().to_vec())
    };
    assert_eq!(model(FREE), model(3));
}

#[test]
fn targets_have_the_sizes_that_the_batch_gives_the_outputs() {
    let model = |size: usize| {
        let mut model = Sequential::new([size, 2]).add(Dense::new(2)).build_as::<f64>(1).unwrap();
        model.compile(Sgd::default().learning_rate(0.5), MeanSquaredError::default(), ()).unwrap();
        model
    };
    let data = |n| (Tensor::from_fn([4, n, 2], |i| (i as f64).sin()), Tensor::from_fn([4, n, 2], |i| (i as f64).cos()));
    let (x, t) = data(3);
    let how = Fit::default().epochs(3).verbose(Verbose::Silent);
    let (mut open, mut fixed) = (model(FREE), model(3));
    let losses = [&mut open, &mut fixed].map(|model| model.fit(&x, &t, &how).unwrap().get("loss").unwrap().to_vec());
    assert_eq!(losses[0], losses[1]);
    assert_eq!(open.evaluate(&x, &t).unwrap().loss, fixed.evaluate(&x, &t).unwrap().loss);
    let (longer, longer_t) = data(5);
    assert!(open.fit(&longer, &longer_t, &how).is_ok());
    let error = open.fit(&longer, &t, &how).unwrap_err().to_string();
    assert!(error.contains("targets of shape [4, 5, 2]") && error.contains("got [4, 3, 2]"), "{error}");
    // A dataset of batches of one length.
    let pipeline = Samples::new(longer.clone(), longer_t.clone()).unwrap().batch(2);
    assert!(open.fit_dataset(&pipeline, &how, &mut []).is_ok());
}

#[test]
fn metrics_by_column_need_columns() {
    let compile = |metric: R2Score| {
        let mut model = Sequential::new([FREE]).add(Activation::Tanh).build_as::<f64>(1).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), [metric]).unwrap_err().to_string()
    };
    assert!(compile(R2Score::default()).contains("last axis has a fixed size"));
    let mut model = Sequential::new([FREE]).add(Softmax::new()).build_as::<f64>(1).unwrap();
    let error = model.compile(Sgd::default(), MeanSquaredError::default(), [F1Score::default()]).unwrap_err();
    assert!(error.to_string().contains("last axis has a fixed size"), "{error}");
}
