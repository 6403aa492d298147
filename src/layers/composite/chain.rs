//! Layers one after the other: what `Sequential`, `Block` and `Residual` have in common.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::checks::{check_output, check_place};
use crate::layer::{Builder, Layer, LayerPart, Pass, Reach, Slot};
use crate::layers::config::NamedConfig;
use crate::layers::sum;
use crate::tensor::{Float, Shape, Tensor};

/// A list of layers, each fed with the output of the one before.
///
/// In its slot: `children` are the layers' slots, `tensors` the outputs of all layers but the last, and after them two
/// gradients that take turns; in inference two tensors that the outputs take turns in.
#[derive(Debug)]
pub(crate) struct Chain<T: Float> {
    entries: Vec<Entry<T>>,
    /// The shape of one input sample; set by build.
    input: Shape,
    /// A setting of the layer added last that came before the first one; an error of `build`.
    misplaced: Option<&'static str>,
    /// The chain's ending, once that is built.
    ending: Option<Option<Ending>>,
}

/// The last activation of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// The position of its layer.
    layer: usize,
    pub activation: Activation,
    /// The passes in which it can be left to the loss.
    pub reach: Reach,
}

/// A layer of a chain and what `build` found out about it.
#[derive(Debug)]
pub(crate) struct Entry<T: Float> {
    pub layer: Box<dyn Layer<T>>,
    /// As given by the user.
    given: Option<String>,
    /// Whether its weights are trained, if the layer itself and those inside it have nothing against it.
    pub trainable: bool,
    /// What the learning rate of its weights is multiplied by.
    pub learning_rate_factor: f64,
    /// As used for parameters and messages; set by build.
    pub name: String,
    pub output: Shape,
    /// Positions of its parameters in the model's list.
    pub params: std::ops::Range<usize>,
}

impl<T: Float> Entry<T> {
    /// Builds the layer within its scope; the shape of its output.
    fn build(&mut self, index: usize, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        let first = b.params().specs().len();
        let (class, given) = (self.layer.class(), self.given.as_deref());
        let factor = self.learning_rate_factor;
        let (name, built) = b.scoped(class, given, |b| {
            check_place(given.unwrap_or(class), b.depth())?;
            let output = self.layer.build(input, b).and_then(check_output)?;
            b.settle(first, self.trainable, factor).map(|()| output)
        });
        self.output = built.map_err(|source| Error::Layer { index, name: name.clone(), source: Box::new(source) })?;
        self.name = name;
        self.params = first..b.params().specs().len();
        Ok(self.output)
    }
}

impl<T: Float> Entry<T> {
    /// Values that a pass over so many samples keeps beside the layer's input and output.
    fn space(&self, samples: usize, backward: bool) -> usize {
        space_of(&*self.layer, self.output, !self.params.is_empty(), samples, backward)
    }

    pub fn config(&self) -> NamedConfig {
        NamedConfig {
            name: self.given.clone(),
            trainable: self.trainable,
            learning_rate_factor: self.learning_rate_factor,
            layer: self.layer.config(),
        }
    }
}

/// What a layer keeps beside its input and output. A layer with weights keeps what its last activation is applied to where
/// backward needs that; one without has it as its input, and containers count for themselves.
pub(crate) fn space_of<T: Float>(
    layer: &dyn Layer<T>,
    output: Shape,
    has_params: bool,
    samples: usize,
    backward: bool,
) -> usize {
    let keeps = backward && has_params && layer.parts().is_empty();
    let activation = if keeps { layer.output_activation() } else { None };
    let kept = if activation.is_some_and(Activation::needs_input) { output.len().saturating_mul(samples) } else { 0 };
    layer.space(samples, backward).saturating_add(kept)
}

impl<T: Float> Default for Chain<T> {
    fn default() -> Self {
        Chain { entries: Vec::new(), input: Shape::SCALAR, misplaced: None, ending: None }
    }
}

impl<T: Float> Chain<T> {
    pub fn push(&mut self, name: Option<String>, layer: Box<dyn Layer<T>>) {
        self.ending = None;
        self.entries.push(Entry {
            layer,
            given: name,
            trainable: true,
            learning_rate_factor: 1.0,
            name: String::new(),
            output: Shape::SCALAR,
            params: 0..0,
        });
    }

    /// Whether the weights of the layer added last are trained.
    pub fn trainable(&mut self, trainable: bool) {
        match self.entries.last_mut() {
            Some(last) => last.trainable = trainable,
            None => self.misplaced = Some("trainable"),
        }
    }

