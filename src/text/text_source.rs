//! Texts as samples of a dataset.

use std::fmt;
use std::sync::Arc;

use super::encoded::Encoded;
use super::text_front::TextFront;
use crate::data::{Source, Stretch, check_range};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// Texts that were turned into numbers once and are written out a batch at a time: features of a large vocabulary then take memory for the
/// tokens that are there, and ids of any number fit the longest text of their batch, not of all.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{TextSource, TextVectorization};
/// let texts = ["good", "not good at all", "very good", "bad"];
/// let front = TextVectorization::new().adapt(&texts)?;
/// let mut model = Sequential::new([FREE])
///     .add(Embedding::new(front.vocabulary_size(), 4).mask_zero(true))
///     .add(GlobalAveragePooling1d::new())
///     .add(Dense::new(1).activation(Activation::Sigmoid))
///     .build(1)?;
/// model.compile(Adam::default(), BinaryCrossentropy::default(), [BinaryAccuracy::default()])?;
/// let labels = Tensor::from([[1.0], [0.0], [1.0], [0.0]]);
/// let data = TextSource::new(front, &texts, labels)?.shuffle(1).bucket(2);
/// model.fit_dataset(&data, &Fit::default().verbose(Verbose::Silent), &mut [])?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone)]
pub struct TextSource<T = f32> {
    front: Arc<TextFront>,
    encoded: Arc<Encoded>,
    y: Tensor<T>,
    shapes: (Shape, Shape),
}

impl<T: Float> TextSource<T> {
    /// Texts with their targets `[texts, …]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of targets than of texts; those of the front door.
    pub fn new(front: impl Into<TextFront>, texts: &[impl AsRef<str>], y: Tensor<T>) -> Result<Self> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        Self::of(Arc::new(front.into()), &texts, y)
    }

    #[inline(never)]
    pub(crate) fn of(front: Arc<TextFront>, texts: &[&str], y: Tensor<T>) -> Result<Self> {
        front.check_for::<T>()?;
        if y.shape().rank() == 0 || y.samples() != texts.len() {
            let expected = format!("targets of {} texts, [{0}, …]", texts.len());
            return Err(Error::shape(OP, expected, y.shape(), "pass a target for each text"));
        }
        let shapes = (front.output_shape(), y.shape().sample());
        let encoded = Arc::new(front.encode(texts)?);
        Ok(TextSource { front, encoded, y, shapes })
    }

    /// The size of a text's row.
    fn width(&self, position: usize) -> usize {
        self.front.width().of(self.encoded.row(position))
    }
}

const OP: &str = "TextSource";

impl<T: Float> Source<T> for TextSource<T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.shapes
    }

    fn shapes_at(&self, _: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        check_range(OP, position, 1, self.samples())?;
        shapes.extend([Shape::from([self.width(position)]), self.shapes.1]);
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.encoded.len())
    }

    #[inline(never)]
    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let stretch = Stretch::new(self.shapes, x.len(), y.len());
        check_range(OP, first, stretch.n, self.samples())?;
        if x.len() != stretch.n * stretch.width || y.len() != stretch.n * stretch.target {
            let expected = format!("room for {} samples", stretch.n);
            return Err(Error::shape(OP, expected, x.len(), "ask for whole samples"));
        }
        for (i, x, y) in stretch.each(x, y) {
            self.front.write(self.encoded.row(first + i), x);
            y.copy_from_slice(self.y.row(first + i));
        }
        Ok(())
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let width = self.shapes.1.len().max(1);
        check_range(OP, first, y.len().div_ceil(width), self.samples())?;
        y.chunks_exact_mut(width).enumerate().for_each(|(i, y)| y.copy_from_slice(self.y.row(first + i)));
        Ok(())
    }
}

impl<T> fmt::Debug for TextSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextSource({} → {})", self.shapes.0, self.shapes.1)
    }
}
