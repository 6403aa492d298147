//! Files of word vectors.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::word_vectors::{WordVectors, is_word};
use crate::error::{Error, Result};
use crate::io::{kind, open_file};
use crate::text::Vocabulary;

/// How a file of word vectors is read: the text of GloVe, word2vec and fastText, or word2vec's binary format.
///
/// - A line of text is a word and its numbers, with spaces or tabs between them. A word may hold spaces, as some of GloVe's do: the numbers
///   are counted from the end of the line. A first line of two whole numbers is the header `words size`; then there must be as many lines.
///   Without one, the first line says how many numbers a vector has. Vectors of one number without a header need
///   [`header(false)`](Self::header).
/// - Of a word that comes again the first line counts. NaN, infinities, and what becomes one as `f32` are errors.
/// - Defaults: text, header as found, all words. The file is read in pieces; it takes the memory of the words that are kept.
///
/// ```
/// use gradus::text::{Vocabulary, WordVectorFile};
/// let text = "the 0.5 -1 2\n. . . 1 0 0.25\nthe 7 7 7\n";
/// let all = WordVectorFile::default().parse(text)?;
/// assert_eq!((all.len(), all.size(), all.duplicates()), (2, 3, 1));
/// assert_eq!(all.get(". . ."), Some(&[1.0, 0.0, 0.25][..]));
/// let vocabulary = Vocabulary::count(["the", "end"], 1, None)?;
/// assert_eq!(WordVectorFile::default().only(&vocabulary).parse(text)?.len(), 1);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Mikolov et al.: word2vec, 2013; Pennington, Socher, Manning: GloVe, 2014; Bojanowski et al.: fastText, 2017.
#[derive(Clone, Debug, Default)]
pub struct WordVectorFile {
    binary: bool,
    header: Option<bool>,
    size: Option<usize>,
    limit: Option<usize>,
    only: Option<HashSet<String>>,
}

/// The most numbers of a vector.
const MAX_SIZE: usize = 1 << 16;
/// The most bytes of a line, and of a word in a binary file.
const MAX_LINE: usize = 1 << 22;
const MAX_WORD: usize = 1 << 16;

const WANTED: &str = "a file of word vectors";
const NONE: &str = "there are no vectors";

impl WordVectorFile {
    /// Whether the file is in word2vec's binary format; no by default.
    pub fn binary(mut self, binary: bool) -> Self {
        self.binary = binary;
        self
    }

    /// Whether a text file begins with the line `words size`; by default what its first line looks like.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// How many numbers a vector has, in the place of what the file's beginning says, which another number contradicts.
    pub fn size(mut self, size: usize) -> Self {
        self.size = Some(size);
        self
    }

    /// Reads so many vectors at most, the first ones, which in most files are those of the most frequent words.
    pub fn limit(mut self, vectors: usize) -> Self {
        self.limit = Some(vectors);
        self
    }

