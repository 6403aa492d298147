//! Positions in whole models: counted from the first step, from where a decoder goes on, or given with the data.

use gradus::Params;
use gradus::graph::{Graph, Net, Value, Work};
use gradus::layers::merging::WithMask;
use gradus::prelude::*;
use support::counting::{allocations, count_this_thread};

const LLAMA: RotaryScaling = RotaryScaling::Llama3 {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_max_position_embeddings: 16,
};

/// Everything that goes by position, one behind the other, between layers with weights.
fn whole(g: &mut Graph, ids: Value, positions: Option<Value>) -> Value {
    let x = g.add(Embedding::new(11, 8), ids);
    let with = |x| [Some(x), positions].into_iter().flatten().collect::<Vec<_>>();
    let h = g.op(PositionEmbedding::new(12).offset(2).embeddings_initializer(Init::GlorotUniform), &with(x));
    let h = g.add(RmsNorm::new().last(4).unit_offset(true), h);
    let h = g.op(RotaryPositions::new(4, Rotary::new().scaling(LLAMA)), &with(h));
    let f = g.add(GatedDense::swiglu(6), h);
    let f = g.add(Dense::new(8), f);
    let h = g.op(Add::new(), &[h, f]);
    let h = g.op(SinusoidalPositions::new().halves(true), &with(h));
    let h = g.op(RotaryPositions::new(8, Rotary::new().interleaved(true).turned(6)), &with(h));
    let h = g.add(GatedDense::geglu(5).fused(true).use_bias(true), h);
    g.add(Dense::new(3), h)
}

fn net<T: Float>(steps: usize, given: bool) -> (Net<T>, Params<T>) {
    let mut g = Graph::new();
    let ids = g.input("ids", [steps]);
    let positions = given.then(|| g.input("positions", [steps]));
    let y = whole(&mut g, ids, positions);
    g.build_net(&[y], 7).unwrap()
}

fn ids<T: Float>(samples: usize, steps: usize) -> Tensor<T> {
    Tensor::from_fn([samples, steps], |i| T::of((i * i % 11) as f64))
}

/// Steps of a tensor's samples.
fn steps<T: Float>(t: &Tensor<T>, from: usize, n: usize) -> Tensor<T> {
    let (samples, all) = (t.samples(), t.dims()[1]);
    let width = t.len() / samples / all;
    let rows = (0..samples).flat_map(|row| t.row(row)[from * width..][..n * width].to_vec()).collect();
    let mut dims = t.dims().to_vec();
    dims[1] = n;
    Tensor::new(Shape::try_from(dims.as_slice()).unwrap(), rows).unwrap()
}

fn infer<T: Float>(
    net: &Net<T>,
    params: &Params<T>,
    work: &mut Work<T>,
    position: usize,
    x: &[&Tensor<T>],
) -> Tensor<T> {
    net.forward(&mut Pass::inference(params).with_position(position), work, x).unwrap();
    net.output(work, 0).clone()
}

fn passes<T: Float>() {
    let (net, params) = net::<T>(FREE, false);
    let (given, _) = self::net::<T>(FREE, true);
    let (x, mut work) = (ids::<T>(3, 12), Work::default());
    let whole = infer(&net, &params, &mut work, 0, &[&x]);
    // In pieces, step by step, and with positions that say the same.
    for pieces in [vec![12], vec![5, 7], vec![4, 1, 1, 6], vec![1; 12]] {
        let mut at = 0;
        for n in pieces {
            let (part, expected) = (steps(&x, at, n), steps(&whole, at, n));
            assert!(infer(&net, &params, &mut work, at, &[&part]) == expected, "{n} steps from {at}");
            let positions = Tensor::from_fn([3, n], |i| T::of((at + i % n) as f64));
            assert!(infer(&given, &params, &mut Work::default(), 0, &[&part, &positions]) == expected);
            at += n;
        }
    }
    // Two documents in a row, each from 0 on, are what each is alone; so is one with padding on the left.
    let (short, long) = (steps(&x, 0, 3), steps(&x, 3, 5));
    let alone = [&short, &long].map(|x| infer(&net, &params, &mut work, 0, &[x]));
    let positions = Tensor::from_fn([3, 8], |i| T::of(if i % 8 < 3 { i % 8 } else { i % 8 - 3 } as f64));
    let packed = infer(&given, &params, &mut Work::default(), 0, &[&steps(&x, 0, 8), &positions]);
    assert!(steps(&packed, 0, 3) == alone[0] && steps(&packed, 3, 5) == alone[1]);
    let positions = Tensor::from_fn([3, 8], |i| T::of((i % 8).saturating_sub(3) as f64));
    let padded = infer(&given, &params, &mut Work::default(), 0, &[&steps(&x, 0, 8), &positions]);
    assert!(steps(&padded, 3, 5) == alone[1]);
}

