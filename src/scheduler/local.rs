//! The record of a running task, at the base of its own stack: how it parks and yields, what is asked of it.

mod unwind;

use std::cell::{Cell, OnceCell, RefCell};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::sync::Arc;

use crate::base::clock::{Deadline, Nanos};
use crate::coroutine::ambient::{self, Chain};
use crate::driver::timers::TimerKey;

use super::cancel::{Flag, Scopes};
use super::header::TaskId;
use super::processor::Processor;
use super::report::{Order, Row};
use super::slots::Slots;
use super::switch::{self, BaseYielder};
use super::switch_hooks::SwitchHooks;
use super::task::TaskRef;
use super::wait::{Wait, Wake};
use super::{current, packet};

/// A task suspends with the address of its innermost frame, so that its worker can have that memory ready
/// when it is resumed; this bit of it says whether it parks, and is not to be put in line again.
pub(crate) const PARK: usize = 1;
const YIELD: usize = 0;

/// Operations that may succeed at once before a task that never parks must yield.
const IO_BUDGET: u32 = 64;

/// All of it is touched by the task itself, and by its worker while the task is suspended. What every
/// switch touches comes first, on one line of the cache.
#[repr(C)]
pub(crate) struct Local {
    pub(crate) task: TaskRef,
    yielder: BaseYielder,
    /// Its slot in the worker's table.
    pub(super) key: u32,
    /// One bit for each reason why a wait must look closer: none set is the common case, and one load.
    alerts: Cell<u32>,
    io_budget: Cell<u32>,
    /// Depth of `no_park`.
    no_park: Cell<u32>,
    /// Depth of `in_cleanup`, each of which has frames on the stack.
    cleanups: Cell<u32>,
    /// Made at first use: most tasks begin, wait a little and end without.
    rare: OnceCell<Box<Rare>>,
}

/// What few tasks need.
#[derive(Default)]
pub(super) struct Rare {
    /// What the worker wants of this task at its next resumption, other than to go on.
    order: Cell<Option<Order>>,
    /// A deadlock report that came in a firm wait.
    report: Cell<Option<Arc<str>>>,
    /// Cancellations thrown and not yet arrived at their target.
    throws: Cell<u16>,
    /// Where the innermost of the stretches of `in_cleanup` begins on the stack, see `sys::unwind::fenced`;
    /// 0 outside.
    fence: Cell<usize>,
    scopes: RefCell<Scopes>,
    /// A future that it runs has polled a descriptor: see `io::Polling`.
    #[cfg(feature = "futures-io")]
    polls_io: Cell<bool>,
    /// Its task-local values.
    slots: Slots,
    /// The line that reports name in place of the wait's own, see `park::at`.
    pub(super) place: Cell<Option<&'static Location<'static>>>,
}

/// Inside the panic hook: waiting blocks the thread (soundness rule 13).
const IN_HOOK: u32 = 1;
/// Inside `no_park`.
const NO_PARK: u32 = 2;
/// There are scopes: something may be due.
const SCOPES: u32 = 4;
/// This task is unwinding, as far as we know by our own throws and the panic hook: the answer when
/// `thread::panicking()` is polluted by a neighbour (soundness rule 12). A user's own `resume_unwind` is unknown to
/// it, and so is a panic whose hook is not ours; where a mistake would abort, the frames are asked as well.
const UNWINDING: u32 = 8;
/// The last unwinding we know of was a cancellation. Stays set when the task swallows that one, until it is
/// seen not to unwind: a panic right after may be taken for a cancellation, and poisons nothing.
const CANCELLATION: u32 = 16;
/// `order` is set.
const ORDERED: u32 = 32;
/// It has described the wait that it is in.
const DESCRIBED: u32 = 64;
/// The runtime has `SwitchHooks`.
const HOOKED: u32 = 128;
/// It has, or has had, task-local values.
const SLOTS: u32 = 256;

impl Local {
    #[inline]
    pub(crate) fn new(task: TaskRef, yielder: BaseYielder, is_hooked: bool) -> Self {
        Local {
            key: task.key(),
            task,
            yielder,
            alerts: Cell::new(if is_hooked { HOOKED } else { 0 }),
            io_budget: Cell::new(IO_BUDGET),
            no_park: Cell::new(0),
            cleanups: Cell::new(0),
            rare: OnceCell::new(),
        }
    }

