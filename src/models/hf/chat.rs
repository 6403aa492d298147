//! What a language model answers.

use super::causal_lm::CausalLm;
use super::chat_template::{ChatOptions, ChatTemplate, Message};
use crate::error::Result;
use crate::generation::{GenerationSettings, Generator};
use crate::tensor::Float;

/// Chats, for models that were trained on them.
///
/// ```no_run
/// use gradus::models::hf::{CausalLm, Message};
/// let lm = CausalLm::from_pretrained("models/qwen2.5-0.5b-instruct")?;
/// let messages = [Message::system("Be brief."), Message::user("What is the capital of France?")];
/// println!("{}", lm.chat(&messages, lm.chat_settings()?.max_new_tokens(40))?);
/// # Ok::<(), gradus::Error>(())
/// ```
impl<T: Float> CausalLm<T> {
    /// The chat template of the folder.
    ///
    /// # Errors
    /// As [`ChatTemplate::from_folder`].
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        match self.gguf_chat_template() {
            Some(source) => self.chat_template_of(source),
            None => ChatTemplate::from_folder(self.folder()),
        }
    }

    /// A template of your own for this model, or one that was told with it elsewhere: the tokens that begin, end and fill up texts (`bos_token`, `eos_token`,
    /// `pad_token`) are those that `config.json` names by their ids.
    ///
    /// # Errors
    /// As [`ChatTemplate::parse`]; [`Error::File`](crate::Error::File) for ids that are none.
    pub fn chat_template_of(&self, source: &str) -> Result<ChatTemplate> {
        let mut template = ChatTemplate::parse(source)?;
        for name in ["bos_token", "eos_token", "pad_token"] {
            let ids = self.config().tokens(&format!("{name}_id")).or_else(|e| match name {
                // −1 stands for none in files of Llama.
                "pad_token" => Ok(Vec::new()),
                _ => Err(e),
            })?;
            let token = ids.first().and_then(|id| self.tokenizer()?.token(*id));
            template = token.into_iter().fold(template, |template, token| template.special_token(name, token));
        }
        Ok(template)
    }

    /// Messages as the text that the model goes on from, the beginning of its answer included.
    ///
    /// # Errors
    /// As [`chat_template`](Self::chat_template) and [`ChatTemplate::render`].
    pub fn chat_prompt(&self, messages: &[Message]) -> Result<String> {
        self.chat_template()?.render(messages, &ChatOptions::default())
    }

    /// The tokens of a text that a chat template has rendered: special ones are found in it, and none is added, as the template has written those that belong there.
    ///
    /// (A text encoded as any other would begin with two tokens that begin texts, which no model has seen in training.)
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) without a tokenizer; else those of the tokenizer.
    pub fn chat_tokens(&self, rendered: &str) -> Result<Vec<u32>> {
        Ok(self.need_tokenizer()?.encode_without_template(rendered)?.ids)
    }

    /// [`generation_settings`](Self::generation_settings), with the tokenizer's `eos_token` among the tokens that end an answer: models that were trained on chats
    /// later do not always name it elsewhere.
    ///
    /// # Errors
    /// As there, and as [`chat_template`](Self::chat_template).
    pub fn chat_settings(&self) -> Result<GenerationSettings> {
        self.settings_with(&self.chat_template()?)
    }

    pub(crate) fn settings_with(&self, template: &ChatTemplate) -> Result<GenerationSettings> {
        let settings = self.generation_settings()?;
        let token = template.token("eos_token").and_then(|token| self.tokenizer()?.id(token));
        let Some(token) = token.filter(|token| (*token as usize) < self.vocab_size()) else { return Ok(settings) };
        let mut ends = settings.ends().to_vec();
        if !ends.contains(&token) {
            ends.push(token);
        }
        Ok(settings.end_tokens(ends))
    }

    /// The answer to messages.
    ///
    /// # Errors
    /// As [`chat_prompt`](Self::chat_prompt), [`chat_tokens`](Self::chat_tokens) and [`Generator::generate_text`].
    pub fn chat(&self, messages: &[Message], settings: GenerationSettings) -> Result<String> {
        let prompt = self.chat_tokens(&self.chat_prompt(messages)?)?;
        let mut decoder = self.decoder()?;
        Generator::<T>::new_as(settings).tokenizer(self.need_tokenizer()?).generate_text_of(&mut decoder, &prompt)
    }
}
