//! Models of others at work, for docs/performance.md.
//!
//! `cargo run --release -p gradus-benches --features text --bin pretrained -- minilm FOLDER [--storage f32] --threads 2`: vectors of sentences by a folder of
//! sentence-transformers, tokens made from texts included: one of 16 and of 128 tokens, and 32 of mixed lengths; `minilm FOLDER 16 64` those
//! lengths alone, and `batch32`
//! `… marian`: 30 tokens from 20 by an encoder–decoder of 6 + 6 layers, width 512, random weights, greedily and by four beams
//! `… open FOLDER_OR_GGUF [--storage bf16]`: from the call that opens it to the first token behind a prompt of eight
//!
//! Values are the best of several rounds.

use std::path::Path;
use std::time::Instant;

use gradus::generation::{Decoder, GenerationSettings};
use gradus::models::hf::{CausalLm, OpenOptions, SentenceEncoder, Seq2SeqLm};
use gradus::{Error, WeightStorage};

/// The lengths that transformer_bench.py draws.
const MIXED: [usize; 32] = [
    110, 83, 68, 38, 43, 10, 14, 7, 26, 105, 85, 118, 67, 80, 125, 95, 83, 72, 74, 120, 39, 106, 88, 5, 53, 111, 73, 9,
    99, 95, 109, 26,
];

fn main() -> Result<(), Error> {
    let (mut arguments, mut storage, mut names) = (std::env::args().skip(1), None, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| Error::custom(format!("{argument} needs a value")));
        match argument.as_str() {
            "--threads" => gradus::set_threads(value()?.parse().map_err(Error::custom)?)?,
            "--storage" => storage = Some(value()?.parse()?),
            _ => names.push(argument),
        }
    }
    match &names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["minilm", folder] => minilm(folder, storage, &["16", "128", "batch32"]),
        ["minilm", folder, lengths @ ..] => minilm(folder, storage, lengths),
        ["marian"] => marian(),
        ["open", place] => open(place, storage.unwrap_or(WeightStorage::Bf16)),
        _ => Err(Error::custom("minilm FOLDER, marian, or open FOLDER_OR_GGUF")),
    }
}

fn report(workload: &str, metric: &str, value: f64, more: &str) {
    let threads = gradus::kernels::parallel::threads();
    println!(
        "{{\"peer\": \"gradus\", \"threads\": {threads}, \"workload\": \"{workload}\", \"metric\": \"{metric}\", \"value\": {value:.3}{more}}}"
    );
}

/// The least seconds of a call.
fn best(rounds: usize, mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn minilm(folder: &str, storage: Option<WeightStorage>, wanted: &[&str]) -> Result<(), Error> {
    let encoder = SentenceEncoder::<f32>::open(folder, &OpenOptions::default().weight_storage(storage))?;
    // Words that are a token each; two more stand around them.
    let sentence = |tokens: usize| vec!["river"; tokens - 2].join(" ");
    for length in wanted {
        if *length == "batch32" {
            let texts = MIXED.map(sentence);
            let seconds = best(20, || encoder.encode(&texts).map(drop))?;
            report("minilm_embed_batch32", "sentences_per_s", 32.0 / seconds, "");
            continue;
        }
        let text = sentence(length.parse::<usize>().map_err(Error::custom)?.max(2));
        let seconds = best(300, || encoder.encode(&[&text]).map(drop))?;
        report(&format!("minilm_embed_{length}"), "us_per_sentence", seconds * 1e6, "");
    }
    Ok(())
}

fn marian() -> Result<(), Error> {
    const TOKENS: usize = 30;
    let folder = std::env::temp_dir().join(format!("gradus_bench_marian_{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;
    let config = r#"{"model_type": "marian", "architectures": ["MarianMTModel"], "vocab_size": 32000, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6,
        "encoder_attention_heads": 8, "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "activation_function": "swish",
        "scale_embedding": true, "static_position_embeddings": true, "max_position_embeddings": 512, "pad_token_id": 31999, "eos_token_id": 0,
        "decoder_start_token_id": 31999, "init_std": 0.05}"#;
    std::fs::write(folder.join("config.json"), config).map_err(Error::custom)?;
    let mut lm = Seq2SeqLm::<f32>::from_config(&folder, &OpenOptions::default().seed(1))?;
    std::fs::remove_dir_all(&folder).map_err(Error::custom)?;
    lm.model_mut().store_weights(WeightStorage::F32)?;
    let source: Vec<u32> = (0..19).map(|i| 7 + 331 * i).chain([0]).collect();
    for beams in [1, 4] {
        let settings = GenerationSettings::default()
            .max_new_tokens(TOKENS)
            .min_new_tokens(TOKENS)
            .num_beams(beams)
            .bad_words([[31999]]);
        let seconds = best(7, || {
            let written = lm.generate(&[&source], settings.clone())?;
            if written[0][0].tokens.len() == TOKENS { Ok(()) } else { Err(Error::custom("another number of tokens")) }
        })?;
        report(
            &format!("marian_translate_{}", if beams == 1 { "greedy" } else { "beam4" }),
            "ms_per_sentence",
            seconds * 1e3,
            "",
        );
    }
    Ok(())
}

fn open(place: &str, storage: WeightStorage) -> Result<(), Error> {
    let options = OpenOptions::default().weight_storage(storage);
    let mut bytes = 0;
    let seconds = best(3, || {
        let lm = match Path::new(place).extension().is_some_and(|end| end == "gguf") {
            true => CausalLm::<f32>::open_gguf(place, &options)?,
            false => CausalLm::<f32>::open(place, &options)?,
        };
        bytes = lm.model().summary().bytes;
        let mut decoder = lm.model().decoder()?;
        let mut logits = vec![0.0; lm.vocab_size()];
        Decoder::<f32>::prompt(&mut decoder, &[&[1, 2, 3, 4, 5, 6, 7, 8]], &mut logits)
    })?;
    report(
        "open_to_first_token",
        "s",
        seconds,
        &format!(", \"storage\": \"{storage}\", \"mb\": {}", bytes / 1_000_000),
    );
    Ok(())
}
