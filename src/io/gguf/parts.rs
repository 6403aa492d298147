//! A model in several files.

use std::path::{Path, PathBuf};

use super::file::Gguf;
use crate::error::{Error, Result};

/// What a file says of the whole that it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PartOf {
    number: u64,
    count: u64,
}

impl PartOf {
    /// By the file's metadata; none where it is whole.
    fn new(file: &Gguf<'_>) -> Option<Self> {
        let number = |key| file.get(key).and_then(super::GgufValue::as_u64);
        let count = number("split.count").filter(|count| *count > 1)?;
        Some(PartOf { number: number("split.no").unwrap_or(0), count })
    }
}

/// The other files of which this is the first, in their order; none for a whole one.
///
/// # Errors
/// [`Error::File`] for another part than the first, a name that is not a part's, and parts that do not belong together; [`Error::Io`] for one that is missing.
pub(super) fn others(first: &Gguf<'_>) -> Result<Vec<Gguf<'static>>> {
    let Some(part) = PartOf::new(first) else { return Ok(Vec::new()) };
    let PartOf { number, count } = part;
    if number != 0 {
        let problem = format!("it is part {} of {count} of a model in several files", number.saturating_add(1));
        return Err(Error::file(
            first.path(),
            problem,
            format!("open the first, whose name ends in {}", ending(1, count)),
        ));
    }
    let Some(base) = base(first.path(), count) else {
        let problem = format!("it is the first of {count} files, and its name does not say how the others are called");
        let hint = format!("give it the name it had, which ends in {}, beside the others", ending(1, count));
        return Err(Error::file(first.path(), problem, hint));
    };
    let mut parts = Vec::new();
    for number in 1..count {
        let path = base.parent().unwrap_or(Path::new("")).join(format!(
            "{}{}",
            base.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            ending(number + 1, count)
        ));
        let file = Gguf::open_alone(&path)?;
        let (expected, found) = (PartOf { number, count }, PartOf::new(&file));
        if found != Some(expected) {
            let found = found.map_or("a whole model".to_owned(), |part| {
                format!("part {} of {}", part.number.saturating_add(1), part.count)
            });
            let problem = format!("it should be part {} of {count} of a model, and is {found}", number + 1);
            return Err(Error::file(&path, problem, "fetch all files of the model again"));
        }
        parts.push(file);
    }
    let tensors = parts.iter().map(|part| part.tensors().len()).sum::<usize>() + first.tensors().len();
    let expected = first.get("split.tensors.count").and_then(super::GgufValue::as_u64);
    if let Some(expected) = expected.filter(|expected| *expected != tensors as u64) {
        let problem = format!("its {count} files have {tensors} tensors together, and should have {expected}");
        return Err(Error::file(first.path(), problem, "fetch all files of the model again"));
    }
    let mut names: Vec<&str> = parts.iter().chain([first]).flat_map(|p| p.tensors()).map(|t| t.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let problem = format!("{} is in two of its {count} files", twice[0]);
        return Err(Error::file(first.path(), problem, "fetch all files of the model again"));
    }
    Ok(parts)
}

/// How the name of a part ends.
fn ending(number: u64, count: u64) -> String {
    format!("-{number:05}-of-{count:05}.gguf")
}

/// The path of a first part up to its ending.
fn base(path: &Path, count: u64) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(ending(1, count).as_str())?;
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::super::{GgufKind, GgufWriter};
    use super::*;

    /// Writes parts of a model, of these numbers and counts, each with a tensor; the folder.
    fn folder(name: &str, parts: &[(u16, u16, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gradus-gguf-parts-of-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (at, (number, count, tensor)) in parts.iter().enumerate() {
            let path = folder.join(format!("m{}", ending(at as u64 + 1, parts.len() as u64)));
            let writer = GgufWriter::new().metadata("split.no", *number).metadata("split.count", *count);
            let writer = writer.metadata("split.tensors.count", i32::try_from(parts.len()).unwrap());
            writer.tensor(*tensor, [1, 2], GgufKind::F32, &[f32::from(*number), 1.0]).write(&path).unwrap();
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
        let error = Gguf::open(folder.join("m-00002-of-00003.gguf")).unwrap_err().to_string();
        assert!(error.contains("part 2 of 3") && error.contains("-00001-of-00003.gguf"), "{error}");
        std::fs::remove_file(folder.join("m-00003-of-00003.gguf")).unwrap();
        let error = Gguf::open(folder.join("m-00001-of-00003.gguf")).unwrap_err().to_string();
        assert!(error.contains("m-00003-of-00003.gguf"), "{error}");
        std::fs::rename(folder.join("m-00001-of-00003.gguf"), folder.join("m.gguf")).unwrap();
        let error = Gguf::open(folder.join("m.gguf")).unwrap_err().to_string();
        assert!(error.contains("the first of 3 files"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_that_do_not_belong_together() {
        for (name, parts, problem) in [
            ("order", [(0, 2, "a"), (0, 2, "b")], "should be part 2 of 2 of a model, and is part 1 of 2"),
            ("whole", [(0, 2, "a"), (0, 1, "b")], "and is a whole model"),
            ("twice", [(0, 2, "a"), (1, 2, "a")], "a is in two of its 2 files"),
        ] {
            let folder = folder(name, &parts);
            let error = Gguf::open(folder.join("m-00001-of-00002.gguf")).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            std::fs::remove_dir_all(folder).unwrap();
        }
        // Of more parts than any model has, the first that is not there is told, and nothing is taken for them.
        let folder = folder("many", &[(0, u16::MAX, "a")]);
        std::fs::rename(folder.join("m-00001-of-00001.gguf"), folder.join("m-00001-of-65535.gguf")).unwrap();
        let error = Gguf::open(folder.join("m-00001-of-65535.gguf")).unwrap_err().to_string();
        assert!(error.contains("m-00002-of-65535.gguf"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
