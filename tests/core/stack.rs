//! Sizes of stacks, and their reuse as far as it can be seen from outside.

use greenloom::stack::bare::{self, Held};
use greenloom::stack::{InvalidStackSize, StackSize};

const KIB: usize = 1024;

#[test]
fn a_size_of_zero_and_an_absurd_one_are_refused() {
    for bytes in [0, (1 << 30) + 1, usize::MAX] {
        let error: InvalidStackSize = StackSize::new(bytes).expect_err("an error");
        assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_size_is_rounded_up_to_a_power_of_two_with_the_guard_inside() {
    for bytes in [
        1,
        KIB,
        32 * KIB,
        48 * KIB,
        48 * KIB + 1,
        100_000,
        240 * KIB,
        1 << 20,
        1 << 30,
    ] {
        let size = StackSize::new(bytes).expect("a size");
        assert!(
            size.bytes() >= bytes && size.usable() >= 32 * KIB,
            "{size:?}"
        );
        assert!(size.bytes().is_power_of_two());
        assert!(size.bytes() - size.usable() >= 16 * KIB);
        assert!(size.bytes() < 2 * bytes.max(48 * KIB));
    }
    assert_eq!(StackSize::new(1), StackSize::new(64 * KIB));
    #[cfg(not(gl_asan))]
    assert_eq!(StackSize::new(256 * KIB), Ok(StackSize::DEFAULT));
}

#[test]
fn the_whole_usable_part_can_be_used() {
    let size = StackSize::new(2 << 20).expect("a size");
    let held = Held::acquire(size).expect("a stack");
    let (sum, held) = bare::run(held, "", || {
        let bytes = std::hint::black_box([1_u8; 800 * KIB]);
        bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>()
    });
    assert_eq!(sum, 800 * KIB);
    assert!(held.high_water() >= 800 * KIB && held.high_water() <= size.usable());
}

#[test]
fn the_largest_size_can_be_had() {
    let size = StackSize::new(1 << 30).expect("a size");
    let held = Held::acquire(size).expect("a stack");
    let (answer, held) = bare::run(held, "", || 42);
    assert_eq!(answer, 42);
    assert!(held.high_water() > 0 && held.high_water() < 64 * KIB);
}

#[test]
fn a_panic_travels_and_the_stack_is_reused() {
    let held = Held::acquire(StackSize::DEFAULT).expect("a stack");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bare::run(held, "", || std::panic::resume_unwind(Box::new(7)))
    }));
    assert_eq!(caught.expect_err("a panic").downcast_ref(), Some(&7));
}

#[test]
fn a_stack_may_be_dropped_on_another_thread_and_while_a_thread_ends() {
    thread_local! {
        static KEPT: std::cell::RefCell<Vec<Held>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let held = Held::acquire(StackSize::DEFAULT).expect("a stack");
    std::thread::spawn(move || {
        // Registered before the cache of stacks, so destroyed after it with some C libraries and before
        // it with others.
        KEPT.with(|kept| kept.borrow_mut().push(held));
        let more = Held::acquire(StackSize::DEFAULT).expect("a stack");
        KEPT.with(|kept| kept.borrow_mut().push(more));
    })
    .join()
    .expect("no panic");
}

#[test]
fn the_running_stack_tells_how_deep_it_was_used() {
    #[inline(never)]
    fn use_some(bytes: usize) {
        let deep = std::hint::black_box([1_u8; 64 * KIB]);
        assert!(bytes <= deep.len());
    }
    let body = greenloom::coroutine::Builder::new()
        .stack_size(StackSize::new(512 * KIB).expect("a size"))
        .coroutine::<(), (), _, _>(|_, ()| {
            let before = greenloom::stack::usage().expect("a stack of ours");
            use_some(64 * KIB);
            (before, greenloom::stack::usage().expect("a stack of ours"))
        })
        .expect("a stack");
    let (before, after) = body
        .resume(())
        .expect("not run")
        .complete()
        .expect("its end");
    assert!(after.high_water >= 64 * KIB && after.high_water < after.size.usable());
    assert!(after.high_water >= before.high_water);
    assert_eq!(greenloom::stack::usage(), None);
}
