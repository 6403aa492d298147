//! Keras's attention layers: which masks their calls leave, and what is said of files that cannot be had.

use gradus::graph::Work;
use gradus::io::KerasNet;
use gradus::{Model, Pass, Tensor};
use serde_json::{Value, json};
use support::fixtures;

use super::keras_files::{Temporary, alone};
use super::keras_graphs::{HAS_NOT, REPLACE, agrees, archived, load, model, operator, says, tensor};

const MASKED: &str = "mha_masked_causal";

/// A layer that is called once, in a functional model.
fn called(class: &str, name: &str, settings: Value, args: Value, kwargs: Value) -> Value {
    let mut config = settings;
    config["name"] = json!(name);
    json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null, "name": name,
        "inbound_nodes": [{"args": args, "kwargs": kwargs}]})
}

fn embedded() -> Value {
    tensor("embedding", 0, &[5, 5])
}

fn attended() -> Value {
    tensor("multi_head_attention", 0, &[5, 5])
}

/// The fixture's model of an embedding and an attention with more layers, and these outputs.
fn with(more: &[Value], outputs: Value) -> Value {
    let mut config: Value = serde_json::from_str(&model(MASKED).0).unwrap();
    config["config"]["layers"].as_array_mut().unwrap().extend(more.iter().cloned());
    config["config"]["output_layers"] = outputs;
    config
}

fn attention(config: &mut Value) -> &mut Value {
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["class_name"] == "MultiHeadAttention").unwrap()
}

fn read(config: &Value) -> KerasNet<f64> {
    load(&config.to_string(), &model(MASKED).1).unwrap()
}

/// An output and its mask.
type Output = (Tensor<f64>, Option<Vec<bool>>);

/// What a net gives for the fixture's ids, which come first.
fn all(net: &KerasNet<f64>) -> (Tensor<f64>, Vec<Output>) {
    let bytes = fixtures::read(&format!("keras/models/{MASKED}/reference.safetensors"));
    let case = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let ids: Tensor<f64> = fixtures::tensor(&case, "input.0").unwrap();
    let mut work = Work::default();
    net.net.forward(&mut Pass::inference(&net.params), &mut work, &[&ids]).unwrap();
    let output = |i| (net.net.output(&work, i).clone(), net.net.output_mask(&work, i).map(<[bool]>::to_vec));
    let outputs = (0..net.net.output_shapes().len()).map(output).collect();
    (ids, outputs)
}

/// Which outputs have a mask.
fn masked(config: &Value) -> Vec<bool> {
    all(&read(config)).1.into_iter().map(|(_, mask)| mask.is_some()).collect()
}

/// A mean over time, under a mask that its call names.
fn mean(name: &str, of: Value, mask: Value) -> Value {
    let settings = json!({"data_format": "channels_last", "keepdims": false});
    called("GlobalAveragePooling1D", name, settings, json!([of]), json!({ "mask": mask }))
}

fn sum() -> Value {
    called("Add", "add", json!({}), json!([[embedded(), attended()]]), json!({}))
}

/// The mask of the ids, as operators compute it.
fn of_ids() -> Value {
    operator("NotEqual", "not_equal", json!([tensor("input_layer", 0, &[5]), 0]), json!({}))
}

