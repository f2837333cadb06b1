//! `cargo bench --bench process`: functions in other processes and what crosses between them.
//!
//! ```text
//! cargo bench --bench process -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! As `scheduler`: a process for each case, medians after a warm-up, held to one CPU unless it says `_2w`. Beside a
//! round trip stands `raw`: the same by nothing but reads and writes on a Unix socket pair, between two processes.
//! Where python3 is there, its `multiprocessing` does the same (`benches/python/process.py`).
#![allow(clippy::disallowed_methods)] // The rows beside ours are plain threads.

mod util;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use greenloom::ipc::{self, Barrier, Conn, Lock, Queue};
use greenloom::process::{Builder, Process, ProcessPool};

use util::figure::Figure;
use util::runner::{self, Bench, Case, case, wide_case};
use util::sample::{median, ns_each, sample};

const TIMES: usize = 1000;

const ALL: &[Case] = &[
    case("worker_start", || worker_start("")),
    wide_case("worker_start_2w", || worker_start("_2w")),
    case("apply", || apply("", Some(15_000.0))),
    wide_case("apply_2w", || apply("_2w", None)),
    wide_case("map_tiny_2w", map),
    case("pipe", || pipe("", Some(8_000.0))),
    wide_case("pipe_2w", || pipe("_2w", None)),
    case("queue", || queue("")),
    wide_case("queue_2w", || queue("_2w")),
    wide_case("lock_2w", lock),
    wide_case("pipe_16_mib_2w", big),
];

fn main() -> ExitCode {
    runner::main(&Bench {
        name: "process",
        cases: ALL,
        serve: |_| {
            let mut stdin = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
            echo(&mut stdin);
            Ok(())
        },
    })
}

fn square(n: u64) -> u64 {
    n * n
}

fn figure(name: &str, samples: &[f64], bar: Option<f64>) -> Figure {
    Figure::new(name, "ns", samples, bar)
}

/// What Python needs for the same, a figure a line; empty without python3.
fn python(case: &str, name: &str) -> Vec<Figure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/process.py");
    let mut command = Command::new("python3");
    let output = command.args([script, case]).stderr(Stdio::null()).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let samples: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    match samples.is_empty() {
        true => Vec::new(),
        // Of `big` for each KiB.
        false if case == "big" => vec![Figure::new(
            &format!("{name}/python"),
            "ns/KiB",
            &samples,
            None,
        )],
        false => vec![figure(&format!("{name}/python"), &samples, None)],
    }
}

/// A pool, one worker, one call, and the end of both.
fn worker_start(suffix: &str) -> Vec<Figure> {
    let name = format!("worker_start{suffix}");
    let ours = sample(|| {
        let each = || {
            let begun = std::time::Instant::now();
            let pool = ProcessPool::new(1).expect("a pool");
            assert_eq!(pool.apply(square, 7).expect("a value"), 49);
            begun.elapsed().as_nanos() as f64
        };
        median(&(0..20).map(|_| each()).collect::<Vec<_>>())
    });
    let mut figures = vec![figure(
        &format!("{name}/greenloom"),
        &ours,
        Some(1_500_000.0),
    )];
    figures.extend(python("worker_start", &name));
    figures
}

