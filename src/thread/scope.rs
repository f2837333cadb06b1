//! Threads that borrow, by std's names.

use std::{fmt, thread as os};

use crate::task::{self, Threads};

use super::spawn::payload;
use super::this::Thread;

/// A scope in which threads may borrow: [`std::thread::Scope`].
pub type Scope<'scope, 'env> = task::Scope<'scope, 'env, Threads>;

/// Runs `f` with a scope whose threads may borrow what outlives the scope, and returns when all of them have
/// ended: [`std::thread::scope`], and [`crate::scope`] with other handles.
///
/// As with std's, its threads go on to their ends when `f` panics; only a cancellation of the caller reaches them.
///
/// # Panics
///
/// With `f`'s own panic, and when a thread panicked that nobody joined.
///
/// # Parks
///
/// Until the last thread has ended (`task.scope`).
///
/// # Examples
///
/// ```
/// use greenloom::thread;
/// let numbers = [1, 2, 3];
/// let sum: i32 = thread::scope(|s| {
///     let halves = numbers.chunks(2).map(|half| s.spawn(|| half.iter().sum::<i32>()));
///     halves.collect::<Vec<_>>().into_iter().map(|half| half.join().unwrap()).sum()
/// });
/// assert_eq!(sum, 6);
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    task::scope_as(f)
}

impl<'scope> task::Scope<'scope, '_, Threads> {
    /// Spawns a thread that may borrow what outlives the scope.
    ///
    /// # Panics
    ///
    /// When the runtime is full; [`Builder::spawn_scoped`](super::Builder::spawn_scoped) gives an error
    /// instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.launch(task::Builder::new(), false, f) {
            Ok(handle) => ScopedJoinHandle::new(handle),
            Err(error) => panic!("thread::Scope::spawn: {error}"),
        }
    }
}

/// The right to wait for a scoped thread and to take its value: [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    handle: task::ScopedJoinHandle<'scope, T>,
    thread: Thread,
}

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    pub(super) fn new(handle: task::ScopedJoinHandle<'scope, T>) -> Self {
        let thread = Thread::of(handle.task());
        ScopedJoinHandle { handle, thread }
    }

    /// The thread itself.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// As [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn join(self) -> os::Result<T> {
        self.handle.join().map_err(payload)
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
