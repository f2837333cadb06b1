//! Puts that do not wait for their answers, where several things happen at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use greenloom::ipc::{Conn, GetError, JoinableQueue, Queue, pipe};
use greenloom::process::{Builder, Process, send_signal};
use greenloom::signal::Signal;

use super::util::Random;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(60);

/// Puts so many at once as it is told to, and says so.
fn put_bursts((queue, conn): (Queue<u8>, Conn<(), u32>)) {
    while let Ok(count) = conn.recv() {
        (0..count).for_each(|_| queue.put(&1).unwrap());
        conn.send(&()).unwrap();
    }
}

#[test]
fn all_of_a_burst_is_there_when_its_last_put_has_returned() {
    let queue = Queue::<u8>::new();
    let (conn, its) = pipe::<u32, ()>().unwrap();
    let child = Process::spawn(put_bursts, (queue.clone(), its)).unwrap();
    let mut random = Random::new(5);
    let mut total = 0;
    for _ in 0..1000 {
        let count = 33 + random.below(60) as u32;
        conn.send(&count).unwrap();
        conn.recv().unwrap();
        total += count as usize;
        assert_eq!(queue.len(), Ok(total));
    }
    drop(conn);
    child.join().unwrap();
}

/// Asks the queue after each burst.
fn put_bursts_and_look(queue: Queue<u8>) {
    let mut random = Random::new(6);
    let mut total = 0;
    for _ in 0..1000 {
        let count = 33 + random.below(60);
        (0..count).for_each(|_| queue.put(&1).unwrap());
        total += count;
        assert_eq!(queue.len(), Ok(total));
    }
}

#[test]
fn who_asks_after_a_burst_is_answered() {
    let queue = Queue::<u8>::new();
    let child = Process::spawn(put_bursts_and_look, queue.clone()).unwrap();
    child.join().unwrap();
}

/// Puts in turns with another, until the number is reached, while a third one floods.
fn put_in_turns((queue, conn): (Queue<u32>, Conn<u32>)) {
    while let Ok(item) = conn.recv() {
        queue.put(&item).unwrap();
        if conn.send(&(item + 1)).is_err() {
            return;
        }
    }
}

const FLOOD: u32 = u32::MAX;
const LAST: u32 = 2000;

fn flood(queue: Queue<u32>) {
    while queue.put(&FLOOD).is_ok() {}
}

#[test]
fn puts_in_turns_stay_in_order_beside_a_flood() {
    let queue = Queue::<u32>::new();
    let (ours, its) = pipe::<u32, u32>().unwrap();
    let (left, right) = pipe::<u32, u32>().unwrap();
    let spawn = |conn| Process::spawn(put_in_turns, (queue.clone(), conn)).unwrap();
    let first = spawn(left);
    let flooder = Builder::new()
        .daemon(true)
        .spawn(flood, queue.clone())
        .unwrap();
    let second = Process::spawn(
        |(queue, right, start): (Queue<u32>, Conn<u32>, Conn<u32>)| {
            start.recv().unwrap();
            right.send(&0).unwrap();
            while let Ok(item) = right.recv() {
                queue.put(&item).unwrap();
                if item > LAST {
                    return;
                }
                right.send(&(item + 1)).unwrap();
            }
        },
        (queue.clone(), right, its),
    )
    .unwrap();
    ours.send(&0).unwrap();
    let mut next = 0;
    while next <= LAST {
        match queue.get().unwrap() {
            FLOOD => {}
            item => {
                assert_eq!(item, next);
                next += 1;
            }
        }
    }
    flooder.kill().unwrap();
    flooder.join().unwrap_err();
    first.join().unwrap();
    second.join().unwrap();
}

/// How many were put before the queue was shut.
fn put_to_the_end(queue: Queue<u32>) -> u32 {
    (0..)
        .find(|item| queue.put(item).is_err())
        .expect("there are not so many numbers")
}

#[test]
fn nothing_is_lost_to_a_shutdown_that_is_heard_by_a_caller_at_the_server() {
    let mut random = Random::new(3);
    for round in 0..30 {
        let queue = Queue::<u32>::new();
        let spawn = || Process::spawn(put_to_the_end, queue.clone()).unwrap();
        let putters = [spawn(), spawn()];
        assert_eq!(queue.get(), Ok(0));
        let pause = Duration::from_micros(random.below(500) as u64);
        let closer = Process::spawn(
            |(queue, pause): (Queue<u32>, Duration)| {
                // real sleep: the others are to be caught at different places.
                greenloom::sleep(pause);
                queue.put(&0).unwrap();
                queue.shutdown(false).unwrap();
            },
            (queue.clone(), pause),
        );
        let mut taken = 1;
        loop {
            match queue.try_get() {
                Ok(_) => taken += 1,
                Err(GetError::Empty) => {}
                Err(_) => break,
            }
        }
        closer.unwrap().join().unwrap();
        let put: u32 = putters.map(|putter| putter.join().unwrap()).iter().sum();
        assert_eq!(taken, put + 1, "in round {round}");
    }
}

