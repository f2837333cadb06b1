//! Log lines that say where they come from: `[thread 3  ] message`, `[task teller] message`.
//!
//! [`install`] wraps the logger of your choice, once in a process; from then on
//! [`start_with_thread_info`] and [`stop_with_thread_info`] switch the prefix on and off. A task is told by its name,
//! or else its number; a thread by its name, or else a number that it gets with its first line.
//!
//! # Examples
//!
//! ```
//! use greenloom::logging;
//!
//! let logger = env_logger::Builder::from_default_env().build();
//! log::set_max_level(logger.filter());
//! logging::install(Box::new(logger)).unwrap();
//! logging::start_with_thread_info();
//! log::info!("with [thread main] before it");
//! logging::stop_with_thread_info();
//! log::info!("without");
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use log::{Log, Metadata, Record, SetLoggerError};

use crate::task::try_current;

/// Whether lines get a prefix. Relaxed: it orders nothing.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Whether our wrapper is the process's logger.
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

struct Wrapper(Box<dyn Log>);

/// Makes `logger` the logger of this process, with the prefix to be switched on.
///
/// Its level is still set by [`log::set_max_level`].
///
/// # Errors
///
/// When the process has a logger already.
pub fn install(logger: Box<dyn Log>) -> Result<(), SetLoggerError> {
    // A logger is for the life of the process.
    log::set_logger(Box::leak(Box::new(Wrapper(logger))))?;
    IS_INSTALLED.store(true, Ordering::Relaxed);
    Ok(())
}

/// From now on lines begin with their thread or task. False, and logged, when no logger was
/// [installed](install) here: then nothing changes.
pub fn start_with_thread_info() -> bool {
    set(true)
}

/// From now on lines are as they were. For the rest as [`start_with_thread_info`].
pub fn stop_with_thread_info() -> bool {
    set(false)
}

fn set(is_on: bool) -> bool {
    let is_installed = IS_INSTALLED.load(Ordering::Relaxed);
    if is_installed {
        IS_ON.store(is_on, Ordering::Relaxed);
    } else {
        log::warn!(
            "thread info in log lines needs a logger installed by greenloom::logging::install"
        );
    }
    is_installed
}

/// Where the line comes from.
struct Place;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = try_current() {
            return match task.name() {
                Some(name) => write!(f, "[task {name:<3}]"),
                None => write!(f, "[task {:<3}]", task.id().to_string()),
            };
        }
        match thread::current().name() {
            Some(name) => write!(f, "[thread {name:<3}]"),
            None => write!(f, "[thread {:<3}]", thread_number()),
        }
    }
}

/// Counts the threads that have had no name and logged something.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // In its last moments a thread has no number any more.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

impl Log for Wrapper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !IS_ON.load(Ordering::Relaxed) {
            return self.0.log(record);
        }
        self.0.log(
            // All that it has, also what features of `log` give it.
            &record
                .to_builder()
                .args(format_args!("{Place} {}", record.args()))
                .build(),
        );
    }

    fn flush(&self) {
        self.0.flush();
    }
}
