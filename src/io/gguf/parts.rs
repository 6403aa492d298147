//! A model in several files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tensor::GgufTensor;
use crate::error::{Error, Result};

/// What a file says of the whole that it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartOf {
    number: u64,
    count: u64,
}

const AGAIN: &str = "fetch all files of the model again";

impl PartOf {
    /// By the numbers of a file's metadata; none where it is whole.
    pub fn new(number: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        let count = number("split.count").filter(|count| *count > 1)?;
        Some(PartOf { number: number("split.no").unwrap_or(0), count })
    }

    /// The first file where that at `path` is another part, and what it should say.
    ///
    /// # Errors
    /// [`Error::File`] if it is not beside that at `path`.
    pub fn first(self, path: &Path) -> Result<Option<(PathBuf, PartOf)>> {
        let PartOf { number, count } = self;
        if number == 0 {
            return Ok(None);
        }
        let own = ending(number.saturating_add(1), count);
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(own.as_str()));
        match name.map(|name| path.with_file_name(name.to_owned() + &ending(1, count))) {
            Some(first) if first.is_file() => Ok(Some((first, PartOf { number: 0, count }))),
            first => {
                let name = first.as_ref().and_then(|first| first.file_name()?.to_str());
                Err(self.not_first(path, name))
            }
        }
    }

    /// An error for a further part without the first one.
    fn not_first(self, path: &Path, first: Option<&str>) -> Error {
        let PartOf { number, count } = self;
        let problem = format!("it is part {} of {count} of a model in several files", number.saturating_add(1));
        let hint = match first {
            Some(first) => format!("put the others beside it and open the first, {first}"),
            None => format!("open the first, whose name ends in {}", ending(1, count)),
        };
        Error::file(path, problem, hint)
    }

    /// The other files of which that at `path` is the first, in their order, and what each should say.
    ///
    /// # Errors
    /// [`Error::File`] for another part than the first, and for a name that is not a part's.
    pub fn others(self, path: &Path) -> Result<impl Iterator<Item = (PathBuf, PartOf)> + use<>> {
        let PartOf { number, count } = self;
        if number != 0 {
            return Err(self.not_first(path, None));
        }
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(ending(1, count).as_str()));
        let Some(name) = name.map(str::to_owned) else {
            let problem =
                format!("it is the first of {count} files, and its name does not say how the others are called");
            let hint = format!("give it the name it had, which ends in {}, beside the others", ending(1, count));
            return Err(Error::file(path, problem, hint));
        };
        let path = path.to_owned();
        Ok((1..count).map(move |number| {
            (path.with_file_name(name.clone() + &ending(number + 1, count)), PartOf { number, count })
        }))
    }

    /// Compares what a file should say with what it says.
    ///
    /// # Errors
    /// [`Error::File`] where it is another part, or of another whole.
    pub fn check(self, path: &Path, found: Option<PartOf>) -> Result<()> {
        if found == Some(self) {
            return Ok(());
        }
        let shown = |part: PartOf| format!("part {} of {}", part.number.saturating_add(1), part.count);
        let found = found.map_or("a whole model".to_owned(), shown);
        Err(Error::file(path, format!("it should be {} of a model, and is {found}", shown(self)), AGAIN))
    }
}

/// Looks at the tensors of all files together, in the order of files, of which the first, at `path`, says how many there are.
///
/// # Errors
/// [`Error::File`] for another number, and for a tensor that is there twice, with both files.
pub(super) fn check_tensors<'f>(
    path: &Path,
    file_of: impl Fn(&GgufTensor) -> &'f Path,
    expected: Option<u64>,
    tensors: &[GgufTensor],
) -> Result<()> {
    if let Some(expected) = expected.filter(|expected| *expected != tensors.len() as u64) {
        let problem = format!("its files have {} tensors together, and should have {expected}", tensors.len());
        return Err(Error::file(path, problem, AGAIN));
    }
    let mut seen = BTreeMap::new();
    for tensor in tensors {
        if let Some(before) = seen.insert(tensor.name.as_str(), tensor) {
            let before = file_of(before).file_name().unwrap_or_default().display();
            return Err(Error::file(file_of(tensor), format!("{} is in {before}, too", tensor.name), AGAIN));
        }
    }
    Ok(())
}

/// How the name of a part ends.
fn ending(number: u64, count: u64) -> String {
    format!("-{number:05}-of-{count:05}.gguf")
}

#[cfg(test)]
mod tests {
    use super::super::{Gguf, GgufKind, GgufWriter};
    use super::*;

