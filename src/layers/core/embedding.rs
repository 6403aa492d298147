//! A vector for each token id.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::{Init, Initializer};
use crate::kernels::parallel;
use crate::kernels::random::KeyedRng;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::table::{self, Naming};
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
/// - With `padding_idx` the vector of an id is zeros, always: its row begins as zeros, is not read here and has no gradient, so that training
///   leaves it; what else reads the matrix ([`TiedDense`](super::TiedDense)) may still give it one. The output has no mask by that.
/// - With `padding_row` the row of an id is read as it is and has no gradient from here, as PyTorch has it for weights from a file.
/// - Gradient: of each row the sum of dy at the steps that name it, in their order, for any number of threads; the ids have none.
/// - Vectors that are there already: [`from_vectors`](Self::from_vectors). Frozen as any layer: `Sequential::trainable(false)`.
///
/// # Large vocabularies
/// A step of `fit` costs what the batch names and not the whole matrix where the optimizer leaves weights without a gradient as they
/// are ([`Optimizer::leaves_zeros`](crate::Optimizer::leaves_zeros)): SGD without momentum, and Adagrad, clipped by value or length or
/// not, and with gradients of several batches added up. All bits are those of an update of all rows. With another optimizer (Adam's
/// moments move a weight long after its last gradient), weight decay or a moving average of the weights, gradients are still gathered
/// and looked at by rows, but the update goes through the whole matrix, as its rule says; there is no update that leaves out what a rule
/// asks for ("lazy" or "sparse" Adam). A penalty on the matrix, or a head that is tied to it, gives every row a gradient; bounds go through all rows
/// after each update. So does an update by [`TrainingLoop`](crate::model::TrainingLoop).
///
/// Keras and PyTorch `Embedding`.
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
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    padding_idx: Option<usize>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    padding_row: Option<usize>,
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
            padding_idx: None,
            padding_row: None,
            embeddings_initializer: Init::Uniform { min: -0.05, max: 0.05 },
            embeddings_regularizer: None,
            embeddings_constraint: None,
            embeddings: ParamId::default(),
            input: Shape::default(),
        }
    }

    /// A layer whose matrix begins as this one, a row for each id: vectors that were trained elsewhere, such as
    /// `WordVectors::matrix_for` gives (feature `text`). It is trained like any other unless it is frozen.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let vectors = Tensor::from([[0.0, 0.0], [0.5, -1.0], [2.0, 0.25]]);
    /// let model = Sequential::new([1]).add(Embedding::from_vectors(vectors)?).trainable(false).build(0)?;
    /// assert_eq!(model.predict(&Tensor::from([[2.0]]))?.as_slice(), [2.0, 0.25]);
    /// assert_eq!(model.summary().trainable, 0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// PyTorch `Embedding.from_pretrained` (which freezes unless told otherwise).
    ///
    /// # Errors
    /// [`Error::Shape`] for what is no matrix. NaN and infinities are errors of `build`.
    pub fn from_vectors(vectors: impl Into<Arc<Tensor<f32>>>) -> Result<Self> {
        let vectors = vectors.into();
        match *vectors.dims() {
            [ids, size] => Ok(Embedding::new(ids, size).embeddings_initializer(Vectors(vectors))),
            _ => Err(Error::shape("Embedding", "a matrix, a row for each id", vectors.shape(), "reshape it")),
        }
    }

    /// The id whose vector is zeros, without a gradient; none by default. PyTorch's word (where a row that was set to others is read all the
    /// same).
    pub fn padding_idx(mut self, id: usize) -> Self {
        self.padding_idx = Some(id);
        self
    }

    /// The id whose row is read as it is, and has no gradient where it is looked up; none by default. What PyTorch's `padding_idx` is for a matrix
    /// that was trained before, as of models from Hugging Face.
    pub fn padding_row(mut self, id: impl Into<Option<usize>>) -> Self {
        self.padding_row = id.into();
        self
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
        table::whole(v, self.input_dim)
    }
}

/// Vectors that are there before training.
struct Vectors(Arc<Tensor<f32>>);

impl Debug for Vectors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "vectors {}", self.0.shape())
    }
}

