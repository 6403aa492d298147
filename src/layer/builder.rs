//! Building: names, shapes and initial values of parameters.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::check::check_not_negative;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::packed::{Packed, WeightStorage};
use crate::kernels::random::{Key, Purpose};
use crate::params::{ParamId, ParamSpec, Params, Reading};
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape};

/// Collects the parameters of a model while it is built.
#[derive(Debug)]
pub struct Builder<T: Float = f32> {
    params: Params<T>,
    seed: u64,
    scopes: Vec<Scope>,
    /// The most values in all, where weights come from a file and are not drawn.
    room: Option<usize>,
    /// How matrices are stored that need not stand as numbers, and who will read the one that is being registered.
    storage: Storing,
    /// Values of those that are stored otherwise.
    stored: usize,
    reading: Reading,
    /// The parameters that were registered or found since they were last [taken](Self::take_registered).
    registered: Vec<ParamId>,
    /// How often something that is shared was built another time.
    again: u64,
}

/// How matrices are stored that need not stand as numbers.
#[derive(Debug)]
enum Storing {
    Numbers,
    #[cfg(feature = "files")]
    All(WeightStorage, BTreeSet<String>),
    Places(BTreeSet<String>),
}

#[derive(Debug, Default)]
struct Scope {
    path: String,
    used: HashSet<String>,
    /// The last number behind each name that came again.
    numbers: HashMap<String, usize>,
    /// Whether its parameters are there already.
    again: bool,
    /// How often what is shared around it was built before.
    times: u64,
}

