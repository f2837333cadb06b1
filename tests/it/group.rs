//! Task groups: together to the end, or all failures back.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::coroutine::Generator;
use greenloom::task::{Builder, Failure, GroupTaskError, TaskGroup, TrySpawnError, is_cancelled};
use greenloom::time::now;
use greenloom::{RunError, Runtime, park, shield, sleep, spawn, timeout, yield_now};

mod limits;

use crate::util::{green, virtual_time};
use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The errors of a group that has failed, as texts.
fn texts<T, E: std::fmt::Display>(
    result: Result<Option<T>, greenloom::task::GroupError<E>>,
) -> Vec<String> {
    match result {
        Ok(_) => panic!("the group succeeded"),
        Err(error) => error.failures().iter().map(Failure::to_string).collect(),
    }
}

#[test]
fn tasks_borrow_and_their_values_come_back() {
    for workers in [1, 3] {
        let sum = Runtime::builder().workers(workers).run(|| {
            let numbers: Vec<u32> = (0..100).collect();
            TaskGroup::run(|group| {
                let tasks: Vec<_> = numbers
                    .iter()
                    .map(|n| {
                        group.spawn(move || {
                            yield_now();
                            Ok::<_, io::Error>(n * 2)
                        })
                    })
                    .collect();
                Ok(tasks
                    .into_iter()
                    .map(|task| task.join().unwrap())
                    .sum::<u32>())
            })
            .unwrap()
        });
        assert_eq!(sum.unwrap(), Some(9900));
    }
}

#[test]
fn errors_may_borrow_from_outside() {
    green(|| {
        let text = String::from("borrowed");
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| Err::<(), &str>(&text)));
            Ok(())
        });
        assert_eq!(texts(result), ["borrowed"]);
    });
}

#[test]
fn an_empty_group_gives_its_bodys_value() {
    green(|| {
        assert_eq!(TaskGroup::run(|_| Ok::<_, ()>(3)).unwrap(), Some(3));
        let error = TaskGroup::run(|_| Err::<(), _>("body")).unwrap_err();
        assert_eq!(error.to_string(), "the group failed: body");
    });
    // On a plain thread as well.
    assert_eq!(TaskGroup::run(|_| Ok::<_, ()>(4)).unwrap(), Some(4));
}

#[test]
fn the_first_failure_cancels_the_rest_and_the_bodys_wait() {
    virtual_time(|| {
        let begun = now();
        let ended = AtomicUsize::new(0);
        let result = TaskGroup::run(|group| {
            for _ in 0..3 {
                drop(group.spawn(|| {
                    let _guard = OnDrop(|| {
                        sleep(SECOND);
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    sleep(HOUR);
                    Ok(())
                }));
            }
            drop(group.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("first")
            }));
            let _guard = OnDrop(|| {
                ended.fetch_add(10, Ordering::Relaxed);
            });
            sleep(HOUR);
            Ok(())
        });
        assert_eq!(texts(result), ["first"]);
        assert_eq!(ended.into_inner(), 13);
        assert_eq!(now() - begun, 2 * SECOND);
        // Nothing of it is left.
        sleep(HOUR);
        assert!(!is_cancelled());
    });
}

#[test]
fn all_real_errors_come_back_in_order_and_cancellations_are_none() {
    virtual_time(|| {
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("first".to_owned())
            }));
            for n in 0..3 {
                drop(group.spawn(move || {
                    // Its own error while it is being cancelled.
                    let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                    Err::<(), _>(format!("later {n}"))
                }));
            }
            drop(group.spawn(|| -> Result<(), String> {
                let _guard = OnDrop(|| assert!(std::thread::panicking()));
                let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                panic!("on its way out")
            }));
            drop(group.spawn(|| {
                sleep(HOUR);
                Ok(())
            }));
            let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
            Err::<(), _>("the body".to_owned())
        });
        let error = result.unwrap_err();
        assert!(matches!(error.first(), Failure::Error(text) if text == "first"));
        let text = error.to_string();
        assert!(
            text.starts_with("the group failed 6 times: first; "),
            "{text}"
        );
        for part in [
            "later 0",
            "later 1",
            "later 2",
            "the body",
            "a task panicked: on its way out",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let payload = error.into_panic().unwrap();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "on its way out");
    });
}

