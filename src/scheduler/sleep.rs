//! Who sleeps, whom to wake, and when nothing can ever happen again: the protocol of N workers.
//!
//! # Words
//!
//! A worker is *awake*, or *asleep* (in its poll, or about to be), or *asked*: woken for nothing but a
//! question of the deadlock report, and asleep as far as everybody else is concerned. An awake worker
//! may be *searching*: it has run out of its own work and looks at the injector and the other deques.
//! *Stealable* work is what any worker may start (the deques, the injector); an *inbox* is one worker's.
//!
//! # The lost wake
//!
//! A worker looks for work, finds none, and goes to sleep; a pusher puts work there, sees nobody asleep,
//! and goes on. If the push falls between the look and the sleep, the work waits for ever. So both
//! sides announce first and look second, with a sequentially consistent fence between:
//!
//! ```text
//!   worker                                   pusher
//!   1. says that it sleeps, searches no more    1. pushes
//!   2. fence          (prepare_sleep)           2. fence
//!   3. looks at its inbox, the injector,        3. looks who sleeps and who searches
//!      every deque  (the caller)                   (wake, wake_one, wake_any)
//!   4. found: cancel_sleep; else commit_sleep,  4. wakes
//!      then polls
//! ```
//!
//! The fences have one order. If the worker's is first, the pusher sees the sleeper and wakes it. If the
//! pusher's is first, the worker sees the push and stays up. There is no third case.
//!
//! So the loop of a worker is: `[its own work] -> start_search -> [steal] -> prepare_sleep -> [look] ->
//! commit_sleep -> [poll] -> rise`, and `stop_search` wherever it has found something to run.
//!
//! # Searchers
//!
//! Waking a worker costs microseconds, starting a small task tens of nanoseconds; so while one worker is
//! searching nobody else is woken for stealable work (Go's rule for spinning threads). The searcher owes
//! a duty for it: *whoever stops searching, as the last one, looks once more*.
//!
//! - It found work: `stop_search` counts it out, fences, and looks again (`more`); is there more, it
//!   wakes another, who searches from then on. A pusher that relied on it saw it counted in, so the
//!   pusher's fence comes before the searcher's, and the look finds what was pushed.
//! - It found nothing: `prepare_sleep` counts it out, and step 3 above is the look. If that finds
//!   something, `cancel_sleep` makes it a searcher again, with the duty.
//!
//! Hence the invariant: *if stealable work is queued and a worker is asleep, then somebody is searching,
//! or somebody stands between a push (or the end of a search) and the look that follows it.* A worker
//! woken by `wake_one` is counted among the searchers by its waker, not by itself: pushes that happen
//! before it is up wake nobody else.
//!
//! # Quiescence
//!
//! The program is quiescent if nothing in it can ever run again: every worker is asleep and *hopeless*
//! (no timer, no armed registration: nothing outside can wake it), nothing counted as *outside* (a
//! blocking job, a signal or child waited for) is out, and no inbox nor the injector holds anything. All
//! of it is kept and judged under one lock, the *book*, which is taken on the way to sleep, and on the
//! way out of it, and by wakers of a worker that is not awake; never by a wake that finds its worker up.
//!
//! The last worker to commit judges, with the book in its hand. It can only be wrong if a wake is on its
//! way. Who could have sent it?
//!
//! - A worker: its wakes were complete when it prepared to sleep; it does nothing in its sleep.
//! - Something outside: it sends its wake first and is counted out after. While it is counted in, there
//!   is no quiescence; once it is counted out, its wake has taken the book and the worker is up.
//! - A thread we know nothing of. What it pushed before our look is found by the look (step 3 of the
//!   other workers, and `look` for those who pushed since), and then nothing is reported: the wake that
//!   follows the push will take the book after us. What it pushes after our look comes to a program that
//!   *was* quiescent.
//!
//! For that last case there is the *epoch*: it counts the times any worker left its sleep. `Quiescent`
//! carries it; the report is put together in peace, and `raise` goes through only if the epoch is still
//! the same, under the book, so either the wake or the report is first. As a worker must have been awake
//! to commit, and so must have bumped the epoch, one epoch is reported once.
//!
//! Putting the report together means asking the other workers for their tables. `ask` wakes a worker
//! without counting it awake, so the epoch stays; any real wake of an asked worker counts as ever.
//!
//! When the count of what is outside falls to zero while all are asleep and hopeless, nobody is about to
//! commit; `outside_ended` then names a worker to be woken, who finds nothing, commits, and so judges.
//!
//! # Why a lock
//!
//! Only a worker that has nothing to do, and those who wake it by a write to its eventfd, ever take the
//! book; both pay a system call anyway. For 15 ns all sleepers are seen at once, and the proof above is
//! a page instead of a thesis. The count of sleepers and searchers, which every spawn looks at, and each
//! worker's state, which every foreign wake looks at, are kept outside it as atomics: the sleepers'
//! half and the states are written under the book only, the searchers' half by anybody.

