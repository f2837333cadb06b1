//! What a panic carries: anything, even what panics when it is dropped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many payloads that panic in their own drop are followed, each the payload of the one before.
const PATIENCE: u32 = 8;

/// Drops the payload of a panic that goes no further; nothing unwinds out of this. One whose drops panic
/// without end is leaked.
pub(crate) fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PATIENCE {
        match catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::resume_unwind;

    thread_local! {
        static DROPPED: Cell<u32> = const { Cell::new(0) };
    }

    /// Panics in its drop with one of the same kind, so many times.
    struct Chain(u32);

    impl Drop for Chain {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
            if self.0 > 0 {
                resume_unwind(Box::new(Chain(self.0 - 1)));
            }
        }
    }

    #[test]
    fn a_payload_whose_drop_panics_is_dropped_to_its_end_or_leaked() {
        discard(Box::new("harmless"));
        discard(Box::new(Chain(3)));
        assert_eq!(DROPPED.get(), 4);
        DROPPED.set(0);
        discard(Box::new(Chain(u32::MAX)));
        assert_eq!(DROPPED.get(), PATIENCE);
    }
}
