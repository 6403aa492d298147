//! A trained vector for each position.

use super::{check_inputs, clear_positions, given, sizes};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::table::{self, Naming};
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = x + the row of a trained table that the position of each step names.
///
/// - Inputs: x `[steps, features]`, at most `max_len` steps, of which a decoder that goes on may have had some in passes before
///   ([`Pass::position`](crate::Pass::position)); positions `[steps]` if steps have some of their own, below `max_len`. Output: the shape of x.
/// - Parameter: `embeddings` `[max_len, features]`, with [`offset`](Self::offset) as many rows more.
/// - With [`count_tokens`](Self::count_tokens) the second input is token ids `[steps]`, and positions are counted over those that are no padding.
/// - Defaults: a uniform draw between −0.05 and 0.05, no offset, no penalty, no bounds.
/// - Gradient: dx = dy, and of each row the sum of dy at the steps that name it, in their order.
///
/// GPT-2's and BERT's positions (`wpe`, `position_embeddings`). Keras-Hub `PositionEmbedding` gives the rows alone, without x. Gehring et
/// al.: "Convolutional Sequence to Sequence Learning", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([FREE])
///     .add(Embedding::new(50, 8))
///     .add(PositionEmbedding::new(16))
///     .add(LayerNorm::new())
///     .build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 5]))?.dims(), [2, 5, 8]);
/// let error = model.predict(&Tensor::zeros([2, 17])).unwrap_err();
/// assert!(error.to_string().contains("at most 16 steps"), "{error}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PositionEmbedding {
    max_len: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
    offset: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    padding: Option<usize>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    fixed: Option<usize>,
    embeddings_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    embeddings_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    embeddings_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    embeddings: ParamId,
    /// The shape of one sample of x, and whether positions come with it; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
    #[cfg_attr(feature = "serde", serde(skip))]
    is_given: bool,
}

#[cfg(feature = "serde")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl PositionEmbedding {
    /// A vector for each of `max_len` positions.
    pub fn new(max_len: usize) -> Self {
        PositionEmbedding {
            max_len,
            offset: 0,
            padding: None,
            fixed: None,
            embeddings_initializer: Init::Uniform { min: -0.05, max: 0.05 },
            embeddings_regularizer: None,
            embeddings_constraint: None,
            embeddings: ParamId::default(),
            input: Shape::default(),
            is_given: false,
        }
    }

    /// The row of position 0, those before it being nobody's: 2 in BART's tables; 0 by default.
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Every step has this position: one row for all of them, as of RoBERTa's only kind of sentence. Sequences may have any length.
    pub fn fixed(mut self, position: usize) -> Self {
        self.fixed = Some(position);
        self
    }

    /// Positions follow from token ids, which are the second input: the n-th token that is not `padding`, from 0, has position n, and its row is
    /// `padding` + 1 + n; padding has the row `padding`, which gets no gradient. The [`offset`](Self::offset) is `padding` + 1. RoBERTa's, XLM-R's and
    /// MPNet's positions, whose tables have `padding` + 1 rows more than there are positions.
    ///
    /// ```
    /// use gradus::graph::Graph;
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let tokens = g.input("tokens", [FREE]);
    /// let x = g.add(Embedding::new(50, 8), tokens);
    /// let x = g.op(PositionEmbedding::new(16).count_tokens(1), &[x, tokens]);
    /// let model = g.build([x], 0)?;
    /// // Padding on the left moves no token.
    /// let y = model.predict(&Tensor::from([[7.0, 9.0, 1.0], [1.0, 7.0, 9.0]]))?;
    /// assert_eq!(y.row(0)[..16], y.row(1)[8..]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn count_tokens(mut self, padding: usize) -> Self {
        (self.padding, self.offset) = (Some(padding), padding.saturating_add(1));
        self
    }

    /// How the table is filled; a uniform draw between −0.05 and 0.05 by default.
    pub fn embeddings_initializer(mut self, init: impl Into<Init>) -> Self {
        self.embeddings_initializer = init.into();
        self
    }

    /// A penalty on the table, added to the loss; none by default.
    pub fn embeddings_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.embeddings_regularizer = Some(regularizer);
        self
    }

    /// Bounds that the table is brought into after each update; none by default.
    pub fn embeddings_constraint(mut self, constraint: Constraint) -> Self {
        self.embeddings_constraint = Some(constraint);
        self
    }

    /// The row that each step names by its token, into `rows`: for tokens that are counted.
    fn count<T: Float>(&self, padding: usize, x: Inputs<'_, T>, rows: &mut Tensor<T>) {
        let (tokens, [steps, _]) = (x.get(1), sizes(&x[0]));
        rows.resize(tokens.shape());
        let padded = T::of(padding as f64);
        let each = rows.as_mut_slice().chunks_mut(steps.max(1)).zip(tokens.as_slice().chunks(steps.max(1)));
        for (rows, tokens) in each {
            let mut next = self.offset;
            for (row, token) in rows.iter_mut().zip(tokens) {
                let counts = *token != padded;
                *row = T::of(if counts { next } else { padding } as f64);
                next += usize::from(counts);
            }
        }
    }

    /// The row that each step of a batch names, whose samples begin at the position that `first` says; none where it has no position.
    fn naming<'a, T: Float, F: Fn(usize) -> usize + Sync>(
        &self,
        first: F,
        x: Inputs<'a, T>,
        counted: Option<&'a [T]>,
    ) -> Naming<impl Fn(usize) -> Option<usize> + Sync + use<'a, T, F>> {
        let (given, [steps, _]) = (given(x), sizes(&x[0]));
        let (max_len, offset, fixed) = (self.max_len, self.offset, self.fixed);
        let row = move |step: usize| {
            if let Some(position) = fixed {
                return position.checked_add(offset).filter(|row| *row < max_len + offset);
            }
            if let Some(rows) = counted {
                return table::whole(rows[step], max_len + offset);
            }
            let position = match given {
                Some(positions) => table::whole(positions[step], max_len)?,
                None => first(step / steps).checked_add(step % steps).filter(|position| *position < max_len)?,
            };
            Some(position + offset)
        };
        Naming { steps: x[0].samples() * steps, rows: max_len + offset, row }
    }
}

