//! Objects that processes share: queues, locks, semaphores, events, barriers.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use greenloom::Runtime;
use greenloom::ipc::{
    Barrier, BarrierError, BoundedSemaphore, Condition, Event, GetError, JoinableQueue, Lock,
    PutError, Queue, RLock, Semaphore, TaskDoneError,
};
use greenloom::process::{Builder, Process};

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn items_go_through_in_order_and_end_by_shutdown() {
    let (numbers, squares) = (Queue::<u64>::new(), Queue::<u64>::new());
    let worker = Process::spawn(
        |(numbers, squares): (Queue<u64>, Queue<u64>)| {
            while let Ok(number) = numbers.get() {
                squares.put(&(number * number)).unwrap();
            }
            squares.shutdown(false).unwrap();
        },
        (numbers.clone(), squares.clone()),
    )
    .unwrap();
    for number in 0..100 {
        numbers.put(&number).unwrap();
    }
    numbers.shutdown(false).unwrap();
    assert_eq!(numbers.put(&1), Err(PutError::Shutdown));
    for number in 0..100 {
        assert_eq!(squares.get(), Ok(number * number));
    }
    assert_eq!(squares.get(), Err(GetError::Shutdown));
    worker.join().unwrap();
}

#[test]
fn a_full_queue_keeps_putters_waiting_until_there_is_room() {
    let queue = Queue::<u8>::bounded(1);
    queue.put(&1).unwrap();
    assert_eq!(queue.try_put(&2), Err(PutError::Full));
    assert_eq!(
        queue.put_timeout(&2, Duration::from_millis(5)),
        Err(PutError::Full)
    );
    let putter = Process::spawn(|queue: Queue<u8>| queue.put(&3).unwrap(), queue.clone()).unwrap();
    assert!(!putter.wait_timeout(Duration::from_millis(30)));
    assert_eq!(queue.get(), Ok(1));
    putter.join().unwrap();
    assert_eq!(queue.get(), Ok(3));
    assert_eq!(queue.try_get(), Err(GetError::Empty));
    assert_eq!(
        queue.get_timeout(Duration::from_millis(5)),
        Err(GetError::Empty)
    );
}

#[test]
fn getters_are_served_in_the_order_in_which_they_came() {
    let (queue, log) = (Queue::<u32>::new(), Queue::<(u32, u32)>::new());
    let get = |(number, queue, log): (u32, Queue<u32>, Queue<(u32, u32)>)| {
        let one = Runtime::builder().workers(1);
        let talk = move || {
            let theirs = queue.clone();
            let getter = greenloom::spawn(move || theirs.get().unwrap());
            greenloom::yield_now();
            // It has asked and waits. By the same connection: what is answered now was asked after that.
            queue.len().unwrap();
            log.put(&(number, 0)).unwrap();
            log.put(&(number, getter.join().unwrap())).unwrap();
        };
        one.run(talk).unwrap();
    };
    let mut getters = Vec::new();
    for number in 1..=3 {
        getters.push(Process::spawn(get, (number, queue.clone(), log.clone())).unwrap());
        assert_eq!(log.get(), Ok((number, 0)));
    }
    for item in 10..13 {
        queue.put(&item).unwrap();
    }
    let mut served: Vec<_> = (0..3).map(|_| log.get().unwrap()).collect();
    served.sort_unstable();
    assert_eq!(served, [(1, 10), (2, 11), (3, 12)]);
    getters
        .into_iter()
        .for_each(|getter| getter.join().unwrap());
}

#[test]
fn a_queue_is_passed_on_by_who_does_not_serve_it() {
    let queue = Queue::<u32>::new();
    fn middle(queue: Queue<u32>) {
        let end = Process::spawn(|queue: Queue<u32>| queue.put(&7).unwrap(), queue.clone());
        end.unwrap().join().unwrap();
        queue.put(&8).unwrap();
    }
    Process::spawn(middle, queue.clone())
        .unwrap()
        .join()
        .unwrap();
    assert_eq!((queue.get(), queue.get()), (Ok(7), Ok(8)));
}