    #[inline]
    pub(super) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// Whether a future that it runs has polled a descriptor: see `io::Polling`.
    #[cfg(feature = "futures-io")]
    pub(crate) fn polls_io(&self) -> &Cell<bool> {
        &self.rare().polls_io
    }

    #[inline]
    fn has(&self, alert: u32) -> bool {
        self.alerts.get() & alert != 0
    }

    fn set(&self, alert: u32, on: bool) {
        let others = self.alerts.get() & !alert;
        self.alerts.set(if on { others | alert } else { others });
    }

    /// Suspends until a wake or the deadline; unwinds when a cancellation is due before or after.
    #[inline(always)]
    pub(crate) fn park(
        &self,
        processor: &Processor,
        wait: &Wait<'_>,
        place: &'static Location<'static>,
    ) -> Wake {
        self.check_may_park(wait.reason);
        self.deliver(processor, place);
        if !processor.phases.try_park(self.key) {
            return Wake::Woken;
        }
        let scope_deadline = self.nearest_deadline(processor);
        let deadline = wait.deadline.min(scope_deadline);
        let has_fired = if deadline == Deadline::NEVER {
            self.suspend_parked(processor, wait, place);
            false
        } else {
            // The guard is for a deadlock report, which unwinds: a timer that was left behind would
            // wake whoever has this task's key next.
            let armed = Armed {
                processor,
                timer: processor.arm(deadline, self.key),
            };
            self.suspend_parked(processor, wait, place);
            armed.disarm()
        };
        self.deliver(processor, place);
        // A scope's deadline that was shielded meanwhile, or thrown away by unwinding, is no time-out of
        // this wait.
        if has_fired && wait.deadline <= scope_deadline {
            Wake::TimedOut
        } else {
            Wake::Woken
        }
    }

    /// Lets the others run, then goes on. A cancellation that comes meanwhile is for the next wait.
    #[inline(always)]
    pub(crate) fn yield_now(&self, processor: &Processor, place: &'static Location<'static>) {
        self.check_may_park("task.yield");
        self.deliver(processor, place);
        self.suspend(processor, YIELD);
    }

    #[inline(always)]
    fn suspend_parked(
        &self,
        processor: &Processor,
        wait: &Wait<'_>,
        place: &'static Location<'static>,
    ) {
        let since = processor.tick();
        self.suspend(processor, PARK);
        processor.phases.enter_if_ready(self.key);
        if self.has(ORDERED) {
            self.obey_all(processor, wait, place, since);
        }
    }

    /// The worker wants something of this task, perhaps several times, before it goes on.
    #[cold]
    fn obey_all(
        &self,
        processor: &Processor,
        wait: &Wait<'_>,
        place: &'static Location<'static>,
        since: Nanos,
    ) {
        while let Some(order) = self.rare().order.take() {
            self.set(ORDERED, false);
            if self.obey(processor, order, wait, place, since) {
                break;
            }
            self.suspend(processor, PARK);
            processor.phases.enter_if_ready(self.key);
        }
        self.set(DESCRIBED, false);
        if !wait.is_firm {
            // The wait that could not be unwound is over, and the next one may be.
            self.listen();
        }
    }

    /// Whether the task is in a wait that it has described: a report that comes late, when it has been
    /// woken and waits for something else, is not for it.
    pub(super) fn is_described(&self) -> bool {
        self.has(DESCRIBED)
    }

    /// Still parked, on this task's own stack: the one place that may look at what it waits for. True
    /// when the wait is over.
    #[cold]
    fn obey(
        &self,
        processor: &Processor,
        order: Order,
        wait: &Wait<'_>,
        place: &'static Location<'static>,
        since: Nanos,
    ) -> bool {
        match order {
            Order::Describe(rows) => {
                self.set(DESCRIBED, true);
                let place = self.rare().place.get().unwrap_or(place);
                rows.push(Row::new(&self.task, wait, place, since));
            }
            Order::Deadlock(_) if self.is_unwinding(processor) || self.cleanups.get() != 0 => {
                // A panic out of a destructor would abort. It stays parked; the report will be logged.
                self.task.set_told(true);
            }
            Order::Deadlock(report) if wait.is_firm => {
                self.task.set_told(true);
                self.rare().report.set(Some(report));
                processor.phases.enter(self.key);
                return true;
            }
            Order::Deadlock(report) => {
                self.set(DESCRIBED, false);
                processor.phases.enter(self.key);
                panic!("{report}");
            }
        }
        false
    }

