//! What is asked for, in the words of OpenAI's API.

use serde_json::{Value, json};

use super::fields::{Fields, kind};
use super::problem::{Outcome, Problem};
use crate::generation::GenerationSettings;
use crate::models::hf::{ChatOptions, Message};

/// Fields that change no answer.
const HARMLESS: [&str; 8] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];
/// The most strings that end an answer.
const MOST_STOPS: usize = 16;
/// The most texts of one request for embeddings.
const MOST_TEXTS: usize = 2048;

/// How a text is written, and how the answer is told.
#[derive(Debug)]
pub struct Writing {
    pub model: Option<String>,
    pub settings: GenerationSettings,
    pub most_tokens: Option<usize>,
    pub stream: bool,
    pub include_usage: bool,
}

/// A prompt of a completion.
#[derive(Debug)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// A request for embeddings.
#[derive(Debug)]
pub struct Embedding {
    pub model: Option<String>,
    pub texts: Vec<String>,
    pub dimensions: Option<usize>,
    pub base64: bool,
}

/// `POST /v1/chat/completions`.
pub fn chat(body: &[u8], settings: GenerationSettings) -> Outcome<(Vec<Message>, ChatOptions, Writing)> {
    let mut fields = Fields::parse(body)?;
    let messages = match fields.take("messages") {
        Some(Value::Array(all)) if !all.is_empty() => {
            all.into_iter().enumerate().map(|(i, one)| message(i, one)).collect::<Outcome<Vec<Message>>>()?
        }
        _ => return Err(Problem::field("messages", "messages is to be a list of one message or more")),
    };
    let mut options = ChatOptions::default();
    if let Some(variables) = fields.take("chat_template_kwargs") {
        let Value::Object(variables) = variables else {
            return Err(Problem::field("chat_template_kwargs", "chat_template_kwargs is to be an object"));
        };
        for (name, value) in variables {
            options = match value {
                Value::Bool(flag) => options.flag(name, flag),
                Value::String(text) => options.text(name, text),
                other => {
                    let message = format!("{name} is to be true, false or a string, not {}", kind(&other));
                    return Err(Problem::field(format!("chat_template_kwargs.{name}"), message));
                }
            };
        }
    }
    let most = fields.whole("max_completion_tokens", 1)?;
    let older = fields.whole("max_tokens", 1)?;
    if let (Some(most), Some(older)) = (most, older)
        && most != older
    {
        return Err(Problem::field("max_tokens", "max_tokens and max_completion_tokens differ: pass one of them"));
    }
    fields.only("response_format", &json!({ "type": "text" }))?;
    fields.only("modalities", &json!(["text"]))?;
    fields.only("tools", &json!([]))?;
    fields.only("tool_choice", &json!("none"))?;
    fields.only("logprobs", &json!(false))?;
    let writing = writing(fields, settings, most.or(older))?;
    Ok((messages, options, writing))
}

fn message(i: usize, value: Value) -> Outcome<Message> {
    let at = format!("messages[{i}]");
    let mut fields = Fields::of(value, &at)?;
    let role = match fields.string("role")? {
        Some(role) if ["system", "user", "assistant"].contains(&role.as_str()) => role,
        // The newer name.
        Some(role) if role == "developer" => "system".to_owned(),
        Some(role) => {
            let message = format!("{at}.role is {role:?}, and this server has system, developer, user and assistant");
            return Err(Problem::field(format!("{at}.role"), message));
        }
        None => return Err(Problem::field(format!("{at}.role"), format!("{at} has no role"))),
    };
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts.into_iter().map(|part| text_part(&at, part)).collect::<Outcome<String>>()?,
        Some(other) => {
            let message = format!("{at}.content is to be a string or a list of texts, not {}", kind(&other));
            return Err(Problem::field(format!("{at}.content"), message));
        }
        None => return Err(Problem::field(format!("{at}.content"), format!("{at} has no content"))),
    };
    fields.only("tool_calls", &json!([]))?;
    fields.only("annotations", &json!([]))?;
    fields.end(&format!("{at}."))?;
    Ok(Message::new(role, content))
}

/// A part of a content, of which texts alone are taken.
fn text_part(at: &str, part: Value) -> Outcome<String> {
    let name = format!("{at}.content");
    let mut fields = Fields::of(part, &name)?;
    let kind = fields.string("type")?;
    match (kind.as_deref(), fields.string("text")?) {
        (Some("text"), Some(text)) => {
            fields.end(&format!("{name}."))?;
            Ok(text)
        }
        (Some("text"), None) => Err(Problem::field(name, "a part of type text has no text")),
        (kind, _) => Err(Problem::field(name, format!("a part of type {kind:?}: this model reads texts alone"))),
    }
}

