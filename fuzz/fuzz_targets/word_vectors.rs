//! Word vectors from bytes, as text and in word2vec's binary format; the first byte chooses. What is read is read again once it is saved.
#![no_main]

use gradus::text::{Vocabulary, WordVectorFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let mut file = WordVectorFile::default().binary(choice & 1 != 0);
    if choice & 2 != 0 {
        file = file.header(choice & 4 != 0);
    }
    if choice & 8 != 0 {
        file = file.size(usize::from(choice >> 6));
    }
    if choice & 16 != 0 {
        file = file.limit(usize::from(choice >> 5));
    }
    if choice & 32 != 0 {
        file = file.only(&Vocabulary::count(["a", "b"], 1, None).unwrap());
    }
    let Ok(vectors) = file.read_from("bytes", bytes) else { return };
    if let Some(word) = vectors.words().next() {
        let found = vectors.nearest(word, 3).map(|found| found.len());
        assert!(found.is_err() || found.unwrap() == (vectors.len() - 1).min(3));
        let path = std::env::temp_dir().join(format!("gradus_fuzz_vectors_{}", std::process::id()));
        vectors.save(&path).unwrap();
        assert!(WordVectorFile::default().read(&path).expect("what was saved") == vectors);
    }
});
