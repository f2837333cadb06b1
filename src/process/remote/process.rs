//! A function that runs in a process of its own.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::home;
use crate::ipc::link::Outgoing;
use crate::ipc::parcel::Parcel;
use crate::runtime::Outside;
use crate::sync::Event;

use super::error::TaskError;
use super::function::{Function, Service};
use super::kid::Kid;
use super::launch::{Launch, Worker};
use super::protocol::{self, Reply};

/// A function that runs in a process of its own: Python's `multiprocessing.Process`, with a result.
///
/// The child is a new process of this same program. `main` is not run in it: it begins with the function, and
/// shares nothing with its parent but what the argument brings. So statics have their first values there, and
/// what the child does to them the parent does not see.
///
/// The function is a `fn`, or a closure that captures nothing; all it needs comes with the argument. Argument
/// and result are anything that serde knows. Ends of [`ipc`](crate::ipc) pipes and the like cross as well.
///
/// Dropping this leaves the process to itself. When the parent ends, by the end of `main` or by `exit`, it waits
/// for its children, but kills those that are [daemons](Builder::daemon). A daemon also ends, at once, if the
/// parent is killed.
///
/// # Examples
///
/// ```
/// use greenloom::process::Process;
///
/// fn cube(n: u64) -> u64 {
///     n * n * n
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let process = Process::spawn(cube, 7)?;
/// assert_ne!(process.id(), std::process::id());
/// assert_eq!(process.join()?, 343);
/// # Ok(())
/// # }
/// ```
///
/// What a closure captures would not cross, so one that captures is refused, even if it is a `Copy` value of no size:
///
/// ```compile_fail,E0308
/// #[derive(Clone, Copy)]
/// struct Witness(());
///
/// let witness = Witness(());
/// let _ = greenloom::process::Process::spawn(move |n: u64| { let _witness = witness; n }, 7);
/// ```
#[must_use = "a process that is not joined goes on by itself; say so with drop() if that is meant"]
pub struct Process<R> {
    state: Arc<State>,
    result: PhantomData<fn() -> R>,
}

#[derive(Debug)]
struct State {
    kid: Arc<Kid>,
    name: Arc<str>,
    is_daemon: bool,
    /// What the function came to; set before `ended`, taken by the join.
    outcome: Mutex<Option<Result<Reply, TaskError>>>,
    /// The process has ended, and its outcome is there.
    ended: Event,
}

/// Settings of a process that is to be started.
///
/// # Examples
///
/// ```
/// use greenloom::process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shout = |text: String| text.to_uppercase();
/// let process = process::Builder::new().name("shouter").daemon(true).spawn(shout, "hear".to_owned())?;
/// assert_eq!(process.name(), "shouter");
/// assert_eq!(process.join()?, "HEAR");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    is_daemon: bool,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Builder {
    /// The settings of [`Process::spawn`]: no name of its own, no daemon, output where the parent's goes.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Its name, in lists and errors; `Process-1` and so on without one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether it is killed when the parent ends, however that ends, instead of being waited for.
    pub fn daemon(mut self, is_daemon: bool) -> Self {
        self.is_daemon = is_daemon;
        self
    }

    /// Where its standard output goes: by default where the parent's does.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Where its standard error goes: by default where the parent's does.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Starts a process that calls `f` with `argument`. Its standard input is empty.
    ///
    /// # Errors
    ///
    /// What the system says when there are too many processes or descriptors; `InvalidData` when the argument
    /// cannot be encoded; `Unsupported` where the function cannot be found by another process: in a library
    /// that was loaded into a program, or on a system for which this has not been built.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits for the new process, which is killed.
    ///
    /// # Parks
    ///
    /// Until the new process has said hello, about a millisecond.
    #[track_caller]
    pub fn spawn<A, R>(self, f: fn(A) -> R, argument: A) -> io::Result<Process<R>>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let function = Function::of(f)?;
        self.begin(function, argument)
    }

    /// Starts a process that runs a service which `f` prepares.
    ///
    /// # Errors
    /// As for `spawn`.
    #[track_caller]
    pub(crate) fn spawn_service<S: Service>(
        self,
        f: fn(&mut S::Setup),
        orders: S::Orders,
    ) -> io::Result<Process<()>> {
        self.begin(Function::of_service::<S>(f)?, orders)
    }

    #[track_caller]
    fn begin<A: Serialize, R>(self, function: Function, argument: A) -> io::Result<Process<R>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let parcel = Parcel::pack_after(function.write().to_vec(), &argument)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        drop(argument);
        let job = Outgoing::new(protocol::JOB, 1, parcel)?;
        let name = self.name.unwrap_or_else(|| {
            // Relaxed: only uniqueness matters.
            format!("Process-{}", NEXT.fetch_add(1, Ordering::Relaxed))
        });
        let name: Arc<str> = name.into();
        let launch = Launch {
            name: name.clone(),
            is_daemon: self.is_daemon,
            stdout: self.stdout.unwrap_or_else(Stdio::inherit),
            stderr: self.stderr.unwrap_or_else(Stdio::inherit),
        };
        let worker = launch.start()?;
        let state = Arc::new(State {
            kid: worker.kid.clone(),
            name,
            is_daemon: self.is_daemon,
            outcome: Mutex::new(None),
            ended: Event::new(),
        });
        let theirs = state.clone();
        let supervised = home::spawn(&format!("supervisor of {}", state.name), move || {
            supervise(&theirs, worker, job);
        });
        if let Err(error) = supervised {
            let _ = state.kid.signal(Signal::KILL);
            return Err(error);
        }
        Ok(Process {
            state,
            result: PhantomData,
        })
    }
}

