//! What the hand-written servers share: the parsing of requests by httparse, and the one answer.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use crate::cases::What;

pub const REQUEST: &[u8] =
    b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load/1.0\r\n\
    Accept: text/plain,text/html;q=0.9,*/*;q=0.1\r\nConnection: keep-alive\r\n\r\n";
pub const BODY: &[u8] = b"Hello, World!";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: benchmarks\r\nContent-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\nHello, World!";

/// Tells the driver where a server listens.
pub(super) fn announce(address: SocketAddr) {
    println!("port {}", address.port());
}

pub(super) fn is_spoken_in(what: What) -> bool {
    matches!(what, What::Http | What::HttpPipelined | What::HttpOneCpu)
}

/// Of one connection: what has come and is not answered, and what is to be sent.
#[derive(Debug)]
pub(super) struct Requests {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have come.
    length: usize,
    out: Vec<u8>,
}

impl Default for Requests {
    fn default() -> Self {
        Requests {
            buffer: vec![0; 4096],
            length: 0,
            out: Vec::new(),
        }
    }
}

impl Requests {
    /// Where the next bytes go. Never empty: no unfinished request fills it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.length..]
    }

    pub(super) fn came(&mut self, bytes: usize) {
        self.length += bytes;
    }

    /// The answers to all whole requests; empty when there is none.
    pub(super) fn answers(&mut self) -> io::Result<&[u8]> {
        self.out.clear();
        let used = answer_all(&self.buffer[..self.length], &mut self.out)?;
        self.buffer.copy_within(used..self.length, 0);
        self.length -= used;
        match self.length < self.buffer.len() {
            true => Ok(&self.out),
            false => Err(io::Error::other("a request that is too long")),
        }
    }
}

/// Answers each whole request at the front of `come`; says how many bytes they took.
pub(super) fn answer_all(come: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while used < come.len() {
        let mut fields = [MaybeUninit::uninit(); 16];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&come[used..], &mut fields) {
            Ok(httparse::Status::Complete(length)) if request.method == Some("GET") => {
                used += length;
            }
            Ok(httparse::Status::Partial) => break,
            _ => return Err(io::Error::other("no request that is served here")),
        }
        out.extend_from_slice(ANSWER);
    }
    Ok(used)
}
