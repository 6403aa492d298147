//! Folders of models of pictures: opened, asked for files, trained on, saved again; and what is said of those that cannot be had.

use std::path::{Path, PathBuf};

use gradus::models::hf::{Encoder, ImageClassifier, OpenOptions, SequenceClassifier};
use gradus::prelude::*;
use serde_json::{Value, json};

use crate::files::{Folder, silent};
use crate::hf::{copied, edit, rewrite, says};

/// The settings that published folders have, for pictures of 12 by 12.
fn settings() -> Value {
    json!({
        "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2],
        "image_processor_type": "ViTImageProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
        "size": {"height": 12, "width": 12}
    })
}

fn with_processor(name: &str, change: impl FnOnce(&mut Value)) -> Folder {
    let folder = copied("vit", name);
    let mut values = settings();
    change(&mut values);
    std::fs::write(folder.path("preprocessor_config.json"), values.to_string()).unwrap();
    folder
}

/// Files of pictures of this size.
fn painted(folder: &Folder, n: usize, [height, width]: [usize; 2], channels: usize) -> Vec<PathBuf> {
    let paint = |i: usize| {
        let path = folder.path(&format!("{i}_{height}x{width}x{channels}.png"));
        let x = Tensor::from_fn([height, width, channels], |at| ((at * (i + 3) * 37 + at * at * 11) % 256) as f32);
        save_image(&x, &path).unwrap();
        path
    };
    (0..n).map(paint).collect()
}

/// Without the feature `image` too.
#[test]
fn a_classifier_is_opened_and_trained_and_saved() {
    let folder = copied("vit", "hf_vit");
    let mut classifier = ImageClassifier::from_pretrained(&folder.0).unwrap();
    assert_eq!(classifier.labels().unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"]);
    assert_eq!((classifier.vocab_size(), classifier.max_positions()), (0, 10));
    assert_eq!(classifier.model().input_names(), ["pixel_values"]);
    let x = Tensor::from_fn([4, 12, 12, 3], |i| ((i * 37 % 101) as f32 - 50.0) / 50.0);
    let y = Tensor::from([0.0, 1.0, 2.0, 3.0]);
    let model = classifier.model_mut();
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default().from_logits(true), ()).unwrap();
    let before = model.evaluate(&x, &y).unwrap();
    model.fit(&x, &y, &silent().epochs(30)).unwrap();
    let after = model.evaluate(&x, &y).unwrap();
    assert!(after.loss < 0.5 * before.loss, "{before:?} {after:?}");
    let saved = Folder::new("hf_vit_saved");
    classifier.save_pretrained(&saved.0).unwrap();
    let again = ImageClassifier::from_pretrained(&saved.0).unwrap();
    assert_eq!(again.model().predict(&x).unwrap(), classifier.model().predict(&x).unwrap());
    // A picture of another size has other positions, which are not built.
    let error = classifier.model().predict(&Tensor::zeros([1, 16, 16, 3])).unwrap_err().to_string();
    says(&error, &["[12, 12, 3]", "16"]);
    // Steps without a head.
    let encoder = Encoder::from_pretrained(&folder.0).unwrap();
    assert_eq!(encoder.model().output_shapes(), [Shape::from([10, 20])]);
    says(&SequenceClassifier::from_pretrained(&folder.0).unwrap_err().to_string(), &["ViTForImageClassification"]);
}

