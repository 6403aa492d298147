//! Which gradients hold something.

use std::ops::Range;

use crate::kernels::parallel;
use crate::params::{ParamId, Params};
use crate::tensor::Float;

/// What layers have written of each gradient since the last update. Of a table, a weight of which a batch reads a few rows
/// ([`Builder::sparse_gradient`](crate::Builder)), it knows the rows; zeros stand in all others, so that everything that goes through
/// gradients may leave them out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    held: Vec<Held>,
    tables: Vec<Table>,
}

/// What a gradient holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    /// What is left over from before.
    Leftovers,
    /// Zeros, of a table.
    Zeros,
    /// The gradients of some rows of a table, and zeros.
    Rows,
    /// Its gradient.
    All,
}

/// A weight whose gradient comes by rows.
#[derive(Clone, Debug, PartialEq)]
struct Table {
    param: usize,
    range: Range<usize>,
    /// Values of a row.
    width: usize,
    /// The rows that were written, ascending.
    rows: Vec<u32>,
}

impl Table {
    /// Calls `f` with the gradient of each row that was written.
    fn each<T>(&self, gradients: &mut [T], mut f: impl FnMut(&mut [T])) {
        let gradient = &mut gradients[self.range.clone()];
        self.rows.iter().for_each(|&row| f(&mut gradient[row as usize * self.width..][..self.width]));
    }
}

/// The rows of a table that hold something, and how many values each has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub rows: &'a [u32],
    pub width: usize,
}

impl Written {
    /// Nothing has been written; gradients are zeros.
    pub fn new<T: Float>(params: &Params<T>) -> Self {
        let mut written = Written { held: vec![Held::Leftovers; params.specs().len()], tables: Vec::new() };
        for (param, spec) in params.specs().iter().enumerate().filter(|(_, spec)| spec.is_table()) {
            let rows = spec.shape.first();
            // Room for all rows and as many that come to them: no step takes memory.
            let (rows, width) = (Vec::with_capacity(2 * rows), spec.range.len() / rows.max(1));
            written.tables.push(Table { param, range: spec.range.clone(), width, rows });
            written.held[param] = Held::Zeros;
        }
        written
    }

    /// For each gradient whether something has been written.
    #[cfg(feature = "files")]
    pub fn flags(&self) -> Vec<u8> {
        self.held.iter().map(|held| u8::from(matches!(held, Held::Rows | Held::All))).collect()
    }

    /// Takes [`flags`](Self::flags) back after [`begin`](Self::begin); of tables with something in them, all rows count as written, and
    /// the others are zeros, whatever a file says.
    #[cfg(feature = "files")]
    pub fn restore<T: Float>(&mut self, flags: &[u8], gradients: &mut [T]) {
        for (held, _) in self.held.iter_mut().zip(flags).filter(|(_, flag)| **flag != 0) {
            *held = Held::All;
        }
        for table in self.tables.iter().filter(|table| self.held[table.param] == Held::Zeros) {
            fill_zeros(&mut gradients[table.range.clone()]);
        }
    }

    /// Forgets everything, before the first batch of an update.
    pub fn begin<T: Float>(&mut self, gradients: &mut [T]) {
        for table in &mut self.tables {
            match self.held[table.param] {
                Held::All => fill_zeros(&mut gradients[table.range.clone()]),
                Held::Rows => table.each(gradients, |row| row.fill(T::zero())),
                Held::Zeros | Held::Leftovers => {}
            }
            table.rows.clear();
            self.held[table.param] = Held::Zeros;
        }
        self.held.iter_mut().filter(|held| **held == Held::All).for_each(|held| *held = Held::Leftovers);
    }

    /// A whole gradient is written; whether it held something, to be added to.
    #[inline]
    pub fn write(&mut self, id: ParamId) -> bool {
        let held = self.held.get_mut(id.0 as usize);
        held.is_none_or(|held| std::mem::replace(held, Held::All) != Held::Leftovers)
    }

    /// Some rows of a gradient are written, which ascend; whether it held something, to be added to.
    pub fn write_rows(&mut self, id: ParamId, rows: &[u32]) -> bool {
        let param = id.0 as usize;
        let Some(table) = self.tables.iter_mut().find(|table| table.param == param) else { return self.write(id) };
        if self.held[param] != Held::All {
            merge(&mut table.rows, rows);
            self.held[param] = Held::Rows;
        }
        true
    }

    /// After the last batch of an update: zeros in the place of leftovers.
    pub fn end<T: Float>(&self, params: &Params<T>, gradients: &mut [T]) {
        self.end_from(0, params, gradients);
    }

    /// [`end`](Self::end) for a stretch of the gradients, which begins and ends with parameters.
    pub fn end_from<T: Float>(&self, start: usize, params: &Params<T>, gradients: &mut [T]) {
        let end = start + gradients.len();
        let specs = params.specs().iter().zip(&self.held).filter(|(_, held)| **held == Held::Leftovers);
        for (spec, _) in specs.filter(|(spec, _)| start <= spec.range.start && spec.range.end <= end) {
            gradients[spec.range.start - start..spec.range.end - start].fill(T::zero());
        }
    }

