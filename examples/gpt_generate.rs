//! Writes on from a prompt with the model that `gpt_train` has trained, to the terminal as it comes.
//!
//! `cargo run --release --features text --example gpt_generate -- [PROMPT] [FOLDER] [TOKENS]`

use std::io::{Write, stdout};
use std::{env, path::PathBuf, time::Instant};

use gradus::generation::{GenerationSettings, Generator};
use gradus::prelude::*;
use gradus::text::Tokenizer;

fn main() -> gradus::Result<()> {
    let mut arguments = env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "The ".to_owned());
    let folder = arguments.next().map_or_else(|| env::temp_dir().join("gradus_gpt"), PathBuf::from);
    if !folder.join("model.safetensors").exists() {
        println!("no model in {}: run the example gpt_train first", folder.display());
        return Ok(());
    }
    let tokenizer = Tokenizer::open(folder.join("tokenizer.json"))?;
    let model = Model::load(folder.join("model.safetensors"))?;
    let mut decoder = model.decoder()?;
    let room = 65usize.saturating_sub(tokenizer.encode_ids(&prompt)?.len());
    let tokens = arguments.next().map_or(Ok(room), |n| n.parse().map_err(Error::custom))?;
    let settings = GenerationSettings::default().do_sample(true).temperature(0.8).top_p(0.95).max_new_tokens(tokens);
    let mut generator = Generator::new(settings.seed(7)).tokenizer(&tokenizer);

    let start = Instant::now();
    print!("{prompt}");
    for piece in generator.stream_text(&mut decoder, &prompt)? {
        print!("{}", piece?);
        stdout().flush().map_err(Error::custom)?;
    }
    println!("\n\n{tokens} tokens, {:.2} ms each", start.elapsed().as_secs_f64() * 1e3 / tokens.max(1) as f64);
    Ok(())
}
