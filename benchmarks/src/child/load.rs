//! The client of the servers: a closed loop with one message out on each connection that talks.
//!
//! One thread on mio, on the loopback interface only. Every connection is served once before anything
//! is measured, so that the server has accepted it and has all the memory that it needs for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::histogram::Histogram;
use super::measure::tell;
use super::memory::resident;
use crate::cases::What;
use crate::driver::cpu;
use crate::metric::Metric;
use crate::peers::http::{BODY, REQUEST};

/// Connections that talk while the others are idle.
const TALKING: usize = 64;
/// Requests in one message of `http_pipelined`.
const PIPELINED: usize = 16;
/// The echoed message.
const MESSAGE: &[u8; 64] = b"sixty-four bytes that travel there and back and are looked at...";

/// Loads the server `pid` at `port` for so long, and tells what it saw.
pub fn run(what: What, size: usize, port: u16, span: Duration, pid: u32) -> io::Result<()> {
    let mut talk = Talk::new(what);
    let before = resident(pid)?;
    let mut connections = Vec::with_capacity(size);
    for _ in 0..size {
        connections.push(Some(talk.connect(port)?));
    }
    let memory = resident(pid)?.saturating_sub(before);
    if size >= 1_000 {
        tell(Metric::Memory, memory as f64 / size as f64);
    }
    let talking = match what {
        What::Idle => TALKING.min(size),
        _ => size,
    };
    // From all over, not the first ones.
    let step = size / talking;
    let streams = (0..talking).filter_map(|n| connections[n * step].take());
    let mut load = Load::new(talk, streams.collect())?;
    load.turn(span / 4, None)?;
    let cpu_before = cpu::of_process(pid)?;
    let mut times = Histogram::new();
    let took = load.turn(span, Some(&mut times))?;
    let cpu = cpu::of_process(pid)?.saturating_sub(cpu_before);
    let messages = times.total().max(1) as f64;
    let requests = messages * load.talk.requests as f64;
    tell(Metric::Rate, requests / took.as_secs_f64());
    tell(Metric::P50, times.quantile(0.50));
    tell(Metric::P99, times.quantile(0.99));
    tell(Metric::Cpu, cpu.as_nanos() as f64 / requests);
    Ok(())
}

/// What is said on each connection, again and again.
struct Talk {
    message: Vec<u8>,
    requests: usize,
    /// Bytes of the answer to a message; found out by the first one.
    answer: Option<usize>,
    is_http: bool,
}

impl Talk {
    fn new(what: What) -> Talk {
        let is_http = matches!(what, What::Http | What::HttpPipelined | What::HttpOneCpu);
        let requests = match what {
            What::HttpPipelined => PIPELINED,
            _ => 1,
        };
        Talk {
            message: match is_http {
                true => REQUEST.repeat(requests),
                false => MESSAGE.to_vec(),
            },
            requests,
            answer: (!is_http).then_some(MESSAGE.len()),
            is_http,
        }
    }

    /// A connection that has been served once.
    fn connect(&mut self, port: u16) -> io::Result<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&self.message)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while self.answer.is_none_or(|length| answer.len() < length) {
            match stream.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => answer.extend_from_slice(&buffer[..n]),
            }
            if self.answer.is_none() {
                self.answer = length(&answer)?.map(|one| one * self.requests);
            }
        }
        match self.is_right(&answer) {
            true => Ok(stream),
            false => Err(io::Error::other("an answer that is none")),
        }
    }

    /// Of a whole message.
    fn is_right(&self, answer: &[u8]) -> bool {
        Some(answer.len()) == self.answer
            && match self.is_http {
                true => answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(BODY),
                false => answer == MESSAGE,
            }
    }
}

/// Of the first answer at the front, if its head has come.
fn length(come: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut fields);
    let head = match answer.parse(come).map_err(io::Error::other)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let field = answer
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let body = field.and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    match body {
        Some(body) => Ok(Some(head + body)),
        None => Err(io::Error::other("an answer without a length")),
    }
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    /// What has come of the present answer.
    come: Vec<u8>,
}

struct Load {
    talk: Talk,
    poll: Poll,
    connections: Vec<Connection>,
}

impl Load {
    /// Says the first message on each connection.
    fn new(talk: Talk, streams: Vec<std::net::TcpStream>) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(streams.len());
        for (n, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(n), Interest::READABLE)?;
            connections.push(Connection {
                stream,
                sent: Instant::now(),
                come: Vec::new(),
            });
        }
        for connection in &mut connections {
            connection.ask(&talk)?;
        }
        Ok(Load {
            talk,
            poll,
            connections,
        })
    }

    /// Goes on for so long; says how long it was.
    fn turn(&mut self, span: Duration, mut times: Option<&mut Histogram>) -> io::Result<Duration> {
        let began = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut buffer = [0; 16 << 10];
        while began.elapsed() < span {
            match self.poll.poll(&mut events, Some(Duration::from_secs(10))) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if events.is_empty() {
                return Err(io::Error::other("no answer within 10 s"));
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if !connection.is_answered(&self.talk, &mut buffer)? {
                    continue;
                }
                if let Some(times) = &mut times {
                    times.add(connection.sent.elapsed().as_nanos() as u64);
                }
                connection.ask(&self.talk)?;
            }
        }
        Ok(began.elapsed())
    }
}

impl Connection {
    /// One small message into a socket with nothing under way always fits.
    fn ask(&mut self, talk: &Talk) -> io::Result<()> {
        self.sent = Instant::now();
        match self.stream.write(&talk.message)? {
            sent if sent == talk.message.len() => Ok(()),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    /// Reads what has come; whether that ends an answer.
    fn is_answered(&mut self, talk: &Talk, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            // Whole in the common case: not copied.
            if self.come.is_empty() && talk.is_right(&buffer[..n]) {
                return Ok(true);
            }
            self.come.extend_from_slice(&buffer[..n]);
            if talk.answer.is_some_and(|length| self.come.len() < length) {
                continue;
            }
            let is_right = talk.is_right(&self.come);
            self.come.clear();
            return match is_right {
                true => Ok(true),
                false => Err(io::Error::other("an answer that is none")),
            };
        }
    }
}
