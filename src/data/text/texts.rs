//! Texts with their labels, by position, wherever they are kept.

use std::fmt;
use std::sync::Arc;

use crate::data::Split;
use crate::data::pipeline::subset::parts;
use crate::data::range::check_range;
use crate::data::source::Source;
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

/// A text, or several that belong together, with its label.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TextSample {
    /// The text, or the texts.
    pub texts: Vec<String>,
    /// A number: the class, or the value itself. None where there are no labels.
    pub label: Option<f64>,
}

/// What keeps texts.
pub(super) trait Store: Send + Sync + fmt::Debug {
    fn len(&self) -> usize;

    fn class_names(&self) -> &[String] {
        &[]
    }

    /// Writes the sample at a position that there is.
    fn read(&self, position: usize, sample: &mut TextSample) -> Result<()>;
}

/// Texts with their labels, by position: of files, which are read when they are asked for, or in memory.
///
/// What [`TextLines`](super::TextLines), `JsonLines`, [`TextTable`](super::TextTable) and [`TextFolder`](super::TextFolder) open.
/// A copy shares what it reads from.
///
/// A model takes numbers: [`encode`](Self::encode) makes a [`Source`] of token ids, [`vectorize`](Self::vectorize) one of vectors.
/// A vocabulary, or what else is learnt from texts, is made of [`texts`](Self::texts): of those to train on, after
/// [`split`](Self::split).
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{Vocabulary, words};
/// let texts = ["a fine film", "a dull film", "fine", "so dull", "fine fine film", "dull"];
/// let texts = Texts::labelled(texts, &[1, 0, 1, 0, 1, 0])?;
/// let (train, test) = texts.split_stratified(0.3, 7)?;
/// let train_texts: Vec<String> = train.texts().collect::<Result<_, _>>()?;
/// let vocabulary = Vocabulary::count(train_texts.iter().flat_map(|text| words(text)), 1, None)?;
/// let encode = |text: &str| Ok(vocabulary.encode(words(text)));
/// let data = train.encode(encode).shuffle(1).bucket(2);
/// let mut batch: Batch = Batch::default();
/// data.load(0, 0, &mut batch)?;
/// assert_eq!((batch.y.dims(), test.len()), ([2].as_slice(), 2));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Texts {
    store: Arc<dyn Store>,
    /// Texts a sample.
    fields: usize,
    labelled: bool,
    /// Positions in the store; none for all.
    positions: Option<Arc<[usize]>>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Texts({} samples of {:?})", self.len(), self.store)
    }
}

/// Samples in memory.
struct Kept(Vec<TextSample>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Store for Kept {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, position: usize, sample: &mut TextSample) -> Result<()> {
        sample.texts.clone_from(&self.0[position].texts);
        sample.label = self.0[position].label;
        Ok(())
    }
}

impl Texts {
    pub(super) fn of(store: impl Store + 'static, fields: usize, label: Option<()>) -> Self {
        Texts { store: Arc::new(store), fields, labelled: label.is_some(), positions: None }
    }

    /// Texts in memory, without labels.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are none.
    pub fn new<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Result<Self> {
        let sample = |text: S| TextSample { texts: vec![text.into()], label: None };
        let samples: Vec<_> = texts.into_iter().map(sample).collect();
        if samples.is_empty() {
            return Err(Error::Empty { op: "Texts", what: "the list of texts" });
        }
        Ok(Texts::of(Kept(samples), 1, None))
    }

    /// Texts in memory and the class of each.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] if there is not one label for each text.
    pub fn labelled<S: Into<String>>(texts: impl IntoIterator<Item = S>, labels: &[usize]) -> Result<Self> {
        let sample = |text: S| TextSample { texts: vec![text.into()], label: None };
        let mut samples: Vec<_> = texts.into_iter().map(sample).collect();
        if samples.is_empty() {
            return Err(Error::Empty { op: "Texts", what: "the list of texts" });
        }
        if samples.len() != labels.len() {
            let expected = format!("{} labels, one for each text", samples.len());
            return Err(Error::shape("Texts", expected, labels.len(), "pass one label for each text"));
        }
        samples.iter_mut().zip(labels).for_each(|(sample, &label)| sample.label = Some(label as f64));
        Ok(Texts::of(Kept(samples), 1, Some(())))
    }

    /// How many samples there are.
    #[allow(clippy::len_without_is_empty)] // There is at least one.
    pub fn len(&self) -> usize {
        self.positions.as_ref().map_or_else(|| self.store.len(), |positions| positions.len())
    }

    /// The names of the classes, in the order of their numbers; none where labels are numbers, or there are none.
    pub fn class_names(&self) -> &[String] {
        self.store.class_names()
    }

    /// Whether there are labels.
    pub fn is_labelled(&self) -> bool {
        self.labelled
    }

    /// How many texts a sample has.
    pub(super) fn fields(&self) -> usize {
        self.fields
    }

    /// The shape of a sample's target.
    pub(super) fn target(&self) -> Shape {
        if self.labelled { Shape::SCALAR } else { Shape::from([0]) }
    }

    /// The sample at a position.
    ///
    /// # Errors
    /// [`Error::Shape`] for a position that there is not; [`Error::Io`] and [`Error::Data`] where a file cannot be read or has changed.
    pub fn get(&self, position: usize) -> Result<TextSample> {
        let mut sample = TextSample::default();
        self.read(position, &mut sample)?;
        Ok(sample)
    }

