//! What coroutines, generators and greenlets are made of: a body on a stack, and the cells both sides hold.
//!
//! ```text
//!            enter + run                    enter + run, order
//!   fresh ───────────────▶ running ◀──────────────────────────── suspended
//!                          │     └──────────── suspend ──────────────▲
//!                          └─▶ finished: the body has returned or unwound, the stack is given back
//! ```
//! Whoever resumes takes the right to it first (`Entry`), and there is one at a time: none while the body
//! runs, and none once it has ended. An order (close, throw) is a resumption without an input; a fresh
//! body that gets one is dropped on its own stack and never runs, so that even a panic in a captured
//! value's destructor takes the one way out.
#![allow(unsafe_code)] // runs a body whose state says that nobody else does

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::ambient::{self, Link, Phase};
use super::error::StackError;
use super::raw::{RawCoroutine, RawYielder};
use super::signature::Signature;
use super::thrown::{Order, is_own_close};
use super::unwinding::{self, Payload};
use crate::base::payload;
use crate::stack::{Kind, Label, Stack, StackSize, thread_acquire};

/// How often a dropped body is told to end before its stack is given up.
const PATIENCE: usize = 8;

/// Where and how to make the stack of a new body.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub(super) kind: Kind,
    pub(super) size: StackSize,
    pub(super) name: &'a str,
    pub(super) place: &'static Location<'static>,
}

impl Plan<'_> {
    #[track_caller]
    pub(super) fn plain(kind: Kind) -> Self {
        Plan {
            kind,
            size: StackSize::DEFAULT,
            name: "",
            place: Location::caller(),
        }
    }

    pub(super) fn stack(&self, id: u64) -> Result<Stack, StackError> {
        ambient::register_sentinel();
        let stack = thread_acquire(self.size).map_err(StackError)?;
        stack.set_label(Label {
            kind: self.kind,
            id,
            place: self.place,
            name: self.name,
        });
        Ok(stack)
    }
}

/// The root frame of a body, ready to be laid on a stack.
pub(super) type Root<'a> = Box<dyn FnOnce(&RawYielder) + 'a>;

/// How a body ended.
enum End<Out> {
    Returned(Out),
    /// By its own order to close.
    Closed,
    /// With a panic, an error thrown in, or somebody else's payload that passes through.
    Unwound(Payload),
}

/// What both sides of the switch hold.
pub(super) struct Shared<In, Yield, Out> {
    /// First, for no reason but the cache.
    link: Link<In, Yield>,
    /// Set once, by the root frame at the end.
    end: Cell<Option<End<Out>>>,
}

impl<In, Yield, Out> Shared<In, Yield, Out> {
    pub(super) fn new(signature: &'static Signature) -> Rc<Self> {
        let shared = Rc::new(Shared {
            link: Link::new(signature),
            end: Cell::new(None),
        });
        shared.link.settle();
        shared
    }

    #[inline(always)]
    pub(super) fn link(&self) -> &Link<In, Yield> {
        &self.link
    }

    /// The root frame: runs `body` once and leaves its end in the cell. It never unwinds.
    pub(super) fn root<'a, F>(self: &Rc<Self>, body: F) -> Root<'a>
    where
        F: FnOnce(&Link<In, Yield>, Option<In>) -> Out + 'a,
        In: 'a,
        Yield: 'a,
        Out: 'a,
    {
        let shared = Rc::clone(self);
        Box::new(move |raw| {
            let link = &shared.link;
            link.started(raw);
            let result = catch_unwind(AssertUnwindSafe(|| match link.take_order() {
                None => {
                    // SAFETY: the body has just been switched to, for the first time.
                    let first = unsafe { link.take_input() };
                    Ok(body(link, first))
                }
                Some(order) => {
                    drop(body);
                    Err(order.into_payload(link.identity()))
                }
            }));
            let end = match result {
                Ok(Ok(out)) => End::Returned(out),
                Ok(Err(payload)) | Err(payload) => {
                    if is_own_close(&payload, link.identity()) {
                        End::Closed
                    } else {
                        End::Unwound(payload)
                    }
                }
            };
            shared.end.set(Some(end));
        })
    }
}

/// Why a body was not resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Finished,
    Running,
    Exited,
}

/// What a resumption ended with.
pub(super) enum Step<Yield, Out> {
    Yielded(Yield),
    Complete(Out),
    Closed,
    Unwound(Payload),
}

/// The right to resume once: the body is not running and has not ended. It counts as running from now on,
/// until it suspends, or this is dropped unused.
pub(super) struct Entry<'a, In, Yield, Out> {
    engine: &'a Engine<In, Yield, Out>,
    before: Phase,
}

