//! Byte-pair encoding: symbols are merged in the order in which training merged them.
//!
//! Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); over bytes: Radford and others,
//! "Language Models are Unsupervised Multitask Learners" (2019).

use std::collections::HashMap;

use super::{
    super::{byte_level, vocab::Vocab},
    junctions::Junctions,
    pair_table::{NONE, PairTable},
    symbols::Symbols,
    tokens::{Piece, Tokens},
    word_cache::{self, WordCache},
};
use crate::error::{Error, Result};

/// How a vocabulary of merges is to be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct BpeSettings {
    /// The token for characters that the vocabulary does not have.
    pub unknown: Option<String>,
    /// Whether unknown characters beside each other are one token.
    pub fuse_unknown: bool,
    /// Whether what is no token is written as tokens of its bytes, `<0x0A>`.
    pub byte_fallback: bool,
    /// Whether a piece that is a token is taken as it stands, whatever the merges say.
    pub ignore_merges: bool,
    /// In front of every symbol but the first of a piece.
    pub continuing_prefix: String,
    /// Behind the last symbol of a piece.
    pub end_suffix: String,
}

#[derive(Clone, Debug)]
pub(in super::super) struct Bpe {
    pub(in super::super) vocab: Vocab,
    pub(in super::super) merges: Vec<(u32, u32)>,
    pub(in super::super) settings: BpeSettings,
    /// Tokens are bytes, written as visible characters.
    byte_level: bool,
    pairs: PairTable,
    /// What the merge of each rank gives.
    results: Vec<u32>,
    unknown: Option<u32>,
    /// The token of each byte, of ASCII characters alone where tokens are not bytes.
    first: Box<[u32; 256]>,
    /// Ranks of pairs of bytes, where tokens are bytes.
    byte_ranks: Vec<u32>,
    /// The tokens `<0x00>` to `<0xFF>`.
    fallback: Box<[u32; 256]>,
    /// Bytes of a piece that each token stands for at least: without prefix and suffix, none for the unknown token. Where they add up to a
    /// piece, they are exact.
    lengths: Vec<u32>,
    /// Where a piece can be cut without changing a token; none for symbols that know where they stand in a piece.
    junctions: Option<Junctions>,
    /// Tokens that merges do not give, which pieces are all the same if merges are ignored for pieces that are tokens.
    whole: HashMap<Box<[u8]>, u32>,
}

/// Characters below this have tokens of their own in the buffers.
const CHARS: usize = 0x1_0000;

/// Buffers of one caller.
#[derive(Debug)]
pub(in super::super) struct Scratch {
    /// The tokens of characters that stand alone, packed; 0 where they are not known yet.
    chars: Vec<u64>,
    symbols: Symbols,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { chars: vec![0; CHARS], symbols: Symbols::default() }
    }
}

/// What a caller brings along.
pub(in super::super) struct Caller<'c> {
    pub scratch: &'c mut Scratch,
    pub cache: &'c mut WordCache,
    pub out: &'c mut Tokens,
}

impl Bpe {
    /// From a vocabulary and merges in order of rank.
    pub(in super::super) fn new(
        vocab: Vocab,
        merges: impl Iterator<Item = (String, String)>,
        settings: BpeSettings,
        byte_level: bool,
    ) -> Result<Self, String> {
        let mut pairs = Vec::new();
        let mut results = Vec::new();
        let mut whole = String::new();
        for (rank, (left, right)) in merges.enumerate() {
            let id = |token: &str| {
                vocab.id(token).ok_or_else(|| {
                    format!("expected every merge to be of tokens and to give one, got {left:?} with {right:?} (merge {rank}), where {token:?} is none")
                })
            };
            pairs.push((id(&left)?, id(&right)?));
            whole.clear();
            whole.push_str(&left);
            whole.push_str(right.strip_prefix(&settings.continuing_prefix).unwrap_or(&right));
            results.push(id(&whole)?);
        }
        Self::from_ids(vocab, pairs, results, settings, byte_level, false)
    }

