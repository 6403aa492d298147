//! What changes logits before a token is picked: each a function over one row of logits.
//!
//! A token is ruled out by a logit of −∞. `at_least` says how many tokens a function leaves at least; a search uses 1, and with
//! beams 1 more than there are end tokens. The functions do not look at their arguments as
//! [`GenerationSettings`](super::GenerationSettings) does; ids past the end of the row are passed over.

mod bad_words;
mod cutoff;
mod forced;
mod logit_bias;
mod min_length;
mod min_p;
mod no_repeat_ngram;
mod occurrence;
mod repetition;
mod suppress;
mod temperature;
mod top_k;
mod top_p;
mod typical;

pub use bad_words::bad_words;
pub use cutoff::{epsilon_cutoff, eta_cutoff};
pub use forced::forced;
pub use logit_bias::logit_bias;
pub use min_length::min_length;
pub use min_p::min_p;
pub use no_repeat_ngram::no_repeat_ngram;
pub use occurrence::occurrence_penalties;
pub use repetition::repetition_penalty;
pub use suppress::suppress;
pub use temperature::temperature;
pub use top_k::top_k;
pub use top_p::top_p;
pub use typical::typical_p;
