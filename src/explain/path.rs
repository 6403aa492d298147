//! The midpoint rule along a straight way, with steps cut in three where it fails.
//!
//! What a step should give is known, the difference of the outputs at its ends; so each step shows its own gap.

use crate::model::Differentiator;
use crate::tensor::Float;

/// Points whose gradients are computed together.
const ROWS: usize = 256;

/// The middles of equal steps of the way, each with weight 1.
pub(super) fn middles(steps: usize) -> Vec<(f64, f64)> {
    (0..steps).map(|k| ((k as f64 + 0.5) / steps as f64, 1.0)).collect()
}

pub(super) fn sum<T: Float>(values: &[T]) -> f64 {
    values.iter().map(|v| v.as_f64()).sum()
}

/// The straight way from a baseline to an input, and the weighted sum of the gradients met on it.
pub(super) struct Path<'p, 'm, T: Float> {
    d: &'p mut Differentiator<'m, T>,
    x: &'p [T],
    b: &'p [T],
    sums: Vec<f64>,
}

/// A step of the way, from one part of it to another.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    ends: [f64; 2],
    /// The outputs there.
    outputs: [f64; 2],
    /// Its length in first steps.
    weight: f64,
    /// What the midpoint rule gives for it beyond the difference of the outputs.
    gap: f64,
}

impl<'p, 'm, T: Float> Path<'p, 'm, T> {
    /// From b to x.
    pub fn new(d: &'p mut Differentiator<'m, T>, x: &'p [T], b: &'p [T]) -> Self {
        Path { d, x, b, sums: vec![0.0; b.len()] }
    }

    /// The target's position, and its output at the input and at the baseline.
    pub fn ends(&mut self) -> (usize, [f64; 2]) {
        self.d.reshape(2);
        self.d.x.row_mut(0).copy_from_slice(self.x);
        self.d.x.row_mut(1).copy_from_slice(self.b);
        self.d.forward();
        let position = self.d.position(0);
        (position, [0, 1].map(|row| self.d.output(row, position)))
    }

    /// Goes to points of the way, a few at a time, and computes the outputs there.
    fn visit(&mut self, points: &[(f64, f64)], mut f: impl FnMut(&mut Self, &[(f64, f64)])) {
        for points in points.chunks(ROWS) {
            self.d.reshape(points.len());
            for (row, (alpha, _)) in points.iter().enumerate() {
                for ((v, &x), &b) in self.d.x.row_mut(row).iter_mut().zip(self.x).zip(self.b) {
                    *v = T::of(b.as_f64() + alpha * (x.as_f64() - b.as_f64()));
                }
            }
            self.d.forward();
            f(self, points);
        }
    }

    /// Adds the gradients at points, each times its weight; the slope of the output along the way at each point.
    pub fn add(&mut self, position: usize, points: &[(f64, f64)]) -> Vec<f64> {
        let mut slopes = Vec::with_capacity(points.len());
        self.visit(points, |path, points| {
            let Path { d, x, b, sums } = path;
            let rows = d.backward(|_| position).as_slice().chunks_exact(sums.len());
            for (row, (_, weight)) in rows.zip(points) {
                sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += weight * g.as_f64());
                let way = x.iter().zip(*b).map(|(x, b)| x.as_f64() - b.as_f64());
                slopes.push(row.iter().zip(way).map(|(g, way)| g.as_f64() * way).sum());
            }
        });
        slopes
    }

    /// The outputs at points.
    fn outputs(&mut self, position: usize, points: impl Iterator<Item = f64>) -> Vec<f64> {
        let points: Vec<_> = points.map(|alpha| (alpha, 0.0)).collect();
        let mut outputs = Vec::with_capacity(points.len());
        self.visit(&points, |path, points| outputs.extend((0..points.len()).map(|row| path.d.output(row, position))));
        outputs
    }

    /// The steps whose middles have these slopes.
    pub fn pieces(&mut self, position: usize, slopes: &[f64]) -> Vec<Piece> {
        let n = slopes.len() as f64;
        let outputs = self.outputs(position, (0..=slopes.len()).map(|k| k as f64 / n));
        let piece = |(k, (slope, outputs)): (usize, (&f64, &[f64]))| {
            let outputs = [outputs[0], outputs[1]];
            let gap = slope / n - (outputs[1] - outputs[0]);
            Piece { ends: [k as f64 / n, (k + 1) as f64 / n], outputs, weight: 1.0, gap }
        };
        slopes.iter().zip(outputs.windows(2)).enumerate().map(piece).collect()
    }

    /// Cuts the pieces with the largest gaps in three, as far as there are to be no more than `most`; whether any was cut.
    pub fn refine(&mut self, position: usize, steps: usize, most: usize, pieces: &mut Vec<Piece>) -> bool {
        let worst = pieces.iter().map(|p| p.gap.abs()).fold(0.0, f64::max);
        let room = most.saturating_sub(pieces.len()) / 2;
        let large = |p: &Piece| worst > 0.0 && p.gap.abs() >= worst / 3.0;
        let cut: Vec<usize> = (0..pieces.len()).filter(|&i| large(&pieces[i])).take(room).collect();
        // The middle of a piece is also that of its second third, whose weight is two thirds less.
        let (mut points, mut inner) = (Vec::new(), Vec::new());
        for &i in &cut {
            let Piece { ends: [start, end], weight, .. } = pieces[i];
            let at = |sixths: f64| start + (end - start) * sixths / 6.0;
            points.extend([(at(1.0), weight / 3.0), (at(3.0), weight / 3.0 - weight), (at(5.0), weight / 3.0)]);
            inner.extend([at(2.0), at(4.0)]);
        }
        let slopes = self.add(position, &points);
        let outputs = self.outputs(position, inner.iter().copied());
        let new = slopes.chunks_exact(3).zip(inner.chunks_exact(2)).zip(outputs.chunks_exact(2));
        for (&i, ((slopes, inner), outputs)) in cut.iter().zip(new) {
            let Piece { ends, outputs: ys, weight, .. } = pieces[i];
            let (at, ys) = ([ends[0], inner[0], inner[1], ends[1]], [ys[0], outputs[0], outputs[1], ys[1]]);
            let weight = weight / 3.0;
            let third = |k: usize| {
                let gap = slopes[k] * weight / steps as f64 - (ys[k + 1] - ys[k]);
                Piece { ends: [at[k], at[k + 1]], outputs: [ys[k], ys[k + 1]], weight, gap }
            };
            pieces[i] = third(0);
            pieces.extend([third(1), third(2)]);
        }
        !cut.is_empty()
    }

    /// Writes the parts of all inputs; their sum.
    pub fn parts(&self, steps: usize, parts: &mut [T]) -> f64 {
        for (((part, &x), &b), &sum) in parts.iter_mut().zip(self.x).zip(self.b).zip(&self.sums) {
            *part = T::of((x.as_f64() - b.as_f64()) * (sum / steps as f64));
        }
        sum(parts)
    }
}
