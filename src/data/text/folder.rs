//! Texts in folders that are named after their classes.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::pieces::{At, MAX_BYTES, Place, check_limit, without_end};
use super::texts::{Store, TextSample, Texts};
use crate::data::names::twins;
use crate::error::{Error, Result};
use crate::io::{kind, open_file};

/// Reads the texts of a folder whose sub-folders are the classes: `reviews/neg/1.txt`, `reviews/pos/7.txt` …
///
/// A file is a text; classes are numbered in the alphabetical order of the folders' names, and files come in that of their paths; folders inside
/// a class belong to it. Files that end in `.txt`, or have no ending, are texts, see [`endings`](Self::endings). What else stands there is
/// passed over, and so are files beside the folders of the classes, and names that begin with a dot. A byte-order mark and the last line end
/// are no text, and a line end of Windows is a line feed.
///
/// [`open`](Self::open) reads every file once and keeps their paths.
///
/// Keras: `text_dataset_from_directory`.
///
/// ```
/// use gradus::prelude::*;
/// let folder = std::env::temp_dir().join(format!("gradus_doc_folder_{}", std::process::id()));
/// for (class, text) in [("neg", "so dull"), ("pos", "so fine")] {
///     std::fs::create_dir_all(folder.join(class)).unwrap();
///     std::fs::write(folder.join(class).join("0.txt"), text).unwrap();
/// }
/// let reviews = TextFolder::default().open(&folder)?;
/// assert_eq!(reviews.class_names(), ["neg", "pos"]);
/// assert_eq!((reviews.get(1)?.texts[0].as_str(), reviews.get(1)?.label), ("so fine", Some(1.0)));
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFolder {
    class_names: Option<Vec<String>>,
    endings: Vec<String>,
    allow_empty: bool,
    max_bytes: usize,
}

impl Default for TextFolder {
    fn default() -> Self {
        let endings = vec!["txt".to_owned(), String::new()];
        TextFolder { class_names: None, endings, allow_empty: false, max_bytes: MAX_BYTES }
    }
}

impl TextFolder {
    /// The folders that are classes, numbered in this order; all by default. Others are passed over, such as IMDB's `unsup`.
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The endings of the files that are texts, without the dot and in any case; an empty one stands for files that have none. `["txt", ""]`
    /// by default.
    pub fn endings<S: Into<String>>(mut self, endings: impl IntoIterator<Item = S>) -> Self {
        let lower = |ending: S| ending.into().trim_start_matches('.').to_lowercase();
        self.endings = endings.into_iter().map(lower).collect();
        self
    }

    /// Whether a file may be empty, or white space alone; no by default, it is an error.
    pub fn allow_empty(mut self, allow: bool) -> Self {
        self.allow_empty = allow;
        self
    }

