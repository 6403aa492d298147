//! Keras's functional models: what is read, and what is said of files that cannot be had.

use std::io::Read;

use gradus::graph::Work;
use gradus::io::{Given, KerasNet, read_keras};
use gradus::prelude::{Adam, Fit, OptimizerOptions, SparseCategoricalCrossentropy, Verbose};
use gradus::regularizers::Regularizer;
use gradus::{Error, Model, Pass, Tensor};
use serde_json::{Value, json};
use support::counting;
use support::fixtures;

use super::keras_files::{Temporary, alone, zipped};

/// A fixture's architecture and weights.
pub fn parts(path: &str) -> (String, Vec<u8>) {
    let mut file = zip::ZipArchive::new(std::io::Cursor::new(fixtures::read(path))).unwrap();
    let mut part = |name: &str| {
        let mut bytes = Vec::new();
        file.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    (String::from_utf8(part("config.json")).unwrap(), part("model.weights.h5"))
}

pub fn model(name: &str) -> (String, Vec<u8>) {
    parts(&format!("keras/models/{name}/model.keras"))
}

/// The bytes of a file of this architecture and these weights.
pub fn archived(config: &str, weights: &[u8]) -> Vec<u8> {
    let about: &[u8] = br#"{"keras_version": "3.15.1"}"#;
    zipped(&[("metadata.json", about), ("config.json", config.as_bytes()), ("model.weights.h5", weights)], false)
}

/// Reads a file of this architecture and these weights.
pub fn load(config: &str, weights: &[u8]) -> gradus::Result<KerasNet<f64>> {
    let file = Temporary::new("graph.keras");
    std::fs::write(&file.0, archived(config, weights)).unwrap();
    read_keras(&file.0)
}

/// What is said of such a file, without its name.
pub fn says(config: &str, weights: &[u8]) -> String {
    let error = load(config, weights).unwrap_err();
    assert!(matches!(error, Error::File { .. } | Error::Weights { .. }), "{error:?}");
    let text = error.to_string();
    text.split_once(".keras").unwrap().1.split_once(": ").unwrap().1.to_owned()
}

const DAMAGED: &str = "; the architecture is damaged or was changed by hand: save the model in Keras again";

/// The outputs of a fixture's inputs.
fn outputs(net: &KerasNet<f64>, name: &str) -> Vec<(Tensor<f64>, Tensor<f64>)> {
    let bytes = fixtures::read(&format!("keras/models/{name}/reference.safetensors"));
    let case = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let all = |part: &str| -> Vec<Tensor<f64>> {
        (0..).map_while(|i| fixtures::tensor(&case, &format!("{part}.{i}"))).collect()
    };
    let (x, mut work) = (all("input"), Work::default());
    net.net.forward(&mut Pass::inference(&net.params), &mut work, &x.iter().collect::<Vec<_>>()).unwrap();
    all("output").into_iter().enumerate().map(|(i, y)| (net.net.output(&work, i).clone(), y)).collect()
}

pub fn agrees(net: &KerasNet<f64>, name: &str) {
    for (ours, theirs) in outputs(net, name) {
        assert_eq!(ours.dims(), theirs.dims());
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?} instead of {theirs:?}");
    }
}

fn names(net: &KerasNet<f64>) -> Vec<&str> {
    net.params.specs().iter().map(|spec| spec.name.as_str()).collect()
}

