//! How a task is thrown out of its waits, and what it knows of its own unwinding.
//!
//! A cancellation is delivered by the task itself, before and after each wait: nobody else touches its stack. It is
//! never thrown while the task unwinds, for two at once abort the process; so each way in here asks first whether
//! *this* task does, which `thread::panicking()` alone does not tell (soundness rule 12).

use std::panic::{Location, resume_unwind};

use crate::coroutine::unwinding;
use crate::sys::unwind;

use super::super::cancel::{Target, Unwind};
use super::super::processor::Processor;
use super::super::task::TaskRef;
use super::super::wait::{Unwinding, Wait};
use super::{CANCELLATION, IN_HOOK, Local, SCOPES, UNWINDING};

/// A task may swallow its cancellation with `catch_unwind` this often; then its park suspends for good.
const MAX_THROWS: u16 = 16;

impl Local {
    /// Throws the outermost cancellation that is due.
    #[inline]
    pub(crate) fn deliver(&self, processor: &Processor, place: &'static Location<'static>) {
        if self.has(SCOPES) || self.task.fate().is_cancelled() {
            self.deliver_slow(processor, place);
        }
    }

    #[cold]
    fn deliver_slow(&self, processor: &Processor, place: &'static Location<'static>) {
        if let Some(target) = self.due(processor) {
            self.throw(processor, target, place);
        }
    }

    /// The cancellation that the next wait would throw. `None` while unwinding: a second throw out of a
    /// destructor would abort.
    ///
    /// `None` too in programs that abort on panic: there nothing can unwind, and waits run to their end.
    pub(crate) fn due(&self, processor: &Processor) -> Option<Target> {
        if cfg!(panic = "abort") || self.is_unwinding(processor) {
            return None;
        }
        let is_cancelled = self.task.fate().is_cancelled();
        let scopes = self.rare().scopes.borrow();
        scopes.due(is_cancelled, || processor.clock.now())
    }

    /// Whether the task, or a scope that it stands in, was cancelled and it could be told of it here, by
    /// whatever means.
    pub(crate) fn is_cancelled(&self) -> bool {
        let is_cancelled = self.task.fate().is_cancelled();
        // At the time 0 no scope's deadline is due.
        (is_cancelled || self.has(SCOPES))
            && (self.rare().scopes.borrow())
                .due(is_cancelled, || 0)
                .is_some()
    }

    /// Unwinds to the target; only where the task does not unwind already.
    pub(crate) fn throw(
        &self,
        processor: &Processor,
        target: Target,
        place: &'static Location<'static>,
    ) -> ! {
        let throws = self.rare().throws.get() + 1;
        self.rare().throws.set(throws);
        if throws > MAX_THROWS {
            self.stay_parked(processor, place);
        }
        self.set(UNWINDING | CANCELLATION, true);
        resume_unwind(Box::new(Unwind { target }))
    }

    /// The end of a task that catches its cancellation again and again: it is not abandoned (others may
    /// borrow from its frames), it never runs again.
    fn stay_parked(&self, processor: &Processor, place: &'static Location<'static>) -> ! {
        /// A deadlock report unwinds even this wait.
        struct Stuck<'a>(&'a Processor, &'a TaskRef);
        impl Drop for Stuck<'_> {
            fn drop(&mut self) {
                self.0.stuck.set(self.0.stuck.get() - 1);
                self.0.shared.stuck.remove(self.1);
            }
        }

