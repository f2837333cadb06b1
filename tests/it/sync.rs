//! Locks, semaphores and events: fairness, cancellation, time-outs, poison, and plain threads among them.

mod barrier;
mod condvar;
mod leave;
mod model;
mod notify;
mod once;
mod rlock;
mod rwlock;
mod wait_group;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, BoundedSemaphore, Event, Mutex, Semaphore, TryLockError};
use greenloom::{Runtime, sleep, spawn, spawn_local, timeout, yield_now};

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// Lets everybody else get as far as they can.
fn settle() {
    (0..20).for_each(|_| yield_now());
}

#[test]
fn tasks_and_plain_threads_exclude_each_other() {
    let sum = Arc::new(Mutex::new((0u64, 0u64)));
    let work = |sum: Arc<Mutex<(u64, u64)>>, park: bool| {
        for n in 0..2_000 {
            let mut pair = sum.lock().unwrap();
            assert_eq!(pair.0, pair.1);
            pair.0 += 1;
            if park && n % 7 == 0 {
                yield_now();
            }
            pair.1 += 1;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let sum = sum.clone();
            scope.spawn(move || work(sum, true));
        }
        let sum = sum.clone();
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (0..8)
                    .map(|n| {
                        let sum = sum.clone();
                        spawn(move || work(sum, n % 2 == 0))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
    assert_eq!(*sum.lock().unwrap(), (20_000, 20_000));
}

#[test]
fn waiters_get_the_mutex_in_the_order_in_which_they_came() {
    let order = green(|| {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let guard = mutex.lock().unwrap();
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let mutex = mutex.clone();
                let task = spawn(move || {
                    let mut order = mutex.lock().unwrap();
                    yield_now();
                    order.push(n);
                });
                yield_now();
                task
            })
            .collect();
        drop(guard);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        mutex.lock().unwrap().clone()
    });
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_waiter_is_passed_over_once_at_most() {
    green(|| {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let theirs = mutex.clone();
        let waiter = spawn(move || *theirs.lock().unwrap());
        yield_now();
        drop(guard);
        // The waiter is on its way; we take the lock in passing, and it finds it taken.
        let mut guard = mutex.try_lock().unwrap();
        *guard = 1;
        yield_now();
        drop(guard);
        // Now it has been promised, and so handed over.
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(waiter.join().unwrap(), 1);
        drop(mutex.try_lock().unwrap());
    });
}

#[test]
fn a_lock_is_waited_for_no_longer_than_asked() {
    virtual_time(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let begun = greenloom::time::now();
        assert!(mutex.lock_timeout(SECOND).unwrap_err().is_timed_out());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(mutex.lock_timeout(Duration::ZERO).is_err());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        let theirs = mutex.clone();
        let waiter = spawn(move || theirs.lock_timeout(Duration::MAX).map(drop).is_ok());
        settle();
        drop(guard);
        assert!(waiter.join().unwrap());
    });
}

/// Runs ten lockers of which one is cancelled or times out after `steps` of the others, for every step at
/// which anything can happen, and sees that everybody else gets through.
fn victim_leaves_at_every_step(leave: impl Fn(usize) + Copy + Send + 'static, cancels: bool) {
    for steps in 0..60 {
        for place in 0..4 {
            virtual_time(move || {
                let mutex = Arc::new(Mutex::new(0));
                let mut victim = None;
                let tasks: Vec<_> = (0..4)
                    .map(|n| {
                        let mutex = mutex.clone();
                        let task = spawn(move || {
                            for _ in 0..3 {
                                let lock = || {
                                    let mut count = mutex.lock().unwrap();
                                    *count += 1;
                                    yield_now();
                                };
                                if n == place && !cancels {
                                    let _ = timeout(Duration::from_nanos(steps as u64), lock);
                                } else {
                                    lock();
                                }
                                // Under the virtual clock time moves when all wait: here.
                                sleep(Duration::from_nanos(7));
                            }
                        });
                        if n == place {
                            victim = Some(task);
                            None
                        } else {
                            Some(task)
                        }
                    })
                    .collect();
                leave(steps);
                let victim = victim.unwrap();
                if cancels {
                    victim.cancel();
                }
                for task in tasks.into_iter().flatten() {
                    task.join().unwrap();
                }
                let _ = victim.join();
                assert!(!mutex.is_poisoned());
                let count = *mutex.try_lock().expect("free at the end");
                assert!((9..=12).contains(&count), "{count} at step {steps}");
            });
        }
    }
}

#[test]
fn a_cancelled_waiter_passes_its_turn_on_whenever_it_leaves() {
    victim_leaves_at_every_step(|steps| (0..steps).for_each(|_| yield_now()), true);
}

#[test]
fn a_timed_out_waiter_passes_its_turn_on_whenever_it_leaves() {
    victim_leaves_at_every_step(|_| (), false);
}

#[test]
fn a_waiter_that_is_cancelled_with_the_lock_in_its_hand_gives_it_on() {
    green(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let lockers: Vec<_> = (0..2)
            .map(|_| {
                let mutex = mutex.clone();
                let task = spawn(move || drop(mutex.lock().unwrap()));
                yield_now();
                task
            })
            .collect();
        drop(guard);
        let guard = mutex.try_lock().unwrap();
        yield_now(); // the first waiter finds the lock taken and is promised it
        drop(guard); // it is handed over
        lockers[0].cancel(); // and comes back to be unwound
        let [first, second] = lockers.try_into().unwrap();
        assert!(first.join().unwrap_err().is_cancelled());
        second.join().unwrap();
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn a_panic_poisons_and_a_cancellation_does_not() {
    green(|| {
        let mutex = Arc::new(Mutex::new(0));
        let theirs = mutex.clone();
        let holder = spawn(move || {
            let _guard = theirs.lock().unwrap();
            sleep(Duration::MAX);
        });
        yield_now();
        holder.cancel();
        assert!(holder.join().unwrap_err().is_cancelled());
        assert!(mutex.lock().is_ok());

        let _ = timeout(Duration::from_millis(1), || {
            let _guard = mutex.lock().unwrap();
            sleep(Duration::MAX);
        });
        assert!(mutex.lock().is_ok());

        let theirs = mutex.clone();
        let panicker = spawn(move || {
            *theirs.lock().unwrap() = 1;
            let _guard = theirs.lock().unwrap();
            panic!("poison");
        });
        assert!(panicker.join().unwrap_err().is_panic());
        assert!(mutex.is_poisoned());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        let guard = mutex.lock().unwrap_err().into_inner();
        assert_eq!(*guard, 1);
        mutex.clear_poison();
        drop(guard);
        assert!(mutex.lock().is_ok());
    });
}

#[test]
fn a_panic_caught_while_a_cancellation_unwinds_does_not_make_it_a_panic() {
    struct Catches;
    impl Drop for Catches {
        fn drop(&mut self) {
            assert!(catch_unwind(|| panic!("caught in the destructor")).is_err());
        }
    }
    green(|| {
        let mutex = Arc::new(Mutex::new(()));
        let theirs = mutex.clone();
        let task = spawn(move || {
            let _guard = theirs.lock().unwrap();
            let _catches = Catches;
            sleep(Duration::MAX);
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(!mutex.is_poisoned());
    });
}

/// Soundness rule 16: with std's lock the second task would block the thread on which the first one would go on.
#[test]
fn a_lock_of_ours_may_be_held_over_a_wait_where_stds_would_hang_the_worker() {
    green(|| {
        let ours = Arc::new(Mutex::new(0));
        let stds = Arc::new(std::sync::Mutex::new(()));
        let (our_lock, std_lock) = (ours.clone(), stds.clone());
        let holder = spawn(move || {
            let _std_guard = std_lock.lock().unwrap();
            let mut guard = our_lock.lock().unwrap();
            sleep(Duration::from_millis(10));
            *guard += 1;
        });
        yield_now(); // it holds both, and sleeps
        let wants = spawn(move || {
            // `lock` here would wait for a task that this very wait keeps from running.
            assert!(stds.try_lock().is_err());
            let guard = ours.lock().unwrap();
            assert_eq!(*guard, 1);
        });
        wants.join().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn a_guard_dropped_beside_a_neighbour_that_unwinds_poisons_nothing() {
    struct Slow(Rc<Event>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    green(|| {
        let go_on = Rc::new(Event::new());
        let theirs = go_on.clone();
        let panicker = spawn_local(move || {
            let _slow = Slow(theirs);
            panic!("and its destructor waits");
        });
        yield_now();
        assert!(std::thread::panicking());
        let mutex = Mutex::new(());
        drop(mutex.lock().unwrap());
        assert!(!mutex.is_poisoned());
        // A panic of our own beside it does.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock();
            std::panic::resume_unwind(Box::new("no hook, no note: in doubt no poison"));
        }));
        assert!(result.is_err() && !mutex.is_poisoned());
        // One that was caught is over, though the thread still says that somebody panics.
        assert!(catch_unwind(|| panic!("caught at once")).is_err());
        drop(mutex.lock().unwrap());
        assert!(!mutex.is_poisoned());
        // What unwinds does poison.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock().unwrap();
            panic!("with the lock in hand");
        }));
        assert!(result.is_err() && mutex.is_poisoned());
        go_on.set();
        assert!(panicker.join().unwrap_err().is_panic());
    });
}

#[test]
fn a_guard_taken_and_dropped_in_a_destructor_poisons_nothing() {
    struct Locks(Arc<Mutex<()>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            drop(self.0.lock());
        }
    }
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    assert!(green(|| spawn(move || {
        let _locks = Locks(theirs);
        panic!("and its destructor locks");
    })
    .join()
    .is_err()));
    let theirs = mutex.clone();
    let thread = std::thread::spawn(move || {
        let _locks = Locks(theirs);
        panic!("on a plain thread too");
    });
    assert!(thread.join().is_err());
    assert!(!mutex.is_poisoned());
}

#[test]
fn a_panic_on_a_plain_thread_poisons() {
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    let thread = std::thread::spawn(move || {
        let _guard = theirs.lock().unwrap();
        panic!("poison");
    });
    assert!(thread.join().is_err());
    assert!(mutex.is_poisoned());
    let mutex = Arc::into_inner(mutex).unwrap();
    assert!(mutex.into_inner().is_err());
}

#[test]
fn a_mutex_may_hold_what_has_no_size_and_lie_in_a_static() {
    static COUNT: Mutex<u32> = Mutex::new(1);
    *COUNT.lock().unwrap() += 1;
    assert_eq!(*COUNT.lock().unwrap(), 2);
    let slice: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    slice.lock().unwrap()[0] = 9;
    assert_eq!(
        format!("{slice:?}"),
        "Mutex { data: [9, 2, 3], poisoned: false, .. }"
    );
}

#[test]
fn a_deadlock_report_names_the_holder() {
    let report = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let mutex = Mutex::new(());
            let _guard = mutex.lock().unwrap();
            let id = greenloom::current().id();
            let result = catch_unwind(AssertUnwindSafe(|| drop(mutex.lock())));
            let text = result.unwrap_err().downcast::<String>().unwrap();
            (*text, id)
        });
    let (text, id) = report.unwrap();
    assert!(
        text.contains(&format!(
            "sync.mutex on a Mutex<()> held by task {id} \"main\" itself since {}:",
            file!()
        )),
        "{text}"
    );
    assert!(text.contains("sync.rs"), "{text}");
}

