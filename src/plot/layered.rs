//! Boxes in layers, and lines between them that cross as little as they can.
//!
//! Sugiyama's method: a box lies one layer below the lowest of those that it takes from; a line that passes layers has a place in each of
//! them; boxes and places are put in order by the barycentres of their neighbours and by exchanges; then each comes as close to its
//! neighbours as the order allows. Sugiyama et al.: "Methods for Visual Understanding of Hierarchical System Structures", 1981.

use std::collections::BTreeMap;

use super::drawing::Point;

/// What is to be placed.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    pub width: f64,
    pub height: f64,
    /// Where lines come in, from its left side; anywhere where nothing is said.
    pub ins: Vec<f64>,
    /// Where lines go out.
    pub outs: Vec<f64>,
    /// Whether it lies below all others.
    pub last: bool,
}

/// A line from an exit of a spot to an entry of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub from: (usize, usize),
    pub to: (usize, usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The upper left corner of each spot.
    pub at: Vec<Point>,
    /// The corners of each line, from the exit to the entry.
    pub lines: Vec<Vec<Point>>,
    pub width: f64,
    pub height: f64,
    /// How often lines cross.
    #[cfg_attr(not(test), allow(dead_code))]
    pub crossings: usize,
}

const BETWEEN: f64 = 26.0;
const BESIDE_LINE: f64 = 16.0;
const GAP: f64 = 22.0;
const MOST_GAP: f64 = 60.0;
/// The straight end of a line above its box.
const END: f64 = 9.0;

/// A spot, or the place of a line in a layer.
#[derive(Clone, Debug)]
struct Vertex {
    spot: Option<usize>,
    width: f64,
    rank: usize,
}

/// A piece of a line between two layers: vertices, and offsets from their middles.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    up: usize,
    down: usize,
    /// The exit and the entry, where they are fixed.
    exit: usize,
    entry: Option<usize>,
    exit_x: f64,
    entry_x: f64,
}

struct Layers {
    vertices: Vec<Vertex>,
    pieces: Vec<Piece>,
    /// The pieces of each link, from above.
    links: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

/// The order of each layer.
type Order = Vec<Vec<usize>>;

impl Layers {
    fn new(spots: &[Spot], links: &[Link]) -> Self {
        let mut rank = vec![0; spots.len()];
        for i in 0..spots.len() {
            rank[i] = links.iter().filter(|link| link.to.0 == i).map(|link| rank[link.from.0] + 1).max().unwrap_or(0);
        }
        let others = spots.iter().zip(&rank).filter(|(spot, _)| !spot.last).map(|(_, rank)| rank + 1);
        let lowest = others.max().unwrap_or(0);
        spots.iter().zip(&mut rank).filter(|(spot, _)| spot.last).for_each(|(_, rank)| *rank = lowest);
        let mut vertices: Vec<Vertex> = spots
            .iter()
            .zip(&rank)
            .enumerate()
            .map(|(i, (spot, &rank))| Vertex { spot: Some(i), width: spot.width, rank })
            .collect();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut trunks: BTreeMap<(usize, usize, usize), usize> = BTreeMap::new();
        let mut of_links = Vec::new();
        for link in links {
            let ((from, exit), (to, entry)) = (link.from, link.to);
            let (mut up, mut out, mut exit_x) = (from, exit, spots[from].outs[exit] - spots[from].width / 2.0);
            let mut own = Vec::new();
            for r in rank[from] + 1..=rank[to] {
                let down = if r == rank[to] {
                    to
                } else {
                    // Lines of one value share their way.
                    *trunks.entry((from, exit, r)).or_insert_with(|| {
                        vertices.push(Vertex { spot: None, width: 0.0, rank: r });
                        vertices.len() - 1
                    })
                };
                let fixed = spots.get(down).filter(|_| down == to).and_then(|spot| spot.ins.get(entry));
                let piece = Piece {
                    up,
                    down,
                    exit: out,
                    entry: fixed.map(|_| entry),
                    exit_x,
                    entry_x: fixed.map_or(0.0, |x| x - spots[to].width / 2.0),
                };
                let place = pieces.iter().position(|other| *other == piece && down != to).unwrap_or(pieces.len());
                if place == pieces.len() {
                    pieces.push(piece);
                }
                own.push(place);
                (up, out, exit_x) = (down, 0, 0.0);
            }
            of_links.push(own);
        }
        let (mut above, mut below) = (vec![Vec::new(); vertices.len()], vec![Vec::new(); vertices.len()]);
        for (i, piece) in pieces.iter().enumerate() {
            above[piece.down].push(i);
            below[piece.up].push(i);
        }
        Layers { vertices, pieces, links: of_links, above, below }
    }

