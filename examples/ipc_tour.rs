//! What processes say to one another, part by part: `cargo run --example ipc_tour [-- PART...] [--real]`.
//!
//! Seen are pipes between parent and child and between two children, a pipe that is full, a card that goes round by
//! a queue, producers and consumers that end by sentinels and without, events, semaphores, conditions and barriers
//! across processes, and all of it together.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use greenloom::ipc::{self, Conn, Event, Queue, SendError};
use greenloom::process::{Builder, Process};

use frame::{Clock, Fault, Part, check, say};

#[path = "ipc_tour/food.rs"]
mod food;
#[path = "tour/frame.rs"]
mod frame;
#[path = "ipc_tour/sync.rs"]
mod sync;

fn main() -> ExitCode {
    let part = |name, about, show| Part { name, about, show };
    frame::run(
        "ipc_tour",
        &[
            part("pipe", "a list out, a number back", pipe),
            part("children", "a pipe between two children", children),
            part(
                "backpressure",
                "a full pipe keeps its sender waiting",
                backpressure,
            ),
            part("queue", "three processes pass a card", queue),
            part(
                "sentinels",
                "producers, consumers, and a sign of the end for each",
                food::sentinels,
            ),
            part(
                "joinable",
                "the same, ended when all is eaten",
                food::joinable,
            ),
            part("sync", "event, semaphore, condition, barrier", sync::show),
            part(
                "everything",
                "queue, pipe, events and a manager between two",
                sync::everything,
            ),
        ],
    )
}

/// Receives a list and answers with a number.
fn answer((main, clock, waits): (Conn<u32, Vec<u32>>, Clock, Event)) -> Result<(), String> {
    clock.say("son waits");
    waits.set().map_err(|error| error.to_string())?;
    let list = main.recv().map_err(|error| error.to_string())?;
    clock.say(format_args!("son gets {list:?}"));
    clock.sleep(1.0);
    clock.say("son sends 142857");
    main.send(&142_857).map_err(|error| error.to_string())
}

fn pipe(clock: Clock) -> Result<(), Fault> {
    let (ours, theirs) = ipc::pipe()?;
    let waits = Event::new();
    let son = Process::spawn(answer, (theirs, clock, waits.clone()))?;
    waits.wait()?;
    clock.sleep(1.0);
    check(!ours.poll(Duration::ZERO)?, "something has come already")?;
    clock.say("main sends the list");
    ours.send(&vec![1, 2, 3])?;
    let number = ours.recv()?;
    clock.say(format_args!("main receives {number}"));
    son.join()??;
    check(number == 142_857, "another number")?;
    check(ours.recv().is_err(), "the son is gone and sends")
}

fn send_early((pipe, clock, sent): (Conn<String>, Clock, Event)) {
    clock.sleep(2.0);
    let outcome = pipe.send(&"hello".to_owned());
    clock.say(format_args!("son 1 has sent: {outcome:?}"));
    let _ = sent.set();
}

fn read_late((pipe, clock, sent): (Conn<String>, Clock, Event)) -> bool {
    // The send is over, and nobody has read.
    let _ = sent.wait();
    clock.sleep(1.0);
    let got = pipe.recv();
    clock.say(format_args!("son 2 reads: {got:?}"));
    got.is_ok_and(|text| text == "hello")
}

fn children(clock: Clock) -> Result<(), Fault> {
    let (one, other) = ipc::pipe()?;
    let sent = Event::new();
    let first = Process::spawn(send_early, (one, clock, sent.clone()))?;
    let second = Process::spawn(read_late, (other, clock, sent))?;
    first.join()?;
    check(second.join()?, "something else was read")
}

/// Counts what it receives, to the end.
fn count(pipe: Conn<(), Vec<u8>>) -> u64 {
    let mut messages = 0;
    while pipe.recv().is_ok() {
        messages += 1;
    }
    messages
}

fn backpressure(_: Clock) -> Result<(), Fault> {
    let (ours, theirs) = ipc::pipe()?;
    let message = vec![7; 1000];
    let mut sent = 0_u64;
    loop {
        match ours.send_timeout(&message, Duration::ZERO) {
            Ok(()) => sent += 1,
            Err(SendError::TimedOut) => break,
            Err(error) => return Err(error.into()),
        }
    }
    say(format_args!("blocked after {} bytes", sent * 1000));
    check(sent > 0, "there is no room at all")?;

    // A task that waits for room holds up no other.
    let (ticks, has_sent) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (counted, is_over) = (ticks.clone(), has_sent.clone());
    let counter = greenloom::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            counted.fetch_add(1, Ordering::Relaxed);
            greenloom::sleep(Duration::from_millis(1));
        }
    });
    let sender = greenloom::spawn(move || {
        let outcome = ours.send(&message);
        has_sent.store(true, Ordering::Relaxed);
        outcome
    });
    while ticks.load(Ordering::Relaxed) < 10 {
        greenloom::sleep(Duration::from_millis(1));
    }
    check(!sender.is_finished(), "a full pipe has taken more")?;
    say("another task goes on meanwhile");
    let reader = Process::spawn(count, theirs)?;
    sender.join()??;
    say("resumes when somebody reads");
    counter.join()?;
    let read = reader.join()?;
    say(format_args!("{} sent, {read} read", sent + 1));
    check(read == sent + 1, "messages were lost")
}

/// What a player needs: the queue, and whom to wait for.
type Seat = (Queue<String>, Clock, Event, Event);

/// Asks for the card when it is his time, keeps it for a while and passes it on.
fn play((cards, clock, before, asks): Seat) -> Result<(), String> {
    let name = greenloom::process::current_name().unwrap_or("main");
    let text = |error: &dyn std::error::Error| error.to_string();
    before.wait().map_err(|error| text(&error))?;
    clock.sleep(3.0);
    clock.say(format_args!("{name} asks for the card"));
    asks.set().map_err(|error| text(&error))?;
    let card = cards.get().map_err(|error| text(&error))?;
    clock.say(format_args!("{name} gets {card}"));
    clock.sleep(10.0);
    clock.say(format_args!("{name} puts {card}"));
    cards.put(&card).map_err(|error| text(&error))
}

fn queue(clock: Clock) -> Result<(), Fault> {
    clock.say("main starts");
    let cards = Queue::new();
    let turns = [(); 4].map(|()| Event::new());
    let mut players = Vec::new();
    for n in 1..=3 {
        let seat = (cards.clone(), clock, turns[n - 1].clone(), turns[n].clone());
        let player = Builder::new().name(format!("son {n}"));
        players.push(player.spawn(play, seat)?);
    }
    clock.say("main puts the card");
    cards.put(&"the card".to_owned())?;
    turns[0].set()?;
    for player in players {
        player.join()??;
    }
    let card = cards.get()?;
    clock.say(format_args!("main has {card} again"));
    check(cards.is_empty()?, "there are two cards")
}
