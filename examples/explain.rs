//! Asks two models why they answer as they do: which pixels make a digit, which measurements make a flower.
//!
//! `cargo run --release --example explain`; with `--features plot` it leaves pictures in the temporary folder too.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    digits_by_pixels()?;
    flowers_by_measurements()
}

fn digits_by_pixels() -> Result<(), Error> {
    let digits = digits();
    let x = digits.x.map(|pixel| pixel / 16.0);
    let parts = train_test_split(&x, &digits.y, &Split::default().stratify(true))?;
    let mut model = Sequential::new([64])
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(0)?;
    model.compile(Adam::default().learning_rate(0.003), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&parts.x_train, &parts.y_train, &Fit::default().epochs(25).verbose(Verbose::Silent))?;
    println!("digits: test {}\n", model.evaluate(&parts.x_test, &parts.y_test)?);

    // One image of a 0, a 3 and a 4 that the model has not seen.
    let labels = parts.y_test.to_labels();
    let chosen: Vec<usize> = [0, 3, 4].iter().filter_map(|d| labels.iter().position(|l| l == d)).collect();
    let x = parts.x_test.select(&chosen)?;

    // How strongly the score of the predicted class depends on each pixel, and what part of it each pixel has, compared with
    // an empty image. The parts sum to the score above that of the empty image.
    let map = saliency(&model, &x, Target::predicted())?;
    let parts = IntegratedGradients::default().attribute(&model, &x, Target::predicted())?;
    let positive = parts.values.clone().map(|v| v.max(0.0));
    let negative = parts.values.clone().map(|v| (-v).max(0.0));
    for i in 0..x.samples() {
        println!("{:<18}{:<18}{:<18}{:<18}", "image", "saliency", "speaks for it", "against it");
        let pictures = [&x, &map, &positive, &negative].map(|p| p.row(i));
        // For and against on one scale.
        let top = largest(pictures[2]).max(largest(pictures[3]));
        let tops = [largest(pictures[0]), largest(pictures[1]), top, top];
        for line in 0..8 {
            let cells: Vec<_> = pictures.iter().zip(tops).map(|(p, top)| shades(&p[line * 8..][..8], top)).collect();
            println!("{}", cells.join("  "));
        }
        let sum: f64 = parts.values.row(i).iter().map(|v| f64::from(*v)).sum();
        let (whole, empty) = (parts.outputs[i], parts.baseline_outputs[i]);
        println!(
            "taken for {}: score {whole:.3}, empty image {empty:.3}, difference {:.3}, sum of the parts {sum:.3}\n",
            parts.targets[i],
            whole - empty,
        );
    }
    #[cfg(feature = "plot")]
    for i in 0..x.samples() {
        let picture = |values: &[f32], what: &str| {
            let digit = Tensor::new([8, 8], values.to_vec())?;
            let title = format!("{what} of a {}", [0, 3, 4][i]);
            HeatMap::new(&digit)?.title(&title).save(folder()?.join(format!("{what}_{i}.png")))
        };
        picture(x.row(i), "image")?;
        picture(map.row(i), "saliency")?;
        picture(parts.values.row(i), "attributions")?;
    }
    Ok(())
}

fn flowers_by_measurements() -> Result<(), Error> {
    let iris = iris();
    let parts = train_test_split(&iris.x, &iris.y, &Split::default().test_size(0.4).stratify(true))?;
    let mut model = Sequential::new([4])
        .add(Normalization::new().adapt(&parts.x_train)?)
        .add(Dense::new(16).activation(Activation::Tanh))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(0)?;
    model.compile(Adam::default().learning_rate(0.02), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&parts.x_train, &parts.y_train, &Fit::default().epochs(60).verbose(Verbose::Silent))?;
    println!("iris: test {}", model.evaluate(&parts.x_test, &parts.y_test)?);

    // What the accuracy loses when a measurement is dealt out anew among the flowers; then both of a leaf together.
    let how = PermutationImportance::default().repeats(20);
    let each = how.clone().names(iris.feature_names).of_model(&model, &parts.x_test, &parts.y_test, "accuracy")?;
    println!("\n{each}");
    #[cfg(feature = "plot")]
    {
        let means: Vec<f64> = (0..each.names.len()).map(|i| each.mean(i)).collect();
        Bars::new(&each.names, &means)?.title("What the accuracy loses").save(folder()?.join("importance.svg"))?;
        println!("\nthe pictures are in {}", folder()?.display());
    }
    let leaves = how.groups([[0, 1], [2, 3]]).names(["sepal", "petal"]);
    println!("\n{}", leaves.of_model(&model, &parts.x_test, &parts.y_test, "accuracy")?);
    Ok(())
}

/// Where the pictures go.
#[cfg(feature = "plot")]
fn folder() -> Result<std::path::PathBuf, Error> {
    let folder = std::env::temp_dir().join("gradus_explain");
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;
    Ok(folder)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().copied().fold(0.0, f32::max)
}

/// A line of a picture, two characters a pixel, from 0 (a dot) to `top`.
fn shades(line: &[f32], top: f32) -> String {
    const SHADES: [&str; 5] = ["· ", "░░", "▒▒", "▓▓", "██"];
    let shade = |v: &f32| SHADES[((v / top.max(f32::MIN_POSITIVE) * 4.0).round() as usize).min(4)];
    line.iter().map(shade).collect()
}
