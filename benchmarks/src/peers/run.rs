//! One case by one Rust peer, in this process.

use super::list::Peer;
use super::{bare, corosensei, generator, greenloom, hyper, may, smol, threads, tokio};
use crate::child::measure::{Cannot, Task, cannot};

/// Measures, and tells on standard output; or serves until it is ended.
pub fn run(peer: Peer, task: &Task) -> Result<(), Cannot> {
    match peer {
        Peer::Greenloom => greenloom::run(task),
        Peer::TokioCurrent => tokio::run(tokio::Flavor::Current, task),
        Peer::TokioMulti => tokio::run(tokio::Flavor::Multi, task),
        Peer::Hyper => hyper::run(task),
        Peer::May => may::run(task),
        Peer::Smol => smol::run(task),
        Peer::Threads => threads::run(task),
        Peer::Corosensei => corosensei::run(task),
        Peer::Generator => generator::run(task),
        Peer::Bare => bare::run(task),
        other => cannot(format!("{} is no Rust program", other.id())),
    }
}

/// How many tasks make a Fibonacci number.
pub fn fib_tasks(n: usize) -> usize {
    // Each call is a task; `n` below 2 calls no further.
    let (mut before, mut last) = (1, 1);
    for _ in 2..=n {
        (before, last) = (last, 1 + before + last);
    }
    last
}
