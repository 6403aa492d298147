//! Messages as the text that a model was trained on.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};

use super::config::{read_json, read_object};
use super::jinja::{Failure, Template, Value};
use crate::error::{Error, Result};
use crate::io::open_file;

/// The longest file of a tokenizer's settings that is read: some hold thousands of tokens.
const MAX_LEN: u64 = 1 << 25;

/// A message of a chat: who says it, and what.
///
/// ```
/// use gradus::models::hf::Message;
/// let chat = [Message::system("Answer in rhymes."), Message::user("Who are you?")];
/// assert_eq!(chat[1], Message::new("user", "Who are you?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `"system"`, `"user"`, `"assistant"`, or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// Of anybody.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: content.into() }
    }

    /// What holds for the whole chat.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// Of who asks.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// Of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }
}

/// How messages are rendered.
///
/// ```
/// use gradus::models::hf::ChatOptions;
/// // A model of Qwen 3 that does not think first.
/// let options = ChatOptions::default().flag("enable_thinking", false);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChatOptions {
    add_generation_prompt: bool,
    variables: Vec<(String, Variable)>,
    now: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq)]
enum Variable {
    Flag(bool),
    Text(String),
}

impl Default for ChatOptions {
    fn default() -> Self {
        ChatOptions { add_generation_prompt: true, variables: Vec::new(), now: None }
    }
}

impl ChatOptions {
    /// Whether the beginning of the assistant's answer follows the messages; yes by default, as what is rendered is a prompt. (Python's default is no.)
    pub fn add_generation_prompt(mut self, add: bool) -> Self {
        self.add_generation_prompt = add;
        self
    }

    /// A variable of the template that is true or false, such as `enable_thinking`.
    pub fn flag(mut self, name: impl Into<String>, value: bool) -> Self {
        self.variables.push((name.into(), Variable::Flag(value)));
        self
    }

    /// A variable of the template that is a text, such as `date_string`.
    pub fn text(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), Variable::Text(value.into())));
        self
    }

    /// The time that templates which write a date are told, in UTC; that of the call by default. With one the same messages give the same text on any day.
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }
}

