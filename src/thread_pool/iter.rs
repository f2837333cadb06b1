//! Results of jobs, one after another: in order, or as they are ready.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::base::clock::Deadline;
use crate::runtime::Outside;
use crate::scheduler::park::{self, Wait, Wake};

use super::job::{JobError, JobHandle};
use super::pool::Shared;

/// The keys of jobs that have ended, in the order of their ends.
#[derive(Default)]
struct Ready {
    state: Mutex<(VecDeque<u64>, Option<Waker>)>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<u64>, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, key: u64) {
        let waker = {
            let mut state = self.lock();
            state.0.push_back(key);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for a job that has ended; `None` when the deadline passed before.
    #[track_caller]
    fn take(&self, deadline: Deadline) -> Option<u64> {
        let _outside = Outside::here();
        let wait = Wait::new("thread_pool.completed").until(deadline);
        let mut is_late = false;
        loop {
            {
                let mut state = self.lock();
                let key = state.0.pop_front();
                if key.is_some() || is_late {
                    state.1 = None;
                    return key;
                }
                state.1 = Some(park::current_waker());
            }
            is_late = park::park(&wait) == Wake::TimedOut;
        }
    }
}

/// Puts a key back in front.
struct Back<'a>(&'a Ready, u64);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.lock().0.push_front(self.1);
    }
}

/// Jobs that are under way, by keys that count up.
struct UnderWay<T> {
    jobs: HashMap<u64, Result<JobHandle<T>, JobError>>,
    next: u64,
    ready: Arc<Ready>,
}

impl<T: 'static> UnderWay<T> {
    fn new() -> Self {
        UnderWay {
            jobs: HashMap::new(),
            next: 0,
            ready: Arc::default(),
        }
    }

    fn add(&mut self, mut job: Result<JobHandle<T>, JobError>) {
        let (key, ready) = (self.next, self.ready.clone());
        self.next += 1;
        match &mut job {
            Ok(job) => job.on_done(move |_| ready.push(key)),
            Err(_) => ready.push(key),
        }
        self.jobs.insert(key, job);
    }

    /// The next one that has ended; `None` when none is under way, or has ended by then.
    #[track_caller]
    fn next(&mut self, deadline: Deadline) -> Option<Result<T, JobError>> {
        if self.jobs.is_empty() {
            return None;
        }
        let key = self.ready.take(deadline)?;
        // It is told before it is there: should this wait be cancelled, the job is the next one again.
        let back = Back(&self.ready, key);
        if let Some(Ok(job)) = self.jobs.get(&key) {
            job.wait();
        }
        std::mem::forget(back);
        Some(self.jobs.remove(&key)?.and_then(JobHandle::join))
    }
}

/// The outcomes of jobs in the order in which they end. Made by [`ThreadPool::as_completed`](super::ThreadPool::as_completed).
///
/// # Cancellation
///
/// A `next` that is cancelled or times out loses no outcome.
///
/// # Parks
///
/// `next` does while none of the jobs has ended (`thread_pool.completed`).
pub struct AsCompleted<T> {
    under_way: UnderWay<T>,
}

impl<T: 'static> AsCompleted<T> {
    pub(super) fn new(jobs: impl IntoIterator<Item = JobHandle<T>>) -> Self {
        let mut under_way = UnderWay::new();
        jobs.into_iter().for_each(|job| under_way.add(Ok(job)));
        AsCompleted { under_way }
    }

    #[track_caller]
    pub(super) fn next_until(&mut self, deadline: Deadline) -> Option<Result<T, JobError>> {
        self.under_way.next(deadline)
    }
}

impl<T: 'static> Iterator for AsCompleted<T> {
    type Item = Result<T, JobError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        self.under_way.next(Deadline::NEVER)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.under_way.jobs.len(), Some(self.under_way.jobs.len()))
    }
}

impl<T: 'static> ExactSizeIterator for AsCompleted<T> {}
impl<T: 'static> FusedIterator for AsCompleted<T> {}

/// What both maps do: submit items as there is room ahead.
struct Feed<I: Iterator, F> {
    pool: Arc<Shared>,
    items: Fuse<I>,
    f: Arc<F>,
    ahead: usize,
}

