//! All that the workers of one runtime share: the injector, each other's mailboxes and queues, the pool.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use crate::driver::blocking_pool::BlockingPool;
#[cfg(feature = "futures-io")]
use crate::driver::reactor::ReactorShared;

use super::config::Config;
use super::deque::{Owner, Steal, Stealer};
use super::inbox::{Letter, Mailbox};
use super::sleep::Sleepers;
use super::stuck::StuckTasks;
use super::task::TaskRef;

#[derive(Debug)]
pub(crate) struct Shared {
    /// Tells runtimes apart. A number that comes again after four thousand million others does no harm: the
    /// tasks of a runtime that is gone have all been claimed.
    pub(crate) id: u32,
    pub(crate) config: Config,
    pub(crate) sleepers: Arc<Sleepers>,
    pub(crate) mailboxes: Box<[Arc<Mailbox>]>,
    /// Of the first worker: where descriptors are watched for who is on none.
    #[cfg(feature = "futures-io")]
    pub(crate) reactor: Arc<ReactorShared>,
    stealers: Box<[Stealer<TaskRef>]>,
    injector: Mutex<Injector>,
    /// How many tasks the injector holds: looked at before its lock is taken.
    injected: AtomicUsize,
    pub(crate) blocking: BlockingPool,
    /// Tasks spawned and not ended; counted only under a task limit.
    live: AtomicUsize,
    /// Tasks for whose end some thread waits in `run` or `block_on`.
    mains: Mutex<Vec<TaskRef>>,
    /// Threads that are ours: workers, and threads that wait in `run` or `block_on`.
    pub(crate) own_threads: AtomicUsize,
    is_stopping: AtomicBool,
    /// Whether an idle worker may use its processor to look out for what comes: there is one for each, and real time.
    pub(crate) may_look_out: bool,
    /// By worker: whether it has ended, or never will.
    ends: Mutex<Vec<Option<End>>>,
    an_end: Condvar,
    pub(crate) stuck: StuckTasks,
    /// Workers with tasks that wait for a stack, and how many they are: looked at whenever a task ends.
    starving: Mutex<Vec<usize>>,
    starved: AtomicUsize,
    /// Of the deadlock report that was logged last; 0 before there was one, and that of an empty one.
    last_report: AtomicU64,
}

/// Tasks from outside that any worker may start.
#[derive(Debug, Default)]
struct Injector {
    tasks: VecDeque<TaskRef>,
    /// Set when the runtime stops: who comes after this is refused, so nothing is left behind.
    is_closed: bool,
}

/// What has become of a worker when its runtime stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its loop has ended.
    Gone,
    /// It has tasks that swallow their cancellation, and stays parked with them for ever.
    LeftBehind,
}

