//! Depthwise convolution followed by one of a single tap.

use super::conv::{check_filters, kernel_shape};
use super::depthwise_conv::Depthwise;
use super::sliding::{Sliding, sliding_builders};
use super::{Padding, Size, output};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::depthwise;
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders};
use crate::layers::geometry::Geometry;
use crate::layers::linear::{linear, linear_backward};
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape, Tensor};

/// y = act(D(x)·W + b), D a depthwise convolution with m filters a channel: the taps and the channels are mixed one after the
/// other, with far fewer weights than a convolution.
///
/// Used as [`SeparableConv1d`] and [`SeparableConv2d`].
///
/// - Input `[length, channels]` or `[height, width, channels]`, output with `filters` channels; [`Padding`] says how large.
/// - Parameters: `depthwise_kernel` `[kernel size…, channels, m]`, `pointwise_kernel` W `[1…, channels·m, filters]` (both Glorot
///   uniform), `bias` b `[filters]` (zeros).
/// - Defaults: strides 1, `Padding::Valid`, dilation 1, depth multiplier m = 1, no activation, with bias.
/// - Gradient, with dz = dy·act'(z): dW = D(x)ᵀ·dz, db = Σ rows of dz, and dz·Wᵀ goes on to D as in
///   [`DepthwiseConv`](super::DepthwiseConv).
///
/// Keras `SeparableConv1D`, `SeparableConv2D`. Chollet: "Xception: Deep Learning with Depthwise Separable Convolutions", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([9, 9, 4]).add(SeparableConv2d::new(8, 3).padding(Padding::Same)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 9, 9, 4]))?.dims(), &[2, 9, 9, 8]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SeparableConv<const D: usize> {
    filters: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    sliding: Sliding<D>,
    depth_multiplier: usize,
    depthwise: KernelOptions,
    pointwise: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    kernels: [ParamId; 2],
    #[cfg_attr(feature = "serde", serde(skip))]
    inner: Geometry<Depthwise>,
}

/// A [`SeparableConv`] over sequences `[length, channels]`.
pub type SeparableConv1d = SeparableConv<1>;

/// A [`SeparableConv`] over images `[height, width, channels]`.
pub type SeparableConv2d = SeparableConv<2>;

impl<const D: usize> SeparableConv<D> {
    const NAME: &'static str = if D == 1 { "SeparableConv1d" } else { "SeparableConv2d" };

    /// A layer with so many output channels and a depthwise kernel of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Size<D>>) -> Self {
        SeparableConv {
            filters,
            sliding: Sliding::new(kernel_size.into()),
            depth_multiplier: 1,
            depthwise: KernelOptions::default(),
            pointwise: KernelOptions::default(),
            epilogue: Epilogue::default(),
            kernels: [ParamId::default(); 2],
            inner: Geometry::default(),
        }
    }

    sliding_builders!("Input", "output", "What is added around the input; `Padding::Valid`, nothing, by default.");

    /// Depthwise filters of each channel; 1 by default.
    pub fn depth_multiplier(mut self, multiplier: usize) -> Self {
        self.depth_multiplier = multiplier;
        self
    }

    /// How the depthwise kernel is filled; Glorot uniform by default.
    pub fn depthwise_initializer(mut self, init: impl Into<Init>) -> Self {
        self.depthwise.initializer = init.into();
        self
    }

    /// How W is filled; Glorot uniform by default.
    pub fn pointwise_initializer(mut self, init: impl Into<Init>) -> Self {
        self.pointwise.initializer = init.into();
        self
    }

    /// A penalty on the depthwise kernel, added to the loss; none by default.
    pub fn depthwise_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.depthwise.regularizer = Some(regularizer);
        self
    }

    /// A penalty on W, added to the loss; none by default.
    pub fn pointwise_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.pointwise.regularizer = Some(regularizer);
        self
    }

    /// Bounds that the depthwise kernel is brought into after each update; none by default.
    pub fn depthwise_constraint(mut self, constraint: Constraint) -> Self {
        self.depthwise.constraint = Some(constraint);
        self
    }

    /// Bounds that W is brought into after each update; none by default.
    pub fn pointwise_constraint(mut self, constraint: Constraint) -> Self {
        self.pointwise.constraint = Some(constraint);
        self
    }

    epilogue_builders!();

    fn inner(&self, sample: Shape) -> Result<Depthwise> {
        Depthwise::new(Self::NAME, self.sliding.window(Self::NAME, sample)?, self.depth_multiplier)
    }
}