#[test]
fn names_of_what_is_read() {
    let _alone = alone();
    let read = |name: &str| {
        let (config, weights) = model(name);
        load(&config, &weights).unwrap()
    };
    let twice = read("graph_submodel_twice");
    assert_eq!(names(&twice), ["sub/dense/kernel", "sub/dense/bias", "dense_1/kernel", "dense_1/bias"]);
    assert_eq!(twice.net.input_names(), ["input_layer_1", "input_layer_2"]);
    assert_eq!(twice.output_names, ["dense_1", "sub"]);
    assert_eq!(twice.compile, None);
    let deep = read("graph_nested_deep");
    assert!(names(&deep).contains(&"middle/block/batch_normalization/moving_mean"), "{:?}", names(&deep));
    let keys = read("graph_dict_outputs");
    assert_eq!(
        (keys.net.input_names(), &keys.output_names[..]),
        (vec!["left", "right"], &["box", "label", "score"].map(str::to_owned)[..])
    );
    // Shared by two towers: the layer's name stands before its class.
    assert!(names(&read("graph_siamese_dense")).iter().all(|name| name.starts_with("dense")));
    let compile = read("graph_two_outputs_by_name").compile.unwrap().unwrap();
    let named = |name: &str| Given::Named(name.to_owned());
    let loss = vec![
        ("kind".to_owned(), named("sparse_categorical_crossentropy")),
        ("value".to_owned(), named("mean_squared_error")),
    ];
    assert_eq!(compile.loss, Given::ByName(loss));
    assert!(matches!(compile.optimizer, Given::Object { own: true, .. }));
}

