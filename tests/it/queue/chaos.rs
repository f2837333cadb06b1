//! Nothing is lost or doubled, whatever happens to those who wait, and whoever they are.

use std::collections::HashSet;
use std::time::Duration;

use greenloom::queue::{LifoQueue, PriorityQueue, Queue};
use greenloom::sync::{Arc, Mutex};
use greenloom::{Runtime, sleep, spawn, timeout};

use super::Any;
use crate::util::{Random, virtual_time};

/// Putters and getters that give up, time out and are cancelled by chance.
fn chaos<Q: Any>(seed: u64, capacity: usize) {
    virtual_time(|| {
        let queue = Q::bounded(capacity);
        // Those certainly inside, and those whose put was cancelled: nobody knows.
        let put = Arc::new(Mutex::new(HashSet::new()));
        let perhaps = Arc::new(Mutex::new(HashSet::new()));
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for id in 0..6_u64 {
            let (queue, put, perhaps) = (queue.clone(), put.clone(), perhaps.clone());
            let mut random = Random::new(seed * 100 + id);
            tasks.push(spawn(move || {
                for n in 0..30 {
                    let item = (n * 7 % 10) * 1_000 + id * 100 + n;
                    perhaps.try_lock().unwrap().insert(item);
                    let limit = Duration::from_nanos(random.below(30) as u64);
                    let is_in = match random.below(4) {
                        0 => queue.try_put(item),
                        1 => queue.put_timeout(item, limit).is_ok(),
                        2 => timeout(limit, || queue.put(item)).unwrap_or(false),
                        _ => queue.put(item),
                    };
                    if is_in {
                        put.try_lock().unwrap().insert(item);
                    }
                    sleep(Duration::from_nanos(random.below(20) as u64));
                }
            }));
        }
        for id in 6..12_u64 {
            let (queue, got) = (queue.clone(), got.clone());
            let mut random = Random::new(seed * 100 + id);
            tasks.push(spawn(move || {
                loop {
                    let limit = Duration::from_nanos(random.below(30) as u64);
                    let item = match random.below(4) {
                        0 => queue.try_get().ok(),
                        1 => queue.get_timeout(limit).ok(),
                        2 => timeout(limit, || queue.get().ok()).ok().flatten(),
                        _ => match queue.get() {
                            Ok(item) => Some(item),
                            Err(_) => return,
                        },
                    };
                    if let Some(item) = item {
                        // Never parks: a cancellation between get and note would be our own loss.
                        got.try_lock().unwrap().push(item);
                        queue.task_done().unwrap();
                    }
                    sleep(Duration::from_nanos(random.below(20) as u64));
                }
            }));
        }
        let mut random = Random::new(seed);
        for task in tasks.iter().skip(4).take(4) {
            sleep(Duration::from_nanos(random.below(300) as u64));
            task.cancel();
        }
        let getters = tasks.split_off(6);
        for task in tasks {
            if let Err(error) = task.join() {
                assert!(error.is_cancelled(), "{error:?}");
            }
        }
        queue.join();
        queue.shutdown(false);
        for task in getters {
            if let Err(error) = task.join() {
                assert!(error.is_cancelled(), "{error:?}");
            }
        }
        assert_eq!((queue.len(), queue.unfinished()), (0, 0), "seed {seed}");
        let got = got.lock().unwrap();
        let unique: HashSet<_> = got.iter().copied().collect();
        assert_eq!(unique.len(), got.len(), "seed {seed}: got twice");
        let put = put.lock().unwrap();
        let lost: Vec<_> = put.difference(&unique).collect();
        assert!(
            lost.is_empty(),
            "seed {seed}, capacity {capacity}: lost {lost:?}"
        );
        assert!(unique.is_subset(&perhaps.lock().unwrap()), "seed {seed}");
    });
}

#[test]
fn no_item_is_lost_or_doubled_whatever_happens_to_those_who_wait() {
    for seed in 1..=40 {
        for capacity in [1, 3] {
            chaos::<Queue<u64>>(seed, capacity);
            chaos::<LifoQueue<u64>>(seed, capacity);
            chaos::<PriorityQueue<u64>>(seed, capacity);
        }
    }
}

/// How a task is stopped in the midst.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Cancel,
    TimeOut,
}

