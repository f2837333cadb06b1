//! A chat room in the file system: `cargo run --release --example unix_chat -- --serve /tmp/chat.sock`.
//!
//! Talk in it from other terminals, with `nc -U /tmp/chat.sock` or with this example and `--join PATH`, which sends
//! what it reads from a pipe or a file on its standard input. Each line goes to all others with the name of who said
//! it; the first line that one sends is the name. Without arguments it plays a room by itself: some guests talk, all
//! hear everything in the same order, and it ends with status 1 if they do not.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write, stdout};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use greenloom::channel::{Sender, bounded};
use greenloom::net::{Connection, Server, UnixListener, UnixStream};
use greenloom::sync::Mutex;

const HELP: &str = "\
usage: unix_chat [--serve PATH | --join PATH | --guests N]

  --serve PATH   open a room at this path, until Ctrl-C
  --join PATH    enter a room: sends the lines of the standard input, prints those of the others
  --guests N     play a room with so many guests (10)
  --help         show this";

/// Lines that a guest may be behind; one that is further behind is shown out.
const BEHIND: usize = 1000;
/// Bytes of a line; a longer one is taken for several.
const LONGEST: u64 = 4096;
/// Lines that each guest of a played room says.
const LINES: usize = 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => {
            let _ = writeln!(stdout(), "{HELP}");
            return ExitCode::SUCCESS;
        }
        ["--serve", path] => greenloom::try_run(|| serve(Path::new(path))),
        ["--join", path] => greenloom::try_run(|| join(Path::new(path))),
        [] => greenloom::try_run(|| play(10)),
        ["--guests", number] => match number.parse() {
            Ok(guests @ 1..=1000) => greenloom::try_run(|| play(guests)),
            _ => return refuse("--guests wants a number from 1 to 1000"),
        },
        _ => return refuse("these arguments do not go together"),
    };
    let done = done.map_err(|fault| io::Error::other(fault.to_string()));
    match done.and_then(|done| done) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unix_chat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(fault: &str) -> ExitCode {
    eprintln!("unix_chat: {fault}\n{HELP}");
    ExitCode::from(2)
}

/// Who is in the room, with the way to each.
#[derive(Default)]
struct Room {
    guests: HashMap<u64, Guest>,
    next: u64,
}

struct Guest {
    name: String,
    lines: Sender<Arc<str>>,
    /// To show the guest out: who does not read keeps its writer waiting for ever.
    stream: UnixStream,
}

impl Room {
    /// Gives a line to all. Under the lock of the room, so that all hear the same order; nobody is waited for.
    fn say(&mut self, line: &str) {
        let line: Arc<str> = line.into();
        self.guests.retain(|_, guest| {
            let is_heard = guest.lines.try_send(line.clone()).is_ok();
            if !is_heard {
                // It may be gone already.
                let _ = guest.stream.shutdown(Shutdown::Both);
            }
            is_heard
        });
    }
}

type SharedRoom = Arc<Mutex<Room>>;

fn lock(room: &SharedRoom) -> greenloom::sync::MutexGuard<'_, Room> {
    room.lock().expect("nobody panics in the room")
}

/// A guest's stay: this task reads, another one writes.
fn attend(room: &SharedRoom, connection: &Connection<UnixListener>) -> io::Result<()> {
    let mut reader = BufReader::new(connection.stream());
    let mut name = String::new();
    if read_line(&mut reader, &mut name)? == 0 {
        return Ok(());
    }
    let name = name.trim().to_owned();
    let (lines, to_write) = bounded::<Arc<str>>(BEHIND);
    let number = {
        let mut room = lock(room);
        let number = room.next;
        room.next += 1;
        let guest = Guest {
            name: name.clone(),
            lines,
            stream: connection.stream().try_clone()?,
        };
        room.guests.insert(number, guest);
        room.say(&format!("* {name} comes in\n"));
        number
    };
    let _leaves = Leaves { room, number };
    let mut writer = connection.stream().try_clone()?;
    let writing = greenloom::spawn(move || -> io::Result<()> {
        for line in to_write {
            writer.write_all(line.as_bytes())?;
        }
        // Shown out, or gone: the reader finds the end too.
        writer.shutdown(Shutdown::Both)
    });
    drop(writing);
    let mut line = String::new();
    while read_line(&mut reader, &mut line)? > 0 {
        lock(room).say(&format!("{name}: {}\n", line.trim_end()));
        line.clear();
    }
    Ok(())
}

