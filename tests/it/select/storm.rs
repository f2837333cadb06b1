//! Selects among many that send, receive, time out and are cancelled: every value is delivered once.

use std::collections::HashSet;
use std::time::Duration;

use greenloom::channel::{Receiver, Sender, bounded};
use greenloom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use greenloom::sync::{Arc, Event, Mutex};
use greenloom::{JoinHandle, Runtime, select, sleep, spawn, timeout, yield_now};

use crate::util::{Random, green, virtual_time};
use crate::watch::watched;

type Value = (u64, u32);
type Ends = (Sender<Value>, Receiver<Value>);

/// What was certainly sent, what may have been, and what was received.
#[derive(Default)]
struct Books {
    sent: Mutex<HashSet<Value>>,
    perhaps: Mutex<HashSet<Value>>,
    received: Mutex<Vec<Value>>,
}

impl Books {
    // None of these ever waits: a cancellation between the deed and its note would be a loss of our own.
    fn will_send(&self, value: Value) {
        assert!(self.perhaps.try_lock().unwrap().insert(value));
    }

    fn has_sent(&self, value: Value) {
        assert!(self.sent.try_lock().unwrap().insert(value));
    }

    fn has_not_sent(&self, value: Value) {
        assert!(self.perhaps.try_lock().unwrap().remove(&value));
    }

    fn has_received(&self, value: Value) {
        self.received.try_lock().unwrap().push(value);
    }

    fn settle(&self, channels: &[Ends], what: &str) {
        let mut received = self.received.try_lock().unwrap();
        for (_, receiver) in channels {
            received.extend(receiver.try_iter());
        }
        let unique: HashSet<_> = received.iter().copied().collect();
        assert_eq!(unique.len(), received.len(), "{what}: received twice");
        let sent = self.sent.try_lock().unwrap();
        let lost: Vec<_> = sent.difference(&unique).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}");
        let perhaps = self.perhaps.try_lock().unwrap();
        assert!(
            unique.is_subset(&perhaps),
            "{what}: received what was not sent"
        );
    }
}

/// One that selects on all channels, each in a direction that is drawn anew for each turn.
fn actor(id: u64, seed: u64, turns: u32, channels: &[Ends], books: &Books) {
    let mut random = Random::new(seed * 1_000 + id);
    for turn in 0..turns {
        let mine = (id, turn);
        let draw = random.below(8);
        let limit = Duration::from_nanos(random.below(40) as u64);
        let [(s0, r0), (s1, r1), (s2, r2)] = channels else {
            unreachable!("three channels");
        };
        books.will_send(mine);
        let act = || {
            select! {
                recv(r0) -> got if draw & 1 == 0 => Err(got.unwrap()),
                send(s0, mine) -> sent if draw & 1 == 1 => { sent.unwrap(); Ok(()) }
                recv(r1) -> got if draw & 2 == 0 => Err(got.unwrap()),
                send(s1, mine) -> sent if draw & 2 == 2 => { sent.unwrap(); Ok(()) }
                recv(r2) -> got if draw & 4 == 0 => Err(got.unwrap()),
                send(s2, mine) -> sent if draw & 4 == 4 => { sent.unwrap(); Ok(()) }
                timeout(limit) => Err((u64::MAX, 0)),
            }
        };
        let outcome = match random.below(3) {
            // A cancellation may come between the deed and the note: it is `perhaps` then; but no value
            // that was received may be lost, so receives are noted inside.
            0 => timeout(Duration::from_nanos(random.below(30) as u64), || {
                let outcome = act();
                if let Err(got) = outcome
                    && got.0 != u64::MAX
                {
                    books.has_received(got);
                }
                outcome
            })
            .map(|outcome| outcome.map_err(|_| (u64::MAX, 0))),
            _ => Ok(act()),
        };
        match outcome {
            Ok(Ok(())) => books.has_sent(mine),
            Ok(Err(got)) => {
                books.has_not_sent(mine);
                if got.0 != u64::MAX {
                    books.has_received(got);
                }
            }
            // Timed out: nothing was received; what was to be sent was not, or was.
            Err(_) => {}
        }
        if random.below(3) == 0 {
            sleep(Duration::from_nanos(random.below(20) as u64));
        }
    }
}

