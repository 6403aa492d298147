//! A vector for each token id.

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// y = the row of a matrix that each token id names.
///
/// - Input: token ids, whole numbers from 0 to `input_dim` − 1, of any shape, `[steps]` as a rule; output one axis more,
///   `[steps, output_dim]`. A model looks at them before it works: another number is an error that names row and position. So the layer stands
///   behind an input, or behind layers that only hand values on.
/// - Parameter: `embeddings` `[input_dim, output_dim]`.
/// - Defaults: a uniform draw between −0.05 and 0.05, no penalty, no bounds, no mask.
/// - With `mask_zero` the output has a mask: a step counts unless its id is 0. Row 0 is a row as others are, with a gradient where something
///   reads it.
/// - Gradient: of each row the sum of dy at the steps that name it, in their order, for any number of threads; the ids have none.
///
/// Keras and PyTorch `Embedding` (whose `padding_idx` keeps its row, which `mask_zero` does not).
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4])
///     .add(Embedding::new(100, 8).mask_zero(true))
///     .add(GlobalAveragePooling1d::new())
///     .add(Dense::new(1))
///     .build(0)?;
/// // Padding does not count.
/// let y = model.predict(&Tensor::from([[7.0, 31.0, 0.0, 0.0], [7.0, 0.0, 31.0, 0.0]]))?;
/// assert_eq!(y.row(0), y.row(1));
/// let error = model.predict(&Tensor::from([[7.0, 31.0, 100.0, 0.0]])).unwrap_err();
/// assert!(error.to_string().contains("100 in row 0, position 2"), "{error}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    mask_zero: bool,
    embeddings_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    embeddings_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    embeddings_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    embeddings: ParamId,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl Embedding {
    /// A vector of `output_dim` numbers for each of `input_dim` ids.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            input_dim,
            output_dim,
            mask_zero: false,
            embeddings_initializer: Init::Uniform { min: -0.05, max: 0.05 },
            embeddings_regularizer: None,
            embeddings_constraint: None,
            embeddings: ParamId::default(),
            input: Shape::default(),
        }
    }

    /// Whether id 0 is padding, whose steps do not count: the output has a mask. No by default.
    pub fn mask_zero(mut self, mask_zero: bool) -> Self {
        self.mask_zero = mask_zero;
        self
    }

    /// Whether id 0 is padding.
    #[cfg(feature = "keras")]
    pub(crate) fn masks_zero(&self) -> bool {
        self.mask_zero
    }

    /// How the matrix is filled; a uniform draw between −0.05 and 0.05 by default.
    pub fn embeddings_initializer(mut self, init: impl Into<Init>) -> Self {
        self.embeddings_initializer = init.into();
        self
    }

    /// A penalty on the matrix, added to the loss; none by default.
    pub fn embeddings_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.embeddings_regularizer = Some(regularizer);
        self
    }

    /// Bounds that the matrix is brought into after each update; none by default.
    pub fn embeddings_constraint(mut self, constraint: Constraint) -> Self {
        self.embeddings_constraint = Some(constraint);
        self
    }

    /// The row that a value names; none for what is no token id, which models refuse before.
    fn id<T: Float>(&self, v: T) -> Option<usize> {
        let v = v.as_f64();
        (v >= 0.0 && v < self.input_dim as f64 && v.fract() == 0.0).then_some(v as usize)
    }
}

