//! Whole transformers with the weights of another library: logits, loss, the gradient of every weight, and greedy texts.

use std::collections::BTreeMap;
use std::path::Path;

use gradus::activations::Activation;
use gradus::graph::{Graph, Net, Work};
use gradus::layers::{Dense, Rotary};
use gradus::models::{Bert, Gpt2, Llama};
use gradus::{FREE, Float, Params, Pass, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::case::Errors;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// Compares a case; the reason for one that is not built.
pub fn run(folder: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    let named = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !["gpt2_tiny", "llama_tiny", "bert_tiny"].contains(&&*named) {
        return Ok(Some("a folder of another library".to_owned()));
    }
    let text = std::fs::read_to_string(folder.join("config.json")).map_err(|e| e.to_string())?;
    let config: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let weights = read(&folder.join("model.safetensors"))?;
    let reference = read(&folder.join("reference.safetensors"))?;
    // The other library took norms, angles and softmax of Llama in single precision: its logits are 4e-7 from the exact ones.
    let tolerance = if named == "llama_tiny" { 1e-6 } else { 1e-7 };
    compare::<f64>(&config, &weights, &reference, errors, tolerance)?;
    compare::<f32>(&config, &weights, &reference, errors, tolerance)?;
    Ok(None)
}

fn read(path: &Path) -> Result<Tensors, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let mut out = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let values: Vec<f64> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => return Err(format!("{name} is {other:?}")),
        };
        out.insert(name, (view.shape().to_vec(), values));
    }
    Ok(out)
}

/// A model of this crate for a case, the names of its inputs in the reference, and for each weight of the other library that of this one, with
/// whether it lies the other way.
struct Model<T: Float> {
    net: Net<T>,
    params: Params<T>,
    inputs: Vec<&'static str>,
    names: Vec<(String, String, bool)>,
}

fn compare<T: Float>(
    config: &Value,
    weights: &Tensors,
    reference: &Tensors,
    errors: &mut Errors,
    tolerance: f64,
) -> Result<(), String> {
    let mut model = model::<T>(config)?;
    if model.names.len() != weights.len() {
        return Err(format!("{} weights, {} in the file", model.names.len(), weights.len()));
    }
    for (theirs, ours, turned) in &model.names {
        let (shape, values) = weights.get(theirs).ok_or(format!("no weight {theirs}"))?;
        let id = model.params.find(ours).ok_or(format!("no weight {ours}"))?;
        let values: Vec<T> = laid(shape, values, *turned).into_iter().map(T::of).collect();
        model.params.set(id, &values).map_err(|e| e.to_string())?;
    }
    let tensor = |name: &str| -> Result<Tensor<T>, String> {
        let (shape, values) = reference.get(name).ok_or(format!("no {name}"))?;
        Tensor::new(
            gradus::Shape::try_from(&shape[..]).map_err(|e| e.to_string())?,
            values.iter().map(|v| T::of(*v)).collect(),
        )
        .map_err(|e| e.to_string())
    };
    let x: Vec<Tensor<T>> = model.inputs.iter().map(|name| tensor(name)).collect::<Result<_, _>>()?;
    let x: Vec<&Tensor<T>> = x.iter().collect();
    let (net, params) = (&model.net, &model.params);
    let mut gradients = vec![T::zero(); params.len()];
    let mut pass = Pass::differentiable(params).with_gradients(&mut gradients);
    let mut work = Work::default();
    net.forward(&mut pass, &mut work, &x).map_err(|e| e.to_string())?;
    let logits = net.output(&work, 0).clone();
    let (shape, expected) = reference.get("logits").ok_or("no logits")?;
    if logits.dims() != shape {
        return Err(format!("logits {:?}, expected {shape:?}", logits.dims()));
    }
    errors.check("logits", logits.as_slice(), expected, tolerance)?;

    // The mean of −ln p over the targets: the next tokens, or the classes.
    let classes = shape[shape.len() - 1];
    let targets = match reference.get("labels") {
        Some((_, labels)) => labels.iter().map(|label| Some(*label as usize)).collect(),
        None => next_tokens(reference)?,
    };
    let count = targets.iter().flatten().count() as f64;
    let (mut loss, mut dy) = (0.0, Tensor::zeros(logits.shape()));
    let rows = logits.as_slice().chunks(classes).zip(dy.as_mut_slice().chunks_mut(classes)).zip(&targets);
    for ((z, dz), target) in rows {
        let Some(target) = target else { continue };
        let z: Vec<f64> = z.iter().map(|z| z.as_f64()).collect();
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - top).exp()).sum();
        loss -= (z[*target] - top - sum.ln()) / count;
        for (i, (dz, z)) in dz.iter_mut().zip(&z).enumerate() {
            *dz = T::of(((z - top).exp() / sum - f64::from(u8::from(i == *target))) / count);
        }
    }
    errors.check("loss", &[T::of(loss)], &reference.get("loss").ok_or("no loss")?.1, tolerance)?;
    let plan = net.plan(params, &vec![false; x.len()], &[true]);
    net.output_gradient(&mut work, &plan, 0).copy_from(&dy);
    net.backward(&mut pass, &mut work, &plan, &x).map_err(|e| e.to_string())?;
    for (theirs, ours, turned) in &model.names {
        let (shape, expected) = reference.get(&format!("grad.{theirs}")).ok_or(format!("no grad.{theirs}"))?;
        let range = params.find(ours).and_then(|id| params.spec(id)).ok_or("no weight")?.range.clone();
        let mut expected = laid(shape, expected, *turned);
        if theirs.ends_with("key.bias") {
            // Zero by mathematics; the file has what rounding left.
            expected.fill(0.0);
        }
        errors.check(format!("grad.{theirs}"), &gradients[range], &expected, tolerance)?;
    }
    match reference.get("greedy_ids") {
        Some((_, expected)) => greedy(net, params, expected),
        None => Ok(()),
    }
}