impl<T: Float, const D: usize> Layer<T> for SeparableConv<D>
where
    LayerConfig: From<SeparableConv<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_filters(Self::NAME, self.filters)?;
        self.epilogue.check()?;
        let window = self.sliding.window(Self::NAME, input)?;
        input.need_features(Self::NAME)?;
        let (channels, middle) = (window.channels, self.inner(input)?.window.channels);
        let shape = kernel_shape(self.sliding.kernel_size, [channels, self.depth_multiplier]);
        let depthwise = self.depthwise.build("depthwise_kernel", shape, b)?;
        let shape = kernel_shape::<D>(Size([1; D]), [middle, self.filters]);
        self.kernels = [depthwise, self.pointwise.build("pointwise_kernel", shape, b)?];
        self.epilogue.build(self.filters, b)?;
        self.inner = Geometry::new(input, |input| self.inner(input))?;
        Ok(output::<D>(&window, self.filters))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(output::<D>(&self.sliding.window(Self::NAME, x)?, self.filters))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z, wide, _, mixed] = slot.buffers();
        let [depthwise, pointwise] = self.kernels;
        let inner = self.inner.of(x, |sample| self.inner(sample));
        mixed.resize(y.shape().with_last(inner.window.channels));
        inner.forward(x, pass.weight(depthwise), wide, mixed.as_mut_slice(), &mut [], |_, _| ());
        linear(pass, pointwise, mixed.as_slice(), y);
        self.epilogue.forward(pass, y, z);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let [z, wide, sums, mixed, gradient] = slot.buffers();
        let [depthwise, pointwise] = self.kernels;
        // dz = dy · f'(z), in place of dy, and db += Σ rows of dz
        self.epilogue.backward(pass, z, y, dy);
        // dW += D(x)ᵀ · dz, dD = dz · Wᵀ
        let below = dx.is_some() || pass.wants(depthwise);
        gradient.resize(if below { mixed.shape() } else { Shape::from([0]) });
        let dmixed = below.then_some(gradient.as_mut_slice());
        linear_backward(pass, pointwise, mixed.as_slice(), dy, dmixed);
        if below {
            let inner = self.inner.of(x, |sample| self.inner(sample));
            let sums = sums.scratch(depthwise::weight_space(&inner.window, x.samples()));
            let w = pass.weight(depthwise);
            inner.backward((x, w), wide, gradient.as_slice(), pass.gradient(depthwise), sums, dx);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.inner.input().with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let (inner, samples) = (self.inner.of_sample(x.sample(), |sample| self.inner(sample)), x.first());
        // What lies between the two, and its gradient.
        let middle = inner.window.pixels().saturating_mul(inner.window.channels).saturating_mul(samples);
        let middle = middle.saturating_mul(if backward { 2 } else { 1 });
        middle.saturating_add(inner.space(samples, backward))
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.epilogue.activation)
    }

    fn output_reach(&self) -> Reach {
        self.epilogue.output_reach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&SeparableConv1d::new(3, 3).padding(Padding::Causal), [5, 2]).unwrap();
        gradcheck::check_layer(&SeparableConv2d::new(2, [2, 3]).activation(Activation::Gelu), [4, 4, 3]).unwrap();
        let several = SeparableConv2d::new(3, 3).strides(2).padding(Padding::Same).depth_multiplier(2).use_bias(false);
        gradcheck::check_layer(&several.pointwise_regularizer(Regularizer::L2(0.1)), [5, 4, 2]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: SeparableConv2d| Sequential::new([5, 5, 4]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(SeparableConv2d::new(0, 3)).contains("filters must be at least 1"));
        assert!(error(SeparableConv2d::new(1, 3).depth_multiplier(0)).contains("depth_multiplier must be at least 1"));
        assert!(error(SeparableConv2d::new(1, 3).strides(0)).contains("strides must be at least 1"));
    }
}