#[test]
fn a_panic_of_a_task_is_a_failure() {
    green(|| {
        let result: Result<Option<()>, _> = TaskGroup::run(|group| {
            drop(group.spawn(|| -> Result<(), io::Error> { panic!("oh") }));
            park();
            Ok(())
        });
        let error = result.unwrap_err();
        assert!(matches!(error.failures(), [Failure::Panicked(panic)] if panic.message() == "oh"));
        assert!(!is_cancelled());
        yield_now();
    });
}

#[test]
fn a_panic_of_the_body_goes_on_when_all_have_ended() {
    virtual_time(|| {
        let ended = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            TaskGroup::run(|group| -> Result<(), &str> {
                for _ in 0..3 {
                    drop(group.spawn(|| {
                        let _guard = OnDrop(|| {
                            sleep(SECOND);
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        park();
                        Ok(())
                    }));
                }
                drop(group.spawn(|| {
                    let _ = catch_unwind(AssertUnwindSafe(park));
                    Err::<(), _>("logged")
                }));
                yield_now();
                std::panic::panic_any(7_u8)
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 7);
        assert_eq!(ended.into_inner(), 3);
        yield_now();
    });
}

#[test]
fn panics_in_task_body_and_destructor_in_every_combination() {
    virtual_time(|| {
        for mix in 0..8_u8 {
            let [in_task, in_body, in_destructor] = [1, 2, 4].map(|bit| mix & bit != 0);
            let ended = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                TaskGroup::run(|group| {
                    drop(group.spawn(|| {
                        let _guard = OnDrop(|| {
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        // Not amid an unwinding, where it would abort.
                        let guard = in_destructor.then(|| OnDrop(|| panic!("destructor")));
                        yield_now();
                        drop(guard);
                        Ok::<_, io::Error>(())
                    }));
                    drop(group.spawn(|| {
                        yield_now();
                        assert!(!in_task, "task");
                        Ok(())
                    }));
                    drop(group.spawn(|| {
                        let _guard = OnDrop(|| {
                            sleep(SECOND);
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        if mix != 0 {
                            park();
                        }
                        Ok(())
                    }));
                    sleep(Duration::ZERO);
                    assert!(!in_body, "body");
                    if mix != 0 {
                        park();
                    }
                    Ok(5)
                })
            }));
            assert_eq!(ended.into_inner(), 2, "mix {mix}");
            match caught {
                Ok(Ok(value)) => assert_eq!((value, mix), (Some(5), 0)),
                Ok(Err(error)) => {
                    assert!(!in_body);
                    assert!(
                        (1..=2).contains(&error.failures().len()),
                        "mix {mix}: {error}"
                    );
                }
                Err(payload) => {
                    assert!(in_body, "mix {mix}");
                    assert_eq!(*payload.downcast::<&str>().unwrap(), "body");
                }
            }
            assert!(!is_cancelled() && !std::thread::panicking());
            yield_now();
        }
    });
}

#[test]
fn cancel_ends_it_without_an_error_also_before_anything_started() {
    virtual_time(|| {
        let ran = AtomicBool::new(false);
        let result = TaskGroup::run(|group| {
            let early = group.spawn(|| {
                ran.store(true, Ordering::Relaxed);
                Ok::<_, io::Error>(())
            });
            group.cancel();
            assert!(group.is_cancelled());
            let late = group.spawn(|| {
                ran.store(true, Ordering::Relaxed);
                Ok(())
            });
            shield(|| {
                assert_eq!(early.join(), Err(GroupTaskError::Cancelled));
                assert_eq!(late.join(), Err(GroupTaskError::Cancelled));
            });
            let refused = group.try_spawn(|| Ok(5)).unwrap_err();
            assert!(refused.is_cancelled());
            let TrySpawnError::Cancelled(f) = refused else {
                unreachable!()
            };
            assert_eq!(f().unwrap(), 5);
            park();
            Ok(())
        });
        assert!(result.unwrap().is_none());
        // A value that the body comes to without a wait is kept.
        let result = TaskGroup::run(|group| {
            group.cancel();
            Ok::<_, ()>(9)
        });
        assert_eq!(result.unwrap(), Some(9));
        // From a task.
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                sleep(SECOND);
                group.cancel();
                Ok::<_, ()>(())
            }));
            drop(group.spawn(|| {
                sleep(HOUR);
                Ok(())
            }));
            Ok(())
        });
        // The body had its value; the tasks were cut short.
        assert_eq!(result.unwrap(), Some(()));
        assert!(!ran.into_inner());
    });
}

