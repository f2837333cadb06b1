//! What a plain thread listens to beside the descriptor that it waits for: it rings when that is closed.
//!
//! A pipe, made when the thread waits for the first time, and kept for its later waits. The descriptor alone would
//! not do: the kernel tells nobody who polls a pipe, a device or, on some systems, an unconnected socket that it
//! was closed or shut on its own side.

use std::cell::OnceCell;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::sys::socket::set_nonblocking;

#[derive(Debug)]
pub(super) struct Bell {
    listens: PipeReader,
    rings: PipeWriter,
}

thread_local! {
    static BELL: OnceCell<Arc<Bell>> = const { OnceCell::new() };
}

/// `None` when there are no descriptors left, or the thread's locals are being destroyed.
pub(super) fn of_this_thread() -> Option<Arc<Bell>> {
    let get = |cell: &OnceCell<Arc<Bell>>| match cell.get() {
        Some(bell) => Some(bell.clone()),
        None => {
            let bell = Bell::new().ok()?;
            Some(cell.get_or_init(|| bell).clone())
        }
    };
    BELL.try_with(get).ok().flatten()
}

impl Bell {
    fn new() -> std::io::Result<Arc<Bell>> {
        let (listens, rings) = pipe()?;
        // Neither silencing a silent bell nor ringing a full one may wait.
        set_nonblocking(listens.as_fd(), true)?;
        set_nonblocking(rings.as_fd(), true)?;
        Ok(Arc::new(Bell { listens, rings }))
    }

    /// Ends the wait of the thread. To be called with the lock of the place where it hangs.
    pub(super) fn ring(&self) {
        let _ = (&self.rings).write(&[1]);
    }

    /// For the next wait. Two rings at most are to be heard of one: of its end, and of another thread that
    /// closed the same thing again.
    pub(super) fn silence(&self) {
        let _ = (&self.listens).read(&mut [0; 64]);
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.listens.as_fd()
    }
}