/// Sees a process through its one job to its end.
fn supervise(state: &State, mut worker: Worker, mut job: Outgoing) {
    let reply = worker.call(&mut job);
    drop(job);
    worker.dismiss();
    let status = state.kid.wait();
    let outcome = reply.map_err(|_| TaskError::Died {
        pid: state.kid.pid,
        status,
    });
    *state.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    state.ended.set();
}

impl<R> Process<R> {
    /// Starts a process that calls `f` with `argument`: see [`Builder::spawn`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn spawn<A>(f: fn(A) -> R, argument: A) -> io::Result<Process<R>>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Builder::new().spawn(f, argument)
    }

    /// Waits for the process to end and returns the function's value.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: the function panicked, or the process ended before it did.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the process goes on, as if this had been dropped.
    ///
    /// # Parks
    ///
    /// Until the process has ended (`sync.event`).
    #[track_caller]
    pub fn join(self) -> Result<R, TaskError>
    where
        R: DeserializeOwned,
    {
        self.wait();
        self.take()
    }

    /// As [`join`](Self::join), but waits no longer than `timeout`; the process goes on.
    ///
    /// # Errors
    ///
    /// The outer error gives this back: the time is over.
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<R, TaskError>, Self>
    where
        R: DeserializeOwned,
    {
        match self.wait_timeout(timeout) {
            true => Ok(self.take()),
            false => Err(self),
        }
    }

    /// Waits for the process to end, and leaves its value for the join.
    #[track_caller]
    pub fn wait(&self) {
        let _outside = Outside::here();
        self.state.ended.wait();
    }

    /// As [`wait`](Self::wait), at most for `timeout`; whether it has ended.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let _outside = Outside::here();
        self.state.ended.wait_timeout(timeout)
    }

    fn take(&self) -> Result<R, TaskError>
    where
        R: DeserializeOwned,
    {
        let outcome = &self.state.outcome;
        let outcome = outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match outcome.expect("it has ended, and is joined once")? {
            Reply::Done(parcel) => Ok(parcel.unpack()?),
            Reply::Panicked(panic) => Err(TaskError::Panicked(panic)),
            Reply::Failed(error) => Err(TaskError::Codec(error)),
        }
    }

    /// Whether the process has ended.
    pub fn is_finished(&self) -> bool {
        self.state.ended.is_set()
    }

    /// Whether the process runs: Python's name for the opposite of [`is_finished`](Self::is_finished).
    pub fn is_alive(&self) -> bool {
        !self.is_finished()
    }

    /// How the process ended; `None` while it lives.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.state.kid.status().filter(|_| self.is_finished())
    }

    /// Asks the process to end, by SIGTERM; nothing happens when it has ended.
    ///
    /// # Errors
    ///
    /// When it may not be signalled.
    pub fn terminate(&self) -> io::Result<()> {
        self.state.kid.signal(Signal::TERM)
    }

    /// Ends the process, by SIGKILL; nothing happens when it has ended.
    ///
    /// # Errors
    ///
    /// When it may not be signalled.
    pub fn kill(&self) -> io::Result<()> {
        self.state.kid.signal(Signal::KILL)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.state.kid.pid
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Whether it is killed, not waited for, when this process ends.
    pub fn is_daemon(&self) -> bool {
        self.state.is_daemon
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.state.name)
            .field("id", &self.state.kid.pid)
            .field("is_daemon", &self.state.is_daemon)
            .field("status", &self.exit_status())
            .finish()
    }
}
