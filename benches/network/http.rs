//! HTTP/1.1 plaintext with keep-alive: ours with httparse over `net::Server`, and a bare state machine on mio.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use greenloom::net::{Connection, Server};
use mio::event::Event;

use crate::echo::announce;
use crate::load::{self, Talk};
use crate::mio_echo;
use crate::util::figure::Figure;
use crate::util::one_worker;

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load/1.0\r\n\
    Accept: text/plain,text/html;q=0.9,*/*;q=0.1\r\nConnection: keep-alive\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\nHello, World!";

/// So many requests at a time on each connection.
pub(crate) fn plaintext(case: &'static str, requests: usize, bar: f64) -> Vec<Figure> {
    let talk = Talk {
        case,
        request: REQUEST.repeat(requests),
        answer: ANSWER.repeat(requests),
        requests,
        bar: Some(bar),
    };
    load::turns(&talk, "http_greenloom", "http_mio")
}

/// Answers all whole requests at the front of `come`; says how many bytes they took.
fn answer(come: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while used < come.len() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&come[used..]) {
            Ok(httparse::Status::Complete(length)) => used += length,
            Ok(httparse::Status::Partial) => break,
            Err(error) => return Err(io::Error::other(error)),
        }
        out.extend_from_slice(ANSWER);
    }
    Ok(used)
}

pub(crate) fn serve_green() -> io::Result<()> {
    one_worker().block_on(|| {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0))?;
        announce(server.local_addr()?.port());
        server.serve(serve_one).map(drop)
    })
}

fn serve_one(connection: &Connection) -> io::Result<()> {
    let mut stream = connection.stream();
    stream.set_nodelay(true)?;
    let (mut come, mut length, mut out) = (vec![0; 8 << 10], 0, Vec::new());
    loop {
        match stream.read(&mut come[length..])? {
            0 => return Ok(()),
            got => length += got,
        }
        let used = answer(&come[..length], &mut out)?;
        stream.write_all(&out)?;
        out.clear();
        come.copy_within(used..length, 0);
        length -= used;
    }
}

/// The bare state machine's part.
struct Bare {
    stream: TcpStream,
    come: Vec<u8>,
    unsent: Vec<u8>,
}

pub(crate) fn serve_bare() -> io::Result<()> {
    mio_echo::serve::<Bare>(announce)
}

impl mio_echo::Connection for Bare {
    fn new(stream: TcpStream) -> Bare {
        Bare {
            stream,
            come: Vec::new(),
            unsent: Vec::new(),
        }
    }

    fn turn(&mut self, event: &Event, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let sent = mio_echo::write(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(true);
            }
            let got = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if self.come.is_empty() {
                let used = answer(&buffer[..got], &mut self.unsent)?;
                self.come.extend_from_slice(&buffer[used..got]);
            } else {
                self.come.extend_from_slice(&buffer[..got]);
                let used = answer(&self.come, &mut self.unsent)?;
                self.come.drain(..used);
            }
            let sent = mio_echo::write(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if got < buffer.len() && !event.is_read_closed() {
                return Ok(true);
            }
        }
    }
}
