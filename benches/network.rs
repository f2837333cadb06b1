//! `cargo bench --bench network`: what sockets and processes cost, beside the bars they are held against.
//!
//! ```text
//! cargo bench --bench network -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! Server and load generator are processes of their own, on one CPU: see `cases/load.rs`. Everything stays on the
//! loopback interface.
#![allow(clippy::disallowed_methods)] // Clients and rows beside ours are plain threads.

#[path = "network/commands.rs"]
mod commands;
#[path = "cases/echo.rs"]
mod echo;
#[path = "network/http.rs"]
mod http;
#[path = "network/idle.rs"]
mod idle;
#[path = "cases/load.rs"]
mod load;
#[path = "cases/mio_echo.rs"]
mod mio_echo;
mod util;

use std::io;
use std::process::ExitCode;

use util::process::end_with_parent;
use util::runner::{self, Bench, Case, case};

const ALL: &[Case] = &[
    case("echo", echo::echo),
    case("http", || http::plaintext("http", 1, 1.1)),
    case("http_pipelined", || {
        http::plaintext("http_pipelined", 16, 1.1)
    }),
    case("idle", idle::idle),
    case("command", commands::spawn_to_exit),
];

fn serve(peer: &str) -> io::Result<()> {
    end_with_parent();
    match peer {
        "http_greenloom" => http::serve_green(),
        "http_mio" => http::serve_bare(),
        "idle_greenloom" => idle::serve_green(),
        "idle_threads" => idle::serve_threads(),
        other => echo::serve(other),
    }
}

fn main() -> ExitCode {
    runner::main(&Bench {
        name: "network",
        cases: ALL,
        serve,
    })
}
