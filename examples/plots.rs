//! All pictures of a small training: `cargo run --release --features plot --example plots [folder]`.

use std::path::PathBuf;

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("gradus_plots"), PathBuf::from);
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;
    let digits = digits();
    let x = StandardScaler::fit(&digits.x)?.transform(&digits.x)?;
    let mut model = Sequential::new([64])
        .add_named("hidden", Dense::new(64).activation(Activation::Relu))
        .add(
            Residual::new().add(Dense::new(32).activation(Activation::Relu)).add(Dropout::new(0.2)).add(Dense::new(64)),
        )
        .add_named("classes", Dense::new(10).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    let how = Fit::default().epochs(25).validation_split(0.2).verbose(Verbose::Silent);
    let history = model.fit(&x, &digits.y, &how)?;

    println!("{}", history.plot());
    println!("{}", history.plot().figures(&["accuracy", "val_accuracy"])?.size(60, 12).ascii(true));
    let curves = Curves::of(&history).title("Handwritten digits");
    let predicted = model.predict_classes(&x)?;
    let matrix = ConfusionMatrix::new(&digits.y.to_labels(), &predicted, 10)?;
    let matrix =
        matrix.class_names(&["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])?;
    let confusion = ConfusionPlot::of(&matrix).title("Which digits are taken for which");
    let means: Vec<f64> = (0..10).map(|c| matrix[[c, c]] as f64 / 180.0 - 0.9).collect();
    let bars = Bars::new(matrix.names(), &means)?.title("Digits found, per 180, above 0.9").axis("share");
    let kernel = Tensor::new([64, 64], model.weight("hidden/kernel")?.to_vec())?;
    let map = HeatMap::new(&kernel)?.title("hidden/kernel");
    let weights = Histograms::of_weights(&model)?.title("Weights");
    let outputs = Histograms::of_activations(&model, &x)?.title("Outputs of the layers");
    let drawing = ModelPlot::of(&model)?.title("The model");
    for extension in ["svg", "png"] {
        let file = |name: &str| folder.join(name).with_extension(extension);
        confusion.save(file("confusion"))?;
        bars.save(file("bars"))?;
        map.save(file("heat_map"))?;
        weights.save(file("weights"))?;
        outputs.save(file("outputs"))?;
        drawing.save(file("model"))?;
        curves.save(file("curves"))?;
        curves.clone().log_scale(true).save(file("curves_log"))?;
    }
    println!("the pictures are in {}", folder.display());
    Ok(())
}
