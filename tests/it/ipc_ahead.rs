//! Puts that do not wait for their answers, as if they had: order, ends, killed putters; and servers that say nothing.

use std::time::{Duration, Instant};

use greenloom::ipc::{
    Conn, Event, GetError, JoinableQueue, Lock, PutError, Queue, Semaphore, pipe,
};
use greenloom::process::{Builder, Process, send_signal};
use greenloom::signal::Signal;

use super::util::{Random, stop_process};

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(60);

/// Puts what it is told to, and says that it has.
fn put_and_tell((queue, conn): (Queue<u32>, Conn<u32>)) {
    while let Ok(item) = conn.recv() {
        queue.put(&item).unwrap();
        conn.send(&item).unwrap();
    }
}

/// Looks into the queue when it is told to, and says what it finds.
fn look_and_tell((queue, conn): (Queue<u32>, Conn<Option<u32>, u32>)) {
    while conn.recv().is_ok() {
        conn.send(&queue.try_get().ok()).unwrap();
    }
}

#[test]
fn a_put_has_happened_when_it_returns() {
    let queue = Queue::<u32>::new();
    let (putter, its) = pipe::<u32, u32>().unwrap();
    let first = Process::spawn(put_and_tell, (queue.clone(), its)).unwrap();
    let (looker, its) = pipe::<u32, Option<u32>>().unwrap();
    let second = Process::spawn(look_and_tell, (queue.clone(), its)).unwrap();
    for item in 0..1000 {
        putter.send(&item).unwrap();
        assert_eq!(putter.recv().unwrap(), item);
        // In the process that serves it, and in a third one.
        match item % 2 {
            0 => assert_eq!(queue.try_get(), Ok(item)),
            _ => {
                looker.send(&0).unwrap();
                assert_eq!(looker.recv().unwrap(), Some(item));
            }
        }
    }
    drop((putter, looker));
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn puts_of_several_processes_stay_in_the_order_in_which_they_were_made() {
    let queue = Queue::<u32>::new();
    let spawn = || {
        let (conn, its) = pipe::<u32, u32>().unwrap();
        let child = Process::spawn(put_and_tell, (queue.clone(), its)).unwrap();
        (conn, child)
    };
    let putters: Vec<_> = (0..3).map(|_| spawn()).collect();
    let mut random = Random::new(11);
    for round in 0..300 {
        let items: Vec<u32> = (0..8).map(|item| round * 8 + item).collect();
        for item in &items {
            match random.below(4) {
                // This process puts as well.
                3 => queue.put(item).unwrap(),
                at => {
                    putters[at].0.send(item).unwrap();
                    assert_eq!(putters[at].0.recv().unwrap(), *item);
                }
            }
        }
        let got: Vec<u32> = items.iter().map(|_| queue.try_get().unwrap()).collect();
        assert_eq!(got, items);
    }
    for (conn, child) in putters {
        drop(conn);
        child.join().unwrap();
    }
}

/// How many were put before the queue was shut.
fn put_to_the_end(queue: Queue<u32>) -> u32 {
    for item in 0.. {
        match queue.put(&item) {
            Ok(()) => {}
            Err(PutError::Shutdown) => return item,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("there are not so many numbers")
}

#[test]
fn what_was_put_before_a_shutdown_is_taken_and_what_was_not_is_told() {
    let mut random = Random::new(3);
    for round in 0..30 {
        let queue = Queue::<u32>::new();
        let spawn = || Process::spawn(put_to_the_end, queue.clone()).unwrap();
        let putters = [spawn(), spawn()];
        assert_eq!(queue.get(), Ok(0));
        // real sleep: the others are to be caught at different places.
        greenloom::sleep(Duration::from_micros(random.below(2000) as u64));
        match round % 2 {
            0 => queue.shutdown(false).unwrap(),
            _ => {
                let shut = |queue: Queue<u32>| queue.shutdown(false).unwrap();
                Process::spawn(shut, queue.clone()).unwrap().join().unwrap();
            }
        }
        let mut taken = 1;
        while queue.get().is_ok() {
            taken += 1;
        }
        assert_eq!(queue.try_get(), Err(GetError::Shutdown));
        let put: u32 = putters.map(|putter| putter.join().unwrap()).iter().sum();
        assert_eq!(taken, put, "in round {round}");
        assert_eq!(queue.try_get(), Err(GetError::Shutdown));
    }
}

fn put_for_ever(queue: Queue<u32>) {
    for item in 0.. {
        queue.put(&item).unwrap();
    }
}

#[test]
fn a_putter_that_is_killed_has_put_all_up_to_one_and_others_go_on() {
    const SENTINEL: u32 = u32::MAX;
    let mut random = Random::new(7);
    let others = Queue::<u32>::new();
    for round in 0..30 {
        let queue = Queue::<u32>::new();
        let victim = Builder::new()
            .daemon(true)
            .spawn(put_for_ever, queue.clone());
        let victim = victim.unwrap();
        assert_eq!(queue.get(), Ok(0));
        // real sleep: it is to be caught at different places.
        greenloom::sleep(Duration::from_micros(random.below(2000) as u64));
        victim.kill().unwrap();
        victim.join().unwrap_err();
        let put = |queue: Queue<u32>| queue.put(&SENTINEL).unwrap();
        Process::spawn(put, queue.clone()).unwrap().join().unwrap();
        let mut next = 1;
        loop {
            match queue.get().unwrap() {
                SENTINEL => break,
                item => assert_eq!(item, next, "in round {round}"),
            }
            next += 1;
        }
        // The one at which it was killed: its message may have left.
        match queue.get_timeout(Duration::from_millis(1)) {
            Ok(item) => assert_eq!(item, next),
            Err(error) => assert_eq!(error, GetError::Empty),
        }
        others.put(&round).unwrap();
        assert_eq!(others.try_get(), Ok(round));
    }
}

#[test]
fn places_for_those_who_go_ahead_are_used_again() {
    let queue = Queue::<u32>::new();
    let (conn, its) = pipe::<Queue<u32>, u32>().unwrap();
    let child = Process::spawn(
        |conn: Conn<u32, Queue<u32>>| {
            while let Ok(queue) = conn.recv() {
                queue.put(&1).unwrap();
                conn.send(&0).unwrap();
            }
        },
        its,
    );
    // More than there are on a page.
    for _ in 0..1200 {
        conn.send(&queue).unwrap();
        conn.recv().unwrap();
        assert_eq!(queue.try_get(), Ok(1));
    }
    drop(conn);
    child.unwrap().join().unwrap();
}

/// Serves a queue: waits for its first item, and finds one each time that it is told to look.
fn look_at_once(conn: Conn<Option<Queue<String>>, ()>) {
    let queue = Queue::new();
    conn.send(&Some(queue.clone())).unwrap();
    queue.get().unwrap();
    while conn.send(&None).is_ok() && conn.recv().is_ok() {
        queue.try_get().unwrap();
    }
}

#[test]
fn a_put_that_is_cancelled_half_way_hides_no_later_one() {
    let (conn, its) = pipe::<(), Option<Queue<String>>>().unwrap();
    let child = Process::spawn(look_at_once, its).unwrap();
    let queue = conn.recv().unwrap().unwrap();
    stop_process(child.id());
    // Longer than the socket has room for.
    let long = "x".repeat(1 << 20);
    let short = Duration::from_millis(5);
    let put = greenloom::run(|| greenloom::timeout(short, || queue.put(&long)));
    assert!(put.is_err());
    send_signal(child.id(), Signal::CONT).unwrap();
    for _ in 0..300 {
        assert!(conn.recv().unwrap().is_none());
        queue.put(&"short".to_owned()).unwrap();
        conn.send(&()).unwrap();
    }
    assert!(conn.recv().unwrap().is_none());
    drop(conn);
    child.join().unwrap();
}

type Served = (Queue<u32>, JoinableQueue<u32>, Lock, Semaphore, Event);

/// Makes objects and holds what can be held, until it is told to go on.
fn serve_and_hold(conn: Conn<Served, ()>) -> bool {
    let lock = Lock::new();
    let same = lock.clone();
    let held = same.acquire().unwrap();
    let (queue, tasks) = (Queue::new(), JoinableQueue::new());
    let (semaphore, event) = (Semaphore::new(0), Event::new());
    tasks.put(&1).unwrap();
    let all = (queue, tasks, lock, semaphore, event);
    conn.send(&all).unwrap();
    conn.recv().unwrap();
    let (queue, tasks, lock, semaphore, event) = &all;
    drop(held);
    queue.put(&7).unwrap();
    tasks.task_done().unwrap();
    semaphore.release(1).unwrap();
    event.set().unwrap();
    conn.recv().unwrap();
    lock.acquire_timeout(LONG).unwrap().is_some() && semaphore.try_acquire().unwrap().is_none()
}

#[test]
fn who_has_a_limit_is_not_kept_by_a_server_that_is_stopped_and_nothing_is_lost() {
    let (conn, its) = pipe::<(), Served>().unwrap();
    let child = Process::spawn(serve_and_hold, its).unwrap();
    let (queue, tasks, lock, semaphore, event) = conn.recv().unwrap();
    // Known before, so that nobody has to ask.
    assert!(lock.try_acquire().unwrap().is_none());
    stop_process(child.id());
    let begun = Instant::now();
    let short = Duration::from_millis(5);
    assert_eq!(queue.get_timeout(short), Err(GetError::Empty));
    assert_eq!(tasks.join_timeout(short), Ok(false));
    assert!(lock.acquire_timeout(short).unwrap().is_none());
    assert!(semaphore.acquire_timeout(short).unwrap().is_none());
    assert_eq!(event.wait_timeout(short), Ok(false));
    // A cancelled one neither.
    let cancelled = greenloom::run(|| greenloom::timeout(short, || queue.get()).is_err());
    assert!(cancelled);
    // A put needs nobody's answer.
    queue.put(&6).unwrap();
    assert!(begun.elapsed() < LONG);
    send_signal(child.id(), Signal::CONT).unwrap();
    conn.send(&()).unwrap();
    // What they were given too late they have given back.
    let mut items = [(); 2].map(|()| queue.get_timeout(LONG).unwrap());
    items.sort();
    assert_eq!(items, [6, 7]);
    assert_eq!(tasks.join_timeout(LONG), Ok(true));
    drop(
        lock.acquire_timeout(LONG)
            .unwrap()
            .expect("it was let go of"),
    );
    let permit = semaphore
        .acquire_timeout(LONG)
        .unwrap()
        .expect("one is there");
    assert_eq!(event.wait_timeout(LONG), Ok(true));
    conn.send(&()).unwrap();
    assert!(child.join().unwrap());
    drop(permit);
}

/// So many tasks wait for an item; then says so.
fn wait_at_once((queue, conn): (Queue<String>, Conn<()>)) {
    greenloom::run(|| {
        for _ in 0..TAKERS {
            let queue = queue.clone();
            greenloom::spawn_local(move || drop(queue.get()));
        }
        greenloom::yield_now();
        // Answered after them, for it is asked after them.
        queue.len().unwrap();
        conn.send(&()).unwrap();
        let _ = conn.recv();
    });
}

const TAKERS: usize = 30;

#[test]
fn what_a_stopped_and_killed_process_was_not_given_comes_back_in_order() {
    let queue = Queue::<String>::new();
    let (conn, its) = pipe::<(), ()>().unwrap();
    let builder = Builder::new().daemon(true);
    let child = builder.spawn(wait_at_once, (queue.clone(), its)).unwrap();
    conn.recv().unwrap();
    stop_process(child.id());
    // More than its socket has room for.
    for number in 0..TAKERS {
        queue
            .put(&format!("{number:02}{}", "x".repeat(100_000)))
            .unwrap();
    }
    child.kill().unwrap();
    child.join().unwrap_err();
    let mut numbers = Vec::new();
    let first = queue.get_timeout(LONG).unwrap();
    numbers.push(first[..2].to_owned());
    while let Ok(item) = queue.try_get() {
        numbers.push(item[..2].to_owned());
    }
    assert!(numbers.len() > TAKERS / 2, "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
}
