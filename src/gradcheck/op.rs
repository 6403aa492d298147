//! Steps that join or split values.

use super::{H, MAX_CHECKED, Report, addresses, check_size, noise};
use crate::error::{Error, Result};
use crate::layer::{Builder, Inputs, Op, Pass, Slot};
use crate::params::Params;
use crate::tensor::{Shape, Tensor};

/// A built op with its weights, its outputs' shapes, and where its inputs stand among the values.
struct BuiltOp<'a> {
    op: &'a dyn Op<f64>,
    params: Params<f64>,
    outputs: Vec<Shape>,
    at: Vec<u32>,
}

impl BuiltOp<'_> {
    fn outputs(&self, samples: usize) -> Vec<Tensor<f64>> {
        self.outputs.iter().map(|shape| Tensor::full(shape.with_batch(samples), f64::NAN)).collect()
    }

    fn pass<'a>(&'a self, training: bool, gradients: &'a mut [f64]) -> Pass<'a, f64> {
        if training { Pass::training(&self.params, gradients, 3, 0, 0) } else { Pass::differentiable(&self.params) }
    }

    /// The outputs for `x`, and what the op adds to the loss.
    fn forward(&self, params: &Params<f64>, training: bool, x: &[Tensor<f64>]) -> (Vec<Tensor<f64>>, f64) {
        let mut y = self.outputs(x.first().map_or(0, Tensor::samples));
        let mut gradients = vec![0.0; params.len().max(1)];
        let mut pass = if training { Pass::training(params, &mut gradients, 3, 0, 0) } else { Pass::inference(params) };
        self.op.forward(&mut pass, &mut Slot::new(), Inputs::new(x, &self.at), &mut y);
        let penalty = pass.penalty();
        (y, penalty)
    }

    /// Σ g·forward(x) + penalty
    fn scalar(&self, params: &Params<f64>, training: bool, x: &[Tensor<f64>], g: &[Tensor<f64>]) -> f64 {
        let (y, penalty) = self.forward(params, training, x);
        y.iter().flatten().zip(g.iter().flatten()).map(|(y, g)| y * g).sum::<f64>() + penalty
    }

    /// Forward and backward with these buffers.
    fn step(
        &self,
        pass: &mut Pass<'_, f64>,
        slot: &mut Slot<f64>,
        x: &[Tensor<f64>],
        g: &[Tensor<f64>],
        dx: &mut [Option<Tensor<f64>>],
    ) -> Vec<Tensor<f64>> {
        let (inputs, mut y) = (Inputs::new(x, &self.at), self.outputs(x.first().map_or(0, Tensor::samples)));
        self.op.forward(pass, slot, inputs, &mut y);
        self.op.backward(pass, slot, inputs, &y, &mut g.to_vec(), dx);
        y
    }

    fn wrong(&self, problem: &str, hint: &str) -> Error {
        let problem = format!("{}: {problem}", self.op.class());
        Error::Config { op: "check_op", problem, hint: hint.into() }
    }
}

/// Checks a step that joins or splits values, as [`check_layer`](super::check_layer) a layer: gradients of every input and parameter by differences at batches
/// of 1 and 3, in training and in inference; that a row alone gives the bits of the row in a batch, its gradients too; that backward overwrites each dx
/// there is a place for, whichever others there are; that memory is kept from the second pass on. `inputs` are the shapes of one sample each.
///
/// ```
/// use gradus::Shape;
/// use gradus::layers::merging::Add;
/// let report = gradus::gradcheck::check_op(Add::new(), &[Shape::from([2, 3]), Shape::from([3])])?;
/// assert!(report.error < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`check_layer`](super::check_layer).
pub fn check_op(op: impl Op<f64>, inputs: &[Shape]) -> Result<Report> {
    check(op, inputs, true)
}

/// [`check_op`] of a step that joins the rows of a batch, so that a row alone is another thing.
#[cfg(test)]
pub(crate) fn check_op_over_batch(op: impl Op<f64>, inputs: &[Shape]) -> Result<Report> {
    check(op, inputs, false)
}

