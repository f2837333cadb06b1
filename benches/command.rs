//! `cargo bench --bench command`: what running another program costs, beside std.
//!
//! ```text
//! cargo bench --bench command -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! As `scheduler`: a process for each case, medians after a warm-up, held to one CPU unless it says `_2w`.
//! `command_spawn` is the part for which a worker stands still: the start alone.
#![allow(clippy::disallowed_methods)] // The rows beside ours are plain threads.

mod util;

use std::process::{self, ExitCode};
use std::time::Instant;

use greenloom::Runtime;
use greenloom::process::{Command, Stdio};

use util::figure::Figure;
use util::runner::{self, Bench, Case, case, wide_case};
use util::sample::{median, ns_each, sample};

const PROGRAM: &str = "/bin/true";
const TIMES: usize = 200;

const ALL: &[Case] = &[
    case("command_true", || run_true("")),
    wide_case("command_true_2w", || run_true("_2w")),
    case("command_output", output),
    wide_case("communicate_16_mib", communicate),
    wide_case("command_spawn", spawn),
];

fn main() -> ExitCode {
    runner::main(&Bench {
        name: "command",
        cases: ALL,
        serve: |_| Err(std::io::Error::other("no case has a server")),
    })
}

fn runtime() -> Runtime {
    let runtime = Runtime::builder().workers(1).build();
    runtime.expect("a runtime of one worker")
}

/// From the start of a program that does nothing to its status.
fn run_true(suffix: &str) -> Vec<Figure> {
    let runtime = runtime();
    let green = sample(|| {
        runtime.block_on(|| {
            ns_each(TIMES, || {
                for _ in 0..TIMES {
                    let status = Command::new(PROGRAM).status();
                    assert!(status.expect("a program").success());
                }
            })
        })
    });
    let std = sample(|| {
        ns_each(TIMES, || {
            for _ in 0..TIMES {
                let status = process::Command::new(PROGRAM).status();
                assert!(status.expect("a program").success());
            }
        })
    });
    vec![
        Figure::new(
            &format!("command_true{suffix}/greenloom"),
            "ns",
            &green,
            None,
        ),
        Figure::new(&format!("command_true{suffix}/std"), "ns", &std, None),
    ]
}

/// With its output captured.
fn output() -> Vec<Figure> {
    let runtime = runtime();
    let green = sample(|| {
        runtime.block_on(|| {
            ns_each(TIMES, || {
                for _ in 0..TIMES {
                    let output = Command::new("/bin/echo").arg("hello").output();
                    assert_eq!(output.expect("a program").stdout, b"hello\n");
                }
            })
        })
    });
    let std = sample(|| {
        ns_each(TIMES, || {
            for _ in 0..TIMES {
                let output = process::Command::new("/bin/echo").arg("hello").output();
                assert_eq!(output.expect("a program").stdout, b"hello\n");
            }
        })
    });
    vec![
        Figure::new("command_output/greenloom", "ns", &green, None),
        Figure::new("command_output/std", "ns", &std, None),
    ]
}

/// A program that gives back what it gets: nanoseconds for each KiB.
fn communicate() -> Vec<Figure> {
    const LENGTH: usize = 16 << 20;
    let runtime = runtime();
    static INPUT: [u8; LENGTH] = [7; LENGTH];
    let samples = sample(|| {
        runtime.block_on(|| {
            ns_each(LENGTH >> 10, || {
                let mut cat = Command::new("cat")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("a program");
                let output = cat.communicate(INPUT.as_slice()).expect("both ways");
                assert_eq!(output.stdout.len(), LENGTH);
            })
        })
    });
    vec![Figure::new(
        "communicate_16_mib/greenloom",
        "ns/KiB",
        &samples,
        None,
    )]
}

/// The start alone; the end is waited for outside of the measured time.
fn spawn() -> Vec<Figure> {
    let runtime = runtime();
    let green = sample(|| {
        runtime.block_on(|| {
            let each = || {
                let begun = Instant::now();
                let mut child = Command::new(PROGRAM).spawn().expect("a program");
                let took = begun.elapsed();
                assert!(child.wait().expect("its end").success());
                took.as_nanos() as f64
            };
            median(&(0..TIMES).map(|_| each()).collect::<Vec<_>>())
        })
    });
    let std = sample(|| {
        let each = || {
            let begun = Instant::now();
            let mut child = process::Command::new(PROGRAM).spawn().expect("a program");
            let took = begun.elapsed();
            assert!(child.wait().expect("its end").success());
            took.as_nanos() as f64
        };
        median(&(0..TIMES).map(|_| each()).collect::<Vec<_>>())
    });
    vec![
        Figure::new("command_spawn/greenloom", "ns", &green, None),
        Figure::new("command_spawn/std", "ns", &std, None),
    ]
}
