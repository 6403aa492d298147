//! Tokenizers: what every text and every file has to hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gradus::text::Tokenizer;
use gradus::text::tokenizer::{
    AddedToken, Normalizer, Padding, PaddingStrategy, Pattern, Side, Splitter, Template, TiktokenPattern, Trainer,
    Truncation,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::counting;

use crate::files::{Folder, alone};

const NAMES: [&str; 12] = [
    "bert_cased",
    "bert_uncased",
    "gemma",
    "gpt2",
    "llama2",
    "llama2_metaspace",
    "llama3",
    "o200k",
    "qwen2",
    "roberta",
    "t5",
    "xlmr",
];

fn fixture(name: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokenizers").join(name).join(file)
}

fn open(name: &str) -> Tokenizer {
    Tokenizer::from_json_file(fixture(name, "tokenizer.json")).unwrap()
}

fn lines() -> Vec<String> {
    serde_json::from_str(&std::fs::read_to_string(fixture(".", "lines.json")).unwrap()).unwrap()
}

/// The text of a stream, whose parts are checked as they come.
fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip: bool) -> String {
    let (mut stream, mut text) = (tokenizer.decode_stream(skip), String::new());
    for &id in ids {
        text.push_str(stream.push(id).unwrap());
    }
    text + &stream.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bytes_come_back_whatever_the_text(text in "\\PC{0,20}|[ \\t\\r\\n'a-zA-Z0-9\\u{300}-\\u{310}一-三😀-😂\\u{200D}<>]{0,60}|(?s:.){0,30}") {
        for name in ["gpt2", "llama3", "o200k"] {
            let tokenizer = open(name);
            let ids = tokenizer.encode_ordinary(&text).unwrap();
            prop_assert_eq!(&tokenizer.decode(&ids, false).unwrap(), &text);
            prop_assert_eq!(&streamed(&tokenizer, &ids, false), &text);
            let encoding = tokenizer.encode_without_template(&text).unwrap();
            for (start, end) in encoding.offsets {
                prop_assert!(text.get(start as usize..end as usize).is_some());
            }
        }
    }

    #[test]
    fn streams_add_up_whatever_the_ids(ids in prop::collection::vec(0..1400u32, 0..40), skip: bool) {
        for name in NAMES {
            let tokenizer = open(name);
            prop_assert_eq!(streamed(&tokenizer, &ids, skip), tokenizer.decode(&ids, skip).unwrap(), "{}", name);
        }
    }
}

#[test]
fn a_batch_on_any_number_of_threads_is_each_text_alone() {
    let lines = lines();
    for name in NAMES {
        let tokenizer = open(name);
        let alone: Vec<_> = lines.iter().map(|line| tokenizer.encode(line).unwrap()).collect();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // A tokenizer of its own: nothing that others have seen is kept.
            let fresh = open(name);
            assert!(pool.install(|| fresh.encode_batch(&lines)).unwrap() == alone, "{name} on {threads} threads");
        }
        // Without offsets the ids are the same, where nothing is added or looked for.
        for line in lines.iter().step_by(7) {
            let plain = tokenizer.clone().with_template(None).unwrap();
            assert_eq!(plain.encode(line).unwrap().ids, plain.encode_ids(line).unwrap(), "{name}");
            if tokenizer.added_tokens().iter().all(|token| !line.to_lowercase().contains(&token.content.to_lowercase()))
            {
                assert_eq!(plain.encode(line).unwrap().ids, plain.encode_ordinary(line).unwrap(), "{name}: {line:?}");
            }
        }
    }
}

#[test]
fn saved_ones_are_the_same() {
    // `tests/interop/tokenizer_files.py check` opens them in Python.
    let written = std::env::var_os("GRADUS_TOKENIZERS").map(PathBuf::from);
    for name in NAMES {
        let tokenizer = open(name);
        let json = tokenizer.to_json().unwrap();
        let again = Tokenizer::from_json(&json).unwrap();
        assert_eq!(again.to_json().unwrap(), json, "{name}");
        let mut encodings = Vec::new();
        for line in lines().iter().step_by(5) {
            let encoding = again.encode(line).unwrap();
            assert_eq!(encoding, tokenizer.encode(line).unwrap(), "{name}: {line:?}");
            let decoded = again.decode(&encoding.ids, true).unwrap();
            encodings.push(json!({"text": line, "ids": encoding.ids, "offsets": encoding.offsets, "decoded": decoded}));
        }
        if let Some(folder) = &written {
            std::fs::write(folder.join(format!("{name}.tokenizer.json")), json).unwrap();
            std::fs::write(folder.join(format!("{name}.encodings.json")), Value::from(encodings).to_string()).unwrap();
        }
    }
}

