//! Rounds of work within one process, and the lines that tell their result.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::cases::What;
use crate::metric::Metric;

/// What a measuring process was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub what: What,
    pub size: usize,
    pub workers: usize,
    /// How long it shall measure, after a warm-up.
    pub span: Duration,
    /// So many rounds and no warm-up instead: for an instruction counter.
    pub rounds: Option<u32>,
}

/// Why a peer does not do a case: shown to the reader of the report.
#[derive(Clone, Debug)]
pub struct Cannot(pub String);

/// `Err` with a reason.
pub fn cannot<T>(reason: impl Into<String>) -> Result<T, Cannot> {
    Err(Cannot(reason.into()))
}

/// One round: so many operations took so long.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub took: Duration,
    pub operations: u64,
}

impl Round {
    pub fn timed(operations: usize, run: impl FnOnce()) -> Round {
        let began = Instant::now();
        run();
        Round::since(began, operations)
    }

    /// For futures, which no closure can await.
    pub fn since(began: Instant, operations: usize) -> Round {
        Round {
            took: began.elapsed(),
            operations: operations as u64,
        }
    }
}

impl Task {
    /// One round to warm up, then rounds until the span is over; tells the median.
    pub fn rounds(&self, mut round: impl FnMut() -> Round) {
        if let Some(rounds) = self.rounds {
            let operations: u64 = (0..rounds).map(|_| round().operations).sum();
            println!("operations {operations}");
            return;
        }
        round();
        let began = Instant::now();
        let mut each = Vec::new();
        while each.is_empty() || began.elapsed() < self.span {
            let round = round();
            each.push(round.took.as_nanos() as f64 / round.operations as f64);
        }
        tell(Metric::Time, median(&mut each));
    }
}

/// A line that the driver reads.
pub fn tell(metric: Metric, value: f64) {
    println!("{} {value}", metric.word());
}

/// Of at least one value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() % 2 {
        1 => values[upper],
        _ => (values[upper - 1] + values[upper]) / 2.0,
    }
}

/// Arithmetic that no compiler shortens: the load of `unbalanced`.
pub fn compute() {
    let mut x = black_box(88_172_645_463_325_252_u64);
    for _ in 0..200_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
}
