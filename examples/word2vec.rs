//! Vectors of words from text: skip-gram with negative sampling, and the words that came out near each other.
//!
//! `cargo run --release --features text --example word2vec` learns from sentences that it makes for itself;
//! `cargo run --release --features text --example word2vec -- FILE.txt` from a text of yours.

use gradus::layers::merging::Dot;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::text::{SkipGrams, Vocabulary, WordVectors, words};

fn main() -> Result<(), Error> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path).map_err(Error::custom)?.to_lowercase(),
        None => sentences(20_000),
    };
    let vocabulary = Vocabulary::count(text.lines().flat_map(words), 5, None)?;
    let lines: Vec<_> = text.lines().map(|line| vocabulary.encode(words(line))).collect();
    let source = SkipGrams::default().subsample(1e-2).seed(1).of(&lines, &vocabulary)?;
    println!("{} words, {} pairs that stand near each other", vocabulary.len() - 4, source.pairs());

    // How well the vector of a word agrees with that of another as its neighbour.
    let (mut g, size) = (Graph::new(), 32);
    let (word, near) = (g.input("word", [1]), g.input("near", [1]));
    let a = g.add_named("words", Embedding::new(vocabulary.len(), size), word);
    let b = g.add_named("neighbours", Embedding::new(vocabulary.len(), size).embeddings_initializer(Init::Zeros), near);
    let both = g.op(Dot::new([-1, -1]), &[a, b]);
    let y = g.add(Flatten::new(), both);
    let mut model = g.build([y], 1)?;
    model.compile(Adagrad::default().learning_rate(0.5), BinaryCrossentropy::default().from_logits(true), ())?;
    model.fit_dataset(&source.shuffle(1).batch(512).prefetch(1)?, &Fit::default().epochs(2), &mut [])?;

    // Special tokens have no vectors worth a look.
    let tokens = (4..vocabulary.len()).map(|id| vocabulary.token(id)).collect::<Result<Vec<_>, _>>()?;
    let trained = &model.weight("words/embeddings")?[4 * size..];
    let vectors = WordVectors::new(tokens.iter().copied(), Tensor::new([tokens.len(), size], trained.to_vec())?)?;
    for word in tokens.iter().step_by(tokens.len().div_ceil(10)) {
        let near = vectors.nearest(word, 4)?;
        println!("{word:>12}: {}", near.iter().map(|(w, c)| format!("{w} {c:.2}")).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// Sentences of a small grammar: who does what to what, so that words of a kind stand in the same places.
fn sentences(n: u64) -> String {
    let kinds = [
        ("cat dog horse cow", "eats chases sees", "grass hay fish meat"),
        ("pilot sailor driver", "steers repairs parks", "ship plane car truck"),
        ("cook baker guest", "bakes tastes orders", "bread cake soup pie"),
    ];
    let sentence = |i: u64| {
        let key = Key::new(1, Purpose::Data).with(i);
        let (who, does, what) = kinds[key.below(0, kinds.len())];
        let pick = |draw: u64, list: &str| {
            list.split(' ').nth(key.below(draw, list.split(' ').count())).unwrap_or("").to_owned()
        };
        format!("the {} {} the {}\n", pick(1, who), pick(2, does), pick(3, what))
    };
    (0..n).map(sentence).collect()
}
