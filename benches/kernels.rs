//! Products and activations at the sizes that the example models use.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradus::kernels::gemm::{Matrix, gemm};
use gradus::prelude::*;

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for [m, k, n] in [[128, 784, 512], [784, 128, 512], [1024, 1024, 1024], [64, 64, 64], [32, 10, 10], [1, 784, 512]] {
        let (a, b, mut out) = (vec![0.5f32; m * k], vec![0.25f32; k * n], vec![0.0f32; m * n]);
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{k}x{n}")), |bench| {
            bench.iter(|| gemm([m, k, n], Matrix::rows(&a, k), Matrix::rows(&b, n), 0.0, &mut out));
        });
    }
    group.finish();
}

fn activations(c: &mut Criterion) {
    let mut group = c.benchmark_group("activations");
    let z: Vec<f32> = (0..16_384).map(|i| (i % 401) as f32 * 0.02 - 4.0).collect();
    group.throughput(Throughput::Elements(z.len() as u64));
    for activation in [Activation::Relu, Activation::Sigmoid, Activation::Tanh, Activation::Gelu, Activation::Softmax] {
        let mut y = z.clone();
        group.bench_function(BenchmarkId::new("forward", activation), |bench| {
            bench.iter(|| {
                y.copy_from_slice(&z);
                activation.forward(&mut y, 128);
            });
        });
        let mut dy = vec![1.0; z.len()];
        group.bench_function(BenchmarkId::new("backward", activation), |bench| {
            bench.iter(|| {
                dy.fill(1.0);
                activation.backward(&z, &y, &mut dy, 128);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products, activations);
criterion_main!(benches);
