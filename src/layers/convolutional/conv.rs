//! Convolution.

use super::sliding::{Sliding, sliding_builders};
use super::{Padding, Size, output};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::algorithm::Algorithm;
use crate::kernels::convolution::{Convolution, Gradients};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders, kernel_builders};
use crate::layers::geometry::Geometry;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y[p, f] = act(Σ taps t, channels c: x[p·stride + t·dilation − before, c]·W[t, c, f] + b\[f\]): one filter slides over all
/// positions.
///
/// Used as [`Conv1d`] over sequences and [`Conv2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output with `filters` channels; [`Padding`] says how large.
/// - Parameters: `kernel` W `[kernel size…, channels / groups, filters]` (Glorot uniform), `bias` b `[filters]` (zeros).
/// - Defaults: strides 1, `Padding::Valid`, dilation 1, one group, no activation, with bias, no penalties, no bounds.
/// - With groups, filters and channels are cut into as many equal parts, and each part of the filters sees its part of the
///   channels alone.
/// - Kernels of 3×3 with strides 1 over 16 channels and more are computed by Winograd's filtering, with a quarter of the
///   multiplications and rounding errors of about 10⁻⁶ of the largest output in f32.
/// - Gradient, with dz = dy·act'(z) and P the matrix of patches, a row for each position: dW = Pᵀ·dz, db = Σ rows of dz,
///   dx = the rows of dz·Wᵀ added up where their patches stood.
///
/// Keras `Conv1D`, `Conv2D`; PyTorch `Conv1d`, `Conv2d` (channels first, weight `[filters, channels / groups, size…]`). LeCun et
/// al.: "Gradient-Based Learning Applied to Document Recognition", 1998; padding as TensorFlow's; Lavin, Gray: "Fast Algorithms for Convolutional Neural
/// Networks", 2015.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([28, 28, 1])
///     .add(Conv2d::new(8, 3).activation(Activation::Relu))
///     .add(Conv2d::new(16, [5, 3]).strides(2).padding(Padding::Same))
///     .build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 28, 28, 1]))?.dims(), &[2, 13, 13, 16]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Conv<const D: usize> {
    filters: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    sliding: Sliding<D>,
    groups: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
    #[cfg_attr(feature = "serde", serde(skip))]
    algorithm: Geometry<Algorithm>,
}

/// A [`Conv`] over sequences `[length, channels]`.
///
/// ```
/// use gradus::prelude::*;
/// let causal = Conv1d::new(4, 3).padding(Padding::Causal).dilation_rate(2);
/// let model = Sequential::new([10, 2]).add(causal).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([1, 10, 2]))?.dims(), &[1, 10, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type Conv1d = Conv<1>;

/// A [`Conv`] over images `[height, width, channels]`.
pub type Conv2d = Conv<2>;

impl<const D: usize> Conv<D> {
    const NAME: &'static str = if D == 1 { "Conv1d" } else { "Conv2d" };

    /// A layer with so many output channels and a kernel of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Size<D>>) -> Self {
        Conv {
            filters,
            sliding: Sliding::new(kernel_size.into()),
            groups: 1,
            kernel: KernelOptions::default(),
            epilogue: Epilogue::default(),
            w: ParamId::default(),
            algorithm: Geometry::default(),
        }
    }

    sliding_builders!("Input", "output", "What is added around the input; `Padding::Valid`, nothing, by default.");

    /// Number of groups into which channels and filters are split, a divisor of both; each group of filters sees its own group of
    /// channels. 1 by default.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    kernel_builders!();
    epilogue_builders!();

    /// How samples of a shape are computed.
    fn algorithm(&self, sample: Shape) -> Result<Algorithm> {
        let window = self.sliding.window(Self::NAME, sample)?;
        Ok(Algorithm::new(Convolution { window, filters: self.filters, groups: self.groups }))
    }
}

/// The shape of a kernel: its sizes, then two more.
pub(super) fn kernel_shape<const D: usize>(size: Size<D>, last: [usize; 2]) -> Shape {
    match size.plane() {
        [_, length] if D == 1 => Shape::from([length, last[0], last[1]]),
        [height, width] => Shape::from([height, width, last[0], last[1]]),
    }
}

/// Checks a number of filters.
pub(super) fn check_filters(op: &'static str, filters: usize) -> Result<()> {
    if filters == 0 {
        return Err(Error::argument(op, "filters", "at least 1", 0, "pass the number of output channels"));
    }
    Ok(())
}

