//! Token ids in files, which may be larger than memory.

use std::fmt;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::documents::Documents;
use crate::data::range::check_range;
use crate::error::{Error, Result};
use crate::io::atomic::Replacement;
use crate::io::{Positional, kind, open_file};
use crate::memory;

/// Documents of token ids in a file, read when they are asked for: a file may be larger than memory, of which each document takes eight bytes.
///
/// - [`open`](Self::open) reads what a [`TokenFileWriter`] has written.
/// - [`raw_u16`](Self::raw_u16) and [`raw_u32`](Self::raw_u32) read ids without a header, as nanoGPT's `train.bin`: one document, or
///   many with [`split_at`](Self::split_at).
///
/// [`Packing`](super::Packing) makes rows of it, for any number of threads at the same time. The file stays open: one that takes its place
/// later does not mix with it. One that is cut short while it is open is an error of the document that is missing.
///
/// ```
/// use gradus::prelude::*;
/// # let path = std::env::temp_dir().join(format!("gradus_doc_tokens_{}", std::process::id()));
/// let mut file = TokenFileWriter::create(&path, 50257)?;
/// for document in [[5, 6, 7].as_slice(), &[8, 9], &[50256, 4, 4, 4]] {
///     file.push(document)?;
/// }
/// file.finish()?;
///
/// let ids = TokenFile::open(&path)?;
/// assert_eq!((ids.documents(), ids.total(), ids.vocabulary()), (3, 9, Some(50257)));
/// let rows = Packing::new(4).build(ids)?;
/// let mut batch: Batch = Batch::default();
/// rows.shuffle(1).batch(2).prefetch(2)?.load(0, 0, &mut batch)?;
/// assert_eq!(batch.x.dims(), [2, 4]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), Error>(())
/// ```
pub struct TokenFile {
    file: Positional,
    path: PathBuf,
    /// Bytes an id: 2 or 4.
    width: u64,
    /// The byte at which ids begin.
    start: u64,
    vocabulary: Option<u64>,
    /// Where each document ends, in ids.
    ends: Vec<u64>,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({}: {} documents, {} ids)", self.path.display(), self.ends.len(), self.count())
    }
}

/// How our files begin.
const MAGIC: &[u8; 8] = b"gradusTF";
const VERSION: u32 = 1;
/// Bytes of a header, then come the ids, then where documents end, eight bytes each; all little-endian.
const HEADER: usize = 64;
/// Bytes that are read at once.
const AT_ONCE: usize = 1 << 13;
const DAMAGED: &str = "the file is damaged or still being copied: write it again with TokenFileWriter";

/// What a header says, in its order: magic, version (4), bytes an id (4), vocabulary (8), documents (8), ids (8), CRC-32 of the ends (4),
/// zeros, CRC-32 of all before (4).
struct Header {
    width: u64,
    vocabulary: u64,
    documents: u64,
    ids: u64,
    ends_sum: u32,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.width as u32).to_le_bytes());
        for (i, number) in [self.vocabulary, self.documents, self.ids].into_iter().enumerate() {
            bytes[16 + 8 * i..24 + 8 * i].copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&self.ends_sum.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header of a file of `len` bytes, or what is wrong with it and what to do.
    fn read(bytes: &[u8; HEADER], len: u64) -> Result<Self, (String, String)> {
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let damaged = |problem: String| Err((problem, DAMAGED.to_owned()));
        if short(8) != VERSION {
            let hint = "read it with the version of gradus that wrote it, or write it again";
            return Err((format!("a token file of format {}, not {VERSION}", short(8)), hint.to_owned()));
        }
        if short(HEADER - 4) != crc32fast::hash(&bytes[..HEADER - 4]) {
            return damaged("the header's checksum does not fit it".to_owned());
        }
        let width = u64::from(short(12));
        let header = Header { width, vocabulary: long(16), documents: long(24), ids: long(32), ends_sum: short(40) };
        if !matches!(width, 2 | 4) || !(1..=1 << (8 * width)).contains(&header.vocabulary) {
            return damaged(format!("a vocabulary of {} ids of {width} bytes", header.vocabulary));
        }
        let ends = header.documents.checked_mul(8);
        let all = header.ids.checked_mul(width).zip(ends).and_then(|(ids, ends)| ids.checked_add(ends));
        let expected = all.and_then(|all| all.checked_add(HEADER as u64));
        if expected != Some(len) || header.documents == 0 {
            let Header { documents, ids, .. } = header;
            return damaged(format!("{len} bytes, where the header promises {ids} ids in {documents} documents"));
        }
        Ok(header)
    }
}

