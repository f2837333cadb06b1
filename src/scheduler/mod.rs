//! The private engine: workers, tasks, parking and waking.

#[allow(dead_code)] // Until the workers use all of it.
pub(crate) mod deque;
#[allow(dead_code)] // Until the workers use all of it.
pub(crate) mod sleep;
