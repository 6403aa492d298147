//! Logits processors against Transformers': a file with `logits`, `history` and, for each entry of the metadata's `steps`, `out.NAME`
//! and `probabilities.NAME`; `tied.logits` and `tied.out.NAME` likewise.

use std::path::Path;

use gradus::generation::{GenerationSettings, History, Space, log_softmax};
use gradus::{Float, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::case::Errors;

/// A case by name.
type Case = (String, Result<(), String>);

/// All entries of a file.
pub fn run(path: &Path, errors: &mut Errors) -> Result<Vec<Case>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let text = |name: &str| metadata.get(name).ok_or_else(|| format!("no {name} in the metadata"));
    let steps: serde_json::Map<String, Value> = serde_json::from_str(text("steps")?).map_err(|e| e.to_string())?;
    let end_token: u32 = text("eos_token_id")?.parse().map_err(|e| format!("eos_token_id: {e}"))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let history = tensor(&file, "history")?;
    let mut read = 3;
    let mut cases = Vec::new();
    for (name, steps) in &steps {
        let settings = settings(steps, GenerationSettings::default().end_tokens([end_token]))?;
        for (prefix, probabilities) in [("", true), ("tied.", false)] {
            let out = format!("{prefix}out.{name}");
            if !probabilities && file.tensor(&out).is_err() {
                continue;
            }
            let (logits, out) = (tensor(&file, &format!("{prefix}logits"))?, tensor(&file, &out)?);
            let probabilities = probabilities.then(|| tensor(&file, &format!("probabilities.{name}"))).transpose()?;
            read += 1 + usize::from(probabilities.is_some());
            let outcome = one::<f64>(&settings, &logits, &history, &out, probabilities.as_ref(), errors)
                .and_then(|()| one::<f32>(&settings, &logits, &history, &out, probabilities.as_ref(), errors));
            cases.push((format!("{prefix}{name}"), outcome));
        }
    }
    // `logits`, `history`, `tied.logits` and what was compared.
    if read != file.len() {
        cases.push(("all tensors".to_owned(), Err(format!("{read} of {} were read", file.len()))));
    }
    Ok(cases)
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<Tensor<f64>, String> {
    let view = file.tensor(name).map_err(|_| format!("no tensor {name}"))?;
    let words = view.data().chunks_exact(8).map(|b| <[u8; 8]>::try_from(b).unwrap_or_default());
    let values = match view.dtype() {
        Dtype::F64 => words.map(f64::from_le_bytes).collect(),
        Dtype::I64 => words.map(|b| i64::from_le_bytes(b) as f64).collect(),
        other => return Err(format!("{name} is {other:?}, expected F64 or I64")),
    };
    Tensor::new(gradus::Shape::try_from(view.shape()).map_err(|e| e.to_string())?, values).map_err(|e| e.to_string())
}

/// `[["temperature", 0.7], …]` as settings.
fn settings(steps: &Value, mut settings: GenerationSettings) -> Result<GenerationSettings, String> {
    for step in steps.as_array().ok_or("steps are no list")? {
        let (name, value) = (step[0].as_str().unwrap_or_default(), &step[1]);
        let number = || value.as_f64().ok_or_else(|| format!("{name} is {value}"));
        let size = || value.as_u64().map(|n| n as usize).ok_or_else(|| format!("{name} is {value}"));
        settings = match name {
            "temperature" => settings.temperature(number()?),
            "top_k" => settings.top_k(size()?),
            "top_p" => settings.top_p(number()?),
            "min_p" => settings.min_p(number()?),
            "typical_p" => settings.typical_p(number()?),
            "epsilon_cutoff" => settings.epsilon_cutoff(number()?),
            "eta_cutoff" => settings.eta_cutoff(number()?),
            "repetition_penalty" => settings.repetition_penalty(number()?),
            "no_repeat_ngram_size" => settings.no_repeat_ngram_size(size()?),
            "min_length" => settings.min_length(size()?),
            "bad_words" => {
                let words: Vec<Vec<u32>> = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
                settings.bad_words(words)
            }
            other => return Err(format!("{other} is not known")),
        };
    }
    Ok(settings)
}

fn one<T: Float>(
    settings: &GenerationSettings,
    logits: &Tensor<f64>,
    history: &Tensor<f64>,
    out: &Tensor<f64>,
    probabilities: Option<&Tensor<f64>>,
    errors: &mut Errors,
) -> Result<(), String> {
    settings.check(logits.dims()[1]).map_err(|e| e.to_string())?;
    let (mut got, mut space) = (logits.cast::<T>(), Space::default());
    for row in 0..got.samples() {
        let tokens: Vec<u32> = history.row(row).iter().map(|&token| token as u32).collect();
        let at = History { row, sequence: 0, tokens: &tokens, prompt: tokens.len(), max_new_tokens: 100 };
        settings.process(&at, got.row_mut(row), &mut space);
        settings.warp(got.row_mut(row), &mut space);
    }
    let removed = |v: &f64| *v == f64::NEG_INFINITY;
    for (i, (got, out)) in got.iter().zip(out.iter()).enumerate() {
        if removed(&got.as_f64()) != removed(out) {
            let width = logits.dims()[1];
            return Err(format!("{got} for token {} of row {}, expected {out}", i % width, i / width));
        }
    }
    let finite = |t: Vec<f64>| t.into_iter().map(|v| if removed(&v) { 0.0 } else { v }).collect::<Vec<f64>>();
    let kept: Vec<T> = finite(got.cast::<f64>().into_vec()).into_iter().map(T::of).collect();
    errors.check("out", &kept, &finite(out.clone().into_vec()), 1e-12)?;
    let Some(probabilities) = probabilities else { return Ok(()) };
    for row in 0..got.samples() {
        log_softmax(got.row_mut(row));
    }
    let got = got.map(|v| v.exp());
    errors.check("probabilities", got.as_slice(), probabilities.as_slice(), 1e-12)
}