impl TokenFile {
    /// Opens a file that a [`TokenFileWriter`] has written.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::File`] if it is another kind of file, damaged, or shorter or longer than its header
    /// says; [`Error::Memory`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, len) = open_file(path)?;
        let file = Positional::new(file);
        let failed = |source| Error::Io { file: path.to_owned(), source };
        let mut bytes = [0; HEADER];
        let there = len.min(HEADER as u64) as usize;
        file.read(&mut bytes[..there], 0).map_err(failed)?;
        if there < HEADER || !bytes.starts_with(MAGIC) {
            let other = kind::other_than("a token file", &bytes[..there]).unwrap_or_else(|| {
                let hint = "write one with TokenFileWriter; ids without a header are opened with TokenFile::raw_u16 or raw_u32";
                (format!("{len} bytes that do not begin as a token file does"), hint.to_owned())
            });
            return Err(Error::file(path, other.0, other.1));
        }
        let header = Header::read(&bytes, len).map_err(|(problem, hint)| Error::file(path, problem, hint))?;
        let mut ends = Vec::new();
        let what = format_args!("where {} documents end", header.documents);
        memory::reserve("TokenFile", what, &mut ends, usize::try_from(header.documents).unwrap_or(usize::MAX))?;
        let mut sum = crc32fast::Hasher::new();
        let mut at = len - 8 * header.documents;
        let mut bytes = [0; AT_ONCE];
        while at < len {
            let part = &mut bytes[..(len - at).min(AT_ONCE as u64) as usize];
            file.read(part, at).map_err(failed)?;
            sum.update(part);
            ends.extend(part.as_chunks().0.iter().map(|end| u64::from_le_bytes(*end)));
            at += part.len() as u64;
        }
        let ascend = ends.is_sorted() && ends.last() == Some(&header.ids);
        if sum.finalize() != header.ends_sum || !ascend {
            return Err(Error::file(path, "the list of where documents end is damaged", DAMAGED));
        }
        let (start, vocabulary) = (HEADER as u64, Some(header.vocabulary));
        Ok(TokenFile { file, path: path.to_owned(), width: header.width, start, vocabulary, ends })
    }

    /// Ids of 16 bits each, little-endian, and nothing else: one document.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it has an odd number of bytes, none, or begins as a file with a header
    /// does: a NumPy array, a shard of llm.c, or one for [`open`](Self::open).
    pub fn raw_u16(path: impl AsRef<Path>) -> Result<Self> {
        Self::raw(path.as_ref(), 2)
    }

    /// Ids of 32 bits each, little-endian, and nothing else: one document.
    ///
    /// # Errors
    /// As [`raw_u16`](Self::raw_u16), where the number of bytes is to be a multiple of four.
    pub fn raw_u32(path: impl AsRef<Path>) -> Result<Self> {
        Self::raw(path.as_ref(), 4)
    }

    fn raw(path: &Path, width: u64) -> Result<Self> {
        let (file, len) = open_file(path)?;
        let file = Positional::new(file);
        let mut start = [0; 8];
        let there = len.min(8) as usize;
        file.read(&mut start[..there], 0).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        let other = match &start {
            MAGIC => Some(("a token file with a header, not raw ids", "open it with TokenFile::open")),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                Some(("a NumPy array, not raw ids", "in Python: numpy.load(…).astype(\"<u2\").tofile(\"train.bin\")"))
            }
            // 20240520 and format 1 for GPT-2's ids, 20240801 and 7 for those of Llama 3.
            [0x88, 0xD8, 0x34, 0x01, 1, 0, 0, 0] | [0xA1, 0xD9, 0x34, 0x01, 7, 0, 0, 0] => {
                Some(("a shard of llm.c, not raw ids", "cut off its header of 1024 bytes: tail -c +1025 shard.bin"))
            }
            _ => None,
        };
        if let Some((what, hint)) = other {
            return Err(Error::file(path, format!("the file is {what}"), hint));
        }
        if len == 0 || !len.is_multiple_of(width) {
            let hint = "check whether ids have 16 or 32 bits (raw_u16, raw_u32), and whether the file is whole";
            return Err(Error::file(path, format!("{len} bytes, where each id has {width}"), hint));
        }
        Ok(TokenFile { file, path: path.to_owned(), width, start: 0, vocabulary: None, ends: vec![len / width] })
    }

    /// The one document cut into as many as there are, behind each `end` of a document, which stays its last id; what stands behind the
    /// last one is a document too. Reads the file once.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # let path = std::env::temp_dir().join(format!("gradus_doc_raw_{}", std::process::id()));
    /// # std::fs::write(&path, [5u16, 6, 0, 7, 8, 9, 0, 4].map(u16::to_le_bytes).concat()).unwrap();
    /// // 5 6 0 7 8 9 0 4, each in 16 bits.
    /// let ids = TokenFile::raw_u16(&path)?.split_at(0)?;
    /// assert_eq!((ids.documents(), ids.length(1)?), (3, 4));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a file of several documents, and an id that the file's numbers cannot be; [`Error::Io`];
    /// [`Error::Memory`].
    pub fn split_at(mut self, end: usize) -> Result<Self> {
        if self.ends.len() > 1 {
            let hint = "leave split_at out: the file says where documents end";
            return Err(Error::argument("TokenFile", "documents", "one, to be cut", self.ends.len(), hint));
        }
        let bits = 8 * self.width;
        if end as u64 >= 1 << bits {
            let hint = "pass the id that ends a document, such as 50256 of GPT-2";
            return Err(Error::argument("TokenFile", "end", format!("below 2^{bits}"), end, hint));
        }
        let (mut ends, mut at) = (Vec::new(), 0);
        let all = self.count();
        self.read(0..all, |id| {
            at += 1;
            if id == end || at == all {
                if ends.len() == ends.capacity() {
                    let more = ends.len().max(1 << 10);
                    memory::reserve("TokenFile", "where documents end", &mut ends, more)?;
                }
                ends.push(at);
            }
            Ok(())
        })?;
        self.ends = ends;
        Ok(self)
    }

    /// How many ids all documents have together.
    pub fn total(&self) -> usize {
        usize::try_from(self.count()).unwrap_or(usize::MAX)
    }

    /// How many ids the vocabulary has, where the file says so: all ids are below.
    pub fn vocabulary(&self) -> Option<usize> {
        self.vocabulary.map(|ids| usize::try_from(ids).unwrap_or(usize::MAX))
    }

    fn count(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The ids of a document, counted through the file.
    fn document(&self, document: usize) -> Result<Range<u64>> {
        check_range("TokenFile", document, 1, Some(self.ends.len()))?;
        Ok(document.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[document])
    }

    /// Calls `f` with each of these ids.
    fn read(&self, ids: Range<u64>, mut f: impl FnMut(usize) -> Result<()>) -> Result<()> {
        let mut bytes = [0; AT_ONCE];
        let mut at = ids.start;
        while at < ids.end {
            let n = (ids.end - at).min(AT_ONCE as u64 / self.width);
            let part = &mut bytes[..(n * self.width) as usize];
            self.file.read(part, self.start + at * self.width).map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    let problem = format!("the file has changed: there are no ids {at} to {} any more", at + n - 1);
                    Error::file(&self.path, problem, "open it again")
                }
                _ => Error::Io { file: self.path.clone(), source },
            })?;
            match self.width {
                2 => part.as_chunks().0.iter().try_for_each(|id| f(u16::from_le_bytes(*id).into())),
                _ => part.as_chunks().0.iter().try_for_each(|id| f(u32::from_le_bytes(*id) as usize)),
            }?;
            at += n;
        }
        Ok(())
    }
}

