//! Each kind of arm.

use std::time::Duration;

use greenloom::channel::{self, after, at, bounded, broadcast, never, oneshot, tick, watch};
use greenloom::sync::{Arc, Event};
use greenloom::task::CancelToken;
use greenloom::{JoinError, select, sleep, spawn, yield_now};

use crate::util::{green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_join_that_is_not_chosen_leaves_the_handle_as_it_was() {
    virtual_time(|| {
        let mut task = spawn(|| {
            sleep(5 * SECOND);
            "slept"
        });
        let ticks = tick(SECOND);
        let mut count = 0;
        let said = loop {
            select! {
                recv(ticks) -> _ if count < 4 => count += 1,
                join(task) -> ended => break ended.unwrap(),
            }
        };
        assert_eq!((said, count), ("slept", 4));
        let mut task = spawn(|| 7);
        let early = select! { join(task) -> _ => true, default => false };
        assert!(!early);
        assert_eq!(task.join().unwrap(), 7);
    });
}

#[test]
fn a_join_arm_tells_how_the_task_ended() {
    virtual_time(|| {
        let mut task = spawn(|| sleep(Duration::MAX));
        task.cancel();
        let ended = select! { join(task) -> ended => ended };
        assert!(ended.unwrap_err().is_cancelled());
        let handle = &mut spawn(|| std::panic::resume_unwind(Box::new("oh")));
        let ended: Result<(), JoinError> = select! {
            join(handle) -> ended => ended,
            timeout(SECOND) => Ok(()),
        };
        assert!(ended.unwrap_err().is_panic());
    });
}

#[test]
fn of_several_tasks_the_first_to_end_is_joined() {
    virtual_time(|| {
        let nap = |seconds| {
            spawn(move || {
                sleep(seconds * SECOND);
                seconds
            })
        };
        let (mut slow, mut fast) = (nap(7), nap(3));
        let mut order = Vec::new();
        while order.len() < 2 {
            select! {
                join(slow) -> ended if !order.contains(&7) => order.push(ended.unwrap()),
                join(fast) -> ended if !order.contains(&3) => order.push(ended.unwrap()),
            }
        }
        assert_eq!(order, [3, 7]);
    });
}

#[test]
#[should_panic(expected = "gave its outcome")]
fn a_handle_that_has_given_its_outcome_makes_a_select_panic() {
    green(|| {
        let mut task = spawn(|| ());
        for _ in 0..2 {
            select! { join(task) -> ended => ended.unwrap() }
        }
    });
}

#[test]
fn an_event_that_is_set_calls_every_select_and_stays_ready() {
    green(|| {
        let (event, none) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (event, none) = (event.clone(), none.clone());
                spawn(move || {
                    select! {
                        wait(none) => false,
                        wait(event) => true,
                    }
                })
            })
            .collect();
        yield_now();
        event.set();
        assert!(tasks.into_iter().all(|task| task.join().unwrap()));
        assert!(select! { wait(event) => true, default => false });
        event.clear();
        assert!(select! { wait(event) => false, default => true });
    });
}

#[test]
fn timers_are_receivers() {
    virtual_time(|| {
        let begun = greenloom::time::now();
        let seconds = || (greenloom::time::now() - begun).as_secs();
        let nothing = never::<()>();
        select! {
            recv(nothing) -> _ => unreachable!(),
            // A temporary, too.
            recv(after(2 * SECOND)) -> due => assert_eq!(due.unwrap() - begun, 2 * SECOND),
            timeout(3 * SECOND) => unreachable!(),
        }
        assert_eq!(seconds(), 2);
        let (late, soon) = (at(begun + 9 * SECOND), after(SECOND));
        let mut said = Vec::new();
        for _ in 0..3 {
            select! {
                recv(late) -> _ => said.push(("late", seconds())),
                recv(soon) -> _ => said.push(("soon", seconds())),
                timeout(10 * SECOND) => said.push(("never", seconds())),
            }
        }
        assert_eq!(said, [("soon", 3), ("late", 9), ("never", 19)]);
    });
}

