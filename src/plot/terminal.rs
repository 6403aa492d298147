//! Curves drawn with characters.

use std::fmt;

use super::number::label;
use crate::error::{Error, Result};
use crate::model::History;

/// Curves of a history, to be printed: epochs from 1 across, values up.
///
/// Made by [`History::plot`]. Defaults: `loss` and, if there is one, `val_loss`; 72 columns by 16 lines, drawn in Braille
/// dots, which have two columns and four rows a character. The first curve is solid, further ones are broken; with
/// [`ascii`](Self::ascii) each has a character of its own. Values that are not finite are gaps.
///
/// ```
/// use gradus::prelude::*;
/// let (x, y) = (Tensor::from([[0.0], [1.0]]), Tensor::from([[1.0], [3.0]]));
/// let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
/// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// let history = model.fit(&x, &y, &Fit::default().epochs(50).verbose(Verbose::Silent))?;
/// println!("{}", history.plot());
/// println!("{}", history.plot().figures(&["loss"])?.size(60, 12).ascii(true));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TerminalPlot<'a> {
    history: &'a History,
    names: Vec<&'a str>,
    width: usize,
    height: usize,
    ascii: bool,
}

impl History {
    /// The curves of `loss` and `val_loss`, to be printed in a terminal; other figures by
    /// [`figures`](TerminalPlot::figures).
    pub fn plot(&self) -> TerminalPlot<'_> {
        let names = self.names().filter(|n| matches!(*n, "loss" | "val_loss")).collect();
        TerminalPlot { history: self, names, width: 72, height: 16, ascii: false }
    }
}

impl<'a> TerminalPlot<'a> {
    /// The figures to draw, by name.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that the history does not have.
    pub fn figures(mut self, names: &[&str]) -> Result<Self> {
        let known: Vec<&'a str> = self.history.names().collect();
        let find = |name: &&str| {
            known.iter().copied().find(|n| n == name).ok_or_else(|| {
                let expected = format!("one of {}", known.join(", "));
                Error::argument("History::plot", "figures", expected, name, "see history.names()")
            })
        };
        self.names = names.iter().map(find).collect::<Result<_>>()?;
        Ok(self)
    }

    /// Columns and lines in all, axes and legend included; 72 by 16 by default. Below 30 by 6 and above 1000 by 1000 the
    /// nearest of these is taken.
    pub fn size(mut self, columns: usize, lines: usize) -> Self {
        self.width = columns.clamp(30, 1000);
        self.height = lines.clamp(6, 1000);
        self
    }

    /// Whether only ASCII characters are used; no by default.
    pub fn ascii(mut self, ascii: bool) -> Self {
        self.ascii = ascii;
        self
    }
}

/// The characters of the curves in ASCII, in turn.
const MARKS: [char; 6] = ['*', 'o', '+', 'x', '#', '@'];

/// The dots of a character cell: one bit each in Braille, or in ASCII the number of the curve plus one.
struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<u8>,
    ascii: bool,
}

impl Canvas {
    fn dots(&self) -> (usize, usize) {
        if self.ascii { (self.columns, self.rows) } else { (self.columns * 2, self.rows * 4) }
    }

    fn set(&mut self, x: usize, y: usize, curve: usize) {
        // The bits of U+2800 by row and column of the dot.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (column, row) = if self.ascii { (x, y) } else { (x / 2, y / 4) };
        if let Some(cell) = self.cells.get_mut(row * self.columns + column) {
            if self.ascii {
                *cell = (curve % MARKS.len()) as u8 + 1;
            } else {
                *cell |= BITS[y % 4][x % 2];
            }
        }
    }

    fn line(&self, row: usize) -> String {
        let cells = self.cells.iter().skip(row * self.columns).take(self.columns);
        let text: String = cells
            .map(|&c| match c {
                0 => ' ',
                c if self.ascii => MARKS[usize::from(c - 1) % MARKS.len()],
                c => char::from_u32(0x2800 + u32::from(c)).unwrap_or(' '),
            })
            .collect();
        text.trim_end().to_owned()
    }

