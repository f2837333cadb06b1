//! One waiter among several leaves, at each step at which anything can happen in turn.

use std::time::Duration;

use greenloom::{JoinHandle, sleep, spawn, timeout, yield_now};

use crate::util::virtual_time;

/// How and when the victim of a scene leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    steps: usize,
    is_cancelled: bool,
}

impl Exit {
    /// Spawns the task that will leave early; its outcome is `None` when it did.
    pub(super) fn victim<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        spawn(move || {
            if self.is_cancelled {
                return Some(f());
            }
            timeout(Duration::from_nanos(self.steps as u64), f).ok()
        })
    }

    /// Lets everybody go on for so many steps, then cancels the victim, if that is how it leaves.
    pub(super) fn strike<T>(self, victim: JoinHandle<Option<T>>) -> Option<T> {
        if self.is_cancelled {
            (0..self.steps).for_each(|_| tick());
            victim.cancel();
        }
        victim.join().unwrap_or_else(|error| {
            assert!(error.is_cancelled(), "{error}");
            None
        })
    }
}

/// A point at which others run, and at which time moves when all wait.
pub(super) fn tick() {
    yield_now();
    sleep(Duration::from_nanos(1));
}

/// Runs the scene once for each of so many moments at which its victim is cancelled, and once for each at
/// which its time is over.
pub(super) fn at_every_step(steps: usize, scene: impl Fn(Exit) + Copy) {
    for is_cancelled in [true, false] {
        for steps in 0..steps {
            let exit = Exit {
                steps,
                is_cancelled,
            };
            virtual_time(move || scene(exit));
        }
    }
}