    /// From merges of bytes that come in order of their results, as tiktoken has them: merges with one result have one rank, and the
    /// leftmost is first.
    pub(in super::super) fn with_equal_ranks(
        vocab: Vocab,
        pairs: Vec<(u32, u32)>,
        results: Vec<u32>,
        settings: BpeSettings,
    ) -> Result<Self, String> {
        Self::from_ids(vocab, pairs, results, settings, true, true)
    }

    /// From merges of bytes in order of rank, with what each gives.
    pub(in super::super) fn learned(
        vocab: Vocab,
        pairs: Vec<(u32, u32)>,
        results: Vec<u32>,
        settings: BpeSettings,
    ) -> Result<Self, String> {
        Self::from_ids(vocab, pairs, results, settings, true, false)
    }

    fn from_ids(
        vocab: Vocab,
        pairs: Vec<(u32, u32)>,
        results: Vec<u32>,
        settings: BpeSettings,
        byte_level: bool,
        equal_ranks: bool,
    ) -> Result<Self, String> {
        let unknown = match &settings.unknown {
            Some(token) => {
                Some(vocab.id(token).ok_or_else(|| format!("expected the unknown token {token:?} in the vocabulary"))?)
            }
            None => None,
        };
        let table = PairTable::new(&pairs, |i| match equal_ranks {
            true => results.partition_point(|result| *result < results[i]) as u32,
            false => i as u32,
        });
        let char_id = |c: char| vocab.id(c.encode_utf8(&mut [0; 4])).unwrap_or(NONE);
        let first: Box<[u32; 256]> = Box::new(std::array::from_fn(|byte| match byte_level {
            true => char_id(byte_level::char_of(byte as u8)),
            false if byte < 128 => char_id(byte as u8 as char),
            false => NONE,
        }));
        let byte_ranks = match byte_level {
            true => (0..1 << 16).map(|pair: usize| table.rank(first[pair >> 8], first[pair & 255])).collect(),
            false => Vec::new(),
        };
        let fallback: Box<[u32; 256]> = Box::new(std::array::from_fn(|byte| match settings.byte_fallback {
            true => vocab.id(&format!("<0x{byte:02X}>")).unwrap_or(NONE),
            false => NONE,
        }));
        let lengths = (0..vocab.end() as u32)
            .map(|id| match vocab.token(id) {
                Some(_) if Some(id) == unknown => 0,
                Some(_) if fallback.contains(&id) => 1,
                Some(token) => {
                    let bare = token.strip_prefix(&settings.continuing_prefix).unwrap_or(token);
                    let bare = bare.strip_suffix(&settings.end_suffix).unwrap_or(bare);
                    if byte_level { byte_level::bytes_of(bare).len() as u32 } else { bare.len() as u32 }
                }
                None => 0,
            })
            .collect();
        let plain = settings.continuing_prefix.is_empty() && settings.end_suffix.is_empty();
        // What stands for other text than its own hides which characters a merge joins.
        let hides = |id: &u32| Some(*id) == unknown || fallback.contains(id);
        let plain = plain && !pairs.iter().any(|(left, right)| hides(left) || hides(right));
        let junctions = plain.then(|| {
            let bytes: Vec<_> = (0..vocab.end() as u32)
                .map(|id| match vocab.token(id).unwrap_or("") {
                    token if byte_level => byte_level::bytes_of(token),
                    token => token.as_bytes().to_vec(),
                })
                .collect();
            Junctions::new(pairs.iter().map(|&(left, right)| (&bytes[left as usize][..], &bytes[right as usize][..])))
        });
        let whole = HashMap::new();
        let mut bpe = Self {
            vocab,
            merges: pairs,
            settings,
            byte_level,
            pairs: table,
            results,
            unknown,
            first,
            byte_ranks,
            fallback,
            lengths,
            junctions,
            whole,
        };
        if bpe.settings.ignore_merges {
            bpe.whole = bpe.not_from_merges();
        }
        Ok(bpe)
    }

