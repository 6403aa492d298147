//! Reads handwritten digits: 1,797 images of 8×8 pixels that come with the crate.
//!
//! `cargo run --release --example quickstart`, or with `-- --seed 3` for another split and other initial weights.

use std::time::Instant;

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let seed = seed();

    // Pixels go from 0 to 16; the network likes them between 0 and 1.
    let digits = digits();
    let x = digits.x.map(|pixel| pixel / 16.0);

    // A fifth of the images is kept aside, of each digit the same share.
    let parts = train_test_split(&x, &digits.y, &Split::default().test_size(0.2).seed(seed).stratify(true))?;

    let mut model = Sequential::new([64])
        .add(Dense::new(512).activation(Activation::Relu).kernel_initializer(Init::HeNormal))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(seed)?;
    println!("{}", model.summary());

    // The learning rate falls to 0 over the whole training; weight decay and smoothed labels keep the network from
    // learning the training images by heart (and the loss from reaching 0).
    let (epochs, batch) = (25, 32);
    let steps = epochs * parts.x_train.samples().div_ceil(batch);
    let optimizer = AdamW::default().learning_rate(CosineDecay::new(0.01, steps as u64)).weight_decay(0.1);
    let loss = CategoricalCrossentropy::default().label_smoothing(0.2);
    model.compile(optimizer, loss, [Accuracy::default()])?;

    let start = Instant::now();
    model.fit(&parts.x_train, &parts.y_train, &Fit::default().epochs(epochs).batch_size(batch))?;
    println!("\ntrained on {} images in {:.2} s", parts.x_train.samples(), start.elapsed().as_secs_f64());

    // Rows are the digits that were written, columns those that were read.
    let read = model.predict_classes(&parts.x_test)?;
    println!("\n{}", ConfusionMatrix::new(&parts.y_test.to_labels(), &read, 10)?);

    let scores = model.evaluate(&parts.x_test, &parts.y_test)?;
    println!("test accuracy: {:.4}", scores.get("accuracy").unwrap_or_default());
    Ok(())
}

/// The number after `--seed`, 0 without.
fn seed() -> u64 {
    let words: Vec<String> = std::env::args().collect();
    let place = words.iter().position(|word| word == "--seed");
    place.and_then(|i| words.get(i + 1)?.parse().ok()).unwrap_or(0)
}
