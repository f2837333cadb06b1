//! Cancel tokens and the scopes under them: told to all, once, in order, and left in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::channel::unbounded;
use greenloom::coroutine::Generator;
use greenloom::task::{CancelToken, cancel_scope, checkpoint, is_cancelled, with_token};
use greenloom::time::now;
use greenloom::{Runtime, park, scope, shield, sleep, spawn, timeout, yield_now};

use crate::util::{green, virtual_time};
use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_token_wakes_who_waits_in_order_of_coming() {
    green(|| {
        let token = CancelToken::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let (token, order) = (token.clone(), order.clone());
                spawn(move || {
                    token.wait();
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        yield_now();
        // One in the middle leaves its place, and another takes it at the end of the line.
        tasks[7].cancel();
        yield_now();
        let (theirs, last) = (token.clone(), order.clone());
        let late = spawn(move || {
            theirs.wait();
            last.lock().unwrap().push(20);
        });
        yield_now();
        assert!(token.cancel());
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().is_err(), n == 7);
        }
        late.join().unwrap();
        let expected: Vec<_> = (0..=20).filter(|n| *n != 7).collect();
        assert_eq!(*order.lock().unwrap(), expected);
        token.wait();
    });
}

#[test]
fn a_wait_for_a_token_has_a_limit() {
    virtual_time(|| {
        let token = CancelToken::new();
        let begun = now();
        assert!(!token.wait_timeout(SECOND));
        assert!(!token.wait_timeout(Duration::ZERO));
        assert_eq!(now() - begun, SECOND);
        let theirs = token.clone();
        drop(spawn(move || {
            sleep(SECOND);
            theirs.cancel();
        }));
        assert!(token.wait_timeout(Duration::MAX));
        assert_eq!(now() - begun, 2 * SECOND);
        assert!(token.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn the_first_reason_stays_and_reaches_the_children() {
    let root = CancelToken::new();
    let child = root.child();
    let grandchild = child.child();
    let other = root.child();
    assert!(other.cancel_with("its own"));
    assert!(root.cancel_with("closing"));
    assert!(!child.cancel_with("too late"));
    assert_eq!(child.reason().unwrap().to_string(), "closing");
    assert_eq!(grandchild.reason().unwrap().to_string(), "closing");
    assert_eq!(other.reason().unwrap().to_string(), "its own");
    // Born too late.
    let late = grandchild.child();
    assert!(late.is_cancelled());
    assert_eq!(late.reason().unwrap().to_string(), "closing");
    assert!(root != child && root == root.clone());
}

#[test]
fn a_child_alone_leaves_its_parent_alone() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    left.cancel();
    assert!(left.is_cancelled() && left.reason().is_none());
    assert!(!right.is_cancelled() && !root.is_cancelled());
}

#[test]
fn a_long_chain_is_cancelled_and_dropped_on_a_small_stack() {
    green(|| {
        for is_cancelled in [false, true] {
            let root = CancelToken::new();
            let mut chain = root.clone();
            for _ in 0..100_000 {
                chain = chain.child();
            }
            if is_cancelled {
                root.cancel();
                assert!(chain.is_cancelled());
            }
            drop(root);
            drop(chain);
        }
        // The parents live as long as their children: an ancestor that nobody holds still passes it on.
        let root = CancelToken::new();
        let leaf = root.child().child();
        root.cancel();
        assert!(leaf.is_cancelled());
    });
}

#[test]
fn a_cancelled_token_unwinds_every_kind_of_wait() {
    virtual_time(|| {
        let waits: [fn(); 5] = [
            park,
            || sleep(HOUR),
            || {
                let (_sender, receiver) = unbounded::<()>();
                let _ = receiver.recv();
            },
            || CancelToken::new().wait(),
            || spawn(park).join().unwrap(),
        ];
        for wait in waits {
            let token = CancelToken::new();
            let theirs = token.clone();
            let canceller = spawn(move || {
                sleep(SECOND);
                theirs.cancel_with("enough");
            });
            let drops = AtomicUsize::new(0);
            let result = with_token(&token, || {
                let _guard = OnDrop(|| {
                    // Destructors may wait.
                    sleep(SECOND);
                    drops.fetch_add(1, Ordering::Relaxed);
                });
                wait();
            });
            assert_eq!(result.unwrap_err().reason().unwrap().to_string(), "enough");
            assert_eq!(drops.into_inner(), 1);
            canceller.join().unwrap();
            // Nothing is left of it.
            yield_now();
            sleep(SECOND);
        }
    });
}

#[test]
fn a_cancelled_token_never_starts_and_a_value_wins() {
    green(|| {
        let token = CancelToken::new();
        let value = with_token(&token, || {
            token.cancel();
            assert!(is_cancelled());
            7
        });
        assert_eq!(value.unwrap(), 7);
        let error = with_token(&token, || unreachable!()).unwrap_err();
        assert!(!error.is_elapsed() && error.reason().is_none());
        assert_eq!(error.to_string(), "the scope was cancelled");
    });
}

#[test]
fn inside_a_cancelled_scope_every_wait_unwinds_again() {
    green(|| {
        let token = CancelToken::new();
        let result = with_token(&token, || {
            token.cancel();
            for _ in 0..5 {
                assert!(catch_unwind(AssertUnwindSafe(yield_now)).is_err());
                assert!(catch_unwind(checkpoint).is_err());
            }
            shield(yield_now);
            yield_now();
        });
        assert!(result.is_err());
        yield_now();
    });
}

#[test]
fn shields_keep_it_out_until_they_are_left() {
    virtual_time(|| {
        let token = CancelToken::new();
        let theirs = token.clone();
        drop(spawn(move || theirs.cancel()));
        let steps = AtomicUsize::new(0);
        let result = with_token(&token, || {
            shield(|| {
                sleep(SECOND);
                assert!(!is_cancelled());
                // A scope inside of the shield works.
                assert!(timeout(SECOND, || sleep(HOUR)).is_err());
                assert!(with_token(&token, || ()).is_err());
                steps.fetch_add(1, Ordering::Relaxed);
            });
            sleep(SECOND);
            steps.fetch_add(10, Ordering::Relaxed);
        });
        assert!(result.is_err());
        assert_eq!(steps.into_inner(), 1);
    });
}

/// What a nest of scopes is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Timeout,
    Token,
    Scope,
}

/// Enters a scope of this kind that ends after so many seconds; true if it ended that way.
fn ended(kind: Kind, seconds: u32, f: impl FnOnce()) -> bool {
    let limit = SECOND * seconds;
    match kind {
        Kind::Timeout => timeout(limit, f).is_err(),
        Kind::Token => {
            let token = CancelToken::new();
            let theirs = token.clone();
            let timer = spawn(move || {
                sleep(limit);
                theirs.cancel();
            });
            let _end = OnDrop(|| timer.cancel());
            with_token(&token, f).is_err()
        }
        Kind::Scope => cancel_scope(|scope| {
            scope.set_timeout(limit);
            f();
        })
        .is_err(),
    }
}

#[test]
fn scopes_nest_in_every_order_and_the_outermost_that_is_due_reports() {
    use Kind::{Scope, Timeout, Token};
    virtual_time(|| {
        let kinds = [Timeout, Token, Scope];
        for outer in kinds {
            for middle in kinds {
                for inner in kinds {
                    for (a, b, c) in [
                        (1, 2, 3),
                        (3, 2, 1),
                        (2, 1, 3),
                        (2, 3, 1),
                        (1, 3, 2),
                        (3, 1, 2),
                    ] {
                        let begun = now();
                        let log = Mutex::new(Vec::new());
                        let is_outer = ended(outer, a, || {
                            let is_middle = ended(middle, b, || {
                                let is_inner = ended(inner, c, || sleep(HOUR));
                                log.lock().unwrap().push((c, is_inner));
                                sleep(HOUR);
                            });
                            log.lock().unwrap().push((b, is_middle));
                            sleep(HOUR);
                        });
                        assert!(is_outer);
                        assert_eq!(now() - begun, SECOND * a);
                        let mut expected = Vec::new();
                        if c < b && c < a {
                            expected.push((c, true));
                        }
                        if b < a {
                            expected.push((b, true));
                        }
                        let log = log.into_inner().unwrap();
                        assert_eq!(log, expected, "{outer:?} {middle:?} {inner:?} {a} {b} {c}");
                    }
                }
            }
        }
    });
}

#[test]
fn the_outer_that_becomes_due_while_the_inner_cleans_up_reports() {
    virtual_time(|| {
        for outer in [Kind::Timeout, Kind::Token, Kind::Scope] {
            for inner in [Kind::Timeout, Kind::Token, Kind::Scope] {
                let begun = now();
                let is_ended = ended(outer, 2, || {
                    let is_ended = ended(inner, 1, || {
                        let _guard = OnDrop(|| sleep(5 * SECOND));
                        sleep(HOUR);
                    });
                    unreachable!("{outer:?} {inner:?} {is_ended}");
                });
                assert!(is_ended);
                assert_eq!(now() - begun, 6 * SECOND, "{outer:?} {inner:?}");
            }
        }
    });
}

#[test]
fn a_deadline_can_be_moved_both_ways() {
    virtual_time(|| {
        let begun = now();
        let result = cancel_scope(|scope| {
            scope.set_timeout(SECOND);
            scope.set_timeout(3 * SECOND);
            sleep(2 * SECOND);
            scope.set_deadline(begun + 4 * SECOND);
            sleep(SECOND);
            scope.set_timeout(Duration::MAX);
            sleep(10 * SECOND);
            scope.set_deadline(begun);
            sleep(HOUR);
        });
        let error = result.unwrap_err();
        assert!(error.is_elapsed());
        assert_eq!(error.to_string(), "the scope's deadline passed");
        assert_eq!(now() - begun, 13 * SECOND);
        // Taken back in time, in the section that would have been cut short.
        let value = cancel_scope(|scope| {
            scope.set_timeout(SECOND);
            shield(|| sleep(2 * SECOND));
            assert!(is_cancelled());
            scope.set_timeout(HOUR);
            sleep(SECOND);
            5
        });
        assert_eq!(value.unwrap(), 5);
    });
}

#[test]
fn a_scope_is_cancelled_from_inside_and_from_elsewhere() {
    green(|| {
        let result = cancel_scope(|scope| {
            assert!(scope.cancel_with("found it"));
            assert!(scope.is_cancelled());
            yield_now();
        });
        assert_eq!(
            result.unwrap_err().to_string(),
            "the scope was cancelled: found it"
        );
        let result = cancel_scope(|scope| {
            let token = scope.token().clone();
            let thread = std::thread::spawn(move || token.cancel());
            park();
            drop(thread);
        });
        assert!(result.is_err());
    });
}

#[test]
fn a_panic_inside_wins_over_the_cancellation() {
    green(|| {
        let token = CancelToken::new();
        let payload = catch_unwind(AssertUnwindSafe(|| {
            with_token(&token, || {
                token.cancel();
                std::panic::panic_any(7_u8);
            })
        }));
        assert_eq!(*payload.unwrap_err().downcast::<u8>().unwrap(), 7);
        // In a destructor, while the cancellation unwinds: the process would abort; caught there it is well.
        let result = with_token(&CancelToken::new(), || {
            let token = CancelToken::new();
            with_token(&token, || {
                let _guard = OnDrop(|| {
                    let caught = catch_unwind(|| panic!("in cleanup"));
                    assert!(caught.is_err());
                });
                token.cancel();
                yield_now();
            })
        });
        assert!(result.unwrap().is_err());
        yield_now();
    });
}

#[test]
fn scopes_work_in_destructors_of_an_unwinding_task() {
    virtual_time(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let theirs = seen.clone();
        let task = spawn(move || {
            let _guard = OnDrop(|| {
                let token = CancelToken::new();
                let canceller = token.clone();
                drop(spawn(move || canceller.cancel()));
                assert!(with_token(&token, || sleep(HOUR)).is_err());
                let result = cancel_scope(|scope| {
                    scope.set_timeout(SECOND);
                    sleep(HOUR);
                });
                assert!(result.unwrap_err().is_elapsed());
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            park();
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_generator_that_suspends_inside_such_a_scope_panics() {
    green(|| {
        let by_token = Generator::<u8>::new(|y| {
            let _ = with_token(&CancelToken::new(), || y.suspend(1));
        });
        let by_scope = Generator::<u8>::new(|y| {
            let _ = cancel_scope(|_| y.suspend(1));
        });
        for (name, generator) in [("with_token", by_token), ("cancel_scope", by_scope)] {
            let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
            let text = payload.downcast_ref::<String>().unwrap();
            assert!(text.contains(name), "{text}");
        }
        // One that is entered and left between two suspensions is fine, and it may wait inside.
        let generator = Generator::<u8>::new(|y| {
            for n in 0..3 {
                let value = with_token(&CancelToken::new(), || {
                    yield_now();
                    n
                });
                y.suspend(value.unwrap());
            }
        });
        assert_eq!(generator.collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn on_a_plain_thread_a_scope_runs_to_its_end() {
    let token = CancelToken::new();
    let value = with_token(&token, || {
        token.cancel();
        sleep(Duration::from_millis(1));
        3
    });
    assert_eq!(value.unwrap(), 3);
    let value = cancel_scope(|scope| {
        scope.set_timeout(Duration::ZERO);
        sleep(Duration::from_millis(1));
        4
    });
    assert_eq!(value.unwrap(), 4);
    assert!(with_token(&token, || ()).is_err());
}

#[test]
fn a_token_reaches_the_tasks_of_a_scope_by_their_parent() {
    virtual_time(|| {
        let token = CancelToken::new();
        let theirs = token.clone();
        drop(spawn(move || {
            sleep(SECOND);
            theirs.cancel();
        }));
        let ended = AtomicUsize::new(0);
        let result = with_token(&token, || {
            scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        let _guard = OnDrop(|| {
                            sleep(SECOND);
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        park();
                    });
                }
            });
        });
        assert!(result.is_err());
        assert_eq!(ended.into_inner(), 3);
    });
}

/// What may be cut short at any of its waits: it must count its steps and clean up exactly.
fn steps(count: &AtomicUsize, cleaned: &AtomicUsize) -> usize {
    let _guard = OnDrop(|| {
        yield_now();
        cleaned.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..3 {
        yield_now();
        count.fetch_add(1, Ordering::Relaxed);
        let _ = timeout(HOUR, yield_now);
        count.fetch_add(1, Ordering::Relaxed);
        shield(yield_now);
        count.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(1));
        count.fetch_add(1, Ordering::Relaxed);
    }
    count.load(Ordering::Relaxed)
}

#[test]
fn cancelled_at_every_suspension_in_turn_it_ends_there_and_cleans_up() {
    virtual_time(|| {
        let mut last = None;
        for turn in 0..100 {
            let token = CancelToken::new();
            let (count, cleaned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let task = {
                let (token, count, cleaned) = (token.clone(), count.clone(), cleaned.clone());
                spawn(move || with_token(&token, || steps(&count, &cleaned)))
            };
            for _ in 0..turn {
                yield_now();
                if turn % 2 == 1 {
                    sleep(Duration::from_micros(300));
                }
            }
            token.cancel();
            let result = task.join().unwrap();
            let done = count.load(Ordering::Relaxed);
            assert_eq!(
                cleaned.load(Ordering::Relaxed),
                usize::from(turn > 0),
                "turn {turn}"
            );
            match result {
                Ok(value) => assert_eq!((value, done), (12, 12)),
                Err(_) => assert!(done < 12),
            }
            last = Some(done);
        }
        assert_eq!(last, Some(12));
    });
}

#[test]
fn tokens_hold_under_stress_from_workers_and_threads() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        for round in 0..200 {
            let root = CancelToken::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let token = root.child();
                    std::thread::spawn(move || {
                        token.wait();
                        token.reason().is_some()
                    })
                })
                .collect();
            let token = root.clone();
            let cancelled = runtime.block_on(move || {
                let tasks: Vec<_> = (0..8)
                    .map(|n| {
                        let token = token.child();
                        spawn(move || {
                            // Some loop through waits that end by themselves, some wait for the end.
                            with_token(&token, || {
                                loop {
                                    if n % 2 == 0 {
                                        yield_now();
                                    } else {
                                        let _ = timeout(Duration::from_micros(50), park);
                                    }
                                }
                            })
                            .map_err(|error: greenloom::task::ScopeCancelled| {
                                error.reason().is_some()
                            })
                            .map(|never: std::convert::Infallible| never)
                        })
                    })
                    .collect();
                if round % 2 == 0 {
                    let token = token.clone();
                    std::thread::spawn(move || token.cancel_with("thread"));
                } else {
                    yield_now();
                    token.cancel_with("task");
                }
                tasks
                    .into_iter()
                    .map(|task| task.join().unwrap().unwrap_err())
                    .filter(|has_reason| *has_reason)
                    .count()
            });
            assert_eq!(cancelled, 8);
            for thread in threads {
                assert!(thread.join().unwrap());
            }
        }
    });
}

#[test]
fn a_token_is_an_arm_of_select() {
    virtual_time(|| {
        let token = CancelToken::new();
        let (sender, receiver) = unbounded::<u8>();
        let theirs = token.child();
        let begun = now();
        drop(spawn(move || {
            sleep(SECOND);
            sender.send(1).unwrap();
            sleep(SECOND);
            token.cancel();
            // It lives on: only the token ends the loop.
            sleep(HOUR);
            drop(sender);
        }));
        let mut seen = 0;
        loop {
            greenloom::select! {
                recv(receiver) -> value => seen += value.unwrap(),
                wait(theirs) => break,
            }
        }
        assert_eq!((seen, now() - begun), (1, 2 * SECOND));
        // One that is cancelled already is ready.
        let is_cancelled = greenloom::select! {
            wait(theirs) => true,
            default => false,
        };
        assert!(is_cancelled);
        let other = CancelToken::new();
        let is_late = greenloom::select! {
            wait(other) => false,
            timeout(SECOND) => true,
        };
        assert!(is_late);
    });
}

#[test]
fn a_select_over_a_token_is_cancelled_and_hit_under_stress() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(|| {
            for round in 0..300 {
                let token = CancelToken::new();
                let (sender, receiver) = unbounded::<u8>();
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let (token, receiver) = (token.child(), receiver.clone());
                        spawn(move || {
                            greenloom::select! {
                                recv(receiver) -> value => value.is_ok(),
                                wait(token) => false,
                            }
                        })
                    })
                    .collect();
                let canceller = spawn(move || token.cancel());
                if round % 2 == 0 {
                    tasks[0].cancel();
                }
                // A value is taken once or is still there.
                sender.send(1).unwrap();
                let taken = tasks
                    .into_iter()
                    .filter_map(|task| task.join().ok())
                    .filter(|got| *got)
                    .count();
                assert_eq!(taken + receiver.len(), 1);
                canceller.join().unwrap();
            }
        });
    });
}