fn check(mut op: impl Op<f64>, inputs: &[Shape], alone: bool) -> Result<Report> {
    let mut b = Builder::new(1);
    let class = op.class();
    inputs.iter().try_for_each(|shape| check_size(*shape))?;
    let outputs = b.scoped(class, None, |b| op.build(inputs, b)).1?;
    outputs.iter().try_for_each(|shape| check_size(*shape))?;
    let mut params = b.into_params();
    if params.len() > MAX_CHECKED {
        let hint = "check it with fewer units";
        return Err(Error::shape("check_op", format!("at most {MAX_CHECKED} weights"), params.len(), hint));
    }
    let shift = noise(Shape::from([params.len()]), 1);
    params.values_mut().iter_mut().zip(&shift).for_each(|(w, s)| *w += 0.3 * s);
    let built = BuiltOp { op: &op, params, outputs, at: (0..inputs.len() as u32).collect() };
    let mut report = Report::default();
    for samples in [3, 1] {
        for training in [true, false] {
            op_gradients(&built, inputs, samples, training, &mut report)?;
        }
    }
    if alone {
        op_alone_as_in_batch(&built, inputs)?;
    }
    #[cfg(test)]
    {
        let BuiltOp { params, outputs, .. } = built;
        tests::check_op_free(&mut op, params, inputs, &outputs);
    }
    report.check("check_op", &format!("the gradient of {class} is wrong"))
}

/// Random values for each of these shapes.
fn noises(shapes: &[Shape], samples: usize, part: u64) -> Vec<Tensor<f64>> {
    (part..).zip(shapes).map(|(part, shape)| noise(shape.with_batch(samples), part)).collect()
}

/// What the inputs are tried on: such values, or positions where those are taken.
fn inputs_of(op: &dyn Op<f64>, shapes: &[Shape], samples: usize, part: u64) -> Vec<Tensor<f64>> {
    let mut x = noises(shapes, samples, part);
    for (number, x) in x.iter_mut().enumerate() {
        if let Some(count) = op.position_ids(number) {
            *x = Tensor::from_fn(x.shape(), |i| ((i * 7 + i / 3) % count) as f64);
        }
    }
    x
}

/// A place for each gradient of the inputs.
fn places(x: &[Tensor<f64>]) -> Vec<Option<Tensor<f64>>> {
    x.iter().map(|x| Some(Tensor::full(x.shape(), f64::NAN))).collect()
}

fn op_gradients(
    built: &BuiltOp<'_>,
    inputs: &[Shape],
    samples: usize,
    training: bool,
    report: &mut Report,
) -> Result<()> {
    let (x, g) = (inputs_of(built.op, inputs, samples, 10), noises(&built.outputs, samples, 30));
    let (mut slot, mut dx) = (Slot::new(), places(&x));
    let mut gradients = vec![0.0; built.params.len().max(1)];
    let mut held = Vec::new();
    for pass_number in 0..2 {
        let y = built.step(&mut built.pass(training, &mut gradients), &mut slot, &x, &g, &mut dx);
        if y.iter().flatten().any(|v| v.is_nan()) {
            return Err(built.wrong("forward leaves an output unwritten, or NaN", "write every element of y"));
        }
        if y != built.forward(&built.params, training, &x).0 {
            return Err(built.wrong("outputs depend on what the slot held", "write scratch space before it is read"));
        }
        let mut now = Vec::new();
        addresses(&slot, &mut now);
        now.sort_unstable();
        if pass_number == 1 && now != held {
            return Err(built.wrong("the slot's memory is taken anew in the second pass", "use Slot::tensor"));
        }
        held = now;
    }
    #[cfg(test)]
    tests::check_op_space(built.op, &slot, inputs, samples);
    for i in 0..x.len() {
        // A place for one input alone.
        let mut alone = places(&x);
        alone.iter_mut().enumerate().filter(|(j, _)| *j != i).for_each(|(_, place)| *place = None);
        let mut gradients = vec![0.0; built.params.len().max(1)];
        built.step(&mut built.pass(training, &mut gradients), &mut Slot::new(), &x, &g, &mut alone);
        if alone[i] != dx[i] {
            let problem = format!("dx of input {i} is unwritten, or depends on the other places");
            return Err(built.wrong(&problem, "look at each place on its own"));
        }
    }
    for spec in built.params.specs().iter().filter(|s| s.trainable && training) {
        for (i, at) in spec.range.clone().enumerate() {
            let value = |h: f64| {
                let mut moved = built.params.clone();
                moved.values_mut()[at] += h;
                built.scalar(&moved, training, &x, &g)
            };
            let difference = (value(H) - value(-H)) / (2.0 * H);
            report.add(|| format!("{}[{i}]", spec.name), gradients[at] / 2.0, difference);
        }
    }
    for (input, dx) in dx.iter().enumerate() {
        for (i, dx) in dx.iter().flatten().enumerate() {
            if built.op.position_ids(input).is_some() {
                report.add(|| format!("x[{input}][{i}]"), *dx, 0.0);
                continue;
            }
            let value = |h: f64| {
                let mut moved = x.clone();
                moved[input].as_mut_slice()[i] += h;
                built.scalar(&built.params, training, &moved, &g)
            };
            report.add(|| format!("x[{input}][{i}]"), *dx, (value(H) - value(-H)) / (2.0 * H));
        }
    }
    Ok(())
}

