//! A mutex that nobody else wants, and one that a hundred tasks want.

use std::sync::Arc;
use std::thread;

use greenloom::sync::Mutex;
use greenloom::{spawn, yield_now};

use crate::util::figure::Figure;
use crate::util::sample::{ns_each, sample};
use crate::util::{one_worker, workers};

pub(crate) fn uncontended() -> Vec<Figure> {
    const TIMES: usize = 5_000_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let sum = Mutex::new(0);
            let ns = ns_each(TIMES, || {
                for n in 0..TIMES {
                    *sum.lock().expect("nobody panics") += n;
                }
            });
            assert_eq!(
                sum.into_inner().expect("nobody panics"),
                TIMES * (TIMES - 1) / 2
            );
            ns
        })
    });
    let ours = Figure::new("mutex_uncontended/greenloom", "ns", &samples, 15.0);
    let samples = sample(|| {
        let sum = std::sync::Mutex::new(0);
        ns_each(TIMES, || {
            for n in 0..TIMES {
                *sum.lock().expect("nobody panics") += n;
            }
        })
    });
    vec![
        ours,
        Figure::new("mutex_uncontended/std", "ns", &samples, None),
    ]
}

/// A hundred tasks that count together and yield inside every tenth section.
pub(crate) fn contended(count: usize) -> Vec<Figure> {
    const TASKS: usize = 100;
    const EACH: usize = 10_000;
    let suffix = if count == 1 { "" } else { "_2w" };
    let runtime = workers(count);
    let samples = sample(|| {
        runtime.block_on(|| {
            let sum = Arc::new(Mutex::new(0));
            let ns = ns_each(TASKS * EACH, || {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let sum = sum.clone();
                        spawn(move || {
                            for n in 0..EACH {
                                let mut sum = sum.lock().expect("nobody panics");
                                *sum += 1;
                                if n % 10 == 0 {
                                    yield_now();
                                }
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.join().expect("it only counts");
                }
            });
            assert_eq!(*sum.lock().expect("nobody panics"), TASKS * EACH);
            ns
        })
    });
    let bar = (count == 1).then_some(60.0);
    let mut figures = vec![Figure::new(
        &format!("mutex_contended{suffix}/greenloom"),
        "ns",
        &samples,
        bar,
    )];
    if count == 1 {
        return figures;
    }
    const FEW: usize = 1_000;
    let samples = sample(|| {
        let sum = Arc::new(std::sync::Mutex::new(0));
        ns_each(TASKS * FEW, || {
            let threads: Vec<_> = (0..TASKS)
                .map(|_| {
                    let sum = sum.clone();
                    thread::spawn(move || {
                        for n in 0..FEW {
                            let mut sum = sum.lock().expect("nobody panics");
                            *sum += 1;
                            if n % 10 == 0 {
                                thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("it only counts");
            }
        })
    });
    figures.push(Figure::new("mutex_contended/std", "ns", &samples, None));
    figures
}