fn echo(stream: &mut UnixStream) {
    let mut byte = [0; 24];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

/// A round trip of 24 bytes between two processes.
fn raw(name: &str) -> Figure {
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--serve", "echo"])
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .expect("a child");
    let samples = sample(|| {
        ns_each(TIMES, || {
            let mut bytes = [7; 24];
            for _ in 0..TIMES {
                ours.write_all(&bytes).expect("a reader");
                ours.read_exact(&mut bytes).expect("an answer");
            }
        })
    });
    drop(ours);
    let _ = child.wait();
    figure(&format!("{name}/raw"), &samples, None)
}

fn apply(suffix: &str, bar: Option<f64>) -> Vec<Figure> {
    let name = format!("apply{suffix}");
    let raw = raw(&name);
    let pool = ProcessPool::new(1).expect("a pool");
    let ours = sample(|| {
        ns_each(TIMES, || {
            for n in 0..TIMES as u64 {
                assert_eq!(pool.apply(square, n).expect("a value"), n * n);
            }
        })
    });
    let bar = bar.or(Some(1.4 * raw.value));
    let mut figures = vec![figure(&format!("{name}/greenloom"), &ours, bar), raw];
    figures.extend(python("apply", &name));
    figures
}

/// Nanoseconds for each of many tiny jobs.
fn map() -> Vec<Figure> {
    const SINGLE: u64 = 20_000;
    const CHUNKED: u64 = 1_000_000;
    let pool = ProcessPool::new(2).expect("a pool");
    let single = sample(|| {
        ns_each(SINGLE as usize, || {
            assert_eq!(
                pool.map_chunked(0..SINGLE, 1, square).len(),
                SINGLE as usize
            );
        })
    });
    let chunked = sample(|| {
        ns_each(CHUNKED as usize, || {
            assert_eq!(pool.map(0..CHUNKED, square).len(), CHUNKED as usize);
        })
    });
    let mut figures = vec![
        figure("map_tiny_2w/chunk_1", &single, Some(10_000.0)),
        figure("map_tiny_2w/automatic", &chunked, Some(100.0)),
    ];
    figures.extend(python("map_single", "map_tiny_2w/chunk_1"));
    figures.extend(python("map_chunked", "map_tiny_2w/automatic"));
    figures
}

fn answer(parent: Conn<u64>) {
    while let Ok(n) = parent.recv() {
        if parent.send(&n).is_err() {
            return;
        }
    }
}

fn pipe_samples() -> Vec<f64> {
    let (ours, theirs) = ipc::pipe::<u64, u64>().expect("a pipe");
    let child = Process::spawn(answer, theirs).expect("a process");
    let samples = sample(|| {
        ns_each(TIMES, || {
            for n in 0..TIMES as u64 {
                ours.send(&n).expect("a reader");
                assert_eq!(ours.recv().expect("an answer"), n);
            }
        })
    });
    drop(ours);
    child.join().expect("its end");
    samples
}

fn pipe(suffix: &str, bar: Option<f64>) -> Vec<Figure> {
    let name = format!("pipe{suffix}");
    let raw = raw(&name);
    let bar = bar.or(Some(1.2 * raw.value));
    let ours = figure(&format!("{name}/greenloom"), &pipe_samples(), bar);
    let mut figures = vec![ours, raw];
    figures.extend(python("pipe", &name));
    figures
}

fn give_back((to, from): (Queue<u64>, Queue<u64>)) {
    while let Ok(n) = to.get() {
        if from.put(&n).is_err() {
            return;
        }
    }
}

fn queue(suffix: &str) -> Vec<Figure> {
    let name = format!("queue{suffix}");
    let bar = 2.0 * median(&pipe_samples());
    let (to, from) = (Queue::new(), Queue::new());
    let child = Process::spawn(give_back, (to.clone(), from.clone())).expect("a process");
    let samples = sample(|| {
        ns_each(TIMES, || {
            for n in 0..TIMES as u64 {
                to.put(&n).expect("room");
                assert_eq!(from.get().expect("an answer"), n);
            }
        })
    });
    to.shutdown(true).expect("a broker");
    child.join().expect("its end");
    let mut figures = vec![figure(&format!("{name}/greenloom"), &samples, Some(bar))];
    figures.extend(python("queue", &name));
    figures
}

/// When it began and ended to take a lock so many times and give it back, in nanoseconds of the common clock.
fn take_turns((lock, start, times): (Lock, Barrier, usize)) -> (u64, u64) {
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    };
    drop(lock.acquire().expect("a broker"));
    start.wait().expect("all of them");
    let begun = now();
    for _ in 0..times {
        drop(lock.acquire().expect("a broker"));
    }
    (begun, now())
}

/// A lock and its unlock: where it is made, from another process, and between two others at once, for so long
/// that they do run at once.
fn lock() -> Vec<Figure> {
    const ROUNDS: usize = 1_000_000;
    let each = |times: &[(u64, u64)]| {
        let begun = times.iter().map(|time| time.0).min().unwrap_or(0);
        let ended = times.iter().map(|time| time.1).max().unwrap_or(0);
        ended.saturating_sub(begun) as f64 / (times.len() * ROUNDS) as f64
    };
    let lock = Lock::new();
    let here = sample(|| each(&[take_turns((lock.clone(), Barrier::new(1), ROUNDS))]));
    let pool = ProcessPool::new(2).expect("a pool");
    let at_once = |workers: usize| {
        let start = Barrier::new(workers);
        let items = vec![(lock.clone(), start, ROUNDS); workers];
        let times: Result<Vec<_>, _> = pool.map_chunked(items, 1, take_turns).into_iter().collect();
        each(&times.expect("their times"))
    };
    at_once(2);
    let mut figures = vec![figure("lock_2w/here", &here, None)];
    for (workers, name, case) in [
        (1, "lock_2w/free", "lock_free"),
        (2, "lock_2w/contended", "lock_contended"),
    ] {
        let python = python(case, name);
        let bar = python.first().map(|python| python.value / 5.0);
        let ours = sample(|| at_once(workers));
        figures.push(figure(name, &ours, bar));
        figures.extend(python);
    }
    figures
}

/// What counts as bytes for serde.
#[derive(serde::Serialize, serde::Deserialize)]
struct Big(String);

fn count((parent, times): (Conn<u64, Big>, usize)) {
    for _ in 0..times {
        let Ok(big) = parent.recv() else { return };
        let _ = parent.send(&(big.0.len() as u64));
    }
}

/// A message of 16 MiB to another process, and its length back: nanoseconds for each KiB, 1 GB/s is 1024.
fn big() -> Vec<Figure> {
    const LENGTH: usize = 16 << 20;
    let (ours, theirs) = ipc::pipe().expect("a pipe");
    let child = Builder::new()
        .daemon(true)
        .spawn(count, (theirs, usize::MAX));
    let child = child.expect("a process");
    let big = Big("x".repeat(LENGTH));
    let samples = sample(|| {
        ns_each(LENGTH >> 10, || {
            ours.send(&big).expect("a reader");
            assert_eq!(ours.recv().expect("its length"), LENGTH as u64);
        })
    });
    drop(ours);
    child.join().expect("its end");
    let mut figures = vec![Figure::new(
        "pipe_16_mib_2w/greenloom",
        "ns/KiB",
        &samples,
        1024.0,
    )];
    figures.extend(python("big", "pipe_16_mib_2w"));
    figures
}
