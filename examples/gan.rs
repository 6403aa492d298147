//! Two networks against each other: one draws digits from noise, the other tells them from real ones. The first learns through the second:
//! the gradient of the second's answer with respect to what it was shown is the gradient of what the first has drawn (Goodfellow et al.:
//! "Generative Adversarial Nets", 2014; with the objective that does not saturate, and real ones labelled 0.9).
//!
//! `cargo run --release --example gan`

use gradus::data::digits;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

const NOISE: usize = 16;
const BATCH: usize = 64;
const STEPS: u64 = 2500;

fn main() -> Result<(), Error> {
    let real = digits().x.map(|v| v / 8.0 - 1.0);
    let mut generator = Sequential::new([NOISE])
        .add(Dense::new(64).activation(Activation::LeakyRelu(0.2)))
        .add(Dense::new(96).activation(Activation::LeakyRelu(0.2)))
        .add(Dense::new(64).activation(Activation::Tanh))
        .build(1)?;
    let mut critic = Sequential::new([64])
        .add(Dense::new(96).activation(Activation::LeakyRelu(0.2)))
        .add(Dropout::new(0.3))
        .add(Dense::new(48).activation(Activation::LeakyRelu(0.2)))
        .add(Dropout::new(0.3))
        .add(Dense::new(1))
        .build(2)?;
    let adam = || Adam::default().learning_rate(5e-4).beta_1(0.5);
    let logits = || BinaryCrossentropy::default().from_logits(true);
    generator.compile(adam(), logits(), ())?;
    critic.compile(adam(), logits(), ())?;

    let (mut drawing, mut judging) = (generator.training_loop(), critic.training_loop());
    let mut told = [0.0; 2];
    for step in 0..STEPS {
        let key = Key::new(7, Purpose::Data).with(step);
        let picks: Vec<usize> = (0..BATCH).map(|i| key.with(1).below(i as u64, real.samples())).collect();
        let shown = real.select(&picks)?;
        let z = noise(key.with(2));

        // The critic: real digits up, drawn ones down.
        drawing.forward(&generator, &[&z])?;
        let drawn = drawing.output(&generator, 0)?.clone();
        told[0] += judge(&mut judging, &critic, &shown, 0.9)?;
        told[1] += judge(&mut judging, &critic, &drawn, 0.0)?;
        judging.apply(&mut critic)?;

        // The generator: what it drew is to be taken for real, by the critic as it is now.
        judge(&mut judging, &critic, &drawn, 1.0)?;
        drawing.output_gradient(&generator, 0)?.copy_from(judging.input_gradient(&critic, 0)?);
        judging.clear();
        drawing.backward(&generator, &[&z])?;
        drawing.apply(&mut generator)?;

        if (step + 1) % 500 == 0 {
            let part = |sum: f64| 100.0 * sum / 500.0;
            println!(
                "step {}: of the real digits {:.0}% are taken for real, of those drawn {:.0}%",
                step + 1,
                part(told[0]),
                part(told[1])
            );
            told = [0.0; 2];
        }
    }
    println!("\nDrawn from noise:\n");
    show(&generator.predict(&noise(Key::new(99, Purpose::Data)))?);
    println!("\nReal ones:\n");
    show(&real);
    Ok(())
}

/// Forward and backward of the critic on digits that are to be called `label`; the part that it takes for real.
fn judge(judging: &mut TrainingLoop, critic: &Model, x: &Tensor, label: f32) -> Result<f64, Error> {
    judging.forward(critic, &[x])?;
    let n = x.samples();
    let scores = judging.output(critic, 0)?.clone();
    // d/dy of the cross-entropy of a logit, averaged: (σ(y) − label) / n.
    let dy = judging.output_gradient(critic, 0)?.as_mut_slice();
    for (d, y) in dy.iter_mut().zip(scores.as_slice()) {
        *d = (1.0 / (1.0 + (-y).exp()) - label) / n as f32;
    }
    judging.backward(critic, &[x])?;
    Ok(scores.as_slice().iter().filter(|y| **y > 0.0).count() as f64 / n as f64)
}

/// Normal numbers, by sums of uniform ones.
fn noise(key: Key) -> Tensor {
    let draw = |i: usize| (0..12).map(|j| key.unit((i * 12 + j) as u64)).sum::<f64>() - 6.0;
    Tensor::from_fn([BATCH, NOISE], |i| draw(i) as f32)
}

/// The first eight digits side by side, two characters a pixel.
fn show(x: &Tensor) {
    const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
    for line in 0..8 {
        for digit in 0..8 {
            for v in &x.row(digit)[line * 8..line * 8 + 8] {
                let shade = ((v + 1.0) / 2.0 * 4.99).clamp(0.0, 4.0) as usize;
                print!("{}", SHADES[shade]);
            }
            print!("  ");
        }
        println!();
    }
}
