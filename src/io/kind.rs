//! What a file is, by its first bytes, so that a reader that is given another kind can say which one, and what reads it.

use std::path::Path;

/// A kind of file and what to do with it.
type Kind = (&'static str, &'static str);

/// The kinds that a beginning tells. None is text that could be a table.
const BEGINNINGS: &[(&[u8], Kind)] = &[
    (b"\x1f\x8b", ("a gzipped file", "unpack it first (gunzip)")),
    (b"\xfd7zXZ\0", ("a file packed with xz", "unpack it first (unxz)")),
    (b"\x28\xb5\x2f\xfd", ("a file packed with Zstandard", "unpack it first (unzstd)")),
    (b"7z\xbc\xaf\x27\x1c", ("a 7-Zip archive", "unpack it first")),
    (b"Rar!\x1a\x07", ("a RAR archive", "unpack it first")),
    (
        b"\x89HDF\r\n\x1a\n",
        (
            "an HDF5 file (.h5)",
            "a model: in Python, keras.models.load_model(…).save(\"model.keras\"), then Model::load_keras; data: save \
             them with numpy.save and read them with gradus::io::read_npy",
        ),
    ),
    (
        b"GGUF",
        ("a GGUF file", "open it with hf::CausalLm::from_gguf, or read it with gradus::io::Gguf (feature files)"),
    ),
    (b"lmgg", ("a GGML file of before GGUF", "fetch the model as GGUF")),
    (b"tjgg", ("a GGML file of before GGUF", "fetch the model as GGUF")),
    (b"\x93NUMPY", ("a NumPy array (.npy)", "read it with gradus::io::read_npy")),
    (b"PAR1\x15", ("a Parquet file", "in Python: pandas.read_parquet(…).to_csv(\"table.csv\", index=False)")),
    (
        b"ARROW1\0\0",
        ("an Arrow (Feather) file", "in Python: pandas.read_feather(…).to_csv(\"table.csv\", index=False)"),
    ),
    (b"\x89PNG\r\n\x1a\n", ("a PNG picture", "read it with read_image or ImageFolder (feature image)")),
    (b"\xff\xd8\xff", ("a JPEG picture", "read it with read_image or ImageFolder (feature image)")),
    (b"GIF87a", ("a GIF picture", "convert it to PNG")),
    (b"GIF89a", ("a GIF picture", "convert it to PNG")),
    (b"II*\0", ("a TIFF picture", "convert it to PNG")),
    (b"MM\0*", ("a TIFF picture", "convert it to PNG")),
    (b"%PDF", ("a PDF document", "save its table as CSV")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ("an old Excel or Office file (.xls)", "save the sheet as CSV (UTF-8)")),
    (b"SQLite format 3\0", ("an SQLite database", "export the table as CSV")),
    (b"\xff\xfe\0\0", ("UTF-32 text", "save it as UTF-8")),
    (b"\xff\xfe", ("UTF-16 text", "save it as UTF-8 (Excel: \"CSV UTF-8\")")),
    (b"\xfe\xff", ("UTF-16 text", "save it as UTF-8 (Excel: \"CSV UTF-8\")")),
    (b"version https://git-lfs", ("a pointer of Git LFS, not the file itself", "fetch the file with git lfs pull")),
    (
        b"MATLAB 5.0",
        ("a MATLAB file", "in Python: scipy.io.loadmat, then numpy.save, and read it with gradus::io::read_npy"),
    ),
];

/// What a zip file is, by the name of the first file inside.
fn zipped(start: &[u8]) -> Kind {
    let len = start.get(26..28).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8);
    let name =
        String::from_utf8_lossy(start.get(30..).map_or(&[][..], |rest| &rest[..len.min(rest.len())])).into_owned();
    if name.ends_with(".npy") {
        return ("NumPy arrays (.npz)", "read them with gradus::io::read_npz (feature npz)");
    }
    if ["metadata.json", "config.json", "model.weights.h5"].contains(&name.as_str()) {
        return ("a Keras model (.keras)", "load it with Model::load_keras (feature keras)");
    }
    if name.ends_with("data.pkl") || name.ends_with("/.format_version") {
        let how = "in Python: safetensors.torch.save_file(model.state_dict(), …), then load_weights";
        return ("a PyTorch file (.pt)", how);
    }
    if name == "[Content_Types].xml" || ["xl/", "_rels/", "docProps/"].iter().any(|part| name.starts_with(part)) {
        return ("an Excel or Office file (.xlsx)", "save the sheet as CSV (UTF-8)");
    }
    ("a zip archive", "unpack it first")
}

