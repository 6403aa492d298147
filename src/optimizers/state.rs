//! What an optimizer remembers, and the pass over all weights that applies it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::stored::{check_storage, is_bf16, room};
use super::{Clip, Coefficients, Moments, Optimizer};
use crate::bf16::Bf16;
use crate::error::Result;
use crate::kernels::bounds::within;
use crate::kernels::random::{Key, Purpose};
use crate::kernels::{bytes, parallel, rounding, simd};
use crate::memory;
use crate::params::Params;
use crate::tensor::{Float, Shape};
use crate::written::{Rows, Written};

/// Elements of a part that clipping, decay, update and averaging pass over together, in the first-level cache; its weights are
/// kept aside on the stack until the new ones are known to be finite.
pub(crate) const PART: usize = 256;

/// Parts of a table that are asked for before they are needed.
const AHEAD: usize = 3;

/// The moments of an optimizer and the number of steps taken.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState<T = f32> {
    /// Updates so far.
    pub step: u64,
    /// The learning rate that takes the place of the optimizer's, once a callback has set one.
    pub learning_rate: Option<f64>,
    /// One buffer a moment, laid out as the weights; one parameter after the other where the rule takes whole ones. None where they are stored in
    /// bf16.
    pub moments: Vec<Vec<T>>,
    /// The same where they are stored in bf16 ([`MomentStorage::Bf16`](super::MomentStorage::Bf16)).
    pub bf16_moments: Vec<Vec<Bf16>>,
    /// By what the rounding of moments in bf16 is drawn, with the step and the weight's number; 0 at first. Models have their own seed here.
    pub seed: u64,
    /// Numbers kept beside the moments.
    pub scalars: Vec<f64>,
    /// The moving average of the weights; empty unless asked for.
    pub average: Vec<T>,
    segments: Vec<Segment>,
    /// The weights whose moments are kept here, where other processes keep the others'; see [`keep_own`](Self::keep_own).
    own: Option<Range<usize>>,
    /// The parts of a table in which a step works, by number.
    touched: Vec<u32>,
    /// Scratch where runs have learning-rate factors: the scalars before the step, and a copy to be advanced.
    scratch: [Vec<f64>; 2],
}

/// A run of weights that are treated alike.
#[derive(Clone, Debug)]
struct Segment {
    range: Range<usize>,
    /// Where its part of each moment lies.
    moments: [Range<usize>; 3],
    shape: Shape,
    decays: bool,
    /// What the learning rate is multiplied by.
    factor: f64,
    /// The number of its parameter, if that is a table of which a batch may give some rows a gradient.
    table: Option<usize>,
}

impl Segment {
    /// The rows outside of which its gradient is 0; none where nothing is known of it.
    fn rows<'w>(&self, written: Option<&'w Written>) -> Option<Rows<'w>> {
        written?.rows_of(self.table?)
    }
}

/// What one step does to every run.
struct Step<'a, T: Float> {
    optimizer: &'a dyn Optimizer<T>,
    coefficients: Coefficients,
    shape: Shape,
    decay: T,
    shrink: Shrink<T>,
    limit: Option<T>,
    ema: Option<T>,
    /// Where each moment begins, if gradients are so large that it might overflow in this step.
    starts: Option<[T; 3]>,
    /// By what the rounding of moments in bf16 is drawn, where they are stored so.
    rounding: Option<Key>,
}

impl<T: Float> OptimizerState<T> {
    /// Checks an optimizer with all its settings for weights of `T`, as `compile` does.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a setting outside its range, or one that is nothing for this rule or for `T`.
    pub fn check(optimizer: &dyn Optimizer<T>) -> Result<()> {
        optimizer.check()?;
        optimizer.options().check_as::<T>(optimizer.name())?;
        check_storage(optimizer)
    }