    /// Tokens that are not what their own text is encoded to.
    fn not_from_merges(&self) -> HashMap<Box<[u8]>, u32> {
        let (mut symbols, mut out, mut found) = (Symbols::default(), Tokens::default(), HashMap::new());
        for (id, token) in self.vocab.iter() {
            if self.byte_level && !token.chars().all(|c| byte_level::byte_of(c).is_some()) {
                // Of no bytes: no text becomes it.
                continue;
            }
            let bytes = if self.byte_level { byte_level::bytes_of(token) } else { token.as_bytes().to_vec() };
            out.clear(false);
            if self.merge(&bytes, 0, &mut symbols, &mut out).is_err() || out.ids() != [id] {
                found.insert(bytes.into_boxed_slice(), id);
            }
        }
        found
    }

    /// Whether tokens are bytes.
    pub(in super::super) fn is_byte_level(&self) -> bool {
        self.byte_level
    }

    /// The tokens of a piece.
    #[inline(always)]
    pub(in super::super) fn encode(&self, piece: Piece<'_>, caller: &mut Caller<'_>) -> Result<()> {
        // Nothing that merges do not give is in the cache but parts of pieces.
        if self.whole.is_empty()
            && let Some(ids) = caller.cache.short(piece)
        {
            word_cache::push_pair(ids, piece.start, &self.lengths, caller.out);
            return Ok(());
        }
        self.long_word(piece, caller)
    }

    /// The pieces of a text from a byte on, up to the last of the bytes behind it that a bit is set for, each of which begins one. Where that
    /// is.
    #[inline(always)]
    pub(in super::super) fn encode_window(
        &self,
        text: &str,
        start: usize,
        mut beginnings: u64,
        caller: &mut Caller<'_>,
    ) -> Result<usize> {
        // With nothing but the cache to look at, what it has goes straight to where ids stand.
        let window = text.as_bytes()[start..].first_chunk().filter(|_| self.whole.is_empty());
        let mut from = 0;
        while beginnings != 0 {
            if let Some(window) = window {
                let before = from;
                let count = caller.cache.known(window, &mut from, &mut beginnings, caller.out.room());
                caller.out.take_up(count, start + before, &self.lengths);
                if beginnings == 0 {
                    break;
                }
            }
            let to = beginnings.trailing_zeros() as usize;
            beginnings &= beginnings - 1;
            let piece = Piece { text, start: start + from, end: start + to };
            // What is not known is no short word of the cache: not looked up there again.
            if window.is_some() {
                self.long_word(piece, caller)?
            } else {
                self.encode(piece, caller)?
            }
            from = to;
        }
        Ok(start + from)
    }

    /// A piece that is no short one of the cache.
    #[inline(never)]
    fn long_word(&self, piece: Piece<'_>, caller: &mut Caller<'_>) -> Result<()> {
        if !self.whole.is_empty()
            && let Some(&id) = self.whole.get(piece.as_bytes())
        {
            caller.out.push(id, piece.start as u32, piece.end as u32);
            return Ok(());
        }
        let Caller { scratch, cache, out } = caller;
        cache.or_encode(piece, &self.lengths, out, |cache, out| {
            self.new_word(piece, &mut Caller { scratch, cache, out })
        })
    }

    /// A piece that is not in the cache.
    #[inline(never)]
    fn new_word(&self, piece: Piece<'_>, caller: &mut Caller<'_>) -> Result<()> {
        match &self.junctions {
            Some(junctions) if !self.byte_level || !piece.as_bytes().is_ascii() => self.parts(junctions, piece, caller),
            _ => self.merge(piece.as_bytes(), piece.start, &mut caller.scratch.symbols, caller.out),
        }
    }

