//! What CPython's `Lib/test/lock_tests.py` and `Lib/test/test_asyncio/test_locks.py` (3.13) check of their locks.
//!
//! Where they have five threads, there are thousands of tasks here, and where they sleep, the clock is virtual. Not
//! taken over: what types make impossible here (releasing what was not acquired, waiting without the mutex),
//! default time-outs, negative ones, and what is about Python itself (representations, weak references,
//! forks, event loops).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{
    Arc, Barrier, BoundedSemaphore, BrokenBarrier, Condvar, Event, Mutex, RLock, Semaphore,
};
use greenloom::{JoinHandle, sleep, spawn, yield_now};

use crate::util::virtual_time;

const MANY: usize = 2_000;
const HALF: Duration = Duration::from_millis(500);

/// So many tasks that all run the same function; how many have begun and ended.
struct Bunch {
    tasks: Vec<JoinHandle<()>>,
    started: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

impl Bunch {
    fn of(n: usize, f: impl Fn(usize) + Send + Sync + 'static) -> Bunch {
        let f = Arc::new(f);
        let (started, finished) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let tasks = (0..n)
            .map(|id| {
                let (f, started, finished) = (f.clone(), started.clone(), finished.clone());
                spawn(move || {
                    started.fetch_add(1, Ordering::Relaxed);
                    f(id);
                    finished.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        let bunch = Bunch {
            tasks,
            started,
            finished,
        };
        wait();
        assert_eq!(bunch.started.load(Ordering::Relaxed), n);
        bunch
    }

    fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }

    fn join(self) {
        for task in self.tasks {
            task.join().unwrap();
        }
    }
}

/// All go as far as they can: time moves when nobody can run any more.
fn wait() {
    sleep(Duration::from_nanos(1));
}

fn took(f: impl FnOnce()) -> Duration {
    let begun = greenloom::time::now();
    f();
    greenloom::time::now() - begun
}

// Locks that are acquired once and recursive ones: the same tests for both.

trait Lock: Send + Sync + Default + 'static {
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;
    fn try_with(&self) -> bool;
    fn with_timeout(&self, timeout: Duration) -> bool;
}

impl Lock for Mutex<()> {
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.lock().unwrap_or_else(|error| error.into_inner());
        f()
    }
    fn try_with(&self) -> bool {
        self.try_lock().is_ok()
    }
    fn with_timeout(&self, timeout: Duration) -> bool {
        self.lock_timeout(timeout).is_ok()
    }
}

impl Lock for RLock<()> {
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.lock();
        f()
    }
    fn try_with(&self) -> bool {
        self.try_lock().is_some()
    }
    fn with_timeout(&self, timeout: Duration) -> bool {
        self.lock_timeout(timeout).is_some()
    }
}

fn elsewhere<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    spawn(f).join().unwrap()
}

fn a_lock_that_is_held_is_not_had<L: Lock>() {
    virtual_time(|| {
        let lock = Arc::new(L::default());
        assert!(lock.try_with());
        lock.with(|| {
            let theirs = lock.clone();
            assert!(!elsewhere(move || theirs.try_with()));
        });
    });
}

fn contenders_wait_until_it_is_released<L: Lock>() {
    virtual_time(|| {
        let lock = Arc::new(L::default());
        let bunch = lock.with(|| {
            let theirs = lock.clone();
            let bunch = Bunch::of(MANY, move |_| theirs.with(|| ()));
            assert_eq!(bunch.finished(), 0);
            bunch
        });
        bunch.join();
        assert!(lock.try_with());
    });
}

fn a_panic_inside_releases_it<L: Lock>() {
    virtual_time(|| {
        let lock = Arc::new(L::default());
        let result = catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("inside"))));
        assert!(result.is_err());
        let theirs = lock.clone();
        elsewhere(move || theirs.with(|| ()));
    });
}

