//! The programs, ported.

pub(super) use greenloom::{sync, thread};

#[path = "programs/mod.rs"]
pub(super) mod programs;
