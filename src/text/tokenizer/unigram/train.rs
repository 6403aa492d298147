//! Learning the pieces of a unigram model from words and how often they come.

use super::super::trie::Trie;
use super::corpus::{Corpus, Piece};
use super::lattice::{Lattice, Model};
use super::seeds::seeds;
use crate::error::{Error, Result};

/// Learns a [`Unigram`](super::Unigram) model (T. Kudo, "Subword regularization", 2018): it begins with many pieces, all characters and the
/// substrings that come most often, and by turns finds their probabilities by expectation maximisation and takes out those without which the
/// likelihood of the words falls least, until as many are left as are wanted. The numbers are those of SentencePiece's trainer.
///
/// The same words with the same counts give the same pieces and bits, in whatever order they come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnigramTrainer {
    /// How many pieces there will be, special ones included; fewer where the words have no more. 8,000.
    pub vocab_size: usize,
    /// What part of the pieces a round leaves. 0.75.
    pub shrinking_factor: f64,
    /// The most characters of a piece. 16.
    pub max_piece_length: usize,
    /// The most substrings to begin with. 1,000,000.
    pub seed_size: usize,
    /// Steps of expectation maximisation in a round. 2.
    pub n_sub_iterations: usize,
    /// Pieces that come first, with a score of 0.
    pub special_tokens: Vec<String>,
    /// The unknown piece; it comes before the special tokens if it is none of them.
    pub unknown: Option<String>,
    /// Characters that are to be pieces even if no word has them.
    pub initial_alphabet: Vec<char>,
}

impl Default for UnigramTrainer {
    fn default() -> Self {
        UnigramTrainer {
            vocab_size: 8000,
            shrinking_factor: 0.75,
            max_piece_length: 16,
            seed_size: 1_000_000,
            n_sub_iterations: 2,
            special_tokens: vec![],
            unknown: None,
            initial_alphabet: vec![],
        }
    }
}

/// What [`UnigramTrainer::train`] has learned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trained {
    /// Special pieces, then the others from the most probable one on.
    pub pieces: Vec<(String, f64)>,
    /// The number of the unknown piece.
    pub unknown: Option<u32>,
}

/// Pieces that are expected to come less often go at once.
const RARE: f64 = 0.5;
/// How many pieces there are at the end of the rounds, for one that is wanted.
const SPARE: f64 = 1.1;
/// By how much the scores of characters that no path uses differ.
const STEP: f64 = 0.0001;

