//! The sentences of a file that mean most nearly what is asked, by vectors of a folder of sentence-transformers, such as all-MiniLM-L6-v2.
//!
//! `cargo run --release --features text --example sentence_embeddings -- FOLDER FILE.txt "A question" ["Another" …]`; a sentence a line. Without arguments it
//! says where to get a folder.

use std::time::Instant;

use gradus::models::hf::{SentenceEncoder, semantic_search};
use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file, questions @ ..] = &arguments[..] else {
        println!("usage: sentence_embeddings FOLDER FILE.txt \"A question\" …");
        println!(
            "A folder of sentence-transformers: git clone https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
        );
        return Ok(());
    };
    if questions.is_empty() {
        return Err(Error::custom("nothing is asked: pass one question or more behind the file"));
    }
    let text = std::fs::read_to_string(file).map_err(|e| Error::custom(format!("{file}: {e}")))?;
    let sentences: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();

    let encoder = SentenceEncoder::from_pretrained(folder)?;
    let start = Instant::now();
    let corpus = encoder.encode(&sentences)?;
    println!("{} sentences, {} numbers each, {:.2} s", sentences.len(), encoder.dim(), start.elapsed().as_secs_f64());
    let found = semantic_search(&encoder.encode(questions)?, &corpus, 5)?;
    for (question, found) in questions.iter().zip(found) {
        println!("\n{question}");
        for found in found {
            println!("  {:.3}  {}", found.score, sentences[found.row]);
        }
    }
    Ok(())
}
