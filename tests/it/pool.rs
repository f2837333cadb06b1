//! Pools: never more at once than there are seats, every result in its place, and nothing left behind.

mod maps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use greenloom::pool::{GreenPool, SubmitError, TrySpawnError};
use greenloom::sync::Barrier;
use greenloom::{OnDeadlock, RunError, Runtime, sleep, spawn, timeout, yield_now};

use crate::util::{Random, green, virtual_time};
use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);

/// Lets everybody else get as far as they can.
fn settle() {
    (0..20).for_each(|_| yield_now());
}

/// Counts who is inside, and how many there were at most.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    peak: AtomicUsize,
    all: AtomicUsize,
}

impl Gauge {
    fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.peak.fetch_max(now, SeqCst);
        self.all.fetch_add(1, SeqCst);
        let _out = OnDrop(|| {
            self.now.fetch_sub(1, SeqCst);
        });
        f()
    }
}

#[test]
fn spawning_waits_for_a_seat_and_never_more_run_than_there_are() {
    for workers in [1, 2] {
        Runtime::builder()
            .workers(workers)
            .run(|| {
                let pool = GreenPool::new(3);
                let gauge = Arc::new(Gauge::default());
                // The first three wait for each other: so there are three, however late a worker comes to its turn.
                let all_there = Arc::new(Barrier::new(3));
                for n in 0..200 {
                    let (gauge, all_there) = (gauge.clone(), all_there.clone());
                    let work = move || match n {
                        0..3 => drop(all_there.wait()),
                        _ => (0..n % 4).for_each(|_| yield_now()),
                    };
                    drop(pool.spawn(move || gauge.inside(work)));
                }
                pool.wait_all();
                assert_eq!((pool.running(), pool.free(), pool.waiting()), (0, 3, 0));
                assert_eq!(gauge.all.load(SeqCst), 200);
                assert_eq!(gauge.peak.load(SeqCst), 3);
            })
            .unwrap();
    }
}

#[test]
fn a_producer_on_a_plain_thread_is_held_back_as_well() {
    let pool = GreenPool::new(2);
    let gauge = Arc::new(Gauge::default());
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..100 {
                    let gauge = gauge.clone();
                    drop(pool.spawn(move || gauge.inside(yield_now)));
                }
            });
        }
    });
    pool.join();
    assert_eq!(gauge.all.load(SeqCst), 300);
    assert!(gauge.peak.load(SeqCst) <= 2);
}

