//! What language models are trained on: hidden tokens, pairs of sequences, contrast within a batch, ids in a file.

use gradus::graph::{BlockInputs, Graph, Part, Value};
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use support::counting;

fn below(part: u64, i: usize, n: usize) -> usize {
    Key::new(5, Purpose::Data).with(part).below(i as u64, n)
}

fn batches(data: &dyn Dataset, epoch: usize) -> Vec<Batch> {
    let load = |index| {
        let mut batch = Batch::default();
        data.load(epoch, index, &mut batch).map(|()| batch)
    };
    (0..data.batches().unwrap()).map(|index| load(index).unwrap()).collect()
}

/// Special ids: filling, begin, end, mask; and how many ids there are.
const SPECIAL: [usize; 4] = [0, 1, 2, 3];
const MASK: f32 = 3.0;
const VOCABULARY: usize = 50;

/// Rows `1 … 2` of many lengths, with a label each.
fn rows(n: usize) -> Ragged {
    let row = |i: usize| {
        let words = (0..i * 7 % 23).map(|j| (4 + below(i as u64, j, VOCABULARY - 4)) as f32);
        let row: Vec<_> = std::iter::once(1.0).chain(words).chain([2.0]).collect();
        Tensor::new([row.len()], row).unwrap()
    };
    Ragged::new((0..n).map(row).collect::<Vec<_>>(), Tensor::from_labels(&vec![7; n])).unwrap()
}

fn hidden(n: usize) -> MaskedTokens<Ragged> {
    MaskedTokens::new(rows(n), 3, VOCABULARY, 9).special(SPECIAL)
}

/// The values of a sample: as they were, as they are, the target.
fn sample(source: &MaskedTokens<Ragged>, epoch: usize, i: usize) -> [Vec<f32>; 3] {
    let mut shapes = Vec::new();
    Source::<f32>::shapes_at(source, epoch, i, &mut shapes).unwrap();
    assert!(shapes.len() == 2 && shapes[0] == shapes[1]);
    let [mut before, mut x, mut y] = [(); 3].map(|()| vec![0.0; shapes[0].len()]);
    source.source().read(epoch, i, &mut before, &mut [0.0]).unwrap();
    source.read(epoch, i, &mut x, &mut y).unwrap();
    [before, x, y]
}

#[test]
fn hidden_tokens_come_in_their_shares() {
    let n = 400;
    for (rate, parts) in [(0.15, [0.8, 0.1]), (0.5, [0.3, 0.6]), (1.0, [0.0, 0.0])] {
        let source = hidden(n).rate(rate).parts(parts[0], parts[1]);
        let mut counts = [0usize; 4];
        for i in 0..n {
            let [before, x, y] = sample(&source, 0, i);
            let words = before.len() - 2;
            let wanted = if words == 0 { 0 } else { ((words as f64 * rate).round() as usize).max(1) };
            assert_eq!(y.iter().filter(|y| **y != -100.0).count(), wanted);
            for ((before, x), y) in before.iter().zip(&x).zip(&y) {
                if *y == -100.0 {
                    assert_eq!(x, before);
                    continue;
                }
                assert!(y == before && !SPECIAL.contains(&(*before as usize)));
                let is_random = x != before && *x != MASK;
                assert!(!is_random || (4.0..VOCABULARY as f32).contains(x));
                counts[if *x == MASK { 0 } else { 1 + usize::from(!is_random) }] += 1;
                counts[3] += 1;
            }
        }
        let share = |count: usize| count as f64 / counts[3] as f64;
        // A random token may be the same one.
        assert!((share(counts[0]) - parts[0]).abs() < 0.03, "{counts:?}");
        assert!((share(counts[1]) - parts[1] * 45.0 / 46.0).abs() < 0.03, "{counts:?}");
    }
}

