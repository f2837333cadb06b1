//! Select: one arm, chosen fairly, and nothing lost at the others.

mod arms;
mod dynamic;
mod storm;

use std::cell::RefCell;
use std::time::Duration;

use greenloom::channel::{bounded, rendezvous, unbounded};
use greenloom::sync::Event;
use greenloom::{RunError, Runtime, select, sleep, spawn, yield_now};

use crate::util::{green, virtual_time};
use crate::watch::watched;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_ready_arm_is_done_and_the_others_are_as_they_were() {
    green(|| {
        let (full, other) = (bounded(1), bounded(1));
        full.0.send(1).unwrap();
        other.0.send(2).unwrap();
        let empty = rendezvous::<i32>();
        for _ in 0..100 {
            let got = select! {
                recv(empty.1) -> got => got.unwrap(),
                send(other.0, 7) -> sent => panic!("there was no room: {sent:?}"),
                recv(full.1) -> got => got.unwrap(),
            };
            assert_eq!(got, 1);
            assert_eq!((full.1.len(), other.1.len()), (0, 1));
            full.0.send(1).unwrap();
        }
        assert_eq!(other.1.recv(), Ok(2));
    });
}

#[test]
fn a_default_is_done_when_nothing_else_can_be() {
    let (sender, receiver) = bounded(1);
    let turn = || {
        select! {
            recv(receiver) -> got => got.ok(),
            default => None,
        }
    };
    assert_eq!(turn(), None);
    sender.send(5).unwrap();
    assert_eq!(turn(), Some(5));
    assert_eq!(turn(), None);
}

#[test]
fn an_end_that_is_gone_makes_its_arm_ready() {
    let (sender, receiver) = bounded::<i32>(1);
    drop(sender);
    assert!(select! { recv(receiver) -> got => got.is_err(), default => false });
    let (sender, receiver) = bounded(1);
    sender.send("inside").unwrap();
    drop(receiver);
    let back = select! {
        send(sender, "mine") -> sent => sent.unwrap_err().into_inner(),
        default => "",
    };
    assert_eq!(back, "mine");
}

#[test]
fn whoever_comes_later_serves_the_one_that_waits() {
    green(|| {
        let (first, second) = (rendezvous(), rendezvous::<i32>());
        let task = spawn(move || {
            select! {
                recv(first.1) -> got => ("received", got.unwrap()),
                send(second.0, 2) -> sent => { sent.unwrap(); ("sent", 2) }
            }
        });
        yield_now();
        assert_eq!(second.1.try_recv(), Ok(2));
        // It waits no longer for the other.
        assert!(first.0.try_send(1).unwrap_err().into_inner() == 1);
        assert_eq!(task.join().unwrap(), ("sent", 2));
        assert!(first.0.try_send(1).unwrap_err().is_disconnected());
    });
}

#[test]
fn conditions_and_operands_are_evaluated_once_and_in_order() {
    let said = RefCell::new(Vec::new());
    let say = |text| said.borrow_mut().push(text);
    let (sender, receiver) = bounded(1);
    select! {
        recv({ say("first receiver"); &receiver }) -> _ => panic!("it is empty"),
        send({ say("sender"); &sender }, { say("value"); 1 }) -> _ if { say("off"); false } => {}
        send({ say("sender"); &sender }, { say("value"); 1 }) -> sent if { say("on"); true } => {
            say("body");
            sent.unwrap();
        }
        recv({ say("last receiver"); &receiver }) -> _ => panic!("it is empty"),
        timeout({ say("time"); SECOND }) => panic!("there is room"),
    }
    let expected = [
        "first receiver",
        "off",
        "on",
        "sender",
        "value",
        "last receiver",
        "time",
        "body",
    ];
    assert_eq!(*said.borrow(), expected);
}

#[test]
fn an_arm_that_is_switched_off_is_never_done() {
    let (sender, receiver) = bounded(1);
    sender.send(1).unwrap();
    let nothing: Option<&greenloom::channel::Receiver<i32>> = std::hint::black_box(None);
    for is_on in [false, true] {
        let got = select! {
            recv(receiver) -> got if is_on => got.unwrap(),
            recv(nothing.unwrap()) -> _ if nothing.is_some() => 2,
            default => 4,
        };
        assert_eq!(got, if is_on { 1 } else { 4 });
    }
}

