//! What an optimizer remembers, and the pass over all weights that applies it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Clip, Coefficients, Moments, Optimizer};
use crate::kernels::{parallel, simd};
use crate::params::Params;
use crate::tensor::{Float, Shape};

/// Elements of a part that clipping, decay, update and averaging pass over together, in the first-level cache; its weights are
/// kept aside on the stack until the new ones are known to be finite.
const PART: usize = 256;

/// The moments of an optimizer and the number of steps taken.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState<T = f32> {
    /// Updates so far.
    pub step: u64,
    /// The learning rate that takes the place of the optimizer's, once a callback has set one.
    pub learning_rate: Option<f64>,
    /// One buffer a moment, laid out as the weights; one parameter after the other where the rule takes whole ones.
    pub moments: Vec<Vec<T>>,
    /// Numbers kept beside the moments.
    pub scalars: Vec<f64>,
    /// The moving average of the weights; empty unless asked for.
    pub average: Vec<T>,
    segments: Vec<Segment>,
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
}

/// What one step does to every run.
struct Step<'a, T: Float> {
    optimizer: &'a dyn Optimizer<T>,
    coefficients: Coefficients,
    shape: Shape,
    decay: T,
    scale: T,
    limit: Option<T>,
    ema: Option<T>,
}

impl<T: Float> OptimizerState<T> {
    /// The state before the first step.
    pub fn new(optimizer: &dyn Optimizer<T>, params: &Params<T>) -> Self {
        let options = optimizer.options();
        let starts = optimizer.moments();
        let (segments, lens) = segments(optimizer, params);
        OptimizerState {
            step: 0,
            learning_rate: None,
            moments: starts.iter().zip(lens).map(|(&v, len)| vec![T::of(v); len]).collect(),
            scalars: optimizer.scalars(),
            average: if options.ema_momentum.is_some() { params.values().to_vec() } else { Vec::new() },
            segments,
            scratch: [optimizer.scalars(), optimizer.scalars()],
        }
    }

    /// Takes notice that weights were frozen, thawed or given another learning-rate factor. Moments stay.
    pub(crate) fn regroup(&mut self, optimizer: &dyn Optimizer<T>, params: &Params<T>) {
        self.segments = segments(optimizer, params).0;
    }

    /// One update of all trainable weights; the gradients are used up: clipping changes them in place.
    ///
    /// Returns whether gradients, learning rate and new weights were finite. Gradients and learning rate are looked at before
    /// anything is changed; where new weights overflow, the old ones of that part stay, so that all weights stay finite.
    pub fn step(&mut self, optimizer: &dyn Optimizer<T>, params: &mut Params<T>, gradients: &mut [T]) -> bool {
        let options = optimizer.options();
        let rate = self.learning_rate.unwrap_or_else(|| options.learning_rate.at(self.step));
        let decay = T::of(1.0 - options.weight_decay * rate);
        if !(T::of(rate).is_finite() && decay.is_finite() && self.all_finite(gradients)) {
            return false;
        }
        // A learning-rate factor asks for coefficients of its own, from the same scalars, which advance once.
        if self.segments.iter().any(|s| s.factor != 1.0) {
            self.scratch[0].clone_from(&self.scalars);
        }
        let base = (optimizer.coefficients(self.step + 1, rate, &mut self.scalars), decay);
        let mut scaled = (1.0, base);
        let global = match options.clip {
            Clip::GlobalNorm(limit) => {
                shrink(self.segments.iter().map(|s| norm2(&gradients[s.range.clone()])).sum(), limit)
            }
            _ => 1.0,
        };
        let ema = options.ema_momentum.map(|m| T::of(if self.step == 0 { 0.0 } else { m }));
        let whole = optimizer.whole_parameters();
        let mut finite = true;
        for segment in &self.segments {
            let range = segment.range.clone();
            let g = &mut gradients[range.clone()];
            let scale = match options.clip {
                Clip::Norm(limit) => shrink(norm2(g), limit),
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
                scale: T::of(scale),
                limit: if let Clip::Value(limit) = options.clip { Some(T::of(limit)) } else { None },
                ema,
            };
            let mut moments: Moments<'_, T> = Default::default();
            for ((slot, buffer), range) in moments.iter_mut().zip(&mut self.moments).zip(&segment.moments) {
                *slot = &mut buffer[range.clone()];
            }
            let average: &mut [T] = if ema.is_some() { &mut self.average[range.clone()] } else { &mut [] };
            let w = &mut params.values_mut()[range];
            let run = Run { w, g, moments, average };
            let parts = if whole { 1 } else { parallel::parts(run.w.len(), 4) };
            finite &= run.apply(&step, parts, if whole { usize::MAX } else { PART });
        }
        self.step += 1;
        if options.ema_overwrite_frequency.is_some_and(|n| self.step.is_multiple_of(n)) {
            self.use_average(params);
        }
        finite
    }

