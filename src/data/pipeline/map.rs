//! Samples through a function.

use std::fmt;

use crate::data::source::{Order, Source, Stretch, widths_at};
use crate::error::Result;
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// Samples changed in place; see [`Source::map`].
#[derive(Clone)]
pub struct Map<S, F> {
    source: S,
    f: F,
}

impl<S, F> Map<S, F> {
    pub(crate) fn new(source: S, f: F) -> Self {
        Map { source, f }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Map<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.map", self.source)
    }
}

impl<T: Float, S: Source<T>, F: Fn(&mut [T], &mut [T]) + Send + Sync> Source<T> for Map<S, F> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        self.source.shapes_at(epoch, position, shapes)
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.source.read(epoch, first, x, y)?;
        Stretch::new(self.shapes(), x.len(), y.len()).each(x, y).for_each(|(_, x, y)| (self.f)(x, y));
        Ok(())
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()
    }
}

/// Samples changed in place with random numbers; see [`Source::map_keyed`].
#[derive(Clone)]
pub struct MapKeyed<S, F> {
    source: S,
    seed: u64,
    f: F,
}

impl<S, F> MapKeyed<S, F> {
    pub(crate) fn new(source: S, seed: u64, f: F) -> Self {
        MapKeyed { source, seed, f }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for MapKeyed<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.map_keyed({})", self.source, self.seed)
    }
}

impl<T: Float, S: Source<T>, F: Fn(Key, &mut [T], &mut [T]) + Send + Sync> Source<T> for MapKeyed<S, F> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        self.source.shapes_at(epoch, position, shapes)
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.source.read(epoch, first, x, y)?;
        let key = Key::new(self.seed, Purpose::Augment).with(epoch as u64);
        let samples = Stretch::new(self.shapes(), x.len(), y.len()).each(x, y);
        samples.for_each(|(i, x, y)| (self.f)(key.with((first + i) as u64), x, y));
        Ok(())
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()
    }
}

/// Samples of other shapes; see [`Source::map_to`].
#[derive(Clone)]
pub struct MapTo<S, F> {
    source: S,
    shapes: (Shape, Shape),
    f: F,
}

impl<S, F> MapTo<S, F> {
    pub(crate) fn new(source: S, x: Shape, y: Shape, f: F) -> Self {
        MapTo { source, shapes: (x, y), f }
    }

    fn check_new(&self) -> Result<()> {
        [self.shapes.0, self.shapes.1].iter().try_for_each(|shape| shape.checked_len("map_to").map(|_| ()))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for MapTo<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.map_to({}, {})", self.source, self.shapes.0, self.shapes.1)
    }
}

impl<T: Float, S: Source<T>, F: Fn(&[T], &[T], &mut [T], &mut [T]) + Send + Sync> Source<T> for MapTo<S, F> {
    fn shapes(&self) -> (Shape, Shape) {
        self.shapes
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.check_new()?;
        // One sample at a time, whatever the stretch: a batch of the old shape is not kept.
        let (mut old_x, mut old_y, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
        Stretch::new(self.shapes, x.len(), y.len()).each(x, y).try_for_each(|(i, x, y)| {
            let (width, target) = widths_at(&self.source, epoch, first + i, &mut shapes)?;
            memory::resize("map_to", "a sample of the source", &mut old_x, width, T::zero())?;
            memory::resize("map_to", "a sample of the source", &mut old_y, target, T::zero())?;
            self.source.read(epoch, first + i, &mut old_x, &mut old_y)?;
            (self.f)(&old_x, &old_y, x, y);
            Ok(())
        })
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.check_new()
    }
}
