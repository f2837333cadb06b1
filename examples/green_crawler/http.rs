//! The client's side of HTTP/1.1: one request at a time on a connection, connections kept for reuse.
//!
//! Ordinary blocking code. It would work on threads as it stands, with std's `TcpStream`.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::{error, fmt};

use greenloom::net::TcpStream;

use crate::url::Url;

/// Longer answers are refused.
const MAX_BODY: usize = 16 << 20;
const MAX_HEAD: usize = 64 << 10;

/// An answer with its body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Where a redirection points to.
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No connection could be made.
    Connect(io::Error),
    /// The connection broke, or ended too early.
    Broken(io::Error),
    /// What came is not HTTP.
    Garbage(&'static str),
    /// The answer is longer than we want.
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Connect(error) => write!(f, "cannot connect: {error}"),
            Fault::Broken(error) => write!(f, "the connection broke: {error}"),
            Fault::Garbage(what) => write!(f, "the answer is not HTTP: {what}"),
            Fault::TooLong => write!(f, "the answer is longer than {MAX_BODY} bytes"),
        }
    }
}

impl error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Broken(error)
    }
}

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    /// Connections on which the last answer was read to its end. A std lock: it is never held while
    /// anything waits.
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    pub(crate) fn new(host: &str) -> Client {
        Client {
            host: host.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Fetches one page.
    pub(crate) fn get(&self, url: &Url) -> Result<Response, Fault> {
        // A kept connection may have been closed by the server in the meantime: that is nobody's
        // fault, and a fresh one will tell.
        while let Some(mut connection) = self.take_idle() {
            match connection.get(&self.host, &url.path) {
                Err(Fault::Broken(_)) if !connection.has_answered() => {}
                result => return self.put_back(connection, result),
            }
        }
        let stream = TcpStream::connect(&*self.host).map_err(Fault::Connect)?;
        stream.set_nodelay(true)?;
        let mut connection = Connection::new(stream);
        let result = connection.get(&self.host, &url.path);
        self.put_back(connection, result)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn put_back<T>(&self, connection: Connection, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.is_ok() && connection.is_reusable {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
        }
        result
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What has come and is not used up.
    buffer: Vec<u8>,
    /// Bytes have come in answer to the last request.
    has_answered: bool,
    is_reusable: bool,
}

/// How long a body is.
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// What the lines before the body say.
struct Head {
    status: u16,
    location: Option<String>,
    length: Length,
    keeps_alive: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            buffer: Vec::new(),
            has_answered: false,
            is_reusable: false,
        }
    }

    fn has_answered(&self) -> bool {
        self.has_answered
    }

    fn get(&mut self, host: &str, path: &str) -> Result<Response, Fault> {
        self.has_answered = false;
        self.is_reusable = false;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: greenloom\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        let head = self.head()?;
        let body = match head.length {
            Length::Known(length) => self.exactly(length)?,
            Length::Chunked => self.chunks()?,
            Length::UntilClose => self.rest()?,
        };
        self.is_reusable = head.keeps_alive && self.buffer.is_empty();
        Ok(Response {
            status: head.status,
            location: head.location,
            body,
        })
    }

    /// Reads more into the buffer; the end of the stream is an error.
    fn more(&mut self) -> Result<(), Fault> {
        let mut chunk = [0; 8192];
        match self.stream.read(&mut chunk)? {
            0 => Err(Fault::Broken(ErrorKind::UnexpectedEof.into())),
            got => {
                self.has_answered = true;
                self.buffer.extend_from_slice(&chunk[..got]);
                Ok(())
            }
        }
    }

    fn head(&mut self) -> Result<Head, Fault> {
        loop {
            if !self.buffer.is_empty() {
                if let Some((head, used)) = parse_head(&self.buffer)? {
                    self.buffer.drain(..used);
                    return Ok(head);
                }
                if self.buffer.len() > MAX_HEAD {
                    return Err(Fault::Garbage("the head of the answer does not end"));
                }
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        if length > MAX_BODY {
            return Err(Fault::TooLong);
        }
        while self.buffer.len() < length {
            self.more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let (used, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(chunk)) => break chunk,
                    Ok(httparse::Status::Partial) => self.more()?,
                    Err(_) => return Err(Fault::Garbage("the size of a chunk is no number")),
                }
            };
            self.buffer.drain(..used);
            let size = usize::try_from(size).map_err(|_| Fault::TooLong)?;
            if body.len().saturating_add(size) > MAX_BODY {
                return Err(Fault::TooLong);
            }
            // The line end after a chunk belongs to it.
            let chunk = self.exactly(size + 2)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = std::mem::take(&mut self.buffer);
        let room = (MAX_BODY + 1).saturating_sub(body.len()) as u64;
        (&self.stream).take(room).read_to_end(&mut body)?;
        if body.len() > MAX_BODY {
            return Err(Fault::TooLong);
        }
        Ok(body)
    }
}

/// The head of an answer and its length in bytes, when all of it is there.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::Garbage("its first lines make no sense")),
    };
    let header = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let is = |name: &str, value: &str| {
        header(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value))
    };
    let length = match header("content-length") {
        _ if is("transfer-encoding", "chunked") => Length::Chunked,
        Some(text) => match text.trim().parse() {
            Ok(length) => Length::Known(length),
            Err(_) => return Err(Fault::Garbage("its length is no number")),
        },
        None => Length::UntilClose,
    };
    let keeps_alive = match response.version {
        Some(1) => !is("connection", "close"),
        _ => is("connection", "keep-alive"),
    };
    let head = Head {
        status: response.code.unwrap_or_default(),
        location: header("location").map(str::to_owned),
        keeps_alive: keeps_alive && !matches!(length, Length::UntilClose),
        length,
    };
    Ok(Some((head, used)))
}
