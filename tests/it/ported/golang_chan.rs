//! What Go's own tests check of channels: `runtime/chan_test.go` and `test/chan/*.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::{Receiver, Sender, TryRecvError, bounded, rendezvous, unbounded};
use greenloom::sync::Mutex;
use greenloom::{Runtime, sleep, spawn, yield_now};

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// Both a single worker and two of them.
fn on_one_and_two_workers(f: impl Fn() + Send + Sync + 'static) {
    let f = Arc::new(f);
    for workers in [1, 2] {
        let f = f.clone();
        Runtime::builder()
            .workers(workers)
            .run(move || f())
            .unwrap();
    }
}

// TestChan, first part: receiving from an empty channel blocks, and goes on to block.
#[test]
fn a_receive_from_an_empty_channel_waits() {
    for capacity in 0..20 {
        virtual_time(move || {
            let (sender, receiver) = bounded(capacity);
            let has_received = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let (receiver, count) = (receiver.clone(), has_received.clone());
                    spawn(move || {
                        receiver.recv().unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            sleep(SECOND);
            assert_eq!(has_received.load(Ordering::Relaxed), 0);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            sender.send(0).unwrap();
            sender.send(0).unwrap();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

// TestChan: sending to a full channel blocks, and a send that does not wait fails.
#[test]
fn a_send_to_a_full_channel_waits() {
    for capacity in 0..20 {
        virtual_time(move || {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|n| sender.send(n).unwrap());
            let theirs = sender.clone();
            let task = spawn(move || theirs.send(capacity).unwrap());
            sleep(SECOND);
            assert!(!task.is_finished());
            assert!(sender.try_send(0).unwrap_err().is_full());
            receiver.recv().unwrap();
            task.join().unwrap();
            assert_eq!(receiver.len(), capacity);
        });
    }
}

// TestChan: a closed channel gives what is in it, then its end, again and again, to whoever waits as well.
#[test]
fn a_closed_channel_drains_and_then_ends_for_everybody() {
    for capacity in 0..20 {
        green(move || {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|n| sender.send(n).unwrap());
            sender.close();
            for n in 0..capacity {
                assert_eq!(receiver.recv(), Ok(n));
            }
            for _ in 0..3 {
                assert!(receiver.recv().is_err());
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            }

            let (sender, receiver) = bounded::<()>(capacity);
            let task = spawn(move || receiver.recv());
            yield_now();
            sender.close();
            assert!(task.join().unwrap().is_err());
        });
    }
}

// TestChan: a hundred values in order from one to one, and from four to four without loss or doubling.
#[test]
fn values_keep_their_order_and_all_arrive() {
    on_one_and_two_workers(|| {
        for capacity in 0..20 {
            let (sender, receiver) = bounded(capacity);
            drop(spawn(move || {
                (0..100).for_each(|n| sender.send(n).unwrap())
            }));
            assert!(receiver.into_iter().eq(0..100));

            let (sender, receiver) = bounded(capacity);
            const SENDERS: usize = 4;
            const EACH: usize = 1000;
            for _ in 0..SENDERS {
                let sender = sender.clone();
                drop(spawn(move || {
                    (0..EACH).for_each(|n| sender.send(n).unwrap())
                }));
            }
            drop(sender);
            let receivers: Vec<_> = (0..SENDERS)
                .map(|_| {
                    let receiver = receiver.clone();
                    spawn(move || receiver.iter().take(EACH).collect::<Vec<_>>())
                })
                .collect();
            let mut counts = BTreeMap::new();
            for n in receivers.into_iter().flat_map(|task| task.join().unwrap()) {
                *counts.entry(n).or_insert(0) += 1;
            }
            assert_eq!(counts.len(), EACH);
            assert!(counts.values().all(|&count| count == SENDERS));
        }
    });
}

// TestNonblockRecvRace: a value that was sent before the end is never missed by a receive that does not wait.
#[test]
fn a_receive_that_does_not_wait_does_not_miss_a_value_beside_the_end() {
    on_one_and_two_workers(|| {
        for _ in 0..2000 {
            let (sender, receiver) = bounded(1);
            sender.send(1).unwrap();
            let task = spawn(move || receiver.try_recv());
            sender.close();
            // Either this one or the task; nobody else.
            assert_eq!(task.join().unwrap(), Ok(1));
        }
    });
}

// TestMultiConsumer: primes through a queue to many consumers, and back through another.
#[test]
fn many_consumers_pass_everything_on() {
    const TASKS: usize = 2300;
    const ITEMS: u64 = 20_000;
    on_one_and_two_workers(|| {
        let primes = [2, 3, 7, 11, 13, 17, 19, 23, 27, 31];
        let (to, from) = bounded(TASKS / 4);
        let (back, results) = bounded(TASKS / 4);
        for id in 0..TASKS {
            let (from, back): (Receiver<u64>, Sender<u64>) = (from.clone(), back.clone());
            drop(spawn(move || {
                for n in from {
                    // Some are slower than others.
                    if primes[id % primes.len()] % 3 == 0 {
                        yield_now();
                    }
                    back.send(n).unwrap();
                }
            }));
        }
        drop((from, back));
        let expected: u64 = (0..ITEMS).map(|n| primes[n as usize % primes.len()]).sum();
        drop(spawn(move || {
            for n in 0..ITEMS {
                to.send(primes[n as usize % primes.len()]).unwrap();
            }
        }));
        let mut count = 0;
        let sum: u64 = results.into_iter().inspect(|_| count += 1).sum();
        assert_eq!((count, sum), (ITEMS, expected));
    });
}

// chan/fifo.go, AsynchFifo: a channel with room gives back what was put in, in order.
#[test]
fn a_channel_with_room_is_a_fifo() {
    let (sender, receiver) = bounded(10);
    (0..10).for_each(|n| sender.try_send(n).unwrap());
    assert!(receiver.try_iter().eq(0..10));
}

// chan/fifo.go, SynchFifo: tasks that wait for one channel in a chain of signals are served in their order.
#[test]
fn those_who_wait_for_a_rendezvous_are_served_in_order() {
    green(|| {
        let (sender, receiver) = rendezvous();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..5000)
            .map(|n| {
                let (receiver, order) = (receiver.clone(), order.clone());
                let task = spawn(move || {
                    let value = receiver.recv().unwrap();
                    order.lock().unwrap().push((n, value));
                });
                yield_now();
                task
            })
            .collect();
        (0..5000).for_each(|n| sender.send(n).unwrap());
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(order.lock().unwrap().iter().all(|(n, value)| n == value));
        assert_eq!(order.lock().unwrap().len(), 5000);
    });
}

// chan/goroutines.go: a chain of ten thousand, each passing on what it gets.
#[test]
fn a_value_travels_through_a_chain_of_ten_thousand() {
    on_one_and_two_workers(|| {
        let (first, mut left) = rendezvous();
        for _ in 0..10_000 {
            let (sender, receiver) = rendezvous();
            let before = std::mem::replace(&mut left, receiver);
            drop(spawn(move || sender.send(before.recv().unwrap() + 1)));
        }
        first.send(0).unwrap();
        assert_eq!(left.recv(), Ok(10_000));
    });
}

// chan/sieve1.go: the prime sieve, a task for each prime.
#[test]
fn a_sieve_of_tasks_finds_the_primes() {
    fn primes(count: usize) -> Vec<u32> {
        let (sender, mut numbers) = rendezvous();
        drop(spawn(move || {
            (2..).take_while(|&n| sender.send(n).is_ok()).for_each(drop);
        }));
        let mut primes = Vec::new();
        for _ in 0..count {
            let prime: u32 = numbers.recv().unwrap();
            primes.push(prime);
            let (sender, receiver) = rendezvous();
            let unfiltered = std::mem::replace(&mut numbers, receiver);
            drop(spawn(move || {
                let mut rest = unfiltered.iter().filter(|n| n % prime != 0);
                while rest.next().is_some_and(|n| sender.send(n).is_ok()) {}
            }));
        }
        primes
    }
    on_one_and_two_workers(|| {
        let primes = primes(200);
        assert_eq!(primes[..8], [2, 3, 5, 7, 11, 13, 17, 19]);
        assert_eq!(primes[199], 1223);
    });
}

// chan/nonblock.go: what does not wait succeeds just when a partner waits or there is room.
#[test]
fn what_does_not_wait_succeeds_when_somebody_is_there_or_there_is_room() {
    virtual_time(|| {
        for capacity in [0, 1, 10] {
            let (sender, receiver) = bounded(capacity);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            let theirs = receiver.clone();
            let task = spawn(move || theirs.recv());
            sleep(SECOND);
            sender.try_send(1).unwrap();
            assert_eq!(task.join().unwrap(), Ok(1));
            (0..capacity).for_each(|n| sender.try_send(n).unwrap());
            assert!(sender.try_send(99).unwrap_err().is_full());
            let theirs = sender.clone();
            let task = spawn(move || theirs.send(capacity));
            sleep(SECOND);
            assert_eq!(receiver.try_recv(), Ok(0));
            task.join().unwrap().unwrap();
            assert!(receiver.try_iter().eq(1..=capacity) || capacity == 0);
        }
    });
}

// chan/zerosize.go: values without a size are counted all the same.
#[test]
fn values_without_a_size_are_counted() {
    let (sender, receiver) = bounded(2);
    sender.send([(); 0]).unwrap();
    sender.send([(); 0]).unwrap();
    assert!(sender.try_send([(); 0]).unwrap_err().is_full());
    assert_eq!(receiver.try_iter().count(), 2);
    let (sender, receiver) = unbounded();
    (0..100_000).for_each(|_| sender.send(()).unwrap());
    drop(sender);
    assert_eq!(receiver.iter().count(), 100_000);
}

// chan/doubleselect.go, the part without `select`: nothing comes twice when several channels meet in one.
#[test]
fn what_several_channels_merge_comes_once() {
    on_one_and_two_workers(|| {
        const ITEMS: u64 = 20_000;
        let (merged, all) = bounded(10);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..4 {
            let (sender, receiver) = rendezvous();
            let next = next.clone();
            drop(spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= ITEMS {
                        return;
                    }
                    sender.send(n).unwrap();
                }
            }));
            let merged = merged.clone();
            drop(spawn(move || {
                receiver.iter().for_each(|n| merged.send(n).unwrap())
            }));
        }
        drop(merged);
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..ITEMS));
    });
}

