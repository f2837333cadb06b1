//! A pool of processes, as its users hold it.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::link::Outgoing;
use crate::ipc::parcel::Parcel;

use super::super::error::TaskError;
use super::super::function::Function;
use super::super::protocol;
use super::crew::{Crew, Settings};
use super::error::PoolError;
use super::initializer::Initializer;
use super::job::{Job, TaskHandle};
use super::maps::{self, IMap, IMapUnordered};

/// Processes that are started when they are first needed, and then run one function after the other: Python's
/// `multiprocessing.Pool`.
///
/// A worker is a process of this same program, in which `main` is not run: see [`Process`](super::super::Process). What
/// a function leaves in statics there, the next one on the same worker finds. Which worker that is nobody knows.
///
/// A function that panics is an error of its own job. A worker that dies, by `exit`, a signal or a crash, takes
/// the job with it that it was at; the pool starts another. If workers cannot even begin, because the
/// initializer fails or they die at once, the pool is *broken*: all that wait get the reason.
///
/// It may be used from any number of tasks and threads at once. Dropping it terminates it: call
/// [`close`](Self::close) and [`join`](Self::join) to let it finish.
///
/// # Examples
///
/// ```
/// use greenloom::process::ProcessPool;
///
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = ProcessPool::new(2)?;
/// let squares: Result<Vec<u64>, _> = pool.map(0..10, square).into_iter().collect();
/// assert_eq!(squares?, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
/// let handle = pool.apply_async(square, 12)?;
/// assert_eq!(handle.get()?, 144);
/// pool.close();
/// pool.join()?;
/// # Ok(())
/// # }
/// ```
pub struct ProcessPool {
    crew: Arc<Crew>,
}

/// Settings of a pool: see [`ProcessPool::builder`].
#[derive(Debug)]
#[must_use]
pub struct PoolBuilder {
    workers: Option<usize>,
    name: Option<String>,
    initializer: Option<Result<Arc<Initializer>, PoolError>>,
    jobs_per_worker: Option<usize>,
    is_silent: bool,
}

impl PoolBuilder {
    /// At most so many processes: by default as many as this one may use processors.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The first part of the workers' names: `ProcessPool` by default, so `ProcessPool-1` and so on.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A function that each worker calls, with this argument, before its first job. One that panics breaks the
    /// pool.
    ///
    /// The argument is encoded for each worker anew, on a thread of its own, so that a shared object in it, such as a
    /// queue or a lock, is known to each. An end of a pipe in it would be one for all workers.
    pub fn initializer<A>(mut self, f: fn(A), argument: A) -> Self
    where
        A: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.initializer = Some(Initializer::new(f, argument).map(Arc::new));
        self
    }

    /// After so many jobs (chunks, of a map) a worker is replaced by a fresh one: against libraries that leak.
    pub fn max_tasks_per_worker(mut self, jobs: usize) -> Self {
        self.jobs_per_worker = Some(jobs);
        self
    }

    /// Sends the workers' standard output and error nowhere, instead of where this process's go.
    pub fn silent(mut self) -> Self {
        self.is_silent = true;
        self
    }

    /// Makes the pool. Workers are started when there is something to do.
    ///
    /// # Errors
    ///
    /// `Invalid` for no workers, or workers that may do nothing; `Codec` when the initializer's argument cannot
    /// be encoded; `Io` (`Unsupported`) where functions cannot be run in other processes.
    pub fn build(self) -> Result<ProcessPool, PoolError> {
        super::super::launch::check()?;
        let workers = match self.workers {
            Some(0) => return Err(PoolError::Invalid("a pool of no workers")),
            Some(workers) => workers,
            None => available_parallelism().map_or(1, NonZeroUsize::get),
        };
        if self.jobs_per_worker == Some(0) {
            return Err(PoolError::Invalid("workers that may do no job"));
        }
        let crew = Crew::new(Settings {
            workers,
            name: self.name.unwrap_or_else(|| "ProcessPool".to_owned()),
            initializer: self.initializer.transpose()?,
            jobs_per_worker: self.jobs_per_worker.unwrap_or(usize::MAX),
            is_silent: self.is_silent,
        });
        Ok(ProcessPool { crew })
    }
}

