//! The loop of one worker: start, resume, wake, poll, steal, sleep, stop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::base::clock::{Deadline, real_now};
use crate::base::firm::Firm;
use crate::coroutine::ambient::{self, Chain};
use crate::coroutine::raw::{RawCoroutine, RawState};
use crate::coroutine::unwinding;
use crate::driver::reactor::{Reactor, Turn};
use crate::stack::{Kind, Label, Stack, StackPool, overflow};
use crate::sys::cpu::prefetch;

use super::blocks::{Blocks, InUse};
use super::current::{self, Enter, Suspended};
use super::deque::Owner;
use super::header::AfterWake;
use super::inbox::{Address, Letter, Mailbox};
use super::local::{Local, PARK};
use super::processor::{Processor, START, START_PINNED};
use super::shared::Shared;
use super::sleep::{Commit, Epoch, Hope, Risen};
use super::standstill::Verdict;
use super::switch::BaseYielder;
use super::task::TaskRef;
use super::{packet, park, wake};

/// Resumptions between two looks at the outside world.
const BUDGET: usize = 64;

/// How many tasks ahead memory is asked for: far enough to arrive in time, near enough to be there still.
const AHEAD: usize = 8;

/// How long a worker must sleep before it gives back memory of stacks, and between two steps of that.
const TRIM_AFTER: Duration = Duration::from_millis(200);
const TRIM_STEP: Duration = Duration::from_millis(20);

/// How long tasks that hand over to each other may keep the line waiting.
const SLICE: Duration = Duration::from_millis(10);

/// What becomes a worker on the thread that runs it.
#[derive(Debug)]
pub(crate) struct Berth {
    pub(crate) index: usize,
    pub(crate) reactor: Reactor,
    pub(crate) fresh: Owner<TaskRef>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// A task between its first resumption and its last.
#[repr(align(64))]
pub(super) struct Started {
    coroutine: RawCoroutine,
    suspended: Suspended,
    /// Where the task's header is, to be asked for ahead of time; never read through.
    header: *const u64,
}

impl Started {
    pub(super) fn suspended(&self) -> &Suspended {
        &self.suspended
    }
}

/// What the loop alone reaches; what tasks reach as well is in the processor.
pub(super) struct Worker<'p> {
    pub(super) processor: &'p Processor,
    mailbox: Arc<Mailbox>,
    reactor: Reactor,
    pub(super) tasks: Slab<Started>,
    stacks: StackPool,
    /// Claimed tasks for which there was no memory; they start as stacks come free.
    pub(super) stackless: VecDeque<(TaskRef, io::Error)>,
    letters: Vec<Letter>,
    pub(super) is_stopping: bool,
    /// Stacks have come back since the worker last went to sleep.
    has_released: bool,
    /// When resting stacks are looked at.
    trim_at: Deadline,
    /// Since when tasks have handed over to each other without a break.
    chain_began: Option<Instant>,
}

/// Runs a worker on this thread until its runtime stops; `first` is queued before anything else.
///
/// # Errors
///
/// Gives everything back when the thread runs a worker already.
pub(crate) fn run(
    berth: Berth,
    shared: Arc<Shared>,
    first: Option<TaskRef>,
) -> Result<(), NestedRun> {
    let Berth {
        index,
        reactor,
        fresh,
        mailbox,
    } = berth;
    overflow::install();
    let blocks = Blocks::new();
    let address = Address::new(mailbox.clone());
    let processor = Processor::new(
        address.id,
        index,
        shared.clone(),
        reactor.shared().clone(),
        fresh,
    );
    let Some(_entered) = Enter::new(&processor) else {
        return Err(NestedRun);
    };
    let _in_use = InUse::new(&blocks);
    // A barrier: no suspend or switch in here reaches a coroutine below this loop.
    let outer = ambient::exchange(Chain::EMPTY);
    let outer_scheduler = unwinding::set_scheduler(Some(&park::FOR_COROUTINES));
    shared.own_threads.fetch_add(1, Ordering::Relaxed);
    if let Some(first) = first {
        processor.spawn(first);
    }
    let mut worker = Worker {
        processor: &processor,
        mailbox,
        reactor,
        tasks: Slab::new(),
        stacks: StackPool::new(),
        stackless: VecDeque::new(),
        letters: Vec::new(),
        is_stopping: false,
        has_released: false,
        trim_at: Deadline::NEVER,
        chain_began: None,
    };
    // Tasks on this thread are borrowed from by tasks on others, and borrow from the caller of `run`.
    let firm = Firm::begin("a worker's loop");
    while worker.turn() {}
    firm.end();
    shared.end_of_worker(index, false);
    shared.own_threads.fetch_sub(1, Ordering::Relaxed);
    unwinding::set_scheduler(outer_scheduler);
    ambient::exchange(outer);
    Ok(())
}