#[test]
fn hidden_tokens_follow_from_seed_epoch_and_position() {
    let source = hidden(60);
    let targets = |source: &MaskedTokens<Ragged>, epoch| (0..60).map(|i| sample(source, epoch, i)).collect::<Vec<_>>();
    let first = targets(&source, 0);
    assert_eq!(first, targets(&source, 0));
    assert_ne!(first, targets(&source, 1));
    assert_ne!(first, targets(&MaskedTokens::new(rows(60), 3, VOCABULARY, 10).special(SPECIAL), 0));
    let fixed = hidden(60).fixed(true);
    assert!(first == targets(&fixed, 0) && first == targets(&fixed, 5));
    // Shuffled, in buckets, for any number of workers, from a batch in the middle: the samples of their positions.
    for epoch in 0..2 {
        let expected = batches(&hidden(60).shuffle(4).bucket(7), epoch);
        for workers in [1, 3] {
            let ahead = hidden(60).shuffle(4).bucket(7).prefetch(workers).unwrap();
            assert_eq!(batches(&ahead, epoch), expected);
            let mut batch = Batch::default();
            ahead.load(epoch, 5, &mut batch).unwrap();
            assert_eq!(batch, expected[5]);
        }
        let mut seen = 0;
        for batch in &expected {
            for row in 0..batch.x.samples() {
                let (x, y) = (batch.x.row(row), batch.y.row(row));
                let n = x.iter().position(|x| *x == 2.0).unwrap() + 1;
                let filled = batch.masks.first().is_some_and(|mask| !mask.is_empty());
                assert!(
                    !filled
                        || batch.masks[0][row * y.len()..][..y.len()].iter().enumerate().all(|(i, m)| *m == (i < n))
                );
                let own = |[_, x_, y_]: &[Vec<f32>; 3]| x_[..] == x[..n] && y_[..] == y[..n];
                seen += usize::from(targets(&hidden(60), epoch).iter().any(own));
            }
        }
        assert_eq!(seen, 60);
    }
}

#[test]
fn whole_words_are_hidden_together() {
    // Ids from 30 on go on with a word.
    let source = hidden(200).rate(0.4).parts(1.0, 0.0).whole_words(|id| id >= 30);
    let mut together = 0;
    for i in 0..200 {
        let [before, x, y] = sample(&source, 0, i);
        let words = before.len() - 2;
        let chosen = y.iter().filter(|y| **y != -100.0).count();
        assert_eq!(chosen == 0, words == 0);
        for at in 2..before.len() - 1 {
            if before[at] >= 30.0 {
                assert_eq!(x[at] == MASK, x[at - 1] == MASK, "{before:?} {x:?}");
                together += usize::from(x[at] == MASK);
            }
        }
    }
    assert!(together > 100);
}

#[test]
fn hidden_tokens_of_packed_rows_keep_their_other_inputs() {
    let mut ids = TokenIds::new();
    (0..40).for_each(|d| ids.push(&(0..d * 11 % 17).map(|i| 4 + below(d as u64, i, 46)).collect::<Vec<_>>()).unwrap());
    for packing in [Packing::new(16), Packing::new(16).whole(10), Packing::new(16).keep_last(true)] {
        let packing = packing.end(2).boundaries(true);
        let plain = batches(&packing.build(&ids).unwrap().batch(3), 0);
        let source = MaskedTokens::new(packing.build(&ids).unwrap(), 3, VOCABULARY, 1).special(SPECIAL);
        let masked = batches(&source.batch(3), 0);
        assert_eq!(plain.len(), masked.len());
        for (plain, masked) in plain.iter().zip(&masked) {
            assert_eq!((&plain.more_x, &plain.masks), (&masked.more_x, &masked.masks));
            let restored = masked.x.iter().zip(masked.y.iter()).map(|(x, y)| if *y == -100.0 { *x } else { *y });
            // What is filled up is 0 in the target too.
            let restored: Vec<_> =
                restored.zip(plain.x.iter()).map(|(x, own)| if *own == 0.0 { 0.0 } else { x }).collect();
            assert_eq!(restored, plain.x.as_slice());
            assert!(masked.x.as_slice().contains(&MASK));
        }
    }
    // Several samples at once, whose own targets are larger than the tokens.
    let table = Samples::<f32>::new(Tensor::full([9, 2], 5.0), Tensor::zeros([9, 30])).unwrap();
    let batch = &batches(&MaskedTokens::new(table, 3, VOCABULARY, 1).rate(1.0).parts(1.0, 0.0).batch(9), 0)[0];
    assert_eq!((&batch.x, &batch.y), (&Tensor::full([9, 2], MASK), &Tensor::full([9, 2], 5.0)));
}

