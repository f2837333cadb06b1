//! Waiting for one descriptor on a plain thread, and an alarm that a poller can wait for.
//!
//! `poll_fd` works on every Unix. [`Alarm`] is a descriptor that becomes readable at a given time,
//! to the microsecond, where epoll's own timeout rounds up to whole milliseconds; targets whose
//! poller is precise by itself have none, and `Alarm::new` says so by `None`.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

pub(crate) use alarm::Alarm;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes, a connection or the end can be read.
    Read,
    /// Bytes can be written, or a connection attempt has ended.
    Write,
}

/// Blocks the calling thread until `fd` is ready (`true`) or `timeout` has passed (`false`).
///
/// An error or a hang-up is readiness: the system call that follows tells which. Signals do not
/// end the wait.
///
/// # Errors
/// What poll(2) returns; `InvalidInput` if the descriptor is not open.
pub(crate) fn poll_fd(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    poll_all(&mut [flagged(fd, interest)], timeout)
}

/// As [`poll_fd`]; that something can be read from the `bell` ends the wait as well (`true`).
///
/// # Errors
/// As there.
pub(crate) fn poll_fd_or_bell(
    fd: BorrowedFd<'_>,
    interest: Interest,
    bell: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    match bell {
        None => poll_fd(fd, interest, timeout),
        Some(bell) => {
            let both = &mut [flagged(fd, interest), flagged(bell, Interest::Read)];
            poll_all(both, timeout)
        }
    }
}

/// As [`poll_fd`], until one of several is ready.
///
/// # Errors
/// As there.
pub(crate) fn poll_any(
    fds: &[(BorrowedFd<'_>, Interest)],
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|(fd, interest)| flagged(*fd, *interest))
        .collect();
    poll_all(&mut fds, timeout)
}

fn flagged(fd: BorrowedFd<'_>, interest: Interest) -> PollFd<'_> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    PollFd::from_borrowed_fd(fd, flags)
}

fn poll_all(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    // A deadline beyond what `Instant` can hold is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(fds, left.map(timespec).as_ref()) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(false);
            }
            // Woken early, or the timeout was too long for the kernel: wait for the rest.
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) if fds.iter().any(|fd| fd.revents().contains(PollFlags::NVAL)) => {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Cut to a day: no kernel call refuses that, and callers wait for the rest.
fn timespec(duration: Duration) -> Timespec {
    let duration = duration.min(Duration::from_secs(86_400));
    Timespec {
        tv_sec: duration.as_secs() as _,
        tv_nsec: duration.subsec_nanos() as _,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod alarm {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    };

    use super::timespec;

    /// A timerfd on the clock of `Instant`.
    ///
    /// It is never read: setting it anew clears it, and a poller that watches for edges sees a
    /// new one each time it expires.
    #[derive(Debug)]
    pub(crate) struct Alarm(OwnedFd);

    impl Alarm {
        /// An alarm that is not set, or `None` where the target needs none.
        pub(crate) fn new() -> io::Result<Option<Alarm>> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Ok(Some(Alarm(timerfd_create(
                TimerfdClockId::Monotonic,
                flags,
            )?)))
        }

        /// Becomes readable once, `after` from now; at once if that is zero. Replaces what was
        /// set before. More than a day is cut to a day.
        pub(crate) fn set(&self, after: Duration) -> io::Result<()> {
            // All zero would disarm it.
            let value = timespec(after.max(Duration::from_nanos(1)));
            let spec = Itimerspec {
                it_interval: timespec(Duration::ZERO),
                it_value: value,
            };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }
    }

    impl AsFd for Alarm {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl AsRawFd for Alarm {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod alarm {
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};
    use std::time::Duration;

    /// Not needed here: kqueue's timeout is precise.
    #[derive(Debug)]
    pub(crate) enum Alarm {}

    impl Alarm {
        /// Always `None`.
        pub(crate) fn new() -> io::Result<Option<Alarm>> {
            Ok(None)
        }

        /// Cannot be called: there is no alarm.
        pub(crate) fn set(&self, _after: Duration) -> io::Result<()> {
            match *self {}
        }
    }

    impl AsRawFd for Alarm {
        fn as_raw_fd(&self) -> RawFd {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn poll_fd_tells_readiness_from_timeout() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let wait = Some(Duration::from_millis(20));
        assert!(!poll_fd(near.as_fd(), Interest::Read, wait).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert!(!poll_fd(near.as_fd(), Interest::Read, Some(Duration::ZERO)).unwrap());
        assert!(poll_fd(near.as_fd(), Interest::Write, None).unwrap());
        far.write_all(b"x").unwrap();
        assert!(poll_fd(near.as_fd(), Interest::Read, Some(Duration::MAX)).unwrap());
        near.read_exact(&mut [0]).unwrap();
        drop(far);
        assert!(
            poll_fd(near.as_fd(), Interest::Read, None).unwrap(),
            "the end is readiness"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_alarm_becomes_readable_in_time() {
        let alarm = Alarm::new().unwrap().unwrap();
        assert!(!poll_fd(alarm.as_fd(), Interest::Read, Some(Duration::ZERO)).unwrap());
        let start = Instant::now();
        alarm.set(Duration::from_micros(300)).unwrap();
        assert!(poll_fd(alarm.as_fd(), Interest::Read, Some(Duration::from_secs(9))).unwrap());
        assert!(start.elapsed() >= Duration::from_micros(300));
        alarm.set(Duration::MAX).unwrap();
        assert!(!poll_fd(alarm.as_fd(), Interest::Read, Some(Duration::ZERO)).unwrap());
        alarm.set(Duration::ZERO).unwrap();
        assert!(poll_fd(alarm.as_fd(), Interest::Read, Some(Duration::from_secs(9))).unwrap());
    }
}
