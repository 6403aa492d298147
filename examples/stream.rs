//! Training from a file that need not fit in memory: read in pieces, mapped, shuffled, batched and loaded ahead.
//!
//! `cargo run --release --example stream` makes a table of 100,000 rows for itself;
//! `cargo run --release --example stream -- --data FILE.csv` takes a table with a line of names and classes in its last column.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gradus::prelude::*;
use gradus::random::{Key, Purpose};

fn main() -> Result<(), Error> {
    let given = std::env::args().skip_while(|a| a != "--data").nth(1);
    let path = match &given {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir().join(format!("gradus_stream_{}.csv", std::process::id())),
    };
    if given.is_none() {
        spirals(&path).map_err(Error::custom)?;
    }
    let result = train(&path);
    if given.is_none() {
        let _ = std::fs::remove_file(&path);
    }
    result
}

fn train(path: &Path) -> Result<(), Error> {
    let begin = Instant::now();
    let source = std::sync::Arc::new(Csv::default().classes().stream::<f32>(path)?);
    let (features, _) = source.shapes();
    let rows = source.samples().unwrap_or(0);
    let classes = source.class_names().len();
    println!(
        "{} bytes, {rows} rows, {} features, {classes} classes: looked through in {:.2} s",
        std::fs::metadata(path).map_or(0, |m| m.len()),
        features.len(),
        begin.elapsed().as_secs_f64()
    );

    // The first nine tenths to train on, in a new order each epoch: blocks of the file, and the rows within them.
    let train = rows * 9 / 10;
    let noise = |key: Key, x: &mut [f32], _: &mut [f32]| {
        x.iter_mut().enumerate().for_each(|(i, v)| *v += 0.02 * (key.unit(i as u64) as f32 - 0.5));
    };
    let data = source.clone().take(train).map_keyed(1, noise).shuffle_blocks(1, 4096).batch(256).prefetch(1)?;
    let test = source.skip(train).batch(1024);

    let mut model = Sequential::new(features)
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(classes).activation(Activation::Softmax))
        .build(1)?;
    model.compile(
        Adam::default().learning_rate(3e-3),
        SparseCategoricalCrossentropy::default(),
        [Accuracy::default()],
    )?;
    let how = Fit::default().epochs(4).validation_dataset(&test);
    model.fit_dataset(&data, &how, &mut [])?;
    println!("test {}", model.evaluate_dataset(&test)?);
    Ok(())
}

/// Points on three arms of a spiral, in no order.
fn spirals(path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "x,y,arm")?;
    for i in 0..100_000u64 {
        let key = Key::new(1, Purpose::Data).with(i);
        let (arm, radius) = (i % 3, key.unit(0));
        let angle = 4.0 * radius + arm as f64 * std::f64::consts::TAU / 3.0 + 0.2 * (key.unit(1) - 0.5);
        writeln!(
            file,
            "{:.4},{:.4},{}",
            radius * angle.cos(),
            radius * angle.sin(),
            ["red", "green", "blue"][arm as usize]
        )?;
    }
    file.flush()
}
