//! What the layers that are read here may be called with.

use super::attention::{self, Asked};
use super::json::Problem;
use super::made::Step;
use super::parts::{Kind, Level, Part};
use super::tensors::{Argument, Call, Named, flat};

/// What a call hands to a layer.
#[derive(Default)]
pub(super) struct Operands<'s, 'a> {
    /// In the order in which it takes them.
    pub tensors: Vec<&'s Named<'a>>,
    /// What it computes, where that depends on the call.
    pub step: Option<Step>,
    /// Masks that are named, by the places of the tensors that they belong to.
    pub masks: Vec<(usize, &'s Argument<'a>)>,
}

/// What a call hands to a layer.
pub(super) fn operands<'s, 'a>(part: &Part, parts: &[Part], call: &'s Call<'a>) -> Result<Operands<'s, 'a>, Problem> {
    let one_or_list = "it is called with something else than";
    let tensors = match &part.kind {
        Kind::Input(_) | Kind::Operation { .. } | Kind::Missing => Vec::new(),
        Kind::Layer(made) if attention::is_attention(&made.step) => {
            let Asked { tensors, step, masks } = attention::asked(&made.step, call)?;
            return Ok(Operands { tensors, step: Some(step), masks });
        }
        Kind::Layer(made) => match (&made.step, call.input()?) {
            (Step::Layer(_), Argument::Tensor(named, _)) => vec![named],
            (Step::Layer(_), _) => return Err(format!("{one_or_list} a tensor")),
            (Step::Join(_), list @ Argument::List(_)) => {
                let tensors = flat(list).ok_or_else(|| format!("{one_or_list} a list of tensors"))?;
                tensors.into_iter().map(|(named, _)| named).collect()
            }
            (Step::Join(_), _) => return Err(format!("{one_or_list} a list of tensors")),
        },
        Kind::Model(level) => of_model(level, parts, call.input()?)?,
    };
    let masks = masks(call, tensors.len())?;
    Ok(Operands { tensors, step: None, masks })
}

/// The masks that a call names: one, or one for each tensor.
fn masks<'s, 'a>(call: &'s Call<'a>, tensors: usize) -> Result<Vec<(usize, &'s Argument<'a>)>, Problem> {
    let Some((_, argument)) = call.kwargs.iter().find(|(name, _)| name == "mask") else { return Ok(Vec::new()) };
    let given = match argument {
        _ if argument.is(&["null"]) => return Ok(Vec::new()),
        Argument::List(entries) => &entries[..],
        _ => std::slice::from_ref(argument),
    };
    match given.len() == tensors {
        true => Ok(given.iter().enumerate().filter(|(_, mask)| !mask.is(&["null"])).collect()),
        false => Err(format!("it is called with {} masks for {tensors} tensors", given.len())),
    }
}

/// The inputs of a model inside, by their order or by their names.
fn of_model<'s, 'a>(level: &Level, parts: &[Part], input: &'s Argument<'a>) -> Result<Vec<&'s Named<'a>>, Problem> {
    let names: Vec<&str> = level.inputs.iter().map(|&e| level.entries[e].name.as_str()).collect();
    let other = || format!("it is called with something else than its inputs, {}", names.join(", "));
    let tensors = match (input, &level.input_keys) {
        (Argument::Dictionary(entries), None) => {
            let entry = |name: &&str| entries.iter().find(|(key, _)| key == name).map(|(_, argument)| argument);
            let all: Option<Vec<_>> = names
                .iter()
                .map(|name| match entry(name)? {
                    Argument::Tensor(named, rank) => Some((named, *rank)),
                    _ => None,
                })
                .collect();
            all.filter(|all| all.len() == entries.len())
        }
        (Argument::Dictionary(entries), Some(keys)) => {
            let same =
                entries.len() == keys.len() && keys.iter().all(|key| entries.iter().any(|(other, _)| other == key));
            flat(input).filter(|_| same)
        }
        // Keras counts the entries of a list in the order of the keys, and refuses where that is not the sorted one.
        (Argument::List(_), Some(keys)) => flat(input).filter(|_| keys.is_sorted()),
        _ => flat(input),
    };
    let tensors = tensors.filter(|tensors| tensors.len() == names.len()).ok_or_else(other)?;
    for (&(_, rank), &e) in tensors.iter().zip(&level.inputs) {
        let Kind::Input(Some(shape)) = &parts[level.entries[e].part].kind else { continue };
        if rank.is_some_and(|rank| rank != shape.rank() + 1) {
            let name = &level.entries[e].name;
            return Err(format!(
                "its input {name} has another number of axes than what it is called with; build it with an Input of that shape"
            ));
        }
    }
    Ok(tensors.into_iter().map(|(named, _)| named).collect())
}
