//! Convolution of each channel on its own.

use super::conv::kernel_shape;
use super::sliding::{Sliding, sliding_builders};
use super::{Padding, Size, output};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::patches::Window;
use crate::kernels::{depthwise, parallel};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders, kernel_builders};
use crate::layers::geometry::Geometry;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y[p, c·m + j] = act(Σ taps t: x[p·stride + t·dilation − before, c]·W[t, c, j] + b[c·m + j]): each channel has filters of its
/// own, m of them.
///
/// Used as [`DepthwiseConv1d`] and [`DepthwiseConv2d`].
///
/// - Input `[length, channels]` or `[height, width, channels]`, output with channels·m channels; [`Padding`] says how large.
/// - Parameters: `kernel` W `[kernel size…, channels, m]` (Glorot uniform), `bias` b `[channels·m]` (zeros).
/// - Defaults: strides 1, `Padding::Valid`, dilation 1, depth multiplier m = 1, no activation, with bias.
/// - Gradient, with dz = dy·act'(z): dW[t, c, j] = Σ p: x[p + t, c]·dz[p, c·m + j], db = Σ rows of dz, dx the transposed
///   convolution of dz.
///
/// Keras `DepthwiseConv1D`, `DepthwiseConv2D` (`depthwise_initializer` is `kernel_initializer` here); PyTorch `Conv2d` with as
/// many groups as channels. Howard et al.: "MobileNets", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([9, 9, 4]).add(DepthwiseConv2d::new(3).strides(2)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 9, 9, 4]))?.dims(), &[2, 4, 4, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DepthwiseConv<const D: usize> {
    #[cfg_attr(feature = "serde", serde(flatten))]
    sliding: Sliding<D>,
    depth_multiplier: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
    #[cfg_attr(feature = "serde", serde(skip))]
    depthwise: Geometry<Depthwise>,
}

/// A [`DepthwiseConv`] over sequences `[length, channels]`.
pub type DepthwiseConv1d = DepthwiseConv<1>;

/// A [`DepthwiseConv`] over images `[height, width, channels]`.
pub type DepthwiseConv2d = DepthwiseConv<2>;

/// A window with m filters a channel: the products of [`DepthwiseConv`] and `SeparableConv`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Depthwise {
    /// Its channels are those of the output.
    pub window: Window,
    pub multiplier: usize,
}

impl Depthwise {
    pub fn new(op: &'static str, mut window: Window, multiplier: usize) -> Result<Self> {
        if multiplier == 0 {
            return Err(Error::argument(op, "depth_multiplier", "at least 1", 0, "1 gives every channel one filter"));
        }
        window.channels = window.channels.checked_mul(multiplier).ok_or_else(|| {
            let hint = "make it smaller";
            Error::argument(op, "depth_multiplier", "one that fits in memory", multiplier, hint)
        })?;
        Ok(Depthwise { window, multiplier })
    }

    /// See [`Layer::space`](crate::Layer::space).
    pub fn space(&self, samples: usize, backward: bool) -> usize {
        let wide = if self.multiplier == 1 { 0 } else { self.window.image().saturating_mul(samples) };
        let sums = if backward { depthwise::weight_space(&self.window, samples) } else { 0 };
        wide.saturating_add(sums)
    }

    /// x with every channel m times, which is what the window slides over.
    fn repeated<'a, T: Float>(&self, x: &'a Tensor<T>, wide: &'a mut Tensor<T>) -> &'a [T] {
        if self.multiplier == 1 {
            return x.as_slice();
        }
        wide.resize(x.shape().with_last(self.window.channels));
        let m = self.multiplier;
        parallel::rows(wide.as_mut_slice(), m, m, |first, wide| {
            for (wide, x) in wide.chunks_exact_mut(m).zip(&x.as_slice()[first..]) {
                wide.fill(*x);
            }
        });
        wide.as_slice()
    }

    /// y = the convolution, then `finish(y, z)`; `wide` keeps what backward needs.
    pub fn forward<T: Float>(
        &self,
        x: &Tensor<T>,
        w: &[T],
        wide: &mut Tensor<T>,
        y: &mut [T],
        z: &mut [T],
        finish: impl Fn(&mut [T], &mut [T]) + Sync,
    ) {
        depthwise::forward(&self.window, self.repeated(x, wide), w, y, z, finish);
    }

