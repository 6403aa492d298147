//! Every case of the reference values against this crate: `cargo test --release --test conformance`.
//!
//! A class that is not built must stand in [`LATER`], and one that stands there must not be built: a class that disappears is
//! a failure.
//!
//! Walks the folder in the environment variable `GRADUS_FIXTURES` (default `tests/fixtures`), builds each case from its name
//! and `config`, and compares in f64 and in f32. Says for each kind of case how many passed, names those that failed or whose
//! class is not built yet, and ends with a line of counts. See tests/fixtures/README.md for the form of the cases.
//!
//! The error of a tensor is max |got − expected| / max |expected| (absolute where all expected values are 0). What passes:
//! 1e-9 in f64 for layers, losses, metrics and optimizers, 1e-6 for whole training runs; 2e-4 in f32 for all. Schedules are
//! f64 in every model here but float32 in Keras, so that 1e-6 is all that the reference holds.
//!
//! Some settings Keras on TensorFlow holds in single precision even where all tensors are float64 (the slope of leaky ReLU,
//! SGD's momentum). `Config::single` reads those, so that the layer or optimizer is given the number that Keras used. The constants of GELU are none
//! that a layer is given: its case alone is compared to 3e-8.

mod case;
mod generation;
mod layers;
mod losses;
mod metrics;
#[cfg(feature = "keras")]
mod model_training;
#[cfg(feature = "keras")]
mod models;
mod optimizers;
mod schedules;
#[cfg(feature = "text")]
mod tokenizers;
mod training;
#[cfg(feature = "files")]
mod transformers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::{Case, Errors, Outcome};

/// Runs a case of one kind.
type Run = fn(&mut Case, &mut Errors) -> Outcome;

/// The kinds of case, by the names of their folders.
const KINDS: [(&str, Run); 6] = [
    ("layers", layers::run),
    ("losses", losses::run),
    ("metrics", metrics::run),
    ("optimizers", optimizers::run),
    ("schedules", schedules::run),
    ("training", training::run),
];

/// Whole models as users save them: a folder with a `reference.safetensors`, and for Keras `model.keras`. Read with the feature `keras`.
const MODELS: &str = "models";

/// Tokenizers, read with the feature `text`.
const TOKENIZERS: &str = "tokenizers";

/// What is done to logits before a token is picked: any folder with a `sampling.safetensors`.
const SAMPLING: &str = "sampling.safetensors";

/// What other tests read.
const OTHERS: [&str; 10] =
    ["callbacks", "chat", "files", "generation", "gguf", "keras_files", "keras_free_sizes", "options", "peft", "text"];

/// What later issues bring: layers that keep a state.
const LATER: [&str; 4] = ["bidirectional", "gru", "lstm", "simple_rnn"];

/// The same for whole models.
const LATER_IN_MODELS: [&str; 5] = ["Bidirectional", "GRU", "LSTM", "ReversibleEmbedding", "SimpleRNN"];

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    not_built: Vec<String>,
    errors: Errors,
}

