//! The room that a pass takes.

use super::given::Given;
use super::net::Net;
use super::node::Code;
use super::plan::Plan;
use super::row_node::RowNode;
use super::segments::Segment;
use super::sizes::{PLANNED, Room};
use super::work::Work;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Net<T> {
    /// Values that a pass over so many samples holds at most, with what nodes keep for themselves; gradients included where `plan` leads
    /// back.
    pub fn space(&self, samples: usize, plan: Option<&Plan>) -> usize {
        let sizes = self.layout(plan.is_some()).sizes.iter().chain(plan.map_or(&[][..], |plan| &plan.sizes));
        let values = sizes.map(|len| len.saturating_mul(samples)).fold(0, usize::saturating_add);
        let shapes: Vec<_> = self.shapes.iter().map(|shape| shape.counting_free(PLANNED)).collect();
        values.saturating_add(self.kept(&shapes, samples, plan.is_some(), &[], &mut Vec::new(), &[]))
    }

    /// Values that nodes keep for themselves over so many samples, where all values have these shapes; these segments compute theirs again, and
    /// those that go by rows keep a block's.
    /// `inputs` is space to work in.
    fn kept(
        &self,
        shapes: &[Shape],
        samples: usize,
        backward: bool,
        segments: &[Segment],
        inputs: &mut Vec<Shape>,
        by_rows: &[RowNode],
    ) -> usize {
        let batch = |v: u32| shapes[v as usize].with_batch(samples);
        let kept = self.nodes.iter().enumerate().map(|(i, node)| {
            if let Some(at) = by_rows.iter().find(|at| at.node == i) {
                return at.space(batch(at.value).rows(), backward);
            }
            inputs.clear();
            inputs.extend(node.wires.inputs.iter().map(|&v| batch(v)));
            match &node.code {
                Code::Layer(layer) => {
                    let y = batch(node.wires.outputs.start);
                    layer_space(&**layer, inputs[0], y, !node.params.is_empty(), backward)
                }
                Code::Op(op) => op.space_for(inputs, backward),
            }
        });
        // Where no backward pass follows, nodes share what they keep, and segments do that compute it again.
        if !backward {
            return kept.max().unwrap_or(0);
        }
        let (mut always, mut own, mut most, mut next) = (0usize, 0usize, 0, 0);
        for (i, kept) in kept.enumerate() {
            if segments.get(next).is_some_and(|segment| segment.nodes.end == i) {
                (own, next) = (0, next + 1);
            }
            if segments.get(next).is_some_and(|segment| segment.nodes.contains(&i)) {
                own = own.saturating_add(kept);
                most = most.max(own);
            } else {
                always = always.saturating_add(kept);
            }
        }
        always.saturating_add(most)
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
        x.iter().try_for_each(|x| x.checked_len(OP).map(|_| ()))?;
        self.space_of(OP, work, plan, x.iter().copied())
    }

    /// The same for shapes of batches that fit.
    fn space_of(
        &self,
        op: &'static str,
        work: &mut Work<T>,
        plan: Option<&Plan>,
        x: impl Iterator<Item = Shape> + Clone,
    ) -> Result<usize> {
        let (samples, backward) = (x.clone().next().map_or(0, |x| x.first()), plan.is_some());
        let Work { sizes, by_rows, recomputes, .. } = work;
        let segments = if backward && *recomputes { &self.segments[..] } else { &[] };
        let Room { shapes, inputs, lens } = match self.open {
            true => sizes.of_samples(op, self.id, &self.shapes, self.named(), x.map(|x| x.sample()))?,
            false => sizes.room(&self.shapes),
        };
        let here = |v: usize| by_rows.iter().all(|at| at.value as usize != v);
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
        let is_inner = |v: usize| segments.iter().any(|segment| segment.inner.binary_search(&(v as u32)).is_ok());
        let values = layout
            .registers
            .iter()
            .enumerate()
            .filter(|(v, _)| self.copied.get(*v).is_none_or(|copied| *copied) && here(*v) && !is_inner(*v));
        count(&mut values.filter_map(|(v, register)| Some(((*register)?, v))));
        let inner =
            |segment: &Segment| segment.inner.iter().map(|&v| shapes[v as usize].len()).fold(0, usize::saturating_add);
        let most = segments.iter().map(inner).max().unwrap_or(0);
        if let Some(plan) = plan {
            count(&mut plan.holds.iter().map(|&(register, v)| (register, v as usize)).filter(|(_, v)| here(*v)));
        }
        let registers = registers.saturating_add(most);
        let kept = self.kept(shapes, samples, backward, segments, inputs, by_rows);
        Ok(registers.saturating_mul(samples).saturating_add(kept))
    }

    /// Looks whether there is memory for a pass over inputs that have been checked, where they hold more values than those for which there
    /// is `known` to be: batches of as many samples may be of several sizes.
    pub(crate) fn check_room(
        &self,
        op: &'static str,
        work: &mut Work<T>,
        plan: Option<&Plan>,
        x: Given<'_, T>,
        known: &mut usize,
    ) -> Result<()> {
        let size = x.values();
        if size > *known {
            let values = self.space_of(op, work, plan, x.iter().map(Tensor::shape))?;
            memory::check_room::<T>(
                op,
                format_args!("what the layers compute for a batch of {}", x.samples()),
                values,
            )?;
            *known = size;
        }
        Ok(())
    }
}

/// What a layer keeps beside its input and output, of these shapes. A layer with weights keeps what its last activation is applied to
/// where backward needs that; one without has it as its input.
pub(crate) fn layer_space<T: Float>(
    layer: &dyn Layer<T>,
    x: Shape,
    y: Shape,
    has_params: bool,
    backward: bool,
) -> usize {
    let activation = if backward && has_params { layer.output_activation() } else { None };
    let z = if activation.is_some_and(Activation::needs_input) { y.len() } else { 0 };
    layer.space_for(x, backward).saturating_add(z)
}
