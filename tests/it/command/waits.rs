//! Waiting for the end: by several, with limits, cancelled, on threads, beside others who wait for children.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::process::{Child, Command, Stdio, exit_signal};
use greenloom::signal::{Signal, Signals};
use greenloom::{Runtime, spawn, timeout, yield_now};

use crate::util::{green, may_have, virtual_time};
use crate::watch::{eventually, watched};

use super::sh;

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

/// Whether the process is there, be it as a zombie.
fn is_there(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn several_tasks_and_threads_wait_for_one_child() {
    watched(|| {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let mut child = sleeper();
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let handle = child.handle();
                        spawn(move || handle.wait().unwrap())
                    })
                    .collect();
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let handle = child.handle();
                        std::thread::spawn(move || handle.wait().unwrap())
                    })
                    .collect();
                let handle = child.handle();
                let impatient = spawn(move || handle.wait_timeout(Duration::from_millis(10)));
                assert_eq!(impatient.join().unwrap().unwrap(), None);
                child.kill().unwrap();
                let status = child.wait().unwrap();
                assert_eq!(exit_signal(status), Some(Signal::KILL));
                for task in tasks {
                    assert_eq!(task.join().unwrap(), status);
                }
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), status);
                }
            })
            .unwrap();
    });
}

#[test]
fn a_limit_ends_the_wait_and_not_the_child() {
    watched(|| {
        let wait = || {
            let mut child = sleeper();
            let begun = Instant::now();
            assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), None);
            assert_eq!(child.wait_timeout(Duration::from_millis(20)).unwrap(), None);
            assert!(begun.elapsed() >= Duration::from_millis(20));
            assert_eq!(child.try_wait().unwrap(), None);
            child.kill().unwrap();
            let status = child.wait_timeout(Duration::MAX).unwrap().unwrap();
            assert_eq!(exit_signal(status), Some(Signal::KILL));
        };
        green(wait);
        wait();
    });
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_in_the_end() {
    watched(|| {
        green(|| {
            let mut child = sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut ready = [0; 6];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
            child.send_signal(Signal::TERM).unwrap();
            assert_eq!(
                child.wait_timeout(Duration::from_millis(100)).unwrap(),
                None
            );
            child.kill().unwrap();
            assert_eq!(exit_signal(child.wait().unwrap()), Some(Signal::KILL));
        });
    });
}

#[test]
fn a_dropped_child_goes_on_and_becomes_no_zombie() {
    watched(|| {
        green(|| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let (id, stdin) = (child.id(), child.stdin.take());
            drop(child);
            yield_now();
            assert!(is_there(id));
            drop(stdin);
            assert!(eventually(|| !is_there(id)));
        });
    });
}

#[test]
fn kill_on_drop_kills_and_leaves_no_zombie() {
    watched(|| {
        green(|| {
            let child = Command::new("sleep")
                .arg("1000")
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let id = child.id();
            let handle = child.handle();
            drop(child);
            assert_eq!(exit_signal(handle.wait().unwrap()), Some(Signal::KILL));
            assert!(!is_there(id));
            let child = Command::new("sleep")
                .arg("1000")
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let id = child.id();
            drop(child);
            assert!(eventually(|| !is_there(id)));
            // A cancelled `status` drops its child.
            let mut command = Command::new("sleep");
            command.arg("1000").kill_on_drop(true);
            assert!(timeout(Duration::from_millis(20), || command.status()).is_err());
        });
    });
}

#[test]
fn many_dropped_children_are_reaped_by_one_thread() {
    watched(|| {
        let ids: Vec<u32> = (0..50)
            .map(|n| sh(&format!("sleep 0.0{}", n % 7)).spawn().unwrap().id())
            .collect();
        assert!(eventually(|| ids.iter().all(|&id| !is_there(id))));
    });
}

