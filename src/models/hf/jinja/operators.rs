//! What stands between values, by Python's rules.

use super::budget::Budget;
use super::failure::Outcome;
use super::tree::{Binary, Compare};
use super::value::{Seq, SeqKind, Value};

/// `a + b` and its kin.
pub fn binary(how: Binary, a: &Value, b: &Value, budget: &mut Budget) -> Outcome<Value> {
    for value in [a, b] {
        if let Value::Undefined(why) = value {
            return Err(why.to_string().into());
        }
    }
    if let (Some(x), Some(y)) = (a.whole(), b.whole()) {
        return whole(how, x, y);
    }
    if let (Some(x), Some(y)) = (a.number(), b.number()) {
        return float(how, x, y).map(Value::Float);
    }
    match (how, a, b) {
        (Binary::Add, Value::Str(x), Value::Str(y)) => {
            budget.make(x.len() + y.len())?;
            Ok(Value::Str([&**x, &**y].concat().into()))
        }
        (Binary::Add, Value::Seq(x), Value::Seq(y)) if x.kind == y.kind && is_whole(x) => {
            budget.make_values(x.items.len() + y.items.len())?;
            Value::seq(x.kind, [&x.items[..], &y.items[..]].concat(), budget)
        }
        (Binary::Multiply, Value::Str(x), y) | (Binary::Multiply, y, Value::Str(x)) if y.whole().is_some() => {
            let times = times(y);
            budget.make(x.len().saturating_mul(times))?;
            Ok(Value::from(x.repeat(times)))
        }
        (Binary::Multiply, Value::Seq(x), y) | (Binary::Multiply, y, Value::Seq(x))
            if y.whole().is_some() && is_whole(x) =>
        {
            let times = times(y);
            budget.make_values(x.items.len().saturating_mul(times))?;
            let repeated = std::iter::repeat_n(&x.items, times).flatten().cloned().collect();
            Value::seq(x.kind, repeated, budget)
        }
        _ => Err(format!("{} between values of types {} and {} is not built", sign(how), a.kind(), b.kind()).into()),
    }
}

fn is_whole(seq: &Seq) -> bool {
    matches!(seq.kind, SeqKind::List | SeqKind::Tuple)
}

fn times(value: &Value) -> usize {
    usize::try_from(value.whole().unwrap_or(0).max(0)).unwrap_or(usize::MAX)
}

fn sign(how: Binary) -> &'static str {
    match how {
        Binary::Add => "+",
        Binary::Subtract => "-",
        Binary::Multiply => "*",
        Binary::Divide => "/",
        Binary::FloorDivide => "//",
        Binary::Remainder => "%",
        Binary::Power => "**",
    }
}

fn whole(how: Binary, a: i64, b: i64) -> Outcome<Value> {
    let by_zero = || format!("{a} {} 0: division by zero", sign(how));
    let result = match how {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide | Binary::FloorDivide | Binary::Remainder if b == 0 => return Err(by_zero().into()),
        Binary::Divide => return float(how, a as f64, b as f64).map(Value::Float),
        // Towards −∞, as Python has it.
        Binary::FloorDivide => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        Binary::Remainder => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        Binary::Power if b < 0 => return float(how, a as f64, b as f64).map(Value::Float),
        Binary::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
    };
    result.map(Value::Int).ok_or_else(|| format!("{a} {} {b} is too large a number", sign(how)).into())
}

fn float(how: Binary, a: f64, b: f64) -> Outcome<f64> {
    let zero = b == 0.0 && matches!(how, Binary::Divide | Binary::FloorDivide | Binary::Remainder);
    if zero || (how == Binary::Power && a == 0.0 && b < 0.0) {
        return Err(format!("{a} {} {b}: division by zero", sign(how)).into());
    }
    Ok(match how {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::FloorDivide | Binary::Remainder | Binary::Power => {
            return Err(format!("{} between numbers that are not whole is not built", sign(how)).into());
        }
    })
}

/// `a < b` and its kin.
pub fn compare(how: Compare, a: &Value, b: &Value, budget: &mut Budget) -> Outcome<bool> {
    Ok(match how {
        Compare::Equal => a.equals(b, budget)?,
        Compare::Unequal => !a.equals(b, budget)?,
        Compare::In => contains(b, a, budget)?,
        Compare::NotIn => !contains(b, a, budget)?,
        Compare::Less => a.order(b, budget)?.is_some_and(|order| order.is_lt()),
        Compare::AtMost => a.order(b, budget)?.is_some_and(|order| order.is_le()),
        Compare::Greater => a.order(b, budget)?.is_some_and(|order| order.is_gt()),
        Compare::AtLeast => a.order(b, budget)?.is_some_and(|order| order.is_ge()),
    })
}

