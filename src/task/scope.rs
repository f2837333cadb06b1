//! Tasks that borrow from their parent's stack, and are gone before the borrow ends.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use slab::Slab;

use crate::base::clock::Deadline;
use crate::base::firm::Firm;
use crate::coroutine::ambient;
use crate::runtime::{global, launch_unchecked};
use crate::scheduler::cancel::{Flag, Target, Unwind};
use crate::scheduler::current;
use crate::scheduler::header::Spec;
use crate::scheduler::local::Local;
use crate::scheduler::packet::{self, Farewell, Who};
use crate::scheduler::park::{self, Describe, Wait};
use crate::scheduler::shared::Shared;
use crate::scheduler::task::TaskRef;

mod handle;

pub use handle::ScopedJoinHandle;

use super::cancel::{note, restore};
use super::locals::heir;

/// A [`Scope`] with this crate's handles.
#[derive(Debug)]
pub enum Tasks {}

/// A [`Scope`] with std's handles, see [`crate::thread::scope`].
#[derive(Debug)]
pub enum Threads {}

/// How a face goes on when the body panics.
pub(crate) trait Manner {
    /// The tasks are cancelled; else they go on to their ends, as std's threads do.
    const CANCELS: bool;
}

impl Manner for Tasks {
    const CANCELS: bool = true;
}

impl Manner for Threads {
    const CANCELS: bool = false;
}

/// A scope in which tasks may borrow: see [`scope`].
///
/// `Face` decides which handles its `spawn` gives; nobody needs to name it.
pub struct Scope<'scope, 'env: 'scope, Face = Tasks> {
    state: Arc<State>,
    runtime: Arc<Shared>,
    /// Invariant, as in std: neither lifetime may be shortened behind the scope's back.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
    face: PhantomData<fn() -> Face>,
}

impl<Face> fmt::Debug for Scope<'_, '_, Face> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("children", &self.state.lock().children.len())
            .finish()
    }
}

/// What the children tell the parent.
#[derive(Debug, Default)]
struct State {
    inner: Mutex<Inner>,
    /// In a group: what unwinds its body together with the children.
    body: Option<Body>,
}

/// The code that runs inside a group, as its children see it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) flag: Arc<Flag>,
    pub(super) waker: Waker,
}

#[derive(Debug, Default)]
struct Inner {
    /// Children that have not said farewell: the scope may not be left while there is one.
    children: Slab<Child>,
    /// How many of them are no daemons.
    workers: usize,
    /// How many children there have been.
    born: u64,
    /// The parent, while it waits for them.
    parent: Option<Waker>,
    /// Children are cancelled as they come.
    is_cancelled: bool,
    /// The parent has come to its end: when the last worker has too, the daemons are cancelled.
    is_closing: bool,
    /// Panics of children that no join has returned: if one is left, the scope itself panics, as in std.
    unjoined_panics: usize,
    /// Why children never ran, if there was no memory for their stacks.
    starved: Vec<io::Error>,
}

#[derive(Debug)]
struct Child {
    /// Tells it from others that have had its place before, or have it after.
    number: u64,
    is_daemon: bool,
    /// `None` in the moment between its birth and its launch.
    task: Option<TaskRef>,
}

impl Inner {
    /// Makes a place for a child that is about to be launched; returns the place and its number.
    fn bear(&mut self, is_daemon: bool) -> (usize, u64) {
        self.born += 1;
        self.workers += usize::from(!is_daemon);
        let child = Child {
            number: self.born,
            is_daemon,
            task: None,
        };
        (self.children.insert(child), self.born)
    }

    /// The child has been launched. True when it must be cancelled: the scope was, and perhaps in between.
    fn enlist(&mut self, key: usize, number: u64, task: &TaskRef) -> bool {
        match self.children.get_mut(key) {
            Some(child) if child.number == number => child.task = Some(task.clone()),
            // It has ended already.
            _ => return false,
        }
        self.is_cancelled
    }

    /// From now on children are cancelled as they come; returns those that are there, to be cancelled too.
    fn cancel(&mut self) -> Vec<TaskRef> {
        self.is_cancelled = true;
        let children = self.children.iter();
        children
            .filter_map(|(_, child)| child.task.clone())
            .collect()
    }

