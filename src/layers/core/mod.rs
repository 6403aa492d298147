//! The layers that nearly every network has.

mod activation;
mod dense;

pub use dense::Dense;
