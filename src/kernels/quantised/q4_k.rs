//! Q4_K: 256 values in eight groups of 32, each with a scale s and a minimum m of six bits; x = d·s·q − e·m with d and e in half precision for all and q from
//! 0 to 15. Two groups share 32 bytes: the first has their lower halves, the second the upper ones.

use super::super::half::widen;
use super::inverse::inverse;
use super::search::{self, factor, lanes, nearest};

/// Values of a block.
pub const VALUES: usize = 256;

/// Bytes of a block: d, e, scales and minima, q.
pub const BYTES: usize = 2 + 2 + 12 + VALUES / 2;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let [d, e] = [0, 2].map(|at| widen(u16::from_le_bytes([block[at], block[at + 1]])));
    let (scales, minima) = scales(&block[4..16]);
    let (packed, pairs) = (block[16..].as_chunks::<32>().0, out.as_chunks_mut::<64>().0);
    for (i, (q, out)) in packed.iter().zip(pairs).enumerate() {
        let [low, high] = [2 * i, 2 * i + 1].map(|group| (d * f32::from(scales[group]), e * f32::from(minima[group])));
        let (first, second) = out.split_at_mut(32);
        for ((first, second), q) in first.iter_mut().zip(second).zip(q) {
            *first = low.0 * f32::from(q & 15) - low.1;
            *second = high.0 * f32::from(q >> 4) - high.1;
        }
    }
}

/// The eight scales and minima of twelve bytes. The first four have six bits of bytes 0 to 3 and 4 to 7; those behind have their lower four in bytes 8 to 11 (the
/// scale's below the minimum's), and the two above at the top of the bytes of the first four.
#[inline(always)]
fn scales(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for i in 0..4 {
        let (scale, minimum, lower) = (packed[i], packed[i + 4], packed[i + 8]);
        (scales[i], minima[i]) = (scale & 63, minimum & 63);
        scales[i + 4] = lower & 15 | scale >> 6 << 4;
        minima[i + 4] = lower >> 4 | minimum >> 6 << 4;
    }
    (scales, minima)
}

/// Groups of a block, and values of a group.
const GROUPS: usize = 8;
const GROUP: usize = VALUES / GROUPS;

type Groups = search::Groups<GROUPS, GROUP>;
type Lanes = search::Lanes<GROUPS>;

/// How the values of each group lie: q stands for step·q + low, where low is at most 0.
#[derive(Clone, Copy)]
struct Lines {
    step: Lanes,
    low: Lanes,
}

impl Lines {
    /// What scales and minima of six bits stand for, with the decoder's rounding.
    #[inline(always)]
    fn of(scales: &Lanes, minima: &Lanes, d: f32, e: f32) -> Self {
        Lines { step: scales.map(|s| d * s), low: minima.map(|m| -(e * m)) }
    }

    /// What gives the q of values of all groups, as numbers.
    #[inline(always)]
    fn places(&self) -> impl Fn(&Lanes) -> Lanes + use<> {
        let (low, inverses) = (self.low, self.step.map(inverse));
        move |values| lanes(|g| nearest((values[g] - low[g]) * inverses[g]).clamp(0.0, 15.0))
    }

    /// What is lost in each group.
    #[inline(always)]
    fn lost(&self, groups: &Groups) -> Lanes {
        let places = self.places();
        let [lost] = groups.sums(|v, w| {
            let q = places(v);
            let apart: Lanes = lanes(|g| v[g] - (self.step[g] * q[g] + self.low[g]));
            [lanes(|g| w[g] * apart[g] * apart[g])]
        });
        lost
    }

    /// The lines by which the same q lose least.
    #[inline(always)]
    fn fitted(&self, groups: &Groups) -> Self {
        let places = self.places();
        let [all, of_x, of_q, squares, products] = groups.sums(|v, w| {
            let q = places(v);
            let weighted: Lanes = lanes(|g| w[g] * q[g]);
            [*w, lanes(|g| w[g] * v[g]), weighted, lanes(|g| weighted[g] * q[g]), lanes(|g| weighted[g] * v[g])]
        });
        let mut fitted = *self;
        for g in 0..GROUPS {
            let determinant = all[g] * squares[g] - of_q[g] * of_q[g];
            let step = (all[g] * products[g] - of_q[g] * of_x[g]) / determinant;
            let low = (of_x[g] - step * of_q[g]) / all[g];
            // Through zero, where all values would lie above it.
            let alone = products[g] / squares[g];
            // Where all q are the same there is no step: NaN, or whatever rounding leaves, which loses more.
            let (step, low) = if low <= 0.0 { (step, low) } else { (alone, 0.0) };
            if step > 0.0 && step.is_finite() {
                (fitted.step[g], fitted.low[g]) = (step, low);
            }
        }
        fitted
    }

    /// Takes lines of others where those lose less.
    #[inline(always)]
    fn better_of(&mut self, lost: &mut Lanes, (others, others_lost): (&Self, &Lanes)) {
        for g in 0..GROUPS {
            let better = others_lost[g] < lost[g];
            self.step[g] = if better { others.step[g] } else { self.step[g] };
            self.low[g] = if better { others.low[g] } else { self.low[g] };
            lost[g] = if better { others_lost[g] } else { lost[g] };
        }
    }

