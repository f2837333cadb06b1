//! One call of a function in a pool: waiting, running, ended.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::channel::Sender;
use crate::ipc::CodecError;
use crate::ipc::link::Outgoing;
use crate::runtime::Outside;
use crate::signal::Signal;
use crate::sync::Event;

use super::super::error::TaskError;
use super::super::kid::Kid;
use super::super::protocol::Reply;
use super::callbacks::Callback;
use super::crew::Crew;
use super::error::NotReady;

/// What a job came to, as it was sent.
pub(super) type Outcome = Result<Reply, TaskError>;

#[derive(Debug)]
pub(super) struct Job {
    state: Mutex<State>,
    /// Set once, before `done`.
    outcome: OnceLock<Outcome>,
    /// What stands in the outcome and is there but once: ends of pipes and the like. For the first who asks.
    /// `None` when nothing of the kind stands in it.
    brought: Mutex<Option<Vec<OwnedFd>>>,
    done: Event,
}

struct State {
    phase: Phase,
    /// To be run, on the callbacks' thread, when it has ended.
    callbacks: Vec<Callback>,
    /// Those who collect jobs as they end, and know this one by its number.
    collectors: Vec<(Sender<usize>, usize)>,
    /// Its end was asked for by `kill`, before it had ended. If it was running, its worker was sent the signal.
    is_killed: bool,
}

enum Phase {
    Waiting(Outgoing),
    Running(Arc<Kid>),
    Ended,
}

impl Job {
    pub(super) fn new(outgoing: Outgoing, collector: Option<(Sender<usize>, usize)>) -> Arc<Job> {
        Arc::new(Job {
            state: Mutex::new(State {
                phase: Phase::Waiting(outgoing),
                callbacks: Vec::new(),
                collectors: Vec::from_iter(collector),
                is_killed: false,
            }),
            outcome: OnceLock::new(),
            brought: Mutex::default(),
            done: Event::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker begins with it; `None` when it has been cancelled or killed meanwhile.
    pub(super) fn begin(&self, kid: &Arc<Kid>) -> Option<Outgoing> {
        let mut state = self.lock();
        if state.is_killed {
            return None;
        }
        match std::mem::replace(&mut state.phase, Phase::Running(kid.clone())) {
            Phase::Waiting(outgoing) => Some(outgoing),
            other => {
                state.phase = other;
                None
            }
        }
    }

    /// Whether no worker has begun with it, and it has not ended.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.lock().phase, Phase::Waiting(_))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.done.is_set()
    }

    /// Whether `kill` came before its end.
    pub(super) fn is_killed(&self) -> bool {
        self.lock().is_killed
    }

    /// As `end`, if no worker has begun with it.
    pub(super) fn end_waiting(&self, error: TaskError) -> Option<Vec<Callback>> {
        let state = self.lock();
        match state.phase {
            Phase::Waiting(_) => self.end_locked(state, Err(error)),
            _ => None,
        }
    }

    /// Ends it, if it has not ended; returns the callbacks that are due, or `None` when it had.
    pub(super) fn end(&self, outcome: Outcome) -> Option<Vec<Callback>> {
        self.end_locked(self.lock(), outcome)
    }

    fn end_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        outcome: Outcome,
    ) -> Option<Vec<Callback>> {
        if matches!(state.phase, Phase::Ended) {
            return None;
        }
        let outgoing = std::mem::replace(&mut state.phase, Phase::Ended);
        let outcome = match outcome {
            Err(TaskError::Died { .. }) if state.is_killed => Err(TaskError::Terminated),
            Ok(Reply::Done(mut parcel)) => {
                let brought = std::mem::take(&mut parcel.descriptors);
                *self.brought() = (!brought.is_empty()).then_some(brought);
                Ok(Reply::Done(parcel))
            }
            outcome => outcome,
        };
        let callbacks = std::mem::take(&mut state.callbacks);
        let collectors = std::mem::take(&mut state.collectors);
        // Under the lock, so that whoever adds a callback sees it or is seen.
        let _ = self.outcome.set(outcome);
        drop(state);
        drop(outgoing);
        self.done.set();
        for (collector, number) in collectors {
            // Nobody collects any more: fine.
            let _ = collector.try_send(number);
        }
        Some(callbacks)
    }

    /// Gives the callback back when the job has ended already.
    fn add(&self, callback: Callback) -> Option<Callback> {
        let mut state = self.lock();
        match state.phase {
            Phase::Ended => Some(callback),
            _ => {
                state.callbacks.push(callback);
                None
            }
        }
    }

    /// Has `collector` be sent `number` when the job has ended.
    fn collect(&self, collector: Sender<usize>, number: usize) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Ended) {
            drop(state);
            let _ = collector.try_send(number);
        } else {
            state.collectors.push((collector, number));
        }
    }

    /// The value, decoded anew each time.
    pub(super) fn value<R: DeserializeOwned>(&self) -> Result<R, TaskError> {
        match self.outcome.get() {
            None => unreachable!("it is asked for when the job has ended"),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(Reply::Panicked(panic))) => Err(TaskError::Panicked(panic.clone())),
            Some(Ok(Reply::Failed(error))) => Err(TaskError::Codec(error.clone())),
            Some(Ok(Reply::Done(parcel))) => {
                let brought = self.brought().as_mut().map(std::mem::take);
                Ok(match brought {
                    None => parcel.unpack_copy()?,
                    Some(brought) if brought.is_empty() => {
                        let text = "it holds what is there once, and somebody has had it";
                        return Err(CodecError::of::<R>(text).into());
                    }
                    Some(brought) => parcel.unpack_with(brought)?,
                })
            }
        }
    }

    fn brought(&self) -> MutexGuard<'_, Option<Vec<OwnedFd>>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub(super) fn wait(&self) {
        let _outside = Outside::here();
        self.done.wait();
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase {
            Phase::Waiting(_) => "Waiting",
            Phase::Running(_) => "Running",
            Phase::Ended => "Ended",
        })
    }
}

