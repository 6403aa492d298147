//! Hand-written gradients against central differences, in f64.
//!
//! For a gradient g of a function L, each element is compared with (L(w + h) − L(w − h)) / 2h; the error is
//! |g − d| / max(1, |g|, |d|), and at most [`TOLERANCE`] passes.

mod op;
mod part;

pub use op::check_op;
#[cfg(test)]
pub(crate) use op::check_op_over_batch;
pub use part::check_part;

use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::losses::Loss;
use crate::model::Model;
use crate::params::Params;
use crate::tensor::{Shape, Tensor};

/// The largest error that passes.
pub const TOLERANCE: f64 = 1e-6;

/// The most values of a batch, and the most weights, that a check takes: each costs two forward passes.
const MAX_CHECKED: usize = 1 << 20;

/// The step of the differences.
const H: f64 = 1e-5;

/// The largest error found and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// |gradient − difference| / max(1, both).
    pub error: f64,
    /// The element, such as `"kernel[3]"`.
    pub place: String,
    /// The number of elements compared.
    pub compared: usize,
}

impl Report {
    fn add(&mut self, place: impl FnOnce() -> String, gradient: f64, difference: f64) {
        let scale = 1f64.max(gradient.abs()).max(difference.abs());
        let error = (gradient - difference).abs() / scale;
        self.compared += 1;
        // A NaN is the worst of all.
        if error > self.error || error.is_nan() {
            self.error = if error.is_nan() { f64::INFINITY } else { error };
            self.place = format!("{}: gradient {gradient:e}, finite difference {difference:e}", place());
        }
    }

    fn check(self, op: &'static str, what: &str) -> Result<Self> {
        if self.error <= TOLERANCE {
            return Ok(self);
        }
        let problem = format!("{what} at {} (error {:e}, allowed {TOLERANCE:e})", self.place, self.error);
        Err(Error::Config { op, problem, hint: "compare backward with the derivative of forward".into() })
    }
}

/// Numbers in ±1, away from 0 by at least 0.02 so that kinks there do not fall within a difference.
fn noise(shape: Shape, part: u64) -> Tensor<f64> {
    let key = Key::new(0x6AD, Purpose::Data).with(part);
    Tensor::from_fn(shape, |i| {
        let v = 2.0 * key.unit(i as u64) - 1.0;
        v + 0.02 * v.signum()
    })
}

/// What a layer is tried on: such numbers, or token ids for one that takes those.
fn inputs_of(layer: &dyn Layer<f64>, shape: Shape, part: u64) -> Tensor<f64> {
    match layer.token_ids() {
        None => noise(shape, part),
        Some(count) => Tensor::from_fn(shape, |i| ((i * 7 + i / 3) % count) as f64),
    }
}

/// A built layer, its weights and its shapes.
struct Built<'a> {
    layer: &'a dyn Layer<f64>,
    params: Params<f64>,
    output: Shape,
}

impl Built<'_> {
    /// The output for `x`, what backward needs, and what the layer adds to the loss.
    fn forward(&self, params: &Params<f64>, training: bool, x: &Tensor<f64>) -> (Tensor<f64>, Slot<f64>, f64) {
        let mut slot = Slot::new();
        let mut y = Tensor::full(self.output.with_batch(x.samples()), f64::NAN);
        let mut gradients = vec![0.0; params.len().max(1)];
        let mut pass = if training { Pass::training(params, &mut gradients, 3, 0, 0) } else { Pass::inference(params) };
        self.layer.forward(&mut pass, &mut slot, x, &mut y);
        let penalty = pass.penalty();
        (y, slot, penalty)
    }

    /// Σ g·forward(x) + penalty
    fn scalar(&self, params: &Params<f64>, x: &Tensor<f64>, g: &Tensor<f64>) -> f64 {
        let (y, _, penalty) = self.forward(params, true, x);
        y.iter().zip(g).map(|(y, g)| y * g).sum::<f64>() + penalty
    }
}