    /// The lines that lose least of those tried: from the smallest value to the largest, and fitted ones that begin shorter and so cut off what lies outside.
    #[inline(always)]
    fn search(groups: &Groups) -> Self {
        let (mut low, mut high) = ([0f32; GROUPS], [f32::NEG_INFINITY; GROUPS]);
        for values in &groups.values {
            for g in 0..GROUPS {
                low[g] = low[g].min(values[g]);
                high[g] = high[g].max(values[g]);
            }
        }
        let shortened = |by: f32| Lines {
            step: std::array::from_fn(|g| (high[g] - low[g]) * ((1.0 - by) / 15.0)),
            low: std::array::from_fn(|g| low[g] + (high[g] - low[g]) * (0.5 * by)),
        };
        let mut best = shortened(0.0);
        let mut lost = best.lost(groups);
        for by in SHORTER {
            let lines = shortened(by).fitted(groups).fitted(groups);
            best.better_of(&mut lost, (&lines, &lines.lost(groups)));
        }
        best
    }
}

/// By which parts of their length lines begin shorter.
const SHORTER: [f32; 3] = [0.0, 0.08, 0.16];

/// Steps to the neighbours of a scale and a minimum, none first.
const NEAR: [[f32; 2]; 9] =
    [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]];

/// Scales and minima as whole numbers, and d and e with their bits.
#[derive(Clone, Copy)]
struct Numbers {
    d: (f32, u16),
    e: (f32, u16),
    scales: Lanes,
    minima: Lanes,
}

impl Numbers {
    /// Those nearest to lines, or so many steps from there, by which each group loses least with d and e; and what is lost in all.
    #[inline(always)]
    fn near(groups: &Groups, lines: &Lines, (d, e): (f32, f32), steps: &[[f32; 2]]) -> (Self, f32) {
        let (d, e) = (factor(d), factor(e));
        let (by_d, by_e) = (inverse(d.0), inverse(e.0));
        let within = |v: f32| v.clamp(0.0, 63.0);
        let first = Numbers {
            d,
            e,
            scales: lines.step.map(|step| within(nearest(step * by_d))),
            minima: lines.low.map(|low| within(nearest(-low * by_e))),
        };
        let (mut best, mut lost) = (first, [f32::INFINITY; GROUPS]);
        for [more, above] in steps {
            let (scales, minima) = (first.scales.map(|s| within(s + more)), first.minima.map(|m| within(m + above)));
            let error = Lines::of(&scales, &minima, d.0, e.0).lost(groups);
            for g in 0..GROUPS {
                let better = error[g] < lost[g];
                best.scales[g] = if better { scales[g] } else { best.scales[g] };
                best.minima[g] = if better { minima[g] } else { best.minima[g] };
                lost[g] = if better { error[g] } else { lost[g] };
            }
        }
        (best, lost.iter().sum())
    }

    #[inline(always)]
    fn lines(&self) -> Lines {
        Lines::of(&self.scales, &self.minima, self.d.0, self.e.0)
    }

    /// The d and e by which these numbers lose least: x is d·a − e·m, where a is s·q.
    #[inline(always)]
    fn fitted(&self, groups: &Groups) -> (f32, f32) {
        let places = self.lines().places();
        let sums = groups.sums(|v, w| {
            let (q, m) = (places(v), &self.minima);
            let a: Lanes = lanes(|g| self.scales[g] * q[g]);
            let (wa, wm): (Lanes, Lanes) = (lanes(|g| w[g] * a[g]), lanes(|g| w[g] * m[g]));
            let of = |x: &Lanes, y: &Lanes| lanes(|g| x[g] * y[g]);
            [of(&wa, &a), of(&wa, m), of(&wm, m), of(&wa, v), of(&wm, v)]
        });
        let [aa, am, mm, ax, mx] = sums.map(|lanes| lanes.iter().sum::<f32>());
        let determinant = aa * mm - am * am;
        let (d, e) = ((ax * mm - am * mx) / determinant, (ax * am - aa * mx) / determinant);
        let usable = d.is_finite() && d > 0.0 && e.is_finite() && e >= 0.0;
        if usable { (d, e) } else { (self.d.0, self.e.0) }
    }
}

/// The block of some finite values, by which the sum of the squares of errors, weighted by importance, comes to little: lines for all groups, then d and e by the
/// longest of them and whole numbers near to both, then d and e once more by these numbers.
#[inline(always)]
pub fn encode(values: &[f32; VALUES], block: &mut [u8; BYTES]) {
    let groups = Groups::new(values);
    let lines = Lines::search(&groups);
    let largest = |lanes: &Lanes| lanes.iter().fold(0f32, |most, v| most.max(v.abs()));
    let longest = (largest(&lines.step) / 63.0, largest(&lines.low) / 63.0);
    let (mut numbers, lost) = Numbers::near(&groups, &lines, longest, &NEAR[..1]);
    let (others, others_lost) = Numbers::near(&groups, &lines, numbers.fitted(&groups), &NEAR);
    if others_lost < lost {
        numbers = others;
    }
    block[..2].copy_from_slice(&numbers.d.1.to_le_bytes());
    block[2..4].copy_from_slice(&numbers.e.1.to_le_bytes());
    pack_scales(numbers.scales.map(|s| s as u8), numbers.minima.map(|m| m as u8), &mut block[4..16]);
    let places = numbers.lines().places();
    for (i, values) in groups.values.iter().enumerate() {
        let q = places(values).map(|q| q as u8);
        for (pair, q) in q.as_chunks::<2>().0.iter().enumerate() {
            block[16 + GROUP * pair + i] = q[0] | q[1] << 4;
        }
    }
}

/// Puts scales and minima where [`scales`] finds them.
#[inline(always)]
fn pack_scales(scales: [u8; GROUPS], minima: [u8; GROUPS], packed: &mut [u8]) {
    for i in 0..4 {
        packed[i] = scales[i] | scales[i + 4] >> 4 << 6;
        packed[i + 4] = minima[i] | minima[i + 4] >> 4 << 6;
        packed[i + 8] = scales[i + 4] & 15 | minima[i + 4] << 4;
    }
}
