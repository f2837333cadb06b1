//! One client: its requests, one after the other, and the answers in the same order.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use greenloom::net::{Connection, TcpStream};

use crate::args::Limits;
use crate::pages::{Answer, Content, answer, reason};
use crate::request::{
    self, BODY_TOO_LARGE, Body, HEAD_TOO_LARGE, Head, Refusal, TOO_SLOW, chunk_size, trailer,
};

/// Answers are gathered up to so many bytes: those to pipelined requests go in one call.
const GATHER: usize = 64 << 10;
/// What is read at a time.
const PIECE: usize = 8 << 10;

pub(crate) struct Client<'a> {
    connection: &'a Connection,
    limits: Limits,
    /// What has come; consumed up to `from`.
    come: Vec<u8>,
    from: usize,
    /// Answers that are not sent yet.
    gathered: Vec<u8>,
}

/// Why a connection ends.
enum End {
    /// The client is owed this answer.
    Refused(Refusal),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

impl<'a> Client<'a> {
    pub(crate) fn new(connection: &'a Connection, limits: Limits) -> Client<'a> {
        Client {
            connection,
            limits,
            come: Vec::new(),
            from: 0,
            gathered: Vec::new(),
        }
    }

    /// Serves until the client has enough, or the server, or a fault.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        self.stream().set_nodelay(true)?;
        match self.requests() {
            Ok(()) => Ok(()),
            Err(End::Refused(refusal)) => {
                self.gather(Answer::status(refusal.0), false, false)?;
                self.send()?;
                self.linger();
                Err(io::Error::other(reason(refusal.0)))
            }
            Err(End::Broken(error)) => Err(error),
        }
    }

    fn stream(&self) -> &'a TcpStream {
        self.connection.stream()
    }

