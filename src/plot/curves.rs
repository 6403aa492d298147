//! The curves of a training, as a picture.

use super::axis::{Axis, Frame, LABEL_EM, heading};
use super::drawing::{Drawing, Picture, Point, fit};
use super::font;
use super::style::{Anchor, BLACK, BLUE, Color, VERMILION, WHITE};
use crate::model::History;

/// Curves of a history: a panel for each figure, together with its counterpart in validation; epochs from 1 across.
///
/// Training is blue, validation vermilion; points are marked where there are few. Values that are not finite are gaps, and on
/// a logarithmic scale those that are not above 0 too.
///
/// Defaults: no title, linear, as large as the number of panels asks for.
///
/// ```
/// use gradus::prelude::*;
/// # let (x, y) = (Tensor::from([[0.0], [1.0]]), Tensor::from([[1.0], [3.0]]));
/// # let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
/// # model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// let history = model.fit(&x, &y, &Fit::default().epochs(20).verbose(Verbose::Silent))?;
/// let curves = Curves::of(&history).title("a line").size(640, 400).log_scale(true);
/// assert!(curves.to_svg().contains("epoch"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Curves<'a> {
    history: &'a History,
    title: String,
    size: Option<(u32, u32)>,
    log: bool,
}

impl<'a> Curves<'a> {
    /// The curves of all figures of a history.
    pub fn of(history: &'a History) -> Self {
        Curves { history, title: String::new(), size: None, log: false }
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

    /// Whether the panel of the loss has a logarithmic scale; no by default.
    pub fn log_scale(mut self, log: bool) -> Self {
        self.log = log;
        self
    }

    /// Names of figures that share a panel, training first.
    fn panels(&self) -> Vec<Vec<&'a str>> {
        let names: Vec<&str> = self.history.names().collect();
        let mut panels: Vec<Vec<&str>> = Vec::new();
        for name in names {
            let plain = name.strip_prefix("val_");
            match panels.iter_mut().find(|p| plain.is_some() && p.first().copied() == plain) {
                Some(panel) => panel.push(name),
                None => panels.push(vec![name]),
            }
        }
        panels
    }

    fn panel(&self, d: &mut Drawing, from: Point, to: Point, names: &[&str]) {
        let curves: Vec<_> = names.iter().filter_map(|n| Some((*n, self.history.get(n)?))).collect();
        let log = self.log && names.first().is_some_and(|n| n.ends_with("loss"));
        let shown = |v: &&f64| v.is_finite() && (!log || **v > 0.0);
        let values = || curves.iter().flat_map(|(_, v)| v.iter()).filter(shown);
        let (lo, hi) =
            (values().fold(f64::INFINITY, |a, &b| a.min(b)), values().fold(f64::NEG_INFINITY, |a, &b| a.max(b)));
        let empty = lo > hi;
        let y = match (empty, log) {
            (true, _) => Axis::linear(0.0, 1.0, 4),
            (_, true) => Axis::log(lo, hi, 5),
            _ => Axis::linear(lo, hi, 5),
        };
        let longest = curves.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
        let epoch = |i: usize| self.history.epochs.get(i).map_or(i, |&e| e) as f64 + 1.0;
        let last = longest.saturating_sub(1);
        let x = Axis::epochs(epoch(0), epoch(last));
        let name = names.first().copied().unwrap_or("");
        let frame = Frame::new(d, from, to, (x, y), [name, "epoch", ""]);
        if empty {
            let at = ((frame.from.0 + frame.to.0) / 2.0, (frame.from.1 + frame.to.1) / 2.0);
            d.text(at, "no value to draw", LABEL_EM, BLACK, Anchor::Middle);
        }
        for (i, (name, values)) in curves.iter().enumerate() {
            let color = if i == 0 && !name.starts_with("val_") { BLUE } else { VERMILION };
            let points = values.iter().enumerate().map(|(i, v)| shown(&v).then(|| frame.place(epoch(i), *v)));
            for part in runs(points) {
                if part.len() == 1 || values.len() <= 30 {
                    part.iter().for_each(|&at| mark(d, at, color, i));
                }
                if part.len() > 1 {
                    d.path(thin(part), color, 1.8);
                }
            }
        }
        if curves.len() > 1 {
            legend(d, &frame, &curves, epoch);
        }
    }
}

