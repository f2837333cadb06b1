//! Timers: one that is armed and never fires, and one that is short.

use std::time::{Duration, Instant};

use greenloom::{current, park, park_timeout, sleep, spawn};

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::sample::{median, ns_each, sample};

/// How long a round trip of two tasks takes that wake each other, each waiting twice a round.
fn round_trip(rounds: usize, wait: fn()) -> f64 {
    ns_each(rounds, || {
        let main = current();
        let other = spawn(move || {
            for _ in 0..rounds {
                main.unpark();
                wait();
            }
        });
        for _ in 0..rounds {
            wait();
            other.task().unpark();
        }
        other.join().expect("a task that only parks");
    })
}

/// What a timer adds to a wait that ends before it: its arming, the clock read for it, its cancelling.
///
/// The difference of two round trips, with and without a limit; each has two waits.
pub(crate) fn arm_cancel() -> Vec<Figure> {
    const ROUNDS: usize = 200_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let without = round_trip(ROUNDS, park);
            let with = round_trip(ROUNDS, || assert!(park_timeout(Duration::from_secs(60))));
            (with - without) / 2.0
        })
    });
    vec![Figure::new(
        "timer_arm_cancel/greenloom",
        "ns",
        &samples,
        60.0,
    )]
}

pub(crate) fn short_sleep() -> Vec<Figure> {
    const SLEEP: Duration = Duration::from_micros(50);
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let each: Vec<f64> = (0..200)
                .map(|_| {
                    let began = Instant::now();
                    sleep(SLEEP);
                    let took = began.elapsed();
                    assert!(took >= SLEEP, "woke after {took:?}");
                    took.as_secs_f64() * 1e6
                })
                .collect();
            median(&each)
        })
    });
    vec![Figure::new("sleep_50us/greenloom", "us", &samples, 150.0)]
}
