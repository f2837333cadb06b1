//! What the parts of a running server share: who is connected, what has happened, whether to stop.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use crate::sync::{Event, Semaphore};
use crate::task::JoinHandle;

/// What a server has done, told by [`Server::serve`](super::Server::serve) at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were accepted: each is served, failed or cancelled.
    pub accepted: u64,
    /// Handlers that ended well.
    pub served: u64,
    /// Handlers that ended with an error or a panic, and connections that could be given no task.
    pub failed: u64,
    /// Handlers that were still at work when the time to drain was over, or the server was cancelled.
    pub cancelled: u64,
    /// The most connections at the same time.
    pub peak: usize,
    /// Times that there was no descriptor or memory left for one more connection.
    pub shortages: u64,
}

/// Stops a server, from whatever task or thread.
///
/// # Examples
///
/// A signal stops it:
///
/// ```no_run
/// use greenloom::net::{Connection, Server};
///
/// greenloom::run(|| {
///     let server = Server::bind("127.0.0.1:8080")?;
///     let stopper = server.stopper();
///     greenloom::spawn(move || {
///         greenloom::signal::ctrl_c().expect("signals can be waited for");
///         stopper.stop();
///     });
///     let report = server.serve(|connection: &Connection| {
///         std::io::copy(&mut connection.stream(), &mut connection.stream()).map(drop)
///     })?;
///     eprintln!("{report:?}");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone)]
pub struct Stopper {
    pub(super) word: Arc<Word>,
}

/// What was said to a server about stopping.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub(super) stop: Event,
    /// Set when there is nothing to drain any more, or no time for it.
    pub(super) settled: Event,
}

impl Stopper {
    /// Has the server accept no more and end when its connections have ended, within its
    /// [time to drain](super::Server::drain_timeout). Never parks.
    pub fn stop(&self) {
        self.word.stop.set();
    }

    /// Has the server cancel its connections at once. Never parks.
    pub fn stop_now(&self) {
        self.word.settled.set();
        self.word.stop.set();
    }

    /// Whether the server was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.word.stop.is_set()
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper")
            .field("is_stopping", &self.is_stopping())
            .finish()
    }
}

/// Shared by all tasks of one server.
pub(super) struct State<S> {
    pub(super) word: Arc<Word>,
    /// One for each connection that may be open.
    pub(super) permits: Arc<Semaphore>,
    /// How many there are of them.
    limit: usize,
    /// Whether more connections may come.
    is_accepting: AtomicBool,
    open: Mutex<Slab<Entry<S>>>,
    /// Connections on each worker.
    loads: Box<[AtomicUsize]>,
    /// Where the search for the least of them begins.
    turn: AtomicUsize,
    pub(super) counts: Counts,
    /// Why it can accept no more, if it cannot.
    pub(super) fault: Mutex<Option<io::Error>>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) peak: AtomicUsize,
    pub(super) shortages: AtomicU64,
}

/// An open connection.
struct Entry<S> {
    stream: Arc<S>,
    /// `None` until it was spawned.
    task: Option<JoinHandle<()>>,
    /// Between two requests: the stop may end it.
    is_idle: bool,
}

impl<S> State<S> {
    pub(super) fn new(word: Arc<Word>, limit: usize, workers: usize) -> State<S> {
        State {
            word,
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            is_accepting: AtomicBool::new(true),
            open: Mutex::default(),
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            turn: AtomicUsize::new(0),
            counts: Counts::default(),
            fault: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Slab<Entry<S>>> {
        // Nothing that can panic runs under it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; gives its place.
    pub(super) fn enter(&self, stream: Arc<S>) -> usize {
        let mut open = self.open();
        let place = open.insert(Entry {
            stream,
            task: None,
            is_idle: false,
        });
        // Under the lock, so that it is exact.
        self.counts.peak.fetch_max(open.len(), Ordering::Relaxed);
        place
    }

    /// Says which task serves it. It may be gone already.
    pub(super) fn assign(&self, place: usize, stream: &Arc<S>, task: JoinHandle<()>) {
        let mut open = self.open();
        // Another connection may have its place by now.
        let entry = open.get_mut(place);
        if let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.stream, stream)) {
            entry.task = Some(task);
            return;
        }
        drop(open);
        drop(task);
    }

    /// Takes a connection out again.
    pub(super) fn leave(&self, place: usize) {
        let entry = self.open().remove(place);
        drop(entry);
    }

    /// Notes whether the stop may end it. True: it is told to stop already.
    pub(super) fn set_idle(&self, place: usize, is_idle: bool) -> bool {
        if let Some(entry) = self.open().get_mut(place) {
            entry.is_idle = is_idle;
        }
        self.word.stop.is_set()
    }

    /// The streams of connections between two requests.
    pub(super) fn idle(&self) -> Vec<Arc<S>> {
        let open = self.open();
        let idle = open.iter().filter(|(_, entry)| entry.is_idle);
        idle.map(|(_, entry)| entry.stream.clone()).collect()
    }

    /// Asks all connections' tasks to end, until there are none.
    pub(super) fn cancel_all(&self) {
        loop {
            let tasks: Vec<_> = {
                let mut open = self.open();
                open.iter_mut()
                    .filter_map(|(_, entry)| entry.task.take())
                    .collect()
            };
            tasks.iter().for_each(JoinHandle::cancel);
            // One that was entered just now gets its task in a moment.
            if self
                .permits
                .acquire_many_timeout(self.limit, Duration::from_millis(100))
                .is_some()
            {
                return;
            }
        }
    }

    /// Whether there can be so many connections that one has to wait for a permit.
    pub(super) fn is_limited(&self) -> bool {
        self.limit < Semaphore::MAX_PERMITS
    }

    /// No more connections will come.
    pub(super) fn ends_accepting(&self) {
        self.is_accepting.store(false, Ordering::Relaxed);
        // Pairs with that in `tell_if_drained`.
        fence(Ordering::SeqCst);
    }

    /// Whether nobody is connected.
    pub(super) fn is_drained(&self) -> bool {
        self.permits.available_permits() == self.limit
    }

    /// A connection has given its permit back.
    pub(super) fn tell_if_drained(&self) {
        // Who waits for it notes first that no more will come, then looks whether it is drained; here it is the other
        // way round: one of the two sees it. Not before that note: one may be accepted at this moment.
        fence(Ordering::SeqCst);
        if !self.is_accepting.load(Ordering::Relaxed) && self.is_drained() {
            self.word.settled.set();
        }
    }

    /// The worker with the fewest connections; one more is counted for it.
    pub(super) fn place(&self) -> usize {
        let workers = self.loads.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let around = (0..workers).map(|step| first.wrapping_add(step) % workers);
        let load = |worker: &usize| self.loads[*worker].load(Ordering::Relaxed);
        let worker = around.min_by_key(load).unwrap_or(0);
        self.load(worker);
        worker
    }

    /// Counts one more for a worker.
    pub(super) fn load(&self, worker: usize) {
        self.loads[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// One has ended there.
    pub(super) fn unload(&self, worker: usize) {
        self.loads[worker].fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> Report {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Report {
            accepted: of(&self.counts.accepted),
            served: of(&self.counts.served),
            failed: of(&self.counts.failed),
            cancelled: of(&self.counts.cancelled),
            peak: self.counts.peak.load(Ordering::Relaxed),
            shortages: of(&self.counts.shortages),
        }
    }
}
