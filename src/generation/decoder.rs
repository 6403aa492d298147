//! What a search runs on.

use crate::error::{Error, Result};
use crate::tensor::Float;

/// A model that says, for rows of tokens, how likely each next token is.
///
/// The search calls [`prompt`](Self::prompt) once, then [`step`](Self::step) for every further token, and
/// [`reorder`](Self::reorder) between two steps where rows have ended, are multiplied, or change places. Logits go into memory of
/// the search, `[rows, vocabulary]`, which it keeps. They may be −∞ for what the model rules out; NaN and +∞ are errors.
///
/// An implementation keeps what it needs of the rows: keys and values, a recurrent state, an encoder's output, or the tokens alone
/// ([`FromScratch`]). The same rows must give the same logits in every batch, if texts are to be the same in every batch.
///
/// ```
/// use gradus::generation::{Decoder, Generator, GenerationSettings};
///
/// /// The next token is the last one and 1, after 4 comes 0.
/// struct Counter;
///
/// impl Counter {
///     fn write<'r>(last: impl Iterator<Item = &'r u32>, logits: &mut [f32]) {
///         logits.fill(0.0);
///         for (token, row) in last.zip(logits.chunks_exact_mut(5)) {
///             row[(*token as usize + 1) % 5] = 9.0;
///         }
///     }
/// }
///
/// impl Decoder for Counter {
///     fn vocabulary(&self) -> usize { 5 }
///     fn context(&self) -> usize { usize::MAX }
///     fn prompt(&mut self, rows: &[&[u32]], logits: &mut [f32]) -> gradus::Result<()> {
///         Self::write(rows.iter().flat_map(|row| row.last()), logits);
///         Ok(())
///     }
///     fn step(&mut self, tokens: &[u32], logits: &mut [f32]) -> gradus::Result<()> {
///         Self::write(tokens.iter(), logits);
///         Ok(())
///     }
///     fn reorder(&mut self, _: &[usize]) -> gradus::Result<()> { Ok(()) } // It remembers nothing.
/// }
///
/// let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(4));
/// let output = generator.generate(&mut Counter, &[[2], [4]])?;
/// assert_eq!((&output[0][0].tokens[..], &output[1][0].tokens[..]), (&[3, 4, 0, 1][..], &[0, 1, 2, 3][..]));
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Decoder<T: Float = f32> {
    /// How many tokens there are: the length of a row of logits.
    fn vocabulary(&self) -> usize;

    /// The most tokens that a row may be given, prompt and steps together; `usize::MAX` where there is no end to it.
    fn context(&self) -> usize;

    /// Begins anew with these rows, which may differ in length and hold at least one token each; `logits[i]` is for what follows
    /// the last token of row i. What was computed before may serve again where rows begin alike.
    ///
    /// # Errors
    /// Whatever goes wrong inside; it ends the search.
    fn prompt(&mut self, rows: &[&[u32]], logits: &mut [T]) -> Result<()>;

    /// Adds a token to each row; `logits[i]` is for what follows it.
    ///
    /// # Errors
    /// As for [`prompt`](Self::prompt).
    fn step(&mut self, tokens: &[u32], logits: &mut [T]) -> Result<()>;

    /// From now on row i goes on from where row `rows[i]` stands. Rows may be left out, or be there several times, so that their
    /// number changes.
    ///
    /// # Errors
    /// As for [`prompt`](Self::prompt).
    fn reorder(&mut self, rows: &[usize]) -> Result<()>;
}

/// A decoder without a cache: a function that is handed all rows as far as they go, and writes the logits of what follows each.
///
/// For toys, for comparisons, and for models that have no cache: each step costs as much as the prompt and all that came after.
///
/// ```
/// use gradus::generation::{FromScratch, Generator, GenerationSettings};
/// let mut decoder = FromScratch::new(4, usize::MAX, |rows: &[Vec<u32>], logits: &mut [f32]| {
///     for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(4)) {
///         logits.fill(0.0);
///         logits[row.len() % 4] = 1.0;
///     }
///     Ok(())
/// });
/// let output = Generator::new(GenerationSettings::default().max_new_tokens(3)).generate(&mut decoder, &[[0]])?;
/// assert_eq!(output[0][0].tokens, [1, 2, 3]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FromScratch<F> {
    vocabulary: usize,
    context: usize,
    function: F,
    rows: Vec<Vec<u32>>,
    /// Rows before they change places.
    before: Vec<Vec<u32>>,
}

impl<F> FromScratch<F> {
    /// A decoder over so many tokens, for rows of at most `context` tokens.
    pub fn new<T: Float>(vocabulary: usize, context: usize, function: F) -> Self
    where
        F: FnMut(&[Vec<u32>], &mut [T]) -> Result<()>,
    {
        FromScratch { vocabulary, context, function, rows: Vec::new(), before: Vec::new() }
    }
}

impl<T: Float, F: FnMut(&[Vec<u32>], &mut [T]) -> Result<()>> Decoder<T> for FromScratch<F> {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn context(&self) -> usize {
        self.context
    }

    fn prompt(&mut self, rows: &[&[u32]], logits: &mut [T]) -> Result<()> {
        self.rows.resize(rows.len(), Vec::new());
        self.rows.iter_mut().zip(rows).for_each(|(kept, row)| (**row).clone_into(kept));
        (self.function)(&self.rows, logits)
    }

    fn step(&mut self, tokens: &[u32], logits: &mut [T]) -> Result<()> {
        if tokens.len() != self.rows.len() {
            let expected = format!("a token for each of {} rows", self.rows.len());
            return Err(Error::shape("FromScratch::step", expected, tokens.len(), "call prompt before step"));
        }
        self.rows.iter_mut().zip(tokens).for_each(|(row, &token)| row.push(token));
        (self.function)(&self.rows, logits)
    }

    fn reorder(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows.len()) {
            let expected = format!("numbers of rows below {}", self.rows.len());
            return Err(Error::shape("FromScratch::reorder", expected, row, "name rows that are there"));
        }
        std::mem::swap(&mut self.rows, &mut self.before);
        self.rows.resize(rows.len(), Vec::new());
        self.rows.iter_mut().zip(rows).for_each(|(row, &from)| row.clone_from(&self.before[from]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_change_places_and_number() {
        let sums = |rows: &[Vec<u32>], logits: &mut [f64]| {
            logits.iter_mut().zip(rows).for_each(|(sum, row)| *sum = row.iter().sum::<u32>().into());
            Ok(())
        };
        let mut decoder = FromScratch::new(1, 9, sums);
        let mut logits = [0.0; 3];
        decoder.prompt(&[&[1], &[2, 3]], &mut logits).unwrap();
        assert_eq!(logits, [1.0, 5.0, 0.0]);
        decoder.reorder(&[1, 0, 1]).unwrap();
        decoder.step(&[1, 2, 3], &mut logits).unwrap();
        assert_eq!(logits, [6.0, 3.0, 8.0]);
        decoder.reorder(&[2]).unwrap();
        decoder.step(&[7], &mut logits).unwrap();
        assert_eq!(logits[0], 15.0);
        assert!(decoder.step(&[1, 2], &mut logits).is_err() && decoder.reorder(&[1]).is_err());
    }
}
