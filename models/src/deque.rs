//! The deque: each item is delivered once, and what was written before the push is seen by who gets it.
//!
//! Items are numbers, so that a double delivery is a failed check and not a double free. Each number has
//! a cell, written before the push and after the delivery: loom sees if two of these are not in order.

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::scheduler::deque::{Owner, Steal, Stealer, Word, with_capacity};

struct Number(usize);

impl Word for Number {
    fn into_word(self) -> NonNull<()> {
        self.as_word()
    }

    fn as_word(&self) -> NonNull<()> {
        NonNull::new((self.0 + 1) as *mut ()).unwrap()
    }

    unsafe fn from_word(word: NonNull<()>) -> Self {
        Number(word.as_ptr() as usize - 1)
    }
}

/// What each item carries: `true` from the push to the delivery.
struct Cells(Vec<UnsafeCell<bool>>);

// SAFETY: loom checks that the accesses to one cell are in order; that is the model.
unsafe impl Sync for Cells {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Cells {}

#[derive(Clone)]
struct Ledger(Arc<Cells>);

impl Ledger {
    fn new(items: usize) -> Self {
        Ledger(Arc::new(Cells(
            (0..items).map(|_| UnsafeCell::new(false)).collect(),
        )))
    }

    fn push(&self, owner: &Owner<Number>, item: usize) {
        // SAFETY: see `Cells`.
        self.0.0[item].with_mut(|cell| unsafe { *cell = true });
        owner.push(Number(item));
    }

    fn deliver(&self, item: Number) {
        // SAFETY: see `Cells`.
        let fresh =
            self.0.0[item.0].with_mut(|cell| unsafe { std::mem::replace(&mut *cell, false) });
        assert!(fresh, "delivered twice, or before it was pushed");
    }

    fn all_delivered(&self) {
        for cell in &self.0.0 {
            // SAFETY: see `Cells`.
            assert!(!cell.with(|cell| unsafe { *cell }), "never delivered");
        }
    }

    fn thief(&self, stealer: &Stealer<Number>, attempts: usize) -> thread::JoinHandle<()> {
        let (ledger, stealer) = (self.clone(), stealer.clone());
        thread::spawn(move || {
            for _ in 0..attempts {
                if let Steal::Taken(item) = stealer.steal() {
                    ledger.deliver(item);
                }
            }
        })
    }

    fn drain(&self, owner: &Owner<Number>) {
        while let Some(item) = owner.pop_back() {
            self.deliver(item);
        }
    }
}

#[test]
fn pop_back_against_one_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(2), with_capacity(2));
        ledger.push(&owner, 0);
        let thief = ledger.thief(&stealer, 2);
        ledger.push(&owner, 1);
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn an_index_used_again_against_one_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(3), with_capacity(2));
        ledger.push(&owner, 0);
        ledger.push(&owner, 1);
        let thief = ledger.thief(&stealer, 2);
        owner
            .pop_back()
            .into_iter()
            .for_each(|item| ledger.deliver(item));
        ledger.push(&owner, 2);
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn take_front_and_pop_back_against_one_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(3), with_capacity(4));
        (0..3).for_each(|item| ledger.push(&owner, item));
        let thief = ledger.thief(&stealer, 2);
        owner
            .take_front()
            .into_iter()
            .for_each(|item| ledger.deliver(item));
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn pop_back_against_two_thieves() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(2), with_capacity(2));
        (0..2).for_each(|item| ledger.push(&owner, item));
        let thieves = [ledger.thief(&stealer, 1), ledger.thief(&stealer, 1)];
        ledger.drain(&owner);
        thieves.into_iter().for_each(|thief| thief.join().unwrap());
        ledger.all_delivered();
    });
}

#[test]
fn the_ring_grows_under_a_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(3), with_capacity(1));
        let thief = ledger.thief(&stealer, 2);
        (0..3).for_each(|item| ledger.push(&owner, item));
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn a_slot_is_written_over_under_a_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(3), with_capacity(1));
        let thief = ledger.thief(&stealer, 2);
        for item in 0..3 {
            ledger.push(&owner, item);
            owner
                .take_front()
                .into_iter()
                .for_each(|item| ledger.deliver(item));
        }
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn a_batch_against_pop_back() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(4), with_capacity(4));
        (0..4).for_each(|item| ledger.push(&owner, item));
        let thief = {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let (own, _) = with_capacity(4);
                if let Steal::Taken(first) = stealer.steal_batch_into(&own) {
                    ledger.deliver(first);
                    ledger.drain(&own);
                }
            })
        };
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}

#[test]
fn a_sweep_against_one_thief() {
    loom::model(|| {
        let (ledger, (owner, stealer)) = (Ledger::new(3), with_capacity(2));
        (0..3).for_each(|item| ledger.push(&owner, item));
        let thief = ledger.thief(&stealer, 2);
        owner.retain(|item| {
            let keep = item.0 != 1;
            if !keep {
                ledger.deliver(Number(item.0));
            }
            keep
        });
        ledger.drain(&owner);
        thief.join().unwrap();
        ledger.all_delivered();
    });
}
