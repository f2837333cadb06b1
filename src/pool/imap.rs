//! Lazy maps over a pool: items in, results out, and never more than a bounded number in between.
//!
//! Items are taken, and jobs spawned, by `next` itself: there is no feeder in the background. So the input
//! needs neither be `Send` nor end, what it panics with comes out of `next`, and nothing goes on once the
//! iterator is gone.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::scheduler::park;
use crate::task::{self, JoinError, JoinHandle};

use super::completed::AsCompleted;
use super::green_pool::GreenPool;

/// No larger look-ahead is taken from the size of a pool.
const MAX_LOOK_AHEAD: usize = 1000;

/// The input, and the item that waits for a seat.
struct Source<I: Iterator, F> {
    pool: GreenPool,
    items: I,
    /// Taken from the input, and not spawned yet.
    next: Option<I::Item>,
    f: Arc<F>,
    look_ahead: usize,
    is_over: bool,
    /// What the input has panicked with: due when the results before it have been given out.
    panic: Option<Box<dyn Any + Send>>,
}

impl<I: Iterator, F> Source<I, F> {
    fn new(pool: GreenPool, items: I, f: F) -> Self {
        let look_ahead = pool.size().clamp(1, MAX_LOOK_AHEAD);
        Source {
            pool,
            items,
            next: None,
            f: Arc::new(f),
            look_ahead,
            is_over: false,
            panic: None,
        }
    }

    /// Sees that there is an item to be spawned; false when there will be none.
    fn has_next(&mut self) -> bool {
        if self.next.is_some() {
            return true;
        }
        if self.is_over {
            return false;
        }
        // Over, should this unwind.
        self.is_over = true;
        match catch_unwind(AssertUnwindSafe(|| self.items.next())) {
            Ok(item) => {
                self.is_over = item.is_none();
                self.next = item;
            }
            Err(payload) if park::is_cancellation(&*payload) => {
                // Of the caller, while the input was waiting: it may go on later.
                self.is_over = false;
                park::rethrow(payload);
            }
            Err(payload) => self.panic = Some(payload),
        }
        self.next.is_some()
    }

    /// Spawns the next job; `None` when there are no more items, or no seat and `may_wait` is false.
    #[track_caller]
    fn spawn_next<T>(&mut self, may_wait: bool) -> Option<Result<JoinHandle<T>, JoinError>>
    where
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        if !self.has_next() {
            return None;
        }
        let Source { pool, next, f, .. } = self;
        // The item leaves its place when there is a seat: a wait that is cut short loses none.
        let job = || {
            let item = next.take().expect("seen above");
            let f = f.clone();
            move || f(item)
        };
        let spawned = pool.spawn_for_iterator(may_wait, job);
        if matches!(spawned, Some(Err(_))) && self.pool.is_closed() {
            // The input may be endless.
            self.is_over = true;
        }
        spawned
    }

    /// The end: the input's panic, if it has come to one.
    fn end(&mut self) {
        if let Some(payload) = self.panic.take() {
            park::rethrow(payload);
        }
    }

    fn size_hint(&self, in_flight: usize) -> (usize, Option<usize>) {
        let pending = in_flight + usize::from(self.next.is_some());
        let (least, most) = match self.is_over {
            true => (0, Some(0)),
            false => self.items.size_hint(),
        };
        let most = most.and_then(|most| most.checked_add(pending));
        (least.saturating_add(pending), most)
    }
}

/// Cancels tasks and waits for their end, in a section that is not cut short.
fn end_all<'a, T: 'a>(tasks: impl Iterator<Item = &'a mut JoinHandle<T>>) {
    let tasks: Vec<_> = tasks.collect();
    if tasks.is_empty() {
        return;
    }
    tasks.iter().for_each(|task| task.cancel());
    task::shield(|| tasks.into_iter().for_each(JoinHandle::wait_for_end));
}

