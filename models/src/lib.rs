//! The lock-free files of greenloom, included by path, and models of what they promise. See README.md.
#![allow(dead_code, unused_imports)] // Each checker uses a part.

#[path = "../../src/base"]
mod base {
    pub(crate) mod primitive;
}

#[path = "../../src/ipc"]
mod ipc {
    pub(crate) mod word;
    pub(crate) mod broker {
        pub(crate) mod turns;
    }
}

#[path = "../../src/scheduler"]
mod scheduler {
    pub(crate) mod deque;
    pub(crate) mod sleep;
}

#[path = "../../src/task"]
mod task {
    pub(crate) mod claim;
}

#[cfg(all(test, loom))]
mod claim;
#[cfg(all(test, loom))]
mod deque;
#[cfg(all(test, loom))]
mod join;
#[cfg(all(test, loom))]
mod lock;
#[cfg(all(test, shuttle))]
mod quiescence;
#[cfg(all(test, any(loom, shuttle)))]
mod select;
#[cfg(all(test, loom))]
mod sleep;
