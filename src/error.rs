//! The one error type of the crate.

use std::path::PathBuf;

/// What can go wrong, with what was expected, what came and what to do.
///
/// Everything that data, a file or an argument can get wrong is returned as a value of this type; the library does not
/// panic on input.
///
/// ```
/// use gradus::prelude::*;
/// let error = Tensor::new([2, 3], vec![1.0f32; 5]).unwrap_err();
/// assert_eq!(error.to_string(), "Tensor::new: expected 6 values for shape [2, 3], got 5; pass as many values as the shape's product");
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or a count does not fit the operation.
    #[error("{op}: expected {expected}, got {got}; {hint}")]
    Shape {
        /// The operation that was asked for.
        op: &'static str,
        /// What would have fitted.
        expected: String,
        /// What came.
        got: String,
        /// What to do.
        hint: String,
    },
    /// A setting is outside its range.
    #[error("{op}: {name} must be {expected}, got {got}; {hint}")]
    Argument {
        /// The operation or type whose setting it is.
        op: &'static str,
        /// The setting's name.
        name: &'static str,
        /// The range that is allowed.
        expected: String,
        /// What came.
        got: String,
        /// What to do.
        hint: String,
    },
    /// An error inside one layer of a model.
    #[error("layer {index} ({name}): {source}")]
    Layer {
        /// Position of the layer in its container, from 0.
        index: usize,
        /// The layer's name, as in `summary()`.
        name: String,
        /// What went wrong inside.
        source: Box<Error>,
    },
    /// An error in the data that `fit` validates on.
    #[error("validation data: {0}")]
    ValidationData(Box<Error>),
    /// An error in a batch of a dataset.
    #[error("batch {index} of the dataset: {source}")]
    Batch {
        /// The number of the batch, from 0.
        index: usize,
        /// What is wrong with it; rows are those of the batch.
        source: Box<Error>,
    },
    /// Something is wrong with one input of several.
    #[error("input {name}: {source}")]
    Input {
        /// The input's name.
        name: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Something is wrong with one output of several.
    #[error("output {name}: {source}")]
    Output {
        /// The output's name.
        name: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The model has not been compiled yet.
    #[error("{op}: the model is not compiled; call model.compile(optimizer, loss, metrics)? first")]
    NotCompiled {
        /// The operation that was asked for.
        op: &'static str,
    },
    /// There is no memory for a buffer: the allocator refuses it or, on Linux, it is more than the machine has or than the control
    /// group may have (a container's limit). What other processes hold is not looked at.
    #[error(
        "{op}: {what} would take {bytes} bytes, more memory than there is; use smaller layers or batches, or a machine with more"
    )]
    Memory {
        /// The operation that was asked for.
        op: &'static str,
        /// What the buffer is for.
        what: String,
        /// Its size.
        bytes: usize,
    },
    /// There is nothing to work on.
    #[error("{op}: {what} has no samples; pass at least one row")]
    Empty {
        /// The operation that was asked for.
        op: &'static str,
        /// Which input is empty.
        what: &'static str,
    },
    /// A target does not fit the loss or metric.
    #[error("{op}: target in row {row} is {got}, expected {expected}; {hint}")]
    Label {
        /// The loss or metric.
        op: &'static str,
        /// The row, from 0.
        row: usize,
        /// The values that are allowed.
        expected: String,
        /// The value that came.
        got: String,
        /// What to do.
        hint: String,
    },
    /// A value that must be finite is NaN or infinite.
    #[error("{op}: {what} has {value} in row {row}, column {column}; remove or impute it")]
    NonFinite {
        /// The operation that was asked for.
        op: &'static str,
        /// Which tensor.
        what: &'static str,
        /// The row (sample), from 0.
        row: usize,
        /// The column (position within the sample), from 0.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// A value of an input that is to be token ids is none.
    #[error(
        "{op}: {input} has {got} in row {row}, position {position}, where token ids are expected, whole numbers from 0 to {}; give the \
         embedding as many ids as the vocabulary has, or correct the data",
        count.saturating_sub(1)
    )]
    TokenId {
        /// The operation that was asked for.
        op: &'static str,
        /// The input's name.
        input: String,
        /// The row (sample), from 0.
        row: usize,
        /// The position within the sample, from 0.
        position: usize,
        /// The value that came.
        got: String,
        /// How many ids there are.
        count: usize,
    },
    /// A value of an input that is to be positions is none.
    #[error(
        "{op}: {input} has {got} in row {row}, step {step}, where positions are expected, whole numbers from 0 to {}; correct the data, or \
         give the table more positions",
        count.saturating_sub(1)
    )]
    Position {
        /// The operation that was asked for.
        op: &'static str,
        /// The input's name.
        input: String,
        /// The row (sample), from 0.
        row: usize,
        /// The step within the sample, from 0.
        step: usize,
        /// The value that came.
        got: String,
        /// How many positions there are.
        count: usize,
    },
    /// Training left the finite numbers; the weights are the last finite ones.
    #[error("{op}: {what} became {value} in epoch {epoch}, step {step}; the last finite weights are kept. {cause}")]
    Diverged {
        /// `fit` or `train_on_batch`.
        op: &'static str,
        /// What is not finite: the loss, or a gradient or new weight.
        what: &'static str,
        /// Epoch from 1, as printed.
        epoch: usize,
        /// Step within the epoch from 1.
        step: usize,
        /// The value seen.
        value: f64,
        /// Where the batch holds NaN or an infinity; or, where it is finite, what to change in training.
        cause: String,
    },
    /// The loss and the last layer's activation do not go together.
    #[error("{loss} does not fit a last layer with {activation}: {why}; {hint}")]
    LossMismatch {
        /// Name of the loss.
        loss: String,
        /// The last layer's activation.
        activation: String,
        /// Why they do not fit.
        why: &'static str,
        /// What to do.
        hint: String,
    },
    /// A table or another text file cannot be read as asked.
    #[error("{}{}{}: {problem}; {hint}", file.display(), line.map(|l| format!(", line {l}")).unwrap_or_default(), column.as_ref().map(|c| format!(", column {c}")).unwrap_or_default())]
    Data {
        /// The file, or a name for data given as text.
        file: PathBuf,
        /// Line from 1 where known.
        line: Option<u64>,
        /// Column, by name where there is a header, else by number from 1.
        column: Option<String>,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The operating system refused to read or write.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file could not be written; what stood there before is untouched.
    #[error("{}: cannot write: {source}; the file before it, if any, is whole: make room, check the folder and its permissions, or choose another path", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}; {hint}", file.display())]
    File {
        /// The file, or a name for bytes from memory.
        file: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The weights of a file and those of the model do not go together.
    #[error("{}: the weights do not fit the model: {mismatch}; build the model that was saved, or load a part with LoadWeights::partial", file.display())]
    Weights {
        /// The file.
        file: PathBuf,
        /// All that does not fit.
        mismatch: Mismatch,
    },
    /// Another rank of a distributed run does not go on.
    #[error("rank {rank}: {problem} (waiting for {what})")]
    Rank {
        /// The number of the rank, from 0.
        rank: usize,
        /// What was waited for.
        what: &'static str,
        /// What is known of it.
        problem: String,
    },
    /// The ranks of a distributed run differ in what has to be the same; all of them return this error.
    #[error(
        "{op}: ranks differ from rank 0. {differ}; start the same program with the same data and settings on every rank"
    )]
    Ranks {
        /// The operation that was asked for.
        op: &'static str,
        /// Which ranks differ, and in what.
        differ: String,
    },
    /// An error of your own: of a callback, a dataset, a closure.
    #[error("{0}")]
    Custom(Box<dyn std::error::Error + Send + Sync>),
    /// A model, a run or a configuration cannot be used as it is.
    #[error("{op}: {problem}; {hint}")]
    Config {
        /// The operation that was asked for.
        op: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl std::fmt::Debug for Error {
    /// The message itself, so that `fn main() -> Result<(), Error>` and `unwrap` show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error of some rows as one of the whole that they begin within.
    pub(crate) fn in_rows_from(mut self, first: usize) -> Self {
        match &mut self {
            Error::Label { row, .. }
            | Error::NonFinite { row, .. }
            | Error::TokenId { row, .. }
            | Error::Position { row, .. } => *row += first,
            Error::Output { source, .. } | Error::Input { source, .. } | Error::Batch { source, .. } => {
                let inner = std::mem::replace(&mut **source, Error::NotCompiled { op: "" });
                **source = inner.in_rows_from(first);
            }
            _ => {}
        }
        self
    }

    /// A shape error; `expected` and `got` are anything printable.
    pub fn shape(op: &'static str, expected: impl ToString, got: impl ToString, hint: impl ToString) -> Self {
        Error::Shape { op, expected: expected.to_string(), got: got.to_string(), hint: hint.to_string() }
    }

    /// An argument error; `expected` and `got` are anything printable.
    pub fn argument(
        op: &'static str,
        name: &'static str,
        expected: impl ToString,
        got: impl ToString,
        hint: impl ToString,
    ) -> Self {
        Error::Argument { op, name, expected: expected.to_string(), got: got.to_string(), hint: hint.to_string() }
    }

    /// An error of your own, from another error or a text.
    ///
    /// ```
    /// use gradus::Error;
    /// assert_eq!(Error::custom("the operator said stop").to_string(), "the operator said stop");
    /// ```
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Custom(error.into())
    }

    /// An error about a file's contents.
    pub(crate) fn file(file: &std::path::Path, problem: impl ToString, hint: impl ToString) -> Self {
        Error::File { file: file.to_owned(), problem: problem.to_string(), hint: hint.to_string() }
    }

    /// An error for what this build of the crate does not have.
    #[allow(dead_code)] // With all features nothing is missing.
    pub(crate) fn feature(op: &'static str, feature: &'static str) -> Self {
        let problem = format!("gradus was compiled without its feature {feature:?}");
        let hint = format!("write features = [\"{feature}\"] in Cargo.toml, in the line of gradus");
        Error::Config { op, problem, hint }
    }

    /// An error for a shape whose number of elements does not fit in memory's address range.
    pub(crate) fn too_large(op: &'static str, shape: impl std::fmt::Display) -> Self {
        Error::shape(op, "a shape that fits in memory", shape, "make it smaller")
    }

    /// The error itself, or the one inside the layers, the batch or the validation data around it.
    pub fn root(&self) -> &Error {
        match self {
            Error::Layer { source, .. }
            | Error::Input { source, .. }
            | Error::Output { source, .. }
            | Error::Batch { source, .. }
            | Error::ValidationData(source) => source.root(),
            other => other,
        }
    }

    /// Whether a shape or a count did not fit, at any depth of layers.
    pub fn is_shape(&self) -> bool {
        matches!(self.root(), Error::Shape { .. })
    }

    /// Whether training left the finite numbers.
    pub fn is_diverged(&self) -> bool {
        matches!(self.root(), Error::Diverged { .. })
    }
}

/// What does not go together between the weights of a file and those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Weights of the model that the file does not have.
    pub missing: Vec<String>,
    /// Arrays of the file that the model has no weights for.
    pub unexpected: Vec<String>,
    /// Names that both have, with the shape in the file and that in the model.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    /// All names, on one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes = self.shapes.iter().map(|(name, file, model)| format!("{name} {file:?} instead of {model:?}"));
        let parts = [
            ("missing", self.missing.clone()),
            ("unexpected", self.unexpected.clone()),
            ("of another shape", shapes.collect()),
        ];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<_> = parts.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        f.write_str(if parts.is_empty() { "everything fits".into() } else { parts.join("; ") }.as_str())
    }
}
