//! Tokenizers against what Hugging Face's `tokenizers` and SentencePiece say: a folder `tokenizers` with `lines.json` and a folder for each,
//! and `real/`, whose vocabularies are not kept here: `GRADUS_VOCABULARIES` is the folder that `tests/interop/real_tokenizers.py` fetched them to.

use std::path::{Path, PathBuf};

use gradus::text::{
    Encoding, Tokenizer,
    tokenizer::{Padding, PaddingStrategy, TiktokenPattern, Truncation},
};
use safetensors::{Dtype, SafeTensors};

type Check = Result<(), String>;
/// A case by name, and why it was not run.
type Case = (String, Result<Option<String>, String>);

/// The values of a tensor of whole numbers.
fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<u32>> {
    let view = tensors.tensor(name).ok()?;
    let width = match view.dtype() {
        Dtype::U8 => 1,
        Dtype::U16 => 2,
        Dtype::U32 | Dtype::I32 => 4,
        Dtype::I64 => 8,
        other => panic!("{name} is of type {other:?}"),
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |all, &byte| all << 8 | u64::from(byte)) as u32;
    Some(view.data().chunks(width).map(number).collect())
}

/// Rows of different lengths that lie one behind the other.
fn rows<'v, V>(values: &'v [V], lengths: &[u32]) -> Vec<&'v [V]> {
    let mut rest = values;
    lengths
        .iter()
        .map(|&length| {
            let (row, others) = rest.split_at(length as usize);
            rest = others;
            row
        })
        .collect()
}

fn spans(values: &[u32]) -> Vec<(u32, u32)> {
    values.chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

fn json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

fn equal<V: PartialEq + std::fmt::Debug>(what: &str, text: &str, got: V, expected: V) -> Check {
    if got == expected { Ok(()) } else { Err(format!("{what} of {text:?}: got {got:?}, expected {expected:?}")) }
}

/// All cases of a folder `tokenizers`, by name.
pub fn run(folder: &Path) -> Result<Vec<Case>, String> {
    let lines: Vec<String> = json(&folder.join("lines.json"))?;
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| e.to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()).filter(|path| path.is_dir()))
        .collect();
    cases.sort();
    let mut outcomes = Vec::new();
    for case in cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != "real" {
            outcomes.push((name, one(&case, &lines).map(|()| None)));
            continue;
        }
        for (name, file, pattern) in REAL {
            let reference = case.join(format!("{name}.safetensors"));
            if reference.exists() {
                outcomes.push((format!("real/{name}"), real(&reference, file, pattern, &lines)));
            }
        }
    }
    Ok(outcomes)
}

