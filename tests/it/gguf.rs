//! GGUF files: those of llama.cpp's own writer, those that are written here, and those that are damaged.

use std::path::Path;

use gradus::io::{BlockKind, Gguf, GgufArray, GgufKind, GgufTensor, GgufValue, GgufWriter};
use support::counting;

use crate::files::{Folder, alone};

const BLOCKS: &[u8] = include_bytes!("../fixtures/gguf/blocks.gguf");

fn tensor(file: &Gguf<'_>, name: &str) -> GgufTensor {
    file.tensor(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn values(file: &mut Gguf<'_>, name: &str) -> Vec<f32> {
    let tensor = tensor(file, name);
    let mut out = vec![f32::NAN; tensor.len()];
    file.read(&tensor, &mut out).unwrap();
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// What gguf-py writes: settings of each type, and each kind of blocks decoded to the same bits.
#[test]
fn files_of_gguf_py() {
    let mut file = Gguf::from_bytes(BLOCKS).unwrap();
    assert_eq!((file.version(), file.architecture()), (3, Some("blocks")));
    let get = |key: &str| file.get(key).cloned().unwrap();
    assert_eq!(get("blocks.rows").as_u64(), Some(12));
    assert_eq!(get("blocks.small"), GgufValue::F32(1e-5));
    assert_eq!(get("blocks.small").as_f64(), Some(1e-5));
    assert_eq!(get("blocks.yes").as_bool(), Some(true));
    assert_eq!((get("blocks.negative").as_u64(), get("blocks.negative").as_f64()), (None, Some(-3.0)));
    assert_eq!(get("blocks.wide"), GgufValue::F64(0.1));
    assert_eq!(get("blocks.names").as_strings().unwrap(), ["a", "ü", ""]);
    let nested = GgufArray::Array(vec![GgufArray::I32(vec![1, 2]), GgufArray::I32(vec![3])]);
    assert_eq!(get("blocks.nested"), GgufValue::Array(nested));
    assert_eq!(tensor(&file, "Q6_K").shape, [3, 256]);
    for kind in ["Q8_0", "Q4_0", "Q4_K", "Q6_K", "F16", "BF16"] {
        assert_eq!(tensor(&file, kind).kind.name(), kind);
        let expected = values(&mut file, &format!("{kind}.decoded"));
        assert_eq!(bits(&values(&mut file, kind)), bits(&expected), "{kind}");
        let mut wide = vec![0f64; expected.len()];
        file.read(&tensor(&file, kind), &mut wide).unwrap();
        assert!(wide.iter().zip(&expected).all(|(a, b)| *a == f64::from(*b)), "{kind}");
    }
    let error = file.read(&tensor(&file, "F16"), &mut [0f32; 3]).unwrap_err().to_string();
    assert!(error.contains("F16 has 197 values where 3 are wanted"), "{error}");
}

/// Blocks are those of gguf-py, which are those of ggml's reference, byte by byte; and a file comes back as it was written.
#[test]
fn written_as_gguf_py_writes() {
    let folder = Folder::new("gguf_written");
    let path = folder.path("w.gguf");
    let mut theirs = Gguf::from_bytes(BLOCKS).unwrap();
    let (x, half) = (values(&mut theirs, "values"), values(&mut theirs, "half.values"));
    let kinds = [GgufKind::Blocks(BlockKind::Q8_0), GgufKind::Blocks(BlockKind::Q4_0), GgufKind::F16, GgufKind::Bf16];
    let mut writer = GgufWriter::new();
    for (key, value) in theirs.metadata() {
        writer = writer.metadata(key, value.clone());
    }
    let more: [(&str, GgufValue); 5] = [
        ("deep", GgufValue::Array(GgufArray::Array(vec![GgufArray::Array(vec![GgufArray::Bool(vec![true, false])])]))),
        ("byte", GgufValue::U8(255)),
        ("short", GgufValue::I16(-2)),
        ("long", u64::MAX.into()),
        ("doubles", vec![0.1, f64::INFINITY].into()),
    ];
    for (key, value) in &more {
        writer = writer.metadata(*key, value.clone());
    }
    writer = writer.tensor("values", [12, 64], GgufKind::F32, &x).tensor("f64", [3, 2, 2, 64], GgufKind::F64, &x);
    for kind in kinds {
        let (shape, values) =
            if matches!(kind, GgufKind::Blocks(_)) { (vec![12, 64], &x) } else { (vec![half.len()], &half) };
        writer = writer.tensor(kind.name(), shape, kind, values);
    }
    writer.tensor("nothing", [0, 32], GgufKind::F16, &[]).write(&path).unwrap();
    let mut ours = Gguf::open(&path).unwrap();
    for (key, value) in theirs.metadata() {
        assert_eq!(ours.get(key), Some(value), "{key}");
    }
    for (key, value) in &more {
        assert_eq!(ours.get(key), Some(value), "{key}");
    }
    assert_eq!(bits(&values(&mut ours, "f64")), bits(&x));
    assert_eq!(tensor(&ours, "f64").shape, [3, 2, 2, 64]);
    assert!(tensor(&ours, "nothing").is_empty() && values(&mut ours, "nothing").is_empty());
    for kind in kinds {
        let [a, b] = [&ours, &theirs].map(|file| tensor(file, kind.name()));
        assert_eq!((a.shape.clone(), a.byte_len()), (b.shape.clone(), b.byte_len()));
        let a = ours.read_bytes(&a, 0..a.byte_len()).unwrap();
        let b = theirs.read_bytes(&b, 0..b.byte_len()).unwrap();
        let place = a.iter().zip(&b).position(|(a, b)| a != b);
        assert_eq!(place, None, "{kind}");
    }
}

/// What is lost, for the table of the documentation: the root of the mean square of the error over that of weights, normal ones and such as have outliers.
#[test]
fn errors_of_weights() {
    let folder = Folder::new("gguf_errors");
    let path = folder.path("e.gguf");
    let mut state = 7u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // Box and Muller.
    let normal: Vec<f32> = (0..1 << 18)
        .map(|_| ((-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos() * 0.02) as f32)
        .collect();
    let mut outliers = normal.clone();
    outliers.iter_mut().step_by(97).for_each(|v| *v *= 10.0);
    for (kind, bounds) in [
        (GgufKind::F32, [0.0, 0.0]),
        (GgufKind::F16, [2.2e-4, 2.2e-4]),
        (GgufKind::Bf16, [1.8e-3, 1.8e-3]),
        (GgufKind::Blocks(BlockKind::Q8_0), [5.5e-3, 9.7e-3]),
        (GgufKind::Blocks(BlockKind::Q6K), [1.72e-2, 2.74e-2]),
        (GgufKind::Blocks(BlockKind::Q4K), [7.18e-2, 9.15e-2]),
        (GgufKind::Blocks(BlockKind::Q4_0), [8.8e-2, 0.15]),
    ] {
        let errors = [&normal, &outliers].map(|weights| {
            GgufWriter::new().tensor("w", [256, 1024], kind, weights).write(&path).unwrap();
            let out = values(&mut Gguf::open(&path).unwrap(), "w");
            let lost: f64 = out.iter().zip(weights).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            (lost / weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>()).sqrt()
        });
        let [a, b] = errors.map(|error| error * 100.0);
        println!("{kind}: {a:.4} %, {b:.4} % with {} bits a weight", kind.row_bytes(1024).unwrap() as f64 / 128.0);
        for (error, bound) in errors.into_iter().zip(bounds) {
            assert!(error <= bound && error >= 0.9 * bound, "{kind}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_written() {
    let folder = Folder::new("gguf_refused");
    let path = folder.path("r.gguf");
    let q8 = GgufKind::Blocks(BlockKind::Q8_0);
    let ones = [1.0; 64];
    let mut spoilt = ones;
    spoilt[40] = f32::NAN;
    let refused = |writer: GgufWriter<'_>| writer.write(&path).unwrap_err().to_string();
    let one = |shape: &[usize], kind, values| GgufWriter::new().tensor("w", shape, kind, values);
    for (error, parts) in [
        (refused(one(&[2, 31], q8, &ones[..62])), ["rows of w", "a multiple of 32"]),
        (refused(one(&[2, 31], q8, &ones)), ["[2, 31] has for w", "64"]),
        (refused(one(&[usize::MAX, 3], q8, &ones)), ["for w", "64"]),
        (refused(one(&[1, 1, 1, 2, 32], q8, &ones)), ["at most 4 axes", "for w"]),
        (refused(one(&[2, 32], q8, &spoilt)), ["Q8_0 holds for w", "NaN in place 40"]),
        (refused(one(&[2, 32], GgufKind::F16, &spoilt)), ["F16 holds for w", "NaN in place 40"]),
        (refused(one(&[2, 32], GgufKind::Blocks(BlockKind::Q4K), &ones)), ["rows of w", "a multiple of 256"]),
        (refused(one(&[64], GgufKind::Blocks(BlockKind::Q6K), &ones)), ["rows of w", "a multiple of 256"]),
        (refused(one(&[64], q8, &ones).tensor("w", [64], q8, &ones)), ["\"w\" twice", "tensors"]),
        (refused(one(&[64], q8, &ones).metadata("k", 1u32).metadata("k", "x")), ["\"k\" twice", "metadata"]),
        (refused(one(&[64], q8, &ones).metadata("general.alignment", 24u32)), ["power of two", "24"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{error}\ndoes not say {part}");
        }
    }
    let mut spoilt = [0.5; 512];
    spoilt[300] = f32::INFINITY;
    for kind in [BlockKind::Q4K, BlockKind::Q6K] {
        let error = refused(one(&[2, 256], GgufKind::Blocks(kind), &spoilt));
        assert!(error.contains(&format!("{kind} holds for w")) && error.contains("inf in place 300"), "{error}");
    }
    assert!(!path.exists());
    one(&[2, 32], GgufKind::F32, &ones).metadata("general.alignment", 4096u32).write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap().len(), 3 * 4096 - 4096);
    assert_eq!(values(&mut Gguf::open(&path).unwrap(), "w"), ones);
}

/// A head, put together by hand.
struct Head(Vec<u8>);

impl Head {
    fn new(version: u32, tensors: u64, keys: u64) -> Self {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        Head(bytes)
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn tensor(self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let head = self.text(name).u32(dims.len() as u32);
        dims.iter().fold(head, |head, dim| head.u64(*dim)).u32(kind).u64(offset)
    }

    /// The head with so many bytes of data behind it.
    fn data(mut self, bytes: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + bytes, 0);
        self.0
    }
}

#[test]
fn damage_is_named() {
    let head = || Head::new(3, 1, 0);
    let two = || Head::new(3, 2, 0).tensor("a", &[8], 0, 0);
    let key = || Head::new(3, 0, 1).text("k");
    for (bytes, parts) in [
        (b"GGUF".to_vec(), ["no GGUF file", "4 bytes"]),
        (b"GGML and so on".to_vec(), ["no GGUF file", "GGML"]),
        (b"PK\x03\x04 and so on".to_vec(), ["a zip archive", "not a GGUF file"]),
        (Head::new(1, 0, 0).0, ["version 1", "convert"]),
        (Head::new(3u32.swap_bytes(), 0, 0).0, ["version 3 in big-endian order", "little-endian"]),
        (Head::new(4, 0, 0).0, ["version 4", "version 3"]),
        (Head::new(3, u64::MAX, 0).0, ["18446744073709551615 tensors", "cut off"]),
        (Head::new(3, 0, 1 << 40).0, ["1099511627776 keys", "cut off"]),
        (Head::new(3, 0, 1).u64(1 << 60).data(100), ["key 0, a text of", "cut off"]),
        (Head::new(3, 0, 1).u64(1).u32(0xFF).data(100), ["key 0", "UTF-8"]),
        (key().u32(13).data(100), ["k is of type 13", "0 to 12"]),
        (key().u32(7).u32(2).data(100), ["k is 2", "true or false"]),
        (key().u32(9).u32(4).u64(1 << 62).data(100), ["4611686018427387904 k", "cut off"]),
        (key().u32(9).u32(8).u64(5).u64(1 << 33).data(100), ["text 0 of k", "cut off"]),
        (key().u32(9).u32(77).u64(0).data(100), ["k has values of type 77", "0 to 12"]),
        ((0..9).fold(key().u32(9), |head, _| head.u32(9).u64(1)).data(100), ["arrays in arrays", "k"]),
        (Head::new(3, 0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1).data(0), ["\"k\"", "twice"]),
        (
            Head::new(3, 0, 1).text("general.alignment").u32(4).u32(0).data(0),
            ["general.alignment is 0", "power of two"],
        ),
        (Head::new(3, 0, 1).text("general.alignment").u32(4).u32(48).data(0), ["alignment is 48", "power of two"]),
        (Head::new(3, 0, 1).text("general.alignment").u32(8).text("x").data(0), ["alignment is \"x\"", "power of two"]),
        (head().tensor("w", &[1; 5], 0, 0).data(64), ["w has 5 axes", "at most 4"]),
        (head().tensor("w", &[32], 13, 0).data(64), ["tensor w", "Q5_K, which is not read"]),
        (head().tensor("w", &[32], 1000, 0).data(64), ["tensor w", "of number 1000"]),
        (head().tensor("w", &[33, 2], 8, 0).data(99), ["w has rows of 33 values", "Q8_0 have 32"]),
        (head().tensor("w", &[1 << 31, 1 << 31, 1 << 31], 0, 0).data(64), ["w has the shape", "than there can be"]),
        (head().tensor("w", &[0, u64::MAX, 2], 0, 0).data(64), ["w has the shape", "than there can be"]),
        (head().tensor("w", &[8], 0, 31).data(64), ["w begins at byte 31", "multiple of 32"]),
        (head().tensor("w", &[9], 0, 32).data(64), ["w has 36 bytes from 32", "of 64"]),
        (head().tensor("w", &[8], 0, 1 << 40).data(64), ["w has 32 bytes", "of 64"]),
        (head().tensor("w", &[8], 0, u64::MAX - 31).data(64), ["w has 32 bytes", "of 64"]),
        (two().tensor("a", &[8], 0, 32).data(64), ["\"a\"", "twice"]),
        (two().tensor("b", &[16], 0, 0).data(64), ["overlap", "a and b"]),
    ] {
        let error = Gguf::from_bytes(&bytes).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}\ndoes not say {part}");
        }
    }
    assert_eq!(two().tensor("b", &[8], 0, 32).data(64).len(), 160);
    Gguf::from_bytes(&two().tensor("b", &[8], 0, 32).data(64)).unwrap();
    assert!(Gguf::open("nowhere.gguf").is_err());
    let error =
        gradus::Model::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gguf/blocks.gguf")).unwrap_err();
    assert!(error.to_string().contains("GGUF"), "{error}");
}

/// Whatever stands in a file: an error, or tensors that can be read; and little memory.
fn tried(bytes: &[u8], what: &str) {
    let before = counting::begin();
    let outcome = std::panic::catch_unwind(|| {
        let Ok(mut file) = Gguf::from_bytes(bytes) else { return };
        for tensor in file.tensors().to_vec() {
            let mut out = vec![0f32; tensor.len()];
            file.read(&tensor, &mut out).unwrap();
        }
    });
    assert!(outcome.is_ok(), "{what}");
    let most = counting::most_since(before);
    assert!(most <= 16 * bytes.len() + (1 << 20), "{what}: {most} bytes of memory for {}", bytes.len());
}

#[test]
fn mutated_files() {
    let _alone = alone();
    for len in 0..1800 {
        tried(&BLOCKS[..len], &format!("cut at {len}"));
    }
    let mut random = 1u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut bytes = BLOCKS.to_vec();
    for round in 0..6000 {
        let mut changed = Vec::new();
        for _ in 0..=next(3) {
            // Most of them in the head, which is the part that is parsed.
            let at = if next(8) == 0 { next(BLOCKS.len()) } else { next(1500) };
            let to = [0, 1, 8, 9, 0x7F, 0x80, 0xFF, next(256) as u8][next(8)];
            for place in at..(at + [1, 1, 4, 8][next(4)]).min(bytes.len()) {
                changed.push(place);
                bytes[place] = to;
            }
        }
        tried(&bytes, &format!("round {round}, bytes {changed:?}"));
        changed.iter().for_each(|at| bytes[*at] = BLOCKS[*at]);
    }
    assert_eq!(bytes, BLOCKS);
}