#[test]
fn settings_of_training() {
    let _alone = alone();
    let (config, weights) = model("graph_wide_and_deep");
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    let dense = layers.iter_mut().find(|layer| layer["name"] == "dense").unwrap();
    dense["config"]["trainable"] = json!(false);
    let l2 =
        json!({"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.25}, "registered_name": null});
    dense["config"]["kernel_regularizer"] = l2;
    let bound = json!({"module": "keras.constraints", "class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}, "registered_name": null});
    dense["config"]["bias_constraint"] = bound;
    let net = load(&config.to_string(), &weights).unwrap();
    agrees(&net, "graph_wide_and_deep");
    let spec = |name: &str| net.params.specs().iter().find(|spec| spec.name == name).unwrap();
    let kernel = spec("dense/kernel");
    assert_eq!((kernel.trainable, kernel.regularizer), (false, Some(Regularizer::L2(0.25))));
    assert!(spec("dense/bias").constraint.is_some() && spec("dense_1/kernel").trainable);
    config["config"]["trainable"] = json!(false);
    let net = load(&config.to_string(), &weights).unwrap();
    assert_eq!(net.params.trainable_len(), 0);
}

/// The layers of a functional model one after the other, its last but one a functional model.
#[test]
fn a_functional_model_in_a_sequential() {
    let _alone = alone();
    let (config, weights) = model("graph_nested_deep");
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["config"]["layers"].clone();
    config["class_name"] = json!("Sequential");
    config["module"] = json!("keras");
    config["registered_name"] = json!(null);
    config["config"] =
        json!({"name": "sequential", "trainable": true, "layers": layers, "build_input_shape": [null, 5]});
    agrees(&load(&config.to_string(), &weights).unwrap(), "graph_nested_deep");
    let file = Temporary::new("sequential.keras");
    std::fs::write(&file.0, archived(&config.to_string(), &weights)).unwrap();
    let model = Model::load_keras(&file.0).unwrap();
    assert_eq!(model.output_names(), ["dense_1"]);
}

/// A layer that stands in the model and in a model inside has one set of weights.
#[test]
fn a_layer_of_two_models() {
    let _alone = alone();
    let (config, weights) = model("graph_siamese_dense");
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    let mut tower = layers.iter().find(|layer| layer["name"] == "dense").unwrap().clone();
    tower["shared_object_id"] = json!(5);
    let call = |layer: &str| json!({"args": [tensor(layer, 0, &[4])], "kwargs": {}});
    let mut own = tower.clone();
    own["inbound_nodes"] = json!([call("inside")]);
    let input = json!({"module": "keras.layers", "class_name": "InputLayer", "registered_name": null, "name": "inside",
        "config": {"batch_shape": [null, 4], "dtype": "float64", "sparse": false, "name": "inside"}, "inbound_nodes": []});
    let inner = json!({"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional",
        "name": "inner", "inbound_nodes": [call("input_layer_1")], "config": {"name": "inner", "trainable": true,
        "layers": [input, own], "input_layers": ["inside", 0, 0], "output_layers": ["dense", 0, 0]}});
    tower["inbound_nodes"] = json!([call("input_layer")]);
    let at = layers.iter().position(|layer| layer["name"] == "dense").unwrap();
    layers[at] = tower;
    layers.insert(at + 1, inner);
    let second = layers.iter_mut().find(|layer| layer["name"] == "dense_1").unwrap();
    second["inbound_nodes"][1]["args"][0] = tensor("inner", 0, &[5]);
    let net = load(&config.to_string(), &weights).unwrap();
    agrees(&net, "graph_siamese_dense");
    assert_eq!(net.params.specs().len(), 5);
}

pub fn tensor(layer: &str, call: usize, shape: &[usize]) -> Value {
    let mut sizes = vec![json!(null)];
    sizes.extend(shape.iter().map(|size| json!(size)));
    json!({"class_name": "__keras_tensor__", "config": {"shape": sizes, "dtype": "float64", "keras_history": [layer, call, 0]}})
}

/// Replaces a text that must be there.
fn edited(text: &str, from: &str, to: &str) -> String {
    let changed = text.replace(from, to);
    assert_ne!(changed, text, "{from}");
    changed
}

#[test]
fn wiring_that_cannot_be() {
    let _alone = alone();
    let (config, weights) = model("graph_wide_and_deep");
    let history = r#""keras_history": ["deep", 0, 0]"#;
    for (from, to, problem) in [
        (
            history,
            r#""keras_history": ["dense_1", 0, 0]"#,
            "layers that wait for each other in a circle: dense, dense_1",
        ),
        (history, r#""keras_history": ["dense", 0, 0]"#, "layers that wait for each other in a circle: dense"),
        (history, r#""keras_history": ["nobody", 0, 0]"#, "dense reads \"nobody\", a layer that is not there"),
        (history, r#""keras_history": ["deep", 3, 0]"#, "dense reads call 3 of deep, which has 1, counted from 0"),
        (history, r#""keras_history": ["deep", 0, 2]"#, "dense reads tensor 2 of deep, which gives 1, counted from 0"),
        (
            history,
            r#""keras_history": ["deep", -1, 0]"#,
            "dense: keras_history=[\"deep\", -1, 0], where a layer's name and two numbers are expected",
        ),
        (history, r#""keras_history": ["wide", 0, 0]"#, "deep: no output of the model depends on it"),
        ("\"dense_1\"", "\"dense\"", "dense: two layers of this name"),
        (
            r#"["price", 0, 0]"#,
            r#"["price", 1, 0]"#,
            "the model's inputs or outputs are call 1 of price, which has 1, counted from 0",
        ),
        (
            r#"[["wide", 0, 0], ["deep", 0, 0]]"#,
            r#"[["wide", 0, 0]]"#,
            "deep: an input that is not among the model's inputs",
        ),
        (
            r#"[["wide", 0, 0], ["deep", 0, 0]]"#,
            r#"[["wide", 0, 0], ["dense", 0, 0]]"#,
            "dense: no input, or one that stands twice",
        ),
        (
            r#""name": "price""#,
            r#""name": "a/b""#,
            "\"a/b\": names of layers have 1 to 256 bytes, no slashes and no control characters",
        ),
    ] {
        assert_eq!(says(&edited(&config, from, to), &weights), format!("{problem}{DAMAGED}"));
    }
    let numbered = config.replacen("\"inbound_nodes\": []", "\"inbound_nodes\": [[[\"deep\", 0, 0, {}]]]", 1);
    assert_eq!(
        says(&numbered, &weights),
        format!("deep: [[\"deep\", 0, 0, {{}}]] is no call in the form of Keras 3{DAMAGED}")
    );
}

#[test]
fn shapes_that_do_not_fit() {
    let _alone = alone();
    let (config, weights) = model("graph_concatenate_axis1");
    let error = load(&edited(&config, "\"axis\": 1", "\"axis\": 2"), &weights).unwrap_err().to_string();
    assert!(error.starts_with("layer 0 (concatenate): "), "{error}");
    let (config, weights) = model("graph_wide_and_deep");
    // Features cannot be free where weights depend on them.
    let open = says(&edited(&config, "\"batch_shape\": [null, 6]", "\"batch_shape\": [null, null]"), &weights);
    assert!(open.starts_with("dense: Dense: expected a last axis of fixed size"), "{open}");
    assert!(open.contains("in the place of None in keras.Input((None,), name=\"deep\")"), "{open}");
}

pub const HAS_NOT: &str = "it has what this library has not: ";
pub const REPLACE: &str = "; replace these layers in Keras, or build the model in code";

#[test]
fn nothing_is_silently_something_else() {
    let _alone = alone();
    let (graph, images) = (model("graph_wide_and_deep"), parts("keras_files/images.keras"));
    let dense = parts("keras_files/dense.keras");
    let function =
        r#"{"module": "builtins", "class_name": "function", "config": "swish", "registered_name": "function"}"#;
    let quantised = r#""dtype": {"module": "keras.dtype_policies", "class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}, "registered_name": null}, "filters": 6"#;
    let own = r#""module": "keras.layers", "class_name": "Concatenate""#;
    for ((config, weights), from, to, problem) in [
        (
            &graph,
            own,
            &own.replace("\"keras.layers\"", "null"),
            "concatenate (Concatenate): a class of its own (module __main__), not Keras's",
        ),
        (
            &graph,
            own,
            &own.replace("keras.layers", "mine.layers"),
            "concatenate (Concatenate): a class of its own (module mine.layers), not Keras's",
        ),
        (
            &graph,
            r#""name": "wide", "optional""#,
            &r#""name": "other", "optional""#.to_owned(),
            "wide (InputLayer): name=\"other\", another than in the model",
        ),
        (
            &graph,
            r#""axis": -1}, "registered_name": null"#,
            &r#""axis": -1}, "registered_name": "Custom>Concatenate""#.to_owned(),
            "concatenate (Concatenate): a class of its own (module keras.layers, registered as Custom>Concatenate), not Keras's",
        ),
        (
            &graph,
            r#""axis": -1}"#,
            &r#""axis": -1, "odd": [true, null]}"#.to_owned(),
            "concatenate (Concatenate): odd=[True, None]: not known here",
        ),
        (
            &graph,
            r#""kwargs": {}}]}], "input_layers""#,
            &r#""kwargs": {"training": true}}]}], "input_layers""#.to_owned(),
            "price (Dense): training=True, to train or draw in predictions too; call the layer without it",
        ),
        (
            &images,
            r#""rms_scaling": false"#,
            &r#""rms_scaling": true"#.to_owned(),
            "layer_normalization (LayerNormalization): rms_scaling=True: it divides by the deviation without taking the mean away; build keras.layers.RMSNormalization(epsilon=...) in its place and train it anew",
        ),
        (
            &images,
            r#""pool_size": [3, 2], "padding": "valid", "strides": [3, 2], "data_format": "channels_last""#,
            &r#""pool_size": [3, 2], "padding": "valid", "strides": [3, 2], "data_format": "channels_first""#
                .to_owned(),
            "average_pooling2d (AveragePooling2D): data_format=\"channels_first\": channels come last here; build the model with data_format=\"channels_last\" and give it the same weights, which have the same axes: new.set_weights(model.get_weights())",
        ),
        (
            &images,
            r#""groups": 4, "axis": -1"#,
            &r#""groups": 4, "axis": 1"#.to_owned(),
            "group_normalization (GroupNormalization): axis=1: only the last axis, -1, can be had; bring it to the end with keras.layers.Permute",
        ),
        (
            &dense,
            r#""noise_shape": null"#,
            &r#""noise_shape": [null, 1]"#.to_owned(),
            "dropout (Dropout): noise_shape=[None, 1]: values are dropped one by one here; to predict, layer.noise_shape = None changes nothing",
        ),
        (
            &dense,
            r#""activation": "softmax""#,
            &format!(r#""activation": {function}"#),
            "head (Dense): activation=\"swish\": a function of its own, not Keras's; where Keras's is meant, pass it by its name: activation=\"swish\"",
        ),
        (
            &dense,
            r#""activation": "softmax""#,
            &r#""activation": "sparsemax""#.to_owned(),
            "head (Dense): activation=\"sparsemax\": no such activation",
        ),
        (
            &dense,
            r#""units": 3, "#,
            &r#""units": 3, "lora_rank": 4, "lora_alpha": 4, "#.to_owned(),
            "head (Dense): lora_rank=4: weights beside the kernel are not read; give a layer without them the sum: new.set_weights([layer.kernel, layer.bias])",
        ),
    ] {
        assert_eq!(says(&edited(config, from, to), weights), format!("{HAS_NOT}{problem}{REPLACE}"));
    }
    let (slices, more) = (model("graph_slices"), model("graph_operators_more"));
    for ((config, weights), from, to, problem) in [
        (
            &slices,
            "\"step\": 2",
            "\"step\": -1",
            "get_item_2 (GetItem): {\"start\": None, \"stop\": None, \"step\": -1}: steps are at least 1 here",
        ),
        (
            &slices,
            "[null, 6, 4], \"dtype\": \"float64\", \"keras_history\": [\"dense\", 0, 0]}}, [",
            "[null, 6, 4], \"dtype\": \"float64\", \"keras_history\": [\"dense\", 0, 0]}}, [0, ",
            "get_item (GetItem): a part of the batch; x[:, ...] takes parts of every sample; get_item_2 (GetItem): a part of the batch; x[:, ...] takes parts of every sample; get_item_1 (GetItem): a part of the batch; x[:, ...] takes parts of every sample",
        ),
        (&more, "\"Absolute\"", "\"Sin\"", "absolute (Sin): an operator between tensors, which is not built"),
    ] {
        assert_eq!(says(&edited(config, from, to), weights), format!("{HAS_NOT}{problem}{REPLACE}"));
    }
    // Of two batch normalisations both are named.
    let renorm = says(&edited(&images.0, "\"renorm\": false", "\"renorm\": true"), &images.1);
    assert!(
        renorm.contains("batch_normalization (BatchNormalization): renorm=True: ")
            && renorm.contains("new.set_weights(layer.get_weights()[:4]); batch_normalization_1 (B"),
        "{renorm}"
    );
    let policy = images.0.find(r#""filters": 6"#).unwrap();
    let begin = images.0[..policy].rfind("\"dtype\"").unwrap();
    let changed = format!("{}{quantised}{}", &images.0[..begin], &images.0[policy + r#""filters": 6"#.len()..]);
    let said = says(&changed, &images.1);
    assert!(
        said.contains("conv2d (Conv2D): dtype={")
            && said.contains("save the model as it was before model.quantize(...)"),
        "{said}"
    );
    // The number of the last axis is as good as -1.
    let fourth = edited(&images.0, r#""axis": -1, "momentum""#, r#""axis": 3, "momentum""#);
    load(&fourth, &images.1).unwrap();
}

#[test]
fn every_array_is_read() {
    let _alone = alone();
    let (config, weights) = model("graph_wide_and_deep");
    let without = config.replacen("\"use_bias\": true", "\"use_bias\": false", 1);
    assert_eq!(
        says(&without, &weights),
        "its weights have arrays that nothing reads: layers/dense/vars/1; the architecture and the weights do not belong together, or a \
         layer keeps more than its class does"
    );
    let (config, weights) = parts("keras_files/dense.keras");
    let with = config.replacen("\"use_bias\": false", "\"use_bias\": true", 1);
    assert!(says(&with, &weights).starts_with("the weights do not fit the model: "));
}

/// A functional model that calls what stands inside twice, one behind the other.
fn twice(inside: Option<Value>, depth: usize) -> Value {
    let input = json!({"module": "keras.layers", "class_name": "InputLayer", "registered_name": null, "name": "x",
        "config": {"batch_shape": [null, 4], "dtype": "float32", "name": "x"}, "inbound_nodes": []});
    let mut layers = vec![input];
    let mut last = json!(["x", 0, 0]);
    if let Some(mut inside) = inside {
        inside["inbound_nodes"] =
            json!([{"args": [tensor("x", 0, &[4])], "kwargs": {}}, {"args": [tensor("m", 0, &[4])], "kwargs": {}}]);
        layers.push(inside);
        last = json!(["m", 2, 0]);
    }
    json!({"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional", "name": "m",
        "shared_object_id": depth,
        "config": {"name": "m", "trainable": true, "layers": layers, "input_layers": ["x", 0, 0], "output_layers": last}})
}

#[test]
fn architectures_meant_to_do_harm() {
    let _alone = alone();
    let (good, weights) = model("graph_wide_and_deep");
    let bounded = |config: &str, what: &str| {
        let before = counting::begin();
        let said = says(config, &weights);
        let most = counting::most_since(before);
        assert!(most <= config.len() + (40 << 20), "{what}: {most} bytes of memory for {}", config.len());
        said
    };
    // Twice as many calls with every level.
    let nested = |depth: usize| (0..depth).fold(None, |inside, depth| Some(twice(inside, depth))).unwrap();
    let said = bounded(&nested(25).to_string(), "calls");
    assert!(said.starts_with("more than 65536 calls of layers, at m/m/"), "{said}");
    let deep = bounded(&nested(40).to_string(), "models inside one another");
    assert_eq!(deep, format!("{}: more than 32 models inside one another{DAMAGED}", vec!["m"; 33].join("/")));
    // Models that refer to each other by numbers are as deep as if each stood inside.
    let (mut layers, mut known) = (Vec::new(), None);
    for depth in 0..60 {
        let mut level = twice(known.take(), depth);
        level["name"] = json!(format!("m{depth}"));
        level["inbound_nodes"] = json!([]);
        let mut reference = level.clone();
        reference["name"] = json!("m");
        reference["config"] = json!({});
        known = Some(reference);
        layers.push(level);
    }
    let mut outer = twice(None, 99);
    outer["config"]["layers"] = json!(layers);
    let said = bounded(&outer.to_string(), "models by numbers");
    assert_eq!(said, format!("m32: more than 32 models inside one another{DAMAGED}"));
    // Up to 8 MiB.
    let padded = |len: usize| format!("{good}{}", " ".repeat(len - good.len()));
    load(&padded(8 << 20), &weights).unwrap();
    assert_eq!(
        bounded(&padded((8 << 20) + 1), "a long architecture"),
        "config.json has 8388609 bytes, more than the 8388608 that are read; the file is damaged, or made to do harm"
    );
    let lists = format!("{}{}", "[".repeat(3 << 20), "]".repeat(3 << 20));
    for config in [
        edited(&good, "\"args\": [", &format!("\"args\": [{}{}, ", "[".repeat(90_000), "]".repeat(90_000))),
        edited(&good, "[\"price\", 0, 0]", &lists),
        edited(&good, "\"units\": 1", &format!("\"units\": {lists}")),
        edited(&good, "\"axis\": -1", &format!("\"axis\": [{}1]", "1,".repeat(2_000_000))),
        edited(&good, "\"layers\": [", &format!("\"layers\": [{}", "0,".repeat(2_000_000))),
    ] {
        bounded(&config, &config[config.len() - 200..]);
    }
}

/// Layers of a functional model with masks in their calls, over the weights of a Sequential: Embedding and Dense.
fn masked(mask: Value, more: &[Value]) -> (String, Vec<u8>) {
    let (config, weights) = model("masked_global_average");
    let config: Value = serde_json::from_str(&config).unwrap();
    let mut layers = config["config"]["layers"].as_array().unwrap().clone();
    let named = |layer: &mut Value, nodes: Value| {
        layer["name"] = layer["config"]["name"].clone();
        layer["inbound_nodes"] = nodes;
    };
    named(&mut layers[0], json!([]));
    named(&mut layers[1], json!([{"args": [tensor("input_layer", 0, &[8])], "kwargs": {}}]));
    named(&mut layers[2], json!([{"args": [tensor("embedding", 0, &[8, 5])], "kwargs": {"mask": mask}}]));
    named(&mut layers[3], json!([{"args": [tensor("global_average_pooling1d", 0, &[5])], "kwargs": {}}]));
    layers.splice(2..2, more.iter().cloned());
    let whole = json!({"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional",
        "config": {"name": "functional", "trainable": true, "layers": layers, "input_layers": ["input_layer", 0, 0],
        "output_layers": ["dense", 0, 0]}});
    (whole.to_string(), weights)
}

pub fn operator(class: &str, name: &str, args: Value, settings: Value) -> Value {
    let mut config = settings;
    config["name"] = json!(name);
    json!({"module": "keras.src.ops.numpy", "class_name": class, "config": config, "registered_name": class, "name": name,
        "inbound_nodes": [{"args": args, "kwargs": {}}]})
}

#[test]
fn masks_that_calls_name() {
    let _alone = alone();
    let ids = || tensor("input_layer", 0, &[8]);
    let unequal = |value: i32| operator("NotEqual", "not_equal", json!([ids(), value]), json!({}));
    let mask = || tensor("not_equal", 0, &[8]);
    let read = |mask: Value, more: &[Value]| {
        let (config, weights) = masked(mask, more);
        load(&config, &weights)
    };
    // None, that of the input, and the same by a detour.
    agrees(&read(json!(null), &[]).unwrap(), "masked_global_average");
    agrees(&read(mask(), &[unequal(0)]).unwrap(), "masked_global_average");
    let twice = operator("LogicalOr", "logical_or", json!([mask(), mask()]), json!({}));
    agrees(&read(tensor("logical_or", 0, &[8]), &[unequal(0), twice]).unwrap(), "masked_global_average");
    // Others.
    let other = |found: gradus::Result<KerasNet<f64>>, name: &str| {
        let error = found.unwrap_err().to_string();
        let expected = format!(
            "global_average_pooling1d (GlobalAveragePooling1D): it is called with mask={name}, another than its input carries; let the \
             mask come with the input"
        );
        assert!(error.contains(&expected), "{error}");
    };
    other(read(mask(), &[unequal(1)]), "not_equal");
    other(read(ids(), &[]), "input_layer");
    let any = operator("Any", "any", json!([mask()]), json!({"axis": -1, "keepdims": false}));
    other(read(tensor("any", 0, &[8]), &[unequal(0), any]), "any");
    let says = |mask: Value, more: &[Value]| read(mask, more).unwrap_err().to_string();
    assert!(says(json!(3), &[]).contains("it is called with a mask that is no tensor"));
    assert!(says(tensor("nothing", 0, &[8]), &[]).contains("\"nothing\", a layer that is not there"));
    let itself = operator("LogicalOr", "not_equal", json!([mask(), mask()]), json!({}));
    assert!(says(mask(), &[itself]).contains("comes from too many operators"));
}

#[test]
fn layers_in_time() {
    let _alone = alone();
    let (config, weights) = model("masked_global_average");
    let with = |layer: Value| {
        let mut config: Value = serde_json::from_str(&config).unwrap();
        let layers = config["config"]["layers"].as_array_mut().unwrap();
        layers.insert(
            2,
            json!({"module": "keras.layers", "class_name": "TimeDistributed", "registered_name": null,
            "config": {"name": "time_distributed", "trainable": true, "layer": layer}}),
        );
        config.to_string()
    };
    let layer = |class: &str, settings: Value| {
        let mut config = settings;
        config["name"] = json!("inside");
        json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null})
    };
    // The mask goes through.
    agrees(
        &load(&with(layer("Activation", json!({"activation": "linear"}))), &weights).unwrap(),
        "masked_global_average",
    );
    let nested = layer("TimeDistributed", json!({"layer": layer("Identity", json!({}))}));
    agrees(&load(&with(nested), &weights).unwrap(), "masked_global_average");
    let refused = |layer: Value, expected: &str| {
        let said = says(&with(layer), &weights);
        assert!(said.contains(&format!("time_distributed (TimeDistributed): layer={expected}")), "{said}");
    };
    refused(layer("Add", json!({})), "Add: it takes several tensors");
    refused(layer("Nothing", json!({})), "Nothing: no such layer");
    refused(layer("Dense", json!({"units": 2, "odd": 1})), "Dense: odd=1: not known here");
    let inside = json!({"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}, "registered_name": "Sequential"});
    refused(inside, "Sequential: one layer can be had inside, and no model");
    let deep = (0..20).fold(layer("Identity", json!({})), |inner, _| layer("TimeDistributed", json!({"layer": inner})));
    assert!(says(&with(deep), &weights).contains("too many layers inside one another"));
}

/// The numbers of an independent computation: those of Keras on TensorFlow are others with Adam, which squares the gradients of ids that
/// come again one by one.
#[test]
fn a_bag_of_words_trains() {
    let _alone = alone();
    const NAME: &str = "keras/models/train_masked_global_average";
    let bytes = fixtures::read(&format!("{NAME}/reference.safetensors"));
    let case = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| fixtures::tensor::<f64>(&case, name).unwrap();
    let file = Temporary::new("bag.keras");
    std::fs::write(&file.0, fixtures::read(&format!("{NAME}/model.keras"))).unwrap();
    let mut model = Model::<f64>::of_keras(&file.0).unwrap();
    let rule = Adam::default().learning_rate(0.015625);
    model.compile(rule, SparseCategoricalCrossentropy::default(), ()).unwrap();
    let how = Fit::default().epochs(3).batch_size(4).shuffle(false).verbose(Verbose::Silent);
    let history = model.fit(&tensor("train.x.0"), &tensor("train.y.0"), &how).unwrap();
    for (loss, expected) in
        history.get("loss").unwrap().iter().zip([1.8086991313965737, 1.603576544143606, 1.4766096405710138])
    {
        assert!((loss - expected).abs() < 1e-6, "{loss} instead of {expected}");
    }
}

/// A mask of two parts in time, of which one counts as a whole: what Keras writes of it is what the layers make.
#[test]
fn masks_that_are_joined() {
    let _alone = alone();
    let (config, weights) = model("mask_concatenate_time_unmasked");
    let with = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut config: Value = serde_json::from_str(&config).unwrap();
        let layers = config["config"]["layers"].as_array_mut().unwrap();
        // In the place of the recurrent layer one that takes a mask too.
        let lstm = layers.iter_mut().find(|layer| layer["class_name"] == "LSTM").unwrap();
        assert!(lstm["inbound_nodes"][0]["kwargs"]["mask"].is_object());
        let name = lstm["name"].clone();
        let inner = json!({"module": "keras.layers", "class_name": "Identity", "config": {"name": "inside"}, "registered_name": null});
        lstm["class_name"] = json!("TimeDistributed");
        lstm["config"] = json!({"name": name, "trainable": true, "layer": inner});
        edit(layers);
        load(&config.to_string(), &weights).unwrap_err()
    };
    // All that is left to say is that the weights are another model's.
    let error = with(&|_| {});
    assert!(!error.to_string().contains("mask") && !error.to_string().contains("not built"), "{error}");
    let changed = |class: &str, name: &str, value: Value| {
        let error = with(&|layers: &mut Vec<Value>| {
            let of = |layer: &&mut Value| layer["class_name"] == class && layer["module"] != "keras.layers";
            layers.iter_mut().find(of).unwrap()["config"][name] = value.clone();
        });
        assert!(error.to_string().contains("it is called with mask=any, another than its input carries"), "{error}");
    };
    changed("Concatenate", "axis", json!(2));
    changed("ExpandDims", "axis", json!(1));
    changed("Any", "axis", json!(1));
    changed("Any", "keepdims", json!(true));
    let two = |masks: Value| {
        let error = with(&|layers: &mut Vec<Value>| {
            let of = |layer: &&mut Value| layer["class_name"] == "Concatenate" && layer["module"] == "keras.layers";
            layers.iter_mut().find(of).unwrap()["inbound_nodes"][0]["kwargs"]["mask"] = masks.clone();
        });
        error.to_string()
    };
    assert!(two(json!([null])).contains("it is called with 1 masks for 2 tensors"));
    assert!(!two(json!(null)).contains("masks for"));
}
