//! Three producers and two consumers, each a process: ended by sentinels, or by an account of what is eaten.

use std::collections::BTreeSet;

use greenloom::ipc::{Disconnected, GetError, JoinableQueue, PutError, Queue};
use greenloom::process::{Builder, Process};

use crate::frame::{Clock, Fault, check, say};

const FOODS: [&str; 3] = ["bun", "bone", "swill"];
const EACH: usize = 10;

/// What was eaten, by whom, goes here.
type Eaten = Queue<(String, String)>;

fn name() -> String {
    greenloom::process::current_name()
        .unwrap_or("main")
        .to_owned()
}

fn cook((food, table): (String, Queue<Option<String>>)) -> Result<(), String> {
    for n in 0..EACH {
        let item = format!("{food}{n}");
        say(format_args!("{item} was produced"));
        let put: Result<(), PutError> = table.put(&Some(item));
        put.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn eat((table, eaten): (Queue<Option<String>>, Eaten)) -> Result<(), GetError> {
    while let Some(item) = table.get()? {
        say(format_args!("{} ate {item}", name()));
        let _ = eaten.put(&(item, name()));
    }
    Ok(())
}

pub(crate) fn sentinels(_: Clock) -> Result<(), Fault> {
    let (table, eaten) = (Queue::new(), Queue::new());
    let mut cooks = Vec::new();
    for food in FOODS {
        cooks.push(Process::spawn(cook, (food.to_owned(), table.clone()))?);
    }
    let mut guests = Vec::new();
    for n in 1..=2 {
        let guest = Builder::new().name(format!("guest {n}"));
        guests.push(guest.spawn(|of| eat(of).is_ok(), (table.clone(), eaten.clone()))?);
    }
    for cook in cooks {
        cook.join()??;
    }
    // One for each: whoever takes it goes home.
    for _ in &guests {
        table.put(&None)?;
    }
    for guest in guests {
        check(guest.join()?, "a guest has left before the end")?;
    }
    count(&eaten)
}

fn count(eaten: &Eaten) -> Result<(), Fault> {
    let mut items = BTreeSet::new();
    while !eaten.is_empty()? {
        items.insert(eaten.get()?.0);
    }
    say(format_args!(
        "{} made, {} eaten",
        FOODS.len() * EACH,
        items.len()
    ));
    check(
        items.len() == FOODS.len() * EACH,
        "not everything was eaten",
    )
}

fn cook_and_wait((food, table): (String, JoinableQueue<String>)) -> Result<(), String> {
    for n in 0..EACH {
        let item = format!("{food}{n}");
        say(format_args!("{item} was produced"));
        table.put(&item).map_err(|error| error.to_string())?;
    }
    let joined: Result<(), Disconnected> = table.join();
    joined.map_err(|error| error.to_string())
}

/// Without end; a daemon.
fn eat_on((table, eaten): (JoinableQueue<String>, Eaten)) {
    while let Ok(item) = table.get() {
        say(format_args!("{} ate {item}", name()));
        let _ = eaten.put(&(item, name()));
        let _ = table.task_done();
    }
}

pub(crate) fn joinable(_: Clock) -> Result<(), Fault> {
    let (table, eaten) = (JoinableQueue::new(), Queue::new());
    for n in 1..=2 {
        let guest = Builder::new().name(format!("guest {n}")).daemon(true);
        drop(guest.spawn(eat_on, (table.clone(), eaten.clone()))?);
    }
    let mut cooks = Vec::new();
    for food in FOODS {
        cooks.push(Process::spawn(
            cook_and_wait,
            (food.to_owned(), table.clone()),
        )?);
    }
    for cook in cooks {
        cook.join()??;
    }
    count(&eaten)?;
    match table.task_done() {
        Err(error) => say(format_args!("once too often: {error}")),
        Ok(()) => return Err("more was done than there was".into()),
    }
    Ok(())
}
