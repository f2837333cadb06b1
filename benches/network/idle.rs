//! Ten thousand connections of which few talk: memory of the server for each, and how long an answer takes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use greenloom::net::{Connection, Server as GreenServer};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::echo::announce;
use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::process::{Server, resident};
use crate::util::sample::reps;

const CONNECTIONS: usize = 10_000;
/// Descriptors for everything else.
const SPARE: u64 = 100;
/// Requests in one sample, each on another connection.
const REQUESTS: usize = 2000;

pub(crate) fn idle() -> Vec<Figure> {
    measure().unwrap_or_else(|e| panic!("the benchmark of idle connections: {e}"))
}

/// Lets this process open as many files as it may; says how many connections that allows.
fn room() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        limit = getrlimit(Resource::Nofile);
    }
    let most = limit.current.unwrap_or(u64::MAX).saturating_sub(SPARE);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn measure() -> io::Result<Vec<Figure>> {
    let count = CONNECTIONS.min(room());
    if count < CONNECTIONS {
        eprintln!(
            "SCALED DOWN to {count} connections: a process may open no more files (ulimit -n)"
        );
    }
    let mut figures = Vec::new();
    for peer in ["greenloom", "threads"] {
        let server = Server::start(&["--serve", &format!("idle_{peer}")])?;
        let before = resident(server.pid())?;
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
            stream.set_nodelay(true)?;
            // Answered: so it is served.
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            streams.push(stream);
        }
        let bytes = (resident(server.pid())?.saturating_sub(before)) as f64 / count as f64;
        let mut p99 = Vec::new();
        for _ in 0..reps() {
            let mut took: Vec<f64> = (0..REQUESTS)
                .map(|n| {
                    let stream = &mut streams[n * 7919 % count];
                    let began = Instant::now();
                    stream.write_all(b"x")?;
                    stream.read_exact(&mut [0])?;
                    Ok(began.elapsed().as_nanos() as f64 / 1e3)
                })
                .collect::<io::Result<_>>()?;
            took.sort_by(f64::total_cmp);
            p99.push(took[took.len() * 99 / 100]);
        }
        figures.push(Figure::new(
            &format!("idle_memory/{peer}"),
            "bytes",
            &[bytes],
            None,
        ));
        figures.push(Figure::new(&format!("idle_p99/{peer}"), "us", &p99, None));
    }
    Ok(figures)
}

pub(crate) fn serve_green() -> io::Result<()> {
    room();
    one_worker().block_on(|| {
        let server = GreenServer::bind((Ipv4Addr::LOCALHOST, 0))?;
        announce(server.local_addr()?.port());
        server.serve(echo).map(drop)
    })
}

fn echo(connection: &Connection) -> io::Result<()> {
    let mut stream = connection.stream();
    stream.set_nodelay(true)?;
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got])?,
        }
    }
}

pub(crate) fn serve_threads() -> io::Result<()> {
    room();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(listener.local_addr()?.port());
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        std::thread::Builder::new().spawn(move || -> io::Result<()> {
            let mut buffer = [0; 64];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    got => stream.write_all(&buffer[..got])?,
                }
            }
        })?;
    }
}
