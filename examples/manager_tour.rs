//! Values that a manager serves to many processes, part by part: `cargo run --example manager_tour [-- PART...] [--real]`.
//!
//! Seen are ten processes that count down in one dict, under a lock, by a function of the manager's, and without either,
//! where updates are lost; letters that go through a managed queue, ended by its shutdown; and processes that have nothing
//! in common but an address and a key.

use std::path::PathBuf;
use std::process::ExitCode;

use greenloom::ipc::{
    Barrier, Dict, Event, Functions, JoinableQueue, Lock, Manager, ManagerServer,
};
use greenloom::process::{Process, ProcessPool};

use frame::{Clock, Fault, Part, check, say};

#[path = "tour/frame.rs"]
mod frame;

fn main() -> ExitCode {
    let part = |name, about, show| Part { name, about, show };
    frame::run(
        "manager_tour",
        &[
            part("counter", "ten processes count down in one dict", counter),
            part("queue", "letters through a managed queue", queue),
            part("address", "met by an address and a key", address),
        ],
    )
}

/// Turns any error into what crosses processes.
fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

type Counts = Dict<String, i64>;

/// In the manager's process, which runs them.
fn functions(functions: &mut Functions) {
    functions.value("add", |n: &mut i64, by: i64| *n += by);
}

/// Reads and writes, while nobody else does.
fn with_lock((counts, lock): (Counts, Lock)) -> Result<(), String> {
    let _guard = lock.acquire().map_err(text)?;
    decrement(&counts, || Ok(()))
}

/// One step of the manager's.
fn atomic(counts: Counts) -> Result<(), String> {
    counts.update("count", "add", &-1_i64).map_err(text)
}

/// Reads and writes, and in between the others do as well: here all have read before the first one writes.
fn bare((counts, all_have_read): (Counts, Barrier)) -> Result<(), String> {
    decrement(&counts, || all_have_read.wait().map(drop).map_err(text))
}

fn decrement(counts: &Counts, between: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let count = counts.get("count").map_err(text)?;
    between()?;
    let left = count.ok_or("no count")? - 1;
    counts.insert("count", &left).map_err(text).map(drop)
}

const COUNTERS: usize = 10;

/// Has ten processes do it; what is left of 100.
fn ten<A: Clone + serde::Serialize + serde::de::DeserializeOwned>(
    counts: &Counts,
    f: fn(A) -> Result<(), String>,
    argument: A,
) -> Result<i64, Fault> {
    counts.insert("count", &100)?;
    let mut children = Vec::new();
    for _ in 0..COUNTERS {
        children.push(Process::spawn(f, argument.clone())?);
    }
    for child in children {
        child.join()??;
    }
    counts.get("count")?.ok_or_else(|| "no count".into())
}

fn counter(_: Clock) -> Result<(), Fault> {
    let manager = Manager::start_with(functions)?;
    let counts: Counts = manager.dict()?;
    let locked = ten(&counts, with_lock, (counts.clone(), manager.lock()?))?;
    say(format_args!("with a lock: {{'count': {locked}}}"));
    let stepped = ten(&counts, atomic, counts.clone())?;
    say(format_args!("in one step: {{'count': {stepped}}}"));
    let together = manager.barrier(COUNTERS)?;
    let lost = ten(&counts, bare, (counts.clone(), together))?;
    say(format_args!(
        "with neither: {{'count': {lost}}}, {} updates lost",
        lost - 90
    ));
    check((locked, stepped) == (90, 90), "updates were lost")?;
    check(lost == 99, "no update was lost")
}

type Letters = (JoinableQueue<char>, Clock);

fn write((queue, clock): Letters) -> Result<usize, String> {
    let letters = ['A', 'B', 'C', 'D'];
    for (n, letter) in letters.into_iter().enumerate() {
        clock.say(format_args!("put {letter} to queue!"));
        queue.put(&letter).map_err(text)?;
        // Now longer, now shorter: the reader is sometimes behind and sometimes waits.
        clock.sleep([0.7, 0.0, 1.3, 0.2][n]);
    }
    // Nothing more will come. That the queue is empty would not say that.
    queue.shutdown(false).map_err(text)?;
    Ok(letters.len())
}

fn read((queue, clock): Letters) -> Result<Vec<char>, String> {
    let mut letters = Vec::new();
    while let Ok(letter) = queue.get() {
        clock.say(format_args!("Get {letter} from Queue"));
        letters.push(letter);
        clock.sleep(0.5);
        queue.task_done().map_err(text)?;
    }
    Ok(letters)
}

fn queue(clock: Clock) -> Result<(), Fault> {
    let manager = Manager::start()?;
    let queue = manager.queue()?;
    let pool = ProcessPool::new(2)?;
    let writer = pool.apply_async(write, (queue.clone(), clock))?;
    let reader = pool.apply_async(read, (queue.clone(), clock))?;
    let written = writer.get()??;
    let letters = reader.get()??;
    queue.join()?;
    check(
        written == 4 && letters == ['A', 'B', 'C', 'D'],
        "letters were lost",
    )?;
    say("All data is written and read out");
    Ok(())
}

/// What all of them know.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Meeting {
    path: PathBuf,
    key: Vec<u8>,
}

/// Serves until it is told that all is done.
fn host((meeting, is_open, is_over): (Meeting, Event, Event)) -> Result<(), String> {
    let server = ManagerServer::bind(&meeting.path, &meeting.key).map_err(text)?;
    is_open.set().map_err(text)?;
    is_over.wait().map_err(text)?;
    let guests = server.manager().named("guests").list::<String>();
    let guests = guests.and_then(|guests| guests.to_vec()).map_err(text)?;
    say(format_args!("the host has met {guests:?}"));
    Ok(())
}

fn guest((meeting, name): (Meeting, String)) -> Result<usize, String> {
    let manager = Manager::connect(&meeting.path, &meeting.key).map_err(text)?;
    let guests = manager.named("guests").list().map_err(text)?;
    guests.push(&name).map_err(text)?;
    guests.len().map_err(text)
}

fn address(_: Clock) -> Result<(), Fault> {
    let folder = std::env::temp_dir().join(format!("manager_tour-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let meeting = Meeting {
        path: folder.join("meeting.socket"),
        key: b"what a stranger does not know".to_vec(),
    };
    let met = meet(&meeting);
    std::fs::remove_dir_all(folder)?;
    met
}

fn meet(meeting: &Meeting) -> Result<(), Fault> {
    let (is_open, is_over) = (Event::new(), Event::new());
    let argument = (meeting.clone(), is_open.clone(), is_over.clone());
    let host = Process::spawn(host, argument)?;
    is_open.wait()?;
    let ann = Process::spawn(guest, (meeting.clone(), "Ann".to_owned()))?.join()??;
    let bob = Process::spawn(guest, (meeting.clone(), "Bob".to_owned()))?.join()??;
    let stranger = Meeting {
        key: b"a guess".to_vec(),
        ..meeting.clone()
    };
    let turned_away = Process::spawn(guest, (stranger, "Eve".to_owned()))?.join()?;
    say(format_args!("a stranger: {turned_away:?}"));
    is_over.set()?;
    host.join()??;
    check((ann, bob) == (1, 2), "they have not met")?;
    check(turned_away.is_err(), "the stranger was let in")
}
