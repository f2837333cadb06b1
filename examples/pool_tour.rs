//! A pool of worker processes, part by part: `cargo run --example pool_tour [-- PART...] [--real]`.
//!
//! Seen is how four tasks share three workers; what a worker keeps from task to task; how results come back, and
//! failures; and a small crawler whose pages are parsed by callbacks in this process.

use std::collections::BTreeSet;
use std::process::{self, ExitCode};
use std::sync::Mutex;
use std::time::Duration;

use greenloom::ipc::{Barrier, Event};
use greenloom::process::{ProcessPool, TaskError};

use frame::{Clock, Fault, Part, check, say};

#[path = "pool_tour/crawler.rs"]
mod crawler;
#[path = "tour/frame.rs"]
mod frame;

fn main() -> ExitCode {
    let part = |name, about, show| Part { name, about, show };
    frame::run(
        "pool_tour",
        &[
            part("basic", "four tasks of a second, three workers", basic),
            part("state", "what a worker keeps from task to task", state),
            part(
                "initializer",
                "each worker begins with a call of its own",
                initializer,
            ),
            part(
                "results",
                "apply, a handle, its value as often as wanted",
                results,
            ),
            part("apply", "one at a time, or all at once", apply),
            part("crash", "four ways to fail", crash),
            part("crawler", "workers fetch, callbacks parse", crawler::show),
        ],
    )
}

/// Who ran a task, from when to when.
type Run = (u32, f64, f64);

fn task((n, clock): (u32, Clock)) -> Run {
    let begun = clock.now();
    clock.say(format_args!("Run task {n} ({})...", process::id()));
    clock.sleep(1.0);
    let ended = clock.now();
    clock.say(format_args!("Task {n} runs {:.2} seconds.", ended - begun));
    (process::id(), begun, ended)
}

fn basic(clock: Clock) -> Result<(), Fault> {
    clock.say(format_args!("Parent process {}.", process::id()));
    let pool = ProcessPool::new(3)?;
    let tasks = (1..=4).map(|n| pool.apply_async(task, (n, clock)));
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    clock.say("Waiting for all subprocesses done...");
    check(pool.join().is_err(), "joined before it was closed")?;
    pool.close();
    check(
        pool.submit(task, (5, clock)).is_err(),
        "takes a task when closed",
    )?;
    pool.join()?;
    clock.say("All subprocesses done.");
    let runs = tasks.iter().map(|task| task.get());
    let runs = runs.collect::<Result<Vec<Run>, _>>()?;
    let pids: BTreeSet<u32> = runs.iter().map(|run| run.0).collect();
    check(pids.len() <= 3, "more workers than three")?;
    check(!pids.contains(&process::id()), "a task ran here")?;
    // The last had to wait for the first worker that was done.
    let first_end = runs[..3]
        .iter()
        .map(|run| run.2)
        .fold(f64::INFINITY, f64::min);
    say(format_args!(
        "task 4 began at {:.2}, when the first was over",
        runs[3].1
    ));
    check(runs[3].1 >= first_end, "four tasks at once")
}

/// What was run on this worker.
static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(name: String) -> Vec<String> {
    let mut done = DONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let before = done.clone();
    done.push(name);
    before
}

/// The first three meet, so that each has a worker to itself.
fn remember((n, meeting): (u32, Barrier)) -> Vec<String> {
    let before = note(format!("TaskNo.{n}"));
    say(format_args!("TaskNo.{n} on {}: {before:?}", process::id()));
    if n <= 3 {
        let _ = meeting.wait();
    }
    before
}

fn remember_four(pool: &ProcessPool, begins_with: &[&str]) -> Result<(), Fault> {
    let meeting = Barrier::new(3);
    let tasks = (1..=4).map(|n| pool.apply_async(remember, (n, meeting.clone())));
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    let seen = tasks.iter().map(|task| task.get());
    let seen = seen.collect::<Result<Vec<_>, _>>()?;
    for before in &seen[..3] {
        check(before == begins_with, "a fresh worker remembers something")?;
    }
    let is_another = |last: &String| last.starts_with("TaskNo.");
    check(
        seen[3].len() == begins_with.len() + 1 && seen[3].last().is_some_and(is_another),
        "the fourth finds no trace of another",
    )?;
    check(
        note(String::new()).is_empty(),
        "a worker changed this process",
    )?;
    DONE.lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clear();
    Ok(())
}

fn state(_: Clock) -> Result<(), Fault> {
    remember_four(&ProcessPool::new(3)?, &[])
}

fn initializer(_: Clock) -> Result<(), Fault> {
    let begin = |name: String| drop(note(name));
    let pool = ProcessPool::builder()
        .workers(3)
        .initializer(begin, "init".to_owned());
    remember_four(&pool.build()?, &["init"])
}

/// Takes a while, and waits to be seen running.
fn greet((name, clock, seen): (String, Clock, Event)) -> String {
    clock.sleep(1.0);
    let _ = seen.wait();
    format!("{name} by {}", process::id())
}

