//! Items out of a generator, switches between greenlets.

use std::hint::black_box;
use std::num::NonZeroUsize;

use greenloom::coroutine::{Generator, Greenlet};

use crate::util::figure::Figure;
use crate::util::sample::{ns_each, sample};

const ITEMS: u64 = 5_000_000;

/// Memory for one bare coroutine; without a guard, for this body needs next to nothing.
struct BareStack(Box<[u8; 64 * 1024]>);

// SAFETY: more than corosensei's least size; what runs on it is the loop below, which needs a few hundred
// bytes, so the guard that the trait asks for is never missed.
unsafe impl corosensei::stack::Stack for BareStack {
    fn base(&self) -> NonZeroUsize {
        let end = self.0.as_ptr_range().end.addr();
        NonZeroUsize::new(end & !(corosensei::stack::STACK_ALIGNMENT - 1)).expect("an address")
    }
    fn limit(&self) -> NonZeroUsize {
        let start = self.0.as_ptr().addr() + corosensei::stack::STACK_ALIGNMENT;
        NonZeroUsize::new(start & !(corosensei::stack::STACK_ALIGNMENT - 1)).expect("an address")
    }
}

/// The bare switch under everything here, there and back: how fast this machine is today.
fn bare_item() -> Figure {
    let samples = sample(|| {
        let stack = BareStack(Box::new([0; 64 * 1024]));
        let mut numbers = corosensei::Coroutine::<(), u64, (), _>::with_stack(stack, |y, ()| {
            for n in 0..ITEMS {
                y.suspend(n);
            }
        });
        let mut sum = 0;
        let ns = ns_each(ITEMS as usize, || {
            while let corosensei::CoroutineResult::Yield(n) = numbers.resume(()) {
                sum += n;
            }
        });
        assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
        ns
    });
    Figure::new("generator_item/corosensei", "ns", &samples, None)
}

pub(crate) fn generator_item() -> Vec<Figure> {
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
    vec![
        Figure::new("generator_item/greenloom", "ns", &samples, 4.0),
        bare_item(),
    ]
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
