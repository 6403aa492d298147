//! Masks in a functional model: those that tensors carry, and those that calls name.
//!
//! Keras writes a mask that a layer takes into the layer's call, with the operators that compute it. The same follows from the layers, by the
//! rules that a [`Graph`](crate::graph::Graph) keeps; here the two are compared, as a mask that was passed by hand may be another.

use std::collections::HashMap;

use super::json::{Problem, Raw, Settings, parse, spelled};
use super::made::{Made, Step};
use super::merging::Join;
use super::names::Finder;
use super::parts::{Kind, Tensor};
use super::tensors::{Argument, Call, Named};
use crate::layer::MaskRule;
use crate::layers::LayerConfig;

/// The most operators, one behind another, that a mask comes from.
const MAX_DEPTH: usize = 1 << 10;

/// The most masks of which one is where any of them is that are told apart in whatever order they were joined.
const MAX_ANY: usize = 64;

/// A mask by its number: equal ones have the same.
type Mask = usize;

/// The masks of a model.
pub(super) struct Masks<'f, 's, 'a> {
    find: &'f Finder<'s, 'a>,
    /// The settings of the operators that masks may come from, by entry.
    settings: &'f HashMap<usize, Raw<'a>>,
    numbers: HashMap<String, Mask>,
    /// Of a mask that is where any of several is: their numbers.
    any: HashMap<Mask, Vec<Mask>>,
    /// The mask that the outputs of each call carry.
    carried: HashMap<(usize, usize), Mask>,
    /// The masks that operators compute.
    computed: HashMap<(usize, usize), Mask>,
}

impl<'f, 's, 'a> Masks<'f, 's, 'a> {
    pub fn new(find: &'f Finder<'s, 'a>, settings: &'f HashMap<usize, Raw<'a>>) -> Self {
        let (numbers, any) = (HashMap::new(), HashMap::new());
        Masks { find, settings, numbers, any, carried: HashMap::new(), computed: HashMap::new() }
    }

    fn number(&mut self, mask: String) -> Mask {
        let next = self.numbers.len();
        *self.numbers.entry(mask).or_insert(next)
    }

    /// Where any of these is.
    fn any(&mut self, masks: &[Mask]) -> Mask {
        let mut all: Vec<Mask> =
            masks.iter().flat_map(|mask| self.any.get(mask).cloned().unwrap_or_else(|| vec![*mask])).collect();
        if all.len() > MAX_ANY {
            all = masks.to_vec();
        }
        all.sort_unstable();
        all.dedup();
        match all[..] {
            [one] => one,
            _ => {
                let number = self.number(format!("or {all:?}"));
                self.any.insert(number, all);
                number
            }
        }
    }

    /// Finds the masks that the outputs of a call carry; those that it reads come before.
    pub fn follow(&mut self, (entry, call): (usize, usize), reads: &[Tensor]) {
        let Kind::Layer(made) = &self.find.parts[self.find.entries[entry].part].kind else { return };
        let of = |t: &Tensor| self.carried.get(&(t.entry, t.call)).copied();
        let masks: Vec<Option<Mask>> = reads.iter().map(of).collect();
        let mask = match rule(made) {
            Rule::Drops => None,
            Rule::Passes => masks.first().copied().flatten(),
            Rule::NotZero => reads.first().map(|t| self.number(unequal(t, 0.0))),
            Rule::Unequal(value) => reads.first().map(|t| {
                let unequal = self.number(unequal(t, value));
                self.number(format!("any {unequal}"))
            }),
            Rule::Any => masks.iter().copied().collect::<Option<Vec<_>>>().map(|masks| self.any(&masks)),
            Rule::Joins(_) if masks.iter().all(Option::is_none) => None,
            Rule::Joins(axis) => {
                let parts: Vec<Mask> = reads
                    .iter()
                    .zip(masks)
                    .map(|(t, mask)| match mask {
                        None => self.number(format!("ones {}", place(t))),
                        Some(mask) => {
                            let (mask, zeros) = (format!("expand -1 {mask}"), format!("zeros {}", place(t)));
                            let both = [self.number(mask), self.number(zeros)];
                            self.any(&both)
                        }
                    })
                    .collect();
                let joined = self.number(format!("join {axis} {parts:?}"));
                Some(self.number(format!("any {joined}")))
            }
        };
        self.carried.extend(mask.map(|mask| ((entry, call), mask)));
    }

    /// An error where a call names other masks than those that what it reads carries.
    pub fn check(&mut self, entry: usize, call: &Call<'a>, reads: &[Tensor]) -> Result<(), Problem> {
        let Some((_, argument)) = call.kwargs.iter().find(|(name, _)| name == "mask") else { return Ok(()) };
        let one = std::slice::from_ref(argument);
        let given = match argument {
            Argument::Constant(raw) if raw.get() == "null" => return Ok(()),
            Argument::List(entries) => entries,
            _ => one,
        };
        if given.len() != reads.len() {
            return Err(format!("it is called with {} masks for {} tensors", given.len(), reads.len()));
        }
        for (argument, t) in given.iter().zip(reads) {
            let named = match argument {
                Argument::Tensor(named, _) => named,
                Argument::Constant(raw) if raw.get() == "null" => continue,
                _ => return Err("it is called with a mask that is no tensor".to_owned()),
            };
            let mask = self.computed(entry, named, 0)?;
            if self.carried.get(&(t.entry, t.call)) != Some(&mask) {
                return Err(format!(
                    "it is called with mask={:.80}, another than its input carries; let the mask come with the input, from an Embedding with \
                     mask_zero=True or a Masking",
                    named.layer
                ));
            }
        }
        Ok(())
    }

