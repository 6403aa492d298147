//! Tokenizers on one thread: encoding and decoding in MB/s, and training of a BPE; `benches/peers/tokenizer_bench.py` does the same with
//! `tokenizers` and `tiktoken` on the same files, and prepares them.
//!
//! `cargo run --release -p gradus-benches --features text --bin tokenizers -- speed DIR [NAMES]` or `… -- train DIR [THREADS]` prints one JSON line a
//! workload. DIR has `english.txt`, `chinese.txt`, `code.txt`, `cl100k.tiktoken` and any `*.json`; `english_20mb.txt`, `code_20mb.txt`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gradus::text::{
    Tokenizer,
    tokenizer::{TiktokenPattern, Trainer},
};

const ROUNDS: usize = 5;

/// Texts of 10,000 characters.
fn documents(file: &Path) -> std::io::Result<Vec<String>> {
    let all: Vec<char> = std::fs::read_to_string(file)?.chars().collect();
    Ok(all.chunks(10_000).map(|part| part.iter().collect()).collect())
}

/// Seconds of the first round and of the best.
fn timed(rounds: usize, mut f: impl FnMut()) -> (f64, f64) {
    let times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .collect();
    (times[0], times.iter().copied().fold(f64::INFINITY, f64::min))
}

fn line(threads: usize, workload: &str, metric: &str, value: f64, rest: &str) {
    println!(
        r#"{{"peer":"gradus","threads":{threads},"workload":"{workload}","metric":"{metric}","value":{value:.2}{rest}}}"#
    );
}

fn speed(folder: &Path, names: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "json" || e == "tiktoken" || e == "model"));
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ranks = file.extension().is_some_and(|e| e == "tiktoken");
        let shown = if ranks { format!("{name}_ranks") } else { name };
        if !names.is_empty() && !names.contains(&shown) {
            continue;
        }
        let start = Instant::now();
        let tokenizer = match ranks {
            true => Tokenizer::from_tiktoken(&file, TiktokenPattern::Cl100k, &[])?,
            false => Tokenizer::open(&file)?,
        };
        line(1, &format!("{shown}_open"), "seconds", start.elapsed().as_secs_f64(), "");
        for text in ["english", "chinese", "code"] {
            let documents = documents(&folder.join(format!("{text}.txt")))?;
            let megabytes = documents.iter().map(String::len).sum::<usize>() as f64 / 1e6;
            let mut ids: Vec<Vec<u32>> = Vec::new();
            let encode = || ids = documents.iter().map(|d| tokenizer.encode_ordinary(d).expect("it encodes")).collect();
            let (first, best) = timed(ROUNDS, encode);
            let (_, offsets) = timed(ROUNDS, || {
                documents.iter().for_each(|d| drop(std::hint::black_box(tokenizer.encode_without_template(d))));
            });
            let tokens: usize = ids.iter().map(Vec::len).sum();
            let rest = format!(
                r#","first_round":{:.2},"with_offsets":{:.2},"tokens":{tokens}"#,
                megabytes / first,
                megabytes / offsets
            );
            line(1, &format!("{shown}_encode_{text}"), "mb_per_s", megabytes / best, &rest);
            let mut back: Vec<String> = Vec::new();
            let decode = || back = ids.iter().map(|ids| tokenizer.decode(ids, false).expect("it decodes")).collect();
            let (_, best) = timed(ROUNDS, decode);
            let same = back.iter().zip(&documents).filter(|(a, b)| a == b).count();
            let rest = format!(r#","same":{same},"documents":{}"#, documents.len());
            line(1, &format!("{shown}_decode_{text}"), "mb_per_s", megabytes / best, &rest);
        }
    }
    Ok(())
}

fn train(folder: &Path, threads: usize) -> Result<(), Box<dyn std::error::Error>> {
    gradus::set_threads(threads)?;
    for text in ["english_20mb", "code_20mb"] {
        let corpus = std::fs::read_to_string(folder.join(format!("{text}.txt")))?;
        let mut tokens = 0;
        let (_, best) = timed(3, || {
            let tokenizer = Trainer::byte_level_bpe(8256).train(corpus.split_inclusive('\n')).expect("it trains");
            tokens = tokenizer.vocab_size();
        });
        let rest = format!(r#","vocabulary":{tokens},"megabytes":{:.1}"#, corpus.len() as f64 / 1e6);
        line(threads, &format!("train_bpe_{text}"), "seconds", best, &rest);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [what, folder, names @ ..] if what == "speed" => speed(Path::new(folder), names),
        [what, folder, threads @ ..] if what == "train" => {
            train(Path::new(folder), threads.first().map_or(Ok(1), |n| n.parse())?)
        }
        _ => Err("usage: tokenizers speed DIR [NAMES] | train DIR [THREADS]".into()),
    }
}
