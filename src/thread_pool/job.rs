//! One job of a pool: waiting in line, running, ended; and what its submitter holds of it.

use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::payload;
use crate::runtime::Outside;
use crate::scheduler::park::{self, Wait, Wake};
use crate::task::Panic;

/// Why a job gave no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// It panicked.
    Panicked(Panic),
    /// It was cancelled, or its pool was closed, before it began.
    Cancelled,
    /// The initialiser of a thread panicked before it began: the pool is broken.
    Broken,
}

impl JobError {
    /// Whether the job panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JobError::Panicked(_))
    }

    /// Whether the job was cancelled before it began.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JobError::Cancelled)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Panicked(panic) => write!(f, "the job panicked: {}", panic.message()),
            JobError::Cancelled => f.write_str("the job was cancelled"),
            JobError::Broken => f.write_str("a thread of the pool could not be initialised"),
        }
    }
}

impl Error for JobError {}

type Outcome<T> = Result<T, JobError>;
type Callback<T> = Box<dyn FnOnce(&Outcome<T>) + Send>;

/// What thread and submitter share of a job.
pub(super) struct Desk<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    stage: Stage<T>,
    /// Of the one who holds the handle.
    waker: Option<Waker>,
    /// In the order in which they were added; gone once the job has ended.
    callbacks: Vec<Callback<T>>,
}

enum Stage<T> {
    Queued,
    Running,
    Ended(Outcome<T>),
    /// The outcome is with its owner.
    Taken,
}

impl<T> Desk<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Desk {
            state: Mutex::new(State {
                stage: Stage::Queued,
                waker: None,
                callbacks: Vec::new(),
            }),
        })
    }

    /// No code of a user's runs under it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when it was cancelled in line.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let is_queued = matches!(state.stage, Stage::Queued);
        if is_queued {
            state.stage = Stage::Running;
        }
        is_queued
    }

    /// Called once, by whoever has begun it. The callbacks run first: whoever joins finds them done.
    fn end(&self, outcome: Outcome<T>) {
        loop {
            let mut state = self.lock();
            let callbacks = mem::take(&mut state.callbacks);
            if callbacks.is_empty() {
                state.stage = Stage::Ended(outcome);
                let waker = state.waker.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return;
            }
            drop(state);
            callbacks
                .into_iter()
                .for_each(|callback| call(callback, &outcome));
        }
    }
}

/// One that panics is said, and keeps nobody from the others.
fn call<T>(callback: Callback<T>, outcome: &Outcome<T>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(outcome))) {
        // Only where the job had ended already: it is the task that is cancelled which calls.
        if park::is_cancellation(&*payload) {
            resume_unwind(payload);
        }
        let panic = Panic::new(payload);
        log::error!("a callback of a pool's job panicked: {}", panic.message());
        // Its drop may panic too, and the job's end is still to be told.
        payload::discard(panic.into_payload());
    }
}

/// An outcome that a callback looks at; it goes back on every way out.
struct Lent<'a, T> {
    desk: &'a Desk<T>,
    outcome: Option<Outcome<T>>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.desk.lock().stage = Stage::Ended(outcome);
        }
    }
}

/// A job in line, whatever its type.
pub(super) trait Queued: Send {
    fn run(self: Box<Self>);
    /// It will not be run.
    fn refuse(self: Box<Self>, error: JobError);
}

pub(super) struct Job<F, T> {
    pub(super) f: F,
    pub(super) desk: Arc<Desk<T>>,
    /// Until it has ended, the submitter's runtime is not at a standstill.
    pub(super) outside: Option<Outside>,
}

impl<F, T> Queued for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(self: Box<Self>) {
        let Job { f, desk, outside } = *self;
        if desk.begin() {
            let outcome = catch_unwind(AssertUnwindSafe(f));
            desk.end(outcome.map_err(|payload| JobError::Panicked(Panic::new(payload))));
        }
        drop(desk);
        drop(outside);
    }

    fn refuse(self: Box<Self>, error: JobError) {
        let Job { f, desk, outside } = *self;
        if desk.begin() {
            desk.end(Err(error));
        }
        drop(desk);
        // After its end was told: it may panic.
        drop(f);
        drop(outside);
    }
}

/// The right to a job's value. Dropping it lets the job go on by itself.
#[must_use = "dropping the handle detaches the job; say so with drop() if that is meant"]
pub struct JobHandle<T> {
    pub(super) desk: Arc<Desk<T>>,
}

