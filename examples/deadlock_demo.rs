//! Two locks taken in crossed order: `cargo run --example deadlock_demo` prints the report that names who holds what.
//!
//! Alice holds the red lock and wants the blue one; Bob has it the other way round. Where threads would hang in
//! silence, the waiting call of the main task panics with a table of both tasks, both locks and both holders.
//! Then a recursive lock is taken three deep by one task, which a `Mutex` would make wait for itself.

#[path = "words/say.rs"]
mod say;

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;

use greenloom::sync::{Barrier, Mutex, RLock};
use greenloom::{Builder, RunError, Runtime};

fn main() -> ExitCode {
    say::end("deadlock_demo", work())
}

fn work() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            say::line("usage: deadlock_demo");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("usage: deadlock_demo; what is `{other}`?");
            return ExitCode::from(2);
        }
    }
    // The panic is what this example is about: it is caught, and need not be announced.
    std::panic::set_hook(Box::new(|_| {}));
    let crossed = cross();
    drop(std::panic::take_hook());
    let report = match crossed {
        Err(RunError::Panicked(payload)) => payload.downcast::<String>().ok(),
        _ => None,
    };
    let Some(report) = report else {
        eprintln!("deadlock_demo: two crossed locks, and no report");
        return ExitCode::FAILURE;
    };
    say::line(report.trim_end());
    // Each waits for the lock that the other holds, and where they took it is told.
    let lines = [
        ("(alice):", "sync.mutex on a Mutex<&str> held by", "\"bob\""),
        ("(bob):", "sync.mutex on a Mutex<i32> held by", "\"alice\""),
    ];
    for (who, wants, holder) in lines {
        let line = report.lines().find(|line| line.contains(who));
        let is_told = line.is_some_and(|line| {
            line.contains(wants) && line.contains(&format!("{holder} since {}:", file!()))
        });
        if !is_told {
            eprintln!("deadlock_demo: the report does not say what {who} wants and who holds it");
            return ExitCode::FAILURE;
        }
    }
    let depth = recurse();
    say::line(format_args!("a recursive lock: {depth} deep"));
    ExitCode::from(u8::from(depth != 3))
}

/// Two tasks, two locks, and each task takes the one that the other wants.
fn cross() -> Result<(), RunError> {
    Runtime::builder()
        .workers(2)
        // No other thread of this process could free a lock.
        .closed_world()
        .panic_note(false)
        .run(|| {
            let red = Arc::new(Mutex::new(7));
            let blue = Arc::new(Mutex::new("blue"));
            let both_have_one = Arc::new(Barrier::new(2));
            let alice = {
                let (red, blue, met) = (red.clone(), blue.clone(), both_have_one.clone());
                move || {
                    let _red = red.lock();
                    met.wait();
                    let _blue = blue.lock();
                }
            };
            let bob = move || {
                let _blue = blue.lock();
                both_have_one.wait();
                let _red = red.lock();
            };
            let spawn =
                |name: &str, f: Box<dyn FnOnce() + Send>| Builder::new().name(name).spawn(f);
            let alice = spawn("alice", Box::new(alice)).expect("the runtime runs");
            let bob = spawn("bob", Box::new(bob)).expect("the runtime runs");
            let _ = alice.join();
            let _ = bob.join();
        })
}

/// How deep one task gets into a lock that it has already.
fn recurse() -> u32 {
    fn descend(lock: &RLock<Cell<u32>>, left: u32) {
        let depth = lock.lock();
        depth.set(depth.get() + 1);
        if left > 1 {
            descend(lock, left - 1);
        }
    }
    let depth = Runtime::builder().workers(1).run(|| {
        let lock = RLock::new(Cell::new(0));
        descend(&lock, 3);
        lock.into_inner().get()
    });
    depth.unwrap_or(0)
}
