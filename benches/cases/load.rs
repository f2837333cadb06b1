//! A closed loop of requests and answers against two servers in turn: the CPU time of each for a request.
//!
//! The servers are processes of their own. The client has one message out on each connection, on the same CPU as the
//! servers, so that no wake-up crosses CPUs and a busy machine disturbs little. The servers take turns in short
//! spans; the ratio is taken within each turn, then the median of the turns.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::util::figure::Figure;
use crate::util::process::Server;
use crate::util::sample::reps;

const CONNECTIONS: usize = 64;
/// In one turn.
const REQUESTS: usize = 100_000;

/// What is said on each connection, again and again.
pub(crate) struct Talk {
    pub(crate) case: &'static str,
    pub(crate) request: Vec<u8>,
    /// All of it.
    pub(crate) answer: Vec<u8>,
    /// So many requests are in one message.
    pub(crate) requests: usize,
    /// For our time over the other's.
    pub(crate) bar: Option<f64>,
}

/// Our figures, the other server's, and the ratio. The servers are this program with `--serve` and these words.
pub(crate) fn turns(talk: &Talk, ours: &str, bare: &str) -> Vec<Figure> {
    measure(talk, ours, bare).unwrap_or_else(|e| panic!("the {} benchmark: {e}", talk.case))
}

fn measure(talk: &Talk, ours: &str, bare: &str) -> io::Result<Vec<Figure>> {
    let ours = Server::start(&["--serve", ours])?;
    let bare = Server::start(&["--serve", bare])?;
    let mut to_ours = Load::connect(ours.port, talk)?;
    let mut to_bare = Load::connect(bare.port, talk)?;
    let messages = REQUESTS / talk.requests;
    // CPU microseconds for a request, and requests a second.
    let measure = |server: &Server, load: &mut Load<'_>| -> io::Result<(f64, f64)> {
        let (before, began) = (server.cpu_ns()?, Instant::now());
        load.run(messages)?;
        let requests = (messages * talk.requests) as f64;
        let cpu = (server.cpu_ns()? - before) as f64 / 1e3 / requests;
        Ok((cpu, requests / began.elapsed().as_secs_f64()))
    };
    measure(&ours, &mut to_ours)?;
    measure(&bare, &mut to_bare)?;

    let (mut our_cost, mut bare_cost, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_rate, mut bare_rate) = (Vec::new(), Vec::new());
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
        our_cost.push(a.0);
        bare_cost.push(b.0);
        ratio.push(a.0 / b.0);
        our_rate.push(a.1);
        bare_rate.push(b.1);
    }
    let figure = |what: &str, unit: &str, samples: &[f64], bar: Option<f64>| {
        Figure::new(&format!("{}_{what}", talk.case), unit, samples, bar)
    };
    Ok(vec![
        figure("server_cpu/greenloom", "us/request", &our_cost, None),
        figure("server_cpu/mio", "us/request", &bare_cost, None),
        figure("ratio_to_mio/greenloom", "ratio", &ratio, talk.bar),
        figure("rate/greenloom", "requests/s", &our_rate, None),
        figure("rate/mio", "requests/s", &bare_rate, None),
    ])
}

/// The client: some connections to one server.
struct Load<'a> {
    talk: &'a Talk,
    poll: Poll,
    events: Events,
    connections: Vec<TcpStream>,
    /// Bytes of the present answer that have come, for each connection.
    got: Vec<usize>,
}

impl<'a> Load<'a> {
    fn connect(port: u16, talk: &'a Talk) -> io::Result<Load<'a>> {
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
            talk,
            poll,
            events: Events::with_capacity(CONNECTIONS),
            connections,
            got: vec![0; CONNECTIONS],
        })
    }

    /// Sends so many messages in all and waits for every answer.
    fn run(&mut self, requests: usize) -> io::Result<()> {
        let mut to_send = requests - CONNECTIONS;
        let mut to_come = requests;
        for stream in &self.connections {
            ask(stream, self.talk)?;
        }
        let mut buffer = vec![0; 16 << 10];
        while to_come > 0 {
            match self.poll.poll(&mut self.events, None) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &self.events {
                let Token(n) = event.token();
                let stream = &self.connections[n];
                if !answered(stream, self.talk, &mut self.got[n], &mut buffer)? {
                    continue;
                }
                to_come -= 1;
                if to_send > 0 {
                    to_send -= 1;
                    ask(stream, self.talk)?;
                }
            }
        }
        Ok(())
    }
}

/// One small request into a socket with nothing under way always fits.
fn ask(mut stream: &TcpStream, talk: &Talk) -> io::Result<()> {
    match stream.write(&talk.request)? {
        sent if sent == talk.request.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

/// Reads what has come; `true` when that ends an answer.
fn answered(
    mut stream: &TcpStream,
    talk: &Talk,
    got: &mut usize,
    buffer: &mut [u8],
) -> io::Result<bool> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                if talk.answer.get(*got..*got + n) != Some(&buffer[..n]) {
                    return Err(io::Error::other("an answer that is none"));
                }
                *got += n;
                if *got == talk.answer.len() {
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
