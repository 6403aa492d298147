//! Tokenizers' files of any bytes; the first byte chooses the form. What opens encodes, decodes and is saved.
#![no_main]

use gradus::text::{Tokenizer, tokenizer::TiktokenPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let path = std::env::temp_dir().join(format!("gradus_fuzz_tokenizer_{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let opened = match choice % 6 {
        0 => Tokenizer::from_json_file(&path),
        1 => Tokenizer::from_sentencepiece(&path),
        2 => Tokenizer::from_tiktoken(&path, TiktokenPattern::O200k, &[("<x>", 70_000)]),
        3 => Tokenizer::from_vocab_txt(&path, choice & 0x80 == 0),
        4 => {
            // Merges of a vocabulary that has some of them.
            let vocab = path.with_extension("json");
            std::fs::write(&vocab, r#"{"a":0,"b":1,"ab":2,"\u0120":3,"\u0120a":4,"<s>":5}"#).unwrap();
            Tokenizer::from_vocab_and_merges(&vocab, &path)
        }
        _ => {
            let merges = path.with_extension("txt");
            std::fs::write(&merges, "a b\n").unwrap();
            Tokenizer::from_vocab_and_merges(&path, &merges)
        }
    };
    let Ok(tokenizer) = opened else { return };
    for text in ["", "a ab <s> Hello's\0 \u{e9}e\u{301} \u{4e2d}12\r\n"] {
        let Ok(encoding) = tokenizer.encode(text) else { continue };
        for &(start, end) in &encoding.offsets {
            assert!(text.get(start as usize..end as usize).is_some());
        }
        let whole = tokenizer.decode(&encoding.ids, false).expect("ids of its own");
        let mut stream = tokenizer.decode_stream(false);
        let mut parts = String::new();
        for &id in &encoding.ids {
            parts.push_str(stream.push(id).expect("ids of its own"));
        }
        assert_eq!(parts + &stream.finish().unwrap(), whole);
    }
    if let Ok(json) = tokenizer.to_json() {
        Tokenizer::from_json(&json).expect("what was saved opens");
    }
});
