//! What Trio's src/trio/_core/_tests/test_run.py and _tests/test_timeouts.py check of cancel scopes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{CancelToken, TaskGroup, cancel_scope, checkpoint, is_cancelled, with_token};
use greenloom::time::{now, shield_for};
use greenloom::{scope, shield, sleep, spawn, timeout, yield_now};

use crate::util::virtual_time;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1000);

/// test_cancel_edge_cases: two cancellations are one; one that is said before the wait is delivered at it.
#[test]
fn two_cancellations_are_one() {
    virtual_time(|| {
        let result = cancel_scope(|scope| {
            assert!(scope.cancel());
            assert!(!scope.cancel());
            sleep(LONG);
        });
        assert!(result.is_err());
        // Level-triggered: every checkpoint raises.
        let result = cancel_scope(|scope| {
            scope.cancel();
            assert!(catch_unwind(checkpoint).is_err());
            assert!(catch_unwind(checkpoint).is_err());
        });
        assert!(result.is_ok());
    });
}

/// test_cancel_scope_repr aside: test_basic_timeout: the deadline is met, moved, and left unmet.
#[test]
fn the_deadline_counts_at_the_waits_only() {
    virtual_time(|| {
        let begun = now();
        let result = cancel_scope(|scope| {
            scope.set_deadline(begun + SECOND);
            sleep(2 * SECOND);
        });
        assert!(result.unwrap_err().is_elapsed());
        assert_eq!(now() - begun, SECOND);
        let begun = now();
        let result = cancel_scope(|scope| {
            scope.set_deadline(begun + 3 * SECOND);
            sleep(2 * SECOND);
            scope.set_deadline(begun + SECOND);
            // In the past now, but nothing waits any more.
            7
        });
        assert_eq!(result.unwrap(), 7);
        assert_eq!(now() - begun, 2 * SECOND);
    });
}

/// test_cancel_scope_nesting: inner only; outer only; both, where the outer catches.
#[test]
fn a_scope_catches_its_own_cancellation_and_no_other() {
    virtual_time(|| {
        let outer = cancel_scope(|outer| {
            let inner = cancel_scope(|inner| {
                inner.cancel();
                sleep(LONG);
            });
            assert!(inner.is_err());
            assert!(!outer.is_cancelled());
            yield_now();
            4
        });
        assert_eq!(outer.unwrap(), 4);
        for is_both in [false, true] {
            let outer = cancel_scope(|outer| {
                let inner = cancel_scope(|inner| {
                    outer.cancel_with("outer");
                    if is_both {
                        inner.cancel_with("inner");
                    }
                    sleep(LONG);
                });
                unreachable!("{inner:?}");
            });
            assert_eq!(outer.unwrap_err().reason().unwrap().to_string(), "outer");
        }
    });
}

/// test_cancel_shielding, test_unshield_while_cancel_propagating.
#[test]
fn shields_nest_and_are_taken_away_from_inside_out() {
    virtual_time(|| {
        let steps = AtomicUsize::new(0);
        let result = cancel_scope(|outer| {
            outer.cancel();
            shield(|| {
                let inner = cancel_scope(|inner| {
                    yield_now();
                    shield(|| {
                        inner.cancel();
                        yield_now();
                        steps.fetch_add(1, Ordering::Relaxed);
                    });
                    yield_now();
                    unreachable!()
                });
                let inner: Result<(), _> = inner;
                assert!(inner.is_err());
                yield_now();
                steps.fetch_add(1, Ordering::Relaxed);
            });
            yield_now();
            steps.fetch_add(100, Ordering::Relaxed);
        });
        assert!(result.is_err());
        assert_eq!(steps.into_inner(), 2);
    });
}

/// test_cancel_inheritance: tasks that are spawned inside are cancelled with the scope that holds their group.
#[test]
fn tasks_of_a_group_belong_to_the_scope_round_the_group() {
    virtual_time(|| {
        let record = AtomicUsize::new(0);
        let result = cancel_scope(|outer| {
            let inner = TaskGroup::run(|group| {
                drop(group.spawn(|| {
                    let caught = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
                    record.fetch_add(usize::from(caught.is_err()), Ordering::Relaxed);
                    caught.map_err(|_| "unwound")
                }));
                yield_now();
                outer.cancel();
                Ok(())
            });
            // Its error comes out; the next wait unwinds.
            assert_eq!(inner.unwrap_err().failures().len(), 1);
            yield_now();
        });
        assert!(result.is_err());
        assert_eq!(record.into_inner(), 1);
    });
}

/// test_precancelled_task: what is cancelled before it starts runs to its first wait in Trio; a token's scope is
/// not entered here, and an entered one runs to its first wait.
#[test]
fn what_is_cancelled_before_runs_to_no_wait() {
    virtual_time(|| {
        let token = CancelToken::new();
        token.cancel();
        assert!(with_token(&token, || unreachable!()).is_err());
        let steps = AtomicUsize::new(0);
        let result = cancel_scope(|scope| {
            scope.cancel();
            steps.fetch_add(1, Ordering::Relaxed);
            yield_now();
            steps.fetch_add(1, Ordering::Relaxed);
        });
        assert!(result.is_err());
        assert_eq!(steps.into_inner(), 1);
    });
}

/// test_cancel_scope_cancelled_during_exit, test_nursery_exception_chaining aside: a scope left in time is left.
#[test]
fn a_cancellation_after_the_end_reaches_nobody() {
    virtual_time(|| {
        let mut kept = None;
        let value = cancel_scope(|scope| {
            kept = Some(scope.token().clone());
            3
        });
        assert_eq!(value.unwrap(), 3);
        kept.unwrap().cancel();
        sleep(SECOND);
        assert!(!is_cancelled());
    });
}

/// test_timeouts: test_move_on_after, test_fail_after, and move_on_after with a shield.
#[test]
fn a_shielded_limit_ends_by_itself_alone() {
    virtual_time(|| {
        let begun = now();
        let result = timeout(SECOND, || {
            assert!(shield_for(3 * SECOND, || sleep(LONG)).is_err());
            assert_eq!(now() - begun, 3 * SECOND);
            sleep(LONG);
        });
        assert!(result.is_err());
        assert_eq!(now() - begun, 3 * SECOND);
    });
}

/// test_cancel_unhashable_error aside: a thousand tasks in one scope, cancelled at once, unwind in order.
#[test]
fn a_thousand_tasks_are_cancelled_at_once() {
    virtual_time(|| {
        let token = CancelToken::new();
        let theirs = token.clone();
        drop(spawn(move || {
            sleep(SECOND);
            theirs.cancel();
        }));
        let ended = AtomicUsize::new(0);
        let begun = now();
        scope(|s| {
            for _ in 0..1000 {
                s.spawn(|| {
                    assert!(with_token(&token, || sleep(LONG)).is_err());
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(ended.into_inner(), 1000);
        assert_eq!(now() - begun, SECOND);
    });
}
