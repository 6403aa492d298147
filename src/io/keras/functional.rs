//! Models whose layers say what they read.

use std::borrow::Cow;
use std::collections::HashMap;

use super::calls::{self, Operands};
use super::json::{Object, Problem, Raw, list, spelled};
use super::made::{Made, Step};
use super::masks::{self, Masks};
use super::names::{self, Finder};
use super::operations;
use super::order::{self, Node, order};
use super::parts::{Called, Entry, Kind, Level, Place, Read, Reads, Tensor};
use super::reader::{MAX_PARTS, Reader, shown};
use super::tensors::{Argument, Call, Named, Structure};

/// The most inputs of a model.
const MAX_INPUTS: usize = 1 << 10;

/// The layers of a model before it is known who reads whom.
#[derive(Default)]
struct Listed<'a> {
    entries: Vec<Entry>,
    calls: Vec<Vec<Call<'a>>>,
    by_name: HashMap<String, usize>,
    /// The settings of operators that masks may come from, by entry.
    for_masks: HashMap<usize, Raw<'a>>,
}

/// What the calls of a model hand over.
#[derive(Default)]
struct Taken {
    calls: Vec<Vec<Called>>,
    /// Operators by the places of their parts.
    operators: Vec<(usize, Step)>,
    outputs: Vec<Read>,
    /// As in a [`Level`].
    deletes: Vec<(usize, bool)>,
    masked: Vec<bool>,
    /// What cannot be had.
    problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn functional(
        &mut self,
        layers: &[Raw],
        inputs: &Structure,
        outputs: &Structure,
        place: &Place,
    ) -> Result<Level, Problem> {
        let mut listed = self.listed(layers, place)?;
        let find = Finder {
            parts: &self.parts,
            entries: &listed.entries,
            calls: &listed.calls,
            by_name: &listed.by_name,
            path: &place.path,
        };
        let outputs_at = outputs.tensors.iter().map(|named| find.end(named)).collect::<Result<Vec<_>, _>>()?;
        let inputs_at = self.inputs(&listed.entries, &find, inputs, place)?;
        let reads: Reads = (0..listed.calls.len())
            .map(|e| listed.calls[e].iter().map(|call| find.all(e, &call.reads())).collect())
            .collect::<Result<_, _>>()?;
        let order = order(&reads, &outputs_at)
            .map_err(|circle| format!("{}{}", place.path, names::circle(&listed.entries, &circle)))?;
        let taken = self.operands(&listed, &find, &inputs_at, &outputs_at, &order, place)?;
        let Taken { calls, operators, outputs: outputs_at, deletes, masked, problems } = taken;
        problems.into_iter().for_each(|problem| self.note(problem));
        for (part, step) in operators {
            self.parts[part].kind = Kind::Layer(Box::new(Made { operator: true, ..Made::of(step) }));
        }
        for (entry, calls) in listed.entries.iter_mut().zip(calls) {
            self.parts[entry.part].calls += calls.len();
            entry.calls = calls;
        }
        let own = |keys: &Option<Vec<Cow<str>>>| {
            keys.as_ref().map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let mut output_keys = own(&outputs.keys);
        output_keys.iter_mut().for_each(|keys| keys.sort());
        Ok(Level {
            entries: listed.entries,
            inputs: inputs_at,
            input_keys: own(&inputs.keys),
            outputs: outputs_at,
            deletes,
            masked,
            output_keys,
            order,
            sequential: false,
            height: 1,
        })
    }

    /// The layers and their calls.
    fn listed<'a>(&mut self, layers: &[Raw<'a>], place: &Place) -> Result<Listed<'a>, Problem> {
        let (mut listed, mut groups) = (Listed::default(), HashMap::new());
        for &raw in layers {
            let object = Object::read(raw)?;
            let name = object.name.as_ref().ok_or_else(|| format!("{}: a layer without a name", spelled(raw)))?;
            let name = name.to_string();
            let here = |problem: Problem| format!("{}{name}: {problem}", place.path);
            let part = self.part(&object, &name, place, &mut groups)?;
            let nodes = object.inbound_nodes.map(|raw| list::<Raw>(raw, MAX_PARTS).map_err(|_| here(spelled(raw))));
            let nodes = nodes.transpose()?.unwrap_or_default();
            let mut calls = nodes.into_iter().map(Call::read).collect::<Result<Vec<_>, _>>().map_err(here)?;
            if self.parts[part].is_input() {
                if !calls.is_empty() {
                    return Err(here("an input that reads something".to_owned()));
                }
                calls.push(Call { args: Vec::new(), kwargs: Vec::new() });
            }
            if matches!(self.parts[part].kind, Kind::Operation { for_masks: true, .. }) {
                listed.for_masks.insert(listed.entries.len(), object.config);
            }
            if listed.by_name.insert(name.clone(), listed.entries.len()).is_some() {
                return Err(here("two layers of this name".to_owned()));
            }
            listed.entries.push(Entry { name, part, calls: Vec::new() });
            listed.calls.push(calls);
        }
        Ok(listed)
    }

    /// The entries that are inputs.
    fn inputs(
        &self,
        entries: &[Entry],
        find: &Finder,
        inputs: &Structure,
        place: &Place,
    ) -> Result<Vec<usize>, Problem> {
        if inputs.tensors.len() > MAX_INPUTS {
            return Err(format!("{}: more than {MAX_INPUTS} inputs", shown(&place.path)));
        }
        let mut out = Vec::new();
        for named in &inputs.tensors {
            let at = find.end(named)?.entry;
            if !self.parts[entries[at].part].is_input() || out.contains(&at) {
                return Err(format!("{}{}: no input, or one that stands twice", place.path, named.layer));
            }
            out.push(at);
        }
        Ok(out)
    }

    /// What each call hands over; operators that serve masks alone are left out.
    fn operands<'a>(
        &self,
        listed: &Listed<'a>,
        find: &Finder<'_, 'a>,
        inputs: &[usize],
        outputs: &[Tensor],
        order: &[Node],
        place: &Place,
    ) -> Result<Taken, Problem> {
        let mut needed = vec![0usize; listed.entries.len()];
        order.iter().for_each(|&(e, _)| needed[e] += 1);
        let outputs = outputs.iter().copied().map(Read::own).collect();
        let mut taken = Taken { outputs, ..Taken::default() };
        taken.calls.resize_with(listed.entries.len(), Vec::new);
        let mut named: HashMap<Node, Vec<(usize, &Argument<'a>)>> = HashMap::new();
        let called = |e: usize, tensors: &[&Named], step| -> Result<Called, Problem> {
            let reads = find.all(e, tensors)?.into_iter().map(Read::own).collect();
            Ok(Called { reads, step, drops_mask: false })
        };
        for (e, (entry, calls)) in listed.entries.iter().zip(&listed.calls).enumerate() {
            let path = format!("{}{}", place.path, entry.name);
            let part = &self.parts[entry.part];
            let here = |problem: Problem| format!("{path} ({}): {problem}", part.class);
            match &part.kind {
                Kind::Operation { for_masks: true, .. } if needed[e] == 0 => continue,
                Kind::Operation { settings, .. } if needed[e] > 0 => {
                    let read = settings.clone().and_then(|()| match &calls[..] {
                        [call] => operations::step(&part.class, call),
                        _ => Err("an operator that is called several times".to_owned()),
                    });
                    match read {
                        Ok((step, operands)) => {
                            taken.operators.push((entry.part, step));
                            taken.calls[e].push(called(e, &operands, None)?);
                        }
                        Err(problem) => taken.problems.push(here(problem)),
                    }
                    continue;
                }
                Kind::Input(_) if !inputs.contains(&e) => {
                    return Err(format!("{path}: an input that is not among the model's inputs"));
                }
                _ => {}
            }
            if needed[e] < calls.len().max(1) {
                return Err(format!("{path}: no output of the model depends on it"));
            }
            for (c, call) in calls.iter().enumerate() {
                match calls::operands(part, &self.parts, call) {
                    Ok(Operands { tensors, step, masks }) => {
                        taken.calls[e].push(called(e, &tensors, step)?);
                        named.insert((e, c), masks);
                    }
                    Err(problem) => taken.problems.push(here(problem)),
                }
            }
        }
        // Masks in the order of computation; what they are is known where all layers are.
        if !(self.unsupported.is_empty() && taken.problems.is_empty()) {
            return Ok(taken);
        }
        let as_called = match listed.entries.iter().any(|entry| masks::deletes(&self.parts[entry.part])) {
            true => {
                let all = |e: usize| listed.calls[e].iter().map(move |call| find.all(e, &call.tensors())).collect();
                let reads: Reads = (0..listed.calls.len()).map(all).collect::<Result<_, _>>()?;
                let outputs: Vec<Tensor> = taken.outputs.iter().map(|read| read.tensor).collect();
                order::as_called(&reads, &outputs)
            }
            false => order.to_vec(),
        };
        let mut masks = Masks::new(find, &listed.for_masks, order, place.depth > 0);
        for &(e, c) in &as_called {
            let Some(called) = taken.calls[e].get_mut(c) else { continue };
            let named = named.get(&(e, c)).map_or(&[][..], Vec::as_slice);
            if let Err(problem) = masks.follow((e, c), called, named) {
                let (path, part) = (format!("{}{}", place.path, listed.entries[e].name), listed.entries[e].part);
                taken.problems.push(format!("{path} ({}): {problem}", self.parts[part].class));
            }
        }
        for read in &mut taken.outputs {
            match masks.under(&read.tensor) {
                Ok(under) => read.under = under,
                Err(problem) => taken.problems.push(format!("{}: {problem}", shown(&place.path))),
            }
        }
        (taken.deletes, taken.masked) = masks.left(inputs, &taken.outputs);
        Ok(taken)
    }
}
