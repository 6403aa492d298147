//! The mean of each channel.

use super::global;
use crate::error::Result;
use crate::kernels::parallel;
use crate::kernels::simd;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y\[c\] = the mean of x[p, c] over all positions p of a sample.
///
/// Used as [`GlobalAveragePooling1d`] over sequences and [`GlobalAveragePooling2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output `[channels]`, or `[1, channels]` and `[1, 1, channels]` with
///   `keepdims`. No parameters.
/// - Gradient: dx[p, c] = dy\[c\] / number of positions.
/// - Over a sequence under a mask, the mean and the gradient are over the steps that count: NaN where none does, as in Keras. The output has
///   no mask.
///
/// Keras `GlobalAveragePooling1D`, `GlobalAveragePooling2D`; PyTorch `AdaptiveAvgPool2d(1)`. Lin et al.: "Network In Network",
/// 2014.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2, 2, 1]).add(GlobalAveragePooling2d::new()).build(0)?;
/// let x = Tensor::new([1, 2, 2, 1], vec![1.0, 2.0, 3.0, 6.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[3.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GlobalAveragePooling<const D: usize> {
    keepdims: bool,
}

/// A [`GlobalAveragePooling`] over sequences `[length, channels]`.
pub type GlobalAveragePooling1d = GlobalAveragePooling<1>;

/// A [`GlobalAveragePooling`] over images `[height, width, channels]`.
pub type GlobalAveragePooling2d = GlobalAveragePooling<2>;

impl<const D: usize> GlobalAveragePooling<D> {
    const NAME: &'static str = if D == 1 { "GlobalAveragePooling1d" } else { "GlobalAveragePooling2d" };

    /// One value a channel.
    pub fn new() -> Self {
        const { assert!(D == 1 || D == 2, "pools are over one or two axes") };
        Self::default()
    }

    /// Whether the axes that are averaged over stay, of size 1; no by default.
    pub fn keepdims(mut self, keepdims: bool) -> Self {
        self.keepdims = keepdims;
        self
    }
}

impl<T: Float, const D: usize> Layer<T> for GlobalAveragePooling<D>
where
    LayerConfig: From<GlobalAveragePooling<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        global::output::<D>(Self::NAME, x, self.keepdims)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [positions, channels] = global::sizes(x);
        let sample = positions * channels;
        if let Some(mask) = steps::<T, D>(pass, x) {
            return parallel::rows(y.as_mut_slice(), channels, sample, |first, y| {
                for (i, y) in (first..).zip(y.chunks_exact_mut(channels)) {
                    let mask = &mask[i * positions..][..positions];
                    let inv_n = share::<T>(mask);
                    y.fill(T::zero());
                    let steps = x.as_slice()[i * sample..][..sample].chunks_exact(channels).zip(mask);
                    for (x, _) in steps.filter(|(_, counts)| **counts) {
                        y.iter_mut().zip(x).for_each(|(y, x)| *y += *x);
                    }
                    y.iter_mut().for_each(|y| *y *= inv_n);
                }
            });
        }
        let inv_n = T::one() / T::of(positions as f64);
        parallel::rows(y.as_mut_slice(), channels, sample, |first, y| {
            simd::vectorised(|| {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.as_slice()[first * sample..].chunks_exact(sample)) {
                    y.fill(T::zero());
                    for x in x.chunks_exact(channels) {
                        y.iter_mut().zip(x).for_each(|(y, x)| *y += *x);
                    }
                    y.iter_mut().for_each(|y| *y *= inv_n);
                }
            });
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let [positions, channels] = global::sizes(dx);
        if let Some(mask) = steps::<T, D>(pass, x) {
            let dy = &*dy;
            return parallel::rows(dx.as_mut_slice(), positions * channels, positions * channels, |first, dx| {
                for (i, dx) in (first..).zip(dx.chunks_exact_mut(positions * channels)) {
                    let mask = &mask[i * positions..][..positions];
                    let (inv_n, dy) = (share::<T>(mask), &dy.as_slice()[i * channels..][..channels]);
                    for (dx, counts) in dx.chunks_exact_mut(channels).zip(mask) {
                        // 0·∞ where none counts: NaN, as the mean is.
                        let part = if *counts { inv_n } else { T::zero() * inv_n };
                        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = dy * part);
                    }
                }
            });
        }
        let inv_n = T::one() / T::of(positions as f64);
        parallel::rows(dx.as_mut_slice(), positions * channels, positions * channels, |first, dx| {
            let each = dy.as_slice()[first * channels..].chunks_exact(channels);
            for (dx, dy) in dx.chunks_exact_mut(positions * channels).zip(each) {
                for dx in dx.chunks_exact_mut(channels) {
                    dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = dy * inv_n);
                }
            }
        });
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }
}

/// The mask of sequences, a step at a time.
fn steps<'a, T: Float, const D: usize>(pass: &'a Pass<'_, T>, x: &Tensor<T>) -> Option<&'a [bool]> {
    pass.mask().filter(|mask| D == 1 && mask.len() == x.shape().rows())
}

/// The part of the mean that a step has which counts; infinite where none does.
fn share<T: Float>(mask: &[bool]) -> T {
    T::one() / T::of(mask.iter().filter(|counts| **counts).count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients_and_shapes() {
        gradcheck::check_layer(&GlobalAveragePooling1d::new(), [7, 3]).unwrap();
        gradcheck::check_layer(&GlobalAveragePooling2d::new().keepdims(true), [2, 3, 5]).unwrap();
        let shape =
            |layer: GlobalAveragePooling2d| Sequential::new([2, 3, 5]).add(layer).build(0).unwrap().output_shape();
        assert_eq!(shape(GlobalAveragePooling::new()), Shape::from([5]));
        assert_eq!(shape(GlobalAveragePooling::new().keepdims(true)), Shape::from([1, 1, 5]));
        assert!(Sequential::new([2, 3]).add(GlobalAveragePooling2d::new()).build(0).is_err());
    }
}
