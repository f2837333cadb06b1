//! From a closure to a queued task: the one way in, for tasks and for strangers.
#![allow(unsafe_code)]

use std::sync::Arc;

use crate::base::finally::Finally;
use crate::scheduler::current;
use crate::scheduler::header::{Spec, TaskId};
use crate::scheduler::packet::{Farewell, Joiner, new_task};
use crate::scheduler::shared::{Refused, Shared};

use super::error::SpawnError;

impl From<Refused> for SpawnError {
    fn from(refused: Refused) -> SpawnError {
        match refused {
            Refused::Stopping => SpawnError::Stopping,
            Refused::Full { limit } => SpawnError::Full { limit },
        }
    }
}

/// Makes a task and queues it: on this thread's worker if that belongs to `shared`, by the injector
/// otherwise. A refused closure is dropped here, and then its farewell said: exactly once, whatever
/// comes of the launch.
///
/// # Safety
///
/// As for [`new_task`]; a pinned task is launched from the worker that it is to run on.
#[inline]
pub(crate) unsafe fn launch_unchecked<F, T, E>(
    shared: &Arc<Shared>,
    spec: Spec,
    closure: F,
    farewell: E,
) -> Result<Joiner<T>, SpawnError>
where
    F: FnOnce() -> T,
    E: Farewell,
{
    if let Err(refused) = shared.admit() {
        return decline(closure, farewell, refused.into());
    }
    current::with_processor(|processor| {
        let local = match processor {
            Some(processor) if Arc::ptr_eq(&processor.shared, shared) => Some(processor),
            _ => None,
        };
        if local.is_none() && (spec.pinned || shared.is_stopping()) {
            shared.dismiss();
            let why = if spec.pinned {
                SpawnError::NoWorker
            } else {
                SpawnError::Stopping
            };
            return decline(closure, farewell, why);
        }
        // SAFETY: the caller's promises.
        let (queued, joiner) = unsafe { new_task(TaskId::next(), spec, closure, farewell) };
        match local {
            Some(processor) => processor.spawn(queued),
            None => {
                if let Err((refused, task)) = shared.inject(queued) {
                    // The door closed in the last instant. Claimed here, so that nobody starts it.
                    shared.dismiss();
                    current::refuse_unqueued(&task);
                    return Err(refused.into());
                }
            }
        }
        Ok(joiner)
    })
}

#[cold]
fn decline<F, T, E: Farewell>(
    closure: F,
    farewell: E,
    why: SpawnError,
) -> Result<Joiner<T>, SpawnError> {
    // Even if the closure's destructor panics.
    let _said_last = Finally::new(|| farewell.say());
    drop(closure);
    Err(why)
}

/// [`launch_unchecked`] for closures that may go anywhere.
#[inline]
pub(crate) fn launch<F, T, E>(
    shared: &Arc<Shared>,
    mut spec: Spec,
    closure: F,
    farewell: E,
) -> Result<Joiner<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
    E: Farewell + Send + 'static,
{
    spec.pinned = false;
    // SAFETY: everything is `'static` and `Send`.
    unsafe { launch_unchecked(shared, spec, closure, farewell) }
}

/// [`launch_unchecked`] for closures that stay on this worker.
#[inline]
pub(crate) fn launch_pinned<F, T>(
    shared: &Arc<Shared>,
    mut spec: Spec,
    closure: F,
) -> Result<Joiner<T>, SpawnError>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    spec.pinned = true;
    // SAFETY: everything is `'static`; a pinned task is refused unless this is a worker of `shared`, and
    // is then queued on it. `Joiner<T>` is `Send` only if `T` is.
    unsafe { launch_unchecked(shared, spec, closure, ()) }
}

/// [`launch`] on one of the workers, by number, from whatever thread.
pub(crate) fn launch_at<F, T>(
    shared: &Arc<Shared>,
    worker: usize,
    mut spec: Spec,
    closure: F,
) -> Result<Joiner<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spec.pinned = true;
    let is_here = current::with_processor(|processor| {
        processor.is_some_and(|processor| {
            Arc::ptr_eq(&processor.shared, shared) && processor.index == worker
        })
    });
    if is_here {
        // SAFETY: everything is `'static` and `Send`, and this is the worker.
        return unsafe { launch_unchecked(shared, spec, closure, ()) };
    }
    if let Err(refused) = shared.admit() {
        return decline(closure, (), refused.into());
    }
    // SAFETY: everything is `'static` and `Send`, so it does no harm that another thread runs it.
    let (queued, joiner) = unsafe { new_task(TaskId::next(), spec, closure, ()) };
    match shared.send_to(worker, queued) {
        Ok(()) => Ok(joiner),
        Err((refused, task)) => {
            shared.dismiss();
            current::refuse_unqueued(&task);
            Err(refused.into())
        }
    }
}
