//! Two greetings, after one second and after two, in three ways: `cargo run --example sayhi -- [sync|tasks|direct]`.
//!
//! One after the other on this thread (`sync`), as two tasks that sleep at the same time (`tasks`), and
//! by two calls inside one task (`direct`). Seconds last a tenth of a second, unless `--real` is given.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloom::RunError;

/// When the program began, and how long its seconds are.
#[derive(Clone, Copy)]
struct Watch {
    begun: Instant,
    second: Duration,
}

impl Watch {
    /// The seconds since the beginning.
    fn read(self) -> f64 {
        self.begun.elapsed().as_secs_f64() / self.second.as_secs_f64()
    }
}

/// Prints a line; where nobody reads, the program ends.
fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        end(1, &format!("cannot write: {error}"));
    }
}

/// Ends the program for a reason.
fn end(status: i32, why: &str) -> ! {
    eprintln!("sayhi: {why}");
    std::process::exit(status)
}

/// As `greenloom::run`, but a runtime that cannot be had is no panic.
fn run(main: impl FnOnce()) {
    match greenloom::try_run(main) {
        Ok(()) => {}
        Err(RunError::Panicked(payload)) => std::panic::resume_unwind(payload),
        Err(error) => end(2, &error.to_string()),
    }
}

fn say_hi(watch: Watch, seconds: u32) {
    // On a task only the task sleeps; on a plain thread this is `std::thread::sleep`.
    greenloom::sleep(watch.second * seconds);
    say(&format!("hi {seconds}! at {:.2}", watch.read()));
}

fn main() -> ExitCode {
    let mut way = None;
    let mut second = Duration::from_millis(100);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "sync" | "tasks" | "direct" if way.is_none() => way = Some(word),
            "--real" => second = Duration::from_secs(1),
            "--help" | "-h" => {
                say("usage: sayhi [sync|tasks|direct] [--real]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: sayhi [sync|tasks|direct] [--real]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    let ways = match &way {
        Some(way) => vec![way.as_str()],
        None => vec!["sync", "tasks", "direct"],
    };
    for way in ways {
        if !show(way, second) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Says hi twice; false when it took less time than it can.
fn show(way: &str, second: Duration) -> bool {
    let begun = Instant::now();
    let watch = Watch { begun, second };
    say(&format!("{way}: starts"));
    match way {
        "sync" => {
            say_hi(watch, 1);
            say_hi(watch, 2);
        }
        "tasks" => run(|| {
            let first = greenloom::spawn(move || say_hi(watch, 1));
            let other = greenloom::spawn(move || say_hi(watch, 2));
            first.join().expect("it only sleeps and prints");
            other.join().expect("it only sleeps and prints");
        }),
        _ => run(|| {
            say_hi(watch, 1);
            say_hi(watch, 2);
        }),
    }
    let took = watch.read();
    say(&format!("{way}: ends at {took:.2}"));
    let (least, most) = if way == "tasks" {
        (2.0, 3.0)
    } else {
        (3.0, f64::MAX)
    };
    if took < least {
        eprintln!("sayhi: {way} took {took:.2} seconds, which cannot be");
    } else if took >= most {
        eprintln!("sayhi: {way} took {took:.2} seconds; this machine is very busy");
    }
    took >= least
}