#[test]
fn spawners_get_seats_in_the_order_in_which_they_came() {
    let order = green(|| {
        let pool = GreenPool::new(1);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let first = pool.spawn(|| (0..3).for_each(|_| yield_now()));
        let spawners: Vec<_> = (0..5)
            .map(|n| {
                let (pool, order) = (pool.clone(), order.clone());
                let spawner =
                    spawn(move || drop(pool.spawn(move || order.lock().unwrap().push(n))));
                yield_now();
                spawner
            })
            .collect();
        first.join().unwrap();
        spawners.into_iter().for_each(|s| s.join().unwrap());
        pool.join();
        order.lock().unwrap().clone()
    });
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn trying_never_waits_and_gives_the_job_back() {
    green(|| {
        let pool = GreenPool::new(1);
        let task = pool.try_spawn(|| 1).unwrap();
        let refused = pool.try_spawn(|| 2).unwrap_err();
        assert!(refused.is_full());
        assert_eq!(format!("{refused:?}"), "Full(..)");
        assert_eq!(refused.into_inner().unwrap()(), 2);
        assert_eq!(task.join().unwrap(), 1);
        pool.close();
        let refused = pool.try_spawn(|| 3).unwrap_err();
        assert!(refused.is_closed());
        assert_eq!(refused.to_string(), "the pool is closed");
    });
}

#[test]
fn a_seat_is_waited_for_no_longer_than_asked() {
    virtual_time(|| {
        let pool = GreenPool::new(1);
        let task = pool.spawn(|| sleep(5 * SECOND));
        let begun = greenloom::time::now();
        assert!(pool.spawn_timeout(2 * SECOND, || ()).unwrap_err().is_full());
        assert_eq!(greenloom::time::now() - begun, 2 * SECOND);
        assert!(pool.spawn_timeout(Duration::ZERO, || ()).is_err());
        assert_eq!(pool.waiting(), 0);
        let late = pool.spawn_timeout(Duration::MAX, || "had").unwrap();
        assert_eq!(late.join().unwrap(), "had");
        task.join().unwrap();
    });
}

#[test]
fn a_member_that_spawns_into_its_own_full_pool_never_hangs() {
    watched(|| {
        for size in [1, 2] {
            for workers in [1, 2] {
                Runtime::builder()
                    .workers(workers)
                    .run(|| {
                        let pool = GreenPool::new(size);
                        fn sum(pool: &GreenPool, depth: u32) -> u64 {
                            if depth == 0 {
                                return 1;
                            }
                            let below = |_| {
                                let inner = pool.clone();
                                pool.spawn(move || sum(&inner, depth - 1))
                            };
                            let tasks: Vec<_> = (0..3).map(below).collect();
                            tasks.into_iter().map(|task| task.join().unwrap()).sum()
                        }
                        let inner = pool.clone();
                        assert_eq!(pool.spawn(move || sum(&inner, 4)).join().unwrap(), 81);
                        pool.join();
                        assert_eq!(pool.running(), 0);
                    })
                    .unwrap();
            }
        }
    });
}

#[test]
fn maps_of_a_member_over_its_own_full_pool_never_hang() {
    watched(|| {
        green(|| {
            let pool = GreenPool::new(2);
            let gauge = Arc::new(Gauge::default());
            let (inner, theirs) = (pool.clone(), gauge.clone());
            let results = pool.map(0..4u64, move |n| {
                let f = |m: u64| theirs.inside(|| (n, m));
                let mapped: Vec<_> = inner.map(0..3, f).into_iter().map(Result::unwrap).collect();
                assert_eq!(mapped, [(n, 0), (n, 1), (n, 2)]);
                let lazy = inner.imap(0..3u64, |m| m + 1).map(Result::unwrap);
                let lazy: u64 = lazy.sum();
                let any = inner.imap_unordered(0..3u64, |m| m + 1).map(Result::unwrap);
                lazy + any.sum::<u64>()
            });
            let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
            assert_eq!(results, [12, 12, 12, 12]);
            assert!(gauge.peak.load(SeqCst) <= 2);
        });
    });
}

#[test]
fn a_lent_seat_ends_with_the_member_that_lent_it() {
    virtual_time(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let outer = pool.spawn(move || {
            timeout(SECOND, || {
                drop(inner.spawn(move || {
                    let _end = OnDrop(|| {
                        sleep(SECOND);
                        theirs.store(true, SeqCst);
                    });
                    sleep(Duration::MAX)
                }))
            })
            .is_err()
        });
        assert!(outer.join().unwrap());
        assert!(ended.load(SeqCst));
        assert_eq!(pool.running(), 0);
        pool.join();
    });
}

#[test]
fn no_seats_and_no_items_are_no_special_case() {
    virtual_time(|| {
        let pool = GreenPool::new(0);
        let nothing: Vec<u32> = Vec::new();
        assert!(pool.map(nothing.clone(), |n| n).is_empty());
        assert!(pool.imap(nothing.clone(), |n| n).next().is_none());
        assert!(pool.imap_unordered(nothing, |n| n).next().is_none());
        assert!(
            pool.as_completed(Vec::<greenloom::JoinHandle<()>>::new())
                .next()
                .is_none()
        );
        pool.wait_all();
        assert!(pool.is_empty());
        let waits = timeout(SECOND, || pool.map([1], |n| n));
        assert!(waits.is_err());
        // A seat comes, and all is as it should be.
        let spawner = pool.clone();
        let late = spawn(move || spawner.spawn(|| 5).join().unwrap());
        settle();
        assert_eq!((pool.waiting(), pool.free()), (1, 0));
        pool.resize(2);
        assert_eq!(late.join().unwrap(), 5);
        assert_eq!(pool.free(), 2);
    });
}

#[test]
fn a_pool_without_seats_is_named_by_the_deadlock_report() {
    let result = watched(|| {
        Runtime::builder()
            .workers(1)
            .closed_world()
            .panic_note(false)
            .on_deadlock(OnDeadlock::Raise)
            .run(|| drop(GreenPool::new(0).spawn(|| ())))
    });
    let Err(RunError::Panicked(payload)) = result else {
        panic!("no deadlock was raised")
    };
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("pool.spawn"), "{text}");
    assert!(text.contains("a GreenPool of 0 with 0 running"), "{text}");
    assert!(text.contains("pool.rs"), "{text}");
}

