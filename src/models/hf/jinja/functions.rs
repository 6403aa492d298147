//! What a template can call without asking a value.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::arguments::Given;
use super::budget::Budget;
use super::failure::{Outcome, Problem};
use super::value::{Function, SeqKind, Value};

/// What a name means that no variable has.
pub fn named(name: &str) -> Outcome<Option<Value>> {
    Ok(Some(Value::Function(match name {
        "range" => Function::Range,
        "dict" => Function::Dict,
        "namespace" => Function::Namespace,
        "raise_exception" => Function::RaiseException,
        "strftime_now" => Function::StrftimeNow,
        "cycler" | "joiner" | "lipsum" | "self" | "varargs" | "kwargs" | "caller" => {
            return Err(format!("{name:?} is not built").into());
        }
        _ => return Ok(None),
    })))
}

/// Calls one; `now` in seconds from 1970 on.
pub fn call(function: Function, mut given: Given, now: i64, budget: &mut Budget) -> Outcome<Value> {
    let result = match function {
        Function::Range => range(&mut given, budget)?,
        Function::Dict => {
            let entries = pairs(&mut given)?;
            Value::entries(entries, budget)?
        }
        Function::Namespace => {
            let mut values = BTreeMap::new();
            for (key, value) in pairs(&mut given)? {
                let Value::Str(name) = key else { return Err("a namespace has names".into()) };
                value.may_be_held()?;
                budget.make(name.len() + 64)?;
                values.insert(allowed(&name)?.into(), value);
            }
            Value::Namespace(Rc::new(RefCell::new(values)))
        }
        Function::RaiseException => {
            let text = given.need("a text")?.text(budget)?;
            return Err(Problem { text: text.to_string(), raised: true });
        }
        Function::StrftimeNow => {
            let format = given.string("format")?;
            budget.make(format.len().saturating_mul(10))?;
            strftime(&format, now)?.into()
        }
    };
    given.end()?;
    Ok(result)
}

/// A name that a namespace may have.
pub fn allowed(name: &str) -> Outcome<&str> {
    if name.starts_with('_') {
        return Err(format!("a namespace has no names that begin with _, as {name:?}").into());
    }
    Ok(name)
}

/// What is given as a dictionary or by names.
fn pairs(given: &mut Given) -> Outcome<Vec<(Value, Value)>> {
    let mut all = match given.by_place.next() {
        None => Vec::new(),
        Some(Value::Dict(dict)) => dict.entries.clone(),
        Some(other) => return Err(format!("{} of a value of type {} is not built", given.what, other.kind()).into()),
    };
    all.extend(given.by_name.drain(..).map(|(name, value)| (Value::Str(name), value)));
    Ok(all)
}

fn range(given: &mut Given, budget: &mut Budget) -> Outcome<Value> {
    let mut ends = Vec::new();
    for value in given.by_place.by_ref().take(3) {
        ends.push(value.whole().ok_or_else(|| format!("range of a value of type {}", value.kind()))?);
    }
    let (start, stop, step) = match ends[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] if step != 0 => (start, stop, step),
        _ => return Err("range wants one, two or three numbers, the third not 0".into()),
    };
    let span = i128::from(stop) - i128::from(start);
    let count =
        if (span > 0) == (step > 0) { span.unsigned_abs().div_ceil(i128::from(step).unsigned_abs()) } else { 0 };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // As Jinja2's sandbox has it.
    if count > 100_000 {
        return Err(format!("a range of {count} numbers, at most 100000 are built").into());
    }
    Value::seq(SeqKind::Range, (0..count as i64).map(|i| Value::Int(start + i * step)).collect(), budget)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// C's `strftime` in its own locale, of a time in UTC.
fn strftime(format: &str, now: i64) -> Outcome<String> {
    let (days, seconds) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let day_of_year = days - days_from(year) + 1;
    let weekday = (days + 4).rem_euclid(7) as usize;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let half = (hour + 11) % 12 + 1;
    let month_name = MONTHS[month as usize - 1];
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = rest.next();
        let bare = code == Some('-');
        if bare {
            code = rest.next();
        }
        let number = |n: i64, width: usize| if bare { n.to_string() } else { format!("{n:0width$}") };
        let part = match code {
            Some('Y') => year.to_string(),
            Some('y') => number(year.rem_euclid(100), 2),
            Some('m') => number(month, 2),
            Some('d') => number(day, 2),
            Some('e') => {
                if bare {
                    day.to_string()
                } else {
                    format!("{day:2}")
                }
            }
            Some('H') => number(hour, 2),
            Some('I') => number(half, 2),
            Some('M') => number(minute, 2),
            Some('S') => number(second, 2),
            Some('j') => number(day_of_year, 3),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => DAYS[weekday].to_owned(),
            Some('a') => DAYS[weekday][..3].to_owned(),
            Some('w') => weekday.to_string(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('s') => now.to_string(),
            Some('%') => "%".to_owned(),
            other => {
                let code = other.map_or("%".to_owned(), |c| format!("%{c}"));
                return Err(format!("{code:?} of strftime_now is not built").into());
            }
        };
        out.push_str(&part);
    }
    Ok(out)
}

/// Days from 1970 on to the first of a year.
fn days_from(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// Year, month and day of a day from 1970 on, by the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Within one year of it.
    let mut year = 1970 + days.div_euclid(365).clamp(-1_000_000_000, 1_000_000_000);
    year -= (days.div_euclid(365) - days.div_euclid(366)).clamp(0, 1_000_000_000);
    while days_from(year + 1) <= days {
        year += 1;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut day, mut month) = (days - days_from(year), 0);
    while month < 11 && day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (year, month as i64 + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written() {
        for (now, text) in [
            (0, "Thu 01 January 1970 00:00:00 001 12 AM 1"),
            (951_827_696, "Tue 29 February 2000 12:34:56 060 12 PM 29"),
            (1_735_689_599, "Tue 31 December 2024 23:59:59 366 11 PM 31"),
            (-1, "Wed 31 December 1969 23:59:59 365 11 PM 31"),
            (4_102_444_800, "Fri 01 January 2100 00:00:00 001 12 AM 1"),
        ] {
            assert_eq!(strftime("%a %d %B %Y %H:%M:%S %j %I %p %-d", now).ok().unwrap(), text);
        }
        assert!(strftime("%Q", 0).is_err() && strftime("%", 0).is_err());
    }
}
