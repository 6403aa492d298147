//! Embeddings whose gradients come by rows: everything that training can do besides.

use gradus::gradcheck::check_model;
use gradus::layers::merging::Dot;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

const IDS: usize = 400;

fn batch<T: Float>(number: u64, n: usize) -> (Tensor<T>, Tensor<T>) {
    let key = Key::new(9, Purpose::Data).with(number);
    let x = Tensor::from_fn([n, 3], |i| T::of(key.below(i as u64, IDS) as f64));
    (x, Tensor::from_fn([n, 2], |i| T::of(key.unit(1000 + i as u64))))
}

fn model<T: Float>(optimizer: impl Optimizer<T> + 'static) -> Model<T> {
    let layers = Sequential::new([3])
        .add(Embedding::new(IDS, 5).mask_zero(true).padding_idx(0))
        .add(GlobalAveragePooling1d::new())
        .add(Dense::new(2));
    let mut model = layers.build_as(4).unwrap();
    model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
    model
}

/// One table under two inputs, and the model's way over several batches to an update.
#[test]
fn shared_tables() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2]), g.input("b", [3]));
    let table = g.shared("table", Embedding::new(7, 4));
    let (left, right) = (g.apply(&table, a), g.apply(&table, b));
    let both = g.op(Dot::new([-1, -1]), &[left, right]);
    let y = g.add(Flatten::new(), both);
    let build = |g: Graph| {
        let mut model = g.build_as::<f64>([y], 2).unwrap();
        let optimizer = Sgd::default().learning_rate(0.5).gradient_accumulation_steps(2);
        model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
        model
    };
    let mut model = build(g);
    let batches = [
        (Tensor::from([[1.0, 5.0], [5.0, 5.0]]), Tensor::from([[0.0, 1.0, 6.0], [2.0, 2.0, 5.0]])),
        (Tensor::from([[3.0, 3.0], [0.0, 1.0]]), Tensor::from([[3.0, 1.0, 1.0], [6.0, 0.0, 1.0]])),
    ];
    let t = Tensor::from_fn([2, 6], |i| (i as f64).cos());
    let before = model.params().values().to_vec();
    let each = [0, 1].map(|i| model.gradients([&batches[i].0, &batches[i].1], &t).unwrap().1);
    for (a, b) in &batches {
        model.train_on_batch([a, b], &t).unwrap();
    }
    for (i, (after, before)) in model.params().values().iter().zip(&before).enumerate() {
        let expected = before - 0.5 * (each[0][i] + each[1][i]) / 2.0;
        assert!((after - expected).abs() < 1e-15, "{i}: {after}, expected {expected}");
    }
    // Row 4 is named by nobody.
    assert_eq!(model.params().values()[16..20], before[16..20]);
}

/// Neither `gradients` nor a batch without a finite loss disturbs the sum; frozen and thawed, it goes on.
#[test]
fn what_has_been_added_up_is_kept() {
    let optimizer = Adagrad::default().learning_rate(0.3).gradient_accumulation_steps(3);
    let (mut plain, mut disturbed) = (model::<f64>(optimizer.clone()), model::<f64>(optimizer));
    for number in 0..9 {
        let (x, y) = batch(number, 6);
        plain.train_on_batch(&x, &y).unwrap();
        let (other, t) = batch(100 + number, 4);
        disturbed.gradients(&other, &t).unwrap();
        assert!(disturbed.train_on_batch(&other, &Tensor::full([4, 2], -f64::MAX)).is_err());
        disturbed.train_on_batch(&x, &y).unwrap();
        if number % 3 == 2 {
            for model in [&mut plain, &mut disturbed] {
                model.set_trainable("embedding", number == 5).unwrap();
            }
        }
    }
    assert_eq!(plain.params().values(), disturbed.params().values());
}

/// A step of all rows at once: gradients as `gradients` gives them, and the public update.
#[test]
fn a_step_is_that_of_the_whole_gradient() {
    let optimizer = Adagrad::default().learning_rate(0.3).global_clipnorm(0.01);
    let (mut rows, mut whole) = (model::<f32>(optimizer.clone()), model::<f32>(optimizer.clone()));
    let (_, mut params) = {
        let mut g = Graph::new();
        let x = g.input("x", [3]);
        let h = g.add(Embedding::new(IDS, 5).mask_zero(true).padding_idx(0), x);
        let h = g.add(GlobalAveragePooling1d::new(), h);
        let y = g.add(Dense::new(2), h);
        g.build_net::<f32>(&[y], 4).unwrap()
    };
    assert_eq!(params.values(), whole.params().values());
    let mut state = gradus::optimizers::OptimizerState::new(&optimizer, &params);
    for number in 0..5 {
        let (x, y) = batch(number, 6);
        rows.train_on_batch(&x, &y).unwrap();
        let (_, mut gradients) = whole.gradients(&x, &y).unwrap();
        assert!(state.step(&optimizer, &mut params, &mut gradients));
        for (spec, id) in params.specs().iter().map(|spec| (spec, params.find(&spec.name).unwrap())) {
            whole.set_weight(&spec.name, params.get(id)).unwrap();
        }
        assert_eq!(rows.params().values(), params.values());
    }
}

