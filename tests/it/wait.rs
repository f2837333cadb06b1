//! Waiting for several tasks, and for one that is ended when its time is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{
    Until, as_completed, is_cancelled, join_all, try_join_all, wait, wait_timeout,
};
use greenloom::time::{now, shield_for};
use greenloom::{
    JoinError, JoinHandle, RunError, Runtime, park, scope, shield, sleep, spawn, timeout, yield_now,
};

use crate::util::{green, virtual_time};
use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A task that ends after so many seconds, with that number.
fn after(seconds: u32) -> JoinHandle<u32> {
    spawn(move || {
        sleep(SECOND * seconds);
        seconds
    })
}

fn values(handles: Vec<JoinHandle<u32>>) -> Vec<u32> {
    handles
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .collect()
}

#[test]
fn the_finished_come_first_and_the_others_in_the_order_of_their_ends() {
    virtual_time(|| {
        let mut tasks: Vec<_> = [5, 3, 0, 4, 0].map(after).into();
        yield_now();
        yield_now();
        assert!(tasks[2].is_finished());
        tasks.push(after(1));
        let mut done = as_completed(tasks);
        assert_eq!(done.len(), 6);
        let order: Vec<_> = done.by_ref().map(|task| task.join().unwrap()).collect();
        assert_eq!(order, [0, 0, 1, 3, 4, 5]);
        assert!(done.next().is_none() && done.next().is_none());
    });
}

#[test]
fn the_next_may_be_waited_for_so_long_and_what_is_left_comes_back() {
    virtual_time(|| {
        let begun = now();
        let mut done = as_completed([3, 1, 8].map(after));
        assert_eq!(done.next_timeout(HOUR).unwrap().unwrap().join().unwrap(), 1);
        let error = done.next_timeout(SECOND).unwrap_err();
        assert_eq!(error.to_string(), "2 (of 3) tasks unfinished");
        assert_eq!(now() - begun, 2 * SECOND);
        assert!(done.next_timeout(Duration::ZERO).is_err());
        assert_eq!(now() - begun, 2 * SECOND);
        sleep(SECOND);
        assert_eq!(
            done.next_timeout(Duration::ZERO)
                .unwrap()
                .unwrap()
                .join()
                .unwrap(),
            3
        );
        assert_eq!(values(done.into_pending()), [8]);
        let mut none = as_completed(Vec::<JoinHandle<()>>::new());
        assert!(none.next_timeout(Duration::ZERO).unwrap().is_none());
        assert!(none.next().is_none());
    });
}

#[test]
fn the_first_the_first_error_a_count_or_all() {
    virtual_time(|| {
        let (done, pending) = wait([3, 1, 2].map(after), Until::First);
        assert_eq!(values(done), [1]);
        assert_eq!(values(pending), [3, 2]);

        let begun = now();
        let (done, pending) = wait([3, 1, 2].map(after), Until::Count(2));
        assert_eq!((values(done), pending.len()), (vec![1, 2], 1));
        assert_eq!(now() - begun, 2 * SECOND);

        let (done, pending) = wait([3, 1, 2].map(after), Until::All);
        assert_eq!((values(done), pending.len()), (vec![1, 2, 3], 0));

        let (done, pending) = wait([3, 1].map(after), Until::Count(0));
        assert_eq!((done.len(), pending.len()), (0, 2));
        let (done, pending) = wait([1, 2].map(after), Until::Count(9));
        assert_eq!((done.len(), pending.len()), (2, 0));
    });
}

#[test]
fn a_cancelled_task_is_no_error_and_a_panic_is() {
    virtual_time(|| {
        let begun = now();
        let cancelled = spawn(|| -> u32 {
            sleep(HOUR);
            0
        });
        let canceller = cancelled.task();
        let bad = spawn(|| -> u32 {
            sleep(3 * SECOND);
            panic!("bad")
        });
        drop(spawn(move || {
            sleep(2 * SECOND);
            canceller.cancel();
        }));
        let (done, pending) = wait([after(1), bad, after(9), cancelled], Until::FirstError);
        assert_eq!(now() - begun, 3 * SECOND);
        let outcomes: Vec<_> = done.into_iter().map(JoinHandle::join).collect();
        assert!(matches!(
            &outcomes[..],
            [
                Ok(1),
                Err(JoinError::Cancelled),
                Err(JoinError::Panicked(_))
            ]
        ));
        assert_eq!(values(pending), [9]);
        // With none, it is over with the last.
        let (done, pending) = wait([after(1), after(2)], Until::FirstError);
        assert_eq!((done.len(), pending.len()), (2, 0));
    });
}

#[test]
fn all_that_have_ended_by_then_come_along() {
    virtual_time(|| {
        let tasks = [1, 1, 1, 2].map(after);
        sleep(SECOND);
        let (done, pending) = wait(tasks, Until::First);
        assert_eq!((done.len(), pending.len()), (3, 1));
    });
}

