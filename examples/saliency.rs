//! What a convolutional network looked at: digits, and beside each the pixels that its answer hangs on.
//!
//! `cargo run --release --features image --example saliency` writes `digits_saliency.png` to the folder for temporary files;
//! `-- --out FILE.png` to another.

use std::path::PathBuf;

use gradus::prelude::*;

/// Screen pixels for a pixel of a digit, and the digits shown.
const SCALE: usize = 12;
const SHOWN: usize = 10;

fn main() -> Result<(), Error> {
    let out = std::env::args().skip_while(|a| a != "--out").nth(1);
    let out = out.map_or_else(|| std::env::temp_dir().join("digits_saliency.png"), PathBuf::from);

    let digits = digits();
    let x = digits.x.map(|v| v / 16.0).reshape([1797, 8, 8, 1])?;
    let mut model = Sequential::new([8, 8, 1])
        .add(Conv2d::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Conv2d::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(Flatten::new())
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&x.rows(0..1437)?, &digits.y.rows(0..1437)?, &Fit::default().epochs(20).verbose(Verbose::Silent))?;
    let scores = model.evaluate(&x.rows(1437..1797)?, &digits.y.rows(1437..1797)?)?;
    println!("accuracy on digits not trained on: {:.3}", scores.get("accuracy").unwrap_or(f64::NAN));

    // One of each class among those it has not seen.
    let class = |i: &usize| digits.y.as_slice()[*i] as usize;
    let chosen: Vec<usize> = (0..SHOWN).filter_map(|c| (1437..1797).find(|i| class(i) == c)).collect();
    let images = x.select(&chosen)?;
    let answers = model.predict_classes(&images)?;

    // Two columns for each digit: itself, and the digit in dark blue with what mattered in yellow.
    let side = 8 * SCALE;
    let (wide, gap) = (2 * side, SCALE);
    let mut picture = Tensor::full([5 * (side + gap) + gap, 2 * (wide + 2 * gap), 3], 255.0f32);
    let row = picture.dims()[1] * 3;
    for (i, &answer) in answers.iter().enumerate() {
        let image = images.rows(i..i + 1)?;
        let map = IntegratedGradients::default().attribute(&model, &image, Target::class(answer))?;
        let map = map.values.map(f32::abs).reshape([8, 8, 1])?;
        let most = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let (top, left) = (i / 2 * (side + gap) + gap, i % 2 * (wide + 2 * gap) + gap);
        for y in 0..side {
            for x in 0..wide {
                let pixel = y / SCALE * 8 + x % side / SCALE;
                let (ink, heat) = (image.as_slice()[pixel], map.as_slice()[pixel] / most);
                let color = match x < side {
                    true => [255.0 * (1.0 - ink); 3],
                    false => [255.0 * heat.sqrt(), 220.0 * heat.sqrt(), 60.0 + 120.0 * ink * (1.0 - heat)],
                };
                let at = (top + y) * row + (left + x) * 3;
                picture.as_mut_slice()[at..at + 3].copy_from_slice(&color);
            }
        }
    }
    save_image(&picture, &out)?;
    println!("the digits {answers:?} and what they were told by: {}", out.display());
    Ok(())
}
