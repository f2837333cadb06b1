//! Watch channels: the latest value, and the news that there is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::{RecvError, RecvTimeoutError, watch};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};
use proptest::prelude::*;

use crate::util::{green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_latest_value_is_seen_and_those_in_between_are_not() {
    let (sender, receiver) = watch(0);
    assert_eq!(receiver.has_changed(), Ok(false));
    for n in 1..=5 {
        sender.send(n).unwrap();
    }
    assert_eq!(receiver.has_changed(), Ok(true));
    assert_eq!(*receiver.borrow(), 5);
    // A look alone does not count as seen.
    assert_eq!(receiver.has_changed(), Ok(true));
    assert_eq!(receiver.changed(), Ok(()));
    assert_eq!(receiver.has_changed(), Ok(false));
    assert_eq!(
        receiver.changed_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
}

#[test]
fn everybody_who_waits_is_told() {
    green(|| {
        let (sender, receiver) = watch(0);
        let tasks: Vec<_> = (0..5000)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || {
                    receiver.changed().unwrap();
                    *receiver.borrow()
                })
            })
            .collect();
        yield_now();
        sender.send(7).unwrap();
        for task in tasks {
            assert_eq!(task.join().unwrap(), 7);
        }
    });
}

#[test]
fn the_last_change_is_seen_before_the_end_is() {
    green(|| {
        let (sender, receiver) = watch(0);
        let waiting = receiver.clone();
        let task = spawn(move || (waiting.changed(), waiting.changed(), waiting.has_changed()));
        yield_now();
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(
            task.join().unwrap(),
            (Ok(()), Err(RecvError), Err(RecvError))
        );
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(receiver.wait_for(|n| *n == 1).map(|n| *n), Ok(1));
        assert_eq!(receiver.wait_for(|n| *n == 2).map(|n| *n), Err(RecvError));
        assert_eq!(*receiver.borrow(), 1);
    });
}

#[test]
fn a_sender_without_receivers_gets_its_value_back_or_keeps_it_for_those_to_come() {
    virtual_time(|| {
        let (sender, receiver) = watch(String::from("a"));
        assert!(!sender.is_closed() && !sender.closed_timeout(SECOND));
        let task = spawn(move || {
            sleep(SECOND);
            drop(receiver);
        });
        sender.closed();
        assert!(sender.is_closed());
        task.join().unwrap();
        assert_eq!(sender.send("b".into()).unwrap_err().into_inner(), "b");
        assert_eq!(*sender.borrow(), "a");
        assert_eq!(*sender.send_replace("c".into()), "a");
        let receiver = sender.subscribe();
        assert_eq!(
            (&**receiver.borrow(), receiver.has_changed()),
            ("c", Ok(false))
        );
        assert_eq!(sender.receiver_count(), 1);
        assert!(format!("{sender:?} {receiver:?}").contains("\"c\""));
    });
}

#[test]
fn a_snapshot_stays_as_it_is_and_keeps_nobody_waiting() {
    let (sender, receiver) = watch(vec![1]);
    let before = receiver.borrow_and_update();
    sender.send_modify(|list| list.push(2));
    sender.send(vec![9]).unwrap();
    assert_eq!((&*before, &*receiver.borrow()), (&vec![1], &vec![9]));
}

#[test]
fn a_change_that_is_not_finished_is_seen_by_nobody() {
    green(|| {
        let (sender, receiver) = watch(vec![1]);
        let other = sender.clone();
        let task = spawn(move || {
            other.send_modify(|list| {
                list.push(2);
                sleep(Duration::from_millis(1));
                list.push(3);
            });
        });
        yield_now();
        assert_eq!(*receiver.borrow(), [1]);
        // Waits until the other one has finished, so that nothing is lost.
        sender.send_modify(|list| list.push(4));
        task.join().unwrap();
        assert_eq!(*receiver.borrow(), [1, 2, 3, 4]);
        receiver.changed().unwrap();

        let other = sender.clone();
        let task = spawn(move || {
            other.send_modify(|list| {
                list.clear();
                std::panic::resume_unwind(Box::new("half way"));
            });
        });
        assert!(task.join().is_err());
        let other = sender.clone();
        let task = spawn(move || {
            other.send_modify(|list| {
                list.clear();
                greenloom::park();
            });
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(receiver.borrow().len(), 4);
        assert!(!sender.send_if_modified(|list| list.pop().is_none()));
        assert_eq!(receiver.borrow().len(), 4);
        assert!(sender.send_if_modified(|list| list.pop().is_some()));
        assert_eq!(receiver.borrow().len(), 3);
    });
}

#[test]
fn the_right_value_is_waited_for() {
    virtual_time(|| {
        let (sender, receiver) = watch(0);
        assert_eq!(receiver.wait_for(|n| *n == 0).map(|n| *n), Ok(0));
        let task = spawn(move || {
            for n in 1..10 {
                sleep(SECOND);
                sender.send(n).unwrap();
            }
            sleep(SECOND);
        });
        let begun = greenloom::time::now();
        let early = receiver.wait_for_timeout(|n| *n > 4, 2 * SECOND);
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.wait_for(|n| *n > 4).map(|n| *n), Ok(5));
        assert_eq!(greenloom::time::now() - begun, 5 * SECOND);
        let asked_once = receiver.wait_for_timeout(|n| *n > 5, Duration::ZERO);
        assert_eq!(asked_once, Err(RecvTimeoutError::Timeout));
        assert!(receiver.wait_for(|n| *n > 100).is_err());
        task.join().unwrap();
    });
}

#[test]
fn of_two_who_share_a_receiver_both_find_the_value_that_they_wait_for() {
    green(|| {
        let (sender, receiver) = watch(0);
        let receiver = Arc::new(receiver);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || *receiver.wait_for(|n| *n == 1).unwrap())
            })
            .collect();
        yield_now();
        sender.send(1).unwrap();
        tasks
            .into_iter()
            .for_each(|task| assert_eq!(task.join().unwrap(), 1));
    });
}