#[test]
fn a_wait_has_a_limit_and_no_tasks_are_no_wait() {
    virtual_time(|| {
        let begun = now();
        let (done, pending) = wait_timeout([3, 1].map(after), Until::All, 2 * SECOND);
        assert_eq!((values(done), pending.len()), (vec![1], 1));
        assert_eq!(now() - begun, 2 * SECOND);
        let (done, pending) = wait_timeout(pending, Until::All, Duration::ZERO);
        assert_eq!((done.len(), pending.len()), (0, 1));
        let (done, pending) = wait_timeout(pending, Until::First, Duration::MAX);
        assert_eq!((values(done), pending.len()), (vec![3], 0));
        for until in [Until::First, Until::FirstError, Until::Count(1), Until::All] {
            let (done, pending) = wait(Vec::<JoinHandle<()>>::new(), until);
            assert!(done.is_empty() && pending.is_empty());
        }
        assert!(join_all(Vec::<JoinHandle<()>>::new()).is_empty());
        assert!(
            try_join_all(Vec::<JoinHandle<()>>::new())
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn results_stand_in_the_order_given() {
    virtual_time(|| {
        let results = join_all([3, 1, 2].map(after));
        assert_eq!(
            results.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            [3, 1, 2]
        );
        assert_eq!(try_join_all([3, 1, 2].map(after)).unwrap(), [3, 1, 2]);
    });
}

#[test]
fn the_first_error_comes_at_once_and_the_others_go_on() {
    virtual_time(|| {
        let begun = now();
        let ended = Arc::new(AtomicUsize::new(0));
        let theirs = ended.clone();
        let slow = spawn(move || {
            sleep(5 * SECOND);
            theirs.fetch_add(1, Ordering::Relaxed);
        });
        let bad = spawn(|| {
            sleep(SECOND);
            panic!("bad")
        });
        assert!(try_join_all([slow, bad]).unwrap_err().is_panic());
        assert_eq!(now() - begun, SECOND);
        sleep(5 * SECOND);
        assert_eq!(ended.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn handles_of_a_scope_are_waited_for_as_well() {
    virtual_time(|| {
        let numbers = [3, 1, 2];
        let order = scope(|s| {
            let tasks = numbers.each_ref().map(|n| {
                s.spawn(move || {
                    sleep(SECOND * *n);
                    *n
                })
            });
            let (mut done, pending) = wait(tasks, Until::First);
            let mut order = vec![done.pop().unwrap().join().unwrap()];
            order.extend(as_completed(pending).map(|task| task.join().unwrap()));
            order
        });
        assert_eq!(order, [1, 2, 3]);
    });
}

#[test]
fn one_that_waits_for_itself_is_told_so() {
    green(|| {
        let (sender, receiver) = greenloom::channel::unbounded::<JoinHandle<()>>();
        let task = spawn(move || {
            let own = receiver.recv().unwrap();
            let (mut done, _) = wait([own], Until::First);
            assert!(matches!(done.pop().unwrap().join(), Err(JoinError::Itself)));
        });
        let id = task.task();
        sender.send(task).unwrap();
        while !id.is_finished() {
            yield_now();
        }
    });
}

#[test]
fn a_wait_in_the_deadlock_report_names_its_tasks() {
    watched(|| {
        let result = Runtime::builder().workers(1).closed_world().run(|| {
            let tasks = ["ann", "bob"]
                .map(|name| greenloom::Builder::new().name(name).spawn(park).unwrap());
            drop(wait(tasks, Until::All));
        });
        let RunError::Panicked(payload) = result.unwrap_err() else {
            panic!("another end");
        };
        let text = payload.downcast_ref::<String>().unwrap();
        for part in [
            "task.wait on the first to end of 2: task ",
            "(ann)",
            "(bob)",
        ] {
            assert!(text.contains(part), "{text}");
        }
    });
}

#[test]
fn a_late_task_is_cancelled_and_has_ended_when_wait_for_returns() {
    virtual_time(|| {
        let begun = now();
        let ended = Arc::new(AtomicUsize::new(0));
        let theirs = ended.clone();
        let eternity = spawn(move || {
            let _guard = OnDrop(|| {
                sleep(SECOND);
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            sleep(HOUR);
        });
        assert!(eternity.wait_for(SECOND).is_err());
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert_eq!(now() - begun, 2 * SECOND);
        // The siblings go on.
        let (first, other) = (after(1), after(2));
        assert!(first.wait_for(SECOND / 2).is_err());
        assert_eq!(other.wait_for(HOUR).unwrap().unwrap(), 2);
    });
}

#[test]
fn what_a_task_comes_to_while_it_is_being_cancelled_is_not_late() {
    virtual_time(|| {
        let value = spawn(|| {
            let _ = catch_unwind(AssertUnwindSafe(park));
            7
        });
        assert_eq!(value.wait_for(SECOND).unwrap().unwrap(), 7);
        let panic = spawn(|| {
            let _ = catch_unwind(AssertUnwindSafe(park));
            panic!("own error")
        });
        assert!(panic.wait_for(SECOND).unwrap().unwrap_err().is_panic());
        let finished = after(0);
        sleep(SECOND);
        assert_eq!(finished.wait_for(Duration::ZERO).unwrap().unwrap(), 0);
        // Cancelled by somebody else in time is no time-out.
        let other = spawn(park);
        let task = other.task();
        drop(spawn(move || task.cancel()));
        assert!(other.wait_for(HOUR).unwrap().unwrap_err().is_cancelled());
        assert!(spawn(park).wait_for(Duration::ZERO).is_err());
        assert_eq!(after(1).wait_for(Duration::MAX).unwrap().unwrap(), 1);
    });
}

#[test]
fn a_cancelled_wait_for_takes_its_task_along() {
    virtual_time(|| {
        for is_late in [false, true] {
            let begun = now();
            let ended = Arc::new(AtomicUsize::new(0));
            let theirs = ended.clone();
            let waiter = spawn(move || {
                let inner = spawn(move || {
                    let _guard = OnDrop(|| {
                        sleep(3 * SECOND);
                        theirs.fetch_add(1, Ordering::Relaxed);
                    });
                    sleep(HOUR);
                });
                // Cancelled while it waits, or while it waits for the cancelled one.
                inner.wait_for(if is_late { SECOND } else { HOUR })
            });
            sleep(2 * SECOND);
            waiter.cancel();
            assert!(waiter.join().unwrap_err().is_cancelled());
            assert_eq!(ended.load(Ordering::Relaxed), 1);
            assert_eq!(now() - begun, if is_late { 4 * SECOND } else { 5 * SECOND });
        }
        // A time-out round it is no other.
        let begun = now();
        assert!(timeout(SECOND, || spawn(park).wait_for(HOUR)).is_err());
        assert_eq!(now() - begun, SECOND);
        assert!(!is_cancelled());
    });
}

#[test]
fn cancel_and_join_waits_for_the_cleanup() {
    virtual_time(|| {
        let begun = now();
        let task = spawn(|| {
            let _guard = OnDrop(|| sleep(SECOND));
            park();
        });
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
        assert_eq!(now() - begun, SECOND);
        assert_eq!(scope(|s| s.spawn(|| 3).wait_for(HOUR)).unwrap().unwrap(), 3);
        let result = scope(|s| s.spawn(park).cancel_and_join());
        assert!(result.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_cleanup_with_a_budget_ends_when_that_is_spent() {
    virtual_time(|| {
        let begun = now();
        let task = spawn(|| {
            let _guard = OnDrop(|| assert!(shield_for(SECOND, || sleep(HOUR)).is_err()));
            park();
        });
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
        assert_eq!(now() - begun, SECOND);
        // Outside of a destructor as well: what comes from outside waits.
        let task = spawn(|| {
            assert_eq!(
                shield_for(HOUR, || {
                    sleep(SECOND);
                    5
                }),
                Ok(5)
            );
            assert!(is_cancelled());
            assert!(shield_for(Duration::ZERO, || ()).is_err());
            shield(yield_now);
            yield_now();
            unreachable!()
        });
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
    });
}

#[test]
fn cancelled_at_every_suspension_in_turn_no_handle_is_lost() {
    virtual_time(|| {
        let mut was_whole = false;
        for turn in 0..40 {
            let ended = Arc::new(AtomicUsize::new(0));
            let theirs = ended.clone();
            let task = spawn(move || {
                let tasks: Vec<_> = (0..4_u32)
                    .map(|n| {
                        let ended = theirs.clone();
                        spawn(move || {
                            for _ in 0..n * 2 {
                                yield_now();
                            }
                            ended.fetch_add(1, Ordering::Relaxed);
                            n
                        })
                    })
                    .collect();
                let (mut done, pending) = wait(tasks, Until::Count(2));
                done.extend(as_completed(pending));
                values(done)
            });
            for _ in 0..turn {
                yield_now();
            }
            task.cancel();
            match task.join() {
                Ok(values) => {
                    assert_eq!(values, [0, 1, 2, 3]);
                    was_whole = true;
                }
                Err(error) => assert!(error.is_cancelled()),
            }
            // Those that were spawned go on detached.
            sleep(SECOND);
            assert!(
                [0, 4].contains(&ended.load(Ordering::Relaxed)),
                "turn {turn}"
            );
        }
        assert!(was_whole);
    });
}

#[test]
fn waits_hold_under_stress_from_workers_and_threads() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let handle = runtime.handle();
        let work = move || {
            for round in 0..100_u64 {
                let tasks: Vec<_> = (0..20_u64)
                    .map(|n| {
                        handle
                            .spawn(move || {
                                for _ in 0..(n * 7 + round) % 5 {
                                    yield_now();
                                }
                                n
                            })
                            .unwrap()
                    })
                    .collect();
                let (done, pending) = wait(tasks, Until::Count(10));
                assert!(done.len() >= 10);
                let mut all: Vec<u64> = done
                    .into_iter()
                    .chain(as_completed(pending))
                    .map(|task| task.join().unwrap())
                    .collect();
                all.sort_unstable();
                assert_eq!(all, (0..20).collect::<Vec<_>>());
            }
        };
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work.clone())).collect();
        runtime.block_on(work);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
