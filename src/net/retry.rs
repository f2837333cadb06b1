//! Trying again at growing intervals, where the system tells nobody when it would work.
//!
//! Linux says "would block" of two things and then reports no readiness: a connection to a listener in the file
//! system whose queue is full, and a datagram for a socket there that has not read its last ones and is not the
//! sender's connected peer. A blocking call would wait in the kernel for them.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::base::error::{Cancelled, TimedOut};
use crate::io::{Descriptor, Limit};
use crate::scheduler::park::{self, Wait};

/// Of the pause after the first attempt; each one after it is twice as long.
const FIRST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(50);

/// Repeats `call` until it is something else than `WouldBlock`, with a pause after each attempt.
#[track_caller]
pub(super) fn retry<T>(
    reason: &'static str,
    fd: BorrowedFd<'_>,
    limit: Limit,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    park::spend_budget();
    let (mut deadline, mut pause) = (None, FIRST);
    let what = Descriptor(fd);
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
        if matches!(limit, Limit::Now) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let deadline = *deadline.get_or_insert_with(|| limit.deadline());
        if deadline.is_due(park::now()) {
            return Err(TimedOut.into());
        }
        if park::must_give_up() {
            return Err(Cancelled.into());
        }
        let until = park::deadline(pause).min(deadline);
        let _ = park::park(&Wait::new(reason).on(&what).until(until));
        pause = (pause * 2).min(LONGEST);
    }
}
