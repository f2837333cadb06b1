//! Programs for std's threads, compiled twice: once with std's names, once with ours, and nothing else changed.

use greenloom::thread::{self, Builder, ThreadId};
use greenloom::{JoinError, Runtime, sleep, sync::mpsc};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::util::{green, virtual_time};
use crate::watch::watched;

#[path = "faces/by_greenloom.rs"]
mod by_greenloom;
#[path = "faces/by_std.rs"]
#[allow(clippy::duplicate_mod, reason = "that is what this test is about")]
#[allow(
    clippy::disallowed_methods,
    reason = "these run on threads of their own"
)]
mod by_std;

/// Runs a program on threads, on green threads of one worker and of two, and from a plain thread; it has to
/// come to the same everywhere.
fn everywhere(by_std: fn() -> String, by_greenloom: fn() -> String, what: &'static str) {
    watched(move || assert_eq!(by_std(), what, "on threads"));
    for workers in [1, 2] {
        let ran = watched(move || {
            let builder = Runtime::builder().workers(workers).panic_note(false);
            builder.run(by_greenloom).unwrap()
        });
        assert_eq!(ran, what, "on {workers} workers");
    }
    watched(move || assert_eq!(by_greenloom(), what, "from a plain thread"));
}

/// A test a program.
macro_rules! programs {
    ($($name:ident: $what:expr;)*) => {$(
        #[test]
        fn $name() {
            everywhere(by_std::programs::$name::main, by_greenloom::programs::$name::main, $what);
        }
    )*};
}

programs! {
    bounded_buffer: "99 items in order, never more than 4 inside";
    outside: "sockets, files, paths and programs";
    parallel_sum: "sum 500000500000, longest chunk 31250";
    philosophers: "5 philosophers ate 20 times each";
    worker_pool: "40 jobs by 4 workers, sum of squares 22140";
    sieve: "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47";
    relay: "runner-0 runner-1 runner-2 runner-3 x 10";
    poisoned: "panicked with `out of ink`, poisoned, recovered 7";
    phases: "3 phases of 4 in step, one leader each";
    cache: "64 reads of 8 words, computed 8 times";
}

#[test]
fn a_cancelled_thread_is_an_error_with_a_payload_of_its_own() {
    green(|| {
        let thread = thread::spawn(|| sleep(Duration::MAX));
        thread::yield_now();
        thread.as_task().cancel();
        let error = thread.join().unwrap_err().downcast::<JoinError>().unwrap();
        assert!(error.is_cancelled());
        let thread = thread::spawn(|| 5);
        let task: greenloom::JoinHandle<_> = thread.into();
        assert_eq!(task.join().unwrap(), 5);
    });
}

#[test]
fn every_thread_green_or_not_has_a_number_and_perhaps_a_name() {
    let ids = || -> Vec<(ThreadId, Option<String>)> {
        let me = || {
            let me = thread::current();
            assert_eq!(me.id(), thread::current().id());
            (me.id(), me.name().map(str::to_owned))
        };
        let named = Builder::new().name("named".into()).stack_size(1 << 16);
        let named = named.spawn(me).unwrap();
        assert_eq!(named.thread().name(), Some("named"));
        let id = named.thread().id();
        let unnamed = thread::spawn(me);
        let all = vec![me(), named.join().unwrap(), unnamed.join().unwrap()];
        assert_eq!(all[1].0, id);
        all
    };
    let mut all = green(ids);
    assert_eq!(all[0].1.as_deref(), Some("main"));
    all.extend(std::thread::spawn(ids).join().unwrap());
    let names: Vec<_> = all.iter().map(|(_, name)| name.as_deref()).collect();
    assert_eq!(names[1..], [Some("named"), None, None, Some("named"), None]);
    let different: HashSet<_> = all.into_iter().map(|(id, _)| id).collect();
    assert_eq!(different.len(), 6);
    assert!(thread::current().as_task().is_none());
}

#[test]
fn a_plain_thread_parks_and_is_unparked_by_a_green_one() {
    watched(|| {
        let me = thread::current();
        thread::spawn(move || me.unpark());
        thread::park();
        thread::park_timeout(Duration::from_millis(1));
    });
    virtual_time(|| {
        thread::park_timeout(Duration::from_secs(1));
        thread::current().unpark();
        thread::park();
    });
}

#[test]
fn panicking_is_the_threads_own_panic() {
    struct Look<'a>(&'a std::cell::Cell<Option<bool>>);
    impl Drop for Look<'_> {
        fn drop(&mut self) {
            self.0.set(Some(thread::panicking()));
        }
    }
    let looked = || {
        assert!(!thread::panicking());
        let seen = std::cell::Cell::new(None);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _look = Look(&seen);
            panic!("to be looked at");
        }));
        seen.get()
    };
    assert_eq!(looked(), Some(true));
    green(|| {
        assert_eq!(looked(), Some(true));
        // Of a cancellation it is not true, and so it poisons nothing.
        let thread = thread::spawn(|| {
            let seen = std::cell::Cell::new(None);
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let _look = Look(&seen);
                thread::park();
            }));
            seen.get()
        });
        thread::yield_now();
        thread.as_task().cancel();
        assert_eq!(thread.join().unwrap(), Some(false));
    });
}

#[test]
fn a_scope_panics_for_a_thread_that_nobody_joined() {
    green(|| {
        let result = catch_unwind(|| thread::scope(|s| drop(s.spawn(|| panic!("alone")))));
        assert!(result.is_err());
        let joined = thread::scope(|s| {
            let builder = Builder::new().name("scoped".into());
            let thread = builder.spawn_scoped(s, || panic!("heard")).unwrap();
            assert_eq!(thread.thread().name(), Some("scoped"));
            thread.join().map(|()| 0)
        });
        assert_eq!(joined.unwrap_err().downcast_ref(), Some(&"heard"));
    });
}

#[test]
fn a_receiver_that_is_cut_short_loses_no_value() {
    virtual_time(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        let producer = thread::spawn(move || {
            for n in 0..100u64 {
                sleep(Duration::from_nanos(n % 5));
                sender.send(n).unwrap();
            }
        });
        let mut found = Vec::new();
        for nanos in (1..7).cycle() {
            match greenloom::timeout(Duration::from_nanos(nanos), || receiver.recv()) {
                Ok(Ok(n)) => found.push(n),
                Ok(Err(mpsc::RecvError)) => break,
                Err(_) => {}
            }
        }
        producer.join().unwrap();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        let late = receiver.recv_timeout(Duration::from_secs(1));
        assert_eq!(late, Err(mpsc::RecvTimeoutError::Disconnected));
    });
}

#[test]
fn threads_go_on_to_their_ends_when_the_body_of_their_scope_panics() {
    use std::sync::atomic::{AtomicBool, Ordering};
    virtual_time(|| {
        let has_ended = AtomicBool::new(false);
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|s| {
                s.spawn(|| {
                    sleep(Duration::from_secs(1));
                    has_ended.store(true, Ordering::Relaxed);
                });
                panic!("the body");
            })
        }));
        assert!(result.is_err());
        assert!(has_ended.into_inner());
    });
}