#[test]
fn a_time_limit_can_be_switched_off() {
    virtual_time(|| {
        let (sender, receiver) = bounded(1);
        drop(spawn(move || {
            sleep(10 * SECOND);
            sender.send(1).unwrap();
        }));
        for (is_limited, expected) in [(true, 0), (false, 1)] {
            let got = select! {
                recv(receiver) -> got => got.unwrap(),
                timeout(SECOND) if is_limited => 0,
            };
            assert_eq!(got, expected);
        }
    });
}

#[test]
fn what_stands_behind_an_arm_leaves_the_loops_and_functions_around() {
    fn answer(receiver: &greenloom::channel::Receiver<i32>) -> Option<i32> {
        let mut sum = 0;
        'outer: loop {
            loop {
                let got = select! {
                    recv(receiver) -> got => match got.ok()? {
                        0 => continue 'outer,
                        9 => break 'outer,
                        13 => return Some(-1),
                        other => other,
                    },
                };
                sum += got;
            }
        }
        Some(sum)
    }
    let (sender, receiver) = unbounded();
    let ask = |list: &[i32]| {
        list.iter().for_each(|&n| sender.send(n).unwrap());
        answer(&receiver)
    };
    assert_eq!(ask(&[1, 0, 2, 9]), Some(3));
    assert_eq!(ask(&[1, 13]), Some(-1));
    sender.send(5).unwrap();
    drop(sender);
    assert_eq!(answer(&receiver), None);
}

#[test]
fn what_is_borrowed_is_free_again_behind_the_arm() {
    let (mut sender, mut receiver) = bounded(1);
    sender.send(String::from("moved")).unwrap();
    let got = select! {
        recv(receiver) -> got => {
            drop(receiver);
            (sender, receiver) = bounded(1);
            got.unwrap()
        }
        send(sender, String::new()) -> _ => {
            drop(sender);
            return;
        }
    };
    assert_eq!(got, "moved");
    sender.send(got).unwrap();
    drop(receiver);
}

#[test]
fn a_select_waits_no_longer_than_asked_and_takes_what_comes_at_the_deadline() {
    virtual_time(|| {
        let (sender, receiver) = rendezvous();
        let turn = |limit: Duration| {
            let begun = greenloom::time::now();
            let got = select! {
                recv(receiver) -> got => got.ok(),
                timeout(limit) => None,
            };
            (got, greenloom::time::now() - begun)
        };
        assert_eq!(turn(Duration::ZERO), (None, Duration::ZERO));
        assert_eq!(turn(SECOND), (None, SECOND));
        let theirs = sender.clone();
        let task = spawn(move || {
            sleep(SECOND);
            theirs.send(1)
        });
        yield_now();
        // Both are due in the same moment; the sleep was first.
        assert_eq!(turn(SECOND), (Some(1), SECOND));
        task.join().unwrap().unwrap();
        let task = spawn(move || {
            sleep(SECOND);
            sender.send(2)
        });
        assert_eq!(turn(Duration::MAX), (Some(2), SECOND));
        task.join().unwrap().unwrap();
    });
}

#[test]
fn a_select_never_meets_itself() {
    virtual_time(|| {
        let (sender, receiver) = rendezvous();
        let got = select! {
            send(sender, 1) -> _ => "sent",
            recv(receiver) -> _ => "received",
            default => "neither",
        };
        assert_eq!(got, "neither");
        let got = select! {
            recv(receiver) -> _ => "received",
            send(sender, 1) -> _ => "sent",
            recv(receiver) -> _ => "received",
            timeout(SECOND) => "neither",
        };
        assert_eq!(got, "neither");
        assert!(receiver.is_empty() && sender.try_send(1).unwrap_err().is_full());
    });
}

#[test]
fn a_select_on_both_ends_of_a_channel_with_room_sends_then_receives() {
    green(|| {
        let (sender, receiver) = bounded(1);
        let mut received = Vec::new();
        for n in 0..10 {
            select! {
                send(sender, n) -> sent => sent.unwrap(),
                recv(receiver) -> got => received.push(got.unwrap()),
            }
        }
        assert_eq!(received, [0, 2, 4, 6, 8]);
    });
}

