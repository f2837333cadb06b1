//! Tasks that borrow from their parent's stack, and are gone before the borrow ends.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use crate::base::clock::Deadline;
use crate::base::firm::Firm;
use crate::coroutine::ambient;
use crate::runtime::{global, launch_unchecked};
use crate::scheduler::cancel::Unwind;
use crate::scheduler::current;
use crate::scheduler::header::{Spec, TaskId};
use crate::scheduler::local::Local;
use crate::scheduler::packet::{self, Farewell, Fault, Joiner};
use crate::scheduler::park::{self, Wait};
use crate::scheduler::shared::Shared;
use crate::scheduler::task::TaskRef;

use super::join::JoinError;
use super::locals::heir;
use super::this::Task;

/// A scope in which tasks may borrow: see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    state: Arc<State>,
    runtime: Arc<Shared>,
    /// Invariant, as in std: neither lifetime may be shortened behind the scope's back.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl fmt::Debug for Scope<'_, '_> {
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
}

#[derive(Debug, Default)]
struct Inner {
    /// Children that have not said farewell: the scope may not be left while there is one.
    children: Slab<Child>,
    /// How many children there have been.
    born: u64,
    /// The parent, while it waits for them.
    parent: Option<Waker>,
    /// Children are cancelled as they come.
    is_cancelled: bool,
    /// Panics of children that no join has returned: if one is left, the scope itself panics, as in std.
    unjoined_panics: usize,
}

#[derive(Debug)]
struct Child {
    /// Tells it from others that have had its place before, or have it after.
    number: u64,
    /// `None` in the moment between its birth and its launch.
    task: Option<TaskRef>,
}

