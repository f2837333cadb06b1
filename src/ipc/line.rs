//! A connection that many tasks and threads use at once: each message whole, nobody's half message in the way.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::io::Limit;
use crate::scheduler::park;
use crate::sync::{LockTimeoutError, Mutex, MutexGuard};

use super::home;
use super::link::{Incoming, Outgoing, Wire};

#[derive(Debug)]
pub(super) struct Line {
    pub(super) wire: Wire,
    /// Locked by who sends. Inside, what a sender that gave up half way has left for the next.
    sending: Mutex<Option<Outgoing>>,
    /// Locked by who receives.
    incoming: Mutex<Incoming>,
}

impl Line {
    pub(super) fn new(wire: Wire, incoming: Incoming) -> Arc<Line> {
        Arc::new(Line {
            wire,
            sending: Mutex::new(None),
            incoming: Mutex::new(incoming),
        })
    }

    /// Sends a message, waiting for its turn and for room.
    ///
    /// # Errors
    /// `TimedOut`: nothing of it has left. A message of which a part has left when the time is over, or when this
    /// is cancelled, counts as sent: a task at home sees to the rest.
    #[track_caller]
    pub(super) fn send(self: &Arc<Self>, outgoing: Outgoing, limit: Limit) -> io::Result<()> {
        self.send_noting(outgoing, limit, &Cell::new(false))
    }

    /// As `send`; sets `is_sent` if this counts as sent, also when it unwinds.
    ///
    /// # Errors
    /// As for `send`.
    #[track_caller]
    pub(super) fn send_noting(
        self: &Arc<Self>,
        outgoing: Outgoing,
        limit: Limit,
        is_sent: &Cell<bool>,
    ) -> io::Result<()> {
        let sending = lock(&self.sending, limit).ok_or(io::ErrorKind::TimedOut)?;
        let mut turn = Turn {
            line: self,
            sending,
            is_sent: None,
        };
        if let Some(rest) = &mut *turn.sending {
            rest.send(&self.wire, limit)?;
            *turn.sending = None;
        }
        // Where the turn's end finds it: also a wait that is over before it begins may unwind.
        turn.is_sent = Some(is_sent);
        let outgoing = turn.sending.insert(outgoing);
        let sent = outgoing.send(&self.wire, limit);
        let has_begun = outgoing.has_begun();
        match sent {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && has_begun => Ok(()),
            sent => {
                is_sent.set(sent.is_ok());
                *turn.sending = None;
                sent
            }
        }
    }

    /// The right to receive; `None` when the time is over first.
    #[track_caller]
    pub(super) fn incoming(&self, limit: Limit) -> Option<MutexGuard<'_, Incoming>> {
        lock(&self.incoming, limit)
    }

    /// The right to receive, if nobody has it.
    pub(super) fn try_incoming(&self) -> Option<MutexGuard<'_, Incoming>> {
        lock(&self.incoming, Limit::Within(Duration::ZERO))
    }

    /// What has been read ahead, for whoever goes on with the connection; `None` while it is in use.
    pub(super) fn take_ahead(&self) -> Option<Vec<u8>> {
        let mut incoming = self.try_incoming()?;
        let sending = lock(&self.sending, Limit::Within(Duration::ZERO))?;
        if sending.is_some() || incoming.has_descriptors() {
            return None;
        }
        Some(incoming.take_ahead())
    }
}

/// `None` when the time is over first. A poisoned lock is as good as another: what it guards is whole at
/// every step.
#[track_caller]
fn lock<T>(mutex: &Mutex<T>, limit: Limit) -> Option<MutexGuard<'_, T>> {
    let locked = match limit {
        Limit::Never => return Some(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
        limit => {
            let left = limit.deadline().remaining(park::now());
            mutex.lock_timeout(left.unwrap_or(Duration::MAX))
        }
    };
    match locked {
        Ok(guard) => Some(guard),
        Err(LockTimeoutError::Poisoned(error)) => Some(error.into_inner()),
        Err(_) => None,
    }
}

/// The right to send, and the duty not to leave half a message behind.
struct Turn<'a> {
    line: &'a Arc<Line>,
    sending: MutexGuard<'a, Option<Outgoing>>,
    /// Of the message whose turn this is; `None` while what another has left is sent.
    is_sent: Option<&'a Cell<bool>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match &*self.sending {
            None => return,
            Some(rest) if !rest.has_begun() => {
                *self.sending = None;
                return;
            }
            Some(_) => {
                if let Some(is_sent) = self.is_sent {
                    is_sent.set(true);
                }
            }
        }
        let line = self.line.clone();
        let finish = move || {
            let mut sending = line.sending.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(rest) = &mut *sending {
                let _ = rest.send(&line.wire, Limit::Never);
                *sending = None;
            }
        };
        if home::spawn("the rest of a message", finish).is_err() {
            // Better no connection than one that says half of what it means.
            self.line.wire.hang_up();
        }
    }
}
