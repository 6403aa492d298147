//! Batches of several inputs and targets, of samples of different sizes, and weights for the steps of samples.

use gradus::Shape;
use gradus::prelude::*;
use support::counting::{allocations, count_this_thread};

fn batches(data: &dyn Dataset<f64>, epoch: usize) -> Vec<Batch<f64>> {
    let load = |index| {
        let mut batch = Batch::default();
        data.load(epoch, index, &mut batch).map(|()| batch)
    };
    (0..data.batches().unwrap()).map(|index| load(index).unwrap()).collect()
}

fn numbers(shape: impl Into<Shape>, seed: usize) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| ((i * 7919 + seed * 104_729) % 1000) as f64 / 500.0 - 1.0)
}

/// Two inputs, two targets.
fn two() -> [Tensor<f64>; 4] {
    [numbers([50, 3], 1), numbers([50, 2, 2], 2), numbers([50, 1], 3), numbers([50, 2], 4)]
}

fn two_heads() -> Model<f64> {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [3]), g.input("b", [2, 2]));
    let flat = g.add(Flatten::new(), b);
    let h = g.op(Concatenate::new(), &[a, flat]);
    let h = g.add(Dense::new(8).activation(Activation::Tanh), h);
    let (y, z) = (g.add_named("y", Dense::new(1), h), g.add_named("z", Dense::new(2), h));
    let mut model = g.build_as::<f64>([y, z], 3).unwrap();
    model.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    model
}

#[test]
fn several_inputs_and_targets_train_like_tensors() {
    let [a, b, y, z] = two();
    let how = Fit::default().epochs(3).batch_size(16).verbose(Verbose::Silent);
    let mut model = two_heads();
    let expected = model.fit([&a, &b], [&y, &z], &how).unwrap();
    let (params, scores) = (model.params().values().to_vec(), model.evaluate([&a, &b], [&y, &z]).unwrap());

    let together = Samples::several([a.clone(), b.clone()], [y.clone(), z.clone()]).unwrap();
    // The seed of the model's own order.
    let left = Samples::new(a.clone(), y.clone()).unwrap();
    let zipped = left.zip(Samples::new(b.clone(), z.clone()).unwrap());
    let rows = |parts: [&Tensor<f64>; 2]| {
        let row = |i| [parts[0].row(i), parts[1].row(i)].concat();
        Tensor::from_rows(&(0..50).map(row).collect::<Vec<_>>()).unwrap()
    };
    let table = Samples::new(rows([&a, &b]), rows([&y, &z])).unwrap();
    let taken_apart =
        table.inputs([Shape::from([3]), Shape::from([2, 2])]).targets([Shape::from([1]), Shape::from([2])]);
    let trained = |data: &dyn Dataset<f64>| {
        let mut model = two_heads();
        let history = model.fit_dataset(data, &how, &mut []).unwrap();
        assert_eq!(history, expected, "{data:?}");
        assert_eq!(model.params().values(), params, "{data:?}");
        let own = model.evaluate_dataset(data).unwrap();
        assert!((own.loss - scores.loss).abs() < 1e-12 && own.metrics().len() == scores.metrics().len());
        let pairs = own.metrics().iter().zip(scores.metrics());
        assert!(pairs.clone().all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-12), "{own} {scores}");
    };
    trained(&together.clone().shuffle(3).batch(16));
    trained(&zipped.clone().shuffle(3).batch(16));
    trained(&taken_apart.clone().shuffle(3).batch(16));
    trained(&together.clone().shuffle(3).batch(16).prefetch(2).unwrap());
    // Shuffled before, samples would meet others than their partners.
    let apart = Samples::new(a, y).unwrap().shuffle(3).zip(Samples::new(b, z).unwrap());
    let error = apart.batch(16).check().unwrap_err().to_string();
    assert!(error.contains("zip first, then shuffle or mix"), "{error}");
    // All that a source goes through hands the parts on.
    let chain = zipped.map(|x, _| x[3] = 0.0).map_keyed(1, |_, _, y| y[2] = 1.0).skip(10).take(20).repeat().take(45);
    let last = &batches(&chain.batch(20), 0)[2];
    assert_eq!((last.x.dims(), last.more_x[0].dims()), ([5, 3].as_slice(), [5, 2, 2].as_slice()));
    assert_eq!((last.y.dims(), last.more_y[0].dims()), ([5, 1].as_slice(), [5, 2].as_slice()));
    assert!((0..5).all(|i| last.more_x[0].row(i)[0] == 0.0 && last.more_y[0].row(i)[1] == 1.0));
    let (train, test) = together.split(0.2, 1).unwrap();
    assert_eq!(
        (batches(&train.batch(40), 0)[0].more_x[0].samples(), batches(&test.batch(40), 0)[0].more_y.len()),
        (40, 1)
    );
}

