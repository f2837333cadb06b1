//! Who starts a task: its joiner, who runs it in place, or the thief who found its entry in a deque.
//!
//! The rule for the header of a task: the body is taken by whoever moves the state from `NEW` to
//! `STARTED`; the other one drops its reference and does nothing else.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use loom::thread;

const NEW: u8 = 0;
const STARTED: u8 = 1;

struct Header {
    state: AtomicU8,
    /// Written before the entry is published; taken by the winner of the claim.
    body: UnsafeCell<Option<u32>>,
}

// SAFETY: `body` is accessed by the winner of the exchange alone; loom checks exactly that.
unsafe impl Sync for Header {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Header {}

impl Header {
    fn claim(&self) -> Option<u32> {
        // Acquire: pairs with whatever published the entry (here: the start of the thread). Relaxed on
        // failure: the loser touches nothing. Seed: load, compare and store in three steps.
        let won = self
            .state
            .compare_exchange(NEW, STARTED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if !won {
            return None;
        }
        // SAFETY: `state` left `NEW` by our hand, which happens once.
        Some(
            self.body
                .with_mut(|body| unsafe { (*body).take() })
                .expect("a body taken twice"),
        )
    }
}

#[test]
fn exactly_one_starts_the_task() {
    loom::model(|| {
        let header = Arc::new(Header {
            state: AtomicU8::new(NEW),
            body: UnsafeCell::new(Some(7)),
        });
        let runs = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (header, runs) = (header.clone(), runs.clone());
                thread::spawn(move || {
                    if header.claim() == Some(7) {
                        runs.fetch_add(1, Ordering::Relaxed);
                    }
                    drop(header);
                })
            })
            .collect();
        if header.claim() == Some(7) {
            runs.fetch_add(1, Ordering::Relaxed);
        }
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&header), 1);
    });
}
