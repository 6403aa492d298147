//! Which values have a mask, found at build by Keras's rules, and what is in them, computed with each batch.
//!
//! A mask that is handed on is the same mask: nothing is computed or kept again. Where no value has one there is nothing to do.

use super::node::Code;
use super::plan::Wires;
use crate::error::{Error, Result};
use crate::layer::{Inputs, Layer, MaskRule, Masks, Op};
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// The masks of a net.
#[derive(Debug, Default)]
pub(super) struct MaskPlan {
    /// The number of each value's mask.
    of: Vec<Option<u32>>,
    /// How each comes about, in the order of the nodes.
    made: Vec<Made>,
}

/// How a mask comes about.
#[derive(Debug)]
struct Made {
    node: usize,
    /// The value that it is the mask of first, and over how many of its axes.
    value: u32,
    axes: usize,
    how: How,
}

#[derive(Debug)]
enum How {
    /// The node writes it.
    Open,
    /// What counts in any of these.
    Any(Vec<u32>),
    /// All steps.
    Whole,
    /// So many steps, which count, and those of another behind them.
    Lead { mask: u32, steps: usize },
    /// Those of these values, which count as a whole where they have none, one after the other along an axis.
    Join { axis: usize, parts: Vec<(Option<u32>, u32)> },
}

/// A node, as far as masks go by it.
pub(super) struct Masking<'a, T: Float> {
    pub name: &'a str,
    pub code: &'a Code<T>,
    pub wires: &'a Wires,
    /// Whether its outputs have no mask, whatever its rule.
    pub drops: bool,
}

