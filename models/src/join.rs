//! The cell between a task that completes and the one that joins it.
//!
//! One word of two bits. The completer writes the result, sets `COMPLETE`, and wakes if `WAITING` was
//! set. The joiner writes its waker, sets `WAITING`, and parks unless `COMPLETE` was set. Each looks at
//! the other's bit in the same step in which it sets its own, so that at least one sees the other.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU8, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

const COMPLETE: u8 = 1;
const WAITING: u8 = 2;

struct Cell {
    state: AtomicU8,
    /// The completer's until `COMPLETE`, then the joiner's.
    result: UnsafeCell<Option<u32>>,
    /// The joiner's until `WAITING`, then the completer's, unless the joiner saw `COMPLETE`.
    waker: UnsafeCell<Option<Arc<Notify>>>,
}

// SAFETY: each field has one owner at any time, as said above; loom checks exactly that.
unsafe impl Sync for Cell {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Cell {}

impl Cell {
    fn complete(&self, result: u32) {
        // SAFETY: nobody reads the result before `COMPLETE` is set.
        self.result.with_mut(|cell| unsafe { *cell = Some(result) });
        // Release: the result, to the joiner. Acquire: the waker, from the joiner. Seed: Relaxed.
        let before = self.state.fetch_or(COMPLETE, Ordering::AcqRel);
        if before & WAITING != 0 {
            // SAFETY: the joiner set `WAITING` before we completed, so it parks and has left us this.
            let waker = self.waker.with_mut(|cell| unsafe { (*cell).take() });
            waker.expect("a waker").notify();
        }
    }

    fn join(&self) -> u32 {
        // Acquire: pairs with the release in `complete`.
        if self.state.load(Ordering::Acquire) & COMPLETE == 0 {
            let notify = Arc::new(Notify::new());
            // SAFETY: the completer does not look here before `WAITING` is set.
            self.waker
                .with_mut(|cell| unsafe { *cell = Some(notify.clone()) });
            // Release: the waker, to the completer. Acquire: the result, if it was faster.
            // Seed: do not look at what came before, and park in any case.
            if self.state.fetch_or(WAITING, Ordering::AcqRel) & COMPLETE == 0 {
                // A wake may be spurious: look again.
                while self.state.load(Ordering::Acquire) & COMPLETE == 0 {
                    notify.wait();
                }
            }
        }
        // SAFETY: `COMPLETE` is set, and the load that saw it acquired.
        self.result
            .with_mut(|cell| unsafe { (*cell).take() })
            .expect("a result")
    }
}

#[test]
fn a_join_is_woken_and_reads_a_complete_result() {
    loom::model(|| {
        let cell = Arc::new(Cell {
            state: AtomicU8::new(0),
            result: UnsafeCell::new(None),
            waker: UnsafeCell::new(None),
        });
        let completer = {
            let cell = cell.clone();
            thread::spawn(move || cell.complete(7))
        };
        assert_eq!(cell.join(), 7);
        completer.join().unwrap();
    });
}
