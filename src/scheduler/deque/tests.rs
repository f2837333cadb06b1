//! The deque against a plain queue, and against thieves in earnest.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
use std::thread;

use super::*;

/// A deque without thieves and one with a thief, both small enough to grow.
fn both_kinds<T: Word>() -> [(Owner<T>, Option<Stealer<T>>); 2] {
    let (owner, stealer) = with_capacity(2);
    [(alone(), None), (owner, Some(stealer))]
}

#[test]
fn the_front_is_the_oldest_and_the_back_the_newest() {
    for (owner, _stealer) in both_kinds() {
        (0..5).for_each(|i| owner.push(Box::new(i)));
        assert_eq!(owner.take_front().as_deref(), Some(&0));
        assert_eq!(owner.pop_back().as_deref(), Some(&4));
        assert_eq!(owner.len(), 3);
        assert_eq!(owner.pop_back().as_deref(), Some(&3));
        assert_eq!(owner.take_front().as_deref(), Some(&1));
        assert_eq!(owner.pop_back().as_deref(), Some(&2));
        assert_eq!((owner.pop_back(), owner.take_front()), (None, None));
        owner.push(Box::new(9));
        assert_eq!(owner.take_front().as_deref(), Some(&9));
    }
}

#[test]
fn who_is_ahead_is_known_by_address_as_far_as_there_are_any() {
    for (owner, _stealer) in both_kinds() {
        let items: Vec<Box<u32>> = (0..5).map(Box::new).collect();
        let words: Vec<_> = items.iter().map(|item| item.as_word().as_ptr()).collect();
        items.into_iter().for_each(|item| owner.push(item));
        assert_eq!(owner.take_front().as_deref(), Some(&0));
        assert_eq!(owner.ahead(0), words[1].cast_const());
        assert_eq!(owner.ahead(3), words[4].cast_const());
        assert!(owner.ahead(4).is_null());
    }
}

#[test]
fn a_random_walk_agrees_with_a_vec_deque() {
    for (owner, stealer) in both_kinds::<Box<u64>>() {
        let (mut model, mut seed) = (std::collections::VecDeque::new(), 0x9E37_79B9_7F4A_7C15_u64);
        for step in 0..100_000_u64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Long tides of filling and draining, so that the ring grows and comes back empty.
            match (seed >> 32) % if step / 1000 % 2 == 0 { 8 } else { 4 } {
                0 => assert_eq!(owner.pop_back().as_deref(), model.pop_back().as_ref()),
                1 => assert_eq!(owner.take_front().as_deref(), model.pop_front().as_ref()),
                2 => match stealer.as_ref().map(Stealer::steal) {
                    Some(Steal::Taken(item)) => assert_eq!(Some(*item), model.pop_front()),
                    Some(other) => assert_eq!((other, model.is_empty()), (Steal::Empty, true)),
                    None => {}
                },
                _ => {
                    owner.push(Box::new(step));
                    model.push_back(step);
                }
            }
            assert_eq!(owner.len(), model.len());
        }
    }
}

#[test]
fn a_batch_is_half_and_keeps_its_order() {
    let (owner, stealer) = shared();
    let thief = alone();
    (0..9).for_each(|i| owner.push(Box::new(i)));
    assert_eq!(stealer.steal_batch_into(&thief), Steal::Taken(Box::new(0)));
    let taken: Vec<_> = std::iter::from_fn(|| thief.take_front())
        .map(|i| *i)
        .collect();
    assert_eq!((taken, owner.len()), (vec![1, 2, 3, 4], 4));
    (0..100).for_each(|i| owner.push(Box::new(i)));
    let _ = stealer.steal_batch_into(&thief);
    assert_eq!(thief.len(), 31);
}

#[test]
fn what_is_left_is_dropped_with_the_last_end() {
    let witness = std::sync::Arc::new(());
    let (owner, stealer) = with_capacity(2);
    (0..100).for_each(|_| owner.push(witness.clone()));
    drop((owner.take_front(), owner.pop_back(), stealer.steal()));
    drop(owner);
    assert_eq!(std::sync::Arc::strong_count(&witness), 98);
    assert!(!stealer.is_empty());
    drop(stealer);
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
}

#[test]
fn a_million_items_are_delivered_once_each() {
    const ITEMS: usize = 1_000_000;
    let seen: Vec<AtomicU8> = (0..ITEMS).map(|_| AtomicU8::new(0)).collect();
    let note = |item: Box<usize>| assert_eq!(seen[*item].fetch_add(1, Ordering::Relaxed), 0);
    let (owner, stealer) = with_capacity(2);
    let (done, stolen) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for which in 0..3 {
            let (stealer, note, done, stolen) = (stealer.clone(), &note, &done, &stolen);
            scope.spawn(move || {
                let own = alone();
                loop {
                    let taken = if which == 0 {
                        stealer.steal()
                    } else {
                        stealer.steal_batch_into(&own)
                    };
                    match taken {
                        Steal::Taken(item) => {
                            stolen.fetch_add(own.len() + 1, Ordering::Relaxed);
                            note(item);
                            std::iter::from_fn(|| own.pop_back()).for_each(note);
                        }
                        Steal::Empty if done.load(Ordering::Acquire) => break,
                        Steal::Empty => thread::yield_now(),
                        Steal::Retry => {}
                    }
                }
            });
        }
        for item in 0..ITEMS {
            owner.push(Box::new(item));
            // Mostly near empty, where the two ends meet; now and then a long queue, so that it grows.
            if item % 100_000 < 50_000 {
                match item % 3 {
                    0 => owner.pop_back().into_iter().for_each(note),
                    1 => owner.take_front().into_iter().for_each(note),
                    _ => {}
                }
            }
        }
        std::iter::from_fn(|| owner.pop_back()).for_each(note);
        done.store(true, Ordering::Release);
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    assert!(stolen.into_inner() > 0, "the thieves never came to it");
}

#[test]
fn what_is_retained_keeps_its_order_though_the_deque_is_used_meanwhile() {
    for (owner, _stealer) in both_kinds::<Box<u64>>() {
        (0..100).for_each(|i| owner.push(Box::new(i)));
        let _ = (owner.take_front(), owner.pop_back());
        owner.retain(|item| {
            // As a destructor might that spawns.
            if **item % 10 == 5 {
                (0..50).for_each(|i| owner.push(Box::new(1000 + i)));
            }
            **item % 2 == 0
        });
        let left: Vec<u64> = std::iter::from_fn(|| owner.take_front())
            .map(|i| *i)
            .collect();
        let kept: Vec<u64> = left.iter().copied().filter(|i| *i < 1000).collect();
        assert_eq!(kept, (1..99).filter(|i| i % 2 == 0).collect::<Vec<_>>());
        assert_eq!(left.len(), kept.len() + 500);
    }
}

#[test]
fn a_panic_while_retaining_drops_the_rest_once() {
    let witness = std::sync::Arc::new(());
    let (owner, _stealer) = with_capacity(2);
    (0..10).for_each(|_| owner.push(witness.clone()));
    let mut seen = 0;
    let panicking = std::panic::AssertUnwindSafe(|| {
        owner.retain(|_| {
            seen += 1;
            assert!(seen < 5);
            true
        });
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(
        (owner.len(), std::sync::Arc::strong_count(&witness)),
        (4, 5)
    );
}