fn a_time_out_is_kept_to_and_leaves_it_as_it_was<L: Lock>() {
    virtual_time(|| {
        let lock = Arc::new(L::default());
        assert!(lock.with_timeout(Duration::MAX));
        assert_eq!(
            took(|| assert!(lock.with_timeout(10 * HALF))),
            Duration::ZERO
        );
        lock.with(|| {
            let theirs = lock.clone();
            let bunch = Bunch::of(MANY, move |_| {
                let late = took(|| assert!(!theirs.with_timeout(HALF)));
                assert_eq!(late, HALF);
            });
            bunch.join();
        });
        assert!(lock.try_with());
    });
}

macro_rules! for_both_locks {
    ($($test:ident)*) => {
        mod mutex {
            $(#[test] fn $test() { super::$test::<super::Mutex<()>>(); })*
        }
        mod rlock {
            $(#[test] fn $test() { super::$test::<super::RLock<()>>(); })*
        }
    };
}

for_both_locks! {
    a_lock_that_is_held_is_not_had
    contenders_wait_until_it_is_released
    a_panic_inside_releases_it
    a_time_out_is_kept_to_and_leaves_it_as_it_was
}

#[test]
fn a_mutex_is_not_had_twice_by_the_same_task() {
    virtual_time(|| {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().unwrap();
        assert!(mutex.try_lock().is_err());
        assert!(mutex.lock_timeout(HALF).unwrap_err().is_timed_out());
    });
}

#[test]
fn an_rlock_is_owned_by_one_task_however_often() {
    virtual_time(|| {
        let lock = Arc::new(RLock::new(Cell::new(0)));
        assert!(!lock.is_owned());
        let outer = lock.lock();
        for _ in 0..MANY {
            let inner = lock.lock();
            inner.set(inner.get() + 1);
            assert!(lock.is_owned());
        }
        let theirs = lock.clone();
        assert!(!elsewhere(move || theirs.is_owned()));
        assert!(lock.is_owned());
        drop(outer);
        assert!(!lock.is_owned());
        // Of the many that come now each is alone at every depth.
        let theirs = lock.clone();
        Bunch::of(MANY, move |_| {
            let outer = theirs.lock();
            let before = outer.get();
            yield_now();
            theirs.lock().set(before + 1);
        })
        .join();
        assert_eq!(lock.lock().get(), 2 * MANY);
    });
}

/// asyncio: first come, first served, also when somebody is cancelled at the moment of the release.
#[test]
fn a_mutex_goes_to_the_next_when_the_first_is_cancelled_as_it_is_released() {
    virtual_time(|| {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let guard = mutex.lock().unwrap();
        let tasks: Vec<_> = (0..MANY)
            .map(|n| {
                let mutex = mutex.clone();
                let task = spawn(move || mutex.lock().unwrap().push(n));
                yield_now();
                task
            })
            .collect();
        drop(guard);
        for task in tasks.iter().step_by(2) {
            task.cancel();
        }
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().is_err(), n % 2 == 0);
        }
        let served = mutex.lock().unwrap();
        assert!(served.iter().copied().eq((1..MANY).step_by(2)));
    });
}

// Events.

#[test]
fn an_event_is_set_and_cleared() {
    let event = Event::new();
    assert!(!event.is_set());
    for _ in 0..2 {
        event.set();
        assert!(event.is_set());
    }
    for _ in 0..2 {
        event.clear();
        assert!(!event.is_set());
    }
}

#[test]
fn all_who_wait_for_an_event_are_told_and_who_comes_later_goes_by() {
    virtual_time(|| {
        let event = Arc::new(Event::new());
        for _ in 0..2 {
            let theirs = event.clone();
            let bunch = Bunch::of(MANY, move |_| {
                theirs.wait();
                theirs.wait();
            });
            assert_eq!(bunch.finished(), 0);
            event.set();
            bunch.join();
            event.clear();
        }
    });
}

#[test]
fn an_event_is_waited_for_to_the_time_and_no_longer() {
    virtual_time(|| {
        let event = Arc::new(Event::new());
        let theirs = event.clone();
        let bunch = Bunch::of(MANY, move |_| {
            assert!(!theirs.wait_timeout(Duration::ZERO));
            assert_eq!(took(|| assert!(!theirs.wait_timeout(HALF))), HALF);
        });
        bunch.join();
        event.set();
        let theirs = event.clone();
        let bunch = Bunch::of(MANY, move |_| {
            assert!(theirs.wait_timeout(Duration::ZERO));
            assert!(theirs.wait_timeout(HALF));
        });
        bunch.join();
    });
}

