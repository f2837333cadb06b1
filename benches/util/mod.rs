//! What every benchmark needs: repetition, figures, facts about a process.
#![allow(dead_code)] // Each benchmark binary uses a part.

pub(crate) mod figure;
pub(crate) mod process;
pub(crate) mod runner;
pub(crate) mod sample;

use greenloom::Runtime;

/// A runtime with a single worker, which the cases share with their warm-up.
pub(crate) fn one_worker() -> Runtime {
    workers(1)
}

/// A runtime with so many workers.
pub(crate) fn workers(count: usize) -> Runtime {
    Runtime::builder()
        .workers(count)
        .build()
        .expect("a runtime with its workers")
}
