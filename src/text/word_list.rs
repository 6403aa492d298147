//! Words of Chinese or Japanese by a list of them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use super::cjk::{Kind, units};
use super::hashing::Seeded;
use crate::error::{Error, Result};

const OP: &str = "WordList";

/// The longest word, in bytes: each place of a text is compared with words of up to that length.
const MAX_WORD: usize = 256;

/// The way in which a text is gone through for the longest word of a [`WordList`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Matching {
    /// From the beginning, the longest word that begins where the last one ended.
    Forward,
    /// From the end, the longest word that ends where the next one begins.
    Backward,
    /// Both, of which that is taken which gives fewer words; of as many, that with fewer single characters; of as many, that from the end.
    #[default]
    Bidirectional,
}

/// A list of words by which texts without spaces are cut: at each place the longest word of the list, where there is none a single character.
///
/// Words and numbers of other scripts are whole, as [`cjk_characters`](super::cjk_characters) has them, unless the list has a longer word
/// around them (卡拉OK, C++). Punctuation and white space part words and are left out. Words are compared as they are written:
/// [`Cleaner`](super::Cleaner) brings a text into one form first. The default is [`Matching::Bidirectional`].
///
/// ```
/// use gradus::text::{Matching, WordList};
/// let list = WordList::from_words(["研究", "研究生", "生命", "起源"])?;
/// assert_eq!(list.words("研究生命起源 v2.0").collect::<Vec<_>>(), ["研究", "生命", "起源", "v2.0"]);
/// let forward = list.matching(Matching::Forward);
/// assert_eq!(forward.words("研究生命起源").collect::<Vec<_>>(), ["研究生", "命", "起源"]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WordList {
    matching: Matching,
    /// In a model's file arrays beside the settings.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Words::is_none", with = "written"))]
    words: Arc<Words>,
}

/// The words as serde has them, sorted.
#[cfg(feature = "serde")]
mod written {
    use std::sync::Arc;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{WordList, Words};

    pub fn serialize<S: Serializer>(words: &Arc<Words>, serializer: S) -> Result<S::Ok, S::Error> {
        words.sorted().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Words>, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        WordList::from_words(words).map(|list| list.words).map_err(D::Error::custom)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    set: HashSet<Box<str>, Seeded>,
    /// The most units of a word that begins with a character, and of one that ends with it.
    longest: HashMap<char, [usize; 2], Seeded>,
    /// Characters of other kinds that are part of a word.
    signs: HashSet<char, Seeded>,
}

impl WordList {
    /// A list of these words.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word that is empty, has white space in it or more than 256 bytes, with its position; [`Error::Empty`] for
    /// no words.
    pub fn from_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut list = Words::default();
        for (i, word) in words.into_iter().enumerate() {
            list.add(word.as_ref()).map_err(|got| {
                let got = format!("{got} at position {i}");
                Error::argument(OP, "word", EXPECTED, got, "leave it out, or correct it")
            })?;
        }
        list.finish()
    }

