//! Wide outputs whose loss takes them some rows at a time: every bit is as if those that count were there as a whole.

use gradus::gradcheck::check_model;
use gradus::graph::Graph;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

/// A metric of one's own, which may need all rows at once: with it outputs are there as a whole.
#[derive(Debug)]
struct Whole;

impl<T: Float> Metric<T> for Whole {
    fn name(&self) -> String {
        "whole".into()
    }

    fn sums(&self, _: Shape) -> usize {
        1
    }

    fn update(&self, sums: &mut [f64], _: &Tensor<T>, y_pred: &Tensor<T>, _: Option<&[T]>) {
        sums[0] = sums[0].max(y_pred.shape().rows() as f64);
    }

    fn result(&self, sums: &[f64]) -> f64 {
        sums[0]
    }

    fn check(&self, _: Shape, _: Shape) -> Result<(), Error> {
        Ok(())
    }
}

/// Blocks of 768 rows.
const TOKENS: usize = 1031;
/// 30 texts of 55 are three blocks, the last of 114 rows.
const TEXTS: usize = 30;
const STEPS: usize = 55;

fn ids<T: Float>(texts: usize, part: u64, below: usize) -> Tensor<T> {
    let key = Key::new(3, Purpose::Data).with(part);
    Tensor::from_fn([texts, STEPS], |i| T::of(key.below(i as u64, below) as f64))
}

/// Targets of which each text ignores some, not all as many.
fn partly_ignored<T: Float>(texts: usize, part: u64, below: usize) -> Tensor<T> {
    let mut i = 0;
    ids::<T>(texts, part, below).map(|class| {
        i += 1;
        let (text, step) = ((i - 1) / STEPS, (i - 1) % STEPS);
        if step % 7 < text % 5 { T::of(-100.0) } else { class }
    })
}

fn before(masked: bool) -> Sequential {
    Sequential::new([STEPS])
        .add(Embedding::new(TOKENS, 6).mask_zero(masked))
        .add(Dense::new(6).activation(Activation::Tanh))
        .add(Dropout::new(0.1))
}

fn tied() -> TiedDense {
    TiedDense::new("embedding/embeddings")
}

fn sparse() -> SparseCategoricalCrossentropy {
    SparseCategoricalCrossentropy::default()
}

/// One way to train: a model, its loss, whether steps have weights, and batches an update.
struct Way<T: Float> {
    name: &'static str,
    model: fn() -> Sequential,
    loss: fn() -> Box<dyn Loss<T>>,
    ignores: bool,
    weighted: bool,
    batches: u64,
}

impl<T: Float> Way<T> {
    /// Whether some rows do not count.
    fn leaves_out(&self) -> bool {
        self.ignores || self.name.contains("masked")
    }
}

/// Everything that training and evaluation give, as bits.
fn results<T: Float>(way: &Way<T>, whole: bool) -> Vec<u64> {
    let mut model = (way.model)().build_as::<T>(5).unwrap();
    let optimizer = Adam::default().learning_rate(0.01).gradient_accumulation_steps(way.batches);
    let (loss, with) = ((way.loss)(), LossMetric::new((way.loss)()));
    match whole {
        true => model.compile(optimizer, loss, (Accuracy::default(), TopKAccuracy::default(), with, Whole)).unwrap(),
        false => model.compile(optimizer, loss, (Accuracy::default(), TopKAccuracy::default(), with)).unwrap(),
    }
    let x = ids::<T>(2 * TEXTS + 7, 0, TOKENS / 4);
    let y = if way.ignores { partly_ignored } else { ids }(2 * TEXTS + 7, 1, TOKENS);
    let key = Key::new(3, Purpose::Data).with(2);
    let weights: Vec<T> = (0..y.len() as u64).map(|i| T::of((key.unit(i) * 1.5 - 0.2).max(0.0))).collect();
    let mut how = Fit::default().epochs(2).batch_size(TEXTS).verbose(Verbose::Silent);
    let (held, held_y) = (x.rows(0..9).unwrap(), y.rows(0..9).unwrap());
    how = how.validation_data(&held, &held_y);
    if way.weighted {
        how = how.sample_weight(&weights);
    }
    let history = model.fit(&x, &y, &how).unwrap();
    let mut bits: Vec<u64> = Vec::new();
    for name in ["loss", "accuracy", "top_5_accuracy", "sparse_categorical_crossentropy", "val_loss", "val_accuracy"] {
        bits.extend(history.get(name).unwrap().iter().map(|v| v.to_bits()));
    }
    let scores = model.evaluate(&x, &y).unwrap();
    let (loss, gradients) = model.gradients(&x.rows(0..TEXTS).unwrap(), &y.rows(0..TEXTS).unwrap()).unwrap();
    bits.extend([scores.loss, scores.get("accuracy").unwrap(), loss].map(f64::to_bits));
    bits.extend(model.params().values().iter().chain(&gradients).map(|v| v.as_f64().to_bits()));
    // Outputs are there when they are asked for.
    bits.extend(model.predict(&held).unwrap().iter().map(|v| v.as_f64().to_bits()));
    let all = history.get("whole").map(|whole| whole[0]);
    assert_eq!(all, whole.then_some((TEXTS * STEPS) as f64), "{}", way.name);
    bits
}

