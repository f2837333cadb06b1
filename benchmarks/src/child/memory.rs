//! Memory of a process, and the case of the sleepers that is about it.

use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use super::measure::{Round, Task, tell};
use super::span::Span;
use crate::metric::Metric;

/// Longer than any measurement.
pub const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Bytes that are resident, and the page tables of all.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok((kib(&status, "VmRSS:") + kib(&status, "VmPTE:")) * 1024)
}

fn kib(table: &str, key: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Watches from a thread of its own until all tasks of the span have started and gone to sleep, tells
/// what each of them takes, and ends the process. The caller has warmed its runtime up.
pub fn watch_sleepers(span: &'static Span) {
    let pid = process::id();
    let before = resident(pid).expect("/proc is mounted");
    let began = Instant::now();
    thread::spawn(move || {
        let tasks = span.tasks() as f64;
        while !span.all_started() {
            thread::sleep(Duration::from_millis(1));
        }
        let took = span.began().duration_since(began);
        // The last to start may only now be about to sleep.
        thread::sleep(Duration::from_millis(50));
        let after = resident(pid).expect("/proc is mounted");
        tell(Metric::Memory, after.saturating_sub(before) as f64 / tasks);
        tell(Metric::Time, took.as_nanos() as f64 / tasks);
        process::exit(0);
    });
}

/// Five short sleeps in each of so many tasks. `sleep_all` starts so many tasks that sleep for so long
/// and so many times, and waits for all.
pub fn timers(task: &Task, sleep_all: impl Fn(usize, Duration, usize)) {
    const TIMES: usize = 5;
    task.rounds(|| {
        Round::timed(task.size * TIMES, || {
            sleep_all(task.size, Duration::from_millis(1), TIMES);
        })
    });
}

/// One task, one short sleep after the other.
pub fn short_sleep(task: &Task, sleep_all: impl Fn(usize, Duration, usize)) {
    const TIMES: usize = 100;
    task.rounds(|| {
        Round::timed(TIMES, || {
            sleep_all(1, Duration::from_micros(50), TIMES);
        })
    });
}
