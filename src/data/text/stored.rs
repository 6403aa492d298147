//! Samples in a file: its pieces, and what their labels are.

use super::labels::Labels;
use super::pieces::{Format, Pieces};
use super::record::Record;
use super::texts::{Store, TextSample};
use crate::error::Result;

/// A file of texts.
#[derive(Debug)]
pub(super) struct Stored<F> {
    pieces: Pieces<F>,
    /// What labels are, and what their column or field is called; none where there are no labels.
    labels: Option<(Labels, String)>,
}

impl<F> Stored<F> {
    pub fn unlabelled(pieces: Pieces<F>) -> Self {
        Stored { pieces, labels: None }
    }

    pub fn new(pieces: Pieces<F>, labels: Option<(Labels, String)>) -> Self {
        Stored { pieces, labels }
    }
}

impl<F: Format> Store for Stored<F> {
    fn len(&self) -> usize {
        self.pieces.len()
    }

    fn class_names(&self) -> &[String] {
        self.labels.as_ref().map_or(&[], |(labels, _)| labels.class_names())
    }

    fn read(&self, position: usize, sample: &mut TextSample) -> Result<()> {
        let mut record = Record { texts: std::mem::take(&mut sample.texts), ..Record::default() };
        self.pieces.read(position, &mut record, |record, at| {
            if let Some((labels, column)) = &self.labels {
                sample.label = Some(labels.value(&record.label, column, at)?);
            }
            Ok(())
        })?;
        sample.texts = record.texts;
        Ok(())
    }
}
