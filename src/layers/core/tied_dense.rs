//! A head that uses the weights of an embedding.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, epilogue_builders};
use crate::layers::linear::{linear_transposed, linear_transposed_backward};
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(x·Eᵀ + b) along the last axis, where E is the matrix of another layer: how well each row of an embedding agrees with x. The
/// two layers share one matrix, whose gradient is the sum of both uses.
///
/// - Input `[…, n]`, output `[…, rows]` for a matrix `[rows, n]`.
/// - Parameters: the other layer's, found by its path in the whole model ("embedding/embeddings"), and `bias` `[rows]` if asked for. Whether
///   the matrix is trained, its penalty and its bounds are said of the layer that has it.
/// - Defaults: no activation, no bias.
/// - Gradient, with dz = dy·f'(z): dE += dzᵀ·x, db = Σ rows of dz, dx = dz·E.
///
/// The output layer of a language model with tied weights. Press, Wolf: "Using the Output Embedding to Improve Language Models", 2017.
/// Keras `ReversibleEmbedding` with `reverse`; PyTorch: `decoder.weight = encoder.weight`.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([4])
///     .add(Embedding::new(50, 8))
///     .add(Dense::new(8).activation(Activation::Tanh))
///     .add(TiedDense::new("embedding/embeddings").activation(Activation::Softmax))
///     .build(0)?;
/// assert_eq!(model.output_shape(), [4, 50].into());
/// assert_eq!(model.params().len(), 50 * 8 + 8 * 8 + 8);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TiedDense {
    weight: String,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
    /// Outputs; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    rows: usize,
}

impl TiedDense {
    /// A layer with the weights that have this path, a matrix of a layer that was added before.
    pub fn new(weight: impl Into<String>) -> Self {
        let epilogue = Epilogue { use_bias: false, ..Epilogue::default() };
        TiedDense { weight: weight.into(), epilogue, w: ParamId::default(), rows: 0 }
    }

    epilogue_builders!();
}

impl<T: Float> Layer<T> for TiedDense {
    fn class(&self) -> &'static str {
        "TiedDense"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("TiedDense")?;
        self.epilogue.check()?;
        self.w = b.reuse_table(&self.weight)?;
        let shape = b.params().spec(self.w).map_or(Shape::SCALAR, |spec| spec.shape);
        match *shape.dims() {
            [rows, n] if n == input.last() => self.rows = rows,
            _ => {
                let expected = format!("{} of shape [rows, {}]", self.weight, input.last());
                let hint = "put a Dense with as many outputs as the matrix has columns before it";
                return Err(Error::shape("TiedDense", expected, shape, hint));
            }
        }
        self.epilogue.build(self.rows, b)?;
        Ok(input.with_last(self.rows))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x.with_last(self.rows))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z] = slot.buffers();
        linear_transposed(pass, self.w, x.as_slice(), y);
        self.epilogue.forward(pass, y, z);
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
        let [z] = slot.buffers();
        self.epilogue.backward(pass, z, y, dy);
        linear_transposed_backward(pass, self.w, x.as_slice(), dy, dx.map(Tensor::as_mut_slice));
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::TiedDense(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.epilogue.activation)
    }

    fn output_reach(&self) -> Reach {
        self.epilogue.output_reach()
    }

    fn by_rows(&self) -> bool {
        self.epilogue.by_rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_model;
    use crate::layers::{Dense, Embedding};
    use crate::losses::MeanSquaredError;
    use crate::model::Sequential;
    use crate::optimizers::Sgd;

    fn model(head: TiedDense) -> crate::Model<f64> {
        let embedding = Embedding::new(5, 3).padding_idx(1);
        Sequential::new([2]).add(embedding).add(Dense::new(3)).add(head).build_as(3).unwrap()
    }

    #[test]
    fn gradients_of_both_uses_add_up() {
        let heads = [
            TiedDense::new("embedding/embeddings"),
            TiedDense::new("embedding/embeddings").use_bias(true).activation(Activation::Gelu),
        ];
        for head in heads {
            let mut model = model(head);
            model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
            let x = Tensor::from([[0.0, 3.0], [3.0, 3.0], [4.0, 0.0]]);
            let y = Tensor::from_fn([3, 2, 5], |i| (i as f64).sin());
            check_model(&mut model, &x, &y).unwrap();
        }
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: TiedDense| {
            let model = Sequential::new([2]).add(Embedding::new(5, 3)).add(Dense::new(2));
            model.add(layer).build(0).unwrap_err().to_string()
        };
        assert_eq!(
            error(TiedDense::new("embedding")),
            "layer 2 (tied_dense): build: weight must be one that was added before (embedding/embeddings, dense/kernel, dense/bias), got \
             \"embedding\"; name it by its path in the whole model, and add the layer that has it before"
        );
        assert!(error(TiedDense::new("embedding/embeddings")).contains("of shape [rows, 2], got [5, 3]"));
        assert!(error(TiedDense::new("dense/bias")).contains("got [2]"));
    }
}
