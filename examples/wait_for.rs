//! Three programs about waiting for so long: `cargo run --example wait_for -- [--real | --virtual]`.
//!
//! One waits for an eternity and gives up. One waits for two greetings, each in time. In the last the first
//! greeting is too late: that error ends its main task, the greeting is never said, and the second task goes
//! on all the same. Seconds last a tenth of a second; `--real` lets them last one, and `--virtual` runs by
//! a clock that jumps, so that the times seen are exact.

#[path = "words/say.rs"]
mod say;

use std::io::{self};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenloom::time::{Elapsed, now};
use greenloom::{JoinHandle, Runtime, sleep, spawn, timeout};

/// How long the program's seconds are, and what was said in them.
#[derive(Clone)]
struct Stage {
    second: Duration,
    begun: Instant,
    said: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn seconds(&self, seconds: f64) -> Duration {
        self.second.mul_f64(seconds)
    }

    /// A reader that has gone away does not stop the work.
    fn say(&self, text: &str) {
        let at = (now() - self.begun).as_secs_f64() / self.second.as_secs_f64();
        say::line(format_args!("  {text} at {at:.3}"));
        self.said
            .lock()
            .expect("nobody panics with it")
            .push(text.to_owned());
    }

    fn say_hi(&self, seconds: u32) -> JoinHandle<()> {
        let stage = self.clone();
        spawn(move || {
            sleep(stage.second * seconds);
            stage.say(&format!("hi! {seconds}"));
        })
    }
}

/// Waits for what never comes.
fn eternity(stage: &Stage) {
    let hour = stage.second * 3600;
    if timeout(stage.second, || sleep(hour)).is_err() {
        stage.say("timeout!");
    }
}

/// Waits for two greetings at most so long each. The clock of a wait begins with the wait, not with the task.
fn both(stage: &Stage, seconds: f64) -> Result<(), Elapsed> {
    let (first, other) = (stage.say_hi(1), stage.say_hi(2));
    // They begin before we begin to wait.
    greenloom::yield_now();
    for greeting in [first, other] {
        greeting
            .wait_for(stage.seconds(seconds))?
            .expect("it only sleeps and prints");
    }
    Ok(())
}

/// Runs one of the programs; false when something else was said than should be.
fn run(mode: &Mode, name: &str, expected: &[&str], program: fn(&Stage)) -> io::Result<bool> {
    say::line(name);
    let builder = Runtime::builder().workers(1);
    let runtime = if mode.is_virtual {
        builder.virtual_clock().build()?
    } else {
        builder.build()?
    };
    let second = mode.second;
    let said = runtime.block_on(move || {
        let stage = Stage {
            second,
            begun: now(),
            said: Arc::default(),
        };
        program(&stage);
        stage.said
    });
    // What a main task leaves behind goes on in the runtime: let it.
    runtime.block_on(move || sleep(second * 3));
    let said = said.lock().expect("nobody panics with it").clone();
    Ok(said == expected)
}

struct Mode {
    second: Duration,
    is_virtual: bool,
}

fn main() -> ExitCode {
    say::end("wait_for", work())
}

fn work() -> ExitCode {
    let mut mode = Mode {
        second: Duration::from_millis(100),
        is_virtual: false,
    };
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--real" => mode.second = Duration::from_secs(1),
            "--virtual" => {
                mode.second = Duration::from_secs(1);
                mode.is_virtual = true;
            }
            "--help" | "-h" => {
                say::line("usage: wait_for [--real | --virtual]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: wait_for [--real | --virtual]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    match all(&mode) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) if !mode.is_virtual => {
            // A twentieth of a second decides there.
            eprintln!("wait_for: something came late; this machine is very busy");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            eprintln!("wait_for: that is not what should have been said");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("wait_for: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all(mode: &Mode) -> io::Result<bool> {
    let mut is_right = run(mode, "an eternity:", &["timeout!"], eternity)?;
    is_right &= run(mode, "both in time:", &["hi! 1", "hi! 2"], |stage| {
        if both(stage, 1.05).is_err() {
            stage.say("TimeoutError");
        }
    })?;
    let expected = ["TimeoutError", "hi! 2"];
    is_right &= run(mode, "the first too late:", &expected, |stage| {
        if both(stage, 0.95).is_err() {
            stage.say("TimeoutError");
        }
    })?;
    Ok(is_right)
}
