//! What works where a panic aborts: nothing unwinds, so waits run to their end and the rest is leaked.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenloom::io::Evented;
use greenloom::{Runtime, park, run, scope, sleep, spawn, timeout, yield_now};

/// What has an error of its own ends by it; a join of what is left behind ends too.
fn cancelled_waits_end() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let (_sender, receiver) = greenloom::channel::bounded::<()>(1);
    let again = receiver.clone();
    let receives = handle.spawn(move || receiver.recv().is_err());
    let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    let reads = handle.spawn(move || {
        let error = Evented::new(near).unwrap().read(&mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "task was cancelled while waiting");
        // Each further one as well, and none waits first.
        let _ = again.recv().unwrap_err();
        greenloom::task::is_cancelled() && !greenloom::shield(greenloom::task::is_cancelled)
    });
    let reads = reads.unwrap();
    let receives = receives.unwrap();
    runtime.block_on(|| sleep(Duration::from_millis(5)));
    reads.cancel();
    assert!(reads.join().unwrap());
    let parked = handle.spawn(park).unwrap();
    let joins = handle.spawn(move || parked.join().unwrap_err().is_cancelled()).unwrap();
    runtime.block_on(|| sleep(Duration::from_millis(5)));
    let waiting = std::thread::spawn(move || (receives.join(), joins.join()));
    runtime.stop();
    let (receives, joins) = waiting.join().unwrap();
    assert!(receives.unwrap(), "it ran to its end");
    assert!(joins.map_or_else(|error| error.is_cancelled(), |told| told));
}

fn main() {
    let value = run(|| {
        // Left parked when `run` returns: leaked.
        drop(spawn(park));
        drop(spawn(|| sleep(Duration::from_secs(1000))));
        yield_now();
        // Late, with its value.
        let late = timeout(Duration::from_millis(1), || {
            sleep(Duration::from_millis(5));
            1
        });
        assert_eq!(late, Ok(1));
        // A cancellation does not reach it; its end does.
        let task = spawn(|| {
            sleep(Duration::from_millis(5));
            2
        });
        yield_now();
        task.cancel();
        assert_eq!(task.join().unwrap(), 2);
        // One that has not started never does.
        let never = spawn(|| 3);
        never.cancel();
        let _ = never.join();
        let text = String::from("four");
        scope(|s| s.spawn(|| text.len()).join().unwrap())
    });
    assert_eq!(value, 4);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    drop(runtime.handle().spawn(park).unwrap());
    runtime.block_on(|| sleep(Duration::from_millis(1)));
    runtime.stop();
    cancelled_waits_end();
    a_borrowed_local_outlives_its_borrower();
    println!("all is well");
    if std::env::args().nth(1).is_some() {
        run(|| spawn(|| panic!("on purpose")).join().unwrap());
    }
}

struct Alive(AtomicBool);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

thread_local! {
    static LOCAL: Alive = const { Alive(AtomicBool::new(true)) };
}

/// A task lends its worker's thread-local to one that computes on the other worker while the runtime stops:
/// the first worker is idle, but its thread must not end.
fn a_borrowed_local_outlives_its_borrower() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let theirs = begun.clone();
    let lender = move || {
        LOCAL.with(|local| {
            scope(|s| {
                s.spawn(|| {
                    theirs.store(true, Ordering::SeqCst);
                    let end = Instant::now() + Duration::from_millis(300);
                    while Instant::now() < end {
                        assert!(local.0.load(Ordering::SeqCst), "a thread-local that is borrowed is dead");
                    }
                });
                while !theirs.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            });
        });
    };
    drop(runtime.handle().spawn(lender).unwrap());
    while !begun.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    drop(runtime);
}