#[test]
fn masks_of_what_attention_is_called_with_are_deleted() {
    let _alone = alone();
    let either = [tensor("not_equal", 0, &[5]), tensor("not_equal", 0, &[5])];
    let more = [
        of_ids(),
        sum(),
        operator("LogicalOr", "logical_or", json!(either), json!({})),
        mean("under", tensor("add", 0, &[5, 5]), tensor("logical_or", 0, &[5])),
        mean("whole", tensor("add", 0, &[5, 5]), json!(null)),
    ];
    let outputs = ["multi_head_attention", "add", "embedding", "under", "whole"].map(|name| json!([name, 0, 0]));
    let config = with(&more, json!(outputs));
    let (ids, outputs) = all(&read(&config));
    let counts: Vec<bool> = ids.iter().map(|id| *id != 0.0).collect();
    let masks: Vec<_> = outputs.iter().map(|(_, mask)| mask.clone()).collect();
    assert_eq!(masks, [Some(counts.clone()), None, None, None, None]);
    let [attended, sum, embedded, under, whole] = &outputs.iter().map(|(y, _)| y.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("five outputs")
    };
    assert!(sum.iter().zip(attended).zip(embedded).all(|((s, a), e)| (s - a - e).abs() < 1e-15));
    for (row, counts) in counts.chunks(5).enumerate() {
        for feature in 0..5 {
            let step = |step: usize| sum.as_slice()[(row * 5 + step) * 5 + feature];
            let n = counts.iter().filter(|counts| **counts).count() as f64;
            let mean = (0..5).filter(|i| counts[*i]).map(step).sum::<f64>() / n;
            let at = row * 5 + feature;
            let got = under.as_slice()[at];
            assert!(n == 0.0 && got.is_nan() || (got - mean).abs() < 1e-14, "{got} instead of {mean}");
            assert!((whole.as_slice()[at] - (0..5).map(step).sum::<f64>() / 5.0).abs() < 1e-14);
        }
    }
    // The same model by way of a file of ours.
    let (keras, own) = (Temporary::new("attention.keras"), Temporary::new("attention.safetensors"));
    std::fs::write(&keras.0, archived(&config.to_string(), &model(MASKED).1)).unwrap();
    let (model, ids) = (Model::load_keras(&keras.0).unwrap(), ids.rows(0..5).unwrap().cast::<f32>());
    model.save(&own.0).unwrap();
    let again = Model::load(&own.0).unwrap();
    let whole_rows = |model: &Model| model.predict_all([&ids]).unwrap().swap_remove(4);
    assert_eq!(whole_rows(&again), whole_rows(&model));
}

/// A layer beside the attention finds the mask if Keras calls it before: what stands further from the outputs comes first.
#[test]
fn what_is_called_first_finds_the_mask() {
    let _alone = alone();
    let act = |name: &str, of: &str| {
        called("Activation", name, json!({"activation": "tanh"}), json!([tensor(of, 0, &[5, 5])]), json!({}))
    };
    let outputs = |names: &[&str]| json!(names.iter().map(|name| json!([name, 0, 0])).collect::<Vec<_>>());
    let near = [act("a", "embedding"), act("b", "multi_head_attention")];
    assert_eq!(masked(&with(&near, outputs(&["a", "b"]))), [false, true]);
    let far = [act("a", "embedding"), act("c", "a"), act("b", "c")];
    assert_eq!(masked(&with(&far, outputs(&["a", "b", "multi_head_attention"]))), [true, true, true]);
    // As near as the attention: of outputs the last comes first.
    let beside = [act("a", "embedding")];
    assert_eq!(masked(&with(&beside, outputs(&["a", "multi_head_attention"]))), [false, true]);
    assert_eq!(masked(&with(&beside, outputs(&["multi_head_attention", "a"]))), [true, true]);
}

#[test]
fn layers_that_give_the_tensor_that_they_take() {
    let _alone = alone();
    let behind = |class: &str, settings: Value| {
        let first = called(class, "first", settings, json!([embedded()]), json!({}));
        let last =
            called("Activation", "last", json!({"activation": "tanh"}), json!([tensor("sum", 0, &[5, 5])]), json!({}));
        let sum = called("Add", "sum", json!({}), json!([[embedded(), attended()]]), json!({}));
        let mut config = with(&[first, sum, last], json!([["last", 0, 0]]));
        let first = tensor("first", 0, &[5, 5]);
        attention(&mut config)["inbound_nodes"] =
            json!([{"args": [first, first], "kwargs": {"use_causal_mask": true}}]);
        config
    };
    assert_eq!(masked(&behind("Activation", json!({"activation": "tanh"}))), [true]);
    assert_eq!(masked(&behind("Identity", json!({}))), [false]);
    let said = says(&behind("Dropout", json!({"rate": 0.5})).to_string(), &model(MASKED).1);
    let problem = "sum (Add): it reads embedding, whose mask a MultiHeadAttention deletes in predictions and not in training, as a noise layer \
                   between them gives in predictions the tensor that it takes; let this layer read what the noise layer gives";
    assert_eq!(said, format!("{HAS_NOT}{problem}{REPLACE}"));
}