impl Initializer for Vectors {
    fn fill(&self, _: Shape, _: &mut KeyedRng, values: &mut [f64]) {
        values.iter_mut().zip(&*self.0).for_each(|(v, given)| *v = f64::from(*given));
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
        let exact = table::exact::<T>();
        if self.input_dim as u64 > exact {
            let expected = format!("at most {exact}, the most ids that are kept as {}", T::NAME);
            return Err(Error::argument(
                "Embedding",
                "input_dim",
                expected,
                self.input_dim,
                "use a smaller vocabulary",
            ));
        }
        self.embeddings = b.table("embeddings", [self.input_dim, self.output_dim], &self.embeddings_initializer)?;
        b.sparse_gradient(self.embeddings)?;
        for (name, padding) in [("padding_idx", self.padding_idx), ("padding_row", self.padding_row)] {
            if let Some(padding) = padding.filter(|padding| *padding >= self.input_dim) {
                let expected = format!("below {}, the number of ids", self.input_dim);
                return Err(Error::argument("Embedding", name, expected, padding, "0 is usual"));
            }
        }
        if let Some(padding) = self.padding_idx {
            b.clear_row(self.embeddings, padding);
        }
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
        let packed = pass.packed(self.embeddings);
        parallel::rows(y.as_mut_slice(), n, n, |first, y| {
            for (y, &id) in y.chunks_exact_mut(n).zip(&x.as_slice()[first..]) {
                match self.id(id) {
                    Some(id) if self.padding_idx == Some(id) => y.fill(T::zero()),
                    Some(id) => match packed {
                        Some(packed) => packed.row_as(id, y),
                        None => y.copy_from_slice(&rows[id * n..][..n]),
                    },
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
        // dE[id] += Σ dy
        let without = [self.padding_idx, self.padding_row];
        let row = |step: usize| self.id(x.as_slice()[step]).filter(|id| !without.contains(&Some(*id)));
        let naming = Naming { steps: x.len(), rows: self.input_dim, row };
        naming.add_gradient(pass, self.embeddings, &mut slot.indices, dy.as_slice());
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
        if backward { table::space(x.len()) } else { 0 }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Embedding(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::kernels::random::{Key, Purpose};
    use crate::layers::{Dense, GlobalAveragePooling1d, Reshape, Slice};
    use crate::losses::MeanSquaredError;
    use crate::model::{Model, Sequential};
    use crate::optimizers::{Adagrad, Adam, Lion, Muon, Optimizer, OptimizerOptions, Sgd};

    #[test]
    fn gradients() {
        // Ids that come again, and ids that nobody names.
        gradcheck::check_layer(&Embedding::new(3, 4), [5]).unwrap();
        gradcheck::check_layer(&Embedding::new(50, 2).mask_zero(true), [2, 3]).unwrap();
        gradcheck::check_layer(&Embedding::new(2, 1), Shape::SCALAR).unwrap();
        // Ids of two digits.
        gradcheck::check_layer(&Embedding::new((1 << table::DIGIT) + 1, 1), [7]).unwrap();
        gradcheck::check_layer(&Embedding::new(4, 3).padding_idx(2), [5]).unwrap();
    }

    #[test]
    fn a_padding_row_is_read_and_has_no_gradient() {
        let gradients = |layer: Embedding| {
            let mut model = Sequential::new([4]).add(layer).build_as::<f64>(3).unwrap();
            model.compile(Sgd::default().learning_rate(1.0), MeanSquaredError::default(), ()).unwrap();
            let before = model.params().values().to_vec();
            let x = Tensor::from([[1.0, 2.0, 2.0, 1.0]]);
            let y = model.predict(&x).unwrap();
            model.train_on_batch(&x, &Tensor::zeros([1, 4, 2])).unwrap();
            let change: Vec<f64> = model.params().values().iter().zip(&before).map(|(a, b)| a - b).collect();
            (y, change)
        };
        let (all, padded) = (gradients(Embedding::new(3, 2)), gradients(Embedding::new(3, 2).padding_row(2)));
        assert_eq!(all.0, padded.0);
        assert_eq!(all.1[..4], padded.1[..4]);
        assert!(all.1[4..].iter().all(|g| *g != 0.0) && padded.1[4..] == [0.0, 0.0]);
        let error = Sequential::new([1]).add(Embedding::new(3, 2).padding_row(3)).build(0).unwrap_err();
        assert!(error.to_string().contains("padding_row must be below 3"), "{error}");
    }

    /// A model of an embedding alone, so that the runs of weights are the same whether its matrix is a table or not.
    fn pooled<T: Float>(layer: Embedding, table: bool) -> Model<T> {
        let layers = Sequential::new([4]).add(layer).learning_rate_factor(0.5).add(GlobalAveragePooling1d::new());
        let mut model = layers.build_as(3).unwrap();
        model.params.specs_mut()[0].sparse_gradient = table;
        model
    }

    /// Losses and weights of some steps, in bits; gradients are of size `scale`.
    fn trained<T: Float>(
        layer: &Embedding,
        optimizer: impl Optimizer<T> + 'static,
        scale: f64,
        table: bool,
    ) -> (Vec<Option<u64>>, Vec<u64>) {
        let mut model = pooled::<T>(layer.clone(), table);
        model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
        let (ids, width) = (layer.input_dim, layer.output_dim);
        let losses = (0..7).map(|step| {
            let key = Key::new(2, Purpose::Data).with(step);
            let x = Tensor::from_fn([5, 4], |i| T::of(key.below(i as u64, ids) as f64));
            let y = Tensor::from_fn([5, width], |i| T::of(scale * (key.unit(i as u64) - 0.5)));
            model.train_on_batch(&x, &y).ok().map(f64::to_bits)
        });
        let losses = losses.collect();
        (losses, model.params().values().iter().map(|w| w.as_f64().to_bits()).collect())
    }

    /// All optimizers' ways, at sizes below and above a part of the optimizer's walk.
    fn check_tables<T: Float>(layer: &Embedding, scale: f64) {
        macro_rules! check {
            ($($optimizer:expr),+ $(,)?) => {$(
                let [rows, all] = [true, false].map(|table| trained::<T>(layer, $optimizer, scale, table));
                assert!(rows == all, "{layer:?} {scale} {}", stringify!($optimizer));
            )+};
        }
        let (sgd, adagrad) = (Sgd::default().learning_rate(0.7), Adagrad::default().learning_rate(0.3));
        check!(
            sgd.clone(),
            sgd.clone().clipvalue(0.01),
            sgd.clone().clipnorm(0.02),
            sgd.clone().global_clipnorm(0.02),
            sgd.clone().gradient_accumulation_steps(3),
            sgd.clone().momentum(0.9),
            sgd.clone().weight_decay(0.1),
            sgd.clone().ema(0.9).ema_overwrite_frequency(3),
            adagrad.clone(),
            adagrad.clone().global_clipnorm(0.02).gradient_accumulation_steps(2),
            adagrad.clone().initial_accumulator_value(0.0),
            adagrad.clone().initial_accumulator_value(0.0).epsilon(0.0),
            Adam::default().clipnorm(0.5),
            Lion::default(),
            Muon::default(),
        );
    }

    #[test]
    fn an_update_by_rows_is_that_of_all_rows() {
        for (ids, width) in [(90, 1), (70, 3), (9, 128), (40, 300), (3000, 7)] {
            check_tables::<f32>(&Embedding::new(ids, width), 1.0);
            check_tables::<f64>(&Embedding::new(ids, width).padding_idx(ids - 1), 1.0);
        }
        let layer = Embedding::new(50, 5);
        check_tables::<f32>(&layer.clone().embeddings_regularizer(Regularizer::L2(0.1)), 1.0);
        check_tables::<f32>(&layer.clone().embeddings_constraint(Constraint::max_norm(0.05)), 1.0);
        // Steps that fail, and moments that begin anew.
        for scale in [1e10, 1e19, 1e22, 1e30] {
            check_tables::<f32>(&layer, scale);
        }
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn threads_change_no_bit() {
        let layer = Embedding::new(20_000, 65);
        let after = |threads: usize| {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut model =
                Sequential::new([600]).add(layer.clone()).add(GlobalAveragePooling1d::new()).build(3).unwrap();
            let optimizer = Adagrad::default().learning_rate(0.5);
            model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
            pool.install(|| {
                for step in 0..3 {
                    let key = Key::new(2, Purpose::Data).with(step);
                    let x = Tensor::from_fn([32, 600], |i| key.below(i as u64, 20_000) as f32);
                    let y = Tensor::from_fn([32, 65], |i| key.unit(i as u64) as f32);
                    model.train_on_batch(&x, &y).unwrap();
                }
            });
            model.params().values().iter().map(|w| w.to_bits()).collect::<Vec<_>>()
        };
        let one = after(1);
        assert!([2, 3, 4].iter().all(|&threads| one == after(threads)));
    }

    #[test]
    fn padding_stays_what_it_is() {
        let mut model = pooled::<f64>(Embedding::new(5, 2).padding_idx(2), true);
        model.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
        let x = Tensor::from([[2.0, 2.0, 1.0, 4.0], [2.0, 2.0, 2.0, 2.0]]);
        model.train_on_batch(&x, &Tensor::from([[1.0, 2.0], [1.0, 2.0]])).unwrap();
        let rows = model.weight("embedding/embeddings").unwrap();
        assert!(rows[4..6] == [0.0; 2] && rows.iter().filter(|w| **w == 0.0).count() == 2);
        let error = Sequential::new([3]).add(Embedding::new(2, 2).padding_idx(2)).build(0).unwrap_err().to_string();
        assert!(error.contains("padding_idx must be below 2, the number of ids, got 2"), "{error}");
    }

    #[test]
    fn vectors_that_are_there() {
        let vectors = Tensor::from([[1.0, -0.5, 3.0], [0.0, f32::MAX, 1e-40]]);
        let layer = Embedding::from_vectors(vectors.clone()).unwrap();
        let model = Sequential::new([1]).add(layer.clone()).build(0).unwrap();
        assert_eq!(model.params().values(), vectors.as_slice());
        assert!(format!("{layer:?}").contains("vectors [2, 3]"));
        assert!(Embedding::from_vectors(Tensor::zeros([2])).unwrap_err().to_string().contains("a matrix"));
        let layer = Embedding::from_vectors(Tensor::from([[f32::NAN]])).unwrap();
        assert!(Sequential::new([1]).add(layer).build(0).unwrap_err().to_string().contains("finite initial values"));
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