/// CPython's issue 13502, and asyncio's `test_clear_with_waiters`.
#[test]
fn who_waited_for_an_event_is_told_of_it_though_it_is_cleared_at_once() {
    virtual_time(|| {
        let event = Arc::new(Event::new());
        let theirs = event.clone();
        let bunch = Bunch::of(MANY, move |_| assert!(theirs.wait_timeout(2 * HALF)));
        sleep(HALF);
        event.set();
        event.clear();
        assert_eq!(took(|| bunch.join()), Duration::ZERO);
    });
}

// Conditions.

type Condition<T> = Arc<(Mutex<T>, Condvar)>;

/// Three of five, then five, then all: nobody is told twice, or of what came before it waited.
#[test]
fn as_many_are_notified_as_was_asked_and_those_who_wait_longest() {
    const N: usize = 1_000;
    virtual_time(|| {
        let shared: Condition<usize> = Arc::default();
        let (first, second) = <(Arc<Mutex<Vec<usize>>>, Arc<Mutex<Vec<usize>>>)>::default();
        let (theirs, f, s) = (shared.clone(), first.clone(), second.clone());
        let bunch = Bunch::of(N, move |_| {
            for results in [&f, &s] {
                let guard = theirs.0.lock().unwrap();
                let phase = *theirs.1.wait(guard).unwrap();
                results.lock().unwrap().push(phase);
            }
        });
        let notify = |how_many: usize, phase: usize| {
            let mut guard = shared.0.lock().unwrap();
            (0..how_many).for_each(|_| shared.1.notify_one());
            wait(); // they wait for the mutex
            *guard = phase;
            drop(guard);
            wait();
        };
        let told = |results: &Mutex<Vec<usize>>, phases: &[(usize, usize)]| {
            let mut expected = Vec::new();
            for &(phase, times) in phases {
                expected.extend(vec![phase; times]);
            }
            assert_eq!(*results.lock().unwrap(), expected);
        };
        notify(3 * N / 5, 1);
        told(&first, &[(1, 3 * N / 5)]);
        told(&second, &[]);
        notify(N, 2);
        told(&first, &[(1, 3 * N / 5), (2, 2 * N / 5)]);
        told(&second, &[(2, 3 * N / 5)]);
        *shared.0.lock().unwrap() = 3;
        shared.1.notify_all();
        bunch.join();
        told(&second, &[(2, 3 * N / 5), (3, 2 * N / 5)]);
    });
}

#[test]
fn a_condition_is_waited_for_to_the_time_and_no_longer() {
    virtual_time(|| {
        let shared: Condition<()> = Arc::default();
        Bunch::of(MANY, move |_| {
            let guard = shared.0.lock().unwrap();
            let begun = greenloom::time::now();
            let (_guard, result) = shared.1.wait_timeout(guard, HALF).unwrap();
            assert!(result.timed_out());
            assert_eq!(greenloom::time::now() - begun, HALF);
        })
        .join();
    });
}

#[test]
fn a_predicate_is_waited_for_through_all_its_changes() {
    virtual_time(|| {
        let shared: Condition<u32> = Arc::default();
        let theirs = shared.clone();
        let waiter = spawn(move || {
            let guard = theirs.0.lock().unwrap();
            *theirs.1.wait_while(guard, |state| *state != 4).unwrap()
        });
        let theirs = shared.clone();
        let hurried = spawn(move || {
            let guard = theirs.0.lock().unwrap();
            let begun = greenloom::time::now();
            let waited = theirs
                .1
                .wait_timeout_while(guard, HALF, |state| *state != 4);
            assert!(waited.unwrap().1.timed_out());
            greenloom::time::now() - begun
        });
        wait();
        for _ in 0..4 {
            sleep(HALF / 2);
            *shared.0.lock().unwrap() += 1;
            shared.1.notify_all();
        }
        assert_eq!(waiter.join().unwrap(), 4);
        assert_eq!(hurried.join().unwrap(), HALF);
    });
}

