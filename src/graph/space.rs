//! The room that a pass takes.

use super::given::Given;
use super::net::{Net, Node, Work};
use super::node::Code;
use super::plan::Plan;
use super::sizes::{PLANNED, Room};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Net<T> {
    /// What a node keeps for itself, where free sizes are as in the plan of registers.
    pub(super) fn planned_space(&self, node: &Node<T>, samples: usize, backward: bool) -> usize {
        let batch = |v: &u32| self.shapes[*v as usize].counting_free(PLANNED).with_batch(samples);
        match &node.code {
            Code::Layer(layer) => {
                let activation = if node.params.is_empty() { None } else { layer.output_activation() };
                let z = backward && activation.is_some_and(Activation::needs_input);
                let z = if z { batch(&node.wires.outputs.start).len() } else { 0 };
                layer.space_for(batch(&node.wires.inputs[0]), backward).saturating_add(z)
            }
            Code::Op(op) => op.space_for(&node.wires.inputs.iter().map(batch).collect::<Vec<_>>(), backward),
        }
    }

    /// Values of a sample of an output, by position, where free sizes are as in the plan of registers.
    pub(crate) fn planned_output(&self, output: usize) -> usize {
        self.output_shape(output).counting_free(PLANNED).len()
    }

    /// Values that a pass over batches of these shapes, one for each input, holds at most: registers, those of gradients where `plan`
    /// leads back, and what nodes keep beside. To be looked at before a pass where memory may not suffice; takes none in steady state.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    ///
    /// ```
    /// use gradus::graph::{Graph, Work};
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [FREE, 3]);
    /// let y = g.add(Dense::new(4), x);
    /// let (net, _) = g.build_net::<f32>(&[y], 1)?;
    /// let work = &mut Work::default();
    /// assert_eq!(net.space_for(work, None, &[[2, 10, 3].into()])?, 2 * 10 * 4);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn space_for(&self, work: &mut Work<T>, plan: Option<&Plan>, x: &[Shape]) -> Result<usize> {
        const OP: &str = "space_for";
        let fits = |x: &Shape, (_, shape): &(String, Shape)| x.rank() > 0 && shape.admits(&x.sample());
        if x.len() != self.inputs.len() || !x.iter().zip(&self.inputs).all(|(x, input)| fits(x, input)) {
            let expected: Vec<_> = self.inputs.iter().map(|(_, shape)| shape.of_samples()).collect();
            let got: Vec<_> = x.iter().map(Shape::to_string).collect();
            return Err(Error::shape(
                OP,
                expected.join(" and "),
                got.join(" and "),
                "pass the shape of a batch for each input",
            ));
        }
        let (samples, backward) = (x.first().map_or(0, Shape::first), plan.is_some());
        x.iter().try_for_each(|x| x.checked_len(OP).map(|_| ()))?;
        let Room { shapes, inputs, lens } = match self.open {
            true => work.sizes.of_samples(OP, self.id, &self.shapes, self.named(), x.iter().map(Shape::sample))?,
            false => work.sizes.room(&self.shapes),
        };
        let mut registers = 0usize;
        let mut count = |held: &mut dyn Iterator<Item = (u32, usize)>| {
            lens.clear();
            for (register, value) in held {
                let register = register as usize;
                lens.resize(lens.len().max(register + 1), 0);
                lens[register] = lens[register].max(shapes[value].len());
            }
            registers = lens.iter().fold(registers, |sum, len| sum.saturating_add(*len));
        };
        let layout = self.layout(backward);
        // Inputs that are not copied have no register where values take turns, and their places stay empty else.
        let values =
            layout.registers.iter().enumerate().filter(|(v, _)| self.copied.get(*v).is_none_or(|copied| *copied));
        count(&mut values.filter_map(|(v, register)| Some(((*register)?, v))));
        if let Some(plan) = plan {
            count(&mut plan.holds.iter().map(|&(register, v)| (register, v as usize)));
        }
        let (mut kept, mut widest) = (0usize, 0usize);
        for node in &self.nodes {
            inputs.clear();
            inputs.extend(node.wires.inputs.iter().map(|&v| shapes[v as usize].with_batch(samples)));
            let own = match &node.code {
                Code::Layer(layer) => {
                    // What the last activation of a layer with weights is applied to, where backward needs it.
                    let activation = if node.params.is_empty() { None } else { layer.output_activation() };
                    let z = backward && activation.is_some_and(Activation::needs_input);
                    let z = if z { shapes[node.wires.outputs.start as usize].len().saturating_mul(samples) } else { 0 };
                    layer.space_for(inputs[0], backward).saturating_add(z)
                }
                Code::Op(op) => op.space_for(inputs, backward),
            };
            (kept, widest) = (kept.saturating_add(own), widest.max(own));
        }
        // Where no backward pass follows, nodes share what they keep.
        let own = if backward { kept } else { widest };
        Ok(registers.saturating_mul(samples).saturating_add(own))
    }

    /// The same for tensors that have been checked, and an error where there is no memory for it.
    pub(crate) fn check_room(
        &self,
        op: &'static str,
        work: &mut Work<T>,
        plan: Option<&Plan>,
        x: Given<'_, T>,
    ) -> Result<()> {
        let shapes: Vec<Shape> = x.iter().map(Tensor::shape).collect();
        let values = self.space_for(work, plan, &shapes)?;
        let samples = x.samples();
        memory::check_room::<T>(op, format_args!("what the layers compute for {samples} samples of such sizes"), values)
    }
}