use std::fmt;

use crate::base::primitive::{
    AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Mutex, Ordering, Padded, fence, lock,
};

/// Runs, or searches, or is about to look at its inbox again.
const AWAKE: u8 = 0;
/// In `Book::asleep`. Whoever makes it awake writes its eventfd (or is it).
const ASLEEP: u8 = 1;
/// Asleep, but up to answer a question; still in `Book::asleep`.
const ASKED: u8 = 2;

/// One sleeper in `Sleepers::counts`: the low half.
const SLEEPER: u32 = 1;
/// One searcher in `Sleepers::counts`: the high half.
const SEARCHER: u32 = 1 << 16;

/// How many workers sleep and how many search, as one word, so that one load tells both.
#[derive(Clone, Copy)]
struct Counts(u32);

impl Counts {
    fn asleep(self) -> u32 {
        self.0 % SEARCHER
    }

    fn searching(self) -> u32 {
        self.0 / SEARCHER
    }
}

/// Whether anything but a wake of ours can get a worker out of its sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// It has a timer, an armed registration, or the like.
    Hopeful,
    /// Only another thread's `wake` can help it.
    Hopeless,
}

/// A stretch of time in which no worker left its sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// What `commit_sleep` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Commit {
    /// Poll now, without a limit but the next timer, then call `rise`.
    Sleep,
    /// Somebody has woken the worker meanwhile: it is awake and need not poll.
    Woken,
    /// Nothing can ever happen again. The worker is asleep as with `Sleep`; it alone was told, and may
    /// gather a report before it polls. See `raise`.
    Quiescent(Epoch),
}

/// What a worker is when its poll has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Risen {
    /// Awake: go on as usual.
    Awake,
    /// Still asleep, and asked. Answer the questions in the inbox, then call `answered` and poll again;
    /// is there anything else in it, `cancel_sleep` and go on as usual.
    Asked,
}

/// What others may see of one worker.
#[derive(Debug)]
struct Slot {
    /// `AWAKE`, `ASLEEP` or `ASKED`. Written under the book; read by wakers without.
    state: AtomicU8,
    /// Counted in `counts` as a searcher. Written by the worker while it is awake, and under the book by
    /// who wakes it; so never by two at once.
    searching: AtomicBool,
    /// The worker has ended. Written once, under the book.
    retired: AtomicBool,
}

/// What needs all sleepers at once.
#[derive(Debug)]
struct Book {
    /// Who sleeps; the latest last, woken first as its caches are warmest.
    asleep: Vec<usize>,
    /// By worker: committed and hopeless. Implies being in `asleep`.
    hopeless: Vec<bool>,
    /// How many of those are set.
    hopeless_count: usize,
    /// Bumped whenever a worker leaves its sleep.
    epoch: u64,
}

/// The sleep of all workers of one runtime.
pub(crate) struct Sleepers {
    slots: Box<[Padded<Slot>]>,
    /// `SLEEPER`s (equal to `Book::asleep.len()`, changed under the book) and `SEARCHER`s.
    counts: Padded<AtomicU32>,
    /// Things outside that will wake somebody when they are done.
    outside: AtomicUsize,
    book: Mutex<Book>,
}

