//! Learning merges: the pair of symbols that comes most often is merged, again and again.
//!
//! Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016), in the order of ties that Hugging
//! Face's `tokenizers` has: of pairs that come as often the one with the smaller ids is merged first.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use crate::error::{Error, Result};

/// What is wanted of merges.
#[derive(Clone, Debug)]
pub(super) struct BpeRules<'a> {
    pub vocab_size: usize,
    pub min_frequency: u64,
    pub special_tokens: &'a [String],
    /// Characters that are tokens whether they come or not.
    pub initial_alphabet: Vec<char>,
    /// The most characters that are tokens; those that come most often.
    pub limit_alphabet: Option<usize>,
    /// The most characters of a token.
    pub max_token_length: usize,
    /// In front of symbols inside words.
    pub continuing_prefix: &'a str,
}

/// Tokens in order of their ids, and merges in order of their ranks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learned {
    pub tokens: Vec<String>,
    pub merges: Vec<(u32, u32)>,
    pub results: Vec<u32>,
}

type Pair = (u32, u32);

/// A quick hash for pairs of ids, which are given here and come from nobody else.
#[derive(Default)]
struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 29;
    }
}

/// How often a pair comes, and the words that it may be in.
#[derive(Default)]
struct Found {
    count: i64,
    words: Vec<u32>,
}

type Pairs = HashMap<Pair, Found, BuildHasherDefault<PairHasher>>;

/// Learns merges from words and how often each comes, which are in order. `progress` is told how many tokens there are.
pub(super) fn learn(words: &[(String, u64)], rules: &BpeRules<'_>, progress: &mut dyn FnMut(usize)) -> Result<Learned> {
    let mut tokens = Tokens::default();
    for token in rules.special_tokens {
        tokens.add(token);
    }
    let alphabet = alphabet(words, rules);
    for c in &alphabet {
        tokens.add(c.encode_utf8(&mut [0; 4]));
    }
    let mut corpus = Corpus::new(words, &alphabet, rules, &mut tokens)?;
    if tokens.list.len() > rules.vocab_size {
        let expected = format!("at least {}, the alphabet and the special tokens", tokens.list.len());
        let hint = "make the vocabulary larger, or limit the alphabet";
        return Err(Error::argument("Trainer", "vocab_size", expected, rules.vocab_size, hint));
    }
    let mut pairs = corpus.pairs();
    let mut heap: BinaryHeap<(i64, Reverse<Pair>)> =
        pairs.iter().map(|(pair, found)| (found.count, Reverse(*pair))).collect();
    let (mut merges, mut results) = (Vec::new(), Vec::new());
    let mut changed: Vec<Pair> = Vec::new();
    while tokens.list.len() < rules.vocab_size
        && let Some((count, Reverse(pair))) = heap.pop()
    {
        let Some(found) = pairs.get_mut(&pair) else { continue };
        if found.count != count {
            // It came more often once.
            if found.count > 0 {
                heap.push((found.count, Reverse(pair)));
            }
            continue;
        }
        if count < (rules.min_frequency.max(1)) as i64 {
            break;
        }
        let mut places = std::mem::take(&mut found.words);
        places.sort_unstable();
        places.dedup();
        let right = &tokens.list[pair.1 as usize];
        let right = right.strip_prefix(rules.continuing_prefix).unwrap_or(right);
        let id = tokens.add(&format!("{}{right}", tokens.list[pair.0 as usize]));
        if id as usize == corpus.lengths.len() {
            corpus.lengths.push(corpus.lengths[pair.0 as usize] + corpus.lengths[pair.1 as usize]);
        }
        merges.push(pair);
        results.push(id);
        changed.clear();
        for word in places {
            corpus.merge(word, pair, id, rules.max_token_length, &mut pairs, &mut changed);
        }
        changed.sort_unstable();
        changed.dedup();
        for pair in &changed {
            if let Some(found) = pairs.get(pair).filter(|found| found.count > 0) {
                heap.push((found.count, Reverse(*pair)));
            }
        }
        pairs.remove(&pair);
        progress(tokens.list.len());
    }
    Ok(Learned { tokens: tokens.list, merges, results })
}

#[derive(Default)]
struct Tokens {
    list: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Tokens {
    /// The id of a token, which is added if it is new.
    fn add(&mut self, token: &str) -> u32 {
        if let Some(&id) = self.ids.get(token) {
            return id;
        }
        let id = self.list.len() as u32;
        self.list.push(token.to_owned());
        self.ids.insert(token.to_owned(), id);
        id
    }
}

/// The characters that are tokens, in order.
fn alphabet(words: &[(String, u64)], rules: &BpeRules<'_>) -> Vec<char> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, count) in words {
        for c in word.chars() {
            let n = counts.entry(c).or_default();
            *n = n.saturating_add(*count);
        }
    }
    // Those that are asked for stay, however seldom they come.
    counts.extend(rules.initial_alphabet.iter().map(|c| (*c, u64::MAX)));
    let mut found: Vec<(char, u64)> = counts.into_iter().collect();
    found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(rules.limit_alphabet.unwrap_or(usize::MAX));
    let mut alphabet: Vec<char> = found.into_iter().map(|(c, _)| c).collect();
    alphabet.sort_unstable();
    alphabet
}