#[test]
fn what_is_wrong_with_hidden_tokens() {
    let table = |id: f32| Samples::<f32>::new(Tensor::full([2, 3], id), Tensor::zeros([2, 0])).unwrap();
    let error = |source: MaskedTokens<Samples>| {
        let data = source.batch(2);
        let known = Dataset::check(&data);
        let read = data.load(0, 0, &mut Batch::default()).unwrap_err().to_string();
        assert!(known.is_ok() || known.unwrap_err().to_string() == read);
        read
    };
    let new = |id: f32| MaskedTokens::new(table(id), 3, 10, 1);
    assert!(error(MaskedTokens::new(table(5.0), 10, 10, 1)).contains("mask must be below 10, the vocabulary, got 10"));
    assert!(error(new(5.0).special([0, 11])).contains("special must be below 10, the vocabulary, got 11"));
    assert!(error(new(5.0).special(0..10)).contains("special must be some of the ids, got all 10"));
    for rate in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(error(new(5.0).rate(rate)).contains("rate must be above 0 and at most 1"));
    }
    for (masked, random) in [(0.8, 0.3), (-0.1, 0.2), (f64::NAN, 0.0)] {
        assert!(error(new(5.0).parts(masked, random)).contains("parts must be not negative"));
    }
    assert!(error(new(5.0).ignored(5)).contains("ignored must be no token that may be chosen"));
    assert!(error(new(5.0).ignored(-(1 << 24) - 1)).contains("exact as f32"));
    for id in [10.0, -1.0, 0.5, f32::NAN] {
        let expected = format!("token id must be a whole number from 0 to 9, got {id} at place 0 of a row");
        assert!(error(new(id)).contains(&expected));
    }
    let huge = MaskedTokens::new(table(5.0), 3, (1 << 24) + 2, 1);
    assert!(error(huge).contains("token id must be a number that f32 holds exactly"));
    // A token that is special may stand for what is ignored.
    assert!(new(5.0).special([0]).ignored(0).batch(2).load(0, 0, &mut Batch::<f32>::default()).is_ok());
    let shuffled = MaskedTokens::new(table(5.0).shuffle(1), 3, 10, 1).take(1);
    assert!(shuffled.batch(1).load(0, 0, &mut Batch::<f32>::default()).is_err());
}

/// Cross-entropy from logits of the steps whose target is not negative.
#[derive(Debug)]
struct Hidden;

impl Hidden {
    fn inner() -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy::default().from_logits(true)
    }
}

