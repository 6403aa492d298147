//! Data in batches: the same bits from memory, from files, and for any number of workers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus::prelude::*;
use gradus::random::Key;

/// A file of its own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("gradus_dataset_{name}_{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn batches(data: &dyn Dataset, epoch: usize) -> Vec<Batch> {
    let load = |index| {
        let mut batch = Batch::default();
        data.load(epoch, index, &mut batch).map(|()| batch)
    };
    (0..data.batches().unwrap()).map(|index| load(index).unwrap()).collect()
}

fn digits_source() -> Samples {
    let digits = digits();
    Samples::new(digits.x, digits.y).unwrap()
}

/// Noise from the key, a turn of the target's number: everything that an augmentation does.
fn noisy(key: Key, x: &mut [f32], _: &mut [f32]) {
    x.iter_mut().enumerate().for_each(|(i, v)| *v += key.unit(i as u64) as f32);
}

#[test]
fn workers_change_nothing() {
    let chain = || digits_source().map(|x, _| x[0] = 1.0).map_keyed(5, noisy).shuffle(3).batch(100);
    let alone = chain();
    for workers in [1, 2, 3, 8] {
        let ahead = chain().prefetch(workers).unwrap();
        assert_eq!((ahead.shapes(), ahead.batches()), (Dataset::<f32>::shapes(&alone), Some(18)));
        for epoch in [0, 1, 7] {
            assert_eq!(batches(&ahead, epoch), batches(&alone, epoch), "{workers} workers, epoch {epoch}");
        }
        // Leaps, also back, and the same batch twice.
        for index in [17, 3, 4, 4, 0, 1] {
            let (mut a, mut b) = (Batch::default(), Batch::default());
            ahead.load(2, index, &mut a).unwrap();
            alone.load(2, index, &mut b).unwrap();
            assert_eq!(a, b);
        }
    }
    assert_ne!(batches(&alone, 0)[0], batches(&alone, 1)[0]);
}

#[test]
fn a_dataset_trains_like_tensors() {
    let digits = digits();
    let model = || {
        let mut model = Sequential::new([64])
            .add(Rescaling::new(1.0 / 16.0))
            .add(Dense::new(24).activation(Activation::Relu))
            .add(Dropout::new(0.2))
            .add(Dense::new(10).activation(Activation::Softmax))
            .build(9)
            .unwrap();
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        model
    };
    let classes: Vec<f64> = (0..10).map(|c| 1.0 + f64::from(c) / 10.0).collect();
    let how = || Fit::default().epochs(3).class_weight(&classes).verbose(Verbose::Silent);
    let (mut a, mut b, mut c) = (model(), model(), model());
    let split = how().validation_split(0.25);
    let expected = a.fit(&digits.x, &digits.y, &split).unwrap();

    // The same split, the same order: the seed is the model's.
    let kept = (1797.0 * 0.75) as usize;
    let train = digits_source().take(kept).shuffle(9).batch(32);
    let test = digits_source().skip(kept).batch(256);
    let history = b.fit_dataset(&train, &how().validation_dataset(&test), &mut []).unwrap();
    assert_eq!(history, expected);
    assert_eq!(a.params(), b.params());
    assert_eq!(
        b.evaluate_dataset(&test).unwrap(),
        a.evaluate(&digits.x.rows(kept..1797).unwrap(), &digits.y.rows(kept..1797).unwrap()).unwrap()
    );
    let ahead = digits_source().take(kept).shuffle(9).batch(32).prefetch(3).unwrap();
    c.fit_dataset(&ahead, &how(), &mut []).unwrap();
    assert_eq!(a.params(), c.params());
}

