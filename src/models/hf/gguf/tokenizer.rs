//! Tokenizers among the metadata of a GGUF file, as the parts that they have here.

use serde_json::{Map, Value, json};

use super::splitting::{self, BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED};
use crate::error::{Error, Result};
use crate::io::{Gguf, GgufArray, GgufValue};
use crate::text::Tokenizer;
use crate::text::tokenizer::{AddedToken, Template};

/// The tokenizer of a file; none where it has none.
pub(super) fn read(file: &Gguf<'_>) -> Result<Option<Tokenizer>> {
    let wrong = |problem: String| {
        Error::file(file.path(), problem, "fetch the file again, or convert the model anew with its tokenizer")
    };
    let keys = Keys { file };
    let tokenizer = match keys.get("model").map(|model| (model, model.as_str())) {
        None | Some((_, Some("no_vocab" | "none"))) => return Ok(None),
        Some((_, Some("gpt2"))) => byte_level(&keys).map_err(wrong)?,
        Some((_, Some("llama"))) => sentence_piece(&keys).map_err(wrong)?,
        Some((model, _)) => {
            let problem = format!("tokenizer.ggml.model is {model}, which is not built");
            return Err(Error::file(file.path(), problem, "known: gpt2, llama, no_vocab"));
        }
    };
    Ok(Some(tokenizer))
}

/// Keys of the tokenizer.
struct Keys<'f> {
    file: &'f Gguf<'f>,
}

impl<'f> Keys<'f> {
    fn get(&self, key: &str) -> Option<&'f GgufValue> {
        self.file.get(&format!("tokenizer.ggml.{key}"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => {
                value.as_bool().ok_or_else(|| format!("tokenizer.ggml.{key} is {value}, expected true or false"))
            }
        }
    }

    /// A token of a meaning, which is one of so many.
    fn token(&self, key: &str, count: usize) -> Result<Option<usize>, String> {
        match self.get(&format!("{key}_token_id")) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|token| *token < count as u64) {
                Some(token) => Ok(Some(token as usize)),
                None => Err(format!("tokenizer.ggml.{key}_token_id is {value}, and there are {count} tokens")),
            },
        }
    }

    fn tokens(&self) -> Result<&'f [String], String> {
        let tokens = self.get("tokens").and_then(GgufValue::as_strings).filter(|tokens| !tokens.is_empty());
        tokens.ok_or_else(|| "it has no texts tokenizer.ggml.tokens".to_owned())
    }

    /// The type of each of so many tokens; all normal where the file does not say.
    fn types(&self, count: usize) -> Result<Vec<u8>, String> {
        let array = match self.get("token_type") {
            None => return Ok(vec![NORMAL; count]),
            Some(GgufValue::Array(array)) if array.len() == count => array,
            Some(other) => {
                return Err(format!("tokenizer.ggml.token_type is {other}, expected one for each of {count} tokens"));
            }
        };
        let one = |i: usize| {
            array.get(i).and_then(|v| u8::try_from(v.as_u64()?).ok()).filter(|v| (NORMAL..=BYTE).contains(v))
        };
        (0..count).map(|i| one(i).ok_or_else(|| format!("the type of token {i} is none of 1 to 6"))).collect()
    }

    /// What stands around texts: the tokens of the two ends, where they are put in.
    fn ends(&self, tokens: &[String], [begins, ends]: [bool; 2]) -> Result<Option<Value>, String> {
        let mut parts = Vec::new();
        let mut named = Map::new();
        let mut put = |wanted: bool, key: &str, parts: &mut Vec<Value>| {
            if !wanted {
                return Ok(());
            }
            let Some(id) = self.token(key, tokens.len())? else {
                return Err(format!(
                    "texts are to have a token at their end, and there is no tokenizer.ggml.{key}_token_id"
                ));
            };
            let token = tokens[id].as_str();
            parts.push(json!({"SpecialToken": {"id": token, "type_id": 0}}));
            named.insert(token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}));
            Ok(())
        };
        put(begins, "bos", &mut parts)?;
        parts.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
        put(ends, "eos", &mut parts)?;
        // Of two texts each has its own ends.
        let again = |part: &Value| match part.get("Sequence") {
            Some(_) => json!({"Sequence": {"id": "B", "type_id": 0}}),
            None => part.clone(),
        };
        let pair: Vec<Value> = parts.iter().cloned().chain(parts.iter().map(again)).collect();
        Ok((begins || ends)
            .then(|| json!({"type": "TemplateProcessing", "single": parts, "pair": pair, "special_tokens": named})))
    }
}

