//! What a server hands to its handler: one connection, until the handler returns.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::net::{Listener, Stream, TcpListener};
use crate::scheduler::park;
use crate::sync::OwnedSemaphoreGuard;

use super::state::State;

/// A connection of a [`Server`](super::Server); it is closed when the handler has returned.
pub struct Connection<L: Listener = TcpListener> {
    stream: Arc<L::Stream>,
    peer: L::Address,
    /// Behind the stream, so that it is closed before there is room for another.
    seat: Seat<L::Stream>,
}

/// A connection's place in its server, given back on every way out.
pub(super) struct Seat<S> {
    pub(super) state: Arc<State<S>>,
    pub(super) place: usize,
    pub(super) worker: usize,
    pub(super) outcome: Outcome,
    pub(super) permit: Option<OwnedSemaphoreGuard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The handler has not returned: if it never will, it panics or is cancelled.
    Open,
    Served,
    Failed,
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        let counts = &self.state.counts;
        let count = match self.outcome {
            Outcome::Served => &counts.served,
            Outcome::Failed => &counts.failed,
            Outcome::Open if park::is_panicking() => &counts.failed,
            Outcome::Open => &counts.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.state.leave(self.place);
        self.state.unload(self.worker);
        // Last: who drains looks at the counts after it.
        drop(self.permit.take());
        self.state.tell_if_drained();
    }
}

impl<L: Listener> Connection<L> {
    pub(super) fn new(
        stream: Arc<L::Stream>,
        peer: L::Address,
        seat: Seat<L::Stream>,
    ) -> Connection<L> {
        Connection { stream, peer, seat }
    }

    /// The stream; it reads and writes by reference, so that `&mut connection.stream()` is a
    /// [`Read`](std::io::Read) and a [`Write`](std::io::Write).
    pub fn stream(&self) -> &L::Stream {
        &self.stream
    }

    /// Where it comes from.
    pub fn peer(&self) -> &L::Address {
        &self.peer
    }

    /// Whether the server was told to stop: the handler should finish what it is at, and return.
    pub fn is_stopping(&self) -> bool {
        self.seat.state.word.stop.is_set()
    }

    /// Waits between two requests: until something can be read, or the other side has ended, or the server is
    /// told to stop, which ends the reading direction. False when the server stops: nothing that matters is lost
    /// by returning now.
    ///
    /// # Errors
    ///
    /// As for a read; `TimedOut` after the stream's read timeout.
    ///
    /// # Parks
    ///
    /// When there is nothing to read (`net.peek`).
    #[track_caller]
    pub fn wait_for_request(&self) -> io::Result<bool> {
        let idle = Idle::begin(&self.seat);
        if idle.is_stopping {
            return Ok(false);
        }
        let seen = self.stream.peek(&mut [0]);
        drop(idle);
        match seen {
            Ok(0) if self.is_stopping() => Ok(false),
            seen => seen.map(|_| true),
        }
    }

    pub(super) fn note(&mut self, outcome: Outcome) {
        self.seat.outcome = outcome;
    }
}

/// As long as it lives, the stop may end the connection.
struct Idle<'a, S> {
    seat: &'a Seat<S>,
    is_stopping: bool,
}

impl<'a, S> Idle<'a, S> {
    fn begin(seat: &'a Seat<S>) -> Self {
        let is_stopping = seat.state.set_idle(seat.place, true);
        Idle { seat, is_stopping }
    }
}

impl<S> Drop for Idle<'_, S> {
    fn drop(&mut self) {
        self.seat.state.set_idle(self.seat.place, false);
    }
}

/// Ends connections that wait for a request.
pub(super) fn end_idle<S: Stream>(state: &State<S>) {
    for stream in state.idle() {
        // It may be over already.
        let _ = stream.shutdown(Shutdown::Read);
    }
}

impl<L: Listener> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("stream", &self.stream)
            .field("is_stopping", &self.is_stopping())
            .finish()
    }
}