impl UnigramTrainer {
    /// Learns from words and how often each comes; `progress` is called with the name of a stage, how much of it is done and of how much.
    ///
    /// # Errors
    /// [`Error::Argument`] for a setting out of its range, a vocabulary smaller than the alphabet and the special tokens together, or words of
    /// 4 GiB or more together (each counted once); [`Error::Empty`] for no words.
    pub(crate) fn train(
        &self,
        words: impl IntoIterator<Item = (String, u64)>,
        progress: &mut dyn FnMut(&'static str, usize, usize),
    ) -> Result<Trained> {
        let specials = self.specials()?;
        let corpus = Corpus::new(words)?;
        let alphabet = self.alphabet(&corpus);
        let Some(room) = self.vocab_size.checked_sub(specials.len()).filter(|&room| room >= alphabet.len()) else {
            let expected = format!(
                "at least {}, {} characters and {} special tokens",
                alphabet.len() + specials.len(),
                alphabet.len(),
                specials.len()
            );
            let hint = "make the vocabulary larger, or take rare characters out of the text";
            return Err(Error::argument("UnigramTrainer", "vocab_size", expected, self.vocab_size, hint));
        };
        progress("seeds", 0, 1);
        let mut pieces = seeds(&corpus, self.max_piece_length, self.seed_size);
        progress("seeds", 1, 1);
        let wanted = (self.vocab_size as f64 * SPARE) as usize;
        let rounds = (pieces.len() as f64 / wanted as f64).ln() / -self.shrinking_factor.ln();
        let (rounds, mut round) = (rounds.ceil().max(0.0) as usize + 1, 0);
        let mut scale = 0.0;
        loop {
            progress("rounds", round.min(rounds - 1), rounds);
            for _ in 0..self.n_sub_iterations {
                let trie = Trie::new((0..).zip(&pieces).map(|(id, piece)| (corpus.bytes(piece), id)))?;
                let model = Model { trie: &trie, scores: pieces.iter().map(|piece| piece.score).collect() };
                pieces = maximised(&pieces, &expected(&corpus, &model, &mut scale));
            }
            if pieces.len() <= wanted {
                break;
            }
            let left = wanted.max((self.shrinking_factor * pieces.len() as f64) as usize);
            let before = pieces.len();
            pieces = pruned(&corpus, pieces, left)?;
            if pieces.len() == before {
                break; // All that are left are needed.
            }
            round += 1;
        }
        progress("rounds", rounds, rounds);
        Ok(self.finished(&corpus, pieces, alphabet, specials, room))
    }

    /// The special tokens in their order, each once, the unknown one among them.
    fn specials(&self) -> Result<Vec<String>> {
        let wrong = |name, expected: &str, got: String| {
            Err(Error::argument("UnigramTrainer", name, expected, got, "the default is a good one"))
        };
        if !(self.shrinking_factor > 0.0 && self.shrinking_factor < 1.0) {
            return wrong("shrinking_factor", "above 0 and below 1", self.shrinking_factor.to_string());
        }
        if !(1..=Trie::LONGEST / 4).contains(&self.max_piece_length) {
            return wrong("max_piece_length", "1 to 256 characters", self.max_piece_length.to_string());
        }
        if self.n_sub_iterations == 0 {
            return wrong("n_sub_iterations", "at least 1", "0".into());
        }
        let mut specials: Vec<String> = vec![];
        let first = self.unknown.iter().filter(|unknown| !self.special_tokens.contains(unknown));
        for token in first.chain(&self.special_tokens) {
            if !specials.contains(token) {
                specials.push(token.clone());
            }
        }
        Ok(specials)
    }

    /// All characters, in the order of their code points.
    fn alphabet(&self, corpus: &Corpus) -> Vec<char> {
        let mut alphabet: Vec<char> = corpus.text.chars().chain(self.initial_alphabet.iter().copied()).collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        alphabet
    }

    /// The special pieces, all characters, and of the others those with the highest scores.
    fn finished(
        &self,
        corpus: &Corpus,
        pieces: Vec<Piece>,
        alphabet: Vec<char>,
        specials: Vec<String>,
        room: usize,
    ) -> Trained {
        let mut found: Vec<(&str, f64)> = pieces.iter().map(|piece| (corpus.text(piece), piece.score)).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let lowest = found.last().map_or(0.0, |last| last.1);
        let one = |text: &str| text.chars().nth(1).is_none();
        let mut kept: Vec<(String, f64)> = vec![];
        let mut missing = 0;
        let scores: std::collections::HashMap<&str, f64> =
            found.iter().copied().filter(|(text, _)| one(text)).collect();
        for c in alphabet {
            let text = c.to_string();
            let score = scores.get(&text[..]).copied().unwrap_or_else(|| {
                missing += 1;
                lowest + STEP * f64::from(missing - 1)
            });
            kept.push((text, score));
        }
        let others = found.iter().filter(|(text, _)| !one(text)).take(room - kept.len());
        kept.extend(others.map(|&(text, score)| (text.to_owned(), score)));
        kept.retain(|(text, _)| !specials.contains(text));
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let unknown = self.unknown.as_ref().and_then(|unknown| specials.iter().position(|token| token == unknown));
        let pieces = specials.into_iter().map(|token| (token, 0.0)).chain(kept).collect();
        Trained { pieces, unknown: unknown.map(|place| place as u32) }
    }
}

/// How often each piece is expected to come, over all ways to cut the words. `scale` is the mean loss of a byte that the step before has found
/// (0 at first), which keeps probabilities of words in range; it is replaced by this step's.
fn expected(corpus: &Corpus, model: &Model<'_>, scale: &mut f64) -> Vec<f64> {
    let mut expected = vec![0.0; model.scores.len()];
    let mut lattice = Lattice::new(model, *scale);
    let (mut loss, mut bytes) = (0.0, 0.0);
    for (word, count) in corpus.words() {
        loss -= lattice.expect(word, count, &mut expected) * count;
        bytes += word.len() as f64 * count;
    }
    *scale = loss / bytes;
    expected
}

/// Scores from how often pieces are expected. Digamma instead of the logarithm takes from rare pieces, as a Dirichlet prior of few pieces does.
fn maximised(pieces: &[Piece], expected: &[f64]) -> Vec<Piece> {
    let kept = || pieces.iter().zip(expected).filter(|(_, count)| **count >= RARE);
    let total = digamma(kept().map(|(_, count)| count).sum());
    kept().map(|(piece, &count)| Piece { score: digamma(count) - total, ..*piece }).collect()
}

/// Takes pieces out until `left` are left: those that the best path uses nowhere or cuts itself, then those without which the likelihood falls
/// least.
fn pruned(corpus: &Corpus, pieces: Vec<Piece>, left: usize) -> Result<Vec<Piece>> {
    let trie = Trie::new((0..).zip(&pieces).map(|(id, piece)| (corpus.bytes(piece), id)))?;
    let model = Model { trie: &trie, scores: pieces.iter().map(|piece| piece.score).collect() };
    let mut lattice = Lattice::new(&model, 0.0);
    let mut uses = vec![0.0; pieces.len()];
    let mut words = 0.0;
    for (word, count) in corpus.words() {
        words += count;
        for &id in lattice.best(word, None).0 {
            if let Some(uses) = uses.get_mut(id as usize) {
                *uses += count;
            }
        }
    }
    let total: f64 = uses.iter().sum();
    let (mut kept, mut candidates) = (vec![], vec![]);
    for (id, piece) in pieces.iter().enumerate() {
        if uses[id] == 0.0 {
            continue;
        }
        let (path, score) = lattice.best(corpus.bytes(piece), Some(id as u32));
        if path.is_empty() || path.iter().any(|&other| other as usize >= pieces.len()) {
            kept.push(*piece); // It cannot be cut.
        } else if score <= piece.score {
            let parts = path.len() as f64;
            let log = total.ln();
            let others = (total + uses[id] * (parts - 1.0)).ln();
            let without: f64 = path.iter().map(|&other| (uses[other as usize] + uses[id]).ln() - others).sum();
            candidates.push((uses[id] / words * (uses[id].ln() - log - without), *piece));
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| corpus.text(&a.1).cmp(corpus.text(&b.1))));
    let room = left.saturating_sub(kept.len());
    kept.extend(candidates.into_iter().take(room).map(|(_, piece)| piece));
    Ok(kept)
}

/// The derivative of ln Γ, for x > 0: the recurrence up to 7 and there the asymptotic series (Abramowitz and Stegun, 6.3.5 and 6.3.18).
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    result + x.ln() - 0.5 / x - y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * (1.0 / 240.0 - y / 132.0))))
}