    /// One curve; `place` gives the part of the height, from the bottom, at which a value lies.
    fn curve(&mut self, number: usize, values: &[f64], place: impl Fn(f64) -> f64) {
        let (w, h) = self.dots();
        let last = values.len().saturating_sub(1).max(1);
        let (mut before, mut drawn) = (None, 0usize);
        for (i, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                before = None;
                continue;
            }
            // Epochs are spread over the whole width; many may share a column.
            let x = (i as f64 / last as f64 * (w - 1) as f64).round();
            let y = ((1.0 - place(value)) * (h - 1) as f64).round();
            let (x0, y0) = before.unwrap_or((x, y));
            let steps = (x - x0).abs().max((y - y0).abs()).max(1.0) as usize;
            for step in usize::from(before.is_some())..=steps {
                let part = step as f64 / steps as f64;
                let (dx, dy) = ((x0 + (x - x0) * part).round() as usize, (y0 + (y - y0) * part).round() as usize);
                // The first curve is solid, the second has dashes of three dots, the third of two …
                let dash = 4usize.saturating_sub(number).max(1);
                if self.ascii || number == 0 || drawn % (dash + 2) < dash || values.len() == 1 {
                    self.set(dx, dy, number);
                }
                drawn += usize::from(x != x0 || y != y0);
            }
            before = Some((x, y));
        }
    }
}

/// The least and the largest finite value.
fn range<'v>(values: impl Iterator<Item = &'v f64>) -> Option<(f64, f64)> {
    values
        .filter(|v| v.is_finite())
        .fold(None, |r, &v| r.map_or(Some((v, v)), |(lo, hi): (f64, f64)| Some((lo.min(v), hi.max(v)))))
}

/// At most `width` characters of a name that may be anyone's: no control characters, which could act on a terminal.
fn clean(name: &str, width: usize) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).take(width).collect()
}

