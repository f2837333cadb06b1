//! The engine under every coroutine: one started body on one stack, one word out at each suspension.

use corosensei::CoroutineResult;

use crate::stack::Stack;

/// Lives at the base of the running stack; its address is constant for the coroutine's life.
pub(crate) type RawYielder = corosensei::Yielder<(), usize>;

/// What a resumption ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawState {
    /// The body suspended with this word and may be resumed again.
    Suspended(usize),
    /// The body has returned; the stack may be taken back.
    Finished,
}

/// A body on a stack.
///
/// Nothing goes in and one word comes out: corosensei passes `Result<In, NonZeroUsize>`, so `()` in is
/// the one input that still travels in a register. Larger values go through cells that both sides hold.
///
/// The body must not unwind: whoever makes one catches round it (a panic through `resume` would be
/// caught and thrown a second time).
///
/// Dropping a started one leaks its stack, unless it has been taken back, on purpose: forced unwinding
/// aborts the process when a destructor suspends, so unwinding is the business of the owner, who resumes
/// the body with an order to throw.
pub(crate) struct RawCoroutine {
    /// `None` when the stack has been taken back. Its own `started` and `done` are the only state there
    /// is: `done` is also true of a running body, but `resume` holds this exclusively meanwhile.
    inner: Option<corosensei::Coroutine<(), usize, (), Stack>>,
}

impl std::fmt::Debug for RawCoroutine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawCoroutine")
            .field("fresh", &self.is_fresh())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl RawCoroutine {
    /// Lays `body` out on `stack`; nothing runs before the first `resume`.
    ///
    /// The body is written onto the stack: keep it small (corosensei refuses over 1 KiB).
    #[inline]
    pub(crate) fn new(stack: Stack, body: impl FnOnce(&RawYielder) + 'static) -> Self {
        let inner = corosensei::Coroutine::with_stack(stack, move |yielder, ()| body(yielder));
        RawCoroutine { inner: Some(inner) }
    }

    /// Runs the body until it suspends or returns.
    ///
    /// # Panics
    ///
    /// When the body has returned already.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> RawState {
        let inner = self
            .inner
            .as_mut()
            .expect("a coroutine that was taken apart");
        match inner.resume(()) {
            CoroutineResult::Yield(word) => RawState::Suspended(word),
            CoroutineResult::Return(()) => RawState::Finished,
        }
    }

    /// Whether the body has not begun.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| !inner.started())
    }

    /// Whether the body has returned.
    #[inline]
    pub(crate) fn is_finished(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.done())
    }

    /// The stack, once, when the body has returned; `None` before that and after.
    #[inline]
    pub(crate) fn take_stack(&mut self) -> Option<Stack> {
        self.inner
            .take_if(|inner| inner.done())
            .map(corosensei::Coroutine::into_stack)
    }

    /// The stack, once the body has returned. `None` before that: a fresh body drops its captures (and
    /// the stack frees itself), a suspended one leaks.
    #[inline]
    #[cfg_attr(not(feature = "runtime"), allow(dead_code))]
    pub(crate) fn into_stack(mut self) -> Option<Stack> {
        self.take_stack()
    }
}

impl Drop for RawCoroutine {
    fn drop(&mut self) {
        // Something may point into a suspended body: its memory stays mapped and unused for ever.
        std::mem::forget(self.inner.take_if(|inner| inner.started()));
    }
}
