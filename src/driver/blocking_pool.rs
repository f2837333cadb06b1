//! Threads that may block: they come with the jobs, and leave when there are none.
//!
//! A job never waits for a thread that will not come: the decision to queue it, and the start of a
//! thread for it, are one step under the lock, so that a queued job always has a running thread or
//! a woken one that will look at the queue before it sleeps. Submitting never blocks beyond that
//! lock: at the limit of threads the queue grows. What jobs wait for is their own affair; so that
//! a job that waits for another job cannot starve it, a caller that is on such a thread already is
//! expected to run the new job in place.
//!
//! Sleepers and wakes are counted, not told apart: who submits turns one sleeper into one pending
//! wake, and whoever sleeps takes a pending wake before anything else. A wake that reaches another
//! sleeper than the notified one is thus as good, and none is lost to a sleeper whose time is up.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use crate::base::payload;
use crate::sys::cpu::Servant;

/// What the pool runs. Catches its own panics and wakes whoever waits for it.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How large a pool grows and how soon it shrinks.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Threads at most; zero counts as one.
    pub(crate) max_threads: usize,
    /// A thread that had no job for so long ends.
    pub(crate) idle_timeout: Duration,
    /// Bytes of stack for each thread, or std's default.
    pub(crate) stack_size: Option<usize>,
    /// It belongs to no runtime: its threads are nobody's who looks whether there are strangers. Whoever submits
    /// says to his runtime that something runs outside.
    pub(crate) serves_all: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_threads: 512,
            idle_timeout: Duration::from_secs(10),
            stack_size: None,
            serves_all: false,
        }
    }
}

/// A job was not taken, and comes back.
pub(crate) struct SubmitError {
    /// The job, not run.
    pub(crate) job: Job,
    /// Why not.
    pub(crate) reason: Refusal,
}

/// Why a job was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The pool was shut down.
    Closed,
    /// The pool has no thread and the system gives none.
    NoThread(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Closed => f.write_str("the pool of blocking threads is shut down"),
            Refusal::NoThread(error) => {
                write!(f, "cannot start a thread for blocking work: {error}")
            }
        }
    }
}

impl fmt::Debug for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// A pool; clones are the same pool. Dropping the last one lets queued jobs run and the threads
/// idle out; only [`BlockingPool::shutdown`] waits for them.
#[derive(Clone)]
pub(crate) struct BlockingPool(Arc<Shared>);

struct Shared {
    config: Config,
    state: Mutex<State>,
    /// Notified once for each of `State::wakes`, and for all at shutdown.
    work: Condvar,
    /// Jobs queued or running. A job is counted until it has returned, so whomever it wakes is
    /// runnable before it stops to count.
    in_flight: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that sleep and for which no wake is pending.
    idle: usize,
    /// Wakes given and not taken.
    wakes: usize,
    /// Running threads, by number. A thread that idles out takes itself out.
    threads: HashMap<u64, JoinHandle<()>>,
    /// The last thread that has idled out, to be joined by the next one or at shutdown, so that
    /// shutdown misses none.
    leaving: Option<JoinHandle<()>>,
    /// Number of the next thread.
    next: u64,
    /// It was said that there are no more threads to be had: once is enough.
    warned: bool,
    closed: bool,
}

impl BlockingPool {
    /// No thread is started before the first job.
    pub(crate) fn new(config: Config) -> BlockingPool {
        BlockingPool(Arc::new(Shared {
            config,
            state: Mutex::default(),
            work: Condvar::new(),
            in_flight: AtomicUsize::new(0),
        }))
    }

