//! All ways to cut a word into pieces.

use super::super::trie::Trie;
use super::{PENALTY, width};

/// Pieces and their scores while they are learned.
pub(super) struct Model<'a> {
    pub trie: &'a Trie,
    pub scores: Vec<f64>,
}

/// The ways to cut one word after the other; memory is kept.
pub(super) struct Lattice<'a> {
    model: &'a Model<'a>,
    /// What a character that is no piece adds.
    unknown: f64,
    /// What is added to a score for each byte of the piece: the same for each way to cut a word, so that it changes nothing but the size.
    scale: f64,
    /// e to the power of each score with its scale.
    weights: Vec<f64>,
    /// From, to and number of the pieces, by where they begin.
    edges: Vec<(u32, u32, u32)>,
    forward: Vec<f64>,
    backward: Vec<f64>,
    /// For each place the edge that the best way comes by.
    from: Vec<u32>,
    path: Vec<u32>,
}

/// The number of a character that is no piece.
const UNKNOWN: u32 = u32::MAX;
const NOWHERE: u32 = u32::MAX;
/// Sums outside of this are taken again in logarithms.
const RANGE: std::ops::Range<f64> = 1e-140..1e140;

impl<'a> Lattice<'a> {
    pub(super) fn new(model: &'a Model<'a>, scale: f64) -> Self {
        let lowest = model.scores.iter().copied().fold(f64::INFINITY, f64::min);
        Lattice {
            model,
            unknown: lowest.min(0.0) - PENALTY,
            scale,
            weights: vec![f64::NAN; model.scores.len()],
            edges: vec![],
            forward: vec![],
            backward: vec![],
            from: vec![],
            path: vec![],
        }
    }

    /// Finds the pieces in a word; `without` is not one of them.
    fn look(&mut self, word: &[u8], without: Option<u32>) {
        self.edges.clear();
        let trie = self.model.trie;
        let mut start = 0;
        while start < word.len() {
            let next = start + width(word[start]);
            let (mut node, mut one) = (Trie::ROOT, false);
            for (end, &byte) in (start + 1..).zip(&word[start..]) {
                let Some(child) = trie.step(node, byte) else { break };
                node = child;
                if let Some(id) = trie.value(node).filter(|&id| Some(id) != without) {
                    self.edges.push((start as u32, end as u32, id));
                    one |= end == next;
                }
            }
            if !one {
                self.edges.push((start as u32, next as u32, UNKNOWN));
            }
            start = next;
        }
    }

    fn score(&self, id: u32) -> f64 {
        self.model.scores.get(id as usize).copied().unwrap_or(self.unknown)
    }

    /// Adds how often each piece is expected in a word that comes `count` times, and gives the logarithm of the word's probability.
    pub(super) fn expect(&mut self, word: &[u8], count: f64, expected: &mut [f64]) -> f64 {
        self.look(word, None);
        self.forward.clear();
        self.forward.resize(word.len() + 1, 0.0);
        self.backward.clear();
        self.backward.resize(word.len() + 1, 0.0);
        self.forward[0] = 1.0;
        self.backward[word.len()] = 1.0;
        for at in 0..self.edges.len() {
            let (start, end, id) = self.edges[at];
            let weight = self.weight(start, end, id);
            self.forward[end as usize] += self.forward[start as usize] * weight;
        }
        for at in (0..self.edges.len()).rev() {
            let (start, end, id) = self.edges[at];
            let weight = self.weight(start, end, id);
            self.backward[start as usize] += self.backward[end as usize] * weight;
        }
        let all = self.forward[word.len()];
        let places = self.edges.iter().map(|edge| edge.0 as usize).chain([word.len()]);
        let mut sums = places.flat_map(|place| [self.forward[place], self.backward[place]]);
        if !sums.all(|sum| RANGE.contains(&sum)) {
            return self.expect_in_logarithms(word.len(), count, expected);
        }
        let factor = count / all;
        for at in 0..self.edges.len() {
            let (start, end, id) = self.edges[at];
            let weight = self.weight(start, end, id);
            if let Some(expected) = expected.get_mut(id as usize) {
                *expected += factor * self.forward[start as usize] * weight * self.backward[end as usize];
            }
        }
        all.ln() - self.scale * word.len() as f64
    }

    #[inline]
    fn weight(&mut self, start: u32, end: u32, id: u32) -> f64 {
        let length = f64::from(end - start);
        let Some(&weight) = self.weights.get(id as usize) else { return (self.unknown + self.scale * length).exp() };
        if !weight.is_nan() {
            return weight;
        }
        let weight = (self.model.scores[id as usize] + self.scale * length).exp();
        self.weights[id as usize] = weight;
        weight
    }

    /// The same for words whose probability is beyond the numbers.
    #[cold]
    fn expect_in_logarithms(&mut self, length: usize, count: f64, expected: &mut [f64]) -> f64 {
        let add = |sum: &mut f64, x: f64| {
            let (low, high) = (sum.min(x), sum.max(x));
            *sum = if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() };
        };
        self.forward.fill(f64::NEG_INFINITY);
        self.backward.fill(f64::NEG_INFINITY);
        self.forward[0] = 0.0;
        self.backward[length] = 0.0;
        for &(start, end, id) in &self.edges {
            let x = self.forward[start as usize] + self.score(id);
            add(&mut self.forward[end as usize], x);
        }
        for &(start, end, id) in self.edges.iter().rev() {
            let x = self.backward[end as usize] + self.score(id);
            add(&mut self.backward[start as usize], x);
        }
        let all = self.forward[length];
        for &(start, end, id) in &self.edges {
            if let Some(expected) = expected.get_mut(id as usize) {
                let way = self.forward[start as usize] + self.model.scores[id as usize] + self.backward[end as usize];
                *expected += count * (way - all).exp();
            }
        }
        all
    }

    /// The pieces of the best way, last first, and its score; a character that is no piece has a number that no piece has. `without` is not
    /// used; where there is no way without it, there are no pieces.
    pub(super) fn best(&mut self, word: &[u8], without: Option<u32>) -> (&[u32], f64) {
        self.look(word, without);
        self.forward.clear();
        self.forward.resize(word.len() + 1, f64::NEG_INFINITY);
        self.forward[0] = 0.0;
        self.from.clear();
        self.from.resize(word.len() + 1, NOWHERE);
        for (at, &(start, end, id)) in self.edges.iter().enumerate() {
            let score = self.forward[start as usize] + self.score(id);
            if self.from[end as usize] == NOWHERE || score > self.forward[end as usize] {
                self.forward[end as usize] = score;
                self.from[end as usize] = at as u32;
            }
        }
        self.path.clear();
        let mut place = word.len();
        while let Some(&(start, _, id)) = self.edges.get(self.from[place] as usize) {
            self.path.push(id);
            place = start as usize;
        }
        (&self.path, self.forward[word.len()])
    }
}