/// Python's `in`.
pub fn contains(all: &Value, one: &Value, budget: &mut Budget) -> Outcome<bool> {
    match (all, one) {
        (Value::Str(all), Value::Str(one)) => {
            budget.look(all.len())?;
            Ok(all.contains(&**one))
        }
        (Value::Str(_), other) => {
            Err(format!("a value of type {} is looked for in a string with `in`", other.kind()).into())
        }
        (Value::Dict(_), key) => {
            key.may_be_key()?;
            Ok(all.entry(key, budget)?.is_some())
        }
        _ => {
            for item in &all.items(budget)?.items {
                if item.equals(one, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// `of[start:stop:step]`.
pub fn slice(of: &Value, ends: [Option<i64>; 3], budget: &mut Budget) -> Outcome<Value> {
    match of {
        Value::Str(text) => {
            budget.make(text.len().saturating_mul(5))?;
            let chars: Vec<char> = text.chars().collect();
            let at = places(chars.len(), ends)?;
            Ok(Value::from(at.into_iter().map(|at| chars[at]).collect::<String>()))
        }
        Value::Seq(seq) if matches!(seq.kind, SeqKind::List | SeqKind::Tuple | SeqKind::Range) => {
            budget.steps(seq.items.len())?;
            let at = places(seq.items.len(), ends)?;
            Value::seq(seq.kind, at.into_iter().map(|at| seq.items[at].clone()).collect(), budget)
        }
        Value::Undefined(why) => Err(why.to_string().into()),
        other => Err(format!("a value of type {} cannot be sliced", other.kind()).into()),
    }
}

/// The places of a slice, by Python's rules.
fn places(len: usize, [start, stop, step]: [Option<i64>; 3]) -> Outcome<Vec<usize>> {
    let (len, step) = (len as i64, step.unwrap_or(1));
    if step == 0 {
        return Err("the step of a slice is 0".into());
    }
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let end = |end: Option<i64>, default: i64| match end {
        Some(at) if at < 0 => at.saturating_add(len).clamp(lowest, highest),
        Some(at) => at.clamp(lowest, highest),
        None => default,
    };
    let (first, last) = if step > 0 { (0, len) } else { (len - 1, -1) };
    let (mut at, stop, mut out) = (end(start, first), end(stop, last), Vec::new());
    while if step > 0 { at < stop } else { at > stop } {
        out.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(out)
}

/// `of[key]`, what is not there included.
pub fn item(of: &Value, key: &Value, budget: &mut Budget) -> Outcome<Value> {
    let place = |len: usize| {
        let at = key.whole()?;
        usize::try_from(if at < 0 { at.checked_add(len as i64)? } else { at }).ok().filter(|at| *at < len)
    };
    let found = match of {
        Value::Undefined(why) => return Err(why.to_string().into()),
        Value::Dict(_) => of.entry(key, budget)?,
        Value::Seq(seq) if matches!(seq.kind, SeqKind::List | SeqKind::Tuple | SeqKind::Range) => {
            place(seq.items.len()).map(|at| seq.items[at].clone())
        }
        Value::Str(text) => {
            budget.look(text.len())?;
            let one = place(text.chars().count()).and_then(|at| text.chars().nth(at));
            one.map(|c| Value::from(c.to_string()))
        }
        _ => None,
    };
    match (found, key) {
        (Some(found), _) => Ok(found),
        (None, Value::Str(name)) => attribute(of, name, budget),
        (None, _) => Ok(Value::undefined(format!("{} object has no element {}", of.kind(), key.text(budget)?))),
    }
}

/// `of.name`, what is not there included.
pub fn attribute(of: &Value, name: &str, budget: &mut Budget) -> Outcome<Value> {
    if name.starts_with("__") {
        return Err(format!("{name:?} is not for templates").into());
    }
    if super::methods::is_method(of, name) {
        return Err(format!("{name:?} of a value of type {} is a method, which is not called here", of.kind()).into());
    }
    let found = match of {
        Value::Undefined(why) => return Err(why.to_string().into()),
        Value::Dict(_) => of.entry(&Value::from(name), budget)?,
        Value::Namespace(values) => values.borrow().get(name).cloned(),
        Value::Loop(state) => state.attribute(name),
        Value::Macro(_) | Value::Function(_) => return Err(format!("{name:?} of a {} is not built", of.kind()).into()),
        _ => None,
    };
    Ok(found.unwrap_or_else(|| Value::missing(of, name)))
}
