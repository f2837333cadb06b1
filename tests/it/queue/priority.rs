//! Comparisons that wait, panic, come back, and contradict themselves.

use std::cell::Cell;
use std::cmp::Ordering as Than;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use greenloom::queue::{PriorityQueue, TryGetError};
use greenloom::sync::{Arc, Event, Mutex};
use greenloom::{spawn, yield_now};

use super::Drops;
use crate::util::{Random, green};

/// Compares by what its maker says.
#[derive(Clone)]
struct By {
    key: u64,
    compare: Arc<dyn Fn(u64, u64) -> Than + Send + Sync>,
}

impl By {
    fn new(key: u64, compare: impl Fn(u64, u64) -> Than + Send + Sync + 'static) -> Self {
        By {
            key,
            compare: Arc::new(compare),
        }
    }

    fn with(&self, key: u64) -> Self {
        By {
            key,
            compare: self.compare.clone(),
        }
    }
}

impl Ord for By {
    fn cmp(&self, other: &Self) -> Than {
        (self.compare)(self.key, other.key)
    }
}

impl PartialOrd for By {
    fn partial_cmp(&self, other: &Self) -> Option<Than> {
        Some(self.cmp(other))
    }
}

impl PartialEq for By {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Than::Equal
    }
}

impl Eq for By {}

#[test]
fn equal_items_come_in_the_order_of_their_puts() {
    #[derive(Clone, Copy, Debug)]
    struct Ranked(u8, usize);
    impl PartialEq for Ranked {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Ranked {}
    impl PartialOrd for Ranked {
        fn partial_cmp(&self, other: &Self) -> Option<Than> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Ranked {
        fn cmp(&self, other: &Self) -> Than {
            self.0.cmp(&other.0)
        }
    }
    let mut random = Random::new(3);
    let queue = PriorityQueue::unbounded();
    let mut inside = Vec::new();
    for number in 0..20_000 {
        if random.below(5) < 3 {
            let item = Ranked(random.below(7) as u8, number);
            queue.put(item).unwrap();
            inside.push(item);
        } else {
            let got = queue.try_get().ok().map(|item| (item.0, item.1));
            let least = inside.iter().map(|item| (item.0, item.1)).min();
            assert_eq!(got, least);
            inside.retain(|item| Some((item.0, item.1)) != least);
        }
    }
}

#[test]
fn a_comparison_that_panics_leaves_every_item_inside() {
    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }
    let compare = |a: u64, b: u64| {
        LEFT.with(|left| match left.get() {
            Some(0) => panic!("no more comparisons"),
            Some(n) => left.set(Some(n - 1)),
            None => {}
        });
        a.cmp(&b)
    };
    // At every comparison of a run in turn.
    for fatal in 0..40 {
        let sample = By::new(0, compare);
        let queue = PriorityQueue::unbounded();
        let keys = [5, 3, 8, 1, 9, 2, 7, 0, 6, 4];
        for key in keys {
            queue.put(sample.with(key)).unwrap();
        }
        LEFT.set(Some(fatal));
        let mut taken = Vec::new();
        loop {
            match catch_unwind(|| queue.try_get()) {
                Ok(Ok(item)) => taken.push(item.key),
                Ok(Err(error)) => break assert!(error.is_empty()),
                Err(_) => {
                    assert_eq!(LEFT.replace(None), Some(0));
                    assert_eq!(queue.len(), 10 - taken.len());
                }
            }
        }
        LEFT.set(None);
        assert_eq!(taken, (0..10).collect::<Vec<_>>(), "fatal {fatal}");
        assert_eq!(queue.unfinished(), 10);
    }
}

#[test]
fn a_getter_whose_comparison_panics_passes_its_item_on() {
    green(|| {
        let is_fatal = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let flag = is_fatal.clone();
        let sample = By::new(0, move |a, b| {
            if flag.swap(false, std::sync::atomic::Ordering::Relaxed) {
                panic!("the first comparison");
            }
            a.cmp(&b)
        });
        let queue = PriorityQueue::<By>::unbounded();
        let wait = || {
            let queue = queue.clone();
            let task = spawn(move || queue.get().map(|item| item.key));
            yield_now();
            task
        };
        let (first, second, third) = (wait(), wait(), wait());
        queue.put(sample.with(2)).unwrap();
        queue.put(sample.with(1)).unwrap();
        assert!(first.join().unwrap_err().is_panic());
        assert_eq!(second.join().unwrap(), Ok(1));
        assert_eq!(third.join().unwrap(), Ok(2));
    });
}

#[test]
fn a_comparison_that_waits_keeps_the_other_getters_and_nobody_else() {
    green(|| {
        let (go, waits) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (gate, told) = (go.clone(), waits.clone());
        let sample = By::new(0, move |a, b| {
            told.set();
            gate.wait();
            a.cmp(&b)
        });
        let queue = PriorityQueue::bounded(5);
        for key in [3, 1, 2] {
            queue.put(sample.with(key)).unwrap();
        }
        let get = || {
            let queue = queue.clone();
            spawn(move || queue.get().unwrap().key)
        };
        let getters = [get(), get()];
        waits.wait();
        yield_now();
        // Two are promised.
        assert_eq!(queue.len(), 1);
        queue.put(sample.with(0)).unwrap();
        queue.put(sample.with(9)).unwrap();
        // The places of those being chosen are not free yet.
        assert!(queue.is_full() && queue.try_put(sample.with(4)).is_err());
        assert!(getters.iter().all(|getter| !getter.is_finished()));
        go.set();
        let mut taken: Vec<_> = getters
            .into_iter()
            .map(|task| task.join().unwrap())
            .collect();
        taken.extend(queue.try_iter().map(|item| item.key));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 9]);
    });
}

