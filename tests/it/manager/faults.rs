//! What is left when a manager, or one of its clients, dies, is cancelled, or does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use greenloom::ipc::{
    BarrierError, Dict, Disconnected, Event, GetError, JoinableQueue, List, Lock, Manager,
    ManagerError, PutError, Semaphore,
};
use greenloom::process::{Process, send_signal};

use greenloom::signal::Signal;

use super::LONG;
use crate::watch::watched;

/// Waits for what comes soon.
#[track_caller]
fn eventually(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it does not come");
        greenloom::sleep(Duration::from_millis(1));
    }
}

type Waits = (JoinableQueue<u32>, Lock, Event, Semaphore);

/// One wait of each kind, by turns; whether it ended as it should when the manager died.
fn wait((queue, lock, event, semaphore): &Waits, turn: usize) -> bool {
    match turn % 4 {
        0 => queue.get() == Err(GetError::Disconnected),
        1 => lock.acquire().is_err(),
        2 => event.wait().is_err(),
        _ => semaphore.acquire().is_err(),
    }
}

#[test]
fn the_death_of_a_manager_is_an_error_to_all_who_wait_in_every_process() {
    let manager = Manager::start().unwrap();
    let waits: Waits = (
        manager.queue().unwrap(),
        manager.lock().unwrap(),
        manager.event().unwrap(),
        manager.semaphore(0).unwrap(),
    );
    let held = waits.1.acquire().unwrap();
    let count = manager.value(&0_u32).unwrap();
    // A hundred: 40 tasks and 10 threads here, and as many in a child.
    fn crowd(waits: &Waits, begin: impl Fn() + Send + Sync) -> usize {
        let ended = AtomicU32::new(0);
        std::thread::scope(|threads| {
            for turn in 0..10 {
                threads.spawn({
                    let (begin, ended) = (&begin, &ended);
                    move || {
                        begin();
                        ended.fetch_add(u32::from(wait(waits, turn)), Ordering::Relaxed);
                    }
                });
            }
            greenloom::run(|| {
                greenloom::scope(|tasks| {
                    for turn in 0..40 {
                        let (begin, ended) = (&begin, &ended);
                        tasks.spawn(move || {
                            begin();
                            ended.fetch_add(u32::from(wait(waits, turn)), Ordering::Relaxed);
                        });
                    }
                });
            });
        });
        ended.into_inner() as usize
    }
    let child = Process::spawn(
        |(waits, ready): (Waits, greenloom::ipc::Queue<()>)| {
            crowd(&waits, || ready.put(&()).unwrap())
        },
        (waits.clone(), {
            let ready = greenloom::ipc::Queue::new();
            READY.set(ready.clone()).unwrap();
            ready
        }),
    )
    .unwrap();
    let here = std::thread::spawn({
        let waits = waits.clone();
        move || crowd(&waits, || READY.get().unwrap().put(&()).unwrap())
    });
    for _ in 0..100 {
        READY.get().unwrap().get_timeout(LONG).unwrap();
    }
    count.set(&1).unwrap();
    let killed = Instant::now();
    send_signal(manager.process_id().unwrap(), Signal::KILL).unwrap();
    assert_eq!(here.join().unwrap(), 50);
    assert_eq!(child.join().unwrap(), 50);
    assert!(killed.elapsed() < LONG);
    // And to all who come.
    drop(held);
    assert!(manager.is_gone());
    assert_eq!(count.get(), Err(ManagerError::Disconnected));
    assert_eq!(waits.0.put(&1), Err(PutError::Disconnected));
    assert_eq!(
        manager.list::<u8>().unwrap_err(),
        ManagerError::Disconnected
    );
}

static READY: std::sync::OnceLock<greenloom::ipc::Queue<()>> = std::sync::OnceLock::new();