/// asyncio: a waiter that is cancelled after it was notified wakes another instead.
#[test]
fn as_many_go_on_as_were_notified_whoever_is_cancelled() {
    virtual_time(|| {
        let shared: Condition<usize> = Arc::default();
        let tasks: Vec<_> = (0..MANY)
            .map(|_| {
                let shared = shared.clone();
                let task = spawn(move || {
                    let guard = shared.0.lock().unwrap();
                    *shared.1.wait(guard).unwrap() += 1;
                });
                yield_now();
                task
            })
            .collect();
        (0..MANY / 2).for_each(|_| shared.1.notify_one());
        // Of those who are notified, and of the others.
        for task in tasks.iter().step_by(4) {
            task.cancel();
        }
        wait();
        assert_eq!(*shared.0.lock().unwrap(), MANY / 2);
        shared.1.notify_all();
        let cancelled = tasks.into_iter().filter_map(|task| task.join().err());
        assert_eq!(cancelled.count(), MANY / 4);
        assert_eq!(*shared.0.lock().unwrap(), MANY - MANY / 4);
    });
}

// Semaphores.

#[test]
fn permits_are_passed_on_in_the_numbers_in_which_they_are_released() {
    virtual_time(|| {
        let semaphore = Arc::new(Semaphore::new(7));
        semaphore.acquire_many(2).forget();
        let phases = Arc::new(Mutex::new(Vec::new()));
        let phase = Arc::new(AtomicUsize::new(0));
        let (theirs, log, now) = (semaphore.clone(), phases.clone(), phase.clone());
        let bunch = Bunch::of(MANY, move |_| {
            theirs.acquire().forget();
            log.lock().unwrap().push(now.load(Ordering::Relaxed));
        });
        assert_eq!(phases.lock().unwrap().len(), 5);
        for (number, permits) in [(1, 6), (2, MANY - 11)] {
            phase.store(number, Ordering::Relaxed);
            semaphore.release(permits);
            wait();
            let phases = phases.lock().unwrap();
            assert_eq!(phases.iter().filter(|p| **p == number).count(), permits);
        }
        bunch.join();
        assert!(semaphore.try_acquire().is_none());
    });
}

#[test]
fn a_permit_is_tried_for_and_waited_for_to_the_time() {
    virtual_time(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let permits = [semaphore.acquire(), semaphore.try_acquire().unwrap()];
        assert!(semaphore.try_acquire().is_none());
        let theirs = semaphore.clone();
        let late = elsewhere(move || took(|| assert!(theirs.acquire_timeout(HALF).is_none())));
        assert_eq!(late, HALF);
        drop(permits);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _permit = semaphore.acquire();
            panic!("inside");
        }));
        assert!(result.is_err());
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_bounded_semaphore_takes_back_no_more_than_it_gave() {
    let semaphore = BoundedSemaphore::new(1);
    assert!(semaphore.release(1).is_err());
    semaphore.acquire().forget();
    assert!(semaphore.release(2).is_err());
    assert!(semaphore.release(1).is_ok());
    assert!(semaphore.release(1).is_err());
}

/// asyncio: cancelled waiters are passed over, whether or not a permit was on its way to them.
#[test]
fn a_permit_reaches_the_first_who_is_still_there() {
    virtual_time(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let comer = || {
            let semaphore = semaphore.clone();
            let task = spawn(move || semaphore.acquire().forget());
            yield_now();
            task
        };
        let tasks = [comer(), comer(), comer(), comer()];
        semaphore.release(1); // on its way to the first
        tasks[0].cancel();
        tasks[1].cancel();
        wait();
        assert!(tasks[2].is_finished() && !tasks[3].is_finished());
        assert!(semaphore.try_acquire().is_none());
        semaphore.release(1);
        wait();
        assert!(tasks[3].is_finished());
    });
}

/// asyncio: who releases and comes again goes behind those who wait.
#[test]
fn nobody_overtakes_by_coming_again() {
    virtual_time(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let log = Arc::new(Mutex::new(String::new()));
        let tasks = ['a', 'b', 'c'].map(|letter| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            spawn(move || {
                for _ in 0..3 {
                    let _permit = semaphore.acquire();
                    sleep(HALF);
                    log.lock().unwrap().push(letter);
                }
            })
        });
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!(*log.lock().unwrap(), "abcabcabc");
    });
}