#[test]
fn forms_of_folders() {
    // A pooler that a classifier does not read, names without what stands before them, sides apart.
    let folder = copied("vit", "hf_vit_base");
    rewrite(folder.path("model.safetensors"), |tensors| {
        let (dtype, ..) = tensors["classifier.bias"];
        tensors.retain(|name, _| !name.starts_with("classifier."));
        let bare = |name: String| name.strip_prefix("vit.").unwrap().to_owned();
        *tensors = std::mem::take(tensors).into_iter().map(|(name, stored)| (bare(name), stored)).collect();
        tensors.insert("pooler.dense.weight".into(), (dtype, vec![20, 20], vec![0; 1600]));
        tensors.insert("pooler.dense.bias".into(), (dtype, vec![20], vec![0; 80]));
    });
    edit(folder.path("config.json"), |c| {
        c["architectures"] = json!(["ViTModel"]);
        c["image_size"] = json!([12, 12]);
        c["patch_size"] = json!([4, 4]);
    });
    let encoder = Encoder::from_pretrained(&folder.0).unwrap();
    assert_eq!(encoder.model().output_shapes(), [Shape::from([10, 20]), [20].into()]);
    let whole = Encoder::from_pretrained(copied("vit", "hf_vit_whole").0.as_path()).unwrap();
    let x = Tensor::from_fn([2, 12, 12, 3], |i| (i % 7) as f32);
    assert_eq!(encoder.model().predict_all(&x).unwrap()[0], whole.model().predict(&x).unwrap());
    // A head of one's own.
    says(
        &ImageClassifier::from_pretrained(&folder.0).unwrap_err().to_string(),
        &["missing: classifier.weight, classifier.bias"],
    );
    let options = OpenOptions::default().labels(["bee", "wasp"]);
    let classifier = ImageClassifier::<f32>::open(&folder.0, &options).unwrap();
    assert_eq!(classifier.labels().unwrap(), ["bee", "wasp"]);
    assert_eq!(classifier.model().output_shape(), [2].into());

    // Without biases of queries, keys and values.
    let folder = copied("vit", "hf_vit_bias");
    edit(folder.path("config.json"), |c| c["qkv_bias"] = false.into());
    says(
        &ImageClassifier::from_pretrained(&folder.0).unwrap_err().to_string(),
        &["unexpected", "attention.query.bias"],
    );
    rewrite(folder.path("model.safetensors"), |tensors| {
        tensors.retain(|name, _| !(name.contains("attention.attention") && name.ends_with("bias")));
    });
    ImageClassifier::from_pretrained(&folder.0).unwrap();
}

#[test]
fn what_does_not_fit_is_named() {
    for (key, value, parts) in [
        ("image_size", json!(16), &["position_embeddings [1, 10, 20] instead of [1, 17, 20]"][..]),
        ("image_size", json!([12, 12, 3]), &["image_size is [12,12,3], expected a whole number, or two"]),
        ("image_size", json!(1u64 << 39), &["memory"]),
        ("patch_size", json!(0), &["patch must be from 1 to"]),
        ("patch_size", json!(13), &["patch must be from 1 to"]),
        ("num_channels", json!(1), &["projection.weight [20, 3, 4, 4] instead of [20, 1, 4, 4]"]),
        ("hidden_act", json!("quick_gelu"), &["hidden_act is \"quick_gelu\""]),
        ("num_hidden_layers", json!(1000), &["num_hidden_layers is 1000"]),
        ("my_scale", json!(2), &["my_scale: 2"]),
    ] {
        let folder = copied("vit", "hf_vit_config");
        edit(folder.path("config.json"), |c| c[key] = value.clone());
        says(&ImageClassifier::from_pretrained(&folder.0).unwrap_err().to_string(), parts);
    }
}

/// A model of `config.json` alone.
#[test]
fn weights_are_drawn() {
    let folder = copied("vit", "hf_vit_drawn");
    std::fs::remove_file(folder.path("model.safetensors")).unwrap();
    says(&ImageClassifier::from_pretrained(&folder.0).unwrap_err().to_string(), &["no model.safetensors"]);
    let drawn = |seed: u64| {
        let options = OpenOptions::default().labels(["a", "b", "c"]).seed(seed);
        ImageClassifier::<f32>::from_config(&folder.0, &options).unwrap()
    };
    let classifier = drawn(1);
    assert_eq!(classifier.model().params(), drawn(1).model().params());
    assert_ne!(classifier.model().params(), drawn(2).model().params());
    let kernel = classifier.model().weight("block_1/hidden/kernel").unwrap();
    assert!(kernel.iter().all(|w| w.abs() <= 0.04) && kernel.iter().any(|w| *w != 0.0));
    let saved = Folder::new("hf_vit_drawn_saved");
    classifier.save_pretrained(&saved.0).unwrap();
    let again = ImageClassifier::from_pretrained(&saved.0).unwrap();
    assert_eq!(again.model().params(), classifier.model().params());
    assert_eq!(again.labels().unwrap(), ["a", "b", "c"]);
    // Weights that are there are not read, and may be of another model.
    let other = copied("vit", "hf_vit_other");
    edit(other.path("config.json"), |c| c["hidden_size"] = 24.into());
    let classifier = ImageClassifier::<f64>::from_config(&other.0, &OpenOptions::default()).unwrap();
    assert_eq!(classifier.model().output_shape(), [5].into());
    edit(other.path("config.json"), |c| c["num_hidden_layers"] = 1_000_000.into());
    let error = ImageClassifier::<f32>::from_config(&other.0, &OpenOptions::default()).unwrap_err();
    says(&error.to_string(), &["num_hidden_layers is 1000000"]);
}

