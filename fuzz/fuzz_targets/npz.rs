//! npy and npz files from bytes.
#![no_main]

use gradus::io::{parse_npy, read_npz};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_npy::<f32>(bytes);
    // Zip files are read from a file, as users have them.
    let path = std::env::temp_dir().join(format!("gradus_fuzz_npz_{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let _ = read_npz::<f32>(&path);
});