    /// Whether the gradients of all trainable weights are finite.
    fn all_finite(&self, gradients: &[T]) -> bool {
        let finite = AtomicBool::new(true);
        for segment in &self.segments {
            let g = &gradients[segment.range.clone()];
            parallel::ranges(g.len(), 1, |part| {
                if !is_finite(&g[part]) {
                    finite.store(false, Ordering::Relaxed);
                }
            });
        }
        finite.into_inner()
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
    for spec in params.specs().iter().filter(|s| !s.state) {
        let mut moments = [0; 3].map(|_| spec.range.clone());
        let mut shape = spec.shape;
        if whole {
            shape = optimizer.seen_as(&spec.name, shape);
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
        let alike = |s: &Segment| s.decays == decays && s.factor == factor && s.range.end == spec.range.start;
        match segments.last_mut() {
            Some(last) if !by_parameter && alike(last) => {
                last.range.end = spec.range.end;
                last.moments = [0; 3].map(|_| last.range.clone());
            }
            _ => segments.push(Segment { range: spec.range.clone(), moments, shape, decays, factor }),
        }
    }
    (segments, lens)
}

/// Equal stretches of all buffers.
struct Run<'a, T> {
    w: &'a mut [T],
    g: &'a mut [T],
    moments: Moments<'a, T>,
    average: &'a mut [T],
}

impl<T: Float> Run<'_, T> {
    fn split_at(self, n: usize) -> (Self, Self) {
        let (w, w2) = self.w.split_at_mut(n);
        let (g, g2) = self.g.split_at_mut(n);
        let [(a, a2), (b, b2), (c, c2)] = self.moments.map(|m| {
            let at = n.min(m.len());
            m.split_at_mut(at)
        });
        let at = n.min(self.average.len());
        let (average, average2) = self.average.split_at_mut(at);
        (Run { w, g, moments: [a, b, c], average }, Run { w: w2, g: g2, moments: [a2, b2, c2], average: average2 })
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
        let (mut rest, mut finite) = (self, true);
        while rest.w.len() > part {
            let (head, tail) = rest.split_at(part);
            finite &= head.update(step);
            rest = tail;
        }
        finite & rest.update(step)
    }

    fn update(self, step: &Step<'_, T>) -> bool {
        let Run { w, g, moments, average } = self;
        let mut old = [T::zero(); PART];
        let old = &mut old[..if w.len() <= PART { w.len() } else { 0 }];
        old.copy_from_slice(&w[..old.len()]);
        if step.scale != T::one() {
            g.iter_mut().for_each(|v| *v *= step.scale);
        }
        if let Some(limit) = step.limit {
            g.iter_mut().for_each(|v| *v = v.max(-limit).min(limit));
        }
        if step.decay != T::one() {
            w.iter_mut().for_each(|v| *v *= step.decay);
        }
        step.optimizer.update(&step.coefficients, step.shape, w, g, moments);
        if !is_finite(w) {
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

/// Whether all values are finite.
fn is_finite<T: Float>(values: &[T]) -> bool {
    simd::vectorised(|| values.iter().fold(true, |finite, v| finite & (v.abs() <= T::max_value())))
}

/// Σ g² in f64, in an order that depends on the length only.
fn norm2<T: Float>(g: &[T]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for chunk in g.chunks(8) {
        for (s, v) in lanes.iter_mut().zip(chunk) {
            *s += v.as_f64() * v.as_f64();
        }
    }
    lanes.iter().sum()
}

/// The factor that brings a squared length down to a limit.
fn shrink(norm2: f64, limit: f64) -> f64 {
    let norm = norm2.sqrt();
    if norm > limit { limit / norm } else { 1.0 }
}
