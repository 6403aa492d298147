//! Passes through a net: its nodes in their order forwards, and in the opposite one back.

use std::ops::Range;

use super::given::Given;
use super::masks::At;
use super::net::Net;
use super::node::Code;
use super::plan::{Dx, Layout, Plan, Step};
use super::work::{Work, two};
use crate::error::{Error, Result};
use crate::layer::{Inputs, Pass, Slot};
use crate::layers::sum;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Net<T> {
    /// Computes all values from the inputs. In a pass after which backward [may follow](Pass::needs_backward) they are kept, else they take
    /// turns in a few registers; the outputs stand until the next pass.
    ///
    /// # Errors
    /// As [`check_inputs`](Self::check_inputs); where sizes are free, [`Error::Layer`] with the number and name of a node that cannot
    /// work with this batch's; [`Error::Layer`] too where a pass that [goes on](Pass::with_position) leaves the positions of a node's table.
    /// What stands in `work` stays as it was.
    #[inline(never)]
    pub fn forward(&self, pass: &mut Pass<'_, T>, work: &mut Work<T>, x: &[&Tensor<T>]) -> Result<()> {
        self.check_inputs("forward", x)?;
        self.prepare(work, Given::Refs(x))?;
        self.check_positions(pass.position(), work)?;
        // What a net around this one knows of shards is of its own nodes.
        let mut around = (&[][..], 0);
        pass.exchange_totals(&mut around);
        self.run(pass, work, Given::Refs(x));
        pass.exchange_totals(&mut around);
        Ok(())
    }

    /// Finds the sizes of all values for inputs that have been checked, where any are free.
    ///
    /// # Errors
    /// [`Error::Layer`] for sizes that cannot work.
    #[inline]
    pub(crate) fn prepare(&self, work: &mut Work<T>, x: Given<'_, T>) -> Result<()> {
        if self.open { work.sizes.of_pass(self.id, &self.shapes, self.named(), x) } else { Ok(()) }
    }

    /// Checks that all steps of a pass from a position on, after [`prepare`](Self::prepare), stand where every node knows them. From 0 on
    /// they do, as shapes have been looked at.
    pub(crate) fn check_positions(&self, position: usize, work: &Work<T>) -> Result<()> {
        if position == 0 {
            return Ok(());
        }
        let shapes = if self.open { work.sizes.shapes() } else { &self.shapes };
        for (index, node) in self.nodes.iter().enumerate() {
            let Code::Op(op) = &node.code else { continue };
            let steps = shapes[node.wires.inputs[0] as usize].first();
            if let Some(most) = op.max_positions().filter(|most| position.saturating_add(steps) > *most) {
                let expected = format!("at most {most} positions");
                let got = format!("{steps} steps from position {position} on");
                let hint = "shorten the context, or build the model with more positions";
                let source = Box::new(Error::shape(op.class(), expected, got, hint));
                return Err(Error::Layer { index, name: node.name.clone(), source });
            }
        }
        Ok(())
    }

    /// [`forward`](Self::forward) on inputs that have been checked, after [`prepare`](Self::prepare).
    pub(crate) fn run(&self, pass: &mut Pass<'_, T>, work: &mut Work<T>, x: Given<'_, T>) {
        self.run_part(pass, work, x, 0..self.nodes.len(), None);
    }

    /// Some nodes of [`run`](Self::run), after those before them have run on the same inputs; then, where a line is given, what the node behind
    /// them says of its input before it computes.
    pub(crate) fn run_part(
        &self,
        pass: &mut Pass<'_, T>,
        work: &mut Work<T>,
        x: Given<'_, T>,
        part: Range<usize>,
        line: Option<&mut [f64]>,
    ) {
        let kept = pass.needs_backward();
        let layout = self.layout(kept);
        if part.start == 0 {
            self.begin(kept, work, x);
        }
        if x.samples() == 0 {
            return;
        }
        let Work { values, slots, out, left_out, by_rows, sizes, masks, common, recomputes, handed, .. } = work;
        let segments = if kept && *recomputes { &self.segments[..] } else { &[] };
        let shapes = if self.open { sizes.shapes() } else { &self.shapes };
        // The pass carries the masks while the nodes compute, and leaves those of a net around this one where they are.
        let masked = !self.masks.is_empty();
        let around = masked || !pass.masks.all.is_empty();
        if around {
            std::mem::swap(&mut pass.masks, masks);
        }
        std::mem::swap(&mut pass.common, common);
        let (mut next, end) = (segments.partition_point(|segment| segment.nodes.start < part.start), part.end);
        for i in part {
            if by_rows.iter().any(|at| at.node == i) {
                continue;
            }
            if segments.get(next).is_some_and(|segment| segment.nodes.start == i) {
                handed.give(segments, Some(next), values, slots);
                next += 1;
            }
            let slot = &mut slots[if kept { i } else { 0 }];
            pass.logits = left_out.contains(&i);
            self.compute(i, layout, pass, slot, values, out, shapes, x);
        }
        pass.logits = false;
        if let Some(line) = line {
            if segments.get(next).is_some_and(|segment| segment.nodes.start == end) {
                handed.give(segments, Some(next), values, slots);
            }
            self.collect(end, layout, pass, &mut slots[end], values, x, line);
        }
        std::mem::swap(&mut pass.common, common);
        if around {
            std::mem::swap(&mut pass.masks, masks);
        }
    }

    /// Makes room for a pass, and copies those inputs that are read from registers.
    fn begin(&self, kept: bool, work: &mut Work<T>, x: Given<'_, T>) {
        let layout = self.layout(kept);
        let samples = x.samples();
        if work.net != self.id {
            work.handed.forget();
        }
        (work.net, work.samples, work.kept) = (self.id, samples, kept);
        work.given.clear();
        // A node that panicked may have left some.
        work.out.clear();
        work.back.clear();
        let Work { values, slots, sizes, masks, handed, .. } = work;
        if values.len() < layout.sizes.len() {
            values.resize_with(layout.sizes.len(), Tensor::default);
        }
        // Where no backward pass follows, the nodes share their scratch space.
        handed.give(&self.segments, None, values, slots);
        slots.resize_with(if kept { self.nodes.len() } else { slots.len().max(1) }, Slot::new);
        for (i, x) in x.iter().enumerate().filter(|(i, _)| self.copied[*i]) {
            if let Some(register) = layout.register(i as u32) {
                values[register].copy_from(x);
            }
        }
        if samples == 0 {
            self.masks.clear(masks);
            // Nothing to compute, and for means over the batch nothing to compute from.
            let shapes = if self.open { sizes.shapes() } else { &self.shapes };
            let all =
                self.nodes.iter().zip(&layout.nodes).flat_map(|(node, [_, to])| node.wires.outputs.clone().zip(to));
            all.for_each(|(v, to)| values[*to as usize].resize_batch(&shapes[v as usize], 0));
        }
    }

    /// What a node says of its input, which is there.
    #[allow(clippy::too_many_arguments)]
    fn collect(
        &self,
        i: usize,
        layout: &Layout,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        values: &[Tensor<T>],
        x: Given<'_, T>,
        line: &mut [f64],
    ) {
        let (node, [from, _]) = (&self.nodes[i], &layout.nodes[i]);
        let Some(shares) = node.shares() else { return };
        if !self.masks.is_empty() {
            self.masks.turn(&mut pass.masks, &node.wires);
        }
        pass.node = i;
        let x = x.get(node.wires.inputs[0] as usize).unwrap_or_else(|| &values[from[0] as usize]);
        shares.collect(pass, slot, x, line);
    }

    /// One node of a forward pass, from registers to registers.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub(super) fn compute(
        &self,
        i: usize,
        layout: &Layout,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        values: &mut [Tensor<T>],
        out: &mut Vec<Tensor<T>>,
        shapes: &[Shape],
        x: Given<'_, T>,
    ) {
        let (node, [from, to]) = (&self.nodes[i], &layout.nodes[i]);
        let (samples, masked) = (x.samples(), !self.masks.is_empty());
        let at = At { node: i, wires: &node.wires, shapes, samples };
        pass.node = i;
        match &node.code {
            Code::Layer(layer) => {
                let shape = &shapes[node.wires.outputs.start as usize];
                if let Some(x) = x.get(node.wires.inputs[0] as usize) {
                    let y = &mut values[to[0] as usize];
                    y.resize_batch(shape, samples);
                    if masked {
                        self.masks.layer(&mut pass.masks, at, &**layer, x);
                    }
                    layer.forward(pass, slot, x, y);
                } else {
                    let [x, y] = two(values, from[0], to[0]);
                    y.resize_batch(shape, samples);
                    if masked {
                        self.masks.layer(&mut pass.masks, at, &**layer, x);
                    }
                    layer.forward(pass, slot, x, y);
                }
            }
            Code::Op(op) => {
                out.extend(to.iter().map(|&register| std::mem::take(&mut values[register as usize])));
                for (y, v) in out.iter_mut().zip(node.wires.outputs.clone()) {
                    y.resize_batch(&shapes[v as usize], samples);
                }
                let x = Inputs::new(values, from);
                if masked {
                    self.masks.op(&mut pass.masks, at, &**op, x);
                }
                op.forward(pass, slot, x, out);
                for (&register, y) in to.iter().zip(out.drain(..)) {
                    values[register as usize] = y;
                }
            }
        }
    }

    /// From the gradients of the outputs: adds to those of the weights, and computes those of the inputs that the plan asks for. `x` are the
    /// inputs of the last forward pass; the gradients of the outputs are used up, and may be written again for another pass back.
    ///
    /// # Errors
    /// [`Error::Config`] where no forward pass of this net came before that keeps what backward needs, or for the plan of another net; as
    /// [`check_inputs`](Self::check_inputs), and [`Error::Shape`] for another number of samples than in the forward pass, and for a gradient
    /// of another shape than its output; [`Error::Config`] where one that is read has not been asked for, to be written, since the last pass.
    #[inline(never)]
    pub fn backward(&self, pass: &mut Pass<'_, T>, work: &mut Work<T>, plan: &Plan, x: &[&Tensor<T>]) -> Result<()> {
        self.check_inputs("backward", x)?;
        let refuse = |problem: &str, hint: &str| {
            Err(Error::Config { op: "backward", problem: problem.to_owned(), hint: hint.into() })
        };
        if work.net != self.id || !work.kept {
            let hint = "call forward with Pass::training or Pass::differentiable before";
            return refuse("there are no values of a forward pass that backward may follow", hint);
        }
        if plan.net != self.id {
            return refuse("the plan is another net's", "pass what this net's plan gave");
        }
        if x.first().is_some_and(|x| x.samples() != work.samples) {
            let expected = format!("{} samples, as in the forward pass", work.samples);
            return Err(Error::shape("backward", expected, x[0].samples(), "pass the inputs of the forward pass"));
        }
        if self.open {
            work.sizes.check_same(&self.inputs, x)?;
        }
        for (output, register) in plan.outputs.iter().enumerate() {
            let Some(register) = *register else { continue };
            let name = || self.output_names.get(output).map_or_else(|| output.to_string(), Clone::clone);
            if !work.given.get(output).is_some_and(|given| *given) {
                let hint = "write it into output_gradient before each pass back, zeros where there is none";
                return refuse(&format!("the gradient of the output {} has not been written", name()), hint);
            }
            let (shape, got) = (self.output(work, output).shape(), work.gradients[register as usize].shape());
            if shape != got {
                let expected = format!("a gradient of shape {shape} for the output {}", name());
                return Err(Error::shape(
                    "backward",
                    expected,
                    got,
                    "write into the tensor that output_gradient lends",
                ));
            }
        }
        work.given.fill(false);
        let mut around = (&[][..], 0);
        pass.exchange_totals(&mut around);
        self.run_back(pass, work, plan, Given::Refs(x));
        pass.exchange_totals(&mut around);
        Ok(())
    }

    /// [`backward`](Self::backward) where all has been checked.
    pub(crate) fn run_back(&self, pass: &mut Pass<'_, T>, work: &mut Work<T>, plan: &Plan, x: Given<'_, T>) {
        self.begin_back(work, plan);
        self.run_back_part(pass, work, plan, x, 0..self.nodes.len(), None);
    }

    /// Adds up what an output has that is several.
    pub(crate) fn begin_back(&self, work: &mut Work<T>, plan: &Plan) {
        work.reserve(plan);
        for &(first, more) in &plan.again {
            let [more, first] = two(&mut work.gradients, more, first);
            sum::add(first, more);
        }
    }

    /// Some nodes of [`run_back`](Self::run_back), after those behind them. Where a line is given, the first of them says what it has to before it
    /// computes, and does not compute yet.
    pub(crate) fn run_back_part(
        &self,
        pass: &mut Pass<'_, T>,
        work: &mut Work<T>,
        plan: &Plan,
        x: Given<'_, T>,
        part: Range<usize>,
        mut line: Option<&mut [f64]>,
    ) {
        let Work {
            values,
            slots,
            gradients,
            out,
            back,
            left_out,
            by_rows,
            masks,
            common,
            sizes,
            recomputes,
            handed,
            ..
        } = work;
        let segments = if *recomputes { &self.segments[..] } else { &[] };
        let mut left = segments.len();
        if work.samples == 0 {
            for (register, x) in plan.inputs.iter().zip(x.iter()) {
                register.iter().for_each(|register| gradients[*register as usize].resize(x.shape()));
            }
            return;
        }
        let masked = !self.masks.is_empty();
        std::mem::swap(&mut pass.masks, masks);
        std::mem::swap(&mut pass.common, common);
        let own = |step: &&Step| part.contains(&step.node) && by_rows.iter().all(|at| at.node != step.node);
        for step in plan.steps.iter().filter(own) {
            let node = &self.nodes[step.node];
            while left > 0 && segments[left - 1].nodes.start > step.node {
                left -= 1;
            }
            if left > 0 && segments[left - 1].nodes.contains(&step.node) && handed.present() != Some(left - 1) {
                // Its inner values once more, as in the forward pass.
                handed.give(segments, Some(left - 1), values, slots);
                let shapes = if self.open { sizes.shapes() } else { &self.shapes };
                let penalty = pass.penalty();
                for i in segments[left - 1].nodes.clone().filter(|i| by_rows.iter().all(|at| at.node != *i)) {
                    pass.logits = left_out.contains(&i);
                    self.compute(i, &self.keeping, pass, &mut slots[i], values, out, shapes, x);
                }
                pass.reset_penalty(penalty);
            }
            if masked {
                self.masks.turn(&mut pass.masks, &node.wires);
            }
            let slot = &mut slots[step.node];
            pass.logits = left_out.contains(&step.node);
            pass.node = step.node;
            let outputs = node.wires.outputs.start as usize..node.wires.outputs.end as usize;
            for (&(register, arrived), y) in step.dy.iter().zip(&values[outputs.clone()]) {
                if !arrived {
                    let dy = &mut gradients[register as usize];
                    dy.resize(y.shape());
                    dy.as_mut_slice().fill(T::zero());
                }
            }
            match &node.code {
                Code::Layer(layer) => {
                    let v = node.wires.inputs[0] as usize;
                    let (x, y) = (x.get(v).unwrap_or(&values[v]), &values[outputs.start]);
                    let dy = step.dy[0].0;
                    if step.node == part.start
                        && let (Some(line), Some(shares)) = (line.take(), node.shares())
                    {
                        shares.collect_back(pass, slot, x, y, &mut gradients[dy as usize], line);
                        continue;
                    }
                    match step.dx[0] {
                        Dx::Nowhere => layer.backward(pass, slot, x, y, &mut gradients[dy as usize], None),
                        Dx::Write(to) | Dx::Add(_, to) => {
                            let [dy, dx] = two(gradients, dy, to);
                            dx.resize(x.shape());
                            layer.backward(pass, slot, x, y, dy, Some(dx));
                        }
                    }
                }
                Code::Op(op) => {
                    let x = Inputs::new(values, &node.wires.inputs);
                    out.extend(step.dy.iter().map(|(register, _)| std::mem::take(&mut gradients[*register as usize])));
                    back.extend(step.dx.iter().zip(x.iter()).map(|(dx, x)| match *dx {
                        Dx::Nowhere => None,
                        Dx::Write(to) | Dx::Add(_, to) => {
                            let mut dx = std::mem::take(&mut gradients[to as usize]);
                            dx.resize(x.shape());
                            Some(dx)
                        }
                    }));
                    op.backward(pass, slot, x, &values[outputs], out, back);
                    for ((register, _), dy) in step.dy.iter().zip(out.drain(..)) {
                        gradients[*register as usize] = dy;
                    }
                    for (dx, own) in step.dx.iter().zip(back.drain(..)) {
                        if let (Dx::Write(to) | Dx::Add(_, to), Some(own)) = (*dx, own) {
                            gradients[to as usize] = own;
                        }
                    }
                }
            }
            for dx in &step.dx {
                if let Dx::Add(whole, more) = *dx {
                    let [more, whole] = two(gradients, more, whole);
                    sum::add(whole, more);
                }
            }
        }
        pass.logits = false;
        std::mem::swap(&mut pass.common, common);
        std::mem::swap(&mut pass.masks, masks);
    }
}
