//! Models behind HTTP, in the words of OpenAI's API.
//!
//! `cargo run --release --features serve --example chat_server -- [--model FOLDER_OR_GGUF] [--storage bf16] [--encoder FOLDER] [--address 127.0.0.1:8000] [--context TOKENS]`
//!
//! `--model` is a language model of Hugging Face or a GGUF file, its large matrices stored as bf16 unless said otherwise (f32, q8_0, q4_0), `--encoder` a folder of sentence-transformers, for embeddings. Clients are told `http://127.0.0.1:8000/v1`; any key will
//! do. Without folders it makes a tiny model, which knows three answers by heart, takes a free port, asks itself, shows what goes over the wire, and ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::{env, thread};

use gradus::WeightStorage;
use gradus::models::hf::{CausalLm, OpenOptions, SentenceEncoder};
use gradus::prelude::*;
use gradus::serve::Server;

mod tiny;

const OPTIONS: [&str; 5] = ["--model", "--storage", "--encoder", "--address", "--context"];

fn option(name: &str) -> Option<String> {
    env::args().skip(1).skip_while(|argument| argument != name).nth(1)
}

/// The folder's name, as clients call the model.
fn name_of(folder: &str) -> String {
    Path::new(folder).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn main() -> gradus::Result<()> {
    if let Some(other) = env::args().skip(1).step_by(2).find(|name| !OPTIONS.contains(&name.as_str())) {
        return Err(Error::custom(format!("unknown option {other}; there are {}", OPTIONS.join(", "))));
    }
    let (model, encoder) = (option("--model"), option("--encoder"));
    if model.is_none() && encoder.is_none() {
        return ask_itself();
    }
    let mut server = Server::bind(option("--address").as_deref().unwrap_or("127.0.0.1:8000"))?;
    if let Some(folder) = model {
        let storage = option("--storage").map_or(Ok(WeightStorage::Bf16), |name| name.parse())?;
        let options = OpenOptions::default().weight_storage(storage);
        let lm = match folder.ends_with(".gguf") {
            true => CausalLm::open_gguf(&folder, &options)?,
            false => CausalLm::open(&folder, &options)?,
        };
        server = server.language_model(name_of(&folder), lm);
    }
    if let Some(folder) = encoder {
        server = server.encoder(name_of(&folder), SentenceEncoder::from_pretrained(folder)?);
    }
    if let Some(tokens) = option("--context") {
        server = server.context_length(tokens.parse().map_err(Error::custom)?);
    }
    println!("http://{}/v1", server.address());
    server.run()
}

/// Serves a tiny model to itself.
fn ask_itself() -> gradus::Result<()> {
    println!("no --model: a tiny one is made, which knows three answers by heart");
    let (lm, _folder) = tiny::model()?;
    let server = Server::bind("127.0.0.1:0")?.language_model("tiny", lm);
    let (address, handle) = (server.address(), server.handle());
    thread::scope(|scope| {
        let served = scope.spawn(|| server.run());
        let asked = ["", r#", "stream": true"#].iter().try_for_each(|more| {
            let body =
                format!(r#"{{"model": "tiny", "messages": [{{"role": "user", "content": "What is 1 + 1?"}}]{more}}}"#);
            println!("\nPOST http://{address}/v1/chat/completions\n{body}\n\n{}", post(address, &body)?);
            Ok::<(), Error>(())
        });
        handle.end();
        served.join().unwrap_or(Ok(()))?;
        asked
    })
}

/// Sends a request and gives all that comes back.
fn post(address: SocketAddr, body: &str) -> gradus::Result<String> {
    let mut stream = TcpStream::connect(address).map_err(Error::custom)?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).map_err(Error::custom)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(Error::custom)?;
    Ok(answer)
}