    /// The number of a mask that operators compute.
    fn computed(&mut self, reader: usize, named: &Named, depth: usize) -> Result<Mask, Problem> {
        if depth > MAX_DEPTH {
            return Err("it is called with a mask that comes from too many operators".to_owned());
        }
        let t = self.find.all(reader, &[named])?[0];
        if let Some(&known) = self.computed.get(&(t.entry, t.call)) {
            return Ok(known);
        }
        let find = self.find;
        let part = &find.parts[find.entries[t.entry].part];
        let call = find.calls.get(t.entry).and_then(|calls| calls.get(t.call));
        let own = matches!(part.kind, Kind::Operation { .. });
        let settings = self.settings;
        let mut mask = |named: &Named| self.computed(t.entry, named, depth + 1);
        let masks = |list: &[Argument<'a>], mask: &mut dyn FnMut(&Named) -> Result<Mask, Problem>| {
            list.iter()
                .map(|argument| match argument {
                    Argument::Tensor(named, _) => mask(named),
                    _ => Err("it is called with a mask that comes from constants".to_owned()),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let setting = |name: &str| {
            let mut s = Settings::read(settings.get(&t.entry).copied()?).ok()?;
            s.take(name).and_then(|raw| parse::<i64>(raw).ok())
        };
        let keeps_axis = || {
            let settings = settings.get(&t.entry).and_then(|raw| Settings::read(raw).ok());
            settings.is_some_and(|mut s| s.flag_or("keepdims", false) != Ok(false))
        };
        let text = match (part.class.as_str(), call.map(|call| &call.args[..])) {
            ("NotEqual", Some([Argument::Tensor(x, _), Argument::Constant(value)])) if own => {
                let value = parse::<f64>(value).map_err(|_| format!("its mask compares with {}", spelled(value)))?;
                unequal(&find.all(t.entry, &[x])?[0], value)
            }
            ("Any", Some([Argument::Tensor(x, _)])) if own && setting("axis") == Some(-1) && !keeps_axis() => {
                format!("any {}", mask(x)?)
            }
            ("ExpandDims", Some([Argument::Tensor(x, _)])) if own => {
                format!("expand {} {}", setting("axis").unwrap_or(0), mask(x)?)
            }
            ("ZerosLike", Some([Argument::Tensor(x, _)])) if own => {
                format!("zeros {}", place(&find.all(t.entry, &[x])?[0]))
            }
            ("OnesLike", Some([Argument::Tensor(x, _)])) if own => {
                format!("ones {}", place(&find.all(t.entry, &[x])?[0]))
            }
            ("Concatenate", Some([Argument::List(list)])) if own => {
                let axis = setting("axis").unwrap_or(0);
                format!("join {axis} {:?}", masks(list, &mut mask)?)
            }
            ("LogicalOr", Some(list)) if own => {
                let masks = masks(list, &mut mask)?;
                let any = self.any(&masks);
                self.computed.insert((t.entry, t.call), any);
                return Ok(any);
            }
            _ => format!("tensor {}", place(&t)),
        };
        let number = self.number(text);
        self.computed.insert((t.entry, t.call), number);
        Ok(number)
    }
}

fn place(t: &Tensor) -> String {
    format!("{}:{}:{}", t.entry, t.call, t.output)
}

/// Where a tensor's values differ from a number.
fn unequal(t: &Tensor, value: f64) -> String {
    // −0 and 0 are the same.
    format!("unequal {} {:e}", place(t), value + 0.0)
}

/// What becomes of masks, with the numbers that steps are told by.
enum Rule {
    Drops,
    Passes,
    /// A step counts whose id is not 0, or any of whose features is not this number.
    NotZero,
    Unequal(f64),
    Any,
    Joins(isize),
}

fn rule(made: &Made) -> Rule {
    match &made.step {
        Step::Layer(config) => match &**config {
            LayerConfig::Embedding(layer) if layer.masks_zero() => Rule::NotZero,
            LayerConfig::Masking(layer) => Rule::Unequal(layer.value()),
            config => match config.clone().into_layer::<f32>().map(|layer| layer.mask_rule()) {
                Ok(MaskRule::Passes) => Rule::Passes,
                _ => Rule::Drops,
            },
        },
        Step::Join(join) => match join {
            Join::Concatenate(join) => Rule::Joins(join.along()),
            Join::Divide(_) | Join::Dot(_) | Join::Power(_) => Rule::Drops,
            _ => Rule::Any,
        },
    }
}
