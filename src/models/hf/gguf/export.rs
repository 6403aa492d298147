//! A language model written as a GGUF file that llama.cpp opens.

use std::io::Read;
use std::path::Path;

use super::super::config::{Recipe, read_object};
use super::super::pretrained::Pretrained;
use super::super::weights::Form;
use super::super::writer::in_file;
use super::names::{ARCHS, Arch};
use super::rope::{FACTORS, factors_of};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::io::{BlockKind, GgufKind, GgufValue, Planned, open_file, write_gguf};
use crate::layers::{Rotary, RotaryScaling};
use crate::models::{Gpt2, GptNeoX, Llama};
use crate::params::ParamId;
use crate::tensor::Float;

/// The longest template that is read.
const MAX_TEMPLATE: u64 = 1 << 20;

/// Keys and their values.
type Metadata = Vec<(String, GgufValue)>;

/// An error for what the file would not say.
fn refuse(problem: String, hint: &str) -> Error {
    Error::Config { op: "save_gguf", problem, hint: hint.to_owned() }
}

/// A setting that llama.cpp does not have for the architecture.
fn lost(what: &str, got: impl std::fmt::Display) -> Error {
    refuse(format!("{what} is {got}, which a GGUF file of this architecture does not say"), "save_pretrained keeps it")
}

/// Writes a model; matrices are of the kind, where their rows are whole blocks of it.
pub(in super::super) fn save<T: Float>(model: &Pretrained<T>, path: &Path, kind: GgufKind) -> Result<()> {
    if kind == GgufKind::F64 {
        let expected = "F32, F16, BF16, Q8_0, Q6_K, Q4_K or Q4_0";
        return Err(Error::argument("save_gguf", "kind", expected, kind, "llama.cpp opens no models of this kind"));
    }
    let model_type = model.config().model_type();
    let arch = match model_type {
        // One architecture there.
        "mistral" => "llama",
        other => other,
    };
    let found = ARCHS.iter().find(|known| known.model_type == arch).zip(model.config().recipe.as_ref());
    let Some((arch, recipe)) = found else {
        let known: Vec<&str> = ARCHS.iter().map(|arch| arch.model_type).collect();
        let hint = format!("save_pretrained writes it; as GGUF: {}, mistral", known.join(", "));
        return Err(refuse(format!("a model of the type {model_type:?} has no form as GGUF here"), &hint));
    };
    let mut metadata = vec![
        ("general.architecture".to_owned(), arch.name.into()),
        ("general.file_type".to_owned(), file_type(kind).into()),
        ("general.quantization_version".to_owned(), 2u32.into()),
    ];
    let mut keys = Keys { arch, metadata: &mut metadata };
    let (heads, factors) = match recipe {
        Recipe::Gpt2(settings) => (gpt2(&mut keys, settings)?, None),
        Recipe::GptNeoX(settings) => (gpt_neox(&mut keys, settings, model.max_positions())?, None),
        Recipe::Llama(settings) => llama(&mut keys, settings, model.max_positions())?,
    };
    #[cfg(feature = "text")]
    super::written_tokenizer::write(model, &mut metadata)?;
    if let Some(template) = chat_template(model)? {
        metadata.push(("tokenizer.chat_template".to_owned(), template.into()));
    }
    #[cfg(not(feature = "text"))]
    metadata.push(("tokenizer.ggml.model".to_owned(), "no_vocab".into()));
    tensors(model, path, kind, arch, heads, &metadata, factors)
}

/// How messages become a prompt: of a GGUF file, or of a folder in either form that folders have.
fn chat_template<T: Float>(model: &Pretrained<T>) -> Result<Option<String>> {
    if let Some(template) = model.gguf_chat_template() {
        return Ok(Some(template.to_owned()));
    }
    let [own, config] = ["chat_template.jinja", "tokenizer_config.json"].map(|name| model.folder().join(name));
    if own.is_file() {
        let (file, _) = open_file(&own)?;
        let mut text = String::new();
        let read = file.take(MAX_TEMPLATE).read_to_string(&mut text);
        return read.map(|_| Some(text)).map_err(|source| Error::Io { file: own, source });
    }
    if !config.is_file() {
        return Ok(None);
    }
    let mut values = read_object(&config, 1 << 24)?;
    Ok(values.remove("chat_template").and_then(|template| template.as_str().map(str::to_owned)))
}

