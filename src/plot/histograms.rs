//! How values are distributed.

use super::axis::{Axis, Frame, heading};
use super::drawing::{Drawing, Picture};
use super::style::BLUE;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tensor::{Float, Tensor};

/// A histogram of 30 equally wide bins for each weight of a model, or for the outputs of each layer.
///
/// Bins reach from the least to the greatest value and hold their lower edge, the last also its upper one, as numpy's
/// `histogram` counts. Values that are not finite are left out and counted in the panel's title.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(Dense::new(3)).build(0)?;
/// assert!(Histograms::of_weights(&model)?.to_svg().contains("dense/kernel"));
/// assert!(Histograms::of_activations(&model, &Tensor::zeros([5, 4]))?.title("outputs").to_svg().contains("outputs"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Histograms {
    panels: Vec<Panel>,
    title: String,
    size: Option<(u32, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Panel {
    name: String,
    lo: f64,
    hi: f64,
    counts: [usize; BINS],
    not_finite: usize,
}

const BINS: usize = 30;

impl Histograms {
    /// A panel for each weight of a model, by name.
    ///
    /// # Errors
    /// [`Error::Empty`] for a model without weights.
    pub fn of_weights<T: Float>(model: &Model<T>) -> Result<Self> {
        let values = |range: &std::ops::Range<usize>| model.params().values().get(range.clone()).unwrap_or(&[]);
        let panels = model.params().specs().iter().map(|s| Panel::of(&s.name, values(&s.range)));
        Self::new(panels.collect(), "Histograms::of_weights", "the model's weights")
    }

    /// A panel for the outputs of each layer for samples `x`, by the layer's name.
    ///
    /// # Errors
    /// As [`predict`](Model::predict); [`Error::Empty`] without samples.
    pub fn of_activations<T: Float>(model: &Model<T>, x: &Tensor<T>) -> Result<Self> {
        let outputs = model.activations(x)?;
        let outputs = outputs.iter().filter(|(_, y)| !y.is_empty());
        let panels = outputs.map(|(name, y)| Panel::of(name, y.as_slice()));
        Self::new(panels.collect(), "Histograms::of_activations", "x")
    }

    fn new(panels: Vec<Panel>, op: &'static str, what: &'static str) -> Result<Self> {
        if panels.is_empty() {
            return Err(Error::Empty { op, what });
        }
        Ok(Histograms { panels, title: String::new(), size: None })
    }

    /// A line above the panels.
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

impl Panel {
    fn of<T: Float>(name: &str, values: &[T]) -> Self {
        // The largest numbers are brought to where their distance is finite.
        let finite = || values.iter().map(|v| v.as_f64()).filter(|v| v.is_finite()).map(|v| v.clamp(-1e300, 1e300));
        let (lo, hi) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let (lo, hi) = match () {
            () if lo > hi => (0.0, 1.0),
            () if lo == hi => (lo - 0.5, hi + 0.5),
            () => (lo, hi),
        };
        let edge = |i: usize| if i == BINS { hi } else { lo + (hi - lo) / BINS as f64 * i as f64 };
        let mut counts = [0; BINS];
        for v in finite() {
            let mut bin = (((v - lo) / (hi - lo) * BINS as f64) as usize).min(BINS - 1);
            // The quotient can be off by a rounding beside an edge.
            if v < edge(bin) {
                bin = bin.saturating_sub(1);
            } else if bin + 1 < BINS && v >= edge(bin + 1) {
                bin += 1;
            }
            if let Some(count) = counts.get_mut(bin) {
                *count += 1;
            }
        }
        let not_finite = values.len() - counts.iter().sum::<usize>();
        Panel { name: name.to_owned(), lo, hi, counts, not_finite }
    }
}

impl Picture for Histograms {
    fn drawing(&self) -> Drawing {
        let n = self.panels.len();
        let columns = match n {
            0..=3 => n.max(1),
            4 => 2,
            5..=12 => 3,
            _ => 4,
        };
        let rows = n.div_ceil(columns);
        let title = if self.title.is_empty() { 0.0 } else { 34.0 };
        let asked = self.size.map(|(w, h)| (f64::from(w), f64::from(h)));
        let (width, height) = asked.unwrap_or((340.0 * columns as f64, 250.0 * rows as f64 + title));
        let mut d = Drawing::new(width, height);
        let top = heading(&mut d, &self.title);
        let (w, h) = (d.width / columns as f64, (d.height - top) / rows as f64);
        for (i, panel) in self.panels.iter().enumerate() {
            let (left, up) = ((i % columns) as f64 * w, top + (i / columns) as f64 * h);
            let most = panel.counts.iter().copied().max().unwrap_or(0).max(1);
            let mut y = Axis::linear(0.0, most as f64, 4);
            // Half a value is no count.
            y.ticks.retain(|(v, _)| v.fract() == 0.0);
            if most < 4 {
                y.ticks.iter_mut().for_each(|(v, text)| *text = format!("{v:.0}"));
            }
            let name = match panel.not_finite {
                0 => panel.name.clone(),
                n => format!("{} ({n} not finite)", panel.name),
            };
            let axes = (Axis::linear(panel.lo, panel.hi, 4), y);
            let frame = Frame::new(&mut d, (left, up), (left + w, up + h), axes, [&name, "value", "count"]);
            let edge = |i: usize| panel.lo + (panel.hi - panel.lo) / BINS as f64 * i as f64;
            for (i, &count) in panel.counts.iter().enumerate().filter(|(_, c)| **c > 0) {
                let (from, to) = (frame.place(edge(i), count as f64), frame.place(edge(i + 1), 0.0));
                // At least a line, so that a single value is seen.
                d.fill((from.0, from.1.min(to.1 - 1.0)), ((to.0 - 0.5).max(from.0 + 0.5), to.1), BLUE);
            }
        }
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_as_numpy_counts() {
        // numpy.histogram(numpy.arange(31), 30): one in each bin, two in the last.
        let values: Vec<f64> = (0..31).map(f64::from).collect();
        let mut expected = [1; BINS];
        expected[29] = 2;
        assert_eq!(Panel::of("", &values).counts, expected);
        // numpy.histogram([0.7] * 5, 30): a range of one around it; 0.7 opens bin 15.
        let constant = Panel::of("", &[0.7; 5]);
        assert_eq!((constant.lo, constant.hi, constant.counts[15]), (0.7 - 0.5, 0.7 + 0.5, 5));
        let odd = Panel::of("", &[f64::NAN, f64::INFINITY, 1.0, 2.0]);
        assert_eq!((odd.not_finite, odd.counts[0], odd.counts[29]), (2, 1, 1));
        assert_eq!(Panel::of("", &[f64::MAX, f64::MIN, 0.0]).counts.iter().sum::<usize>(), 3);
        assert_eq!(Panel::of::<f64>("", &[]).counts, [0; BINS]);
    }
}
