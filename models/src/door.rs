//! The door of a latch: whoever is inside is alone there, and sees what the one before has done.
//!
//! Under loom the value lies in a cell that loom watches: two that are inside at once, or one that comes in
//! without the other's leaving having happened before, is an error.

use crate::sync::door::Door;

#[cfg(loom)]
use loom::{cell::UnsafeCell, sync::Arc, thread};
#[cfg(shuttle)]
use shuttle::{sync::Arc, thread};

#[cfg(shuttle)]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(shuttle)]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// With a chance for the others between the look and the deed, so that one too many is noticed.
    fn with_mut(&self, f: impl FnOnce(*mut T)) {
        thread::yield_now();
        f(self.0.get());
    }
}

struct Latched {
    door: Door,
    /// Touched inside only.
    entries: UnsafeCell<u32>,
}

// SAFETY: the door lets one in at a time: what the model is to show.
unsafe impl Sync for Latched {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Latched {}

impl Latched {
    fn visit(&self, me: u32) {
        let inside = self.door.enter(me);
        self.entries.with_mut(|entries| {
            // SAFETY: inside.
            let before = unsafe { *entries };
            #[cfg(shuttle)]
            thread::yield_now();
            // SAFETY: still inside.
            unsafe { *entries = before + 1 };
        });
        inside.leave();
    }
}

fn model(visits: &[u32]) {
    let latched = Arc::new(Latched {
        door: Door::new(),
        entries: UnsafeCell::new(0),
    });
    let threads: Vec<_> = (2..)
        .zip(&visits[1..])
        .map(|(me, &visits)| {
            let latched = latched.clone();
            thread::spawn(move || (0..visits).for_each(|_| latched.visit(me)))
        })
        .collect();
    (0..visits[0]).for_each(|_| latched.visit(1));
    for thread in threads {
        thread.join().unwrap();
    }
    let all: u32 = visits.iter().sum();
    latched.entries.with_mut(|entries| {
        // SAFETY: the others have ended.
        assert_eq!(unsafe { *entries }, all);
    });
}

#[cfg(loom)]
#[test]
fn one_at_a_time_is_inside_of_a_door_that_leans_and_of_one_that_ceases_to() {
    loom::model(|| model(&[3, 1]));
}

#[cfg(shuttle)]
#[test]
fn any_number_of_threads_are_inside_one_at_a_time() {
    shuttle::check_random(|| model(&[6, 3, 3, 2]), 20_000);
    shuttle::check_pct(|| model(&[6, 3, 3, 2]), 10_000, 3);
}
