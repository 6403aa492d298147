//! What expressions are worth.

use super::arguments::Given;
use super::failure::Outcome;
use super::filters::filter;
use super::functions;
use super::methods;
use super::operators;
use super::run::Run;
use super::tests_of_values::test;
use super::tree::{Arguments, Compare, Expr, Kind};
use super::value::{SeqKind, Value};

impl Run {
    /// The value of an expression. Each kind has a function of its own, so that levels take little of the stack.
    pub(super) fn value(&mut self, expr: &Expr) -> Outcome<Value> {
        self.budget.step()?;
        self.line = expr.line;
        self.deeper(|run| match &expr.kind {
            Kind::None => Ok(Value::None),
            Kind::Bool(yes) => Ok(Value::Bool(*yes)),
            Kind::Int(n) => Ok(Value::Int(*n)),
            Kind::Float(n) => Ok(Value::Float(*n)),
            Kind::Str(text) => Ok(Value::Str(text.clone())),
            Kind::Name(name) => run.named(name),
            Kind::List(all) => run.seq(SeqKind::List, all),
            Kind::Tuple(all) => run.seq(SeqKind::Tuple, all),
            Kind::Dict(entries) => run.dict(entries),
            Kind::Not(a) => Ok(Value::Bool(!run.value(a)?.is_true())),
            Kind::Negative(a) => run.signed(true, a),
            Kind::Positive(a) => run.signed(false, a),
            Kind::And(a, b) => run.one_of(false, a, b),
            Kind::Or(a, b) => run.one_of(true, a, b),
            Kind::Compare(first, others) => run.compared(first, others),
            Kind::Binary(how, a, b) => {
                let (a, b) = (run.value(a)?, run.value(b)?);
                operators::binary(*how, &a, &b, &mut run.budget)
            }
            Kind::Joined(all) => run.joined(all),
            Kind::Choice { test, then, otherwise } => match (run.value(test)?.is_true(), otherwise) {
                (true, _) => run.value(then),
                (false, Some(otherwise)) => run.value(otherwise),
                (false, None) => Ok(Value::undefined("an `if` without `else` gives nothing")),
            },
            Kind::Attribute(of, name) => {
                let of = run.value(of)?;
                operators::attribute(&of, name, &mut run.budget)
            }
            Kind::Item(of, key) => {
                let (of, key) = (run.value(of)?, run.value(key)?);
                operators::item(&of, &key, &mut run.budget)
            }
            Kind::Slice(of, ends) => run.slice(of, ends),
            Kind::Call(callee, arguments) => run.call(callee, arguments),
            Kind::Filter(value, name, arguments) => run.filtered(value, name, arguments),
            Kind::Test(value, name, arguments) => run.tested(value, name, arguments),
        })
    }

    fn values(&mut self, all: &[Expr]) -> Outcome<Vec<Value>> {
        let mut values = Vec::with_capacity(all.len());
        for expr in all {
            values.push(self.value(expr)?);
        }
        Ok(values)
    }

    fn seq(&mut self, kind: SeqKind, all: &[Expr]) -> Outcome<Value> {
        let items = self.values(all)?;
        Value::seq(kind, items, &mut self.budget)
    }

    fn dict(&mut self, entries: &[(Expr, Expr)]) -> Outcome<Value> {
        let mut given = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            given.push((self.value(key)?, self.value(value)?));
        }
        Value::entries(given, &mut self.budget)
    }

    fn signed(&mut self, negative: bool, a: &Expr) -> Outcome<Value> {
        match self.value(a)? {
            Value::Float(n) => Ok(Value::Float(if negative { -n } else { n })),
            Value::Undefined(why) => Err(why.to_string().into()),
            other => match other.whole().and_then(|n| if negative { n.checked_neg() } else { Some(n) }) {
                Some(n) => Ok(Value::Int(n)),
                None => Err(format!("a sign before a value of type {}", other.kind()).into()),
            },
        }
    }

    /// `a or b`, `a and b`: the first that decides.
    fn one_of(&mut self, wanted: bool, a: &Expr, b: &Expr) -> Outcome<Value> {
        let a = self.value(a)?;
        if a.is_true() == wanted { Ok(a) } else { self.value(b) }
    }

    fn compared(&mut self, first: &Expr, others: &[(Compare, Expr)]) -> Outcome<Value> {
        let mut left = self.value(first)?;
        for (how, right) in others {
            let right = self.value(right)?;
            if !operators::compare(*how, &left, &right, &mut self.budget)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn joined(&mut self, all: &[Expr]) -> Outcome<Value> {
        let mut out = String::new();
        for part in all {
            let text = self.value(part)?.text(&mut self.budget)?;
            self.budget.make(text.len())?;
            out.push_str(&text);
        }
        Ok(out.into())
    }

    fn slice(&mut self, of: &Expr, parts: &[Option<Box<Expr>>; 3]) -> Outcome<Value> {
        let of = self.value(of)?;
        let mut ends = [None; 3];
        for (end, part) in ends.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            *end = match self.value(part)? {
                Value::None => None,
                other => Some(other.whole().ok_or_else(|| format!("a slice at a value of type {}", other.kind()))?),
            };
        }
        operators::slice(&of, ends, &mut self.budget)
    }

    fn filtered(&mut self, value: &Expr, name: &str, arguments: &Arguments) -> Outcome<Value> {
        let value = self.value(value)?;
        let given = self.given(format!("the filter {name:?}"), arguments)?;
        filter(name, value, given, &mut self.budget)
    }

    fn tested(&mut self, value: &Expr, name: &str, arguments: &Arguments) -> Outcome<Value> {
        let value = self.value(value)?;
        let given = self.given(format!("the test {name:?}"), arguments)?;
        Ok(Value::Bool(test(name, &value, given, &mut self.budget)?))
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
}
