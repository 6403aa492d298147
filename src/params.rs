//! All weights of a model in one flat buffer.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::aligned::Aligned;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::kernels::packed::{Packed, WeightStorage};
use crate::memory;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape};

/// Which parameter of a [`Params`]: a position in its list, handed out by [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(crate) u32);

impl Default for ParamId {
    /// No parameter: the value before `build`.
    fn default() -> Self {
        ParamId(u32::MAX)
    }
}

/// What is known of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Path such as `"dense_1/kernel"`, unique in the model.
    pub name: String,
    /// The shape, as Keras lays it out.
    pub shape: Shape,
    /// Where it stands in the flat buffers of values, gradients and moments.
    pub range: Range<usize>,
    /// Whether an optimizer changes it: it is neither state nor frozen.
    pub trainable: bool,
    /// Whether it holds values that training does not learn (statistics); these can not be made trainable.
    pub state: bool,
    /// Whether its layer was frozen (`trainable(false)`), in which case statistics stay as they are too.
    pub frozen: bool,
    /// Whether weight decay applies: yes for kernels, no for biases and normalisation scales.
    pub decays: bool,
    /// What the learning rate is multiplied by for it; 1 unless set.
    pub learning_rate_factor: f64,
    /// The penalty that it adds to the loss while it is trained.
    pub regularizer: Option<Regularizer>,
    /// The bounds that it is brought back into after each update.
    pub constraint: Option<Constraint>,
    /// Whether its gradient comes by rows, see `Builder::sparse_gradient`.
    pub(crate) sparse_gradient: bool,
    /// Who reads it.
    pub(crate) reading: Reading,
    /// Its values where they are stored in panels and not in the buffer, in which it then has none.
    pub(crate) packed: Option<Arc<Packed>>,
    /// What is beside it in those products.
    pub(crate) adapters: Vec<Adapter>,
}

/// Who reads a parameter, and so how it may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Anyone, as numbers.
    #[default]
    Numbers,
    /// Products of rows with it alone, through `layers::linear`: W `[in, out]`.
    Product,
    /// Those who look up rows of it, and products of rows with its transpose, through `layers::linear`: E `[rows, features]`.
    Table,
}

impl Reading {
    /// The inputs and outputs of the product that it is for, of a matrix of these sizes.
    pub fn sizes(self, [rows, columns]: [usize; 2]) -> [usize; 2] {
        if self == Reading::Table { [columns, rows] } else { [rows, columns] }
    }
}

/// Two thin matrices A `[in, rank]` and B `[rank, out]` beside a weight `[in, out]`: x·W + scale · (x·A)·B.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adapter {
    pub a: ParamId,
    pub b: ParamId,
    pub rank: usize,
    pub scale: f64,
    /// The part of x that is dropped before A in training.
    pub dropout: f64,
    /// The stream of its draws.
    pub stream: u64,
    /// The number of the model's adapter that it is of.
    pub number: usize,
    /// Whether it is used, and whether it is in the weight already.
    pub active: bool,
    pub merged: bool,
}

impl Adapter {
    /// Whether products take it into account.
    pub fn applies(&self) -> bool {
        self.active && !self.merged
    }
}

impl ParamSpec {
    /// Whether a batch gives it the gradients of some rows alone: a penalty would give all rows one.
    pub(crate) fn is_table(&self) -> bool {
        self.sparse_gradient && self.regularizer.is_none()
    }
}

/// All weights of a model, one after the other in one buffer; gradients and optimizer moments have the same layout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params<T = f32> {
    values: Aligned<T>,
    specs: Vec<ParamSpec>,
}

impl<T: Float> Params<T> {
    /// No parameters.
    pub fn new() -> Self {
        Params { values: Aligned::default(), specs: Vec::new() }
    }