#[test]
fn permits_go_to_whoever_came_first_also_when_it_wants_many() {
    let order = green(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [3, 1, 2]
            .map(|wanted| {
                let (semaphore, order) = (semaphore.clone(), order.clone());
                let task = spawn(move || {
                    semaphore.acquire_many(wanted).forget();
                    order.lock().unwrap().push(wanted);
                });
                yield_now();
                task
            })
            .into();
        semaphore.release(2);
        settle();
        // Two are there, but the first in line wants three.
        assert!(order.lock().unwrap().is_empty());
        assert!(semaphore.try_acquire().is_none());
        assert!(semaphore.try_acquire_many(0).is_some());
        semaphore.release(2);
        settle();
        assert_eq!(*order.lock().unwrap(), [3, 1]);
        semaphore.release(2);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        order.lock().unwrap().clone()
    });
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn a_waiter_for_many_that_leaves_lets_those_behind_it_go() {
    virtual_time(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let theirs = semaphore.clone();
        let big = spawn(move || theirs.acquire_many_timeout(5, SECOND).is_some());
        yield_now();
        let begun = greenloom::time::now();
        let permit = semaphore.acquire();
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(!big.join().unwrap());
        drop(permit);
        let theirs = semaphore.clone();
        let big = spawn(move || drop(theirs.acquire_many(5)));
        yield_now();
        let theirs = semaphore.clone();
        let small = spawn(move || drop(theirs.acquire()));
        yield_now();
        big.cancel();
        small.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_bounded_semaphore_refuses_what_was_not_acquired() {
    let semaphore = BoundedSemaphore::new(2);
    assert!(semaphore.release(1).is_err());
    let guard = semaphore.acquire_many(2);
    assert!(semaphore.release(3).is_err());
    assert_eq!(semaphore.available_permits(), 0);
    drop(guard);
    assert_eq!(semaphore.available_permits(), 2);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(semaphore.acquire_many(3)))).is_err());
    semaphore.acquire().forget();
    assert!(semaphore.release(1).is_ok());
}