impl<T> JobHandle<T> {
    /// Waits for the job to end and returns its value.
    ///
    /// A job that joins another job of its own pool keeps a thread meanwhile: if all do so, they wait for ever.
    ///
    /// # Errors
    ///
    /// [`JobError`]: the job panicked, was cancelled in line, or its pool is broken.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the handle is dropped, so the job goes on detached.
    ///
    /// # Parks
    ///
    /// Until the job has ended (`thread_pool.join`); not at all if it has.
    #[track_caller]
    pub fn join(self) -> Result<T, JobError> {
        let taken = self.take_until(Deadline::NEVER);
        taken.expect("it waits until there is an outcome")
    }

    /// As [`join`](Self::join), but waits no longer than `timeout`; the job is not cancelled.
    ///
    /// # Errors
    ///
    /// The outer error gives the handle back: the time is over and the job goes on.
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JobError>, Self> {
        self.join_until(park::deadline(timeout))
    }

    #[track_caller]
    pub(super) fn join_until(self, deadline: Deadline) -> Result<Result<T, JobError>, Self> {
        self.take_until(deadline).ok_or(self)
    }

    /// Waits until it has ended, and leaves its outcome where it is.
    #[track_caller]
    pub(super) fn wait(&self) {
        let outcome = self.take_until(Deadline::NEVER);
        let outcome = outcome.expect("it waits until there is one");
        self.desk.lock().stage = Stage::Ended(outcome);
    }

    /// `None`: it had not ended by then.
    #[track_caller]
    fn take_until(&self, deadline: Deadline) -> Option<Outcome<T>> {
        // A job that was submitted elsewhere may wake this runtime's task.
        let outside = Outside::here();
        let wait = Wait::new("thread_pool.join").until(deadline);
        let mut is_late = false;
        loop {
            {
                let mut state = self.desk.lock();
                match mem::replace(&mut state.stage, Stage::Taken) {
                    Stage::Ended(outcome) => {
                        drop(state);
                        drop(outside);
                        return Some(outcome);
                    }
                    stage => state.stage = stage,
                }
                if is_late {
                    state.waker = None;
                    return None;
                }
                state.waker = Some(park::current_waker());
            }
            is_late = park::park(&wait) == Wake::TimedOut;
        }
    }

    /// Whether the job has ended, so that `join` returns at once.
    pub fn is_finished(&self) -> bool {
        matches!(self.desk.lock().stage, Stage::Ended(_))
    }

    /// Cancels the job if it has not begun; `join` then gives [`JobError::Cancelled`]. A thread that runs it
    /// cannot be stopped: then it returns false, and the job goes on. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::thread_pool::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// let (sender, receiver) = std::sync::mpsc::channel::<()>();
    /// let first = pool.submit(move || receiver.recv().is_err()).unwrap();
    /// let second = pool.submit(|| "never").unwrap();
    /// assert!(second.cancel());
    /// assert!(second.join().unwrap_err().is_cancelled());
    /// drop(sender);
    /// assert!(first.join().unwrap());
    /// ```
    pub fn cancel(&self) -> bool {
        let is_queued = self.desk.begin();
        if is_queued {
            self.desk.end(Err(JobError::Cancelled));
        }
        is_queued
    }

    /// Has `f` called with the outcome when the job has ended: on its thread, before anybody joins it, in the
    /// order in which they were added. If it has ended already, `f` is called at once. One that panics is
    /// logged, and the others are called all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::thread_pool::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// let mut job = pool.submit(|| 6 * 7).unwrap();
    /// let (sender, receiver) = greenloom::channel::unbounded();
    /// job.on_done(move |outcome| sender.send(outcome.is_ok()).unwrap());
    /// assert_eq!(receiver.recv(), Ok(true));
    /// assert_eq!(job.join().unwrap(), 42);
    /// ```
    pub fn on_done(&mut self, f: impl FnOnce(&Result<T, JobError>) + Send + 'static) {
        let mut state = self.desk.lock();
        match mem::replace(&mut state.stage, Stage::Taken) {
            Stage::Ended(outcome) => {
                drop(state);
                let lent = Lent {
                    desk: &self.desk,
                    outcome: Some(outcome),
                };
                if let Some(outcome) = &lent.outcome {
                    call(Box::new(f), outcome);
                }
            }
            stage => {
                state.stage = stage;
                state.callbacks.push(Box::new(f));
            }
        }
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.desk.lock().stage {
            Stage::Queued => "queued",
            Stage::Running => "running",
            Stage::Ended(_) | Stage::Taken => "ended",
        };
        f.debug_struct("JobHandle").field("stage", &stage).finish()
    }
}