    /// The state before the first step. Settings are not looked at here, but by [`check`](Self::check): where it would refuse moments in bf16,
    /// those of whole parameters and beside weights in f64 are stored as the weights, all others in bf16.
    pub fn new(optimizer: &dyn Optimizer<T>, params: &Params<T>) -> Self {
        let options = optimizer.options();
        let starts = optimizer.moments();
        let (segments, lens) = segments(optimizer, params);
        let touched = Vec::with_capacity(most_touched(&segments));
        let bf16 = is_bf16(optimizer);
        let wide = if bf16 { &[] } else { &starts[..] };
        let stored = |&v: &f64| Bf16::stochastic(v as f32, 0x8000);
        OptimizerState {
            step: 0,
            learning_rate: None,
            moments: wide.iter().zip(lens).map(|(&v, len)| vec![T::of(v); len]).collect(),
            bf16_moments: if bf16 {
                starts.iter().zip(lens).map(|(v, len)| vec![stored(v); len]).collect()
            } else {
                Vec::new()
            },
            seed: 0,
            scalars: optimizer.scalars(),
            average: if options.ema_momentum.is_some() { params.values().to_vec() } else { Vec::new() },
            segments,
            own: None,
            touched,
            scratch: [optimizer.scalars(), optimizer.scalars()],
        }
    }

    /// By what rounding in the step that comes next is drawn.
    pub(super) fn rounding(&self) -> Key {
        Key::new(self.seed, Purpose::Rounding).with(self.step)
    }

    /// Takes notice that weights were frozen, thawed or given another learning-rate factor. Moments stay.
    pub(crate) fn refresh_segments(&mut self, optimizer: &dyn Optimizer<T>, params: &Params<T>) {
        self.segments = segments(optimizer, params).0;
        self.touched = Vec::with_capacity(most_touched(&self.segments));
    }

    /// Keeps the moments of some weights and drops those of the others, which [`step`](Self::step) then leaves as they are: another process
    /// updates them. The bits of a weight do not depend on which are kept, if `own` begins and ends at multiples of [`PART`].
    pub(crate) fn keep_own(&mut self, own: Range<usize>) {
        fn keep<E>(moments: &mut [Vec<E>], own: &Range<usize>) {
            for moments in moments {
                moments.truncate(own.end);
                moments.drain(..own.start.min(moments.len()));
                moments.shrink_to_fit();
            }
        }
        keep(&mut self.moments, &own);
        keep(&mut self.bf16_moments, &own);
        self.own = Some(own);
    }

    /// The weights whose moments are kept here, if they are not those of all.
    pub(crate) fn own(&self) -> Option<&Range<usize>> {
        self.own.as_ref()
    }

    /// The moments of all `n` weights are here again, those that were not kept as at the beginning, to be filled.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory); nothing has changed then.
    pub(crate) fn keep_all(&mut self, optimizer: &dyn Optimizer<T>, n: usize) -> Result<()> {
        fn widen<E: Copy>(moments: &mut [Vec<E>], own: &Range<usize>, n: usize, starts: impl Iterator<Item = E>) {
            for (moments, start) in moments.iter_mut().zip(starts) {
                let mut all = vec![start; n];
                all[own.clone()].copy_from_slice(moments);
                *moments = all;
            }
        }
        if self.own.is_none() {
            return Ok(());
        }
        memory::check_room::<T>("fit", format_args!("the moments of all {n} weights"), room(optimizer, n) - n)?;
        let Some(own) = self.own.take() else { return Ok(()) };
        let starts = optimizer.moments();
        widen(&mut self.moments, &own, n, starts.iter().map(|&start| T::of(start)));
        widen(&mut self.bf16_moments, &own, n, starts.iter().map(|&start| Bf16::stochastic(start as f32, 0x8000)));
        Ok(())
    }

    /// The moments as bytes, one buffer after the other, each with the bytes of a value.
    pub(crate) fn moments_as_bytes(&mut self) -> impl Iterator<Item = (&mut [u8], usize)> {
        let wide = self.moments.iter_mut().map(|moments| (bytes::of_mut(moments), size_of::<T>()));
        wide.chain(self.bf16_moments.iter_mut().map(|moments| (bytes::of_mut(moments), size_of::<Bf16>())))
    }

