//! GGUF files from bytes: what opens is read, tensor by tensor.
#![no_main]

use gradus::io::Gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = Gguf::from_bytes(bytes) else { return };
    for tensor in file.tensors().to_vec() {
        let mut values = vec![0f32; tensor.len()];
        file.read(&tensor, &mut values).unwrap();
    }
});