fn ways<T: Float>() -> Vec<Way<T>> {
    let plain = Way::<T> {
        name: "untied",
        model: || before(false).add(Dense::new(TOKENS)),
        loss: || sparse().from_logits(true).boxed(),
        ignores: false,
        weighted: false,
        batches: 1,
    };
    vec![
        Way {
            name: "no bias, weighted",
            model: || before(false).add(Dense::new(TOKENS).use_bias(false)),
            weighted: true,
            ..plain
        },
        Way { name: "masked, accumulated", model: || before(true).add(Dense::new(TOKENS)), batches: 2, ..plain },
        Way {
            name: "tied, ignoring, smooth, with z-loss",
            model: || before(false).add(tied()),
            loss: || sparse().from_logits(true).ignore_class(-100).label_smoothing(0.1).z_loss(1e-3).boxed(),
            ignores: true,
            batches: 2,
            ..plain
        },
        Way {
            name: "tied with bias, capped, masked, weighted, ignoring",
            model: || before(true).add(tied().use_bias(true).activation(Activation::SoftCap(3.0))),
            loss: || sparse().from_logits(true).ignore_class(-100).boxed(),
            ignores: true,
            weighted: true,
            batches: 3,
        },
        Way {
            name: "softmax",
            model: || before(false).add(Dense::new(TOKENS).activation(Activation::Softmax)),
            loss: || sparse().boxed(),
            ..plain
        },
        Way {
            name: "a penalty on the kernel, frozen below, an activation from its input",
            model: || {
                let head = Dense::new(TOKENS).kernel_regularizer(Regularizer::L2(0.01)).activation(Activation::Gelu);
                Sequential::new([STEPS]).add(Embedding::new(TOKENS, 6)).trainable(false).add(head)
            },
            loss: || sparse().from_logits(true).boxed(),
            ..plain
        },
        plain,
    ]
}

/// Where all rows count.
#[test]
fn the_same_bits_as_with_all_logits() {
    for way in ways::<f32>().iter().filter(|way| !way.leaves_out()) {
        assert!(results(way, false) == results(way, true), "{}", way.name);
    }
    let ways = ways::<f64>();
    let way = ways.iter().find(|way| way.weighted && !way.leaves_out()).unwrap();
    assert!(results(way, false) == results(way, true), "{} in f64", way.name);
}

/// Where some do not: sums are of other parts.
#[test]
fn the_same_numbers_as_with_all_logits() {
    for way in ways::<f64>().iter().filter(|way| way.leaves_out()) {
        let [some, all] = [false, true].map(|whole| results(way, whole));
        assert_eq!(some.len(), all.len());
        for (some, all) in some.into_iter().zip(all) {
            let [some, all] = [some, all].map(f64::from_bits);
            assert!((some - all).abs() <= 1e-10 * all.abs().max(1.0), "{}: {some} and {all}", way.name);
        }
    }
}

