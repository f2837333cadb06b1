//! What CPython's Lib/test/test_asyncio/test_taskgroups.py checks, for `TaskGroup`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::task::{Failure, GroupError, TaskGroup};
use greenloom::{shield, sleep, spawn, timeout, yield_now};

use crate::util::virtual_time;
use crate::watch::OnDrop;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1000);

fn texts(error: &GroupError<&str>) -> Vec<String> {
    error.failures().iter().map(Failure::to_string).collect()
}

/// test_taskgroup_01, _02, _03: values, a task that is waited for inside, one that is cancelled inside.
#[test]
fn values_of_tasks_are_had_inside_and_a_cancelled_child_is_no_error() {
    virtual_time(|| {
        let result = TaskGroup::run(|group| {
            let first = group.spawn(|| {
                sleep(SECOND);
                Ok::<_, &str>(42)
            });
            let other = group.spawn(|| {
                sleep(2 * SECOND);
                Ok(11)
            });
            let third = group.spawn(|| {
                sleep(LONG);
                Ok(())
            });
            sleep(SECOND / 2);
            third.cancel();
            Ok(first.join().unwrap() + other.join().unwrap())
        });
        assert_eq!(result.unwrap(), Some(53));
    });
}

/// test_taskgroup_04, _05: the sibling and the body are cancelled; an error of the body's own clean-up joins.
#[test]
fn the_bodys_own_error_on_its_way_out_is_in_the_list() {
    virtual_time(|| {
        let cancelled = AtomicUsize::new(0);
        let error = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("division by zero")
            }));
            drop(group.spawn(|| {
                let _guard = OnDrop(|| {
                    cancelled.fetch_add(1, Ordering::Relaxed);
                });
                sleep(LONG);
                Ok(())
            }));
            let caught = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
            assert!(caught.is_err());
            Err::<(), _>("in the body")
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["division by zero", "in the body"]);
        assert_eq!(cancelled.into_inner(), 1);
    });
}

/// test_taskgroup_06, _07, _17: cancelled from outside while the body sleeps or the group waits.
#[test]
fn cancelled_from_outside_all_are_and_the_cancellation_goes_on() {
    virtual_time(|| {
        for is_body_asleep in [true, false] {
            let seen = Arc::new(AtomicUsize::new(0));
            let theirs = seen.clone();
            let task = spawn(move || {
                let _ = TaskGroup::run(|group| {
                    for _ in 0..2 {
                        drop(group.spawn(|| {
                            let _guard = OnDrop(|| {
                                theirs.fetch_add(1, Ordering::Relaxed);
                            });
                            sleep(LONG);
                            Ok::<_, &str>(())
                        }));
                    }
                    if is_body_asleep {
                        let _guard = OnDrop(|| {
                            // A clean-up that takes its time.
                            sleep(SECOND);
                            theirs.fetch_add(10, Ordering::Relaxed);
                        });
                        sleep(LONG);
                    }
                    Ok(())
                });
            });
            sleep(SECOND);
            assert!(task.cancel_and_join().unwrap_err().is_cancelled());
            let expected = if is_body_asleep { 12 } else { 2 };
            assert_eq!(seen.load(Ordering::Relaxed), expected);
        }
    });
}

/// test_taskgroup_08, _18: errors that the cancelled tasks come to are raised instead of the cancellation.
#[test]
fn errors_of_tasks_cancelled_from_outside_are_returned() {
    virtual_time(|| {
        let task = spawn(|| {
            let error = TaskGroup::run(|group| {
                drop(group.spawn(|| {
                    let _ = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
                    Err::<(), _>("crash_after_cancel")
                }));
                sleep(LONG);
                Ok(())
            })
            .unwrap_err();
            texts(&error)
        });
        sleep(SECOND);
        assert_eq!(task.cancel_and_join().unwrap(), ["crash_after_cancel"]);
    });
}

