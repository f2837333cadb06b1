//! Two-way pipes.

use std::time::Duration;

use greenloom::queue::{RecvTimeoutError, TryRecvError, duplex};
use greenloom::sync::Arc;
use greenloom::{Runtime, sleep, spawn, yield_now};

use super::Drops;
use crate::util::{green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn messages_keep_their_boundaries_and_their_order_both_ways() {
    green(|| {
        let (ours, theirs) = duplex::<Vec<u8>>(4);
        for message in [&b"one"[..], b"", b"three"] {
            ours.send(message.to_vec()).unwrap();
            theirs
                .send(message.iter().rev().copied().collect())
                .unwrap();
        }
        for message in [&b"one"[..], b"", b"three"] {
            assert_eq!(theirs.recv().unwrap(), message);
            let reversed: Vec<u8> = message.iter().rev().copied().collect();
            assert_eq!(ours.recv().unwrap(), reversed);
        }
        assert_eq!(ours.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn poll_tells_of_a_message_even_an_empty_one_and_takes_nothing() {
    virtual_time(|| {
        let (ours, theirs) = duplex(1);
        assert!(!ours.poll(Duration::ZERO));
        assert!(!ours.poll(SECOND));
        theirs.send(()).unwrap();
        assert!(ours.poll(Duration::ZERO) && ours.poll(SECOND));
        assert_eq!(ours.recv(), Ok(()));
        assert!(!ours.poll(Duration::ZERO));
        let task = spawn(move || {
            sleep(SECOND);
            theirs.send(()).unwrap();
            theirs
        });
        assert!(ours.poll(SECOND * 2));
        assert_eq!(ours.recv_timeout(Duration::ZERO), Ok(()));
        drop(task.join().unwrap());
    });
}

#[test]
fn all_who_poll_are_told() {
    green(|| {
        let (ours, theirs) = duplex(1);
        let ours = Arc::new(ours);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let ours = ours.clone();
                let task = spawn(move || ours.poll(Duration::MAX));
                yield_now();
                task
            })
            .collect();
        tasks[0].cancel();
        theirs.send(1).unwrap();
        assert!(tasks.into_iter().skip(1).all(|task| task.join().unwrap()));
    });
}

#[test]
fn a_message_that_its_receiver_gives_up_is_told_to_whoever_polls() {
    green(|| {
        let (ours, theirs) = duplex(1);
        let ours = Arc::new(ours);
        let (receiver, poller) = (ours.clone(), ours.clone());
        let receiver = spawn(move || receiver.recv());
        yield_now();
        let poller = spawn(move || poller.poll(Duration::MAX));
        yield_now();
        theirs.send(1).unwrap();
        assert!(!ours.poll(Duration::ZERO));
        receiver.cancel();
        assert!(receiver.join().is_err());
        assert!(poller.join().unwrap());
        assert_eq!(ours.recv(), Ok(1));
    });
}

#[test]
fn hanging_up_lets_the_other_end_drain_and_then_fail() {
    green(|| {
        let drops = Drops::new();
        let (ours, theirs) = duplex(2);
        theirs.send(drops.one()).unwrap();
        ours.send(drops.one()).unwrap();
        drop(theirs);
        assert_eq!(drops.count(), 1); // what nobody will receive
        assert!(ours.poll(Duration::ZERO));
        assert!(ours.recv().is_ok());
        // An error is had without waiting, too.
        assert!(ours.poll(Duration::MAX));
        assert!(ours.recv().is_err());
        assert!(ours.try_recv().is_err_and(|error| error.is_disconnected()));
        let refused = ours.send_timeout(drops.one(), SECOND).unwrap_err();
        assert!(refused.is_disconnected());
        drop(refused);
        assert_eq!(drops.count(), 3);
    });
}

#[test]
fn hanging_up_wakes_whoever_waits_at_the_other_end() {
    green(|| {
        let (ours, theirs) = duplex(1);
        ours.send(1).unwrap();
        let ours = Arc::new(ours);
        let tasks = [0, 1, 2].map(|what| {
            let ours = ours.clone();
            let task = spawn(move || match what {
                0 => ours.send(2).is_err_and(|error| error.into_inner() == 2),
                1 => ours.recv().is_err(),
                _ => ours.poll(Duration::MAX),
            });
            yield_now();
            task
        });
        drop(theirs);
        assert!(tasks.into_iter().all(|task| task.join().unwrap()));
        assert_eq!(
            ours.recv_timeout(SECOND),
            Err(RecvTimeoutError::Disconnected)
        );
    });
}

#[test]
fn tasks_and_threads_answer_each_other() {
    let (ours, theirs) = duplex(3);
    let thread = std::thread::spawn(move || {
        while let Ok(n) = theirs.recv() {
            let n: u64 = n;
            if theirs.send(n * 2).is_err() {
                break;
            }
        }
    });
    let sum = Runtime::builder()
        .workers(2)
        .run(move || {
            let ours = Arc::new(ours);
            let theirs = ours.clone();
            let sender = spawn(move || (0..2_000).for_each(|n| theirs.send(n).unwrap()));
            let sum: u64 = (0..2_000).map(|_| ours.recv().unwrap()).sum();
            sender.join().unwrap();
            sum
        })
        .unwrap();
    assert_eq!(sum, 1_999 * 2_000);
    thread.join().unwrap();
}
