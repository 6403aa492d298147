//! Requests and answers of HTTP/1.1, one a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::problem::{Outcome, Problem};

/// The longest line of a request with its headers, in bytes.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// How long a whole request may take to come, and how long a client may leave what is written unread.
const TO_READ: Duration = Duration::from_secs(30);
const TO_WRITE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Without what follows `?`.
    pub path: String,
    pub is_json: bool,
    pub body: Vec<u8>,
}

/// A connection, of which one request is read and one answer written.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Whether the client knows answers in parts.
    knows_chunks: bool,
    begun: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(TO_WRITE))?;
        Ok(Connection { stream, knows_chunks: true, begun: false })
    }

    /// Reads the request; none where the client says nothing.
    pub fn read(&mut self, most: usize) -> Outcome<Option<Request>> {
        let until = Instant::now() + TO_READ;
        let mut bytes = Vec::new();
        let (head, mut request, length, waits) = loop {
            if let Some(found) = self.head(&bytes)? {
                break found;
            }
            if bytes.len() >= MOST_HEAD {
                return Err(Problem::new(431, format!("the headers have more than {MOST_HEAD} bytes")));
            }
            if !self.more(&mut bytes, MOST_HEAD, until)? {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(Problem::new(400, "the request ends within its headers"))
                };
            }
        };
        if length > most as u64 {
            return Err(Problem::new(413, format!("the body has {length} bytes, at most {most} are read")));
        }
        let length = length as usize;
        if waits && bytes.len() == head {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(|_| Problem::new(400, "the client is gone"))?;
        }
        let mut body = bytes.split_off(head);
        while body.len() < length {
            if !self.more(&mut body, length, until)? {
                return Err(Problem::new(400, format!("the body ends after {} of {length} bytes", body.len())));
            }
        }
        body.truncate(length);
        request.body = body;
        Ok(Some(request))
    }

    /// Reads what has come, up to so many bytes in all; false at the end.
    fn more(&mut self, bytes: &mut Vec<u8>, most: usize, until: Instant) -> Outcome<bool> {
        let late = || Problem::new(408, "the request took too long to come");
        let mut part = [0; 8192];
        loop {
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(late)?;
            let room = part.len().min(most.saturating_sub(bytes.len()).max(1));
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut part[..room]));
            match read {
                Ok(count) => {
                    bytes.extend_from_slice(&part[..count]);
                    return Ok(count > 0);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Err(late()),
                Err(e) => return Err(Problem::new(400, format!("the request cannot be read: {e}"))),
            }
        }
    }

    /// The head of a request, if it is whole: its length, what it says, the length of the body, and whether the client waits to be asked for that.
    fn head(&mut self, bytes: &[u8]) -> Outcome<Option<(usize, Request, u64, bool)>> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let len = match head.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Problem::new(431, format!("there are more than {MOST_HEADERS} headers")));
            }
            Err(e) => return Err(Problem::new(400, format!("this is no request of HTTP/1.1: {e}"))),
        };
        self.knows_chunks = head.version == Some(1);
        let (method, path) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
        let values = |name: &str| {
            let named: Vec<&[u8]> =
                head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect();
            named
        };
        if !values("transfer-encoding").is_empty() {
            return Err(Problem::new(411, "send the body whole, with its Content-Length"));
        }
        let lengths = values("content-length");
        let length = match lengths[..] {
            [] if method == "POST" => return Err(Problem::new(411, "the request has no Content-Length")),
            [] => 0,
            [length, ref others @ ..] => {
                let digits =
                    std::str::from_utf8(length).ok().filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
                let length = digits
                    .and_then(|digits| digits.parse().ok())
                    .filter(|_| others.iter().all(|other| *other == length));
                length.ok_or_else(|| Problem::new(400, "the Content-Length is no number"))?
            }
        };
        let is_json = values("content-type").iter().any(|kind| {
            let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        let waits = values("expect").iter().any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let path = path.split('?').next().unwrap_or_default();
        let request = Request { method: method.to_owned(), path: path.to_owned(), is_json, body: Vec::new() };
        Ok(Some((len, request, length, waits)))
    }

    /// Writes an answer whole, with further lines of headers.
    pub fn answer(&mut self, status: u16, headers: &str, body: &Value) -> std::io::Result<()> {
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n",
            reason(status),
            body.len()
        );
        self.begun = true;
        self.stream.write_all((head + &body).as_bytes())
    }

    /// Begins an answer in events.
    pub fn begin_events(&mut self) -> std::io::Result<()> {
        let chunked = if self.knows_chunks { "Transfer-Encoding: chunked\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n{chunked}Connection: close\r\n\r\n"
        );
        self.begun = true;
        self.stream.write_all(head.as_bytes())
    }

    /// Writes an event at once.
    pub fn event(&mut self, data: &str) -> std::io::Result<()> {
        let event = format!("data: {data}\n\n");
        match self.knows_chunks {
            true => self.stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()),
            false => self.stream.write_all(event.as_bytes()),
        }
    }

    /// Ends an answer in events.
    pub fn end_events(&mut self) -> std::io::Result<()> {
        if self.knows_chunks { self.stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }

    /// Whether an answer was begun.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the client has closed the connection.
    pub fn is_gone(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.stream.peek(&mut [0]);
        if self.stream.set_nonblocking(false).is_err() {
            return true;
        }
        match peeked {
            Ok(count) => count == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Ends the connection so that the client can read the answer, also where it has sent more than was read.
    pub fn close(mut self) {
        let until = Instant::now() + Duration::from_secs(2);
        let short = self.stream.set_read_timeout(Some(Duration::from_millis(500)));
        if self.stream.shutdown(Shutdown::Write).is_err() || short.is_err() {
            return;
        }
        let mut part = [0; 8192];
        while Instant::now() < until && self.stream.read(&mut part).is_ok_and(|count| count > 0) {}
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