    fn ranks(&self) -> usize {
        self.vertices.iter().map(|v| v.rank + 1).max().unwrap_or(0)
    }

    /// Where the ends of a piece lie in an order.
    fn ends(&self, piece: &Piece, place: &[usize]) -> (f64, f64) {
        let within = |port: usize| port as f64 / 64.0;
        (place[piece.up] as f64 + within(piece.exit), place[piece.down] as f64 + piece.entry.map_or(0.0, within))
    }

    fn places(&self, order: &Order) -> Vec<usize> {
        let mut place = vec![0; self.vertices.len()];
        order.iter().flat_map(|layer| layer.iter().enumerate()).for_each(|(i, &v)| place[v] = i);
        place
    }

    /// How often these pieces cross each other.
    fn crossings_of(&self, pieces: &[usize], place: &[usize]) -> usize {
        let ends: Vec<_> = pieces.iter().map(|&i| self.ends(&self.pieces[i], place)).collect();
        let cross = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0) * (a.1 - b.1) < 0.0;
        ends.iter().enumerate().map(|(i, a)| ends[i + 1..].iter().filter(|b| cross(a, b)).count()).sum()
    }

    fn crossings(&self, order: &Order) -> usize {
        let place = self.places(order);
        let below = |layer: &Vec<usize>| layer.iter().flat_map(|&v| self.below[v].iter().copied()).collect::<Vec<_>>();
        order.iter().map(|layer| self.crossings_of(&below(layer), &place)).sum()
    }

    /// The order with the fewest crossings that was found.
    fn order(&self) -> Order {
        let mut best: Option<(usize, Order)> = None;
        for start in 0..3 {
            let mut order: Order = vec![Vec::new(); self.ranks()];
            (0..self.vertices.len()).for_each(|v| order[self.vertices[v].rank].push(v));
            match start {
                1 => order.iter_mut().for_each(|layer| layer.reverse()),
                // Lines that pass by begin at the left.
                2 => order.iter_mut().for_each(|layer| layer.sort_by_key(|&v| self.vertices[v].spot.is_some())),
                _ => {}
            }
            for sweep in 0..24 {
                self.sweep(&mut order, sweep % 2 == 0);
                self.exchange(&mut order);
                let crossings = self.crossings(&order);
                if best.as_ref().is_none_or(|(fewest, _)| crossings < *fewest) {
                    best = Some((crossings, order.clone()));
                }
                if best.as_ref().is_some_and(|(fewest, _)| *fewest == 0) {
                    return best.map(|(_, order)| order).unwrap_or_default();
                }
            }
        }
        best.map(|(_, order)| order).unwrap_or_default()
    }

