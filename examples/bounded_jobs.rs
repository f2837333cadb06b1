//! 2,220,000 jobs, 64 at a time, in little memory: `cargo run --release --example bounded_jobs -- [JOBS]`.
//!
//! The producer spawns into a pool of 64 seats and is held back while they are taken, so however many
//! jobs there are, no more than 64 exist at once. It prints how many ran, the most that ran at a time, and
//! how much memory the process used at most; standard error shows the progress if it is a terminal.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use greenloom::RunError;
use greenloom::pool::GreenPool;
use indicatif::{ProgressBar, ProgressStyle};

const JOBS: u64 = 2_220_000;
const AT_ONCE: usize = 64;
/// So much more than at the start a run may use, whatever the number of jobs.
const MEMORY: u64 = 32 << 20;

const USAGE: &str = "usage: bounded_jobs [JOBS] [--at-once N]";

struct Args {
    jobs: u64,
    at_once: usize,
}

/// `None`: help was asked for.
fn parse(words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args {
        jobs: JOBS,
        at_once: AT_ONCE,
    };
    let mut words = words.peekable();
    let mut has_jobs = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--at-once" => {
                let number = words.next().and_then(|word| word.parse().ok());
                args.at_once = number
                    .filter(|&number| number > 0)
                    .ok_or("--at-once needs a number above 0")?;
            }
            _ if !has_jobs => {
                args.jobs = word
                    .parse()
                    .map_err(|_| format!("what is `{word}`? It should be a number of jobs"))?;
                has_jobs = true;
            }
            _ => return Err(format!("what is `{word}`?")),
        }
    }
    Ok(Some(args))
}

/// What the jobs leave behind.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    sum: AtomicU64,
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl Tally {
    fn job(&self, number: u64) {
        let running = self.running.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(running, Relaxed);
        // Some work, with a wait in the middle of it.
        let half = number / 2;
        greenloom::yield_now();
        self.sum.fetch_add(half + number.div_ceil(2), Relaxed);
        self.done.fetch_add(1, Relaxed);
        self.running.fetch_sub(1, Relaxed);
    }
}

fn run_jobs(args: &Args) -> Arc<Tally> {
    let pool = GreenPool::new(args.at_once);
    let tally = Arc::new(Tally::default());
    let bar = match io::stderr().is_terminal() {
        true => ProgressBar::new(args.jobs),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} jobs, {per_sec}");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(100));
    for number in 1..=args.jobs {
        let tally = tally.clone();
        // Waits here while every seat is taken.
        drop(pool.spawn(move || tally.job(number)));
        if number % 1024 == 0 {
            bar.set_position(number);
        }
    }
    pool.join();
    bar.finish_and_clear();
    tally
}

/// The most memory that was resident so far, in bytes; `None` where the kernel does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The error is a status for the process, and why: 2 when it could not begin.
fn report(args: &Args) -> Result<(), (u8, String)> {
    let before = peak_memory();
    let begun = Instant::now();
    let tally = match greenloom::try_run(|| run_jobs(args)) {
        Ok(tally) => tally,
        Err(RunError::Panicked(payload)) => std::panic::resume_unwind(payload),
        Err(error) => return Err((2, error.to_string())),
    };
    let took = begun.elapsed();
    let after = peak_memory();

    let (done, peak) = (tally.done.load(Relaxed), tally.peak.load(Relaxed));
    let mut text = format!("jobs {done}\npeak {peak}\n");
    if let Some(after) = after {
        text += &format!(
            "memory {:.1} MiB at most\n",
            after as f64 / f64::from(1 << 20)
        );
    }
    let each = took.as_nanos() as f64 / args.jobs.max(1) as f64;
    text += &format!("took {:.2} s, {each:.0} ns a job\n", took.as_secs_f64());
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| (1, format!("cannot write the result: {error}")))?;

    let expected = u128::from(args.jobs) * (u128::from(args.jobs) + 1) / 2;
    let most = usize::try_from(args.jobs).map_or(args.at_once, |jobs| jobs.min(args.at_once));
    if done != args.jobs || u128::from(tally.sum.load(Relaxed)) != expected {
        return Err((1, "some jobs did not run, or ran twice".to_owned()));
    }
    // A few jobs may have ended before the last one started.
    let is_many = args.jobs / 100 >= most as u64;
    if peak > most || (peak < most && is_many) {
        return Err((1, format!("{peak} jobs ran at once instead of {most}")));
    }
    let stacks = args.at_once as u64 * (16 << 10);
    if before
        .zip(after)
        .is_some_and(|(before, after)| after > before + MEMORY + stacks)
    {
        return Err((1, "the memory grew with the number of jobs".to_owned()));
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            let written = writeln!(io::stdout(), "{USAGE}");
            return ExitCode::from(u8::from(written.is_err()));
        }
        Err(why) => {
            eprintln!("bounded_jobs: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match report(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, why)) => {
            eprintln!("bounded_jobs: {why}");
            ExitCode::from(status)
        }
    }
}
