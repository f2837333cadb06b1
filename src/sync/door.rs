//! Who may be inside of a latch: one thread at a time; and one that comes alone, again and again, pays no atomic
//! operation for it.
//!
//! Most objects that tasks wait for are used by tasks of one worker, and tasks of one worker never run at once.
//! For them even the one read-modify-write of a lock is most of what the lock costs. So a door that one thread
//! has gone through many times, and nobody else in between, comes to *lean* to that thread. From then on:
//!
//! ```text
//!   the thread that it leans to             anybody else
//!   1. says that it is inside               1. takes the lock, as does whoever finds the door not leaning
//!   2. light fence                          2. says that the door leans to nobody, for good
//!   3. looks whether it still leans         3. heavy fence
//!      to it; if not, says that it          4. waits until the one that it leaned to is not inside
//!      is not inside and takes the lock
//! ```
//!
//! Of the two fences (`sys::barrier`) one sees the other's step: either the thread finds in 3 that the door leans no
//! more, or the other one finds it inside in 4, and waits. Between 1 and 4 nobody else can come in, for the
//! lock is held; and after it the door is a plain lock for as long as it lives. So the price of the heavy fence, some
//! microseconds, is paid at most once for each door, and only after [`VISITS`] entries that were as long as that
//! together. Objects that live shortly never lean.
//!
//! A thread that is inside already and comes again (from a program's allocator, which is the one foreign code
//! that may run in there) is not let in: it waits for itself, as with any lock that is not reentrant.

use std::time::Duration;

use crate::base::primitive::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::sys::barrier;

/// After so many entries of one thread the next one makes the door lean to it. In a model the first does.
const VISITS: u8 = if cfg!(any(loom, shuttle)) { 0 } else { 250 };

/// The number of a thread that has none: no door ever leans to it.
pub(crate) const NO_NUMBER: u32 = u32::MAX - 1;
/// In `leans_to`: it has leaned to one and another has come, so never again; or it never could.
const NEVER_AGAIN: u32 = u32::MAX;
/// In `leans_to`: to nobody yet.
const NOBODY: u32 = 0;

/// Rounds of spinning, each twice as long as the one before.
const SPINS: u32 = 6;
/// After these: rounds in which the OS may run another thread of the same priority.
const YIELDS: u32 = 16;
/// After these: naps, so that a holder of lower priority gets to run as well.
const NAP: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(crate) struct Door {
    /// The lock of those who enter as anybody: set by an acquiring exchange, cleared by a releasing store.
    is_taken: AtomicBool,
    /// The thread that the door leans to is inside, or looks whether it may be. Written by that thread alone.
    is_inside: AtomicBool,
    /// Entries one after the other by `last`. Changed by the holder of the lock only, as is `last`.
    visits: AtomicU8,
    last: AtomicU32,
    /// A thread's number, `NOBODY` or `NEVER_AGAIN`. Changed by the holder of the lock only.
    leans_to: AtomicU32,
}

/// What to do at leaving.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside<'a>(&'a AtomicBool);

impl Inside<'_> {
    #[inline]
    pub(crate) fn leave(self) {
        // Release: what was done inside happens before the next one's entry.
        self.0.store(false, Ordering::Release);
    }
}

impl Door {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) const fn new() -> Self {
        Door {
            is_taken: AtomicBool::new(false),
            is_inside: AtomicBool::new(false),
            visits: AtomicU8::new(0),
            last: AtomicU32::new(NOBODY),
            leans_to: AtomicU32::new(NOBODY),
        }
    }

    /// A model's atomics are not made at compile time.
    #[cfg(any(loom, shuttle))]
    pub(crate) fn new() -> Self {
        Door {
            is_taken: AtomicBool::new(false),
            is_inside: AtomicBool::new(false),
            visits: AtomicU8::new(0),
            last: AtomicU32::new(NOBODY),
            leans_to: AtomicU32::new(NOBODY),
        }
    }

    /// Goes in; `me` is the number of the thread that calls, the same each time.
    #[inline]
    pub(crate) fn enter(&self, me: u32) -> Inside<'_> {
        // Relaxed, as all here: only this thread ever makes the door lean to it, and what it sees inside is
        // its own work, or was acquired with the lock when the door began to lean.
        if self.leans_to.load(Ordering::Relaxed) == me && self.is_inside_at_once(me) {
            return Inside(&self.is_inside);
        }
        self.enter_as_anybody(me)
    }

    /// Whether some thread goes in without an atomic operation.
    #[cfg(test)]
    pub(crate) fn leans(&self) -> bool {
        !matches!(self.leans_to.load(Ordering::Relaxed), NOBODY | NEVER_AGAIN)
    }

    #[inline]
    fn is_inside_at_once(&self, me: u32) -> bool {
        if self.is_inside.load(Ordering::Relaxed) {
            return false;
        }
        self.is_inside.store(true, Ordering::Relaxed);
        barrier::light();
        let leans = self.leans_to.load(Ordering::Relaxed) == me;
        if !leans {
            self.is_inside.store(false, Ordering::Release);
        }
        leans
    }

    #[inline]
    fn enter_as_anybody(&self, me: u32) -> Inside<'_> {
        if !self.try_take() {
            self.take_contended();
        }
        if self.leans_to.load(Ordering::Relaxed) != NEVER_AGAIN {
            self.look_who_comes(me);
        }
        Inside(&self.is_taken)
    }

    #[inline]
    fn try_take(&self) -> bool {
        // Acquire: pairs with the release in `leave`.
        self.is_taken
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn take_contended(&self) {
        let mut round = 0;
        loop {
            // Looked at before it is tried: a failing exchange would pull the cache line away from
            // the one who is inside.
            if !self.is_taken.load(Ordering::Relaxed) && self.try_take() {
                return;
            }
            rest(round);
            round += 1;
        }
    }

    /// With the lock held, at a door that may come to lean, or leans.
    #[cold]
    fn look_who_comes(&self, me: u32) {
        if self.leans_to.load(Ordering::Relaxed) != NOBODY {
            return self.straighten();
        }
        let is_same = self.last.load(Ordering::Relaxed) == me;
        let visits = if is_same {
            self.visits.load(Ordering::Relaxed)
        } else {
            self.last.store(me, Ordering::Relaxed);
            0
        };
        if visits < VISITS {
            return self.visits.store(visits + 1, Ordering::Relaxed);
        }
        let can_lean = me != NO_NUMBER && barrier::is_there();
        // Seen by this thread in its own order. Others have the lock to pass first. Where no door can lean,
        // nobody counts any longer.
        let leans_to = if can_lean { me } else { NEVER_AGAIN };
        self.leans_to.store(leans_to, Ordering::Relaxed);
    }

    /// With the lock held: somebody else than the one that the door leans to has come.
    #[cold]
    fn straighten(&self) {
        self.leans_to.store(NEVER_AGAIN, Ordering::Relaxed);
        barrier::heavy();
        let mut round = 0;
        // Acquire: pairs with the release in `leave`, and in `is_inside_at_once`.
        while self.is_inside.load(Ordering::Acquire) {
            rest(round);
            round += 1;
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
fn rest(round: u32) {
    if round < SPINS {
        for _ in 0..1 << round {
            std::hint::spin_loop();
        }
    } else if round < SPINS + YIELDS {
        std::thread::yield_now();
    } else {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one inside is a thread that the OS has put aside"
        )]
        std::thread::sleep(NAP);
    }
}

#[cfg(loom)]
fn rest(_round: u32) {
    loom::thread::yield_now();
}

#[cfg(shuttle)]
fn rest(_round: u32) {
    shuttle::thread::yield_now();
}