#[test]
fn training_gives_what_tokenizers_learns() {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/text/trained.json")).unwrap();
    let texts: Vec<&str> = fixture["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for case in fixture["cases"].as_array().unwrap() {
        let special = case["special"].as_array().unwrap().iter().map(|token| token.as_str().unwrap());
        let trainer = Trainer::byte_level_bpe(case["vocab_size"].as_u64().unwrap() as usize)
            .min_frequency(case["min_frequency"].as_u64().unwrap())
            .max_token_length(case["max_token_length"].as_u64().map(|length| length as usize))
            .special_tokens(special);
        let tokenizer = trainer.train(&texts).unwrap();
        let model: Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
        assert_eq!(model["model"]["merges"], case["merges"]);
        let tokens: Vec<_> = (0..tokenizer.id_bound() as u32).map(|id| tokenizer.token(id).unwrap()).collect();
        assert_eq!(json!(tokens), case["tokens"]);
    }
}

#[test]
fn training_depends_on_texts_alone() {
    let lines = lines();
    let backwards: Vec<&String> = lines.iter().rev().collect();
    let trainers = [
        Trainer::byte_level_bpe(700).special_tokens(["<s>"]),
        Trainer::word_piece(900).limit_alphabet(400),
        Trainer::unigram(1500),
    ];
    for (i, trainer) in trainers.iter().enumerate() {
        let first = trainer.train(&lines).unwrap().to_json().unwrap();
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| trainer.train(&backwards)).unwrap();
            assert!(again.to_json().unwrap() == first, "trainer {i}, {threads} threads");
        }
    }
    let empty = Trainer::byte_level_bpe(300).train::<&str>([]).unwrap_err().to_string();
    assert!(empty.contains("the corpus"), "{empty}");
    let small = Trainer::byte_level_bpe(100).train(["a b"]).unwrap_err().to_string();
    assert!(small.contains("at least 256"), "{small}");
    let twice = Trainer::byte_level_bpe(300).special_tokens(["a", "a"]).train(["a"]).unwrap_err().to_string();
    assert!(twice.contains("\"a\""), "{twice}");
}

