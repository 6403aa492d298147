//! A run that is killed again and again, in the middle of steps and of writes, ends with the same bits as one that never was.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gradus::prelude::*;

/// Times that the run is killed.
const KILLS: usize = 50;

/// The same for a model that is a graph.
const KILLS_OF_GRAPH: usize = 20;

/// Set where this program is to be the run.
const CHILD: &str = "GRADUS_KILL_TEST";

/// What the run leaves behind.
const FILES: [&str; 4] = ["run.safetensors", "final.safetensors", "best.safetensors", "training.csv"];

fn main() {
    match std::env::var_os(CHILD) {
        Some(kind) if kind == "graph" => train_graph().unwrap(),
        Some(_) => train().unwrap(),
        None => {
            test("line", KILLS, &[10]);
            test("graph", KILLS_OF_GRAPH, &[10, 1]);
        }
    }
}

/// All that can be on at once: shuffling, dropout and noise, Adam with a schedule, a moving average, accumulation, metrics with
/// totals, and callbacks with a memory.
fn train() -> Result<(), Error> {
    let digits = digits();
    let scaler = StandardScaler::fit(&digits.x)?;
    let x = scaler.transform(&digits.x)?;
    let mut model = Sequential::new([64])
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dropout::new(0.3))
        .add(GaussianNoise::new(0.1))
        .add(Dense::new(64).activation(Activation::Gelu))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(3)?;
    let optimizer = Adam::default()
        .learning_rate(CosineDecay::new(2e-3, 300).warmup(2e-3, 50))
        .ema(0.99)
        .ema_overwrite_frequency(70)
        .global_clipnorm(1.0)
        .gradient_accumulation_steps(3);
    model.compile(optimizer, SparseCategoricalCrossentropy::default(), (Accuracy::default(), F1Score::default()))?;
    let mut stopping = EarlyStopping::default().patience(12).restore_best_weights(true);
    let mut slower = ReduceLrOnPlateau::default().monitor("loss").patience(6).factor(0.7);
    let mut logger = CsvLogger::new("training.csv");
    let mut best = ModelCheckpoint::new("best.safetensors").save_best_only(true);
    let checkpoint = Checkpoint::new("run.safetensors").every_steps(2);
    let how = Fit::default()
        .epochs(60)
        .batch_size(64)
        .validation_split(0.2)
        .class_weight(&[1.0, 1.5, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 2.0])
        .checkpoint(&checkpoint)
        .verbose(Verbose::Silent);
    let mut callbacks: [&mut dyn gradus::Callback; 4] = [&mut stopping, &mut slower, &mut logger, &mut best];
    let history = model.fit_with(&x, &digits.y, &how, &mut callbacks)?;
    assert_eq!(history.epochs, (0..history.epochs.len()).collect::<Vec<_>>());
    // History, moments and callbacks are in the checkpoint; the weights as training left them are here.
    model.save("final.safetensors")
}