#[test]
fn many_tasks_of_one_process_share_its_connection() {
    let (jobs, results) = (Queue::<u32>::new(), Queue::<u32>::new());
    let child = Process::spawn(
        |(jobs, results): (Queue<u32>, Queue<u32>)| {
            greenloom::run(|| {
                greenloom::scope(|scope| {
                    for _ in 0..20 {
                        scope.spawn(|| {
                            while let Ok(job) = jobs.get() {
                                results.put(&job).unwrap();
                            }
                        });
                    }
                });
            });
        },
        (jobs.clone(), results.clone()),
    )
    .unwrap();
    for job in 0..500 {
        jobs.put(&job).unwrap();
    }
    jobs.shutdown(false).unwrap();
    let mut got: Vec<u32> = (0..500).map(|_| results.get().unwrap()).collect();
    got.sort_unstable();
    assert!(got.into_iter().eq(0..500));
    child.join().unwrap();
}

#[test]
fn a_cancelled_getter_loses_no_item() {
    let (queue, ready) = (Queue::<u32>::new(), Event::new());
    let child = Process::spawn(
        |(queue, ready): (Queue<u32>, Event)| {
            greenloom::run(|| {
                let mut sum = 0;
                ready.set().unwrap();
                loop {
                    let theirs = queue.clone();
                    let getter = greenloom::spawn(move || theirs.get());
                    greenloom::sleep(Duration::from_micros(300));
                    getter.cancel();
                    match getter.join() {
                        Ok(Ok(item)) => sum += item,
                        Ok(Err(_)) => return sum,
                        Err(_) => {}
                    }
                }
            })
        },
        (queue.clone(), ready.clone()),
    )
    .unwrap();
    ready.wait().unwrap();
    for item in 1..=100 {
        queue.put(&item).unwrap();
        if item % 10 == 0 {
            greenloom::sleep(Duration::from_millis(1));
        }
    }
    queue.shutdown(false).unwrap();
    assert_eq!(child.join().unwrap(), 5050);
}

#[test]
fn a_joinable_queue_knows_what_is_done() {
    let queue = JoinableQueue::<u32>::new();
    queue.join().unwrap();
    let eat = |queue: JoinableQueue<u32>| {
        while queue.get().is_ok() {
            queue.task_done().unwrap();
        }
    };
    let eaters = [(); 2].map(|()| {
        Builder::new()
            .daemon(true)
            .spawn(eat, queue.clone())
            .unwrap()
    });
    for item in 0..30 {
        queue.put(&item).unwrap();
    }
    queue.join().unwrap();
    assert_eq!(queue.task_done(), Err(TaskDoneError::TooManyTimes));
    queue.put(&1).unwrap();
    queue.shutdown(false).unwrap();
    assert!(queue.join_timeout(LONG).unwrap());
    eaters.into_iter().for_each(|eater| eater.join().unwrap());
}

#[test]
fn items_reported_done_before_they_were_taken_can_be_dropped() {
    let queue = JoinableQueue::<u32>::new();
    let done_early = |queue: JoinableQueue<u32>| {
        for number in 0..3 {
            queue.put(&number).unwrap();
            queue.task_done().unwrap();
        }
        queue.shutdown(true).unwrap();
    };
    Process::spawn(done_early, queue.clone())
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(queue.join_timeout(LONG), Ok(true));
    assert!(matches!(
        queue.task_done(),
        Err(TaskDoneError::TooManyTimes)
    ));
}

