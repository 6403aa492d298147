//! What a cell holds: a number, a mark for a missing value, or a number written in a way that is not read.

/// The cell's number.
pub(super) fn parse(cell: &str, comma: bool) -> Option<f64> {
    match comma {
        false => cell.parse().ok(),
        true if cell.contains('.') => None,
        true => cell.replacen(',', ".", 1).parse().ok(),
    }
}

/// Whether the cell is a number in digits, so neither "nan" nor "infinity".
pub(super) fn is_number(cell: &str, comma: bool) -> bool {
    cell.bytes().any(|b| b.is_ascii_digit()) && parse(cell, comma).is_some()
}

/// Whether the cell stands for a missing value.
pub(super) fn is_marker(cell: &str) -> bool {
    ["", "na", "n/a", "nan", "null", "none", "?"].iter().any(|m| cell.eq_ignore_ascii_case(m))
}

/// What to do with a cell that is a number to the eye alone.
pub(super) fn advice(cell: &str, comma: bool) -> Option<&'static str> {
    if is_number(cell, comma) {
        return None;
    }
    let digits = cell.trim_start_matches(['+', '-']);
    if digits.strip_prefix("0x").or(digits.strip_prefix("0X")).is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok()) {
        return Some("write the number in decimal");
    }
    if let Some(number) =
        cell.strip_suffix('%').or(cell.strip_prefix(['$', '€', '£'])).or(cell.strip_suffix(['$', '€', '£']))
    {
        return is_number(number.trim(), comma).then_some("write the number without the sign");
    }
    if comma && is_number(cell, false) {
        return Some("write the number with a comma, or leave .decimal_comma(true) out");
    }
    let (first, last) = (digits.bytes().next()?, digits.bytes().last()?);
    let separators = |b: u8| matches!(b, b',' | b'.' | b'\'' | b'_' | b' ') || b >= 0x80;
    if !first.is_ascii_digit() || !last.is_ascii_digit() || !digits.bytes().all(|b| b.is_ascii_digit() || separators(b))
    {
        return None;
    }
    // Spaces of other kinds are written in bytes beyond ASCII; letters are not meant.
    if digits.chars().any(|c| !c.is_ascii() && !c.is_whitespace()) {
        return None;
    }
    match digits.split_once(',') {
        Some((a, b)) if [a, b].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())) => {
            Some("write it with a point, or set .decimal_comma(true) if commas stand for points")
        }
        _ => Some("write the number without separators of thousands"),
    }
}

/// How to name the delimiter that stands between the parts of a cell, if one seems to.
pub(super) fn delimiter(cell: &str, used: u8) -> Option<&'static str> {
    [
        (b';', "set .delimiter(b';') if semicolons stand between the cells"),
        (b'\t', "set .delimiter(b'\\t') if tabs stand between the cells"),
        (b'|', "set .delimiter(b'|') if bars stand between the cells"),
        (b',', "set .delimiter(b',') if commas stand between the cells"),
    ]
    .into_iter()
    .find(|(byte, _)| *byte != used && cell.bytes().any(|b| b == *byte))
    .map(|(_, hint)| hint)
}

/// Whether the cell looks like several numbers with another delimiter between them.
pub(super) fn is_row(cell: &str, used: u8) -> Option<&'static str> {
    [';', '\t', '|']
        .into_iter()
        .filter(|c| cell.contains(*c))
        .find(|c| cell.split(*c).all(|part| is_number(part.trim(), false) || is_number(part.trim(), true)))
        .and_then(|_| delimiter(cell, used))
}
