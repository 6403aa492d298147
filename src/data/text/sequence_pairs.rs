//! Pairs of sequences, for models that read one and write the other.

use std::fmt;

use super::documents::Documents;
use super::encoded::id;
use crate::data::idle::Idle;
use crate::data::range::check_range;
use crate::data::source::{Source, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{FREE, Float, Shape};

/// Pairs of documents of token ids for sequence-to-sequence models: translations, summaries, questions and answers.
///
/// Document i of the sources goes with document i of the targets. A sample has two inputs and one target, all of [`FREE`] lengths:
///
/// | | | of t₁ … tₙ |
/// |---|---|---|
/// | first input | the source | s₁ … sₘ |
/// | second input, for the decoder | the start token, then all labels but the last | start t₁ … tₙ |
/// | target | the labels, with the [end](Self::end) | t₁ … tₙ end |
///
/// So the decoder is told the labels before the one it has to give (teacher forcing), and the first label counts too.
/// [`batch`](Source::batch) and [`bucket`](Source::bucket) fill shorter ones up: what is filled up in targets does not count; in the inputs it is 0,
/// or what [`Batched::pad`](crate::data::Batched::pad) says, which `mask_zero` of the source's embedding leaves out. Where the start token
/// is 0 too, as T5 has it, the decoder's embedding goes without `mask_zero`: a causal decoder sees nothing that is filled up behind.
///
/// I. Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014.
///
/// ```
/// use gradus::prelude::*;
/// let (mut questions, mut answers) = (TokenIds::new(), TokenIds::new());
/// for (question, answer) in [([5, 6, 7].as_slice(), [8].as_slice()), (&[9], &[6, 5])] {
///     questions.push(question)?;
///     answers.push(answer)?;
/// }
/// // 1 begins, 2 ends.
/// let data = SequencePairs::new(questions, answers, 1)?.end(2).batch(2);
/// let mut batch: Batch = Batch::default();
/// data.load(0, 0, &mut batch)?;
/// assert_eq!(batch.x, Tensor::from([[5.0, 6.0, 7.0], [9.0, 0.0, 0.0]]));
/// assert_eq!(batch.more_x[0], Tensor::from([[1.0, 8.0, 0.0], [1.0, 6.0, 5.0]]));
/// assert_eq!(batch.y, Tensor::from([[8.0, 2.0, 0.0], [6.0, 5.0, 2.0]]));
/// assert_eq!(batch.masks, [[true, true, false, true, true, true]]);
/// # Ok::<(), Error>(())
/// ```
pub struct SequencePairs<S, D> {
    sources: S,
    targets: D,
    start: usize,
    end: Option<usize>,
    max_source: Option<usize>,
    max_target: Option<usize>,
    idle: Idle<Vec<usize>>,
}

impl<S: fmt::Debug, D: fmt::Debug> fmt::Debug for SequencePairs<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sources, targets, start, end, max_source, max_target, .. } = self;
        let limits = format_args!("at most {max_source:?} and {max_target:?}");
        write!(f, "SequencePairs({sources:?} → {targets:?}, start {start}, end {end:?}, {limits})")
    }
}

impl<S: Documents, D: Documents> SequencePairs<S, D> {
    /// Pairs of documents, and the token with which a decoder begins: a token of its own, that which fills up (T5), or the end (BART).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one target for each source; [`Error::Empty`] if there are none.
    pub fn new(sources: S, targets: D, start: usize) -> Result<Self> {
        let (n, got) = (sources.documents(), targets.documents());
        if n == 0 {
            return Err(Error::Empty { op: "SequencePairs", what: "the list of sources" });
        }
        if n != got {
            let expected = format!("{n} targets, one for each source");
            return Err(Error::shape("SequencePairs", expected, got, "pass documents that belong together"));
        }
        let idle = Idle::default();
        Ok(SequencePairs { sources, targets, start, end: None, max_source: None, max_target: None, idle })
    }

