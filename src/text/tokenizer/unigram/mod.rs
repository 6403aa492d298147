//! Cutting a text into the pieces that are most probable together.

mod corpus;
mod lattice;
mod seeds;
pub(crate) mod train;

use super::trie::Trie;
use crate::error::{Error, Result};

/// A unigram language model (T. Kudo, "Subword regularization", 2018): pieces with their log-probabilities. A text is cut so that the sum over
/// its pieces is greatest.
///
/// The path is found from the left. Of two ways to a place the one whose last piece is longer stays unless the other's sum is greater, so
/// that the order and precision of additions decide between equal ways; [`Precision`] says whose additions. A character that is no piece
/// counts as the lowest score less 10; neighbouring ones are one unknown piece, or the pieces of their bytes.
///
/// Time is linear in the text, with the length of pieces as a bound on the factor.
#[derive(Clone, Debug)]
pub(crate) struct Unigram {
    pieces: Vec<String>,
    trie: Trie,
    /// What a piece adds to a path.
    scores: Vec<f64>,
    /// What a character that is no piece adds.
    unknown_score: f64,
    unknown: Option<u32>,
    /// The pieces `<0x00>` to `<0xFF>`, where all that are needed are there.
    bytes: Option<Box<[Option<u32>; 256]>>,
    precision: Precision,
}

/// How the scores of a path are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As Hugging Face's tokenizers does, in f64.
    F64,
    /// As SentencePiece does, in f32.
    F32,
}

/// What SentencePiece knows of pieces beyond their scores.
pub(super) struct Rules {
    /// For each piece, what it adds to a path; nothing for one that no text is cut into.
    pub scores: Vec<Option<f64>>,
    /// The lowest score, from which that of unknown characters follows.
    pub lowest: f64,
    /// The pieces of the bytes.
    pub bytes: Option<Box<[Option<u32>; 256]>>,
    pub precision: Precision,
}

/// Memory for [`Unigram::encode`], kept from call to call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    /// The best way to each byte from the last place that every way goes through.
    ways: Vec<Way>,
    /// The pieces of a path, last first.
    path: Vec<(u32, u32)>,
}

impl Scratch {
    /// Places up to which memory is kept.
    const KEPT: usize = 1 << 18;
}

/// The best way to a place that is known so far.
#[derive(Clone, Copy, Debug)]
struct Way {
    score: f64,
    /// Where its last piece begins, from the beginning of the window; [`NOWHERE`] while no way is known.
    start: u32,
    id: u32,
}

const NOWHERE: u32 = u32::MAX;
/// The id of a character that is no piece, until it is known how its neighbours are.
const UNKNOWN: u32 = u32::MAX;
/// How much less than the lowest score an unknown character counts.
const PENALTY: f64 = 10.0;

impl Unigram {
    /// Pieces with their log-probabilities, the number of the unknown one, and whether characters that are no piece become the pieces of
    /// their bytes (`<0x00>` to `<0xFF>`) where these are there, as the model of tokenizer.json has it. Of equal pieces the last is found.
    ///
    /// # Errors
    /// [`Error::Argument`] for no pieces, a score that is not finite, a number that no piece has, a piece of more than 1,024 bytes.
    pub(crate) fn new(pieces: Vec<(String, f64)>, unknown: Option<u32>, byte_fallback: bool) -> Result<Self> {
        let scores = pieces.iter().map(|&(_, score)| Some(score)).collect();
        let lowest = pieces.iter().map(|&(_, score)| score).fold(f64::INFINITY, f64::min);
        let rules = Rules { scores, lowest, bytes: None, precision: Precision::F64 };
        let mut unigram = Self::with_rules(pieces.into_iter().map(|(piece, _)| piece).collect(), unknown, rules)?;
        if byte_fallback {
            let bytes: [_; 256] = std::array::from_fn(|byte| unigram.id(&format!("<0x{byte:02X}>")));
            unigram.bytes = Some(Box::new(bytes));
        }
        Ok(unigram)
    }