    /// The most bytes of a file; 2²⁴ (16 MiB) by default. That much memory may be taken by each reader.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder or a file cannot be read; [`Error::File`] if there are no classes, a class has no texts or is not there,
    /// or two are called alike but for white space; [`Error::Data`] for a file that is empty, too long, not UTF-8, or of another kind;
    /// [`Error::Argument`] for class names that repeat, an empty list of them, and an impossible `max_bytes`.
    pub fn open(&self, folder: impl AsRef<Path>) -> Result<Texts> {
        let folder = folder.as_ref();
        check_limit("TextFolder", self.max_bytes)?;
        let classes = self.classes(folder)?;
        if let Some((a, b)) = twins(&classes) {
            let problem = format!("the classes {a:?} and {b:?} differ in white space alone");
            return Err(Error::file(folder, problem, "rename one of the folders, or put their texts together"));
        }
        let mut files = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            let (path, before) = (folder.join(name), files.len());
            self.files(&path, class, 0, &mut files)?;
            if files.len() == before {
                let endings: Vec<_> = self.endings.iter().map(|ending| format!("{ending:?}")).collect();
                let hint = format!(
                    "add some, or set .endings(...) (now {}) or .class_names(...) without this one",
                    endings.join(", ")
                );
                return Err(Error::file(&path, "a class without texts", hint));
            }
        }
        let found = Folder { files, classes, settings: self.clone() };
        let mut sample = TextSample::default();
        (0..found.files.len()).try_for_each(|position| found.read(position, &mut sample))?;
        Ok(Texts::of(found, 1, Some(())))
    }

    /// The names of the classes' folders.
    fn classes(&self, folder: &Path) -> Result<Vec<String>> {
        if let Some(names) = &self.class_names {
            if names.is_empty() {
                let hint = "name the classes, or leave it out to take every folder";
                return Err(Error::argument("TextFolder", "class_names", "at least one", "none", hint));
            }
            for (i, name) in names.iter().enumerate() {
                if names[..i].contains(name) {
                    let got = format!("{name:?} twice");
                    let hint = "name every class once";
                    return Err(Error::argument("TextFolder", "class_names", "different", got, hint));
                }
                let inside = Path::new(name).components().eq([std::path::Component::Normal(name.as_ref())]);
                if !inside || !folder.join(name).is_dir() {
                    let hint = "name folders that there are, or leave .class_names(...) out";
                    return Err(Error::file(folder, format!("there is no folder {name:?}"), hint));
                }
            }
            return Ok(names.clone());
        }
        let mut names = Vec::new();
        for path in entries(folder)?.iter().filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default();
            let Some(name) = name.to_str() else {
                return Err(Error::file(path, "the name of a class is not UTF-8", "rename the folder"));
            };
            names.push(name.to_owned());
        }
        if names.is_empty() {
            let hint = "put the texts of each class into a folder of its own, named after the class";
            return Err(Error::file(folder, "a folder without classes", hint));
        }
        Ok(names)
    }

    /// The texts of a class, in folders inside it too.
    fn files(&self, folder: &Path, class: usize, depth: usize, found: &mut Vec<(PathBuf, usize)>) -> Result<()> {
        const MAX_DEPTH: usize = 16;
        if depth > MAX_DEPTH {
            let hint = "texts stand up to 16 folders deep; a link may lead back";
            return Err(Error::file(folder, "folders inside one another without end", hint));
        }
        for path in entries(folder)? {
            let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            if path.is_dir() {
                self.files(&path, class, depth + 1, found)?;
            } else if self.endings.contains(&ending) {
                found.push((path, class));
            }
        }
        Ok(())
    }
}

/// What stands in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { file: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

/// Files and their classes.
struct Folder {
    files: Vec<(PathBuf, usize)>,
    classes: Vec<String>,
    settings: TextFolder,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

impl Store for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn read(&self, position: usize, sample: &mut TextSample) -> Result<()> {
        let (path, class) = &self.files[position];
        let (file, _) = open_file(path)?;
        let limit = self.settings.max_bytes;
        let mut bytes = Vec::new();
        let read = file.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| Error::Io { file: path.clone(), source })?;
        let whole = At { file: path, place: Place { byte: 0, line: 0 } };
        if let Some((problem, hint)) = kind::no_text(&bytes) {
            return Err(whole.error(None, problem, hint));
        }
        if bytes.len() > limit {
            let hint = "set .max_bytes(...) to more if it is meant, or take the file out";
            return Err(whole.error(None, format!("the text is longer than {limit} bytes"), hint));
        }
        let marked = bytes.starts_with(b"\xEF\xBB\xBF");
        let at = At { file: path, place: Place { byte: if marked { 3 } else { 0 }, line: 1 } };
        let text = at.utf8(without_end(if marked { &bytes[3..] } else { &bytes }))?;
        if !self.settings.allow_empty && text.trim().is_empty() {
            let hint = "take the file out, or set .allow_empty(true)";
            return Err(whole.error(None, "there is no text in the file", hint));
        }
        sample.texts.resize_with(1, String::new);
        sample.texts[0].clear();
        for (i, line) in text.split("\r\n").enumerate() {
            sample.texts[0].push_str(if i > 0 { "\n" } else { "" });
            sample.texts[0].push_str(line);
        }
        sample.label = Some(*class as f64);
        Ok(())
    }
}
