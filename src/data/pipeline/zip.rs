//! Two sources side by side.

use crate::data::idle::Idle;
use crate::data::source::{Order, Source, Stretch, missing_shapes, row_shape, total};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// The samples of two sources at the same positions as one; see [`Source::zip`].
#[derive(Clone, Debug)]
pub struct Zip<A, B> {
    first: A,
    second: B,
    /// Inputs and targets of both.
    counts: [[usize; 2]; 2],
    /// Whether they have values: all inputs, then all targets.
    kept: Vec<bool>,
    /// The shapes of those that have.
    parts: [Vec<Shape>; 2],
    rows: (Shape, Shape),
    idle: Idle<Vec<Shape>>,
}

impl<A, B> Zip<A, B> {
    pub(crate) fn new<T: Float>(first: A, second: B) -> Self
    where
        A: Source<T>,
        B: Source<T>,
    {
        let (mut a, b) = (first.all_shapes(), second.all_shapes());
        let counts = [[a.0.len(), a.1.len()], [b.0.len(), b.1.len()]];
        a.0.extend(b.0);
        a.1.extend(b.1);
        let kept = a.0.iter().chain(&a.1).map(|part| !part.is_empty()).collect();
        let parts = [a.0, a.1].map(|parts| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>());
        let rows = (row_shape(&parts[0]), row_shape(&parts[1]));
        Zip { first, second, counts, kept, parts, rows, idle: Idle::default() }
    }

    /// An error unless the sources are as long, and in an order that stays.
    fn as_long<T: Float>(&self) -> Result<()>
    where
        A: Source<T>,
        B: Source<T>,
    {
        let (a, b) = (self.first.samples(), self.second.samples());
        let apart = |order| matches!(order, Order::Shuffled | Order::Mixed);
        if apart(self.first.order()) || apart(self.second.order()) {
            let hint = "zip first, then shuffle or mix: left.zip(right).shuffle(seed)";
            let got = "one that is shuffled or mixed, so that samples would meet others than their partners";
            return Err(Error::argument("zip", "source", "in an order that stays", got, hint));
        }
        if a == b {
            return Ok(());
        }
        let name = |n: Option<usize>| n.map_or("samples without end".to_owned(), |n| format!("{n} samples"));
        let hint = "each sample needs its partner: take(n) of the longer one if they are in the same order, or repeat() the other";
        Err(Error::shape("zip", format!("{} in both sources", name(a)), name(b), hint))
    }

    /// Appends the shapes of one of the sources at a position: its inputs, then its targets.
    fn append_at<T: Float>(
        source: &impl Source<T>,
        [x, y]: [usize; 2],
        (epoch, position): (usize, usize),
        shapes: &mut Vec<Shape>,
    ) -> Result<()> {
        let from = shapes.len();
        source.shapes_at(epoch, position, shapes)?;
        let got = shapes.len() - from;
        if got == x + y { Ok(()) } else { Err(missing_shapes(x + y, got)) }
    }
}

impl<T: Float, A: Source<T>, B: Source<T>> Source<T> for Zip<A, B> {
    fn shapes(&self) -> (Shape, Shape) {
        self.rows
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let [x, y] = &self.parts;
        (x.clone(), y.clone())
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        let from = shapes.len();
        Self::append_at(&self.first, self.counts[0], (epoch, position), shapes)?;
        Self::append_at(&self.second, self.counts[1], (epoch, position), shapes)?;
        // The second source's inputs before the first one's targets.
        let [[x, y], [more_x, _]] = self.counts;
        shapes[from + x..from + x + y + more_x].rotate_left(y);
        let (mut i, kept) = (0, &self.kept);
        shapes.retain(|_| {
            i += 1;
            i <= from || kept[i - 1 - from]
        });
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        match (self.first.samples(), self.second.samples()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.as_long()?;
        // The values of the first source in a sample.
        let (own_x, own_y) = match self.rows.0.is_free() || self.rows.1.is_free() {
            false => (self.first.shapes().0.len(), self.first.shapes().1.len()),
            true => self.idle.with(
                || Ok(Vec::new()),
                |shapes| {
                    shapes.clear();
                    Self::append_at(&self.first, self.counts[0], (epoch, first), shapes)?;
                    let (x, y) = shapes.split_at(self.counts[0][0]);
                    Ok((total("zip", x)?, total("zip", y)?))
                },
            )?,
        };
        Stretch::new(self.rows, x.len(), y.len()).each(x, y).try_for_each(|(i, x, y)| {
            let room = |all: usize, own: usize| {
                Error::shape("zip", format!("room for {own} values"), all, "ask for whole samples")
            };
            let (all_x, all_y) = (x.len(), y.len());
            let (ax, bx) = x.split_at_mut_checked(own_x).ok_or_else(|| room(all_x, own_x))?;
            let (ay, by) = y.split_at_mut_checked(own_y).ok_or_else(|| room(all_y, own_y))?;
            self.first.read(epoch, first + i, ax, ay)?;
            self.second.read(epoch, first + i, bx, by)
        })
    }

    fn order(&self) -> Order {
        match self.first.order() {
            Order::Fixed => self.second.order(),
            own => own,
        }
    }

    fn check(&self) -> Result<()> {
        self.first.check()?;
        self.second.check()?;
        self.as_long()
    }
}
