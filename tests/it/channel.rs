//! Channels: order, ends, cancellation, time-outs, and plain threads among tasks.

mod broadcast;
mod executor;
mod future;
mod model;
mod oneshot;
mod ticker;
mod watch;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use greenloom::channel::{
    Receiver, RecvError, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded,
    rendezvous, unbounded,
};
use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Mutex};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// Counts how many of it are dropped.
struct Counted(Arc<AtomicUsize>, u64);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn it_agrees_with_a_naive_queue_under_random_use_without_waits() {
    for capacity in [0, 1, 3, 100] {
        let (sender, receiver) = bounded(capacity);
        let mut model = VecDeque::new();
        let mut random = Random::new(capacity as u64 + 1);
        for number in 0..5_000 {
            if random.below(2) == 0 {
                match sender.try_send(number) {
                    Ok(()) => model.push_back(number),
                    Err(error) => {
                        assert!(error.is_full() && model.len() == capacity);
                        assert_eq!(error.into_inner(), number);
                    }
                }
            } else {
                assert_eq!(receiver.try_recv().ok(), model.pop_front());
            }
            assert_eq!(sender.len(), model.len());
            assert_eq!(receiver.is_empty(), model.is_empty());
            assert_eq!(sender.is_full(), model.len() == capacity);
            assert_eq!(sender.capacity(), Some(capacity));
        }
    }
}

#[test]
fn a_full_channel_keeps_its_senders_waiting_in_order() {
    let received = green(|| {
        let (sender, receiver) = bounded(1);
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let sender = sender.clone();
                let task = spawn(move || sender.send(n).unwrap());
                yield_now();
                task
            })
            .collect();
        assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), 1);
        drop(sender);
        let received: Vec<_> = receiver.iter().collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        received
    });
    assert_eq!(received, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn receivers_are_served_in_the_order_in_which_they_came_and_nobody_takes_in_passing() {
    green(|| {
        let (sender, receiver) = unbounded();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                let task = spawn(move || receiver.recv().unwrap());
                yield_now();
                task
            })
            .collect();
        (0..3).for_each(|n| sender.send(n).unwrap());
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let received: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        assert_eq!(received, [0, 1, 2]);
    });
}

#[test]
fn what_is_inside_outlives_the_senders() {
    let (sender, receiver) = unbounded();
    sender.send(1).unwrap();
    let other = sender.clone();
    drop(sender);
    other.send(2).unwrap();
    drop(other);
    assert_eq!((&receiver).into_iter().next(), Some(1));
    let mut rest = receiver.into_iter();
    assert_eq!(
        (rest.next(), rest.next(), rest.next()),
        (Some(2), None, None)
    );
}

#[test]
fn the_last_sender_s_end_is_told_to_all_who_wait() {
    green(|| {
        let (sender, receiver) = bounded::<()>(5);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv())
            })
            .collect();
        yield_now();
        drop(sender);
        for task in tasks {
            assert_eq!(task.join().unwrap(), Err(RecvError));
        }
    });
}

#[test]
fn the_last_receiver_s_end_gives_waiting_senders_their_values_back() {
    green(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = bounded(1);
        sender.send(Counted(dropped.clone(), 0)).unwrap();
        let task = {
            let (sender, dropped) = (sender.clone(), dropped.clone());
            spawn(move || sender.send(Counted(dropped, 7)).unwrap_err().into_inner().1)
        };
        yield_now();
        drop(receiver);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!(sender.is_closed());
        assert_eq!(task.join().unwrap(), 7);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        let error = sender.try_send(Counted(dropped.clone(), 8)).unwrap_err();
        assert!(error.is_disconnected());
    });
}