impl Documents for TokenFile {
    fn documents(&self) -> usize {
        self.ends.len()
    }

    fn length(&self, document: usize) -> Result<usize> {
        let ids = self.document(document)?;
        Ok(usize::try_from(ids.end - ids.start).unwrap_or(usize::MAX))
    }

    fn ids(&self, document: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
        let all = self.document(document)?;
        let first = all.start.saturating_add(first as u64).min(all.end);
        let end = first.saturating_add(n as u64).min(all.end);
        let more = usize::try_from(end - first).unwrap_or(usize::MAX);
        if more > memory::SMALL {
            memory::reserve("TokenFile", format_args!("{more} token ids"), ids, more)?;
        }
        let vocabulary = self.vocabulary().unwrap_or(usize::MAX);
        self.read(first..end, |id| {
            if id >= vocabulary {
                let problem = format!("document {document} has the token id {id} in a vocabulary of {vocabulary}");
                return Err(Error::file(&self.path, problem, DAMAGED));
            }
            ids.push(id);
            Ok(())
        })
    }
}

/// Writes documents of token ids into a file for [`TokenFile::open`], one after another.
///
/// An id takes two bytes where the vocabulary has at most 65,536, else four. Memory is taken for where documents end, eight bytes each. The
/// file stands at its path when [`finish`](Self::finish) has returned, and never half of it: until then a temporary file beside it grows, which
/// is removed if the writer is dropped.
///
/// ```
/// use gradus::prelude::*;
/// # let path = std::env::temp_dir().join(format!("gradus_doc_writer_{}", std::process::id()));
/// let texts = Texts::new(["to be", "or not"])?;
/// let mut file = TokenFileWriter::create(&path, 256)?;
/// file.push_all(&texts.encode(|text| Ok(text.bytes().collect::<Vec<u8>>())))?;
/// file.finish()?;
/// assert_eq!(TokenFile::open(&path)?.total(), 11);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TokenFileWriter {
    path: PathBuf,
    file: Replacement,
    vocabulary: usize,
    width: u64,
    ends: Vec<u64>,
    /// Bytes that are not in the file yet.
    waiting: Vec<u8>,
    /// Whether writing has failed, so that the file has a gap.
    failed: bool,
}

