//! The numbers below a million, summed in two halves: `cargo run --release --example summing_threads`.
//!
//! Two threads, each with half of the work, by std and by green threads on two workers: the two calls are the same,
//! their `use` lines differ. The sum is 499999500000 each time; the speed-up over one thread that does all
//! of it is printed.

#[path = "words/say.rs"]
mod say;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const END: u64 = 1_000_000;
const SUM: u64 = 499_999_500_000;
/// One pass is over too soon to be timed.
const PASSES: u32 = 20;

/// Adds up what lies in a range, one by one.
struct SummingThread {
    low: u64,
    high: u64,
}

impl SummingThread {
    fn run(self) -> u64 {
        let mut total = 0;
        for _ in 0..PASSES {
            total = 0;
            for n in self.low..self.high {
                total = black_box(total + n);
            }
        }
        total
    }
}

fn halves() -> [SummingThread; 2] {
    [(0, END / 2), (END / 2, END)].map(|(low, high)| SummingThread { low, high })
}

/// Makes a function that sums both halves with the `spawn` of one module.
macro_rules! summing {
    ($name:ident, $module:path) => {
        fn $name() -> u64 {
            use $module as thread;
            let threads = halves().map(|half| thread::spawn(move || half.run()));
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it only adds"))
                .sum()
        }
    };
}

summing!(by_threads, std::thread);
summing!(by_tasks, greenloom);

fn timed(f: impl FnOnce() -> u64) -> (u64, Duration) {
    let begun = Instant::now();
    let sum = f();
    (sum, begun.elapsed())
}

fn main() -> ExitCode {
    say::end("summing_threads", work())
}

fn work() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            say::line("usage: summing_threads");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("usage: summing_threads; what is `{other}`?");
            return ExitCode::from(2);
        }
    }
    let all = || SummingThread { low: 0, high: END }.run();
    let runtime = greenloom::Runtime::builder().workers(2).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("summing_threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (_, alone) = timed(all);
    let ways = [
        ("one thread", timed(all)),
        ("two threads", timed(by_threads)),
        ("two green threads", timed(|| runtime.block_on(by_tasks))),
    ];
    for (way, (sum, took)) in ways {
        let speed_up = alone.as_secs_f64() / took.as_secs_f64();
        say::line(format_args!("{way}: {sum}, speed-up {speed_up:.2}"));
        if sum != SUM {
            eprintln!("summing_threads: {way} have it wrong");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
