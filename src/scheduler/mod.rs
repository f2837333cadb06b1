//! The private engine: workers, tasks, parking and waking.

pub(crate) mod blocks;
pub(crate) mod cancel;
pub(crate) mod config;
pub(crate) mod current;
pub(crate) mod deque;
pub(crate) mod header;
pub(crate) mod hook;
mod idle;
pub(crate) mod inbox;
pub(crate) mod local;
pub(crate) mod packet;
pub(crate) mod park;
mod phases;
pub(crate) mod processor;
pub(crate) mod report;
pub(crate) mod ring;
pub(crate) mod shared;
pub(crate) mod sleep;
pub(crate) mod standstill;
pub(crate) mod stuck;
mod switch;
pub(crate) mod task;
pub(crate) mod thread;
pub(crate) mod wait;
pub(crate) mod wake;
mod waker;
pub(crate) mod worker;