/// The same bits as from a batch of the others, of which there are more than a block; what is in those that do not count does not matter.
#[test]
fn rows_that_do_not_count_do_not_go() {
    fn check<T: Float>(masked: bool, activation: Activation) {
        let width = 5;
        let x = Tensor::<T>::from_fn([TEXTS, STEPS, width], |i| T::of((i as f64 * 0.37).sin()));
        let y = partly_ignored::<T>(TEXTS, 1, TOKENS);
        let counts: Vec<usize> = (0..y.len()).filter(|&i| y.as_slice()[i] >= T::zero()).collect();
        assert!(counts.len() > 768 && counts.len() < y.len() - 256);
        let weights: Vec<T> = (0..y.len()).map(|i| T::of((i % 7) as f64 / 5.0)).collect();
        let rows: Vec<T> = counts.iter().flat_map(|&i| &x.as_slice()[i * width..][..width]).copied().collect();
        let few = Tensor::new([counts.len(), width], rows).unwrap();
        let targets = Tensor::new([counts.len()], counts.iter().map(|&i| y.as_slice()[i]).collect()).unwrap();
        let of_few: Vec<T> = counts.iter().map(|&i| weights[i]).collect();
        let mut all = x;
        for i in (0..y.len()).filter(|i| !counts.contains(i)) {
            // What a mask leaves out comes to it as the mask's value.
            all.as_mut_slice()[i * width..][..width].fill(if masked { T::zero() } else { T::max_value() });
        }
        let trained = |x: &Tensor<T>, y: &Tensor<T>, weights: &[T], whole: bool| {
            let mut model = Sequential::new(Shape::try_from(&x.dims()[1..]).unwrap());
            if masked && x.dims().len() == 3 {
                model = model.add(Masking::new(0.0));
            }
            let mut model =
                model.add_named("head", Dense::new(TOKENS).activation(activation)).build_as::<T>(4).unwrap();
            let mut loss = sparse().from_logits(activation != Activation::Softmax);
            if !masked {
                loss = loss.ignore_class(-100);
            }
            let optimizer = Adam::default().learning_rate(0.01);
            match whole {
                true => model.compile(optimizer, loss, (Accuracy::default(), Whole)).unwrap(),
                false => model.compile(optimizer, loss, [Accuracy::default()]).unwrap(),
            }
            let how = Fit::default().epochs(2).batch_size(TEXTS * STEPS).shuffle(false).verbose(Verbose::Silent);
            let history = model.fit(x, y, &how.sample_weight(weights)).unwrap();
            let mut bits = [history.get("loss").unwrap(), history.get("accuracy").unwrap()].concat();
            // `evaluate` takes its parts by samples, of which one has many rows.
            assert!((model.evaluate(x, y).unwrap().loss - model.train_on_batch(x, y).unwrap()).abs() < 1e-4);
            bits.extend(model.params().values().iter().map(|v| v.as_f64()));
            assert!(bits.iter().all(|v| v.is_finite()));
            bits.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let mut y = y;
        if masked {
            y = y.map(|class| class.max(T::zero()));
        }
        let expected = trained(&few, &targets, &of_few, false);
        assert!(trained(&all, &y, &weights, false) == expected, "masked: {masked}, {activation:?}, {}", T::NAME);
        assert!(trained(&few, &targets, &of_few, true) == expected, "masked: {masked}, {activation:?}, {}", T::NAME);
    }
    for masked in [false, true] {
        check::<f32>(masked, Activation::Linear);
        check::<f32>(masked, Activation::Softmax);
        check::<f64>(masked, Activation::SoftCap(2.0));
    }
}

#[cfg(feature = "parallel")]
#[test]
fn any_number_of_threads() {
    for way in &ways::<f32>()[2..4] {
        let here = results(way, false);
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| results(way, false)) == here, "{}, {threads} threads", way.name);
        }
    }
}

