//! How fast a training step, a prediction and a matrix product are, as one line of JSON for each workload.
//!
//! `cargo run --release -p gradus-benches -- seed_mlp,mlp_infer1,gemm --threads 2`
//! `cargo run --release -p gradus-benches -- mnist_mlp --data DIR` with MNIST's four IDX files (or `.gz`) in DIR
//! `gpt_char`, `gpt2_124m`, `bert_base_mlm`: a step of a small and of two large language models (`gpt2_124m_bf16_moments`: with AdamW's moments stored in bf16); `decode_gpt2`, `decode_llama1b`: a token; `prefill_gpt2`, `prefill_llama1b`: a
//! prompt of 512; with `_f32`, `_bf16`, `_q8_0` or `_q4_0` behind them from weights that are stored so
//! `mnist_cnn` takes them too, and made-up images without; `resnet20` and `lenet_infer1` need no data
//!
//! `gemm` shows products beside what the machine can do: multiply-adds on registers alone, or, for few rows, reading the weights.
//! `packed` shows the same of weights that are stored in few bytes: one row, and 512;
//! `checkpoint` shows what writing checkpoints costs a model of ten million weights;
//! `scaling` shows how time and memory grow with samples and with weights; `--seed N` sets the weights' seed.
//!
//! Values are the best of several rounds: a machine that others share is only ever slowed down.

mod language;
mod machine;

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gradus::WeightStorage;
use gradus::data::read_idx;
use gradus::kernels::gemm::{Matrix, gemm};
use gradus::kernels::packed::{Packed, product};
use gradus::kernels::parallel;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use support::counting::{Counting, count_this_thread, taken};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    count_this_thread(true);
    let mut workloads = Vec::new();
    let mut directory = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => gradus::set_threads(arguments.next().ok_or("--threads needs a number")?.parse()?)?,
            "--data" => directory = arguments.next(),
            "--seed" => {
                SEED_OF_WEIGHTS.store(arguments.next().ok_or("--seed needs a number")?.parse()?, Ordering::Relaxed)
            }
            names => workloads.extend(names.split(',').map(str::to_owned)),
        }
    }
    if workloads.is_empty() {
        // Those that need no data.
        workloads = ["seed_mlp", "mlp_infer1"].map(str::to_owned).to_vec();
    }
    for workload in workloads {
        match workload.as_str() {
            "seed_mlp" => seed_mlp()?,
            "mlp_infer1" => mlp_infer1()?,
            "mnist_mlp" => mnist_mlp(directory.as_deref().ok_or("mnist_mlp needs --data DIR")?)?,
            "mnist_cnn" => mnist_cnn(directory.as_deref())?,
            "resnet20" => resnet20()?,
            "unet" => unet()?,
            "two_tower" => two_tower()?,
            "gpt_char" | "gpt2_124m" | "gpt2_124m_bf16_moments" => language::train(&workload)?,
            "bert_base_mlm" => language::masked_language()?,
            decode if decode.starts_with("decode_") => language::decode(&workload)?,
            prefill if prefill.starts_with("prefill_") => language::prefill(&workload)?,
            "lenet_infer1" => lenet_infer1()?,
            "gemm" => products(),
            "packed" => packed_products()?,
            "scaling" => scaling()?,
            "checkpoint" => checkpoint()?,
            other => return Err(format!("there is no workload {other}").into()),
        }
    }
    Ok(())
}

/// Prints one line; `more` is further JSON, beginning with a comma.
fn report(workload: &str, metric: &str, value: f64, more: &str) {
    println!(
        "{{\"peer\": \"gradus-{}\", \"threads\": {}, \"workload\": \"{workload}\", \"metric\": \"{metric}\", \
         \"value\": {value:.6}{more}, \"peak_rss_mb\": {:.1}}}",
        env!("CARGO_PKG_VERSION"),
        parallel::threads(),
        peak_memory()
    );
}

/// The most memory that this process has held, in MB; NaN where the system does not say.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).map_or(f64::NAN, |kb| kb / 1024.0)
}

