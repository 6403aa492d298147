//! `value is test`.

use super::arguments::Given;
use super::budget::Budget;
use super::failure::Outcome;
use super::operators::{compare, contains};
use super::tree::Compare;
use super::value::{SeqKind, Value};

/// A test by its name.
pub fn test(name: &str, value: &Value, mut given: Given, budget: &mut Budget) -> Outcome<bool> {
    let by =
        |how: Compare, given: &mut Given, budget: &mut Budget| compare(how, value, &given.need("a value")?, budget);
    let result = match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.number().is_some(),
        "callable" => matches!(value, Value::Macro(_) | Value::Function(_)),
        "iterable" => {
            matches!(value, Value::Str(_) | Value::Seq(_) | Value::Dict(_) | Value::Undefined(_) | Value::Loop(_))
        }
        "sequence" => match value {
            Value::Seq(seq) => !matches!(seq.kind, SeqKind::View | SeqKind::Lazy),
            Value::Str(_) | Value::Dict(_) | Value::Undefined(_) => true,
            _ => false,
        },
        "odd" | "even" => {
            let Some(n) = value.whole() else {
                return Err(format!("{name} is asked of a value of type {}", value.kind()).into());
            };
            (n % 2 == 0) == (name == "even")
        }
        "divisibleby" => {
            let by = given.need("a number")?;
            match (value.whole(), by.whole()) {
                (Some(n), Some(by)) if by != 0 => n.checked_rem(by).is_none_or(|rest| rest == 0),
                _ => return Err("divisibleby is asked of what is no whole number, or by 0".into()),
            }
        }
        "==" | "eq" | "equalto" => by(Compare::Equal, &mut given, budget)?,
        "!=" | "ne" => by(Compare::Unequal, &mut given, budget)?,
        "<" | "lt" | "lessthan" => by(Compare::Less, &mut given, budget)?,
        "<=" | "le" => by(Compare::AtMost, &mut given, budget)?,
        ">" | "gt" | "greaterthan" => by(Compare::Greater, &mut given, budget)?,
        ">=" | "ge" => by(Compare::AtLeast, &mut given, budget)?,
        "in" => contains(&given.need("what it may be in")?, value, budget)?,
        "lower" | "upper" => {
            let text = value.text(budget)?;
            budget.look(text.len())?;
            let cased = text.chars().any(|c| c.is_lowercase() || c.is_uppercase());
            cased && !text.chars().any(|c| if name == "lower" { c.is_uppercase() } else { c.is_lowercase() })
        }
        other => return Err(format!("the test {other:?} is not built").into()),
    };
    given.end()?;
    Ok(result)
}
