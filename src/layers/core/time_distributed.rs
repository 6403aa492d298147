//! One layer for each step of a sequence.

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Shares, Slot};
use crate::layers::LayerConfig;
use crate::params::Params;
use crate::tensor::{Float, Shape, Tensor};

/// yₜ = f(xₜ) for a layer f and each step t of a sequence, with the same weights.
///
/// - Input `[steps, …]`, where `…` is what the layer takes; output `[steps, …]` of what it gives.
/// - Parameters: those of the layer. Gradient: that of the layer, summed over steps.
/// - A mask is passed on; steps that do not count are computed too. The layer sees the part of the mask that belongs to a step, if any.
/// - The steps of a batch go through the layer together, as if each were a sample: a [`BatchNorm`](crate::layers::BatchNorm) inside takes its
///   statistics over all steps (Keras step after step), a penalty on outputs is the mean over steps too.
///
/// Dense, the normalisations and what works element by element act on each step as they are and need no `TimeDistributed`. The layer is one
/// of this crate's; several are a `TimeDistributed` each.
///
/// Keras `TimeDistributed`.
///
/// ```
/// use gradus::prelude::*;
/// // Ten pictures one after the other.
/// let model = Sequential::new([10, 8, 8, 3])
///     .add(TimeDistributed::new(Conv2d::new(4, 3)))
///     .add(TimeDistributed::new(Flatten::new()))
///     .build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([10, 6 * 6 * 4]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimeDistributed {
    layer: Box<LayerConfig>,
    #[cfg_attr(feature = "serde", serde(skip))]
    built: Built,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

/// The layer, for the numbers that it was built for.
#[derive(Clone, Default)]
struct Built(Option<Arc<dyn Any + Send + Sync>>);

impl Built {
    fn of<T: Float>(&self) -> Option<&dyn Layer<T>> {
        self.0.as_ref()?.downcast_ref::<Box<dyn Layer<T>>>().map(|layer| &**layer)
    }
}

impl PartialEq for Built {
    /// It follows from the configuration.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Debug for Built {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "built" } else { "not built" })
    }
}

impl TimeDistributed {
    /// Around a layer.
    pub fn new(layer: impl Layer<f32>) -> Self {
        Self::around(layer.config())
    }

    /// Around the layer of a configuration.
    pub(crate) fn around(layer: LayerConfig) -> Self {
        TimeDistributed { layer: Box::new(layer), built: Built::default(), input: Shape::default() }
    }

    /// How the layer takes statistics over all shards of a batch, where it does.
    fn inner<T: Float>(&self) -> Option<&dyn Shares<T>> {
        self.built.of::<T>()?.shares()
    }

    fn layer<T: Float>(&self) -> Result<&dyn Layer<T>> {
        self.built.of::<T>().ok_or_else(|| {
            let problem = "it is not built for numbers of this type".to_owned();
            Error::Config { op: "TimeDistributed", problem, hint: "call build before".into() }
        })
    }
}

/// A tensor whose steps count as samples; `back` makes it what it was.
fn fold<T: Float>(t: &mut Tensor<T>) -> Shape {
    let shape = t.shape();
    t.resize(folded(shape));
    shape
}

/// The shape of a batch whose steps count as samples.
fn folded(batch: Shape) -> Shape {
    let sample = batch.sample();
    sample.sample().with_batch(batch.first() * sample.first())
}

impl<T: Float> Layer<T> for TimeDistributed {
    fn class(&self) -> &'static str {
        "TimeDistributed"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if input.rank() == 0 {
            let hint = "give the samples an axis of steps in front";
            return Err(Error::shape("TimeDistributed", "samples of [steps, …]", input, hint));
        }
        let mut layer = (*self.layer).clone().into_layer::<T>()?;
        let step = layer.build(input.sample(), b)?;
        self.input = input;
        self.built = Built(Some(Arc::new(layer)));
        Ok(step.with_batch(input.first()))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(self.layer::<T>()?.output_shape(x.sample())?.with_batch(x.first()))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let Some(layer) = self.built.of::<T>() else { return y.as_mut_slice().fill(T::nan()) };
        // Steps as samples; backward finds them there.
        slot.tensor(0, folded(x.shape())).as_mut_slice().copy_from_slice(x.as_slice());
        slot.child(0);
        let Slot { tensors, children, .. } = &mut *slot;
        let shape = fold(y);
        layer.forward(pass, &mut children[0], &tensors[0], y);
        if pass.needs_backward() {
            slot.tensor(1, y.shape()).as_mut_slice().copy_from_slice(y.as_slice());
        }
        y.resize(shape);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(layer) = self.built.of::<T>() else { return };
        let Slot { tensors, children, .. } = slot;
        let ([x, y, ..], [child, ..]) = (&tensors[..], &mut children[..]) else { return };
        let outer = fold(dy);
        match dx {
            None => layer.backward(pass, child, x, y, dy, None),
            Some(dx) => {
                let shape = fold(dx);
                layer.backward(pass, child, x, y, dy, Some(dx));
                dx.resize(shape);
            }
        }
        dy.resize(outer);
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn token_ids(&self) -> Option<usize> {
        self.built.of::<T>()?.token_ids()
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let Some(layer) = self.built.of::<T>() else { return 0 };
        let (steps, sample) = (folded(x), x.sample());
        let output = || layer.output_shape(sample.sample()).map_or(0, |shape| shape.with_batch(steps.first()).len());
        let kept = if backward { output() } else { 0 };
        steps.len().saturating_add(kept).saturating_add(layer.space_for(steps, backward))
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::TimeDistributed(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        self.built.of::<T>()?.output_activation()
    }

    fn output_reach(&self) -> Reach {
        self.built.of::<T>().map_or(Reach::Nowhere, Layer::output_reach)
    }

    fn reach(&self, activation: Activation) -> Reach {
        self.built.of::<T>().map_or(Reach::Nowhere, |layer| layer.reach(activation))
    }

    fn shares(&self) -> Option<&dyn Shares<T>> {
        self.inner::<T>().map(|_| self as &dyn Shares<T>)
    }
}

/// What the layer does, with all steps of all samples as samples.
impl<T: Float> Shares<T> for TimeDistributed {
    fn numbers(&self) -> usize {
        self.inner::<T>().map_or(0, Shares::numbers)
    }

