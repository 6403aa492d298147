//! A chat that goes on.

use super::causal_lm::CausalLm;
use super::chat_template::{ChatOptions, ChatTemplate, Message};
use crate::error::{Error, Result};
use crate::generation::{GenerationSettings, Generator};
use crate::model::ModelDecoder;
use crate::tensor::Float;

/// A chat with a model, turn by turn: keys and values of what was said are kept, so that a turn costs its own tokens.
///
/// A template may write earlier turns another way than they were generated (Qwen 3 leaves out what was thought); what is kept then ends where the tokens differ.
///
/// ```no_run
/// use std::io::Write;
/// use gradus::models::hf::{CausalLm, Conversation};
/// let lm = CausalLm::from_pretrained("models/qwen2.5-0.5b-instruct")?;
/// let mut chat = Conversation::new(&lm)?.system("Be brief.");
/// for question in ["What is the capital of France?", "And of Spain?"] {
///     chat.say(question, |piece| Ok(print!("{piece}")))?;
///     println!();
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Conversation<'m, T: Float = f32> {
    lm: &'m CausalLm<T>,
    template: ChatTemplate,
    decoder: ModelDecoder<'m, T>,
    messages: Vec<Message>,
    options: ChatOptions,
    settings: GenerationSettings,
    context: usize,
}

impl<'m, T: Float> Conversation<'m, T> {
    /// A chat without messages, with the template, the settings ([`CausalLm::chat_settings`]) and the tokens of the folder; of as
    /// many tokens as the model was made for.
    ///
    /// # Errors
    /// As [`CausalLm::chat_settings`] and [`CausalLm::decoder`].
    pub fn new(lm: &'m CausalLm<T>) -> Result<Self> {
        let template = lm.chat_template()?;
        let settings = lm.settings_with(&template)?;
        let (decoder, context) = (lm.decoder()?, lm.max_positions());
        Ok(Conversation {
            lm,
            template,
            decoder,
            messages: Vec::new(),
            options: ChatOptions::default(),
            settings,
            context,
        })
    }

    /// Begins with a message of the system, in the place of one that is there.
    pub fn system(mut self, content: impl Into<String>) -> Self {
        let has_one = self.messages.first().is_some_and(|message| message.role == "system");
        self.messages.splice(..usize::from(has_one), [Message::system(content)]);
        self
    }

    /// Takes other settings; those of [`CausalLm::chat_settings`] by default.
    pub fn settings(mut self, settings: GenerationSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Takes other options of the template.
    pub fn options(mut self, options: ChatOptions) -> Self {
        self.options = options;
        self
    }

    /// The most tokens of all messages together. Memory is taken as it is filled.
    pub fn context_length(mut self, tokens: usize) -> Self {
        self.context = tokens;
        self.decoder = self.decoder.context_length(tokens);
        self
    }

    /// What was said so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Forgets what was said, but for the system's message.
    pub fn clear(&mut self) {
        self.messages.retain(|message| message.role == "system");
    }

    /// Says something, hands the answer over as it comes, in pieces of whole characters, and gives it whole. Where the context has less room than the settings'
    /// most new tokens, the answer has at most as many.
    ///
    /// # Errors
    /// [`Error::Argument`] where the context is full; else as [`ChatTemplate::render`], [`Generator::stream_text`], and those of `piece`. The messages are then
    /// as before.
    pub fn say(&mut self, content: impl Into<String>, piece: impl FnMut(&str) -> Result<()>) -> Result<String> {
        self.messages.push(Message::user(content));
        match self.answer(piece) {
            Ok(answer) => {
                self.messages.push(Message::assistant(&answer));
                Ok(answer)
            }
            Err(e) => {
                self.messages.pop();
                Err(e)
            }
        }
    }

    fn answer(&mut self, mut piece: impl FnMut(&str) -> Result<()>) -> Result<String> {
        let prompt = self.lm.chat_tokens(&self.template.render(&self.messages, &self.options)?)?;
        let room = self.context.saturating_sub(prompt.len());
        if room == 0 {
            let expected = format!("below the context, {} tokens", self.context);
            let hint = "begin anew with Conversation::clear, say less, or make the context longer";
            return Err(Error::argument(
                "Conversation::say",
                "messages",
                expected,
                format!("{} tokens", prompt.len()),
                hint,
            ));
        }
        let most = self.settings.most_new_tokens().min(room);
        let settings = self.settings.clone().max_new_tokens(most);
        let mut generator = Generator::<T>::new_as(settings).tokenizer(self.lm.need_tokenizer()?);
        let mut answer = String::new();
        for text in generator.stream_text_of(&mut self.decoder, &prompt)? {
            let text = text?;
            piece(&text)?;
            answer.push_str(&text);
        }
        Ok(answer)
    }
}
