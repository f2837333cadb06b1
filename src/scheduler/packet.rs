//! A closure and its outcome inside a task: run once, stored once, taken once.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::Waker;

use crate::base::clock::Deadline;
use crate::base::payload;

use super::cancel::Unwind;
use super::current;
use super::header::{Claim, Fate, Spec, TaskId};
use super::local::Local;
use super::park;
use super::task::{Body, TaskRef};
use super::wait::{Describe, Wait, Wake};
use super::wake;

/// Why a task gave no value.
#[derive(Debug)]
pub(crate) enum Fault {
    Panicked(Box<dyn Any + Send>),
    Cancelled,
    NoStack(io::Error),
}

/// Runs last on a task's stack, when everything that the closure borrowed or made has been dropped or
/// handed over.
pub(crate) trait Farewell {
    fn say(&self);

    /// Before that, of a task that never ran: no memory for its stack could be had.
    fn starve(&self, _why: &io::Error) {}
}

impl Farewell for () {
    fn say(&self) {}
}

/// The part that the joiner sees, whatever the closure's type.
///
/// Who touches what, by the bits of the task's fate word:
///
/// | field | before COMPLETE | after COMPLETE |
/// |---|---|---|
/// | `outcome` | the task | the join handle; the task, if DETACHED came first |
/// | `waker` | the join handle; the task, from the moment it set COMPLETE and saw JOINING | nobody, or the join handle if JOINING was clear |
/// | `neighbour` | the home worker's thread | the home worker's thread |
struct Seat<T> {
    outcome: UnsafeCell<Option<Result<T, Fault>>>,
    /// Who joins from anywhere.
    waker: UnsafeCell<Option<Waker>>,
    /// Who joins from the worker on which this task runs: neither a count nor a bit of the fate is needed,
    /// for the two never run at once. The joiner takes itself out before it leaves its wait, and until
    /// then its own stack holds a counted reference.
    neighbour: UnsafeCell<Option<ManuallyDrop<TaskRef>>>,
}

struct Packet<F, T, E> {
    seat: Seat<T>,
    /// Taken by whoever claims the task. Never dropped in place, see `Seat::drop`.
    closure: UnsafeCell<Option<ManuallyDrop<F>>>,
    farewell: E,
}

impl<T> Seat<T> {
    /// Stores the outcome and tells the joiner; drops it here when nobody will ever ask.
    ///
    /// # Safety
    ///
    /// Called once, by the claimer or, if that never runs again, by its home worker.
    unsafe fn conclude(&self, task: &TaskRef, outcome: Result<T, Fault>) {
        // SAFETY: COMPLETE is not set yet, so by the table the outcome is the task's.
        unsafe { *self.outcome.get() = Some(outcome) };
        let before = task.complete();
        // SAFETY: a task ends on its home worker's thread.
        let neighbour = unsafe { (*self.neighbour.get()).take() };
        if let Some(joiner) = neighbour {
            wake::wake_next(&joiner);
        } else if before.is_detached() {
            // SAFETY: the handle was gone before COMPLETE: nobody else will look.
            let outcome = unsafe { (*self.outcome.get()).take() };
            drop_unjoined(task, outcome);
        } else if before.is_joining() {
            // SAFETY: JOINING was set when COMPLETE came: the waker is ours.
            if let Some(waker) = unsafe { (*self.waker.get()).take() } {
                wake_joiner(waker);
            }
        }
    }
}

/// Out of line, as all that follows up to `drop_all_caught`: each type of closure would have its own copy,
/// and its registers to save, on the way of those that end quietly.
#[inline(never)]
fn drop_unjoined<T>(task: &TaskRef, outcome: Option<Result<T, Fault>>) {
    if let Some(Err(fault)) = &outcome {
        caught(|| report(task, fault));
    }
    drop_caught(task, outcome);
}

#[inline(never)]
fn wake_joiner(waker: Waker) {
    match TaskRef::of_waker(&waker) {
        Some(joiner) => wake::wake_next(&joiner),
        // Somebody's code, which may do anything.
        None => {
            caught(|| waker.wake());
        }
    }
}

/// Runs somebody else's code (a destructor, a waker, a logger): its panic, which the hook has printed, ends
/// there and not in the worker's loop. True if there was one.
pub(super) fn caught(f: impl FnOnce()) -> bool {
    // Not always at a task's root: a task may be refused inside of another one's destructor, which unwinds.
    let before = current::with_task(|task| {
        task.map_or(0, |(processor, local)| local.unwinding_note(processor))
    });
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        return false;
    };
    let note = || current::with_local(|local| local.map(|local| local.put_unwinding_note(before)));
    note();
    let is_panic = !payload.is::<Unwind>();
    payload::discard(payload);
    note();
    is_panic
}

