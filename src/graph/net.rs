//! A built graph: nodes in the order of computation, run forwards and backwards by one loop.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::given::Given;
use super::masks::{At, MaskPlan, Masking};
use super::node::Code;
use super::outline::Outline;
use super::plan::{Dx, Layout, Plan, Step, Wires};
use super::row_node::RowNode;
use super::segments::{Handed, Segment, segments};
use super::sizes::{self, Named, Sizes};
use crate::error::{Error, Result};
use crate::layer::{Common, Inputs, Masks, Pass, Shares, Slot};
use crate::layers::sum;
use crate::params::{ParamId, Params};
use crate::tensor::{Float, Shape, Tensor};

/// What a [`Graph`](super::Graph) computes once it is built: it is not changed any more, and holds no weights and no buffers, so that one
/// can serve many threads.
///
/// ```
/// use gradus::graph::{Graph, Work};
/// use gradus::layers::merging::Multiply;
/// use gradus::prelude::{Dense, Pass, Tensor};
///
/// let mut g = Graph::new();
/// let (a, b) = (g.input("a", [2]), g.input("b", [3]));
/// let h = g.add(Dense::new(3), a);
/// let y = g.op(Multiply::new(), &[h, b]);
/// let (net, params) = g.build_net::<f32>(&[y], 7)?;
///
/// let (a, b) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[0.5, 0.0, -1.0]]));
/// let mut work = Work::default();
/// let mut gradients = vec![0.0; params.len()];
/// let mut pass = Pass::training(&params, &mut gradients, 7, 0, 0);
/// net.forward(&mut pass, &mut work, &[&a, &b])?;
/// assert_eq!(net.output(&work, 0).dims(), &[1, 3]);
///
/// // Back from dy = 1 at the output, to the weights and to both inputs.
/// let plan = net.plan(&params, &[true, true], &[true]);
/// net.output_gradient(&mut work, &plan, 0).as_mut_slice().fill(1.0);
/// net.backward(&mut pass, &mut work, &plan, &[&a, &b])?;
/// assert_eq!(net.input_gradient(&work, &plan, 0).map(Tensor::dims), Some(&[1, 2][..]));
/// assert_eq!(gradients[6..], [0.5, 0.0, -1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Net<T: Float = f32> {
    /// One of its own, so that what belongs to another net is noticed.
    pub(super) id: u64,
    pub(super) inputs: Vec<(String, Shape)>,
    pub(super) nodes: Vec<Node<T>>,
    /// The shape of each value.
    pub(super) shapes: Vec<Shape>,
    /// Whether any input leaves sizes open.
    pub(super) open: bool,
    /// The values that are outputs.
    pub(super) outputs: Vec<u32>,
    /// Inputs that are copied to a register, as an operation reads them there or they are outputs.
    pub(super) copied: Vec<bool>,
    /// Where values lie where backward may follow, and where not.
    keeping: Layout,
    lean: Layout,
    /// Nodes whose inner values may be computed again on the way back.
    pub(super) segments: Vec<Segment>,
    /// Which values have masks.
    pub(super) masks: MaskPlan,
    /// Inputs that are token ids, and how many there are of those.
    pub(super) token_ids: Vec<(u32, usize)>,
    /// Inputs that are positions, likewise.
    pub(super) position_ids: Vec<(u32, usize)>,
    outline: Vec<Outline>,
    output_names: Vec<String>,
}

/// A node of a net.
#[derive(Debug)]
pub(super) struct Node<T: Float> {
    pub code: Code<T>,
    /// Its path, which begins the names of its parameters.
    pub name: String,
    pub wires: Wires,
    pub params: Vec<ParamId>,
    /// Whether a loss may take it over block by block, where its layer allows that.
    pub by_rows: bool,
    /// Whether its outputs have no mask, whatever its rule.
    pub drops_mask: bool,
}

impl<T: Float> Node<T> {
    /// How it takes statistics over all shards of a batch, where it does.
    fn shares(&self) -> Option<&dyn Shares<T>> {
        match &self.code {
            Code::Layer(layer) => layer.shares(),
            Code::Op(_) => None,
        }
    }
}

