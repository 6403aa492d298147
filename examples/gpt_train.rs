//! A language model from raw text: trains its tokenizer, then a small GPT-2, and writes what it has learned.
//!
//! `cargo run --release --features text --example gpt_train -- [--corpus FILE] [--folder DIR] [--vocabulary N] [--steps N]`
//!
//! Without a file it reads the crate's own documentation. A vocabulary of 0 is one token for each character of an English text (bytes). The folder gets
//! `tokenizer.json`, `model.safetensors`, and while it trains `checkpoint.safetensors`: stopped at any time and started again, it goes on to the same bits.
//! The setting is that of nanoGPT's for a CPU: 4 blocks, 4 heads, width 128, 64 tokens of context, batches of 12, AdamW with a cosine to a tenth.

use std::{env, fs, path::PathBuf};

use gradus::generation::{GenerationSettings, Generator};
use gradus::models::Gpt2;
use gradus::prelude::*;
use gradus::text::{Tokenizer, tokenizer::Trainer};

fn option<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    name: &str,
    or: T,
) -> gradus::Result<T> {
    let value = env::args().skip_while(|argument| *argument != format!("--{name}")).nth(1);
    value.map_or(Ok(or), |value| value.parse().map_err(Error::custom))
}

fn main() -> gradus::Result<()> {
    let known = ["--corpus", "--folder", "--vocabulary", "--steps"];
    if let Some(other) = env::args().skip(1).step_by(2).find(|name| !known.contains(&name.as_str())) {
        return Err(Error::custom(format!("unknown option {other}; there are {}", known.join(", "))));
    }
    let (corpus, folder) = (option("corpus", PathBuf::new())?, option("folder", env::temp_dir().join("gradus_gpt"))?);
    let (size, steps) = (option("vocabulary", 800usize)?, option("steps", 500usize)?);
    let text = if corpus.as_os_str().is_empty() {
        [include_str!("../docs/design.md"), include_str!("../docs/transformers.md"), include_str!("../docs/text.md")]
            .concat()
    } else {
        fs::read_to_string(&corpus).map_err(|e| Error::custom(format!("{}: {e}", corpus.display())))?
    };
    fs::create_dir_all(&folder).map_err(Error::custom)?;

    // Nine tenths to learn from, the last one to be measured on.
    let cut = (0..=text.len() * 9 / 10).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (train, validation) = text.split_at(cut);
    let trainer = match size {
        0 => Trainer::byte_level_bpe(256).initial_alphabet([]).max_token_length(1),
        size => Trainer::byte_level_bpe(size),
    };
    let tokenizer: Tokenizer = trainer.train([train])?;
    tokenizer.save(folder.join("tokenizer.json"))?;
    let rows = |text: &str| {
        let mut ids = TokenIds::new();
        ids.push(&tokenizer.encode_ids(text)?.iter().map(|id| *id as usize).collect::<Vec<_>>())?;
        Packing::new(64).build(ids)
    };
    let (train, validation) = (rows(train)?, rows(validation)?);
    let (vocabulary, bytes) = (tokenizer.vocab_size(), text.len() as f64);
    let tokens = (train.documents().total() + validation.documents().total()) as f64;
    println!("{tokens} tokens of {vocabulary}, {:.2} bytes each, in rows of 64", bytes / tokens);

    let shape = Gpt2 { vocabulary, context: 64, features: 128, blocks: 4, heads: 4, ..Gpt2::default() };
    let mut model = shape.build(1337)?;
    let rate = CosineDecay::new(0.0, steps.saturating_sub(100).max(1) as u64).warmup(1e-3, 100).alpha(0.1);
    let optimizer = AdamW::default().learning_rate(rate).beta_2(0.99).weight_decay(0.1).global_clipnorm(1.0);
    model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ())?;
    let (each, checkpoint) = (steps.min(250), Checkpoint::new(folder.join("checkpoint.safetensors")).every_steps(50));
    let validation = validation.batch(64);
    let how = Fit::default().epochs(steps / each.max(1)).steps_per_epoch(each).checkpoint(&checkpoint);
    let history =
        model.fit_dataset(&train.shuffle(1).repeat().batch(12), &how.validation_dataset(&validation), &mut [])?;
    let loss = history.last("val_loss").unwrap_or(f64::NAN);
    println!(
        "validation: loss {loss:.4}, perplexity {:.2} a token, {:.3} bits a byte",
        loss.exp(),
        loss * tokens / bytes / 2f64.ln()
    );
    model.save(folder.join("model.safetensors"))?;
    // The run is at its end: the next one begins anew, with whatever settings it has.
    fs::remove_file(folder.join("checkpoint.safetensors")).map_err(Error::custom)?;

    let settings = GenerationSettings::default().do_sample(true).temperature(0.8).top_k(200).max_new_tokens(60);
    let mut generator = Generator::new(settings.seed(1)).tokenizer(&tokenizer);
    for prompt in ["\n", "The ", "What "] {
        println!("---\n{prompt}{}", generator.generate_text(&mut model.decoder()?, prompt)?);
    }
    println!("---\nin {}", folder.display());
    Ok(())
}
