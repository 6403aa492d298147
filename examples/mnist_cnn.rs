//! A convolutional network on handwritten digits.
//!
//! `cargo run --release --example mnist_cnn` trains on the 1,797 digits of 8×8 pixels that come with the crate;
//! `cargo run --release --example mnist_cnn -- --data DIR` on MNIST's four IDX files in DIR, 12 epochs of the network of Keras's example;
//! with `--augment` a deeper network on digits that are turned, shifted and zoomed anew in every epoch.
//! `--epochs N` and `--seed N` change the length and the seed.

use std::path::Path;
use std::time::Instant;

use gradus::prelude::*;

type Failure = Box<dyn std::error::Error>;

struct Arguments {
    data: Option<String>,
    augment: bool,
    epochs: Option<usize>,
    seed: u64,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut out = Arguments { data: None, augment: false, epochs: None, seed: 1 };
    let mut all = std::env::args().skip(1);
    while let Some(argument) = all.next() {
        let mut value = || all.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--data" => out.data = Some(value()?),
            "--augment" => out.augment = true,
            "--epochs" => out.epochs = Some(value()?.parse()?),
            "--seed" => out.seed = value()?.parse()?,
            other => return Err(format!("{other} is not known; see the head of the file").into()),
        }
    }
    Ok(out)
}

/// Images `[n, height, width, 1]` from 0 to 1 and labels, to train on and to test with.
fn data(directory: Option<&str>) -> Result<[Tensor; 4], Failure> {
    let Some(directory) = directory else {
        let digits = digits();
        let images = digits.x.map(|v| v / 16.0).reshape([1797, 8, 8, 1])?;
        return Ok([
            images.rows(0..1437)?,
            digits.y.rows(0..1437)?,
            images.rows(1437..1797)?,
            digits.y.rows(1437..1797)?,
        ]);
    };
    let images = |name: &str| -> Result<Tensor, Error> {
        let x: Tensor = read_idx(Path::new(directory).join(name))?.map(|v: f32| v / 255.0);
        let shape = [x.samples(), x.dims()[1], x.dims()[2], 1];
        x.reshape(shape)
    };
    let labels = |name: &str| read_idx(Path::new(directory).join(name));
    Ok([
        images("train-images-idx3-ubyte")?,
        labels("train-labels-idx1-ubyte")?,
        images("t10k-images-idx3-ubyte")?,
        labels("t10k-labels-idx1-ubyte")?,
    ])
}

/// The network of Keras's MNIST example; smaller images leave room for one convolution.
fn simple(shape: Shape) -> Sequential {
    let model = Sequential::new(shape).add(Conv2d::new(32, 3).activation(Activation::Relu)).add(MaxPooling2d::new(2));
    let model = match shape.dims()[0] >= 10 {
        true => model.add(Conv2d::new(64, 3).activation(Activation::Relu)).add(MaxPooling2d::new(2)),
        false => model,
    };
    model.add(Flatten::new()).add(Dropout::new(0.5)).add(Dense::new(10).activation(Activation::Softmax))
}

/// Four convolutions with batch normalisation, and the mean of each channel at the end.
fn deeper(shape: Shape) -> Sequential {
    let conv = |filters: usize| {
        let conv = Conv2d::new(filters, 3).padding(Padding::Same).use_bias(false).kernel_initializer(Init::HeNormal);
        Block::new().add(conv).add(BatchNorm::new().momentum(0.9).activation(Activation::Relu))
    };
    Sequential::new(shape)
        .add(conv(32))
        .add(MaxPooling2d::new(2))
        .add(conv(64))
        .add(conv(64))
        .add(MaxPooling2d::new(2))
        .add(conv(128))
        .add(GlobalAveragePooling2d::new())
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation(Activation::Softmax))
}

fn main() -> Result<(), Failure> {
    let Arguments { data: directory, augment, epochs, seed } = arguments()?;
    let [x, y, x_test, y_test] = data(directory.as_deref())?;
    let shape = x.shape().sample();
    // A few digits want smaller batches, and more rounds.
    let (batch, usual) = match directory {
        Some(_) if augment => (128, 18),
        Some(_) => (128, 12),
        None => (32, 30),
    };
    let epochs = epochs.unwrap_or(usual);
    println!("{} images of {shape} to train on, {} to test with, seed {seed}", x.samples(), x_test.samples());

    let begin = Instant::now();
    let how = Fit::default().epochs(epochs);
    let mut model;
    if augment {
        model = deeper(shape).build(seed)?;
        println!("{}", model.summary());
        let steps = x.samples().div_ceil(batch) * epochs;
        let rate = OneCycle::new(3e-3, steps as u64);
        model.compile(
            AdamW::default().learning_rate(rate),
            SparseCategoricalCrossentropy::default(),
            [Accuracy::default()],
        )?;
        let changes = Augment::new().rotation(10.0).zoom(0.1).shift([0.08, 0.08]).value_range([0.0, 1.0]);
        let train = Samples::new(x, y)?.augment(changes, seed).shuffle(seed).batch(batch).prefetch(2)?;
        model.fit_dataset(&train, &how, &mut [])?;
    } else {
        model = simple(shape).build(seed)?;
        println!("{}", model.summary());
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
        model.fit(&x, &y, &how.batch_size(batch))?;
    }
    let scores = model.evaluate(&x_test, &y_test)?;
    let accuracy = scores.get("accuracy").unwrap_or(f64::NAN);
    println!(
        "test accuracy {accuracy:.4}, loss {:.4}, {:.0} s, seed {seed}",
        scores.loss,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}
