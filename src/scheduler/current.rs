//! The running thread's worker and task: the one door through which code on a task's stack reaches both.
#![allow(unsafe_code)]

use std::panic::Location;
use std::ptr;

use crate::sys::cpu::prefetch;

use super::header::Claim;
use super::local::{Local, PARK};
use super::processor::Processor;
use super::switch;
use super::task::TaskRef;
use super::wait::{Wait, Wake};

#[inline(always)]
fn pointers() -> (*const Processor, *const Local) {
    (switch::processor().cast(), switch::local().cast())
}

/// Runs `f` with this thread's worker, if it is one.
#[inline]
pub(crate) fn with_processor<R>(f: impl FnOnce(Option<&Processor>) -> R) -> R {
    let processor = switch::processor().cast::<Processor>();
    // SAFETY: `Enter` put the pointer there and takes it away before its processor dies, on this thread;
    // the reference does not leave `f`, which runs on this thread, inside the worker's loop.
    f(unsafe { processor.as_ref() })
}

/// Runs `f` with the task that is running here, if any.
#[inline]
pub(crate) fn with_local<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
    let local = switch::local().cast::<Local>();
    // SAFETY: `local` lies at the base of the running task's stack (see `run_task`), and everything that
    // runs while the pointer is installed runs above it; it is replaced at each switch of task.
    f(unsafe { local.as_ref() })
}

/// Runs `f` with both, as they are needed together by every wait of a task.
#[inline(always)]
pub(crate) fn with_task<R>(f: impl FnOnce(Option<(&Processor, &Local)>) -> R) -> R {
    let (processor, local) = pointers();
    // SAFETY: as in `with_processor` and `with_local`; a local is installed only under a processor.
    f(unsafe { processor.as_ref().zip(local.as_ref()) })
}

/// Yields, if a task runs here that may; false otherwise.
///
/// Not by way of `with_task`: its closure would be a function with a return of its own, see
/// `Local::switch_out`.
#[inline(always)]
pub(super) fn yield_here(place: &'static Location<'static>) -> bool {
    let (processor, local) = pointers();
    // SAFETY: as in `with_task`.
    let task = unsafe { processor.as_ref().zip(local.as_ref()) };
    match task {
        Some((processor, local)) if !local.is_in_hook() => {
            local.yield_now(processor, place);
            true
        }
        _ => false,
    }
}

/// Parks, if a task runs here that may; `None` otherwise. For the way it is written see `yield_here`.
#[inline(always)]
pub(super) fn park_here(wait: &Wait<'_>, place: &'static Location<'static>) -> Option<Wake> {
    let (processor, local) = pointers();
    // SAFETY: as in `with_task`.
    let task = unsafe { processor.as_ref().zip(local.as_ref()) };
    match task {
        Some((processor, local)) if !local.is_in_hook() => Some(local.park(processor, wait, place)),
        _ => None,
    }
}

/// Makes a processor the thread's own for as long as it lives.
#[derive(Debug)]
pub(crate) struct Enter<'a> {
    processor: &'a Processor,
}

impl<'a> Enter<'a> {
    /// `None` when the thread runs a worker already.
    pub(crate) fn new(processor: &'a Processor) -> Option<Self> {
        if !switch::processor().is_null() {
            return None;
        }
        switch::set_processor(ptr::from_ref(processor).cast());
        Some(Enter { processor })
    }
}

impl Drop for Enter<'_> {
    fn drop(&mut self) {
        debug_assert!(ptr::eq(switch::processor().cast(), self.processor));
        switch::set_processor(ptr::null());
    }
}

/// Where a suspended task's record is, and where its innermost frame.
#[derive(Clone, Copy)]
pub(crate) struct Suspended {
    local: *const Local,
    /// With the bit that says whether it parked, which is as good an address.
    frame: *const [u8; 64],
}

impl Suspended {
    /// Of a task that has not run yet.
    pub(crate) const FRESH: Suspended = Suspended {
        local: ptr::null(),
        frame: ptr::null(),
    };

    /// To be called on the worker's own stack when a task has switched out with this word: no task runs
    /// here now.
    #[inline]
    pub(crate) fn take(word: usize) -> Suspended {
        let local = switch::local().cast();
        switch::set_local(ptr::null());
        Suspended {
            local,
            frame: ptr::without_provenance(word),
        }
    }

    /// Asks for what the task will touch first when it is resumed.
    #[inline]
    pub(crate) fn prefetch(self) {
        // The frames round the switch.
        for line in -1..2 {
            prefetch(self.frame.wrapping_offset(line));
        }
        if self.frame.addr() & PARK != 0 {
            // Who parked will leave a function or two, and then often comes to wait again, by way of others
            // that go as deep: what `sleep` touches, clock and timers, is eight or nine lines.
            for line in [-4, -3, -2, 2, 3, 4] {
                prefetch(self.frame.wrapping_offset(line));
            }
        }
        // The record; and corosensei's link above it.
        let record = self.local.cast::<[u8; 64]>();
        prefetch(record);
        // Counted out in the release build: the record begins 160 bytes below the link.
        prefetch(record.wrapping_offset(2));
    }

    /// Looks at the record of a suspended task, from its worker's own stack.
    pub(crate) fn inspect<R>(self, f: impl FnOnce(Option<&Local>) -> R) -> R {
        // SAFETY: this value is kept by the worker's table of started tasks, which forgets it when the
        // task's body returns; until then the record stays where it is, on the suspended stack.
        f(unsafe { self.local.as_ref() })
    }
}

/// Runs the body of the task that this worker has claimed, on the task's own stack, with its record at the
/// base of that stack. Called once a task, by the loop.
#[inline]
pub(super) fn run_task(local: &Local) {
    switch::set_local(ptr::from_ref(local).cast());
    local.entered();
    // SAFETY: the loop starts only what it has claimed, and a task's coroutine calls this once.
    unsafe { local.task.run() };
    local.over();
    // What follows drops the record itself, and with it perhaps the last reference to the task.
    switch::set_local(ptr::null());
}

/// Ends a task that the loop has claimed and cannot start.
pub(super) fn refuse_task(task: &TaskRef, why: std::io::Error) {
    // SAFETY: the loop has claimed it and drops it after this.
    unsafe { task.refuse(Some(why)) };
}

/// Ends a suspended task that its worker will never resume, for whoever joins it.
pub(super) fn leak_task(local: &Local) {
    // SAFETY: the loop is over, so nothing of the task runs now, nor ever again.
    unsafe { local.task.leak() };
}

/// Ends a task that no queue would take.
pub(crate) fn refuse_unqueued(task: &TaskRef) {
    if task.claim() == Claim::Won {
        // SAFETY: claimed this instant, and dropped by the caller after this.
        unsafe { task.refuse(None) };
    }
}
