//! What strings, dictionaries, lists and loops can be asked to do.

use std::sync::Arc;

use super::arguments::Given;
use super::budget::Budget;
use super::failure::Outcome;
use super::lexer::is_space;
use super::value::{Loop, SeqKind, Value};

/// Methods of Python's that a template may ask for; those that change a value are refused, as by transformers' sandbox.
const OF_STRINGS: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const OF_DICTS: &[&str] =
    &["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const OF_SEQUENCES: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];

/// Whether a value has such a method in Python.
pub fn is_method(of: &Value, name: &str) -> bool {
    match of {
        Value::Str(_) => OF_STRINGS.contains(&name),
        Value::Dict(_) => OF_DICTS.contains(&name),
        Value::Seq(_) => OF_SEQUENCES.contains(&name),
        Value::Loop(_) => ["cycle", "changed"].contains(&name),
        _ => false,
    }
}

/// Calls one.
pub fn call(of: &Value, name: &str, mut given: Given, budget: &mut Budget) -> Outcome<Value> {
    let result = match of {
        Value::Str(text) => of_string(text, name, &mut given, budget)?,
        Value::Dict(dict) => match name {
            "get" => {
                let (key, default) = (given.need("key")?, given.take("default"));
                key.may_be_key()?;
                of.entry(&key, budget)?.or(default).unwrap_or(Value::None)
            }
            "items" => {
                let pair = |(key, value): &(Value, Value)| [key.clone(), value.clone()].to_vec();
                let pairs: Vec<Vec<Value>> = dict.entries.iter().map(pair).collect();
                let pairs: Outcome<Vec<Value>> =
                    pairs.into_iter().map(|pair| Value::seq(SeqKind::Tuple, pair, budget)).collect();
                Value::seq(SeqKind::View, pairs?, budget)?
            }
            "keys" => Value::seq(SeqKind::View, dict.entries.iter().map(|(key, _)| key.clone()).collect(), budget)?,
            "values" => {
                Value::seq(SeqKind::View, dict.entries.iter().map(|(_, value)| value.clone()).collect(), budget)?
            }
            "copy" => of.clone(),
            _ => return Err(not_built(of, name)),
        },
        Value::Seq(seq) if matches!(seq.kind, SeqKind::List | SeqKind::Tuple) => match name {
            "count" | "index" => {
                let wanted = given.need("value")?;
                let mut at = Vec::new();
                for (i, item) in seq.items.iter().enumerate() {
                    if item.equals(&wanted, budget)? {
                        at.push(i as i64);
                    }
                }
                match (name, at.first()) {
                    ("count", _) => Value::Int(at.len() as i64),
                    (_, Some(first)) => Value::Int(*first),
                    _ => return Err("the value is not in the list".into()),
                }
            }
            "copy" if seq.kind == SeqKind::List => of.clone(),
            _ => return Err(not_built(of, name)),
        },
        Value::Loop(state) => state.call(name, &mut given, budget)?,
        Value::Undefined(why) => return Err(why.to_string().into()),
        _ => return Err(not_built(of, name)),
    };
    given.end()?;
    Ok(result)
}

fn not_built(of: &Value, name: &str) -> super::failure::Problem {
    format!("the method {name:?} of a value of type {} is not built", of.kind()).into()
}

fn of_string(text: &Arc<str>, name: &str, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    budget.look(text.len())?;
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let chars = given.string_or("chars")?;
            budget.make(text.len())?;
            strip(text, chars.as_deref(), name != "rstrip", name != "lstrip", budget)?.into()
        }
        "split" | "rsplit" => {
            let (separator, most) = (given.string_or("sep")?, given.whole_or("maxsplit", -1)?);
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            if separator.as_deref() == Some("") {
                return Err("a string is not split at an empty string".into());
            }
            let parts = split(text, separator.as_deref(), most, name == "rsplit");
            budget.make(text.len() + 32 * parts.len())?;
            Value::seq(SeqKind::List, parts.into_iter().map(Value::from).collect(), budget)?
        }
        "splitlines" => {
            // Those of Python, of which a carriage return with a line feed is one.
            let ends = |c: char| "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}".contains(c);
            let (mut lines, mut rest) = (Vec::new(), &**text);
            while let Some(at) = rest.find(ends) {
                lines.push(Value::from(&rest[..at]));
                let len = if rest[at..].starts_with("\r\n") {
                    2
                } else {
                    rest[at..].chars().next().map_or(1, char::len_utf8)
                };
                rest = &rest[at + len..];
            }
            lines.extend((!rest.is_empty()).then(|| Value::from(rest)));
            budget.make(text.len() + 32 * lines.len())?;
            Value::seq(SeqKind::List, lines, budget)?
        }
        "startswith" | "endswith" => {
            let wanted = given.need("prefix")?;
            let all = match &wanted {
                Value::Seq(seq) if seq.kind == SeqKind::Tuple => seq.items.clone(),
                one => vec![one.clone()],
            };
            budget.steps(all.len())?;
            let mut found = false;
            for one in all {
                let Value::Str(one) = one else {
                    return Err(format!("{name} wants strings, got one of type {}", one.kind()).into());
                };
                found |= if name == "startswith" { text.starts_with(&*one) } else { text.ends_with(&*one) };
            }
            Value::Bool(found)
        }
        "removeprefix" | "removesuffix" => {
            let part = given.string("prefix")?;
            let rest = if name == "removeprefix" { text.strip_prefix(&*part) } else { text.strip_suffix(&*part) };
            budget.make(text.len())?;
            rest.unwrap_or(text).into()
        }
        "replace" => {
            let (old, new, count) = (given.string("old")?, given.string("new")?, given.whole_or("count", -1)?);
            replace(text, &old, &new, count, budget)?
        }
        "upper" => upper(text, budget)?,
        "lower" => lower(text, budget)?,
        "capitalize" => capitalize(text, budget)?,
        "title" => {
            budget.make(3 * text.len())?;
            let (mut out, mut within) = (String::new(), false);
            for c in text.chars() {
                let cased = c.is_lowercase() || c.is_uppercase();
                if within {
                    out.extend(small(c)?)
                } else {
                    out.extend(titled(c)?)
                }
                within = cased;
            }
            out.into()
        }
        "find" | "rfind" => {
            let part = given.string("sub")?;
            let at = if name == "find" { text.find(&*part) } else { text.rfind(&*part) };
            Value::Int(at.map_or(-1, |at| text[..at].chars().count() as i64))
        }
        "count" => {
            let part = given.string("sub")?;
            Value::Int(if part.is_empty() {
                text.chars().count() as i64 + 1
            } else {
                text.matches(&*part).count() as i64
            })
        }
        "join" => {
            let items = given.need("iterable")?.items(budget)?;
            let mut out = String::new();
            for (i, item) in items.items.iter().enumerate() {
                let Value::Str(item) = item else {
                    return Err(format!("join wants strings, got one of type {}", item.kind()).into());
                };
                let between = if i > 0 { &**text } else { "" };
                budget.step()?;
                budget.make(between.len() + item.len())?;
                out.push_str(between);
                out.push_str(item);
            }
            out.into()
        }
        "isdigit" | "isalpha" | "isalnum" | "isspace" | "isnumeric" | "isdecimal" if text.is_ascii() => {
            let is = |c: char| match name {
                "isalpha" => c.is_ascii_alphabetic(),
                "isalnum" => c.is_ascii_alphanumeric(),
                "isspace" => is_space(c),
                _ => c.is_ascii_digit(),
            };
            Value::Bool(!text.is_empty() && text.chars().all(is))
        }
        _ => return Err(not_built(&Value::Str(text.clone()), name)),
    })
}

