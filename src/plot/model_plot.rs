//! A model as boxes and arrows.

use super::axis::{LABEL_EM, TICK_EM, heading};
use super::drawing::{Drawing, Picture, Point, fit};
use super::font;
use super::style::{Anchor, BLACK, BLUE, Color, GREY, VERMILION, WHITE};
use crate::error::Result;
use crate::graph::Outline;
use crate::model::{Model, thousands};
use crate::tensor::Float;

/// The layers of a model from top to bottom: a box with name, class, output shape and number of parameters each; layers
/// inside a container in a frame, with the shortcut of a `Residual` beside them. Long models go on in a further column.
///
/// Keras `plot_model(show_shapes=True, expand_nested=True)`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(Residual::new().add(Dense::new(4))).add(Dense::new(2)).build(0)?;
/// assert!(ModelPlot::of(&model)?.title("a model").to_svg().contains("20 parameters"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelPlot {
    parts: Vec<Node>,
    title: String,
    size: Option<(u32, u32)>,
}

/// A layer with its texts.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    facts: String,
    parts: Vec<Node>,
    shortcut: bool,
}

const HEIGHT: f64 = 46.0;
const GAP: f64 = 22.0;
const PAD: f64 = 14.0;
/// Room beside the layers of a `Residual` for its shortcut, and below them for its sum.
const SHORTCUT: f64 = 26.0;
const SUM: f64 = 34.0;
/// Where a new column begins.
const COLUMN: f64 = 1200.0;

impl ModelPlot {
    /// The layers of a model.
    ///
    /// # Errors
    /// None today.
    pub fn of<T: Float>(model: &Model<T>) -> Result<Self> {
        let count = |range: &std::ops::Range<usize>| {
            let specs = model.params().specs().get(range.clone()).unwrap_or(&[]);
            specs.iter().map(|s| s.range.len()).sum::<usize>()
        };
        let input =
            Node { name: "input".into(), facts: model.input_shape().of_samples(), parts: Vec::new(), shortcut: false };
        let layers = model.outline();
        let parts = std::iter::once(input).chain(layers.iter().map(|p| Node::of(p, &count))).collect();
        Ok(ModelPlot { parts, title: String::new(), size: None })
    }

    /// A line above the model.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Width and height in pixels, from 100 to 4096; others are brought into this range. The drawing is made to fit.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }
}

impl Node {
    fn of(part: &Outline, count: &impl Fn(&std::ops::Range<usize>) -> usize) -> Self {
        let parameters = match count(&part.params) {
            0 => "no parameters".to_owned(),
            1 => "1 parameter".to_owned(),
            n => format!("{} parameters", thousands(n)),
        };
        Node {
            name: format!("{} ({})", part.name, part.class),
            facts: format!("{} · {parameters}", part.output.of_samples()),
            parts: inside(part).map(|p| Node::of(p, count)).collect(),
            shortcut: part.class == "Residual",
        }
    }

    /// The width that the texts ask for.
    fn width(&self) -> f64 {
        let own = font::width(&fit(&self.name, LABEL_EM, 420.0), LABEL_EM);
        let own = own.max(font::width(&fit(&self.facts, TICK_EM, 420.0), TICK_EM)) + 24.0;
        let beside = 2.0 * PAD + if self.shortcut { SHORTCUT } else { 0.0 };
        self.parts.iter().map(|p| p.width() + beside).fold(own, f64::max)
    }

    fn height(&self) -> f64 {
        if self.parts.is_empty() {
            return HEIGHT;
        }
        let inner: f64 = self.parts.iter().map(|p| p.height() + GAP).sum();
        HEIGHT + inner + PAD + if self.shortcut { SUM } else { 0.0 }
    }

    fn draw(&self, d: &mut Drawing, (x, y): Point, width: f64, depth: usize) {
        let bottom = y + self.height();
        let fill = match (self.parts.is_empty(), depth % 2) {
            (true, _) => Color(222, 236, 246),
            (_, 0) => Color(246, 246, 246),
            _ => WHITE,
        };
        d.fill((x, y), (x + width, bottom), fill);
        d.outline((x, y), (x + width, bottom), if self.parts.is_empty() { BLUE } else { GREY });
        let middle = x + width / 2.0;
        d.text((middle, y + 15.0), &fit(&self.name, LABEL_EM, width - 12.0), LABEL_EM, BLACK, Anchor::Middle);
        d.text((middle, y + 32.0), &fit(&self.facts, TICK_EM, width - 12.0), TICK_EM, BLACK, Anchor::Middle);
        if self.parts.is_empty() {
            return;
        }
        let side = if self.shortcut { SHORTCUT } else { 0.0 };
        let (inner, inner_width) = (x + PAD, width - 2.0 * PAD - side);
        let center = inner + inner_width / 2.0;
        let mut at = y + HEIGHT;
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 || self.shortcut {
                arrow(d, (center, at), (center, at + GAP), GREY);
            }
            part.draw(d, (inner, at + GAP), inner_width, depth + 1);
            at += part.height() + GAP;
        }
        if self.shortcut {
            // x goes around the layers and is added to what they give.
            let sum = (center, at + SUM - 8.0);
            let outer = x + width - PAD - 4.0;
            let from = (center, y + HEIGHT + 3.0);
            arrow(d, (center, at), (center, sum.1 - 8.0), GREY);
            let around = vec![from, (outer, from.1), (outer, sum.1), (sum.0 + 14.0, sum.1)];
            d.path(around, VERMILION, 1.6);
            arrow(d, (sum.0 + 20.0, sum.1), (sum.0 + 8.0, sum.1), VERMILION);
            d.dot(sum, 9.0, VERMILION);
            d.path(vec![(sum.0 - 4.5, sum.1), (sum.0 + 4.5, sum.1)], WHITE, 2.0);
            d.path(vec![(sum.0, sum.1 - 4.5), (sum.0, sum.1 + 4.5)], WHITE, 2.0);
        }
    }
}

