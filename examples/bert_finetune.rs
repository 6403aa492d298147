//! A sentence classifier: a BERT from a folder of Hugging Face, trained on a table of texts and labels, measured on a part of it, and saved.
//!
//! `cargo run --release --features text --example bert_finetune -- --model FOLDER --data FILE.csv`; `--help` tells the options. Without arguments it makes a
//! tiny BERT of its own: an invented language (60 words for each of five topics, and some for all), 2,000 raw sentences of it to fill gaps in, and 400 whose
//! topic is told.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gradus::model::Lora;
use gradus::models::hf::{MaskedLm, OpenOptions, SequenceClassifier};
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::text::{Encoding, tokenizer::Truncation};

const HELP: &str = "usage: bert_finetune [--model FOLDER --data FILE] [options]
  --model FOLDER     a BERT, RoBERTa, XLM-R, DistilBERT or MPNet: config.json, model.safetensors, and its tokenizer
  --data FILE        a CSV or TSV: texts in the first column, labels in the second
  --header           the first line of FILE names the columns
  --train all|head|lora
                     which weights are trained: all, those of the new head, or low-rank adapters and the head (all)
  --rank N           the rank of adapters (8)
  --target NAME      the modules with adapters, as Python calls them, with commas between them (query,value)
  --layer-decay D    each block's rate is that of the block after it times D, from 0 on and up to 1 (1)
  --rate R           the learning rate (5e-5; 1e-3 with --train head or lora, and without a model)
  --epochs N         (3; 10 without a model)
  --batch N          rows of a step (16)
  --length N         tokens that longer texts are cut to (128)
  --held-out S       the share of FILE that is measured on (0.2)
  --seed N           (1)
  --save FOLDER      where the trained classifier is written; with --train lora the adapter alone, as PEFT has it";

/// Which weights are trained.
#[derive(Clone, Copy, PartialEq)]
enum Train {
    All,
    Head,
    Lora,
}

struct Arguments {
    model: Option<PathBuf>,
    data: Option<PathBuf>,
    header: bool,
    train: Train,
    rank: usize,
    targets: String,
    layer_decay: f64,
    rate: Option<f64>,
    epochs: Option<usize>,
    batch: usize,
    length: usize,
    held_out: f64,
    seed: u64,
    save: Option<PathBuf>,
}

/// The arguments; none where help is asked for.
fn arguments() -> Result<Option<Arguments>, Error> {
    let mut out = Arguments {
        model: None,
        data: None,
        header: false,
        train: Train::All,
        rank: 8,
        targets: "query,value".into(),
        layer_decay: 1.0,
        rate: None,
        epochs: None,
        batch: 16,
        length: 128,
        held_out: 0.2,
        seed: 1,
        save: None,
    };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        let mut value = || all.next().ok_or_else(|| Error::custom(format!("{name} needs a value, see --help")));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--model" => out.model = Some(value()?.into()),
            "--data" => out.data = Some(value()?.into()),
            "--header" => out.header = true,
            "--train" => {
                out.train = match value()?.as_str() {
                    "all" => Train::All,
                    "head" => Train::Head,
                    "lora" => Train::Lora,
                    other => return Err(Error::custom(format!("--train is all, head or lora, got {other}"))),
                }
            }
            "--rank" => out.rank = number(&name, &value()?, |n| n > 0)?,
            "--target" => out.targets = value()?,
            "--layer-decay" => out.layer_decay = number(&name, &value()?, |d: f64| (0.0..=1.0).contains(&d))?,
            "--rate" => out.rate = Some(number(&name, &value()?, |rate: f64| rate > 0.0 && rate.is_finite())?),
            "--epochs" => out.epochs = Some(number(&name, &value()?, |n| n > 0)?),
            "--batch" => out.batch = number(&name, &value()?, |n| n > 0)?,
            "--length" => out.length = number(&name, &value()?, |n| n > 2)?,
            "--held-out" => out.held_out = number(&name, &value()?, |share: f64| share > 0.0 && share < 1.0)?,
            "--seed" => out.seed = number(&name, &value()?, |_| true)?,
            "--save" => out.save = Some(value()?.into()),
            other => return Err(Error::custom(format!("{other} is not known, see --help"))),
        }
    }
    if out.train != Train::All && out.layer_decay < 1.0 {
        return Err(Error::custom("--layer-decay goes with --train all: otherwise blocks have no rates"));
    }
    if out.model.is_some() != out.data.is_some() {
        let missing = if out.model.is_some() { "--data" } else { "--model" };
        return Err(Error::custom(format!("{missing} is missing: a model and a table go together, see --help")));
    }
    Ok(Some(out))
}

