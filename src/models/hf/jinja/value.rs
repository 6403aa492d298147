//! Values as a template knows them: Python's.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::budget::{Budget, MOST_LEVELS};
use super::failure::Outcome;
use super::tree::Macro;

#[derive(Clone, Debug)]
pub enum Value {
    /// What is not there, and how that is said.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Seq(Rc<Seq>),
    Dict(Rc<Dict>),
    Namespace(Rc<RefCell<BTreeMap<Arc<str>, Value>>>),
    Loop(Rc<Loop>),
    Macro(Arc<Macro>),
    Function(Function),
}

/// Which kind of Python's sequences it is; what they can do differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqKind {
    List,
    Tuple,
    Range,
    /// What `keys`, `values` and `items` of a dictionary give.
    View,
    /// What is gone through once.
    Lazy,
}

#[derive(Debug)]
pub struct Seq {
    pub kind: SeqKind,
    pub items: Vec<Value>,
    levels: u32,
    used: Cell<bool>,
}

/// In the order of insertion.
#[derive(Debug)]
pub struct Dict {
    pub entries: Vec<(Value, Value)>,
    levels: u32,
}

/// Where a loop stands.
#[derive(Debug)]
pub struct Loop {
    pub at: usize,
    pub items: Rc<Seq>,
    /// What `loop.changed` was given last.
    pub changed: Rc<RefCell<Option<Vec<Value>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Range,
    Dict,
    Namespace,
    RaiseException,
    StrftimeNow,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl Value {
    /// A list that the caller hands over, of values with two levels at most.
    pub fn list(items: Vec<Value>) -> Self {
        Value::Seq(Rc::new(Seq { kind: SeqKind::List, items, levels: 3, used: Cell::new(false) }))
    }

    /// A dictionary that the caller hands over, of values without levels.
    pub fn dict<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect();
        Value::Dict(Rc::new(Dict { entries, levels: 2 }))
    }

    /// A sequence that a template makes.
    pub fn seq(kind: SeqKind, items: Vec<Value>, budget: &mut Budget) -> Outcome<Self> {
        budget.make_values(items.len())?;
        let levels = levels(&items)?;
        Ok(Value::Seq(Rc::new(Seq { kind, items, levels, used: Cell::new(false) })))
    }

