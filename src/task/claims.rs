//! Claims to be used by one select after the other; none is ever freed.
//!
//! A seat refers to its select's claim without a count: as the memory stays, a reference is plain data. There
//! are never more than there have been selects waiting at a time, 64 bytes each.

use std::ops::Deref;

use crate::base::primitive::{Mutex, lock};

use super::claim::Claim;

/// How many are made at a time.
const BATCH: usize = 16;

static SPARE: Mutex<Vec<&'static Claim>> = Mutex::new(Vec::new());

/// A claim that is the holder's own until it is dropped.
#[derive(Debug)]
pub(super) struct Held(&'static Claim);

impl Held {
    pub(super) fn take() -> Held {
        let mut spare = lock(&SPARE);
        if spare.is_empty() {
            let batch: Vec<Claim> = std::iter::repeat_with(Claim::new).take(BATCH).collect();
            let batch: &'static [Claim] = Vec::leak(batch);
            spare.extend(batch);
        }
        Held(spare.pop().expect("filled just now"))
    }
}

impl Deref for Held {
    type Target = &'static Claim;

    fn deref(&self) -> &&'static Claim {
        &self.0
    }
}

impl Drop for Held {
    /// Every seat with a stake in it has been left.
    fn drop(&mut self) {
        self.0.end();
        lock(&SPARE).push(self.0);
    }
}
