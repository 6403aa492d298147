//! From a request to its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answers::{Told, Usage, embeddings, now};
use super::http::{Connection, Request};
use super::problem::{Outcome, Problem};
use super::requests::{self, Prompt, Writing};
use super::work::{Event, Job};
use crate::generation::GenerationSettings;
use crate::models::hf::{CausalLm, ChatTemplate, Encode, SentenceEncoder};
use crate::text::tokenizer::Truncation;

/// How often is looked whether a client is still there.
const LOOK: Duration = Duration::from_millis(200);

/// A language model as requests see it.
pub struct Writer<'m> {
    pub lm: &'m CausalLm,
    pub name: &'m str,
    /// None where the folder has no template; chats are refused then.
    pub template: Option<ChatTemplate>,
    pub settings: GenerationSettings,
    /// The most tokens of prompt and answer together.
    pub context: usize,
}

/// What answers requests.
pub struct Routes<'m> {
    pub writer: Option<Writer<'m>>,
    pub encoder: Option<(&'m SentenceEncoder, &'m str)>,
    pub jobs: SyncSender<Job>,
    pub most_body: usize,
}

impl Routes<'_> {
    /// Reads a request and answers it.
    pub fn serve(&self, mut connection: Connection) {
        let answered = match connection.read(self.most_body) {
            Ok(None) => return,
            Ok(Some(request)) => self.answer(&mut connection, &request),
            Err(problem) => Err(problem),
        };
        let ended = match answered {
            Ok(None) => Ok(()),
            Ok(Some(body)) => connection.answer(200, "", &body),
            // Too late for a status: an event says it.
            Err(problem) if connection.has_begun() => {
                connection.event(&problem.json().to_string()).and_then(|()| connection.end_events())
            }
            Err(problem) => connection.answer(problem.status, problem.headers, &problem.json()),
        };
        if ended.is_ok() {
            connection.close();
        }
    }

    /// The answer; none where it was written as events, or nobody is there to read it.
    fn answer(&self, connection: &mut Connection, request: &Request) -> Outcome<Option<Value>> {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let posted = match path {
            "/v1/models" => false,
            "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" => true,
            _ if path.starts_with("/v1/models/") => false,
            _ => return Err(Problem::new(404, format!("there is no {path} here")).code("unknown_url")),
        };
        let wanted = if posted { "POST" } else { "GET" };
        if method != wanted {
            let headers = if posted { "Allow: POST\r\n" } else { "Allow: GET\r\n" };
            let problem = Problem::new(405, format!("{path} is asked with {wanted}, not {method}"));
            return Err(Problem { headers, ..problem });
        }
        // Pages of other origins can post texts of other types without being allowed to.
        if posted && !request.is_json {
            return Err(Problem::new(415, "send JSON, with Content-Type: application/json"));
        }
        match path {
            "/v1/chat/completions" => self.chat(connection, &request.body),
            "/v1/completions" => self.complete(connection, &request.body),
            "/v1/embeddings" => self.embed(connection, &request.body),
            "/v1/models" => Ok(Some(json!({ "object": "list", "data": self.models() }))),
            _ => {
                let id = path.trim_start_matches("/v1/models/");
                let found = self.models().into_iter().find(|model| model["id"] == id);
                found.map(Some).ok_or_else(|| no_model(id))
            }
        }
    }

    fn models(&self) -> Vec<Value> {
        let names = self.writer.iter().map(|writer| writer.name).chain(self.encoder.iter().map(|(_, name)| *name));
        names.map(|id| json!({ "id": id, "object": "model", "created": now(), "owned_by": "gradus" })).collect()
    }

    fn writer(&self, model: Option<&str>) -> Outcome<&Writer<'_>> {
        let writer = self.writer.as_ref().ok_or_else(|| Problem::new(404, "this server has no language model"))?;
        match model {
            Some(model) if model != writer.name => Err(no_model(model)),
            _ => Ok(writer),
        }
    }

    fn chat(&self, connection: &mut Connection, body: &[u8]) -> Outcome<Option<Value>> {
        let settings = self.writer(None)?.settings.clone();
        let (messages, options, writing) = requests::chat(body, settings)?;
        let writer = self.writer(writing.model.as_deref())?;
        let template = writer
            .template
            .as_ref()
            .ok_or_else(|| Problem::new(400, "the model has no chat template: use /v1/completions"))?;
        // What a template refuses is a mistake of the messages.
        let refused = |e: crate::Error| Problem::field("messages", e.to_string());
        let prompt = writer.lm.chat_tokens(&template.render(&messages, &options).map_err(refused)?)?;
        self.write(connection, writer, true, prompt, writing)
    }

    fn complete(&self, connection: &mut Connection, body: &[u8]) -> Outcome<Option<Value>> {
        let settings = self.writer(None)?.settings.clone();
        let (prompt, writing) = requests::completion(body, settings)?;
        let writer = self.writer(writing.model.as_deref())?;
        let prompt = match prompt {
            Prompt::Text(text) => writer.lm.need_tokenizer()?.encode_ids(&text)?,
            Prompt::Tokens(ids) => ids,
        };
        self.write(connection, writer, false, prompt, writing)
    }

    fn write(
        &self,
        connection: &mut Connection,
        writer: &Writer<'_>,
        is_chat: bool,
        prompt: Vec<u32>,
        writing: Writing,
    ) -> Outcome<Option<Value>> {
        let (room, context) = (writer.context.saturating_sub(prompt.len()), writer.context);
        let most = writing.most_tokens.unwrap_or(room);
        let param = if is_chat { "messages" } else { "prompt" };
        if room == 0 || most > room {
            let message = format!(
                "the model's context is {context} tokens: {} are in the {param}, and {most} may be written; shorten either",
                prompt.len()
            );
            return Err(Problem::field(param, message).code("context_length_exceeded"));
        }
        if prompt.is_empty() {
            return Err(Problem::field(param, format!("{param} has no tokens")));
        }
        let settings = Box::new(writing.settings.max_new_tokens(most));
        settings.check(writer.lm.vocab_size())?;
        let told = Told::new(is_chat, writer.name, writing.include_usage);
        let (prompt_tokens, gone) = (prompt.len(), Arc::new(AtomicBool::new(false)));
        let (to, events) = channel();
        self.ask(Job::Write { prompt, settings, gone: gone.clone(), to })?;
        let result = if writing.stream {
            tell(connection, &events, &told, prompt_tokens)
        } else {
            gather(connection, &events, &told, prompt_tokens)
        };
        gone.store(true, Ordering::Relaxed);
        result
    }

    fn embed(&self, connection: &mut Connection, body: &[u8]) -> Outcome<Option<Value>> {
        let asked = requests::embedding(body)?;
        let Some((encoder, name)) = self.encoder else {
            return Err(Problem::new(404, "this server has no model for embeddings"));
        };
        if let Some(model) = asked.model.as_deref().filter(|model| *model != name) {
            return Err(no_model(model));
        }
        // Shorter vectors have length 1 again, as OpenAI's have.
        let options = match asked.dimensions {
            Some(most) if most > encoder.dim() => {
                let message = format!("dimensions is {most}, and vectors have {} numbers", encoder.dim());
                return Err(Problem::field("dimensions", message));
            }
            Some(dimensions) => Encode::default().truncate_dim(dimensions).normalize(true),
            None => Encode::default(),
        };
        let truncation = Truncation::to(encoder.max_seq_length());
        let counted = encoder.need_tokenizer()?.encode_batch_cut(&asked.texts, Some(&truncation))?;
        let (to, results) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        self.ask(Job::Embed { texts: asked.texts, options, gone: gone.clone(), to })?;
        match next(connection, &results) {
            Ok(vectors) => {
                let tokens = counted.iter().map(|text| text.len()).sum();
                Ok(Some(embeddings(&vectors?, asked.base64, name, tokens)))
            }
            Err(left) => {
                gone.store(true, Ordering::Relaxed);
                left
            }
        }
    }

    /// Puts a job into the queue, if there is room.
    fn ask(&self, job: Job) -> Outcome<()> {
        self.jobs.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => Problem::new(503, "too many requests are waiting: try again later"),
            TrySendError::Disconnected(_) => Problem::new(503, "the server is about to end"),
        })
    }
}

