//! A task that gets from a queue before anything is in it: `cargo run --example queue_get_task`.
//!
//! The getter waits from the beginning; the putter comes after a second. Seen is what the getter got, and that
//! it took a second, not more. A second lasts a tenth of one, unless `--real` is given.

#[path = "words/say.rs"]
mod say;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloom::queue::Queue;
use greenloom::{sleep, spawn};

/// A reader that has gone away does not stop the work.
fn say(line: &str) {
    say::line(line);
}

fn main() -> ExitCode {
    say::end("queue_get_task", work())
}

fn work() -> ExitCode {
    let mut second = Duration::from_millis(100);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--real" => second = Duration::from_secs(1),
            "--help" | "-h" => {
                say("usage: queue_get_task [--real]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: queue_get_task [--real]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    let run = greenloom::try_run(|| {
        let begun = Instant::now();
        let queue = Queue::unbounded();
        let theirs = queue.clone();
        let getter = spawn(move || theirs.get());
        let putter = spawn(move || {
            sleep(second);
            queue.put("a card")
        });
        let got = getter.join();
        let took = begun.elapsed().as_secs_f64() / second.as_secs_f64();
        let put = putter.join();
        (got.ok(), put.is_ok(), took)
    });
    match run {
        Ok((Some(Ok(card)), true, took)) if took >= 1.0 => {
            say(&format!("got {card}"));
            say(&format!("finished at {took:.3}"));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("queue_get_task: {other:?}");
            ExitCode::FAILURE
        }
    }
}
