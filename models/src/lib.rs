//! The lock-free files of greenloom, included by path, and models of what they promise. See README.md.
#![allow(dead_code, unused_imports)] // Each checker uses a part.

#[path = "../../src/base"]
mod base {
    pub(crate) mod primitive;
    pub(crate) mod table;
}

#[path = "../../src/ipc"]
mod ipc {
    pub(crate) mod word;
    pub(crate) mod broker {
        pub(crate) mod turns;
        pub(crate) mod waiters;
    }
}

#[path = "../../src/scheduler"]
mod scheduler {
    pub(crate) mod deque;
    pub(crate) mod letterbox;
    pub(crate) mod phases;
    pub(crate) mod sleep;
}

#[path = "../../src/sync"]
mod sync {
    pub(crate) mod door;
}

/// In place of the kernel's: both halves are the fence that the two of them are together.
mod sys {
    pub(crate) mod barrier {
        use crate::base::primitive::{Ordering, fence};

        pub(crate) fn is_there() -> bool {
            true
        }
        // Seed: nothing, in either of the two.
        pub(crate) fn light() {
            fence(Ordering::SeqCst);
        }
        pub(crate) fn heavy() {
            fence(Ordering::SeqCst);
        }
    }
}

#[path = "../../src/task"]
mod task {
    pub(crate) mod claim;
}

#[cfg(all(test, loom))]
mod claim;
#[cfg(all(test, loom))]
mod deque;
#[cfg(all(test, any(loom, shuttle)))]
mod door;
#[cfg(all(test, loom))]
mod join;
#[cfg(all(test, loom))]
mod letterbox;
#[cfg(all(test, loom))]
mod lock;
#[cfg(all(test, shuttle))]
mod quiescence;
#[cfg(all(test, any(loom, shuttle)))]
mod select;
#[cfg(all(test, loom))]
mod sleep;
#[cfg(all(test, shuttle))]
mod waiters;