/// Checks a layer that works in f64: gradients by differences at batches of 1 and 3, that of the input in inference too; that the
/// configuration makes the same layer again; that a row alone gives the bits of the row in a batch; that backward overwrites dx and adds to gradients;
/// that memory is kept from the second pass on. `input` is the shape of one sample.
///
/// ```
/// use gradus::prelude::*;
/// let report = gradus::gradcheck::check_layer(&Dense::new(3).activation(Activation::Gelu), [5])?;
/// assert!(report.error < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] naming the property and the place; [`Error::Shape`] for a shape too large to check; what `build`
/// returns.
pub fn check_layer<L: Layer<f64> + ?Sized>(layer: &L, input: impl Into<Shape>) -> Result<Report> {
    let input = input.into();
    let again = layer.config().into_layer()?;
    if again.config() != layer.config() {
        let problem = format!("the configuration of {} changes on its way through into_layer", layer.class());
        return Err(Error::Config {
            op: "check_layer",
            problem,
            hint: "keep every setting in the configuration".into(),
        });
    }
    check_boxed(again, input)
}

/// [`check_layer`] for a layer of your own, which its configuration alone cannot make again.
///
/// # Errors
/// As [`check_layer`].
pub fn check_custom_layer(layer: impl Layer<f64> + 'static, input: impl Into<Shape>) -> Result<Report> {
    check_boxed(Box::new(layer), input.into())
}

/// The shape of the largest batch that is tried, if it is small enough to check.
fn check_size(sample: Shape) -> Result<()> {
    const OP: &str = "check_layer";
    let batch = sample.batched(7)?;
    if batch.checked_len(OP)? > MAX_CHECKED {
        return Err(Error::shape(
            OP,
            format!("at most {MAX_CHECKED} values a batch"),
            batch,
            "check it on a smaller shape",
        ));
    }
    Ok(())
}

fn check_boxed(mut layer: Box<dyn Layer<f64>>, input: Shape) -> Result<Report> {
    check_size(input)?;
    let mut b = Builder::new(1);
    let class = layer.class();
    let output = b.scoped(class, None, |b| layer.build(input, b)).1?;
    check_size(output)?;
    // A layer that takes fixed sizes alone has no answer.
    if let Some(other) = layer.output_shape(input).ok().filter(|other| *other != output) {
        let problem = format!("build of {class} returned {output}, and its output_shape returns {other}");
        return Err(Error::Config { op: "check_layer", problem, hint: "let build end with output_shape".into() });
    }
    let mut params = b.into_params();
    if params.len() > MAX_CHECKED {
        let hint = "check it with fewer units";
        return Err(Error::shape("check_layer", format!("at most {MAX_CHECKED} weights"), params.len(), hint));
    }
    // Biases begin at zero; give every parameter values that matter.
    let shift = noise(Shape::from([params.len()]), 1);
    params.values_mut().iter_mut().zip(&shift).for_each(|(w, s)| *w += 0.3 * s);
    let built = Built { layer: &*layer, params, output };
    let mut report = Report::default();
    for batch in [3, 1] {
        gradients(&built, input.batched(batch)?, &mut report)?;
        in_inference(&built, input.batched(batch)?, &mut report)?;
    }
    alone_as_in_batch(&built, input)?;
    #[cfg(test)]
    tests::check_free(&built, input);
    report.check("check_layer", &format!("the gradient of {class} is wrong"))
}