    /// Sorts each layer by the middle of the neighbours above, or below.
    fn sweep(&self, order: &mut Order, down: bool) {
        let n = order.len();
        for step in 0..n {
            let r = if down { step } else { n - 1 - step };
            let place = self.places(order);
            let middle = |v: usize| {
                let pieces = if down { &self.above[v] } else { &self.below[v] };
                let ends = pieces.iter().map(|&i| self.ends(&self.pieces[i], &place));
                let sum: f64 = ends.map(|(up, low)| if down { up } else { low }).sum();
                if pieces.is_empty() { None } else { Some(sum / pieces.len() as f64) }
            };
            let mut keyed: Vec<(f64, usize)> =
                order[r].iter().map(|&v| (middle(v).unwrap_or(place[v] as f64), v)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            order[r] = keyed.into_iter().map(|(_, v)| v).collect();
        }
    }

    /// Exchanges neighbours as long as that takes crossings away.
    fn exchange(&self, order: &mut Order) {
        for _ in 0..8 {
            let mut better = false;
            let mut place = self.places(order);
            for layer in order.iter_mut() {
                for i in 1..layer.len() {
                    let (a, b) = (layer[i - 1], layer[i]);
                    let both = |lists: &[Vec<usize>]| [lists[a].as_slice(), lists[b].as_slice()].concat();
                    let (above, below) = (both(&self.above), both(&self.below));
                    let count = |place: &[usize]| self.crossings_of(&above, place) + self.crossings_of(&below, place);
                    let before = count(&place);
                    place.swap(a, b);
                    if count(&place) < before {
                        layer.swap(i - 1, i);
                        better = true;
                    } else {
                        place.swap(a, b);
                    }
                }
            }
            if !better {
                return;
            }
        }
    }

    /// The least distance of the middles of two neighbours.
    fn distance(&self, a: usize, b: usize) -> f64 {
        let [a, b] = [&self.vertices[a], &self.vertices[b]];
        let between = if a.spot.is_some() && b.spot.is_some() { BETWEEN } else { BESIDE_LINE };
        (a.width + b.width) / 2.0 + between
    }

    /// The middle of each vertex.
    fn middles(&self, order: &Order) -> Vec<f64> {
        let mut x = vec![0.0; self.vertices.len()];
        for layer in order {
            let mut at = 0.0;
            for (i, &v) in layer.iter().enumerate() {
                at += if i > 0 { self.distance(layer[i - 1], v) } else { 0.0 };
                x[v] = at;
            }
            layer.iter().for_each(|&v| x[v] -= at / 2.0);
        }
        let passing = |v: usize| self.vertices[v].spot.is_none();
        let strength = |piece: &Piece| match (passing(piece.up), passing(piece.down)) {
            (true, true) => 8.0,
            (false, false) => 2.0,
            _ => 1.0,
        };
        for round in 0..60 {
            let down = round % 2 == 0;
            for step in 0..order.len() {
                let r = if down { step } else { order.len() - 1 - step };
                let wish = |&v: &usize| {
                    let (mut sum, mut weight) = (0.0, 0.0);
                    // First from one side alone, so that all follow; then from both.
                    let (above, below) = (down || round > 5, !down || round > 5);
                    for piece in self.above[v].iter().filter(|_| above).map(|&i| &self.pieces[i]) {
                        let s = strength(piece);
                        sum += s * (x[piece.up] + piece.exit_x - piece.entry_x);
                        weight += s;
                    }
                    for piece in self.below[v].iter().filter(|_| below).map(|&i| &self.pieces[i]) {
                        let s = strength(piece);
                        sum += s * (x[piece.down] + piece.entry_x - piece.exit_x);
                        weight += s;
                    }
                    if weight > 0.0 { (sum / weight, weight) } else { (x[v], 0.1) }
                };
                let wishes: Vec<(f64, f64)> = order[r].iter().map(wish).collect();
                self.settle(&order[r], &wishes, &mut x);
            }
        }
        // The one way in above the one way out.
        if let (Some([first]), Some([last])) = (order.first().map(Vec::as_slice), order.last().map(Vec::as_slice))
            && self.vertices[*first].width + self.vertices[*last].width == 0.0
        {
            x[*last] = x[*first];
        }
        self.straighten(order, &mut x);
        x
    }

    /// Puts a layer as close to what its vertices wish as their order and distances allow: least squares by pooling neighbours.
    fn settle(&self, layer: &[usize], wishes: &[(f64, f64)], x: &mut [f64]) {
        let mut offsets = Vec::with_capacity(layer.len());
        let mut at = 0.0;
        for (i, &v) in layer.iter().enumerate() {
            at += if i > 0 { self.distance(layer[i - 1], v) } else { 0.0 };
            offsets.push(at);
        }
        let mut pools: Vec<(f64, f64, usize)> = Vec::new();
        for (offset, (wish, weight)) in offsets.iter().zip(wishes) {
            let mut pool = ((wish - offset) * weight, *weight, 1);
            while let Some(before) = pools.pop_if(|before| before.0 / before.1 > pool.0 / pool.1) {
                pool = (pool.0 + before.0, pool.1 + before.1, pool.2 + before.2);
            }
            pools.push(pool);
        }
        let values = pools.iter().flat_map(|&(sum, weight, n)| std::iter::repeat_n(sum / weight, n));
        layer.iter().zip(offsets).zip(values).for_each(|((&v, offset), value)| x[v] = value + offset);
    }

    /// Brings the places of a long line to one height, where there is room.
    fn straighten(&self, order: &Order, x: &mut [f64]) {
        let place = self.places(order);
        let room = |v: usize, x: &[f64]| {
            let (layer, i) = (&order[self.vertices[v].rank], place[v]);
            let low = if i > 0 { x[layer[i - 1]] + self.distance(layer[i - 1], v) } else { f64::NEG_INFINITY };
            let high = layer.get(i + 1).map_or(f64::INFINITY, |&next| x[next] - self.distance(v, next));
            (low, high)
        };
        for link in &self.links {
            let way: Vec<usize> =
                link.iter().map(|&i| self.pieces[i].down).filter(|&v| self.vertices[v].spot.is_none()).collect();
            if way.is_empty() {
                continue;
            }
            let rooms = way.iter().map(|&v| room(v, x));
            let (low, high) = rooms.fold((f64::NEG_INFINITY, f64::INFINITY), |(a, b), (c, d)| (a.max(c), b.min(d)));
            if low <= high {
                let ends = [&self.pieces[link[0]], &self.pieces[link[link.len() - 1]]];
                let mean = way.iter().map(|&v| x[v]).sum::<f64>() / way.len() as f64;
                // Straight from the exit or to the entry, if that is near.
                let straight = [x[ends[0].up] + ends[0].exit_x, x[ends[1].down] + ends[1].entry_x];
                let near = straight.into_iter().find(|x| (x - mean).abs() < 12.0).unwrap_or(mean);
                way.iter().for_each(|&v| x[v] = near.clamp(low, high));
            }
        }
    }
}

/// Places spots, which stand in an order in which every link goes to a later one.
pub(super) fn layout(spots: &[Spot], links: &[Link]) -> Layout {
    if spots.is_empty() {
        return Layout::default();
    }
    let layers = Layers::new(spots, links);
    let order = layers.order();
    let x = layers.middles(&order);
    // The ends of all pieces: exits, and entries that are spread where they are not fixed.
    let mut ends: Vec<(f64, f64)> = layers.pieces.iter().map(|p| (x[p.up] + p.exit_x, x[p.down] + p.entry_x)).collect();
    for (v, vertex) in layers.vertices.iter().enumerate().filter(|(_, vertex)| vertex.spot.is_some()) {
        let mut free: Vec<usize> =
            layers.above[v].iter().copied().filter(|&i| layers.pieces[i].entry.is_none()).collect();
        free.sort_by(|&a, &b| ends[a].0.total_cmp(&ends[b].0));
        let step = ((vertex.width - 24.0) / free.len().max(1) as f64).clamp(0.0, 24.0);
        for (i, &piece) in free.iter().enumerate() {
            ends[piece].1 = x[v] + (i as f64 - (free.len() - 1) as f64 / 2.0) * step;
        }
    }
    let left = (0..x.len()).map(|v| x[v] - layers.vertices[v].width / 2.0).fold(f64::INFINITY, f64::min);
    let right = (0..x.len()).map(|v| x[v] + layers.vertices[v].width / 2.0).fold(f64::NEG_INFINITY, f64::max);
    // Heights of layers, and gaps that leave slanted lines room.
    let ranks = order.len();
    let (mut heights, mut gaps) = (vec![0.0f64; ranks], vec![GAP; ranks]);
    for vertex in &layers.vertices {
        let height = vertex.spot.map_or(0.0, |i| spots[i].height);
        heights[vertex.rank] = heights[vertex.rank].max(height);
    }
    for (piece, (from, to)) in layers.pieces.iter().zip(&ends) {
        let gap = &mut gaps[layers.vertices[piece.up].rank];
        *gap = gap.max((GAP + (to - from).abs() * 0.09).min(MOST_GAP));
    }
    let mut tops = Vec::with_capacity(ranks);
    let mut y = 0.0;
    for r in 0..ranks {
        tops.push(y);
        y += heights[r] + if r + 1 < ranks { gaps[r] } else { 0.0 };
    }
    let at = spots.iter().enumerate().map(|(v, spot)| (x[v] - spot.width / 2.0 - left, tops[layers.vertices[v].rank]));
    let line = |pieces: &Vec<usize>| {
        let mut points: Vec<Point> = Vec::new();
        for &i in pieces {
            let (piece, (from, to)) = (&layers.pieces[i], ends[i]);
            let up = &layers.vertices[piece.up];
            let own = up.spot.map_or(0.0, |i| spots[i].height);
            let bottom = tops[up.rank] + heights[up.rank];
            let next = tops[layers.vertices[piece.down].rank];
            let (from, to) = (from - left, to - left);
            points.extend([(from, tops[up.rank] + own), (from, bottom), (to, next - END), (to, next)]);
        }
        tidy(points)
    };
    Layout {
        at: at.collect(),
        lines: layers.links.iter().map(line).collect(),
        width: right - left,
        height: y,
        crossings: layers.crossings(&order),
    }
}

/// Without points that are on the way anyway.
fn tidy(points: Vec<Point>) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        if out.last() == Some(&point) {
            continue;
        }
        let upright = |a: &Point, b: &Point| (a.0 - b.0).abs() < 1e-6;
        if out.len() > 1 && upright(&out[out.len() - 1], &point) && upright(&out[out.len() - 2], &point) {
            out.pop();
        }
        out.push(point);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn box_of(width: f64) -> Spot {
        Spot { width, height: 40.0, outs: vec![width / 2.0], ..Spot::default() }
    }