impl Sleepers {
    /// `workers` workers, all awake.
    pub(crate) fn new(workers: usize) -> Self {
        assert!(
            (1..=0x7fff).contains(&workers),
            "the number of workers is out of range"
        );
        let slot = |_| Slot {
            state: AtomicU8::new(AWAKE),
            searching: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        };
        Sleepers {
            slots: (0..workers).map(slot).map(Padded).collect(),
            counts: Padded(AtomicU32::new(0)),
            outside: AtomicUsize::new(0),
            book: Mutex::new(Book {
                asleep: Vec::with_capacity(workers),
                hopeless: vec![false; workers],
                hopeless_count: 0,
                epoch: 0,
            }),
        }
    }

    // ---- the worker itself: searching

    /// The worker is out of its own work and looks elsewhere. Does nothing if it is searching already.
    #[inline]
    pub(crate) fn start_search(&self, worker: usize) {
        let searching = &self.slots[worker].searching;
        if self.slots.len() > 1 && !searching.load(Ordering::Relaxed) {
            searching.store(true, Ordering::Relaxed);
            // Relaxed: who counts on us looks later than this; what binds is the end of the search.
            self.counts.fetch_add(SEARCHER, Ordering::Relaxed);
        }
    }

    /// The worker has work, from wherever, and runs it next. Does nothing unless it was searching.
    ///
    /// `more` says whether stealable work is left anywhere. `Some(other)`: write that worker's eventfd.
    #[inline]
    pub(crate) fn stop_search(&self, worker: usize, more: impl FnOnce() -> bool) -> Option<usize> {
        let searching = &self.slots[worker].searching;
        if !searching.load(Ordering::Relaxed) {
            return None;
        }
        searching.store(false, Ordering::Relaxed);
        let before = Counts(self.counts.fetch_sub(SEARCHER, Ordering::AcqRel));
        if before.searching() > 1 || before.asleep() == 0 {
            // Another has the duty; or there is nobody to wake, and who goes to sleep after this looks.
            return None;
        }
        // Between counting ourselves out and the look; pairs with the fence in `wake_any`.
        fence(Ordering::SeqCst);
        if more() { self.call_a_searcher() } else { None }
    }

    // ---- the worker itself: sleeping

    /// Announces that the worker sleeps. The caller now looks at its inbox, the injector and every deque
    /// once more, and then either cancels or commits.
    pub(crate) fn prepare_sleep(&self, worker: usize) {
        let slot = &self.slots[worker];
        let mut book = lock(&self.book);
        debug_assert_eq!(slot.state.load(Ordering::Relaxed), AWAKE);
        book.asleep.push(worker);
        slot.state.store(ASLEEP, Ordering::Relaxed);
        let was_searching = slot.searching.load(Ordering::Relaxed);
        slot.searching.store(false, Ordering::Relaxed);
        // One step: at no time is the worker neither a searcher nor a sleeper.
        let change = if was_searching {
            SLEEPER.wrapping_sub(SEARCHER)
        } else {
            SLEEPER
        };
        self.counts.fetch_add(change, Ordering::AcqRel);
        drop(book);
        // Between the announcement and the caller's look; pairs with the fences of all wakers.
        fence(Ordering::SeqCst);
    }

    /// The look found something, or an asked worker found more than questions: stay up, searching.
    pub(crate) fn cancel_sleep(&self, worker: usize) {
        self.leave(&mut lock(&self.book), worker);
        // With the duty that `prepare_sleep` laid down: the look may have stopped at the first find.
        self.start_search(worker);
    }

