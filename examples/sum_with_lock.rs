//! Ten tasks add their numbers to one sum under a lock: `cargo run --example sum_with_lock` prints 55.
//!
//! Each reads the sum, lets the others run, and writes it back: without the lock most of the additions would be
//! lost, which the second line shows.

#[path = "words/say.rs"]
mod say;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use greenloom::sync::Mutex;
use greenloom::{JoinHandle, Runtime, spawn, yield_now};

fn main() -> ExitCode {
    say::end("sum_with_lock", work())
}

fn work() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            say::line("usage: sum_with_lock");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("usage: sum_with_lock; what is `{other}`?");
            return ExitCode::from(2);
        }
    }
    let sums = Runtime::builder()
        .workers(1)
        .run(|| (with_lock(), without_lock()));
    let Ok((with, without)) = sums else {
        eprintln!("sum_with_lock: the runtime did not start");
        return ExitCode::FAILURE;
    };
    say::line(with);
    say::line(format_args!("without the lock: {without}"));
    if with != 55 {
        eprintln!("sum_with_lock: the lock has lost something");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn with_lock() -> u32 {
    let sum = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = (1..=10)
        .map(|n| {
            let sum = sum.clone();
            spawn(move || {
                let mut sum = sum.lock().expect("nobody panics");
                let before = *sum;
                yield_now();
                *sum = before + n;
            })
        })
        .collect();
    join(tasks);
    *sum.lock().expect("nobody panics")
}

fn without_lock() -> u32 {
    let sum = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (1..=10)
        .map(|n| {
            let sum = sum.clone();
            spawn(move || {
                let before = sum.load(Ordering::Relaxed);
                yield_now();
                sum.store(before + n, Ordering::Relaxed);
            })
        })
        .collect();
    join(tasks);
    sum.load(Ordering::Relaxed)
}

fn join(tasks: Vec<JoinHandle<()>>) {
    // All begin, and wait in the middle of their addition, before the first is joined.
    yield_now();
    for task in tasks {
        task.join().expect("nobody panics");
    }
}