    /// A token that is put behind every target; none by default, where what encodes texts puts it there.
    pub fn end(mut self, id: usize) -> Self {
        self.end = Some(id);
        self
    }

    /// The most tokens of a source, at least 1; longer ones are cut. All by default.
    pub fn max_source(mut self, tokens: usize) -> Self {
        self.max_source = Some(tokens);
        self
    }

    /// The most labels, with the [end](Self::end), which stays where a target is cut; at least 1. All by default.
    pub fn max_target(mut self, tokens: usize) -> Self {
        self.max_target = Some(tokens);
        self
    }

    fn settings(&self) -> Result<()> {
        for (name, max) in [("max_source", self.max_source), ("max_target", self.max_target)] {
            if max == Some(0) {
                return Err(Error::argument("SequencePairs", name, "at least 1", 0, "leave it out to cut nothing"));
            }
        }
        Ok(())
    }

    /// How many tokens of a source, and how many labels, a sample has.
    fn lengths(&self, position: usize) -> Result<[usize; 2]> {
        check_range("SequencePairs", position, 1, Some(self.sources.documents()))?;
        let source = self.sources.length(position)?.min(self.max_source.unwrap_or(usize::MAX));
        let target = self.targets.length(position)?.saturating_add(usize::from(self.end.is_some()));
        let target = target.min(self.max_target.unwrap_or(usize::MAX));
        for (what, length) in [("source", source), ("target", target)] {
            if length == 0 {
                let got = format!("none in the {what} of pair {position}");
                let hint = "leave the pair out, or let what encodes texts put an end token behind each";
                return Err(Error::shape("SequencePairs", "at least one token", got, hint));
            }
        }
        Ok([source, target])
    }
}

/// Appends `n` ids from the beginning of a document.
fn append(documents: &impl Documents, position: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
    let before = ids.len();
    documents.ids(position, 0, n, ids)?;
    if ids.len() == before + n {
        return Ok(());
    }
    let problem = format!("document {position} does not have the ids that its length promised");
    Err(Error::Config { op: "SequencePairs", problem, hint: "let documents be the same at any time".to_owned() })
}

/// The shapes of a sample.
fn shapes(source: usize, target: usize) -> [Shape; 3] {
    [source, target, target].map(|length| Shape::from([length]))
}

impl<T: Float, S: Documents, D: Documents> Source<T> for SequencePairs<S, D> {
    fn shapes(&self) -> (Shape, Shape) {
        let [source, decoder, target] = shapes(FREE, FREE);
        (row_shape(&[source, decoder]), target)
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let [source, decoder, target] = shapes(FREE, FREE);
        (vec![source, decoder], vec![target])
    }

    fn shapes_at(&self, _: usize, position: usize, all: &mut Vec<Shape>) -> Result<()> {
        self.settings()?;
        let [source, target] = self.lengths(position)?;
        all.extend(shapes(source, target));
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.sources.documents())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.settings()?;
        let [source, target] = self.lengths(first)?;
        if x.len() != source + target || y.len() != target {
            let expected = format!("room for {source} and {target} ids and {target} labels of pair {first}");
            let got = format!("{} and {}", x.len(), y.len());
            return Err(Error::shape("SequencePairs", expected, got, "ask Source::shapes_at for the sizes"));
        }
        self.idle.with(
            || Ok(Vec::new()),
            |ids| {
                // The source, the start, the labels: the inputs are all but the last, the target what is behind the start.
                ids.clear();
                append(&self.sources, first, source, ids)?;
                ids.push(self.start);
                append(&self.targets, first, target - usize::from(self.end.is_some()), ids)?;
                ids.extend(self.end);
                x.iter_mut().zip(&*ids).try_for_each(|(x, &value)| id(value).map(|value| *x = value))?;
                let labels = &ids[source + 1..];
                y.iter_mut().zip(labels).try_for_each(|(y, &value)| id(value).map(|value| *y = value))
            },
        )
    }

    fn check(&self) -> Result<()> {
        self.settings()
    }
}
