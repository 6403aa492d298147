//! Models with several inputs and outputs: compile, fit, evaluate, predict, files, and what is refused.

use gradus::prelude::*;

use crate::files::{Folder, alone, silent};

/// Two inputs, a shared tower, an inner value as an output, two trained heads.
fn model<T: Float>(seed: u64) -> Model<T> {
    let mut g = Graph::new();
    let (a, b) = (g.input("left", [4]), g.input("right", [4]));
    let tower = g.shared("tower", Dense::new(5).activation(Activation::Tanh));
    let (h, k) = (g.apply(&tower, a), g.apply(&tower, b));
    let both = g.op_named("both", Concatenate::new(), &[h, k]);
    let kind = g.add_named("kind", Dense::new(3).activation(Activation::Softmax), both);
    let size = g.add_named("size", Dense::new(1), both);
    g.build_as([kind, both, size], seed).unwrap()
}

fn heads<T: Float>() -> [Head<T>; 2] {
    // Not in the order of the outputs.
    [
        Head::new("size").loss(MeanSquaredError::default()).loss_weight(0.5),
        Head::new("kind")
            .loss(SparseCategoricalCrossentropy::default())
            .metrics([Accuracy::default()])
            .weighted_metrics([Accuracy::default()]),
    ]
}

fn compiled<T: Float>(seed: u64) -> Model<T> {
    let mut model = model(seed);
    model.compile_heads(Adam::default().learning_rate(0.01), heads()).unwrap();
    model
}

struct Data<T: Float> {
    left: Tensor<T>,
    right: Tensor<T>,
    kind: Tensor<T>,
    size: Tensor<T>,
}

fn data<T: Float>(n: usize) -> Data<T> {
    let values = |by: f64| Tensor::from_fn([n, 4], |i| T::of((i as f64 * by).sin()));
    let (left, right) = (values(0.7), values(1.3));
    let kind = Tensor::from_fn([n], |i| T::of((i % 3) as f64));
    let size = Tensor::from_fn([n, 1], |i| left.as_slice()[4 * i] * right.as_slice()[4 * i + 1]);
    Data { left, right, kind, size }
}

#[test]
fn names_and_orders() {
    let d = data::<f64>(40);
    let model = model::<f64>(1);
    assert_eq!(model.input_names(), ["left", "right"]);
    assert_eq!(model.output_names(), ["kind", "both", "size"]);
    let how = Fit::default().epochs(3).batch_size(8).verbose(Verbose::Silent);
    let mut by_place = compiled::<f64>(1);
    let history = by_place.fit([&d.left, &d.right], [&d.kind, &d.size], &how).unwrap();
    let names = ["loss", "kind_loss", "kind_accuracy", "kind_weighted_accuracy", "size_loss"];
    assert_eq!(history.names().collect::<Vec<_>>(), names);
    let mut by_name = compiled::<f64>(1);
    let (x, y) = ([("right", &d.right), ("left", &d.left)], [("size", &d.size), ("kind", &d.kind)]);
    assert_eq!(by_name.fit(x, y, &how).unwrap(), history);
    assert_eq!(by_name.params(), by_place.params());
    // The whole loss is made of the heads'.
    let last = |name: &str| history.last(name).unwrap();
    assert!((last("loss") - (last("kind_loss") + 0.5 * last("size_loss"))).abs() < 1e-12);
    let scores = by_name.evaluate(x, y).unwrap();
    assert!((scores.loss - (scores.get("kind_loss").unwrap() + 0.5 * scores.get("size_loss").unwrap())).abs() < 1e-12);
    let with = by_name.fit(x, y, &how.clone().validation_data(x, y)).unwrap();
    assert!(with.names().any(|name| name == "val_size_loss") && with.names().any(|name| name == "val_kind_accuracy"));
}

#[test]
fn predictions_of_all_outputs() {
    let (d, model) = (data::<f32>(600), model::<f32>(2));
    let all = model.predict_all([&d.left, &d.right]).unwrap();
    assert_eq!(all.iter().map(|y| y.dims().to_vec()).collect::<Vec<_>>(), [[600, 3], [600, 10], [600, 1]]);
    let mut predictor = model.predictor().unwrap();
    let mut y = vec![Tensor::default(); 3];
    for i in (0..600).step_by(37) {
        let (a, b) = (d.left.rows(i..i + 1).unwrap(), d.right.rows(i..i + 1).unwrap());
        predictor.predict_all_into(&[&a, &b], &mut y).unwrap();
        y.iter().zip(&all).for_each(|(y, all)| assert_eq!(y.as_slice(), all.row(i)));
    }
    let message = model.predict([&d.left, &d.right]).unwrap_err().to_string();
    assert_eq!(message, "predict: the model has 3 outputs (kind, both, size); predict_all gives one tensor for each");
    assert!(predictor.predict_into(&d.left, &mut Tensor::default()).is_err());
    assert!(model.predict_classes(&d.left).unwrap_err().to_string().contains("2 inputs (left, right) and 3 outputs"));
}