        log::error!(
            "{:?} swallowed its cancellation {MAX_THROWS} times (catch_unwind in a loop?): it stays parked for \
             ever at {place}, and whoever joins it waits for ever",
            *self.task
        );
        processor.stuck.set(processor.stuck.get() + 1);
        processor
            .shared
            .stuck
            .add(processor.index, &self.task, place);
        let _stuck = Stuck(processor, &self.task);
        let wait = Wait::new("cancel.swallowed");
        loop {
            if processor.phases.try_park(self.key) {
                self.suspend_parked(processor, &wait, place);
            }
        }
    }

    /// An unwinding has arrived at a `catch_unwind` of ours: the task unwinds as much as it did when that
    /// was entered. When the payload is for an outer scope, the catcher throws it on by
    /// [`rethrow`](Self::rethrow).
    pub(crate) fn caught(&self, was_unwinding: bool) {
        self.set(UNWINDING, was_unwinding);
        if !was_unwinding {
            self.set(CANCELLATION, false);
        }
    }

    /// A cancellation has come to the scope that it was bound for, or code inside has swallowed it; and
    /// nothing is due further out.
    pub(crate) fn arrived(&self) {
        if let Some(rare) = self.rare.get() {
            rare.throws.set(0);
        }
    }

    pub(crate) fn rethrow(&self, payload: Box<dyn std::any::Any + Send>) -> ! {
        self.set(UNWINDING, true);
        self.set(CANCELLATION, payload.is::<Unwind>());
        resume_unwind(payload)
    }

    /// Whether this task is unwinding, so that something thrown from here would abort. Exact: while a
    /// neighbour of the thread waits in a destructor the frames on this task's stack are asked.
    ///
    /// Where they cannot be read it is our own note, which knows of our throws and of panics that come by
    /// our hook.
    #[inline]
    pub(crate) fn is_unwinding(&self, processor: &Processor) -> bool {
        if !std::thread::panicking() {
            // Nobody on this thread is, whatever the note says.
            self.forget_unwinding();
            return false;
        }
        !self.is_in_doubt(processor) || self.is_amid_cleanup()
    }

    #[cold]
    fn is_amid_cleanup(&self) -> bool {
        let base = match self.rare().fence.get() {
            0 => std::ptr::from_ref(self).addr(),
            fence => fence,
        };
        unwind::is_barred(base).unwrap_or_else(|| self.has(UNWINDING))
    }

    /// As `is_unwinding`, by the note alone: quick, and for what does no harm when it is wrong.
    fn is_noted_unwinding(&self, processor: &Processor) -> bool {
        std::thread::panicking() && (!self.is_in_doubt(processor) || self.has(UNWINDING))
    }

    #[inline]
    pub(super) fn forget_unwinding(&self) {
        if self.has(UNWINDING) {
            self.set(UNWINDING | CANCELLATION, false);
        }
    }

    /// Whether `thread::panicking()` may speak of a neighbour, or of a destructor around this code.
    pub(super) fn is_in_doubt(&self, processor: &Processor) -> bool {
        processor.mid_unwind.get() != 0 || self.cleanups.get() != 0 || unwinding::is_any_amid()
    }

    /// What the task knows of its unwinding, for who leaves it and comes back; 0 if it does not unwind.
    pub(in crate::scheduler) fn unwinding_note(&self, processor: &Processor) -> u32 {
        if !self.is_noted_unwinding(processor) {
            return 0;
        }
        UNWINDING | self.alerts.get() & CANCELLATION
    }

    pub(in crate::scheduler) fn put_unwinding_note(&self, note: u32) {
        self.set(UNWINDING | CANCELLATION, false);
        self.set(note, true);
    }

    /// Code in a destructor that runs while the task unwinds begins a stretch of its own, in which it may be
    /// thrown out of waits as long as that is caught before the destructor is left: `f` does not unwind.
    #[cold]
    pub(crate) fn in_cleanup<R>(&self, f: impl FnOnce() -> R) -> R {
        self.cleanups.set(self.cleanups.get() + 1);
        let before = self.alerts.get() & (UNWINDING | CANCELLATION);
        self.set(UNWINDING | CANCELLATION, false);
        // What is due to the code outside cannot be delivered past the destructor.
        self.push_shield();
        let result = unwind::fenced(|fence| {
            let outer = self.rare().fence.replace(fence);
            let result = f();
            self.rare().fence.set(outer);
            result
        });
        self.pop_scope();
        self.cleanups.set(self.cleanups.get() - 1);
        self.set(UNWINDING | CANCELLATION, false);
        self.set(before | UNWINDING, true);
        result
    }

    /// Whether and why this task is unwinding.
    pub(in crate::scheduler) fn unwinding(&self, processor: &Processor) -> Option<Unwinding> {
        // In doubt the note may be that of a panic which was caught since; the frames know.
        let is_noted = self.is_noted_unwinding(processor);
        (is_noted && self.is_unwinding(processor)).then(|| match self.has(CANCELLATION) {
            true => Unwinding::Cancellation,
            false => Unwinding::Panic,
        })
    }

    pub(crate) fn set_in_hook(&self, is_in_hook: bool) {
        self.set(IN_HOOK, is_in_hook);
        // CANCELLATION stays: this panic may end inside of a destructor that the cancellation runs.
        self.set(UNWINDING, true);
    }
}