    /// One update of all trainable weights; the gradients are used up: clipping changes them in place.
    ///
    /// Returns whether gradients, learning rate, moments and new weights were finite. Gradients and learning rate are looked at
    /// before anything is changed; where new weights or moments overflow, the old weights of that part stay, so that all stay
    /// finite, and its moments begin anew.
    #[inline(never)]
    pub fn step(&mut self, optimizer: &dyn Optimizer<T>, params: &mut Params<T>, gradients: &mut [T]) -> bool {
        self.step_by(optimizer, params, gradients, None)
    }

    /// [`step`](Self::step) that leaves out rows of tables which nobody has written: what their zeros would do is nothing, in any bit.
    pub(crate) fn step_by(
        &mut self,
        optimizer: &dyn Optimizer<T>,
        params: &mut Params<T>,
        gradients: &mut [T],
        written: Option<&Written>,
    ) -> bool {
        let options = optimizer.options();
        let rate = self.learning_rate.unwrap_or_else(|| options.learning_rate.at(self.step));
        let decay = T::of(1.0 - options.weight_decay * rate);
        // Squares of usual gradients can be added up over many steps.
        let usual = self.all_within(gradients, written, T::max_value().sqrt() / T::of(1024.0));
        if !(T::of(rate).is_finite()
            && decay.is_finite()
            && (usual || self.all_within(gradients, written, T::max_value())))
        {
            return false;
        }
        let starts = (!usual).then(|| {
            let starts = optimizer.moments();
            std::array::from_fn(|i| T::of(starts.get(i).copied().unwrap_or(0.0)))
        });
        // A learning-rate factor asks for coefficients of its own, from the same scalars, which advance once.
        if self.segments.iter().any(|s| s.factor != 1.0) {
            self.scratch[0].clone_from(&self.scalars);
        }
        let base = (optimizer.coefficients(self.step + 1, rate, &mut self.scalars), decay);
        let mut scaled = (1.0, base);
        let global = match options.clip {
            Clip::GlobalNorm(limit) => {
                let parts = self.segments.iter().map(|s| (&gradients[s.range.clone()], s.rows(written)));
                Shrink::of(parts, limit)
            }
            _ => Shrink::none(),
        };
        let ema = options.ema_momentum.map(|m| T::of(if self.step == 0 { 0.0 } else { m }));
        let whole = optimizer.whole_parameters();
        let rounding = (!self.bf16_moments.is_empty()).then(|| self.rounding());
        let mut finite = true;
        for segment in &self.segments {
            let range = segment.range.clone();
            let g = &mut gradients[range.clone()];
            let rows = segment.rows(written);
            let shrink = match options.clip {
                Clip::Norm(limit) => Shrink::of(std::iter::once((&*g, rows)), limit),
                _ => global,
            };
            if segment.factor != scaled.0 {
                let mut own = || {
                    let rate = rate * segment.factor;
                    let [before, scalars] = &mut self.scratch;
                    scalars.clone_from(before);
                    let decay = T::of(1.0 - options.weight_decay * rate);
                    (optimizer.coefficients(self.step + 1, rate, scalars), decay)
                };
                scaled = (segment.factor, if segment.factor == 1.0 { base } else { own() });
            }
            let (coefficients, decay) = scaled.1;
            let step = Step {
                optimizer,
                coefficients,
                shape: segment.shape,
                decay: if segment.decays { decay } else { T::one() },
                shrink,
                limit: if let Clip::Value(limit) = options.clip { Some(T::of(limit)) } else { None },
                ema,
                starts,
                rounding,
            };
            // What of the segment is updated here, and where its moments begin.
            let (range, at) = match &self.own {
                None => (range, segment.moments.clone()),
                Some(own) => {
                    let range = range.start.max(own.start)..range.end.min(own.end);
                    if range.is_empty() {
                        continue;
                    }
                    let at = range.start - own.start..range.end - own.start;
                    (range, [at.clone(), at.clone(), at])
                }
            };
            let g = &mut gradients[range.clone()];
            let mut moments: Moments<'_, T> = Default::default();
            for ((slot, buffer), range) in moments.iter_mut().zip(&mut self.moments).zip(&at) {
                *slot = &mut buffer[range.clone()];
            }
            let mut stored: Stored<'_> = Default::default();
            for ((slot, buffer), range) in stored.iter_mut().zip(&mut self.bf16_moments).zip(&at) {
                *slot = &mut buffer[range.clone()];
            }
            let first = range.start;
            let average: &mut [T] = if ema.is_some() { &mut self.average[range.clone()] } else { &mut [] };
            let w = &mut params.values_mut()[range];
            let run = Run { w, g, moments, stored, average, first };
            // Decay and a moving average take something of every weight.
            let skips = || optimizer.leaves_zeros() && !whole && ema.is_none() && step.decay == T::one();
            if let Some(rows) = rows.filter(|_| skips() && T::of(rate * segment.factor).is_finite()) {
                parts_of(rows, &mut self.touched);
                let threads = parallel::parts(self.touched.len(), 4 * PART);
                finite &= run.apply_parts(&step, threads, &self.touched, 0);
                continue;
            }
            let parts = if whole { 1 } else { parallel::parts(run.w.len(), 4) };
            finite &= run.apply(&step, parts, if whole { usize::MAX } else { PART });
        }
        self.step += 1;
        if options.ema_overwrite_frequency.is_some_and(|n| self.step.is_multiple_of(n)) {
            self.use_average(params);
        }
        finite
    }

