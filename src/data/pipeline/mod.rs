//! What a [`Source`](super::Source) can be put through on its way to the model.

mod batched;
mod map;
mod mixup;
mod part;
mod prefetch;
mod repeat;
mod shuffle;
pub(super) mod subset;

pub use batched::Batched;
pub use map::{Map, MapKeyed, MapTo};
pub use mixup::Mixup;
#[cfg(not(test))]
pub(crate) use mixup::mix;
pub use part::Part;
pub use prefetch::Prefetch;
pub use repeat::Repeat;
pub use shuffle::Shuffle;
pub use subset::Subset;
