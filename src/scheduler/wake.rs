//! From a waker to a ready task: by a push on its own worker, by a letter from anywhere else.

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
    if task.announce() {
        inbox::post(home, inbox::Letter::Wake(task.clone()));
    }
}

/// On the home worker, for a wake that came by letter.
pub(crate) fn deliver(processor: &super::processor::Processor, task: &TaskRef) {
    task.receive();
    processor.wake(task);
}