    /// Whether the gradients of all trainable weights lie within ±limit.
    fn all_within(&self, gradients: &[T], written: Option<&Written>, limit: T) -> bool {
        let all = AtomicBool::new(true);
        for segment in &self.segments {
            let g = &gradients[segment.range.clone()];
            if let Some(Rows { rows, width }) = segment.rows(written) {
                let row = |row: &u32| within(&g[*row as usize * width..][..width], limit);
                all.fetch_and(rows.iter().all(row), Ordering::Relaxed);
                continue;
            }
            parallel::ranges(g.len(), 1, |part| {
                if !within(&g[part], limit) {
                    all.store(false, Ordering::Relaxed);
                }
            });
        }
        all.into_inner()
    }

    /// Replaces the trainable weights by their average, where one is kept.
    pub fn use_average(&self, params: &mut Params<T>) {
        if self.average.is_empty() {
            return;
        }
        for segment in &self.segments {
            params.values_mut()[segment.range.clone()].copy_from_slice(&self.average[segment.range.clone()]);
        }
    }
}

/// The runs of weights that are trained, and the lengths of the moments. Where the rule takes whole parameters, frozen ones
/// have their place too, so that nothing moves when they are thawed.
fn segments<T: Float>(optimizer: &dyn Optimizer<T>, params: &Params<T>) -> (Vec<Segment>, [usize; 3]) {
    let options = optimizer.options();
    let whole = optimizer.whole_parameters();
    let by_parameter = whole || matches!(options.clip, Clip::Norm(_));
    let mut lens = [if whole { 0 } else { params.len() }; 3];
    let mut segments: Vec<Segment> = Vec::new();
    for (number, spec) in params.specs().iter().enumerate().filter(|(_, s)| !s.state) {
        let mut moments = [0; 3].map(|_| spec.range.clone());
        let mut shape = spec.shape;
        if whole {
            shape = optimizer.update_shape(&spec.name, shape);
            for (i, (range, len)) in moments.iter_mut().zip(&mut lens).enumerate() {
                *range = *len..*len + optimizer.moment_len(i, shape);
                *len = range.end;
            }
        }
        if !spec.trainable {
            continue;
        }
        let decays = options.weight_decay != 0.0 && (spec.decays || options.decay_all);
        let factor = spec.learning_rate_factor;
        let table = spec.is_table().then_some(number);
        let alike = |s: &Segment| {
            s.decays == decays
                && s.factor == factor
                && s.range.end == spec.range.start
                && (s.table, table) == (None, None)
        };
        match segments.last_mut() {
            Some(last) if !by_parameter && alike(last) => {
                last.range.end = spec.range.end;
                last.moments = [0; 3].map(|_| last.range.clone());
            }
            _ => segments.push(Segment { range: spec.range.clone(), moments, shape, decays, factor, table }),
        }
    }
    (segments, lens)
}

