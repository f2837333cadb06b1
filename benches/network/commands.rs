//! A program that does nothing, from its start to its end: ours beside std's.

use std::time::Instant;

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::sample::reps;

/// Programs in one sample.
const PROGRAMS: usize = 50;

pub(crate) fn spawn_to_exit() -> Vec<Figure> {
    let runtime = one_worker();
    let ours = || {
        runtime.block_on(|| {
            timed(|| {
                let status = greenloom::process::Command::new("true").status();
                assert!(status.expect("`true` runs").success());
            })
        })
    };
    let theirs = || {
        timed(|| {
            let status = std::process::Command::new("true").status();
            assert!(status.expect("`true` runs").success());
        })
    };
    let (mut our_time, mut std_time, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=reps() {
        let (a, b) = (ours(), theirs());
        our_time.push(a);
        std_time.push(b);
        ratio.push(a / b);
    }
    // The first turn is the warm-up.
    vec![
        Figure::new("command_true/greenloom", "us", &our_time[1..], None),
        Figure::new("command_true/std", "us", &std_time[1..], None),
        Figure::new("command_ratio_to_std/greenloom", "ratio", &ratio[1..], 1.1),
    ]
}

/// Microseconds for each program.
fn timed(program: impl Fn()) -> f64 {
    let began = Instant::now();
    (0..PROGRAMS).for_each(|_| program());
    began.elapsed().as_nanos() as f64 / 1e3 / PROGRAMS as f64
}
