//! Reading reference cases.

use std::path::PathBuf;

use gradus::{Float, Shape, Tensor};
use safetensors::{Dtype, SafeTensors};

/// The bytes of a case, by its path below the folder of fixtures.
pub fn read(path: &str) -> Vec<u8> {
    let folder = std::env::var_os("GRADUS_FIXTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures"), PathBuf::from);
    std::fs::read(folder.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A tensor of a case, if it has one of this name.
pub fn tensor<T: Float>(case: &SafeTensors<'_>, name: &str) -> Option<Tensor<T>> {
    let view = case.tensor(name).ok()?;
    let words = view.data().chunks_exact(8).map(|b| <[u8; 8]>::try_from(b).unwrap());
    let values = match view.dtype() {
        Dtype::F64 => words.map(f64::from_le_bytes).map(T::of).collect(),
        Dtype::I64 => words.map(|b| T::of(i64::from_le_bytes(b) as f64)).collect(),
        other => panic!("{name} is {other:?}"),
    };
    Some(Tensor::new(Shape::try_from(view.shape()).unwrap(), values).unwrap())
}

/// |a − b| / |b|
pub fn error(a: f64, b: f64) -> f64 {
    (a - b).abs() / b.abs().max(1e-9)
}
