//! What crossbeam-channel's tests check: `tests/{array,list,zero,iter,same_channel,thread_locals,after,tick,never}.rs`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, after, bounded, never, rendezvous, tick,
    unbounded,
};
use greenloom::time::now;
use greenloom::{Runtime, scope, sleep, spawn, yield_now};

use crate::util::{Random, green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// array, list, zero: the same must hold of every kind.
fn each_kind<T>() -> [(Sender<T>, Receiver<T>); 4] {
    [rendezvous(), bounded(1), bounded(100), unbounded()]
}

// `capacity`, `len_empty_full`, `len`.
#[test]
fn the_ends_agree_about_what_is_inside() {
    for capacity in 0..10 {
        let (sender, receiver) = bounded(capacity);
        assert_eq!(
            (sender.capacity(), receiver.capacity()),
            (Some(capacity), Some(capacity))
        );
        for n in 0..capacity {
            assert_eq!((sender.len(), receiver.len()), (n, n));
            assert_eq!((sender.is_empty(), receiver.is_empty()), (n == 0, n == 0));
            assert!(!sender.is_full() && !receiver.is_full());
            sender.send(()).unwrap();
        }
        assert!(sender.is_full() && receiver.is_full());
    }
    let (sender, receiver) = unbounded();
    assert_eq!(sender.capacity(), None);
    (0..1000).for_each(|n| sender.send(n).unwrap());
    assert!(receiver.len() == 1000 && !sender.is_full());
}

// `len`: never more than the capacity, on either side, while both are at work.
#[test]
fn the_length_stays_within_the_capacity_while_both_sides_work() {
    const ITEMS: usize = 25_000;
    for capacity in [0, 1, 100] {
        let run = move || {
            let (sender, receiver) = bounded(capacity);
            scope(|scope| {
                scope.spawn(|| {
                    for n in 0..ITEMS {
                        assert_eq!(receiver.recv(), Ok(n));
                        assert!(receiver.len() <= capacity);
                    }
                });
                for n in 0..ITEMS {
                    sender.send(n).unwrap();
                    assert!(sender.len() <= capacity);
                }
            });
            assert_eq!((sender.len(), receiver.len()), (0, 0));
        };
        Runtime::builder().workers(2).run(run).unwrap();
    }
}

// `try_recv`, `recv`, `recv_timeout`: what is there, what comes later, and the end.
#[test]
fn receives_see_nothing_then_the_value_then_the_end() {
    virtual_time(|| {
        for (sender, receiver) in each_kind() {
            scope(|scope| {
                scope.spawn(move || {
                    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
                    let timed_out = receiver.recv_timeout(SECOND);
                    assert_eq!(timed_out, Err(RecvTimeoutError::Timeout));
                    assert_eq!(receiver.recv_timeout(SECOND), Ok(7));
                    assert_eq!(receiver.recv(), Ok(8));
                    let ended = receiver.recv_timeout(SECOND);
                    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
                    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
                });
                scope.spawn(move || {
                    sleep(SECOND * 3 / 2);
                    sender.send(7).unwrap();
                    sleep(SECOND);
                    sender.send(8).unwrap();
                });
            });
        }
    });
}

// `try_send`, `send_timeout`: no room, room again, and nobody left.
#[test]
fn sends_see_no_room_then_room_then_nobody() {
    virtual_time(|| {
        let (sender, receiver) = bounded(1);
        scope(|scope| {
            scope.spawn(move || {
                sender.try_send(1).unwrap();
                assert!(sender.try_send(2).unwrap_err().is_full());
                assert!(sender.send_timeout(2, SECOND).unwrap_err().is_timeout());
                sender.send_timeout(2, SECOND).unwrap();
                sender.send(3).unwrap();
                let error = sender.send_timeout(4, 10 * SECOND).unwrap_err();
                assert!(error.is_disconnected());
                assert!(sender.try_send(5).unwrap_err().is_disconnected());
                assert_eq!(sender.send(6).unwrap_err().into_inner(), 6);
            });
            scope.spawn(move || {
                sleep(SECOND * 3 / 2);
                assert_eq!(receiver.recv(), Ok(1));
                assert_eq!(receiver.recv(), Ok(2));
                sleep(SECOND);
            });
        });
    });
}

// `disconnect_wakes_sender`, `disconnect_wakes_receiver`.
#[test]
fn the_end_wakes_thousands_on_the_other_side() {
    green(|| {
        let (sender, receiver) = rendezvous::<u32>();
        let tasks: Vec<_> = (0..5000)
            .map(|n| {
                let sender = sender.clone();
                spawn(move || sender.send(n).unwrap_err().into_inner() == n)
            })
            .collect();
        yield_now();
        drop(receiver);
        assert!(tasks.into_iter().all(|task| task.join().unwrap()));

        let (sender, receiver) = rendezvous::<u32>();
        let tasks: Vec<_> = (0..5000)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv().is_err())
            })
            .collect();
        yield_now();
        drop(sender);
        assert!(tasks.into_iter().all(|task| task.join().unwrap()));
    });
}

