//! A producer and a consumer with a queue between them, in exact order: `cargo run --example queue_producer_consumer`.
//!
//! It takes a second to make an item and a second to use one up, so the consumer is always one item behind.
//! Fifteen lines are seen, and one more says when all was done: at 6 seconds. First by the virtual clock,
//! which makes it exact and takes no time, then by the real one, where a second lasts a tenth of one unless
//! `--real` is given.

#[path = "words/say.rs"]
mod say;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use greenloom::queue::Queue;
use greenloom::sync::{Arc, Mutex};
use greenloom::{Runtime, sleep, spawn, time};

const ITEMS: u32 = 5;

/// What happens, and in which order.
const EXPECTED: &str = "put 0, get 0, put 1, consumed 0, get 1, put 2, consumed 1, get 2, put 3, consumed 2, \
                        get 3, put 4, consumed 3, get 4, consumed 4";

/// How long a second lasts, and what has happened since the beginning.
struct Journal {
    second: Duration,
    begun: Instant,
    events: Mutex<Vec<String>>,
}

impl Journal {
    fn new(second: Duration) -> Self {
        Journal {
            second,
            // By the clock of the runtime, real or virtual.
            begun: time::now(),
            events: Mutex::default(),
        }
    }

    fn seconds(&self) -> f64 {
        (time::now() - self.begun).as_secs_f64() / self.second.as_secs_f64()
    }

    fn note(&self, event: String) {
        say(&format!("{:5.2}  {event}", self.seconds()));
        self.events.lock().expect("nobody panics").push(event);
    }
}

/// A reader that has gone away does not stop the work.
fn say(line: &str) {
    say::line(line);
}

fn produce(queue: &Queue<u32>, journal: &Journal) {
    for item in 0..ITEMS {
        sleep(journal.second);
        journal.note(format!("put {item}"));
        queue.put(item).expect("nobody shuts it down before");
    }
}

fn consume(queue: &Queue<u32>, journal: &Journal) {
    // The guard's drop says that the item is done. The loop ends at the shutdown.
    while let Ok(item) = queue.get_guard() {
        journal.note(format!("get {}", *item));
        sleep(journal.second);
        journal.note(format!("consumed {}", *item));
    }
}

/// Runs it; returns when it was done, and what had happened in which order.
fn run(second: Duration) -> (f64, String) {
    let queue = Queue::unbounded();
    let journal = Arc::new(Journal::new(second));
    let (items, book) = (queue.clone(), journal.clone());
    let consumer = spawn(move || consume(&items, &book));
    let (items, book) = (queue.clone(), journal.clone());
    let producer = spawn(move || produce(&items, &book));
    producer.join().expect("it does not panic");
    queue.join(); // all that was put in is done
    let done = journal.seconds();
    say(&format!("{done:5.2}  done"));
    queue.shutdown(false);
    consumer.join().expect("it does not panic");
    let events = journal.events.lock().expect("nobody panics").join(", ");
    (done, events)
}

fn main() -> ExitCode {
    say::end("queue_producer_consumer", work())
}

fn work() -> ExitCode {
    let mut second = Duration::from_millis(100);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--real" => second = Duration::from_secs(1),
            "--help" | "-h" => {
                say("usage: queue_producer_consumer [--real]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: queue_producer_consumer [--real]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    say("by the virtual clock:");
    let exact = Runtime::builder()
        .virtual_clock()
        .run(|| run(Duration::from_secs(1)));
    say("by the real clock:");
    // One worker: then what is due first also runs first.
    let real = Runtime::builder().workers(1).run(|| run(second));
    let (exact, real) = match (exact, real) {
        (Ok(exact), Ok(real)) => (exact, real),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("queue_producer_consumer: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_right = exact == (6.0, EXPECTED.to_string()) && real.1 == EXPECTED && real.0 >= 6.0;
    if !is_right {
        eprintln!("queue_producer_consumer: not in the order expected: {exact:?}, {real:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