/// The results of a function over a pool, in the order of the items: see
/// [`GreenPool::imap`](super::GreenPool::imap).
///
/// Each `next` spawns what the look-ahead and the pool's free seats allow, then waits for the result that
/// is due. A job that panicked is an error in its place, and the iteration goes on. When the pool is closed,
/// the item that was next is an error, as cancelled, and it is the last. When the input panics, the results of the items before come
/// first, then the panic, then the end.
///
/// Dropping it before its end cancels the jobs under way, and waits for them.
///
/// # Cancellation
///
/// A `next` that is cancelled or times out loses no item and no result.
///
/// # Parks
///
/// `next` does while the result that is due is not there (`task.join`), or no job is under way and there
/// is no seat (`pool.spawn`).
pub struct IMap<I: Iterator, F, T> {
    source: Source<I, F>,
    in_flight: VecDeque<Result<JoinHandle<T>, JoinError>>,
}

impl<I: Iterator, F, T> IMap<I, F, T> {
    pub(super) fn new(pool: GreenPool, items: I, f: F) -> Self {
        IMap {
            source: Source::new(pool, items, f),
            in_flight: VecDeque::new(),
        }
    }

    /// How many items may be taken from the input whose results have not been given out; at least 1. By
    /// default as many as the pool has seats, but no more than 1,000.
    pub fn look_ahead(mut self, items: usize) -> Self {
        self.source.look_ahead = items.max(1);
        self
    }
}

impl<I, F, T> Iterator for IMap<I, F, T>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    type Item = Result<T, JoinError>;

    #[track_caller]
    fn next(&mut self) -> Option<Result<T, JoinError>> {
        while self.in_flight.len() < self.source.look_ahead {
            match self.source.spawn_next(self.in_flight.is_empty()) {
                Some(job) => self.in_flight.push_back(job),
                None => break,
            }
        }
        if let Some(Ok(task)) = self.in_flight.front_mut() {
            task.wait_for_end();
        }
        let Some(first) = self.in_flight.pop_front() else {
            self.source.end();
            return None;
        };
        // It has ended, so this does not wait.
        Some(first.and_then(JoinHandle::join))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint(self.in_flight.len())
    }
}

impl<I: Iterator, F, T> Drop for IMap<I, F, T> {
    fn drop(&mut self) {
        end_all(
            self.in_flight
                .iter_mut()
                .filter_map(|job| job.as_mut().ok()),
        );
    }
}

/// The results of a function over a pool, as they come: see
/// [`GreenPool::imap_unordered`](super::GreenPool::imap_unordered). For the rest as [`IMap`].
pub struct IMapUnordered<I: Iterator, F, T> {
    source: Source<I, F>,
    in_flight: AsCompleted<T>,
}

impl<I: Iterator, F, T> IMapUnordered<I, F, T> {
    pub(super) fn new(pool: GreenPool, items: I, f: F) -> Self {
        IMapUnordered {
            source: Source::new(pool, items, f),
            in_flight: AsCompleted::new(),
        }
    }

    /// As [`IMap::look_ahead`].
    pub fn look_ahead(mut self, items: usize) -> Self {
        self.source.look_ahead = items.max(1);
        self
    }
}

impl<I, F, T> Iterator for IMapUnordered<I, F, T>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    type Item = Result<T, JoinError>;

    #[track_caller]
    fn next(&mut self) -> Option<Result<T, JoinError>> {
        while self.in_flight.len() < self.source.look_ahead {
            match self.source.spawn_next(self.in_flight.is_empty()) {
                Some(Ok(task)) => self.in_flight.push(task),
                Some(Err(error)) => self.in_flight.push_outcome(Err(error)),
                None => break,
            }
        }
        let next = self.in_flight.next();
        if next.is_none() {
            self.source.end();
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint(self.in_flight.len())
    }
}

impl<I: Iterator, F, T> Drop for IMapUnordered<I, F, T> {
    fn drop(&mut self) {
        end_all(self.in_flight.tasks());
    }
}

impl<I, F, T> FusedIterator for IMap<I, F, T>
where
    Self: Iterator,
    I: Iterator,
{
}
impl<I, F, T> FusedIterator for IMapUnordered<I, F, T>
where
    Self: Iterator,
    I: Iterator,
{
}

impl<I: Iterator, F, T> fmt::Debug for IMap<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMap")
            .field("in_flight", &self.in_flight.len())
            .field("look_ahead", &self.source.look_ahead)
            .finish_non_exhaustive()
    }
}

impl<I: Iterator, F, T> fmt::Debug for IMapUnordered<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMapUnordered")
            .field("in_flight", &self.in_flight.len())
            .field("look_ahead", &self.source.look_ahead)
            .finish_non_exhaustive()
    }
}
