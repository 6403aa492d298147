//! The outputs of all layers.

use super::sequential::Sequential;
use crate::error::Result;
use crate::layer::{Pass, Slot};
use crate::memory;
use crate::tensor::{Float, Tensor};

impl<T: Float> Sequential<T> {
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
    /// As [`predict`](Self::predict).
    #[inline(never)]
    pub fn activations(&self, x: &Tensor<T>) -> Result<Vec<(String, Tensor<T>)>> {
        self.check_built("activations")?;
        self.check_input("activations", x)?;
        let n = x.samples();
        let entries = self.layers.entries();
        let all = entries.iter().map(|e| e.output.len().saturating_mul(n)).fold(0, usize::saturating_add);
        // And a pass over the rows that go together.
        let together = self.rows_together.min(n);
        let pass = self.layers.space(together, false).saturating_add(self.output.len().saturating_mul(together));
        let values = all.saturating_add(pass);
        memory::check_room::<T>("activations", format_args!("the outputs of all layers for {n} samples"), values)?;
        let mut values: Vec<Vec<T>> = vec![Vec::new(); entries.len()];
        let (mut slot, mut batch, mut y) = (Slot::new(), Tensor::default(), Tensor::default());
        for start in (0..n).step_by(self.rows_together) {
            x.copy_rows(start..(start + self.rows_together).min(n), &mut batch);
            y.resize_batch(&self.output, batch.samples());
            let mut pass = Pass::inference(&self.params);
            self.layers
                .infer(&mut pass, &mut slot, &batch, &mut y, |i, out| values[i].extend_from_slice(out.as_slice()));
            if let Some(last) = values.last_mut() {
                last.extend_from_slice(y.as_slice());
            }
        }
        let outputs = entries.iter().zip(values);
        outputs.map(|(e, v)| Ok((e.name.clone(), Tensor::new(e.output.with_batch(n), v)?))).collect()
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
        assert!(Sequential::new([3]).add(Dense::new(1)).activations(&x).is_err());
    }
}