    /// A piece in parts that no merge joins: most Chinese characters stand alone.
    fn parts(&self, junctions: &Junctions, piece: Piece<'_>, caller: &mut Caller<'_>) -> Result<()> {
        let Caller { scratch: Scratch { chars: alones, symbols }, cache, out } = caller;
        let Piece { text, start, end } = piece;
        let (bytes, first) = (text.as_bytes(), out.len());
        let mut chars = text[start..end].chars();
        let Some(mut left) = chars.next() else { return Ok(()) };
        let (mut from, mut at) = (start, start + left.len_utf8());
        // The first character of a part, and the last of the part before it.
        let (mut part_begins, mut ended) = (left, left);
        loop {
            // The part goes on while its neighbours may be joined.
            let alone = from + left.len_utf8() == at;
            let right = chars.next();
            if let Some(right) = right
                && junctions.may_join(left, right, bytes[at - 1], bytes[at])
            {
                (left, at) = (right, at + right.len_utf8());
                continue;
            }
            let before = out.len();
            match alones.get(left as usize).copied().filter(|_| alone) {
                Some(packed) if packed != 0 => word_cache::push(packed, from, &self.lengths, out),
                Some(_) => {
                    self.merge(&bytes[from..at], from, symbols, out)?;
                    let packed = word_cache::pack(&out.ids()[before..], at - from, &self.lengths);
                    alones[left as usize] = packed.unwrap_or(0);
                }
                None if (from, at) == (start, end) => self.merge(&bytes[from..at], from, symbols, out)?,
                None => cache.or_encode(Piece { text, start: from, end: at }, &self.lengths, out, |_, out| {
                    self.merge(&bytes[from..at], from, symbols, out)
                })?,
            }
            if self.settings.fuse_unknown && before > first && self.lacks(part_begins) && self.lacks(ended) {
                self.fuse(before, out);
            }
            ended = left;
            let Some(right) = right else { return Ok(()) };
            (left, from, at, part_begins) = (right, at, at + right.len_utf8(), right);
        }
    }

    /// Whether a character is no token.
    fn lacks(&self, c: char) -> bool {
        self.vocab.id(c.encode_utf8(&mut [0; 4])).is_none()
    }

    /// Makes one of the unknown tokens on both sides of a place.
    fn fuse(&self, at: usize, out: &mut Tokens) {
        let unknown = |i: usize| out.ids().get(i).copied() == self.unknown;
        if self.unknown.is_some() && unknown(at) && unknown(at - 1) {
            out.join(at);
        }
    }

    #[inline(never)]
    fn merge(&self, bytes: &[u8], start: usize, symbols: &mut Symbols, out: &mut Tokens) -> Result<()> {
        self.begin(bytes, start, symbols)?;
        symbols.merge(&self.pairs, &self.results);
        let mut at = start as u32;
        for (&id, &to) in symbols.ids.iter().zip(&symbols.ends) {
            out.push(id, at, start as u32 + to);
            at = start as u32 + to;
        }
        Ok(())
    }

    /// The symbols of a piece before any merge, with the ranks of their pairs.
    fn begin(&self, bytes: &[u8], start: usize, symbols: &mut Symbols) -> Result<()> {
        symbols.clear();
        let Symbols { ids, ends, ranks, .. } = symbols;
        if self.byte_level && self.junctions.is_some() {
            ids.extend(bytes.iter().map(|&byte| self.first[byte as usize]));
            ends.extend(1..=bytes.len() as u32);
            if !ids.contains(&NONE) {
                ranks.extend(
                    bytes.windows(2).map(|pair| self.byte_ranks[usize::from(pair[0]) << 8 | usize::from(pair[1])]),
                );
                ranks.push(NONE);
                return Ok(());
            }
            ids.clear();
            ends.clear();
        }
        self.symbols(bytes, start, ids, ends)?;
        ranks.extend(ids.windows(2).map(|pair| self.pairs.rank(pair[0], pair[1])));
        ranks.push(NONE);
        Ok(())
    }

