//! Signals as things to wait for. Each test has a signal of its own, for they are the whole process's.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::signal::{Signal, SignalError, Signals, ctrl_c};
use greenloom::{Runtime, run, sleep, spawn, timeout, yield_now};
use rustix::process::{Signal as Sys, getpid, kill_process};

use crate::util::{green, virtual_time};
use crate::watch::{eventually, watched};

/// To the calling thread, so that it has come when this returns.
fn send(signal: Signal) {
    signal_hook::low_level::raise(signal.as_raw()).unwrap();
}

/// To the process: some thread of it will be interrupted.
fn send_to_process(signal: Signal) {
    let signal = Sys::from_named_raw(signal.as_raw()).unwrap();
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn a_signal_is_received_by_a_task_and_by_a_plain_thread() {
    watched(|| {
        let signals = Signals::new([Signal::USR1]).unwrap();
        assert_eq!(signals.try_recv(), None);
        send(Signal::USR1);
        assert_eq!(signals.recv().unwrap(), Signal::USR1);
        assert_eq!(signals.try_recv(), None);
        let signals = Arc::new(signals);
        let theirs = signals.clone();
        green(move || {
            let task = spawn(move || theirs.recv().unwrap());
            yield_now();
            send(Signal::USR1);
            assert_eq!(task.join().unwrap(), Signal::USR1);
        });
        let theirs = signals.clone();
        let thread = std::thread::spawn(move || theirs.recv().unwrap());
        send(Signal::USR1);
        assert_eq!(thread.join().unwrap(), Signal::USR1);
    });
}

#[test]
fn one_that_came_before_the_wait_is_kept_and_several_coalesce() {
    watched(|| {
        let signals = Signals::new([Signal::USR2, Signal::URG]).unwrap();
        for _ in 0..5 {
            send(Signal::USR2);
            send(Signal::URG);
        }
        green(move || {
            let mut got = [signals.recv().unwrap(), signals.recv().unwrap()];
            got.sort();
            assert_eq!(got, [Signal::USR2, Signal::URG]);
            assert_eq!(signals.try_recv(), None);
            let error = signals.recv_timeout(Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        });
    });
}

#[test]
fn what_cannot_be_caught_is_refused_before_anything_is_caught() {
    for signal in [
        Signal::KILL,
        Signal::STOP,
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
    ] {
        assert!(signal.is_forbidden());
        let error = Signals::new([Signal::TTIN, signal]).unwrap_err();
        assert!(matches!(error, SignalError::Forbidden(which) if which == signal));
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let none = Signals::new([]).unwrap();
    assert_eq!(none.try_recv(), None);
}

#[test]
fn every_catcher_gets_its_own_and_dropping_one_leaves_the_others() {
    watched(|| {
        run(|| {
            let first = Signals::new([Signal::WINCH]).unwrap();
            let second = Signals::new([Signal::WINCH, Signal::IO]).unwrap();
            send(Signal::WINCH);
            assert_eq!(first.recv().unwrap(), Signal::WINCH);
            assert_eq!(second.recv().unwrap(), Signal::WINCH);
            drop(first);
            send(Signal::WINCH);
            assert_eq!(second.recv().unwrap(), Signal::WINCH);
            drop(second);
            // Still without its default effect; this one's is none.
            send(Signal::WINCH);
        });
    });
}

#[test]
fn waiters_of_one_take_turns_on_tasks_and_threads() {
    watched(|| {
        let signals = Arc::new(Signals::new([Signal::HUP]).unwrap());
        let received = Arc::new(AtomicUsize::new(0));
        let wait = |signals: &Arc<Signals>, received: &Arc<AtomicUsize>| {
            let (signals, received) = (signals.clone(), received.clone());
            move || {
                signals.recv().unwrap();
                received.fetch_add(1, Ordering::Relaxed);
            }
        };
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let tasks: Vec<_> = (0..3)
            .map(|_| runtime.handle().spawn(wait(&signals, &received)).unwrap())
            .collect();
        let threads: Vec<_> = (0..3)
            .map(|_| std::thread::spawn(wait(&signals, &received)))
            .collect();
        for expected in 1..=6 {
            send_to_process(Signal::HUP);
            assert!(eventually(|| received.load(Ordering::Relaxed) == expected));
        }
        tasks.into_iter().for_each(|task| task.join().unwrap());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn close_ends_all_waits_and_the_iterator() {
    watched(|| {
        let signals = Arc::new(Signals::new([Signal::TTOU]).unwrap());
        let mut threads = Vec::new();
        for _ in 0..2 {
            let theirs = signals.clone();
            threads.push(std::thread::spawn(move || {
                theirs.recv().unwrap_err().kind()
            }));
        }
        green(|| {
            let theirs = signals.clone();
            let task = spawn(move || theirs.iter().count());
            let theirs = signals.clone();
            let other = spawn(move || theirs.recv().unwrap_err().kind());
            for _ in 0..5 {
                yield_now();
            }
            signals.close();
            assert_eq!(task.join().unwrap(), 0);
            assert_eq!(other.join().unwrap(), ErrorKind::NotConnected);
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), ErrorKind::NotConnected);
        }
        assert!(signals.is_closed());
        assert_eq!(signals.try_recv(), None);
        send(Signal::TTOU);
        assert_eq!(signals.recv().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_wait_for_a_signal_is_no_deadlock_and_may_time_out_by_the_virtual_clock() {
    watched(|| {
        let begun = Instant::now();
        virtual_time(|| {
            let signals = Signals::new([Signal::VTALRM]).unwrap();
            let hour = Duration::from_secs(3600);
            let before = greenloom::time::now();
            let error = signals.recv_timeout(hour).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_eq!(greenloom::time::now() - before, hour);
            assert!(timeout(hour, || signals.recv()).is_err());
        });
        assert!(begun.elapsed() < Duration::from_secs(60));
        // Nothing else can wake this runtime, and the signal comes from outside.
        Runtime::builder()
            .workers(1)
            .closed_world()
            .run(|| {
                let signals = Signals::new([Signal::VTALRM]).unwrap();
                let sender = std::thread::spawn(|| {
                    crate::watch::hog(Duration::from_millis(30));
                    send(Signal::VTALRM);
                });
                assert_eq!(signals.recv().unwrap(), Signal::VTALRM);
                sender.join().unwrap();
            })
            .unwrap();
    });
}

#[test]
fn who_stands_in_line_behind_a_plain_thread_is_in_no_deadlock() {
    watched(|| {
        let signals = Arc::new(Signals::new([Signal::TTIN]).unwrap());
        let received = Arc::new(AtomicUsize::new(0));
        let (theirs, count) = (signals.clone(), received.clone());
        let first = std::thread::spawn(move || {
            theirs.recv().unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        });
        Runtime::builder()
            .workers(1)
            .closed_world()
            .run(|| {
                let (theirs, count) = (signals.clone(), received.clone());
                let second = spawn(move || {
                    theirs.recv().unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                });
                let sender = std::thread::spawn(move || {
                    // Again and again, for they coalesce.
                    while received.load(Ordering::Relaxed) < 2 {
                        crate::watch::hog(Duration::from_millis(20));
                        send_to_process(Signal::TTIN);
                    }
                });
                second.join().unwrap();
                greenloom::unblock(move || sender.join().unwrap());
            })
            .unwrap();
        first.join().unwrap();
    });
}

#[test]
fn a_cancelled_waiter_loses_no_signal() {
    watched(|| {
        green(|| {
            let signals = Arc::new(Signals::new([Signal::XCPU]).unwrap());
            for rounds in 0..20 {
                let tasks: Vec<_> = (0..2)
                    .map(|_| {
                        let theirs = signals.clone();
                        spawn(move || theirs.recv().unwrap())
                    })
                    .collect();
                for _ in 0..rounds {
                    yield_now();
                }
                send(Signal::XCPU);
                let mut received = 0;
                for task in &tasks {
                    task.cancel();
                }
                for task in tasks {
                    received += usize::from(task.join().is_ok());
                }
                let kept = usize::from(signals.try_recv().is_some());
                assert_eq!(received + kept, 1, "after {rounds} rounds");
            }
        });
    });
}

#[test]
fn a_storm_is_weathered_and_its_last_signal_is_received() {
    watched(|| {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let signals = Arc::new(Signals::new([Signal::ALRM, Signal::CONT]).unwrap());
                let theirs = signals.clone();
                let counter = spawn(move || {
                    let mut counts = [0_usize; 2];
                    loop {
                        match theirs.recv().unwrap() {
                            Signal::ALRM => counts[0] += 1,
                            _ => {
                                counts[1] += 1;
                                // ALRM may stand behind it.
                                counts[0] += usize::from(theirs.try_recv() == Some(Signal::ALRM));
                                return counts;
                            }
                        }
                    }
                });
                let sleeper = spawn(|| {
                    for _ in 0..50 {
                        sleep(Duration::from_micros(200));
                    }
                });
                let storm = std::thread::spawn(|| {
                    for _ in 0..10_000 {
                        send(Signal::ALRM);
                    }
                });
                greenloom::unblock(move || storm.join().unwrap());
                send(Signal::CONT);
                let [alarms, ends] = counter.join().unwrap();
                assert!((1..=10_000).contains(&alarms), "{alarms}");
                assert_eq!(ends, 1);
                sleeper.join().unwrap();
            })
            .unwrap();
    });
}

#[test]
fn it_goes_on_when_the_runtime_that_waited_first_has_stopped() {
    watched(|| {
        let signals = Arc::new(Signals::new([Signal::PROF]).unwrap());
        for _ in 0..3 {
            let theirs = signals.clone();
            let runtime = Runtime::builder().workers(1).build().unwrap();
            // One that is waiting when its runtime stops.
            let waiting = runtime.handle().spawn(move || theirs.recv()).unwrap();
            crate::watch::hog(Duration::from_millis(5));
            runtime.stop();
            assert!(waiting.join().unwrap_err().is_cancelled());
            send(Signal::PROF);
            green(|| assert_eq!(signals.recv().unwrap(), Signal::PROF));
        }
    });
}

#[test]
fn ctrl_c_wakes_everybody_who_waits_for_it() {
    watched(|| {
        run(|| {
            let tasks: Vec<_> = (0..3).map(|_| spawn(ctrl_c)).collect();
            let thread = std::thread::spawn(ctrl_c);
            // Caught before it is sent, or it would end this process.
            let guard = Signals::new([Signal::INT]).unwrap();
            let ended = || tasks.iter().all(|task| task.is_finished()) && thread.is_finished();
            while !ended() {
                send(Signal::INT);
                sleep(Duration::from_millis(1));
            }
            for task in tasks {
                task.join().unwrap().unwrap();
            }
            thread.join().unwrap().unwrap();
            assert_eq!(guard.try_recv(), Some(Signal::INT));
        });
    });
}

#[test]
fn a_handler_that_stood_there_before_is_called_as_ever() {
    watched(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let theirs = count.clone();
        signal_hook::flag::register_usize(Signal::XFSZ.as_raw(), theirs, 7).unwrap();
        let signals = Signals::new([Signal::XFSZ]).unwrap();
        send(Signal::XFSZ);
        assert_eq!(signals.recv().unwrap(), Signal::XFSZ);
        assert_eq!(count.load(Ordering::Relaxed), 7);
        drop(signals);
        count.store(0, Ordering::Relaxed);
        send(Signal::XFSZ);
        assert!(eventually(|| count.load(Ordering::Relaxed) == 7));
    });
}
