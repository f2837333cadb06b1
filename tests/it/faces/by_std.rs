//! The programs as they were written.

pub(super) use std::os::unix::fs::symlink;
pub(super) use std::os::unix::net as unix_net;
pub(super) use std::{fs, net, process, sync, thread};

#[path = "programs/mod.rs"]
pub(super) mod programs;