/// A job that lasts for ever, and counts when it is gone.
fn endless_job(gone: &Arc<AtomicUsize>) -> impl Fn(u32) + Send + Sync + 'static {
    let gone = gone.clone();
    move |_| {
        let _gone = OnDrop(|| {
            sleep(SECOND);
            gone.fetch_add(1, SeqCst);
        });
        sleep(Duration::MAX)
    }
}

#[test]
fn a_spawner_that_leaves_at_any_step_takes_no_seat_with_it() {
    for steps in 0..60 {
        virtual_time(move || {
            let pool = GreenPool::new(2);
            let gauge = Arc::new(Gauge::default());
            let spawners: Vec<_> = (0..4)
                .map(|_| {
                    let (pool, gauge) = (pool.clone(), gauge.clone());
                    spawn(move || {
                        for _ in 0..3 {
                            let gauge = gauge.clone();
                            drop(pool.spawn(move || {
                                gauge.inside(|| {
                                    yield_now();
                                    sleep(Duration::from_nanos(7));
                                })
                            }));
                        }
                    })
                })
                .collect();
            (0..steps).for_each(|_| match steps % 2 {
                0 => yield_now(),
                _ => sleep(Duration::from_nanos(1)),
            });
            spawners[steps % 4].cancel();
            let ended = spawners.into_iter().map(|s| s.join()).filter(Result::is_ok);
            assert!(ended.count() >= 3);
            pool.wait_all();
            assert_eq!((pool.running(), pool.waiting(), pool.free()), (0, 0, 2));
            assert!(gauge.peak.load(SeqCst) <= 2);
            assert!(gauge.all.load(SeqCst) >= 9);
            // Every seat is there.
            let all = [
                pool.try_spawn(|| ()).unwrap(),
                pool.try_spawn(|| ()).unwrap(),
            ];
            all.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

#[test]
fn members_that_are_cancelled_at_any_step_leave_their_seats() {
    for steps in 0..20 {
        green(move || {
            let pool = GreenPool::new(3);
            let tasks: Vec<_> = (0..3)
                .map(|_| pool.spawn(|| (0..5).for_each(|_| yield_now())))
                .collect();
            (0..steps).for_each(|_| yield_now());
            tasks.iter().for_each(|task| task.cancel());
            pool.wait_all();
            assert_eq!(pool.free(), 3);
        });
    }
}

#[test]
fn with_fewer_seats_nobody_is_sent_away_and_more_go_to_who_waits() {
    green(|| {
        let pool = GreenPool::new(4);
        let gate = Arc::new(greenloom::sync::Event::new());
        let enter = |pool: &GreenPool| {
            let gate = gate.clone();
            pool.spawn(move || gate.wait())
        };
        let mut tasks: Vec<_> = (0..4).map(|_| enter(&pool)).collect();
        pool.resize(2);
        assert_eq!((pool.size(), pool.running(), pool.free()), (2, 4, 0));
        let spawners: Vec<_> = (0..3)
            .map(|_| {
                let (pool, gate) = (pool.clone(), gate.clone());
                spawn(move || pool.spawn(move || gate.wait()).join().unwrap())
            })
            .collect();
        settle();
        assert_eq!(pool.waiting(), 3);
        pool.resize(6);
        assert_eq!((pool.running(), pool.waiting()), (6, 1));
        gate.set();
        tasks.drain(..).for_each(|task| task.join().unwrap());
        spawners.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(pool.free(), 6);
    });
}

#[test]
fn a_closed_pool_takes_nothing_and_ends_what_it_has() {
    virtual_time(|| {
        let pool = GreenPool::new(1);
        let task = pool.spawn(|| {
            sleep(SECOND);
            "ended"
        });
        let waiting = pool.clone();
        let waiting = spawn(move || waiting.submit(|| ()).map(drop));
        settle();
        assert!(pool.close());
        assert!(!pool.close());
        assert!(matches!(waiting.join().unwrap(), Err(SubmitError::Closed)));
        assert!(matches!(pool.submit(|| ()), Err(SubmitError::Closed)));
        assert!(matches!(
            pool.spawn_timeout(SECOND, || ()),
            Err(TrySpawnError::Closed(_))
        ));
        let refused = catch_unwind(AssertUnwindSafe(|| drop(pool.spawn(|| ()))));
        assert!(refused.is_err());
        assert!(!pool.join_timeout(Duration::ZERO));
        pool.join();
        assert_eq!(task.join().unwrap(), "ended");
        // Maps end too, though their input does not.
        assert_eq!(pool.imap(0.., |n: u32| n).count(), 1);
        assert_eq!(pool.imap_unordered(0.., |n: u32| n).count(), 1);
        let mapped = pool.map(0..3, |n| n);
        assert!(
            mapped
                .into_iter()
                .all(|result| result.unwrap_err().is_cancelled())
        );
        assert!(pool.is_closed());
    });
}

#[test]
fn a_terminated_pool_cancels_members_that_run_and_that_do_not_yet() {
    for settled in [0, 3] {
        virtual_time(move || {
            let pool = GreenPool::new(3);
            let gone = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..3)
                .map(|n| {
                    let job = endless_job(&gone);
                    pool.spawn(move || job(n))
                })
                .collect();
            (0..settled).for_each(|_| yield_now());
            pool.terminate();
            pool.join();
            for task in tasks {
                assert!(task.join().unwrap_err().is_cancelled());
            }
            let started = if settled == 0 { 0 } else { 3 };
            assert_eq!(gone.load(SeqCst), started);
        });
    }
}

#[test]
fn a_member_does_not_wait_for_its_own_end() {
    green(|| {
        let pool = GreenPool::new(2);
        let inner = pool.clone();
        let error = pool.spawn(move || inner.wait_all()).join().unwrap_err();
        assert!(error.to_string().contains("its own GreenPool"), "{error}");
        let inner = pool.clone();
        assert!(
            pool.spawn(move || inner.join())
                .join()
                .unwrap_err()
                .is_panic()
        );
    });
}

#[test]
fn who_joins_a_member_finds_its_seat_free() {
    for workers in [1, 2] {
        Runtime::builder()
            .workers(workers)
            .run(|| {
                let pool = GreenPool::new(1);
                for n in 0..200 {
                    assert_eq!(pool.try_spawn(move || n).unwrap().join().unwrap(), n);
                }
            })
            .unwrap();
    }
}

#[test]
fn every_job_runs_once_whoever_spawns_cancels_and_resizes() {
    for seed in 0..6 {
        let pool = GreenPool::new(4);
        let ran = Arc::new(AtomicUsize::new(0));
        let spawned = Arc::new(AtomicUsize::new(0));
        let produce =
            |seed: u64, pool: GreenPool, ran: Arc<AtomicUsize>, spawned: Arc<AtomicUsize>| {
                let mut random = Random::new(seed);
                for _ in 0..150 {
                    let ran = ran.clone();
                    let yields = random.below(4);
                    let job = move || {
                        (0..yields).for_each(|_| yield_now());
                        ran.fetch_add(1, SeqCst);
                    };
                    let is_spawned = match random.below(4) {
                        0 => pool.try_spawn(job).is_ok(),
                        1 => pool.spawn_timeout(Duration::from_micros(50), job).is_ok(),
                        2 => pool.submit(job).is_ok(),
                        _ => {
                            pool.resize(random.below(6) + 1);
                            pool.imap(0..5, move |_| job.clone()()).count();
                            spawned.fetch_add(4, SeqCst);
                            true
                        }
                    };
                    spawned.fetch_add(usize::from(is_spawned), SeqCst);
                }
            };
        std::thread::scope(|s| {
            for n in 0..2 {
                let (pool, ran, spawned) = (pool.clone(), ran.clone(), spawned.clone());
                s.spawn(move || produce(seed * 10 + n, pool, ran, spawned));
            }
            let (pool, ran, spawned) = (pool.clone(), ran.clone(), spawned.clone());
            Runtime::builder()
                .workers(2)
                .run(move || {
                    let tasks: Vec<_> = (2..5)
                        .map(|n| {
                            let (pool, ran, spawned) = (pool.clone(), ran.clone(), spawned.clone());
                            spawn(move || produce(seed * 10 + n, pool, ran, spawned))
                        })
                        .collect();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                    pool.wait_all();
                })
                .unwrap();
        });
        pool.join();
        assert_eq!(ran.load(SeqCst), spawned.load(SeqCst));
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    }
}
