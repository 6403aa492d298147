//! Training over several ranks: samples a second, messages, memory.
//!
//! `cargo build --release -p gradus-benches --features mpi --bin ranks`, then `mpirun -n 2 --bind-to core target/release/ranks WORKLOAD [THREADS]`;
//! without `mpirun` one process, whose step is the plain one unless GRADUS_SHARDS says otherwise; GRADUS_OVERLAP (true or false) says whether gradients travel
//! while the way back is under way
//!
//! - `mnist_mlp`: 784-512-256-10, Adam, 1,024 samples a step in all ranks together; `gpt_char`: 24 sequences of 64 of a small GPT-2, AdamW.
//!   One JSON line of rank 0: samples a second, the best of three runs; the part of the time that went into exchanges, waiting included.
//! - `predict BANDWIDTH LATENCY RATE TOKENS`: what the model of docs/distributed.md says of 2 to 1,024 machines (bytes a second, seconds, operations a second
//!   of a machine, tokens a machine and step).
//! - `messages`: seconds of an exchange of every size, one rank to the next; `memory`: MB of each rank that trains 10 million weights with Adam, their
//!   moments divided (`memory divided`) or not.

use std::time::{Duration, Instant};

use gradus::distributed::{Mpi, World};
use gradus::models::Gpt2;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workload = arguments.first().map_or("", String::as_str);
    if workload == "predict" {
        let numbers: Vec<f64> = arguments[1..].iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        return predict(&numbers);
    }
    let threads = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    gradus::set_threads(threads)?;
    let world = Mpi::start()?.deadline(Duration::from_secs(120));
    let overlap = std::env::var("GRADUS_OVERLAP").ok().and_then(|overlap| overlap.parse().ok());
    let world = overlap.into_iter().fold(world, Mpi::overlap);
    match workload {
        "mnist_mlp" => throughput(&world, workload, mlp(&[784, 512, 256, 10])?, noise(), 1024, threads),
        "gpt_char" => {
            let settings = Gpt2 { vocabulary: 65, context: 64, features: 128, blocks: 4, heads: 4, ..Gpt2::default() };
            let mut model = settings.build(1)?;
            let optimizer = AdamW::default().learning_rate(1e-3).beta_2(0.99).weight_decay(0.1);
            model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ())?;
            throughput(&world, workload, model, characters(), 24, threads)
        }
        "messages" => messages(&world),
        "memory" => memory(&world, arguments.get(1).is_some_and(|how| how == "divided")),
        _ => Err("name a workload: mnist_mlp, gpt_char, messages or memory".into()),
    }
}

fn mlp(sizes: &[usize]) -> Result<Model, Failure> {
    let mut model = Sequential::new([sizes[0]]);
    for &units in &sizes[1..sizes.len() - 1] {
        model = model.add(Dense::new(units).activation(Activation::Relu));
    }
    let mut model = model.add(Dense::new(sizes[sizes.len() - 1]).activation(Activation::Softmax)).build(1)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ())?;
    Ok(model)
}

fn noise() -> (Tensor, Tensor) {
    const N: usize = 20 * 1024;
    let key = Key::new(2, Purpose::Data);
    (Tensor::from_fn([N, 784], |i| key.unit(i as u64) as f32), Tensor::from_fn([N], |i| (i % 10) as f32))
}

fn characters() -> (Tensor, Tensor) {
    const N: usize = 20 * 24;
    let key = Key::new(4, Purpose::Data);
    let token = |i: usize| key.below(i as u64, 65) as f32;
    (Tensor::from_fn([N, 64], token), Tensor::from_fn([N, 64], |i| token(i + 1)))
}

