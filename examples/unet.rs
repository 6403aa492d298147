//! Segmentation: a U-Net says of every pixel of a noisy picture whether it belongs to a disc, to a square, or to nothing. Pictures and masks
//! are drawn here.
//!
//! `cargo run --release --example unet`; with `--features image` the masks are written as a picture too, to the path behind `--out`.

use gradus::models::UNet;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

const SIDE: usize = 32;
/// Nothing, disc, square.
const CLASSES: usize = 3;

fn main() -> Result<(), Error> {
    let (x, masks) = draw(384, 1)?;
    let (x_test, masks_test) = draw(64, 2)?;
    let mut g = Graph::new();
    let image = g.input("image", [SIDE, SIDE, 1]);
    let mask = g.add_named("mask", UNet::new(CLASSES).filters(8).depth(3), image);
    let mut model = g.build([mask], 1)?;
    println!("{} weights", model.params().len());
    model.compile(
        Adam::default().learning_rate(2e-3),
        CategoricalCrossentropy::default(),
        [CategoricalAccuracy::default()],
    )?;
    model.fit(&x, &masks, &Fit::default().epochs(8).batch_size(16).validation_data(&x_test, &masks_test))?;

    let answers = model.predict(&x_test)?;
    let (said, truth) = (answers.argmax(), masks_test.argmax());
    for class in 0..CLASSES {
        let both = said.iter().zip(&truth).filter(|(a, b)| **a == class && **b == class).count();
        let either = said.iter().zip(&truth).filter(|(a, b)| **a == class || **b == class).count();
        let name = ["nothing", "disc", "square"][class];
        println!("{name}: {:.1}% of the pixels in either are in both", 100.0 * both as f64 / either.max(1) as f64);
    }
    println!("\npicture, what is there, what was found:\n");
    for line in 0..SIDE {
        let shade = |v: f32| [' ', '.', ':', 'o', '#'][(v * 4.99).clamp(0.0, 4.0) as usize];
        let sign = |class: usize| [' ', 'o', '#'][class];
        let row = line * SIDE..(line + 1) * SIDE;
        let picture: String = x_test.row(0)[row.clone()].iter().map(|v| shade(*v)).collect();
        let [there, found] = [&truth, &said].map(|m| m[row.clone()].iter().map(|c| sign(*c)).collect::<String>());
        println!("{picture}  |{there}|  |{found}|");
    }
    #[cfg(feature = "image")]
    {
        let out = std::env::args().skip_while(|a| a != "--out").nth(1);
        let out = out.map_or_else(|| std::env::temp_dir().join("unet_masks.png"), std::path::PathBuf::from);
        picture(&x_test, &truth, &said, &out)?;
        println!("\npicture: {}", out.display());
    }
    Ok(())
}

/// Pictures with discs and squares in noise, and the class of every pixel, one-hot.
fn draw(n: usize, seed: u64) -> Result<(Tensor, Tensor), Error> {
    let mut x = Tensor::zeros([n, SIDE, SIDE, 1]);
    let mut masks = Tensor::zeros([n, SIDE, SIDE, CLASSES]);
    for i in 0..n {
        let key = Key::new(seed, Purpose::Data).with(i as u64);
        let number = |j: u64, below: usize| key.with(1).below(j, below);
        let shapes: Vec<[usize; 4]> = (0..2 + number(0, 2) as u64)
            .map(|s| {
                [
                    4 + number(10 * s + 1, 24),
                    4 + number(10 * s + 2, 24),
                    3 + number(10 * s + 3, 4),
                    number(10 * s + 4, 2),
                ]
            })
            .collect();
        for at in 0..SIDE * SIDE {
            let (row, column) = (at / SIDE, at % SIDE);
            let inside = |&&[r, c, size, square]: &&[usize; 4]| {
                let (dy, dx) = (row.abs_diff(r), column.abs_diff(c));
                if square == 1 { dy <= size && dx <= size } else { dy * dy + dx * dx <= size * size }
            };
            // The last one drawn lies on top.
            let class = shapes.iter().rev().find(inside).map_or(0, |shape| 1 + shape[3]);
            let light = if class == 0 { 0.25 } else { 0.65 };
            let noise = 0.35 * (key.with(2).unit(at as u64) - 0.5);
            x.row_mut(i)[at] = (light + noise) as f32;
            masks.row_mut(i)[at * CLASSES + class] = 1.0;
        }
    }
    Ok((x, masks))
}

/// The first eight pictures above what is there and what was found.
#[cfg(feature = "image")]
fn picture(x: &Tensor, truth: &[usize], said: &[usize], path: &std::path::Path) -> Result<(), Error> {
    const ZOOM: usize = 4;
    const SHOWN: usize = 8;
    let (high, wide, gap) = (3 * (SIDE * ZOOM + 4), SHOWN * (SIDE * ZOOM + 4), 4);
    let mut out = Tensor::full([high, wide, 3], 255.0f32);
    let color = |class: usize| [[40.0, 40.0, 60.0], [240.0, 190.0, 60.0], [70.0, 160.0, 240.0]][class];
    for line in 0..3 {
        for i in 0..SHOWN {
            for at in 0..SIDE * SIDE * ZOOM * ZOOM {
                let (r, c) = (at / (SIDE * ZOOM), at % (SIDE * ZOOM));
                let pixel = r / ZOOM * SIDE + c / ZOOM;
                let value = match line {
                    0 => [x.row(i)[pixel] * 255.0; 3],
                    1 => color(truth[i * SIDE * SIDE + pixel]),
                    _ => color(said[i * SIDE * SIDE + pixel]),
                };
                let to = ((line * (SIDE * ZOOM + gap) + r) * wide + i * (SIDE * ZOOM + gap) + c) * 3;
                out.as_mut_slice()[to..to + 3].copy_from_slice(&value);
            }
        }
    }
    save_image(&out, path)
}
