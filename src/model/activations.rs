//! The outputs of all layers.

use super::built::Model;
use super::checks::blame;
use crate::error::{Error, Result};
use crate::graph::{Given, Plan, Work};
use crate::layer::Pass;
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Model<T> {
    /// The output of each layer for samples `x`, with its name, in the order of the layers: `[n, …output]`. The last is
    /// what [`predict`](Self::predict) returns. Layers inside a `Block` or `Residual` count as one.
    ///
    /// Keras: a model from `model.inputs` to `[layer.output for layer in model.layers]`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([4]).add(Dense::new(3).activation(Activation::Relu)).add(Dense::new(2)).build(0)?;
    /// let outputs = model.activations(&Tensor::zeros([5, 4]))?;
    /// assert_eq!((outputs[0].0.as_str(), outputs[0].1.dims()), ("dense", &[5, 3][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict); an output of NaN inside the model is an error as one at its end is, in
    /// [`Error::Layer`] where `x` is not to blame.
    #[inline(never)]
    pub fn activations(&self, x: &Tensor<T>) -> Result<Vec<(String, Tensor<T>)>> {
        self.check_single("activations")?;
        self.check_input("activations", x)?;
        let n = x.samples();
        let parts = self.net.outline();
        let all = parts.iter().map(|part| part.output.len().saturating_mul(n)).fold(0, usize::saturating_add);
        // And a pass over the rows that go together.
        let plan = Plan::default();
        let values = all.saturating_add(self.net.space(self.rows_together.min(n), Some(&plan)));
        memory::check_room::<T>("activations", format_args!("the outputs of all layers for {n} samples"), values)?;
        let mut values: Vec<(Shape, Vec<T>)> = parts.iter().map(|part| (part.output, Vec::new())).collect();
        let (mut work, mut batch) = (Work::default(), Tensor::default());
        for start in (0..n).step_by(self.rows_together) {
            x.copy_rows(start..(start + self.rows_together).min(n), &mut batch);
            self.net.prepare(&mut work, Given::Refs(&[&batch]))?;
            // All values are there where backward may follow.
            self.net.run(&mut Pass::differentiable(&self.params), &mut work, Given::Refs(&[&batch]));
            for (part, (shape, values)) in parts.iter().zip(&mut values) {
                let value = match part.outputs.clone().next_back() {
                    Some(last) => self.net.value(&work, last),
                    // An empty container hands its input on.
                    None => part.inputs.first().and_then(|v| self.net.value(&work, *v)),
                };
                if let Some(value) = value {
                    *shape = value.shape().sample();
                    values.extend_from_slice(value.as_slice());
                }
            }
        }
        let mut outputs = Vec::with_capacity(parts.len());
        for (index, (part, (shape, v))) in parts.iter().zip(values).enumerate() {
            let y = Tensor::new(shape.with_batch(n), v)?;
            if y.iter().any(|v| v.is_nan()) {
                blame("activations", &[x], &y).map_err(|error| match error {
                    Error::Config { .. } => Error::Layer { index, name: part.name.clone(), source: Box::new(error) },
                    of_x => of_x,
                })?;
            }
            outputs.push((part.name.clone(), y));
        }
        if let Some((_, last)) = outputs.last() {
            self.check_outputs("activations", &[x], std::slice::from_ref(last))?;
        }
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn outputs_of_all_layers_in_all_batches() {
        let model = Sequential::new([3])
            .add_named("a", Dense::new(5).activation(Activation::Tanh))
            .add(Dropout::new(0.5))
            .add(Residual::new().add(Dense::new(5)))
            .add(Dense::new(2))
            .build(3)
            .unwrap();
        let x = Tensor::from_fn([600, 3], |i| (i as f32 * 0.1).sin());
        let outputs = model.activations(&x).unwrap();
        assert_eq!(outputs.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["a", "dropout", "residual", "dense"]);
        assert_eq!(outputs[3].1, model.predict(&x).unwrap());
        assert_eq!(outputs[0].1, outputs[1].1, "dropout does nothing in inference");
        // tanh(x·W + b) by hand, in a row past the first batch.
        let (w, b) = (model.weight("a/kernel").unwrap(), model.weight("a/bias").unwrap());
        for unit in 0..5 {
            let sum: f32 = (0..3).map(|i| x.row(599)[i] * w[i * 5 + unit]).sum::<f32>() + b[unit];
            assert!((outputs[0].1.row(599)[unit] - sum.tanh()).abs() < 1e-6);
        }
        assert_eq!(model.activations(&Tensor::zeros([0, 3])).unwrap()[3].1.dims(), &[0, 2]);
        assert!(model.activations(&Tensor::zeros([2, 4])).unwrap_err().is_shape());
    }

    /// What `predict` refuses.
    #[test]
    fn nan_is_no_activation() {
        let layers = Sequential::new([2]).add(Dense::new(2).kernel_initializer(Init::Ones));
        let model = layers.add(Activation::Tanh).build(0).unwrap();
        let of = |row: [f32; 2]| model.activations(&Tensor::from([[0.5, 1.0], row]));
        let same = |row: [f32; 2]| {
            let got = of(row).map(|_| ()).map_err(|e| e.to_string());
            let expected = model.predict(&Tensor::from([[0.5, 1.0], row])).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(got, expected.map_err(|e| e.replace("predict: ", "activations: ")));
        };
        for row in [[0.0, f32::NAN], [f32::INFINITY, f32::NEG_INFINITY], [f32::INFINITY, 1.0], [f32::MAX, f32::MAX]] {
            same(row);
        }
        assert_eq!(
            of([0.0, f32::NAN]).unwrap_err().to_string(),
            "activations: x has NaN in row 1, column 1; remove or impute it"
        );
        // Infinite inside, as arithmetic has it, and finite at the end.
        let outputs = of([f32::INFINITY, 1.0]).unwrap();
        assert_eq!((outputs[0].1.row(1)[0], outputs[1].1.row(1)[0]), (f32::INFINITY, 1.0));
        // NaN out of finite rows, ∞ - ∞: the layer is named.
        let layers = Sequential::new([1]).add(Dense::new(2).kernel_initializer(Init::Constant(1e30)));
        let mut model = layers.add_named("sum", Dense::new(1)).build(0).unwrap();
        model.set_weight("sum/kernel", &[1.0, -1.0]).unwrap();
        let error = model.activations(&Tensor::from([[1.0f32], [1e30]])).unwrap_err().to_string();
        let expected = "layer 1 (sum): activations: the output of row 1 is NaN, though the row is finite: a number inside overflows";
        assert!(error.starts_with(expected), "{error}");
    }
}