/// Byte-pair encoding of bytes.
fn byte_level(keys: &Keys<'_>) -> Result<Tokenizer, String> {
    let tokens = keys.tokens()?;
    let types = keys.types(tokens.len())?;
    let named = keys.get("pre").map_or(Some("default"), GgufValue::as_str);
    let splitting = |name: &&str| splitting::known().find(|known| known.names.contains(name));
    let Some(splitting) = named.as_ref().and_then(splitting) else {
        let known: Vec<&str> = splitting::known().flat_map(|known| known.names).copied().collect();
        let got = keys.get("pre").map_or(String::new(), ToString::to_string);
        return Err(format!("tokenizer.ggml.pre is {got}, which is not built; known: {}", known.join(", ")));
    };
    let Some(merges) = keys.get("merges").and_then(GgufValue::as_strings) else {
        return Err("it has no texts tokenizer.ggml.merges".into());
    };
    let (mut vocab, mut added) = (Map::new(), Vec::new());
    for (id, (token, kind)) in tokens.iter().zip(&types).enumerate() {
        match *kind {
            CONTROL | UNKNOWN | USER_DEFINED if !token.is_empty() => {
                let special = *kind != USER_DEFINED;
                added.push(json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special
                }));
            }
            NORMAL | BYTE => {
                if let Some(before) = vocab.insert(token.clone(), id.into()) {
                    return Err(format!("tokens {before} and {id} are both {token:?}"));
                }
            }
            _ => {}
        }
    }
    let cut = |merge: &String| match merge.char_indices().skip(1).find(|(_, c)| *c == ' ') {
        Some((at, _)) if at + 1 < merge.len() => Ok(json!([merge[..at], merge[at + 1..]])),
        _ => Err(format!("{merge:?} is no merge of two tokens")),
    };
    let merges = merges.iter().map(cut).collect::<Result<Vec<_>, _>>()?;
    let begins = keys.flag("add_bos_token", splitting.begins)?;
    let template = keys.ends(tokens, [begins, keys.flag("add_eos_token", false)?])?;
    let mut splitters: Vec<Value> = (splitting.patterns.iter())
        .map(|pattern| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false}))
        .collect();
    splitters.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}));
    let file = json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": splitters},
        "post_processor": template,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "ignore_merges": splitting.ignore_merges, "vocab": vocab, "merges": merges}
    });
    Tokenizer::from_json(&file.to_string()).map_err(|e| e.to_string())
}

/// SentencePiece's byte-pair encoding: pieces with scores, run by SentencePiece's own rules.
fn sentence_piece(keys: &Keys<'_>) -> Result<Tokenizer, String> {
    let tokens = keys.tokens()?;
    let types = keys.types(tokens.len())?;
    let Some(GgufValue::Array(GgufArray::F32(scores))) = keys.get("scores") else {
        return Err("it has no numbers tokenizer.ggml.scores".into());
    };
    if scores.len() != tokens.len() {
        return Err(format!("there are {} scores for {} tokens", scores.len(), tokens.len()));
    }
    let [prefix, squeezes] = [keys.flag("add_space_prefix", true)?, keys.flag("remove_extra_whitespaces", false)?];
    let mut model = Vec::new();
    for ((token, score), kind) in tokens.iter().zip(scores).zip(&types) {
        let mut piece = Vec::new();
        field(1, token.as_bytes(), &mut piece);
        piece.push(2 << 3 | 5);
        piece.extend(score.to_le_bytes());
        number(3, u64::from(*kind), &mut piece);
        field(1, &piece, &mut model);
    }
    // Byte-pair encoding; bytes where there are pieces of them.
    let (mut trainer, mut normalizer) = (Vec::new(), Vec::new());
    number(3, 2, &mut trainer);
    number(35, u64::from(types.contains(&BYTE)), &mut trainer);
    field(1, b"identity", &mut normalizer);
    for (key, on) in [(3, prefix), (4, squeezes), (5, true)] {
        number(key, u64::from(on), &mut normalizer);
    }
    field(2, &trainer, &mut model);
    field(3, &normalizer, &mut model);
    // What stands for the unknown is found where it is written, as llama.cpp does.
    let unknown = (0..).zip(tokens).zip(&types).filter(|(_, kind)| **kind == UNKNOWN);
    let unknown = unknown.map(|((id, token), _)| AddedToken::special(id, token.as_str()));
    let tokenizer = Tokenizer::from_sentencepiece_bytes(&model)?;
    let tokenizer = tokenizer.with_added_tokens(unknown).map_err(|e| e.to_string())?;
    let ends = [keys.flag("add_bos_token", true)?, keys.flag("add_eos_token", false)?];
    match keys.ends(tokens, ends)? {
        None => Ok(tokenizer),
        Some(template) => {
            let template: Template = serde_json::from_value(template).map_err(|e| e.to_string())?;
            tokenizer.with_template(template).map_err(|e| e.to_string())
        }
    }
}

/// A number of a message of protocol buffers, which SentencePiece's files are.
fn number(key: u64, value: u64, out: &mut Vec<u8>) {
    varint(key << 3, out);
    varint(value, out);
}

/// Bytes of such a message.
fn field(key: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(key << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
