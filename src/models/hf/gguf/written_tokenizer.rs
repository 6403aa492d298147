//! A tokenizer among the metadata of a GGUF file that is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::super::pretrained::Pretrained;
use super::splitting::{self, BYTE, CONTROL, GPT2, NORMAL, UNKNOWN, UNUSED, USER_DEFINED};
use crate::error::{Error, Result};
use crate::io::GgufValue;
use crate::tensor::Float;
use crate::text::Tokenizer;

/// Puts the tokenizer of a model among the metadata: a token for each row of its table of tokens.
pub(super) fn write<T: Float>(model: &Pretrained<T>, metadata: &mut Vec<(String, GgufValue)>) -> Result<()> {
    let mut put = |key: &str, value: GgufValue| metadata.push((format!("tokenizer.ggml.{key}"), value));
    let Some(tokenizer) = model.tokenizer() else {
        put("model", "no_vocab".into());
        return Ok(());
    };
    let count = model.vocab_size();
    let refuse = |problem: String| Error::Config {
        op: "save_gguf",
        problem: format!("the tokenizer has no form as GGUF here: {problem}"),
        hint: "set_tokenizer takes another one, of bytes or of SentencePiece's byte-pair encoding".into(),
    };
    let Written { mut tokens, kinds, scores, more } = written(tokenizer).map_err(refuse)?;
    // A token for each row, and none behind the last.
    tokens.retain(|id, _| (*id as usize) < count);
    let kind =
        |id: usize| tokens.get(&(id as u32)).map_or(UNUSED, |_| kinds.get(&(id as u32)).copied().unwrap_or(NORMAL));
    let types: Vec<i32> = (0..count).map(|id| kind(id).into()).collect();
    let text = |id: usize| tokens.get(&(id as u32)).cloned().unwrap_or_else(|| format!("[PAD{id}]"));
    more.into_iter().for_each(|(key, value)| put(key, value));
    put("tokens", (0..count).map(text).collect::<Vec<String>>().into());
    put("token_type", types.into());
    if let Some(mut scores) = scores {
        // What fills up is worse than anything.
        scores.resize(count, -1e4);
        put("scores", scores.into());
    }
    let [begin, end] = ends(tokenizer)?.map_err(refuse)?;
    put("add_bos_token", begin.is_some().into());
    put("add_eos_token", end.is_some().into());
    let of_config = |key: &str| model.config().tokens(key).map(|tokens| tokens.first().copied());
    for (key, token) in [
        ("bos", begin.or(of_config("bos_token_id")?)),
        ("eos", end.or(of_config("eos_token_id")?)),
        ("unknown", tokenizer.unknown_id()),
        ("padding", of_config("pad_token_id").unwrap_or_default()),
    ] {
        if let Some(token) = token.filter(|token| (*token as usize) < count) {
            put(&format!("{key}_token_id"), token.into());
        }
    }
    Ok(())
}