#[test]
fn a_lock_is_held_by_one_process_at_a_time() {
    let (lock, total) = (Lock::new(), Queue::<u32>::new());
    total.put(&0).unwrap();
    let count = |(lock, total): (Lock, Queue<u32>)| {
        for _ in 0..50 {
            let _guard = lock.acquire().unwrap();
            let before = total
                .try_get()
                .expect("the one who holds the lock finds it");
            total.put(&(before + 1)).unwrap();
        }
    };
    let counters = [(); 3].map(|()| Process::spawn(count, (lock.clone(), total.clone())).unwrap());
    count((lock.clone(), total.clone()));
    counters
        .into_iter()
        .for_each(|counter| counter.join().unwrap());
    assert_eq!(total.get(), Ok(200));
}

#[test]
fn a_holder_that_dies_lets_go_and_the_next_is_told() {
    let lock = Lock::new();
    let die = |lock: Lock| {
        std::mem::forget(lock.acquire().unwrap());
        process::abort()
    };
    Process::spawn::<Lock>(die, lock.clone())
        .map(|child: Process<()>| child.join())
        .unwrap()
        .unwrap_err();
    let guard = lock.acquire_timeout(LONG).unwrap().expect("it is free");
    assert!(guard.is_abandoned());
    assert!(lock.try_acquire().unwrap().is_none());
    drop(guard);
    assert!(!lock.acquire().unwrap().is_abandoned());
}

#[test]
fn a_recursive_lock_is_its_holders_own() {
    let lock = RLock::new();
    let once = lock.acquire().unwrap();
    let twice = lock.try_acquire().unwrap().unwrap();
    let is_locked = |lock: RLock| lock.try_acquire().unwrap().is_none();
    assert!(
        Process::spawn(is_locked, lock.clone())
            .unwrap()
            .join()
            .unwrap()
    );
    drop(once);
    let theirs = lock.clone();
    assert!(
        std::thread::spawn(move || is_locked(theirs))
            .join()
            .unwrap()
    );
    drop(twice);
    assert!(
        !Process::spawn(is_locked, lock.clone())
            .unwrap()
            .join()
            .unwrap()
    );
}

#[test]
fn permits_are_counted_and_those_of_the_dead_come_back() {
    let semaphore = Semaphore::new(2);
    let hold = |(semaphore, held): (Semaphore, Event)| {
        let _permit = semaphore.acquire().unwrap();
        held.set().unwrap();
        greenloom::sync::Event::new().wait();
    };
    let held = Event::new();
    let child = Process::spawn(hold, (semaphore.clone(), held.clone())).unwrap();
    held.wait().unwrap();
    let permit = semaphore.acquire().unwrap();
    assert!(semaphore.try_acquire().unwrap().is_none());
    child.kill().unwrap();
    drop(
        semaphore
            .acquire_timeout(LONG)
            .unwrap()
            .expect("the dead one's"),
    );
    permit.forget();
    child.join().unwrap_err();
    assert_eq!(semaphore.available_permits(), Ok(1));
    semaphore.release(3).unwrap();
    assert_eq!(semaphore.available_permits(), Ok(4));
    let bounded = BoundedSemaphore::new(1);
    assert!(bounded.release(1).unwrap().is_err());
    bounded.acquire().unwrap().forget();
    assert!(bounded.release(1).unwrap().is_ok());
}

#[test]
fn events_and_barriers_bring_processes_together() {
    let barrier = Barrier::new(3);
    let meet = |barrier: Barrier| barrier.wait().unwrap();
    let children = [(); 2].map(|()| Process::spawn(meet, barrier.clone()).unwrap());
    let mut places = vec![barrier.wait().unwrap()];
    places.extend(children.into_iter().map(|child| child.join().unwrap()));
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
    assert_eq!(
        barrier.wait_timeout(Duration::from_millis(5)),
        Err(BarrierError::Broken)
    );
    assert!(barrier.is_broken().unwrap());
    barrier.reset().unwrap();
    // One that dies in it breaks it.
    let child =
        Process::spawn(|barrier: Barrier| barrier.wait().is_err(), barrier.clone()).unwrap();
    while barrier.n_waiting().unwrap() == 0 {
        greenloom::yield_now();
    }
    child.kill().unwrap();
    child.join().unwrap_err();
    while !barrier.is_broken().unwrap() {
        greenloom::yield_now();
    }
    let event = Event::new();
    assert!(!event.wait_timeout(Duration::from_millis(2)).unwrap());
    event.set().unwrap();
    event.wait().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set().unwrap());
}