/// The kind of a file that begins so; none for plain text and for what is not known.
fn of(start: &[u8]) -> Option<Kind> {
    if let Some((_, kind)) = BEGINNINGS.iter().find(|(bytes, _)| start.starts_with(bytes)) {
        return Some(*kind);
    }
    match start {
        [b'P', b'K', 3, 4, ..] => return Some(zipped(start)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            return Some(("a WebP picture", "convert it to PNG"));
        }
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => {
            return Some(("a file packed with bzip2", "unpack it first (bunzip2)"));
        }
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => return Some(("a BMP picture", "convert it to PNG")),
        [0x80, 2..=5, b'}' | b']' | b'c' | 0x95 | 0x8a, ..] => {
            let how = "in Python: load it, save arrays with numpy.save, and read them with gradus::io::read_npy";
            return Some(("a Python pickle", how));
        }
        [_, _, _, 0, 0, 0, 0, 0, b'{', b'"', ..] => {
            return Some(("a safetensors file", "load it with Model::load or load_weights (feature files)"));
        }
        [0, 0, 8 | 9 | 0xB..=0xE, 1..=6, 0, ..] => {
            return Some(("an IDX file such as MNIST's", "read it with read_idx"));
        }
        _ => {}
    }
    if start.len() > 262 && &start[257..262] == b"ustar" {
        return Some(("a tar archive", "unpack it first"));
    }
    let text = start.trim_ascii_start();
    let tag = |tag: &[u8]| text.get(..tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag));
    if tag(b"<!doctype html") || tag(b"<html") {
        return Some(("a web page", "fetch the file itself, not the page that offers it"));
    }
    if tag(b"<?xml") {
        return Some(("an XML file", "save its table as CSV"));
    }
    if text.starts_with(b"{\"") || text.starts_with(b"[{") || text.starts_with(b"[[") {
        return Some(("a JSON file", "save its table as CSV"));
    }
    // Letters of ASCII in 16 bits, without a mark: every other byte is zero.
    let head = &start[..start.len().min(64) & !1];
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|b| **b == 0).count() * 2;
    if head.len() >= 4 && (zeros(0) == head.len() || zeros(1) == head.len()) && zeros(0) + zeros(1) == head.len() {
        return Some(("UTF-16 text", "save it as UTF-8 (Excel: \"CSV UTF-8\")"));
    }
    None
}

/// The problem and what to do, for a file that a reader of `wanted` ("a CSV file") cannot read and that is known to be of another
/// kind.
pub(crate) fn other_than(wanted: &str, start: &[u8]) -> Option<(String, String)> {
    of(start).map(|(what, how)| (format!("the file is {what}, not {wanted}"), how.to_owned()))
}

/// [`other_than`] for a reader of plain text, which may be JSON, XML or a web page too.
#[cfg(feature = "text")]
pub(crate) fn no_text(start: &[u8]) -> Option<(String, String)> {
    let (what, how) = of(start).filter(|(what, _)| !["a web page", "an XML file", "a JSON file"].contains(what))?;
    let how =
        how.replace("save its table as CSV", "save its text").replace("export the table as CSV", "export the text");
    Some((format!("the file is {what}, not a text file"), how))
}

/// What a path is that leads to no file on a disk.
pub(crate) fn folder(path: &Path) -> (&'static str, &'static str) {
    if path.join("saved_model.pb").exists() {
        let how =
            "build the model in Keras 3, give it the old weights, and save it as model.keras for Model::load_keras";
        return ("a folder with a TensorFlow SavedModel, no regular file", how);
    }
    match path.is_dir() {
        true => ("a folder, no regular file", "pass the path of a file inside"),
        false => ("no regular file", "pass the path of a file on a disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        let zip = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(26, 0);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.bytes());
            bytes
        };
        let utf16: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16_big: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (start, what) in [
            (b"\x1f\x8b\x08\0".to_vec(), "a gzipped file"),
            (b"\x89HDF\r\n\x1a\n\0".to_vec(), "an HDF5 file"),
            (b"\x93NUMPY\x01\0v".to_vec(), "a NumPy array"),
            (b"PAR1\x15".to_vec(), "a Parquet file"),
            (b"\x89PNG\r\n\x1a\n\0\0".to_vec(), "a PNG picture"),
            (b"\xff\xd8\xff\xe0".to_vec(), "a JPEG picture"),
            (b"\xff\xfea\0,\0".to_vec(), "UTF-16 text"),
            (b"\xfe\xff\0a\0,".to_vec(), "UTF-16 text"),
            (utf16, "UTF-16 text"),
            (utf16_big, "UTF-16 text"),
            (zip("arr_0.npy"), "NumPy arrays (.npz)"),
            (zip("metadata.json"), "a Keras model (.keras)"),
            (zip("[Content_Types].xml"), "an Excel"),
            (zip("archive/data.pkl"), "a PyTorch file"),
            (zip("x.csv"), "a zip archive"),
            (b"PK\x03\x04".to_vec(), "a zip archive"),
            (b"\x40\0\0\0\0\0\0\0{\"a\":".to_vec(), "a safetensors file"),
            (vec![0, 0, 8, 3, 0, 0, 0, 2], "an IDX file"),
            (b"\x80\x04\x95\x10".to_vec(), "a Python pickle"),
            (b"\n <!DOCTYPE HTML><html>".to_vec(), "a web page"),
            (b"[{\"a\": 1}]".to_vec(), "a JSON file"),
        ] {
            let (problem, hint) = other_than("a CSV file", &start).unwrap_or_default();
            assert!(
                problem.starts_with(&format!("the file is {what}")) && problem.ends_with(", not a CSV file"),
                "{problem}"
            );
            assert!(!hint.is_empty());
            // Cut short anywhere, it is something or nothing.
            (0..start.len()).for_each(|len| drop(other_than("a CSV file", &start[..len])));
        }
        for text in
            ["a,b\n1,2\n", "", "a", "BMI,BP\n1,2\n", "PAR1,PAR2\n", "{x},y\n", "1\t2\n", "\u{feff}a,b\n", "é,è\n"]
        {
            assert_eq!(other_than("a CSV file", text.as_bytes()), None, "{text:?}");
        }
    }
}