    fn symbols(&self, bytes: &[u8], start: usize, ids: &mut Vec<u32>, ends: &mut Vec<u32>) -> Result<()> {
        let BpeSettings { continuing_prefix, end_suffix, fuse_unknown, .. } = &self.settings;
        let plain = continuing_prefix.is_empty() && end_suffix.is_empty();
        let mut name = String::new();
        let mut last_unknown = false;
        let mut at = 0;
        while at < bytes.len() {
            // Symbols are bytes, or characters.
            let more = bytes[at + 1..].iter().take_while(|byte| !self.byte_level && **byte & 0xC0 == 0x80).count();
            let length = 1 + more;
            let to = at + length;
            let id = if plain && (self.byte_level || length == 1) {
                self.first[bytes[at] as usize]
            } else {
                name.clear();
                if at > 0 {
                    name.push_str(continuing_prefix);
                }
                match self.byte_level {
                    true => name.push(byte_level::char_of(bytes[at])),
                    false => name.push_str(&String::from_utf8_lossy(&bytes[at..to])),
                }
                if to == bytes.len() {
                    name.push_str(end_suffix);
                }
                self.vocab.id(&name).unwrap_or(NONE)
            };
            let spelled = || bytes[at..to].iter().map(|&byte| self.fallback[byte as usize]);
            if id != NONE {
                ids.push(id);
                ends.push(to as u32);
                last_unknown = false;
            } else if self.settings.byte_fallback && spelled().all(|id| id != NONE) {
                ids.extend(spelled());
                // Each stands for a byte, and the offsets widen them to the character.
                ends.extend(at as u32 + 1..=to as u32);
                last_unknown = false;
            } else if let Some(unknown) = self.unknown {
                if last_unknown && *fuse_unknown {
                    *ends.last_mut().expect("the unknown token") = to as u32;
                } else {
                    ids.push(unknown);
                    ends.push(to as u32);
                }
                last_unknown = true;
            } else {
                let got = match self.byte_level {
                    true => format!("the byte 0x{:02X} at {}", bytes[at], start + at),
                    false => format!("{:?} at byte {}", String::from_utf8_lossy(&bytes[at..to]), start + at),
                };
                let hint = "add an unknown token to the model, or train it on all bytes (ByteLevel's alphabet)";
                return Err(Error::argument(
                    "Tokenizer",
                    "the text",
                    "of characters that the vocabulary has, as it has no unknown token",
                    got,
                    hint,
                ));
            }
            at = to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few numbers that look random.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }

        fn text(&mut self, alphabet: &[char], most: usize) -> String {
            let length = 1 + self.below(most);
            // Runs too, in which pairs overlap.
            let (mut text, mut last) = (String::new(), alphabet[0]);
            for _ in 0..length {
                if self.below(3) > 0 {
                    last = alphabet[self.below(alphabet.len())];
                }
                text.push(last);
            }
            text
        }
    }

    /// The definition: of all pairs the one of the smallest rank, the leftmost of them, until there is none.
    fn plain(bpe: &Bpe, text: &str, merges: &[(String, String)]) -> Vec<u32> {
        let settings = &bpe.settings;
        let written = if bpe.byte_level { byte_level::text_of(text.as_bytes()) } else { text.to_owned() };
        if settings.ignore_merges
            && let Some(id) = bpe.vocab.id(&written)
        {
            return vec![id];
        }
        let mut symbols: Vec<String> = Vec::new();
        let (unknown, mut last_unknown) = (settings.unknown.clone().unwrap_or_default(), false);
        for (i, c) in written.chars().enumerate() {
            let prefix = if i > 0 { settings.continuing_prefix.as_str() } else { "" };
            let suffix = if i + 1 == written.chars().count() { settings.end_suffix.as_str() } else { "" };
            let name = format!("{prefix}{c}{suffix}");
            let known = bpe.vocab.id(&name).is_some();
            if known {
                symbols.push(name);
            } else if settings.byte_fallback {
                symbols.extend(c.to_string().bytes().map(|byte| format!("<0x{byte:02X}>")));
            } else if !(last_unknown && settings.fuse_unknown) {
                symbols.push(unknown.clone());
            }
            last_unknown = !known && !settings.byte_fallback;
        }
        let ranks: HashMap<(&str, &str), usize> =
            merges.iter().zip(0..).map(|((left, right), rank)| ((&**left, &**right), rank)).collect();
        loop {
            let rank = |pair: &[String]| ranks.get(&(&*pair[0], &*pair[1])).copied();
            let best = symbols.windows(2).enumerate().filter_map(|(i, pair)| Some((rank(pair)?, i))).min();
            let Some((_, i)) = best else { break };
            let right = symbols.remove(i + 1);
            let right = right.strip_prefix(&settings.continuing_prefix).unwrap_or(&right);
            symbols[i].push_str(right);
        }
        symbols.iter().map(|symbol| bpe.vocab.id(symbol).unwrap()).collect()
    }

