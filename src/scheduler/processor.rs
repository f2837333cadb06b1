//! What one worker owns and its running task may reach: queues, timers, the reactor's near side.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::clock::{Clock, Deadline, Nanos};
use crate::base::rng::Rng;
use crate::driver::reactor::ReactorShared;
use crate::driver::timers::{TimerKey, Timers};

use super::deque::Owner;
use super::phases::{AfterWake, Phases};
use super::ring::Ring;
use super::shared::Shared;
use super::task::TaskRef;

/// In the ready queue instead of a key: take the oldest task not yet started.
///
/// One such mark goes in for each spawn, so that woken and new tasks share one line, first come first
/// served, though the new ones lie in a queue that others may steal from. A mark whose task was stolen
/// or handed over means nothing.
pub(crate) const START: u32 = u32::MAX;
/// As `START`, for tasks that must run on this worker.
pub(crate) const START_PINNED: u32 = u32::MAX - 1;
const NOBODY: u32 = u32::MAX - 2;

/// Fewer dead entries than this are not worth a sweep.
const MANY_DEAD: usize = 256;

/// Lives on the stack of the worker's loop; `!Send`, and so is everything in it that tasks reach.
pub(crate) struct Processor {
    /// For choices that tasks make; a number of its own for each worker, the same in each run.
    pub(crate) rng: Rng,
    /// Unique in the process.
    pub(crate) id: u64,
    /// Among the workers of its runtime.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) reactor: Arc<ReactorShared>,
    pub(crate) phases: Phases,
    /// Keys of started tasks that may run, and `START` marks.
    ready: Ring,
    /// Tasks not yet started, open to thieves.
    pub(crate) fresh: Owner<TaskRef>,
    /// Tasks not yet started whose closures must not leave the thread.
    pinned: RefCell<VecDeque<TaskRef>>,
    /// A task that its joiner has claimed: it starts as soon as the joiner suspends.
    handoff: Cell<Option<TaskRef>>,
    /// Whether there is one: asked at every step of the loop.
    has_handoff: Cell<bool>,
    /// A started task that goes before the line: the joiner of a task that has just ended.
    next: Cell<u32>,
    timers: RefCell<Timers<u32>>,
    /// The time when the driver was last looked at: good enough for reports, free of a clock read.
    tick: Cell<Nanos>,
    /// Entries of `fresh` whose tasks were handed over to their joiners, about.
    dead: Cell<usize>,
    /// How many tasks of this worker are suspended in the midst of their unwinding.
    pub(crate) mid_unwind: Cell<u32>,
    /// Tasks of this worker that wait for a descriptor, at whichever worker's reactor.
    pub(crate) io_waits: Cell<usize>,
    /// Tasks that have swallowed their cancellation and will never end.
    pub(crate) stuck: Cell<usize>,
    /// Tasks that parked while nobody could tell whether they unwind, or a neighbour.
    doubtful: RefCell<Vec<TaskRef>>,
}

