//! Adapters beside kernels: gradients, what stays as it was, files, several at a time.

#[cfg(feature = "files")]
use crate::files::Folder;
use gradus::gradcheck::check_model;
use gradus::graph::{Graph, TransformerDecoderBlock};
use gradus::model::Lora;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

fn noise<T: Float>(dims: &[usize], part: u64) -> Tensor<T> {
    let key = Key::new(5, Purpose::Data).with(part);
    Tensor::from_fn(Shape::try_from(dims).unwrap(), |i| T::of(key.unit(i as u64) - 0.5))
}

/// A block with attention and a gated feed-forward layer, and a head.
fn model<T: Float>(seed: u64) -> Model<T> {
    let mut g = Graph::new();
    let x = g.input("x", [5, 6]);
    let block = TransformerDecoderBlock::new(6, 2).hidden(7).key_heads(1).gated(true);
    let h = g.add_named("block", block, x);
    let y = g.add_named("head", Dense::new(3), h);
    g.build_as([y], seed).unwrap()
}

/// Gives both matrices values that matter.
fn shake<T: Float>(model: &mut Model<T>) {
    let names: Vec<String> = model.params().specs().iter().map(|spec| spec.name.clone()).collect();
    for (i, name) in names.iter().enumerate().filter(|(_, name)| name.contains("/lora_")) {
        let values = noise::<T>(&[model.weight(name).unwrap().len()], i as u64);
        model.set_weight(name, values.as_slice()).unwrap();
    }
}

fn compile<T: Float>(model: &mut Model<T>) {
    model.compile(Adam::default().learning_rate(0.02), MeanSquaredError::default(), ()).unwrap();
}

#[test]
fn nothing_changes_before_training() {
    let (mut model, x) = (model::<f32>(1), noise(&[4, 5, 6], 0));
    let before = model.predict(&x).unwrap();
    // q, k, v and output, gate, up and down; not the head.
    assert_eq!(model.add_lora("a", &Lora::new(2).alpha(8.0)).unwrap(), 7, "{:?}", model.lora_targets());
    let bits = |t: &Tensor| t.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&model.predict(&x).unwrap()), bits(&before));
    let summary = model.summary();
    let own = model.params().specs().iter().filter(|spec| spec.name.contains("/lora_")).map(|spec| spec.range.len());
    assert_eq!(summary.trainable, own.sum::<usize>());
}

#[test]
fn gradients_with_and_without_dropout() {
    for lora in [
        Lora::new(2).alpha(3.0),
        Lora::new(3).dropout(0.4).rank_stabilised(true).train("head"),
        Lora::new(1).target("head").target("block/*query*").dropout(0.2),
    ] {
        let mut model = model::<f64>(2);
        model.add_lora("a", &lora).unwrap();
        shake(&mut model);
        compile(&mut model);
        check_model(&mut model, &noise(&[3, 5, 6], 1), &noise(&[3, 5, 3], 2)).unwrap();
    }
}

#[test]
fn input_gradients_go_through_adapters() {
    // A layer below that is trained has its gradient through the adapters above.
    let mut model = Sequential::new([4])
        .add_named("low", Dense::new(5).activation(Activation::Tanh))
        .add_named("middle", Dense::new(5).activation(Activation::Tanh))
        .add_named("head", Dense::new(2))
        .build_as::<f64>(3)
        .unwrap();
    model.add_lora("a", &Lora::new(2).target("middle").dropout(0.3).train("low")).unwrap();
    shake(&mut model);
    compile(&mut model);
    check_model(&mut model, &noise(&[5, 4], 1), &noise(&[5, 2], 2)).unwrap();
}

#[test]
fn frozen_weights_stay_and_adapters_learn() {
    let (x, y) = (noise(&[24, 5, 6], 1), noise(&[24, 5, 3], 2));
    let mut model = model::<f32>(4);
    let weights: Vec<f32> = model.params().values().to_vec();
    model.add_lora("a", &Lora::new(2).dropout(0.1)).unwrap();
    compile(&mut model);
    let before = model.evaluate(&x, &y).unwrap().loss;
    model.fit(&x, &y, &Fit::default().epochs(5).batch_size(8).verbose(Verbose::Silent)).unwrap();
    assert!(model.evaluate(&x, &y).unwrap().loss < 0.9 * before);
    assert_eq!(model.params().values()[..weights.len()], weights);
    // Without the adapter it is as it was.
    model.set_active_lora(&[]).unwrap();
    assert_eq!(model.evaluate(&x, &y).unwrap().loss, before);
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    let (mut model, x) = (model::<f32>(5), noise(&[7, 5, 6], 3));
    model.add_lora("a", &Lora::new(3)).unwrap();
    shake(&mut model);
    let all = model.predict(&x).unwrap();
    for i in 0..7 {
        let one = model.predict(&Tensor::new([1, 5, 6], x.row(i).to_vec()).unwrap()).unwrap();
        assert_eq!(one.row(0), all.row(i));
    }
}

