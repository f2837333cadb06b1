//! What the tours of processes share: parts chosen by name, a clock that children read too, lines, checks.

#[path = "../words/say.rs"]
mod say;

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(crate) type Fault = Box<dyn Error>;

/// One part of a tour.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What it shows, in a line.
    pub(crate) about: &'static str,
    pub(crate) show: fn(Clock) -> Result<(), Fault>,
}

/// When the part began, and how long its seconds are; the same in all of its processes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    begun: Duration,
    second: Duration,
}

impl Clock {
    fn start(second: Duration) -> Clock {
        let begun = since_1970();
        Clock { begun, second }
    }

    /// Seconds of the part since it began.
    pub(crate) fn now(self) -> f64 {
        since_1970().saturating_sub(self.begun).as_secs_f64() / self.second.as_secs_f64()
    }

    pub(crate) fn sleep(self, seconds: f64) {
        greenloom::sleep(self.second.mul_f64(seconds));
    }

    /// A line with its time.
    pub(crate) fn say(self, text: impl Display) {
        say(format_args!("{:6.2}  {text}", self.now()));
    }
}

/// The clocks that processes agree on.
fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A line of output.
pub(crate) use say::line as say;

pub(crate) fn check(holds: bool, fault: &str) -> Result<(), Fault> {
    match holds {
        true => Ok(()),
        false => Err(fault.into()),
    }
}

fn usage(program: &str, parts: &[Part]) -> String {
    let mut text = format!("usage: {program} [PART...] [--real]\nAll parts, or the named ones:\n");
    for part in parts {
        text += &format!("  {:<13} {}\n", part.name, part.about);
    }
    text + "A second lasts a tenth of one, unless --real is given."
}

/// The whole of a tour's `main`.
pub(crate) fn run(program: &str, parts: &[Part]) -> ExitCode {
    say::end(program, show(program, parts))
}

fn show(program: &str, parts: &[Part]) -> ExitCode {
    let mut second = Duration::from_millis(100);
    let mut chosen = Vec::new();
    for word in std::env::args().skip(1) {
        let part = parts.iter().find(|part| part.name == word);
        match (word.as_str(), part) {
            ("--real", _) => second = Duration::from_secs(1),
            ("--help" | "-h", _) => {
                say(usage(program, parts));
                return ExitCode::SUCCESS;
            }
            (_, Some(part)) => chosen.push(part),
            (_, None) => {
                eprintln!("{program}: what is `{word}`?\n{}", usage(program, parts));
                return ExitCode::from(2);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(parts);
    }
    for part in chosen {
        say(format_args!("{}: {}", part.name, part.about));
        let show = part.show;
        let shown = greenloom::try_run(move || show(Clock::start(second)));
        if let Err(fault) = shown.map_err(Fault::from).and_then(|shown| shown) {
            eprintln!("{program}: {}: {fault}", part.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