fn mlp(sizes: &[usize]) -> gradus::Result<Model> {
    let mut model = Sequential::new([sizes[0]]);
    for (i, &units) in sizes[1..].iter().enumerate() {
        let last = i + 2 == sizes.len();
        let activation = if last { Activation::Softmax } else { Activation::Relu };
        model = model.add(Dense::new(units).activation(activation));
    }
    model.build(SEED_OF_WEIGHTS.load(Ordering::Relaxed))
}

/// From `--seed`, 0 by default: initial weights and the order of samples.
static SEED_OF_WEIGHTS: AtomicU64 = AtomicU64::new(0);

fn trained_mlp(sizes: &[usize]) -> gradus::Result<Model> {
    let mut model = mlp(sizes)?;
    model.compile(Adam::default(), CategoricalCrossentropy::default(), ())?;
    Ok(model)
}

/// Multiply-adds of a step, twice: forward, weight gradients, and input gradients but for the first layer.
fn step_operations(sizes: &[usize], batch: usize) -> f64 {
    let products: Vec<usize> = sizes.windows(2).map(|w| w[0] * w[1]).collect();
    2.0 * batch as f64 * (3 * products.iter().sum::<usize>() - products[0]) as f64
}

fn epoch(batch: usize) -> Fit<'static> {
    Fit::default().batch_size(batch).verbose(Verbose::Silent)
}

/// What 20 steps more allocate, divided by 20, once the buffers have grown.
fn allocations_a_step(sizes: &[usize], x: &Tensor, y: &Tensor, batch: usize) -> Result<f64, Failure> {
    let mut model = trained_mlp(sizes)?;
    let mut counts = [0; 2];
    for (steps, count) in [20, 40].into_iter().zip(&mut counts) {
        let (x, y) = (x.rows(0..steps * batch)?, y.rows(0..steps * batch)?);
        model.fit(&x, &y, &epoch(batch))?;
        let before = taken();
        model.fit(&x, &y, &epoch(batch))?;
        *count = taken() - before;
    }
    Ok((counts[1] as f64 - counts[0] as f64) / 20.0)
}

fn seed_data() -> (Tensor, Tensor) {
    let key = Key::new(1, Purpose::Data);
    // Sums of twelve uniform numbers: near enough to normal.
    let normal = |i: usize| (0..12).map(|k| key.with(k).unit(i as u64)).sum::<f64>() - 6.0;
    let x = Tensor::from_fn([3200, 10], |i| normal(i) as f32);
    let labels: Vec<usize> = (0..3200).map(|i| usize::from(x.row(i)[0] * x.row(i)[1] > 0.0)).collect();
    (x, Tensor::from_labels(&labels))
}

const SEED: [usize; 4] = [10, 10, 20, 2];

fn seed_mlp() -> Result<(), Failure> {
    let (x, y) = seed_data();
    let mut model = trained_mlp(&SEED)?;
    let first = model.evaluate(&x, &y)?.loss;
    model.fit(&x, &y, &epoch(32))?;
    let mut best = f64::INFINITY;
    for _ in 0..60 {
        let start = Instant::now();
        model.fit(&x, &y, &epoch(32))?;
        best = best.min(start.elapsed().as_secs_f64() / 100.0);
    }
    let more = format!(
        ", \"loss_first\": {first:.4}, \"loss_last\": {:.4}, \"gflops\": {:.2}, \"allocations_a_step\": {:.2}",
        model.evaluate(&x, &y)?.loss,
        step_operations(&SEED, 32) / best * 1e-9,
        allocations_a_step(&SEED, &x, &y, 32)?
    );
    report("seed_mlp", "us_per_step", best * 1e6, &more);
    Ok(())
}