impl<In, Yield, Out> Entry<'_, In, Yield, Out> {
    /// Whether the body has not begun.
    #[inline(always)]
    pub(super) fn is_fresh(&self) -> bool {
        self.before == Phase::Fresh
    }
}

impl<In, Yield, Out> Drop for Entry<'_, In, Yield, Out> {
    #[inline(always)]
    fn drop(&mut self) {
        self.engine.link().set_phase(self.before);
    }
}

impl<'a, In, Yield, Out> Entry<'a, In, Yield, Out> {
    /// Resumes with an input (`None` only for a body that takes none at its start).
    #[inline(always)]
    pub(super) fn run(self, input: Option<In>) -> Step<Yield, Out> {
        if let Some(input) = input {
            self.engine.link().put_input(input);
        }
        self.go()
    }

    /// Resumes with an order.
    pub(super) fn order(self, order: Order) -> Step<Yield, Out> {
        self.engine.link().put_order(order);
        self.go()
    }

    #[inline(always)]
    fn go(self) -> Step<Yield, Out> {
        let engine: &'a Engine<_, _, _> = self.engine;
        // The phase is set by what happens from here on.
        mem::forget(self);
        // SAFETY: the entry that was consumed was the only one.
        let raw = unsafe { &mut *engine.raw.get() };
        // SAFETY: the engine was made of both.
        match unsafe { engine.link().resume(raw) } {
            Some(value) => Step::Yielded(value),
            None => engine.finish(),
        }
    }
}

/// One body, from its making to its end.
pub(super) struct Engine<In, Yield, Out> {
    shared: Rc<Shared<In, Yield, Out>>,
    /// Belongs to the one entry there is; to nobody otherwise.
    raw: UnsafeCell<RawCoroutine>,
    id: u64,
}

impl<In, Yield, Out> Engine<In, Yield, Out> {
    /// Makes a body; nothing of it runs yet.
    pub(super) fn new<F>(
        plan: &Plan<'_>,
        signature: &'static Signature,
        body: F,
    ) -> Result<Self, StackError>
    where
        F: FnOnce(&Link<In, Yield>, Option<In>) -> Out + 'static,
        In: 'static,
        Yield: 'static,
        Out: 'static,
    {
        let shared = Shared::new(signature);
        let root = shared.root(body);
        Self::from_root(plan, shared, root)
    }