#[test]
fn two_selects_that_face_each_other_meet() {
    for turn in 0..200 {
        green(move || {
            let (there, back) = (rendezvous::<u8>(), rendezvous::<u8>());
            let ends = (there.0.clone(), back.1.clone());
            let one = spawn(move || {
                select! {
                    send(ends.0, 1) -> sent => { sent.unwrap(); None }
                    recv(ends.1) -> got => Some(got.unwrap()),
                }
            });
            if turn % 2 == 0 {
                yield_now();
            }
            let other = select! {
                recv(there.1) -> got => Some(got.unwrap()),
                send(back.0, 2) -> sent => { sent.unwrap(); None }
            };
            match (one.join().unwrap(), other) {
                (None, Some(1)) | (Some(2), None) => {}
                wrong => panic!("{wrong:?}"),
            }
        });
    }
}

/// Pearson's statistic of counts that should be equal.
fn chi_square(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let square = |&count: &u32| (f64::from(count) - expected).powi(2) / expected;
    counts.iter().map(square).sum()
}

#[test]
fn of_those_that_are_ready_each_is_as_likely_as_the_others() {
    // One worker's random numbers are the same in each run.
    green(|| {
        let ends: [_; 4] = std::array::from_fn(|_| unbounded());
        // Neighbours and not, so that a random start alone would show.
        for ready in [vec![0, 1, 2, 3], vec![0, 1], vec![0, 1, 2], vec![1, 3]] {
            let mut counts = [0; 4];
            for _ in 0..4_000 {
                ready.iter().for_each(|&n| ends[n].0.send(n).unwrap());
                let got = select! {
                    recv(ends[0].1) -> got => got,
                    recv(ends[1].1) -> got => got,
                    recv(ends[2].1) -> got => got,
                    recv(ends[3].1) -> got => got,
                };
                counts[got.unwrap()] += 1;
                ends.iter()
                    .for_each(|(_, receiver)| receiver.try_iter().for_each(drop));
            }
            let counts: Vec<_> = ready.iter().map(|&n| counts[n]).collect();
            // One in a thousand runs of three degrees of freedom is above 16.3.
            assert!(chi_square(&counts) < 16.3, "{counts:?}");
        }
    });
}

#[test]
fn one_that_is_always_ready_lets_its_neighbours_run() {
    green(|| {
        let (sender, receiver) = bounded::<()>(1);
        let stop = std::rc::Rc::new(Event::new());
        let theirs = stop.clone();
        drop(greenloom::spawn_local(move || theirs.set()));
        drop(sender);
        while !stop.is_set() {
            select! { recv(receiver) -> got => assert!(got.is_err()) }
        }
    });
}

#[test]
fn it_works_where_no_task_runs() {
    let (there, back) = (rendezvous(), rendezvous::<i32>());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..100 {
                match n % 2 {
                    0 => there.0.send(n).unwrap(),
                    _ => assert_eq!(back.1.recv(), Ok(-1)),
                }
            }
        });
        for n in 0..100 {
            let got = select! {
                recv(there.1) -> got => got.unwrap(),
                send(back.0, -1) -> sent => { sent.unwrap(); -1 }
                timeout(60 * SECOND) => panic!("somebody is there"),
            };
            assert_eq!(got, if n % 2 == 0 { n } else { -1 });
        }
    });
    assert!(select! {
        recv(there.1) -> _ => false,
        timeout(Duration::from_millis(2)) => true,
    });
}

#[test]
fn a_deadlock_report_names_what_a_select_waits_for() {
    let error = watched(|| {
        let runtime = Runtime::builder().workers(1).closed_world();
        let ended = runtime.run(|| {
            let (_sender, receiver) = bounded::<i32>(1);
            let stop = Event::new();
            select! {
                recv(receiver) -> _ => {}
                wait(stop) => {}
            }
        });
        ended.unwrap_err()
    });
    let RunError::Panicked(payload) = error else {
        panic!("{error:?}");
    };
    let report = payload.downcast::<String>().unwrap();
    assert!(
        report.contains("select on a value from a bounded channel"),
        "{report}"
    );
    assert!(report.contains(file!()), "{report}");
    assert!(
        report.contains(", or an Event that nobody has set"),
        "{report}"
    );
}
