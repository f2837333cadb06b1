//! A chat server: what a guest says is told to all others: `cargo run --example chat_server -- [--port N]`.
//!
//! Join with `nc 127.0.0.1 PORT` in several terminals; `/name NAME` and `/quit` are understood. A guest that
//! reads too slowly is told how many lines it has missed, and in the end let go; nobody waits for it. Ctrl-C
//! says farewell to everybody and ends the server.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::channel;
use greenloom::channel::broadcast::{self, RecvError};
use greenloom::net::{Shutdown, TcpListener, TcpStream};
use greenloom::signal::{Signal, Signals};
use greenloom::sync::Mutex;
use greenloom::{RunError, scope, sleep};

const HELP: &str = "\
usage: chat_server [--port N] [--backlog N] [--patience SECONDS]

  --port N             where it listens, on 127.0.0.1; 0 for any port (7878)
  --backlog N          lines that are kept for guests who read slowly (100)
  --patience SECONDS   how long a guest may be behind before it is let go (10)
  --help               show this";

/// A longer line is not listened to: a guest must not fill our memory.
const LONGEST_LINE: u64 = 1024;
const LONGEST_NAME: usize = 20;
const MOST_GUESTS: usize = 1000;

#[derive(Clone, Copy)]
struct Settings {
    port: u16,
    backlog: usize,
    patience: Duration,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if matches!(words.first().map(String::as_str), Some("--help" | "-h")) {
        tell(HELP);
        return ExitCode::SUCCESS;
    }
    let settings = match parse(&words) {
        Ok(settings) => settings,
        Err(fault) => {
            eprintln!("chat_server: {fault}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let served = greenloom::try_run(|| serve(settings));
    match served {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(RunError::Io(error)) => {
            eprintln!("chat_server: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("chat_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[String]) -> Result<Settings, String> {
    let mut settings = Settings {
        port: 7878,
        backlog: 100,
        patience: Duration::from_secs(10),
    };
    for option in words.chunks(2) {
        let limit = match option[0].as_str() {
            "--port" => 0..=u64::from(u16::MAX),
            "--backlog" => 1..=1_000_000,
            "--patience" => 1..=86_400,
            other => return Err(format!("there is no option `{other}`")),
        };
        let value = option.get(1).and_then(|value| value.parse::<u64>().ok());
        let value = value.filter(|value| limit.contains(value)).ok_or_else(|| {
            let (least, most) = limit.into_inner();
            format!("{} wants a number from {least} to {most}", option[0])
        })?;
        match option[0].as_str() {
            "--port" => settings.port = value as u16,
            "--backlog" => settings.backlog = value as usize,
            _ => settings.patience = Duration::from_secs(value),
        }
    }
    Ok(settings)
}

/// To standard output, which may be closed.
fn tell(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// What everybody gets; a clone for each.
#[derive(Clone)]
struct Line {
    /// Who needs not be told.
    from: usize,
    text: Arc<str>,
}

/// What all tasks share.
struct Room {
    settings: Settings,
    lines: broadcast::Sender<Line>,
    /// Who is here.
    guests: Mutex<HashMap<usize, Arc<TcpStream>>>,
    next_guest: AtomicUsize,
}

fn serve(settings: Settings) -> io::Result<()> {
    // From here on Ctrl-C is ours: nobody who has read our first line can come too early with it.
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let listener = TcpListener::bind(("127.0.0.1", settings.port))?;
    tell(&format!("listening on {}", listener.local_addr()?));
    let room = Room {
        settings,
        lines: channel::broadcast(settings.backlog).0,
        guests: Mutex::default(),
        next_guest: AtomicUsize::new(1),
    };
    scope(|guests| {
        guests.spawn(|| {
            if let Err(error) = signals.recv() {
                eprintln!("chat_server: cannot wait for Ctrl-C: {error}");
            }
            listener.close();
            room.close();
        });
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => drop(guests.spawn(|| welcome(&room, stream))),
                Err(error) => {
                    // Descriptors are short, perhaps: some guest will leave.
                    eprintln!("chat_server: cannot accept: {error}");
                    sleep(Duration::from_millis(100));
                }
            }
        }
    });
    tell("everybody is gone");
    Ok(())
}

impl Room {
    fn say(&self, from: usize, text: String) {
        // An error says that nobody is here.
        let _ = self.lines.send(Line {
            from,
            text: text.into(),
        });
    }

    /// Sends everybody away: first the politely, then those who do not go.
    fn close(&self) {
        let count = self.guests.lock().unwrap().len();
        tell(&format!("stops; farewell to {count} guests"));
        self.lines.close();
        // Each guest's writer says farewell when it finds that the channel has ended, and each guest drops
        // its receiver when it goes.
        let _ = self.lines.closed_timeout(self.settings.patience);
        let rude: Vec<_> = self.guests.lock().unwrap().values().cloned().collect();
        for stream in rude {
            stream.close();
        }
    }

    fn enter(&self, stream: &Arc<TcpStream>) -> Option<usize> {
        let mut guests = self.guests.lock().unwrap();
        if guests.len() >= MOST_GUESTS {
            return None;
        }
        // Numbers only; nothing else is ordered by them.
        let id = self.next_guest.fetch_add(1, Ordering::Relaxed);
        guests.insert(id, stream.clone());
        Some(id)
    }
}

/// Why a guest is here no more.
enum Leave {
    Quit,
    TooLong,
    Gone,
}

fn welcome(room: &Room, stream: TcpStream) {
    let stream = Arc::new(stream);
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(room.settings.patience));
    let Some(id) = room.enter(&stream) else {
        let _ = (&*stream).write_all(b"* there is no room, try again later\n");
        return;
    };
    let lines = room.lines.subscribe();
    if lines.is_closed() {
        // Too late for `Room::close` to see this one, perhaps.
        room.guests.lock().unwrap().remove(&id);
        return;
    }
    let others = room.lines.receiver_count() - 1;
    let mut name = format!("guest{id}");
    let greeting = format!("* you are {name}; {others} others are here\n");
    if (&*stream).write_all(greeting.as_bytes()).is_ok() {
        room.say(id, format!("* {name} is here\n"));
        let leave = scope(|tasks| {
            let writer = tasks.spawn(|| {
                if let Err(error) = write(room, &stream, &lines, id) {
                    if error.kind() == io::ErrorKind::TimedOut {
                        tell(&format!("guest {id} does not read: it is let go"));
                    }
                    // So that the reader ends as well.
                    stream.close();
                }
            });
            let leave = read(room, &stream, id, &mut name);
            // Those who stay until the end are said farewell to.
            if !room.lines.is_closed() {
                writer.cancel();
            }
            leave
        });
        let last_word = match leave {
            Leave::Quit => "* bye\n",
            Leave::TooLong => "* that line is too long\n",
            Leave::Gone => "",
        };
        let _ = (&*stream).write_all(last_word.as_bytes());
    }
    drop(lines);
    room.guests.lock().unwrap().remove(&id);
    room.say(id, format!("* {name} has left\n"));
}

/// Tells a guest what the others say, until it reads no more or the server ends.
fn write(
    room: &Room,
    mut stream: &TcpStream,
    lines: &broadcast::Receiver<Line>,
    id: usize,
) -> io::Result<()> {
    let patience = room.settings.patience;
    // When it began to be behind.
    let mut behind = Instant::now();
    loop {
        let was_abreast = lines.is_empty();
        let received = lines.recv();
        if was_abreast {
            behind = Instant::now();
        }
        let text = match received {
            Ok(line) if line.from == id => continue,
            Ok(line) => line.text,
            Err(RecvError::Lagged(missed)) => format!("* you have missed {missed} lines\n").into(),
            Err(RecvError::Disconnected) => {
                stream.write_all(b"* the server stops. Farewell!\n")?;
                // Its own end of the connection is the guest's to close.
                return stream.shutdown(Shutdown::Write);
            }
        };
        stream.write_all(text.as_bytes())?;
        // One that reads a little now and then never lets a write wait for as long as that.
        if !lines.is_empty() && behind.elapsed() > patience {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Tells the others what a guest says, until it leaves.
fn read(room: &Room, stream: &TcpStream, id: usize, name: &mut String) -> Leave {
    let mut input = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = input.by_ref().take(LONGEST_LINE + 1);
        match limited.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return Leave::Gone,
            Ok(got) if got as u64 > LONGEST_LINE => return Leave::TooLong,
            Ok(_) => {}
        }
        // What moves another guest's cursor is left out.
        let text = String::from_utf8_lossy(&bytes);
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        match text.trim().split_once(' ').unwrap_or((text.trim(), "")) {
            ("", _) => {}
            ("/quit", _) => return Leave::Quit,
            ("/name", wanted) => rename(room, stream, id, name, wanted.trim()),
            _ => room.say(id, format!("{name}: {}\n", text.trim())),
        }
    }
}

fn rename(room: &Room, mut stream: &TcpStream, id: usize, name: &mut String, wanted: &str) {
    let is_good = (1..=LONGEST_NAME).contains(&wanted.chars().count())
        && wanted.chars().all(char::is_alphanumeric);
    if is_good {
        room.say(id, format!("* {name} is now {wanted}\n"));
        *name = wanted.to_owned();
    } else {
        // A failure shows in the next read, or says that the writer is at it: a guest who does not read.
        let _ = stream.write_all(b"* a name has letters and digits, 20 at most\n");
    }
}
