//! Axes: which values are marked, where they lie, and the frame around curves and bars.

use super::drawing::{Drawing, Point, fit};
use super::font;
use super::number::label;
use super::style::{Anchor, BLACK, GREY, LIGHT};

pub(super) const TICK_EM: f64 = 11.0;
pub(super) const LABEL_EM: f64 = 12.0;
pub(super) const TITLE_EM: f64 = 15.0;

/// The values along one direction.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    lo: f64,
    hi: f64,
    log: bool,
    /// Marked values and how they are written.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From `lo` to `hi`, both finite, widened to hold about `count` round values.
    pub fn linear(lo: f64, hi: f64, count: usize) -> Self {
        // A constant stands in the middle of something.
        let pad = if hi > lo { 0.0 } else { (lo.abs() * 0.1).max(f64::MIN_POSITIVE.max(lo.abs() * 1e-9)) };
        let pad = if lo == 0.0 && hi == 0.0 { 1.0 } else { pad };
        // What is near the ends of f64 is drawn as if it were not.
        let (lo, hi) = ((lo - pad).clamp(-1e300, 1e300), (hi + pad).clamp(-1e300, 1e300));
        let step = step((hi - lo).max(f64::MIN_POSITIVE), count);
        let (first, last) = ((lo / step + 1e-9).floor(), (hi / step - 1e-9).ceil());
        // Values that lie closer than the digits of f64 tell apart have no round values between them.
        let marks = if last - first <= 50.0 && last > first { (last - first) as usize } else { 0 };
        if marks == 0 {
            let ticks = vec![(lo, label(lo, hi - lo)), (hi, label(hi, hi - lo))];
            return Axis { lo, hi, log: false, ticks };
        }
        let at = |i: usize| (first + i as f64) * step;
        let ticks = (0..=marks).map(|i| (at(i), round_label(at(i), step))).collect();
        Axis { lo: first * step, hi: last * step, log: false, ticks }
    }

    /// From `lo` to `hi`, both above 0, widened to powers of ten, some of which are marked.
    pub fn log(lo: f64, hi: f64, count: usize) -> Self {
        let first = (lo.log10() + 1e-9).floor();
        let last = (hi.log10() - 1e-9).ceil().max(first + 1.0);
        let (first, last) = (first.max(-307.0), last.min(307.0).max(first.max(-307.0) + 1.0));
        let every = ((last - first) / count.max(1) as f64).ceil().max(1.0);
        let marks = ((last - first) / every).floor() as i32;
        let power = |i: i32| first + f64::from(i) * every;
        let ticks = (0..=marks).map(|i| (10f64.powf(power(i)), power_label(power(i)))).collect();
        Axis { lo: 10f64.powf(first), hi: 10f64.powf(last), log: true, ticks }
    }

    /// From `lo` to `hi` exactly, with these marks.
    pub fn between(lo: f64, hi: f64, ticks: Vec<(f64, String)>) -> Self {
        Axis { lo, hi, log: false, ticks }
    }

    /// Where a value lies between the two ends, from 0 to 1.
    pub fn part(&self, value: f64) -> f64 {
        let part = match self.log {
            true => (value.log10() - self.lo.log10()) / (self.hi.log10() - self.lo.log10()),
            false => (value - self.lo) / (self.hi - self.lo),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.5 }
    }

    /// The width of the widest label.
    pub fn width(&self) -> f64 {
        self.ticks.iter().map(|(_, text)| font::width(text, TICK_EM)).fold(0.0, f64::max)
    }
}

/// 1, 2 or 5 times a power of ten, so that about `count` of them make `span`.
fn step(span: f64, count: usize) -> f64 {
    let rough = span / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor()).max(f64::MIN_POSITIVE);
    let times = [1.0, 2.0, 5.0].into_iter().find(|t| t * power >= rough * 0.999).unwrap_or(10.0);
    times * power
}

fn round_label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if value != 0.0 && (value.abs() >= 1e6 || step < 1e-5) {
        let digits = (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 9.0) as usize;
        return minus(&format!("{value:.digits$e}"));
    }
    let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 9.0) as usize;
    minus(&format!("{value:.decimals$}"))
}

fn power_label(power: f64) -> String {
    if (-4.0..=5.0).contains(&power) {
        let decimals = (-power).max(0.0) as usize;
        return format!("{:.decimals$}", 10f64.powf(power));
    }
    minus(&format!("1e{power}"))
}

/// With a minus sign as wide as a digit.
fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// Where curves or bars are drawn: a rectangle between two axes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub from: Point,
    pub to: Point,
    pub x: Axis,
    pub y: Axis,
}

impl Frame {
    /// The place of a pair of values.
    pub fn place(&self, x: f64, y: f64) -> Point {
        let ((left, top), (right, bottom)) = (self.from, self.to);
        (left + self.x.part(x) * (right - left), bottom - self.y.part(y) * (bottom - top))
    }