    /// The look found nothing. `look` says whether all inboxes and the injector are empty; it is called
    /// under the book, so it may do nothing but look, and only by the last to fall asleep.
    ///
    /// Questions of a report (see `ask`) must travel apart from what `look` sees: one that is on its way
    /// for an epoch gone by would hide the quiescence of the next, and nobody would look again.
    pub(crate) fn commit_sleep(
        &self,
        worker: usize,
        hope: Hope,
        look: impl FnOnce() -> bool,
    ) -> Commit {
        let state = &self.slots[worker].state;
        if hope == Hope::Hopeful {
            // A wake that we miss here has written, or will write, the eventfd. Acquire: pairs with
            // `leave`; if we were made a searcher, we know it.
            let woken = state.load(Ordering::Acquire) == AWAKE;
            return if woken { Commit::Woken } else { Commit::Sleep };
        }
        let mut book = lock(&self.book);
        if state.load(Ordering::Relaxed) == AWAKE {
            return Commit::Woken;
        }
        debug_assert!(!book.hopeless[worker]);
        book.hopeless[worker] = true;
        book.hopeless_count += 1;
        if !self.all_hopeless(&book) {
            return Commit::Sleep;
        }
        // Before the look, as any waker fences after its push: one of us sees the other.
        fence(Ordering::SeqCst);
        if look() {
            Commit::Quiescent(Epoch(book.epoch))
        } else {
            Commit::Sleep
        }
    }

    /// The worker's poll has returned, for whatever reason.
    pub(crate) fn rise(&self, worker: usize) -> Risen {
        let mut book = lock(&self.book);
        if self.slots[worker].state.load(Ordering::Relaxed) == ASKED {
            return Risen::Asked;
        }
        self.leave(&mut book, worker);
        Risen::Awake
    }

    /// The worker has ended, and counts as one that nothing will ever wake. `Some(other)`: write that
    /// worker's eventfd, so that it judges anew; for those that are left may wait for each other.
    pub(crate) fn retire(&self, worker: usize) -> Option<usize> {
        let slot = &self.slots[worker];
        {
            let mut book = lock(&self.book);
            debug_assert_eq!(slot.state.load(Ordering::Relaxed), AWAKE);
            book.hopeless[worker] = true;
            book.hopeless_count += 1;
            // Relaxed: under the book, or read by who only wants to know whom to ask.
            slot.retired.store(true, Ordering::Relaxed);
        }
        if slot.searching.swap(false, Ordering::Relaxed) {
            self.counts.fetch_sub(SEARCHER, Ordering::AcqRel);
        }
        self.look_again()
    }

    /// Whether the worker has ended.
    pub(crate) fn is_retired(&self, worker: usize) -> bool {
        self.slots[worker].retired.load(Ordering::Relaxed)
    }

    // ---- wakers

    /// After a push to the worker's inbox. `true`, once a sleep: write its eventfd.
    #[inline]
    pub(crate) fn wake(&self, worker: usize) -> bool {
        // Between the caller's push and our look; pairs with the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);
        if self.slots[worker].state.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        self.leave(&mut lock(&self.book), worker)
    }

    /// After a push of stealable work by a worker. `Some(other)`: write that worker's eventfd.
    ///
    /// With nobody asleep it costs a fence and a load; with one worker, who must be the caller, nothing.
    #[inline]
    pub(crate) fn wake_one(&self) -> Option<usize> {
        if self.slots.len() == 1 {
            None
        } else {
            self.wake_any()
        }
    }

    /// As `wake_one`, for threads that are no workers of this runtime.
    #[inline]
    pub(crate) fn wake_any(&self) -> Option<usize> {
        // Between the caller's push and our look; pairs with those in `prepare_sleep`, `stop_search`.
        fence(Ordering::SeqCst);
        let counts = Counts(self.counts.load(Ordering::Relaxed));
        if counts.asleep() == 0 || counts.searching() > 0 {
            return None;
        }
        self.call_a_searcher()
    }