impl std::fmt::Debug for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processor")
            .field("id", &self.id)
            .field("ready", &self.ready.len())
            .field("fresh", &self.fresh.len())
            .field("timers", &self.timers.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Processor {
    pub(crate) fn new(
        id: u64,
        index: usize,
        shared: Arc<Shared>,
        reactor: Arc<ReactorShared>,
        fresh: Owner<TaskRef>,
    ) -> Self {
        let clock = shared.config.clock.clone();
        let tick = Cell::new(clock.now());
        Processor {
            rng: Rng::new(index as u64 + 1),
            id,
            index,
            shared,
            clock,
            reactor,
            phases: Phases::new(),
            ready: Ring::new(),
            fresh,
            pinned: RefCell::default(),
            handoff: Cell::new(None),
            has_handoff: Cell::new(false),
            next: Cell::new(NOBODY),
            timers: RefCell::new(Timers::new()),
            tick,
            dead: Cell::new(0),
            // A loop that is entered while its thread unwinds would otherwise take every task for
            // unwinding.
            mid_unwind: Cell::new(u32::from(std::thread::panicking())),
            io_waits: Cell::new(0),
            stuck: Cell::new(0),
            doubtful: RefCell::default(),
        }
    }

    /// Puts a new task in line.
    #[inline]
    pub(crate) fn spawn(&self, task: TaskRef) {
        if task.spec.pinned {
            self.pinned.borrow_mut().push_back(task);
            self.ready.push(START_PINNED);
        } else {
            self.fresh.push(task);
            self.ready.push(START);
            self.shared.stealable();
        }
    }

    #[inline]
    pub(crate) fn wake(&self, task: &TaskRef) {
        self.wake_key(task.key());
    }

    #[inline]
    pub(crate) fn wake_key(&self, key: u32) {
        if self.phases.wake(key) == AfterWake::Enqueue {
            self.enqueue(key);
        }
    }

    #[inline]
    pub(crate) fn wake_next(&self, task: &TaskRef) {
        if self.phases.wake(task.key()) == AfterWake::Enqueue {
            let displaced = self.next.replace(task.key());
            if displaced != NOBODY {
                self.enqueue(displaced);
            }
        }
    }

    #[inline]
    pub(crate) fn enqueue(&self, key: u32) {
        self.ready.push(key);
    }

    /// Lets the running task start `task`, which it has claimed, when it suspends. Gives it back when
    /// another one is waiting to be handed over already.
    pub(crate) fn can_hand_over(&self) -> bool {
        !self.has_handoff.get()
    }

    /// See [`can_hand_over`](Self::can_hand_over).
    #[inline]
    pub(crate) fn hand_over(&self, task: &TaskRef) {
        task.settle(self.id);
        let runner = self.take_entry(task).unwrap_or_else(|| {
            self.dead.set(self.dead.get() + 1);
            if self.dead.get() >= MANY_DEAD && self.dead.get() * 2 > self.fresh.len() {
                self.sweep();
            }
            task.clone()
        });
        self.handoff.set(Some(runner));
        self.has_handoff.set(true);
    }

    /// Takes the entry of a task that is handed over out of the line, and its mark too, if it stands at
    /// an end: so it does when tasks are joined in the order of their spawning, and when the last of some
    /// branches is joined, behind whose entry there are only dead ones. The entry's reference is then the
    /// runner's, and nothing is counted.
    #[inline]
    fn take_entry(&self, task: &TaskRef) -> Option<TaskRef> {
        if self.fresh.is_front(task) {
            let entry = self.fresh.take_front()?;
            if entry.same(task) {
                self.ready.pop_if(START);
                return Some(entry);
            }
            // A thief was faster, and this is the one behind it: it loses its place, not more.
            self.fresh.push(entry);
            return None;
        }
        if !self.fresh.is_back(task) {
            return None;
        }
        let mut found = None;
        while let Some(entry) = self.fresh.pop_back() {
            if entry.same(task) {
                found = Some(entry);
            } else if entry.fate().is_claimed() {
                self.forget_one_dead();
            } else {
                self.fresh.push(entry);
                break;
            }
            self.ready.pop_back_if(START);
        }
        found
    }

    /// An entry of `fresh` turned out to be one whose task has been started by its joiner.
    pub(crate) fn forget_one_dead(&self) {
        self.dead.set(self.dead.get().saturating_sub(1));
    }

    /// Takes the entries of tasks that have been started, and their marks, out of the line: else a task
    /// that spawns and joins for ever would pile them up, and with them the tasks' memory.
    ///
    /// Each sweep at least halves the line, so an entry is moved twice on average.
    #[cold]
    fn sweep(&self) {
        self.dead.set(0);
        let mut is_live = VecDeque::with_capacity(self.fresh.len());
        self.fresh.retain(|task| {
            let live = !task.fate().is_claimed();
            is_live.push_back(live);
            live
        });
        // Thieves take the oldest: marks without an entry stand in front.
        let stolen = self.ready.count(START).saturating_sub(is_live.len());
        let mut index = 0;
        self.ready.retain(|entry| {
            if entry != START {
                return true;
            }
            index += 1;
            index > stolen && is_live.pop_front().unwrap_or(false)
        });
        self.shared.stealable();
    }

    #[inline]
    pub(crate) fn take_handoff(&self) -> Option<TaskRef> {
        if !self.has_handoff.replace(false) {
            return None;
        }
        self.handoff.take()
    }

    #[inline]
    pub(crate) fn take_next(&self) -> Option<u32> {
        let next = self.next.replace(NOBODY);
        (next != NOBODY).then_some(next)
    }

    /// The oldest entry in line: a key or a mark.
    #[inline]
    pub(crate) fn pop_ready(&self) -> Option<u32> {
        self.ready.pop()
    }

    /// The entry that stands this far from the front.
    #[inline]
    pub(crate) fn peek_ready(&self, ahead: usize) -> Option<u32> {
        self.ready.peek(ahead)
    }

    pub(crate) fn pop_pinned(&self) -> Option<TaskRef> {
        self.pinned.borrow_mut().pop_front()
    }

    /// Whether nobody goes before the line.
    pub(crate) fn is_in_line(&self) -> bool {
        self.next.get() == NOBODY && self.can_hand_over()
    }

    /// Whether anything here may run.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.is_in_line() && self.fresh.is_empty()
    }

    /// The task wants to be woken when nothing on this thread unwinds any more.
    pub(crate) fn doubt(&self, task: &TaskRef) {
        let mut doubtful = self.doubtful.borrow_mut();
        if !doubtful.iter().any(|other| other.same(task)) {
            doubtful.push(task.clone());
        }
    }

    /// Called between resumptions.
    #[inline]
    pub(crate) fn resolve_doubts(&self) {
        if !self.doubtful.borrow().is_empty() && !std::thread::panicking() {
            for task in self.doubtful.take() {
                self.wake(&task);
            }
        }
    }

    #[inline]
    pub(crate) fn arm(&self, deadline: Deadline, key: u32) -> TimerKey {
        self.timers.borrow_mut().insert(deadline.nanos(), key)
    }

    /// False when the timer has fired.
    #[inline]
    pub(crate) fn disarm(&self, timer: TimerKey) -> bool {
        self.timers.borrow_mut().remove(timer).is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        self.timers.borrow().next_deadline().map(Deadline::at)
    }

    pub(crate) fn has_timers(&self) -> bool {
        !self.timers.borrow().is_empty()
    }

    /// The key of a task whose timer is due.
    pub(crate) fn pop_due(&self, now: Nanos) -> Option<u32> {
        self.timers.borrow_mut().pop_due(now)
    }

    #[inline]
    pub(crate) fn tick(&self) -> Nanos {
        self.tick.get()
    }

    pub(crate) fn set_tick(&self, now: Nanos) {
        self.tick.set(now);
    }
}