#[test]
fn a_waiter_cancelled_or_timed_out_at_any_step_has_missed_no_change() {
    for steps in 0..12 {
        green(move || {
            let (sender, receiver) = watch(0);
            let receiver = Arc::new(receiver);
            let theirs = receiver.clone();
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            let task = spawn(move || {
                while theirs.changed().is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            for step in 0..12 {
                if step == steps {
                    task.cancel();
                }
                if step % 3 == 0 {
                    sender.send(step).unwrap();
                } else {
                    yield_now();
                }
            }
            let _ = task.join();
            // Every change was seen by one of the two who share the receiver, the last ones as one.
            let is_left = usize::from(receiver.has_changed().unwrap());
            let sends_after = 4 - seen.load(Ordering::Relaxed);
            assert_eq!(is_left, usize::from(sends_after > 0), "{steps}");
        });
    }
    virtual_time(|| {
        let (sender, receiver) = watch(0);
        assert!(timeout(SECOND, || receiver.changed()).is_err());
        sender.send(1).unwrap();
        assert_eq!(receiver.changed(), Ok(()));
    });
}

#[test]
fn the_old_value_is_dropped_where_it_may_use_the_channel() {
    struct Nosy(Option<greenloom::channel::watch::Sender<Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                let _ = sender.send(Nosy(None));
            }
        }
    }
    green(|| {
        let (sender, receiver) = watch(Nosy(None));
        sender.send(Nosy(Some(sender.clone()))).ok().unwrap();
        sender.send(Nosy(None)).ok().unwrap();
        assert!(receiver.borrow().0.is_none());
    });
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Replace,
    Modify(bool),
    Changed(usize),
    Update(usize),
    Subscribe,
    Clone(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        1 => Just(Step::Replace),
        2 => any::<bool>().prop_map(Step::Modify),
        6 => any::<usize>().prop_map(Step::Changed),
        3 => any::<usize>().prop_map(Step::Update),
        1 => Just(Step::Subscribe),
        1 => any::<usize>().prop_map(Step::Clone),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

proptest! {
    #[test]
    fn it_agrees_with_a_value_and_a_list_of_who_has_seen_it(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (sender, receiver) = watch(0u32);
        let mut receivers = vec![(receiver, true)];
        let mut value = 0;
        for step in steps {
            let count = receivers.len();
            let mut is_change = false;
            match step {
                Step::Send => {
                    is_change = count > 0;
                    prop_assert_eq!(sender.send(value + 1).is_ok(), is_change);
                }
                Step::Replace => {
                    is_change = true;
                    prop_assert_eq!(*sender.send_replace(value + 1), value);
                }
                Step::Modify(really) => {
                    is_change = really;
                    let add = |value: &mut u32| { *value += 1; really };
                    prop_assert_eq!(sender.send_if_modified(add), really);
                }
                Step::Changed(who) if count > 0 => {
                    let (receiver, has_seen) = &mut receivers[who % count];
                    prop_assert_eq!(receiver.has_changed(), Ok(!*has_seen));
                    let changed = receiver.changed_timeout(Duration::ZERO);
                    prop_assert_eq!(changed.is_ok(), !*has_seen);
                    *has_seen = true;
                }
                Step::Update(who) if count > 0 => {
                    let (receiver, has_seen) = &mut receivers[who % count];
                    prop_assert_eq!(*receiver.borrow_and_update(), value);
                    *has_seen = true;
                }
                Step::Subscribe => receivers.push((sender.subscribe(), true)),
                Step::Clone(who) if count > 0 => {
                    let (receiver, has_seen) = &receivers[who % count];
                    let twin = (receiver.clone(), *has_seen);
                    receivers.push(twin);
                }
                Step::Drop(who) if count > 0 => drop(receivers.swap_remove(who % count)),
                _ => {}
            }
            if is_change {
                value += 1;
                receivers.iter_mut().for_each(|(_, has_seen)| *has_seen = false);
            }
            prop_assert_eq!(*sender.borrow(), value);
            prop_assert_eq!(sender.receiver_count(), receivers.len());
        }
    }
}

#[test]
fn two_workers_and_plain_threads_see_the_value_grow_to_its_last() {
    const EACH: u64 = 2000;
    let (sender, receiver) = watch(0u64);
    let add = |sender: &greenloom::channel::watch::Sender<u64>| {
        (0..EACH).for_each(|_| sender.send_modify(|value| *value += 1));
    };
    let look = |receiver: &greenloom::channel::watch::Receiver<u64>| {
        let mut last = 0;
        while receiver.changed().is_ok() {
            let value = *receiver.borrow_and_update();
            assert!(value >= last);
            last = value;
        }
        assert_eq!(last, 4 * EACH);
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            scope.spawn(move || add(&sender));
            scope.spawn(move || look(&receiver));
        }
        Runtime::builder()
            .workers(2)
            .run(move || {
                let adders: Vec<_> = (0..2)
                    .map(|_| {
                        let sender = sender.clone();
                        spawn(move || add(&sender))
                    })
                    .collect();
                drop(sender);
                let lookers: Vec<_> = (0..50)
                    .map(|_| {
                        let receiver = receiver.clone();
                        spawn(move || look(&receiver))
                    })
                    .collect();
                adders.into_iter().for_each(|task| task.join().unwrap());
                lookers.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
}