impl<T: Float> Builder<T> {
    /// A builder whose initial weights follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Builder {
            params: Params::new(),
            seed,
            scopes: vec![Scope::default()],
            room: None,
            storage: Storing::Numbers,
            stored: 0,
            reading: Reading::Numbers,
            registered: Vec::new(),
            again: 0,
        }
    }

    /// A builder whose weights are zeros, to be overwritten, and at most `room` of them.
    pub(crate) fn for_weights(room: usize) -> Self {
        Builder { room: Some(room), ..Builder::new(0) }
    }

    /// The same, where matrices that products and look-ups alone read are stored so, but for some.
    #[cfg(feature = "files")]
    pub(crate) fn storing(self, storage: Option<WeightStorage>, but: BTreeSet<String>) -> Self {
        Builder { storage: storage.map_or(Storing::Numbers, |storage| Storing::All(storage, but)), ..self }
    }

    /// The same, where these matrices have a place alone, for panels that others have.
    pub(crate) fn placing(self, names: BTreeSet<String>) -> Self {
        Builder { storage: Storing::Places(names), ..self }
    }

    /// How a matrix is stored, if not as numbers.
    fn storage_of(&self, path: &str) -> Option<WeightStorage> {
        match &self.storage {
            _ if self.reading == Reading::Numbers => None,
            Storing::Numbers => None,
            #[cfg(feature = "files")]
            Storing::All(storage, but) => (!but.contains(path)).then_some(*storage),
            Storing::Places(names) => names.contains(path).then_some(WeightStorage::F32),
        }
    }

    /// The most values that may still be registered, where they come from a file.
    pub(crate) fn room(&self) -> Option<usize> {
        Some(self.room?.saturating_sub(self.params.len()).saturating_sub(self.stored))
    }

    /// Runs `build` inside the scope of one layer; parameters are named `path/kernel` and so on. The layer is called
    /// `name`, or after its class in snake case with `_1`, `_2` … for further ones. Returns that name and what `build`
    /// returned.
    pub fn scoped<R>(&mut self, class: &str, name: Option<&str>, build: impl FnOnce(&mut Self) -> R) -> (String, R) {
        let base = name.map_or_else(|| snake_case(class), str::to_owned);
        let last = self.scopes.len() - 1;
        let scope = &mut self.scopes[last];
        let mut name = base.clone();
        let number = scope.numbers.entry(base.clone()).or_insert(0);
        while !scope.used.insert(name.clone()) {
            *number += 1;
            name = format!("{base}_{number}");
        }
        let path = if scope.path.is_empty() { name.clone() } else { format!("{}/{name}", scope.path) };
        let Scope { again, times, .. } = self.scopes[last];
        self.scopes.push(Scope { path, again, times, ..Scope::default() });
        let result = build(self);
        self.scopes.pop();
        (name, result)
    }

    /// Runs `build` inside a scope that was built before, by its path: what asks there for a parameter by the same name gets the one
    /// that is there, which is how layers are shared.
    pub(crate) fn again<R>(&mut self, path: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        self.again += 1;
        self.scopes.push(Scope { path: path.to_owned(), again: true, times: self.again, ..Scope::default() });
        let result = build(self);
        self.scopes.pop();
        result
    }

    /// The parameters that were registered, or found in a scope that is built again, since the last call.
    pub(crate) fn take_registered(&mut self) -> Vec<ParamId> {
        std::mem::take(&mut self.registered)
    }

    /// The path of the layer that is being built, such as `"residual/dense_1"`.
    pub fn path(&self) -> &str {
        self.scopes.last().map_or("", |s| s.path.as_str())
    }

    /// Whether the weights come from a file.
    #[cfg(feature = "files")]
    pub(crate) fn reads_file(&self) -> bool {
        self.room.is_some()
    }

    /// How many layers are inside one another where the builder is.
    pub(crate) fn depth(&self) -> usize {
        self.scopes.len() - 1
    }

    /// Registers a trainable parameter to which weight decay applies (a kernel).
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape is empty or too large; what the initialiser returns.
    pub fn weight(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, true, true)
    }

    /// [`weight`](Self::weight) `[in, out]` that is read by products of rows with it alone, through the door in `layers::linear`: adapters may stand
    /// beside it, and it may be stored otherwise than as numbers of the model's type.
    pub(crate) fn product(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.stored(name, shape.into(), init, Reading::Product)
    }

    /// [`weight`](Self::weight) `[rows, features]` of which rows are looked up, and by whose transpose rows are multiplied through the same door.
    pub(crate) fn table(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.stored(name, shape.into(), init, Reading::Table)
    }

    fn stored(&mut self, name: &str, shape: Shape, init: &Init, reading: Reading) -> Result<ParamId> {
        self.reading = reading;
        let id = self.weight(name, shape, init);
        self.reading = Reading::Numbers;
        let id = id?;
        self.spec_mut("build", id)?.reading = reading;
        Ok(id)
    }

    /// Registers a trainable parameter that weight decay leaves alone, a bias.
    ///
    /// # Errors
    /// As [`weight`](Self::weight).
    pub fn bias(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, true, false)
    }

    /// Registers values that training does not change (statistics).
    ///
    /// # Errors
    /// As [`weight`](Self::weight).
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, false, false)
    }

    /// Has weight decay leave a parameter alone: a scale, a slope.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut b = Builder::<f32>::new(0);
    /// let scale = b.weight("scale", [3], &Init::Ones)?;
    /// b.no_decay(scale)?;
    /// assert!(!b.params().specs()[0].decays);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is not of this model.
    pub fn no_decay(&mut self, id: ParamId) -> Result<()> {
        self.spec_mut("no_decay", id)?.decays = false;
        Ok(())
    }

    /// Adds a penalty on a parameter to the loss, in the place of one registered before; none changes nothing.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut b = Builder::<f32>::new(0);
    /// let kernel = b.weight("kernel", [3, 2], &Init::GlorotUniform)?;
    /// b.regularize(kernel, Regularizer::L2(1e-4))?;
    /// b.constrain(kernel, Constraint::max_norm(3.0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Regularizer::check`] returns; [`Error::Argument`] for an id that is not of this model.
    pub fn regularize(&mut self, id: ParamId, regularizer: impl Into<Option<Regularizer>>) -> Result<()> {
        if let Some(regularizer) = regularizer.into() {
            let spec = self.spec_mut("regularize", id)?;
            regularizer.check(spec.shape)?;
            spec.regularizer = Some(regularizer);
        }
        Ok(())
    }

    /// Brings a parameter into bounds after each update, in the place of bounds registered before; none changes nothing.
    ///
    /// # Errors
    /// What [`Constraint::check`] returns; [`Error::Argument`] for an id that is not of this model.
    pub fn constrain(&mut self, id: ParamId, constraint: impl Into<Option<Constraint>>) -> Result<()> {
        if let Some(constraint) = constraint.into() {
            let spec = self.spec_mut("constrain", id)?;
            constraint.check(spec.shape)?;
            spec.constraint = Some(constraint);
        }
        Ok(())
    }

    /// Says that batches give a parameter the gradients of some rows, and most have none: [`Pass::gradient_of_rows`](crate::Pass) is
    /// where they go.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is not of this model.
    pub(crate) fn sparse_gradient(&mut self, id: ParamId) -> Result<()> {
        self.spec_mut("sparse_gradient", id)?.sparse_gradient = true;
        Ok(())
    }

    /// A parameter that another layer has registered before, by its path from the root of the model: both use the same weights, and
    /// their gradients add up. What is said of it (penalties, whether it is trained) is said where it was registered.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut b = Builder::<f32>::new(0);
    /// let kernel = b.weight("kernel", [3, 2], &Init::GlorotUniform)?;
    /// assert_eq!(b.reuse("/kernel")?, kernel);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if no weight has this path yet.
    pub fn reuse(&mut self, path: &str) -> Result<ParamId> {
        let id = self.params.find(path).ok_or_else(|| {
            let all: Vec<_> = self.params.specs().iter().map(|spec| spec.name.as_str()).take(8).collect();
            let expected = match all.is_empty() {
                true => "one that was added before, and there is none".to_owned(),
                false => {
                    format!("one that was added before ({}{})", all.join(", "), if all.len() < 8 { "" } else { " …" })
                }
            };
            let hint = "name it by its path in the whole model, and add the layer that has it before";
            Error::argument("build", "weight", expected, format!("{path:?}"), hint)
        })?;
        let spec = self.spec_mut("reuse", id)?;
        if spec.packed.is_some() {
            let problem = format!("{path} is to be stored in few bytes, and another layer reads it as numbers");
            return Err(Error::Config { op: "build", problem, hint: "build the model without a storage".into() });
        }
        // Who shares it may write all of its gradient, and reads it as numbers.
        (spec.sparse_gradient, spec.reading) = (false, Reading::Numbers);
        self.registered.push(id);
        Ok(id)
    }

    /// [`reuse`](Self::reuse) for products of rows with the transpose of a table, which may be stored otherwise.
    pub(crate) fn reuse_table(&mut self, path: &str) -> Result<ParamId> {
        match self.params.find(path).and_then(|id| Some((id, self.params.spec(id)?.reading))) {
            Some((id, Reading::Table)) => {
                self.spec_mut("reuse", id)?.sparse_gradient = false;
                self.registered.push(id);
                Ok(id)
            }
            _ => self.reuse(path),
        }
    }

    /// Overwrites a row of a parameter with zeros.
    pub(crate) fn clear_row(&mut self, id: ParamId, row: usize) {
        let width = self.params.spec(id).map_or(0, |spec| spec.shape.last());
        if let Some(values) = self.params.get_mut(id).get_mut(row * width..(row + 1) * width) {
            values.fill(T::zero());
        }
    }

    /// What a layer, or a container for those inside, says of its parameters, which are those from position `first` on.
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that is negative or not finite.
    pub(crate) fn settle(&mut self, first: usize, trainable: bool, learning_rate_factor: f64) -> Result<()> {
        check_not_negative("build", "learning_rate_factor", learning_rate_factor)?;
        for spec in self.specs_mut().iter_mut().skip(first) {
            spec.trainable &= trainable;
            spec.frozen |= !trainable;
            // Factors of layers inside one another multiply.
            spec.learning_rate_factor *= learning_rate_factor;
        }
        Ok(())
    }

    fn spec_mut(&mut self, op: &'static str, id: ParamId) -> Result<&mut ParamSpec> {
        self.params.specs_mut().get_mut(id.0 as usize).ok_or_else(|| {
            Error::argument(op, "id", "of a parameter of this model", "another", "register the parameter first")
        })
    }

    /// All that is known of the parameters registered so far, to be changed.
    pub(crate) fn specs_mut(&mut self) -> &mut [ParamSpec] {
        self.params.specs_mut()
    }

    fn param(&mut self, name: &str, shape: Shape, init: &Init, trainable: bool, decays: bool) -> Result<ParamId> {
        let id = if self.scopes.last().is_some_and(|scope| scope.again) {
            self.found(name, shape)?
        } else {
            self.new_param(name, shape, init, trainable, decays)?
        };
        self.registered.push(id);
        Ok(id)
    }

    /// A parameter of a scope that is built again.
    fn found(&self, name: &str, shape: Shape) -> Result<ParamId> {
        let path = format!("{}/{name}", self.path());
        let id = self.params.find(&path).ok_or_else(|| {
            let hint = "apply a shared layer to inputs for which it needs the same weights";
            Error::argument("build", "weight", "one that the shared layer has", &path, hint)
        })?;
        match self.params.spec(id) {
            Some(spec) if spec.shape != shape => {
                let expected = format!("{path} of shape {}, as where the layer was applied first", spec.shape);
                Err(Error::shape("build", expected, shape, "apply a shared layer to inputs with as many features"))
            }
            _ => Ok(id),
        }
    }

    fn new_param(&mut self, name: &str, shape: Shape, init: &Init, trainable: bool, decays: bool) -> Result<ParamId> {
        if shape.is_free() {
            let expected = format!("a shape for {name} without free sizes, on which no weight can depend");
            return Err(Error::shape(
                "build",
                expected,
                shape,
                "fix the size, or bring the free axes to one size before",
            ));
        }
        let len = shape.checked_len("Builder")?;
        if len == 0 {
            let hint = "give every size at least 1";
            return Err(Error::shape("build", format!("a non-empty shape for {name}"), shape, hint));
        }
        if self.params.len().checked_add(len).is_none_or(|n| n > isize::MAX as usize / 8) || len > MAX_VALUES {
            return Err(Error::too_large("build", shape));
        }
        init.check()?;
        let path = format!("{}/{name}", self.path());
        if self.room().is_some_and(|left| len > left) {
            let room = self.room.unwrap_or_default();
            let expected = format!("a shape for {name} within the {room} weights of the file");
            let hint = "the file's architecture and weights do not belong together";
            return Err(Error::shape("load", expected, shape, hint));
        }
        if let Some(storage) = self.storage_of(&path) {
            self.stored += len;
            let sizes = self.reading.sizes([shape.rows(), shape.last()]);
            let packed = Packed::zeros("build", &path, storage, sizes)?;
            return self.params.push_packed(&path, shape, decays, packed);
        }
        if self.room.is_some() {
            return self.params.push_with(&path, shape, trainable, decays, |_| Ok(()));
        }
        let mut rng = Key::new(self.seed, Purpose::Init).with(hash(&path)).rng();
        self.params.push_with(&path, shape, trainable, decays, |values| {
            init.draw(shape, &mut rng, values)?;
            match values.iter().find(|v| !v.is_finite()) {
                None => Ok(()),
                Some(v) => {
                    let (expected, hint) = (format!("finite initial values for {name}"), "correct the initialiser");
                    Err(Error::argument("build", "initializer", expected, v, hint))
                }
            }
        })
    }

    /// A number that identifies the layer being built: the stream of its random draws, see [`Pass::key`](crate::Pass::key). A layer that is
    /// shared has another wherever it is applied.
    pub fn stream(&self) -> u64 {
        let times = self.scopes.last().map_or(0, |scope| scope.times);
        hash(self.path()) ^ times.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// The parameters registered so far.
    pub fn params(&self) -> &Params<T> {
        &self.params
    }

    /// The parameters, when all layers are built.
    pub fn into_params(self) -> Params<T> {
        self.params
    }
}

