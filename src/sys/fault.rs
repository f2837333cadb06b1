//! Memory faults: one handler in front of whoever stood there before, and a stack for it to run on.
//!
//! The handler asks a function of ours whether it knows the address. If it does, that function does not
//! come back. If not, the handler that was installed before gets the very same call; std's own (which
//! names a thread whose stack ran over) and a user's go on to work.
#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::memory;

/// A touched guard is `SIGSEGV` on Linux and FreeBSD, `SIGBUS` on macOS.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Asked with the address of each fault. Runs in a signal handler: no locks, no heap, little stack.
static CLAIM: OnceLock<fn(usize)> = OnceLock::new();

/// Who stood there before us, by the place in `SIGNALS`. Set before our handler is, never after.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

/// True once a previous handler that asked for one call only (`SA_RESETHAND`) has had it.
static SPENT: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Puts `claim` in front of the handlers of this process. Call it once; a later call does nothing.
pub(crate) fn install(claim: fn(usize)) {
    if CLAIM.set(claim).is_err() {
        return;
    }
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: only asks, and `old` is a valid place for the answer; all-zero is a valid value.
        let old = unsafe {
            libc::sigaction(signal, ptr::null(), old.as_mut_ptr());
            old.assume_init()
        };
        let mut new = old;
        new.sa_sigaction = on_fault as *const () as usize;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | (old.sa_flags & libc::SA_NODEFER);
        // The mask stays the old one's, so that it finds what it asked for when we pass the call on.
        let _ = previous.set(old);
        // SAFETY: `on_fault` has the signature that SA_SIGINFO calls for, and is async-signal-safe.
        unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) };
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a valid record to a handler with SA_SIGINFO.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // A signal that someone sent has a sender where a fault has its address.
    let sent = code <= 0;
    if !sent && let Some(claim) = CLAIM.get() {
        claim(address);
    }
    let index = usize::from(signal == SIGNALS[1]);
    let Some(old) = PREVIOUS[index].get() else {
        return fall_to_default(signal, sent);
    };
    let spent =
        old.sa_flags & libc::SA_RESETHAND != 0 && SPENT[index].swap(true, Ordering::Relaxed);
    match old.sa_sigaction {
        libc::SIG_IGN if sent => {}
        // The kernel does not let a real fault be ignored either.
        libc::SIG_DFL | libc::SIG_IGN => fall_to_default(signal, sent),
        _ if spent => fall_to_default(signal, sent),
        // SAFETY: SA_SIGINFO says which of the two signatures the previous handler has; it gets what it
        // would have got.
        handler if old.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            std::mem::transmute::<
                usize,
                extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void),
            >(handler)(signal, info, context);
        },
        // SAFETY: as above.
        handler => unsafe {
            std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal);
        },
    }
}

/// Leaves the process to the default action: the faulting instruction runs again, or, when someone
/// sent the signal, it is sent again.
fn fall_to_default(signal: libc::c_int, sent: bool) {
    // SAFETY: both calls are async-signal-safe and touch no memory of ours.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if sent {
            libc::raise(signal);
        }
    }
}

/// Writes to standard error, from a signal handler if need be.
pub(crate) fn write_to_stderr(mut text: &[u8]) {
    while !text.is_empty() {
        // SAFETY: `text` is valid for its length, and write(2) is async-signal-safe.
        let wrote = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        match usize::try_from(wrote) {
            Ok(wrote @ 1..) => text = &text[wrote..],
            _ => return,
        }
    }
}

/// Ends the process by `SIGABRT`, from a signal handler if need be.
pub(crate) fn die() -> ! {
    // SAFETY: abort(3) is async-signal-safe and needs nothing from us.
    unsafe { libc::abort() }
}

/// Gives the calling thread a stack for signal handlers, if it has none.
///
/// std gives one to the main thread and to those it starts; threads of C code, and of programs whose
/// `main` is not Rust's, have none, and on those a touched guard would be a bare `SIGSEGV`.
pub(crate) fn ensure_alt_stack() {
    thread_local! {
        static OWN: OnceCell<Option<AltStack>> = const { OnceCell::new() };
    }
    // In the last moments of a thread there is nothing left to protect.
    let _ = OWN.try_with(|own| own.get_or_init(AltStack::install).is_some());
}

/// Memory of a thread's signal handlers; gone with the thread.
#[derive(Debug)]
struct AltStack {
    /// The guard page lies first.
    start: usize,
    len: usize,
}

impl AltStack {
    /// `None` when the thread has one of its own, or no memory can be had.
    fn install() -> Option<AltStack> {
        if current_alt_stack().ss_flags & libc::SS_DISABLE == 0 {
            return None;
        }
        let page = memory::page_size();
        let len = (smallest_signal_stack() + HANDLER_ROOM).next_multiple_of(page) + page;
        let start = memory::map(len, 0).ok()?;
        let own = AltStack { start, len };
        // SAFETY: the page is the lowest of the mapping made above, and nobody has used it.
        unsafe { memory::guard(start, page) }.ok()?;
        let stack = libc::stack_t {
            ss_sp: ptr::with_exposed_provenance_mut(start + page),
            ss_flags: 0,
            ss_size: len - page,
        };
        // SAFETY: the memory is mapped, and stays so until `drop` has switched the stack off.
        unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
        Some(own)
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let current = current_alt_stack();
        let ours = self.start..self.start + self.len;
        if ours.contains(&current.ss_sp.addr()) {
            let off = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                // macOS checks the size even so.
                ss_size: self.len,
            };
            // SAFETY: switches off what this value has switched on; no handler runs on it, as this
            // thread is here.
            unsafe { libc::sigaltstack(&raw const off, ptr::null_mut()) };
        }
        // SAFETY: the mapping is this value's own, and no longer the thread's signal stack.
        unsafe { memory::unmap(self.start, self.len) };
    }
}

/// What a handler may use beyond the frame that the kernel writes. A handler that was there before ours
/// runs on it too. Untouched pages cost nothing.
const HANDLER_ROOM: usize = 32 * 1024;

fn current_alt_stack() -> libc::stack_t {
    let mut stack = libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: 0,
        ss_size: 0,
    };
    // SAFETY: only asks, and `stack` is a valid place for the answer.
    unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) };
    stack
}

/// What the kernel itself may write: it grows with the registers of the processor.
fn smallest_signal_stack() -> usize {
    #[cfg(target_os = "linux")]
    // SAFETY: reads the process's auxiliary vector; 0 for what is not in it.
    let dynamic = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    #[cfg(not(target_os = "linux"))]
    let dynamic = 0;
    dynamic.max(libc::MINSIGSTKSZ)
}