// `spsc`, `mpmc`.
#[test]
fn each_value_of_many_senders_is_received_once_by_many_receivers() {
    const ITEMS: usize = 2000;
    for (sender, receiver) in each_kind() {
        let run = move || {
            let seen: Vec<_> = (0..ITEMS).map(|_| AtomicUsize::new(0)).collect();
            let seen = &seen;
            scope(|scope| {
                for _ in 0..50 {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    scope.spawn(move || (0..ITEMS).for_each(|n| sender.send(n).unwrap()));
                    scope.spawn(move || {
                        for n in receiver.iter().take(ITEMS) {
                            seen[n].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 50));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            drop(sender);
        };
        Runtime::builder().workers(2).run(run).unwrap();
    }
}

// `stress_oneshot`.
#[test]
fn a_send_and_a_receive_meet_however_they_race() {
    for capacity in [0, 1] {
        let run = move || {
            for _ in 0..5000 {
                let (sender, receiver) = bounded(capacity);
                scope(|scope| {
                    scope.spawn(|| receiver.recv().unwrap());
                    scope.spawn(|| sender.send(0).unwrap());
                });
            }
        };
        Runtime::builder().workers(2).run(run).unwrap();
    }
}

// `stress_iter`: requests and answers, asked for without waiting.
#[test]
fn a_busy_loop_over_what_is_there_gets_everything() {
    for (to, requests) in each_kind() {
        let run = move || {
            let (answer, answers) = unbounded();
            scope(|scope| {
                scope.spawn(move || {
                    let mut count = 0;
                    while count < 1000 {
                        match answers.try_iter().count() {
                            0 => yield_now(),
                            got => count += got,
                        }
                        let _ = to.try_send(());
                    }
                });
                for () in requests.iter() {
                    if answer.send(()).is_err() {
                        break;
                    }
                }
            });
        };
        Runtime::builder().workers(2).run(run).unwrap();
    }
}

// `stress_timeout_two_threads`: a wait that times out loses nothing that comes later.
#[test]
fn time_outs_on_both_sides_lose_nothing() {
    virtual_time(|| {
        for (sender, receiver) in each_kind() {
            scope(|scope| {
                scope.spawn(move || {
                    for n in 0..200 {
                        if n % 2 == 0 {
                            sleep(SECOND / 2);
                        }
                        let mut value = n;
                        while let Err(error) = sender.send_timeout(value, SECOND / 10) {
                            assert!(error.is_timeout());
                            value = error.into_inner();
                        }
                    }
                });
                scope.spawn(move || {
                    for n in 0..200 {
                        if n % 2 == 0 {
                            sleep(SECOND / 2);
                        }
                        let value = loop {
                            if let Ok(value) = receiver.recv_timeout(SECOND / 10) {
                                break value;
                            }
                        };
                        assert_eq!(value, n);
                    }
                });
            });
        }
    });
}

// `drops`: what was received and what was left inside is dropped once, all of it.
#[test]
fn every_value_is_dropped_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let mut random = Random::new(11);
    for _ in 0..60 {
        for (sender, receiver) in each_kind() {
            let dropped = Arc::new(AtomicUsize::new(0));
            let count = dropped.clone();
            let room = sender.capacity().unwrap_or(100);
            let (steps, extra) = (random.below(1000), random.below(room + 1));
            let run = move || {
                scope(|scope| {
                    scope.spawn(|| assert_eq!(receiver.iter().take(steps).count(), steps));
                    (0..steps).for_each(|_| assert!(sender.send(Counted(count.clone())).is_ok()));
                });
                (0..extra).for_each(|_| assert!(sender.send(Counted(count.clone())).is_ok()));
                assert_eq!(count.load(Ordering::SeqCst), steps);
                drop((sender, receiver));
                assert_eq!(count.load(Ordering::SeqCst), steps + extra);
            };
            Runtime::builder().workers(2).run(run).unwrap();
            assert_eq!(dropped.load(Ordering::SeqCst), steps + extra);
        }
    }
}

// `linearizable`: after one's own send something is there to be received without waiting.
#[test]
fn after_a_send_something_is_there() {
    let run = || {
        for (sender, receiver) in [bounded(4), unbounded()] {
            scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..5000 {
                            sender.send(0).unwrap();
                            receiver.try_recv().unwrap();
                        }
                    });
                }
            });
        }
    };
    Runtime::builder().workers(2).run(run).unwrap();
}

// `recv_in_send`: the value of a send that waits may be the sender's other end; also `channel_through_channel`.
#[test]
fn channels_travel_through_channels() {
    type Parcel = Box<dyn std::any::Any + Send>;
    for capacity in [0, 1, 100] {
        green(move || {
            let (mut sender, mut receiver) = bounded::<Parcel>(capacity);
            let task = spawn(move || {
                for _ in 0..1000 {
                    let (next, receiver) = bounded::<Parcel>(capacity);
                    sender.send(Box::new(receiver)).unwrap();
                    sender = next;
                }
            });
            for _ in 0..1000 {
                let parcel = receiver.recv().unwrap();
                receiver = *parcel.downcast::<Receiver<Parcel>>().unwrap();
            }
            assert!(receiver.recv().is_err());
            task.join().unwrap();
        });
    }
}