    /// What the learning rate of the layer added last is multiplied by.
    pub fn learning_rate_factor(&mut self, factor: f64) {
        match self.entries.last_mut() {
            Some(last) => last.learning_rate_factor = factor,
            None => self.misplaced = Some("learning_rate_factor"),
        }
    }

    /// The entry of the layer of this name, after build.
    pub fn entry_mut(&mut self, name: &str) -> Option<&mut Entry<T>> {
        self.entries.iter_mut().find(|e| e.name == name)
    }

    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    pub fn config(&self) -> Vec<NamedConfig> {
        self.entries.iter().map(Entry::config).collect()
    }

    /// What is known of the layers after build.
    pub fn parts(&self) -> Vec<LayerPart> {
        let part = |e: &Entry<T>| LayerPart {
            name: e.name.clone(),
            class: e.layer.class(),
            output: e.output,
            params: e.params.clone(),
            parts: e.layer.parts(),
        };
        self.entries.iter().map(part).collect()
    }

    pub fn from_config(layers: Vec<NamedConfig>) -> Result<Self> {
        let mut chain = Chain::default();
        for NamedConfig { name, trainable, learning_rate_factor, layer } in layers {
            chain.push(name, layer.into_layer()?);
            chain.trainable(trainable);
            chain.learning_rate_factor(learning_rate_factor);
        }
        Ok(chain)
    }

    fn check_settings(&self) -> Result<()> {
        let Some(setting) = self.misplaced else { return Ok(()) };
        let problem = format!("{setting}(...) stands before the first layer");
        Err(Error::Config { op: "build", problem, hint: "it speaks of the layer added last".into() })
    }

