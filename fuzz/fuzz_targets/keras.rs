//! Keras's files: whole ones, and weights or architectures of any bytes inside a zip that is right.
#![no_main]

use std::io::{Cursor, Write};

use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("gradus_fuzz_keras_{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let _ = Model::load_keras(&path);
    // The first half as the architecture, if it is text, and the rest as the weights.
    let Some((&parts, bytes)) = bytes.split_first() else { return };
    let (config, weights) = bytes.split_at((usize::from(parts) * bytes.len()) >> 8);
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::DEFAULT.compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in
        [("metadata.json", &b"{\"keras_version\":\"3.0\"}"[..]), ("config.json", config), ("model.weights.h5", weights)]
    {
        out.start_file(name, options).unwrap();
        out.write_all(bytes).unwrap();
    }
    std::fs::write(&path, out.finish().unwrap().into_inner()).unwrap();
    let _ = Model::load_keras(&path);
});