fn mlp_infer1() -> Result<(), Failure> {
    let model = mlp(&SEED)?;
    let x = seed_data().0.rows(0..1)?;
    const CALLS: usize = 10_000;
    let mut predictor = model.predictor()?;
    let mut y = Tensor::default();
    predictor.predict_into(&x, &mut y)?;
    let before = taken();
    let into = best_of(CALLS, || predictor.predict_into(black_box(&x), black_box(&mut y)))?;
    let taken = (taken() - before) as f64 / (20 * CALLS) as f64;
    let whole = best_of(CALLS, || model.predict(black_box(&x)).map(|y| drop(black_box(y))))?;
    let more = format!(", \"allocations_a_step\": {taken:.2}, \"predict_us\": {:.4}", whole * 1e6);
    report("mlp_infer1", "us_per_call", into * 1e6, &more);
    Ok(())
}

/// Seconds a call, the best of 20 rounds of `calls`.
fn best_of(calls: usize, mut call: impl FnMut() -> gradus::Result<()>) -> gradus::Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        best = best.min(start.elapsed().as_secs_f64() / calls as f64);
    }
    Ok(best)
}

fn idx(directory: &str, name: &str) -> gradus::Result<Tensor> {
    let plain = Path::new(directory).join(name);
    if plain.exists() { read_idx(plain) } else { read_idx(Path::new(directory).join(format!("{name}.gz"))) }
}

fn mnist_mlp(directory: &str) -> Result<(), Failure> {
    const SIZES: [usize; 4] = [784, 512, 256, 10];
    let images = |name| -> gradus::Result<Tensor> {
        let x = idx(directory, name)?.map(|v| v / 255.0);
        let n = x.samples();
        x.reshape([n, 784])
    };
    let (x, y) = (images("train-images-idx3-ubyte")?, idx(directory, "train-labels-idx1-ubyte")?);
    let (test_x, test_y) = (images("t10k-images-idx3-ubyte")?, idx(directory, "t10k-labels-idx1-ubyte")?);
    let mut model = trained_mlp(&SIZES)?;
    let first = model.evaluate(&test_x, &test_y)?.loss;
    let (mut best, mut last) = (f64::INFINITY, 0.0);
    for e in 0..3 {
        let start = Instant::now();
        let history = model.fit(&x, &y, &epoch(128).initial_epoch(e).epochs(e + 1))?;
        best = best.min(start.elapsed().as_secs_f64());
        last = history.last("loss").unwrap_or(f64::NAN);
    }
    let p = model.predict_classes(&test_x)?;
    let right = p.iter().zip(&test_y).filter(|(p, t)| **p == **t as usize).count();
    let more = format!(
        ", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}, \"acc\": {:.4}, \"gflops\": {:.1}, \
         \"allocations_a_step\": {:.2}",
        right as f64 / p.len() as f64,
        step_operations(&SIZES, 60_000) / best * 1e-9,
        allocations_a_step(&SIZES, &x, &y, 128)?
    );
    report("mnist_mlp", "s_per_epoch", best, &more);
    Ok(())
}

