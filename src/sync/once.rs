//! Something that is done once, by whoever comes first.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::primitive::{AtomicBool, Ordering};
use crate::scheduler::park::{self, Describe, Holder, Wait};

use super::latch::Latch;
use super::owner::Owner;
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// [`std::sync::Once`] whose initialiser may wait, for green threads and plain threads.
///
/// Whoever comes while the initialiser runs waits for its end, and lets others run meanwhile; with std's, a
/// worker would hang. As with std's a panic in it poisons. An initialiser that is cancelled, or that a
/// [`timeout`](crate::timeout) unwinds, counts as one that never began: the next that comes, or one that
/// waits, runs its own.
///
/// # Examples
///
/// ```
/// use greenloom::sync::Once;
///
/// static START: Once = Once::new();
///
/// # greenloom::run(|| {
/// for _ in 0..3 {
///     greenloom::spawn(|| START.call_once(|| println!("once")));
/// }
/// START.wait();
/// assert!(START.is_completed());
/// # });
/// ```
pub struct Once {
    /// Set in the latch, after the initialiser has ended; read anywhere.
    is_complete: AtomicBool,
    state: Latch<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Who runs the initialiser, while one does: for reports.
    holder: Holder,
    line: WaitList<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Incomplete,
    Poisoned,
    Running(Owner),
    Complete,
}

/// What an initialiser of [`Once::call_once_force`] may ask.
#[derive(Debug)]
pub struct OnceState {
    is_poisoned: bool,
}

impl OnceState {
    /// Whether an initialiser before has panicked.
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }
}

/// What those who find an initialiser that has panicked do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poisoned {
    Panic,
    Ignore,
}

impl Once {
    /// Makes one for which nothing has been done; also for statics.
    pub const fn new() -> Self {
        Once {
            is_complete: AtomicBool::new(false),
            state: Latch::new(State {
                phase: Phase::Incomplete,
                holder: Holder::NOBODY,
                line: WaitList::new(),
            }),
        }
    }

