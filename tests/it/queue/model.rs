//! Naive queues beside the real ones.

use std::collections::VecDeque;

use greenloom::queue::{LifoQueue, PriorityQueue, Queue};
use proptest::prelude::*;

use super::Any;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u64),
    Get,
    Done,
    Shutdown(bool),
}

/// What a queue is, slowly.
struct Naive {
    items: VecDeque<u64>,
    capacity: usize,
    unfinished: usize,
    is_shut: bool,
}

impl Naive {
    fn put(&mut self, item: u64) -> bool {
        let goes_in = !self.is_shut && self.items.len() < self.capacity;
        if goes_in {
            self.items.push_back(item);
            self.unfinished += 1;
        }
        goes_in
    }

    fn shutdown(&mut self, immediate: bool) {
        self.is_shut = true;
        if immediate {
            self.unfinished -= self.items.len().min(self.unfinished);
            self.items.clear();
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => (0..9_u64).prop_map(Step::Put),
        30 => Just(Step::Get),
        10 => Just(Step::Done),
        1 => any::<bool>().prop_map(Step::Shutdown),
    ];
    prop::collection::vec(step, 0..200)
}

/// `next` says at which place of those inside, the oldest first, the next one stands.
fn compare<Q: Any>(
    steps: Vec<Step>,
    capacity: Option<usize>,
    next: fn(&VecDeque<u64>) -> Option<usize>,
) {
    let real = capacity.map_or_else(Q::unbounded, Q::bounded);
    let mut naive = Naive {
        items: VecDeque::new(),
        capacity: capacity.unwrap_or(usize::MAX),
        unfinished: 0,
        is_shut: false,
    };
    for step in steps {
        match step {
            Step::Put(item) => assert_eq!(real.try_put(item), naive.put(item)),
            Step::Get => {
                let item = next(&naive.items).and_then(|at| naive.items.remove(at));
                let got = real.try_get();
                assert_eq!(got.ok(), item);
                if let Err(error) = got {
                    assert_eq!(error.is_shut_down(), naive.is_shut);
                }
            }
            Step::Done => {
                assert_eq!(real.task_done().is_ok(), naive.unfinished > 0);
                naive.unfinished = naive.unfinished.saturating_sub(1);
            }
            Step::Shutdown(immediate) => {
                real.shutdown(immediate);
                naive.shutdown(immediate);
            }
        }
        assert_eq!(real.len(), naive.items.len());
        assert_eq!(real.unfinished(), naive.unfinished);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_is_what_a_naive_one_is(steps in steps(), capacity in prop::option::of(1..9_usize)) {
        compare::<Queue<u64>>(steps, capacity, |items| (!items.is_empty()).then_some(0));
    }

    #[test]
    fn a_lifo_queue_is_what_a_naive_one_is(steps in steps(), capacity in prop::option::of(1..9_usize)) {
        compare::<LifoQueue<u64>>(steps, capacity, |items| items.len().checked_sub(1));
    }

    #[test]
    fn a_priority_queue_is_what_a_naive_one_is(steps in steps(), capacity in prop::option::of(1..9_usize)) {
        compare::<PriorityQueue<u64>>(steps, capacity, |items| {
            (0..items.len()).min_by_key(|&at| (items[at], at))
        });
    }
}
