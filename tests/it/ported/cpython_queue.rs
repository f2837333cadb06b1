//! What CPython's `Lib/test/test_queue.py` (3.13) checks of `queue.Queue`, `LifoQueue` and `PriorityQueue`.
//!
//! Where it has ten threads, there are thousands of tasks here. Not taken over: what is about Python itself
//! (re-entry from signal handlers and finalizers, the C and the Python twin, negative time-outs, which
//! `Duration` has not).

use std::time::Duration;

use greenloom::queue::{
    GetError, GetTimeoutError, LifoQueue, PriorityQueue, PutTimeoutError, Queue, TryGetError,
};
use greenloom::sync::atomic::{AtomicU64, Ordering};
use greenloom::sync::{Arc, Mutex};
use greenloom::{JoinHandle, Runtime, sleep, spawn, yield_now};

use crate::queue::Any;
use crate::util::virtual_time;

const SIZE: u64 = 5;
const MOMENT: Duration = Duration::from_millis(100);

/// Each test of `BaseQueueTestMixin` runs for the three queues.
macro_rules! for_each_queue {
    ($test:ident) => {
        #[test]
        fn $test() {
            fifo::$test();
            lifo::$test();
            priority::$test();
        }
    };
    ($($test:ident)*) => {
        $(for_each_queue!($test);)*

        mod fifo {
            $(pub(super) fn $test() { super::each::$test::<super::Queue<u64>>(); })*
        }
        mod lifo {
            $(pub(super) fn $test() { super::each::$test::<super::LifoQueue<u64>>(); })*
        }
        mod priority {
            $(pub(super) fn $test() { super::each::$test::<super::PriorityQueue<u64>>(); })*
        }
    };
}

for_each_queue! {
    a_queue_fills_and_empties_and_says_so
    a_blocked_put_and_a_blocked_get_are_released_by_the_other_side
    every_item_of_many_consumers_is_done_before_join_returns
    join_may_be_called_again_and_one_task_done_too_many_is_an_error
    shutdown_of_an_empty_queue_refuses_everything
    shutdown_of_a_full_queue_lets_it_drain
    shutdown_at_once_empties_it
    shutdown_releases_those_who_put
    shutdown_releases_those_who_get
    shutdown_at_once_releases_those_who_join
    shutdown_lets_those_who_join_wait_for_what_is_inside
    many_tasks_put_and_get_while_it_is_shut_down
}

/// Fills up the queue.
fn fill<Q: Any>(queue: &Q) {
    (0..SIZE).for_each(|n| assert!(queue.put(n)));
}

fn settle<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    tasks.into_iter().map(|task| task.join().unwrap()).collect()
}

mod each {
    use super::*;

    // simple_queue_test
    pub(super) fn a_queue_fills_and_empties_and_says_so<Q: Any>() {
        virtual_time(|| {
            let queue = Q::bounded(SIZE as usize);
            assert_eq!(queue.len(), 0);
            for n in 0..SIZE {
                assert!(queue.put(n));
                assert_eq!(queue.len() as u64, n + 1);
            }
            assert!(!queue.try_put(9));
            assert_eq!(
                queue.put_timeout(9, MOMENT),
                Err(PutTimeoutError::Timeout(9))
            );
            let mut got: Vec<_> = (0..SIZE).map(|_| queue.get().unwrap()).collect();
            got.sort_unstable();
            assert_eq!(got, (0..SIZE).collect::<Vec<_>>());
            assert_eq!(queue.try_get(), Err(TryGetError::Empty));
            assert_eq!(queue.get_timeout(MOMENT), Err(GetTimeoutError::Timeout));
        });
    }

    // do_blocking_test: one side blocks, the other comes a moment later.
    pub(super) fn a_blocked_put_and_a_blocked_get_are_released_by_the_other_side<Q: Any>() {
        virtual_time(|| {
            let queue = Q::bounded(SIZE as usize);
            let theirs = queue.clone();
            let later = spawn(move || {
                sleep(MOMENT);
                theirs.put(1)
            });
            assert_eq!(queue.get_timeout(MOMENT * 100), Ok(1));
            assert!(later.join().unwrap());
            fill(&queue);
            let theirs = queue.clone();
            let later = spawn(move || {
                sleep(MOMENT);
                theirs.get()
            });
            assert!(queue.put(9));
            assert!(later.join().unwrap().is_ok());
            assert_eq!(queue.len() as u64, SIZE);
        });
    }

