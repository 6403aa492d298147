//! `value | filter`.

use super::arguments::Given;
use super::budget::Budget;
use super::failure::Outcome;
use super::operators;
use super::tests_of_values::test;
use super::value::{SeqKind, Value};
use super::written::Json;
use super::{methods, tree};

/// A filter by its name.
pub fn filter(name: &str, value: Value, mut given: Given, budget: &mut Budget) -> Outcome<Value> {
    let result = match name {
        "trim" => {
            let (text, chars) = (value.text(budget)?, given.string_or("chars")?);
            budget.make(text.len())?;
            methods::strip(&text, chars.as_deref(), true, true, budget)?.into()
        }
        "string" => Value::Str(value.text(budget)?),
        "safe" => value,
        "upper" => methods::upper(&value.text(budget)?, budget)?,
        "lower" => methods::lower(&value.text(budget)?, budget)?,
        "capitalize" => methods::capitalize(&value.text(budget)?, budget)?,
        "title" => methods::title(&value.text(budget)?, budget)?,
        "replace" => {
            let (text, old, new) = (value.text(budget)?, given.need("old")?, given.need("new")?);
            let count = match given.take("count") {
                None | Some(Value::None) => -1,
                Some(count) => {
                    count.whole().ok_or_else(|| format!("replace is given a count of type {}", count.kind()))?
                }
            };
            methods::replace(&text, &old.text(budget)?, &new.text(budget)?, count, budget)?
        }
        "length" | "count" => Value::Int(length(&value, budget)?),
        "default" | "d" => {
            let default = given.take("default_value").unwrap_or_else(|| "".into());
            let if_false = given.flag_or("boolean", false);
            if value.is_undefined() || (if_false && !value.is_true()) { default } else { value }
        }
        "list" => {
            let items = value.items(budget)?.items.clone();
            Value::seq(SeqKind::List, items, budget)?
        }
        "first" => match &value {
            Value::Str(text) => text.chars().next().map(|c| c.to_string().into()),
            _ => value.items(budget)?.items.first().cloned(),
        }
        .unwrap_or_else(|| Value::undefined("No first item, sequence was empty.")),
        "last" => match &value {
            Value::Str(text) => text.chars().next_back().map(|c| c.to_string().into()),
            Value::Seq(seq) if seq.kind == SeqKind::Lazy => {
                return Err("a generator has no last item that is known: put |list before".into());
            }
            _ => value.items(budget)?.items.last().cloned(),
        }
        .unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")),
        "join" => {
            let between = given.take("d").unwrap_or_else(|| "".into()).text(budget)?;
            let attribute = given.take("attribute").filter(|name| !matches!(name, Value::None));
            let items = value.items(budget)?;
            let mut out = String::new();
            for (i, item) in items.items.iter().enumerate() {
                let text = match &attribute {
                    Some(name) => attribute_of(item, name, budget)?.text(budget)?,
                    None => item.text(budget)?,
                };
                let between = if i > 0 { &*between } else { "" };
                budget.step()?;
                budget.make(between.len() + text.len())?;
                out.push_str(between);
                out.push_str(&text);
            }
            out.into()
        }
        "reverse" => match &value {
            Value::Str(text) => {
                budget.make(text.len())?;
                text.chars().rev().collect::<String>().into()
            }
            _ => {
                let mut items = value.items(budget)?.items.clone();
                items.reverse();
                Value::seq(SeqKind::Lazy, items, budget)?
            }
        },
        "items" => match &value {
            Value::Undefined(_) => Value::seq(SeqKind::Lazy, Vec::new(), budget)?,
            Value::Dict(_) => {
                let pairs = methods::call(&value, "items", Given::new("items".into(), Vec::new(), Vec::new()), budget)?;
                Value::seq(SeqKind::Lazy, pairs.items(budget)?.items.clone(), budget)?
            }
            other => return Err(format!("items wants a dictionary, got a value of type {}", other.kind()).into()),
        },
        "tojson" => tojson(&value, &mut given, budget)?,
        "int" => {
            let default = given.take("default").unwrap_or(Value::Int(0));
            match &value {
                Value::Int(_) | Value::Bool(_) => Value::Int(value.whole().unwrap_or(0)),
                Value::Float(n) if n.is_finite() && n.abs() < 9e18 => Value::Int(n.trunc() as i64),
                Value::Str(text) => {
                    let text = text.trim_matches(super::lexer::is_space);
                    text.parse().map(Value::Int).unwrap_or(default)
                }
                Value::None => default,
                Value::Undefined(why) => return Err(why.to_string().into()),
                other => return Err(format!("int of a value of type {} is not built", other.kind()).into()),
            }
        }
        "float" => {
            let default = given.take("default").unwrap_or(Value::Float(0.0));
            match &value {
                Value::Str(text) => {
                    let text = text.trim_matches(super::lexer::is_space);
                    text.parse().map(Value::Float).unwrap_or(default)
                }
                Value::Undefined(why) => return Err(why.to_string().into()),
                other => other.number().map_or(default, Value::Float),
            }
        }
        "abs" => match &value {
            Value::Float(n) => Value::Float(n.abs()),
            other => match other.whole().and_then(i64::checked_abs) {
                Some(n) => Value::Int(n),
                None => return Err(format!("abs of a value of type {} is not built", other.kind()).into()),
            },
        },
        "select" | "reject" | "selectattr" | "rejectattr" => chosen(name, &value, &mut given, budget)?,
        "map" => mapped(&value, &mut given, budget)?,
        "sort" => sorted(&value, &mut given, budget)?,
        "unique" => {
            let items = value.items(budget)?;
            let mut out: Vec<Value> = Vec::new();
            for item in &items.items {
                let key = folded(item, budget)?;
                key.may_be_key()?;
                let mut known = false;
                for other in &out {
                    known = known || folded(other, budget)?.equals(&key, budget)?;
                }
                if !known {
                    out.push(item.clone());
                }
            }
            Value::seq(SeqKind::Lazy, out, budget)?
        }
        "min" | "max" | "sum" => total(name, &value, budget)?,
        "dictsort" => {
            let Value::Dict(dict) = &value else { return Err("dictsort wants a dictionary".into()) };
            let mut keyed = Vec::new();
            for (key, item) in &dict.entries {
                keyed.push((folded(key, budget)?, vec![key.clone(), item.clone()]));
            }
            let pairs: Outcome<Vec<Value>> =
                in_order(keyed, budget)?.into_iter().map(|pair| Value::seq(SeqKind::Tuple, pair, budget)).collect();
            Value::seq(SeqKind::List, pairs?, budget)?
        }
        "indent" => indented(&value, &mut given, budget)?,
        other => return Err(format!("the filter {other:?} is not built").into()),
    };
    given.end()?;
    Ok(result)
}