#[test]
fn endless_and_partial() {
    let numbers = || {
        FromFn::new([1], [1], None, |_, i, x: &mut [f32], y: &mut [f32]| {
            (x[0], y[0]) = ((i % 10) as f32, 1.0);
            Ok(())
        })
        .unwrap()
    };
    let mut model = Sequential::new([1]).add(Dense::new(1)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let endless = numbers().batch(8);
    let how = Fit::default().epochs(2).steps_per_epoch(5).verbose(Verbose::Silent);
    assert_eq!(model.fit_dataset(&endless, &how, &mut []).unwrap().epochs.len(), 2);
    let repeated = digits_source().repeat();
    assert_eq!(Source::<f32>::samples(&repeated), None);
    let (mut x, mut y) = (vec![0.0; 64 * 3], vec![0.0; 3]);
    repeated.read(0, 1796, &mut x, &mut y).unwrap();
    let digits = digits();
    assert_eq!(x, [digits.x.row(1796), digits.x.row(0), digits.x.row(1)].concat());
    assert_eq!(Dataset::<f32>::batches(&digits_source().batch(100).drop_last(true)), Some(17));
    // Other shapes.
    let sums = digits_source().map_to([2], [1], |x: &[f32], y: &[f32], new: &mut [f32], target: &mut [f32]| {
        (new[0], new[1], target[0]) = (x.iter().sum(), x[3], y[0]);
    });
    let batch = &batches(&sums.batch(5), 0)[1];
    assert_eq!((batch.x.dims(), batch.y.dims()), ([5, 2].as_slice(), [5, 1].as_slice()));
    assert_eq!(batch.x.row(0)[0], digits.x.row(5).iter().sum::<f32>());

    let fails = |model: &mut Model, data: &dyn Dataset, how: &Fit<'_>| {
        model.fit_dataset(data, how, &mut []).unwrap_err().to_string()
    };
    let plain = Fit::default().verbose(Verbose::Silent);
    assert!(fails(&mut model, &endless, &plain).contains("an endless dataset needs Fit::steps_per_epoch"));
    assert!(model.evaluate_dataset(&endless).is_err());
    assert!(
        fails(&mut model, &endless, &how.clone().steps_per_epoch(0)).contains("steps_per_epoch must be at least 1")
    );
    let five = numbers().take(5);
    assert!(fails(&mut model, &(&five).batch(2), &plain.clone().steps_per_epoch(4)).contains("at most 3"));
    assert!(fails(&mut model, &(&five).batch(0), &plain).contains("batch: n must be at least 1"));
    assert!(fails(&mut model, &(&five).skip(9).batch(2), &plain).contains("the dataset has no samples"));
    assert!(fails(&mut model, &(&five).batch(2), &plain.clone().validation_split(0.5)).contains("validation_split"));
    assert!(fails(&mut model, &(&five).batch(2), &plain.clone().sample_weight(&[1.0])).contains("sample_weight"));
    assert!(fails(&mut model, &digits_source().batch(2), &plain).contains("samples of shape [1]"));
    let tensors = model.fit(&Tensor::zeros([2, 1]), &Tensor::zeros([2, 1]), &plain.clone().steps_per_epoch(1));
    assert!(tensors.unwrap_err().to_string().contains("steps_per_epoch"));
    // What a dataset fills in wrongly is found when it comes.
    let strange = FromFn::new([1], [1], Some(4), |_, i, _: &mut [f32], _: &mut [f32]| match i {
        2 => Err(Error::custom("row 2 is missing")),
        _ => Ok(()),
    });
    assert_eq!(fails(&mut model, &strange.unwrap().batch(1), &plain), "batch 2 of the dataset: row 2 is missing");
}

/// Shuffled and then parted, samples would change sides each epoch: found before the first step, also where the chain stands in
/// validation alone.
#[test]
fn parts_of_a_shuffled_source_are_refused() {
    let mut model = Sequential::new([64]).add(Dense::new(10)).build(0).unwrap();
    let loss = SparseCategoricalCrossentropy::default().from_logits(true);
    model.compile(Sgd::default(), loss, ()).unwrap();
    let before = model.params().values().to_vec();
    let how = Fit::default().verbose(Verbose::Silent);
    let train = digits_source().shuffle(1).take(1000).batch(32);
    let error = model.fit_dataset(&train, &how, &mut []).unwrap_err().to_string();
    assert!(
        error.starts_with("take: source must be in an order that stays") && error.contains("source.split("),
        "{error}"
    );
    let validation = digits_source().shuffle(1).map(|x, _| x[0] = 1.0).skip(1000).batch(32);
    let good = digits_source().batch(32);
    let error =
        model.fit_dataset(&good, &how.clone().validation_dataset(&validation), &mut []).unwrap_err().to_string();
    assert!(error.starts_with("validation data: skip: source must be"), "{error}");
    assert!(model.evaluate_dataset(&validation).is_err() && validation.prefetch(1).is_err());
    assert_eq!(model.params().values(), before);
    let (train, validation) = digits_source().split_stratified(0.2, 1).unwrap();
    let mut counts = [0; 10];
    batches(&validation.clone().batch(64), 0).iter().flat_map(|b| b.y.to_labels()).for_each(|c| counts[c] += 1);
    assert_eq!(counts, [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]);
    let (train, validation) = (train.shuffle(1).batch(32), validation.batch(64));
    assert!(model.fit_dataset(&train, &how.clone().validation_dataset(&validation), &mut []).is_ok());
}

