//! Work that is cut short in order: `cargo run --example scope_cancel -- [--real | --virtual]`.
//!
//! Three acts. A deadline ends three workers that share their parent's counter; a token with a reason does the same
//! from outside; in a group the failure of one ends the others. Seen is that in each of them every worker has put its
//! tools away before the act is over. Seconds last a tenth of a second; `--real` lets them last one, and
//! `--virtual` runs by a clock that jumps.

#[path = "words/say.rs"]
mod say;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::{CancelToken, TaskGroup, cancel_scope, with_token};
use greenloom::{Runtime, scope, sleep, spawn};

/// A reader that has gone away does not stop the work.
fn say(text: &str) {
    say::line(text);
}

/// What a worker must do whatever comes: its destructor runs while it unwinds, and may wait.
struct Tools<'a> {
    worker: u32,
    put_away: &'a AtomicUsize,
    moment: Duration,
}

impl Drop for Tools<'_> {
    fn drop(&mut self) {
        // One after the other, so that the lines stand in order.
        greenloom::shield(|| sleep(self.moment * self.worker));
        self.put_away.fetch_add(1, Ordering::Relaxed);
        say(&format!("  worker {} puts its tools away", self.worker));
    }
}

/// Works for ever, a piece a second.
fn work(second: Duration, worker: u32, pieces: &AtomicUsize, put_away: &AtomicUsize) -> ! {
    let _tools = Tools {
        worker,
        put_away,
        moment: second / 20,
    };
    loop {
        sleep(second);
        pieces.fetch_add(1, Ordering::Relaxed);
    }
}

/// The workers of the first two acts, who borrow from this frame; false when they were not all gone at its end.
fn three_workers(second: Duration, until: impl FnOnce(&dyn Fn()) -> String) -> bool {
    let (pieces, put_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let why = until(&|| {
        scope(|s| {
            for worker in 1..=3 {
                let (pieces, put_away) = (&pieces, &put_away);
                s.spawn(move || work(second, worker, pieces, put_away));
            }
        });
    });
    let (pieces, put_away) = (pieces.into_inner(), put_away.into_inner());
    say(&format!("  {pieces} pieces; {why}"));
    put_away == 3
}

fn deadline(second: Duration) -> bool {
    say("a deadline of two and a half seconds:");
    three_workers(second, |workers| {
        let result = cancel_scope(|scope| {
            scope.set_timeout(second * 5 / 2);
            workers();
        });
        result.map_or_else(|error| error.to_string(), |()| "not ended".to_owned())
    })
}

fn token(second: Duration) -> bool {
    say("a token:");
    let token = CancelToken::new();
    let theirs = token.child();
    let boss = spawn(move || {
        sleep(second * 3 / 2);
        token.cancel_with("closing time");
    });
    let is_right = three_workers(second, |workers| {
        let result = with_token(&theirs, workers);
        result.map_or_else(|error| error.to_string(), |()| "not ended".to_owned())
    });
    is_right && boss.join().is_ok()
}

fn group(second: Duration) -> bool {
    say("a group:");
    let (pieces, put_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result: Result<Option<()>, _> = TaskGroup::run(|group| {
        for worker in 1..=2 {
            let (pieces, put_away) = (&pieces, &put_away);
            group.spawn(move || -> Result<(), &str> { work(second, worker, pieces, put_away) });
        }
        group.spawn(|| {
            sleep(second * 3 / 2);
            Err::<(), _>("worker 3 has cut a finger")
        });
        // The failure finds the body here.
        sleep(Duration::MAX);
        Ok(())
    });
    let error = result.err().map(|error| error.to_string());
    say(&format!(
        "  {} pieces; {}",
        pieces.into_inner(),
        error.as_deref().unwrap_or("no error")
    ));
    put_away.into_inner() == 2 && error.is_some()
}

fn main() -> ExitCode {
    say::end("scope_cancel", show())
}

fn show() -> ExitCode {
    let mut second = Duration::from_millis(100);
    let mut builder = Runtime::builder().workers(1);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--real" => second = Duration::from_secs(1),
            "--virtual" => {
                second = Duration::from_secs(1);
                builder = builder.virtual_clock();
            }
            "--help" | "-h" => {
                say("usage: scope_cancel [--real | --virtual]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: scope_cancel [--real | --virtual]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    match builder.run(|| deadline(second) & token(second) & group(second)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("scope_cancel: somebody has left without putting the tools away");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("scope_cancel: {error}");
            ExitCode::FAILURE
        }
    }
}
