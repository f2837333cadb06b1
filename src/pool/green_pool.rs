//! A pool of green threads: at most so many at once.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;
use crate::task::{self, Builder, JoinError, JoinHandle, ScopedJoinHandle};

use super::completed::AsCompleted;
use super::error::{SubmitError, TrySpawnError};
use super::imap::{IMap, IMapUnordered};
use super::seats::{NoSeat, Seat, Seats};

/// At most so many green threads at once: eventlet's `GreenPool`, gevent's `Pool`.
///
/// A cheap handle: its clones are the same pool. It works from tasks of any runtime and from plain threads;
/// a member goes to the runtime of the caller, or to the default one. Dropping the last handle ends
/// nothing: members go on; [`join`](Self::join) or [`terminate`](Self::terminate) before that.
///
/// # Members that spawn
///
/// A member that wants another one of its own pool, when every seat is taken, would wait for itself. It
/// never does: the new task is spawned over the number, and its parent waits for its end before it goes on,
/// so that no more than so many are at work. A pool of no seats at all still runs nothing, for it has no
/// members.
///
/// Members of two pools that spawn into each other's wait for each other when both are full. Which of them
/// should go over its number nobody can say; the deadlock report names the members of both.
///
/// # Examples
///
/// ```
/// use greenloom::pool::GreenPool;
///
/// # greenloom::run(|| {
/// let pool = GreenPool::new(2);
/// let inner = pool.clone();
/// let task = pool.spawn(move || {
///     let more: Vec<_> = (0..10).map(|n| inner.spawn(move || n)).collect();
///     more.into_iter().map(|task| task.join().unwrap()).sum::<u32>()
/// });
/// assert_eq!(task.join().unwrap(), 45);
/// # });
/// ```
#[derive(Clone)]
pub struct GreenPool {
    seats: Arc<Seats>,
}

impl fmt::Debug for GreenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seats.fmt(f)
    }
}

/// Of a thousand, as eventlet's.
impl Default for GreenPool {
    fn default() -> Self {
        GreenPool::new(1000)
    }
}

/// Cancels a lent task and waits for its end, when its parent is unwound out of the wait for it.
struct Inline<T> {
    handle: Option<JoinHandle<T>>,
}

impl<T> Drop for Inline<T> {
    fn drop(&mut self) {
        if let Some(handle) = &mut self.handle {
            handle.cancel();
            handle.wait_for_end();
        }
    }
}

impl GreenPool {
    /// Makes a pool with so many seats. One of none runs nothing until it is [resized](Self::resize).
    pub fn new(size: usize) -> Self {
        GreenPool {
            seats: Arc::new(Seats::new(size)),
        }
    }