    /// A vocabulary over an alphabet with merges in an order that no training gives.
    fn draw(
        draw: &mut Draw,
        alphabet: &[char],
        settings: BpeSettings,
        byte_level: bool,
    ) -> (Bpe, Vec<(String, String)>) {
        let BpeSettings { continuing_prefix: prefix, end_suffix: suffix, .. } = &settings;
        let mut tokens: Vec<String> = settings.unknown.iter().cloned().collect();
        if settings.byte_fallback {
            tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        }
        let mut symbols: Vec<String> = match byte_level {
            true => (0..=255).map(|byte| byte_level::char_of(byte).to_string()).collect(),
            // One of them is unknown.
            false => alphabet[1..].iter().map(char::to_string).collect(),
        };
        symbols = symbols
            .iter()
            .flat_map(|c| [c.clone(), format!("{prefix}{c}"), format!("{c}{suffix}"), format!("{prefix}{c}{suffix}")])
            .collect();
        symbols.sort();
        symbols.dedup();
        let mut merges: Vec<(String, String)> = Vec::new();
        for _ in 0..400 {
            // Pairs that come in texts: what stands inside words, from the alphabet.
            let of_alphabet = |symbol: &&String| {
                !byte_level
                    || byte_level::bytes_of(symbol)
                        .iter()
                        .all(|byte| alphabet.iter().any(|c| c.to_string().as_bytes().contains(byte)))
            };
            let known: Vec<&String> = symbols.iter().filter(of_alphabet).collect();
            let (left, right) = (known[draw.below(known.len())].clone(), known[draw.below(known.len())].clone());
            let joins =
                (suffix.is_empty() || !left.ends_with(suffix)) && (prefix.is_empty() || right.starts_with(prefix));
            if !joins || merges.contains(&(left.clone(), right.clone())) || left.len() + right.len() > 24 {
                continue;
            }
            let whole = format!("{left}{}", right.strip_prefix(prefix).unwrap_or(&right));
            if !symbols.contains(&whole) {
                symbols.push(whole);
            }
            merges.push((left, right));
        }
        for i in (1..merges.len()).rev() {
            merges.swap(i, draw.below(i + 1));
        }
        tokens.extend(symbols);
        let vocab = Vocab::new(tokens.iter().map(String::as_str).zip(0..)).unwrap();
        (Bpe::new(vocab, merges.iter().cloned(), settings, byte_level).unwrap(), merges)
    }

