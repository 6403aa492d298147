//! The activation with which an output ends, which a loss may take over.

use super::net::Net;
use super::node::Code;
use super::work::Work;
use crate::activations::Activation;
use crate::layer::{Layer, Reach};
use crate::tensor::{FREE, Float};

/// The activation that an output has been through last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// The node that applies it.
    node: usize,
    pub activation: Activation,
    /// The passes in which it can be left to the loss.
    pub reach: Reach,
}

impl<T: Float> Net<T> {
    /// The activation that an output's values have been through last: that of the last node which does more than to hand values on.
    pub(crate) fn ending(&self, output: usize) -> Option<Ending> {
        let (mut value, mut reach) = (*self.outputs.get(output)?, Reach::Training);
        // The shapes of the values on the way, from the output on: what a row-wise activation counts as a row.
        let mut handed: Vec<(u32, &dyn Layer<T>)> = Vec::new();
        let node = loop {
            if self.readers(value) > 1 {
                // What others read stays as it is.
                reach = reach.min(Reach::Values);
            }
            let maker = self.maker(value)?;
            let node = &self.nodes[maker];
            match &node.code {
                Code::Layer(layer) if layer.reach(Activation::Linear) != Reach::Nowhere => {
                    handed.push((value, &**layer));
                    value = node.wires.inputs[0];
                }
                _ => break maker,
            }
        };
        let (activation, own) = match &self.nodes[node].code {
            Code::Layer(layer) => (layer.output_activation()?, layer.output_reach()),
            Code::Op(op) => (op.output_activation()?, Reach::Training),
        };
        reach = reach.min(own);
        let mut width = self.shapes[value as usize].last();
        for (value, layer) in handed.into_iter().rev() {
            let after = self.shapes[value as usize].last();
            let whole_rows = !activation.is_row_wise() || (width == after && width != FREE);
            reach = reach.min(layer.reach(activation)).min(if whole_rows { Reach::Training } else { Reach::Values });
            width = after;
        }
        Some(Ending { node, activation, reach })
    }

    /// How often a value is read or an output.
    pub(super) fn readers(&self, value: u32) -> usize {
        let read = self.nodes.iter().flat_map(|node| &node.wires.inputs);
        read.chain(&self.outputs).filter(|v| **v == value).count()
    }

    /// Lets the last activations of these endings out in all passes of these buffers, as the loss works from logits.
    pub(crate) fn leave_out(&self, work: &mut Work<T>, endings: impl Iterator<Item = Ending>) {
        work.left_out.clear();
        work.left_out.extend(endings.map(|ending| ending.node));
    }
}