/// The buffers of one caller: values, gradients, and what nodes keep. They grow with the first pass and are used again after it.
#[derive(Debug, Default)]
pub struct Work<T = f32> {
    pub(super) values: Vec<Tensor<T>>,
    /// The net whose values these are, how many samples they have, and whether backward may follow.
    pub(super) net: u64,
    pub(super) samples: usize,
    pub(super) kept: bool,
    pub(super) sizes: Sizes,
    /// Those of a last step alone.
    pub(super) last_sizes: Sizes,
    pub(super) slots: Vec<Slot<T>>,
    /// The nodes that leave out their activation.
    pub(super) left_out: Vec<usize>,
    /// The nodes that are left to losses.
    pub(super) by_rows: Vec<RowNode>,
    pub(super) gradients: Vec<Tensor<T>>,
    /// The outputs whose gradients have been asked for, to be written, since the last pass.
    pub(super) given: Vec<bool>,
    /// Outputs, or their gradients, and the inputs' gradients of the operation that is computing.
    pub(super) out: Vec<Tensor<T>>,
    back: Vec<Option<Tensor<T>>>,
    /// What is in the masks of the last forward pass.
    pub(super) masks: Masks,
    /// What layers share, whatever the pass.
    pub(super) common: Common<T>,
    /// Whether inner values of segments are computed again on the way back, and whose memory theirs is meanwhile.
    pub(crate) recomputes: bool,
    pub(super) handed: Handed<T>,
}

impl<T: Float> Net<T> {
    pub(super) fn new(
        inputs: Vec<(String, Shape)>,
        nodes: Vec<Node<T>>,
        shapes: Vec<Shape>,
        outputs: Vec<u32>,
        outline: Vec<Outline>,
    ) -> Result<Self> {
        let mut needed = vec![false; shapes.len()];
        outputs.iter().for_each(|&v| needed[v as usize] = true);
        for node in nodes.iter().rev() {
            if node.wires.outputs.clone().any(|v| needed[v as usize]) {
                node.wires.inputs.iter().for_each(|&v| needed[v as usize] = true);
            }
        }
        if let Some(((name, _), _)) = inputs.iter().zip(&needed).find(|(_, needed)| !**needed) {
            let problem = format!("no output depends on the input {name}");
            return Err(Error::Config { op: "build", problem, hint: "wire it to an output, or leave it out".into() });
        }
        let nodes: Vec<_> =
            nodes.into_iter().filter(|node| node.wires.outputs.clone().any(|v| needed[v as usize])).collect();
        let mut copied = vec![false; inputs.len()];
        let by_operations = nodes.iter().filter(|node| matches!(node.code, Code::Op(_)));
        for &v in by_operations.flat_map(|node| &node.wires.inputs).chain(&outputs) {
            copied.get_mut(v as usize).into_iter().for_each(|copied| *copied = true);
        }
        let lens = sizes::planned(&shapes);
        let masking = nodes.iter().map(|Node { code, name, wires, drops_mask, .. }| Masking {
            name,
            code,
            wires,
            drops: *drops_mask,
        });
        let masks = MaskPlan::new(masking, &shapes)?;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(Net {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            keeping: Layout::keeping(wiring(&nodes), &lens),
            lean: Layout::lean(wiring(&nodes), &lens, &copied, &outputs),
            segments: segments(&outline, wiring(&nodes).collect::<Vec<_>>().into_iter(), &outputs),
            open: inputs.iter().any(|(_, shape)| shape.is_free()),
            inputs,
            nodes,
            shapes,
            outputs,
            copied,
            masks,
            token_ids: Vec::new(),
            position_ids: Vec::new(),
            outline,
            output_names: Vec::new(),
        })
    }

    /// What the graph was made of, those nodes included that no output needs.
    pub fn outline(&self) -> &[Outline] {
        &self.outline
    }

    /// The most values of a sample that flow at a place.
    pub(crate) fn widest(&self) -> usize {
        sizes::planned(&self.shapes).into_iter().max().unwrap_or(0)
    }

