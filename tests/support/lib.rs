//! What the tests and benches share: reference cases, trainings that Keras recorded, and an allocator that counts.

/// Has what the test programs compute in f64 compiled here, once for all of them; see `gradus::instances`.
#[cfg(feature = "double")]
pub fn compiled_for_f64() -> Vec<*const ()> {
    gradus::instances::of::<f64>()
}

pub mod counting;
pub mod fixtures;
pub mod training;
