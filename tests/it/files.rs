//! Models and checkpoints in files: round trips, weights by name, and files that are damaged or meant to do harm.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gradus::io::Archive;
use gradus::prelude::*;
use support::counting;

/// One test at a time, so that memory is counted for one.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gradus_files_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn model<T: gradus::Float>(seed: u64) -> Sequential<T> {
    Sequential::<T>::of([4])
        .add(Dense::new(5).activation(Activation::LeakyRelu(0.1)))
        .add(Dropout::new(0.3))
        .add_named("again", Residual::new().add(Dense::new(5).activation(Activation::Gelu)))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(seed)
        .unwrap()
}

fn compiled(seed: u64) -> Sequential {
    let mut model = model(seed);
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    model
}

fn silent<'a>() -> Fit<'a> {
    Fit::default().verbose(Verbose::Silent)
}

#[test]
fn models_come_back_whole() {
    let _alone = alone();
    let folder = Folder::new("round_trip");
    let x = Tensor::from([[0.5f32, -1.0, 2.0, 0.25], [1.5, 0.0, -0.5, 1.0]]);
    let first = model::<f32>(11);
    first.save(folder.path("m.safetensors")).unwrap();
    let bytes = std::fs::read(folder.path("m.safetensors")).unwrap();
    for again in [Sequential::load(folder.path("m.safetensors")), Sequential::load_bytes(&bytes)] {
        let again = again.unwrap();
        assert_eq!(again.params(), first.params());
        assert_eq!(again.predict(&x).unwrap(), first.predict(&x).unwrap());
        assert_eq!(again.summary().to_string(), first.summary().to_string());
        // The same file again, to the byte: the seed too is what it was.
        again.save(folder.path("again.safetensors")).unwrap();
        assert_eq!(std::fs::read(folder.path("again.safetensors")).unwrap(), bytes);
    }
    // In the other precision, there and back.
    let wide = Sequential::<f64>::of_archive(&mut Archive::from_bytes(&bytes).unwrap()).unwrap();
    wide.save(folder.path("wide.safetensors")).unwrap();
    assert_eq!(Sequential::load(folder.path("wide.safetensors")).unwrap().params().values(), first.params().values());
    // What Python's package reads: the reference implementation of the format.
    let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(view.tensor("again/dense/kernel").unwrap().shape(), [5, 5]);
    assert_eq!(view.len(), first.params().specs().len());
}

#[test]
fn weights_by_name() {
    let _alone = alone();
    let folder = Folder::new("by_name");
    let (path, donor) = (folder.path("donor.safetensors"), model::<f32>(1));
    donor.save(&path).unwrap();
    let mut same = model::<f32>(2);
    same.load_weights(&path).unwrap();
    assert_eq!(same.params(), donor.params());

    let other = || {
        Sequential::new([4])
            .add_named("body", Dense::new(5))
            .add_named("dense_1", Dense::new(2))
            .add(Dense::new(2).use_bias(false))
            .build(3)
            .unwrap()
    };
    let mut strict = other();
    let error = strict.load_weights(&path).unwrap_err().to_string();
    let expected = "donor.safetensors: the weights do not fit the model: missing: body/kernel, body/bias; unexpected: \
        dense/bias, again/dense/kernel, again/dense/bias; of another shape: dense/kernel [4, 5] instead of [2, 2], \
        dense_1/kernel [5, 3] instead of [5, 2], dense_1/bias [3] instead of [2]; build the model that was saved, or load a \
        part with LoadWeights::partial";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(strict.params(), other().params());

    let mut partial = other();
    let how = LoadWeights::default().partial(true).rename("dense/", "body/");
    let left = partial.load_weights_with(&path, &how).unwrap();
    assert_eq!(partial.weight("body/kernel").unwrap(), donor.weight("dense/kernel").unwrap());
    assert_eq!(partial.weight("dense_1/kernel").unwrap(), other().weight("dense_1/kernel").unwrap());
    assert_eq!(left.missing, ["dense/kernel"]);
    assert_eq!(left.unexpected, ["again/dense/kernel", "again/dense/bias"]);
    assert_eq!(left.shapes.len(), 2);
    // Nothing at all that fits is an error in any mode, and so are two arrays for one weight.
    let mut none = Sequential::new([9]).add_named("x", Dense::new(1)).build(0).unwrap();
    assert!(none.load_weights_with(&path, &how).is_err());
    let twice = LoadWeights::default().partial(true).rename("dense_1/", "dense/").rename("again/dense/", "dense/");
    assert!(model::<f32>(0).load_weights_with(&path, &twice).is_err());
    assert!(Sequential::new([4]).add(Dense::new(1)).load_weights(&path).is_err());
}