impl MaskPlan {
    /// The masks of values of these shapes.
    pub fn new<'a, T: Float>(nodes: impl Iterator<Item = Masking<'a, T>>, shapes: &[Shape]) -> Result<Self> {
        let mut plan = MaskPlan { of: vec![None; shapes.len()], made: Vec::new() };
        for (index, Masking { name, code, wires, drops }) in nodes.enumerate() {
            let rule = match code {
                _ if drops => MaskRule::Drops,
                Code::Layer(layer) => layer.mask_rule(),
                Code::Op(op) => op.mask_rule(),
            };
            let first = wires.outputs.start;
            let masked = match code {
                Code::Layer(_) => wires.outputs.clone(),
                Code::Op(op) => first..wires.outputs.end.min(first.saturating_add(op.masked_outputs() as u32)),
            };
            let Some((mask, axes)) = plan.follow(index, rule, wires, shapes) else { continue };
            let fits = |v: u32| plan.fits(mask, &shapes[v as usize], axes, shapes);
            if !masked.clone().all(fits) {
                if matches!(rule, MaskRule::Passes | MaskRule::PassesOf(_)) {
                    continue;
                }
                let (class, output) = (code.class(), shapes[first as usize]);
                let problem = format!("{class} opens a mask over {axes} axes of samples of {output}");
                let hint = "let mask_rule open one over the first axes, all but the last at most";
                let source = Box::new(Error::Config { op: "build", problem, hint: hint.into() });
                return Err(Error::Layer { index, name: name.to_owned(), source });
            }
            masked.for_each(|v| plan.of[v as usize] = Some(mask));
        }
        if plan.made.is_empty() {
            plan.of.clear();
        }
        Ok(plan)
    }

    /// The mask of a node's outputs and its axes, by the node's rule.
    fn follow(&mut self, node: usize, rule: MaskRule, wires: &Wires, shapes: &[Shape]) -> Option<(u32, usize)> {
        let value = wires.outputs.start;
        let masks: Vec<Option<u32>> = wires.inputs.iter().map(|&v| self.of[v as usize]).collect();
        let axes_of = |plan: &Self, mask: u32| plan.made[mask as usize].axes;
        let mut make = |axes, how| {
            self.made.push(Made { node, value, axes, how });
            Some((self.made.len() as u32 - 1, axes))
        };
        match rule {
            MaskRule::Drops => None,
            MaskRule::Opens(axes) => make(axes, How::Open),
            MaskRule::Passes => masks[0].map(|mask| (mask, axes_of(self, mask))),
            MaskRule::PassesOf(input) => masks.get(input).copied().flatten().map(|mask| (mask, axes_of(self, mask))),
            MaskRule::Leads(steps) => {
                let mask = masks[0]?;
                let axes = axes_of(self, mask);
                self.made.push(Made { node, value, axes, how: How::Lead { mask, steps } });
                Some((self.made.len() as u32 - 1, axes))
            }
            MaskRule::Any => {
                let masks: Vec<u32> = masks.into_iter().collect::<Option<_>>()?;
                let axes = self.made[masks[0] as usize].axes;
                if masks.iter().all(|&mask| mask == masks[0])
                    && self.fits(masks[0], &shapes[value as usize], axes, shapes)
                {
                    return Some((masks[0], axes));
                }
                let same = masks.iter().all(|&mask| axes_of(self, mask) == axes);
                let ranks = wires.inputs.iter().all(|&v| shapes[v as usize].rank() == shapes[value as usize].rank());
                if !(same && ranks) {
                    return None;
                }
                self.made.push(Made { node, value, axes, how: How::Any(masks) });
                Some((self.made.len() as u32 - 1, axes))
            }
            MaskRule::Joins(axis) => {
                let axes = shapes[value as usize].rank().checked_sub(1)?;
                let known = masks.iter().flatten();
                if masks.iter().all(Option::is_none) || known.clone().any(|&mask| axes_of(self, mask) != axes) {
                    return None;
                }
                let how = match (axis == axes, masks.iter().copied().collect::<Option<Vec<_>>>()) {
                    (true, Some(masks)) if masks.iter().all(|&mask| mask == masks[0]) => return Some((masks[0], axes)),
                    (true, Some(masks)) => How::Any(masks),
                    (true, None) => How::Whole,
                    (false, _) => {
                        How::Join { axis, parts: masks.into_iter().zip(wires.inputs.iter().copied()).collect() }
                    }
                };
                self.made.push(Made { node, value, axes, how });
                Some((self.made.len() as u32 - 1, axes))
            }
        }
    }

    /// Whether a mask lies on samples of a shape.
    fn fits(&self, mask: u32, shape: &Shape, axes: usize, shapes: &[Shape]) -> bool {
        let made = &self.made[mask as usize];
        let own = &shapes[made.value as usize];
        axes < shape.rank() && shape.dims()[..axes] == own.dims()[..axes]
    }

    /// Whether no value has one.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// The number of a value's mask.
    pub fn of(&self, value: u32) -> Option<u32> {
        self.of.get(value as usize).copied().flatten()
    }

    /// Where the mask of a value is among those of a pass.
    pub fn find<'a>(&self, masks: &'a Masks, value: u32) -> Option<&'a [bool]> {
        masks.all.get(self.of(value)? as usize).map(Vec::as_slice)
    }

    /// Takes notice that a node computes.
    #[inline]
    pub fn turn(&self, masks: &mut Masks, wires: &Wires) {
        masks.inputs.clear();
        masks.inputs.extend(wires.inputs.iter().map(|&v| self.of(v)));
    }

    /// Takes notice that a layer computes, and lets it open its output's mask.
    pub fn layer<T: Float>(&self, masks: &mut Masks, at: At<'_>, layer: &dyn Layer<T>, x: &Tensor<T>) {
        self.turn(masks, at.wires);
        if let Some(number) = self.made_at(at.node) {
            self.make(masks, number, &at, |mask| layer.open_mask(x, mask));
        }
    }

    /// The same for an operation.
    pub fn op<T: Float>(&self, masks: &mut Masks, at: At<'_>, op: &dyn Op<T>, x: Inputs<'_, T>) {
        self.turn(masks, at.wires);
        if let Some(number) = self.made_at(at.node) {
            self.make(masks, number, &at, |mask| op.open_mask(x, mask));
        }
    }

    /// Forgets what was in them, where there are no samples.
    pub fn clear(&self, masks: &mut Masks) {
        masks.all.resize_with(self.made.len(), Vec::new);
        masks.all.iter_mut().for_each(Vec::clear);
    }

    /// The number of the mask that a node makes.
    fn made_at(&self, node: usize) -> Option<usize> {
        self.made.binary_search_by_key(&node, |made| made.node).ok()
    }

    fn make(&self, masks: &mut Masks, number: usize, at: &At<'_>, open: impl FnOnce(&mut [bool])) {
        masks.all.resize_with(self.made.len(), Vec::new);
        let made = &self.made[number];
        let sizes = &at.shapes[made.value as usize].dims()[..made.axes];
        let mut mask = std::mem::take(&mut masks.all[number]);
        mask.resize(at.samples * sizes.iter().product::<usize>(), false);
        match &made.how {
            How::Open => open(&mut mask),
            How::Whole => mask.fill(true),
            How::Any(parts) => {
                mask.fill(false);
                for &part in parts {
                    let of = &self.made[part as usize];
                    let own = &at.shapes[of.value as usize].dims()[..of.axes];
                    or(&mut mask, sizes, &masks.all[part as usize], own);
                }
            }
            How::Lead { mask: behind, steps } => {
                let whole = sizes.iter().product::<usize>();
                let lead = steps * sizes.iter().skip(1).product::<usize>();
                let from = masks.all[*behind as usize].chunks_exact(whole.saturating_sub(lead).max(1));
                for (to, from) in mask.chunks_exact_mut(whole.max(1)).zip(from) {
                    to[..lead].fill(true);
                    to[lead..].copy_from_slice(from);
                }
            }
            How::Join { axis, parts } => {
                let step = |v: u32| at.shapes[v as usize].dims()[*axis..made.axes].iter().product::<usize>();
                let whole: usize = parts.iter().map(|&(_, v)| step(v)).sum();
                let mut start = 0;
                for &(part, v) in parts {
                    let n = step(v);
                    for (i, to) in mask.chunks_exact_mut(whole.max(1)).enumerate() {
                        let to = &mut to[start..start + n];
                        match part {
                            Some(part) => to.copy_from_slice(&masks.all[part as usize][i * n..][..n]),
                            None => to.fill(true),
                        }
                    }
                    start += n;
                }
            }
        }
        masks.all[number] = mask;
    }
}

/// Where a pass is.
pub(super) struct At<'a> {
    pub node: usize,
    pub wires: &'a Wires,
    /// The shape of a sample of each value.
    pub shapes: &'a [Shape],
    pub samples: usize,
}

/// `to |= from`, where a size of 1 in `from` counts for all positions.
fn or(to: &mut [bool], sizes: &[usize], from: &[bool], own: &[usize]) {
    if sizes == own {
        return to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
    }
    let (whole, part) = (sizes.iter().product::<usize>().max(1), own.iter().product::<usize>());
    let mut strides = [0; MAX_RANK];
    let mut stride = 1;
    for axis in (0..own.len()).rev() {
        strides[axis] = if own[axis] == 1 { 0 } else { stride };
        stride *= own[axis];
    }
    for (to, from) in to.chunks_exact_mut(whole).zip(from.chunks_exact(part.max(1))) {
        for (i, to) in to.iter_mut().enumerate() {
            let (mut rest, mut at) = (i, 0);
            for axis in (0..sizes.len()).rev() {
                at += rest % sizes[axis] * strides[axis];
                rest /= sizes[axis];
            }
            *to |= from[at];
        }
    }
}
