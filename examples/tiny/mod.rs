//! A language model that the examples make when they are given none: a Llama of 100,000 weights in a folder as the hub has them, with a tokenizer and a chat
//! template, which learns three answers by heart in a second. It knows nothing else.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use gradus::models::hf::{CausalLm, ChatOptions, ChatTemplate, Message};
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::text::tokenizer::Trainer;

const CHATS: [(&str, &str); 3] = [
    ("Hello!", "Hello! I am a tiny model, made a second ago. I know three answers by heart – this is one. 🙂"),
    ("Who are you?", "A Llama of two blocks. Show me a folder with --model, and a grown one answers."),
    ("What is 1 + 1?", "2, I was told."),
];
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const FEATURES: usize = 64;
const HIDDEN: usize = 128;
const BLOCKS: usize = 2;
const CONTEXT: usize = 256;

/// A folder that goes when the program is done with it.
pub struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Makes the model, and the folder in which its files are.
pub fn model() -> gradus::Result<(CausalLm, Folder)> {
    let kept = Folder(env::temp_dir().join(format!("gradus_tiny_{}", process::id())));
    let folder = &kept.0;
    fs::create_dir_all(folder).map_err(Error::custom)?;
    let tokenizer = Trainer::byte_level_bpe(320)
        .special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        .train(CHATS.iter().flat_map(|(question, answer)| [*question, *answer]))?;
    tokenizer.save(folder.join("tokenizer.json"))?;
    let write = |name: &str, text: String| fs::write(folder.join(name), text).map_err(Error::custom);
    let (vocabulary, end) = (tokenizer.vocab_size(), tokenizer.id("<|im_end|>").unwrap_or_default());
    write("tokenizer_config.json", r#"{"eos_token": "<|im_end|>"}"#.to_owned())?;
    write("chat_template.jinja", TEMPLATE.to_owned())?;
    write("generation_config.json", format!(r#"{{"eos_token_id": {end}}}"#))?;
    write(
        "config.json",
        format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {vocabulary}, "hidden_size": {FEATURES},
            "intermediate_size": {HIDDEN}, "num_hidden_layers": {BLOCKS}, "num_attention_heads": 4, "max_position_embeddings": {CONTEXT},
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": {end}}}"#
        ),
    )?;
    write_weights(&folder.join("model.safetensors"), vocabulary)?;
    let mut lm = CausalLm::from_pretrained(folder)?;
    learn(&mut lm)?;
    Ok((lm, kept))
}

/// Weights that are drawn, norms of one, in the form of safetensors: the length of a header, the header in JSON, numbers.
fn write_weights(file: &Path, vocabulary: usize) -> gradus::Result<()> {
    let mut tensors =
        vec![("model.embed_tokens".to_owned(), vec![vocabulary, FEATURES]), ("model.norm".to_owned(), vec![FEATURES])];
    for block in 0..BLOCKS {
        let mut add =
            |name: &str, shape: &[usize]| tensors.push((format!("model.layers.{block}.{name}"), shape.to_vec()));
        ["q", "k", "v", "o"].iter().for_each(|part| add(&format!("self_attn.{part}_proj"), &[FEATURES, FEATURES]));
        ["gate", "up"].iter().for_each(|part| add(&format!("mlp.{part}_proj"), &[HIDDEN, FEATURES]));
        add("mlp.down_proj", &[FEATURES, HIDDEN]);
        ["input_layernorm", "post_attention_layernorm"].iter().for_each(|name| add(name, &[FEATURES]));
    }
    let (mut header, mut bytes) = (Vec::new(), Vec::new());
    for (number, (name, shape)) in tensors.iter().enumerate() {
        let (from, key) = (bytes.len(), Key::new(1, Purpose::Data).with(number as u64));
        for i in 0..shape.iter().product::<usize>() {
            let value = if shape.len() == 1 { 1.0 } else { 0.2 * (key.unit(i as u64) - 0.5) };
            bytes.extend_from_slice(&(value as f32).to_le_bytes());
        }
        let to = bytes.len();
        header.push(format!(r#""{name}.weight":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{from},{to}]}}"#));
    }
    let header = format!("{{{}}}", header.join(","));
    let all = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat();
    fs::write(file, all).map_err(Error::custom)
}

/// Trains it on the chats until it knows them.
fn learn(lm: &mut CausalLm) -> gradus::Result<()> {
    let template: ChatTemplate = lm.chat_template()?;
    let options = ChatOptions::default().add_generation_prompt(false);
    let rows = CHATS.map(|(question, answer)| {
        let text = template.render(&[Message::user(question), Message::assistant(answer)], &options)?;
        lm.chat_tokens(&text)
    });
    let rows = rows.into_iter().collect::<gradus::Result<Vec<Vec<u32>>>>()?;
    let end = lm.tokenizer().and_then(|tokenizer| tokenizer.id("<|im_end|>")).unwrap_or_default();
    // Each token is to be followed by the next; ends fill up.
    let steps = rows.iter().map(Vec::len).max().unwrap_or(1);
    let at = |row: usize, step: usize| rows[row].get(step).copied().unwrap_or(end) as f32;
    let x = Tensor::from_fn([CHATS.len(), steps - 1], |i| at(i / (steps - 1), i % (steps - 1)));
    let y = Tensor::from_fn([CHATS.len(), steps - 1], |i| at(i / (steps - 1), i % (steps - 1) + 1));
    let loss = SparseCategoricalCrossentropy::default().from_logits(true);
    lm.model_mut().compile(AdamW::default().learning_rate(5e-3), loss, ())?;
    lm.model_mut().fit(&x, &y, &Fit::default().epochs(120).batch_size(CHATS.len()).verbose(Verbose::Silent))?;
    Ok(())
}