/// Writes the file, a tensor at a time.
fn tensors<T: Float>(
    model: &Pretrained<T>,
    path: &Path,
    kind: GgufKind,
    arch: &Arch,
    heads: [usize; 2],
    metadata: &Metadata,
    factors: Option<Vec<f32>>,
) -> Result<()> {
    let params = model.model().params();
    let (mut planned, mut sources): (Vec<Planned>, Vec<(ParamId, _, Form)>) = (Vec::new(), Vec::new());
    if let Some(factors) = &factors {
        planned.push(Planned { name: FACTORS.to_owned(), shape: vec![factors.len()], kind: GgufKind::F32 });
    }
    for row in model.table().rows() {
        let found = params.find(&row.param).and_then(|id| Some((id, params.spec(id)?)));
        let named = arch.in_file(&row.file, heads);
        let (Some((id, spec)), Some((name, form))) = (found, named) else {
            let problem = format!("{} ({}) has no name in a GGUF file of {}", row.file, row.param, arch.name);
            return Err(refuse(problem, "save_pretrained writes it"));
        };
        let layout = form.layout(row.layout);
        let shape = layout.in_file(spec);
        planned.push(Planned { kind: of_tensor(kind, &name, &shape), name, shape });
        sources.push((id, layout, form));
    }
    let extra = usize::from(factors.is_some());
    write_gguf(path, metadata, &planned, |i, out| {
        let Some(at) = i.checked_sub(extra) else {
            out.extend(factors.iter().flatten());
            return Ok(());
        };
        let (id, layout, form) = sources[at];
        let Some(spec) = params.spec(id) else { return Ok(()) };
        let rows = in_file(layout, spec, params.get(id), |values| {
            out.extend(values.iter().map(|v| (v.as_f64() + form.more) as f32));
            Ok(())
        });
        rows.map_err(|source| Error::Write { file: path.to_owned(), source })?;
        form.order(planned[i].shape.first().copied().unwrap_or(1), out);
        Ok(())
    })
}

/// How a tensor is stored: vectors and tables of positions as numbers; matrices whose rows are no whole blocks of 256 in those of 32, else in half precision.
fn of_tensor(kind: GgufKind, name: &str, shape: &[usize]) -> GgufKind {
    let width = match shape {
        [] | [_] => return GgufKind::F32,
        _ if name.starts_with("position_embd") => return GgufKind::F32,
        [.., width] => *width,
    };
    let smaller = match kind {
        GgufKind::Blocks(BlockKind::Q4K | BlockKind::Q6K) => GgufKind::Blocks(BlockKind::Q8_0),
        _ => GgufKind::F16,
    };
    let mut kinds = [kind, smaller, GgufKind::F16].into_iter();
    kinds.find(|kind| kind.row_bytes(width).is_ok()).unwrap_or(GgufKind::F16)
}

/// llama.cpp's number for what most tensors of a file are.
fn file_type(kind: GgufKind) -> u32 {
    match kind {
        GgufKind::F16 => 1,
        GgufKind::Blocks(BlockKind::Q4_0) => 2,
        GgufKind::Blocks(BlockKind::Q8_0) => 7,
        // All matrices are of the kind: what is called "S" there.
        GgufKind::Blocks(BlockKind::Q4K) => 14,
        GgufKind::Blocks(BlockKind::Q6K) => 18,
        GgufKind::Bf16 => 32,
        _ => 0,
    }
}

/// Keys of an architecture.
struct Keys<'m> {
    arch: &'static Arch,
    metadata: &'m mut Metadata,
}

impl Keys<'_> {
    fn put(&mut self, key: &str, value: impl Into<GgufValue>) {
        self.metadata.push((format!("{}.{key}", self.arch.name), value.into()));
    }

    fn size(&mut self, key: &str, value: usize) -> Result<()> {
        let Ok(value) = u32::try_from(value) else { return Err(lost(key, value)) };
        self.put(key, value);
        Ok(())
    }

    fn sizes<const N: usize>(&mut self, sizes: [(&str, usize); N]) -> Result<()> {
        sizes.into_iter().try_for_each(|(key, value)| self.size(key, value))
    }

    /// θ, and a linear scaling; Llama 3's is a tensor.
    fn rotary(&mut self, rotary: &Rotary, head_dim: usize) -> Result<Option<Vec<f32>>> {
        let frequencies = rotary.of_head(head_dim)?;
        self.size("rope.dimension_count", frequencies.values)?;
        self.put("rope.freq_base", frequencies.base as f32);
        match frequencies.scaling {
            RotaryScaling::None => Ok(None),
            RotaryScaling::Linear { factor } => {
                self.put("rope.scaling.type", "linear");
                self.put("rope.scaling.factor", factor as f32);
                Ok(None)
            }
            RotaryScaling::Llama3 { .. } if self.arch.name == "llama" => Ok(Some(factors_of(frequencies))),
            other => Err(lost("the scaling of rotary positions", format!("{other:?}"))),
        }
    }

    fn activation(&self, got: Activation, expected: Activation) -> Result<()> {
        if got == expected { Ok(()) } else { Err(lost("the activation", format!("{got:?}"))) }
    }
}