    /// Spawns a member; waits first while every seat is taken.
    ///
    /// Spawners get seats in the order in which they came.
    ///
    /// # Panics
    ///
    /// When the pool is closed, or the runtime full: [`submit`](Self::submit) gives errors instead.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; a seat that was given to it meanwhile goes to the next in line.
    ///
    /// # Parks
    ///
    /// While there is no seat (`pool.spawn`); called by a member, until the new task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(8);
    /// let task = pool.spawn(|| "done");
    /// assert_eq!(task.join().unwrap(), "done");
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.submit(f) {
            Ok(handle) => handle,
            Err(error) => panic!("GreenPool::spawn: {error}"),
        }
    }

    /// As [`spawn`](Self::spawn), with an error instead of the panic.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the pool is closed, perhaps while this was waiting for a seat; or the runtime takes
    /// no more tasks.
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> Result<JoinHandle<T>, SubmitError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.seats.take(Deadline::NEVER) {
            Ok(seat) => launch(seat, f).map_err(SubmitError::Runtime),
            Err(_) => Err(SubmitError::Closed),
        }
    }

    /// Spawns a member if there is a seat at once. Never parks, for members either.
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`], which gives the job back.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = greenloom::pool::GreenPool::new(0);
    /// let error = pool.try_spawn(|| "a job").unwrap_err();
    /// assert!(error.is_full());
    /// assert_eq!(error.into_inner().unwrap()(), "a job");
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.seats.try_take() {
            Ok(seat) => launch(seat, f).map_err(TrySpawnError::Runtime),
            Err(NoSeat::Full) => Err(TrySpawnError::Full(f)),
            Err(NoSeat::Closed) => Err(TrySpawnError::Closed(f)),
        }
    }

    /// As [`spawn`](Self::spawn), but waits for a seat no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`]: `Full` when the time is over.
    #[track_caller]
    pub fn spawn_timeout<F, T>(
        &self,
        timeout: Duration,
        f: F,
    ) -> Result<JoinHandle<T>, TrySpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if timeout.is_zero() {
            return self.try_spawn(f);
        }
        match self.seats.take(park::deadline(timeout)) {
            Ok(seat) => launch(seat, f).map_err(TrySpawnError::Runtime),
            Err(NoSeat::Full) => Err(TrySpawnError::Full(f)),
            Err(NoSeat::Closed) => Err(TrySpawnError::Closed(f)),
        }
    }

    /// Calls `f` with every item, as many at a time as there are seats, and waits for all of them. The
    /// results come in the order of the items.
    ///
    /// `f` and the items may borrow. An item whose call panicked or was cancelled is an error in its place;
    /// so are, as cancelled, those that were left when the pool was closed.
    ///
    /// # Panics
    ///
    /// When `items` does; the calls under way are then cancelled first.
    ///
    /// # Cancellation
    ///
    /// Unwinds when the calls under way have been cancelled and have ended.
    ///
    /// # Parks
    ///
    /// Until all is done, unless there are no items.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(3);
    /// let text = String::from("to be borrowed");
    /// let parts: Vec<usize> = pool
    ///     .map(text.split(' '), |word| word.len())
    ///     .into_iter()
    ///     .map(Result::unwrap)
    ///     .collect();
    /// assert_eq!(parts, [2, 2, 8]);
    /// # });
    /// ```
    #[track_caller]
    pub fn map<I, F, T>(&self, items: I, f: F) -> Vec<Result<T, JoinError>>
    where
        I: IntoIterator,
        I::Item: Send,
        F: Fn(I::Item) -> T + Sync,
        T: Send,
    {
        let items = items.into_iter();
        let f = &f;
        let mut results = Vec::with_capacity(items.size_hint().0);
        let results_of = &mut results;
        let place = Location::caller();
        task::scope(move |s| {
            let mut jobs = VecDeque::new();
            for item in items {
                let job = match park::at(place, || self.seats.take(Deadline::NEVER)) {
                    Err(_) => Job::Outcome(Err(JoinError::Cancelled)),
                    Ok(seat) => {
                        let is_lent = seat.is_lent;
                        let builder = Builder::new().at(place);
                        match s.try_spawn(builder, move || seat.run(|| f(item))) {
                            // The scope ends it, should this unwind.
                            Ok(task) if is_lent => Job::Outcome(park::at(place, || task.join())),
                            Ok(task) => Job::Task(task),
                            Err(error) => Job::Outcome(Err(JoinError::NoStack(error))),
                        }
                    }
                };
                jobs.push_back(job);
                // What has ended need not be kept as a task.
                while jobs.front().is_some_and(Job::is_finished) {
                    results_of.extend(jobs.pop_front().map(Job::outcome));
                }
            }
            for job in jobs {
                results_of.push(park::at(place, || job.outcome()));
            }
        });
        results
    }

    /// Calls `f` with every item, in the pool, and iterates over the results in the order of the items.
    ///
    /// Lazy: nothing happens before the first `next`, and no more items are taken than the
    /// [look-ahead](IMap::look_ahead) allows, so `items` may be endless. See [`IMap`].
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(4);
    /// let squares: Vec<u64> = pool.imap(1.., |n: u64| n * n).take(3).map(Result::unwrap).collect();
    /// assert_eq!(squares, [1, 4, 9]);
    /// # });
    /// ```
    pub fn imap<I, F, T>(&self, items: I, f: F) -> IMap<I::IntoIter, F, T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        IMap::new(self.clone(), items.into_iter(), f)
    }

    /// As [`imap`](Self::imap), with the results in the order in which they come.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # greenloom::Runtime::builder().virtual_clock().run(|| {
    /// let pool = greenloom::pool::GreenPool::new(4);
    /// let naps = [3, 1, 2].map(Duration::from_secs);
    /// let woken = pool.imap_unordered(naps, |nap| { greenloom::sleep(nap); nap.as_secs() });
    /// assert_eq!(woken.map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    /// # }).unwrap();
    /// ```
    pub fn imap_unordered<I, F, T>(&self, items: I, f: F) -> IMapUnordered<I::IntoIter, F, T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        IMapUnordered::new(self.clone(), items.into_iter(), f)
    }

    /// Iterates over the outcomes of tasks in the order in which they end; of those that have ended, in
    /// the order of the handles.
    ///
    /// Any tasks' handles do, not only members'. Those that are left when the iterator is dropped go on
    /// by themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(4);
    /// let tasks: Vec<_> = (0..4).map(|n| pool.spawn(move || n)).collect();
    /// let sum: u32 = pool.as_completed(tasks).map(Result::unwrap).sum();
    /// assert_eq!(sum, 6);
    /// # });
    /// ```
    pub fn as_completed<I, T>(&self, tasks: I) -> AsCompleted<T>
    where
        I: IntoIterator<Item = JoinHandle<T>>,
    {
        let mut completed = AsCompleted::new();
        tasks.into_iter().for_each(|task| completed.push(task));
        completed
    }

    /// How many seats there are.
    pub fn size(&self) -> usize {
        self.seats.size()
    }

    /// Changes the number of seats. More of them go to who waits; with fewer, nobody is sent away: members
    /// go on to their end.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = greenloom::pool::GreenPool::new(0);
    /// assert!(pool.try_spawn(|| 1).is_err());
    /// pool.resize(1);
    /// assert_eq!(pool.try_spawn(|| 1).unwrap().join().unwrap(), 1);
    /// ```
    pub fn resize(&self, size: usize) {
        self.seats.resize(size);
    }

    /// How many seats nobody has; none as well when more are taken than there are now.
    pub fn free(&self) -> usize {
        self.seats.free()
    }

    /// How many seats are taken: members, and spawners on their way.
    pub fn running(&self) -> usize {
        self.seats.taken()
    }

    /// How many spawners wait for a seat.
    pub fn waiting(&self) -> usize {
        self.seats.waiting()
    }

    /// As [`running`](Self::running), by the name that all pools have.
    pub fn len(&self) -> usize {
        self.running()
    }

    /// Whether no seat is taken.
    pub fn is_empty(&self) -> bool {
        self.running() == 0
    }

    /// Waits until no seat is taken; more may be spawned meanwhile, and after it.
    ///
    /// # Panics
    ///
    /// When a member calls it: it would wait for itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the members go on.
    ///
    /// # Parks
    ///
    /// While a seat is taken (`pool.join`).
    #[track_caller]
    pub fn wait_all(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// As [`wait_all`](Self::wait_all), but false when a seat is still taken after `timeout`.
    ///
    /// # Panics
    ///
    /// As [`wait_all`](Self::wait_all).
    #[track_caller]
    pub fn wait_all_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(park::deadline(timeout))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        assert!(
            !self.seats.has_caller(),
            "a member waits for the end of its own GreenPool, and so of itself"
        );
        self.seats.wait_until_idle(deadline)
    }

    /// Takes no more jobs; those that were taken go on. Spawners that wait for a seat get an error.
    ///
    /// False when it was closed before. Never parks.
    pub fn close(&self) -> bool {
        self.seats.close()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.seats.is_closed()
    }

    /// Closes the pool and waits until the last member has ended.
    ///
    /// # Panics
    ///
    /// As [`wait_all`](Self::wait_all).
    ///
    /// # Cancellation
    ///
    /// Unwinds; the pool is closed, and the members go on.
    ///
    /// # Parks
    ///
    /// While a seat is taken (`pool.join`).
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(2);
    /// let task = pool.spawn(|| greenloom::yield_now());
    /// pool.join();
    /// assert!(pool.submit(|| "too late").is_err());
    /// task.join().unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn join(&self) {
        self.close();
        self.wait_all();
    }

    /// As [`join`](Self::join), but false when a seat is still taken after `timeout`.
    ///
    /// # Panics
    ///
    /// As [`wait_all`](Self::wait_all).
    #[track_caller]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.close();
        self.wait_all_timeout(timeout)
    }

    /// Closes the pool and cancels every member, those that have not started included. Returns at once;
    /// [`join`](Self::join) waits for their end.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let pool = greenloom::pool::GreenPool::new(2);
    /// let task = pool.spawn(|| greenloom::sleep(std::time::Duration::MAX));
    /// pool.terminate();
    /// pool.join();
    /// assert!(task.join().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn terminate(&self) {
        self.seats.terminate();
    }

    /// A member for an iterator, which waits for a seat only when `may_wait`. `None`: there is none now.
    #[track_caller]
    pub(super) fn spawn_for_iterator<T, F>(
        &self,
        may_wait: bool,
        job: impl FnOnce() -> F,
    ) -> Option<Result<JoinHandle<T>, JoinError>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let seat = match self.seats.try_take() {
            Err(NoSeat::Full) if may_wait => self.seats.take(Deadline::NEVER),
            seat => seat,
        };
        match seat {
            // Not waited for here, though it was lent: a wait that is cut short would lose it, and the
            // iterator, which has nothing else under way, waits for it next.
            Ok(seat) => Some(start(seat, job()).map_err(JoinError::NoStack)),
            Err(NoSeat::Full) => None,
            Err(NoSeat::Closed) => {
                drop(job());
                Some(Err(JoinError::Cancelled))
            }
        }
    }
}

/// A call of `map`.
enum Job<'scope, T> {
    Task(ScopedJoinHandle<'scope, T>),
    /// What it came to at once.
    Outcome(Result<T, JoinError>),
}

impl<T> Job<'_, T> {
    fn is_finished(&self) -> bool {
        match self {
            Job::Task(task) => task.is_finished(),
            Job::Outcome(_) => true,
        }
    }

    fn outcome(self) -> Result<T, JoinError> {
        match self {
            Job::Task(task) => task.join(),
            Job::Outcome(outcome) => outcome,
        }
    }
}

/// Spawns the task that a seat goes with; waits for its end where the seat was lent.
#[track_caller]
fn launch<F, T>(seat: Seat, f: F) -> std::io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let is_lent = seat.is_lent;
    let handle = start(seat, f)?;
    if !is_lent {
        return Ok(handle);
    }
    let mut inline = Inline {
        handle: Some(handle),
    };
    if let Some(handle) = &mut inline.handle {
        handle.wait_for_end();
    }
    Ok(inline.handle.take().expect("it was put in above"))
}

/// Spawns the task that a seat goes with, for a caller that will wait for its end.
#[track_caller]
fn start<F, T>(seat: Seat, f: F) -> std::io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(move || seat.run(f))
}
