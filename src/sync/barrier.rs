//! A place at which so many wait until all have come.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};

use super::latch::{Latch, Latched};
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// Lets nobody pass until so many have come, then all of them; again and again.
///
/// [`std::sync::Barrier`], with what Python's `threading.Barrier` has beside it: an action that one of them
/// runs before all go on, waiting with a limit, and an end for all when one fails ([`abort`](Self::abort)).
///
/// A barrier is *broken* by [`abort`](Self::abort), by a wait whose time is over, and by an action that
/// panics. All who wait then, and all who come later, are told so, until somebody [resets](Self::reset) it.
/// A barrier on which none of that is used never breaks, and [`wait`](Self::wait) may be used as std's.
///
/// # Examples
///
/// ```
/// use greenloom::sync::Barrier;
///
/// # greenloom::run(|| {
/// let barrier = Barrier::new(3);
/// let leaders = greenloom::scope(|s| {
///     let tasks = [(); 3].map(|()| s.spawn(|| barrier.wait().is_leader()));
///     tasks.map(|task| task.join().unwrap())
/// });
/// assert_eq!(leaders.iter().filter(|is_leader| **is_leader).count(), 1);
/// # });
/// ```
pub struct Barrier {
    parties: usize,
    action: Option<Box<dyn Fn() + Send + Sync>>,
    state: Latch<State>,
}

/// The last to come runs the action outside of the latch. Until it is back, the round's others stay in `line`,
/// complete in number, and whoever comes then waits at the `gate` and begins anew when it opens.
#[derive(Debug)]
struct State {
    is_broken: bool,
    is_acting: bool,
    /// Counts resets, so that an action that ends after one does not end another round.
    resets: u64,
    /// How many are in `line`, uncalled.
    come: usize,
    line: WaitList<Verdict>,
    gate: WaitList<Verdict>,
}

/// In a called seat: how the wait ends.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Pass(usize),
    Broken,
    /// The gate is open: come anew.
    Again,
}

/// What [`Barrier::wait`] ends with.
#[derive(Clone, Copy, Debug)]
pub struct BarrierWaitResult {
    index: usize,
    is_leader: bool,
}

/// The barrier is broken: not all will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrier {
    is_timed_out: bool,
}

impl Barrier {
    /// Makes a barrier for so many; also for statics. One for none lets everybody pass, as one for one does.
    pub const fn new(parties: usize) -> Self {
        Barrier {
            parties,
            action: None,
            state: Latch::new(State {
                is_broken: false,
                is_acting: false,
                resets: 0,
                come: 0,
                line: WaitList::new(),
                gate: WaitList::new(),
            }),
        }
    }

    /// As [`new`](Self::new), with something that the last to come does each time before all go on.
    ///
    /// The action may wait. When it panics, or is unwound by a cancellation, the barrier is broken.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::sync::{Barrier, Mutex};
    ///
    /// # greenloom::run(|| {
    /// static ROUNDS: Mutex<u32> = Mutex::new(0);
    /// let barrier = Barrier::with_action(2, || *ROUNDS.lock().unwrap() += 1);
    /// greenloom::scope(|s| {
    ///     for _ in 0..2 {
    ///         s.spawn(|| (0..10).for_each(|_| drop(barrier.wait())));
    ///     }
    /// });
    /// assert_eq!(*ROUNDS.lock().unwrap(), 10);
    /// # });
    /// ```
    pub fn with_action(parties: usize, action: impl Fn() + Send + Sync + 'static) -> Self {
        Barrier {
            action: Some(Box::new(action)),
            ..Barrier::new(parties)
        }
    }