#[test]
fn a_client_that_dies_lets_go_of_what_it_held() {
    let manager = Manager::start().unwrap();
    let (lock, semaphore) = (manager.lock().unwrap(), manager.semaphore(2).unwrap());
    let barrier = manager.barrier(2).unwrap();
    type Held = (Lock, Semaphore, greenloom::ipc::Barrier);
    let die = |(lock, semaphore, barrier): Held| {
        std::mem::forget(lock.acquire().unwrap());
        std::mem::forget(semaphore.acquire().unwrap());
        let _ = barrier.wait();
    };
    let argument = (lock.clone(), semaphore.clone(), barrier.clone());
    let child = Process::spawn(die, argument).unwrap();
    eventually(|| barrier.n_waiting() == Ok(1));
    assert!(lock.try_acquire().unwrap().is_none());
    assert_eq!(semaphore.available_permits(), Ok(1));
    let next = std::thread::spawn({
        let lock = lock.clone();
        move || lock.acquire().unwrap().is_abandoned()
    });
    child.kill().unwrap();
    child.join().unwrap_err();
    assert!(next.join().unwrap(), "the next one is told");
    assert!(!lock.acquire().unwrap().is_abandoned(), "and nobody after");
    let both = [(); 2].map(|()| semaphore.acquire_timeout(LONG).unwrap().unwrap());
    assert_eq!(semaphore.available_permits(), Ok(0));
    drop(both);
    assert_eq!(barrier.wait(), Err(BarrierError::Broken));
}

#[test]
fn a_getter_that_is_cancelled_or_dies_loses_no_item() {
    let manager = Manager::start().unwrap();
    let (queue, list) = (
        manager.queue::<u32>().unwrap(),
        manager.list::<u32>().unwrap(),
    );
    fn race((queue, list): (JoinableQueue<u32>, List<u32>)) -> u32 {
        greenloom::run(|| {
            let mut sum = 0;
            // One in four is left alone: on one processor no answer may ever be there before the cancellation.
            let mut rounds = 0_u32;
            let mut is_cut_short = || {
                rounds += 1;
                !rounds.is_multiple_of(4)
            };
            loop {
                let theirs = queue.clone();
                let getter = greenloom::spawn(move || theirs.get());
                if is_cut_short() {
                    greenloom::sleep(Duration::from_micros(300));
                    getter.cancel();
                }
                match getter.join() {
                    Ok(Ok(item)) => sum += item,
                    Ok(Err(_)) => break,
                    Err(_) => {}
                }
            }
            loop {
                let theirs = list.clone();
                let getter = greenloom::spawn(move || theirs.pop());
                if is_cut_short() {
                    greenloom::yield_now();
                    getter.cancel();
                }
                match getter.join().map(Result::unwrap) {
                    Ok(Some(item)) => sum += item,
                    Ok(None) => return sum,
                    Err(_) => {}
                }
            }
        })
    }
    list.extend(&(1..=50).collect::<Vec<_>>()).unwrap();
    let child = Process::spawn(race, (queue.clone(), list.clone())).unwrap();
    for item in 1..=100 {
        queue.put(&item).unwrap();
        if item % 10 == 0 {
            greenloom::sleep(Duration::from_millis(1));
        }
    }
    queue.shutdown(false).unwrap();
    assert_eq!(child.join().unwrap(), 5050 + 1275);
}

#[test]
fn a_manager_that_is_stopped_costs_who_has_a_limit_no_more_than_that_and_some_seconds() {
    let manager = Manager::start().unwrap();
    let (queue, value) = (manager.queue::<u32>().unwrap(), manager.value(&1).unwrap());
    let id = manager.process_id().unwrap();
    send_signal(id, Signal::STOP).unwrap();
    let begun = Instant::now();
    let without = std::thread::spawn({
        let queue = queue.clone();
        move || queue.get()
    });
    let outcome = queue.get_timeout(Duration::from_millis(10));
    assert_eq!(outcome, Err(GetError::Empty));
    assert!(begun.elapsed() < LONG);
    // One connection, and it was given up in the end.
    assert_eq!(without.join().unwrap(), Err(GetError::Disconnected));
    let soon = value.with_timeout(Duration::from_millis(10));
    assert_eq!(soon.get(), Err(ManagerError::Disconnected));
    let soon = manager.with_timeout(Duration::from_millis(10));
    assert_eq!(soon.names(), Err(ManagerError::Disconnected));
    // It can be ended all the same.
    manager.shutdown().unwrap();
}