impl<T: Float> Loss<T> for Hidden {
    fn name(&self) -> &'static str {
        "hidden"
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if y_true[0] < T::zero() { T::zero() } else { Self::inner().value(y_true, y_pred) }
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        match y_true[0] < T::zero() {
            true => dy.fill(T::zero()),
            false => Self::inner().gradient(y_true, y_pred, scale, dy),
        }
    }

    fn check(&self, _: Shape, _: Shape) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn an_encoder_finds_hidden_tokens() {
    // Counting from anywhere, in a circle of 20: each token follows from its neighbours.
    const LENGTH: usize = 8;
    let rows = Tensor::from_fn([256, LENGTH], |i| (4 + (below(1, i / LENGTH, 20) + i % LENGTH) % 20) as f32);
    let source = || Samples::new(rows.clone(), Tensor::zeros([256, 0])).unwrap();
    let data =
        MaskedTokens::new(source(), 3, 24, 1).special(SPECIAL).rate(0.25).shuffle(2).batch(32).prefetch(1).unwrap();
    let mut g = Graph::new();
    let tokens = g.input("tokens", [LENGTH]);
    let x = g.add(Embedding::new(24, 24), tokens);
    let x = g.add(PositionEmbedding::new(LENGTH), x);
    let x = g.add(TransformerEncoderBlock::new(24, 2).hidden(48), x);
    let y = g.add(Dense::new(24), x);
    let mut model = g.build([y], 3).unwrap();
    model.compile(Adam::default().learning_rate(5e-3), Hidden, ()).unwrap();
    let accuracy = |model: &Model| {
        let held = MaskedTokens::new(source(), 3, 24, 8).special(SPECIAL).rate(0.25).parts(1.0, 0.0).batch(256);
        let batch = &batches(&held, 0)[0];
        let found = model.predict(&batch.x).unwrap();
        let steps = found.as_slice().chunks(24).zip(batch.y.as_slice()).filter(|(_, y)| **y >= 0.0);
        let best = |z: &[f32]| (0..24).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap() as f32;
        let right: Vec<bool> = steps.map(|(z, y)| best(z) == *y).collect();
        right.iter().filter(|right| **right).count() as f64 / right.len() as f64
    };
    assert!(accuracy(&model) < 0.2);
    model.fit_dataset(&data, &Fit::default().epochs(40).verbose(Verbose::Silent), &mut []).unwrap();
    let after = accuracy(&model);
    assert!(after > 0.95, "{after}");
}

/// Documents of these lengths, ids from `first` on.
fn documents(first: usize, lengths: impl Iterator<Item = usize>) -> TokenIds {
    let mut all = TokenIds::new();
    (0..).zip(lengths).for_each(|(d, n)| all.push(&(0..n).map(|i| first + d * 20 + i).collect::<Vec<_>>()).unwrap());
    all
}