/// Bytes that are written at once.
const WAITING: usize = 1 << 16;

impl TokenFileWriter {
    /// Begins a file for ids below `vocabulary`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a vocabulary of 0 or more than 2³² ids; [`Error::Write`] if there can be no file.
    pub fn create(path: impl AsRef<Path>, vocabulary: usize) -> Result<Self> {
        if vocabulary == 0 || vocabulary as u64 > 1 << 32 {
            let hint = "pass how many ids the tokenizer has";
            return Err(Error::argument("TokenFileWriter", "vocabulary", "from 1 to 2³²", vocabulary, hint));
        }
        let path = path.as_ref().to_owned();
        let file = Replacement::begin(&path)?;
        let width = if vocabulary <= 1 << 16 { 2 } else { 4 };
        // Room for the header, which is known at the end.
        let waiting = vec![0; HEADER];
        Ok(TokenFileWriter { path, file, vocabulary, width, ends: Vec::new(), waiting, failed: false })
    }

    /// One more document.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that the vocabulary does not have: nothing of the document is written then; [`Error::Write`], after which
    /// the file cannot be finished; [`Error::Memory`].
    pub fn push(&mut self, ids: &[usize]) -> Result<()> {
        if let Some((place, id)) = ids.iter().enumerate().find(|(_, id)| **id >= self.vocabulary) {
            let got = format!("{id} at place {place} of document {}", self.ends.len());
            let expected = format!("below {}, the size of the vocabulary", self.vocabulary);
            let hint = "pass the tokenizer's number of ids to create, with its added tokens";
            return Err(Error::argument("TokenFileWriter", "token id", expected, got, hint));
        }
        if self.ends.len() == self.ends.capacity() {
            let more = self.ends.len().max(1 << 10);
            memory::reserve("TokenFileWriter", "where documents end", &mut self.ends, more)?;
        }
        for part in ids.chunks(WAITING) {
            match self.width {
                2 => part.iter().for_each(|&id| self.waiting.extend((id as u16).to_le_bytes())),
                _ => part.iter().for_each(|&id| self.waiting.extend((id as u32).to_le_bytes())),
            }
            if self.waiting.len() >= WAITING {
                self.write()?;
            }
        }
        self.ends.push(self.ends.last().copied().unwrap_or(0) + ids.len() as u64);
        Ok(())
    }