fn gradients(built: &Built<'_>, shape: Shape, report: &mut Report) -> Result<()> {
    let x = inputs_of(built.layer, shape, 2);
    let g = noise(built.output.with_batch(shape.first()), 3);
    let (mut y, mut slot, _) = built.forward(&built.params, true, &x);
    if y.iter().any(|v| v.is_nan()) {
        let problem = format!("{}: forward leaves an output unwritten, or NaN", built.layer.class());
        return Err(Error::Config { op: "check_layer", problem, hint: "write every element of y".into() });
    }
    // Twice with the same buffers: gradients add up, dx and memory stay.
    let mut gradients = vec![0.0; built.params.len().max(1)];
    let mut dx = Tensor::full(shape, f64::NAN);
    let mut held = Vec::new();
    for pass_number in 0..2 {
        let mut pass = Pass::training(&built.params, &mut gradients, 3, 0, 0);
        built.layer.forward(&mut pass, &mut slot, &x, &mut y);
        built.layer.backward(&mut pass, &mut slot, &x, &y, &mut g.clone(), Some(&mut dx));
        // Sorted, as containers let two buffers take turns.
        let mut now = Vec::new();
        addresses(&slot, &mut now);
        now.sort_unstable();
        if pass_number == 1 && now != held {
            let problem = format!("{}: the slot's memory is taken anew in the second pass", built.layer.class());
            return Err(Error::Config { op: "check_layer", problem, hint: "use Slot::tensor".into() });
        }
        held = now;
    }
    #[cfg(test)]
    tests::check_space(built, &slot, shape.sample(), shape.first());
    let mut without_dx = vec![0.0; built.params.len().max(1)];
    let mut pass = Pass::training(&built.params, &mut without_dx, 3, 0, 0);
    built.layer.forward(&mut pass, &mut slot, &x, &mut y);
    built.layer.backward(&mut pass, &mut slot, &x, &y, &mut g.clone(), None);
    for spec in built.params.specs().iter().filter(|s| s.trainable) {
        for (i, at) in spec.range.clone().enumerate() {
            let mut moved = built.params.clone();
            moved.values_mut()[at] += H;
            let up = built.scalar(&moved, &x, &g);
            moved.values_mut()[at] -= 2.0 * H;
            let down = built.scalar(&moved, &x, &g);
            let difference = (up - down) / (2.0 * H);
            report.add(|| format!("{}[{i}]", spec.name), gradients[at] / 2.0, difference);
            report.add(|| format!("{}[{i}] without dx", spec.name), without_dx[at], difference);
        }
    }
    for i in 0..x.len() {
        if built.layer.token_ids().is_some() {
            report.add(|| format!("x[{i}]"), dx.as_slice()[i], 0.0);
            continue;
        }
        let mut moved = x.clone();
        moved.as_mut_slice()[i] += H;
        let up = built.scalar(&built.params, &moved, &g);
        moved.as_mut_slice()[i] -= 2.0 * H;
        let down = built.scalar(&built.params, &moved, &g);
        report.add(|| format!("x[{i}]"), dx.as_slice()[i], (up - down) / (2.0 * H));
    }
    Ok(())
}

/// The gradient with respect to the input of what inference computes.
fn in_inference(built: &Built<'_>, shape: Shape, report: &mut Report) -> Result<()> {
    let (x, g) = (inputs_of(built.layer, shape, 2), noise(built.output.with_batch(shape.first()), 3));
    let mut slot = Slot::new();
    let (mut y, mut dx) = (Tensor::full(g.shape(), f64::NAN), Tensor::full(shape, f64::NAN));
    let mut pass = Pass::differentiable(&built.params);
    built.layer.forward(&mut pass, &mut slot, &x, &mut y);
    let output = |x: &Tensor<f64>| built.forward(&built.params, false, x).0;
    if y != output(&x) {
        let problem = format!("{}: inference gives other outputs where backward may follow", built.layer.class());
        return Err(Error::Config { op: "check_layer", problem, hint: "let Pass::training decide alone".into() });
    }
    built.layer.backward(&mut pass, &mut slot, &x, &y, &mut g.clone(), Some(&mut dx));
    let scalar = |x: &Tensor<f64>| output(x).iter().zip(&g).map(|(y, g)| y * g).sum::<f64>();
    for i in 0..x.len() {
        if built.layer.token_ids().is_some() {
            report.add(|| format!("x[{i}] in inference"), dx.as_slice()[i], 0.0);
            continue;
        }
        let mut moved = x.clone();
        moved.as_mut_slice()[i] += H;
        let up = scalar(&moved);
        moved.as_mut_slice()[i] -= 2.0 * H;
        let down = scalar(&moved);
        report.add(|| format!("x[{i}] in inference"), dx.as_slice()[i], (up - down) / (2.0 * H));
    }
    Ok(())
}

fn addresses(slot: &Slot<f64>, out: &mut Vec<usize>) {
    out.extend(slot.tensors.iter().map(|t| t.as_slice().as_ptr() as usize));
    slot.children.iter().for_each(|child| addresses(child, out));
}