    /// The deadlock report that came while this task was in a firm wait. It is told of no other before
    /// [`listen`](Self::listen).
    pub(crate) fn take_report(&self) -> Option<Arc<str>> {
        self.rare.get().and_then(|rare| rare.report.take())
    }

    /// The firm wait is over.
    pub(crate) fn listen(&self) {
        self.task.set_told(false);
    }

    #[inline(always)]
    fn suspend(&self, processor: &Processor, word: usize) {
        if std::thread::panicking() {
            return self.suspend_amid_panic(processor, word);
        }
        if self.has(UNWINDING | HOOKED) {
            return self.suspend_alert(word);
        }
        self.switch_out(word);
    }

    #[cold]
    fn suspend_alert(&self, word: usize) {
        self.forget_unwinding();
        self.left();
        self.switch_out(word);
        self.entered();
    }

    /// The task has begun or gone on.
    #[inline]
    pub(super) fn entered(&self) {
        if self.has(HOOKED) {
            self.call_hook(|hooks| &hooks.enter);
        }
    }

    /// The task is about to stop, or has ended.
    #[inline]
    pub(super) fn left(&self) {
        if self.has(HOOKED) {
            self.call_hook(|hooks| &hooks.leave);
        }
    }

    /// Its panic has been printed, and has nowhere to go: the task, perhaps one that unwinds, is innocent.
    #[cold]
    fn call_hook(&self, which: impl Fn(&SwitchHooks) -> &Box<dyn Fn(TaskId) + Send + Sync>) {
        let note = self.alerts.get() & (UNWINDING | CANCELLATION);
        self.enter_no_park();
        // Lest a `checkpoint` in there spends the task's cancellation.
        self.push_shield();
        current::with_processor(|processor| {
            let hooks = processor.and_then(|here| here.shared.config.switch_hooks.as_ref());
            if let Some(hooks) = hooks {
                let _has_panicked = packet::caught(|| which(hooks)(self.task.id));
            }
        });
        self.pop_scope();
        self.leave_no_park();
        self.put_unwinding_note(note);
    }

    /// Off this task's stack, and back when the worker resumes it. What the thread knows of the running
    /// task is put back by the task itself, from its own stack, which no worker needs to remember.
    ///
    /// Always inlined, up to `task::yield_now` in the user's loop: the processor predicts where a `ret`
    /// goes by the calls before it, and those were the worker's. Each function that returns between this
    /// switch and the task's own code costs two wrong guesses, some 10 ns.
    #[inline(always)]
    fn switch_out(&self, how: usize) {
        let chain = ambient::exchange(Chain::EMPTY);
        // Of nothing, for to write something there would be one line of the cache more.
        let nothing = MaybeUninit::<u8>::uninit();
        let frame = (&raw const nothing).addr();
        self.yielder.suspend(frame & !PARK | how);
        switch::set_local(std::ptr::from_ref(self).cast());
        ambient::exchange(chain);
        // Not written without need: a line that is only read need not be written back to memory.
        if self.io_budget.get() != IO_BUDGET {
            self.io_budget.set(IO_BUDGET);
        }
    }

    /// `thread::panicking()` is true for every task of the thread while one of them waits in a destructor.
    #[cold]
    fn suspend_amid_panic(&self, processor: &Processor, word: usize) {
        self.left();
        let is_unwinding = self.is_unwinding(processor);
        if is_unwinding && self.is_in_doubt(processor) {
            // What is due to it is not delivered. It shall look again when there is no doubt any more.
            processor.doubt(&self.task);
        }
        let count = u32::from(is_unwinding || self.cleanups.get() != 0);
        self.set(UNWINDING, is_unwinding);
        processor.mid_unwind.set(processor.mid_unwind.get() + count);
        self.switch_out(word);
        processor.mid_unwind.set(processor.mid_unwind.get() - count);
        self.entered();
    }

