//! Whether the running line of control unwinds: the thread knows of all of them together, a scheduler of each.
//!
//! `thread::panicking()` is true for every task of a thread while one of them waits in a destructor, and
//! stays true while a coroutine is suspended in the midst of an unwinding, for good if it is leaked so.
//! Without a scheduler there is one line of control, and the thread's word is taken.

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread;

/// What unwinding carries.
pub(super) type Payload = Box<dyn Any + Send>;

/// How a scheduler answers for the running task.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) struct Scheduler {
    /// What it knows of the task's unwinding, in bits of its own; 0: it does not unwind.
    pub(crate) note: fn() -> u32,
    /// Takes such a note back, when control has come back to where it was made.
    pub(crate) put_note: fn(u32),
    /// Unwinds with a payload, and notes it.
    pub(crate) throw: fn(Payload) -> !,
}

thread_local! {
    static SCHEDULER: Cell<Option<&'static Scheduler>> = const { Cell::new(None) };
    /// Coroutines of this thread that are suspended in the midst of an unwinding.
    static AMID: Cell<u32> = const { Cell::new(0) };
}

/// Says who answers for the tasks of this thread; returns who did before.
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) fn set_scheduler(new: Option<&'static Scheduler>) -> Option<&'static Scheduler> {
    SCHEDULER.replace(new)
}

/// Whether a coroutine of this thread is suspended in the midst of an unwinding, so that
/// `thread::panicking()` says nothing of the code that runs.
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) fn is_any_amid() -> bool {
    AMID.get() != 0
}

/// What is known of the running code's unwinding.
#[derive(Clone, Copy)]
pub(super) struct State(u32);

impl State {
    /// It does not unwind.
    pub(super) const CALM: State = State(0);

    #[cold]
    pub(super) fn now() -> State {
        if !thread::panicking() {
            return State::CALM;
        }
        State(SCHEDULER.get().map_or(1, |scheduler| (scheduler.note)()))
    }

    pub(super) fn is_unwinding(self) -> bool {
        self.0 != 0
    }

    /// Control is back where this was asked: what others have noted meanwhile does not hold here.
    #[cold]
    pub(super) fn put_back(self) {
        if let Some(scheduler) = SCHEDULER.get() {
            (scheduler.put_note)(self.0);
        }
    }
}

/// Whether the running code unwinds.
pub(super) fn is_unwinding() -> bool {
    State::now().is_unwinding()
}

/// Leaves a coroutine that is in this state for its resumer, which is in another, and comes back to it.
pub(super) fn suspended_amid(state: State, resumer: State, switch_out: impl FnOnce()) {
    if !state.is_unwinding() {
        return switch_out();
    }
    AMID.set(AMID.get() + 1);
    resumer.put_back();
    switch_out();
    AMID.set(AMID.get() - 1);
    state.put_back();
}

/// Unwinds with a payload, and no panic hook.
pub(super) fn throw(payload: Payload) -> ! {
    match SCHEDULER.get() {
        Some(scheduler) => (scheduler.throw)(payload),
        None => resume_unwind(payload),
    }
}
