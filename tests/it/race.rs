//! Races: one wins, the others are out before it returns, and nothing that came in is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{any, is_cancelled, race};
use greenloom::time::now;
use greenloom::{Runtime, park, shield, sleep, spawn, timeout, yield_now};

use crate::util::{green, virtual_time};
use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_losers_are_cancelled_and_have_ended() {
    virtual_time(|| {
        let begun = now();
        let ended = AtomicUsize::new(0);
        let finish = race([5, 1, 3].map(|n| {
            let ended = &ended;
            move || {
                let _guard = OnDrop(|| {
                    shield(|| sleep(SECOND));
                    ended.fetch_add(1, Ordering::Relaxed);
                });
                sleep(SECOND * n);
                n
            }
        }));
        assert_eq!((finish.index, finish.value, finish.late), (1, 1, vec![]));
        assert_eq!(ended.into_inner(), 3);
        assert_eq!(now() - begun, 3 * SECOND);
    });
}

#[test]
fn who_comes_in_at_the_same_time_is_not_lost() {
    virtual_time(|| {
        let finish = race([2, 1, 1, 1].map(|n| {
            move || {
                sleep(SECOND * n);
                n
            }
        }));
        assert_eq!((finish.index, finish.value), (1, 1));
        assert_eq!(finish.late, [(2, 1), (3, 1)]);
        // Nor who is shielded from losing.
        let finish = race([1, 2].map(|n| {
            move || {
                shield(|| sleep(SECOND * n));
                n
            }
        }));
        assert_eq!((finish.value, finish.late), (1, vec![(1, 2)]));
    });
}

#[test]
fn only_a_success_wins() {
    virtual_time(|| {
        let begun = now();
        let runner = |n: u32| {
            move || {
                sleep(SECOND * n);
                if n.is_multiple_of(2) { Ok(n) } else { Err(n) }
            }
        };
        let finish = any([7, 3, 4, 1, 6].map(runner)).unwrap();
        assert_eq!((finish.index, finish.value), (2, 4));
        assert_eq!(now() - begun, 4 * SECOND);
        assert_eq!(any([5, 1, 3].map(runner)).unwrap_err(), [5, 1, 3]);
        assert_eq!(any([0; 0].map(runner)).unwrap_err(), []);
        let both = any([2, 2].map(runner)).unwrap();
        assert_eq!((both.index, both.late), (0, vec![(1, 2)]));
    });
}

#[test]
fn a_race_that_nobody_runs_in_is_refused() {
    let caught = catch_unwind(|| race(Vec::<fn()>::new()));
    let payload = caught.unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("nobody"));
}

#[test]
fn one_that_leaves_the_race_by_itself_does_not_win() {
    green(|| {
        let runners: [fn() -> u32; 2] = [
            || {
                greenloom::current().cancel();
                yield_now();
                1
            },
            || {
                for _ in 0..5 {
                    yield_now();
                }
                2
            },
        ];
        assert_eq!(race(runners).value, 2);
    });
}

#[test]
fn a_panic_comes_out_when_all_have_ended() {
    virtual_time(|| {
        let ended = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            race([1, 2].map(|n| {
                let ended = &ended;
                move || {
                    let _guard = OnDrop(|| {
                        shield(|| sleep(SECOND));
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    sleep(SECOND * n);
                    std::panic::panic_any(n);
                }
            }))
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u32>().unwrap(), 1);
        assert_eq!(ended.into_inner(), 2);
        assert!(!is_cancelled());
        yield_now();
    });
}

#[test]
fn a_time_out_ends_all_that_run() {
    virtual_time(|| {
        let begun = now();
        let ended = AtomicUsize::new(0);
        let result = timeout(SECOND, || {
            race([(); 3].map(|()| {
                let ended = &ended;
                move || {
                    let _guard = OnDrop(|| {
                        sleep(SECOND);
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    park();
                }
            }))
        });
        assert!(result.is_err());
        assert_eq!(ended.into_inner(), 3);
        assert_eq!(now() - begun, 2 * SECOND);
        let task = spawn(|| race([|| sleep(HOUR), || sleep(HOUR)]));
        yield_now();
        assert!(task.cancel_and_join().unwrap_err().is_cancelled());
    });
}

#[test]
fn on_a_plain_thread_a_race_is_run_as_well() {
    let finish = race([|| 1, || 1]);
    assert_eq!(finish.value, 1);
    assert!(finish.late.len() <= 1);
}

#[test]
fn races_hold_under_stress() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(rounds)).collect();
        runtime.block_on(rounds);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn rounds() {
    for round in 0..150_usize {
        let alive = AtomicUsize::new(0);
        let finish = race((0..5).map(|n| {
            let alive = &alive;
            move || {
                alive.fetch_add(1, Ordering::Relaxed);
                let _guard = OnDrop(|| {
                    alive.fetch_sub(1, Ordering::Relaxed);
                });
                for _ in 0..(n * 3 + round) % 7 {
                    yield_now();
                }
                n
            }
        }));
        assert_eq!(finish.index, finish.value);
        assert!(finish.late.iter().all(|(index, value)| index == value));
        assert_eq!(alive.into_inner(), 0);
    }
}
