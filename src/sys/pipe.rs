//! A pipe of the kernel's in which bytes rest on their way from one socket to another, where there is splice(2).
//!
//! Required items: `Basin` with `new`, `fill`, `empty`, `rest` and `pour_out`; `is_silent`. Where a system has no
//! splice(2), `is_silent` says no, and nobody ever has a `Basin`.
#![allow(unsafe_code)]

#[cfg(any(target_os = "linux", target_os = "android"))]
mod splicing {
    use std::io::{self, PipeReader, PipeWriter, Read, pipe};
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::ptr;

    use rustix::pipe::{SpliceFlags, splice};

    /// What a pipe holds by default; it may be less, and then less is moved at a time.
    const ROOM: usize = 64 << 10;

    #[derive(Debug)]
    pub(crate) struct Basin {
        exit: PipeReader,
        entry: PipeWriter,
        /// Bytes that rest in it.
        rest: usize,
    }

    impl Basin {
        /// `None` when no descriptors are left.
        pub(crate) fn new() -> Option<Basin> {
            // Both blocking, which nobody notices: a call that may block asks for what is known to be there.
            let (exit, entry) = pipe().ok()?;
            Some(Basin {
                exit,
                entry,
                rest: 0,
            })
        }

        /// Moves what there is from a nonblocking socket into this, which must be empty. Zero is the end of the
        /// stream.
        pub(crate) fn fill(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
            debug_assert_eq!(self.rest, 0, "only so does `WouldBlock` tell of the socket");
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            must_not_block(from)?;
            self.rest = splice(from, None, self.entry.as_fd(), None, ROOM, flags)?;
            Ok(self.rest)
        }

        /// Moves some of what rests in this into a nonblocking socket. To be called only when something does.
        pub(crate) fn empty(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
            debug_assert_ne!(self.rest, 0, "only so does `WouldBlock` tell of the socket");
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            must_not_block(to)?;
            let moved = splice(self.exit.as_fd(), None, to, None, self.rest, flags)?;
            self.rest -= moved;
            Ok(moved)
        }

        /// How much rests in it.
        pub(crate) fn rest(&self) -> usize {
            self.rest
        }

        /// Reads all that rests in it.
        pub(crate) fn pour_out(&mut self) -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; self.rest];
            // Does not block: so many are there.
            self.exit.read_exact(&mut bytes)?;
            self.rest = 0;
            Ok(bytes)
        }
    }

    /// No flag of splice keeps a socket from blocking, only its own mode, which a clone of it may have changed that
    /// somebody has made a socket of std again: `Unsupported` then.
    fn must_not_block(socket: BorrowedFd<'_>) -> io::Result<()> {
        let mode = rustix::fs::fcntl_getfl(socket)?;
        match mode.contains(rustix::fs::OFlags::NONBLOCK) {
            true => Ok(()),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether a splice to a connection that is gone is silent. The kernel raises SIGPIPE for it, which no flag
    /// forbids: so it depends on what this process does with the signal.
    pub(crate) fn is_silent() -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: only asks, and `action` is a valid place for the answer.
        let asked = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
        // SAFETY: all-zero is a valid value, and so is what the system has written there.
        let action = unsafe { action.assume_init() };
        asked == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod splicing {
    use std::io;
    use std::os::fd::BorrowedFd;

    /// Not to be had here.
    #[derive(Debug)]
    pub(crate) enum Basin {}

    impl Basin {
        /// Always `None`.
        pub(crate) fn new() -> Option<Basin> {
            None
        }

        /// Cannot be called, as what follows: there is no basin.
        pub(crate) fn fill(&mut self, _from: BorrowedFd<'_>) -> io::Result<usize> {
            match *self {}
        }

        pub(crate) fn empty(&mut self, _to: BorrowedFd<'_>) -> io::Result<usize> {
            match *self {}
        }

        pub(crate) fn rest(&self) -> usize {
            match *self {}
        }

        pub(crate) fn pour_out(&mut self) -> io::Result<Vec<u8>> {
            match *self {}
        }
    }

    pub(crate) fn is_silent() -> bool {
        false
    }
}

pub(crate) use splicing::{Basin, is_silent};