/// An input, an inner value, and one value twice.
#[test]
fn any_values_are_outputs() {
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let h = g.add(Dense::new(3).activation(Activation::Softmax), x);
    let y = g.add(Dense::new(2), h);
    let mut model = g.build([h, x, y, h], 0).unwrap();
    assert_eq!(model.output_names(), ["dense", "x", "dense_1", "dense_2"]);
    let x = Tensor::from_fn([5, 2], |i| i as f32 * 0.1);
    let all = model.predict_all(&x).unwrap();
    assert_eq!((&all[0], &all[1]), (&all[3], &x));
    model
        .compile_heads(
            Sgd::default(),
            [
                Head::new("dense").loss(CategoricalCrossentropy::default()),
                Head::new("dense_2").loss(CategoricalCrossentropy::default()).loss_weight(2.0),
                Head::new("dense_1").loss(MeanSquaredError::default()),
            ],
        )
        .unwrap();
    let (t, z) = (Tensor::from_fn([5, 3], |i| if i % 3 == 0 { 1.0 } else { 0.0 }), Tensor::zeros([5, 2]));
    let (loss, gradients) = model.gradients(&x, [&t, &z, &t]).unwrap();
    assert!(loss.is_finite() && gradients.iter().any(|g| *g != 0.0));
    let scores = model.evaluate(&x, [&t, &z, &t]).unwrap();
    assert_eq!(scores.get("dense_loss"), scores.get("dense_2_loss"));
}

#[test]
fn gradients_of_all_losses() {
    let d = data::<f64>(7);
    let mut model = compiled::<f64>(4);
    // By differences of the whole loss.
    let (_, gradients) = model.gradients([&d.left, &d.right], [&d.kind, &d.size]).unwrap();
    for i in (0..gradients.len()).step_by(5) {
        let mut at = |h: f64| {
            model.values_mut()[i] += h;
            let loss = model.gradients([&d.left, &d.right], [&d.kind, &d.size]).unwrap().0;
            model.values_mut()[i] -= h;
            loss
        };
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((gradients[i] - difference).abs() < 1e-8, "{i}: {} {difference}", gradients[i]);
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let d = data::<f32>(300);
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = compiled::<f32>(9);
            model.fit([&d.left, &d.right], [&d.kind, &d.size], &silent().epochs(2)).unwrap();
            model.params().values().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        })
    };
    let one = bits(1);
    (2..5).for_each(|threads| assert_eq!(bits(threads), one, "{threads} threads"));
}

#[test]
fn files_hold_graphs() {
    let _alone = alone();
    let folder = Folder::new("graphs");
    let path = folder.path("m.safetensors");
    let d = data::<f32>(12);
    let mut model = compiled::<f32>(5);
    model.set_trainable("tower", false).unwrap();
    model.fit([&d.left, &d.right], [&d.kind, &d.size], &silent().epochs(1)).unwrap();
    model.save(&path).unwrap();
    let again = Model::load(&path).unwrap();
    assert_eq!(again.params(), model.params());
    assert_eq!((again.input_names(), again.output_names()), (model.input_names(), model.output_names()));
    let x = [&d.left, &d.right];
    assert_eq!(again.predict_all(x).unwrap(), model.predict_all(x).unwrap());
    // A run goes on from a checkpoint of a graph; another graph is told apart.
    let checkpoint = Checkpoint::new(folder.path("run")).resume(true);
    let how = || Fit::default().batch_size(4).checkpoint(&checkpoint).verbose(Verbose::Silent);
    let (mut whole, mut parts) = (compiled::<f32>(6), compiled::<f32>(6));
    let plain = Fit::default().batch_size(4).verbose(Verbose::Silent);
    let history = whole.fit(x, [&d.kind, &d.size], &plain.clone().epochs(4)).unwrap();
    parts.fit(x, [&d.kind, &d.size], &how().epochs(2)).unwrap();
    let mut rest = compiled::<f32>(6);
    assert_eq!(rest.fit(x, [&d.kind, &d.size], &how().epochs(4)).unwrap(), history);
    assert_eq!(rest.params(), whole.params());
    // Another weight of a loss, one that goes, one that comes: each is told.
    let refused = |mut model: Model, how: &Fit<'_>| model.fit(x, [&d.kind, &d.size], how).unwrap_err().to_string();
    assert!(refused(weighed(0.75), &how().epochs(5)).contains("loss_weight of size: 0.5 then, 0.75 now"));
    assert!(refused(weighed(1.0), &how().epochs(5)).contains("loss_weight of size: 0.5 then, 1 now"));
    let weights: Vec<f32> = (0..d.kind.samples()).map(|i| i as f32).collect();
    let named = [("size", &weights[..])];
    let error = refused(weighed(0.5), &how().epochs(5).sample_weight(named));
    assert!(error.contains("sample_weight of size: none then"), "{error}");
    let held = how().epochs(5).validation_data(x, [&d.kind, &d.size]).validation_weight(named);
    let error = refused(weighed(0.5), &held);
    assert!(error.contains("validation_weight of size: none then"), "{error}");
}

