//! A stack that runs over is named; every other fault is as it would be without us.

use std::hint::black_box;

use greenloom::stack::StackSize;
use greenloom::stack::bare::{self, Held};

use crate::child::{self, Child, Outcome};

fn on_a_stack<T: 'static>(name: &str, body: impl FnOnce() -> T + 'static) -> T {
    let held = Held::acquire(StackSize::DEFAULT).expect("a stack");
    bare::run(held, name, body).0
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is what these tests are about")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 20]);
    recurse(depth + 1) + frame[3]
}

#[inline(never)]
fn large_frame() -> u8 {
    black_box([1_u8; 3 << 20])[5]
}

/// The lowest address that the kernel never maps, and that is not null to Rust's own checks.
fn fault_near_null() {
    let near_null: *const u64 = std::ptr::with_exposed_provenance(8);
    // SAFETY: none; it faults, and the child dies of it.
    black_box(unsafe { near_null.read_volatile() });
}

#[track_caller]
fn assert_named(outcome: &Outcome, name: &str) {
    assert_eq!(outcome.signal, Some(libc::SIGABRT), "{outcome:#?}");
    let text = &outcome.stderr;
    assert!(
        text.contains(&format!("coroutine '{name}' (id 1, made at ")),
        "{text}"
    );
    assert!(text.contains("overflow.rs:"), "{text}");
    assert!(text.contains("Builder::stack_size"), "{text}");
    assert!(text.contains("stack overflow, aborting"), "{text}");
}

#[test]
fn recursion_is_named() {
    let outcome = child::run(|| {
        on_a_stack("deep one", || recurse(0));
    });
    assert_named(&outcome, "deep one");
}

#[test]
fn recursion_is_named_with_the_other_guard() {
    let outcome = Child::default().env("GREENLOOM_GUARD", "mprotect").run(|| {
        let kind = greenloom::stack::stats().guard;
        assert_eq!(kind, greenloom::stack::GuardKind::Mprotect);
        on_a_stack("deep one", || recurse(0));
    });
    assert_named(&outcome, "deep one");
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's large frames are not probed"
)]
fn a_frame_larger_than_guard_and_stack_is_named() {
    let outcome = child::run(|| {
        on_a_stack("wide one", large_frame);
    });
    assert_named(&outcome, "wide one");
}

#[test]
fn an_overflow_on_a_thread_that_std_knows_nothing_of_is_named() {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        on_a_stack("foreign", || recurse(0));
        std::ptr::null_mut()
    }
    let outcome = child::run(|| {
        let mut thread = 0;
        // SAFETY: `body` has the right signature and needs no argument; the thread is joined.
        unsafe {
            libc::pthread_create(
                &raw mut thread,
                std::ptr::null(),
                body,
                std::ptr::null_mut(),
            );
            libc::pthread_join(thread, std::ptr::null_mut());
        }
    });
    assert_named(&outcome, "foreign");
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's own handler reports it"
)]
fn the_stack_of_a_thread_is_still_named_by_std() {
    let outcome = child::run(|| {
        on_a_stack("", || ());
        let thread = std::thread::Builder::new()
            .name("a thread".into())
            .spawn(|| recurse(0));
        thread.expect("a thread").join().expect("never comes back");
    });
    assert_eq!(outcome.signal, Some(libc::SIGABRT), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("thread 'a thread'"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("has overflowed its stack"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("coroutine"), "{}", outcome.stderr);
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's own handler reports it"
)]
fn a_null_dereference_on_a_coroutine_stays_a_segmentation_fault() {
    let outcome = child::run(|| on_a_stack("innocent", fault_near_null));
    assert_eq!(outcome.signal, Some(libc::SIGSEGV), "{outcome:#?}");
    assert!(!outcome.stderr.contains("innocent"), "{}", outcome.stderr);
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's own handler reports it"
)]
fn a_signal_that_was_sent_ends_the_process_as_without_us() {
    let outcome = child::run(|| {
        on_a_stack("innocent", || {
            // Std's handler takes the first for a fault, and waits for it to come again.
            for _ in 0..2 {
                // SAFETY: raises a signal, nothing else.
                unsafe { libc::raise(libc::SIGSEGV) };
            }
        });
    });
    assert_eq!(outcome.signal, Some(libc::SIGSEGV), "{outcome:#?}");
}

fn set_handler(handler: usize, flags: libc::c_int) {
    // SAFETY: all-zero is a valid action; the handlers below have the signature that `flags` names.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

#[test]
fn a_handler_of_the_user_gets_what_it_would_have_got() {
    extern "C" fn handler(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the kernel hands over a valid record; exiting is async-signal-safe.
        unsafe {
            let address = (*info).si_addr().addr();
            let right = signal == libc::SIGSEGV && address == 8 && !context.is_null();
            libc::_exit(if right { 42 } else { 43 });
        }
    }
    let outcome = child::run(|| {
        set_handler(
            handler as *const () as usize,
            libc::SA_SIGINFO | libc::SA_ONSTACK,
        );
        on_a_stack("innocent", fault_near_null);
    });
    assert_eq!(outcome.code, Some(42), "{outcome:#?}");
}

#[test]
fn a_handler_of_the_old_form_is_called_too_and_an_overflow_is_still_named() {
    extern "C" fn handler(signal: libc::c_int) {
        // SAFETY: exiting is async-signal-safe.
        unsafe { libc::_exit(if signal == libc::SIGSEGV { 42 } else { 43 }) };
    }
    let outcome = child::run(|| {
        set_handler(handler as *const () as usize, 0);
        on_a_stack("innocent", || {
            if std::env::var_os("GREENLOOM_NEVER_SET").is_none() {
                fault_near_null();
            }
        });
    });
    assert_eq!(outcome.code, Some(42), "{outcome:#?}");
}

#[test]
fn an_overflow_is_named_though_the_user_has_a_handler() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: exiting is async-signal-safe.
        unsafe { libc::_exit(43) };
    }
    let outcome = child::run(|| {
        set_handler(handler as *const () as usize, 0);
        on_a_stack("deep one", || recurse(0));
    });
    assert_named(&outcome, "deep one");
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's own handler is in the way"
)]
fn a_handler_for_one_fault_only_is_called_once() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: write(2) is async-signal-safe.
        unsafe { libc::write(2, b"once;".as_ptr().cast(), 5) };
    }
    let outcome = child::run(|| {
        set_handler(handler as *const () as usize, libc::SA_RESETHAND);
        on_a_stack("innocent", fault_near_null);
    });
    assert_eq!(outcome.signal, Some(libc::SIGSEGV), "{outcome:#?}");
    assert_eq!(
        outcome.stderr.matches("once;").count(),
        1,
        "{}",
        outcome.stderr
    );
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's own handler is in the way"
)]
fn the_default_action_stays_the_default_action() {
    for handler in [libc::SIG_DFL, libc::SIG_IGN] {
        let outcome = Child::default()
            .env("GREENLOOM_TEST_ACTION", &handler.to_string())
            .run(|| {
                let handler = std::env::var("GREENLOOM_TEST_ACTION").expect("set by the parent");
                set_handler(handler.parse().expect("a number"), 0);
                on_a_stack("innocent", fault_near_null);
            });
        assert_eq!(outcome.signal, Some(libc::SIGSEGV), "{outcome:#?}");
    }
}