/// A head on the embedding's matrix: gradients of both uses, one matrix in files and in parts.
#[test]
fn tied_heads() {
    let build = || {
        let layers = Sequential::new([3])
            .add_named("words", Embedding::new(6, 4))
            .add(Dense::new(4).activation(Activation::Tanh))
            .add_named("head", TiedDense::new("words/embeddings").use_bias(true).activation(Activation::Softmax));
        layers.build_as::<f64>(1).unwrap()
    };
    let mut model = build();
    model.compile(Adagrad::default().learning_rate(0.5), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let x = Tensor::from([[0.0, 3.0, 3.0], [5.0, 1.0, 0.0]]);
    let y = Tensor::from([[3.0, 1.0, 1.0], [1.0, 0.0, 3.0]]);
    check_model(&mut model, &x, &y).unwrap();
    assert_eq!(model.params().len(), 24 + 20 + 6);
    let first = model.train_on_batch(&x, &y).unwrap();
    let last = (0..200).map(|_| model.train_on_batch(&x, &y).unwrap()).last().unwrap();
    assert!(last < 0.1 * first, "{first} to {last}");
    // Frozen where it is registered, for both uses.
    model.set_trainable("words", false).unwrap();
    let before = model.weight("words/embeddings").unwrap().to_vec();
    model.train_on_batch(&x, &y).unwrap();
    assert_eq!(model.weight("words/embeddings").unwrap(), before);
    #[cfg(feature = "files")]
    {
        let path = std::env::temp_dir().join(format!("gradus-tied-{}.safetensors", std::process::id()));
        model.save(&path).unwrap();
        let mut again = build();
        let loaded = again.load_weights(&path);
        std::fs::remove_file(&path).unwrap();
        loaded.unwrap();
        assert_eq!(again.predict(&x).unwrap(), model.predict(&x).unwrap());
    }
}

/// What is killed between two updates goes on with the same bits.
#[cfg(feature = "files")]
#[test]
fn resumed_between_two_updates() {
    let path = std::env::temp_dir().join(format!("gradus-tables-{}.safetensors", std::process::id()));
    let train = |stop_at: Option<usize>, resume: bool| {
        let mut model = model::<f32>(Adagrad::default().learning_rate(0.3).gradient_accumulation_steps(3));
        let (x, y) = batch(0, 80);
        let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| match Some(batch) == stop_at {
            true => Err(Error::custom("stop")),
            false => Ok(()),
        });
        let checkpoint = Checkpoint::new(&path).every_steps(1).background(false);
        let how = Fit::default().epochs(2).batch_size(8).verbose(Verbose::Silent);
        let how = if stop_at.is_some() || resume { how.checkpoint(&checkpoint) } else { how };
        let ended = model.fit_with(&x, &y, &how, &mut [&mut stop]);
        assert_eq!(ended.is_err(), stop_at.is_some());
        model.params().values().to_vec()
    };
    let whole = train(None, false);
    for stop_at in [2, 3, 4, 7] {
        train(Some(stop_at), false);
        assert!(path.exists());
        let resumed = train(None, true);
        std::fs::remove_file(&path).unwrap();
        assert!(resumed == whole, "stopped at batch {stop_at}");
    }
}

/// Settings, and the name of what vectors came from, go through files.
#[cfg(feature = "files")]
#[test]
fn settings_are_saved() {
    let path = std::env::temp_dir().join(format!("gradus-vectors-{}.safetensors", std::process::id()));
    let vectors = Tensor::from_fn([4, 3], |i| i as f32);
    let embedding = Embedding::from_vectors(vectors.clone()).unwrap().padding_idx(1);
    let model = Sequential::new([2]).add(embedding).trainable(false).build(0).unwrap();
    model.save(&path).unwrap();
    let again = Model::load(&path);
    std::fs::remove_file(&path).unwrap();
    let again = again.unwrap();
    assert_eq!(again.params().values(), model.params().values());
    assert_eq!((again.params().get(again.params().find("embedding/embeddings").unwrap())[3..6]), [0.0; 3]);
    assert_eq!(again.summary().trainable, 0);
}
