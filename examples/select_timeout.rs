//! Waiting for several things at once, but not for ever: `cargo run --example select_timeout -- [--real|--virtual]`.
//!
//! Three mirrors are asked and the first answer is taken; a fourth is given up after two seconds, and its
//! answer is received all the same when it comes; at last a loop waits for ticks, the end of a task, and an event.
//! Seen is what came when. A second lasts a tenth of one, unless `--real` is given; with `--virtual` the time
//! jumps, and every line is exact.

#[path = "words/say.rs"]
mod say;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloom::channel::{self, Receiver};
use greenloom::sync::{Arc, Event};
use greenloom::{Runtime, select, sleep, spawn, time};

const USAGE: &str = "usage: select_timeout [--real|--virtual]";

/// When the program began, and how long its seconds are.
#[derive(Clone, Copy)]
struct Watch {
    begun: Instant,
    second: Duration,
}

impl Watch {
    fn read(self) -> f64 {
        (time::now() - self.begun).as_secs_f64() / self.second.as_secs_f64()
    }

    /// Says something, and when. A reader that has gone away does not stop the work.
    fn say(self, text: &str) {
        say::line(format_args!("{text} at {:.1}", self.read()));
    }
}

/// A server that answers with its name after so many seconds.
fn mirror(watch: Watch, name: &'static str, seconds: u32) -> Receiver<&'static str> {
    let (sender, receiver) = channel::bounded(1);
    spawn(move || {
        sleep(watch.second * seconds);
        // Perhaps nobody waits any more.
        let _ = sender.send(name);
    });
    receiver
}

/// True if everything came that was to come.
fn show(watch: Watch) -> bool {
    let (a, b, c) = (
        mirror(watch, "a", 3),
        mirror(watch, "b", 1),
        mirror(watch, "c", 2),
    );
    let first = select! {
        recv(a) -> name => name,
        recv(b) -> name => name,
        recv(c) -> name => name,
    };
    let Ok(name) = first else { return false };
    watch.say(&format!("mirror {name} answers first,"));

    let slow = mirror(watch, "d", 4);
    let mut late = select! {
        recv(slow) -> name => Some(name),
        timeout(watch.second * 2) => {
            watch.say("mirror d is too slow: given up");
            None
        }
    };
    let answer = late.take().unwrap_or_else(|| slow.recv());
    if answer != Ok("d") {
        return false;
    }
    say::line(format_args!(
        "its answer comes at {:.1} and is not lost",
        watch.read()
    ));

    let stop = Arc::new(Event::new());
    let theirs = stop.clone();
    let mut count = spawn(move || {
        sleep(watch.second * 7 / 2);
        42
    });
    spawn(move || {
        sleep(watch.second * 9 / 2);
        theirs.set();
    });
    let ticks = channel::tick(watch.second);
    let mut result = None;
    loop {
        select! {
            recv(ticks) -> _ if result.is_none() => watch.say("tick"),
            join(count) -> number if result.is_none() => {
                result = number.ok();
                watch.say(&format!("the count is {},", result.unwrap_or(0)));
            }
            wait(stop) => {
                watch.say("asked to stop");
                return result == Some(42);
            }
            timeout(watch.second * 100) => return false,
        }
    }
}

fn main() -> ExitCode {
    say::end("select_timeout", work())
}

fn work() -> ExitCode {
    let mut second = Duration::from_millis(100);
    let mut runtime = Runtime::builder();
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--real" => second = Duration::from_secs(1),
            "--virtual" => runtime = runtime.virtual_clock(),
            "--help" | "-h" => {
                say::line(USAGE);
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("{USAGE}; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    let ran = runtime.run(|| {
        show(Watch {
            begun: time::now(),
            second,
        })
    });
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("select_timeout: something did not come");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("select_timeout: {error}");
            ExitCode::FAILURE
        }
    }
}
