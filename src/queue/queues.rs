//! The queues as users hold them: one handle for each order.

use std::fmt;
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::core::Core;
use super::error::{
    GetError, GetTimeoutError, PutError, PutTimeoutError, TryGetError, TryPutError,
};
use super::heap::Smallest;
use super::joinable::{Account, QueueGuard, TaskDoneError};
use super::order::{Fifo, Lifo};

/// Getting item after item, waiting for each; ends when the queue is shut down and empty.
///
/// Made by [`Queue::iter`] and its like.
#[derive(Debug)]
pub struct Iter<'a, Q> {
    queue: &'a Q,
}

/// Getting what is there, without waiting. Made by [`Queue::try_iter`] and its like.
#[derive(Debug)]
pub struct TryIter<'a, Q> {
    queue: &'a Q,
}

/// A queue as an iterator of its own, else as [`Iter`].
#[derive(Debug)]
pub struct IntoIter<Q> {
    queue: Q,
}

/// A handle with its `new`s and methods, for one order.
macro_rules! queue {
    (
        $(#[$doc:meta])*
        $Queue:ident<T $(: $Bound:ident)?>, $Order:ty, gets $which:literal
    ) => {
        $(#[$doc])*
        pub struct $Queue<T $(: $Bound)?> {
            core: Arc<Core<T, $Order>>,
        }

        impl<T $(: $Bound)?> $Queue<T> {
            /// Makes a queue with room for so many items.
            ///
            /// # Panics
            ///
            /// When there is room for none: nothing could ever be put in. (Python's `Queue(0)` is
            /// [`unbounded`](Self::unbounded); [`channel::rendezvous`](crate::channel::rendezvous) hands over
            /// without room.)
            #[track_caller]
            pub fn bounded(capacity: usize) -> Self {
                assert!(
                    capacity > 0,
                    "a queue without room: ask for unbounded(), or for channel::rendezvous()"
                );
                $Queue {
                    core: Arc::new(Core::new(capacity)),
                }
            }

            /// Makes a queue that always has room.
            pub fn unbounded() -> Self {
                $Queue {
                    core: Arc::new(Core::new(usize::MAX)),
                }
            }

            /// Puts an item in, waiting for room as long as it takes. A getter that waits has it at once, and
            /// nobody takes it in passing.
            ///
            /// # Errors
            ///
            /// [`PutError`] gives the item back when the queue is shut down, before or while it waits.
            ///
            /// # Cancellation
            ///
            /// Unwinds while it waits. The item is dropped, unless it has gone in in the same moment.
            ///
            /// # Parks
            ///
            /// While the queue is full (`queue.put`). A task that puts on and on without ever waiting yields
            /// once in a while.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::bounded(1);")]
            /// queue.put(7).unwrap();
            /// queue.shutdown(false);
            /// assert_eq!(queue.put(8).unwrap_err().into_inner(), 8);
            /// ```
            #[track_caller]
            #[inline]
            pub fn put(&self, item: T) -> Result<(), PutError<T>> {
                // Before anything else: the yield may unwind.
                park::spend_budget();
                let put = self.core.put(item, Deadline::NEVER);
                put.map_err(|error| PutError(error.into_inner()))
            }

            /// Puts an item in if there is room. Never parks.
            ///
            /// # Errors
            ///
            /// [`TryPutError`] gives the item back.
            #[inline]
            pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
                self.core.try_put(item)
            }

            /// As [`put`](Self::put), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
            ///
            /// # Errors
            ///
            /// [`PutTimeoutError`] gives the item back. If there is room at the very deadline, it goes in.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::bounded(1);")]
            /// queue.put(1).unwrap();
            /// let error = queue.put_timeout(2, Duration::from_millis(1)).unwrap_err();
            /// assert!(error.is_timeout());
            /// assert_eq!(error.into_inner(), 2);
            /// ```
            #[track_caller]
            pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
                let item = match self.try_put(item) {
                    Ok(()) => return Ok(()),
                    Err(TryPutError::ShutDown(item)) => return Err(PutTimeoutError::ShutDown(item)),
                    Err(TryPutError::Full(item)) => item,
                };
                if timeout.is_zero() {
                    return Err(PutTimeoutError::Timeout(item));
                }
                self.core.put(item, park::deadline(timeout))
            }

            #[doc = concat!("Takes ", $which, " item out, waiting for one as long as it takes.")]
            ///
            /// Getters are served in the order in which they came.
            ///
            /// # Errors
            ///
            /// [`GetError`] when the queue is shut down and empty.
            ///
            /// # Cancellation
            ///
            /// Unwinds while it waits; an item that was given to it meanwhile goes to the next getter.
            ///
            /// # Parks
            ///
            /// While the queue is empty (`queue.get`). A task that gets on and on without ever waiting yields
            /// once in a while.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::unbounded();")]
            /// let theirs = queue.clone();
            /// std::thread::spawn(move || theirs.put("from a plain thread"));
            /// assert_eq!(queue.get(), Ok("from a plain thread"));
            /// ```
            #[track_caller]
            #[inline]
            pub fn get(&self) -> Result<T, GetError> {
                // Before anything else: the yield may unwind.
                park::spend_budget();
                self.core.get(Deadline::NEVER).map_err(|_| GetError)
            }

            /// Takes an item out if one is there. Never waits for one.
            ///
            /// # Errors
            ///
            /// [`TryGetError`]: nothing is there, or nothing will ever come.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::<u8>::unbounded();")]
            /// assert!(queue.try_get().unwrap_err().is_empty());
            /// queue.shutdown(false);
            /// assert!(queue.try_get().unwrap_err().is_shut_down());
            /// ```
            #[track_caller]
            #[inline]
            pub fn try_get(&self) -> Result<T, TryGetError> {
                self.core.try_get()
            }

            /// As [`get`](Self::get), but waits for an item no longer than `timeout`. With a `timeout` of zero it
            /// asks once.
            ///
            /// # Errors
            ///
            /// [`GetTimeoutError`]. An item that comes at the very deadline is had.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::<u8>::unbounded();")]
            /// assert!(queue.get_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
            /// ```
            #[track_caller]
            pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError> {
                match self.try_get() {
                    Ok(item) => Ok(item),
                    Err(TryGetError::ShutDown) => Err(GetTimeoutError::ShutDown),
                    Err(TryGetError::Empty) if timeout.is_zero() => Err(GetTimeoutError::Timeout),
                    Err(TryGetError::Empty) => self.core.get(park::deadline(timeout)),
                }
            }

            /// As [`get`](Self::get), but the item is [done](Self::task_done) when what is returned is dropped.
            ///
            /// # Errors
            ///
            /// As for `get`; nothing is done then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::from_iter([3]);")]
            /// let work = queue.get_guard().unwrap();
            /// assert_eq!((*work, queue.unfinished()), (3, 1));
            /// drop(work);
            /// assert_eq!(queue.unfinished(), 0);
            /// ```
            #[track_caller]
            pub fn get_guard(&self) -> Result<QueueGuard<'_, T, Self>, GetError> {
                Ok(QueueGuard::new(self.get()?, self))
            }

            /// [`try_get`](Self::try_get) with the guard of [`get_guard`](Self::get_guard).
            ///
            /// # Errors
            ///
            /// As for `try_get`; nothing is done then.
            #[track_caller]
            pub fn try_get_guard(&self) -> Result<QueueGuard<'_, T, Self>, TryGetError> {
                Ok(QueueGuard::new(self.try_get()?, self))
            }

            /// [`get_timeout`](Self::get_timeout) with the guard of [`get_guard`](Self::get_guard).
            ///
            /// # Errors
            ///
            /// As for `get_timeout`; nothing is done then.
            #[track_caller]
            pub fn get_guard_timeout(
                &self,
                timeout: Duration,
            ) -> Result<QueueGuard<'_, T, Self>, GetTimeoutError> {
                Ok(QueueGuard::new(self.get_timeout(timeout)?, self))
            }

            /// Says that an item that was taken out needs no more work. Never parks.
            ///
            /// # Errors
            ///
            /// [`TaskDoneError`] when it was said of every item before; nothing has changed then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::from_iter([3]);")]
            /// queue.get().unwrap();
            /// assert!(queue.task_done().is_ok());
            /// assert!(queue.task_done().is_err());
            /// ```
            pub fn task_done(&self) -> Result<(), TaskDoneError> {
                self.core.task_done()
            }

            /// Waits until every item that was put in is done; returns at once if there is none.
            ///
            /// # Cancellation
            ///
            /// Unwinds.
            ///
            /// # Parks
            ///
            /// While something is unfinished (`queue.join`).
            #[track_caller]
            pub fn join(&self) {
                self.core.join(Deadline::NEVER);
            }

            /// As [`join`](Self::join), but false when it was not all done within `timeout`.
            #[track_caller]
            pub fn join_timeout(&self, timeout: Duration) -> bool {
                match timeout {
                    Duration::ZERO => self.unfinished() == 0,
                    timeout => self.core.join(park::deadline(timeout)),
                }
            }

            /// Ends the queue, as Python's `Queue.shutdown` does since 3.13. Never parks.
            ///
            /// Every put fails from now on, also those that wait. Gets take what is inside, and fail when there
            /// is nothing more, also those that wait.
            ///
            /// With `immediate`, what is inside is dropped and counts as done, so that gets fail at once; `join`
            /// still waits for items that somebody has already taken out. It may follow a shutdown that was
            /// not immediate.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::from_iter([1]);")]
            /// queue.shutdown(false);
            /// assert!(queue.put(2).is_err());
            /// assert_eq!(queue.get(), Ok(1));
            /// assert!(queue.get().is_err());
            /// ```
            pub fn shutdown(&self, immediate: bool) {
                self.core.shut_down(immediate);
            }

            /// Whether [`shutdown`](Self::shutdown) was called; there may be items yet.
            pub fn is_shut_down(&self) -> bool {
                self.core.look().is_shut
            }

            /// How many items are inside: put in, and on their way to no getter yet.
            pub fn len(&self) -> usize {
                self.core.look().len
            }

            /// Whether no item is inside. More may come: this is no sign of the end.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether a put would have to wait for a get.
            pub fn is_full(&self) -> bool {
                let look = self.core.look();
                look.taken >= look.capacity
            }

            /// How many items there is room for; `None` when unbounded.
            pub fn capacity(&self) -> Option<usize> {
                match self.core.look().capacity {
                    usize::MAX => None,
                    capacity => Some(capacity),
                }
            }

            /// How many items were put in and are not [done](Self::task_done).
            pub fn unfinished(&self) -> usize {
                self.core.look().unfinished
            }

            /// Gets item after item, waiting for each; ends when the queue is shut down and empty.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = greenloom::queue::", stringify!($Queue), "::from_iter([1, 1]);")]
            /// queue.shutdown(false);
            /// assert_eq!(queue.iter().sum::<i32>(), 2);
            /// ```
            pub fn iter(&self) -> Iter<'_, Self> {
                Iter { queue: self }
            }

            /// Gets what is there, without waiting.
            pub fn try_iter(&self) -> TryIter<'_, Self> {
                TryIter { queue: self }
            }

            /// Whether both are handles of the same queue.
            pub fn same_queue(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.core, &other.core)
            }
        }

        impl<T $(: $Bound)?> Clone for $Queue<T> {
            /// Another handle of the same queue.
            fn clone(&self) -> Self {
                $Queue {
                    core: self.core.clone(),
                }
            }
        }

        impl<T $(: $Bound)?> Default for $Queue<T> {
            /// An unbounded queue.
            fn default() -> Self {
                Self::unbounded()
            }
        }

        impl<T $(: $Bound)?> FromIterator<T> for $Queue<T> {
            /// An unbounded queue into which all of these were put.
            fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
                let queue = Self::unbounded();
                for item in items {
                    // It has room for all, and nobody else has it yet.
                    let _ = queue.try_put(item);
                }
                queue
            }
        }

        impl<T: fmt::Debug $(+ $Bound)?> fmt::Debug for $Queue<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let look = self.core.look();
                let mut debug = f.debug_struct(stringify!($Queue));
                debug.field("len", &look.len);
                if look.capacity != usize::MAX {
                    debug.field("capacity", &look.capacity);
                }
                debug
                    .field("unfinished", &look.unfinished)
                    .field("is_shut_down", &look.is_shut)
                    .finish()
            }
        }

        impl<T $(: $Bound)?> Account for $Queue<T> {
            fn done_once(&self) {
                // Refused only if others have said it too often: then they meant this one.
                let _ = self.task_done();
            }
        }

        impl<T $(: $Bound)?> Iterator for Iter<'_, $Queue<T>> {
            type Item = T;

            #[track_caller]
            fn next(&mut self) -> Option<T> {
                self.queue.get().ok()
            }
        }

        impl<T $(: $Bound)?> Iterator for TryIter<'_, $Queue<T>> {
            type Item = T;

            #[track_caller]
            fn next(&mut self) -> Option<T> {
                self.queue.try_get().ok()
            }
        }

        impl<T $(: $Bound)?> Iterator for IntoIter<$Queue<T>> {
            type Item = T;

            #[track_caller]
            fn next(&mut self) -> Option<T> {
                self.queue.get().ok()
            }
        }

        // Nothing comes after the end.
        impl<T $(: $Bound)?> FusedIterator for Iter<'_, $Queue<T>> {}
        impl<T $(: $Bound)?> FusedIterator for IntoIter<$Queue<T>> {}

        impl<'a, T $(: $Bound)?> IntoIterator for &'a $Queue<T> {
            type Item = T;
            type IntoIter = Iter<'a, $Queue<T>>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl<T $(: $Bound)?> IntoIterator for $Queue<T> {
            type Item = T;
            type IntoIter = IntoIter<$Queue<T>>;

            fn into_iter(self) -> Self::IntoIter {
                IntoIter { queue: self }
            }
        }

        // A panic in a user's code, which runs outside of the latch, leaves the queue whole.
        impl<T $(: $Bound)?> UnwindSafe for $Queue<T> {}
        impl<T $(: $Bound)?> RefUnwindSafe for $Queue<T> {}
    };
}

