//! The threads of a pool and the line of their jobs.
//!
//! One lock guards the line and the counts; nothing of a user's runs under it. A job is *pending* from its
//! submission until it has ended and its closure is gone. Those who wait for the end of all leave their
//! wakers, look again, and park.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use std::{fmt, io, mem, thread};

use crate::base::clock::Deadline;
use crate::base::payload;
use crate::runtime::Outside;
use crate::scheduler::park::{self, Wait, Wake};

use super::iter::{AsCompleted, IMap, IMapUnordered};
use super::job::{Desk, Job, JobError, JobHandle, Queued};

thread_local! {
    /// The pool whose thread this is, by the address of what its threads share; 0 for none.
    static MEMBER_OF: Cell<usize> = const { Cell::new(0) };
}

/// Why [`ThreadPool::submit`] did not take a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubmitError {
    /// The pool was closed.
    Closed,
    /// The initialiser of a thread panicked.
    Broken,
    /// There is no thread, and the system gives none.
    Thread(io::Error),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Closed => f.write_str("the pool is closed"),
            SubmitError::Broken => JobError::Broken.fmt(f),
            SubmitError::Thread(error) => write!(f, "no thread for the pool: {error}"),
        }
    }
}

impl Error for SubmitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SubmitError::Thread(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SubmitError> for io::Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Thread(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl From<SubmitError> for JobError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Closed => JobError::Cancelled,
            SubmitError::Broken | SubmitError::Thread(_) => JobError::Broken,
        }
    }
}

type Initializer = Box<dyn Fn() + Send + Sync>;

/// Settings of a pool that is yet to be made.
#[must_use]
pub struct Builder {
    threads: usize,
    name: Option<String>,
    stack_size: Option<usize>,
    initializer: Option<Initializer>,
}

impl Builder {
    /// How many threads there are at most; they start when there are jobs for them. By default four more than
    /// the CPUs this process may use, and at most 32, as in Python.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The threads' name, with a number behind it. By default they have none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Bytes of stack for each thread; by default as std.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Runs in each thread before its first job. If it panics, the pool is broken: jobs in line fail with
    /// [`JobError::Broken`], and no more are taken.
    pub fn initializer(mut self, f: impl Fn() + Send + Sync + 'static) -> Self {
        self.initializer = Some(Box::new(f));
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a pool without threads.
    pub fn build(self) -> io::Result<ThreadPool> {
        if self.threads == 0 {
            let text = "a pool needs at least one thread";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let shared = Arc::new(Shared {
            settings: self,
            state: Mutex::default(),
            work: Condvar::new(),
        });
        Ok(ThreadPool { shared })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("threads", &self.threads)
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

/// A pool of OS threads; see the [module](super).
///
/// Dropping it closes it: jobs in line are still run, and its threads end after the last.
pub struct ThreadPool {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    settings: Builder,
    state: Mutex<State>,
    /// Notified for each job, and for all when the pool is closed.
    work: Condvar,
}

#[derive(Default)]
struct State {
    line: VecDeque<Box<dyn Queued>>,
    /// In line, running, or being dropped.
    pending: usize,
    /// Threads that there are.
    threads: usize,
    /// Threads that sleep and for which no wake is pending.
    idle: usize,
    /// Wakes given and not taken: whoever submits turns a sleeper into one.
    wakes: usize,
    /// Numbers the threads.
    started: usize,
    is_closed: bool,
    is_broken: bool,
    /// Of those who wait until all is done.
    waiting: Vec<Waker>,
}

impl ThreadPool {
    /// Makes a pool of at most so many threads.
    ///
    /// # Panics
    ///
    /// Without any; [`Builder::build`] gives an error instead.
    #[track_caller]
    pub fn new(threads: usize) -> Self {
        match Self::builder().threads(threads).build() {
            Ok(pool) => pool,
            Err(error) => panic!("ThreadPool::new: {error}"),
        }
    }

    /// Settings for a pool.
    pub fn builder() -> Builder {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Builder {
            threads: (cpus + 4).min(32),
            name: None,
            stack_size: None,
            initializer: None,
        }
    }

    /// Puts a job in line. Never parks.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; the job is dropped.
    pub fn submit<F, T>(&self, f: F) -> Result<JobHandle<T>, SubmitError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.submit(f)
    }

    /// Does `f` with every item, and waits for all; the results are in the order of the items.
    ///
    /// # Errors
    ///
    /// Each item has its own.
    ///
    /// # Cancellation
    ///
    /// Unwinds, and cancels what is still in line.
    ///
    /// # Parks
    ///
    /// Until all have ended (`thread_pool.join`).
    #[track_caller]
    pub fn map<I, F, T>(&self, items: I, f: F) -> Vec<Result<T, JobError>>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        // All in line at once.
        self.imap(items, f).look_ahead(usize::MAX).collect()
    }

    /// The results of `f` with every item, in the order of the items, which are fetched as results are taken.
    ///
    /// Twice as many items as there are threads are ahead, unless [`look_ahead`](IMap::look_ahead) says
    /// otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = greenloom::thread_pool::ThreadPool::new(2);
    /// let squares = pool.imap(1_u64.., |n| n * n);
    /// let first: Vec<_> = squares.take(4).map(Result::unwrap).collect();
    /// assert_eq!(first, [1, 4, 9, 16]);
    /// ```
    pub fn imap<I, F, T>(&self, items: I, f: F) -> IMap<I::IntoIter, F, T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        IMap::new(self.shared.clone(), items.into_iter(), f)
    }

    /// As [`imap`](Self::imap), but the results come as they are ready.
    pub fn imap_unordered<I, F, T>(&self, items: I, f: F) -> IMapUnordered<I::IntoIter, F, T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        IMapUnordered::new(self.shared.clone(), items.into_iter(), f)
    }

