//! The one thread that computes, and what it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use crate::error::{Error, Result};
use crate::generation::{Finish, GenerationSettings, Generator, History};
use crate::model::ModelDecoder;
use crate::models::hf::{CausalLm, Encode, SentenceEncoder};
use crate::tensor::Tensor;

/// What is to be computed, and where the results go. Whoever no longer wants them sets `gone`.
#[derive(Debug)]
pub enum Job {
    Write { prompt: Vec<u32>, settings: Box<GenerationSettings>, gone: Arc<AtomicBool>, to: Sender<Event> },
    Embed { texts: Vec<String>, options: Encode, gone: Arc<AtomicBool>, to: Sender<Result<Tensor>> },
}

/// What comes of writing.
#[derive(Debug)]
pub enum Event {
    Text(String),
    /// The end: why, and how many tokens were written.
    End {
        finish: Finish,
        tokens: usize,
    },
    Failed(Error),
}

/// Does what comes, one after the other, until nobody can ask any more. The decoder keeps what it has computed, so that a chat's next turn costs its own tokens.
pub fn work(jobs: Receiver<Job>, lm: Option<(&CausalLm, ModelDecoder<'_>)>, encoder: Option<&SentenceEncoder>) {
    let mut lm = lm;
    for job in jobs {
        match job {
            Job::Write { gone, .. } | Job::Embed { gone, .. } if gone.load(Ordering::Relaxed) => {}
            Job::Write { prompt, settings, gone, to } => {
                let Some((lm, decoder)) = &mut lm else { continue };
                let last = match write(lm, decoder, &prompt, *settings, &gone, &to) {
                    Ok((finish, tokens)) => Event::End { finish, tokens },
                    Err(e) => Event::Failed(e),
                };
                // Nobody listens where the client is gone.
                drop(to.send(last));
            }
            Job::Embed { texts, options, to, .. } => {
                let Some(encoder) = encoder else { continue };
                drop(to.send(encoder.encode_with(&texts, &options)));
            }
        }
    }
}

fn write(
    lm: &CausalLm,
    decoder: &mut ModelDecoder<'_>,
    prompt: &[u32],
    settings: GenerationSettings,
    gone: &AtomicBool,
    to: &Sender<Event>,
) -> Result<(Finish, usize)> {
    let stop = |_: &History<'_>| Ok(gone.load(Ordering::Relaxed));
    let mut generator = Generator::new(settings).tokenizer(lm.need_tokenizer()?).stop_when(stop);
    let mut stream = generator.stream_text_of(decoder, prompt)?;
    while let Some(text) = stream.next().transpose()? {
        if to.send(Event::Text(text)).is_err() {
            break;
        }
    }
    Ok((stream.finish().unwrap_or(Finish::Stopped), stream.tokens().len() - prompt.len()))
}
