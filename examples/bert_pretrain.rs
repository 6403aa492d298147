//! A small BERT: learns from raw text to fill in words that are hidden, then, from a few labels, what sentences are about, beside one that begins with
//! nothing.
//!
//! `cargo run --release --features text --example bert_pretrain -- [STEPS] [FILE.txt FILE.txt …]`; with files the lines of each are a class. Without
//! them the text is in an invented language: 60 words for each of five topics, and some for all. Of the few sentences whose topic is told, most words
//! are not in others; which words go together is in the raw text alone.

use gradus::graph::Graph;
use gradus::models::Bert;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::text::{Tokenizer, tokenizer::Trainer};

const LENGTH: usize = 24;

/// Sentences of five words of a topic and three that belong to none, with their topics.
fn invented() -> Vec<(usize, String)> {
    let key = Key::new(1, Purpose::Data);
    let mut draws = 0;
    let mut below = |n: usize| {
        draws += 1;
        key.below(draws, n)
    };
    let mut word = || {
        let mut letter = |of: &'static str| of.as_bytes()[below(of.len())] as char;
        [0; 3].map(|_| [letter("bdfgklmnprst"), letter("aeiou")]).concat().iter().collect::<String>()
    };
    let words: Vec<String> = (0..340).map(|_| word()).collect();
    let sentence = |i: usize| {
        let topic = i % 5;
        let words = (0..8).map(|at| match at % 3 {
            0 => &*words[300 + below(40)],
            _ => &*words[60 * topic + below(60)],
        });
        (topic, words.collect::<Vec<_>>().join(" "))
    };
    (0..4000).map(sentence).collect()
}

fn main() -> gradus::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let steps: usize = arguments.next().map_or(Ok(1000), |n| n.parse().map_err(Error::custom))?;
    let files: Vec<String> = arguments.collect();
    let mut lines = Vec::new();
    for (class, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).map_err(|e| Error::custom(format!("{file}: {e}")))?;
        let long = text.lines().filter(|line| line.split_whitespace().count() > 5);
        lines.extend(long.map(|line| (class, line.to_owned())));
    }
    if files.is_empty() {
        lines = invented();
    }
    let classes = lines.iter().map(|(class, _)| class + 1).max().unwrap_or_default();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let tokenizer: Tokenizer =
        Trainer::word_piece(1000).special_tokens(special).train(lines.iter().map(|(_, line)| line))?;
    let vocabulary = tokenizer.vocab_size();
    let shape =
        Bert { vocabulary, context: LENGTH, features: 96, blocks: 3, heads: 4, dropout: 0.1, ..Bert::default() };

    // Lines as [CLS] … [SEP], filled up with [PAD].
    let row = |line: &str| -> gradus::Result<Vec<f32>> {
        let mut ids = vec![2.0];
        ids.extend(tokenizer.encode_ids(line)?.iter().take(LENGTH - 2).map(|id| *id as f32));
        ids.push(3.0);
        ids.resize(LENGTH, 0.0);
        Ok(ids)
    };
    let rows = lines.iter().map(|(_, line)| row(line)).collect::<gradus::Result<Vec<_>>>()?;
    let x = Tensor::new([rows.len(), LENGTH], rows.concat())?;
    let mask = x.clone().map(|id| f32::from(id != 0.0));
    let y = Tensor::from_labels(&lines.iter().map(|(class, _)| *class).collect::<Vec<_>>());
    println!("{} lines of {classes} classes, {vocabulary} tokens", lines.len());

    let encoder = |g: &mut Graph| {
        let (tokens, mask) = (g.input("tokens", [LENGTH]), g.input("mask", [LENGTH]));
        shape.wire_with(g, tokens, None, Some(mask))
    };
    let mut g = Graph::new();
    let encoded = encoder(&mut g);
    let logits = shape.masked_language(&mut g, encoded);
    let mut model = g.build([logits], 1)?;
    let rate = CosineDecay::new(0.0, steps as u64).warmup(1e-3, steps as u64 / 10);
    let loss = SparseCategoricalCrossentropy::default().from_logits(true).ignore_class(-100);
    model.compile(AdamW::default().learning_rate(rate), loss, [Accuracy::default()])?;
    let source = Samples::several([x.clone(), mask.clone()], [y.clone()])?;
    let hidden = MaskedTokens::new(source, 4, vocabulary, 7).special([0, 1, 2, 3]);
    let each = (steps / 4).max(1);
    let how = Fit::default().epochs(4).steps_per_epoch(each);
    model.fit_dataset(&hidden.shuffle(1).repeat().batch(32), &how, &mut [])?;

    // The same lines to tell apart. Raw text is plentiful, labels are not: one line in two hundred has one.
    let (train, test) = Samples::several([x.clone(), mask.clone()], [y.clone()])?.split(0.995, 3)?;
    let (train, test) = (train.shuffle(5).batch(8), test.batch(256));
    for (name, pretrained) in [("from nothing", None), ("fine-tuned", Some(&model))] {
        let mut g = Graph::new();
        let encoded = encoder(&mut g);
        let text = g.add(GlobalAveragePooling1d::new(), encoded);
        let class = g.add_named("classes", Dense::new(classes).activation(Activation::Softmax), text);
        let mut classifier = g.build([class], 2)?;
        if let Some(model) = pretrained {
            classifier.copy_weights(model, &LoadWeights::default().partial(true))?;
        }
        classifier.compile(
            AdamW::default().learning_rate(3e-4),
            SparseCategoricalCrossentropy::default(),
            [Accuracy::default()],
        )?;
        classifier.fit_dataset(&train, &Fit::default().epochs(60).verbose(Verbose::Silent), &mut [])?;
        println!("{name}: {}", classifier.evaluate_dataset(&test)?);
    }
    Ok(())
}
