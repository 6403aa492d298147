//! Nodes that end outputs and go row by row, which a loss may take over: a block of rows at a time goes through the node, the loss and back, so
//! that the whole output is never there.

use super::given::Given;
use super::net::Net;
use super::node::Code;
use super::plan::{Dx, Plan};
use super::row_node::{NARROW, RowNode};
use super::work::Work;
use crate::layer::{Pass, Slot};
use crate::layers::sum;
use crate::tensor::{FREE, Float, Tensor};

impl<T: Float> Net<T> {
    /// The nodes at the end of the order of computation that make a `wanted` output alone, wide enough and row by row; the last node first, which
    /// is the order in which backward comes to them.
    pub(crate) fn row_nodes(&self, wanted: impl Fn(usize) -> bool) -> Vec<RowNode> {
        let mut found = Vec::new();
        for (node, n) in self.nodes.iter().enumerate().rev() {
            let (value, from) = (n.wires.outputs.start, n.wires.inputs[0]);
            let output = self.outputs.iter().position(|v| *v == value).filter(|output| wanted(*output));
            let (Some(output), Code::Layer(layer)) = (output, &n.code) else { break };
            let columns = [from, value].map(|v| self.shapes[v as usize].last());
            let fits = layer.by_rows()
                && n.by_rows
                && self.readers(value) == 1
                && columns[1] >= NARROW
                && !columns.contains(&FREE);
            if !fits {
                break;
            }
            found.push(RowNode { output, value, node, from, columns });
        }
        found
    }

    /// Leaves these nodes out of all passes of these buffers.
    pub(crate) fn leave_by_rows(&self, work: &mut Work<T>, nodes: &[RowNode]) {
        work.by_rows.clear();
        work.by_rows.extend_from_slice(nodes);
    }

    /// After a pass, puts what these nodes read in the places of the outputs that they do not make.
    pub(crate) fn keep_rows_before(&self, work: &mut Work<T>, x: Given<'_, T>) {
        let layout = self.layout(work.kept);
        for at in &work.by_rows {
            let Some(to) = layout.register(at.value) else { continue };
            match (x.get(at.from as usize), layout.register(at.from)) {
                (Some(x), _) => work.values[to].copy_from(x),
                (None, Some(from)) => {
                    let [from, to] = super::work::two(&mut work.values, from as u32, to as u32);
                    to.copy_from(from);
                }
                (None, None) => {}
            }
        }
    }

    /// What the node reads in the last pass over these inputs.
    pub(crate) fn rows_before<'a>(&self, work: &'a Work<T>, x: Given<'a, T>, at: RowNode) -> Option<&'a Tensor<T>> {
        x.get(at.from as usize).or_else(|| self.value(work, at.from))
    }

    /// The same, and where its gradient goes, with its shape, if anybody needs it; none in its
    /// place where the plan does not lead back through the node.
    #[allow(clippy::type_complexity)]
    pub(crate) fn rows_and_gradient<'a>(
        &self,
        work: &'a mut Work<T>,
        plan: &Plan,
        x: Given<'a, T>,
        at: RowNode,
    ) -> (Option<&'a Tensor<T>>, Option<Option<&'a mut Tensor<T>>>) {
        work.reserve(plan);
        let step = plan.steps.iter().find(|step| step.node == at.node);
        let register = self.layout(work.kept).register(at.from);
        let Work { values, gradients, .. } = work;
        let x = x.get(at.from as usize).or_else(|| values.get(register?));
        let dx = step.map(|step| match (step.dx[0], x) {
            (Dx::Write(to) | Dx::Add(_, to), Some(x)) => {
                let dx = &mut gradients[to as usize];
                dx.resize(x.shape());
                Some(dx)
            }
            _ => None,
        });
        (x, dx)
    }

    /// Adds the gradient to those that came before it, once it is written.
    pub(crate) fn add_rows_gradient(&self, work: &mut Work<T>, plan: &Plan, at: RowNode) {
        let step = plan.steps.iter().find(|step| step.node == at.node);
        if let Some(Dx::Add(whole, more)) = step.map(|step| step.dx[0]) {
            let [more, whole] = super::work::two(&mut work.gradients, more, whole);
            sum::add(whole, more);
        }
    }

    /// y from a block of rows; `logits` leaves the last activation out.
    pub(crate) fn run_rows(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        (at, logits): (RowNode, bool),
        x: &Tensor<T>,
        y: &mut Tensor<T>,
    ) {
        y.resize([x.shape().rows(), at.columns[1]]);
        if let Code::Layer(layer) = &self.nodes[at.node].code {
            pass.logits = logits;
            layer.forward(pass, slot, x, y);
            pass.logits = false;
        }
    }

    /// The way back of [`run_rows`](Self::run_rows).
    pub(crate) fn run_rows_back(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        (at, logits): (RowNode, bool),
        [x, y]: [&Tensor<T>; 2],
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        if let Code::Layer(layer) = &self.nodes[at.node].code {
            pass.logits = logits;
            layer.backward(pass, slot, x, y, dy, dx);
            pass.logits = false;
        }
    }

    /// Values of a sample of what a node reads, where free sizes are as in the plan of registers.
    pub(crate) fn planned_before(&self, at: RowNode) -> usize {
        self.shapes[at.from as usize].counting_free(super::sizes::PLANNED).len()
    }
}

impl<T> Work<T> {
    /// The nodes that are left to losses, in the order in which backward comes to them.
    pub(crate) fn by_rows(&self) -> &[RowNode] {
        &self.by_rows
    }
}