#[cfg(feature = "image")]
mod files {
    use super::*;
    use gradus::models::hf::ImageProcessor;

    #[test]
    fn files_are_classified() {
        let folder = with_processor("hf_vit_files", |_| ());
        let classifier = ImageClassifier::from_pretrained(&folder.0).unwrap();
        let mut files = painted(&folder, 3, [12, 12], 3);
        files.extend(painted(&folder, 2, [31, 17], 3));
        files.extend(painted(&folder, 1, [9, 30], 1));
        let found = classifier.classify(&files).unwrap();
        let logits = classifier.logits(&files).unwrap();
        assert_eq!(logits.dims(), [6, 5]);
        for (i, found) in found.iter().enumerate() {
            let row = logits.row(i);
            let best = (0..5).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            assert_eq!((found.class, found.label.as_str()), (best, &*format!("LABEL_{best}")));
            assert!(found.score > 0.2 && found.score < 1.0);
            // Alone, and many at a time.
            assert_eq!(classifier.logits(&files[i..=i]).unwrap().row(0), row);
        }
        let many: Vec<&Path> = (0..70).map(|i| files[i % 6].as_path()).collect();
        assert!(classifier.logits(&many).unwrap().as_slice().chunks(30).all(|six| logits.as_slice().starts_with(six)));
        assert!(classifier.classify::<&Path>(&[]).unwrap().is_empty());

        // (pixel · factor − mean) / std, with channels last; the same from memory.
        let x = classifier.inputs(&files).unwrap();
        let pixels: Tensor = read_image(&files[1], 3).unwrap();
        for (i, (x, pixel)) in x.row(1).iter().zip(&pixels).enumerate() {
            let (mean, std) = ([0.5, 0.4, 0.3][i % 3], [0.5, 0.25, 0.2][i % 3]);
            assert!((f64::from(*x) - (f64::from(*pixel) / 255.0 - mean) / std).abs() < 1e-6);
        }
        let processor = classifier.processor().unwrap();
        assert_eq!(processor.size(), Some([12, 12]));
        for (i, file) in files.iter().enumerate() {
            assert_eq!(processor.read::<f32>(file).unwrap().as_slice(), x.row(i), "{i}");
            let own: Tensor = read_image(file, 3).unwrap();
            assert_eq!(processor.apply(&own).unwrap().as_slice(), x.row(i), "{i}");
        }
        // The file goes along.
        let saved = Folder::new("hf_vit_files_saved");
        classifier.save_pretrained(&saved.0).unwrap();
        assert_eq!(ImageClassifier::from_pretrained(&saved.0).unwrap().logits(&files).unwrap(), logits);
        let error = classifier.inputs(&[folder.path("nowhere.png"), files[0].clone()]).unwrap_err().to_string();
        says(&error, &["nowhere.png"]);
        std::fs::write(folder.path("text.png"), "no picture").unwrap();
        says(&classifier.inputs(&[folder.path("text.png")]).unwrap_err().to_string(), &["text.png", "no PNG or JPEG"]);
    }