#[test]
fn a_manager_ends_with_its_last_handle_or_before() {
    let manager = Manager::start().unwrap();
    let list = manager.list::<u32>().unwrap();
    drop(manager);
    list.push(&1).unwrap();
    let child = Process::spawn(
        |list: List<u32>| {
            while list.len().is_ok() {
                greenloom::sleep(Duration::from_millis(1));
            }
        },
        list.clone(),
    );
    drop(list);
    child.unwrap().join().unwrap();

    let manager = Manager::start().unwrap();
    let list = manager.list::<u32>().unwrap();
    manager.shutdown().unwrap();
    manager.shutdown().unwrap();
    assert_eq!(list.push(&1), Err(ManagerError::Disconnected));
}

#[test]
fn a_hundred_tasks_and_ten_threads_use_one_connection() {
    let manager = Manager::start().unwrap();
    let dict: Dict<u32, u32> = manager.dict().unwrap();
    let (queue, lock) = (manager.queue::<u32>().unwrap(), manager.lock().unwrap());
    let held = Arc::new(AtomicU32::new(0));
    let work = |number: u32| {
        for round in 0..10 {
            dict.insert(&number, &round).unwrap();
            assert_eq!(dict.get(&number), Ok(Some(round)));
            queue.put(&number).unwrap();
            let guard = lock.acquire().unwrap();
            assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0);
            held.fetch_sub(1, Ordering::Relaxed);
            drop(guard);
            queue.get().unwrap();
        }
    };
    std::thread::scope(|threads| {
        for number in 0..10 {
            let work = &work;
            threads.spawn(move || work(number));
        }
        let runtime = greenloom::Runtime::builder().workers(2);
        runtime
            .run(|| {
                greenloom::scope(|tasks| {
                    for number in 10..110 {
                        let work = &work;
                        tasks.spawn(move || work(number));
                    }
                });
            })
            .unwrap();
    });
    assert_eq!(dict.len(), Ok(110));
    assert_eq!(queue.len(), Ok(0));
    assert_eq!(lock.acquire().map(|guard| guard.is_abandoned()), Ok(false));
    let _: Result<(), Disconnected> = manager.event().unwrap().set();
}

#[test]
fn big_values_cross_beside_small_ones() {
    const BIG: usize = 16 << 20;
    let manager = Manager::start().unwrap();
    let dict: Dict<u32, Vec<u8>> = manager.dict().unwrap();
    std::thread::scope(|threads| {
        for number in 0..3 {
            let dict = &dict;
            threads.spawn(move || {
                let big = vec![number as u8; BIG];
                dict.insert(&number, &big).unwrap();
                assert!(dict.get(&number).unwrap().unwrap() == big);
            });
        }
        let small = manager.value(&0_u32).unwrap();
        for n in 0..200 {
            small.set(&n).unwrap();
            assert_eq!(small.get(), Ok(n));
        }
    });
    assert_eq!(dict.len(), Ok(3));
}

/// Answers that nobody reads keep a manager from listening, and calls that it does not listen to fill the socket: so
/// whoever waits for room to call must not be the one whom all others rely on to read.
#[test]
fn big_calls_and_big_answers_do_not_stand_in_each_other_s_way() {
    watched(|| {
        const BIG: usize = 2 << 20;
        let manager = Manager::start().unwrap();
        let dict: Dict<u32, String> = manager.dict().unwrap();
        let big = "x".repeat(BIG);
        dict.insert(&0, &big).unwrap();
        std::thread::scope(|threads| {
            for number in 0..12 {
                let (dict, big) = (&dict, &big);
                threads.spawn(move || {
                    for _ in 0..20 {
                        // More answers than calls, for there must be some in line.
                        match number % 4 {
                            0 => drop(dict.insert(&number, big).unwrap()),
                            _ => assert_eq!(dict.get(&0).unwrap().map(|it| it.len()), Some(BIG)),
                        }
                    }
                });
            }
        });
    });
}
