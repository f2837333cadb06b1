//! Run with `cargo run --example callback_coroutine`: prints `pause` ten times, then 45.
//!
//! `calc` is a plain function that knows of no coroutine. The callback it is given suspends it, ten
//! times, and so makes it one.

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
    let pause = |i| {
        suspend::<u32, u32>(i);
    };
    let coroutine = Coroutine::<u32, u32, u32>::new(move |_, n| calc(n, pause));
    let mut pauses = 0;
    let result = loop {
        match coroutine.resume(10) {
            Ok(State::Yielded(_)) => {
                pauses += 1;
                println!("pause");
            }
            Ok(State::Complete(result)) => break result,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    };
    println!("{result}");
    if (pauses, result) != (10, 45) {
        eprintln!("expected 10 pauses and 45, got {pauses} and {result}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