#[test]
fn no_permit_is_lost_or_made_whatever_happens_to_the_waiters() {
    for seed in 1..30 {
        let mut random = Random::new(seed);
        virtual_time(move || {
            let permits = 1 + random.below(4);
            let semaphore = Arc::new(Semaphore::new(permits));
            let inside = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..30)
                .map(|n| {
                    let (semaphore, inside) = (semaphore.clone(), inside.clone());
                    let mut random = Random::new(seed * 1000 + n);
                    spawn(move || {
                        for _ in 0..20 {
                            let wanted = 1 + random.below(permits);
                            let limit = Duration::from_nanos(random.below(50) as u64);
                            let Some(guard) = (match random.below(3) {
                                0 => semaphore.try_acquire_many(wanted),
                                1 => semaphore.acquire_many_timeout(wanted, limit),
                                _ => Some(semaphore.acquire_many(wanted)),
                            }) else {
                                continue;
                            };
                            let now = inside.fetch_add(wanted, Ordering::Relaxed) + wanted;
                            assert!(now <= permits, "seed {seed}");
                            struct Leave(Arc<AtomicUsize>, usize);
                            impl Drop for Leave {
                                fn drop(&mut self) {
                                    self.0.fetch_sub(self.1, Ordering::Relaxed);
                                }
                            }
                            let leave = Leave(inside.clone(), wanted);
                            sleep(Duration::from_nanos(random.below(20) as u64));
                            drop((leave, guard));
                        }
                    })
                })
                .collect();
            for task in &tasks {
                if random.below(3) == 0 {
                    sleep(Duration::from_nanos(random.below(40) as u64));
                    task.cancel();
                }
            }
            for task in tasks {
                let _ = task.join().map_err(|error| assert!(error.is_cancelled()));
            }
            assert_eq!(semaphore.available_permits(), permits, "seed {seed}");
        });
    }
}