impl<T: Float, const D: usize> Layer<T> for Conv<D>
where
    LayerConfig: From<Conv<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_filters(Self::NAME, self.filters)?;
        self.epilogue.check()?;
        let window = self.sliding.window(Self::NAME, input)?;
        input.need_features(Self::NAME)?;
        let groups = self.groups;
        if groups == 0 || !window.channels.is_multiple_of(groups) || !self.filters.is_multiple_of(groups) {
            let expected = format!("a divisor of the {} channels and the {} filters", window.channels, self.filters);
            return Err(Error::argument(
                Self::NAME,
                "groups",
                expected,
                groups,
                "1 lets every filter see all channels",
            ));
        }
        let shape = kernel_shape(self.sliding.kernel_size, [window.channels / groups, self.filters]);
        self.w = self.kernel.build("kernel", shape, b)?;
        self.epilogue.build(self.filters, b)?;
        self.algorithm = Geometry::new(input, |input| self.algorithm(input))?;
        Ok(output::<D>(&window, self.filters))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(output::<D>(&self.sliding.window(Self::NAME, x)?, self.filters))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z, space, prepared] = slot.buffers();
        let algorithm = self.algorithm.of(x, |sample| self.algorithm(sample));
        let (epilogue, w) = (self.epilogue.of(pass, self.filters), pass.weight(self.w));
        let follows = pass.needs_backward();
        let prepared = prepared.scratch(algorithm.prepared_forward(follows));
        algorithm.prepare_forward(w, follows, prepared);
        let space = space.scratch(algorithm.forward_space(x.samples()));
        let z = epilogue.keep_z(y.shape(), z);
        let then = |y: &mut [T], z: &mut [T]| epilogue.forward(y, z);
        algorithm.forward(x.as_slice(), (w, prepared), y.as_mut_slice(), z, space, then);
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
        let [z, space, prepared, sums, db] = slot.buffers();
        let algorithm = self.algorithm.of(x, |sample| self.algorithm(sample));
        self.epilogue.penalise_backward(pass, y, dy);
        if dx.is_some() {
            let prepared = prepared.scratch(algorithm.prepared_backward());
            algorithm.prepare_backward(pass.weight(self.w), prepared);
        }
        let [space_len, sums_len] = algorithm.backward_space(x.samples());
        let biased = self.epilogue.wants_bias(pass);
        let db = db.scratch(if biased { self.filters } else { 0 });
        db.fill(T::zero());
        let epilogue = self.epilogue.of(pass, self.filters);
        let (weights, beta) = pass.gradient_with_beta(self.w);
        let input = dx.map_or(&mut [] as &mut [T], Tensor::as_mut_slice);
        let gradients = Gradients { weights, add: beta != T::zero(), bias: db, input };
        // dz = dy · f'(z), in place of dy
        let start = |dz: &mut [T], range| epilogue.backward(z, y, dz, range);
        let (space, sums) = (space.scratch(space_len), sums.scratch(sums_len));
        algorithm.backward(x.as_slice(), prepared.as_slice(), dy.as_mut_slice(), space, sums, start, gradients);
        if biased {
            pass.gradient(self.epilogue.bias).iter_mut().zip(&*db).for_each(|(g, d)| *g += *d);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.algorithm.input().with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let algorithm = self.algorithm.of_sample(x.sample(), |sample| self.algorithm(sample));
        let prepared = algorithm.prepared_forward(backward).max(algorithm.prepared_backward());
        let space = algorithm.forward_space(x.first());
        let [back, sums] = if backward { algorithm.backward_space(x.first()) } else { [0, 0] };
        let bias = if backward { self.filters } else { 0 };
        prepared.saturating_add(space.max(back)).saturating_add(sums).saturating_add(bias)
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
    use crate::regularizers::Regularizer;

    #[test]
    fn hand_computed() {
        let mut model = Sequential::new([4, 1]).add(Conv1d::new(1, 2)).build_as(0).unwrap();
        model.set_weight("conv1d/kernel", &[10.0f64, 1.0]).unwrap();
        model.set_weight("conv1d/bias", &[100.0]).unwrap();
        let x = Tensor::new([1, 4, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(model.predict(&x).unwrap().as_slice(), &[112.0, 123.0, 134.0]);
    }

    #[test]
    fn gradients_of_sequences() {
        gradcheck::check_layer(&Conv1d::new(4, 3), [7, 2]).unwrap();
        gradcheck::check_layer(&Conv1d::new(3, 2).padding(Padding::Causal).dilation_rate(3), [5, 2]).unwrap();
        gradcheck::check_layer(&Conv1d::new(3, 3).strides(2).padding(Padding::Same), [8, 1]).unwrap();
    }

    #[test]
    fn gradients_of_images() {
        gradcheck::check_layer(&Conv2d::new(3, 1).activation(Activation::Tanh), [3, 2, 4]).unwrap();
        gradcheck::check_layer(&Conv2d::new(2, 3).activation(Activation::Gelu), [4, 5, 1]).unwrap();
        gradcheck::check_layer(&Conv2d::new(5, [2, 3]).strides([2, 1]).padding(Padding::Same), [5, 4, 3]).unwrap();
        gradcheck::check_layer(&Conv2d::new(4, 2).groups(2).dilation_rate([1, 2]).use_bias(false), [4, 5, 6]).unwrap();
        gradcheck::check_layer(&Conv2d::new(4, 1).groups(2).padding(Padding::Same), [2, 3, 2]).unwrap();
        gradcheck::check_layer(&Conv2d::new(3, 2).activation(Activation::Softmax).strides(3), [5, 5, 2]).unwrap();
    }

    #[test]
    fn penalties() {
        let layer = Conv2d::new(2, 2).kernel_regularizer(Regularizer::L2(0.1)).bias_regularizer(Regularizer::L1(0.2));
        gradcheck::check_layer(&layer.activity_regularizer(Regularizer::L2(0.3)), [3, 3, 2]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: Conv2d| Sequential::new([5, 5, 4]).add(layer).build(0).unwrap_err().to_string();
        assert_eq!(
            error(Conv2d::new(6, 3).groups(3)),
            "layer 0 (conv2d): Conv2d: groups must be a divisor of the 4 channels and the 6 filters, got 3; 1 lets every \
             filter see all channels"
        );
        assert!(error(Conv2d::new(6, 3).groups(0)).contains("groups must be"));
        assert!(error(Conv2d::new(0, 3)).contains("filters must be at least 1"));
        assert!(error(Conv2d::new(1, 6)).contains("a height of at least 6"));
        assert!(error(Conv2d::new(usize::MAX, 3)).contains("fits in memory"));
        assert!(error(Conv2d::new(1, 1 << 31)).contains("a height of at least"));
        assert!(error(Conv2d::new(1, 1 << 31).padding(Padding::Same)).contains("at most 2147483648 taps"));
    }
}