impl<T: Float> Op<T> for PositionEmbedding {
    fn class(&self) -> &'static str {
        "PositionEmbedding"
    }

    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        let mut y = [Shape::SCALAR];
        Op::<T>::output_shapes(self, x, &mut y)?;
        let rows = self.max_len.saturating_add(self.offset);
        let most = table::exact::<T>();
        if self.padding.is_some()
            && (x.len() < 2 || self.padding.map(|padding| padding.saturating_add(1)) != Some(self.offset))
        {
            let hint = "pass the values and their tokens, and leave the offset as count_tokens sets it";
            return Err(Error::shape("PositionEmbedding", "values and token ids", format!("{} inputs", x.len()), hint));
        }
        if let Some(fixed) = self.fixed.filter(|fixed| *fixed >= self.max_len || x.len() > 1) {
            let (expected, hint) =
                (format!("below {}, for steps without positions of their own", self.max_len), "0 is usual");
            return Err(Error::argument("PositionEmbedding", "fixed", expected, fixed, hint));
        }
        if self.max_len == 0 || rows as u64 > most {
            let expected =
                format!("from 1 to {most}, the most positions that are kept as {}, offset included", T::NAME);
            let hint = "pass the number of positions of the longest sequence";
            return Err(Error::argument("PositionEmbedding", "max_len", expected, self.max_len, hint));
        }
        self.embeddings = b.weight("embeddings", [rows, y[0].last()], &self.embeddings_initializer)?;
        b.sparse_gradient(self.embeddings)?;
        b.regularize(self.embeddings, self.embeddings_regularizer)?;
        b.constrain(self.embeddings, self.embeddings_constraint.clone())?;
        (self.input, self.is_given) = (x[0], x.len() > 1);
        Ok(y.to_vec())
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let [steps, _] = check_inputs("PositionEmbedding", x)?;
        let counts = self.fixed.is_none() && (x.len() == 1 || self.padding.is_some());
        if counts && steps != FREE && steps > self.max_len {
            let expected = format!("at most {} steps", self.max_len);
            let hint = "cut the sequences, or build the model with more positions";
            return Err(Error::shape("PositionEmbedding", expected, steps, hint));
        }
        y[0] = x[0];
        Ok(())
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let pass = &*pass;
        let [rows] = slot.buffers();
        let counted = self.padding.map(|padding| {
            self.count(padding, x, rows);
            rows.as_slice()
        });
        let naming = self.naming(|sample| pass.position_of(sample), x, counted);
        let (table, x) = (pass.weight(self.embeddings), &x[0]);
        let width = x.shape().last();
        parallel::rows(y[0].as_mut_slice(), width, 2 * width, |first, y| {
            let x = x.as_slice()[first * width..].chunks_exact(width);
            for (i, (y, x)) in y.chunks_exact_mut(width).zip(x).enumerate() {
                match (naming.row)(first + i) {
                    Some(row) => {
                        let row = &table[row * width..][..width];
                        y.iter_mut().zip(x).zip(row).for_each(|((y, x), p)| *y = *x + *p);
                    }
                    // Refused at the model's door.
                    None => y.fill(T::nan()),
                }
            }
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        // dE[position] += Σ dy
        let first = pass.position();
        let Slot { tensors, indices, .. } = slot;
        let counted = self.padding.map(|padding| {
            tensors.resize_with(tensors.len().max(1), Tensor::default);
            let rows = &mut tensors[0];
            self.count(padding, x, rows);
            rows.as_slice()
        });
        let Naming { steps, rows, row } = self.naming(|_| first, x, counted);
        let row = |step: usize| row(step).filter(|row| self.padding != Some(*row));
        Naming { steps, rows, row }.add_gradient(pass, self.embeddings, indices, dy[0].as_slice());
        if let Some(dx) = &mut dx[0] {
            dx.as_mut_slice().copy_from_slice(dy[0].as_slice());
        }
        clear_positions(dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Op::<T>::space_for(self, &[self.input.with_batch(samples)], backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        let steps = x.first().map_or(0, |x| x.first().saturating_mul(x.sample().first()));
        let counted = if self.padding.is_some() { steps } else { 0 };
        counted.saturating_add(if backward { table::space(steps) } else { 0 })
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn position_ids(&self, input: usize) -> Option<usize> {
        (input == 1 && self.padding.is_none()).then_some(self.max_len)
    }

    fn max_positions(&self) -> Option<usize> {
        (!self.is_given && self.fixed.is_none()).then_some(self.max_len)
    }

    fn continuation(&self) -> Continuation {
        // A count goes through all steps before.
        if self.padding.is_some() { Continuation::Whole } else { Continuation::Steps }
    }

    fn config(&self) -> OpConfig {
        OpConfig::PositionEmbedding(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{forward, refused_inputs, rows_follow_from_positions, values};
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        check_op(PositionEmbedding::new(7), &[[5, 3].into()]).unwrap();
        check_op(PositionEmbedding::new(1).offset(2), &[[1, 1].into()]).unwrap();
        check_op(PositionEmbedding::new(4), &[[6, 3].into(), [6].into()]).unwrap();
        check_op(PositionEmbedding::new(4).offset(1), &[[1, 5].into(), [1].into()]).unwrap();
    }

    #[test]
    fn one_row_for_all_steps() {
        check_op(PositionEmbedding::new(2).fixed(1), &[[5, 3].into()]).unwrap();
        let (mut op, mut b) = (PositionEmbedding::new(2).fixed(1), Builder::<f64>::new(0));
        op.build(&[[3, 1].into()], &mut b).unwrap();
        let mut params = b.into_params();
        params.values_mut().copy_from_slice(&[4.0, 7.0]);
        assert_eq!(forward(&op, &params, 9, &[Tensor::zeros([1, 3, 1])]).as_slice(), [7.0; 3]);
        let error = |mut op: PositionEmbedding, x: &[Shape]| {
            Op::<f64>::build(&mut op, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        assert!(error(PositionEmbedding::new(2).fixed(2), &[[3, 1].into()]).contains("fixed must be below 2"));
        assert!(error(op, &[[3, 1].into(), [3].into()]).contains("without positions of their own"));
    }

    #[test]
    fn tokens_are_counted() {
        check_op(PositionEmbedding::new(5).count_tokens(100), &[[5, 3].into(), [5].into()]).unwrap();
        let (mut op, mut b) = (PositionEmbedding::new(2).count_tokens(1), Builder::<f64>::new(0));
        op.build(&[[FREE, 1].into(), [FREE].into()], &mut b).unwrap();
        let mut params = b.into_params();
        params.values_mut().copy_from_slice(&[9.0, 1.0, 2.0, 3.0]);
        let x = [Tensor::zeros([2, 3, 1]), Tensor::from([[1.0, 5.0, 0.0], [7.0, 1.0, 1.0]])];
        assert_eq!(forward(&op, &params, 0, &x).as_slice(), [1.0, 2.0, 3.0, 2.0, 1.0, 1.0]);
        // The row of padding is read and has no gradient.
        let mut gradients = vec![0.0; 4];
        let mut pass = Pass::differentiable(&params).with_gradients(&mut gradients);
        let (mut y, mut dy, mut slot) = ([Tensor::zeros([2, 3, 1])], [Tensor::full([2, 3, 1], 1.0)], Slot::new());
        let at = [0, 1];
        op.forward(&mut pass, &mut slot, Inputs::new(&x, &at), &mut y);
        op.backward(&mut pass, &mut slot, Inputs::new(&x, &at), &y, &mut dy, &mut [None, None]);
        assert_eq!(gradients, [0.0, 0.0, 2.0, 1.0]);
        let alone = Op::<f64>::build(&mut op, &[[2, 1].into()], &mut Builder::new(0)).unwrap_err();
        assert!(alone.to_string().contains("values and token ids"), "{alone}");
        let long = Op::<f64>::build(&mut op, &[[3, 1].into(), [3].into()], &mut Builder::new(0)).unwrap_err();
        assert!(long.to_string().contains("at most 2 steps"), "{long}");
    }

    #[test]
    fn rows_of_positions() {
        rows_follow_from_positions::<f32>(PositionEmbedding::new(9), 3);
        rows_follow_from_positions::<f64>(PositionEmbedding::new(9).offset(2), 5);
        let (mut op, mut b) = (PositionEmbedding::new(4).offset(1), Builder::<f64>::new(0));
        op.build(&[[2, 2].into()], &mut b).unwrap();
        let mut params = b.into_params();
        params.values_mut().copy_from_slice(&[9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let x = values::<f64>([2, 2, 2]);
        for (position, rows) in [(0, [1.0, 2.0, 3.0, 4.0]), (2, [5.0, 6.0, 7.0, 8.0])] {
            let y = forward(&op, &params, position, std::slice::from_ref(&x));
            assert!(y.iter().zip(&x).zip(rows.iter().cycle()).all(|((y, x), row)| *y == x + row));
        }
        let positions = Tensor::from([[1.0, 0.0], [3.0, 3.0]]);
        let y = forward(&op, &params, 100, &[x.clone(), positions]);
        let rows = [3.0, 4.0, 1.0, 2.0, 7.0, 8.0, 7.0, 8.0];
        assert!(y.iter().zip(&x).zip(rows).all(|((y, x), row)| *y == x + row));
    }

    #[test]
    fn impossible_settings() {
        refused_inputs(PositionEmbedding::new(8));
        let error = |mut op: PositionEmbedding, x: &[Shape]| {
            Op::<f32>::build(&mut op, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        assert_eq!(
            error(PositionEmbedding::new(4), &[[5, 2].into()]),
            "PositionEmbedding: expected at most 4 steps, got 5; cut the sequences, or build the model with more positions"
        );
        let given = [Shape::from([5, 2]), [5].into()];
        assert!(Op::<f32>::build(&mut PositionEmbedding::new(4), &given, &mut Builder::new(0)).is_ok());
        for (max_len, offset) in [(0, 0), (1 << 25, 0), (3, usize::MAX)] {
            assert!(
                error(PositionEmbedding::new(max_len).offset(offset), &given).contains("max_len must be from 1 to")
            );
        }
        let bad = PositionEmbedding::new(4).embeddings_regularizer(Regularizer::L2(f64::NAN));
        assert!(error(bad, &given).contains("l2 must be finite"));
    }
}
