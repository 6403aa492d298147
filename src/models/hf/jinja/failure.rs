//! Why a template cannot be read or rendered.

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// From 1.
    pub line: u32,
    pub problem: String,
    /// Whether the template itself refuses what it was given, by `raise_exception`.
    pub raised: bool,
}

impl Failure {
    pub fn new(line: u32, problem: impl Into<String>) -> Self {
        Failure { line, problem: problem.into(), raised: false }
    }
}

/// What went wrong while rendering; the line is known where it is reported.
#[derive(Debug)]
pub struct Problem {
    pub text: String,
    pub raised: bool,
}

pub type Outcome<T> = Result<T, Problem>;

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Problem { text, raised: false }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