    /// The outcomes of these jobs in the order in which they end; those that have ended come first.
    pub fn as_completed<I, T>(&self, jobs: I) -> AsCompleted<T>
    where
        I: IntoIterator<Item = JobHandle<T>>,
        T: 'static,
    {
        AsCompleted::new(jobs)
    }

    /// How many threads there are at most.
    pub fn threads(&self) -> usize {
        self.shared.settings.threads
    }

    /// How many jobs are in line or running.
    pub fn len(&self) -> usize {
        self.shared.lock().pending
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more jobs; those in line are still run. False when it was closed before. Never parks.
    pub fn close(&self) -> bool {
        self.shared.close()
    }

    /// Whether it was closed, or is broken.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed
    }

    /// Closes the pool and cancels the jobs in line; those that run go on. Never parks.
    pub fn terminate(&self) {
        self.shared.close();
        self.shared.refuse_all(|| JobError::Cancelled);
    }

    /// Closes the pool, and waits until all jobs and threads have ended.
    ///
    /// # Panics
    ///
    /// In one of its own jobs, which would wait for itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the pool is closed, and its jobs go on.
    ///
    /// # Parks
    ///
    /// Until then (`thread_pool.end`).
    #[track_caller]
    pub fn join(&self) {
        self.join_until(Deadline::NEVER);
    }