    /// The buffer is another one, of which nothing is known, or one whose gradients are all written.
    pub fn all_written(&mut self) {
        self.held.fill(Held::All);
        self.tables.iter_mut().for_each(|table| table.rows.clear());
    }

    /// Multiplies all gradients by a number.
    pub fn scale<T: Float>(&self, gradients: &mut [T], by: T) {
        let scale = |gradients: &mut [T]| {
            parallel::rows(gradients, 1, 1, |_, g| g.iter_mut().for_each(|g| *g *= by));
        };
        let mut from = 0;
        for table in self.tables.iter().filter(|table| self.held[table.param] != Held::All) {
            scale(&mut gradients[from..table.range.start]);
            table.each(gradients, |row| row.iter_mut().for_each(|g| *g *= by));
            from = table.range.end;
        }
        scale(&mut gradients[from..]);
    }

    /// The rows that hold something of the gradient of a parameter, where it is a table of which not all was written.
    pub fn rows_of(&self, param: usize) -> Option<Rows<'_>> {
        let table = self.tables.iter().find(|table| table.param == param && self.held[param] != Held::All)?;
        Some(Rows { rows: &table.rows, width: table.width })
    }
}

fn fill_zeros<T: Float>(values: &mut [T]) {
    parallel::rows(values, 1, 1, |_, values| values.fill(T::zero()));
}

/// Adds numbers that ascend to others that do.
fn merge(all: &mut Vec<u32>, more: &[u32]) {
    let (mut a, mut b) = (all.len(), more.len());
    all.resize(a + b, 0);
    // From the largest down, so that none is overwritten before it has moved.
    while b > 0 {
        if a > 0 && all[a - 1] > more[b - 1] {
            all[a + b - 1] = all[a - 1];
            a -= 1;
        } else {
            all[a + b - 1] = more[b - 1];
            b -= 1;
        }
    }
    all.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    #[test]
    fn numbers_ascend_and_come_once() {
        let mut all = vec![];
        for (more, expected) in [
            (&[3u32, 7][..], &[3u32, 7][..]),
            (&[], &[3, 7]),
            (&[0, 3, 5, 9], &[0, 3, 5, 7, 9]),
            (&[0, 3, 5, 7, 9], &[0, 3, 5, 7, 9]),
            (&[1], &[0, 1, 3, 5, 7, 9]),
        ] {
            merge(&mut all, more);
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn zeros_stand_where_nothing_is_written() {
        let mut params = Params::<f32>::new();
        let a = params.push("a", Shape::from([2]), &[0.0; 2], true, true).unwrap();
        let table = params.push("table", Shape::from([4, 2]), &[0.0; 8], true, true).unwrap();
        let b = params.push("b", Shape::from([1]), &[0.0], true, true).unwrap();
        params.specs_mut()[1].sparse_gradient = true;
        let mut written = Written::new(&params);
        let mut g = vec![0.0f32; 11];
        assert!(written.rows_of(0).is_none() && written.rows_of(1).unwrap().rows.is_empty());
        // What is no table holds leftovers until it is written.
        assert!(!written.write(a) && written.write(a) && written.write_rows(table, &[1, 3]));
        g[..2].fill(1.0);
        (g[4], g[9], g[10]) = (2.0, 4.0, 9.0);
        written.end(&params, &mut g);
        assert_eq!(g[10], 0.0);
        written.scale(&mut g, 0.5);
        assert_eq!(g, [0.5, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        assert_eq!((written.rows_of(1).unwrap().rows, written.rows_of(1).unwrap().width), (&[1u32, 3][..], 2));
        written.begin(&mut g);
        assert_eq!(g, [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // Written as a whole, after rows or before them.
        assert!(written.write_rows(table, &[2]) && written.write(table) && written.write_rows(table, &[0]));
        assert!(written.rows_of(1).is_none() && !written.write(b));
        g.fill(1.0);
        written.begin(&mut g);
        assert_eq!(g, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(written.rows_of(1).unwrap().rows.is_empty());
    }

    #[cfg(feature = "files")]
    #[test]
    fn what_a_file_says_of_nothing_written_is_zeros() {
        let mut params = Params::<f32>::new();
        for (i, name) in ["a", "b"].into_iter().enumerate() {
            params.push(name, Shape::from([2, 2]), &[0.0; 4], true, true).unwrap();
            params.specs_mut()[i].sparse_gradient = true;
        }
        let (mut written, mut g) = (Written::new(&params), vec![1.0f32; 8]);
        written.restore(&[0, 1], &mut g);
        assert_eq!(g, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(written.rows_of(0).is_some() && written.rows_of(1).is_none());
        written.begin(&mut g);
        assert_eq!(g, [0.0; 8]);
    }
}