#[test]
fn pairs_of_sequences_are_shifted_and_filled_up() {
    let (sources, targets) = (documents(10, (0..37).map(|d| 1 + d * 5 % 9)), documents(10, (0..37).map(|d| d * 7 % 8)));
    for (end, max) in [(Some(2), [usize::MAX; 2]), (Some(2), [4, 5]), (None, [3, 2])] {
        let targets = if end.is_some() { targets.clone() } else { documents(10, (0..37).map(|d| 1 + d * 7 % 8)) };
        let mut data = SequencePairs::new(&sources, &targets, 1).unwrap().max_source(max[0]).max_target(max[1]);
        if let Some(end) = end {
            data = data.end(end);
        }
        let mut seen = 0;
        for batch in batches(&(&data).shuffle(3).bucket(5), 1) {
            let [source, decoder, labels] = [&batch.x, &batch.more_x[0], &batch.y];
            assert!(decoder.shape() == labels.shape());
            for row in 0..source.samples() {
                let position = (0..37).find(|&d| sources.document(d).unwrap()[0] as f32 == source.row(row)[0]).unwrap();
                let cut = |ids: &[u32], n: usize| ids.iter().take(n).map(|id| *id as f32).collect::<Vec<_>>();
                let expected = cut(sources.document(position).unwrap(), max[0]);
                let (own, filled) = source.row(row).split_at(expected.len());
                assert!(own == expected && filled.iter().all(|id| *id == 0.0));
                let mut expected = cut(targets.document(position).unwrap(), max[1] - usize::from(end.is_some()));
                expected.extend(end.map(|end| end as f32));
                let (own, filled) = labels.row(row).split_at(expected.len());
                assert!(own == expected && filled.iter().all(|id| *id == 0.0));
                assert_eq!(decoder.row(row)[0], 1.0);
                assert_eq!(decoder.row(row)[1..own.len()], own[..own.len() - 1]);
                assert!(decoder.row(row)[own.len()..].iter().all(|id| *id == 0.0));
                let width = labels.row(row).len();
                match batch.masks.first().filter(|mask| !mask.is_empty()) {
                    Some(mask) => assert!((0..width).all(|i| mask[row * width + i] == (i < own.len()))),
                    None => assert!(filled.is_empty()),
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 37);
    }
    let error = |data: Result<SequencePairs<TokenIds, TokenIds>, Error>| {
        data.and_then(|data| data.batch(9).load(0, 0, &mut Batch::<f32>::default())).unwrap_err().to_string()
    };
    let some = |lengths: &[usize]| documents(10, lengths.iter().copied());
    assert!(error(SequencePairs::new(some(&[1, 2]), some(&[1]), 1)).contains("2 targets, one for each source, got 1"));
    assert!(error(SequencePairs::new(some(&[]), some(&[]), 1)).contains("the list of sources has no samples"));
    assert!(error(SequencePairs::new(some(&[1, 0]), some(&[1, 1]), 1)).contains("got none in the source of pair 1"));
    assert!(error(SequencePairs::new(some(&[1, 1]), some(&[1, 0]), 1)).contains("got none in the target of pair 1"));
    let one = || SequencePairs::new(some(&[1]), some(&[1]), 1);
    assert!(error(one().map(|data| data.max_source(0))).contains("max_source must be at least 1, got 0"));
    assert!(error(one().map(|data| data.max_target(0))).contains("max_target must be at least 1, got 0"));
    assert!(error(one().map(|data| data.end((1 << 24) + 1))).contains("f32 holds exactly"));
}

#[test]
fn a_decoder_learns_from_pairs() {
    // Each token stands for another one.
    let (mut sources, mut targets) = (TokenIds::new(), TokenIds::new());
    for d in 0..128 {
        let source: Vec<_> = (0..1 + below(2, d, 4)).map(|i| 3 + below(3 + d as u64, i, 8)).collect();
        targets.push(&source.iter().map(|id| 3 + (id + 2) % 8).collect::<Vec<_>>()).unwrap();
        sources.push(&source).unwrap();
    }
    let data = SequencePairs::new(sources, targets, 1).unwrap().end(2).shuffle(1).bucket(16).window(8);
    let mut g = Graph::new();
    let (source, decoder) = (g.input("source", [FREE]), g.input("decoder", [FREE]));
    let read = g.add_named("read", Embedding::new(11, 24).mask_zero(true), source);
    let read = g.add(PositionEmbedding::new(8), read);
    let x = g.add_named("written", Embedding::new(11, 24), decoder);
    let x = g.add(PositionEmbedding::new(8), x);
    let block = TransformerDecoderBlock::new(24, 2).hidden(48).inputs(BlockInputs::encoder(read));
    let x = g.add(block, x);
    let y = g.add(Dense::new(11).activation(Activation::Softmax), x);
    let mut model = g.build([y], 3).unwrap();
    let loss = SparseCategoricalCrossentropy::default();
    model.compile(Adam::default().learning_rate(5e-3), loss, [Accuracy::default()]).unwrap();
    let history = model.fit_dataset(&data, &Fit::default().epochs(40).verbose(Verbose::Silent), &mut []).unwrap();
    let accuracy = history.get("accuracy").unwrap();
    assert!(accuracy[0] < 0.5 && history.last("accuracy").unwrap() > 0.9, "{accuracy:?}");
}

/// Sentences of words about a topic, among words about nothing.
fn sentence(topic: usize, part: u64) -> Tensor {
    let n = 6 + below(part, 0, 4);
    let word = |i: usize| match below(part, 2 * i + 1, 2) {
        0 => 1 + topic * 4 + below(part, 2 * i + 2, 4),
        _ => 1 + TOPICS * 4 + below(part, 2 * i + 2, 12),
    };
    Tensor::from_fn([n], |i| if i == 0 { (1 + topic * 4 + part as usize % 4) as f32 } else { word(i) as f32 })
}

const TOPICS: usize = 30;

/// A sentence as a place on a sphere.
#[derive(Clone, Debug)]
struct Tower;

impl Part for Tower {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let x = g.add(Embedding::new(13 + TOPICS * 4, 16).mask_zero(true), x);
        let x = g.add(GlobalAveragePooling1d::new(), x);
        g.add(Dense::new(16), x)
    }
}

/// A model of two sentences: the loss, and where both stand.
fn towers(loss: InfoNce) -> Model {
    let mut g = Graph::new();
    let inputs = ["a", "b"].map(|name| g.input(name, [FREE]));
    let tower = g.shared("tower", Tower);
    let places = inputs.map(|x| g.apply(&tower, x));
    let loss = g.op_named("contrast", loss, &places);
    let mut model = g.build([loss, places[0], places[1]], 3).unwrap();
    let head = Head::new("contrast").loss(MeanAbsoluteError::default());
    model.compile_heads(Adam::default().learning_rate(0.01), [head]).unwrap();
    model
}

/// Pairs of sentences of the same topic, in the order of topics, every topic once in as many as there are.
fn pairs(rounds: usize, part: u64) -> impl Source<f32> {
    let side = |side: u64| -> Vec<Tensor> {
        let part = |i: usize| part + 2 * i as u64 + side;
        (0..rounds * TOPICS).map(|i| sentence(i % TOPICS, part(i))).collect()
    };
    // Targets of 0 are what the loss is to be.
    let n = rounds * TOPICS;
    let a = Ragged::new(side(0), Tensor::zeros([n, 0])).unwrap();
    a.zip(Ragged::new(side(1), Tensor::zeros([n, 1])).unwrap())
}

/// The part of the sentences whose own partner is the nearest of all.
fn retrieved(model: &Model) -> f64 {
    let batch = &batches(&pairs(1, 1 << 20).batch(TOPICS), 0)[0];
    let outputs = model.predict_all([&batch.x, &batch.more_x[0]]).unwrap();
    let cosine = |i: usize, j: usize| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (a, b) = (outputs[1].row(i), outputs[2].row(j));
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let nearest = |i: usize| (0..TOPICS).max_by(|&j, &k| cosine(i, j).total_cmp(&cosine(i, k))).unwrap();
    (0..TOPICS).filter(|&i| nearest(i) == i).count() as f64 / TOPICS as f64
}

#[test]
fn towers_find_what_belongs_together() {
    for symmetric in [false, true] {
        let train = || {
            let mut model = towers(InfoNce::new().symmetric(symmetric));
            // In their order each batch has every topic once.
            let data = pairs(20, 0).batch(TOPICS);
            let how = Fit::default().epochs(8).verbose(Verbose::Silent);
            let history = model.fit_dataset(&data, &how, &mut []).unwrap();
            (model, history)
        };
        let before = retrieved(&towers(InfoNce::new()));
        let (model, history) = train();
        let loss = history.get("loss").unwrap();
        let after = retrieved(&model);
        assert!(loss[7] < loss[0] / 3.0, "{loss:?}");
        assert!(before < 0.6 && after > 0.95, "from {before} to {after}");
        // The same bits for any number of threads.
        #[cfg(feature = "parallel")]
        {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert!(pool.install(train).0.params() == model.params());
        }
        #[cfg(feature = "files")]
        {
            let path = std::env::temp_dir().join(format!("gradus_towers_{}", std::process::id()));
            model.save(&path).unwrap();
            let loaded = Model::<f32>::load(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let batch = &batches(&pairs(1, 0).batch(TOPICS), 0)[0];
            let x = [&batch.x, &batch.more_x[0]];
            assert_eq!(loaded.predict_all(x).unwrap(), model.predict_all(x).unwrap());
        }
    }
}

#[test]
fn contrast_goes_to_several_threads() {
    let x =
        |part: u64| Tensor::from_fn([300, 40], |i| Key::new(3, Purpose::Data).with(part).unit(i as u64) as f32 - 0.5);
    let train = || {
        let mut g = Graph::new();
        let inputs = ["a", "b", "c"].map(|name| g.input(name, [40]));
        let tower = g.shared("tower", Dense::new(24));
        let places = inputs.map(|x| g.apply(&tower, x));
        let loss = g.op(InfoNce::new().symmetric(true), &places);
        let mut model = g.build([loss], 3).unwrap();
        model.compile(Adam::default(), MeanAbsoluteError::default(), ()).unwrap();
        let how = Fit::default().epochs(3).batch_size(300).verbose(Verbose::Silent);
        let history = model.fit([&x(1), &x(2), &x(3)], &Tensor::zeros([300, 1]), &how).unwrap();
        assert!(history.get("loss").unwrap().is_sorted_by(|a, b| a > b));
        model.params().values().to_vec()
    };
    let expected = train();
    assert_eq!(train(), expected);
    #[cfg(feature = "parallel")]
    for threads in 1..=4 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(train) == expected, "{threads} threads change the weights");
    }
}

