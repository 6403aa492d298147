//! Q6_K: 256 values in sixteen groups of 16, each with a scale s of a byte with a sign; x = d·s·(q − 32) with d in half precision for all and q from 0 to 63.
//!
//! Of each 128 values, value l + 32·k (l below 32, k below 4) has the upper two bits of its q in bits 2·k and 2·k + 1 of byte l of 32; the lower four are in the
//! lower (k = 0, 1) or upper (k = 2, 3) half of byte l + 32·(k mod 2) of 64.

use super::super::half::widen;
use super::inverse::inverse;
use super::search::{self, factor, lanes, nearest};

/// Values of a block.
pub const VALUES: usize = 256;

/// Bytes of a block: lower four bits, upper two bits, scales, d.
pub const BYTES: usize = VALUES / 2 + VALUES / 4 + VALUES / 16 + 2;

/// Where upper bits, scales and d begin.
const UPPER: usize = VALUES / 2;
const SCALES: usize = UPPER + VALUES / 4;
const SCALE: usize = SCALES + VALUES / 16;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let d = widen(u16::from_le_bytes([block[SCALE], block[SCALE + 1]]));
    let scale = |group: usize| d * f32::from(block[SCALES + group] as i8);
    for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let lower = &block[64 * half..][..64];
        let upper = &block[UPPER + 32 * half..][..32];
        for (k, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let lower = &lower[32 * (k % 2)..][..32];
            let (by_four, by_two) = (4 * (k / 2), 2 * k);
            for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let scale = scale(8 * half + 2 * k + group);
                let (lower, upper) = (&lower[16 * group..][..16], &upper[16 * group..][..16]);
                for ((out, lower), upper) in out.iter_mut().zip(lower).zip(upper) {
                    let q = lower >> by_four & 15 | (upper >> by_two & 3) << 4;
                    *out = scale * f32::from(q as i8 - 32);
                }
            }
        }
    }
}

/// Groups of a block, and values of a group.
const GROUPS: usize = 16;
const GROUP: usize = VALUES / GROUPS;

type Groups = search::Groups<GROUPS, GROUP>;
type Lanes = search::Lanes<GROUPS>;

/// What gives q − 32 of values of all groups by the groups' steps, as numbers.
#[inline(always)]
fn places(steps: &Lanes) -> impl Fn(&Lanes) -> Lanes + use<> {
    let inverses = steps.map(inverse);
    move |values| lanes(|g| nearest(values[g] * inverses[g]).clamp(-32.0, 31.0))
}

/// What is lost in each group by these steps.
#[inline(always)]
fn lost(groups: &Groups, steps: &Lanes) -> Lanes {
    let places = places(steps);
    let [lost] = groups.sums(|v, w| {
        let q = places(v);
        let apart: Lanes = lanes(|g| v[g] - steps[g] * q[g]);
        [lanes(|g| w[g] * apart[g] * apart[g])]
    });
    lost
}

/// The steps by which the same q lose least.
#[inline(always)]
fn fitted(groups: &Groups, steps: &Lanes) -> Lanes {
    let places = places(steps);
    let [products, squares] = groups.sums(|v, w| {
        let q = places(v);
        [lanes(|g| w[g] * q[g] * v[g]), lanes(|g| w[g] * q[g] * q[g])]
    });
    std::array::from_fn(|g| {
        let step = products[g] / squares[g];
        if step.is_finite() { step } else { steps[g] }
    })
}

/// Takes numbers of others where those lose less.
#[inline(always)]
fn better_of((best, lost): (&mut Lanes, &mut Lanes), (others, others_lost): (&Lanes, &Lanes)) {
    for g in 0..GROUPS {
        let better = others_lost[g] < lost[g];
        best[g] = if better { others[g] } else { best[g] };
        lost[g] = if better { others_lost[g] } else { lost[g] };
    }
}

