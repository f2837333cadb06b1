//! A web server of a thousand linked pages, some slow, some missing, some broken; as green as its client.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use greenloom::net::{SocketAddr, TcpListener, TcpStream};

/// Links on a page to pages that no other page links to.
const FAN_OUT: usize = 10;
const MAX_REQUEST: usize = 8 << 10;

/// What is the matter with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes a few milliseconds, as pages do.
    Good,
    /// Takes a tenth of a second.
    Slow,
    /// The connection is dropped half way at the first time; later it is good.
    Flaky,
    /// The connection is always dropped half way.
    Dropped,
    /// The answer is not HTTP.
    Garbage,
    /// 404.
    Missing,
    /// The answer never comes.
    Stuck,
}

impl Kind {
    /// The start page is good, and so are those whose loss would hide many others.
    pub(crate) fn of(page: usize, pages: usize) -> Kind {
        let is_leaf = page * FAN_OUT + 1 >= pages;
        match page {
            page if page % 20 == 3 => Kind::Slow,
            page if page % 31 == 5 => Kind::Flaky,
            page if is_leaf && page % 50 == 7 => Kind::Missing,
            page if is_leaf && page % 97 == 11 => Kind::Dropped,
            page if is_leaf && page % 89 == 21 => Kind::Garbage,
            page if is_leaf && page % 1000 == 777 => Kind::Stuck,
            _ => Kind::Good,
        }
    }

    /// Whether a patient client gets it in the end.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Kind::Good | Kind::Slow | Kind::Flaky)
    }
}

/// The server while it runs.
pub(crate) struct Site {
    pages: usize,
    /// Flaky pages that have failed once.
    has_failed: Mutex<HashSet<usize>>,
}

impl Site {
    /// Starts a site of so many pages; its tasks end with the runtime.
    pub(crate) fn start(pages: usize) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let site = Arc::new(Site {
            pages,
            has_failed: Mutex::default(),
        });
        // Dropping a handle lets its task go on by itself.
        greenloom::spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => {
                        let site = site.clone();
                        // A client that goes away ends its own task only.
                        greenloom::spawn(move || site.serve(stream));
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: let some connections end first.
                        log::warn!("the site cannot accept: {error}");
                        greenloom::sleep(Duration::from_millis(10));
                    }
                }
            }
        });
        Ok(address)
    }

    /// Answers one connection's requests, one after the other, until the client or a fault ends it.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while let Some(path) = next_request(&mut stream, &mut buffer)? {
            if !self.answer(&mut stream, &path)? {
                break;
            }
        }
        Ok(())
    }

    /// Answers one request; false when the connection is to be closed.
    fn answer(&self, stream: &mut TcpStream, path: &str) -> io::Result<bool> {
        let page = match path {
            "/" => Some(0),
            path => path.strip_prefix("/page/").and_then(|n| n.parse().ok()),
        };
        let Some(page) = page.filter(|&page| page < self.pages) else {
            return not_found(stream);
        };
        let body = self.body(page);
        match Kind::of(page, self.pages) {
            Kind::Missing => return not_found(stream),
            Kind::Garbage => {
                stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")?;
                return Ok(false);
            }
            Kind::Dropped => return half_an_answer(stream, &body),
            Kind::Flaky if self.fails_now(page) => return half_an_answer(stream, &body),
            Kind::Stuck => greenloom::sleep(Duration::from_secs(3600)),
            Kind::Slow => greenloom::sleep(Duration::from_millis(100)),
            Kind::Flaky | Kind::Good => greenloom::sleep(Duration::from_millis(5)),
        }
        stream.write_all(&response("200 OK", &body, body.len()))?;
        Ok(true)
    }

    fn fails_now(&self, page: usize) -> bool {
        let mut has_failed = self
            .has_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        has_failed.insert(page)
    }

    /// A page: its links down the tree, one up, and some text.
    fn body(&self, page: usize) -> String {
        let mut body =
            format!("<!doctype html><title>Page {page}</title>\n<a href=\"/\">home</a>\n");
        for child in page * FAN_OUT + 1..=page * FAN_OUT + FAN_OUT {
            if child < self.pages {
                let _ = writeln!(body, "<a href=\"/page/{child}\">page {child}</a>");
            }
        }
        body.push_str("<p>");
        for word in 0..100 + page % 400 {
            body.push_str(["weft ", "warp ", "shed ", "reed ", "heddle "][word % 5]);
        }
        body
    }
}

fn response(status: &str, body: &str, length: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

fn not_found(stream: &mut TcpStream) -> io::Result<bool> {
    let body = "<title>There is no such page</title>";
    stream.write_all(&response("404 Not Found", body, body.len()))?;
    Ok(true)
}

/// Promises all of the body, and hangs up before its end.
fn half_an_answer(stream: &mut TcpStream, body: &str) -> io::Result<bool> {
    stream.write_all(&response("200 OK", &body[..body.len() / 2], body.len()))?;
    Ok(false)
}

/// The path of the next request; `None` when the client has hung up between two.
fn next_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let status = request.parse(buffer);
        match status.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))? {
            httparse::Status::Complete(used) => {
                let path = request.path.unwrap_or("/").to_owned();
                buffer.drain(..used);
                return Ok(Some(path));
            }
            httparse::Status::Partial if buffer.len() > MAX_REQUEST => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            httparse::Status::Partial => {}
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk)? {
            0 if buffer.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => buffer.extend_from_slice(&chunk[..got]),
        }
    }
}
