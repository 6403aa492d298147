//! Free sizes: inputs may leave some open, and every batch has its own.
//!
//! `build` sees them as [`FREE`](crate::FREE); when a batch of other sizes than the last comes, the same functions
//! ([`Layer::output_shape`](crate::Layer::output_shape), [`Op::output_shapes`](crate::Op::output_shapes)) give the shapes of all values.
//! Nothing else depends on sizes: layers look at the shapes of what they are handed.

use super::given::Given;
use super::node::Code;
use super::plan::Wires;
use crate::error::{Error, Result};
use crate::layer::checks::check_open_output;
use crate::tensor::{Float, Shape, Tensor};

/// What a free size counts as where registers are planned, which it decides nothing else about.
pub(super) const PLANNED: usize = 64;

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

/// A node's name, code and wiring.
pub(super) type Named<'a, T> = (&'a str, &'a Code<T>, &'a Wires);

/// The shapes of all values of some batches, and space to work in.
pub(super) struct Room<'a> {
    pub shapes: &'a [Shape],
    pub inputs: &'a mut Vec<Shape>,
    pub lens: &'a mut Vec<usize>,
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

    /// Finds the shapes of a pass over these inputs, which fit; where sizes are those of the last pass nothing is to do. `open` are the
    /// shapes at build, `nodes` have their names.
    #[inline]
    pub fn of_pass<'a, T: Float>(
        &mut self,
        net: u64,
        open: &[Shape],
        nodes: impl Iterator<Item = Named<'a, T>>,
        x: Given<'_, T>,
    ) -> Result<()> {
        if self.net == net && x.iter().zip(&self.shapes).all(|(x, shape)| x.holds(shape)) {
            return Ok(());
        }
        self.change(net, open, nodes, x.iter().map(|x| x.shape().sample()))
    }

    /// The same for samples of these shapes.
    pub fn of_shapes<'a, T: Float>(
        &mut self,
        net: u64,
        open: &[Shape],
        nodes: impl Iterator<Item = Named<'a, T>>,
        x: impl Iterator<Item = Shape> + Clone,
    ) -> Result<()> {
        if self.net == net && x.clone().zip(&self.shapes).all(|(x, shape)| x == *shape) {
            return Ok(());
        }
        self.change(net, open, nodes, x)
    }

    fn change<'a, T: Float>(
        &mut self,
        net: u64,
        open: &[Shape],
        nodes: impl Iterator<Item = Named<'a, T>>,
        x: impl Iterator<Item = Shape>,
    ) -> Result<()> {
        self.find("forward", open, nodes, x)?;
        std::mem::swap(&mut self.shapes, &mut self.next);
        self.net = net;
        Ok(())
    }

    /// The shapes of all values from those of the inputs, into `next`.
    #[inline(never)]
    fn find<'a, T: Float>(
        &mut self,
        op: &'static str,
        open: &[Shape],
        nodes: impl Iterator<Item = Named<'a, T>>,
        x: impl Iterator<Item = Shape>,
    ) -> Result<()> {
        let Sizes { next, inputs, .. } = self;
        next.clear();
        next.extend_from_slice(open);
        next.iter_mut().zip(x).for_each(|(shape, x)| *shape = x);
        for (index, (name, code, wires)) in nodes.enumerate() {
            // What follows from no free size is as at build.
            if !wires.inputs.iter().any(|&v| open[v as usize].is_free()) {
                continue;
            }
            let outputs = wires.outputs.start as usize..wires.outputs.end as usize;
            inputs.clear();
            inputs.extend(wires.inputs.iter().map(|&v| next[v as usize]));
            let y = &mut next[outputs.clone()];
            let found = code.output_shapes(inputs, y).and_then(|()| {
                for (y, open) in y.iter().zip(&open[outputs]) {
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
            found.map_err(|source| Error::Layer { index, name: name.to_owned(), source: Box::new(source) })?;
        }
        Ok(())
    }

    /// The shapes of all values for samples of these shapes, which fit.
    pub fn of_samples<'a, T: Float>(
        &mut self,
        op: &'static str,
        net: u64,
        open: &'a [Shape],
        nodes: impl Iterator<Item = Named<'a, T>>,
        mut x: impl Iterator<Item = Shape> + Clone,
    ) -> Result<Room<'_>> {
        let known = self.net == net && x.clone().zip(&self.shapes).all(|(x, shape)| x == *shape);
        if !known {
            self.find(op, open, nodes, &mut x)?;
        }
        let Sizes { shapes, next, inputs, lens, .. } = self;
        Ok(Room { shapes: if known { shapes } else { next }, inputs, lens })
    }

    /// Space to work in with shapes that are known.
    pub fn room<'a>(&'a mut self, shapes: &'a [Shape]) -> Room<'a> {
        Room { shapes, inputs: &mut self.inputs, lens: &mut self.lens }
    }

    /// An error unless the inputs, of these names, have the sizes of the last pass.
    pub fn check_same<T: Float>(&self, inputs: &[(String, Shape)], x: &[&Tensor<T>]) -> Result<()> {
        for ((x, shape), (name, _)) in x.iter().zip(&self.shapes).zip(inputs) {
            if !x.holds(shape) {
                let expected = format!("the input {name} of shape {}, as in the forward pass", shape.of_samples());
                return Err(Error::shape("backward", expected, x.shape(), "pass the inputs of the forward pass"));
            }
        }
        Ok(())
    }
}