    /// Pieces and what else is known of them.
    pub(super) fn with_rules(pieces: Vec<String>, unknown: Option<u32>, rules: Rules) -> Result<Self> {
        let wrong = |name, expected: &str, got: String| {
            Error::argument("Unigram", name, expected, got, "correct the list of pieces (vocab, unk_id)")
        };
        if pieces.is_empty() || pieces.len() >= UNKNOWN as usize {
            return Err(wrong("the number of pieces", "at least 1 and below 2³² - 1", pieces.len().to_string()));
        }
        if let Some((id, score)) =
            (0..).zip(&rules.scores).find(|(_, score)| score.is_some_and(|score| !score.is_finite()))
        {
            let got = format!("{} for piece {id} ({:?})", score.unwrap_or(f64::NAN), pieces[id]);
            return Err(wrong("a score", "finite", got));
        }
        if let Some(id) = unknown.filter(|&id| id as usize >= pieces.len()) {
            return Err(wrong("unk_id", "the number of a piece", format!("{id} of {} pieces", pieces.len())));
        }
        let found = (0..).zip(&pieces).zip(&rules.scores).filter(|(_, score)| score.is_some());
        let trie = Trie::new(found.map(|((id, piece), _)| (piece.as_bytes(), id)))?;
        Ok(Unigram {
            pieces,
            trie,
            scores: rules.scores.into_iter().map(|score| score.unwrap_or(0.0)).collect(),
            unknown_score: match rules.precision {
                Precision::F64 => rules.lowest - PENALTY,
                Precision::F32 => f64::from(rules.lowest as f32 - PENALTY as f32),
            },
            unknown,
            bytes: rules.bytes,
            precision: rules.precision,
        })
    }

    /// The text of each piece.
    pub(crate) fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// What a piece adds to a path; for a model of tokenizer.json its score.
    pub(crate) fn score(&self, id: u32) -> Option<f64> {
        self.scores.get(id as usize).copied()
    }

    /// The number of a piece that a text can be cut into.
    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.trie.get(piece.as_bytes())
    }

    /// The number of the unknown piece.
    pub(crate) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Cuts a text and appends for each piece its number and its bytes in the text, from and to. The pieces of bytes all have the whole run of
    /// unknown characters that they stand for.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text of 4 GiB or more; [`Error::Config`] for an unknown character where there is no unknown piece (and no
    /// pieces of bytes). What `out` holds of the text is then of no use.
    pub(crate) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<(u32, u32, u32)>) -> Result<()> {
        if text.len() >= NOWHERE as usize {
            let hint = "cut it into documents";
            return Err(Error::argument(
                "Tokenizer",
                "a text",
                "shorter than 4 GiB",
                format!("{} bytes", text.len()),
                hint,
            ));
        }
        match self.precision {
            Precision::F64 => self.windows::<false>(text, scratch, out),
            Precision::F32 => self.windows::<true>(text, scratch, out),
        }
    }

    /// Goes from one place that every way goes through to the next, so that what is remembered stays short.
    fn windows<const ROUND: bool>(
        &self,
        text: &str,
        scratch: &mut Scratch,
        out: &mut Vec<(u32, u32, u32)>,
    ) -> Result<()> {
        let bytes = text.as_bytes();
        let nowhere = Way { score: 0.0, start: NOWHERE, id: UNKNOWN };
        let (mut window, mut score) = (0, 0.0);
        let mut run = None;
        while window < bytes.len() {
            let ways = &mut scratch.ways;
            ways.clear();
            ways.push(Way { score, ..nowhere });
            let rest = &bytes[window..];
            let mut at = 0;
            loop {
                let here = ways[at].score;
                let width = width(rest[at]);
                if ways.len() <= at + width {
                    ways.resize(at + width + 1, nowhere);
                }
                let mut node = Trie::ROOT;
                let mut one = false;
                for (end, &byte) in (at + 1..).zip(&rest[at..]) {
                    let Some(next) = self.trie.step(node, byte) else { break };
                    node = next;
                    let Some(id) = self.trie.value(node) else { continue };
                    if end >= ways.len() {
                        ways.resize(end + 1, nowhere);
                    }
                    ways[end].offer::<ROUND>(here + self.scores[id as usize], at, id);
                    one |= end == at + width;
                }
                if !one {
                    ways[at + width].offer::<ROUND>(here + self.unknown_score, at, UNKNOWN);
                }
                at += width;
                if at + 1 == ways.len() {
                    break;
                }
            }
            score = ways[at].score;
            scratch.path.clear();
            let mut end = at;
            while end > 0 {
                scratch.path.push((ways[end].id, end as u32));
                end = ways[end].start as usize;
            }
            let mut start = window;
            for &(id, end) in scratch.path.iter().rev() {
                let end = window + end as usize;
                self.piece(text, id, start, end, &mut run, out)?;
                start = end;
            }
            window += at;
        }
        self.end_run(text, window, &mut run, out)?;
        scratch.ways.truncate(Scratch::KEPT);
        scratch.ways.shrink_to(Scratch::KEPT);
        scratch.path.truncate(Scratch::KEPT);
        scratch.path.shrink_to(Scratch::KEPT);
        Ok(())
    }

    /// Appends a piece of the best path; `run` is where neighbouring unknown characters before it begin.
    #[inline]
    fn piece(
        &self,
        text: &str,
        id: u32,
        start: usize,
        end: usize,
        run: &mut Option<usize>,
        out: &mut Vec<(u32, u32, u32)>,
    ) -> Result<()> {
        if id == UNKNOWN || self.unknown == Some(id) {
            run.get_or_insert(start);
            return Ok(());
        }
        if run.is_some() {
            self.end_run(text, start, run, out)?;
        }
        out.push((id, start as u32, end as u32));
        Ok(())
    }

    /// Appends what a run of unknown characters becomes.
    #[cold]
    fn end_run(&self, text: &str, end: usize, run: &mut Option<usize>, out: &mut Vec<(u32, u32, u32)>) -> Result<()> {
        let Some(start) = run.take() else { return Ok(()) };
        let place = |id| (id, start as u32, end as u32);
        let part = &text[start..end];
        // The text of the unknown piece itself, for one. SentencePiece has it for no piece.
        if self.precision == Precision::F64
            && let Some(id) = self.id(part)
        {
            out.push(place(id));
            return Ok(());
        }
        let before = out.len();
        if let Some(bytes) = &self.bytes {
            out.extend(part.bytes().map_while(|byte| bytes[usize::from(byte)]).map(place));
            if out.len() == before + part.len() {
                return Ok(());
            }
            out.truncate(before);
        }
        let Some(id) = self.unknown else {
            let problem = format!("{part:?} at byte {start} is no piece, and the model has no unknown piece (unk_id)");
            return Err(Error::Config { op: "Tokenizer", problem, hint: "give the model an unknown piece".into() });
        };
        out.push(place(id));
        Ok(())
    }
}

