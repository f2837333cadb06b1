//! A master and its workers, kept in order by signals: `cargo run --example signals_master_worker [-- master]`.
//!
//! The master starts two workers, which are this program again with another argument. On SIGHUP it reads its
//! settings again and passes the word on, on SIGTERM or Ctrl-C it stops its workers and ends; a worker that
//! dies is noticed and started again. Without an argument it sends all of that to itself, kills a worker,
//! and checks what comes of it. With `master` it says its process number and waits for your signals.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use greenloom::channel::{Receiver, Sender, unbounded};
use greenloom::io::Evented;
use greenloom::process::{self, ChildHandle, ChildStdin, Command, ExitStatus, Stdio};
use greenloom::signal::{Signal, Signals};
use greenloom::{spawn, time};

const HELP: &str = "usage: signals_master_worker [master]
Without an argument: sends itself SIGHUP, kills a worker, sends itself SIGTERM.
master: waits for your SIGHUP, SIGTERM or Ctrl-C.";

const WORKERS: u32 = 2;
/// A worker that dies more often than that has a fault that starting it again does not mend.
const RESTARTS: u32 = 5;
/// How long a worker may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

type Fault = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match words[..] {
        [] => greenloom::try_run(|| master(true)),
        ["master"] => greenloom::try_run(|| master(false)),
        ["worker", number, settings] => greenloom::try_run(|| worker(number, settings)),
        ["--help" | "-h"] => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!(
                "signals_master_worker: what is `{}`?\n{HELP}",
                words.join(" ")
            );
            return ExitCode::from(2);
        }
    };
    match answer.map_err(Fault::from).and_then(|answer| answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signals_master_worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A line of output; whoever has closed it does not want it.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// What the master hears of.
enum Event {
    Signal(Signal),
    /// A worker says something.
    Line(u32, String),
    Ended(u32, ExitStatus),
}

/// A worker as its master knows it.
struct Worker {
    handle: ChildHandle,
    /// Its standard input. Nothing is written there: its end tells the worker that the master is gone.
    _leash: ChildStdin,
}

struct Master {
    sender: Sender<Event>,
    workers: BTreeMap<u32, Worker>,
    /// Counted up each time they are read.
    settings: u32,
    restarts: u32,
    is_stopping: bool,
}

fn master(is_demo: bool) -> Result<(), Fault> {
    // Before anything can be sent.
    let signals = Signals::new([Signal::HUP, Signal::TERM, Signal::INT])?;
    let (sender, events) = unbounded();
    let mut master = Master {
        sender: sender.clone(),
        workers: BTreeMap::new(),
        settings: 1,
        restarts: 0,
        is_stopping: false,
    };
    say(format_args!("master: process {}", process::id()));
    for number in 1..=WORKERS {
        master.start(number)?;
    }
    spawn(move || {
        for signal in &signals {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    let mut demo = is_demo.then(Demo::default);
    master.serve(&events, demo.as_mut())?;
    say(format_args!(
        "master: all have ended, {} restarted",
        master.restarts
    ));
    match demo {
        Some(demo) => demo.check(&master),
        None => Ok(()),
    }
}

impl Master {
    fn serve(
        &mut self,
        events: &Receiver<Event>,
        mut demo: Option<&mut Demo>,
    ) -> Result<(), Fault> {
        let mut deadline = None;
        while !(self.is_stopping && self.workers.is_empty()) {
            let event = match deadline {
                None => events.recv()?,
                Some(deadline) => {
                    let left =
                        std::time::Instant::saturating_duration_since(&deadline, time::now());
                    match events.recv_timeout(left) {
                        Ok(event) => event,
                        Err(_) => return self.kill_the_rest(),
                    }
                }
            };
            match event {
                Event::Line(number, line) => {
                    say(format_args!("worker {number}: {line}"));
                    if let Some(demo) = &mut demo {
                        demo.hear(number, &line, self)?;
                    }
                }
                Event::Ended(number, status) => self.bury(number, status)?,
                Event::Signal(Signal::HUP) => {
                    self.settings += 1;
                    say(format_args!("master: SIGHUP, settings {}", self.settings));
                    self.tell_all(Signal::HUP)?;
                }
                Event::Signal(signal) if !self.is_stopping => {
                    say(format_args!("master: {signal}, stops"));
                    self.is_stopping = true;
                    deadline = time::now().checked_add(PATIENCE);
                    self.tell_all(Signal::TERM)?;
                }
                Event::Signal(_) => return self.kill_the_rest(),
            }
        }
        Ok(())
    }

    fn start(&mut self, number: u32) -> Result<(), Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["worker", &number.to_string(), &self.settings.to_string()])
            // Ctrl-C at the terminal is the master's to pass on.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let leash = child.stdin.take().ok_or("there is a pipe")?;
        let output = child.stdout.take().ok_or("there is a pipe")?;
        let worker = Worker {
            handle: child.handle(),
            _leash: leash,
        };
        self.workers.insert(number, worker);
        let sender = self.sender.clone();
        spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(Event::Line(number, line));
            }
            // Its last words first, and then how it ended.
            if let Ok(status) = child.wait() {
                let _ = sender.send(Event::Ended(number, status));
            }
        });
        Ok(())
    }

    fn bury(&mut self, number: u32, status: ExitStatus) -> Result<(), Fault> {
        self.workers.remove(&number);
        if self.is_stopping {
            return Ok(());
        }
        self.restarts += 1;
        say(format_args!(
            "master: worker {number} has died ({status}), starts it again"
        ));
        if self.restarts > RESTARTS {
            return Err("a worker dies again and again".into());
        }
        self.start(number)
    }

    fn tell_all(&self, signal: Signal) -> io::Result<()> {
        let tell = |worker: &Worker| worker.handle.send_signal(signal);
        self.workers.values().try_for_each(tell)
    }

    fn kill_the_rest(&self) -> Result<(), Fault> {
        self.tell_all(Signal::KILL)?;
        Err("some workers did not end by themselves".into())
    }
}