    /// Has `job` run on a thread of the pool, in the order of submission.
    ///
    /// # Errors
    /// Gives the job back when the pool is shut down, or has no thread and can start none.
    pub(crate) fn submit(&self, job: Job) -> Result<(), SubmitError> {
        let shared = &self.0;
        let mut state = shared.lock();
        if state.closed {
            return Err(SubmitError {
                job,
                reason: Refusal::Closed,
            });
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.wakes += 1;
            shared.work.notify_one();
        } else if state.threads.len() < shared.config.max_threads.max(1)
            && let Err(error) = shared.start_thread(&mut state)
        {
            if state.threads.is_empty() {
                return Err(SubmitError {
                    job,
                    reason: Refusal::NoThread(error),
                });
            }
            if !mem::replace(&mut state.warned, true) {
                log::warn!("cannot start another thread for blocking work: {error}");
            }
        }
        // After the start of its thread, which cannot look before the lock is free.
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        state.queue.push_back(job);
        Ok(())
    }

    /// Jobs queued or running.
    pub(crate) fn in_flight(&self) -> usize {
        // Acquire: pairs with the release after a job: who sees it gone sees what it did.
        self.0.in_flight.load(Ordering::Acquire)
    }

    /// Threads there are, busy or idle.
    pub(crate) fn threads(&self) -> usize {
        self.0.lock().threads.len()
    }

    /// Takes no more jobs, runs those that are queued, and waits for all threads to end.
    ///
    /// Queued jobs are run and not dropped, because somebody may wait for each of them, and their
    /// destructors are user code that belongs on a thread that may block. A job whose result
    /// nobody wants any more is expected to find that out and return at once.
    ///
    /// Called from one of the pool's own jobs it waits for the other threads only, and by a second
    /// caller perhaps for none.
    pub(crate) fn shutdown(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let mut threads: Vec<_> = mem::take(&mut state.threads).into_values().collect();
        threads.extend(state.leaving.take());
        drop(state);
        self.0.work.notify_all();
        for thread in threads {
            if thread.thread().id() != thread::current().id() {
                // A thread of the pool cannot panic: jobs are run under catch.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No job runs under it, and nothing else there panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock: a thread counts if and only if it exists, so nobody queues a job for one
    /// that then fails to start. Costs the others some ten microseconds while the pool grows.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let number = state.next;
        let shared = Arc::clone(self);
        let mut builder = thread::Builder::new().name(format!("greenloom-blocking-{number}"));
        if let Some(bytes) = self.config.stack_size {
            builder = builder.stack_size(bytes);
        }
        let thread = builder.spawn(move || shared.serve(number))?;
        state.next += 1;
        state.threads.insert(number, thread);
        Ok(())
    }

    /// The life of a thread.
    fn serve(&self, number: u64) {
        let _servant = self.config.serves_all.then(Servant::begin);
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop_front() {
                drop(state);
                run(job);
                self.in_flight.fetch_sub(1, Ordering::Release);
                state = self.lock();
            }
            if state.closed {
                return;
            }
            let stay;
            (state, stay) = self.sleep(state);
            if !stay {
                break;
            }
        }
        // The one before has left this place long ago or is about to end: joining it is short.
        let own = state.threads.remove(&number);
        let before = mem::replace(&mut state.leaving, own);
        drop(state);
        if let Some(before) = before {
            let _ = before.join();
        }
    }

    /// Waits for a wake; `false` when none came for the idle time.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        state.idle += 1;
        // An idle time too long for `Instant` never ends.
        let end = Instant::now().checked_add(self.config.idle_timeout);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) => {
                    let wait = self.work.wait_timeout(state, left);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            if state.wakes > 0 {
                state.wakes -= 1;
                return (state, true);
            }
            if state.closed {
                state.idle -= 1;
                return (state, true);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                state.idle -= 1;
                return (state, false);
            }
        }
    }
}

/// Runs a job; a panic that it let through is said once and goes no further.
fn run(job: Job) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        log::error!("a blocking job let a panic through: {}", text(&*payload));
        payload::discard(payload);
    }
}

/// The words of a panic, if it has any.
fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("BlockingPool")
            .field("threads", &state.threads.len())
            .field("idle", &(state.idle + state.wakes))
            .field("queued", &state.queue.len())
            .field("in_flight", &self.in_flight())
            .field("closed", &state.closed)
            .finish()
    }
}

#[cfg(test)]
#[path = "blocking_pool_tests.rs"]
mod tests;
