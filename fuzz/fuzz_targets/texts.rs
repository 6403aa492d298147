//! Texts from bytes: lines, paragraphs, lines of JSON, tables; the first byte chooses. What opens can be read at any place.
#![no_main]

use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let path = std::env::temp_dir().join(format!("gradus_fuzz_texts_{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let most = if choice & 0x80 == 0 { 1 << 20 } else { 16 };
    let table = || TextTable::default().max_bytes(most);
    let texts = match choice & 15 {
        0 => TextLines::default().max_bytes(most).open(&path),
        1 => TextLines::default().max_bytes(most).allow_empty(true).open(&path),
        2 => TextLines::default().max_bytes(most).paragraphs(true).open(&path),
        3 => JsonLines::default().max_bytes(most).open(&path),
        4 => JsonLines::default().max_bytes(most).label("y").open(&path),
        5 => JsonLines::default().max_bytes(most).texts(["text", "/text/0", "/a/b"]).allow_empty(true).open(&path),
        6 => JsonLines::default().max_bytes(most).label("/y/0").classes().by_appearance(true).open(&path),
        7 => table().open(&path),
        8 => table().text("a").label("b").open(&path),
        9 => table().delimiter(b',').no_label().allow_empty(true).open(&path),
        10 => table().delimiter(b'\t').quotes(false).classes().open(&path),
        11 => table().texts([1, -1]).label(0).numbers().header(true).open(&path),
        _ => table().class_names(["x", "y"]).by_appearance(true).open(&path),
    };
    let Ok(texts) = texts else { return };
    let n = texts.len();
    let all = texts.read_all().expect("what opened can be read");
    for i in (0..n.min(64)).map(|i| (i * 7 + 3) % n) {
        assert!(texts.get(i).expect("in any order") == all[i]);
    }
});
