//! Trains a tokenizer on a text, shows the pieces of a few lines in colour, saves it, and compares three kinds of model.
//!
//! `cargo run --release --features text --example tokenizer -- [FILE] [VOCABULARY]`; without a file, on the crate's own documentation.

use std::{io::IsTerminal, time::Instant};

use gradus::text::{
    Tokenizer,
    tokenizer::{Encoding, Trainer},
};

/// Each token of a text on a colour of its own, or between bars where that is no terminal.
fn show(text: &str, encoding: &Encoding) -> String {
    let colour = std::io::stdout().is_terminal();
    let mut shown = String::new();
    let mut last = (0, 0);
    for (i, &(from, to)) in encoding.offsets.iter().enumerate().filter(|(_, (from, to))| from < to) {
        if (from, to) == last {
            continue; // The rest of a character that is several tokens.
        }
        let piece = text[from as usize..to as usize].replace('\n', "⏎");
        shown += &if colour {
            format!("\x1b[48;5;{}m{piece}\x1b[0m", [24, 58, 90, 22, 52][i % 5])
        } else {
            format!("{piece}|")
        };
        last = (from, to);
    }
    shown
}

fn main() -> gradus::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let corpus = match arguments.next() {
        Some(file) => std::fs::read_to_string(&file).map_err(gradus::Error::custom)?,
        None => {
            [include_str!("../README.md"), include_str!("../docs/design.md"), include_str!("../docs/text.md")].concat()
        }
    };
    let size = arguments.next().and_then(|size| size.parse().ok()).unwrap_or(2000);
    let lines: Vec<&str> = corpus.split_inclusive('\n').collect();
    let (train, held_out) = lines.split_at(lines.len() * 9 / 10);

    println!("{} bytes, {} lines; vocabularies of {size}, measured on the last tenth\n", corpus.len(), lines.len());
    println!("{:<12} {:>7} {:>9} {:>12} {:>14}  file", "model", "train s", "tokens", "bytes/token", "encode MB/s");
    let trainers = [
        ("BPE", Trainer::byte_level_bpe(size).special_tokens(["<|endoftext|>"])),
        ("WordPiece", Trainer::word_piece(size)),
        ("Unigram", Trainer::unigram(size)),
    ];
    let mut tokenizers: Vec<(&str, Tokenizer)> = Vec::new();
    for (name, trainer) in trainers {
        let start = Instant::now();
        let tokenizer = trainer.progress(true).train(train.iter().copied())?;
        let seconds = start.elapsed().as_secs_f64();
        let file = std::env::temp_dir().join(format!("gradus_{}.json", name.to_lowercase()));
        tokenizer.save(&file)?;
        let bytes: usize = held_out.iter().map(|line| line.len()).sum();
        let start = Instant::now();
        let tokens: usize = tokenizer.encode_ordinary_batch(held_out)?.iter().map(Vec::len).sum();
        let speed = bytes as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!(
            "{name:<12} {seconds:>7.2} {tokens:>9} {:>12.2} {speed:>14.1}  {}",
            bytes as f64 / tokens as f64,
            file.display()
        );
        tokenizers.push((name, Tokenizer::from_json_file(file)?));
    }
    for line in
        held_out.iter().filter(|line| line.len() > 60).take(2).chain(&["Unseen words: tokenizable, 深度学习, naïve 🙂"])
    {
        println!("\n{}", line.trim_end());
        for (name, tokenizer) in &tokenizers {
            let encoding = tokenizer.encode_without_template(line.trim_end())?;
            println!("{name:<12} {:>3}  {}", encoding.len(), show(line.trim_end(), &encoding));
        }
    }
    Ok(())
}
