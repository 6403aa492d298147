//! Graphs from built graphs: the part between some values, and the whole to be added to.

use std::collections::BTreeMap;

use super::node::{Item, NodeSpec, ScopeSpec, Settings};
use super::outline::Outline;
use super::{DynPart, Graph, Net, SharedPart, Value, Work};
use crate::error::{Error, Result};
use crate::layers::Identity;
use crate::tensor::{Float, Shape};

/// A value that becomes an input: its name, shape, and place so far.
pub(crate) type NewInput = (String, Shape, u32);

impl<T: Float> Net<T> {
    /// The shape of a sample of a value.
    pub(crate) fn value_shape(&self, value: u32) -> Shape {
        self.shapes[value as usize]
    }

    /// The shape of a sample of a value in the next pass, which has been prepared.
    #[cfg_attr(not(feature = "tools"), allow(dead_code))]
    pub(crate) fn shape_now(&self, work: &Work<T>, value: u32) -> Shape {
        let shapes = if self.open { work.sizes.shapes() } else { &self.shapes };
        shapes.get(value as usize).copied().unwrap_or_default()
    }

    /// Whether a value is there after a pass: it is an input, or an output needs it.
    #[cfg_attr(not(feature = "tools"), allow(dead_code))]
    pub(crate) fn gives(&self, value: u32) -> bool {
        (value as usize) < self.inputs.len() || self.named().any(|(_, _, wires)| wires.outputs.contains(&value))
    }
}

impl Graph {
    /// A graph of the same inputs and nodes, under the names that they were built with, to which more can be added.
    pub(crate) fn again(&self, outline: &[Outline]) -> Graph {
        let mut firsts = BTreeMap::new();
        let items = self.items().iter().zip(outline).map(|(item, part)| named(item, part, &mut firsts)).collect();
        let mut shared = self.shared.clone();
        // A graph from a file knows the numbers alone of what is shared.
        let numbers = firsts.keys().next_back().map_or(0, |last| last + 1);
        while shared.len() < numbers {
            shared.push(SharedPart { name: String::new(), part: DynPart::new(Identity::new()) });
        }
        Graph {
            inputs: self.inputs.clone(),
            open: vec![items],
            values: self.values,
            shared,
            adapters: self.adapters.clone(),
            ..Graph::new()
        }
    }

    /// The value at a place.
    pub(crate) fn value_at(&self, index: u32) -> Value {
        Value { graph: self.id, index }
    }

    /// The places of the outputs, once they are fixed.
    pub(crate) fn output_places(&self) -> &[u32] {
        &self.outputs
    }

    /// The inputs as they are.
    pub(crate) fn own_inputs(&self) -> Vec<NewInput> {
        self.inputs.iter().zip(0..).map(|((name, shape), v)| (name.clone(), *shape, v)).collect()
    }

    /// Keeps the nodes that lead from `inputs`, which take the place of those so far, to `outputs`. Gives the numbers of the nodes that
    /// are kept, counted through all scopes.
    ///
    /// # Errors
    /// [`Error::Config`] for one of `inputs` that no output depends on, and for an input so far that an output depends on beside them.
    pub(crate) fn prune(&mut self, op: &'static str, inputs: Vec<NewInput>, outputs: &[u32]) -> Result<Vec<usize>> {
        let mut cut: BTreeMap<u32, u32> = BTreeMap::new();
        for ((name, _, v), i) in inputs.iter().zip(0..) {
            if let Some(other) = cut.insert(*v, i) {
                let problem = format!("{} and {name} are the same value", inputs[other as usize].0);
                return Err(Error::Config { op, problem, hint: "name one of them".into() });
            }
        }
        let mut needed = vec![false; self.values as usize];
        outputs.iter().for_each(|&v| needed[v as usize] = true);
        self.items().iter().rev().for_each(|item| need(item, &cut, &mut needed));
        if let Some((name, ..)) = inputs.iter().find(|(_, _, v)| !needed[*v as usize]) {
            let problem = format!("no output depends on {name}");
            return Err(Error::Config { op, problem, hint: "leave it out, or ask for an output behind it".into() });
        }
        let own = self.inputs.iter().zip(0..).filter(|(_, v)| needed[*v as usize] && !cut.contains_key(v));
        let beside: Vec<&str> = own.map(|((name, _), _)| name.as_str()).collect();
        if !beside.is_empty() {
            let from: Vec<&str> = inputs.iter().map(|(name, ..)| name.as_str()).collect();
            let problem =
                format!("the outputs do not follow from {} alone, but from {} too", from.join(", "), beside.join(", "));
            let hint = "begin at these inputs as well, or at values behind them";
            return Err(Error::Config { op, problem, hint: hint.into() });
        }
        let mut keep =
            Keep { needed, places: cut.clone(), cut, values: inputs.len() as u32, nodes: 0, kept: Vec::new() };
        let items = std::mem::take(&mut self.open);
        self.open =
            items.into_iter().map(|items| items.into_iter().filter_map(|item| keep.item(item).0).collect()).collect();
        self.outputs = outputs.iter().map(|v| keep.places[v]).collect();
        self.inputs = inputs.into_iter().map(|(name, shape, _)| (name, shape)).collect();
        self.values = keep.values;
        Ok(keep.kept)
    }
}

