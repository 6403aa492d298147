//! Parts of models, new heads, weights from model to model, layers frozen by pattern, values by name.

use gradus::graph::Graph;
use gradus::layers::merging::{Add, Concatenate};
use gradus::models::{UNet, siamese, wide_and_deep};
use gradus::prelude::*;

fn samples<T: Float>(shape: impl Into<Shape>) -> Tensor<T> {
    Tensor::from_fn(shape, |i| T::of((i * 37 % 101) as f64 * 0.02 - 1.0))
}

fn tanh(units: usize) -> Dense {
    Dense::new(units).activation(Activation::Tanh)
}

/// A line with a container, a batch norm, and noise.
fn line() -> Model {
    Sequential::new([6])
        .add(tanh(5))
        .add_named("block", Residual::new().add(tanh(7)).add(BatchNorm::new()).add(Dense::new(5)))
        .add(Dropout::new(0.3))
        .add(tanh(3))
        .add_named("head", Dense::new(4).activation(Activation::Softmax))
        .build(3)
        .unwrap()
}

fn twins() -> Model {
    let mut g = Graph::new();
    let pair = [g.input("left", [4]), g.input("right", [4])];
    let y = siamese(&mut g, Block::new().add(tanh(5)).add(tanh(3)), pair);
    g.build(y, 5).unwrap()
}

/// The model that comes back from a file.
#[cfg(feature = "files")]
fn saved(model: &Model, name: &str) -> Model {
    let path = std::env::temp_dir().join(format!("gradus_parts_{name}_{}.safetensors", std::process::id()));
    model.save(&path).unwrap();
    let again = Model::load(&path);
    std::fs::remove_file(path).unwrap();
    again.unwrap()
}

