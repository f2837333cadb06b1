//! What gevent's `test__queue.py` and its queue documentation check of `gevent.queue`.
//!
//! Not taken over: `Queue(None)` and negative sizes, putting from the hub, the end by a `StopIteration`
//! item, of which only one consumer hears (its issue 827): a queue here ends by `shutdown`, for all.

use std::time::Duration;

use greenloom::queue::{GetTimeoutError, LifoQueue, PriorityQueue, Queue};
use greenloom::sync::{Arc, Mutex};
use greenloom::{sleep, spawn, timeout, yield_now};

use crate::util::{green, virtual_time};

const MOMENT: Duration = Duration::from_millis(10);

// TestQueue.test_send_first, test_send_last
#[test]
fn whoever_comes_first_waits_for_the_other() {
    green(|| {
        let queue = Queue::unbounded();
        queue.put("hi").unwrap();
        assert_eq!(queue.get(), Ok("hi"));
        let theirs = queue.clone();
        let waiter = spawn(move || theirs.get());
        yield_now();
        queue.put("hi2").unwrap();
        assert_eq!(waiter.join().unwrap(), Ok("hi2"));
    });
}

// TestQueue.test_max_size
#[test]
fn the_third_put_into_two_places_waits() {
    green(|| {
        let queue = Queue::bounded(2);
        let results = Arc::new(Mutex::new(Vec::new()));
        let (theirs, book) = (queue.clone(), results.clone());
        let task = spawn(move || {
            for letter in ["a", "b", "c"] {
                theirs.put(letter).unwrap();
                book.lock().unwrap().push(letter);
            }
            "OK"
        });
        yield_now();
        assert_eq!(*results.lock().unwrap(), ["a", "b"]);
        assert_eq!(queue.get(), Ok("a"));
        yield_now();
        assert_eq!(*results.lock().unwrap(), ["a", "b", "c"]);
        assert_eq!((queue.get(), queue.get()), (Ok("b"), Ok("c")));
        assert_eq!(task.join().unwrap(), "OK");
    });
}

// TestQueue.test_multiple_waiters: four there
#[test]
fn each_of_many_waiters_gets_one_and_those_who_time_out_get_none() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let waiters: Vec<_> = (0..5_000)
            .map(|n| {
                let queue = queue.clone();
                // Every other one gives up before anything comes.
                spawn(move || match n % 2 {
                    0 => timeout(MOMENT, || queue.get().unwrap()).ok(),
                    _ => queue.get().ok(),
                })
            })
            .collect();
        sleep(MOMENT * 2);
        (0..2_500).for_each(|n| queue.put(n).unwrap());
        let got: Vec<_> = waiters
            .into_iter()
            .filter_map(|task| task.join().unwrap())
            .collect();
        assert!(got.into_iter().eq(0..2_500));
    });
}

// TestQueue.test_waiters_that_cancel, test_senders_that_die
#[test]
fn a_waiter_that_gave_up_does_not_eat_the_next_item_and_a_dead_sender_s_item_stays() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        assert!(timeout(MOMENT, || queue.get()).is_err());
        queue.put("hi").unwrap();
        assert_eq!(queue.get(), Ok("hi"));
        let theirs = queue.clone();
        spawn(move || theirs.put("from the dead").unwrap())
            .join()
            .unwrap();
        assert_eq!(queue.get(), Ok("from the dead"));
    });
}

// TestQueue.test_two_waiters_one_dies, test_two_bogus_waiters
#[test]
fn of_two_waiters_the_one_that_lives_gets_it() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let (first, second) = (queue.clone(), queue.clone());
        let dies = spawn(move || first.get_timeout(MOMENT));
        let lives = spawn(move || second.get());
        sleep(MOMENT * 2);
        assert_eq!(dies.join().unwrap(), Err(GetTimeoutError::Timeout));
        queue.put("hi").unwrap();
        assert_eq!(lives.join().unwrap(), Ok("hi"));
        // Both give up, and the item stays.
        let bogus =
            [queue.clone(), queue.clone()].map(|queue| spawn(move || queue.get_timeout(MOMENT)));
        sleep(MOMENT * 2);
        queue.put("sent").unwrap();
        assert!(bogus.into_iter().all(|task| task.join().unwrap().is_err()));
        assert_eq!(queue.get(), Ok("sent"));
    });
}

