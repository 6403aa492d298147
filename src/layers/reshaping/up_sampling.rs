//! More positions: values repeated, or interpolated.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::{Size, check_rank, check_sizes};
use crate::tensor::{Float, Shape, Tensor, unless_free};

/// y[q, c] = x[⌊q / size⌋, c], or between the nearest values of x: every axis `size` times as long.
///
/// Used as [`UpSampling1d`] over sequences and [`UpSampling2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`. No parameters.
/// - With [`Interpolation::Bilinear`] output position q stands at (q + ½) / size − ½ in the input, and the values at its edge go
///   on beyond it.
/// - Gradient: each dy is added to the positions that it was made from, with their weights.
///
/// Keras `UpSampling1D`, `UpSampling2D`; PyTorch `Upsample` with `mode="nearest"` or `"bilinear"`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2, 1]).add(UpSampling1d::new(2)).build(0)?;
/// let x = Tensor::new([1, 2, 1], vec![1.0, 5.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[1.0, 1.0, 5.0, 5.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpSampling<const D: usize> {
    size: Size<D>,
    interpolation: Interpolation,
}

/// An [`UpSampling`] over sequences `[length, channels]`.
pub type UpSampling1d = UpSampling<1>;

/// An [`UpSampling`] over images `[height, width, channels]`.
pub type UpSampling2d = UpSampling<2>;

/// What stands between the values of a smaller image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Interpolation {
    /// The nearest value.
    #[default]
    Nearest,
    /// The weighted mean of the two nearest values of each axis.
    Bilinear,
}

impl Interpolation {
    /// The two input positions that an output position comes from, and the weight of the second.
    fn between(self, output: usize, size: usize, input: usize) -> (usize, usize, f64) {
        if self == Interpolation::Nearest {
            return (output / size, output / size, 0.0);
        }
        let at = ((output as f64 + 0.5) / size as f64 - 0.5).max(0.0);
        let low = (at as usize).min(input - 1);
        (low, (low + 1).min(input - 1), at - low as f64)
    }
}

impl<const D: usize> UpSampling<D> {
    const NAME: &'static str = if D == 1 { "UpSampling1d" } else { "UpSampling2d" };

    /// Every axis so many times as long; 2 is Keras's default.
    pub fn new(size: impl Into<Size<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "one or two axes") };
        UpSampling { size: size.into(), interpolation: Interpolation::Nearest }
    }

    /// What stands between values; the nearest by default.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// Values of an input and of an output sample.
    fn samples(&self, [height, width, channels]: [usize; 3]) -> [usize; 2] {
        let [down, across] = self.size.plane();
        [height * width * channels, height * down * width * across * channels]
    }

    /// Calls `f(first value of the output pixel, first value of an input pixel, weight)` for all that an output sample is made of.
    fn each<T: Float>(&self, [height, width, channels]: [usize; 3], mut f: impl FnMut(usize, usize, T)) {
        let [down, across] = self.size.plane();
        for y in 0..height * down {
            let (top, bottom, v) = self.interpolation.between(y, down, height);
            for x in 0..width * across {
                let (left, right, h) = self.interpolation.between(x, across, width);
                let to = (y * width * across + x) * channels;
                if self.interpolation == Interpolation::Nearest {
                    f(to, (top * width + left) * channels, T::one());
                    continue;
                }
                let corners = [(top, left), (top, right), (bottom, left), (bottom, right)];
                let weights = [(1.0 - v) * (1.0 - h), (1.0 - v) * h, v * (1.0 - h), v * h];
                for ((row, column), weight) in corners.into_iter().zip(weights) {
                    f(to, (row * width + column) * channels, T::of(weight));
                }
            }
        }
    }
}

/// Height, width and channels of the samples of a batch; a sequence has height 1.
fn sizes<T: Float>(x: &Tensor<T>) -> [usize; 3] {
    match *x.dims() {
        [_, height, width, channels] => [height, width, channels],
        _ => [1, x.shape().sample().rows(), x.shape().last()],
    }
}

impl<T: Float, const D: usize> Layer<T> for UpSampling<D>
where
    LayerConfig: From<UpSampling<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let [height, width, channels] = check_rank::<D>(Self::NAME, x)?;
        check_sizes(Self::NAME, "size", self.size)?;
        let longer = |size: usize, times: usize| {
            size.checked_mul(times).ok_or_else(|| {
                let got = format!("{:?}", self.size);
                Error::argument(Self::NAME, "size", "one that fits in memory", got, "make it smaller")
            })
        };
        let [down, across] = self.size.plane();
        let height = unless_free(height, |height| longer(height, down))?;
        let width = unless_free(width, |width| longer(width, across))?;
        let output = if D == 1 { Shape::from([width, channels]) } else { Shape::from([height, width, channels]) };
        output.open_len(Self::NAME)?;
        Ok(output)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let input = sizes(x);
        let ([from, to], channels) = (self.samples(input), input[2]);
        parallel::rows(y.as_mut_slice(), to, to, |first, y| {
            for (y, x) in y.chunks_exact_mut(to).zip(x.as_slice()[first * from..].chunks_exact(from)) {
                if self.interpolation == Interpolation::Nearest {
                    self.each(input, |to, from, _: T| y[to..to + channels].copy_from_slice(&x[from..from + channels]));
                    continue;
                }
                y.fill(T::zero());
                self.each(input, |to, from, weight: T| {
                    y[to..to + channels].iter_mut().zip(&x[from..]).for_each(|(y, &x)| *y += weight * x);
                });
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let input = sizes(dx);
        let ([from, to], channels) = (self.samples(input), input[2]);
        parallel::rows(dx.as_mut_slice(), from, to, |first, dx| {
            for (dx, dy) in dx.chunks_exact_mut(from).zip(dy.as_slice()[first * to..].chunks_exact(to)) {
                dx.fill(T::zero());
                self.each(input, |to, from, weight: T| {
                    dx[from..from + channels].iter_mut().zip(&dy[to..]).for_each(|(dx, &dy)| *dx += weight * dy);
                });
            }
        });
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }

    fn reach(&self, _: Activation) -> Reach {
        if self.interpolation == Interpolation::Nearest { Reach::Training } else { Reach::Nowhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            gradcheck::check_layer(&UpSampling1d::new(3).interpolation(interpolation), [4, 3]).unwrap();
            gradcheck::check_layer(&UpSampling2d::new([1, 2]).interpolation(interpolation), [3, 2, 2]).unwrap();
        }
    }

    #[test]
    fn between_values() {
        let layer = UpSampling1d::new(2).interpolation(Interpolation::Bilinear);
        let model = Sequential::new([2, 1]).add(layer).build_as(0).unwrap();
        let y = model.predict(&Tensor::new([1, 2, 1], vec![0.0f64, 4.0]).unwrap()).unwrap();
        assert_eq!(y.as_slice(), &[0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: UpSampling2d| Sequential::new([4, 2, 1]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(UpSampling2d::new(0)).contains("size must be at least 1"));
        assert!(error(UpSampling2d::new(usize::MAX)).contains("size must be at most"));
        assert!(error(UpSampling2d::new(1 << 31)).contains("fits in memory"));
    }
}