/// The thread runs a worker already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NestedRun;

impl Worker<'_> {
    /// One round; false when the worker has stopped and nothing of it is left.
    fn turn(&mut self) -> bool {
        let is_busy = self.run_ready();
        self.processor.resolve_doubts();
        self.read_letters();
        self.fire_timers();
        if self.processor.shared.has_injected() {
            self.take_injected();
        }
        if !self.stackless.is_empty() {
            self.start_stackless();
        }
        if is_busy || !self.processor.is_idle() {
            self.stop_search();
            let _ = self.poll(Deadline::PASSED);
            return true;
        }
        if self.search() {
            return true;
        }
        if self.is_stopping && self.is_drained() {
            return false;
        }
        if self.is_stopping && self.is_stuck() {
            self.processor
                .shared
                .end_of_worker(self.processor.index, true);
        }
        self.sleep();
        true
    }

    /// Runs what is ready, at most a budget of it; true when the budget was not enough.
    fn run_ready(&mut self) -> bool {
        for _ in 0..BUDGET {
            if !self.run_one() {
                self.chain_began = None;
                return false;
            }
        }
        self.break_chain();
        true
    }

    #[inline]
    fn run_one(&mut self) -> bool {
        let processor = self.processor;
        if let Some(task) = processor.take_handoff() {
            self.start(task);
        } else if let Some(key) = processor.take_next() {
            self.resume(key);
        } else {
            match processor.pop_ready() {
                None => return false,
                Some(START) => {
                    if let Some(task) = processor.fresh.take_front() {
                        self.claim_and_start(task);
                    }
                }
                Some(START_PINNED) => {
                    if let Some(task) = processor.pop_pinned() {
                        self.claim_and_start(task);
                    }
                }
                Some(key) => {
                    self.prefetch();
                    self.resume(key);
                }
            }
        }
        true
    }

    /// With many tasks in line, each lies in memory that was last touched long ago: asks for it a few
    /// tasks ahead.
    #[inline]
    fn prefetch(&self) {
        let ahead = self.processor.peek_ready(AHEAD);
        if let Some(started) = ahead.and_then(|key| self.tasks.get(key as usize)) {
            started.suspended.prefetch();
            prefetch(started.header);
        }
    }

    /// Tasks that hand over to each other inherit the slice of the first; when it is over, the line gets
    /// its turn.
    fn break_chain(&mut self) {
        if self.processor.is_in_line() {
            self.chain_began = None;
            return;
        }
        let began = *self.chain_began.get_or_insert_with(Instant::now);
        if began.elapsed() > SLICE {
            self.chain_began = None;
            if let Some(key) = self.processor.take_next() {
                self.processor.enqueue(key);
            }
            if let Some(task) = self.processor.take_handoff() {
                self.start(task);
            }
        }
    }

    fn claim_and_start(&mut self, queued: TaskRef) {
        match current::claim(&queued) {
            Some(task) => {
                task.settle(self.processor.id);
                self.start(task);
            }
            // Its joiner has started it; this was the entry that it left behind.
            None => self.processor.forget_one_dead(),
        }
    }

    /// Starts a task that this worker has claimed and settled.
    #[inline]
    fn start(&mut self, task: TaskRef) {
        match self.stacks.acquire(task.spec.stack_size) {
            Ok(stack) => self.start_on(stack, task),
            Err(error) if self.tasks.is_empty() => self.refuse(task, error),
            Err(error) => self.stackless.push_back((task, error)),
        }
    }

    #[inline]
    fn start_on(&mut self, stack: Stack, task: TaskRef) {
        stack.set_label(Label {
            kind: Kind::Task,
            id: task.id.0,
            place: task.spec.place,
            name: task.name(),
        });
        if self.is_stopping {
            // What is spawned while stopping is spawned cancelled.
            let _ = task.cancel();
        }
        let entry = self.tasks.vacant_entry();
        let key = u32::try_from(entry.key()).expect("more than four thousand million tasks");
        task.set_key(key);
        let header = task.hot();
        let coroutine = RawCoroutine::new(stack, move |yielder| {
            let local = Local::new(task, BaseYielder::new(yielder));
            current::run_task(&local);
            local.task.finish();
        });
        entry.insert(Started {
            coroutine,
            suspended: Suspended::FRESH,
            header,
        });
        self.resume(key);
    }

    #[inline]
    pub(super) fn resume(&mut self, key: u32) {
        let started = &mut self.tasks[key as usize];
        match started.coroutine.resume() {
            RawState::Suspended(word) => {
                started.suspended = Suspended::take(word);
                if word & PARK == 0 {
                    self.processor.enqueue(key);
                }
            }
            RawState::Finished => self.finish(key),
        }
    }

    #[inline]
    fn finish(&mut self, key: u32) {
        let started = self.tasks.remove(key as usize);
        if let Some(stack) = started.coroutine.into_stack() {
            self.stacks.release(stack);
            self.has_released = true;
        }
    }

    /// A stack may have come free for those that got none. Not done where it comes free, lest as many
    /// tasks as wait end inside of each other.
    fn start_stackless(&mut self) {
        while let Some((task, _)) = self.stackless.pop_front() {
            match self.stacks.acquire(task.spec.stack_size) {
                Ok(stack) => self.start_on(stack, task),
                Err(error) if self.tasks.is_empty() => self.refuse(task, error),
                Err(error) => return self.stackless.push_front((task, error)),
            }
        }
    }

    /// Ends a task that can get no stack. Its closure is dropped here, where a wait blocks the thread.
    #[cold]
    pub(super) fn refuse(&self, task: TaskRef, why: io::Error) {
        current::refuse_task(&task, why);
        task.finish();
        self.processor.shared.dismiss();
    }

    fn read_letters(&mut self) {
        if !self.mailbox.is_filled() {
            return;
        }
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            self.obey(letter);
        }
        self.letters = letters;
    }

    fn obey(&mut self, letter: Letter) {
        match letter {
            Letter::Wake(task) => wake::deliver(self.processor, &task),
            Letter::Describe(collector) => self.describe(&collector),
            Letter::Settle(collector) => self.settle(&collector),
            Letter::Deadlock(main, report) => self.end_with(&main, report),
            Letter::Stop => self.begin_stop(),
        }
    }

    fn fire_timers(&mut self) {
        if !self.processor.has_timers() {
            return;
        }
        let now = self.processor.clock.now();
        self.processor.set_tick(now);
        while let Some(key) = self.processor.pop_due(now) {
            self.wake_key(key);
        }
    }

    fn wake_key(&self, key: u32) {
        let after = self
            .tasks
            .get(key as usize)
            .map_or(AfterWake::Nothing, |started| {
                let wake = |local: Option<&Local>| local.map(|local| local.task.wake());
                started
                    .suspended
                    .inspect(wake)
                    .unwrap_or(AfterWake::Nothing)
            });
        if after == AfterWake::Enqueue {
            self.processor.enqueue(key);
        }
    }

    fn take_injected(&self) {
        let fresh = |task| {
            self.processor.fresh.push(task);
            self.processor.enqueue(START);
        };
        let taken = self.processor.shared.take_injected(fresh);
        if taken > 1 {
            self.processor.shared.stealable();
        }
    }

    /// Looks for tasks that others have not started yet; true when it has taken some.
    fn search(&mut self) -> bool {
        let shared = &self.processor.shared;
        if shared.config.workers == 1 || self.is_stopping {
            return false;
        }
        shared.sleepers.start_search(self.processor.index);
        let had = self.processor.fresh.len();
        let Some(task) = shared.steal(self.processor.index, &self.processor.fresh) else {
            return false;
        };
        for _ in had..self.processor.fresh.len() {
            self.processor.enqueue(START);
        }
        self.stop_search();
        self.claim_and_start(task);
        true
    }

    /// There is something to run, from wherever: passes the search on if it was this worker's.
    fn stop_search(&self) {
        let shared = &self.processor.shared;
        let more = || shared.has_stealable();
        if let Some(other) = shared.sleepers.stop_search(self.processor.index, more) {
            shared.mailboxes[other].unpark();
        }
    }

    /// Looks at the outside world, at most until the deadline; `PASSED` only looks.
    pub(super) fn poll(&mut self, until: Deadline) -> Turn {
        if until == Deadline::PASSED && self.processor.reactor.registered() == 0 {
            return Turn::default();
        }
        match self.reactor.turn(until) {
            Ok(turn) => turn,
            // Out of memory for the kernel's list, or a broken descriptor: nothing that waiting mends.
            Err(error) => panic!(
                "the poll of worker {} failed: {error}",
                self.processor.index
            ),
        }
    }

    /// Gives back memory of stacks that rest since the last burst, a little at a time; sets when to look
    /// again, or never: an idle worker whose stacks are trimmed is not woken for it.
    fn trim(&mut self) {
        let has_more = self.stacks.trim();
        self.trim_at = if has_more {
            Deadline::after(real_now(), TRIM_STEP)
        } else {
            Deadline::NEVER
        };
    }

    fn sleep(&mut self) {
        let processor = self.processor;
        let shared = &processor.shared;
        if processor.clock.is_virtual() && self.advance() {
            return;
        }
        if std::mem::take(&mut self.has_released) {
            self.trim_at = Deadline::after(real_now(), TRIM_AFTER);
        }
        shared.sleepers.prepare_sleep(processor.index);
        if self.mailbox.is_filled()
            || shared.has_injected()
            || self.could_steal()
            || self.could_advance()
        {
            shared.sleepers.cancel_sleep(processor.index);
            return;
        }
        // Not what waits at this worker's reactor: that may be for tasks of others, who answer for it.
        let is_waiting = processor.has_timers() || processor.io_waits.get() > 0;
        let hope = if is_waiting {
            Hope::Hopeful
        } else {
            Hope::Hopeless
        };
        let look = || shared.is_quiet();
        let (limit, alert) = match shared.sleepers.commit_sleep(processor.index, hope, look) {
            Commit::Woken => return,
            Commit::Sleep => (self.next_deadline(), None),
            Commit::Quiescent(epoch) => match self.judge(epoch) {
                Verdict::Awake => return,
                Verdict::Wait => (Deadline::NEVER, None),
                Verdict::Grace(until) => (until, Some(epoch)),
            },
        };
        self.poll_asleep(limit, alert);
    }

    /// Polls until somebody or something wakes this worker; answers questions in between.
    fn poll_asleep(&mut self, mut limit: Deadline, mut alert: Option<Epoch>) {
        let processor = self.processor;
        let sleepers = &processor.shared.sleepers;
        loop {
            let turn = self.poll(limit.min(self.trim_at));
            if turn == Turn::default() && self.trim_at.is_due(real_now()) {
                // Nobody has woken this worker, so it need not rise for it.
                self.trim();
                continue;
            }
            // A poll may end early; then the worker rises, and the time of grace begins anew.
            if let Some(epoch) = alert.take()
                && limit.is_due(real_now())
                && processor.is_idle()
                && sleepers.is_still(epoch)
            {
                self.ask_all(epoch);
                limit = Deadline::NEVER;
                continue;
            }
            match sleepers.rise(processor.index) {
                Risen::Awake => {
                    // What parks from now on says so in reports; the clock is read once a sleep for it.
                    processor.set_tick(processor.clock.now());
                    if !processor.is_idle() {
                        // The poll itself has woken tasks, and they run before this worker looks around.
                        self.stop_search();
                    }
                    return;
                }
                Risen::Asked => {
                    // All of them: the last to answer a question asks the judge, who may be this worker,
                    // and leaving the sleep over that would end the epoch that the answer is for.
                    while self.mailbox.is_filled() {
                        self.read_letters();
                    }
                    if !processor.is_idle() {
                        sleepers.cancel_sleep(processor.index);
                        return;
                    }
                    if !sleepers.answered(processor.index) {
                        return;
                    }
                }
            }
        }
    }

    fn next_deadline(&self) -> Deadline {
        // The virtual clock does not move by itself: whoever sleeps under it waits for a wake.
        if self.processor.clock.is_virtual() {
            return Deadline::NEVER;
        }
        self.processor.next_deadline().unwrap_or(Deadline::NEVER)
    }

    /// Under a virtual clock: looks outside once more, then jumps to the next deadline, unless something
    /// outside is at work whose end must come first. True when there may be something to run.
    fn advance(&mut self) -> bool {
        let _ = self.poll(Deadline::PASSED);
        self.read_letters();
        if !self.processor.is_idle() || self.processor.shared.has_injected() {
            return true;
        }
        let Some(deadline) = self.processor.next_deadline() else {
            return false;
        };
        if self.processor.shared.sleepers.has_outside() {
            return false;
        }
        self.processor.clock.advance_to(deadline);
        true
    }

    /// Under a virtual clock: whether what was outside has ended since `advance` saw it. `outside_ended`
    /// wakes a worker that is asleep; this is the look of one that was about to be.
    fn could_advance(&self) -> bool {
        let processor = self.processor;
        processor.clock.is_virtual()
            && processor.has_timers()
            && !processor.shared.sleepers.has_outside()
    }

    fn could_steal(&self) -> bool {
        let shared = &self.processor.shared;
        !self.is_stopping && shared.config.workers > 1 && shared.has_stealable()
    }

    fn begin_stop(&mut self) {
        self.is_stopping = true;
        for (_, started) in &self.tasks {
            started.suspended.inspect(|local| {
                if let Some(local) = local {
                    packet::cancel(&local.task);
                }
            });
        }
    }

    /// Nothing of it is left to run; in programs that abort on panic, nothing that will ever be ready. There
    /// a task cannot be unwound: its stack is leaked, with all that lies on it.
    fn is_drained(&self) -> bool {
        (self.tasks.is_empty() || cfg!(panic = "abort")) && self.is_quiet()
    }

    /// Of its tasks those are left that will never end. They stay parked on this thread for as long as the
    /// process lives, for others may borrow from their frames and from the thread's locals.
    fn is_stuck(&self) -> bool {
        let stuck = self.processor.stuck.get();
        stuck != 0 && stuck == self.tasks.len() && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        self.stackless.is_empty()
            && self.processor.is_idle()
            && !self.mailbox.is_filled()
            && !self.processor.shared.has_injected()
    }
}