#[test]
fn passes_that_go_on_and_documents_in_a_row() {
    passes::<f32>();
    passes::<f64>();
}

/// Gradients of every weight by differences, with positions of their own.
#[test]
fn gradients_of_the_whole() {
    for given in [false, true] {
        let mut g = Graph::new();
        let x = g.input("ids", [5]);
        let positions = given.then(|| g.input("positions", [5]));
        let y = whole(&mut g, x, positions);
        let mut model = g.build_as::<f64>([y], 3).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
        let (x, t) = (ids::<f64>(3, 5), Tensor::from_fn([3, 5, 3], |i| (i as f64).sin()));
        let positions = Tensor::from_fn([3, 5], |i| [0.0, 1.0, 2.0, 0.0, 1.0][i % 5] + (i / 5) as f64);
        let inputs: Vec<_> = [&x, &positions].into_iter().take(1 + usize::from(given)).collect();
        let (_, gradients) = model.gradients(inputs.clone(), &t).unwrap();
        let h = 1e-5;
        for i in 0..gradients.len() {
            let mut loss = |step: f64| {
                let mut values = model.params().values().to_vec();
                values[i] += step;
                set(&mut model, &values);
                let loss = model.gradients(inputs.clone(), &t).unwrap().0;
                values[i] -= step;
                set(&mut model, &values);
                loss
            };
            let difference = (loss(h) - loss(-h)) / (2.0 * h);
            assert!((gradients[i] - difference).abs() < 1e-7, "{i}: {} and {difference}", gradients[i]);
        }
    }
}

fn set(model: &mut Model<f64>, values: &[f64]) {
    let specs: Vec<_> = model.params().specs().iter().map(|spec| (spec.name.clone(), spec.range.clone())).collect();
    for (name, range) in specs {
        model.set_weight(&name, &values[range]).unwrap();
    }
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let train = |threads: usize| {
        let run = || {
            let mut g = Graph::new();
            let (x, positions) = (g.input("x", [40]), g.input("positions", [40]));
            let h = g.add(Embedding::new(50, 64), x);
            let h = g.op(PositionEmbedding::new(40), &[h, positions]);
            let h = g.add(PositionEmbedding::new(40), h);
            let h = g.op(RotaryPositions::new(16, Rotary::new()), &[h, positions]);
            let h = g.add(SinusoidalPositions::new(), h);
            let h = g.add(GatedDense::geglu_tanh(48), h);
            let h = g.add(RmsNorm::new().last(12), h);
            let y = g.add(Dense::new(7).activation(Activation::Softmax), h);
            let mut model = g.build([y], 3).unwrap();
            model.compile(Adam::default(), CategoricalCrossentropy::default(), ()).unwrap();
            let x = Tensor::from_fn([64, 40], |i| ((i * i) % 53 % 50) as f32);
            let positions = Tensor::from_fn([64, 40], |i| (i % 40 % (3 + i / 40)) as f32);
            let t = Tensor::from_fn([64, 40], |i| (i % 7) as f32);
            let history = model.fit([&x, &positions], &t, &Fit::default().epochs(2).verbose(Verbose::Silent)).unwrap();
            (history.get("loss").unwrap().to_vec(), model.params().values().to_vec())
        };
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    };
    let one = train(1);
    assert!(one.0[1] < one.0[0]);
    [2, 3].into_iter().for_each(|threads| assert!(train(threads) == one, "{threads} threads"));
}

