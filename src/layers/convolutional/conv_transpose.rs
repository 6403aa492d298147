//! Transposed convolution.

use super::conv::{check_filters, kernel_shape};
use super::sliding::{Sliding, sliding_builders};
use super::{Padding, Size, check_rank, check_sizes, span};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::convolution::{Convolution, Gradients};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders, kernel_builders};
use crate::layers::geometry::Geometry;
use crate::params::ParamId;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = act(Cᵀ(x) + b), C the convolution from the output's size to the input's with the same kernel: each input value spreads
/// its kernel over the output. Also called deconvolution; it enlarges by its strides.
///
/// Used as [`Conv1dTranspose`] and [`Conv2dTranspose`].
///
/// - Input `[length, channels]` or `[height, width, channels]`, output with `filters` channels. A kernel of size s spans
///   k = 1 + (s − 1)·dilation positions; an axis of n becomes n·stride with `Padding::Same`, n·stride + max(k − stride, 0) with
///   `Padding::Valid`; with an output padding o it becomes (n − 1)·stride + k + o, for `Same` less 2·⌊k / 2⌋.
/// - Parameters: `kernel` W `[kernel size…, filters, channels]` (Glorot uniform), `bias` b `[filters]` (zeros).
/// - Defaults: strides 1, `Padding::Valid`, dilation 1, no output padding, no activation, with bias.
/// - Gradient, with dz = dy·act'(z) and P the patches of dz: dx = P·W, dW = Pᵀ·x, db = Σ rows of dz.
///
/// Keras `Conv1DTranspose`, `Conv2DTranspose`; PyTorch `ConvTranspose1d`, `ConvTranspose2d`. Dumoulin, Visin: "A guide to
/// convolution arithmetic for deep learning", 2016.
///
/// ```
/// use gradus::prelude::*;
/// let layer = Conv2dTranspose::new(3, 3).strides(2).padding(Padding::Same);
/// let model = Sequential::new([7, 7, 16]).add(layer).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 7, 7, 16]))?.dims(), &[2, 14, 14, 3]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConvTranspose<const D: usize> {
    filters: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    sliding: Sliding<D>,
    output_padding: Option<Size<D>>,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
    /// C: its window slides over the output, and its filters are the channels of the input.
    #[cfg_attr(feature = "serde", serde(skip))]
    convolution: Geometry<Convolution>,
}

/// A [`ConvTranspose`] over sequences `[length, channels]`.
pub type Conv1dTranspose = ConvTranspose<1>;

/// A [`ConvTranspose`] over images `[height, width, channels]`.
pub type Conv2dTranspose = ConvTranspose<2>;

impl<const D: usize> ConvTranspose<D> {
    const NAME: &'static str = if D == 1 { "Conv1dTranspose" } else { "Conv2dTranspose" };

