//! Programs and signals where descriptors, children and handlers of the whole process are counted.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use greenloom::process::{Command, Stdio, pipeline};
use greenloom::signal::{Signal, Signals};
use greenloom::{Runtime, run, sleep, spawn};

use crate::child::{self, Child};

/// The numbers of this process's open descriptors, but for the one that reads them.
fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let open = names.filter(|path| fs::read_link(path).is_ok());
    open.map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// The children of this process, zombies included.
fn children() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[track_caller]
fn assert_no_child_is_left() {
    let begun = Instant::now();
    while !children().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            children()
        );
        std::thread::yield_now();
    }
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_thousand_missing_programs_leave_no_descriptor_and_no_child() {
    let outcome = child::run(|| {
        run(|| {
            // What the runtime opens for itself is open now.
            assert!(Command::new("true").status().unwrap().success());
            let before = descriptors();
            for n in 0..1_000 {
                let mut missing = Command::new("no-such-program");
                let error = match n % 3 {
                    0 => missing.stdin(Stdio::piped()).spawn().unwrap_err(),
                    1 => missing.output().unwrap_err(),
                    _ => pipeline([&mut Command::new("true"), &mut missing]).unwrap_err(),
                };
                assert_eq!(error.kind(), ErrorKind::NotFound);
            }
            assert_no_child_is_left();
            // The thread that has waited for the dropped ones may be ending.
            while descriptors() != before {
                sleep(Duration::from_millis(1));
            }
        });
    });
    outcome.assert_success();
}

#[test]
fn whatever_is_dropped_or_cancelled_leaves_no_descriptor_and_no_zombie() {
    let outcome = child::run(|| {
        run(|| {
            assert!(sh("true").output().unwrap().status.success());
            let before = descriptors();
            for round in 0..60_u64 {
                let task = spawn(|| {
                    let piped = || {
                        let mut command = sh("head -c 100000 /dev/zero; cat >/dev/null");
                        command.stdin(Stdio::piped()).stdout(Stdio::piped());
                        command.kill_on_drop(true);
                        command
                    };
                    drop(piped().spawn().unwrap());
                    piped()
                        .spawn()
                        .unwrap()
                        .communicate(vec![0; 100_000])
                        .unwrap();
                    let mut whole = pipeline([&mut piped(), &mut piped()]).unwrap();
                    whole.communicate(vec![0; 100_000]).unwrap();
                    drop(sh("true").spawn().unwrap());
                    assert!(sh("sleep 0.001").status().unwrap().success());
                });
                sleep(Duration::from_micros(250 * round));
                task.cancel();
                let _ = task.join();
            }
            assert_no_child_is_left();
            while descriptors() != before {
                sleep(Duration::from_millis(1));
            }
        });
    });
    outcome.assert_success();
}

#[test]
fn without_a_descriptor_left_a_child_is_waited_for_all_the_same() {
    let outcome = Child::default().limit("ulimit -n 40").run(|| {
        run(|| {
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            // Looked for now and then, for want of anything better.
            assert_eq!(sh("sleep 0.05; exit 4").status().unwrap().code(), Some(4));
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            assert_eq!(child.wait_timeout(Duration::from_millis(30)).unwrap(), None);
            child.kill().unwrap();
            assert!(!child.wait().unwrap().success());
            drop(sh("sleep 0.05").spawn().unwrap());
            files.pop();
            files.pop();
            assert_no_child_is_left();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }

            // Started without, waited for with: SIGCHLD tells.
            let mut child = sh("sleep 0.3; exit 5").spawn().unwrap();
            let mut late = Command::new("sleep").arg("1000").spawn().unwrap();
            files.clear();
            let other = late.handle();
            let waiter = spawn(move || other.wait_timeout(Duration::from_millis(20)).unwrap());
            assert_eq!(waiter.join().unwrap(), None);
            assert_eq!(child.wait().unwrap().code(), Some(5));
            let waiter = std::thread::spawn(move || child.wait().unwrap());
            assert_eq!(waiter.join().unwrap().code(), Some(5));
            late.kill().unwrap();
            assert!(!late.wait().unwrap().success());
            assert_no_child_is_left();
        });
    });
    outcome.assert_success();
}

#[test]
fn a_pipeline_that_gets_no_pipe_leaves_no_program_behind() {
    let outcome = Child::default().limit("ulimit -n 40").run(|| {
        run(|| {
            let endless = || {
                let mut command = Command::new("sleep");
                command.arg("1000").stdin(Stdio::null());
                command
            };
            // With so many left some of the programs start, and some do not.
            for left in 0..12 {
                let mut files = Vec::new();
                while let Ok(file) = File::open("/dev/null") {
                    files.push(file);
                }
                files.truncate(files.len() - left);
                let mut commands = [endless(), endless(), endless(), endless()];
                match pipeline(&mut commands) {
                    Ok(mut pipeline) => pipeline.kill().unwrap(),
                    Err(error) => drop(error),
                }
                drop(files);
                assert_no_child_is_left();
            }
        });
    });
    outcome.assert_success();
}

#[test]
fn a_status_that_somebody_else_has_taken_is_an_error_and_no_hang() {
    let outcome = child::run(|| {
        // SAFETY: no handler is installed; the kernel then forgets children that end by itself.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        run(|| {
            let mut child = sh("sleep 0.05").spawn().unwrap();
            let error = child.wait().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{error}");
            assert!(child.kill().is_err());
            let child = sh("sleep 0.05").spawn().unwrap();
            drop(child);
            assert_no_child_is_left();
        });
    });
    outcome.assert_success();
}

#[test]
fn a_storm_of_signals_and_children_at_once() {
    let outcome = child::run(|| {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let signals = Signals::new([Signal::USR1, Signal::CHLD]).unwrap();
                let storm = std::thread::spawn(|| {
                    let own = std::process::id();
                    for _ in 0..10_000 {
                        greenloom::process::send_signal(own, Signal::USR1).unwrap();
                    }
                });
                let tasks: Vec<_> = (0..20)
                    .map(|n| spawn(move || sh(&format!("echo {n}")).output().unwrap()))
                    .collect();
                for (n, task) in tasks.into_iter().enumerate() {
                    let output = task.join().unwrap();
                    assert_eq!(output.stdout, format!("{n}\n").as_bytes());
                }
                storm.join().unwrap();
                let mut seen = BTreeSet::new();
                while seen.len() < 2 {
                    seen.insert(signals.recv().unwrap());
                }
                assert_no_child_is_left();
            })
            .unwrap();
    });
    outcome.assert_success();
}

#[test]
fn no_child_inherits_a_descriptor_of_ours() {
    let outcome = child::run(|| {
        // What this process was itself started with, and cannot help.
        let inherited = std::process::Command::new("ls")
            .arg("/proc/self/fd")
            .output()
            .unwrap()
            .stdout;
        Runtime::builder()
            .workers(2)
            .run(|| {
                // Sockets, pipes, signals and another child are open.
                let _signals = Signals::new([Signal::USR2]).unwrap();
                let _listener = greenloom::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let mut other = Command::new("cat")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                for _ in 0..5 {
                    let output = Command::new("ls").arg("/proc/self/fd").output();
                    assert_eq!(output.unwrap().stdout, inherited);
                }
                other.wait().unwrap();
            })
            .unwrap();
    });
    outcome.assert_success();
}

#[test]
fn a_dropped_child_is_waited_for_when_no_runtime_is_left() {
    let outcome = child::run(|| {
        let child = run(|| sh("sleep 0.1").spawn().unwrap());
        drop(child);
        assert_no_child_is_left();
    });
    outcome.assert_success();
}
