//! What was written so far.

/// A sequence so far, as processors and stop conditions see it.
///
/// ```
/// use gradus::generation::History;
/// let at = History { row: 0, sequence: 0, tokens: &[5, 6, 7], prompt: 2, max_new_tokens: 10 };
/// assert_eq!(at.new_tokens(), [7]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History<'h> {
    /// The prompt's position in the batch, from 0.
    pub row: usize,
    /// Which of the prompt's sequences, from 0. In a beam search they change places from step to step.
    pub sequence: usize,
    /// The prompt and what was added to it.
    pub tokens: &'h [u32],
    /// How many of the tokens are the prompt.
    pub prompt: usize,
    /// The most tokens that will be added.
    pub max_new_tokens: usize,
}

impl<'h> History<'h> {
    /// What was added to the prompt.
    pub fn new_tokens(&self) -> &'h [u32] {
        self.tokens.get(self.prompt..).unwrap_or_default()
    }
}