#[test]
fn merged_is_within_rounding_and_comes_apart_again() {
    let (mut model, x) = (model::<f32>(6), noise(&[4, 5, 6], 4));
    let plain = model.predict(&x).unwrap();
    model.add_lora("a", &Lora::new(3).alpha(6.0)).unwrap();
    shake(&mut model);
    let beside = model.predict(&x).unwrap();
    let near = |a: &Tensor, b: &Tensor| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 4e-6 * (1.0 + b.abs()));
    assert!(!near(&beside, &plain));
    model.merge_lora("a").unwrap();
    assert!(near(&model.predict(&x).unwrap(), &beside));
    assert!(model.merge_lora("a").unwrap_err().to_string().contains("merged already"));
    assert!(model.set_active_lora(&[]).unwrap_err().to_string().contains("unmerge_lora"));
    let alone = model.without_lora().unwrap();
    assert!(alone.lora_names().is_empty() && near(&alone.predict(&x).unwrap(), &beside));
    assert_eq!(alone.output_names(), model.output_names());
    model.unmerge_lora("a").unwrap();
    assert!(near(&model.predict(&x).unwrap(), &beside));
    assert!(model.unmerge_lora("a").unwrap_err().to_string().contains("not merged"));
    assert!(near(&model.without_lora().unwrap().predict(&x).unwrap(), &plain));
}

#[test]
fn several_at_a_time() {
    let (mut model, x) = (model::<f64>(7), noise(&[2, 5, 6], 5));
    model.add_lora("a", &Lora::new(2).target("head")).unwrap();
    shake(&mut model);
    let a = model.predict(&x).unwrap();
    model.add_lora("b", &Lora::new(1).target("head")).unwrap();
    assert_eq!(model.lora_names(), [("a", false), ("b", true)]);
    shake(&mut model);
    let b = model.predict(&x).unwrap();
    model.set_active_lora(&[]).unwrap();
    let plain = model.predict(&x).unwrap();
    model.set_active_lora(&["b", "a"]).unwrap();
    let both = model.predict(&x).unwrap();
    let near =
        both.iter().zip(&a).zip(b.iter().zip(&plain)).all(|((both, a), (b, p))| (both - (a + b - p)).abs() < 1e-12);
    assert!(near, "what adapters give adds up");
    compile(&mut model);
    check_model(&mut model, &x, &noise(&[2, 5, 3], 6)).unwrap();
}

#[test]
fn parts_keep_their_adapters() {
    let (mut model, x) = (model::<f32>(8), noise(&[2, 5, 6], 5));
    model.add_lora("a", &Lora::new(2).target("*")).unwrap();
    shake(&mut model);
    let body = model.part("x", "block").unwrap();
    let head = model.part("block", "head").unwrap();
    assert_eq!(head.predict(&body.predict(&x).unwrap()).unwrap(), model.predict(&x).unwrap());
    assert_eq!(head.params().specs().iter().filter(|spec| spec.name.contains("/lora_")).count(), 2);
}

#[cfg(feature = "files")]
#[test]
fn saved_and_loaded() {
    let folder = Folder::new("lora_saved");
    let (mut model, x) = (model::<f32>(9), noise(&[2, 5, 6], 5));
    model.add_lora("a", &Lora::new(2).dropout(0.25).train("head")).unwrap();
    shake(&mut model);
    model.add_lora("b", &Lora::new(3).target("head")).unwrap();
    shake(&mut model);
    model.set_active_lora(&["a"]).unwrap();
    let file = folder.path("m.safetensors");
    for merged in [false, true] {
        if merged {
            model.merge_lora("a").unwrap();
        }
        model.save(&file).unwrap();
        let again = Model::load(&file).unwrap();
        assert_eq!(again.predict(&x).unwrap(), model.predict(&x).unwrap());
        assert_eq!(again.lora_names(), model.lora_names());
        assert_eq!(again.params(), model.params());
    }
}

