//! A template's body gone through, with its variables.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Given;
use super::budget::{Budget, MOST_CALLS, MOST_NESTED};
use super::failure::{Failure, Outcome, Problem};
use super::functions;
use super::tree::{Expr, For, Macro, Node, NodeKind, Target};
use super::value::{Loop, SeqKind, Value};

/// The text of a body.
pub fn render(body: &[Node], variables: Vec<(&str, Value)>, now: i64) -> Result<String, Failure> {
    fn bytes(value: &Value) -> u64 {
        match value {
            Value::Str(text) => text.len() as u64 + 32,
            Value::Seq(seq) => seq.items.iter().map(bytes).sum(),
            Value::Dict(dict) => dict.entries.iter().map(|(key, value)| bytes(key) + bytes(value)).sum(),
            _ => 32,
        }
    }
    let budget = Budget::new(variables.iter().map(|(_, value)| bytes(value)).sum());
    let scope = variables.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let mut run = Run { scopes: vec![scope], out: String::new(), budget, now, line: 1, calls: 0, levels: 0 };
    match run.body(body) {
        Ok(_) => Ok(run.out),
        Err(Problem { text, raised }) => Err(Failure { line: run.line, problem: text, raised }),
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Node,
    /// The loop's end.
    Break,
    /// The loop's next item.
    Continue,
}

pub(super) struct Run {
    /// Variables, the innermost last.
    scopes: Vec<BTreeMap<Arc<str>, Value>>,
    out: String,
    pub(super) budget: Budget,
    pub(super) now: i64,
    pub(super) line: u32,
    /// Macros within each other; bodies and expressions.
    calls: u32,
    levels: u32,
}

impl Run {
    /// Something within something else, which a stack has to hold.
    pub(super) fn deeper<V>(&mut self, inside: impl FnOnce(&mut Self) -> Outcome<V>) -> Outcome<V> {
        if self.levels == MOST_NESTED {
            return Err(format!("more than {MOST_NESTED} levels of bodies, expressions and macros").into());
        }
        self.levels += 1;
        let result = inside(self);
        self.levels -= 1;
        result
    }

    fn body(&mut self, nodes: &[Node]) -> Outcome<Next> {
        self.deeper(|run| run.nodes(nodes))
    }

    fn nodes(&mut self, nodes: &[Node]) -> Outcome<Next> {
        for node in nodes {
            self.budget.step()?;
            self.line = node.line;
            let next = match &node.kind {
                NodeKind::Text(text) => self.write(text)?,
                NodeKind::Print(shown) => {
                    let text = self.value(shown)?.text(&mut self.budget)?;
                    self.write(&text)?
                }
                NodeKind::If(cases, otherwise) => self.condition(cases, otherwise)?,
                NodeKind::For(repetition) => self.repeat(repetition)?,
                NodeKind::Set(target, value) => {
                    let value = self.value(value)?;
                    self.assign(target, value)?
                }
                NodeKind::SetText(target, body) => {
                    let text = self.written(body)?;
                    self.assign(target, text)?
                }
                NodeKind::Macro(definition) => {
                    if self.scopes.len() > 1 {
                        return Err(format!(
                            "the macro {:?} within a loop or another body is not built",
                            definition.name
                        )
                        .into());
                    }
                    self.set(&definition.name, Value::Macro(definition.clone()))?
                }
                NodeKind::Generation(body) => {
                    let text = self.written(body)?.text(&mut self.budget)?;
                    self.write(&text)?
                }
                NodeKind::Break => Next::Break,
                NodeKind::Continue => Next::Continue,
            };
            if next != Next::Node {
                return Ok(next);
            }
        }
        Ok(Next::Node)
    }

    fn write(&mut self, text: &str) -> Outcome<Next> {
        self.budget.make(text.len())?;
        self.out.push_str(text);
        Ok(Next::Node)
    }

    /// The text of a body with variables of its own.
    fn written(&mut self, body: &[Node]) -> Outcome<Value> {
        let before = std::mem::take(&mut self.out);
        self.scopes.push(BTreeMap::new());
        self.body(body)?;
        self.scopes.pop();
        Ok(std::mem::replace(&mut self.out, before).into())
    }

    fn condition(&mut self, cases: &[(Expr, Vec<Node>)], otherwise: &[Node]) -> Outcome<Next> {
        for (test, body) in cases {
            if self.value(test)?.is_true() {
                return self.body(body);
            }
        }
        self.body(otherwise)
    }

    fn repeat(&mut self, For { target, over, only_if, body, otherwise }: &For) -> Outcome<Next> {
        let mut items = self.value(over)?.items(&mut self.budget)?;
        if let Some(test) = only_if {
            let mut kept = Vec::new();
            for item in &items.items {
                self.budget.step()?;
                self.scopes.push(BTreeMap::new());
                self.assign(target, item.clone())?;
                if self.value(test)?.is_true() {
                    kept.push(item.clone());
                }
                self.scopes.pop();
            }
            items = Value::seq(SeqKind::List, kept, &mut self.budget)?.items(&mut self.budget)?;
        }
        if items.items.is_empty() {
            self.scopes.push(BTreeMap::new());
            let next = self.body(otherwise)?;
            self.scopes.pop();
            return Ok(next);
        }
        let changed = Rc::new(RefCell::new(None));
        for (at, item) in items.items.iter().enumerate() {
            self.budget.step()?;
            let state = Loop { at, items: items.clone(), changed: changed.clone() };
            // Variables of one iteration are not there in the next.
            self.scopes.push(BTreeMap::from([("loop".into(), Value::Loop(Rc::new(state)))]));
            self.assign(target, item.clone())?;
            let next = self.body(body)?;
            self.scopes.pop();
            if next == Next::Break {
                break;
            }
        }
        Ok(Next::Node)
    }

    fn set(&mut self, name: &Arc<str>, value: Value) -> Outcome<Next> {
        self.budget.make(64)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.clone(), value);
        }
        Ok(Next::Node)
    }

    fn assign(&mut self, target: &Target, value: Value) -> Outcome<Next> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attribute(of, name) => {
                let Value::Namespace(values) = self.named(of)? else {
                    return Err(format!("{of}.{name} is assigned to, and {of} is no namespace").into());
                };
                value.may_be_held()?;
                self.budget.make(64)?;
                values.borrow_mut().insert(functions::allowed(name)?.into(), value);
                Ok(Next::Node)
            }
            Target::Several(targets) => {
                let items = value.items(&mut self.budget)?;
                if items.items.len() != targets.len() {
                    let (got, wanted) = (items.items.len(), targets.len());
                    return Err(format!("{got} values are taken apart into {wanted}").into());
                }
                for (target, item) in targets.iter().zip(&items.items) {
                    self.assign(target, item.clone())?;
                }
                Ok(Next::Node)
            }
        }
    }

    pub(super) fn named(&mut self, name: &str) -> Outcome<Value> {
        self.budget.steps(self.scopes.len())?;
        if let Some(value) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Ok(value.clone());
        }
        Ok(functions::named(name)?.unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined"))))
    }

    pub(super) fn call_macro(&mut self, definition: &Macro, mut given: Given) -> Outcome<Value> {
        if self.calls == MOST_CALLS {
            return Err(format!("more than {MOST_CALLS} macros call each other").into());
        }
        self.calls += 1;
        // A macro sees the variables of the template, not those of who calls it.
        let others = self.scopes.split_off(1);
        let before = std::mem::take(&mut self.out);
        self.scopes.push(BTreeMap::new());
        for (name, default) in &definition.parameters {
            let value = match (given.take(name), default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.value(default)?,
                (None, None) => Value::undefined(format!("parameter '{name}' was not provided")),
            };
            self.set(name, value)?;
        }
        given.end()?;
        self.body(&definition.body)?;
        self.scopes.truncate(1);
        self.scopes.extend(others);
        self.calls -= 1;
        Ok(std::mem::replace(&mut self.out, before).into())
    }
}