    /// All documents of another kind, each in memory by itself: every text of a source that is encoded.
    ///
    /// # Errors
    /// Those of the documents; as [`push`](Self::push).
    pub fn push_all(&mut self, documents: &(impl Documents + ?Sized)) -> Result<()> {
        let mut ids = Vec::new();
        (0..documents.documents()).try_for_each(|document| {
            ids.clear();
            documents.ids(document, 0, usize::MAX, &mut ids)?;
            self.push(&ids)
        })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`Error::Empty`] without a document; [`Error::Write`]. What stood there before is whole then.
    pub fn finish(mut self) -> Result<()> {
        if self.ends.is_empty() {
            return Err(Error::Empty { op: "TokenFileWriter", what: "the file" });
        }
        self.write()?;
        let ends = std::mem::take(&mut self.ends);
        let mut sum = crc32fast::Hasher::new();
        for part in ends.chunks(WAITING / 8) {
            part.iter().for_each(|end| self.waiting.extend(end.to_le_bytes()));
            sum.update(&self.waiting);
            self.write()?;
        }
        let header = Header {
            width: self.width,
            vocabulary: self.vocabulary as u64,
            documents: ends.len() as u64,
            ids: ends.last().copied().unwrap_or(0),
            ends_sum: sum.finalize(),
        };
        let file = &mut self.file.file;
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header.bytes()));
        written.map_err(|source| Error::Write { file: self.path, source })?;
        self.file.finish()
    }

    /// Writes what waits.
    fn write(&mut self) -> Result<()> {
        let gap = || std::io::Error::other("an earlier part could not be written");
        let written = if self.failed { Err(gap()) } else { self.file.file.write_all(&self.waiting) };
        self.waiting.clear();
        self.failed = written.is_err();
        written.map_err(|source| Error::Write { file: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenIds;
    use super::*;
    use std::fs;

    /// A path of its own, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            Place(std::env::temp_dir().join(format!("gradus_token_file_{name}_{}", std::process::id())))
        }

        fn write(&self, bytes: &[u8]) {
            fs::write(&self.0, bytes).unwrap();
        }

        /// The message without the path.
        fn message(&self, result: Result<TokenFile>) -> String {
            let text = result.unwrap_err().to_string();
            text.strip_prefix(&format!("{}: ", self.0.display())).unwrap_or(&text).to_owned()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Documents of many lengths, with ids up to the last of the vocabulary; one is longer than what is read at once.
    fn documents(vocabulary: usize) -> TokenIds {
        let mut ids = TokenIds::new();
        for document in 0..31usize {
            let n = if document == 7 { 3 * AT_ONCE + 1 } else { document * 37 % 41 * usize::from(document % 9 != 0) };
            ids.push(&(0..n).map(|i| vocabulary - 1 - (document * 50 + i) % vocabulary.min(1000)).collect::<Vec<_>>())
                .unwrap();
        }
        ids
    }

    fn write(place: &Place, ids: &TokenIds, vocabulary: usize) {
        let mut file = TokenFileWriter::create(&place.0, vocabulary).unwrap();
        file.push_all(ids).unwrap();
        file.finish().unwrap();
    }

    #[test]
    fn what_was_written_is_read() {
        let place = Place::new("round");
        for (vocabulary, width) in [(1, 2), (1 << 16, 2), ((1 << 16) + 1, 4), (1 << 32, 4)] {
            let ids = documents(vocabulary);
            write(&place, &ids, vocabulary);
            let file = TokenFile::open(&place.0).unwrap();
            let bytes = HEADER + width * ids.total() + 8 * ids.documents();
            assert_eq!(fs::metadata(&place.0).unwrap().len() as usize, bytes);
            assert_eq!((file.total(), file.vocabulary()), (ids.total(), Some(vocabulary)));
            assert_eq!(TokenIds::of(&file).unwrap(), ids);
            let (mut part, mut expected) = (vec![1], vec![1]);
            for (first, n) in
                [(0, 3), (AT_ONCE / 2 - 1, AT_ONCE + 3), (usize::MAX, usize::MAX), (3 * AT_ONCE, 9), (5, 0)]
            {
                file.ids(7, first, n, &mut part).unwrap();
                ids.ids(7, first, n, &mut expected).unwrap();
            }
            assert_eq!(part, expected);
            assert!(file.length(31).is_err() && file.ids(31, 0, 1, &mut part).is_err());
        }
    }

    #[test]
    fn a_file_that_is_not_finished_is_none() {
        let place = Place::new("unfinished");
        place.write(b"old");
        let mut file = TokenFileWriter::create(&place.0, 10).unwrap();
        file.push(&[1; 1 << 17]).unwrap();
        let error = file.push(&[1, 2, 10]).unwrap_err().to_string();
        assert!(error.contains("below 10, the size of the vocabulary, got 10 at place 2 of document 1"), "{error}");
        let temporary = |place: &Place| {
            let names = fs::read_dir(place.0.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
            names.filter(|path| path.metadata().is_ok_and(|m| m.len() == HEADER as u64 + (1 << 18))).count()
        };
        assert_eq!(temporary(&place), 1);
        drop(file);
        assert_eq!((temporary(&place), fs::read(&place.0).unwrap()), (0, b"old".to_vec()));
        let error = TokenFileWriter::create(&place.0, 10).unwrap().finish().unwrap_err().to_string();
        assert!(error.contains("has no samples"), "{error}");
        for vocabulary in [0, (1 << 32) + 1] {
            assert!(TokenFileWriter::create(&place.0, vocabulary).is_err());
        }
        assert!(TokenFileWriter::create("/no/such/folder/file", 10).is_err());
    }

    #[test]
    fn damaged_files_are_errors() {
        let place = Place::new("damaged");
        let mut ids = TokenIds::new();
        [[1, 2, 3].as_slice(), &[], &[4, 5]].iter().for_each(|document| ids.push(document).unwrap());
        write(&place, &ids, 6);
        let whole = fs::read(&place.0).unwrap();
        let tokens = HEADER..HEADER + 10;
        for len in 0..whole.len() {
            place.write(&whole[..len]);
            assert!(TokenFile::open(&place.0).is_err(), "{len}");
        }
        place.write(&[&whole[..], &[0]].concat());
        let expected = "99 bytes, where the header promises 5 ids in 3 documents; the file is damaged or still being copied: write it \
                        again with TokenFileWriter";
        assert_eq!(place.message(TokenFile::open(&place.0)), expected);
        for at in (0..whole.len()).filter(|at| !tokens.contains(at)) {
            for bit in [0, 7] {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                place.write(&bytes);
                assert!(TokenFile::open(&place.0).is_err(), "byte {at}");
            }
        }
        let mut bytes = whole.clone();
        bytes[HEADER + 4] = 6;
        place.write(&bytes);
        let file = TokenFile::open(&place.0).unwrap();
        let error = file.ids(0, 0, 9, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("document 0 has the token id 6 in a vocabulary of 6"), "{error}");
        // Checksums that fit what cannot be: no memory is taken for it.
        for (width, vocabulary, documents, ids, ends) in [
            (3, 6, 3, 5, [3, 3, 5]),
            (2, 0, 3, 5, [3, 3, 5]),
            (2, (1 << 16) + 1, 3, 5, [3, 3, 5]),
            (2, 6, 1 << 61, 5, [3, 3, 5]),
            (4, 6, 3, u64::MAX / 2, [3, 3, 5]),
            (2, 6, 0, 17, [3, 3, 5]),
            (2, 6, 3, 5, [3, 2, 5]),
            (2, 6, 3, 5, [3, 3, 4]),
            (2, 6, 3, 5, [6, 6, 6]),
        ] {
            let ends = ends.map(u64::to_le_bytes).concat();
            let header = Header { width, vocabulary, documents, ids, ends_sum: crc32fast::hash(&ends) };
            place.write(&[&header.bytes(), &whole[tokens.clone()], &ends].concat());
            assert!(TokenFile::open(&place.0).is_err(), "{width} {vocabulary} {documents} {ids}");
        }
    }

    #[test]
    fn other_files_are_named() {
        let place = Place::new("other");
        place.write(&[&b"\x93NUMPY"[..], &[0; 100]].concat());
        assert!(
            place.message(TokenFile::open(&place.0)).starts_with("the file is a NumPy array (.npy), not a token file")
        );
        assert!(
            place
                .message(TokenFile::raw_u16(&place.0))
                .starts_with("the file is a NumPy array, not raw ids; in Python")
        );
        place.write(&[20240520u32, 1, 100, 0].map(u32::to_le_bytes).concat());
        assert!(place.message(TokenFile::raw_u16(&place.0)).contains("a shard of llm.c"));
        assert!(place.message(TokenFile::open(&place.0)).contains("opened with TokenFile::raw_u16"));
        write(&place, &documents(9), 9);
        assert!(place.message(TokenFile::raw_u32(&place.0)).contains("open it with TokenFile::open"));
        for (bytes, odd) in [(&[][..], "0 bytes, where each id has 2"), (&[1, 2, 3], "3 bytes, where each id has 2")] {
            place.write(bytes);
            assert!(place.message(TokenFile::raw_u16(&place.0)).starts_with(odd));
        }
        place.write(&[1, 2, 3, 4, 5, 6]);
        assert!(place.message(TokenFile::raw_u32(&place.0)).starts_with("6 bytes, where each id has 4"));
        assert!(TokenFile::open(std::env::temp_dir()).is_err() && TokenFile::open("/no/such/file").is_err());
    }

    #[test]
    fn raw_ids_are_one_document_or_many() {
        let place = Place::new("raw");
        let ids = [5u16, 0, 0, 7, 65535, 8, 0, 4];
        place.write(&ids.map(u16::to_le_bytes).concat());
        let file = TokenFile::raw_u16(&place.0).unwrap();
        assert_eq!((file.documents(), file.length(0).unwrap(), file.vocabulary()), (1, 8, None));
        let cut = file.split_at(0).unwrap();
        let documents = TokenIds::of(&cut).unwrap();
        let expected: [&[u32]; 4] = [&[5, 0], &[0], &[7, 65535, 8, 0], &[4]];
        assert_eq!((documents.documents(), cut.total()), (4, 8));
        expected.iter().enumerate().for_each(|(i, ids)| assert_eq!(documents.document(i).unwrap(), *ids));
        let error = cut.split_at(0).unwrap_err().to_string();
        assert!(error.contains("documents must be one, to be cut, got 4"), "{error}");
        let error = TokenFile::raw_u16(&place.0).unwrap().split_at(1 << 16).unwrap_err().to_string();
        assert!(error.contains("end must be below 2^16, got 65536"), "{error}");
        // An end at the end begins no document behind it.
        assert_eq!(TokenFile::raw_u16(&place.0).unwrap().split_at(4).unwrap().documents(), 1);
        place.write(&[70000u32, 1].map(u32::to_le_bytes).concat());
        let documents = TokenIds::of(&TokenFile::raw_u32(&place.0).unwrap().split_at(70000).unwrap()).unwrap();
        assert_eq!((documents.document(0).unwrap(), documents.document(1).unwrap()), (&[70000][..], &[1][..]));
    }

    #[test]
    fn files_that_change_are_errors() {
        let place = Place::new("changing");
        write(&place, &documents(100), 100);
        let file = TokenFile::open(&place.0).unwrap();
        let whole = TokenIds::of(&file).unwrap();
        // Another file in its place is not this one.
        write(&place, &documents(50), 50);
        assert_eq!(TokenIds::of(&file).unwrap(), whole);
        let file = TokenFile::open(&place.0).unwrap();
        fs::OpenOptions::new().write(true).open(&place.0).unwrap().set_len(HEADER as u64 + 20).unwrap();
        let error = file.ids(7, 0, 30, &mut Vec::new()).unwrap_err().to_string();
        assert!(
            error.contains("the file has changed: there are no ids") && error.ends_with("open it again"),
            "{error}"
        );
    }
}
