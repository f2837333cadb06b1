//! What a loaded library can do with processes: be told that it cannot.

use std::io::ErrorKind;

use greenloom::process::{self, PoolError, Process, ProcessPool};

fn double(n: u32) -> u32 {
    n * 2
}

/// Says on the standard output what each way to a process comes to.
#[unsafe(no_mangle)]
pub extern "C" fn probe() {
    let init = process::init().map_err(|error| (error.kind(), error.to_string()));
    let Err((ErrorKind::Unsupported, text)) = init else {
        return println!("init: {init:?}");
    };
    println!("init: {text}");
    match Process::spawn(double, 21) {
        Err(error) => println!("spawn: {:?}", error.kind()),
        Ok(process) => println!("spawn: {:?}", process.join()),
    }
    match ProcessPool::new(1) {
        Err(PoolError::Io(error)) => println!("pool: {:?}", error.kind()),
        other => println!("pool: {other:?}"),
    }
    // All else works.
    println!(
        "tasks: {}",
        greenloom::run(|| greenloom::spawn(|| 42).join().unwrap())
    );
}