/// The parts of a container that its frame shows; the sum of a `Residual` is drawn.
fn inside(part: &Outline) -> impl Iterator<Item = &Outline> {
    let n = part.parts.len() - usize::from(part.class == "Residual" && !part.parts.is_empty());
    part.parts.iter().take(n)
}

/// A line with a head, straight down or to the left.
fn arrow(d: &mut Drawing, from: Point, to: Point, color: Color) {
    let (head, half) = (7.0, 4.0);
    let down = from.0 == to.0;
    let neck = if down { (to.0, to.1 - head) } else { (to.0 + head, to.1) };
    d.path(vec![from, neck], color, 1.6);
    let (a, b) = if down {
        ((neck.0 - half, neck.1), (neck.0 + half, neck.1))
    } else {
        ((neck.0, neck.1 - half), (neck.0, neck.1 + half))
    };
    d.polygon(vec![a, b, to], color);
}

impl Picture for ModelPlot {
    fn drawing(&self) -> Drawing {
        let width = self.parts.iter().map(Node::width).fold(180.0, f64::max);
        let top = if self.title.is_empty() { 16.0 } else { 44.0 };
        // Where each layer goes: the next place below, or the top of the next column.
        let (mut x, mut y, mut bottom) = (24.0, top, 0.0f64);
        let mut places: Vec<Point> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            if y > top && y + part.height() > top + COLUMN {
                (x, y) = (x + width + 48.0, top);
            }
            places.push((x, y));
            y += part.height() + GAP;
            bottom = bottom.max(y);
        }
        let (w, h) = (x + width + 24.0, bottom - GAP + 28.0);
        let heading_width = font::width(&fit(&self.title, super::axis::TITLE_EM, 700.0), super::axis::TITLE_EM) + 30.0;
        let w = w.max(heading_width);
        let shift = ((w - (x + width + 24.0)) / 2.0).max(0.0);
        let mut d = Drawing::new(w, h);
        d.width = w;
        heading(&mut d, &self.title);
        let places: Vec<Point> = places.into_iter().map(|(x, y)| (x + shift, y)).collect();
        for (part, &(x, y)) in self.parts.iter().zip(&places) {
            part.draw(&mut d, (x, y), width, 0);
        }
        for ((part, &(x, y)), &(next_x, next_y)) in self.parts.iter().zip(&places).zip(places.iter().skip(1)) {
            let (from, to) = ((x + width / 2.0, y + part.height()), (next_x + width / 2.0, next_y));
            if x == next_x {
                arrow(&mut d, from, to, GREY);
                continue;
            }
            // Down, across, up between the columns, and down into the next.
            let between = next_x - 24.0;
            let (below, above) = (from.1 + 10.0, to.1 - 10.0);
            d.path(vec![from, (from.0, below), (between, below), (between, above), (to.0, above)], GREY, 1.6);
            arrow(&mut d, (to.0, above), to, GREY);
        }
        let (wide, high) = self.size.map_or((w, h), |(w, h)| (f64::from(w), f64::from(h)));
        d.zoom(wide, high, (w, h))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn boxes_frames_and_shortcuts() {
        let inner = Block::new().add_named("deep", Dense::new(6)).add(Dropout::new(0.1));
        let model = Sequential::new([6])
            .add_named("<first> & \"only\"", Dense::new(6))
            .add(Residual::new().add(inner).add(Dense::new(6)))
            .add(Dense::new(1))
            .build(0)
            .unwrap();
        let svg = ModelPlot::of(&model).unwrap().title("model").to_svg();
        for text in [
            "input",
            "&lt;first&gt; &amp; &quot;only&quot; (Dense)",
            "deep (Dense)",
            "dropout (Dropout)",
            "residual (Residual)",
            "[n, 6] · 84 parameters",
            "[n, 1] · 7 parameters",
            "no parameters",
        ] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        // Two texts a layer, of which there are eight with the input, and the title.
        assert_eq!(svg.matches("<text").count(), 2 * 8 + 1);
    }

    #[test]
    fn long_models_have_columns_and_fit() {
        let build = |n: usize| (0..n).fold(Sequential::new([2]), |m, _| m.add(Dense::new(2))).build(0).unwrap();
        let drawing = ModelPlot::of(&build(60)).unwrap().drawing();
        assert!(drawing.height < 1300.0 && drawing.width > 600.0, "{} {}", drawing.width, drawing.height);
        let svg = ModelPlot::of(&build(600)).unwrap().to_svg();
        assert!(svg.contains("dense_599") && svg.starts_with("<svg width=\"4096\""), "{}", &svg[..100]);
    }
}
