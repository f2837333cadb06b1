//! Two greetings, after one second and after two, in three ways: `cargo run --example sayhi -- [sync|tasks|direct]`.
//!
//! One after the other on this thread (`sync`), as two tasks that sleep at the same time (`tasks`), and
//! by two calls inside one task (`direct`). Seconds last a tenth of a second, unless `--real` is given.

use std::process::ExitCode;
use std::time::{Duration, Instant};

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

fn say_hi(watch: Watch, seconds: u32) {
    // On a task only the task sleeps; on a plain thread this is `std::thread::sleep`.
    greenloom::sleep(watch.second * seconds);
    println!("hi {seconds}! at {:.2}", watch.read());
}

fn main() -> ExitCode {
    let mut way = None;
    let mut second = Duration::from_millis(100);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "sync" | "tasks" | "direct" if way.is_none() => way = Some(word),
            "--real" => second = Duration::from_secs(1),
            "--help" | "-h" => {
                println!("usage: sayhi [sync|tasks|direct] [--real]");
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
    println!("{way}: starts");
    match way {
        "sync" => {
            say_hi(watch, 1);
            say_hi(watch, 2);
        }
        "tasks" => greenloom::run(|| {
            let first = greenloom::spawn(move || say_hi(watch, 1));
            let other = greenloom::spawn(move || say_hi(watch, 2));
            first.join().expect("it only sleeps and prints");
            other.join().expect("it only sleeps and prints");
        }),
        _ => greenloom::run(|| {
            say_hi(watch, 1);
            say_hi(watch, 2);
        }),
    }
    let took = watch.read();
    println!("{way}: ends at {took:.2}");
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
