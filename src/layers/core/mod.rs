//! The layers that nearly every network has.

mod activation;
mod dense;
mod identity;

pub use dense::Dense;
pub use identity::Identity;