    /// [`get`](Self::get) into a sample whose memory is used again.
    pub(super) fn read(&self, position: usize, sample: &mut TextSample) -> Result<()> {
        check_range("Texts", position, 1, Some(self.len()))?;
        self.store.read(self.positions.as_ref().map_or(position, |positions| positions[position]), sample)
    }

    /// Writes the labels of consecutive samples.
    pub(super) fn labels<T: Float>(&self, first: usize, y: &mut [T]) -> Result<()> {
        check_range("Texts", first, y.len(), Some(self.len()))?;
        let mut sample = TextSample::default();
        y.iter_mut().zip(first..).try_for_each(|(y, position)| {
            self.read(position, &mut sample)?;
            *y = label(&sample, position)?;
            Ok(())
        })
    }

    /// The texts in their order, read as they are taken: for a vocabulary, or to train a tokeniser. Where a sample has several texts, they come
    /// one after another.
    ///
    /// Each is a result, as a file may fail: `for text in train.texts() { let text = text?; … }`.
    pub fn texts(&self) -> impl Iterator<Item = Result<String>> + '_ {
        (0..self.len()).flat_map(|position| {
            let (texts, error) = match self.get(position) {
                Ok(sample) => (sample.texts, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            texts.into_iter().map(Ok).chain(error)
        })
    }

    /// All samples in memory, for small sets.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::Memory`].
    pub fn read_all(&self) -> Result<Vec<TextSample>> {
        let mut all = Vec::new();
        memory::reserve("read_all", format_args!("{} texts", self.len()), &mut all, self.len())?;
        (0..self.len()).try_for_each(|position| {
            all.push(self.get(position)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// All texts and their labels `[texts]` in memory, for small sets: what [`fit_texts`](crate::Model::fit_texts) and
    /// [`TextSource`](crate::text::TextSource) take.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let reviews = Texts::labelled(["so fine", "so dull"], &[1, 0])?;
    /// let (texts, y): (Vec<String>, Tensor) = reviews.read_labelled()?;
    /// assert_eq!((texts[1].as_str(), y), ("so dull", Tensor::from([1.0, 0.0])));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::Memory`]; [`Error::Argument`] for texts without labels, and where a sample has several texts.
    pub fn read_labelled<T: Float>(&self) -> Result<(Vec<String>, Tensor<T>)> {
        const OP: &str = "read_labelled";
        if !self.labelled {
            let hint = "say where the labels are, or take texts()";
            return Err(Error::argument(OP, "texts", "labelled", "texts without labels", hint));
        }
        if self.fields != 1 {
            let hint = "take read_all, or encode each text as an input of its own";
            return Err(Error::argument(OP, "texts", "one for each label", self.fields, hint));
        }
        let mut texts = Vec::new();
        memory::reserve(OP, format_args!("{} texts", self.len()), &mut texts, self.len())?;
        let mut y = memory::filled(OP, format_args!("{} labels", self.len()), self.len(), T::zero())?;
        let mut sample = TextSample::default();
        for (position, y) in y.iter_mut().enumerate() {
            self.read(position, &mut sample)?;
            *y = label(&sample, position)?;
            texts.append(&mut sample.texts);
        }
        Ok((texts, Tensor::new([self.len()], y)?))
    }

    /// Two parts, one to train on and one that is held out, in the order of the texts; of n samples ⌈n·`part`⌉ drawn at random are held
    /// out, those that [`Source::split`] chooses for the same seed.
    ///
    /// # Errors
    /// As [`Source::split`].
    pub fn split(&self, part: f64, seed: u64) -> Result<(Self, Self)> {
        self.parted("split", &Split::default().test_size(part).seed(seed))
    }

    /// [`split`](Self::split) in which each class has the same share of both parts, to within one sample. Reads all samples once.
    ///
    /// # Errors
    /// As [`Source::split_stratified`]; [`Error::Argument`] for texts without labels.
    pub fn split_stratified(&self, part: f64, seed: u64) -> Result<(Self, Self)> {
        if !self.labelled {
            let hint = "use split(part, seed), or say where the labels are";
            return Err(Error::argument("split_stratified", "texts", "labelled", "texts without labels", hint));
        }
        self.parted("split_stratified", &Split::default().test_size(part).seed(seed).stratify(true))
    }

    fn parted(&self, op: &'static str, how: &Split) -> Result<(Self, Self)> {
        let [train, held] = parts::<f64>(op, &Targets(self), how)?.map(|mut positions| {
            if let Some(own) = &self.positions {
                positions.iter_mut().for_each(|position| *position = own[*position]);
            }
            Texts { positions: Some(positions.into()), ..self.clone() }
        });
        Ok((train, held))
    }
}

/// The label of a sample that has one, in a type of numbers.
pub(super) fn label<T: Float>(sample: &TextSample, position: usize) -> Result<T> {
    let label = sample.label.unwrap_or(0.0);
    let value = T::of(label);
    if value.is_finite() {
        return Ok(value);
    }
    let got = format!("{label} of sample {position}, which is not finite as {}", T::NAME);
    Err(Error::argument("Texts", "label", "a finite number", got, "scale the labels, or read them as f64"))
}

/// The labels alone.
#[derive(Debug)]
struct Targets<'a>(&'a Texts);

impl Source<f64> for Targets<'_> {
    fn shapes(&self) -> (Shape, Shape) {
        (Shape::from([1]), self.0.target())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn read(&self, _: usize, first: usize, x: &mut [f64], y: &mut [f64]) -> Result<()> {
        x.fill(0.0);
        self.read_targets(first, y)
    }

    fn read_targets(&self, first: usize, y: &mut [f64]) -> Result<()> {
        self.0.labels(first, y)
    }
}