// TestShrinkStackDuringBlockedSend, as far as it concerns us: deep stacks wait as shallow ones do.
#[test]
fn a_send_may_wait_at_any_depth() {
    fn deep(depth: usize, sender: &Sender<usize>) {
        let ballast = std::hint::black_box([depth; 16]);
        match depth {
            0 => sender.send(ballast[3]).unwrap(),
            _ => deep(depth - 1, sender),
        }
        assert_eq!(ballast[7], depth);
    }
    on_one_and_two_workers(|| {
        let (sender, receiver) = rendezvous();
        let tasks: Vec<_> = (0..100)
            .map(|depth| {
                let sender = sender.clone();
                spawn(move || deep(depth, &sender))
            })
            .collect();
        yield_now();
        assert_eq!(receiver.iter().take(100).sum::<usize>(), 0);
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

// TestPseudoRandomSend and BenchmarkChanContended, without the figures: everybody sends and receives.
#[test]
fn thousands_who_both_send_and_receive_come_out_even() {
    on_one_and_two_workers(|| {
        let (sender, receiver) = bounded(64);
        let tasks: Vec<_> = (0..4000)
            .map(|seed| {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                spawn(move || {
                    let mut random = Random::new(seed);
                    let (mut sent, mut received) = (0, 0);
                    while sent < 10 || received < 10 {
                        let may_send = received == 10 || random.below(2) == 0;
                        if sent < 10 && may_send && sender.try_send(()).is_ok() {
                            sent += 1;
                        } else if received < 10 && receiver.try_recv().is_ok() {
                            received += 1;
                        } else {
                            yield_now();
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(receiver.is_empty());
    });
}
