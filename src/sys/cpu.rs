//! The processor: its caches, and how many threads the process keeps on it.
#![allow(unsafe_code)]

/// How many threads the process has; `None` where the system does not tell.
pub(crate) fn thread_count() -> Option<usize> {
    // One line of /proc/self/stat would be shorter, but its second field may hold anything.
    std::fs::read_dir("/proc/self/task")
        .ok()
        .map(Iterator::count)
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
