//! The largest value of each channel.

use super::global;
use crate::error::Result;
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y\[c\] = the largest x[p, c] over all positions p of a sample.
///
/// Used as [`GlobalMaxPooling1d`] over sequences and [`GlobalMaxPooling2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output `[channels]`, or `[1, channels]` and `[1, 1, channels]` with
///   `keepdims`. No parameters.
/// - Gradient: dy\[c\] is shared out evenly to the positions where x[p, c] is largest.
///
/// Keras `GlobalMaxPooling1D`, `GlobalMaxPooling2D`; PyTorch `AdaptiveMaxPool2d(1)`, which gives all to one of equals.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2, 2, 1]).add(GlobalMaxPooling2d::new()).build(0)?;
/// let x = Tensor::new([1, 2, 2, 1], vec![1.0, 2.0, 7.0, 6.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[7.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GlobalMaxPooling<const D: usize> {
    keepdims: bool,
}

/// A [`GlobalMaxPooling`] over sequences `[length, channels]`.
pub type GlobalMaxPooling1d = GlobalMaxPooling<1>;

/// A [`GlobalMaxPooling`] over images `[height, width, channels]`.
pub type GlobalMaxPooling2d = GlobalMaxPooling<2>;

impl<const D: usize> GlobalMaxPooling<D> {
    const NAME: &'static str = if D == 1 { "GlobalMaxPooling1d" } else { "GlobalMaxPooling2d" };

    /// One value a channel.
    pub fn new() -> Self {
        const { assert!(D == 1 || D == 2, "pools are over one or two axes") };
        Self::default()
    }

    /// Whether the axes that the largest value is taken over stay, of size 1; no by default.
    pub fn keepdims(mut self, keepdims: bool) -> Self {
        self.keepdims = keepdims;
        self
    }
}

impl<T: Float, const D: usize> Layer<T> for GlobalMaxPooling<D>
where
    LayerConfig: From<GlobalMaxPooling<D>>,
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

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [positions, channels] = global::sizes(x);
        let sample = positions * channels;
        parallel::rows(y.as_mut_slice(), channels, sample, |first, y| {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.as_slice()[first * sample..].chunks_exact(sample)) {
                y.copy_from_slice(&x[..channels]);
                for x in x[channels..].chunks_exact(channels) {
                    // A NaN shows.
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y || x.is_nan() { x } else { *y });
                }
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let [positions, channels] = global::sizes(dx);
        let sample = positions * channels;
        for (i, (dy, y)) in
            dy.as_mut_slice().chunks_exact_mut(channels).zip(y.as_slice().chunks_exact(channels)).enumerate()
        {
            let x = &x.as_slice()[i * sample..][..sample];
            // The share of each of equals.
            for (c, (dy, &y)) in dy.iter_mut().zip(y).enumerate() {
                let equals = x[c..].iter().step_by(channels).filter(|&&x| x == y).count();
                *dy /= T::of(equals.max(1) as f64);
            }
            let dx = &mut dx.as_mut_slice()[i * sample..][..sample];
            for (dx, x) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for ((dx, &x), (&y, &dy)) in dx.iter_mut().zip(x).zip(y.iter().zip(&*dy)) {
                    *dx = if x == y { dy } else { T::zero() };
                }
            }
        }
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&GlobalMaxPooling1d::new(), [7, 3]).unwrap();
        gradcheck::check_layer(&GlobalMaxPooling2d::new().keepdims(true), [2, 3, 5]).unwrap();
    }

    #[test]
    fn equals_share_and_nan_shows() {
        let model = Sequential::new([3, 1]).add(GlobalMaxPooling1d::new()).build_as(0).unwrap();
        let x = Tensor::new([2, 3, 1], vec![2.0f64, 1.0, 2.0, 1.0, f64::NAN, 3.0]).unwrap();
        // An output is NaN, or x would not be blamed.
        assert!(model.predict(&x).unwrap_err().to_string().contains("x has NaN in row 1, column 1"));
        let y = model.predict(&x.rows(0..1).unwrap()).unwrap();
        assert_eq!(y.as_slice(), &[2.0]);
        let params = crate::Params::new();
        let mut layer = GlobalMaxPooling1d::new();
        Layer::<f64>::build(&mut layer, Shape::from([3, 1]), &mut Builder::new(0)).unwrap();
        let (x, y) = (x.rows(0..1).unwrap(), y.rows(0..1).unwrap());
        let mut dx = Tensor::zeros([1, 3, 1]);
        let (pass, slot) = (&mut Pass::inference(&params), &mut Slot::new());
        layer.backward(pass, slot, &x, &y, &mut Tensor::from([[6.0]]), Some(&mut dx));
        assert_eq!(dx.as_slice(), &[3.0, 0.0, 3.0]);
    }
}
