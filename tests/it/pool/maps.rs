//! Maps over a pool: order, errors in their places, bounded look-ahead, and ends before the end.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::pool::GreenPool;
use greenloom::sync::Event;
use greenloom::task::JoinError;
use greenloom::{park, sleep, spawn, timeout, yield_now};

use super::{SECOND, endless_job, settle};
use crate::util::{green, virtual_time};

#[test]
fn a_failing_item_is_an_error_in_its_place() {
    green(|| {
        let pool = GreenPool::new(3);
        let f = |n: u32| {
            (0..n % 3).for_each(|_| yield_now());
            assert!(n % 4 != 1, "item {n}");
            n * 10
        };
        let shape = |result: Result<u32, JoinError>| match result {
            Ok(value) => value,
            Err(JoinError::Panicked(panic)) if panic.message().starts_with("item") => 1,
            Err(error) => panic!("{error}"),
        };
        let expected = [0, 1, 20, 30, 40, 1, 60, 70, 80, 1];
        let mapped: Vec<_> = pool.map(0..10, f).into_iter().map(shape).collect();
        assert_eq!(mapped, expected);
        let lazy: Vec<_> = pool.imap(0..10, f).map(shape).collect();
        assert_eq!(lazy, expected);
        let mut any: Vec<_> = pool.imap_unordered(0..10, f).map(shape).collect();
        any.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(any, expected);
    });
}

#[test]
fn a_lazy_map_takes_no_more_than_its_look_ahead() {
    green(|| {
        let pool = GreenPool::new(4);
        let taken = Rc::new(Cell::new(0));
        let endless = {
            let taken = taken.clone();
            std::iter::from_fn(move || {
                taken.set(taken.get() + 1);
                Some(taken.get())
            })
        };
        let mut squares = pool.imap(endless, |n: u64| n * n);
        assert_eq!(taken.get(), 0);
        for n in 1..=50 {
            assert_eq!(squares.next().unwrap().unwrap(), n * n);
            assert!(taken.get() < n + 4, "{} of {n}", taken.get());
        }
        drop(squares);
        let taken = Rc::new(Cell::new(0u64));
        let theirs = taken.clone();
        let numbers = (0u64..).inspect(move |_| theirs.set(theirs.get() + 1));
        let mut any = pool.imap_unordered(numbers, |n| n).look_ahead(2);
        for n in 1..=50 {
            any.next().unwrap().unwrap();
            assert!(taken.get() < n + 2);
        }
    });
}

#[test]
fn an_unordered_map_gives_results_as_they_come() {
    virtual_time(|| {
        let pool = GreenPool::new(3);
        let naps = [5, 1, 3, 1, 2];
        let mut order = Vec::new();
        let nap = |seconds: u64| {
            sleep(Duration::from_secs(seconds));
            seconds
        };
        for done in pool.imap_unordered(naps, nap) {
            order.push(done.unwrap());
        }
        assert_eq!(order, [1, 1, 3, 2, 5]);
        let tasks: Vec<_> = [3, 1, 2]
            .into_iter()
            .map(|seconds| pool.spawn(move || nap(seconds)))
            .collect();
        let order: Vec<_> = pool.as_completed(tasks).map(Result::unwrap).collect();
        assert_eq!(order, [1, 2, 3]);
    });
}

#[test]
fn an_iterator_that_is_dropped_early_ends_what_is_under_way() {
    virtual_time(|| {
        let pool = GreenPool::new(4);
        let gone = Arc::new(AtomicUsize::new(0));
        let mut lazy = pool.imap(0.., endless_job(&gone));
        assert!(timeout(SECOND, || lazy.next()).is_err());
        assert_eq!(pool.running(), 4);
        drop(lazy);
        assert_eq!((pool.running(), gone.load(SeqCst)), (0, 4));
        let mut any = pool.imap_unordered(0.., endless_job(&gone));
        assert!(timeout(SECOND, || any.next()).is_err());
        drop(any);
        assert_eq!((pool.running(), gone.load(SeqCst)), (0, 8));
        // And when its owner unwinds.
        let (inner, theirs) = (pool.clone(), gone.clone());
        let owner = spawn(move || inner.imap(0.., endless_job(&theirs)).for_each(drop));
        sleep(SECOND);
        owner.cancel();
        assert!(owner.join().is_err());
        assert_eq!((pool.running(), gone.load(SeqCst)), (0, 12));
        let (inner, theirs) = (pool.clone(), gone.clone());
        let owner = spawn(move || drop(inner.map(0..100, endless_job(&theirs))));
        sleep(SECOND);
        owner.cancel();
        assert!(owner.join().is_err());
        assert_eq!((pool.running(), gone.load(SeqCst)), (0, 16));
        // One that was not begun has nothing to end.
        drop(pool.imap(0.., endless_job(&gone)));
    });
}

