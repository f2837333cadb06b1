//! What CPython's `Lib/test/test_asyncio/test_queues.py` (3.13) checks of `asyncio.Queue` and its kin.

use std::time::Duration;

use greenloom::queue::{GetTimeoutError, LifoQueue, PriorityQueue, Queue, TryGetError};
use greenloom::sync::{Arc, Mutex};
use greenloom::{JoinHandle, scope, sleep, spawn, timeout, yield_now};

use crate::queue::Any;
use crate::util::{green, virtual_time};

const MOMENT: Duration = Duration::from_millis(10);

fn getter<Q: Any>(queue: &Q) -> JoinHandle<Option<u64>> {
    let queue = queue.clone();
    let task = spawn(move || queue.get().ok());
    yield_now();
    task
}

fn putter<Q: Any>(queue: &Q, item: u64) -> JoinHandle<bool> {
    let queue = queue.clone();
    let task = spawn(move || queue.put(item));
    yield_now();
    task
}

// QueueBasicTests.test_maxsize
#[test]
fn a_put_beyond_the_size_waits_for_the_get() {
    virtual_time(|| {
        let queue = Queue::bounded(2);
        let have_been_put = Arc::new(Mutex::new(Vec::new()));
        let (theirs, book) = (queue.clone(), have_been_put.clone());
        let task = spawn(move || {
            for n in 0..3 {
                theirs.put(n).unwrap();
                book.lock().unwrap().push(n);
            }
        });
        sleep(MOMENT);
        assert_eq!(*have_been_put.lock().unwrap(), [0, 1]);
        assert_eq!(queue.get(), Ok(0));
        sleep(MOMENT);
        assert_eq!(*have_been_put.lock().unwrap(), [0, 1, 2]);
        assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
        task.join().unwrap();
    });
}

// QueueGetTests.test_blocking_get, _wait, test_get_with_putters
#[test]
fn a_get_of_a_full_queue_lets_the_waiting_putter_in() {
    virtual_time(|| {
        let queue = Queue::bounded(1);
        queue.put(1).unwrap();
        let waiter = putter(&queue, 2);
        assert_eq!(queue.get(), Ok(1));
        assert_eq!(queue.len(), 1);
        assert!(waiter.join().unwrap());
        assert_eq!(queue.get(), Ok(2));
    });
}

// QueueGetTests.test_get_cancelled
#[test]
fn cancelled_getters_leave_their_turns_to_the_others() {
    fn test<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            assert!(timeout(MOMENT, || queue.get()).is_err());
            let (first, second) = (getter(&queue), getter(&queue));
            first.cancel();
            yield_now();
            assert!(queue.put(7));
            assert_eq!(second.join().unwrap(), Some(7));
        });
    }
    test::<Queue<u64>>();
    test::<LifoQueue<u64>>();
    test::<PriorityQueue<u64>>();
}

// QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters,
// QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters: ten thousand, one after another.
#[test]
fn waiters_that_timed_out_are_not_kept() {
    virtual_time(|| {
        let queue = Queue::bounded(1);
        for n in 0..10_000 {
            assert_eq!(queue.get_timeout(MOMENT), Err(GetTimeoutError::Timeout));
            queue.put(n).unwrap();
            assert!(queue.put_timeout(n, MOMENT).is_err());
            assert_eq!(queue.try_get(), Ok(n));
        }
        assert!(queue.is_empty());
    });
}

// QueueGetTests.test_why_are_getters_waiting, QueuePutTests.test_why_are_putters_waiting
#[test]
fn as_many_waiters_go_on_as_there_are_items_or_places() {
    green(|| {
        let queue = Queue::bounded(2);
        let getters = [getter(&queue), getter(&queue)];
        let putters = [0, 1, 2, 3, 4].map(|n| putter(&queue, n));
        assert_eq!(getters.map(|task| task.join().unwrap()), [Some(0), Some(1)]);
        assert_eq!(queue.len(), 2);
        let got = [queue.get(), queue.get(), queue.get()];
        assert_eq!(got, [Ok(2), Ok(3), Ok(4)]);
        assert!(putters.into_iter().all(|task| task.join().unwrap()));
    });
}

// QueuePutTests.test_put_cancelled, test_put_cancelled_race
#[test]
fn a_cancelled_putter_puts_nothing_and_wakes_the_next() {
    fn test<Q: Any>() {
        green(|| {
            let queue = Q::bounded(1);
            assert!(queue.put(1));
            let (second, third) = (putter(&queue, 2), putter(&queue, 3));
            second.cancel();
            assert!(second.join().unwrap_err().is_cancelled());
            assert_eq!(queue.get(), Ok(1));
            assert!(third.join().unwrap());
            assert_eq!(
                (queue.get(), queue.try_get()),
                (Ok(3), Err(TryGetError::Empty))
            );
        });
    }
    test::<Queue<u64>>();
    test::<LifoQueue<u64>>();
    test::<PriorityQueue<u64>>();
}

