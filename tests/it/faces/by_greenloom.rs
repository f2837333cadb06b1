//! The programs, ported.

pub(super) use greenloom::fs::symlink;
pub(super) use greenloom::net::unix as unix_net;
pub(super) use greenloom::{fs, net, process, sync, thread};

#[path = "programs/mod.rs"]
pub(super) mod programs;
