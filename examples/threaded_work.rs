//! Lists of items done by OS threads, and workers between two queues: `cargo run --example threaded_work`.
//!
//! Seen are the results of three items, one of which fails, in the order of the items; those of three others as
//! they were ready; and what workers that had been started before there was work have found. Standard error has
//! the log: first with the thread of each line, as `[thread 3  ] works on 7`, then without.

#[path = "words/say.rs"]
mod say;

use std::io::{self, Write};
use std::process::ExitCode;

use greenloom::logging;
use greenloom::queue::Queue;
use greenloom::thread_pool::{ThreadedWorker, WorkError, threaded_work};

/// Writes each record as a line; what cannot be written is lost.
struct Plain;

impl log::Log for Plain {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "work"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(io::stderr(), "{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// A reader that has gone away does not stop the work.
fn say(line: &str) {
    say::line(line);
}

fn show<T: std::fmt::Display>(results: &[Result<T, WorkError>]) -> String {
    let words: Vec<String> = results
        .iter()
        .map(|result| match result {
            Ok(value) => format!("Ok({value})"),
            Err(error) => format!("Err({error})"),
        })
        .collect();
    words.join(", ")
}

fn times_ten(n: u32) -> u32 {
    log::info!(target: "work", "works on {n}");
    if n == 1 {
        // A panic without the note that a panic hook would print.
        std::panic::resume_unwind(Box::new("no 1, please"));
    }
    n * 10
}

fn main() -> ExitCode {
    say::end("threaded_work", work())
}

fn work() -> ExitCode {
    if let Some(word) = std::env::args().nth(1) {
        if word == "--help" || word == "-h" {
            say("usage: threaded_work");
            return ExitCode::SUCCESS;
        }
        eprintln!("usage: threaded_work; what is `{word}`?");
        return ExitCode::from(2);
    }
    if let Err(error) = logging::install(Box::new(Plain)) {
        eprintln!("threaded_work: {error}");
        return ExitCode::FAILURE;
    }
    log::set_max_level(log::LevelFilter::Info);

    logging::start_with_thread_info();
    let in_order = show(&threaded_work([3, 1, 2], times_ten).threads(2).run());
    logging::stop_with_thread_info();
    say(&format!("in order: {in_order}"));

    // A result of zero is a result.
    let mut ready = threaded_work([0, 2, 10], |n| times_ten(n) / if n == 10 { 10 } else { 1 })
        .ordered(false)
        .run();
    ready.sort_by_key(|result| result.as_ref().ok().copied());
    let ready = show(&ready);
    say(&format!("as they are ready, sorted: {ready}"));

    // Five workers, started before there is any work.
    let (work, results) = (Queue::unbounded(), Queue::unbounded());
    let workers: Result<Vec<_>, _> = (0..5)
        .map(|_| ThreadedWorker::spawn(&work, &results, |url: &str| url.len()))
        .collect();
    let Ok(workers) = workers else {
        eprintln!("threaded_work: no threads");
        return ExitCode::FAILURE;
    };
    for url in ["a.b", "c.org"] {
        if work.put(url).is_err() {
            return ExitCode::FAILURE;
        }
    }
    work.join();
    say("work_queue joined");
    work.shutdown(false);
    workers.into_iter().for_each(ThreadedWorker::join);
    let mut found: Vec<_> = results.try_iter().collect();
    found.sort_by_key(|result| result.as_ref().ok().copied());
    for result in &found {
        say(&format!(
            "found result: {}",
            show(std::slice::from_ref(result))
        ));
    }

    let is_right = in_order == "Ok(30), Err(the work panicked: no 1, please), Ok(20)"
        && ready == "Ok(0), Ok(10), Ok(20)"
        && show(&found) == "Ok(3), Ok(5)";
    if is_right {
        ExitCode::SUCCESS
    } else {
        eprintln!("threaded_work: that is not what was expected");
        ExitCode::FAILURE
    }
}
