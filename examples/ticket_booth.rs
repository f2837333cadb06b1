//! Ten booths sell a hundred tickets, each once: `cargo run --example ticket_booth -- [threads|green] [--real]`.
//!
//! Whether a ticket is left is looked up, and the ticket sold, under one lock, over which a booth even sleeps: so
//! what remains falls from 99 to 0 without a gap. The booth that finds none says so once, and all close. The
//! same function runs on ten green threads of one OS thread and on ten OS threads. A sale takes ten milliseconds
//! instead of a second, unless `--real` is given.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use greenloom::sync::{Mutex, RwLock};

const BOOTHS: usize = 10;
const TICKETS: usize = 100;

/// What all booths share.
struct Counter {
    remaining: usize,
    /// Set by the booth that found no ticket: the others need not say so again.
    is_closed: bool,
}

#[derive(Default)]
struct Log {
    /// What remained after each sale, in order.
    sales: RwLock<Vec<usize>>,
    closings: Mutex<usize>,
}

fn booth(name: usize, counter: &Mutex<Counter>, log: &Log, sale: Duration) -> io::Result<()> {
    loop {
        // Held to the end of the round: looking and selling are one step.
        let mut counter = counter.lock().expect("no booth panics");
        if counter.is_closed {
            return Ok(());
        }
        if counter.remaining == 0 {
            counter.is_closed = true;
            *log.closings.lock().expect("no booth panics") += 1;
            return writeln!(io::stdout(), "booth: {name} No more Tickets");
        }
        counter.remaining -= 1;
        let remaining = counter.remaining;
        log.sales.write().expect("no booth panics").push(remaining);
        writeln!(
            io::stdout(),
            "window: {name} , remaining tickets: {remaining}"
        )?;
        greenloom::sleep(sale);
    }
}

fn main() -> ExitCode {
    let mut way = None;
    let mut sale = Duration::from_millis(10);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "threads" | "green" if way.is_none() => way = Some(word),
            "--real" => sale = Duration::from_secs(1),
            "--help" | "-h" => {
                let _ = writeln!(io::stdout(), "usage: ticket_booth [threads|green] [--real]");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("usage: ticket_booth [threads|green] [--real]; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    let counter = Arc::new(Mutex::new(Counter {
        remaining: TICKETS,
        is_closed: false,
    }));
    let log = Arc::new(Log::default());
    let open = |name| {
        let (counter, log) = (counter.clone(), log.clone());
        move || booth(name, &counter, &log, sale)
    };
    let result: io::Result<()> = if way.as_deref() == Some("threads") {
        let booths: Vec<_> = (0..BOOTHS).map(|n| std::thread::spawn(open(n))).collect();
        booths
            .into_iter()
            .try_for_each(|booth| booth.join().expect("no booth panics"))
    } else {
        let run = greenloom::Runtime::builder().workers(1).run(|| {
            let booths: Vec<_> = (0..BOOTHS).map(|n| greenloom::spawn(open(n))).collect();
            booths
                .into_iter()
                .try_for_each(|booth| booth.join().expect("no booth panics"))
        });
        run.expect("no booth panics")
    };
    match result {
        // Nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ticket_booth: {error}");
            return ExitCode::FAILURE;
        }
        Ok(()) => {}
    }
    let falls = (0..TICKETS)
        .rev()
        .eq(log.sales.read().expect("no booth panics").iter().copied());
    if !falls || *log.closings.lock().expect("no booth panics") != 1 {
        eprintln!("ticket_booth: a ticket was sold twice, or not at all");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