    /// Waits until all have come.
    ///
    /// # Panics
    ///
    /// When the barrier is broken, which never happens by itself: [`wait_checked`](Self::wait_checked) tells it
    /// by an error. What the action panics with, in whoever runs it.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the others wait for one more, as with asyncio's.
    ///
    /// # Parks
    ///
    /// Until all have come (`sync.barrier`); the last one only if the action does.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        match self.wait_until(Deadline::NEVER) {
            Ok(result) => result,
            Err(error) => panic!("Barrier::wait: {error}"),
        }
    }

    /// As [`wait`](Self::wait), for barriers that somebody may break.
    ///
    /// # Errors
    ///
    /// [`BrokenBarrier`] when it is broken, or is while one waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let barrier = greenloom::sync::Barrier::new(2);
    /// barrier.abort();
    /// assert!(barrier.wait_checked().is_err());
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    #[track_caller]
    pub fn wait_checked(&self) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.wait_until(Deadline::NEVER)
    }

    /// As [`wait_checked`](Self::wait_checked), for no longer than `timeout`: a wait whose time is over breaks the barrier,
    /// as in Python, for the others count on one who will not come.
    ///
    /// # Errors
    ///
    /// [`BrokenBarrier`]; it says whether it was this wait's own time.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.wait_until(park::deadline(timeout))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> Result<BarrierWaitResult, BrokenBarrier> {
        loop {
            let mut state = self.state.lock();
            if state.is_broken {
                return Err(BrokenBarrier {
                    is_timed_out: false,
                });
            }
            let is_at_gate = state.is_acting;
            if !is_at_gate && state.come + 1 >= self.parties {
                return self.complete(state);
            }
            let ticket = if is_at_gate {
                state.gate.join(Verdict::Again)
            } else {
                state.come += 1;
                state.line.join(Verdict::Broken)
            };
            drop(state);
            let place = Place {
                barrier: self,
                is_at_gate,
            };
            let wait = Wait::new("sync.barrier").on(self).until(deadline);
            match wait_list::wait(place, ticket, &wait) {
                Some(Verdict::Again) => {}
                Some(Verdict::Pass(index)) => {
                    return Ok(BarrierWaitResult {
                        index,
                        is_leader: false,
                    });
                }
                outcome => {
                    return Err(BrokenBarrier {
                        is_timed_out: outcome.is_none(),
                    });
                }
            }
        }
    }

    /// All have come, the caller last.
    fn complete<'a>(
        &'a self,
        mut state: Latched<'a, State>,
    ) -> Result<BarrierWaitResult, BrokenBarrier> {
        if let Some(action) = &self.action {
            state.is_acting = true;
            let resets = state.resets;
            drop(state);
            let acting = Acting(self, resets);
            action();
            std::mem::forget(acting);
            state = self.state.lock();
            if state.resets != resets || state.is_broken {
                // It did not count: whoever broke the barrier has told the others.
                if state.resets == resets {
                    state.is_acting = false;
                }
                return Err(BrokenBarrier {
                    is_timed_out: false,
                });
            }
            state.is_acting = false;
        }
        let wakers = state.pass();
        drop(state);
        wakers.wake();
        Ok(BarrierWaitResult {
            index: self.parties.saturating_sub(1),
            is_leader: true,
        })
    }

    /// Breaks the barrier: all who wait, and all who come, are told. Never parks.
    ///
    /// For one that cannot go on, so that the others need not wait for it.
    pub fn abort(&self) {
        let mut state = self.state.lock();
        let wakers = state.break_up();
        drop(state);
        wakers.wake();
    }

    /// Makes it as new. Those who wait are told that it was broken. Never parks.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        let wakers = state.break_up();
        state.is_broken = false;
        state.is_acting = false;
        state.resets += 1;
        drop(state);
        wakers.wake();
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.state.lock().is_broken
    }

    /// How many must come.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come and wait for the others.
    pub fn n_waiting(&self) -> usize {
        self.state.lock().come
    }
}

impl State {
    /// Lets this round go on, and those come who have waited for its end.
    fn pass(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        let mut index = 0;
        while let Some(waker) = self
            .line
            .call_first_with(|seat| *seat = Verdict::Pass(index))
        {
            wakers.push(waker);
            index += 1;
        }
        self.come = 0;
        self.open_gate(&mut wakers);
        wakers
    }

    fn break_up(&mut self) -> Wakers {
        self.is_broken = true;
        let mut wakers = Wakers::new();
        while let Some(waker) = self.line.call_first_with(|seat| *seat = Verdict::Broken) {
            wakers.push(waker);
        }
        self.come = 0;
        // They come anew, and find it broken, unless it is reset at once.
        self.open_gate(&mut wakers);
        wakers
    }

    fn open_gate(&mut self, wakers: &mut Wakers) {
        while let Some(waker) = self.gate.call_first_with(|seat| *seat = Verdict::Again) {
            wakers.push(waker);
        }
    }
}

/// The action runs, since so many resets; dropped when it unwinds.
struct Acting<'a>(&'a Barrier, u64);

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        let Acting(barrier, resets) = *self;
        let mut state = barrier.state.lock();
        if state.resets != resets {
            return;
        }
        state.is_acting = false;
        let wakers = state.break_up();
        drop(state);
        wakers.wake();
    }
}

/// Where one waits.
struct Place<'a> {
    barrier: &'a Barrier,
    is_at_gate: bool,
}

impl Place<'_> {
    fn line<'s>(&self, state: &'s mut State) -> &'s mut WaitList<Verdict> {
        if self.is_at_gate {
            &mut state.gate
        } else {
            &mut state.line
        }
    }
}

impl Queue for Place<'_> {
    /// `None`: the time was over, and the barrier is broken.
    type Outcome = Option<Verdict>;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Option<Verdict>> {
        let mut state = self.barrier.state.lock();
        let line = self.line(&mut state);
        if line.is_called(ticket) {
            return Some(Some(line.leave(ticket).payload));
        }
        if !is_late {
            return None;
        }
        let _ = line.leave(ticket);
        let wakers = state.break_up();
        drop(state);
        wakers.wake();
        Some(None)
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.barrier.state.lock();
        let is_called = self.line(&mut state).leave(ticket).is_called;
        if !is_called && !self.is_at_gate {
            state.come -= 1;
        }
    }
}

impl Describe for Barrier {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let come = self.n_waiting();
        write!(f, "a Barrier to which {come} of {} have come", self.parties)
    }
}

impl BarrierWaitResult {
    /// Whether this was the last to come; there is one in each round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// The place in the order of coming, from 0; Python's result. Each of a round has another.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }
}

impl BrokenBarrier {
    /// Whether it was this wait's own time that was over, and broke the barrier.
    pub fn is_timed_out(&self) -> bool {
        self.is_timed_out
    }
}

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_timed_out {
            true => "the time was over before all had come to the barrier, which is broken now",
            false => "the barrier is broken",
        })
    }
}

impl std::error::Error for BrokenBarrier {}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("n_waiting", &self.n_waiting())
            .field("is_broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}