impl Way {
    /// Takes another way to the same place if it is better.
    #[inline(always)]
    fn offer<const ROUND: bool>(&mut self, score: f64, start: usize, id: u32) {
        let score = if ROUND { f64::from(score as f32) } else { score };
        if self.start == NOWHERE || score > self.score {
            *self = Way { score, start: start as u32, id };
        }
    }
}

/// How many bytes a character has, by its first one.
#[inline(always)]
fn width(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unigram(pieces: &[(&str, f64)], unknown: Option<u32>, byte_fallback: bool) -> Unigram {
        let pieces = pieces.iter().map(|&(piece, score)| (piece.to_owned(), score)).collect();
        Unigram::new(pieces, unknown, byte_fallback).unwrap()
    }

    fn encode(unigram: &Unigram, text: &str) -> Vec<(u32, u32, u32)> {
        let mut out = vec![];
        unigram.encode(text, &mut Scratch::default(), &mut out).unwrap();
        out
    }

    #[test]
    fn the_path_with_the_greatest_sum() {
        let pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.5), ("abc", -9.0), ("é", -2.0)];
        let unigram = unigram(&pieces, Some(0), false);
        assert_eq!(encode(&unigram, "abéa"), [(3, 0, 2), (5, 2, 4), (1, 4, 5)]);
        // Neighbouring unknown characters are one piece, and the text of the unknown piece is a piece as any other.
        assert_eq!(encode(&unigram, "xyaz"), [(0, 0, 2), (1, 2, 3), (0, 3, 4)]);
        assert_eq!(encode(&unigram, "<unk>"), [(0, 0, 5)]);
        assert_eq!(encode(&unigram, ""), []);
        assert_eq!((unigram.id("ab"), unigram.score(3), unigram.unknown()), (Some(3), Some(-1.5), Some(0)));
        assert_eq!(unigram.pieces()[4], "abc");
    }

    #[test]
    fn of_equal_ways_the_one_that_begins_first() {
        let pieces = [("<unk>", -9.0), ("=", -2.0), ("==", -4.0), ("=a", -4.0), ("a", -2.0)];
        let unigram = unigram(&pieces, Some(0), false);
        assert_eq!(encode(&unigram, "==="), [(1, 0, 1), (2, 1, 3)]);
        assert_eq!(encode(&unigram, "=a"), [(3, 0, 2)]);
    }

    #[test]
    fn unknown_characters_as_bytes() {
        let mut pieces = vec![("<unk>".to_owned(), 0.0), ("a".to_owned(), -1.0)];
        pieces.extend((0..255).map(|byte| (format!("<0x{byte:02X}>"), -5.0)));
        let unigram = Unigram::new(pieces, Some(0), true).unwrap();
        assert_eq!(encode(&unigram, "aé"), [(1, 0, 1), (2 + 0xC3, 1, 3), (2 + 0xA9, 1, 3)]);
        // A run for which one byte (here 0xFF, in no text) is missing stays unknown; all of these are there.
        assert_eq!(encode(&unigram, "é中").len(), 5);
    }

    #[test]
    fn as_all_ways_tried_one_after_the_other() {
        // The definition, with strings: the best way to each place, by where the last piece begins.
        fn naive(pieces: &[(String, f64)], text: &str) -> f64 {
            let lowest = pieces.iter().map(|piece| piece.1).fold(f64::INFINITY, f64::min);
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut best = vec![f64::NEG_INFINITY; text.len() + 1];
            best[0] = 0.0;
            for (i, &from) in places.iter().enumerate() {
                for (k, &to) in places.iter().enumerate().skip(i + 1) {
                    let found = pieces.iter().rev().find(|piece| piece.0 == text[from..to]).map(|piece| piece.1);
                    if let Some(score) = found.or((k == i + 1).then_some(lowest - 10.0)) {
                        best[to] = best[to].max(best[from] + score);
                    }
                }
            }
            best[text.len()]
        }
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let letters = ["a", "b", "é", "中", "𝄞"];
        for _ in 0..50 {
            let mut string = |most| (0..=next(most)).map(|_| letters[next(5) as usize]).collect::<String>();
            let mut pieces: Vec<(String, f64)> = vec![("<unk>".into(), 0.0)];
            (0..30).for_each(|i| pieces.push((string(4), -1.0 - f64::from(i * 7 % 13))));
            let texts: Vec<String> = (0..20).map(|_| string(20)).collect();
            let unigram = Unigram::new(pieces.clone(), Some(0), false).unwrap();
            for text in texts {
                let out = encode(&unigram, &text);
                let score = |&(id, from, to): &(u32, u32, u32)| match id {
                    0 => unigram.unknown_score * text[from as usize..to as usize].chars().count() as f64,
                    _ => unigram.score(id).unwrap(),
                };
                let sum: f64 = out.iter().map(score).sum();
                assert!((sum - naive(&pieces, &text)).abs() < 1e-9, "{text} {out:?}");
                assert!(out.windows(2).all(|two| two[0].2 == two[1].1) && out.last().unwrap().2 == text.len() as u32);
                assert!(out.iter().all(
                    |&(id, from, to)| id == 0 || unigram.pieces()[id as usize] == text[from as usize..to as usize]
                ));
            }
        }
    }

    #[test]
    fn long_runs_and_what_is_wrong() {
        let pieces: Vec<(String, f64)> = (1..=40).map(|n| ("a".repeat(n), -(n as f64).sqrt())).collect();
        let unigram = Unigram::new(pieces, None, false).unwrap();
        let out = encode(&unigram, &"a".repeat(100_000));
        assert_eq!((out.len(), out[7]), (2500, (39, 280, 320)));
        let error = unigram.encode("aab", &mut Scratch::default(), &mut vec![]).unwrap_err().to_string();
        assert!(error.contains("\"b\" at byte 2 is no piece"), "{error}");
        let error = |pieces: Vec<(String, f64)>, unknown| Unigram::new(pieces, unknown, false).unwrap_err().to_string();
        assert!(error(vec![], None).contains("at least 1"));
        assert!(error(vec![("a".into(), f64::NAN)], None).contains("NaN for piece 0 (\"a\")"));
        assert!(error(vec![("a".into(), 0.0)], Some(1)).contains("1 of 1 pieces"));
        assert!(error(vec![("a".repeat(2000), 0.0)], None).contains("2000 bytes for piece 0"));
    }
}
