//! Layers one after the other: what `Sequential`, `Block` and `Residual` have in common.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::config::NamedConfig;
use crate::schedules::check_not_negative;
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// A list of layers, each fed with the output of the one before.
///
/// In its slot: `children` are the layers' slots, `tensors` the outputs of all layers but the last, and after them two
/// gradients that take turns.
#[derive(Debug)]
pub(crate) struct Chain<T: Float> {
    entries: Vec<Entry<T>>,
    /// A setting of the layer added last that came before the first one; an error of `build`.
    misplaced: Option<&'static str>,
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

impl<T: Float> Default for Chain<T> {
    fn default() -> Self {
        Chain { entries: Vec::new(), misplaced: None }
    }
}

impl<T: Float> Chain<T> {
    pub fn push(&mut self, name: Option<String>, layer: Box<dyn Layer<T>>) {
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
        let each = self.entries.iter().map(|e| NamedConfig {
            name: e.given.clone(),
            trainable: e.trainable,
            learning_rate_factor: e.learning_rate_factor,
            layer: e.layer.config(),
        });
        each.collect()
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

    pub fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if let Some(setting) = self.misplaced {
            let problem = format!("{setting}(...) stands before the first layer");
            return Err(Error::Config { op: "build", problem, hint: "it speaks of the layer added last".into() });
        }
        let mut shape = input;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let first = b.params().specs().len();
            let (class, given) = (entry.layer.class(), entry.given.as_deref());
            let factor = entry.learning_rate_factor;
            let (name, built) = b.scoped(class, given, |b| {
                check_not_negative("build", "learning_rate_factor", factor)?;
                entry.layer.build(shape, b).and_then(check_output)
            });
            shape = built.map_err(|source| Error::Layer { index, name: name.clone(), source: Box::new(source) })?;
            entry.name = name;
            entry.output = shape;
            entry.params = first..b.params().specs().len();
            for spec in b.specs_mut().iter_mut().skip(first) {
                spec.trainable &= entry.trainable;
                // Factors of layers inside one another multiply.
                spec.learning_rate_factor *= factor;
            }
        }
        Ok(shape)
    }

    /// The shape of one output sample, after build.
    pub fn output(&self) -> Shape {
        self.entries.last().map_or(Shape::SCALAR, |e| e.output)
    }

    /// What the last layer applies last; through containers, as they answer for their own last layer.
    pub fn output_activation(&self) -> Option<Activation> {
        self.entries.last().and_then(|e| e.layer.output_activation())
    }

    pub fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let Some((last, inner)) = self.entries.split_last() else {
            return y.copy_from(x);
        };
        let batch = x.samples();
        self.reserve(slot);
        let logits = std::mem::take(&mut pass.logits);
        let Slot { tensors, children, .. } = slot;
        for (i, entry) in inner.iter().enumerate() {
            let (before, rest) = tensors.split_at_mut(i);
            let out = &mut rest[0];
            out.resize_batch(&entry.output, batch);
            entry.layer.forward(pass, &mut children[i], before.last().unwrap_or(x), out);
        }
        pass.logits = logits;
        let n = inner.len();
        last.layer.forward(pass, &mut children[n], tensors[..n].last().unwrap_or(x), y);
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
        let [even, odd] = gradients else { return };
        let mut dx = dx;
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
            entry.layer.backward(pass, &mut children[i], input, output, incoming, outgoing);
            pass.logits = false;
        }
    }

    fn lowest_trained(&self, pass: &Pass<'_, T>) -> usize {
        self.entries.iter().position(|e| pass.wants_any(e.params.clone())).unwrap_or(self.entries.len())
    }

    fn reserve(&self, slot: &mut Slot<T>) {
        let n = self.entries.len();
        if slot.children.len() != n || slot.tensors.len() != n + 1 {
            slot.children.resize_with(n, Slot::new);
            slot.tensors.resize_with(n + 1, Tensor::default);
        }
    }
}

/// The most values of one output sample: past what a layer can mean, so that a slip of a digit is an error and not an abort
/// of the allocator.
const MOST_OUTPUTS: usize = 1 << 31;

fn check_output(shape: Shape) -> Result<Shape> {
    if shape.rank() >= MAX_RANK {
        let expected = format!("at most {} axes a sample", MAX_RANK - 1);
        return Err(Error::shape("build", expected, shape, "reshape it to fewer axes"));
    }
    if shape.checked_len("build")? > MOST_OUTPUTS {
        return Err(Error::too_large("build", shape));
    }
    if shape.is_empty() {
        return Err(Error::shape("build", "an output with at least one value", shape, "give every size at least 1"));
    }
    Ok(shape)
}
