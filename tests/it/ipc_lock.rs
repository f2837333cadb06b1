//! Locks between processes: dying holders, busy holders, many holders.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use greenloom::ipc::{Event, Lock, SharedArray, SharedValue};
use greenloom::process::{Builder, Process};

use super::util::{Random, green};

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(60);

/// Two numbers that are the same whenever nobody has the lock.
type Twins = SharedArray<u64>;

fn add_for_ever(twins: Twins) {
    loop {
        let mut guard = twins.lock().unwrap();
        if guard.is_abandoned() {
            let first = guard.get(0);
            guard.set(1, first);
        }
        let number = guard.get(0) + 1;
        guard.set(0, number);
        guard.set(1, number);
    }
}

#[test]
fn killed_at_any_moment_holders_and_waiters_hang_nobody() {
    let twins: Twins = SharedArray::from_slice(&[0, 0]).unwrap();
    let spawn = || {
        let builder = Builder::new().daemon(true);
        builder.spawn(add_for_ever, twins.clone()).unwrap()
    };
    let mut children: Vec<_> = (0..3).map(|_| spawn()).collect();
    let mut random = Random::new(5);
    let mut had = 0;
    for round in 0..60 {
        // real sleep: the others are to be caught at different places.
        greenloom::sleep(Duration::from_micros(random.below(3000) as u64));
        let victim = random.below(children.len());
        children[victim].kill().unwrap();
        let mut guard = twins.lock_timeout(LONG).unwrap().expect("it is let go of");
        let (first, second) = (guard.get(0), guard.get(1));
        assert!(
            first == second || guard.is_abandoned(),
            "round {round}: {first} and {second}, and nobody has died"
        );
        guard.set(1, first);
        assert!(first >= had);
        had = first;
        drop(guard);
        children[victim] = spawn();
    }
    for child in children {
        child.kill().unwrap();
        child.join().unwrap_err();
    }
    let guard = twins.lock_timeout(LONG).unwrap();
    assert!(guard.is_some_and(|guard| guard.get(0) > 0));
}

#[test]
fn one_that_waits_has_it_however_busy_the_others_are() {
    let lock = Lock::new();
    let (begun, stop) = (Event::new(), SharedValue::new(0u32).unwrap());
    let hold = |(lock, begun, stop): (Lock, Event, SharedValue<u32>)| {
        begun.set().unwrap();
        while stop.get() == 0 {
            drop(lock.acquire().unwrap());
        }
    };
    let argument = (lock.clone(), begun.clone(), stop.clone());
    let busy = Process::spawn(hold, argument).unwrap();
    begun.wait().unwrap();
    for _ in 0..20 {
        let guard = lock.acquire_timeout(LONG).unwrap().expect("its turn");
        // real sleep: so that the other one has to wait in line.
        greenloom::sleep(Duration::from_micros(200));
        drop(guard);
    }
    stop.set(1);
    busy.join().unwrap();
}

#[test]
fn tasks_threads_and_processes_take_turns() {
    const EACH: u64 = 300;
    let add = |numbers: SharedArray<u64>| {
        let numbers = Arc::new(numbers);
        let work = |numbers: &SharedArray<u64>| {
            for _ in 0..EACH {
                let mut guard = numbers.lock().unwrap();
                let number = guard.get(0);
                if number.is_multiple_of(7) {
                    greenloom::yield_now();
                }
                guard.set(0, number + 1);
            }
        };
        let threads = [(); 2].map(|()| {
            let numbers = numbers.clone();
            std::thread::spawn(move || work(&numbers))
        });
        green(|| {
            let tasks = [(); 3].map(|()| {
                let numbers = numbers.clone();
                greenloom::spawn(move || work(&numbers))
            });
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
        threads.into_iter().for_each(|one| one.join().unwrap());
    };
    let numbers: SharedArray<u64> = SharedArray::from_slice(&[0]).unwrap();
    let children = [(); 2].map(|()| Process::spawn(add, numbers.clone()).unwrap());
    add(numbers.clone());
    children.into_iter().for_each(|child| child.join().unwrap());
    assert_eq!(numbers.get(0), 3 * 5 * EACH);
}

#[test]
fn a_cancelled_waiter_passes_its_turn_on() {
    let lock = Lock::new();
    let take = |lock: Lock| {
        green(|| {
            let guard = lock.acquire().unwrap();
            let waiters = [(); 3].map(|()| {
                let lock = lock.clone();
                greenloom::spawn(move || drop(lock.acquire().unwrap()))
            });
            greenloom::yield_now();
            let [first, second, third] = waiters;
            first.cancel();
            third.cancel();
            drop(guard);
            second.join().unwrap();
            let _ = (first.join(), third.join());
            assert!(lock.acquire_timeout(LONG).unwrap().is_some());
        });
    };
    take(lock.clone());
    Process::spawn(take, lock.clone()).unwrap().join().unwrap();
    assert!(lock.try_acquire().unwrap().is_some());
}

#[test]
fn passed_on_by_a_child_it_is_the_same_lock() {
    let lock = Lock::new();
    let guard = lock.acquire().unwrap();
    let pass_on = |lock: Lock| {
        let is_locked = |lock: Lock| lock.try_acquire().unwrap().is_none();
        Process::spawn(is_locked, lock).unwrap().join().unwrap()
    };
    assert!(
        Process::spawn(pass_on, lock.clone())
            .unwrap()
            .join()
            .unwrap()
    );
    drop(guard);
    let take_and_die = |lock: Lock| {
        let die = |lock: Lock| {
            std::mem::forget(lock.acquire().unwrap());
            process::abort()
        };
        let child: Process<()> = Process::spawn::<Lock>(die, lock).unwrap();
        child.join().is_err()
    };
    assert!(
        Process::spawn(take_and_die, lock.clone())
            .unwrap()
            .join()
            .unwrap()
    );
    let guard = lock.acquire_timeout(LONG).unwrap().expect("it is free");
    assert!(guard.is_abandoned());
}
