//! A table as colours.

use super::axis::{TICK_EM, heading};
use super::drawing::{Drawing, Picture, Point, fit};
use super::font;
use super::number::label;
use super::style::{Anchor, BLACK, BLUE, Color, GREY, VERMILION, WHITE};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// A `[rows, columns]` tensor as coloured cells: from white at the least value to blue at the greatest or, where both signs
/// occur, from vermilion through white at zero to blue. A bar beside it says which colour is which value.
///
/// Values that are not finite are grey. A table of more than 512 rows or columns is drawn as the means of neighbours. Values
/// are written into cells that are large enough.
///
/// ```
/// use gradus::prelude::*;
/// let map = HeatMap::new(&Tensor::from([[0.0f32, 1.0], [2.0, 3.0]]))?.title("a table").row_names(&["a", "b"])?;
/// assert!(map.to_svg().contains("a table"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeatMap {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
    names: [Vec<String>; 2],
    title: String,
    size: Option<(u32, u32)>,
}

/// The most cells in a direction.
const MAX_CELLS: usize = 512;

impl HeatMap {
    /// The cells of a tensor `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes, [`Error::Empty`] without values.
    pub fn new<T: Float>(table: &Tensor<T>) -> Result<Self> {
        let &[rows, columns] = table.dims() else {
            let hint = "reshape it: tensor.reshape([rows, columns])";
            return Err(Error::shape("HeatMap", "a tensor of 2 axes", table.shape(), hint));
        };
        if table.is_empty() {
            return Err(Error::Empty { op: "HeatMap", what: "the table" });
        }
        let (values, shown_rows, shown_columns) = shrink(table, rows, columns);
        let (rows, columns) = (shown_rows, shown_columns);
        Ok(HeatMap { values, rows, columns, names: [Vec::new(), Vec::new()], title: String::new(), size: None })
    }

    /// A line above the cells.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Names to the left of the rows; none by default.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one name a row.
    pub fn row_names<S: AsRef<str>>(self, names: &[S]) -> Result<Self> {
        self.name(0, names)
    }

    /// Names below the columns; none by default.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one name a column.
    pub fn column_names<S: AsRef<str>>(self, names: &[S]) -> Result<Self> {
        self.name(1, names)
    }

    fn name<S: AsRef<str>>(mut self, axis: usize, names: &[S]) -> Result<Self> {
        let (count, what) = if axis == 0 { (self.rows, "row") } else { (self.columns, "column") };
        if names.len() != count {
            let expected = format!("{count} names, one a {what}");
            return Err(Error::shape("HeatMap", expected, names.len(), "name all, or none"));
        }
        self.names[axis] = names.iter().map(|n| n.as_ref().to_owned()).collect();
        Ok(self)
    }

    /// Width and height in pixels, from 100 to 4096; others are brought into this range.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    fn scale(&self) -> Scale {
        let finite = || self.values.iter().copied().filter(|v| v.is_finite()).map(|v| v.clamp(-1e300, 1e300));
        let (lo, hi) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let far = lo.abs().max(hi.abs());
        match (lo < 0.0 && hi > 0.0, lo > hi) {
            (_, true) => Scale { lo: 0.0, hi: 0.0 },
            (true, _) => Scale { lo: -far, hi: far },
            _ => Scale { lo, hi },
        }
    }
}

/// At most [`MAX_CELLS`] rows and columns, as means of the finite values they stand for.
fn shrink<T: Float>(table: &Tensor<T>, rows: usize, columns: usize) -> (Vec<f64>, usize, usize) {
    let (r, c) = (rows.min(MAX_CELLS), columns.min(MAX_CELLS));
    let mut sums = vec![(0.0, 0usize); r * c];
    for (i, v) in table.iter().map(|v| v.as_f64()).enumerate() {
        let (row, column) = (i / columns * r / rows, i % columns * c / columns);
        if let (true, Some((sum, n))) = (v.is_finite(), sums.get_mut(row * c + column)) {
            *sum += v;
            *n += 1;
        }
    }
    (sums.into_iter().map(|(sum, n)| sum / n as f64).collect(), r, c)
}