#[test]
fn folders_and_files_are_opened_by_what_they_hold() {
    let line = "Hello, kubernetes and <ent> straße 42";
    let encode = |tokenizer: &Tokenizer| tokenizer.encode(line).unwrap();
    for name in NAMES {
        assert_eq!(encode(&Tokenizer::open(fixture(name, ".")).unwrap()), encode(&open(name)), "{name}");
    }
    let folder = Folder::new("tokenizer_folders");
    let copy = |from: PathBuf, to: &str| std::fs::copy(from, folder.path(to)).unwrap();
    let opened = || Tokenizer::open(&folder.0);
    let error = opened().unwrap_err().to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("spiece.model") && error.contains("from_tiktoken"),
        "{error}"
    );
    copy(fixture("bert_cased", "vocab.txt"), "vocab.txt");
    assert_eq!(opened().unwrap().normalize("Éa").unwrap(), "ea");
    std::fs::write(folder.path("tokenizer_config.json"), "{\"do_lower_case\": false, \"x\": 1}").unwrap();
    assert_eq!(opened().unwrap().normalize("Éa").unwrap(), "Éa");
    assert_eq!(Tokenizer::open(folder.path("vocab.txt")).unwrap().normalize("Éa").unwrap(), "Éa");
    for (name, files) in [("gpt2", &["vocab.json", "merges.txt"][..]), ("llama2", &["tokenizer.model"])] {
        for file in files {
            copy(fixture(name, file), file);
        }
        let expected = match name {
            "gpt2" => Tokenizer::from_vocab_and_merges(folder.path("vocab.json"), folder.path("merges.txt")),
            _ => Tokenizer::from_sentencepiece(folder.path("tokenizer.model")),
        };
        let expected = encode(&expected.unwrap());
        assert_eq!(encode(&opened().unwrap()), expected);
        files.iter().for_each(|file| assert_eq!(encode(&Tokenizer::open(folder.path(file)).unwrap()), expected));
    }
    for (file, word) in
        [("nothing.json", "nothing.json"), ("nothing", "nothing of this name"), ("r.tiktoken", "from_tiktoken")]
    {
        let error = Tokenizer::open(folder.path(file)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn ids_that_are_none_are_errors_with_their_place() {
    for name in NAMES {
        let tokenizer = open(name);
        for id in [tokenizer.id_bound() as u32, u32::MAX] {
            let error = tokenizer.decode(&[5, 6, id, 7], true).unwrap_err().to_string();
            let (size, bound) = (tokenizer.vocab_size(), tokenizer.id_bound());
            assert!(error.contains(&format!("{id} at position 2")), "{name}: {error}");
            assert!(error.contains(&format!("{size} tokens with ids below {bound}")), "{name}: {error}");
            let mut stream = tokenizer.decode_stream(false);
            let first = stream.push(5).unwrap().to_owned();
            assert!(stream.push(id).unwrap_err().to_string().contains(&format!("{id} at position 1")));
            // The stream goes on as if it had not been.
            let rest = stream.push(6).unwrap().to_owned() + &stream.finish().unwrap();
            assert_eq!(first + &rest, tokenizer.decode(&[5, 6], false).unwrap(), "{name}");
            let error = tokenizer.decode_batch(&[vec![5], vec![id]], true).unwrap_err().to_string();
            assert!(error.contains("row 1"), "{error}");
        }
    }
}

#[test]
fn lengths_that_nothing_has_are_errors() {
    let tokenizer = open("bert_uncased");
    let pad = Padding::with(tokenizer.id("[PAD]").unwrap(), "[PAD]");
    for padding in [
        Padding { strategy: PaddingStrategy::Fixed(usize::MAX), ..pad.clone() },
        Padding { pad_to_multiple_of: Some(1 << 40), ..pad.clone() },
    ] {
        let error = tokenizer.clone().with_padding(padding).unwrap_err().to_string();
        assert!(error.contains("at most 1048576"), "{error}");
    }
    let error = tokenizer.clone().with_padding(Padding::with(99_999, "x")).unwrap_err().to_string();
    assert!(error.contains("pad_id") && error.contains("99999"), "{error}");
    let padded = tokenizer.clone().with_padding(Padding { pad_to_multiple_of: Some(0), ..pad }).unwrap();
    assert_eq!(padded.encode("a").unwrap(), tokenizer.encode("a").unwrap());
    // The template's two tokens do not fit.
    for max_length in [0, 1] {
        let cut = tokenizer.clone().with_truncation(Truncation::to(max_length));
        let error = cut.encode("a b").unwrap_err().to_string();
        assert!(error.contains("at least 2"), "{error}");
        assert_eq!(cut.encode_without_template("a b").unwrap().len(), max_length);
    }
    assert_eq!(tokenizer.with_truncation(Truncation::to(2)).encode("a b").unwrap().len(), 2);
}

#[test]
fn parts_are_exchanged_and_added_tokens_get_ids() {
    let tokenizer = open("bert_uncased");
    let bound = tokenizer.id_bound() as u32;
    let more = tokenizer
        .clone()
        .with_added_tokens([AddedToken::word(0, "tpu"), AddedToken::special(0, "<x>"), AddedToken::word(9, "tpu")])
        .unwrap();
    assert_eq!((more.id("tpu"), more.id("<x>"), more.id_bound()), (Some(bound), Some(bound + 1), bound as usize + 2));
    assert_eq!(more.encode_without_template("a TPU<x>").unwrap().ids[1..], [bound, bound + 1]);
    assert!(tokenizer.clone().with_added_tokens([AddedToken::word(0, "")]).is_err());
    let loud = tokenizer.clone().with_normalizer(Normalizer::Nfc).unwrap();
    assert_eq!((loud.normalize("É").unwrap(), tokenizer.normalize("É").unwrap()), ("É".into(), "e".into()));
    let pieces = tokenizer.clone().with_splitter(Splitter::WhitespaceSplit).unwrap();
    assert_ne!(pieces.encode("a-b").unwrap().ids, tokenizer.encode("a-b").unwrap().ids);
    let spaced = tokenizer.with_decoder(None).unwrap();
    assert_eq!(
        spaced.decode(&spaced.encode_ordinary("hello").unwrap(), false).unwrap().replace(' ', "").replace("##", ""),
        "hello"
    );
    let error = open("gpt2").with_splitter(Splitter::Whitespace).unwrap_err().to_string();
    assert!(error.contains("ByteLevel"), "{error}");
    let sentence_piece = Tokenizer::open(fixture("llama2", "tokenizer.model")).unwrap();
    assert!(sentence_piece.with_decoder(None).unwrap_err().to_string().contains("SentencePiece"));
    assert!(Pattern::regex("(a+)+$").unwrap_err().contains("(a+)+$"));
}

/// A small file with one part changed.
fn changed(part: &str, with: Value) -> String {
    let mut file = json!({
        "added_tokens": [{"id": 4, "content": "<x>", "special": true}],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]},
    });
    *file.pointer_mut(part).unwrap() = with;
    file.to_string()
}

