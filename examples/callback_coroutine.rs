//! Run with `cargo run --example callback_coroutine`: prints `pause` ten times, then 45.
//!
//! `calc` is a plain function that knows of no coroutine. The callback it is given suspends it, ten
//! times, and so makes it one.

use std::io::{self, Write};
use std::process::ExitCode;

use greenloom::coroutine::{Coroutine, State, suspend};

/// Adds up the numbers below `n` and reports each.
fn calc(n: u32, callback: impl Fn(u32)) -> u32 {
    let mut result = 0;
    for i in 0..n {
        result += i;
        callback(i);
    }
    result
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            let written = writeln!(io::stdout(), "usage: callback_coroutine");
            return ExitCode::from(u8::from(written.is_err()));
        }
        Some(word) => {
            eprintln!("usage: callback_coroutine; what is `{word}`?");
            return ExitCode::from(2);
        }
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callback_coroutine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let pause = |i| {
        suspend::<u32, u32>(i);
    };
    let coroutine = Coroutine::<u32, u32, u32>::new(move |_, n| calc(n, pause));
    let mut pauses = 0;
    let result = loop {
        match coroutine.resume(10)? {
            State::Yielded(_) => {
                pauses += 1;
                writeln!(out, "pause")?;
            }
            State::Complete(result) => break result,
        }
    };
    writeln!(out, "{result}")?;
    if (pauses, result) != (10, 45) {
        return Err(format!("expected 10 pauses and 45, got {pauses} and {result}").into());
    }
    Ok(())
}