/// Two inputs, a tower that both go through, two losses with weights, figures of each output, weights of samples for one of them.
fn train_graph() -> Result<(), Error> {
    let digits = digits();
    let halves: [Vec<f32>; 2] =
        [0, 32].map(|first| digits.x.as_slice().chunks(64).flat_map(|row| &row[first..first + 32]).copied().collect());
    let n = digits.x.samples();
    let [upper, lower] = halves.map(|values| Tensor::new([n, 32], values).unwrap());
    let odd = Tensor::from_fn([n, 1], |i| digits.y.as_slice()[i] % 2.0);
    let weights: Vec<f32> = (0..n).map(|i| 0.5 + (i % 4) as f32 * 0.25).collect();
    let mut g = Graph::new();
    let (a, b) = (g.input("upper", [32]), g.input("lower", [32]));
    let tower = g.shared("tower", Block::new().add(Dense::new(48).activation(Activation::Relu)).add(Dropout::new(0.2)));
    let (h, k) = (g.apply(&tower, a), g.apply(&tower, b));
    let both = g.op(Concatenate::new(), &[h, k]);
    let h = g.add(Residual::new().add(Dense::new(96).activation(Activation::Gelu)), both);
    let digit = g.add_named("digit", Dense::new(10).activation(Activation::Softmax), h);
    let parity = g.add_named("parity", Dense::new(1).activation(Activation::Sigmoid), h);
    let mut model = g.build([digit, parity], 3)?;
    let heads = [
        Head::new("parity")
            .loss(BinaryCrossentropy::default())
            .loss_weight(0.5)
            .weighted_metrics([BinaryAccuracy::default()]),
        Head::new("digit").loss(SparseCategoricalCrossentropy::default()).metrics([Accuracy::default()]),
    ];
    model.compile_heads(Adam::default().gradient_accumulation_steps(2), heads)?;
    let mut stopping = EarlyStopping::default().patience(12).restore_best_weights(true);
    let mut logger = CsvLogger::new("training.csv");
    let mut best = ModelCheckpoint::new("best.safetensors").monitor("val_digit_accuracy").save_best_only(true);
    let checkpoint = Checkpoint::new("run.safetensors").every_steps(2);
    let how = Fit::default()
        .epochs(40)
        .batch_size(64)
        .validation_split(0.2)
        .sample_weight([("parity", &weights[..])])
        .checkpoint(&checkpoint)
        .verbose(Verbose::Silent);
    let mut callbacks: [&mut dyn gradus::Callback; 3] = [&mut stopping, &mut logger, &mut best];
    let targets = [("parity", &odd), ("digit", &digits.y)];
    model.fit_with([("lower", &lower), ("upper", &upper)], targets, &how, &mut callbacks)?;
    model.save("final.safetensors")
}

fn start(kind: &str, folder: &Path, threads: usize) -> Child {
    let program = std::env::current_exe().unwrap();
    let threads = threads.to_string();
    Command::new(program)
        .current_dir(folder)
        .env(CHILD, kind)
        .env("GRADUS_THREADS", threads)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("gradus_kill_{name}_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn test(kind: &str, most: usize, outputs: &[usize]) {
    let began = Instant::now();
    let (whole, killed) = (folder(&format!("{kind}_whole")), folder(&format!("{kind}_killed")));
    assert!(start(kind, &whole, 1).wait().unwrap().success());
    let took = began.elapsed();
    // Instants from before the first checkpoint to a good part of the run, by a generator of their own.
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let (mut kills, mut in_writes, mut lives) = (0, 0, 0);
    loop {
        let mut child = start(kind, &killed, 1 + lives % 2);
        lives += 1;
        if kills < most {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let part = (random >> 33) as f64 / f64::from(1u32 << 31);
            std::thread::sleep(Duration::from_millis(1) + took.mul_f64(part * 0.12));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
                in_writes += usize::from(left_behind(&killed) > 0);
            }
        }
        let status = child.wait().unwrap();
        assert!(status.code().is_none_or(|code| code == 0), "the run failed by itself: {status}");
        if status.success() {
            compare(&whole, &killed);
            assert_eq!(left_behind(&killed), 0, "a run removes what those before it left");
            if kills == most {
                break;
            }
            // The run ended before it was killed often enough; another one takes the rest.
            std::fs::remove_dir_all(&killed).unwrap();
            std::fs::create_dir_all(&killed).unwrap();
        }
    }
    let run = Model::load(whole.join("run.safetensors")).unwrap();
    assert_eq!(run.output_shapes(), outputs.iter().map(|&n| [n].into()).collect::<Vec<gradus::Shape>>());
    println!(
        "kill ({kind}): {kills} kills, {in_writes} of them in a write; {lives} lives on one and two threads; files of {} bytes agree; {:.1} s",
        FILES.iter().map(|f| std::fs::metadata(whole.join(f)).unwrap().len()).sum::<u64>(),
        began.elapsed().as_secs_f64()
    );
    std::fs::remove_dir_all(whole).unwrap();
    std::fs::remove_dir_all(killed).unwrap();
}

/// Temporary files in a folder.
fn left_behind(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_string_lossy().starts_with(".gradus-")).count()
}

fn compare(whole: &Path, killed: &Path) {
    for file in FILES {
        let [whole, killed] = [whole, killed].map(|folder| std::fs::read(folder.join(file)).unwrap());
        assert!(whole == killed, "{file} differs");
    }
}
