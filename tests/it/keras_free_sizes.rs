//! Keras's models whose inputs leave sizes open: `tests/interop/keras_free_sizes.py` made them.

use gradus::io::Archive;
use gradus::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use support::fixtures;

use super::keras_files::{Temporary, alone};
use super::keras_graphs::{archived, parts};

const MODELS: [&str; 10] =
    ["sequence", "image", "concatenated", "summed", "words", "nested", "attention", "shapes", "sequences", "images"];

/// A model's file.
fn path(name: &str) -> String {
    format!("keras_free_sizes/{name}/model.keras")
}

fn load<T: Float>(name: &str) -> Model<T> {
    let file = Temporary::new("free.keras");
    std::fs::write(&file.0, fixtures::read(&path(name))).unwrap();
    Model::of_keras(&file.0).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Loads a file of this architecture with a fixture's weights.
fn with(name: &str, edit: impl Fn(&mut Value)) -> gradus::Result<Model<f64>> {
    let (config, weights) = parts(&path(name));
    let mut config = serde_json::from_str(&config).unwrap();
    edit(&mut config);
    let file = Temporary::new("edited.keras");
    std::fs::write(&file.0, archived(&config.to_string(), &weights)).unwrap();
    Model::of_keras(&file.0)
}

/// Inputs and outputs of the two batches of a model.
fn batches<T: Float>(name: &str) -> Vec<[Vec<Tensor<T>>; 2]> {
    let bytes = fixtures::read(&format!("keras_free_sizes/{name}/reference.safetensors"));
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let all = |batch: usize, what: &str| -> Vec<Tensor<T>> {
        (0..).map_while(|i| fixtures::tensor(&case, &format!("{batch}.{what}.{i}"))).collect()
    };
    (0..2).map(|batch| [all(batch, "input"), all(batch, "output")]).collect()
}

/// The largest error of what a model predicts.
fn error<T: Float>(model: &Model<T>, name: &str) -> f64 {
    let mut largest = 0.0f64;
    let batches = batches::<T>(name);
    // One after the other and back.
    for [x, y] in batches.iter().chain(&batches) {
        let got = model.predict_all(x).unwrap();
        assert_eq!(got.len(), y.len(), "{name}");
        for (got, y) in got.iter().zip(y) {
            assert_eq!(got.dims(), y.dims(), "{name}");
            let errors =
                got.iter().zip(y.iter()).map(|(a, b)| fixtures::error(a.to_f64().unwrap(), b.to_f64().unwrap()));
            largest = errors.fold(largest, f64::max);
        }
    }
    largest
}

#[test]
fn predictions_agree_with_keras() {
    let _alone = alone();
    for name in MODELS {
        let model = load::<f64>(name);
        assert!(model.input_shapes().iter().any(|shape| shape.is_free()), "{name}");
        let error = error(&model, name);
        // Keras holds GELU's √2 in single precision, which "nested" goes through.
        let allowed = if name == "nested" { 3e-8 } else { 1e-9 };
        assert!(error < allowed, "{name}: {error:.1e}");
    }
    assert_eq!(load::<f32>("image").input_shape(), Shape::from([FREE, FREE, 3]));
    let summed = load::<f32>("summed");
    assert_eq!((summed.input_shapes()[1], summed.output_shape()), ([FREE, 4].into(), [FREE, 2].into()));
    assert_eq!(load::<f32>("images").input_shape(), Shape::from([6, FREE, 2]));
}

#[test]
fn they_train_on_and_are_saved() {
    let _alone = alone();
    for name in MODELS {
        let mut model = load::<f64>(name);
        assert_eq!(model.compile_problem(), None);
        if !["sequence", "image"].contains(&name) {
            let heads = model.output_names();
            let heads = heads.iter().map(|output| Head::new(output).loss(MeanSquaredError::default()));
            model.compile_heads(Sgd::default().learning_rate(0.01), heads.collect::<Vec<_>>()).unwrap();
        }
        let before = model.params().values().to_vec();
        let how = Fit::default().epochs(2).verbose(Verbose::Silent);
        for [x, y] in batches::<f64>(name) {
            let y = match name {
                "image" => vec![Tensor::from_labels(&[0, 2, 1])],
                _ => y.into_iter().map(|y| y.map(|v| v + 0.5)).collect(),
            };
            let history = model.fit(&x, &y, &how);
            let history = history.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(history.get("loss").unwrap().iter().all(|loss| loss.is_finite()), "{name}");
        }
        assert!(model.params().values() != before, "{name}");
        let file = Temporary::new("free.safetensors");
        model.save(&file.0).unwrap();
        let loaded =
            Model::<f64>::of_archive(&mut Archive::from_bytes(&std::fs::read(&file.0).unwrap()).unwrap()).unwrap();
        assert_eq!(loaded.input_shapes(), model.input_shapes(), "{name}");
        for [x, _] in batches::<f64>(name) {
            assert_eq!(loaded.predict_all(&x).unwrap(), model.predict_all(&x).unwrap(), "{name}");
        }
    }
}

/// All ways in which an input's shape may be written.
#[test]
fn spellings_of_an_input() {
    let _alone = alone();
    let spelled = |settings: Value| {
        with("sequence", |config| {
            let input = config["config"]["layers"][0]["config"].as_object_mut().unwrap();
            input.remove("batch_shape").unwrap();
            input.extend(settings.as_object().unwrap().clone());
        })
    };
    for settings in [
        json!({"batch_shape": [null, null, 3]}),
        json!({"batch_shape": [32, null, 3]}),
        json!({"batch_input_shape": [null, null, 3]}),
        json!({"shape": [null, 3]}),
        json!({"shape": [null, 3], "batch_size": 8}),
        json!({"input_shape": [null, 3], "batch_shape": null}),
    ] {
        let model = spelled(settings).unwrap();
        assert_eq!(model.input_shape(), Shape::from([FREE, 3]));
        assert!(error(&model, "sequence") < 1e-9);
    }
    assert_eq!(spelled(json!({"shape": [9, 3]})).unwrap().input_shape(), Shape::from([9, 3]));
    for (settings, problem) in [
        (json!({}), "no batch_shape"),
        (json!({"batch_shape": [null, null, 3], "shape": [5, 3]}), "batch_shape and shape, where one is expected"),
        (json!({"batch_shape": []}), "batch_shape=[]: no batch axis"),
        (json!({"shape": 3}), "shape=3: sizes, or None, are expected"),
        (json!({"shape": [-1, 3]}), "shape=[-1,3]: sizes, or None, are expected"),
        // The number that stands for a free size here is none in a file.
        (json!({"shape": [FREE, 3]}), "shape=[9223372036854775808,3]: no size is that large"),
        (json!({"shape": [null, 1, 1, 1, 1, 1, 3]}), "at most 6 axes"),
    ] {
        let error = spelled(settings).unwrap_err().to_string();
        assert!(error.contains("(InputLayer): ") && error.contains(problem), "{error}");
    }
    // A Sequential that was built by a call says how it was called.
    let called = with("sequence", |config| {
        config["config"]["layers"].as_array_mut().unwrap().remove(0);
        config["config"]["build_input_shape"] = json!([null, null, 3]);
    });
    assert!(error(&called.unwrap(), "sequence") < 1e-9);
    let called = with("sequence", |config| {
        config["config"]["layers"].as_array_mut().unwrap().remove(0);
        config["config"]["build_input_shape"] = json!([null, FREE, 3]);
    });
    let error = called.unwrap_err().to_string();
    assert!(error.contains("build_input_shape=[None,9223372036854775808,3]: no size is that large"), "{error}");
}

/// A layer of Keras's, as it stands in a Sequential.
fn layer(class: &str, settings: Value) -> Value {
    let mut config = settings;
    config["name"] = json!(class.to_lowercase());
    json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null})
}