    /// A list from a file: a word a line, behind it, parted by white space, its frequency if there is one, and then what is not looked at
    /// (the form of jieba's lists). Words that are rarer than `min_frequency` are left out; those without a frequency are not.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; else as [`from_reader`](Self::from_reader).
    pub fn from_file(path: impl AsRef<Path>, min_frequency: u64) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        Self::read(BufReader::new(file), path, min_frequency)
    }

    /// [`from_file`](Self::from_file) from what is open already, or in memory.
    ///
    /// ```
    /// use gradus::text::WordList;
    /// let list = WordList::from_reader("东京 900\n京都 500 ns\n都是 2\n".as_bytes(), 3)?;
    /// assert_eq!(list.len(), 2);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Data`] with the line for what is not UTF-8, a frequency that is no whole number, or a word of more than 256 bytes;
    /// [`Error::Empty`] where no word is left; [`Error::Io`] where reading fails.
    pub fn from_reader(reader: impl BufRead, min_frequency: u64) -> Result<Self> {
        Self::read(reader, Path::new("<words>"), min_frequency)
    }

    fn read(mut reader: impl BufRead, path: &Path, min_frequency: u64) -> Result<Self> {
        /// No line that makes sense is longer; so a file without line ends takes no memory.
        const MAX_LINE: u64 = 1 << 12;
        let (mut list, mut bytes) = (Words::default(), Vec::new());
        for line in 1.. {
            let wrong = |problem: String, hint: &str| Error::Data {
                file: path.to_owned(),
                line: Some(line),
                column: None,
                problem,
                hint: hint.into(),
            };
            bytes.clear();
            let limited = &mut std::io::Read::take(&mut reader, MAX_LINE);
            let read = limited.read_until(b'\n', &mut bytes);
            if read.map_err(|source| Error::Io { file: path.to_owned(), source })? == 0 {
                break;
            }
            if bytes.len() as u64 == MAX_LINE && !bytes.ends_with(b"\n") {
                return Err(wrong(format!("the line has more than {MAX_LINE} bytes"), "write a word a line"));
            }
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| wrong("the line is not UTF-8".into(), "convert the file to UTF-8"))?;
            let mut columns = text.trim_start_matches('\u{feff}').split_whitespace();
            let Some(word) = columns.next() else { continue };
            if let Some(frequency) = columns.next() {
                let count: u64 = frequency.parse().map_err(|_| {
                    let problem = format!("the frequency of {word} is {frequency:?}, no whole number");
                    wrong(problem, "write a word, white space and how often it comes")
                })?;
                if count < min_frequency {
                    continue;
                }
            }
            list.add(word).map_err(|got| wrong(format!("a word must be {EXPECTED}, got {got}"), "leave it out"))?;
        }
        list.finish()
    }

    /// How the longest word is looked for; in both directions by default.
    pub fn matching(mut self, matching: Matching) -> Self {
        self.matching = matching;
        self
    }

    /// How many words there are; none only in the default.
    pub fn len(&self) -> usize {
        self.words.set.len()
    }

    /// Whether there are none, as in the default, which cuts into characters and which no front door takes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a word is in the list.
    pub fn contains(&self, word: &str) -> bool {
        self.words.set.contains(word)
    }

    /// The words of a text.
    pub fn words<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut spans = Vec::new();
        self.cut(text, &mut Cuts::default(), &mut spans);
        spans.into_iter().map(|(start, end)| &text[start..end])
    }

    /// Appends where the words of a text begin and end.
    pub(super) fn cut(&self, text: &str, cuts: &mut Cuts, spans: &mut Vec<(usize, usize)>) {
        cuts.ends.clear();
        cuts.kinds.clear();
        for unit in units(text) {
            if unit.kind != Kind::Other || unit.text.chars().all(|c| self.words.signs.contains(&c)) {
                if cuts.ends.is_empty() {
                    cuts.start = unit.start;
                }
                cuts.ends.push(unit.start + unit.text.len());
                cuts.kinds.push(unit.kind);
            } else {
                self.cut_run(text, cuts, spans);
            }
        }
        self.cut_run(text, cuts, spans);
    }

    /// The words of units that nothing parts.
    fn cut_run(&self, text: &str, cuts: &mut Cuts, spans: &mut Vec<(usize, usize)>) {
        if cuts.ends.is_empty() {
            return;
        }
        let Cuts { start, ends, kinds, forward, backward } = cuts;
        let begin = |unit: usize| if unit == 0 { *start } else { ends[unit - 1] };
        let piece = |from: usize, to: usize| &text[begin(from)..begin(to)];
        let known = |from: usize, to: usize| self.words.set.contains(piece(from, to));
        let longest =
            |c: Option<char>, end: usize| c.and_then(|c| self.words.longest.get(&c)).map_or(1, |longest| longest[end]);
        let n = ends.len();
        forward.clear();
        if self.matching != Matching::Backward {
            let mut from = 0;
            while from < n {
                let most = longest(piece(from, from + 1).chars().next(), 0).min(n - from);
                let len = (2..=most).rev().find(|len| known(from, from + len)).unwrap_or(1);
                from += len;
                forward.push(from);
            }
        }
        backward.clear();
        if self.matching != Matching::Forward {
            let mut to = n;
            while to > 0 {
                backward.push(to);
                let most = longest(piece(to - 1, to).chars().next_back(), 1).min(to);
                to -= (2..=most).rev().find(|len| known(to - len, to)).unwrap_or(1);
            }
            backward.reverse();
        }
        let rank = |words: &[usize]| {
            let starts = std::iter::once(0).chain(words.iter().copied());
            (words.len(), starts.zip(words).filter(|(from, to)| *to - from == 1).count())
        };
        let taken = match self.matching {
            Matching::Forward => forward,
            Matching::Backward => backward,
            Matching::Bidirectional if rank(forward) < rank(backward) => forward,
            Matching::Bidirectional => backward,
        };
        let mut from = 0;
        for &to in &*taken {
            // A sign by itself is no word unless the list says so.
            if to - from > 1 || kinds[from] != Kind::Other || known(from, to) {
                spans.push((begin(from), begin(to)));
            }
            from = to;
        }
        ends.clear();
        kinds.clear();
    }

    /// The words, sorted, for a file.
    #[cfg(feature = "files")]
    pub(super) fn sorted(&self) -> Vec<&str> {
        self.words.sorted()
    }

    /// This with the words of another.
    #[cfg(feature = "files")]
    pub(super) fn with_words_of(&mut self, other: WordList) {
        self.words = other.words;
    }

    /// The settings alone.
    #[cfg(feature = "files")]
    pub(super) fn forget(&mut self) {
        self.words = Arc::default();
    }
}