    pub fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.check_settings()?;
        (self.input, self.ending) = (input, None);
        let mut shape = input;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            shape = entry.build(index, shape, b)?;
        }
        self.ending = Some(self.find_ending());
        Ok(shape)
    }

    /// [`build`](Self::build) where every layer is fed with the input: the shapes of their outputs.
    pub fn build_each(&mut self, op: &'static str, input: Shape, b: &mut Builder<T>) -> Result<Vec<Shape>> {
        if self.entries.is_empty() {
            let hint = "add some with .branch(...)";
            return Err(Error::argument(op, "branches", "at least 1", 0, hint));
        }
        self.check_settings()?;
        self.input = input;
        self.entries.iter_mut().enumerate().map(|(index, entry)| entry.build(index, input, b)).collect()
    }

    /// Values that a pass over so many samples holds at a time, the last output left out: all outputs and two gradients where
    /// backward follows, else the widest neighbours.
    pub fn space(&self, samples: usize, backward: bool) -> usize {
        let output = |e: &Entry<T>| e.output.len().saturating_mul(samples);
        let inside = self.entries.iter().map(|e| e.space(samples, backward));
        let inner = self.entries.split_last().map_or(&[][..], |(_, inner)| inner);
        if backward {
            let widest = inner.iter().map(output).max().unwrap_or(0).saturating_mul(2);
            return inside.chain(inner.iter().map(output)).fold(widest, usize::saturating_add);
        }
        let pairs = inner.windows(2).map(|pair| output(&pair[0]).saturating_add(output(&pair[1])));
        let widest = pairs.chain(inner.iter().map(output)).max().unwrap_or(0);
        widest.saturating_add(inside.max().unwrap_or(0))
    }

    /// [`space`](Self::space) where every layer is fed with the input: all outputs, and where backward follows a gradient of an output
    /// and one of the input.
    pub fn space_each(&self, samples: usize, backward: bool) -> usize {
        let output = |e: &Entry<T>| e.output.len().saturating_mul(samples);
        let each = self.entries.iter().map(|e| output(e).saturating_add(e.space(samples, backward)));
        let widest = self.entries.iter().map(output).max().unwrap_or(0);
        let gradients = if backward { widest.saturating_add(self.input.len().saturating_mul(samples)) } else { 0 };
        each.fold(gradients, usize::saturating_add)
    }

    /// The shape of one input sample, after build.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// The shape of one output sample, after build.
    pub fn output(&self) -> Shape {
        self.entries.last().map_or(Shape::SCALAR, |e| e.output)
    }

    /// The most values of a sample between two layers, those inside containers included.
    pub fn widest(&self) -> usize {
        fn of(parts: &[LayerPart]) -> usize {
            parts.iter().map(|part| part.output.len().max(of(&part.parts))).max().unwrap_or(0)
        }
        of(&self.parts())
    }

    /// The activation that the output's values have been through last: that of the last layer which does more than to hand
    /// values on.
    pub fn ending(&self) -> Option<Ending> {
        // Kept from `build` on: a chain asks the last layer twice, which may be a chain too, and so on.
        self.ending.unwrap_or_else(|| self.find_ending())
    }

    fn find_ending(&self) -> Option<Ending> {
        let hands_on = |e: &Entry<T>| e.layer.reach(Activation::Linear) != Reach::Nowhere;
        let layer = self.entries.iter().rposition(|e| !hands_on(e))?;
        let entry = &self.entries[layer];
        let activation = entry.layer.output_activation()?;
        let reach = entry.layer.output_reach().min(self.reach_from(layer + 1, activation));
        Some(Ending { layer, activation, reach })
    }

    /// How far an activation of the input reaches.
    pub fn reach(&self, activation: Activation) -> Reach {
        self.reach_from(0, activation)
    }

    /// How far an activation before the layer at this position reaches.
    fn reach_from(&self, first: usize, activation: Activation) -> Reach {
        let each = self.entries.iter().enumerate().skip(first).map(|(i, entry)| {
            let input = if i == 0 { self.input } else { self.entries[i - 1].output };
            let whole_rows = !activation.is_row_wise() || input.last() == entry.output.last();
            entry.layer.reach(activation).min(if whole_rows { Reach::Training } else { Reach::Values })
        });
        each.min().unwrap_or(Reach::Training)
    }

    /// The position of the layer that leaves out its activation in this pass.
    fn left_out(&self, pass: &Pass<'_, T>) -> Option<usize> {
        if pass.logits { self.ending().map(|ending| ending.layer) } else { None }
    }

    pub fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let Some((last, inner)) = self.entries.split_last() else {
            return y.copy_from(x);
        };
        if !pass.needs_backward() {
            return self.infer(pass, slot, x, y, |_, _| {});
        }
        let batch = x.samples();
        self.reserve(slot);
        let (logits, left_out) = (pass.logits, self.left_out(pass));
        let Slot { tensors, children, .. } = slot;
        for (i, entry) in inner.iter().enumerate() {
            let (before, rest) = tensors.split_at_mut(i);
            let out = &mut rest[0];
            out.resize_batch(&entry.output, batch);
            pass.logits = left_out == Some(i);
            entry.layer.forward(pass, &mut children[i], before.last().unwrap_or(x), out);
        }
        let n = inner.len();
        pass.logits = left_out == Some(n);
        last.layer.forward(pass, &mut children[n], tensors[..n].last().unwrap_or(x), y);
        // For backward.
        pass.logits = logits;
    }

    /// Forward where no backward pass follows: the outputs take turns in two tensors, the layers share their scratch space.
    /// `seen` is shown the position and output of every layer but the last.
    pub fn infer(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &mut Tensor<T>,
        mut seen: impl FnMut(usize, &Tensor<T>),
    ) {
        let Some((last, inner)) = self.entries.split_last() else {
            return y.copy_from(x);
        };
        let (batch, logits, left_out) = (x.samples(), pass.logits, self.left_out(pass));
        let [_, _] = slot.buffers();
        slot.children.resize_with(self.entries.len(), Slot::new);
        let Slot { tensors, children, .. } = slot;
        let [even, odd, ..] = tensors.as_mut_slice() else { unreachable!() };
        let (mut input, mut output) = (odd, even);
        for (i, entry) in inner.iter().enumerate() {
            output.resize_batch(&entry.output, batch);
            let from = if i == 0 { x } else { &*input };
            pass.logits = left_out == Some(i);
            pass.lending(&mut children[i], |pass, slot| entry.layer.forward(pass, slot, from, output));
            seen(i, output);
            std::mem::swap(&mut input, &mut output);
        }
        pass.logits = left_out == Some(inner.len());
        let from = if inner.is_empty() { x } else { &*input };
        pass.lending(&mut children[inner.len()], |pass, slot| last.layer.forward(pass, slot, from, y));
        pass.logits = logits;
    }

    pub fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let n = self.entries.len();
        if n == 0 {
            if let Some(dx) = dx {
                dx.copy_from(dy);
            }
            return;
        }
        // Nobody needs a gradient below the first layer with something to train, unless dx is asked for.
        let lowest = if dx.is_some() { 0 } else { self.lowest_trained(pass) };
        let Slot { tensors, children, .. } = slot;
        let (outputs, gradients) = tensors.split_at_mut(n - 1);
        let [even, odd, ..] = gradients else { return };
        let mut dx = dx;
        let left_out = self.left_out(pass);
        for i in (lowest..n).rev() {
            let entry = &self.entries[i];
            let input = if i == 0 { x } else { &outputs[i - 1] };
            let output = if i + 1 == n { y } else { &outputs[i] };
            // Even layers write their dx to one tensor and odd ones to the other, so that each keeps its size.
            let (above, below) = if i % 2 == 0 { (&mut *odd, &mut *even) } else { (&mut *even, &mut *odd) };
            let incoming = if i + 1 == n { &mut *dy } else { above };
            let outgoing = match i {
                0 => dx.take(),
                i if i == lowest => None,
                _ => {
                    below.resize(input.shape());
                    Some(below)
                }
            };
            pass.logits = left_out == Some(i);
            entry.layer.backward(pass, &mut children[i], input, output, incoming, outgoing);
        }
        pass.logits = false;
    }

    /// Every layer on x: the outputs become the slot's first tensors.
    pub fn forward_each(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>) {
        self.reserve(slot);
        for (i, entry) in self.entries.iter().enumerate() {
            let out = &mut slot.tensors[i];
            out.resize_batch(&entry.output, x.samples());
            pass.lending(&mut slot.children[i], |pass, slot| entry.layer.forward(pass, slot, x, out));
        }
    }

    /// dx = the sum of what every layer gives back; `gradient(i, outputs, dy)` writes the gradient of output i.
    pub fn backward_each(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        mut dx: Option<&mut Tensor<T>>,
        mut gradient: impl FnMut(usize, &[Tensor<T>], &mut Tensor<T>),
    ) {
        let n = self.entries.len();
        // Two more tensors take turns with one gradient and one input gradient.
        if slot.tensors.len() < n + 2 {
            slot.tensors.resize_with(n + 2, Tensor::default);
        }
        let Slot { tensors, children, .. } = slot;
        let (outputs, rest) = tensors.split_at_mut(n);
        let [dy, below, ..] = rest else { return };
        for (i, entry) in self.entries.iter().enumerate() {
            if dx.is_none() && !pass.wants_any(entry.params.clone()) {
                continue;
            }
            dy.resize(outputs[i].shape());
            gradient(i, outputs, dy);
            match &mut dx {
                // The first writes, the others are added.
                Some(dx) if i > 0 => {
                    below.resize(x.shape());
                    entry.layer.backward(pass, &mut children[i], x, &outputs[i], dy, Some(below));
                    sum::add(dx, below);
                }
                dx => entry.layer.backward(pass, &mut children[i], x, &outputs[i], dy, dx.as_deref_mut()),
            }
        }
    }

    fn lowest_trained(&self, pass: &Pass<'_, T>) -> usize {
        self.entries.iter().position(|e| pass.wants_any(e.params.clone())).unwrap_or(self.entries.len())
    }

    fn reserve(&self, slot: &mut Slot<T>) {
        let n = self.entries.len();
        if slot.children.len() != n || slot.tensors.len() < n + 1 {
            slot.children.resize_with(n, Slot::new);
            slot.tensors.resize_with((n + 1).max(slot.tensors.len()), Tensor::default);
        }
    }
}

