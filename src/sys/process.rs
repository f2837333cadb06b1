//! Processes as descriptors, where the system has that, and signals sent to them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A descriptor that becomes readable when the process, which must be a child that nobody has waited for,
/// has ended. `None` where the system has none to give.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn open_pidfd(pid: u32) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    // Always close-on-exec. Nonblocking is for waitid alone, which we do not call on it.
    pidfd_open(to_pid(pid)?, PidfdFlags::empty()).ok()
}

/// See above.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn open_pidfd(_pid: u32) -> Option<OwnedFd> {
    None
}

/// Sends a signal to the process with this number.
///
/// # Errors
/// The system's; `InvalidInput` for a signal that cannot be sent from here (the real-time ones), and for a
/// process number that is none.
pub(crate) fn send_signal(pid: u32, signal: i32) -> io::Result<()> {
    let signal = named(signal)?;
    let text = "no process has such a number";
    let pid = to_pid(pid).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    Ok(kill_process(pid, signal)?)
}

/// Sends a signal to each process of a group.
///
/// # Errors
/// As [`send_signal`].
pub(crate) fn send_signal_to_group(group: u32, signal: i32) -> io::Result<()> {
    let signal = named(signal)?;
    let text = "no process group has such a number";
    // To kill(2) minus one is no group, but everybody.
    let group = to_pid(group).filter(|group| !group.is_init());
    let group = group.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    Ok(kill_process_group(group, signal)?)
}

/// Sends a signal to the process of [`open_pidfd`], and never to another that has got its number since.
///
/// # Errors
/// As [`send_signal`]; that there is no such process any more.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn send_signal_by(fd: BorrowedFd<'_>, _pid: u32, signal: i32) -> io::Result<()> {
    Ok(rustix::process::pidfd_send_signal(fd, named(signal)?)?)
}

/// See above; there are no such descriptors.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn send_signal_by(_fd: BorrowedFd<'_>, pid: u32, signal: i32) -> io::Result<()> {
    send_signal(pid, signal)
}

fn named(signal: i32) -> io::Result<Signal> {
    let text = "no such signal, or one that cannot be sent";
    Signal::from_named_raw(signal).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// `None` for 0 and for what would be negative: to kill(2) those are groups of processes.
fn to_pid(pid: u32) -> Option<Pid> {
    let pid = i32::try_from(pid).ok()?;
    if pid > 0 { Pid::from_raw(pid) } else { None }
}