#[test]
fn a_failure_during_a_cancelled_groups_end_is_an_error() {
    green(|| {
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                let _ = catch_unwind(AssertUnwindSafe(park));
                Err::<(), _>("cleanup")
            }));
            yield_now();
            group.cancel();
            park();
            Ok(())
        });
        assert_eq!(texts(result), ["cleanup"]);
    });
}

#[test]
fn one_task_alone_is_cancelled_without_harm() {
    green(|| {
        let result = TaskGroup::run(|group| {
            let alone = group.spawn(|| {
                park();
                Ok::<_, io::Error>(())
            });
            let other = group.spawn(|| {
                yield_now();
                Ok(3)
            });
            yield_now();
            alone.cancel();
            assert_eq!(alone.join(), Err(GroupTaskError::Cancelled));
            Ok(other.join().unwrap())
        });
        assert_eq!(result.unwrap(), Some(3));
    });
}

#[test]
fn a_shielded_join_sees_the_failure() {
    green(|| {
        let result = TaskGroup::run(|group| {
            let task = group.spawn(|| Err::<(), _>("seen"));
            shield(|| assert_eq!(task.join(), Err(GroupTaskError::Failed)));
            assert!(is_cancelled() && group.is_cancelled());
            Ok(())
        });
        assert_eq!(texts(result), ["seen"]);
    });
}

#[test]
fn an_outer_cancellation_reaches_all_and_goes_on_when_they_have_ended() {
    virtual_time(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        for stage in 0..2 {
            let theirs = ended.clone();
            let task = spawn(move || {
                let _ = TaskGroup::run(|group| {
                    for _ in 0..3 {
                        drop(group.spawn(|| {
                            let _guard = OnDrop(|| {
                                sleep(SECOND);
                                theirs.fetch_add(1, Ordering::Relaxed);
                            });
                            sleep(HOUR);
                            Ok::<_, io::Error>(())
                        }));
                    }
                    // In the body, or in the wait for the tasks.
                    if stage == 0 {
                        park();
                    }
                    Ok(())
                });
                unreachable!("the cancellation goes on");
            });
            sleep(SECOND);
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(ended.swap(0, Ordering::Relaxed), 3);
        }
    });
}

#[test]
fn real_errors_win_over_an_outer_time_out_and_the_next_wait_unwinds() {
    virtual_time(|| {
        for is_in_body in [true, false] {
            let seen = AtomicBool::new(false);
            let result = timeout(SECOND, || {
                let result = TaskGroup::run(|group| {
                    drop(group.spawn(|| {
                        let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                        Err::<(), _>("real")
                    }));
                    if is_in_body {
                        park();
                    }
                    Ok(())
                });
                assert_eq!(texts(result), ["real"]);
                seen.store(true, Ordering::Relaxed);
                assert!(is_cancelled());
                yield_now();
                unreachable!();
            });
            assert!(result.is_err());
            assert!(seen.into_inner());
            sleep(SECOND);
        }
    });
}