/// Python's `len`.
pub fn length(value: &Value, budget: &mut Budget) -> Outcome<i64> {
    Ok(match value {
        Value::Str(text) => {
            budget.look(text.len())?;
            text.chars().count()
        }
        Value::Seq(seq) if seq.kind != SeqKind::Lazy => seq.items.len(),
        Value::Dict(dict) => dict.entries.len(),
        Value::Loop(state) => state.items.items.len(),
        Value::Undefined(_) => 0,
        other => return Err(format!("a value of type {} has no length", other.kind()).into()),
    } as i64)
}

/// An attribute as filters name it: `"a"`, `"a.b"`, or a number.
fn attribute_of(item: &Value, name: &Value, budget: &mut Budget) -> Outcome<Value> {
    let Value::Str(path) = name else { return operators::item(item, name, budget) };
    let mut value = item.clone();
    for part in path.split('.') {
        let key = part.parse().map_or_else(|_| Value::from(part), Value::Int);
        value = operators::item(&value, &key, budget)?;
    }
    Ok(value)
}

fn chosen(name: &str, value: &Value, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let attribute = if name.ends_with("attr") { Some(given.need("an attribute")?) } else { None };
    let how = given.string_or("a test")?;
    let arguments: Vec<Value> = given.by_place.by_ref().collect();
    let wanted = name.starts_with("select");
    let mut out = Vec::new();
    for item in &value.items(budget)?.items {
        budget.steps(1 + arguments.len())?;
        let tested = match &attribute {
            Some(name) => attribute_of(item, name, budget)?,
            None => item.clone(),
        };
        let holds = match &how {
            Some(how) => {
                let given = Given::new(format!("the test {how:?}"), arguments.clone(), Vec::new());
                test(how, &tested, given, budget)?
            }
            None => tested.is_true(),
        };
        if holds == wanted {
            out.push(item.clone());
        }
    }
    Value::seq(SeqKind::Lazy, out, budget)
}

fn mapped(value: &Value, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let mut out = Vec::new();
    if let Some(attribute) = given.named("attribute") {
        let default = given.named("default");
        for item in &value.items(budget)?.items {
            let found = attribute_of(item, &attribute, budget)?;
            out.push(match &default {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            });
        }
        return Value::seq(SeqKind::Lazy, out, budget);
    }
    let how = given.string("a filter")?;
    let arguments: Vec<Value> = given.by_place.by_ref().collect();
    if ["map", "select", "reject", "selectattr", "rejectattr"].contains(&&*how) {
        return Err(format!("map with the filter {how:?} is not built").into());
    }
    for item in &value.items(budget)?.items {
        budget.steps(1 + arguments.len())?;
        let given = Given::new(format!("the filter {how:?}"), arguments.clone(), std::mem::take(&mut given.by_name));
        out.push(filter(&how, item.clone(), given, budget)?);
    }
    Value::seq(SeqKind::Lazy, out, budget)
}

