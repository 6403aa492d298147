//! Tables of which a batch names some rows: how steps are gathered by rows, and the gradient of those alone.

use crate::kernels::parallel::{self, SplitMut};
use crate::layer::Pass;
use crate::params::ParamId;
use crate::tensor::{Float, whole_numbers};

/// How many whole numbers from 0 on are told apart as values of T: from 2²⁴ on single precision does not tell neighbours apart.
pub(crate) fn exact<T: Float>() -> u64 {
    // Rows are numbered in 32 bits.
    whole_numbers::<T>().min(1 << 32)
}

/// A whole number from 0 on and below `count`; none for anything else, which models refuse before.
pub(crate) fn whole<T: Float>(v: T, count: usize) -> Option<usize> {
    let v = v.as_f64();
    (v >= 0.0 && v < count as f64 && v.fract() == 0.0).then_some(v as usize)
}

/// Which row of a table each step of a batch names, if any.
pub(crate) struct Naming<F> {
    pub steps: usize,
    /// Rows of the table.
    pub rows: usize,
    pub row: F,
}

impl<F: Fn(usize) -> Option<usize>> Naming<F> {
    /// dE[row] += Σ dy over the steps that name a row, in their order; `indices` is space to work in.
    pub fn add_gradient<T: Float>(&self, pass: &mut Pass<'_, T>, id: ParamId, indices: &mut Vec<u32>, dy: &[T]) {
        if !pass.wants(id) {
            return;
        }
        let width = dy.len() / self.steps.max(1);
        let Named { rows, ends, steps } = self.by_row(indices);
        let values = pass.gradient_of_rows(id, rows);
        let parts = parallel::parts(rows.len(), 1 + width * steps.len() / rows.len().max(1));
        parallel::par_chunks(0..rows.len(), parts, RowsMut { values, width, rows, first: 0 }, &|range, own| {
            for (i, &row) in range.zip(own.rows) {
                let sum = &mut own.values[(row - own.first) as usize * width..][..width];
                let start = if i == 0 { 0 } else { ends[i - 1] as usize };
                for &step in &steps[start..ends[i] as usize] {
                    sum.iter_mut().zip(&dy[step as usize * width..][..width]).for_each(|(g, dy)| *g += *dy);
                }
            }
        });
    }

    /// The steps that name each row, by rows and then in their order, with the work space `indices`.
    fn by_row<'s>(&self, indices: &'s mut Vec<u32>) -> Named<'s> {
        let n = self.steps;
        indices.clear();
        indices.resize(3 * n, 0);
        let (steps, rest) = indices.split_at_mut(n);
        let (mut other, rows) = rest.split_at_mut(n);
        let mut steps = steps;
        let mut len = 0;
        for step in 0..n {
            if (self.row)(step).is_some() {
                steps[len] = step as u32;
                len += 1;
            }
        }
        // By digits of the rows, the last one first; those with an equal digit keep their order.
        let row = |step: u32| (self.row)(step as usize).unwrap_or(0) as u64;
        let largest = (self.rows as u64).saturating_sub(1);
        for shift in (0..u64::BITS).step_by(DIGIT).take_while(|shift| largest >> shift > 0) {
            let digit = |step: u32| (row(step) >> shift) as usize % (1 << DIGIT);
            let mut places = [0u32; 1 << DIGIT];
            steps[..len].iter().for_each(|&step| places[digit(step)] += 1);
            let mut before = 0;
            places.iter_mut().for_each(|place| before += std::mem::replace(place, before));
            for &step in &steps[..len] {
                let place = &mut places[digit(step)];
                other[*place as usize] = step;
                *place += 1;
            }
            std::mem::swap(&mut steps, &mut other);
        }
        // Where the steps of each row end.
        let (mut distinct, ends) = (0, other);
        for (i, &step) in steps[..len].iter().enumerate() {
            let row = row(step) as u32;
            if distinct == 0 || rows[distinct - 1] != row {
                rows[distinct] = row;
                distinct += 1;
            }
            ends[distinct - 1] = i as u32 + 1;
        }
        Named { rows: &rows[..distinct], ends: &ends[..distinct], steps: &steps[..len] }
    }
}

/// Whole numbers that [`Naming::add_gradient`] keeps for so many steps.
pub(crate) fn space(steps: usize) -> usize {
    steps.saturating_mul(3)
}

/// Bits of a row by which steps are sorted at a time.
pub(crate) const DIGIT: usize = 11;

/// The rows that a batch names, ascending, and the steps that name each.
struct Named<'s> {
    rows: &'s [u32],
    ends: &'s [u32],
    steps: &'s [u32],
}

/// The rows of a matrix that are named, from row number `first` on.
struct RowsMut<'a, T> {
    values: &'a mut [T],
    width: usize,
    rows: &'a [u32],
    first: u32,
}

impl<T: Send> SplitMut for RowsMut<'_, T> {
    fn split(self, items: usize, _: usize) -> (Self, Self) {
        let RowsMut { values, width, rows, first } = self;
        let (left, right) = rows.split_at(items);
        let next = right.first().map_or(first, |&row| row);
        let (a, b) = values.split_at_mut((next - first) as usize * width);
        (RowsMut { values: a, width, rows: left, first }, RowsMut { values: b, width, rows: right, first: next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    #[test]
    fn steps_are_sorted_by_rows() {
        let (count, n) = (5_000_000, 1000);
        let key = Key::new(1, Purpose::Data);
        let id = |i: usize| match i % 3 {
            0 => key.below(i as u64, count),
            1 => key.below(i as u64, 40),
            _ => count - 1 - key.below(i as u64, 4000),
        };
        let row = |i: usize| Some(id(i)).filter(|id| *id != 17);
        let mut expected: Vec<(usize, usize)> = (0..n).filter_map(|i| Some((row(i)?, i))).collect();
        expected.sort_unstable();
        let mut indices = Vec::new();
        let Named { rows, ends, steps } = Naming { steps: n, rows: count, row }.by_row(&mut indices);
        let mut found = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let start = if i == 0 { 0 } else { ends[i - 1] as usize };
            found.extend(steps[start..ends[i] as usize].iter().map(|&step| (*row as usize, step as usize)));
        }
        assert_eq!(found, expected);
        assert!(rows.is_sorted() && rows.len() == ends.len());
    }
}