/// Serves a queue until it is told to end.
fn serve(conn: Conn<Queue<String>, ()>) {
    let queue = Queue::new();
    conn.send(&queue).unwrap();
    let _ = conn.recv();
}

#[test]
fn who_did_not_wait_any_longer_is_not_given_what_he_put_later() {
    let (conn, its) = pipe::<(), Queue<String>>().unwrap();
    let child = Process::spawn(serve, its).unwrap();
    let queue = conn.recv().unwrap();
    for _ in 0..10 {
        send_signal(child.id(), Signal::STOP).unwrap();
        let short = Duration::from_millis(1);
        assert_eq!(queue.get_timeout(short), Err(GetError::Empty));
        queue.put(&"mine".to_owned()).unwrap();
        let child = child.id();
        let go_on = thread::spawn(move || {
            // real sleep: the question is to come before the server goes on.
            greenloom::sleep(Duration::from_millis(10));
            send_signal(child, Signal::CONT).unwrap();
        });
        assert_eq!(queue.try_get(), Ok("mine".to_owned()));
        go_on.join().unwrap();
    }
    drop(conn);
    child.join().unwrap();
}

#[test]
fn a_long_item_has_left_when_a_put_with_a_limit_returns() {
    let (conn, its) = pipe::<(), Queue<String>>().unwrap();
    let child = Process::spawn(serve, its).unwrap();
    let queue = conn.recv().unwrap();
    send_signal(child.id(), Signal::STOP).unwrap();
    let goes_on = Arc::new(AtomicBool::new(false));
    let (id, flag) = (child.id(), goes_on.clone());
    let go_on = thread::spawn(move || {
        // real sleep: far beyond the limit.
        greenloom::sleep(Duration::from_millis(100));
        flag.store(true, Ordering::Relaxed);
        send_signal(id, Signal::CONT).unwrap();
    });
    let long = "x".repeat(1 << 20);
    match queue.put_timeout(&long, Duration::from_millis(5)) {
        Ok(()) => assert!(goes_on.load(Ordering::Relaxed), "it cannot have left"),
        Err(error) => panic!("{error}"),
    }
    go_on.join().unwrap();
    assert_eq!(queue.get_timeout(LONG), Ok(long));
    drop(conn);
    child.join().unwrap();
}