#[cfg(test)]
mod tests {
    use super::super::{Scratch, Unigram};
    use super::*;

    fn words() -> Vec<(String, u64)> {
        let few = [("▁the", 500), ("▁then", 20), ("▁of", 300), ("▁off", 20), ("▁Ω", 1)];
        let mut words: Vec<(String, u64)> = few.map(|(word, count)| (word.to_owned(), count)).into();
        for (i, first) in (0..).zip(["b", "c", "f", "l", "p", "st"]) {
            for (j, middle) in (0..).zip(["a", "e", "o", "oo"]) {
                for (k, last) in (0..).zip(["ck", "ll", "n", "rk", "t"]) {
                    let ends = [("", 4), ("ed", 2), ("ing", 3), ("s", 3), ("er", 1)];
                    words.extend(
                        ends.map(|(end, count)| {
                            (format!("▁{first}{middle}{last}{end}"), count * (1 + (i + j * k) % 4))
                        }),
                    );
                }
            }
        }
        words
    }

    fn trainer(vocab_size: usize) -> UnigramTrainer {
        let special_tokens = vec!["<s>".into(), "<unk>".into(), "<s>".into()];
        UnigramTrainer { vocab_size, special_tokens, unknown: Some("<unk>".into()), ..Default::default() }
    }