impl Axis {
    /// Whole epochs, from the first to the last.
    fn epochs(first: f64, last: f64) -> Self {
        let whole = Axis::linear(first, last.max(first + 1.0), 6);
        let kept = whole.ticks.into_iter().filter(|(v, _)| v.fract() == 0.0 && (first..=last).contains(v));
        let mut ticks: Vec<_> = kept.collect();
        let step = ticks.windows(2).map(|w| w[1].0 - w[0].0).next().unwrap_or(1.0);
        ticks.retain(|(v, _)| v - first >= step * 0.5);
        ticks.insert(0, (first, first.to_string()));
        Axis::between(first, last, ticks)
    }
}

/// Points without gaps between them.
fn runs(points: impl Iterator<Item = Option<Point>>) -> Vec<Vec<Point>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (point, runs.last_mut()) {
            (Some(point), Some(run)) => run.push(point),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// At most four points for each half pixel across: the first, the lowest, the highest and the last, in their order.
fn thin(points: Vec<Point>) -> Vec<Point> {
    let column = |p: &Point| (p.0 * 2.0) as i64;
    let mut out = Vec::new();
    for same in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
        let lowest = same.iter().enumerate().max_by(by_height).map_or(0, |(i, _)| i);
        let highest = same.iter().enumerate().min_by(by_height).map_or(0, |(i, _)| i);
        let mut kept = [0, lowest, highest, same.len() - 1];
        kept.sort_unstable();
        let mut before = None;
        for i in kept {
            if before != Some(i) {
                out.extend(same.get(i));
            }
            before = Some(i);
        }
    }
    out
}

/// A round mark for the first curve, a square one for others.
fn mark(d: &mut Drawing, (x, y): Point, color: Color, curve: usize) {
    if curve == 0 {
        d.dot((x, y), 3.0, color);
    } else {
        d.fill((x - 2.7, y - 2.7), (x + 2.7, y + 2.7), color);
    }
}

/// Names and colours, in the upper corner that fewer points come near.
fn legend(d: &mut Drawing, frame: &Frame, curves: &[(&str, &[f64])], epoch: impl Fn(usize) -> f64) {
    let room = (frame.to.0 - frame.from.0 - 60.0).max(20.0);
    let names: Vec<_> = curves.iter().map(|(name, _)| fit(name, LABEL_EM, room)).collect();
    let width = names.iter().map(|n| font::width(n, LABEL_EM)).fold(0.0, f64::max) + 44.0;
    let height = 18.0 * names.len() as f64 + 6.0;
    let (left, right) = (frame.from.0 + 8.0, frame.to.0 - 8.0 - width);
    let (top, bottom) = (frame.from.1 + 8.0, frame.to.1 - 8.0 - height);
    let corners = [(right, top), (left, top), (right, bottom), (left, bottom)];
    let near = |&(x, y): &Point| {
        let all = curves.iter().flat_map(|(_, v)| v.iter().enumerate());
        let places = all.map(|(i, &v)| frame.place(epoch(i), v));
        let inside =
            |p: &Point| (x - 6.0..x + width + 6.0).contains(&p.0) && (y - 6.0..y + height + 6.0).contains(&p.1);
        places.filter(inside).count()
    };
    let Some((x, y)) = corners.into_iter().min_by_key(near) else { return };
    d.fill((x, y), (x + width, y + height), WHITE);
    d.outline((x, y), (x + width, y + height), super::style::LIGHT);
    for (i, name) in names.iter().enumerate() {
        let at = y + 12.0 + 18.0 * i as f64;
        let color = if i == 0 { BLUE } else { VERMILION };
        d.path(vec![(x + 8.0, at), (x + 30.0, at)], color, 1.8);
        mark(d, (x + 19.0, at), color, i);
        d.text((x + 37.0, at), name, LABEL_EM, BLACK, Anchor::Start);
    }
}

