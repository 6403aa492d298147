//! Tells what pictures show, with a vision transformer from a folder of Hugging Face.
//!
//! `cargo run --release --features image --example vit_classify -- FOLDER PICTURE.jpg [PICTURE.png …]`; `--help` says where to get a folder. Without
//! arguments it makes a folder itself: a small vision transformer, trained for some seconds on the digits that come with the crate, saved, opened again,
//! and asked about files of digits that it has not seen.

use std::path::{Path, PathBuf};

use gradus::models::hf::{ImageClassifier, OpenOptions};
use gradus::prelude::*;

const HELP: &str = "usage: vit_classify [FOLDER PICTURE …]
  FOLDER   config.json, model.safetensors and preprocessor_config.json of a ViTForImageClassification:
           git clone https://huggingface.co/google/vit-base-patch16-224
  PICTURE  PNG or JPEG files";

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [first, ..] if first == "--help" || first == "-h" => {
            println!("{HELP}");
            Ok(())
        }
        [first, ..] if first.starts_with("--") => Err(Error::custom(format!("{first} is not known, see --help"))),
        [folder, pictures @ ..] if !pictures.is_empty() => {
            let pictures: Vec<PathBuf> = pictures.iter().map(PathBuf::from).collect();
            classify(Path::new(folder), &pictures)
        }
        [_] => Err(Error::custom("no pictures are given: pass one file or more behind the folder, see --help")),
        _ => {
            println!("No folder is given: a small model is made, and trained on digits (see --help).\n");
            let folder = std::env::temp_dir().join(format!("gradus_vit_{}", std::process::id()));
            std::fs::create_dir_all(&folder).map_err(Error::custom)?;
            let result = train(&folder).and_then(|pictures| classify(&folder, &pictures));
            let _ = std::fs::remove_dir_all(&folder);
            result
        }
    }
}

fn classify(folder: &Path, pictures: &[PathBuf]) -> Result<(), Error> {
    let classifier = ImageClassifier::from_pretrained(folder)?;
    for (picture, found) in pictures.iter().zip(classifier.classify(pictures)?) {
        println!("{}: {} ({:.1}%)", picture.display(), found.label, 100.0 * found.score);
    }
    Ok(())
}

/// Trains a small model into a folder, and writes pictures that it has not seen beside it.
fn train(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(Error::custom);
    write(
        "config.json",
        r#"{"model_type": "vit", "image_size": 8, "num_channels": 1, "patch_size": 2, "hidden_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 96, "layer_norm_eps": 1e-6}"#,
    )?;
    write(
        "preprocessor_config.json",
        r#"{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": 8, "width": 8}, "resample": 2,
            "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true, "image_mean": [0.3], "image_std": [0.35]}"#,
    )?;
    let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let mut classifier = ImageClassifier::<f32>::from_config(folder, &OpenOptions::default().labels(names).seed(1))?;

    // Digits as pictures from 0 to 255, prepared as the folder says.
    let (digits, processor) = (digits(), classifier.processor()?);
    let picture = |i: usize| Tensor::from_fn([8, 8, 1], |at| digits.x.row(i)[at] * (255.0 / 16.0));
    let mut x = Vec::new();
    for i in 0..1797 {
        x.extend_from_slice(processor.apply(&picture(i))?.as_slice());
    }
    let x = Tensor::new([1797, 8, 8, 1], x)?;
    let model = classifier.model_mut();
    println!("{} weights", model.params().len());
    let loss = SparseCategoricalCrossentropy::default().from_logits(true);
    let rate = OneCycle::new(4e-3, 15 * 1500u64.div_ceil(32));
    model.compile(AdamW::default().learning_rate(rate), loss, [Accuracy::default()])?;
    model.fit(&x.rows(0..1500)?, &digits.y.rows(0..1500)?, &Fit::default().epochs(15))?;
    println!("of 297 others: {}", model.evaluate(&x.rows(1500..1797)?, &digits.y.rows(1500..1797)?)?);
    classifier.save_pretrained(folder)?;

    // Larger pictures, which are brought to 8×8 pixels again.
    let mut files = Vec::new();
    for i in (1500..1797).step_by(30) {
        let file = folder.join(format!("a_{}_of_digit_{i}.png", names[digits.y.as_slice()[i] as usize]));
        save_image(&resize_image(&picture(i), [40, 40])?, &file)?;
        files.push(file);
    }
    Ok(files)
}
