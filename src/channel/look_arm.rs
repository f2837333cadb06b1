//! A receive as an arm of a select, where a call means no more than "look again".

use std::fmt;
use std::ptr;
use std::sync::Arc;

use crate::scheduler::park::Describe;
use crate::sync::wait_list::Ticket;
use crate::task::claim::Stake;
use crate::task::select::{Operation, Receive, Sealed, Stand, Stood};

use super::broadcast::{self, RecvError, TryRecvError};
use super::crowd::Crowd;

/// What such an arm is about: a receiver whose waiters stand in a crowd.
pub(super) trait Looked {
    /// What a receive gives.
    type Outcome;
    /// The same before anybody's code has been run for it: selects wait for each other meanwhile.
    type Found;

    /// What is there, or the end.
    fn find(&self) -> Option<Self::Found>;

    fn give(found: Self::Found) -> Self::Outcome;

    /// Enters the latch of the crowd that it waits in; the number is the highest that there is.
    fn in_line<R>(&self, act: impl FnOnce(&mut Crowd, u64) -> R) -> R;

    fn object(&self) -> &dyn Describe;
}

/// A receive that a select may do, from a receiver of type `R`: a `T`. Made by
/// [`select::recv`](crate::select::recv).
#[must_use = "it does nothing by itself"]
#[expect(private_bounds, reason = "sealed")]
pub struct LookArm<'a, R: Looked<Outcome = T>, T> {
    receiver: &'a R,
    ticket: Option<Ticket>,
    found: Option<R::Found>,
}

#[expect(private_bounds, reason = "sealed")]
impl<'a, R: Looked<Outcome = T>, T> LookArm<'a, R, T> {
    pub(super) fn new(receiver: &'a R) -> Self {
        LookArm {
            receiver,
            ticket: None,
            found: None,
        }
    }

    /// What was received when this arm was chosen; once.
    pub fn take(&mut self) -> Option<T> {
        self.found.take().map(R::give)
    }
}

impl<R: Looked> Sealed for R {}

impl<R: Looked<Outcome = T>, T> Operation for LookArm<'_, R, T> {
    type Output = T;

    fn take(&mut self) -> Option<T> {
        self.found.take().map(R::give)
    }
}

impl<R: Looked<Outcome = T>, T> Stand for LookArm<'_, R, T> {
    fn place(&self) -> usize {
        // Its latch is never held together with another.
        ptr::from_ref(self.receiver).addr()
    }

    fn attempt(&mut self) -> bool {
        if self.found.is_some() {
            return false;
        }
        self.found = self.receiver.find();
        self.found.is_some()
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        if self.found.is_some() {
            return Stood::Seated;
        }
        // First, so that whatever comes after the look calls this seat.
        self.ticket = Some(self.receiver.in_line(Crowd::join));
        if !stake.busy() {
            self.leave();
            return Stood::Gone;
        }
        if self.attempt() {
            stake.end();
            self.leave();
            return Stood::Done;
        }
        stake.idle();
        Stood::Seated
    }

    fn look(&mut self, stake: Stake) -> Stood {
        let is_called = |ticket| self.receiver.in_line(|crowd, _| crowd.is_called(ticket));
        if !self.ticket.as_ref().is_some_and(is_called) {
            return Stood::Seated;
        }
        self.leave();
        self.stand(stake)
    }

    fn settle(&mut self) {
        self.leave();
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.receiver.in_line(|crowd, _| crowd.stand_up(&ticket));
        }
    }

    fn abandon(&mut self) {
        self.leave();
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.receiver.object().describe(f)
    }
}

impl<R: Looked<Outcome = T>, T> fmt::Debug for LookArm<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookArm").finish_non_exhaustive()
    }
}

impl<T: Clone> Looked for broadcast::Receiver<T> {
    type Outcome = Result<T, RecvError>;
    type Found = Result<Arc<T>, RecvError>;

    fn find(&self) -> Option<Self::Found> {
        match self.find() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn give(found: Self::Found) -> Self::Outcome {
        found.map(broadcast::own)
    }

    fn in_line<R>(&self, act: impl FnOnce(&mut Crowd, u64) -> R) -> R {
        self.in_line(act)
    }

    fn object(&self) -> &dyn Describe {
        self.object()
    }
}

impl<T: Clone> Receive for broadcast::Receiver<T> {
    type Received = Result<T, RecvError>;
    type RecvArm<'a>
        = LookArm<'a, Self, Result<T, RecvError>>
    where
        T: 'a;

    fn recv_arm(&self) -> LookArm<'_, Self, Result<T, RecvError>> {
        LookArm::new(self)
    }
}
