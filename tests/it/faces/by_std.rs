//! The programs as they were written.

pub(super) use std::{sync, thread};

#[path = "programs/mod.rs"]
pub(super) mod programs;
