//! Sleeps and time-outs: exact under the virtual clock, never early under the real one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenloom::time::{deadline, now};
use greenloom::{
    Runtime, park, park_timeout, run, sleep, sleep_until, spawn, timeout, unblock, yield_now,
};

use crate::watch::{OnDrop, hog, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn virtually<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    watched(|| Runtime::builder().virtual_clock().run(f).unwrap())
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let order = virtually(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let at = now() + SECOND;
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let order = order.clone();
                spawn(move || {
                    sleep_until(at);
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(now(), at);
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    });
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_sleep_of_zero_is_one_yield() {
    virtually(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let theirs = count.clone();
        drop(spawn(move || theirs.fetch_add(1, Ordering::Relaxed)));
        let begun = now();
        sleep(Duration::ZERO);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        sleep_until(begun);
        assert_eq!(now(), begun);
    });
}

#[test]
fn huge_durations_saturate() {
    virtually(|| {
        assert_eq!(timeout(Duration::MAX, || 1), Ok(1));
        assert!(timeout(SECOND, || sleep(Duration::MAX)).is_err());
        assert!(timeout(SECOND, || sleep(Duration::from_secs(u64::MAX / 3))).is_err());
        assert!(!park_timeout(SECOND));
        let task = spawn(|| park_timeout(Duration::MAX));
        yield_now();
        task.task().unpark();
        assert!(task.join().unwrap());
    });
}

#[test]
fn a_zero_limit_never_starts() {
    run(|| {
        assert!(timeout(Duration::ZERO, || panic!("started")).is_err());
        assert!(deadline(Instant::now() - SECOND, || panic!("started")).is_err());
    });
}

#[test]
fn nested_time_outs_report_at_the_outermost_that_is_due() {
    virtually(|| {
        for (outer, middle, inner) in [
            (1, 2, 3),
            (3, 2, 1),
            (2, 1, 3),
            (2, 3, 1),
            (1, 1, 1),
            (2, 1, 1),
            (1, 2, 1),
            (1, 1, 2),
        ] {
            let begun = now();
            let reported = Mutex::new(Vec::new());
            let second = |n: u64| Duration::from_secs(n);
            let outcome = timeout(second(outer), || {
                let outcome = timeout(second(middle), || {
                    let outcome = timeout(second(inner), || sleep(HOUR));
                    reported.lock().unwrap().push("inner");
                    assert!(outcome.is_err());
                    sleep(HOUR);
                });
                reported.lock().unwrap().push("middle");
                assert!(outcome.is_err());
                sleep(HOUR);
            });
            assert!(outcome.is_err());
            assert_eq!(now() - begun, second(outer));
            let mut expected = Vec::new();
            if inner < middle && inner < outer {
                expected.push("inner");
            }
            if middle < outer {
                expected.push("middle");
            }
            assert_eq!(
                *reported.lock().unwrap(),
                expected,
                "{outer} {middle} {inner}"
            );
        }
    });
}

#[test]
fn the_outer_time_out_that_expires_during_the_inners_cleanup_reports() {
    virtually(|| {
        let begun = now();
        let outcome = timeout(2 * SECOND, || {
            let inner = timeout(SECOND, || {
                let _guard = OnDrop(|| sleep(5 * SECOND));
                sleep(HOUR);
            });
            unreachable!("{inner:?}");
        });
        assert!(outcome.is_err());
        assert_eq!(now() - begun, 6 * SECOND);
    });
}

#[test]
fn a_value_at_the_deadline_wins_and_nothing_fires_later() {
    virtually(|| {
        assert_eq!(
            timeout(SECOND, || {
                hog(Duration::from_millis(1));
                9
            }),
            Ok(9)
        );
        sleep(2 * SECOND);
        let outcome = timeout(SECOND, || {
            greenloom::shield(|| sleep(2 * SECOND));
            10
        });
        assert_eq!(outcome, Ok(10));
        sleep(HOUR);
    });
}

#[test]
fn a_panic_inside_a_time_out_is_thrown_on() {
    let caught = std::panic::catch_unwind(|| {
        run(|| timeout(HOUR, || std::panic::panic_any(5_u8)).unwrap());
    });
    assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 5);
}

#[test]
fn the_clock_does_not_jump_over_blocking_work() {
    for _ in 0..20 {
        virtually(|| {
            let begun = now();
            let task = spawn(|| {
                unblock(|| hog(Duration::from_millis(3)));
                now()
            });
            yield_now();
            sleep(HOUR);
            assert_eq!(task.join().unwrap(), begun);
            assert_eq!(now() - begun, HOUR);
        });
    }
}

/// Nobody waits for the job any more, so nobody is woken by its end; the clock must go on all the same.
#[test]
fn the_clock_goes_on_when_unwanted_blocking_work_ends() {
    for _ in 0..20 {
        virtually(|| {
            let (unwanted, wait) = std::sync::mpsc::channel::<()>();
            let work = move || {
                let _ = wait.recv();
                hog(Duration::from_millis(2));
            };
            let task = spawn(|| unblock(work));
            yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            drop(unwanted);
            sleep(HOUR);
        });
    }
}

#[test]
fn a_virtual_clock_needs_one_worker() {
    let built = Runtime::builder().virtual_clock().workers(2).build();
    assert_eq!(built.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn real_sleeps_are_never_early_and_short_ones_stay_short() {
    run(|| {
        let mut shortest = Duration::MAX;
        for _ in 0..50 {
            let begun = Instant::now();
            sleep(Duration::from_micros(50));
            let took = begun.elapsed();
            assert!(took >= Duration::from_micros(50));
            shortest = shortest.min(took);
        }
        // The poller alone would round up to a millisecond.
        #[cfg(target_os = "linux")]
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    });
}

#[test]
fn a_thousand_sleepers_are_never_early() {
    run(|| {
        let tasks: Vec<_> = (0..1000_u64)
            .map(|n| {
                spawn(move || {
                    let limit = Duration::from_micros((n * 7919) % 20_000);
                    let begun = Instant::now();
                    sleep(limit);
                    assert!(begun.elapsed() >= limit);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn unpark_before_park_is_kept_and_tokens_do_not_add_up() {
    virtually(|| {
        greenloom::current().unpark();
        greenloom::current().unpark();
        park();
        assert!(!park_timeout(SECOND));
    });
}

#[test]
fn plain_threads_sleep_and_run_time_outs_to_their_end() {
    let begun = Instant::now();
    sleep(Duration::from_millis(2));
    assert!(begun.elapsed() >= Duration::from_millis(2));
    assert_eq!(timeout(Duration::from_nanos(1), || 3), Ok(3));
}

#[test]
fn a_yielding_task_starves_no_timer() {
    for workers in [1, 2] {
        watched(move || {
            Runtime::builder().workers(workers).run(|| {
                let yielder = spawn(|| {
                    loop {
                        yield_now();
                    }
                });
                sleep(Duration::from_millis(5));
                yielder.cancel();
                assert!(yielder.join().unwrap_err().is_cancelled());
            })
        })
        .unwrap();
    }
}
