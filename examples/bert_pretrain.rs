//! A small BERT: learns from raw text to fill in words that are hidden, then to tell which document a line is from, beside one that begins with nothing.
//!
//! `cargo run --release --features text --example bert_pretrain -- [STEPS] [FILE.txt FILE.txt …]`; without files on the crate's own documentation.

use gradus::graph::Graph;
use gradus::models::Bert;
use gradus::prelude::*;
use gradus::text::{Tokenizer, tokenizer::Trainer};

const LENGTH: usize = 32;

fn main() -> gradus::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let steps: usize = arguments.next().map_or(Ok(400), |n| n.parse().map_err(Error::custom))?;
    let mut texts = Vec::new();
    for file in arguments {
        texts.push((file.clone(), std::fs::read_to_string(&file).map_err(|e| Error::custom(format!("{file}: {e}")))?));
    }
    if texts.is_empty() {
        texts = vec![
            ("design".to_owned(), include_str!("../docs/design.md").to_owned()),
            ("text".to_owned(), include_str!("../docs/text.md").to_owned()),
            ("transformers".to_owned(), include_str!("../docs/transformers.md").to_owned()),
            ("performance".to_owned(), include_str!("../docs/performance.md").to_owned()),
        ];
    }
    let mut lines: Vec<(usize, &str)> = Vec::new();
    for (class, (_, text)) in texts.iter().enumerate() {
        lines.extend(text.lines().filter(|line| line.split_whitespace().count() > 5).map(|line| (class, line)));
    }
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let tokenizer: Tokenizer =
        Trainer::word_piece(1500).special_tokens(special).train(lines.iter().map(|(_, line)| line))?;
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
    println!("{} lines of {} documents, {vocabulary} tokens", lines.len(), texts.len());

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

    // The same lines to tell apart, four fifths of them to learn from.
    let (train, test) = Samples::several([x.clone(), mask.clone()], [y.clone()])?.split(0.2, 3)?;
    let (train, test) = (train.shuffle(5).batch(32), test.batch(256));
    for (name, pretrained) in [("from nothing", None), ("fine-tuned", Some(&model))] {
        let mut g = Graph::new();
        let encoded = encoder(&mut g);
        let text = shape.pooled(&mut g, encoded);
        let classes = g.add_named("classes", Dense::new(texts.len()).activation(Activation::Softmax), text);
        let mut classifier = g.build([classes], 2)?;
        if let Some(model) = pretrained {
            classifier.copy_weights(model, &LoadWeights::default().partial(true))?;
        }
        classifier.compile(
            AdamW::default().learning_rate(3e-4),
            SparseCategoricalCrossentropy::default(),
            [Accuracy::default()],
        )?;
        classifier.fit_dataset(&train, &Fit::default().epochs(4).verbose(Verbose::Silent), &mut [])?;
        println!("{name}: {}", classifier.evaluate_dataset(&test)?);
    }
    Ok(())
}