queue! {
    /// A queue that gives items in the order in which they came: Python's `queue.Queue` and `asyncio.Queue`.
    ///
    /// A handle: clones are the same queue. See the [module](super) for an example.
    Queue<T>, Fifo, gets "the oldest"
}

queue! {
    /// A queue that gives the newest item first: a stack. Python's `queue.LifoQueue`.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = greenloom::queue::LifoQueue::from_iter([1, 2, 3]);
    /// assert_eq!(queue.try_iter().collect::<Vec<_>>(), [3, 2, 1]);
    /// ```
    LifoQueue<T>, Lifo, gets "the newest"
}

queue! {
    /// A queue that gives the smallest item first, and among equal ones the oldest. Python's
    /// `queue.PriorityQueue`, except that there equal ones come in any order.
    ///
    /// For the largest first, put [`Reverse`](std::cmp::Reverse)d items.
    ///
    /// # Comparisons
    ///
    /// They run in the calls that get, never in those that put, and never inside of a lock that blocks a
    /// thread. One that panics leaves the queue as it was, with every item. One may wait, and then other
    /// getters wait for it, also `try_get`, and beyond their time-outs (`sync.mutex`); puts do not. One that
    /// puts into its own queue may do so; one that gets from it would wait for itself, and panics instead. An
    /// order that contradicts itself gives items in a contradictory order, and loses none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cmp::Reverse;
    /// use greenloom::queue::PriorityQueue;
    ///
    /// let queue = PriorityQueue::from_iter([(2, "walk"), (1, "eat"), (3, "sleep")]);
    /// assert_eq!(queue.get(), Ok((1, "eat")));
    /// let queue = PriorityQueue::from_iter([2, 1, 3].map(Reverse));
    /// assert_eq!(queue.get(), Ok(Reverse(3)));
    /// ```
    PriorityQueue<T: Ord>, Smallest<T>, gets "the smallest"
}
