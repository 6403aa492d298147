//! Free sizes: inputs may leave some open, and every batch has its own.
//!
//! `build` sees them as [`FREE`](crate::FREE); when a batch of other sizes than the last comes, the same functions
//! ([`Layer::output_shape`](crate::Layer::output_shape), [`Op::output_shapes`](crate::Op::output_shapes)) give the shapes of all values.
//! Nothing else depends on sizes: layers look at the shapes of what they are handed.

use super::net::{Net, Work};
use super::node::Code;
use super::plan::Plan;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::checks::check_open_output;
use crate::tensor::{Float, Shape, Tensor};

/// What a free size counts as where registers are planned, which it decides nothing else about.
const PLANNED: usize = 64;

/// Values of a sample of each of these shapes, for the plan of registers.
pub(super) fn planned(shapes: &[Shape]) -> Vec<usize> {
    shapes.iter().map(|shape| shape.counting_free(PLANNED).len()).collect()
}

/// Checks that the function which gives shapes later gives what `build` returned.
pub(super) fn check_open<T: Float>(code: &Code<T>, x: &[Shape], built: &[Shape]) -> Result<()> {
    let mut given = vec![Shape::SCALAR; built.len()];
    code.output_shapes(x, &mut given)?;
    if given != built {
        let (class, method) = (code.class(), code.method());
        let problem = format!("build of {class} returned {built:?}, and its {method} returns {given:?}");
        return Err(Error::Config { op: "build", problem, hint: "let build end with that function".into() });
    }
    Ok(())
}

impl<T: Float> Code<T> {
    fn method(&self) -> &'static str {
        match self {
            Code::Layer(_) => "output_shape",
            Code::Op(_) => "output_shapes",
        }
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        match self {
            Code::Layer(layer) => {
                let shape = layer.output_shape(x[0])?;
                y.iter_mut().for_each(|y| *y = shape);
                Ok(())
            }
            Code::Op(op) => op.output_shapes(x, y),
        }
    }
}

/// The shapes of all values in the last pass.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    net: u64,
    shapes: Vec<Shape>,
    /// Those that are being computed, which take their place when all is well.
    next: Vec<Shape>,
    /// The shapes of a node's inputs.
    inputs: Vec<Shape>,
    /// Values that registers hold.
    lens: Vec<usize>,
}

impl Sizes {
    /// The shape of one sample of each value.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Finds the shapes of a pass over these inputs, which fit; where sizes are those of the last pass nothing is to do.
    #[inline]
    pub fn of_pass<T: Float>(&mut self, net: &Net<T>, x: &[&Tensor<T>]) -> Result<()> {
        if self.net == net.id && x.iter().zip(&self.shapes).all(|(x, shape)| x.holds(shape)) {
            return Ok(());
        }
        self.find(net, x.iter().map(|x| x.shape().sample()), "forward")?;
        std::mem::swap(&mut self.shapes, &mut self.next);
        self.net = net.id;
        Ok(())
    }

    /// The shapes of all values from those of the inputs, into `next`.
    #[inline(never)]
    fn find<T: Float>(&mut self, net: &Net<T>, x: impl Iterator<Item = Shape>, op: &'static str) -> Result<()> {
        let Sizes { next, inputs, .. } = self;
        next.clear();
        next.extend_from_slice(&net.shapes);
        next.iter_mut().zip(x).for_each(|(shape, x)| *shape = x);
        for (index, node) in net.nodes.iter().enumerate() {
            let outputs = node.wires.outputs.start as usize..node.wires.outputs.end as usize;
            inputs.clear();
            inputs.extend(node.wires.inputs.iter().map(|&v| next[v as usize]));
            let y = &mut next[outputs.clone()];
            let found = node.code.output_shapes(inputs, y).and_then(|()| {
                for (y, open) in y.iter().zip(&net.shapes[outputs]) {
                    check_open_output(op, *y)?;
                    if !open.admits(y) {
                        let expected = format!("samples of {open}, as at build");
                        let hint =
                            "what is of fixed size at build is so for every batch: correct the function that gives it";
                        return Err(Error::shape(op, expected, y, hint));
                    }
                }
                Ok(())
            });
            found.map_err(|source| Error::Layer { index, name: node.name.clone(), source: Box::new(source) })?;
        }
        Ok(())
    }

    /// An error unless the inputs have the sizes of the last pass.
    pub fn check_same<T: Float>(&self, net: &Net<T>, x: &[&Tensor<T>]) -> Result<()> {
        for ((x, shape), (name, _)) in x.iter().zip(&self.shapes).zip(&net.inputs) {
            if !x.holds(shape) {
                let expected = format!("the input {name} of shape {}, as in the forward pass", shape.of_samples());
                return Err(Error::shape("backward", expected, x.shape(), "pass the inputs of the forward pass"));
            }
        }
        Ok(())
    }
}

impl<T: Float> Net<T> {
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
    /// let (net, _) = g.build::<f32>(&[y], 1)?;
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
        let sizes = &mut work.sizes;
        let known = sizes.net == self.id && x.iter().zip(&sizes.shapes).all(|(x, shape)| x.sample() == *shape);
        if self.open && !known {
            sizes.find(self, x.iter().map(Shape::sample), OP)?;
        }
        let Sizes { shapes, next, inputs, lens, .. } = sizes;
        let shapes = match (self.open, known) {
            (false, _) => &self.shapes,
            (true, true) => &*shapes,
            (true, false) => &*next,
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
}