    /// Adds a parameter with these values and returns its id; one that is not trainable is state.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not the shape's, [`Error::Argument`] if the name is taken.
    pub fn push(&mut self, name: &str, shape: Shape, values: &[T], trainable: bool, decays: bool) -> Result<ParamId> {
        if values.len() != shape.checked_len("Params::push")? {
            let expected = format!("{} values for {name} {shape}", shape.len());
            return Err(Error::shape("Params::push", expected, values.len(), "pass the shape's number of values"));
        }
        memory::reserve_aligned(
            "Params::push",
            format!("the weights with {name} {shape}"),
            &mut self.values,
            values.len(),
        )?;
        let start = self.values.len();
        self.values.resize(start + values.len(), T::zero());
        self.values[start..].copy_from_slice(values);
        self.name_last(name, shape, trainable, decays)
    }

    /// Adds a parameter of zeros that `fill` then overwrites, in the place where they stay.
    pub(crate) fn push_with(
        &mut self,
        name: &str,
        shape: Shape,
        trainable: bool,
        decays: bool,
        fill: impl FnOnce(&mut [T]) -> Result<()>,
    ) -> Result<ParamId> {
        let (start, len) = (self.values.len(), shape.checked_len("Params::push")?);
        memory::reserve_aligned("build", format!("the weights with {name} {shape}"), &mut self.values, len)?;
        self.values.resize(start + len, T::zero());
        if let Err(error) = fill(&mut self.values[start..]) {
            self.values.resize(start, T::zero());
            return Err(error);
        }
        self.name_last(name, shape, trainable, decays)
    }

    /// Adds a matrix that is stored in panels, whose values come later.
    pub(crate) fn push_packed(&mut self, name: &str, shape: Shape, decays: bool, packed: Packed) -> Result<ParamId> {
        let id = self.name_last(name, Shape::from([0]), true, decays)?;
        let spec = &mut self.specs[id.0 as usize];
        (spec.shape, spec.trainable, spec.frozen, spec.packed) = (shape, false, true, Some(Arc::new(packed)));
        Ok(id)
    }

    /// Stores the matrices that products and look-ups alone read in panels, and leaves them out of the buffer. They are not trained any more.
    ///
    /// # Errors
    /// Those of [`Packed::zeros`] and [`Packed::fill`]; nothing has changed then.
    pub(crate) fn store(&mut self, op: &'static str, storage: WeightStorage) -> Result<()> {
        let mut all = Vec::new();
        for spec in &self.specs {
            let sizes @ [_, columns] = [spec.shape.rows(), spec.shape.last()];
            let own = spec.reading != Reading::Numbers && spec.packed.is_none();
            let values = &self.values[spec.range.clone()];
            let packed = own.then(|| {
                let mut packed = Packed::zeros(op, &spec.name, storage, spec.reading.sizes(sizes))?;
                packed.fill(|output, row| {
                    let value = |v: &T| v.as_f64() as f32;
                    match spec.reading {
                        Reading::Table => {
                            row.iter_mut().zip(&values[output * columns..]).for_each(|(r, v)| *r = value(v))
                        }
                        _ => row
                            .iter_mut()
                            .zip(values[output..].iter().step_by(columns))
                            .for_each(|(r, v)| *r = value(v)),
                    }
                    Ok(())
                })?;
                Ok(packed)
            });
            all.push(packed.transpose()?);
        }
        for (spec, packed) in self.specs.iter_mut().zip(all) {
            if let Some(packed) = packed {
                (spec.trainable, spec.frozen, spec.packed) = (false, true, Some(Arc::new(packed)));
            }
        }
        self.compact();
        Ok(())
    }

    /// Takes the values of other parameters, by the numbers there for those here, however they are stored; what is stored in panels is shared.
    pub(crate) fn adopt(&mut self, other: &Params<T>, from: &[Option<ParamId>]) {
        let mut values = Aligned::default();
        for (own, from) in self.specs.iter_mut().zip(from) {
            let (start, given) = (values.len(), from.and_then(|id| Some((id, other.spec(id)?))));
            let (packed, numbers) = match given {
                Some((id, spec)) => (spec.packed.clone(), other.get(id)),
                None => (own.packed.clone(), &self.values[own.range.clone()]),
            };
            values.resize(start + numbers.len(), T::zero());
            values[start..].copy_from_slice(numbers);
            (own.packed, own.range) = (packed, start..values.len());
            if own.packed.is_some() {
                (own.trainable, own.frozen) = (false, true);
            }
        }
        self.values = values;
    }

