//! What eventlet's `greenpool_test.py` and gevent's `test__pool.py` check of their pools.
//!
//! Not taken over: `spawn_n` (drop the handle), `GreenPile` (an `imap`, or a `Vec` of handles), negative and
//! non-integer sizes (there are none), `free()` below zero (it stays at 0), `Pool(None)` (no limit is no
//! pool), and gevent's hang when a member spawns into its own full pool (its issue 368).

use std::time::Duration;

use greenloom::pool::GreenPool;
use greenloom::sync::{Arc, Event, Mutex};
use greenloom::{sleep, spawn, timeout, yield_now};

use crate::util::{green, virtual_time};

const MOMENT: Duration = Duration::from_millis(10);

// GreenPool.test_spawn
#[test]
fn a_hundred_jobs_through_four_seats_give_their_values() {
    green(|| {
        let pool = GreenPool::new(4);
        let tasks: Vec<_> = (0..100).map(|n| pool.spawn(move || n)).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), n);
        }
    });
}

// GreenPool.test_waiting
#[test]
fn who_waits_for_a_seat_is_counted() {
    green(|| {
        let pool = GreenPool::new(1);
        let done = Arc::new(Event::new());
        let consume = |pool: &GreenPool| {
            let done = done.clone();
            pool.spawn(move || done.wait())
        };
        let first = consume(&pool);
        assert_eq!((pool.free(), pool.waiting()), (0, 0));
        let (inner, theirs) = (pool.clone(), done.clone());
        let second = spawn(move || inner.spawn(move || theirs.wait()).join().unwrap());
        yield_now();
        assert_eq!((pool.free(), pool.waiting()), (0, 1));
        done.set();
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!((pool.free(), pool.waiting()), (1, 0));
    });
}

// GreenPool.test_multiple_coros, test_timer_cancel
#[test]
fn members_run_while_their_spawner_waits_and_not_before() {
    green(|| {
        let events = Arc::new(Mutex::new(Vec::new()));
        let pool = GreenPool::new(2);
        let (note, other) = (events.clone(), events.clone());
        drop(pool.spawn(move || note.lock().unwrap().push("consumer")));
        drop(pool.spawn(move || other.lock().unwrap().push("producer")));
        assert!(events.lock().unwrap().is_empty());
        pool.wait_all();
        assert_eq!(*events.lock().unwrap(), ["consumer", "producer"]);
    });
}

// GreenPool.test_reentrant, test_stderr_raising's first half
#[test]
fn a_member_of_a_pool_of_one_spawns_into_it() {
    green(|| {
        let pool = GreenPool::new(1);
        let event = Arc::new(Event::new());
        let (inner, theirs) = (pool.clone(), event.clone());
        let reenter = pool.spawn(move || {
            let task = inner.spawn(|| "reenter");
            assert_eq!(task.join().unwrap(), "reenter");
            let task = inner.spawn(move || theirs.set());
            task.join().unwrap();
        });
        reenter.join().unwrap();
        assert!(event.is_set());
        assert_eq!(pool.free(), 1);
    });
}

// GreenPool.test_resize
#[test]
fn a_pool_shrinks_below_its_members_and_grows_for_who_waits() {
    green(|| {
        let pool = GreenPool::new(2);
        let gate = Arc::new(Event::new());
        let wait = || {
            let gate = gate.clone();
            move || gate.wait()
        };
        let tasks = [pool.spawn(wait()), pool.spawn(wait())];
        pool.resize(1);
        assert_eq!((pool.free(), pool.running()), (0, 2));
        assert!(pool.try_spawn(wait()).is_err());
        pool.resize(3);
        assert_eq!(pool.free(), 1);
        let third = pool.spawn(wait());
        gate.set();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        third.join().unwrap();
        assert_eq!(pool.free(), 3);
    });
}

// GreenPool.test_exceptions, test_imap_raises; TestPool's test_imap_error: it goes on after the error
#[test]
fn a_map_goes_on_after_a_failed_item() {
    green(|| {
        let pool = GreenPool::new(2);
        let divide = |n: i32| {
            let Some(half) = 12i32.checked_div(n) else {
                std::panic::resume_unwind(Box::new("divided by zero"))
            };
            half
        };
        let results: Vec<_> = pool.imap([4, 0, 6], divide).collect();
        let shown: Vec<_> = results.into_iter().map(|result| result.ok()).collect();
        assert_eq!(shown, [Some(3), None, Some(2)]);
    });
}

