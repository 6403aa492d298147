//! Horizontal bars.

use super::axis::{Axis, Frame, LABEL_EM, TICK_EM};
use super::drawing::{Drawing, Picture, fit};
use super::font;
use super::number::label;
use super::style::{Anchor, BLACK, BLUE, GREY, VERMILION};
use crate::error::{Error, Result};

/// Horizontal bars, the first on top, such as the importance of features; negative values go to the left and are vermilion.
///
/// Each value stands beside its bar; one that is not finite has no bar. Defaults: no title, as high as the number of bars
/// asks for.
///
/// ```
/// use gradus::prelude::*;
/// let bars = Bars::new(&["petal width", "sepal width"], &[0.31, 0.02])?.title("importance");
/// assert!(bars.to_svg().contains("petal width"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bars {
    labels: Vec<String>,
    values: Vec<f64>,
    title: String,
    axis: String,
    size: Option<(u32, u32)>,
}

impl Bars {
    /// A bar for each value.
    ///
    /// # Errors
    /// [`Error::Empty`] without values, [`Error::Shape`] if there is not one label a value.
    pub fn new<S: AsRef<str>>(labels: &[S], values: &[f64]) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::Empty { op: "Bars", what: "values" });
        }
        if labels.len() != values.len() {
            let expected = format!("{} labels, one a value", values.len());
            return Err(Error::shape("Bars", expected, labels.len(), "label every value"));
        }
        let labels = labels.iter().map(|l| l.as_ref().to_owned()).collect();
        Ok(Bars { labels, values: values.to_vec(), title: String::new(), axis: String::new(), size: None })
    }

    /// A line above the bars.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What the values are, written below the axis.
    pub fn axis(mut self, axis: impl Into<String>) -> Self {
        self.axis = axis.into();
        self
    }

    /// Width and height in pixels, from 100 to 4096; others are brought into this range.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }
}

impl Picture for Bars {
    fn drawing(&self) -> Drawing {
        let n = self.values.len() as f64;
        let asked = self.size.map(|(w, h)| (f64::from(w), f64::from(h)));
        let (width, height) = asked.unwrap_or((720.0, 90.0 + 26.0 * n));
        let mut d = Drawing::new(width, height);
        let finite = || self.values.iter().copied().filter(|v| v.is_finite());
        let (lo, hi) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
        // Labels take what they need, up to 2/5 of the width.
        let widest = self.labels.iter().map(|l| font::width(&fit(l, LABEL_EM, d.width * 0.4), LABEL_EM));
        let margin = widest.fold(0.0, f64::max);
        let texts: Vec<_> = self.values.iter().map(|&v| label(v, (hi - lo).min(f64::MAX)).replace('-', "−")).collect();
        let beside = texts.iter().map(|t| font::width(t, TICK_EM)).fold(0.0, f64::max) + 6.0;
        // Room beside the longest bars for their values.
        let inner = (d.width - margin - 34.0).max(10.0);
        let grow = 1.0 + beside / (inner - beside).max(beside);
        let x = Axis::linear(if lo < 0.0 { lo * grow } else { 0.0 }, hi * grow, 6);
        let y = Axis::between(0.0, n, Vec::new());
        let (to, from) = ((d.width, d.height), (margin, 0.0));
        let frame = Frame::new(&mut d, from, to, (x, y), [&self.title, &self.axis, ""]);
        let row = (frame.to.1 - frame.from.1) / n;
        let zero = frame.place(0.0, 0.0).0;
        // Rows too low for letters go without, but for every few.
        let every = ((TICK_EM + 2.0) / row).ceil().max(1.0) as usize;
        for (i, ((name, &value), text)) in self.labels.iter().zip(&self.values).zip(&texts).enumerate() {
            let middle = frame.from.1 + row * (i as f64 + 0.5);
            let end = if value.is_finite() { frame.place(value, 0.0).0 } else { zero };
            let color = if value < 0.0 { VERMILION } else { BLUE };
            if end != zero {
                d.fill((zero.min(end), middle - row * 0.36), (zero.max(end), middle + row * 0.36), color);
            }
            if i.is_multiple_of(every) {
                let name = fit(name, LABEL_EM, d.width * 0.4);
                d.text((frame.from.0 - 8.0, middle), &name, LABEL_EM, BLACK, Anchor::End);
                let (at, anchor) = if value < 0.0 { (end - 5.0, Anchor::End) } else { (end + 5.0, Anchor::Start) };
                d.text((at, middle), text, TICK_EM, BLACK, anchor);
            }
        }
        d.path(vec![(zero, frame.from.1), (zero, frame.to.1)], GREY, 1.0);
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_value_that_is_not_zero() {
        let bars = |v: &[f64]| Bars::new(&["a", "b", "c", "d"], v).unwrap().to_svg().matches("#0072B2").count();
        assert_eq!(bars(&[1.0, 2.0, 3.0, 4.0]), 4);
        assert_eq!(bars(&[1.0, 0.0, f64::NAN, f64::INFINITY]), 1);
        let svg = Bars::new(&["a", "b"], &[-1.0, f64::MAX]).unwrap().to_svg();
        assert_eq!(svg.matches("#D55E00").count() + svg.matches("#0072B2").count(), 1, "−1 is nothing beside f64::MAX");
        assert!(Bars::new(&["a"], &[]).is_err() && Bars::new(&["a"], &[1.0, 2.0]).unwrap_err().is_shape());
        let many: Vec<_> = (0..10_000).map(f64::from).collect();
        let names: Vec<_> = many.iter().map(f64::to_string).collect();
        assert!(Bars::new(&names, &many).unwrap().to_svg().matches("<text").count() < 1000);
    }
}