    /// Leaves the values of what is stored in panels out of the buffer.
    fn compact(&mut self) {
        let mut values = Aligned::default();
        for spec in &mut self.specs {
            let start = values.len();
            if spec.packed.is_none() {
                values.resize(start + spec.range.len(), T::zero());
                values[start..].copy_from_slice(&self.values[spec.range.clone()]);
            }
            spec.range = start..values.len();
        }
        self.values = values;
    }

    /// A matrix that is stored in panels and has not been shared yet, to be filled.
    #[cfg(feature = "files")]
    pub(crate) fn packed_mut(&mut self, id: ParamId) -> Option<&mut Packed> {
        self.specs.get_mut(id.0 as usize)?.packed.as_mut().and_then(Arc::get_mut)
    }

    /// The names of matrices that are stored in panels.
    pub(crate) fn packed_names(&self) -> BTreeSet<String> {
        self.specs.iter().filter(|spec| spec.packed.is_some()).map(|spec| spec.name.clone()).collect()
    }

    /// The number of values, however they are stored.
    pub(crate) fn values_len(&self) -> usize {
        self.specs.iter().map(|spec| spec.shape.len()).sum()
    }

    /// The first matrix that is stored in panels, if any is.
    pub(crate) fn first_packed(&self) -> Option<(&ParamSpec, &Packed)> {
        self.specs.iter().find_map(|spec| Some((spec, spec.packed.as_deref()?)))
    }

    /// The values of a parameter, however they are stored.
    pub fn to_vec(&self, id: ParamId) -> Vec<T> {
        let Some((spec, packed)) = self.spec(id).and_then(|spec| Some((spec, spec.packed.as_ref()?))) else {
            return self.get(id).to_vec();
        };
        let ([inputs, outputs], columns) = (packed.sizes(), spec.shape.last());
        let (mut values, mut row) = (vec![T::zero(); spec.shape.len()], vec![0f32; inputs]);
        for output in 0..outputs {
            packed.row(output, &mut row);
            let row = row.iter().map(|v| T::of(f64::from(*v)));
            match spec.reading {
                Reading::Table => values[output * columns..].iter_mut().zip(row).for_each(|(v, r)| *v = r),
                _ => values[output..].iter_mut().step_by(columns).zip(row).for_each(|(v, r)| *v = r),
            }
        }
        values
    }

    /// Forgets the parameters from number `held` on, and adapters from number `adapters` on.
    pub(crate) fn truncate(&mut self, held: usize, adapters: usize) {
        let end = self.specs.get(held).map_or(self.values.len(), |spec| spec.range.start);
        self.specs.truncate(held);
        self.values.resize(end, T::zero());
        self.specs.iter_mut().for_each(|spec| spec.adapters.retain(|adapter| adapter.number < adapters));
    }

    /// An error where matrices are stored in panels.
    pub(crate) fn check_numbers(&self, op: &'static str) -> Result<()> {
        let Some((spec, packed)) = self.first_packed() else { return Ok(()) };
        let problem = format!("{} is stored as {} and not as {}", spec.name, packed.storage(), T::NAME);
        Err(Error::Config { op, problem, hint: "open the model without a storage for that".into() })
    }

    /// Names the values that were added last.
    fn name_last(&mut self, name: &str, shape: Shape, trainable: bool, decays: bool) -> Result<ParamId> {
        let range = self.values.len() - shape.len()..self.values.len();
        if self.find(name).is_some() {
            self.values.resize(range.start, T::zero());
            return Err(Error::argument("Params::push", "name", "unique", name, "give the layer another name"));
        }
        self.specs.push(ParamSpec {
            name: name.to_owned(),
            shape,
            range,
            trainable,
            state: !trainable,
            frozen: false,
            decays,
            learning_rate_factor: 1.0,
            regularizer: None,
            constraint: None,
            sparse_gradient: false,
            reading: Reading::Numbers,
            packed: None,
            adapters: Vec::new(),
        });
        Ok(ParamId((self.specs.len() - 1) as u32))
    }

