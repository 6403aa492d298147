//! Tokenizers among the metadata of a GGUF file, as the parts that they have here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::pretrained::Pretrained;
use crate::error::{Error, Result};
use crate::io::{Gguf, GgufArray, GgufValue};
use crate::tensor::Float;
use crate::text::Tokenizer;
use crate::text::tokenizer::{AddedToken, Template};

/// How texts are split, by `tokenizer.ggml.pre`.
struct Splitting {
    /// The names that mean it.
    names: &'static [&'static str],
    /// The expressions, one after the other; the last one cuts words.
    patterns: &'static [&'static str],
    /// Whether a piece that is a token is one, whatever merges say.
    ignore_merges: bool,
    /// Whether texts begin with a token where the file does not say.
    begins: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Those that are known. A file that names none is of before there were names, and split as `default`.
const SPLITTINGS: [Splitting; 7] = [
    Splitting {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4"],
        patterns: &[GPT2],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        patterns: &[CL100K],
        ignore_merges: true,
        begins: true,
    },
    Splitting {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        patterns: &[CL100K],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"],
        patterns: &[QWEN],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        patterns: &[r"\p{N}", GPT2],
        ignore_merges: false,
        begins: false,
    },
    Splitting { names: &["gpt-4o", "llama4"], patterns: &[O200K], ignore_merges: false, begins: false },
    Splitting { names: &["tekken"], patterns: &[TEKKEN], ignore_merges: true, begins: true },
];

/// What `default` splits after another: marks, words, numbers, three digits each.
const DEFAULT: Splitting = Splitting {
    names: &["default"],
    patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ignore_merges: false,
    begins: false,
};

/// Types of tokens, as SentencePiece numbers them.
const NORMAL: u8 = 1;
const UNKNOWN: u8 = 2;
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;
const UNUSED: u8 = 5;
const BYTE: u8 = 6;

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
    let splitting = |name: &&str| SPLITTINGS.iter().chain([&DEFAULT]).find(|known| known.names.contains(name));
    let Some(splitting) = named.as_ref().and_then(splitting) else {
        let known: Vec<&str> = SPLITTINGS.iter().chain([&DEFAULT]).flat_map(|known| known.names).copied().collect();
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
    let known =
        SPLITTINGS.iter().chain([&DEFAULT]).find(|known| known.patterns == patterns && known.ignore_merges == ignores);
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