    #[test]
    fn settings_of_processors() {
        let inputs = |change: fn(&mut Value), size: [usize; 2]| {
            let folder = with_processor("hf_vit_settings", change);
            let files = painted(&folder, 1, size, 3);
            let pixels: Tensor = read_image(&files[0], 3).unwrap();
            (ImageClassifier::from_pretrained(&folder.0).unwrap().inputs(&files), pixels)
        };
        let (x, pixels) = inputs(|p| p["do_normalize"] = false.into(), [12, 12]);
        assert!(x.unwrap().iter().zip(&pixels).all(|(x, v)| (x - v / 255.0).abs() < 1e-6));
        let (x, pixels) = inputs(|p| p["do_rescale"] = false.into(), [12, 12]);
        assert!(
            x.unwrap()
                .iter()
                .zip(&pixels)
                .take(3)
                .zip([(0.5, 0.5), (0.4, 0.25), (0.3, 0.2)])
                .all(|((x, v), (mean, std))| { (x - (v - mean) / std).abs() < 1e-3 })
        );
        // One number for all channels, both sides, and words of old and new folders.
        let old = |p: &mut Value| {
            *p = json!({"feature_extractor_type": "ViTFeatureExtractor", "size": 12, "image_mean": 0.5, "image_std": [0.5], "crop_size": null,
                "data_format": "channels_first", "do_center_crop": null, "default_to_square": true, "return_tensors": null})
        };
        let (x, pixels) = inputs(old, [12, 12]);
        assert!(x.unwrap().iter().zip(&pixels).all(|(x, v)| (x - (v / 127.5 - 1.0)).abs() < 1e-6));
        let nearest = |p: &mut Value| {
            p["resample"] = 0.into();
            p["do_normalize"] = false.into();
            p["do_rescale"] = false.into();
        };
        let (x, pixels) = inputs(nearest, [24, 36]);
        let x = x.unwrap();
        for (i, x) in x.iter().enumerate() {
            let (y, u, c) = (i / 36, i / 3 % 12, i % 3);
            assert_eq!(*x, pixels.as_slice()[((2 * y + 1) * 36 + 3 * u + 1) * 3 + c]);
        }
        // Pictures that have to have the size.
        let (x, _) = inputs(|p| p["do_resize"] = false.into(), [12, 12]);
        x.unwrap();
        let (x, _) = inputs(|p| p["do_resize"] = false.into(), [12, 13]);
        says(&x.unwrap_err().to_string(), &["[12, 13]", "[12, 12]"]);
        let (x, _) = inputs(|p| p["size"] = 16.into(), [12, 12]);
        says(&x.unwrap_err().to_string(), &["pictures become [16, 16]", "image_size"]);
    }

    #[test]
    fn what_a_processor_does_not_do_is_named() {
        for (key, value) in [
            ("do_center_crop", json!(true)),
            ("do_pad", json!(true)),
            ("default_to_square", json!(false)),
            ("size", json!({"shortest_edge": 12})),
            ("size", json!({"height": 12})),
            ("size", json!({"height": 0, "width": 12})),
            ("size", json!(-3)),
            ("size", json!(1u64 << 40)),
            ("resample", json!(6)),
            ("resample", json!("bilinear")),
            ("rescale_factor", json!("small")),
            ("image_mean", json!([])),
            ("image_mean", json!([0.1, "x", 0.2])),
            ("image_std", json!([0.1, 0.0, 0.2])),
            ("image_std", json!([0.1, 0.2])),
            ("do_resize", json!("yes")),
            ("image_processor_type", json!("CLIPImageProcessor")),
            ("do_rotate", json!(true)),
        ] {
            let folder = with_processor("hf_vit_refused", |p| p[key] = value.clone());
            let error = ImageProcessor::open(&folder.0).unwrap_err().to_string();
            says(&error, &["preprocessor_config.json", key]);
        }
        let folder = copied("vit", "hf_vit_bare");
        let classifier = ImageClassifier::from_pretrained(&folder.0).unwrap();
        says(&classifier.processor().unwrap_err().to_string(), &["no preprocessor_config.json"]);
        // Of another number of channels.
        let folder = with_processor("hf_vit_channels", |p| {
            p["image_mean"] = json!([0.5]);
            p["image_std"] = json!([0.5]);
        });
        let processor = ImageProcessor::open(&folder.0).unwrap();
        assert_eq!(processor.apply(&Tensor::<f32>::zeros([3, 5, 1])).unwrap().dims(), [12, 12, 1]);
        for bad in [Tensor::<f32>::zeros([3, 5]), Tensor::zeros([3, 5, 4]), Tensor::full([3, 5, 1], f32::NAN)] {
            assert!(processor.apply(&bad).is_err());
        }
        let three = with_processor("hf_vit_three", |_| ());
        says(
            &ImageProcessor::open(&three.0).unwrap().apply(&Tensor::<f64>::zeros([3, 5, 1])).unwrap_err().to_string(),
            &["3 channels"],
        );
        // A file that is none.
        std::fs::write(three.path("preprocessor_config.json"), "[1]").unwrap();
        says(&ImageProcessor::open(&three.0).unwrap_err().to_string(), &["expected an object of JSON"]);
    }
}
