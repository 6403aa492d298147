//! Names of files with an epoch and its figures in them, in the notation of Python's `str.format`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Logs, RunPlan};
use crate::error::{Error, Result};

const OP: &str = "ModelCheckpoint";

/// A piece of a name.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Field { name: String, format: Format },
}

/// What stands behind the colon: `[0][width][.precision][kind]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Format {
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

/// A name with fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileName(Vec<Piece>);

/// The most characters and digits that a field may ask for.
const MAX_DIGITS: usize = 64;

/// The most characters of a field: a sign, the digits of the largest number, a point and decimals.
const MAX_NUMBER: usize = 311 + MAX_DIGITS;

impl FileName {
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |problem: &str| {
            let hint = "write {epoch:03d}, {val_loss:.2f} or {val_loss:.3e}; a brace itself is {{ or }}";
            Err(Error::argument(OP, "name", problem, text, hint))
        };
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain += &rest[..at];
            let (brace, after) = (&rest[at..=at], &rest[at + 1..]);
            if let Some(after) = after.strip_prefix(brace) {
                plain += brace;
                rest = after;
                continue;
            }
            let Some((field, after)) = (brace == "{").then(|| after.split_once('}')).flatten() else {
                return bad("a pattern whose braces come in pairs");
            };
            let (name, format) = field.split_once(':').unwrap_or((field, ""));
            let Some(format) = Format::parse(format) else {
                return bad("a pattern with formats such as 03d, .4f, .2e, 8.3g");
            };
            if format.kind == Some('d') && (name != "epoch" || format.precision.is_some()) {
                return bad("a pattern with d for epoch alone, without digits behind a point");
            }
            pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
            pieces.push(Piece::Field { name: name.to_owned(), format });
            rest = after;
        }
        plain += rest;
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(FileName(pieces))
    }

    /// Checks that all figures will be there.
    pub fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Field { name, .. } if name != "epoch" => plan.check_figure(OP, name),
            _ => Ok(()),
        })
    }

    /// What stands before the first field.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether there is no field.
    pub fn is_plain(&self) -> bool {
        !self.0.iter().any(|piece| matches!(piece, Piece::Field { .. }))
    }

    /// The name for an epoch, counted from 0.
    pub fn of(&self, epoch: usize, logs: &Logs<'_>) -> Result<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Field { name, format } if name == "epoch" => out += &format.whole(epoch + 1),
                Piece::Field { name, format } => out += &format.number(logs.get(OP, name)?),
            }
        }
        Ok(out)
    }

    /// Whether a text is a name for some epoch and figures: the same text, and numbers in the place of the fields.
    pub fn fits(&self, name: &str) -> bool {
        // Where a piece may begin; numbers that stand side by side may be parted in several ways.
        let mut begins = BTreeSet::from([0]);
        for piece in &self.0 {
            let ends = begins.into_iter().flat_map(|at| piece.ends(&name[at..]).map(move |len| at + len));
            begins = ends.collect();
        }
        begins.contains(&name.len())
    }
}

impl Piece {
    /// The lengths of the beginnings of a text that may be this piece.
    fn ends<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let most = match self {
            Piece::Text(own) => own.len(),
            Piece::Field { .. } => MAX_NUMBER,
        };
        (0..=most.min(text.len())).filter(move |&end| match (self, text.get(..end)) {
            (_, None) => false,
            (Piece::Text(own), Some(part)) => part == own,
            (Piece::Field { format, .. }, Some(part)) => format.fits(part),
        })
    }
}

impl Format {
    /// Whether a text is a number, with blanks before it where they make up the width.
    fn fits(&self, text: &str) -> bool {
        let padded = !self.zeros && text.len() == self.width;
        let digits = if padded { text.trim_start_matches(' ') } else { text };
        digits.parse::<f64>().is_ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = |text: &str| text.parse().ok().filter(|&n: &usize| n <= MAX_DIGITS);
        let (width, rest) = text.split_at(digits(text));
        let (precision, kind) = match rest.strip_prefix('.') {
            None => (None, rest),
            Some(rest) => {
                let (precision, kind) = rest.split_at(digits(rest));
                (Some(number(precision)?), kind)
            }
        };
        let kind = match kind {
            "" => None,
            "d" | "e" | "E" | "f" | "F" | "g" | "G" => kind.chars().next(),
            _ => return None,
        };
        let zeros = width.len() > 1 && width.starts_with('0');
        let width = if width.is_empty() { 0 } else { number(width)? };
        Some(Format { zeros, width, precision, kind })
    }

