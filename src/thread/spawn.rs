//! Threads that own what they use: spawned, built, joined.

use std::any::Any;
use std::{fmt, io, thread as os};

use crate::task::{self, JoinError};

use super::scope::{Scope, ScopedJoinHandle};
use super::this::Thread;

/// Spawns a thread: [`std::thread::spawn`], and [`crate::spawn`] with another handle.
///
/// # Panics
///
/// When the runtime is stopping or full; [`Builder::spawn`] gives errors instead.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    JoinHandle::new(task::spawn(f))
}

/// Settings of a thread that is yet to be spawned: [`std::thread::Builder`].
#[derive(Debug, Default)]
#[must_use = "a builder that spawns nothing does nothing"]
pub struct Builder {
    builder: task::Builder,
}

impl Builder {
    /// No name, and the runtime's stack size.
    pub fn new() -> Self {
        Builder::default()
    }

    /// The thread's name, for logs, reports and panics.
    pub fn name(self, name: String) -> Self {
        let builder = self.builder.name(name);
        Builder { builder }
    }

    /// The thread's stack in bytes: see [`task::Builder::stack_size`].
    pub fn stack_size(self, size: usize) -> Self {
        let builder = self.builder.stack_size(size);
        Builder { builder }
    }

    /// Spawns a thread.
    ///
    /// # Errors
    ///
    /// As [`task::Builder::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.builder.spawn(f).map(JoinHandle::new)
    }

    /// Spawns a thread in a scope.
    ///
    /// # Errors
    ///
    /// As [`task::Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope
            .launch(self.builder, false, f)
            .map(ScopedJoinHandle::new)
    }
}

/// The right to wait for a thread and to take its value: [`std::thread::JoinHandle`].
///
/// Dropping it detaches the thread.
pub struct JoinHandle<T> {
    handle: task::JoinHandle<T>,
    thread: Thread,
}

impl<T> JoinHandle<T> {
    fn new(handle: task::JoinHandle<T>) -> Self {
        let thread = Thread::of(handle.task());
        JoinHandle { handle, thread }
    }

    /// The thread itself.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits for the thread to end and returns its value.
    ///
    /// # Errors
    ///
    /// The panic's payload, or a boxed [`JoinError`](crate::JoinError) when the thread was cancelled, could
    /// get no stack, or is the caller itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the thread goes on detached.
    ///
    /// # Parks
    ///
    /// Until the thread has ended (`task.join`).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::{JoinError, thread};
    /// # greenloom::run(|| {
    /// let panicked = thread::spawn(|| std::panic::resume_unwind(Box::new("no"))).join();
    /// assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"no"));
    ///
    /// let thread = thread::spawn(|| thread::sleep(std::time::Duration::MAX));
    /// thread.as_task().cancel();
    /// assert!(thread.join().unwrap_err().is::<JoinError>());
    /// # });
    /// ```
    #[track_caller]
    pub fn join(self) -> os::Result<T> {
        self.handle.join().map_err(payload)
    }

    /// Whether the thread has ended, so that `join` returns at once.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The handle by which greenloom's own calls go: `cancel`, `join_timeout`, and so on.
    pub fn as_task(&self) -> &task::JoinHandle<T> {
        &self.handle
    }
}

impl<T> From<JoinHandle<T>> for task::JoinHandle<T> {
    fn from(handle: JoinHandle<T>) -> task::JoinHandle<T> {
        handle.handle
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// What std's handles give: the panic's own payload, or the error as one.
pub(super) fn payload(error: JoinError) -> Box<dyn Any + Send> {
    error.into_panic().unwrap_or_else(|error| Box::new(error))
}