fn op_alone_as_in_batch(built: &BuiltOp<'_>, inputs: &[Shape]) -> Result<()> {
    let (x, g) = (inputs_of(built.op, inputs, 7, 50), noises(&built.outputs, 7, 70));
    let run = |x: &[Tensor<f64>], g: &[Tensor<f64>]| {
        let mut dx = places(x);
        let y = built.step(&mut built.pass(false, &mut []), &mut Slot::new(), x, g, &mut dx);
        (y, dx.into_iter().flatten().collect::<Vec<_>>())
    };
    let row = |of: &[Tensor<f64>], i: usize| of.iter().map(|t| t.rows(i..i + 1)).collect::<Result<Vec<_>>>();
    let (y, dx) = run(&x, &g);
    for i in 0..7 {
        if run(&row(&x, i)?, &row(&g, i)?) != (row(&y, i)?, row(&dx, i)?) {
            let hint = "compute each sample from that sample only, in an order that does not depend on the batch";
            return Err(built.wrong(&format!("row {i} alone differs from that row in a batch of 7"), hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{held, longer, opened};
    use super::*;

    /// Outputs and gradients of a training step.
    fn op_step(op: &dyn Op<f64>, params: &Params<f64>, slot: &mut Slot<f64>, inputs: &[Shape]) -> Vec<Vec<f64>> {
        let mut outputs = vec![Shape::SCALAR; op.outputs()];
        op.output_shapes(inputs, &mut outputs).unwrap();
        let at: Vec<u32> = (0..inputs.len() as u32).collect();
        let built = BuiltOp { op, params: params.clone(), outputs, at };
        let (x, g) = (inputs_of(op, inputs, 3, 10), noises(&built.outputs, 3, 30));
        let (mut dx, mut gradients) = (places(&x), vec![0.0; params.len().max(1)]);
        let y = built.step(&mut built.pass(true, &mut gradients), slot, &x, &g, &mut dx);
        y.into_iter().chain(dx.into_iter().flatten()).map(Tensor::into_vec).chain([gradients]).collect()
    }

    /// An op that takes free sizes, built again with some, gives the bits of the one that was built with those of the batch, whatever came
    /// before.
    pub(super) fn check_op_free(op: &mut dyn Op<f64>, params: Params<f64>, inputs: &[Shape], outputs: &[Shape]) {
        let Ok(()) = op.output_shapes(inputs, &mut vec![Shape::SCALAR; outputs.len()]) else { return };
        let (expected, space) = (op_step(op, &params, &mut Slot::new(), inputs), op.space(3, true));
        for kind in 0..3 {
            let open: Vec<_> = inputs.iter().map(|shape| opened(*shape).nth(kind).unwrap()).collect();
            // In the same scope, so that random draws are the same. One with weights may need the size of the last axis.
            let class = op.class();
            let Ok(built) = Builder::new(1).scoped(class, None, |b| op.build(&open, b)).1 else { continue };
            let mut given = vec![Shape::SCALAR; outputs.len()];
            op.output_shapes(&open, &mut given).unwrap();
            assert_eq!(given, built, "{op:?}");
            assert!(built.iter().zip(outputs).all(|(open, shape)| open.admits(shape)), "{op:?}: {built:?}");
            let longer: Vec<_> = open.iter().zip(inputs).map(|(open, fixed)| longer(*open, *fixed)).collect();
            let mut slot = Slot::new();
            for _ in 0..2 {
                assert!(op_step(op, &params, &mut slot, inputs) == expected, "{op:?} with {open:?}");
                let batches: Vec<_> = inputs.iter().map(|shape| shape.with_batch(3)).collect();
                assert_eq!(op.space_for(&batches, true), space, "{op:?}");
                if op.output_shapes(&longer, &mut given).is_ok() {
                    op_step(op, &params, &mut slot, &longer);
                }
            }
        }
    }

    /// After a pass over so many samples nothing is held that was not looked for.
    pub(super) fn check_op_space(op: &dyn Op<f64>, slot: &Slot<f64>, inputs: &[Shape], samples: usize) {
        let (space, x) = (op.space(samples, true), inputs.iter().map(|shape| shape.with_batch(samples)));
        assert_eq!(op.space_for(&x.collect::<Vec<_>>(), true), space, "{op:?}");
        assert!(held(slot) <= space, "{op:?} holds {} values, told of {space}", held(slot));
    }
}
