//! Settings to a runtime.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::driver::blocking_pool::{self, BlockingPool};
use crate::driver::reactor::Reactor;
use crate::scheduler::config::{Config, OnDeadlock, OnStuck};
use crate::scheduler::deque;
use crate::scheduler::header::TaskId;
use crate::scheduler::hook;
use crate::scheduler::inbox::Mailbox;
use crate::scheduler::shared::Shared;
use crate::scheduler::sleep::Sleepers;
use crate::scheduler::switch_hooks::SwitchHooks;
use crate::scheduler::worker::Berth;
use crate::stack::StackSize;
use crate::sys::barrier;

use super::error::RunError;
use super::owner::{self, Runtime};

/// Settings of a runtime that is yet to be built or run.
///
/// # Examples
///
/// ```
/// let sum = greenloom::Runtime::builder()
///     .workers(2)
///     .run(|| greenloom::spawn(|| 20 + 22).join().unwrap())?;
/// assert_eq!(sum, 42);
/// # Ok::<(), greenloom::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    workers: Option<usize>,
    stack_size: usize,
    is_virtual: bool,
    on_deadlock: OnDeadlock,
    on_stuck: OnStuck,
    is_closed_world: bool,
    grace: Duration,
    task_limit: Option<usize>,
    blocking_threads: usize,
    thread_name: String,
    has_panic_note: bool,
    switch_hooks: Option<Arc<SwitchHooks>>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            workers: None,
            stack_size: StackSize::DEFAULT.bytes(),
            is_virtual: false,
            on_deadlock: OnDeadlock::default(),
            on_stuck: OnStuck::default(),
            is_closed_world: false,
            grace: Duration::from_secs(2),
            task_limit: None,
            blocking_threads: 512,
            thread_name: "greenloom".to_owned(),
            has_panic_note: true,
            switch_hooks: None,
        }
    }
}

/// What a built runtime consists of before any worker runs.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) berths: Vec<Berth>,
}

impl Builder {
    /// The defaults: as many workers as the process may use processors, 256 KiB stacks, the real clock.
    pub fn new() -> Self {
        Builder::default()
    }

    /// The number of workers, that is of OS threads that run tasks; at least 1.
    ///
    /// The default is the environment variable `GREENLOOM_WORKERS` if it is set, and else what
    /// [`std::thread::available_parallelism`] says, which heeds the process's affinity and its cgroup's
    /// quota.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The stack of a task in bytes of address space, guard included, where the task's own builder says
    /// nothing else; the default is 256 KiB. Sizes are rounded up to a power of two; memory is used as
    /// it is touched.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Replaces the real clock by one that stands still while anything can run, and jumps to the next
    /// deadline when nothing can: tests of sleeps and time-outs then take no time and are exact.
    ///
    /// It needs exactly one worker, which this sets unless [`workers`](Self::workers) is called too.
    pub fn virtual_clock(mut self) -> Self {
        self.is_virtual = true;
        self
    }

    /// What happens when every task waits and nothing can wake any of them.
    pub fn on_deadlock(mut self, what: OnDeadlock) -> Self {
        self.on_deadlock = what;
        self
    }

    /// What happens when a task swallows its cancellation again and again, and so keeps others waiting.
    pub fn on_stuck(mut self, what: OnStuck) -> Self {
        self.on_stuck = what;
        self
    }

    /// Promises that no thread outside of this runtime will wake one of its tasks, so that a deadlock is
    /// raised at once even though there are other threads.
    pub fn closed_world(mut self) -> Self {
        self.is_closed_world = true;
        self
    }

    /// How long the program must have stood still before a deadlock that may be none is logged; the
    /// default is two seconds.
    pub fn deadlock_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The most tasks that may be alive at once; there is no limit by default. Spawning more is
    /// [`SpawnError::Full`](crate::runtime::SpawnError::Full).
    pub fn task_limit(mut self, limit: usize) -> Self {
        self.task_limit = Some(limit);
        self
    }

    /// The most threads that [`unblock`](crate::unblock) uses at once; the default is 512.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// What the worker threads are called, before a dash and a number; the default is `greenloom`.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// Whether a panic in a task is followed by a line that names the task; on by default.
    ///
    /// The hook that prints it is chained before the one that is installed when the first runtime is
    /// built, and is the process's.
    pub fn panic_note(mut self, wanted: bool) -> Self {
        self.has_panic_note = wanted;
        self
    }

