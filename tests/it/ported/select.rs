//! What others' tests check of select: Go's `runtime/chan_test.go` and `test/chan/{select*,doubleselect}.go`, and
//! crossbeam-channel's `tests/{select,select_macro}.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::{Receiver, Sender, after, bounded, never, rendezvous, unbounded};
use greenloom::select::Select;
use greenloom::{Runtime, scope, select, sleep, spawn, yield_now};

use crate::util::{green, virtual_time};
use crate::watch::watched;

const SECOND: Duration = Duration::from_secs(1);

fn on_two_workers(f: impl FnOnce() + Send + 'static) {
    watched(move || Runtime::builder().workers(2).run(f)).unwrap();
}

// Go, TestSelfSelect: tasks that select on both directions of one channel never receive their own value.
#[test]
fn nobody_receives_his_own_value() {
    for capacity in [0, 10] {
        on_two_workers(move || {
            let (sender, receiver) = bounded(capacity);
            let tasks: Vec<_> = (0..2)
                .map(|me| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    spawn(move || {
                        for turn in 0..1_000 {
                            let got = match turn % 2 {
                                0 => select! {
                                    send(sender, me) -> sent => { sent.unwrap(); None }
                                    recv(receiver) -> got => Some(got.unwrap()),
                                },
                                _ => select! {
                                    recv(receiver) -> got => Some(got.unwrap()),
                                    send(sender, me) -> sent => { sent.unwrap(); None }
                                },
                            };
                            // With room a value of one's own may come back later, by way of the room.
                            assert!(capacity > 0 || got != Some(me));
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

// Go, TestSelectStress: four channels of different capacities; simple senders and receivers, and selects that
// do the same in whatever order they can. Everything comes to an end.
#[test]
fn selects_do_the_work_of_four_tasks() {
    const EACH: usize = 1_000;
    on_two_workers(|| {
        let ends: [_; 4] = [0, 0, 2, 3].map(bounded::<usize>);
        let (senders, receivers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        scope(|scope| {
            for (sender, receiver) in senders.iter().zip(&receivers) {
                scope.spawn(move || (0..EACH).for_each(|n| sender.send(n).unwrap()));
                scope.spawn(move || {
                    (0..EACH).for_each(|_| {
                        let _item: usize = receiver.recv().unwrap();
                    })
                });
            }
            let (senders, receivers) = (&senders, &receivers);
            scope.spawn(move || {
                let mut left = [EACH; 4];
                while left != [0; 4] {
                    let done = select! {
                        send(senders[3], 0) -> sent if left[3] > 0 => { sent.unwrap(); 3 }
                        send(senders[2], 0) -> sent if left[2] > 0 => { sent.unwrap(); 2 }
                        send(senders[0], 0) -> sent if left[0] > 0 => { sent.unwrap(); 0 }
                        send(senders[1], 0) -> sent if left[1] > 0 => { sent.unwrap(); 1 }
                    };
                    left[done] -= 1;
                }
            });
            scope.spawn(move || {
                let mut left = [EACH; 4];
                while left != [0; 4] {
                    let done = select! {
                        recv(receivers[0]) -> got if left[0] > 0 => { got.unwrap(); 0 }
                        recv(receivers[1]) -> got if left[1] > 0 => { got.unwrap(); 1 }
                        recv(receivers[2]) -> got if left[2] > 0 => { got.unwrap(); 2 }
                        recv(receivers[3]) -> got if left[3] > 0 => { got.unwrap(); 3 }
                    };
                    left[done] -= 1;
                }
            });
        });
    });
}

// Go, TestSelectFairness: with two senders always ready, neither is starved.
#[test]
fn neither_of_two_busy_senders_is_starved() {
    green(|| {
        let (first, second) = (bounded(100), bounded(100));
        let stop = bounded::<()>(0);
        let send = |sender: Sender<u32>, stop: Receiver<()>, n| {
            spawn(move || {
                loop {
                    select! {
                        send(sender, n) -> sent => if sent.is_err() { return },
                        recv(stop) -> _ => return,
                    }
                }
            })
        };
        let tasks = [send(first.0, stop.1.clone(), 1), send(second.0, stop.1, 2)];
        let mut counts = [0_u32; 2];
        for _ in 0..10_000 {
            let got = select! {
                recv(first.1) -> got => got,
                recv(second.1) -> got => got,
            };
            counts[got.unwrap() as usize - 1] += 1;
        }
        drop(stop.0);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        // Ten standard deviations; starved would be all of them.
        assert!(counts[0].abs_diff(5_000) < 500, "{counts:?}");
    });
}

// Go, TestNonblockSelectRace: a select with a default that runs beside a close never misses both a value and the end.
#[test]
fn a_default_beside_an_end_is_not_taken_twice() {
    const TURNS: usize = 2_000;
    on_two_workers(|| {
        for _ in 0..TURNS {
            let (first, second) = (bounded(1), bounded::<()>(1));
            first.0.send(1).unwrap();
            let (mine, theirs) = (second.1, first.1.clone());
            let closer = second.0;
            let task = spawn(move || {
                // One of them is always ready: the value, or, when that has been taken, the end.
                select! {
                    recv(theirs) -> got => got.is_ok(),
                    recv(mine) -> got => got.is_err(),
                    default => false,
                }
            });
            drop(closer);
            let _ = first.1.try_recv();
            assert!(task.join().unwrap());
        }
    });
}

// Go, TestSelectDuplicateChannel; crossbeam, duplicate_channel: one channel in several arms leaves no seat behind.
#[test]
fn one_channel_in_three_arms_leaves_nothing_behind() {
    green(|| {
        let (first, second) = (rendezvous::<i32>(), rendezvous());
        let (one, two) = (first.1.clone(), second.1.clone());
        let both = spawn(move || {
            select! {
                recv(one) -> _ => "first",
                recv(one) -> _ => "first",
                recv(two) -> _ => "second",
                recv(one) -> _ => "first",
            }
        });
        yield_now();
        let theirs = first.1.clone();
        let behind = spawn(move || theirs.recv());
        yield_now();
        second.0.send(8).unwrap();
        assert_eq!(both.join().unwrap(), "second");
        first.0.send(7).unwrap();
        assert_eq!(behind.join().unwrap(), Ok(7));
    });
}

// Go, select6.go: three who wait for one channel, the middle one as a select that is won elsewhere; the other two are
// served in order.
#[test]
fn a_seat_in_the_middle_goes_away_without_harm() {
    green(|| {
        let (first, second) = (rendezvous(), rendezvous());
        let plain = |receiver: &Receiver<i32>| {
            let receiver = receiver.clone();
            let task = spawn(move || receiver.recv().unwrap());
            yield_now();
            task
        };
        let one = plain(&first.1);
        let ends = (first.1.clone(), second.1.clone());
        let middle = spawn(move || {
            select! {
                recv(ends.0) -> got => got.unwrap(),
                recv(ends.1) -> got => got.unwrap(),
            }
        });
        yield_now();
        let three = plain(&first.1);
        second.0.send(2).unwrap();
        assert_eq!(middle.join().unwrap(), 2);
        first.0.send(1).unwrap();
        first.0.send(3).unwrap();
        assert_eq!((one.join().unwrap(), three.join().unwrap()), (1, 3));
    });
}

// Go, doubleselect.go: four merged channels, each with a stream of numbers; none comes twice.
#[test]
fn no_number_comes_twice_out_of_four_streams() {
    const NUMBERS: u32 = 5_000;
    on_two_workers(|| {
        let ends: [_; 4] = std::array::from_fn(|_| bounded(0));
        let senders = ends.each_ref().map(|(sender, _)| sender.clone());
        let receivers = ends.map(|(_, receiver)| receiver);
        let source = spawn(move || {
            for n in 1..=NUMBERS {
                select! {
                    send(senders[0], n) -> sent => sent.unwrap(),
                    send(senders[1], n) -> sent => sent.unwrap(),
                    send(senders[2], n) -> sent => sent.unwrap(),
                    send(senders[3], n) -> sent => sent.unwrap(),
                }
            }
        });
        let (merged, all) = bounded(0);
        for receiver in receivers {
            let merged = merged.clone();
            drop(spawn(move || {
                for n in receiver {
                    merged.send(n).unwrap();
                }
            }));
        }
        drop(merged);
        let mut seen = vec![false; NUMBERS as usize];
        for n in all {
            assert!(!std::mem::replace(&mut seen[n as usize - 1], true), "{n}");
        }
        assert!(seen.into_iter().all(|is_seen| is_seen));
        source.join().unwrap();
    });
}

// Go, select3.go: which operations wait and which do not, each in a select with nothing and with a default.
#[test]
fn an_arm_waits_when_its_operation_would() {
    virtual_time(|| {
        let waits = |sender: &Sender<i32>, receiver: &Receiver<i32>| {
            let sends = select! { send(sender, 1) -> _ => false, timeout(SECOND) => true };
            let receives = select! { recv(receiver) -> _ => false, timeout(SECOND) => true };
            (sends, receives)
        };
        let (sender, receiver) = rendezvous();
        assert_eq!(waits(&sender, &receiver), (true, true));
        let (sender, receiver) = bounded(10);
        assert_eq!(waits(&sender, &receiver), (false, false));
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        assert_eq!(waits(&sender, &receiver), (true, false));
        sender.close();
        assert_eq!(waits(&sender, &receiver), (false, false));
        assert!(select! { recv(never::<()>()) -> _ => false, timeout(SECOND) => true });
    });
}

// crossbeam, preflight and disconnected: what happened before the select decides it.
#[test]
fn an_end_before_the_select_and_one_meanwhile_are_the_same() {
    virtual_time(|| {
        for pause in [0, 1] {
            let (first, second) = (bounded::<i32>(0), bounded::<i32>(0));
            let (sender, kept) = first;
            let task = spawn(move || {
                sleep(pause * SECOND);
                drop(sender);
            });
            if pause == 0 {
                yield_now();
            }
            let ended = select! {
                recv(kept) -> got => got.is_err(),
                recv(second.1) -> _ => false,
                timeout(2 * SECOND) => false,
            };
            assert!(ended);
            task.join().unwrap();
            let (sender, receiver) = second;
            let task = spawn(move || {
                sleep(pause * SECOND);
                drop(receiver);
            });
            let back = select! {
                send(sender, 5) -> sent => sent.unwrap_err().into_inner(),
                timeout(2 * SECOND) => 0,
            };
            assert_eq!(back, 5);
            task.join().unwrap();
        }
    });
}

// crossbeam, cloning and loop_try: a stranger's try ends a wait.
#[test]
fn a_try_from_outside_serves_a_select_that_waits() {
    on_two_workers(|| {
        for _ in 0..200 {
            let (there, back) = (rendezvous(), rendezvous());
            let (to, from) = (there.0, back.1);
            let trier = spawn(move || {
                loop {
                    if to.try_send(1).is_ok() {
                        return "sent";
                    }
                    if from.try_recv() == Ok(2) {
                        return "received";
                    }
                    yield_now();
                }
            });
            let done = select! {
                recv(there.1) -> got => { assert_eq!(got, Ok(1)); "sent" }
                send(back.0, 2) -> sent => { sent.unwrap(); "received" }
            };
            assert_eq!(trier.join().unwrap(), done);
        }
    });
}

// crossbeam, nesting.
#[test]
fn selects_nest() {
    let (sender, receiver) = unbounded();
    let mut said = Vec::new();
    select! {
        send(sender, 0) -> sent => {
            sent.unwrap();
            select! {
                recv(receiver) -> got => {
                    said.push(got.unwrap());
                    select! {
                        send(sender, 1) -> sent => {
                            sent.unwrap();
                            select! { recv(receiver) -> got => said.push(got.unwrap()) }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(said, [0, 1]);
}

// crossbeam, matching and matching_with_leftover: an odd number of tasks, each of which sends or receives once
// over one rendezvous; all but one are matched.
#[test]
fn an_odd_number_leaves_one_over() {
    const TASKS: usize = 45;
    for _ in 0..50 {
        on_two_workers(|| {
            let (sender, receiver) = rendezvous();
            scope(|scope| {
                let (sender, receiver) = (&sender, &receiver);
                for n in 0..TASKS {
                    scope.spawn(move || {
                        select! {
                            recv(receiver) -> got => assert_ne!(got.unwrap(), n),
                            send(sender, n) -> sent => sent.unwrap(),
                        }
                    });
                }
                sender.send(usize::MAX).unwrap();
            });
            assert!(receiver.try_recv().is_err());
        });
    }
}

// crossbeam, linearizable: as many values as selects that take one without waiting; none of them finds nothing.
#[test]
fn who_puts_one_in_each_can_take_one_at_once() {
    on_two_workers(|| {
        let (first, second) = (unbounded(), bounded(100));
        scope(|scope| {
            for task in 0..8 {
                let (first, second) = (&first, &second);
                scope.spawn(move || {
                    for turn in 0..2_000 {
                        match (task + turn) % 2 {
                            0 => first.0.send(turn).unwrap(),
                            _ => second.0.send(turn).unwrap(),
                        }
                        select! {
                            recv(first.1) -> got => { got.unwrap(); }
                            recv(second.1) -> got => { got.unwrap(); }
                            default => panic!("as many were put in as are taken out"),
                        }
                    }
                });
            }
        });
    });
}

// crossbeam, channel_through_channel.
#[test]
fn a_channel_travels_through_selects() {
    type Boxed = Box<dyn std::any::Any + Send>;
    on_two_workers(|| {
        let (mut sender, mut receiver) = bounded::<Boxed>(0);
        let task = spawn(move || {
            for _ in 0..500 {
                let (next, theirs) = bounded::<Boxed>(1);
                select! { send(sender, Box::new(theirs) as Boxed) -> sent => sent.unwrap() }
                sender = next;
            }
        });
        for _ in 0..500 {
            let next = select! { recv(receiver) -> got => got.unwrap() };
            receiver = *next.downcast::<Receiver<Boxed>>().unwrap();
        }
        task.join().unwrap();
    });
}

// crossbeam, fairness of the dynamic form, with timers among the arms.
#[test]
fn a_list_with_timers_in_it_is_fair() {
    green(|| {
        const TURNS: usize = 6_000;
        let (sender, receiver) = bounded(TURNS);
        (0..TURNS).for_each(|n| sender.send(n).unwrap());
        let mut counts = [0_u32; 3];
        for _ in 0..TURNS {
            let passed = after(Duration::ZERO);
            let room = bounded(1);
            let (mut one, mut two) = (select::recv(&receiver), select::recv(&passed));
            let mut three = select::send(&room.0, ());
            let chosen = Select::new()
                .with(&mut one)
                .with(&mut two)
                .with(&mut three)
                .wait();
            counts[chosen] += 1;
        }
        for count in counts {
            assert!(count.abs_diff(2_000) < 300, "{counts:?}");
        }
    });
}

// crossbeam, stress_mixed: thousands of tasks where theirs had some threads.
#[test]
fn thousands_of_selects_come_out_even() {
    const TASKS: usize = 2_000;
    on_two_workers(|| {
        let (there, back) = (bounded(0), bounded(7));
        let sum = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let (there, back, sum) = (there.clone(), back.clone(), sum.clone());
                spawn(move || {
                    let (mut has_sent, mut has_received) = (false, false);
                    while !(has_sent && has_received) {
                        select! {
                            send(there.0, n) -> sent if !has_sent => {
                                sent.unwrap();
                                has_sent = true;
                            }
                            send(back.0, n) -> sent if !has_sent => {
                                sent.unwrap();
                                has_sent = true;
                            }
                            recv(back.1) -> got if !has_received => {
                                sum.fetch_add(got.unwrap(), Ordering::Relaxed);
                                has_received = true;
                            }
                            recv(there.1) -> got if !has_received => {
                                sum.fetch_add(got.unwrap(), Ordering::Relaxed);
                                has_received = true;
                            }
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(sum.load(Ordering::Relaxed), TASKS * (TASKS - 1) / 2);
    });
}