/// What happens when nobody is there to send signals: each step waits for the workers' word on the last.
#[derive(Default)]
struct Demo {
    heard: BTreeMap<String, u32>,
}

impl Demo {
    fn hear(&mut self, number: u32, line: &str, master: &Master) -> Result<(), Fault> {
        let count = self.heard.entry(line.to_owned()).or_default();
        *count += 1;
        let own = process::id();
        match (line, *count) {
            ("works by settings 1", WORKERS) => process::send_signal(own, Signal::HUP)?,
            ("has read settings 2", WORKERS) => master.workers[&number].handle.kill()?,
            // The new one has the new settings from the start.
            ("works by settings 2", 1) => process::send_signal(own, Signal::TERM)?,
            _ => {}
        }
        Ok(())
    }

    fn check(&self, master: &Master) -> Result<(), Fault> {
        let heard = |line: &str| self.heard.get(line).copied().unwrap_or(0);
        let is_right = master.restarts == 1
            && heard("works by settings 1") == WORKERS
            && heard("has read settings 2") == WORKERS
            && heard("works by settings 2") == 1
            && heard("ends") == WORKERS;
        match is_right {
            true => Ok(()),
            false => Err("it did not go as it should have".into()),
        }
    }
}

/// Works until it is told to end, or its master is gone.
fn worker(number: &str, settings: &str) -> Result<(), Fault> {
    let signals = Signals::new([Signal::HUP, Signal::TERM])?;
    let mut settings: u32 = settings.parse()?;
    let number: u32 = number.parse()?;
    // A pipe of its own, so that setting it nonblocking concerns nobody else.
    let leash = Evented::new(File::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    let own = process::id();
    spawn(move || {
        let _ = (&leash).read_to_end(&mut Vec::new());
        // Nobody will say so any more.
        let _ = process::send_signal(own, Signal::TERM);
    });
    spawn(move || {
        // What a worker works.
        let mut sum = 0_u64;
        loop {
            sum = sum.wrapping_add(u64::from(number));
            greenloom::sleep(Duration::from_millis(1));
        }
    });
    say(format_args!("works by settings {settings}"));
    for signal in &signals {
        if signal != Signal::HUP {
            break;
        }
        settings += 1;
        say(format_args!("has read settings {settings}"));
    }
    say("ends");
    Ok(())
}