/// A run that stops and goes on ends with the bits of one that does not.
#[cfg(feature = "files")]
#[test]
fn exact_resume() {
    let folder = Folder::new("lora_resumed");
    let (x, y) = (noise(&[30, 5, 6], 1), noise(&[30, 5, 3], 2));
    let begun = || {
        let mut model = model::<f32>(10);
        model.add_lora("a", &Lora::new(2).dropout(0.2).train("head")).unwrap();
        compile(&mut model);
        model
    };
    let fit = |epochs| Fit::default().epochs(epochs).batch_size(8).verbose(Verbose::Silent);
    let mut whole = begun();
    whole.fit(&x, &y, &fit(4)).unwrap();
    let mut first = begun();
    first.fit(&x, &y, &fit(2)).unwrap();
    first.save_checkpoint(folder.path("c")).unwrap();
    let mut rest = begun();
    rest.resume(folder.path("c")).unwrap();
    rest.fit(&x, &y, &fit(4)).unwrap();
    assert_eq!(rest.params().values(), whole.params().values());
}

/// A checkpoint of a model whose adapters were others is told.
#[cfg(feature = "files")]
#[test]
fn other_adapters_are_not_resumed() {
    let folder = Folder::new("lora_other");
    let begun = |lora: &Lora| {
        let mut model = model::<f32>(10);
        model.add_lora("a", lora).unwrap();
        compile(&mut model);
        model
    };
    let mut first = begun(&Lora::new(2).alpha(8.0));
    let fit = Fit::default().epochs(1).verbose(Verbose::Silent);
    first.fit(&noise(&[8, 5, 6], 1), &noise(&[8, 5, 3], 2), &fit).unwrap();
    first.save_checkpoint(folder.path("c")).unwrap();
    let error = begun(&Lora::new(2).alpha(4.0)).resume(folder.path("c")).unwrap_err().to_string();
    assert!(error.contains("adapters"), "{error}");
    begun(&Lora::new(2).alpha(8.0)).resume(folder.path("c")).unwrap();
}

#[test]
fn frozen_matrices_stay_frozen() {
    let mut model = model::<f32>(12);
    model.add_lora("a", &Lora::new(2).target("head")).unwrap();
    model.set_trainable("head/kernel/lora_a/a", false).unwrap();
    model.set_active_lora(&["a"]).unwrap();
    assert_eq!(model.summary().trainable, 2 * 3);
    let summary = model.summary();
    assert_eq!(summary.parameters, summary.trainable + summary.frozen);
    let plain = model.without_lora().unwrap();
    assert_eq!(plain.params().specs().len() + 2, model.params().specs().len());
}

#[test]
fn wrong_calls() {
    let says = |result: Result<usize, Error>, words: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    let mut model = model::<f32>(11);
    let before = format!("{:?}", model.params());
    says(model.add_lora("", &Lora::new(1)), "a name without slashes");
    says(model.add_lora("a/b", &Lora::new(1)), "a name without slashes");
    says(model.add_lora("a", &Lora::new(0)), "rank must be at least 1");
    says(model.add_lora("a", &Lora::new(1).dropout(1.0)), "from 0 to below 1");
    says(model.add_lora("a", &Lora::new(1).dropout(f64::NAN)), "from 0 to below 1");
    says(model.add_lora("a", &Lora::new(1).alpha(f64::INFINITY)), "a finite number");
    says(model.add_lora("a", &Lora::new(1).target("nothing*")), "head/kernel");
    says(model.add_lora("a", &Lora::new(1).target("head/bias")), "read by products");
    says(model.add_lora("a", &Lora::new(1).train("no")), "stands for a layer with weights");
    says(model.add_lora("a", &Lora::new(usize::MAX)), "");
    assert_eq!(format!("{:?}", model.params()), before);
    model.add_lora("a", &Lora::new(1)).unwrap();
    says(model.add_lora("a", &Lora::new(1)), "one that no other adapter has");
    assert!(model.set_active_lora(&["b"]).unwrap_err().to_string().contains("the name of an adapter (a)"));
    assert!(model.merge_lora("b").is_err() && model.unmerge_lora("a").is_err());
    // Compiled before, it is no more.
    let mut compiled = self::model::<f32>(1);
    compile(&mut compiled);
    compiled.add_lora("a", &Lora::new(1)).unwrap();
    assert!(
        compiled.evaluate(&noise(&[1, 5, 6], 1), &noise(&[1, 5, 3], 1)).unwrap_err().to_string().contains("compile")
    );
    let mut only = Sequential::new([2]).add(Dense::new(1)).build(0).unwrap();
    says(only.add_lora("a", &Lora::new(1)), "before the outputs");
}
