//! Adapters beside weights: what a file says of them, and how they come into a built net.

use super::Graph;
use super::net::Net;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::random::{Key, Purpose};
use crate::layer::hash;
use crate::params::{Adapter, ParamId, Params, Reading};
use crate::tensor::{Float, Shape};

/// Thin matrices beside some weights, under a name.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct AdapterSpec {
    pub name: String,
    pub rank: usize,
    /// What A·B is multiplied by.
    pub scale: f64,
    pub dropout: f64,
    pub active: bool,
    pub merged: bool,
    /// The paths of the weights.
    pub weights: Vec<String>,
    /// The paths of weights that are trained as a whole beside it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub trained: Vec<String>,
}

impl AdapterSpec {
    /// The paths of the two matrices beside a weight.
    pub fn matrices(&self, weight: &str) -> [String; 2] {
        ["lora_a", "lora_b"].map(|which| format!("{weight}/{which}/{}", self.name))
    }

    /// Checks what a file may have got wrong; `before` are the names of others.
    pub fn check(&self, before: &[AdapterSpec]) -> Result<()> {
        const OP: &str = "add_lora";
        let wrong = |what, expected: &str, got: String| Err(Error::argument(OP, what, expected, got, "correct it"));
        if self.name.is_empty() || self.name.contains('/') {
            return wrong("name", "a name without slashes", format!("{:?}", self.name));
        }
        if before.iter().any(|other| other.name == self.name) {
            return wrong("name", "one that no other adapter has", format!("{:?}", self.name));
        }
        if self.rank == 0 {
            return wrong("rank", "at least 1", "0".into());
        }
        if !self.scale.is_finite() {
            return wrong("scale", "a finite number", self.scale.to_string());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", "from 0 to below 1", self.dropout.to_string());
        }
        Ok(())
    }
}

impl Graph {
    /// The adapters of the model.
    pub(crate) fn adapters(&self) -> &[AdapterSpec] {
        &self.adapters
    }

    /// The same, to be changed.
    pub(crate) fn adapters_mut(&mut self) -> &mut Vec<AdapterSpec> {
        &mut self.adapters
    }

    /// Puts the adapters from number `first` on beside the weights of a net of this graph: A drawn evenly from ±1/√in, B zeros. Weights that are not
    /// there, as in a part of a model, are left out.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings that cannot work.
    pub(crate) fn adapt<T: Float>(
        &mut self,
        first: usize,
        net: &mut Net<T>,
        params: &mut Params<T>,
        seed: u64,
        room: Option<usize>,
    ) -> Result<()> {
        let mut room = room;
        let weight_at = |params: &Params<T>, path: &str| {
            params.find(path).filter(|id| params.spec(*id).is_some_and(|spec| spec.reading == Reading::Product))
        };
        for number in first..self.adapters.len() {
            let (before, rest) = self.adapters.split_at_mut(number);
            let Some(spec) = rest.first_mut() else { break };
            spec.check(before)?;
            if !T::of(spec.scale).is_finite() {
                let expected = format!("a number that {} holds", T::NAME);
                return Err(Error::argument("add_lora", "scale", expected, spec.scale, "take a smaller alpha"));
            }
            spec.weights.retain(|path| weight_at(params, path).is_some());
            for path in &spec.weights {
                let Some(weight) = weight_at(params, path) else { continue };
                if let Some(room) = &mut room {
                    let sizes = params.spec(weight).map_or(0, |of| of.shape.rows().saturating_add(of.shape.last()));
                    let len = sizes.saturating_mul(spec.rank);
                    let expected = format!("adapters within the weights of the file, of which {room} are left");
                    let hint = "the file's architecture and weights do not belong together";
                    *room = room
                        .checked_sub(len)
                        .ok_or_else(|| Error::argument("load", "rank", expected, spec.rank, hint))?;
                }
                add(spec, number, weight, params, room.is_none().then_some(seed))?;
                for node in net.nodes_mut().iter_mut().filter(|node| node.params.contains(&weight)) {
                    let added = params.specs().len() as u32;
                    node.params.extend([ParamId(added - 2), ParamId(added - 1)]);
                }
            }
        }
        net.settle_by_rows(params);
        Ok(())
    }
}

/// Without a seed, for a file whose values come later, both are zeros.
fn add<T: Float>(
    spec: &AdapterSpec,
    number: usize,
    weight: ParamId,
    params: &mut Params<T>,
    seed: Option<u64>,
) -> Result<()> {
    let Some(of) = params.spec(weight) else { return Ok(()) };
    let ([inputs, outputs], name) = ([of.shape.rows(), of.shape.last()], of.name.clone());
    let (shapes, bound) = ([[inputs, spec.rank], [spec.rank, outputs]], 1.0 / (inputs as f64).sqrt());
    let of_a = if seed.is_some() { Init::Uniform { min: -bound, max: bound } } else { Init::Zeros };
    let fills = [of_a, Init::Zeros];
    let mut ids = [ParamId::default(); 2];
    for ((id, path), (shape, fill)) in ids.iter_mut().zip(spec.matrices(&name)).zip(shapes.into_iter().zip(fills)) {
        let (shape, mut rng) = (Shape::from(shape), Key::new(seed.unwrap_or(0), Purpose::Init).with(hash(&path)).rng());
        *id = params.push_with(&path, shape, true, true, |values| fill.draw(shape, &mut rng, values))?;
        let own = &mut params.specs_mut()[id.0 as usize];
        own.trainable = spec.active && !spec.merged;
    }
    let [a, b] = ids;
    let stream = hash(&format!("{name}/{}", spec.name));
    let adapter = Adapter {
        a,
        b,
        rank: spec.rank,
        scale: spec.scale,
        dropout: spec.dropout,
        stream,
        number,
        active: spec.active,
        merged: spec.merged,
    };
    params.specs_mut()[weight.0 as usize].adapters.push(adapter);
    Ok(())
}