/// A model inside that attends to its input deletes the mask outside too.
#[test]
fn a_model_inside_deletes_masks_outside() {
    let _alone = alone();
    let act = called("Activation", "act", json!({"activation": "tanh"}), json!([embedded()]), json!({}));
    let x = tensor("inside", 0, &[5, 5]);
    let sum = called("Add", "inner_sum", json!({}), json!([[x, attended()]]), json!({}));
    let input = json!({"module": "keras.layers", "class_name": "InputLayer", "registered_name": null, "name": "inside",
        "config": {"batch_shape": [null, 5, 5], "dtype": "float64", "name": "inside"}, "inbound_nodes": []});
    let outer_sum = called("Add", "sum", json!({}), json!([[embedded(), tensor("inner", 0, &[5, 5])]]), json!({}));
    let outputs = json!([["inner", 1, 0], ["sum", 0, 0], ["embedding", 0, 0], ["multi_head_attention", 0, 0]]);
    let mut config = with(&[outer_sum], outputs);
    // One attention in both models, as its arrays lie in the one outside.
    let of = |x: &Value| json!([{"args": [x, x], "kwargs": {"use_causal_mask": true}}]);
    let own = attention(&mut config);
    own["shared_object_id"] = json!(5);
    own["inbound_nodes"] = of(&tensor("act", 0, &[5, 5]));
    let mut again = own.clone();
    again["inbound_nodes"] = of(&x);
    let inner = json!({"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional",
        "name": "inner", "inbound_nodes": [{"args": [embedded()], "kwargs": {"mask": null}}],
        "config": {"name": "inner", "trainable": true, "layers": [input, again, sum], "input_layers": ["inside", 0, 0],
        "output_layers": ["inner_sum", 0, 0]}});
    config["config"]["layers"].as_array_mut().unwrap().extend([act, inner]);
    assert_eq!(masked(&config), [false, false, false, true]);
}

#[test]
fn calls_in_other_words() {
    let _alone = alone();
    let weights = model(MASKED).1;
    let call = |args: Value, kwargs: Value, more: &[Value]| {
        let mut config = with(more, json!(["multi_head_attention", 0, 0]));
        attention(&mut config)["inbound_nodes"] = json!([{"args": args, "kwargs": kwargs}]);
        config.to_string()
    };
    let x = embedded;
    let none = || Value::Null;
    for config in [
        call(json!([x()]), json!({"value": x(), "use_causal_mask": true}), &[]),
        call(
            json!([]),
            json!({"query": x(), "value": x(), "key": x(), "use_causal_mask": true, "training": false}),
            &[],
        ),
        call(json!([x(), x(), none(), none(), none(), none(), none(), false, none(), true]), json!({}), &[]),
        call(
            json!([x(), x()]),
            json!({"use_causal_mask": true, "value_mask": tensor("not_equal", 0, &[5]), "key_mask": tensor("not_equal", 0, &[5])}),
            &[of_ids()],
        ),
        call(
            json!([x(), x()]),
            json!({"use_causal_mask": true, "query_mask": tensor("not_equal", 0, &[5])}),
            &[of_ids()],
        ),
    ] {
        agrees(&load(&config, &weights).unwrap(), MASKED);
    }
    let ids = tensor("input_layer", 0, &[5]);
    for (args, kwargs, problem) in [
        (json!([x()]), json!({}), "it is called without a value"),
        (json!([x(), x()]), json!({"value": x()}), "it is called with value twice"),
        (json!([x(), x()]), json!({"odd": 1}), "it is called with odd=..., which is not known here"),
        (
            json!([x(), x()]),
            json!({"training": true}),
            "training=True, to drop in predictions too; call the layer without it",
        ),
        (
            json!([x(), x()]),
            json!({"use_causal_mask": 3}),
            "it is called with use_causal_mask=..., where True or False is expected",
        ),
        (
            json!([x(), x()]),
            json!({"attention_mask": [[1, 0], [1, 1]]}),
            "it is called with something else than a tensor for attention_mask; numbers that are always the same can be another Input",
        ),
        (
            json!([x(), x()]),
            json!({"query_mask": ids}),
            "it is called with query_mask=input_layer, in whose place Keras takes the one that the query carries; leave it out",
        ),
        (
            json!([x(), x()]),
            json!({"value_mask": ids}),
            "it is called with mask=input_layer, another than its input carries; let the mask come with the input, from an Embedding with \
             mask_zero=True or a Masking",
        ),
    ] {
        let expected = format!("{HAS_NOT}multi_head_attention (MultiHeadAttention): {problem}{REPLACE}");
        assert_eq!(says(&call(args, kwargs, &[]), &weights), expected);
    }
}