    /// A layer with so many output channels and a kernel of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Size<D>>) -> Self {
        ConvTranspose {
            filters,
            sliding: Sliding::new(kernel_size.into()),
            output_padding: None,
            kernel: KernelOptions::default(),
            epilogue: Epilogue::default(),
            w: ParamId::default(),
            convolution: Geometry::default(),
        }
    }

    sliding_builders!(
        "Output",
        "input",
        "The padding of the convolution that this one transposes, `Valid` or `Same`; `Valid` by default."
    );

    /// Chooses among the output sizes that the convolution would take to the input's; by default the largest.
    pub fn output_padding(mut self, padding: impl Into<Size<D>>) -> Self {
        self.output_padding = Some(padding.into());
        self
    }

    kernel_builders!();
    epilogue_builders!();

    /// The output's size along an axis of the plane.
    fn output_size(&self, axis: usize, input: usize) -> Result<usize> {
        let [kernel, stride, dilation] =
            [self.sliding.kernel_size, self.sliding.strides, self.sliding.dilation_rate].map(|s| s.plane()[axis]);
        if D == 1 && axis == 0 {
            return Ok(1);
        }
        let Some(spans) = span(kernel, dilation) else {
            let got = format!("{kernel} taps with dilation {dilation}");
            let expected = "one whose positions can be counted";
            return Err(Error::argument(Self::NAME, "kernel_size", expected, got, "make them smaller"));
        };
        if input == FREE {
            // Whether the output padding fits depends on no size.
            return self.output_size(axis, 1 << 10).map(|_| FREE);
        }
        let same = self.sliding.padding == Padding::Same;
        let most = input.saturating_mul(stride);
        let Some(more) = self.output_padding.map(|p| p.plane()[axis]) else {
            return Ok(if same { most } else { most.saturating_add(spans.saturating_sub(stride)) });
        };
        let whole = ((input - 1).saturating_mul(stride)).saturating_add(spans).saturating_add(more);
        let size = whole.saturating_sub(if same { 2 * (spans / 2) } else { 0 });
        // The convolution must come back to the input's size.
        let back = match same {
            true => size.div_ceil(stride),
            false => size.checked_sub(spans).map_or(0, |rest| rest / stride + 1),
        };
        if back != input {
            let expected = format!("one that the strides take from {size} back to {input}");
            let hint = "it lies below the stride; leave it out for the largest output";
            return Err(Error::argument(Self::NAME, "output_padding", expected, more, hint));
        }
        Ok(size)
    }

    /// The shape of one output sample, and the convolution that leads back from it.
    fn transposed(&self, input: Shape) -> Result<(Shape, Convolution)> {
        let [height, width, channels] = check_rank::<D>(Self::NAME, input)?;
        let (height, width) = (self.output_size(0, height)?, self.output_size(1, width)?);
        let output =
            if D == 1 { Shape::from([width, self.filters]) } else { Shape::from([height, width, self.filters]) };
        output.open_len(Self::NAME)?;
        let window = self.sliding.window(Self::NAME, output)?;
        Ok((output, Convolution { window, filters: channels, groups: 1 }))
    }

    fn convolution(&self, sample: Shape) -> Result<Convolution> {
        Ok(self.transposed(sample)?.1)
    }
}

