//! Whole transformers as Python saves them, opened by `hf`: logits, loss, the gradient of every weight, steps, texts that are written greedily and by beams,
//! both dialects of `config.json`, and the folder that is saved again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gradus::generation::{GenerationSettings, Generator};
use gradus::models::hf::{
    CausalLm, Encoder, ImageClassifier, MaskedLm, OpenOptions, Pretrained, Seq2SeqLm, SequenceClassifier,
    TokenClassifier,
};
use gradus::{Float, Model, Shape, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::case::Errors;

/// Families that later issues bring.
const LATER: [&str; 1] = ["whisper"];

/// What the other library took some steps of in single precision; their rounding is in its values.
const ROUNDED: [(&str, f64); 3] = [("bert_tiny", 1e-7), ("gpt2_tiny", 1e-7), ("llama_tiny", 1e-6)];

const EXACT: f64 = 1e-8;

/// Gradients that are zero by mathematics are what rounding left of them.
const NOTHING: f64 = 1e-14;

struct Reference {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    metadata: BTreeMap<String, String>,
}

/// Compares a case; the reason for one that is not built.
pub fn run(folder: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    let named = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !folder.join("config.json").exists() {
        return minilm(folder, errors);
    }
    let text = std::fs::read_to_string(folder.join("config.json")).map_err(|e| e.to_string())?;
    let config: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let (kind, class) =
        (config["model_type"].as_str().unwrap_or(""), config["architectures"][0].as_str().unwrap_or(""));
    if LATER.contains(&kind) {
        let opened = Encoder::from_pretrained(folder).map(drop).or(CausalLm::from_pretrained(folder).map(drop));
        return match opened {
            Ok(()) => Err(format!("{kind} is built, and still listed among what is not")),
            Err(_) => Ok(Some(format!("{kind} is not built"))),
        };
    }
    let tolerance = ROUNDED.iter().find(|(name, _)| *name == named).map_or(EXACT, |(_, tolerance)| *tolerance);
    let reference = read(&folder.join("reference.safetensors"))?;
    let mut case = Case { class, reference: &reference, tolerance };
    case.check::<f64>(folder, errors)?;
    case.check::<f32>(folder, errors)?;
    if folder.join("config_v4.json").exists() {
        let older = copy(folder, &format!("{named}_v4"))?;
        std::fs::copy(folder.join("config_v4.json"), older.join("config.json")).map_err(|e| e.to_string())?;
        let outcome = case.check::<f64>(&older, errors).map_err(|problem| format!("config_v4.json: {problem}"));
        std::fs::remove_dir_all(&older).map_err(|e| e.to_string())?;
        outcome?;
    }
    Ok(None)
}

/// A folder of this process's own with the files of another, without its reference values.
fn copy(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let copy = temporary(name);
    std::fs::create_dir_all(&copy).map_err(|e| e.to_string())?;
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let from = entry.map_err(|e| e.to_string())?.path();
        let name = from.file_name().unwrap_or_default().to_os_string();
        if from.is_file() && name != "reference.safetensors" {
            std::fs::copy(&from, copy.join(name)).map_err(|e| e.to_string())?;
        }
    }
    Ok(copy)
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gradus-hf-{}-{name}", std::process::id()))
}

fn read(path: &Path) -> Result<Reference, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let values: Vec<f64> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => return Err(format!("{name} is {other:?}")),
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(Reference { tensors, metadata })
}

impl Reference {
    fn find(&self, name: &str) -> Option<(&[usize], &[f64])> {
        self.tensors.get(name).map(|(shape, values)| (&shape[..], &values[..]))
    }

    fn get(&self, name: &str) -> Result<(&[usize], &[f64]), String> {
        self.find(name).ok_or_else(|| format!("no {name}"))
    }

    fn tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>, String> {
        let (shape, values) = self.get(name)?;
        let shape = Shape::try_from(shape).map_err(|e| e.to_string())?;
        Tensor::new(shape, values.iter().map(|v| T::of(*v)).collect()).map_err(|e| e.to_string())
    }

    /// Rows of a matrix of ids.
    fn rows(&self, name: &str) -> Result<Vec<Vec<u32>>, String> {
        let (shape, values) = self.get(name)?;
        Ok(values.chunks(shape[shape.len() - 1]).map(|row| row.iter().map(|id| *id as u32).collect()).collect())
    }

