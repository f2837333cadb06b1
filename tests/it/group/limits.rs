//! Limits and daemons of groups, and groups under stress.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::task::TaskGroup;
use greenloom::time::now;
use greenloom::{Runtime, park, shield, sleep, spawn, timeout, yield_now};

use super::{HOUR, SECOND, texts};
use crate::util::virtual_time;
use crate::watch::{OnDrop, watched};

#[test]
fn a_limit_holds_and_places_go_first_come_first_served() {
    virtual_time(|| {
        let (alive, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let order = Mutex::new(Vec::new());
        let begun = now();
        let result = TaskGroup::run(|group| {
            group.set_limit(3);
            for n in 0..12 {
                let (alive, peak, order) = (&alive, &peak, &order);
                drop(group.spawn(move || {
                    peak.fetch_max(alive.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    order.lock().unwrap().push(n);
                    sleep(SECOND);
                    alive.fetch_sub(1, Ordering::Relaxed);
                    Ok::<_, io::Error>(())
                }));
            }
            let full = group.try_spawn(|| Ok(())).unwrap_err();
            assert!(full.is_full());
            group.set_limit(4);
            group.try_spawn(|| Ok(())).unwrap();
            Ok(())
        });
        assert!(result.is_ok());
        assert_eq!(peak.into_inner(), 3);
        assert_eq!(order.into_inner().unwrap(), (0..12).collect::<Vec<_>>());
        assert_eq!(now() - begun, 4 * SECOND);
    });
}

#[test]
fn a_spawner_that_leaves_the_line_passes_its_place_on() {
    virtual_time(|| {
        let ran = Mutex::new(Vec::new());
        let result = TaskGroup::run(|group| {
            group.set_limit(1);
            drop(group.spawn(|| {
                sleep(2 * SECOND);
                Ok::<_, io::Error>(())
            }));
            greenloom::scope(|s| {
                for n in 0..6_u64 {
                    let ran = &ran;
                    s.spawn(move || {
                        // Some give up before their turn, one at the very moment that it comes.
                        let limit = if n % 2 == 0 { SECOND * 2 } else { HOUR };
                        let _ = timeout(limit, || {
                            drop(group.spawn(move || {
                                ran.lock().unwrap().push(n);
                                Ok(())
                            }))
                        });
                    });
                }
            });
            Ok(())
        });
        assert!(result.is_ok());
        let mut ran = ran.into_inner().unwrap();
        ran.retain(|n| n % 2 == 1);
        assert_eq!(ran, [1, 3, 5]);
    });
}

#[test]
fn a_failure_reaches_a_body_that_waits_for_a_place() {
    virtual_time(|| {
        let result: Result<Option<()>, _> = TaskGroup::run(|group| {
            group.set_limit(1);
            drop(group.spawn(|| {
                sleep(SECOND);
                Err::<(), _>("bad")
            }));
            drop(group.spawn(|| Ok(())));
            unreachable!()
        });
        assert_eq!(texts(result), ["bad"]);
    });
}

#[test]
fn daemons_are_cancelled_when_the_rest_has_ended() {
    virtual_time(|| {
        let begun = now();
        let ticks = AtomicUsize::new(0);
        let result = TaskGroup::run(|group| {
            // Daemons take no place.
            group.set_limit(1);
            for _ in 0..2 {
                drop(group.spawn_daemon(|| -> Result<(), io::Error> {
                    let _guard = OnDrop(|| sleep(SECOND));
                    loop {
                        sleep(SECOND);
                        ticks.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
            drop(group.spawn(|| {
                sleep(Duration::from_millis(3500));
                Ok::<_, io::Error>(())
            }));
            sleep(SECOND);
            Ok(7)
        });
        assert_eq!(result.unwrap(), Some(7));
        assert_eq!(ticks.into_inner(), 6);
        assert_eq!(now() - begun, Duration::from_millis(4500));
        // Daemons alone keep nothing up.
        let result = TaskGroup::run(|group| {
            drop(group.spawn_daemon(|| {
                park();
                Ok::<_, ()>(())
            }));
            sleep(SECOND);
            Ok(())
        });
        assert!(result.is_ok());
        // What fails while it serves fails the group.
        let result = TaskGroup::run(|group| {
            drop(group.spawn_daemon(|| Err::<(), _>("daemon")));
            park();
            Ok(())
        });
        assert_eq!(texts(result), ["daemon"]);
    });
}

#[test]
fn daemons_of_a_scope_end_with_it() {
    virtual_time(|| {
        let begun = now();
        let count = AtomicUsize::new(0);
        greenloom::scope(|s| {
            let daemon = s.spawn_daemon(|| {
                let _guard = OnDrop(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                // It may spawn workers, for which the scope waits.
                drop(s.spawn(|| {
                    sleep(3 * SECOND);
                    count.fetch_add(10, Ordering::Relaxed);
                }));
                park();
            });
            s.spawn(|| sleep(SECOND));
            assert!(!daemon.is_finished());
            yield_now();
        });
        assert_eq!(count.into_inner(), 11);
        assert_eq!(now() - begun, 3 * SECOND);
    });
}

#[test]
fn cancelled_at_every_suspension_in_turn_all_tasks_end_first() {
    virtual_time(|| {
        let mut was_whole = false;
        for turn in 0..60 {
            let (alive, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (living, doing) = (alive.clone(), done.clone());
            let task = spawn(move || {
                TaskGroup::run(|group| {
                    group.set_limit(2);
                    for n in 0..5 {
                        let (living, doing) = (&living, &doing);
                        drop(group.spawn(move || {
                            living.fetch_add(1, Ordering::Relaxed);
                            let _guard = OnDrop(|| {
                                // The wait may be thrown out of.
                                let _last = OnDrop(|| {
                                    living.fetch_sub(1, Ordering::Relaxed);
                                });
                                yield_now();
                            });
                            yield_now();
                            shield(yield_now);
                            timeout(HOUR, yield_now).unwrap();
                            doing.fetch_add(1, Ordering::Relaxed);
                            if n == 100 { Err("never") } else { Ok(()) }
                        }));
                        yield_now();
                    }
                    Ok(())
                })
                .map_err(|error| error.to_string())
            });
            for _ in 0..turn {
                yield_now();
            }
            task.cancel();
            let result = task.join();
            assert_eq!(alive.load(Ordering::Relaxed), 0, "turn {turn}");
            match result {
                Ok(result) => {
                    assert_eq!(result, Ok(Some(())));
                    assert_eq!(done.load(Ordering::Relaxed), 5);
                    was_whole = true;
                }
                Err(error) => assert!(error.is_cancelled()),
            }
        }
        assert!(was_whole);
    });
}

#[test]
fn groups_hold_under_stress_from_workers_and_threads() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let threads: Vec<_> = (0..2)
            .map(|seed| {
                std::thread::spawn(move || {
                    for round in 0..150_u64 {
                        let alive = AtomicUsize::new(0);
                        let bad = (round * 7 + seed) % 20;
                        let work = || {
                            TaskGroup::run(|group| {
                                group.set_limit(4);
                                for n in 0..12 {
                                    let alive = &alive;
                                    drop(group.spawn(move || {
                                        alive.fetch_add(1, Ordering::Relaxed);
                                        let _guard = OnDrop(|| {
                                            // The wait may be thrown out of.
                                            let _last = OnDrop(|| {
                                                alive.fetch_sub(1, Ordering::Relaxed);
                                            });
                                            yield_now();
                                        });
                                        for _ in 0..n {
                                            yield_now();
                                        }
                                        if n == bad { Err(n) } else { Ok(()) }
                                    }));
                                }
                                Ok(())
                            })
                        };
                        let result = work();
                        match result {
                            Ok(value) => assert!(bad >= 12 && value.is_some()),
                            Err(error) => assert!(bad < 12 && error.failures().len() == 1),
                        }
                        assert_eq!(alive.into_inner(), 0);
                    }
                })
            })
            .collect();
        let inside = runtime.block_on(|| {
            let mut failed = 0;
            for round in 0..150_usize {
                let result = TaskGroup::run(|group| {
                    for n in 0..6 {
                        drop(group.spawn(move || {
                            yield_now();
                            if n == round % 12 { Err(n) } else { Ok(()) }
                        }));
                    }
                    Ok(())
                });
                failed += usize::from(result.is_err());
            }
            failed
        });
        assert_eq!(inside, (0..150).filter(|round| round % 12 < 6).count());
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
