//! Texts as vectors of one length.

use std::fmt;

use super::texts::{TextSample, Texts, label};
use crate::data::idle::Idle;
use crate::data::range::check_range;
use crate::data::source::{Source, Stretch, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{FREE, Float, Shape};

/// Texts as vectors of one length; made by [`Texts::vectorize`].
pub struct Vectorized<F> {
    texts: Texts,
    width: usize,
    f: F,
    idle: Idle<TextSample>,
}

impl<F> fmt::Debug for Vectorized<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vectorized({:?} → {})", self.texts, self.width)
    }
}

impl Texts {
    /// A source of vectors of one length: every text through a function that writes one, such as counts of words. What it is handed is zeros.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let texts = Texts::labelled(["to be", "or not to be"], &[0, 1])?;
    /// let data = texts.vectorize(2, |text: &str, x: &mut [f32]| {
    ///     x[0] = text.split(' ').count() as f32;
    ///     x[1] = text.len() as f32;
    ///     Ok(())
    /// });
    /// let mut batch = Batch::default();
    /// data.batch(2).load(0, 0, &mut batch)?;
    /// assert_eq!(batch.x, Tensor::from([[2.0, 5.0], [4.0, 12.0]]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn vectorize<F>(&self, width: usize, f: F) -> Vectorized<F> {
        Vectorized::new(self.clone(), width, f)
    }
}

impl<F> Vectorized<F> {
    fn new(texts: Texts, width: usize, f: F) -> Self {
        Vectorized { texts, width, f, idle: Idle::default() }
    }

    /// The texts that are made vectors of: their class names.
    pub fn source(&self) -> &Texts {
        &self.texts
    }

    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::from([self.width]); self.texts.fields()]
    }
}

impl<T: Float, F: Fn(&str, &mut [T]) -> Result<()> + Send + Sync> Source<T> for Vectorized<F> {
    fn shapes(&self) -> (Shape, Shape) {
        (row_shape(&self.inputs()), self.texts.target())
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        (self.inputs(), vec![self.texts.target()])
    }

    fn samples(&self) -> Option<usize> {
        Some(self.texts.len())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        Source::<T>::check(self)?;
        let stretch = Stretch::new(Source::<T>::shapes(self), x.len(), y.len());
        check_range("vectorize", first, stretch.n, Some(self.texts.len()))?;
        self.idle.with(
            || Ok(TextSample::default()),
            |sample| {
                stretch.each(x, y).try_for_each(|(i, x, y)| {
                    self.texts.read(first + i, sample)?;
                    x.fill(T::zero());
                    let parts = sample.texts.iter().zip(x.chunks_exact_mut(self.width));
                    parts.into_iter().try_for_each(|(text, x)| (self.f)(text, x))?;
                    if let Some(y) = y.first_mut() {
                        *y = label(sample, first + i)?;
                    }
                    Ok(())
                })
            },
        )
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        self.texts.labels(first, y)
    }

    fn check(&self) -> Result<()> {
        if self.width == 0 || self.width >= FREE {
            let hint = "say how long the vectors are, all alike";
            return Err(Error::argument("vectorize", "width", "at least 1, and not FREE", self.width, hint));
        }
        Ok(())
    }
}
