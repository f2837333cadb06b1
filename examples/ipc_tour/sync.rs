//! Locks and signs across processes: who may go on, and when.

use greenloom::ipc::{
    self, Barrier, Condition, Conn, Dict, Event, List, Manager, Queue, Semaphore,
};
use greenloom::process::Process;

use crate::frame::{Clock, Fault, check, say};

/// Turns any error into what crosses processes.
fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

pub(crate) fn show(clock: Clock) -> Result<(), Fault> {
    event()?;
    semaphore(clock)?;
    condition()?;
    barrier()
}

fn obey((go, stopped, answers): (Event, Event, Queue<bool>)) -> Result<(), String> {
    go.wait().map_err(text)?;
    answers.put(&true).map_err(text)?;
    stopped.wait().map_err(text)?;
    // Main has cleared the first event.
    answers.put(&go.is_set().map_err(text)?).map_err(text)
}

fn event() -> Result<(), Fault> {
    let (go, stopped, answers) = (Event::new(), Event::new(), Queue::new());
    let mut children = Vec::new();
    for _ in 0..3 {
        let argument = (go.clone(), stopped.clone(), answers.clone());
        children.push(Process::spawn(obey, argument)?);
    }
    check(answers.is_empty()?, "went on before it was told to")?;
    go.set()?;
    let begun = [answers.get()?, answers.get()?, answers.get()?];
    go.clear()?;
    stopped.set()?;
    for child in children {
        child.join()??;
    }
    let cleared = [answers.get()?, answers.get()?, answers.get()?];
    say("event: set, three went on; cleared, three saw it");
    check(
        begun == [true; 3] && cleared == [false; 3],
        "the event was not seen",
    )
}

/// Says when it comes in and when it goes: the queue has taken it before the next step is done.
fn enter((room, clock, doors): (Semaphore, Clock, Queue<i32>)) -> Result<(), String> {
    for _ in 0..3 {
        let permit = room.acquire().map_err(text)?;
        doors.put(&1).map_err(text)?;
        clock.sleep(0.1);
        doors.put(&-1).map_err(text)?;
        drop(permit);
    }
    Ok(())
}

fn semaphore(clock: Clock) -> Result<(), Fault> {
    const ROOM: u64 = 2;
    let (room, doors) = (Semaphore::new(ROOM), Queue::new());
    let mut children = Vec::new();
    for _ in 0..5 {
        children.push(Process::spawn(enter, (room.clone(), clock, doors.clone()))?);
    }
    for child in children {
        child.join()??;
    }
    let (mut inside, mut most) = (0, 0);
    while !doors.is_empty()? {
        inside += doors.get()?;
        most = most.max(inside);
    }
    say(format_args!(
        "semaphore: five processes, {most} inside at the most, {inside} in the end"
    ));
    check(
        inside == 0 && (1..=ROOM as i32).contains(&most),
        "too many inside",
    )?;
    check(room.available_permits()? == ROOM, "a permit is missing")
}

fn stand_by(
    (condition, arrived, woken): (Condition, Queue<u32>, Queue<u32>),
) -> Result<(), String> {
    let mut guard = condition.acquire().map_err(text)?;
    // Whoever hears of this and then gets the lock finds this process waiting.
    arrived.put(&1).map_err(text)?;
    guard.wait().map_err(text)?;
    woken.put(&1).map_err(text)
}

fn condition() -> Result<(), Fault> {
    let (condition, arrived, woken) = (Condition::new(), Queue::new(), Queue::new());
    let mut children = Vec::new();
    for _ in 0..3 {
        let argument = (condition.clone(), arrived.clone(), woken.clone());
        children.push(Process::spawn(stand_by, argument)?);
    }
    for _ in 0..3 {
        arrived.get()?;
    }
    let guard = condition.acquire()?;
    let one = guard.notify_one()?;
    drop(guard);
    woken.get()?;
    let guard = condition.acquire()?;
    let rest = guard.notify_all()?;
    drop(guard);
    for child in children {
        child.join()??;
    }
    say(format_args!(
        "condition: {one} woken, then the other {rest}"
    ));
    check((one, rest) == (1, 2), "others were woken")
}

