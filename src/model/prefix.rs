//! What a decoder has computed for the beginning of prompts, kept.

use super::built::Model;
use super::digest::digest;
use crate::error::{Error, Result};
use crate::layer::Cache;
use crate::tensor::Float;

/// The beginning of prompts, with the keys and values that a model computed for it: made by [`ModelDecoder::prefix`](super::ModelDecoder::prefix), so that a
/// long prompt is computed once.
///
/// It belongs to a model with its weights, which a digest tells.
///
/// ```
/// use gradus::generation::{GenerationSettings, Generator};
/// use gradus::models::Gpt2;
/// let small = Gpt2 { vocabulary: 20, context: 32, features: 16, blocks: 2, heads: 2, ..Gpt2::default() };
/// let model = small.build(1)?;
/// let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(5));
/// let whole = generator.generate(&mut model.decoder()?, &[[7, 3, 5, 11, 2]])?;
///
/// let mut decoder = model.decoder()?;
/// let beginning = decoder.prefix(&[7, 3, 5])?;
/// let mut other = model.decoder()?;
/// other.set_prefix(beginning)?;
/// assert_eq!(generator.generate(&mut other, &[[7, 3, 5, 11, 2]])?[0][0].tokens, whole[0][0].tokens);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prefix<T: Float = f32> {
    tokens: Vec<u32>,
    cache: Cache<T>,
    weights: u64,
}

impl<T: Float> Prefix<T> {
    pub(super) fn new(model: &Model<T>, tokens: &[u32], cache: Cache<T>) -> Self {
        Prefix { tokens: tokens.to_vec(), cache, weights: digest(model.params.values()) }
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// An error unless it was computed by this model, whose caches are as `like`.
    pub(super) fn check(&self, model: &Model<T>, like: &Cache<T>) -> Result<()> {
        if self.weights == digest(model.params.values()) && self.cache.is_like(like) {
            return Ok(());
        }
        let problem = "the prefix was computed by another model, or before its weights changed".to_owned();
        Err(Error::Config { op: "decoder", problem, hint: "compute it again with this model's decoder".into() })
    }

    /// How many of its tokens a prompt begins with.
    pub(super) fn common(&self, prompt: &[u32]) -> usize {
        self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Gives a row of a decoder's cache its first tokens, as many as that can take.
    pub(super) fn copy_to(&self, cache: &mut Cache<T>, row: usize, tokens: usize) {
        cache.take_row(row, &self.cache, 0, tokens);
    }
}

#[cfg(feature = "files")]
mod file {
    use std::path::Path;

    use super::*;
    use crate::io::{Archive, Array, write};
    use crate::state::Value;

    /// What the metadata says.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct About {
        prefix_of_weights: String,
    }

    impl<T: Float> Prefix<T> {
        /// Writes tokens, keys and values into one safetensors file.
        ///
        /// # Errors
        /// [`Error::Write`] if it cannot be written.
        pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
            let about = About { prefix_of_weights: format!("{:016x}", self.weights) };
            let about = serde_json::to_string(&about).map_err(|e| Error::Config {
                op: "save",
                problem: e.to_string(),
                hint: "report this as a fault of the library".into(),
            })?;
            let tokens = Value::U64(self.tokens.iter().map(|token| u64::from(*token)).collect());
            let parts: Vec<_> = self.cache.parts(0).collect();
            let shape = vec![self.tokens.len()];
            let mut arrays = vec![Array { name: "tokens".into(), shape, values: tokens.values() }];
            arrays.extend(parts.iter().map(|(name, values)| Array {
                name: name.clone(),
                shape: vec![values.len()],
                values: T::values(values),
            }));
            write(path.as_ref(), &about, arrays)
        }
    }

    impl<T: Float> Prefix<T> {
        /// From a file, of this model; `cache` makes one for so many steps.
        pub(in crate::model) fn read(
            path: &Path,
            model: &Model<T>,
            cache: impl FnOnce(usize) -> Result<Cache<T>>,
        ) -> Result<Prefix<T>> {
            let mut archive = Archive::open(path)?;
            let file = archive.path().to_owned();
            let bad =
                |problem: String| Error::file(&file, problem, "compute the prefix again with this model, and save it");
            let about: About = serde_json::from_str(archive.about().unwrap_or_default())
                .map_err(|_| bad("it is no prefix of prompts".into()))?;
            let weights = u64::from_str_radix(&about.prefix_of_weights, 16).map_err(|_| bad("bad metadata".into()))?;
            if weights != digest(model.params.values()) {
                return Err(bad("the prefix was computed by another model, or with other weights".into()));
            }
            let stored = archive.arrays().to_vec();
            let find = |name: &str| {
                let found = stored.iter().find(|stored| stored.name == name);
                found.ok_or_else(|| bad(format!("{name} is missing")))
            };
            let Value::U64(tokens) = archive.value(find("tokens")?)? else {
                return Err(bad("tokens are no whole numbers".into()));
            };
            let tokens = tokens.iter().map(|&token| u32::try_from(token)).collect::<Result<Vec<_>, _>>();
            let tokens = tokens.ok().filter(|tokens| !tokens.is_empty());
            let tokens = tokens.ok_or_else(|| bad("tokens are none, or out of range".into()))?;
            let mut cache = cache(tokens.len())?;
            cache.reserve_rows(1)?;
            cache.read_parts(0, tokens.len(), |name, values| archive.read(find(&name)?, values))?;
            Ok(Prefix { tokens, cache, weights })
        }
    }
}