fn main() -> ExitCode {
    // As the standard harness, which `cargo test` asks for a list of tests with --list.
    if std::env::args().any(|a| a == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    let folder = std::env::var_os("GRADUS_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), PathBuf::from);
    let mut tallies: Vec<(&str, Tally)> = KINDS.iter().map(|(kind, _)| (*kind, Tally::default())).collect();
    tallies.push((MODELS, Tally::default()));
    tallies.push((TOKENIZERS, Tally::default()));
    tallies.push((SAMPLING, Tally::default()));
    tallies.push(("other files", Tally::default()));
    if let Err(problem) = walk(&folder, &folder, &mut tallies) {
        tallies[KINDS.len() + 3].1.failed.push(problem);
    }
    if tallies.iter().all(|(_, t)| t.passed + t.failed.len() + t.not_built.len() == 0) {
        tallies[KINDS.len() + 3].1.failed.push(format!("no cases in {}", folder.display()));
    }
    report(&tallies)
}

/// All cases below a folder, in the order of their names.
fn walk(root: &Path, folder: &Path, tallies: &mut [(&str, Tally)]) -> Result<(), String> {
    let unreadable = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if named(folder) == TOKENIZERS && folder.join("lines.json").exists() {
        return tokenizers(folder, &mut tallies[KINDS.len() + 1].1);
    }
    if folder.join(SAMPLING).exists() {
        let tally = &mut tallies[KINDS.len() + 2].1;
        for (name, outcome) in generation::run(&folder.join(SAMPLING), &mut tally.errors)? {
            match outcome {
                Ok(()) => tally.passed += 1,
                Err(problem) => tally.failed.push(format!("{}/{name}: {problem}", shown(folder))),
            }
        }
    }
    if folder.join("reference.safetensors").exists() {
        let tally = &mut tallies[KINDS.len()].1;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model(folder, &mut tally.errors)));
        match outcome {
            Ok(Ok(None)) => tally.passed += 1,
            Ok(Ok(Some(reason))) => match unexpected(&reason) {
                Some(class) => tally.failed.push(format!("{}: {class} is not built: {reason}", shown(folder))),
                None => tally.not_built.push(format!("{}: {reason}", shown(folder))),
            },
            Ok(Err(problem)) => tally.failed.push(format!("{}: {problem}", shown(folder))),
            Err(_) => tally.failed.push(format!("{}: panicked", shown(folder))),
        }
        return Ok(());
    }
    for path in paths {
        if path.is_dir() && folder == root && OTHERS.contains(&named(&path).as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, tallies)?;
            continue;
        }
        if ["README.md", "index.json", SAMPLING].contains(&named(&path).as_str()) {
            continue;
        }
        let kind = KINDS.iter().position(|(kind, _)| named(folder) == *kind);
        let Some(kind) = kind.filter(|_| path.extension().is_some_and(|e| e == "safetensors")) else {
            tallies[KINDS.len() + 3].1.failed.push(format!("{}: not a case of a known kind", shown(&path)));
            continue;
        };
        let tally = &mut tallies[kind].1;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut case = Case::read(&path)?;
            let outcome = KINDS[kind].1(&mut case, &mut tally.errors)?;
            case.finish(outcome)
        }));
        match outcome {
            Ok(Ok(None)) if LATER.iter().any(|later| named(&path).starts_with(later)) => {
                tally.failed.push(format!("{}: built, and still listed among what is not", shown(&path)));
            }
            Ok(Ok(None)) => tally.passed += 1,
            Ok(Ok(Some(class))) if LATER.contains(&class) => {
                tally.not_built.push(format!("{} ({class})", shown(&path)));
            }
            Ok(Ok(Some(class))) => tally.failed.push(format!("{}: {class} is not built", shown(&path))),
            Ok(Err(problem)) => tally.failed.push(format!("{}: {problem}", shown(&path))),
            Err(_) => tally.failed.push(format!("{}: panicked", shown(&path))),
        }
    }
    Ok(())
}

/// The first class in what the loader says of a model that no later issue brings.
fn unexpected(reason: &str) -> Option<&str> {
    let classes =
        reason.split("; ").filter_map(|part| part.split_once(" (")?.1.split_once("): ")).map(|(class, _)| class);
    classes.into_iter().find(|class| !LATER_IN_MODELS.contains(class))
}

/// A model's case; the reason for one that is not built.
#[cfg(feature = "keras")]
fn model(folder: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    if folder.join("model.keras").exists() {
        return models::run(folder, errors);
    }
    transformers::run(folder, errors)
}

/// The same for one of transformers.
#[cfg(not(feature = "files"))]
mod transformers {
    pub fn run(_: &std::path::Path, _: &mut super::Errors) -> Result<Option<String>, String> {
        Ok(Some("read with the feature files".to_owned()))
    }
}

#[cfg(not(feature = "keras"))]
fn model(folder: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    if folder.join("model.keras").exists() {
        return Ok(Some("read with the feature keras".to_owned()));
    }
    transformers::run(folder, errors)
}

/// All tokenizers of a folder.
#[cfg(feature = "text")]
fn tokenizers(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    for (name, outcome) in tokenizers::run(folder)? {
        match outcome {
            Ok(None) => tally.passed += 1,
            Ok(Some(reason)) => tally.not_built.push(format!("{TOKENIZERS}/{name}: {reason}")),
            Err(problem) => tally.failed.push(format!("{TOKENIZERS}/{name}: {problem}")),
        }
    }
    Ok(())
}

#[cfg(not(feature = "text"))]
fn tokenizers(_: &Path, tally: &mut Tally) -> Result<(), String> {
    tally.not_built.push(format!("{TOKENIZERS}: read with the feature text"));
    Ok(())
}

fn report(tallies: &[(&str, Tally)]) -> ExitCode {
    let (mut passed, mut failed, mut not_built) = (0, 0, 0);
    for (kind, tally) in tallies {
        let counts = (tally.passed, tally.failed.len(), tally.not_built.len());
        passed += counts.0;
        failed += counts.1;
        not_built += counts.2;
        if KINDS.iter().any(|(k, _)| k == kind) || counts != (0, 0, 0) {
            let (p, f, n) = counts;
            println!("{kind}: {p} passed, {f} failed, {n} not built yet{}", tally.errors);
        }
    }
    for (title, names) in [
        ("failed", tallies.iter().flat_map(|(_, t)| &t.failed).collect::<Vec<_>>()),
        ("not built yet", tallies.iter().flat_map(|(_, t)| &t.not_built).collect()),
    ] {
        names.iter().for_each(|name| println!("{title}: {name}"));
    }
    println!("conformance: {passed} passed, {failed} failed, {not_built} not built yet");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
