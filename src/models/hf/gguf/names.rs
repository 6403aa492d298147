//! Architectures of GGUF files, and what their tensors are called in a folder of transformers.

use super::super::weights::Form;

/// An architecture of llama.cpp's that is a family here.
#[derive(Debug)]
pub(super) struct Arch {
    /// `general.architecture`.
    pub name: &'static str,
    /// The family in transformers' words.
    pub model_type: &'static str,
    /// The class in Python.
    pub class: &'static str,
    /// How the names of a block's tensors begin in a folder.
    block: &'static str,
    /// Names in a file and in a folder, without `.weight` and `.bias`, and how the tensors differ: those of the model, and those of a block.
    outer: &'static [Name],
    inner: &'static [Name],
}

type Name = (&'static str, &'static str, Differs);

/// How a tensor lies in a GGUF file, seen from a folder.
#[derive(Clone, Copy, Debug)]
enum Differs {
    No,
    /// Queries or keys, whose neighbours turn together (llama.cpp's oldest form of rotary positions).
    Queries,
    Keys,
    /// `[outputs, inputs]`.
    Transposed,
    /// All queries, all keys, all values.
    Grouped,
    /// 1 is added.
    OneMore,
}

use Differs::*;

const LLAMA_OUTER: &[Name] =
    &[("token_embd", "model.embed_tokens", No), ("output_norm", "model.norm", No), ("output", "lm_head", No)];

/// The blocks of most.
const PLAIN: &[Name] = &[
    ("attn_norm", "input_layernorm", No),
    ("attn_q", "self_attn.q_proj", No),
    ("attn_k", "self_attn.k_proj", No),
    ("attn_v", "self_attn.v_proj", No),
    ("attn_output", "self_attn.o_proj", No),
    ("attn_q_norm", "self_attn.q_norm", No),
    ("attn_k_norm", "self_attn.k_norm", No),
    ("ffn_norm", "post_attention_layernorm", No),
    ("ffn_gate", "mlp.gate_proj", No),
    ("ffn_up", "mlp.up_proj", No),
    ("ffn_down", "mlp.down_proj", No),
];

const LLAMA_INNER: &[Name] = &[
    ("attn_norm", "input_layernorm", No),
    ("attn_q", "self_attn.q_proj", Queries),
    ("attn_k", "self_attn.k_proj", Keys),
    ("attn_v", "self_attn.v_proj", No),
    ("attn_output", "self_attn.o_proj", No),
    ("ffn_norm", "post_attention_layernorm", No),
    ("ffn_gate", "mlp.gate_proj", No),
    ("ffn_up", "mlp.up_proj", No),
    ("ffn_down", "mlp.down_proj", No),
];

const PHI3_INNER: &[Name] = &[
    ("attn_norm", "input_layernorm", No),
    ("attn_qkv", "self_attn.qkv_proj", No),
    ("attn_output", "self_attn.o_proj", No),
    ("ffn_norm", "post_attention_layernorm", No),
    ("ffn_up", "mlp.gate_up_proj", No),
    ("ffn_down", "mlp.down_proj", No),
];

/// Gemma's norms are stored with the 1 that is added to them.
const GEMMA_OUTER: &[Name] =
    &[("token_embd", "model.embed_tokens", No), ("output_norm", "model.norm", OneMore), ("output", "lm_head", No)];

const GEMMA_INNER: &[Name] = &[
    ("attn_norm", "input_layernorm", OneMore),
    ("attn_q", "self_attn.q_proj", No),
    ("attn_k", "self_attn.k_proj", No),
    ("attn_v", "self_attn.v_proj", No),
    ("attn_output", "self_attn.o_proj", No),
    ("attn_q_norm", "self_attn.q_norm", OneMore),
    ("attn_k_norm", "self_attn.k_norm", OneMore),
    ("post_attention_norm", "post_attention_layernorm", OneMore),
    ("ffn_norm", "pre_feedforward_layernorm", OneMore),
    ("ffn_gate", "mlp.gate_proj", No),
    ("ffn_up", "mlp.up_proj", No),
    ("ffn_down", "mlp.down_proj", No),
    ("post_ffw_norm", "post_feedforward_layernorm", OneMore),
];

