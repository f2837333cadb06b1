//! `cargo bench --bench waiting`: what waiting for each other costs, beside the bars it is held against.
//!
//! ```text
//! cargo bench --bench waiting -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! As `scheduler`: a process for each case, medians after a warm-up. Cases with `_2w` in their name have
//! two workers and all CPUs, the others one worker and one CPU. Where std or crossbeam-channel has the
//! same thing for OS threads, its row stands beside ours, held against nothing.
#![allow(clippy::disallowed_methods)] // The rows beside ours are plain threads.

#[path = "waiting/channels.rs"]
mod channels;
#[path = "waiting/mutexes.rs"]
mod mutexes;
#[path = "waiting/selects.rs"]
mod selects;
mod util;

use std::process::ExitCode;

use util::runner::{self, Bench, Case, case, wide_case};

const ALL: &[Case] = &[
    case("round_trip", || channels::round_trips(1)),
    wide_case("round_trip_2w", || channels::round_trips(2)),
    case("bounded_1p1c", || channels::bounded(1, 1, 22.0)),
    wide_case("bounded_1p1c_2w", || channels::bounded(2, 1, 45.0)),
    case("bounded_4p1c", || channels::bounded(1, 4, 30.0)),
    wide_case("bounded_4p1c_2w", || channels::bounded(2, 4, 60.0)),
    case("unbounded", channels::unbounded),
    case("mutex_uncontended", mutexes::uncontended),
    case("mutex_contended", || mutexes::contended(1)),
    wide_case("mutex_contended_2w", || mutexes::contended(2)),
    case("ring_503", channels::ring),
    case("select_4_ready", selects::four_with_one_ready),
    case("select_4_waiting", selects::four_waiting),
];

fn main() -> ExitCode {
    runner::main(&Bench {
        name: "waiting",
        cases: ALL,
        serve: |_| Err(std::io::Error::other("no case has a server")),
    })
}
