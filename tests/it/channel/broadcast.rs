//! Broadcast channels: everybody gets everything, or is told how much it missed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::broadcast::{Receiver, RecvError, RecvTimeoutError, TryRecvError};
use greenloom::channel::{bounded, broadcast};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};
use proptest::prelude::*;

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn everybody_gets_everything_in_order() {
    green(|| {
        let (sender, receiver) = broadcast(10);
        drop(receiver);
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let receiver = sender.subscribe();
                spawn(move || {
                    (0..50)
                        .map(|_| receiver.recv().unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        assert_eq!(sender.receiver_count(), 1000);
        for n in 0..50 {
            assert_eq!(sender.send(n), Ok(1000));
            yield_now();
        }
        for task in tasks {
            assert_eq!(task.join().unwrap(), (0..50).collect::<Vec<_>>());
        }
        assert_eq!(sender.receiver_count(), 0);
    });
}

#[test]
fn the_slow_are_told_how_much_they_missed_and_block_nobody() {
    let (sender, slow) = broadcast(3);
    let quick = sender.subscribe();
    for n in 0..10 {
        assert_eq!(sender.send(n), Ok(2));
        assert_eq!(quick.recv(), Ok(n));
    }
    assert_eq!((sender.len(), slow.len(), quick.len()), (3, 3, 0));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(7)));
    assert_eq!(slow.recv(), Ok(7));
    sender.send(10).unwrap();
    sender.send(11).unwrap();
    assert_eq!(slow.recv(), Err(RecvError::Lagged(1)));
    let error = RecvError::Lagged(1).to_string();
    assert!(error.contains('1'), "{error}");
    drop(sender);
    let rest: Vec<_> = std::iter::from_fn(|| slow.recv().ok()).collect();
    assert_eq!(rest, [9, 10, 11]);
    assert_eq!(slow.recv(), Err(RecvError::Disconnected));
    let timed = slow.recv_timeout(SECOND);
    assert_eq!(timed, Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_subscriber_gets_what_comes_after_it_and_a_clone_what_the_original_gets() {
    let (sender, receiver) = broadcast(8);
    sender.send(1).unwrap();
    let clone = receiver.clone();
    let late = receiver.subscribe();
    sender.send(2).unwrap();
    assert_eq!((receiver.len(), clone.len(), late.len()), (2, 2, 1));
    assert_eq!((clone.recv(), clone.recv()), (Ok(1), Ok(2)));
    assert_eq!(late.recv(), Ok(2));
    assert_eq!(receiver.recv(), Ok(1));
    assert!(receiver.same_channel(&late) && late.is_empty());
    // A clone of one that lags lags as much.
    (0..20).for_each(|n| {
        sender.send(n).unwrap();
    });
    let lagging = receiver.clone();
    assert_eq!(lagging.recv(), Err(RecvError::Lagged(13)));
    assert_eq!(receiver.recv(), Err(RecvError::Lagged(13)));
}

#[test]
fn nobody_to_send_to_is_an_error_that_gives_the_value_back() {
    let (sender, receiver) = broadcast(1);
    drop(receiver);
    assert_eq!(sender.send("a").unwrap_err().into_inner(), "a");
    let receiver = sender.subscribe();
    assert_eq!(sender.send("b"), Ok(1));
    assert!(sender.close());
    assert!(!sender.close());
    assert!(sender.is_closed() && receiver.is_closed());
    assert_eq!(sender.send("c").unwrap_err().into_inner(), "c");
    assert_eq!(receiver.recv(), Ok("b"));
    assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
}

#[test]
fn the_end_is_told_to_all_who_wait() {
    for by_close in [false, true] {
        green(move || {
            let (sender, receiver) = broadcast::<()>(2);
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let receiver = receiver.clone();
                    spawn(move || receiver.recv())
                })
                .collect();
            yield_now();
            let other = sender.clone();
            if by_close {
                other.close();
            }
            drop(other);
            drop(sender);
            for task in tasks {
                assert_eq!(task.join().unwrap(), Err(RecvError::Disconnected));
            }
        });
    }
}

#[test]
fn a_sender_learns_that_nobody_listens_any_more() {
    virtual_time(|| {
        let (sender, receiver) = broadcast::<()>(2);
        assert!(!sender.closed_timeout(Duration::ZERO));
        assert!(!sender.closed_timeout(SECOND));
        let task = spawn(move || {
            sleep(SECOND);
            drop(receiver);
        });
        sender.closed();
        assert!(sender.closed_timeout(Duration::ZERO));
        task.join().unwrap();
    });
}

#[test]
fn waits_last_no_longer_than_asked_and_a_value_at_the_deadline_is_received() {
    virtual_time(|| {
        let begun = greenloom::time::now();
        let (sender, receiver) = broadcast(2);
        let error = receiver.recv_timeout(SECOND);
        assert_eq!(error, Err(RecvTimeoutError::Timeout));
        assert_eq!(greenloom::time::now() - begun, SECOND);
        let task = spawn(move || {
            sleep(SECOND);
            sender.send(7).unwrap();
            sender
        });
        yield_now();
        assert_eq!(receiver.recv_timeout(SECOND), Ok(7));
        let sender = task.join().unwrap();
        (0..3).for_each(|n| {
            sender.send(n).unwrap();
        });
        let error = receiver.recv_timeout(SECOND);
        assert_eq!(error, Err(RecvTimeoutError::Lagged(1)));
    });
}

#[test]
fn tasks_that_share_a_receiver_share_its_values() {
    green(|| {
        let (sender, receiver) = broadcast(1000);
        let receiver = Arc::new(receiver);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || std::iter::from_fn(|| receiver.recv().ok()).collect::<Vec<_>>())
            })
            .collect();
        for n in 0..1000 {
            sender.send(n).unwrap();
            if n % 7 == 0 {
                yield_now();
            }
        }
        drop(sender);
        let mut got: Vec<_> = tasks
            .into_iter()
            .flat_map(|task| task.join().unwrap())
            .collect();
        got.sort_unstable();
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
    });
}