/// Working space of [`WordList::cut`].
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Where the first unit begins.
    start: usize,
    /// Where each unit ends.
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    /// The units at which words end.
    forward: Vec<usize>,
    backward: Vec<usize>,
}

const EXPECTED: &str = "of 1 to 256 bytes, without white space";

impl Words {
    /// Takes a word in, or gives what is wrong with it.
    fn add(&mut self, word: &str) -> std::result::Result<(), String> {
        if word.is_empty() || word.len() > MAX_WORD || word.contains(char::is_whitespace) {
            return Err(if word.len() > MAX_WORD { format!("{} bytes", word.len()) } else { format!("{word:?}") });
        }
        let mut len = 0;
        for unit in units(word) {
            len += 1;
            if unit.kind == Kind::Other {
                self.signs.extend(unit.text.chars());
            }
        }
        for (end, c) in [word.chars().next(), word.chars().next_back()].into_iter().flatten().enumerate() {
            let longest = self.longest.entry(c).or_insert([1, 1]);
            longest[end] = longest[end].max(len);
        }
        if !self.set.contains(word) {
            self.set.insert(word.into());
        }
        Ok(())
    }

    #[cfg(feature = "serde")]
    fn is_none(this: &Arc<Words>) -> bool {
        this.set.is_empty()
    }

    #[cfg(feature = "serde")]
    fn sorted(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.set.iter().map(|word| &**word).collect();
        words.sort_unstable();
        words
    }

    fn finish(self) -> Result<WordList> {
        if self.set.is_empty() {
            return Err(Error::Empty { op: OP, what: "the list of words" });
        }
        Ok(WordList { matching: Matching::default(), words: Arc::new(self) })
    }
}

