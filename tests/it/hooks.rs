//! `on_switch`: hooks that alternate, run as the task, and harm nobody.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use greenloom::runtime::Builder;
use greenloom::task::{TaskId, checkpoint};
use greenloom::{
    OnDeadlock, RunError, Runtime, current, park, scope, sleep, spawn, task_local, timeout,
    yield_now,
};

use crate::watch::{OnDrop, watched};

/// What happened, in order, on each thread.
type Log = Arc<Mutex<HashMap<ThreadId, Vec<(bool, TaskId)>>>>;

fn logged(builder: Builder) -> (Builder, Log) {
    let log = Log::default();
    let note = |log: Log, is_enter| {
        move |task| {
            assert_eq!(current().id(), task);
            let thread = std::thread::current().id();
            let mut log = log.lock().unwrap();
            log.entry(thread).or_default().push((is_enter, task));
        }
    };
    let hooked = builder.on_switch(note(log.clone(), false), note(log.clone(), true));
    (hooked, log)
}

/// Checks that every enter has its leave before the next enter; returns how many there are.
fn pairs(log: &Log) -> usize {
    let log = log.lock().unwrap();
    for events in log.values() {
        for pair in events.chunks(2) {
            let [(true, entered), (false, left)] = pair else {
                panic!("{pair:?} in {events:?}")
            };
            assert_eq!(entered, left);
        }
    }
    log.values().map(Vec::len).sum::<usize>() / 2
}

#[test]
fn enter_and_leave_alternate_on_each_worker() {
    for workers in [1, 2] {
        let (builder, log) = logged(Runtime::builder().workers(workers));
        builder
            .run(|| {
                let tasks: Vec<_> = (0..50)
                    .map(|n| {
                        spawn(move || {
                            (0..n % 5).for_each(|_| yield_now());
                            if n % 7 == 0 {
                                sleep(Duration::from_micros(10));
                            }
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
                let stuck = spawn(park);
                yield_now();
                stuck.cancel();
                assert!(stuck.join().is_err());
            })
            .unwrap();
        // 52 tasks, and 100 yields.
        assert!(pairs(&log) >= 152);
    }
}

#[test]
fn hooks_run_while_a_task_unwinds_too() {
    let (builder, log) = logged(Runtime::builder().virtual_clock().panic_note(false));
    builder
        .run(|| {
            let bystander = spawn(|| (0..20).for_each(|_| sleep(Duration::from_millis(1))));
            let expired = timeout(Duration::from_millis(3), || {
                let _slow = OnDrop(|| sleep(Duration::from_millis(5)));
                park();
            });
            assert!(expired.is_err());
            let panicked = spawn(|| {
                let _slow = OnDrop(yield_now);
                panic!("with a destructor that waits");
            });
            assert!(panicked.join().unwrap_err().is_panic());
            bystander.join().unwrap();
        })
        .unwrap();
    assert!(pairs(&log) > 20);
}

#[test]
fn a_hook_that_panics_or_waits_harms_no_task() {
    let calls = Arc::new(AtomicUsize::new(0));
    let theirs = calls.clone();
    watched(move || {
        let fail = move |_: TaskId| match theirs.fetch_add(1, SeqCst) % 4 {
            0 => panic!("in a hook"),
            1 => yield_now(),
            2 => sleep(Duration::from_secs(1)),
            _ => checkpoint(),
        };
        Runtime::builder()
            .workers(1)
            .panic_note(false)
            .on_switch(fail.clone(), fail)
            .run(|| {
                let sum: u32 = scope(|s| {
                    let tasks: Vec<_> = (0..10)
                        .map(|n| {
                            s.spawn(move || {
                                let _slow = OnDrop(yield_now);
                                yield_now();
                                n
                            })
                        })
                        .collect();
                    tasks.into_iter().map(|task| task.join().unwrap()).sum()
                });
                assert_eq!(sum, 45);
                // Its cancellation is not spent on the hooks.
                let task = spawn(|| {
                    let _slow = OnDrop(|| (0..40).for_each(|_| yield_now()));
                    park();
                });
                yield_now();
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
                let task = spawn(|| {
                    let _slow = OnDrop(|| (0..40).for_each(|_| yield_now()));
                    panic!("while hooks panic");
                });
                assert!(task.join().unwrap_err().is_panic());
            })
            .unwrap();
    });
    assert!(calls.load(SeqCst) > 200);
}

task_local! {
    static NAME: RefCell<String> = RefCell::default();
}

thread_local! {
    /// What a crate keeps for the thread, and means for the task.
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
}

task_local! {
    static KEPT: Cell<u32> = Cell::new(0);
}

#[test]
fn what_belongs_to_the_thread_can_be_made_the_tasks() {
    Runtime::builder()
        .workers(1)
        .on_switch(
            |_| {
                let mine = CONTEXT.replace(0);
                let _ = KEPT.try_with(|kept| kept.set(mine));
            },
            |_| CONTEXT.set(KEPT.get()),
        )
        .run(|| {
            let tasks: Vec<_> = (1..=20)
                .map(|n| {
                    spawn(move || {
                        for round in 0..5 {
                            assert_eq!(CONTEXT.get(), n * round);
                            CONTEXT.set(n * (round + 1));
                            NAME.set(n.to_string());
                            yield_now();
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(CONTEXT.get(), 0);
        })
        .unwrap();
    assert_eq!(CONTEXT.get(), 0);
}

#[test]
fn a_deadlock_is_reported_with_hooks_as_without() {
    let (result, log) = watched(|| {
        let (builder, log) = logged(Runtime::builder().workers(1).closed_world());
        let builder = builder.panic_note(false).on_deadlock(OnDeadlock::Raise);
        let result = builder.run(|| {
            let _other = spawn(park);
            park();
        });
        (
            result.map_err(|error| matches!(error, RunError::Panicked(_))),
            log,
        )
    });
    assert_eq!(result, Err(true));
    assert!(pairs(&log) >= 2);
}