#[test]
fn a_closed_channel_refuses_and_drains() {
    green(|| {
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        let waiting = {
            let sender = sender.clone();
            spawn(move || sender.send(2))
        };
        yield_now();
        assert!(sender.close());
        assert!(!receiver.close());
        assert_eq!(waiting.join().unwrap().unwrap_err().into_inner(), 2);
        assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_rendezvous_hands_from_one_to_the_other() {
    green(|| {
        let (sender, receiver) = rendezvous();
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        let theirs = sender.clone();
        let task = spawn(move || theirs.send(1).unwrap());
        yield_now();
        assert!(!task.is_finished() && receiver.is_empty() && sender.is_full());
        assert_eq!(receiver.try_recv(), Ok(1));
        task.join().unwrap();
        let task = spawn(move || receiver.recv());
        yield_now();
        sender.try_send(2).unwrap();
        assert_eq!(task.join().unwrap(), Ok(2));
    });
}

#[test]
fn waits_last_no_longer_than_asked() {
    virtual_time(|| {
        let (sender, receiver) = bounded(1);
        let begun = greenloom::time::now();
        assert_eq!(
            receiver.recv_timeout(SECOND),
            Err(RecvTimeoutError::Timeout)
        );
        sender.send(1).unwrap();
        let error = sender.send_timeout(2, SECOND);
        assert_eq!(error, Err(SendTimeoutError::Timeout(2)));
        assert_eq!(greenloom::time::now() - begun, 2 * SECOND);
        assert!(
            sender
                .send_timeout(2, Duration::ZERO)
                .unwrap_err()
                .is_timeout()
        );
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1));
        let task = spawn(move || receiver.recv_timeout(SECOND));
        sleep(SECOND / 2);
        sender.send_timeout(3, SECOND).unwrap();
        assert_eq!(task.join().unwrap(), Ok(3));
        assert_eq!(
            sender.send_timeout(4, SECOND),
            Err(SendTimeoutError::Disconnected(4))
        );
    });
}

#[test]
fn a_value_for_a_cancelled_receiver_goes_to_the_next_even_after_the_last_sender_s_end() {
    green(|| {
        let (sender, receiver) = unbounded();
        let receive = |receiver: &Receiver<i32>| {
            let receiver = receiver.clone();
            let task = spawn(move || receiver.iter().collect::<Vec<_>>());
            yield_now();
            task
        };
        let (first, second) = (receive(&receiver), receive(&receiver));
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        sender.send(3).unwrap();
        drop(sender);
        // The first has been given its value and has not run since.
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        let mut received = second.join().unwrap();
        received.extend(receiver.try_iter());
        received.sort_unstable();
        assert_eq!(received, [1, 2, 3]);
    });
}

#[test]
fn nobody_is_told_of_the_end_while_a_value_may_come_back() {
    green(|| {
        let (sender, receiver) = unbounded();
        let theirs = receiver.clone();
        let first = spawn(move || theirs.recv());
        yield_now();
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        first.cancel();
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv(), Err(RecvError));
        assert!(first.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_cancelled_sender_s_value_is_dropped_or_received_and_never_both() {
    for steps in 0..12 {
        green(move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (sender, receiver) = bounded(1);
            let task = {
                let dropped = dropped.clone();
                spawn(move || {
                    for n in 0..4 {
                        let _ = sender.send(Counted(dropped.clone(), n));
                    }
                })
            };
            let mut received = Vec::new();
            for step in 0..12 {
                if step == steps {
                    task.cancel();
                }
                if step % 2 == 0 {
                    yield_now();
                } else if let Ok(value) = receiver.try_recv() {
                    received.push(value.1);
                }
            }
            let _ = task.join();
            received.extend(receiver.iter().map(|value| value.1));
            assert!(received.is_sorted() && received.len() <= 4);
            let made = dropped.load(Ordering::Relaxed);
            assert!(made == received.len() || made == received.len() + 1);
        });
    }
}

/// Senders and receivers that send, try, time out, are timed out and cancelled at random: every value that
/// was accepted is received once, in its sender's order as far as one receiver sees it. (At a rendezvous, a value that
/// a cancelled receiver leaves may come after later ones.)
fn chaos(seed: u64, capacity: usize) {
    virtual_time(move || {
        let (sender, receiver) = bounded(capacity);
        let sent = Arc::new(Mutex::new(HashSet::new()));
        let perhaps_sent = Arc::new(Mutex::new(HashSet::new()));
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for id in 0..6 {
            let (sender, sent, perhaps) = (sender.clone(), sent.clone(), perhaps_sent.clone());
            let mut random = Random::new(seed * 100 + id);
            tasks.push(spawn(move || {
                for n in 0..40 {
                    let value = (id, n);
                    // A cancelled send may or may not have been.
                    perhaps.lock().unwrap().insert(value);
                    let limit = Duration::from_nanos(random.below(30) as u64);
                    let is_sent = match random.below(4) {
                        0 => Some(sender.try_send(value).is_ok()),
                        1 => Some(sender.send_timeout(value, limit).is_ok()),
                        2 => timeout(limit, || sender.send(value).is_ok()).ok(),
                        _ => Some(sender.send(value).is_ok()),
                    };
                    if is_sent == Some(true) {
                        sent.lock().unwrap().insert(value);
                    }
                    if is_sent == Some(false) {
                        perhaps.lock().unwrap().remove(&value);
                    }
                    if random.below(3) == 0 {
                        sleep(Duration::from_nanos(random.below(40) as u64));
                    }
                }
            }));
        }
        drop(sender);
        for id in 6..10 {
            let (receiver, received) = (receiver.clone(), received.clone());
            let mut random = Random::new(seed * 100 + id);
            tasks.push(spawn(move || {
                let mut last = [-1; 6];
                loop {
                    let limit = Duration::from_nanos(random.below(30) as u64);
                    let value: Option<(u64, i32)> = match random.below(4) {
                        0 => receiver.try_recv().ok(),
                        1 => receiver.recv_timeout(limit).ok(),
                        2 => timeout(limit, || receiver.recv().ok()).ok().flatten(),
                        _ => match receiver.recv() {
                            Ok(value) => Some(value),
                            Err(RecvError) => return,
                        },
                    };
                    if let Some((sender, n)) = value {
                        // Never parks: a cancellation between receive and note would be our own loss.
                        received.try_lock().unwrap().push((sender, n));
                        assert!(capacity == 0 || last[sender as usize] < n, "seed {seed}");
                        last[sender as usize] = n;
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
        for task in tasks {
            if let Err(error) = task.join() {
                assert!(error.is_cancelled(), "{error:?}");
            }
        }
        let mut received = Arc::into_inner(received).unwrap().into_inner().unwrap();
        received.extend(receiver.try_iter());
        let unique: HashSet<_> = received.iter().copied().collect();
        assert_eq!(unique.len(), received.len(), "seed {seed}: received twice");
        let sent = sent.lock().unwrap();
        let lost: Vec<_> = sent.difference(&unique).collect();
        assert!(
            lost.is_empty(),
            "seed {seed}, capacity {capacity}: lost {lost:?}"
        );
        assert!(
            unique.is_subset(&perhaps_sent.lock().unwrap()),
            "seed {seed}"
        );
    });
}

#[test]
fn no_value_is_lost_or_doubled_whatever_happens_to_those_who_wait() {
    for seed in 1..=60 {
        for capacity in [0, 1, 3] {
            chaos(seed, capacity);
        }
    }
}

#[test]
fn tasks_of_two_workers_and_plain_threads_share_a_channel() {
    for capacity in [0, 1, 16, usize::MAX] {
        let (sender, receiver) = bounded(capacity);
        let each = 2_000u64;
        let produce = move |sender: greenloom::channel::Sender<u64>| {
            (1..=each).for_each(|n| sender.send(n).unwrap());
        };
        let consume = |receiver: Receiver<u64>| receiver.iter().sum::<u64>();
        let sum: u64 = std::thread::scope(|scope| {
            let from_thread = sender.clone();
            scope.spawn(move || produce(from_thread));
            let to_thread = receiver.clone();
            let thread = scope.spawn(move || consume(to_thread));
            let sum: u64 = Runtime::builder()
                .workers(2)
                .run(move || {
                    let producers: Vec<_> = (0..4)
                        .map(|_| {
                            let sender = sender.clone();
                            spawn(move || produce(sender))
                        })
                        .collect();
                    drop(sender);
                    let consumers: Vec<_> = (0..3)
                        .map(|_| {
                            let receiver = receiver.clone();
                            spawn(move || consume(receiver))
                        })
                        .collect();
                    producers.into_iter().for_each(|task| task.join().unwrap());
                    drop(receiver);
                    consumers.into_iter().map(|task| task.join().unwrap()).sum()
                })
                .unwrap();
            sum + thread.join().unwrap()
        });
        assert_eq!(sum, 5 * each * (each + 1) / 2);
    }
}

#[test]
fn a_sender_that_never_waits_lets_the_others_run() {
    green(|| {
        let (sender, receiver) = unbounded();
        let task = spawn(move || while sender.send(()).is_ok() {});
        yield_now();
        // We run again, though the sender has never been made to wait.
        drop(receiver);
        task.join().unwrap();
    });
}

#[test]
fn a_thousand_tasks_pass_a_token_round() {
    green(|| {
        let (first, mut last) = bounded(1);
        for _ in 0..1000 {
            let (sender, receiver) = bounded(1);
            let from = std::mem::replace(&mut last, receiver);
            drop(spawn(move || {
                for token in from {
                    if sender.send(token + 1).is_err() {
                        return;
                    }
                }
            }));
        }
        for _ in 0..3 {
            first.send(0).unwrap();
            assert_eq!(last.recv(), Ok(1000));
        }
    });
}

/// At a rendezvous a sender has met a receiver. Here that one has not come for the value yet when the sender itself
/// receives, from another: it gets the other's.
#[test]
fn a_sender_that_receives_next_does_not_get_its_own_value_back() {
    let run = Runtime::builder().workers(1).run(|| {
        let (sender, receiver) = rendezvous();
        let theirs = receiver.clone();
        let receiving = spawn(move || theirs.recv());
        yield_now(); // it waits
        sender.send(1).unwrap(); // it is called, and does not run: this task does not wait any more
        let other = std::thread::spawn(move || sender.send(2));
        let got = loop {
            match receiver.try_recv() {
                Ok(value) => break value,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert_eq!(got, 2);
        assert_eq!(receiving.join().unwrap(), Ok(1));
        other.join().unwrap().unwrap();
    });
    run.unwrap();
}

#[test]
fn what_was_handed_to_receivers_that_give_up_comes_in_the_order_of_the_sends() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    let (sender, receiver) = rendezvous();
    let mut waits: Vec<_> = (0..4).map(|_| Box::pin(receiver.recv_async())).collect();
    let mut context = Context::from_waker(Waker::noop());
    for wait in &mut waits {
        assert!(wait.as_mut().poll(&mut context).is_pending());
    }
    for n in 0..4 {
        sender.send(n).unwrap();
    }
    drop(sender);
    // One takes what it was called for; of the others the last one gives up first.
    let taken = waits.remove(1).as_mut().poll(&mut context);
    assert_eq!(taken, Poll::Ready(Ok(1)));
    while let Some(wait) = waits.pop() {
        drop(wait);
    }
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(receiver.recv(), Err(RecvError));
}