    /// What the metadata says of a generation.
    fn generation(&self, name: &str) -> Value {
        let all = self.metadata.get("generation").and_then(|text| serde_json::from_str::<Value>(text).ok());
        all.map_or(Value::Null, |all| all[name].clone())
    }

    /// Values of steps that count; others are 0 in the file.
    fn masked<T: Float>(&self, values: &[T], steps: usize) -> Vec<T> {
        let mask = self.find("attention_mask").map(|(_, mask)| mask).filter(|mask| mask.len() == steps);
        let width = values.len() / steps.max(1);
        let counts = |i: usize| mask.is_none_or(|mask| mask[i / width] != 0.0);
        values.iter().enumerate().map(|(i, v)| if counts(i) { *v } else { T::zero() }).collect()
    }
}

struct Case<'a> {
    class: &'a str,
    reference: &'a Reference,
    tolerance: f64,
}

/// The name under which a model gives the last steps.
fn last_steps<T: Float>(model: &Model<T>) -> String {
    let blocks = model.outline().iter().rfind(|part| part.name.starts_with("block_"));
    blocks.filter(|_| !is_causal(model)).map_or("norm".to_owned(), |block| block.name.clone())
}

/// Whether it writes: other models take a mask beside tokens.
fn is_causal<T: Float>(model: &Model<T>) -> bool {
    model.input_names().len() == 1
}