/// Without white space, or some characters, at the ends.
pub fn strip<'t>(text: &'t str, chars: Option<&str>, left: bool, right: bool, budget: &mut Budget) -> Outcome<&'t str> {
    budget.steps((text.len() / 64).saturating_mul(chars.map_or(1, str::len)))?;
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if left { text.trim_start_matches(goes) } else { text };
    Ok(if right { text.trim_end_matches(goes) } else { text })
}

/// Python's `split` and `rsplit`.
fn split<'t>(text: &'t str, separator: Option<&str>, most: usize, from_right: bool) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let Some(separator) = separator else {
        // White space at the end from which one goes is nothing; that at the other end stays with the last part, if cuts are spent.
        let trimmed = |rest: &'t str| {
            if from_right { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) }
        };
        let mut rest = trimmed(text);
        while !rest.is_empty() {
            let at = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
            let Some(at) = at.filter(|_| parts.len() < most) else {
                parts.push(rest);
                break;
            };
            let len = rest[at..].chars().next().map_or(1, char::len_utf8);
            let (a, b) = (&rest[..at], &rest[at + len..]);
            parts.push(if from_right { b } else { a });
            rest = trimmed(if from_right { a } else { b });
        }
        if from_right {
            parts.reverse();
        }
        return parts;
    };
    match (from_right, most.checked_add(1)) {
        (false, Some(parts)) => text.splitn(parts, separator).collect(),
        (false, None) => text.split(separator).collect(),
        (true, limit) => {
            parts = match limit {
                Some(limit) => text.rsplitn(limit, separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            parts
        }
    }
}

/// Python's `replace`: all, or the first `count`.
pub fn replace(text: &str, old: &str, new: &str, count: i64, budget: &mut Budget) -> Outcome<Value> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    budget.make(text.len().saturating_add(found.min(most).saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, most).into())
}

