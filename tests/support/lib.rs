//! What the tests and benches share: reference cases, and an allocator that counts.

pub mod counting;
pub mod fixtures;
