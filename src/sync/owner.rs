//! Who runs here, as one number: a task, or a plain thread.

use std::cell::Cell;

use crate::base::primitive::Ordering;
use crate::scheduler::park;

/// The running task, or the running thread where no task runs; a generator or greenlet inside a task is that
/// task. Never two at once have the same, and none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u64);

/// Set in the numbers of threads; tasks do not get that far.
const THREAD: u64 = 1 << 63;

impl Owner {
    pub(crate) const NOBODY: Owner = Owner(0);

    #[inline]
    pub(crate) fn current() -> Self {
        match park::current_id() {
            0 => Owner(THREAD | thread_number()),
            id => Owner(id),
        }
    }

    #[inline]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// Not std's `ThreadId`, which cannot be had in a thread's last moments.
fn thread_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    thread_local! {
        // Without a destructor, so that it can be read while the thread exits.
        static MINE: Cell<u64> = const { Cell::new(0) };
    }
    MINE.with(|mine| {
        if mine.get() == 0 {
            // Relaxed: only uniqueness matters.
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        mine.get()
    })
}
