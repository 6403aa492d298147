//! Masks: how they travel, what goes by them, and what they do to losses and metrics.

use gradus::graph::{Net, Value, Work};
use gradus::layers::merging;
use gradus::prelude::*;
use gradus::{Params, losses};
use support::counting::{allocations, count_this_thread};

use super::graphs::draw;

/// Ids of three rows: padded at the end, with a hole, without padding.
fn ids() -> Tensor<f64> {
    Tensor::from([[3.0, 1.0, 2.0, 0.0, 0.0], [4.0, 0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0, 1.0]])
}

/// The mask of what is wired behind inputs of these samples.
fn mask_of(x: &[&Tensor<f64>], wire: &dyn Fn(&mut Graph, &[Value]) -> Value) -> Option<Vec<bool>> {
    let mut g = Graph::new();
    let inputs: Vec<_> = (0..).zip(x).map(|(i, x)| g.input(&format!("x{i}"), x.shape().sample())).collect();
    let y = wire(&mut g, &inputs);
    let (net, params) = g.build_net::<f64>(&[y], 1).unwrap();
    let mut work = Work::default();
    net.forward(&mut Pass::inference(&params), &mut work, x).unwrap();
    let mask = net.output_mask(&work, 0).map(<[bool]>::to_vec);
    // In training as in inference, and none of what was there before.
    let mut gradients = vec![0.0; params.len().max(1)];
    net.forward(&mut Pass::training(&params, &mut gradients, 0, 0, 0), &mut work, x).unwrap();
    assert_eq!(net.output_mask(&work, 0), mask.as_deref());
    mask
}

fn embedded(g: &mut Graph, x: Value) -> Value {
    g.add(Embedding::new(5, 4).mask_zero(true), x)
}

fn counts(x: &Tensor<f64>) -> Vec<bool> {
    x.iter().map(|v| *v != 0.0).collect()
}

#[test]
fn what_passes_a_mask_on_and_what_drops_it() {
    let (x, counts) = (ids(), Some(counts(&ids())));
    let behind = |layer: LayerConfig| {
        mask_of(&[&x], &|g, x| {
            let h = embedded(g, x[0]);
            g.add(layer.clone(), h)
        })
    };
    let passes: Vec<LayerConfig> = vec![
        Layer::<f64>::config(&Dense::new(3)),
        Layer::<f64>::config(&GatedDense::swiglu(3)),
        Layer::<f64>::config(&MultiHeadAttention::new(2, 2)),
        Layer::<f64>::config(&RmsNorm::new().passes_mask(true)),
        Layer::<f64>::config(&Activation::Tanh),
        Layer::<f64>::config(&LeakyRelu::new()),
        Layer::<f64>::config(&PRelu::new()),
        Layer::<f64>::config(&Elu::new()),
        Layer::<f64>::config(&Softmax::new()),
        Layer::<f64>::config(&Dropout::new(0.5)),
        Layer::<f64>::config(&SpatialDropout1d::new(0.5)),
        Layer::<f64>::config(&GaussianDropout::new(0.5)),
        Layer::<f64>::config(&AlphaDropout::new(0.5)),
        Layer::<f64>::config(&GaussianNoise::new(0.5)),
        Layer::<f64>::config(&ActivityRegularization::new()),
        Layer::<f64>::config(&BatchNorm::new()),
        Layer::<f64>::config(&LayerNorm::new()),
        Layer::<f64>::config(&GroupNorm::new(2)),
        Layer::<f64>::config(&UnitNormalization::new()),
        Layer::<f64>::config(&Rescaling::new(2.0)),
        Layer::<f64>::config(&Normalization::from_stats([0.0; 4], [1.0; 4])),
        Layer::<f64>::config(&Identity::new()),
        Layer::<f64>::config(&TimeDistributed::new(Dense::new(2))),
    ];
    passes.into_iter().for_each(|layer| assert_eq!(behind(layer.clone()), counts, "{layer:?}"));
    let drops: Vec<LayerConfig> = vec![
        Layer::<f64>::config(&Conv1d::new(3, 1)),
        Layer::<f64>::config(&MaxPooling1d::new(1)),
        Layer::<f64>::config(&GlobalAveragePooling1d::new()),
        Layer::<f64>::config(&Flatten::new()),
        Layer::<f64>::config(&Reshape::new([5, 4])),
        Layer::<f64>::config(&Permute::new([2, 1])),
        Layer::<f64>::config(&RmsNorm::new()),
        Layer::<f64>::config(&UpSampling1d::new(1)),
        Layer::<f64>::config(&Arithmetic::new(Operation::Multiply, 2.0)),
        Layer::<f64>::config(&Slice::new().range(..)),
    ];
    drops.into_iter().for_each(|layer| assert_eq!(behind(layer.clone()), None, "{layer:?}"));
    let none = mask_of(&[&x], &|g, x| g.add(Embedding::new(5, 4), x[0]));
    assert_eq!(none, None);
    // A step before the others counts.
    let led: Vec<bool> = self::counts(&x).chunks(5).flat_map(|row| [&[true], row].concat()).collect();
    assert_eq!(behind(Layer::<f64>::config(&ClassToken::new())), Some(led));
    assert_eq!(mask_of(&[&draw::<f64>([3, 5, 4], 1)], &|g, x| g.add(ClassToken::new(), x[0])), None);
}