    /// dw += and dx =, each where it is wanted; `wide` is that of forward and ends as scratch.
    pub fn backward<T: Float>(
        &self,
        (x, w): (&Tensor<T>, &[T]),
        wide: &mut Tensor<T>,
        dz: &[T],
        dw: &mut [T],
        sums: &mut [T],
        dx: Option<&mut Tensor<T>>,
    ) {
        let m = self.multiplier;
        if !dw.is_empty() {
            let x = if m == 1 { x.as_slice() } else { wide.as_slice() };
            depthwise::weight_gradient(&self.window, x, dz, dw, sums);
        }
        let Some(dx) = dx else { return };
        if m == 1 {
            return depthwise::input_gradient(&self.window, w, dz, dx.as_mut_slice());
        }
        wide.resize(x.shape().with_last(self.window.channels));
        depthwise::input_gradient(&self.window, w, dz, wide.as_mut_slice());
        let wide = wide.as_slice();
        parallel::rows(dx.as_mut_slice(), 1, m, |first, dx| {
            let each = wide[first * m..].chunks_exact(m);
            dx.iter_mut().zip(each).for_each(|(dx, wide)| *dx = wide.iter().fold(T::zero(), |s, &v| s + v));
        });
    }
}

impl<const D: usize> DepthwiseConv<D> {
    const NAME: &'static str = if D == 1 { "DepthwiseConv1d" } else { "DepthwiseConv2d" };

    /// A layer with a kernel of this size for each channel.
    pub fn new(kernel_size: impl Into<Size<D>>) -> Self {
        DepthwiseConv {
            sliding: Sliding::new(kernel_size.into()),
            depth_multiplier: 1,
            kernel: KernelOptions::default(),
            epilogue: Epilogue::default(),
            w: ParamId::default(),
            depthwise: Geometry::default(),
        }
    }

    sliding_builders!("Input", "output", "What is added around the input; `Padding::Valid`, nothing, by default.");

    /// Filters of each channel; 1 by default.
    pub fn depth_multiplier(mut self, multiplier: usize) -> Self {
        self.depth_multiplier = multiplier;
        self
    }

    kernel_builders!();
    epilogue_builders!();

    fn depthwise(&self, sample: Shape) -> Result<Depthwise> {
        Depthwise::new(Self::NAME, self.sliding.window(Self::NAME, sample)?, self.depth_multiplier)
    }
}

impl<T: Float, const D: usize> Layer<T> for DepthwiseConv<D>
where
    LayerConfig: From<DepthwiseConv<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.epilogue.check()?;
        let window = self.sliding.window(Self::NAME, input)?;
        input.need_features(Self::NAME)?;
        let channels = self.depthwise(input)?.window.channels;
        let shape = kernel_shape(self.sliding.kernel_size, [window.channels, self.depth_multiplier]);
        self.w = self.kernel.build("kernel", shape, b)?;
        self.epilogue.build(channels, b)?;
        self.depthwise = Geometry::new(input, |input| self.depthwise(input))?;
        Ok(output::<D>(&window, channels))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let window = self.depthwise(x)?.window;
        Ok(output::<D>(&window, window.channels))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z, wide] = slot.buffers();
        let depthwise = self.depthwise.of(x, |sample| self.depthwise(sample));
        let epilogue = self.epilogue.of(pass, depthwise.window.channels);
        let z = epilogue.keep_z(y.shape(), z);
        let then = |y: &mut [T], z: &mut [T]| epilogue.forward(y, z);
        depthwise.forward(x, pass.weight(self.w), wide, y.as_mut_slice(), z, then);
        self.epilogue.penalise(pass, y);
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
        let [z, wide, sums] = slot.buffers();
        // dz = dy · f'(z), in place of dy, and db += Σ rows of dz
        self.epilogue.backward(pass, z, y, dy);
        let depthwise = self.depthwise.of(x, |sample| self.depthwise(sample));
        let sums = sums.scratch(depthwise::weight_space(&depthwise.window, x.samples()));
        let w = pass.weight(self.w);
        depthwise.backward((x, w), wide, dy.as_slice(), pass.gradient(self.w), sums, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.depthwise.input().with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        self.depthwise.of_sample(x.sample(), |sample| self.depthwise(sample)).space(x.first(), backward)
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
        gradcheck::check_layer(&DepthwiseConv1d::new(3).strides(2).padding(Padding::Same), [6, 3]).unwrap();
        gradcheck::check_layer(&DepthwiseConv1d::new(2).padding(Padding::Causal), [4, 1]).unwrap();
        gradcheck::check_layer(&DepthwiseConv2d::new([2, 3]).activation(Activation::Silu), [4, 5, 3]).unwrap();
        let several = DepthwiseConv2d::new(2).depth_multiplier(3).dilation_rate([1, 2]).use_bias(false);
        gradcheck::check_layer(&several, [3, 4, 2]).unwrap();
        gradcheck::check_layer(&DepthwiseConv2d::new(1).activation(Activation::Relu), [2, 2, 35]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: DepthwiseConv2d| Sequential::new([5, 5, 4]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(DepthwiseConv2d::new(3).depth_multiplier(0)).contains("depth_multiplier must be at least 1"));
        assert!(error(DepthwiseConv2d::new(3).depth_multiplier(usize::MAX)).contains("fits in memory"));
        assert!(error(DepthwiseConv2d::new(6)).contains("a height of at least 6"));
    }
}
