//! The door: how anything above the scheduler waits, on a task or on a plain thread.

use std::panic::Location;
use std::task::Waker;
use std::time::Duration;

use crate::base::clock::{Clock, Deadline, Nanos};
use crate::coroutine::unwinding::Scheduler;

use super::cancel::Unwind;
use super::local::Local;
use super::wait::Unwinding;
use super::{current, packet, thread};

pub(crate) use super::wait::{Count, Describe, Holder, Wait, Wake};
pub(crate) use super::wake::Sleeper;

/// Waits until the waker of [`current_waker`] is used or the deadline passes.
///
/// The caller publishes its waker, looks at its condition again, parks, and does so in a loop. A wake
/// between publishing and parking makes this return at once.
///
/// Unwinds when the task is cancelled: undo the publishing in a guard.
#[track_caller]
#[inline(always)]
pub(crate) fn park(wait: &Wait<'_>) -> Wake {
    match current::park_here(wait, Location::caller()) {
        Some(wake) => wake,
        None => park_thread(wait),
    }
}

/// Waits inside of `f`, a closure of ours that does not know its caller's line, so that reports name `place`.
pub(crate) fn at<R>(place: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    /// Puts the outer line back, also when the wait is unwound.
    struct Outer(Option<&'static Location<'static>>);

    impl Drop for Outer {
        fn drop(&mut self) {
            current::with_local(|local| local.map(|local| local.rare().place.set(self.0)));
        }
    }

    let outer = current::with_local(|local| {
        local.and_then(|local| local.rare().place.replace(Some(place)))
    });
    let _outer = Outer(outer);
    f()
}

#[cold]
fn park_thread(wait: &Wait<'_>) -> Wake {
    // In a panic hook, where the task must not be suspended, and nobody knows this thread's waker.
    if current::with_local(|local| local.is_some()) {
        return thread::nap(wait.deadline);
    }
    thread::park(wait.deadline)
}

/// Uses the waker of an executor, which may do anything; what it panics with goes no further.
pub(crate) fn wake_foreign(waker: Waker) {
    packet::wake_foreign(waker);
}

/// Throws a payload that was caught elsewhere, so that this task knows that it unwinds: the panic hook, which
/// tells it otherwise, is not called for it.
pub(crate) fn rethrow(payload: Box<dyn std::any::Any + Send>) -> ! {
    current::with_local(|local| match local {
        Some(local) => local.rethrow(payload),
        None => std::panic::resume_unwind(payload),
    })
}

/// Whether a caught payload is a cancellation or a time-out, which is nobody's to keep.
pub(crate) fn is_cancellation(payload: &(dyn std::any::Any + Send)) -> bool {
    payload.is::<Unwind>()
}

/// What coroutines ask of the task that they run in, on a worker's thread.
pub(super) static FOR_COROUTINES: Scheduler = Scheduler {
    note: || {
        current::with_task(|task| match task {
            Some((processor, local)) => local.unwinding_note(processor),
            // On a worker's own stack: the thread's word.
            None => 1,
        })
    },
    put_note: |note| {
        current::with_local(|local| {
            if let Some(local) = local {
                local.put_unwinding_note(note);
            }
        });
    },
    throw: rethrow,
};

/// Whether the running task was cancelled, in a program in which it cannot be unwound: there operations with an
/// error of their own end by that. Asked after each wait; false without asking where a park unwinds.
#[inline(always)]
pub(crate) fn must_give_up() -> bool {
    cfg!(panic = "abort") && is_cancelled()
}

/// Whether the running task was cancelled and no shield is round it.
pub(crate) fn is_cancelled() -> bool {
    current::with_local(|local| local.is_some_and(Local::is_cancelled))
}

/// Panics inside `no_park`, for what may wait or not as it happens: it shall not pass there by luck.
pub(crate) fn check_may_park(reason: &'static str) {
    current::with_local(|local| local.map(|local| local.check_may_park(reason)));
}

/// The waker of the running task, or of this thread where no task runs.
#[inline]
pub(crate) fn current_waker() -> Waker {
    current::with_local(|local| match local {
        Some(local) if !local.is_in_hook() => local.task.waker(),
        _ => thread::waker(),
    })
}

/// Whom to wake when the running task or thread shall go on: what a wait list keeps of who waits.
#[inline]
pub(crate) fn sleeper() -> Sleeper {
    current::with_task(|task| match task {
        Some((processor, local)) if !local.is_in_hook() => Sleeper::task(processor.id, local.key),
        _ => Sleeper::thread(thread::waker()),
    })
}

/// Lets the other ready tasks of the worker run; lets the OS choose on a plain thread.
#[track_caller]
#[inline(always)]
pub(crate) fn yield_now() {
    if !current::yield_here(Location::caller()) {
        std::thread::yield_now();
    }
}

/// For operations that succeed without waiting: yields once in a while, so that a chatty socket or a
/// full channel does not starve its neighbours.
#[track_caller]
#[inline]
pub(crate) fn spend_budget() {
    let place = Location::caller();
    if current::with_local(|local| local.is_some_and(Local::spend)) {
        yield_at(place);
    }
}

#[cold]
#[inline(never)]
fn yield_at(place: &'static Location<'static>) {
    let _has_yielded = current::yield_here(place);
}

/// As [`spend_budget`], for a poll, in which nobody may be made to wait: true when the task ought to yield before
/// it goes on.
#[cfg(feature = "futures-io")]
pub(crate) fn is_budget_spent() -> bool {
    current::with_task(|task| task.is_some_and(|(_, local)| local.spend() && !local.is_in_hook()))
}

/// The deadline that lies `duration` ahead.
#[inline]
pub(crate) fn deadline(duration: Duration) -> Deadline {
    Deadline::after(now(), duration)
}

/// The time by the clock that waits on this thread go by: the runtime's, or the real one.
#[inline]
pub(crate) fn now() -> Nanos {
    current::with_processor(|processor| match processor {
        Some(processor) => processor.clock.now(),
        None => Clock::real().now(),
    })
}

/// Random bits: the worker's, so that a run with one worker can be repeated, or the thread's.
#[inline]
pub(crate) fn random() -> u64 {
    current::with_processor(|processor| match processor {
        Some(processor) => processor.rng.draw(),
        None => thread::random(),
    })
}

/// The number of the running task, or 0 where no task runs.
#[inline]
pub(crate) fn current_id() -> u64 {
    current::with_local(|local| local.map_or(0, |local| local.task.id.0))
}

/// The running task, or this thread, as the holder of what it has just taken.
#[track_caller]
#[inline]
pub(crate) fn current_holder() -> Holder {
    Holder {
        task: current_id(),
        since: Some(Location::caller()),
    }
}

/// Whether the caller runs in a destructor of a panic of its own: not of a cancellation, and not because a
/// neighbour on the thread waits in the midst of its panic. In doubt false.
#[inline]
pub(crate) fn is_panicking() -> bool {
    // Nobody on this thread is, most of the time.
    std::thread::panicking() && unwinding() == Some(Unwinding::Panic)
}

/// Whether the caller runs in a destructor of an unwinding of its own, whatever the cause.
#[inline]
pub(crate) fn is_unwinding() -> bool {
    std::thread::panicking() && unwinding().is_some()
}

#[cold]
fn unwinding() -> Option<Unwinding> {
    current::with_task(|task| match task {
        Some((processor, local)) => local.unwinding(processor),
        None => Some(Unwinding::Panic),
    })
}
