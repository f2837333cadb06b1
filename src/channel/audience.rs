//! Who is at the ends of a channel that tells everybody: how many, who waits to be told, who for the last to go.

use crate::scheduler::park::Wait;

use super::crowd::{self, Called, Crowd, END, Place};

/// Part of what such a channel keeps inside of its latch.
pub(super) struct Audience {
    pub(super) senders: usize,
    pub(super) receivers: usize,
    /// Receivers that wait, each with the number of the newest there was then.
    pub(super) line: Crowd,
    /// How often the last receiver has gone.
    desertions: u64,
    /// Senders that wait until no receiver is left, each with the number of desertions as it was then.
    leavers: Crowd,
}

/// A channel with an audience.
pub(super) trait Hall {
    /// Does something inside of its latch.
    fn with<R>(&self, act: impl FnOnce(&mut Audience) -> R) -> R;
}

/// A channel as its waiting receivers see it.
pub(super) struct Line<'a, H>(pub(super) &'a H);

/// A channel as those see it who wait for the last receiver's going.
pub(super) struct Leavers<'a, H>(pub(super) &'a H);

impl<H: Hall> Place for Line<'_, H> {
    fn enter<R>(&self, act: impl FnOnce(&mut Crowd) -> R) -> R {
        self.0.with(|audience| act(&mut audience.line))
    }
}

impl<H: Hall> Place for Leavers<'_, H> {
    fn enter<R>(&self, act: impl FnOnce(&mut Crowd) -> R) -> R {
        self.0.with(|audience| act(&mut audience.leavers))
    }
}

impl Audience {
    /// One sender and one receiver.
    pub(super) const fn new() -> Self {
        Audience {
            senders: 1,
            receivers: 1,
            line: Crowd::new(),
            desertions: 0,
            leavers: Crowd::new(),
        }
    }

    /// A receiver goes. When it was the last one, `Leavers` are to be woken.
    pub(super) fn desert(&mut self) -> Option<Called> {
        self.receivers -= 1;
        (self.receivers == 0).then(|| {
            self.desertions += 1;
            self.leavers.call(self.desertions)
        })
    }
}

/// A sender goes; the last one calls the end.
pub(super) fn retire(hall: &impl Hall) {
    let called = hall.with(|audience| {
        audience.senders -= 1;
        (audience.senders == 0).then(|| audience.line.call(END))
    });
    if let Some(called) = called {
        called.wake(&Line(hall));
    }
}

/// Waits until no receiver is left; false at the deadline.
#[track_caller]
pub(super) fn wait_deserted(hall: &impl Hall, wait: &Wait<'_>) -> bool {
    let ticket = hall.with(|audience| {
        let is_anybody = audience.receivers > 0;
        is_anybody.then(|| audience.leavers.join(audience.desertions))
    });
    // Called, it is over: there was a moment without receivers.
    ticket.is_none_or(|ticket| crowd::wait_firmly(&Leavers(hall), ticket, wait))
}