pub(super) const ARCHS: [Arch; 8] = [
    Arch {
        name: "gemma2",
        model_type: "gemma2",
        class: "Gemma2ForCausalLM",
        block: "model.layers",
        outer: GEMMA_OUTER,
        inner: GEMMA_INNER,
    },
    Arch {
        name: "gemma3",
        model_type: "gemma3_text",
        class: "Gemma3ForCausalLM",
        block: "model.layers",
        outer: GEMMA_OUTER,
        inner: GEMMA_INNER,
    },
    Arch {
        name: "gpt2",
        model_type: "gpt2",
        class: "GPT2LMHeadModel",
        block: "transformer.h",
        outer: &[
            ("token_embd", "transformer.wte", No),
            ("position_embd", "transformer.wpe", No),
            ("output_norm", "transformer.ln_f", No),
            ("output", "lm_head", No),
        ],
        inner: &[
            ("attn_norm", "ln_1", No),
            ("attn_qkv", "attn.c_attn", Transposed),
            ("attn_output", "attn.c_proj", Transposed),
            ("ffn_norm", "ln_2", No),
            ("ffn_up", "mlp.c_fc", Transposed),
            ("ffn_down", "mlp.c_proj", Transposed),
        ],
    },
    Arch {
        name: "gptneox",
        model_type: "gpt_neox",
        class: "GPTNeoXForCausalLM",
        block: "gpt_neox.layers",
        outer: &[
            ("token_embd", "gpt_neox.embed_in", No),
            ("output_norm", "gpt_neox.final_layer_norm", No),
            ("output", "embed_out", No),
        ],
        inner: &[
            ("attn_norm", "input_layernorm", No),
            ("attn_qkv", "attention.query_key_value", Grouped),
            ("attn_output", "attention.dense", No),
            ("ffn_norm", "post_attention_layernorm", No),
            ("ffn_up", "mlp.dense_h_to_4h", No),
            ("ffn_down", "mlp.dense_4h_to_h", No),
        ],
    },
    Arch {
        name: "llama",
        model_type: "llama",
        class: "LlamaForCausalLM",
        block: "model.layers",
        outer: LLAMA_OUTER,
        inner: LLAMA_INNER,
    },
    Arch {
        name: "phi3",
        model_type: "phi3",
        class: "Phi3ForCausalLM",
        block: "model.layers",
        outer: LLAMA_OUTER,
        inner: PHI3_INNER,
    },
    Arch {
        name: "qwen2",
        model_type: "qwen2",
        class: "Qwen2ForCausalLM",
        block: "model.layers",
        outer: LLAMA_OUTER,
        inner: PLAIN,
    },
    Arch {
        name: "qwen3",
        model_type: "qwen3",
        class: "Qwen3ForCausalLM",
        block: "model.layers",
        outer: LLAMA_OUTER,
        inner: PLAIN,
    },
];

impl Arch {
    /// The name in a folder of a file's tensor, and how that differs; for one that is not known its own name, which no folder has.
    pub fn in_folder(&self, name: &str, [heads, key_heads]: [usize; 2]) -> (String, Form) {
        let found =
            split(name).and_then(|(stem, part)| match stem.strip_prefix("blk.").and_then(|s| s.split_once('.')) {
                Some((block, stem)) if block.parse::<usize>().is_ok_and(|n| n.to_string() == block) => {
                    let (_, theirs, differs) = self.inner.iter().find(|(own, ..)| *own == stem)?;
                    Some((format!("{}.{block}.{theirs}.{part}", self.block), *differs, part))
                }
                _ => {
                    let (_, theirs, differs) = self.outer.iter().find(|(own, ..)| *own == stem)?;
                    Some((format!("{theirs}.{part}"), *differs, part))
                }
            });
        match found {
            Some((name, differs, part)) => (name, differs.form(part, [heads, key_heads])),
            None => (name.to_owned(), Form::default()),
        }
    }

    /// The name in a file of a folder's tensor, and how that differs.
    pub fn in_file(&self, name: &str, heads: [usize; 2]) -> Option<(String, Form)> {
        let (stem, part) = split(name)?;
        if let Some((own, _, differs)) = self.outer.iter().find(|(_, theirs, _)| *theirs == stem) {
            return Some((format!("{own}.{part}"), differs.form(part, heads)));
        }
        let (block, stem) = stem.strip_prefix(self.block)?.strip_prefix('.')?.split_once('.')?;
        let (own, _, differs) = self.inner.iter().find(|(_, theirs, _)| *theirs == stem)?;
        Some((format!("blk.{block}.{own}.{part}"), differs.form(part, heads)))
    }
}

/// A name without its end, and that.
fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(_, part)| matches!(*part, "weight" | "bias"))
}

impl Differs {
    fn form(self, part: &str, [heads, key_heads]: [usize; 2]) -> Form {
        let plain = Form::default();
        match self {
            No => plain,
            Queries => Form { neighbours: Some(heads), ..plain },
            Keys => Form { neighbours: Some(key_heads), ..plain },
            Transposed => Form { transposed: part == "weight", ..plain },
            Grouped => Form { grouped: true, ..plain },
            OneMore => Form { more: 1.0, ..plain },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name there and back.
    #[test]
    fn names_both_ways() {
        for arch in &ARCHS {
            for (own, theirs, _) in arch.outer.iter().chain(arch.inner) {
                let is_inner = arch.inner.iter().any(|(_, name, _)| name == theirs);
                let own = if is_inner { format!("blk.7.{own}.weight") } else { format!("{own}.weight") };
                let (name, form) = arch.in_folder(&own, [4, 2]);
                assert!(name.ends_with(&format!("{theirs}.weight")), "{name}");
                assert_eq!(arch.in_file(&name, [4, 2]), Some((own, form)), "{}", arch.name);
            }
            for strange in ["blk.07.attn_q.weight", "blk.x.attn_q.weight", "attn_q.weight", "token_embd", "a.b.weight"]
            {
                assert_eq!(arch.in_folder(strange, [4, 2]).0, strange);
            }
        }
    }
}
