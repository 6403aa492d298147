//! The tokens of a model by id and by text.

use std::hash::{BuildHasher, RandomState};

/// Tokens in one buffer, with a table from text to id. Ids may have gaps.
///
/// The hash is keyed anew in every process, so that a hostile file cannot prepare collisions; nothing is read in its order.
#[derive(Clone, Debug)]
pub(super) struct Vocab {
    text: String,
    /// For each id where its text lies; nothing for a gap.
    ranges: Vec<Option<(u32, u32)>>,
    slots: Vec<u32>,
    hash: RandomState,
    count: usize,
}

const EMPTY: u32 = u32::MAX;
/// More ids than any vocabulary has: a gap as wide as a damaged number would cost memory.
const MAX_GAP: usize = 1 << 20;

impl Vocab {
    /// From pairs of text and id.
    pub(super) fn new<'t>(tokens: impl Iterator<Item = (&'t str, u32)> + Clone) -> Result<Self, String> {
        let (count, most) = tokens.clone().fold((0, 0), |(n, most), (_, id)| (n + 1, most.max(id as usize)));
        if count == 0 {
            return Err("expected a vocabulary with tokens, got an empty one".into());
        }
        if most >= count + MAX_GAP {
            return Err(format!("expected ids below {} for {count} tokens, got {most}", count + MAX_GAP));
        }
        let size = (count * 2).next_power_of_two();
        let slots = vec![EMPTY; size];
        let ranges = vec![None; most + 1];
        let mut vocab = Self { text: String::new(), ranges, slots, hash: RandomState::new(), count };
        for (token, id) in tokens {
            if let Some(other) = vocab.token(id) {
                return Err(format!("expected an id for each token, got {id} for {other:?} and for {token:?}"));
            }
            let slot = vocab.slot(token);
            if vocab.slots[slot] != EMPTY {
                return Err(format!("expected every token once, got {token:?} twice"));
            }
            vocab.slots[slot] = id;
            let start = vocab.text.len();
            vocab.text.push_str(token);
            let end = u32::try_from(vocab.text.len()).map_err(|_| "expected tokens of less than 4 GiB".to_owned())?;
            vocab.ranges[id as usize] = Some((start as u32, end));
        }
        Ok(vocab)
    }

    fn slot(&self, token: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hash.hash_one(token) as usize & mask;
        while self.slots[slot] != EMPTY && self.token(self.slots[slot]) != Some(token) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        match self.slots[self.slot(token)] {
            EMPTY => None,
            id => Some(id),
        }
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let (start, end) = (*self.ranges.get(id as usize)?)?;
        Some(&self.text[start as usize..end as usize])
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The id behind the largest.
    pub(super) fn end(&self) -> usize {
        self.ranges.len()
    }

    /// Tokens by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.ranges.len() as u32).filter_map(|id| self.token(id).map(|token| (id, token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_both_ways_around_gaps() {
        let vocab = Vocab::new([("a", 3), ("", 0), ("é\0", 7)].into_iter()).unwrap();
        assert_eq!((vocab.len(), vocab.end()), (3, 8));
        assert_eq!((vocab.id("é\0"), vocab.id(""), vocab.id("b")), (Some(7), Some(0), None));
        assert_eq!(
            (vocab.token(3), vocab.token(4), vocab.token(8), vocab.token(u32::MAX)),
            (Some("a"), None, None, None)
        );
        assert_eq!(vocab.iter().collect::<Vec<_>>(), [(0, ""), (3, "a"), (7, "é\0")]);
    }

    #[test]
    fn what_is_no_vocabulary_is_refused_before_memory_is_taken() {
        let error = |tokens: &[(&'static str, u32)]| Vocab::new(tokens.iter().copied()).unwrap_err();
        assert!(error(&[]).contains("got an empty one"));
        assert!(error(&[("a", 0), ("b", 0)]).contains("got 0 for \"a\" and for \"b\""));
        assert!(error(&[("a", 0), ("a", 1)]).contains("got \"a\" twice"));
        assert!(error(&[("a", u32::MAX)]).contains("got 4294967295"));
    }
}
