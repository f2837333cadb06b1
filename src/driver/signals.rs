//! Signals of the process, caught into a descriptor that becomes readable.
//!
//! The handler, which is signal-hook's, marks the signal and writes a byte into a socket; whoever stood
//! there before is called as ever. So a burst costs no memory: a signal is marked or it is not, and the
//! byte only says "look". What was found by a look and not yet taken stays in `found`, and a byte is then
//! put back: **whenever there is something to take, there is a byte to be read**, so the read end is a
//! descriptor like any other, for a reactor as for poll(2).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Some signals, from now on until this is dropped.
///
/// Dropping it ends the noting, and nothing else: the handler stays in front of whoever stood there, so a
/// signal whose default is to end the process does nothing from the first catcher on.
#[derive(Debug)]
pub(crate) struct Catcher {
    /// The end that becomes readable. Nonblocking.
    read: Arc<UnixStream>,
    /// The other end, where the handler writes too. Nonblocking, so that a full socket is no wait: what is
    /// full can be read.
    nudge: UnixStream,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    delivery: SignalDelivery<Arc<UnixStream>, SignalOnly>,
    /// Taken from the marks, and not yet by anybody.
    found: VecDeque<i32>,
}

/// Whether the kernel, or sense, forbids to catch it: what the program's own faults raise cannot be gone on
/// from, so that a handler that returns would be called for ever.
pub(crate) fn is_forbidden(signal: i32) -> bool {
    signal == libc::SIGBUS || signal_hook::consts::FORBIDDEN.contains(&signal)
}

impl Catcher {
    /// Catches these; none of them may be forbidden.
    ///
    /// # Errors
    /// When there is no descriptor left (it takes three), or no such signal.
    pub(crate) fn new(signals: &[i32]) -> io::Result<Catcher> {
        debug_assert!(!signals.iter().any(|&signal| is_forbidden(signal)));
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let nudge = write.try_clone()?;
        let read = Arc::new(read);
        let delivery = SignalDelivery::with_pipe(read.clone(), write, SignalOnly, signals)?;
        let inner = Mutex::new(Inner {
            delivery,
            found: VecDeque::new(),
        });
        Ok(Catcher { read, nudge, inner })
    }

    /// The next signal that has come; of several, in the order of their numbers.
    ///
    /// # Errors
    /// `WouldBlock` when none has.
    pub(crate) fn take(&self) -> io::Result<i32> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(signal) = inner.found.pop_front() {
            // Its byte, and that of those behind it, is there still.
            return Ok(signal);
        }
        // Takes the bytes away first, and looks at the marks then: what is marked later writes a new one.
        inner.found.extend(inner.delivery.pending());
        let signal = inner.found.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        if !inner.found.is_empty() {
            self.nudge();
        }
        Ok(signal)
    }

    /// Makes the descriptor readable, whether or not there is a signal.
    pub(crate) fn nudge(&self) {
        // A full one is readable.
        let _ = (&self.nudge).write(&[0]);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic between two states runs under it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Catcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
