//! Texts to trained model, end to end; `benches/peers/text_bench.py` does the same with scikit-learn and Keras on the same file.
//!
//! `cargo run --release -p gradus-benches --features text --bin text -- FILE` writes FILE, 100,000 made-up texts of 8 classes, a text and its
//! class a line, unless it is there, and prints one JSON line a workload.

use std::fmt::Write;
use std::time::Instant;

use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::text::{HashedNgrams, TextFront, TextVectorization};

const TEXTS: u64 = 100_000;
const CLASSES: u64 = 8;
const WORDS: f64 = 20_000.0;

/// A word for a number: syllables.
fn word(mut n: u64) -> String {
    let mut out = String::new();
    while n > 0 || out.is_empty() {
        out.push(b"bdfgklmnprstvz"[(n % 14) as usize].into());
        out.push(b"aeiou"[(n / 14 % 5) as usize].into());
        n /= 70;
    }
    out
}

/// Words by Zipf's law, every seventh or so one that its class likes; three of a hundred classes are wrong.
fn write(path: &str) -> std::io::Result<()> {
    let mut text = String::new();
    for i in 0..TEXTS {
        let key = Key::new(1, Purpose::Data).with(i);
        let class = key.below(0, CLASSES as usize) as u64;
        for j in 0..8 + key.below(1, 33) as u64 {
            let (u, kind) = (key.unit(10 + 2 * j), key.unit(11 + 2 * j));
            let zipf = (WORDS.powf(u)) as u64;
            let own = kind < 0.14;
            let n = if own { 1000 + class * 300 + (300.0 * u * u) as u64 } else { zipf };
            let _ = write!(text, "{}{}", if j > 0 { " " } else { "" }, word(n));
        }
        let wrong = key.unit(2) < 0.03;
        let _ = writeln!(text, ".\t{}", if wrong { (class + 1) % CLASSES } else { class });
    }
    std::fs::write(path, text)
}

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "texts.tsv".into());
    if !std::path::Path::new(&path).exists() {
        write(&path).map_err(Error::custom)?;
    }
    let file = std::fs::read_to_string(&path).map_err(Error::custom)?;
    let rows: Vec<(&str, usize)> = file
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(text, class)| (text, class.parse().unwrap_or(0)))
        .collect();
    let (texts, labels): (Vec<&str>, Vec<usize>) = rows.into_iter().unzip();
    let held_out = texts.len() / 5;
    let (new, texts) = texts.split_at(held_out);
    let (truth, labels) = labels.split_at(held_out);
    let (truth, labels) = (Tensor::from_labels(truth), Tensor::from_labels(labels));
    let bytes: usize = texts.iter().map(|text| text.len()).sum();

    let line = |workload: &str, metric: &str, value: f64| {
        println!(
            "{{\"peer\":\"gradus\",\"threads\":{},\"workload\":\"{workload}\",\"metric\":\"{metric}\",\"value\":{value:.4}}}",
            std::thread::available_parallelism().map_or(1, |n| n.get())
        );
    };
    let adapt = |steps: usize| TextVectorization::new().max_tokens(20_000).output_sequence_length(steps).adapt(texts);
    // As fast as it goes at the accuracy of TF-IDF with logistic regression; and Keras's model, batch by batch.
    for (workload, batch, epochs, rate) in [("text_linear", 512, 2, 0.006), ("text_embedding", 128, 2, 0.002)] {
        let start = Instant::now();
        let front = adapt(40)?;
        let learned = start.elapsed().as_secs_f64();
        let (x, x_new): (Tensor, Tensor) = (front.transform(texts)?, front.transform(new)?);
        let vectorized = start.elapsed().as_secs_f64();
        let mut model = Sequential::new([40])
            .add(Embedding::new(front.vocabulary_size(), 16).mask_zero(true))
            .add(GlobalAveragePooling1d::new())
            .add(Dense::new(CLASSES as usize).activation(Activation::Softmax))
            .build(1)?;
        model.compile(
            Adam::default().learning_rate(rate),
            SparseCategoricalCrossentropy::default(),
            [Accuracy::default()],
        )?;
        model.fit(&x, &labels, &Fit::default().epochs(epochs).batch_size(batch).verbose(Verbose::Silent))?;
        let accuracy = model.evaluate(&x_new, &truth)?.get("accuracy").unwrap_or(0.0);
        let all = start.elapsed().as_secs_f64();
        line(workload, "accuracy", accuracy);
        line(workload, "s_in_all", all);
        line(workload, "texts_per_s", TEXTS as f64 / all);
        line(workload, "s_adapt", learned);
        line(workload, "share_of_vectorizing", vectorized / all);
    }
    let fronts: [(&str, TextFront); 3] = [
        ("vectorize_int", adapt(40)?.into()),
        (
            "vectorize_pairs",
            TextVectorization::new().max_tokens(50_000).ngrams(2).output_sequence_length(80).adapt(texts)?.into(),
        ),
        ("hash_pairs", HashedNgrams::new(1 << 20).ngrams(1, 2).ids(80).into()),
    ];
    for (workload, front) in fronts {
        let start = Instant::now();
        let x: Tensor = front.transform(texts)?;
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(x.samples(), texts.len());
        line(workload, "mb_per_s", bytes as f64 / 1e6 / seconds);
    }
    Ok(())
}
