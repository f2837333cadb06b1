//! Items out of a generator, switches between greenlets.

use std::hint::black_box;

use greenloom::coroutine::{Generator, Greenlet};

use crate::util::figure::Figure;
use crate::util::sample::{ns_each, sample};

pub(crate) fn generator_item() -> Vec<Figure> {
    const ITEMS: u64 = 5_000_000;
    let samples = sample(|| {
        let numbers = Generator::<u64>::new(|y| {
            for n in 0..ITEMS {
                y.suspend(n);
            }
        });
        let mut sum = 0;
        let ns = ns_each(ITEMS as usize, || {
            for n in numbers {
                sum += n;
            }
        });
        assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
        ns
    });
    vec![Figure::new("generator_item/greenloom", "ns", &samples, 4.0)]
}

pub(crate) fn greenlet_switch_pair() -> Vec<Figure> {
    const PAIRS: usize = 2_000_000;
    let main = Greenlet::current();
    let echo = Greenlet::new(move |first: usize| {
        let mut n = first;
        loop {
            n = main.switch(n + 1).expect("main lives").get();
        }
    });
    let samples = sample(|| {
        let mut n = 0;
        let ns = ns_each(PAIRS, || {
            for _ in 0..PAIRS {
                n = echo
                    .switch(black_box(n))
                    .expect("the other one lives")
                    .get();
            }
        });
        assert_eq!(n, PAIRS);
        ns
    });
    vec![Figure::new(
        "greenlet_switch_pair/greenloom",
        "ns",
        &samples,
        25.0,
    )]
}