#[test]
fn an_input_that_panics_does_so_in_its_place() {
    green(|| {
        let pool = GreenPool::new(4);
        let input = || {
            (0..10).inspect(|&n| {
                if n == 3 {
                    std::panic::panic_any("no more")
                }
            })
        };
        let mut lazy = pool.imap(input(), |n| n);
        for n in 0..3 {
            assert_eq!(lazy.next().unwrap().unwrap(), n);
        }
        let panic = catch_unwind(AssertUnwindSafe(|| lazy.next())).unwrap_err();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "no more");
        assert!(lazy.next().is_none());
        let mut any = pool.imap_unordered(input(), |n| n);
        let three: BTreeSet<_> = any.by_ref().take(3).map(Result::unwrap).collect();
        assert_eq!(three, BTreeSet::from([0, 1, 2]));
        assert!(catch_unwind(AssertUnwindSafe(|| any.next())).is_err());
        assert!(any.next().is_none());
        let mapped = catch_unwind(AssertUnwindSafe(|| pool.map(input(), |n| n)));
        assert!(mapped.is_err());
        assert_eq!(pool.running(), 0);
        // It goes on to be used.
        assert_eq!(pool.map([1], |n| n).pop().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_next_that_is_cut_short_loses_no_item_and_no_result() {
    for ordered in [true, false] {
        virtual_time(move || {
            let pool = GreenPool::new(3);
            // An input that waits, jobs that wait, and a neighbour who takes seats away.
            let mut next = 0..40u64;
            let input = std::iter::from_fn(move || {
                sleep(Duration::from_nanos(3));
                next.next()
            });
            let job = |n: u64| {
                sleep(Duration::from_nanos(n % 7));
                n
            };
            let neighbour = pool.clone();
            let busy = spawn(move || {
                for n in 0..200 {
                    drop(neighbour.spawn(move || sleep(Duration::from_nanos(n % 5))));
                }
            });
            let mut lazy: Box<dyn Iterator<Item = Result<u64, JoinError>>> = match ordered {
                true => Box::new(pool.imap(input, job)),
                false => Box::new(pool.imap_unordered(input, job)),
            };
            let mut found = Vec::new();
            let mut cut = 0;
            for nanos in (1..12).cycle() {
                match timeout(Duration::from_nanos(nanos), || lazy.next()) {
                    Ok(None) => break,
                    Ok(Some(result)) => found.push(result.unwrap()),
                    Err(_) => cut += 1,
                }
            }
            assert!(cut > 10, "{cut}");
            if !ordered {
                found.sort_unstable();
            }
            assert_eq!(found, (0..40).collect::<Vec<_>>());
            busy.join().unwrap();
            pool.join();
        });
    }
}

#[test]
fn results_that_are_there_already_come_first_and_in_order() {
    green(|| {
        let pool = GreenPool::new(8);
        let mut tasks: Vec<_> = (0..4).map(|n| pool.spawn(move || n)).collect();
        pool.wait_all();
        tasks.insert(
            0,
            pool.spawn(|| {
                park();
                9
            }),
        );
        settle();
        let slow = tasks[0].task();
        let mut completed = pool.as_completed(tasks);
        assert_eq!(completed.len(), 5);
        for n in 0..4 {
            assert_eq!(completed.next().unwrap().unwrap(), n);
        }
        slow.unpark();
        assert_eq!(completed.next().unwrap().unwrap(), 9);
        assert!(completed.next().is_none());
    });
}

#[test]
fn a_dropped_as_completed_lets_the_tasks_go_on() {
    green(|| {
        let pool = GreenPool::new(2);
        let done = Arc::new(AtomicBool::new(false));
        let theirs = done.clone();
        let task = pool.spawn(move || {
            settle();
            theirs.store(true, SeqCst);
        });
        drop(pool.as_completed([task]));
        pool.join();
        assert!(done.load(SeqCst));
    });
}

#[test]
fn a_member_whose_lazy_map_runs_late_loses_no_item() {
    virtual_time(|| {
        let pool = GreenPool::new(1);
        let own = pool.clone();
        let member = pool.spawn(move || {
            // Each takes longer than the limit: it goes on between two looks at it.
            let job = |n: u32| {
                greenloom::sleep(Duration::from_secs(4));
                n
            };
            let mut ordered = own.imap(0..3, job);
            let mut unordered = own.imap_unordered(3..6, job);
            let mut found = Vec::new();
            let mut look = |next: &mut dyn FnMut() -> Option<Result<u32, JoinError>>| loop {
                match timeout(Duration::from_secs(3), &mut *next) {
                    Ok(Some(result)) => found.push(result.unwrap()),
                    Ok(None) => break,
                    Err(_) => {}
                }
            };
            look(&mut || ordered.next());
            look(&mut || unordered.next());
            found
        });
        assert_eq!(member.join().unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_job_that_drops_its_own_iterator_does_not_wait_for_itself() {
    type Map = Box<dyn Iterator<Item = Result<u32, JoinError>> + Send>;

    fn check(map: impl FnOnce(GreenPool, Arc<Mutex<Option<Map>>>, Arc<Event>) -> Map) {
        let pool = GreenPool::new(2);
        let (place, filled) = (Arc::<Mutex<Option<Map>>>::default(), Arc::new(Event::new()));
        let mut map = map(pool.clone(), place.clone(), filled.clone());
        assert_eq!(map.next().unwrap().unwrap(), 0);
        *place.lock().unwrap() = Some(map);
        filled.set();
        pool.wait_all();
        assert!(place.lock().unwrap().is_none());
    }

    green(|| {
        let job = |place: Arc<Mutex<Option<Map>>>, filled: Arc<Event>| {
            move |n| {
                if n == 1 {
                    filled.wait();
                    let own = place.lock().unwrap().take();
                    drop(own);
                }
                n
            }
        };
        check(|pool, place, filled| Box::new(pool.imap(0..9, job(place, filled))));
        check(|pool, place, filled| Box::new(pool.imap_unordered(0..9, job(place, filled))));
    });
}
