//! Keras's and NumPy's own files: `tests/interop/keras_models.py` made them.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gradus::io::{read_keras, read_npy, read_npz, read_npz_up_to, write_npy, write_npz};
use gradus::prelude::*;
use support::counting;

/// One test at a time, so that memory is counted for one.
static ALONE: Mutex<()> = Mutex::new(());

pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keras_files").join(name)
}

const MODELS: [&str; 10] = [
    "dense",
    "activations",
    "layers_of_activations",
    "shapes",
    "noise",
    "preprocessing",
    "given_statistics",
    "nested",
    "images",
    "sequences",
];

/// A file of its own, removed at the end.
pub struct Temporary(pub PathBuf);

impl Temporary {
    pub fn new(name: &str) -> Self {
        Temporary(std::env::temp_dir().join(format!("gradus_keras_files_{name}_{}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn predictions_agree_with_keras() {
    let _alone = alone();
    let mut largest = 0.0f32;
    for name in MODELS {
        let model = Model::load_keras(fixture(&format!("{name}.keras"))).unwrap();
        let x = read_npy::<f32>(fixture(&format!("{name}.x.npy"))).unwrap();
        let y = read_npy::<f32>(fixture(&format!("{name}.y.npy"))).unwrap();
        let ours = model.predict(&x).unwrap();
        assert_eq!(ours.dims(), y.dims(), "{name}");
        for (a, b) in ours.iter().zip(y.iter()) {
            let error = (a - b).abs();
            assert!(error <= 1e-5, "{name}: {a} instead of {b}");
            largest = largest.max(error);
        }
        // As a graph it is the same.
        let graph = read_keras::<f32>(fixture(&format!("{name}.keras"))).unwrap();
        assert_eq!(graph.params.values(), model.params().values(), "{name}");
        // In double precision the weights are those same numbers.
        let wide = Model::<f64>::of_keras(fixture(&format!("{name}.keras"))).unwrap();
        assert!(wide.params().values().iter().zip(model.params().values()).all(|(a, b)| *a == f64::from(*b)));
    }
    println!("keras: {} models, largest difference {largest:.1e}", MODELS.len());
}

#[test]
fn an_imported_model_is_one_of_ours() {
    let _alone = alone();
    let mut model = Model::load_keras(fixture("dense.keras")).unwrap();
    let names: Vec<_> = model.params().specs().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names[0], "first/kernel");
    assert_eq!(names.last(), Some(&"head/bias"));
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let x = read_npy::<f32>(fixture("dense.x.npy")).unwrap();
    model.fit(&x, &Tensor::from_labels(&[0, 1, 2, 0, 1]), &Fit::default().verbose(Verbose::Silent)).unwrap();
    let error = Model::load_keras(fixture("unsupported.keras")).unwrap_err().to_string();
    assert!(
        error.contains("it has what this library has not: conv3d (Conv3D): no such layer; replace these layers"),
        "{error}"
    );
    assert!(Model::load_keras(fixture("plain.npz")).is_err());
    assert!(Model::load_keras(fixture("dense.x.npy")).is_err());
    assert!(Model::load_keras(fixture("none.keras")).is_err());
}

#[test]
fn numpys_archives() {
    let _alone = alone();
    let plain = read_npz::<f64>(fixture("plain.npz")).unwrap();
    assert_eq!(plain, read_npz::<f64>(fixture("compressed.npz")).unwrap());
    let shapes: Vec<_> = plain.iter().map(|(name, x)| (name.as_str(), x.dims().to_vec())).collect();
    assert_eq!(shapes, [("a", vec![3, 4]), ("b", vec![2, 3, 2]), ("c", vec![5])]);
    assert_eq!(plain[2].1.as_slice(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    let file = Temporary::new("own.npz");
    let arrays: Vec<_> = plain.iter().map(|(name, x)| (name.as_str(), x)).collect();
    write_npz(&file.0, &arrays).unwrap();
    assert_eq!(read_npz::<f64>(&file.0).unwrap(), plain);
    let twice = [("a", &plain[0].1), ("a", &plain[1].1)];
    assert!(write_npz(&file.0, &twice).is_err());
    let one = Temporary::new("own.npy");
    write_npy(&one.0, &plain[1].1).unwrap();
    assert_eq!(read_npy::<f64>(&one.0).unwrap(), plain[1].1);
    assert!(write_npy("/no/such/folder/x.npy", &plain[1].1).is_err());
}

/// Whatever it does, it neither panics nor takes more memory than the file and 16 MB; says whether it was an error.
fn bounded(path: &Path, what: &str) -> [bool; 2] {
    let len = std::fs::metadata(path).unwrap().len() as usize;
    let before = counting::begin();
    let outcome = std::panic::catch_unwind(|| {
        let graph = read_keras::<f32>(path).is_err();
        let sequential = Model::load_keras(path).is_err();
        assert!(!graph || sequential, "{what}: read as a list of layers and not as a graph");
        [sequential, read_npz::<f32>(path).is_err()]
    });
    let most = counting::most_since(before);
    assert!(most <= len + (16 << 20), "{what}: {most} bytes of memory for {len}");
    outcome.unwrap_or_else(|_| panic!("{what}: panicked"))
}

#[test]
fn truncated_files() {
    let _alone = alone();
    let file = Temporary::new("cut");
    for name in ["dense.keras", "nested.keras", "preprocessing.keras", "plain.npz", "compressed.npz"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for len in (0..bytes.len()).step_by(100) {
            std::fs::write(&file.0, &bytes[..len]).unwrap();
            assert_eq!(bounded(&file.0, &format!("{name} cut at {len}")), [true; 2]);
        }
    }
}

/// What a flipped bit may leave as it was: times, comments and the like, which nothing depends on.
#[test]
fn flipped_bits() {
    let _alone = alone();
    let file = Temporary::new("flipped");
    let mut random = 1u64;
    let mut survived = 0;
    for name in ["dense.keras", "preprocessing.keras", "nested.keras", "plain.npz", "compressed.npz"] {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        let weights = |path: &Path| Model::load_keras(path).map(|m| m.params().clone()).map_err(|e| e.to_string());
        let arrays = |path: &Path| read_npz::<f64>(path).map_err(|e| e.to_string());
        let (model, table) = (weights(&fixture(name)), arrays(&fixture(name)));
        for i in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A third each: anywhere, the first and the last kilobyte.
            let (from, within) = match i % 3 {
                0 => (0, bytes.len()),
                1 => (0, 1024.min(bytes.len())),
                _ => (bytes.len().saturating_sub(1024), 1024.min(bytes.len())),
            };
            let (at, bit) = (from + (random >> 20) as usize % within, 1u8 << (random >> 8 & 7));
            bytes[at] ^= bit;
            std::fs::write(&file.0, &bytes).unwrap();
            let errors = bounded(&file.0, &format!("{name}, byte {at}, bit {bit}"));
            if !errors[0] {
                assert_eq!(weights(&file.0), model, "{name}, byte {at}, bit {bit}");
                survived += 1;
            }
            if !errors[1] {
                let values =
                    |arrays: Vec<(String, Tensor<f64>)>| arrays.into_iter().map(|(_, x)| x).collect::<Vec<_>>();
                assert_eq!(arrays(&file.0).map(values), table.clone().map(values), "{name}, byte {at}, bit {bit}");
                survived += 1;
            }
            bytes[at] ^= bit;
        }
    }
    println!("flipped bits: {survived} of 10000 changed nothing that is read");
}

/// A zip file of these contents.
pub fn zipped(parts: &[(&str, &[u8])], compressed: bool) -> Vec<u8> {
    let method = if compressed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::DEFAULT.compression_method(method);
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        out.start_file(*name, options).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn files_meant_to_do_harm() {
    let _alone = alone();
    let file = Temporary::new("hostile");
    let refuse = |bytes: Vec<u8>, what: &str| {
        std::fs::write(&file.0, bytes).unwrap();
        assert_eq!(bounded(&file.0, what), [true; 2], "{what}");
    };
    let mut good = zip::ZipArchive::new(std::fs::File::open(fixture("dense.keras")).unwrap()).unwrap();
    let mut part = |name: &str| {
        let mut bytes = Vec::new();
        good.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (about, config, weights) = (part("metadata.json"), part("config.json"), part("model.weights.h5"));
    let keras = |config: &[u8], weights: &[u8], compressed| {
        zipped(&[("metadata.json", &about), ("config.json", config), ("model.weights.h5", weights)], compressed)
    };
    // The parts put together again are a good file, so the errors below have other reasons.
    std::fs::write(&file.0, keras(&config, &weights, false)).unwrap();
    assert_eq!(bounded(&file.0, "good"), [false, true]);

    refuse(keras(&config, &weights, true), "compressed weights");
    refuse(keras(&"[".repeat(400_000).into_bytes(), &weights, false), "nested arrays");
    refuse(keras(format!("[{}0]", "0,".repeat(250_000)).as_bytes(), &weights, false), "a long array");
    refuse(keras(&vec![b' '; 40 << 20], &weights, true), "a bomb of spaces");
    refuse(keras(format!("[{}0]", "0,".repeat(4_000_000)).as_bytes(), &weights, true), "a longer array");
    let objects = format!("{{\"class_name\":\"Sequential\",\"config\":[{}0]}}", "{\"a\":0},".repeat(900_000));
    refuse(keras(objects.as_bytes(), &weights, true), "very many objects");
    let settings: String = (0..500_000).map(|i| format!("\"{i}\":0,")).collect();
    let settings =
        format!("{{\"class_name\":\"Sequential\",\"module\":\"keras\",\"config\":{{{settings}\"layers\":[]}}}}");
    refuse(keras(settings.as_bytes(), &weights, true), "very many settings");
    refuse(keras(&config, &vec![0; 40 << 20], true), "a bomb of zeros");
    refuse(zipped(&[("x.npy", &vec![0; 60 << 20])], true), "an array that is none");
    let mut bomb = Vec::new();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (16000000,)}";
    bomb.extend(b"\x93NUMPY\x01\x00");
    bomb.extend((header.len() as u16).to_le_bytes());
    bomb.extend(header.as_bytes());
    bomb.resize(bomb.len() + 64_000_000, 0);
    let bomb = zipped(&[("x.npy", &bomb)], true);
    refuse(bomb.clone(), "an array of zeros, much compressed");
    std::fs::write(&file.0, &bomb).unwrap();
    let error = read_npz::<f32>(&file.0).unwrap_err().to_string();
    assert!(error.contains("allow more with read_npz_up_to if you trust the file"), "{error}");
    assert_eq!(read_npz_up_to::<f32>(&file.0, 100_000_000).unwrap()[0].1.len(), 16_000_000);
    refuse(zipped(&[("x.txt", b"x")], false), "no array");
    let names: Vec<String> = (0..6000).map(|i| format!("{i}.npy")).collect();
    refuse(zipped(&names.iter().map(|n| (n.as_str(), &b""[..])).collect::<Vec<_>>(), false), "very many files");
    // Architectures that ask for what the weights do not have.
    let text = String::from_utf8(config).unwrap();
    for (from, to) in [
        ("\"units\": 7", "\"units\": 8"),
        ("\"units\": 7", "\"units\": 70000000000"),
        ("\"units\": 7", "\"units\": -1"),
        ("\"units\": 7", "\"units\": null"),
        ("[null, 4]", "[null, 400000000000]"),
        ("[null, 4]", "null"),
        ("\"name\": \"first\"", "\"name\": \"head\""),
        ("\"class_name\": \"Dropout\"", "\"class_name\": \"Dense\""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        refuse(keras(changed.as_bytes(), &weights, false), &format!("{to} for {from}"));
    }
    // Weights of all kinds of damage, with a checksum that is right.
    let mut random = 7u64;
    for _ in 0..3_000 {
        let mut weights = weights.clone();
        for _ in 0..3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 20) as usize % weights.len();
            weights[at] = (random >> 50) as u8;
        }
        std::fs::write(&file.0, keras(text.as_bytes(), &weights, false)).unwrap();
        bounded(&file.0, "damaged HDF5");
    }
}