fn channels(capacities: [usize; 3]) -> Arc<Vec<Ends>> {
    Arc::new(capacities.into_iter().map(bounded).collect())
}

#[test]
fn no_value_is_lost_or_doubled_whatever_happens_to_selects() {
    for seed in 1..=60 {
        for capacities in [[0, 0, 0], [0, 1, 3], [1, 1, 1]] {
            virtual_time(move || {
                let (channels, books) = (channels(capacities), Arc::new(Books::default()));
                let tasks: Vec<_> = (0..8)
                    .map(|id| {
                        let (channels, books) = (channels.clone(), books.clone());
                        spawn(move || actor(id, seed, 40, &channels, &books))
                    })
                    .collect();
                let mut random = Random::new(seed);
                for task in tasks.iter().take(3) {
                    sleep(Duration::from_nanos(random.below(600) as u64));
                    task.cancel();
                }
                for task in tasks {
                    if let Err(error) = task.join() {
                        assert!(error.is_cancelled(), "{error:?}");
                    }
                }
                books.settle(&channels, &format!("seed {seed}, {capacities:?}"));
            });
        }
    }
}

/// Cancels a task at its first wait, at its second, and so on; returns when it has ended by itself.
fn cancel_at_every_step(start: impl Fn(u32) -> JoinHandle<()>, step: impl Fn(u32)) {
    for steps in 0.. {
        let task = start(steps);
        for n in 0..steps {
            yield_now();
            step(n);
        }
        let had_ended = task.is_finished();
        task.cancel();
        match task.join() {
            Err(error) => assert!(error.is_cancelled(), "{error:?}"),
            Ok(()) => assert!(had_ended || steps > 0),
        }
        if had_ended {
            return;
        }
    }
}