    /// Calls `enter` whenever a worker begins or goes on to run a task, and `leave` whenever the task stops
    /// or ends: so that what belongs to the thread, and should belong to the task, can be put away and
    /// brought back. `examples/tracing_spans.rs` does that for the spans of `tracing`.
    ///
    /// Both run on the task's own stack, as its code: [`current`](crate::current) is the task, and
    /// [`task_local!`](crate::task_local) values are its own. At its last `leave` they have been dropped,
    /// which [`LocalKey::try_with`](crate::task::LocalKey::try_with) tells. The two always alternate; they
    /// are also called when the runtime looks at a task that waits, for a deadlock report.
    ///
    /// They must be quick, and must not wait: as in [`no_park`](crate::no_park), a wait panics. A panic
    /// of theirs goes by the panic hook and no further. A runtime without them pays nothing for them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use std::sync::Arc;
    ///
    /// let switches = Arc::new(AtomicUsize::new(0));
    /// let count = switches.clone();
    /// greenloom::Runtime::builder()
    ///     .workers(1)
    ///     .on_switch(|_| (), move |_task| { count.fetch_add(1, Ordering::Relaxed); })
    ///     .run(|| (0..10).for_each(|_| greenloom::yield_now()))?;
    /// assert_eq!(switches.load(Ordering::Relaxed), 11);
    /// # Ok::<(), greenloom::RunError>(())
    /// ```
    pub fn on_switch<L, E>(mut self, leave: L, enter: E) -> Self
    where
        L: Fn(TaskId) + Send + Sync + 'static,
        E: Fn(TaskId) + Send + Sync + 'static,
    {
        self.switch_hooks = Some(Arc::new(SwitchHooks {
            leave: Box::new(leave),
            enter: Box::new(enter),
        }));
        self
    }

    /// Starts the workers as background threads.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no workers, an absurd stack size, or a virtual clock with several workers;
    /// otherwise the system's error when threads or descriptors are short.
    pub fn build(self) -> io::Result<Runtime> {
        Runtime::start(self.parts()?)
    }

    /// As [`run`](crate::run), with these settings.
    ///
    /// # Errors
    ///
    /// [`RunError`]: the thread is a worker already, the runtime could not be built, the main task
    /// panicked or was cancelled.
    #[track_caller]
    pub fn run<F, T>(self, main: F) -> Result<T, RunError>
    where
        F: FnOnce() -> T,
    {
        owner::run_parts(self.parts().map_err(RunError::Io)?, main)
    }

    fn config(self) -> io::Result<Config> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let workers = match self.workers {
            Some(workers) => workers,
            None if self.is_virtual => 1,
            None => default_workers()?,
        };
        if !(1..=4096).contains(&workers) {
            return Err(invalid(format!("{workers} workers: it must be 1 to 4096")));
        }
        if self.is_virtual && workers != 1 {
            return Err(invalid(format!(
                "a virtual clock needs exactly one worker, not {workers}"
            )));
        }
        if self.thread_name.contains('\0') {
            return Err(invalid(
                "a thread's name cannot hold a zero byte".to_owned(),
            ));
        }
        Ok(Config {
            workers,
            stack_size: StackSize::new(self.stack_size)
                .map_err(|error| invalid(error.to_string()))?,
            clock: if self.is_virtual {
                Clock::new_virtual()
            } else {
                Clock::real()
            },
            on_deadlock: self.on_deadlock,
            on_stuck: self.on_stuck,
            is_closed_world: self.is_closed_world,
            grace: self.grace,
            task_limit: self.task_limit,
            blocking_threads: self.blocking_threads.max(1),
            thread_name: self.thread_name,
            has_panic_note: self.has_panic_note,
            switch_hooks: self.switch_hooks,
        })
    }

    fn parts(self) -> io::Result<Parts> {
        let config = self.config()?;
        hook::install(config.has_panic_note);
        barrier::prepare();
        let sleepers = Arc::new(Sleepers::new(config.workers));
        let mut berths = Vec::with_capacity(config.workers);
        let mut stealers = Vec::with_capacity(config.workers);
        for index in 0..config.workers {
            let reactor = Reactor::new()?;
            let mailbox = Arc::new(Mailbox::new(index, reactor.unparker(), sleepers.clone()));
            let fresh = if config.workers == 1 {
                deque::alone()
            } else {
                let (fresh, stealer) = deque::shared();
                stealers.push(stealer);
                fresh
            };
            berths.push(Berth {
                index,
                reactor,
                fresh,
                mailbox,
            });
        }
        let mailboxes = berths.iter().map(|berth| berth.mailbox.clone()).collect();
        let blocking = BlockingPool::new(blocking_pool::Config {
            max_threads: config.blocking_threads,
            ..blocking_pool::Config::default()
        });
        let shared = Shared::new(
            config,
            sleepers,
            mailboxes,
            stealers.into(),
            blocking,
            #[cfg(feature = "futures-io")]
            berths[0].reactor.shared().clone(),
        );
        Ok(Parts {
            shared: Arc::new(shared),
            berths,
        })
    }
}

/// `GREENLOOM_WORKERS`, or what affinity and cgroup leave us.
fn default_workers() -> io::Result<usize> {
    match std::env::var("GREENLOOM_WORKERS") {
        Ok(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|workers| (1..=4096).contains(workers))
            .ok_or_else(|| {
                let text =
                    format!("GREENLOOM_WORKERS is {text:?}: it must be a number from 1 to 4096");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }),
        Err(std::env::VarError::NotUnicode(_)) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "GREENLOOM_WORKERS is not text: it must be a number from 1 to 4096",
        )),
        Err(std::env::VarError::NotPresent) => {
            Ok(std::thread::available_parallelism().map_or(1, usize::from))
        }
    }
}