#[test]
fn masks_of_several_values() {
    let other = Tensor::from([[0.0, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0]]);
    let (x, free) = (ids(), draw::<f64>([3, 5, 4], 1));
    let (a, b) = (counts(&x), counts(&other));
    let either: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a | b).collect();
    let both = |wire: &dyn Fn(&mut Graph, &[Value]) -> Value| {
        mask_of(&[&x, &other], &|g, x| {
            let h = [embedded(g, x[0]), embedded(g, x[1])];
            wire(g, &h)
        })
    };
    let with_free = |wire: &dyn Fn(&mut Graph, &[Value]) -> Value| {
        mask_of(&[&x, &free], &|g, x| {
            let h = [embedded(g, x[0]), x[1]];
            wire(g, &h)
        })
    };
    for join in [
        &(|g: &mut Graph, x: &[Value]| g.op(merging::Add::new(), x)) as &dyn Fn(&mut Graph, &[Value]) -> Value,
        &|g, x| g.op(merging::Subtract::new(), x),
        &|g, x| g.op(merging::Multiply::new(), x),
        &|g, x| g.op(merging::Average::new(), x),
        &|g, x| g.op(merging::Maximum::new(), x),
        &|g, x| g.op(merging::Minimum::new(), x),
    ] {
        assert_eq!(both(join).as_ref(), Some(&either));
        assert_eq!(with_free(join), None);
    }
    assert_eq!(both(&|g, x| g.op(merging::Concatenate::new(), x)), Some(either.clone()));
    assert_eq!(with_free(&|g, x| g.op(merging::Concatenate::new(), x)), Some(vec![true; 15]));
    let one_after_the_other = |a: &[bool], b: &[bool]| -> Vec<bool> {
        a.chunks(5).zip(b.chunks(5)).flat_map(|(a, b)| [a, b].concat()).collect()
    };
    let in_time: &dyn Fn(&mut Graph, &[Value]) -> Value = &|g, x| g.op(merging::Concatenate::new().axis(1), x);
    assert_eq!(both(in_time), Some(one_after_the_other(&a, &b)));
    assert_eq!(with_free(in_time), Some(one_after_the_other(&a, &[true; 15])));
    assert_eq!(mask_of(&[&free, &free], &|g, x| g.op(merging::Concatenate::new().axis(1), x)), None);
    // Operators drop what the layers of the same name pass on.
    assert_eq!(both(&|g, x| g.compute(x[0] + x[1])), None);
    assert_eq!(both(&|g, x| g.op(merging::Dot::new([2, 2]), x)), None);
    // Attention has that of what asks, as has what takes it from another.
    for attention in [
        &(|g: &mut Graph, x: &[Value]| g.op(Attention::new(), x)) as &dyn Fn(&mut Graph, &[Value]) -> Value,
        &|g, x| g.op(AdditiveAttention::new(), x),
        &|g, x| g.op(MultiHeadAttention::new(2, 2), x),
        &|g, x| g.op_outputs(Attention::new().return_scores(true), x)[0],
        &|g, x| g.masked_as(x[1], x[0]),
    ] {
        assert_eq!(both(attention), Some(a.clone()));
        assert_eq!(with_free(attention), Some(a.clone()));
    }
    // Of as many heads as there are steps the scores have none all the same.
    assert_eq!(both(&|g, x| g.op_outputs(MultiHeadAttention::new(5, 2).return_scores(true), x)[1]), None);
    // A shortcut has the mask that it goes around with.
    let around = mask_of(&[&x], &|g, x| {
        let h = embedded(g, x[0]);
        let f = g.add(Dense::new(4), h);
        g.op(merging::Add::new(), &[h, f])
    });
    assert_eq!(around, Some(a.clone()));
    // One step counts for all where the other has one for each.
    let first = Tensor::from([[0.0], [1.0], [0.0]]);
    let wide = mask_of(&[&x, &first], &|g, x| {
        let h = [embedded(g, x[0]), embedded(g, x[1])];
        g.op(merging::Add::new(), &h)
    });
    let expected: Vec<bool> = a.iter().enumerate().map(|(i, a)| *a || i / 5 == 1).collect();
    assert_eq!(wide, Some(expected));
}

