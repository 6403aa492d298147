//! Language models in GGUF files, llama.cpp's: settings, tokenizer and weights in one.
//!
//! A file's metadata become the settings that a folder of transformers has, its tensors get the names that they have there, and the family is read as from a
//! folder. Where llama.cpp keeps weights in another form (`names.rs`), it is undone when they are read.

mod export;
mod keys;
mod names;
mod rope;
mod settings;
#[cfg(feature = "text")]
mod splitting;
#[cfg(feature = "text")]
mod tokenizer;
#[cfg(feature = "text")]
mod written_tokenizer;

use std::path::Path;

pub(super) use self::export::save;
use super::families;
use super::family::Task;
use super::pretrained::{OpenOptions, Parts, Pretrained};
use super::store::Store;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::io::Gguf;
use crate::tensor::Float;

/// Opens a file.
pub(super) fn open<T: Float>(path: &Path, options: &OpenOptions) -> Result<Pretrained<T>> {
    if path.is_dir() {
        let hint = "pass the *.gguf file itself; a folder of transformers is opened by CausalLm::open";
        return Err(Error::file(path, "a folder, no GGUF file", hint));
    }
    let mut file = Gguf::open(path)?;
    options.no_labels()?;
    let settings::Settings { config, arch, heads } = settings::read(&mut file, options.ignored())?;
    let (family, class) = families::find(&config, Task::CausalLm, false)?;
    let template = file.chat_template().map(str::to_owned);
    #[cfg(feature = "text")]
    let tokenizer = tokenizer::read(&file)?;
    let name = |name: &str| (name != rope::FACTORS).then(|| arch.in_folder(name, heads));
    let weights = Weights::of_file(Store::Gguf(file), name)?;
    let parts = Parts { config, weights, family, class, task: Task::CausalLm };
    let mut opened = Pretrained::assemble(path, parts, options, |_| Ok(()))?;
    opened.set_chat_template(template.as_deref());
    #[cfg(feature = "text")]
    if let Some(tokenizer) = tokenizer {
        opened.set_tokenizer(tokenizer)?;
    }
    Ok(opened)
}
