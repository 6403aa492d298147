//! Translates, or does what else an encoder–decoder of Hugging Face was trained for: greedily, and by beam search.
//!
//! `cargo run --release --features text --example translate_hf -- --model FOLDER [--beams N] "A text" "Another" …`; without texts the lines of the standard
//! input are read, `--help` tells the options. T5 is told what to do by the text: "translate English to German: …". Without a model a tiny one with random
//! weights is written to a temporary folder, opened, and asked about token ids: it shows the way, and no translation.

use std::path::{Path, PathBuf};

use gradus::generation::{GenerationSettings, Sequence};
use gradus::models::hf::{OpenOptions, Seq2SeqLm};
use gradus::prelude::*;

const HELP: &str = "usage: translate_hf [--model FOLDER] [--beams N] [--tokens N] [TEXT …]
  --model FOLDER  a Marian (git clone https://huggingface.co/Helsinki-NLP/opus-mt-en-de), BART or T5 with its tokenizer
  --beams N       the best N of a search with as many beams are shown too (4)
  --tokens N      the most tokens that are written for a text (100)
  TEXT            the lines of the standard input if there is none";

struct Arguments {
    model: Option<PathBuf>,
    beams: usize,
    tokens: usize,
    texts: Vec<String>,
}

/// The arguments; none where help is asked for.
fn arguments() -> Result<Option<Arguments>, Error> {
    let mut out = Arguments { model: None, beams: 4, tokens: 100, texts: Vec::new() };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        let mut value = || all.next().ok_or_else(|| Error::custom(format!("{name} needs a value, see --help")));
        let count = |value: String| {
            let count = value.parse().ok().filter(|n: &usize| *n > 0);
            count.ok_or_else(|| Error::custom(format!("{name} is a number from 1 on, got {value}")))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--model" => out.model = Some(value()?.into()),
            "--beams" => out.beams = count(value()?)?,
            "--tokens" => out.tokens = count(value()?)?,
            other if other.starts_with("--") => {
                return Err(Error::custom(format!("{other} is not known, see --help")));
            }
            _ => out.texts.push(name),
        }
    }
    if out.model.is_none() && !out.texts.is_empty() {
        return Err(Error::custom("--model is missing: there is nothing to translate with, see --help"));
    }
    Ok(Some(out))
}

fn main() -> Result<(), Error> {
    let Some(arguments) = arguments()? else {
        println!("{HELP}");
        return Ok(());
    };
    if let Some(model) = &arguments.model {
        return translate(model, &arguments);
    }
    println!("No model is given: a tiny one with random weights writes token ids (see --help).\n");
    let folder = std::env::temp_dir().join(format!("gradus_translate_hf_{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;
    let result = make(&folder).and_then(|()| show(&folder, &arguments));
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn translate(folder: &Path, how: &Arguments) -> Result<(), Error> {
    let lm = Seq2SeqLm::from_pretrained(folder)?;
    let tokenizer = lm.tokenizer().ok_or_else(|| Error::custom("the folder of the model has no tokenizer"))?;
    let one = |text: &str| -> Result<(), Error> {
        println!("{text}");
        let source = tokenizer.encode(text)?.ids;
        written(&lm, &source, how, |best| tokenizer.decode(&best.tokens, true))
    };
    if !how.texts.is_empty() {
        return how.texts.iter().try_for_each(|text| one(text));
    }
    for line in std::io::stdin().lines() {
        let line = line.map_err(Error::custom)?;
        if !line.trim().is_empty() {
            one(line.trim())?;
        }
    }
    Ok(())
}

/// Token ids in the place of texts.
fn show(folder: &Path, how: &Arguments) -> Result<(), Error> {
    let lm = Seq2SeqLm::from_pretrained(folder)?;
    for source in [&[5, 9, 30, 0][..], &[11, 12, 0]] {
        println!("{source:?}");
        written(&lm, source, how, |best| Ok(format!("{:?}", best.tokens)))?;
    }
    Ok(())
}

/// What is written for a source: greedily, and by beams with scores, the logarithm of their probability by their length.
fn written(
    lm: &Seq2SeqLm,
    source: &[u32],
    how: &Arguments,
    text: impl Fn(&Sequence) -> Result<String, Error>,
) -> Result<(), Error> {
    let settings: GenerationSettings =
        lm.generation_settings()?.max_new_tokens(how.tokens.min(lm.max_positions().saturating_sub(1)));
    let greedy = lm.generate(&[source], settings.clone().num_beams(1).num_return_sequences(1))?;
    println!("  greedy: {}", text(&greedy[0][0])?);
    if how.beams > 1 {
        let settings = settings.num_beams(how.beams).num_return_sequences(how.beams);
        for sequence in &lm.generate(&[source], settings)?[0] {
            println!("  {:7.3} {}", sequence.score, text(sequence)?);
        }
    }
    Ok(())
}

/// A folder with a tiny Marian of random weights.
fn make(folder: &Path) -> Result<(), Error> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(Error::custom);
    write(
        "config.json",
        r#"{"model_type": "marian", "architectures": ["MarianMTModel"], "vocab_size": 48, "d_model": 32, "encoder_layers": 2,
            "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64, "activation_function": "swish", "scale_embedding": true, "static_position_embeddings": true,
            "max_position_embeddings": 12, "pad_token_id": 47, "eos_token_id": 0, "decoder_start_token_id": 47}"#,
    )?;
    write(
        "generation_config.json",
        r#"{"bad_words_ids": [[47]], "decoder_start_token_id": 47, "eos_token_id": 0, "forced_eos_token_id": 0,
            "max_length": 12, "num_beams": 4, "pad_token_id": 47}"#,
    )?;
    Seq2SeqLm::<f32>::from_config(folder, &OpenOptions::default().seed(3))?.save_pretrained(folder)
}