    /// Whether any input leaves sizes open.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// How many outputs there are.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The names of the outputs: of the layer that gives each, or of the container that does; `_1` and so on where they repeat.
    pub fn output_names(&self) -> Vec<String> {
        self.output_names.clone()
    }

    /// Names the outputs, after what gives them where no names are `given`.
    pub(super) fn name_outputs(&mut self, given: &[String]) {
        let mut names: Vec<String> = Vec::new();
        for (i, &v) in self.outputs.iter().enumerate() {
            let of = |part: &&Outline| part.outputs.contains(&v);
            let whole = self.outline.iter().find(of).filter(|part| part.parts.is_empty() || v + 1 == part.outputs.end);
            let base = match (given.get(i), self.inputs.get(v as usize), whole) {
                (Some(name), ..) => name.clone(),
                (None, Some((name, _)), _) => name.clone(),
                (None, None, Some(part)) => part.name.clone(),
                (None, None, None) => self.maker(v).map_or_else(String::new, |i| self.nodes[i].name.clone()),
            };
            let further = (1..).map(|i| format!("{base}_{i}"));
            let free = std::iter::once(base.clone()).chain(further).find(|name| !names.contains(name));
            names.push(free.unwrap_or(base));
        }
        self.output_names = names;
    }

    /// The shapes of one sample of each output; a size that follows from a free one is [`FREE`](crate::FREE).
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.outputs.iter().map(|&v| self.shapes[v as usize]).collect()
    }

    /// The shape of one sample of an output, by position.
    pub(crate) fn output_shape(&self, output: usize) -> Shape {
        self.shapes[self.outputs[output] as usize]
    }

    /// The same for samples of these shapes, one for each input, which fit.
    pub(crate) fn output_shape_of(
        &self,
        op: &'static str,
        work: &mut Work<T>,
        x: impl Iterator<Item = Shape> + Clone,
        output: usize,
    ) -> Result<Shape> {
        match self.output_shape(output) {
            shape if !shape.is_free() => Ok(shape),
            _ => {
                let room = work.sizes.of_samples(op, self.id, &self.shapes, self.named(), x)?;
                Ok(room.shapes[self.outputs[output] as usize])
            }
        }
    }

    /// Forgets parameters from number `held` on.
    pub(crate) fn forget_params(&mut self, held: usize) {
        self.nodes.iter_mut().for_each(|node| node.params.retain(|id| (id.0 as usize) < held));
    }

    /// Which nodes a loss may take over in blocks of rows: not those with an adapter whose dropout goes by the sample.
    pub(crate) fn settle_by_rows(&mut self, params: &Params<T>) {
        for node in &mut self.nodes {
            let mut specs = node.params.iter().filter_map(|id| params.spec(*id));
            node.by_rows = !specs.any(|spec| spec.adapters.iter().any(|adapter| adapter.dropout > 0.0));
        }
    }

    /// The nodes, to be changed.
    pub(super) fn nodes_mut(&mut self) -> &mut [Node<T>] {
        &mut self.nodes
    }

    /// The paths of the nodes, in the order of computation.
    pub fn node_names(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    /// The way back from the outputs whose gradient will be `given`, to the weights that are trained and to the inputs that are `asked`
    /// for, each by position; those that are missing count as no. It holds until weights are frozen or thawed.
    #[inline(never)]
    pub fn plan(&self, params: &Params<T>, asked: &[bool], given: &[bool]) -> Plan {
        let trained = |node: &Node<T>| node.params.iter().any(|&id| params.spec(id).is_some_and(|spec| spec.trainable));
        let trained: Vec<_> = self.nodes.iter().map(trained).collect();
        let lens = sizes::planned(&self.shapes);
        let all = |flags: &[bool], n| (0..n).map(|i| flags.get(i).copied().unwrap_or(false)).collect::<Vec<_>>();
        let (asked, given) = (all(asked, self.inputs.len()), all(given, self.outputs.len()));
        Plan { net: self.id, ..Plan::new(wiring(&self.nodes), &lens, &trained, &asked, &self.outputs, &given) }
    }

    /// Whether this is the net of a plan.
    pub(crate) fn made(&self, plan: &Plan) -> bool {
        plan.net == self.id
    }

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

    /// How many positions all nodes know; `usize::MAX` where none counts them.
    pub(crate) fn max_positions(&self) -> usize {
        let most = |node: &Node<T>| match &node.code {
            Code::Op(op) => op.max_positions(),
            Code::Layer(_) => None,
        };
        self.nodes.iter().filter_map(most).min().unwrap_or(usize::MAX)
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
        (work.out.clear(), work.back.clear());
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

    /// The nodes that take statistics over all shards of a batch in training, in their order.
    pub(crate) fn sharing<'a>(
        &'a self,
        params: &'a Params<T>,
    ) -> impl Iterator<Item = (usize, &'a dyn Shares<T>)> + use<'a, T> {
        let own = |(i, node): (usize, &'a Node<T>)| Some((i, node.shares()?));
        self.nodes.iter().enumerate().filter_map(own).filter(|(_, shares)| shares.by_batch(params))
    }

    /// How the node of this number takes statistics over all shards.
    pub(crate) fn shares(&self, node: usize) -> Option<&dyn Shares<T>> {
        self.nodes.get(node)?.shares()
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
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

    /// The number of the node that gives a value; none for an input.
    pub(super) fn maker(&self, value: u32) -> Option<usize> {
        self.nodes.iter().position(|node| node.wires.outputs.contains(&value))
    }

    /// The nodes in the order of computation.
    pub(super) fn named(&self) -> impl Iterator<Item = Named<'_, T>> {
        self.nodes.iter().map(|node| (node.name.as_str(), &node.code, &node.wires))
    }

    pub(super) fn layout(&self, kept: bool) -> &Layout {
        if kept { &self.keeping } else { &self.lean }
    }

    /// An output of the last forward pass, by position.
    ///
    /// # Panics
    /// As a slice does where `output` is not below the number of outputs, or before the first pass.
    pub fn output<'a>(&self, work: &'a Work<T>, output: usize) -> &'a Tensor<T> {
        &work.values[self.output_register(work.kept, output)]
    }

    /// The mask of an output of the last forward pass, by position: which steps count, sample after sample. `None` where it has none.
    ///
    /// ```
    /// use gradus::graph::{Graph, Work};
    /// use gradus::layers::Masking;
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [3, 2]);
    /// let h = g.add(Masking::new(0.0), x);
    /// let y = g.add(Dense::new(1), h);
    /// let (net, params) = g.build_net::<f32>(&[y], 1)?;
    /// let mut work = Work::default();
    /// let x = Tensor::new([1, 3, 2], vec![1.0, 2.0, 3.0, 0.0, 0.0, 0.0])?;
    /// net.forward(&mut Pass::inference(&params), &mut work, &[&x])?;
    /// assert_eq!(net.output_mask(&work, 0), Some(&[true, true, false][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Panics
    /// As a slice does where `output` is not below the number of outputs.
    pub fn output_mask<'a>(&self, work: &'a Work<T>, output: usize) -> Option<&'a [bool]> {
        self.masks.find(&work.masks, self.outputs[output])
    }

    /// Whether any value carries a mask.
    #[inline]
    pub(crate) fn is_masked(&self) -> bool {
        !self.masks.is_empty()
    }

    fn output_register(&self, kept: bool, output: usize) -> usize {
        self.layout(kept).register(self.outputs[output]).unwrap_or(usize::MAX)
    }

    /// Whether an output is the same value as one before it: the first of those.
    pub(crate) fn same_output(&self, output: usize) -> Option<usize> {
        self.outputs[..output].iter().position(|v| *v == self.outputs[output])
    }

    /// The output itself, to be activated in place.
    pub(crate) fn output_mut<'a>(&self, work: &'a mut Work<T>, output: usize) -> &'a mut Tensor<T> {
        &mut work.values[self.output_register(work.kept, output)]
    }

    /// Any value of the last pass after which backward may follow, or that is an output.
    pub(crate) fn value<'a>(&self, work: &'a Work<T>, value: u32) -> Option<&'a Tensor<T>> {
        work.values.get(self.layout(work.kept).register(value)?)
    }

    /// Exchanges an output of inference with a tensor: before a pass to have it written there, after it to have it back.
    pub(crate) fn exchange(&self, work: &mut Work<T>, output: usize, y: &mut Tensor<T>) {
        let register = self.output_register(false, output);
        if work.values.len() <= register {
            work.values.resize_with(self.lean.sizes.len().max(work.values.len()), Tensor::default);
        }
        std::mem::swap(&mut work.values[register], y);
    }

    /// An output, and where its gradient goes: see [`output_gradient`](Self::output_gradient).
    pub(crate) fn output_pair<'a>(
        &self,
        work: &'a mut Work<T>,
        plan: &Plan,
        output: usize,
    ) -> (&'a Tensor<T>, &'a mut Tensor<T>) {
        let dy = self.place_of_gradient(work, plan, output);
        let Work { values, gradients, kept, .. } = work;
        (&values[self.output_register(*kept, output)], &mut gradients[dy])
    }

    /// Where dy of an output goes before [`backward`](Self::backward), shaped like the output of the last forward pass; contents are
    /// unspecified. Where nothing depends on it, it is read by nobody.
    ///
    /// # Panics
    /// As [`output`](Self::output).
    pub fn output_gradient<'a>(&self, work: &'a mut Work<T>, plan: &Plan, output: usize) -> &'a mut Tensor<T> {
        let dy = self.place_of_gradient(work, plan, output);
        work.given.resize(self.outputs.len(), false);
        work.given[output] = true;
        &mut work.gradients[dy]
    }

    /// The register of an output's gradient, which gets its shape; one more than the plan's where nobody reads it.
    fn place_of_gradient(&self, work: &mut Work<T>, plan: &Plan, output: usize) -> usize {
        let shape = self.output(work, output).shape();
        work.reserve(plan);
        let dy = plan.outputs[output].map_or(plan.sizes.len(), |register| register as usize);
        work.gradients[dy].resize(shape);
        dy
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

    /// The gradient of an input after [`backward`](Self::backward), by position; `None` where the plan does not ask for it, or none
    /// arrives.
    pub fn input_gradient<'a>(&self, work: &'a Work<T>, plan: &Plan, input: usize) -> Option<&'a Tensor<T>> {
        let register = plan.inputs.get(input).copied().flatten()?;
        work.gradients.get(register as usize)
    }
}