impl Inner {
    /// Makes a place for a child that is about to be launched; returns the place and its number.
    fn bear(&mut self) -> (usize, u64) {
        self.born += 1;
        let child = Child {
            number: self.born,
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
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel_all(&self) {
        let children: Vec<TaskRef> = {
            let mut inner = self.lock();
            inner.is_cancelled = true;
            inner
                .children
                .iter()
                .filter_map(|(_, child)| child.task.clone())
                .collect()
        };
        for child in &children {
            packet::cancel(child);
        }
    }
}

/// Said by a child when its closure and, if nobody wants it, its value have been dropped.
struct Leave {
    state: Arc<State>,
    key: usize,
}

impl Farewell for Leave {
    fn say(&self) {
        let parent = {
            let mut inner = self.state.lock();
            let _child = inner.children.try_remove(self.key);
            if inner.children.is_empty() {
                inner.parent.take()
            } else {
                None
            }
        };
        if let Some(parent) = parent {
            parent.wake();
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
    let here = current::with_processor(|processor| processor.map(|here| here.shared.clone()));
    let runtime = match here {
        Some(runtime) => runtime,
        None => global().unwrap_or_else(|error| panic!("scope in the default runtime: {error}")),
    };
    let scope = Scope {
        state: Arc::default(),
        runtime,
        scope: PhantomData,
        env: PhantomData,
    };
    // Said before there are children: the wait for them must not be what panics.
    current::with_local(|local| local.map(|local| local.check_may_park("task.scope")));
    // A generator must not be suspended inside, and then perhaps never resumed: its frames are borrowed.
    let _pin = ambient::forbid_suspend("scope");
    let was_unwinding = note();
    // Outside the unwinding: whoever waits while unwinding cannot be cancelled, and the children's
    // frames must be gone before ours are.
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    if result.is_err() {
        restore(was_unwinding);
        scope.state.cancel_all();
    }
    let firm = Firm::begin("a scope that waits for its tasks");
    let told = scope.wait_for_all();
    firm.end();
    match result {
        Err(payload) => park::rethrow(payload),
        Ok(value) => {
            if let Some(report) = told.report {
                panic!("{report}");
            }
            if told.is_cancelled {
                // The tasks were cut short, so `value` may be as well.
                drop(value);
                super::cancel::checkpoint();
                unreachable!("a cancellation that was due is taken back");
            }
            let unjoined = scope.state.lock().unjoined_panics;
            assert!(
                unjoined == 0,
                "a scoped task panicked, and nobody joined it"
            );
            value
        }
    }
}

fn note() -> bool {
    current::with_task(|task| task.is_some_and(|(processor, local)| local.is_unwinding(processor)))
}

fn restore(was_unwinding: bool) {
    current::with_local(|local| {
        if let Some(local) = local {
            local.caught(was_unwinding);
        }
    });
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
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let spec: Spec = builder.spec(&self.runtime, Location::caller())?;
        // Runs the user's code, so before the child is counted.
        let f = heir(f);
        let (key, number) = self.state.lock().bear();
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
        // SAFETY: `f` and its value may borrow for 'scope, which lasts until `scope` returns, and that is
        // after every child's farewell: `children` holds the key from before the launch until then.
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

    /// Asks every task of the scope to end, and those that are spawned after this.
    pub fn cancel(&self) {
        self.state.cancel_all();
    }
}

/// What came while a scope waited for its tasks.
#[derive(Default)]
struct Told {
    /// A cancellation of the parent, which is due to it now.
    is_cancelled: bool,
    report: Option<Arc<str>>,
}

impl Scope<'_, '_> {
    /// Waits until no child is left; passes a cancellation on to them instead of unwinding. So it does
    /// with a deadlock. What has come of both is returned.
    #[track_caller]
    fn wait_for_all(&self) -> Told {
        // What would unwind the parent here, were it not for its children.
        let limit = current::with_task(|task| {
            let (processor, local) = task?;
            let limit = local.nearest_deadline(processor);
            local.push_shield();
            Some(limit)
        });
        let mut wait = Wait::new("task.scope")
            .firm()
            .until(limit.unwrap_or(Deadline::NEVER));
        let mut told = Told::default();
        while self.has_children(park::current_waker()) {
            if limit.is_some() && is_due_outside() {
                self.state.cancel_all();
                told.is_cancelled = true;
                // Said once; from now on only the children's end counts.
                wait.deadline = Deadline::NEVER;
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

/// Whether the parent would unwind now if it were not shielded by its scope's wait.
fn is_due_outside() -> bool {
    current::with_task(|task| {
        task.is_some_and(|(processor, local)| {
            local.pop_scope();
            let due = local.due(processor).is_some();
            local.push_shield();
            due
        })
    })
}

/// The right to wait for a scoped task and to take its value; dropping it leaves the joining to the scope.
pub struct ScopedJoinHandle<'scope, T> {
    joiner: Joiner<T>,
    state: Arc<State>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedJoinHandle")
            .field(&self.joiner)
            .finish()
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    #[track_caller]
    pub fn join(mut self) -> Result<T, JoinError> {
        if self.joiner.is_own() {
            return Err(JoinError::Itself);
        }
        self.joiner.wait(Deadline::NEVER);
        self.take()
    }

    fn take(&mut self) -> Result<T, JoinError> {
        let outcome = self
            .joiner
            .take()
            .expect("a task whose end was waited for has an outcome");
        if let Err(Fault::Panicked(_)) = outcome {
            self.state.lock().unjoined_panics -= 1;
        }
        outcome.map_err(JoinError::from)
    }

    /// As [`JoinHandle::join_timeout`](super::JoinHandle::join_timeout).
    ///
    /// # Errors
    ///
    /// The outer error gives the handle back.
    #[track_caller]
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        if self.joiner.is_own() {
            return Ok(Err(JoinError::Itself));
        }
        if !self.joiner.wait(park::deadline(timeout)) {
            return Err(self);
        }
        Ok(self.take())
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.joiner.is_complete()
    }

    /// Asks the task to end.
    pub fn cancel(&self) {
        self.joiner.cancel();
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.joiner.task.id
    }

    /// The task itself.
    pub fn task(&self) -> Task {
        Task::new(self.joiner.task.clone())
    }
}