impl fmt::Display for TerminalPlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let curves: Vec<_> = self.names.iter().filter_map(|n| Some((*n, self.history.get(n)?))).collect();
        let Some((lo, hi)) = range(curves.iter().flat_map(|(_, v)| v.iter())) else {
            return writeln!(f, "nothing to draw: no finite value of {}", clean(&self.names.join(", "), self.width));
        };
        // Halves, so that the distance of the largest numbers is finite too.
        let span = hi / 2.0 - lo / 2.0;
        let place = |v: f64| if span > 0.0 { ((v / 2.0 - lo / 2.0) / span).clamp(0.0, 1.0) } else { 0.5 };
        let marks = [(0.0, hi), (0.5, lo / 2.0 + hi / 2.0), (1.0, lo)];
        let labels = marks.map(|(_, v)| label(v, span * 2.0));
        let margin = labels.iter().map(String::len).max().unwrap_or(0);
        // A line for the legend, two for the epochs.
        let (columns, rows) = (self.width.saturating_sub(margin + 2).max(10), self.height - 3);
        let mut canvas = Canvas { columns, rows, cells: vec![0; columns * rows], ascii: self.ascii };
        for (number, (_, values)) in curves.iter().enumerate().rev() {
            canvas.curve(number, values, place);
        }

        let legend = curves.iter().enumerate().map(|(i, (name, _))| {
            let braille = ["⠒⠒⠒⠒", "⠒⠂⠐⠒", "⠒ ⠒ ", "⠂⠂⠂⠂"];
            let mark = if self.ascii { MARKS[i % MARKS.len()].to_string() } else { braille[i.min(3)].to_owned() };
            format!("{mark} {}", clean(name, 40))
        });
        let legend: String = legend.collect::<Vec<_>>().join("   ").chars().take(columns).collect();
        writeln!(f, "{:margin$}  {legend}", "")?;
        let (tick, edge, corner, flat) = if self.ascii { ('+', '|', '+', '-') } else { ('┤', '│', '└', '─') };
        for row in 0..rows {
            let at = marks.iter().position(|(part, _)| (part * (rows - 1) as f64).round() as usize == row);
            // A constant has one label, in the middle.
            let shown = at.filter(|&i| span > 0.0 || i == 1);
            let (text, edge) = shown.map_or(("", edge), |i| (labels[i].as_str(), tick));
            writeln!(f, "{}", format!("{text:>margin$} {edge}{}", canvas.line(row)).trim_end())?;
        }
        writeln!(f, "{:margin$} {corner}{}", "", flat.to_string().repeat(columns))?;
        let epochs = curves.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
        let number = |i: usize| self.history.epochs.get(i).map_or(i, |&e| e).saturating_add(1).to_string();
        let (first, last) = (number(0), number(epochs.saturating_sub(1)));
        if epochs == 1 {
            return writeln!(f, "{:margin$}  epoch {first}", "");
        }
        let between = columns.saturating_sub(first.len() + last.len());
        writeln!(f, "{:margin$}  {first}{:^between$}{last}", "", "epoch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(curves: &[(&str, &[f64])]) -> History {
        let mut history = History::default();
        for i in 0..curves[0].1.len() {
            let figures: Vec<_> = curves.iter().map(|(n, v)| ((*n).to_owned(), v[i])).collect();
            history.push(i, &figures);
        }
        history
    }

    #[test]
    fn a_falling_line_in_ascii() {
        let h = history(&[("loss", &[4.0, 3.0, 2.0, 1.0, 0.0])]);
        let expected = [
            "      * loss",
            "4.00 +**",
            "     |  ***",
            "     |     *****",
            "2.00 +          *****",
            "     |               ***",
            "     |                  ****",
            "0.00 +                      ****",
            "     +--------------------------",
            "      1         epoch          5",
        ];
        let text = h.plot().size(32, 10).ascii(true).to_string();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "\n{text}");
    }

    #[test]
    fn braille_has_eight_dots_a_character() {
        let h = history(&[("loss", &[1.0, 0.0]), ("val_loss", &[1.0, 1.0])]);
        let text = h.plot().size(40, 8).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 8, "{text}");
        assert!(lines[0].contains("loss") && lines[0].contains("val_loss"), "{text}");
        assert!(lines.iter().all(|l| l.chars().count() <= 40), "{text}");
        // The upper dots of the first line of cells hold the broken curve: three dots, two left out.
        let top: Vec<char> = lines[1].chars().skip_while(|c| *c != '┤').skip(1).collect();
        let dots: String = top[10..]
            .iter()
            .map(|&c| if c == ' ' { 0 } else { c as u32 - 0x2800 } & 0x09)
            .flat_map(|b| [if b & 1 > 0 { 'x' } else { '.' }, if b & 8 > 0 { 'x' } else { '.' }])
            .collect();
        assert!(dots.contains("xxx..xxx..xxx"), "{dots}\n{text}");
    }

    #[test]
    fn gaps_constants_and_single_epochs() {
        let h = history(&[("loss", &[1.0, f64::NAN, 3.0, f64::INFINITY, 2.0])]);
        let text = h.plot().size(30, 9).ascii(true).to_string();
        assert_eq!(text.lines().skip(1).take(6).map(|l| l.matches('*').count()).sum::<usize>(), 3, "{text}");
        let one = history(&[("loss", &[0.25])]);
        let text = one.plot().to_string();
        assert!(text.contains("0.2500 ┤") && text.contains("epoch 1\n"), "{text}");
        assert_eq!(text.chars().filter(|c| ('\u{2801}'..='\u{28FF}').contains(c) && *c != '⠒').count(), 1, "{text}");
        let constant = history(&[("loss", &[7.0; 9])]);
        let text = constant.plot().ascii(true).to_string();
        let line = text.lines().find(|l| l.starts_with("7.0000 +")).unwrap();
        assert_eq!(line, format!("7.0000 +{}", "*".repeat(64)), "{text}");
        let none = history(&[("loss", &[f64::NAN, f64::INFINITY])]);
        assert!(none.plot().to_string().contains("no finite value of loss"));
        assert!(History::default().plot().to_string().contains("nothing to draw"));
    }

    #[test]
    fn any_number_of_epochs_and_any_value() {
        let many: Vec<f64> = (0..100_000).map(|i| f64::from(i).sin() / (1.0 + f64::from(i) / 1e4)).collect();
        let text = history(&[("loss", &many)]).plot().to_string();
        assert_eq!(text.lines().count(), 16);
        assert!(text.contains("100000"), "{text}");
        let extreme = history(&[("loss", &[f64::MAX, f64::MIN, 0.0, f64::MIN_POSITIVE, 5e-324])]);
        for ascii in [false, true] {
            let text = extreme.plot().ascii(ascii).to_string();
            assert!(text.contains("1.80e308") && text.contains("-1.80e308"), "{text}");
        }
        let tiny = history(&[("loss", &[5e-324, 0.0])]);
        assert_eq!(tiny.plot().size(usize::MAX, 0).to_string().lines().count(), 6);
    }

    #[test]
    fn names_are_checked_and_cleaned() {
        let h = history(&[("loss", &[1.0, 2.0]), ("bell\u{7}\u{1b}[2J\nline", &[1.0, 2.0])]);
        let error = h.plot().figures(&["acuracy"]).unwrap_err().to_string();
        assert!(error.contains("loss") && error.contains("acuracy"), "{error}");
        let text = h.plot().figures(&["bell\u{7}\u{1b}[2J\nline"]).unwrap().to_string();
        assert!(text.contains("bell??[2J?line") && text.lines().count() == 16, "{text}");
    }
}