#[test]
fn permits_pass_between_workers_and_plain_threads() {
    let semaphore = Arc::new(Semaphore::new(3));
    let inside = Arc::new(AtomicUsize::new(0));
    let work = |semaphore: Arc<Semaphore>, inside: Arc<AtomicUsize>| {
        for n in 0..1000 {
            let _permit = semaphore.acquire_many(1 + n % 3);
            assert!(inside.fetch_add(1 + n % 3, Ordering::Relaxed) < 3);
            if n % 5 == 0 {
                yield_now();
            }
            inside.fetch_sub(1 + n % 3, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            scope.spawn(move || work(semaphore, inside));
        }
        let (semaphore, inside) = (semaphore.clone(), inside.clone());
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (0..6)
                    .map(|_| {
                        let (semaphore, inside) = (semaphore.clone(), inside.clone());
                        spawn(move || work(semaphore, inside))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn an_event_lets_all_go_who_wait_also_when_it_is_cleared_at_once() {
    green(|| {
        let event = Arc::new(Event::new());
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let event = event.clone();
                spawn(move || event.wait())
            })
            .collect();
        yield_now();
        tasks[3].cancel();
        let theirs = event.clone();
        let thread = std::thread::spawn(move || theirs.wait());
        sleep(Duration::from_millis(10));
        event.set();
        event.clear();
        let cancelled = tasks.into_iter().filter_map(|task| task.join().err());
        assert_eq!(cancelled.count(), 1);
        assert!(!event.is_set());
        event.set();
        thread.join().unwrap();
    });
}

#[test]
fn an_event_is_waited_for_no_longer_than_asked() {
    virtual_time(|| {
        let event = Arc::new(Event::new());
        assert!(!event.wait_timeout(SECOND));
        let theirs = event.clone();
        drop(spawn(move || {
            sleep(SECOND);
            theirs.set();
        }));
        let begun = greenloom::time::now();
        assert!(event.wait_timeout(2 * SECOND));
        assert_eq!(greenloom::time::now() - begun, SECOND);
    });
}