impl<I, F> Feed<I, F>
where
    I: Iterator,
    I::Item: Send + 'static,
{
    fn new(pool: Arc<Shared>, items: I, f: F) -> Self {
        Feed {
            ahead: pool.threads().saturating_mul(2),
            pool,
            items: items.fuse(),
            f: Arc::new(f),
        }
    }

    /// Submits the next item; `None` when there is none.
    fn submit<T>(&mut self) -> Option<Result<JobHandle<T>, JobError>>
    where
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let (item, f) = (self.items.next()?, self.f.clone());
        Some(self.pool.submit(move || f(item)).map_err(JobError::from))
    }
}

/// The results of a function with item after item, in order. Made by [`ThreadPool::imap`](super::ThreadPool::imap).
///
/// Dropping it cancels what is still in line.
///
/// # Cancellation
///
/// A `next` that is cancelled loses no result: the one after it gets it.
///
/// # Parks
///
/// `next` does until the next result is there (`thread_pool.join`).
pub struct IMap<I: Iterator, F, T> {
    feed: Feed<I, F>,
    jobs: VecDeque<Result<JobHandle<T>, JobError>>,
}

impl<I, F, T> IMap<I, F, T>
where
    I: Iterator,
    I::Item: Send + 'static,
{
    pub(super) fn new(pool: Arc<Shared>, items: I, f: F) -> Self {
        IMap {
            feed: Feed::new(pool, items, f),
            jobs: VecDeque::new(),
        }
    }

    /// How many items are in line or running before their results are asked for; at least one.
    pub fn look_ahead(mut self, items: usize) -> Self {
        self.feed.ahead = items.max(1);
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
    type Item = Result<T, JobError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        while self.jobs.len() < self.feed.ahead
            && let Some(job) = self.feed.submit()
        {
            self.jobs.push_back(job);
        }
        // Still in front should this wait be cancelled.
        if let Ok(job) = self.jobs.front()? {
            job.wait();
        }
        Some(self.jobs.pop_front()?.and_then(JobHandle::join))
    }
}

impl<I: Iterator, F, T> Drop for IMap<I, F, T> {
    fn drop(&mut self) {
        for job in self.jobs.iter().flatten() {
            job.cancel();
        }
    }
}

/// The results of a function with item after item, as they are ready. Made by
/// [`ThreadPool::imap_unordered`](super::ThreadPool::imap_unordered).
///
/// Dropping it cancels what is still in line.
///
/// # Cancellation
///
/// A `next` that is cancelled loses no result.
///
/// # Parks
///
/// `next` does until a result is there (`thread_pool.completed`).
pub struct IMapUnordered<I: Iterator, F, T> {
    feed: Feed<I, F>,
    under_way: UnderWay<T>,
}

impl<I, F, T> IMapUnordered<I, F, T>
where
    I: Iterator,
    I::Item: Send + 'static,
    T: 'static,
{
    pub(super) fn new(pool: Arc<Shared>, items: I, f: F) -> Self {
        IMapUnordered {
            feed: Feed::new(pool, items, f),
            under_way: UnderWay::new(),
        }
    }

    /// How many items are in line or running before their results are asked for; at least one.
    pub fn look_ahead(mut self, items: usize) -> Self {
        self.feed.ahead = items.max(1);
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
    type Item = Result<T, JobError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        while self.under_way.jobs.len() < self.feed.ahead
            && let Some(job) = self.feed.submit()
        {
            self.under_way.add(job);
        }
        self.under_way.next(Deadline::NEVER)
    }
}

impl<I: Iterator, F, T> Drop for IMapUnordered<I, F, T> {
    fn drop(&mut self) {
        for job in self.under_way.jobs.values().flatten() {
            job.cancel();
        }
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("under_way", &self.under_way.jobs.len())
            .finish()
    }
}

impl<I: Iterator, F, T> fmt::Debug for IMap<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMap")
            .field("under_way", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

impl<I: Iterator, F, T> fmt::Debug for IMapUnordered<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMapUnordered")
            .field("under_way", &self.under_way.jobs.len())
            .finish_non_exhaustive()
    }
}