/// A string in small letters, as comparisons that do not tell them apart have it; all else as it is.
fn folded(value: &Value, budget: &mut Budget) -> Outcome<Value> {
    match value {
        Value::Str(text) => methods::lower(text, budget),
        other => Ok(other.clone()),
    }
}

/// Values by their keys, equal ones as they were.
fn in_order<V>(mut keyed: Vec<(Value, V)>, budget: &mut Budget) -> Outcome<Vec<V>> {
    let mut problem = None;
    keyed.sort_by(|(a, _), (b, _)| {
        if problem.is_some() {
            return std::cmp::Ordering::Equal;
        }
        match a.order(b, budget) {
            Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
            Err(e) => {
                problem = Some(e);
                std::cmp::Ordering::Equal
            }
        }
    });
    match problem {
        Some(problem) => Err(problem),
        None => Ok(keyed.into_iter().map(|(_, value)| value).collect()),
    }
}

fn sorted(value: &Value, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let (reverse, with_case) = (given.flag_or("reverse", false), given.flag_or("case_sensitive", false));
    let attribute = given.take("attribute").filter(|name| !matches!(name, Value::None));
    let items = value.items(budget)?.items.clone();
    let mut keyed = Vec::new();
    for item in items {
        let key = match &attribute {
            Some(name) => attribute_of(&item, name, budget)?,
            None => item.clone(),
        };
        if matches!(key, Value::Float(n) if n.is_nan()) {
            return Err("NaN has no order".into());
        }
        keyed.push((if with_case { key } else { folded(&key, budget)? }, item));
    }
    // Python keeps equal ones in their order also where it sorts downwards.
    if reverse {
        keyed.reverse();
    }
    let mut items = in_order(keyed, budget)?;
    if reverse {
        items.reverse();
    }
    Value::seq(SeqKind::List, items, budget)
}

fn total(name: &str, value: &Value, budget: &mut Budget) -> Outcome<Value> {
    let items = value.items(budget)?;
    let mut items = items.items.iter();
    if name == "sum" {
        return items.try_fold(Value::Int(0), |sum, item| operators::binary(tree::Binary::Add, &sum, item, budget));
    }
    let Some(first) = items.next() else { return Ok(Value::undefined("No aggregated item, sequence was empty.")) };
    let mut best = first.clone();
    for item in items {
        let order = folded(item, budget)?.order(&folded(&best, budget)?, budget)?;
        if order.is_some_and(|order| if name == "min" { order.is_lt() } else { order.is_gt() }) {
            best = item.clone();
        }
    }
    Ok(best)
}

fn tojson(value: &Value, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let only_ascii = given.flag_or("ensure_ascii", false);
    let indent = match given.take("indent") {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.to_string()),
        Some(other) => {
            let spaces = other.whole().ok_or("tojson wants a number or a string for indent")?;
            let spaces = usize::try_from(spaces).unwrap_or(0);
            budget.make(spaces)?;
            Some(" ".repeat(spaces))
        }
    };
    let between = if indent.is_some() { "," } else { ", " };
    let (between_items, behind_keys) = match given.take("separators") {
        None | Some(Value::None) => (between.to_owned(), ": ".to_owned()),
        Some(Value::Seq(seq)) => match &seq.items[..] {
            [Value::Str(a), Value::Str(b)] => (a.to_string(), b.to_string()),
            _ => return Err("tojson wants two strings for separators".into()),
        },
        Some(_) => return Err("tojson wants two strings for separators".into()),
    };
    let sorted = given.flag_or("sort_keys", false);
    let mut out = String::new();
    Json { indent, between_items, behind_keys, only_ascii, sorted }.write(value, 0, &mut out, budget)?;
    Ok(out.into())
}

fn indented(value: &Value, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let Value::Str(text) = value else {
        return Err(format!("indent wants a string, got a value of type {}", value.kind()).into());
    };
    let indent = match given.take("width") {
        None => "    ".to_owned(),
        Some(Value::Str(text)) => text.to_string(),
        Some(other) => {
            let spaces = other.whole().ok_or("indent wants a number or a string for width")?;
            let spaces = usize::try_from(spaces).unwrap_or(0);
            budget.make(spaces)?;
            " ".repeat(spaces)
        }
    };
    let (first, blank) = (given.flag_or("first", false), given.flag_or("blank", false));
    if text.contains(|c: char| "\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}".contains(c)) {
        return Err("indent of a text with ends of lines other than \\n is not built".into());
    }
    let lines = text.matches('\n').count() + 1;
    budget.make(text.len().saturating_add(indent.len().saturating_mul(lines)))?;
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        out.push_str(if i > 0 { "\n" } else { "" });
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    Ok(out.into())
}
