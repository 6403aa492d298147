//! Trains tokenizers on nine tenths of a text, compares them on the last one, saves them, and shows the pieces of a few lines in colour.
//!
//! `cargo run --release --features text --example tokenizer [FILE] [VOCABULARY]`; without a file, on the crate's own documentation.

use std::{io::IsTerminal, time::Instant};

use gradus::text::{Encoding, Tokenizer, tokenizer::Trainer};

/// Each token on a colour of its own, or with a bar behind it where that is no terminal.
fn show(text: &str, encoding: &Encoding) -> String {
    let mut spans = encoding.offsets.clone();
    spans.dedup(); // Of a character that is several tokens each has all of it.
    let pieces = spans.iter().enumerate().map(|(i, &(from, to))| {
        let (piece, colour) = (&text[from as usize..to as usize], [24, 58, 90, 22, 52][i % 5]);
        if std::io::stdout().is_terminal() { format!("\x1b[48;5;{colour}m{piece}\x1b[0m") } else { format!("{piece}|") }
    });
    pieces.collect()
}

fn main() -> gradus::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let corpus = match arguments.next() {
        Some(file) => std::fs::read_to_string(&file).map_err(gradus::Error::custom)?,
        None => [include_str!("../README.md"), include_str!("../docs/design.md")].concat(),
    };
    let size = arguments.next().map_or(Ok(2000), |size| size.parse()).map_err(gradus::Error::custom)?;
    let lines: Vec<&str> = corpus.lines().collect();
    let (train, held_out) = lines.split_at(lines.len() * 9 / 10);
    let bytes = held_out.iter().map(|line| line.len()).sum::<usize>() as f64;
    println!("{:<10} {:>7} {:>7} {:>11} {:>9}  file", "model", "train s", "tokens", "bytes/token", "MB/s");
    let mut tokenizers: Vec<(&str, Tokenizer)> = vec![];
    for (name, trainer) in [
        ("BPE", Trainer::byte_level_bpe(size).special_tokens(["<|endoftext|>"])),
        ("WordPiece", Trainer::word_piece(size)),
        ("Unigram", Trainer::unigram(size)),
    ] {
        let start = Instant::now();
        let tokenizer = trainer.progress(true).train(train.iter().copied())?;
        let seconds = start.elapsed().as_secs_f64();
        let file = std::env::temp_dir().join(format!("gradus_{}.json", name.to_lowercase()));
        tokenizer.save(&file)?;
        let tokens = tokenizer.encode_ordinary_batch(held_out)?.iter().map(Vec::len).sum::<usize>();
        let start = Instant::now();
        tokenizer.encode_ordinary_batch(&lines)?;
        let (speed, each) = (corpus.len() as f64 / start.elapsed().as_secs_f64() / 1e6, bytes / tokens as f64);
        println!("{name:<10} {seconds:>7.2} {tokens:>7} {each:>11.2} {speed:>9.1}  {}", file.display());
        tokenizers.push((name, Tokenizer::open(file)?));
    }
    for line in held_out.iter().filter(|line| line.len() > 60).take(2).chain(&["tokenizable, 深度学习, naïve 🙂"])
    {
        println!("\n{line}");
        for (name, tokenizer) in &tokenizers {
            let encoding = tokenizer.encode_without_template(line)?;
            println!("{name:<10} {:>4}  {}", encoding.len(), show(line, &encoding));
        }
    }
    Ok(())
}
