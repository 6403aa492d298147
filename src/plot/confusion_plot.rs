//! A confusion matrix as colours.

use super::axis::{LABEL_EM, heading};
use super::drawing::{Drawing, Picture};
use super::font;
use super::heat_map::{Cells, ink, mix, room, turned};
use super::style::{Anchor, BLACK, BLUE};
use crate::metrics::ConfusionMatrix;

/// A confusion matrix as cells: true classes down, predicted classes across, darker for a greater share of the true class.
///
/// With up to 30 classes each cell holds its count and, beneath, its share of the true class in percent. Names of classes are
/// those of [`ConfusionMatrix::class_names`].
///
/// scikit-learn `ConfusionMatrixDisplay`, normalised over rows.
///
/// ```
/// use gradus::prelude::*;
/// let matrix = ConfusionMatrix::new(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?.class_names(&["cat", "dog"])?;
/// let svg = ConfusionPlot::of(&matrix).title("pets").to_svg();
/// assert!(svg.contains("cat") && svg.contains("50%") && svg.contains("100%"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfusionPlot<'a> {
    matrix: &'a ConfusionMatrix,
    title: String,
    size: Option<(u32, u32)>,
}

/// Up to this many classes, cells have text.
const WITH_TEXT: usize = 30;

impl<'a> ConfusionPlot<'a> {
    /// The cells of a matrix.
    pub fn of(matrix: &'a ConfusionMatrix) -> Self {
        ConfusionPlot { matrix, title: String::new(), size: None }
    }

    /// A line above the cells.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Width and height in pixels, from 100 to 4096; others are brought into this range.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }
}

/// A count in at most five characters.
fn short(count: usize) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        1_000_000..1_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{:.0e}", count as f64),
    }
}

/// A part of 1 in percent: 0 and 100 only where they are exact.
fn percent(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0%".into(),
        p if p < 1.0 => "<1%".into(),
        p if p < 100.0 => format!("{:.0}%", p.min(99.0)),
        _ => "100%".into(),
    }
}

impl Picture for ConfusionPlot<'_> {
    fn drawing(&self) -> Drawing {
        // More classes than this have cells smaller than a pixel.
        let n = self.matrix.classes().min(1024);
        let names = self.matrix.names().get(..n).unwrap_or(&[]);
        let cell = match n {
            0..=10 => 56.0,
            11..=WITH_TEXT => 36.0,
            _ => (1080.0 / n as f64).max(1.0),
        };
        let left = room(names) + 42.0;
        let top = if self.title.is_empty() { 14.0 } else { 38.0 };
        let below = |w: f64| if turned(names, w) { room(names) + 42.0 } else { 52.0 };
        let side = n as f64 * cell;
        let asked = self.size.map(|(w, h)| (f64::from(w), f64::from(h)));
        let (width, height) = asked.unwrap_or((left + side + 16.0, top + side + below(cell)));
        let mut d = Drawing::new(width, height);
        heading(&mut d, &self.title);
        let w = ((d.width - left - 16.0) / n as f64).max(0.1);
        let h = ((d.height - top - below(w)) / n as f64).max(0.1);
        let totals: Vec<_> = (0..n).map(|t| self.matrix.totals(t).0).collect();
        let count = |t: usize, p: usize| self.matrix.get(t, p).unwrap_or(0);
        let share = |t: usize, p: usize| count(t, p) as f64 / totals.get(t).map_or(1, |&n| n.max(1)) as f64;
        let cells = Cells { from: (left, top), cell: (w, h), names: [names, names] };
        cells.draw(&mut d, n, n, |t, p| mix(BLUE, share(t, p)));
        let em = (h * 0.26).min(w * 0.3).min(13.0);
        if n <= WITH_TEXT && em >= 6.0 {
            for (t, p) in (0..n).flat_map(|t| (0..n).map(move |p| (t, p))) {
                let text = short(count(t, p));
                // Empty cells say so quietly: a count alone.
                let color = ink(mix(BLUE, share(t, p)));
                let at = (left + (p as f64 + 0.5) * w, top + (t as f64 + 0.5) * h);
                let fits = em.min(em * (w - 2.0) / font::width(&text, em).max(1.0));
                if count(t, p) == 0 {
                    d.text(at, &text, fits, super::style::GREY, Anchor::Middle);
                    continue;
                }
                d.text((at.0, at.1 - em * 0.62), &text, fits, color, Anchor::Middle);
                d.text((at.0, at.1 + em * 0.68), &percent(share(t, p)), em * 0.86, color, Anchor::Middle);
            }
        }
        let middle = (left + n as f64 * w / 2.0, top + n as f64 * h / 2.0);
        d.text((middle.0, d.height - 16.0), "predicted class", LABEL_EM, BLACK, Anchor::Middle);
        d.turned((16.0, middle.1), "true class", LABEL_EM, BLACK, Anchor::Middle);
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_are_short_and_true() {
        assert_eq!([9999, 12_345, 7_654_321].map(short), ["9999", "12k", "7M"]);
        assert!(short(usize::MAX).len() <= 5);
        assert_eq!([0.0, 0.0001, 0.5, 0.999, 1.0].map(percent), ["0%", "<1%", "50%", "99%", "100%"]);
    }

    #[test]
    fn text_up_to_thirty_classes() {
        let texts = |n: usize| {
            let classes: Vec<_> = (0..n).collect();
            let matrix = ConfusionMatrix::new(&classes, &classes, n).unwrap();
            ConfusionPlot::of(&matrix).to_svg().matches("<text").count()
        };
        // A count in every cell, a share on the diagonal, names twice, two axes.
        assert_eq!(texts(30), 30 * 30 + 30 + 60 + 2);
        assert!(texts(31) <= 64 && texts(1) == 1 + 1 + 2 + 2);
    }
}
