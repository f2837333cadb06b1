//! Pings over UDP: `cargo run --release --example udp_ping`.
//!
//! A server that loses some of what it gets, on purpose, and clients that ask again when no answer comes in time, all
//! on the loopback interface. It prints how many answers came at the first try, how many later and how many never, and
//! ends with status 1 when a ping had no answer at all. Losses and times are a tenth of a second; `--real` makes them
//! a second.

#[path = "words/say.rs"]
mod say;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloom::net::UdpSocket;

const HELP: &str = "\
usage: udp_ping [--clients N] [--pings N] [--lose N] [--real]

  --clients N   clients that ping at the same time (20)
  --pings N     pings of each, one after the other (50)
  --lose N      one datagram in N is lost; 0 for none (10)
  --real        wait a second for an answer instead of a tenth
  --help        show this";

/// How often a ping is sent at most.
const TRIES: u32 = 10;

#[derive(Clone, Copy)]
struct Args {
    clients: usize,
    pings: u32,
    lose: u32,
    patience: Duration,
}

fn main() -> ExitCode {
    say::end("udp_ping", work())
}

fn work() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        say::line(HELP);
        return ExitCode::SUCCESS;
    }
    let args = match parse(&words) {
        Ok(args) => args,
        Err(fault) => {
            eprintln!("udp_ping: {fault}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let ran = greenloom::try_run(|| ping_all(args));
    match ran.map_err(|error| error.to_string()) {
        Ok(Ok(0)) => ExitCode::SUCCESS,
        Ok(Ok(unanswered)) => {
            eprintln!("udp_ping: {unanswered} pings without an answer");
            ExitCode::FAILURE
        }
        Ok(Err(error)) => {
            eprintln!("udp_ping: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("udp_ping: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[String]) -> Result<Args, String> {
    let mut args = Args {
        clients: 20,
        pings: 50,
        lose: 10,
        patience: Duration::from_millis(100),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = |least: u32| {
            let value = words.next().and_then(|value| value.parse().ok());
            let fits = value.filter(|n| (least..=100_000).contains(n));
            fits.ok_or(format!("{word} wants a number from {least} to 100000"))
        };
        match word.as_str() {
            "--clients" => args.clients = number(1)? as usize,
            "--pings" => args.pings = number(1)?,
            "--lose" => args.lose = number(0)?,
            "--real" => args.patience = Duration::from_secs(1),
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    if args.lose == 1 {
        return Err("--lose 1 would leave no answer at all".into());
    }
    Ok(args)
}

/// Answers every datagram with itself, but loses some.
fn pong(socket: &UdpSocket, lose: u32) -> io::Result<()> {
    let (mut buffer, mut count) = ([0; 1500], 0_u32);
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        count = count.wrapping_add(1);
        if lose == 0 || !count.is_multiple_of(lose) {
            socket.send_to(&buffer[..length], from)?;
        }
    }
}

/// What became of a client's pings.
#[derive(Default)]
struct Tally {
    at_once: u32,
    later: u32,
    never: u32,
    /// Round trips of those that were answered at once.
    took: Vec<Duration>,
}

fn ping_all(args: Args) -> io::Result<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let server = socket.local_addr()?;
    let ponging = greenloom::spawn(move || pong(&socket, args.lose));
    let clients: Vec<_> = (0..args.clients)
        .map(|_| greenloom::spawn(move || client(server, args)))
        .collect();
    let mut all = Tally::default();
    for client in clients {
        let tally = client.join().expect("no client panics")?;
        all.at_once += tally.at_once;
        all.later += tally.later;
        all.never += tally.never;
        all.took.extend(tally.took);
    }
    ponging.cancel();
    all.took.sort_unstable();
    let middle = all.took.get(all.took.len() / 2).copied();
    say::line(format_args!(
        "{} pings: {} answered at once, {} later, {} never; half of them within {:?}",
        all.at_once + all.later + all.never,
        all.at_once,
        all.later,
        all.never,
        middle.unwrap_or_default()
    ));
    Ok(all.never)
}

fn client(server: SocketAddr, args: Args) -> io::Result<Tally> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // From now on nobody else is heard.
    socket.connect(server)?;
    let mut tally = Tally::default();
    for number in 0..args.pings {
        match ping(&socket, number, args.patience)? {
            Some((1, took)) => {
                tally.at_once += 1;
                tally.took.push(took);
            }
            Some(_) => tally.later += 1,
            None => tally.never += 1,
        }
    }
    Ok(tally)
}

/// Sends one ping until it is answered: says at which try it was, and how long that one took.
fn ping(
    socket: &UdpSocket,
    number: u32,
    patience: Duration,
) -> io::Result<Option<(u32, Duration)>> {
    for attempt in 1..=TRIES {
        let sent = Instant::now();
        socket.send(&number.to_be_bytes())?;
        loop {
            // What is left of the time: an old answer that comes late does not put it off.
            let left = patience.saturating_sub(sent.elapsed());
            socket.set_read_timeout(Some(left.max(Duration::from_nanos(1))))?;
            let mut answer = [0; 4];
            match socket.recv(&mut answer) {
                Ok(4) if u32::from_be_bytes(answer) == number => {
                    return Ok(Some((attempt, sent.elapsed())));
                }
                // To a ping before this one.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}