// TestJoinableQueue.test_issue_45: the joiner of an empty queue does not disturb one that waits for an item.
#[test]
fn joining_an_empty_queue_does_not_switch_to_nowhere() {
    green(|| {
        let queue = Queue::<u8>::unbounded();
        let theirs = queue.clone();
        let waiter = spawn(move || theirs.get());
        yield_now();
        queue.join();
        assert!(!waiter.is_finished());
        queue.shutdown(false);
        assert!(waiter.join().unwrap().is_err());
    });
}

// TestGetInterrupt and TestPutInterrupt: the one who waits is interrupted, the queue is as before.
#[test]
fn an_interrupted_wait_leaves_the_queue_as_it_was() {
    virtual_time(|| {
        let queue = Queue::bounded(1);
        assert!(timeout(MOMENT, || queue.get()).is_err());
        assert!(queue.is_empty());
        queue.put(1).unwrap();
        assert!(timeout(MOMENT, || queue.put(2)).is_err());
        assert_eq!((queue.len(), queue.unfinished()), (1, 1));
        assert!(timeout(MOMENT, || queue.join()).is_err());
        assert_eq!(queue.get(), Ok(1));
        assert!(queue.is_empty());
    });
}

// TestQueue.test_put_nowait_unlock, test_get_nowait_unlock: what need not wait serves one that does.
#[test]
fn try_put_and_try_get_serve_those_who_wait() {
    green(|| {
        let queue = Queue::bounded(1);
        let theirs = queue.clone();
        let getter = spawn(move || theirs.get());
        yield_now();
        queue.try_put(5).unwrap();
        assert!(queue.is_empty());
        assert_eq!(getter.join().unwrap(), Ok(5));
        queue.try_put(6).unwrap();
        let theirs = queue.clone();
        let putter = spawn(move || theirs.put(7));
        yield_now();
        assert_eq!(queue.try_get(), Ok(6));
        assert!(queue.is_full());
        assert!(putter.join().unwrap().is_ok());
        assert_eq!(queue.try_get(), Ok(7));
    });
}

// TestQueue.test_put_nowait_simple, test_get_nowait_simple
#[test]
fn try_put_and_try_get_never_wait() {
    let queue = Queue::bounded(1);
    assert!(queue.try_put(1).is_ok() && queue.try_put(2).is_err());
    assert!(queue.try_get().is_ok() && queue.try_get().is_err());
}

// The `items` that a queue of the documentation is made of.
#[test]
fn queues_are_made_of_items() {
    assert!(Queue::from_iter(0..5).try_iter().eq(0..5));
    assert!(LifoQueue::from_iter(0..5).try_iter().eq((0..5).rev()));
    assert!(PriorityQueue::from_iter((0..5).rev()).try_iter().eq(0..5));
    assert_eq!(Queue::from_iter(0..5).unfinished(), 5);
}

// issue 827 and the iteration of the documentation: all consumers hear of the end.
#[test]
fn every_consumer_s_iteration_ends_cleanly() {
    green(|| {
        let queue = Queue::bounded(3);
        let consumers: Vec<_> = (0..1_000)
            .map(|_| {
                let queue = queue.clone();
                spawn(move || queue.iter().sum::<u64>())
            })
            .collect();
        (1..=5_000).for_each(|n| queue.put(n).unwrap());
        queue.shutdown(false);
        let sum: u64 = consumers.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 5_000 * 5_001 / 2);
    });
}