impl ProcessPool {
    /// Makes a pool of at most so many processes.
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`].
    pub fn new(workers: usize) -> Result<ProcessPool, PoolError> {
        ProcessPool::builder().workers(workers).build()
    }

    /// The settings of a pool that is to be made.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::process::ProcessPool;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static BASE: AtomicU32 = AtomicU32::new(0);
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = ProcessPool::builder()
    ///     .workers(1)
    ///     .initializer(|base| BASE.store(base, Ordering::Relaxed), 40)
    ///     .max_tasks_per_worker(100)
    ///     .build()?;
    /// assert_eq!(pool.apply(|n: u32| BASE.load(Ordering::Relaxed) + n, 2)?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder {
            workers: None,
            name: None,
            initializer: None,
            jobs_per_worker: None,
            is_silent: false,
        }
    }

    /// Calls `f` with `argument` on a worker and waits for its value.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; what keeps the pool from taking the job is among them.
    ///
    /// # Cancellation
    ///
    /// Unwinds; a job that has begun goes on, and its value is dropped.
    ///
    /// # Parks
    ///
    /// Until the job has ended (`ipc.recv` or `sync.event`).
    #[track_caller]
    pub fn apply<A, R>(&self, f: fn(A) -> R, argument: A) -> Result<R, TaskError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let outgoing = outgoing(Function::of(f)?, &argument)?;
        drop(argument);
        while let Some(worker) = self.crew.borrow()? {
            // One that has died in its sleep is put back as such.
            if !worker.is_gone() {
                return maps::value(worker.call(outgoing)?);
            }
        }
        let job = Job::new(outgoing, None);
        self.crew.submit(&job)?;
        job.wait();
        job.value()
    }

    /// Has `f` called with `argument` on a worker, when one is free, the first come first.
    ///
    /// # Errors
    ///
    /// [`PoolError`]: the pool takes no jobs, or the argument cannot be encoded.
    pub fn apply_async<A, R>(&self, f: fn(A) -> R, argument: A) -> Result<TaskHandle<R>, PoolError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let job = Job::new(outgoing(Function::of(f)?, &argument)?, None);
        self.crew.submit(&job)?;
        Ok(TaskHandle::new(job, self.crew.clone()))
    }

    /// As [`apply_async`](Self::apply_async), by the name that all pools know.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn submit<A, R>(&self, f: fn(A) -> R, argument: A) -> Result<TaskHandle<R>, PoolError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.apply_async(f, argument)
    }

    /// Calls `f` with each item, on all workers, and waits for all; the results are in the items' order.
    ///
    /// Items go to the workers in chunks, four for each worker. An item on which `f` panics is an error in its
    /// place. Those of a chunk whose worker dies all are; [`map_chunked`](Self::map_chunked) with chunks of one
    /// keeps them apart.
    ///
    /// # Cancellation
    ///
    /// Unwinds; chunks that have not begun are cancelled.
    ///
    /// # Parks
    ///
    /// Until the last has ended (`sync.event`).
    #[track_caller]
    pub fn map<I, R>(&self, items: I, f: fn(I::Item) -> R) -> Vec<Result<R, TaskError>>
    where
        I: IntoIterator<Item: Serialize + DeserializeOwned>,
        R: Serialize + DeserializeOwned,
    {
        let items: Vec<I::Item> = items.into_iter().collect();
        let chunk = items
            .len()
            .div_ceil(self.crew.settings.workers.saturating_mul(4));
        maps::all(&self.crew, items, Function::of_chunk(f), chunk)
    }

    /// As [`map`](Self::map), in chunks of so many items. None at all count as one.
    #[track_caller]
    pub fn map_chunked<I, R>(
        &self,
        items: I,
        chunk: usize,
        f: fn(I::Item) -> R,
    ) -> Vec<Result<R, TaskError>>
    where
        I: IntoIterator<Item: Serialize + DeserializeOwned>,
        R: Serialize + DeserializeOwned,
    {
        let items = items.into_iter().collect();
        maps::all(&self.crew, items, Function::of_chunk(f), chunk)
    }

    /// As [`map`](Self::map), for a function of two arguments and items that are pairs.
    #[track_caller]
    pub fn starmap<I, A, B, R>(&self, items: I, f: fn(A, B) -> R) -> Vec<Result<R, TaskError>>
    where
        I: IntoIterator<Item = (A, B)>,
        A: Serialize + DeserializeOwned,
        B: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let items: Vec<(A, B)> = items.into_iter().collect();
        let chunk = items
            .len()
            .div_ceil(self.crew.settings.workers.saturating_mul(4));
        maps::all(&self.crew, items, Function::of_pairs(f), chunk)
    }

    /// Calls `f` with each item as the results are asked for, which come in the items' order.
    ///
    /// Items are taken from their iterator, which may be endless, as far ahead as the pool has use for:
    /// [`IMap::look_ahead`]. Dropping the iterator cancels what has not begun.
    pub fn imap<I, R>(&self, items: I, f: fn(I::Item) -> R) -> IMap<I::IntoIter, R>
    where
        I: IntoIterator<Item: Serialize + DeserializeOwned>,
        R: Serialize + DeserializeOwned,
    {
        IMap::new(&self.crew, items.into_iter(), Function::of_chunk(f))
    }

    /// As [`imap`](Self::imap), but each result comes as soon as it is there, with the number of its item.
    pub fn imap_unordered<I, R>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> IMapUnordered<I::IntoIter, R>
    where
        I: IntoIterator<Item: Serialize + DeserializeOwned>,
        R: Serialize + DeserializeOwned,
    {
        IMapUnordered::new(&self.crew, items.into_iter(), Function::of_chunk(f))
    }

    /// The jobs' results as they end, those first that have ended already, with their places among `handles`.
    pub fn as_completed<R>(
        &self,
        handles: impl IntoIterator<Item = TaskHandle<R>>,
    ) -> impl Iterator<Item = (usize, Result<R, TaskError>)>
    where
        R: DeserializeOwned + 'static,
    {
        maps::as_completed(handles)
    }

    /// Takes no more jobs; those that were taken are done. Workers end when nothing is left for them.
    pub fn close(&self) {
        self.crew.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.crew.is_closed()
    }

    /// Waits until all jobs have ended, their callbacks have run, and the workers are gone.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotClosed`] when it is still open.
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`). In a callback of the pool it waits for itself.
    #[track_caller]
    pub fn join(&self) -> Result<(), PoolError> {
        self.crew.join()
    }

    /// Ends all at once: workers are killed, and every job that has not ended does so as
    /// [`TaskError::Terminated`]. Returns at once; [`join`](Self::join) waits for the workers' end.
    pub fn terminate(&self) {
        self.crew.terminate();
    }

    /// How many workers live.
    pub fn len(&self) -> usize {
        self.crew.len()
    }

    /// Whether no worker lives, as before the first job.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A job of one call.
fn outgoing<A: Serialize>(function: Function, argument: &A) -> Result<Outgoing, PoolError> {
    let parcel = Parcel::pack_after(function.write().to_vec(), argument)?;
    Ok(Outgoing::new(protocol::JOB, 0, parcel)?)
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.crew.terminate();
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessPool").field(&self.crew).finish()
    }
}
