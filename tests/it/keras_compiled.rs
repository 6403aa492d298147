//! What a model was compiled with in Keras comes along with its file.

use gradus::prelude::*;
use serde_json::{Value, json};
use support::training::{Training, figures};
use support::{counting, fixtures};

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
        let training = Training::of(&model.output_names(), |name| fixtures::tensor(&case, name));
        let history = training.run(&mut model, 3, 4).unwrap_or_else(|e| panic!("{name}: {e}"));
        let recorded = case.names().into_iter().filter_map(|name| {
            let figure = name.strip_prefix("history.")?;
            Some((figure.to_owned(), fixtures::tensor(&case, name)?))
        });
        for (figure, got, expected) in figures(&history, recorded).unwrap_or_else(|e| panic!("{name}: {e}")) {
            for (got, expected) in got.iter().zip(&expected) {
                assert!(fixtures::error(*got, *expected) < 1e-6, "{name}: {figure} is {got}, expected {expected}");
            }
        }
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

/// Whatever a setting is, the model is compiled, or the problem is kept; memory is that of a model.
#[test]
fn settings_meant_to_do_harm() {
    let _alone = super::keras_files::alone();
    let bad =
        [json!(0), json!(-1), json!(1e308), json!(8e15), json!(0.5), json!(null), json!("x"), json!([]), json!(true)];
    let object = |module: &str, class: &str, settings: &Value| json!({"module": format!("keras.{module}"), "class_name": class, "config": settings, "registered_name": null});
    let adam = json!({"learning_rate": 1, "weight_decay": 1, "clipnorm": 1, "global_clipnorm": 1, "clipvalue": 1, "use_ema": true,
        "ema_momentum": 1, "ema_overwrite_frequency": 1, "loss_scale_factor": 1, "gradient_accumulation_steps": 1, "beta_1": 1,
        "beta_2": 1, "epsilon": 1, "amsgrad": 1});
    let cosine =
        json!({"initial_learning_rate": 1, "decay_steps": 1, "alpha": 1, "warmup_target": 1, "warmup_steps": 1});
    let cases = [
        ("optimizers", "Adam", adam),
        ("optimizers", "SGD", json!({"momentum": 1, "nesterov": 1})),
        ("optimizers", "RMSprop", json!({"rho": 1, "momentum": 1, "epsilon": 1, "centered": 1})),
        ("optimizers", "Lion", json!({"beta_1": 1, "beta_2": 1})),
        ("optimizers", "Adagrad", json!({"initial_accumulator_value": 1})),
        ("optimizers", "Ftrl", json!({"learning_rate_power": 1, "l1_regularization_strength": 1, "beta": 1})),
        (
            "optimizers",
            "Adafactor",
            json!({"beta_2_decay": 1, "epsilon_1": 1, "clip_threshold": 1, "relative_step": 1}),
        ),
        ("optimizers.schedules", "CosineDecay", cosine),
        (
            "optimizers.schedules",
            "CosineDecayRestarts",
            json!({"initial_learning_rate": 1, "first_decay_steps": 1, "t_mul": 1, "m_mul": 1}),
        ),
        (
            "optimizers.schedules",
            "ExponentialDecay",
            json!({"initial_learning_rate": 1, "decay_steps": 1, "decay_rate": 1, "staircase": 1}),
        ),
        (
            "optimizers.schedules",
            "PolynomialDecay",
            json!({"initial_learning_rate": 1, "decay_steps": 1, "power": 1, "cycle": 1}),
        ),
        ("optimizers.schedules", "PiecewiseConstantDecay", json!({"boundaries": [1], "values": [1, 2]})),
        ("losses", "Huber", json!({"delta": 1, "reduction": 1})),
        (
            "losses",
            "BinaryFocalCrossentropy",
            json!({"label_smoothing": 1, "gamma": 1, "alpha": 1, "apply_class_balancing": 1, "axis": 1}),
        ),
        ("losses", "SparseCategoricalCrossentropy", json!({"from_logits": 1, "ignore_class": 1})),
        ("metrics", "AUC", json!({"num_thresholds": 1, "curve": 1, "thresholds": 1, "from_logits": 1})),
        ("metrics", "TopKCategoricalAccuracy", json!({"k": 1})),
        ("metrics", "Precision", json!({"thresholds": 1, "top_k": 1, "class_id": 1})),
        ("metrics", "F1Score", json!({"average": 1, "threshold": 1})),
        ("metrics", "R2Score", json!({"class_aggregation": 1, "num_regressors": 1})),
    ];
    for (module, class, settings) in cases {
        for (name, value) in settings.as_object().unwrap().keys().flat_map(|name| bad.iter().map(move |v| (name, v))) {
            let mut own = if module.ends_with("schedules") { settings.clone() } else { json!({}) };
            own[name] = value.clone();
            let given = object(module, class, &own);
            let mut compile = json!({"optimizer": "adam", "loss": "mse", "metrics": []});
            match module {
                "optimizers" => compile["optimizer"] = given,
                "losses" => compile["loss"] = given,
                "metrics" => compile["metrics"] = json!([given]),
                _ => compile["optimizer"] = object("optimizers", "SGD", &json!({"learning_rate": given})),
            }
            let before = counting::begin();
            let model = load::<f32>("graph_nested_deep", Some(compile));
            let most = counting::most_since(before);
            assert!(most < 16 << 20, "{class} with {name}={value}: {most} bytes of memory");
            assert!(model.compile_problem().is_none_or(|problem| !problem.is_empty()));
        }
    }
}