#[test]
fn layers_that_need_a_fixed_size() {
    let _alone = alone();
    let says = |layers: &[Value]| {
        let changed = with("sequence", |config| {
            let own = config["config"]["layers"].as_array_mut().unwrap();
            own.splice(4..5, layers.iter().cloned());
        });
        let error = changed.unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        let text = error.to_string();
        text.split_once("edited.keras").unwrap().1.split_once(": ").unwrap().1.to_owned()
    };
    let fixed = "build the model with fixed sizes in the place of None in keras.Input((None, 3), name=\"input_layer\"), and give it the \
                 same weights: new.set_weights(model.get_weights())";
    let pool = "write keras.layers.GlobalAveragePooling1D() or 2D() in the place of Flatten()";
    assert_eq!(
        says(&[layer("Flatten", json!({}))]),
        format!(
            "dense: Dense: expected a last axis of fixed size, for which there are weights, got [free]; fix that size, or bring the free \
             axes to one size before: GlobalAveragePooling1d in the place of a Flatten; in Python: {pool}, or {fixed}"
        )
    );
    let reshape = "write -1 in keras.layers.Reshape for the size that follows from the others";
    assert_eq!(
        says(&[layer("Reshape", json!({"target_shape": [12]}))]),
        format!(
            "reshape: Reshape: expected a target with a -1, as the number of values of [free, 4] is free, got [12]; put -1 in the place of \
             the size that follows from the free ones; in Python: {reshape}, or {fixed}"
        )
    );
    for (class, settings) in [
        ("LayerNormalization", json!({})),
        ("BatchNormalization", json!({})),
        ("RMSNormalization", json!({})),
        ("GroupNormalization", json!({"groups": 2})),
        ("PReLU", json!({})),
    ] {
        let said = says(&[layer("Permute", json!({"dims": [2, 1]})), layer(class, settings)]);
        assert!(said.starts_with(&format!("{}: ", class.to_lowercase())) && said.ends_with(fixed), "{said}");
    }
    // In a model inside the path says where.
    let inside = with("nested", |config| {
        let layers = config["config"]["layers"].as_array_mut().unwrap();
        let part = layers.iter_mut().find(|layer| layer["name"] == "part").unwrap();
        let inner = part["config"]["layers"].as_array_mut().unwrap();
        let pool = inner.iter_mut().find(|layer| layer["class_name"] == "GlobalMaxPooling1D").unwrap();
        let name = pool["name"].clone();
        pool["class_name"] = json!("Reshape");
        pool["config"] = json!({"name": name, "target_shape": [3]});
    });
    let error = inside.unwrap_err().to_string();
    assert!(error.contains(": part/global_max_pooling1d_1: Reshape: expected a target with a -1"), "{error}");
}

/// Sizes that cannot work are found when a batch has them.
#[test]
fn batches_of_other_sizes() {
    let _alone = alone();
    let model = load::<f32>("sequence");
    let error = model.predict(&Tensor::zeros([2, 1, 3])).unwrap_err().to_string();
    assert!(error.starts_with("layer 1 (max_pooling1d): "), "{error}");
    let error = model.predict(&Tensor::zeros([2, 5, 4])).unwrap_err().to_string();
    assert!(error.contains("[free, 3]"), "{error}");
    let model = load::<f32>("summed");
    let (a, b) = (Tensor::zeros([2, 5, 3]), Tensor::zeros([2, 4, 4]));
    let error = model.predict([&a, &b]).unwrap_err().to_string();
    assert!(error.starts_with("layer 1 (add): "), "{error}");
}
