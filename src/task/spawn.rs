//! Spawning: a closure becomes a task of the current runtime, or of the default one.

use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::{Handle, SpawnError, global, launch, launch_at, launch_pinned};
use crate::scheduler::current;
use crate::scheduler::header::Spec;
use crate::scheduler::packet::Joiner;
use crate::scheduler::shared::Shared;
use crate::stack::StackSize;

use super::join::JoinHandle;
use super::locals::heir;

/// Settings of a task that is yet to be spawned.
///
/// # Examples
///
/// ```
/// let task = greenloom::task::Builder::new()
///     .name("teller")
///     .stack_size(1 << 20)
///     .spawn(|| greenloom::current().name().map(str::to_owned))?;
/// assert_eq!(task.join().unwrap().as_deref(), Some("teller"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// No name, and the runtime's stack size.
    pub fn new() -> Self {
        Builder::default()
    }

    /// The task's name, for logs, reports and panics.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The task's stack in bytes of address space, guard included; rounded up to a power of two, and to
    /// at least 64 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns a task in the current runtime, or in the default one where no worker runs.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an absurd stack size; a [`SpawnError`] inside when the runtime is stopping or
    /// at its task limit; the system's error when the default runtime cannot be started.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = here_or_default()?;
        self.spawn_on(&shared, f, Location::caller())
    }

    /// Spawns a task that stays on this worker, so that neither it nor its value need be `Send`.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn); [`SpawnError::NoWorker`] inside when the caller is no task.
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let handle = Handle::current().ok_or(SpawnError::NoWorker)?;
        let spec = self.spec(handle.shared(), Location::caller())?;
        let joiner = launch_pinned(handle.shared(), spec, heir(f))?;
        Ok(JoinHandle::new(joiner))
    }

    pub(crate) fn spec(
        self,
        shared: &Shared,
        place: &'static Location<'static>,
    ) -> io::Result<Spec> {
        let stack_size = match self.stack_size {
            None => shared.config.stack_size,
            Some(bytes) => StackSize::new(bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let name = self.name.map(Box::new);
        Ok(Spec {
            name,
            stack_size,
            place,
            runtime: shared.id,
            pinned: false,
        })
    }

    /// As [`spawn`](Self::spawn), on one of the workers of a runtime, by number.
    #[track_caller]
    pub(crate) fn spawn_at<F, T>(
        self,
        home: &Handle,
        worker: usize,
        f: F,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let spec = self.spec(home.shared(), Location::caller())?;
        Ok(JoinHandle::new(launch_at(
            home.shared(),
            worker,
            spec,
            heir(f),
        )?))
    }

    pub(crate) fn spawn_on<F, T>(
        self,
        shared: &Arc<Shared>,
        f: F,
        place: &'static Location<'static>,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if shared.is_stopping() {
            return Err(SpawnError::Stopping.into());
        }
        let spec = self.spec(shared, place)?;
        Ok(JoinHandle::new(launch(shared, spec, heir(f), ())?))
    }
}

/// The runtime that [`spawn`] would use here.
pub(crate) fn home() -> io::Result<Handle> {
    here_or_default().map(Handle::new)
}

/// The current worker's runtime, or the default one.
fn here_or_default() -> io::Result<Arc<Shared>> {
    let here = |processor: &crate::scheduler::processor::Processor| processor.shared.clone();
    match current::with_processor(|processor| processor.map(here)) {
        Some(shared) => Ok(shared),
        None => global(),
    }
}

/// Spawns a task: `f` runs concurrently with its caller, on this runtime's workers.
///
/// Outside of any runtime the task goes to the default one, which starts at first use on background
/// threads. The task starts when a worker gets to it, first spawned first started; once started it stays
/// on that worker's thread, so it may hold anything, `Send` or not, over its waits.
///
/// # Panics
///
/// When the runtime is stopping or full, or the default one cannot be started; [`Builder::spawn`] gives
/// errors instead.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let tasks: Vec<_> = (0..10).map(|n| greenloom::spawn(move || n * n)).collect();
/// let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
/// assert_eq!(sum, 285);
/// # });
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let place = Location::caller();
    let launched = current::with_processor(|processor| match processor {
        Some(processor) => launch_plain(&processor.shared, f, place),
        None => match global() {
            Ok(shared) => launch_plain(&shared, f, place),
            Err(error) => Err(error),
        },
    });
    match launched {
        Ok(joiner) => JoinHandle::new(joiner),
        Err(error) => panic!("spawn: {error}"),
    }
}

/// Launches a task without a name, and with the runtime's size of stacks.
#[inline]
fn launch_plain<F, T>(
    shared: &Arc<Shared>,
    f: F,
    place: &'static Location<'static>,
) -> io::Result<Joiner<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let spec = Spec {
        name: None,
        stack_size: shared.config.stack_size,
        place,
        runtime: shared.id,
        pinned: false,
    };
    match launch(shared, spec, heir(f), ()) {
        Ok(joiner) => Ok(joiner),
        Err(error) => Err(error.into()),
    }
}

/// Spawns a task that stays on this worker's thread, so that neither `f` nor its value need be `Send`.
///
/// # Panics
///
/// Where no worker runs, and when the runtime is full; [`Builder::spawn_local`] gives errors instead.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// # greenloom::run(|| {
/// let count = Rc::new(Cell::new(0));
/// let theirs = count.clone();
/// greenloom::spawn_local(move || theirs.set(1)).join().unwrap();
/// assert_eq!(count.get(), 1);
/// # });
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // No closure: its place would be named instead of the caller's.
    match Builder::new().spawn_local(f) {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// Spawns a task that sleeps for `delay` before it runs `f`; cancelled before that, it never runs it.
///
/// # Panics
///
/// As [`spawn`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let result = greenloom::Runtime::builder().virtual_clock().run(|| {
///     greenloom::spawn_after(Duration::from_secs(3600), || "an hour later").join().unwrap()
/// });
/// assert_eq!(result.unwrap(), "an hour later");
/// ```
#[track_caller]
pub fn spawn_after<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn(move || {
        super::this::sleep_for(delay);
        f()
    })
}

impl Handle {
    /// Spawns a task in this runtime, from any thread.
    ///
    /// # Errors
    ///
    /// A [`SpawnError`] inside when the runtime is stopping or at its task limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = greenloom::Runtime::new()?;
    /// let handle = runtime.handle();
    /// let thread = std::thread::spawn(move || handle.spawn(|| 7).unwrap().join().unwrap());
    /// assert_eq!(thread.join().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Builder::new().spawn_on(self.shared(), f, Location::caller())
    }
}