#[test]
fn samples_that_do_not_fit_together() {
    let [a, b, y, z] = two();
    let error = |data: &dyn Dataset<f64>| {
        let error = two_heads().fit_dataset(data, &Fit::default(), &mut []).unwrap_err().to_string();
        assert_eq!(data.check().map_or_else(|e| e.to_string(), |()| error.clone()), error);
        error
    };
    let one = || Samples::new(a.clone(), y.clone()).unwrap();
    assert_eq!(
        error(&one().batch(4)),
        "fit: expected 2 inputs (a, b) and 2 targets (y, z), got 1 and 1; let Dataset::all_shapes name one shape for each"
    );
    let shorter = Samples::new(b.rows(0..40).unwrap(), z.rows(0..40).unwrap()).unwrap();
    assert!(
        error(&one().zip(shorter).batch(4)).starts_with("zip: expected 50 samples in both sources, got 40 samples;")
    );
    let swapped = Samples::several([b.clone(), a.clone()], [y.clone(), z.clone()]).unwrap();
    assert!(error(&swapped.batch(4)).contains("samples of shape [3] for the input a, got [2, 2]"));
    let targets = Samples::several([a.clone(), b.clone()], [z.clone(), y.clone()]).unwrap();
    assert!(error(&targets.batch(4)).contains("[1, 1]"));
    assert!(
        error(&one().inputs([[2], [2]]).batch(4))
            .contains("inputs: expected shapes of the values of [3], got [2] and [2]")
    );
    assert!(Samples::several([a.clone(), b.rows(0..9).unwrap()], [y]).unwrap_err().to_string().contains("50 samples"));
    assert!(Samples::several([a, b], [z.rows(0..9).unwrap()]).unwrap_err().to_string().contains("50 targets"));
    assert!(Samples::<f64>::several([], []).is_err());
}

/// Sentences of 0 to 8 words, and a class for every word.
fn sentences(n: usize) -> (Vec<Tensor<f64>>, Vec<Tensor<f64>>) {
    let len = |i: usize| i * 31 % 9;
    let word = |i: usize, t: usize| 1.0 + ((i * 13 + t * 5) % 20) as f64;
    let words = (0..n).map(|i| Tensor::from_fn([len(i)], |t| word(i, t))).collect();
    let classes = (0..n).map(|i| Tensor::from_fn([len(i)], |t| (word(i, t) / 7.0).floor())).collect();
    (words, classes)
}