    /// Fits the axes into a part of the picture, and draws grid, ticks, labels and title.
    pub fn new(d: &mut Drawing, from: Point, to: Point, axes: (Axis, Axis), texts: [&str; 3]) -> Self {
        let [title, across, up] = texts;
        let (x, y) = axes;
        let left = from.0 + y.width() + if up.is_empty() { 16.0 } else { 36.0 };
        let top = from.1 + if title.is_empty() { 12.0 } else { 34.0 };
        let (right, bottom) = ((to.0 - 18.0).max(left + 10.0), (to.1 - 46.0).max(top + 10.0));
        let frame = Frame { from: (left, top), to: (right, bottom), x, y };
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        if !title.is_empty() {
            let title = fit(title, LABEL_EM + 1.0, to.0 - from.0 - 20.0);
            let half = font::width(&title, LABEL_EM + 1.0) / 2.0;
            // Above the frame, but within the part where it is long.
            let at = middle.0.min(to.0 - 8.0 - half).max(from.0 + 8.0 + half);
            d.text((at, from.1 + 18.0), &title, LABEL_EM + 1.0, BLACK, Anchor::Middle);
        }
        let mut free = f64::NEG_INFINITY;
        for (value, text) in &frame.x.ticks {
            let at = left + frame.x.part(*value) * (right - left);
            let half = font::width(text, TICK_EM) / 2.0;
            d.path(vec![(at, top), (at, bottom)], LIGHT, 1.0);
            d.path(vec![(at, bottom), (at, bottom + 4.0)], GREY, 1.0);
            // Labels that would touch the one before are left out.
            if at - half > free {
                d.text((at, bottom + 14.0), text, TICK_EM, GREY, Anchor::Middle);
                free = at + half + 6.0;
            }
        }
        let mut free = f64::INFINITY;
        for (value, text) in &frame.y.ticks {
            let at = bottom - frame.y.part(*value) * (bottom - top);
            d.path(vec![(left, at), (right, at)], LIGHT, 1.0);
            d.path(vec![(left - 4.0, at), (left, at)], GREY, 1.0);
            if at + TICK_EM < free {
                d.text((left - 8.0, at), text, TICK_EM, GREY, Anchor::End);
                free = at;
            }
        }
        d.outline(frame.from, frame.to, GREY);
        d.text((middle.0, bottom + 32.0), &fit(across, LABEL_EM, right - left), LABEL_EM, BLACK, Anchor::Middle);
        d.turned((from.0 + 14.0, middle.1), &fit(up, LABEL_EM, bottom - top), LABEL_EM, BLACK, Anchor::Middle);
        frame
    }
}

/// The title of a whole picture; returns where the rest begins.
pub(super) fn heading(d: &mut Drawing, title: &str) -> f64 {
    if title.is_empty() {
        return 0.0;
    }
    let text = fit(title, TITLE_EM, d.width - 20.0);
    d.text((d.width / 2.0, 20.0), &text, TITLE_EM, BLACK, Anchor::Middle);
    34.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, t)| t.as_str()).collect()
    }

    #[test]
    fn round_values_are_marked() {
        assert_eq!(texts(&Axis::linear(0.0, 1.0, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Axis::linear(-3.2, 7.0, 4)), ["−5", "0", "5", "10"]);
        assert_eq!(texts(&Axis::linear(0.123, 0.127, 4)), ["0.123", "0.124", "0.125", "0.126", "0.127"]);
        assert_eq!(texts(&Axis::linear(0.0, 4e6, 4)), ["0", "1e6", "2e6", "3e6", "4e6"]);
        assert_eq!(texts(&Axis::log(0.003, 2.0, 5)), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(texts(&Axis::log(1e-12, 1e-6, 3)), ["1e−12", "1e−10", "1e−8", "1e−6"]);
    }

    #[test]
    fn any_range_has_an_axis() {
        let ends = [0.0, 1.0, -1.0, 1e-300, 5e-324, f64::MAX, f64::MIN, 1.0 + f64::EPSILON];
        for (lo, hi) in ends.iter().flat_map(|a| ends.iter().map(move |b| (a.min(*b), a.max(*b)))) {
            let axis = Axis::linear(lo, hi, 5);
            assert!((2..60).contains(&axis.ticks.len()), "{lo} {hi} {:?}", axis.ticks);
            assert!((0.0..=1.0).contains(&axis.part(lo)) && axis.part(hi) >= axis.part(lo), "{lo} {hi}");
            if lo > 0.0 {
                let axis = Axis::log(lo, hi, 5);
                assert!((2..60).contains(&axis.ticks.len()), "{lo} {hi} {:?}", axis.ticks);
            }
        }
    }
}