    #[test]
    fn every_short_way_gives_what_the_definition_gives() {
        let alphabet = ['z', 'a', 'b', 'c', 'é', 'è', '中', '😀'];
        let mut numbers = Draw(7);
        for round in 0..24 {
            let byte_level = round % 3 == 0;
            let affixes = round % 3 == 1 && round % 2 == 0;
            let settings = BpeSettings {
                unknown: (!byte_level).then(|| "<unk>".to_owned()),
                fuse_unknown: round % 4 < 2,
                byte_fallback: round % 3 == 2 && round % 2 == 0,
                ignore_merges: round % 5 == 0,
                continuing_prefix: if affixes { "@".into() } else { String::new() },
                end_suffix: if affixes && round % 4 == 0 { "</w>".into() } else { String::new() },
            };
            let (bpe, merges) = draw(&mut numbers, &alphabet, settings, byte_level);
            let (mut scratch, mut cache, mut out) = (Scratch::default(), WordCache::default(), Tokens::default());
            for i in 0..120 {
                let word = numbers.text(&alphabet, if i % 20 == 0 { 400 } else { 12 });
                let expected = plain(&bpe, &word, &merges);
                let text = format!("{word}{word}");
                // Twice: the second time short ones come from the cache.
                for start in [0, word.len(), 0] {
                    out.clear(true);
                    let piece = Piece { text: &text, start, end: start + word.len() };
                    let mut caller = Caller { scratch: &mut scratch, cache: &mut cache, out: &mut out };
                    bpe.encode(piece, &mut caller).unwrap();
                    assert_eq!(out.ids(), expected, "round {round}, {word:?}");
                    let spans = out.spans_mut();
                    assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "round {round}, {word:?}: {spans:?}");
                    assert_eq!(
                        (spans[0].0, spans[spans.len() - 1].1),
                        (start as u32, (start + word.len()) as u32),
                        "{word:?}"
                    );
                    for (id, span) in expected.iter().zip(spans) {
                        let token = bpe.vocab.token(*id).unwrap();
                        let part = &text.as_bytes()[span.0 as usize..span.1 as usize];
                        let bare = token.strip_prefix(&bpe.settings.continuing_prefix).unwrap_or(token);
                        let bare = bare.strip_suffix(&bpe.settings.end_suffix).unwrap_or(bare);
                        let same = if byte_level {
                            byte_level::bytes_of(bare) == part
                        } else {
                            bare.as_bytes() == part || token.as_bytes() == part
                        };
                        assert!(
                            same || token == "<unk>" || token.starts_with("<0x"),
                            "round {round}, {word:?}: {token:?} is {part:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn merges_of_one_result_have_one_rank() {
        // "aaa": the leftmost pair first, then "aa" with "a", which is another way to the token than "a" with "aa".
        let tokens = ["a", "b", "aa", "aab", "aaa"];
        let vocab = Vocab::new(tokens.into_iter().zip(0..)).unwrap();
        let (pairs, results) = (vec![(0, 0), (2, 1), (0, 2), (2, 0)], vec![2, 3, 4, 4]);
        let bpe = Bpe::with_equal_ranks(vocab, pairs, results, BpeSettings::default()).unwrap();
        let (mut scratch, mut cache, mut out) = (Scratch::default(), WordCache::default(), Tokens::default());
        let mut ids = |text: &str| {
            out.clear(false);
            let mut caller = Caller { scratch: &mut scratch, cache: &mut cache, out: &mut out };
            bpe.encode(Piece { text, start: 0, end: text.len() }, &mut caller).map(|()| out.ids().to_vec())
        };
        assert_eq!(
            (ids("aaa").unwrap(), ids("aaab").unwrap(), ids("aaaaa").unwrap()),
            (vec![4], vec![4, 1], vec![2, 4])
        );
        let error = ids("abc").unwrap_err().to_string();
        assert!(error.contains("the byte 0x63 at 2") && error.contains("no unknown token"), "{error}");
    }

    #[test]
    fn merges_that_are_of_no_tokens_are_named() {
        let vocab = Vocab::new(["a", "b"].into_iter().zip(0..)).unwrap();
        let merges = [("a".to_owned(), "b".to_owned())];
        let error = Bpe::new(vocab, merges.into_iter(), BpeSettings::default(), false).unwrap_err();
        assert!(error.contains("\"a\" with \"b\" (merge 0), where \"ab\" is none"), "{error}");
    }
}
