//! Models from bytes.
#![no_main]

mod sign;

use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = sign::signed(bytes);
    if let Ok(mut archive) = gradus::io::Archive::from_bytes(&bytes) {
        for stored in archive.arrays().to_vec() {
            let mut values = vec![0.0f64; stored.len().min(1 << 16)];
            let _ = archive.read(&stored, &mut values);
        }
    }
    if let Ok(model) = Model::load_bytes(&bytes) {
        // What can be loaded can be used.
        let input = model.input_shape();
        if input.len() < 1 << 12 && model.output_shape().len() < 1 << 12 {
            let _ = input.batched(1).map(|shape| model.predict(&Tensor::zeros(shape)));
        }
    }
});
