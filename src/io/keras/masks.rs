//! Masks in a functional model: those that tensors carry, and those that calls name.
//!
//! Keras writes a mask that a layer takes into the layer's call, with the operators that compute it. The same follows from the layers, by the
//! rules that a [`Graph`](crate::graph::Graph) keeps; here the two are compared, as a mask that was passed by hand may be another.
//!
//! `MultiHeadAttention` deletes the masks of the tensors that it is called with, once it is called: what reads them afterwards finds none, unless
//! its call names one.

use std::collections::{HashMap, HashSet};

use super::attention;
use super::json::{Problem, Raw, Settings, parse, spelled};
use super::made::{Made, Step};
use super::merging::Join;
use super::names::Finder;
use super::order::Node;
use super::parts::{Called, Kind, Level, Part, Read, Tensor, Under};
use super::tensors::{Argument, Named};
use crate::activations::Activation;
use crate::layer::MaskRule;
use crate::layers::LayerConfig;

/// The most operators, one behind another, that a mask comes from.
const MAX_DEPTH: usize = 1 << 10;

/// The most masks of which one is where any of them is that are told apart in whatever order they were joined.
const MAX_ANY: usize = 64;

/// A mask by its number: equal ones have the same.
type Mask = usize;

/// What is known of the mask that a tensor carries: its number, or nothing where it may have one that comes from outside the model. A tensor of
/// which nothing stands here carries none.
type Known = Option<Mask>;

/// The masks of a model.
pub(super) struct Masks<'f, 's, 'a> {
    find: &'f Finder<'s, 'a>,
    /// The settings of the operators that masks may come from, by entry.
    settings: &'f HashMap<usize, Raw<'a>>,
    /// Where each call stands in the order in which the graph is made.
    places: HashMap<Node, usize>,
    numbers: HashMap<String, Mask>,
    /// Of a mask that is where any of several is: their numbers.
    any: HashMap<Mask, Vec<Mask>>,
    /// The masks that tensors carry when they are made.
    carried: HashMap<Tensor, Known>,
    /// Of the tensors that carry a mask, the one that the graph has first.
    carriers: HashMap<Mask, (usize, Tensor)>,
    /// The masks that operators compute.
    computed: HashMap<(usize, usize), Mask>,
    /// Those whose masks are deleted.
    always: Deleted,
    /// In predictions, where noise layers give the tensors that they take.
    in_predictions: Deleted,
}

/// Tensors without their masks.
#[derive(Default)]
struct Deleted {
    /// A layer's output that is its input, and what it is.
    same: HashMap<Tensor, Tensor>,
    tensors: HashSet<Tensor>,
}

impl Deleted {
    /// What a tensor is.
    fn first(&self, t: &Tensor) -> Tensor {
        self.same.get(t).copied().unwrap_or(*t)
    }

    fn has(&self, t: &Tensor) -> bool {
        self.tensors.contains(&self.first(t))
    }

    fn delete(&mut self, t: &Tensor) {
        self.tensors.insert(self.first(t));
    }

    fn restore(&mut self, t: &Tensor) {
        self.tensors.remove(&self.first(t));
    }

    fn is_same(&mut self, output: Tensor, input: &Tensor) {
        self.same.insert(output, self.first(input));
    }
}