/// Keys that do not count change nothing, and steps that do not ask are zeros.
#[test]
fn attention_goes_by_its_masks() {
    let x = ids();
    for attention in [
        &(|g: &mut Graph, x: &[Value]| g.op(Attention::new().use_scale(true), x))
            as &dyn Fn(&mut Graph, &[Value]) -> Value,
        &|g, x| g.op(Attention::new().concat(true), x),
        &|g, x| g.op(AdditiveAttention::new(), x),
    ] {
        let mut g = Graph::new();
        let inputs = [g.input("ids", [FREE]), g.input("query", [2, 4])];
        let h = embedded(&mut g, inputs[0]);
        let asked = attention(&mut g, &[inputs[1], h]);
        let asking = attention(&mut g, &[h, inputs[1]]);
        let (net, params) = g.build_net::<f64>(&[asked, asking], 1).unwrap();
        let mut work = Work::default();
        let query = draw::<f64>([3, 2, 4], 1);
        let mut run = |ids: &Tensor<f64>, row: usize| {
            let query = query.rows(row..row + 1).unwrap();
            net.forward(&mut Pass::inference(&params), &mut work, &[ids, &query]).unwrap();
            [0, 1].map(|i| net.output(&work, i).clone())
        };
        // The first row ends in padding.
        let whole = run(&x.rows(0..1).unwrap(), 0);
        let short = run(&Tensor::from([[3.0, 1.0, 2.0]]), 0);
        assert!(whole[0].iter().zip(&short[0]).all(|(a, b)| (a - b).abs() < 1e-14));
        assert!(whole[1].as_slice()[12..].iter().all(|v| *v == 0.0));
        assert!(whole[1].iter().zip(&short[1]).all(|(a, b)| (a - b).abs() < 1e-14));
        // Where no key counts, the scores of all say how much.
        let none = run(&Tensor::from([[0.0, 0.0]]), 1);
        assert!(none[0].iter().all(|v| v.is_finite()) && none[1].iter().all(|v| *v == 0.0));
    }
}