    /// Writes parts of a model, of these numbers and counts, each with a tensor; the folder.
    fn folder(name: &str, parts: &[(u32, u32, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gradus-gguf-parts-of-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (at, (number, count, tensor)) in parts.iter().enumerate() {
            let path = folder.join(format!("m{}", ending(at as u64 + 1, parts.len() as u64)));
            let writer = GgufWriter::new().metadata("split.no", *number).metadata("split.count", *count);
            let writer = writer.metadata("split.tensors.count", parts.len() as u32);
            writer.tensor(*tensor, [1, 2], GgufKind::F32, &[*number as f32, 1.0]).write(&path).unwrap();
        }
        folder
    }

    #[test]
    fn tensors_of_all_files() {
        let folder = folder("all", &[(0, 3, "a"), (1, 3, "b"), (2, 3, "c")]);
        let mut file = Gguf::open(folder.join("m-00001-of-00003.gguf")).unwrap();
        let tensors = file.tensors().to_vec();
        assert_eq!(tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        for (i, tensor) in tensors.iter().enumerate() {
            let mut values = [9f32; 2];
            file.read(tensor, &mut values).unwrap();
            assert_eq!(values, [i as f32, 1.0]);
            let mut bytes = [0; 4];
            file.bytes_at(tensor, 0, &mut bytes).unwrap();
            assert_eq!(f32::from_le_bytes(bytes), i as f32);
        }
        // Any of them opens all.
        let mut again = Gguf::open(folder.join("m-00002-of-00003.gguf")).unwrap();
        assert_eq!((again.tensors(), again.get("split.no")), (&tensors[..], file.get("split.no")));
        assert_eq!(again.path(), folder.join("m-00001-of-00003.gguf"));
        let mut values = [9f32; 2];
        again.read(&tensors[2], &mut values).unwrap();
        assert_eq!(values, [2.0, 1.0]);
        // Bytes alone have none beside them.
        let bytes = std::fs::read(folder.join("m-00002-of-00003.gguf")).unwrap();
        let error = Gguf::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("part 2 of 3") && error.contains("ends in -00001-of-00003.gguf"), "{error}");
        std::fs::remove_file(folder.join("m-00003-of-00003.gguf")).unwrap();
        let error = Gguf::open(folder.join("m-00001-of-00003.gguf")).unwrap_err().to_string();
        assert!(error.contains("m-00003-of-00003.gguf"), "{error}");
        std::fs::rename(folder.join("m-00001-of-00003.gguf"), folder.join("m.gguf")).unwrap();
        let error = Gguf::open(folder.join("m.gguf")).unwrap_err().to_string();
        assert!(error.contains("the first of 3 files"), "{error}");
        let error = Gguf::open(folder.join("m-00002-of-00003.gguf")).unwrap_err().to_string();
        assert!(error.contains("part 2 of 3") && error.contains("the first, m-00001-of-00003.gguf"), "{error}");
        std::fs::rename(folder.join("m-00002-of-00003.gguf"), folder.join("2.gguf")).unwrap();
        let error = Gguf::open(folder.join("2.gguf")).unwrap_err().to_string();
        assert!(error.contains("part 2 of 3") && error.contains("ends in -00001-of-00003.gguf"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What is wrong with a tensor is said of the file that it lies in.
    #[test]
    fn errors_name_the_part() {
        let folder = folder("errors", &[(0, 2, "a"), (1, 2, "b")]);
        let mut file = Gguf::open(folder.join("m-00001-of-00002.gguf")).unwrap();
        let b = file.tensor("b").unwrap().clone();
        let second = std::fs::File::options().write(true).open(folder.join("m-00002-of-00002.gguf")).unwrap();
        second.set_len(b.start + 4).unwrap();
        let errors = [
            file.read(&b, &mut [0f32; 3]),
            file.read(&b, &mut [0f32; 2]),
            file.read_part(&b, 2, &mut [0f64]),
            file.read_bytes(&b, 0..9).map(drop),
            file.read_bytes(&b, 0..8).map(drop),
            file.bytes_at(&b, 4, &mut [0; 4]),
        ];
        for error in errors {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("m-00002-of-00002.gguf"), "{error}");
        }
        let a = file.tensor("a").unwrap().clone();
        let error = file.read(&a, &mut [0f32; 3]).unwrap_err().to_string();
        assert!(error.contains("m-00001-of-00002.gguf"), "{error}");
        // What is damaged or of a kind that is not read is found when the files are opened.
        second.set_len(40).unwrap();
        let error = Gguf::open(folder.join("m-00001-of-00002.gguf")).unwrap_err().to_string();
        assert!(error.contains("m-00002-of-00002.gguf") && error.contains("cut off"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_that_do_not_belong_together() {
        for (name, parts, problem) in [
            ("order", [(0, 2, "a"), (0, 2, "b")], "should be part 2 of 2 of a model, and is part 1 of 2"),
            ("whole", [(0, 2, "a"), (0, 1, "b")], "and is a whole model"),
            ("twice", [(0, 2, "a"), (1, 2, "a")], "m-00002-of-00002.gguf: a is in m-00001-of-00002.gguf, too"),
        ] {
            let folder = folder(name, &parts);
            let error = Gguf::open(folder.join("m-00001-of-00002.gguf")).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            std::fs::remove_dir_all(folder).unwrap();
        }
        // Of more parts than any model has, the first that is not there is told, and nothing is taken for them.
        let folder = folder("many", &[(0, 65_535, "a")]);
        std::fs::rename(folder.join("m-00001-of-00001.gguf"), folder.join("m-00001-of-65535.gguf")).unwrap();
        let error = Gguf::open(folder.join("m-00001-of-65535.gguf")).unwrap_err().to_string();
        assert!(error.contains("m-00002-of-65535.gguf"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