impl<T: Float> Work<T> {
    /// Buffers of passes in which inner values of segments are computed again on the way back, or are kept.
    pub(crate) fn recomputing(recomputes: bool) -> Self {
        Work { recomputes, ..Work::default() }
    }

    /// Buffers of the same kind of passes, with nothing in them.
    pub(crate) fn of_the_kind(&self) -> Self {
        let Work { left_out, by_rows, recomputes, .. } = self;
        Work { left_out: left_out.clone(), by_rows: by_rows.clone(), recomputes: *recomputes, ..Work::default() }
    }

    pub(super) fn reserve(&mut self, plan: &Plan) {
        if self.gradients.len() <= plan.sizes.len() {
            self.gradients.resize_with(plan.sizes.len() + 1, Tensor::default);
        }
    }
}

/// The wiring of nodes, in their order.
fn wiring<T: Float>(nodes: &[Node<T>]) -> impl DoubleEndedIterator<Item = &Wires> + ExactSizeIterator + Clone {
    nodes.iter().map(|node| &node.wires)
}

/// Two registers, which the plan keeps apart: one to read and one to write.
#[inline]
pub(super) fn two<T>(registers: &mut [Tensor<T>], a: u32, b: u32) -> [&mut Tensor<T>; 2] {
    registers.get_disjoint_mut([a as usize, b as usize]).unwrap_or_else(|_| unreachable!())
}