/// Two wide outputs of one value, which is an output itself, behind a narrow one.
#[test]
fn several_outputs() {
    let trained = |whole: bool| {
        let mut g = Graph::new();
        let x = g.input("x", [STEPS]);
        let h = g.add(Embedding::new(TOKENS, 5), x);
        let h = g.add(Dense::new(5).activation(Activation::Tanh), h);
        let few = g.add_named("few", Dense::new(3), h);
        let next = g.add_named("next", Dense::new(TOKENS), h);
        let last = g.add_named("last", Dense::new(300).activation(Activation::Softmax), h);
        let mut model = g.build_as::<f32>([next, few, h, last], 1).unwrap();
        let [mut a, mut b] = ["next", "last"].map(Head::new);
        a = a.loss(sparse().from_logits(true)).loss_weight(0.5);
        b = b.loss(sparse());
        if whole {
            (a, b) = (a.metrics([Whole]), b.metrics([Whole]));
        }
        b = b.weighted_metrics([Accuracy::default()]);
        let few = Head::new("few").loss(sparse().from_logits(true)).metrics([Accuracy::default()]);
        model.compile_heads(Sgd::default().learning_rate(0.5), [a, b, few]).unwrap();
        let x = ids(TEXTS, 0, TOKENS);
        let (next, few, last) = (ids(TEXTS, 1, TOKENS), ids(TEXTS, 2, 3), ids(TEXTS, 3, 300));
        let y = [("next", &next), ("few", &few), ("last", &last)];
        let how = Fit::default().epochs(3).batch_size(TEXTS).verbose(Verbose::Silent);
        let history = model.fit(&x, y, &how).unwrap();
        let scores = model.evaluate(&x, y).unwrap();
        let names = ["loss", "next_loss", "few_loss", "last_loss", "few_accuracy", "last_accuracy"];
        let mut bits: Vec<u64> =
            names.iter().flat_map(|name| history.get(name).unwrap()).map(|v| v.to_bits()).collect();
        bits.extend(names[1..].iter().map(|name| scores.get(name).unwrap().to_bits()));
        bits.push(scores.loss.to_bits());
        bits.extend(model.params().values().iter().map(|v| v.as_f64().to_bits()));
        bits
    };
    assert!(trained(false) == trained(true));
}

/// Any loss of rows, with all that can be measured of its outputs.
#[test]
fn other_losses() {
    fn same(
        activation: Activation,
        loss: impl Loss + Clone + 'static,
        metrics: fn() -> Vec<Box<dyn Metric<f32>>>,
        y: &Tensor<f32>,
    ) {
        let trained = |whole: bool| {
            let layers = Sequential::new([STEPS, 3]).add(Dense::new(TOKENS).activation(activation));
            let mut model = layers.build(1).unwrap();
            let mut metrics = metrics();
            if whole {
                metrics.push(Whole.boxed());
            }
            model.compile(Sgd::default(), loss.clone(), metrics).unwrap();
            let x = Tensor::from_fn([TEXTS, STEPS, 3], |i| (i as f32 * 0.7).sin());
            let how = Fit::default().epochs(2).batch_size(20).verbose(Verbose::Silent);
            let history = model.fit(&x, y, &how).unwrap();
            let scores = model.evaluate(&x, y).unwrap();
            let names = scores.metrics().iter().map(|(name, _)| name).filter(|name| *name != "whole");
            let figures = |name| [history.last(name).unwrap(), scores.get(name).unwrap()].map(f64::to_bits);
            let mut bits: Vec<_> = names.map(|name| (name.clone(), figures(name))).collect();
            bits.push(("loss".into(), [history.last("loss").unwrap(), scores.loss].map(f64::to_bits)));
            (bits, model.params().values().to_vec())
        };
        assert!(trained(false) == trained(true), "{loss:?}");
    }
    let key = Key::new(3, Purpose::Data).with(9);
    let labels = Tensor::from_fn([TEXTS, STEPS, TOKENS], |i| if key.unit(i as u64) < 0.01 { 1.0 } else { 0.0 });
    let boxes = || (BinaryAccuracy::default(), Precision::default(), Auc::default()).boxed();
    same(Activation::Sigmoid, BinaryCrossentropy::default(), boxes, &labels);
    let numbers = Tensor::from_fn([TEXTS, STEPS, TOKENS], |i| (i as f32 * 0.3).sin());
    let boxes = || (R2Score::default(), RootMeanSquaredError::default(), CosineScore::default()).boxed();
    same(Activation::Tanh, MeanSquaredError::default(), boxes, &numbers);
    let rows = one_hot_rows(&ids(TEXTS, 1, TOKENS));
    let boxes = || (Accuracy::default(), F1Score::default()).boxed();
    same(Activation::Softmax, CategoricalCrossentropy::default().label_smoothing(0.1), boxes, &rows);
}

fn one_hot_rows(classes: &Tensor<f32>) -> Tensor<f32> {
    let mut rows = Tensor::zeros([TEXTS, STEPS, TOKENS]);
    for (row, class) in rows.as_mut_slice().chunks_exact_mut(TOKENS).zip(classes.iter()) {
        row[*class as usize] = 1.0;
    }
    rows
}

