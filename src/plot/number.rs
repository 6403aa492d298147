//! Numbers beside an axis.

/// `value` with as many decimals as tell apart values that lie `span` apart in all: three digits of the span, at least.
pub(super) fn label(value: f64, span: f64) -> String {
    let size = value.abs().max(span);
    if !value.is_finite() {
        return value.to_string();
    }
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let decimals = if span > 0.0 { (2.0 - span.log10().floor()).clamp(0.0, 12.0) as usize } else { 4 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn as_many_decimals_as_the_span_asks_for() {
        assert_eq!(label(0.5, 2.0), "0.50");
        assert_eq!(label(1234.5, 5000.0), "1234");
        assert_eq!(label(0.99991, 0.00003), "0.9999100");
        assert_eq!(label(0.0, 0.0), "0.0000");
        assert_eq!(label(1.5e9, 1.0), "1.50e9");
        assert_eq!(label(2e-7, 1e-7), "2.00e-7");
        assert_eq!(label(f64::MAX, f64::MAX), "1.80e308");
        assert_eq!(label(f64::NAN, 1.0), "NaN");
    }
}
