//! A built graph: nodes in the order of computation, and where their values lie.

use std::sync::atomic::{AtomicU64, Ordering};

use super::masks::{MaskPlan, Masking};
use super::node::Code;
use super::outline::Outline;
use super::plan::{Layout, Plan, Wires};
use super::segments::{Segment, segments};
use super::sizes::{self, Named};
use super::work::Work;
use crate::error::{Error, Result};
use crate::layer::Shares;
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
    pub(super) keeping: Layout,
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
    pub(super) output_names: Vec<String>,
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
    pub fn shares(&self) -> Option<&dyn Shares<T>> {
        match &self.code {
            Code::Layer(layer) => layer.shares(),
            Code::Op(_) => None,
        }
    }
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

    /// How many positions all nodes know; `usize::MAX` where none counts them.
    pub(crate) fn max_positions(&self) -> usize {
        let most = |node: &Node<T>| match &node.code {
            Code::Op(op) => op.max_positions(),
            Code::Layer(_) => None,
        };
        self.nodes.iter().filter_map(most).min().unwrap_or(usize::MAX)
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

    /// The gradient of an input after [`backward`](Self::backward), by position; `None` where the plan does not ask for it, or none
    /// arrives.
    pub fn input_gradient<'a>(&self, work: &'a Work<T>, plan: &Plan, input: usize) -> Option<&'a Tensor<T>> {
        let register = plan.inputs.get(input).copied().flatten()?;
        work.gradients.get(register as usize)
    }
}

/// The wiring of nodes, in their order.
fn wiring<T: Float>(nodes: &[Node<T>]) -> impl DoubleEndedIterator<Item = &Wires> + ExactSizeIterator + Clone {
    nodes.iter().map(|node| &node.wires)
}