pub fn upper(text: &str, budget: &mut Budget) -> Outcome<Value> {
    budget.make(3 * text.len())?;
    Ok(text.to_uppercase().into())
}

pub fn lower(text: &str, budget: &mut Budget) -> Outcome<Value> {
    budget.make(3 * text.len())?;
    Ok(text.to_lowercase().into())
}

/// The first letter large, all others small.
pub fn capitalize(text: &str, budget: &mut Budget) -> Outcome<Value> {
    budget.make(3 * text.len())?;
    let Some(first) = text.chars().next() else { return Ok("".into()) };
    let mut out: String = titled(first)?.collect();
    for c in text.chars().skip(1) {
        out.extend(small(c)?);
    }
    Ok(out.into())
}

/// A letter at the beginning of a word; those that have a form of their own there are not built.
fn titled(c: char) -> Outcome<std::char::ToUppercase> {
    let upper = c.to_uppercase();
    if upper.len() > 1 || matches!(c, '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}') {
        return Err(format!("{c:?} at the beginning of a word that is to be capital is not built").into());
    }
    Ok(upper)
}

/// A letter within a word.
fn small(c: char) -> Outcome<std::char::ToLowercase> {
    if c == 'Σ' {
        return Err("a sigma within a word that is to be small is not built".into());
    }
    Ok(c.to_lowercase())
}

/// Words begin behind white space and brackets: Jinja2's filter `title`.
pub fn title(text: &str, budget: &mut Budget) -> Outcome<Value> {
    budget.make(3 * text.len())?;
    let (mut out, mut within) = (String::new(), false);
    for c in text.chars() {
        if within {
            out.extend(small(c)?)
        } else {
            out.extend(titled(c)?)
        }
        within = !(is_space(c) || "-({[<".contains(c));
    }
    Ok(out.into())
}

impl Loop {
    pub fn attribute(&self, name: &str) -> Option<Value> {
        let (at, len) = (self.at as i64, self.items.items.len() as i64);
        let beside = |at: Option<usize>, which: &str| {
            let item = at.and_then(|at| self.items.items.get(at)).cloned();
            item.unwrap_or_else(|| Value::undefined(format!("there is no {which} item")))
        };
        Some(match name {
            "index" => Value::Int(at + 1),
            "index0" => Value::Int(at),
            "revindex" => Value::Int(len - at),
            "revindex0" => Value::Int(len - at - 1),
            "first" => Value::Bool(at == 0),
            "last" => Value::Bool(at + 1 == len),
            "length" => Value::Int(len),
            "depth" => Value::Int(1),
            "depth0" => Value::Int(0),
            "previtem" => beside(self.at.checked_sub(1), "previous"),
            "nextitem" => beside(Some(self.at + 1), "next"),
            _ => return None,
        })
    }

    fn call(&self, name: &str, given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
        let values: Vec<Value> = given.by_place.by_ref().collect();
        match name {
            "cycle" if values.is_empty() => Err("loop.cycle is given nothing to go through".into()),
            "cycle" => Ok(values[self.at % values.len()].clone()),
            "changed" => {
                values.iter().try_for_each(Value::may_be_held)?;
                let mut same = self.changed.borrow().as_ref().is_some_and(|last| last.len() == values.len());
                for (old, new) in self.changed.borrow().iter().flatten().zip(&values) {
                    same = same && old.equals(new, budget)?;
                }
                if !same {
                    *self.changed.borrow_mut() = Some(values);
                }
                Ok(Value::Bool(!same))
            }
            _ => Err(format!("loop.{name} is not built").into()),
        }
    }
}
