//! The processor: its caches, and how many threads the process keeps on it.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads of the library's own that serve no runtime and wake no task.
static SERVANTS: AtomicUsize = AtomicUsize::new(0);

/// Says that the calling thread is one that wakes no task, until this is dropped.
pub(crate) struct Servant(());

impl Servant {
    /// To be called on the thread itself, so that it is never counted when it is not there.
    pub(crate) fn begin() -> Servant {
        SERVANTS.fetch_add(1, Ordering::SeqCst);
        Servant(())
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        SERVANTS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many threads the process has, but for servants; `None` where the system does not tell.
pub(crate) fn thread_count() -> Option<usize> {
    // First, so that one that ends meanwhile counts as a thread: too many is the safe mistake.
    let servants = SERVANTS.load(Ordering::SeqCst);
    // One line of /proc/self/stat would be shorter, but its second field may hold anything.
    let all = std::fs::read_dir("/proc/self/task").ok()?.count();
    Some(all.saturating_sub(servants))
}

/// Asks for the cache line at `place`, which will be wanted soon. Any address will do: none is read.
#[inline]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