#[test]
fn buckets_hold_every_sample_once_and_waste_little() {
    let (words, classes) = sentences(230);
    let source = Ragged::new(words.clone(), classes.clone()).unwrap();
    assert_eq!(Source::<f64>::shapes(&source), ([FREE].into(), [FREE].into()));
    let filling = |batches: &[Batch<f64>]| {
        let sizes = batches.iter().map(|batch| batch.x.len()).sum::<usize>() as f64;
        sizes / words.iter().map(Tensor::len).sum::<usize>() as f64
    };
    let plain = batches(&source.clone().shuffle(5).batch(16), 0);
    let data = source.clone().shuffle(5).bucket(16).window(8).pad(0.0, -1.0);
    let ahead = source.clone().shuffle(5).bucket(16).window(8).pad(0.0, -1.0).prefetch(3).unwrap();
    for epoch in 0..3 {
        let all = batches(&data, epoch);
        assert_eq!(batches(&ahead, epoch), all);
        assert_eq!(all.iter().map(|batch| batch.x.samples()).sum::<usize>(), 230);
        assert!(filling(&all) < 1.2 && filling(&plain) > 1.8, "{} and {}", filling(&all), filling(&plain));
        let mut seen = Vec::new();
        for batch in &all {
            let steps = batch.x.dims()[1];
            assert_eq!((batch.y.shape(), steps > 0), (batch.x.shape(), true));
            for i in 0..batch.x.samples() {
                let (x, y) = (batch.x.row(i), batch.y.row(i));
                let len = x.iter().position(|v| *v == 0.0).unwrap_or(steps);
                assert!(x[len..].iter().all(|v| *v == 0.0) && y[len..].iter().all(|v| *v == -1.0));
                let mask = &batch.masks.first().filter(|mask| !mask.is_empty());
                assert!(mask.map_or(len == steps, |mask| (0..steps).all(|t| mask[i * steps + t] == (t < len))));
                seen.push(x[..len].iter().chain(&y[..len]).map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        }
        let whole =
            words.iter().zip(&classes).map(|(x, y)| x.iter().chain(y.iter()).map(|v| v.to_bits()).collect::<Vec<_>>());
        let mut whole: Vec<_> = whole.collect();
        whole.sort();
        seen.sort();
        assert_eq!(seen, whole);
    }
    assert_ne!(batches(&data, 0)[0], batches(&data, 1)[0]);
    // The same for a few batches alone, in any order.
    let all = batches(&data, 1);
    for index in [14, 0, 9, 3] {
        let (mut batch, fresh) = (Batch::default(), source.clone().shuffle(5).bucket(16).window(8).pad(0.0, -1.0));
        fresh.load(1, index, &mut batch).unwrap();
        assert_eq!(batch, all[index]);
    }
    let dropped = source.clone().bucket(16).drop_last(true);
    assert_eq!((dropped.batches(), batches(&dropped, 0).iter().all(|b| b.x.samples() == 16)), (Some(14), true));
    assert!(data.load(0, 15, &mut Batch::default()).is_err());
    assert!(source.clone().bucket(0).check().unwrap_err().to_string().contains("n must be at least 1"));
    assert!(source.clone().bucket(4).window(0).check().unwrap_err().to_string().contains("window must be at least 1"));
    // Samples of one size go through it as well.
    let same = Samples::new(numbers([10, 3], 1), numbers([10, 1], 2)).unwrap().bucket(4).window(1);
    assert_eq!(batches(&same, 0)[2].x.dims(), [2, 3]);
}

/// A class for every word; padding is masked.
fn tagger() -> Model<f64> {
    let mut model = Sequential::new([FREE])
        .add(Embedding::new(21, 6).mask_zero(true))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build_as::<f64>(5)
        .unwrap();
    let loss = SparseCategoricalCrossentropy::default();
    model.compile(Adam::default().learning_rate(0.01), loss, [SparseCategoricalAccuracy::default()]).unwrap();
    model
}

#[test]
fn what_is_filled_up_does_not_count() {
    let (words, classes) = sentences(120);
    let source = Ragged::new(words.clone(), classes.clone()).unwrap();
    let data = source.shuffle(2).bucket(8);
    let mut model = tagger();
    let before = model.evaluate_dataset(&data).unwrap();
    model.fit_dataset(&data, &Fit::default().epochs(20).verbose(Verbose::Silent), &mut []).unwrap();
    let after = model.evaluate_dataset(&data).unwrap();
    assert!(after.loss < before.loss / 3.0 && after.metrics()[0].1 > 0.95, "{before} {after}");
    // The accuracy over words is that of each sentence alone.
    let (mut right, mut all) = (0, 0);
    for (x, y) in words.iter().zip(&classes).filter(|(x, _)| !x.is_empty()) {
        let y_pred = model.predict(&x.clone().reshape([1, x.len()]).unwrap()).unwrap();
        let found = y_pred.as_slice().chunks(3).map(|p| (0..3).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap() as f64);
        right += found.zip(y.iter()).filter(|(found, y)| found == *y).count();
        all += x.len();
    }
    assert!((after.metrics()[0].1 - right as f64 / all as f64).abs() < 1e-12);
    // Other filling changes nothing: those steps have no part in it.
    let mut other = tagger();
    let (words, classes) = sentences(120);
    let padded = Ragged::new(words, classes).unwrap().shuffle(2).bucket(8).pad(0.0, 2.0);
    other.fit_dataset(&padded, &Fit::default().epochs(20).verbose(Verbose::Silent), &mut []).unwrap();
    assert_eq!(other.params(), model.params());
    // A target that the loss takes as a whole cannot be filled up.
    let (words, _) = sentences(20);
    let rows = Ragged::new(words.clone(), words).unwrap().batch(5);
    let mut model = Sequential::new([FREE]).add(Activation::Tanh).build_as::<f64>(1).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let error = model.fit_dataset(&rows, &Fit::default().verbose(Verbose::Silent), &mut []).unwrap_err().to_string();
    assert_eq!(
        error,
        "batch 0 of the dataset: fit: expected 5 places of a mask, one for each sample, got 40; targets were filled up along an axis \
         that the loss takes as one; bring them to one size, or give the output and its targets an axis more; outputs are of shape \
         [n, 8]"
    );
}

#[test]
fn images_of_any_size() {
    let size = |i: usize| [3 + i % 4, 5 - i % 3, 2];
    let images: Vec<_> = (0..12).map(|i| numbers(size(i), i)).collect();
    let source = Ragged::new(images.clone(), numbers([12, 1], 1)).unwrap();
    assert_eq!(Source::<f64>::shapes(&source).0, [FREE, FREE, 2].into());
    let all = batches(&source.clone().batch(12).pad(-7.0, 0.0), 0);
    let whole = &all[0].x;
    assert_eq!((whole.dims(), all[0].weights.len()), ([12, 6, 5, 2].as_slice(), 0));
    for (i, image) in images.iter().enumerate() {
        let [height, width, _] = size(i);
        for (at, value) in whole.row(i).iter().enumerate() {
            let (y, x, c) = (at / 10, at / 2 % 5, at % 2);
            let expected = if y < height && x < width { image.as_slice()[(y * width + x) * 2 + c] } else { -7.0 };
            assert_eq!(*value, expected);
        }
    }
    let mut model = Sequential::new([FREE, FREE, 2])
        .add(Conv2d::new(3, 3).padding(Padding::Same))
        .add(GlobalAveragePooling2d::new())
        .add(Dense::new(1))
        .build_as::<f64>(1)
        .unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    // One at a time nothing is filled up; turned images keep their sizes.
    let data = source.clone().augment(Augment::new().flip_horizontal(), 1).shuffle(1).batch(1);
    model.fit_dataset(&data, &Fit::default().epochs(2).verbose(Verbose::Silent), &mut []).unwrap();
    let one_size = source.clone().map_to([2], [1], |x, y, new, target| {
        (new[0], new[1], target[0]) = (x.len() as f64, x[0], y[0]);
    });
    assert_eq!(batches(&one_size.batch(12), 0)[0].x.row(5)[0], (4 * 3 * 2) as f64);
    let refused = |data: &dyn Dataset<f64>| data.check().unwrap_err().to_string();
    assert!(refused(&source.clone().mixup(0.2, 1).batch(2)).contains("samples of one size, got [free, free, 2]"));
    assert!(refused(&source.clone().shuffle_blocks(1, 4).batch(2)).contains("use shuffle(seed)"));
    assert!(refused(&source.clone().map_to([FREE], [1], |_, _, _, _| ()).batch(2)).contains("without free sizes"));
    let (train, test) = source.clone().split(0.25, 3).unwrap();
    assert_eq!(
        (batches(&train.batch(9), 0)[0].x.dims()[0], batches(&test.batch(3), 0)[0].y.dims()),
        (9, [3, 1].as_slice())
    );
    let classes = Ragged::new(images.clone(), Tensor::from_fn([12], |i| (i % 2) as f64)).unwrap();
    assert_eq!(classes.split_stratified(0.5, 3).unwrap().1.positions().iter().filter(|i| *i % 2 == 0).count(), 3);
    let error = Ragged::new(vec![images[0].clone(), numbers([3, 4], 1)], numbers([2, 1], 1)).unwrap_err().to_string();
    assert!(error.contains("3 axes in x of every sample, as in the first, got [3, 4] in sample 1"), "{error}");
    assert!(Ragged::new(images, numbers([3, 1], 1)).unwrap_err().to_string().contains("12 targets"));
    assert!(Ragged::<f64>::new(Vec::new(), Vec::new()).is_err());
}

#[test]
fn pairs_of_sequences_of_their_own_lengths() {
    let (sources, _) = sentences(30);
    let targets: Vec<_> = (0..30).map(|i| Tensor::from_fn([1 + i % 4], |t| (t + 1) as f64)).collect();
    let inputs = Ragged::new(sources.clone(), Tensor::zeros([30, 0])).unwrap();
    let data = inputs.zip(Ragged::new(targets.clone(), targets.clone()).unwrap()).shuffle(1).bucket(10);
    let (x, y) = data.all_shapes();
    assert_eq!((x, y), (vec![[FREE].into(); 2], vec![[FREE].into()]));
    let all = batches(&data, 0);
    let values = |of: &dyn Fn(&Batch<f64>) -> Vec<f64>| {
        let mut all: Vec<_> = all.iter().flat_map(of).filter(|v| *v != 0.0).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let sorted = |all: &[Tensor<f64>]| {
        let mut all: Vec<_> = all.iter().flat_map(|t| t.as_slice().to_vec()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    assert_eq!(values(&|batch| batch.x.as_slice().to_vec()), sorted(&sources));
    assert_eq!(values(&|batch| batch.more_x[0].as_slice().to_vec()), sorted(&targets));
    assert_eq!(values(&|batch| batch.y.as_slice().to_vec()), sorted(&targets));
    assert!(all.iter().all(|batch| batch.more_x[0].shape() == batch.y.shape()));
}

#[test]
fn weights_of_steps() {
    let (x, t) = (numbers([6, 4, 2], 1), numbers([6, 4, 3], 2));
    let weights: Vec<f64> = (0..24).map(|i| (i % 5) as f64 / 2.0).collect();
    let model = || {
        let mut model = Sequential::new([FREE, 2]).add(Dense::new(3)).build_as::<f64>(4).unwrap();
        let head =
            Head::new("dense").loss(MeanAbsoluteError::default()).weighted_metrics([RootMeanSquaredError::default()]);
        model.compile_heads(Sgd::default().learning_rate(0.1), [head]).unwrap();
        model
    };
    let y = model().predict(&x).unwrap();
    let rows = |power: i32| {
        let row = |i: usize| {
            (0..3).map(|c| (y.as_slice()[i * 3 + c] - t.as_slice()[i * 3 + c]).abs().powi(power)).sum::<f64>() / 3.0
        };
        (0..24).map(|i| weights[i] * row(i)).sum::<f64>()
    };
    // Σ w·loss over the number of steps; metrics over the sum of weights.
    let scores = model().evaluate_weighted(&x, &t, &weights).unwrap();
    assert!((scores.loss - rows(1) / 24.0).abs() < 1e-12);
    assert!((scores.metrics()[0].1.powi(2) - rows(2) / weights.iter().sum::<f64>()).abs() < 1e-12, "{scores}");
    // The gradient by differences: one step of plain descent on all samples.
    let mut trained = model();
    let how = Fit::default().batch_size(6).shuffle(false).verbose(Verbose::Silent).sample_weight(&weights);
    trained.fit(&x, &t, &how).unwrap();
    let fresh = model();
    for i in 0..fresh.params().values().len() {
        let loss = |by: f64| {
            let mut model = model();
            model.values_mut()[i] += by;
            model.evaluate_weighted(&x, &t, &weights).unwrap().loss
        };
        let slope = (loss(1e-6) - loss(-1e-6)) / 2e-6;
        let step = fresh.params().values()[i] - trained.params().values()[i];
        assert!((step - 0.1 * slope).abs() < 1e-8, "{i}: {step} {slope}");
    }
    // In batches, shuffled, with validation: the weights follow their samples.
    let how = |weights| Fit::default().batch_size(4).epochs(2).verbose(Verbose::Silent).sample_weight(weights);
    let each: Vec<f64> = (0..6).map(|i| 0.5 + i as f64).collect();
    let repeated: Vec<f64> = each.iter().flat_map(|&w| [w; 4]).collect();
    let (mut a, mut b) = (model(), model());
    let histories = [
        a.fit(&x, &t, &how(&each).validation_split(0.4)).unwrap(),
        b.fit(&x, &t, &how(&repeated).validation_split(0.4)).unwrap(),
    ];
    assert_eq!((&histories[0], a.params()), (&histories[1], b.params()));
    let validated = |weights: &Vec<f64>| {
        let how = how(&each).validation_data(&x, &t).validation_weight(weights);
        model().fit(&x, &t, &how).unwrap()
    };
    assert_eq!(validated(&each), validated(&repeated));
    let short = vec![1.0; 12];
    let error = model().fit(&x, &t, &how(&short)).unwrap_err().to_string();
    assert_eq!(
        error,
        "fit: expected 6 weights, one for each sample, or 24, one for each of 4 steps, got 12; pass a weight for every sample \
         of x; outputs are of shape [n, 4, 3]"
    );
    let mut bad = repeated.clone();
    bad[13] = f64::NAN;
    let error = model().fit(&x, &t, &how(&bad)).unwrap_err().to_string();
    assert!(error.contains("correct the weight of sample 3, step 1"), "{error}");
}

#[test]
fn loading_again_allocates_nothing() {
    let (words, classes) = sentences(40);
    let ragged = || Ragged::new(words.clone(), classes.clone()).unwrap();
    let lengths = Samples::new(numbers([40, 2], 1), numbers([40, 1], 2)).unwrap();
    let [a, b, y, z] = two();
    let several = Samples::several([a, b], [y, z]).unwrap().shuffle(1).batch(8);
    let sources: [&dyn Dataset<f64>; 4] = [
        &several,
        &ragged().shuffle(1).batch(8),
        &ragged().zip(lengths.clone()).shuffle(1).map(|x, _| x[0] += 1.0).batch(8),
        &ragged().zip(lengths).bucket(8),
    ];
    for data in sources {
        let mut batch = Batch::default();
        let mut epoch = || (0..data.batches().unwrap()).for_each(|index| data.load(0, index, &mut batch).unwrap());
        epoch();
        count_this_thread(true);
        let again = allocations(epoch).0;
        count_this_thread(false);
        assert_eq!(again, 0, "{data:?}");
    }
}

/// A model without masks, whose figures must not depend on how samples are put together.
#[test]
fn filling_is_in_no_figure() {
    let (words, classes) = sentences(60);
    let one_hot =
        classes.iter().map(|y| Tensor::from_fn([y.len(), 3], |i| f64::from(y.as_slice()[i / 3] == (i % 3) as f64)));
    let one_hot: Vec<_> = one_hot.collect();
    let model = || {
        let mut model = Sequential::new([FREE])
            .add(Embedding::new(21, 6))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build_as::<f64>(5)
            .unwrap();
        model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        model
    };
    let long: Vec<usize> = (0..60).filter(|i| !words[*i].is_empty()).collect();
    let of = |all: &[Tensor<f64>]| long.iter().map(|&i| all[i].clone()).collect::<Vec<_>>();
    let accuracy = |y: &[Tensor<f64>], n: usize| {
        let data = Ragged::new(of(&words), of(y)).unwrap().batch(n);
        model().evaluate_dataset(&data).unwrap().get("accuracy").unwrap()
    };
    let alone = accuracy(&one_hot, 1);
    for n in [2, 7, 60] {
        assert!((accuracy(&one_hot, n) - alone).abs() < 1e-12);
        assert!((accuracy(&classes, n) - alone).abs() < 1e-12);
    }
    // A batch's loss is over the steps that count, in training as in evaluation.
    let data = Ragged::new(of(&words), of(&one_hot)).unwrap().batch(60);
    let mut batch = Batch::default();
    data.load(0, 0, &mut batch).unwrap();
    let y = model().predict(&batch.x).unwrap();
    let mut sum = 0.0;
    for (i, _) in batch.masks[0].iter().enumerate().filter(|(_, counts)| **counts) {
        sum -= (0..3).map(|c| batch.y.as_slice()[i * 3 + c] * y.as_slice()[i * 3 + c].ln()).sum::<f64>();
    }
    let expected = sum / of(&words).iter().map(Tensor::len).sum::<usize>() as f64;
    let history = model().fit_dataset(&data, &Fit::default().verbose(Verbose::Silent), &mut []).unwrap();
    assert!((history.get("loss").unwrap()[0] - expected).abs() < 1e-12);
    assert!((model().evaluate_dataset(&data).unwrap().loss - expected).abs() < 1e-12);
}

#[test]
fn targets_of_weight_zero_may_be_anything() {
    let (x, mut t) = (numbers([4, 2], 1), Tensor::from([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]));
    let model = || {
        let mut model =
            Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build_as::<f64>(1).unwrap();
        let head = Head::new("dense").loss(CategoricalCrossentropy::default());
        model.compile_heads(Adam::default(), [head.weighted_metrics([Accuracy::default()])]).unwrap();
        model
    };
    let how = |weights| Fit::default().verbose(Verbose::Silent).sample_weight(weights);
    let error = model().fit(&x, &t, &Fit::default()).unwrap_err().to_string();
    assert!(error.contains("row 2") && error.contains("to leave a sample out give it the weight 0"), "{error}");
    // Metrics that take no weights look at all.
    let mut looking =
        Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build_as::<f64>(1).unwrap();
    looking.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    let error = looking.fit(&x, &t, &how(&[1.0, 2.0, 0.0, 1.0])).unwrap_err().to_string();
    assert!(error.starts_with("Accuracy: target in row 2"), "{error}");
    // A class without a weight, of a sample that is left out.
    let labels = Samples::new(x.clone(), Tensor::from([1.0, 0.0, -1.0, 1.0])).unwrap();
    let weighed = Weighted(labels.batch(4), vec![1.0, 1.0, 0.0, 1.0]);
    let by_class = Fit::default().verbose(Verbose::Silent).class_weight(&[1.0, 2.0]);
    model().fit_dataset(&weighed, &by_class, &mut []).unwrap();
    let too_many = Weighted(Samples::new(x.clone(), Tensor::zeros([4])).unwrap().batch(4), vec![1.0; 5]);
    let error = model().fit_dataset(&too_many, &by_class, &mut []).unwrap_err().to_string();
    assert!(error.contains("4 weights, one for each sample, with class_weight, got 5"), "{error}");
    let weights = [1.0, 2.0, 0.0, 1.0];
    let mut first = model();
    first.fit(&x, &t, &how(&weights)).unwrap();
    t.row_mut(2)[1] = 7.0;
    let mut second = model();
    second.fit(&x, &t, &how(&weights)).unwrap();
    assert_eq!(first.params(), second.params());
    let labels = Tensor::from([1.0, 0.0, -1.0, 1.0]);
    model().fit(&x, &labels, &how(&weights)).unwrap();
    let error = model().fit(&x, &labels, &how(&[0.0, 0.0, 1.0, 1.0])).unwrap_err().to_string();
    assert!(error.contains("row 2"), "{error}");
    model().fit(&x, &labels, &how(&[0.0; 4])).unwrap();
}

/// A dataset with weights of its own.
#[derive(Debug)]
struct Weighted<D>(D, Vec<f64>);

impl<D: Dataset<f64>> Dataset<f64> for Weighted<D> {
    fn shapes(&self) -> (Shape, Shape) {
        self.0.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.0.all_shapes()
    }

    fn batches(&self) -> Option<usize> {
        self.0.batches()
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<f64>) -> gradus::Result<()> {
        self.0.load(epoch, index, batch)?;
        // In the first batch alone.
        if index == 0 {
            batch.weights = self.1.clone();
        }
        Ok(())
    }
}

#[test]
fn weights_of_a_batch_are_no_other_batchs() {
    let [a, b, y, z] = two();
    let data = || {
        let samples = Samples::several([a.clone(), b.clone()], [y.clone(), z.clone()]).unwrap();
        Weighted(samples.batch(25), (0..25).map(|i| i as f64 / 9.0).collect())
    };
    let how = Fit::default().epochs(2).verbose(Verbose::Silent);
    let (mut fresh, mut used, mut ahead) = (two_heads(), two_heads(), two_heads());
    fresh.fit_dataset(&data(), &how, &mut []).unwrap();
    // Lists for both outputs from a fit before, with weights that are the same when it is over.
    let before = used.params().values().to_vec();
    used.fit([&a, &b], [&y, &z], &how.clone().sample_weight([("y", &[1.0; 50][..])])).unwrap();
    used.values_mut().copy_from_slice(&before);
    used.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    used.fit_dataset(&data(), &how, &mut []).unwrap();
    assert_eq!(used.params(), fresh.params());
    ahead.fit_dataset(&Prefetch::new(data(), 2).unwrap(), &how, &mut []).unwrap();
    assert_eq!(ahead.params(), fresh.params());
    let error = two_heads().fit([&a, &b], [&y, &z], &how.clone().class_weight(&[1.0, 2.0])).unwrap_err().to_string();
    assert!(error.contains("class_weight must be left out with several targets"), "{error}");
}

#[test]
fn errors_say_where() {
    let [a, b, y, z] = two();
    let text = |error: gradus::Error| error.to_string();
    let mut bad = b.clone();
    bad.as_mut_slice()[9] = f64::NAN;
    let error = text(two_heads().evaluate([&a, &bad], [&y, &z]).unwrap_err());
    assert_eq!(error, "input b: evaluate: x has NaN in row 2, column 1; remove or impute it");
    let error = text(two_heads().predict_all([&a, &bad]).unwrap_err());
    assert!(error.starts_with("input b: predict"), "{error}");
    let how = Fit::default().verbose(Verbose::Silent);
    let short = [1.0; 3];
    let error = text(two_heads().fit([&a, &b], [&y, &z], &how.clone().sample_weight([("z", &short[..])])).unwrap_err());
    assert!(error.starts_with("output z: fit: expected 50 weights"), "{error}");
    let targets = Samples::several([a.clone(), b.clone()], [z, y]).unwrap().batch(8);
    let error = text(two_heads().fit_dataset(&targets, &how, &mut []).unwrap_err());
    assert!(error.starts_with("output y: "), "{error}");
    let broken = FromFn::new([7], [3], Some(30), |_, i, _: &mut [f64], _: &mut [f64]| match i {
        0..20 => Ok(()),
        _ => Err(gradus::Error::custom("the disk is gone")),
    });
    let broken = broken.unwrap().inputs([Shape::from([3]), Shape::from([2, 2])]).targets([[1], [2]]).batch(10);
    let error = text(two_heads().fit_dataset(&broken, &how, &mut []).unwrap_err());
    assert_eq!(error, "batch 2 of the dataset: the disk is gone");
    assert_eq!(text(two_heads().evaluate_dataset(&broken).unwrap_err()), error);
    let error = text(
        Ragged::new(vec![numbers([3], 1), numbers([2], 1)], numbers([2, 1], 2))
            .unwrap()
            .inputs([[FREE], [3]])
            .batch(2)
            .check()
            .unwrap_err(),
    );
    assert!(error.contains("got [free] and [3]"), "{error}");
}

#[test]
fn steps_on_samples_of_different_sizes_allocate_nothing() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        let (words, classes) = sentences(64);
        let source = || Ragged::new(words.clone(), classes.clone()).unwrap().repeat().batch(16);
        for shards in [None, Some(3)] {
            let mut model = tagger();
            let mut epoch = |steps| {
                let how = Fit::default().steps_per_epoch(steps).verbose(Verbose::Silent);
                let how = shards.into_iter().fold(how, Fit::shards);
                let data = source();
                count_this_thread(true);
                let taken = allocations(|| drop(model.fit_dataset(&data, &how, &mut []).unwrap())).0;
                count_this_thread(false);
                taken
            };
            epoch(8);
            // The run itself takes as much, whatever its steps.
            assert_eq!(epoch(8), epoch(24), "{shards:?} shards");
        }
    });
}