/// Which colour is which value.
#[derive(Clone, Copy, Debug)]
struct Scale {
    lo: f64,
    hi: f64,
}

impl Scale {
    fn color(&self, value: f64) -> Color {
        if !value.is_finite() {
            return Color(170, 170, 170);
        }
        if self.lo < 0.0 && self.hi > 0.0 {
            let end = if value < 0.0 { VERMILION } else { BLUE };
            return mix(end, (value / self.hi).abs());
        }
        let part = (value - self.lo) / (self.hi - self.lo);
        mix(BLUE, if part.is_finite() { part } else { 0.5 })
    }
}

/// From white to a colour.
pub(super) fn mix(Color(r, g, b): Color, part: f64) -> Color {
    let part = part.clamp(0.0, 1.0);
    let one = |c: u8| (255.0 + (f64::from(c) - 255.0) * part).round() as u8;
    Color(one(r), one(g), one(b))
}

/// Black or white, whichever is read better on a colour: by the contrast of WCAG 2, with relative luminances.
pub(super) fn ink(Color(r, g, b): Color) -> Color {
    let linear = |c: u8| (f64::from(c) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    if (luminance + 0.05) / (0.01 + 0.05) > 1.05 / (luminance + 0.05) { BLACK } else { WHITE }
}

/// Cells and the names of rows and columns, within a rectangle of cells.
pub(super) struct Cells<'a> {
    pub from: Point,
    pub cell: (f64, f64),
    pub names: [&'a [String]; 2],
}

/// The letters of names beside cells: their size, and the widest that is shown.
pub(super) const NAME_ROOM: f64 = 150.0;

/// The width of the widest name, within limits.
pub(super) fn room(names: &[String]) -> f64 {
    names.iter().map(|n| font::width(&fit(n, TICK_EM, NAME_ROOM), TICK_EM)).fold(0.0, f64::max)
}

/// Whether columns are too narrow for their names, which then read from below to above.
pub(super) fn turned(names: &[String], cell: f64) -> bool {
    room(names) > cell - 4.0
}

impl Cells<'_> {
    pub fn draw(&self, d: &mut Drawing, rows: usize, columns: usize, color: impl Fn(usize, usize) -> Color) {
        let ((x, y), (w, h)) = (self.from, self.cell);
        for r in 0..rows {
            for c in 0..columns {
                let (left, top) = (x + c as f64 * w, y + r as f64 * h);
                d.fill((left, top), (left + w, top + h), color(r, c));
            }
        }
        d.outline(self.from, (x + columns as f64 * w, y + rows as f64 * h), GREY);
        let [row_names, column_names] = self.names;
        let every = |cell: f64| ((TICK_EM + 2.0) / cell).ceil().max(1.0) as usize;
        for (r, name) in row_names.iter().enumerate().step_by(every(h)) {
            let at = (x - 6.0, y + (r as f64 + 0.5) * h);
            d.text(at, &fit(name, TICK_EM, NAME_ROOM), TICK_EM, BLACK, Anchor::End);
        }
        let bottom = y + rows as f64 * h;
        let turn = turned(column_names, w);
        for (c, name) in column_names.iter().enumerate().step_by(if turn { every(w) } else { 1 }) {
            let name = fit(name, TICK_EM, NAME_ROOM);
            let at = x + (c as f64 + 0.5) * w;
            if turn {
                d.turned((at, bottom + 6.0), &name, TICK_EM, BLACK, Anchor::End);
            } else {
                d.text((at, bottom + 12.0), &name, TICK_EM, BLACK, Anchor::Middle);
            }
        }
    }
}