    fn by_batch(&self, params: &Params<T>) -> bool {
        self.inner::<T>().is_some_and(|layer| layer.by_batch(params))
    }

    fn collect(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, line: &mut [f64]) {
        let Some(layer) = self.inner::<T>() else { return };
        slot.tensor(0, folded(x.shape())).as_mut_slice().copy_from_slice(x.as_slice());
        slot.child(0);
        let Slot { tensors, children, .. } = slot;
        layer.collect(pass, &mut children[0], &tensors[0], line);
    }

    fn combine(&self, lines: &[f64], total: &mut [f64]) {
        self.inner::<T>().into_iter().for_each(|layer| layer.combine(lines, total));
    }

    fn collect_back(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        line: &mut [f64],
    ) {
        let Some(layer) = self.inner::<T>() else { return };
        let Slot { tensors, children, .. } = slot;
        let ([x, y, ..], [child, ..]) = (&tensors[..], &mut children[..]) else { return };
        let outer = fold(dy);
        layer.collect_back(pass, child, x, y, dy, line);
        dy.resize(outer);
    }

    fn settle(&self, pass: &mut Pass<'_, T>) {
        self.inner::<T>().into_iter().for_each(|layer| layer.settle(pass));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::{BatchNorm, Conv1d, Dense, Embedding, GlobalAveragePooling1d, Identity, MaxPooling1d};
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        let check = |layer: TimeDistributed, input: &[usize]| {
            gradcheck::check_layer(&layer, Shape::try_from(input).unwrap()).unwrap();
        };
        check(TimeDistributed::new(Dense::new(3).activation(Activation::Gelu)), &[4, 5]);
        check(TimeDistributed::new(Conv1d::new(2, 2)), &[3, 4, 2]);
        check(TimeDistributed::new(MaxPooling1d::new(2)), &[2, 4, 3]);
        check(TimeDistributed::new(BatchNorm::new().epsilon(0.5)), &[3, 2]);
        check(TimeDistributed::new(Embedding::new(4, 2)), &[3]);
        check(TimeDistributed::new(TimeDistributed::new(GlobalAveragePooling1d::new())), &[2, 2, 3, 2]);
    }

    #[test]
    fn the_same_as_step_by_step() {
        let layer = || Conv1d::new(3, 2).activation(Activation::Tanh);
        let all = Sequential::new([4, 5, 2]).add(TimeDistributed::new(layer())).build_as::<f64>(1).unwrap();
        let mut one = Sequential::new([5, 2]).add(layer()).build_as::<f64>(2).unwrap();
        one.values_mut().copy_from_slice(all.params().values());
        let x = Tensor::from_fn([3, 4, 5, 2], |i| (i as f64).sin());
        let y = all.predict(&x).unwrap();
        assert_eq!(y.dims(), [3, 4, 4, 3]);
        let steps = one.predict(&x.reshape([12, 5, 2]).unwrap()).unwrap();
        assert_eq!(steps.as_slice(), y.as_slice());
    }

    #[test]
    fn impossible_inputs() {
        let error = Sequential::new(Shape::SCALAR).add(TimeDistributed::new(Identity::new())).build(0).unwrap_err();
        assert!(error.to_string().contains("expected samples of [steps, …]"), "{error}");
        let inside = Sequential::new([4, 5]).add(TimeDistributed::new(Conv1d::new(2, 2))).build(0).unwrap_err();
        assert!(inside.is_shape(), "{inside}");
    }
}