    // test_queue_join, with 3,000 workers instead of 2.
    pub(super) fn every_item_of_many_consumers_is_done_before_join_returns<Q: Any>() {
        let total = Runtime::builder()
            .workers(2)
            .run(|| {
                let (queue, total) = (Q::unbounded(), Arc::new(AtomicU64::new(0)));
                let workers: Vec<_> = (0..3_000)
                    .map(|_| {
                        let (queue, total) = (queue.clone(), total.clone());
                        spawn(move || {
                            while let Ok(n) = queue.get() {
                                yield_now();
                                total.fetch_add(n, Ordering::Relaxed);
                                queue.task_done().unwrap();
                            }
                        })
                    })
                    .collect();
                (0..10_000).for_each(|n| assert!(queue.put(n)));
                queue.join();
                let sum = total.load(Ordering::Relaxed);
                queue.shutdown(false);
                settle(workers);
                queue.join();
                sum
            })
            .unwrap();
        assert_eq!(total, 9_999 * 10_000 / 2);
    }

    // test_queue_task_done
    pub(super) fn join_may_be_called_again_and_one_task_done_too_many_is_an_error<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            assert!(queue.task_done().is_err());
            for _ in 0..2 {
                fill(&queue);
                for _ in 0..SIZE {
                    queue.get().unwrap();
                    queue.task_done().unwrap();
                }
                queue.join();
                assert!(queue.task_done().is_err());
            }
        });
    }

    // test_shutdown_empty
    pub(super) fn shutdown_of_an_empty_queue_refuses_everything<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            queue.shutdown(false);
            assert!(!queue.put(1) && !queue.try_put(1));
            assert_eq!(queue.get(), Err(GetError));
            assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
        });
    }

    // test_shutdown_nonempty, _shutdown_all_methods
    pub(super) fn shutdown_of_a_full_queue_lets_it_drain<Q: Any>() {
        virtual_time(|| {
            let queue = Q::bounded(SIZE as usize);
            fill(&queue);
            queue.shutdown(false);
            assert!(!queue.put(1));
            (0..SIZE).for_each(|_| assert!(queue.try_get().is_ok()));
            assert_eq!(queue.get_timeout(MOMENT), Err(GetTimeoutError::ShutDown));
            assert!(!queue.put(1));
        });
    }

    // test_shutdown_immediate
    pub(super) fn shutdown_at_once_empties_it<Q: Any>() {
        virtual_time(|| {
            let queue = Q::bounded(SIZE as usize);
            fill(&queue);
            queue.shutdown(true);
            assert_eq!((queue.len(), queue.unfinished()), (0, 0));
            assert_eq!(queue.get(), Err(GetError));
            assert!(queue.task_done().is_err());
            queue.join();
        });
    }

    // test_shutdown_put, test_shutdown_immediate_put
    pub(super) fn shutdown_releases_those_who_put<Q: Any>() {
        for immediate in [false, true] {
            virtual_time(|| {
                let queue = Q::bounded(SIZE as usize);
                fill(&queue);
                let putters: Vec<_> = (0..1_000)
                    .map(|n| {
                        let queue = queue.clone();
                        spawn(move || {
                            queue.put_timeout(n, MOMENT * 10) == Err(PutTimeoutError::ShutDown(n))
                        })
                    })
                    .collect();
                sleep(MOMENT);
                queue.shutdown(immediate);
                assert!(settle(putters).into_iter().all(|was_refused| was_refused));
            });
        }
    }

    // test_shutdown_get, test_shutdown_immediate_get
    pub(super) fn shutdown_releases_those_who_get<Q: Any>() {
        for immediate in [false, true] {
            virtual_time(|| {
                let queue = Q::unbounded();
                let getters: Vec<_> = (0..1_000)
                    .map(|_| {
                        let queue = queue.clone();
                        spawn(move || queue.get())
                    })
                    .collect();
                sleep(MOMENT);
                queue.shutdown(immediate);
                assert!(settle(getters).into_iter().all(|got| got == Err(GetError)));
            });
        }
    }

    // test_shutdown_immediate_join, _shutdown_join with nothing in hand
    pub(super) fn shutdown_at_once_releases_those_who_join<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            fill(&queue);
            let joiners: Vec<_> = (0..1_000)
                .map(|_| {
                    let queue = queue.clone();
                    spawn(move || queue.join())
                })
                .collect();
            sleep(MOMENT);
            assert!(joiners.iter().all(|joiner| !joiner.is_finished()));
            queue.shutdown(true);
            settle(joiners);
        });
    }

    // test_shutdown_join, test_shutdown_get_task_done_join
    pub(super) fn shutdown_lets_those_who_join_wait_for_what_is_inside<Q: Any>() {
        virtual_time(|| {
            let queue = Q::unbounded();
            fill(&queue);
            let theirs = queue.clone();
            let joiner = spawn(move || theirs.join());
            yield_now();
            queue.shutdown(false);
            for _ in 0..SIZE {
                sleep(MOMENT);
                assert!(!joiner.is_finished());
                queue.get().unwrap();
                queue.task_done().unwrap();
            }
            joiner.join().unwrap();
        });
    }

    // test_shutdown_all_methods_in_many_threads, test_shutdown_immediate_all_methods_in_many_threads
    pub(super) fn many_tasks_put_and_get_while_it_is_shut_down<Q: Any>() {
        for immediate in [false, true] {
            Runtime::builder()
                .workers(2)
                .run(|| {
                    let queue = Q::bounded(SIZE as usize);
                    let (put, got) = (
                        Arc::new(AtomicU64::new(0)),
                        Arc::new(Mutex::new(Vec::new())),
                    );
                    let putters: Vec<_> = (0..500)
                        .map(|id| {
                            let (queue, put) = (queue.clone(), put.clone());
                            spawn(move || {
                                (0..)
                                    .map(|n| id * 1_000_000 + n)
                                    .take_while(|&n| queue.put(n))
                                    .for_each(|_| {
                                        put.fetch_add(1, Ordering::Relaxed);
                                    });
                            })
                        })
                        .collect();
                    let getters: Vec<_> = (0..500)
                        .map(|_| {
                            let (queue, got) = (queue.clone(), got.clone());
                            spawn(move || {
                                while let Ok(n) = queue.get() {
                                    got.lock().unwrap().push(n);
                                    queue.task_done().unwrap();
                                }
                            })
                        })
                        .collect();
                    while put.load(Ordering::Relaxed) < 5_000 {
                        yield_now();
                    }
                    queue.shutdown(immediate);
                    settle(putters);
                    settle(getters);
                    queue.join();
                    let mut got = got.lock().unwrap().clone();
                    let count = got.len() as u64;
                    got.sort_unstable();
                    got.dedup();
                    assert_eq!(got.len() as u64, count, "twice");
                    let put = put.load(Ordering::Relaxed);
                    assert!(
                        count == put || (immediate && count < put),
                        "{count} of {put}"
                    );
                })
                .unwrap();
        }
    }
}