/// Words as symbols, all in one list.
struct Corpus {
    symbols: Vec<u32>,
    /// Where each word begins, and how many symbols it has now.
    words: Vec<(usize, usize)>,
    counts: Vec<i64>,
    /// Characters of each token.
    lengths: Vec<usize>,
}

impl Corpus {
    fn new(words: &[(String, u64)], alphabet: &[char], rules: &BpeRules<'_>, tokens: &mut Tokens) -> Result<Self> {
        let too_many = || {
            Error::argument(
                "Trainer",
                "the corpus",
                "fewer than 2³² words and 2⁶³ of them together",
                "more",
                "train on a part of it",
            )
        };
        let mut corpus = Self { symbols: Vec::new(), words: Vec::new(), counts: Vec::new(), lengths: Vec::new() };
        if u32::try_from(words.len()).is_err() {
            return Err(too_many());
        }
        let total = words.iter().try_fold(0i64, |total, (word, count)| {
            total.checked_add(i64::try_from(*count).ok()?.checked_mul(i64::try_from(word.len()).ok()?)?)
        });
        if total.is_none() {
            return Err(too_many());
        }
        let mut name = String::new();
        for (word, count) in words {
            let start = corpus.symbols.len();
            for (i, c) in word.chars().enumerate().filter(|(_, c)| alphabet.binary_search(c).is_ok()) {
                name.clear();
                name.push_str(if i > 0 { rules.continuing_prefix } else { "" });
                name.push(c);
                corpus.symbols.push(tokens.add(&name));
            }
            corpus.words.push((start, corpus.symbols.len() - start));
            corpus.counts.push(*count as i64);
        }
        corpus.lengths = tokens.list.iter().map(|_| 1).collect();
        Ok(corpus)
    }

    /// All pairs of neighbours.
    fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        for (i, (&(start, length), &count)) in self.words.iter().zip(&self.counts).enumerate() {
            for pair in self.symbols[start..start + length].windows(2) {
                let found = pairs.entry((pair[0], pair[1])).or_default();
                found.count += count;
                if found.words.last() != Some(&(i as u32)) {
                    found.words.push(i as u32);
                }
            }
        }
        pairs
    }

    /// Merges a pair wherever it stands in a word, and counts what that makes of its neighbours.
    fn merge(&mut self, word: u32, pair: Pair, id: u32, max_length: usize, pairs: &mut Pairs, changed: &mut Vec<Pair>) {
        let (start, length) = self.words[word as usize];
        let count = self.counts[word as usize];
        let symbols = &mut self.symbols[start..start + length];
        let new_length = self.lengths[id as usize];
        let mut change = |pair: Pair, by: i64| {
            let found = pairs.entry(pair).or_default();
            found.count += by * count;
            if by > 0 {
                found.words.push(word);
                changed.push(pair);
            }
        };
        let (mut read, mut written) = (0, 0);
        while read < length {
            if read + 1 < length && (symbols[read], symbols[read + 1]) == pair {
                if written > 0 {
                    let before = symbols[written - 1];
                    change((before, pair.0), -1);
                    if self.lengths[before as usize] + new_length <= max_length {
                        change((before, id), 1);
                    }
                }
                if read + 2 < length {
                    let after = symbols[read + 2];
                    change((pair.1, after), -1);
                    if self.lengths[after as usize] + new_length <= max_length {
                        change((id, after), 1);
                    }
                }
                symbols[written] = id;
                read += 2;
            } else {
                symbols[written] = symbols[read];
                read += 1;
            }
            written += 1;
        }
        self.words[word as usize].1 = written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(vocab_size: usize) -> BpeRules<'static> {
        BpeRules {
            vocab_size,
            min_frequency: 0,
            special_tokens: &[],
            initial_alphabet: vec![],
            limit_alphabet: None,
            max_token_length: usize::MAX,
            continuing_prefix: "",
        }
    }

    fn merges(words: &[(&str, u64)], rules: &BpeRules<'_>) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|(word, count)| (word.to_string(), *count)).collect();
        let learned = learn(&words, rules, &mut |_| ()).unwrap();
        let token = |id: u32| &*learned.tokens[id as usize];
        learned.merges.iter().map(|&(left, right)| format!("{} {}", token(left), token(right))).collect()
    }

    #[test]
    fn the_pair_that_comes_most_often_is_first_and_of_equals_the_smaller() {
        let words = [("abab", 2), ("bcc", 4), ("cca", 1)];
        // ab 4, bc 4, cc 5, ba 2, ca 1; then ab is before b-cc.
        assert_eq!(merges(&words, &rules(7)), ["c c", "a b", "b cc", "ab ab"]);
        assert_eq!(merges(&words, &BpeRules { min_frequency: 3, ..rules(9) }), ["c c", "a b", "b cc"]);
        assert_eq!(merges(&words, &BpeRules { max_token_length: 2, ..rules(9) }), ["c c", "a b"]);
        // "aaa" has two pairs that overlap, of which one is merged.
        assert_eq!(merges(&[("aaa", 1)], &rules(9)), ["a a", "aa a"]);
        assert_eq!(merges(&[("aab", 1)], &BpeRules { continuing_prefix: "##", ..rules(9) }), ["a ##a", "aa ##b"]);
    }
}
