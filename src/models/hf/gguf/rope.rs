//! Rotary positions in a GGUF file: θ and a scaling among the metadata, Llama 3's scaling as a tensor of factors.

use std::f64::consts::TAU;

use serde_json::{Value, json};

use super::keys::Keys;
use crate::error::Result;
use crate::io::Gguf;
use crate::kernels::frequencies::Frequencies;
use crate::layers::RotaryScaling;

/// The tensor of what frequencies are divided by.
pub(super) const FACTORS: &str = "rope_freqs.weight";

/// How far a factor may lie from the scaling that is found for it, as a part: single precision and rounding on the way.
const WITHIN: f64 = 1e-5;

/// The factors of a file, if there are any.
pub(super) fn factors(file: &mut Gguf<'static>) -> Result<Option<Vec<f32>>> {
    let Some(tensor) = file.tensor(FACTORS).cloned() else { return Ok(None) };
    let mut factors = vec![0.0; tensor.len()];
    file.read(&tensor, &mut factors)?;
    Ok(Some(factors))
}

/// θ, and the scaling in the words of `config.json`.
pub(super) fn read(keys: &Keys<'_>, head_dim: usize, factors: Option<&[f32]>) -> Result<(f64, Option<Value>)> {
    let theta = keys.number("rope.freq_base")?.unwrap_or(1e4);
    let original = keys.size("rope.scaling.original_context_length")?;
    let factor = keys.number("rope.scaling.factor")?.filter(|factor| *factor != 0.0);
    let older = keys.number("rope.scale_linear")?;
    let kind = keys.word("rope.scaling.type")?;
    if keys.number("rope.scaling.attn_factor")?.is_some_and(|factor| factor != 1.0) {
        return Err(keys.refuse("rope.scaling.attn_factor", 1));
    }
    let scaling = match (kind.as_deref(), factor.or(older)) {
        (Some("none"), _) | (None, None) => None,
        (None | Some("linear"), Some(factor)) => {
            (factor != 1.0).then(|| json!({"rope_type": "linear", "factor": factor}))
        }
        _ => return Err(keys.refuse("rope.scaling.type", "none, linear with rope.scaling.factor")),
    };
    let Some(factors) = factors else { return Ok((theta, scaling)) };
    if scaling.is_some() {
        return Err(keys.refuse("rope.scaling.type", format!("none, where there is a tensor {FACTORS}")));
    }
    match scaling_of(theta, head_dim, factors, original) {
        Some(scaling) => Ok((theta, scaling)),
        None => Err(keys.refuse("rope.freq_base", format!("a tensor {FACTORS} whose factors are those of Llama 3"))),
    }
}

/// What frequencies are divided by.
pub(super) fn factors_of(plain: Frequencies) -> Vec<f32> {
    let scaled = plain.each();
    let plain = Frequencies { scaling: RotaryScaling::None, ..plain }.each();
    plain.zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect()
}

/// The scaling that has these factors.
fn scaling_of(theta: f64, head_dim: usize, factors: &[f32], original: Option<usize>) -> Option<Option<Value>> {
    let plain = Frequencies { base: theta, values: head_dim, scaling: RotaryScaling::None };
    if factors.len() != plain.len() || !factors.iter().all(|f| f.is_finite() && *f >= 1.0) {
        return None;
    }
    let fits = |scaling: RotaryScaling| {
        let own = factors_of(Frequencies { scaling, ..plain });
        own.iter().zip(factors).all(|(own, f)| (f64::from(*own) / f64::from(*f) - 1.0).abs() <= WITHIN)
    };
    if fits(RotaryScaling::None) {
        return Some(None);
    }
    let factor = f64::from(factors.last().copied()?);
    let llama3 = |low: f64, high: f64, length: usize| {
        let found = RotaryScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: length,
        };
        let known = length > 0 && low > 0.0 && high > low && high.is_finite() && fits(found);
        known.then(|| {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": length
            })
        })
    };
    // Those of Llama 3.1 to 3.3, or of another context.
    let usual = original.into_iter().chain([8192]).chain((4..20).map(|i| 1 << i));
    if let Some(found) = usual.into_iter().find_map(|length| llama3(1.0, 4.0, length)) {
        return Some(Some(found));
    }
    // Between the ends s = (1/f − 1/factor) / (1 − 1/factor) is a line over the frequency by 2π, a·x − b, with a = L/(high − low) and b = low/(high − low).
    let points: Vec<(f64, f64)> = (plain.each().zip(factors))
        .map(|(frequency, f)| (frequency / TAU, (1.0 / f64::from(*f) - 1.0 / factor) / (1.0 - 1.0 / factor)))
        .filter(|(_, s)| (1e-3..=0.999).contains(s))
        .collect();
    let (first, last) = (points.first()?, points.last().filter(|_| points.len() > 1)?);
    let a = (first.1 - last.1) / (first.0 - last.0);
    let b = a * first.0 - first.1;
    let length = (a / b).round();
    let length = (1.0..9e15).contains(&length).then_some(length as usize)?;
    llama3(1.0, 1.0 + 1.0 / b, length).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Factors of Llama 3's scaling give it again, or one that has the same factors.
    #[test]
    fn factors_there_and_back() {
        for (theta, head_dim, factor, low, high, length) in [
            (5e5, 128, 8.0, 1.0, 4.0, 8192),
            (5e5, 64, 32.0, 1.0, 4.0, 8192),
            (5e3, 8, 8.0, 1.0, 4.0, 128),
            (1e4, 128, 5.0, 1.0, 3.0, 3000),
            (1e6, 128, 16.0, 2.0, 8.0, 4096),
        ] {
            let scaling = RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: length,
            };
            let plain = Frequencies { base: theta, values: head_dim, scaling };
            let factors = factors_of(plain);
            let found = scaling_of(theta, head_dim, &factors, None).unwrap().unwrap();
            if low == 1.0 && high == 4.0 {
                let got = ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];
                assert_eq!(got.map(|key| found[key].as_f64().unwrap()), [factor, low, high, length as f64]);
            }
        }
        assert_eq!(scaling_of(1e4, 8, &[1.0; 4], None), Some(None));
        for strange in [[1.0f32, 3.0, 2.0, 8.0], [f32::NAN, 1.0, 1.0, 8.0], [0.5, 1.0, 1.0, 8.0]] {
            assert_eq!(scaling_of(1e4, 8, &strange, None), None, "{strange:?}");
        }
        assert_eq!(scaling_of(1e4, 8, &[1.0; 3], None), None);
    }
}