    fn links(list: &[(usize, usize)]) -> Vec<Link> {
        list.iter().map(|&(from, to)| Link { from: (from, 0), to: (to, 0) }).collect()
    }

    fn check(spots: &[Spot], links: &[Link]) -> Layout {
        let layout = layout(spots, links);
        for (i, (a, one)) in layout.at.iter().zip(spots).enumerate() {
            assert!(a.0 >= -1e-6 && a.0 + one.width <= layout.width + 1e-6 && a.1 + one.height <= layout.height + 1e-6);
            for (b, other) in layout.at.iter().zip(spots).skip(i + 1) {
                let beside = a.0 + one.width <= b.0 || b.0 + other.width <= a.0;
                assert!(beside || a.1 + one.height <= b.1 || b.1 + other.height <= a.1, "{a:?} {b:?}");
            }
        }
        for (line, link) in layout.lines.iter().zip(links) {
            let (from, to) = (layout.at[link.from.0], layout.at[link.to.0]);
            assert!((line[0].1 - from.1 - spots[link.from.0].height).abs() < 1e-6);
            assert!((line[line.len() - 1].1 - to.1).abs() < 1e-6);
        }
        layout
    }

    #[test]
    fn crossings_that_need_not_be_are_none() {
        let five = vec![box_of(100.0); 5];
        // Two that each take what stands on the other side.
        assert_eq!(check(&five[..4], &links(&[(0, 3), (1, 2)])).crossings, 0);
        // A shortcut around three, and one inside it.
        let around = check(&five, &links(&[(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3)]));
        assert_eq!(around.crossings, 0);
        assert!(around.at.iter().all(|at| at.1 >= 0.0));
        // All of two with all of two cross once at least.
        let spots = vec![box_of(60.0); 4];
        assert_eq!(check(&spots, &links(&[(0, 2), (0, 3), (1, 2), (1, 3)])).crossings, 1);
        // Entries that are fixed the other way round: the boxes change sides.
        let mut spots = vec![box_of(60.0); 3];
        spots[2].ins = vec![10.0, 50.0];
        let fixed = [Link { from: (1, 0), to: (2, 0) }, Link { from: (0, 0), to: (2, 1) }];
        let layout = check(&spots, &fixed);
        assert_eq!(layout.crossings, 0);
        assert!(layout.at[1].0 < layout.at[0].0);
    }

    #[test]
    fn a_line_is_straight() {
        let layout = check(&[box_of(50.0), box_of(90.0), box_of(30.0)], &links(&[(0, 1), (1, 2)]));
        assert!(layout.lines.iter().all(|line| (line[0].0 - line[line.len() - 1].0).abs() < 1e-6));
        assert!((layout.width - 90.0).abs() < 1e-6 && (layout.height - 3.0 * 40.0 - 2.0 * GAP).abs() < 1e-6);
    }

    #[test]
    fn random_graphs_have_no_overlaps() {
        let mut state = 7u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for n in [2, 5, 12, 30] {
            let spots: Vec<Spot> =
                (0..n).map(|_| Spot { height: 20.0 + draw(60) as f64, ..box_of(30.0 + draw(200) as f64) }).collect();
            let mut list: Vec<(usize, usize)> = (1..n).map(|to| (draw(to), to)).collect();
            (2..n).for_each(|to| list.push((draw(to), to)));
            check(&spots, &links(&list));
        }
    }
}