#[test]
fn a_condition_wakes_as_many_as_it_is_told_to() {
    let (condition, woken) = (Condition::new(), Queue::<bool>::new());
    let wait = |(condition, woken): (Condition, Queue<bool>)| {
        let mut guard = condition.acquire().unwrap();
        woken.put(&false).unwrap();
        guard.wait().unwrap();
        woken.put(&true).unwrap();
    };
    let children: [_; 3] = std::array::from_fn(|_| {
        let child = Process::spawn(wait, (condition.clone(), woken.clone())).unwrap();
        assert_eq!(woken.get(), Ok(false));
        child
    });
    // Each said so under the lock, so whoever has the lock now finds them asleep.
    assert_eq!(condition.acquire().unwrap().notify_one(), Ok(1));
    assert_eq!(woken.get(), Ok(true));
    assert_eq!(
        woken.get_timeout(Duration::from_millis(10)),
        Err(GetError::Empty)
    );
    assert_eq!(condition.acquire().unwrap().notify_all(), Ok(2));
    children.into_iter().for_each(|child| child.join().unwrap());
    let mut guard = condition.acquire().unwrap();
    assert_eq!(guard.wait_timeout(Duration::from_millis(2)), Ok(false));
    assert_eq!(guard.notify_one(), Ok(0));
}

#[test]
fn without_the_process_that_serves_it_an_object_is_an_error() {
    let (carrier, receiver) = greenloom::ipc::pipe::<(Queue<u32>, Lock), ()>().unwrap();
    let serve = |carrier: greenloom::ipc::Conn<(Queue<u32>, Lock), ()>| {
        carrier.send(&(Queue::new(), Lock::new())).unwrap();
        greenloom::sync::Event::new().wait();
    };
    let child = Process::spawn(serve, carrier).unwrap();
    let (queue, lock) = receiver.recv().unwrap();
    queue.put(&1).unwrap();
    let waiting = std::thread::spawn({
        let queue = queue.clone();
        move || (queue.get(), queue.get())
    });
    assert!(!waiting.is_finished());
    child.kill().unwrap();
    assert_eq!(waiting.join().unwrap().1, Err(GetError::Disconnected));
    assert_eq!(queue.put(&1), Err(PutError::Disconnected));
    assert!(lock.acquire().is_err());
    child.join().unwrap_err();
}

#[test]
fn waits_for_other_processes_are_no_deadlock() {
    let done = greenloom::Runtime::builder().workers(1).run(|| {
        let queue = Arc::new(Queue::<u32>::new());
        let child = Process::spawn(
            |queue: Queue<u32>| {
                greenloom::sleep(Duration::from_millis(50));
                queue.put(&5).unwrap();
            },
            (*queue).clone(),
        );
        let got = queue.get().unwrap();
        child.unwrap().join().unwrap();
        got
    });
    assert_eq!(done.unwrap(), 5);
}

/// Each call's answer may be read by whichever thread leads at that moment, also in the instant in which the caller
/// itself comes to lead.
#[test]
fn threads_that_share_a_connection_read_nobodys_answer_in_vain() {
    const EACH: u32 = 1500;
    let queue = Queue::<u32>::new();
    let child = Process::spawn(
        |queue: Queue<u32>| {
            std::thread::scope(|threads| {
                for _ in 0..6 {
                    threads.spawn(|| (0..EACH).for_each(|n| queue.put(&n).unwrap()));
                }
            });
        },
        queue.clone(),
    )
    .unwrap();
    for _ in 0..6 * EACH {
        queue.get_timeout(LONG).expect("every put is answered");
    }
    child
        .join_timeout(LONG)
        .expect("it ends")
        .expect("as it should");
}