#[test]
fn masks_from_data_and_of_steps_in_steps() {
    let x = draw::<f64>([3, 2, 5, 4], 1);
    let mask = Tensor::from_fn([3, 2], |i| (i % 2) as f64);
    let given = mask_of(&[&x, &mask], &|g, x| {
        let h = g.masked(x[0], x[1]);
        g.add(Dense::new(3), h)
    });
    assert_eq!(given, Some(counts(&mask)));
    // The axes that a mask goes over have to stay.
    let ids = Tensor::from_fn([3, 2, 5], |i| (i % 3) as f64);
    let mut gone = mask_of(&[&ids], &|g, x| {
        let h = embedded(g, x[0]);
        g.add(TimeDistributed::new(GlobalAveragePooling1d::new()), h)
    });
    assert_eq!(gone.take(), None);
    gone = mask_of(&[&ids], &|g, x| {
        let h = embedded(g, x[0]);
        g.add(TimeDistributed::new(Dense::new(2)), h)
    });
    assert_eq!(gone, Some(counts(&ids)));
    // Each step's own part of the mask.
    let mut g = Graph::new();
    let x = g.input("x", [2, 5]);
    let h = embedded(&mut g, x);
    let y = g.add(TimeDistributed::new(GlobalAveragePooling1d::new()), h);
    let (net, params) = g.build_net::<f64>(&[y], 1).unwrap();
    let mut work = Work::default();
    net.forward(&mut Pass::inference(&params), &mut work, &[&ids]).unwrap();
    let rows: Vec<&[f64]> = params.values().chunks(4).collect();
    for (step, ids) in ids.as_slice().chunks(5).enumerate() {
        let n = ids.iter().filter(|id| **id != 0.0).count() as f64;
        for (c, y) in net.output(&work, 0).as_slice()[step * 4..][..4].iter().enumerate() {
            let mean = ids.iter().filter(|id| **id != 0.0).map(|id| rows[*id as usize][c]).sum::<f64>() / n;
            assert!((y - mean).abs() < 1e-15);
        }
    }
}

/// What a net goes through in the tests below: batch statistics under a mask, means under it, layers that hand it on.
fn whole(g: &mut Graph, ids: Value, x: Value, mask: Value) -> [Value; 2] {
    let e = g.add(Embedding::new(5, 3).mask_zero(true), ids);
    let h = g.masked(x, mask);
    let h = g.add(TimeDistributed::new(Dense::new(3).activation(Activation::Tanh)), h);
    let h = g.op(merging::Add::new(), &[e, h]);
    let h = g.add(BatchNorm::new().epsilon(0.25), h);
    let h = g.add(Activation::Tanh, h);
    let long = g.op(merging::Concatenate::new().axis(1), &[h, x]);
    let long = g.add(Dense::new(2), long);
    let mean = g.add(GlobalAveragePooling1d::new(), h);
    [long, mean]
}

fn net<T: Float>(steps: usize) -> (Net<T>, Params<T>) {
    let mut g = Graph::new();
    let [ids, x, mask] = [g.input("ids", [steps]), g.input("x", [steps, 3]), g.input("mask", [steps])];
    let outputs = whole(&mut g, ids, x, mask);
    g.build_net::<T>(&outputs, 5).unwrap()
}

fn inputs<T: Float>(samples: usize, steps: usize) -> [Tensor<T>; 3] {
    let mut ids = Tensor::from_fn([samples, steps], |i| T::of(((i * 7) % 5) as f64));
    let mut mask = Tensor::from_fn([samples, steps], |i| T::of((i % 3 / 2) as f64));
    // Nothing would be left of a row of padding.
    for i in 0..samples {
        (ids.row_mut(i)[0], mask.row_mut(i)[0]) = (T::one(), T::one());
    }
    [ids, draw([samples, steps, 3], 9), mask]
}

/// Σ g·y in training.
fn scalar(net: &Net<f64>, params: &Params<f64>, x: &[&Tensor<f64>], g: &[Tensor<f64>]) -> f64 {
    let (mut work, mut gradients) = (Work::default(), vec![0.0; params.len()]);
    net.forward(&mut Pass::training(params, &mut gradients, 0, 0, 0), &mut work, x).unwrap();
    g.iter().enumerate().flat_map(|(i, g)| net.output(&work, i).iter().zip(g)).map(|(y, g)| y * g).sum()
}

