//! Yielding, spawning and joining.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use greenloom::{spawn, yield_now};

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::sample::{ns_each, sample};

/// The span from the moment the last of some tasks has started to the end of the last one.
struct Span {
    tasks: usize,
    started: AtomicUsize,
    ended: AtomicUsize,
    began: OnceLock<Instant>,
    took: OnceLock<u128>,
}

impl Span {
    fn new(tasks: usize) -> Arc<Self> {
        Arc::new(Span {
            tasks,
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            began: OnceLock::new(),
            took: OnceLock::new(),
        })
    }

    /// Yields until all have started, so that starting is no part of the figure.
    fn start(&self) {
        if self.started.fetch_add(1, Ordering::Relaxed) + 1 == self.tasks {
            self.began
                .set(Instant::now())
                .expect("one task is the last to start");
        }
        while self.started.load(Ordering::Relaxed) < self.tasks {
            yield_now();
        }
    }

    fn end(&self) {
        if self.ended.fetch_add(1, Ordering::Relaxed) + 1 == self.tasks {
            let began = self.began.get().expect("all have started");
            self.took
                .set(began.elapsed().as_nanos())
                .expect("one task is the last to end");
        }
    }
}

pub(crate) fn yields(tasks: usize, bar: f64) -> Vec<Figure> {
    let each = (5_000_000 / tasks).max(50);
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(move || {
            let span = Span::new(tasks);
            let handles: Vec<_> = (0..tasks)
                .map(|_| {
                    let span = Arc::clone(&span);
                    spawn(move || {
                        span.start();
                        for _ in 0..each {
                            yield_now();
                        }
                        span.end();
                    })
                })
                .collect();
            for handle in handles {
                handle.join().expect("a task that only yields");
            }
            // All but the last to start were resumed once more, out of `start`.
            let resumptions = tasks * each + tasks - 1;
            *span.took.get().expect("all have ended") as f64 / resumptions as f64
        })
    });
    vec![Figure::new(
        &format!("yield_{tasks}/greenloom"),
        "ns",
        &samples,
        bar,
    )]
}

pub(crate) fn spawn_join() -> Vec<Figure> {
    const BATCHES: usize = 300;
    const BATCH: usize = 1_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            ns_each(BATCHES * BATCH, || {
                for _ in 0..BATCHES {
                    let handles: Vec<_> = (0..BATCH).map(|n| spawn(move || black_box(n))).collect();
                    let sum: usize = handles
                        .into_iter()
                        .map(|h| h.join().expect("a number"))
                        .sum();
                    assert_eq!(sum, BATCH * (BATCH - 1) / 2);
                }
            })
        })
    });
    vec![Figure::new("spawn_join/greenloom", "ns", &samples, 90.0)]
}

/// Sums the numbers of the leaves below a node: a tree with ten branches at each.
fn tree(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let branch = leaves / 10;
    let children: Vec<_> = (0..10)
        .map(|n| spawn(move || tree(first + n * branch, branch)))
        .collect();
    children
        .into_iter()
        .map(|child| child.join().expect("a sum"))
        .sum()
}

pub(crate) fn skynet() -> Vec<Figure> {
    const LEAVES: u64 = 1_000_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let mut sum = 0;
            let ns = ns_each(1, || {
                sum = spawn(|| tree(0, LEAVES))
                    .join()
                    .expect("the sum of all leaves");
            });
            assert_eq!(sum, LEAVES * (LEAVES - 1) / 2);
            ns / 1e6
        })
    });
    vec![Figure::new("skynet/greenloom", "ms", &samples, 150.0)]
}