/// Why a task was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Stopping,
    Full { limit: usize },
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        sleepers: Arc<Sleepers>,
        mailboxes: Box<[Arc<Mailbox>]>,
        stealers: Box<[Stealer<TaskRef>]>,
        blocking: BlockingPool,
        #[cfg(feature = "futures-io")] reactor: Arc<ReactorShared>,
    ) -> Self {
        let mailboxes_len = mailboxes.len();
        let has_cpus = available_parallelism().is_ok_and(|cpus| cpus.get() >= mailboxes_len);
        let may_look_out = has_cpus && !config.clock.is_virtual();
        // Relaxed: only distinctness matters.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            config,
            sleepers,
            mailboxes,
            #[cfg(feature = "futures-io")]
            reactor,
            stealers,
            injector: Mutex::default(),
            injected: AtomicUsize::new(0),
            blocking,
            live: AtomicUsize::new(0),
            mains: Mutex::default(),
            own_threads: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            may_look_out,
            ends: Mutex::new(vec![None; mailboxes_len]),
            an_end: Condvar::new(),
            stuck: StuckTasks::default(),
            starving: Mutex::default(),
            starved: AtomicUsize::new(0),
            last_report: AtomicU64::new(0),
        }
    }

    fn injector(&self) -> MutexGuard<'_, Injector> {
        self.injector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more task.
    #[inline]
    pub(crate) fn admit(&self) -> Result<(), Refused> {
        let Some(limit) = self.config.task_limit else {
            return Ok(());
        };
        // Relaxed: a count, and nothing is read by its leave.
        let grow = |live| (live < limit).then_some(live + 1);
        match self
            .live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Refused::Full { limit }),
        }
    }

    /// Counts the main task of `run`, for which there is always room.
    pub(crate) fn admit_main(&self) {
        if self.config.task_limit.is_some() {
            self.live.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that was admitted has ended, or was refused after all.
    #[inline]
    pub(crate) fn dismiss(&self) {
        if self.config.task_limit.is_some() {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes a task from a thread that is no worker of this runtime.
    pub(crate) fn inject(&self, task: TaskRef) -> Result<(), (Refused, TaskRef)> {
        {
            let mut injector = self.injector();
            if injector.is_closed {
                return Err((Refused::Stopping, task));
            }
            injector.tasks.push_back(task);
            self.injected.store(injector.tasks.len(), Ordering::Release);
        }
        if let Some(worker) = self.sleepers.wake_any() {
            self.mailboxes[worker].unpark();
        }
        Ok(())
    }

    /// Takes a pinned task for one of the workers, from whatever thread.
    pub(crate) fn send_to(&self, worker: usize, task: TaskRef) -> Result<(), (Refused, TaskRef)> {
        {
            let injector = self.injector();
            if injector.is_closed {
                return Err((Refused::Stopping, task));
            }
            // Under the lock, so that it comes before the word to stop, which is said after closing.
            self.mailboxes[worker].leave(Letter::Start(task));
        }
        self.mailboxes[worker].ring();
        Ok(())
    }

    /// Tells a sleeper that a worker has queued work which may be stolen.
    #[inline]
    pub(crate) fn stealable(&self) {
        if let Some(worker) = self.sleepers.wake_one() {
            self.mailboxes[worker].unpark();
        }
    }

    #[inline]
    pub(crate) fn has_injected(&self) -> bool {
        // Acquire pairs with `inject`; the lock orders the rest.
        self.injected.load(Ordering::Acquire) != 0
    }

    /// Moves a fair share of the injected tasks to `take`.
    pub(crate) fn take_injected(&self, mut take: impl FnMut(TaskRef)) -> usize {
        let mut batch = Vec::new();
        {
            let mut injector = self.injector();
            let share = injector.tasks.len().div_ceil(self.config.workers).min(32);
            batch.extend(injector.tasks.drain(..share));
            self.injected.store(injector.tasks.len(), Ordering::Release);
        }
        let taken = batch.len();
        batch.into_iter().for_each(&mut take);
        taken
    }

    /// Steals for `thief`: one task to start at once, and perhaps more into its own queue.
    pub(crate) fn steal(&self, thief: usize, queue: &Owner<TaskRef>) -> Option<TaskRef> {
        let workers = self.stealers.len();
        (1..workers).find_map(|step| {
            let victim = &self.stealers[(thief + step) % workers];
            loop {
                match victim.steal_batch_into(queue) {
                    Steal::Taken(task) => return Some(task),
                    Steal::Empty => return None,
                    Steal::Retry => std::hint::spin_loop(),
                }
            }
        })
    }

    /// Whether some worker could find work elsewhere.
    pub(crate) fn has_stealable(&self) -> bool {
        self.has_injected() || self.stealers.iter().any(|stealer| !stealer.is_empty())
    }

    /// Whether no letter and no injected task is on its way. Looks only.
    pub(crate) fn is_quiet(&self) -> bool {
        // What comes to a worker that has ended is for nobody.
        let is_quiet = |(index, mailbox): (usize, &Arc<Mailbox>)| {
            !mailbox.has_news() || self.sleepers.is_retired(index)
        };
        !self.has_injected() && self.mailboxes.iter().enumerate().all(is_quiet)
    }

    fn starving(&self) -> MutexGuard<'_, Vec<usize>> {
        self.starving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker has tasks that wait for a stack: the others shall give back those that they keep for later.
    /// From now on they give back what comes free, too.
    pub(crate) fn starve(&self, worker: usize) {
        {
            let mut starving = self.starving();
            if starving.contains(&worker) {
                return;
            }
            starving.push(worker);
            self.starved.store(starving.len(), Ordering::Relaxed);
        }
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if index != worker && !self.sleepers.is_retired(index) {
                mailbox.post(Letter::SpareStacks);
            }
        }
    }

    /// Whether some worker starves.
    #[inline]
    pub(crate) fn is_starved(&self) -> bool {
        // Relaxed: who asks too early gets a letter after.
        self.starved.load(Ordering::Relaxed) != 0
    }

    /// Stacks have gone to the global list: those who starve shall look there, and say so if it was not enough.
    pub(crate) fn feed(&self, is_hopeless: bool) {
        let starving = {
            let mut starving = self.starving();
            self.starved.store(0, Ordering::Relaxed);
            std::mem::take(&mut *starving)
        };
        for worker in starving {
            self.mailboxes[worker].post(Letter::Stacks { is_hopeless });
        }
    }

    /// Closes the door and tells every worker to cancel what it has and end.
    pub(crate) fn stop(&self) {
        if self.is_stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        self.injector().is_closed = true;
        for mailbox in &self.mailboxes {
            mailbox.post(Letter::Stop);
        }
    }

    /// Said by a worker at its end, or when it finds that there will be none.
    pub(crate) fn end_of_worker(&self, worker: usize, is_stuck: bool) {
        let end = if is_stuck { End::LeftBehind } else { End::Gone };
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)[worker] = Some(end);
        self.an_end.notify_all();
        if end == End::Gone
            && let Some(other) = self.sleepers.retire(worker)
        {
            self.mailboxes[other].unpark();
        }
    }

    /// Blocks until the worker has ended or will not end.
    pub(crate) fn wait_for_end(&self, worker: usize) -> End {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(end) = ends[worker] {
                return end;
            }
            ends = self
                .an_end
                .wait(ends)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(crate) fn mains(&self) -> MutexGuard<'_, Vec<TaskRef>> {
        self.mains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a report with this fingerprint is other than the last one.
    pub(crate) fn is_news(&self, fingerprint: u64) -> bool {
        fingerprint != 0 && self.last_report.swap(fingerprint, Ordering::Relaxed) != fingerprint
    }

    /// Whether a thread may be there that could wake a task and is unknown to us.
    pub(crate) fn has_foreign_threads(&self) -> bool {
        if self.config.is_closed_world {
            return false;
        }
        let ours = self.own_threads.load(Ordering::Relaxed) + self.blocking.threads();
        // Not knowing counts as yes.
        crate::sys::cpu::thread_count().is_none_or(|all| all > ours)
    }

    /// Has a standstill judged anew, if there is one.
    pub(crate) fn look_again(&self) {
        if let Some(worker) = self.sleepers.look_again() {
            self.mailboxes[worker].unpark();
        }
    }

    /// Something runs outside that will wake a worker at its end.
    pub(crate) fn outside_began(&self) {
        self.sleepers.outside_began();
    }

    /// It has ended, and its wake was sent before.
    pub(crate) fn outside_ended(&self) {
        if let Some(worker) = self.sleepers.outside_ended() {
            self.mailboxes[worker].unpark();
        } else if self.config.clock.is_virtual() && self.sleepers.wake(0) {
            // The one worker sleeps although it has timers: the clock had to wait for this.
            self.mailboxes[0].unpark();
        }
    }
}
