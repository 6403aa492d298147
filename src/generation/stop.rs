//! Why a sequence ends.

use super::history::History;
use crate::error::Result;

/// An end of your own: asked after each token whether the sequence is complete with it.
///
/// The answer has to depend on the history alone, as sequences change places in a beam search. Closures are conditions too:
///
/// ```
/// use gradus::generation::{FromScratch, Generator, GenerationSettings, Finish, History};
/// let mut decoder = FromScratch::new(3, usize::MAX, |_: &[Vec<u32>], logits: &mut [f32]| {
///     logits.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 3) as f32);
///     Ok(())
/// });
/// let mut generator =
///     Generator::new(GenerationSettings::default()).stop_when(|at: &History<'_>| Ok(at.tokens.iter().sum::<u32>() > 5));
/// let output = generator.generate(&mut decoder, &[[0], [1]])?;
/// assert_eq!((output[0][0].tokens.len(), output[0][0].finish), (3, Finish::Stopped));
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait StopCondition {
    /// Whether the sequence ends with its last token.
    ///
    /// # Errors
    /// Whatever goes wrong; it ends the search.
    fn stops(&mut self, at: &History<'_>) -> Result<bool>;
}

impl<F: FnMut(&History<'_>) -> Result<bool>> StopCondition for F {
    fn stops(&mut self, at: &History<'_>) -> Result<bool> {
        self(at)
    }
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With an end token, which is its last.
    EndToken,
    /// With a stop string, or where a [`StopCondition`] said so.
    Stopped,
    /// As it had the most new tokens.
    Length,
}

/// Whether and why a sequence ends with its last token.
pub(super) fn finish(
    at: &History<'_>,
    end_tokens: &[u32],
    stops: &mut [Box<dyn StopCondition + '_>],
) -> Result<Option<Finish>> {
    if at.tokens.last().is_some_and(|token| end_tokens.contains(token)) {
        return Ok(Some(Finish::EndToken));
    }
    for stop in stops {
        if stop.stops(at)? {
            return Ok(Some(Finish::Stopped));
        }
    }
    Ok((at.new_tokens().len() >= at.max_new_tokens).then_some(Finish::Length))
}