impl Picture for HeatMap {
    fn drawing(&self) -> Drawing {
        let scale = self.scale();
        let span = scale.hi - scale.lo;
        let ends = [scale.hi, scale.lo / 2.0 + scale.hi / 2.0, scale.lo].map(|v| label(v, span).replace('-', "−"));
        let bar = ends.iter().map(|t| font::width(t, TICK_EM)).fold(0.0, f64::max) + 44.0;
        let [row_names, column_names] = &self.names;
        let left = room(row_names) + 16.0;
        let title = if self.title.is_empty() { 14.0 } else { 38.0 };
        let (r, c) = (self.rows as f64, self.columns as f64);
        let asked = self.size.map(|(w, h)| (f64::from(w), f64::from(h)));
        // Square cells, of a size that fills a picture of ordinary size.
        let cell = (560.0 / r.max(c)).clamp(1.0, 56.0);
        let below = |w: f64| match (column_names.is_empty(), turned(column_names, w)) {
            (true, _) => 12.0,
            (_, true) => room(column_names) + 16.0,
            _ => 26.0,
        };
        let (width, height) = asked.unwrap_or((left + c * cell + bar, title + (r * cell).max(60.0) + below(cell)));
        let mut d = Drawing::new(width, height);
        heading(&mut d, &self.title);
        let cell_width = ((d.width - left - bar) / c).max(0.1);
        let cell_height = ((d.height - title - below(cell_width)) / r).max(0.1);
        let cells = Cells { from: (left, title), cell: (cell_width, cell_height), names: [row_names, column_names] };
        let value =
            |row: usize, column: usize| self.values.get(row * self.columns + column).copied().unwrap_or(f64::NAN);
        cells.draw(&mut d, self.rows, self.columns, |row, column| scale.color(value(row, column)));
        if cell_width >= 34.0 && cell_height >= 16.0 {
            for (i, &v) in self.values.iter().enumerate() {
                let at = (
                    left + ((i % self.columns) as f64 + 0.5) * cell_width,
                    title + ((i / self.columns) as f64 + 0.5) * cell_height,
                );
                let text = fit(&label(v, span).replace('-', "−"), 10.0, cell_width - 2.0);
                d.text(at, &text, 10.0, ink(scale.color(v)), Anchor::Middle);
            }
        }
        // The bar of colours.
        let (x, bottom) = (d.width - bar + 14.0, title + r * cell_height);
        let steps = 64;
        let high = (bottom - title) / f64::from(steps);
        for i in 0..steps {
            let v = scale.hi - span * (f64::from(i) + 0.5) / f64::from(steps);
            let top = title + f64::from(i) * high;
            d.fill((x, top), (x + 14.0, top + high), scale.color(v));
        }
        d.outline((x, title), (x + 14.0, bottom), GREY);
        let marks = [title + 5.0, (title + bottom) / 2.0, bottom - 5.0];
        for (i, (text, at)) in ends.iter().zip(marks).enumerate() {
            if span > 0.0 || i == 1 {
                d.text((x + 20.0, at), text, TICK_EM, BLACK, Anchor::Start);
            }
        }
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_their_colours() {
        let map = HeatMap::new(&Tensor::from([[0.0, 1.0, f64::NAN], [0.5, 0.25, 1.0]])).unwrap();
        let scale = map.scale();
        assert_eq!((scale.color(0.0), scale.color(1.0), scale.color(f64::NAN)), (WHITE, BLUE, Color(170, 170, 170)));
        let signed = HeatMap::new(&Tensor::from([[-2.0, 1.0]])).unwrap().scale();
        assert_eq!((signed.color(-2.0), signed.color(0.0), signed.color(2.0)), (VERMILION, WHITE, BLUE));
        assert_eq!((ink(WHITE), ink(BLUE), ink(Color(0, 0, 80))), (BLACK, WHITE, WHITE));
    }

    #[test]
    fn large_tables_are_means() {
        let (values, r, c) = shrink(&Tensor::<f64>::from_fn([1024, 3], |i| (i / 3) as f64), 1024, 3);
        assert_eq!((r, c, &values[..4]), (512, 3, &[0.5, 0.5, 0.5, 2.5][..]));
        assert!(HeatMap::new(&Tensor::<f32>::zeros([2, 0])).is_err());
        assert!(HeatMap::new(&Tensor::<f32>::zeros([2])).unwrap_err().is_shape());
        for v in [0.0, f64::NAN, f64::MAX, f64::MIN, 5e-324] {
            let map = HeatMap::new(&Tensor::<f64>::full([3, 2], v)).unwrap();
            assert!(map.to_svg().ends_with("</svg>\n"), "{v}");
            assert!(map.row_names(&["a"]).is_err());
        }
    }
}