/// Free sizes, on the input itself, and a batch of one row.
#[test]
fn other_shapes() {
    for (shape, x) in [
        (Shape::from([FREE, 2]), Tensor::from_fn([3, 4, 2], |i| (i as f32).sin())),
        (Shape::from([2]), Tensor::from_fn([1, 2], |i| i as f32)),
        (Shape::from([3, 2, 2]), Tensor::from_fn([2, 3, 2, 2], |i| (i as f32).cos())),
    ] {
        let trained = |whole: bool| {
            let mut model = Sequential::new(shape).add(Dense::new(261)).build(1).unwrap();
            let loss = sparse().from_logits(true);
            match whole {
                true => model.compile(Adam::default(), loss, [Whole]).unwrap(),
                false => model.compile(Adam::default(), loss, ()).unwrap(),
            }
            let dims = &x.dims()[..x.dims().len() - 1];
            let y = Tensor::from_fn(Shape::try_from(dims).unwrap(), |i| (i * 37 % 261) as f32);
            let losses: Vec<f64> = (0..3).map(|_| model.train_on_batch(&x, &y).unwrap()).collect();
            (losses, model.evaluate(&x, &y).unwrap().loss, model.params().values().to_vec())
        };
        assert_eq!(trained(false), trained(true), "{shape}");
    }
}

#[test]
fn gradients_are_those_of_differences() {
    let x = Tensor::from([[0.0, 3.0, 2.0], [1.0, 3.0, 0.0]]);
    let y = Tensor::from([[256.0, -100.0, 4.0], [77.0, 3.0, -100.0]]);
    let loss = sparse().from_logits(true).ignore_class(-100).label_smoothing(0.2).z_loss(0.01);
    let heads: [fn() -> Sequential; 2] = [
        || {
            Sequential::new([3])
                .add(Embedding::new(257, 2))
                .add(Dense::new(2))
                .add(tied().activation(Activation::SoftCap(0.7)))
        },
        || Sequential::new([3]).add(Embedding::new(4, 2)).add(Dense::new(257).activation(Activation::SoftCap(2.0))),
    ];
    for head in heads {
        let mut model = head().build_as::<f64>(2).unwrap();
        model.compile(Sgd::default(), loss.clone(), ()).unwrap();
        check_model(&mut model, &x, &y).unwrap();
    }
}

/// A loss that is not finite changes no weight and no metric, and training goes on.
#[test]
fn a_loss_that_is_not_finite() {
    for batches in [1, 2] {
        let mut model = Sequential::new([STEPS, 2]).add(Dense::new(TOKENS)).build(1).unwrap();
        let optimizer = Sgd::default().gradient_accumulation_steps(batches);
        model.compile(optimizer, sparse().from_logits(true), [Accuracy::default()]).unwrap();
        let mut x = Tensor::from_fn([TEXTS, STEPS, 2], |i| (i as f32).sin());
        let y = ids(TEXTS, 1, TOKENS);
        for _ in 0..2 {
            model.train_on_batch(&x, &y).unwrap();
        }
        let weights = model.params().values().to_vec();
        model.train_on_batch(&x, &y).unwrap();
        let after = model.params().values().to_vec();
        model.values_mut().copy_from_slice(&weights);
        // In the last block.
        x.as_mut_slice()[TEXTS * STEPS * 2 - 1] = f32::NAN;
        let error = model.train_on_batch(&x, &y).unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }), "{error}");
        assert_eq!(model.params().values(), weights);
        let (loss, gradients) = model.gradients(&x, &y).unwrap();
        assert!(loss.is_nan() && gradients.iter().all(|g| *g == 0.0));
        x.as_mut_slice()[TEXTS * STEPS * 2 - 1] = ((TEXTS * STEPS * 2 - 1) as f32).sin();
        for _ in 0..batches {
            model.train_on_batch(&x, &y).unwrap();
        }
        assert!(batches > 1 || model.params().values() == after);
        assert!(model.params().values() != weights && model.params().values().iter().all(|w| w.is_finite()));
    }
}

