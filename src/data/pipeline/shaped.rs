//! The values of a sample as several inputs or targets.

use crate::data::source::{Order, Source, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// A source whose samples are taken for inputs and targets of other shapes, with the same values; see [`Source::inputs`] and
/// [`Source::targets`].
#[derive(Clone, Debug)]
pub struct Shaped<S> {
    source: S,
    parts: [Vec<Shape>; 2],
    rows: (Shape, Shape),
}

impl<S> Shaped<S> {
    pub(crate) fn new(source: S, x: Vec<Shape>, y: Vec<Shape>) -> Self {
        let rows = (row_shape(&x), row_shape(&y));
        Shaped { source, parts: [x, y], rows }
    }

    /// An error where the values of a sample are not as many.
    fn fits<T: Float>(&self) -> Result<()>
    where
        S: Source<T>,
    {
        let (x, y) = self.source.shapes();
        for (op, old, new, parts) in [("inputs", x, self.rows.0, 0), ("targets", y, self.rows.1, 1)] {
            let same = old.len() == new.len() && old.is_free() == new.is_free();
            if !same || old.is_free() && self.parts[parts] != [old] {
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
        let (from, old) = (shapes.len(), self.source.all_shapes());
        self.source.shapes_at(epoch, position, shapes)?;
        // Sides with free sizes are as they were.
        let own = shapes.split_off(from);
        let (x, y) = own.split_at_checked(old.0.len()).unwrap_or_default();
        let free = |parts: &[Shape]| parts.iter().any(Shape::is_free);
        for (own, parts) in [(x, &self.parts[0]), (y, &self.parts[1])] {
            shapes.extend(if free(parts) { own } else { parts });
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
