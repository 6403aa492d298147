//! A template's body gone through, with its variables.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Given;
use super::budget::{Budget, MOST_CALLS};
use super::failure::{Failure, Outcome, Problem};
use super::filters::filter;
use super::functions;
use super::methods;
use super::operators;
use super::tests_of_values::test;
use super::tree::{Arguments, Expr, For, Kind, Macro, Node, NodeKind, Target};
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
    let mut run = Run { scopes: vec![scope], out: String::new(), budget, now, line: 1, calls: 0 };
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

struct Run {
    /// Variables, the innermost last.
    scopes: Vec<BTreeMap<Arc<str>, Value>>,
    out: String,
    budget: Budget,
    now: i64,
    line: u32,
    /// Macros within each other.
    calls: u32,
}

impl Run {
    fn body(&mut self, nodes: &[Node]) -> Outcome<Next> {
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
                        return Err(format!("the macro {:?} within a loop or another body is not built", definition.name).into());
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

    fn named(&mut self, name: &str) -> Outcome<Value> {
        self.budget.steps(self.scopes.len())?;
        if let Some(value) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Ok(value.clone());
        }
        Ok(functions::named(name)?.unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined"))))
    }

    fn value(&mut self, expr: &Expr) -> Outcome<Value> {
        self.budget.step()?;
        self.line = expr.line;
        Ok(match &expr.kind {
            Kind::None => Value::None,
            Kind::Bool(yes) => Value::Bool(*yes),
            Kind::Int(n) => Value::Int(*n),
            Kind::Float(n) => Value::Float(*n),
            Kind::Str(text) => Value::Str(text.clone()),
            Kind::Name(name) => self.named(name)?,
            Kind::List(all) => {
                let items = self.values(all)?;
                Value::seq(SeqKind::List, items, &mut self.budget)?
            }
            Kind::Tuple(all) => {
                let items = self.values(all)?;
                Value::seq(SeqKind::Tuple, items, &mut self.budget)?
            }
            Kind::Dict(entries) => {
                let mut given = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    given.push((self.value(key)?, self.value(value)?));
                }
                Value::entries(given, &mut self.budget)?
            }
            Kind::Not(a) => Value::Bool(!self.value(a)?.is_true()),
            Kind::Negative(a) | Kind::Positive(a) => {
                let negative = matches!(expr.kind, Kind::Negative(_));
                match self.value(a)? {
                    Value::Float(n) => Value::Float(if negative { -n } else { n }),
                    Value::Undefined(why) => return Err(why.to_string().into()),
                    other => match other.whole().and_then(|n| if negative { n.checked_neg() } else { Some(n) }) {
                        Some(n) => Value::Int(n),
                        None => return Err(format!("a sign before a value of type {}", other.kind()).into()),
                    },
                }
            }
            Kind::And(a, b) => {
                let a = self.value(a)?;
                if a.is_true() { self.value(b)? } else { a }
            }
            Kind::Or(a, b) => {
                let a = self.value(a)?;
                if a.is_true() { a } else { self.value(b)? }
            }
            Kind::Compare(first, others) => {
                let mut left = self.value(first)?;
                for (how, right) in others {
                    let right = self.value(right)?;
                    if !operators::compare(*how, &left, &right, &mut self.budget)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Kind::Binary(how, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                operators::binary(*how, &a, &b, &mut self.budget)?
            }
            Kind::Joined(all) => {
                let mut out = String::new();
                for part in all {
                    let text = self.value(part)?.text(&mut self.budget)?;
                    self.budget.make(text.len())?;
                    out.push_str(&text);
                }
                out.into()
            }
            Kind::Choice { test, then, otherwise } => match (self.value(test)?.is_true(), otherwise) {
                (true, _) => self.value(then)?,
                (false, Some(otherwise)) => self.value(otherwise)?,
                (false, None) => Value::undefined("an `if` without `else` gives nothing"),
            },
            Kind::Attribute(of, name) => {
                let of = self.value(of)?;
                operators::attribute(&of, name, &mut self.budget)?
            }
            Kind::Item(of, key) => {
                let (of, key) = (self.value(of)?, self.value(key)?);
                operators::item(&of, &key, &mut self.budget)?
            }
            Kind::Slice(of, parts) => {
                let of = self.value(of)?;
                let mut ends = [None; 3];
                for (end, part) in ends.iter_mut().zip(parts) {
                    let Some(part) = part else { continue };
                    *end = match self.value(part)? {
                        Value::None => None,
                        other => Some(other.whole().ok_or_else(|| format!("a slice at a value of type {}", other.kind()))?),
                    };
                }
                operators::slice(&of, ends, &mut self.budget)?
            }
            Kind::Call(callee, arguments) => self.call(callee, arguments)?,
            Kind::Filter(value, name, arguments) => {
                let value = self.value(value)?;
                let given = self.given(format!("the filter {name:?}"), arguments)?;
                filter(name, value, given, &mut self.budget)?
            }
            Kind::Test(value, name, arguments) => {
                let value = self.value(value)?;
                let given = self.given(format!("the test {name:?}"), arguments)?;
                Value::Bool(test(name, &value, given, &mut self.budget)?)
            }
        })
    }

    fn values(&mut self, all: &[Expr]) -> Outcome<Vec<Value>> {
        all.iter().map(|expr| self.value(expr)).collect()
    }

    fn given(&mut self, what: String, arguments: &Arguments) -> Outcome<Given> {
        let by_place = self.values(&arguments.by_place)?;
        let mut by_name = Vec::with_capacity(arguments.by_name.len());
        for (name, value) in &arguments.by_name {
            by_name.push((name.clone(), self.value(value)?));
        }
        Ok(Given::new(what, by_place, by_name))
    }

    fn call(&mut self, callee: &Expr, arguments: &Arguments) -> Outcome<Value> {
        if let Kind::Attribute(of, name) = &callee.kind {
            let of = self.value(of)?;
            if methods::is_method(&of, name) {
                let given = self.given(format!("the method {name:?}"), arguments)?;
                return methods::call(&of, name, given, &mut self.budget);
            }
            return match operators::attribute(&of, name, &mut self.budget)? {
                Value::Undefined(why) => Err(why.to_string().into()),
                other => Err(format!("a value of type {} is called", other.kind()).into()),
            };
        }
        match self.value(callee)? {
            Value::Function(function) => {
                let given = self.given(format!("{function:?}").to_lowercase(), arguments)?;
                functions::call(function, given, self.now, &mut self.budget)
            }
            Value::Macro(definition) => {
                let given = self.given(format!("the macro {:?}", definition.name), arguments)?;
                self.call_macro(&definition, given)
            }
            Value::Undefined(why) => Err(why.to_string().into()),
            other => Err(format!("a value of type {} is called", other.kind()).into()),
        }
    }

    fn call_macro(&mut self, definition: &Macro, mut given: Given) -> Outcome<Value> {
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
