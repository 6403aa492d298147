//! The outputs of layers: all of them, or some by name.

use super::built::Model;
use super::part::Names;
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::graph::{Given, Outline, Plan, Work};
use crate::layer::Pass;
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

/// A value that is asked for: the position and the name of what gives it, and its place.
type Wanted = (usize, String, u32);

impl<T: Float> Model<T> {
    /// The output of each layer for samples `x`, with its name, in the order of the layers: `[n, …output]`; of a model with several
    /// inputs, `x` is a list of tensors, by position or name. Of a line of layers the last is what [`predict`](Self::predict) returns.
    /// Containers count as one, see [`outputs_of`](Self::outputs_of) for what is inside; a shared part counts wherever it is applied, as
    /// `tower`, `tower#2` and so on. Layers that no output needs are left out.
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
    pub fn activations<'a>(&self, x: impl Into<Tensors<'a, T>>) -> Result<Vec<(String, Tensor<T>)>> {
        self.activations_of(x.into())
    }

    #[inline(never)]
    pub(crate) fn activations_of(&self, x: Tensors<'_, T>) -> Result<Vec<(String, Tensor<T>)>> {
        const OP: &str = "activations";
        let parts = self.net.outline();
        let entries = parts.iter().zip(Outline::labels(parts)).enumerate();
        let wanted = entries.filter_map(|(i, (part, label))| Some((i, label, part.value()?)));
        let wanted: Vec<Wanted> = wanted.filter(|(_, _, value)| self.net.gives(*value)).collect();
        let outputs = self.values(OP, &wanted, x)?;
        Ok(wanted.into_iter().map(|(_, label, _)| label).zip(outputs).collect())
    }

    /// The outputs of some layers for samples `x`, by their names: `[n, …output]` for each. A name is that of a layer, a container or an
    /// input as [`part`](Self::part) takes it: `"encoder"`, `"block_1/conv2d"`. To compute them again and again, take
    /// `part(inputs, names)`, which leaves out what they do not need.
    ///
    /// Keras: `keras.Model(model.inputs, [model.get_layer(name).output for name in names])`; PyTorch: `register_forward_hook`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let block = Block::new().add(Dense::new(6)).add(Activation::Tanh);
    /// let model = Sequential::new([4]).add(block).add(Dense::new(2)).build(0)?;
    /// let outputs = model.outputs_of(["block/dense", "dense"], &Tensor::zeros([5, 4]))?;
    /// assert_eq!((outputs[0].dims(), outputs[1].dims()), (&[5, 6][..], &[5, 2][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`activations`](Self::activations); [`Error::Argument`] for a name that nothing has, or twice; [`Error::Config`] for a layer that
    /// no output needs.
    pub fn outputs_of<'a, 'n>(
        &self,
        names: impl Into<Names<'n>>,
        x: impl Into<Tensors<'a, T>>,
    ) -> Result<Vec<Tensor<T>>> {
        self.outputs_of_list(&names.into(), x.into())
    }

    #[inline(never)]
    pub(crate) fn outputs_of_list(&self, names: &Names<'_>, x: Tensors<'_, T>) -> Result<Vec<Tensor<T>>> {
        const OP: &str = "outputs_of";
        let value = |(i, name): (usize, &&str)| -> Result<Wanted> {
            let value = self.value_of(OP, "names", name)?;
            if !self.net.gives(value) {
                let problem = format!("no output needs {name}, which is left out of the computation");
                return Err(Error::Config { op: OP, problem, hint: "name a layer before an output".into() });
            }
            Ok((i, (*name).to_owned(), value))
        };
        let wanted = names.list(OP, "names")?.iter().enumerate().map(value).collect::<Result<Vec<_>>>()?;
        self.values(OP, &wanted, x)
    }

    /// Values of the net, in parts of the rows that go together.
    fn values(&self, op: &'static str, wanted: &[Wanted], x: Tensors<'_, T>) -> Result<Vec<Tensor<T>>> {
        let x = x.ordered(op, "x", self.net.inputs(), || self.net.input_names())?;
        self.check_inputs(op, &x)?;
        let n = x[0].samples();
        let together = self.rows_together.min(n);
        let (mut work, plan) = (Work::default(), Plan::default());
        let shapes: Vec<Shape> = x.iter().map(|x| x.shape().sample().with_batch(together)).collect();
        let mut room = self.net.space_for(&mut work, Some(&plan), &shapes)?;
        let mut batch = vec![Tensor::default(); x.len()];
        let mut values: Vec<(Shape, Vec<T>)> = wanted.iter().map(|_| (Shape::SCALAR, Vec::new())).collect();
        for start in (0..n.max(1)).step_by(self.rows_together) {
            for (x, batch) in x.iter().zip(&mut batch) {
                x.copy_rows(start..(start + self.rows_together).min(n), batch);
            }
            let Some((first, more)) = batch.split_first() else { break };
            let given = Given::Batch(first, more);
            self.net.prepare(&mut work, given)?;
            if start == 0 {
                // A pass over the rows that go together, and all that is returned.
                let shapes = wanted.iter().map(|(_, _, value)| self.net.shape_now(&work, *value));
                room = shapes.map(|shape| shape.len().saturating_mul(n)).fold(room, usize::saturating_add);
                memory::check_room::<T>(op, format_args!("the outputs of all layers for {n} samples"), room)?;
            }
            // All values are there where backward may follow.
            self.net.run(&mut Pass::differentiable(&self.params), &mut work, given);
            for ((_, _, value), (shape, values)) in wanted.iter().zip(&mut values) {
                let value = given.get(*value as usize).or_else(|| self.net.value(&work, *value));
                if let Some(value) = value {
                    *shape = value.shape().sample();
                    values.extend_from_slice(value.as_slice());
                }
            }
        }
        let mut outputs = Vec::with_capacity(wanted.len());
        for ((index, name, _), (shape, v)) in wanted.iter().zip(values) {
            let y = Tensor::new(shape.with_batch(n), v)?;
            if y.iter().any(|v| v.is_nan()) {
                self.blame(op, &x, &y).map_err(|error| match error {
                    Error::Config { .. } => Error::Layer { index: *index, name: name.clone(), source: Box::new(error) },
                    of_x => of_x,
                })?;
            }
            outputs.push(y);
        }
        if let Some(last) = outputs.last() {
            self.check_outputs(op, &x, std::slice::from_ref(last))?;
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