/// The most values of one parameter: 2³⁶, past what any machine that runs this holds, so that a slip of a digit is an error
/// and not an abort of the allocator.
const MAX_VALUES: usize = 1 << 36;

/// FNV-1a, 64 bits.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn snake_case(class: &str) -> String {
    let mut out = String::with_capacity(class.len() + 4);
    let mut previous_lower = false;
    for c in class.chars() {
        if c.is_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_keras() {
        assert_eq!(snake_case("LayerNorm"), "layer_norm");
        assert_eq!(snake_case("Conv2d"), "conv2d");
        let mut b = Builder::<f32>::new(0);
        let add = |b: &mut Builder<f32>| b.weight("kernel", [2, 3], &Init::Zeros).map(|_| ());
        b.scoped("Dense", None, add).1.unwrap();
        b.scoped("Dense", None, add).1.unwrap();
        b.scoped("Dense", Some("head"), add).1.unwrap();
        b.scoped("Dense", Some("dense_2"), add).1.unwrap();
        b.scoped("Dense", None, add).1.unwrap();
        let names: Vec<_> = b.params().specs().iter().map(|s| s.name.as_str()).collect();
        let expected = ["dense/kernel", "dense_1/kernel", "head/kernel", "dense_2/kernel", "dense_3/kernel"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_shared_draws_anew() {
        let mut b = Builder::<f32>::new(0);
        let stream = |b: &mut Builder<f32>| b.scoped("Dropout", None, |b| b.stream()).1;
        let first = b.scoped("Block", Some("tower"), stream).1;
        let streams = [first, b.again("tower", stream), b.again("tower", stream)];
        assert!(streams[0] != streams[1] && streams[1] != streams[2] && streams[0] != streams[2], "{streams:?}");
    }

    #[test]
    fn absurd_sizes_are_errors() {
        let mut b = Builder::<f32>::new(0);
        assert!(b.weight("kernel", [usize::MAX, 2], &Init::Zeros).is_err());
        assert!(b.weight("kernel", [1 << 40, 1], &Init::Zeros).is_err());
        assert!(b.weight("kernel", [0, 2], &Init::Zeros).is_err());
    }
}