/// `POST /v1/completions`.
pub fn completion(body: &[u8], settings: GenerationSettings) -> Outcome<(Prompt, Writing)> {
    let mut fields = Fields::parse(body)?;
    let text = |value: &Value| value.as_str().map(|text| Prompt::Text(text.to_owned()));
    let prompt = match fields.take("prompt") {
        Some(Value::Array(all)) => match &all[..] {
            [Value::String(text)] => Some(Prompt::Text(text.clone())),
            [Value::Array(ids)] => tokens(ids),
            ids => tokens(ids),
        },
        Some(one) => text(&one),
        None => None,
    };
    let prompt =
        prompt.ok_or_else(|| Problem::field("prompt", "prompt is to be one string, or one list of token ids"))?;
    let most = fields.whole("max_tokens", 1)?.unwrap_or(16);
    fields.only("echo", &json!(false))?;
    fields.only("best_of", &json!(1))?;
    Ok((prompt, writing(fields, settings, Some(most))?))
}

fn tokens(ids: &[Value]) -> Option<Prompt> {
    let ids: Option<Vec<u32>> = ids.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect();
    ids.filter(|ids| !ids.is_empty()).map(Prompt::Tokens)
}

/// What chats and completions have in common.
fn writing(mut fields: Fields, mut settings: GenerationSettings, most_tokens: Option<usize>) -> Outcome<Writing> {
    fields.ignore(&HARMLESS);
    fields.only("n", &json!(1))?;
    // One answer, token by token, whatever the folder says.
    settings = settings.num_beams(1).num_return_sequences(1).stop_strings(stops(fields.take("stop"))?);
    if let Some(p) = fields.number("top_p", 0.0, 1.0)? {
        if p == 0.0 {
            return Err(Problem::field("top_p", "top_p is to be above 0"));
        }
        settings = settings.do_sample(true).top_p(Some(p).filter(|p| *p < 1.0));
    }
    if let Some(k) = fields.whole("top_k", 1)? {
        settings = settings.do_sample(true).top_k(k);
    }
    settings = match fields.number("temperature", 0.0, 2.0)? {
        Some(0.0) => settings.do_sample(false),
        // As good as 0, and no division by it.
        Some(temperature) if temperature < 1e-5 => settings.do_sample(false),
        Some(temperature) => settings.do_sample(true).temperature(temperature),
        None => settings,
    };
    if let Some(penalty) = fields.number("frequency_penalty", -2.0, 2.0)? {
        settings = settings.frequency_penalty(penalty);
    }
    if let Some(penalty) = fields.number("presence_penalty", -2.0, 2.0)? {
        settings = settings.presence_penalty(penalty);
    }
    if let Some(bias) = fields.take("logit_bias") {
        settings = settings.logit_bias(logit_bias(bias)?);
    }
    settings = settings.seed(fields.seed()?.unwrap_or_else(random));
    let stream = fields.flag("stream")?;
    let include_usage = match fields.take("stream_options") {
        Some(_) if !stream => return Err(Problem::field("stream_options", "stream_options goes with stream alone")),
        Some(value) => {
            let mut options = Fields::of(value, "stream_options")?;
            // Padding against listeners, which connections of this machine do not have.
            options.ignore(&["include_obfuscation"]);
            let include_usage = options.flag("include_usage")?;
            options.end("stream_options.")?;
            include_usage
        }
        None => false,
    };
    let model = fields.string("model")?;
    fields.end("")?;
    Ok(Writing { model, settings, most_tokens, stream, include_usage })
}

fn stops(value: Option<Value>) -> Outcome<Vec<String>> {
    let wrong = || {
        let message = format!("stop is to be a string, or a list of at most {MOST_STOPS}, none of them empty");
        Problem::field("stop", message)
    };
    let all = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= MOST_STOPS => all,
        Some(one @ Value::String(_)) => vec![one],
        Some(_) => return Err(wrong()),
    };
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(wrong()),
    };
    all.into_iter().map(text).collect()
}

fn logit_bias(value: Value) -> Outcome<Vec<(u32, f64)>> {
    let wrong =
        || Problem::field("logit_bias", "logit_bias is to be an object of numbers from -100 to 100 by token ids");
    let Value::Object(all) = value else { return Err(wrong()) };
    let one = |(id, bias): (String, Value)| {
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias))?;
        Some((id.parse().ok()?, bias))
    };
    all.into_iter().map(|entry| one(entry).ok_or_else(wrong)).collect()
}

/// A number that nobody chose.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// `POST /v1/embeddings`.
pub fn embedding(body: &[u8]) -> Outcome<Embedding> {
    let mut fields = Fields::parse(body)?;
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    let texts: Option<Vec<String>> = match fields.take("input") {
        Some(Value::Array(all)) => all.into_iter().map(text).collect(),
        Some(one) => text(one).map(|text| vec![text]),
        None => None,
    };
    let texts = texts.filter(|texts| (1..=MOST_TEXTS).contains(&texts.len())).ok_or_else(|| {
        Problem::field("input", format!("input is to be a string, or a list of 1 to {MOST_TEXTS} strings"))
    })?;
    let dimensions = fields.whole("dimensions", 1)?;
    let base64 = match fields.string("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Problem::field("encoding_format", "encoding_format is to be float or base64")),
    };
    let model = fields.string("model")?;
    fields.ignore(&["user"]);
    fields.end("")?;
    Ok(Embedding { model, texts, dimensions, base64 })
}
