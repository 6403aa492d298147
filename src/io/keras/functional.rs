//! Models whose layers say what they read.

use std::borrow::Cow;
use std::collections::HashMap;

use super::calls;
use super::json::{Object, Problem, Raw, list, spelled};
use super::made::{Made, Step};
use super::masks::Masks;
use super::names::{self, Finder};
use super::operations;
use super::order::{Node, order};
use super::parts::{Entry, Kind, Level, Place, Reads};
use super::reader::{MAX_PARTS, Reader, shown};
use super::tensors::{Call, Structure};

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
struct Taken {
    operands: Reads,
    /// Operators by the places of their parts.
    operators: Vec<(usize, Step)>,
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
        let Taken { operands, operators, problems } = self.operands(&listed, &find, &inputs_at, &order, place)?;
        problems.into_iter().for_each(|problem| self.note(problem));
        for (part, step) in operators {
            self.parts[part].kind = Kind::Layer(Box::new(Made { operator: true, ..Made::of(step) }));
        }
        for (entry, operands) in listed.entries.iter_mut().zip(operands) {
            self.parts[entry.part].calls += operands.len();
            entry.calls = operands;
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
    fn operands(
        &self,
        listed: &Listed,
        find: &Finder,
        inputs: &[usize],
        order: &[Node],
        place: &Place,
    ) -> Result<Taken, Problem> {
        let mut needed = vec![0usize; listed.entries.len()];
        order.iter().for_each(|&(e, _)| needed[e] += 1);
        let mut taken =
            Taken { operands: vec![Vec::new(); listed.entries.len()], operators: Vec::new(), problems: Vec::new() };
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
                            taken.operands[e].push(find.all(e, &operands)?);
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
            for call in calls {
                match calls::operands(part, &self.parts, call) {
                    Ok(operands) => taken.operands[e].push(find.all(e, &operands)?),
                    Err(problem) => taken.problems.push(here(problem)),
                }
            }
        }
        // The masks that calls name, in the order of computation; what they are is known where all layers are.
        if !(self.unsupported.is_empty() && taken.problems.is_empty()) {
            return Ok(taken);
        }
        let mut masks = Masks::new(find, &listed.for_masks);
        for &(e, c) in order {
            let (Some(reads), Some(call)) = (taken.operands[e].get(c), listed.calls[e].get(c)) else { continue };
            let part = &self.parts[listed.entries[e].part];
            if let (Kind::Layer(_) | Kind::Model(_), Err(problem)) = (&part.kind, masks.check(e, call, reads)) {
                let path = format!("{}{}", place.path, listed.entries[e].name);
                taken.problems.push(format!("{path} ({}): {problem}", part.class));
            }
            masks.follow((e, c), reads);
        }
        Ok(taken)
    }
}
