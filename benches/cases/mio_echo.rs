//! The measure of our sockets: servers as bare state machines on mio, without a runtime.
//!
//! One thread, one registration a socket for life, edge-triggered. A read that did not fill the buffer
//! says that the socket is dry, so no call is spent on an answer of "would block".

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX - 1);

/// What a server does with one connection.
pub(crate) trait Connection {
    fn new(stream: TcpStream) -> Self;

    /// Does all that can be done now; `false` when the peer has hung up.
    fn turn(&mut self, event: &Event, buffer: &mut [u8]) -> io::Result<bool>;
}

/// Sends everything back.
pub(crate) struct Echo {
    stream: TcpStream,
    /// Read, but not written yet because the peer does not take it. Empty in the common case.
    unsent: Vec<u8>,
}

/// Serves until the process is ended.
pub(crate) fn serve<C: Connection>(announce: impl FnOnce(u16)) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let registry = poll.registry().try_clone()?;
    registry.register(
        &mut SourceFd(&listener.as_raw_fd()),
        LISTENER,
        Interest::READABLE,
    )?;
    announce(listener.local_addr()?.port());

    let mut connections: Vec<Option<C>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &registry, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            // Closing the descriptor takes it out of the poll.
            if !matches!(connection.turn(event, &mut buffer), Ok(true)) {
                *slot = None;
            }
        }
    }
}

fn accept<C: Connection>(
    listener: &TcpListener,
    registry: &mio::Registry,
    connections: &mut Vec<Option<C>>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let free = connections
            .iter()
            .position(Option::is_none)
            .unwrap_or(connections.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&stream.as_raw_fd()), Token(free), both)?;
        let connection = Some(C::new(stream));
        if free == connections.len() {
            connections.push(connection);
        } else {
            connections[free] = connection;
        }
    }
}

impl Connection for Echo {
    fn new(stream: TcpStream) -> Echo {
        Echo {
            stream,
            unsent: Vec::new(),
        }
    }

    fn turn(&mut self, event: &Event, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.unsent.is_empty() {
            let sent = write(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        while self.unsent.is_empty() {
            let got = match (&self.stream).read(buffer) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let sent = write(&self.stream, &buffer[..got])?;
            self.unsent.extend_from_slice(&buffer[sent..got]);
            // Dry; but a hang-up that came with this event brings no other.
            if got < buffer.len() && !event.is_read_closed() {
                break;
            }
        }
        Ok(true)
    }
}

/// Writes until the socket takes no more.
pub(crate) fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}
