//! Sections of a task that cancellation reaches, and that it does not.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use crate::base::clock::Deadline;
use crate::coroutine::ambient;
use crate::scheduler::cancel::{Flag, Target, Unwind};
use crate::scheduler::current;
use crate::scheduler::local::Local;
use crate::scheduler::park;

/// Undoes what a section did to the task's record, on every way out.
struct Leave(fn(&Local));

impl Drop for Leave {
    fn drop(&mut self) {
        current::with_local(|local| local.map(self.0));
    }
}

/// Runs `f` where no cancellation and no time-out from outside reaches it; what came meanwhile is
/// delivered at the first wait after it.
///
/// For sections that must finish (a transfer of money, a half-written record), and round callbacks from
/// C code, through whose frames nothing may unwind. On a plain thread it just runs `f`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # greenloom::run(|| {
/// let task = greenloom::spawn(|| greenloom::shield(|| {
///     greenloom::sleep(Duration::from_millis(1));
///     "finished"
/// }));
/// greenloom::yield_now();
/// task.cancel();
/// assert_eq!(task.join().unwrap(), "finished");
/// # });
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let _pin = ambient::forbid_suspend("shield");
    let has_task = current::with_local(|local| local.map(Local::push_shield).is_some());
    let _leave = has_task.then_some(Leave(Local::pop_scope));
    f()
}

/// Whether the running task unwinds: what [`restore`] is told after a catch.
pub(super) fn note() -> bool {
    current::with_task(|task| task.is_some_and(|(processor, local)| local.is_unwinding(processor)))
}

/// An unwinding that began after [`note`] was caught.
pub(super) fn restore(was_unwinding: bool) {
    current::with_local(|local| {
        if let Some(local) = local {
            local.caught(was_unwinding);
        }
    });
}

/// Runs `f` on the promise that it does not wait: any wait inside panics.
///
/// For foreign code whose scopes must nest on the thread: `scoped_tls`, autorelease pools, interpreter
/// locks. Another task that ran on this thread in between would break them.
///
/// # Panics
///
/// At a wait inside `f`.
///
/// # Examples
///
/// ```should_panic
/// greenloom::run(|| greenloom::no_park(|| greenloom::yield_now()));
/// ```
pub fn no_park<T>(f: impl FnOnce() -> T) -> T {
    let _pin = ambient::forbid_suspend("no_park");
    let has_task = current::with_local(|local| local.map(Local::enter_no_park).is_some());
    let _leave = has_task.then_some(Leave(Local::leave_no_park));
    f()
}

/// Whether a cancellation or a time-out is due for the running task: its next wait would unwind.
///
/// False inside [`shield`], while the task unwinds, and on plain threads. Where panics abort the process no
/// wait unwinds: there it tells of a cancellation alone, and is how a loop without I/O learns of it.
pub fn is_cancelled() -> bool {
    if cfg!(panic = "abort") {
        return park::is_cancelled();
    }
    current::with_task(|task| task.is_some_and(|(processor, local)| local.due(processor).is_some()))
}

/// Unwinds here if a cancellation or a time-out is due, and does nothing otherwise.
///
/// For long computations, which have no wait of their own where they could be ended.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let task = greenloom::spawn(|| loop {
///     greenloom::yield_now(); // a step of work would stand here
///     greenloom::task::checkpoint();
/// });
/// greenloom::yield_now();
/// task.cancel();
/// assert!(task.join().unwrap_err().is_cancelled());
/// # });
/// ```
#[track_caller]
pub fn checkpoint() {
    let place = Location::caller();
    current::with_task(|task| {
        if let Some((processor, local)) = task {
            local.deliver(processor, place);
        }
    });
}

/// Calls `f` with the record of the task that is known to run here.
fn on_local<R>(f: impl FnOnce(&Local) -> R) -> R {
    current::with_local(|local| f(local.expect("the task that entered the scope leaves it")))
}

/// The deadline of [`until`], or a raised flag, came before the closure's end.
#[derive(Debug)]
pub(crate) struct Expired;

/// Runs `f`, which is unwound from its first wait at or after the deadline; returns when it has been,
/// destructors and all.
pub(crate) fn until<T>(deadline: Deadline, f: impl FnOnce() -> T) -> Result<T, Expired> {
    within("timeout", deadline, None, |_| f())
}

/// Runs `f`, which is unwound from its first wait after the deadline has come or the flag was raised;
/// returns when it has been, destructors and all. `f` is told the number of the scope, which is 0 on a
/// plain thread.
///
/// `f`'s own value wins over an expiry, and its own panic over both. Of nested ones that have expired
/// together the outermost reports. Whoever raises the flag wakes the task.
pub(super) fn within<T>(
    what: &'static str,
    deadline: Deadline,
    flag: Option<Arc<Flag>>,
    f: impl FnOnce(u64) -> T,
) -> Result<T, Expired> {
    let _pin = ambient::forbid_suspend(what);
    let is_unwinding =
        current::with_task(|task| task.map(|(processor, local)| local.is_unwinding(processor)));
    let Some(is_unwinding) = is_unwinding else {
        // A plain thread has nothing to unwind it with: the caller's waits go on to their end.
        return Ok(f(0));
    };
    let attempt = || {
        let id = on_local(|local| local.push_scope(deadline, flag));
        let result = catch_unwind(AssertUnwindSafe(|| f(id)));
        on_local(Local::pop_scope);
        (id, result)
    };
    let (id, result) = if is_unwinding {
        on_local(|local| local.in_cleanup(attempt))
    } else {
        attempt()
    };
    let due = current::with_task(|task| {
        task.and_then(|(processor, local)| {
            if !is_unwinding && result.is_err() {
                local.caught(false);
            }
            // What is due further out, now that this scope is gone.
            let due = local.due(processor);
            if due.is_none() {
                // So all that was thrown was meant for this scope, or for one inside of it.
                local.arrived();
            }
            due
        })
    });
    let payload = match result {
        Ok(value) => return Ok(value),
        Err(payload) => payload,
    };
    on_local(|local| {
        let is_ours = payload
            .downcast_ref::<Unwind>()
            .is_some_and(|unwind| unwind.target == Target::Scope(id));
        match due {
            Some(target) if is_ours => local.rethrow(Box::new(Unwind { target })),
            _ if is_ours => Err(Expired),
            _ => local.rethrow(payload),
        }
    })
}
