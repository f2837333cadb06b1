//! An HTTP/1.1 server on green threads: `cargo run --release --example http_server`, then `curl http://127.0.0.1:8080/`.
//!
//! Keep-alive, pipelining, chunked bodies, limits on heads and bodies, limits of time for slow clients, and a stop
//! with grace at Ctrl-C, after which it says what it has done. With `--check` it is its own client instead, and ends
//! with status 1 if an answer is not what it should be.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | a greeting |
//! | `POST /echo` | the body |
//! | `GET /count/N` | the numbers up to N, in chunks |
//! | `GET /slow` | after a second; a tenth of one without `--real` |

#[path = "http_server/args.rs"]
mod args;
#[path = "http_server/check.rs"]
mod check;
#[path = "http_server/client.rs"]
mod client;
#[path = "words/files.rs"]
mod files;
#[path = "http_server/pages.rs"]
mod pages;
#[path = "http_server/request.rs"]
mod request;

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;

use greenloom::net::Server;

use args::Args;
use client::Client;

fn main() -> ExitCode {
    env_logger::init();
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(end) => return end.report(),
    };
    let run = || match args.check {
        true => check::all(&args),
        false => serve(&args),
    };
    let done = greenloom::Runtime::builder()
        .run(run)
        .map_err(Into::into)
        .and_then(|done| done);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server, with what its user asked for.
fn server(args: &Args) -> std::io::Result<Server> {
    Ok(Server::bind(&*args.address)?
        .name("http")
        .max_connections(args.connections)
        .drain_timeout(args.limits.drain))
}

fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    let server = server(args)?;
    let stopper = server.stopper();
    // Whoever started it may have closed the other end; it serves all the same.
    let _ = writeln!(stdout(), "listening on http://{}/", server.local_addr()?);
    greenloom::spawn(move || match greenloom::signal::ctrl_c() {
        Ok(()) => stopper.stop(),
        Err(error) => eprintln!("http_server: cannot wait for Ctrl-C: {error}"),
    });
    let limits = args.limits;
    let report = server.serve(move |connection| Client::new(connection, limits).serve())?;
    let _ = writeln!(
        stdout(),
        "{} connections: {} served, {} failed, {} cancelled; {} at most at a time",
        report.accepted,
        report.served,
        report.failed,
        report.cancelled,
        report.peak
    );
    Ok(())
}