#[test]
fn files_that_mean_harm_are_errors_that_say_what() {
    let _alone = alone();
    assert_eq!(
        Tokenizer::from_json(&changed("/model/type", json!("BPE"))).unwrap().encode("ab<x>c").unwrap().ids,
        [3, 4, 0]
    );
    let huge_fixed =
        json!({"strategy": {"Fixed": u64::MAX}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "?"});
    let many_decoders = json!({"type": "Sequence", "decoders": vec![json!({"type": "Fuse"}); 5000]});
    let mut deep = json!({"type": "Lowercase"});
    for _ in 0..80 {
        deep = json!({"type": "Sequence", "normalizers": [deep]});
    }
    let with_part = |name: &str, part: Value| {
        let mut file: Value = serde_json::from_str(&changed("/model/type", json!("BPE"))).unwrap();
        file[name] = part;
        file.to_string()
    };
    let cases = BTreeMap::from([
        ("vocabulary empty", (changed("/model/vocab", json!({})), "got an empty one")),
        ("id huge", (changed("/model/vocab/a", json!(u32::MAX)), "got 4294967295")),
        ("id more than huge", (changed("/model/vocab/a", json!(1u64 << 40)), "1099511627776")),
        ("id negative", (changed("/model/vocab/a", json!(-1)), "-1")),
        ("id twice", (changed("/model/vocab/a", json!(2)), "got 2 for")),
        ("added id huge", (changed("/added_tokens/0/id", json!(u32::MAX)), "got 4294967295")),
        ("added id taken", (changed("/added_tokens/0/id", json!(3)), "\"<x>\"")),
        ("added content empty", (changed("/added_tokens/0/content", json!("")), "id 4")),
        ("merge of none", (changed("/model/merges/0/1", json!("c")), "\"c\" is none")),
        ("merge to none", (changed("/model/merges/0", json!(["b", "a"])), "\"ba\" is none")),
        ("merge of one", (changed("/model/merges/0", json!("ab")), "\"ab\" (merge 0)")),
        ("unknown is none", (changed("/model/unk_token", json!("!")), "\"!\"")),
        ("kind", (changed("/model/type", json!("GPT")), "\"GPT\"")),
        ("kind of others", (changed("/model/type", json!("WordLevel")), "merges")),
        ("splitter", (changed("/pre_tokenizer/type", json!("Jieba")), "Jieba")),
        ("padding", (with_part("padding", huge_fixed), "at most 1048576")),
        ("decoders", (with_part("decoder", many_decoders), "at most 64 decoders")),
        ("deep", (with_part("normalizer", deep), "recursion limit")),
        ("version", (with_part("version", json!("2.0")), "\"2.0\"")),
        ("number", (changed("/model/vocab/a", json!(1)).replace(":1,", ":1e400,"), "number out of range")),
        ("cut off", (changed("/model/vocab/a", json!(1))[..90].to_owned(), "EOF")),
        ("nothing", (String::new(), "EOF")),
    ]);
    for (what, (json, word)) in cases {
        let before = counting::begin();
        let error = Tokenizer::from_json(&json).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("tokenizer.json"), "{what}: {error}");
        assert!(counting::most_since(before) < json.len() * 64 + (4 << 20), "{what}");
    }
}