    #[inline]
    pub(crate) fn is_in_hook(&self) -> bool {
        self.has(IN_HOOK)
    }

    /// Panics where no wait is allowed.
    #[inline]
    #[track_caller]
    pub(crate) fn check_may_park(&self, reason: &'static str) {
        if self.has(NO_PARK) {
            refuse_to_park(reason);
        }
    }

    /// Its task-local values.
    pub(super) fn slots(&self) -> &Slots {
        self.set(SLOTS, true);
        &self.rare().slots
    }

    /// Whether somebody has asked for them.
    #[inline]
    pub(super) fn has_slots(&self) -> bool {
        self.has(SLOTS)
    }

    /// Drops the task-local values at the task's end. A cancellation has done its work by then, and does not
    /// disturb their destructors.
    #[inline]
    pub(super) fn end_slots(&self) {
        if self.has(SLOTS) {
            self.end_slots_now();
        }
    }

    #[cold]
    fn end_slots_now(&self) {
        self.push_shield();
        self.slots().end();
        self.pop_scope();
    }

    /// The task's body is over, and its outcome handed over.
    #[inline]
    pub(super) fn over(&self) {
        if self.has(SLOTS | HOOKED) {
            // The destructor of an outcome that nobody wants may have made new values.
            self.end_slots();
            self.left();
        }
    }

    pub(crate) fn enter_no_park(&self) {
        self.no_park.set(self.no_park.get() + 1);
        self.set(NO_PARK, true);
    }

    pub(crate) fn leave_no_park(&self) {
        self.no_park.set(self.no_park.get() - 1);
        self.set(NO_PARK, self.no_park.get() > 0);
    }

    pub(crate) fn push_scope(&self, at: Deadline, flag: Option<Arc<Flag>>) -> u64 {
        self.set(SCOPES, true);
        self.rare().scopes.borrow_mut().push(at, flag)
    }

    pub(crate) fn set_deadline(&self, scope: u64, at: Deadline) {
        self.rare().scopes.borrow_mut().set_deadline(scope, at);
    }

    pub(crate) fn push_shield(&self) {
        self.set(SCOPES, true);
        self.rare().scopes.borrow_mut().push_shield();
    }

    pub(crate) fn pop_scope(&self) {
        let mut scopes = self.rare().scopes.borrow_mut();
        scopes.pop();
        self.set(SCOPES, !scopes.is_empty());
    }

    /// While unwinding nothing is delivered, so no scope's deadline may wake the task either: it would
    /// find itself woken for nothing, again and again.
    fn nearest_scope(&self, processor: &Processor) -> Deadline {
        if cfg!(panic = "abort") || self.is_unwinding(processor) {
            return Deadline::NEVER;
        }
        self.rare().scopes.borrow().nearest()
    }

    /// The earliest deadline that would unwind the task's waits here.
    pub(crate) fn nearest_deadline(&self, processor: &Processor) -> Deadline {
        if self.has(SCOPES) {
            self.nearest_scope(processor)
        } else {
            Deadline::NEVER
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.set(ORDERED, true);
        self.rare().order.set(Some(order));
    }

    /// Counts an operation that succeeded without parking; true when it is the neighbours' turn.
    #[inline]
    pub(crate) fn spend(&self) -> bool {
        let left = self.io_budget.get();
        self.io_budget.set(left.saturating_sub(1));
        // Nothing waits here, so `no_park` has no cause to complain.
        left == 0 && !self.has(NO_PARK)
    }
}

/// Apart, for the message's arguments would be laid out on the stack of each wait.
#[cold]
#[inline(never)]
#[track_caller]
fn refuse_to_park(reason: &'static str) -> ! {
    panic!(
        "a wait ({reason}) inside no_park: code on this thread relies on scopes that nest, so no other \
         task may run before it leaves"
    );
}

/// A timer of a task that is parked.
struct Armed<'a> {
    processor: &'a Processor,
    timer: TimerKey,
}

impl Armed<'_> {
    /// True when the timer has fired.
    #[inline]
    fn disarm(self) -> bool {
        let has_fired = !self.processor.disarm(self.timer);
        std::mem::forget(self);
        has_fired
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        let _has_not_fired = self.processor.disarm(self.timer);
    }
}
