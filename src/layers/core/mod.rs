//! The layers that nearly every network has.

mod activation;
mod class_token;
mod dense;
mod embedding;
mod gated_dense;
mod identity;
mod masking;
mod tied_dense;
mod time_distributed;

pub use class_token::ClassToken;
pub use dense::Dense;
pub use embedding::Embedding;
pub use gated_dense::GatedDense;
pub use identity::Identity;
pub use masking::Masking;
pub use tied_dense::TiedDense;
pub use time_distributed::TimeDistributed;
