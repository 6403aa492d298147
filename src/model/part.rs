//! Parts of a model as models of their own, and models with other parts: encoders, features, new heads.

use std::collections::BTreeMap;

use super::built::Model;
use crate::error::{Error, Result};
use crate::graph::{Graph, NewInput, Outline, Value};
use crate::layer::Builder;
use crate::params::Adapter;
use crate::tensor::Float;

/// One name or several: made by `into` from `"encoder"`, `["left", "right"]`, a slice or a vector.
#[derive(Clone, Debug)]
pub struct Names<'a>(Vec<&'a str>);

impl<'a> From<&'a str> for Names<'a> {
    fn from(name: &'a str) -> Self {
        Names(vec![name])
    }
}

impl<'a> From<&'a String> for Names<'a> {
    fn from(name: &'a String) -> Self {
        Names(vec![name])
    }
}

impl<'a, const N: usize> From<[&'a str; N]> for Names<'a> {
    fn from(names: [&'a str; N]) -> Self {
        Names(names.to_vec())
    }
}

impl<'a, const N: usize> From<&[&'a str; N]> for Names<'a> {
    fn from(names: &[&'a str; N]) -> Self {
        Names(names.to_vec())
    }
}

impl<'a> From<&[&'a str]> for Names<'a> {
    fn from(names: &[&'a str]) -> Self {
        Names(names.to_vec())
    }
}

impl<'a> From<Vec<&'a str>> for Names<'a> {
    fn from(names: Vec<&'a str>) -> Self {
        Names(names)
    }
}

impl<'a> Names<'a> {
    /// The names, each once and one at least.
    pub(super) fn list(&self, op: &'static str, what: &'static str) -> Result<&[&'a str]> {
        let Names(names) = self;
        if names.is_empty() {
            return Err(Error::argument(op, what, "one name at least", "none", "name an input or a layer"));
        }
        if let Some((_, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(Error::argument(op, what, "each name once", format!("{name} twice"), "leave one out"));
        }
        Ok(names)
    }
}

impl<T: Float> Model<T> {
    /// The part of this model that leads from some values to others, as a model of its own: its weights are copies, names and what is
    /// frozen come along. It is not compiled.
    ///
    /// A name is that of an input, or of a layer or container by its path (`"encoder"`, `"block/dense"`) and stands for the value that it
    /// gives; of an operation with several values for the last. So `part("input", "code")` is an encoder up to the layer `code`, and
    /// `part("code", "image")` the decoder behind it, whose input is called `code`. Where an input and a layer have one name, `from` takes
    /// the input and `to` the layer. A mask that comes from before `from` is not there in the part: [`Graph::masked`](crate::graph::Graph::masked)
    /// gives a model a mask of its own. The second place at which a shared part is applied is called `tower#2`, and so on.
    ///
    /// Keras: `keras.Model(encoder.input, encoder.get_layer("code").output)`; PyTorch: `create_feature_extractor`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([8])
    ///     .add_named("code", Dense::new(2).activation(Activation::Tanh))
    ///     .add_named("image", Dense::new(8))
    ///     .build(1)?;
    /// let (encoder, decoder) = (model.part("input", "code")?, model.part("code", "image")?);
    /// let x = Tensor::zeros([5, 8]);
    /// assert_eq!(decoder.predict(&encoder.predict(&x)?)?, model.predict(&x)?);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that nothing has, or twice; [`Error::Config`] where `to` does not depend on one of `from`, or depends
    /// on an input beside them.
    pub fn part<'a>(&self, from: impl Into<Names<'a>>, to: impl Into<Names<'a>>) -> Result<Model<T>> {
        self.part_of(&from.into(), &to.into())
    }

