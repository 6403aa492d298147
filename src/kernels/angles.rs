//! Cosines and sines of positions times frequencies, taken in double precision and kept for a stretch of positions: all that turns or adds
//! by position in one pass reads the same table.

use crate::kernels::float::Float;
use crate::kernels::frequencies::Frequencies;
use crate::kernels::parallel;

/// What a sine and a cosine cost, in multiply-adds.
const WORK: usize = 64;

/// A table for all frequencies that have been asked for together.
#[derive(Debug, Default)]
pub(crate) struct AngleTables<T> {
    tables: Vec<Table<T>>,
}

/// Rows of cosines, then sines, a column for each frequency.
#[derive(Debug)]
struct Table<T> {
    of: Frequencies,
    frequencies: Vec<f64>,
    /// The positions of its rows, from this one on; none where they are of steps.
    first: usize,
    rows: usize,
    values: Vec<T>,
}

/// The angles of the steps of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Angles<'a, T> {
    values: &'a [T],
    /// How many frequencies there are.
    half: usize,
    row: Row<'a, T>,
}

/// Which row of the table is a step's.
#[derive(Clone, Copy, Debug)]
enum Row<'a, T> {
    /// That of its place in its sample.
    Place(usize),
    /// That of the position that it is given, from this one on.
    Given(&'a [T], usize),
    /// Its own.
    Own,
}

impl<'a, T: Float> Angles<'a, T> {
    /// Cosines and sines of a step, counted through the batch.
    #[inline(always)]
    pub fn of(&self, step: usize) -> [&'a [T]; 2] {
        let row = match self.row {
            Row::Place(steps) => step % steps,
            Row::Given(positions, first) => positions[step].as_f64() as usize - first,
            Row::Own => step,
        };
        let (cos, sin) = self.values[2 * self.half * row..][..2 * self.half].split_at(self.half);
        [cos, sin]
    }
}

impl<T: Float> AngleTables<T> {
    /// The angles of samples of so many steps that stand at the positions from `first` on. Memory is taken where there are more steps than
    /// ever before, angles are computed where these positions are not among those of the table.
    pub fn stretch(&mut self, frequencies: Frequencies, first: usize, steps: usize) -> Angles<'_, T> {
        let table = self.table(frequencies);
        let start = table.cover(first, steps);
        let half = frequencies.len();
        Angles { values: &table.values[2 * half * start..], half, row: Row::Place(steps.max(1)) }
    }

    /// The angles of steps with a position for each.
    pub fn given<'a>(&'a mut self, frequencies: Frequencies, positions: &'a [T]) -> Angles<'a, T> {
        let table = self.table(frequencies);
        let half = frequencies.len();
        match range(positions) {
            Some((first, rows)) => {
                let start = table.cover(first, rows);
                Angles { values: &table.values[2 * half * start..], half, row: Row::Given(positions, first) }
            }
            None => {
                table.fill(positions.len(), |row| positions[row].as_f64());
                table.rows = 0;
                Angles { values: &table.values, half, row: Row::Own }
            }
        }
    }

    fn table(&mut self, frequencies: Frequencies) -> &mut Table<T> {
        let at = self.tables.iter().position(|table| table.of == frequencies).unwrap_or_else(|| {
            let of = frequencies;
            self.tables.push(Table { of, frequencies: of.each().collect(), first: 0, rows: 0, values: Vec::new() });
            self.tables.len() - 1
        });
        &mut self.tables[at]
    }
}

/// The first of some positions, and how many it takes to cover them; none where that is more than there are, or they are no whole
/// numbers.
fn range<T: Float>(positions: &[T]) -> Option<(usize, usize)> {
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for position in positions {
        let position = position.as_f64();
        if position.fract() != 0.0 || !(0.0..9e15).contains(&position) {
            return None;
        }
        (first, last) = (first.min(position), last.max(position));
    }
    let rows = last - first + 1.0;
    (rows > 0.0 && rows <= positions.len() as f64).then_some((first as usize, rows as usize))
}

impl<T: Float> Table<T> {
    /// Has rows for these positions; the number of the first one's.
    fn cover(&mut self, first: usize, rows: usize) -> usize {
        if rows == 0 {
            return 0;
        }
        if first < self.first || first.saturating_add(rows) > self.first + self.rows {
            self.fill(rows, |row| (first + row) as f64);
            (self.first, self.rows) = (first, rows);
        }
        first - self.first
    }

    /// So many rows, of the position that each has.
    fn fill(&mut self, rows: usize, position: impl Fn(usize) -> f64 + Sync) {
        let (half, frequencies) = (self.frequencies.len(), &self.frequencies);
        self.values.resize(2 * half * rows, T::zero());
        parallel::rows(&mut self.values, 2 * half, WORK * half, |first, rows| {
            for (row, values) in (first..).zip(rows.chunks_exact_mut(2 * half)) {
                let (position, (cos, sin)) = (position(row), values.split_at_mut(half));
                for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(frequencies) {
                    let (s, c) = libm::sincos(position * frequency);
                    (*cos, *sin) = (T::of(c), T::of(s));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::kernels::frequencies::RotaryScaling;

    const FREQUENCIES: Frequencies =
        Frequencies { base: 30_000.0, values: 6, scaling: RotaryScaling::Linear { factor: 1.5 } };

    fn check<T: Float>(angles: Angles<'_, T>, positions: &[f64]) {
        for (step, position) in positions.iter().enumerate() {
            let [cos, sin] = angles.of(step);
            for ((c, s), f) in cos.iter().zip(sin).zip(FREQUENCIES.each()) {
                let (sin, cos) = libm::sincos(position * f);
                assert_eq!((*c, *s), (T::of(cos), T::of(sin)), "step {step} at {position}");
            }
        }
    }

    /// The same bits whatever was asked for before.
    fn in_any_order<T: Float>() {
        let mut tables = AngleTables::<T>::default();
        for (first, steps) in [(0, 5), (2, 3), (5, 1), (0, 9), (1_000_000, 2), (3, 4), (0, 9)] {
            let positions: Vec<_> = (0..2 * steps).map(|i| (first + i % steps) as f64).collect();
            check(tables.stretch(FREQUENCIES, first, steps), &positions);
        }
        for positions in [vec![0.0, 1.0, 0.0, 1.0, 2.0], vec![7.0, 900.0], vec![0.5, 3.0], vec![6.0, 5.0], vec![0.0]] {
            let given: Vec<_> = positions.iter().map(|p| T::of(*p)).collect();
            check(tables.given(FREQUENCIES, &given), &positions);
        }
        check(tables.stretch(FREQUENCIES, 1, 2), &[1.0, 2.0]);
        assert_eq!(tables.tables.len(), 1);
        let other = Frequencies { base: 1e4, ..FREQUENCIES };
        assert!(tables.given(other, &[T::nan()]).of(0)[0][0].is_nan());
    }

    #[test]
    fn angles_follow_from_positions_alone() {
        in_any_order::<f32>();
        in_any_order::<f64>();
    }

    #[test]
    fn steady_state_takes_no_memory() {
        let mut tables = AngleTables::<f32>::default();
        tables.stretch(FREQUENCIES, 0, 9);
        let at = tables.tables[0].values.as_ptr();
        for first in 0..50 {
            tables.stretch(FREQUENCIES, first, 1);
            tables.given(FREQUENCIES, &[first as f32, 3.0]);
        }
        tables.stretch(FREQUENCIES, 0, 9);
        assert_eq!(tables.tables[0].values.as_ptr(), at);
    }
}
