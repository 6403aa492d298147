//! Dropout of whole channels.

use super::{UNIFORM, check_rate, each_sample, mask};
use crate::activations::Activation;
use crate::error::Result;
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::check_rank;
use crate::tensor::{Float, Shape, Tensor};

/// y = x / (1 − rate), or 0 for a whole channel of a sample with probability `rate`, in training; y = x in inference.
///
/// Used as [`SpatialDropout1d`] over sequences and [`SpatialDropout2d`] over images, whose neighbouring values say much the
/// same, so that dropping single ones changes little.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output of one shape with it; no parameters.
/// - The rate lies in [0, 1]; 1 drops all.
/// - Gradient: dx = dy / (1 − rate) where the channel was kept, else 0.
///
/// What is dropped follows from the seed, the layer, the step and the row, as in [`Dropout`](super::Dropout).
///
/// Keras `SpatialDropout1D`, `SpatialDropout2D`; PyTorch `Dropout1d`, `Dropout2d`. Tompson et al.: "Efficient Object Localization
/// Using Convolutional Networks", 2015.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([8, 8, 3]).add(Conv2d::new(4, 3)).add(SpatialDropout2d::new(0.2)).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([6, 6, 4]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SpatialDropout<const D: usize> {
    rate: f64,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

/// A [`SpatialDropout`] over sequences `[length, channels]`.
pub type SpatialDropout1d = SpatialDropout<1>;

/// A [`SpatialDropout`] over images `[height, width, channels]`.
pub type SpatialDropout2d = SpatialDropout<2>;

impl<const D: usize> SpatialDropout<D> {
    const NAME: &'static str = if D == 1 { "SpatialDropout1d" } else { "SpatialDropout2d" };

    /// The part of the channels that is dropped.
    pub fn new(rate: f64) -> Self {
        const { assert!(D == 1 || D == 2, "one or two axes") };
        SpatialDropout { rate, stream: 0, input: Shape::default() }
    }

    /// Draws the factors of this pass.
    fn draw<T: Float>(&self, pass: &Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>) {
        let shape = Shape::from([x.samples(), x.shape().last()]);
        let [factors, ones] = slot.buffers();
        factors.resize(shape);
        ones.resize(shape);
        ones.as_mut_slice().fill(T::one());
        // At a rate of 1 nothing is kept, and the scale is not used.
        let kept = [T::of(1.0 / (1.0 - self.rate)), T::zero(), T::zero()];
        each_sample(pass, self.stream, ones, factors, UNIFORM, |key, from, to| mask(key, self.rate, from, to, kept));
    }

    /// to = factor·from: y from x and dx from dy alike.
    fn apply<T: Float>(&self, pass: &Pass<'_, T>, slot: &mut Slot<T>, from: &Tensor<T>, to: &mut Tensor<T>) {
        if !pass.training || self.rate == 0.0 {
            return to.as_mut_slice().copy_from_slice(from.as_slice());
        }
        let (sample, channels) = (from.shape().sample().len(), from.shape().last());
        let [factors] = slot.buffers();
        let factors = factors.as_slice();
        parallel::rows(to.as_mut_slice(), sample, sample, |first, to| {
            let each = from.as_slice()[first * sample..].chunks_exact(sample);
            let each = each.zip(factors[first * channels..].chunks_exact(channels));
            for (to, (from, factors)) in to.chunks_exact_mut(sample).zip(each) {
                for (to, from) in to.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
                    to.iter_mut().zip(from).zip(factors).for_each(|((t, &f), &k)| *t = f * k);
                }
            }
        });
    }
}

impl<T: Float, const D: usize> Layer<T> for SpatialDropout<D>
where
    LayerConfig: From<SpatialDropout<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_rank::<D>(Self::NAME, input)?;
        check_rate(Self::NAME, self.rate, true)?;
        self.stream = b.stream();
        self.input = input;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        if pass.training {
            self.draw(pass, slot, x);
        }
        self.apply(pass, slot, x, y);
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
        let Some(dx) = dx else { return };
        self.apply(pass, slot, dy, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        // A factor of each channel of each sample, and the ones that it is drawn over.
        if backward { x.last().saturating_mul(x.first()).saturating_mul(2) } else { 0 }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }

    fn reach(&self, _: Activation) -> Reach {
        if self.rate == 0.0 { Reach::Training } else { Reach::Inference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        for rate in [0.0, 0.4, 1.0] {
            gradcheck::check_layer(&SpatialDropout1d::new(rate), [3, 7]).unwrap();
            gradcheck::check_layer(&SpatialDropout2d::new(rate), [2, 3, 4]).unwrap();
        }
    }

    #[test]
    fn channels_are_dropped_as_one() {
        let mut layer = SpatialDropout1d::new(0.25);
        let x = Tensor::full([200, 5, 40], 1.0f64);
        Layer::<f64>::build(&mut layer, x.shape().sample(), &mut Builder::new(0)).unwrap();
        let params = crate::Params::new();
        let mut y = Tensor::zeros(x.shape());
        layer.forward(&mut Pass::training(&params, &mut [], 3, 0, 0), &mut Slot::new(), &x, &mut y);
        let mut dropped = 0;
        for sample in y.as_slice().chunks_exact(200) {
            for c in 0..40 {
                assert!(sample[c..].iter().step_by(40).all(|&v| v == sample[c]));
                assert!(sample[c] == 0.0 || sample[c] == 1.0 / 0.75);
                dropped += usize::from(sample[c] == 0.0);
            }
        }
        // Five standard deviations of a binomial part of 8,000.
        assert!((dropped as f64 / 8000.0 - 0.25).abs() < 5.0 * (0.25f64 * 0.75 / 8000.0).sqrt(), "{dropped}");
    }

    #[test]
    fn impossible_settings() {
        assert!(Sequential::new([3]).add(SpatialDropout1d::new(0.5)).build(0).is_err());
        assert!(Sequential::new([3, 3]).add(SpatialDropout1d::new(1.5)).build(0).is_err());
    }
}
