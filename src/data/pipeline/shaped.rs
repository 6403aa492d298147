//! The values of a sample as several inputs or targets.

use crate::data::source::{Order, Source, missing_shapes, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// A source whose samples are taken for inputs and targets of other shapes, with the same values; see [`Source::inputs`] and
/// [`Source::targets`].
#[derive(Clone, Debug)]
pub struct Shaped<S> {
    source: S,
    /// Inputs and targets of the source.
    counts: [usize; 2],
    parts: [Vec<Shape>; 2],
    rows: (Shape, Shape),
}

impl<S> Shaped<S> {
    /// With other shapes of inputs or of targets.
    pub(crate) fn new<T: Float>(source: S, x: Option<Vec<Shape>>, y: Option<Vec<Shape>>) -> Self
    where
        S: Source<T>,
    {
        let (old_x, old_y) = source.all_shapes();
        let counts = [old_x.len(), old_y.len()];
        let (x, y) = (x.unwrap_or(old_x), y.unwrap_or(old_y));
        let rows = (row_shape(&x), row_shape(&y));
        Shaped { source, counts, parts: [x, y], rows }
    }

    /// An error where the values of a sample are not as many.
    fn fits<T: Float>(&self) -> Result<()>
    where
        S: Source<T>,
    {
        let ((x, y), (x_parts, y_parts)) = (self.source.shapes(), self.source.all_shapes());
        for (op, old, new, parts, own) in
            [("inputs", x, self.rows.0, 0, x_parts), ("targets", y, self.rows.1, 1, y_parts)]
        {
            let same = old.len() == new.len() && old.is_free() == new.is_free();
            if !same || old.is_free() && self.parts[parts] != own {
                let hint =
                    "name shapes that have as many values together; sizes that differ between samples stay as they are";
                let named: Vec<_> = self.parts[parts].iter().map(ToString::to_string).collect();
                return Err(Error::shape(op, format!("shapes of the values of {old}"), named.join(" and "), hint));
            }
        }
        Ok(())
    }
}

impl<T: Float, S: Source<T>> Source<T> for Shaped<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.rows
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let [x, y] = &self.parts;
        (x.clone(), y.clone())
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        let from = shapes.len();
        self.source.shapes_at(epoch, position, shapes)?;
        let [x, y] = self.counts;
        if shapes.len() != from + x + y {
            return Err(missing_shapes(x + y, shapes.len() - from));
        }
        // Sides with free sizes are as they were; the last one first, so that the places stay.
        for (range, parts) in [(from + x..from + x + y, &self.parts[1]), (from..from + x, &self.parts[0])] {
            if !parts.iter().any(Shape::is_free) {
                drop(shapes.splice(range, parts.iter().copied()));
            }
        }
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.fits()?;
        self.source.read(epoch, first, x, y)
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        self.fits()?;
        self.source.read_targets(first, y)
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.fits()
    }
}