/// Counts its clones and its ends.
struct Counted(Arc<[AtomicUsize; 2]>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Counted(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_value_is_cloned_for_all_but_the_last_and_lives_no_longer_than_somebody_wants_it() {
    let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let count = |n: usize| counts[n].load(Ordering::Relaxed);
    let (sender, first) = broadcast(4);
    let second = first.clone();
    sender.send(Counted(counts.clone())).unwrap();
    drop(first.recv().unwrap());
    assert_eq!((count(0), count(1), sender.len()), (1, 1, 1));
    drop(second.recv().unwrap());
    assert_eq!((count(0), count(1), sender.len()), (1, 2, 0));
    // What only a receiver that goes has wanted goes with it.
    for _ in 0..3 {
        sender.send(Counted(counts.clone())).unwrap();
    }
    for _ in 0..3 {
        drop(first.recv().unwrap());
    }
    assert_eq!((count(0), count(1), sender.len()), (4, 5, 3));
    drop(second);
    assert_eq!((count(1), sender.len()), (8, 0));
    // Written over, and left behind.
    for _ in 0..5 {
        sender.send(Counted(counts.clone())).unwrap();
    }
    assert_eq!((count(1), sender.len()), (9, 4));
    drop((first, sender));
    assert_eq!((count(0), count(1)), (4, 13));
}

#[test]
fn a_clone_may_use_the_channel_that_it_comes_from() {
    #[derive(Debug)]
    struct Nosy(greenloom::channel::broadcast::Sender<Nosy>);
    impl Clone for Nosy {
        fn clone(&self) -> Self {
            // Inside of a lock this would hang.
            assert!(self.0.receiver_count() > 0);
            yield_now();
            Nosy(self.0.clone())
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _ = self.0.len();
        }
    }
    green(|| {
        let (sender, first) = broadcast(1);
        let second = first.clone();
        sender.send(Nosy(sender.clone())).unwrap();
        first.recv().unwrap();
        sender.send(Nosy(sender.clone())).unwrap();
        sender.close();
        assert!(matches!(second.recv(), Err(RecvError::Lagged(1))));
        second.recv().unwrap();
        drop(first);
    });
}

#[test]
fn a_receiver_cancelled_or_timed_out_at_any_step_has_missed_nothing() {
    for steps in 0..30 {
        for by_timeout in [false, true] {
            virtual_time(move || {
                let (sender, receiver) = broadcast(100);
                let receiver = Arc::new(receiver);
                let got = Arc::new(greenloom::sync::Mutex::new(Vec::new()));
                let (theirs, list) = (receiver.clone(), got.clone());
                let limit = SECOND * steps;
                let task = spawn(move || {
                    let listen = || {
                        loop {
                            let value = theirs.recv().unwrap();
                            list.try_lock().unwrap().push(value);
                        }
                    };
                    match by_timeout {
                        true => timeout(limit, listen).unwrap_or(()),
                        false => listen(),
                    }
                });
                for n in 0..10 {
                    sleep(3 * SECOND);
                    sender.send(n).unwrap();
                    if !by_timeout && n as u32 == steps / 3 {
                        // At a wait, with the value on its way, or after it was taken.
                        (0..steps % 3).for_each(|_| yield_now());
                        task.cancel();
                    }
                }
                sleep(SECOND);
                let _ = task.join();
                let mut got = got.lock().unwrap().clone();
                got.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
                assert_eq!(got, (0..10).collect::<Vec<_>>(), "{steps}");
            });
        }
    }
}

/// What one receiver should get: everything, of which only the last few are kept.
#[derive(Clone, Default)]
struct Expected {
    waiting: VecDeque<u32>,
    missed: u64,
}

impl Expected {
    fn sent(&mut self, value: u32, capacity: usize) {
        self.waiting.push_back(value);
        if self.waiting.len() > capacity {
            self.waiting.pop_front();
            self.missed += 1;
        }
    }

    fn next(&mut self, is_closed: bool) -> Result<u32, TryRecvError> {
        match std::mem::take(&mut self.missed) {
            0 => self.waiting.pop_front().ok_or(match is_closed {
                true => TryRecvError::Disconnected,
                false => TryRecvError::Empty,
            }),
            missed => Err(TryRecvError::Lagged(missed)),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Receive(usize, usize),
    Subscribe,
    Clone(usize),
    Drop(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..5).prop_map(Step::Send),
        8 => (any::<usize>(), 1usize..4).prop_map(|(who, n)| Step::Receive(who, n)),
        2 => Just(Step::Subscribe),
        2 => any::<usize>().prop_map(Step::Clone),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn each_receiver_agrees_with_a_naive_queue_of_its_own(
        capacity in 1usize..6,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (sender, receiver) = broadcast(capacity);
        let mut receivers = vec![(receiver, Expected::default())];
        let mut number = 0;
        let mut is_closed = false;
        for step in steps {
            let count = receivers.len();
            match step {
                Step::Send(times) => for _ in 0..times {
                    number += 1;
                    let sent = sender.send(number);
                    if is_closed || count == 0 {
                        prop_assert_eq!(sent.unwrap_err().into_inner(), number);
                        continue;
                    }
                    prop_assert_eq!(sent, Ok(count));
                    receivers.iter_mut().for_each(|(_, model)| model.sent(number, capacity));
                },
                Step::Receive(who, times) if count > 0 => for _ in 0..times {
                    let (receiver, model) = &mut receivers[who % count];
                    prop_assert_eq!(receiver.len(), model.waiting.len());
                    prop_assert_eq!(receiver.try_recv(), model.next(is_closed));
                },
                Step::Subscribe => receivers.push((sender.subscribe(), Expected::default())),
                Step::Clone(who) if count > 0 => {
                    let (receiver, model) = &receivers[who % count];
                    let twin = (receiver.clone(), model.clone());
                    receivers.push(twin);
                }
                Step::Drop(who) if count > 0 => drop(receivers.swap_remove(who % count)),
                Step::Close => is_closed |= sender.close(),
                _ => {}
            }
            let kept = receivers.iter().map(|(_, model)| model.waiting.len()).max();
            prop_assert_eq!(sender.len(), kept.unwrap_or(0));
            prop_assert_eq!(sender.receiver_count(), receivers.len());
        }
    }
}

/// Listens to the end; what came of each sender is in order, and with what was missed it is all.
fn listen(receiver: &Receiver<(u32, u32)>, mut stroll: impl FnMut()) -> u64 {
    let mut last = HashMap::new();
    let mut count = 0;
    loop {
        match receiver.recv() {
            Ok((sender, n)) => {
                let before = last.insert(sender, n);
                assert!(before.is_none_or(|before| before < n));
                count += 1;
            }
            Err(RecvError::Lagged(missed)) => count += missed,
            Err(RecvError::Disconnected) => return count,
        }
        stroll();
    }
}

#[test]
fn two_workers_and_plain_threads_account_for_every_value() {
    const EACH: u32 = 3000;
    for capacity in [1, 16, 100_000] {
        let (sender, receiver) = broadcast(capacity);
        let send = |id: u32, sender: &greenloom::channel::broadcast::Sender<_>| {
            (0..EACH).for_each(|n| {
                sender.send((id, n)).unwrap();
            });
        };
        let all = 4 * u64::from(EACH);
        std::thread::scope(|scope| {
            let (go, wait) = bounded::<()>(0);
            for id in 0..2 {
                let (sender, wait) = (sender.clone(), wait.clone());
                scope.spawn(move || {
                    let _ = wait.recv();
                    send(id, &sender);
                });
                let receiver = receiver.clone();
                scope.spawn(move || assert_eq!(listen(&receiver, || ()), all));
            }
            Runtime::builder()
                .workers(2)
                .run(move || {
                    let listeners: Vec<_> = (0..20)
                        .map(|seed| {
                            let receiver = receiver.clone();
                            let mut random = Random::new(seed);
                            spawn(move || {
                                listen(&receiver, || {
                                    if random.below(4) == 0 {
                                        yield_now();
                                    }
                                })
                            })
                        })
                        .collect();
                    drop(receiver);
                    // Now everybody is there.
                    drop(go);
                    let senders: Vec<_> = (2..4)
                        .map(|id| {
                            let sender = sender.clone();
                            spawn(move || send(id, &sender))
                        })
                        .collect();
                    drop(sender);
                    senders.into_iter().for_each(|task| task.join().unwrap());
                    for task in listeners {
                        assert_eq!(task.join().unwrap(), all);
                    }
                })
                .unwrap();
        });
    }
}

#[test]
#[should_panic(expected = "without room")]
fn a_capacity_of_zero_is_refused() {
    broadcast::<()>(0);
}
