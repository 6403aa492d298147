//! Dense layers, losses, optimizers, whole steps and predictions.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradus::optimizers::OptimizerState;
use gradus::prelude::*;

fn model(sizes: &[usize]) -> Model {
    let (last, hidden) = sizes[1..].split_last().expect("two sizes at least");
    let mut model = Sequential::new([sizes[0]]);
    for &n in hidden {
        model = model.add(Dense::new(n).activation(Activation::Relu));
    }
    model.add(Dense::new(*last).activation(Activation::Softmax)).build(1).expect("the sizes fit")
}

fn batch(n: usize, features: usize, classes: usize) -> (Tensor, Tensor) {
    let x = Tensor::from_fn([n, features], |i| (i % 97) as f32 * 0.01);
    (x, Tensor::from_fn([n], |i| (i % classes) as f32))
}

fn losses(c: &mut Criterion) {
    let mut group = c.benchmark_group("losses");
    let p = Tensor::from_fn([1024, 10], |i| (i % 10) as f32 * 0.02 + 0.01);
    let y = Tensor::from_fn([1024, 10], |i| f32::from(u8::from(i % 11 == 0)));
    let all: [(&str, Box<dyn Loss>); 3] = [
        ("mean_squared_error", Box::new(MeanSquaredError::default())),
        ("categorical_crossentropy", Box::new(CategoricalCrossentropy::default())),
        ("categorical_crossentropy_logits", Box::new(CategoricalCrossentropy::default().from_logits(true))),
    ];
    for (name, loss) in all {
        let mut dy = Tensor::zeros([1024, 10]);
        group.bench_function(name, |bench| bench.iter(|| loss.batch(&y, &p, None, 1024, Some(&mut dy))));
    }
    group.finish();
}

fn optimizers(c: &mut Criterion) {
    let mut group = c.benchmark_group("optimizers");
    let all: [Box<dyn Optimizer>; 4] = [
        Box::new(Sgd::default().momentum(0.9)),
        Box::new(RmsProp::default()),
        Box::new(Adam::default()),
        Box::new(AdamW::default().global_clipnorm(1.0)),
    ];
    for optimizer in all {
        let mut params = model(&[784, 512, 256, 10]).params().clone();
        let mut state = OptimizerState::new(&*optimizer, &params);
        let mut gradients = vec![0.0; params.len()];
        group.throughput(Throughput::Elements(params.len() as u64));
        group.bench_function(optimizer.name(), |bench| {
            bench.iter(|| {
                gradients.fill(1e-3);
                state.step(&*optimizer, &mut params, &mut gradients)
            });
        });
    }
    group.finish();
}

/// One layer: its forward pass, and both passes with a loss.
fn dense(c: &mut Criterion) {
    let mut group = c.benchmark_group("dense");
    for [n, features, units] in [[1, 784, 512], [128, 784, 512], [32, 10, 10]] {
        let mut model = Sequential::new([features])
            .add(Dense::new(units).activation(Activation::Relu))
            .build(1)
            .expect("the sizes fit");
        let (x, _) = batch(n, features, 2);
        let y = Tensor::zeros([n, units]);
        let name = format!("{n}x{features}x{units}");
        group.throughput(Throughput::Elements((2 * n * features * units) as u64));
        {
            let (mut predictor, mut out) = (model.predictor().expect("built"), Tensor::default());
            group.bench_function(BenchmarkId::new("forward", &name), |bench| {
                bench.iter(|| predictor.predict_into(&x, &mut out).expect("shapes fit"));
            });
        }
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).expect("they fit");
        group.bench_function(BenchmarkId::new("forward_backward", &name), |bench| {
            bench.iter(|| model.gradients(&x, &y).expect("shapes fit"));
        });
    }
    group.finish();
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for (name, sizes, n) in [("seed_mlp", vec![10, 10, 20, 2], 32), ("mnist_mlp", vec![784, 512, 256, 10], 128)] {
        let mut model = model(&sizes);
        model.compile(Adam::default(), CategoricalCrossentropy::default(), ()).expect("they fit");
        let (x, y) = batch(n, sizes[0], sizes[sizes.len() - 1]);
        group.bench_function(name, |bench| bench.iter(|| model.train_on_batch(&x, &y).expect("finite")));
    }
    group.finish();
}

fn predictions(c: &mut Criterion) {
    let mut group = c.benchmark_group("predict");
    for (name, sizes) in [("seed_mlp", vec![10, 10, 20, 2]), ("mnist_mlp", vec![784, 512, 256, 10])] {
        let model = model(&sizes);
        for n in [1, 32, 1024] {
            let (x, _) = batch(n, sizes[0], 2);
            let (mut predictor, mut y) = (model.predictor().expect("built"), Tensor::default());
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| predictor.predict_into(&x, &mut y).expect("shapes fit"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dense, losses, optimizers, steps, predictions);
criterion_main!(benches);
