//! A fence of two halves: one side's costs nothing, for the other has the kernel put one into every thread.
//!
//! What must hold is the store-and-look of Dekker and Peterson: each of two sides stores its flag and then looks at the
//! other's, and at least one of them must see what the other has stored. With [`light`] between the two steps
//! of the one and [`heavy`] between those of the other it does: `membarrier(2)` returns after each thread of
//! the process has passed a full fence, at some point of its own order of instructions. If that point is
//! after the light side's store, the heavy side sees it; if it is before, the light side's look comes after it, and sees
//! the heavy side's store.

use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};

/// Nobody has asked the kernel yet: as good as [`MISSING`].
const UNKNOWN: u8 = 0;
const THERE: u8 = 1;
const MISSING: u8 = 2;

/// Leaves `UNKNOWN` once.
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Asks the kernel for it, once a process. Costs a microsecond while the process has one thread, and later on some ten
/// milliseconds: so it is done before a runtime starts its threads.
pub(crate) fn prepare() {
    // Relaxed: two that ask at the same time get the same answer.
    if STATE.load(Ordering::Relaxed) == UNKNOWN {
        let state = if register() { THERE } else { MISSING };
        STATE.store(state, Ordering::Relaxed);
    }
}

/// Whether [`heavy`] may be called.
#[inline]
pub(crate) fn is_there() -> bool {
    STATE.load(Ordering::Relaxed) == THERE
}

/// The frequent side's half.
#[inline(always)]
pub(crate) fn light() {
    // The processor may still do the look before the store; the compiler shall not.
    compiler_fence(Ordering::SeqCst);
}

/// ThreadSanitizer knows of no such fence.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(gl_tsan)))]
fn register() -> bool {
    use rustix::thread::{
        MembarrierCommand::{PrivateExpedited, RegisterPrivateExpedited},
        membarrier, membarrier_query,
    };
    let known = membarrier_query();
    let needed = [
        rustix::thread::MembarrierQuery::PRIVATE_EXPEDITED,
        rustix::thread::MembarrierQuery::REGISTER_PRIVATE_EXPEDITED,
    ];
    // Tried once, for a filter of system calls may know the one command and not the other.
    needed.into_iter().all(|command| known.contains(command))
        && membarrier(RegisterPrivateExpedited).is_ok()
        && membarrier(PrivateExpedited).is_ok()
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(gl_tsan))))]
fn register() -> bool {
    false
}

/// The rare side's half: some microseconds.
///
/// Only where [`is_there`] says so.
#[cold]
pub(crate) fn heavy() {
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(gl_tsan)))]
    {
        use rustix::io::Errno;
        use rustix::thread::{MembarrierCommand::PrivateExpedited, membarrier};
        loop {
            match membarrier(PrivateExpedited) {
                Ok(()) => return,
                // The kernel has no memory for its list of processors just now.
                Err(Errno::NOMEM) => std::thread::yield_now(),
                Err(error) => {
                    // To go on without it would be a data race; and the one who filters this call has been
                    // told of it by its working before.
                    eprintln!(
                        "greenloom: the system call membarrier worked at the start and fails now ({error}): \
                         a filter of system calls must allow it"
                    );
                    std::process::abort();
                }
            }
        }
    }
}
