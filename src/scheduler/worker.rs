//! The loop of one worker: start, resume, wake, poll, steal, sleep, stop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::base::clock::Deadline;
use crate::base::firm::Firm;
use crate::coroutine::ambient::{self, Chain};
use crate::coroutine::raw::{RawCoroutine, RawState};
use crate::coroutine::unwinding;
use crate::driver::reactor::Reactor;
use crate::stack::{Kind, Label, Stack, StackPool, overflow};
use crate::sys::cpu::prefetch;

use super::blocks::{Blocks, InUse};
use super::current::{self, Enter, Suspended};
use super::deque::Owner;
use super::header::Claim;
use super::inbox::{Address, Letter, Mailbox};
use super::local::{Local, PARK};
use super::patience::Patience;
use super::phases::Phases;
use super::processor::{Processor, START, START_PINNED};
use super::shared::Shared;
use super::switch::BaseYielder;
use super::task::TaskRef;
use super::{packet, park, wake};

/// Resumptions between two looks at the outside world.
const BUDGET: usize = 64;

/// How many tasks ahead memory is asked for: far enough to arrive in time, near enough to be there still.
const AHEAD: usize = 8;
const FAR_AHEAD: usize = 2 * AHEAD;

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
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) reactor: Reactor,
    pub(super) tasks: Slab<Started>,
    pub(super) stacks: StackPool,
    /// Claimed tasks for which there was no memory; they start as stacks come free.
    pub(super) stackless: VecDeque<(TaskRef, io::Error)>,
    letters: Vec<Letter>,
    pub(super) patience: Patience,
    pub(super) is_stopping: bool,
    /// The thread is that of `run`'s caller.
    is_callers: bool,
    /// Stacks have come back since the worker last went to sleep.
    pub(super) has_released: bool,
    /// When resting stacks are looked at.
    pub(super) trim_at: Deadline,
    /// When tasks that will never end are reported again, by the real clock.
    pub(super) nag_at: Deadline,
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
    let is_callers = first.is_some();
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
        patience: Patience::default(),
        is_stopping: false,
        is_callers,
        has_released: false,
        trim_at: Deadline::NEVER,
        nag_at: Deadline::NEVER,
        chain_began: None,
    };
    // Tasks on this thread are borrowed from by tasks on others, and borrow from the caller of `run`.
    let firm = Firm::begin("a worker's loop");
    while worker.turn() {}
    firm.end();
    drop(worker);
    if shared.is_starved() {
        shared.feed(false);
    }
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
        if self.processor.stuck.get() != 0 {
            self.nag();
        }
        if is_busy || !self.processor.is_idle() {
            self.stop_search();
            let _ = self.poll(Deadline::PASSED);
            return true;
        }
        if self.search() || self.look_out() {
            return true;
        }
        if self.is_stopping && self.is_drained() {
            return false;
        }
        if cfg!(panic = "abort") && self.is_stopping && self.is_quiet() {
            return self.leave_tasks();
        }
        if self.is_stopping && self.is_stuck() {
            self.abort_if_stuck();
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
                    self.prefetch_fresh();
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
                    self.prefetch(key);
                    self.resume(key);
                }
            }
        }
        true
    }

    /// With many tasks in line, each lies in memory that was last touched long ago: asks for it a few
    /// tasks ahead. Where that is stands in the task's line of the table, which is asked for earlier still.
    #[inline]
    fn prefetch(&self, key: u32) {
        let processor = self.processor;
        if let Some(far) = processor.peek_ready(FAR_AHEAD)
            && let Some(started) = self.tasks.get(key as usize)
        {
            // Counted from one that is there: to look it up would be to touch it.
            prefetch(std::ptr::from_ref(started).wrapping_offset(far as isize - key as isize));
        }
        if let Some(near) = processor.peek_ready(AHEAD)
            && let Some(started) = self.tasks.get(near as usize)
        {
            started.suspended.prefetch();
            prefetch(started.header);
        }
    }

    /// The same for tasks that have not started: the task, and the stack that it will get.
    #[inline]
    fn prefetch_fresh(&self) {
        let task = self.processor.fresh.ahead(AHEAD as u64).cast::<[u8; 64]>();
        if !task.is_null() {
            for line in 0..3 {
                prefetch(task.wrapping_offset(line));
            }
            self.stacks
                .prefetch(self.processor.shared.config.stack_size, AHEAD);
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

    pub(super) fn claim_and_start(&mut self, task: TaskRef) {
        match task.claim() {
            Claim::Won => {
                task.settle(self.processor.id);
                self.start(task);
            }
            // Its joiner has started it; this was the entry that it left behind.
            Claim::Lost => self.processor.forget_one_dead(),
        }
    }

    /// Starts a task that this worker has claimed and settled.
    #[inline]
    fn start(&mut self, task: TaskRef) {
        match self.stacks.acquire(task.spec.stack_size) {
            Ok(stack) => self.start_on(stack, task),
            Err(error) if self.is_without_hope() => self.refuse(task, error),
            Err(error) => self.stackless.push_back((task, error)),
        }
    }

    /// Whether no task is there that could leave its stack to another.
    #[cold]
    fn is_without_hope(&self) -> bool {
        self.tasks.is_empty() && self.processor.shared.config.workers == 1
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
        self.processor.phases.begin(key);
        let header = task.hot();
        let is_hooked = self.processor.shared.config.switch_hooks.is_some();
        let coroutine = RawCoroutine::new(stack, move |yielder| {
            let local = Local::new(task, BaseYielder::new(yielder), is_hooked);
            current::run_task(&local);
            local.task.set_key(Phases::NO_KEY);
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
        self.processor.phases.end(key);
        if let Some(stack) = started.coroutine.into_stack() {
            self.stacks.release(stack);
            self.has_released = true;
            if self.processor.shared.is_starved() {
                self.feed();
            }
        }
    }

    /// A stack may have come free for those that got none. Not done where it comes free, lest as many
    /// tasks as wait end inside of each other.
    fn start_stackless(&mut self) {
        while let Some((task, _)) = self.stackless.pop_front() {
            match self.stacks.acquire(task.spec.stack_size) {
                Ok(stack) => self.start_on(stack, task),
                Err(error) if self.is_without_hope() => self.refuse(task, error),
                Err(error) => {
                    self.stackless.push_front((task, error));
                    return self.processor.shared.starve(self.processor.index);
                }
            }
        }
    }

    /// Gives what rests here to workers whose tasks wait for it, unless this one's own do.
    #[cold]
    fn feed(&mut self) {
        if self.stackless.is_empty() && self.stacks.give_all() {
            self.processor.shared.feed(false);
        }
    }

    /// No stack will ever come free for the tasks that wait for one.
    #[cold]
    pub(super) fn refuse_stackless(&mut self) {
        self.start_stackless();
        while let Some((task, error)) = self.stackless.pop_front() {
            self.refuse(task, error);
        }
    }

    /// Ends a task that can get no stack. Its closure is dropped here, where a wait blocks the thread.
    #[cold]
    pub(super) fn refuse(&self, task: TaskRef, why: io::Error) {
        current::refuse_task(&task, why);
        self.processor.shared.dismiss();
    }

    /// Whether there were any.
    pub(super) fn read_letters(&mut self) -> bool {
        if !self.mailbox.is_filled() {
            return false;
        }
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        for letter in letters.drain(..) {
            self.obey(letter);
        }
        self.letters = letters;
        true
    }

    fn obey(&mut self, letter: Letter) {
        match letter {
            Letter::Wake(task) => wake::deliver(self.processor, &task),
            Letter::WakeKey(key) => self.processor.wake_key(key),
            Letter::Start(task) => self.processor.spawn(task),
            Letter::Describe(collector) => self.describe(&collector),
            Letter::Settle(collector) => self.settle(&collector),
            Letter::Deadlock(main, report) => self.end_with(&main, report),
            Letter::SpareStacks => self.feed(),
            Letter::Stacks { is_hopeless: true } => self.refuse_stackless(),
            // That is what each turn does.
            Letter::Stacks { is_hopeless: false } => {}
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
            self.processor.wake_key(key);
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
        self.tasks.is_empty() && self.is_quiet()
    }

    /// Without unwinding, tasks that are parked at a stop stay so. None of them runs again, for they may
    /// borrow from each other, and from the locals of each other's threads: a background worker keeps its
    /// thread, asleep, for as long as the process lives; the caller of `run`, whose thread it is not ours
    /// to keep, goes on when every other worker has come to this. False: the loop ends.
    fn leave_tasks(&self) -> bool {
        self.tell_joiners();
        if self.is_callers {
            return false;
        }
        self.processor
            .shared
            .end_of_worker(self.processor.index, true);
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "this thread runs nothing any more"
            )]
            std::thread::park();
        }
    }

    /// Whoever joins a task that stays behind is told that it was cancelled.
    fn tell_joiners(&self) {
        for (_, started) in &self.tasks {
            started.suspended.inspect(|local| {
                if let Some(local) = local {
                    current::leak_task(local);
                }
            });
        }
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