// `panic_on_drop`: a destructor that panics takes the others' ends with it, but not the channel.
#[test]
fn a_destructor_that_panics_leaves_the_others_to_be_dropped() {
    struct Bomb(bool, Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            if self.0 {
                std::panic::resume_unwind(Box::new("bomb"));
            }
        }
    }
    for (sender, receiver) in [bounded(3), unbounded()] {
        let dropped = Arc::new(AtomicUsize::new(0));
        for is_armed in [false, true, false] {
            sender.send(Bomb(is_armed, dropped.clone())).ok().unwrap();
        }
        let outcome = std::panic::catch_unwind(|| drop(receiver));
        assert!(outcome.is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        assert!(sender.send(Bomb(false, dropped.clone())).is_err());
    }
}

// iter.rs.
#[test]
fn iterators_nest_stop_and_own() {
    green(|| {
        let (sender, receiver) = unbounded();
        let (total, sum) = unbounded();
        let task = spawn(move || total.send(receiver.iter().sum::<i32>()).unwrap());
        [3, 1, 2].into_iter().for_each(|n| sender.send(n).unwrap());
        drop(sender);
        task.join().unwrap();
        assert_eq!(sum.recv(), Ok(6));

        let (sender, receiver) = unbounded();
        (1..=10).for_each(|n| sender.send(n).unwrap());
        assert_eq!(receiver.iter().take_while(|n| *n < 4).count(), 3);
        assert_eq!(receiver.try_iter().next(), Some(5));
        drop(sender);
        assert!((&receiver).into_iter().take(2).eq([6, 7]));
        assert!(receiver.into_iter().eq([8, 9, 10]));
    });
}

// same_channel.rs.
#[test]
fn clones_are_the_same_channel_and_others_are_not() {
    for (sender, receiver) in each_kind::<()>() {
        let (other_sender, other_receiver) = unbounded();
        assert!(sender.same_channel(&sender.clone()) && receiver.same_channel(&receiver.clone()));
        assert!(!sender.same_channel(&other_sender) && !receiver.same_channel(&other_receiver));
    }
    let (bell, ticks) = (after(SECOND), tick(SECOND));
    assert!(bell.same_channel(&bell.clone()) && ticks.same_channel(&ticks.clone()));
    assert!(!bell.same_channel(&ticks) && !bell.same_channel(&after(SECOND)));
}

// thread_locals.rs, `use_while_exiting`: channels work while a thread's locals are destroyed.
#[test]
fn a_thread_that_exits_may_wait_in_its_destructors() {
    #[derive(Default)]
    struct Last(RefCell<Option<(Sender<()>, Receiver<()>)>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let Some((sender, receiver)) = self.0.take() else {
                return;
            };
            sender.send(()).unwrap();
            receiver.recv().unwrap();
            let nothing = receiver.recv_timeout(Duration::from_millis(1));
            assert_eq!(nothing, Err(RecvTimeoutError::Timeout));
            sender.close();
            assert!(receiver.recv().is_err());
        }
    }
    thread_local!(static LAST: Last = Last::default());
    for capacity in [1, 100] {
        let (sender, receiver) = bounded(capacity);
        let (alive, is_gone) = bounded::<()>(0);
        std::thread::spawn(move || {
            // First, so that it outlives the library's own local.
            LAST.with(|last| {
                let both = (sender.clone(), receiver.clone());
                last.0.replace(Some(both));
            });
            sender.send(()).unwrap();
            receiver.recv().unwrap();
            let waited = receiver.recv_timeout(Duration::from_millis(1));
            assert!(waited.is_err());
            drop((sender, receiver, alive));
        });
        assert!(is_gone.recv().is_err());
    }
}

// after.rs: `recv_race`, `recv_two`, `stress_default`; and never.rs.
#[test]
fn bells_ring_once_each_among_those_who_race_for_them() {
    virtual_time(|| {
        let bells: Vec<_> = (0..1000).map(|n| after(SECOND * (n % 10))).collect();
        let begun = now();
        let count = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bell in &bells {
                        // Those who come second wait in vain.
                        if bell.recv_timeout(SECOND / 100).is_ok() {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            scope.spawn(|| {
                let nothing = never::<()>();
                assert!(nothing.recv_timeout(SECOND).is_err());
            });
        });
        sleep(10 * SECOND);
        let late = bells.iter().filter(|bell| bell.try_recv().is_ok()).count();
        assert_eq!(count.load(Ordering::Relaxed) + late, 1000);
        assert!(now() - begun >= 10 * SECOND);
    });
}

// tick.rs: `intervals`, `recv_race`.
#[test]
fn ticks_are_even_and_shared() {
    virtual_time(|| {
        let begun = now();
        let ticks = tick(SECOND / 20);
        for n in 1..=20 {
            assert_eq!(ticks.recv().unwrap() - begun, SECOND * n / 20);
        }
        let total = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while now() - begun < 3 * SECOND {
                        if ticks.recv_timeout(SECOND / 10).is_ok() {
                            total.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let total = total.load(Ordering::Relaxed);
        assert!((40..=48).contains(&total), "{total}");
    });
}
