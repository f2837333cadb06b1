//! ureq, a blocking HTTP client, over green sockets:
//! `cargo run --manifest-path ecosystem/Cargo.toml --example ureq_client`.
//!
//! ureq waits by calls that block. Over our streams, which it takes by its transport trait, they block the calling task
//! alone: as many requests as there are clients are under way at the same time on few workers. It prints the most at a
//! time, and ends with status 1 if an answer is wrong or one client had to wait for another.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ecosystem::{Args, Fault, check, main as start, say};
use greenloom::net::{Connection, Server, TcpStream};
use greenloom::sync::Barrier;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

const REQUESTS: usize = 3;

fn main() -> ExitCode {
    let about = "A blocking HTTP client, many times at once, and a server for it.";
    start("ureq_client", about, &[], run)
}

/// Makes connections of ours for ureq.
#[derive(Debug)]
struct GreenConnector;

impl<In: Transport> Connector<In> for GreenConnector {
    type Out = GreenTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<GreenTransport>, ureq::Error> {
        let (config, limit) = (details.config, details.timeout);
        let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
        for address in &details.addrs {
            let stream = match limit.not_zero() {
                Some(limit) => TcpStream::connect_timeout(address, *limit),
                None => TcpStream::connect(address),
            };
            match stream {
                Ok(stream) => {
                    stream.set_nodelay(config.no_delay())?;
                    let sizes = (config.input_buffer_size(), config.output_buffer_size());
                    let buffers = LazyBuffers::new(sizes.0, sizes.1);
                    return Ok(Some(GreenTransport { stream, buffers }));
                }
                Err(error) => last = error,
            }
        }
        Err(told(last, limit))
    }
}

struct GreenTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for GreenTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let limit = timeout.for_write();
        self.stream
            .set_write_timeout(limit.not_zero().map(|limit| *limit))?;
        let output = &self.buffers.output()[..amount];
        let sent = self.stream.write_all(output);
        sent.map_err(|error| told(error, limit))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let limit = timeout.for_read();
        self.stream
            .set_read_timeout(limit.not_zero().map(|limit| *limit))?;
        let got = self.stream.read(self.buffers.input_append_buf());
        let got = got.map_err(|error| told(error, limit))?;
        self.buffers.input_appended(got);
        Ok(got > 0)
    }

    /// Whether it may be used again: there is neither an end to read nor something that nobody asked for.
    fn is_open(&mut self) -> bool {
        let before = self.stream.read_timeout().ok().flatten();
        let shortest = std::time::Duration::from_nanos(1);
        let seen = match self.stream.set_read_timeout(Some(shortest)) {
            Ok(()) => self.stream.peek(&mut [0]),
            Err(_) => return false,
        };
        let is_quiet = matches!(seen, Err(error) if error.kind() == ErrorKind::TimedOut);
        is_quiet && self.stream.set_read_timeout(before).is_ok()
    }
}

impl fmt::Debug for GreenTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GreenTransport").field(&self.stream).finish()
    }
}

/// ureq's own error for a limit of time that has passed.
fn told(error: io::Error, limit: NextTimeout) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut => ureq::Error::Timeout(limit.reason),
        _ => error.into(),
    }
}

/// How many requests are under way at the server.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

fn run(args: Args) -> Result<(), Fault> {
    let gauge = Arc::new(Gauge::default());
    let server = Server::bind("127.0.0.1:0")?;
    let (address, stopper) = (server.local_addr()?, server.stopper());
    let (theirs, together) = (gauge.clone(), Arc::new(Barrier::new(args.clients)));
    let serving =
        greenloom::spawn(move || server.serve(move |peer| serve(peer, &theirs, &together)));

    let clients: Vec<_> = (0..args.clients)
        .map(|number| greenloom::spawn(move || client(address, number)))
        .collect();
    for client in clients {
        client.join()??;
    }
    stopper.stop();
    let report = serving.join()??;
    check(report.failed == 0, format!("{report:?}"))?;
    // Each client has kept its connection.
    check(report.served == args.clients as u64, format!("{report:?}"))?;
    let most = gauge.most.load(Ordering::Relaxed);
    say(format_args!(
        "{} clients: {REQUESTS} requests each on a connection, {most} at a time",
        args.clients
    ));
    check(most == args.clients, "a client had to wait for another")
}

/// Answers no request before every client has asked one: it takes all of them at once, or for ever.
fn serve(peer: &Connection, gauge: &Gauge, together: &Barrier) -> io::Result<()> {
    let mut reader = BufReader::new(peer.stream());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while !matches!(line.as_str(), "\r\n" | "\n") {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let now = gauge.now.fetch_add(1, Ordering::Relaxed) + 1;
        gauge.most.fetch_max(now, Ordering::Relaxed);
        together.wait();
        gauge.now.fetch_sub(1, Ordering::Relaxed);
        let path = first.split(' ').nth(1).unwrap_or_default();
        let text = format!("you asked for {path}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        peer.stream().write_all((head + &text).as_bytes())?;
    }
}

fn client(address: SocketAddr, number: usize) -> Result<(), Fault> {
    let resolver = DefaultResolver::default();
    let agent = Agent::with_parts(Config::default(), GreenConnector, resolver);
    for round in 0..REQUESTS {
        let path = format!("/{number}/{round}");
        let mut response = agent.get(format!("http://{address}{path}")).call()?;
        let text = response.body_mut().read_to_string()?;
        check(
            text == format!("you asked for {path}"),
            format!("a wrong answer: {text}"),
        )?;
    }
    Ok(())
}