    /// Those that nobody waits for any more: daemons whose workers have all ended.
    fn retire(&mut self) -> Vec<TaskRef> {
        if self.is_closing && self.workers == 0 && !self.is_cancelled {
            self.cancel()
        } else {
            Vec::new()
        }
    }
}

fn cancel_each(children: &[TaskRef]) {
    for child in children {
        packet::cancel(child);
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel_all(&self) {
        let children = self.lock().cancel();
        cancel_each(&children);
        if let Some(body) = &self.body {
            body.flag.raise();
            body.waker.wake_by_ref();
        }
    }
}

/// Who is waited for.
impl Describe for State {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let inner = self.lock();
        let count = inner.children.len();
        write!(f, "{count} task{}: ", if count == 1 { "" } else { "s" })?;
        for (n, (_, child)) in inner.children.iter().take(SHOWN).enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            match &child.task {
                Some(task) => Who(task).describe(f)?,
                None => f.write_str("one that is being spawned")?,
            }
        }
        if count > SHOWN {
            write!(f, ", and {} more", count - SHOWN)?;
        }
        Ok(())
    }
}

/// Said by a child when its closure and, if nobody wants it, its value have been dropped.
struct Leave {
    state: Arc<State>,
    key: usize,
}

impl Farewell for Leave {
    fn say(&self) {
        let (parent, retired) = {
            let mut inner = self.state.lock();
            if let Some(child) = inner.children.try_remove(self.key) {
                inner.workers -= usize::from(!child.is_daemon);
            }
            let retired = inner.retire();
            let is_last = inner.children.is_empty();
            (is_last.then(|| inner.parent.take()).flatten(), retired)
        };
        cancel_each(&retired);
        if let Some(parent) = parent {
            parent.wake();
        }
    }

    fn starve(&self, why: &io::Error) {
        let why = io::Error::new(why.kind(), why.to_string());
        self.state.lock().starved.push(why);
        if self.state.body.is_some() {
            self.state.cancel_all();
        }
    }
}

/// Runs `f` with a scope whose tasks may borrow what outlives the scope, and returns when all of them
/// have ended.
///
/// It joins them on every way out: when `f` returns; when `f` panics, or the calling task is cancelled,
/// in which case they are cancelled first. A cancellation that comes while it waits for them is passed on
/// to them, and delivered when they have ended.
///
/// Works on plain threads too: the tasks then go to the default runtime.
///
/// # Panics
///
/// With `f`'s own panic; and when a task panicked whose handle was dropped, as [`std::thread::scope`].
///
/// # Parks
///
/// Until the last task has ended (`task.scope`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let text = String::from("borrowed");
/// let lengths: Vec<usize> = greenloom::scope(|s| {
///     let tasks: Vec<_> = (0..3).map(|_| s.spawn(|| text.len())).collect();
///     tasks.into_iter().map(|task| task.join().unwrap()).collect()
/// });
/// assert_eq!(lengths, [8, 8, 8]);
/// # });
/// ```
///
/// What a task borrows must outlive the scope:
///
/// ```compile_fail,E0373
/// greenloom::scope(|s| {
///     let inside = 1;
///     s.spawn(|| inside + 1);
/// });
/// ```
///
/// and the handles do not leave it:
///
/// ```compile_fail
/// let escaped = greenloom::scope(|s| s.spawn(|| 1));
/// escaped.join();
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    scope_as(f)
}

/// [`scope`], whatever the face.
#[track_caller]
pub(crate) fn scope_as<'env, Face: Manner, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env, Face>) -> T,
{
    // SAFETY: `f` alone launches tasks in it, and the scope stays here until `enter` has come back; `f` can
    // borrow for 'scope nothing that lies further in, for it knows no more of 'scope than that it is there.
    let scope = unsafe { Scope::open("scope", None) };
    let ended = scope.enter("scope", "task.scope", || f(&scope));
    let value = match ended.result {
        Ok(value) => ended.told.deliver(value),
        Err(payload) => park::rethrow(payload),
    };
    let unjoined = scope.state.lock().unjoined_panics;
    assert!(
        unjoined == 0,
        "a scoped task panicked, and nobody joined it"
    );
    value
}