    fn requests(&mut self) -> Result<(), End> {
        while self.is_there_one_more()? {
            let due = Instant::now() + self.limits.head;
            let Some(head) = self.head(due)? else {
                // The other side has gone in the middle of a head.
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            };
            let body = self.body(&head)?;
            let keeps_alive = head.keeps_alive && !self.connection.is_stopping();
            let mut answer = answer(&head, body, &self.limits);
            if !head.is_1_1 {
                answer.body = answer.body.whole();
            }
            self.gather(answer, keeps_alive, head.method == "HEAD")?;
            if !keeps_alive {
                self.send()?;
                self.linger();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for the next request, with nothing in its hands.
    fn is_there_one_more(&mut self) -> io::Result<bool> {
        if self.from < self.come.len() {
            return Ok(true);
        }
        self.send()?;
        self.stream().set_read_timeout(Some(self.limits.idle))?;
        match self.connection.wait_for_request() {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(false),
            Err(error) => return Err(error),
        }
        self.more(Instant::now() + self.limits.head)
    }

    fn pending(&self) -> &[u8] {
        &self.come[self.from..]
    }

    fn consume(&mut self, bytes: usize) {
        self.from += bytes;
        if self.from == self.come.len() {
            self.come.clear();
            self.from = 0;
        }
    }

    /// Reads some more until `due`; false at the end. What was answered goes first.
    fn more(&mut self, due: Instant) -> io::Result<bool> {
        self.send()?;
        let left = due.saturating_duration_since(Instant::now());
        // Bytes that trickle in do not put it off: the limit is for all of them.
        self.stream()
            .set_read_timeout(Some(left.max(Duration::from_nanos(1))))?;
        self.come.drain(..self.from);
        self.from = 0;
        let length = self.come.len();
        self.come.resize(length + PIECE, 0);
        let got = self.stream().read(&mut self.come[length..]);
        self.come.truncate(length + *got.as_ref().unwrap_or(&0));
        Ok(got? > 0)
    }

    /// As `more`, where the other side owes something.
    fn more_of_a_request(&mut self, due: Instant) -> Result<(), End> {
        match self.more(due) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(TOO_SLOW.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` when the other side has ended before the first byte.
    fn head(&mut self, due: Instant) -> Result<Option<Head>, End> {
        let mut seen = 0;
        loop {
            // Only with another line: who sends a byte at a time does not have all of them read again for each.
            let has_news = self.pending()[seen..].contains(&b'\n');
            if has_news && let Some((head, used)) = request::head(self.pending())? {
                self.consume(used);
                return Ok(Some(head));
            }
            seen = self.pending().len();
            if self.pending().len() >= self.limits.head_bytes {
                return Err(HEAD_TOO_LARGE.into());
            }
            if self.pending().is_empty() {
                return Ok(None);
            }
            self.more_of_a_request(due)?;
        }
    }

    fn body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        let due = Instant::now() + self.limits.body;
        if matches!(head.body, Body::Sized(size) if size > self.limits.body_bytes) {
            return Err(BODY_TOO_LARGE.into());
        }
        if head.expects_continue && self.pending().is_empty() && head.body != Body::Sized(0) {
            self.gathered
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut body = Vec::new();
        match head.body {
            Body::Sized(size) => self.take(size, &mut body, due)?,
            Body::Chunked => self.chunks(&mut body, due)?,
        }
        Ok(body)
    }

    fn chunks(&mut self, body: &mut Vec<u8>, due: Instant) -> Result<(), End> {
        loop {
            let size = self.parsed(chunk_size, due)?;
            if size == 0 {
                break;
            }
            let room = self.limits.body_bytes - body.len();
            let fits = usize::try_from(size).ok().filter(|&size| size <= room);
            self.take(fits.ok_or(BODY_TOO_LARGE)?, body, due)?;
            let mut line_end = Vec::new();
            self.take(2, &mut line_end, due)?;
            if line_end != b"\r\n" {
                return Err(Refusal(400).into());
            }
        }
        let end = |bytes: &[u8]| Ok(trailer(bytes)?.map(|used| ((), used)));
        self.parsed(end, due)
    }

    /// Reads until `parse` makes something of it.
    fn parsed<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Refusal>,
        due: Instant,
    ) -> Result<T, End> {
        loop {
            if let Some((value, used)) = parse(self.pending())? {
                self.consume(used);
                return Ok(value);
            }
            if self.pending().len() >= self.limits.head_bytes {
                return Err(HEAD_TOO_LARGE.into());
            }
            self.more_of_a_request(due)?;
        }
    }

    /// Moves so many bytes of what comes to `body`.
    fn take(&mut self, bytes: usize, body: &mut Vec<u8>, due: Instant) -> Result<(), End> {
        let mut left = bytes;
        loop {
            let here = left.min(self.pending().len());
            body.extend_from_slice(&self.pending()[..here]);
            self.consume(here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.more_of_a_request(due)?;
        }
    }

    /// Puts an answer behind the others.
    fn gather(&mut self, answer: Answer, keeps_alive: bool, is_head_only: bool) -> io::Result<()> {
        let Answer {
            status,
            body,
            field,
        } = answer;
        let out = &mut self.gathered;
        write!(out, "HTTP/1.1 {status} {}\r\n{field}", reason(status))?;
        out.extend_from_slice(b"Content-Type: text/plain\r\n");
        if !keeps_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        match body {
            Content::Whole(body) => {
                write!(out, "Content-Length: {}\r\n\r\n", body.len())?;
                if !is_head_only {
                    out.extend_from_slice(&body);
                }
            }
            Content::Chunks(chunks) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if is_head_only {
                    return Ok(());
                }
                for chunk in chunks {
                    write!(self.gathered, "{:x}\r\n{chunk}\r\n", chunk.len())?;
                    // A client that does not read keeps its own answer from being made, no more.
                    self.send_if_large()?;
                }
                self.gathered.extend_from_slice(b"0\r\n\r\n");
            }
        }
        self.send_if_large()
    }

    fn send_if_large(&mut self) -> io::Result<()> {
        match self.gathered.len() >= GATHER {
            true => self.send(),
            false => Ok(()),
        }
    }

    /// In time, however little the client takes at once.
    fn send(&mut self) -> io::Result<()> {
        let mut stream = self.stream();
        let (mut sent, mut due) = (0, None);
        while sent < self.gathered.len() {
            let due = *due.get_or_insert_with(|| Instant::now() + self.limits.answer);
            let left = due.saturating_duration_since(Instant::now());
            stream.set_write_timeout(Some(left.max(Duration::from_nanos(1))))?;
            match stream.write(&self.gathered[sent..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => sent += count,
            }
        }
        self.gathered.clear();
        Ok(())
    }

    /// Lets the client read the last answer: closing with something unread would reset the connection, and take
    /// the answer with it.
    fn linger(&mut self) {
        let mut stream = self.stream();
        let due = Instant::now() + self.limits.slow;
        let _ = stream.shutdown(Shutdown::Write);
        let mut sink = [0; 4096];
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let limit = Some(left.max(Duration::from_nanos(1)));
            let is_over = stream.set_read_timeout(limit).is_err();
            if is_over || !matches!(stream.read(&mut sink), Ok(1..)) {
                return;
            }
        }
    }
}