/// An item with the names of its outline. What is shared says what holds for its weights wherever it is applied, as the first place may
/// be left out.
fn named(item: &Item, part: &Outline, firsts: &mut BTreeMap<usize, ScopeSpec>) -> Item {
    match item {
        Item::Node(node) => Item::Node(NodeSpec { name: Some(part.name.clone()), ..node.clone() }),
        Item::Scope(scope) => {
            let items = scope.items.iter().zip(&part.parts).map(|(item, part)| named(item, part, firsts)).collect();
            let mut scope = ScopeSpec {
                class: scope.class,
                name: Some(part.label().to_owned()),
                settings: scope.settings,
                shared: scope.shared,
                items,
            };
            if let Some(shared) = scope.shared {
                match firsts.get(&shared) {
                    Some(first) => settle_as(&mut scope, first),
                    None => {
                        firsts.insert(shared, scope.clone());
                    }
                }
            }
            Item::Scope(scope)
        }
    }
}

fn settle_as(scope: &mut ScopeSpec, first: &ScopeSpec) {
    scope.settings = first.settings;
    for pair in scope.items.iter_mut().zip(&first.items) {
        match pair {
            (Item::Node(node), Item::Node(first)) => node.settings = first.settings,
            (Item::Scope(scope), Item::Scope(first)) => settle_as(scope, first),
            _ => {}
        }
    }
}

/// Marks what an item needs if it is needed.
fn need(item: &Item, cut: &BTreeMap<u32, u32>, needed: &mut [bool]) {
    match item {
        Item::Node(node) => {
            if node.outputs.clone().any(|v| needed[v as usize] && !cut.contains_key(&v)) {
                node.inputs.iter().for_each(|&v| needed[v as usize] = true);
            }
        }
        Item::Scope(scope) => scope.items.iter().rev().for_each(|item| need(item, cut, needed)),
    }
}

/// What pruning has found so far.
struct Keep {
    needed: Vec<bool>,
    /// Values that became inputs.
    cut: BTreeMap<u32, u32>,
    /// The new place of each value that is kept.
    places: BTreeMap<u32, u32>,
    values: u32,
    /// How many nodes were seen, and which of them are kept.
    nodes: usize,
    kept: Vec<usize>,
}

impl Keep {
    /// What is kept of an item, and whether that is all of it.
    fn item(&mut self, item: Item) -> (Option<Item>, bool) {
        match item {
            Item::Node(mut node) => {
                self.nodes += 1;
                if !node.outputs.clone().any(|v| self.needed[v as usize] && !self.cut.contains_key(&v)) {
                    return (None, false);
                }
                self.kept.push(self.nodes - 1);
                node.inputs.iter_mut().for_each(|v| *v = self.places[v]);
                let first = self.values;
                for v in node.outputs.clone() {
                    self.places.entry(v).or_insert(self.values);
                    self.values += 1;
                }
                node.outputs = first..self.values;
                (Some(Item::Node(node)), true)
            }
            Item::Scope(mut scope) => {
                let mut whole = true;
                let items = std::mem::take(&mut scope.items);
                for item in items {
                    let (kept, all) = self.item(item);
                    scope.items.extend(kept);
                    whole &= all;
                }
                if !whole {
                    // A part of a Residual is none.
                    scope.class = "scope";
                }
                ((!scope.items.is_empty()).then_some(Item::Scope(scope)), whole)
            }
        }
    }
}

impl Graph {
    /// What holds for the weights of an entry from now on, by its positions in an [`Outline`].
    pub(crate) fn set(&mut self, at: &[usize], trainable: Option<bool>, learning_rate_factor: Option<f64>) {
        let Some(items) = self.open.first_mut() else { return };
        if let Some(trainable) = trainable {
            set_trainable(items, at, trainable);
        }
        if let (Some(factor), Some(settings)) = (learning_rate_factor, settings_at(items, at)) {
            settings.learning_rate_factor = factor;
        }
    }
}

fn settings_at<'a>(items: &'a mut [Item], at: &[usize]) -> Option<&'a mut Settings> {
    let (first, rest) = at.split_first()?;
    match (items.get_mut(*first)?, rest) {
        (item, []) => Some(item.settings()),
        (Item::Scope(scope), rest) => settings_at(&mut scope.items, rest),
        (Item::Node(_), _) => None,
    }
}

/// Freezes or thaws an entry. Where it lies in what is frozen and is thawed, what is beside it stays frozen.
fn set_trainable(items: &mut [Item], at: &[usize], trainable: bool) {
    let Some((first, rest)) = at.split_first() else { return };
    let Some(item) = items.get_mut(*first) else { return };
    match item {
        Item::Scope(scope) if !rest.is_empty() => {
            if trainable && !scope.settings.trainable {
                scope.settings.trainable = true;
                scope.items.iter_mut().for_each(|item| item.settings().trainable = false);
            }
            set_trainable(&mut scope.items, rest, trainable);
        }
        item => all_below(item, trainable),
    }
}

fn all_below(item: &mut Item, trainable: bool) {
    item.settings().trainable = trainable;
    if let Item::Scope(scope) = item {
        scope.items.iter_mut().for_each(|item| all_below(item, trainable));
    }
}