fn error<T>(result: gradus::Result<T>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn parts_of_a_line_give_its_inner_values() {
    let model = line();
    let x = samples([300, 6]);
    let names = ["dense", "block/dense", "block/batch_norm", "block", "dropout", "dense_1", "head"];
    let all = model.outputs_of(names, &x).unwrap();
    assert_eq!(all[6], model.predict(&x).unwrap());
    for (name, value) in names.iter().zip(&all) {
        let part = model.part("input", *name).unwrap();
        assert_eq!(&part.predict(&x).unwrap(), value, "{name}");
        assert_eq!(part.output_names(), [*name]);
        for spec in part.params().specs() {
            let own = part.weight(&spec.name).unwrap();
            assert_eq!(own, model.weight(&spec.name).unwrap(), "{}", spec.name);
        }
    }
    for (from, before) in names.iter().zip(&all).filter(|(name, _)| !name.contains('/')) {
        if *from != "head" {
            let part = model.part(*from, "head").unwrap();
            assert_eq!(part.input_names(), [*from]);
            assert_eq!(part.predict(before).unwrap(), all[6], "{from}");
        }
    }
    // From the middle to the middle, and several values at once.
    let middle = model.part("dense", ["block", "block/dense", "dense_1"]).unwrap();
    let values = middle.predict_all(&all[0]).unwrap();
    assert_eq!(values, [all[3].clone(), all[1].clone(), all[5].clone()]);
    // The names of what is left out are not taken.
    assert_eq!(model.part("block", "head").unwrap().params().specs()[0].name, "dense_1/kernel");
}

#[test]
fn parts_of_graphs() {
    let mut g = Graph::new();
    let (wide, deep) = (g.input("wide", [3]), g.input("deep", [FREE, 2]));
    let pooled = g.add(GlobalAveragePooling1d::new(), deep);
    let y = wide_and_deep(&mut g, wide, pooled, &[6, 4], Dense::new(1));
    let model = g.build(y, 1).unwrap();
    let x = [samples([9, 3]), samples([9, 7, 2])];
    let inner = model.outputs_of(["dense_1", "concatenate", "deep"], &x[..]).unwrap();
    let deep = model.part("deep", "dense_1").unwrap();
    assert_eq!(deep.input_shapes(), [[FREE, 2].into()]);
    assert_eq!(deep.predict(&x[1]).unwrap(), inner[0]);
    assert_eq!(inner[2], x[1]);
    let end = model.part(["dense_1", "wide"], ["head"]).unwrap();
    assert_eq!(end.input_names(), ["dense_1", "wide"]);
    assert_eq!(end.predict([&inner[0], &x[0]]).unwrap(), model.predict(&x[..]).unwrap());
    assert_eq!(model.activations(&x[..]).unwrap().len(), model.outline().len());

    let problem = error(model.part("deep", "head"));
    assert!(problem.contains("the outputs do not follow from deep alone, but from wide too"), "{problem}");
    let problem = error(model.part(["wide", "deep"], "dense_1"));
    assert!(problem.contains("no output depends on wide"), "{problem}");
    let problem = error(model.part("depe", "head"));
    assert!(
        problem.starts_with("part: from must be the name of an input or the path of a layer (wide, deep, "),
        "{problem}"
    );
    assert!(error(model.part("deep", "dense_2")).contains("got dense_2"));
    assert!(error(model.part(["wide", "wide"], "head")).contains("wide twice"));
    assert!(error(model.part(&[][..], "head")).contains("one name at least"));
    assert!(error(model.outputs_of("nothing", &x[..])).contains("got nothing"));
}

/// Free sizes are no reason to look for endless memory.
#[test]
fn models_of_free_sizes_predict_many() {
    let mut g = Graph::new();
    let x = g.input("x", [FREE, 3]);
    let y = g.add(Conv1d::new(4, 3).activation(Activation::Gelu), x);
    let model = g.build(y, 1).unwrap();
    assert_eq!(model.predict(&samples([700, 9, 3])).unwrap().dims(), &[700, 7, 4]);
    let inner = model.outputs_of("conv1d", &samples([700, 11, 3])).unwrap();
    assert_eq!(inner[0].dims(), &[700, 9, 4]);
}

#[test]
fn a_decoder_takes_skips_as_inputs() {
    let mut g = Graph::new();
    let image = g.input("image", [8, 8, 1]);
    let y = g.add(UNet::new(2).filters(2).depth(2), image);
    let model = g.build(y, 1).unwrap();
    let x = samples([3, 8, 8, 1]);
    let names = ["down_1", "down_2", "bottom"];
    let values = model.outputs_of(names, &x).unwrap();
    let decoder = model.part(names, "head").unwrap();
    assert_eq!(decoder.predict(&values).unwrap(), model.predict(&x).unwrap());
    assert!(error(model.part("bottom", "head")).contains("but from image too"));
}

#[test]
fn what_is_shared_stays_shared() {
    let model = twins();
    let x = [samples([5, 4]), samples::<f32>([5, 4]).map(|v| 0.3 - v)];
    let names: Vec<String> = model.activations(&x[..]).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tower", "tower#2", "subtract", "absolute", "head"]);
    let values = model.outputs_of(["tower", "tower#2", "tower#2/block"], &x[..]).unwrap();
    assert_eq!(values[1], values[2]);
    // Each tower alone has all of its weights, under their names.
    for (input, name, i) in [("left", "tower", 0), ("right", "tower#2", 1)] {
        let tower = model.part(input, name).unwrap();
        assert_eq!(tower.predict(&x[i]).unwrap(), values[i]);
        assert_eq!(tower.params().specs()[0].name, "tower/block/dense/kernel");
        assert_eq!(tower.params().len(), 4 * 5 + 5 + 5 * 3 + 3);
    }
    let both = model.part(["left", "right"], ["tower", "tower#2"]).unwrap();
    assert_eq!(both.params().len(), 4 * 5 + 5 + 5 * 3 + 3);
    assert_eq!(both.predict_all(&x[..]).unwrap(), values[..2]);
    // A frozen tower is frozen in the second part too, and so it is saved.
    let mut model = model;
    model.set_trainable("tower", false).unwrap();
    let tower = model.part("right", "tower#2").unwrap();
    assert_eq!(tower.summary().trainable, 0);
    #[cfg(feature = "files")]
    assert_eq!(saved(&tower, "tower").summary().trainable, 0);
}

/// What is shared between scopes carries the name of the first place that is left.
#[test]
fn a_second_place_alone() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let part = g.shared("same", tanh(3));
    let a = g.scope("a", |g| g.apply(&part, x));
    let b = g.scope("b", |g| {
        let h = g.add(tanh(3), a);
        g.apply(&part, h)
    });
    let model = g.build(b, 2).unwrap();
    let x = samples([4, 3]);
    let values = model.outputs_of(["a", "b"], &x).unwrap();
    let second = model.part("a", "b").unwrap();
    assert_eq!(second.predict(&values[0]).unwrap(), values[1]);
    assert_eq!(second.weight("b/same/dense/kernel").unwrap(), model.weight("a/same/dense/kernel").unwrap());
    assert_eq!(model.outputs_of(["b/same"], &x).unwrap()[0], values[1]);
}