fn number<T: FromStr + Copy>(name: &str, value: &str, fits: impl Fn(T) -> bool) -> Result<T, Error> {
    let number = value.parse().ok().filter(|number| fits(*number));
    number.ok_or_else(|| Error::custom(format!("{name} cannot be {value}, see --help")))
}

fn main() -> Result<(), Error> {
    let Some(mut arguments) = arguments()? else {
        println!("{HELP}");
        return Ok(());
    };
    if let (Some(model), Some(data)) = (&arguments.model, &arguments.data) {
        return finetune(model, data, &arguments);
    }
    println!("No model is given: a tiny one is made, and trained on an invented language (see --help).\n");
    let folder = std::env::temp_dir().join(format!("gradus_bert_finetune_{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;
    // Such a small model takes larger steps than published ones, and more of them.
    arguments.rate = arguments.rate.or(Some(1e-3));
    arguments.epochs = arguments.epochs.or(Some(10));
    let data = folder.join("labelled.csv");
    let result = make(&folder, &data).and_then(|()| finetune(&folder, &data, &arguments));
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn finetune(folder: &Path, data: &Path, how: &Arguments) -> Result<(), Error> {
    let table = TextTable::default().classes();
    let table = if how.header { table.header(true) } else { table }.open(data)?;
    let rows = table.read_all()?;
    let options = OpenOptions::default().labels(table.class_names()).seed(how.seed);
    let mut classifier = SequenceClassifier::<f32>::open(folder, &options)?;
    println!("{} texts of {}", rows.len(), table.class_names().join(", "));

    // All texts as rows of one length; padding has no part in anything.
    let length = how.length.min(classifier.max_positions());
    let tokenizer = classifier.tokenizer().ok_or_else(|| Error::custom("the folder of the model has no tokenizer"))?;
    let tokenizer = tokenizer.clone().with_truncation(Truncation::to(length));
    let texts: Vec<&str> = rows.iter().map(|row| row.texts[0].as_str()).collect();
    let encoded = tokenizer.encode_batch(&texts)?;
    let x = classifier.inputs(&encoded.iter().collect::<Vec<&Encoding>>())?;
    let y = Tensor::from(rows.iter().map(|row| row.label.unwrap_or_default() as f32).collect::<Vec<_>>());
    let (train, held) = Samples::several(x, [y])?.split_stratified(how.held_out, how.seed)?;
    let epochs = how.epochs.unwrap_or(3);
    let steps = train.samples().unwrap_or_default().div_ceil(how.batch).saturating_mul(epochs) as u64;
    let (train, held) = (train.shuffle(how.seed).batch(how.batch), held.batch(64));

    if how.train == Train::Lora {
        let lora = Lora::new(how.rank).alpha(2.0 * how.rank as f64).dropout(0.05).train("classifier");
        let lora = how.targets.split(',').map(str::trim).fold(lora, Lora::target);
        let kernels = classifier.add_lora("default", &lora)?;
        println!("adapters of rank {} beside {kernels} kernels", how.rank);
    }
    let model = classifier.model_mut();
    set_rates(model, how)?;
    println!("{} of {} weights are trained", model.summary().trainable, model.params().len());
    let rate = how.rate.unwrap_or(if how.train == Train::All { 5e-5 } else { 1e-3 });
    let rate = CosineDecay::new(0.0, steps).warmup(rate, steps / 10);
    let optimizer = AdamW::default().learning_rate(rate).weight_decay(0.01).global_clipnorm(1.0);
    model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), [Accuracy::default()])?;
    println!("held out, before: {}", model.evaluate_dataset(&held)?);
    model.fit_dataset(&train, &Fit::default().epochs(epochs).validation_dataset(&held), &mut [])?;
    println!("held out, after: {}", model.evaluate_dataset(&held)?);
    for (text, found) in texts.iter().zip(classifier.classify(&texts[..texts.len().min(3)])?) {
        println!("  {text:?}: {} ({:.0}%)", found.label, 100.0 * found.score);
    }
    if let Some(save) = &how.save {
        match how.train {
            Train::Lora => classifier.save_adapter("default", save)?,
            Train::All | Train::Head => classifier.save_pretrained(save)?,
        }
        println!("saved in {}", save.display());
    }
    Ok(())
}

/// Freezes all but the head, or has blocks learn the more slowly the further they stand from it.
fn set_rates(model: &mut Model, how: &Arguments) -> Result<(), Error> {
    let parts = model.outline().iter().filter(|part| !part.params.is_empty());
    let names: Vec<String> = parts.map(|part| part.name.clone()).collect();
    let block = |name: &str| name.strip_prefix("block_").and_then(|number| number.parse::<i32>().ok());
    let blocks = names.iter().filter_map(|name| block(name)).max().map_or(0, |last| last + 1);
    for name in &names {
        // 0 is the head, 1 the last block, and one more than there are blocks the embeddings.
        let depth = match (name.as_str(), block(name)) {
            ("pooler" | "classifier", _) => 0,
            (_, Some(number)) => blocks - number,
            _ => blocks + 1,
        };
        if how.train == Train::Head {
            model.set_trainable(name, depth == 0)?;
        } else if how.train == Train::All && how.layer_decay < 1.0 {
            model.set_learning_rate_factor(name, how.layer_decay.powi(depth))?;
        }
    }
    Ok(())
}

/// A folder with a tiny BERT that has learned to fill gaps in an invented language, and a table of labelled sentences.
fn make(folder: &Path, data: &Path) -> Result<(), Error> {
    let write = |file: &Path, text: &str| std::fs::write(file, text).map_err(Error::custom);
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
    let mut sentence = |i: usize| {
        let words = (0..8).map(|at| match at % 3 {
            0 => &*words[300 + below(40)],
            _ => &*words[60 * (i % 5) + below(60)],
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let raw: Vec<String> = (0..2000).map(&mut sentence).collect();
    let labelled = (0..400).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "{},topic {}", sentence(i), i % 5);
        text
    });
    write(data, &labelled)?;

    let mut vocabulary: Vec<&str> = words.iter().map(String::as_str).collect();
    vocabulary.sort_unstable();
    vocabulary.dedup();
    let vocabulary = [&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], &vocabulary[..]].concat();
    write(&folder.join("vocab.txt"), &vocabulary.join("\n"))?;
    let size = vocabulary.len();
    let config = format!(
        r#"{{"model_type": "bert", "vocab_size": {size}, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 96, "max_position_embeddings": 24, "type_vocab_size": 2, "pad_token_id": 0}}"#
    );
    write(&folder.join("config.json"), &config)?;

    let mut lm = MaskedLm::<f32>::from_config(folder, &OpenOptions::default().seed(1))?;
    let tokenizer = lm.tokenizer().ok_or_else(|| Error::custom("no tokenizer"))?;
    let encoded = tokenizer.encode_batch(&raw)?;
    let x = lm.inputs(&encoded.iter().collect::<Vec<&Encoding>>())?;
    let hidden = MaskedTokens::new(Samples::several(x, [])?, 4, size, 7).special([0, 1, 2, 3]);
    let loss = SparseCategoricalCrossentropy::default().from_logits(true).ignore_class(-100);
    let model = lm.model_mut();
    let rate = CosineDecay::new(0.0, 2000).warmup(3e-3, 200);
    model.compile(AdamW::default().learning_rate(rate), loss, [Accuracy::default()])?;
    println!("filling gaps in {} sentences:", raw.len());
    model.fit_dataset(
        &hidden.shuffle(1).repeat().batch(32),
        &Fit::default().epochs(4).steps_per_epoch(500),
        &mut [],
    )?;
    lm.save_pretrained(folder)
}
