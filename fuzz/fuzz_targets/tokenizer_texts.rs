//! Texts and ids of any kind through the tokenizers of the fixtures; the first byte chooses one.
#![no_main]

use std::sync::OnceLock;

use gradus::text::Tokenizer;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = ["gpt2", "llama3", "o200k", "qwen2", "bert_uncased", "xlmr", "t5", "llama2"];

fn tokenizers() -> &'static [Tokenizer] {
    static ALL: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tokenizers");
        NAMES.iter().map(|name| Tokenizer::open(format!("{folder}/{name}")).unwrap()).collect()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let at = usize::from(choice & 7);
    let tokenizer = &tokenizers()[at];
    let text = String::from_utf8_lossy(bytes);
    let encoding = tokenizer.encode(&text).unwrap();
    for &(start, end) in &encoding.offsets {
        assert!(text.get(start as usize..end as usize).is_some());
    }
    let ordinary = tokenizer.encode_ordinary(&text).unwrap();
    if at < 3 {
        assert_eq!(tokenizer.decode(&ordinary, false).unwrap(), text);
    }
    // The bytes as ids, two for each.
    let ids: Vec<u32> =
        bytes.chunks(2).map(|pair| pair.iter().fold(0, |id, &byte| id << 8 | u32::from(byte))).collect();
    let skip = choice & 0x80 == 0;
    let mut stream = tokenizer.decode_stream(skip);
    let parts: Result<String, _> = ids.iter().map(|&id| stream.push(id).map(str::to_owned)).collect();
    match (parts, tokenizer.decode(&ids, skip)) {
        (Ok(parts), Ok(whole)) => assert_eq!(parts + &stream.finish().unwrap(), whole),
        (parts, whole) => assert!(parts.is_err() && whole.is_err()),
    }
});