/// The methods that add layers to a chain and set them.
macro_rules! chain_builders {
    ($add:ident, $named:ident, $boxed:ident, $what:literal) => {
        #[doc = concat!("Appends ", $what, ".")]
        #[allow(clippy::should_implement_trait)]
        pub fn $add(mut self, layer: impl Layer<T> + 'static) -> Self {
            self.chain.push(None, layer.boxed());
            self
        }

        #[doc = concat!("Appends ", $what, " under a name of your own.")]
        pub fn $named(mut self, name: &str, layer: impl Layer<T> + 'static) -> Self {
            self.chain.push(Some(name.to_owned()), layer.boxed());
            self
        }

        #[doc = concat!("Appends ", $what, " that is already boxed.")]
        pub fn $boxed(mut self, layer: Box<dyn Layer<T>>) -> Self {
            self.chain.push(None, layer);
            self
        }

        /// Whether the weights of the layer added last are trained; yes by default.
        pub fn trainable(mut self, trainable: bool) -> Self {
            self.chain.trainable(trainable);
            self
        }

        /// What the learning rate is multiplied by for the weights of the layer added last; 1 by default.
        pub fn learning_rate_factor(mut self, factor: f64) -> Self {
            self.chain.learning_rate_factor(factor);
            self
        }

        fn from_layers(layers: Vec<NamedConfig>) -> Result<Self> {
            let mut container = Self::new();
            container.chain = Chain::from_config(layers)?;
            Ok(container)
        }
    };
}

pub(crate) use chain_builders;