fn throughput(
    world: &Mpi,
    name: &str,
    mut model: Model,
    (x, y): (Tensor, Tensor),
    batch: usize,
    threads: usize,
) -> Result<(), Failure> {
    let shards = std::env::var("GRADUS_SHARDS").ok().and_then(|n| n.parse().ok());
    let (mut best, mut part) = (f64::INFINITY, 0.0);
    for e in 0..4 {
        let how = Fit::default().batch_size(batch).initial_epoch(e).epochs(e + 1).verbose(Verbose::Silent);
        let how = if world.size() > 1 { how.distributed(world) } else { how };
        let how = shards.map_or(how.clone(), |n| how.shards(n));
        let (start, before) = (Instant::now(), world.traffic().time);
        model.fit(&x, &y, &how)?;
        let time = start.elapsed().as_secs_f64();
        // The first run makes the buffers.
        if e > 0 && time < best {
            (best, part) = (time, (world.traffic().time - before).as_secs_f64() / time);
        }
    }
    if world.rank() == 0 {
        println!(
            "{{\"engine\": \"gradus\", \"ranks\": {}, \"threads\": {threads}, \"workload\": \"{name}\", \"metric\": \"samples_per_s\", \
             \"value\": {:.1}, \"batch\": {batch}, \"communication\": {part:.3}}}",
            world.size(),
            x.samples() as f64 / best
        );
    }
    Ok(())
}

/// Parts of the time of a step that are computing, by weights and machines, where each machine has as many tokens whatever their number.
fn predict(numbers: &[f64]) -> Result<(), Failure> {
    let [bandwidth, latency, rate, tokens] = numbers else { return Err("name four numbers".into()) };
    let machines: Vec<u64> = (1..=10).map(|exponent| 1 << exponent).collect();
    print!("|  weights |");
    machines.iter().for_each(|n| print!(" {n:>5} |"));
    println!();
    for weights in [1e6, 124e6, 1.1e9] {
        // Forward and backward of a weight: six operations a token.
        let compute = 6.0 * weights * tokens / rate;
        print!("| {weights:>8.1e} |");
        for &n in &machines {
            let others = n as f64 - 1.0;
            let buckets = (weights / f64::from(1 << 20).max(n as f64 * f64::from(1 << 14))).ceil();
            // Twice all to all, of each bucket; a line of numbers to each other rank.
            let messages = (2.0 * buckets + 1.0) * others * latency + 8.0 * weights * others / n as f64 / bandwidth;
            print!(" {:>5.3} |", compute / (compute + messages));
        }
        println!();
    }
    Ok(())
}

/// The time of an exchange in a ring, by size.
fn messages(world: &Mpi) -> Result<(), Failure> {
    let (rank, size) = (world.rank(), world.size());
    let (next, last) = ((rank + 1) % size, (rank + size - 1) % size);
    for exponent in (0..=26).step_by(2) {
        let bytes = 1usize << exponent;
        let (send, mut receive) = (vec![1u8; bytes], vec![0u8; bytes]);
        let calls = (1 << 26 >> exponent).clamp(4, 2000);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..calls {
                world.exchange("a message", &[(next, &send)], &mut [(last, &mut receive)])?;
            }
            best = best.min(start.elapsed().as_secs_f64() / f64::from(calls as u32));
        }
        if rank == 0 {
            println!("{bytes:>10} bytes {:>12.2} us {:>8.2} GB/s each way", best * 1e6, bytes as f64 / best * 1e-9);
        }
    }
    Ok(())
}

/// The memory of each rank after some steps on 10 million weights.
fn memory(world: &Mpi, divided: bool) -> Result<(), Failure> {
    let mut model = mlp(&[1000, 3000, 2000, 500, 10])?;
    let weights = model.params().len();
    let x = Tensor::full([16, 1000], 0.5);
    let y = Tensor::from_fn([16], |i| (i % 10) as f32);
    let how =
        Fit::default().batch_size(16).epochs(5).verbose(Verbose::Silent).distributed(world).shard_optimizer(divided);
    let rank = world.rank();
    let report = LambdaCallback::default().on_epoch_end(move |epoch, _, _| {
        if epoch == 3 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let of =
                |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
            println!(
                "rank {rank}: {weights} weights, divided {divided}: {} now, {} at most",
                of("VmRSS:"),
                of("VmHWM:")
            );
        }
        Ok(())
    });
    let mut report = report;
    model.fit_with(&x, &y, &how, &mut [&mut report])?;
    let bits = model.params().values().iter().fold(0u64, |sum, v| sum.rotate_left(5) ^ u64::from(v.to_bits()));
    if rank == 0 {
        println!("weights {bits:016x}");
    }
    Ok(())
}
