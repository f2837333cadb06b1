//! Servers as bare state machines on mio: what the system calls cost, and nothing else.
//!
//! One thread, one registration a socket for life, edge-triggered. A read that did not fill the buffer
//! says that the socket is dry, so no call is spent on an answer of "would block".

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::http;
use crate::cases::What;

const LISTENER: Token = Token(usize::MAX - 1);

/// Turns the bytes at the front of the first into answers in the second; says how many it took.
type Protocol = fn(&[u8], &mut Vec<u8>) -> io::Result<usize>;

struct Connection {
    stream: TcpStream,
    /// Part of a request that has not come whole. Empty in the common case.
    come: Vec<u8>,
    /// Answers that the peer does not take yet. Empty in the common case.
    unsent: Vec<u8>,
}

/// Serves until the process is ended.
pub(super) fn serve(what: What) -> io::Result<()> {
    let protocol = match http::is_spoken_in(what) {
        true => http::answer_all,
        false => send_back,
    };
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    http::announce(listener.local_addr()?);

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &registry, &mut connections, &mut free)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            // Closing the descriptor takes it out of the poll.
            if !matches!(connection.turn(event, &mut buffer, protocol), Ok(true)) {
                *slot = None;
                free.push(event.token().0);
            }
        }
    }
}

fn send_back(come: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
    out.extend_from_slice(come);
    Ok(come.len())
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        stream.set_nodelay(true)?;
        let place = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(place), both)?;
        connections[place] = Some(Connection {
            stream,
            come: Vec::new(),
            unsent: Vec::new(),
        });
    }
}

impl Connection {
    /// Does all that can be done now; `false` when the peer has hung up.
    fn turn(&mut self, event: &Event, buffer: &mut [u8], protocol: Protocol) -> io::Result<bool> {
        self.send()?;
        while self.unsent.is_empty() {
            let got = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if self.come.is_empty() {
                let used = protocol(&buffer[..got], &mut self.unsent)?;
                self.come.extend_from_slice(&buffer[used..got]);
            } else {
                self.come.extend_from_slice(&buffer[..got]);
                let used = protocol(&self.come, &mut self.unsent)?;
                self.come.drain(..used);
            }
            self.send()?;
            // Dry; but a hang-up that came with this event brings no other.
            if got < buffer.len() && !event.is_read_closed() {
                break;
            }
        }
        Ok(true)
    }

    /// Sends until the socket takes no more.
    fn send(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }
}
