//! A connection that many tasks and threads use at once: each message whole, nobody's half message in the way.

use std::cell::Cell;
use std::fmt;
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
    sending: Mutex<Option<Message>>,
    /// Locked by who receives.
    incoming: Mutex<Incoming>,
    tally: Option<Arc<dyn Tally>>,
}

/// Who counts messages that have left.
pub(super) trait Tally: fmt::Debug + Send + Sync {
    /// One more has left whole, and none after it.
    fn count(&self);
}

#[derive(Debug)]
struct Message {
    outgoing: Outgoing,
    is_counted: bool,
}

impl Line {
    pub(super) fn new(wire: Wire, incoming: Incoming) -> Arc<Line> {
        Line::counting(wire, incoming, None)
    }

    /// With somebody who counts.
    pub(super) fn counting(
        wire: Wire,
        incoming: Incoming,
        tally: Option<Arc<dyn Tally>>,
    ) -> Arc<Line> {
        Arc::new(Line {
            wire,
            sending: Mutex::new(None),
            incoming: Mutex::new(incoming),
            tally,
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
        let is_counted = false;
        let message = Message {
            outgoing,
            is_counted,
        };
        self.send_message(message, limit, is_sent)
    }

    /// As `send`, and counts it. When the time is over and a part has left, this waits until the rest has.
    ///
    /// # Errors
    /// As for `send`.
    #[track_caller]
    pub(super) fn send_counted(
        self: &Arc<Self>,
        outgoing: Outgoing,
        limit: Limit,
    ) -> io::Result<()> {
        let is_counted = true;
        let message = Message {
            outgoing,
            is_counted,
        };
        self.send_message(message, limit, &Cell::new(false))
    }

    #[track_caller]
    fn send_message(
        self: &Arc<Self>,
        message: Message,
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
            rest.outgoing.send(&self.wire, limit)?;
            self.end(&mut turn.sending);
        }
        // Where the turn's end finds it: also a wait that is over before it begins may unwind.
        turn.is_sent = Some(is_sent);
        let message = turn.sending.insert(message);
        let mut sent = message.outgoing.send(&self.wire, limit);
        let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        if message.outgoing.has_begun() && sent.as_ref().is_err_and(is_late) {
            if !message.is_counted {
                return Ok(());
            }
            sent = message.outgoing.send(&self.wire, Limit::Never);
        }
        is_sent.set(sent.is_ok());
        match sent {
            Ok(()) => self.end(&mut turn.sending),
            Err(_) => *turn.sending = None,
        }
        sent
    }

    /// A message has left. It is counted while nobody else can send: one who goes on after his was counted is to know
    /// that all before it were.
    fn end(&self, sending: &mut Option<Message>) {
        if let (Some(message), Some(tally)) = (sending.take(), &self.tally)
            && message.is_counted
        {
            tally.count();
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
    sending: MutexGuard<'a, Option<Message>>,
    /// Of the message whose turn this is; `None` while what another has left is sent.
    is_sent: Option<&'a Cell<bool>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match &*self.sending {
            None => return,
            Some(rest) if !rest.outgoing.has_begun() => {
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
                match rest.outgoing.send(&line.wire, Limit::Never) {
                    Ok(()) => line.end(&mut sending),
                    Err(_) => *sending = None,
                }
            }
        };
        if home::spawn("the rest of a message", finish).is_err() {
            // Better no connection than one that says half of what it means.
            self.line.wire.hang_up();
        }
    }
}
