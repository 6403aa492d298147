//! Two products of one input, one of which gates the other.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders, kernel_builders};
use crate::layers::linear::{linear, linear_backward, linear_backward_more};
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(x·W + b) ∘ (x·V + c) along the last axis, value by value: the first half of a gated feed-forward layer, which a [`Dense`](super::Dense)
/// brings back to the features of x.
///
/// - Input `[…, n]`, output `[…, units]`, any number of axes.
/// - Parameters: `gate/kernel` W and `up/kernel` V `[n, units]` (Glorot uniform), `gate/bias` b and `up/bias` c `[units]` (zeros) if asked for;
///   with [`fused`](Self::fused) one `kernel` `[n, 2·units]` and one `bias`, the gate's columns first.
/// - Defaults: no bias, as in the paper, two kernels, no penalties, no bounds. What is said of kernels and biases holds for both.
/// - Gradient, with g = f(z), z = x·W + b and u = x·V + c: du = dy∘g, dz = (dy∘u)·f'(z), dW = xᵀ·dz, dV = xᵀ·du, dx = dz·Wᵀ + du·Vᵀ.
///
/// Shazeer: "GLU Variants Improve Transformer", 2020: [`swiglu`](Self::swiglu) (Llama, Qwen, Mistral), [`geglu`](Self::geglu) and
/// [`geglu_tanh`](Self::geglu_tanh) (Gemma, T5 1.1); GLU with [`Activation::Sigmoid`], ReGLU with [`Activation::Relu`]. Hugging Face's
/// `gate_proj` and `up_proj`, `wi_0` and `wi_1`, fused `gate_up_proj`.
///
/// ```
/// use gradus::prelude::*;
/// let feed_forward = Block::new().add(GatedDense::swiglu(12)).add(Dense::new(4).use_bias(false));
/// let model = Sequential::new([7, 4]).add(Residual::new().add(RmsNorm::new()).add(feed_forward)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 7, 4]))?.dims(), [2, 7, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GatedDense {
    units: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    fused: bool,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    /// Kernel and bias of the gate, or of both in one.
    #[cfg_attr(feature = "serde", serde(skip))]
    gate: [ParamId; 2],
    /// Those of the other product.
    #[cfg_attr(feature = "serde", serde(skip))]
    up: [ParamId; 2],
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl GatedDense {
    /// A layer with this many outputs, and f.
    pub fn new(units: usize, activation: Activation) -> Self {
        GatedDense {
            units,
            fused: false,
            kernel: KernelOptions::default(),
            epilogue: Epilogue { activation, use_bias: false, ..Epilogue::default() },
            gate: Default::default(),
            up: Default::default(),
            input: Shape::default(),
        }
    }

    /// f = SiLU, z·σ(z).
    pub fn swiglu(units: usize) -> Self {
        Self::new(units, Activation::Silu)
    }

    /// f = GELU by the error function.
    pub fn geglu(units: usize) -> Self {
        Self::new(units, Activation::Gelu)
    }

    /// f = GELU's approximation by tanh.
    pub fn geglu_tanh(units: usize) -> Self {
        Self::new(units, Activation::GeluTanh)
    }

    /// Whether both kernels are one of twice as many columns, the gate's first (Phi-3's `gate_up_proj`); no by default. It is drawn as
    /// one: what an initialiser takes from the number of outputs follows from 2·units.
    pub fn fused(mut self, fused: bool) -> Self {
        self.fused = fused;
        self
    }

    kernel_builders!();
    epilogue_builders!();

    /// Registers a kernel and its bias.
    fn product<T: Float>(&self, outputs: usize, b: &mut Builder<T>, inputs: usize) -> Result<[ParamId; 2]> {
        let kernel = self.kernel.product("kernel", Shape::from([inputs, outputs]), b)?;
        let mut epilogue = self.epilogue.clone();
        epilogue.build(outputs, b)?;
        Ok([kernel, epilogue.bias])
    }

    /// The values of both biases; empty where there are none.
    fn biases<'a, T: Float>(&self, pass: &Pass<'a, T>) -> [&'a [T]; 2] {
        match (self.epilogue.use_bias, self.fused) {
            (false, _) => [&[]; 2],
            (true, false) => [self.gate, self.up].map(|[_, bias]| pass.weight(bias)),
            (true, true) => pass.weight(self.gate[1]).split_at(self.units).into(),
        }
    }

    /// The rows of the gate and of the other product, which are halves of one where they are fused.
    fn halves<'r, T>(&self, a: &'r mut [T], b: &'r mut [T]) -> [&'r mut [T]; 2] {
        if self.fused { a.split_at_mut(self.units).into() } else { [a, b] }
    }

    /// The columns of the first product.
    fn columns(&self) -> usize {
        if self.fused { 2 * self.units } else { self.units }
    }

    /// db += Σ rows of dz.
    fn add_bias_gradient<T: Float>(&self, pass: &mut Pass<'_, T>, bias: ParamId, dz: &Tensor<T>) {
        if self.epilogue.use_bias && pass.wants(bias) {
            rows::sum_rows(dz.as_slice(), pass.gradient(bias));
        }
    }
}