/// Batches of one update weigh by the rows that count in them: together they are the one large batch.
#[test]
fn an_update_is_over_all_tokens() {
    fn check(model: fn() -> Sequential, optimizer: impl OptimizerOptions + Optimizer<f64> + Clone + 'static) {
        let compiled = |batches: u64| {
            let mut model = model().build_as::<f64>(3).unwrap();
            let loss = sparse().from_logits(true).ignore_class(-100);
            model.compile(optimizer.clone().gradient_accumulation_steps(batches), loss, ()).unwrap();
            model
        };
        let (x, mut y) = (ids::<f64>(6, 0, 20), partly_ignored::<f64>(6, 1, 5));
        // In one batch nothing counts.
        y.as_mut_slice()[4 * STEPS..5 * STEPS].fill(-100.0);
        let (mut large, mut small) = (compiled(1), compiled(4));
        for _ in 0..3 {
            large.train_on_batch(&x, &y).unwrap();
            for rows in [0..1, 1..4, 4..5, 5..6] {
                small.train_on_batch(&x.rows(rows.clone()).unwrap(), &y.rows(rows).unwrap()).unwrap();
            }
        }
        for (a, b) in large.params().values().iter().zip(small.params().values()) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
    }
    let narrow = || Sequential::new([STEPS]).add(Embedding::new(20, 4)).add(Dense::new(5));
    let penalised = || {
        let dense = Dense::new(300).kernel_regularizer(Regularizer::L2(0.1));
        Sequential::new([STEPS]).add(Embedding::new(20, 4).mask_zero(true)).add(dense)
    };
    check(narrow, Sgd::default().learning_rate(0.5));
    check(penalised, Sgd::default().learning_rate(0.5));
    check(penalised, Adam::default().clipnorm(0.1));
}

/// Losses of epochs and of `evaluate` are over all tokens, however they fall into batches.
#[test]
fn losses_are_means_over_tokens() {
    for classes in [5, 300] {
        let mut model =
            Sequential::new([STEPS]).add(Embedding::new(20, 4)).add(Dense::new(classes)).build_as(3).unwrap();
        let loss = sparse().from_logits(true).ignore_class(-100);
        model.compile(Sgd::default().learning_rate(0.0), loss, [Accuracy::default()]).unwrap();
        let (x, y) = (ids::<f64>(300, 0, 20), partly_ignored::<f64>(300, 1, 5));
        let z = model.predict(&x).unwrap();
        let (mut sum, mut hits, mut n) = (0.0, 0.0, 0.0);
        for (z, &class) in z.as_slice().chunks_exact(classes).zip(y.iter()).filter(|(_, class)| **class >= 0.0) {
            let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            sum += z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[class as usize];
            hits += f64::from(z[class as usize] == largest);
            n += 1.0;
        }
        let scores = model.evaluate(&x, &y).unwrap();
        assert!((scores.loss - sum / n).abs() < 1e-12 && (scores.get("accuracy").unwrap() - hits / n).abs() < 1e-12);
        let how = Fit::default().batch_size(7).verbose(Verbose::Silent).validation_data(&x, &y);
        let history = model.fit(&x, &y, &how).unwrap();
        for name in ["loss", "val_loss"] {
            assert!((history.last(name).unwrap() - sum / n).abs() < 1e-12, "{name}, {classes} classes");
        }
        for name in ["accuracy", "val_accuracy"] {
            assert!((history.last(name).unwrap() - hits / n).abs() < 1e-12, "{name}, {classes} classes");
        }
        // Where nothing counts.
        let none = Tensor::full(y.shape(), -100.0);
        assert_eq!(model.evaluate(&x, &none).unwrap().loss, 0.0);
        assert_eq!(model.fit(&x, &none, &how).unwrap().last("loss"), Some(0.0));
    }
}

#[test]
fn targets_that_are_refused() {
    for classes in [5, 300] {
        let mut model = Sequential::new([STEPS]).add(Embedding::new(20, 4)).add(Dense::new(classes)).build(3).unwrap();
        let mut compile = |loss: SparseCategoricalCrossentropy| {
            model.compile(Sgd::default(), loss.from_logits(true), [Accuracy::default()]).unwrap();
            let (x, mut y) = (ids(2, 0, 20), ids(2, 1, 5));
            y.as_mut_slice()[STEPS] = -100.0;
            let first = model.train_on_batch(&x, &y).map(|_| ());
            y.as_mut_slice()[STEPS + 1] = classes as f32;
            (first, model.train_on_batch(&x, &y).unwrap_err().to_string())
        };
        assert!(compile(sparse()).0.unwrap_err().to_string().contains("target in row 1 is -100"));
        let (fits, error) = compile(sparse().ignore_class(-100));
        fits.unwrap();
        assert!(error.contains(&format!("target in row 1 is {classes}")), "{error}");
    }
}
