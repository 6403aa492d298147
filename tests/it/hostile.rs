//! Files that are damaged, cut short, or made to do harm.

use std::path::Path;

use gradus::io::Archive;
use gradus::prelude::*;
use support::counting;

use crate::files::{Folder, alone, compiled, silent};

/// Whatever there is to try on bytes: none may succeed, panic, or take more memory than the bytes and 16 MB.
fn all_refuse(bytes: &[u8], path: &Path, what: &str) {
    let before = counting::begin();
    let outcome = std::panic::catch_unwind(|| {
        assert!(Model::load_bytes(bytes).is_err(), "{what}: loaded");
        std::fs::write(path, bytes).unwrap();
        assert!(Model::load(path).is_err(), "{what}: loaded from a file");
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
                assert!(Model::load_bytes(&bytes).is_err());
                assert!(Archive::from_bytes(&bytes).is_err());
            });
            assert!(outcome.is_ok(), "bit {bit:#x} of byte {at}");
            bytes[at] ^= bit;
        }
        assert!(Model::load_bytes(&bytes).is_ok());
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
pub fn signed(about: &str, arrays: &str, data: usize) -> Vec<u8> {
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
    assert_eq!(Model::load_bytes(&good).unwrap().output_shape(), gradus::Shape::from([3]));
    let blocks = (0..20).fold(dense("3"), |inner, _| block(&inner));
    let inner = arrays.replace("dense/", &format!("{}dense/", "block/".repeat(20)));
    assert!(Model::load_bytes(&signed(&about("[4]", &blocks), &inner, 60)).is_ok());
    // A weight that is no floating-point number.
    let arrays = arrays.replace("\"dense/bias\":{\"dtype\":\"F32\"", "\"dense/bias\":{\"dtype\":\"U32\"");
    refuse(&signed(&about("[4]", &dense("3")), &arrays, 60), "whole numbers");
    refuse(&good.iter().map(|b| b.to_ascii_uppercase()).collect::<Vec<_>>(), "capitals");
}