    /// As [`join`](Self::join), but false when they have not ended within `timeout`.
    ///
    /// # Panics
    ///
    /// As `join`.
    #[track_caller]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.join_until(park::deadline(timeout))
    }

    #[track_caller]
    fn join_until(&self, deadline: Deadline) -> bool {
        assert!(
            MEMBER_OF.get() != self.shared.mark(),
            "a job waits for the end of its own ThreadPool, and so of itself"
        );
        self.shared.close();
        let _outside = Outside::here();
        let wait = Wait::new("thread_pool.end").until(deadline);
        let mut is_late = false;
        loop {
            {
                let mut state = self.shared.lock();
                if state.pending == 0 && state.threads == 0 {
                    return true;
                }
                if is_late {
                    return false;
                }
                let waker = park::current_waker();
                if !state.waiting.iter().any(|other| other.will_wake(&waker)) {
                    state.waiting.push(waker);
                }
            }
            is_late = park::park(&wait) == Wake::TimedOut;
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("ThreadPool")
            .field("threads", &state.threads)
            .field("pending", &state.pending)
            .field("is_closed", &state.is_closed)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    pub(super) fn threads(&self) -> usize {
        self.settings.threads
    }

    pub(super) fn submit<F, T>(self: &Arc<Self>, f: F) -> Result<JobHandle<T>, SubmitError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let desk = Desk::new();
        let job = Box::new(Job {
            f,
            desk: desk.clone(),
            outside: Outside::here(),
        });
        let mut state = self.lock();
        if state.is_broken || state.is_closed {
            let is_broken = state.is_broken;
            drop(state);
            drop(job);
            return Err(match is_broken {
                true => SubmitError::Broken,
                false => SubmitError::Closed,
            });
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.wakes += 1;
            self.work.notify_one();
        } else if state.threads < self.settings.threads
            && let Err(error) = self.start_thread(&mut state)
            && state.threads == 0
        {
            drop(state);
            drop(job);
            return Err(SubmitError::Thread(error));
        }
        state.pending += 1;
        state.line.push_back(job);
        Ok(JobHandle { desk })
    }

    fn close(&self) -> bool {
        let mut state = self.lock();
        let was_closed = mem::replace(&mut state.is_closed, true);
        drop(state);
        self.work.notify_all();
        !was_closed
    }

    /// Tells the jobs in line that they will not be run.
    fn refuse_all(&self, error: impl Fn() -> JobError) {
        let line = mem::take(&mut self.lock().line);
        for job in line {
            quietly(|| job.refuse(error()));
            self.job_ended();
        }
    }

    /// Under the lock: a thread counts if and only if it exists.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let mut builder = thread::Builder::new();
        if let Some(name) = &self.settings.name {
            builder = builder.name(format!("{name}-{}", state.started));
        }
        if let Some(bytes) = self.settings.stack_size {
            builder = builder.stack_size(bytes);
        }
        let shared = self.clone();
        builder.spawn(move || shared.serve())?;
        state.started += 1;
        state.threads += 1;
        Ok(())
    }

    /// The life of a thread.
    fn serve(self: Arc<Self>) {
        MEMBER_OF.set(self.mark());
        let initialize = || self.settings.initializer.as_ref().map(|f| f());
        if let Err(payload) = catch_unwind(AssertUnwindSafe(initialize)) {
            payload::discard(payload);
            let mut state = self.lock();
            state.is_broken = true;
            state.is_closed = true;
            drop(state);
            self.work.notify_all();
            self.refuse_all(|| JobError::Broken);
        } else {
            while let Some(job) = self.next() {
                quietly(|| job.run());
                self.job_ended();
            }
        }
        let mut state = self.lock();
        state.threads -= 1;
        wake_all(state);
    }

    /// The next job; `None` when there will be none.
    fn next(&self) -> Option<Box<dyn Queued>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.line.pop_front() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state.idle += 1;
            state = self.sleep(state);
        }
    }

    /// Until there is a wake, or the pool is closed.
    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        loop {
            let woken = self.work.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            if state.wakes > 0 {
                state.wakes -= 1;
                return state;
            }
            if state.is_closed {
                state.idle -= 1;
                return state;
            }
        }
    }

    fn job_ended(&self) {
        let mut state = self.lock();
        state.pending -= 1;
        if state.pending == 0 {
            wake_all(state);
        }
    }
}

fn wake_all(mut state: MutexGuard<'_, State>) {
    let waiting = mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

/// A destructor of a user's that panics ends no thread, whatever it panics with.
fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        log::error!("what a pool's job has left behind panicked when it was dropped");
        payload::discard(payload);
    }
}
