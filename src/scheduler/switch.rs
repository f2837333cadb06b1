//! The switch off a task's stack, and the thread's word for whose stack it is on.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use crate::coroutine::raw::RawYielder;

/// Two pointers, without their types: who puts what there, and may look, is `current`'s business.
struct Here {
    /// The worker whose loop runs on this thread; null elsewhere.
    processor: Cell<*const ()>,
    /// The record of the task that runs on this thread right now; null on a worker's own stack.
    local: Cell<*const ()>,
}

thread_local! {
    // Const and without a destructor: reading it is one load, also while the thread exits.
    static HERE: Here = const {
        Here { processor: Cell::new(ptr::null()), local: Cell::new(ptr::null()) }
    };
}

#[inline(always)]
pub(super) fn processor() -> *const () {
    HERE.with(|here| here.processor.get())
}

pub(super) fn set_processor(processor: *const ()) {
    HERE.with(|here| here.processor.set(processor));
}

#[inline(always)]
pub(super) fn local() -> *const () {
    HERE.with(|here| here.local.get())
}

#[inline(always)]
pub(super) fn set_local(local: *const ()) {
    HERE.with(|here| here.local.set(local));
}

/// The yielder of a task, at the base of its stack.
#[derive(Clone, Copy)]
pub(crate) struct BaseYielder(*const RawYielder);

impl BaseYielder {
    pub(crate) fn new(yielder: &RawYielder) -> Self {
        BaseYielder(yielder)
    }

    /// Suspends the task, from whatever stack of it is running.
    ///
    /// Called by `Local` alone, which lives on the same stack as the yielder.
    #[inline(always)]
    pub(super) fn suspend(self, word: usize) {
        // SAFETY: the yielder lies at the base of the task's stack and so outlives the `Local` that holds
        // this value. The task is running (its `Local` was reached through `HERE`), perhaps on the stack
        // of a coroutine that it resumed; suspending the outer from the inner stack is sound, for the
        // inner one is not resumed before the outer is.
        unsafe { (*self.0).suspend(word) }
    }
}