/// A stream goes on from epoch to epoch.
#[test]
fn an_epoch_of_a_stream_is_a_stretch() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let numbers = {
        let seen = seen.clone();
        FromFn::new([1], [1], None, move |epoch, i, _: &mut [f32], _: &mut [f32]| {
            seen.lock().unwrap().push((epoch, i));
            Ok(())
        })
    };
    let mut model = Sequential::new([1]).add(Dense::new(1)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let how = Fit::default().epochs(2).steps_per_epoch(3).verbose(Verbose::Silent);
    model.fit_dataset(&numbers.unwrap().batch(2), &how, &mut []).unwrap();
    assert_eq!(*seen.lock().unwrap(), (0..12).map(|i| (0, i)).collect::<Vec<_>>());
}

/// Stopped in the middle of an epoch and gone on, with another number of workers.
#[cfg(feature = "files")]
#[test]
fn a_run_over_a_dataset_is_resumed() {
    let file = Temporary::new("resumed", "");
    std::fs::remove_file(&file.0).unwrap();
    let train = |checkpoint: Option<&Checkpoint>, workers: usize, stop: Option<usize>| {
        let mut model = Sequential::new([64])
            .add(Rescaling::new(1.0 / 16.0))
            .add(Dense::new(16).activation(Activation::Relu))
            .add(Dropout::new(0.3))
            .add(Dense::new(10).activation(Activation::Softmax))
            .build(2)
            .unwrap();
        let optimizer = Muon::default().gradient_accumulation_steps(2);
        model.compile(optimizer, SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        let data = digits_source().map_keyed(5, noisy).shuffle_blocks(3, 100).batch(64).prefetch(workers).unwrap();
        let mut batches = 0;
        let mut plug = LambdaCallback::default().on_batch_end(|_, _, _| {
            batches += 1;
            if Some(batches) == stop { Err(Error::custom("stop")) } else { Ok(()) }
        });
        let mut how = Fit::default().epochs(3).verbose(Verbose::Silent);
        if let Some(checkpoint) = checkpoint {
            how = how.checkpoint(checkpoint);
        }
        let history = model.fit_dataset(&data, &how, &mut [&mut plug]);
        drop(plug);
        history.map(|history| (history, model.params().clone()))
    };
    let checkpoint = Checkpoint::new(&file.0).every_steps(1);
    assert!(train(Some(&checkpoint), 1, Some(40)).is_err());
    assert!(train(Some(&checkpoint), 3, Some(10)).is_err());
    assert_eq!(train(Some(&checkpoint), 2, None).unwrap(), train(None, 1, None).unwrap());
}

#[derive(Debug)]
struct Wrong(Tensor, Tensor, Vec<f32>);

impl Dataset for Wrong {
    fn shapes(&self) -> (gradus::Shape, gradus::Shape) {
        ([1].into(), [1].into())
    }

    fn batches(&self) -> Option<usize> {
        Some(1)
    }

    fn load(&self, _: usize, _: usize, batch: &mut Batch) -> Result<(), Error> {
        (batch.x, batch.y, batch.weights) = (self.0.clone(), self.1.clone(), self.2.clone());
        Ok(())
    }
}

#[test]
fn batches_that_are_not_as_promised() {
    let mut model = Sequential::new([1]).add(Dense::new(1)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let how = Fit::default().verbose(Verbose::Silent);
    let z = |dims: &[usize]| Tensor::zeros(gradus::Shape::try_from(dims).unwrap());
    for (x, y, weights) in [
        (z(&[2, 2]), z(&[2, 1]), vec![]),
        (z(&[2, 1]), z(&[3, 1]), vec![]),
        (z(&[0, 1]), z(&[0, 1]), vec![]),
        (z(&[2, 1]), z(&[2, 5]), vec![]),
        (z(&[2, 1]), z(&[2, 1]), vec![1.0]),
        (z(&[2, 1]), z(&[2, 1]), vec![1.0, f32::NAN]),
    ] {
        let data = Wrong(x, y, weights);
        assert!(model.fit_dataset(&data, &how, &mut []).is_err(), "{data:?}");
        assert!(model.evaluate_dataset(&data).is_err(), "{data:?}");
    }
    assert!(model.fit_dataset(&Wrong(z(&[2, 1]), z(&[2, 1]), vec![1.0, 2.0]), &how, &mut []).is_ok());
}

#[test]
fn what_goes_wrong_in_a_worker_comes_out() {
    let counted = AtomicUsize::new(0);
    let source = FromFn::new([1], [1], Some(12), move |_, i, x: &mut [f32], _: &mut [f32]| {
        counted.fetch_add(1, Ordering::Relaxed);
        x[0] = i as f32;
        match i {
            5 => Err(Error::custom("sample 5")),
            8 => panic!("sample 8"),
            _ => Ok(()),
        }
    });
    let data = source.unwrap().batch(1).prefetch(2).unwrap();
    // The panic's message would stand in the test's output.
    std::panic::set_hook(Box::new(|_| {}));
    let mut batch = Batch::default();
    for index in 0..12 {
        let result = data.load(0, index, &mut batch);
        match index {
            5 => assert_eq!(result.unwrap_err().to_string(), "sample 5"),
            8 => assert_eq!(result.unwrap_err().to_string(), "loading batch 8 panicked: sample 8"),
            _ => assert_eq!((result.is_ok(), batch.x.as_slice()[0]), (true, index as f32)),
        }
    }
    let _ = std::panic::take_hook();
    assert!(data.load(0, 99, &mut batch).is_err());
    assert!(digits_source().batch(2).prefetch(0).is_err());
}

/// Batches that panic where they are counted, once asked often enough.
#[derive(Debug)]
struct Uncountable(AtomicUsize);

impl Dataset for Uncountable {
    fn shapes(&self) -> (gradus::Shape, gradus::Shape) {
        ([1].into(), [1].into())
    }

    fn batches(&self) -> Option<usize> {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) < 3, "no more batches");
        Some(100)
    }

    fn load(&self, _: usize, index: usize, batch: &mut Batch) -> Result<(), Error> {
        batch.x = Tensor::full([1, 1], index as f32);
        batch.y = Tensor::zeros([1, 1]);
        Ok(())
    }
}