impl Picture for Curves<'_> {
    fn drawing(&self) -> Drawing {
        let panels = self.panels();
        let columns = match panels.len() {
            0 | 1 => 1,
            2..=4 => 2,
            _ => 3,
        };
        let rows = panels.len().div_ceil(columns).max(1);
        let one = if panels.len() < 2 { (640.0, 420.0) } else { (480.0, 340.0) };
        let title = if self.title.is_empty() { 0.0 } else { 34.0 };
        let asked = self.size.map(|(w, h)| (f64::from(w), f64::from(h)));
        let (width, height) = asked.unwrap_or((one.0 * columns as f64, one.1 * rows as f64 + title));
        let mut d = Drawing::new(width, height);
        let top = heading(&mut d, &self.title);
        if panels.is_empty() {
            d.text((d.width / 2.0, d.height / 2.0), "no epoch to draw", LABEL_EM, BLACK, Anchor::Middle);
        }
        let (w, h) = (d.width / columns as f64, (d.height - top) / rows as f64);
        for (i, names) in panels.iter().enumerate() {
            let (x, y) = ((i % columns) as f64 * w, top + (i / columns) as f64 * h);
            self.panel(&mut d, (x + 4.0, y), (x + w, y + h), names);
        }
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(names: &[&str], epochs: usize) -> History {
        let mut history = History::default();
        for i in 0..epochs {
            let value = |k: usize| (i as f64 * 0.37 + k as f64).sin() + 1.5;
            let figures: Vec<_> = names.iter().enumerate().map(|(k, n)| ((*n).to_owned(), value(k))).collect();
            history.push(i, &figures);
        }
        history
    }

    #[test]
    fn figures_go_with_their_validation() {
        let h = history(&["loss", "accuracy", "val_loss", "val_accuracy", "val_other"], 3);
        let panels = Curves::of(&h).panels();
        assert_eq!(panels, [vec!["loss", "val_loss"], vec!["accuracy", "val_accuracy"], vec!["val_other"]]);
    }

    #[test]
    fn many_epochs_make_few_points() {
        let h = history(&["loss", "val_loss"], 100_000);
        let svg = Curves::of(&h).to_svg();
        assert!(svg.len() < 400_000, "{}", svg.len());
        let points: Vec<Point> = (0..1000).map(|i| (1.0, f64::from(i % 10))).collect();
        assert_eq!(thin(points), [(1.0, 0.0), (1.0, 0.0), (1.0, 9.0)][1..]);
    }

    #[test]
    fn gaps_are_gaps() {
        let h = |v: &[f64]| {
            let mut h = History::default();
            v.iter().enumerate().for_each(|(i, v)| h.push(i, &[("loss".to_owned(), *v)]));
            h
        };
        let lines = |h: &History, log| {
            let svg = Curves::of(h).log_scale(log).to_svg();
            svg.matches("<polyline").count()
        };
        let (whole, broken) = (h(&[1.0, 2.0, 3.0, 4.0, 5.0]), h(&[1.0, 2.0, f64::NAN, 4.0, 5.0]));
        assert_eq!(lines(&broken, false), lines(&whole, false) + 1);
        assert_eq!(lines(&h(&[1.0, 10.0, 0.0, 10.0, 1.0]), true), lines(&h(&[1.0, 10.0, 2.0, 10.0, 1.0]), true) + 1);
        assert!(Curves::of(&h(&[f64::NAN])).to_svg().contains("no value to draw"));
    }
}