/// test_taskgroup_09, _10: the body fails first.
#[test]
fn a_failing_body_cancels_the_tasks() {
    virtual_time(|| {
        let seen = Mutex::new(Vec::new());
        let error = TaskGroup::run(|group| {
            for n in 0..2 {
                let seen = &seen;
                drop(group.spawn(move || {
                    let _guard = OnDrop(|| seen.lock().unwrap().push(n));
                    sleep(LONG);
                    Ok(())
                }));
            }
            yield_now();
            Err::<(), _>("body")
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["body"]);
        assert_eq!(*seen.lock().unwrap(), [0, 1]);
    });
}

/// test_taskgroup_11 to _14: a group in a group, with the cancellation from outside and the error from inside.
#[test]
fn nested_groups_hand_errors_out_and_cancellations_in() {
    virtual_time(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let theirs = ended.clone();
        let task = spawn(move || {
            let _ = TaskGroup::run(|outer| {
                drop(outer.spawn(|| {
                    let _guard = OnDrop(|| {
                        theirs.fetch_add(1, Ordering::Relaxed);
                    });
                    sleep(LONG);
                    Ok::<_, &str>(())
                }));
                TaskGroup::run(|inner| {
                    drop(inner.spawn(|| {
                        let _guard = OnDrop(|| {
                            theirs.fetch_add(1, Ordering::Relaxed);
                        });
                        sleep(LONG);
                        Ok::<_, &str>(())
                    }));
                    Ok(())
                })
                .map(drop)
                .map_err(|_| "inner")
            });
        });
        sleep(SECOND);
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
        assert_eq!(ended.load(Ordering::Relaxed), 2);
        let error = TaskGroup::run(|outer| {
            drop(outer.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("outer")
            }));
            // The outer's failure unwinds the inner group, which stands in the outer's body.
            let _: Result<Option<()>, GroupError<&str>> = TaskGroup::run(|_| {
                sleep(LONG);
                Ok(())
            });
            unreachable!();
            #[expect(unreachable_code, reason = "the type of the body's value")]
            Ok(())
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["outer"]);
    });
}

/// test_taskgroup_15, _16: a failure meets a body that is shielded, and ends it after that.
#[test]
fn a_shielded_stretch_of_the_body_is_finished() {
    virtual_time(|| {
        let finished = AtomicUsize::new(0);
        let error = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("early")
            }));
            shield(|| {
                sleep(3 * SECOND);
                finished.fetch_add(1, Ordering::Relaxed);
            });
            sleep(LONG);
            finished.fetch_add(10, Ordering::Relaxed);
            Ok(())
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["early"]);
        assert_eq!(finished.into_inner(), 1);
    });
}

/// test_taskgroup_21, _22, _24: what the group has cancelled leaves no cancellation behind.
#[test]
fn nothing_is_left_of_a_group_that_has_failed() {
    virtual_time(|| {
        for _ in 0..50 {
            let error = TaskGroup::run(|group| {
                drop(group.spawn(|| Err::<(), _>("fast")));
                sleep(LONG);
                Ok(())
            })
            .unwrap_err();
            assert_eq!(texts(&error), ["fast"]);
            sleep(SECOND);
            assert_eq!(timeout(LONG, || 1), Ok(1));
        }
    });
}

/// test_taskgroup_23: tasks that have ended before the group does are no trouble.
#[test]
fn tasks_may_end_before_the_body() {
    virtual_time(|| {
        let result = TaskGroup::run(|group| {
            let task = group.spawn(|| Ok::<_, &str>(1));
            sleep(SECOND);
            assert!(task.is_finished());
            Ok(task.join().unwrap())
        });
        assert_eq!(result.unwrap(), Some(1));
    });
}

/// test_taskgroup_cancel_*: the newest addition: cancel is idempotent, works before any task and from tasks.
#[test]
fn cancel_may_be_said_twice_before_and_from_inside() {
    virtual_time(|| {
        let result = TaskGroup::run(|group| {
            group.cancel();
            group.cancel();
            drop(group.spawn(|| Err::<(), _>("never starts")));
            sleep(LONG);
            Ok(())
        });
        assert!(result.unwrap().is_none());
        let result = TaskGroup::run(|group| {
            drop(group.spawn(|| {
                group.cancel();
                // The one that says it is cancelled as well.
                sleep(LONG);
                Ok::<_, &str>(())
            }));
            sleep(LONG);
            Ok(())
        });
        assert!(result.unwrap().is_none());
        // And a failure after it is a failure.
        let result: Result<Option<()>, _> = TaskGroup::run(|group| {
            group.cancel();
            Err("body")
        });
        assert_eq!(texts(&result.unwrap_err()), ["body"]);
    });
}