#[test]
fn a_panic_where_batches_are_counted_comes_out() {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let data = Prefetch::new(Uncountable(AtomicUsize::new(0)), 2).unwrap();
        let mut batch = Batch::default();
        let results: Vec<_> =
            (0..6).map(|index| data.load(0, index, &mut batch).map(|()| batch.x.as_slice()[0])).collect();
        sender.send(results).unwrap();
    });
    let results = done.recv_timeout(std::time::Duration::from_secs(60)).expect("no batch hangs");
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(index < 3 && value == index as f32, "{index}"),
            Err(e) => assert_eq!(e.to_string(), format!("loading batch {index} panicked: no more batches")),
        }
    }
}

#[test]
fn idx_files_in_pieces() {
    let image = |i: usize| [(i % 251) as u8, (i / 251) as u8, 7, 255, 1, 2];
    let head = |kind: u8, dims: &[u32]| {
        let mut bytes = vec![0, 0, kind, dims.len() as u8];
        dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes
    };
    let mut x = head(8, &[5000, 2, 3]);
    (0..5000).for_each(|i| x.extend(image(i)));
    let mut y = head(8, &[5000]);
    y.extend((0..5000).map(|i| (i % 10) as u8));
    let (images, labels) = (Temporary::new("images", &x), Temporary::new("labels", &y));
    let source = IdxSource::open(&images.0, &labels.0).unwrap();
    let whole = Samples::new(read_idx::<f32>(&images.0).unwrap(), read_idx(&labels.0).unwrap()).unwrap();
    let [pieces, eager] =
        [Box::new(source) as Box<dyn Source>, Box::new(whole)].map(|source| source.shuffle(4).batch(64));
    assert_eq!(batches(&pieces, 2), batches(&eager, 2));
    assert_eq!(batches(&pieces.prefetch(4).unwrap(), 2), batches(&eager, 2));

    let open = |x: &[u8], y: &[u8]| {
        let (x, y) = (Temporary::new("bad_x", x), Temporary::new("bad_y", y));
        IdxSource::open(&x.0, &y.0).map(|_| ())
    };
    assert!(open(&x, &head(8, &[4999])).is_err() && open(&[], &y).is_err());
    assert!(open(&x[..x.len() - 1], &y).unwrap_err().to_string().contains("where the header promises 30016"));
    assert!(open(&head(8, &[0, 2]), &head(8, &[0])).is_err());
    for len in (0..x.len()).step_by(100) {
        assert!(open(&x[..len], &y).is_err() && parse_idx::<f32>(&x[..len]).is_err());
    }
    let mut random = 1u64;
    for _ in 0..2000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut flipped = x[..200].to_vec();
        flipped[4..8].copy_from_slice(&30u32.to_be_bytes());
        flipped.truncate(16 + 30 * 6);
        // In the header: whatever it then says, it is an error or a table as large as the bytes.
        flipped[(random >> 40) as usize % 16] ^= 1 << (random >> 20 & 7);
        assert!(
            parse_idx::<f32>(&flipped).is_ok_and(|t| t.len() <= 180 && !t.is_empty())
                || parse_idx::<f32>(&flipped).is_err()
        );
    }
    // A file that shrinks after it was opened.
    let shrinking = Temporary::new("shrinking", &x);
    let source = IdxSource::open(&shrinking.0, &labels.0).unwrap();
    std::fs::write(&shrinking.0, &x[..1000]).unwrap();
    assert!(Source::<f32>::read(&source, 0, 4000, &mut [0.0; 6], &mut [0.0]).is_err());
}