#[test]
fn gradients_under_masks() {
    let (net, mut params) = net::<f64>(4);
    let mut x = inputs::<f64>(3, 4);
    let g: Vec<Tensor<f64>> = (30..).zip(net.output_shapes()).map(|(i, s)| draw(s.batched(3).unwrap(), i)).collect();
    let plan = net.plan(&params, &[true; 3], &[true; 2]);
    let (mut work, mut gradients) = (Work::default(), vec![0.0; params.len()]);
    let all: Vec<_> = x.iter().collect();
    let mut pass = Pass::training(&params, &mut gradients, 0, 0, 0);
    net.forward(&mut pass, &mut work, &all).unwrap();
    g.iter().enumerate().for_each(|(i, g)| net.output_gradient(&mut work, &plan, i).copy_from(g));
    net.backward(&mut pass, &mut work, &plan, &all).unwrap();
    let dx = net.input_gradient(&work, &plan, 1).unwrap().clone();
    assert!([0, 2].iter().all(|i| net.input_gradient(&work, &plan, *i).is_none_or(|dx| dx.iter().all(|v| *v == 0.0))));
    let step = 1e-5;
    let trained: Vec<_> = params.specs().iter().filter(|s| s.trainable).flat_map(|s| s.range.clone()).collect();
    for i in trained {
        let mut at = |change: f64| {
            params.values_mut()[i] += change;
            let value = scalar(&net, &params, &x.iter().collect::<Vec<_>>(), &g);
            params.values_mut()[i] -= change;
            value
        };
        let difference = (at(step) - at(-step)) / (2.0 * step);
        assert!((gradients[i] - difference).abs() < 1e-7, "weight {i}: {} and {difference}", gradients[i]);
    }
    for i in 0..dx.len() {
        let mut at = |change: f64| {
            x[1].as_mut_slice()[i] += change;
            let value = scalar(&net, &params, &x.iter().collect::<Vec<_>>(), &g);
            x[1].as_mut_slice()[i] -= change;
            value
        };
        let difference = (at(step) - at(-step)) / (2.0 * step);
        assert!((dx.as_slice()[i] - difference).abs() < 1e-7, "x[{i}]: {} and {difference}", dx.as_slice()[i]);
    }
}

/// Free sizes, rows alone, any number of threads: the same bits; and no memory in steady state.
#[test]
fn the_same_bits_whatever_the_batch() {
    fn check<T: Float>() {
        let (free, params) = net::<T>(FREE);
        let mut works = [Work::default(), Work::default()];
        for steps in [4, 9, 2, 9, 4] {
            let x = inputs::<T>(6, steps);
            let x: Vec<_> = x.iter().collect();
            let (fixed, same) = net::<T>(steps);
            assert_eq!(params.values(), same.values());
            let mut work = Work::default();
            fixed.forward(&mut Pass::inference(&params), &mut work, &x).unwrap();
            free.forward(&mut Pass::inference(&params), &mut works[0], &x).unwrap();
            for i in 0..2 {
                assert_eq!(free.output(&works[0], i), fixed.output(&work, i));
                assert_eq!(free.output_mask(&works[0], i), fixed.output_mask(&work, i));
            }
            assert_eq!(free.output_mask(&works[0], 0).map(<[bool]>::len), Some(6 * 2 * steps));
            for row in [0, 3, 5] {
                let one: Vec<_> = x.iter().map(|x| x.rows(row..row + 1).unwrap()).collect();
                free.forward(&mut Pass::inference(&params), &mut works[1], &one.iter().collect::<Vec<_>>()).unwrap();
                for i in 0..2 {
                    assert_eq!(free.output(&works[1], i).as_slice(), free.output(&works[0], i).row(row));
                }
                let all = free.output_mask(&works[0], 0).unwrap();
                assert_eq!(free.output_mask(&works[1], 0).unwrap(), &all[row * 2 * steps..][..2 * steps]);
            }
        }
        let none: Vec<_> = inputs::<T>(2, 3).iter().map(|x| x.rows(0..0).unwrap()).collect();
        free.forward(&mut Pass::inference(&params), &mut works[0], &none.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(free.output_mask(&works[0], 0), Some(&[][..]));
        let mut step = |x: &[&Tensor<T>]| {
            free.forward(&mut Pass::inference(&params), &mut works[0], x).unwrap();
        };
        let (long, short) = (inputs::<T>(6, 9), inputs::<T>(6, 4));
        let (long, short): (Vec<_>, Vec<_>) = (long.iter().collect(), short.iter().collect());
        count_this_thread(true);
        let first = [&long, &short].map(|x| allocations(|| step(x)).0);
        let again = [&short, &long, &short].map(|x| allocations(|| step(x)).0);
        count_this_thread(false);
        assert_eq!(again, [0; 3], "after {first:?}");
    }
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        check::<f32>();
        check::<f64>();
    });
}