fn gpt2(keys: &mut Keys<'_>, s: &Gpt2) -> Result<[usize; 2]> {
    keys.activation(s.activation, Activation::GeluTanh)?;
    keys.sizes([
        ("context_length", s.context),
        ("embedding_length", s.features),
        ("block_count", s.blocks),
        ("feed_forward_length", s.hidden.unwrap_or(4 * s.features)),
        ("attention.head_count", s.heads),
        ("vocab_size", s.vocabulary),
    ])?;
    keys.put("attention.layer_norm_epsilon", s.epsilon as f32);
    Ok([s.heads; 2])
}

fn gpt_neox(keys: &mut Keys<'_>, s: &GptNeoX, positions: usize) -> Result<[usize; 2]> {
    keys.activation(s.activation, Activation::Gelu)?;
    let Some(rotary) = &s.rotary else { return Err(lost("the kind of positions", "none")) };
    keys.sizes([
        ("context_length", positions),
        ("embedding_length", s.features),
        ("block_count", s.blocks),
        ("feed_forward_length", s.hidden.unwrap_or(4 * s.features)),
        ("attention.head_count", s.heads),
        ("vocab_size", s.vocabulary),
    ])?;
    keys.put("attention.layer_norm_epsilon", s.epsilon as f32);
    keys.put("use_parallel_residual", s.parallel);
    keys.rotary(rotary, s.features / s.heads.max(1))?;
    Ok([s.heads; 2])
}

fn llama(keys: &mut Keys<'_>, s: &Llama, positions: usize) -> Result<([usize; 2], Option<Vec<f32>>)> {
    let name = keys.arch.name;
    let gemma = name.starts_with("gemma");
    keys.activation(s.activation, if gemma { Activation::GeluTanh } else { Activation::Silu })?;
    let head_dim = s.head_dim.unwrap_or(s.features / s.heads.max(1));
    keys.sizes([
        ("context_length", positions),
        ("embedding_length", s.features),
        ("block_count", s.blocks),
        ("feed_forward_length", s.hidden),
        ("attention.head_count", s.heads),
        ("attention.head_count_kv", s.key_heads),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
        ("vocab_size", s.vocabulary),
    ])?;
    keys.put("attention.layer_norm_rms_epsilon", s.epsilon as f32);
    let factors = keys.rotary(&s.rotary, head_dim)?;
    let window = s.window.filter(|window| *window < positions);
    let windowed: Vec<bool> = (0..s.blocks).map(|i| s.windowed.get(i).copied().unwrap_or(true)).collect();
    match (name, window) {
        _ if gemma => gemma_keys(keys, s, head_dim, &windowed)?,
        ("llama" | "phi3", Some(window)) if windowed.iter().all(|windowed| *windowed) => {
            keys.size("attention.sliding_window", window)?;
        }
        (_, Some(_)) if windowed.contains(&true) => return Err(lost("the window of some blocks", window.unwrap_or(0))),
        _ => {}
    }
    Ok(([s.heads, s.key_heads], factors))
}

fn gemma_keys(keys: &mut Keys<'_>, s: &Llama, head_dim: usize, windowed: &[bool]) -> Result<()> {
    let second = keys.arch.name == "gemma2";
    let largest = if second { 46 } else { 62 };
    let scaled = if s.blocks == largest { s.features / s.heads.max(1) } else { head_dim };
    if s.scale.is_some_and(|scale| (scale * (scaled as f64).sqrt() - 1.0).abs() > 1e-6) {
        return Err(lost("query_pre_attn_scalar", s.scale.map_or(0.0, |scale| scale.powi(-2))));
    }
    for (key, cap) in [("attn_logit_softcapping", s.soft_cap), ("final_logit_softcapping", s.logit_cap)] {
        match cap {
            Some(cap) => keys.put(key, cap as f32),
            None if second => return Err(lost(key, "none")),
            None => {}
        }
    }
    let Some(window) = s.window else {
        return if second { Err(lost("sliding_window", "none")) } else { Ok(()) };
    };
    keys.size("attention.sliding_window", window)?;
    let default = if second { 2 } else { 6 };
    if !(windowed.iter().zip(1..)).all(|(windowed, i)| *windowed != usize::is_multiple_of(i, default)) {
        keys.put("attention.sliding_window_pattern", windowed.to_vec());
    }
    if let Some(local) = &s.windowed_rotary {
        let local = local.of_head(head_dim)?;
        if local.scaling != RotaryScaling::None {
            return Err(lost("the scaling of blocks with a window", format!("{:?}", local.scaling)));
        }
        if local.base != 1e4 {
            keys.put("rope.freq_base_swa", local.base as f32);
        }
    }
    Ok(())
}
