//! Timers: one that is armed and never fires, and one that is short.

use std::hint::black_box;
use std::time::{Duration, Instant};

use greenloom::{sleep, timeout};

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::sample::{median, ns_each, sample};

pub(crate) fn arm_cancel() -> Vec<Figure> {
    const TIMES: usize = 500_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            ns_each(TIMES, || {
                for n in 0..TIMES {
                    let got = timeout(Duration::from_secs(60), || black_box(n));
                    assert_eq!(got.ok(), Some(n));
                }
            })
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
