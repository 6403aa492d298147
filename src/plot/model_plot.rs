//! A model as boxes and arrows.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::{LABEL_EM, TICK_EM, TITLE_EM, heading};
use super::drawing::{Drawing, Picture, Point, fit};
use super::font;
use super::layered::{Layout, Link, Spot, layout};
use super::style::{Anchor, BLACK, BLUE, Color, GREY, VERMILION, WHITE};
use crate::error::Result;
use crate::graph::Outline;
use crate::model::{Model, thousands};
use crate::tensor::{Float, Shape};

/// A model from top to bottom: inputs above, outputs below, a box with name, class, output shape and number of parameters for each layer;
/// layers inside a container in a frame, with the shortcut of a `Residual` beside them. Branches lie beside each other, so that arrows
/// cross as little as they can. Long models go on in a further column, containers longer than that are left out around their layers.
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

/// A layer with its texts, or several.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    facts: String,
    inside: Inside,
}

#[derive(Clone, Debug)]
enum Inside {
    Nothing,
    /// One below the other.
    Line(Vec<Node>),
    /// The same, with a shortcut around them.
    Residual(Vec<Node>),
    /// Beside each other, in a frame.
    Flow(Flow),
    /// The same without a frame.
    Group(Flow),
}

/// Boxes beside and below each other.
#[derive(Clone, Debug)]
struct Flow {
    nodes: Vec<Node>,
    /// Ways in, then the nodes, then ways out.
    layout: Layout,
    ins: usize,
    outs: usize,
    links: Vec<Link>,
}

const HEIGHT: f64 = 46.0;
const GAP: f64 = 22.0;
const PAD: f64 = 14.0;
/// Room beside the layers of a `Residual` for its shortcut, and below them for its sum.
const SHORTCUT: f64 = 26.0;
const SUM: f64 = 34.0;
/// Where a new column begins.
const COLUMN: f64 = 1200.0;
/// The widest text.
const WIDEST: f64 = 420.0;

impl ModelPlot {
    /// The layers of a model.
    ///
    /// # Errors
    /// None today.
    pub fn of<T: Float>(model: &Model<T>) -> Result<Self> {
        let count = |range: &std::ops::Range<usize>| {
            let specs = model.params().specs().get(range.clone()).unwrap_or(&[]);
            specs.iter().map(|s| s.shape.len()).sum::<usize>()
        };
        let plan = Plan { count: &count };
        let (inputs, outputs) = (model.input_names(), model.output_values());
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for (v, (name, shape)) in (0..).zip(inputs.iter().zip(model.input_shapes())) {
            let plain = inputs.len() == 1 && *name == "input";
            let name = if plain { (*name).to_owned() } else { format!("{name} (input)") };
            entries.push(Entry { name, shape, inputs: Vec::new(), values: v..v + 1, part: None });
        }
        entries.extend(plan.entries(model.outline(), "", "", false));
        let read: BTreeSet<u32> = outputs.iter().copied().collect();
        while let Some(i) = plan.too_long(&entries, &read) {
            let Some(Part { outline, again, .. }) = entries[i].part.take() else { break };
            let prefix = format!("{}/", entries[i].label());
            entries.splice(i..=i, plan.entries(&outline.parts, &outline.path, &prefix, again));
        }
        let last = entries.last().and_then(|entry| entry.values.clone().next_back());
        let mut exports = read;
        if outputs.len() > 1 || outputs.first().copied() != last {
            // These take the values then.
            exports.clear();
            let shapes = model.output_shapes();
            for ((name, shape), value) in model.output_names().into_iter().zip(shapes).zip(&outputs) {
                let name = format!("{name} (output)");
                entries.push(Entry { name, shape, inputs: vec![*value], values: 0..0, part: None });
            }
        }
        Ok(ModelPlot { parts: plan.list(&entries, None, &exports), title: String::new(), size: None })
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

/// An input, an entry of the outline, or an output.
struct Entry<'a> {
    name: String,
    shape: Shape,
    inputs: Vec<u32>,
    values: std::ops::Range<u32>,
    part: Option<Part<'a>>,
}

struct Part<'a> {
    outline: &'a Outline,
    /// Whether its weights are those of another place.
    again: bool,
    /// What tells whose they are.
    first: bool,
}

impl Entry<'_> {
    fn is_input(&self) -> bool {
        self.part.is_none() && self.inputs.is_empty()
    }

    fn is_output(&self) -> bool {
        self.part.is_none() && !self.inputs.is_empty()
    }

    /// The name without the class.
    fn label(&self) -> &str {
        self.name.rsplit_once(" (").map_or(self.name.as_str(), |(name, _)| name)
    }
}

