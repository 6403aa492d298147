//! Training on a folder of pictures, one sub-folder for each class.
//!
//! `cargo run --release --features image --example images_folder` paints a small folder of shapes for itself;
//! `cargo run --release --features image --example images_folder -- --data FOLDER` takes one of yours.

use std::path::{Path, PathBuf};

use gradus::prelude::*;
use gradus::random::{Key, Purpose};

const SIDE: usize = 32;

fn main() -> Result<(), Error> {
    let given = std::env::args().skip_while(|a| a != "--data").nth(1);
    let folder = match &given {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir().join(format!("gradus_shapes_{}", std::process::id())),
    };
    if given.is_none() {
        paint(&folder)?;
    }
    let result = train(&folder);
    if given.is_none() {
        let _ = std::fs::remove_dir_all(&folder);
    }
    result
}

fn train(folder: &Path) -> Result<(), Error> {
    let photos = ImageFolder::open(folder, [SIDE, SIDE], 3)?;
    let (n, classes) = (photos.files().len(), photos.class_names().to_vec());
    println!("{n} pictures of {}", classes.join(", "));

    // Every fifth picture is kept to test with.
    let all = photos.load()?;
    let (test, train): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| i % 5 == 0);
    let (x_test, y_test) = (all.x.select(&test)?, all.y.select(&test)?);
    let augment = Augment::new().rotation(20.0).shift([0.1, 0.1]).zoom(0.1).flip_horizontal().brightness(0.1);
    let data = Samples::new(all.x.select(&train)?, all.y.select(&train)?)?.augment(augment, 1);
    let data = data.shuffle(1).batch(32).prefetch(1)?;

    let mut model = Sequential::new([SIDE, SIDE, 3])
        .add(Rescaling::new(1.0 / 255.0))
        .add(Conv2d::new(16, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Conv2d::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Conv2d::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(GlobalMaxPooling2d::new())
        .add(Dropout::new(0.2))
        .add(Dense::new(classes.len()).activation(Activation::Softmax))
        .build(1)?;
    println!("{}", model.summary());
    model.compile(
        Adam::default().learning_rate(4e-3),
        SparseCategoricalCrossentropy::default(),
        [Accuracy::default()],
    )?;
    model.fit_dataset(&data, &Fit::default().epochs(25).validation_data(&x_test, &y_test), &mut [])?;

    println!("pictures to test with:");
    let p = model.predict(&x_test)?;
    for (i, &number) in test.iter().enumerate().step_by(7) {
        let best = p.row(i).iter().copied().fold(0.0, f32::max);
        let name = photos.files()[number].0.strip_prefix(folder).unwrap_or(&photos.files()[number].0).display();
        println!("  {name}: {} ({:.0}%)", classes[p.argmax()[i]], 100.0 * best);
    }
    Ok(())
}

/// Discs, squares and crosses of random place, size and colour, 80 of each.
fn paint(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io { file: folder.to_owned(), source };
    for (class, name) in ["cross", "disc", "square"].into_iter().enumerate() {
        std::fs::create_dir_all(folder.join(name)).map_err(failed)?;
        for i in 0..80 {
            let key = Key::new(class as u64, Purpose::Data).with(i);
            let [size, down, across] = [6.0 + 5.0 * key.unit(0), 12.0 + 16.0 * key.unit(1), 12.0 + 16.0 * key.unit(2)];
            let picture = Tensor::from_fn([40, 40, 3], |at| {
                let (v, u) = ((at / 120) as f64 - down, (at / 3 % 40) as f64 - across);
                let inside = match class {
                    0 => (v.abs() < size / 3.0 || u.abs() < size / 3.0) && v.abs().max(u.abs()) < size,
                    1 => v.hypot(u) < size,
                    _ => v.abs().max(u.abs()) < size * 0.9,
                };
                let color = |from: u64| 255.0 * key.unit(from + (at % 3) as u64);
                (if inside { 0.6 * color(10) + 100.0 } else { 0.4 * color(20) + 20.0 * key.unit(100 + at as u64) })
                    as f32
            });
            save_image(&picture, folder.join(name).join(format!("{i:02}.png")))?;
        }
    }
    Ok(())
}