#[test]
fn a_wait_is_cancelled_at_each_of_its_points_and_the_child_is_reaped() {
    watched(|| {
        green(|| {
            for rounds in 0..12 {
                let ids = Arc::new(std::sync::Mutex::new(Vec::new()));
                let theirs = ids.clone();
                let task = spawn(move || {
                    for script in ["exit 3", "head -c 300000 /dev/zero; echo x >&2"] {
                        let mut child = sh(script)
                            .stdin(Stdio::piped())
                            .stdout(Stdio::piped())
                            .stderr(Stdio::piped())
                            .spawn()
                            .unwrap();
                        theirs.lock().unwrap().push(child.id());
                        child.communicate(vec![1; 200_000]).unwrap();
                        let mut child = sh("sleep 0.002").spawn().unwrap();
                        theirs.lock().unwrap().push(child.id());
                        child.wait().unwrap();
                    }
                });
                for _ in 0..rounds {
                    // Real time, in which the programs go on.
                    greenloom::sleep(Duration::from_micros(700));
                }
                task.cancel();
                let _ = task.join();
                let ids = ids.lock().unwrap().clone();
                assert!(
                    eventually(|| ids.iter().all(|&id| !is_there(id))),
                    "after {rounds}"
                );
            }
        });
    });
}

#[test]
fn stopping_the_runtime_ends_the_waits_and_leaves_no_zombie() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut tasks = Vec::new();
        for n in 0..6 {
            let sender = sender.clone();
            let body = move || {
                let mut child = Command::new("sleep")
                    .arg("1000")
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                sender.send(child.id()).unwrap();
                match n % 3 {
                    0 => drop(child.wait()),
                    1 => drop(child.communicate("")),
                    _ => drop(child.wait_timeout(Duration::from_secs(1000))),
                }
            };
            tasks.push(runtime.handle().spawn(body).unwrap());
        }
        let ids: Vec<u32> = (0..6).map(|_| receiver.recv().unwrap()).collect();
        runtime.stop();
        for task in tasks {
            assert!(task.join().unwrap_err().is_cancelled());
        }
        assert!(eventually(|| ids.iter().all(|&id| !is_there(id))));
    });
}

#[test]
fn a_child_outlives_the_runtime_that_waited_for_it_first() {
    watched(|| {
        let child = sleeper();
        let handle = child.handle();
        green(|| assert_eq!(handle.wait_timeout(Duration::from_millis(5)).unwrap(), None));
        child.send_signal(Signal::INT).unwrap();
        let status = green(|| child.handle().wait().unwrap());
        assert_eq!(exit_signal(status), Some(Signal::INT));
    });
}

#[test]
fn waiting_for_a_child_is_no_deadlock_and_holds_the_virtual_clock() {
    watched(|| {
        Runtime::builder()
            .workers(1)
            .closed_world()
            .run(|| assert!(sh("sleep 0.05").status().unwrap().success()))
            .unwrap();
        virtual_time(|| {
            // A jump to the limit would come before any real program could end.
            let mut child = sh("sleep 0.05; echo x")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let output = child
                .communicate_timeout("", Duration::from_secs(3600))
                .unwrap();
            assert_eq!(output.stdout, b"x\n");
            let status = timeout(Duration::from_millis(1), || sh("sleep 0.05").status());
            assert!(status.unwrap().unwrap().success());
        });
    });
}

#[test]
fn sigchld_belongs_to_whoever_handles_it() {
    watched(|| {
        green(|| {
            let count = Arc::new(AtomicUsize::new(0));
            signal_hook::flag::register_usize(Signal::CHLD.as_raw(), count.clone(), 1).unwrap();
            let signals = Signals::new([Signal::CHLD]).unwrap();
            // A child that is not ours, and whose status its owner wants.
            let mut other = std::process::Command::new("sh")
                .args(["-c", "exit 9"])
                .spawn()
                .unwrap();
            assert!(Command::new("true").status().unwrap().success());
            drop(sh("exit 1").spawn().unwrap());
            assert_eq!(signals.recv().unwrap(), Signal::CHLD);
            assert!(eventually(|| count.load(Ordering::Relaxed) == 1));
            assert_eq!(other.wait().unwrap().code(), Some(9));
        });
    });
}

#[test]
fn a_hundred_at_once() {
    watched(|| {
        // Each takes five while it starts, and three while it runs.
        let count = if may_have(800) { 100 } else { 20 };
        Runtime::builder()
            .workers(2)
            .run(|| {
                let tasks: Vec<_> = (0..count)
                    .map(|n| {
                        spawn(move || sh(&format!("echo {n}; exit {}", n % 5)).output().unwrap())
                    })
                    .collect();
                for (n, task) in tasks.into_iter().enumerate() {
                    let output = task.join().unwrap();
                    assert_eq!(output.stdout, format!("{n}\n").as_bytes());
                    assert_eq!(output.status.code(), Some(n as i32 % 5));
                }
            })
            .unwrap();
    });
}