#[cfg(feature = "csv")]
mod csv {
    use std::fmt::Write;

    use super::*;

    fn table(rows: usize) -> String {
        let mut text = "a,note,b,kind\n".to_owned();
        for i in 0..rows {
            let kind = ["delta", "alpha", "\"char\"\"lie\"", "bravo"][i * i % 7 % 4];
            let note = ["\"two\nlines, quoted\"", "x"][i % 2];
            let blank = if i % 50 == 3 { "\n" } else { "" };
            let _ = writeln!(text, "{blank} {} , {note},{:e},  {kind}", i as f64 / 3.0, i);
        }
        text
    }

    #[test]
    fn a_stream_is_the_table() {
        let text = table(20_000);
        let file = Temporary::new("table.csv", &text);
        let csv = Csv::default().ignore(["note"]);
        let table: Table = csv.parse(&text).unwrap();
        let source = csv.stream::<f32>(&file.0).unwrap();
        assert_eq!((source.class_names(), source.feature_names()), (&table.class_names[..], &table.feature_names[..]));
        assert_eq!(Source::samples(&source), Some(20_000));
        let mut batch = Batch::default();
        source.batch(20_000).load(0, 0, &mut batch).unwrap();
        assert_eq!((&batch.x, &batch.y), (&table.x, &table.y));
        let eager = Samples::new(table.x, table.y).unwrap().shuffle(1).batch(333);
        let ahead = csv.stream::<f32>(&file.0).unwrap().shuffle(1).batch(333).prefetch(3).unwrap();
        assert_eq!(batches(&ahead, 1), batches(&eager, 1));
        // A part of either is the same part.
        let whole: Table = csv.parse(&text).unwrap();
        let (train, test) = Samples::new(whole.x, whole.y).unwrap().split_stratified(0.2, 5).unwrap();
        let (streamed, held_out) = csv.stream::<f32>(&file.0).unwrap().split_stratified(0.2, 5).unwrap();
        assert_eq!((streamed.positions(), streamed.source().class_names().len()), (train.positions(), 3));
        assert_eq!(
            batches(&streamed.shuffle_blocks(1, 100).batch(333), 2),
            batches(&train.shuffle_blocks(1, 100).batch(333), 2)
        );
        assert_eq!(batches(&held_out.batch(100), 0), batches(&test.batch(100), 0));
        // No label.
        let none = csv.clone().no_label().ignore(["note", "kind"]).stream::<f32>(&file.0).unwrap();
        let first = &batches(&none.take(3).batch(2), 0)[1];
        assert_eq!((first.x.dims(), first.y.dims()), ([1, 2].as_slice(), [1, 0].as_slice()));
    }

