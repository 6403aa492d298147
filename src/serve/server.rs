//! The server: models, an address, and connections.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::http::Connection;
use super::problem::Problem;
use super::routes::{Routes, Writer};
use super::work::work;
use crate::error::{Error, Result};
use crate::models::hf::{CausalLm, SentenceEncoder};

/// Models behind an address, in the words of OpenAI's API.
///
/// ```no_run
/// use gradus::models::hf::{CausalLm, SentenceEncoder};
/// use gradus::serve::Server;
/// let lm = CausalLm::from_pretrained("models/qwen2.5-0.5b-instruct")?;
/// let encoder = SentenceEncoder::from_pretrained("models/all-MiniLM-L6-v2")?;
/// let server = Server::bind("127.0.0.1:8000")?.language_model("qwen", lm).encoder("minilm", encoder);
/// println!("http://{}/v1", server.address());
/// server.run()?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    lm: Option<(String, CausalLm)>,
    encoder: Option<(String, SentenceEncoder)>,
    context: Option<usize>,
    most_waiting: usize,
    most_connections: usize,
    most_body: usize,
    ended: Arc<AtomicBool>,
}

/// Ends a server from another thread.
#[derive(Clone, Debug)]
pub struct Handle {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Handle {
    /// Ends the server: it takes no more connections, and ends when those that it has are answered.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // It waits for a connection.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        drop(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    }
}

impl Server {
    /// Takes an address: `"127.0.0.1:8000"` for this machine alone, port 0 for a free one. There are no keys: whoever reaches the address is answered.
    ///
    /// # Errors
    /// [`Error::Config`] for an address that cannot be had.
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|e| Error::Config {
            op: "Server::bind",
            problem: format!("the address cannot be had: {e}"),
            hint: "take another port, or 0 for a free one".into(),
        })?;
        Ok(Server {
            listener,
            address,
            lm: None,
            encoder: None,
            context: None,
            most_waiting: 16,
            most_connections: 64,
            most_body: 4 << 20,
            ended: Arc::default(),
        })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What ends the server.
    pub fn handle(&self) -> Handle {
        Handle { address: self.address, ended: self.ended.clone() }
    }

    /// The model that writes, and its name in requests.
    pub fn language_model(mut self, name: impl Into<String>, lm: CausalLm) -> Self {
        self.lm = Some((name.into(), lm));
        self
    }

    /// The model of embeddings, and its name in requests.
    pub fn encoder(mut self, name: impl Into<String>, encoder: SentenceEncoder) -> Self {
        self.encoder = Some((name.into(), encoder));
        self
    }

    /// The most tokens of a prompt and its answer together; as many as the model was made for by default. Memory is taken as it is filled, and kept.
    pub fn context_length(mut self, tokens: usize) -> Self {
        self.context = Some(tokens);
        self
    }

    /// How many requests may wait for the model; 16 by default. One more is answered with 503.
    pub fn most_waiting(mut self, requests: usize) -> Self {
        self.most_waiting = requests;
        self
    }

    /// The largest body of a request, in bytes; 4 MiB by default. A larger one is answered with 413.
    pub fn most_body(mut self, bytes: usize) -> Self {
        self.most_body = bytes;
        self
    }

    /// Answers requests until [`Handle::end`] is called.
    ///
    /// # Errors
    /// [`Error::Config`] without a model, or where a thread cannot be had; else as [`CausalLm::decoder`] and [`CausalLm::generation_settings`]. What is wrong with
    /// a request or a connection is answered, or ends that connection alone.
    pub fn run(&self) -> Result<()> {
        if self.lm.is_none() && self.encoder.is_none() {
            let hint = "call Server::language_model or Server::encoder";
            return Err(Error::Config { op: "Server::run", problem: "there is no model".into(), hint: hint.into() });
        }
        let (mut writer, mut decoder) = (None, None);
        if let Some((name, lm)) = &self.lm {
            lm.need_tokenizer()?;
            // A template that is there has to be one that can be read.
            let template = match lm.chat_template() {
                Ok(template) => Some(template),
                Err(Error::File { file, .. }) if file == lm.folder() => None,
                Err(e) => return Err(e),
            };
            let settings = match &template {
                Some(template) => lm.settings_with(template)?,
                None => lm.generation_settings()?,
            };
            let context = self.context.unwrap_or(usize::MAX).min(lm.max_positions());
            decoder = Some((lm, lm.decoder()?.context_length(context)));
            writer = Some(Writer { lm, name, template, settings, context });
        }
        let encoder = self.encoder.as_ref().map(|(name, encoder)| (encoder, name.as_str()));
        let (jobs, queue) = sync_channel(self.most_waiting);
        let routes = Routes { writer, encoder, jobs, most_body: self.most_body };
        let failed = |e: std::io::Error| Error::Config {
            op: "Server::run",
            problem: format!("a thread cannot be had: {e}"),
            hint: "allow the process more threads".into(),
        };
        thread::scope(|scope| {
            let worker = move || work(queue, decoder, encoder.map(|(encoder, _)| encoder));
            thread::Builder::new().name("model".into()).spawn_scoped(scope, worker).map_err(failed)?;
            self.listen(scope, Arc::new(routes))
        })
    }

    /// Takes connections, each with a thread of its own. The queue of jobs ends with the last of them.
    fn listen<'s>(&'s self, scope: &'s thread::Scope<'s, '_>, routes: Arc<Routes<'s>>) -> Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            if self.ended.load(Ordering::Relaxed) {
                break;
            }
            let Ok(mut connection) = stream.and_then(Connection::new) else {
                // Such as more open files than are allowed, which others give back.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            if open.load(Ordering::Relaxed) >= self.most_connections {
                let problem = Problem::new(503, "there are too many connections: try again later");
                drop(connection.answer(problem.status, problem.headers, &problem.json()));
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let (routes, counted) = (routes.clone(), Open(open.clone()));
            // Without a thread the connection is closed.
            drop(thread::Builder::new().name("connection".into()).spawn_scoped(scope, move || {
                let _counted = counted;
                routes.serve(connection);
            }));
        }
        Ok(())
    }
}

/// A connection that counts until it ends.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