#[test]
fn damaged_files_neither_panic_nor_hang() {
    let _alone = alone();
    let folder = Folder::new("damaged_tokenizers");
    let texts = ["", "Hello  wörld's\0 中文 123 <ent> NewTok <a><b>\n\n x"];
    for (name, file) in [
        ("gpt2", "tokenizer.json"),
        ("bert_uncased", "tokenizer.json"),
        ("t5", "tokenizer.json"),
        ("llama2_metaspace", "tokenizer.json"),
        ("bert_cased", "vocab.txt"),
        ("gpt2", "merges.txt"),
        ("o200k", "tokenizer.tiktoken"),
        ("llama2", "tokenizer.model"),
        ("xlmr", "sentencepiece.bpe.model"),
    ] {
        let whole = std::fs::read(fixture(name, file)).unwrap();
        let path = folder.path(file);
        if file == "merges.txt" {
            std::fs::copy(fixture(name, "vocab.json"), folder.path("vocab.json")).unwrap();
        }
        let mut number = 1u64;
        let mut below = |n: usize| {
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (number >> 33) as usize % n
        };
        for round in 0..40 {
            let mut bytes = whole.clone();
            // Near the beginning of a file, where its parts stand, as often as anywhere.
            let at = if round % 2 == 0 { below(bytes.len().min(1500)) } else { below(bytes.len()) };
            match round % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at] = below(256) as u8,
                2 => drop(bytes.drain(at..bytes.len().min(at + 1 + below(30)))),
                _ => drop(bytes.splice(at..at, *b"99999999")),
            }
            std::fs::write(&path, &bytes).unwrap();
            let before = counting::begin();
            let opened = match file {
                "tokenizer.tiktoken" => Tokenizer::from_tiktoken(&path, TiktokenPattern::O200k, &[]),
                _ => Tokenizer::open(&path),
            };
            match opened {
                Err(error) => assert!(error.to_string().contains(file), "{error}"),
                Ok(tokenizer) => {
                    for text in texts {
                        let Ok(encoding) = tokenizer.encode(text) else { continue };
                        assert!(
                            encoding
                                .offsets
                                .iter()
                                .all(|&(start, end)| text.get(start as usize..end as usize).is_some())
                        );
                        assert_eq!(
                            streamed(&tokenizer, &encoding.ids, false),
                            tokenizer.decode(&encoding.ids, false).unwrap()
                        );
                    }
                    if let Ok(json) = tokenizer.to_json() {
                        Tokenizer::from_json(&json).unwrap();
                    }
                }
            }
            assert!(counting::most_since(before) < bytes.len() * 64 + (64 << 20), "{name}/{file}, round {round}");
        }
    }
}

#[test]
fn special_tokens_stand_where_the_template_says() {
    let tokenizer = open("bert_uncased");
    let (cls, sep) = (tokenizer.id("[CLS]").unwrap(), tokenizer.id("[SEP]").unwrap());
    let template = Template::BertProcessing { sep: ("[SEP]".into(), sep), cls: ("[CLS]".into(), cls) };
    let ids = tokenizer.clone().with_template(template).unwrap().encode_pair("a", "b").unwrap().ids;
    assert_eq!((ids[0], ids[2], ids[4], ids.len()), (cls, sep, sep, 5));
    let other = Template::BertProcessing { sep: ("[SEP]".into(), 70_000), cls: ("[CLS]".into(), cls) };
    let error = tokenizer.with_template(other).unwrap_err().to_string();
    assert!(error.contains("70000"), "{error}");
}

#[test]
fn ids_alone_are_those_of_the_encoding() {
    let mut padding = Padding::with(0, "[PAD]");
    padding.strategy = PaddingStrategy::Fixed(12);
    for name in ["bert_uncased", "roberta", "llama2_metaspace", "xlmr"] {
        let tokenizer = open(name);
        for direction in [Side::Left, Side::Right] {
            padding.direction = direction;
            let cut = Truncation { direction, ..Truncation::to(7) };
            let filled = tokenizer.clone().with_truncation(cut).with_padding(padding.clone()).unwrap();
            for tokenizer in [&tokenizer, &filled] {
                for text in ["", "a", "  The <ent>quick\u{301} brown kubernetes 東京 jumps\n over it all, twice"] {
                    assert_eq!(
                        tokenizer.encode_ids(text).unwrap(),
                        tokenizer.encode(text).unwrap().ids,
                        "{name} {text:?}"
                    );
                }
            }
        }
    }
}