/// A small traffic of one putter, one getter and one joiner; one of them is stopped at a time that goes
/// through all of it. Whatever the time, all items come out once.
fn stopped_at<Q: Any>(victim: usize, stop: Stop, at: u64) {
    const ITEMS: u64 = 4;
    virtual_time(|| {
        let queue = Q::bounded(1);
        let got = Arc::new(Mutex::new(Vec::new()));
        let put = Arc::new(Mutex::new(0));
        let begin = |who: usize, is_substitute: bool| {
            let (queue, got, put) = (queue.clone(), got.clone(), put.clone());
            let work = move || match who {
                0 => {
                    // Goes on where the one before has stopped, with the item that was not put for sure.
                    loop {
                        let item = *put.try_lock().unwrap();
                        if item == ITEMS {
                            return;
                        }
                        sleep(Duration::from_nanos(2));
                        // Taken note of before, for who is stopped within has put it or lost it.
                        *put.try_lock().unwrap() = item + 1;
                        if !queue.put(item) {
                            return;
                        }
                    }
                }
                1 => {
                    while let Ok(item) = queue.get() {
                        got.try_lock().unwrap().push(item);
                        sleep(Duration::from_nanos(3));
                        queue.task_done().unwrap();
                    }
                }
                _ => queue.join(),
            };
            let limit = Duration::from_nanos(at);
            spawn(move || match stop {
                Stop::TimeOut if who == victim && !is_substitute => timeout(limit, work).is_ok(),
                _ => {
                    work();
                    true
                }
            })
        };
        let tasks = [0, 1, 2].map(|who| begin(who, false));
        sleep(Duration::from_nanos(at));
        if let Stop::Cancel = stop {
            tasks[victim].cancel();
        }
        sleep(Duration::from_nanos(1));
        // Another one takes its place, and finishes the work.
        let was_done = tasks[victim].is_finished();
        let substitute = begin(victim, true);
        sleep(Duration::from_nanos(200));
        let mut got_now = got.lock().unwrap().clone();
        got_now.sort_unstable();
        let expected: Vec<u64> = (0..ITEMS).collect();
        if victim == 0 {
            // A putter that is stopped loses the one item that it held, at most.
            assert!(
                got_now.len() as u64 >= ITEMS - 1,
                "{stop:?} at {at}: {got_now:?}"
            );
        } else {
            assert_eq!(
                got_now, expected,
                "{victim}, {stop:?} at {at}, done {was_done}"
            );
        }
        let mut unique = got_now.clone();
        unique.dedup();
        assert_eq!(unique, got_now);
        assert_eq!(queue.len(), 0);
        // Of what the getter had in hand when it was stopped, nobody has said that it was done.
        while queue.task_done().is_ok() {}
        queue.shutdown(false);
        drop(substitute.join());
        for task in tasks {
            drop(task.join());
        }
    });
}

#[test]
fn stopping_anybody_at_any_moment_loses_nothing() {
    for stop in [Stop::Cancel, Stop::TimeOut] {
        for victim in 0..3 {
            for at in 1..=24 {
                stopped_at::<Queue<u64>>(victim, stop, at);
                stopped_at::<LifoQueue<u64>>(victim, stop, at);
                stopped_at::<PriorityQueue<u64>>(victim, stop, at);
            }
        }
    }
}

/// Four tasks on two workers and two plain threads put, three tasks and a thread get.
fn shared<Q: Any>(capacity: usize) {
    const EACH: u64 = 1_500;
    let queue = Q::bounded(capacity);
    let produce = |queue: &Q| (1..=EACH).for_each(|n| assert!(queue.put(n)));
    let consume = |queue: &Q| {
        let mut sum = 0;
        while let Ok(n) = queue.get() {
            sum += n;
            queue.task_done().unwrap();
        }
        sum
    };
    let sum: u64 = std::thread::scope(|scope| {
        let putters = [
            scope.spawn(|| produce(&queue)),
            scope.spawn(|| produce(&queue)),
        ];
        let getter = scope.spawn(|| consume(&queue));
        let theirs = queue.clone();
        let sum: u64 = Runtime::builder()
            .workers(2)
            .run(move || {
                let consumers: Vec<_> = (0..3)
                    .map(|_| {
                        let queue = theirs.clone();
                        spawn(move || consume(&queue))
                    })
                    .collect();
                let producers: Vec<_> = (0..4)
                    .map(|_| {
                        let queue = theirs.clone();
                        spawn(move || produce(&queue))
                    })
                    .collect();
                producers.into_iter().for_each(|task| task.join().unwrap());
                putters
                    .into_iter()
                    .for_each(|thread| thread.join().unwrap());
                theirs.join();
                theirs.shutdown(false);
                consumers.into_iter().map(|task| task.join().unwrap()).sum()
            })
            .unwrap();
        sum + getter.join().unwrap()
    });
    assert_eq!(sum, 6 * EACH * (EACH + 1) / 2);
    assert_eq!((queue.len(), queue.unfinished()), (0, 0));
}

#[test]
fn tasks_of_two_workers_and_plain_threads_share_a_queue() {
    for capacity in [1, 16, usize::MAX] {
        shared::<Queue<u64>>(capacity);
        shared::<LifoQueue<u64>>(capacity);
        shared::<PriorityQueue<u64>>(capacity);
    }
}