/// One tokenizer: its `tokenizer.json`, and the other files that stand beside it.
fn one(folder: &Path, lines: &[String]) -> Check {
    let data = std::fs::read(folder.join("reference.safetensors")).map_err(|e| e.to_string())?;
    let tensors = SafeTensors::deserialize(&data).map_err(|e| e.to_string())?;
    let get = |name: &str| numbers(&tensors, name).ok_or_else(|| format!("no tensor {name}"));
    let tokenizer = Tokenizer::from_json_file(folder.join("tokenizer.json")).map_err(|e| e.to_string())?;
    let encode = |text: &str| tokenizer.encode(text).map_err(|e| format!("{text:?}: {e}"));

    let (ids, offsets, lengths) = (get("ids")?, spans(&get("offsets")?), get("lengths")?);
    let (ids, offsets) = (rows(&ids, &lengths), rows(&offsets, &lengths));
    let decoded: serde_json::Value = json(&folder.join("decoded.json"))?;
    let again = Tokenizer::from_json(&tokenizer.to_json().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    for (i, line) in lines.iter().enumerate() {
        let encoding = encode(line)?;
        equal("ids", line, &encoding.ids[..], ids[i])?;
        equal("offsets", line, &encoding.offsets[..], offsets[i])?;
        equal("ids alone", line, &tokenizer.encode_ids(line).map_err(|e| e.to_string())?[..], ids[i])?;
        equal("encoding after writing and reading", line, &again.encode(line).map_err(|e| e.to_string())?, &encoding)?;
        let plain = decoded["plain"][i].as_str().unwrap_or(line);
        let special = decoded["special"][i].as_str().unwrap_or(plain);
        for (skip, expected) in [(true, plain), (false, special)] {
            equal("decoded text", line, &*tokenizer.decode(ids[i], skip).map_err(|e| e.to_string())?, expected)?;
            let mut stream = tokenizer.decode_stream(skip);
            let mut text = String::new();
            for &id in ids[i] {
                text.push_str(stream.push(id).map_err(|e| e.to_string())?);
            }
            text.push_str(&stream.finish().map_err(|e| e.to_string())?);
            equal("streamed text", line, &*text, expected)?;
        }
    }
    let batch = tokenizer.encode_batch(lines).map_err(|e| e.to_string())?;
    equal("ids of the batch", "all", batch.iter().map(|encoding| &encoding.ids[..]).collect(), ids)?;

    let (pairs, lengths) = (get("pairs.lines")?, get("pairs.lengths")?);
    let (ids, types, offsets) = (get("pairs.ids")?, get("pairs.type_ids")?, spans(&get("pairs.offsets")?));
    let (ids, types, offsets) = (rows(&ids, &lengths), rows(&types, &lengths), rows(&offsets, &lengths));
    let pair = |pair: &[u32]| (&*lines[pair[0] as usize], &*lines[pair[1] as usize]);
    for (i, (first, second)) in pairs.chunks(2).map(pair).enumerate() {
        let encoding = tokenizer.encode_pair(first, second).map_err(|e| e.to_string())?;
        equal("ids of the pair", first, &encoding.ids[..], ids[i])?;
        equal("type ids of the pair", first, &encoding.type_ids[..], types[i])?;
        equal("offsets of the pair", first, &encoding.offsets[..], offsets[i])?;
    }
    if let Some(ids) = numbers(&tensors, "truncated.ids") {
        let (token, id) = ["[PAD]", "<pad>"]
            .into_iter()
            .find_map(|token| Some((token, tokenizer.id(token)?)))
            .ok_or("no token to fill up with")?;
        let mut padding = Padding::with(id, token);
        padding.strategy = PaddingStrategy::Fixed(20);
        let cut =
            tokenizer.clone().with_truncation(Truncation::to(20)).with_padding(padding).map_err(|e| e.to_string())?;
        let (types, mask) = (get("truncated.type_ids")?, get("truncated.mask")?);
        for (i, (first, second)) in pairs.chunks(2).map(pair).enumerate() {
            let encoding = cut.encode_pair(first, second).map_err(|e| e.to_string())?;
            let row = 20 * i..20 * (i + 1);
            let attention: Vec<u32> = encoding.attention_mask.iter().map(|&mask| mask.into()).collect();
            equal("ids cut to 20", first, &encoding.ids[..], &ids[row.clone()])?;
            equal("type ids cut to 20", first, &encoding.type_ids[..], &types[row.clone()])?;
            equal("mask cut to 20", first, &attention[..], &mask[row])?;
        }
    }
    beside(folder, &tokenizer, lines)?;
    match ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"].iter().find(|file| folder.join(file).exists())
    {
        Some(file) => sentencepiece(&folder.join(file), folder, &tensors, lines),
        None => Ok(()),
    }
}

/// The older files beside a `tokenizer.json`, which know no added tokens.
fn beside(folder: &Path, tokenizer: &Tokenizer, lines: &[String]) -> Check {
    let (merges, words, ranks) =
        (folder.join("merges.txt"), folder.join("vocab.txt"), folder.join("tokenizer.tiktoken"));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let other = if merges.exists() {
        Tokenizer::from_vocab_and_merges(folder.join("vocab.json"), merges)
    } else if words.exists() && name != "bert_cased" {
        Tokenizer::from_vocab_txt(words, true)
    } else if ranks.exists() {
        let pattern = if name == "o200k" { TiktokenPattern::O200k } else { TiktokenPattern::Cl100k };
        Tokenizer::from_tiktoken(ranks, pattern, &[])
    } else {
        return Ok(());
    };
    let other = other.map_err(|e| e.to_string())?;
    for line in lines {
        let ids = |tokenizer: &Tokenizer| tokenizer.encode_ordinary(line).map_err(|e| e.to_string());
        equal("ids by the older files", line, ids(&other)?, ids(tokenizer)?)?;
    }
    Ok(())
}

/// What SentencePiece itself makes of its model.
fn sentencepiece(file: &Path, folder: &Path, tensors: &SafeTensors<'_>, lines: &[String]) -> Check {
    let tokenizer = Tokenizer::from_sentencepiece(file).map_err(|e| e.to_string())?;
    let get = |name: &str| numbers(tensors, name).ok_or_else(|| format!("no tensor {name}"));
    let (ids, lengths) = (get("sentencepiece.ids")?, get("sentencepiece.lengths")?);
    let decoded: Vec<Option<String>> = json(&folder.join("sentencepiece_decoded.json"))?;
    for ((line, ids), decoded) in lines.iter().zip(rows(&ids, &lengths)).zip(&decoded) {
        let got = tokenizer.encode_ordinary(line).map_err(|e| e.to_string())?;
        equal("SentencePiece's ids", line, &got[..], ids)?;
        let text = tokenizer.decode(ids, true).map_err(|e| e.to_string())?;
        equal("SentencePiece's text", line, &text, decoded.as_ref().unwrap_or(line))?;
    }
    Ok(())
}

/// Published vocabularies: the case, the file, and how texts are split.
const REAL: [(&str, &str, Option<TiktokenPattern>); 6] = [
    ("cl100k_base", "cl100k_base.tiktoken", Some(TiktokenPattern::Cl100k)),
    ("o200k_base", "o200k_base.tiktoken", Some(TiktokenPattern::O200k)),
    ("gpt2", "encoder.json", None),
    ("minilm", "tokenizer.json", None),
    ("sentencepiece_test_model", "test_model.model", None),
    ("sentencepiece_test_ja_model", "test_ja_model.model", None),
];

/// A published vocabulary, or the reason why it is not there.
fn real(
    reference: &Path,
    file: &str,
    pattern: Option<TiktokenPattern>,
    lines: &[String],
) -> Result<Option<String>, String> {
    let Some(folder) = std::env::var_os("GRADUS_VOCABULARIES").map(PathBuf::from) else {
        return Ok(Some("its vocabulary is fetched by tests/interop/real_tokenizers.py".into()));
    };
    let path = folder.join(file);
    let tokenizer = match (pattern, file.rsplit('.').next()) {
        (Some(pattern), _) => Tokenizer::from_tiktoken(&path, pattern, &[]),
        (None, Some("model")) => Tokenizer::from_sentencepiece(&path),
        (None, _) if file == "encoder.json" => Tokenizer::from_vocab_and_merges(&path, folder.join("vocab.bpe")),
        (None, _) => {
            Tokenizer::from_json_file(&path).and_then(|tokenizer| tokenizer.with_truncation(None).with_padding(None))
        }
    };
    let tokenizer = tokenizer.map_err(|e| e.to_string())?;
    let data = std::fs::read(reference).map_err(|e| e.to_string())?;
    let tensors = SafeTensors::deserialize(&data).map_err(|e| e.to_string())?;
    let get = |name: &str| numbers(&tensors, name).ok_or_else(|| format!("no tensor {name}"));
    let (chosen, ids, lengths) = (get("lines")?, get("ids")?, get("lengths")?);
    for (&line, ids) in chosen.iter().zip(rows(&ids, &lengths)) {
        let line = lines.get(line as usize).ok_or("a line that is not there")?;
        // Only the one from a tokenizer.json knows special tokens.
        let got = if file == "tokenizer.json" {
            tokenizer.encode(line).map(|Encoding { ids, .. }| ids)
        } else {
            tokenizer.encode_ordinary(line)
        };
        equal("ids", line, &got.map_err(|e| e.to_string())?[..], ids)?;
        if pattern.is_some() {
            equal("text", line, &tokenizer.decode(ids, false).map_err(|e| e.to_string())?, line)?;
        }
    }
    let runs: &[(&str, usize, usize)] = match file {
        "cl100k_base.tiktoken" => &[("a", 100_000, 12_500)],
        "encoder.json" => &[("^", 1_000_000, 250_000)],
        _ => &[],
    };
    for &(letter, times, expected) in runs {
        let got = tokenizer.encode_ordinary(&letter.repeat(times)).map_err(|e| e.to_string())?;
        equal("count of ids", &format!("{letter} × {times}"), got.len(), expected)?;
    }
    Ok(None)
}
