//! The words that a model is learned from.

use crate::error::{Error, Result};

/// The words of a text, sorted, each once.
pub(super) struct Corpus {
    /// One behind the other.
    pub text: String,
    /// Where each word begins and ends, and how often it comes.
    pub words: Vec<(u32, u32, f64)>,
}

impl Corpus {
    /// The most bytes of a word, so that all ways to cut it fit into little memory. Longer ones are cut there.
    const LONGEST: usize = 1 << 14;

    pub(super) fn new(words: impl IntoIterator<Item = (String, u64)>) -> Result<Self> {
        let mut counted: Vec<(String, u64)> = vec![];
        for (mut word, count) in words.into_iter().filter(|(_, count)| *count > 0) {
            while word.len() > Self::LONGEST {
                let end = (0..=Self::LONGEST).rev().find(|&end| word.is_char_boundary(end)).unwrap_or(Self::LONGEST);
                let rest = word.split_off(end);
                counted.push((std::mem::replace(&mut word, rest), count));
            }
            if !word.is_empty() {
                counted.push((word, count));
            }
        }
        counted.sort_unstable();
        counted.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            if equal {
                kept.1 = kept.1.saturating_add(next.1);
            }
            equal
        });
        if counted.is_empty() {
            return Err(Error::Empty { op: "UnigramTrainer", what: "the text" });
        }
        let size = counted.iter().map(|(word, _)| word.len()).sum::<usize>();
        if size >= u32::MAX as usize {
            let hint = "take a part of the text; a few million words do";
            return Err(Error::argument(
                "UnigramTrainer",
                "the words",
                "shorter than 4 GiB together",
                format!("{size} bytes"),
                hint,
            ));
        }
        let mut corpus = Corpus { text: String::with_capacity(size), words: Vec::with_capacity(counted.len()) };
        for (word, count) in counted {
            let start = corpus.text.len() as u32;
            corpus.text.push_str(&word);
            corpus.words.push((start, start + word.len() as u32, count as f64));
        }
        Ok(corpus)
    }

    pub(super) fn text(&self, piece: &Piece) -> &str {
        &self.text[piece.start as usize..(piece.start + piece.length) as usize]
    }

    pub(super) fn bytes(&self, piece: &Piece) -> &[u8] {
        self.text(piece).as_bytes()
    }

    /// The words as bytes, with how often they come.
    pub(super) fn words(&self) -> impl Iterator<Item = (&[u8], f64)> {
        self.words.iter().map(|&(start, end, count)| (&self.text.as_bytes()[start as usize..end as usize], count))
    }
}

/// A piece that is being learned: a place in the text of the words, and its score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub start: u32,
    pub length: u32,
    pub score: f64,
}
