//! What is wrong with a request, as OpenAI's API says it.

use serde_json::{Value, json};

use crate::error::Error;

/// An answer that is an error.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub message: String,
    pub param: Option<String>,
    pub code: Option<&'static str>,
    /// Lines of headers that go with it.
    pub headers: &'static str,
}

pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let headers = if status == 503 { "Retry-After: 1\r\n" } else { "" };
        Problem { status, message: message.into(), param: None, code: None, headers }
    }

    /// A request that cannot be answered as it is, with the field that is wrong.
    pub fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { param: Some(name.into()), ..Problem::new(400, message) }
    }

    pub fn code(self, code: &'static str) -> Self {
        Problem { code: Some(code), ..self }
    }

    /// OpenAI's error object.
    pub fn json(&self) -> Value {
        let kind = match self.status {
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

/// What the crate refuses while it works on a request.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.root() {
            Error::Memory { .. } => 503,
            Error::Io { .. } | Error::File { .. } | Error::Config { .. } | Error::Custom(_) => 500,
            _ => 400,
        };
        Problem::new(status, error.to_string())
    }
}
