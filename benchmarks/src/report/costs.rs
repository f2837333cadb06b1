//! The table of what our own operations cost: nanoseconds, and instructions where they were counted.

use std::fmt::Write as _;

use crate::cases::Case;
use crate::metric::Metric;
use crate::peers::list::Peer;
use crate::results::Results;

/// An operation in words, and the case that has it.
const OPERATIONS: [(&str, &str); 15] = [
    ("an item out of a generator: two switches", "generator"),
    ("to another greenlet and back", "switch"),
    ("a yield, of two tasks", "yield_2"),
    ("a yield, of a thousand tasks", "yield_1000"),
    ("a yield, of a hundred thousand tasks", "yield_100000"),
    ("spawn, run and join", "spawn_join"),
    ("a lock that is free", "mutex_free"),
    ("a lock that a hundred tasks want", "mutex_contended"),
    ("an item through a channel, bounded at 1,000", "mpsc_1"),
    (
        "there and back by two channels: two waits, two wakes",
        "ping_pong",
    ),
    ("the same, with a limit on each wait", "ping_pong_timeout"),
    ("an item by `select!` over four channels", "select"),
    (
        "a millisecond's sleep, of a hundred thousand tasks",
        "timers_100000",
    ),
    (
        "an echoed request of 64 bytes, CPU of the server",
        "echo_one_cpu_64",
    ),
    ("an HTTP request, CPU of the server", "http_one_cpu_64"),
];

pub fn table(results: &Results) -> String {
    let mut text =
        String::from("| operation | time | instructions | case |\n|---|---:|---:|---|\n");
    for (words, case) in OPERATIONS {
        let figure = |metric| results.figure(case, Peer::Greenloom.id(), metric);
        let first = Case::find(case).map_or(Metric::Time, |case| case.what.metrics()[0]);
        let Some(time) = figure(first) else { continue };
        let count = figure(Metric::Instructions).map_or(String::from("·"), |count| {
            Metric::Instructions.format(count.median)
        });
        let time = first.format(time.median);
        let _ = writeln!(text, "| {words} | {time} | {count} | `{case}` |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_case() {
        for (_, case) in OPERATIONS {
            assert!(Case::find(case).is_some(), "{case}");
        }
    }
}
