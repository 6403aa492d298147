//! Ways to split texts, and types of tokens, by the names and numbers that GGUF files have for them.

/// How texts are split, by `tokenizer.ggml.pre`.
pub(super) struct Splitting {
    /// The names that mean it.
    pub names: &'static [&'static str],
    /// The expressions, one after the other; the last one cuts words.
    pub patterns: &'static [&'static str],
    /// Whether a piece that is a token is one, whatever merges say.
    pub ignore_merges: bool,
    /// Whether texts begin with a token where the file does not say.
    pub begins: bool,
}

pub(super) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Those that are known. A file that names none is of before there were names, and split as `default`.
static SPLITTINGS: [Splitting; 7] = [
    Splitting {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4"],
        patterns: &[GPT2],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        patterns: &[CL100K],
        ignore_merges: true,
        begins: true,
    },
    Splitting {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        patterns: &[CL100K],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"],
        patterns: &[QWEN],
        ignore_merges: false,
        begins: false,
    },
    Splitting {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        patterns: &[r"\p{N}", GPT2],
        ignore_merges: false,
        begins: false,
    },
    Splitting { names: &["gpt-4o", "llama4"], patterns: &[O200K], ignore_merges: false, begins: false },
    Splitting { names: &["tekken"], patterns: &[TEKKEN], ignore_merges: true, begins: true },
];

/// What `default` splits after another: marks, words, numbers, three digits each.
static DEFAULT: Splitting = Splitting {
    names: &["default"],
    patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ignore_merges: false,
    begins: false,
};

/// Types of tokens, as SentencePiece numbers them.
pub(super) const NORMAL: u8 = 1;
pub(super) const UNKNOWN: u8 = 2;
pub(super) const CONTROL: u8 = 3;
pub(super) const USER_DEFINED: u8 = 4;
pub(super) const UNUSED: u8 = 5;
pub(super) const BYTE: u8 = 6;

/// All that are known.
pub(super) fn known() -> impl Iterator<Item = &'static Splitting> {
    SPLITTINGS.iter().chain([&DEFAULT])
}