/// How the code inside a scope ended, and its children after it.
pub(super) struct Ended<T> {
    pub(super) result: std::thread::Result<T>,
    pub(super) told: Told,
}

/// What came while a scope waited for its tasks.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A cancellation of the parent, which is due to it now.
    due: Option<Target>,
    report: Option<Arc<str>>,
}

impl Told {
    /// Whether `deliver` will panic.
    pub(super) fn is_deadlock(&self) -> bool {
        self.report.is_some()
    }

    /// Gives the value back; unwinds instead, if that is what was told.
    #[track_caller]
    pub(super) fn deliver<T>(self, value: T) -> T {
        if let Some(report) = self.report {
            panic!("{report}");
        }
        let Some(target) = self.due else { return value };
        // The tasks were cut short, so `value` may be as well.
        drop(value);
        let place = Location::caller();
        current::with_task(|task| match task {
            // Thrown as it was due then, whatever has become of it in that drop: a scope that was given
            // another deadline meanwhile ends all the same. This is not inside of an unwinding: nothing
            // would have been due.
            Some((processor, local)) => local.throw(processor, target, place),
            None => unreachable!("only a task is told of a cancellation"),
        })
    }
}

#[expect(private_bounds, reason = "the two faces are all there are")]
impl<'scope, Face: Manner> Scope<'scope, '_, Face> {
    /// A scope without tasks.
    ///
    /// # Safety
    ///
    /// Tasks are launched in it only inside of one call of [`enter`](Self::enter), and the scope is let go,
    /// with whatever its tasks borrow for 'scope, only after that has come back.
    #[track_caller]
    pub(super) unsafe fn open(what: &str, body: Option<Body>) -> Self {
        let here = current::with_processor(|processor| processor.map(|here| here.shared.clone()));
        let runtime = match here {
            Some(runtime) => runtime,
            None => match global() {
                Ok(runtime) => runtime,
                Err(error) => panic!("{what} in the default runtime: {error}"),
            },
        };
        Scope {
            state: Arc::new(State {
                inner: Mutex::default(),
                body,
            }),
            runtime,
            scope: PhantomData,
            env: PhantomData,
            face: PhantomData,
        }
    }

    /// Runs `f`, and returns when all tasks of this scope have ended. Once a scope; nothing unwinds out of it
    /// once there are tasks.
    #[track_caller]
    pub(super) fn enter<T>(
        &self,
        what: &'static str,
        reason: &'static str,
        f: impl FnOnce() -> T,
    ) -> Ended<T> {
        // Said before there are children: the wait for them must not be what panics.
        current::with_local(|local| local.map(|local| local.check_may_park(reason)));
        // A generator must not be suspended inside, and then perhaps never resumed: its frames are borrowed.
        let _pin = ambient::forbid_suspend(what);
        let was_unwinding = note();
        // Outside the unwinding: whoever waits while unwinding cannot be cancelled, and the children's
        // frames must be gone before ours are.
        let result = catch_unwind(AssertUnwindSafe(f));
        if let Err(payload) = &result {
            restore(was_unwinding);
            // A cancellation reaches all, whatever the face.
            if Face::CANCELS || payload.is::<Unwind>() {
                self.state.cancel_all();
            }
        }
        let firm = Firm::begin("a scope that waits for its tasks");
        let retired = {
            let mut inner = self.state.lock();
            inner.is_closing = true;
            inner.retire()
        };
        cancel_each(&retired);
        let told = self.wait_for_all(reason);
        firm.end();
        Ended { result, told }
    }

    #[track_caller]
    pub(crate) fn launch<F, T>(
        &'scope self,
        builder: super::spawn::Builder,
        is_daemon: bool,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let spec: Spec = builder.spec(&self.runtime, Location::caller())?;
        // Runs the user's code, so before the child is counted.
        let f = heir(f);
        let (key, number) = self.state.lock().bear(is_daemon);
        let state = self.state.clone();
        let body = move || {
            catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
                if !payload.is::<Unwind>() {
                    state.lock().unjoined_panics += 1;
                }
                park::rethrow(payload)
            })
        };
        let leave = Leave {
            state: self.state.clone(),
            key,
        };
        // SAFETY: `f` and its value may borrow for 'scope, which by the promise given to `open` lasts until
        // `enter` has come back, and that is after every child's farewell: `children` holds the key from
        // before the launch until then.
        let launched = unsafe { launch_unchecked(&self.runtime, spec, body, leave) };
        // Of a refused child the farewell has been said: the key may be another child's by now.
        let joiner = launched?;
        let must_cancel = self.state.lock().enlist(key, number, &joiner.task);
        if must_cancel {
            joiner.cancel();
        }
        Ok(ScopedJoinHandle {
            joiner,
            state: self.state.clone(),
            scope: PhantomData,
        })
    }

    /// Whether new tasks are spawned cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.lock().is_cancelled
    }

    /// Why tasks never ran, if there was no memory for their stacks.
    pub(super) fn take_starved(&self) -> Vec<io::Error> {
        std::mem::take(&mut self.state.lock().starved)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a task that may borrow what outlives the scope.
    ///
    /// # Panics
    ///
    /// When the runtime is full; [`try_spawn`](Self::try_spawn) gives an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.try_spawn(super::spawn::Builder::new(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("scope.spawn: {error}"),
        }
    }

    /// Spawns a task that serves the others: it is cancelled when `f` has returned and all those that are
    /// no daemons have ended, and the scope waits for no more than its unwinding.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # greenloom::run(|| {
    /// let ticks = std::sync::atomic::AtomicU32::new(0);
    /// greenloom::scope(|s| {
    ///     drop(s.spawn_daemon(|| loop {
    ///         ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///         greenloom::sleep(Duration::from_millis(1));
    ///     }));
    ///     drop(s.spawn(|| greenloom::sleep(Duration::from_millis(5))));
    /// });
    /// assert!(ticks.into_inner() > 0);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_daemon<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.launch(super::spawn::Builder::new(), true, f) {
            Ok(handle) => handle,
            Err(error) => panic!("scope.spawn_daemon: {error}"),
        }
    }

    /// As [`spawn`](Self::spawn), with a builder's settings.
    ///
    /// # Errors
    ///
    /// As for [`Builder::spawn`](super::Builder::spawn).
    #[track_caller]
    pub fn try_spawn<F, T>(
        &'scope self,
        builder: super::spawn::Builder,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.launch(builder, false, f)
    }

    /// Asks every task of the scope to end, and those that are spawned after this.
    pub fn cancel(&self) {
        self.state.cancel_all();
    }
}

