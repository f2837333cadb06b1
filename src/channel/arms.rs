//! Sends and receives as arms of a select.

use std::fmt;
use std::ptr;

use crate::scheduler::park::{Describe, Sleeper};
use crate::sync::wait_list::{Queue, Ticket};
use crate::task::claim::Stake;
use crate::task::select::{Operation, Receive, Sealed, Send, Stand, Stood};

use super::core::{Channel, Giver, Share, Taker, ended, never_late, wake};
use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use super::mpmc::{Receiver, Sender};

/// A receive that a select may do. Made by [`select::recv`](crate::select::recv).
#[must_use = "it does nothing by itself"]
#[derive(Debug)]
pub struct RecvArm<'a, T> {
    receiver: &'a Receiver<T>,
    ticket: Option<Ticket>,
    outcome: Option<Result<T, RecvError>>,
}

/// A send that a select may do. Made by [`select::send`](crate::select::send).
///
/// When it is not chosen it keeps its value.
#[must_use = "it does nothing by itself"]
pub struct SendArm<'a, T> {
    sender: &'a Sender<T>,
    /// `None` while it is in the seat, and when it has been sent or given back with an error.
    value: Option<T>,
    ticket: Option<Ticket>,
    outcome: Option<Result<(), SendError<T>>>,
}

impl<T> RecvArm<'_, T> {
    /// What was received when this arm was chosen; once.
    pub fn take(&mut self) -> Option<Result<T, RecvError>> {
        self.outcome.take()
    }

    fn channel(&self) -> &Channel<T> {
        &self.receiver.channel
    }

    /// Notes what a receive gave; false if it has to wait.
    #[inline(always)]
    fn note(&mut self, received: Result<(T, Option<Sleeper>), TryRecvError>) -> bool {
        let outcome = match received {
            Ok((item, sleeper)) => {
                wake(sleeper);
                Ok(item)
            }
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => return false,
        };
        self.outcome = Some(outcome);
        true
    }
}

impl<T> SendArm<'_, T> {
    /// What came of the send when this arm was chosen; once.
    pub fn take(&mut self) -> Option<Result<(), SendError<T>>> {
        self.outcome.take()
    }

    /// The value, if this arm was never chosen.
    pub fn into_value(self) -> Option<T> {
        self.value
    }

    fn channel(&self) -> &Channel<T> {
        &self.sender.channel
    }

    /// Notes what a send gave; false if it has to wait.
    fn note(&mut self, sent: Result<Option<Sleeper>, TrySendError<T>>) -> bool {
        let outcome = match sent {
            Ok(sleeper) => {
                wake(sleeper);
                Ok(())
            }
            Err(TrySendError::Disconnected(value)) => Err(SendError(value)),
            Err(TrySendError::Full(value)) => {
                self.value = Some(value);
                return false;
            }
        };
        self.outcome = Some(outcome);
        true
    }
}

impl<T> Sealed for Receiver<T> {}
impl<T> Sealed for Sender<T> {}

impl<T> Receive for Receiver<T> {
    type Received = Result<T, RecvError>;
    type RecvArm<'a>
        = RecvArm<'a, T>
    where
        T: 'a;

    #[inline]
    fn recv_arm(&self) -> RecvArm<'_, T> {
        RecvArm {
            receiver: self,
            ticket: None,
            outcome: None,
        }
    }
}

impl<T> Send<T> for Sender<T> {
    type Sent = Result<(), SendError<T>>;
    type SendArm<'a>
        = SendArm<'a, T>
    where
        T: 'a;

    #[inline]
    fn send_arm(&self, value: T) -> SendArm<'_, T> {
        SendArm {
            sender: self,
            value: Some(value),
            ticket: None,
            outcome: None,
        }
    }
}

impl<T> Operation for RecvArm<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn take(&mut self) -> Option<Self::Output> {
        self.outcome.take()
    }
}

impl<T> Operation for SendArm<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn take(&mut self) -> Option<Self::Output> {
        self.outcome.take()
    }
}

impl<T> Stand for RecvArm<'_, T> {
    fn place(&self) -> usize {
        ptr::from_ref(self.channel()).addr()
    }

    #[inline]
    fn attempt(&mut self) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        let received = self.channel().state.lock().try_recv(None);
        self.note(received)
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        if self.outcome.is_some() {
            return Stood::Seated;
        }
        let mut state = self.receiver.channel.state.lock();
        if !stake.busy() {
            return Stood::Gone;
        }
        let received = state.try_recv(Some(stake.claim()));
        if matches!(received, Err(TryRecvError::Empty)) {
            self.ticket = Some(state.takers.join_as(stake, Share::Nothing));
            stake.idle();
            return Stood::Seated;
        }
        stake.end();
        drop(state);
        self.note(received);
        Stood::Done
    }

    fn settle(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // Called, so it is over.
            let received = Taker(self.channel()).settle(&ticket, true);
            self.outcome = received.map(|received| received.map_err(ended));
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let _ = self.channel().state.lock().takers.leave(&ticket);
        }
    }

    fn abandon(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            Taker(self.channel()).abandon(&ticket);
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value from ")?;
        self.channel().describe(f)
    }
}

impl<T> Stand for SendArm<'_, T> {
    fn place(&self) -> usize {
        ptr::from_ref(self.channel()).addr()
    }

    #[inline]
    fn attempt(&mut self) -> bool {
        // An arm that was chosen before has nothing to send.
        let Some(value) = self.value.take() else {
            return false;
        };
        let sent = self.channel().state.lock().try_send(value, None);
        self.note(sent)
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        let Some(value) = self.value.take() else {
            return Stood::Seated;
        };
        let mut state = self.sender.channel.state.lock();
        if !stake.busy() {
            drop(state);
            self.value = Some(value);
            return Stood::Gone;
        }
        let sent = match state.try_send(value, Some(stake.claim())) {
            Err(TrySendError::Full(value)) => {
                self.ticket = Some(state.givers.join_as(stake, Some(value)));
                stake.idle();
                return Stood::Seated;
            }
            sent => sent,
        };
        stake.end();
        drop(state);
        self.note(sent);
        Stood::Done
    }

    fn settle(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // Called, so it is over.
            let sent = Giver(self.channel()).settle(&ticket, true);
            self.outcome = sent.map(|sent| sent.map_err(never_late));
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let left = self.channel().state.lock().givers.leave(&ticket);
            self.value = left.payload;
        }
    }

    fn abandon(&mut self) {
        // What a receiver has taken is sent; else the value is dropped with the select, as it unwinds.
        self.leave();
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("room in ")?;
        self.channel().describe(f)
    }
}

impl<T> fmt::Debug for SendArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendArm")
            .field("sender", &self.sender)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