    /// Keeps the words of a vocabulary alone. Numbers of other words are counted and not looked at.
    pub fn only(mut self, vocabulary: &Vocabulary) -> Self {
        self.only = Some((0..vocabulary.len()).filter_map(|id| Some(vocabulary.token(id).ok()?.to_owned())).collect());
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::File`] for what is no file on a disk; [`Error::Data`] with the line (in a binary file the
    /// number of the word) for too few or too many numbers, what is no finite number, a word that is none or not UTF-8, another number
    /// of lines than the header says, a file that ends within a vector, and one of another kind; [`Error::Memory`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<WordVectors> {
        let path = path.as_ref();
        let (file, _) = open_file(path)?;
        self.read_from(path, BufReader::with_capacity(1 << 16, file))
    }

    /// Reads text; errors call it "text".
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(&self, text: &str) -> Result<WordVectors> {
        self.read_from("text", text.as_bytes())
    }

    /// Reads from anything that can be read; errors call it `name`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, name: impl AsRef<Path>, mut source: impl BufRead) -> Result<WordVectors> {
        let from = From { file: name.as_ref(), source: &mut source };
        if self.binary { self.read_binary(from) } else { self.read_text(from) }
    }

    fn keeps(&self, word: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(word))
    }

    fn read_text(&self, mut from: From<'_>) -> Result<WordVectors> {
        from.check_kind()?;
        let (mut line, mut number) = (Vec::new(), 1);
        from.line(&mut line, number)?;
        if line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        let mut header = None;
        if self.header != Some(false) {
            header = header_of(&line);
            if header.is_none() && self.header == Some(true) {
                let hint = "leave out header(true), or pass a file that begins with `words size`";
                return Err(from.error(Some(1), "the first line is no header of two whole numbers".into(), hint));
            }
        }
        let size = match header {
            Some((_, size)) => size,
            None => match (self.size, numbers_of(&line)) {
                (Some(size), _) => size,
                (None, 0) if line.is_empty() => {
                    return Err(from.error(None, NONE.into(), "pass a file that has some"));
                }
                (None, 0) => {
                    let hint = "pass lines of a word and its numbers, or set binary(true) for word2vec's binary format";
                    return Err(from.error(Some(1), "no number stands at its end".into(), hint));
                }
                (None, numbers) => numbers,
            },
        };
        self.check_size(&from, size)?;
        if header.is_some() {
            number += 1;
            from.line(&mut line, number)?;
            if std::str::from_utf8(&line).is_err() {
                let hint = "set binary(true) if the file is in word2vec's binary format, else save it as UTF-8";
                return Err(from.error(Some(number), "the line behind the header is not UTF-8".into(), hint));
            }
        }
        let (mut words, mut vector, mut read) = (WordVectors::empty(size), Vec::with_capacity(size), 0);
        while !line.is_empty() && self.limit != Some(read) {
            let content = line.trim_ascii_end();
            if content.is_empty() && from.only_blank(&mut line, number)? {
                break;
            }
            self.add_line(&from, &line, number, &mut words, &mut vector)?;
            (read, number) = (read + 1, number + 1);
            from.line(&mut line, number)?;
        }
        if let Some((expected, _)) = header.filter(|(expected, _)| *expected != read && self.limit != Some(read)) {
            let problem = format!("the header says {expected} vectors, and there are {read}");
            return Err(from.error(None, problem, "get the whole file again, or correct its first line"));
        }
        match read {
            0 if self.limit != Some(0) => Err(from.error(None, NONE.into(), "pass a file that has some")),
            _ => Ok(words),
        }
    }

    fn check_size(&self, from: &From<'_>, size: usize) -> Result<()> {
        if size == 0 || size > MAX_SIZE {
            let problem = format!("vectors of 1 to {MAX_SIZE} numbers are expected, and the beginning says {size}");
            return Err(from.error(Some(1), problem, "pass lines of a word and its numbers, or word2vec's header"));
        }
        match self.size.filter(|&expected| expected != size) {
            None => Ok(()),
            Some(expected) => {
                let problem = format!("vectors of {expected} numbers are expected, and the header says {size}");
                Err(from.error(Some(1), problem, "correct size(…), or pass another file"))
            }
        }
    }

    /// Takes a line's word and numbers.
    fn add_line(
        &self,
        from: &From<'_>,
        line: &[u8],
        number: u64,
        words: &mut WordVectors,
        vector: &mut Vec<f32>,
    ) -> Result<()> {
        let size = words.size();
        // From the end, as the word may hold spaces.
        let (mut rest, mut found) = (line.trim_ascii_end(), 0);
        while found < size
            && let Some((before, _)) = last_field(rest)
        {
            (rest, found) = (before, found + 1);
        }
        let few = |found: usize| {
            let problem = format!("{size} numbers are expected after the word, and there are {found}");
            from.error(Some(number), problem, "the line was cut, or the file is damaged: get it again")
        };
        if found < size {
            return Err(few(found));
        }
        let word = std::str::from_utf8(rest).map_err(|_| {
            from.error(Some(number), "the word is not UTF-8".into(), "save the file as UTF-8, or correct the line")
        })?;
        if let Some((_, last)) = last_field(rest)
            && parse(last).is_some()
        {
            let problem = format!("{size} numbers are expected after the word, and there are {} or more", size + 1);
            return Err(from.error(Some(number), problem, "say with size(…) how many there are, or correct the line"));
        }
        if !is_word(word) {
            // Its place is taken by a number, or by white space.
            return Err(from.error(Some(number), "the line has no word before its numbers".into(), "correct the line"));
        }
        if !self.keeps(word) {
            return Ok(());
        }
        vector.clear();
        let numbers = &line.trim_ascii_end()[rest.len()..];
        let fields = numbers.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
        for (at, field) in fields.enumerate() {
            let Some(v) = parse(field).filter(|v| v.is_finite()) else {
                let shown: String = String::from_utf8_lossy(field).chars().take(40).collect();
                let problem = format!("number {} of {word:?} is {shown:?}, where a finite number is expected", at + 1);
                return Err(from.error(Some(number), problem, "correct or remove the line"));
            };
            vector.push(v);
        }
        if vector.len() != size {
            return Err(few(vector.len()));
        }
        words.push(word.to_owned(), vector)
    }

    fn read_binary(&self, mut from: From<'_>) -> Result<WordVectors> {
        const DAMAGED: &str = "the file is damaged, or in another format: binary(false) reads text";
        from.check_kind()?;
        let mut bytes = Vec::new();
        from.until(b'\n', 64, &mut bytes)?;
        let Some((expected, size)) = header_of(&bytes) else {
            return Err(from.error(None, "the file does not begin with the line `words size`".into(), DAMAGED));
        };
        self.check_size(&from, size)?;
        let (mut words, mut vector) = (WordVectors::empty(size), vec![0.0f32; size]);
        for number in 1..=expected.min(self.limit.unwrap_or(usize::MAX)) {
            from.until(b' ', MAX_WORD, &mut bytes)?;
            // word2vec ends each vector with a line break, others do not.
            let name = bytes.strip_prefix(b"\n").unwrap_or(&bytes);
            let Some(name) = name.strip_suffix(b" ") else {
                let problem = match bytes.is_empty() {
                    true => format!("the header says {expected} vectors, and there are {}", number - 1),
                    false => format!("word {number} does not end"),
                };
                return Err(from.error(None, problem, DAMAGED));
            };
            let name = std::str::from_utf8(name).ok().filter(|word| is_word(word)).map(str::to_owned);
            let Some(name) = name else {
                return Err(from.error(None, format!("word {number} is empty, or no word in UTF-8"), DAMAGED));
            };
            bytes.resize(4 * size, 0);
            if let Err(source) = from.source.read_exact(&mut bytes) {
                if source.kind() != std::io::ErrorKind::UnexpectedEof {
                    return Err(from.failed(source));
                }
                let problem = format!("the file ends within the {size} numbers of word {number} ({name:?})");
                return Err(from.error(None, problem, "get the whole file again"));
            }
            if !self.keeps(&name) {
                continue;
            }
            for (at, (v, bytes)) in vector.iter_mut().zip(bytes.as_chunks().0).enumerate() {
                *v = f32::from_le_bytes(*bytes);
                if !v.is_finite() {
                    let problem =
                        format!("number {} of word {number} ({name:?}) is {v}, where a finite one is expected", at + 1);
                    return Err(from.error(None, problem, DAMAGED));
                }
            }
            words.push(name, &vector)?;
        }
        if self.limit.is_none_or(|limit| limit > expected) {
            loop {
                from.until(b'\n', MAX_WORD, &mut bytes)?;
                match &bytes[..] {
                    [] => break,
                    b"\n" | b"\r\n" => {}
                    _ => {
                        let problem =
                            format!("the header says {expected} vectors of {size} numbers, and more follows them");
                        return Err(from.error(None, problem, DAMAGED));
                    }
                }
            }
        }
        match expected {
            0 => Err(from.error(None, NONE.into(), "pass a file that has some")),
            _ => Ok(words),
        }
    }
}

/// What is read, and what errors call it.
struct From<'a> {
    file: &'a Path,
    source: &'a mut dyn BufRead,
}

impl From<'_> {
    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { file: self.file.to_owned(), source }
    }

    fn error(&self, line: Option<u64>, problem: String, hint: &str) -> Error {
        Error::Data { file: self.file.to_owned(), line, column: None, problem, hint: hint.into() }
    }

    /// An error for a file of another kind, such as a packed one.
    fn check_kind(&mut self) -> Result<()> {
        let start = match self.source.fill_buf() {
            Ok(start) => kind::other_than(WANTED, start),
            Err(source) => return Err(self.failed(source)),
        };
        start.map_or(Ok(()), |(problem, hint)| Err(self.error(None, problem, &hint)))
    }

    /// Reads up to a byte, that included, or to the end, and `most` bytes at most.
    fn until(&mut self, byte: u8, most: usize, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        match self.source.take(most as u64).read_until(byte, bytes) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// The next line with its end; empty at the end of the file.
    fn line(&mut self, line: &mut Vec<u8>, number: u64) -> Result<()> {
        self.until(b'\n', MAX_LINE + 1, line)?;
        if line.len() > MAX_LINE {
            let problem = format!("the line has more than {MAX_LINE} bytes");
            return Err(self.error(Some(number), problem, "pass a text file of word vectors"));
        }
        Ok(())
    }

    /// Whether nothing but blank lines follows a blank one; else an error.
    fn only_blank(&mut self, line: &mut Vec<u8>, blank: u64) -> Result<bool> {
        loop {
            self.line(line, blank)?;
            if line.is_empty() {
                return Ok(true);
            }
            if !line.trim_ascii_end().is_empty() {
                return Err(self.error(Some(blank), "the line is blank".into(), "remove it"));
            }
        }
    }
}

/// The number of words and the size, if a line is a header.
fn header_of(line: &[u8]) -> Option<(usize, usize)> {
    let line = std::str::from_utf8(line.trim_ascii_end()).ok()?;
    let (words, size) = line.split_once([' ', '\t'])?;
    let whole = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some((whole(words)?, whole(size.trim_start())?))
}

/// How many numbers stand at the end of a line, the word before them left out.
fn numbers_of(line: &[u8]) -> usize {
    let (mut rest, mut count) = (line.trim_ascii_end(), 0);
    while let Some((before, field)) = last_field(rest)
        && parse(field).is_some()
    {
        (rest, count) = (before, count + 1);
    }
    count
}

/// What stands before the last field and the white space around it, and the field; none where nothing does.
fn last_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().rposition(|b| matches!(b, b' ' | b'\t'))?;
    let mut before = &line[..at];
    while let [rest @ .., b' ' | b'\t'] = before {
        before = rest;
    }
    (!before.is_empty()).then_some((before, &line[at + 1..]))
}

fn parse(field: &[u8]) -> Option<f32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WordVectors> {
        WordVectorFile::default().parse(text)
    }

    #[test]
    fn with_and_without_header_and_with_any_white_space() {
        let plain = read("a 1 -2.5\nb 1e-3 +4\n").unwrap();
        assert_eq!(plain.get("b"), Some(&[1e-3, 4.0][..]));
        for same in [
            "2 2\na 1 -2.5\nb 1e-3 +4\n",
            "2 2 \r\na 1 -2.5 \r\nb 1e-3 4 \r\n",
            "\u{feff}a 1 -2.5\nb 0.001 4",
            "a\t1\t-2.5\nb  0.001  4\n\n \n",
        ] {
            assert_eq!(read(same).unwrap(), plain, "{same:?}");
        }
        // One number each: the first line looks like a header.
        let one = WordVectorFile::default().header(false).parse("1 5\nb 3\n").unwrap();
        assert_eq!((one.get("1"), one.len()), (Some(&[5.0][..]), 2));
        // A number as the first word, and words with spaces of any kind.
        let odd = read("0 1 2\n. . . 3 4\na\u{a0}b 5 6\n\u{85} 7 8\nx@y z 9 9\n").unwrap();
        assert_eq!(odd.words().collect::<Vec<_>>(), ["0", ". . .", "a\u{a0}b", "\u{85}", "x@y z"]);
        assert_eq!(WordVectorFile::default().limit(2).parse("9 1\na 1\nb 2\nc what").unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("", "text: there are no vectors"),
            ("word\n", "line 1: no number stands at its end"),
            ("a 1 2\nb 1\n", "text, line 2: 2 numbers are expected after the word, and there are 1;"),
            ("a 1 2\nb 1 2 3\n", "text, line 2: 2 numbers are expected after the word, and there are 3 or more;"),
            ("a 1 2\nb 1 x\n", "text, line 2: number 2 of \"b\" is \"x\", where a finite number is expected"),
            ("a 1 2\nb 1 NaN\n", "number 2 of \"b\" is \"NaN\""),
            ("a 1 2\nb -inf 1\n", "number 1 of \"b\" is \"-inf\""),
            ("a 1 2\nb 1e39 1\n", "number 1 of \"b\" is \"1e39\""),
            ("a 1 2\n 1 2\n", "line 2: 2 numbers are expected after the word, and there are 1;"),
            ("a 1 2\n\nb 1 2\n", "line 2: the line is blank"),
            ("3 2\na 1 2\nb 1 2\n", "text: the header says 3 vectors, and there are 2;"),
            ("1 2\na 1 2\nb 1 2\n", "text: the header says 1 vectors, and there are 2;"),
            ("5 0\n", "the beginning says 0"),
            ("5 18446744073709551615\n", "the beginning says 18446744073709551615"),
            ("18446744073709551615 2\na 1 2\n", "the header says 18446744073709551615 vectors, and there are 1"),
            ("0 2\n", "there are no vectors"),
            ("\u{89}PNG", "line 1: no number stands at its end"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let bad = WordVectorFile::default().read_from("x", &b"a 1\n\xff 2\n"[..]).unwrap_err().to_string();
        assert!(bad.contains("x, line 2: the word is not UTF-8"), "{bad}");
        let packed = WordVectorFile::default().read_from("x", &b"\x1f\x8b\x08"[..]).unwrap_err().to_string();
        assert!(packed.contains("a gzipped file"), "{packed}");
        let endless = vec![b'a'; MAX_LINE + 2];
        let error = WordVectorFile::default().read_from("x", &endless[..]).unwrap_err().to_string();
        assert!(error.contains("line 1: the line has more than"), "{error}");
        let file = WordVectorFile::default().size(3);
        assert!(file.parse("1 2\na 1 2\n").unwrap_err().to_string().contains("3 numbers are expected, and the header"));
        assert!(WordVectorFile::default().header(true).parse("a 1\n").is_err());
        assert!(WordVectorFile::default().read("/nowhere/at/all").is_err());
    }

    #[test]
    fn other_words_are_passed_over() {
        let vocabulary = Vocabulary::count(["b", "c"], 1, None).unwrap();
        let file = WordVectorFile::default().only(&vocabulary);
        let found = file.parse("a 1 2\nc 1 2\nd 1 what\nb 1 2\nb 3 4\nd 1 2\n").unwrap();
        assert_eq!((found.len(), found.get("b"), found.duplicates()), (2, Some(&[1.0, 2.0][..]), 1));
        assert!(file.parse("b 1 2\na 1\n").is_err());
    }

    fn binary(words: &[(&str, [f32; 2])], header: &str, between: &str) -> Vec<u8> {
        let mut out = header.as_bytes().to_vec();
        for (word, vector) in words {
            out.extend(format!("{word} ").bytes().chain(vector.iter().flat_map(|v| v.to_le_bytes())));
            out.extend(between.bytes());
        }
        out
    }

    #[test]
    fn binary_files() {
        let words = [("a", [1.0, -2.5]), ("b", [1e-3, 4.0])];
        let file = WordVectorFile::default().binary(true);
        let plain = read("a 1 -2.5\nb 1e-3 4\n").unwrap();
        for between in ["", "\n"] {
            let bytes = binary(&words, "2 2\n", between);
            assert_eq!(file.read_from("x", &bytes[..]).unwrap(), plain);
            for end in 0..bytes.len() - 1 {
                assert!(file.read_from("x", &bytes[..end]).is_err(), "{end}");
            }
        }
        let error = |bytes: &[u8]| file.read_from("x", bytes).unwrap_err().to_string();
        assert!(error(&binary(&words, "3 2\n", "\n")).contains("word 3 does not end"));
        assert!(error(&binary(&words, "3 2\n", "")).contains("the header says 3 vectors, and there are 2"));
        assert!(error(&binary(&[("a", [f32::NAN, 0.0])], "1 2\n", "")).contains("number 1 of word 1 (\"a\") is NaN"));
        assert!(error(b"no header").contains("does not begin with the line `words size`"));
        assert!(error(b"9999999999999 60000\nword 1234").contains("ends within the 60000 numbers of word 1"));
        assert!(error(b"1 2\n\xff 12345678").contains("no word in UTF-8"));
        // More than the header says, none, and packed as they are published.
        for between in ["", "\n"] {
            let more = binary(&words, "1 2\n", between);
            assert!(error(&more).contains("the header says 1 vectors of 2 numbers, and more follows them"));
            assert_eq!(file.clone().limit(1).read_from("x", &more[..]).unwrap().len(), 1);
        }
        assert!(file.read_from("x", &[binary(&words, "2 2\n", "\n"), b"\r\n\n".to_vec()].concat()[..]).is_ok());
        assert!(error(b"0 2\n").contains("there are no vectors"));
        assert!(file.clone().limit(0).read_from("x", &binary(&words, "2 2\n", "")[..]).unwrap().is_empty());
        assert!(error(b"\x1f\x8b\x08").contains("a gzipped file, not a file of word vectors; unpack it first"));
        let text = WordVectorFile::default().read_from("x", &binary(&words, "2 2\n", "\n")[..]).unwrap_err();
        assert!(
            text.to_string().contains("line 2: the line behind the header is not UTF-8; set binary(true) if"),
            "{text}"
        );
        assert!(file.limit(1).read_from("x", &binary(&words, "2 2\n", "")[..]).unwrap().len() == 1);
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let words = read("a 0.1 -3.4e38\n. . . 1e-45 16777217\nc -0 0.333333333\n").unwrap();
        let path = std::env::temp_dir().join(format!("gradus-vectors-{}.txt", std::process::id()));
        words.save(&path).unwrap();
        let again = WordVectorFile::default().read(&path);
        let text = std::fs::read_to_string(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(again.unwrap(), words);
        assert!(text.unwrap().starts_with("3 2\na 0.1 -34"));
    }
}