/// The most parts of a table.
fn most_touched(segments: &[Segment]) -> usize {
    let tables = segments.iter().filter(|segment| segment.table.is_some());
    tables.map(|table| table.range.len().div_ceil(PART)).max().unwrap_or(0)
}

/// The numbers of the parts that hold something of some rows.
fn parts_of(Rows { rows, width }: Rows<'_>, parts: &mut Vec<u32>) {
    parts.clear();
    let mut next = 0;
    for &row in rows {
        let start = row as usize * width;
        let (first, end) = ((start / PART).max(next), (start + width).div_ceil(PART));
        parts.extend(first as u32..end as u32);
        next = end.max(next);
    }
}

/// The moments of a run of weights that are stored in bf16; those not used are empty.
type Stored<'a> = [&'a mut [Bf16]; 3];

/// The moments of a part, to compute with.
type Wide<T> = [[T; PART]; 3];

/// Equal stretches of all buffers.
struct Run<'a, T> {
    w: &'a mut [T],
    g: &'a mut [T],
    /// Empty where moments are stored in bf16, as those are otherwise.
    moments: Moments<'a, T>,
    stored: Stored<'a>,
    average: &'a mut [T],
    /// The number of the first weight.
    first: usize,
}

impl<T: Float> Run<'_, T> {
    /// Asks for a part that will be read soon.
    fn fetch(&self, start: usize) {
        let range = start..start + PART;
        simd::fetch(self.w, range.clone());
        simd::fetch(self.g, range.clone());
        self.moments.iter().for_each(|m| simd::fetch(m, range.clone()));
        self.stored.iter().for_each(|m| simd::fetch(m, range.clone()));
    }

    fn split_at(self, n: usize) -> (Self, Self) {
        let (w, w2) = self.w.split_at_mut(n);
        let (g, g2) = self.g.split_at_mut(n);
        let (moments, moments2) = halves(self.moments, n);
        let (stored, stored2) = halves(self.stored, n);
        let at = n.min(self.average.len());
        let (average, average2) = self.average.split_at_mut(at);
        let first = self.first;
        (
            Run { w, g, moments, stored, average, first },
            Run { w: w2, g: g2, moments: moments2, stored: stored2, average: average2, first: first + n },
        )
    }

    fn apply(self, step: &Step<'_, T>, parts: usize, part: usize) -> bool {
        if parts > 1 {
            // At a multiple of a part, so that the parts are the same for any number of threads.
            let at = self.w.len() * (parts / 2) / parts / part * part;
            let (left, right) = self.split_at(at);
            let (mut a, mut b) = (true, true);
            parallel::join(|| a = left.apply(step, parts / 2, part), || b = right.apply(step, parts - parts / 2, part));
            return a && b;
        }
        let mut room = step.room();
        let (mut rest, mut finite) = (self, true);
        while rest.w.len() > part {
            let (head, tail) = rest.split_at(part);
            finite &= head.update_stored(step, &mut room);
            rest = tail;
        }
        finite & rest.update_stored(step, &mut room)
    }

    /// [`apply`](Self::apply) to some parts of a [`PART`] each, by number; the run begins with number `first`.
    fn apply_parts(self, step: &Step<'_, T>, threads: usize, parts: &[u32], first: u32) -> bool {
        let place = |part: u32, first: u32| (part - first) as usize * PART;
        if threads > 1 {
            let (left, right) = parts.split_at(parts.len() * (threads / 2) / threads);
            let (head, tail) = self.split_at(place(right[0], first));
            let (mut a, mut b) = (true, true);
            parallel::join(
                || a = head.apply_parts(step, threads / 2, left, first),
                || b = tail.apply_parts(step, threads - threads / 2, right, right[0]),
            );
            return a && b;
        }
        let mut room = step.room();
        let (mut rest, mut first, mut finite) = (self, first, true);
        for (i, &part) in parts.iter().enumerate() {
            // A part that comes soon, from a place that no processor could foresee.
            if let Some(&soon) = parts.get(i + AHEAD) {
                rest.fetch(place(soon, first));
            }
            let (_, from) = rest.split_at(place(part, first));
            let len = from.w.len().min(PART);
            let (own, after) = from.split_at(len);
            finite &= own.update_stored(step, &mut room);
            (rest, first) = (after, part + 1);
        }
        finite
    }

    /// [`update`](Self::update), by way of `room` where moments are stored in bf16.
    fn update_stored(self, step: &Step<'_, T>, room: &mut Option<Wide<T>>) -> bool {
        let (Some(room), Some(key)) = (room, step.rounding) else { return self.update(step) };
        let Run { w, g, stored, average, first, .. } = self;
        for (wide, stored) in room.iter_mut().zip(&stored) {
            rounding::widen(stored, wide);
        }
        let mut lens = stored.iter().map(|stored| stored.len());
        let mut moments = room.each_mut().map(|wide| &mut wide[..lens.next().unwrap_or(0)]);
        let each = moments.each_mut().map(|wide| &mut **wide);
        let finite = Run { w, g, moments: each, stored: Default::default(), average, first }.update(step);
        let ([a, b, c], [x, y, z]) = (moments, stored);
        rounding::round([a, b], [x, y], key, first);
        if !z.is_empty() {
            rounding::round([c, &[]], [z, &mut []], key.with(1), first);
        }
        finite
    }

    fn update(self, step: &Step<'_, T>) -> bool {
        let Run { w, g, mut moments, average, .. } = self;
        let mut old = [T::zero(); PART];
        let old = &mut old[..if w.len() <= PART { w.len() } else { 0 }];
        old.copy_from_slice(&w[..old.len()]);
        step.shrink.apply(g);
        if let Some(limit) = step.limit {
            g.iter_mut().for_each(|v| *v = v.max(-limit).min(limit));
        }
        if step.decay != T::one() {
            w.iter_mut().for_each(|v| *v *= step.decay);
        }
        let [a, b, c] = &mut moments;
        step.optimizer.update(&step.coefficients, step.shape, w, g, [a, b, c]);
        let overflown = step.starts.filter(|_| !moments.iter().all(|m| is_finite(m)));
        if let Some(starts) = overflown {
            moments.iter_mut().zip(starts).for_each(|(m, start)| m.fill(start));
        }
        if overflown.is_some() || !is_finite(w) {
            // A rule that takes whole parameters has no copy of a long one; the elements that overflowed are set to zero.
            match old.is_empty() {
                false => w.copy_from_slice(old),
                true => w.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = T::zero()),
            }
            return false;
        }
        if let Some(m) = step.ema {
            for (a, w) in average.iter_mut().zip(&*w) {
                *a = m * *a + (T::one() - m) * *w;
            }
        }
        true
    }
}

