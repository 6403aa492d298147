//! Values as text: Python's `str` and `repr`, and JSON.

use std::sync::Arc;

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::budget::Budget;
use super::failure::Outcome;
use super::value::{SeqKind, Value};

impl Value {
    /// Python's `str`.
    pub fn text(&self, budget: &mut Budget) -> Outcome<Arc<str>> {
        match self {
            Value::Str(text) => Ok(text.clone()),
            Value::Undefined(_) => Ok("".into()),
            other => {
                let mut out = String::new();
                other.represent(&mut out, budget)?;
                Ok(out.into())
            }
        }
    }

    /// Python's `repr`.
    fn represent(&self, out: &mut String, budget: &mut Budget) -> Outcome<()> {
        budget.step()?;
        let before = out.len();
        match self {
            Value::Undefined(_) => out.push_str("Undefined"),
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Float(n) => out.push_str(&float(*n)),
            Value::Str(text) => {
                budget.make(text.len())?;
                quoted(text, out);
            }
            Value::Seq(seq) if matches!(seq.kind, SeqKind::List | SeqKind::Tuple) => {
                let (open, close) = if seq.kind == SeqKind::List { ('[', "]") } else { ('(', ")") };
                out.push(open);
                for (i, item) in seq.items.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    item.represent(out, budget)?;
                }
                out.push_str(if seq.kind == SeqKind::Tuple && seq.items.len() == 1 { ",)" } else { close });
                return Ok(());
            }
            Value::Dict(dict) => {
                out.push('{');
                for (i, (key, value)) in dict.entries.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    key.represent(out, budget)?;
                    out.push_str(": ");
                    value.represent(out, budget)?;
                }
                out.push('}');
                return Ok(());
            }
            other => return Err(format!("a value of type {} is not written as text", other.kind()).into()),
        }
        budget.make(out.len() - before)
    }
}

/// Python's `repr` of a number.
pub fn float(n: f64) -> String {
    if n.is_nan() {
        return "nan".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // The shortest digits, as d.ddde±x.
    let scientific = format!("{n:e}");
    let Some((digits, power)) = scientific.split_once('e') else { return scientific };
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..16).contains(&power) {
        return format!("{n:?}");
    }
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

/// Python's `repr` of a string.
fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(quote);
}

fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let other = matches!(c.general_category_group(), GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator);
    !other && c.general_category() != GeneralCategory::Unassigned
}

/// How JSON is written.
pub struct Json {
    pub indent: Option<String>,
    pub between_items: String,
    pub behind_keys: String,
    pub only_ascii: bool,
    pub sorted: bool,
}

impl Json {
    /// A value as Python's `json.dumps` has it.
    pub fn write(&self, value: &Value, level: usize, out: &mut String, budget: &mut Budget) -> Outcome<()> {
        budget.step()?;
        let before = out.len();
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Float(n) => out.push_str(&json_float(*n)),
            Value::Str(text) => {
                budget.make(text.len())?;
                self.string(text, out);
            }
            Value::Seq(seq) if matches!(seq.kind, SeqKind::List | SeqKind::Tuple) => {
                let each = seq.items.iter().map(|item| (None, item)).collect();
                return self.between('[', ']', each, level, out, budget);
            }
            Value::Dict(dict) => {
                let mut each = Vec::new();
                for (key, value) in &dict.entries {
                    each.push((Some(key), value));
                }
                if self.sorted {
                    if each.iter().any(|(key, _)| !matches!(key, Some(Value::Str(_)))) {
                        return Err("sort_keys with keys that are no strings is not built".into());
                    }
                    each.sort_by(|(a, _), (b, _)| match (a, b) {
                        (Some(Value::Str(a)), Some(Value::Str(b))) => a.cmp(b),
                        _ => std::cmp::Ordering::Equal,
                    });
                }
                return self.between('{', '}', each, level, out, budget);
            }
            Value::Undefined(why) => return Err(format!("{why}: what is not defined is no JSON").into()),
            other => return Err(format!("a value of type {} is no JSON", other.kind()).into()),
        }
        budget.make(out.len() - before)
    }

    fn between(
        &self,
        open: char,
        close: char,
        each: Vec<(Option<&Value>, &Value)>,
        level: usize,
        out: &mut String,
        budget: &mut Budget,
    ) -> Outcome<()> {
        out.push(open);
        let line = |level: usize, out: &mut String, budget: &mut Budget| -> Outcome<()> {
            let Some(indent) = &self.indent else { return Ok(()) };
            budget.make(indent.len().saturating_mul(level).saturating_add(1))?;
            out.push('\n');
            out.push_str(&indent.repeat(level));
            Ok(())
        };
        let some = !each.is_empty();
        for (i, (key, value)) in each.into_iter().enumerate() {
            if i > 0 {
                budget.make(self.between_items.len())?;
                out.push_str(&self.between_items);
            }
            line(level + 1, out, budget)?;
            if let Some(key) = key {
                let key = match key {
                    Value::Str(key) => key.clone(),
                    Value::None => "null".into(),
                    Value::Bool(yes) => yes.to_string().into(),
                    Value::Int(n) => n.to_string().into(),
                    Value::Float(n) => json_float(*n).into(),
                    other => return Err(format!("a key of type {} is no JSON", other.kind()).into()),
                };
                budget.make(key.len() + self.behind_keys.len())?;
                self.string(&key, out);
                out.push_str(&self.behind_keys);
            }
            self.write(value, level + 1, out, budget)?;
        }
        if some {
            line(level, out, budget)?;
        }
        out.push(close);
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{c}' => out.push_str("\\f"),
                '\u{8}' => out.push_str("\\b"),
                c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c if c.is_ascii() || !self.only_ascii => out.push(c),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        out.push('"');
    }
}

fn json_float(n: f64) -> String {
    match n {
        n if n.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        n => float(n),
    }
}
