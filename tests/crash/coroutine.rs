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

/// Soundness rule 2: a suspended coroutine that holds a reference into a thread-local, kept in another one
/// when its thread ends. Says what dies when.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod kept_by_a_thread_local {
    use std::cell::{Cell, RefCell};

    use greenloom::coroutine::{Coroutine, suspend};

    use crate::child;

    struct Key;
    impl Key {
        fn read(&self) {
            assert!(!DEAD.get(), "read after its end");
            println!("key read");
        }
    }
    impl Drop for Key {
        fn drop(&mut self) {
            DEAD.set(true);
            println!("key dropped");
        }
    }

    struct Reader<'a>(&'a Key);
    impl Drop for Reader<'_> {
        fn drop(&mut self) {
            self.0.read();
        }
    }

    #[derive(Default)]
    struct Keeper(RefCell<Option<Coroutine<(), (), ()>>>);
    impl Drop for Keeper {
        fn drop(&mut self) {
            let coroutine = self.0.take().expect("it was put there");
            println!("resumed: {:?}", coroutine.resume(()));
            drop(coroutine);
            println!("keeper dropped");
        }
    }

    thread_local! {
        /// Without a destructor, so it is there to the end.
        static DEAD: Cell<bool> = const { Cell::new(false) };
        static KEY: Key = const { Key };
        static KEEPER: Keeper = const { Keeper(RefCell::new(None)) };
    }

    fn suspended_in_key() -> Coroutine<(), (), ()> {
        let coroutine = Coroutine::new(|_, ()| {
            KEY.with(|key| {
                let _reader = Reader(key);
                suspend::<(), ()>(());
            });
        });
        coroutine.resume(()).unwrap();
        coroutine
    }

    fn on_a_thread(f: fn()) {
        // Outside of its closure the thread's locals die; `join` comes after.
        std::thread::spawn(f).join().unwrap();
        println!("the thread has ended");
    }

    /// What the child said, without the test harness's words.
    fn said(outcome: &child::Outcome) -> Vec<&str> {
        outcome.assert_success();
        let lines = outcome.stdout.lines();
        let lines = lines.map(|line| line.rsplit("... ").next().unwrap_or(line));
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("running"))
            .collect()
    }

    fn keep(coroutine: Coroutine<(), (), ()>) {
        KEEPER.with(|keeper| *keeper.0.borrow_mut() = Some(coroutine));
    }

    /// The thread's locals die in the order against that of their first use.
    #[test]
    fn what_it_refers_to_dies_first_and_it_is_not_touched_again() {
        let outcome = child::run(|| {
            on_a_thread(|| {
                KEEPER.with(|_| ());
                keep(suspended_in_key());
            });
        });
        assert_eq!(
            said(&outcome),
            [
                "key dropped",
                "resumed: Err(ThreadExited(..))",
                "keeper dropped",
                "the thread has ended",
            ]
        );
    }

    #[test]
    fn what_it_refers_to_is_older_than_any_coroutine_and_dies_before_its_keeper() {
        let outcome = child::run(|| {
            on_a_thread(|| {
                KEEPER.with(|_| ());
                KEY.with(|_| ());
                keep(suspended_in_key());
            });
        });
        assert_eq!(
            said(&outcome),
            [
                "key dropped",
                "resumed: Err(ThreadExited(..))",
                "keeper dropped",
                "the thread has ended",
            ]
        );
    }

    #[test]
    fn its_keeper_dies_first_and_leaks_it() {
        let outcome = child::run(|| {
            on_a_thread(|| {
                KEY.with(|_| ());
                KEEPER.with(|_| ());
                keep(suspended_in_key());
            });
        });
        assert_eq!(
            said(&outcome),
            [
                "resumed: Err(ThreadExited(..))",
                "keeper dropped",
                "key dropped",
                "the thread has ended",
            ]
        );
    }

    #[test]
    fn its_keeper_is_younger_than_it_and_may_run_it() {
        let outcome = child::run(|| {
            on_a_thread(|| {
                KEY.with(|_| ());
                keep(suspended_in_key());
            });
        });
        assert_eq!(
            said(&outcome),
            [
                "key read",
                "resumed: Ok(Complete(()))",
                "keeper dropped",
                "key dropped",
                "the thread has ended",
            ]
        );
    }
}