/// A job that was given to a [`ProcessPool`](super::ProcessPool), and in the end what came of it.
///
/// Dropping it leaves the job to itself. Python's `AsyncResult` and `Future`.
#[derive(Debug)]
pub struct TaskHandle<R> {
    job: Arc<Job>,
    crew: Arc<Crew>,
    result: PhantomData<fn() -> R>,
}

impl<R> TaskHandle<R> {
    pub(super) fn new(job: Arc<Job>, crew: Arc<Crew>) -> Self {
        TaskHandle {
            job,
            crew,
            result: PhantomData,
        }
    }

    pub(super) fn collect(&self, collector: Sender<usize>, number: usize) {
        self.job.collect(collector, number);
    }

    /// Waits for the job to end and returns the function's value; as often as wanted. A value with ends of pipes,
    /// shared objects or shared memory is there once: for the first who asks, be it a callback.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; `Codec` also for such a value that somebody has had.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the job goes on.
    ///
    /// # Parks
    ///
    /// Until the job has ended (`sync.event`).
    #[track_caller]
    pub fn get(&self) -> Result<R, TaskError>
    where
        R: DeserializeOwned,
    {
        self.wait();
        self.job.value()
    }

    /// As [`get`](Self::get), but `None` when the job has not ended within `timeout`.
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Option<Result<R, TaskError>>
    where
        R: DeserializeOwned,
    {
        self.wait_timeout(timeout).then(|| self.job.value())
    }

    /// Waits for the job to end.
    #[track_caller]
    pub fn wait(&self) {
        self.job.wait();
    }

    /// As [`wait`](Self::wait), at most for `timeout`; whether it has ended.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let _outside = Outside::here();
        self.job.done.wait_timeout(timeout)
    }

    /// Whether the job has ended: Python's name for [`is_finished`](Self::is_finished).
    pub fn is_ready(&self) -> bool {
        self.is_finished()
    }

    /// Whether the job has ended.
    pub fn is_finished(&self) -> bool {
        self.job.has_ended()
    }

    /// Whether the job has ended with a value.
    ///
    /// # Errors
    ///
    /// [`NotReady`] when it has not ended.
    pub fn successful(&self) -> Result<bool, NotReady> {
        match self.job.outcome.get() {
            None => Err(NotReady(())),
            Some(outcome) => Ok(matches!(outcome, Ok(Reply::Done(_)))),
        }
    }

    /// Takes the job back if no worker has begun with it; it ends as [`TaskError::Cancelled`]. Whether it was.
    pub fn cancel(&self) -> bool {
        self.crew.end_waiting(&self.job, TaskError::Cancelled)
    }

    /// Ends the job, also in the midst of it, by the end of its worker, which the pool replaces. It ends as
    /// [`TaskError::Terminated`]; one that has ended already is as it was. Returns at once.
    pub fn kill(&self) {
        let is_waiting = {
            let mut state = self.job.lock();
            state.is_killed |= !matches!(state.phase, Phase::Ended);
            match &state.phase {
                // Under the lock: the job has not ended, so its worker is at no other.
                Phase::Running(kid) => drop(kid.signal(Signal::KILL)),
                Phase::Waiting(_) | Phase::Ended => {}
            }
            matches!(state.phase, Phase::Waiting(_))
        };
        // One that begins in this very moment sees the mark.
        if is_waiting {
            self.crew.end_waiting(&self.job, TaskError::Terminated);
        }
    }

    /// Has `callback` called with the outcome when the job has ended; soon, when it has ended already.
    ///
    /// Callbacks run in this process, on a thread of the pool, one after the other in the order in which they
    /// become due. One that panics is logged, and the others run. The pool's `join` waits for them.
    pub fn on_end(&self, callback: impl FnOnce(Result<R, TaskError>) + Send + 'static) -> &Self
    where
        R: DeserializeOwned + 'static,
    {
        let job = self.job.clone();
        let callback: Callback = Box::new(move || callback(job.value()));
        if let Some(callback) = self.job.add(callback) {
            self.crew.call_back(callback);
        }
        self
    }

    /// As [`on_end`](Self::on_end), if the job ends with a value.
    pub fn on_done(&self, callback: impl FnOnce(R) + Send + 'static) -> &Self
    where
        R: DeserializeOwned + 'static,
    {
        self.on_end(|outcome| drop(outcome.map(callback)))
    }

    /// As [`on_end`](Self::on_end), if the job ends without a value.
    pub fn on_error(&self, callback: impl FnOnce(TaskError) + Send + 'static) -> &Self
    where
        R: DeserializeOwned + 'static,
    {
        self.on_end(|outcome| drop(outcome.map_err(callback)))
    }
}
