//! Functions in processes of their own: `cargo run --example process_tour [-- PART...] [--real]`.
//!
//! Seen is how they start, live and end beside `main`; that nothing of one process is seen in another, and that
//! `main` is not run again; that no zombie is left, whoever is forgotten; and which children outlive their parent.

use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use greenloom::ipc::{self, Conn, Event, RecvError};
use greenloom::process::{Builder, Process, active_children};

use frame::{Clock, Fault, Part, check, say};

#[path = "tour/frame.rs"]
mod frame;

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    // A child does not come here, so this is said once.
    let _ = writeln!(io::stderr(), "gu?");
    let part = |name, about, show| Part { name, about, show };
    frame::run(
        "process_tour",
        &[
            part("basic", "two sons, waited for", basic),
            part("unjoined", "two sons that main does not wait for", unjoined),
            part("isolation", "each process has its own statics", isolation),
            part("zombies", "joined, forgotten or killed: no zombie", zombies),
            part(
                "daemons",
                "whose parent is killed, and whose parent ends",
                daemons,
            ),
        ],
    )
}

/// Works for a while, and until `seen` is set.
fn son((clock, seconds, seen): (Clock, f64, Event)) {
    let name = process_name();
    clock.sleep(seconds);
    // For the checks: not before main has done what it is to do.
    let _ = seen.wait();
    clock.say(format_args!("{name} ends"));
}

fn process_name() -> &'static str {
    greenloom::process::current_name().unwrap_or("main")
}

fn start_son(clock: Clock, seconds: f64, seen: &Event) -> Result<Process<()>, Fault> {
    let name = format!("son {seconds}");
    Ok(Builder::new()
        .name(name)
        .spawn(son, (clock, seconds, seen.clone()))?)
}

fn basic(clock: Clock) -> Result<(), Fault> {
    clock.say("main starts");
    let seen = Event::new();
    let sons = [start_son(clock, 1.0, &seen)?, start_son(clock, 2.0, &seen)?];
    let [first, second] = sons.each_ref().map(Process::is_alive);
    clock.say(format_args!("alive: {first} {second}"));
    check(first && second, "a son has ended before his time")?;
    seen.set()?;
    clock.say("main goes on");
    for son in &sons {
        son.wait();
    }
    let [first, second] = sons.each_ref().map(Process::is_alive);
    clock.say(format_args!("alive: {first} {second}"));
    check(!first && !second, "a son has ended and lives")?;
    check(clock.now() >= 2.0, "the second son was not waited for")?;
    for son in sons {
        son.join()?;
    }
    clock.say("main ends");
    Ok(())
}

/// They are no daemons, so the end of the program waits for them.
fn unjoined(clock: Clock) -> Result<(), Fault> {
    let seen = Event::new();
    drop(start_son(clock, 1.0, &seen)?);
    drop(start_son(clock, 2.0, &seen)?);
    clock.say("main says its last line");
    Ok(seen.set()?)
}

static NUMBER: AtomicU32 = AtomicU32::new(511);

fn change_number(to: u32) -> (u32, u32) {
    let before = NUMBER.swap(to, Ordering::Relaxed);
    (before, NUMBER.load(Ordering::Relaxed))
}

fn isolation(_: Clock) -> Result<(), Fault> {
    NUMBER.store(2944, Ordering::Relaxed);
    let (before, after) = Process::spawn(change_number, 1)?.join()?;
    say(format_args!("the child found {before} and left {after}"));
    let ours = NUMBER.load(Ordering::Relaxed);
    say(format_args!("the parent still has {ours}"));
    check(
        (before, after, ours) == (511, 1, 2944),
        "one process has changed another",
    )
}

fn zombies(_: Clock) -> Result<(), Fault> {
    for n in 0..10_u32 {
        let child = Process::spawn(|n: u32| n, n)?;
        match n % 3 {
            0 => check(child.join()? == n, "another value")?,
            1 => child.kill()?,
            _ => drop(child),
        }
    }
    let begun = Instant::now();
    while !active_children().is_empty() && begun.elapsed() < PATIENCE {
        greenloom::sleep(Duration::from_millis(1));
    }
    match count_zombies() {
        Some(left) => {
            say(format_args!("10 children, {left} zombies"));
            check(left == 0, "zombies are left")
        }
        None => {
            say("no /proc here: zombies are not counted");
            Ok(())
        }
    }
}

/// Children of this process that have ended and were not waited for.
fn count_zombies() -> Option<usize> {
    let own = process::id().to_string();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let zombies = processes.filter(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything: state, parent.
        let mut fields = stat
            .rsplit_once(") ")
            .map_or("", |(_, rest)| rest)
            .split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&own)
    });
    Some(zombies.count())
}

/// An end of a pipe: the other end learns when all who have it are gone.
type Sign = Conn<String>;

/// Never ends by itself.
fn spin((sign, name): (Sign, String)) {
    let _ = sign.send(&name);
    loop {
        std::hint::spin_loop();
    }
}

/// A son who is no daemon works to his end.
fn work((sign, clock): (Sign, Clock)) {
    let _ = sign.send(&"a son works".to_owned());
    clock.sleep(3.0);
    let _ = sign.send(&"the son has done his work".to_owned());
}

/// A parent of three daemons and a son. Returns, or waits to be killed.
fn parent((daemons, sons, clock, returns): (Sign, Sign, Clock, bool)) {
    let children = || -> Result<(), Fault> {
        for n in 1..=3 {
            let child = (daemons.clone(), format!("daemon {n} spins"));
            drop(Builder::new().daemon(true).spawn(spin, child)?);
        }
        drop(Process::spawn(work, (sons.clone(), clock))?);
        Ok(())
    };
    if let Err(fault) = children() {
        let _ = daemons.send(&fault.to_string());
    }
    if !returns {
        clock.sleep(1e6);
    }
}

fn daemons(clock: Clock) -> Result<(), Fault> {
    for (returns, how) in [(false, "is killed"), (true, "ends")] {
        let (daemons, theirs) = ipc::pipe::<String, String>()?;
        let (sons, works) = ipc::pipe::<String, String>()?;
        let process = Process::spawn(parent, (theirs, works, clock, returns))?;
        if !returns {
            for _ in 0..3 {
                say(daemons.recv_timeout(PATIENCE)?);
            }
        }
        // All have begun: one that had not would end with its parent.
        say(sons.recv_timeout(PATIENCE)?);
        if !returns {
            process.kill()?;
        }
        say(format_args!("the parent {how}"));
        let begun = Instant::now();
        let end = loop {
            match daemons.recv_timeout(PATIENCE) {
                // What they had said before the end.
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        check(
            matches!(end, RecvError::Closed),
            "a daemon outlives its parent",
        )?;
        say(format_args!(
            "all daemons are gone, {:?} later",
            begun.elapsed()
        ));
        say(sons.recv_timeout(PATIENCE)?);
        check(
            process.join().is_ok() == returns,
            "another end of the parent",
        )?;
    }
    Ok(())
}