    #[inline(never)]
    pub(crate) fn part_of(&self, from: &Names<'_>, to: &Names<'_>) -> Result<Model<T>> {
        const OP: &str = "part";
        let (from, to) = (from.list(OP, "from")?, to.list(OP, "to")?);
        let input = |name: &&str| -> Result<NewInput> {
            let place = self.net.input_names().iter().position(|input| input == name);
            let value = place.map_or_else(|| self.value_of(OP, "from", name), |place| Ok(place as u32))?;
            Ok(((*name).to_owned(), self.net.value_shape(value), value))
        };
        let inputs = from.iter().map(input).collect::<Result<Vec<_>>>()?;
        let outputs = to.iter().map(|name| self.value_of(OP, "to", name)).collect::<Result<Vec<_>>>()?;
        let mut graph = self.graph.again(self.net.outline());
        let kept = graph.prune(OP, inputs, &outputs)?;
        graph.name_outputs(to.iter().map(|name| (*name).to_owned()).collect());
        let mut part = Model::assemble(
            graph,
            Builder::for_weights(self.params.values_len()).placing(self.params.packed_names()),
            self.seed,
        )?;
        part.inherit(self, &kept)?;
        Ok(part)
    }

    /// This model with another end: what `head` adds behind the value that a layer gives takes the place of all outputs. The weights that are
    /// still needed are kept, with their names and what is frozen; those of new layers are drawn from `seed`. The model is not compiled.
    ///
    /// `from` is the name of a layer, a container or an input, as in [`part`](Self::part). To keep outputs, or to begin at several values, see
    /// [`edit`](Self::edit).
    ///
    /// Keras: `outputs = Dense(5)(model.get_layer("features").output)`; PyTorch: `model.fc = nn.Linear(64, 5)`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([8])
    ///     .add_named("features", Dense::new(16).activation(Activation::Relu))
    ///     .add_named("classes", Dense::new(10).activation(Activation::Softmax))
    ///     .build(1)?;
    /// let classes = Dense::new(5).activation(Activation::Softmax);
    /// let mut model = model.with_head("features", 2, |g, features| g.add_named("classes", classes, features))?;
    /// model.set_trainable("features", false)?;
    /// assert_eq!(model.output_shape(), Shape::from([5]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that nothing has; [`Error::Config`] where an input is not needed any more; those of
    /// [`Graph::build`].
    pub fn with_head<V: AsRef<[Value]>>(
        &self,
        from: &str,
        seed: u64,
        head: impl FnOnce(&mut Graph, Value) -> V,
    ) -> Result<Model<T>> {
        let mut edit = self.edit();
        let value = edit.value(from)?;
        let outputs = head(&mut edit.graph, value);
        edit.build(outputs, seed)
    }

