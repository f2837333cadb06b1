//! Coroutines that must end the process, or have a thread to themselves that ends badly.

use greenloom::coroutine::{Builder, Generator, Greenlet, Yielder, scoped};

use crate::child;

/// Soundness rule 7: what a borrowing generator borrows must not go before it.
#[test]
fn a_borrowing_generator_that_ignores_its_close_aborts_by_name() {
    let outcome = child::run(|| {
        let text = String::from("borrowed");
        scoped(
            |y: &Yielder<(), usize>| while y.try_suspend(text.len()).is_err() {},
            |g| g.next(),
        );
        println!("came back");
    });
    assert_eq!(outcome.signal, Some(libc::SIGABRT), "{outcome:#?}");
    assert!(outcome.stderr.contains("ignores its close"), "{outcome:#?}");
    assert!(!outcome.stdout.contains("came back"), "{outcome:#?}");
}

#[test]
fn a_borrowing_generator_parked_in_the_middle_of_a_panic_aborts_by_name() {
    struct Suspends<'a>(&'a Yielder<'a, (), ()>);
    impl Drop for Suspends<'_> {
        fn drop(&mut self) {
            self.0.suspend(());
        }
    }
    let outcome = child::run(|| {
        scoped(
            |y: &Yielder<(), ()>| {
                let _suspends = Suspends(y);
                panic!("never finished");
            },
            |g| g.next(),
        );
    });
    assert_eq!(outcome.signal, Some(libc::SIGABRT), "{outcome:#?}");
    assert!(outcome.stderr.contains("ignores its close"), "{outcome:#?}");
}

/// Without end, and not turned into a loop.
#[allow(unconditional_recursion, reason = "that is the point")]
fn overflow(n: u64) -> u64 {
    let room = std::hint::black_box([n; 64]);
    overflow(n + 1) + room[(n % 64) as usize]
}

#[test]
fn an_overflow_in_a_generator_inside_a_greenlet_is_named() {
    let outcome = child::run(|| {
        Greenlet::new(|(): ()| {
            let deep: Generator<u64> = Builder::new()
                .name("the deep one")
                .generator(|y| y.suspend(overflow(0)))
                .unwrap();
            deep.next()
        })
        .switch(())
        .unwrap();
    });
    assert_eq!(outcome.signal, Some(libc::SIGABRT), "{outcome:#?}");
    assert!(outcome.stderr.contains("the deep one"), "{outcome:#?}");
}
