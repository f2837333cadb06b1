//! How a program ended, as an error or a signal; and signals to any process.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::{error, fmt, io};

use crate::signal::Signal;
use crate::sys;

/// A program ended otherwise than by saying that all went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatusError(ExitStatus);

impl ExitStatusError {
    /// How it ended.
    pub fn status(&self) -> ExitStatus {
        self.0
    }
}

impl fmt::Display for ExitStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program ended with {}", self.0)
    }
}

impl error::Error for ExitStatusError {}

impl From<ExitStatusError> for io::Error {
    fn from(error: ExitStatusError) -> io::Error {
        io::Error::other(error)
    }
}

/// Makes an error of a status that is not success: Python's `check=True`.
///
/// # Errors
///
/// When the program was ended by a signal or its status is not zero.
///
/// # Examples
///
/// ```
/// use greenloom::process::{Command, check};
///
/// # greenloom::run(|| {
/// check(Command::new("true").status()?)?;
/// let error = check(Command::new("false").status()?).unwrap_err();
/// assert_eq!(error.to_string(), "the program ended with exit status: 1");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn check(status: ExitStatus) -> Result<(), ExitStatusError> {
    match status.success() {
        true => Ok(()),
        false => Err(ExitStatusError(status)),
    }
}

/// The signal that ended the program, if one did.
pub fn exit_signal(status: ExitStatus) -> Option<Signal> {
    Signal::from_raw(status.signal()?)
}

/// Sends a signal to the process with this number, whosever child it is.
///
/// For a child of ours [`Child::send_signal`](super::Child::send_signal) is the better way: it never meets
/// another process that has got the number since.
///
/// # Errors
///
/// The system's: there is no such process, or it is none of ours to signal. `InvalidInput` for the number
/// zero, for what is no process number, and for real-time signals.
pub fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    sys::process::send_signal(pid, signal.as_raw())
}

/// Sends a signal to each process of a group: to a program that was started with
/// [`Command::process_group(0)`](super::Command::process_group), whose number is then the group's, and to all
/// that it has started in turn.
///
/// # Errors
///
/// As for [`send_signal`], for the number one as well; the group is there as long as one of its processes is.
///
/// # Examples
///
/// ```
/// use greenloom::process::{Command, Stdio, send_signal_to_group};
/// use greenloom::signal::Signal;
///
/// # greenloom::run(|| {
/// let mut shell = Command::new("sh")
///     .args(["-c", "sleep 1000 & sleep 1000"])
///     .process_group(0)
///     .stdout(Stdio::piped())
///     .spawn()?;
/// send_signal_to_group(shell.id(), Signal::TERM)?;
/// // No grandchild is left that could hold the pipe.
/// assert!(!shell.communicate("")?.status.success());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn send_signal_to_group(group: u32, signal: Signal) -> io::Result<()> {
    sys::process::send_signal_to_group(group, signal.as_raw())
}
