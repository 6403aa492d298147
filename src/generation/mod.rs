//! Texts written by models: tokens picked from logits, one after the other.
//!
//! A [`Generator`] holds the [`GenerationSettings`] and runs on anything that is a [`Decoder`]: a model with a cache, one that is run
//! anew for each token ([`FromScratch`]), a toy. It gives whole sequences ([`Generator::generate`]), tokens as they come
//! ([`Generator::stream`]), or text (`Generator::stream_text`, feature `text`):
//!
//! - greedy search, the lowest id of equally likely tokens;
//! - sampling keyed by seed, row and position, never by the order of calls;
//! - beam search by the rules of Transformers 5.
//!
//! What happens to logits before a token is picked are functions of their own in [`processors`], in the order that
//! [`GenerationSettings`] says. Masks of your own are [`LogitsProcessor`]s, ends of your own [`StopCondition`]s; closures will do.
//!
//! Prompts of a batch may differ in length and know nothing of each other: each is written on as if it were alone.

mod beam;
mod decoder;
mod generator;
mod history;
mod output;
mod pick;
mod pipeline;
mod probability;
pub mod processors;
mod search;
mod settings;
mod space;
mod stop;
#[cfg(feature = "text")]
mod stop_strings;
mod stream;
#[cfg(feature = "text")]
mod text_stream;

pub use decoder::{Decoder, FromScratch};
pub use generator::Generator;
pub use history::History;
pub use output::{Generated, Sequence};
pub use pick::{draw, most_likely};
pub use pipeline::LogitsProcessor;
pub use probability::log_softmax;
pub use settings::{BeamStopping, GenerationSettings};
pub use space::Space;
pub use stop::{Finish, StopCondition};
pub use stream::{Stream, Token};
#[cfg(feature = "text")]
pub use text_stream::TextStream;