/// The steps that lose least of those tried: by which the value of the largest size becomes one of the last numbers, or lies a little outside.
#[inline(always)]
fn search(groups: &Groups) -> Lanes {
    let mut largest = [0f32; GROUPS];
    for values in &groups.values {
        for g in 0..GROUPS {
            largest[g] = if values[g].abs() > largest[g].abs() { values[g] } else { largest[g] };
        }
    }
    let mut best = largest.map(|v| v / LAST[0]);
    let mut least = lost(groups, &best);
    for last in LAST {
        let steps = fitted(groups, &largest.map(|v| v / last));
        better_of((&mut best, &mut least), (&steps, &lost(groups, &steps)));
    }
    best
}

/// What the value of the largest size becomes; what lies outside is cut off.
const LAST: [f32; 8] = [-32.0, 31.0, -31.5, -32.5, -33.0, -30.5, 30.5, 31.5];

/// Scales as whole numbers, and d with its bits.
#[derive(Clone, Copy)]
struct Numbers {
    d: (f32, u16),
    scales: Lanes,
}

impl Numbers {
    /// Those near to steps by which each group loses least with d; and what is lost in all.
    #[inline(always)]
    fn near(groups: &Groups, steps: &Lanes, d: f32) -> (Self, f32) {
        let d = factor(d);
        let by_d = inverse(d.0);
        let within = |v: f32| v.clamp(-128.0, 127.0);
        let first = steps.map(|step| within(nearest(step * by_d)));
        let (mut scales, mut least) = (first, [f32::INFINITY; GROUPS]);
        for more in [0.0, -1.0, 1.0] {
            let others = first.map(|s| within(s + more));
            better_of((&mut scales, &mut least), (&others, &lost(groups, &others.map(|s| d.0 * s))));
        }
        (Numbers { d, scales }, least.iter().sum())
    }

    #[inline(always)]
    fn steps(&self) -> Lanes {
        self.scales.map(|s| self.d.0 * s)
    }

    /// The d by which these numbers lose least.
    #[inline(always)]
    fn fitted(&self, groups: &Groups) -> f32 {
        let places = places(&self.steps());
        let sums = groups.sums(|v, w| {
            let q = places(v);
            let a: Lanes = lanes(|g| self.scales[g] * q[g]);
            [lanes(|g| w[g] * a[g] * v[g]), lanes(|g| w[g] * a[g] * a[g])]
        });
        let [products, squares] = sums.map(|lanes| lanes.iter().sum::<f32>());
        let d = products / squares;
        if d.is_finite() { d } else { self.d.0 }
    }
}

/// The block of some finite values, by which the sum of the squares of errors, weighted by importance, comes to little: steps for all groups, then d by the largest
/// of them, which becomes −128 or 127, and whole numbers near to both, then d once more by these numbers.
#[inline(always)]
pub fn encode(values: &[f32; VALUES], block: &mut [u8; BYTES]) {
    let groups = Groups::new(values);
    let steps = search(&groups);
    let largest = steps.iter().fold(0f32, |most, step| if step.abs() > most.abs() { *step } else { most });
    let (mut numbers, mut least) = Numbers::near(&groups, &steps, largest / -128.0);
    for again in [false, true] {
        let d = if again { numbers.fitted(&groups) } else { largest / 127.0 };
        let (others, lost) = Numbers::near(&groups, &steps, d);
        if lost < least {
            (numbers, least) = (others, lost);
        }
    }
    block[SCALE..].copy_from_slice(&numbers.d.1.to_le_bytes());
    for (out, s) in block[SCALES..SCALE].iter_mut().zip(numbers.scales) {
        *out = s as i8 as u8;
    }
    let places = places(&numbers.steps());
    let mut all = [0u8; VALUES];
    for (i, values) in groups.values.iter().enumerate() {
        let q = places(values).map(|q| (q + 32.0) as u8);
        (0..GROUPS).for_each(|g| all[GROUP * g + i] = q[g]);
    }
    for (half, q) in all.as_chunks::<128>().0.iter().enumerate() {
        for l in 0..32 {
            let [a, b, c, d] = [q[l], q[l + 32], q[l + 64], q[l + 96]];
            block[64 * half + l] = a & 15 | c << 4;
            block[64 * half + 32 + l] = b & 15 | d << 4;
            block[UPPER + 32 * half + l] = a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6;
        }
    }
}
