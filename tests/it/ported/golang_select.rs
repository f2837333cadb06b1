//! What Go's own tests check of `select`: `runtime/chan_test.go`, `test/chan/{select*,doubleselect,sieve2,powser1}.go`;
//! and crossbeam-channel's `tests/{after,tick,never}.rs`, the parts with a select.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::{Receiver, Sender, after, bounded, never, rendezvous, tick};
use greenloom::sync::Event;
use greenloom::time::now;
use greenloom::{Runtime, scope, select, sleep, spawn, yield_now};

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

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

// TestNonblockSelectRace, TestNonblockSelectRace2: at each moment one of two channels is ready.
#[test]
fn a_select_that_does_not_wait_does_not_miss_what_is_ready() {
    on_one_and_two_workers(|| {
        for round in 0..20_000 {
            let (one, from_one) = bounded(1);
            let (other, from_other) = bounded(1);
            one.send(1).unwrap();
            let (twin_of_one, twin_of_other) = (from_one.clone(), from_other.clone());
            let task = spawn(move || {
                select! {
                    recv(twin_of_one) -> _ => true,
                    recv(twin_of_other) -> _ => true,
                    default => false,
                }
            });
            // The second becomes ready too, by a value or by its end, before the first is taken away.
            match round % 2 {
                0 => other.send(2).unwrap(),
                _ => drop(other),
            }
            let _ = from_one.try_recv();
            assert!(task.join().unwrap(), "round {round}");
        }
    });
}

// The same with what a look does not use up: the decision is made over all arms at one moment.
#[test]
fn a_select_that_does_not_wait_sees_all_of_its_arms_at_one_moment() {
    let (one, other, is_over) = (Event::new(), Event::new(), Event::new());
    one.set();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.is_set() {
                other.set();
                one.clear();
                one.set();
                other.clear();
            }
        });
        for _ in 0..200_000 {
            select! {
                wait(one) => {}
                wait(other) => {}
                default => {
                    is_over.set();
                    panic!("one of the two was always set");
                }
            }
        }
        is_over.set();
    });
}

// TestSelfSelect: two who send and receive on one channel by selects never meet themselves, and never hang.
#[test]
fn a_select_never_meets_itself() {
    on_one_and_two_workers(|| {
        for capacity in [0, 10] {
            let (sender, receiver) = bounded(capacity);
            let tasks: Vec<_> = (0..2)
                .map(|mine| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    spawn(move || {
                        for round in 0..1000 {
                            let got = match (mine + round) % 2 {
                                0 => select! {
                                    send(sender, mine) -> sent => { sent.unwrap(); None }
                                    recv(receiver) -> got => Some(got.unwrap()),
                                },
                                _ => select! {
                                    recv(receiver) -> got => Some(got.unwrap()),
                                    send(sender, mine) -> sent => { sent.unwrap(); None }
                                },
                            };
                            assert!(capacity > 0 || got != Some(mine), "met itself");
                        }
                    })
                })
                .collect();
            // One may be left alone at the end: then somebody must meet it.
            while !tasks.iter().all(|task| task.is_finished()) {
                select! {
                    recv(receiver) -> _ => {}
                    send(sender, 9) -> _ => {}
                    timeout(Duration::from_millis(1)) => {}
                }
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
        }
    });
}