#[test]
fn scores_and_windows() {
    let _alone = alone();
    let mut config = with(&[], json!([["multi_head_attention", 0, 0], ["multi_head_attention", 0, 1]]));
    let layer = attention(&mut config);
    layer["inbound_nodes"][0]["kwargs"] = json!({"use_causal_mask": true, "return_attention_scores": true});
    layer["config"]["sliding_window"] = json!(1);
    let (ids, outputs) = all(&read(&config));
    let [(_, mask), (scores, none)] = &outputs[..] else { panic!("two outputs") };
    assert!(mask.is_some() && none.is_none());
    let heads = scores.dims()[1];
    assert_eq!(scores.dims(), &[ids.dims()[0], heads, 5, 5]);
    // Each step sees itself alone.
    for (i, score) in scores.iter().enumerate() {
        let (row, query, key) = (i / (heads * 25), i / 5 % 5, i % 5);
        let counts = query == key && ids.as_slice()[row * 5 + key] != 0.0;
        assert_eq!(*score, f64::from(u8::from(counts)));
    }
}

#[test]
fn settings_that_cannot_be_had() {
    let _alone = alone();
    let (_, weights) = model(MASKED);
    let l2 =
        json!({"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.25}, "registered_name": null});
    for (name, value, problem) in [
        (
            "attention_axes",
            json!([1, 2]),
            "attention_axes=[1, 2]: steps attend along axis 1 of [batch, steps, features]; bring the axes together with keras.layers.Permute \
             and keras.layers.Reshape",
        ),
        (
            "output_shape",
            json!([2, 3]),
            "output_shape=[2, 3]: one axis of features can be had; give their product, and keras.layers.Reshape behind the layer",
        ),
        (
            "use_gate",
            json!(true),
            "use_gate=True: the gate is not built; build the layer with use_gate=False and train it anew",
        ),
        ("num_heads", json!(null), "no num_heads"),
        ("odd", json!(1), "odd=1: not known here"),
    ] {
        let mut config = with(&[], json!(["multi_head_attention", 0, 0]));
        attention(&mut config)["config"][name] = value;
        let said = says(&config.to_string(), &weights);
        let expected = format!("{HAS_NOT}multi_head_attention (MultiHeadAttention): {problem}{REPLACE}");
        assert_eq!(said, expected);
    }
    let mut config = with(&[], json!(["multi_head_attention", 0, 0]));
    attention(&mut config)["config"]["bias_regularizer"] = l2;
    let said = says(&config.to_string(), &weights);
    let problem = "a penalty or bound on the projections cannot be had; what it computes does not depend on it: build the layer without and give \
                   it the same weights: new.set_weights(layer.get_weights())";
    assert!(said.contains("(MultiHeadAttention): bias_regularizer={") && said.contains(problem), "{said}");
    let mut config = with(&[], json!(["multi_head_attention", 0, 0]));
    let heads = attention(&mut config)["config"]["num_heads"].as_u64().unwrap();
    attention(&mut config)["config"]["num_heads"] = json!(heads + 1);
    let said = says(&config.to_string(), &weights);
    let (few, many) = (format!("[5, {heads}, 3] in the file"), format!("[5, {}, 3] by its architecture", heads + 1));
    assert!(
        said.contains("multi_head_attention/query/kernel is ") && said.contains(&few) && said.contains(&many),
        "{said}"
    );
    // Arrays of the other class, which are elsewhere.
    let text = with(&[], json!(["multi_head_attention", 0, 0]));
    let mut grouped = text.clone();
    let layer = attention(&mut grouped);
    layer["class_name"] = json!("GroupQueryAttention");
    layer["config"] =
        json!({"name": "multi_head_attention", "head_dim": 3, "num_query_heads": heads, "num_key_value_heads": 1});
    let said = says(&grouped.to_string(), &weights);
    assert!(said.starts_with("the weights do not fit the model: ") && said.contains("query/kernel"), "{said}");
    layer_in_a_chain();
}

fn layer_in_a_chain() {
    let (config, weights) = model(MASKED);
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["config"]["layers"].clone();
    config["class_name"] = json!("Sequential");
    config["module"] = json!("keras");
    config["registered_name"] = json!(null);
    config["config"] = json!({"name": "chain", "trainable": true, "layers": layers});
    let problem = "multi_head_attention (MultiHeadAttention): it takes several tensors, and a Sequential hands it one; build the model with \
                   keras.Model(inputs, outputs)";
    assert_eq!(says(&config.to_string(), &weights), format!("{HAS_NOT}{problem}{REPLACE}"));
}

#[test]
fn attention_of_one_head() {
    let _alone = alone();
    for name in ["gqa_multi_query", "attention_concat_scaled", "additive_attention"] {
        let (config, weights) = model(name);
        agrees(&load(&config, &weights).unwrap(), name);
    }
    let (config, weights) = model("attention_concat_scaled");
    let edited = |from: &str, to: &str| {
        let changed = config.replace(from, to);
        assert_ne!(changed, config, "{from}");
        says(&changed, &weights)
    };
    let problem = |what: &str| format!("{HAS_NOT}attention (Attention): {what}{REPLACE}");
    assert_eq!(
        edited(r#""score_mode": "concat""#, r#""score_mode": "cosine""#),
        problem("score_mode=\"cosine\": no such scores")
    );
    let without = edited(r#""score_mode": "concat""#, r#""score_mode": "dot""#);
    assert!(without.starts_with("its weights have arrays that nothing reads: layers/attention/vars/1"), "{without}");
    let mut whole: Value = serde_json::from_str(&config).unwrap();
    // Also of what the calls below leave out.
    whole["config"]["output_layers"] = json!([["attention", 0, 0], ["dense", 0, 0]]);
    let layers = whole["config"]["layers"].as_array_mut().unwrap();
    let layer = layers.iter_mut().find(|layer| layer["class_name"] == "Attention").unwrap();
    let inputs = layer["inbound_nodes"][0]["args"][0].clone();
    layer["inbound_nodes"][0]["args"] = json!([inputs[0], inputs[1]]);
    let said = says(&whole.to_string(), &weights);
    assert!(said.starts_with(&problem("it is called with something else than a list of tensors")[..80]), "{said}");
    let layers = whole["config"]["layers"].as_array_mut().unwrap();
    let layer = layers.iter_mut().find(|layer| layer["class_name"] == "Attention").unwrap();
    layer["inbound_nodes"][0] = json!({"args": [[inputs[0]]], "kwargs": {"mask": [inputs[0], inputs[1]]}});
    let said = says(&whole.to_string(), &weights);
    assert!(said.contains("it is called with 1 tensors, where query, value and perhaps a key are expected"), "{said}");
}