fn no_model(name: &str) -> Problem {
    Problem { param: Some("model".into()), ..Problem::new(404, format!("there is no model {name:?} here")) }
        .code("model_not_found")
}

/// The next thing that comes; else what to say: nothing where the client is gone.
fn next<T>(connection: &Connection, from: &Receiver<T>) -> Result<T, Outcome<Option<Value>>> {
    loop {
        match from.recv_timeout(LOOK) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) if connection.is_gone() => return Err(Ok(None)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Err(Problem::new(503, "the server is about to end"))),
        }
    }
}

/// The whole answer.
fn gather(connection: &Connection, events: &Receiver<Event>, told: &Told, prompt: usize) -> Outcome<Option<Value>> {
    let (mut text, mut looked) = (String::new(), Instant::now());
    loop {
        if looked.elapsed() > LOOK {
            if connection.is_gone() {
                return Ok(None);
            }
            looked = Instant::now();
        }
        match next(connection, events) {
            Ok(Event::Text(piece)) => text.push_str(&piece),
            Ok(Event::End { finish, tokens }) => {
                return Ok(Some(told.whole(&text, finish, Usage { prompt, written: tokens })));
            }
            Ok(Event::Failed(e)) => return Err(e.into()),
            Err(left) => return left,
        }
    }
}

/// The answer as it comes. The first event waits for the first piece, so that what fails at once has its status.
fn tell(connection: &mut Connection, events: &Receiver<Event>, told: &Told, prompt: usize) -> Outcome<Option<Value>> {
    let mut parts: Vec<String> = told.first().into_iter().collect();
    loop {
        let mut at_end = false;
        match next(connection, events) {
            Ok(Event::Text(piece)) => parts.push(told.piece(&piece)),
            Ok(Event::End { finish, tokens }) => {
                parts.extend(told.last(finish, Usage { prompt, written: tokens }));
                parts.push("[DONE]".to_owned());
                at_end = true;
            }
            Ok(Event::Failed(e)) => return Err(e.into()),
            Err(left) => return left,
        }
        let mut written = if connection.has_begun() { Ok(()) } else { connection.begin_events() };
        for part in parts.drain(..) {
            written = written.and_then(|()| connection.event(&part));
        }
        if at_end {
            written = written.and_then(|()| connection.end_events());
        }
        // A client that cannot be written to is gone.
        if at_end || written.is_err() {
            return Ok(None);
        }
    }
}