/// A user's destructor may panic; that is the end of the value, not of the worker. It may wait as well: a
/// cancellation has done its work by then and does not disturb it.
#[inline(never)]
fn drop_caught<V>(task: &TaskRef, mut value: Option<V>) {
    if std::mem::needs_drop::<V>() {
        drop_all_caught(task, &mut || value = None);
    }
}

fn drop_all_caught(task: &TaskRef, drop: &mut dyn FnMut()) {
    let is_shielded = task.fate().is_cancelled()
        && current::with_local(|local| local.map(Local::push_shield).is_some());
    let has_panicked = caught(drop);
    if is_shielded {
        current::with_local(|local| local.map(Local::pop_scope));
    }
    if has_panicked {
        caught(|| log::error!("{} left a value whose destructor panicked", **task));
    }
}

/// One task less of those that the runtime has.
#[inline]
fn dismiss() {
    current::with_processor(|processor| processor.map(|processor| processor.shared.dismiss()));
}

/// Drops the running task's local values, if it has any.
#[inline]
fn end_slots() {
    current::with_local(|local| local.map(Local::end_slots));
}

#[cold]
fn report(task: &TaskRef, fault: &Fault) {
    match fault {
        Fault::Panicked(payload) => log::error!(
            "{} panicked and nobody joined it: {}",
            **task,
            panic_text(payload.as_ref())
        ),
        Fault::NoStack(error) => log::error!("{} never ran: {error}", **task),
        Fault::Cancelled => {}
    }
}

/// The message of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

/// An unwinding has come to the task's root.
#[cold]
fn arrived(payload: Box<dyn Any + Send>) -> Fault {
    current::with_local(|local| local.map(|local| local.caught(false)));
    classify(payload)
}

/// What a caught unwinding of a task's closure means.
pub(crate) fn classify(payload: Box<dyn Any + Send>) -> Fault {
    if payload.is::<Unwind>() {
        Fault::Cancelled
    } else {
        Fault::Panicked(payload)
    }
}

// SAFETY: `run` and `refuse` take the closure once, by the claim; `outcome` and `waker` follow the table
// at `Seat`; dropping a packet runs no user code: what is left of both is forgotten.
unsafe impl<F: FnOnce() -> T, T, E: Farewell> Body for Packet<F, T, E> {
    unsafe fn run(task: &TaskRef) {
        // SAFETY: the caller's promise.
        let packet = unsafe { task.body::<Self>() };
        // SAFETY: the caller has the claim, so nobody else touches the closure.
        let closure = unsafe { (*packet.closure.get()).take() };
        let Some(closure) = closure.map(ManuallyDrop::into_inner) else {
            return;
        };
        let outcome = if task.fate().is_cancelled() {
            // It never starts, but what it holds is dropped here, on a stack where drops may park.
            drop_caught(task, Some(closure));
            Err(Fault::Cancelled)
        } else {
            catch_unwind(AssertUnwindSafe(closure)).map_err(arrived)
        };
        end_slots();
        // Before its joiner can know of the end, and spawn another in its place.
        dismiss();
        // SAFETY: this is the claimer, and `run` is called once.
        unsafe { packet.seat.conclude(task, outcome) };
        packet.farewell.say();
    }

    unsafe fn refuse(task: &TaskRef, why: Option<io::Error>) {
        // SAFETY: the caller's promise.
        let packet = unsafe { task.body::<Self>() };
        // SAFETY: as in `run`.
        let closure = unsafe { (*packet.closure.get()).take() };
        drop_caught(task, closure.map(ManuallyDrop::into_inner));
        if let Some(why) = &why {
            packet.farewell.starve(why);
        }
        let outcome = Err(why.map_or(Fault::Cancelled, Fault::NoStack));
        // SAFETY: as in `run`.
        unsafe { packet.seat.conclude(task, outcome) };
        packet.farewell.say();
    }

    /// Its farewell is never said: what it has lent from its frames may be in use still.
    unsafe fn leak(task: &TaskRef) {
        if !task.fate().is_complete() {
            // SAFETY: the caller's promise.
            let packet = unsafe { task.body::<Self>() };
            // SAFETY: not complete, and `run`, which would conclude, is never resumed: this stands for it.
            unsafe { packet.seat.conclude(task, Err(Fault::Cancelled)) };
        }
    }
}

impl<T> Drop for Seat<T> {
    /// The last reference may go away on any thread, inside a waker's drop: no user code may run there.
    /// What is left, an outcome here or a closure beside it, was left by a handle that was forgotten, and is
    /// forgotten too.
    fn drop(&mut self) {
        std::mem::forget(self.outcome.get_mut().take());
    }
}