/// Milliseconds of each step of one epoch over the first batches, and what a step allocates once the buffers have grown.
fn steps(model: &mut Model, x: &Tensor, y: &Tensor, batch: usize, n: usize) -> Result<(Vec<f64>, f64), Failure> {
    let batches: Vec<(Tensor, Tensor)> = (0..n)
        .map(|i| Ok((x.rows(i * batch..(i + 1) * batch)?, y.rows(i * batch..(i + 1) * batch)?)))
        .collect::<gradus::Result<_>>()?;
    let mut times = Vec::with_capacity(n);
    let mut before = 0;
    for (i, (x, y)) in batches.iter().enumerate() {
        if i == n / 2 {
            before = taken();
        }
        let start = Instant::now();
        model.train_on_batch(x, y)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let taken = (taken() - before) as f64 / (n - n / 2) as f64;
    Ok((times, taken))
}

/// The median of all but the first five, as the peers' scripts have it.
fn median(times: &[f64]) -> f64 {
    let mut rest = times[5.min(times.len() - 1)..].to_vec();
    rest.sort_by(f64::total_cmp);
    rest[rest.len() / 2]
}

fn noise(n: usize, shape: [usize; 3]) -> Tensor {
    let key = Key::new(2, Purpose::Data);
    Tensor::from_fn([n, shape[0], shape[1], shape[2]], |i| key.unit(i as u64) as f32)
}

/// The convolutional network of Keras's MNIST example, 65 steps of 128.
fn mnist_cnn(directory: Option<&str>) -> Result<(), Failure> {
    const N: usize = 65 * 128;
    let (x, y) = match directory {
        Some(directory) => {
            let x =
                idx(directory, "train-images-idx3-ubyte")?.rows(0..N)?.map(|v| v / 255.0).reshape([N, 28, 28, 1])?;
            (x, idx(directory, "train-labels-idx1-ubyte")?.rows(0..N)?)
        }
        None => (noise(N, [28, 28, 1]), Tensor::from_fn([N], |i| (i % 10) as f32)),
    };
    let mut model = Sequential::new([28, 28, 1])
        .add(Conv2d::new(32, 3).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Conv2d::new(64, 3).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    model.compile(Adam::default(), CategoricalCrossentropy::default(), ())?;
    let first = model.train_on_batch(&x.rows(0..128)?, &y.rows(0..128)?)?;
    let (times, taken) = steps(&mut model, &x, &y, 128, 65)?;
    let last = model.evaluate(&x.rows(N - 128..N)?, &y.rows(N - 128..N)?)?.loss;
    // Multiply-adds of both convolutions and the dense layer: forward, weights, and inputs but for the first.
    let (one, two) = (26 * 26 * 9 * 32, 11 * 11 * 288 * 64);
    let operations = 2.0 * 128.0 * (2 * one + 3 * (two + 16_000)) as f64;
    let more = format!(
        ", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}, \"gflops\": {:.1}, \"allocations_a_step\": {taken:.2}",
        operations / median(&times) * 1e-6
    );
    report("mnist_cnn", "ms_per_step", median(&times), &more);
    Ok(())
}

/// ResNet-20 on noise of CIFAR's size, batches of 64, SGD with momentum.
fn resnet20() -> Result<(), Failure> {
    const STEPS: usize = 25;
    let (x, y) = (noise(STEPS * 64, [32, 32, 3]), Tensor::from_fn([STEPS * 64], |i| (i % 10) as f32));
    let model = Sequential::new([32, 32, 3]).add(gradus::models::resnet20(10));
    let mut model = model.build(SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    model.compile(Sgd::default().learning_rate(0.1).momentum(0.9), CategoricalCrossentropy::default(), ())?;
    let first = model.train_on_batch(&x.rows(0..64)?, &y.rows(0..64)?)?;
    let (times, taken) = steps(&mut model, &x, &y, 64, STEPS)?;
    let last = model.evaluate(&x.rows(0..64)?, &y.rows(0..64)?)?.loss;
    let more = format!(", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}, \"allocations_a_step\": {taken:.2}");
    report("resnet20", "ms_per_step", median(&times), &more);
    Ok(())
}

/// U-Net on images of 64×64×3, batches of 16: 16 filters at the first level, depth 4, a mask.
fn unet() -> Result<(), Failure> {
    const STEPS: usize = 15;
    let x = noise(STEPS * 16, [64, 64, 3]);
    let y = noise(STEPS * 16, [64, 64, 1]).map(|v| if v > 0.5 { 1.0 } else { 0.0 });
    let mut g = Graph::new();
    let image = g.input("image", [64, 64, 3]);
    let mask = g.add(gradus::models::UNet::new(1).filters(16), image);
    let mut model = g.build([mask], SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    model.compile(Adam::default(), BinaryCrossentropy::default(), ())?;
    let first = model.train_on_batch(&x.rows(0..16)?, &y.rows(0..16)?)?;
    let (times, taken) = steps(&mut model, &x, &y, 16, STEPS)?;
    let last = model.evaluate(&x.rows(0..16)?, &y.rows(0..16)?)?.loss;
    let more = format!(", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}, \"allocations_a_step\": {taken:.2}");
    report("unet", "ms_per_step", median(&times), &more);
    Ok(())
}

/// Two inputs of 256 numbers, each through a tower of its own (256, 128, 64), the answers beside each other through 64 to one logit; batches
/// of 128.
fn two_tower() -> Result<(), Failure> {
    const STEPS: usize = 60;
    const BATCH: usize = 128;
    let values = |stream: u64| {
        let key = Key::new(4, Purpose::Data).with(stream);
        Tensor::from_fn([STEPS * BATCH, 256], |i| key.unit(i as u64) as f32 - 0.5)
    };
    let (a, b) = (values(1), values(2));
    let y = Tensor::from_fn([STEPS * BATCH, 1], |i| f32::from(a.row(i)[0] * b.row(i)[0] > 0.0));
    let mut g = Graph::new();
    let (left, right) = (g.input("left", [256]), g.input("right", [256]));
    let relu = |units: usize| Dense::new(units).activation(Activation::Relu);
    let tower = || Block::new().add(relu(256)).add(relu(128)).add(relu(64));
    let (h, k) = (g.add(tower(), left), g.add(tower(), right));
    let both = g.op(Concatenate::new(), &[h, k]);
    let h = g.add(relu(64), both);
    let click = g.add(Dense::new(1).activation(Activation::Sigmoid), h);
    let mut model = g.build([click], SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    model.compile(Adam::default(), BinaryCrossentropy::default(), ())?;
    let part = |t: &Tensor, i: usize| t.rows(i * BATCH..(i + 1) * BATCH);
    let first = model.train_on_batch([&part(&a, 0)?, &part(&b, 0)?], &part(&y, 0)?)?;
    let mut times = Vec::with_capacity(STEPS);
    for i in 0..STEPS {
        let (a, b, y) = (part(&a, i)?, part(&b, i)?, part(&y, i)?);
        let start = Instant::now();
        model.train_on_batch([&a, &b], &y)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let last = model.evaluate([&part(&a, 0)?, &part(&b, 0)?], &part(&y, 0)?)?.loss;
    let more = format!(", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}");
    report("two_tower", "ms_per_step", median(&times), &more);
    Ok(())
}

/// One image through LeNet-5.
fn lenet_infer1() -> Result<(), Failure> {
    let model = Sequential::new([28, 28, 1]).add(gradus::models::lenet5(10)).build(0)?;
    let (x, mut y) = (noise(1, [28, 28, 1]), Tensor::default());
    const CALLS: usize = 1000;
    let mut predictor = model.predictor()?;
    predictor.predict_into(&x, &mut y)?;
    let before = taken();
    let into = best_of(CALLS, || predictor.predict_into(black_box(&x), black_box(&mut y)))?;
    let taken = (taken() - before) as f64 / (20 * CALLS) as f64;
    report("lenet_infer1", "us_per_call", into * 1e6, &format!(", \"allocations_a_step\": {taken:.2}"));
    Ok(())
}

/// Time and memory of an epoch over three decades of samples, and of a step over three decades of weights.
fn scaling() -> Result<(), Failure> {
    let data = |n: usize, features: usize| {
        let x = Tensor::from_fn([n, features], |i| (i * 37 % 101) as f32 * 0.02 - 1.0);
        (x, Tensor::from_fn([n], |i| (i % 10) as f32))
    };
    for n in [1_000, 10_000, 100_000, 1_000_000] {
        let (x, y) = data(n, 20);
        let mut model = trained_mlp(&[20, 64, 10])?;
        let seconds = best_of_few(|| model.fit(&x, &y, &epoch(32)).map(drop))?;
        let more = format!(", \"data_mb\": {:.1}", (x.len() + y.len()) as f64 * 4e-6);
        report(&format!("samples_{n}"), "us_per_sample", seconds / n as f64 * 1e6, &more);
    }
    for width in [24, 92, 309, 994, 3156] {
        let sizes = [width, width, width, 10];
        let (x, y) = data(64, width);
        let mut model = trained_mlp(&sizes)?;
        let weights = model.params().len();
        let steps = (100_000_000 / weights).clamp(2, 1000);
        let seconds = best_of_few(|| (0..steps).try_for_each(|_| model.train_on_batch(&x, &y).map(drop)))?;
        let per = seconds / steps as f64 / weights as f64 * 1e9;
        report(&format!("weights_{weights}"), "ns_per_weight", per, "");
    }
    Ok(())
}

/// Seconds a call, the best of 4.
fn best_of_few(mut call: impl FnMut() -> gradus::Result<()>) -> gradus::Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// The layouts that a dense layer asks for.
#[derive(Clone, Copy)]
enum Product {
    /// x·W
    Forward,
    /// xᵀ·dz
    Weights,
    /// dz·Wᵀ
    Inputs,
}

/// Ten million weights with Adam: the time to write their 120 MB, beside that of a plain file of as many bytes, and what
/// checkpoints every 1,000 steps add to training.
fn checkpoint() -> Result<(), Failure> {
    use std::io::Write;
    let sizes = [784, 2048, 2048, 2048, 10];
    let folder = std::env::temp_dir().join(format!("gradus_checkpoint_{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (file, plain) = (folder.join("run.safetensors"), folder.join("plain"));
    let mut model = trained_mlp(&sizes)?;
    let weights = model.params().len();
    let x = Tensor::zeros([CHECKPOINT_EVERY * 2, sizes[0]]);
    let y = Tensor::zeros([CHECKPOINT_EVERY * 2]);
    model.fit(&x.rows(0..64)?, &y.rows(0..64)?, &epoch(64))?;
    model.save_checkpoint(&file)?;
    let bytes = std::fs::read(&file)?;
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let begin = Instant::now();
        let mut out = std::fs::File::create(&plain)?;
        out.write_all(&bytes)?;
        out.sync_all()?;
        theirs = theirs.min(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        model.save_checkpoint(&file)?;
        ours = ours.min(begin.elapsed().as_secs_f64());
    }
    let megabytes = bytes.len() as f64 / 1e6;
    let more = format!(
        ", \"weights\": {weights}, \"megabytes\": {megabytes:.1}, \"plain_seconds\": {theirs:.4}, \"of_plain_speed\": {:.3}",
        theirs / ours
    );
    report("checkpoint", "write_seconds", ours, &more);
    // Steps of one sample, the shortest there are, so that the cost shows at its largest; with and without, in turn.
    let (mut with, mut without) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..2 {
        let begin = Instant::now();
        model.fit(&x, &y, &epoch(BATCH))?;
        without = without.min(begin.elapsed().as_secs_f64());
        let settings = Checkpoint::new(&file).every_steps(CHECKPOINT_EVERY).every_epochs(usize::MAX).resume(false);
        let begin = Instant::now();
        model.fit(&x, &y, &epoch(BATCH).checkpoint(&settings))?;
        with = with.min(begin.elapsed().as_secs_f64());
    }
    let steps = (CHECKPOINT_EVERY * 2).div_ceil(BATCH);
    let more = format!(", \"steps\": {steps}, \"without_seconds\": {without:.3}, \"with_seconds\": {with:.3}");
    report("checkpoint", "overhead", with / without - 1.0, &more);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Batches between two checkpoints.
const CHECKPOINT_EVERY: usize = 1000;

/// Samples a batch of that run.
const BATCH: usize = 1;

fn products() {
    use Product::{Forward, Inputs, Weights};
    let shapes = [
        (Forward, [128, 784, 512]),
        (Weights, [784, 128, 512]),
        (Forward, [128, 512, 256]),
        (Weights, [512, 128, 256]),
        (Inputs, [128, 256, 512]),
        (Forward, [128, 256, 10]),
        (Weights, [256, 128, 10]),
        (Inputs, [128, 10, 256]),
        (Forward, [32, 10, 10]),
        (Forward, [32, 10, 20]),
        (Forward, [32, 20, 2]),
        (Weights, [10, 32, 10]),
        (Weights, [10, 32, 20]),
        (Weights, [20, 32, 2]),
        (Inputs, [32, 2, 20]),
        (Inputs, [32, 20, 10]),
        (Forward, [1, 10, 20]),
        (Forward, [1, 784, 512]),
        (Forward, [1, 4096, 128]),
        (Forward, [1, 1024, 1024]),
        (Forward, [1, 4096, 4096]),
        (Forward, [1, 4096, 16384]),
        (Forward, [128, 1600, 10]),
        // Patches of convolutions.
        (Forward, [4096, 27, 16]),
        (Forward, [1024, 144, 16]),
        (Forward, [4608, 288, 64]),
        (Weights, [288, 4608, 64]),
        (Inputs, [4608, 64, 288]),
        // Winograd's points.
        (Forward, [256, 16, 16]),
        (Forward, [64, 64, 64]),
        (Weights, [32, 128, 32]),
        (Forward, [1024, 1024, 1024]),
    ];
    let threads = parallel::threads();
    for (product, [m, k, n]) in shapes {
        let values = |len: usize, part: u64| -> Vec<f32> {
            let key = Key::new(part, Purpose::Data);
            (0..len as u64).map(|i| key.unit(i) as f32 - 0.5).collect()
        };
        let (a, b, mut c) = (values(m * k, 1), values(k * n, 2), vec![0.0; m * n]);
        let operations = 2.0 * (m * k * n) as f64;
        let calls = (2e8 / operations).clamp(1.0, 2e4) as usize;
        let mut call = || {
            let (x, y, beta) = match product {
                Forward => (Matrix::rows(&a, k), Matrix::rows(&b, n), 0.0),
                Weights => (Matrix::transposed(&a, m), Matrix::rows(&b, n), 1.0),
                Inputs => (Matrix::rows(&a, k), Matrix::transposed(&b, k), 0.0),
            };
            gemm([m, k, n], x, y, beta, black_box(&mut c));
            Ok(())
        };
        // In turn, as the machine may change its speed.
        let limit = if m < 4 { machine::read(threads, &b) } else { machine::peak(threads) };
        let seconds = best_of(calls, &mut call).unwrap_or(f64::NAN);
        let of_limit = match m {
            0..4 => {
                format!(", \"read_gb_s\": {limit:.1}, \"of_read\": {:.3}", (k * n * 4) as f64 / seconds * 1e-9 / limit)
            }
            _ => format!(", \"peak\": {limit:.1}, \"of_peak\": {:.3}", operations / seconds * 1e-9 / limit),
        };
        let layout = match product {
            Forward => "nn",
            Weights => "tn",
            Inputs => "nt",
        };
        report(&format!("gemm_{layout}_{m}x{k}x{n}"), "gflops", operations / seconds * 1e-9, &of_limit);
    }
}

/// Rows with stored weights: of a size that caches hold, and of one that none does.
fn packed_products() -> Result<(), Failure> {
    for [k, n] in [[256, 512], [768, 3072], [2048, 16384]] {
        for storage in WeightStorage::ALL {
            let mut w = Packed::zeros("bench", "w", storage, [k, n])?;
            w.fill(|output, row| {
                row.iter_mut().enumerate().for_each(|(i, v)| *v = ((i + output) % 17) as f32 - 8.0);
                Ok(())
            })?;
            for m in [1, 2, 4, 512] {
                let (x, mut y) = (vec![0.5f32; m * k], vec![0f32; m * n]);
                let rounds = ((1 << 31) / (m * k * n)).clamp(1, 2000);
                let mut best = f64::INFINITY;
                for _ in 0..7 {
                    let start = Instant::now();
                    (0..rounds).for_each(|_| product(black_box(&x), m, &w, 0.0, black_box(&mut y)));
                    best = best.min(start.elapsed().as_secs_f64() / rounds as f64);
                }
                let more = format!(
                    ", \"gflops\": {:.1}, \"weights_per_ns\": {:.1}",
                    2e-9 * (m * k * n) as f64 / best,
                    1e-9 * (k * n) as f64 / best
                );
                let name = format!("packed_{storage}_{m}x{k}x{n}");
                report(&name, "read_gb_s", w.byte_len() as f64 / best * 1e-9, &more);
            }
        }
    }
    Ok(())
}
