//! `cargo bench --bench scheduler`: the library's figures beside the bars they are held against.
//!
//! ```text
//! cargo bench --bench scheduler -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! Each case runs in a process of its own, held to one CPU: neither memory nor a crash of one reaches
//! another. A figure is the median of some repetitions after a warm-up, with the smallest and the
//! largest beside it. `--json` writes a line a figure.
#![allow(clippy::disallowed_methods)] // Clients and children here are plain threads.

mod cases;
mod util;

use std::process::ExitCode;

use util::runner::{self, Bench};

fn main() -> ExitCode {
    runner::main(&Bench {
        name: "scheduler",
        cases: cases::ALL,
        serve: cases::echo::serve,
    })
}