#[test]
fn a_run_goes_on_from_a_checkpoint() {
    let _alone = alone();
    let folder = Folder::new("resume");
    let table = iris();
    let fit = |model: &mut Sequential, epochs| model.fit(&table.x, &table.y, &silent().epochs(epochs)).unwrap();
    let mut whole = compiled(5);
    let history = fit(&mut whole, 6);
    let mut half = compiled(5);
    fit(&mut half, 2);
    half.save_checkpoint(folder.path("c")).unwrap();
    // Into a model of another seed: the file's seed counts.
    let mut rest = compiled(99);
    rest.resume(folder.path("c")).unwrap();
    rest.save_checkpoint(folder.path("again")).unwrap();
    assert_eq!(std::fs::read(folder.path("c")).unwrap(), std::fs::read(folder.path("again")).unwrap());
    assert_eq!(fit(&mut rest, 6), history);
    assert_eq!(rest.params(), whole.params());
    // A fit after that begins at its own beginning.
    assert_eq!(fit(&mut rest, 1).epochs, [0]);
    // A checkpoint is a model too.
    assert_eq!(Sequential::load(folder.path("c")).unwrap().params(), half.params());

    let errors = |model: &mut Sequential, file: &str| model.resume(folder.path(file)).unwrap_err().to_string();
    half.save(folder.path("m")).unwrap();
    assert!(errors(&mut compiled(5), "m").contains("a model, but no checkpoint; read it with Sequential::load"));
    assert!(errors(&mut model(5), "c").contains("the model is not compiled"));
    assert!(errors(&mut compiled(5), "nothing").contains("nothing: "));
    let mut other = model(5);
    other.compile(Sgd::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let error = errors(&mut other, "c");
    assert!(
        error.starts_with("resume: the checkpoint's optimizer adam is not that of this model's optimizer, sgd"),
        "{error}"
    );
    let mut amsgrad = model(5);
    amsgrad.compile(Adam::default().amsgrad(true), SparseCategoricalCrossentropy::default(), ()).unwrap();
    assert!(errors(&mut amsgrad, "c").contains("moment_2"));
    let mut wide = model::<f64>(5);
    wide.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    assert!(wide.resume(folder.path("c")).unwrap_err().to_string().contains("the same element type"));
    let mut small = Sequential::new([4]).add(Dense::new(3)).build(0).unwrap();
    small.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    assert!(errors(&mut small, "c").contains("the weights do not fit the model"));
    // Within an epoch, the data must be the same.
    let path = folder.path("mid");
    let mut stopped = compiled(5);
    let checkpoint = Checkpoint::new(&path).every_steps(1).background(false);
    let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| match batch {
        2 => Err(Error::custom("stop")),
        _ => Ok(()),
    });
    let how = silent().checkpoint(&checkpoint);
    assert!(stopped.fit_with(&table.x, &table.y, &how, &mut [&mut stop]).is_err());
    let error = compiled(5).fit(&table.x, &table.y, &how.batch_size(7)).unwrap_err().to_string();
    assert!(error.contains("pass the same data and options as the run began with"), "{error}");
    let mut more = model(5);
    more.compile(Adam::default(), SparseCategoricalCrossentropy::default(), (Accuracy::default(), Accuracy::default()))
        .unwrap();
    let error = more.fit(&table.x, &table.y, &how).unwrap_err().to_string();
    assert!(error.contains("metric_1"), "{error}");
    assert!(compiled(5).fit(&table.x, &table.y, &how).is_ok());
    let zero = Checkpoint::new(&path).every_steps(0);
    assert!(compiled(5).fit(&table.x, &table.y, &silent().checkpoint(&zero)).is_err());
}

