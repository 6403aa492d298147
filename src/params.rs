//! All weights of a model in one flat buffer.

use std::ops::Range;

use crate::aligned::Aligned;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
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

    /// The values of one parameter, row-major; none for the id of another model.
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