#[test]
fn a_value_for_a_select_that_is_cancelled_goes_to_the_next() {
    green(|| {
        for capacity in [0, 1, 5] {
            let (sender, receiver) = bounded(capacity);
            let other = bounded::<u32>(1);
            let received = Arc::new(AtomicUsize::new(0));
            let sent = AtomicUsize::new(0);
            cancel_at_every_step(
                |_| {
                    let (receiver, other, received) =
                        (receiver.clone(), other.1.clone(), received.clone());
                    spawn(move || {
                        for _ in 0..6 {
                            select! {
                                recv(receiver) -> got => { got.unwrap(); }
                                recv(other) -> _ => unreachable!(),
                            }
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                },
                |n| {
                    if sender.try_send(n).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                },
            );
            let rest = receiver.try_iter().count();
            let received = received.load(Ordering::Relaxed) + rest;
            assert_eq!(
                received,
                sent.load(Ordering::Relaxed),
                "capacity {capacity}"
            );
        }
    });
}

#[test]
fn a_select_that_was_called_and_cancelled_passes_the_value_on_at_once() {
    green(|| {
        let (sender, receiver) = bounded(0);
        let stop = Arc::new(Event::new());
        let select = |receiver: &Receiver<i32>| {
            let (receiver, stop) = (receiver.clone(), stop.clone());
            let task = spawn(move || {
                select! {
                    wait(stop) => 0,
                    recv(receiver) -> got => got.unwrap(),
                }
            });
            yield_now();
            task
        };
        let (first, second) = (select(&receiver), select(&receiver));
        sender.try_send(7).unwrap();
        // The first has been called and has not run since.
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        assert_eq!(second.join().unwrap(), 7);
        // Nobody is left.
        assert!(sender.try_send(8).is_err());
    });
}

#[test]
fn one_that_was_called_elsewhere_is_passed_over() {
    green(|| {
        let (one, two) = (bounded(0), bounded(0));
        let ends = (one.1.clone(), two.1.clone());
        let both = spawn(move || {
            select! {
                recv(ends.0) -> got => got.unwrap(),
                recv(ends.1) -> got => got.unwrap(),
            }
        });
        yield_now();
        let theirs = two.1.clone();
        let behind = spawn(move || theirs.recv().unwrap());
        yield_now();
        one.0.try_send(1).unwrap();
        // The select stands first in this line still, and is not to be had.
        two.0.try_send(2).unwrap();
        assert!(two.0.try_send(3).is_err());
        assert_eq!((both.join().unwrap(), behind.join().unwrap()), (1, 2));
    });
}

/// Tasks of two workers and plain threads, all of which select over the same channels: what they sent and
/// what they received comes to the same.
#[test]
fn tasks_of_two_workers_and_plain_threads_select_on_the_same_channels() {
    const EACH: u64 = 1_500;
    const ACTORS: u64 = 6;
    for capacities in [[0, 0, 0], [1, 0, 4], [2, 2, 2]] {
        watched(move || {
            let ends = channels(capacities);
            let books = Arc::new((AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)));
            let act = move |id: u64, ends: &[Ends], books: &(AtomicU64, AtomicU64, AtomicU64)| {
                let [(s0, r0), (s1, r1), (s2, r2)] = ends else {
                    unreachable!("three channels");
                };
                let mut left = EACH;
                let mut random = Random::new(id + 1);
                // Whoever has sent all of his goes on receiving until all have.
                loop {
                    let value = (id, left as u32);
                    let is_sender = left > 0;
                    let turn = random.below(4);
                    let outcome = select! {
                        recv(r0) -> got => Some(got.unwrap()),
                        recv(r1) -> got if turn != 1 => Some(got.unwrap()),
                        recv(r2) -> got if turn != 2 => Some(got.unwrap()),
                        send(s2, value) -> sent if is_sender => { sent.unwrap(); None }
                        send(s1, value) -> sent if is_sender => { sent.unwrap(); None }
                        send(s0, value) -> sent if is_sender && turn != 3 => { sent.unwrap(); None }
                        timeout(Duration::from_millis(1)) => {
                            if books.2.load(Ordering::Acquire) == ACTORS * EACH {
                                return;
                            }
                            continue;
                        }
                    };
                    let sum = |(id, n): Value| id * EACH * 10 + u64::from(n);
                    match outcome {
                        Some(got) => {
                            books.1.fetch_add(sum(got), Ordering::Relaxed);
                            books.2.fetch_add(1, Ordering::Release);
                        }
                        None => {
                            books.0.fetch_add(sum(value), Ordering::Relaxed);
                            left -= 1;
                        }
                    }
                }
            };
            std::thread::scope(|scope| {
                for id in 0..2 {
                    let (ends, books) = (ends.clone(), books.clone());
                    scope.spawn(move || act(id, &ends, &books));
                }
                let (ends, books) = (ends.clone(), books.clone());
                Runtime::builder()
                    .workers(2)
                    .run(move || {
                        let tasks: Vec<_> = (2..ACTORS)
                            .map(|id| {
                                let (ends, books) = (ends.clone(), books.clone());
                                spawn(move || act(id, &ends, &books))
                            })
                            .collect();
                        tasks.into_iter().for_each(|task| task.join().unwrap());
                    })
                    .unwrap();
            });
            assert_eq!(books.2.load(Ordering::Relaxed), ACTORS * EACH);
            assert_eq!(
                books.0.load(Ordering::Relaxed),
                books.1.load(Ordering::Relaxed),
                "{capacities:?}"
            );
        });
    }
}

/// Nothing but selects on both sides of rendezvous channels: they meet, or none of this ends.
#[test]
fn selects_on_both_sides_of_two_rendezvous_meet_across_workers() {
    const TURNS: u32 = 4_000;
    watched(|| {
        Runtime::builder().workers(2).run(|| {
            let (there, back) = (bounded::<u32>(0), bounded::<u32>(0));
            let pair = [
                (there.0.clone(), back.1.clone()),
                (back.0.clone(), there.1.clone()),
            ];
            let tasks: Vec<_> = pair
                .into_iter()
                .map(|(sender, receiver)| {
                    spawn(move || {
                        let (mut sent, mut got) = (0_u32, 0_u32);
                        for _ in 0..TURNS {
                            select! {
                                send(sender, sent) -> done => {
                                    done.unwrap();
                                    sent += 1;
                                }
                                recv(receiver) -> value => {
                                    assert_eq!(value, Ok(got));
                                    got += 1;
                                }
                            }
                        }
                        (sent, got)
                    })
                })
                .collect();
            let counts: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
            // Each meeting counts once on either side.
            assert_eq!(counts[0].0, counts[1].1);
            assert_eq!(counts[0].1, counts[1].0);
            assert_eq!(counts[0].0 + counts[0].1, TURNS);
        })
    })
    .unwrap();
}
