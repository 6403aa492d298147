//! A chat with a language model in the terminal, answers shown as they come.
//!
//! `cargo run --release --features text --example chat -- --model FOLDER_OR_GGUF [--storage bf16] [--adapter FOLDER] [--system TEXT] [--temperature T] [--top-p P] [--max-tokens N] [--seed N] [--prompt TEXT]`
//!
//! The folder is one of Hugging Face with a chat template, such as Qwen2.5-0.5B-Instruct, the file one of GGUF. Large matrices are stored as bf16 unless said
//! otherwise (f32, q8_0, q4_0: see `WeightStorage`); an adapter is one of PEFT. Settings that are not given are those of the folder; a temperature of 0 takes the
//! most likely token each time. With `--prompt` it answers that and ends; else it reads a line at a time: `/clear` begins anew, `/exit` ends. Without a
//! folder it makes a tiny model, which knows three answers by heart, and asks it for one.

use std::env;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::time::Instant;

use gradus::WeightStorage;
use gradus::models::hf::{CausalLm, Conversation, OpenOptions};
use gradus::prelude::*;

mod tiny;

const OPTIONS: [&str; 9] =
    ["--model", "--storage", "--adapter", "--system", "--temperature", "--top-p", "--max-tokens", "--seed", "--prompt"];

fn option<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> gradus::Result<Option<T>> {
    let Some(value) = env::args().skip(1).skip_while(|argument| argument != name).nth(1) else { return Ok(None) };
    value.parse().map(Some).map_err(|e| Error::custom(format!("{name} {value}: {e}")))
}

fn main() -> gradus::Result<()> {
    if let Some(other) = env::args().skip(1).step_by(2).find(|name| !OPTIONS.contains(&name.as_str())) {
        return Err(Error::custom(format!("unknown option {other}; there are {}", OPTIONS.join(", "))));
    }
    let prompt: Option<String> = option("--prompt")?;
    match option::<String>("--model")? {
        Some(model) => {
            let storage = option::<WeightStorage>("--storage")?.unwrap_or(WeightStorage::Bf16);
            let options = OpenOptions::default().weight_storage(storage);
            let mut lm = match model.ends_with(".gguf") {
                true => CausalLm::open_gguf(&model, &options)?,
                false => CausalLm::open(&model, &options)?,
            };
            if let Some(adapter) = option::<String>("--adapter")? {
                lm.load_adapter("adapter", adapter)?;
            }
            chat(&lm, prompt)
        }
        None => {
            println!("no --model: a tiny one is made, which knows three answers by heart\n");
            let (lm, _folder) = tiny::model()?;
            chat(&lm, Some(prompt.unwrap_or_else(|| "Hello!".to_owned())))
        }
    }
}

fn chat(lm: &CausalLm, prompt: Option<String>) -> gradus::Result<()> {
    let mut settings = lm.chat_settings()?.max_new_tokens(option("--max-tokens")?.unwrap_or(512));
    if let Some(p) = option::<f64>("--top-p")? {
        settings = settings.do_sample(true).top_p(p);
    }
    settings = match option::<f64>("--temperature")? {
        Some(0.0) => settings.do_sample(false),
        Some(temperature) => settings.do_sample(true).temperature(temperature),
        None => settings,
    };
    if let Some(seed) = option("--seed")? {
        settings = settings.seed(seed);
    }
    let mut chat = Conversation::new(lm)?.settings(settings);
    if let Some(system) = option::<String>("--system")? {
        chat = chat.system(system);
    }

    if let Some(prompt) = prompt {
        println!("> {prompt}");
        return say(&mut chat, &prompt);
    }
    println!("a context of {} tokens; /clear begins anew, /exit ends", lm.max_positions());
    let shows = stdin().is_terminal();
    loop {
        if shows {
            print!("> ");
            stdout().flush().map_err(Error::custom)?;
        }
        let mut line = String::new();
        if stdin().lock().read_line(&mut line).map_err(Error::custom)? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/exit" => return Ok(()),
            "/clear" => chat.clear(),
            // What goes wrong with a turn, such as one that is too long, ends no chat.
            line => say(&mut chat, line).unwrap_or_else(|e| eprintln!("{e}")),
        }
    }
}

fn say(chat: &mut Conversation, line: &str) -> gradus::Result<()> {
    let (start, mut pieces) = (Instant::now(), 0);
    chat.say(line, |piece| {
        pieces += 1;
        print!("{piece}");
        stdout().flush().map_err(Error::custom)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!("\n({pieces} pieces in {seconds:.2} s)\n");
    Ok(())
}