#[test]
fn getters_cancelled_in_a_comparison_or_while_they_wait_for_one_lose_nothing() {
    green(|| {
        let go = Arc::new(Event::new());
        let gate = go.clone();
        let sample = By::new(0, move |a, b| {
            gate.wait();
            a.cmp(&b)
        });
        let queue = PriorityQueue::from_iter([3, 1, 2].map(|key| sample.with(key)));
        let get = || {
            let queue = queue.clone();
            let task = spawn(move || queue.get().unwrap().key);
            yield_now();
            task
        };
        let (compares, waits, last) = (get(), get(), get());
        assert_eq!(queue.len(), 0);
        waits.cancel();
        compares.cancel();
        assert!(waits.join().unwrap_err().is_cancelled());
        assert!(compares.join().unwrap_err().is_cancelled());
        assert_eq!(queue.len(), 2);
        go.set();
        assert_eq!(last.join().unwrap(), 1);
        let rest: Vec<_> = queue.try_iter().map(|item| item.key).collect();
        assert_eq!(rest, [2, 3]);
    });
}

#[test]
fn a_shutdown_at_once_in_the_midst_of_a_comparison_drops_everything() {
    struct Slow(u64, Arc<Event>, #[expect(dead_code)] super::Counted);
    impl Ord for Slow {
        fn cmp(&self, other: &Self) -> Than {
            self.1.wait();
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Slow {
        fn partial_cmp(&self, other: &Self) -> Option<Than> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Slow {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Than::Equal
        }
    }
    impl Eq for Slow {}

    for cancels in [false, true] {
        green(|| {
            let (go, drops) = (Arc::new(Event::new()), Drops::new());
            let queue = PriorityQueue::unbounded();
            for key in [3, 1, 2] {
                assert!(queue.put(Slow(key, go.clone(), drops.one())).is_ok());
            }
            let get = || {
                let queue = queue.clone();
                let task = spawn(move || queue.get().is_ok());
                yield_now();
                task
            };
            let getters = [get(), get()];
            assert!(queue.put(Slow(4, go.clone(), drops.one())).is_ok());
            queue.shutdown(true);
            assert_eq!((queue.len(), queue.unfinished()), (0, 0));
            queue.join();
            if cancels {
                getters.iter().for_each(|getter| getter.cancel());
            } else {
                go.set();
            }
            for getter in getters {
                assert_ne!(getter.join().ok(), Some(true));
            }
            assert_eq!(drops.count(), 4);
            assert!(queue.try_get().is_err_and(|error| error.is_shut_down()));
        });
    }
}

#[test]
fn a_comparison_may_put_into_its_own_queue_and_may_not_take_from_it() {
    static QUEUE: OnceLock<PriorityQueue<By>> = OnceLock::new();
    let queue = QUEUE.get_or_init(PriorityQueue::unbounded);
    let puts = By::new(0, |a, b| {
        let queue = QUEUE.get().unwrap();
        if queue.len() < 3 {
            queue.put(By::new(7, |a, b| a.cmp(&b))).unwrap();
        }
        a.cmp(&b)
    });
    queue.put(puts.with(2)).unwrap();
    queue.put(puts.with(1)).unwrap();
    assert_eq!(queue.get().unwrap().key, 1);
    assert_eq!(queue.get().unwrap().key, 2);
    assert!(queue.try_iter().all(|item| item.key == 7));

    let takes = By::new(0, |a, b| {
        QUEUE.get().unwrap().try_get().ok();
        a.cmp(&b)
    });
    let on_task = || green(|| catch_unwind(AssertUnwindSafe(|| queue.get().map(drop))));
    for key in [2, 1, 3] {
        queue.put(takes.with(key)).unwrap();
    }
    for caught in [catch_unwind(|| queue.get().map(drop)), on_task()] {
        let payload = caught.unwrap_err();
        let text = payload.downcast_ref::<&str>().unwrap();
        assert!(
            text.contains("takes from the PriorityQueue that it sorts"),
            "{text}"
        );
    }
    assert_eq!(queue.len(), 3);
    queue.shutdown(true);
    assert!(matches!(queue.try_get(), Err(TryGetError::ShutDown)));
}

#[test]
fn an_order_that_contradicts_itself_loses_nothing() {
    let random = Mutex::new(Random::new(5));
    let sample = By::new(0, move |_, _| {
        [Than::Less, Than::Equal, Than::Greater][random.lock().unwrap().below(3)]
    });
    let queue = PriorityQueue::unbounded();
    let (mut next, mut taken) = (0, BTreeSet::new());
    for _ in 0..300 {
        for _ in 0..next % 17 + 1 {
            queue.put(sample.with(next)).unwrap();
            next += 1;
        }
        for _ in 0..next % 13 {
            if let Ok(item) = queue.try_get() {
                assert!(taken.insert(item.key));
            }
        }
    }
    taken.extend(queue.try_iter().map(|item| item.key));
    assert_eq!(taken.len() as u64, next);
}