impl<T: Float> Step<'_, T> {
    /// Room for the moments of a part, where they are stored in another precision than they are computed with.
    fn room(&self) -> Option<Wide<T>> {
        self.rounding.map(|_| [[T::zero(); PART]; 3])
    }
}

/// What stands before and behind place `n` of each, as far as there are so many.
fn halves<E>(buffers: [&mut [E]; 3], n: usize) -> ([&mut [E]; 3], [&mut [E]; 3]) {
    let [(a, a2), (b, b2), (c, c2)] = buffers.map(|buffer| {
        let at = n.min(buffer.len());
        buffer.split_at_mut(at)
    });
    ([a, b, c], [a2, b2, c2])
}

/// Whether all values are finite.
fn is_finite<T: Float>(values: &[T]) -> bool {
    within(values, T::max_value())
}

/// Σ g² in f64, in an order that depends on the length only.
fn norm2<T: Float>(g: &[T], rows: Option<Rows<'_>>) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut add = |lane: usize, g: &[T]| {
        for (s, v) in lanes[lane..].iter_mut().zip(g) {
            *s += v.as_f64() * v.as_f64();
        }
    };
    match rows {
        None => g.chunks(8).for_each(|chunk| add(0, chunk)),
        // Every value goes where it would go if the zeros between the rows were added too.
        Some(Rows { rows, width }) => {
            for start in rows.iter().map(|&row| row as usize * width) {
                let lane = start % 8;
                let (head, rest) = g[start..][..width].split_at(((8 - lane) % 8).min(width));
                add(lane, head);
                rest.chunks(8).for_each(|chunk| add(0, chunk));
            }
        }
    }
    lanes.iter().sum()
}

