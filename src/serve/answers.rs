//! What is answered, in the words of OpenAI's API.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::requests::random;
use crate::generation::Finish;
use crate::tensor::Tensor;

/// Tokens of the prompt and of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub prompt: usize,
    pub written: usize,
}

impl Usage {
    fn json(self) -> Value {
        let total = self.prompt + self.written;
        json!({ "prompt_tokens": self.prompt, "completion_tokens": self.written, "total_tokens": total })
    }
}

/// The answer to one request for a text, of a chat or none: what all its parts have in common.
#[derive(Debug)]
pub struct Told {
    is_chat: bool,
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
}

impl Told {
    pub fn new(is_chat: bool, model: &str, include_usage: bool) -> Self {
        let prefix = if is_chat { "chatcmpl" } else { "cmpl" };
        Told {
            is_chat,
            id: format!("{prefix}-{:016x}", random()),
            created: now(),
            model: model.to_owned(),
            include_usage,
        }
    }

    fn around(&self, is_part: bool, choices: Value) -> Value {
        let object = match (self.is_chat, is_part) {
            (true, true) => "chat.completion.chunk",
            (true, false) => "chat.completion",
            (false, _) => "text_completion",
        };
        let (id, created, model) = (&self.id, self.created, &self.model);
        json!({ "id": id, "object": object, "created": created, "model": model, "choices": choices })
    }

    /// The whole answer.
    pub fn whole(&self, text: &str, finish: Finish, usage: Usage) -> Value {
        let reason = reason(finish);
        let choice = match self.is_chat {
            true => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": reason })
            }
            false => json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }),
        };
        let mut answer = self.around(false, json!([choice]));
        answer["usage"] = usage.json();
        answer
    }

    /// The part that says who speaks; completions have none.
    pub fn first(&self) -> Option<String> {
        self.is_chat.then(|| self.part(json!({ "role": "assistant", "content": "" }), None))
    }

    /// A piece of the text.
    pub fn piece(&self, text: &str) -> String {
        self.part(if self.is_chat { json!({ "content": text }) } else { json!(text) }, None)
    }

    /// The end, and the counts where they were asked for.
    pub fn last(&self, finish: Finish, usage: Usage) -> Vec<String> {
        let end = if self.is_chat { json!({}) } else { json!("") };
        let mut parts = vec![self.part(end, Some(finish))];
        if self.include_usage {
            let mut counts = self.around(true, json!([]));
            counts["usage"] = usage.json();
            parts.push(counts.to_string());
        }
        parts
    }

    fn part(&self, new: Value, finish: Option<Finish>) -> String {
        let key = if self.is_chat { "delta" } else { "text" };
        let choice = json!({ "index": 0, key: new, "logprobs": null, "finish_reason": finish.map(reason) });
        let mut part = self.around(true, json!([choice]));
        if self.include_usage {
            part["usage"] = Value::Null;
        }
        part.to_string()
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::EndToken | Finish::Stopped => "stop",
        Finish::Length => "length",
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Vectors, as numbers or as base64 of their bytes.
pub fn embeddings(vectors: &Tensor, base64: bool, model: &str, tokens: usize) -> Value {
    let vector = |i: usize| match base64 {
        true => json!(encoded(&vectors.row(i).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())),
        false => json!(vectors.row(i)),
    };
    let rows = vectors.samples();
    let data: Vec<Value> =
        (0..rows).map(|i| json!({ "object": "embedding", "index": i, "embedding": vector(i) })).collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    json!({ "object": "list", "data": data, "model": model, "usage": usage })
}

/// Base64 of RFC 4648.
fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encoded(bytes.as_bytes()), text);
        }
        assert_eq!(encoded(&[0xff, 0xfe, 0x3f]), "//4/");
    }
}