impl<T: Float> Layer<T> for Embedding {
    fn class(&self) -> &'static str {
        "Embedding"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        for (name, size) in [("input_dim", self.input_dim), ("output_dim", self.output_dim)] {
            if size == 0 {
                return Err(Error::argument("Embedding", name, "at least 1", 0, "pass Embedding::new(ids, features)"));
            }
        }
        // From 2²⁴ on single precision does not tell neighbours apart.
        let exact = if T::NAME == "f32" { 1 << 24 } else { 1 << 53 };
        if self.input_dim as u64 > exact {
            let expected = format!("at most {exact}, as larger ids are not exact as {}", T::NAME);
            return Err(Error::argument(
                "Embedding",
                "input_dim",
                expected,
                self.input_dim,
                "use a smaller vocabulary",
            ));
        }
        self.embeddings = b.weight("embeddings", [self.input_dim, self.output_dim], &self.embeddings_initializer)?;
        b.regularize(self.embeddings, self.embeddings_regularizer)?;
        b.constrain(self.embeddings, self.embeddings_constraint.clone())?;
        self.input = input;
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        if x.rank() + 1 >= MAX_RANK {
            let expected = format!("token ids of at most {} axes a sample", MAX_RANK - 2);
            return Err(Error::shape("Embedding", expected, x, "flatten some axes"));
        }
        let mut sizes = [self.output_dim; MAX_RANK];
        sizes[..x.rank()].copy_from_slice(x.dims());
        Shape::try_from(&sizes[..=x.rank()])
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (n, rows) = (self.output_dim, pass.weight(self.embeddings));
        parallel::rows(y.as_mut_slice(), n, n, |first, y| {
            for (y, &id) in y.chunks_exact_mut(n).zip(&x.as_slice()[first..]) {
                match self.id(id) {
                    Some(id) => y.copy_from_slice(&rows[id * n..][..n]),
                    None => y.fill(T::nan()),
                }
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
        if let Some(dx) = dx {
            dx.as_mut_slice().fill(T::zero());
        }
        if !pass.wants(self.embeddings) {
            return;
        }
        // The steps that name each id, in their order: those of id 0, then those of id 1 …; `ends` says where each id's end.
        let (n, ids) = (self.output_dim, self.input_dim);
        slot.indices.clear();
        slot.indices.resize(ids + x.len(), 0);
        let (ends, steps) = slot.indices.split_at_mut(ids);
        let named = || (0u32..).zip(x).filter_map(|(step, v)| Some((step, self.id(*v)?)));
        named().for_each(|(_, id)| ends[id] += 1);
        let mut before = 0;
        for end in ends.iter_mut() {
            before += std::mem::replace(end, before);
        }
        for (step, id) in named() {
            steps[ends[id] as usize] = step;
            ends[id] += 1;
        }
        // dE[id] += Σ dy
        let (ends, steps, dy) = (&*ends, &*steps, dy.as_slice());
        parallel::rows(pass.gradient(self.embeddings), n, 1 + n * x.len() / ids, |first, rows| {
            for (id, row) in (first..).zip(rows.chunks_exact_mut(n)) {
                let start = if id == 0 { 0 } else { ends[id - 1] as usize };
                for &step in &steps[start..ends[id] as usize] {
                    row.iter_mut().zip(&dy[step as usize * n..][..n]).for_each(|(g, dy)| *g += *dy);
                }
            }
        });
    }

    fn mask_rule(&self) -> MaskRule {
        if self.mask_zero { MaskRule::Opens(self.input.rank()) } else { MaskRule::Drops }
    }

    fn open_mask(&self, x: &Tensor<T>, mask: &mut [bool]) {
        mask.iter_mut().zip(x).for_each(|(m, id)| *m = *id != T::zero());
    }

    fn token_ids(&self) -> Option<usize> {
        Some(self.input_dim)
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        // The order of steps by their ids.
        if backward { self.input_dim.saturating_add(x.len()) } else { 0 }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Embedding(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::{Dense, Reshape, Slice};
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        // Ids that come again, and ids that nobody names.
        gradcheck::check_layer(&Embedding::new(3, 4), [5]).unwrap();
        gradcheck::check_layer(&Embedding::new(50, 2).mask_zero(true), [2, 3]).unwrap();
        gradcheck::check_layer(&Embedding::new(2, 1), Shape::SCALAR).unwrap();
    }

    #[test]
    fn ids_are_looked_at_where_they_come_in() {
        let model = Sequential::new([2, 3])
            .add(Slice::new().at(-1))
            .add(Reshape::new([3, 1]))
            .add(Embedding::new(7, 2))
            .build(0)
            .unwrap();
        let with =
            |v: f32| Tensor::new([2, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, v, 0.0, 0.0, 0.0]).unwrap();
        assert!(model.predict(&with(6.0)).is_ok());
        for bad in [7.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
            assert_eq!(
                model.predict(&with(bad)).unwrap_err().to_string(),
                format!(
                    "predict: input has {bad} in row 1, position 2, where token ids are expected, whole numbers from 0 to 6; give the \
                     embedding as many ids as the vocabulary has, or correct the data"
                )
            );
        }
        let behind =
            Sequential::new([3]).add(Dense::new(3)).add(Embedding::new(7, 2)).build(0).unwrap_err().to_string();
        assert!(behind.starts_with("layer 1 (embedding): ") && behind.contains("computed from others"), "{behind}");
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: Embedding| Sequential::new([3]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(Embedding::new(0, 2)).contains("input_dim must be at least 1"));
        assert!(error(Embedding::new(2, 0)).contains("output_dim must be at least 1"));
        assert!(error(Embedding::new((1 << 24) + 1, 1)).contains("at most 16777216"));
        assert!(Sequential::new([1, 1, 1, 1, 1]).add(Embedding::new(2, 2)).build(0).is_err());
    }
}