#[test]
fn parts_train_and_keep_what_is_frozen() {
    let mut model = line();
    model.set_trainable("dense", false).unwrap();
    model.set_learning_rate_factor("block", 0.5).unwrap();
    let x = samples([32, 6]);
    let mut part = model.part("input", "dense_1").unwrap();
    let spec = |name: &str| part.params().specs().iter().find(|s| s.name == name).unwrap().clone();
    assert!(spec("dense/kernel").frozen && !spec("dense/bias").trainable);
    assert_eq!(spec("block/dense/kernel").learning_rate_factor, 0.5);
    let before = part.params().values().to_vec();
    part.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    let how = Fit::default().epochs(2).verbose(Verbose::Silent);
    part.fit(&x, &samples([32, 3]), &how).unwrap();
    assert_eq!(part.weight("dense/kernel").unwrap(), model.weight("dense/kernel").unwrap());
    assert_ne!(part.weight("dense_1/kernel").unwrap(), model.weight("dense_1/kernel").unwrap());
    // The whole is not touched.
    assert_eq!(before, model.part("input", "dense_1").unwrap().params().values());
    #[cfg(feature = "files")]
    {
        let again = saved(&part, "part");
        assert_eq!(again.params(), part.params());
        assert_eq!(again.predict(&x).unwrap(), part.predict(&x).unwrap());
    }
}

/// Gradients with respect to a new input are those that pass through that value in the whole.
#[test]
#[cfg(feature = "tools")]
fn gradients_of_parts_multiply() {
    let model = Sequential::new([3])
        .add_named("one", tanh(1))
        .add_named("two", tanh(4))
        .add_named("three", Dense::new(1))
        .build_as::<f64>(8)
        .unwrap();
    let x = samples([5, 3]);
    let whole = model.input_gradient(&x, Target::class(0)).unwrap();
    let (first, second) = (model.part("input", "one").unwrap(), model.part("one", "three").unwrap());
    let inner = first.input_gradient(&x, Target::class(0).activated(true)).unwrap();
    let outer = second.input_gradient(&first.predict(&x).unwrap(), Target::class(0)).unwrap();
    for i in 0..5 {
        for j in 0..3 {
            approx::assert_relative_eq!(whole.row(i)[j], inner.row(i)[j] * outer.row(i)[0], max_relative = 1e-12);
        }
    }
}

