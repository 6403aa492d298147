//! Digits through eight numbers and back: `cargo run --release --example autoencoder`; with `--features plot` it leaves a picture of
//! originals and reconstructions in the temporary folder.
//!
//! The network is trained as a whole; encoder and decoder are parts of it.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let x = digits().x.map(|v| v / 16.0);
    let (train, test) = (x.rows(0..1500)?, x.rows(1500..1797)?);
    let mut model = Sequential::new([64])
        .add(Dense::new(48).activation(Activation::Relu))
        .add_named("code", Dense::new(8))
        .add(Dense::new(48).activation(Activation::Relu))
        .add_named("image", Dense::new(64).activation(Activation::Sigmoid))
        .build(1)?;
    model.compile(Adam::default().learning_rate(0.003), MeanSquaredError::default(), ())?;
    model.fit(&train, &train, &Fit::default().epochs(60).verbose(Verbose::Silent))?;
    println!("mean squared error on {} new digits: {:.4}", test.samples(), model.evaluate(&test, &test)?.loss);

    let (encoder, decoder) = (model.part("input", "code")?, model.part("code", "image")?);
    let codes = encoder.predict(&test)?;
    assert_eq!(decoder.predict(&codes)?, model.predict(&test)?);
    let largest = codes.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    println!("{} pixels are {} numbers, up to {largest:.1} in size", test.row(0).len(), codes.row(0).len());

    // Six digits and what comes back; and from the first to the fourth of them in even steps of the code.
    let originals = test.rows(0..6)?;
    let back = decoder.predict(&codes.rows(0..6)?)?;
    let (a, b) = (codes.row(0), codes.row(3));
    let steps: Vec<f32> = (0..6).flat_map(|i| (0..8).map(move |j| a[j] + (b[j] - a[j]) * i as f32 / 5.0)).collect();
    let between = decoder.predict(&Tensor::new([6, 8], steps)?)?;
    for (what, images) in
        [("originals", &originals), ("reconstructions", &back), ("from the first to the fourth", &between)]
    {
        println!("\n{what}");
        for line in 0..8 {
            let cells: Vec<String> = (0..6).map(|i| shades(&images.row(i)[line * 8..][..8])).collect();
            println!("{}", cells.join("  "));
        }
    }
    #[cfg(feature = "plot")]
    {
        let file = std::env::temp_dir().join("gradus_autoencoder.png");
        picture(&[&originals, &back, &between])?
            .title("Originals, reconstructions, and from the first to the fourth")
            .save(&file)?;
        println!("\nthe picture is {}", file.display());
    }
    Ok(())
}

/// Two characters a pixel.
fn shades(row: &[f32]) -> String {
    row.iter().flat_map(|v| [[' ', '░', '▒', '▓', '█'][(v.clamp(0.0, 1.0) * 4.0).round() as usize]; 2]).collect()
}

/// Rows of images as one, with a line between them.
#[cfg(feature = "plot")]
fn picture(rows: &[&Tensor]) -> Result<HeatMap, Error> {
    let (height, width) = (9 * rows.len() - 1, 9 * 6 - 1);
    let pixel = |i: usize| {
        let (y, x) = (i / width, i % width);
        let inside = y % 9 < 8 && x % 9 < 8;
        if inside { rows[y / 9].row(x / 9)[y % 9 * 8 + x % 9] } else { 0.0 }
    };
    HeatMap::new(&Tensor::from_fn([height, width], pixel))
}