#[test]
fn positions_are_checked_at_the_door() {
    let build = |wire: &dyn Fn(&mut Graph, Value, Value) -> Value| {
        let mut g = Graph::new();
        let (x, positions) = (g.input("x", [3, 4]), g.input("at", [3]));
        let y = wire(&mut g, x, positions);
        g.build([y], 1)
    };
    let model = build(&|g, x, at| g.op(PositionEmbedding::new(5), &[x, at])).unwrap();
    let x = Tensor::zeros([2, 3, 4]);
    assert!(model.predict([&x, &Tensor::from([[0.0, 4.0, 1.0], [2.0, 3.0, 0.0]])]).is_ok());
    for bad in [5.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
        let error = model.predict([&x, &Tensor::from([[0.0, 4.0, 1.0], [2.0, bad, 0.0]])]).unwrap_err();
        assert!(matches!(error.root(), Error::Position { row: 1, step: 1, count: 5, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("in row 1, step 1, where positions are expected, whole numbers from 0 to 4"), "{text}");
    }
    let rotary = build(&|g, x, at| g.op(RotaryPositions::new(4, Rotary::new()), &[x, at]));
    let sinusoidal = build(&|g, x, at| g.op(SinusoidalPositions::new(), &[x, at]));
    for model in [rotary.unwrap(), sinusoidal.unwrap()] {
        let predict = |at: f32| model.predict([&x, &Tensor::from([[0.0, at, 1.0], [2.0, 1.0, 0.0]])]);
        assert!(predict(16_777_215.0).is_ok());
        assert!(matches!(predict(16_777_216.0).unwrap_err().root(), Error::Position { row: 0, step: 1, .. }));
        assert!(predict(-1.0).is_err() && predict(0.25).is_err());
    }
    // Positions that are computed cannot be checked; those that are handed on can.
    let computed = build(&|g, x, at| {
        let at = g.add(Rescaling::new(2.0), at);
        g.op(PositionEmbedding::new(5), &[x, at])
    });
    let error = computed.unwrap_err().to_string();
    assert!(error.contains("PositionEmbedding takes positions as input 1, which is computed from others"), "{error}");
    assert!(
        build(&|g, x, at| {
            let at = g.add(Slice::new().range(..), at);
            g.op(PositionEmbedding::new(5), &[x, at])
        })
        .is_ok()
    );
}

#[test]
fn contexts_that_are_too_long() {
    let (net, params) = net::<f32>(FREE, false);
    let mut work = Work::default();
    let forward = |work: &mut Work<f32>, position: usize, n: usize| {
        net.forward(&mut Pass::inference(&params).with_position(position), work, &[&ids(2, n)])
    };
    assert!(forward(&mut work, 0, 12).is_ok() && forward(&mut work, 11, 1).is_ok());
    let error = forward(&mut work, 0, 13).unwrap_err().to_string();
    assert!(
        error.contains("layer 1 (position_embedding): PositionEmbedding: expected at most 12 steps, got 13"),
        "{error}"
    );
    for (position, n) in [(12, 1), (10, 3), (usize::MAX, 1)] {
        let error = forward(&mut work, position, n).unwrap_err().to_string();
        let expected = format!("expected at most 12 positions, got {n} steps from position {position} on");
        assert!(error.starts_with("layer 1 (position_embedding)") && error.contains(&expected), "{error}");
    }
    // As many positions as steps.
    let (given, _) = self::net::<f32>(FREE, true);
    let error =
        given.forward(&mut Pass::inference(&params), &mut work, &[&ids(2, 5), &Tensor::zeros([2, 6])]).unwrap_err();
    assert!(error.to_string().contains("expected positions of samples of [5], one for each step, got [6]"), "{error}");
    // With positions of their own they may stand anywhere below it, and there may be more of them.
    let (x, at) = (ids(2, 20), Tensor::from_fn([2, 20], |i| (i % 12) as f32));
    assert!(given.forward(&mut Pass::inference(&params).with_position(30), &mut work, &[&x, &at]).is_ok());
}

#[test]
fn masks_pass() {
    let mut g = Graph::new();
    let (x, mask, at) = (g.input("x", [3, 4]), g.input("mask", [3]), g.input("at", [3]));
    let h = g.op(WithMask::new(), &[x, mask]);
    let h = g.op(PositionEmbedding::new(5), &[h, at]);
    let h = g.add(RotaryPositions::new(2, Rotary::new()), h);
    let h = g.add(SinusoidalPositions::new(), h);
    let y = g.add(GatedDense::swiglu(3), h);
    let (net, params) = g.build_net::<f32>(&[y], 1).unwrap();
    let (mut work, mask) = (Work::default(), Tensor::from([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]));
    net.forward(&mut Pass::inference(&params), &mut work, &[&Tensor::zeros([2, 3, 4]), &mask, &Tensor::zeros([2, 3])])
        .unwrap();
    assert_eq!(net.output_mask(&work, 0), Some(&[true, false, true, false, false, true][..]));
}

/// After the first passes of each kind nothing is taken: neither by steps of a decoder, nor by batches of other lengths.
#[test]
fn steady_state_takes_no_memory() {
    let ((net, params), (given, _)) = (net::<f32>(FREE, false), net::<f32>(FREE, true));
    let at = |n: usize, from: usize| Tensor::from_fn([2, n], move |i| (i % n + from) as f32);
    let x: Vec<_> = [12, 5, 1].into_iter().map(|n| (ids::<f32>(2, n), at(n, 0), at(n, 12 - n))).collect();
    let (mut work, mut other) = (Work::default(), Work::default());
    gradus::set_threads(1).unwrap();
    let mut all = || {
        for (x, near, far) in &x {
            let n = x.dims()[1];
            for position in 0..=12 - n {
                net.forward(&mut Pass::inference(&params).with_position(position), &mut work, &[x]).unwrap();
            }
            given.forward(&mut Pass::inference(&params), &mut other, &[x, near]).unwrap();
            given.forward(&mut Pass::inference(&params), &mut other, &[x, far]).unwrap();
        }
    };
    all();
    count_this_thread(true);
    let taken = allocations(all);
    count_this_thread(false);
    assert_eq!(taken.0, 0);
}

#[cfg(feature = "files")]
#[test]
fn settings_through_json() {
    use gradus::layers::OpConfig;
    use serde_json::{from_str, to_string};

    let rotary = Rotary::new().theta(5e5).turned(6).interleaved(true).scaling(LLAMA);
    let ops = [
        OpConfig::PositionEmbedding(
            PositionEmbedding::new(9)
                .offset(2)
                .embeddings_regularizer(Regularizer::L2(0.1))
                .embeddings_initializer(Init::Zeros),
        ),
        OpConfig::RotaryPositions(RotaryPositions::new(8, rotary)),
        OpConfig::SinusoidalPositions(SinusoidalPositions::new().halves(true).base(50.0)),
    ];
    for op in ops {
        assert_eq!(from_str::<OpConfig>(&to_string(&op).unwrap()).unwrap(), op);
    }
    let text = |op: OpConfig| to_string(&op).unwrap();
    assert_eq!(
        text(OpConfig::RotaryPositions(RotaryPositions::new(8, Rotary::new()))),
        r#"{"class":"RotaryPositions","config":{"head_dim":8,"theta":10000.0}}"#
    );
    let linear = Rotary::new().scaling(RotaryScaling::Linear { factor: 4.0 });
    assert_eq!(
        text(OpConfig::RotaryPositions(RotaryPositions::new(8, linear))),
        r#"{"class":"RotaryPositions","config":{"head_dim":8,"theta":10000.0,"scaling":{"linear":{"factor":4.0}}}}"#
    );
    assert_eq!(
        text(OpConfig::SinusoidalPositions(SinusoidalPositions::new())),
        r#"{"class":"SinusoidalPositions","config":{"base":10000.0}}"#
    );
    // Files from before these settings.
    assert_eq!(from_str::<RmsNorm>(&to_string(&RmsNorm::new()).unwrap()).unwrap(), RmsNorm::new());
    assert!(!to_string(&RmsNorm::new()).unwrap().contains("last"));
}

#[cfg(feature = "files")]
#[test]
fn models_go_through_files() {
    let path = std::env::temp_dir().join(format!("gradus_positions_{}.safetensors", std::process::id()));
    let again = |model: &Model<f64>| {
        model.save(&path).unwrap();
        let mut archive = gradus::io::Archive::open(&path).unwrap();
        let loaded = Model::<f64>::of_archive(&mut archive).unwrap();
        std::fs::remove_file(&path).unwrap();
        loaded
    };
    let mut g = Graph::new();
    let (x, at) = (g.input("ids", [FREE]), g.input("at", [FREE]));
    let y = whole(&mut g, x, Some(at));
    let model = g.build_as::<f64>([y], 5).unwrap();
    let inputs = [&ids::<f64>(2, 7), &Tensor::from_fn([2, 7], |i| (i % 5) as f64)];
    assert_eq!(again(&model).predict(inputs).unwrap(), model.predict(inputs).unwrap());
    // Behind one value, as layers are.
    let list = Sequential::new([6, 8])
        .add(PositionEmbedding::new(6))
        .add(Residual::new().add(RotaryPositions::new(4, Rotary::new())).add(GatedDense::geglu(8)))
        .add(SinusoidalPositions::new())
        .build_as::<f64>(3)
        .unwrap();
    let x = Tensor::from_fn([2, 6, 8], |i| (i as f64).cos());
    assert_eq!(again(&list).predict(&x).unwrap(), list.predict(&x).unwrap());
    let names: Vec<_> = list.params().specs().iter().map(|spec| spec.name.as_str()).collect();
    let expected =
        ["position_embedding/embeddings", "residual/gated_dense/gate/kernel", "residual/gated_dense/up/kernel"];
    assert_eq!(names, expected);
}
