//! `run`, which makes the caller a worker, and `Runtime`, which owns background workers.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;

use crate::base::clock::Deadline;
use crate::scheduler::current;
use crate::scheduler::header::{Spec, TaskId};
use crate::scheduler::packet::{Farewell, Fault, Joiner, new_task};
use crate::scheduler::shared::{End, Shared};
use crate::scheduler::task::TaskRef;
use crate::scheduler::worker::{self, Berth};

use super::builder::{Builder, Parts};
use super::error::RunError;
use super::handle::Handle;
use super::launch::launch;

/// Runs `main` as the first task of a new runtime, of which the calling thread is worker 0.
///
/// Returns `main`'s value. Tasks that are left are cancelled and joined first, so `main` may borrow from
/// the caller and nothing goes on behind its back; to keep tasks beyond a call use a [`Runtime`].
///
/// # Panics
///
/// With `main`'s own panic, after the cleanup; with the report when the program is deadlocked; when the
/// thread runs a worker already or the runtime cannot be built ([`try_run`] gives errors instead).
///
/// # Parks
///
/// It blocks the thread until all is done.
///
/// # Examples
///
/// ```
/// let words = vec!["green", "threads"];
/// let length = greenloom::run(|| words.iter().map(|word| word.len()).sum::<usize>());
/// assert_eq!(length, 12);
/// ```
#[track_caller]
pub fn run<F, T>(main: F) -> T
where
    F: FnOnce() -> T,
{
    value_or_panic(try_run(main))
}

#[track_caller]
fn value_or_panic<T>(result: Result<T, RunError>) -> T {
    match result {
        Ok(value) => value,
        Err(RunError::Panicked(payload)) => resume_unwind(payload),
        Err(error) => panic!("{error}"),
    }
}

/// As [`run`], with errors instead of panics.
///
/// # Errors
///
/// See [`RunError`].
///
/// # Examples
///
/// ```
/// let result = greenloom::run(|| greenloom::try_run(|| 1));
/// assert!(matches!(result, Err(greenloom::RunError::Nested)));
/// ```
#[track_caller]
pub fn try_run<F, T>(main: F) -> Result<T, RunError>
where
    F: FnOnce() -> T,
{
    Builder::new().run(main)
}

/// Said by the main task of `run`, when it has ended: everything else shall end too.
///
/// Weak, as the main task may lie in a letter that comes too late to be read, and so in what it refers to.
struct StopAll(Weak<Shared>);

impl Farewell for StopAll {
    fn say(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.stop();
        }
    }
}

fn spec_of_main(shared: &Shared, place: &'static Location<'static>) -> Spec {
    Spec {
        name: Some(Box::new("main".to_owned())),
        stack_size: shared.config.stack_size,
        place,
        runtime: shared.id,
        pinned: true,
    }
}

fn is_worker_thread() -> bool {
    current::with_processor(|processor| processor.is_some())
}

fn outcome<T>(mut joiner: Joiner<T>) -> Result<T, RunError> {
    match joiner.take() {
        Some(Ok(value)) => Ok(value),
        Some(Err(Fault::Panicked(payload))) => Err(RunError::Panicked(payload)),
        Some(Err(Fault::NoStack(error))) => Err(RunError::Io(error)),
        Some(Err(Fault::Cancelled)) | None => Err(RunError::Cancelled),
    }
}

#[track_caller]
pub(super) fn run_parts<F, T>(parts: Parts, main: F) -> Result<T, RunError>
where
    F: FnOnce() -> T,
{
    if is_worker_thread() {
        return Err(RunError::Nested);
    }
    let Parts { shared, mut berths } = parts;
    let own = berths.remove(0);
    let threads = start_workers(&shared, berths).map_err(RunError::Io)?;
    let spec = spec_of_main(&shared, Location::caller());
    // SAFETY: `main` and its value may borrow from the caller, who is here until the worker's loop has
    // returned, and that is after the main task's farewell (the loop ends when nothing is left). The task
    // is pinned and queued on this thread's own worker.
    let (queued, joiner) =
        unsafe { new_task(TaskId::next(), spec, main, StopAll(Arc::downgrade(&shared))) };
    shared.admit_main();
    shared.mains().push(joiner.task.clone());
    let ran = worker::run(own, shared.clone(), Some(queued));
    debug_assert!(ran.is_ok(), "the thread was looked at above");
    shared.mains().clear();
    shared.stop();
    if cfg!(panic = "abort") {
        // Some may keep their threads, see `Worker::leave_tasks`; what matters is that none runs on.
        for worker in 1..shared.config.workers {
            shared.wait_for_end(worker);
        }
    } else {
        join_all(threads);
    }
    shared.blocking.shutdown();
    outcome(joiner)
}