/// A tokenizer in the words of a file.
struct Written {
    tokens: BTreeMap<u32, String>,
    /// The types of those that are not normal.
    kinds: BTreeMap<u32, u8>,
    /// Those of SentencePiece's pieces, in order of their ids.
    scores: Option<Vec<f32>>,
    more: Vec<(&'static str, GgufValue)>,
}

fn written(tokenizer: &Tokenizer) -> Result<Written, String> {
    if let Some(model) = tokenizer.sentencepiece_bpe() {
        let model = model?;
        let mut scores = Vec::new();
        let (mut tokens, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for (id, (text, score, kind)) in (0..).zip(model.pieces) {
            tokens.insert(id, text);
            kinds.insert(id, kind);
            scores.push(score);
        }
        let more = vec![
            ("model", "llama".into()),
            ("pre", "default".into()),
            ("add_space_prefix", model.add_dummy_prefix.into()),
            ("remove_extra_whitespaces", model.remove_extra_whitespaces.into()),
        ];
        return Ok(Written { tokens, kinds, scores: Some(scores), more });
    }
    let file: Value =
        serde_json::from_str(&tokenizer.to_json().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let model = &file["model"];
    let filled = |key: &str| model[key].as_str().is_some_and(|text| !text.is_empty());
    if model["type"] == "BPE" && model["byte_fallback"] == true {
        return scored(tokenizer, &file);
    }
    if model["type"] != "BPE"
        || ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"].into_iter().any(filled)
    {
        return Err(format!("a model of the type {}", model["type"]));
    }
    let pre = pre_of(&file)?;
    let Some((vocab, merges)) = model["vocab"].as_object().zip(model["merges"].as_array()) else {
        return Err("a model without a vocabulary".into());
    };
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("the id {id}"));
    let mut tokens: BTreeMap<u32, String> = BTreeMap::new();
    for (token, number) in vocab {
        tokens.insert(id(number)?, token.clone());
    }
    let mut kinds = BTreeMap::new();
    for added in tokenizer.added_tokens() {
        tokens.insert(added.id, added.content.clone());
        kinds.insert(added.id, if added.special { CONTROL } else { USER_DEFINED });
    }
    let line = |merge: &Value| match (merge[0].as_str(), merge[1].as_str()) {
        (Some(left), Some(right)) => Ok(format!("{left} {right}")),
        _ => Err(format!("the merge {merge}")),
    };
    let merges = merges.iter().map(line).collect::<Result<Vec<String>, String>>()?;
    Ok(Written {
        tokens,
        kinds,
        scores: None,
        more: vec![("model", "gpt2".into()), ("pre", pre.into()), ("merges", merges.into())],
    })
}

/// Byte-pair encoding of characters with a visible space, as transformers makes it of SentencePiece's: scores again, in the order of merges.
fn scored(tokenizer: &Tokenizer, file: &Value) -> Result<Written, String> {
    let (model, prefix) = (&file["model"], prefix_of(file)?);
    let Some((vocab, merges)) = model["vocab"].as_object().zip(model["merges"].as_array()) else {
        return Err("a model without a vocabulary".into());
    };
    let (mut tokens, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for (token, id) in vocab {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("the id {id}"))?;
        if token.len() == 6 && token.starts_with("<0x") {
            kinds.insert(id, BYTE);
        }
        tokens.insert(id, token.clone());
    }
    for added in tokenizer.added_tokens() {
        tokens.insert(added.id, added.content.clone());
        kinds.insert(added.id, if added.special { CONTROL } else { USER_DEFINED });
    }
    if let Some(unknown) = tokenizer.unknown_id() {
        kinds.insert(unknown, UNKNOWN);
    }
    let pairs = merges.iter().map(|merge| merge[0].as_str().zip(merge[1].as_str()));
    let pairs = pairs.collect::<Option<Vec<_>>>().ok_or("a merge of no two tokens")?;
    let (mut ranks, all): (HashMap<String, usize>, HashSet<_>) = (HashMap::new(), pairs.iter().copied().collect());
    for (rank, (left, right)) in pairs.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    // Scores join whatever gives a token, so merges have to be all of those.
    for (id, token) in tokens.iter().filter(|(id, _)| !kinds.contains_key(id)) {
        let inside =
            |part: &str| vocab.get(part).and_then(Value::as_u64).is_some_and(|id| !kinds.contains_key(&(id as u32)));
        let cuts = token.char_indices().skip(1).map(|(cut, _)| token.split_at(cut));
        if let Some((left, right)) = cuts.into_iter().find(|(l, r)| inside(l) && inside(r) && !all.contains(&(*l, *r)))
        {
            return Err(format!("no merge makes token {id}, {token:?}, of {left:?} and {right:?}"));
        }
    }
    let last = tokens.keys().next_back().map_or(0, |id| *id as usize + 1);
    let mut scores = vec![-(pairs.len() as f32); last];
    for (id, token) in &tokens {
        if let Some(rank) = ranks.get(token) {
            scores[*id as usize] = -(*rank as f32);
        }
    }
    let more = vec![
        ("model", "llama".into()),
        ("pre", "default".into()),
        ("add_space_prefix", prefix.into()),
        ("remove_extra_whitespaces", false.into()),
    ];
    Ok(Written { tokens, kinds, scores: Some(scores), more })
}

/// Whether a space is put before texts, where no more is done to them than that spaces become visible.
fn prefix_of(file: &Value) -> Result<bool, String> {
    let (normalizer, splitter) = (&file["normalizer"], &file["pre_tokenizer"]);
    let all = match normalizer["normalizers"].as_array() {
        Some(all) => &all[..],
        None if normalizer.is_null() => &[],
        None => std::slice::from_ref(normalizer),
    };
    let (mut prefix, mut visible) = (false, false);
    for step in all {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "▁" && !visible => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == "▁" => visible = true,
            _ => return Err(format!("it normalises texts by {step}")),
        }
    }
    match splitter["type"].as_str() {
        None if visible => Ok(prefix),
        // There are none left.
        Some("Split") if visible && splitter["pattern"]["String"] == " " => Ok(prefix),
        Some("Metaspace") if !visible && splitter["replacement"] == "▁" && splitter["split"] == false => {
            Ok(prefix || splitter["prepend_scheme"] != "never")
        }
        _ => Err(format!("it splits by {splitter}")),
    }
}

/// The name of the way in which a tokenizer splits.
fn pre_of(file: &Value) -> Result<&'static str, String> {
    let (normalizer, splitter, model) = (&file["normalizer"], &file["pre_tokenizer"], &file["model"]);
    let all = match splitter["pretokenizers"].as_array() {
        Some(all) => &all[..],
        None => std::slice::from_ref(splitter),
    };
    let mut patterns = Vec::new();
    for splitter in all {
        match splitter["type"].as_str() {
            Some("Split") if splitter["behavior"] == "Isolated" && splitter["invert"] == false => {
                patterns.push(splitter["pattern"]["Regex"].as_str().unwrap_or_default());
            }
            Some("Digits") if splitter["individual_digits"] == true => patterns.push(r"\p{N}"),
            Some("ByteLevel") if splitter["add_prefix_space"] == false => {
                if splitter["use_regex"] == true {
                    patterns.push(GPT2);
                }
            }
            _ => return Err(format!("it splits by {splitter}")),
        }
    }
    let ignores = model["ignore_merges"] == true;
    let known = splitting::known().find(|known| known.patterns == patterns && known.ignore_merges == ignores);
    // llama.cpp's own converter leaves Qwen's form C out as well.
    let normal = normalizer.is_null() || normalizer["type"] == "NFC";
    match known.filter(|_| normal) {
        Some(known) => Ok(known.names[0]),
        None if !normal => Err(format!("it normalises texts by {normalizer}")),
        None => Err(format!("it splits by {splitter}")),
    }
}

/// The tokens that are put before and behind every text, one each at most.
fn ends(tokenizer: &Tokenizer) -> Result<Result<[Option<u32>; 2], String>> {
    // Any text would do; what is around it is found by its length.
    let (with, inside) = (tokenizer.encode("a")?.ids, tokenizer.encode_without_template("a")?.ids);
    let at = (0..=with.len().saturating_sub(inside.len())).find(|at| with[*at..].starts_with(&inside));
    Ok(match at.map(|at| (&with[..at], &with[at + inside.len()..])) {
        Some((before, behind)) if before.len() <= 1 && behind.len() <= 1 => {
            Ok([before.first().copied(), behind.first().copied()])
        }
        _ => Err("it puts several tokens around texts".into()),
    })
}