    /// Runs `f` if it is the first; when this returns, an initialiser has run to its end.
    ///
    /// # Panics
    ///
    /// When an initialiser before has panicked; when `f` does, which poisons; and when an initialiser comes back
    /// to its own `Once`, which would wait for itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds out of `f`, or while it waits. Another initialiser will run.
    ///
    /// # Parks
    ///
    /// While another initialiser runs (`sync.once`), and where `f` does.
    #[track_caller]
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.attempt(Poisoned::Panic, |_| {
                f();
                true
            });
        }
    }

    /// As [`call_once`](Self::call_once), but one that comes after a panic runs all the same, and heals.
    ///
    /// # Panics
    ///
    /// As [`call_once`](Self::call_once), but for the panics of others.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::sync::Once;
    ///
    /// let once = Once::new();
    /// let _ = std::panic::catch_unwind(|| once.call_once(|| panic!("at first")));
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// once.call_once(|| unreachable!("it is complete"));
    /// ```
    #[track_caller]
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.attempt(Poisoned::Ignore, |state| {
                f(state);
                true
            });
        }
    }

    /// Whether an initialiser has run to its end. What it did is seen by who is told so.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with `Running::end`.
        self.is_complete.load(Ordering::Acquire)
    }

    /// Waits until an initialiser has run to its end, and runs none.
    ///
    /// # Panics
    ///
    /// When one has panicked, or does.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// Until then (`sync.once_wait`).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(Poisoned::Panic, Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but goes on waiting, after a panic, for one that comes by
    /// [`call_once_force`](Self::call_once_force).
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_until(Poisoned::Ignore, Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but false when no initialiser had run to its end after `timeout`. With a
    /// `timeout` of zero it asks once.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_completed()
            || (!timeout.is_zero() && self.wait_until(Poisoned::Panic, park::deadline(timeout)))
    }

    /// Runs `f` unless an initialiser has completed, or does so meanwhile. When `f` is false it has come to
    /// nothing, and the next may try.
    #[cold]
    #[track_caller]
    pub(super) fn attempt(&self, poisoned: Poisoned, f: impl FnOnce(&OnceState) -> bool) {
        let me = Owner::current();
        let holder = park::current_holder();
        let was_poisoned = loop {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Complete => return,
                Phase::Running(owner) if owner == me => {
                    drop(state);
                    panic!(
                        "an initialiser has come back to what it initialises, and would wait for itself"
                    );
                }
                Phase::Running(_) => {
                    let ticket = state.line.join(());
                    drop(state);
                    let wait = Wait::new("sync.once").on(self);
                    wait_list::wait(self, ticket, &wait);
                }
                Phase::Poisoned if poisoned == Poisoned::Panic => {
                    drop(state);
                    poisoned_panic();
                }
                phase => {
                    state.phase = Phase::Running(me);
                    state.holder = holder;
                    break phase == Phase::Poisoned;
                }
            }
        };
        let running = Running {
            once: self,
            was_poisoned,
        };
        let is_done = f(&OnceState {
            is_poisoned: was_poisoned,
        });
        running.end(match is_done {
            true => Phase::Complete,
            false => running.before(),
        });
        std::mem::forget(running);
    }

    #[track_caller]
    pub(super) fn wait_until(&self, poisoned: Poisoned, deadline: Deadline) -> bool {
        loop {
            if self.is_completed() {
                return true;
            }
            let mut state = self.state.lock();
            match state.phase {
                Phase::Complete => return true,
                Phase::Poisoned if poisoned == Poisoned::Panic => {
                    drop(state);
                    poisoned_panic();
                }
                _ => {}
            }
            let ticket = state.line.join(());
            drop(state);
            let wait = Wait::new("sync.once_wait").on(self).until(deadline);
            if !wait_list::wait(self, ticket, &wait) {
                return false;
            }
        }
    }

    /// Whether one has panicked, and none has run to its end since.
    pub(super) fn is_poisoned(&self) -> bool {
        self.state.lock().phase == Phase::Poisoned
    }
}

#[cold]
#[track_caller]
pub(super) fn poisoned_panic() -> ! {
    panic!("an initialiser before has panicked");
}

/// An initialiser runs. Dropped when it unwinds.
struct Running<'a> {
    once: &'a Once,
    was_poisoned: bool,
}

impl Running<'_> {
    /// As if it had never begun.
    fn before(&self) -> Phase {
        match self.was_poisoned {
            true => Phase::Poisoned,
            false => Phase::Incomplete,
        }
    }

    fn end(&self, phase: Phase) {
        self.change(phase).wake();
    }

    fn change(&self, phase: Phase) -> Wakers {
        let mut state = self.once.state.lock();
        state.phase = phase;
        if phase == Phase::Complete {
            // Release: pairs with `is_completed`.
            self.once.is_complete.store(true, Ordering::Release);
        }
        // All, also when one of them is to try: the others find it running and come back.
        state.line.call_all()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end(match park::is_panicking() {
            true => Phase::Poisoned,
            false => self.before(),
        });
    }
}

impl Queue for &Once {
    /// Whether something has changed.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let line = &mut self.state.lock().line;
        (line.is_called(ticket) || is_late).then(|| line.leave(ticket).is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let _ = self.state.lock().line.leave(ticket);
    }
}

impl Describe for Once {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state.lock().phase {
            Phase::Running(_) => "a Once",
            Phase::Poisoned => "a Once whose initialiser has panicked",
            _ => "a Once that nobody initialises",
        })
    }

    fn holder(&self) -> Option<(&'static str, Holder)> {
        let state = self.state.lock();
        match state.phase {
            Phase::Running(_) => Some((" that is initialised by ", state.holder)),
            _ => None,
        }
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

impl Default for Once {
    fn default() -> Self {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}
