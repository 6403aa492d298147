//! What a [`Source`](super::Source) can be put through on its way to the model.

mod batched;
mod bucketed;
mod load;
mod map;
mod mixup;
mod part;
mod prefetch;
mod repeat;
mod shaped;
mod shuffle;
pub(super) mod subset;
mod zip;

pub use batched::Batched;
pub use bucketed::Bucketed;
#[cfg(not(test))]
pub(crate) use bucketed::by_size;
#[cfg(not(test))]
pub(crate) use load::Loader;
pub use map::{Map, MapKeyed, MapTo};
pub use mixup::Mixup;
#[cfg(not(test))]
pub(crate) use mixup::mix;
pub use part::Part;
pub use prefetch::Prefetch;
pub use repeat::Repeat;
pub use shaped::Shaped;
pub use shuffle::Shuffle;
pub use subset::Subset;
pub use zip::Zip;
