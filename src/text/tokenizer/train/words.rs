//! The words of a text, counted on all cores.

use std::collections::HashMap;

use super::super::{Normalizer, Splitter, aligned_text::AlignedText, pattern::Each};
use crate::{
    error::{Error, Result},
    kernels::parallel,
};

/// Texts are counted in parts of so many bytes: what is held of a corpus at once.
const PART: usize = 16 << 20;
/// Words are counted anew for each thread in so many rows of texts.
const ROWS: usize = 16;

/// Counts the pieces that the splitter cuts normalised texts into. In order of the pieces, so that neither threads nor the order of texts
/// change anything.
pub(super) fn count<S: AsRef<str> + Send + Sync>(
    texts: impl Iterator<Item = Result<S>>,
    normalizer: Option<&Normalizer>,
    splitter: Option<&Splitter>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<(String, u64)>> {
    let mut all = HashMap::<String, u64>::new();
    let (mut part, mut bytes, mut done) = (Vec::new(), 0, 0);
    let mut flush = |part: &mut Vec<S>| -> Result<()> {
        for (word, count) in count_part(part, normalizer, splitter)?.into_iter().flatten() {
            *all.entry(word).or_default() += count;
        }
        part.clear();
        Ok(())
    };
    for text in texts {
        let text = text?;
        bytes += text.as_ref().len();
        part.push(text);
        if bytes >= PART {
            done += bytes;
            bytes = 0;
            flush(&mut part)?;
            progress(done);
        }
    }
    flush(&mut part)?;
    let mut words: Vec<_> = all.into_iter().collect();
    words.sort_unstable();
    if words.is_empty() {
        return Err(Error::Empty { op: "Trainer::train", what: "the corpus" });
    }
    Ok(words)
}

type Counts = HashMap<String, u64>;

fn count_part<S: AsRef<str> + Sync>(
    texts: &[S],
    normalizer: Option<&Normalizer>,
    splitter: Option<&Splitter>,
) -> Result<Vec<Counts>> {
    let mut rows: Vec<Result<Counts>> = (0..ROWS.min(texts.len())).map(|_| Ok(Counts::new())).collect();
    let per_row = texts.len().div_ceil(ROWS).max(1);
    let work = texts.iter().map(|text| text.as_ref().len()).sum::<usize>().saturating_mul(20);
    parallel::rows(&mut rows, 1, work, |first, rows| {
        for (row, counts) in (first..).zip(rows) {
            let texts = texts.get(row * per_row..((row + 1) * per_row).min(texts.len())).unwrap_or_default();
            *counts = count_row(texts, normalizer, splitter);
        }
    });
    rows.into_iter().collect()
}

fn count_row<S: AsRef<str>>(
    texts: &[S],
    normalizer: Option<&Normalizer>,
    splitter: Option<&Splitter>,
) -> Result<Counts> {
    let (mut counts, mut pieces) = (Counts::new(), Vec::new());
    let mut count = |word: &str| match counts.get_mut(word) {
        Some(count) => *count += 1,
        None => drop(counts.insert(word.to_owned(), 1)),
    };
    let direct = splitter.and_then(Splitter::direct);
    for text in texts {
        let needs_origins = splitter.is_some_and(Splitter::needs_origins);
        let mut text = AlignedText::new(text.as_ref(), 0, needs_origins);
        if let Some(normalizer) = normalizer {
            normalizer.apply(&mut text)?;
        }
        if let Some(pattern) = &direct {
            let all = text.as_str();
            pattern.each_piece(
                all,
                &mut Each(|start: usize, end: usize| {
                    count(&all[start..end]);
                    Ok(())
                }),
            )?;
            continue;
        }
        pieces.clear();
        pieces.push((0, text.as_str().len() as u32));
        if let Some(splitter) = splitter {
            splitter.apply(&mut text, &mut pieces)?;
        }
        for &(start, end) in &pieces {
            if start < end {
                count(&text.as_str()[start as usize..end as usize]);
            }
        }
    }
    Ok(counts)
}
