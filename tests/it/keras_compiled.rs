//! What a model was compiled with in Keras comes along with its file.

use gradus::prelude::*;
use serde_json::{Value, json};
use support::fixtures;

use super::keras_files::Temporary;
use super::keras_graphs::{archived, parts};

/// The file of a fixture with another `compile_config`, if there is one.
fn load<T: Float>(name: &str, compile: Option<Value>) -> Model<T> {
    let (config, weights) = parts(&format!("keras/models/{name}/model.keras"));
    let mut config: Value = serde_json::from_str(&config).unwrap();
    if let Some(compile) = compile {
        config["compile_config"] = compile;
    }
    let file = Temporary::new("compiled.keras");
    std::fs::write(&file.0, archived(&config.to_string(), &weights)).unwrap();
    Model::of_keras(&file.0).unwrap()
}

/// Trains as Keras did, without a word about how.
#[test]
fn training_goes_on_as_in_keras() {
    let _alone = super::keras_files::alone();
    for name in [
        "graph_dict_outputs",
        "graph_nested_deep",
        "graph_siamese_dense",
        "graph_two_outputs_by_name",
        "graph_wide_and_deep",
    ] {
        let mut model = load::<f64>(name, None);
        assert_eq!(model.compile_problem(), None, "{name}");
        let bytes = fixtures::read(&format!("keras/models/{name}/reference.safetensors"));
        let case = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let all = |what: &str| -> Vec<Tensor<f64>> {
            (0..).map_while(|i| fixtures::tensor(&case, &format!("train.{what}.{i}"))).collect()
        };
        let (x, y, weights) = (all("x"), all("y"), all("sample_weight"));
        let outputs = model.output_names();
        let mut how = Fit::default().verbose(Verbose::Silent).epochs(3).batch_size(4).shuffle(false);
        let named = outputs.iter().map(String::as_str).zip(weights.iter().map(Tensor::as_slice));
        let named: Vec<(&str, &[f64])> = named.collect();
        if !named.is_empty() {
            how = how.sample_weight(named);
        }
        let (x, y): (Vec<_>, Vec<_>) = (x.iter().collect(), y.iter().collect());
        let history = model.fit(x, y, &how).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut compared = 0;
        for figure in case.names().into_iter().filter_map(|name| name.strip_prefix("history.")) {
            let expected = fixtures::tensor::<f64>(&case, &format!("history.{figure}")).unwrap();
            let got = history.get(figure).unwrap_or_else(|| panic!("{name}: no {figure}"));
            for (got, expected) in got.iter().zip(&expected) {
                assert!(fixtures::error(*got, *expected) < 1e-6, "{name}: {figure} is {got}, expected {expected}");
            }
            compared += 1;
        }
        assert_eq!(compared, history.names().count(), "{name}");
    }
}

#[test]
fn what_is_not_known_leaves_the_model_uncompiled() {
    let _alone = super::keras_files::alone();
    let name = "graph_nested_deep";
    let compile = |loss: Value, metrics: Value| json!({"optimizer": "adam", "loss": loss, "metrics": metrics});
    let own = json!({"module": "builtins", "class_name": "function", "config": "mine", "registered_name": "function"});
    for (compile, part) in [
        (compile(own, json!([])), "mine is a class of its own, not Keras's"),
        (compile(json!("ctc"), json!([])), "the loss ctc is not known here"),
        (compile(json!("mse"), json!(["mean_io_u"])), "the metric mean_io_u is not known here"),
        // Known, but not for this model: what `compile` says of it.
        (compile(json!("mse"), json!(["auc"])), "Auc: the outputs are not known to be probabilities"),
        (json!({"optimizer": true, "loss": "mse"}), "where names and objects are expected"),
    ] {
        let mut model = load::<f32>(name, Some(compile));
        let problem = model.compile_problem().unwrap_or_default().to_owned();
        assert!(problem.contains(part), "{problem}");
        let two = |shape: Shape| Tensor::zeros(Shape::try_from(&[&[2], shape.dims()].concat()[..]).unwrap());
        let (x, y) = (two(model.input_shape()), two(model.output_shape()));
        let how = Fit::default().verbose(Verbose::Silent);
        let error = model.fit(&x, &y, &how).unwrap_err().to_string();
        assert!(error.contains("the model is not compiled, as Keras") && error.contains(part), "{error}");
        assert!(model.evaluate(&x, &y).unwrap_err().to_string().contains(part));
        model.predict(&x).unwrap();
        model.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
        assert_eq!(model.compile_problem(), None);
        model.fit(&x, &y, &how).unwrap();
    }
    // A model that was never compiled has no problem.
    assert_eq!(load::<f32>(name, Some(json!({}))).compile_problem(), None);
}