impl<'f, 's, 'a> Masks<'f, 's, 'a> {
    /// None are known yet. The inputs of a model inside another may carry some.
    pub fn new(find: &'f Finder<'s, 'a>, settings: &'f HashMap<usize, Raw<'a>>, order: &[Node], inside: bool) -> Self {
        let inputs = find.entries.iter().enumerate().filter(|(_, entry)| inside && find.parts[entry.part].is_input());
        let carried = inputs.map(|(entry, _)| (Tensor { entry, call: 0, output: 0 }, None)).collect();
        Masks {
            find,
            settings,
            places: order.iter().enumerate().map(|(i, &node)| (node, i)).collect(),
            numbers: HashMap::new(),
            any: HashMap::new(),
            carried,
            carriers: HashMap::new(),
            computed: HashMap::new(),
            always: Deleted::default(),
            in_predictions: Deleted::default(),
        }
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

    /// Goes through a call; those that it reads come before. Says under which masks it reads, and what becomes of its own.
    pub fn follow(&mut self, node: Node, called: &mut Called, named: &[(usize, &Argument<'a>)]) -> Result<(), Problem> {
        let (entry, call) = node;
        let part = &self.find.parts[self.find.entries[entry].part];
        if !matches!(part.kind, Kind::Layer(_) | Kind::Model(_)) {
            return Ok(());
        }
        for read in &mut called.reads {
            read.under = self.under(&read.tensor)?;
        }
        for &(i, argument) in named {
            self.take(node, i, argument, called)?;
        }
        let output = |output: usize| Tensor { entry, call, output };
        match &part.kind {
            Kind::Layer(made) => {
                let masks: Vec<Option<Known>> = called.reads.iter().map(|read| self.of(read)).collect();
                let mask = self.made(made, called, &masks);
                self.carried.extend(mask.map(|mask| (output(0), mask)));
                if let (Some(Some(mask)), Some(&place)) = (mask, self.places.get(&node)) {
                    let first = self.carriers.entry(mask).or_insert((place, output(0)));
                    if place < first.0 {
                        *first = (place, output(0));
                    }
                }
                if let (Some(read), Some(same)) = (called.reads.first(), same(made)) {
                    self.in_predictions.is_same(output(0), &read.tensor);
                    if same == Same::Always {
                        self.always.is_same(output(0), &read.tensor);
                    }
                }
                if attention::deletes_masks(&part.class) {
                    for read in &called.reads[..attention::values(called)] {
                        self.always.delete(&read.tensor);
                        self.in_predictions.delete(&read.tensor);
                    }
                }
            }
            Kind::Model(inner) => {
                for (i, _) in inner.masked.iter().enumerate().filter(|(_, masked)| **masked) {
                    self.carried.insert(output(i), None);
                }
                for (i, read) in inner.outputs.iter().enumerate() {
                    let input = inner.inputs.iter().position(|&input| input == read.tensor.entry);
                    if let Some(own) = input.and_then(|input| called.reads.get(input)) {
                        self.always.is_same(output(i), &own.tensor);
                        self.in_predictions.is_same(output(i), &own.tensor);
                    }
                }
                for &(i, in_predictions) in &inner.deletes {
                    let Some(read) = called.reads.get(i) else { continue };
                    self.in_predictions.delete(&read.tensor);
                    if !in_predictions {
                        self.always.delete(&read.tensor);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How a tensor is read now.
    pub fn under(&self, t: &Tensor) -> Result<Under, Problem> {
        match (self.carried.contains_key(t), self.always.has(t), self.in_predictions.has(t)) {
            (false, ..) | (true, false, false) => Ok(Under::Own),
            (true, true, _) => Ok(Under::None),
            (true, false, true) => Err(format!(
                "it reads {}, whose mask a MultiHeadAttention deletes in predictions and not in training, as a noise layer between them gives in \
                 predictions the tensor that it takes; let this layer read what the noise layer gives",
                self.find.entries[t.entry].name
            )),
        }
    }

    /// The mask of what is read.
    fn of(&self, read: &Read) -> Option<Known> {
        match read.under {
            Under::Own => self.carried.get(&read.tensor).copied(),
            Under::None => None,
            Under::Of(other) => self.carried.get(&other).copied(),
        }
    }

    /// What a model leaves: the inputs whose masks are gone, with whether that is so in predictions alone, and the outputs that may carry one.
    pub fn left(&self, inputs: &[usize], outputs: &[Read]) -> (Vec<(usize, bool)>, Vec<bool>) {
        let inputs = inputs.iter().map(|&entry| Tensor { entry, call: 0, output: 0 }).enumerate();
        let deletes = inputs.filter(|(_, t)| self.in_predictions.has(t)).map(|(i, t)| (i, !self.always.has(&t)));
        (deletes.collect(), outputs.iter().map(|read| self.of(read).is_some()).collect())
    }

    /// The mask that a layer makes of those of what it reads.
    fn made(&mut self, made: &Made, called: &mut Called, masks: &[Option<Known>]) -> Option<Known> {
        let first = || called.reads.first().map(|read| read.tensor);
        match rule(made) {
            _ if made.operator => None,
            Rule::Drops => None,
            Rule::Passes => masks.first().copied().flatten(),
            Rule::NotZero => first().map(|t| Some(self.number(unequal(&t, 0.0)))),
            Rule::Unequal(value) => first().map(|t| {
                let unequal = self.number(unequal(&t, value));
                Some(self.number(format!("any {unequal}")))
            }),
            Rule::Any => match masks.iter().copied().collect::<Option<Vec<Known>>>() {
                Some(known) => Some(known.into_iter().collect::<Option<Vec<Mask>>>().map(|masks| self.any(&masks))),
                None => {
                    // What it computes goes by no mask, so that what it reads may keep its own.
                    let deleted = called.reads.iter_mut().filter(|read| read.under == Under::None);
                    called.drops_mask = deleted.map(|read| read.under = Under::Own).count() > 0;
                    None
                }
            },
            Rule::Joins(_) if masks.iter().all(Option::is_none) => None,
            Rule::Joins(_) if masks.contains(&Some(None)) => Some(None),
            Rule::Joins(axis) => {
                let mut parts = Vec::new();
                for (read, mask) in called.reads.iter().zip(masks) {
                    let t = &read.tensor;
                    parts.push(match mask.flatten() {
                        None => self.number(format!("ones {}", place(t))),
                        Some(mask) => {
                            let (mask, zeros) = (format!("expand -1 {mask}"), format!("zeros {}", place(t)));
                            let both = [self.number(mask), self.number(zeros)];
                            self.any(&both)
                        }
                    });
                }
                let joined = self.number(format!("join {axis} {parts:?}"));
                Some(Some(self.number(format!("any {joined}"))))
            }
        }
    }

    /// Takes a mask that a call names for one of the tensors that it reads; an error where nothing before carries it.
    fn take(&mut self, node: Node, i: usize, argument: &Argument<'a>, called: &mut Called) -> Result<(), Problem> {
        let entry = node.0;
        let Argument::Tensor(named, _) = argument else {
            return Err("it is called with a mask that is no tensor".to_owned());
        };
        let mask = self.computed(entry, named, 0)?;
        let part = &self.find.parts[self.find.entries[entry].part];
        let read = &mut called.reads[i];
        let own = self.carried.get(&read.tensor) == Some(&Some(mask));
        if attention::deletes_masks(&part.class) && i == 0 && !(own && read.under == Under::Own) {
            return Err(format!(
                "it is called with query_mask={:.80}, in whose place Keras takes the one that the query carries; leave it out",
                named.layer
            ));
        }
        if own {
            read.under = Under::Own;
            if matches!(part.kind, Kind::Model(_)) {
                // There it becomes the tensor's again.
                self.always.restore(&read.tensor);
                self.in_predictions.restore(&read.tensor);
            }
            return Ok(());
        }
        let before = self.places.get(&node).copied().unwrap_or(0);
        match self.carriers.get(&mask) {
            Some(&(place, carrier)) if place < before && !matches!(part.kind, Kind::Model(_)) => {
                read.under = Under::Of(carrier);
                Ok(())
            }
            _ => Err(format!(
                "it is called with mask={:.80}, another than its input carries; let the mask come with the input, from an Embedding with \
                 mask_zero=True or a Masking",
                named.layer
            )),
        }
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

/// A layer's output that is the tensor that it takes.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    Always,
    /// Where it adds no noise.
    InPredictions,
}

fn same(made: &Made) -> Option<Same> {
    let Step::Layer(config) = &made.step else { return None };
    match &**config {
        LayerConfig::Identity(_)
        | LayerConfig::ActivityRegularization(_)
        | LayerConfig::Activation(Activation::Linear) => Some(Same::Always),
        LayerConfig::Dropout(_)
        | LayerConfig::AlphaDropout(_)
        | LayerConfig::GaussianDropout(_)
        | LayerConfig::GaussianNoise(_)
        | LayerConfig::SpatialDropout1d(_)
        | LayerConfig::SpatialDropout2d(_) => Some(Same::InPredictions),
        _ => None,
    }
}

/// Of a model whose layers come one after the other: the inputs whose masks are gone afterwards, and the outputs that may carry one.
pub(super) fn left_by_chain(chain: &[&Part]) -> (Vec<(usize, bool)>, Vec<bool>) {
    let (mut masked, mut same_as_input, mut deletes) = (true, Some(Same::Always), Vec::new());
    for part in chain {
        match &part.kind {
            Kind::Layer(made) => {
                masked = match rule(made) {
                    Rule::Drops => false,
                    Rule::NotZero | Rule::Unequal(_) => true,
                    Rule::Passes | Rule::Any | Rule::Joins(_) => masked,
                };
                same_as_input = match (same_as_input, same(made)) {
                    (Some(_), Some(Same::InPredictions)) => Some(Same::InPredictions),
                    (before, Some(Same::Always)) => before,
                    _ => None,
                };
            }
            Kind::Model(inner) => {
                if let (Some(same), Some((_, in_predictions))) = (same_as_input, inner.deletes.first()) {
                    deletes.push((0, *in_predictions || same == Same::InPredictions));
                }
                masked = inner.masked == [true];
                same_as_input = None;
            }
            _ => {}
        }
    }
    (deletes, vec![masked])
}

/// Whether a mask may be deleted in a model.
pub(super) fn deletes(part: &Part) -> bool {
    let inside = |inner: &Level| !inner.deletes.is_empty();
    attention::deletes_masks(&part.class) || matches!(&part.kind, Kind::Model(inner) if inside(inner))
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
            Join::AdditiveAttention(_) | Join::Attention(_) | Join::MultiHeadAttention(_) => Rule::Passes,
            _ => Rule::Any,
        },
    }
}