    #[test]
    fn the_same_errors() {
        for text in [
            "",
            "a,b\n",
            "a,b\n1,2\n3\n",
            "a,b\n1,2\n3,4,5\n",
            "a,b\nx,2\n",
            "a,b\n1,2\n3,\"4\n",
            "a\n1\n",
            "a,b\r1,2\r",
            "a,b\n1,2\n,4\n",
            "2019,2020,y\n1,2,0\n3,4,1\n",
            "2019,2020,kind\n1,2,cat\n3,4,dog\n5,6,cat\n",
            "NA,?,cat\n1,2,dog\n",
            "a,y\n1,cat\n2,7\n",
            "a,y\n1,0\n2,NA\n",
            "a,y\n1,\"1,5\"\n",
            "a,y\n1,New York\n2,New  York\n",
            "a,a,y\n1,2,0\n",
            "a,y\n\"5\"1,0\n",
            "a;b;y\n1;2;0\n",
            "\u{1f}\u{8b}",
            "{\"a\": [1, 2]}",
        ] {
            let file = Temporary::new("bad.csv", text);
            let eager = Csv::default().read::<f32>(&file.0).unwrap_err().to_string();
            assert_eq!(Csv::default().stream::<f32>(&file.0).unwrap_err().to_string(), eager);
        }
        let nowhere = std::env::temp_dir();
        assert!(Csv::default().stream::<f32>(&nowhere).unwrap_err().to_string().contains("no regular file"));
    }

    #[test]
    fn a_file_that_changes() {
        let file = Temporary::new("changing.csv", "a,kind\n1,x\n2,y\n3,x\n");
        let source = Csv::default().stream::<f32>(&file.0).unwrap();
        let read = || source.read(0, 2, &mut [0.0], &mut [0.0]).map_err(|e| e.to_string());
        assert_eq!(read(), Ok(()));
        for (text, expected) in [
            ("a,kind\n1,x\n", "line 3: the file has changed since it was opened"),
            ("a,kind\n1,x\n2,y\n3,z\n", "line 4, column kind: unknown class \"z\""),
            ("a,kind\n1,x\n2,y\nq,x\n", "line 4, column a: expected a number, got \"q\""),
            ("a,kind\n1,x\n2,y\n3\n", "line 4: expected 2 cells"),
        ] {
            std::fs::write(&file.0, text).unwrap();
            let error = read().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

/// The most memory this process holds does not grow with the file: ten times the file, at most a little more.
#[cfg(all(feature = "csv", target_os = "linux"))]
#[test]
fn memory_does_not_grow_with_the_file() {
    use std::io::Write;

    use crate::child;
    if let Some(path) = child::task() {
        let data = Csv::default().stream::<f32>(path).unwrap().shuffle_blocks(1, 1024).batch(64).prefetch(2).unwrap();
        let mut batch = Batch::default();
        for index in 0..data.batches().unwrap() {
            data.load(0, index, &mut batch).unwrap();
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|l| l.starts_with("VmHWM:")).unwrap());
        return;
    }
    let peak = |rows: usize| {
        let file = Temporary::new(&format!("rows_{rows}"), "");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file.0).unwrap());
        (0..rows).for_each(|i| writeln!(out, "{i},2.5,3.25,0.125,{},{}", i % 7, i % 3).unwrap());
        out.into_inner().unwrap();
        let size = std::fs::metadata(&file.0).unwrap().len();
        let task = file.0.display().to_string();
        let output = child::ran(child::again(memory_does_not_grow_with_the_file, &task).spawn().unwrap());
        let kilobytes =
            output.lines().find_map(|l| l.split_once("VmHWM:")?.1.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        (size, kilobytes.unwrap_or_else(|| panic!("{output}")) * 1024)
    };
    let ((small, a), (large, b)) = (peak(30_000), peak(300_000));
    assert!(
        large > small * 10 && b < a + (large - small) / 4,
        "files of {small} and {large} bytes: {a} and {b} bytes of memory"
    );
}