    /// A dictionary that a template makes; of equal keys the last value counts, at the first's place.
    pub fn entries(given: Vec<(Value, Value)>, budget: &mut Budget) -> Outcome<Self> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        for (key, value) in given {
            key.may_be_key()?;
            let mut known = None;
            for (i, entry) in entries.iter().enumerate() {
                if entry.0.equals(&key, budget)? {
                    known = Some(i);
                    break;
                }
            }
            match known {
                Some(i) => entries[i].1 = value,
                None => entries.push((key, value)),
            }
        }
        budget.make_values(2 * entries.len())?;
        let inner = levels(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Value::Dict(Rc::new(Dict { entries, levels: inner })))
    }

    pub fn undefined(why: impl Into<String>) -> Self {
        Value::Undefined(why.into().into())
    }

    /// An attribute or item that is not there.
    pub fn missing(of: &Value, name: &str) -> Self {
        Value::undefined(match of {
            Value::None => format!("'None' has no attribute '{name}'"),
            _ => format!("'{} object' has no attribute '{name}'", of.kind()),
        })
    }

    /// The name of its type in Python.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Seq(seq) => match seq.kind {
                SeqKind::List => "list",
                SeqKind::Tuple => "tuple",
                SeqKind::Range => "range",
                SeqKind::View => "view of a dict",
                SeqKind::Lazy => "generator",
            },
            Value::Dict(_) => "dict",
            Value::Namespace(_) => "Namespace",
            Value::Loop(_) => "LoopContext",
            Value::Macro(_) => "Macro",
            Value::Function(_) => "function",
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(yes) => *yes,
            Value::Int(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Seq(seq) => seq.kind == SeqKind::Lazy || !seq.items.is_empty(),
            Value::Dict(dict) => !dict.entries.is_empty(),
            Value::Namespace(_) | Value::Loop(_) | Value::Macro(_) | Value::Function(_) => true,
        }
    }

    /// A whole number; true and false are 1 and 0.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(yes) => Some(i64::from(*yes)),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Float(n) => Some(*n),
            other => other.whole().map(|n| n as f64),
        }
    }

    /// Its values one after the other, as `for` goes through them.
    pub fn items(&self, budget: &mut Budget) -> Outcome<Rc<Seq>> {
        match self {
            Value::Seq(seq) => {
                if seq.kind == SeqKind::Lazy && seq.used.replace(true) {
                    return Err(
                        "a generator is gone through a second time, which gives nothing in Python: put |list behind it"
                            .into(),
                    );
                }
                Ok(seq.clone())
            }
            Value::Undefined(_) => {
                Ok(Rc::new(Seq { kind: SeqKind::Tuple, items: Vec::new(), levels: 1, used: Cell::new(false) }))
            }
            Value::Str(text) => {
                let chars = text.chars().map(|c| Value::from(c.encode_utf8(&mut [0; 4]) as &str));
                budget.make(text.len().saturating_mul(48))?;
                let items: Vec<Value> = chars.collect();
                Ok(Rc::new(Seq { kind: SeqKind::Tuple, items, levels: 1, used: Cell::new(false) }))
            }
            Value::Dict(dict) => {
                budget.make_values(dict.entries.len())?;
                let items = dict.entries.iter().map(|(key, _)| key.clone()).collect();
                Ok(Rc::new(Seq { kind: SeqKind::Tuple, items, levels: dict.levels, used: Cell::new(false) }))
            }
            other => Err(format!("a value of type {} cannot be gone through", other.kind()).into()),
        }
    }

    /// The value of a key of a dictionary.
    pub fn entry(&self, key: &Value, budget: &mut Budget) -> Outcome<Option<Value>> {
        let Value::Dict(dict) = self else { return Ok(None) };
        for (known, value) in &dict.entries {
            if known.equals(key, budget)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    /// An error for what dictionaries have no keys of.
    pub fn may_be_key(&self) -> Outcome<()> {
        match self {
            Value::Dict(_) => Err("a dict cannot be a key".into()),
            Value::Seq(seq) if !matches!(seq.kind, SeqKind::Tuple | SeqKind::Range) => {
                Err(format!("a {} cannot be a key", self.kind()).into())
            }
            _ => Ok(()),
        }
    }

    /// Python's `==`.
    pub fn equals(&self, other: &Value, budget: &mut Budget) -> Outcome<bool> {
        budget.step()?;
        Ok(match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a), Value::Str(b)) => {
                budget.look(if a.len() == b.len() { a.len() } else { 0 })?;
                a == b
            }
            (Value::Seq(a), Value::Seq(b)) => {
                let kinds = [SeqKind::List, SeqKind::Tuple, SeqKind::Range];
                if !kinds.contains(&a.kind) || !kinds.contains(&b.kind) {
                    return Err(format!(
                        "values of type {} are not compared",
                        if kinds.contains(&a.kind) { b } else { a }.kind_name()
                    )
                    .into());
                }
                if a.kind != b.kind || a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, value) in &a.entries {
                    match other.entry(key, budget)? {
                        Some(found) if found.equals(value, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            (Value::Macro(a), Value::Macro(b)) => Arc::ptr_eq(a, b),
            (a, b) => match (a.whole(), b.whole()) {
                (Some(a), Some(b)) => a == b,
                _ => matches!((a.number(), b.number()), (Some(a), Some(b)) if a == b),
            },
        })
    }

    /// Python's `<` and its kin; none for NaN.
    pub fn order(&self, other: &Value, budget: &mut Budget) -> Outcome<Option<Ordering>> {
        budget.step()?;
        match (self, other) {
            (Value::Undefined(why), _) | (_, Value::Undefined(why)) => Err(why.to_string().into()),
            (Value::Str(a), Value::Str(b)) => {
                budget.look(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            (Value::Seq(a), Value::Seq(b)) if a.kind == b.kind && matches!(a.kind, SeqKind::List | SeqKind::Tuple) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, budget)? {
                        return a.order(b, budget);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            (a, b) => match (a.whole(), b.whole(), a.number(), b.number()) {
                (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
                (.., Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(format!("values of types {} and {} have no order", a.kind(), b.kind()).into()),
            },
        }
    }
}

impl Seq {
    fn kind_name(&self) -> &'static str {
        match self.kind {
            SeqKind::Lazy => "generator",
            _ => "view of a dict",
        }
    }
}

/// The levels of what holds these; namespaces and what can be called stay in variables, so that nothing holds itself.
fn levels<'v>(items: impl IntoIterator<Item = &'v Value>) -> Outcome<u32> {
    let mut most = 0;
    for item in items {
        item.may_be_held()?;
        most = most.max(match item {
            Value::Seq(seq) => seq.levels,
            Value::Dict(dict) => dict.levels,
            _ => 0,
        });
    }
    if most >= MOST_LEVELS {
        return Err(format!("more than {MOST_LEVELS} levels of lists within lists").into());
    }
    Ok(most + 1)
}

impl Value {
    /// An error for what lists, dictionaries and namespaces do not hold.
    pub fn may_be_held(&self) -> Outcome<()> {
        match self {
            Value::Namespace(_) | Value::Loop(_) | Value::Macro(_) | Value::Function(_) => {
                Err(format!("a value of type {} within another value is not built", self.kind()).into())
            }
            _ => Ok(()),
        }
    }
}