    fn whole(&self, n: usize) -> String {
        match (self.kind, self.precision) {
            (None | Some('d'), None) => self.pad(n.to_string()),
            _ => self.number(n as f64),
        }
    }

    /// Without a kind a number has so many decimals, 4 by default.
    fn number(&self, value: f64) -> String {
        let digits = self.precision.unwrap_or(6);
        let text = match self.kind {
            _ if !value.is_finite() => value.to_string().to_lowercase(),
            Some('e' | 'E') => scientific(value, digits),
            Some('g' | 'G') => general(value, digits.max(1)),
            Some(_) => format!("{value:.digits$}"),
            None => format!("{value:.*}", self.precision.unwrap_or(4)),
        };
        self.pad(if self.kind.is_some_and(char::is_uppercase) { text.to_uppercase() } else { text })
    }

    /// Zeros go between the sign and the digits.
    fn pad(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.len());
        match (self.zeros, text.strip_prefix('-')) {
            (false, _) => " ".repeat(missing) + &text,
            (true, Some(digits)) => format!("-{}{digits}", "0".repeat(missing)),
            (true, None) => "0".repeat(missing) + &text,
        }
    }
}

/// With a sign and two digits at least in the exponent, as C and Python write it.
fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    let mut out = mantissa.to_owned();
    let _ = write!(out, "e{sign}{exponent:0>2}");
    out
}

/// So many significant digits, without zeros at the end; with an exponent below 10⁻⁴ and from 10^digits on.
fn general(value: f64, digits: usize) -> String {
    let text = scientific(value, digits - 1);
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i64 {
        return format!("{}{}", short(mantissa), &text[mantissa.len()..]);
    }
    let decimals = (digits as i64 - 1 - exponent).max(0) as usize;
    short(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3 makes of the same patterns, but for those without a kind.
    #[test]
    fn as_python_formats() {
        let figures = [
            ("loss".to_owned(), 0.0123456),
            ("val_loss".to_owned(), 1234.5678),
            ("r2_score".to_owned(), -0.5),
            ("nan".to_owned(), f64::NAN),
        ];
        let of = |pattern: &str| FileName::parse(pattern).unwrap().of(6, &Logs(&figures)).unwrap();
        for (pattern, expected) in [
            ("{epoch}", "7"),
            ("{epoch:d}", "7"),
            ("{epoch:03d}", "007"),
            ("{epoch:03}", "007"),
            ("{epoch:3d}|", "  7|"),
            ("{epoch:.1f}", "7.0"),
            ("{loss:.2e}", "1.23e-02"),
            ("{val_loss:e}", "1.234568e+03"),
            ("{val_loss:.4f}", "1234.5678"),
            ("{val_loss:f}", "1234.567800"),
            ("{val_loss:.0f}", "1235"),
            ("{loss:08.3f}", "0000.012"),
            ("{r2_score:08.3f}", "-000.500"),
            ("{r2_score:8.3f}", "  -0.500"),
            ("{loss:.3g}", "0.0123"),
            ("{val_loss:.3g}", "1.23e+03"),
            ("{val_loss:g}", "1234.57"),
            ("{r2_score:g}", "-0.5"),
            ("{epoch:g}", "7"),
            ("{val_loss:.2E}", "1.23E+03"),
            ("{nan:.2f}", "nan"),
            ("a{{b}}c-{epoch}", "a{b}c-7"),
            ("{loss}", "0.0123"),
            ("{loss:.2}-{epoch}.safetensors", "0.01-7.safetensors"),
        ] {
            assert_eq!(of(pattern), expected, "{pattern}");
            assert!(FileName::parse(pattern).unwrap().fits(expected), "{pattern}");
        }
        for bad in ["{epoch", "epoch}", "{loss:d}", "{epoch:.2d}", "{loss:x}", "{loss:.e}", "{loss:>5}", "{loss:999}"] {
            let error = FileName::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("ModelCheckpoint: name must be a pattern") && error.contains(bad), "{error}");
        }
    }
}
