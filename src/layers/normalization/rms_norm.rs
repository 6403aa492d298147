//! Rows brought to a root mean square of 1.

use super::gamma_beta::check_epsilon;
use super::groups;
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = s·x/√(mean(x²) + ε) along the last axis.
///
/// - Input and output of one shape, at least one axis.
/// - Parameter: `scale` s (ones), as long as the last axis.
/// - Default: ε = 10⁻⁶.
/// - Gradient, with r = 1/√(mean(x²) + ε), x̂ = x·r and g = s·dy: dx = r·(g − x̂·mean(g·x̂)), ds = Σ rows dy·x̂.
///
/// Keras `RMSNormalization`, PyTorch `RMSNorm`. Zhang, Sennrich: "Root Mean Square Layer Normalization", 2019.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(RmsNorm::new()).build(0)?;
/// let y = model.predict(&Tensor::from([[1.0, 7.0]]))?;
/// assert!((y.as_slice()[1] - 1.4).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RmsNorm {
    epsilon: f64,
    scale_initializer: Init,
    #[cfg_attr(feature = "serde", serde(skip))]
    scale: ParamId,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl Default for RmsNorm {
    fn default() -> Self {
        RmsNorm { epsilon: 1e-6, scale_initializer: Init::Ones, scale: ParamId::default(), input: Shape::default() }
    }
}

impl RmsNorm {
    /// With Keras's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is added to the mean square so that no division is by zero; above 0, 10⁻⁶ by default.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// How s is filled; ones by default.
    pub fn scale_initializer(mut self, init: impl Into<Init>) -> Self {
        self.scale_initializer = init.into();
        self
    }
}

impl<T: Float> Layer<T> for RmsNorm {
    fn class(&self) -> &'static str {
        "RmsNorm"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("RmsNorm")?;
        check_epsilon::<T>("RmsNorm", self.epsilon)?;
        self.scale = b.weight("scale", [input.last()], &self.scale_initializer)?;
        b.no_decay(self.scale)?;
        self.input = input;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (n, width, keeps) = (x.shape().rows(), x.shape().last(), pass.needs_backward());
        // x̂, and 1/√(mean(x²) + ε) of each row
        let [normalised, inverse] = slot.buffers();
        normalised.resize(if keeps { x.shape() } else { Shape::from([0]) });
        inverse.resize([if keeps { n } else { 0 }]);
        let (normalised, inverse) = (ChunksMut(normalised.as_mut_slice(), width), ChunksMut(inverse.as_mut_slice(), 1));
        let cut = (ChunksMut(y.as_mut_slice(), width), normalised, inverse);
        let (scale, epsilon) = (pass.weight(self.scale), T::of(self.epsilon));
        let inv_n = T::one() / T::of(width as f64);
        parallel::par_chunks(0..n, parallel::parts(n, 4 * width), cut, &|range, (y, normalised, inverse)| {
            for (i, (y, at)) in y.0.chunks_exact_mut(width).zip(range).enumerate() {
                let x = &x.as_slice()[at * width..][..width];
                let square = rows::dot(x, x);
                if !square.is_finite() {
                    // By way of x over its largest magnitude m, with mean(x²) + ε = m²·(mean((x/m)²) + ε/m²).
                    let [top, length] = rows::scaled_norm(square, x);
                    let r = T::one() / (length * length * inv_n + epsilon / top / top).sqrt();
                    if keeps {
                        inverse.0[i] = r / top;
                        let normalised = &mut normalised.0[i * width..(i + 1) * width];
                        normalised.iter_mut().zip(x).for_each(|(n, &x)| *n = x / top * r);
                    }
                    y.iter_mut().zip(x).zip(scale).for_each(|((y, &x), &s)| *y = x / top * r * s);
                    continue;
                }
                let r = T::one() / (square * inv_n + epsilon).sqrt();
                if keeps {
                    inverse.0[i] = r;
                    let normalised = &mut normalised.0[i * width..(i + 1) * width];
                    normalised.iter_mut().zip(x).for_each(|(n, &x)| *n = x * r);
                }
                y.iter_mut().zip(x).zip(scale).for_each(|((y, &x), &s)| *y = x * r * s);
            }
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let [normalised, inverse] = slot.buffers();
        let (normalised, inverse) = (normalised.as_slice(), inverse.as_slice());
        // ds += Σ rows of dy·x̂
        rows::sum_row_products(dy.as_slice(), normalised, pass.gradient(self.scale));
        let Some(dx) = dx else { return };
        let (n, width, scale) = (x.shape().rows(), x.shape().last(), pass.weight(self.scale));
        let inv_n = T::one() / T::of(width as f64);
        let cut = (ChunksMut(dx.as_mut_slice(), width), ChunksMut(dy.as_mut_slice(), width));
        parallel::par_chunks(0..n, parallel::parts(n, 6 * width), cut, &|range, (dx, dy)| {
            for ((dx, g), at) in dx.0.chunks_exact_mut(width).zip(dy.0.chunks_exact_mut(width)).zip(range) {
                let normalised = &normalised[at * width..][..width];
                // g = s·dy, in place of dy
                g.iter_mut().zip(scale).for_each(|(g, &s)| *g *= s);
                let mean_gx = rows::dot(g, normalised) * inv_n;
                // dx = r·(g − x̂·mean(g·x̂))
                dx.iter_mut().zip(&*g).zip(normalised).for_each(|((dx, &g), &n)| *dx = inverse[at] * (g - n * mean_gx));
            }
        });
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        groups::space(x, x.sample().rows(), backward)
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::RmsNorm(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&RmsNorm::new(), [7]).unwrap();
        gradcheck::check_layer(&RmsNorm::new().epsilon(1e-3), [3, 17]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        assert!(Sequential::new([3]).add(RmsNorm::new().epsilon(0.0)).build(0).is_err());
        assert!(Sequential::new(Shape::SCALAR).add(RmsNorm::new()).build(0).is_err());
    }
}