/// Two threads put, each in turns with somebody else.
fn put_by_threads((queue, first, second): (Queue<u32>, Conn<u32>, Conn<u32>)) {
    thread::scope(|scope| {
        for conn in [&first, &second] {
            let queue = &queue;
            scope.spawn(move || {
                while let Ok(item) = conn.recv() {
                    queue.put(&item).unwrap();
                    conn.send(&item).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_put_has_happened_when_it_returns_beside_one_of_another_thread() {
    let queue = Queue::<u32>::new();
    let (first, its) = pipe::<u32, u32>().unwrap();
    let (second, other) = pipe::<u32, u32>().unwrap();
    let child = Process::spawn(put_by_threads, (queue.clone(), its, other)).unwrap();
    for _ in 0..3000 {
        second.send(&2).unwrap();
        first.send(&1).unwrap();
        assert_eq!(first.recv().unwrap(), 1);
        let (mut has_come, mut is_told) = (false, false);
        while let Ok(item) = queue.try_get() {
            has_come |= item == 1;
            is_told |= item == 2;
        }
        assert!(has_come);
        assert_eq!(second.recv().unwrap(), 2);
        if !is_told {
            assert_eq!(queue.try_get(), Ok(2));
        }
    }
    drop((first, second));
    child.join().unwrap();
}

/// Takes an item and has it done each time that it is told to.
fn eat((queue, conn): (JoinableQueue<u32>, Conn<u32>)) {
    while let Ok(item) = conn.recv() {
        queue.get().unwrap();
        queue.task_done().unwrap();
        conn.send(&item).unwrap();
    }
}

fn cook((queue, conn): (JoinableQueue<u32>, Conn<u32>)) {
    while let Ok(item) = conn.recv() {
        queue.put(&item).unwrap();
        conn.send(&item).unwrap();
    }
}

#[test]
fn not_all_is_done_while_a_put_that_has_returned_is_on_its_way() {
    let queue = JoinableQueue::<u32>::new();
    let (cook_conn, its) = pipe::<u32, u32>().unwrap();
    let first = Process::spawn(cook, (queue.clone(), its)).unwrap();
    let (eat_conn, its) = pipe::<u32, u32>().unwrap();
    let second = Process::spawn(eat, (queue.clone(), its)).unwrap();
    queue.put(&0).unwrap();
    let is_joined = Arc::new(AtomicBool::new(false));
    let joiner = thread::spawn({
        let (queue, is_joined) = (queue.clone(), is_joined.clone());
        move || {
            queue.join().unwrap();
            is_joined.store(true, Ordering::SeqCst);
        }
    });
    for item in 1..2000 {
        cook_conn.send(&item).unwrap();
        cook_conn.recv().unwrap();
        eat_conn.send(&item).unwrap();
        if item % 2 == 0 {
            eat_conn.recv().unwrap();
            assert_eq!(queue.join_timeout(Duration::ZERO), Ok(false));
        } else {
            assert_eq!(queue.join_timeout(Duration::ZERO), Ok(false));
            eat_conn.recv().unwrap();
        }
        assert!(!is_joined.load(Ordering::SeqCst));
    }
    eat_conn.send(&0).unwrap();
    eat_conn.recv().unwrap();
    joiner.join().unwrap();
    drop((cook_conn, eat_conn));
    first.join().unwrap();
    second.join().unwrap();
}

/// Puts what comes, for ever; some of it again and again.
fn relay((queue, conn, seed): (Queue<(u32, u32)>, Conn<u32, ()>, u32)) {
    let mut random = Random::new(u64::from(seed));
    for number in 0.. {
        queue.put(&(seed, number)).unwrap();
        match random.below(8) {
            0 => conn.send(&number).unwrap(),
            1 => drop(queue.len()),
            2 => drop(queue.get_timeout(Duration::from_micros(1))),
            _ => {}
        }
    }
}

#[test]
fn killed_processes_among_many_lose_nothing_that_they_have_said_to_be_put() {
    let mut random = Random::new(9);
    for round in 0..20 {
        let queue = Queue::<(u32, u32)>::new();
        let quiet = Queue::<(u32, u32)>::new();
        let mut children = Vec::new();
        for seed in 0..4 {
            let (conn, its) = pipe::<(), u32>().unwrap();
            // Two of them put into a queue of which nobody else takes anything.
            let child = Builder::new().daemon(true);
            let child = child.spawn(put_and_say, (quiet.clone(), its, seed));
            children.push((seed, conn, child.unwrap()));
        }
        let (other, its) = pipe::<(), u32>().unwrap();
        let beside = Builder::new().daemon(true);
        let beside = beside.spawn(relay, (queue.clone(), its, round)).unwrap();
        let mut said = [None; 4];
        for (seed, conn, _) in &children {
            said[*seed as usize] = Some(conn.recv().unwrap());
        }
        for _ in 0..random.below(60) {
            let (seed, conn, _) = &children[random.below(4)];
            said[*seed as usize] = Some(conn.recv().unwrap());
        }
        let victim = children.swap_remove(random.below(4));
        victim.2.kill().unwrap();
        while let Ok(number) = victim.1.recv() {
            said[victim.0 as usize] = Some(number);
        }
        let mut next = [0; 4];
        while let Ok((seed, number)) = quiet.try_get() {
            assert_eq!(number, next[seed as usize], "in round {round}");
            next[seed as usize] += 1;
        }
        for seed in 0..4 {
            assert!(
                said[seed].is_none_or(|said| said < next[seed]),
                "in round {round}"
            );
        }
        victim.2.join().unwrap_err();
        beside.kill().unwrap();
        beside.join().unwrap_err();
        drop(other);
        for (_, _, child) in children {
            child.kill().unwrap();
            child.join().unwrap_err();
        }
    }
}

fn put_and_say((queue, conn, seed): (Queue<(u32, u32)>, Conn<u32, ()>, u32)) {
    for number in 0.. {
        queue.put(&(seed, number)).unwrap();
        if number % 7 == 0 {
            conn.send(&number).unwrap();
        }
    }
}
