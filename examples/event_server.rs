//! An echo server twice, as green threads and as a thread for each connection: `cargo run --release --example event_server`.
//!
//! Each server is a process of its own, this program run again; the client, green too, is the first
//! process. With many connections see what an event-driven server costs beside the other one:
//! `--connections 10000`. The handler is the same code for both.

#[path = "words/say.rs"]
mod say;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use greenloom::net::{TcpListener, TcpStream};
use greenloom::sync::Semaphore;
use rustix::process::{Resource, getrlimit, setrlimit};

const HELP: &str = "\
usage: event_server [--connections N] [--requests N]

  --connections N   connections that are open at the same time (1000)
  --requests N      requests on each of them, one after the other (20)
  --help            show this";

const MESSAGE: [u8; 64] = *b"sixty-four bytes that travel to the server, and back to the task";

/// Descriptors that a process needs besides its connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Connections that are asked for at the same time: a std listener has room for 128.
const DIALLING: usize = 64;

/// How long one answer may take, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    say::end("event_server", work())
}

fn work() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", kind] => serve(kind),
        ["--help" | "-h"] => {
            say::line(HELP);
            Ok(())
        }
        _ => match parse(&words) {
            Ok(load) => compare(load),
            Err(fault) => {
                eprintln!("event_server: {fault}\n{HELP}");
                return ExitCode::from(2);
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the client does.
#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    /// On each connection.
    requests: usize,
}

fn parse(words: &[String]) -> Result<Load, String> {
    let mut load = Load {
        connections: 1000,
        requests: 20,
    };
    for option in words.chunks(2) {
        let field = match option[0].as_str() {
            "--connections" => &mut load.connections,
            "--requests" => &mut load.requests,
            other => return Err(format!("there is no option `{other}`")),
        };
        let value = option.get(1).and_then(|value| value.parse().ok());
        *field = value
            .filter(|n| (1..=1_000_000).contains(n))
            .ok_or_else(|| format!("{} wants a number from 1 to 1000000", option[0]))?;
    }
    Ok(load)
}

fn compare(mut load: Load) -> Result<(), Box<dyn Error>> {
    let most = descriptors()?.saturating_sub(SPARE_DESCRIPTORS);
    if most == 0 {
        return Err("a process may open too few files for this (ulimit -n): 200 at least".into());
    }
    if load.connections as u64 > most {
        say::line(format_args!(
            "SCALED DOWN to {most} connections from {}: a process may open only {} files (ulimit -n)",
            load.connections,
            most + SPARE_DESCRIPTORS
        ));
        load.connections = usize::try_from(most)?;
    }
    say::line(format_args!(
        "{} connections, {} requests of {} bytes on each",
        load.connections,
        load.requests,
        MESSAGE.len()
    ));
    say::line("server      requests/s   CPU us/request   memory MiB   KiB/connection");
    say::line(row("green", load)?);
    match row("threads", load) {
        Ok(row) => say::line(row),
        // The system has room for fewer threads than for connections.
        Err(error) => say::line(format_args!(
            "threads  cannot hold {} connections: {error}",
            load.connections
        )),
    }
    say::line(
        "(a thread takes memory of the kernel as well, 16 KiB or more, which is not counted here)",
    );
    Ok(())
}

/// Measures one server.
fn row(kind: &str, load: Load) -> Result<String, Box<dyn Error>> {
    let server = Server::start(kind)?;
    let begun_with = server.memory();
    let figures = greenloom::run(|| put_load_on(&server, load))?;
    let requests = (load.connections * load.requests) as f64;
    let grown = figures.memory.saturating_sub(begun_with) as f64;
    Ok(format!(
        "{kind:<8} {:>13.0} {:>16.2} {:>12.1} {:>16.1}",
        requests / figures.took.as_secs_f64(),
        figures.cpu.as_secs_f64() * 1e6 / requests,
        figures.memory as f64 / 1024.0,
        grown / load.connections as f64,
    ))
}

/// Lets this process open as many files as it may, and says how many that are.
fn descriptors() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Some systems call their limit endless and refuse it all the same.
    if setrlimit(Resource::Nofile, limit).is_err() {
        limit = getrlimit(Resource::Nofile);
    }
    Ok(limit.current.unwrap_or(u64::MAX))
}

struct Figures {
    took: Duration,
    /// Of the server, for all requests.
    cpu: Duration,
    /// Of the server when all connections were open, in KiB.
    memory: u64,
}

/// Opens all connections, then sends requests on all of them at the same time.
fn put_load_on(server: &Server, load: Load) -> io::Result<Figures> {
    let mut streams = open_all(server.address, load.connections)?;
    let cpu_before = server.cpu();
    let begun = Instant::now();
    greenloom::scope(|scope| {
        let clients: Vec<_> = streams
            .iter_mut()
            .map(|stream| scope.spawn(move || ask(stream, load.requests)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().expect("no panic"))
    })?;
    Ok(Figures {
        took: begun.elapsed(),
        cpu: server.cpu().saturating_sub(cpu_before),
        memory: server.memory(),
    })
}

fn open_all(address: SocketAddr, connections: usize) -> io::Result<Vec<TcpStream>> {
    let permits = Semaphore::new(DIALLING);
    let dial = || {
        let _permit = permits.acquire();
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Answered: so it was accepted.
        ask(&mut stream, 1)?;
        Ok(stream)
    };
    greenloom::scope(|scope| {
        let dials: Vec<_> = (0..connections).map(|_| scope.spawn(dial)).collect();
        let dials = dials.into_iter();
        dials.map(|dial| dial.join().expect("no panic")).collect()
    })
}

/// One client: sends the message and waits for it to come back, so many times.
fn ask(stream: &mut TcpStream, requests: usize) -> io::Result<()> {
    let mut answer = [0; MESSAGE.len()];
    for _ in 0..requests {
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut answer)?;
        if answer != MESSAGE {
            return Err(io::Error::other("an answer that is no echo"));
        }
    }
    Ok(())
}

/// The handler of both servers: whatever comes goes back, until the other side hangs up.
fn echo(mut stream: impl Read + Write) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got])?,
        }
    }
}

/// The server's process. It ends when its standard input does, so with the process that started it.
fn serve(kind: &str) -> Result<(), Box<dyn Error>> {
    descriptors()?;
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    match kind {
        "green" => greenloom::run(serve_green)?,
        "threads" => serve_by_threads()?,
        kind => return Err(format!("there is no server `{kind}`").into()),
    }
    Ok(())
}

fn serve_green() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say::line(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // Dropping the handle lets the task go on by itself.
        greenloom::spawn(move || echo(stream));
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this one blocks threads, for comparison"
)]
fn serve_by_threads() -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    say::line(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || echo(stream))?;
    }
    Ok(())
}

/// A server's process, seen from the client.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str) -> Result<Server, Box<dyn Error>> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--serve", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse();
        let address = address.map_err(|_| format!("the {kind} server did not start"))?;
        Ok(Server { child, address })
    }

    /// Memory in use, in KiB; 0 where the system does not say.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// CPU time of all its threads; zero where the system does not say.
    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = tasks.into_iter().flatten().flatten();
        let nanos = threads.filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