/// Starts a thread for each berth; stops those already started when one cannot be had.
fn start_workers(
    shared: &Arc<Shared>,
    berths: Vec<Berth>,
) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(berths.len());
    for berth in berths {
        let name = format!("{}-{}", shared.config.thread_name, berth.index);
        let theirs = shared.clone();
        let body = move || {
            let ran = worker::run(berth, theirs, None);
            debug_assert!(ran.is_ok(), "a new thread runs no worker");
        };
        match thread::Builder::new().name(name).spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                shared.stop();
                join_all(threads);
                let text = format!(
                    "a worker thread could not be started ({error}); ask for fewer workers"
                );
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    Ok(threads)
}

fn join_all(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            // It has printed its panic; a worker's loop does not panic unless we are wrong.
            log::error!("a worker thread of greenloom panicked");
        }
    }
}

/// Workers on background threads, to which tasks may be given from anywhere.
///
/// Dropping it, or [`stop`](Runtime::stop), cancels and joins every task, and then the threads.
///
/// # Examples
///
/// ```
/// let runtime = greenloom::Runtime::builder().workers(2).build()?;
/// let task = runtime.handle().spawn(|| 1)?;
/// assert_eq!(runtime.block_on(|| 2), 2);
/// assert_eq!(task.join().unwrap(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.shared.config.workers)
            .field("sleepers", &self.shared.sleepers)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime with the default settings.
    ///
    /// # Errors
    ///
    /// As for [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Settings for a new runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn start(parts: Parts) -> io::Result<Runtime> {
        let Parts { shared, berths } = parts;
        let threads = start_workers(&shared, berths)?;
        Ok(Runtime { shared, threads })
    }

    /// A reference by which tasks can be given to it from any thread.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// Runs `main` as a task and waits for it; other tasks go on, and stay for the next call.
    ///
    /// # Panics
    ///
    /// With `main`'s own panic, or with the report when the program is deadlocked; on a worker thread,
    /// and when the runtime is stopping. [`try_block_on`](Self::try_block_on) gives errors instead.
    ///
    /// # Parks
    ///
    /// It blocks the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = greenloom::Runtime::new()?;
    /// assert_eq!(runtime.block_on(|| greenloom::spawn(|| 1).join().unwrap()), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn block_on<F, T>(&self, main: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        value_or_panic(self.try_block_on(main))
    }

    /// As [`block_on`](Self::block_on), with errors instead of panics.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    #[track_caller]
    pub fn try_block_on<F, T>(&self, main: F) -> Result<T, RunError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if is_worker_thread() {
            return Err(RunError::Nested);
        }
        let spec = spec_of_main(&self.shared, Location::caller());
        let launched = launch(&self.shared, spec, main, ());
        let mut joiner = launched.map_err(|error| RunError::Io(error.into()))?;
        let waiting = Waiting::new(&self.shared, joiner.task.clone());
        joiner.wait(Deadline::NEVER);
        drop(waiting);
        outcome(joiner)
    }

    /// Cancels and joins all tasks, then ends the threads. Dropping does the same.
    ///
    /// A task that swallows its cancellation again and again cannot be ended: the thread of its worker is
    /// left behind, parked for as long as the process lives, and that is logged.
    ///
    /// Called from one of its own tasks it cannot wait: it asks for the end and returns, and the threads end
    /// by themselves once the task has.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.shared.stop();
        let is_own = current::with_processor(|processor| {
            processor.is_some_and(|processor| Arc::ptr_eq(&processor.shared, &self.shared))
        });
        if is_own {
            // A task that drops its own runtime cannot wait for itself; the threads end by themselves.
            self.threads.clear();
            return;
        }
        for (worker, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            match self.shared.wait_for_end(worker) {
                End::Gone => join_all(vec![thread]),
                End::LeftBehind if cfg!(panic = "abort") => {
                    log::warn!("worker {worker} of a stopped runtime keeps what is parked on it");
                }
                End::LeftBehind => log::error!(
                    "worker {worker} of a stopped runtime is left behind with tasks that swallow their cancellation"
                ),
            }
        }
        self.shared.stuck.give_up();
        self.shared.blocking.shutdown();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Somebody waits for a main task: it is the one that a deadlock report goes to.
struct Waiting<'a> {
    shared: &'a Shared,
    main: TaskRef,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, main: TaskRef) -> Self {
        shared.mains().push(main.clone());
        shared.own_threads.fetch_add(1, Ordering::Relaxed);
        // The task was given away before it stood in the list, and may have come to a standstill since.
        shared.look_again();
        Waiting { shared, main }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.own_threads.fetch_sub(1, Ordering::Relaxed);
        self.shared.mains().retain(|main| !main.same(&self.main));
    }
}