fn meet((barrier, log): (Barrier, Queue<char>)) -> Result<usize, String> {
    log.put(&'<').map_err(text)?;
    let place = barrier.wait().map_err(text)?;
    log.put(&'>').map_err(text)?;
    Ok(place)
}

fn barrier() -> Result<(), Fault> {
    let (barrier, log) = (Barrier::new(3), Queue::new());
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(Process::spawn(meet, (barrier.clone(), log.clone()))?);
    }
    let mut places = Vec::new();
    for child in children {
        places.push(child.join()??);
    }
    places.sort_unstable();
    let mut order = String::new();
    while !log.is_empty()? {
        order.push(log.get()?);
    }
    say(format_args!("barrier: three came and went: {order}"));
    check(
        order == "<<<>>>" && places == [0, 1, 2],
        "somebody did not wait",
    )
}

/// What each of the two holds: a queue, its end of a pipe, its event and the other's, and what a manager serves.
type Side = (Queue<u32>, Conn<u32>, Event, Event, Shared);

type Shared = (Dict<String, u32>, List<String>);

/// Puts 0 to 9 into the queue, and its own ten into the pipe before it reads the other's.
fn a((queue, pipe, mine, theirs, shared): Side) -> Result<(), String> {
    for n in 0..10 {
        queue.put(&n).map_err(text)?;
    }
    for n in 40..50 {
        pipe.send(&n).map_err(text)?;
    }
    mine.set().map_err(text)?;
    theirs.wait().map_err(text)?;
    for _ in 20..30 {
        say(format_args!("A Process:{}", pipe.recv().map_err(text)?));
    }
    let (dict, list) = shared;
    dict.insert("1", &1).map_err(text)?;
    list.push(&"2".to_owned()).map_err(text)
}

fn b((queue, pipe, mine, theirs, shared): Side) -> Result<(), String> {
    for _ in 0..10 {
        say(queue.get().map_err(text)?);
    }
    for n in 20..30 {
        pipe.send(&n).map_err(text)?;
    }
    mine.set().map_err(text)?;
    theirs.wait().map_err(text)?;
    for _ in 40..50 {
        say(format_args!("B Process:{}", pipe.recv().map_err(text)?));
    }
    let (dict, list) = shared;
    dict.insert("2", &2).map_err(text)?;
    list.push(&"2".to_owned()).map_err(text)
}

pub(crate) fn everything(clock: Clock) -> Result<(), Fault> {
    let queue = Queue::new();
    let (one, other) = ipc::pipe()?;
    let (of_a, of_b) = (Event::new(), Event::new());
    let manager = Manager::start()?;
    let shared: Shared = (manager.dict()?, manager.list()?);
    let side = (
        queue.clone(),
        one,
        of_a.clone(),
        of_b.clone(),
        shared.clone(),
    );
    let first = Process::spawn(a, side)?;
    let second = Process::spawn(b, (queue, other, of_b, of_a, shared.clone()))?;
    first.join()??;
    second.join()??;
    // Whichever of the two came first.
    let mut items = shared.0.items()?;
    items.sort_unstable();
    let texts: Vec<String> = items
        .iter()
        .map(|(key, value)| format!("'{key}': {value}"))
        .collect();
    say(format_args!("{{{}}}", texts.join(", ")));
    let list = shared.1.to_vec()?;
    let texts: Vec<String> = list.iter().map(|item| format!("'{item}'")).collect();
    say(format_args!("[{}]", texts.join(", ")));
    say(format_args!("multiple process Cost:{:.2}", clock.now()));
    let pairs = items.iter().map(|(key, value)| (key.as_str(), *value));
    check(pairs.eq([("1", 1), ("2", 2)]), "the dict lacks something")?;
    check(list == ["2", "2"], "the list lacks something")
}
