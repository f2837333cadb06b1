//! The heap beside a naive map, the corners of its laziness, and its speed.

use super::*;
use std::collections::BTreeMap;

/// The naive timers: a map ordered by deadline and sequence.
#[derive(Default)]
struct Model {
    timers: BTreeMap<(u64, u64), u64>,
    sequence: u64,
}

impl Model {
    fn insert(&mut self, deadline: u64, value: u64) -> (u64, u64) {
        self.sequence += 1;
        self.timers.insert((deadline, self.sequence), value);
        (deadline, self.sequence)
    }

    fn pop_due(&mut self, now: u64) -> Option<u64> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn check(timers: &Timers<u64>) {
    for (place, entry) in timers.heap.iter().enumerate().skip(1) {
        assert!(
            timers.heap[(place - 1) / WIDTH].rank() < entry.rank(),
            "heap order"
        );
    }
    for (lane, &end) in timers.lanes.iter().zip(&timers.ends) {
        assert_eq!(lane.back().map_or(0, |last| last.deadline), end);
        assert!(
            lane.iter().is_sorted_by_key(|entry| entry.rank()),
            "lane order"
        );
    }
    let link = |entry: &Entry| timers.slots.slots[entry.slot()].link;
    let queues = timers
        .lanes
        .iter()
        .map(|lane| lane.iter().collect::<Vec<_>>());
    let queues: Vec<Vec<&Entry>> = queues.chain([timers.heap.iter().collect()]).collect();
    for (number, queue) in queues.iter().enumerate() {
        assert!(
            queue.first().is_none_or(|first| link(first) != DEAD),
            "dead first"
        );
        for entry in queue {
            assert!(
                [DEAD, LIVE + number as u32].contains(&link(entry)),
                "wrong queue"
            );
        }
    }
    let count = |of: fn(u32) -> bool| timers.slots.slots.iter().filter(|s| of(s.link)).count();
    let (dead, live) = (
        count(|link| link == DEAD),
        count(|link| link >= LIVE && link != DEAD),
    );
    assert_eq!((dead, live), (timers.slots.dead, timers.len()));
    assert_eq!(dead + live, queues.iter().map(Vec::len).sum());
    assert!(dead <= COMPACT_FROM || dead <= live);
}

/// `spread` of the deadlines, and how often of ten each operation is an insertion.
fn against_the_model(seed: u64, spread: u64, inserts: u64, start: u32) {
    let mut random = Random(seed);
    let mut timers = Timers::new();
    timers.sequence = start;
    let mut model = Model::default();
    let mut keys = Vec::new();
    let mut now = 0;
    for step in 0..20_000u64 {
        match random.below(10) {
            roll if roll < inserts => {
                let deadline = now + random.below(spread);
                keys.push((timers.insert(deadline, step), model.insert(deadline, step)));
            }
            roll if roll < 9 && !keys.is_empty() => {
                // Old keys are tried again at times: they must name nothing.
                let at = random.below(keys.len() as u64) as usize;
                let (key, twin) = keys[at];
                assert_eq!(
                    timers.remove(key),
                    model.timers.remove(&twin),
                    "seed {seed}"
                );
                if random.below(4) != 0 {
                    keys.swap_remove(at);
                }
            }
            _ => {
                now += random.below(spread / 4 + 1);
                for _ in 0..random.below(20) {
                    assert_eq!(timers.pop_due(now), model.pop_due(now), "seed {seed}");
                }
            }
        }
        assert_eq!(timers.len(), model.timers.len());
        assert_eq!(timers.is_empty(), model.timers.is_empty());
        assert_eq!(
            timers.next_deadline(),
            model.timers.keys().next().map(|key| key.0)
        );
        if step % 64 == 0 {
            check(&timers);
        }
    }
    while let Some(value) = model.pop_due(u64::MAX) {
        assert_eq!(timers.pop_due(u64::MAX), Some(value), "seed {seed}");
    }
    assert_eq!(timers.pop_due(u64::MAX), None);
    check(&timers);
}

#[test]
fn random_use_agrees_with_a_naive_model() {
    for seed in 1..6 {
        against_the_model(seed, 1_000_000, 5, 0);
        against_the_model(seed, 5, 5, 0);
        against_the_model(seed, 1_000, 7, 0);
        against_the_model(seed, 1_000, 2, 0);
    }
}

#[test]
fn the_sequence_never_wraps() {
    against_the_model(9, 5, 5, u32::MAX - 1_000);
    against_the_model(10, 1_000, 5, u32::MAX - 3_000);
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let mut timers = Timers::new();
    for value in 0..1_000 {
        timers.insert(42, value);
    }
    assert_eq!(timers.pop_due(41), None);
    for value in 0..1_000 {
        assert_eq!(timers.pop_due(42), Some(value));
    }
}

#[test]
fn an_old_key_names_nothing() {
    let mut timers = Timers::new();
    let first = timers.insert(1, 'a');
    assert_eq!(timers.pop_due(1), Some('a'));
    let second = timers.insert(2, 'b');
    assert_eq!(timers.remove(first), None);
    assert_eq!(timers.remove(second), Some('b'));
    assert_eq!(timers.remove(second), None);
    assert!(timers.is_empty());
}

#[test]
fn withdrawn_timers_do_not_pile_up() {
    let mut timers = Timers::new();
    timers.insert(1_000_000, 0);
    for deadline in 0..100_000 {
        let key = timers.insert(500_000 - deadline % 1_000, deadline);
        timers.insert(2_000_000, deadline);
        timers.remove(key);
        if deadline % 8 == 0 {
            timers.pop_due(deadline);
        }
    }
    check(&timers);
    let mut timers = Timers::new();
    for deadline in (0..100_000).rev() {
        let key = timers.insert(deadline, 0);
        timers.remove(key);
    }
    assert_eq!((timers.heap.len(), timers.slots.slots.len()), (0, 1));
}

#[test]
fn the_memory_of_a_burst_is_given_back_and_its_keys_stay_dead() {
    let mut timers = Timers::new();
    let keys: Vec<_> = (0..10_000)
        .map(|value| timers.insert(value % 100, value))
        .collect();
    while timers.pop_due(u64::MAX).is_some() {}
    assert_eq!(
        (timers.heap.capacity(), timers.slots.slots.capacity()),
        (0, 0)
    );
    let new: Vec<_> = (0..10_000)
        .map(|value| timers.insert(value, value))
        .collect();
    assert!(keys.iter().all(|&key| timers.remove(key).is_none()));
    assert!(new.iter().all(|&key| timers.remove(key).is_some()));
    assert_eq!(timers.slots.slots.capacity(), 0);
}

#[test]
fn a_million_take_at_most_forty_bytes_each() {
    let mut random = Random(7);
    let mut timers = Timers::new();
    for value in 0..1_000_000usize {
        timers.insert(random.below(1 << 40), value);
    }
    let lanes: usize = timers.lanes.iter().map(VecDeque::capacity).sum();
    let bytes = (timers.heap.capacity() + lanes) * size_of::<Entry>()
        + timers.slots.slots.capacity() * size_of::<Slot<usize>>();
    assert!(bytes <= 40_000_000, "{bytes}");
}

/// Run by hand: `cargo test --release timers_speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn timers_speed() {
    for population in [0u64, 1, 100, 10_000, 1_000_000] {
        for far in [true, false] {
            let mut random = Random(11);
            let mut timers = Timers::new();
            for value in 0..population {
                timers.insert(random.below(1 << 40), value);
            }
            let start = std::time::Instant::now();
            const PAIRS: u64 = 10_000_000;
            for pair in 0..PAIRS {
                let deadline = if far {
                    (1 << 40) + pair
                } else {
                    random.below(1 << 40)
                };
                let key = timers.insert(deadline, pair);
                assert!(timers.remove(std::hint::black_box(key)).is_some());
            }
            let nanos = start.elapsed().as_nanos() as f64 / PAIRS as f64;
            let kind = if far { "later than all" } else { "random" };
            println!("insert + remove, {population:>8} set, {kind:>14}: {nanos:.1} ns");
        }
    }
    for population in [100usize, 10_000, 1_000_000] {
        let mut timers = Timers::new();
        let mut keys = std::collections::VecDeque::new();
        for deadline in 0..population as u64 {
            keys.push_back(timers.insert(deadline, deadline));
        }
        let start = std::time::Instant::now();
        const PAIRS: u64 = 10_000_000;
        for pair in 0..PAIRS {
            timers.remove(keys.pop_front().unwrap());
            keys.push_back(timers.insert(population as u64 + pair, pair));
        }
        let nanos = start.elapsed().as_nanos() as f64 / PAIRS as f64;
        println!("remove oldest + insert newest, {population:>8} set: {nanos:.1} ns");
        let start = std::time::Instant::now();
        let mut fired = 0u64;
        while timers.pop_due(u64::MAX).is_some() {
            fired += 1;
        }
        println!(
            "  fire: {:.1} ns",
            start.elapsed().as_nanos() as f64 / fired as f64
        );
    }
}