#[test]
fn groups_nest_and_pass_their_errors_up() {
    virtual_time(|| {
        let result = TaskGroup::run(|outer| {
            drop(outer.spawn(|| {
                let inner = TaskGroup::run(|inner| {
                    for n in 0..3 {
                        drop(inner.spawn(move || {
                            sleep(SECOND * (n + 1));
                            if n == 1 { Err(n) } else { Ok(()) }
                        }));
                    }
                    Ok(())
                });
                inner.map(drop).map_err(|error| error.to_string())
            }));
            drop(outer.spawn(|| -> Result<(), String> {
                // A group in a group: cancelled by its parent.
                let _ = TaskGroup::run(|inner| {
                    drop(inner.spawn(|| {
                        sleep(HOUR);
                        Ok::<_, ()>(())
                    }));
                    Ok(())
                });
                unreachable!()
            }));
            Ok(())
        });
        assert_eq!(texts(result), ["the group failed: 1"]);
    });
}

#[test]
fn a_time_out_in_the_body_is_not_mistaken_for_the_groups_end() {
    virtual_time(|| {
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                sleep(2 * SECOND);
                Err::<(), _>("late")
            }));
            assert!(timeout(SECOND, || sleep(HOUR)).is_err());
            // And the group's end passes through a time-out that is not due.
            let _ = timeout(HOUR, || sleep(2 * HOUR));
            unreachable!()
        });
        let _: Result<Option<()>, _> =
            result.map_err(|error| assert_eq!(error.to_string(), "the group failed: late"));
    });
}

#[test]
fn tasks_spawn_into_their_own_group() {
    fn tree<'scope>(
        group: &'scope TaskGroup<'scope, '_, io::Error>,
        count: &'scope AtomicUsize,
        depth: u32,
    ) {
        count.fetch_add(1, Ordering::Relaxed);
        if depth > 0 {
            for _ in 0..2 {
                drop(group.spawn(move || {
                    tree(group, count, depth - 1);
                    Ok(())
                }));
            }
        }
    }
    for workers in [1, 3] {
        let count = AtomicUsize::new(0);
        Runtime::builder()
            .workers(workers)
            .run(|| {
                TaskGroup::run(|group| {
                    tree(group, &count, 9);
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        assert_eq!(count.into_inner(), 1023);
    }
}

#[test]
fn named_tasks_are_seen_in_the_deadlock_report() {
    watched(|| {
        let result = Runtime::builder().workers(1).closed_world().run(|| {
            TaskGroup::run(|group| {
                for name in ["ann", "bob"] {
                    let builder = Builder::new().name(name);
                    drop(group.spawn_with(builder, || {
                        park();
                        Ok::<_, io::Error>(())
                    }));
                }
                Ok(())
            })
        });
        let Err(RunError::Panicked(payload)) = result else {
            panic!("another end");
        };
        let text = payload.downcast_ref::<String>().unwrap();
        for part in ["task.group", "2 tasks: task ", "(ann)", "(bob)"] {
            assert!(text.contains(part), "{text}");
        }
    });
}

#[test]
fn a_generator_that_suspends_inside_a_group_panics() {
    green(|| {
        let generator = Generator::<u8>::new(|y| {
            let _ = TaskGroup::run(|_| {
                y.suspend(1);
                Ok::<_, ()>(())
            });
        });
        let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("TaskGroup::run"), "{text}");
    });
}

#[test]
fn on_a_plain_thread_tasks_are_cancelled_and_errors_come_back() {
    watched(|| {
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                park();
                Ok(())
            }));
            let task = group.spawn(|| Err::<(), _>("there"));
            assert_eq!(task.join(), Err(GroupTaskError::Failed));
            Ok(())
        });
        assert_eq!(texts(result), ["there"]);
    });
}

#[test]
fn a_join_of_what_has_failed_already_unwinds_as_a_wait_would() {
    green(|| {
        let result = TaskGroup::run(|group| {
            let task = group.spawn(|| Err::<(), _>("early"));
            shield(yield_now);
            assert!(task.is_finished());
            task.join().expect("not seen");
            unreachable!()
        });
        let result: Result<Option<()>, _> = result;
        assert_eq!(texts(result), ["early"]);
    });
}
