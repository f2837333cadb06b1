//! What is said of work that was taken from a queue: that it is done, once each.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// More was said to be done than had been put in; the queue is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskDoneError(pub(super) ());

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done() called too many times")
    }
}

impl std::error::Error for TaskDoneError {}

/// A queue that counts what is not done. Sealed: its name is not to be had outside.
pub trait Account {
    #[doc(hidden)]
    fn done_once(&self);
}

/// An item taken from a queue, as what it stands for: work. It is said to be done when this is dropped, in the
/// midst of a panic as well.
///
/// Made by [`Queue::get_guard`](super::Queue::get_guard) and its like. A get that failed makes none, so
/// nothing is said to be done that was not had. It is [dereferenced](Deref) to the item.
#[must_use = "the work is done when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct QueueGuard<'a, T, Q: Account> {
    /// Before `done`: dropped before it, so that whoever joins the queue finds the item gone.
    item: T,
    done: Done<'a, Q>,
}

/// Says it when it is dropped.
pub(crate) struct Done<'a, Q: Account>(Option<&'a Q>);

impl<Q: Account> Drop for Done<'_, Q> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            queue.done_once();
        }
    }
}

impl<'a, T, Q: Account> QueueGuard<'a, T, Q> {
    pub(super) fn new(item: T, queue: &'a Q) -> Self {
        QueueGuard {
            item,
            done: Done(Some(queue)),
        }
    }

    /// The item, and what says that it is done.
    pub(crate) fn split(self) -> (T, Done<'a, Q>) {
        let QueueGuard { item, done } = self;
        (item, done)
    }

    /// Takes the item out; its [`task_done`](super::Queue::task_done) is the caller's to say.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::queue::Queue;
    ///
    /// let queue = Queue::from_iter(["work"]);
    /// let work = queue.get_guard().unwrap().into_inner();
    /// assert_eq!((work, queue.unfinished()), ("work", 1));
    /// assert!(queue.task_done().is_ok());
    /// ```
    pub fn into_inner(self) -> T {
        let QueueGuard { item, mut done } = self;
        done.0 = None;
        item
    }
}

impl<T, Q: Account> Deref for QueueGuard<'_, T, Q> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T, Q: Account> DerefMut for QueueGuard<'_, T, Q> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.item
    }
}

impl<T: fmt::Debug, Q: Account> fmt::Debug for QueueGuard<'_, T, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

impl<T: fmt::Display, Q: Account> fmt::Display for QueueGuard<'_, T, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}
