//! Oneshot channels: one value, or the news that there will be none.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use greenloom::channel::{RecvError, RecvTimeoutError, TryRecvError, oneshot};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};

use super::executor::{Wakes, block_on};
use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_value_is_received_once() {
    let (sender, receiver) = oneshot();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert!(receiver.is_empty() && !receiver.is_closed());
    sender.send(5).unwrap();
    assert!(!receiver.is_empty());
    assert_eq!(receiver.recv(), Ok(5));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn a_waiting_receiver_gets_the_value_or_the_end() {
    green(|| {
        let (sender, receiver) = oneshot();
        let task = spawn(move || receiver.recv());
        yield_now();
        sender.send("word").unwrap();
        assert_eq!(task.join().unwrap(), Ok("word"));

        let (sender, receiver) = oneshot::<()>();
        let task = spawn(move || receiver.recv());
        yield_now();
        drop(sender);
        assert_eq!(task.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn a_sender_whose_receiver_is_gone_gets_its_value_back() {
    let (sender, receiver) = oneshot();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(
        sender.send(String::from("x")).unwrap_err().into_inner(),
        "x"
    );
}

#[test]
fn a_closed_receiver_still_takes_what_was_sent_before() {
    let (sender, receiver) = oneshot();
    sender.send(1).unwrap();
    assert!(receiver.close());
    assert!(!receiver.close());
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv(), Ok(1));

    let (sender, receiver) = oneshot();
    receiver.close();
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(sender.send(2).unwrap_err().into_inner(), 2);
}

#[test]
fn closing_ends_the_wait_of_another_who_shares_the_receiver() {
    green(|| {
        let (_sender, receiver) = oneshot::<()>();
        let receiver = Arc::new(receiver);
        let theirs = receiver.clone();
        let task = spawn(move || theirs.recv());
        yield_now();
        receiver.close();
        assert_eq!(task.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn of_many_who_share_a_receiver_one_gets_the_value() {
    green(|| {
        let (sender, receiver) = oneshot();
        let receiver = Arc::new(receiver);
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv())
            })
            .collect();
        yield_now();
        sender.send(3).unwrap();
        let got = tasks.into_iter().map(|task| task.join().unwrap());
        assert_eq!(got.filter(|got| *got == Ok(3)).count(), 1);
    });
}

#[test]
fn a_sender_learns_that_nobody_wants_its_value_any_more() {
    virtual_time(|| {
        let (sender, receiver) = oneshot::<()>();
        assert!(!sender.closed_timeout(Duration::ZERO));
        assert!(!sender.closed_timeout(SECOND));
        let task = spawn(move || {
            sender.closed();
            assert!(sender.closed_timeout(Duration::ZERO));
            sender
        });
        sleep(SECOND);
        assert!(!task.is_finished());
        receiver.close();
        let sender = task.join().unwrap();
        assert!(sender.is_closed());
        drop(receiver);
        sender.closed();
    });
}

#[test]
fn a_wait_lasts_no_longer_than_asked_and_a_value_at_the_deadline_is_received() {
    virtual_time(|| {
        let begun = greenloom::time::now();
        let (sender, receiver) = oneshot();
        let error = receiver.recv_timeout(SECOND);
        assert_eq!(error, Err(RecvTimeoutError::Timeout));
        assert_eq!(greenloom::time::now() - begun, SECOND);
        let task = spawn(move || {
            sleep(SECOND);
            sender.send(1).unwrap();
        });
        // The sleeper is armed first, so it comes first at the same time.
        yield_now();
        assert_eq!(receiver.recv_timeout(SECOND), Ok(1));
        task.join().unwrap();
        let error = receiver.recv_timeout(Duration::MAX);
        assert_eq!(error, Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn a_cancelled_or_timed_out_receiver_leaves_the_value_where_it_is() {
    for steps in 0..8 {
        green(move || {
            let (sender, receiver) = oneshot();
            let receiver = Arc::new(receiver);
            let theirs = receiver.clone();
            let task = spawn(move || theirs.recv());
            let mut sender = Some(sender);
            for step in 0..8 {
                if step == steps {
                    task.cancel();
                }
                if step == 4 {
                    sender.take().unwrap().send(9).unwrap();
                }
                yield_now();
            }
            match task.join() {
                Ok(got) => assert_eq!((got, receiver.try_recv().is_ok()), (Ok(9), false)),
                Err(error) => {
                    assert!(error.is_cancelled());
                    assert_eq!(receiver.recv(), Ok(9));
                }
            }
        });
    }
    virtual_time(|| {
        let (sender, receiver) = oneshot();
        assert!(timeout(SECOND, || receiver.recv()).is_err());
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    });
}

#[test]
fn it_is_a_future_for_any_executor() {
    let (sender, receiver) = oneshot();
    let thread = std::thread::spawn(move || block_on(receiver));
    greenloom::run(|| {
        spawn(move || sender.send("green")).join().unwrap().unwrap();
    });
    assert_eq!(thread.join().unwrap(), Ok("green"));

    let (sender, receiver) = oneshot::<()>();
    let thread = std::thread::spawn(move || block_on(receiver));
    drop(sender);
    assert_eq!(thread.join().unwrap(), Err(RecvError));
}

#[test]
fn a_poll_by_another_waker_replaces_the_first() {
    let (sender, mut receiver) = oneshot();
    let wakes = [Arc::new(Wakes::default()), Arc::new(Wakes::default())];
    for wakes in &wakes {
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut receiver).poll(&mut context).is_pending());
    }
    // The first one's waker is let go of.
    assert_eq!(Arc::strong_count(&wakes[0]), 1);
    sender.send(8).unwrap();
    assert_eq!((wakes[0].count(), wakes[1].count()), (0, 1));
    let mut context = Context::from_waker(Waker::noop());
    let poll = Pin::new(&mut receiver).poll(&mut context);
    assert_eq!(poll, Poll::Ready(Ok(8)));
    let poll = Pin::new(&mut receiver).poll(&mut context);
    assert_eq!(poll, Poll::Ready(Err(RecvError)));
}

#[test]
fn a_future_dropped_after_its_wake_gives_the_value_back_or_drops_it() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = oneshot();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut receiver).poll(&mut context).is_pending());
    sender.send(Counted(dropped.clone())).ok().unwrap();
    // Polled by `&mut`, so it can still be received.
    assert!(receiver.try_recv().is_ok());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);

    let (sender, mut receiver) = oneshot();
    assert!(Pin::new(&mut receiver).poll(&mut context).is_pending());
    sender.send(Counted(dropped.clone())).ok().unwrap();
    drop(receiver);
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn thousands_of_answers_travel_between_two_workers_and_plain_threads() {
    const EACH: u64 = 4000;
    let (questions, asked) = greenloom::channel::bounded(16);
    let from_thread = questions.clone();
    let ask = |questions: greenloom::channel::Sender<(u64, oneshot::Sender<u64>)>, seed| {
        let mut random = Random::new(seed);
        (0..EACH)
            .map(|n| {
                let (answer, receiver) = oneshot();
                questions.send((n, answer)).unwrap();
                if random.below(8) == 0 {
                    return None; // no longer interested
                }
                Some(receiver.recv().unwrap())
            })
            .enumerate()
            .filter_map(|(n, got)| got.map(|got| assert_eq!(got, n as u64 * 2)))
            .count()
    };
    std::thread::scope(|scope| {
        scope.spawn(move || ask(from_thread, 1));
        for _ in 0..2 {
            let asked = asked.clone();
            scope.spawn(move || {
                for (n, answer) in asked {
                    let _ = answer.send(n * 2);
                }
            });
        }
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (2..4)
                    .map(|seed| {
                        let questions = questions.clone();
                        spawn(move || ask(questions, seed))
                    })
                    .collect();
                drop(questions);
                drop(spawn(move || {
                    for (n, answer) in asked {
                        let _ = answer.send(n * 2);
                    }
                }));
                tasks.into_iter().for_each(|task| {
                    task.join().unwrap();
                });
            })
            .unwrap();
    });
}
