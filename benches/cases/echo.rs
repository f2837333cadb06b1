//! Echo of 64 bytes on 64 connections: the server's CPU time for each request.
//!
//! Two servers, each a process of its own: greenloom with one worker, and the bare state machine on
//! mio. The client is a closed loop with one request out on each connection, on the same CPU as the
//! servers, so that no wake-up crosses CPUs and a busy machine disturbs little. The servers take turns
//! in short spans; the ratio is taken within each turn, then the median of the turns.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;

use greenloom::net;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::mio_echo;
use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::process::{Server, end_with_parent};
use crate::util::sample::reps;

const CONNECTIONS: usize = 64;
const MESSAGE: [u8; 64] = *b"sixty-four bytes that travel there and back and are looked at...";
const REQUESTS: usize = 100_000;

pub(crate) fn echo() -> Vec<Figure> {
    turns().unwrap_or_else(|e| panic!("the echo benchmark: {e}"))
}

fn turns() -> io::Result<Vec<Figure>> {
    let ours = Server::start(&["--serve", "greenloom"])?;
    let bare = Server::start(&["--serve", "mio"])?;
    let mut to_ours = Load::connect(ours.port)?;
    let mut to_bare = Load::connect(bare.port)?;
    let measure = |server: &Server, load: &mut Load| -> io::Result<f64> {
        let before = server.cpu_ns()?;
        load.run(REQUESTS)?;
        Ok((server.cpu_ns()? - before) as f64 / 1e3 / REQUESTS as f64)
    };
    measure(&ours, &mut to_ours)?;
    measure(&bare, &mut to_bare)?;

    let (mut our_cost, mut bare_cost, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..reps() * 2 {
        // Who goes first changes, so that a drift of the machine favours nobody.
        let (a, b);
        if turn % 2 == 0 {
            a = measure(&ours, &mut to_ours)?;
            b = measure(&bare, &mut to_bare)?;
        } else {
            b = measure(&bare, &mut to_bare)?;
            a = measure(&ours, &mut to_ours)?;
        }
        our_cost.push(a);
        bare_cost.push(b);
        ratio.push(a / b);
    }
    Ok(vec![
        Figure::new("echo_server_cpu/greenloom", "us/request", &our_cost, None),
        Figure::new("echo_server_cpu/mio", "us/request", &bare_cost, None),
        Figure::new("echo_ratio_to_mio/greenloom", "ratio", &ratio, 1.1),
    ])
}

/// The server's side: `--serve PEER`.
pub(crate) fn serve(peer: &str) -> io::Result<()> {
    end_with_parent();
    match peer {
        "greenloom" => one_worker().block_on(green_serve),
        "mio" => mio_echo::serve(announce),
        _ => Err(io::Error::other(format!("no echo server `{peer}`"))),
    }
}

fn announce(port: u16) {
    println!("port {port}");
}

fn green_serve() -> io::Result<()> {
    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // A peer that resets the connection ends its own task only.
        drop(greenloom::spawn(move || green_echo(&stream)));
    }
}

fn green_echo(mut stream: &net::TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got])?,
        }
    }
}

/// The client: some connections to one server.
struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<TcpStream>,
    /// Bytes of the present answer that have come, for each connection.
    got: Vec<usize>,
}

impl Load {
    fn connect(port: u16) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for n in 0..CONNECTIONS {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut source = SourceFd(&stream.as_raw_fd());
            poll.registry()
                .register(&mut source, Token(n), Interest::READABLE)?;
            connections.push(stream);
        }
        Ok(Load {
            poll,
            events: Events::with_capacity(CONNECTIONS),
            connections,
            got: vec![0; CONNECTIONS],
        })
    }

    /// Sends so many requests in all and waits for every answer.
    fn run(&mut self, requests: usize) -> io::Result<()> {
        let mut to_send = requests - CONNECTIONS;
        let mut to_come = requests;
        for stream in &self.connections {
            ask(stream)?;
        }
        let mut buffer = [0; 256];
        while to_come > 0 {
            match self.poll.poll(&mut self.events, None) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &self.events {
                let Token(n) = event.token();
                let stream = &self.connections[n];
                if !answered(stream, &mut self.got[n], &mut buffer)? {
                    continue;
                }
                to_come -= 1;
                if to_send > 0 {
                    to_send -= 1;
                    ask(stream)?;
                }
            }
        }
        Ok(())
    }
}

/// One small request into a socket with nothing under way always fits.
fn ask(mut stream: &TcpStream) -> io::Result<()> {
    match stream.write(&MESSAGE)? {
        sent if sent == MESSAGE.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

/// Reads what has come; `true` when that ends an answer.
fn answered(mut stream: &TcpStream, got: &mut usize, buffer: &mut [u8]) -> io::Result<bool> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                if MESSAGE.get(*got..*got + n) != Some(&buffer[..n]) {
                    return Err(io::Error::other("an answer that is no echo"));
                }
                *got += n;
                if *got == MESSAGE.len() {
                    *got = 0;
                    return Ok(true);
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