    /// The model's graph to be added to, with its values by name: for new outputs beside the old, or new layers behind several values.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::layers::merging::Concatenate;
    /// let layers = Sequential::new([8]).add_named("low", Dense::new(6)).add_named("high", Dense::new(4));
    /// let model = layers.add_named("class", Dense::new(3)).build(1)?;
    /// let mut edit = model.edit();
    /// let both = [edit.value("low")?, edit.value("high")?];
    /// let both = edit.graph.op(Concatenate::new(), &both);
    /// let size = edit.graph.add_named("size", Dense::new(1), both);
    /// let class = edit.value("class")?;
    /// let model = edit.build([class, size], 2)?;
    /// assert_eq!(model.output_names(), ["class", "size"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn edit(&self) -> Edit<'_, T> {
        Edit { model: self, graph: self.graph.again(self.net.outline()) }
    }

    /// The places of the outputs among the values of the graph.
    #[cfg_attr(not(feature = "plot"), allow(dead_code))]
    pub(crate) fn output_values(&self) -> Vec<u32> {
        self.graph.output_places().to_vec()
    }

    /// The value of a layer, a container, an output or an input, by name.
    pub(super) fn value_of(&self, op: &'static str, what: &'static str, name: &str) -> Result<u32> {
        let places = self.graph.output_places();
        let output = || self.net.output_names().iter().position(|output| output == name).map(|i| places[i]);
        let input = || self.net.input_names().iter().position(|input| *input == name).map(|i| i as u32);
        let entry = Outline::labelled(self.net.outline(), name).and_then(Outline::value);
        entry.or_else(output).or_else(input).ok_or_else(|| {
            let entries = Outline::all(self.net.outline()).into_iter().map(|(path, _)| path);
            let known: Vec<_> = self.net.input_names().into_iter().map(str::to_owned).chain(entries).collect();
            let expected = format!("the name of an input or the path of a layer ({})", known.join(", "));
            Error::argument(op, what, expected, name, "see model.summary()")
        })
    }

    /// Takes over the weights of another model, and what holds for them; `kept` are the numbers there of this one's first nodes.
    ///
    /// # Errors
    /// [`Error::Config`] where an adapter that is used would be lost.
    fn inherit(&mut self, other: &Model<T>, kept: &[usize]) -> Result<()> {
        let before = Outline::nodes(other.net.outline());
        let nodes = Outline::nodes(self.net.outline());
        let origin: BTreeMap<&str, &str> = nodes
            .iter()
            .zip(kept)
            .filter_map(|(node, &number)| Some((node.path.as_str(), before.get(number)?.path.as_str())))
            .collect();
        let source = |name: &str| {
            let renamed = |(at, _)| origin.get(&name[..at]).map(|path| format!("{path}{}", &name[at..]));
            other.params.find(&name.rmatch_indices('/').find_map(renamed)?)
        };
        let pairs: Vec<_> = self.params.specs().iter().map(|spec| source(&spec.name)).collect();
        self.params.adopt(&other.params, &pairs);
        for (i, from) in pairs.into_iter().enumerate() {
            let Some(spec) = from.and_then(|id| other.params.spec(id)) else { continue };
            let own = &mut self.params.specs_mut()[i];
            (own.trainable, own.frozen) = (spec.trainable, spec.frozen);
            own.learning_rate_factor = spec.learning_rate_factor;
            let lost = own.adapters.is_empty() && spec.adapters.iter().any(Adapter::applies);
            if lost && !self.graph.adapters().is_empty() {
                let problem = format!("{} has an adapter, and stands in another place in the part", spec.name);
                return Err(Error::Config { op: "part", problem, hint: "merge it first, with merge_lora".into() });
            }
        }
        Ok(())
    }
}

/// A built model's graph to which more is added; made by [`Model::edit`].
#[derive(Debug)]
pub struct Edit<'a, T: Float = f32> {
    model: &'a Model<T>,
    /// The model's nodes, and what is added to them. New layers have names that the old ones do not.
    pub graph: Graph,
}

impl<T: Float> Edit<'_, T> {
    /// The value that a layer, a container or an input of the model gives, by the names that [`Model::part`] takes.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that nothing has.
    pub fn value(&self, name: &str) -> Result<Value> {
        Ok(self.graph.value_at(self.model.value_of("edit", "name", name)?))
    }

    /// The model of these outputs: what they need of the old one with its weights, what is new with weights drawn from `seed`. It is not
    /// compiled.
    ///
    /// # Errors
    /// Those of [`Graph::build`].
    pub fn build(self, outputs: impl AsRef<[Value]>, seed: u64) -> Result<Model<T>> {
        self.build_list(outputs.as_ref(), seed)
    }

    #[inline(never)]
    pub(crate) fn build_list(mut self, outputs: &[Value], seed: u64) -> Result<Model<T>> {
        self.graph.finish(outputs)?;
        let (inputs, outputs) = (self.graph.own_inputs(), self.graph.output_places().to_vec());
        let kept = self.graph.prune("build", inputs, &outputs)?;
        let mut model =
            Model::assemble(self.graph, Builder::new(seed).placing(self.model.params.packed_names()), seed)?;
        // Nodes behind those of the model are new.
        model.inherit(self.model, &kept)?;
        Ok(model)
    }
}