fn alone_as_in_batch(built: &Built<'_>, input: Shape) -> Result<()> {
    let x = inputs_of(built.layer, input.with_batch(7), 4);
    let (all, ..) = built.forward(&built.params, false, &x);
    for i in 0..7 {
        let (one, ..) = built.forward(&built.params, false, &x.rows(i..i + 1)?);
        if one.as_slice() != all.row(i) {
            let problem = format!("{}: row {i} alone differs from that row in a batch of 7", built.layer.class());
            let hint =
                "compute each sample from that sample only, in an order that does not depend on the batch".into();
            return Err(Error::Config { op: "check_layer", problem, hint });
        }
    }
    Ok(())
}

/// Checks a loss: its gradient by differences with respect to each prediction, with weights.
///
/// # Errors
/// [`Error::Config`] naming the place; [`Error::Shape`] if the loss refuses the shapes; what it says of the targets.
pub fn check_loss(loss: &dyn Loss<f64>, y_true: &Tensor<f64>, y_pred: &Tensor<f64>) -> Result<Report> {
    loss.check(y_true.shape(), y_pred.shape())?;
    loss.check_targets(y_true, y_pred.shape())?;
    let rows = y_pred.shape().rows();
    let weights: Vec<f64> = (0..rows).map(|i| 0.5 + i as f64).collect();
    let mut dy = Tensor::full(y_pred.shape(), f64::NAN);
    loss.batch(y_true, y_pred, Some(&weights), rows, Some(&mut dy));
    let mut report = Report::default();
    for i in 0..y_pred.len() {
        let value = |h: f64| {
            let mut moved = y_pred.clone();
            moved.as_mut_slice()[i] += h;
            loss.batch(y_true, &moved, Some(&weights), rows, None)
        };
        report.add(|| format!("y_pred[{i}]"), dy.as_slice()[i], (value(H) - value(-H)) / (2.0 * H));
    }
    report.check("check_loss", &format!("the gradient of {} is wrong", loss.name()))
}

