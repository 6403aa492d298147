//! Training on several machines, or several processes of one: the same bits for any number of ranks.
//!
//! `cargo build --release --features mpi --example mpi_train`, then `mpirun -n 2 target/release/examples/mpi_train [--gpt] [--epochs N]
//! [--shards N] [--batch N] [--threads N] [--checkpoint FILE] [--deadline SECONDS]`
//!
//! Digits by default; with `--gpt` a small GPT-2 on the crate's own documentation, character by character. Rank 0 prints. With a checkpoint the job
//! may be killed at any time and started again, with another number of ranks too; SIGTERM ends it after the step that is under way, with
//! status 3. Needs Open MPI (on Debian: `apt install libopenmpi-dev openmpi-bin libclang-dev`).

use std::{env, path::PathBuf, process::ExitCode, time::Duration, time::Instant};

use gradus::distributed::{Mpi, World};
use gradus::model::RunStart;
use gradus::models::Gpt2;
use gradus::prelude::*;

/// The status of a job that was asked to end before it was done.
const INTERRUPTED: u8 = 3;

/// What can be set from the command line.
struct Options {
    gpt: bool,
    epochs: usize,
    shards: Option<usize>,
    batch: Option<usize>,
    threads: usize,
    checkpoint: Option<PathBuf>,
    deadline: u64,
}

impl Options {
    fn read() -> gradus::Result<Self> {
        let mut options =
            Options { gpt: false, epochs: 5, shards: None, batch: None, threads: 1, checkpoint: None, deadline: 600 };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--gpt" {
                options.gpt = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| Error::custom(format!("{name} needs a value")))?;
            let number = || value.parse::<usize>().map_err(|e| Error::custom(format!("{name} {value}: {e}")));
            match name.as_str() {
                "--epochs" => options.epochs = number()?,
                "--shards" => options.shards = Some(number()?),
                "--batch" => options.batch = Some(number()?),
                "--threads" => options.threads = number()?,
                "--deadline" => options.deadline = number()? as u64,
                "--checkpoint" => options.checkpoint = Some(value.into()),
                _ => return Err(Error::custom(format!("unknown option {name}"))),
            }
        }
        Ok(options)
    }
}

/// Rows of 64 characters, each with the next ones as its targets.
fn rows() -> gradus::Result<(Tensor, Tensor)> {
    const STEPS: usize = 64;
    let text = [include_str!("../docs/design.md"), include_str!("../docs/transformers.md")].concat();
    let ids: Vec<f32> = text.bytes().map(|byte| f32::from(byte.min(127))).collect();
    let n = (ids.len() - 1) / STEPS;
    let row = |first: usize| (0..n).flat_map(|i| ids[i * STEPS + first..][..STEPS].to_vec()).collect();
    Ok((Tensor::new([n, STEPS], row(0))?, Tensor::new([n, STEPS], row(1))?))
}

fn main() -> gradus::Result<ExitCode> {
    let options = Options::read()?;
    // One thread a rank, as there is a rank for each core by default.
    gradus::set_threads(options.threads)?;
    let world = Mpi::start()?.deadline(Duration::from_secs(options.deadline));
    let trained = train(&world, options);
    if let Err(error) = &trained {
        // The others would wait for this rank.
        world.abort(&error.to_string());
    }
    trained
}

fn train(world: &Mpi, options: Options) -> gradus::Result<ExitCode> {
    let (mut model, x, y) = if options.gpt {
        let shape = Gpt2 { vocabulary: 128, context: 64, features: 128, blocks: 4, heads: 4, ..Gpt2::default() };
        let mut model = shape.build(1337)?;
        let optimizer = AdamW::default().learning_rate(1e-3).beta_2(0.99).weight_decay(0.1).global_clipnorm(1.0);
        model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ())?;
        let (x, y) = rows()?;
        (model, x, y)
    } else {
        let digits = digits();
        let mut model = Sequential::new([64])
            .add(Dense::new(128).activation(Activation::Relu))
            .add(Dropout::new(0.2))
            .add(Dense::new(10).activation(Activation::Softmax))
            .build(7)?;
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
        (model, MinMaxScaler::fit(&digits.x)?.transform(&digits.x)?, digits.y)
    };

    let checkpoint = options.checkpoint.map(|path| Checkpoint::new(path).every_steps(20));
    let batch = options.batch.unwrap_or(if options.gpt { 24 } else { 96 });
    let mut how = Fit::default().epochs(options.epochs).batch_size(batch).validation_split(0.1).distributed(world);
    if let Some(shards) = options.shards {
        how = how.shards(shards);
    }
    if let Some(checkpoint) = &checkpoint {
        how = how.checkpoint(checkpoint);
    }
    let start = Instant::now();
    let history = model.fit(&x, &y, &how)?;
    if world.rank() == 0 {
        let (seconds, traffic) = (start.elapsed().as_secs_f64(), world.traffic());
        let before = if let RunStart::Resumed { epoch, .. } = history.start() { epoch } else { 0 };
        let samples = (history.epochs.len() - before) * x.samples() * 9 / 10;
        println!(
            "{} ranks: {:.0} samples a second, {:.1} % of the time in {} exchanges of {:.1} MB in all",
            world.size(),
            samples as f64 / seconds,
            100.0 * traffic.time.as_secs_f64() / seconds,
            traffic.exchanges,
            traffic.sent as f64 / 1e6,
        );
        // The same for any number of ranks with as many shards.
        let bits = model.params().values().iter().fold(0u64, |sum, v| sum.rotate_left(5) ^ u64::from(v.to_bits()));
        println!("weights {bits:016x}{}", if history.interrupted() { ", interrupted" } else { "" });
    }
    Ok(if history.interrupted() { INTERRUPTED.into() } else { ExitCode::SUCCESS })
}
