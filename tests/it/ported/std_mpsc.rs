//! What std's tests check of `sync::mpsc` (`library/std/tests/sync/mpsc.rs`, `mpmc.rs`), of the channels under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use greenloom::channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded, unbounded,
};
use greenloom::{Runtime, run, sleep, spawn, yield_now};

use crate::util::virtual_time;

const SECOND: Duration = Duration::from_secs(1);

/// Of what is sent on either, in whatever order the ends are dropped, nothing is lost and nothing hangs.
fn each_kind<T>() -> [(Sender<T>, Receiver<T>); 3] {
    [unbounded(), bounded(0), bounded(1)]
}

// smoke, smoke_shared, drop_full, drop_full_shared.
#[test]
fn what_was_sent_outlives_its_sender_and_dies_with_its_receiver() {
    let (sender, receiver) = unbounded();
    let clone = sender.clone();
    sender.send(Box::new(1)).unwrap();
    drop(sender);
    clone.send(Box::new(2)).unwrap();
    drop(clone);
    assert_eq!(*receiver.recv().unwrap(), 1);
    drop(receiver);
}

// smoke_threads, send_from_outside_runtime, recv_from_outside_runtime, no_runtime.
#[test]
fn both_ends_work_inside_and_outside_of_a_runtime() {
    for (sender, receiver) in each_kind() {
        let (back, answers) = bounded(0);
        let thread = thread::spawn(move || {
            for n in receiver {
                back.send(n + 1).unwrap();
            }
        });
        run(|| {
            spawn(move || {
                for n in 0..1000 {
                    sender.send(n).unwrap();
                    assert_eq!(answers.recv(), Ok(n + 1));
                }
            })
            .join()
            .unwrap();
        });
        thread.join().unwrap();
    }
}

// smoke_port_gone, smoke_shared_port_gone, smoke_shared_port_gone2, port_gone_concurrent(_shared).
#[test]
fn sends_fail_when_the_receivers_are_gone_also_from_one_moment_to_the_next() {
    for (sender, receiver) in each_kind() {
        drop(receiver);
        let clone = sender.clone();
        drop(sender);
        assert!(clone.send(1).is_err());
    }
    for (sender, receiver) in each_kind() {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let clone = sender.clone();
                let first = spawn(move || while sender.send(1).is_ok() {});
                let second = spawn(move || while clone.send(1).is_ok() {});
                assert_eq!(receiver.iter().take(100).count(), 100);
                drop(receiver);
                first.join().unwrap();
                second.join().unwrap();
            })
            .unwrap();
    }
}

// smoke_chan_gone, smoke_chan_gone_shared, chan_gone_concurrent.
#[test]
fn receives_fail_when_the_senders_are_gone_also_from_one_moment_to_the_next() {
    for (sender, receiver) in each_kind::<()>() {
        let clone = sender.clone();
        drop((sender, clone));
        assert!(receiver.recv().is_err());
    }
    for (sender, receiver) in each_kind() {
        run(|| {
            drop(spawn(move || (0..2).for_each(|n| sender.send(n).unwrap())));
            while receiver.recv().is_ok() {}
        });
    }
}

// stress, stress_shared, shared_chan_stress.
#[test]
fn thousands_of_senders_and_one_receiver() {
    for (sender, receiver) in each_kind() {
        Runtime::builder()
            .workers(2)
            .run(move || {
                for _ in 0..2000 {
                    let sender = sender.clone();
                    drop(spawn(move || (0..10).for_each(|_| sender.send(1).unwrap())));
                }
                drop(sender);
                assert_eq!(receiver.iter().sum::<usize>(), 20_000);
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            })
            .unwrap();
    }
}

// oneshot_single_thread_close_port_first, .._close_chan_first, .._send_port_close, .._recv_chan_close,
// .._send_then_recv, .._try_send_*, .._try_recv_*, .._peek_*.
#[test]
fn in_one_thread_whatever_comes_first() {
    let (sender, receiver) = bounded::<i32>(1);
    drop(receiver);
    assert_eq!(sender.try_send(10), Err(TrySendError::Disconnected(10)));
    assert_eq!(sender.send(10).unwrap_err().0, 10);

    let (sender, receiver) = bounded::<i32>(1);
    drop(sender);
    assert!(receiver.recv().is_err());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));

    let (sender, receiver) = bounded(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.try_send(10), Ok(()));
    assert_eq!(sender.try_send(20), Err(TrySendError::Full(20)));
    assert_eq!(receiver.try_recv(), Ok(10));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.send(30).unwrap();
    drop(sender);
    assert_eq!(receiver.recv(), Ok(30));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

// oneshot_multi_thread_close_stress, .._send_close_stress, .._recv_close_stress, .._send_recv_stress.
#[test]
fn whichever_end_goes_first_in_a_race_nobody_hangs() {
    let run = || {
        for round in 0..2000 {
            for (sender, receiver) in each_kind::<i32>() {
                match round % 4 {
                    0 => {
                        let task = spawn(move || drop(receiver));
                        drop(sender);
                        task.join().unwrap();
                    }
                    1 => {
                        let task = spawn(move || drop(receiver));
                        let _ = sender.send(1);
                        task.join().unwrap();
                    }
                    2 => {
                        let task = spawn(move || drop(sender));
                        assert!(receiver.recv().is_err());
                        task.join().unwrap();
                    }
                    _ => {
                        let task = spawn(move || sender.send(10).unwrap());
                        assert_eq!(receiver.recv(), Ok(10));
                        task.join().unwrap();
                    }
                }
            }
        }
    };
    Runtime::builder().workers(2).run(run).unwrap();
}