#[test]
fn a_tick_goes_to_one_select_and_the_other_waits_for_the_next() {
    virtual_time(|| {
        let ticks = tick(SECOND);
        let begun = greenloom::time::now();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let ticks = ticks.clone();
                spawn(move || {
                    let (_sender, receiver) = bounded::<()>(1);
                    select! {
                        recv(receiver) -> _ => unreachable!(),
                        recv(ticks) -> due => (due.unwrap() - begun).as_secs(),
                    }
                })
            })
            .collect();
        let mut due: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        due.sort_unstable();
        assert_eq!(due, [1, 2, 3]);
    });
}

#[test]
fn a_oneshot_is_a_receiver() {
    virtual_time(|| {
        let (answer, receiver) = oneshot();
        let other = oneshot::<i32>();
        let task = spawn(move || {
            sleep(SECOND);
            answer.send(42).unwrap();
        });
        let got = select! {
            recv(other.1) -> _ => 0,
            recv(receiver) -> got => got.unwrap(),
        };
        assert_eq!(got, 42);
        task.join().unwrap();
        assert!(select! { recv(receiver) -> got => got.is_err(), default => false });
        drop(other.0);
        assert!(select! { recv(other.1) -> got => got.is_err(), timeout(SECOND) => false });
    });
}

#[test]
fn a_broadcast_receiver_is_told_what_it_missed() {
    green(|| {
        let (sender, receiver) = broadcast(2);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || {
                    let stop = Event::new();
                    let mut got = Vec::new();
                    loop {
                        select! {
                            recv(receiver) -> value => match value {
                                Ok(value) => got.push(value),
                                Err(channel::broadcast::RecvError::Lagged(missed)) => got.push(-(missed as i64)),
                                Err(_) => return got,
                            },
                            wait(stop) => unreachable!(),
                        }
                    }
                })
            })
            .collect();
        yield_now();
        sender.send(1).unwrap();
        yield_now();
        (2..=5).for_each(|n| assert_eq!(sender.send(n).unwrap(), 4));
        drop(sender);
        for task in tasks {
            assert_eq!(task.join().unwrap(), [1, -2, 4, 5]);
        }
    });
}

#[test]
fn a_change_of_a_watched_value_is_waited_for() {
    virtual_time(|| {
        let (sender, receiver) = watch(0);
        let task = spawn(move || {
            for n in 1..=3 {
                sleep(SECOND);
                sender.send(n).unwrap();
            }
        });
        let mut seen = Vec::new();
        loop {
            select! {
                wait(receiver) -> changed => match changed {
                    Ok(()) => seen.push(*receiver.borrow()),
                    Err(_) => break,
                },
                timeout(SECOND * 3 / 2) => unreachable!(),
            }
        }
        assert_eq!(seen, [1, 2, 3]);
        task.join().unwrap();
    });
}

#[test]
fn a_token_that_is_cancelled_ends_a_select() {
    virtual_time(|| {
        let token = CancelToken::new();
        let theirs = token.child();
        let task = spawn(move || {
            let (_sender, receiver) = bounded::<()>(1);
            let mut turns = 0;
            loop {
                select! {
                    wait(theirs) => return turns,
                    recv(receiver) -> _ => unreachable!(),
                    timeout(SECOND) => turns += 1,
                }
            }
        });
        sleep(SECOND * 7 / 2);
        token.cancel();
        assert_eq!(task.join().unwrap(), 3);
        assert!(select! { wait(token) => true, default => false });
    });
}

#[test]
fn an_arm_of_several_that_share_a_channel_gets_the_value() {
    green(|| {
        let (sender, receiver) = bounded(1);
        let task = spawn(move || {
            let mut counts = [0; 2];
            for _ in 0..200 {
                let n = select! {
                    recv(receiver) -> got => { got.unwrap(); 0 }
                    recv(receiver) -> got => { got.unwrap(); 1 }
                };
                counts[n] += 1;
            }
            counts
        });
        for n in 0..200 {
            sender.send(n).unwrap();
            if n % 3 == 0 {
                yield_now();
            }
        }
        assert_eq!(task.join().unwrap().iter().sum::<i32>(), 200);
    });
}
