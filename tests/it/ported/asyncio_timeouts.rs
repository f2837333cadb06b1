//! What CPython's Lib/test/test_asyncio/test_timeouts.py and test_waitfor.py check, for `timeout`,
//! `cancel_scope` and `wait_for`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{cancel_scope, is_cancelled};
use greenloom::time::{deadline, now};
use greenloom::{park, sleep, spawn, timeout, yield_now};

use crate::util::virtual_time;
use crate::watch::OnDrop;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1000);

/// test_timeout_basic, test_timeout_at_basic.
#[test]
fn the_block_is_left_at_the_time_said() {
    virtual_time(|| {
        let begun = now();
        assert!(timeout(SECOND, || sleep(LONG)).is_err());
        assert_eq!(now() - begun, SECOND);
        assert!(deadline(begun + 3 * SECOND, || sleep(LONG)).is_err());
        assert_eq!(now() - begun, 3 * SECOND);
    });
}

/// test_timeout_disabled, test_timeout_not_called.
#[test]
fn without_a_limit_or_within_it_the_value_comes_out() {
    virtual_time(|| {
        assert_eq!(timeout(Duration::MAX, || sleep(LONG)), Ok(()));
        assert_eq!(timeout(2 * LONG, || sleep(LONG)), Ok(()));
        assert_eq!(cancel_scope(|_| sleep(LONG)).unwrap(), ());
        sleep(4 * LONG);
    });
}

/// test_timeout_zero, test_timeout_in_the_past: theirs begins the block, ours does not.
#[test]
fn one_in_the_past_is_expired_from_the_beginning() {
    virtual_time(|| {
        let begun = now();
        assert!(timeout(Duration::ZERO, || sleep(LONG)).is_err());
        assert!(deadline(begun - SECOND, || sleep(LONG)).is_err());
        // A scope that is given such a deadline inside behaves as theirs: the next wait is the end.
        let steps = AtomicUsize::new(0);
        let result = cancel_scope(|scope| {
            scope.set_deadline(begun - SECOND);
            steps.fetch_add(1, Ordering::Relaxed);
            yield_now();
            steps.fetch_add(1, Ordering::Relaxed);
        });
        assert!(result.unwrap_err().is_elapsed());
        assert_eq!(steps.into_inner(), 1);
        assert_eq!(now(), begun);
    });
}

/// test_foreign_exception_passed.
#[test]
fn a_foreign_panic_passes() {
    virtual_time(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            timeout(SECOND, || std::panic::panic_any(3))
        }));
        assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 3);
        assert!(!is_cancelled());
    });
}

/// test_foreign_cancel_doesnt_timeout_if_not_expired, test_outer_task_is_not_cancelled.
#[test]
fn a_cancellation_of_the_task_is_no_time_out() {
    virtual_time(|| {
        let task = spawn(|| {
            let result = timeout(LONG, || sleep(LONG));
            unreachable!("{result:?}");
        });
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
        // And the other way round: the task of an expired one goes on.
        let task = spawn(|| {
            assert!(timeout(SECOND, || sleep(LONG)).is_err());
            sleep(SECOND);
            5
        });
        assert_eq!(task.join().unwrap(), 5);
    });
}

/// test_nested_timeouts, test_nested_timeouts_concurrent.
#[test]
fn of_two_that_expire_together_only_the_outer_reports() {
    virtual_time(|| {
        let begun = now();
        let reported = AtomicUsize::new(0);
        let outer = timeout(SECOND, || {
            let inner = timeout(SECOND, || sleep(LONG));
            reported.fetch_add(usize::from(inner.is_err()), Ordering::Relaxed);
        });
        assert!(outer.is_err());
        assert_eq!(reported.into_inner(), 0);
        assert_eq!(now() - begun, SECOND);
    });
}

/// test_nested_timeouts_loop_busy: the inner expires, and while the thread is busy so does the outer.
#[test]
fn an_outer_that_expires_while_the_inner_is_left_reports() {
    virtual_time(|| {
        let outer = timeout(2 * SECOND, || {
            let inner = timeout(SECOND, || {
                let _busy = OnDrop(|| sleep(3 * SECOND));
                sleep(LONG);
            });
            unreachable!("{inner:?}");
        });
        assert!(outer.is_err());
    });
}

/// test_timeout_exception_context, test_timeout_already_expired: an error of the block's own wins.
#[test]
fn an_own_panic_during_the_clean_up_wins() {
    virtual_time(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            timeout(SECOND, || {
                let _ = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
                std::panic::panic_any("own")
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "own");
        let value = timeout(SECOND, || {
            let _ = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
            "value"
        });
        assert_eq!(value, Ok("value"));
        sleep(SECOND);
    });
}

/// test_timeout_reschedule (here: set_deadline), also of one that is nested.
#[test]
fn an_outer_scope_is_given_more_time_from_inside_an_inner_one() {
    virtual_time(|| {
        let begun = now();
        let result = cancel_scope(|outer| {
            outer.set_timeout(SECOND);
            let inner = cancel_scope(|inner| {
                inner.set_timeout(2 * SECOND);
                outer.set_timeout(3 * SECOND);
                sleep(LONG);
            });
            assert!(inner.unwrap_err().is_elapsed());
            assert_eq!(now() - begun, 2 * SECOND);
            sleep(LONG);
        });
        assert!(result.unwrap_err().is_elapsed());
        assert_eq!(now() - begun, 3 * SECOND);
    });
}

/// test_cancel_in_timeout_after_cancellation.
#[test]
fn a_time_out_in_a_cancelled_task_reports_nothing() {
    virtual_time(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let theirs = seen.clone();
        let task = spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(park));
            // Cancelled already: the wait unwinds at once, and the task is what was cancelled.
            let _guard = OnDrop(|| {
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            let result = timeout(LONG, || sleep(LONG));
            unreachable!("{result:?}");
        });
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    });
}

/// test_waitfor: test_wait_for_with_timeout_zero, _blocking, _waits_for_task_cancellation,
/// test_wait_for_reraises_exception_during_cancellation, test_wait_for_self_cancellation.
#[test]
fn wait_for_waits_for_the_cancellation_that_it_asks_for() {
    virtual_time(|| {
        let begun = now();
        let done = spawn(|| "done");
        yield_now();
        assert_eq!(done.wait_for(Duration::ZERO).unwrap().unwrap(), "done");
        assert_eq!(spawn(|| 1).wait_for(LONG).unwrap().unwrap(), 1);
        let slow = spawn(|| {
            let _guard = OnDrop(|| sleep(2 * SECOND));
            sleep(LONG);
        });
        assert!(slow.wait_for(SECOND).is_err());
        assert_eq!(now() - begun, 3 * SECOND);
        let failing = spawn(|| {
            let _ = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
            panic!("error while cancelled")
        });
        assert!(failing.wait_for(SECOND).unwrap().unwrap_err().is_panic());
        let waiter = spawn(|| {
            let inner = spawn(|| sleep(LONG));
            let own = inner.task();
            let _guard = OnDrop(move || assert!(own.is_finished()));
            inner.wait_for(LONG)
        });
        sleep(SECOND);
        assert!(waiter.cancel_and_join().unwrap_err().is_cancelled());
    });
}