/// The most likely token, again and again, from the beginning that the expected text shares with the first input.
fn greedy<T: Float>(net: &Net<T>, params: &Params<T>, expected: &[f64]) -> Result<(), String> {
    let mut work = Work::default();
    let mut ids: Vec<T> = expected[..4].iter().map(|id| T::of(*id)).collect();
    while ids.len() < expected.len() {
        let x = Tensor::new([1, ids.len()], ids.clone()).map_err(|e| e.to_string())?;
        net.forward(&mut Pass::inference(params), &mut work, &[&x]).map_err(|e| e.to_string())?;
        let logits = net.output(&work, 0);
        let last = logits.as_slice().rchunks(logits.shape().last()).next().unwrap_or_default();
        let best = (0..last.len()).fold(0, |best, i| if last[i] > last[best] { i } else { best });
        ids.push(T::of(best as f64));
    }
    let got: Vec<f64> = ids.iter().map(|id| id.as_f64()).collect();
    if got == expected { Ok(()) } else { Err(format!("the greedy text is {got:?}, expected {expected:?}")) }
}

fn next_tokens(reference: &Tensors) -> Result<Vec<Option<usize>>, String> {
    let (shape, ids) = reference.get("input_ids").ok_or("no input_ids")?;
    let next = |row: &[f64]| row[1..].iter().map(|id| Some(*id as usize)).chain([None]).collect::<Vec<_>>();
    Ok(ids.chunks(shape[1]).flat_map(next).collect())
}