// stream_send_recv_stress: each value from a task of its own to a task of its own.
#[test]
fn ends_that_are_handed_on_after_each_value() {
    fn send(sender: Sender<i32>, n: i32) {
        if n < 100 {
            drop(spawn(move || {
                sender.send(n).unwrap();
                send(sender, n + 1);
            }));
        }
    }
    fn recv(receiver: Receiver<i32>, n: i32, done: Sender<()>) {
        drop(spawn(move || match n {
            100 => done.send(()).unwrap(),
            n => {
                assert_eq!(receiver.recv(), Ok(n));
                recv(receiver, n + 1, done);
            }
        }));
    }
    for (sender, receiver) in each_kind() {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let (done, is_done) = unbounded();
                send(sender, 0);
                recv(receiver, 0, done);
                is_done.recv().unwrap();
            })
            .unwrap();
    }
}

// recv_timeout_upgrade, oneshot_single_thread_recv_timeout, shared_recv_timeout,
// very_long_recv_timeout_wont_panic.
#[test]
fn time_outs_are_exact_and_their_lengths_saturate() {
    virtual_time(|| {
        for (sender, receiver) in each_kind() {
            let begun = greenloom::time::now();
            let timed_out = receiver.recv_timeout(SECOND);
            assert_eq!(timed_out, Err(RecvTimeoutError::Timeout));
            let clone = sender.clone();
            let timed_out = receiver.recv_timeout(SECOND);
            assert_eq!(timed_out, Err(RecvTimeoutError::Timeout));
            assert_eq!(greenloom::time::now() - begun, 2 * SECOND);
            let task = spawn(move || receiver.recv_timeout(Duration::from_secs(u64::MAX)));
            sleep(SECOND);
            clone.send(9).unwrap();
            drop((sender, clone));
            assert_eq!(task.join().unwrap(), Ok(9));
        }
    });
}

// stress_recv_timeout_two_threads, stress_recv_timeout_shared.
#[test]
fn of_many_senders_that_come_at_their_own_times_all_are_heard() {
    virtual_time(|| {
        let (sender, receiver) = unbounded();
        for n in 0..1000 {
            let sender = sender.clone();
            drop(spawn(move || {
                sleep(SECOND * n / 100);
                sender.send(n).unwrap();
            }));
        }
        drop(sender);
        let mut next = 0;
        loop {
            match receiver.recv_timeout(SECOND / 1000) {
                Ok(n) => {
                    assert_eq!(n, next);
                    next += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert_eq!(next, 1000);
    });
}

// recv_a_lot, issue_39364's neighbours: long use in one task.
#[test]
fn a_channel_is_used_for_long() {
    let (sender, receiver) = unbounded();
    for n in 0..100_000 {
        sender.send(n).unwrap();
        if n % 3 == 0 {
            receiver.recv().unwrap();
        }
    }
    drop(sender);
    assert_eq!(receiver.iter().last(), Some(99_999));
}

// try_recv_states: nothing, the value, the end, as the other side goes on step by step.
#[test]
fn each_state_shows_in_a_receive_that_does_not_wait() {
    run(|| {
        let (next, go) = bounded(0);
        let (step, is_done) = bounded(0);
        let (sender, receiver) = unbounded();
        drop(spawn(move || {
            go.recv().unwrap();
            sender.send(1).unwrap();
            step.send(()).unwrap();
            go.recv().unwrap();
            drop(sender);
            step.send(()).unwrap();
        }));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        next.send(()).unwrap();
        is_done.recv().unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        next.send(()).unwrap();
        is_done.recv().unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

// destroy_upgraded_shared_port_when_sender_still_active, issue_32114: a receiver goes while a sender is at it.
#[test]
fn a_receiver_may_go_while_its_sender_sends() {
    run(|| {
        for (sender, receiver) in each_kind() {
            let (told, tell) = unbounded();
            let task = spawn(move || {
                receiver.recv().unwrap();
                drop(receiver);
                told.send(()).unwrap();
            });
            yield_now();
            let clone = sender.clone();
            drop(sender);
            clone.send(()).unwrap();
            tell.recv().unwrap();
            assert!(clone.send(()).is_err());
            task.join().unwrap();
        }
    });
}

// sync issue_15761: two who answer each other through channels of room one.
#[test]
fn two_pairs_that_answer_each_other_end() {
    run(|| {
        for _ in 0..2000 {
            let (one, other) = (bounded(3), bounded(3));
            let (from, back) = (one.1, other.0);
            drop(spawn(move || {
                from.recv().unwrap();
                back.try_send(()).unwrap();
            }));
            one.0.try_send(()).unwrap();
            other.1.recv().unwrap();
        }
    });
}

// mpmc's drop tests: values in a closed channel go once, with the last receiver.
#[test]
fn the_last_receiver_takes_what_is_left_with_it() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = unbounded();
    (0..100).for_each(|_| sender.send(Counted(count.clone())).ok().unwrap());
    let clone = receiver.clone();
    drop(receiver);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    drop(clone);
    assert_eq!(count.load(Ordering::SeqCst), 100);
    assert!(sender.send(Counted(count.clone())).is_err());
}