impl Case<'_> {
    fn check<T: Float>(&mut self, folder: &Path, errors: &mut Errors) -> Result<(), String> {
        let options = OpenOptions::default();
        let e = |e: gradus::Error| e.to_string();
        if self.class.ends_with("LMHeadModel") || self.class.ends_with("ForCausalLM") {
            let lm = CausalLm::<T>::open(folder, &options).map_err(e)?;
            self.compare(&lm, errors)?;
            self.writes(&lm, errors)?;
            return self
                .saved(&lm, |folder| CausalLm::open(folder, &options).map(|lm| lm.model().params().values().to_vec()));
        }
        if self.class.ends_with("ForConditionalGeneration") || self.class.ends_with("MTModel") {
            let lm = Seq2SeqLm::<T>::open(folder, &options).map_err(e)?;
            self.compare(&lm, errors)?;
            self.writes_for_sources(&lm, errors)?;
            return self.saved(&lm, |folder| {
                Seq2SeqLm::open(folder, &options).map(|lm| lm.model().params().values().to_vec())
            });
        }
        if self.class.ends_with("ForMaskedLM") {
            let lm = MaskedLm::<T>::open(folder, &options).map_err(e)?;
            self.compare(&lm, errors)?;
            self.saved(&lm, |folder| MaskedLm::open(folder, &options).map(|lm| lm.model().params().values().to_vec()))?;
        } else if self.class.ends_with("ForSequenceClassification") {
            let classifier = SequenceClassifier::<T>::open(folder, &options).map_err(e)?;
            self.compare(&classifier, errors)?;
            self.saved(&classifier, |folder| {
                SequenceClassifier::open(folder, &options).map(|lm| lm.model().params().values().to_vec())
            })?;
        } else if self.class.ends_with("ForImageClassification") {
            let classifier = ImageClassifier::<T>::open(folder, &options).map_err(e)?;
            self.compare(&classifier, errors)?;
            self.saved(&classifier, |folder| {
                ImageClassifier::open(folder, &options).map(|lm| lm.model().params().values().to_vec())
            })?;
        } else if self.class.ends_with("ForTokenClassification") {
            let classifier = TokenClassifier::<T>::open(folder, &options).map_err(e)?;
            self.compare(&classifier, errors)?;
            self.saved(&classifier, |folder| {
                TokenClassifier::open(folder, &options).map(|lm| lm.model().params().values().to_vec())
            })?;
        } else {
            let encoder = Encoder::<T>::open(folder, &options).map_err(e)?;
            self.compare(&encoder, errors)?;
            self.saved(&encoder, |folder| {
                Encoder::open(folder, &options).map(|lm| lm.model().params().values().to_vec())
            })?;
        }
        self.pooled::<T>(folder, errors)
    }

    /// The inputs that the model asks for.
    fn inputs<T: Float>(&self, model: &Model<T>) -> Result<Vec<Tensor<T>>, String> {
        let input = |name: &&str| match self.reference.tensor(name)? {
            // Pictures have their channels last here.
            pictures if *name == "pixel_values" => {
                let &[n, channels, height, width] = pictures.dims() else { return Err("no pictures".into()) };
                let last = |i: usize| {
                    let (row, pixel) = (i / channels, i % channels);
                    pictures.as_slice()
                        [(row / (height * width) * channels + pixel) * height * width + row % (height * width)]
                };
                Ok(Tensor::from_fn([n, height, width, channels], last))
            }
            other => Ok(other),
        };
        model.input_names().iter().map(input).collect()
    }

    /// Outputs, loss and gradients.
    fn compare<T: Float>(&self, opened: &Pretrained<T>, errors: &mut Errors) -> Result<(), String> {
        let e = |e: gradus::Error| e.to_string();
        let (model, reference) = (opened.model(), self.reference);
        let x = self.inputs(model)?;
        let x: Vec<&Tensor<T>> = x.iter().collect();
        let mut steps = model.training_loop();
        steps.forward(model, &x).map_err(e)?;
        let mut loss = 0.0;
        if let Some((shape, expected)) = reference.find("logits") {
            let logits = steps.output(model, 0).map_err(e)?.clone();
            if logits.dims() != shape {
                return Err(format!("logits {:?}, expected {shape:?}", logits.dims()));
            }
            let rows = if shape.len() > 2 { shape[0] * shape[1] } else { 0 };
            errors.check("logits", &reference.masked(logits.as_slice(), rows), expected, self.tolerance)?;
            let dy = steps.output_gradient(model, 0).map_err(e)?;
            loss = cross_entropy(&logits, &self.targets()?, dy.as_mut_slice());
        } else {
            for (output, name) in ["last_hidden_state", "pooler_output"].iter().enumerate() {
                let y = steps.output(model, output).map_err(e)?.clone();
                let (_, expected) = reference.get(name)?;
                let rows = if output == 0 { y.dims()[0] * y.dims()[1] } else { 0 };
                errors.check(name, &reference.masked(y.as_slice(), rows), expected, self.tolerance)?;
                let (_, g) = reference.get(&format!("grad_output.{name}"))?;
                loss += y.iter().zip(g).map(|(y, g)| y.as_f64() * g).sum::<f64>();
                let dy = steps.output_gradient(model, output).map_err(e)?;
                dy.as_mut_slice().iter_mut().zip(g).for_each(|(dy, g)| *dy = T::of(*g));
            }
        }
        errors.check("loss", &[T::of(loss)], reference.get("loss")?.1, self.tolerance)?;
        steps.backward(model, &x).map_err(e)?;
        // Some cases of forms have none.
        let has_gradients = reference.tensors.keys().any(|name| name.starts_with("grad."));
        let params = model.params();
        let trained = |ours: &str| params.find(ours).and_then(|id| params.spec(id)).is_some_and(|spec| spec.trainable);
        for (file, ours) in opened.tensors().filter(|(_, ours)| has_gradients && trained(ours)) {
            let (shape, expected) = self.gradient(file)?;
            let mut expected = expected.to_vec();
            if expected.iter().all(|g| g.abs() < NOTHING) {
                expected.fill(0.0);
            }
            let (own, got) = opened.in_folder(file, steps.gradient(model, ours).map_err(e)?).map_err(e)?;
            if own != shape {
                return Err(format!("{file} is {own:?}, expected {shape:?}"));
            }
            errors.check(format!("grad.{file}"), &got, &expected, self.tolerance)?;
        }
        #[cfg(feature = "tools")]
        if let Some((shape, expected)) = reference.find("last_hidden_state") {
            let name = last_steps(model);
            let steps = model.outputs_of([name.as_str()], x.clone()).map_err(e)?;
            let rows = shape[0] * shape[1];
            let (steps, expected) = (reference.masked(steps[0].as_slice(), rows), reference.masked(expected, rows));
            errors.check("last_hidden_state", &steps, &expected, self.tolerance)?;
        }
        #[cfg(feature = "tools")]
        for side in ["encoder", "decoder"] {
            let Some((shape, expected)) = reference.find(&format!("{side}_last_hidden_state")) else { continue };
            let parts = || model.outline().iter().map(|part| part.name.clone());
            let of_side = |name: &String| {
                let rest = name.strip_prefix(side).and_then(|rest| rest.strip_prefix('_'));
                rest.is_some_and(|rest| rest == "norm" || rest.bytes().all(|b| b.is_ascii_digit()))
            };
            let name = parts().rfind(of_side).ok_or("no last steps")?;
            let steps = model.outputs_of([name.as_str()], x.clone()).map_err(e)?;
            let rows = if side == "encoder" { shape[0] * shape[1] } else { 0 };
            let (steps, expected) = (reference.masked(steps[0].as_slice(), rows), reference.masked(expected, rows));
            errors.check(format!("{side}_last_hidden_state"), &steps, &expected, self.tolerance)?;
        }
        Ok(())
    }

    /// The classes that rows of logits are to give.
    fn targets(&self) -> Result<Vec<Option<usize>>, String> {
        let kept = |label: &f64| Some(*label as usize).filter(|_| *label >= 0.0);
        let causal = self.class.ends_with("LMHeadModel") || self.class.ends_with("ForCausalLM");
        let (shape, labels) =
            self.reference.get(if self.reference.find("labels").is_some() { "labels" } else { "input_ids" })?;
        match causal {
            true => {
                let next = |row: &[f64]| row[1..].iter().map(kept).chain([None]).collect::<Vec<_>>();
                Ok(labels.chunks(shape[1]).flat_map(next).collect())
            }
            false => Ok(labels.iter().map(kept).collect()),
        }
    }

    /// The gradient of a tensor, under the name that it has in the folder.
    fn gradient(&self, file: &str) -> Result<(&[usize], &[f64]), String> {
        let bare = file.split_once('.').map_or(file, |(_, rest)| rest);
        let old = |name: &str| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        };
        let names = [file.to_owned(), bare.to_owned(), old(file), old(bare)];
        let found = names.iter().find_map(|name| self.reference.find(&format!("grad.{name}")));
        found.ok_or_else(|| format!("no grad.{file}"))
    }

    /// Padded rows, and what is written on from prompts.
    fn writes<T: Float>(&self, lm: &CausalLm<T>, errors: &mut Errors) -> Result<(), String> {
        let (e, reference) = (|e: gradus::Error| e.to_string(), self.reference);
        let mut decoder = lm.decoder().map_err(e)?;
        let mut generate = |settings: GenerationSettings, prompts: &[Vec<u32>]| {
            Generator::<T>::new_as(settings).generate(&mut decoder, prompts).map_err(e)
        };
        if reference.find("greedy_ids").is_some() {
            for row in reference.rows("greedy_ids")? {
                let prompt = row[..4].to_vec();
                let written = generate(GenerationSettings::default().max_new_tokens(row.len() - 4), &[prompt])?;
                same("the greedy text", &written[0][0].tokens, &row[4..])?;
            }
        }
        if let Some((shape, expected)) = reference.find("left.logits") {
            let (ids, masks) = (reference.rows("left.input_ids")?, reference.rows("left.attention_mask")?);
            let mut prompts = Vec::new();
            for (row, (ids, mask)) in ids.iter().zip(&masks).enumerate() {
                let kept: Vec<u32> = ids.iter().zip(mask).filter(|(_, m)| **m == 1).map(|(id, _)| *id).collect();
                let x = Tensor::from_fn([1, kept.len()], |i| T::of(f64::from(kept[i])));
                let logits = lm.model().predict(&x).map_err(e)?;
                let expected = &expected[row * shape[1] * shape[2]..][..shape[1] * shape[2]];
                let expected = &expected[(shape[1] - kept.len()) * shape[2]..];
                errors.check("left.logits", logits.as_slice(), expected, self.tolerance)?;
                prompts.push(kept);
            }
            let how = reference.generation("left.greedy_ids");
            let id = |key: &str| how[key].as_u64().map(|id| id as u32).ok_or(format!("no {key} of left.greedy_ids"));
            let settings = GenerationSettings::default()
                .max_new_tokens(how["max_new_tokens"].as_u64().ok_or("no max_new_tokens")? as usize)
                .end_tokens([id("eos_token_id")?])
                .pad_token(id("pad_token_id")?);
            let written = generate(settings, &prompts)?.padded();
            for (written, expected) in written.iter().zip(reference.rows("left.greedy_ids")?) {
                let expected = &expected[shape[1]..];
                let mut written = written.clone();
                written.resize(expected.len().max(written.len()), id("pad_token_id")?);
                same("the greedy text of a padded row", &written, expected)?;
            }
        }
        if reference.find("beam_ids").is_some() {
            let how = reference.generation("beam_ids");
            let number = |key: &str| how[key].as_u64().map(|n| n as usize).ok_or(format!("no {key} of beam_ids"));
            let prompt = number("prompt")?;
            let rows = reference.rows("input_ids")?;
            let prompts: Vec<Vec<u32>> = rows.iter().map(|row| row[..prompt].to_vec()).collect();
            let settings = GenerationSettings::default()
                .max_new_tokens(number("max_new_tokens")?)
                .num_beams(number("num_beams")?)
                .num_return_sequences(number("num_return_sequences")?)
                .length_penalty(how["length_penalty"].as_f64().unwrap_or(1.0))
                .end_tokens([number("eos_token_id")? as u32])
                .pad_token(number("pad_token_id")? as u32);
            let written = generate(settings, &prompts)?;
            let (expected, (_, scores)) = (reference.rows("beam_ids")?, reference.get("beam_scores")?);
            let all = written.rows().iter().flatten();
            for ((sequence, expected), score) in all.zip(&expected).zip(scores) {
                let mut tokens = sequence.tokens.clone();
                tokens.resize(expected.len() - prompt, number("pad_token_id")? as u32);
                same("a beam", &tokens, &expected[prompt..])?;
                errors.check("beam_scores", &[T::of(sequence.score)], &[*score], self.tolerance)?;
            }
        }
        Ok(())
    }

    /// What is written for sources, greedily and by beams, as the folder's settings say.
    fn writes_for_sources<T: Float>(&self, lm: &Seq2SeqLm<T>, errors: &mut Errors) -> Result<(), String> {
        let (e, reference) = (|e: gradus::Error| e.to_string(), self.reference);
        let kept = |(ids, mask): (&Vec<u32>, &Vec<u32>)| -> Vec<u32> {
            ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect()
        };
        let (ids, masks) = (reference.rows("input_ids")?, reference.rows("attention_mask")?);
        let sources: Vec<Vec<u32>> = ids.iter().zip(&masks).map(kept).collect();
        let settings = lm.generation_settings().map_err(e)?;
        for (name, beams) in [("greedy_ids", 1), ("beam_ids", 4)] {
            let how = reference.generation(name);
            let number = |key: &str| how[key].as_u64().map(|n| n as usize).ok_or(format!("no {key} of {name}"));
            let (most, pad) = (number("max_new_tokens")?, number("pad_token_id")? as u32);
            let settings = settings.clone().max_new_tokens(most).num_beams(beams).num_return_sequences(beams);
            let written = lm.generate(&sources, settings).map_err(e)?;
            let all: Vec<_> = written.rows().iter().flatten().collect();
            let expected = reference.rows(name)?;
            if all.len() != expected.len() {
                return Err(format!("{name}: {} sequences, expected {}", all.len(), expected.len()));
            }
            for (i, (sequence, expected)) in all.iter().zip(&expected).enumerate() {
                let mut tokens = vec![lm.start_token().map_err(e)?];
                tokens.extend(&sequence.tokens);
                tokens.resize(expected.len().max(tokens.len()), pad);
                same(&format!("{name} {i}"), &tokens, expected)?;
                if beams > 1 {
                    let score = reference.get("beam_scores")?.1[i];
                    errors.check("beam_scores", &[T::of(sequence.score)], &[score], self.tolerance)?;
                }
            }
        }
        Ok(())
    }

    /// Sentences, where the case has them.
    #[cfg(feature = "text")]
    fn pooled<T: Float>(&self, folder: &Path, errors: &mut Errors) -> Result<(), String> {
        use gradus::models::hf::{Pooling, SentenceEncoder};
        let Some((_, expected)) = self.reference.find("mean_pooled") else { return Ok(()) };
        let e = |e: gradus::Error| e.to_string();
        let options = OpenOptions::default();
        let encoder = SentenceEncoder::<T>::from_encoder(folder, Pooling::Mean, true, &options).map_err(e)?;
        let y = encoder.model().predict(&self.inputs(encoder.model())?).map_err(e)?;
        errors.check("mean_pooled", y.as_slice(), expected, self.tolerance)
    }

    #[cfg(not(feature = "text"))]
    fn pooled<T: Float>(&self, _: &Path, _: &mut Errors) -> Result<(), String> {
        Ok(())
    }

    /// Written and opened again, in one file and in several, all bits are the same.
    fn saved<T: Float>(
        &self,
        opened: &Pretrained<T>,
        again: impl Fn(&Path) -> gradus::Result<Vec<T>>,
    ) -> Result<(), String> {
        let folder = temporary(&format!("saved-{}-{}", self.class, T::NAME));
        let options = gradus::models::hf::SaveOptions::default();
        for options in [options.clone(), options.max_shard_size(4000)] {
            let saved = opened.save_pretrained_with(&folder, &options).and_then(|()| again(&folder));
            let values = saved.map_err(|e| format!("saved: {e}"))?;
            if values != opened.model().params().values() {
                return Err("a folder that was saved and opened again has other weights".into());
            }
        }
        std::fs::remove_dir_all(&folder).map_err(|e| e.to_string())
    }
}

