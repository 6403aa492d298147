//! Models behind HTTP, in the words of OpenAI's API, so that its clients talk to them (feature `serve`).
//!
//! | | |
//! |---|---|
//! | `GET /v1/models` | the names of the models |
//! | `POST /v1/chat/completions` | the answer to messages, whole or as it comes (`stream`) |
//! | `POST /v1/completions` | the text behind a prompt |
//! | `POST /v1/embeddings` | vectors of texts, of a [`SentenceEncoder`](crate::models::hf::SentenceEncoder) |
//!
//! - `temperature`, `top_p`, `top_k`, `max_tokens` or `max_completion_tokens`, `stop`, `seed`, `frequency_penalty`, `presence_penalty`, `logit_bias`,
//!   `stream_options`, and `chat_template_kwargs` (true, false and strings). What is left out is as the model's folder says. Without `seed` each request draws anew.
//! - What changes the answer and is not built (tools, pictures, several answers, log-probabilities) is an error, and so is a field that is not known.
//! - Errors are OpenAI's error object: 400 for what is wrong with a request (code `context_length_exceeded` where it is too long), 404, 405, 408, 411, 413, 415, and 503
//!   where too many requests wait.
//! - Requests are computed one after the other, on all cores. What was computed for a chat is kept for its next turn, if no other comes between.
//! - A client that goes away ends what is written for it.
//!
//! # Why no framework
//! One request a connection, a thread for each, and `httparse`, which depends on nothing, to read headers: 300 lines in all, and two threads at rest. axum needs tokio and some
//! sixty crates; what it is for, thousands of connections at once, one model cannot answer. tiny_http gathers 8 KiB of an answer in parts before it writes them, so that tokens would
//! not come one by one. Put a proxy before it for TLS, keys and the open net.

mod answers;
mod fields;
mod http;
mod problem;
mod requests;
mod routes;
mod server;
mod work;

pub use server::{Handle, Server};