impl<T: Float> Layer<T> for GatedDense {
    fn class(&self) -> &'static str {
        "GatedDense"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::argument("GatedDense", "units", "at least 1", 0, "pass the number of outputs"));
        }
        input.need_features("GatedDense")?;
        self.epilogue.check()?;
        if self.epilogue.activation.is_row_wise() {
            let hint = "GatedDense::swiglu and geglu are usual";
            let expected = "one that goes value by value";
            return Err(Error::argument("GatedDense", "activation", expected, self.epilogue.activation, hint));
        }
        let n = input.last();
        if self.fused {
            self.gate = self.product(self.units.saturating_mul(2), b, n)?;
        } else {
            self.gate = b.scoped("gate", None, |b| self.product(self.units, b, n)).1?;
            self.up = b.scoped("up", None, |b| self.product(self.units, b, n)).1?;
        }
        self.input = input;
        Ok(input.with_last(self.units))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x.with_last(self.units))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (keeps, f) = (pass.needs_backward(), self.epilogue.activation);
        let (units, columns, shape) = (self.units, self.columns(), y.shape());
        let [a, b] = slot.buffers();
        // z and u; where nothing is kept, z goes to where y will be.
        a.resize(if keeps || self.fused { shape.with_last(columns) } else { Shape::from([0]) });
        b.resize(if self.fused { Shape::from([0]) } else { shape });
        if !self.fused {
            linear(pass, self.up[0], x.as_slice(), b);
        }
        linear(pass, self.gate[0], x.as_slice(), if a.is_empty() { &mut *y } else { &mut *a });
        let [gate_bias, up_bias] = self.biases(pass);
        let (rows, work) = (y.len() / units, units * (3 + f.work()));
        let (width_a, width_b) = (if a.is_empty() { 0 } else { columns }, if self.fused { 0 } else { units });
        let (a, b) = (ChunksMut(a.as_mut_slice(), width_a), ChunksMut(b.as_mut_slice(), width_b));
        let cut = (ChunksMut(y.as_mut_slice(), units), a, b);
        parallel::par_chunks(0..rows, parallel::parts(rows, work), cut, &|_, (y, a, b)| {
            for (i, y) in y.0.chunks_exact_mut(units).enumerate() {
                let (a, b) = (&mut a.0[i * width_a..][..width_a], &mut b.0[i * width_b..][..width_b]);
                let [gate, up] = self.halves(a, b);
                if gate.is_empty() {
                    rows::add_bias(y, gate_bias);
                } else {
                    rows::add_bias(gate, gate_bias);
                    y.copy_from_slice(gate);
                }
                f.forward(y, units);
                if keeps && !f.needs_input() {
                    gate.copy_from_slice(y);
                }
                rows::add_bias(up, up_bias);
                y.iter_mut().zip(&*up).for_each(|(y, u)| *y *= *u);
            }
        });
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
        self.epilogue.penalise_backward(pass, y, dy);
        let (f, units, columns) = (self.epilogue.activation, self.units, self.columns());
        // z (or g, where that is enough) and u; then dz in place of dy and du, or both beside each other
        let [a, b, d] = slot.buffers();
        d.resize(y.shape().with_last(columns));
        let (a, b) = (a.as_slice(), b.as_slice());
        let (rows, work) = (y.len() / units, units * (4 + 2 * f.work()));
        let cut = (ChunksMut(dy.as_mut_slice(), units), ChunksMut(d.as_mut_slice(), columns));
        parallel::par_chunks(0..rows, parallel::parts(rows, work), cut, &|range, (dy, d)| {
            for ((dy, d), at) in dy.0.chunks_exact_mut(units).zip(d.0.chunks_exact_mut(columns)).zip(range) {
                let (gate, up) = match self.fused {
                    true => a[at * columns..][..columns].split_at(units),
                    false => (&a[at * units..][..units], &b[at * units..][..units]),
                };
                let (d_gate, du) = d.split_at_mut(columns - units);
                du.copy_from_slice(gate);
                if f.needs_input() {
                    f.forward(du, units);
                }
                for ((dy, du), u) in dy.iter_mut().zip(&mut *du).zip(up) {
                    (*dy, *du) = (*dy * *u, *dy * *du);
                }
                f.backward(gate, gate, dy, units);
                if self.fused {
                    d_gate.copy_from_slice(dy);
                }
            }
        });
        let dx = dx.map(Tensor::as_mut_slice);
        if self.fused {
            self.add_bias_gradient(pass, self.gate[1], d);
            return linear_backward(pass, self.gate[0], x.as_slice(), d, dx);
        }
        self.add_bias_gradient(pass, self.gate[1], dy);
        self.add_bias_gradient(pass, self.up[1], d);
        let mut dx = dx;
        linear_backward(pass, self.gate[0], x.as_slice(), dy, dx.as_deref_mut());
        linear_backward_more(pass, self.up[0], x.as_slice(), d, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let times = match (backward, self.fused) {
            (true, true) => 4,
            (true, false) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        x.with_last(self.units).len().saturating_mul(times)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::GatedDense(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::Constraint;
    use crate::gradcheck;
    use crate::layers::Dense;
    use crate::layers::merging::Multiply;
    use crate::model::Sequential;
    use crate::regularizers::Regularizer;

    #[test]
    fn gradients() {
        for activation in Activation::ALL.into_iter().filter(|f| !f.is_row_wise()) {
            for fused in [false, true] {
                gradcheck::check_layer(&GatedDense::new(3, activation).fused(fused), [5]).unwrap();
                gradcheck::check_layer(&GatedDense::new(7, activation).fused(fused).use_bias(true), [3, 2]).unwrap();
            }
        }
        for fused in [false, true] {
            let penalised = GatedDense::swiglu(3).fused(fused).use_bias(true).kernel_regularizer(Regularizer::L2(0.2));
            let penalised =
                penalised.bias_regularizer(Regularizer::L1(0.3)).kernel_constraint(Constraint::max_norm(1.0));
            gradcheck::check_layer(&penalised.activity_regularizer(Regularizer::L2(0.4)), [2, 4]).unwrap();
        }
    }

    /// A product of two dense layers, by value and by gradient.
    #[test]
    fn agrees_with_two_dense_layers() {
        let x = Tensor::<f64>::from_fn([3, 5, 4], |i| ((i * 37 % 101) as f64 - 50.0) / 30.0);
        for (layer, f) in [
            (GatedDense::swiglu(6), Activation::Silu),
            (GatedDense::geglu(6), Activation::Gelu),
            (GatedDense::geglu_tanh(6), Activation::GeluTanh),
            (GatedDense::new(6, Activation::Sigmoid), Activation::Sigmoid),
        ] {
            let layer = layer.use_bias(true).bias_initializer(crate::initializers::Init::GlorotUniform);
            let gated = Sequential::new([5, 4]).add(layer.clone()).build_as::<f64>(3).unwrap();
            let names: Vec<_> = gated.params().specs().iter().map(|spec| spec.name.as_str()).collect();
            let expected =
                ["gate/kernel", "gate/bias", "up/kernel", "up/bias"].map(|name| format!("gated_dense/{name}"));
            assert_eq!(names, expected);
            let two = Multiply::new().branch(Dense::new(6).activation(f)).branch(Dense::new(6));
            let mut two = Sequential::new([5, 4]).add(two).build_as::<f64>(0).unwrap();
            two.values_mut().copy_from_slice(gated.params().values());
            assert_eq!(gated.predict(&x).unwrap(), two.predict(&x).unwrap(), "{f}");

            let mut fused = Sequential::new([5, 4]).add(layer.fused(true)).build_as::<f64>(0).unwrap();
            let weight = |name: &str| gated.weight(&format!("gated_dense/{name}")).unwrap().to_vec();
            let (w, v) = (weight("gate/kernel"), weight("up/kernel"));
            let kernel: Vec<_> = w.chunks(6).zip(v.chunks(6)).flat_map(|(w, v)| [w, v].concat()).collect();
            fused.set_weight("gated_dense/kernel", &kernel).unwrap();
            fused.set_weight("gated_dense/bias", &[weight("gate/bias"), weight("up/bias")].concat()).unwrap();
            assert_eq!(gated.predict(&x).unwrap(), fused.predict(&x).unwrap(), "{f}");
        }
    }

    #[test]
    fn hand_computed() {
        let layer = GatedDense::new(1, Activation::Relu);
        let mut model = Sequential::new([2]).add(layer).build_as(0).unwrap();
        model.set_weight("gated_dense/gate/kernel", &[1.0f64, -1.0]).unwrap();
        model.set_weight("gated_dense/up/kernel", &[2.0, 3.0]).unwrap();
        let y = model.predict(&Tensor::from([[3.0, 1.0], [1.0, 3.0]])).unwrap();
        assert_eq!(y.as_slice(), [2.0 * 9.0, 0.0]);
    }

    #[test]
    fn impossible_settings() {
        let build = |layer: GatedDense| Sequential::new([3]).add(layer).build(0).unwrap_err().to_string();
        assert!(build(GatedDense::swiglu(0)).contains("units must be at least 1, got 0"));
        for fused in [false, true] {
            assert!(build(GatedDense::swiglu(usize::MAX).fused(fused)).contains("fits in memory"));
        }
        assert!(build(GatedDense::new(2, Activation::Softmax)).contains("one that goes value by value, got softmax"));
        assert!(build(GatedDense::new(2, Activation::LeakyRelu(f64::NAN))).contains("finite"));
        assert!(Sequential::new(Shape::SCALAR).add(GatedDense::swiglu(2)).build(0).is_err());
    }
}