/// From outlines to boxes.
struct Plan<'p> {
    count: &'p dyn Fn(&std::ops::Range<usize>) -> usize,
}

impl Plan<'_> {
    /// The entries below a path, with something in front of their names; `again` where their weights are those of another place.
    fn entries<'a>(&self, parts: &'a [Outline], above: &str, prefix: &str, again: bool) -> Vec<Entry<'a>> {
        let entry = |(outline, label): (&'a Outline, String)| {
            let own = if above.is_empty() { label.clone() } else { format!("{above}/{label}") };
            let first = outline.path != own && !again;
            Entry {
                name: format!("{prefix}{label} ({})", outline.class),
                shape: outline.output,
                inputs: outline.inputs.clone(),
                values: outline.outputs.clone(),
                part: Some(Part { outline, again: again || first, first }),
            }
        };
        parts.iter().zip(Outline::labels(parts)).map(entry).collect()
    }

    /// The position of a container that is longer than a column.
    fn too_long(&self, entries: &[Entry<'_>], exports: &BTreeSet<u32>) -> Option<usize> {
        let read = read(entries, exports);
        let long = |entry: &Entry<'_>| {
            let outline = entry.part.as_ref().map(|part| part.outline)?;
            let node = self.node(entry, &read);
            let opens = !outline.parts.is_empty() && !matches!(node.inside, Inside::Residual(_));
            Some(opens && node.height() > COLUMN)
        };
        entries.iter().position(|entry| long(entry).unwrap_or(false))
    }

    /// One below the other, where each takes only what the one before gives; those between which that does not hold are one group. `import`
    /// is the value that comes in.
    fn list(&self, entries: &[Entry<'_>], import: Option<u32>, exports: &BTreeSet<u32>) -> Vec<Node> {
        let read = read(entries, exports);
        let mut last: BTreeMap<u32, usize> = BTreeMap::new();
        for (i, entry) in entries.iter().enumerate() {
            last.extend(entry.inputs.iter().map(|v| (*v, i)));
        }
        let out = exports.iter().filter(|v| entries.iter().any(|entry| entry.values.contains(v)));
        last.extend(out.map(|v| (*v, usize::MAX)));
        // Inputs are there from the beginning.
        let made = |v: &u32, i: usize| {
            let before = |(at, entry): (usize, &Entry<'_>)| (at <= i || entry.is_input()) && entry.values.contains(v);
            import == Some(*v) || entries.iter().enumerate().any(before)
        };
        let (mut list, mut start, mut before) = (Vec::new(), 0, import);
        for i in 0..entries.len() {
            let alive: Vec<u32> = last.iter().filter(|(v, last)| **last > i && made(v, i)).map(|(v, _)| *v).collect();
            // Outputs stay beside each other.
            let ends = entries[i].is_output() && i + 1 < entries.len();
            if alive.len() > 1 || ends {
                continue;
            }
            let part = &entries[start..=i];
            list.push(match part {
                [one] => self.node(one, &read),
                several => {
                    let flow = self.flow(several, before.as_slice(), &alive, &read);
                    Node { name: String::new(), facts: String::new(), inside: Inside::Group(flow) }
                }
            });
            (start, before) = (i + 1, alive.first().copied());
        }
        debug_assert_eq!(start, entries.len());
        list
    }

    /// A box, or a frame with what is in it.
    fn node(&self, entry: &Entry<'_>, read: &BTreeSet<u32>) -> Node {
        let name = entry.name.clone();
        let shape = entry.shape.of_samples();
        let Some(Part { outline, again, first }) = &entry.part else {
            return Node { name, facts: shape, inside: Inside::Nothing };
        };
        let facts = match (self.count)(&outline.params) {
            _ if *first => format!("{shape} · weights of {}", outline.path),
            _ if *again => shape,
            0 => format!("{shape} · no parameters"),
            1 => format!("{shape} · 1 parameter"),
            n => format!("{shape} · {} parameters", thousands(n)),
        };
        let exports: Vec<u32> = outline.outputs.clone().filter(|v| read.contains(v)).collect();
        let exported: BTreeSet<u32> = exports.iter().copied().collect();
        let mut inside = self.entries(&outline.parts, &outline.path, "", *again);
        let inside = match (outline.inputs.as_slice(), exports.as_slice()) {
            _ if inside.is_empty() => Inside::Nothing,
            (&[x], []) => Inside::Line(self.list(&inside, Some(x), &exported)),
            (&[x], &[y]) if outline.value() == Some(y) => {
                let sum = inside.last().map(|last| last.inputs.clone()).unwrap_or_default();
                let f = inside.len().checked_sub(2).and_then(|i| inside[i].values.clone().next_back());
                if outline.class == "Residual" && sum.first() == Some(&x) && sum.get(1).copied() == f && sum.len() == 2
                {
                    inside.pop();
                    Inside::Residual(self.list(&inside, Some(x), &f.into_iter().collect()))
                } else {
                    Inside::Line(self.list(&inside, Some(x), &exported))
                }
            }
            (ins, outs) => Inside::Flow(self.flow(&inside, ins, outs, &self::read(&inside, &exported))),
        };
        Node { name, facts, inside }
    }

    /// Boxes between values that come in and values that go out.
    fn flow(&self, entries: &[Entry<'_>], ins: &[u32], outs: &[u32], read: &BTreeSet<u32>) -> Flow {
        let mut exits: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        let (mut spots, mut links, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        for (i, v) in ins.iter().enumerate() {
            exits.insert(*v, (i, 0));
            spots.push(Spot { outs: vec![0.0], ..Spot::default() });
        }
        for entry in entries {
            let (node, spot) = (self.node(entry, read), spots.len());
            let (width, height) = (node.width(), node.height());
            let (ins, outs) = (node.ways_in(width), node.ways_out(width));
            spots.push(Spot { width, height, ins, outs, last: entry.is_output() });
            let from = entry.inputs.iter().enumerate().filter_map(|(i, v)| Some((i, *exits.get(v)?)));
            links.extend(from.map(|(i, from)| Link { from, to: (spot, i) }));
            let given = entry.values.clone().filter(|v| read.contains(v));
            let several = matches!(node.inside, Inside::Flow(_));
            exits.extend(given.enumerate().map(|(i, v)| (v, (spot, if several { i } else { 0 }))));
            nodes.push(node);
        }
        for from in outs.iter().filter_map(|v| exits.get(v)) {
            links.push(Link { from: *from, to: (spots.len(), 0) });
            spots.push(Spot { ins: vec![0.0], last: true, ..Spot::default() });
        }
        let mut layout = layout(&spots, &links);
        let way = match (ins, outs) {
            ([_], [] | [_]) => layout.at.first(),
            ([], [_]) => layout.at.last(),
            _ => None,
        };
        if let Some(&(middle, _)) = way {
            // The way in, or out, at the middle.
            let half = middle.max(layout.width - middle);
            layout.width = 2.0 * half;
            let points = layout.at.iter_mut().chain(layout.lines.iter_mut().flatten());
            points.for_each(|point| point.0 += half - middle);
        }
        let outs = spots.len() - ins.len() - nodes.len();
        Flow { nodes, layout, ins: ins.len(), outs, links }
    }
}

/// All values that entries take or that go out.
fn read(entries: &[Entry<'_>], exports: &BTreeSet<u32>) -> BTreeSet<u32> {
    entries.iter().flat_map(|entry| entry.inputs.iter().copied()).chain(exports.iter().copied()).collect()
}

/// The room between two of a line; groups bring their own.
fn gap(before: Option<&Node>, after: &Node) -> f64 {
    if before.is_some_and(Node::is_group) || after.is_group() { 0.0 } else { GAP }
}

/// The height of a line, with the gap above the first.
fn line_height(nodes: &[Node]) -> f64 {
    let before = std::iter::once(None).chain(nodes.iter().map(Some));
    nodes.iter().zip(before).map(|(node, before)| gap(before, node) + node.height()).sum()
}

impl Node {
    fn is_group(&self) -> bool {
        matches!(self.inside, Inside::Group(_))
    }

    /// Whether anything lies beside another in it.
    fn branches(&self) -> bool {
        match &self.inside {
            Inside::Nothing => false,
            Inside::Line(nodes) | Inside::Residual(nodes) => nodes.iter().any(Node::branches),
            Inside::Flow(_) | Inside::Group(_) => true,
        }
    }

    /// The width that the texts ask for.
    fn width(&self) -> f64 {
        let own = font::width(&fit(&self.name, LABEL_EM, WIDEST), LABEL_EM);
        let own = own.max(font::width(&fit(&self.facts, TICK_EM, WIDEST), TICK_EM)) + 24.0;
        let all = |nodes: &[Node], beside: f64| nodes.iter().map(|node| node.width() + beside).fold(own, f64::max);
        match &self.inside {
            Inside::Nothing => own,
            Inside::Line(nodes) => all(nodes, 2.0 * PAD),
            Inside::Residual(nodes) => all(nodes, 2.0 * PAD + SHORTCUT),
            Inside::Flow(flow) => own.max(flow.layout.width + 2.0 * PAD),
            Inside::Group(flow) => flow.layout.width,
        }
    }

    fn height(&self) -> f64 {
        // The way out of a group reaches the frame.
        let end = |nodes: &[Node]| if nodes.last().is_some_and(Node::is_group) { 0.0 } else { PAD };
        match &self.inside {
            Inside::Nothing => HEIGHT,
            Inside::Line(nodes) => HEIGHT + line_height(nodes) + end(nodes),
            Inside::Residual(nodes) => HEIGHT + line_height(nodes) + PAD + SUM,
            Inside::Flow(flow) => HEIGHT + flow.layout.height + if flow.outs == 0 { PAD } else { 0.0 },
            Inside::Group(flow) => flow.layout.height,
        }
    }

    /// Where arrows come in, if that is not anywhere.
    fn ways_in(&self, width: f64) -> Vec<f64> {
        match &self.inside {
            Inside::Flow(flow) => flow.ways(0..flow.ins, width),
            _ => Vec::new(),
        }
    }

    fn ways_out(&self, width: f64) -> Vec<f64> {
        match &self.inside {
            Inside::Flow(flow) if flow.outs > 0 => {
                flow.ways(flow.layout.at.len() - flow.outs..flow.layout.at.len(), width)
            }
            _ => vec![width / 2.0],
        }
    }

    fn draw(&self, d: &mut Drawing, (x, y): Point, width: f64, depth: usize) {
        if let Inside::Group(flow) = &self.inside {
            return flow.draw(d, (x + (width - flow.layout.width) / 2.0, y), depth);
        }
        let bottom = y + self.height();
        let fill = match (&self.inside, depth % 2) {
            (Inside::Nothing, _) => Color(222, 236, 246),
            (_, 0) => Color(246, 246, 246),
            _ => WHITE,
        };
        d.fill((x, y), (x + width, bottom), fill);
        d.outline((x, y), (x + width, bottom), if matches!(self.inside, Inside::Nothing) { BLUE } else { GREY });
        let middle = x + width / 2.0;
        d.text((middle, y + 15.0), &fit(&self.name, LABEL_EM, width - 12.0), LABEL_EM, BLACK, Anchor::Middle);
        d.text((middle, y + 32.0), &fit(&self.facts, TICK_EM, width - 12.0), TICK_EM, BLACK, Anchor::Middle);
        match &self.inside {
            Inside::Nothing | Inside::Group(_) => {}
            Inside::Line(nodes) => {
                draw_line(d, nodes, (x + PAD, y + HEIGHT), width - 2.0 * PAD, false, depth);
            }
            Inside::Residual(nodes) => {
                let inner_width = width - 2.0 * PAD - SHORTCUT;
                let at = draw_line(d, nodes, (x + PAD, y + HEIGHT), inner_width, true, depth);
                let center = x + PAD + inner_width / 2.0;
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
            Inside::Flow(flow) => flow.draw(d, (x + (width - flow.layout.width) / 2.0, y + HEIGHT), depth + 1),
        }
    }
}

/// Nodes one below the other in a frame; returns where the last ends.
fn draw_line(d: &mut Drawing, nodes: &[Node], (x, y): Point, width: f64, enters: bool, depth: usize) -> f64 {
    let (center, mut at, mut before) = (x + width / 2.0, y, None);
    for node in nodes {
        let next = at + gap(before, node);
        if before.is_some() || enters {
            join(d, before, node, (center, at), (center, next));
        }
        node.draw(d, (x, next), width, depth + 1);
        (at, before) = (next + node.height(), Some(node));
    }
    at
}

/// The arrow from one of a line to the next, straight down.
fn join(d: &mut Drawing, before: Option<&Node>, after: &Node, from: Point, to: Point) {
    match (before.is_some_and(Node::is_group), after.is_group()) {
        (false, false) => arrow(d, from, to, GREY),
        // A group's line ends where the box begins.
        (true, false) => arrow(d, (to.0, to.1 - 9.0), to, GREY),
        (_, true) => d.path(vec![from, to], GREY, 1.6),
    }
}

impl Flow {
    /// Offsets of ways in or out from the left side of a frame.
    fn ways(&self, spots: std::ops::Range<usize>, width: f64) -> Vec<f64> {
        let left = (width - self.layout.width) / 2.0;
        self.layout.at[spots].iter().map(|at| at.0 + left).collect()
    }

    fn draw(&self, d: &mut Drawing, (x, y): Point, depth: usize) {
        let boxes = self.ins..self.ins + self.nodes.len();
        for (line, link) in self.layout.lines.iter().zip(&self.links) {
            let mut points: Vec<Point> = line.iter().map(|point| (x + point.0, y + point.1)).collect();
            if !boxes.contains(&link.to.0) {
                d.path(points, GREY, 1.6);
                continue;
            }
            let Some(end) = points.pop() else { continue };
            let neck = (end.0, end.1 - 9.0);
            if points.last().is_some_and(|last| last.1 < neck.1) {
                points.push(neck);
            }
            if points.len() > 1 {
                d.path(points, GREY, 1.6);
            }
            arrow(d, neck, end, GREY);
        }
        for (node, at) in self.nodes.iter().zip(&self.layout.at[boxes]) {
            node.draw(d, (x + at.0, y + at.1), node.width(), depth);
        }
    }
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
        // Boxes of a line are as wide as each other, but not as what lies beside each other.
        let plain = self.parts.iter().filter(|part| !part.branches());
        let own = plain.map(Node::width).fold(180.0, f64::max);
        let wide = |part: &Node| if part.is_group() { width } else { part.width().max(own) };
        // Columns are as long as their longest part, and what stands beside that.
        let longest = self.parts.iter().map(Node::height).fold(0.0, f64::max);
        let column = COLUMN.max(longest * 1.2);
        // Where each layer goes: the next place below, or the top of the next column.
        let (mut x, mut y, mut bottom) = (24.0, top, 0.0f64);
        let mut places: Vec<Point> = Vec::with_capacity(self.parts.len());
        let mut before = None;
        for part in &self.parts {
            let mut next = if before.is_some() { y + gap(before, part) } else { y };
            if y > top && next + part.height() > top + column {
                (x, next) = (x + width + 48.0, top);
            }
            places.push((x, next));
            y = next + part.height();
            bottom = bottom.max(y);
            before = Some(part);
        }
        let (w, h) = (x + width + 24.0, bottom + 28.0);
        let heading_width = font::width(&fit(&self.title, TITLE_EM, 700.0), TITLE_EM) + 30.0;
        let w = w.max(heading_width);
        let shift = ((w - (x + width + 24.0)) / 2.0).max(0.0);
        let mut d = Drawing::new(w, h);
        d.width = w;
        heading(&mut d, &self.title);
        let places: Vec<Point> = places.into_iter().map(|(x, y)| (x + shift, y)).collect();
        for (part, &(x, y)) in self.parts.iter().zip(&places) {
            part.draw(&mut d, (x + (width - wide(part)) / 2.0, y), wide(part), 0);
        }
        for (pair, at) in self.parts.windows(2).zip(places.windows(2)) {
            let ([before, part], [(x, y), (next_x, next_y)]) = (pair, at) else { continue };
            let (from, to) = ((x + width / 2.0, y + before.height()), (next_x + width / 2.0, *next_y));
            if x == next_x {
                join(&mut d, Some(before), part, from, to);
                continue;
            }
            // Down, across, up between the columns, and down into the next.
            let between = next_x - 24.0;
            let (below, above) = (from.1 + 10.0, to.1 - 10.0);
            d.path(vec![from, (from.0, below), (between, below), (between, above), (to.0, above)], GREY, 1.6);
            if part.is_group() {
                d.path(vec![(to.0, above), to], GREY, 1.6);
            } else {
                arrow(&mut d, (to.0, above), to, GREY);
            }
        }
        let (wide, high) = self.size.map_or((w, h), |(w, h)| (f64::from(w), f64::from(h)));
        d.zoom(wide, high, (w, h))
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Inside, Node};
    use crate::graph::Graph;
    use crate::layers::merging::{Add, Concatenate};
    use crate::models::{UNet, siamese, wide_and_deep};
    use crate::prelude::*;

    /// Lines that cross in all of a picture; boxes that lie beside each other do not overlap.
    fn crossings(nodes: &[Node]) -> usize {
        let flow = |flow: &Flow| {
            let places = flow.layout.at[flow.ins..].iter().zip(&flow.nodes);
            let boxes: Vec<_> = places.map(|(at, node)| (*at, (at.0 + node.width(), at.1 + node.height()))).collect();
            for (i, (a, b)) in boxes.iter().enumerate() {
                assert!(a.0 >= -1e-6 && b.0 <= flow.layout.width + 1e-6 && b.1 <= flow.layout.height + 1e-6);
                for (c, d) in &boxes[i + 1..] {
                    assert!(b.0 <= c.0 || d.0 <= a.0 || b.1 <= c.1 || d.1 <= a.1, "{a:?} {b:?} {c:?} {d:?}");
                }
            }
            flow.layout.crossings + crossings(&flow.nodes)
        };
        let of = |node: &Node| match &node.inside {
            Inside::Nothing => 0,
            Inside::Line(nodes) | Inside::Residual(nodes) => crossings(nodes),
            Inside::Flow(inside) | Inside::Group(inside) => flow(inside),
        };
        nodes.iter().map(of).sum()
    }

    fn texts(plot: &ModelPlot, expected: &[&str]) {
        let svg = plot.to_svg();
        for text in expected {
            assert!(svg.contains(&format!(">\n{text}\n</text>")) || svg.contains(text), "{text} in {svg}");
        }
    }

    #[test]
    fn branches_lie_beside_each_other() {
        let mut g = Graph::new();
        let image = g.input("image", [32, 32, 3]);
        let y = g.add(UNet::new(3).filters(4), image);
        let unet = ModelPlot::of(&g.build(y, 0).unwrap()).unwrap();
        assert_eq!(crossings(&unet.parts), 0);
        texts(
            &unet,
            &["image (input)", "down_4 (scope)", "up_1 (scope)", "concatenate (Concatenate)", "head (Conv2d)"],
        );

        let mut g = Graph::new();
        let (wide, deep) = (g.input("wide", [9]), g.input("deep", [4]));
        let y = wide_and_deep(&mut g, wide, deep, &[8, 6], Dense::new(1));
        let plot = ModelPlot::of(&g.build(y, 0).unwrap()).unwrap();
        assert_eq!(crossings(&plot.parts), 0);
        texts(&plot, &["wide (input)", "deep (input)", "dense_1 (Dense)", "head (Dense)"]);

        let mut g = Graph::new();
        let pair = [g.input("left", [4]), g.input("right", [4])];
        let y = siamese(&mut g, Block::new().add(Dense::new(3)), pair);
        let plot = ModelPlot::of(&g.build(y, 0).unwrap()).unwrap();
        assert_eq!(crossings(&plot.parts), 0);
        texts(&plot, &["tower (scope)", "tower#2 (scope)", "weights of tower", "[n, 3] · 15 parameters"]);
    }

    #[test]
    fn inputs_above_and_outputs_below() {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", [3]), g.input("b", [FREE, 3]));
        let pooled = g.add(GlobalAveragePooling1d::new(), b);
        let both = g.op(Concatenate::new(), &[pooled, a]);
        let early = g.add_named("early", Dense::new(2), pooled);
        let late = g.scope("late", |g| {
            let h = g.op(Add::new(), &[both, both]);
            let h = g.op(Concatenate::new(), &[h, early]);
            g.add(Dense::new(1), h)
        });
        let plot = ModelPlot::of(&g.build([late, early], 0).unwrap()).unwrap();
        assert_eq!(crossings(&plot.parts), 0);
        texts(&plot, &["a (input)", "[n, free, 3]", "early (output)", "late (output)", "late (scope)"]);
        let [Node { inside: Inside::Group(flow), .. }] = &plot.parts[..] else { panic!("{plot:?}") };
        let y = |i: usize| flow.layout.at[i].1;
        let (first, last) = (flow.nodes.len() - 2, flow.nodes.len() - 1);
        assert!(y(0) == y(1) && y(first) == y(last) && (2..first).all(|i| y(0) < y(i) && y(i) < y(first)));
    }

    #[test]
    fn a_flat_chain_of_shortcuts_is_a_line_of_groups() {
        let mut g = Graph::new();
        let mut x = g.input("input", [6]);
        for _ in 0..12 {
            let h = g.add(Dense::new(6), x);
            let h = g.add(Dense::new(6), h);
            x = g.op(Add::new(), &[x, h]);
        }
        let plot = ModelPlot::of(&g.build(x, 0).unwrap()).unwrap();
        assert_eq!((plot.parts.len(), crossings(&plot.parts)), (13, 0));
        assert!(plot.drawing().height < 1400.0);
    }

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
