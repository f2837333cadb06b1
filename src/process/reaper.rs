//! Takes the status of children that were dropped before they ended, so that none stays a zombie.
//!
//! A thread that is there only while there are such children, and sleeps until one of them ends. It belongs
//! to no runtime, so that it outlives them all, and it wakes no task.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys::cpu::Servant;
use crate::sys::poll::{Interest, poll_any};

use super::inner::Orphan;

/// Stands still for so long when there is a child without a descriptor.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

static REAPER: Mutex<Reaper> = Mutex::new(Reaper {
    fresh: Vec::new(),
    bell: None,
    is_running: false,
});

struct Reaper {
    /// Not yet seen by the thread.
    fresh: Vec<Orphan>,
    /// Wakes the thread out of its poll.
    bell: Option<UnixStream>,
    is_running: bool,
}

fn lock() -> MutexGuard<'static, Reaper> {
    // Nothing that can panic between two states runs under it.
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that the child's status is taken when it ends.
pub(super) fn adopt(orphan: Orphan) {
    let mut reaper = lock();
    reaper.fresh.push(orphan);
    if reaper.is_running {
        if let Some(bell) = &reaper.bell {
            // A full one rings anyway.
            let _ = (&*bell).write(&[0]);
        }
        return;
    }
    let (near, far) = match UnixStream::pair() {
        Ok((near, far)) => (Some(near), Some(far)),
        // No descriptor is left: the thread looks now and then.
        Err(_) => (None, None),
    };
    for end in [&near, &far].into_iter().flatten() {
        let _ = end.set_nonblocking(true);
    }
    reaper.bell = near;
    let thread = std::thread::Builder::new()
        .name("greenloom-reaper".into())
        .stack_size(256 << 10);
    let started = thread.spawn(move || reap(far));
    // Under the lock, so before the thread can say that it ends.
    reaper.is_running = started.is_ok();
    drop(reaper);
    if let Err(error) = started {
        // What is left here is taken along when the next child is dropped.
        log::warn!("cannot start the thread that waits for dropped children: {error}");
    }
}

fn reap(bell: Option<UnixStream>) {
    let _servant = Servant::begin();
    let mut orphans: Vec<Orphan> = Vec::new();
    loop {
        if let Some(mut bell) = bell.as_ref() {
            while bell.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
        orphans.append(&mut lock().fresh);
        orphans.retain_mut(|orphan| !orphan.has_ended());
        if orphans.is_empty() {
            let mut reaper = lock();
            if reaper.fresh.is_empty() {
                reaper.is_running = false;
                reaper.bell = None;
                return;
            }
            continue;
        }
        let ends = orphans.iter().filter_map(|orphan| orphan.end.as_ref());
        let mut fds: Vec<_> = ends.map(|end| (end.as_fd(), Interest::Read)).collect();
        let is_all = fds.len() == orphans.len() && bell.is_some();
        fds.extend(bell.as_ref().map(|bell| (bell.as_fd(), Interest::Read)));
        let limit = if is_all { None } else { Some(LOOK_AGAIN) };
        if let Err(error) = poll_any(&fds, limit) {
            log::warn!("cannot wait for dropped children, and looks now and then: {error}");
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}
