//! Convolution.

use super::{Padding, Size, output, window, window_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::convolution::{Convolution, Gradients};
use crate::kernels::plan::Plan;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::affine::{Finish, Kernel, finish_builders, kernel_builders};
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
    kernel_size: Size<D>,
    strides: Size<D>,
    padding: Padding,
    dilation_rate: Size<D>,
    groups: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: Kernel,
    #[cfg_attr(feature = "serde", serde(flatten))]
    finish: Finish,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
    #[cfg_attr(feature = "serde", serde(skip))]
    plan: Plan,
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

/// What a slot's tensors are.
const Z: usize = 0;
const SPACE: usize = 1;
const PREPARED: usize = 2;
const SUMS: usize = 3;
const BIAS: usize = 4;

impl<const D: usize> Conv<D> {
    const NAME: &'static str = if D == 1 { "Conv1d" } else { "Conv2d" };

    /// A layer with so many output channels and a kernel of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Size<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "convolutions are over one or two axes") };
        Conv {
            filters,
            kernel_size: kernel_size.into(),
            strides: Size([1; D]),
            padding: Padding::Valid,
            dilation_rate: Size([1; D]),
            groups: 1,
            kernel: Kernel::default(),
            finish: Finish::default(),
            w: ParamId::default(),
            plan: Plan::default(),
        }
    }

    window_builders!("Input", "output", "What is added around the input; `Padding::Valid`, nothing, by default.");

    /// Parts of channels and filters that have nothing to do with each other; 1 by default.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    kernel_builders!();
    finish_builders!();
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
        self.finish.check()?;
        let window = window(Self::NAME, input, self.kernel_size, self.strides, self.dilation_rate, self.padding)?;
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
        let shape = kernel_shape(self.kernel_size, [window.channels / groups, self.filters]);
        self.w = self.kernel.build("kernel", shape, b)?;
        self.finish.build(self.filters, b)?;
        self.plan = Plan::new(Convolution { window, filters: self.filters, groups });
        Ok(output::<D>(&window, self.filters))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (finish, w) = (self.finish.of(pass, self.filters), pass.weight(self.w));
        let follows = pass.needs_backward();
        self.plan.prepare_forward(w, follows, slot.scratch(PREPARED, self.plan.prepared_forward(follows)));
        slot.scratch(SPACE, self.plan.forward_space(x.samples()));
        if self.finish.keeps_z(pass) {
            slot.tensor(Z, y.shape());
        }
        let [z, space, prepared, ..] = slot.tensors.as_mut_slice() else { return };
        let z = if self.finish.keeps_z(pass) { z.as_mut_slice() } else { &mut [] };
        let (prepared, space) = (prepared.as_slice(), space.as_mut_slice());
        self.plan.forward(x.as_slice(), (w, prepared), y.as_mut_slice(), z, space, |y, z| finish.finish(y, z));
        self.finish.penalise(pass, y);
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
        self.finish.penalise_backward(pass, y, dy);
        let w = pass.weight(self.w);
        let [space, sums] = self.plan.backward_space(x.samples());
        slot.scratch(SPACE, space);
        slot.scratch(SUMS, sums);
        if dx.is_some() {
            self.plan.prepare_backward(w, slot.scratch(PREPARED, self.plan.prepared_backward()));
        }
        let biased = self.finish.use_bias && pass.wants(self.finish.bias);
        slot.scratch(BIAS, self.filters).fill(T::zero());
        let [z, space, prepared, sums, db, ..] = slot.tensors.as_mut_slice() else { return };
        let z = if self.finish.keeps_z(pass) { z.as_slice() } else { &[] };
        let finish = self.finish.of(pass, self.filters);
        let (weights, add) = pass.gradient_or_first(self.w);
        let gradients = Gradients {
            weights,
            add,
            bias: if biased { db.as_mut_slice() } else { &mut [] },
            input: dx.map_or(&mut [] as &mut [T], Tensor::as_mut_slice),
        };
        let (space, sums) = (space.as_mut_slice(), sums.as_mut_slice());
        // dz = dy · f'(z), in place of dy
        let start = |dz: &mut [T], range| finish.dz(z, y.as_slice(), dz, range);
        self.plan.backward(x.as_slice(), prepared.as_slice(), dy.as_mut_slice(), space, sums, start, gradients);
        if biased {
            pass.gradient(self.finish.bias).iter_mut().zip(&*db).for_each(|(g, d)| *g += *d);
        }
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }

    fn output_activation(&self) -> Option<Activation> {
        self.finish.output_activation()
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
        let mut model = Sequential::of([4, 1]).add(Conv1d::new(1, 2)).build(0).unwrap();
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

    /// Large enough for Winograd's filtering.
    #[test]
    fn gradients_of_many_channels() {
        let layer = Conv2d::new(17, 3).activation(Activation::Tanh);
        gradcheck::check_layer(&layer.clone().padding(Padding::Same), [4, 4, 16]).unwrap();
        gradcheck::check_layer(&layer.use_bias(false), [6, 9, 16]).unwrap();
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
        assert!(error(Conv2d::new(1, 1 << 31).padding(Padding::Same)).contains("fits in memory"));
    }
}
