//! Feeding and reading programs at once, so that neither side ever waits for the other.
//!
//! All pipes are nonblocking, and one task does all of it: it moves what can be moved, and then waits for
//! any of them. What was moved is noted in the [`Job`] before the next wait, so a cancellation or a time
//! limit, which can only come in a wait, loses nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::base::clock::Deadline;
use crate::base::error::TimedOut;
use crate::driver::registration::Direction;
use crate::io::Several;
use crate::runtime::Outside;
use crate::scheduler::park;

use super::pipes::{ChildStderr, ChildStdin, ChildStdout};

/// Read at once; what a pipe holds by default.
const CHUNK: usize = 64 << 10;

/// How far a `communicate` has come.
#[derive(Debug, Default)]
pub(super) struct Job {
    input: Vec<u8>,
    /// Of `input`, in bytes.
    written: usize,
    stdout: Vec<u8>,
    /// Of each program.
    stderr: Vec<Vec<u8>>,
}

impl Job {
    pub(super) fn captured(&self) -> (&[u8], &[u8]) {
        (&self.stdout, self.stderr.first().map_or(&[], |first| first))
    }

    /// What was read, of several programs' errors one behind the other; the job is new again.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<u8>) {
        let job = std::mem::take(self);
        let mut errors = job.stderr.into_iter();
        let mut stderr = errors.next().unwrap_or_default();
        errors.for_each(|error| stderr.extend(error));
        (job.stdout, stderr)
    }
}

/// The pipes of an exchange; each is closed and taken away when it is done.
pub(super) struct Exchange<'a> {
    pub(super) stdin: &'a mut Option<ChildStdin>,
    pub(super) stdout: &'a mut Option<ChildStdout>,
    pub(super) stderr: Vec<&'a mut Option<ChildStderr>>,
    pub(super) job: &'a mut Job,
}

/// What came of an attempt to move a piece through a pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Blocked,
    Moved,
    /// There will be no more to move.
    Ended,
}

impl Exchange<'_> {
    /// Writes all input and reads all output.
    #[track_caller]
    pub(super) fn run(self, input: &[u8], deadline: Deadline) -> io::Result<()> {
        let (stdin, stdout, mut stderr, job) = (self.stdin, self.stdout, self.stderr, self.job);
        if !input.is_empty() {
            if stdin.is_none() {
                let text = "there is input for a program whose standard input is no pipe of ours";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            job.input.extend_from_slice(input);
        }
        job.stderr.resize(stderr.len(), Vec::new());
        let _outside = Outside::here();
        loop {
            // Asked in each round: a program that writes without end never lets us wait.
            let is_late = deadline != Deadline::NEVER && deadline.is_due(park::now());
            let mut rest = Several::default();
            let mut steps = Vec::with_capacity(2 + stderr.len());
            if let Some(pipe) = &*stdin {
                rest.add(pipe.evented().watch(), pipe.as_fd(), Direction::Write);
                steps.push((0, write(pipe.as_fd(), job)?));
            }
            if let Some(pipe) = &*stdout {
                rest.add(pipe.evented().watch(), pipe.as_fd(), Direction::Read);
                steps.push((1, read(pipe.as_fd(), &mut job.stdout)?));
            }
            for (index, (pipe, text)) in stderr.iter().zip(&mut job.stderr).enumerate() {
                if let Some(pipe) = &**pipe {
                    rest.add(pipe.evented().watch(), pipe.as_fd(), Direction::Read);
                    steps.push((2 + index, read(pipe.as_fd(), text)?));
                }
            }
            let has = |what| steps.iter().any(|&(_, step)| step == what);
            if steps.is_empty() {
                return Ok(());
            } else if has(Step::Ended) {
                drop(rest);
                for (place, _) in steps.iter().filter(|(_, step)| *step == Step::Ended) {
                    match place {
                        0 => *stdin = None,
                        1 => *stdout = None,
                        _ => *stderr[place - 2] = None,
                    }
                }
            } else if is_late {
                return Err(TimedOut.into());
            } else if has(Step::Moved) {
                drop(rest);
                // A piece is large beside a yield.
                park::yield_now();
            } else {
                // When the time is over there is one more round, for what has come together with its end.
                rest.wait("process.communicate", deadline)?;
            }
        }
    }
}

/// Writes the next piece of the input.
fn write(pipe: BorrowedFd<'_>, job: &mut Job) -> io::Result<Step> {
    let left = &job.input[job.written..];
    if left.is_empty() {
        return Ok(Step::Ended);
    }
    match rustix::io::write(pipe, left) {
        Ok(count) => {
            job.written += count;
            Ok(Step::Moved)
        }
        Err(Errno::AGAIN) => Ok(Step::Blocked),
        // To be tried again: there may be room, of which no edge would tell.
        Err(Errno::INTR) => Ok(Step::Moved),
        // It does not want the rest, which is its own affair.
        Err(Errno::PIPE) => Ok(Step::Ended),
        Err(error) => Err(error.into()),
    }
}

/// Reads the next piece of an output.
fn read(pipe: BorrowedFd<'_>, text: &mut Vec<u8>) -> io::Result<Step> {
    text.reserve(CHUNK);
    match rustix::io::read(pipe, spare_capacity(text)) {
        Ok(0) => Ok(Step::Ended),
        Ok(_) => Ok(Step::Moved),
        Err(Errno::AGAIN) => Ok(Step::Blocked),
        Err(Errno::INTR) => Ok(Step::Moved),
        Err(error) => Err(error.into()),
    }
}
