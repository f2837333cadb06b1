//! Runners who pass a baton round by parking and unparking each other.

use super::facade::sync::atomic::{AtomicUsize, Ordering};
use super::facade::sync::{Arc, Mutex};
use super::facade::thread::{self, Builder, JoinHandle, Thread};

const RUNNERS: usize = 4;
const ROUNDS: usize = 10;

struct Track {
    /// Whose turn it is, counted on and on.
    turn: AtomicUsize,
    log: Mutex<Vec<String>>,
    runners: Mutex<Vec<Thread>>,
}

impl Track {
    fn run(&self, me: usize) {
        for round in 0..ROUNDS {
            let mine = round * RUNNERS + me;
            while self.turn.load(Ordering::Acquire) != mine {
                thread::park();
            }
            let name = thread::current().name().unwrap_or("?").to_owned();
            self.log.lock().unwrap().push(name);
            self.turn.store(mine + 1, Ordering::Release);
            let next = self.runners.lock().unwrap()[(me + 1) % RUNNERS].clone();
            assert_ne!(next.id(), thread::current().id());
            next.unpark();
        }
    }
}

pub(crate) fn main() -> String {
    let track = Arc::new(Track {
        turn: AtomicUsize::new(usize::MAX),
        log: Mutex::default(),
        runners: Mutex::default(),
    });
    let handles: Vec<JoinHandle<()>> = (0..RUNNERS)
        .map(|n| {
            let track = Arc::clone(&track);
            let builder = Builder::new().name(format!("runner-{n}"));
            builder.spawn(move || track.run(n)).unwrap()
        })
        .collect();
    let threads = handles.iter().map(|h| h.thread().clone()).collect();
    *track.runners.lock().unwrap() = threads;
    track.turn.store(0, Ordering::Release);
    handles[0].thread().unpark();
    for handle in handles {
        handle.join().unwrap();
    }
    let log = track.log.lock().unwrap();
    let first: Vec<String> = log[..RUNNERS].to_vec();
    assert!(log.chunks(RUNNERS).all(|round| round == first));
    format!("{} x {}", first.join(" "), log.len() / RUNNERS)
}