impl<Face> Scope<'_, '_, Face> {
    /// Waits until no child is left; passes a cancellation on to them instead of unwinding. So it does
    /// with a deadlock. What has come of both is returned.
    #[track_caller]
    fn wait_for_all(&self, reason: &'static str) -> Told {
        // What would unwind the parent here, were it not for its children.
        let limit = current::with_task(|task| {
            let (processor, local) = task?;
            let limit = local.nearest_deadline(processor);
            local.push_shield();
            Some(limit)
        });
        let mut wait = Wait::new(reason)
            .on(&*self.state)
            .firm()
            .until(limit.unwrap_or(Deadline::NEVER));
        let mut told = Told::default();
        while self.has_children(park::current_waker()) {
            if limit.is_some() && told.due.is_none() {
                told.due = due_outside();
                if told.due.is_some() {
                    self.state.cancel_all();
                    // Said once; from now on only the children's end counts.
                    wait.deadline = Deadline::NEVER;
                }
            }
            let _ = park::park(&wait);
            let report = current::with_local(|local| local.and_then(Local::take_report));
            if report.is_some() {
                self.state.cancel_all();
                told.report = report;
            }
        }
        if limit.is_some() {
            current::with_local(|local| {
                if let Some(local) = local {
                    local.pop_scope();
                    local.listen();
                }
            });
        }
        told
    }

    /// Whether there are children; if so the last of them wakes the parent.
    fn has_children(&self, parent: Waker) -> bool {
        let mut inner = self.state.lock();
        let is_waiting = !inner.children.is_empty();
        inner.parent = is_waiting.then_some(parent);
        is_waiting
    }
}

/// Where the parent would unwind to now if it were not shielded by its scope's wait.
fn due_outside() -> Option<Target> {
    current::with_task(|task| {
        let (processor, local) = task?;
        local.pop_scope();
        let due = local.due(processor);
        local.push_shield();
        due
    })
}
