//! Parts of a net whose inner values are not kept for the way back, but computed again there.

use std::ops::Range;

use super::outline::Outline;
use super::plan::Wires;
use crate::layer::Slot;
use crate::tensor::{Float, Tensor};

/// Nodes that are computed again together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub nodes: Range<usize>,
    /// The values that are made and read in it alone.
    pub inner: Vec<u32>,
}

/// The segments of a net: the innermost parts that hold several nodes, such as the blocks of a transformer, in their order.
pub(super) fn segments<'a>(
    outline: &[Outline],
    nodes: impl ExactSizeIterator<Item = &'a Wires> + Clone,
    outputs: &[u32],
) -> Vec<Segment> {
    let mut parts = Vec::new();
    innermost(outline, &mut parts);
    let of = |values: &Range<u32>| {
        let inside = |(_, wires): &(usize, &Wires)| values.contains(&wires.outputs.start);
        let mut own = nodes.clone().enumerate().filter(inside).map(|(i, _)| i);
        let first = own.next()?;
        let range = first..own.last()? + 1;
        let read_outside = |v: u32| {
            let mut others = nodes.clone().enumerate().filter(|(i, _)| !range.contains(i));
            outputs.contains(&v) || others.any(|(_, wires)| wires.inputs.contains(&v))
        };
        let made = nodes.clone().skip(first).take(range.len()).flat_map(|wires| wires.outputs.clone());
        Some(Segment { inner: made.filter(|&v| !read_outside(v)).collect(), nodes: range })
    };
    parts.iter().filter_map(of).filter(|segment| !segment.inner.is_empty()).collect()
}

/// The values of parts that hold several nodes, and none that do.
fn innermost(outline: &[Outline], found: &mut Vec<Range<u32>>) {
    for part in outline.iter().filter(|part| !part.parts.is_empty()) {
        let before = found.len();
        innermost(&part.parts, found);
        if found.len() == before && part.parts.len() > 1 {
            found.push(part.outputs.clone());
        }
    }
}

/// The memory of a segment's inner values, which segments hand on to each other: whose it is now, and what is nobody's.
#[derive(Debug, Default)]
pub(super) struct Handed<T> {
    /// The number of the segment whose inner values are there.
    present: Option<usize>,
    values: Vec<Tensor<T>>,
    slots: Vec<Slot<T>>,
}

impl<T: Float> Handed<T> {
    /// Which segment's inner values are there.
    pub fn present(&self) -> Option<usize> {
        self.present
    }

    /// Forgets whose it is, where values are another net's.
    pub fn forget(&mut self) {
        self.present = None;
    }

    /// Gives a segment the memory, with whatever is in it.
    pub fn give(&mut self, list: &[Segment], to: Option<usize>, values: &mut [Tensor<T>], slots: &mut [Slot<T>]) {
        if self.present == to {
            return;
        }
        for number in [self.present, to].into_iter().flatten() {
            self.exchange(&list[number], values, slots);
        }
        self.present = to;
    }

    /// Takes the memory of a segment that has it, or gives it to one that has none.
    fn exchange(&mut self, segment: &Segment, values: &mut [Tensor<T>], slots: &mut [Slot<T>]) {
        let grown = self.values.len().max(segment.inner.len());
        self.values.resize_with(grown, Tensor::default);
        for (own, &v) in self.values.iter_mut().zip(&segment.inner) {
            std::mem::swap(own, &mut values[v as usize]);
        }
        let grown = self.slots.len().max(segment.nodes.len());
        self.slots.resize_with(grown, Slot::new);
        for (own, slot) in self.slots.iter_mut().zip(&mut slots[segment.nodes.clone()]) {
            own.exchange(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_values_are_read_inside_alone() {
        use crate::prelude::*;
        let mut g = Graph::new();
        let x = g.input("x", [3]);
        let h = g.add(Dense::new(3), x);
        let block = Residual::new().add(Dense::new(4)).add(Dense::new(3));
        let a = g.add(block.clone(), h);
        let y = g.add(Block::new().add(block), a);
        let (net, _) = g.build_net::<f32>(&[y], 0).unwrap();
        let found =
            segments(net.outline(), net.named().map(|(_, _, wires)| wires).collect::<Vec<_>>().into_iter(), &[7]);
        let expected = [Segment { nodes: 1..4, inner: vec![2, 3] }, Segment { nodes: 4..7, inner: vec![5, 6] }];
        assert_eq!(found, expected);
    }
}
