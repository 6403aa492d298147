//! The pieces that training begins with.

use super::corpus::{Corpus, Piece};

/// A place of a word from which substrings begin.
#[derive(Clone, Copy)]
struct Suffix {
    /// The first 8 bytes, as a number that sorts as they do.
    key: u64,
    start: u32,
    /// Up to the end of the word or the longest piece.
    length: u32,
    word: u32,
}

/// All characters, and of the substrings of two to `longest` characters that come in at least two places (of words counted once) the `most`
/// that cover most of the text, with the logarithms of their shares as scores.
///
/// Of substrings that always are followed by the same character only the longer one counts (the inner nodes of the suffix tree). A word that is
/// part of no other one is none: were all words pieces from the beginning, no best path would use their parts, and all parts would go at once.
pub(super) fn seeds(corpus: &Corpus, longest: usize, most: usize) -> Vec<Piece> {
    let mut pieces = characters(corpus);
    let mut found = substrings(corpus, longest);
    let order = |a: &Piece, b: &Piece| b.score.total_cmp(&a.score).then_with(|| corpus.text(a).cmp(corpus.text(b)));
    if found.len() > most {
        if most > 0 {
            found.select_nth_unstable_by(most - 1, order);
        }
        found.truncate(most);
    }
    found.sort_unstable_by(order);
    pieces.append(&mut found);
    let total = pieces.iter().map(|piece| piece.score).sum::<f64>().ln();
    pieces.iter_mut().for_each(|piece| piece.score = piece.score.ln() - total);
    pieces
}

/// The characters, in the order of their code points, with how often they come.
fn characters(corpus: &Corpus) -> Vec<Piece> {
    let mut found = std::collections::BTreeMap::new();
    for &(start, end, count) in &corpus.words {
        for (place, c) in corpus.text[start as usize..end as usize].char_indices() {
            let piece = Piece { start: start + place as u32, length: c.len_utf8() as u32, score: 0.0 };
            found.entry(c).or_insert(piece).score += count;
        }
    }
    found.into_values().collect()
}

/// The substrings that count, with how often they come times how many characters they have.
fn substrings(corpus: &Corpus, longest: usize) -> Vec<Piece> {
    let suffixes = suffixes(corpus, longest);
    let text = corpus.text.as_bytes();
    let bytes = |suffix: &Suffix| &text[suffix.start as usize..(suffix.start + suffix.length) as usize];
    let mut found = vec![];
    // Substrings that are prefixes of the suffix at hand, each longer than the one before: bytes, how often, in how many places.
    let mut open: Vec<(u32, f64, u32)> = vec![(0, 0.0, 0)];
    for (i, suffix) in suffixes.iter().enumerate() {
        let (_, _, count) = corpus.words[suffix.word as usize];
        match open.last_mut() {
            Some(top) if top.0 == suffix.length => (top.1, top.2) = (top.1 + count, top.2 + 1),
            _ => open.push((suffix.length, count, 1)),
        }
        let common =
            suffixes.get(i + 1).map_or(0, |next| common(&corpus.text, bytes(suffix), bytes(next), suffix.start));
        while let Some(&(length, times, places)) = open.last().filter(|top| top.0 > common) {
            open.pop();
            let piece = Piece { start: suffix.start, length, score: 0.0 };
            let characters = corpus.text(&piece).chars().count();
            if characters > 1 && places > 1 {
                found.push(Piece { score: times * characters as f64, ..piece });
            }
            match open.last_mut() {
                Some(top) if top.0 >= common => (top.1, top.2) = (top.1 + times, top.2 + places),
                _ => open.push((common, times, places)),
            }
        }
    }
    found
}

/// How many bytes of whole characters two substrings begin with together; the first one begins at `start`.
fn common(text: &str, a: &[u8], b: &[u8], start: u32) -> u32 {
    let mut length = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    while !text.is_char_boundary(start as usize + length) {
        length -= 1;
    }
    length as u32
}

/// All places of all words, sorted by what follows.
fn suffixes(corpus: &Corpus, longest: usize) -> Vec<Suffix> {
    let mut suffixes = Vec::with_capacity(corpus.text.chars().count());
    for (word, &(start, end, _)) in (0..).zip(&corpus.words) {
        let text = &corpus.text[start as usize..end as usize];
        let mut ends = text.char_indices().map(|(place, _)| place).skip(longest);
        for (place, _) in text.char_indices() {
            let part = &text[place..ends.next().unwrap_or(text.len())];
            let mut key = [0; 8];
            let length = part.len().min(8);
            key[..length].copy_from_slice(&part.as_bytes()[..length]);
            suffixes.push(Suffix {
                key: u64::from_be_bytes(key),
                start: start + place as u32,
                length: part.len() as u32,
                word,
            });
        }
    }
    let text = corpus.text.as_bytes();
    let bytes = |suffix: &Suffix| &text[suffix.start as usize..(suffix.start + suffix.length) as usize];
    suffixes.sort_unstable_by(|a, b| {
        a.key.cmp(&b.key).then_with(|| bytes(a).cmp(bytes(b))).then_with(|| a.start.cmp(&b.start))
    });
    suffixes
}
