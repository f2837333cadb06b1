//! From a waker to a ready task: by a push on its own worker, by a letter from anywhere else.

use std::task::Waker;

use super::current;
use super::inbox;
use super::task::TaskRef;

/// Makes a parked task ready; a no-op for one that runs or has ended, but for the note that the next
/// park must look again.
#[inline]
pub(crate) fn wake(task: &TaskRef) {
    let home = task.home();
    let is_local = current::with_processor(|processor| match processor {
        Some(processor) if processor.id == home => {
            processor.wake(task);
            true
        }
        _ => false,
    });
    // A task that has not started waits for nothing: whoever wakes it left a bit in its fate before.
    if !is_local && home != 0 {
        post(task, home);
    }
}

/// As `wake`, for the task that this worker should run next: the joiner of a task that has just ended.
#[inline]
pub(crate) fn wake_next(task: &TaskRef) {
    let home = task.home();
    let is_local = current::with_processor(|processor| match processor {
        Some(processor) if processor.id == home => {
            processor.wake_next(task);
            true
        }
        _ => false,
    });
    if !is_local && home != 0 {
        post(task, home);
    }
}

#[cold]
fn post(task: &TaskRef, home: u64) {
    if task.announced.announce() {
        inbox::post(home, inbox::Letter::Wake(task.clone()));
    }
}

/// On the home worker, for a wake that came by letter.
pub(crate) fn deliver(processor: &super::processor::Processor, task: &TaskRef) {
    task.announced.receive();
    processor.wake(task);
}

/// Whom to wake: as a waker, but for a task it holds nothing and counts nothing, so it costs nothing to
/// make, to move and to drop.
///
/// It stands for the wait in which it was made. Used later it is a no-op, or wakes another task for
/// nothing, which waits must bear anyway.
#[must_use = "who sleeps waits until it is woken"]
#[derive(Debug)]
pub(crate) struct Sleeper(Whom);

#[derive(Debug)]
enum Whom {
    Task { home: u64, key: u32 },
    Thread(Waker),
    Nobody,
}

impl Sleeper {
    pub(crate) const NOBODY: Sleeper = Sleeper(Whom::Nobody);

    /// A task, by its worker and its key.
    #[inline]
    pub(super) fn task(home: u64, key: u32) -> Self {
        Sleeper(Whom::Task { home, key })
    }

    /// A plain thread.
    pub(super) fn thread(waker: Waker) -> Self {
        Sleeper(Whom::Thread(waker))
    }

    /// A waiter of another kind. Whoever drops it may be inside a latch: the waker must be one of ours, that
    /// drops nobody else's.
    pub(crate) fn relay(waker: Waker) -> Self {
        Sleeper(Whom::Thread(waker))
    }

    /// Makes its wait return.
    #[inline]
    pub(crate) fn wake(self) {
        match self.0 {
            Whom::Task { home, key } => wake_key(home, key),
            Whom::Thread(waker) => waker.wake(),
            Whom::Nobody => {}
        }
    }

    /// Takes it out; who is left is nobody.
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Sleeper::NOBODY)
    }
}

#[inline]
fn wake_key(home: u64, key: u32) {
    let is_local = current::with_processor(|processor| match processor {
        Some(processor) if processor.id == home => {
            processor.wake_key(key);
            true
        }
        _ => false,
    });
    if !is_local {
        post_key(home, key);
    }
}

#[cold]
fn post_key(home: u64, key: u32) {
    inbox::post(home, inbox::Letter::WakeKey(key));
}
