//! Who waits for answers on one connection, and which of them reads for all.
//!
//! One of those who *listen*, the *leader*, reads; what is not its own answer it leaves to whom it belongs. The others
//! wait to be rung: because their answer is there, or because nobody reads any more.
//!
//! ```text
//!   who listens                                who ceases to, for whatever reason
//!   1. says so                                 1. lets go of the right to read, if it has it
//!   2. tries to get the right to read          2. takes back that it listens,
//!   3. if another has it, waits to be rung,       and finds another who does
//!      and begins again at 2                   3. rings that one
//! ```
//!
//! *While somebody listens, somebody reads, or has been rung and is about to try.* Both look under one lock: if one's 1
//! comes after the other's 2, then so does its try, and the right to read is free, or is another one's, who will come to
//! his own 2. Whoever was rung and ceases to listen, instead of reading, rings the next.
//!
//! *Nobody is relied on who waits for something else.* A call that waits for room in the socket is known here, for its
//! answer comes some time, and does not listen yet: a server that has many answers on their way to us takes no call
//! until somebody has read them.

use std::collections::BTreeMap;

use crate::base::primitive::{Arc, Mutex, lock};

/// Where an answer is left.
pub(crate) trait Bell {
    /// Has the one who waits look again.
    fn ring(&self);
}

/// By the numbers of their calls.
#[derive(Debug)]
pub(crate) struct Waiters<S> {
    map: Mutex<BTreeMap<u64, Waiter<S>>>,
}

#[derive(Debug)]
struct Waiter<S> {
    slot: Arc<S>,
    listens: bool,
}

impl<S: Bell> Waiters<S> {
    pub(crate) fn new() -> Self {
        Waiters {
            map: Mutex::new(BTreeMap::new()),
        }
    }

    /// Before the call is sent. False when there is one of that number.
    #[must_use]
    pub(crate) fn enter(&self, number: u64, slot: &Arc<S>) -> bool {
        use std::collections::btree_map::Entry;
        match lock(&self.map).entry(number) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                let slot = slot.clone();
                place.insert(Waiter {
                    slot,
                    listens: false,
                });
                true
            }
        }
    }

    /// Its answer has come, or is not waited for: takes it out.
    pub(crate) fn leave(&self, number: u64) -> Option<Arc<S>> {
        lock(&self.map).remove(&number).map(|waiter| waiter.slot)
    }

    /// The call is sent: from now on it listens, to the end of what this returns.
    pub(crate) fn listen(&self, number: u64) -> Listening<'_, S> {
        if let Some(waiter) = lock(&self.map).get_mut(&number) {
            waiter.listens = true;
        }
        Listening {
            waiters: self,
            number,
        }
    }

    pub(crate) fn ring_all(&self) {
        let all: Vec<_> = lock(&self.map)
            .values()
            .map(|waiter| waiter.slot.clone())
            .collect();
        all.iter().for_each(|slot| slot.ring());
    }
}

/// A time in which one listens. The right to read must end before it does.
#[derive(Debug)]
pub(crate) struct Listening<'a, S: Bell> {
    waiters: &'a Waiters<S>,
    number: u64,
}

impl<S: Bell> Drop for Listening<'_, S> {
    fn drop(&mut self) {
        let next = {
            let mut map = lock(&self.waiters.map);
            if let Some(waiter) = map.get_mut(&self.number) {
                waiter.listens = false;
            }
            let mut others = map.values().filter(|waiter| waiter.listens);
            others.next().map(|waiter| waiter.slot.clone())
        };
        if let Some(next) = next {
            next.ring();
        }
    }
}