/// Files that are read by several threads at the same time give what memory gives.
#[test]
fn rows_of_a_token_file() {
    let path = std::env::temp_dir().join(format!("gradus_rows_of_tokens_{}", std::process::id()));
    let ids = documents(4, (0..300).map(|d| d * 37 % 91));
    let mut file = TokenFileWriter::create(&path, 7000).unwrap();
    file.push_all(&ids).unwrap();
    file.finish().unwrap();
    for packing in [Packing::new(32).shuffle(3), Packing::new(32).whole(50).boundaries(true)] {
        let packing = packing.end(1);
        let expected = batches(&packing.build(&ids).unwrap().shuffle(1).batch(16), 2);
        let rows = packing.build(TokenFile::open(&path).unwrap()).unwrap();
        assert!(format!("{rows:?}").contains("300 documents"));
        assert_eq!(batches(&rows.shuffle(1).batch(16).prefetch(4).unwrap(), 2), expected);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_token_file_takes_no_memory_for_its_ids() {
    let most = |f: &dyn Fn()| {
        let before = counting::begin();
        f();
        counting::most_since(before)
    };
    let path = std::env::temp_dir().join(format!("gradus_large_tokens_{}", std::process::id()));
    let ids: Vec<usize> = (0..100_000).map(|i| i * 7 % 50_257).collect();
    // Eight megabytes in forty documents.
    let written = most(&|| {
        let mut file = TokenFileWriter::create(&path, 50_257).unwrap();
        (0..40).for_each(|_| file.push(&ids).unwrap());
        file.finish().unwrap();
    });
    let read = most(&|| {
        let rows = Packing::new(64).build(TokenFile::open(&path).unwrap()).unwrap();
        let (mut x, mut y) = ([0.0f32; 64], [0.0; 64]);
        for row in (0..rows.rows()).step_by(997) {
            rows.read(0, row, &mut x, &mut y).unwrap();
            assert_eq!(x[1], ids[(row * 64 + 1) % ids.len()] as f32);
        }
    });
    std::fs::write(&path, ids.iter().flat_map(|id| (*id as u16).to_le_bytes()).collect::<Vec<_>>()).unwrap();
    let ends = ids.iter().filter(|id| **id == 50_256).count();
    let cut = most(&|| assert_eq!(TokenFile::raw_u16(&path).unwrap().split_at(50_256).unwrap().documents(), ends + 1));
    std::fs::remove_file(&path).unwrap();
    // The documents' ends and a part of the file.
    assert!(written < 1 << 19 && read < 1 << 16 && cut < 1 << 16, "{written}, {read} and {cut} bytes");
}