    /// The id of the parameter with this path.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        self.specs.iter().position(|s| s.name == name).map(|i| ParamId(i as u32))
    }

    /// What is known of a parameter; `None` for the id of another model.
    pub fn spec(&self, id: ParamId) -> Option<&ParamSpec> {
        self.specs.get(id.0 as usize)
    }

    /// All parameters in the order of their layers.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// All that is known of the parameters, to be changed.
    pub(crate) fn specs_mut(&mut self) -> &mut [ParamSpec] {
        &mut self.specs
    }

    /// The penalties of all weights that are trained.
    pub(crate) fn penalty(&self) -> f64 {
        let each = self.specs.iter().filter(|s| s.trainable);
        each.filter_map(|s| Some(s.regularizer?.penalty(s.shape, &self.values[s.range.clone()]))).sum()
    }

    /// Brings all weights that are trained into their bounds.
    pub(crate) fn constrain(&mut self) {
        for spec in self.specs.iter().filter(|s| s.trainable) {
            if let Some(constraint) = &spec.constraint {
                constraint.apply(spec.shape, &mut self.values[spec.range.clone()]);
            }
        }
    }

    /// The values of one parameter, row-major; none for the id of another model, or where the parameter is [stored](crate::Model::store_weights) in
    /// panels ([`to_vec`](Self::to_vec) has them).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([2]).add(Dense::new(3)).build(0)?;
    /// let kernel = model.params().find("dense/kernel").unwrap();
    /// assert_eq!(model.params().get(kernel).len(), 6);
    /// assert!(model.params().get(ParamId::default()).is_empty());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, id: ParamId) -> &[T] {
        self.specs.get(id.0 as usize).map_or(&[], |spec| &self.values[spec.range.clone()])
    }

    /// The values of one parameter, to be changed in place; none for the id of another model.
    pub fn get_mut(&mut self, id: ParamId) -> &mut [T] {
        match self.specs.get(id.0 as usize) {
            Some(spec) => &mut self.values[spec.range.clone()],
            None => &mut [],
        }
    }

    /// Overwrites one parameter.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values differs, [`Error::Argument`] for the id of another model.
    pub fn set(&mut self, id: ParamId, values: &[T]) -> Result<()> {
        let Some(ParamSpec { name, shape, range, .. }) = self.specs.get(id.0 as usize) else {
            let hint = "find it by its name: params().find(\"dense/kernel\")";
            return Err(Error::argument("Params::set", "id", "of a parameter of this model", "another", hint));
        };
        if values.len() != range.len() {
            let expected = format!("{} values for {name} {shape}", range.len());
            return Err(Error::shape("Params::set", expected, values.len(), "pass the shape's number of values"));
        }
        self.values[range.clone()].copy_from_slice(values);
        Ok(())
    }

    /// All values, parameter after parameter.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of values that training changes.
    pub fn trainable_len(&self) -> usize {
        self.specs.iter().filter(|s| s.trainable).map(|s| s.range.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flat_buffer() {
        let mut p = Params::<f64>::new();
        let a = p.push("a", Shape::from([2, 2]), &[1.0; 4], true, true).unwrap();
        let b = p.push("b", Shape::from([3]), &[2.0; 3], false, false).unwrap();
        assert_eq!(p.spec(b).unwrap().range, 4..7);
        assert_eq!(p.find("a"), Some(a));
        assert_eq!((p.len(), p.trainable_len()), (7, 4));
        p.set(b, &[5.0, 6.0, 7.0]).unwrap();
        assert_eq!(p.values()[4..], [5.0, 6.0, 7.0]);
        assert!(p.set(a, &[0.0]).is_err());
        assert!(p.push("a", Shape::from([1]), &[0.0], true, true).is_err());
        assert!(p.spec(b).unwrap().state && !p.spec(b).unwrap().frozen);
        p.specs_mut()[0].trainable = false;
        assert!(!p.spec(a).unwrap().trainable);
        // The id of another model.
        let foreign = ParamId(7);
        assert!(p.spec(foreign).is_none() && p.get(foreign).is_empty() && p.get_mut(foreign).is_empty());
        assert!(p.set(foreign, &[]).unwrap_err().to_string().contains("of a parameter of this model"));
    }
}
