//! Four processes fill one array: `cargo run --example shared_memory` prints its sum, made by them and made here.

#[path = "words/say.rs"]
mod say;

use std::error::Error;
use std::process::ExitCode;

use greenloom::ipc::{SharedArray, SharedValue};
use greenloom::process::Process;

const CHILDREN: usize = 4;
const ITEMS: usize = 1000;

fn main() -> ExitCode {
    say::end("shared_memory", work())
}

fn work() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            say::line("usage: shared_memory");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("usage: shared_memory; what is `{other}`?");
            return ExitCode::from(2);
        }
    }
    match fill_and_sum() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("shared_memory: the sums differ");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("shared_memory: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the processes' sum is the serial one.
fn fill_and_sum() -> Result<bool, Box<dyn Error>> {
    let squares = SharedArray::<u64>::new(ITEMS)?;
    let total = SharedValue::new(0u64)?;
    let children: Vec<_> = (0..CHILDREN)
        .map(|part| Process::spawn(fill, (part, squares.clone(), total.clone())))
        .collect::<Result<_, _>>()?;
    for child in children {
        child.join()?;
    }
    let serial: u64 = (0..ITEMS as u64).map(|n| n * n).sum();
    let filled: u64 = squares.to_vec().into_iter().sum();
    let summed = total.get();
    say::line(format_args!("filled by {CHILDREN} processes: {filled}"));
    say::line(format_args!("summed by {CHILDREN} processes: {summed}"));
    say::line(format_args!("serial: {serial}"));
    Ok(filled == serial && summed == serial)
}

/// Runs in a child: every fourth place is its own, the total is everybody's.
fn fill((part, squares, total): (usize, SharedArray<u64>, SharedValue<u64>)) {
    let mut sum = 0;
    for at in (part..squares.len()).step_by(CHILDREN) {
        let square = (at * at) as u64;
        squares.set(at, square);
        sum += square;
    }
    let mut total = total.lock().expect("the parent serves the lock");
    total.update(|before| before + sum);
}
