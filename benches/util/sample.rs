//! Repetition: a warm-up that does not count, then samples of which the median is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Repetitions that count, unless `--reps` says otherwise.
pub(crate) const REPS: usize = 7;

/// Set once from the command line, before any case runs.
static REPETITIONS: AtomicUsize = AtomicUsize::new(REPS);

/// A sample below this is made of several runs, so that a timer tick is no part of the result.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) fn set_reps(n: usize) {
    REPETITIONS.store(n.max(1), Ordering::Relaxed);
}

pub(crate) fn reps() -> usize {
    REPETITIONS.load(Ordering::Relaxed)
}

/// Warms up by one run, then takes `reps()` samples of what `run` gives back.
pub(crate) fn sample(mut run: impl FnMut() -> f64) -> Vec<f64> {
    run();
    (0..reps())
        .map(|_| {
            let began = Instant::now();
            let mut runs = vec![run()];
            while began.elapsed() < SHORTEST {
                runs.push(run());
            }
            median(&runs)
        })
        .collect()
}

/// Times `run`, which does `ops` operations, in nanoseconds for each.
pub(crate) fn ns_each(ops: usize, run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_nanos() as f64 / ops as f64
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[upper],
        _ => (sorted[upper - 1] + sorted[upper]) / 2.0,
    }
}