/// The right to the outcome of a task.
pub(crate) struct Joiner<T> {
    pub(crate) task: TaskRef,
    /// Inside the allocation that `task` keeps alive.
    seat: NonNull<Seat<T>>,
}

// SAFETY: a joiner hands out one `T`, once; the rest is the task reference and the table at `Seat`.
unsafe impl<T: Send> Send for Joiner<T> {}
// SAFETY: `&Joiner` reaches the header alone.
unsafe impl<T: Send> Sync for Joiner<T> {}

/// Makes a task of a closure; returns it, to be queued, and the right to its outcome.
///
/// # Safety
///
/// The closure and its outcome outlive the task: whatever they borrow is not touched or freed before the
/// task's farewell has been said, unless everything is `'static`. When the closure is not `Send`, the
/// task is pinned and queued on the thread that made it; when the outcome is not `Send`, neither is the
/// joiner.
#[inline]
pub(crate) unsafe fn new_task<F, T, E>(
    id: TaskId,
    spec: Spec,
    closure: F,
    farewell: E,
) -> (TaskRef, Joiner<T>)
where
    F: FnOnce() -> T,
    E: Farewell,
{
    let seat = Seat {
        outcome: UnsafeCell::new(None),
        waker: UnsafeCell::new(None),
        neighbour: UnsafeCell::new(None),
    };
    let packet = Packet {
        seat,
        closure: UnsafeCell::new(Some(ManuallyDrop::new(closure))),
        farewell,
    };
    let (queued, task) = TaskRef::new_pair(id, spec, packet);
    // SAFETY: that is the type it was just made with.
    let seat = NonNull::from(unsafe { &task.body::<Packet<F, T, E>>().seat });
    (queued, Joiner { task, seat })
}

impl<T> Joiner<T> {
    fn seat(&self) -> &Seat<T> {
        // SAFETY: the task reference keeps the allocation, and with it the seat, alive and in place.
        unsafe { self.seat.as_ref() }
    }

    /// Whether the caller is the task itself.
    pub(crate) fn is_own(&self) -> bool {
        current::with_local(|local| local.is_some_and(|local| local.task.same(&self.task)))
    }

    /// Whether the outcome is there.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.task.fate().is_complete()
    }

    /// Takes the outcome; `None` when it is not there yet or was taken before.
    pub(crate) fn take(&mut self) -> Option<Result<T, Fault>> {
        if !self.is_complete() {
            return None;
        }
        // SAFETY: complete, and DETACHED was never set (only our drop does that): it is the handle's.
        unsafe { (*self.seat().outcome.get()).take() }
    }

    /// Whether it has ended in another way than by a value or by being cancelled.
    pub(crate) fn has_failed(&mut self) -> bool {
        // SAFETY: complete, and DETACHED was never set: the outcome is the handle's, borrowed for the look.
        let outcome = self
            .is_complete()
            .then(|| unsafe { &*self.seat().outcome.get() });
        matches!(
            outcome,
            Some(Some(Err(Fault::Panicked(_) | Fault::NoStack(_))))
        )
    }

    /// Waits until the task has ended; false when the deadline passed before.
    #[track_caller]
    #[inline]
    pub(crate) fn wait(&mut self, deadline: Deadline) -> bool {
        // A waker that an earlier poll has left is for nobody now.
        if self.is_complete() || self.retract() {
            return true;
        }
        self.hand_over();
        if let Some(neighbour) = Neighbour::new(self.seat(), &self.task) {
            let who = Who(&self.task);
            return neighbour.wait(&self.task, &Wait::new("task.join").on(&who).until(deadline));
        }
        self.wait_afar(deadline)
    }

    /// As `wait`, for joiners of other workers and plain threads.
    #[track_caller]
    fn wait_afar(&mut self, deadline: Deadline) -> bool {
        if self.announce(park::current_waker()) {
            return true;
        }
        loop {
            let who = Who(&self.task);
            // A cancellation unwinds from here: the announcement is taken back by drop.
            let woken = park::park(&Wait::new("task.join").on(&who).until(deadline));
            if self.is_complete() {
                return true;
            }
            if woken == Wake::TimedOut {
                return self.retract();
            }
        }
    }

    /// Stores a waker for the completion; true when it is complete already.
    pub(crate) fn announce(&mut self, waker: Waker) -> bool {
        if self.retract() {
            return true;
        }
        // SAFETY: not complete with JOINING clear (it was taken back above): the waker is the handle's.
        unsafe { *self.seat().waker.get() = Some(waker) };
        let before = self.task.join();
        if before.is_complete() {
            // COMPLETE came first and saw no JOINING: the completer left the waker alone.
            // SAFETY: by the table, after COMPLETE with JOINING clear the waker is the handle's.
            drop(unsafe { (*self.seat().waker.get()).take() });
        }
        before.is_complete()
    }

    /// Takes the waker back; true when the task has completed meanwhile, and the waker with it.
    pub(crate) fn retract(&mut self) -> bool {
        // Only this handle sets and clears JOINING.
        if !self.task.fate().is_joining() {
            return false;
        }
        let before: Fate = self.task.unjoin();
        if !before.is_complete() {
            // SAFETY: not complete, and JOINING is clear from now on: the waker is the handle's.
            drop(unsafe { (*self.seat().waker.get()).take() });
        }
        before.is_complete()
    }

    /// Lets the caller's worker start the task as soon as the caller suspends, if nobody has started it:
    /// depth first, so that a tree of tasks has few alive at a time.
    #[inline]
    fn hand_over(&self) {
        let fate = self.task.fate();
        if fate.is_claimed() || self.task.spec.pinned {
            return;
        }
        current::with_task(|here| {
            if let Some((processor, local)) = here
                && !local.is_in_hook()
                && self.task.spec.runtime == processor.shared.id
                && processor.can_hand_over()
                && self.task.claim() == Claim::Won
            {
                processor.hand_over(&self.task);
            }
        });
    }

    /// Asks the task to end.
    pub(crate) fn cancel(&self) {
        cancel(&self.task);
    }
}