fn results(clock: Clock) -> Result<(), Fault> {
    let pool = ProcessPool::new(2)?;
    let seen = Event::new();
    seen.set()?;
    let first = pool.apply(greet, ("apply".to_owned(), clock, seen.clone()))?;
    clock.say(format_args!("{:?}", [&first]));
    seen.clear()?;
    let handle = pool.apply_async(greet, ("apply_async".to_owned(), clock, seen.clone()))?;
    clock.say(format_args!(
        "a handle at once; ready: {}",
        handle.is_ready()
    ));
    check(!handle.is_ready(), "ready before its time")?;
    let early = handle.successful();
    clock.say(format_args!("successful: {early:?}"));
    check(early.is_err(), "successful before its time")?;
    seen.set()?;
    handle.wait();
    clock.say(format_args!("finished; ready: {}", handle.is_ready()));
    check(
        handle.is_ready() && handle.successful()?,
        "not ready at the end",
    )?;
    let (once, twice) = (handle.get()?, handle.get()?);
    clock.say(format_args!("{once:?} {twice:?}"));
    check(once == twice, "two values")
}

fn square((n, clock): (u64, Clock)) -> (u64, f64, f64) {
    let begun = clock.now();
    clock.sleep(1.0);
    (n * n, begun, clock.now())
}

/// How many ran at once, at the most.
fn peak(runs: &[(u64, f64, f64)]) -> usize {
    let at = |time: f64| {
        runs.iter()
            .filter(|run| run.1 <= time && time < run.2)
            .count()
    };
    runs.iter().map(|run| at(run.1)).max().unwrap_or(0)
}

fn apply(clock: Clock) -> Result<(), Fault> {
    let pool = ProcessPool::new(4)?;
    // Not to count the start of the workers: four that meet need four.
    let meeting = Barrier::new(4);
    let ready = pool.map_chunked(vec![meeting; 4], 1, |meeting| meeting.wait().is_ok());
    check(
        ready.into_iter().all(|met| met.is_ok_and(|met| met)),
        "no workers",
    )?;

    let begun = clock.now();
    let one_by_one = (0..10).map(|n| pool.apply(square, (n, clock)));
    let one_by_one = one_by_one.collect::<Result<Vec<_>, _>>()?;
    let middle = clock.now();
    let handles = (0..10).map(|n| pool.apply_async(square, (n, clock)));
    let handles = handles.collect::<Result<Vec<_>, _>>()?;
    pool.close();
    pool.join()?;
    let at_once = handles.iter().map(|handle| handle.get());
    let at_once = at_once.collect::<Result<Vec<_>, _>>()?;
    let end = clock.now();
    for (how, runs, took) in [
        ("apply", &one_by_one, middle - begun),
        ("apply_async", &at_once, end - middle),
    ] {
        let squares: Vec<u64> = runs.iter().map(|run| run.0).collect();
        say(format_args!(
            "{how}: {squares:?} in {took:.1} s, {} at once",
            peak(runs)
        ));
        check(
            squares.iter().copied().eq((0..10).map(|n| n * n)),
            "other squares",
        )?;
    }
    check(peak(&one_by_one) == 1, "apply ran two at once")?;
    check(peak(&at_once) > 1, "apply_async ran one after the other")
}

fn crash(_: Clock) -> Result<(), Fault> {
    let pool = ProcessPool::builder().workers(2).silent().build()?;
    let failure = |outcome: Result<u32, TaskError>| match outcome {
        Err(error) => {
            say(format_args!("  {error}"));
            Ok(error)
        }
        Ok(_) => Err(Fault::from("it did not fail")),
    };
    let usable = || {
        check(
            pool.apply(|n: u32| n + 1, 1)? == 2,
            "the pool is of no use any more",
        )
    };

    say("a panic");
    let error = failure(pool.apply(|n: u32| -> u32 { panic!("no {n}, please") }, 13))?;
    check(
        error.is_panic() && error.to_string().contains("no 13, please"),
        "no panic",
    )?;
    usable()?;

    say("an exit in the midst of a task");
    let error = failure(pool.apply(|code: i32| -> u32 { process::exit(code) }, 99))?;
    let is_99 = matches!(&error, TaskError::Died { status, .. } if status.code() == Some(99));
    check(is_99, "another status")?;
    usable()?;

    say("a SIGKILL in the midst of a task");
    let begun = Event::new();
    let endless = |begun: Event| -> u32 {
        let _ = begun.set();
        loop {
            greenloom::sleep(Duration::from_secs(1));
        }
    };
    let task = pool.apply_async(endless, begun.clone())?;
    begun.wait()?;
    for worker in greenloom::process::active_children() {
        worker.kill()?;
    }
    let error = failure(task.get())?;
    check(
        error.is_died() && error.to_string().contains("SIGKILL"),
        "another end",
    )?;
    usable()?;

    say("an initializer that panics");
    let bad = |(): ()| panic!("not today");
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(bad, ())
        .silent()
        .build()?;
    let error = failure(pool.apply(|n: u32| n, 1))?;
    check(
        matches!(&error, TaskError::Broken(_)),
        "the pool is not broken",
    )?;
    let error = failure(pool.apply(|n: u32| n, 1))?;
    check(
        error.to_string().contains("not today"),
        "the reason is forgotten",
    )
}
