//! A list of items done by threads, and a thread between two queues.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::finally::Finally;
use crate::queue::Queue;
use crate::scheduler::park;
use crate::sync::Event;
use crate::task::Panic;

use super::iter::AsCompleted;
use super::job::{JobError, JobHandle};
use super::pool::{SubmitError, ThreadPool};

/// Why an item has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkError {
    /// The function panicked with it.
    Panicked(Panic),
    /// It was not done in time. If it had been begun, its thread goes on, and its result is dropped.
    TimedOut,
    /// There was no thread for it.
    NoThread(io::Error),
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Panicked(panic) => write!(f, "the work panicked: {}", panic.message()),
            WorkError::TimedOut => f.write_str("the work was not done in time"),
            WorkError::NoThread(error) => write!(f, "no thread for the work: {error}"),
        }
    }
}

impl Error for WorkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            WorkError::NoThread(error) => Some(error),
            _ => None,
        }
    }
}

impl From<JobError> for WorkError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Panicked(panic) => WorkError::Panicked(panic),
            // The pool is ours: nobody else cancels or breaks it.
            JobError::Cancelled | JobError::Broken => WorkError::TimedOut,
        }
    }
}

/// A list of items that threads are to do; see [`threaded_work`].
#[derive(Debug)]
#[must_use = "nothing is done before run()"]
pub struct ThreadedWork<I, F> {
    items: I,
    f: F,
    threads: Option<usize>,
    timeout: Option<Duration>,
    is_ordered: bool,
}

/// Does `f` with every item on threads made for it; [`run`](ThreadedWork::run) does it.
///
/// # Examples
///
/// ```
/// use greenloom::thread_pool::threaded_work;
///
/// let results = threaded_work([3, 1, 2], |n| 6 / (n - 1)).threads(2).run();
/// assert_eq!(*results[0].as_ref().unwrap(), 3);
/// assert!(results[1].is_err()); // it has divided by zero
/// assert_eq!(*results[2].as_ref().unwrap(), 6);
/// ```
pub fn threaded_work<I, F>(items: I, f: F) -> ThreadedWork<I, F> {
    ThreadedWork {
        items,
        f,
        threads: None,
        timeout: None,
        is_ordered: true,
    }
}

impl<I, F> ThreadedWork<I, F> {
    /// On so many threads at most; by default one for each item. None counts as one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// How long all of it may take; by default as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether the results are in the order of the items, as they are by default, or in that in which they
    /// were ready.
    pub fn ordered(mut self, is_ordered: bool) -> Self {
        self.is_ordered = is_ordered;
        self
    }

    /// Does it, and returns one result for each item, whatever became of it.
    ///
    /// # Cancellation
    ///
    /// Unwinds; what has not been begun is not done, and what has been is.
    ///
    /// # Parks
    ///
    /// Until all is done or the time is over (`thread_pool.join`, `thread_pool.completed`).
    #[track_caller]
    pub fn run<T>(self) -> Vec<Result<T, WorkError>>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let deadline = self.timeout.map_or(Deadline::NEVER, park::deadline);
        let items: Vec<_> = self.items.into_iter().collect();
        if items.is_empty() {
            return Vec::new();
        }
        let pool = Terminated(ThreadPool::new(self.threads.unwrap_or(items.len())));
        let f = Arc::new(self.f);
        let mut failed = Vec::new();
        let mut jobs = Vec::new();
        for item in items {
            let f = f.clone();
            match pool.0.submit(move || f(item)) {
                Ok(job) => jobs.push(Ok(job)),
                Err(SubmitError::Thread(error)) => jobs.push(Err(WorkError::NoThread(error))),
                Err(_) => jobs.push(Err(WorkError::TimedOut)),
            }
        }
        if self.is_ordered {
            let join = |job: JobHandle<T>| match job.join_until(deadline) {
                Ok(outcome) => outcome.map_err(WorkError::from),
                Err(_) => Err(WorkError::TimedOut),
            };
            return jobs.into_iter().map(|job| job.and_then(join)).collect();
        }
        let mut under_way = Vec::new();
        for job in jobs {
            match job {
                Ok(job) => under_way.push(job),
                Err(error) => failed.push(Err(error)),
            }
        }
        let mut completed = AsCompleted::new(under_way);
        let mut results = Vec::new();
        while let Some(outcome) = completed.next_until(deadline) {
            results.push(outcome.map_err(WorkError::from));
        }
        results.extend((0..completed.len()).map(|_| Err(WorkError::TimedOut)));
        results.extend(failed);
        results
    }
}

/// On every way out, what has not been begun never is.
struct Terminated(ThreadPool);

impl Drop for Terminated {
    fn drop(&mut self) {
        self.0.terminate();
    }
}

/// A thread that takes items from one queue, works on them, and puts the results into another.
///
/// It ends when the queue of work is shut down and empty, or that of results is shut down; never because the
/// work has not come yet. Each item that it has taken is [done](Queue::task_done) once its result is put, and
/// gives exactly one result. So `work.join()` tells that all results are there.
///
/// # Examples
///
/// ```
/// use greenloom::queue::Queue;
/// use greenloom::thread_pool::ThreadedWorker;
///
/// let (work, results) = (Queue::unbounded(), Queue::unbounded());
/// let workers: Vec<_> = (0..3)
///     .map(|_| ThreadedWorker::spawn(&work, &results, |word: &str| word.len()).unwrap())
///     .collect();
/// for word in ["one", "three"] {
///     work.put(word).unwrap();
/// }
/// work.join();
/// work.shutdown(false);
/// workers.into_iter().for_each(ThreadedWorker::join);
/// assert_eq!(results.try_iter().map(Result::unwrap).sum::<usize>(), 8);
/// ```
#[derive(Debug)]
pub struct ThreadedWorker {
    has_ended: Arc<Event>,
}

impl ThreadedWorker {
    /// Starts it. Dropping what is returned lets the thread go on by itself.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn spawn<I, R, F>(
        work: &Queue<I>,
        results: &Queue<Result<R, WorkError>>,
        mut f: F,
    ) -> io::Result<ThreadedWorker>
    where
        I: Send + 'static,
        R: Send + 'static,
        F: FnMut(I) -> R + Send + 'static,
    {
        let has_ended = Arc::new(Event::new());
        let has_this_ended = has_ended.clone();
        // On every way out of the thread, and when there is none.
        let ends = Finally::new(move || has_this_ended.set());
        let (work, results) = (work.clone(), results.clone());
        thread::Builder::new().spawn(move || {
            let _ends = ends;
            while let Ok(item) = work.get_guard() {
                let (item, done) = item.split();
                let result = catch_unwind(AssertUnwindSafe(|| f(item)));
                let result = result.map_err(|payload| {
                    let panic = Panic::new(payload);
                    log::error!("error in a ThreadedWorker: {}", panic.message());
                    WorkError::Panicked(panic)
                });
                let put = results.put(result);
                drop(done);
                if put.is_err() {
                    return;
                }
            }
        })?;
        Ok(ThreadedWorker { has_ended })
    }

    /// Waits until it has ended.
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`).
    #[track_caller]
    pub fn join(self) {
        self.has_ended.wait();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.has_ended.is_set()
    }
}