fn same(what: &str, got: &[u32], expected: &[u32]) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what} is {got:?}, expected {expected:?}")) }
}

/// The mean of −ln p over the targets, and its gradient.
fn cross_entropy<T: Float>(logits: &Tensor<T>, targets: &[Option<usize>], dy: &mut [T]) -> f64 {
    let classes = logits.shape().last();
    let count = targets.iter().flatten().count() as f64;
    let mut loss = 0.0;
    let rows = logits.as_slice().chunks(classes).zip(dy.chunks_mut(classes)).zip(targets);
    for ((z, dz), target) in rows {
        dz.fill(T::zero());
        let Some(target) = target else { continue };
        let z: Vec<f64> = z.iter().map(|z| z.as_f64()).collect();
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - top).exp()).sum();
        loss -= (z[*target] - top - sum.ln()) / count;
        for (i, (dz, z)) in dz.iter_mut().zip(&z).enumerate() {
            *dz = T::of(((z - top).exp() / sum - f64::from(u8::from(i == *target))) / count);
        }
    }
    loss
}

/// Sentences of all-MiniLM-L6-v2, whose folder the environment variable `GRADUS_MINILM` gives: its vectors have a cosine of 0.999999 or more with those of
/// sentence-transformers. The reference stands in the folder `minilm` of the fixtures.
#[cfg(feature = "text")]
fn minilm(reference: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    use gradus::models::hf::{Encode, SentenceEncoder};
    let Some(folder) = std::env::var_os("GRADUS_MINILM") else {
        return Ok(Some("the folder of all-MiniLM-L6-v2 is not given, see GRADUS_MINILM".to_owned()));
    };
    let e = |e: gradus::Error| e.to_string();
    let reference = read(&reference.join("reference.safetensors"))?;
    let text = reference.metadata.get("sentences").ok_or("no sentences")?;
    let sentences: Vec<String> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let (_, expected) = reference.get("embeddings")?;
    fn check<T: Float>(
        folder: &Path,
        sentences: &[String],
        expected: &[f64],
        least: f64,
        errors: &mut Errors,
    ) -> Result<(), String> {
        let e = |e: gradus::Error| e.to_string();
        let encoder = SentenceEncoder::<T>::open(folder, &OpenOptions::default()).map_err(e)?;
        let all = encoder.encode(sentences).map_err(e)?;
        for (row, expected) in expected.chunks(all.shape().last()).enumerate() {
            let own = all.row(row);
            let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
            let lengths = norm(&mut own.iter().map(|v| v.as_f64())) * norm(&mut expected.iter().copied());
            let cosine = own.iter().zip(expected).map(|(a, b)| a.as_f64() * b).sum::<f64>() / lengths;
            if cosine < least {
                return Err(format!(
                    "sentence {row} has a cosine of {cosine} ({}), at least {least} is expected",
                    T::NAME
                ));
            }
            errors.check(format!("sentence {row}"), own, expected, EXACT)?;
            let alone = encoder.encode_with(&sentences[row..=row], &Encode::default().batch_size(1)).map_err(e)?;
            if alone.as_slice() != own {
                return Err(format!("sentence {row} alone has other bits than among the others ({})", T::NAME));
            }
        }
        Ok(())
    }
    let folder = Path::new(&folder);
    check::<f64>(folder, &sentences, expected, 1.0 - 1e-14, errors)?;
    check::<f32>(folder, &sentences, expected, 0.999_999, errors)?;
    // Saved and opened again.
    let (again, encoder) = (temporary("minilm"), SentenceEncoder::from_pretrained(folder).map_err(e)?);
    encoder.save_pretrained(&again).map_err(e)?;
    let outcome = check::<f32>(&again, &sentences, expected, 0.999_999, errors);
    std::fs::remove_dir_all(&again).map_err(|e| e.to_string())?;
    outcome.map(|()| None)
}

#[cfg(not(feature = "text"))]
fn minilm(_: &Path, _: &mut Errors) -> Result<Option<String>, String> {
    Ok(Some("read with the feature text".to_owned()))
}