// The orders of simple_queue_test.
#[test]
fn the_orders_are_those_of_the_documentation() {
    let items = [111, 333, 222];
    let in_order = [
        Queue::from_iter(items).try_iter().collect::<Vec<_>>(),
        LifoQueue::from_iter(items).try_iter().collect(),
        PriorityQueue::from_iter(items).try_iter().collect(),
    ];
    assert_eq!(
        in_order,
        [[111, 333, 222], [222, 333, 111], [111, 222, 333]]
    );
}

// BaseSimpleQueueTest.test_order
#[test]
fn one_consumer_gets_what_one_producer_puts_in_order() {
    let got = Runtime::builder()
        .workers(2)
        .run(|| {
            let queue = Queue::bounded(7);
            let theirs = queue.clone();
            let producer = spawn(move || {
                (0..10_000).for_each(|n| theirs.put(n).unwrap());
                theirs.shutdown(false);
            });
            let got: Vec<_> = queue.iter().collect();
            producer.join().unwrap();
            got
        })
        .unwrap();
    assert!(got.into_iter().eq(0..10_000));
}

// BaseSimpleQueueTest.test_many_threads, _nonblock, _timeout: fifty there.
#[test]
fn thousands_of_feeders_and_consumers_lose_nothing_however_they_get() {
    for way in 0..3 {
        let mut got = Runtime::builder()
            .workers(2)
            .run(|| {
                let queue = Queue::unbounded();
                let consumers: Vec<_> = (0..2_000)
                    .map(|_| {
                        let queue = queue.clone();
                        spawn(move || {
                            let mut got = Vec::new();
                            loop {
                                let next = match way {
                                    0 => queue.get().map_err(|_| true),
                                    1 => queue.try_get().map_err(|e| e.is_shut_down()),
                                    _ => queue
                                        .get_timeout(Duration::from_micros(1))
                                        .map_err(|e| e.is_shut_down()),
                                };
                                match next {
                                    Ok(n) => got.push(n),
                                    Err(true) => return got,
                                    Err(false) => yield_now(),
                                }
                            }
                        })
                    })
                    .collect();
                let feeders: Vec<_> = (0..2_000)
                    .map(|id| {
                        let queue = queue.clone();
                        spawn(move || (0..5).for_each(|n| queue.put(id * 5 + n).unwrap()))
                    })
                    .collect();
                settle(feeders);
                queue.shutdown(false);
                settle(consumers).concat()
            })
            .unwrap();
        got.sort_unstable();
        assert!(got.into_iter().eq(0..10_000));
    }
}