// QueuePutTests.test_float_maxsize, test_nonblocking_put_exception, test_cancelled_put_silence_value_error_exception
#[test]
fn a_try_put_into_a_full_queue_gives_the_item_back() {
    let queue = Queue::bounded(1);
    queue.put("in").unwrap();
    assert_eq!(queue.try_put("out").unwrap_err().into_inner(), "out");
}

// _QueueJoinTestMixin.test_format, test_task_done
#[test]
fn two_workers_finish_what_was_put_before_join_returns() {
    fn test<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            (0..100).for_each(|n| assert!(queue.put(n)));
            let sum = Arc::new(Mutex::new(0));
            let workers = [0, 1].map(|_| {
                let (queue, sum) = (queue.clone(), sum.clone());
                spawn(move || {
                    while let Ok(n) = queue.get() {
                        *sum.lock().unwrap() += n;
                        sleep(MOMENT);
                        queue.task_done().unwrap();
                    }
                })
            });
            queue.join();
            assert_eq!(*sum.lock().unwrap(), 99 * 100 / 2);
            queue.shutdown(false);
            workers
                .into_iter()
                .for_each(|worker| worker.join().unwrap());
        });
    }
    test::<Queue<u64>>();
    test::<LifoQueue<u64>>();
    test::<PriorityQueue<u64>>();
}

// _QueueJoinTestMixin.test_join_empty_queue: bounded joins of nothing return at once, as often as asked.
#[test]
fn joining_an_empty_queue_returns_at_once() {
    let queue = Queue::<u8>::unbounded();
    queue.join();
    queue.join();
    assert!(queue.join_timeout(Duration::ZERO));
}

// _QueueShutdownTestMixin.test_shutdown_repr
#[test]
fn a_queue_says_that_it_is_shut_down() {
    let queue = Queue::<u8>::unbounded();
    queue.shutdown(false);
    assert!(queue.is_shut_down());
    assert!(format!("{queue:?}").contains("is_shut_down: true"));
}

// _QueueShutdownTestMixin.test_shutdown_nonempty: a putter waits, a getter comes, then it is over.
#[test]
fn a_shutdown_of_a_full_queue_refuses_the_putter_that_waits_and_gives_the_getter_what_is_inside() {
    fn test<Q: Any>() {
        green(|| {
            let queue = Q::bounded(1);
            assert!(queue.put(1));
            let waiting = putter(&queue, 2);
            let theirs = queue.clone();
            let joiner = spawn(move || theirs.join());
            yield_now();
            queue.shutdown(false);
            assert!(!waiting.join().unwrap());
            assert_eq!(queue.get(), Ok(1));
            assert!(queue.get().is_err() && !queue.put(3) && !joiner.is_finished());
            queue.task_done().unwrap();
            joiner.join().unwrap();
            assert!(queue.task_done().is_err());
        });
    }
    test::<Queue<u64>>();
    test::<LifoQueue<u64>>();
    test::<PriorityQueue<u64>>();
}

// _QueueShutdownTestMixin.test_shutdown_immediate_with_unfinished
#[test]
fn a_shutdown_at_once_leaves_those_in_hand_to_be_done() {
    fn test<Q: Any>() {
        green(|| {
            let queue = Q::bounded(2);
            assert!(queue.put(1) && queue.put(2));
            queue.get().unwrap();
            let theirs = queue.clone();
            let joiner = spawn(move || theirs.join());
            yield_now();
            queue.shutdown(true);
            assert_eq!((queue.len(), queue.unfinished()), (0, 1));
            yield_now();
            assert!(!joiner.is_finished());
            queue.task_done().unwrap();
            joiner.join().unwrap();
            assert!(queue.task_done().is_err());
        });
    }
    test::<Queue<u64>>();
    test::<LifoQueue<u64>>();
    test::<PriorityQueue<u64>>();
}

// QueueGetTests.test_get_cancelled_race, at every moment of the hand-over.
#[test]
fn an_item_handed_over_in_the_moment_of_a_time_out_is_had_or_stays() {
    for late in 0..6 {
        virtual_time(|| {
            let queue = Queue::unbounded();
            let got = scope(|s| {
                let queue = &queue;
                s.spawn(move || {
                    sleep(Duration::from_nanos(3));
                    queue.put(5).unwrap();
                });
                timeout(Duration::from_nanos(late), || queue.get().unwrap()).ok()
            });
            assert_eq!(got.or_else(|| queue.try_get().ok()), Some(5), "{late}");
        });
    }
}