// GreenPool.test_waitall_on_nothing, test_no_leaking
#[test]
fn waiting_for_nothing_returns_at_once() {
    green(|| {
        let pool = GreenPool::new(5);
        pool.wait_all();
        assert!(pool.map(Vec::<u32>::new(), |n| n).is_empty());
        assert_eq!(pool.imap(Vec::<u32>::new(), |n| n).count(), 0);
        pool.wait_all();
    });
}

// GreenPool.test_starmap, test_recursive_waitall (an AssertionError there)
#[test]
fn a_member_that_waits_for_all_is_told_so() {
    green(|| {
        let pool = GreenPool::new(5);
        let inner = pool.clone();
        let task = pool.spawn(move || inner.wait_all());
        assert!(task.join().unwrap_err().is_panic());
    });
}

// GreenPool.test_spawn_n_2, and TestCoroutinePool.test_track_events: killed members leave their seats
#[test]
fn members_that_are_killed_make_room() {
    green(|| {
        let pool = GreenPool::new(1);
        let hit = Arc::new(Mutex::new(Vec::new()));
        let first = pool.spawn(|| sleep(Duration::MAX));
        yield_now();
        first.cancel();
        let note = hit.clone();
        let second = pool.spawn(move || note.lock().unwrap().push(2));
        assert!(first.join().unwrap_err().is_cancelled());
        second.join().unwrap();
        assert_eq!(*hit.lock().unwrap(), [2]);
    });
}

// gevent TestPool.test_imap_no_stop, test_imap_it_unordered: 30 sleeps of which ten go at a time
#[test]
fn three_rounds_of_ten_sleeps_take_three_sleeps() {
    virtual_time(|| {
        let pool = GreenPool::new(10);
        let begun = greenloom::time::now();
        let squares = pool.imap_unordered(0..30u64, |n| {
            sleep(MOMENT);
            n * n
        });
        let mut squares: Vec<_> = squares.map(Result::unwrap).collect();
        assert_eq!(greenloom::time::now() - begun, 3 * MOMENT);
        squares.sort_unstable();
        let expected: Vec<u64> = (0..30).map(|n| n * n).collect();
        assert_eq!(squares, expected);
    });
}

// gevent TestPool.test_imap_random
#[test]
fn ordered_maps_keep_their_order_whatever_the_jobs_take() {
    virtual_time(|| {
        let pool = GreenPool::new(10);
        let nap = |n: u64| {
            sleep(Duration::from_micros(n * 7919 % 100));
            n
        };
        let found: Vec<_> = pool.imap(0..300, nap).map(Result::unwrap).collect();
        assert_eq!(found, (0..300).collect::<Vec<_>>());
        let found = pool.map(0..300, nap).into_iter().map(Result::unwrap);
        assert!(found.eq(0..300));
    });
}

// gevent TestPool.test_terminate, TestPool0.test_wait_full, TestJoinSleep
#[test]
fn a_pool_of_none_is_full_and_terminate_leaves_nobody() {
    virtual_time(|| {
        let none = GreenPool::new(0);
        assert!(timeout(MOMENT, || drop(none.spawn(|| ()))).is_err());
        assert_eq!(none.waiting(), 0);
        let pool = GreenPool::new(4);
        let mut naps = pool.imap(0..1000, |_| sleep(Duration::from_secs(10)));
        assert!(timeout(MOMENT, || naps.next()).is_err());
        pool.terminate();
        assert!(pool.join_timeout(Duration::from_secs(1)));
        assert!(naps.all(|nap| nap.unwrap_err().is_cancelled()));
        assert_eq!(pool.len(), 0);
    });
}

// gevent TestJoinSleep's test_join_raise_error, TestPoolUnlimited.test_many: thousands in a small pool
#[test]
fn thousands_of_jobs_pass_through_a_few_seats() {
    green(|| {
        let pool = GreenPool::new(3);
        let sum = Arc::new(Mutex::new(0u64));
        for n in 0..5_000 {
            let sum = sum.clone();
            drop(pool.spawn(move || {
                yield_now();
                *sum.lock().unwrap() += n;
            }));
            assert!(pool.running() <= 3);
        }
        pool.join();
        assert_eq!(*sum.lock().unwrap(), 5_000 * 4_999 / 2);
    });
}