/// Sums over repeated ids, and everything else of a training run.
#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let train = |threads: usize| {
        let run = || {
            let mut g = Graph::new();
            let x = g.input("x", [40]);
            let h = g.add(Embedding::new(50, 64).mask_zero(true), x);
            let h = g.add(BatchNorm::new(), h);
            let h = g.add(TimeDistributed::new(Dense::new(32).activation(Activation::Gelu)), h);
            let y = g.add(Dense::new(7).activation(Activation::Softmax), h);
            let mut model = g.build([y], 3).unwrap();
            model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
            let x = Tensor::from_fn([64, 40], |i| ((i * i) % 53 % 50) as f32);
            let t = Tensor::from_fn([64, 40], |i| (i % 7) as f32);
            let history = model.fit(&x, &t, &Fit::default().epochs(2).verbose(Verbose::Silent)).unwrap();
            let (loss, bits) = (history.get("loss").unwrap().to_vec(), model.params().values().to_vec());
            (loss, bits)
        };
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    };
    let one = train(1);
    assert!(one.0[1] < one.0[0]);
    [2, 3, 8].into_iter().for_each(|threads| assert!(train(threads) == one, "{threads} threads"));
}

/// A model that gives its input, with the mask beside it.
fn transparent() -> Model<f64> {
    let mut g = Graph::new();
    let (x, mask) = (g.input("x", [3, 2]), g.input("mask", [3]));
    let h = g.masked(x, mask);
    let y = g.add(Dense::new(2).kernel_initializer(Init::Identity { gain: 1.0 }), h);
    g.build_as::<f64>([y], 1).unwrap()
}

#[test]
fn a_head_without_a_loss_counts_the_same_steps() {
    let mut g = Graph::new();
    let (x, mask) = (g.input("x", [3, 2]), g.input("mask", [3]));
    let h = g.masked(x, mask);
    let a = g.add_named("a", Dense::new(2).kernel_initializer(Init::Identity { gain: 1.0 }), h);
    let b = g.add_named("b", Dense::new(2).kernel_initializer(Init::Identity { gain: 1.0 }), h);
    let mut model = g.build_as::<f64>([a, b], 1).unwrap();
    let metric = || [LossMetric::new(losses::MeanAbsoluteError::default())];
    let heads = [Head::new("a").loss(MeanSquaredError::default()).metrics(metric()), Head::new("b").metrics(metric())];
    model.compile_heads(Sgd::default().learning_rate(0.0), heads).unwrap();
    let (x, t) = (draw::<f64>([4, 3, 2], 3), draw::<f64>([4, 3, 2], 4));
    let mask = Tensor::from([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]);
    let how = Fit::default().batch_size(4).shuffle(false).verbose(Verbose::Silent);
    let history = model.fit([&x, &mask], [&t, &t], &how).unwrap();
    let scores = model.evaluate([&x, &mask], [&t, &t]).unwrap();
    let trained = history.get("a_mean_absolute_error").unwrap();
    assert!(trained[0] > 0.0);
    assert_eq!(history.get("b_mean_absolute_error").unwrap(), trained);
    assert_eq!(scores.get("b_mean_absolute_error"), scores.get("a_mean_absolute_error"));
}