    /// Makes a body of a root frame that belongs to `shared`.
    pub(super) fn from_root(
        plan: &Plan<'_>,
        shared: Rc<Shared<In, Yield, Out>>,
        root: Root<'static>,
    ) -> Result<Self, StackError> {
        let id = ambient::next_id();
        let stack = plan.stack(id)?;
        Ok(Engine {
            shared,
            raw: UnsafeCell::new(RawCoroutine::new(stack, root)),
            id,
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    #[inline(always)]
    pub(super) fn link(&self) -> &Link<In, Yield> {
        &self.shared.link
    }

    /// Whether the body has ended. False while it runs.
    pub(super) fn is_finished(&self) -> bool {
        self.link().phase() == Phase::Finished
    }

    /// What the body itself holds: it may keep this over its own suspension, and so not keep the engine.
    #[inline(always)]
    pub(super) fn shared(&self) -> Rc<Shared<In, Yield, Out>> {
        Rc::clone(&self.shared)
    }

    /// Whether the body has begun. True while it runs.
    pub(super) fn has_started(&self) -> bool {
        self.link().phase() != Phase::Fresh
    }

    /// Takes the right to resume, if it is to be had; [`refusal`](Self::refusal) says why not.
    #[inline(always)]
    pub(super) fn try_enter(&self) -> Option<Entry<'_, In, Yield, Out>> {
        let before = self.link().phase();
        if ambient::exited() || !matches!(before, Phase::Fresh | Phase::Suspended) {
            return None;
        }
        self.link().set_phase(Phase::Running);
        Some(Entry {
            engine: self,
            before,
        })
    }

    /// Why the body cannot be resumed now.
    #[cold]
    pub(super) fn refusal(&self) -> Refusal {
        match self.link().phase() {
            _ if ambient::exited() => Refusal::Exited,
            Phase::Finished => Refusal::Finished,
            _ => Refusal::Running,
        }
    }

    /// Takes the right to resume, or says why not.
    pub(super) fn enter(&self) -> Result<Entry<'_, In, Yield, Out>, Refusal> {
        self.try_enter().ok_or_else(|| self.refusal())
    }

    #[cold]
    fn finish(&self) -> Step<Yield, Out> {
        self.link().resumer().put_back();
        // SAFETY: nobody enters a body that has ended.
        let stack = unsafe { &mut *self.raw.get() }.take_stack();
        drop(stack);
        match self.shared.end.take() {
            Some(End::Returned(out)) => Step::Complete(out),
            Some(End::Closed) => Step::Closed,
            Some(End::Unwound(payload)) => Step::Unwound(payload),
            None => unreachable!("the root frame leaves an end behind"),
        }
    }

    /// Keeps the result of an iteration for [`take_return`](Self::take_return).
    pub(super) fn keep_return(&self, out: Out) {
        self.shared.end.set(Some(End::Returned(out)));
    }

    /// The kept result, once.
    pub(super) fn take_return(&self) -> Option<Out> {
        // While the body runs, and after it was closed, the cell is empty.
        match self.shared.end.take() {
            Some(End::Returned(out)) => Some(out),
            _ => None,
        }
    }

    /// Tells the body to end, once. `Ok(None)`: it could not be told, or has suspended again.
    pub(super) fn close(&self) -> Result<Option<Step<Yield, Out>>, Refusal> {
        let entry = self.enter()?;
        let unwinds = !entry.is_fresh();
        if unwinds && (self.link().is_mid_unwind() || cfg!(panic = "abort")) {
            return Ok(None);
        }
        match entry.order(Order::Close) {
            Step::Yielded(value) => {
                drop(value);
                Ok(None)
            }
            step => Ok(Some(step)),
        }
    }

    /// Ends the body for certain, because what it borrows is about to go.
    ///
    /// # Errors
    ///
    /// What the body, or a value that it yielded and that was dropped here, panicked with.
    pub(super) fn end_or_abort(&self) -> Result<(), Payload> {
        let mut result = Ok(());
        for _ in 0..PATIENCE {
            match catch_unwind(AssertUnwindSafe(|| self.close())) {
                Ok(Ok(Some(Step::Unwound(payload)))) => return Err(payload),
                Ok(Ok(Some(_)) | Err(Refusal::Finished)) => return result,
                // Nothing borrowed is in use yet, and the drop of the engine frees it.
                Ok(Err(Refusal::Exited)) if !self.has_started() => return result,
                Ok(Err(Refusal::Exited | Refusal::Running)) => break,
                Ok(Ok(None)) if cfg!(panic = "abort") || self.link().is_mid_unwind() => break,
                Ok(Ok(None)) => {}
                // A yielded value's destructor; the body is still there.
                Err(payload) => result = Err(payload),
            }
        }
        eprintln!(
            "greenloom: borrowing generator {} ignores its close and must not outlive its scope; aborting",
            self.id
        );
        std::process::abort()
    }

    /// Ends an unfinished body for the sake of its destructors. What it leaves undone is leaked.
    #[cold]
    fn abandon(&self) {
        for _ in 0..PATIENCE {
            match self.close() {
                Ok(Some(Step::Unwound(payload))) => return deliver_from_drop(payload),
                Ok(Some(_)) | Err(Refusal::Finished | Refusal::Exited) => return,
                Ok(None) if cfg!(panic = "abort") => return,
                Ok(None) if self.link().is_mid_unwind() => break,
                Ok(None) => {}
                Err(Refusal::Running) => break,
            }
        }
        log::error!(
            "coroutine {} was dropped and does not end: its stack is leaked",
            self.id
        );
    }
}

impl<In, Yield, Out> Drop for Engine<In, Yield, Out> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_finished() {
            self.abandon();
        }
    }
}

/// A panic that a destructor inside a dropped coroutine raised: the drop raises it, unless the thread
/// unwinds already, when that would abort.
fn deliver_from_drop(payload: Payload) {
    if unwinding::is_unwinding() {
        log::error!("a coroutine that was dropped during an unwind panicked: the panic is lost");
        payload::discard(payload);
    } else {
        unwinding::throw(payload);
    }
}

impl<In, Yield, Out> Engine<In, Yield, Out> {
    /// The debug view of the handle named `name` round this engine.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.link().phase() {
            Phase::Fresh => "fresh",
            Phase::Suspended => "suspended",
            Phase::Running | Phase::RunningWithInput => "running",
            Phase::Finished => "finished",
        };
        f.debug_struct(name)
            .field("id", &self.id)
            .field("state", &format_args!("{state}"))
            .finish_non_exhaustive()
    }
}