    /// Wakes a sleeper for stealable work, unless a search has begun meanwhile.
    #[cold]
    fn call_a_searcher(&self) -> Option<usize> {
        let mut book = lock(&self.book);
        let worker = *book.asleep.last()?;
        // From none to one, so that of several pushers one wakes. AcqRel, and retried only if searchers
        // come and go meanwhile: the sleepers' half stands still under the book.
        let count_in = |counts| (Counts(counts).searching() == 0).then(|| counts + SEARCHER);
        self.counts
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, count_in)
            .ok()?;
        // Relaxed: published by the book, or by the release in `leave`, which therefore comes after.
        self.slots[worker].searching.store(true, Ordering::Relaxed);
        self.leave(&mut book, worker);
        Some(worker)
    }

    /// Makes the worker awake; `false` if it was.
    fn leave(&self, book: &mut Book, worker: usize) -> bool {
        let state = &self.slots[worker].state;
        if state.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        // Release: pairs with `commit_sleep`. To a waker that sees it, it says nothing but that the
        // worker will come by `prepare_sleep` and its look again.
        state.store(AWAKE, Ordering::Release);
        book.asleep.retain(|&other| other != worker);
        self.counts.fetch_sub(SLEEPER, Ordering::AcqRel);
        book.hopeless_count -= usize::from(std::mem::take(&mut book.hopeless[worker]));
        book.epoch += 1;
        true
    }

    // ---- quiescence

    fn all_hopeless(&self, book: &Book) -> bool {
        // Acquire: pairs with `outside_ended`, whose wake came before.
        book.hopeless_count == self.slots.len() && self.outside.load(Ordering::Acquire) == 0
    }

    /// Something now runs outside that will wake a worker when it is done.
    pub(crate) fn outside_began(&self) {
        // Relaxed: called by what is awake itself, or by a foreign thread, who may come too late.
        self.outside.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether anything runs outside that will wake a worker.
    pub(crate) fn has_outside(&self) -> bool {
        self.outside.load(Ordering::Acquire) > 0
    }

    /// It is done; call it after the wake. `Some(worker)`: write that worker's eventfd, so that it
    /// judges anew.
    pub(crate) fn outside_ended(&self) -> Option<usize> {
        // Release: pairs with `all_hopeless`.
        if self.outside.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        self.look_again()
    }

    /// What the judgement depends on has changed from outside. `Some(worker)`: all sleep and nothing can
    /// wake them; write that worker's eventfd, so that it judges anew.
    pub(crate) fn look_again(&self) -> Option<usize> {
        let mut book = lock(&self.book);
        if !self.all_hopeless(&book) {
            return None;
        }
        let worker = *book.asleep.last()?;
        self.leave(&mut book, worker);
        Some(worker)
    }

    /// After a push of a question to the worker's inbox. `true`: write its eventfd.
    pub(crate) fn ask(&self, worker: usize) -> bool {
        let _book = lock(&self.book);
        let state = &self.slots[worker].state;
        let asleep = state.load(Ordering::Relaxed) != AWAKE;
        if asleep {
            state.store(ASKED, Ordering::Relaxed);
        }
        // Also if asked already: it may just have taken its last look.
        asleep
    }

    /// The asked worker has answered and polls again. `false`: it has been woken for good meanwhile.
    pub(crate) fn answered(&self, worker: usize) -> bool {
        let _book = lock(&self.book);
        let state = &self.slots[worker].state;
        let asked = state.load(Ordering::Relaxed) == ASKED;
        if asked {
            // No new look at the inbox is needed: any push since has written the eventfd.
            state.store(ASLEEP, Ordering::Relaxed);
        }
        asked
    }

    /// Whether nothing has happened since: the worker that was told may log a report, say after a time
    /// of grace, without leaving its sleep.
    pub(crate) fn is_still(&self, epoch: Epoch) -> bool {
        let book = lock(&self.book);
        book.epoch == epoch.0 && self.all_hopeless(&book)
    }

    /// The report of `epoch` is ready. `true`: nothing has happened meanwhile, the worker is awake, and
    /// nobody else will get this far; raise it. `false`: throw it away.
    pub(crate) fn raise(&self, worker: usize, epoch: Epoch) -> bool {
        let mut book = lock(&self.book);
        book.epoch == epoch.0 && self.all_hopeless(&book) && self.leave(&mut book, worker)
    }
}

impl fmt::Debug for Sleepers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Counts(self.counts.load(Ordering::Relaxed));
        f.debug_struct("Sleepers")
            .field("workers", &self.slots.len())
            .field("asleep", &counts.asleep())
            .field("searching", &counts.searching())
            .field("outside", &self.outside.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
