//! A node that makes an output row by row, and how many rows go through it at a time where that is left to a loss.

/// Values of an output that are there at a time.
const BLOCK: usize = 1 << 20;

/// Rows of a block are a multiple of these: sums over rows are taken so many rows at a time by products, so that they have the same bits as over
/// all rows.
const ROWS: usize = 256;

/// Columns below which an output is no larger than what is computed before it.
pub(super) const NARROW: usize = 256;

/// A node that makes an output, row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowNode {
    /// The position of the output, and its value.
    pub output: usize,
    pub(super) value: u32,
    pub(super) node: usize,
    /// The value that it reads.
    pub(super) from: u32,
    /// Columns of input and output.
    pub(super) columns: [usize; 2],
}

impl RowNode {
    /// Rows of a block: of 2²⁰ values or a little less, 256 at least.
    pub fn block(&self) -> usize {
        (BLOCK / self.columns[1] / ROWS).max(1) * ROWS
    }

    /// Columns of the output.
    pub fn outputs(&self) -> usize {
        self.columns[1]
    }

    /// Values that a block of at most so many rows takes: inputs and outputs with their gradients, where backward follows.
    pub fn space(&self, rows: usize, backward: bool) -> usize {
        let [inputs, outputs] = self.columns;
        let row = inputs.saturating_add(outputs).saturating_mul(if backward { 2 } else { 1 });
        row.saturating_mul(rows.min(self.block()))
    }
}
