//! What golang.org/x/sync/errgroup's errgroup_test.go checks, for `TaskGroup`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{CancelToken, Failure, TaskGroup, with_token};
use greenloom::{Runtime, sleep, yield_now};

use crate::util::{green, virtual_time};
use crate::watch::watched;

/// TestZeroGroup: of any list of outcomes the first error is the one that is told first.
#[test]
fn the_first_error_stands_first() {
    green(|| {
        let cases: [&[Option<&str>]; 6] = [
            &[],
            &[None],
            &[Some("one")],
            &[Some("one"), None],
            &[Some("one"), None, Some("two")],
            &[None, Some("two")],
        ];
        for outcomes in cases {
            let first = outcomes.iter().flatten().next();
            let result = TaskGroup::run(|group| {
                for outcome in outcomes {
                    drop(group.spawn(move || outcome.map_or(Ok(()), Err)));
                    yield_now();
                }
                Ok(())
            });
            match (first, result) {
                (None, Ok(Some(()))) => {}
                (Some(first), Err(error)) => {
                    assert!(matches!(error.first(), Failure::Error(text) if text == first));
                }
                (_, other) => panic!("{outcomes:?}: {other:?}"),
            }
        }
    });
}

/// TestWithContext: the context is done when the group is, with an error or without.
#[test]
fn what_hangs_on_the_group_ends_with_it() {
    virtual_time(|| {
        for fails in [false, true] {
            let context = CancelToken::new();
            let result = TaskGroup::run(|group| {
                let _done = context.drop_guard();
                drop(group.spawn(move || if fails { Err("err") } else { Ok(()) }));
                drop(group.spawn(|| {
                    sleep(Duration::from_secs(1));
                    Ok(())
                }));
                sleep(Duration::from_secs(2));
                Ok(())
            });
            assert_eq!(result.is_err(), fails);
            assert!(context.is_cancelled());
            assert!(with_token(&context, || ()).is_err());
        }
    });
}

/// TestTryGo: refused at the limit, taken when there is room again.
#[test]
fn try_spawn_is_refused_at_the_limit() {
    virtual_time(|| {
        let ran = AtomicUsize::new(0);
        let result = TaskGroup::run(|group| {
            let work = || {
                sleep(Duration::from_secs(1));
                ran.fetch_add(1, Ordering::Relaxed);
                Ok::<_, &str>(())
            };
            group.set_limit(3);
            for _ in 0..3 {
                group.try_spawn(work).unwrap();
            }
            assert!(group.try_spawn(work).unwrap_err().is_full());
            sleep(Duration::from_secs(2));
            group.try_spawn(work).unwrap();
            // The closure that was refused comes back whole, to be called here.
            group.set_limit(1);
            let Err(greenloom::task::TrySpawnError::Full(work)) = group.try_spawn(work) else {
                panic!("there is no room")
            };
            work()
        });
        assert_eq!(result.unwrap(), Some(()));
        assert_eq!(ran.into_inner(), 5);
    });
}

/// TestGoLimit: a thousand tasks, never more than ten of them alive.
#[test]
fn the_limit_holds_on_several_workers() {
    watched(|| {
        let result = Runtime::builder().workers(2).run(|| {
            let (alive, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
            TaskGroup::run(|group| {
                group.set_limit(10);
                for _ in 0..1000 {
                    let (alive, peak) = (&alive, &peak);
                    drop(group.spawn(move || {
                        peak.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        yield_now();
                        alive.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, &str>(())
                    }));
                }
                Ok(())
            })
            .unwrap();
            peak.into_inner()
        });
        assert!((1..=10).contains(&result.unwrap()));
    });
}

/// TestPanic, of the versions that had it, and the decision against it (go#74275): a panic is not lost, and
/// comes back as a failure among the others.
#[test]
fn a_panic_comes_back_beside_the_errors() {
    green(|| {
        let error = TaskGroup::run(|group| {
            drop(group.spawn(|| -> Result<(), &str> { panic!("boom") }));
            yield_now();
            Err::<(), _>("and an error")
        })
        .unwrap_err();
        let texts: Vec<_> = error.failures().iter().map(Failure::to_string).collect();
        assert_eq!(texts, ["a task panicked: boom", "and an error"]);
    });
}