impl<T: Float, const D: usize> Layer<T> for ConvTranspose<D>
where
    LayerConfig: From<ConvTranspose<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_filters(Self::NAME, self.filters)?;
        self.epilogue.check()?;
        let [.., channels] = check_rank::<D>(Self::NAME, input)?;
        input.need_features(Self::NAME)?;
        check_sizes(Self::NAME, "kernel_size", self.sliding.kernel_size)?;
        check_sizes(Self::NAME, "strides", self.sliding.strides)?;
        check_sizes(Self::NAME, "dilation_rate", self.sliding.dilation_rate)?;
        if self.sliding.padding == Padding::Causal {
            let hint = "a transposed convolution has no past to keep to";
            return Err(Error::argument(Self::NAME, "padding", "Valid or Same", "Causal", hint));
        }
        if input.is_empty() {
            return Err(Error::shape(Self::NAME, "at least one value", input, "give every size at least 1"));
        }
        self.w = self.kernel.build("kernel", kernel_shape(self.sliding.kernel_size, [self.filters, channels]), b)?;
        self.epilogue.build(self.filters, b)?;
        self.convolution = Geometry::new(input, |input| self.convolution(input))?;
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(self.transposed(x)?.0)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z, space, turned] = slot.buffers();
        let c = self.convolution.of(x, |sample| self.convolution(sample));
        let (epilogue, w) = (self.epilogue.of(pass, self.filters), pass.weight(self.w));
        let turned = turned.scratch(w.len());
        c.transpose_weights(w, turned);
        let space = space.scratch(c.transposed_space(x.samples()));
        let z = epilogue.keep_z(y.shape(), z);
        c.transposed(x.as_slice(), turned, y.as_mut_slice(), z, space, |y, z| epilogue.forward(y, z));
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
        let [z, space, _, sums, input] = slot.buffers();
        // dz = dy · f'(z), in place of dy, and db += Σ rows of dz
        self.epilogue.backward(pass, z, y, dy);
        let (dz, c) = (dy.as_slice(), self.convolution.of(x, |sample| self.convolution(sample)));
        // dx = patches(dz) · W
        if let Some(dx) = dx {
            let space = space.scratch(c.forward_space(x.samples()));
            c.forward(dz, pass.weight(self.w), dx.as_mut_slice(), &mut [], space, |_, _| ());
        }
        // dW += patches(dz)ᵀ · x
        if pass.wants(self.w) {
            let [space_len, sums_len] = c.backward_space(x.samples());
            let (space, sums) = (space.scratch(space_len), sums.scratch(sums_len));
            input.copy_from(x);
            let (weights, beta) = pass.gradient_with_beta(self.w);
            let gradients = Gradients { weights, add: beta != T::zero(), bias: &mut [], input: &mut [] };
            c.backward(dz, &[], input.as_mut_slice(), space, sums, |_, _| (), gradients);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.convolution.input().with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let samples = x.first();
        let c = self.convolution.of_sample(x.sample(), |sample| self.convolution(sample));
        let (weights, space) = (c.patch() * c.filters, c.transposed_space(samples));
        if !backward {
            return weights.saturating_add(space);
        }
        let [back, sums] = c.backward_space(samples);
        // The input is copied, as what stands for dy here is used up.
        let input = (c.window.pixels() * c.filters).saturating_mul(samples);
        let space = space.max(back).max(c.forward_space(samples));
        weights.saturating_add(space).saturating_add(sums).saturating_add(input)
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
    fn hand_computed() {
        let mut model = Sequential::new([2, 1]).add(Conv1dTranspose::new(1, 3).strides(2)).build_as(0).unwrap();
        model.set_weight("conv1d_transpose/kernel", &[1.0f64, 10.0, 100.0]).unwrap();
        let y = model.predict(&Tensor::new([1, 2, 1], vec![1.0, 2.0]).unwrap()).unwrap();
        assert_eq!(y.as_slice(), &[1.0, 10.0, 102.0, 20.0, 200.0]);
    }

    #[test]
    fn gradients() {
        gradcheck::check_layer(&Conv1dTranspose::new(2, 3).strides(2).padding(Padding::Same), [4, 3]).unwrap();
        gradcheck::check_layer(&Conv1dTranspose::new(1, 3).dilation_rate(2), [4, 2]).unwrap();
        gradcheck::check_layer(&Conv2dTranspose::new(2, [2, 3]).activation(Activation::Silu), [3, 2, 3]).unwrap();
        gradcheck::check_layer(&Conv2dTranspose::new(2, 1).use_bias(false), [3, 2, 3]).unwrap();
        let layer = Conv2dTranspose::new(1, 3).strides([2, 3]).padding(Padding::Same).output_padding([1, 0]);
        gradcheck::check_layer(&layer.activation(Activation::Sigmoid), [2, 3, 2]).unwrap();
    }

    #[test]
    fn output_sizes() {
        let size =
            |layer: Conv1dTranspose| Sequential::new([5, 2]).add(layer).build(0).map(|m| m.output_shape().dims()[0]);
        assert_eq!(size(Conv1dTranspose::new(1, 3).strides(2)).unwrap(), 11);
        assert_eq!(size(Conv1dTranspose::new(1, 2).strides(3)).unwrap(), 15);
        assert_eq!(size(Conv1dTranspose::new(1, 3).strides(2).padding(Padding::Same)).unwrap(), 10);
        let padded = Conv1dTranspose::new(1, 3).strides(2).padding(Padding::Same);
        assert_eq!(size(padded.clone().output_padding(0)).unwrap(), 9);
        assert_eq!(size(padded.clone().output_padding(1)).unwrap(), 10);
        assert!(
            size(padded.clone().output_padding(2)).unwrap_err().to_string().contains("output_padding must be one that")
        );
        assert!(size(padded.padding(Padding::Causal)).unwrap_err().to_string().contains("Valid or Same"));
        assert!(size(Conv1dTranspose::new(1, 3).strides(1 << 31)).is_err());
    }
}