#[test]
fn losses_and_metrics_count_the_steps_that_count() {
    let mut model = transparent();
    let head = Head::only().loss(MeanSquaredError::default());
    let head = head.metrics([LossMetric::new(losses::MeanAbsoluteError::default())]);
    let head = head.weighted_metrics([LossMetric::new(losses::MeanAbsoluteError::default())]);
    model.compile_heads(Sgd::default().learning_rate(0.0), [head]).unwrap();
    let (x, t) = (draw::<f64>([4, 3, 2], 3), draw::<f64>([4, 3, 2], 4));
    let mask = Tensor::from([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]);
    let weights = [0.5, 2.0, 3.0, 1.0];
    // Σ loss·w·m / Σ m, of rows of two values each.
    let sums = |f: &dyn Fn(f64) -> f64| {
        let (mut plain, mut weighted, mut n, mut total) = (0.0, 0.0, 0.0, 0.0);
        for (i, m) in mask.iter().enumerate() {
            let row = (0..2).map(|c| f(x.as_slice()[2 * i + c] - t.as_slice()[2 * i + c])).sum::<f64>() / 2.0;
            let w = weights[i / 3];
            (plain, weighted, n, total) = (plain + m * row, weighted + m * w * row, n + m, total + m * w);
        }
        (plain, weighted, n, total)
    };
    let (square, weighted_square, n, _) = sums(&|d| d * d);
    let (absolute, weighted_absolute, _, total) = sums(&|d| d.abs());
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got} instead of {expected}");
    let scores = model.evaluate([&x, &mask], &t).unwrap();
    close(scores.loss, square / n);
    close(scores.get("mean_absolute_error").unwrap(), absolute / n);
    close(scores.get("weighted_mean_absolute_error").unwrap(), absolute / n);
    let scores = model.evaluate_weighted([&x, &mask], &t, &weights).unwrap();
    close(scores.loss, weighted_square / n);
    close(scores.get("mean_absolute_error").unwrap(), absolute / n);
    close(scores.get("weighted_mean_absolute_error").unwrap(), weighted_absolute / total);
    let how = Fit::default().batch_size(4).shuffle(false).verbose(Verbose::Silent).sample_weight(&weights);
    let history = model.fit([&x, &mask], &t, &how).unwrap();
    close(history.get("loss").unwrap()[0], weighted_square / n);
    close(history.get("mean_absolute_error").unwrap()[0], absolute / n);
    close(history.get("weighted_mean_absolute_error").unwrap()[0], weighted_absolute / total);
    // Batches of 2: their losses by their numbers of samples, metrics over all steps.
    let how = Fit::default().batch_size(2).shuffle(false).verbose(Verbose::Silent);
    let history = model.fit([&x, &mask], &t, &how).unwrap();
    let half = |range: std::ops::Range<usize>| {
        let part = |of: &Tensor<f64>| of.rows(range.clone()).unwrap();
        model.evaluate([&part(&x), &part(&mask)], &part(&t)).unwrap().loss
    };
    close(history.get("loss").unwrap()[0], (half(0..2) + half(2..4)) / 2.0);
    close(history.get("mean_absolute_error").unwrap()[0], absolute / n);
    // Nothing counts: loss 0, and no gradient.
    let empty = Tensor::zeros([4, 3]);
    assert_eq!(model.evaluate([&x, &empty], &t).unwrap().loss, 0.0);
    model.compile(Sgd::default().learning_rate(1.0), MeanSquaredError::default(), ()).unwrap();
    let before = model.params().values().to_vec();
    let history = model.fit([&x, &empty], &t, &how).unwrap();
    assert_eq!(history.get("loss").unwrap(), [0.0]);
    assert_eq!(model.params().values(), before);
    // What does not count has no say, whatever it is.
    let history = model.fit([&x, &mask], &t, &how).unwrap();
    let (trained, loss) = (model.params().values().to_vec(), history.get("loss").unwrap().to_vec());
    let mut again = transparent();
    again.compile(Sgd::default().learning_rate(1.0), MeanSquaredError::default(), ()).unwrap();
    let mut other = x.clone();
    let masked = mask.iter().enumerate().filter(|(_, m)| **m == 0.0).map(|(i, _)| i);
    masked.for_each(|i| other.as_mut_slice()[2 * i..2 * i + 2].fill(1e3));
    let history = again.fit([&other, &mask], &t, &how).unwrap();
    assert_eq!((again.params().values(), history.get("loss").unwrap()), (&trained[..], &loss[..]));
}