// Barriers.

fn at(barrier: &Arc<Barrier>, n: usize) -> Vec<JoinHandle<Result<usize, BrokenBarrier>>> {
    (0..n)
        .map(|_| {
            let barrier = barrier.clone();
            let task = spawn(move || barrier.wait_checked().map(|result| result.index()));
            yield_now();
            task
        })
        .collect()
}

fn count_broken(tasks: Vec<JoinHandle<Result<usize, BrokenBarrier>>>) -> usize {
    let broken = tasks
        .into_iter()
        .filter_map(|task| task.join().unwrap().err());
    broken.count()
}

#[test]
fn all_pass_a_barrier_together_ten_times() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let passed: Arc<[AtomicUsize; 2]> = Arc::default();
        Bunch::of(MANY, move |_| {
            for round in 1..=10 {
                for count in passed.iter() {
                    count.fetch_add(1, Ordering::Relaxed);
                    barrier.wait();
                    assert_eq!(count.load(Ordering::Relaxed), round * MANY);
                }
            }
            assert!(!barrier.is_broken());
        })
        .join();
    });
}

#[test]
fn the_indices_of_a_round_are_all_there() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let tasks = at(&barrier, MANY);
        let indices = tasks.into_iter().map(|task| task.join().unwrap().unwrap());
        assert_eq!(indices.sum::<usize>(), MANY * (MANY - 1) / 2);
    });
}

#[test]
fn the_action_runs_once_before_anybody_passes() {
    virtual_time(|| {
        let acted = Arc::new(AtomicUsize::new(0));
        let theirs = acted.clone();
        let action = move || {
            theirs.fetch_add(1, Ordering::Relaxed);
        };
        let barrier = Arc::new(Barrier::with_action(MANY, action));
        Bunch::of(MANY, move |_| {
            barrier.wait();
            assert_eq!(acted.load(Ordering::Relaxed), 1);
        })
        .join();
    });
}

#[test]
fn an_abort_breaks_it_for_everybody() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let tasks = at(&barrier, MANY - 1);
        barrier.abort();
        assert_eq!(count_broken(tasks), MANY - 1);
        assert!(barrier.is_broken());
        assert_eq!(count_broken(at(&barrier, 1)), 1);
        // And reset, it serves again.
        barrier.reset();
        assert_eq!(count_broken(at(&barrier, MANY)), 0);
    });
}

#[test]
fn a_reset_breaks_the_round_and_not_the_barrier() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let tasks = at(&barrier, MANY / 2);
        assert_eq!(barrier.n_waiting(), MANY / 2);
        barrier.reset();
        assert_eq!(count_broken(tasks), MANY / 2);
        assert_eq!(count_broken(at(&barrier, MANY)), 0);
    });
}

#[test]
fn one_who_comes_too_late_finds_it_broken() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let theirs = barrier.clone();
        let bunch = Bunch::of(MANY - 1, move |_| {
            assert!(theirs.wait_timeout(HALF).is_err());
        });
        sleep(2 * HALF);
        assert!(barrier.wait_checked().is_err());
        bunch.join();
    });
}

#[test]
fn a_barrier_for_one_never_waits() {
    let barrier = Barrier::new(1);
    assert!(barrier.wait().is_leader());
    assert!(barrier.wait_timeout(Duration::ZERO).is_ok());
}

/// asyncio: cancelled while it fills, a task is not counted any more, and the barrier is not broken.
#[test]
fn cancelled_ones_are_not_counted() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(MANY));
        let tasks = at(&barrier, MANY - 1);
        for task in tasks.iter().step_by(2) {
            task.cancel();
        }
        wait();
        let left = (MANY - 1) / 2;
        assert_eq!((barrier.n_waiting(), barrier.is_broken()), (left, false));
        let more = at(&barrier, MANY - left);
        let passed = tasks
            .into_iter()
            .chain(more)
            .filter_map(|task| task.join().ok());
        assert_eq!(passed.map(Result::unwrap).count(), MANY);
    });
}
