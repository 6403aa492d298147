//! Rows brought to a root mean square of 1.

use super::gamma_beta::check_epsilon;
use super::groups;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = s·x/√(mean(x²) + ε) along the last axis, or along each head of it.
///
/// - Input and output of one shape, at least one axis.
/// - Parameter: `scale` s (ones), as long as the last axis, or as a head where [`last`](Self::last) says so.
/// - Defaults: ε = 10⁻⁶; the whole last axis; s as it is. With [`unit_offset`](Self::unit_offset) s is 1 + `scale`, which begins as zeros.
/// - Gradient, with r = 1/√(mean(x²) + ε), x̂ = x·r and g = s·dy: dx = r·(g − x̂·mean(g·x̂)), ds = Σ rows dy·x̂.
///
/// Keras `RMSNormalization`, PyTorch `RMSNorm`; Gemma's norms are those with `unit_offset`, Qwen3's `q_norm` and `k_norm` those of heads. Zhang, Sennrich: "Root Mean Square Layer Normalization", 2019.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(RmsNorm::new()).build(0)?;
/// let y = model.predict(&Tensor::from([[1.0, 7.0]]))?;
/// assert!((y.as_slice()[1] - 1.4).abs() < 1e-6);
///
/// // Two heads of two values, each with a mean square of its own.
/// let model = Sequential::new([4]).add(RmsNorm::new().last(2)).build(0)?;
/// let y = model.predict(&Tensor::from([[1.0, 7.0, 10.0, 70.0]]))?;
/// assert!((y.as_slice()[1] - 1.4).abs() < 1e-6 && (y.as_slice()[3] - 1.4).abs() < 1e-6);
/// assert_eq!(model.params().len(), 2);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RmsNorm {
    epsilon: f64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    last: Option<usize>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    unit_offset: bool,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    passes_mask: bool,
    scale_initializer: Init,
    #[cfg_attr(feature = "serde", serde(skip))]
    scale: ParamId,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl Default for RmsNorm {
    fn default() -> Self {
        RmsNorm {
            epsilon: 1e-6,
            last: None,
            unit_offset: false,
            passes_mask: false,
            scale_initializer: Init::Ones,
            scale: ParamId::default(),
            input: Shape::default(),
        }
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

    /// How `scale` is filled; ones by default, zeros after [`unit_offset`](Self::unit_offset).
    pub fn scale_initializer(mut self, init: impl Into<Init>) -> Self {
        self.scale_initializer = init.into();
        self
    }

    /// Normalises every so many values of the last axis by themselves, with one `scale` for all such heads; the whole last axis by
    /// default.
    pub fn last(mut self, values: usize) -> Self {
        self.last = Some(values);
        self
    }

    /// Whether s = 1 + `scale`, which then is filled with zeros: Gemma's norms. No by default.
    pub fn unit_offset(mut self, unit_offset: bool) -> Self {
        self.unit_offset = unit_offset;
        self.scale_initializer = if unit_offset { Init::Zeros } else { Init::Ones };
        self
    }

    /// Whether the output has its input's mask, as that of every other norm has; no by default, as Keras's has not. The blocks of transformers say yes.
    pub fn passes_mask(mut self, passes_mask: bool) -> Self {
        self.passes_mask = passes_mask;
        self
    }

    /// Values that are normalised together, in samples or batches of this shape.
    fn width(&self, x: Shape) -> usize {
        self.last.unwrap_or_else(|| x.last())
    }

    /// s from a value of `scale`.
    fn scaling<T: Float>(&self) -> impl Fn(T) -> T + Copy + use<T> {
        let offset = if self.unit_offset { T::one() } else { T::zero() };
        move |scale| offset + scale
    }
}

impl<T: Float> Layer<T> for RmsNorm {
    fn class(&self) -> &'static str {
        "RmsNorm"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("RmsNorm")?;
        check_epsilon::<T>("RmsNorm", self.epsilon)?;
        let width = self.width(input);
        if width == 0 || !input.last().is_multiple_of(width) {
            let expected = format!("a divisor of the {} values of the last axis", input.last());
            return Err(Error::argument("RmsNorm", "last", expected, width, "pass the number of values of a head"));
        }
        self.scale = b.weight("scale", [width], &self.scale_initializer)?;
        b.no_decay(self.scale)?;
        self.input = input;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn mask_rule(&self) -> MaskRule {
        if self.passes_mask { MaskRule::Passes } else { MaskRule::Drops }
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (width, keeps) = (self.width(x.shape()), pass.needs_backward());
        let n = x.len() / width;
        // x̂, and 1/√(mean(x²) + ε) of each row
        let [normalised, inverse] = slot.buffers();
        normalised.resize(if keeps { x.shape() } else { Shape::from([0]) });
        inverse.resize([if keeps { n } else { 0 }]);
        let (normalised, inverse) = (ChunksMut(normalised.as_mut_slice(), width), ChunksMut(inverse.as_mut_slice(), 1));
        let cut = (ChunksMut(y.as_mut_slice(), width), normalised, inverse);
        let (scale, s, epsilon) = (pass.weight(self.scale), self.scaling(), T::of(self.epsilon));
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
                    y.iter_mut().zip(x).zip(scale).for_each(|((y, &x), &scale)| *y = x / top * r * s(scale));
                    continue;
                }
                let r = T::one() / (square * inv_n + epsilon).sqrt();
                if keeps {
                    inverse.0[i] = r;
                    let normalised = &mut normalised.0[i * width..(i + 1) * width];
                    normalised.iter_mut().zip(x).for_each(|(n, &x)| *n = x * r);
                }
                y.iter_mut().zip(x).zip(scale).for_each(|((y, &x), &scale)| *y = x * r * s(scale));
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
        let (width, scale, s) = (self.width(x.shape()), pass.weight(self.scale), self.scaling());
        let n = x.len() / width;
        let inv_n = T::one() / T::of(width as f64);
        let cut = (ChunksMut(dx.as_mut_slice(), width), ChunksMut(dy.as_mut_slice(), width));
        parallel::par_chunks(0..n, parallel::parts(n, 6 * width), cut, &|range, (dx, dy)| {
            for ((dx, g), at) in dx.0.chunks_exact_mut(width).zip(dy.0.chunks_exact_mut(width)).zip(range) {
                let normalised = &normalised[at * width..][..width];
                // g = s·dy, in place of dy
                g.iter_mut().zip(scale).for_each(|(g, &scale)| *g *= s(scale));
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
        let heads = x.sample().len() / self.width(x).max(1);
        groups::space(x, heads, backward)
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
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
    fn gradients_of_heads_and_offsets() {
        gradcheck::check_layer(&RmsNorm::new().unit_offset(true), [7]).unwrap();
        gradcheck::check_layer(&RmsNorm::new().last(5).epsilon(1e-3), [3, 15]).unwrap();
        gradcheck::check_layer(&RmsNorm::new().last(1).unit_offset(true), [2, 3, 3]).unwrap();
        gradcheck::check_layer(&RmsNorm::new().last(6).unit_offset(true), [2, 6]).unwrap();
    }

    /// x·rsqrt(mean x² + ε)·(1 + w), head by head.
    #[test]
    fn values_of_heads_and_offsets() {
        let (heads, width, epsilon) = (3, 5, 1e-6);
        let x = Tensor::<f64>::from_fn([2, 4, heads * width], |i| ((i * 37 % 101) as f64 - 50.0) / 30.0);
        for (unit_offset, first) in [(false, 1.0), (true, 0.0)] {
            let layer = RmsNorm::new().last(width).unit_offset(unit_offset);
            let mut model = Sequential::new([4, heads * width]).add(layer).build_as::<f64>(0).unwrap();
            assert!(model.params().values().iter().all(|w| *w == first) && model.params().len() == width);
            let w = [0.5, -0.25, 2.0, 0.0, 1.0];
            model.set_weight("rms_norm/scale", &w).unwrap();
            let y = model.predict(&x).unwrap();
            for (y, x) in y.as_slice().chunks(width).zip(x.as_slice().chunks(width)) {
                let r = (x.iter().map(|x| x * x).sum::<f64>() / width as f64 + epsilon).sqrt().recip();
                for ((y, x), w) in y.iter().zip(x).zip(w) {
                    let expected = x * r * if unit_offset { 1.0 + w } else { w };
                    assert!((y - expected).abs() < 1e-14, "{y}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn impossible_settings() {
        for last in [0, 4, 12] {
            let error = Sequential::new([2, 6]).add(RmsNorm::new().last(last)).build(0).unwrap_err().to_string();
            assert!(error.contains("last must be a divisor of the 6 values of the last axis, got"), "{error}");
        }
        assert!(Sequential::new([3]).add(RmsNorm::new().epsilon(0.0)).build(0).is_err());
        assert!(Sequential::new(Shape::SCALAR).add(RmsNorm::new()).build(0).is_err());
    }
}