impl fmt::Debug for WordList {
    /// How many words there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = format_args!("{} words", self.len());
        f.debug_struct("WordList").field("matching", &self.matching).field("words", &words).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(words: &[&str], matching: Matching, text: &str) -> String {
        let list = WordList::from_words(words).unwrap().matching(matching);
        list.words(text).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn three_ways_through_a_text() {
        use Matching::{Backward, Bidirectional, Forward};
        let words = ["南京", "南京市", "市长", "长江", "大桥", "长江大桥", "江大桥"];
        assert_eq!(cut(&words, Forward, "南京市长江大桥"), "南京市|长江大桥");
        assert_eq!(cut(&words, Backward, "南京市长江大桥"), "南京市|长江大桥");
        // Fewer words: three against two.
        let words = ["甲乙", "乙丙丁", "甲"];
        assert_eq!(cut(&words, Forward, "甲乙丙丁"), "甲乙|丙|丁");
        assert_eq!(cut(&words, Bidirectional, "甲乙丙丁"), "甲|乙丙丁");
        let words = ["甲乙", "乙丙丁", "甲乙丙"];
        assert_eq!(cut(&words, Forward, "甲乙丙丁"), "甲乙丙|丁");
        assert_eq!(cut(&words, Backward, "甲乙丙丁"), "甲|乙丙丁");
        // As many words and as many single characters: from the end.
        assert_eq!(cut(&words, Bidirectional, "甲乙丙丁"), "甲|乙丙丁");
        // As many words, fewer single characters: from the beginning.
        let words = ["甲乙", "丙丁", "乙丙丁"];
        assert_eq!(cut(&words, Forward, "甲乙丙丁"), "甲乙|丙丁");
        assert_eq!(cut(&words, Backward, "甲乙丙丁"), "甲|乙丙丁");
        assert_eq!(cut(&words, Bidirectional, "甲乙丙丁"), "甲乙|丙丁");
    }

    #[test]
    fn other_scripts_and_signs() {
        let words = ["卡拉OK", "C++", "人工智能", "智能", "𠮷野家"];
        let own = |text| cut(&words, Matching::default(), text);
        assert_eq!(own("卡拉OK和C++，人工智能3.5!"), "卡拉OK|和|C++|人工智能|3.5");
        // A word of another script is not taken apart, nor is a sign a word.
        assert_eq!(own("OKAY + 卡拉OKAY"), "OKAY|卡|拉|OKAY");
        assert_eq!(own("𠮷野家の牛丼"), "𠮷野家|の|牛|丼");
        assert_eq!(own(" ， "), "");
        // What punctuation parts is no word.
        assert_eq!(own("人工，智能"), "人|工|智能");
        assert_eq!(cut(&["+"], Matching::default(), "a+b"), "a|+|b");
    }

    #[test]
    fn lists_in_files() {
        let read = |text: &str, least| WordList::from_reader(text.as_bytes(), least);
        let list = read("\u{feff}东京 10 ns\r\n\n京都\t3\n大阪\n", 5).unwrap();
        assert_eq!((list.len(), list.contains("东京"), list.contains("大阪")), (2, true, true));
        let error = |text: &str| read(text, 0).unwrap_err().to_string();
        assert_eq!(
            error("东京 10\n京都 viel\n"),
            "<words>, line 2: the frequency of 京都 is \"viel\", no whole number; write a word, white space and how often it comes"
        );
        assert!(
            error(&"长".repeat(100))
                .contains("line 1: a word must be of 1 to 256 bytes, without white space, got 300 bytes")
        );
        assert!(error(&"长".repeat(10_000)).contains("more than 4096 bytes"));
        assert!(error(" \n").contains("the list of words has no samples"));
        assert!(WordList::from_reader(&b"\xff\n"[..], 0).unwrap_err().to_string().contains("not UTF-8"));
        let error = WordList::from_words(["a", "b c"]).unwrap_err().to_string();
        assert!(error.contains("got \"b c\" at position 1"), "{error}");
        assert!(WordList::from_words([""; 1]).is_err() && WordList::from_words([""; 0]).is_err());
        assert!(WordList::from_file("/no/such/file", 0).is_err());
    }

    /// Against the same by definition, on made-up words over a few characters.
    #[test]
    fn as_by_definition() {
        let letters: Vec<char> = "甲乙丙丁a".chars().collect();
        let mut state = 1u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        for _ in 0..300 {
            let mut make = |most: usize| (0..=draw(most)).map(|_| letters[draw(4)]).collect::<String>();
            let words: Vec<String> = (0..6).map(|_| make(4)).collect();
            let text: Vec<char> = make(12).chars().collect();
            let known = |piece: &[char]| words.contains(&piece.iter().collect());
            let mut forward = vec![0];
            while *forward.last().unwrap() < text.len() {
                let from = *forward.last().unwrap();
                forward.push((from + 1..=text.len()).rev().find(|&to| known(&text[from..to])).unwrap_or(from + 1));
            }
            let mut backward = vec![text.len()];
            while backward[0] > 0 {
                let to = backward[0];
                backward.insert(0, (0..to).find(|&from| known(&text[from..to])).unwrap_or(to - 1));
            }
            let pieces = |cuts: &[usize]| {
                cuts.windows(2).map(|w| text[w[0]..w[1]].iter().collect::<String>()).collect::<Vec<_>>()
            };
            let singles = |cuts: &[usize]| cuts.windows(2).filter(|w| w[1] - w[0] == 1).count();
            let better = (forward.len(), singles(&forward)) < (backward.len(), singles(&backward));
            let both = if better { &forward } else { &backward };
            let list = WordList::from_words(&words).unwrap();
            let text: String = text.iter().collect();
            for (matching, cuts) in
                [(Matching::Forward, &forward), (Matching::Backward, &backward), (Matching::Bidirectional, both)]
            {
                let own = list.clone().matching(matching);
                assert_eq!(own.words(&text).collect::<Vec<_>>(), pieces(cuts), "{words:?} {text} {matching:?}");
            }
        }
    }
}