#[test]
fn classes_under_a_mask() {
    let mut model = Sequential::new([3])
        .add(Embedding::new(4, 3).mask_zero(true).embeddings_initializer(Init::Normal { mean: 0.0, std: 1.0 }))
        .add(Dense::new(4).activation(Activation::Softmax))
        .build_as::<f64>(2)
        .unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    let (x, t) = (Tensor::from([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]]), Tensor::from([[2.0, 0.0, 1.0], [1.0, 3.0, 3.0]]));
    let y = model.predict(&x).unwrap();
    let steps = [(0, 2), (1, 0), (3, 1)];
    let loss = steps.iter().map(|&(row, class)| -y.as_slice()[row * 4 + class].ln()).sum::<f64>() / 3.0;
    let hits = steps
        .iter()
        .filter(|&&(row, class)| y.as_slice()[row * 4..][..4].iter().all(|p| *p <= y.as_slice()[row * 4 + class]));
    let scores = model.evaluate(&x, &t).unwrap();
    assert!((scores.loss - loss).abs() < 1e-12, "{} instead of {loss}", scores.loss);
    assert!((scores.get("accuracy").unwrap() - hits.count() as f64 / 3.0).abs() < 1e-15);
    gradus::gradcheck::check_model(&mut model, &x, &t).unwrap();
}

#[test]
fn token_ids_are_checked_wherever_data_come_in() {
    let mut model =
        Sequential::new([2]).add(Embedding::new(4, 3)).add(Flatten::new()).add(Dense::new(1)).build(2).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let (x, t) = (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::zeros([2, 1]));
    let how = Fit::default().verbose(Verbose::Silent);
    let said = [
        model.predict(&x).unwrap_err(),
        model.evaluate(&x, &t).unwrap_err(),
        model.fit(&x, &t, &how).unwrap_err(),
        model.train_on_batch(&x, &t).unwrap_err(),
        model.fit_dataset(&Samples::new(x.clone(), t.clone()).unwrap().batch(2), &how, &mut []).unwrap_err(),
        model.predictor().unwrap().predict_into(&x, &mut Tensor::default()).unwrap_err(),
    ];
    for error in said {
        assert!(matches!(error.root(), Error::TokenId { row: 1, position: 1, count: 4, .. }), "{error}");
    }
    let two = |g: &mut Graph| [g.input("a", [2]), g.input("b", [2])];
    let mut g = Graph::new();
    let [a, b] = two(&mut g);
    let h = g.add(Embedding::new(9, 2), b);
    let h = g.add(Flatten::new(), h);
    let y = g.op(merging::Concatenate::new(), &[a, h]);
    let model = g.build([y], 1).unwrap();
    let error = model.predict([&x, &Tensor::from([[1.0, 2.0], [-1.0, 0.0]])]).unwrap_err().to_string();
    assert!(error.starts_with("predict: b has -1 in row 1, position 0"), "{error}");
}

#[cfg(feature = "files")]
#[test]
fn masks_go_through_files() {
    let path = std::env::temp_dir().join(format!("gradus_masks_{}.safetensors", std::process::id()));
    let mut g = Graph::new();
    let [ids, x, mask] = [g.input("ids", [4]), g.input("x", [4, 3]), g.input("mask", [4])];
    let [long, mean] = whole(&mut g, ids, x, mask);
    let e = g.add(Embedding::new(5, 3).mask_zero(true), ids);
    let h = g.compute(e + x);
    let sum = g.add(GlobalAveragePooling1d::new(), h);
    let mut model = g.build_as::<f64>([long, mean, sum], 5).unwrap();
    let x = inputs::<f64>(3, 4);
    let y = model.predict_all(&x[..]).unwrap();
    model.save(&path).unwrap();
    let mut archive = gradus::io::Archive::open(&path).unwrap();
    let loaded = Model::<f64>::of_archive(&mut archive).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(loaded.predict_all(&x[..]).unwrap(), y);
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
}
