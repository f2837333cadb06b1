//! The crate redis over green sockets: `cargo run --manifest-path ecosystem/Cargo.toml --example redis_client`.
//!
//! The crate opens std's sockets by itself, but all of its commands, pipelines and conversions work over whatever
//! implements its trait `ConnectionLike`, and its parser reads from any `Read`: so a client of ours is the forty lines
//! of [`Green`]. The other side is a small server of the example's own, and `redis-server` as well where that is
//! installed: both must answer the same. Ends with status 1 if one does not.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ecosystem::{Args, Fault, check, main as start, say};
use greenloom::net::{Connection, Server, TcpStream, UnixStream};
use greenloom::process::{Child, Command, Stdio};
use greenloom::sync::Mutex;
use redis::{ConnectionLike, Parser, RedisResult, TypedCommands, Value};

const TURNS: isize = 50;
const BIG: usize = 1 << 20;

fn main() -> ExitCode {
    let about = "A Redis client, many times at once, and a small server for it.";
    start("redis_client", about, &["--connect"], run)
}

fn run(args: Args) -> Result<(), Fault> {
    if let Some(address) = args.connect {
        clients("the server there", args.clients, || {
            TcpStream::connect(&*address)
        })?;
        return Ok(());
    }
    let server = Server::bind("127.0.0.1:0")?;
    let (address, stopper) = (server.local_addr()?, server.stopper());
    let store = Arc::new(Store::default());
    let serving = greenloom::spawn(move || server.serve(move |peer| serve(peer, &store)));
    clients("our server", args.clients, || TcpStream::connect(address))?;
    hang_up_amid_an_answer(address)?;
    stopper.stop();
    let report = serving.join()??;
    check(report.failed == 0, format!("the server failed: {report:?}"))?;
    match RealServer::start() {
        Ok(real) => clients("redis-server", args.clients, || {
            UnixStream::connect(&real.socket)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            say("redis-server is not installed: left out");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// A connection of the crate's over any stream.
struct Green<S> {
    stream: S,
    parser: Parser,
    is_open: bool,
}

impl<S: Read + Write> Green<S> {
    fn new(stream: S) -> Green<S> {
        let parser = Parser::new();
        Green {
            stream,
            parser,
            is_open: true,
        }
    }

    /// The next answer; one that says what went wrong is an answer.
    fn answer(&mut self) -> RedisResult<Value> {
        let answer = self.parser.parse_value(&mut self.stream);
        // After any fault nobody knows where the next answer begins.
        self.is_open &= answer.is_ok();
        answer
    }

    fn send(&mut self, packed: &[u8]) -> RedisResult<()> {
        let sent = self.stream.write_all(packed);
        self.is_open &= sent.is_ok();
        Ok(sent?)
    }
}

impl<S: Read + Write> ConnectionLike for Green<S> {
    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        self.send(packed)?;
        self.answer()
    }

    fn req_packed_commands(
        &mut self,
        packed: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.send(packed)?;
        for _ in 0..offset {
            self.answer()?;
        }
        (0..count).map(|_| self.answer()).collect()
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

/// Clients that all work at once, each by its own connection.
fn clients<S>(whose: &str, count: usize, connect: impl Fn() -> io::Result<S>) -> Result<(), Fault>
where
    S: Read + Write + Send + 'static,
{
    let mut first = Green::new(connect()?);
    first.del("turns")?;
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let mut client = Green::new(connect()?);
            Ok(greenloom::spawn(move || client_works(&mut client, number)))
        })
        .collect::<io::Result<_>>()?;
    for task in tasks {
        task.join()??;
    }
    let turns = first.get_int("turns")?;
    let expected = TURNS * isize::try_from(count)?;
    check(
        turns == Some(expected),
        format!("{turns:?} turns of {expected}"),
    )?;
    say(format_args!(
        "{whose}: {count} clients, {expected} turns counted, a pipeline and {BIG} bytes each, faults told"
    ));
    Ok(())
}

fn client_works<S: Read + Write>(client: &mut Green<S>, number: usize) -> Result<(), Fault> {
    let key = format!("key {number}");
    client.set(&key, number)?;
    let back = client.get(&key)?;
    check(
        back == Some(number.to_string()),
        format!("{back:?} at {key}"),
    )?;
    for _ in 0..TURNS {
        client.incr("turns", 1)?;
    }
    // A hundred answers that come in one piece or in many.
    let mut pipe = redis::pipe();
    for n in 0..100 {
        pipe.set(format!("{key}/{n}"), n)
            .ignore()
            .get(format!("{key}/{n}"));
    }
    let numbers: Vec<usize> = pipe.query(client)?;
    check(
        numbers == (0..100).collect::<Vec<_>>(),
        "a pipeline out of order",
    )?;
    let big = vec![b'a' + (number % 26) as u8; BIG];
    client.set(&key, &big)?;
    let back: Vec<u8> = redis::cmd("GET").arg(&key).query(client)?;
    check(back == big, "another value than was set")?;
    // What the server refuses is an error, and the connection goes on.
    let refused = redis::cmd("NOSUCHCOMMAND").exec(client);
    check(refused.is_err(), "an unknown command is taken")?;
    let refused = client.incr(&key, 1);
    check(refused.is_err(), "a value that is no number is counted up")?;
    check(
        client.check_connection() && client.is_open(),
        "the connection is gone",
    )
}

/// Clients that are cancelled while they wait, and one that goes, are no fault of the server's.
fn hang_up_amid_an_answer(address: SocketAddr) -> Result<(), Fault> {
    let late = greenloom::timeout(Duration::from_millis(20), || {
        let mut client = Green::new(TcpStream::connect(address)?);
        redis::cmd("SLEEP").exec(&mut client).map_err(Fault::from)
    });
    check(late.is_err(), "an answer that never comes has come")?;
    let mut client = Green::new(TcpStream::connect(address)?);
    let gone = redis::cmd("HANGUP").exec(&mut client);
    check(
        gone.is_err() && !client.is_open(),
        "the end of the connection went unnoticed",
    )
}

/// What our server knows.
type Store = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

/// Reads commands by the crate's own parser, for they are encoded as answers are, and answers them.
fn serve(peer: &Connection, store: &Store) -> Result<(), Fault> {
    let mut stream = peer.stream();
    let mut parser = Parser::new();
    loop {
        // Of a pipeline the parser has the next ones already: the stream may have nothing more.
        let command = match parser.parse_value(&mut stream) {
            Ok(Value::Array(words)) => words,
            Ok(other) => return Err(format!("no command: {other:?}").into()),
            // The client has gone, between two commands or amid one.
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut words = command.into_iter().map(|word| match word {
            Value::BulkString(word) => Ok(word),
            other => Err(format!("no word: {other:?}")),
        });
        let name = words.next().unwrap_or_else(|| Ok(Vec::new()))?;
        let words = words.collect::<Result<Vec<_>, _>>()?;
        match (&*name.to_ascii_uppercase(), &*words) {
            (b"HANGUP", _) => return Ok(()),
            (b"SLEEP", _) => drop(stream.read(&mut [0])?),
            (name, words) => stream.write_all(&answer(name, words, store))?,
        }
    }
}

fn answer(name: &[u8], words: &[Vec<u8>], store: &Store) -> Vec<u8> {
    let mut store = store
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    match (name, words) {
        (b"PING", []) => b"+PONG\r\n".into(),
        (b"SET", [key, value]) => {
            store.insert(key.clone(), value.clone());
            b"+OK\r\n".into()
        }
        (b"GET", [key]) => match store.get(key) {
            Some(value) => {
                let mut answer = format!("${}\r\n", value.len()).into_bytes();
                answer.extend(value);
                answer.extend(b"\r\n");
                answer
            }
            None => b"$-1\r\n".into(),
        },
        (b"DEL", [key]) => number(i64::from(store.remove(key).is_some())),
        (b"INCRBY", [key, by]) => {
            let parse = |text: &[u8]| str::from_utf8(text).ok()?.parse::<i64>().ok();
            let before = store.get(key).map_or(Some(0), |value| parse(value));
            let Some(sum) = before.zip(parse(by)).and_then(|(a, b)| a.checked_add(b)) else {
                return b"-ERR value is not an integer or out of range\r\n".into();
            };
            store.insert(key.clone(), sum.to_string().into());
            number(sum)
        }
        _ => b"-ERR unknown command\r\n".into(),
    }
}

fn number(number: i64) -> Vec<u8> {
    let mut answer = String::new();
    let _ = write!(answer, ":{number}\r\n");
    answer.into()
}

/// `redis-server`, at a socket in a folder of its own; both are gone with this.
struct RealServer {
    _process: Child,
    folder: PathBuf,
    socket: PathBuf,
}

impl RealServer {
    fn start() -> io::Result<RealServer> {
        let name = format!("greenloom-redis-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let socket = folder.join("socket");
        greenloom::fs::create_dir_all(&folder)?;
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args([
                Path::new("--unixsocket"),
                &socket,
                Path::new("--dir"),
                &folder,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let process = process.inspect_err(|_| drop(std::fs::remove_dir_all(&folder)))?;
        let real = RealServer {
            _process: process,
            folder,
            socket,
        };
        for _ in 0..600 {
            if UnixStream::connect(&real.socket).is_ok() {
                return Ok(real);
            }
            greenloom::sleep(Duration::from_millis(50));
        }
        Err(io::Error::new(
            ErrorKind::TimedOut,
            "redis-server does not listen",
        ))
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