// TestSelectStress: four channels, senders and receivers each alone and by selects over all four.
#[test]
fn selects_over_four_channels_neither_lose_nor_double() {
    const EACH: usize = 2000;
    on_one_and_two_workers(|| {
        let channels = [bounded(0), bounded(0), bounded(2), bounded(3)];
        let received: [AtomicUsize; 4] = Default::default();
        scope(|scope| {
            for (sender, _) in &channels {
                scope.spawn(move || (0..EACH).for_each(|_| sender.send(()).unwrap()));
            }
            for (place, (_, receiver)) in channels.iter().enumerate() {
                let count = &received[place];
                scope.spawn(move || {
                    for () in receiver.iter().take(EACH) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let [(s0, r0), (s1, r1), (s2, r2), (s3, r3)] = &channels;
            scope.spawn(move || {
                let mut left = [EACH; 4];
                while left != [0; 4] {
                    select! {
                        send(s0, ()) -> _ if left[0] > 0 => left[0] -= 1,
                        send(s1, ()) -> _ if left[1] > 0 => left[1] -= 1,
                        send(s2, ()) -> _ if left[2] > 0 => left[2] -= 1,
                        send(s3, ()) -> _ if left[3] > 0 => left[3] -= 1,
                    }
                }
            });
            let count = &received;
            scope.spawn(move || {
                let mut left = [EACH; 4];
                while left != [0; 4] {
                    let place = select! {
                        recv(r0) -> _ if left[0] > 0 => 0,
                        recv(r1) -> _ if left[1] > 0 => 1,
                        recv(r2) -> _ if left[2] > 0 => 2,
                        recv(r3) -> _ if left[3] > 0 => 3,
                    };
                    left[place] -= 1;
                    count[place].fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let received = received
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        assert_eq!(received, [2 * EACH; 4]);
    });
}

// TestSelectFairness: of two that are always ready each is chosen about as often.
#[test]
fn of_two_that_are_always_ready_each_is_chosen_about_as_often() {
    const TRIALS: i32 = 10_000;
    green(|| {
        let (one, from_one) = bounded(TRIALS as usize);
        let (other, from_other) = bounded(TRIALS as usize);
        (0..TRIALS).for_each(|_| {
            one.send(1).unwrap();
            other.send(-1).unwrap();
        });
        let nothing = never::<i32>();
        let balance: i32 = (0..TRIALS)
            .map(|_| {
                select! {
                    recv(from_one) -> n => n.unwrap(),
                    recv(nothing) -> n => n.unwrap(),
                    recv(from_other) -> n => n.unwrap(),
                }
            })
            .sum();
        // Ten times the standard deviation, which is 100.
        assert!(balance.abs() < 1000, "{balance}");
    });
}

// TestSelectDuplicateChannel: a channel may stand in a select more than once.
#[test]
fn a_channel_may_stand_in_a_select_more_than_once() {
    green(|| {
        let (sender, receiver) = rendezvous();
        let (_idle, nothing) = rendezvous::<()>();
        let task = spawn(move || {
            let mut got = Vec::new();
            for _ in 0..2 {
                select! {
                    recv(receiver) -> n => got.push(n.unwrap()),
                    recv(nothing) -> _ => unreachable!(),
                    recv(receiver) -> n => got.push(n.unwrap()),
                }
            }
            got
        });
        yield_now();
        (1..=2).for_each(|n| sender.send(n).unwrap());
        assert_eq!(task.join().unwrap(), [1, 2]);
    });
}

// chan/select.go: arms are switched off, one direction at a time.
#[test]
fn an_arm_that_is_switched_off_is_not_evaluated() {
    green(|| {
        let (sender, receiver) = bounded(1);
        let counter = AtomicUsize::new(0);
        let value = || counter.fetch_add(1, Ordering::Relaxed);
        for round in 0..10 {
            let is_sending = round % 2 == 0;
            select! {
                send(sender, value()) -> sent if is_sending => sent.unwrap(),
                recv(receiver) -> n if !is_sending => assert_eq!(n, Ok(round / 2)),
            }
        }
        assert_eq!(counter.load(Ordering::Relaxed), 5);
    });
}

// chan/select3.go: what waits and what does not, with channels that are closed, full, empty, or missing.
#[test]
fn each_state_of_a_channel_waits_or_does_not() {
    fn waits(f: impl FnOnce() + Send + 'static) -> bool {
        let task = spawn(f);
        sleep(SECOND);
        let waits = !task.is_finished();
        task.cancel();
        let _ = task.join();
        waits
    }
    virtual_time(|| {
        assert!(waits(|| {
            select! { recv(never::<()>()) -> _ => {} }
        }));
        assert!(!waits(
            || select! { recv(never::<()>()) -> _ => {}, default => {} }
        ));
        for capacity in [0, 1] {
            let (sender, receiver) = bounded::<()>(capacity);
            let twin = receiver.clone();
            assert!(waits(move || select! { recv(twin) -> _ => {} }));
            let twin = sender.clone();
            let has_room = capacity > 0;
            assert_eq!(
                !waits(move || select! { send(twin, ()) -> _ => {} }),
                has_room
            );
            let (full, twin) = (sender.clone(), receiver.clone());
            while full.try_send(()).is_ok() {}
            assert!(waits(move || select! { send(full, ()) -> _ => {} }));
            assert_eq!(!waits(move || select! { recv(twin) -> _ => {} }), has_room);
            sender.close();
            assert!(!waits(move || select! { send(sender, ()) -> _ => {} }));
            assert!(!waits(move || select! { recv(receiver) -> _ => {} }));
        }
    });
}

// chan/select5.go, in spirit: operands are evaluated once, in order.
#[test]
fn operands_are_evaluated_once_in_order() {
    green(|| {
        let (sender, receiver) = rendezvous::<i32>();
        let order = std::cell::RefCell::new(Vec::new());
        let note = |n: i32| order.borrow_mut().push(n);
        let chosen = select! {
            recv({ note(1); &receiver }) -> _ => 1,
            send({ note(2); &sender }, { note(3); 7 }) -> _ => 2,
            timeout({ note(4); Duration::ZERO }) => 3,
        };
        assert_eq!((chosen, &order.borrow()[..]), (3, &[1, 2, 3, 4][..]));
    });
}

// chan/select6.go: a select that gives up a channel leaves the line of those who wait there whole.
#[test]
fn a_select_that_leaves_a_line_leaves_it_whole() {
    green(|| {
        let (one, from_one) = rendezvous::<bool>();
        let (other, from_other) = rendezvous::<bool>();
        let twin = from_one.clone();
        let waiting = spawn(move || twin.recv());
        yield_now();
        let twin = from_one.clone();
        let selecting = spawn(move || {
            select! {
                recv(from_other) -> _ => {}
                recv(twin) -> _ => unreachable!(),
            }
        });
        yield_now();
        let behind = spawn(move || from_one.recv());
        yield_now();
        other.send(false).unwrap();
        selecting.join().unwrap();
        // With the middle of the line gone, both ends are still served.
        one.send(true).unwrap();
        one.send(true).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(true));
        assert_eq!(behind.join().unwrap(), Ok(true));
    });
}

// chan/select7.go: whoever waits is met by a select that does not wait, in each of the ways to receive.
#[test]
fn a_select_that_does_not_wait_meets_whoever_waits() {
    type Way = fn(Receiver<i32>) -> i32;
    let ways: [Way; 3] = [
        |receiver| receiver.recv().unwrap(),
        |receiver| select! { recv(receiver) -> n => n.unwrap() },
        |receiver| {
            let nothing = never::<i32>();
            select! {
                recv(nothing) -> n => n.unwrap(),
                recv(receiver) -> n => n.unwrap(),
            }
        },
    ];
    green(move || {
        for way in ways {
            let (sender, receiver) = rendezvous();
            let task = spawn(move || way(receiver));
            yield_now();
            select! {
                send(sender, 1) -> sent => sent.unwrap(),
                default => panic!("the receiver was there"),
            }
            assert_eq!(task.join().unwrap(), 1);
        }
    });
}

// chan/doubleselect.go: nothing is chosen twice while the answers come back over many channels.
#[test]
fn nothing_comes_twice_over_several_channels() {
    const ITEMS: u32 = 20_000;
    on_one_and_two_workers(|| {
        let channels: [(Sender<u32>, Receiver<u32>); 4] = std::array::from_fn(|_| rendezvous());
        let [c0, c1, c2, c3] = channels.each_ref().map(|(sender, _)| sender.clone());
        drop(spawn(move || {
            for n in 0..ITEMS {
                select! {
                    send(c0, n) -> sent => sent.unwrap(),
                    send(c1, n) -> sent => sent.unwrap(),
                    send(c2, n) -> sent => sent.unwrap(),
                    send(c3, n) -> sent => sent.unwrap(),
                }
            }
        }));
        let (merged, all) = rendezvous();
        for (_, receiver) in channels {
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

// chan/powser1.go, sieve2.go, in small: a tree of tasks that ask each other by selects.
#[test]
fn two_streams_are_joined_value_by_value() {
    on_one_and_two_workers(|| {
        let count = |from: u64| {
            let (sender, receiver) = rendezvous();
            drop(spawn(move || {
                (from..)
                    .take_while(|n| sender.send(*n).is_ok())
                    .for_each(drop)
            }));
            receiver
        };
        let (left, right) = (count(0), count(1000));
        for n in 0..2000 {
            // Whichever is first, one of each.
            let (mut a, mut b) = (None, None);
            while a.is_none() || b.is_none() {
                select! {
                    recv(left) -> n if a.is_none() => a = n.ok(),
                    recv(right) -> n if b.is_none() => b = n.ok(),
                }
            }
            assert_eq!((a, b), (Some(n), Some(1000 + n)));
        }
    });
}

// after.rs `select`, tick.rs `select`, never.rs: bells, ticks and nothing among the arms.
#[test]
fn the_clock_is_an_arm_like_others() {
    virtual_time(|| {
        let begun = now();
        let end = after(5 * SECOND + SECOND / 2);
        let ticks = tick(SECOND);
        let (sender, receiver) = rendezvous();
        drop(spawn(move || {
            for n in 0..3 {
                sleep(SECOND * 3 / 2);
                sender.send(n).unwrap();
            }
            greenloom::park();
        }));
        let nothing = never::<()>();
        let mut seen = String::new();
        loop {
            select! {
                recv(ticks) -> _ => seen.push('t'),
                recv(receiver) -> n => seen.push_str(&n.unwrap().to_string()),
                recv(nothing) -> _ => unreachable!(),
                recv(end) -> due => {
                    assert_eq!(due.unwrap() - begun, 5 * SECOND + SECOND / 2);
                    break;
                }
            }
        }
        // At 3 the tick and the second value come at the same time, in either order.
        assert!(["t0tt1t2t", "t0t1tt2t"].contains(&&*seen), "{seen}");
        assert_eq!(now() - begun, 5 * SECOND + SECOND / 2);
    });
}

// after.rs and tick.rs, `recv_race`, `stress_default`: thousands who share bells by selects.
#[test]
fn each_tick_goes_to_one_of_a_thousand_selects() {
    virtual_time(|| {
        let ticks = tick(SECOND);
        let over = after(50 * SECOND + SECOND / 2);
        let (done, all_done) = bounded::<()>(0);
        let heard = AtomicUsize::new(0);
        let mut random = Random::new(3);
        scope(|scope| {
            for _ in 0..1000 {
                let (ticks, done, heard) = (ticks.clone(), all_done.clone(), &heard);
                let patience = SECOND * (random.below(5) as u32 + 1);
                scope.spawn(move || {
                    loop {
                        select! {
                            recv(ticks) -> due => {
                                due.unwrap();
                                heard.fetch_add(1, Ordering::Relaxed);
                            }
                            recv(done) -> _ => return,
                            timeout(patience) => {}
                        }
                    }
                });
            }
            over.recv().unwrap();
            drop(done);
        });
        assert_eq!(heard.load(Ordering::Relaxed), 50);
    });
}