/// A line, of which no more than so much is taken at a time: what has no end would fill the memory.
fn read_line(reader: &mut impl BufRead, line: &mut String) -> io::Result<usize> {
    let mut bytes = Vec::new();
    let read = reader
        .by_ref()
        .take(LONGEST)
        .read_until(b'\n', &mut bytes)?;
    line.push_str(&String::from_utf8_lossy(&bytes));
    Ok(read)
}

/// Takes the guest out of the room, whichever way it goes.
struct Leaves<'a> {
    room: &'a SharedRoom,
    number: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let mut room = lock(self.room);
        if let Some(guest) = room.guests.remove(&self.number) {
            room.say(&format!("* {} goes\n", guest.name));
        }
    }
}

/// The server of a new room.
fn open(path: &Path) -> io::Result<Server<UnixListener>> {
    Ok(Server::new(UnixListener::bind(path)?).name("room"))
}

fn serve(path: &Path) -> io::Result<()> {
    let server = open(path)?;
    let _removed = Removed(path.into());
    let _ = writeln!(stdout(), "a room at {}", path.display());
    let stopper = server.stopper();
    greenloom::spawn(move || {
        if greenloom::signal::ctrl_c().is_ok() {
            stopper.stop_now();
        }
    });
    let room = SharedRoom::default();
    let report = server.serve(move |connection| attend(&room, connection))?;
    let _ = writeln!(stdout(), "{} guests were there", report.accepted);
    Ok(())
}

/// The file of a socket, which nobody else removes.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn join(path: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(path)?;
    let (reader, mut writer) = stream.into_split();
    let hears = greenloom::spawn(move || -> io::Result<()> {
        for line in BufReader::new(reader).lines() {
            if writeln!(stdout(), "{}", line?).is_err() {
                break;
            }
        }
        Ok(())
    });
    // Standard input blocks its thread: not the worker's.
    while let Some(line) = greenloom::unblock(|| io::stdin().lines().next()) {
        writeln!(writer, "{}", line?)?;
    }
    drop(writer);
    hears.join().map_err(io::Error::other)?
}

/// A room with guests who all talk at the same time.
fn play(guests: usize) -> io::Result<()> {
    let name = format!("unix_chat-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let server = open(&path)?;
    let _removed = Removed(path.clone());
    let stopper = server.stopper();
    let room = SharedRoom::default();
    let present = room.clone();
    let serving = greenloom::spawn(move || server.serve(move |guest| attend(&room, guest)));
    let streams: io::Result<Vec<_>> = (0..guests)
        .map(|n| {
            let mut stream = UnixStream::connect(&path)?;
            writeln!(stream, "guest {n}")?;
            Ok(stream)
        })
        .collect();
    let streams = streams?;
    while lock(&present).guests.len() < guests {
        greenloom::sleep(std::time::Duration::from_millis(1));
    }
    let talks: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(n, stream)| greenloom::spawn(move || talk(n, stream, guests * LINES)))
        .collect();
    let heard: Result<Vec<_>, _> = talks.into_iter().map(|talk| talk.join()).collect();
    let heard: io::Result<Vec<_>> = heard.map_err(io::Error::other)?.into_iter().collect();
    let heard = heard?;
    stopper.stop();
    let report = serving.join().map_err(io::Error::other)??;
    let same = heard.iter().all(|lines| *lines == heard[0]);
    let _ = writeln!(
        stdout(),
        "{} guests said {} lines; they heard {}",
        report.accepted,
        heard[0].len(),
        if same { "the same" } else { "different things" }
    );
    match same && report.accepted == guests as u64 {
        true => Ok(()),
        false => Err(io::Error::other("the room did not work")),
    }
}

/// Says some lines and hears so many, those of all guests.
fn talk(guest: usize, stream: UnixStream, to_hear: usize) -> io::Result<Vec<String>> {
    for n in 0..LINES {
        writeln!(&mut &stream, "line {n} of {guest}")?;
        greenloom::yield_now();
    }
    BufReader::new(&stream)
        .lines()
        .filter(|line| !line.as_ref().is_ok_and(|line| line.starts_with('*')))
        .take(to_hear)
        .collect()
}
