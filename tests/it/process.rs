//! Functions in processes of their own.

use std::process::{self, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use greenloom::process::{Builder, Process, TaskError, active_children};

static COUNTER: AtomicU32 = AtomicU32::new(1);

fn square(n: u64) -> u64 {
    n * n
}

#[test]
fn a_function_runs_in_another_process() {
    let process = Process::spawn(|(): ()| process::id(), ()).unwrap();
    let id = process.id();
    assert_ne!(id, process::id());
    assert_eq!(process.join().unwrap(), id);
    assert_eq!(Process::spawn(square, 12).unwrap().join().unwrap(), 144);
}

#[test]
fn the_wait_is_green() {
    greenloom::run(|| {
        let ticks = greenloom::spawn(|| {
            let mut ticks = 0;
            loop {
                greenloom::sleep(Duration::from_millis(1));
                ticks += 1;
                if ticks == 20 {
                    return ticks;
                }
            }
        });
        let nap = |millis: u64| greenloom::sleep(Duration::from_millis(millis));
        let process = Process::spawn(nap, 100).unwrap();
        assert!(process.is_alive());
        process.join().unwrap();
        assert_eq!(ticks.join().unwrap(), 20);
    });
}

#[test]
fn nothing_of_the_parents_state_is_inherited() {
    COUNTER.store(42, Ordering::Relaxed);
    let add = |n: u32| COUNTER.fetch_add(n, Ordering::Relaxed);
    assert_eq!(Process::spawn(add, 5).unwrap().join().unwrap(), 1);
    assert_eq!(COUNTER.load(Ordering::Relaxed), 42);
}

#[test]
fn a_panic_arrives_with_message_and_place() {
    let process = Process::spawn(|n: i32| -> i32 { panic!("no luck with {n}") }, 13).unwrap();
    let TaskError::Panicked(panic) = process.join().unwrap_err() else {
        panic!("it panicked");
    };
    assert_eq!(panic.message(), "no luck with 13");
    assert!(panic.location().unwrap().contains("process.rs"), "{panic}");
}

#[test]
fn a_process_whose_function_panics_ends_with_an_error() {
    let silent = Builder::new().stderr(Stdio::null());
    let child = silent.spawn(|n: u32| -> u32 { panic!("{n}") }, 1).unwrap();
    child.wait();
    assert_eq!(child.exit_status().unwrap().code(), Some(101));
    let child = Process::spawn(square, 1).unwrap();
    child.wait();
    assert_eq!(child.exit_status().unwrap().code(), Some(0));
}

#[test]
fn exits_aborts_and_kills_are_told_apart() {
    let exit = Process::spawn(|code: i32| -> () { process::exit(code) }, 99).unwrap();
    let TaskError::Died { status, .. } = exit.join().unwrap_err() else {
        panic!("it died");
    };
    assert_eq!(status.code(), Some(99));

    let sleeper = Process::spawn(|(): ()| greenloom::sync::Event::new().wait(), ()).unwrap();
    sleeper.kill().unwrap();
    let error = sleeper.join().unwrap_err();
    assert!(error.to_string().contains("signal: 9"), "{error}");
}

#[test]
fn big_values_cross_both_ways() {
    let process = Process::spawn(|v: Vec<u8>| v, vec![7; 16 << 20]).unwrap();
    let back = process.join().unwrap();
    assert_eq!(back.len(), 16 << 20);
    assert!(back.iter().all(|byte| *byte == 7));
}

#[test]
fn children_are_listed_while_they_live() {
    let sleeper = Builder::new()
        .name("listed")
        .daemon(true)
        .spawn(|(): ()| greenloom::sync::Event::new().wait(), ())
        .unwrap();
    let listed = |id| {
        active_children()
            .iter()
            .any(|child| child.id() == id && child.name() == "listed")
    };
    assert!(listed(sleeper.id()));
    let id = sleeper.id();
    sleeper.terminate().unwrap();
    sleeper.join().unwrap_err();
    assert!(!listed(id));
}

#[test]
fn processes_have_processes() {
    fn tower(height: u32) -> u32 {
        match height {
            0 => 0,
            height => 1 + Process::spawn(tower, height - 1).unwrap().join().unwrap(),
        }
    }
    assert_eq!(Process::spawn(tower, 3).unwrap().join().unwrap(), 3);
}

#[test]
fn a_virtual_clock_waits_for_processes() {
    let joined = greenloom::Runtime::builder().virtual_clock().run(|| {
        let process = Process::spawn(square, 9).unwrap();
        process.join().unwrap()
    });
    assert_eq!(joined.unwrap(), 81);
}