/// Values as they lie here: a matrix by rows of inputs.
fn laid(shape: &[usize], values: &[f64], turned: bool) -> Vec<f64> {
    match *shape {
        [rows, columns] if turned => (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect(),
        _ => values.to_vec(),
    }
}

fn model<T: Float>(config: &Value) -> Result<Model<T>, String> {
    let size = |name: &str| config[name].as_u64().map(|n| n as usize).ok_or(format!("no {name}"));
    let number = |name: &str| config[name].as_f64().ok_or(format!("no {name}"));
    let mut g = Graph::new();
    let mut names = Vec::new();
    let mut add = |theirs: String, ours: String, turned: bool| names.push((theirs, ours, turned));
    // Weight and bias of a dense layer, scale and shift of a norm.
    let (y, inputs) = match config["model_type"].as_str() {
        Some("gpt2") => {
            let settings = Gpt2 {
                vocabulary: size("vocab_size")?,
                context: size("n_positions")?,
                features: size("n_embd")?,
                blocks: size("n_layer")?,
                heads: size("n_head")?,
                hidden: None,
                dropout: 0.0,
            };
            add("transformer.wte.weight".into(), "tokens/embeddings".into(), false);
            add("transformer.wpe.weight".into(), "positions/embeddings".into(), false);
            let mut norm = |theirs: String, ours: String| {
                add(format!("{theirs}.weight"), format!("{ours}/gamma"), false);
                add(format!("{theirs}.bias"), format!("{ours}/beta"), false);
            };
            norm("transformer.ln_f".into(), "norm".into());
            for i in 0..settings.blocks {
                norm(format!("transformer.h.{i}.ln_1"), format!("block_{i}/attention_norm"));
                norm(format!("transformer.h.{i}.ln_2"), format!("block_{i}/feed_forward_norm"));
            }
            for i in 0..settings.blocks {
                for (theirs, ours) in [
                    ("attn.c_attn", "attention/query_key_value"),
                    ("attn.c_proj", "attention/attention_output"),
                    ("mlp.c_fc", "hidden"),
                    ("mlp.c_proj", "output"),
                ] {
                    add(format!("transformer.h.{i}.{theirs}.weight"), format!("block_{i}/{ours}/kernel"), false);
                    add(format!("transformer.h.{i}.{theirs}.bias"), format!("block_{i}/{ours}/bias"), false);
                }
            }
            let tokens = g.input("tokens", [FREE]);
            (g.add(settings, tokens), vec!["input_ids"])
        }
        Some("llama") => {
            let settings = Llama {
                vocabulary: size("vocab_size")?,
                features: size("hidden_size")?,
                blocks: size("num_hidden_layers")?,
                heads: size("num_attention_heads")?,
                key_heads: size("num_key_value_heads")?,
                head_dim: Some(size("head_dim")?),
                hidden: size("intermediate_size")?,
                rotary: Rotary::new().theta(config["rope_parameters"]["rope_theta"].as_f64().ok_or("no rope_theta")?),
                epsilon: number("rms_norm_eps")?,
                tied: false,
                ..Llama::default()
            };
            add("model.embed_tokens.weight".into(), "tokens/embeddings".into(), false);
            add("model.norm.weight".into(), "norm/scale".into(), false);
            add("lm_head.weight".into(), "head/kernel".into(), true);
            for i in 0..settings.blocks {
                for (theirs, ours) in [
                    ("self_attn.q_proj", "attention/query/kernel"),
                    ("self_attn.k_proj", "attention/key/kernel"),
                    ("self_attn.v_proj", "attention/value/kernel"),
                    ("self_attn.o_proj", "attention/attention_output/kernel"),
                    ("mlp.gate_proj", "hidden/gate/kernel"),
                    ("mlp.up_proj", "hidden/up/kernel"),
                    ("mlp.down_proj", "output/kernel"),
                    ("input_layernorm", "attention_norm/scale"),
                    ("post_attention_layernorm", "feed_forward_norm/scale"),
                ] {
                    let turned = theirs.contains("proj");
                    add(format!("model.layers.{i}.{theirs}.weight"), format!("block_{i}/{ours}"), turned);
                }
            }
            let tokens = g.input("tokens", [FREE]);
            (g.add(settings, tokens), vec!["input_ids"])
        }
        Some("bert") => {
            let settings = Bert {
                vocabulary: size("vocab_size")?,
                context: size("max_position_embeddings")?,
                sentences: size("type_vocab_size")?,
                features: size("hidden_size")?,
                blocks: size("num_hidden_layers")?,
                heads: size("num_attention_heads")?,
                hidden: Some(size("intermediate_size")?),
                epsilon: number("layer_norm_eps")?,
                dropout: 0.0,
            };
            for (theirs, ours) in [
                ("word_embeddings.weight", "tokens/embeddings"),
                ("position_embeddings.weight", "positions/embeddings"),
                ("token_type_embeddings.weight", "sentences/embeddings"),
                ("LayerNorm.weight", "norm/gamma"),
                ("LayerNorm.bias", "norm/beta"),
            ] {
                add(format!("bert.embeddings.{theirs}"), ours.into(), false);
            }
            let mut dense = |theirs: String, ours: String| {
                add(format!("{theirs}.weight"), format!("{ours}/kernel"), true);
                add(format!("{theirs}.bias"), format!("{ours}/bias"), false);
            };
            dense("bert.pooler.dense".into(), "pooler".into());
            dense("classifier".into(), "classifier".into());
            for i in 0..settings.blocks {
                for (theirs, ours) in [
                    ("attention.self.query", "attention/query"),
                    ("attention.self.key", "attention/key"),
                    ("attention.self.value", "attention/value"),
                    ("attention.output.dense", "attention/attention_output"),
                    ("intermediate.dense", "hidden"),
                    ("output.dense", "output"),
                ] {
                    dense(format!("bert.encoder.layer.{i}.{theirs}"), format!("block_{i}/{ours}"));
                }
            }
            for i in 0..settings.blocks {
                for (theirs, ours) in [("attention.output", "attention_norm"), ("output", "feed_forward_norm")] {
                    let theirs = format!("bert.encoder.layer.{i}.{theirs}.LayerNorm");
                    add(format!("{theirs}.weight"), format!("block_{i}/{ours}/gamma"), false);
                    add(format!("{theirs}.bias"), format!("block_{i}/{ours}/beta"), false);
                }
            }
            let [tokens, kinds, mask] = ["tokens", "sentences", "mask"].map(|name| g.input(name, [FREE]));
            let steps = settings.wire_with(&mut g, tokens, Some(kinds), Some(mask));
            let pooled = settings.pooled(&mut g, steps);
            let classes = config["id2label"].as_object().ok_or("no id2label")?.len();
            let y = g.add_named("classifier", Dense::new(classes).activation(Activation::Linear), pooled);
            (y, vec!["input_ids", "token_type_ids", "attention_mask"])
        }
        other => return Err(format!("model_type {other:?}")),
    };
    let (net, params) = g.build_net::<T>(&[y], 0).map_err(|e| e.to_string())?;
    Ok(Model { net, params, inputs, names })
}