/// The values that are not known to be 0, in their order.
fn known<'a, T>(g: &'a [T], rows: Option<Rows<'a>>) -> impl Iterator<Item = &'a T> {
    let all = if rows.is_none() { g } else { &[] };
    let rows = rows
        .into_iter()
        .flat_map(move |Rows { rows, width }| rows.iter().flat_map(move |&row| &g[row as usize * width..][..width]));
    all.iter().chain(rows)
}

/// How gradients are brought down to a length: a divisor, and after it a factor.
#[derive(Clone, Copy, Debug)]
struct Shrink<T> {
    divisor: T,
    factor: T,
}

impl<T: Float> Shrink<T> {
    /// Leaves gradients as they are.
    fn none() -> Self {
        Shrink { divisor: T::one(), factor: T::one() }
    }

    /// Brings all parts together down to a length of `limit`.
    fn of<'a>(parts: impl Iterator<Item = (&'a [T], Option<Rows<'a>>)> + Clone, limit: f64) -> Self {
        let norm = parts.clone().map(|(g, rows)| norm2(g, rows)).sum::<f64>().sqrt();
        let factor = T::of(if norm > limit { limit / norm } else { 1.0 });
        // Squares of f64 below 1e-290 are not exact any more.
        if norm > 1e-145 && norm.is_finite() && factor.is_normal() {
            return Shrink { divisor: T::one(), factor };
        }
        // By way of gradients over the largest, where squares or the factor would leave the type.
        let top = parts.clone().flat_map(|(g, rows)| known(g, rows)).fold(T::zero(), |m, v| v.abs().max(m));
        if top == T::zero() {
            return Self::none();
        }
        let square = |v: &T| (v.as_f64() / top.as_f64()).powi(2);
        let length = parts.map(|(g, rows)| known(g, rows).map(square).sum::<f64>()).sum::<f64>().sqrt();
        match top.as_f64() > limit / length {
            true => Shrink { divisor: top, factor: T::of(limit / length) },
            false => Self::none(),
        }
    }

    fn apply(self, g: &mut [T]) {
        if self.divisor != T::one() {
            g.iter_mut().for_each(|v| *v /= self.divisor);
        }
        if self.factor != T::one() {
            g.iter_mut().for_each(|v| *v *= self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::{Adagrad, Adam, OptimizerOptions, Options, Sgd};

    fn after<T: Float>(optimizer: &dyn Optimizer<T>, gradients: &[&[T]]) -> (Vec<bool>, Vec<T>) {
        let mut params = Params::new();
        params.push("w", Shape::from([2]), &[T::zero(); 2], true, true).unwrap();
        params.push("b", Shape::from([1]), &[T::zero()], true, true).unwrap();
        let mut state = OptimizerState::new(optimizer, &params);
        let done = gradients.iter().map(|g| state.step(optimizer, &mut params, &mut g.to_vec())).collect();
        (done, params.values().to_vec())
    }

    fn shrinks<T: Float>(cases: &[(f64, f64)], accuracy: f64) {
        for &(size, limit) in cases {
            let g = [3.0, -4.0, 12.0].map(|v| T::of(v * size));
            let all = Sgd::default().learning_rate(1.0).global_clipnorm(limit);
            let each = Sgd::default().learning_rate(1.0).clipnorm(limit);
            let all = (after::<T>(&all, &[&g]).1, [-3.0 / 13.0, 4.0 / 13.0, -12.0 / 13.0]);
            let each = (after::<T>(&each, &[&g]).1, [-0.6, 0.8, -1.0]);
            for (w, expected) in [all, each] {
                for (w, e) in w.iter().zip(expected) {
                    assert!((w.as_f64() / (e * limit) - 1.0).abs() < accuracy, "{size:e}, {limit:e}: {w:e}");
                }
            }
        }
    }

    #[test]
    fn lengths_of_any_size_are_brought_down() {
        shrinks::<f64>(&[(1e200, 1.0), (1e306, 1e-3), (1.4e307, 2.0), (1e-200, 1e-201), (1e200, 1e-100)], 1e-14);
        shrinks::<f64>(&[(1.0, 0.5), (1e-160, 1e-165), (1e307, 1e-290)], 1e-14);
        shrinks::<f32>(&[(1e30, 1.0), (2.5e37, 1e-3), (1e-30, 1e-31), (2.5e37, 1e-20), (1e-36, 1e-37)], 1e-6);
    }

    #[test]
    fn moments_that_overflow_fail_the_step_and_begin_anew() {
        let (huge, usual) = ([1e30f32, 1.0, 1.0], [0.5f32, -0.25, 1.0]);
        let optimizers: [&dyn Optimizer<f32>; 2] = [&Adam::default(), &Adagrad::default()];
        for optimizer in optimizers {
            let (done, w) = after(optimizer, &[&huge]);
            assert_eq!((done, w), (vec![false], vec![0.0; 3]));
            let (done, w) = after(optimizer, &[&huge, &usual, &usual]);
            assert!(done == [false, true, true] && w.iter().all(|v| *v != 0.0), "{w:?}");
        }
        // Without squares there is nothing to overflow.
        assert_eq!(after(&Sgd::default().learning_rate(1.0), &[&huge]), (vec![true], vec![-1e30, -1.0, -1.0]));
    }

    #[test]
    fn settings_that_are_nothing_as_elements() {
        let refused =
            |options: &Options| options.check_as::<f32>("test").is_err() && options.check_as::<f64>("test").is_ok();
        let clip = |clip| Options { clip, ..Options::default() };
        for limit in [1e-50, 1e39] {
            assert!([Clip::Value(limit), Clip::Norm(limit), Clip::GlobalNorm(limit)].map(clip).iter().all(refused));
        }
        assert!(refused(&Options::with_learning_rate(1e39)));
        use crate::optimizers::{Adadelta, Adafactor, BetaOptions, RmsProp};
        fn checks<O: Optimizer<f32> + Optimizer<f64>>(optimizer: O) -> [bool; 2] {
            [Optimizer::<f32>::check(&optimizer).is_ok(), Optimizer::<f64>::check(&optimizer).is_ok()]
        }
        assert_eq!(checks(Adam::default().epsilon(1e-50)), [false, true]);
        assert_eq!(checks(Adam::default().epsilon(0.0)), [true, true]);
        assert_eq!(checks(Adadelta::default().epsilon(1e-50)), [false, true]);
        assert_eq!(checks(RmsProp::default().epsilon(1e-50)), [false, true]);
        assert_eq!(checks(Adagrad::default().epsilon(1e-50)), [false, true]);
        assert_eq!(checks(Adafactor::default().epsilon_1(1e-50)), [false, true]);
        // Powers of β₂ are taken in single precision, where this one is 1 and would leave no step at all.
        assert_eq!(checks(Adam::default().beta_2(1.0 - 1e-9)), [false, false]);
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(checks(Adam::default().epsilon(bad)), [false, false]);
            assert_eq!(checks(RmsProp::default().momentum(bad)), [false, false]);
            assert!(Options::with_learning_rate(bad).check("test").is_err());
            assert!(Options { weight_decay: bad, ..Options::default() }.check("test").is_err());
            assert!(Options { ema_momentum: Some(bad), ..Options::default() }.check("test").is_err());
        }
    }
}