/// The same graph with another weight of a loss.
fn weighed(weight: f64) -> Model {
    let mut model = model::<f32>(6);
    let [size, kind] = heads();
    model.compile_heads(Adam::default().learning_rate(0.01), [size.loss_weight(weight), kind]).unwrap();
    model
}

#[test]
fn what_is_refused_names_the_output() {
    let d = data::<f32>(6);
    let mut model = compiled::<f32>(1);
    let how = silent();
    let x = [&d.left, &d.right];
    let mut error =
        |x: gradus::model::Tensors<'_>, y: gradus::model::Tensors<'_>| model.fit(x, y, &how).unwrap_err().to_string();
    // A list where the order is wrong.
    let swapped = error(x.into(), [&d.size, &d.kind].into());
    assert!(swapped.starts_with("output kind: "), "{swapped}");
    assert_eq!(
        error((&d.left).into(), [&d.kind, &d.size].into()),
        "fit: x must be 2 (left, right), got 1; pass one tensor for each, in their order, [&left, &right], or by name, \
         [(\"left\", &left)…]"
    );
    let unknown = error(x.into(), [("kind", &d.kind), ("both", &d.size)].into());
    assert_eq!(unknown, "fit: y must be by the names kind, size, got both; correct or leave out the name");
    let short = d.right.rows(0..5).unwrap();
    assert!(error([&d.left, &short].into(), [&d.kind, &d.size].into()).contains("6 samples in the input right"));
    let mut plain = Sequential::new([4]).add(Dense::new(1)).build(0).unwrap();
    plain.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let two = plain.fit(x, &d.size, &how).unwrap_err().to_string();
    assert_eq!(two, "fit: x must be 1 (input), got 2; the model has one: pass a reference to its tensor");

    let mut model = self::model::<f32>(1);
    let mut error = |heads: Vec<Head>| model.compile_heads(Sgd::default(), heads).unwrap_err().to_string();
    let loss = MeanSquaredError::default;
    assert_eq!(
        error(vec![Head::new("sise").loss(loss())]),
        "compile: head must be for one of the outputs kind, both, size, got sise; correct the name"
    );
    assert!(error(vec![Head::new("size").loss(loss()), Head::new("size").loss(loss())]).contains("two for size"));
    assert!(error(vec![Head::new("size")]).contains("heads must be a loss for one at least, got none"));
    assert!(error(vec![Head::only().loss(loss())]).contains("Head::new(name)"));
    assert!(error(vec![Head::new("size").loss(loss()).loss_weight(-1.0)]).starts_with("output size: "));
    let wrong = error(vec![Head::new("kind").loss(BinaryCrossentropy::default())]);
    assert!(wrong.starts_with("output kind: "), "{wrong}");
    let metrics = model.compile(Sgd::default(), loss(), [Accuracy::default()]).unwrap_err().to_string();
    assert!(metrics.contains("() for a model of several outputs (kind, both, size)"), "{metrics}");
    model.compile(Sgd::default(), loss(), ()).unwrap();

    let mut model = compiled::<f32>(1);
    let weights = [1.0; 6];
    let how = silent().sample_weight([("sise", &weights[..])]);
    let unknown = model.fit(x, [&d.kind, &d.size], &how).unwrap_err().to_string();
    assert!(unknown.contains("for one of the outputs kind, size, got sise"), "{unknown}");
}