    #[test]
    fn frequent_words_and_endings_are_found_and_all_characters_kept() {
        let mut stages = vec![];
        let trained = trainer(50).train(words(), &mut |stage, done, total| stages.push((stage, done, total))).unwrap();
        assert_eq!(trained.pieces.len(), 50);
        assert_eq!(trained.pieces[..2], [("<s>".to_owned(), 0.0), ("<unk>".to_owned(), 0.0)]);
        assert_eq!(trained.unknown, Some(1));
        let text: Vec<&str> = trained.pieces.iter().map(|piece| &piece.0[..]).collect();
        assert!(["▁the", "▁of", "ed", "ing", "Ω", "▁", "k"].iter().all(|piece| text.contains(piece)), "{text:?}");
        assert!(trained.pieces[2..].windows(2).all(|two| two[0].1 >= two[1].1) && trained.pieces[2].1 < 0.0);
        assert!(stages.iter().all(|&(_, done, total)| done <= total));
        assert_eq!(stages.last().map(|stage| (stage.0, stage.1 == stage.2)), Some(("rounds", true)));
        let unigram = Unigram::new(trained.pieces.clone(), trained.unknown, false).unwrap();
        let mut out = vec![];
        unigram.encode("▁locking", &mut Scratch::default(), &mut out).unwrap();
        assert!(
            out.len() <= 3 && out.last().map(|piece| &unigram.pieces()[piece.0 as usize][..]) == Some("ing"),
            "{out:?}"
        );
    }

    #[test]
    fn the_order_of_words_changes_no_bit() {
        let trained = trainer(60).train(words(), &mut |_, _, _| ()).unwrap();
        let mut other: Vec<_> = words().into_iter().rev().collect();
        other[3].1 -= 1;
        let (word, _) = other[3].clone();
        other.extend([(word, 1), (String::new(), 9), ("never".into(), 0)]);
        assert_eq!(trainer(60).train(other, &mut |_, _, _| ()).unwrap(), trained);
    }

    #[test]
    fn expectations_are_sums_over_all_ways() {
        // Of "ab": the piece with 1/4, or a and b with 1/2 each: as probable, so each is expected half a time.
        let corpus = Corpus::new([("ab".to_owned(), 6)]).unwrap();
        let keys = ["a", "b", "ab"];
        let trie = Trie::new(keys.iter().zip(0..).map(|(key, id)| (key.as_bytes(), id))).unwrap();
        let model = Model { trie: &trie, scores: vec![0.5f64.ln(), 0.5f64.ln(), 0.25f64.ln()] };
        let mut scale = 0.0;
        let counts = expected(&corpus, &model, &mut scale);
        assert!(counts.iter().all(|count| (count - 3.0).abs() < 1e-12), "{counts:?}");
        assert!((scale - 2f64.ln() / 2.0).abs() < 1e-12);
        // In logarithms, and with the scale, the same.
        let long = Corpus::new([("ab".repeat(4000), 2)]).unwrap();
        for mut scale in [0.0, scale, 3.0] {
            let counts = expected(&long, &model, &mut scale);
            assert!(counts.iter().all(|count| (count - 4000.0).abs() < 1e-6), "{counts:?}");
        }
    }

    #[test]
    fn digamma_at_known_places() {
        let euler = 0.577_215_664_901_532_9;
        let known = [
            (1.0, -euler),
            (0.5, -euler - 4f64.ln()),
            (2.0, 1.0 - euler),
            (10.0, 2.251_752_589_066_721),
            (1e6, 13.815_510_057_964_191),
        ];
        for (x, value) in known {
            assert!((digamma(x) - value).abs() < 1e-9, "{x}: {} instead of {value}", digamma(x));
        }
    }

    #[test]
    fn what_cannot_be_learned() {
        let error = |trainer: UnigramTrainer, words: Vec<(String, u64)>| {
            trainer.train(words, &mut |_, _, _| ()).unwrap_err().to_string()
        };
        assert!(error(trainer(50), vec![]).contains("has no samples"));
        assert!(
            error(trainer(5), words()).contains("19 characters and 2 special tokens"),
            "{}",
            error(trainer(5), words())
        );
        assert!(error(UnigramTrainer { shrinking_factor: 1.0, ..trainer(50) }, words()).contains("shrinking_factor"));
        assert!(error(UnigramTrainer { max_piece_length: 0, ..trainer(50) }, words()).contains("max_piece_length"));
        assert!(error(UnigramTrainer { n_sub_iterations: 0, ..trainer(50) }, words()).contains("n_sub_iterations"));
        // One word of many bytes, fewer pieces than wanted, no substrings.
        let trained = UnigramTrainer { seed_size: 0, ..trainer(50) }
            .train([("xyz".repeat(20_000), 3)], &mut |_, _, _| ())
            .unwrap();
        assert_eq!(trained.pieces.len(), 5);
    }
}
