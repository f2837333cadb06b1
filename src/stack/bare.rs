//! A body on a stack of this wing and nothing else: what tests of this floor alone stand on.
//!
//! Not part of the interface.

use std::io;
use std::panic::{self, AssertUnwindSafe, Location};

use crate::stack::label::{Kind, Label};
use crate::stack::pool::thread_acquire;
use crate::stack::region::Stack;
use crate::stack::size::StackSize;

/// A stack that is held and not used.
#[derive(Debug)]
pub struct Held(Stack);

impl Held {
    /// From the cache of this thread.
    pub fn acquire(size: StackSize) -> io::Result<Held> {
        thread_acquire(size).map(Held)
    }

    /// How deep it has been used, in whole pages.
    pub fn high_water(&self) -> usize {
        self.0.high_water()
    }
}

/// Runs `body` to its end on this stack; a panic comes out here.
#[track_caller]
pub fn run<T: 'static>(held: Held, name: &str, body: impl FnOnce() -> T + 'static) -> (T, Held) {
    let Held(stack) = held;
    stack.set_label(Label {
        kind: Kind::Coroutine,
        id: 1,
        place: Location::caller(),
        name,
    });
    let mut coroutine = corosensei::Coroutine::<(), (), _, _>::with_stack(stack, |_, ()| {
        panic::catch_unwind(AssertUnwindSafe(body))
    });
    let result = match coroutine.resume(()) {
        corosensei::CoroutineResult::Return(result) => result,
        corosensei::CoroutineResult::Yield(()) => unreachable!("nothing suspends it"),
    };
    let held = Held(coroutine.into_stack());
    match result {
        Ok(value) => (value, held),
        Err(payload) => panic::resume_unwind(payload),
    }
}