/// A model's chat template: messages become the text that its chats were trained on, byte by byte as `apply_chat_template` of transformers has it.
///
/// Templates are programs in Jinja, which come with the model: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`. They see the messages, the
/// tokenizer's special tokens and what [`ChatOptions`] says; `tools` and `documents` are none. What a template asks for and is not built is an error that names
/// it; steps and memory are bounded, whatever a template does.
///
/// ```
/// use gradus::models::hf::{ChatOptions, ChatTemplate, Message};
/// let template = ChatTemplate::parse(
///     "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}{{ eos_token }}\n{% endfor %}\
///      {% if add_generation_prompt %}<|assistant|>\n{% endif %}",
/// )?
/// .special_token("eos_token", "</s>");
/// let text = template.render(&[Message::user(" Hi! ")], &ChatOptions::default())?;
/// assert_eq!(text, "<|user|>\nHi!</s>\n<|assistant|>\n");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    /// Where it is from.
    file: PathBuf,
    tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// A template from its text.
    ///
    /// # Errors
    /// [`Error::Data`] for what is no template, or has what is not built, with the line.
    pub fn parse(source: &str) -> Result<Self> {
        Self::of_file(Path::new("chat template"), source)
    }

    /// The template of a folder as the hub has it, with its special tokens: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json` (of several the
    /// one that is called `default`), else that of `chat_template.json`.
    ///
    /// Special tokens are those of `tokenizer_config.json` and `special_tokens_map.json`; what Python's classes have beside these files is not known.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] for files that cannot be read, or a folder without a template; [`Error::Data`] as [`parse`](Self::parse).
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        Self::named_at(folder.as_ref(), "default")
    }

    /// One of several templates of a folder, by its name: of `additional_chat_templates` or the list in `tokenizer_config.json`.
    ///
    /// # Errors
    /// As [`from_folder`](Self::from_folder).
    pub fn named(folder: impl AsRef<Path>, name: &str) -> Result<Self> {
        Self::named_at(folder.as_ref(), name)
    }

    fn named_at(folder: &Path, name: &str) -> Result<Self> {
        let config_file = folder.join("tokenizer_config.json");
        let config = if config_file.is_file() { read_object(&config_file, MAX_LEN)? } else { Map::new() };
        let own = match name {
            "default" => folder.join("chat_template.jinja"),
            // Names of files in that folder alone.
            name if name.contains(['/', '\\', '.']) => return Err(no_template(folder, name, &config)),
            name => folder.join("additional_chat_templates").join(format!("{name}.jinja")),
        };
        let json_file = folder.join("chat_template.json");
        let mut template = if own.is_file() {
            Self::of_file(&own, &read_text(&own)?)?
        } else if let Some(source) = source_of(&config, name) {
            Self::of_file(&config_file, source)?
        } else if name == "default" && json_file.is_file() {
            let json = read_object(&json_file, MAX_LEN)?;
            let source = source_of(&json, name).ok_or_else(|| no_template(folder, name, &config))?;
            Self::of_file(&json_file, source)?
        } else {
            return Err(no_template(folder, name, &config));
        };
        let map = folder.join("special_tokens_map.json");
        if map.is_file()
            && let Json::Object(map) = read_json(&map, MAX_LEN)?
        {
            template.take_tokens(&map);
        }
        template.take_tokens(&config);
        Ok(template)
    }

    pub(super) fn of_file(file: &Path, source: &str) -> Result<Self> {
        match Template::parse(source) {
            Ok(template) => Ok(ChatTemplate { template, file: file.to_owned(), tokens: Vec::new() }),
            Err(failure) => Err(told(file, failure)),
        }
    }

    /// The special tokens of a file: each key `…_token` with a text, or with an object that has one.
    fn take_tokens(&mut self, config: &Map<String, Json>) {
        for (key, value) in config.iter().filter(|(key, _)| key.ends_with("_token")) {
            let content = value.as_str().or_else(|| value.get("content")?.as_str());
            match content {
                Some(content) => self.set_token(key, content),
                // Without it, whatever another file says.
                None if value.is_null() => self.tokens.retain(|(known, _)| known != key),
                None => {}
            }
        }
    }

    fn set_token(&mut self, name: &str, content: &str) {
        self.tokens.retain(|(known, _)| known != name);
        self.tokens.push((name.to_owned(), content.to_owned()));
    }

    /// Takes a special token by the name that templates have for it: `"bos_token"`, `"eos_token"` …
    pub fn special_token(mut self, name: &str, token: &str) -> Self {
        self.set_token(name, token);
        self
    }

    /// A special token by its name, if the template has it.
    pub fn token(&self, name: &str) -> Option<&str> {
        self.tokens.iter().find(|(known, _)| known == name).map(|(_, token)| token.as_str())
    }

    /// The text of messages.
    ///
    /// Token ids of it are made without the tokenizer's template ([`Tokenizer::encode_without_template`](crate::text::Tokenizer::encode_without_template)), as the
    /// text holds the tokens that begin and end it.
    ///
    /// # Errors
    /// [`Error::Empty`] for no messages. [`Error::Data`] with the line where the template refuses the messages, in its own words (turns that do not alternate, a
    /// role that it does not know), asks for what is not built, or does too much.
    pub fn render(&self, messages: &[Message], options: &ChatOptions) -> Result<String> {
        if messages.is_empty() {
            return Err(Error::Empty { op: "ChatTemplate::render", what: "messages" });
        }
        let message =
            |m: &Message| Value::dict([("role", m.role.as_str().into()), ("content", m.content.as_str().into())]);
        let mut variables = vec![
            ("messages", Value::list(messages.iter().map(message).collect())),
            ("tools", Value::None),
            ("documents", Value::None),
            ("add_generation_prompt", Value::Bool(options.add_generation_prompt)),
        ];
        variables.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), token.as_str().into())));
        variables.extend(options.variables.iter().map(|(name, value)| match value {
            Variable::Flag(value) => (name.as_str(), Value::Bool(*value)),
            Variable::Text(value) => (name.as_str(), value.as_str().into()),
        }));
        let now = options.now.unwrap_or_else(SystemTime::now);
        let seconds = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        };
        // Years that calendars reach.
        let seconds = seconds.clamp(-62_000_000_000, 250_000_000_000);
        self.template.render(variables, seconds).map_err(|failure| told(&self.file, failure))
    }
}

/// The text of a template in a file of settings.
fn source_of<'c>(config: &'c Map<String, Json>, name: &str) -> Option<&'c str> {
    match config.get("chat_template")? {
        Json::String(source) if name == "default" => Some(source),
        Json::Array(all) => {
            let named = all.iter().find(|one| one.get("name").and_then(Json::as_str) == Some(name))?;
            named.get("template")?.as_str()
        }
        _ => None,
    }
}

fn no_template(folder: &Path, name: &str, config: &Map<String, Json>) -> Error {
    let names = match config.get("chat_template") {
        Some(Json::Array(all)) => all.iter().filter_map(|one| one.get("name")?.as_str()).collect(),
        _ => Vec::new(),
    };
    let problem = match name {
        "default" if names.is_empty() => "the folder has no chat template".to_owned(),
        name if names.is_empty() => format!("the folder has no chat template {name:?}"),
        name => format!("the folder has no chat template {name:?}, but {}", names.join(", ")),
    };
    Error::file(folder, problem, "take the folder of a model that was trained on chats, or ChatTemplate::parse")
}

fn read_text(file: &Path) -> Result<String> {
    let (opened, len) = open_file(file)?;
    if len > MAX_LEN {
        return Err(Error::file(file, format!("{len} bytes, at most {MAX_LEN} are read"), "fetch the file again"));
    }
    std::io::read_to_string(std::io::Read::take(opened, MAX_LEN))
        .map_err(|source| Error::Io { file: file.to_owned(), source })
}

fn told(file: &Path, failure: Failure) -> Error {
    let hint = match failure.raised {
        true => "the template refuses these messages: change them as it says",
        false => "use another template, or write the prompt yourself",
    };
    let line = Some(u64::from(failure.line));
    Error::Data { file: file.to_owned(), line, column: None, problem: failure.problem, hint: hint.to_owned() }
}