/// Asks a task to end: it unwinds from its next wait, or never starts.
pub(crate) fn cancel(task: &TaskRef) {
    let before = task.cancel();
    if !before.is_complete() && !before.is_cancelled() {
        wake_after(task, before);
    }
}

/// Gives a task its unpark token.
pub(crate) fn unpark(task: &TaskRef) {
    let before = task.give_token();
    wake_after(task, before);
}

/// Wakes a task after a bit of its fate was set. One that was not claimed then will see the bit when it
/// is; one that was claimed but has no home yet gets one in a moment.
fn wake_after(task: &TaskRef, before: Fate) {
    if before.is_claimed() {
        task.settled_home();
        wake::wake(task);
    }
}

/// A task that joins another on the worker of both.
struct Neighbour<'a, T> {
    seat: &'a Seat<T>,
}

impl<'a, T> Neighbour<'a, T> {
    /// `None` when the two do not share a worker, or the joiner is no task.
    #[inline]
    fn new(seat: &'a Seat<T>, joined: &TaskRef) -> Option<Self> {
        current::with_task(|here| {
            let (processor, local) = here?;
            if joined.home() != processor.id || local.is_in_hook() {
                return None;
            }
            // SAFETY: this is the home worker's thread. The alias is taken out by the drop below, which
            // comes before the joiner's own record, and its counted reference, can go.
            unsafe { *seat.neighbour.get() = Some(local.task.alias()) };
            Some(Neighbour { seat })
        })
    }

    #[track_caller]
    #[inline(always)]
    fn wait(self, joined: &TaskRef, wait: &Wait<'_>) -> bool {
        loop {
            let woken = park::park(wait);
            if joined.fate().is_complete() {
                return true;
            }
            if woken == Wake::TimedOut {
                return false;
            }
        }
    }
}

impl<T> Drop for Neighbour<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the joiner has not moved, so this is still the home worker's thread.
        unsafe { *self.seat.neighbour.get() = None };
    }
}

/// A task that somebody waits for, for reports.
pub(crate) struct Who<'a>(pub(crate) &'a TaskRef);

impl Describe for Who<'_> {
    fn describe(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {}", self.0.id)?;
        match self.0.name() {
            "" => Ok(()),
            name => write!(f, " ({name})"),
        }
    }
}

impl<T> Drop for Joiner<T> {
    fn drop(&mut self) {
        // A task that is complete needs no word of ours: it has seen that the handle was there, and a
        // waker that was announced before is its own. `detach` sees to one that completes just now.
        let is_complete = self.is_complete() || {
            self.retract();
            self.task.detach().is_complete()
        };
        if is_complete {
            // SAFETY: COMPLETE came before DETACHED: the outcome, if it was not taken, is the handle's.
            let outcome = unsafe { (*self.seat().outcome.get()).take() };
            if let Some(Err(fault)) = &outcome {
                report(&self.task, fault);
            }
            drop(outcome);
        }
    }
}

impl<T> std::fmt::Debug for Joiner<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.task.fmt(f)
    }
}
