//! Language models: a step of training, a token of writing, a prompt.

use std::sync::atomic::Ordering;
use std::time::Instant;

use gradus::WeightStorage;
use gradus::generation::Decoder;
use gradus::kernels::parallel;
use gradus::models::{Bert, Gpt2, Llama};

use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use support::counting::taken;

use crate::{Failure, SEED_OF_WEIGHTS, machine, median, report, steps};

/// A step on rows of 64 tokens, AdamW, its moments in f32 or in bf16: the shapes of nanoGPT's small setting and of GPT-2.
pub fn train(name: &str) -> Result<(), Failure> {
    const LENGTH: usize = 64;
    let char = Gpt2 { vocabulary: 65, context: 64, features: 128, blocks: 4, heads: 4, ..Gpt2::default() };
    let (settings, batch, steps_of_it) = match name {
        "gpt_char" => (char, 12, 50),
        _ => (Gpt2 { context: 64, ..Gpt2::default() }, 4, 10),
    };
    let key = Key::new(4, Purpose::Data);
    let token = |i: usize| key.below(i as u64, settings.vocabulary) as f32;
    let rows = steps_of_it * batch;
    let x = Tensor::from_fn([rows, LENGTH], token);
    let y = Tensor::from_fn([rows, LENGTH], |i| token(i + 1));
    let mut model = settings.build(SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    let loss = SparseCategoricalCrossentropy::default().from_logits(true);
    let storage = if name.ends_with("_bf16_moments") { MomentStorage::Bf16 } else { MomentStorage::AsWeights };
    model.compile(AdamW::default().learning_rate(1e-3).moment_storage(storage), loss, ())?;
    let first = model.train_on_batch(&x.rows(0..batch)?, &y.rows(0..batch)?)?;
    let (times, taken) = steps(&mut model, &x, &y, batch, steps_of_it)?;
    let last = model.evaluate(&x.rows(0..batch)?, &y.rows(0..batch)?)?.loss;
    let more = format!(", \"loss_first\": {first:.4}, \"loss_last\": {last:.4}, \"allocations_a_step\": {taken:.2}");
    report(name, "ms_per_step", median(&times), &more);
    Ok(())
}

/// A step of BERT-base on hidden tokens, 15 % of 8 rows of 128, AdamW, dropout 0.1.
pub fn masked_language() -> Result<(), Failure> {
    const SIZE: [usize; 2] = [8, 128];
    const STEPS: usize = 8;
    let (bert, key) = (Bert::default(), Key::new(6, Purpose::Data));
    let token = |i: usize| key.below(i as u64, bert.vocabulary) as f32;
    let x = Tensor::from_fn([STEPS * SIZE[0], SIZE[1]], token);
    let hidden = |i: usize| key.with(1).unit(i as u64) < 0.15;
    let y = Tensor::from_fn([STEPS * SIZE[0], SIZE[1]], |i| if hidden(i) { token(i) } else { -100.0 });
    let mut g = Graph::new();
    let tokens = g.input("tokens", [FREE]);
    let encoded = bert.wire_with(&mut g, tokens, None, None);
    let logits = bert.masked_language(&mut g, encoded);
    let mut model = g.build([logits], SEED_OF_WEIGHTS.load(Ordering::Relaxed))?;
    let loss = SparseCategoricalCrossentropy::default().from_logits(true).ignore_class(-100);
    model.compile(AdamW::default().learning_rate(1e-4), loss, ())?;
    let first = model.train_on_batch(&x.rows(0..SIZE[0])?, &y.rows(0..SIZE[0])?)?;
    let (times, taken) = steps(&mut model, &x, &y, SIZE[0], STEPS)?;
    let more = format!(", \"loss_first\": {first:.4}, \"allocations_a_step\": {taken:.2}");
    report("bert_base_mlm", "ms_per_step", median(&times), &more);
    Ok(())
}

/// A model by the name of its shape, its matrices stored as what stands behind that.
fn build(name: &str) -> Result<Model, Failure> {
    let storage = WeightStorage::ALL.into_iter().find(|storage| name.ends_with(&storage.name().to_lowercase()));
    let shape = storage.map_or(name, |storage| &name[..name.len() - storage.name().len() - 1]);
    let mut model = shape_of(shape)?;
    storage.map_or(Ok(()), |storage| model.store_weights(storage))?;
    Ok(model)
}

fn shape_of(name: &str) -> Result<Model, Failure> {
    let seed = SEED_OF_WEIGHTS.load(Ordering::Relaxed);
    if name.ends_with("gpt2") {
        return Ok(Gpt2::default().build(seed)?);
    }
    let llama = Llama {
        vocabulary: 32000,
        features: 2048,
        blocks: 16,
        heads: 32,
        key_heads: 8,
        hidden: 8192,
        tied: true,
        ..Llama::default()
    };
    Ok(llama.build(seed)?)
}

fn tokens(n: usize) -> Vec<u32> {
    let key = Key::new(5, Purpose::Data);
    (0..n as u64).map(|i| key.below(i, 32000) as u32).collect()
}

/// Milliseconds a token, 64 behind a prompt of 64, beside the time that reading the weights takes.
pub fn decode(name: &str) -> Result<(), Failure> {
    let model = build(name)?;
    let mut decoder = model.decoder()?.context_length(256);
    let (prompt, mut logits) = (tokens(64), vec![0.0; Decoder::<f32>::vocabulary(&model.decoder()?)]);
    let (mut best, mut allocations) = (f64::INFINITY, 0);
    for _ in 0..3 {
        decoder.prompt(&[&prompt], &mut logits)?;
        let mut token = greedy(&logits);
        decoder.step(&[token], &mut logits)?;
        let (start, before) = (Instant::now(), taken());
        for _ in 0..64 {
            token = greedy(&logits);
            decoder.step(&[token], &mut logits)?;
        }
        best = best.min(start.elapsed().as_secs_f64() / 64.0);
        allocations = taken() - before;
    }
    // Half a gigabyte, which no cache holds.
    let read = machine::read(parallel::threads(), &vec![1.0; 1 << 27]);
    let bound = model.summary().bytes as f64 * 1e-9 / read;
    let more = format!(
        ", \"gigabytes_per_s\": {read:.1}, \"of_reading_weights\": {:.3}, \"allocations_a_token\": {:.2}",
        best / bound,
        allocations as f64 / 64.0
    );
    report(name, "ms_per_token", best * 1e3, &more);
    Ok(())
}

/// Tokens a second of a prompt of 512, beside what the multipliers can do.
pub fn prefill(name: &str) -> Result<(), Failure> {
    const N: usize = 512;
    let model = build(name)?;
    let mut decoder = model.decoder()?.context_length(N);
    let (prompt, mut logits) = (tokens(2 * N), vec![0.0; Decoder::<f32>::vocabulary(&model.decoder()?)]);
    let mut best = f64::INFINITY;
    for i in 0..7 {
        // Each begins with another token, so that nothing is known.
        let start = Instant::now();
        decoder.prompt(&[&prompt[i..i + N]], &mut logits)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    let products = model.params().specs().iter().filter(|spec| spec.name.ends_with("kernel"));
    let multiplied: usize = products.map(|spec| spec.shape.len()).sum();
    let (flops, peak) = (2.0 * (multiplied * N) as f64, machine::peak(parallel::threads()));
    let more = format!(", \"gflops\": {:.1}, \"of_peak\": {:.3}", flops / best * 1e-9, flops / best * 1e-9 / peak);
    report(name, "tokens_per_s", N as f64 / best, &more);
    Ok(())
}

fn greedy(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0) as u32
}