/// On Linux, a name that leads to the device that is always full stands for a disk that is.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    let _alone = alone();
    let folder = Folder::new("full");
    let path = folder.path("m.safetensors");
    let full = || std::os::unix::fs::symlink("/dev/full", folder.path("m.safetensors.tmp")).unwrap();
    model::<f32>(1).save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    full();
    let error = model::<f32>(2).save(&path).unwrap_err().to_string();
    assert!(error.contains("m.safetensors: cannot write: No space left on device"), "{error}");
    assert!(error.contains("the file before it, if any, is whole: make room"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!folder.path("m.safetensors.tmp").exists());

    // The same in the midst of a run, in the background and not.
    let table = iris();
    for background in [true, false] {
        std::fs::remove_file(&path).unwrap();
        let checkpoint = Checkpoint::new(&path).background(background);
        let how = silent().epochs(5).checkpoint(&checkpoint);
        compiled(4).fit(&table.x, &table.y, &silent().epochs(2).checkpoint(&checkpoint)).unwrap();
        let before = std::fs::read(&path).unwrap();
        full();
        let error = compiled(4).fit(&table.x, &table.y, &how).unwrap_err().to_string();
        assert!(error.contains("cannot write: No space left on device"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let mut whole = compiled(4);
        let history = whole.fit(&table.x, &table.y, &silent().epochs(5)).unwrap();
        let mut rest = compiled(4);
        assert_eq!(rest.fit(&table.x, &table.y, &how).unwrap(), history);
        assert_eq!(rest.params(), whole.params());
    }
}

#[test]
fn folders_that_cannot_be_written() {
    let _alone = alone();
    let folder = Folder::new("read_only");
    std::fs::write(folder.path("file"), b"x").unwrap();
    for path in
        [folder.path("none/m.safetensors"), folder.path("file/m.safetensors"), PathBuf::from("/proc/m.safetensors")]
    {
        let error = model::<f32>(1).save(&path).unwrap_err().to_string();
        assert!(error.contains("cannot write: ") && error.contains("check the folder and its permissions"), "{error}");
        let checkpoint = Checkpoint::new(&path);
        let table = iris();
        let how = silent().epochs(3).checkpoint(&checkpoint);
        assert!(compiled(1).fit(&table.x, &table.y, &how).is_err());
    }
    assert!(Sequential::load(&folder.0).unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn files_of_another_kind() {
    let _alone = alone();
    let folder = Folder::new("kinds");
    let path = folder.path("model");
    let mut keras = b"PK\x03\x04".to_vec();
    keras.resize(26, 0);
    keras.extend([13, 0, 0, 0]);
    keras.extend(b"metadata.json");
    for (bytes, what) in [
        (
            b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(),
            "an HDF5 file (.h5), not a safetensors file; a model: in Python, keras.models.load_model",
        ),
        (keras, "a Keras model (.keras), not a safetensors file; load it with Sequential::load_keras"),
        (b"\x93NUMPY\x01\0v\0{'descr'".to_vec(), "a NumPy array (.npy), not a safetensors file"),
        (b"\x80\x02\x8a\x0al\xfc".to_vec(), "a Python pickle, not a safetensors file"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Sequential::load(&path).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    std::fs::create_dir(folder.path("saved")).unwrap();
    std::fs::write(folder.path("saved/saved_model.pb"), b"x").unwrap();
    let error = Sequential::load(folder.path("saved")).unwrap_err().to_string();
    assert!(
        error.contains("a folder with a TensorFlow SavedModel, no regular file; build the model in Keras 3"),
        "{error}"
    );
}

/// Whatever there is to try on bytes: none may succeed, panic, or take more memory than the bytes and 16 MB.
fn all_refuse(bytes: &[u8], path: &Path, what: &str) {
    let before = counting::begin();
    let outcome = std::panic::catch_unwind(|| {
        assert!(Sequential::load_bytes(bytes).is_err(), "{what}: loaded");
        std::fs::write(path, bytes).unwrap();
        assert!(Sequential::load(path).is_err(), "{what}: loaded from a file");
        let mut target = compiled(0);
        assert!(target.load_weights(path).is_err(), "{what}: weights loaded");
        assert!(target.resume(path).is_err(), "{what}: resumed");
    });
    assert!(outcome.is_ok(), "{what}");
    let most = counting::most_since(before);
    assert!(most <= bytes.len() + (16 << 20), "{what}: {most} bytes of memory for {}", bytes.len());
}

/// The files of a model and of a checkpoint in the middle of an epoch.
fn victims(folder: &Folder) -> [Vec<u8>; 2] {
    let table = iris();
    let mut model = compiled(3);
    model.save(folder.path("victim")).unwrap();
    let checkpoint = Checkpoint::new(folder.path("run"));
    let mut stopping = EarlyStopping::default().monitor("loss").patience(3).restore_best_weights(true);
    model.fit_with(&table.x, &table.y, &silent().epochs(2).checkpoint(&checkpoint), &mut [&mut stopping]).unwrap();
    ["victim", "run"].map(|name| std::fs::read(folder.path(name)).unwrap())
}

#[test]
fn truncated_files() {
    let _alone = alone();
    let folder = Folder::new("truncated");
    for bytes in victims(&folder) {
        for len in (0..bytes.len()).step_by(100).chain([1, 7, 8, 9, bytes.len() - 1]) {
            all_refuse(&bytes[..len], &folder.path("cut"), &format!("cut at {len}"));
        }
        let longer = [&bytes[..], b"x"].concat();
        all_refuse(&longer, &folder.path("cut"), "a byte too many");
    }
}

#[test]
fn flipped_bits() {
    let _alone = alone();
    let folder = Folder::new("flipped");
    let mut random = 1u64;
    for mut bytes in victims(&folder) {
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Half of them in the header, which is the part that is parsed.
            let within = if random & 1 == 0 { bytes.len() } else { bytes.len().min(600) };
            let (at, bit) = ((random >> 20) as usize % within, 1u8 << (random >> 8 & 7));
            bytes[at] ^= bit;
            let outcome = std::panic::catch_unwind(|| {
                assert!(Sequential::load_bytes(&bytes).is_err());
                assert!(Archive::from_bytes(&bytes).is_err());
            });
            assert!(outcome.is_ok(), "bit {bit:#x} of byte {at}");
            bytes[at] ^= bit;
        }
        assert!(Sequential::load_bytes(&bytes).is_ok());
    }
}

/// A file with this header, its length, and this many bytes after it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A file that says of itself what a model of this library says, with a checksum that is right.
fn signed(about: &str, arrays: &str, data: usize) -> Vec<u8> {
    let about = serde_json::Value::from(about);
    let header = format!("{{\"__metadata__\":{{\"crc32\":\"00000000\",\"gradus\":{about}}}{arrays}}}");
    let mut bytes = file(&header, data);
    let sum = crc32fast::hash(&bytes);
    let at = bytes.windows(8).position(|w| w == b"00000000").unwrap();
    bytes[at..at + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    bytes
}

/// The file with other words in one of its arrays, signed again.
fn tampered(bytes: &[u8], array: &str, words: &[u64]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let start = {
        let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data = view.tensor(array).unwrap().data();
        assert_eq!(data.len(), words.len() * 8, "{array}");
        data.as_ptr() as usize - bytes.as_ptr() as usize
    };
    for (i, word) in words.iter().enumerate() {
        bytes[start + 8 * i..][..8].copy_from_slice(&word.to_le_bytes());
    }
    let at = bytes.windows(9).position(|w| w == b"\"crc32\":\"").unwrap() + 9;
    bytes[at..at + 8].copy_from_slice(b"00000000");
    let sum = crc32fast::hash(&bytes);
    bytes[at..at + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    bytes
}

/// Found by fuzzing: counts at the end of their range, on which training would have counted on.
#[test]
fn absurd_counts_in_a_checkpoint() {
    let _alone = alone();
    let folder = Folder::new("counts");
    let [_, good] = victims(&folder);
    let resume = |bytes: &[u8], epochs: usize| {
        std::fs::write(folder.path("run"), bytes).unwrap();
        let table = iris();
        let mut stopping = EarlyStopping::default().monitor("loss").patience(3).restore_best_weights(true);
        let checkpoint = Checkpoint::new(folder.path("run"));
        let how = silent().epochs(epochs).checkpoint(&checkpoint);
        compiled(3).fit_with(&table.x, &table.y, &how, &mut [&mut stopping]).map_err(|e| e.to_string())
    };
    let max = u64::MAX;
    for (array, words) in [
        ("@optimizer/step", &[max][..]),
        ("@optimizer/accumulated", &[max]),
        ("@optimizer/accumulated", &[1]),
        ("@fit/position", &[max, 0, 0, 0]),
        ("@fit/position", &[1, max, 0, 0]),
        ("@fit/position", &[1, 900, 0, 0]),
        ("@fit/position", &[1, 1, max, 0]),
        ("@callback_0/epochs", &[max, 0]),
        ("@callback_0/epochs", &[0, max]),
    ] {
        let error = resume(&tampered(&good, array, words), 3);
        assert!(error.is_err_and(|e| e.starts_with("resume: ")), "{array} {words:?}");
    }
    // Another epoch than it was is a place like any other.
    assert_eq!(resume(&tampered(&good, "@fit/position", &[7, 0, 0, 0]), 8).unwrap().epochs, [0, 1, 7]);
    assert_eq!(resume(&good, 3).unwrap().epochs, [0, 1, 2]);
}

/// Files of every version that was released, and of this one, stay loadable.
#[test]
fn files_of_older_versions() {
    let _alone = alone();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/files");
    let folder = Folder::new("golden");
    for version in ["v1"] {
        let golden = |name: &str| fixtures.join(version).join(name);
        let model = Sequential::load(golden("model.safetensors")).unwrap();
        let y = model.predict(&golden_input()).unwrap();
        for (y, expected) in y.iter().zip(GOLDEN_OUTPUT) {
            assert!((y - expected).abs() < 1e-6, "{version}: {y} instead of {expected}");
        }
        // From the middle of an epoch to the end of the run that went on.
        std::fs::copy(golden("checkpoint.safetensors"), folder.path("run")).unwrap();
        let checkpoint = Checkpoint::new(folder.path("run"));
        let (rest, history) = golden_run(&silent().epochs(3).checkpoint(&checkpoint), None).unwrap();
        assert_eq!(history.epochs, [0, 1, 2]);
        let end = Sequential::load(golden("end.safetensors")).unwrap();
        for (a, b) in rest.params().values().iter().zip(end.params().values()) {
            assert!((a - b).abs() < 1e-5, "{version}: {a} instead of {b}");
        }
    }
}

/// The run whose files are kept; `stop_at` ends it after that batch of epoch 1.
fn golden_run(how: &Fit<'_>, stop_at: Option<usize>) -> Result<(Sequential, History), Error> {
    let table = iris();
    let mut model = model::<f32>(21);
    let optimizer = Adam::default().learning_rate(CosineDecay::new(0.01, 30)).ema(0.9).gradient_accumulation_steps(2);
    let metrics = (Accuracy::default(), F1Score::default(), Auc::default());
    model.compile(optimizer, CategoricalCrossentropy::default(), metrics)?;
    let y = one_hot(&table.y, 3)?;
    let mut stopping = EarlyStopping::default().monitor("loss").patience(3).restore_best_weights(true);
    let mut slower = ReduceLrOnPlateau::default().monitor("loss");
    let mut epoch = 0;
    let mut stop = LambdaCallback::default().on_batch_end(|batch, _, _| {
        epoch += usize::from(batch == 0);
        if epoch == 2 && Some(batch) == stop_at { Err(Error::custom("stop")) } else { Ok(()) }
    });
    let history = model.fit_with(&table.x, &y, how, &mut [&mut stopping, &mut slower, &mut stop])?;
    drop(stop);
    Ok((model, history))
}

fn golden_input() -> Tensor {
    Tensor::from([[0.5, 0.25, 0.125, 0.0], [0.5, -0.25, 0.5, 0.25]])
}

/// What the kept model makes of it.
const GOLDEN_OUTPUT: [f32; 6] = [0.2339811, 0.5073025, 0.2587164, 0.16966043, 0.65634245, 0.1739971];

#[test]
fn files_meant_to_do_harm() {
    let _alone = alone();
    let folder = Folder::new("hostile");
    let refuse = |bytes: &[u8], what: &str| all_refuse(bytes, &folder.path("hostile"), what);
    for size in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 100_000_000, 9] {
        refuse(&[&size.to_le_bytes()[..], b"{}"].concat(), &format!("a header of {size}"));
    }
    // A header that is as long as it says, and much too long.
    refuse(&file(&" ".repeat(40 << 20), 0), "a long header");
    let entry = |name: &str, shape: &str, from: &str, to: &str| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    for (what, header) in [
        ("no object", "[1]".to_owned()),
        ("not JSON", "\u{7f}\u{7f}".to_owned()),
        ("overlapping offsets", format!("{{{},{}}}", entry("a", "[2]", "0", "8"), entry("b", "[2]", "4", "12"))),
        ("a gap", format!("{{{},{}}}", entry("a", "[1]", "0", "4"), entry("b", "[1]", "8", "12"))),
        ("offsets that run back", format!("{{{}}}", entry("a", "[1]", "4", "0"))),
        ("offsets behind the end", format!("{{{}}}", entry("a", "[100]", "0", "400"))),
        ("NaN in a shape", format!("{{{}}}", entry("a", "[NaN]", "0", "12"))),
        ("a negative shape", format!("{{{}}}", entry("a", "[-3]", "0", "12"))),
        ("half a shape", format!("{{{}}}", entry("a", "[1.5]", "0", "12"))),
        (
            "a shape that overflows",
            format!("{{{}}}", entry("a", "[9223372036854775807,9223372036854775807]", "0", "12")),
        ),
        ("a large offset", format!("{{{}}}", entry("a", "[3]", "18446744073709551604", "18446744073709551615"))),
        ("an unknown type", "{\"a\":{\"dtype\":\"F3\",\"shape\":[3],\"data_offsets\":[0,12]}}".to_owned()),
        ("nested too deep", "[".repeat(500_000)),
        ("nested objects", "{\"a\":".repeat(150_000)),
        ("one name twice", format!("{{{},{}}}", entry("a", "[3]", "0", "12"), entry("a", "[3]", "0", "12"))),
    ] {
        refuse(&file(&header, 12), what);
    }
    let many: Vec<_> = (0..18_000).map(|i| entry(&i.to_string(), "[0]", "0", "0")).collect();
    refuse(&file(&format!("{{{}}}", many.join(",")), 0), "very many names");

    let about =
        |input: &str, layers: &str| format!("{{\"format\":1,\"seed\":0,\"input\":{input},\"layers\":[{layers}]}}");
    let config = serde_json::to_string(&gradus::Layer::<f32>::config(&Dense::new(3))).unwrap();
    let dense = |units: &str| config.replace("\"units\":3", &format!("\"units\":{units}"));
    let block = |inner: &str| format!("{{\"class\":\"Block\",\"config\":{{\"layers\":[{inner}]}}}}");
    let nested = (0..2_000).fold(dense("3"), |inner, _| block(&inner));
    for (what, about) in [
        ("no architecture", "{}".to_owned()),
        ("a newer version", about("[4]", &dense("3")).replace("\"format\":1", "\"format\":2")),
        ("more weights than the file", about("[4]", &dense("30000000000"))),
        ("absurd weights", about("[4]", &dense("18446744073709551615"))),
        ("an absurd input", about("[9223372036854775807]", &dense("3"))),
        ("too many axes", about("[1,1,1,1,1,1,1,1,1,1]", &dense("3"))),
        ("no layers", about("[4]", "")),
        ("weights that are missing", about("[4]", &dense("3"))),
        ("an unknown layer", about("[4]", "{\"class\":\"Dens\",\"config\":{}}")),
        (
            "a layer of elsewhere",
            about("[4]", "{\"class\":\"Custom\",\"config\":{\"class\":\"Mine\",\"settings\":\"\"}}"),
        ),
        ("nested blocks", about("[4]", &nested)),
        ("an array bomb", about("[4]", &format!("{{\"class\":\"Dense\",\"config\":[{}0]}}", "0,".repeat(250_000)))),
        ("nested arrays", about("[4]", &"[".repeat(400_000))),
        ("a long text", about("[4]", &format!("{{\"class\":\"{}\",\"config\":{{}}}}", "a".repeat(500_000)))),
    ] {
        refuse(&signed(&about, "", 0), what);
    }
    // As above, but all is well: so the errors there are not for want of a proper file.
    let arrays = format!(",{},{}", entry("dense/kernel", "[4,3]", "0", "48"), entry("dense/bias", "[3]", "48", "60"));
    let good = signed(&about("[4]", &dense("3")), &arrays, 60);
    assert_eq!(Sequential::load_bytes(&good).unwrap().output_shape(), gradus::Shape::from([3]));
    let blocks = (0..20).fold(dense("3"), |inner, _| block(&inner));
    let inner = arrays.replace("dense/", &format!("{}dense/", "block/".repeat(20)));
    assert!(Sequential::load_bytes(&signed(&about("[4]", &blocks), &inner, 60)).is_ok());
    // A weight that is no floating-point number.
    let arrays = arrays.replace("\"dense/bias\":{\"dtype\":\"F32\"", "\"dense/bias\":{\"dtype\":\"U32\"");
    refuse(&signed(&about("[4]", &dense("3")), &arrays, 60), "whole numbers");
    refuse(&good.iter().map(|b| b.to_ascii_uppercase()).collect::<Vec<_>>(), "capitals");
}