/// Checks the gradient of a compiled model's loss with respect to every trainable weight, on one batch. Training is left as
/// it was.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([3]).add(Dense::new(2)).build_as::<f64>(0)?;
/// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// let report = gradus::gradcheck::check_model(&mut model, &Tensor::from([[0.1, 0.2, 0.3]]), &Tensor::from([[1.0, 0.0]]))?;
/// assert_eq!(report.compared, 8);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] naming the place; what [`Model::gradients`] returns.
pub fn check_model(model: &mut Model<f64>, x: &Tensor<f64>, y: &Tensor<f64>) -> Result<Report> {
    let (_, gradients) = model.gradients(x, y)?;
    let mut report = Report::default();
    let specs = model.params().specs().to_vec();
    for spec in specs.iter().filter(|s| s.trainable) {
        for (i, at) in spec.range.clone().enumerate() {
            let w = model.params().values()[at];
            model.values_mut()[at] = w + H;
            let up = model.gradients(x, y)?.0;
            model.values_mut()[at] = w - H;
            let down = model.gradients(x, y)?.0;
            model.values_mut()[at] = w;
            report.add(|| format!("{}[{i}]", spec.name), gradients[at], (up - down) / (2.0 * H));
        }
    }
    report.check("check_model", "the gradient of the loss is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FREE;
    use crate::graph::layer_space;
    use crate::layers::{Dense, Flatten};
    use crate::losses::SparseCategoricalCrossentropy;

    /// Values that a slot holds.
    pub(super) fn held(slot: &Slot<f64>) -> usize {
        let own: usize = slot.tensors.iter().map(Tensor::len).sum();
        own + slot.indices.len() + slot.children.iter().map(held).sum::<usize>()
    }

    /// After training on so many samples nothing is held that was not looked for; for every layer of this crate.
    pub(super) fn check_space(built: &Built<'_>, slot: &Slot<f64>, input: Shape, samples: usize) {
        let (x, y) = (input.with_batch(samples), built.output.with_batch(samples));
        assert_eq!(built.layer.space_for(x, true), built.layer.space(samples, true), "{:?}", built.layer);
        let space = layer_space(built.layer, x, y, !built.params.is_empty(), true);
        assert!(held(slot) <= space, "{:?} holds {} values, told of {space}", built.layer, held(slot));
    }

    /// The same sizes with some left open: all, all but the last, the first.
    pub(super) fn opened(shape: Shape) -> impl Iterator<Item = Shape> {
        let rank = shape.rank();
        [0..rank, 0..rank.saturating_sub(1), 0..rank.min(1)].into_iter().map(move |open| {
            let mut dims = shape.dims().to_vec();
            dims[open].fill(FREE);
            Shape::try_from(dims.as_slice()).unwrap()
        })
    }

    /// Samples of another size that is open to them.
    pub(super) fn longer(open: Shape, fixed: Shape) -> Shape {
        let dims: Vec<_> =
            open.dims().iter().zip(fixed.dims()).map(|(o, n)| if *o == FREE { 2 * n } else { *n }).collect();
        Shape::try_from(dims.as_slice()).unwrap()
    }

    /// Outputs and gradients of a training step.
    fn step(layer: &dyn Layer<f64>, params: &Params<f64>, slot: &mut Slot<f64>, sample: Shape) -> [Vec<f64>; 3] {
        let output = layer.output_shape(sample).unwrap();
        let (x, g) = (inputs_of(layer, sample.with_batch(3), 2), noise(output.with_batch(3), 3));
        let (mut y, mut dx) = (Tensor::full(g.shape(), f64::NAN), Tensor::full(x.shape(), f64::NAN));
        let mut gradients = vec![0.0; params.len().max(1)];
        let mut pass = Pass::training(params, &mut gradients, 3, 0, 0);
        layer.forward(&mut pass, slot, &x, &mut y);
        layer.backward(&mut pass, slot, &x, &y, &mut g.clone(), Some(&mut dx));
        [y.into_vec(), dx.into_vec(), gradients]
    }

    /// A layer that takes free sizes gives the bits of the one that was built with those of the batch, whatever came before.
    pub(super) fn check_free(built: &Built<'_>, input: Shape) {
        for open in opened(input).filter(Shape::is_free) {
            let Ok(mut layer) = built.layer.config().into_layer::<f64>() else { return };
            let mut b = Builder::new(1);
            let Ok(output) = b.scoped(built.layer.class(), None, |b| layer.build(open, b)).1 else { continue };
            if layer.output_shape(open).is_err() {
                continue;
            }
            assert_eq!(layer.output_shape(open).unwrap(), output, "{layer:?}");
            assert!(output.admits(&built.output), "{layer:?}");
            assert_eq!(b.params().len(), built.params.len(), "{layer:?}");
            let expected = step(built.layer, &built.params, &mut Slot::new(), input);
            let (batch, mut slot) = (input.with_batch(3), Slot::new());
            assert_eq!(layer.space_for(batch, true), built.layer.space(3, true), "{layer:?}");
            assert_eq!(built.layer.space_for(batch, false), built.layer.space(3, false), "{layer:?}");
            for _ in 0..2 {
                assert!(step(&*layer, &built.params, &mut slot, input) == expected, "{layer:?} with {open}");
                let longer = longer(open, input);
                if layer.output_shape(longer).is_ok() {
                    step(&*layer, &built.params, &mut slot, longer);
                }
            }
        }
    }

    #[test]
    fn absurd_shapes_are_errors() {
        for input in [usize::MAX, 1 << 60, 1 << 20] {
            assert!(check_layer(&Flatten::new(), [input]).unwrap_err().is_shape(), "{input}");
            assert!(check_layer(&Flatten::new(), [input, 2]).unwrap_err().is_shape(), "{input}");
        }
        assert!(check_layer(&Dense::new(1 << 20), [1]).unwrap_err().is_shape());
    }

    #[test]
    fn bad_targets_are_errors() {
        let (loss, p) = (SparseCategoricalCrossentropy::default(), Tensor::from([[0.5, 0.5]]));
        assert!(matches!(check_loss(&loss, &Tensor::from([2.0]), &p), Err(Error::Label { .. })));
    }
}