#[test]
fn a_new_head_keeps_the_rest() {
    let model = line();
    let x = samples([20, 6]);
    let classes = || Dense::new(2).activation(Activation::Softmax);
    let body = model.part("input", "dense_1").unwrap();
    let mut new = model.with_head("dense_1", 7, |g, x| g.add(classes(), x)).unwrap();
    assert_eq!(new.output_names(), ["dense_2"]);
    assert_eq!(new.params().len(), body.params().len() + 3 * 2 + 2);
    assert_eq!(new.part("input", "dense_1").unwrap().predict(&x).unwrap(), body.predict(&x).unwrap());
    // The seed decides the new weights; a name that is free again can be taken.
    let named = |seed| model.with_head("dense_1", seed, |g, x| g.add_named("head", classes(), x)).unwrap();
    assert_eq!(named(1).weight("head/kernel").unwrap(), named(1).weight("head/kernel").unwrap());
    assert_ne!(named(1).weight("head/kernel").unwrap(), named(2).weight("head/kernel").unwrap());
    // Trained with a frozen body, the body stays, its statistics too.
    new.set_trainable_matching("*", false).unwrap();
    new.set_trainable("dense_2", true).unwrap();
    new.compile(Sgd::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let y = Tensor::from_labels(&(0..20).map(|i| i % 2).collect::<Vec<_>>());
    new.fit(&x, &y, &Fit::default().epochs(3).verbose(Verbose::Silent)).unwrap();
    assert_eq!(new.part("input", "dense_1").unwrap().params().values(), body.params().values());
    assert_ne!(new.weight("dense_2/bias").unwrap(), [0.0; 2]);

    let twins = twins();
    let problem = error(twins.with_head("tower", 1, |g, x| g.add(Dense::new(1), x)));
    assert!(problem.contains("no output depends on right"), "{problem}");
    let apart = |g: &mut Graph, x| g.add_named("size", Dense::new(2), x);
    let more = twins.with_head("absolute", 1, apart).unwrap();
    assert_eq!((more.input_names(), more.output_names()), (vec!["left", "right"], vec!["size".to_owned()]));
    assert!(error(twins.with_head("tail", 1, apart)).contains("edit: name must be"));
}

#[test]
fn outputs_beside_the_old_ones() {
    let model = line();
    let mut edit = model.edit();
    let (block, last) = (edit.value("block").unwrap(), edit.value("dense_1").unwrap());
    let both = edit.graph.op(Concatenate::new(), &[block, last]);
    let size = edit.graph.add_named("size", Dense::new(1), both);
    let head = edit.value("head").unwrap();
    let new = edit.build([head, size], 4).unwrap();
    let x = samples([7, 6]);
    assert_eq!(new.predict_all(&x).unwrap()[0], model.predict(&x).unwrap());
    assert_eq!(new.output_names(), ["head", "size"]);
    // Mistakes are those of a graph.
    let mut edit = model.edit();
    let (block, last) = (edit.value("block").unwrap(), edit.value("dense_1").unwrap());
    let sum = edit.graph.op(Add::new().same_shapes(true), &[block, last]);
    assert!(error(edit.build(sum, 4)).contains("Add: expected operands of one shape"));
}

#[test]
#[cfg(feature = "files")]
fn what_is_shared_later_is_not_what_a_file_shares() {
    let model = saved(&twins(), "twins");
    let mut edit = model.edit();
    let own = edit.graph.shared("own", Dense::new(2));
    let x = edit.value("absolute").unwrap();
    let y = edit.graph.apply(&own, x);
    let new = edit.build(y, 1).unwrap();
    assert_eq!(new.params().len(), 4 * 5 + 5 + 5 * 3 + 3 + 3 * 2 + 2);
}

#[test]
#[cfg(feature = "files")]
fn weights_from_another_model() {
    let (source, mut model) = (line(), line().discard_weights(9).unwrap());
    let x = samples([5, 6]);
    assert!(model.copy_weights(&source, &LoadWeights::default()).unwrap().is_empty());
    assert_eq!(model.predict(&x).unwrap(), source.predict(&x).unwrap());
    // A part of it, under other names.
    let layers = Sequential::new([6]).add_named("first", tanh(5)).add_named("other", Dense::new(2));
    let mut small = layers.build(0).unwrap();
    let how = LoadWeights::default().rename("dense/", "first/");
    let before = small.params().clone();
    let problem = error(small.copy_weights(&source, &how));
    assert!(
        problem.starts_with("the other model: the weights do not fit the model: missing: other/kernel"),
        "{problem}"
    );
    assert_eq!(&before, small.params());
    let left = small.copy_weights(&source, &how.partial(true)).unwrap();
    assert_eq!(left.missing, ["other/kernel", "other/bias"]);
    assert_eq!(small.weight("first/kernel").unwrap(), source.weight("dense/kernel").unwrap());
    let both = LoadWeights::default().partial(true).rename("dense_1/", "dense/");
    assert!(error(model.copy_weights(&source, &both)).contains("both stand for dense/kernel"));
}

#[test]
fn frozen_by_pattern() {
    let body = || Block::new().add(Dense::new(4)).add(BatchNorm::new()).add(Dense::new(4));
    let layers = Sequential::new([3]).add_named("body_1", body()).add_named("body_2", body());
    let mut model = layers.add_named("head", Dense::new(2)).build(0).unwrap();
    let frozen = |model: &Model| -> Vec<String> {
        let all = model.params().specs().iter().filter(|s| s.frozen).map(|s| s.name.clone());
        all.filter(|name| name.ends_with("kernel") || name.ends_with("gamma")).collect()
    };
    assert_eq!(model.set_trainable_matching("*/batch_norm", false).unwrap(), 2);
    assert_eq!(frozen(&model), ["body_1/batch_norm/gamma", "body_2/batch_norm/gamma"]);
    assert_eq!(model.set_trainable_matching("body_?", false).unwrap(), 6);
    assert_eq!(frozen(&model).len(), 6);
    assert_eq!(model.set_trainable_matching("body_2/dense*", true).unwrap(), 2);
    let some = ["body_1/dense/kernel", "body_1/batch_norm/gamma", "body_1/dense_1/kernel", "body_2/batch_norm/gamma"];
    assert_eq!(frozen(&model), some);
    #[cfg(feature = "files")]
    assert_eq!(frozen(&saved(&model, "pattern")), some);
    assert_eq!(model.set_trainable_matching("*", true).unwrap(), 7);
    assert!(frozen(&model).is_empty());
    #[cfg(feature = "files")]
    assert!(frozen(&saved(&model, "pattern")).is_empty());
    assert_eq!(
        error(model.set_trainable_matching("boddy*", false)),
        "set_trainable_matching: pattern must be one that matches a layer with weights (body_1, body_1/dense, \
         body_1/batch_norm, body_1/dense_1, body_2, body_2/dense, body_2/batch_norm, body_2/dense_1, head), got boddy*; * stands \
         for any characters, ? for one"
    );
    // Statistics are not learnt, frozen or not.
    assert!(model.params().specs().iter().all(|s| s.trainable != s.state));
}

/// Keras: `trainable = False` runs a batch norm in inference mode.
#[test]
fn frozen_batch_norms_go_by_their_moving_averages() {
    let build = || {
        let layers = Sequential::new([3]).add(Dense::new(4)).add(BatchNorm::new().momentum(0.5));
        let mut model = layers.add_named("head", Dense::new(1)).build_as::<f64>(1).unwrap();
        model.set_weight("batch_norm/moving_mean", &[0.1, -0.2, 0.3, 0.0]).unwrap();
        model.set_weight("batch_norm/moving_variance", &[2.0, 0.5, 1.0, 3.0]).unwrap();
        model
    };
    let (x, y) = (samples::<f64>([8, 3]), samples::<f64>([8, 1]));
    let mut model = build();
    model.set_trainable_matching("batch_norm", false).unwrap();
    model.compile(Sgd::default().learning_rate(0.1), MeanSquaredError::default(), ()).unwrap();
    // The loss of a step in training is that of inference before it.
    let loss = model.evaluate(&x, &y).unwrap().loss;
    let trained = model.train_on_batch(&x, &y).unwrap();
    approx::assert_relative_eq!(trained, loss, max_relative = 1e-12);
    for name in ["gamma", "beta", "moving_mean", "moving_variance"] {
        let name = format!("batch_norm/{name}");
        assert_eq!(model.weight(&name).unwrap(), build().weight(&name).unwrap());
    }
    assert_ne!(model.weight("dense/kernel").unwrap(), build().weight("dense/kernel").unwrap());
    // Thawed, both change.
    model.set_trainable_matching("batch_norm", true).unwrap();
    model.train_on_batch(&x, &y).unwrap();
    assert_ne!(model.weight("batch_norm/moving_mean").unwrap(), build().weight("batch_norm/moving_mean").unwrap());
    assert_ne!(model.weight("batch_norm/beta").unwrap(), [0.0; 4]);
}
